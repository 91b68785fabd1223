//! A client of `ssh-agent`: lists what it holds and has it sign (draft-ietf-sshm-ssh-agent). Two requests are all there is.

use super::failure::{Failure, reason};
use opal_core::code::Code;
use opal_format::credential::Signatory;
use opal_format::signature::RawSignature;
use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

/// The variable that says where the agent listens.
const SOCKET: &str = "SSH_AUTH_SOCK";
/// Longest message of an agent, as OpenSSH has it.
const MESSAGE_MAX: usize = 256 << 10;
/// How long the agent may take to list its keys. Signing may wait for a person who confirms it, so that has no limit.
const LIST_TIME: Duration = Duration::from_secs(10);

const REQUEST_IDENTITIES: u8 = 11;
const IDENTITIES_ANSWER: u8 = 12;
const SIGN_REQUEST: u8 = 13;
const SIGN_RESPONSE: u8 = 14;

/// One key that an agent holds.
pub(crate) struct Agent {
    path: PathBuf,
    signatory: Signatory,
    comment: String,
}

impl Agent {
    /// Asks the agent of this session whether it holds the private half of this key.
    pub(crate) fn with(signatory: Signatory, comment: &str) -> Result<Self, Failure> {
        let path = std::env::var_os(SOCKET).filter(|path| !path.is_empty()).map(PathBuf::from);
        let path = path.ok_or_else(|| {
            unavailable(format!("`{}` is a public key, and there is no ssh-agent to sign with its private half", signatory.fingerprint()))
        })?;
        let agent = Self { path, signatory, comment: comment.to_owned() };
        let answer = agent.exchange(&[REQUEST_IDENTITIES], Some(LIST_TIME))?;
        let listed = listed(&answer).ok_or_else(|| agent.confused())?;
        if listed.contains(&agent.signatory.party.to_blob().as_slice()) {
            return Ok(agent);
        }
        let held = match listed.len() {
            0 => "it holds none, or is locked".to_owned(),
            n => format!("it holds {n} other{}", if n == 1 { "" } else { "s" }),
        };
        Err(Failure::new(Code::KeyNotInAgent, format!("ssh-agent does not hold the key {}: {held}", agent.signatory.fingerprint()))
            .with_help("`ssh-add FILE` adds a private key, and `ssh-add -l` lists them"))
    }

    /// The public half, and its certificate if it was named by that.
    pub(crate) fn signatory(&self) -> &Signatory {
        &self.signatory
    }

    /// The comment of the public half.
    pub(crate) fn comment(&self) -> &str {
        &self.comment
    }

    /// Has the agent sign `data`.
    pub(crate) fn sign(&self, data: &[u8]) -> Result<RawSignature, Failure> {
        let mut request = vec![SIGN_REQUEST];
        put(&mut request, &self.signatory.party.to_blob());
        put(&mut request, data);
        request.extend_from_slice(&0_u32.to_be_bytes());
        let answer = self.exchange(&request, None)?;
        let Some((&SIGN_RESPONSE, rest)) = answer.split_first() else {
            return Err(Failure::new(Code::AgentRefused, "ssh-agent refused to sign")
                .with_help("confirm it where the agent asks, and look at `ssh-add -l`"));
        };
        let signature = string(rest).filter(|(_, rest)| rest.is_empty());
        let signature = signature.and_then(|(signature, _)| RawSignature::read(signature, self.signatory.party.algorithm()));
        signature.ok_or_else(|| self.confused())
    }

    /// One request and its answer, on a connection of its own.
    fn exchange(&self, request: &[u8], limit: Option<Duration>) -> Result<Vec<u8>, Failure> {
        let talk = || -> io::Result<Vec<u8>> {
            let mut stream = UnixStream::connect(&self.path)?;
            stream.set_read_timeout(limit)?;
            stream.set_write_timeout(Some(LIST_TIME))?;
            let mut message = Vec::new();
            put(&mut message, request);
            stream.write_all(&message)?;
            let mut length = [0; 4];
            stream.read_exact(&mut length)?;
            let length = u32::from_be_bytes(length) as usize;
            if length == 0 || length > MESSAGE_MAX {
                return Err(io::Error::other("its answer is too long or empty"));
            }
            let mut answer = vec![0; length];
            stream.read_exact(&mut answer)?;
            Ok(answer)
        };
        talk().map_err(|error| {
            let why = match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => "it does not answer".to_owned(),
                io::ErrorKind::UnexpectedEof => "it hung up".to_owned(),
                _ => reason(&error),
            };
            unavailable(format!("ssh-agent cannot be asked: {why}")).at(self.path.display().to_string())
        })
    }

    fn confused(&self) -> Failure {
        unavailable("ssh-agent answered with something else than was asked for".to_owned()).at(self.path.display().to_string())
    }
}

fn unavailable(message: String) -> Failure {
    Failure::new(Code::NoAgent, message).with_help("start one, `eval \"$(ssh-agent)\"; ssh-add FILE`, or name the file of the private key")
}

/// The keys in the answer to a request for identities.
fn listed(answer: &[u8]) -> Option<Vec<&[u8]>> {
    let (&IDENTITIES_ANSWER, rest) = answer.split_first()? else { return None };
    let (count, mut rest) = rest.split_first_chunk()?;
    let mut keys = Vec::new();
    for _ in 0..u32::from_be_bytes(*count) {
        let (key, after) = string(rest)?;
        let (_comment, after) = string(after)?;
        keys.push(key);
        rest = after;
    }
    Some(keys)
}

fn put(out: &mut Vec<u8>, field: &[u8]) {
    out.extend_from_slice(&u32::try_from(field.len()).unwrap_or(u32::MAX).to_be_bytes());
    out.extend_from_slice(field);
}

/// The first string in SSH's wire format, and what follows it.
pub(crate) fn string(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)
}
