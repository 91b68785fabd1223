//! `/etc/opal/policy.toml`: what this host's owner lets contracts do.
//!
//! Each key is a [`Key`], and every method here that decides takes its value through one accessor, `Policy::flag` or one of its neighbours.
//! Any defect of the file stops every run (78).
//!
//! Read for: who is trusted, and what policy allows.

mod error;
mod keys;
mod signer;

use std::collections::BTreeMap;

use jiff::Timestamp;
use opal_format::identity::PublicKey;
use opal_format::kind::PlanType;
use toml::{Table, Value};

use super::locations::HostPaths;
use super::pattern::matches;
use super::revoked::Demand;
use opal_core::agreed::DirectAllowed;
use opal_core::code::Code;
use opal_core::failure::{Failure, Report};
use opal_core::sandbox::{Host, Sandbox, SandboxLevel};

use error::bad_value;
pub use error::{POLICY_FILE, PolicyError};
use keys::covers;
pub use keys::{Key, Kind, Moment, Row, Setting, Tighter, Unset};
pub use signer::{SignerEntry, Subject};

/// A refusal by policy (24).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{subject}, which `{}` in {POLICY_FILE} does not allow", key.name())]
pub struct Refused {
    /// The key that refuses.
    pub key: Key,
    /// What it refuses.
    pub subject: String,
}

impl Failure for Refused {
    fn report(&self) -> Report {
        let help = format!("ask the owner of this host to change `{}`, or plan without it", self.key.name());
        Report::new(Code::PolicyRefused, help)
    }
}

/// What trust asks of signatures, from the policy and the kind of run.
#[derive(Debug, Clone, Copy)]
pub struct Rules<'a> {
    /// How many distinct principals must have signed; 0 counts as 1.
    pub threshold: u32,
    /// Whether neither `--expect` nor `--allow-unsigned` stands in for signatures.
    pub require_signature: bool,
    /// Whether only signatures by a security key count, which somebody has touched.
    pub touch: bool,
    /// What each principal may sign. Where there are entries, one without any may sign nothing; where there are none, everything.
    pub entries: &'a [SignerEntry],
}

/// The policy of this host. [`Policy::default`] is the built-in one, which restricts nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Policy {
    settings: BTreeMap<Key, Setting>,
    /// `[[signer]]`. Several entries of one principal add up.
    pub signers: Vec<SignerEntry>,
}

impl Policy {
    /// Reads `/etc/opal/policy.toml`; `None` if there is none.
    ///
    /// # Errors
    /// A [`PolicyError`]; the caller must stop.
    pub fn load(paths: &HostPaths) -> Result<Option<Self>, PolicyError> {
        paths.read_etc("policy.toml")?.map(|bytes| Self::parse(&bytes)).transpose()
    }

    /// Reads the bytes of a policy.
    ///
    /// # Errors
    /// A [`PolicyError`] for the first defect.
    pub fn parse(bytes: &[u8]) -> Result<Self, PolicyError> {
        let line_at = |at: usize| bytes.iter().take(at).filter(|b| **b == b'\n').count().saturating_add(1);
        let text = std::str::from_utf8(bytes)
            .map_err(|error| PolicyError::Syntax { line: line_at(error.valid_up_to()), message: "it is not UTF-8 text".to_owned() })?;
        let tables: Table = text.parse().map_err(|error: toml::de::Error| PolicyError::Syntax {
            line: line_at(error.span().map_or(0, |span| span.start)),
            message: error.message().to_owned(),
        })?;
        let mut policy = Self::default();
        for (table, content) in tables {
            match content {
                content if table == "signer" => {
                    let entries = content.as_array().ok_or_else(|| bad_value("signer", "an array of tables, `[[signer]]`", &content))?;
                    policy.signers = entries.iter().map(SignerEntry::read).collect::<Result<_, _>>()?;
                }
                Value::Table(content) if Key::is_table(&table) => {
                    for (name, value) in content {
                        let name = format!("{table}.{name}");
                        let key = Key::named(&name).ok_or(PolicyError::UnknownKey { key: name })?;
                        let Row { name, kind, .. } = key.row();
                        let setting = kind.read(&value).map_err(|wrong| bad_value(name, kind.text(), wrong))?;
                        policy.settings.insert(key, setting);
                    }
                }
                _ => return Err(PolicyError::UnknownKey { key: table }),
            }
        }
        Ok(policy)
    }

    /// The value of a key that is set, as the file would write it.
    #[must_use]
    pub fn shown(&self, key: Key) -> Option<String> {
        self.settings.get(&key).map(|setting| setting.show(key.row().kind))
    }

    /// Whether a key holds that the kind of run does not matter to, or outside of guarded runs.
    fn flag(&self, key: Key) -> bool {
        self.flag_in(key, false)
    }

    /// Whether a key holds in a run that is guarded or not.
    fn flag_in(&self, key: Key, guarded: bool) -> bool {
        match (self.settings.get(&key), key.row().unset) {
            (Some(Setting::Bool(value)), _) => *value,
            (_, Unset::Always(value)) => value,
            (_, Unset::Guarded(value)) => value == guarded,
            (_, Unset::Words(_)) => false,
        }
    }

    fn number(&self, key: Key) -> Option<i64> {
        match self.settings.get(&key)? {
            Setting::Number(value) => Some(*value),
            Setting::Bool(_) | Setting::Text(_) | Setting::List(_) => None,
        }
    }

    fn count(&self, key: Key) -> Option<u32> {
        self.number(key).and_then(|n| u32::try_from(n).ok())
    }

    fn list(&self, key: Key) -> Option<&[String]> {
        match self.settings.get(&key)? {
            Setting::List(list) => Some(list),
            Setting::Bool(_) | Setting::Text(_) | Setting::Number(_) => None,
        }
    }

    fn text(&self, key: Key) -> Option<&str> {
        match self.settings.get(&key)? {
            Setting::Text(text) => Some(text),
            Setting::Bool(_) | Setting::List(_) | Setting::Number(_) => None,
        }
    }

    /// `trust.own_identity`, by default no.
    #[must_use]
    pub fn own_identity(&self) -> bool {
        self.flag(Key::OwnIdentity)
    }

    /// What [`judge`](super::judge::judge) asks of signatures. They are required by the key, and in a guarded run unless the key says no:
    /// whoever may only start such a run must not be able to choose what it is.
    #[must_use]
    pub fn trust_rules(&self, guarded: bool) -> Rules<'_> {
        Rules {
            threshold: self.count(Key::Threshold).unwrap_or(1),
            require_signature: self.flag_in(Key::RequireSignature, guarded),
            touch: self.flag(Key::Touch),
            entries: &self.signers,
        }
    }

    /// `trust.vouches`, by default none.
    #[must_use]
    pub fn vouches(&self) -> u32 {
        self.count(Key::Vouches).unwrap_or(0)
    }

    /// Whether steps may run without a contract. What the file demands of a contract, a run without one has not: each such key refuses it.
    ///
    /// # Errors
    /// [`Refused`] by the first of these keys, without `trust.direct`.
    pub fn check_direct(&self) -> Result<DirectAllowed, Refused> {
        let more_than_one = self.count(Key::Threshold).is_some_and(|need| need > 1);
        let demands = [
            (Key::RequireSignature, self.flag(Key::RequireSignature)),
            (Key::Threshold, more_than_one),
            (Key::Vouches, self.vouches() > 0),
            (Key::Touch, self.flag(Key::Touch)),
            (Key::RequireExpiry, self.flag(Key::RequireExpiry)),
            (Key::RequireHost, self.flag(Key::RequireHost)),
            (Key::MaxAge, self.number(Key::MaxAge).is_some()),
        ];
        let demanded = demands.into_iter().find(|(_, demanded)| *demanded).filter(|_| !self.flag(Key::Direct));
        let verdict = demanded.map_or(Ok(()), |(key, _)| refuse_if(true, key, || "this run has no contract".to_owned()));
        DirectAllowed::judged(verdict)
    }

    /// Judges whether a contract may be without an end, by `plan.require_expiry` (default yes).
    ///
    /// # Errors
    /// [`Refused`] with the key.
    pub fn check_end(&self, not_after: Option<i64>) -> Result<(), Refused> {
        let endless = self.flag(Key::RequireExpiry) && not_after.is_none();
        refuse_if(endless, Key::RequireExpiry, || "the contract never expires".to_owned())
    }

    /// Judges whether a contract may be for any host, by `plan.require_host` (default yes).
    ///
    /// # Errors
    /// [`Refused`] with the key.
    pub fn check_hosts(&self, audience: &[PublicKey]) -> Result<(), Refused> {
        let any = self.flag(Key::RequireHost) && audience.is_empty();
        refuse_if(any, Key::RequireHost, || "the contract is for any host".to_owned())
    }

    /// What the list of what is revoked has to be: `trust.revoked_by`, `trust.revoked_max_age`.
    #[must_use]
    pub fn revocation(&self) -> Demand<'_> {
        Demand { by: self.text(Key::RevokedBy), age_max: self.number(Key::RevokedMaxAge) }
    }

    /// Judges the age of a contract by `plan.max_age` (default none). One from the future is as old as it is early.
    ///
    /// # Errors
    /// [`Refused`] with the key.
    pub fn check_age(&self, created: Timestamp, now: Timestamp) -> Result<(), Refused> {
        let age = now.as_nanosecond().abs_diff(created.as_nanosecond());
        let too_old = self.number(Key::MaxAge).is_some_and(|max| age > u128::from(max.unsigned_abs()));
        refuse_if(too_old, Key::MaxAge, || format!("the contract was made at {created}"))
    }

    /// Judges the type of a plan by `plan.types` (default all).
    ///
    /// # Errors
    /// [`Refused`] with the key.
    pub fn check_plan_type(&self, plan_type: PlanType) -> Result<(), Refused> {
        let name = plan_type.name();
        let refused = self.list(Key::Types).is_some_and(|types| !types.iter().any(|allowed| allowed == name));
        refuse_if(refused, Key::Types, || format!("the plan is of type `{name}`"))
    }

    /// Judges whether a run may go without its source being checked, by `plan.require_source` (default no).
    ///
    /// # Errors
    /// [`Refused`] with the key.
    pub fn check_source(&self, source_checked: bool) -> Result<(), Refused> {
        let refused = self.flag(Key::RequireSource) && !source_checked;
        refuse_if(refused, Key::RequireSource, || "the source is not here".to_owned())
    }

    /// `plan.single_use`, by default no.
    #[must_use]
    pub fn single_use(&self) -> bool {
        self.flag(Key::SingleUse)
    }

    /// Judges a start in the middle by `plan.partial`, by default only in runs that are not guarded.
    ///
    /// # Errors
    /// [`Refused`] with the key.
    pub fn check_partial(&self, guarded: bool) -> Result<(), Refused> {
        let refused = !self.flag_in(Key::Partial, guarded);
        refuse_if(refused, Key::Partial, || "the run would start in the middle".to_owned())
    }

    /// Judges a run in spite of drift by `plan.force`, by default only in runs that are not guarded: values were signed for as well, and
    /// whoever runs a guarded contract must not be able to choose others.
    ///
    /// # Errors
    /// [`Refused`] with the key.
    pub fn check_force(&self, guarded: bool) -> Result<(), Refused> {
        let refused = !self.flag_in(Key::Force, guarded);
        refuse_if(refused, Key::Force, || "`--force` would run in spite of drift".to_owned())
    }

    /// Judges the use of a decorator, by name without `@`. `decorators.deny` goes first, then `decorators.allow`
    /// (default all). A variable promised to the steps counts as `env`.
    ///
    /// # Errors
    /// [`Refused`] with the key.
    pub fn check_decorator(&self, name: &str) -> Result<(), Refused> {
        let named_in = |list: &[String]| list.iter().any(|entry| covers(entry, name) || (name == "pass_env" && covers(entry, "env")));
        let subject = || format!("the plan uses `@{name}`");
        refuse_if(self.list(Key::Deny).is_some_and(named_in), Key::Deny, subject)?;
        refuse_if(self.list(Key::Allow).is_some_and(|list| !named_in(list)), Key::Allow, subject)
    }

    /// Whether steps start from a clean environment: `env.mode`, by default in guarded runs.
    #[must_use]
    pub fn clean_environment(&self, guarded: bool) -> bool {
        self.number(Key::EnvMode).map_or(guarded, |mode| mode > 0)
    }

    /// Whether a clean environment keeps a variable: `env.pass`, by default none.
    #[must_use]
    pub fn passes_variable(&self, name: &str) -> bool {
        self.list(Key::EnvPass).is_some_and(|list| list.iter().any(|pattern| matches(pattern, name)))
    }

    /// `env.path`: the steps' `PATH`, by default the system's in a clean environment and the caller's else.
    #[must_use]
    pub fn search_path(&self) -> Option<&str> {
        self.text(Key::EnvPath)
    }

    /// Judges the shell that a contract names by `run.shell` (default any).
    ///
    /// # Errors
    /// [`Refused`] with the key.
    pub fn check_shell(&self, shell: &str) -> Result<(), Refused> {
        let refused = self.text(Key::Shell).is_some_and(|allowed| allowed != shell);
        refuse_if(refused, Key::Shell, || format!("the steps run in `{shell}`"))
    }

    /// `run.output`: where the results of guarded runs go, by default nowhere.
    #[must_use]
    pub fn output(&self) -> Option<&str> {
        self.text(Key::Output)
    }

    /// The directory that a run starts in, where the policy or the contract (`agreed`, empty for none) says it.
    ///
    /// # Errors
    /// [`Refused`] by `run.directory` where the two differ.
    pub fn start_directory<'a>(&'a self, agreed: &'a str) -> Result<Option<&'a str>, Refused> {
        let agreed = Some(agreed).filter(|agreed| !agreed.is_empty());
        let Some(fixed) = self.text(Key::Directory) else { return Ok(agreed) };
        // A `/` at the end names no other place.
        let other = agreed.filter(|agreed| std::path::Path::new(agreed) != std::path::Path::new(fixed));
        refuse_if(other.is_some(), Key::Directory, || format!("the contract is to start in `{}`", other.unwrap_or_default()))?;
        Ok(Some(fixed))
    }

    /// Judges whether a single-use contract is counted where nobody but root can move the count: by `plan.single_use` it must be.
    ///
    /// # Errors
    /// [`Refused`] with the key, where `system` says that the ledger of this run is not the system's.
    pub fn check_ledger(&self, system: bool) -> Result<(), Refused> {
        let refused = self.single_use() && !system;
        refuse_if(refused, Key::SingleUse, || "only root's runs are counted in the system's ledger; this is a user's run".to_owned())
    }

    /// Judges whether whoever called may be shown what root can read, by `run.reveal`; by default only in runs that are not guarded.
    ///
    /// # Errors
    /// [`Refused`] with the key.
    pub fn check_reveal(&self, guarded: bool, what: &str) -> Result<(), Refused> {
        refuse_if(!self.flag_in(Key::Reveal, guarded), Key::Reveal, || what.to_owned())
    }

    /// Judges the number of steps by `run.max_steps` (default: the format's limit).
    ///
    /// # Errors
    /// [`Refused`] with the key.
    pub fn check_steps(&self, steps: usize) -> Result<(), Refused> {
        let limit = self.count(Key::MaxSteps).and_then(|limit| usize::try_from(limit).ok());
        refuse_if(limit.is_some_and(|limit| steps > limit), Key::MaxSteps, || format!("the plan has {steps} steps"))
    }

    /// `run.timeout` in nanoseconds, by default none.
    #[must_use]
    pub fn timeout_ns(&self) -> Option<i64> {
        self.number(Key::Timeout)
    }

    /// The time between TERM and KILL, in nanoseconds: `default`, or `run.grace` if that is shorter.
    #[must_use]
    pub fn grace_ns(&self, default: i64) -> i64 {
        self.number(Key::Grace).map_or(default, |limit| limit.min(default))
    }

    /// How many branches may run at once: `wanted`, or `run.max_parallel` if that is fewer.
    #[must_use]
    pub fn parallel(&self, wanted: u32) -> u32 {
        self.count(Key::MaxParallel).map_or(wanted, |limit| limit.min(wanted))
    }

    /// Refuses every run where `sandbox.level` is `required` and this host cannot enforce what the other keys ask for.
    ///
    /// # Errors
    /// [`Refused`] with the key.
    pub fn check_sandbox(&self, host: Host) -> Result<(), Refused> {
        let missing = self.sandbox().missing(host).filter(|_| self.sandbox_level() == SandboxLevel::Required);
        refuse_if(missing.is_some(), Key::SandboxLevel, || format!("the steps would run unconfined ({})", missing.unwrap_or_default()))?;
        let missing = host.missing_to_hide().filter(|_| self.flag(Key::HideIdentity));
        refuse_if(missing.is_some(), Key::HideIdentity, || format!("the steps could read private keys ({})", missing.unwrap_or_default()))
    }

    /// Refuses every contract where `sandbox.planner` is `required` and something that holds the planner is `missing` here.
    ///
    /// # Errors
    /// [`Refused`] with the key.
    pub fn check_planner(&self, missing: Option<&str>) -> Result<(), Refused> {
        let required = self.number(Key::SandboxPlanner) == Some(1);
        refuse_if(required && missing.is_some(), Key::SandboxPlanner, || {
            format!("nothing would hold the process that plans ({})", missing.unwrap_or_default())
        })
    }

    /// `[sandbox]`: what confines every step, by default nothing.
    #[must_use]
    pub fn sandbox(&self) -> Sandbox {
        let list = |key| self.list(key).map(<[String]>::to_vec);
        let (level, network) = (self.sandbox_level(), self.flag(Key::SandboxNetwork));
        let hide_identity = self.flag(Key::HideIdentity);
        Sandbox { level, read: list(Key::SandboxRead), write: list(Key::SandboxWrite), network, hide_identity }
    }

    /// `sandbox.level`, by default none.
    #[must_use]
    pub fn sandbox_level(&self) -> SandboxLevel {
        match self.number(Key::SandboxLevel) {
            None | Some(0) => SandboxLevel::None,
            Some(1) => SandboxLevel::BestEffort,
            Some(_) => SandboxLevel::Required,
        }
    }
}

fn refuse_if(refused: bool, key: Key, subject: impl FnOnce() -> String) -> Result<(), Refused> {
    if refused { Err(Refused { key, subject: subject() }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::super::locations::fixture;
    use super::*;
    use proptest::prelude::*;
    use std::os::unix::fs::PermissionsExt as _;

    const FULL: &str = r#"
        [trust]
        require_signature = true
        threshold = 2
        touch = true
        vouches = 1
        own_identity = true
        direct = true
        revoked_by = "security"
        revoked_max_age = "7d"
        [[signer]]
        principal = "alice"
        targets = ["deploy", "db-*"]
        [[signer]]
        principal = "bob"
        sources = ["ops/*.opl"]
        [plan]
        max_age = "24h"
        require_expiry = true
        require_host = true
        require_source = true
        single_use = true
        partial = true
        force = false
        types = ["atomic", "sequence"]
        [decorators]
        allow = ["shell", "env", "file"]
        deny = ["file.read"]
        [env]
        mode = "clean"
        pass = ["LC_*", "CI"]
        path = "/usr/bin:/bin"
        [run]
        shell = "/bin/bash"
        output = "/srv/results"
        directory = "/srv/app"
        reveal = true
        timeout = "1h"
        grace = "2s"
        max_parallel = 3
        max_steps = 10
        [sandbox]
        level = "best-effort"
        read = ["/usr"]
        write = ["/srv/app"]
        planner = "required"
        hide_identity = true
        network = false
    "#;

    fn policy(text: &str) -> Policy {
        Policy::parse(text.as_bytes()).expect("reads")
    }

    fn time(text: &str) -> Timestamp {
        text.parse().expect("time")
    }

    fn refuser(result: Result<(), Refused>) -> &'static str {
        let refused = result.expect_err("refused");
        assert_eq!(refused.exit(), 24);
        assert!(refused.to_string().contains(refused.key.name()), "{refused}");
        refused.key.name()
    }

    #[test]
    fn every_key_is_read_and_shown_as_the_file_writes_it() {
        let read = policy(FULL);
        for key in Key::ALL {
            let (name, text) = (key.name(), read.shown(*key).expect("it is set"));
            let (table, entry) = name.split_once('.').expect("table and key");
            let again = policy(&format!("[{table}]\n{entry} = {text}"));
            assert_eq!(again.settings.get(key), read.settings.get(key), "{name} = {text}");
        }
        assert_eq!(read.signers.len(), 2);
    }

    #[test]
    fn the_built_in_policy_refuses_only_what_a_guarded_run_may_not_do() {
        let built_in = Policy::default();
        let now = time("2026-01-01T00:00:00Z");
        assert_eq!(built_in.check_age(time("1999-01-01T00:00:00Z"), now), Ok(()));
        assert_eq!(built_in.check_end(None), Ok(()));
        assert!(built_in.check_direct().is_ok());
        assert_eq!(built_in.check_source(false), Ok(()));
        assert_eq!(built_in.check_force(false), Ok(()));
        assert_eq!(refuser(built_in.check_force(true)), "plan.force");
        assert_eq!(built_in.check_partial(false), Ok(()));
        assert_eq!(refuser(built_in.check_partial(true)), "plan.partial");
        assert_eq!(built_in.check_decorator("shell"), Ok(()));
        assert_eq!(built_in.check_shell("/any/bash"), Ok(()));
        assert_eq!(built_in.check_steps(usize::MAX), Ok(()));
        assert_eq!(built_in.check_plan_type(PlanType::Campaign), Ok(()));
        assert!(!built_in.clean_environment(false) && built_in.clean_environment(true));
        assert!(!built_in.passes_variable("CI") && !built_in.own_identity() && !built_in.single_use());
        assert_eq!((built_in.timeout_ns(), built_in.grace_ns(5), built_in.parallel(8)), (None, 5, 8));
        let sandbox = built_in.sandbox();
        assert_eq!((sandbox.level, sandbox.network, sandbox.read), (SandboxLevel::None, true, None));
        let requires = |policy: &Policy, guarded| policy.trust_rules(guarded).require_signature;
        assert!(!requires(&built_in, false) && requires(&built_in, true));
        assert!(!requires(&policy("trust.require_signature = false"), true));
    }

    #[test]
    fn each_key_refuses_what_it_names_and_nothing_else() {
        let full = policy(FULL);
        let (now, created) = (time("2026-01-02T00:00:00Z"), time("2026-01-01T00:00:00Z"));
        assert_eq!((full.check_age(created, now), full.check_end(Some(0))), (Ok(()), Ok(())));
        assert_eq!(refuser(full.check_end(None)), "plan.require_expiry");
        assert_eq!(refuser(full.check_age(time("2025-12-31T23:59:59Z"), now)), "plan.max_age");
        assert_eq!(refuser(full.check_age(time("2026-01-03T00:00:01Z"), now)), "plan.max_age");
        assert_eq!(refuser(full.check_hosts(&[])), "plan.require_host");
        assert_eq!(Policy::default().check_hosts(&[]), Ok(()));
        assert_eq!((full.revocation().by, full.revocation().age_max), (Some("security"), Some(604_800_000_000_000)));
        assert_eq!(refuser(full.check_source(false)), "plan.require_source");
        assert_eq!(full.check_source(true), Ok(()));
        assert_eq!(refuser(full.check_force(false)), "plan.force");
        assert_eq!(full.check_partial(true), Ok(()));
        assert!(full.single_use() && full.own_identity());
        assert_eq!(refuser(full.check_plan_type(PlanType::Matrix)), "plan.types");
        assert_eq!(full.check_plan_type(PlanType::Atomic), Ok(()));
        assert_eq!(full.check_decorator("file.sha256"), Ok(()));
        assert_eq!(full.check_decorator("pass_env"), Ok(()));
        assert_eq!(refuser(full.check_decorator("file.read")), "decorators.deny");
        assert_eq!(refuser(full.check_decorator("random.password")), "decorators.allow");
        assert_eq!(full.check_shell("/bin/bash"), Ok(()));
        assert_eq!(refuser(full.check_shell("/tmp/bash")), "run.shell");
        assert_eq!(full.check_steps(10), Ok(()));
        assert_eq!(refuser(full.check_steps(11)), "run.max_steps");
        assert!(full.check_direct().is_ok());
        assert_eq!(full.start_directory(""), Ok(Some("/srv/app")));
        assert_eq!(full.start_directory("/srv/app"), Ok(Some("/srv/app")));
        assert_eq!(full.start_directory("/srv/other").expect_err("refused").key, Key::Directory);
        assert_eq!(Policy::default().start_directory("/a"), Ok(Some("/a")));
        assert_eq!((Policy::default().start_directory(""), Policy::default().check_ledger(false)), (Ok(None), Ok(())));
        assert_eq!((refuser(full.check_ledger(false)), full.check_ledger(true)), ("plan.single_use", Ok(())));
        assert_eq!((full.output(), full.check_reveal(true, "this")), (Some("/srv/results"), Ok(())));
        assert_eq!(refuser(Policy::default().check_reveal(true, "this")), "run.reveal");
        assert_eq!(refuser(policy("run.reveal = false").check_reveal(false, "this")), "run.reveal");
        assert_eq!((Policy::default().output(), Policy::default().check_reveal(false, "this")), (None, Ok(())));
        for (key, value) in [
            ("trust.require_signature", "true"),
            ("trust.threshold", "2"),
            ("trust.vouches", "1"),
            ("trust.touch", "true"),
            ("plan.require_expiry", "true"),
            ("plan.require_host", "true"),
            ("plan.max_age", "\"1h\""),
        ] {
            assert_eq!(refuser(policy(&format!("{key} = {value}")).check_direct().map(drop)), key);
            assert!(policy(&format!("{key} = {value}\ntrust.direct = true")).check_direct().is_ok());
        }
        assert!(policy("trust.threshold = 1\nplan.require_expiry = false").check_direct().is_ok());
        assert_eq!(refuser(policy("decorators.deny = [\"env\"]").check_decorator("pass_env")), "decorators.deny");
        assert_eq!(refuser(policy("decorators.deny = [\"pass_env\"]").check_decorator("pass_env")), "decorators.deny");
        assert!(full.passes_variable("LC_ALL") && full.passes_variable("CI") && !full.passes_variable("HOME"));
        assert_eq!(full.search_path(), Some("/usr/bin:/bin"));
        assert_eq!(full.timeout_ns(), Some(3_600_000_000_000));
        assert_eq!((full.grace_ns(5_000_000_000), full.parallel(8), full.parallel(2)), (2_000_000_000, 3, 2));
        assert_eq!(full.sandbox_level(), SandboxLevel::BestEffort);
        let new = Host { landlock: 6, seccomp: true, mounts: true };
        let (old, none, unmounted) = (Host { landlock: 2, ..new }, Host { landlock: 0, ..new }, Host { mounts: false, ..new });
        assert_eq!((full.check_sandbox(new), refuser(full.check_sandbox(unmounted))), (Ok(()), "sandbox.hide_identity"));
        assert_eq!(refuser(full.check_sandbox(none)), "sandbox.hide_identity");
        assert_eq!(policy("sandbox.level = \"best-effort\"").check_sandbox(none), Ok(()));
        let required = policy("sandbox.level = \"required\"");
        assert_eq!((required.check_sandbox(new), required.check_sandbox(old)), (Ok(()), Ok(())));
        assert_eq!(refuser(required.check_sandbox(none)), "sandbox.level");
        let built_in = Policy::default();
        assert_eq!((built_in.check_planner(Some("nothing")), built_in.check_planner(None)), (Ok(()), Ok(())));
        let held = policy("sandbox.planner = \"required\"");
        assert_eq!((held.check_planner(None), refuser(held.check_planner(Some("nothing")))), (Ok(()), "sandbox.planner"));
        assert_eq!(refuser(required.check_sandbox(Host { seccomp: false, ..new })), "sandbox.level");
        assert_eq!(refuser(policy("sandbox = { level = \"required\", write = [] }").check_sandbox(old)), "sandbox.level");
        let sandbox = full.sandbox();
        assert_eq!((sandbox.read, sandbox.network), (Some(vec!["/usr".to_owned()]), false));
        assert_eq!((full.trust_rules(false).threshold, full.trust_rules(false).require_signature), (2, true));
        assert!(!policy("env.mode = \"inherit\"").clean_environment(true));
    }

    #[test]
    fn each_defect_of_the_file_stops_everything() {
        let error = |text: &str| {
            let error = Policy::parse(text.as_bytes()).expect_err(text);
            assert_eq!(error.exit(), 78);
            (error.code().name(), error.to_string())
        };
        for text in
            ["[plan]\nmaxage = \"1h\"", "[plans]", "[plans]\nx = 1", "x = 1", "[trust.keys]", "[[signer]]\nprincipal = \"a\"\ntarget = []"]
        {
            assert_eq!(error(text).0, "policy_unknown_key", "{text}");
        }
        for text in [
            "[plan]\nmax_age = 24",
            "[plan]\nmax_age = \"1.5h\"",
            "[plan]\nmax_age = \"-1h\"",
            "[plan]\nforce = \"no\"",
            "[plan]\ntypes = [\"adaptive\"]",
            "[plan]\ntypes = \"atomic\"",
            "[trust]\nthreshold = 0",
            "[trust]\nvouches = 0",
            "[trust]\nvouches = \"1\"",
            "[trust]\nthreshold = 4294967296",
            "[trust.threshold]\nx = 1",
            "[decorators]\ndeny = [\"@env\"]",
            "[decorators]\ndeny = [\"evn\"]",
            "[env]\nmode = \"dirty\"",
            "[env]\npass = [\"A=B\"]",
            "[env]\npath = \"/bin::/usr/bin\"",
            "[run]\nshell = \"bash\"",
            "[sandbox]\nread = [\"tmp\"]",
            "[sandbox]\nlevel = 1",
            "signer = 1",
            "[signer]\nprincipal = \"a\"",
            "signer = [1]",
            "[[signer]]\nprincipal = \"\"",
            "[[signer]]\nprincipal = \"a\"\ntargets = \"x\"",
            "[[signer]]\nprincipal = \"a\"\nprograms = [\"sha256:0\"]",
            "[[signer]]\nprincipal = \"a\"\narguments = [\"x\"]",
            "[[signer]]\nprincipal = \"a\"\narguments = { x = { y = 1 } }",
        ] {
            assert_eq!(error(text).0, "policy_bad_value", "{text}");
        }
        assert_eq!(error("[[signer]]\ntargets = [\"a\"]").0, "policy_missing_key");
        assert!(error("[plan]\nforce = true\nforce = true").1.contains("line 3"));
        assert!(Policy::parse(b"\n\xff").expect_err("no text").to_string().contains("line 2"));
        assert!(error("[env]\nmode = \"dirty\"").1.contains("one of `inherit`, `clean`"));
        let misplaced = Policy::parse(b"[run]\nmax_age = \"1h\"").expect_err("unknown");
        assert!(misplaced.help().contains("plan.max_age"));
    }

    #[test]
    fn a_policy_that_others_may_write_to_stops_everything() {
        let (paths, temp) = fixture::host();
        assert!(Policy::load(&paths).expect("none").is_none());
        fixture::etc_file(&paths, "policy.toml", "[plan]\nforce = false");
        assert!(Policy::load(&paths).expect("reads").is_some_and(|policy| policy.check_force(false).is_err()));
        let file = temp.path().join("etc/opal/policy.toml");
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o666)).expect("chmod");
        let refused = Policy::load(&paths).expect_err("unsafe");
        assert_eq!((refused.code().name(), refused.exit()), ("unsafe_mode", 78));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Policy::parse(&bytes);
        }

        #[test]
        fn any_value_of_any_key_is_read_without_panic(
            key in proptest::sample::select(Key::ALL),
            value in "(\"[^\"\\\\\n]{0,8}\"|-?[0-9]{1,20}|\\[(\"[a-z.*/]{0,6}\",?){0,3}\\]|\\{\\}|true|[0-9-]{10}|.{0,6})",
        ) {
            let _ = Policy::parse(format!("{} = {value}", key.name()).as_bytes());
        }
    }
}
