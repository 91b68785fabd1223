//! Whether a contract is trusted: a pure decision over its verified signatures and what this host believes.
//!
//! Order of the refusals: revoked contract, revoked key, wrong `--expect`, then what the signatures are worth. What
//! a further signature adds never takes away what the others gave, a revoked key's excepted.
//!
//! Read for: who is trusted, and what policy allows.

use std::fmt;

use jiff::Timestamp;
use opal_format::credential::Signatory;
use opal_format::hash::Digest;
use opal_format::identity::PublicKey;
use opal_format::signature::NAMESPACE_PLAN;

use super::locations::HostPaths;
use super::pattern::matches;
use super::policy::{Policy, Rules, SignerEntry, Subject};
use super::revoked::Revoked;
use super::safe_path::{SafePathError, forbid};
use super::signers::{Inactive, LineError, Signer, parse};
use opal_core::code::Code;
use opal_core::failure::{Failure, Report};

/// The most signatures a contract holds (spec/plan-format.md).
const SIGNATURES_MAX: usize = 16;

/// Principal of the caller's own identity. The space keeps it apart from every name in a file.
const OWN: &str = "own identity";

/// Where a trusted key is listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The caller's own identity.
    Own,
    /// The user's `allowed_signers`.
    User,
    /// `/etc/opal/allowed_signers`.
    System,
}

/// Every key this run may trust, and what never runs.
#[derive(Debug, Clone, Default)]
pub struct TrustSet {
    /// Keys with their entries. One key may stand in several.
    pub signers: Vec<(Origin, Signer)>,
    /// `/etc/opal/revoked`.
    pub revoked: Revoked,
}

/// Why the trusted set cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum TrustSetError {
    /// A file or a directory above it is not safe.
    #[error(transparent)]
    Path(#[from] SafePathError),
    /// A line is wrong.
    #[error(transparent)]
    Line(#[from] LineError),
    /// An entry of the policy is about nobody.
    #[error("the [[signer]] entry for `{principal}` is about nobody in allowed_signers")]
    EntryUnmatched {
        /// Its principal.
        principal: String,
    },
}

impl Failure for TrustSetError {
    fn report(&self) -> Report {
        match self {
            Self::Path(error) => error.report(),
            Self::Line(error) => error.report(),
            Self::EntryUnmatched { .. } => Report::new(
                Code::SignerEntryUnmatched,
                "correct the principal in /etc/opal/policy.toml, or add its line to /etc/opal/allowed_signers",
            ),
        }
    }
}

impl TrustSet {
    /// Reads what counts in this run. In a guarded run the user's own file is not even opened, and `own` counts
    /// only if the policy says so.
    ///
    /// # Errors
    /// A [`TrustSetError`] if a file is there but cannot be believed or read.
    pub fn load(paths: &HostPaths, own: Option<PublicKey>, guarded: bool, policy: &Policy) -> Result<Self, TrustSetError> {
        const FILE: &str = "allowed_signers";
        let zone = paths.time_zone();
        let etc = paths.etc.join("opal");
        let mut set = Self::default();
        if let Some(key) = own.filter(|_| !guarded || policy.own_identity()) {
            let principals = vec![OWN.to_owned()];
            let signer = Signer { principals, authority: None, namespaces: None, valid_after: None, valid_before: None, key: key.into() };
            set.signers.push((Origin::Own, signer));
        }
        if !guarded
            && let Some(dir) = paths.config_dir()?
            && let Some(bytes) = dir.read_file(FILE, forbid::WRITING, super::locations::TRUST_FILE_SIZE_MAX)?
        {
            let signers = parse(&bytes, &dir.path().join(FILE), &zone)?;
            set.signers.extend(signers.into_iter().map(|signer| (Origin::User, signer)));
        }
        if let Some(bytes) = paths.read_etc(FILE)? {
            let signers = parse(&bytes, &etc.join(FILE), &zone)?;
            set.signers.extend(signers.into_iter().map(|signer| (Origin::System, signer)));
        }
        if let Some(bytes) = paths.read_etc("revoked")? {
            set.revoked = Revoked::parse(&bytes, &etc.join("revoked"))?;
        }
        // A name that was spelt wrong would restrict nobody.
        let is_about = |entry: &SignerEntry| set.signers.iter().any(|(_, signer)| signer.may_be(&entry.principal));
        if let Some(entry) = policy.signers.iter().find(|entry| !is_about(entry)) {
            return Err(TrustSetError::EntryUnmatched { principal: entry.principal.clone() });
        }
        Ok(set)
    }
}

/// What is asked about a contract.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// Those whose signatures over this contract verified, strictly and in the namespace `opal-plan`.
    pub verified: &'a [Signatory],
    /// The contract's hash.
    pub contract: Digest,
    /// What it is about; nothing before it has been decoded.
    pub subject: Option<Subject<'a>>,
    /// `--expect`.
    pub expect: Option<Digest>,
    /// `--allow-unsigned`.
    pub allow_unsigned: bool,
    /// The moment of the decision, taken once per run.
    pub now: Timestamp,
}

/// Why a contract may run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Basis {
    /// Enough trusted principals signed it.
    Signed {
        /// Those of them that were counted.
        principals: Vec<String>,
    },
    /// Its hash is the one the caller named.
    Expected,
    /// The caller takes it as it is.
    Unsigned,
}

/// What one verified signature is worth.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assessment {
    /// Who signed.
    pub signatory: Signatory,
    /// The verdict on them.
    pub verdict: Verdict,
}

/// The verdict on a signing key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It counts, for one of these principals.
    Trusted {
        /// Every principal under which the key is listed and may sign this.
        principals: Vec<String>,
    },
    /// It is listed nowhere.
    Unknown,
    /// It is no security key, and the policy wants one.
    NotTouched,
    /// It is listed, but its entry does not count now.
    Inactive(Inactive),
    /// The policy's entries for its principal leave this contract out.
    OutsideEntry {
        /// The principal.
        principal: String,
        /// What does not match.
        why: String,
    },
}

impl fmt::Display for Assessment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.signatory.fingerprint())?;
        match &self.verdict {
            Verdict::Trusted { principals } => write!(f, "trusted as `{}`", principals.join(",")),
            Verdict::Unknown => f.write_str("not in the trusted set"),
            Verdict::NotTouched => f.write_str("not a security key, and the policy wants one that was touched"),
            Verdict::Inactive(reason) => write!(f, "{reason}"),
            Verdict::OutsideEntry { principal, why } => write!(f, "the policy does not let `{principal}` sign this: {why}"),
        }
    }
}

/// A contract that may run as far as trust goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// Why.
    pub basis: Basis,
    /// What each signature was worth, in the order given.
    pub assessments: Vec<Assessment>,
}

/// A contract that must not run. All end with 20.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Untrusted {
    /// `/etc/opal/revoked` lists the contract.
    #[error("this contract has been revoked: {contract}")]
    RevokedContract {
        /// Its hash.
        contract: Digest,
    },
    /// `/etc/opal/revoked` lists a key that signed.
    #[error("this contract is signed by a revoked key: {fingerprint}")]
    RevokedKey {
        /// Its fingerprint.
        fingerprint: String,
    },
    /// `--expect` names another contract.
    #[error("this is not the contract you expect: it is {actual}")]
    Unexpected {
        /// The hash of this contract.
        actual: Digest,
    },
    /// There are no signatures.
    #[error("the contract is not signed")]
    Unsigned {
        /// Whether the policy insists.
        required: bool,
        /// Its hash.
        contract: Digest,
    },
    /// There are signatures, none of which counts.
    #[error("no signature is trusted here: {}", list(assessments))]
    NotTrusted {
        /// What each is worth.
        assessments: Vec<Assessment>,
        /// Whether the policy insists.
        required: bool,
        /// The contract's hash.
        contract: Digest,
    },
    /// The only signers that count elsewhere may not sign this.
    #[error("the policy does not let the signer `{principal}` sign this contract: {why}")]
    OutsideEntry {
        /// The principal.
        principal: String,
        /// What does not match.
        why: String,
    },
    /// Too few principals vouch.
    #[error("{have} of {need} required principals vouch for this contract{}", because(assessments))]
    Vouches {
        /// Distinct principals that vouch, none of whom signed.
        have: u32,
        /// How many are needed.
        need: u32,
        /// What each vouch is worth.
        assessments: Vec<Assessment>,
    },
    /// Too few principals.
    #[error("{have} of {need} required principals have signed")]
    Threshold {
        /// Distinct principals that signed.
        have: u32,
        /// How many are needed.
        need: u32,
        /// What each signature is worth.
        assessments: Vec<Assessment>,
    },
}

impl Failure for Untrusted {
    fn report(&self) -> Report {
        let sign = "sign it: `opalc sign FILE`";
        let pin = |contract: &Digest| format!("or review it and pass `--expect {contract}`");
        let (code, help) = match self {
            Self::RevokedContract { .. } => (Code::ContractRevoked, "make a new contract: this one is in /etc/opal/revoked".to_owned()),
            Self::RevokedKey { .. } => (Code::KeyRevoked, "plan and sign again with a key that is not in /etc/opal/revoked".to_owned()),
            Self::Unexpected { actual } => (Code::UnexpectedContract, format!("review it, then pass `--expect {actual}`")),
            Self::Unsigned { required: true, .. } => (Code::Unsigned, sign.to_owned()),
            Self::Unsigned { contract, .. } => (Code::Unsigned, format!("{sign}; {}", pin(contract))),
            Self::NotTrusted { assessments, required: true, .. } => (Code::UntrustedSigner, allow_help(assessments)),
            Self::NotTrusted { assessments, contract, .. } => {
                (Code::UntrustedSigner, format!("{}; {}", allow_help(assessments), pin(contract)))
            }
            Self::OutsideEntry { principal, .. } => (
                Code::SignerOutsideEntry,
                format!("have another principal sign it, or widen the [[signer]] entry of `{principal}` in the policy"),
            ),
            Self::Vouches { .. } => (
                Code::VouchesUnmet,
                "have somebody who did not sign it vouch: `opalc vouch FILE -o FILE.vouch`, and pass `--vouch FILE.vouch`".to_owned(),
            ),
            Self::Threshold { .. } => (Code::ThresholdUnmet, "have another principal sign it: `opalc sign FILE --key KEY`".to_owned()),
        };
        Report::new(code, help)
    }
}

fn allow_help(assessments: &[Assessment]) -> String {
    let unknown = assessments.iter().find(|a| a.verdict == Verdict::Unknown);
    match unknown {
        Some(found) => format!("if you trust the signer, add a line to allowed_signers: `NAME {}`", found.signatory),
        None => "check the signer's line in allowed_signers".to_owned(),
    }
}

/// Why vouches that were given do not count.
fn because(assessments: &[Assessment]) -> String {
    let idle: Vec<String> =
        assessments.iter().filter(|one| !matches!(one.verdict, Verdict::Trusted { .. })).map(ToString::to_string).collect();
    if idle.is_empty() { String::new() } else { format!(" ({})", idle.join("; ")) }
}

fn list(assessments: &[Assessment]) -> String {
    assessments.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// Decides whether a contract is trusted.
///
/// # Errors
/// One [`Untrusted`] reason, the first in the module's order.
pub fn judge(question: &Question<'_>, trust: &TrustSet, rules: &Rules<'_>) -> Result<Decision, Untrusted> {
    let contract = question.contract;
    if trust.revoked.has_contract(&contract) {
        return Err(Untrusted::RevokedContract { contract });
    }
    if let Some(fingerprint) = trust.revoked.first_of(question.verified) {
        return Err(Untrusted::RevokedKey { fingerprint });
    }
    if question.expect.is_some_and(|expected| expected != contract) {
        return Err(Untrusted::Unexpected { actual: contract });
    }
    let assess = |signatory: Signatory| Assessment { verdict: assess(&signatory, question, trust, rules, NAMESPACE_PLAN), signatory };
    let assessments: Vec<_> = distinct_keys(question.verified).take(SIGNATURES_MAX).map(assess).collect();

    let need = rules.threshold.max(1);
    let principals = distinct_principals(&assessments);
    let have = u32::try_from(principals.len()).unwrap_or(u32::MAX);
    if have >= need {
        return Ok(Decision { basis: Basis::Signed { principals }, assessments });
    }
    // A threshold above one is a demand for signatures in itself.
    let required = rules.require_signature || need > 1;
    if !required && question.expect.is_some() {
        return Ok(Decision { basis: Basis::Expected, assessments });
    }
    if !required && question.allow_unsigned {
        return Ok(Decision { basis: Basis::Unsigned, assessments });
    }
    let outside = assessments.iter().find_map(|a| match &a.verdict {
        Verdict::OutsideEntry { principal, why } => Some((principal.clone(), why.clone())),
        Verdict::Trusted { .. } | Verdict::Unknown | Verdict::NotTouched | Verdict::Inactive(_) => None,
    });
    Err(match outside {
        _ if have > 0 => Untrusted::Threshold { have, need, assessments },
        Some((principal, why)) => Untrusted::OutsideEntry { principal, why },
        None if assessments.is_empty() => Untrusted::Unsigned { required, contract },
        None => Untrusted::NotTrusted { assessments, required, contract },
    })
}

/// Each of `signatories` by whose key nobody before them signed, sorted by key.
pub(super) fn distinct_keys(signatories: &[Signatory]) -> impl Iterator<Item = Signatory> {
    let mut all = signatories.to_vec();
    all.sort_by_key(Signatory::key);
    all.dedup_by_key(|signatory| signatory.key());
    all.into_iter()
}

/// What a signature counts for in one namespace.
pub(super) fn assess(
    signatory: &Signatory,
    question: &Question<'_>,
    trust: &TrustSet,
    rules: &Rules<'_>,
    namespace: &'static str,
) -> Verdict {
    let mut allowed: Vec<String> = Vec::new();
    let mut verdict = Verdict::Unknown;
    for (_, signer) in &trust.signers {
        let principals = match signer.principals_of(signatory, question.now) {
            Ok(principals) if principals.is_empty() => continue,
            Ok(principals) => signer.check_active(namespace, question.now).map(|()| principals),
            Err(reason) => Err(reason),
        };
        let principals = match principals {
            Ok(principals) => principals,
            Err(reason) => {
                verdict = Verdict::Inactive(reason);
                continue;
            }
        };
        if rules.touch && signatory.party.application.is_none() {
            verdict = Verdict::NotTouched;
            continue;
        }
        for principal in principals {
            match outside(rules.entries, &principal, question.subject.as_ref()) {
                None => allowed.push(principal),
                Some(why) => verdict = Verdict::OutsideEntry { principal, why },
            }
        }
    }
    if allowed.is_empty() {
        return verdict;
    }
    allowed.sort_unstable();
    allowed.dedup();
    Verdict::Trusted { principals: allowed }
}

/// Why no entry lets a principal sign this; nothing where one does, or where there are none. Who stands in no entry signs nothing, once there are
/// entries: a list that restricts some would leave the others free.
fn outside(entries: &[SignerEntry], principal: &str, subject: Option<&Subject<'_>>) -> Option<String> {
    let nobody = || (!entries.is_empty()).then(|| "no [[signer]] entry is about them".to_owned());
    let mut why = None;
    for entry in entries.iter().filter(|entry| matches(&entry.principal, principal)) {
        match subject.map(|subject| entry.mismatch(subject)) {
            Some(None) => return None,
            Some(mismatch) => why = why.or(mismatch),
            None => {}
        }
    }
    why.or_else(nobody)
}

/// Whether two keys with these principals can belong to one: they share a name, or either is listed under a pattern.
pub(super) fn may_be_same(a: &[String], b: &[String]) -> bool {
    let is_pattern = |names: &[String]| names.iter().any(|name| name.contains(['*', '?']));
    is_pattern(a) || is_pattern(b) || a.iter().any(|name| b.contains(name))
}

/// The largest set of signers no two of which can be the same principal, one name for each. Two can be the
/// same if they share a name, or if either is listed under a pattern.
pub(super) fn distinct_principals(assessments: &[Assessment]) -> Vec<String> {
    let trusted: Vec<&[String]> = assessments
        .iter()
        .filter_map(|a| match &a.verdict {
            Verdict::Trusted { principals } => Some(principals.as_slice()),
            _ => None,
        })
        .collect();
    // conflicts[i]: the signers, as bits, that signer i cannot be counted beside.
    let conflicts: Vec<u32> = trusted
        .iter()
        .enumerate()
        .map(|(i, a)| {
            let others = (0u32..).zip(&trusted).filter(|(j, b)| *j as usize != i && may_be_same(a, b));
            others.fold(0, |bits, (j, _)| bits | 1u32.checked_shl(j).unwrap_or(0))
        })
        .collect();
    // At most 16 signers, so at most 65,536 sets.
    let sets = 0..1u32.checked_shl(u32::try_from(trusted.len()).unwrap_or(u32::MAX)).unwrap_or(0);
    let member = |set: u32, i: u32| set.checked_shr(i).unwrap_or(0) & 1 == 1;
    let is_free = |set: u32| (0..).zip(&conflicts).all(|(i, bits)| !member(set, i) || bits & set == 0);
    let best = sets.filter(|set| is_free(*set)).max_by_key(|set| (set.count_ones(), u32::MAX ^ set)).unwrap_or(0);
    let chosen = (0..).zip(&trusted).filter(|(i, _)| member(best, *i));
    chosen.filter_map(|(_, names)| names.first().cloned()).collect()
}

#[cfg(test)]
mod tests {
    use super::super::locations::fixture;
    use super::*;
    use opal_format::identity::Identity;
    use opal_format::terms::BoundArgument;

    fn keys(count: usize) -> Vec<PublicKey> {
        (0..count).map(|_| Identity::generate("k").expect("random").public()).collect()
    }

    fn contract(digit: &str) -> Digest {
        format!("sha256:{}", digit.repeat(64)).parse().expect("hash")
    }

    fn trust(lines: &[(&str, PublicKey)]) -> TrustSet {
        let text: String = lines.iter().map(|(head, key)| format!("{head} {key}\n")).collect();
        let signers = parse(text.as_bytes(), std::path::Path::new("f"), &jiff::tz::TimeZone::UTC).expect("reads");
        TrustSet { signers: signers.into_iter().map(|s| (Origin::System, s)).collect(), revoked: Revoked::default() }
    }

    fn revoked(text: &str) -> Revoked {
        Revoked::parse(text.as_bytes(), std::path::Path::new("revoked")).expect("reads")
    }

    /// A question about contract `a` with these signatures, on 2026-01-01.
    struct Asked {
        verified: Vec<Signatory>,
        expect: Option<Digest>,
        allow_unsigned: bool,
        threshold: u32,
        require_signature: bool,
        touch: bool,
        entries: Vec<SignerEntry>,
        arguments: Vec<BoundArgument>,
    }

    fn asked(verified: &[PublicKey]) -> Asked {
        Asked {
            verified: verified.iter().copied().map(Signatory::from).collect(),
            expect: None,
            allow_unsigned: false,
            threshold: 1,
            require_signature: false,
            touch: false,
            entries: Vec::new(),
            arguments: Vec::new(),
        }
    }

    impl Asked {
        fn judge(&self, trust: &TrustSet) -> Result<Decision, Untrusted> {
            let question = Question {
                verified: &self.verified,
                contract: contract("a"),
                subject: Some(Subject { target: "deploy", source: "ops/deploy.opl", program: contract("c"), arguments: &self.arguments }),
                expect: self.expect,
                allow_unsigned: self.allow_unsigned,
                now: "2026-01-01T12:00:00Z".parse().expect("time"),
            };
            let rules =
                Rules { threshold: self.threshold, require_signature: self.require_signature, touch: self.touch, entries: &self.entries };
            judge(&question, trust, &rules)
        }

        fn code(&self, trust: &TrustSet) -> &'static str {
            let refused = self.judge(trust).expect_err("refused");
            assert_eq!(refused.exit(), 20);
            refused.code().name()
        }

        fn basis(&self, trust: &TrustSet) -> Basis {
            self.judge(trust).expect("trusted").basis
        }
    }

    fn signed(names: &[&str]) -> Basis {
        Basis::Signed { principals: names.iter().map(|name| (*name).to_owned()).collect() }
    }

    #[test]
    fn one_trusted_signature_is_enough_and_an_untrusted_one_is_none() {
        let k = keys(2);
        let trust = trust(&[("alice", k[0])]);
        assert_eq!(asked(&k[..1]).basis(&trust), signed(&["alice"]));
        assert_eq!(asked(&k).basis(&trust), signed(&["alice"]));
        assert_eq!(asked(&k[1..]).code(&trust), "untrusted_signer");
        assert_eq!(asked(&[]).code(&trust), "unsigned");
        let untrusted = asked(&k[1..]).judge(&trust).expect_err("untrusted");
        assert!(untrusted.to_string().contains(&k[1].fingerprint()), "{untrusted}");
        assert!(untrusted.help().contains(&k[1].to_string()));
    }

    #[test]
    fn an_expected_hash_or_a_flag_stands_in_for_signatures_unless_they_are_required() {
        let k = keys(1);
        let nobody = TrustSet::default();
        for verified in [&k[..], &[]] {
            let expecting = Asked { expect: Some(contract("a")), ..asked(verified) };
            assert_eq!(expecting.basis(&nobody), Basis::Expected);
            assert!(Asked { require_signature: true, ..expecting }.judge(&nobody).is_err());
            let allowing = Asked { allow_unsigned: true, ..asked(verified) };
            assert_eq!(allowing.basis(&nobody), Basis::Unsigned);
            assert!(Asked { require_signature: true, ..allowing }.judge(&nobody).is_err());
        }
        let trust = trust(&[("alice", k[0])]);
        assert_eq!(Asked { require_signature: true, ..asked(&k) }.basis(&trust), signed(&["alice"]));
    }

    #[test]
    fn another_contract_than_the_expected_one_never_runs() {
        let k = keys(1);
        let trust = trust(&[("alice", k[0])]);
        let wrong = Asked { expect: Some(contract("b")), allow_unsigned: true, ..asked(&k) };
        assert_eq!(wrong.code(&trust), "unexpected_contract");
    }

    #[test]
    fn what_is_revoked_never_runs_whatever_else_speaks_for_it() {
        let k = keys(2);
        let everything = |set: &TrustSet| {
            let all = Asked { expect: Some(contract("a")), allow_unsigned: true, ..asked(&k) };
            all.code(set)
        };
        let trust = trust(&[("alice", k[0]), ("bob", k[1])]);
        let by_key = TrustSet { revoked: revoked(&k[1].to_string()), ..trust.clone() };
        assert_eq!(everything(&by_key), "key_revoked");
        let by_print = TrustSet { revoked: revoked(&k[1].fingerprint()), ..trust.clone() };
        assert_eq!(everything(&by_print), "key_revoked");
        let by_contract = TrustSet { revoked: revoked(&contract("a").to_string()), ..trust.clone() };
        assert_eq!(everything(&by_contract), "contract_revoked");
        let others = TrustSet { revoked: revoked(&contract("b").to_string()), ..trust };
        assert!(matches!(asked(&k).basis(&others), Basis::Signed { .. }));
    }

    #[test]
    fn a_threshold_counts_distinct_principals() {
        let k = keys(4);
        let two = |verified: &[PublicKey], lines: &[(&str, PublicKey)]| {
            Asked { threshold: 2, allow_unsigned: true, expect: Some(contract("a")), ..asked(verified) }.judge(&trust(lines))
        };
        let met = |verified: &[PublicKey], lines: &[(&str, PublicKey)]| match two(verified, lines) {
            Ok(decision) => {
                assert!(matches!(decision.basis, Basis::Signed { .. }));
                true
            }
            Err(refused) => {
                assert_eq!((refused.code().name(), refused.exit()), ("threshold_unmet", 20));
                false
            }
        };
        assert!(met(&k[..2], &[("alice", k[0]), ("bob", k[1])]));
        // One person with two keys, one key under two names, the same signature twice.
        assert!(!met(&k[..2], &[("alice", k[0]), ("alice", k[1])]));
        assert!(!met(&k[..1], &[("alice", k[0]), ("bob", k[0])]));
        assert!(!met(&[k[0], k[0]], &[("alice", k[0])]));
        assert!(!met(&k[..2], &[("alice,bob", k[0]), ("bob,carol", k[1])]));
        // A pattern may be anybody.
        assert!(!met(&k[..2], &[("alice", k[0]), ("*@example.com", k[1])]));
        // A further signature that overlaps takes nothing away.
        assert!(met(&k[..3], &[("alice", k[0]), ("bob", k[1]), ("alice,bob", k[2])]));
        assert!(met(&k[..3], &[("alice", k[0]), ("bob", k[1]), ("*", k[2])]));
        // Signatures that are not trusted do not count.
        assert!(!met(&k[..2], &[("alice", k[0])]));
        let none = two(&k[..2], &[]).expect_err("refused");
        assert_eq!(none.code().name(), "untrusted_signer");
        assert_eq!(two(&[], &[]).expect_err("refused").code().name(), "unsigned");
    }

    #[test]
    fn sixteen_overlapping_signers_are_counted_as_the_most_that_can_be_distinct() {
        let k = keys(16);
        let heads: Vec<String> = (0..16).map(|i| format!("p{i},p{}", i + 1)).collect();
        let lines: Vec<_> = heads.iter().map(String::as_str).zip(k.iter().copied()).collect();
        let counted = |threshold| Asked { threshold, ..asked(&k) }.judge(&trust(&lines));
        assert!(counted(8).is_ok());
        assert!(matches!(counted(9), Err(Untrusted::Threshold { have: 8, need: 9, .. })));
    }

    #[test]
    fn an_entry_outside_its_window_or_namespace_does_not_count() {
        let k = keys(1);
        for head in ["a valid-before=\"20260101Z\"", "a valid-after=\"20260102Z\"", "a namespaces=\"git\""] {
            let set = trust(&[(head, k[0])]);
            assert_eq!(asked(&k).code(&set), "untrusted_signer", "{head}");
        }
        // Another entry of the same key may count.
        let set = trust(&[("a namespaces=\"git\"", k[0]), ("b", k[0])]);
        assert_eq!(asked(&k).basis(&set), signed(&["b"]));
    }

    #[test]
    fn a_principal_signs_only_what_the_policy_lets_them_sign() {
        let k = keys(2);
        let set = trust(&[("alice", k[0]), ("bob", k[1])]);
        let entry = |principal: &str, target: &str, source: &str| SignerEntry {
            principal: principal.to_owned(),
            targets: Some(vec![target.to_owned()]),
            sources: Some(vec![source.to_owned()]),
            programs: None,
            arguments: Vec::new(),
        };
        let with = |entries: &[SignerEntry], verified: &[PublicKey]| Asked { entries: entries.to_vec(), ..asked(verified) };
        assert_eq!(with(&[entry("alice", "dep*", "ops/*")], &k[..1]).basis(&set), signed(&["alice"]));
        assert_eq!(with(&[entry("alice", "migrate", "ops/*")], &k[..1]).code(&set), "signer_outside_entry");
        assert_eq!(with(&[entry("alice", "deploy", "dev/*")], &k[..1]).code(&set), "signer_outside_entry");
        // Entries of one principal add up; where there are entries, who has none signs nothing.
        let both = [entry("alice", "migrate", "*"), entry("alice", "deploy", "*")];
        assert_eq!(with(&both, &k[..1]).basis(&set), signed(&["alice"]));
        assert_eq!(with(&[entry("bob", "deploy", "*")], &k[..1]).code(&set), "signer_outside_entry");
        // A signer outside its entry takes nothing away from one inside.
        assert_eq!(with(&[entry("alice", "migrate", "*"), entry("bob", "deploy", "*")], &k).basis(&set), signed(&["bob"]));
    }

    #[test]
    fn a_principal_who_is_bound_to_content_signs_that_program_with_those_arguments_only() {
        use opal_format::canonical::CanonicalValue::{self, Bool, Duration, Float, Int, String as Text};
        let k = keys(1);
        let set = trust(&[("alice", k[0])]);
        let bound = |values: &[(&str, CanonicalValue)]| -> Vec<BoundArgument> {
            let argument = |(name, value): &(&str, CanonicalValue)| BoundArgument {
                name: (*name).to_owned(),
                value: value.encode().expect("a value"),
            };
            values.iter().map(argument).collect()
        };
        let text = |text: &str| Text(text.as_bytes().to_vec());
        let judged = |entry: &str, arguments: &[(&str, CanonicalValue)]| {
            let policy = Policy::parse(format!("[[signer]]\nprincipal = \"alice\"\n{entry}").as_bytes()).expect("reads");
            let asked = Asked { entries: policy.signers, arguments: bound(arguments), ..asked(&k) };
            asked.judge(&set).map(drop).map_err(|refused| refused.to_string())
        };
        let (this, other) = (contract("c"), contract("d"));
        assert_eq!(judged(&format!("programs = [\"{other}\", \"{this}\"]"), &[]), Ok(()));
        for programs in [format!("[\"{other}\"]"), "[]".to_owned()] {
            assert!(judged(&format!("programs = {programs}"), &[]).expect_err("refused").contains(&this.to_string()));
        }
        let prod = [("env", text("prod")), ("count", Int(3))];
        for (entry, fits) in [
            ("arguments = { env = \"prod\" }", true),
            ("arguments = { env = [\"test\", \"prod\"], count = 3 }", true),
            ("arguments = {}", true),
            ("arguments = { env = \"test\" }", false),
            ("arguments = { env = \"pro*\" }", false),
            ("arguments = { env = [] }", false),
            ("arguments = { count = \"3\" }", false),
            ("arguments = { count = 3.0 }", false),
            ("arguments = { env = \"prod\", region = \"eu\" }", false),
        ] {
            assert_eq!(judged(entry, &prod).is_ok(), fits, "{entry}");
        }
        let others = [("wait", Duration(60_000_000_000)), ("dry", Bool(true)), ("share", Float(0.5))];
        assert_eq!(judged("arguments = { wait = \"1m\", dry = true, share = 0.5 }", &others), Ok(()));
        assert!(judged("arguments = { wait = \"2m\" }", &others).expect_err("refused").contains("`wait`"));
        // A list of no kind that an entry can name is no value of it.
        assert!(judged("arguments = { env = \"a\" }", &[("env", CanonicalValue::Array(vec![text("a")]))]).is_err());
    }

    #[test]
    fn a_guarded_run_believes_the_system_s_list_only() {
        let (paths, temp) = fixture::host();
        let k = keys(3);
        let (own, user, system) = (k[0], k[1], k[2]);
        let config = paths.make_config_dir().expect("made");
        config.write_file("allowed_signers", format!("u {user}").as_bytes(), 0o600, true).expect("written");
        fixture::etc_file(&paths, "allowed_signers", &format!("s {system}"));
        fixture::etc_file(&paths, "revoked", &contract("b").to_string());
        let load = |guarded, policy: &Policy| TrustSet::load(&paths, Some(own), guarded, policy).expect("loads");
        let listed = |set: &TrustSet| set.signers.iter().map(|(origin, s)| (*origin, s.key.key)).collect::<Vec<_>>();
        let plain = load(false, &Policy::default());
        assert_eq!(listed(&plain), [(Origin::Own, own), (Origin::User, user), (Origin::System, system)]);
        assert!(plain.revoked.has_contract(&contract("b")));
        assert_eq!(listed(&load(true, &Policy::default())), [(Origin::System, system)]);
        let own_too = Policy::parse(b"trust.own_identity = true").expect("reads");
        assert_eq!(listed(&load(true, &own_too)), [(Origin::Own, own), (Origin::System, system)]);
        // A user's file that is wrong stops the user's runs only.
        config.write_file("allowed_signers", b"u", 0o600, true).expect("written");
        assert!(TrustSet::load(&paths, None, true, &own_too).is_ok());
        let refused = TrustSet::load(&paths, None, false, &own_too).expect_err("bad line");
        assert_eq!((refused.code().name(), refused.exit()), ("bad_trust_file", 78));
        assert!(refused.to_string().contains(&format!("{}", temp.path().join("home/.config/opal/allowed_signers").display())));
    }
}
