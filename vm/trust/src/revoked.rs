//! `/etc/opal/revoked`: keys and contracts that never run, whatever the flags.
//!
//! Each line starts with a public key (`ssh-ed25519 AAAA…`), a fingerprint (`SHA256:…`) or the hash of a contract
//! (`sha256:…`, `blake3:…`); what follows on the line is a comment. `serial N` and `made YYYYMMDD[HHMM[SS]]` (UTC), each at most once, tell one edition
//! of the list from another. A line that is none of them makes the file unusable. What an edition has to be is judged in
//! [`revocation`](super::revocation).
//!
//! Read for: who is trusted, and what policy allows.

use std::collections::BTreeSet;
use std::path::Path;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use opal_format::credential::{SECURITY_KEY, Signatory, SigningParty};
use opal_format::hash::Digest;

use super::signers::{LineCause, LineError, content_lines, parse_time};

/// Characters of an unpadded base64 SHA-256 digest.
const FINGERPRINT_DIGITS: usize = 43;

/// What the policy demands of the list.
#[derive(Debug, Clone, Copy, Default)]
pub struct Demand<'a> {
    /// The principal of `/etc/opal/allowed_signers` that has to have signed it.
    pub by: Option<&'a str>,
    /// The greatest age, in nanoseconds.
    pub age_max: Option<i64>,
}

/// What has been revoked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Revoked {
    fingerprints: BTreeSet<String>,
    contracts: BTreeSet<Digest>,
    serial: Option<u64>,
    made: Option<Timestamp>,
    /// What was read: signatures are over this. `None` where there is no file.
    text: Option<Vec<u8>>,
}

enum Entry {
    Fingerprint(String),
    Contract(Digest),
    Serial(u64),
    Made(Timestamp),
}

impl Revoked {
    /// Reads the file.
    ///
    /// # Errors
    /// The first [`LineError`].
    pub fn parse(bytes: &[u8], file: &Path) -> Result<Self, LineError> {
        let mut revoked = Self { text: Some(bytes.to_vec()), ..Self::default() };
        content_lines(bytes, file, |line| revoked.take(parse_line(line)?))?;
        Ok(revoked)
    }

    fn take(&mut self, entry: Entry) -> Result<(), LineCause> {
        let twice = |name| LineCause::RepeatedOption { name };
        match entry {
            Entry::Fingerprint(text) => _ = self.fingerprints.insert(text),
            Entry::Contract(name) => _ = self.contracts.insert(name),
            Entry::Serial(_) if self.serial.is_some() => return Err(twice("serial")),
            Entry::Serial(number) => self.serial = Some(number),
            Entry::Made(_) if self.made.is_some() => return Err(twice("made")),
            Entry::Made(time) => self.made = Some(time),
        }
        Ok(())
    }

    /// The bytes of the file; `None` where there is none.
    #[must_use]
    pub fn text(&self) -> Option<&[u8]> {
        self.text.as_deref()
    }

    /// Its `serial`.
    #[must_use]
    pub const fn serial(&self) -> Option<u64> {
        self.serial
    }

    /// When it was `made`.
    #[must_use]
    pub const fn made(&self) -> Option<Timestamp> {
        self.made
    }

    /// The fingerprint of the first key among these, or of the authority behind one of them, that is revoked.
    #[must_use]
    pub fn first_of(&self, signatories: &[Signatory]) -> Option<String> {
        if self.fingerprints.is_empty() {
            return None;
        }
        let authority = |signatory: &Signatory| signatory.certificate.as_ref().map(|certificate| certificate.authority.fingerprint());
        let mut all = signatories.iter().flat_map(|signatory| [Some(signatory.fingerprint()), authority(signatory)]).flatten();
        all.find(|fingerprint| self.fingerprints.contains(fingerprint))
    }

    /// Whether a contract is revoked.
    #[must_use]
    pub fn has_contract(&self, contract: &Digest) -> bool {
        self.contracts.contains(contract)
    }
}

fn parse_line(line: &str) -> Result<Entry, LineCause> {
    let mut words = line.split_ascii_whitespace();
    let word = words.next().unwrap_or_default();
    match word {
        "serial" => {
            let text = words.next().unwrap_or_default();
            // One number has one text.
            let number = text.parse().ok().filter(|number: &u64| *number > 0 && number.to_string() == text);
            return number.map(Entry::Serial).ok_or_else(|| LineCause::Serial { text: text.to_owned() });
        }
        "made" => return parse_time(words.next().unwrap_or_default(), &TimeZone::UTC).map(Entry::Made),
        _ => {}
    }
    if word == opal_format::identity::ALGORITHM || word == SECURITY_KEY {
        return Ok(Entry::Fingerprint(line.parse::<SigningParty>()?.fingerprint()));
    }
    if let Some(digits) = word.strip_prefix("SHA256:") {
        let base64 = |b: u8| b.is_ascii_alphanumeric() || b == b'+' || b == b'/';
        return if digits.len() == FINGERPRINT_DIGITS && digits.bytes().all(base64) {
            Ok(Entry::Fingerprint(word.to_owned()))
        } else {
            Err(LineCause::NotRevocable)
        };
    }
    word.parse().map(Entry::Contract).map_err(|_| LineCause::NotRevocable)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti";

    fn read(text: &str) -> Result<Revoked, LineError> {
        Revoked::parse(text.as_bytes(), Path::new("revoked"))
    }

    #[test]
    fn keys_fingerprints_and_contracts_are_found_again() {
        let key = [Signatory { party: KEY.parse().expect("key"), certificate: None }];
        let contract: Digest = format!("blake3:{}", "0f".repeat(32)).parse().expect("hash");
        for text in [format!("{KEY} left the company"), format!("# x\n\n{} # stolen", key[0].fingerprint())] {
            let revoked = read(&text).expect("reads");
            assert!(revoked.first_of(&key) == Some(key[0].fingerprint()) && !revoked.has_contract(&contract), "{text}");
        }
        let revoked = read(&format!("{contract} bad rollout")).expect("reads");
        assert!(revoked.first_of(&key).is_none() && revoked.has_contract(&contract));
    }

    #[test]
    fn a_line_that_revokes_nothing_is_an_error() {
        for text in ["x", "SHA256:short", "sha256:abc", "MD5:aa", "SHA256:UCUiLr7Pjs9wFFJMDByLgc3NrtdU344OgUM45wZPcI="] {
            let error = read(&format!("#\n{text}")).expect_err("refused");
            assert_eq!((error.line, &error.cause), (2, &LineCause::NotRevocable), "{text}");
        }
        assert!(matches!(read("ssh-ed25519 AAAA").map_err(|e| e.cause), Err(LineCause::Key(_))));
    }

    #[test]
    fn an_edition_has_one_serial_and_one_time() {
        let list = read("serial 7 since the audit\nmade 202612010500\n").expect("reads");
        assert_eq!((list.serial(), list.made().map(|made| made.to_string())), (Some(7), Some("2026-12-01T05:00:00Z".to_owned())));
        assert_eq!(list.text(), Some(&b"serial 7 since the audit\nmade 202612010500\n"[..]));
        assert_eq!(read("").expect("reads").serial(), None);
        for bad in ["serial", "serial 0", "serial 07", "serial -1", "serial +1", "serial 18446744073709551616", "serial x"] {
            assert!(matches!(read(bad).expect_err(bad).cause, LineCause::Serial { .. }), "{bad}");
        }
        for bad in ["made", "made 2026-12-01", "made 20261301", "made yesterday"] {
            assert!(matches!(read(bad).expect_err(bad).cause, LineCause::Time { .. }), "{bad}");
        }
        for twice in ["serial 1\nserial 1", "made 20261201\nmade 20261201"] {
            assert!(matches!(read(twice).expect_err(twice).cause, LineCause::RepeatedOption { .. }), "{twice}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Revoked::parse(&bytes, Path::new("f"));
        }
    }
}
