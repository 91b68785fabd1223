//! Who signs: a private key at hand, or one that `ssh-agent` holds.

use super::agent::Agent;
use super::failure::Failure;
use super::{agent, files, keys, options, passphrase};
use base64ct::{Base64, Encoding as _};
use clap::ArgMatches;
use opal_core::code::Code;
use opal_format::credential::{CERTIFICATE, Certificate, Signatory, SigningParty};
use opal_format::identity::{ALGORITHM, Identity, KeyError, PublicKey};
use opal_format::signature::{MessageHash, RawSignature, SignatureError, SshSignature, signed_data};
use opal_trust::identity::{self, IdentityError};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Largest file that `--key` may name.
const KEY_FILE_SIZE_MAX: usize = 64 << 10;
/// How often a passphrase is asked for.
const ATTEMPTS: usize = 3;

/// Somebody who can sign.
pub(crate) enum Signer {
    /// The private key is in this process, and signs with this certificate, if any.
    Held(Box<Identity>, Option<Box<Certificate>>),
    /// The private key is in the agent's.
    Agent(Agent),
}

/// `--key`.
pub(crate) fn argument() -> clap::Arg {
    options::path("key", "K", "Private key to sign with, or a public one that ssh-agent holds [default: your identity]").long("key")
}

/// Who `--key` names, else the caller's own identity, which is made on first use.
pub(crate) fn from_matches(matches: &ArgMatches) -> Result<Signer, Failure> {
    match matches.get_one::<PathBuf>("key") {
        Some(key) => Signer::named(key),
        None => keys::own().map(Signer::from),
    }
}

impl From<Identity> for Signer {
    fn from(identity: Identity) -> Self {
        Self::Held(Box::new(identity), None)
    }
}

impl Signer {
    /// Who `--key` names: the file of a private key, the file of a public key or of a certificate, or a public key as text.
    pub(crate) fn named(word: &Path) -> Result<Self, Failure> {
        let line = word.as_os_str().as_encoded_bytes();
        if keys::is_public_line(line) && !word.exists() {
            return Self::in_agent(line, "--key");
        }
        // Only what may be read by everybody is looked at before the permissions are judged; a FIFO is not read twice.
        if std::fs::metadata(word).is_ok_and(|data| data.is_file()) {
            let bytes = Zeroizing::new(files::read_small(word, KEY_FILE_SIZE_MAX)?);
            if bytes.starts_with(CERTIFICATE.as_bytes()) {
                return Self::certified(&bytes, word);
            }
            if keys::is_public_line(&bytes) {
                return Self::in_agent(&bytes, &word.display().to_string());
            }
        }
        match identity::from_named_file(word) {
            Err(IdentityError::Key { cause: KeyError::Encrypted, .. }) => unlock(word),
            Err(IdentityError::Key { path, cause: KeyError::PrivateMalformed }) => {
                let named = identity::read_named_file(word).ok().and_then(|bytes| key_type(&bytes)).filter(|name| name != ALGORITHM);
                let cause = named.map_or(KeyError::PrivateMalformed, |algorithm| KeyError::Unsupported { algorithm });
                Err(Failure::host(&IdentityError::Key { path, cause }))
            }
            read => read.map(Self::from).map_err(|error| Failure::host(&error)),
        }
    }

    fn in_agent(line: &[u8], place: &str) -> Result<Self, Failure> {
        let malformed = |error: KeyError| bad_key(&error, place, "give a line like `ssh-ed25519 AAAA…`, or its file");
        let text = std::str::from_utf8(line).map_err(|_| malformed(KeyError::PublicMalformed))?;
        let line = text.lines().next().unwrap_or_default();
        let (party, comment) = SigningParty::parse_line(line).map_err(malformed)?;
        Agent::with(Signatory { party, certificate: None }, &comment).map(Self::Agent)
    }

    /// A certificate, with the private key that lies beside it as `ssh-keygen` names them, else with the agent's.
    fn certified(line: &[u8], file: &Path) -> Result<Self, Failure> {
        let place = file.display().to_string();
        let malformed = |error: KeyError| bad_key(&error, &place, "have the key certified again: `ssh-keygen -s CA -I ID -n NAME KEY.pub`");
        let text = std::str::from_utf8(line).map_err(|_| malformed(KeyError::CertificateMalformed))?;
        let mut words = text.split_ascii_whitespace().skip(1);
        let blob = words.next().and_then(|word| Base64::decode_vec(word).ok()).ok_or_else(|| malformed(KeyError::CertificateMalformed))?;
        let (certificate, key) = Certificate::read(&blob).map_err(malformed)?;
        let certificate = Some(Box::new(certificate));
        let private = place.strip_suffix("-cert.pub").map(Path::new).filter(|private| private.exists());
        let Some(private) = private else {
            return Agent::with(Signatory { party: key.into(), certificate }, words.next().unwrap_or_default()).map(Self::Agent);
        };
        match Self::named(private)? {
            Self::Held(identity, _) if identity.public() == key => Ok(Self::Held(identity, certificate)),
            _ => Err(malformed(KeyError::Mismatch)),
        }
    }

    /// Who that is.
    pub(crate) fn signatory(&self) -> Signatory {
        match self {
            Self::Held(identity, certificate) => Signatory { party: identity.public().into(), certificate: certificate.clone() },
            Self::Agent(agent) => agent.signatory().clone(),
        }
    }

    /// The point of the public half.
    pub(crate) fn public(&self) -> PublicKey {
        self.signatory().key()
    }

    /// What stands after the public key in its file.
    pub(crate) fn comment(&self) -> &str {
        match self {
            Self::Held(identity, _) => &identity.comment,
            Self::Agent(agent) => agent.comment(),
        }
    }

    /// `SHA256:… (comment)`.
    pub(crate) fn describe(&self) -> String {
        keys::describe(&self.signatory().fingerprint(), self.comment())
    }

    /// An SSHSIG over `message` for one purpose.
    pub(crate) fn sign(&self, namespace: &'static str, message: &[u8]) -> Result<SshSignature, Failure> {
        let data = signed_data(namespace, MessageHash::Sha512, message);
        let signature = SshSignature::from_raw(self.signatory(), namespace, MessageHash::Sha512, self.sign_data(&data)?);
        // An agent is another program; what it gives is checked as everything is.
        signature.verify(message).map_err(|error| {
            let message = match error {
                SignatureError::Absent => "nobody touched the security key",
                _ => "what ssh-agent gave is not a signature by the key that was asked for",
            };
            Failure::new(Code::AgentBadSignature, message).with_help("check the agent: `ssh-add -L`, or name the file of the private key")
        })?;
        Ok(signature)
    }

    /// A bare Ed25519 signature. `data` must say by itself what it is for.
    pub(crate) fn sign_raw(&self, data: &[u8]) -> Result<[u8; 64], Failure> {
        if self.signatory().party.application.is_some() {
            return Err(Failure::new(Code::NoBareSignature, "a security key makes no bare signature, which this needs")
                .with_help("name an ordinary key: `--key FILE`"));
        }
        self.sign_data(data).map(|signature| signature.bytes)
    }

    fn sign_data(&self, data: &[u8]) -> Result<RawSignature, Failure> {
        match self {
            Self::Held(identity, _) => Ok(identity.sign_raw(data).into()),
            Self::Agent(agent) => agent.sign(data),
        }
    }
}

fn bad_key(error: &KeyError, place: &str, help: &str) -> Failure {
    Failure::new(Code::BadKey, error.to_string()).at(place).with_help(help)
}

/// The type of key that a private key file in OpenSSH format states, which the library reads only where it knows the type.
fn key_type(file: &[u8]) -> Option<String> {
    let text: String = std::str::from_utf8(file).ok()?.lines().filter(|line| !line.starts_with('-')).map(str::trim).collect();
    let bytes = Zeroizing::new(Base64::decode_vec(&text).ok()?);
    let mut rest = bytes.strip_prefix(b"openssh-key-v1\0")?;
    for _cipher_kdf_and_options in 0..3 {
        rest = agent::string(rest)?.1;
    }
    let (_count, rest) = rest.split_first_chunk::<4>()?;
    let (name, _) = agent::string(agent::string(rest)?.0)?;
    String::from_utf8(name.to_vec()).ok()
}

/// Asks for the passphrase of an encrypted private key and opens it.
fn unlock(path: &Path) -> Result<Signer, Failure> {
    let shown = path.display();
    let bytes = identity::read_named_file(path).map_err(|error| Failure::host(&error))?;
    let refused = |message: String| {
        Failure::new(Code::BadIdentity, message).at(shown.to_string()).with_help("make a new one: `opalc keygen -o FILE`")
    };
    let locked = ssh_key::PrivateKey::from_openssh(&*bytes).map_err(|error| refused(error.to_string()))?;
    // The type is known before the passphrase is.
    if !locked.algorithm().is_ed25519() {
        return Err(refused(KeyError::Unsupported { algorithm: locked.algorithm().as_str().to_owned() }.to_string()));
    }
    let terminal = passphrase::Terminal::open().ok_or_else(|| {
        Failure::new(Code::EncryptedIdentity, format!("`{shown}` is encrypted, and there is no terminal to ask for its passphrase on"))
            .with_help(format!("let an agent hold it, `ssh-add {shown}`, and name its public half: `--key {shown}.pub`"))
    })?;
    for _ in 0..ATTEMPTS {
        let passphrase = terminal.ask(&format!("Passphrase of {shown}: "))?;
        match locked.decrypt(passphrase.as_slice()) {
            Ok(open) => {
                let text = open.to_openssh(ssh_key::LineEnding::LF).map_err(|error| refused(error.to_string()))?;
                return Identity::from_openssh(text.as_bytes()).map(Signer::from).map_err(|error| refused(error.to_string()));
            }
            // A wrong passphrase shows as a wrong check number or as a tag that does not match.
            Err(ssh_key::Error::Crypto | ssh_key::Error::Encoding(_) | ssh_key::Error::FormatEncoding) => {
                terminal.tell("that is not its passphrase\n");
            }
            Err(error) => return Err(refused(error.to_string())),
        }
    }
    Err(Failure::new(Code::WrongPassphrase, format!("the passphrase of `{shown}` was not given"))
        .with_help(format!("try it alone: `ssh-keygen -y -f {shown}`")))
}
