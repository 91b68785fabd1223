//! Attestations: an SSHSIG in OpenSSH's armour, followed by what it is about (spec/attestations.md).
//!
//! `ssh-keygen -Y verify -s FILE` reads such a file as a signature, and wants what follows the armour on its standard input.

use crate::crypto::hash::Digest;
use crate::crypto::signature::{SignatureError, SshSignature};

/// Namespace of vouches.
pub const NAMESPACE_VOUCH: &str = "opal-vouch";
/// Namespace of receipts.
pub const NAMESPACE_RECEIPT: &str = "opal-receipt";

/// The first bytes of an attestation.
pub const START: &[u8] = b"-----BEGIN SSH SIGNATURE-----";
const END: &[u8] = b"-----END SSH SIGNATURE-----";

/// An attestation taken apart. Nothing is verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attestation<'a> {
    /// The signature.
    pub signature: SshSignature,
    /// What stands after the armour and its line end.
    pub statement: &'a [u8],
}

impl<'a> Attestation<'a> {
    /// Reads a file, and demands the namespace of its signature.
    ///
    /// # Errors
    /// [`SignatureError`], except `Mismatch`.
    pub fn read(file: &'a [u8], namespace: &'static str) -> Result<Self, SignatureError> {
        let end = file.windows(END.len()).position(|window| window == END).ok_or(SignatureError::Malformed)?;
        let (armor, rest) = file.split_at_checked(end.saturating_add(END.len())).ok_or(SignatureError::Malformed)?;
        let statement = rest.strip_prefix(b"\r").unwrap_or(rest);
        let statement = statement.strip_prefix(b"\n").unwrap_or(statement);
        let armor = std::str::from_utf8(armor).map_err(|_| SignatureError::Malformed)?;
        Ok(Self { signature: SshSignature::from_armor(&format!("{armor}\n"), namespace)?, statement })
    }
}

/// The bytes of a file with this signature of `statement`.
#[must_use]
pub fn write(signature: &SshSignature, statement: &[u8]) -> Vec<u8> {
    [signature.to_armor().as_bytes(), statement].concat()
}

/// What a vouch may be about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vouched {
    /// A contract, by its `contract_hash`; policies count these.
    Contract,
    /// The work of a plan, by its `plan_hash`; people are shown these.
    Plan,
}

impl Vouched {
    /// The word that statements begin with.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Contract => "contract",
            Self::Plan => "plan",
        }
    }

    /// What is signed: `contract sha256:…` or `plan sha256:…`, and a line end.
    #[must_use]
    pub fn statement(self, digest: &Digest) -> String {
        format!("{} {digest}\n", self.name())
    }

    /// Reads a statement.
    #[must_use]
    pub fn parse(statement: &[u8]) -> Option<(Self, Digest)> {
        let text = std::str::from_utf8(statement).ok()?;
        let (name, digest) = text.strip_suffix('\n')?.split_once(' ')?;
        let about = [Self::Contract, Self::Plan].into_iter().find(|about| about.name() == name)?;
        let digest: Digest = digest.parse().ok()?;
        // One digest has one text.
        (about.statement(&digest) == text).then_some((about, digest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::hash::HashAlgorithm;
    use ed25519_dalek::SigningKey;
    use proptest::prelude::*;

    fn vouch(statement: &str) -> Vec<u8> {
        let signature = SshSignature::sign(&SigningKey::from_bytes(&[5; 32]), NAMESPACE_VOUCH, statement.as_bytes()).unwrap();
        write(&signature, statement.as_bytes())
    }

    #[test]
    fn an_attestation_is_read_back_and_serves_one_purpose() {
        for algorithm in HashAlgorithm::ALL {
            let digest = algorithm.plain(b"x");
            let statement = Vouched::Plan.statement(&digest);
            let file = vouch(&statement);
            let read = Attestation::read(&file, NAMESPACE_VOUCH).unwrap();
            assert_eq!(read.signature.verify(read.statement), Ok(()));
            assert_eq!(Vouched::parse(read.statement), Some((Vouched::Plan, digest)));
            assert!(read.signature.verify(Vouched::Contract.statement(&digest).as_bytes()).is_err());
            assert_eq!(Attestation::read(&file, NAMESPACE_RECEIPT), Err(SignatureError::Namespace { expected: NAMESPACE_RECEIPT }));
        }
    }

    #[test]
    fn a_statement_has_one_text() {
        let digest = HashAlgorithm::Sha256.plain(b"x");
        let text = Vouched::Contract.statement(&digest);
        assert!(Vouched::parse(text.as_bytes()).is_some());
        let upper = text.replace("sha256:", "SHA256:");
        for other in [text.trim_end(), &format!("{text}\n"), &format!(" {text}"), &text.replace(' ', "  "), &upper, "contract \n", ""] {
            assert_eq!(Vouched::parse(other.as_bytes()), None, "{other:?}");
        }
    }

    proptest! {
        #[test]
        fn any_damaged_attestation_is_refused_or_means_the_same(at in 0usize..400, byte in any::<u8>()) {
            let statement = Vouched::Contract.statement(&HashAlgorithm::Sha256.plain(b"x"));
            let good = vouch(&statement);
            let mut file = good.clone();
            if let Some(place) = file.get_mut(at) {
                *place = byte;
            }
            if let Ok(read) = Attestation::read(&file, NAMESPACE_VOUCH)
                && read.signature.verify(read.statement).is_ok()
            {
                prop_assert_eq!(read.statement, statement.as_bytes());
            }
        }

        #[test]
        fn any_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = Attestation::read(&bytes, NAMESPACE_VOUCH);
            let _ = Attestation::read(&[START, b"\n", &bytes, b"\n", END, &bytes].concat(), NAMESPACE_VOUCH);
            let _ = Vouched::parse(&bytes);
        }
    }
}
