//! From a file to a plan that equals its contract, in one order (spec/security.md, "Order of checks"): policy, read, signature, structure, terms, program, policy on
//! what it asks for, (lock and ledger, by the caller), source, seed, replan, compare. Nothing here has an effect outside this process.
//!
//! Read for: nothing with an effect before compare has passed.

use crate::inputs::Opener;
use crate::keys::Keys;
use crate::planner::{Planner, Replanning};
use crate::reality::Host;
use jiff::Timestamp;
use opal_core::agreed::Comparison;
use opal_core::code::Code;
use opal_core::compare::Drift;
use opal_core::decorators::{judged_name, value_decorator};
use opal_core::drift::DriftCode;
use opal_core::refusal::Refusal;
use opal_core::show::escape;
use opal_exec::scrub::Secrets;
use opal_format::credential::Signatory;
use opal_format::hash::Digest;
use opal_format::identity::PublicKey;
use opal_format::kind::{NodeKind, PlanType};
use opal_format::program::ProgramView;
use opal_format::read_file::ReadFileError;
use opal_format::reader::{Authenticated, Contract, RawPlan};
use opal_format::regen::SubKeys;
use opal_format::seed::Seed;
use opal_format::steps::StepsView;
use opal_trust::audience::judge_audience;
use opal_trust::guard::{Caller, Reason};
use opal_trust::identity;
use opal_trust::input::Input;
use opal_trust::judge::{Assessment, Basis, Decision, Question, TrustSet, judge};
use opal_trust::locations::HostPaths;
use opal_trust::policy::{Policy, Refused, Rules, Subject};
use opal_trust::revocation::{Edition, judge_list};
use opal_trust::vouch::{Vouch, Vouches, judge_vouches};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What the command line asks for.
#[derive(Debug, Default)]
pub struct Request {
    /// The contract; `-` is standard input.
    pub plan: Input,
    /// `--source`.
    pub source: Option<Input>,
    /// `--identity`, repeatable.
    pub identities: Vec<Input>,
    /// `--expect`.
    pub expect: Option<Digest>,
    /// `--vouch`, repeatable.
    pub vouches: Vec<Input>,
    /// `--allow-unsigned`.
    pub allow_unsigned: bool,
    /// `--max-size` in bytes.
    pub max_size: Option<usize>,
}

/// This host, looked at once.
pub struct Site {
    /// Where its files are.
    pub paths: HostPaths,
    /// `/etc/opal/policy.toml`, or the defaults.
    pub policy: Policy,
    /// Why the run is guarded; empty if it is not.
    pub guarded: Vec<Reason>,
    /// Opens what the command line names.
    pub opener: Opener,
    /// Base of relative paths.
    pub base: PathBuf,
    /// The moment of all decisions.
    pub now: Timestamp,
}

impl Site {
    /// Looks at this host. Loads the policy first of all.
    ///
    /// # Errors
    /// A policy that cannot be believed or read, or no current directory.
    pub fn here(paths: HostPaths, caller: &Caller, now: Timestamp) -> Result<Self, Refusal> {
        let found = Policy::load(&paths)?;
        Self::with_policy(paths, caller, now, found)
    }

    /// As [`Site::here`], with this policy in the place of the host's.
    ///
    /// # Errors
    /// No current directory.
    pub fn with_policy(paths: HostPaths, caller: &Caller, now: Timestamp, found: Option<Policy>) -> Result<Self, Refusal> {
        let guarded = caller.guarded(found.is_some());
        let base = std::env::current_dir().map_err(|error| {
            Refusal::new(Code::NoBaseDirectory, format!("the current directory cannot be used: {}", opal_core::plan::os_reason(&error)))
        })?;
        let opener = Opener::new(caller.invoker(), paths.system_owner);
        let paths = paths.for_caller(caller);
        Ok(Self { paths, policy: found.unwrap_or_default(), guarded, opener, base, now })
    }

    /// Whether the run is guarded.
    #[must_use]
    pub fn is_guarded(&self) -> bool {
        !self.guarded.is_empty()
    }

    fn rules(&self) -> Rules<'_> {
        self.policy.trust_rules(self.is_guarded())
    }
}

/// Reads a plan and authenticates its bytes.
///
/// # Errors
/// A file that cannot be read, is too large, or holds a signature that does not verify.
pub fn read(request: &Request) -> Result<Authenticated, Refusal> {
    let name = request.plan.path().display().to_string();
    let max = request.max_size.unwrap_or(opal_format::limits::FILE_SIZE);
    let raw = request.plan.bytes(max).and_then(|bytes| Ok(RawPlan::new(bytes, max)?)).map_err(|error| Refusal::from_read(&error, &name));
    let read = raw.and_then(|raw| raw.authenticate().map_err(|error| Refusal::from_format(&error, &name)));
    match read {
        // Whatever such a file holds, if it is there: it is no contract.
        Err(_) if request.plan.is_hidden() => Err(Refusal::from_read(&ReadFileError::Io(Input::denied()), &name)),
        read => read,
    }
}

/// A contract that may be replanned as far as trust, terms, program and policy go.
pub struct Admitted<'a> {
    /// The contract.
    pub contract: Contract<'a>,
    /// What does not hold the planner, where policy settles for that.
    pub unheld: Option<&'static str>,
    /// Why it is trusted.
    pub trust: Decision,
    /// Who vouches for it or for its work.
    pub vouches: Vec<Vouch>,
    /// What the vouches for the contract are worth.
    pub vouchers: Vec<Assessment>,
    /// The signed list of what is revoked that it was judged by.
    pub edition: Option<Edition>,
}

/// Judges an authenticated plan: trust, structure, audience, terms, program (in the planner), policy. The caller's own key is read by the keeper of `keys`.
///
/// # Errors
/// The first refusal in that order.
pub fn admit<'a>(
    plan: &'a Authenticated,
    request: &Request,
    site: &Site,
    planner: &mut Planner,
    keys: &mut Keys,
) -> Result<Admitted<'a>, Refusal> {
    let file = request.plan.path().display().to_string();
    let own = identity::own_file(&site.paths)?.map(|file| keys.add(&file)).transpose()?;
    let (trust, edition) = trust_set(site, own)?;
    let keys: Vec<Signatory> = plan.signers().cloned().collect();
    let rules = site.rules();
    let vouches = Vouches::read(&request.vouches)?;
    let vouchers = vouches.for_contract(&plan.contract_hash());
    let need = site.policy.vouches();
    // Whether anyone trusted stands behind these bytes is settled before they are interpreted; which targets that signer may sign for can
    // only be asked afterwards.
    let asked = question(&keys, plan, request, site);
    let unrestricted = Rules { entries: &[], ..rules };
    let signed = judge(&asked, &trust, &unrestricted)?;
    judge_vouches(&vouchers, need, &asked, &trust, &unrestricted, &signed)?;
    let contract = plan.decode().map_err(|error| Refusal::from_format(&error, &file))?;
    judge_audience(&contract.audience, &site.paths)?;
    let asked = about(&contract, asked);
    let decision = judge(&asked, &trust, &rules)?;
    let vouchers = judge_vouches(&vouchers, need, &asked, &trust, &rules, &decision)?;
    contract.check_plan_hash().map_err(|error| Refusal::from_format(&error, &file))?;
    let vouches = vouches.check(&contract.contract_hash, &contract.header.plan_hash)?;
    check_expiry(&contract, site.now)?;
    let unheld = planner.missing()?;
    site.policy.check_planner(unheld)?;
    planner.load(&contract, &file)?;
    policy_verdicts(&contract, site)?.into_iter().collect::<Result<(), _>>()?;
    Ok(Admitted { contract, unheld, trust: decision, vouches, vouchers, edition })
}

/// What this host trusts, the caller's `own` key included, and the signed list of what is revoked that it goes by.
fn trust_set(site: &Site, own: Option<PublicKey>) -> Result<(TrustSet, Option<Edition>), Refusal> {
    let trust = TrustSet::load(&site.paths, own, site.is_guarded(), &site.policy)?;
    let edition = judge_list(&site.paths, &trust, site.policy.revocation(), site.now)?;
    Ok((trust, edition))
}

fn question<'a>(keys: &'a [Signatory], plan: &Authenticated, request: &Request, site: &Site) -> Question<'a> {
    Question {
        verified: keys,
        contract: plan.contract_hash(),
        subject: None,
        expect: request.expect,
        allow_unsigned: request.allow_unsigned,
        now: site.now,
    }
}

fn about<'a>(contract: &'a Contract<'_>, question: Question<'a>) -> Question<'a> {
    Question { subject: Some(Subject::of(contract)), ..question }
}

/// Whether a contract is trusted, judged by itself, for who starts nothing.
///
/// # Errors
/// A trust file that cannot be believed, or why it is not trusted.
pub fn trust_of(plan: &Authenticated, contract: &Contract<'_>, request: &Request, site: &Site) -> Result<Decision, Refusal> {
    let keys: Vec<Signatory> = plan.signers().cloned().collect();
    let own = identity::own(&site.paths)?.map(|own| own.public());
    let (trust, rules, asked) = (trust_set(site, own)?.0, site.rules(), about(contract, question(&keys, plan, request, site)));
    let decision = judge(&asked, &trust, &rules)?;
    let vouches = Vouches::read(&request.vouches)?;
    judge_vouches(&vouches.for_contract(&plan.contract_hash()), site.policy.vouches(), &asked, &trust, &rules, &decision)?;
    vouches.check(&contract.contract_hash, &contract.header.plan_hash)?;
    Ok(decision)
}

/// How far the clock of a host may be behind that of the planner.
const CLOCK_BEHIND: i64 = 86_400;

/// The validity time, judged once. A contract that ends is not judged by a clock that is before its beginning: such a clock was never set, and would
/// bring what has expired back to life.
///
/// # Errors
/// A contract that has expired, or one from the future.
pub fn check_expiry(contract: &Contract<'_>, now: Timestamp) -> Result<(), Refusal> {
    let Some(end) = contract.terms.not_after else { return Ok(()) };
    let text = |second: i64| Timestamp::from_second(second).map_or_else(|_| second.to_string(), |time| time.to_string());
    let made = contract.header.timestamp;
    // The moment itself is still inside; what follows it, by however little, is not.
    if now.as_nanosecond() > i128::from(end).saturating_mul(1_000_000_000) {
        return Err(Refusal::new(Code::ContractExpired, format!("the contract expired at {}", text(end)))
            .help("make a new one, with `--expires` for another period"));
    }
    if now.as_second() < made.saturating_sub(CLOCK_BEHIND) {
        let message = format!("the contract was made at {}, and the clock of this host says {now:.0}", text(made));
        return Err(Refusal::new(Code::ContractFromTheFuture, message).help("set the clock: `date`"));
    }
    Ok(())
}

/// Everything that policy says before the source is looked at, in the order of judgement.
///
/// # Errors
/// A date that no calendar holds.
pub fn policy_verdicts(contract: &Contract<'_>, site: &Site) -> Result<Vec<Result<(), Refused>>, Refusal> {
    let (policy, terms) = (&site.policy, &contract.terms);
    let made = Timestamp::from_second(contract.header.timestamp);
    let made = made.map_err(|_| Refusal::new(Code::Malformed, "a time in the contract is out of range"))?;
    let mut verdicts = imports_verdicts(policy, contract.program);
    if !terms.pass_env.is_empty() {
        verdicts.push(policy.check_decorator("env"));
    }
    let plan_type = PlanType::from_number(terms.plan_type).unwrap_or(PlanType::Adaptive);
    verdicts.extend([
        policy.check_hosts(&contract.audience),
        policy.check_end(terms.not_after),
        policy.check_age(made, site.now),
        policy.check_plan_type(plan_type),
    ]);
    verdicts.push(policy.start_directory(&terms.directory).map(drop));
    verdicts.extend(steps_verdicts(policy, contract.steps, &terms.shell));
    Ok(verdicts)
}

fn imports_verdicts(policy: &Policy, program: ProgramView<'_>) -> Vec<Result<(), Refused>> {
    let decorators = program.imports.iter().filter_map(|import| value_decorator(import.decorator.to_native()));
    decorators.map(|decorator| policy.check_decorator(decorator.name)).collect()
}

fn steps_verdicts(policy: &Policy, steps: StepsView<'_>, shell: &str) -> Vec<Result<(), Refused>> {
    let used: BTreeSet<u16> = steps.nodes.iter().map(|node| node.kind.to_native()).collect();
    let names = used.into_iter().filter_map(NodeKind::from_number).filter_map(judged_name);
    let mut verdicts: Vec<_> = names.map(|name| policy.check_decorator(name)).collect();
    let sandbox = policy.check_sandbox(opal_exec::confine::probe());
    verdicts.extend([policy.check_shell(shell), policy.check_steps(opal_core::show::step_count(steps)), sandbox]);
    verdicts
}

/// What policy says about what a program may touch.
///
/// # Errors
/// A decorator that it does not allow.
pub fn check_imports(policy: &Policy, program: ProgramView<'_>) -> Result<(), Refusal> {
    Ok(imports_verdicts(policy, program).into_iter().collect::<Result<(), _>>()?)
}

/// What policy says about steps and the shell that runs them.
///
/// # Errors
/// A decorator or shell that it does not allow, or too many steps.
pub fn check_steps(policy: &Policy, steps: StepsView<'_>, shell: &str) -> Result<(), Refusal> {
    Ok(steps_verdicts(policy, steps, shell).into_iter().collect::<Result<(), _>>()?)
}

/// What replanning gave.
pub struct Replanned {
    /// What the contract and this host have in common, and what not.
    pub comparison: Comparison,
    /// Whether the source file was there and its digest compared with the one that the contract claims.
    pub source_checked: bool,
    /// The contract's seed.
    pub seed: Seed,
    /// The contract's sub-keys.
    pub sub_keys: SubKeys,
    /// The key that opened it.
    pub opened_by: PublicKey,
}

/// Compares the source, has the envelope opened and the program planned, and compares. `then` is given the comparison and what it takes to plan again.
///
/// # Errors
/// A policy that wants the source, a seed that no key here opens, a shell that is not here, or a planner that has ended. Drift is no error.
pub fn replan<T>(
    admitted: &Admitted<'_>,
    request: &Request,
    site: &Site,
    planner: &mut Planner,
    keys: &mut Keys,
    secrets: &Arc<Secrets>,
    then: impl FnOnce(&Replanned, &Replanning<'_>, &mut Planner) -> Result<T, Refusal>,
) -> Result<(Replanned, T), Refusal> {
    let contract = &admitted.contract;
    let (source_checked, source_drift) = check_source(contract, &admitted.trust.basis, request, site)?;
    site.policy.check_source(source_checked)?;
    check_shell(&contract.terms.shell)?;
    let (seed, opened_by) = unseal(admitted, request, site, keys)?;
    let sub_keys = contract.sub_keys(&seed).map_err(|error| Refusal::new(Code::Malformed, error.to_string()))?;
    let host = Host::new(site.base.clone(), &BTreeMap::new());
    let allowed = |decorator: &str| site.policy.check_decorator(decorator).is_ok();
    let replanning = Replanning::new(contract, &host, &allowed, secrets);
    let mut comparison = replanning.compare(planner, &seed, &sub_keys)?;
    if let Some(drift) = source_drift {
        comparison.note_source(drift);
    }
    let replanned = Replanned { comparison, source_checked, seed, sub_keys, opened_by };
    let more = then(&replanned, &replanning, planner)?;
    Ok((replanned, more))
}

/// Whether the source is here to be compared.
#[must_use]
pub fn source_here(contract: &Contract<'_>, request: &Request, site: &Site) -> bool {
    check_source(contract, &Basis::Expected, request, site).is_ok_and(|(checked, _)| checked)
}

fn check_source(contract: &Contract<'_>, basis: &Basis, request: &Request, site: &Site) -> Result<(bool, Option<Drift>), Refusal> {
    let name = contract.terms.source_name.clone();
    let beside = match &request.source {
        Some(_) => None,
        None if name == "-" || name.is_empty() => return Ok((false, missing_source(basis, &name))),
        None => Some(site.opener.open(site.base.join(&name))),
    };
    let Some(source) = request.source.as_ref().or(beside.as_ref()) else { return Ok((false, missing_source(basis, &name))) };
    let path = source.path();
    match digest_source(source, contract) {
        // That a file of this name is there at all is not for the caller to learn.
        Ok(false) if request.source.is_some() && source.is_hidden() => Err(source_unreadable(path, &Input::denied())),
        Ok(true) => Ok((true, None)),
        Ok(false) => {
            let program = match basis {
                Basis::Signed { .. } => "still as it was signed",
                Basis::Expected => "still the one that was expected",
                Basis::Unsigned => "signed by nobody",
            };
            let message = format!(
                "`{}` has not the digest that the contract claims for its source; the program inside the contract is {program}",
                escape(path.as_os_str().as_encoded_bytes(), false)
            );
            Ok((true, Some(Drift::told(DriftCode::SourceChanged, Some(name), message))))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && request.source.is_none() => Ok((false, missing_source(basis, &name))),
        Err(_) if source.is_hidden() => Err(source_unreadable(path, &Input::denied())),
        Err(error) => Err(source_unreadable(path, &error)),
    }
}

fn source_unreadable(path: &Path, error: &std::io::Error) -> Refusal {
    let reason = opal_core::plan::os_reason(error);
    Refusal::new(Code::SourceUnreadable, format!("cannot read the source: {reason}"))
        .at(path.display().to_string())
        .help(format!("check it: `ls -l {}`, or name another with `--source FILE`", path.display()))
}

/// An absent source is made up for by a trusted signature or `--expect`, not by `--allow-unsigned`.
fn missing_source(basis: &Basis, name: &str) -> Option<Drift> {
    matches!(basis, Basis::Unsigned).then(|| {
        let message = format!("the source `{name}` is not here, and no trusted signature or `--expect` stands in for it");
        Drift::told(DriftCode::SourceMissing, Some(name.to_owned()), message)
    })
}

fn digest_source(source: &Input, contract: &Contract<'_>) -> std::io::Result<bool> {
    use std::io::Read as _;
    /// Sources are at most this long (spec/language.md, "Sources").
    const SOURCE_MAX: u64 = 16 << 20;
    let file = source.open()?;
    if !file.metadata()?.is_file() {
        return Err(std::io::Error::other("not a regular file"));
    }
    let mut bytes = Vec::new();
    file.take(SOURCE_MAX.saturating_add(1)).read_to_end(&mut bytes)?;
    Ok(contract.header.algorithm.plain(&bytes) == contract.header.source_hash)
}

fn check_shell(shell: &str) -> Result<(), Refusal> {
    use std::os::unix::fs::PermissionsExt as _;
    let usable = std::fs::metadata(shell).is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0);
    if usable {
        return Ok(());
    }
    Err(Refusal::new(Code::ShellMissing, format!("the contract runs its steps in `{shell}`, which is not here"))
        .help("install bash there, or make the contract where bash has the same path"))
}

fn unseal(admitted: &Admitted<'_>, request: &Request, site: &Site, keys: &mut Keys) -> Result<(Seed, PublicKey), Refusal> {
    let contract = &admitted.contract;
    let named = !request.identities.is_empty();
    // Mostly the identity that was asked for its public half is the one: no other key is read then.
    if !named && let Some(opened) = keys.open(contract, 0)? {
        return Ok(opened);
    }
    let first = keys.held().len();
    for file in identity::for_unsealing(&site.paths, &request.identities)? {
        match keys.add(&file) {
            // Without names, the first that can be used may well be enough.
            Err(refusal) if named || keys.held().len() == first => return Err(refusal),
            Ok(_) | Err(_) => {}
        }
    }
    if let Some(opened) = keys.open(contract, first)? {
        return Ok(opened);
    }
    let held = keys.held().get(first..).unwrap_or_default();
    if let Some(named) = held.iter().find(|key| contract.recipients.contains(key)) {
        let message =
            format!("this contract names {} and does not open to it: it is damaged, or put together from others", named.fingerprint());
        return Err(
            Refusal::new(Code::InfraMissingSeedKeystore, message).help("take the file again from where it was made, or make a new one")
        );
    }
    let recipients: Vec<String> = contract.recipients.iter().map(PublicKey::fingerprint).collect();
    let sealed = if recipients.is_empty() { "nobody".to_owned() } else { recipients.join(", ") };
    Err(Refusal::new(Code::InfraMissingSeedKeystore, format!("no key here opens this contract; it is sealed to {sealed}"))
        .help(recipient_help(held)))
}

/// The `--recipient` that would have worked.
fn recipient_help(held: &[PublicKey]) -> String {
    match held.first() {
        Some(key) => format!("plan with `--recipient '{key}'`"),
        None => "make a key for this host with `opalc keygen`, and plan with `--recipient` and its public half; or name one with `--identity FILE`".to_owned(),
    }
}
