//! Signatures in OpenSSH's SSHSIG form (PROTOCOL.sshsig), Ed25519 only, so that `ssh-keygen -Y` makes and checks them.

use crate::identity::{ALGORITHM, KeyError, PublicKey};
use ed25519_dalek::{Signature, Signer as _, SigningKey};
use sha2::Digest as _;
use ssh_key::encoding::{Decode as _, Encode as _};

/// Namespace of signatures over a contract.
pub const NAMESPACE_PLAN: &str = "opal-plan";

const MAGIC: &[u8] = b"SSHSIG";
const VERSION: u32 = 1;

/// Why a signature is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// Not an SSHSIG of version 1 with an Ed25519 key.
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
    Key(#[from] KeyError),
    /// It does not verify.
    #[error("it does not match: the contents or the signature were changed")]
    Mismatch,
}

impl SignatureError {
    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Malformed => "signature_malformed",
            Self::Namespace { .. } => "signature_namespace",
            Self::Key(_) => "signature_key",
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

/// One SSHSIG. Holding one says nothing about its validity: see [`SshSignature::verify`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SshSignature {
    /// The signer's key.
    pub key: PublicKey,
    /// How the message was hashed.
    pub hash: MessageHash,
    namespace: &'static str,
    signature: [u8; 64],
}

/// The bytes that an Ed25519 key signs for `message` in `namespace`; what an `ssh-agent` is asked to sign.
#[must_use]
pub fn signed_data(namespace: &str, hash: MessageHash, message: &[u8]) -> Vec<u8> {
    let mut data = MAGIC.to_vec();
    put(&mut data, namespace.as_bytes());
    put(&mut data, b"");
    put(&mut data, hash.name());
    match hash {
        MessageHash::Sha256 => put(&mut data, &sha2::Sha256::digest(message)),
        MessageHash::Sha512 => put(&mut data, &sha2::Sha512::digest(message)),
    }
    data
}

impl SshSignature {
    /// Signs `message`.
    ///
    /// # Errors
    /// [`SignatureError::Key`] where the public half is weak.
    pub fn sign(key: &SigningKey, namespace: &'static str, message: &[u8]) -> Result<Self, SignatureError> {
        let signature = key.sign(&signed_data(namespace, MessageHash::Sha512, message)).to_bytes();
        Ok(Self { key: PublicKey::from_bytes(key.verifying_key().as_bytes())?, hash: MessageHash::Sha512, namespace, signature })
    }

    /// Takes a signature that someone else, such as an agent, made over [`signed_data`].
    #[must_use]
    pub const fn from_raw(key: PublicKey, namespace: &'static str, hash: MessageHash, signature: [u8; 64]) -> Self {
        Self { key, hash, namespace, signature }
    }

    /// Reads the binary form, which must be exactly `blob`, and demands its namespace.
    ///
    /// # Errors
    /// [`SignatureError`], except `Mismatch`.
    pub fn parse(blob: &[u8], namespace: &'static str) -> Result<Self, SignatureError> {
        let mut wire = Wire(blob.strip_prefix(MAGIC).ok_or(SignatureError::Malformed)?);
        if wire.u32()? != VERSION {
            return Err(SignatureError::Malformed);
        }
        let key = wire.typed()?;
        let found_namespace = wire.string()?;
        let reserved = wire.string()?;
        let hash = wire.string()?;
        let signature = wire.typed()?;
        if !wire.0.is_empty() || !reserved.is_empty() {
            return Err(SignatureError::Malformed);
        }
        if found_namespace != namespace.as_bytes() {
            return Err(SignatureError::Namespace { expected: namespace });
        }
        let hash = [MessageHash::Sha256, MessageHash::Sha512].into_iter().find(|known| known.name() == hash);
        Ok(Self { key: PublicKey::from_bytes(&key)?, hash: hash.ok_or(SignatureError::Malformed)?, namespace, signature })
    }

    /// Reads the armoured form that `ssh-keygen -Y sign` writes.
    ///
    /// # Errors
    /// [`SignatureError`], except `Mismatch`.
    pub fn from_armor(text: &str, namespace: &'static str) -> Result<Self, SignatureError> {
        let parsed = ssh_key::SshSig::from_pem(text).map_err(|_| SignatureError::Malformed)?;
        Self::parse(&parsed.encode_vec().map_err(|_| SignatureError::Malformed)?, namespace)
    }

    /// The armoured form that `ssh-keygen -Y verify` reads.
    ///
    /// # Errors
    /// [`SignatureError::Malformed`] if the encoder refuses, which no signature of this type makes it do.
    pub fn to_armor(&self) -> Result<String, SignatureError> {
        let parsed = ssh_key::SshSig::decode(&mut self.to_blob().as_slice()).map_err(|_| SignatureError::Malformed)?;
        parsed.to_pem(ssh_key::LineEnding::LF).map_err(|_| SignatureError::Malformed)
    }

    /// The binary form.
    #[must_use]
    pub fn to_blob(&self) -> Vec<u8> {
        let mut blob = MAGIC.to_vec();
        blob.extend_from_slice(&VERSION.to_be_bytes());
        put(&mut blob, &typed(self.key.as_bytes()));
        put(&mut blob, self.namespace.as_bytes());
        put(&mut blob, b"");
        put(&mut blob, self.hash.name());
        put(&mut blob, &typed(&self.signature));
        blob
    }

    /// What it was made for.
    #[must_use]
    pub const fn namespace(&self) -> &'static str {
        self.namespace
    }

    /// Checks the signature over `message`, by the strict rules: no weak key, no second encoding of anything, no cofactor.
    ///
    /// # Errors
    /// [`SignatureError::Mismatch`].
    pub fn verify(&self, message: &[u8]) -> Result<(), SignatureError> {
        let data = signed_data(self.namespace, self.hash, message);
        self.key.verifying_key()?.verify_strict(&data, &Signature::from_bytes(&self.signature)).map_err(|_| SignatureError::Mismatch)
    }
}

/// Appends an SSH string. Everything that this file writes is far below 4 GiB.
fn put(out: &mut Vec<u8>, field: &[u8]) {
    out.extend_from_slice(&u32::try_from(field.len()).unwrap_or(u32::MAX).to_be_bytes());
    out.extend_from_slice(field);
}

/// The algorithm's name, then a value.
fn typed(value: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    put(&mut out, ALGORITHM.as_bytes());
    put(&mut out, value);
    out
}

/// Input in SSH's wire format.
struct Wire<'a>(&'a [u8]);

impl<'a> Wire<'a> {
    fn u32(&mut self) -> Result<u32, SignatureError> {
        let (bytes, rest) = self.0.split_first_chunk().ok_or(SignatureError::Malformed)?;
        self.0 = rest;
        Ok(u32::from_be_bytes(*bytes))
    }

    fn string(&mut self) -> Result<&'a [u8], SignatureError> {
        let length = usize::try_from(self.u32()?).map_err(|_| SignatureError::Malformed)?;
        let (text, rest) = self.0.split_at_checked(length).ok_or(SignatureError::Malformed)?;
        self.0 = rest;
        Ok(text)
    }

    /// A string that holds the algorithm's name and a value of fixed length, and nothing else.
    fn typed<const N: usize>(&mut self) -> Result<[u8; N], SignatureError> {
        let mut inner = Wire(self.string()?);
        if inner.string()? != ALGORITHM.as_bytes() {
            return Err(SignatureError::Malformed);
        }
        let value = inner.string()?.try_into().map_err(|_| SignatureError::Malformed)?;
        if inner.0.is_empty() { Ok(value) } else { Err(SignatureError::Malformed) }
    }
}
