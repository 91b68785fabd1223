//! Keys: an identity is an unencrypted Ed25519 key pair in OpenSSH format.
//!
//! Public keys are checked once, where they enter: an encoding that is not canonical, a point that is not on the
//! curve and a point of small order never become a [`PublicKey`]. Reading and writing files is the host's work
//! (`opal_vm::trust`); here are only bytes.

use std::fmt;
use std::str::FromStr;

use ed25519_dalek::{SigningKey, VerifyingKey};
use ssh_key::private::{Ed25519Keypair, KeypairData};
use ssh_key::public::{Ed25519PublicKey, KeyData};
use zeroize::Zeroizing;

/// The OpenSSH name of the only supported key type.
pub const ALGORITHM: &str = "ssh-ed25519";

/// Most bytes that a key file has.
pub const FILE_SIZE_MAX: usize = 64 << 10;

/// Why a key was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The text is not an OpenSSH public key line.
    #[error("this is not an OpenSSH public key")]
    PublicMalformed,
    /// The file is not an OpenSSH private key.
    #[error("this is not an OpenSSH private key")]
    PrivateMalformed,
    /// Another kind of key.
    #[error("a key of type `{algorithm}` is not supported, only ssh-ed25519 is")]
    Unsupported {
        /// The type that the key names.
        algorithm: String,
    },
    /// The private key needs a passphrase.
    #[error("the private key is encrypted")]
    Encrypted,
    /// The private file's two halves belong to different keys.
    #[error("the private key does not belong to its public half")]
    Mismatch,
    /// The 32 bytes are not the only encoding of their point.
    #[error("the public key is not in canonical form")]
    NotCanonical,
    /// The 32 bytes name no point.
    #[error("the public key is not a point of the curve")]
    NotOnCurve,
    /// A point of small order, under which a signature proves nothing.
    #[error("the public key is weak")]
    Weak,
    /// A certificate that is damaged, not a user's, without principals or validity, or with conditions.
    #[error("the certificate is not one of a user's ssh-ed25519 key without conditions")]
    CertificateMalformed,
    /// The authority's signature does not match the certificate.
    #[error("the certificate was not made by the authority that it names")]
    CertificateForged,
    /// The system gave no random bytes.
    #[error("the system gave no random bytes")]
    Random,
}

/// An Ed25519 public key that is safe to verify with and to seal to.
///
/// INVARIANT: the bytes are the canonical encoding of a curve point that is not of small order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey([u8; 32]);

impl PublicKey {
    /// Checks 32 bytes and takes them as a key.
    ///
    /// # Errors
    /// [`KeyError::NotCanonical`], [`KeyError::NotOnCurve`] or [`KeyError::Weak`].
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self, KeyError> {
        let key = VerifyingKey::from_bytes(bytes).map_err(|_| KeyError::NotOnCurve)?;
        if key.is_weak() {
            return Err(KeyError::Weak);
        }
        // Decompression reduces the coordinate modulo the field's prime; compressing again shows whether it had to.
        if key.to_edwards().compress().as_bytes() != bytes {
            return Err(KeyError::NotCanonical);
        }
        Ok(Self(*bytes))
    }

    /// Reads an `ssh-ed25519 AAAA… comment` line and returns the key with its comment.
    ///
    /// # Errors
    /// [`KeyError::Unsupported`] for another key type, [`KeyError::PublicMalformed`] for other text, or what
    /// [`PublicKey::from_bytes`] refuses.
    pub fn parse_line(line: &str) -> Result<(Self, String), KeyError> {
        let line = line.trim();
        let algorithm = line.split([' ', '\t']).next().unwrap_or_default();
        if algorithm != ALGORITHM {
            return Err(if names_key_type(algorithm) {
                KeyError::Unsupported { algorithm: algorithm.to_owned() }
            } else {
                KeyError::PublicMalformed
            });
        }
        let key = ssh_key::PublicKey::from_openssh(line).map_err(|_| KeyError::PublicMalformed)?;
        let KeyData::Ed25519(data) = key.key_data() else {
            return Err(KeyError::PublicMalformed);
        };
        Ok((Self::from_bytes(&data.0)?, key.comment().as_str_lossy().to_owned()))
    }

    /// The 32 bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The key for checking signatures; use `verify_strict`.
    ///
    /// # Errors
    /// Never for a value of this type: the bytes were checked when it was made.
    pub fn verifying_key(&self) -> Result<VerifyingKey, KeyError> {
        VerifyingKey::from_bytes(&self.0).map_err(|_| KeyError::NotOnCurve)
    }

    /// The fingerprint as `ssh-keygen -l` prints it: `SHA256:` and unpadded base64.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        self.openssh().fingerprint(ssh_key::HashAlg::Sha256).to_string()
    }

    fn openssh(&self) -> ssh_key::PublicKey {
        ssh_key::PublicKey::from(KeyData::Ed25519(Ed25519PublicKey(self.0)))
    }
}

/// Whether a word is the name of an OpenSSH key type, so that the refusal can say so.
fn names_key_type(word: &str) -> bool {
    let named = word.starts_with("ssh-") || word.starts_with("sk-") || word.starts_with("ecdsa-");
    named && word.chars().all(|c| c.is_ascii_graphic())
}

impl FromStr for PublicKey {
    type Err = KeyError;

    fn from_str(line: &str) -> Result<Self, KeyError> {
        Self::parse_line(line).map(|(key, _)| key)
    }
}

impl fmt::Display for PublicKey {
    /// Writes `ssh-ed25519 AAAA…`, without a comment.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.openssh().to_openssh().map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.fingerprint())
    }
}

/// A key pair and its comment. The private half is wiped from memory when this is dropped, and shows nowhere.
#[derive(Clone)]
pub struct Identity {
    /// The private half.
    pub signing: SigningKey,
    /// What OpenSSH writes after the public key, without control characters.
    pub comment: String,
    public: PublicKey,
}

impl Identity {
    /// Makes a new key pair from the system's random numbers.
    ///
    /// # Errors
    /// [`KeyError::Random`] when the system gives none.
    pub fn generate(comment: &str) -> Result<Self, KeyError> {
        let mut seed = Zeroizing::new([0u8; 32]);
        getrandom::fill(seed.as_mut_slice()).map_err(|_| KeyError::Random)?;
        Self::from_signing(SigningKey::from_bytes(&seed), comment)
    }

    /// Reads a private key file in OpenSSH format.
    ///
    /// # Errors
    /// [`KeyError::Encrypted`], [`KeyError::Unsupported`], [`KeyError::Mismatch`], [`KeyError::PrivateMalformed`],
    /// or what [`PublicKey::from_bytes`] refuses.
    pub fn from_openssh(file: &[u8]) -> Result<Self, KeyError> {
        let key = ssh_key::PrivateKey::from_openssh(file).map_err(|error| match error {
            ssh_key::Error::Crypto => KeyError::Mismatch,
            ssh_key::Error::AlgorithmUnsupported { algorithm } => KeyError::Unsupported { algorithm: algorithm.as_str().to_owned() },
            _ => KeyError::PrivateMalformed,
        })?;
        let comment = key.comment().as_str_lossy();
        match key.key_data() {
            KeypairData::Ed25519(pair) => Self::from_signing(SigningKey::from(&pair.private), comment),
            KeypairData::Encrypted(_) => Err(KeyError::Encrypted),
            _ => Err(KeyError::Unsupported { algorithm: key.algorithm().as_str().to_owned() }),
        }
    }

    /// Takes a private key that is at hand already.
    ///
    /// # Errors
    /// What [`PublicKey::from_bytes`] refuses.
    pub fn from_signing(signing: SigningKey, comment: &str) -> Result<Self, KeyError> {
        let public = PublicKey::from_bytes(signing.verifying_key().as_bytes())?;
        let comment = comment.chars().filter(|c| !c.is_control()).collect();
        Ok(Self { signing, comment, public })
    }

    /// The identity whose Ed25519 secret (RFC 8032, the 32 bytes that the key pair is derived from) is at hand.
    ///
    /// # Errors
    /// What [`PublicKey::from_bytes`] refuses.
    pub fn from_secret(secret: &[u8; 32], comment: &str) -> Result<Self, KeyError> {
        Self::from_signing(SigningKey::from_bytes(secret), comment)
    }

    /// A bare Ed25519 signature. `data` must say by itself what it is for.
    #[must_use]
    pub fn sign_raw(&self, data: &[u8]) -> [u8; 64] {
        use ed25519_dalek::Signer as _;
        self.signing.sign(data).to_bytes()
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        self.public
    }

    /// The private key file in OpenSSH format, unencrypted.
    ///
    /// # Errors
    /// [`KeyError::PrivateMalformed`] if the encoder refuses, which a comment of more than 4 GiB would cause.
    pub fn to_openssh(&self) -> Result<Zeroizing<String>, KeyError> {
        let pair = KeypairData::Ed25519(Ed25519Keypair { public: Ed25519PublicKey(self.public.0), private: (&self.signing).into() });
        ssh_key::PrivateKey::new(pair, self.comment.as_str())
            .and_then(|key| key.to_openssh(ssh_key::LineEnding::LF))
            .map_err(|_| KeyError::PrivateMalformed)
    }

    /// The public key file: `ssh-ed25519 AAAA… comment` and a newline.
    #[must_use]
    pub fn to_public_line(&self) -> String {
        if self.comment.is_empty() { format!("{}\n", self.public) } else { format!("{} {}\n", self.public, self.comment) }
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("public", &self.public).field("comment", &self.comment).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::process::Command;

    const LINE: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti user@example.com";

    #[test]
    fn a_public_key_line_is_read_with_its_comment_and_written_back() {
        let (key, comment) = PublicKey::parse_line(LINE).expect("a key");
        assert_eq!(comment, "user@example.com");
        assert_eq!(format!("{key} {comment}"), LINE);
        assert_eq!(key.fingerprint(), "SHA256:UCUiLr7Pjs9wFFJMDByLgc3NrtdU344OgUM45wZPcIQ");
    }

    #[test]
    fn each_unusable_public_key_has_its_own_error() {
        assert_eq!("".parse::<PublicKey>(), Err(KeyError::PublicMalformed));
        assert_eq!("hello world".parse::<PublicKey>(), Err(KeyError::PublicMalformed));
        assert_eq!("ssh-ed25519 AAAA".parse::<PublicKey>(), Err(KeyError::PublicMalformed));
        assert_eq!("ssh-rsa AAAAB3NzaC1yc2E= x".parse::<PublicKey>(), Err(KeyError::Unsupported { algorithm: "ssh-rsa".to_owned() }));
        let truncated = LINE.replace("qti", "qt");
        assert_eq!(truncated.parse::<PublicKey>(), Err(KeyError::PublicMalformed));
    }

    #[test]
    fn points_of_small_order_and_second_encodings_are_refused() {
        let mut identity_point = [0u8; 32];
        identity_point[0] = 1;
        assert_eq!(PublicKey::from_bytes(&identity_point), Err(KeyError::Weak));
        assert_eq!(PublicKey::from_bytes(&[0; 32]), Err(KeyError::Weak));
        // The 19 encodings at or above the field prime: each is a second way to write a small coordinate.
        let mut above = [0xff; 32];
        above[0] = 0xf0;
        above[31] = 0x7f;
        let mut refusals = Vec::new();
        for low in 0xed..=0xff {
            above[0] = low;
            refusals.push(PublicKey::from_bytes(&above).expect_err("never canonical"));
        }
        assert!(refusals.contains(&KeyError::NotCanonical));
        assert!(refusals.contains(&KeyError::NotOnCurve));
        assert!(refusals.contains(&KeyError::Weak));
    }

    #[test]
    fn a_generated_identity_survives_its_file() {
        let made = Identity::generate("me@here\nand more").expect("random");
        assert_eq!(made.comment, "me@hereand more");
        let file = made.to_openssh().expect("encodes");
        assert!(file.starts_with("-----BEGIN OPENSSH PRIVATE KEY-----\n"));
        let read = Identity::from_openssh(file.as_bytes()).expect("reads");
        assert_eq!(read.signing.to_bytes(), made.signing.to_bytes());
        assert_eq!(read.comment, made.comment);
        assert_eq!(read.public(), made.public());
        let line = read.to_public_line();
        assert_eq!(PublicKey::parse_line(&line), Ok((made.public(), made.comment.clone())));
    }

    #[test]
    fn debug_output_shows_only_the_public_half() {
        let identity = Identity::from_signing(SigningKey::from_bytes(&[0x5a; 32]), "c").expect("a key");
        let text = format!("{identity:?}");
        assert!(text.contains("SHA256:") && !text.contains("90") && !text.to_lowercase().contains("5a5a"));
    }

    #[test]
    fn a_file_that_is_no_private_key_is_refused() {
        assert_eq!(Identity::from_openssh(b"").err(), Some(KeyError::PrivateMalformed));
        assert_eq!(Identity::from_openssh(LINE.as_bytes()).err(), Some(KeyError::PrivateMalformed));
    }

    #[test]
    fn ssh_keygen_and_this_module_agree() {
        let dir = std::env::temp_dir().join(format!("opal-identity-{}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("temp dir");
        let keygen = |args: &[&str]| Command::new("ssh-keygen").args(args).current_dir(&dir).output();
        let plain = keygen(&["-q", "-t", "ed25519", "-N", "", "-C", "plain key", "-f", "plain"]);
        if plain.is_err() {
            println!("skipped: ssh-keygen is not installed");
            return;
        }
        assert!(keygen(&["-q", "-t", "ed25519", "-N", "secret", "-f", "locked"]).expect("runs").status.success());
        assert!(keygen(&["-q", "-t", "rsa", "-b", "1024", "-N", "", "-f", "rsa"]).expect("runs").status.success());
        let read = |name: &str| Identity::from_openssh(&std::fs::read(dir.join(name)).expect("file"));
        let identity = read("plain").expect("an identity");
        assert_eq!(identity.comment, "plain key");
        assert_eq!(identity.to_public_line(), std::fs::read_to_string(dir.join("plain.pub")).expect("file"));
        let listed = String::from_utf8(keygen(&["-l", "-f", "plain.pub"]).expect("runs").stdout).expect("text");
        assert!(listed.contains(&identity.public().fingerprint()), "{listed}");
        assert_eq!(read("locked").err(), Some(KeyError::Encrypted));
        assert!(matches!(read("rsa"), Err(KeyError::Unsupported { .. } | KeyError::PrivateMalformed)));
        let ours = Identity::generate("ours").expect("random");
        let path = dir.join("ours");
        std::fs::write(&path, ours.to_openssh().expect("encodes").as_bytes()).expect("file");
        let _ = Command::new("chmod").arg("600").arg(&path).status();
        let derived = String::from_utf8(keygen(&["-y", "-f", "ours"]).expect("runs").stdout).expect("text");
        assert_eq!(derived, ours.to_public_line());
        let _ = std::fs::remove_dir_all(&dir);
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic(text in "\\PC*|ssh-ed25519 [A-Za-z0-9+/= ]{0,90}") {
            let _ = text.parse::<PublicKey>();
            let _ = Identity::from_openssh(text.as_bytes());
        }

        #[test]
        fn any_damaged_private_file_is_read_without_panic(at in 0usize..380, byte in any::<u8>()) {
            let made = Identity::from_signing(SigningKey::from_bytes(&[7; 32]), "c").expect("a key");
            let mut file = made.to_openssh().expect("encodes").as_bytes().to_vec();
            if let Some(slot) = file.get_mut(at) {
                *slot = byte;
            }
            let _ = Identity::from_openssh(&file);
        }
    }
}
