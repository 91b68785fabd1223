//! Vouches: detached signatures of people who stand behind a contract without approving its runs (spec/attestations.md).
//!
//! A vouch is no signature of a contract, and a signer is no voucher of their own contract: `trust.vouches` counts principals that cannot be any of
//! those who signed.
//!
//! Read for: who is trusted, and what policy allows.

use std::path::PathBuf;

use opal_format::attestation::{Attestation, NAMESPACE_VOUCH, Vouched};
use opal_format::credential::Signatory;
use opal_format::hash::Digest;
use opal_format::read_file::ReadFileError;
use opal_format::signature::{SignatureError, SshSignature};

use super::input::Input;
use super::judge::{Assessment, Decision, Question, TrustSet, Untrusted, Verdict, assess, distinct_keys, distinct_principals, may_be_same};
use super::policy::Rules;
use opal_core::code::Code;
use opal_core::failure::{Failure, Report};

/// The most that are looked at in one run.
pub const VOUCHES_MAX: usize = 16;
const FILE_SIZE_MAX: usize = 64 << 10;

/// A file that is no vouch for what it was given with.
#[derive(Debug, thiserror::Error)]
pub enum VouchError {
    /// It cannot be read.
    #[error("cannot read the vouch `{}`: {reason}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// It is no signature of this kind.
    #[error("the vouch `{}` is refused: {cause}", path.display())]
    Signature {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: SignatureError,
    },
    /// It vouches for something else.
    #[error("the vouch `{}` is for another contract, or was changed", path.display())]
    Other {
        /// The file.
        path: PathBuf,
    },
    /// Too many files.
    #[error("at most {VOUCHES_MAX} vouches are looked at")]
    TooMany,
}

impl Failure for VouchError {
    fn report(&self) -> Report {
        match self {
            Self::Unreadable { path, .. } => Report::new(Code::VouchUnreadable, format!("check it: `ls -l {}`", path.display())),
            Self::Signature { cause, .. } => {
                Report::new(Code::of_format(cause.code()), "have it made again: `opalc vouch FILE.plan -o FILE`")
            }
            Self::Other { path } => {
                Report::new(Code::VouchMismatch, format!("`opalc show {}` says what it is for; leave it out otherwise", path.display()))
            }
            Self::TooMany => Report::new(Code::Usage, "name those that count"),
        }
    }
}

/// A vouch that was read; see [`Vouches::check`].
#[derive(Debug)]
pub struct Vouches(Vec<(PathBuf, SshSignature)>);

/// A vouch that is genuine.
#[derive(Debug, Clone)]
pub struct Vouch {
    /// Whose it is.
    pub signatory: Signatory,
    /// What it is for.
    pub about: Vouched,
}

impl Vouches {
    /// Reads files.
    ///
    /// # Errors
    /// The first [`VouchError`], except [`VouchError::Other`].
    pub fn read(files: &[Input]) -> Result<Self, VouchError> {
        if files.len() > VOUCHES_MAX {
            return Err(VouchError::TooMany);
        }
        files.iter().map(|file| read(file).map(|signature| (file.path().to_owned(), signature))).collect::<Result<_, _>>().map(Self)
    }

    /// Those who vouch for a contract.
    #[must_use]
    pub fn for_contract(&self, contract: &Digest) -> Vec<Signatory> {
        let statement = Vouched::Contract.statement(contract);
        self.0
            .iter()
            .filter(|(_, signature)| signature.verify(statement.as_bytes()).is_ok())
            .map(|(_, signature)| signature.signatory.clone())
            .collect()
    }

    /// Every vouch with what it is for.
    ///
    /// # Errors
    /// [`VouchError::Other`] for one that is neither for this contract nor for this plan.
    pub fn check(&self, contract: &Digest, plan: &Digest) -> Result<Vec<Vouch>, VouchError> {
        let statements = [(Vouched::Contract, contract), (Vouched::Plan, plan)].map(|(about, digest)| (about, about.statement(digest)));
        let check = |(path, signature): &(PathBuf, SshSignature)| {
            let found = statements.iter().find(|(_, statement)| signature.verify(statement.as_bytes()).is_ok());
            let about = found.map(|(about, _)| *about).ok_or_else(|| VouchError::Other { path: path.clone() })?;
            Ok(Vouch { signatory: signature.signatory.clone(), about })
        };
        self.0.iter().map(check).collect()
    }
}

fn read(file: &Input) -> Result<SshSignature, VouchError> {
    let path = || file.path().to_owned();
    let unreadable = |error: ReadFileError| VouchError::Unreadable { path: path(), reason: error.to_string() };
    let read = file.bytes(FILE_SIZE_MAX).map_err(unreadable).and_then(|bytes| {
        let read = Attestation::read(&bytes, NAMESPACE_VOUCH).map(|read| read.signature);
        read.map_err(|cause| VouchError::Signature { path: path(), cause })
    });
    match read {
        Err(_) if file.is_hidden() => Err(unreadable(ReadFileError::Io(Input::denied()))),
        read => read,
    }
}

/// Judges the keys that vouch for a contract: `need` distinct principals, none of which can be one of those whose signature counts.
///
/// # Errors
/// [`Untrusted::RevokedKey`], or [`Untrusted::Vouches`] if there are too few.
pub fn judge_vouches(
    vouchers: &[Signatory],
    need: u32,
    question: &Question<'_>,
    trust: &TrustSet,
    rules: &Rules<'_>,
    signed: &Decision,
) -> Result<Vec<Assessment>, Untrusted> {
    if let Some(fingerprint) = trust.revoked.first_of(vouchers) {
        return Err(Untrusted::RevokedKey { fingerprint });
    }
    let judged: Vec<_> = distinct_keys(vouchers)
        .filter(|voucher| !question.verified.iter().any(|signer| signer.key() == voucher.key()))
        .map(|signatory| Assessment { verdict: assess(&signatory, question, trust, rules, NAMESPACE_VOUCH), signatory })
        .filter(|one| match &one.verdict {
            Verdict::Trusted { principals } => !signed.assessments.iter().any(|signer| match &signer.verdict {
                Verdict::Trusted { principals: signers } => may_be_same(principals, signers),
                _ => false,
            }),
            _ => true,
        })
        .collect();
    let have = u32::try_from(distinct_principals(&judged).len()).unwrap_or(u32::MAX);
    if have < need { Err(Untrusted::Vouches { have, need, assessments: judged }) } else { Ok(judged) }
}

#[cfg(test)]
mod tests {
    use super::super::judge::{Basis, Origin, judge};
    use super::super::policy::{SignerEntry, Subject};
    use super::super::revoked::Revoked;
    use super::super::signers::parse;
    use super::*;
    use opal_format::identity::{Identity, PublicKey};
    use std::path::Path;

    fn keys(count: usize) -> Vec<PublicKey> {
        (0..count).map(|_| Identity::generate("k").expect("random").public()).collect()
    }

    /// Signatures and vouches by these keys, on 2026-01-01, in a host with these lines in its list.
    fn counted(
        lines: &[(&str, PublicKey)],
        signers: &[PublicKey],
        vouchers: &[PublicKey],
        need: u32,
        entries: &[SignerEntry],
    ) -> Result<usize, &'static str> {
        let text: String = lines.iter().map(|(head, key)| format!("{head} {key}\n")).collect();
        let listed = parse(text.as_bytes(), Path::new("f"), &jiff::tz::TimeZone::UTC).expect("reads");
        let trust = TrustSet { signers: listed.into_iter().map(|signer| (Origin::System, signer)).collect(), revoked: Revoked::default() };
        judged(&trust, signers, vouchers, need, entries)
    }

    fn judged(
        trust: &TrustSet,
        signers: &[PublicKey],
        vouchers: &[PublicKey],
        need: u32,
        entries: &[SignerEntry],
    ) -> Result<usize, &'static str> {
        let of = |keys: &[PublicKey]| keys.iter().copied().map(Signatory::from).collect::<Vec<_>>();
        let (signers, vouchers) = (of(signers), of(vouchers));
        let contract = format!("sha256:{}", "a".repeat(64)).parse().expect("hash");
        let question = Question {
            verified: &signers,
            contract,
            subject: Some(Subject { target: "deploy", source: "deploy.opl", program: contract, arguments: &[] }),
            expect: None,
            allow_unsigned: true,
            now: "2026-01-01T12:00:00Z".parse().expect("time"),
        };
        let free = Rules { threshold: 1, require_signature: false, touch: false, entries: &[] };
        let decision = judge(&question, trust, &free).expect("trusted");
        assert!(signers.is_empty() == matches!(decision.basis, Basis::Unsigned));
        let counted = judge_vouches(&vouchers, need, &question, trust, &Rules { entries, ..free }, &decision);
        counted.map(|judged| judged.iter().filter(|one| matches!(one.verdict, Verdict::Trusted { .. })).count()).map_err(|refused| {
            assert_eq!(refused.exit(), 20);
            refused.code().name()
        })
    }

    #[test]
    fn vouches_are_counted_by_distinct_principals_none_of_whom_signed() {
        let k = keys(4);
        let lines = [("alice", k[0]), ("bob", k[1]), ("carol", k[2]), ("bob", k[3])];
        assert_eq!(counted(&lines, &k[..1], &k[1..3], 2, &[]), Ok(2));
        assert_eq!(counted(&lines, &k[..1], &k[1..2], 2, &[]), Err("vouches_unmet"));
        assert_eq!(counted(&lines, &k[..1], &[], 1, &[]), Err("vouches_unmet"));
        assert_eq!(counted(&lines, &k[..1], &[], 0, &[]), Ok(0));
        // The same vouch twice, one person with two keys.
        assert_eq!(counted(&lines, &k[..1], &[k[1], k[1]], 2, &[]), Err("vouches_unmet"));
        assert_eq!(counted(&lines, &k[..1], &[k[1], k[3]], 2, &[]), Err("vouches_unmet"));
        // Whoever signed does not vouch as well: by the same key, by another, or under a name that may be theirs.
        assert_eq!(counted(&lines, &k[..1], &k[..1], 1, &[]), Err("vouches_unmet"));
        assert_eq!(counted(&lines, &k[1..2], &k[3..4], 1, &[]), Err("vouches_unmet"));
        let split = [("alice namespaces=\"opal-plan\"", k[0]), ("zoe namespaces=\"opal-vouch\"", k[0])];
        assert_eq!(counted(&split, &k[..1], &k[..1], 1, &[]), Err("vouches_unmet"));
        assert_eq!(counted(&[("alice", k[0]), ("*@example.com", k[1])], &k[..1], &k[1..2], 1, &[]), Err("vouches_unmet"));
        // Where nobody signed, everybody may vouch; it still is no signature.
        assert_eq!(counted(&lines, &[], &k[..2], 2, &[]), Ok(2));
    }

    #[test]
    fn a_vouch_counts_within_namespace_window_and_entry_only() {
        let k = keys(2);
        for (head, counts) in [
            ("bob", true),
            ("bob namespaces=\"opal-vouch\"", true),
            ("bob namespaces=\"opal-*\"", true),
            ("bob namespaces=\"opal-plan\"", false),
            ("bob valid-before=\"20260101Z\"", false),
            ("bob valid-after=\"20260102Z\"", false),
        ] {
            let verdict = counted(&[("alice", k[0]), (head, k[1])], &k[..1], &k[1..], 1, &[]);
            assert_eq!(verdict, if counts { Ok(1) } else { Err("vouches_unmet") }, "{head}");
        }
        assert_eq!(counted(&[("alice", k[0])], &k[..1], &k[1..], 1, &[]), Err("vouches_unmet"));
        let entry = |target: &str| SignerEntry {
            principal: "bob".to_owned(),
            targets: Some(vec![target.to_owned()]),
            sources: None,
            programs: None,
            arguments: Vec::new(),
        };
        let lines = [("alice", k[0]), ("bob", k[1])];
        assert_eq!(counted(&lines, &k[..1], &k[1..], 1, &[entry("deploy")]), Ok(1));
        assert_eq!(counted(&lines, &k[..1], &k[1..], 1, &[entry("migrate")]), Err("vouches_unmet"));
    }

    #[test]
    fn a_vouch_by_a_revoked_key_stops_the_run_even_where_none_is_needed() {
        let k = keys(1);
        let revoked = Revoked::parse(k[0].fingerprint().as_bytes(), Path::new("revoked")).expect("reads");
        let trust = TrustSet { signers: Vec::new(), revoked };
        assert_eq!(judged(&trust, &[], &k, 0, &[]), Err("key_revoked"));
    }
}
