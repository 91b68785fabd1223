//! Whether a contract is trusted: a pure decision over its verified signatures and what this host believes.
//!
//! Order of the refusals: revoked contract, revoked key, wrong `--expect`, then what the signatures are worth. What
//! a further signature adds never takes away what the others gave, a revoked key's excepted.

use std::fmt;

use jiff::Timestamp;
use opal_format::identity::PublicKey;

use super::locations::HostPaths;
use super::pattern::{HashName, matches};
use super::policy::{Policy, SignerEntry};
use super::revoked::Revoked;
use super::safe_path::{SafePathError, forbid};
use super::signers::{Inactive, LineError, Signer, parse};
use super::{Failure, exit};

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
}

impl Failure for TrustSetError {
    fn code(&self) -> &'static str {
        match self {
            Self::Path(error) => error.code(),
            Self::Line(error) => error.code(),
        }
    }

    fn exit(&self) -> u8 {
        exit::CONFIGURATION
    }

    fn help(&self) -> String {
        match self {
            Self::Path(error) => error.help(),
            Self::Line(error) => error.help(),
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
            let signer = Signer { principals, namespaces: None, valid_after: None, valid_before: None, key };
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
        Ok(set)
    }
}

/// What is asked about a contract.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// The keys whose signatures over this contract verified, strictly and in the namespace `opal-plan`.
    pub verified: &'a [PublicKey],
    /// The contract's hash.
    pub contract: &'a HashName,
    /// Its target.
    pub target: &'a str,
    /// The name of its source.
    pub source: &'a str,
    /// `--expect`.
    pub expect: Option<&'a HashName>,
    /// `--allow-unsigned`.
    pub allow_unsigned: bool,
    /// The moment of the decision, taken once per run.
    pub now: Timestamp,
}

/// What trust asks of signatures, from the policy and the kind of run.
#[derive(Debug, Clone, Copy)]
pub struct Rules<'a> {
    /// How many distinct principals must have signed; 0 counts as 1.
    pub threshold: u32,
    /// Whether neither `--expect` nor `--allow-unsigned` stands in for signatures.
    pub require_signature: bool,
    /// What each principal may sign; one without an entry is not restricted.
    pub entries: &'a [SignerEntry],
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
    /// The signing key.
    pub key: PublicKey,
    /// The verdict on it.
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
    /// It is listed, but its entry does not count now.
    Inactive(Inactive),
    /// The policy's entry for its principal leaves out this target or source.
    OutsideEntry {
        /// The principal.
        principal: String,
    },
}

impl fmt::Display for Assessment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.key.fingerprint())?;
        match &self.verdict {
            Verdict::Trusted { principals } => write!(f, "trusted as `{}`", principals.join(",")),
            Verdict::Unknown => f.write_str("not in the trusted set"),
            Verdict::Inactive(reason) => write!(f, "{reason}"),
            Verdict::OutsideEntry { principal } => {
                write!(f, "the policy does not let `{principal}` sign this target from this source")
            }
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
        contract: HashName,
    },
    /// `/etc/opal/revoked` lists a key that signed.
    #[error("this contract is signed by a revoked key: {}", key.fingerprint())]
    RevokedKey {
        /// The key.
        key: PublicKey,
    },
    /// `--expect` names another contract.
    #[error("this is not the contract you expect: it is {actual}")]
    Unexpected {
        /// The hash of this contract.
        actual: HashName,
    },
    /// There are no signatures.
    #[error("the contract is not signed")]
    Unsigned {
        /// Whether the policy insists.
        required: bool,
        /// Its hash.
        contract: HashName,
    },
    /// There are signatures, none of which counts.
    #[error("no signature is trusted here: {}", list(assessments))]
    NotTrusted {
        /// What each is worth.
        assessments: Vec<Assessment>,
        /// Whether the policy insists.
        required: bool,
        /// The contract's hash.
        contract: HashName,
    },
    /// The only signers that count elsewhere may not sign this.
    #[error("the signer `{principal}` may not sign this target from this source")]
    OutsideEntry {
        /// The principal.
        principal: String,
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
    fn code(&self) -> &'static str {
        match self {
            Self::RevokedContract { .. } => "contract_revoked",
            Self::RevokedKey { .. } => "key_revoked",
            Self::Unexpected { .. } => "unexpected_contract",
            Self::Unsigned { .. } => "unsigned",
            Self::NotTrusted { .. } => "untrusted_signer",
            Self::OutsideEntry { .. } => "signer_outside_entry",
            Self::Threshold { .. } => "threshold_unmet",
        }
    }

    fn exit(&self) -> u8 {
        exit::UNTRUSTED
    }

    fn help(&self) -> String {
        match self {
            Self::RevokedContract { .. } | Self::RevokedKey { .. } => {
                "plan and sign again with a key that is not in /etc/opal/revoked".to_owned()
            }
            Self::Unexpected { actual } => format!("review it, then pass `--expect {actual}`"),
            Self::Unsigned { required: true, .. } => "sign it: `opalc sign FILE`".to_owned(),
            Self::NotTrusted { assessments, required: true, .. } => allow_help(assessments),
            Self::Unsigned { contract, .. } => {
                format!("sign it: `opalc sign FILE`; or review it and pass `--expect {contract}`")
            }
            Self::NotTrusted { assessments, contract, .. } => {
                format!("{}; or review it and pass `--expect {contract}`", allow_help(assessments))
            }
            Self::OutsideEntry { principal } => {
                format!("have another principal sign it, or widen `[[signer]] principal = \"{principal}\"` in /etc/opal/policy.toml")
            }
            Self::Threshold { .. } => "have another principal sign it: `opalc sign FILE --key KEY`".to_owned(),
        }
    }
}

fn allow_help(assessments: &[Assessment]) -> String {
    let unknown = assessments.iter().find(|a| a.verdict == Verdict::Unknown);
    match unknown {
        Some(found) => format!("if you trust the signer, add a line to allowed_signers: `NAME {}`", found.key),
        None => "check the signer's line in allowed_signers".to_owned(),
    }
}

fn list(assessments: &[Assessment]) -> String {
    assessments.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// Decides whether a contract is trusted.
///
/// # Errors
/// One [`Untrusted`] reason, the first in the module's order.
pub fn judge(question: &Question<'_>, trust: &TrustSet, rules: &Rules<'_>) -> Result<Decision, Untrusted> {
    let contract = question.contract.clone();
    if trust.revoked.has_contract(&contract) {
        return Err(Untrusted::RevokedContract { contract });
    }
    if let Some(key) = question.verified.iter().find(|key| trust.revoked.has_key(key)) {
        return Err(Untrusted::RevokedKey { key: *key });
    }
    if question.expect.is_some_and(|expected| *expected != contract) {
        return Err(Untrusted::Unexpected { actual: contract });
    }
    let mut keys = question.verified.to_vec();
    keys.sort_unstable();
    keys.dedup();
    let assess = |key: PublicKey| Assessment { key, verdict: assess(&key, question, trust, rules.entries) };
    let assessments: Vec<_> = keys.into_iter().take(SIGNATURES_MAX).map(assess).collect();

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
        Verdict::OutsideEntry { principal } => Some(principal.clone()),
        _ => None,
    });
    Err(match outside {
        _ if have > 0 => Untrusted::Threshold { have, need, assessments },
        Some(principal) => Untrusted::OutsideEntry { principal },
        None if assessments.is_empty() => Untrusted::Unsigned { required, contract },
        None => Untrusted::NotTrusted { assessments, required, contract },
    })
}

fn assess(key: &PublicKey, question: &Question<'_>, trust: &TrustSet, entries: &[SignerEntry]) -> Verdict {
    let mut allowed: Vec<String> = Vec::new();
    let mut verdict = Verdict::Unknown;
    for (_, signer) in trust.signers.iter().filter(|(_, signer)| signer.key == *key) {
        if let Err(reason) = signer.check_active(question.now) {
            verdict = Verdict::Inactive(reason);
            continue;
        }
        for principal in &signer.principals {
            let of_principal = |entry: &&SignerEntry| matches(&entry.principal, principal);
            let mut restrictions = entries.iter().filter(of_principal).peekable();
            let free = restrictions.peek().is_none();
            if free || restrictions.any(|entry| entry.covers(question.target, question.source)) {
                allowed.push(principal.clone());
            } else {
                verdict = Verdict::OutsideEntry { principal: principal.clone() };
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

/// The largest set of signers no two of which can be the same principal, one name for each. Two can be the
/// same if they share a name, or if either is listed under a pattern.
fn distinct_principals(assessments: &[Assessment]) -> Vec<String> {
    let trusted: Vec<&[String]> = assessments
        .iter()
        .filter_map(|a| match &a.verdict {
            Verdict::Trusted { principals } => Some(principals.as_slice()),
            _ => None,
        })
        .collect();
    let is_pattern = |names: &[String]| names.iter().any(|name| name.contains(['*', '?', '!']));
    let may_be_same = |a: &[String], b: &[String]| is_pattern(a) || is_pattern(b) || a.iter().any(|name| b.contains(name));
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
