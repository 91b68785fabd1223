//! `/etc/opal/revoked`: keys and contracts that never run, whatever the flags.
//!
//! Each line starts with a public key (`ssh-ed25519 AAAA…`), a fingerprint (`SHA256:…`) or the hash of a contract
//! (`sha256:…`, `blake3:…`); what follows on the line is a comment. A line that is none of them makes the file unusable.
//!
//! Read for: who is trusted, and what policy allows.

use std::collections::BTreeSet;
use std::path::Path;

use opal_format::credential::{SECURITY_KEY, Signatory, SigningParty};
use opal_format::hash::Digest;

use super::signers::{LineCause, LineError, content_lines};

/// Characters of an unpadded base64 SHA-256 digest.
const FINGERPRINT_DIGITS: usize = 43;

/// What has been revoked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Revoked {
    fingerprints: BTreeSet<String>,
    contracts: BTreeSet<Digest>,
}

enum Entry {
    Fingerprint(String),
    Contract(Digest),
}

impl Revoked {
    /// Reads the file.
    ///
    /// # Errors
    /// The first [`LineError`].
    pub fn parse(bytes: &[u8], file: &Path) -> Result<Self, LineError> {
        let mut revoked = Self::default();
        for entry in content_lines(bytes, file, parse_line)? {
            match entry {
                Entry::Fingerprint(text) => revoked.fingerprints.insert(text),
                Entry::Contract(name) => revoked.contracts.insert(name),
            };
        }
        Ok(revoked)
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
    let word = line.split_ascii_whitespace().next().unwrap_or_default();
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

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Revoked::parse(&bytes, Path::new("f"));
        }
    }
}
