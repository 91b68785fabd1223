//! What stands behind a signature: a key, a security key, or a key with a certificate.
//!
//! The forms are OpenSSH's: PROTOCOL (keys), PROTOCOL.u2f (security keys), PROTOCOL.certkeys (certificates). Whatever is read here has one
//! encoding only: a length that is wrong, or a byte that is left over, refuses the whole.

use std::fmt;
use std::str::FromStr;

use base64ct::{Base64, Base64Unpadded, Encoding as _};
use ed25519_dalek::Signature;
use sha2::Digest as _;

use crate::crypto::identity::{ALGORITHM, KeyError, PublicKey};
use crate::crypto::wire::{Wire, put};

/// The OpenSSH name of Ed25519 keys that a security key holds.
pub const SECURITY_KEY: &str = "sk-ssh-ed25519@openssh.com";
/// The OpenSSH name of certificates of Ed25519 keys.
pub const CERTIFICATE: &str = "ssh-ed25519-cert-v01@openssh.com";

/// Longest application name of a security key; OpenSSH's own is `ssh:`.
const APPLICATION_MAX: usize = 256;
/// Most principals in a certificate, as OpenSSH has it.
const PRINCIPALS_MAX: usize = 256;
/// The kind of certificate that stands for a person.
const USER: u32 = 1;

/// A key that a list may trust: an Ed25519 key, or one inside a security key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SigningParty {
    /// The point that signatures are checked with.
    pub key: PublicKey,
    /// What a security key signs for; `None` for an ordinary key.
    pub application: Option<String>,
}

impl SigningParty {
    /// Reads `ssh-ed25519 AAAA… comment` or `sk-ssh-ed25519@openssh.com AAAA… comment`.
    ///
    /// # Errors
    /// What [`PublicKey::parse_line`] refuses.
    pub fn parse_line(line: &str) -> Result<(Self, String), KeyError> {
        let line = line.trim();
        let mut words = line.split([' ', '\t']).filter(|word| !word.is_empty());
        if words.next() != Some(SECURITY_KEY) {
            return PublicKey::parse_line(line).map(|(key, comment)| (Self::from(key), comment));
        }
        let blob = words.next().and_then(|text| Base64::decode_vec(text).ok()).ok_or(KeyError::PublicMalformed)?;
        let mut wire = Wire(&blob);
        let party = Self::security_key(&mut wire)?;
        if !wire.is_empty() {
            return Err(KeyError::PublicMalformed);
        }
        Ok((party, words.collect::<Vec<_>>().join(" ")))
    }

    fn security_key(wire: &mut Wire<'_>) -> Result<Self, KeyError> {
        let malformed = KeyError::PublicMalformed;
        if wire.string() != Some(SECURITY_KEY.as_bytes()) {
            return Err(malformed);
        }
        let key = wire.string().and_then(|bytes| bytes.try_into().ok()).ok_or(KeyError::PublicMalformed)?;
        let application = wire.string().filter(|name| !name.is_empty() && name.len() <= APPLICATION_MAX);
        let application =
            application.and_then(|name| std::str::from_utf8(name).ok()).filter(|name| name.chars().all(|c| c.is_ascii_graphic()));
        let application = application.ok_or(malformed)?.to_owned();
        Ok(Self { key: PublicKey::from_bytes(key)?, application: Some(application) })
    }

    /// As SSH writes it.
    #[must_use]
    pub fn to_blob(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put(&mut out, self.algorithm().as_bytes());
        put(&mut out, self.key.as_bytes());
        if let Some(application) = &self.application {
            put(&mut out, application.as_bytes());
        }
        out
    }

    /// The name of its type.
    #[must_use]
    pub const fn algorithm(&self) -> &'static str {
        if self.application.is_some() { SECURITY_KEY } else { ALGORITHM }
    }

    /// The fingerprint as `ssh-keygen -l` prints it: `SHA256:` and unpadded base64.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        format!("SHA256:{}", Base64Unpadded::encode_string(&sha2::Sha256::digest(self.to_blob())))
    }
}

impl From<PublicKey> for SigningParty {
    fn from(key: PublicKey) -> Self {
        Self { key, application: None }
    }
}

impl FromStr for SigningParty {
    type Err = KeyError;

    fn from_str(line: &str) -> Result<Self, KeyError> {
        Self::parse_line(line).map(|(party, _)| party)
    }
}

impl fmt::Display for SigningParty {
    /// Writes the type and the key, without a comment.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.algorithm(), Base64::encode_string(&self.to_blob()))
    }
}

/// A certificate of a user's key (PROTOCOL.certkeys), whose signature by its authority has been checked. Whether that authority is trusted, and
/// whether the certificate holds now, is for whoever judges.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// Who certified.
    pub authority: PublicKey,
    /// The authority's number for it; 0 where it gives none.
    pub serial: u64,
    /// What the authority calls the key.
    pub key_id: String,
    /// Whom it names; at least one.
    pub principals: Vec<String>,
    /// The first second of Unix time in which it holds.
    pub valid_after: u64,
    /// The first second of Unix time in which it no longer holds; `u64::MAX` for none.
    pub valid_before: u64,
    /// All of it, as it was signed.
    bytes: Vec<u8>,
}

impl Certificate {
    /// Reads a certificate and checks the authority's signature. Gives it with the key that it is of.
    ///
    /// # Errors
    /// [`KeyError::CertificateMalformed`] for bytes that are none, or one that is not a user's, names nobody, never holds or holds conditions;
    /// [`KeyError::CertificateForged`]; what [`PublicKey::from_bytes`] refuses of either key.
    pub fn read(bytes: &[u8]) -> Result<(Self, PublicKey), KeyError> {
        let bad = || KeyError::CertificateMalformed;
        let mut wire = Wire(bytes);
        if wire.string() != Some(CERTIFICATE.as_bytes()) {
            return Err(bad());
        }
        let _nonce = wire.string().ok_or_else(bad)?;
        let key = PublicKey::from_bytes(wire.string().and_then(|key| key.try_into().ok()).ok_or_else(bad)?)?;
        let serial = wire.u64().ok_or_else(bad)?;
        if wire.u32() != Some(USER) {
            return Err(bad());
        }
        let text = |bytes: &[u8]| std::str::from_utf8(bytes).ok().filter(|text| !text.chars().any(char::is_control)).map(str::to_owned);
        let key_id = wire.string().and_then(text).ok_or_else(bad)?;
        let mut names = Wire(wire.string().ok_or_else(bad)?);
        let mut principals = Vec::new();
        while !names.is_empty() {
            let name = names.string().and_then(text).filter(|name| !name.is_empty() && principals.len() < PRINCIPALS_MAX);
            principals.push(name.ok_or_else(bad)?);
        }
        let (valid_after, valid_before) = wire.u64().zip(wire.u64()).ok_or_else(bad)?;
        // A condition that is not understood must not be passed over; none of OpenSSH's means anything for a contract.
        let critical = wire.string().ok_or_else(bad)?;
        let _extensions = wire.string().ok_or_else(bad)?;
        let reserved = wire.string().ok_or_else(bad)?;
        if principals.is_empty() || valid_after >= valid_before || !critical.is_empty() || !reserved.is_empty() {
            return Err(bad());
        }
        let authority = wire.string().and_then(|blob| plain_key(blob)).ok_or_else(bad)?;
        let authority = PublicKey::from_bytes(authority)?;
        let signed = bytes.get(..bytes.len().saturating_sub(wire.0.len())).unwrap_or_default();
        let signature = wire.string().and_then(|blob| plain_signature(blob)).ok_or_else(bad)?;
        if !wire.is_empty() {
            return Err(bad());
        }
        authority.verifying_key()?.verify_strict(signed, &Signature::from_bytes(signature)).map_err(|_| KeyError::CertificateForged)?;
        Ok((Self { authority, serial, key_id, principals, valid_after, valid_before, bytes: bytes.to_vec() }, key))
    }

    /// All of it, as SSH writes it.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// The 32 bytes of an `ssh-ed25519` key as SSH writes it.
fn plain_key(blob: &[u8]) -> Option<&[u8; 32]> {
    typed(blob)
}

/// The 64 bytes of an `ssh-ed25519` signature as SSH writes it.
fn plain_signature(blob: &[u8]) -> Option<&[u8; 64]> {
    typed(blob)
}

fn typed<const N: usize>(blob: &[u8]) -> Option<&[u8; N]> {
    let mut wire = Wire(blob);
    let named = wire.string()? == ALGORITHM.as_bytes();
    let value = wire.string()?.try_into().ok()?;
    (named && wire.is_empty()).then_some(value)
}

/// Who signed: the key, and the certificate that the signature brings along.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signatory {
    /// The key.
    pub party: SigningParty,
    /// Its certificate, whose authority may be trusted where the key itself is not listed.
    pub certificate: Option<Box<Certificate>>,
}

impl Signatory {
    /// Reads the key, or the certificate, that an SSHSIG names.
    ///
    /// # Errors
    /// [`KeyError`]; [`KeyError::PublicMalformed`] for any other type of key.
    pub(crate) fn read(blob: &[u8]) -> Result<Self, KeyError> {
        if let Some(key) = plain_key(blob) {
            return Ok(Self::from(PublicKey::from_bytes(key)?));
        }
        let mut wire = Wire(blob);
        match wire.string() {
            Some(name) if name == CERTIFICATE.as_bytes() => {
                let (certificate, key) = Certificate::read(blob)?;
                Ok(Self { party: key.into(), certificate: Some(Box::new(certificate)) })
            }
            Some(name) if name == SECURITY_KEY.as_bytes() => {
                let mut wire = Wire(blob);
                let party = SigningParty::security_key(&mut wire)?;
                if wire.is_empty() { Ok(Self { party, certificate: None }) } else { Err(KeyError::PublicMalformed) }
            }
            _ => Err(KeyError::PublicMalformed),
        }
    }

    /// As SSH writes it: the certificate, where there is one.
    #[must_use]
    pub fn to_blob(&self) -> Vec<u8> {
        self.certificate.as_ref().map_or_else(|| self.party.to_blob(), |certificate| certificate.as_bytes().to_vec())
    }

    /// The point that its signatures are checked with.
    #[must_use]
    pub const fn key(&self) -> PublicKey {
        self.party.key
    }

    /// The fingerprint of the key, which a certificate does not change.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        self.party.fingerprint()
    }
}

impl From<PublicKey> for Signatory {
    fn from(key: PublicKey) -> Self {
        Self { party: key.into(), certificate: None }
    }
}

impl fmt::Display for Signatory {
    /// Writes the key as a list of trusted ones names it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.party.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::identity::Identity;
    use crate::crypto::signature::{MessageHash, NAMESPACE_PLAN, RawSignature, SignatureError, SshSignature, signed_data};
    use ed25519_dalek::{Signer as _, SigningKey};
    use proptest::prelude::*;
    use std::path::Path;
    use std::process::{Command, Stdio};

    fn party(number: u8) -> SigningParty {
        let key = PublicKey::from_bytes(SigningKey::from_bytes(&[number; 32]).verifying_key().as_bytes()).unwrap();
        SigningParty { key, application: Some("ssh:".to_owned()) }
    }

    /// What the security key of a number gives for a message.
    fn touched(number: u8, flags: u8, message: &[u8]) -> SshSignature {
        let data = signed_data(NAMESPACE_PLAN, MessageHash::Sha512, message);
        let party = party(number);
        let application = sha2::Sha256::digest(party.application.as_deref().unwrap().as_bytes());
        let counter = 7_u32;
        let signed = [application.as_slice(), &[flags], &counter.to_be_bytes(), &sha2::Sha256::digest(&data)].concat();
        let bytes = SigningKey::from_bytes(&[number; 32]).sign(&signed).to_bytes();
        let signatory = Signatory { party, certificate: None };
        SshSignature::from_raw(signatory, NAMESPACE_PLAN, MessageHash::Sha512, RawSignature { bytes, device: Some((flags, counter)) })
    }

    /// The verdict of `ssh-keygen -Y verify`; `None` where it is not installed.
    fn ssh_keygen_verifies(folder: &Path, list: &str, armor: &str, principal: &str, time: &str) -> Option<bool> {
        let path = |name: &str| folder.join(name);
        std::fs::write(path("list"), list).unwrap();
        std::fs::write(path("sig"), armor).unwrap();
        std::fs::write(path("message"), "message").unwrap();
        let status = Command::new("ssh-keygen")
            .args(["-Y", "verify", "-n", NAMESPACE_PLAN, "-I", principal, "-O", &format!("verify-time={time}"), "-f"])
            .args([path("list").as_os_str(), "-s".as_ref(), path("sig").as_os_str()])
            .stdin(std::fs::File::open(path("message")).unwrap())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        status.ok().map(|status| status.success())
    }

    #[test]
    fn a_security_key_signs_for_its_application_and_only_when_touched() {
        let signature = touched(5, 1, b"message");
        assert_eq!(signature.verify(b"message"), Ok(()));
        assert_eq!(signature.verify(b"massage"), Err(SignatureError::Mismatch));
        assert_eq!(touched(5, 0, b"message").verify(b"message"), Err(SignatureError::Absent));
        assert_eq!(SshSignature::parse(&signature.to_blob(), NAMESPACE_PLAN), Ok(signature.clone()));
        let mut blob = signature.to_blob();
        for offset in 0..blob.len() {
            blob[offset] ^= 1;
            let accepted = SshSignature::parse(&blob, NAMESPACE_PLAN).is_ok_and(|read| read.verify(b"message").is_ok());
            assert!(!accepted, "byte {offset}");
            blob[offset] ^= 1;
        }
        // An ordinary key's signature is none of a security key with the same point, and the other way round.
        let plain = SshSignature::sign(&SigningKey::from_bytes(&[5; 32]), NAMESPACE_PLAN, b"message").unwrap();
        assert_ne!(plain.signatory, signature.signatory);
        assert_ne!(plain.signatory.fingerprint(), signature.signatory.fingerprint());
        let folder = tempfile::tempdir().unwrap();
        match ssh_keygen_verifies(folder.path(), &format!("me {}\n", party(5)), &signature.to_armor(), "me", "20260101") {
            Some(verdict) => assert!(verdict),
            None => eprintln!("skipped: ssh-keygen is not installed"),
        }
    }

    #[test]
    fn keys_of_both_types_are_read_back_from_their_line() {
        let (key, comment) = SigningParty::parse_line(&format!("{} \tmy key", party(3))).unwrap();
        assert_eq!((key, comment.as_str()), (party(3), "my key"));
        let plain = SigningParty::from(party(3).key);
        assert_eq!(plain.to_string().parse(), Ok(plain.clone()));
        assert_eq!(plain.fingerprint(), plain.key.fingerprint());
        for line in
            ["sk-ssh-ed25519@openssh.com", "sk-ssh-ed25519@openssh.com AAAA", "sk-ssh-ed25519@openssh.com !!", "ecdsa-sha2-nistp256 AAAA"]
        {
            assert!(SigningParty::parse_line(line).is_err(), "{line}");
        }
        let mut blob = party(3).to_blob();
        blob.push(0);
        assert_eq!(format!("{SECURITY_KEY} {}", Base64::encode_string(&blob)).parse::<SigningParty>(), Err(KeyError::PublicMalformed));
    }

    #[test]
    fn a_certificate_of_openssh_is_read_and_its_authority_checked() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for (name, number) in [("ca", 8), ("key", 9)] {
            let identity = Identity::from_secret(&[number; 32], name).unwrap();
            std::fs::write(path(name), identity.to_openssh().unwrap().as_bytes()).unwrap();
            std::fs::set_permissions(path(name), std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
            std::fs::write(path(&format!("{name}.pub")), identity.to_public_line()).unwrap();
        }
        let make = |options: &[&str]| {
            let mut command = Command::new("ssh-keygen");
            command.args(["-q", "-s"]).arg(path("ca")).args(["-I", "the key"]).args(options).arg(path("key.pub"));
            let made = command.stdout(Stdio::null()).stderr(Stdio::null()).status().ok()?;
            assert!(made.success(), "{options:?}");
            let line = std::fs::read_to_string(path("key-cert.pub")).unwrap();
            Some(Base64::decode_vec(line.split(' ').nth(1).unwrap()).unwrap())
        };
        let Some(bytes) = make(&["-z", "3", "-n", "alice,bob", "-V", "20260101000000Z:20260201000000Z"]) else {
            eprintln!("skipped: ssh-keygen is not installed");
            return;
        };
        let (certificate, key) = Certificate::read(&bytes).unwrap();
        let public = |number| *Identity::from_secret(&[number; 32], "").unwrap().public().as_bytes();
        assert_eq!((certificate.authority.as_bytes(), key.as_bytes()), (&public(8), &public(9)));
        assert_eq!(
            (certificate.serial, certificate.key_id.as_str(), certificate.principals.join(" ").as_str()),
            (3, "the key", "alice bob")
        );
        assert_eq!((certificate.valid_after, certificate.valid_before), (1_767_225_600, 1_769_904_000));
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 4;
            assert!(Certificate::read(&changed).is_err(), "byte {at}");
            assert!(Certificate::read(&bytes[..at]).is_err(), "cut at {at}");
        }
        assert!(Certificate::read(&[bytes.as_slice(), &[0]].concat()).is_err());
        let refused: [&[&str]; 4] = [&["-h", "-n", "host"], &[], &["-n", "a", "-O", "force-command=x"], &["-n", "a", "-O", "critical:x=y"]];
        for options in refused {
            assert_eq!(Certificate::read(&make(options).unwrap()).map(|_| ()), Err(KeyError::CertificateMalformed), "{options:?}");
        }

        make(&["-n", "alice", "-V", "20260101000000Z:20260201000000Z"]).unwrap();
        std::fs::write(path("message"), "message").unwrap();
        let mut sign = Command::new("ssh-keygen");
        sign.args(["-Y", "sign", "-n", NAMESPACE_PLAN, "-f"]).args([path("key-cert.pub"), path("message")]).env_remove("SSH_AUTH_SOCK");
        assert!(sign.stderr(Stdio::null()).status().unwrap().success());
        let armor = std::fs::read_to_string(path("message.sig")).unwrap();
        let signature = SshSignature::from_armor(&armor, NAMESPACE_PLAN).unwrap();
        assert_eq!(signature.verify(b"message"), Ok(()));
        assert_eq!(signature.signatory.certificate.as_ref().unwrap().authority.as_bytes(), &public(8));
        assert_eq!(SshSignature::parse(&signature.to_blob(), NAMESPACE_PLAN), Ok(signature.clone()));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), text in "(sk-)?ssh-ed25519(@openssh.com)? [A-Za-z0-9+/]{0,90}={0,2}") {
            let _ = Certificate::read(&bytes);
            let _ = Signatory::read(&bytes);
            let mut named = Vec::new();
            put(&mut named, CERTIFICATE.as_bytes());
            let _ = Certificate::read(&[named.as_slice(), &bytes].concat());
            let _ = text.parse::<SigningParty>();
        }
    }
}
