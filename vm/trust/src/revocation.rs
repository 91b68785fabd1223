//! Which edition of `/etc/opal/revoked` counts (spec/trust.md): the latest that its author has signed, and none that is too old.
//!
//! Root puts the list there, and it is believed for that alone, unless the policy says who has to have signed it. Then whoever carries it to the host can
//! hold it back or bring an older one, which is noticed: by its age, and by the serial of the latest one that a run has seen.
//!
//! Read for: who is trusted, and what policy allows.

use std::io;
use std::path::PathBuf;

use jiff::Timestamp;
use opal_format::credential::Signatory;
use opal_format::hash::{Digest, HashAlgorithm};
use opal_format::signature::{SignatureError, SshSignature};

use super::judge::{Origin, TrustSet};
use super::locations::HostPaths;
use super::pattern::matches;
use super::revoked::{Demand, Revoked};
use super::safe_path::{PathCause, SafeDir, SafePathError, errno_of, forbid};
use opal_core::code::Code;
use opal_core::duration;
use opal_core::failure::{Failure, Report};

/// Namespace of signatures over the list.
pub const NAMESPACE_REVOKED: &str = "opal-revoked";
/// The list, and its signature beside it.
const LIST: &str = "/etc/opal/revoked";
const SIGNATURE: &str = "revoked.sig";
/// What is remembered of the latest list, and the lock of who remembers.
const MEMORY: &str = "revoked";
const MEMORY_LOCK: &str = "revoked.lock";
const MEMORY_SIZE_MAX: u64 = 256;

/// A signed edition of the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Edition {
    serial: u64,
    digest: Digest,
}

/// Why the list does not count. Nothing runs (78).
#[derive(Debug, thiserror::Error)]
pub enum RevocationError {
    /// There is none.
    #[error("the policy demands the list `{LIST}`, which is not there")]
    Missing,
    /// There is no signature.
    #[error("the policy demands that `{LIST}` is signed, and there is no `{LIST}.sig`")]
    Unsigned,
    /// The signature is not one of this list.
    #[error("the signature of `{LIST}` is refused: {0}")]
    Signature(SignatureError),
    /// Somebody else signed.
    #[error("`{LIST}` is signed by {}, which is not a key of `{by}` that counts here now", signatory.fingerprint())]
    Signer {
        /// Who signed.
        signatory: Box<Signatory>,
        /// Who has to.
        by: String,
    },
    /// A line is missing that the policy asks for.
    #[error("`{LIST}` has no line `{line}`, by which the policy judges it")]
    Incomplete {
        /// How the line begins.
        line: &'static str,
    },
    /// It is too old.
    #[error("`{LIST}` was made at {made}, and the policy takes none older than {}", duration::format(*age_max))]
    Expired {
        /// When it was made.
        made: Timestamp,
        /// The greatest age.
        age_max: i64,
    },
    /// A later one was seen.
    #[error("`{LIST}` has the serial {serial}, and one with the serial {seen} was here before")]
    Older {
        /// Its serial.
        serial: u64,
        /// The latest.
        seen: u64,
    },
    /// Another one with its serial was seen.
    #[error("`{LIST}` has the serial {serial}, and another list with this serial was here before")]
    SerialReused {
        /// The serial.
        serial: u64,
    },
    /// What is remembered cannot be read.
    #[error("`{}` says which list was here last, and cannot be read", path.display())]
    Forgotten {
        /// The file.
        path: PathBuf,
    },
    /// A file or a directory above it is not safe, or cannot be written.
    #[error(transparent)]
    Path(#[from] SafePathError),
}

impl Failure for RevocationError {
    fn report(&self) -> Report {
        let sign = || format!("sign it: `ssh-keygen -Y sign -n {NAMESPACE_REVOKED} -f KEY {LIST}`");
        let (code, help) = match self {
            Self::Missing => (Code::RevokedMissing, "have the owner of this host bring it, with its signature".to_owned()),
            Self::Unsigned => (Code::RevokedUnsigned, sign()),
            Self::Signature(_) => (Code::RevokedSignature, format!("bring the list and its signature again, both; or {}", sign())),
            Self::Signer { by, .. } => (
                Code::RevokedSigner,
                format!(
                    "have `{by}` sign it; `trust.revoked_by` in the policy says who signs, and /etc/opal/allowed_signers with which keys"
                ),
            ),
            Self::Incomplete { line } => (Code::RevokedIncomplete, format!("write the line, `{line}`, and sign the list again")),
            Self::Expired { .. } => (
                Code::RevokedExpired,
                "bring a new edition of the list; its author makes and signs one before the last is too old".to_owned(),
            ),
            Self::Older { .. } => {
                (Code::RevokedOlder, "bring the latest edition; a new one has a higher serial than every one before it".to_owned())
            }
            Self::SerialReused { .. } => {
                (Code::RevokedSerialReused, "find out which is right, and have its author sign it with a higher serial".to_owned())
            }
            Self::Forgotten { path } => (
                Code::RevokedForgotten,
                format!("look at it: `cat {0}`; without it, `rm {0}`, an older list is taken once", path.display()),
            ),
            Self::Path(error) => return error.report(),
        };
        Report::new(code, help)
    }
}

/// Judges the list that `trust` was read with. Gives the edition, where the policy has it signed.
///
/// # Errors
/// The first [`RevocationError`].
pub fn judge_list(paths: &HostPaths, trust: &TrustSet, demand: Demand<'_>, now: Timestamp) -> Result<Option<Edition>, RevocationError> {
    let list = &trust.revoked;
    if demand.by.is_none() && demand.age_max.is_none() {
        return Ok(None);
    }
    let text = list.text().ok_or(RevocationError::Missing)?;
    let edition = demand.by.map(|by| signed_edition(paths, trust, by, text, now)).transpose()?;
    if let Some(age_max) = demand.age_max {
        check_age(list, age_max, now)?;
    }
    if let Some(edition) = &edition {
        let memory = paths.memory_dir()?.map(|dir| recall(&dir)).transpose()?.flatten();
        check_serial(edition, memory)?;
    }
    Ok(edition)
}

fn signed_edition(paths: &HostPaths, trust: &TrustSet, by: &str, text: &[u8], now: Timestamp) -> Result<Edition, RevocationError> {
    let armor = paths.read_etc(SIGNATURE)?.ok_or(RevocationError::Unsigned)?;
    let armor = std::str::from_utf8(&armor).map_err(|_| RevocationError::Signature(SignatureError::Malformed))?;
    let signature = SshSignature::from_armor(armor, NAMESPACE_REVOKED).map_err(RevocationError::Signature)?;
    signature.verify(text).map_err(RevocationError::Signature)?;
    let signatory = signature.signatory;
    let all = std::slice::from_ref(&signatory);
    if trust.revoked.first_of(all).is_some() || !is_principal(trust, &signatory, by, now) {
        return Err(RevocationError::Signer { signatory: Box::new(signatory), by: by.to_owned() });
    }
    let serial = trust.revoked.serial().ok_or(RevocationError::Incomplete { line: "serial N" })?;
    Ok(Edition { serial, digest: HashAlgorithm::Sha256.plain(text) })
}

/// Whether the system's list has the key for this principal, now and for this purpose. Names in a certificate are names; those of the list may be patterns.
fn is_principal(trust: &TrustSet, signatory: &Signatory, by: &str, now: Timestamp) -> bool {
    let entries = trust.signers.iter().filter(|(origin, _)| *origin == Origin::System).map(|(_, signer)| signer);
    let counts = entries.filter(|signer| signer.check_active(NAMESPACE_REVOKED, now).is_ok());
    counts.filter_map(|signer| signer.principals_of(signatory, now).ok()).flatten().any(|name| match signatory.certificate {
        Some(_) => name == by,
        None => matches(&name, by),
    })
}

/// One from the future is as old as it is early.
fn check_age(list: &Revoked, age_max: i64, now: Timestamp) -> Result<(), RevocationError> {
    let made = list.made().ok_or(RevocationError::Incomplete { line: "made YYYYMMDDHHMMSS" })?;
    let age = now.as_nanosecond().abs_diff(made.as_nanosecond());
    if age > u128::from(age_max.unsigned_abs()) { Err(RevocationError::Expired { made, age_max }) } else { Ok(()) }
}

fn check_serial(edition: &Edition, memory: Option<Edition>) -> Result<(), RevocationError> {
    let serial = edition.serial;
    match memory {
        Some(seen) if seen.serial > serial => Err(RevocationError::Older { serial, seen: seen.serial }),
        Some(seen) if seen.serial == serial && seen.digest != edition.digest => Err(RevocationError::SerialReused { serial }),
        _ => Ok(()),
    }
}

/// Remembers an edition that a run is judged by. Of several at once each is compared with what the others have remembered.
///
/// # Errors
/// [`RevocationError::Older`] and the like where a later one was remembered meanwhile; a place that cannot be written.
pub fn remember(paths: &HostPaths, edition: &Edition) -> Result<(), RevocationError> {
    let dir = paths.make_memory_dir()?;
    if recall(&dir)?.as_ref() == Some(edition) {
        return Ok(());
    }
    let lock = dir.open_or_create_file(MEMORY_LOCK)?;
    let unlockable = |error: io::Error| PathCause::Write(errno_of(&error)).at(dir.path().join(MEMORY_LOCK));
    lock.lock().map_err(unlockable)?;
    let seen = recall(&dir)?;
    check_serial(edition, seen)?;
    if seen.as_ref() != Some(edition) {
        dir.write_file(MEMORY, format!("{} {}\n", edition.serial, edition.digest).as_bytes(), 0o600, true)?;
    }
    Ok(())
}

fn recall(dir: &SafeDir) -> Result<Option<Edition>, RevocationError> {
    let Some(bytes) = dir.read_file(MEMORY, forbid::WRITING, MEMORY_SIZE_MAX)? else { return Ok(None) };
    let read = || {
        let (serial, digest) = std::str::from_utf8(&bytes).ok()?.strip_suffix('\n')?.split_once(' ')?;
        Some(Edition { serial: serial.parse().ok()?, digest: digest.parse().ok()? })
    };
    read().map(Some).ok_or_else(|| RevocationError::Forgotten { path: dir.path().join(MEMORY) })
}

#[cfg(test)]
mod tests {
    use super::super::locations::fixture;
    use super::super::policy::Policy;
    use super::*;
    use opal_format::identity::Identity;

    const NOW: &str = "2026-12-01T06:00:00Z";

    struct Bench {
        paths: HostPaths,
        author: Identity,
        _temp: tempfile::TempDir,
    }

    impl Bench {
        fn new() -> Self {
            let (paths, temp) = fixture::host();
            let author = Identity::generate("author").expect("a key");
            fixture::etc_file(&paths, "allowed_signers", &format!("sec,chief namespaces=\"opal-revoked\" {}\n", author.public()));
            Self { paths, author, _temp: temp }
        }

        fn put(&self, text: &str) {
            self.put_by(text, &self.author, NAMESPACE_REVOKED);
        }

        fn put_by(&self, text: &str, by: &Identity, namespace: &'static str) {
            fixture::etc_file(&self.paths, "revoked", text);
            let signature = SshSignature::sign(&by.signing, namespace, text.as_bytes()).expect("signs");
            fixture::etc_file(&self.paths, "revoked.sig", &signature.to_armor());
        }

        fn judge(&self, by: Option<&str>, age_max: Option<i64>) -> Result<Option<Edition>, &'static str> {
            let trust = TrustSet::load(&self.paths, None, true, &Policy::default()).expect("reads");
            judge_list(&self.paths, &trust, Demand { by, age_max }, NOW.parse().expect("a time")).map_err(|error| error.code().name())
        }

        fn run(&self) -> Result<(), &'static str> {
            let edition = self.judge(Some("sec"), None)?.expect("signed");
            remember(&self.paths, &edition).map_err(|error| error.code().name())
        }
    }

    #[test]
    fn a_list_is_signed_by_whom_the_policy_names_for_this_purpose() {
        let bench = Bench::new();
        let verdict = |by| bench.judge(by, None).map(|edition| edition.is_some());
        assert_eq!((verdict(None), verdict(Some("sec"))), (Ok(false), Err("revoked_missing")));
        fixture::etc_file(&bench.paths, "revoked", "serial 1\n");
        assert_eq!((verdict(None), verdict(Some("sec"))), (Ok(false), Err("revoked_unsigned")));
        bench.put("serial 1\n");
        assert_eq!((verdict(Some("sec")), verdict(Some("chief"))), (Ok(true), Ok(true)));
        for other in ["se", "*", "s?c", "ops"] {
            assert_eq!(verdict(Some(other)), Err("revoked_signer"), "{other}");
        }
        bench.put("# nothing\n");
        assert_eq!(verdict(Some("sec")), Err("revoked_incomplete"));
        bench.put_by("serial 1\n", &Identity::generate("").expect("a key"), NAMESPACE_REVOKED);
        assert_eq!(verdict(Some("sec")), Err("revoked_signer"));
        bench.put_by("serial 1\n", &bench.author, "opal-plan");
        assert_eq!(verdict(Some("sec")), Err("revoked_signature"));
        bench.put("serial 1\n");
        fixture::etc_file(&bench.paths, "revoked", "serial 2\n");
        assert_eq!(verdict(Some("sec")), Err("revoked_signature"));
        fixture::etc_file(&bench.paths, "revoked.sig", "x");
        assert_eq!(verdict(Some("sec")), Err("revoked_signature"));
        // Who is revoked revokes nobody.
        bench.put(&format!("serial 3\n{}\n", bench.author.public()));
        assert_eq!(verdict(Some("sec")), Err("revoked_signer"));
        // For another purpose the key counts elsewhere only.
        let line = format!("sec namespaces=\"opal-plan\" {}\n", bench.author.public());
        fixture::etc_file(&bench.paths, "allowed_signers", &line);
        bench.put("serial 4\n");
        assert_eq!(verdict(Some("sec")), Err("revoked_signer"));
    }

    #[test]
    fn a_serial_never_goes_back_and_stands_for_one_list() {
        let bench = Bench::new();
        for (text, verdict) in [
            ("serial 5\n", Ok(())),
            ("serial 5\n", Ok(())),
            ("serial 4\n", Err("revoked_older")),
            ("serial 5\n# another\n", Err("revoked_serial_reused")),
            ("serial 7\n", Ok(())),
            ("serial 6\n", Err("revoked_older")),
            ("serial 18446744073709551615\n", Ok(())),
            ("serial 7\n", Err("revoked_older")),
        ] {
            bench.put(text);
            assert_eq!(bench.run(), verdict, "{text}");
        }
        // Who was judged by an older one, and is overtaken, does not put it back.
        let late = Edition { serial: 7, digest: HashAlgorithm::Sha256.plain(b"serial 7\n") };
        assert_eq!(remember(&bench.paths, &late).map_err(|error| error.code().name()), Err("revoked_older"));
        let memory = bench.paths.memory_dir().expect("safe").expect("made");
        memory.write_file(MEMORY, b"1 x\n", 0o600, true).expect("written");
        assert_eq!(bench.run(), Err("revoked_forgotten"));
    }

    #[test]
    fn a_list_is_of_at_most_the_age_that_the_policy_takes() {
        let bench = Bench::new();
        let hour = 3_600_000_000_000;
        for (made, verdict) in [
            ("made 20261201050000\n", Ok(())),
            ("made 20261201045959\n", Err("revoked_expired")),
            ("made 20261201070000\n", Ok(())),
            ("made 20261201070001\n", Err("revoked_expired")),
            ("\n", Err("revoked_incomplete")),
        ] {
            bench.put(&format!("serial 1\n{made}"));
            assert_eq!(bench.judge(Some("sec"), Some(hour)).map(drop), verdict, "{made}");
            assert_eq!(bench.judge(None, Some(hour)).map(drop), verdict, "{made}");
        }
    }

    #[test]
    fn of_many_who_remember_at_once_the_latest_stays() {
        let bench = Bench::new();
        std::thread::scope(|scope| {
            for serial in 1..=32 {
                let edition = Edition { serial, digest: HashAlgorithm::Sha256.plain(&[]) };
                let paths = &bench.paths;
                scope.spawn(move || _ = remember(paths, &edition));
            }
        });
        let seen = recall(&bench.paths.memory_dir().expect("safe").expect("made")).expect("whole").expect("some");
        assert_eq!(seen.serial, 32);
    }
}
