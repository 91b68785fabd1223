//! Private keys are held by another process, the *keeper*: it opens the seed of a contract, signs at most one receipt, and ends.
//!
//! The process that starts steps finds key files and looks at them, but does not read them: it hands their descriptors over. It never has a private
//! key in its memory, nor have the helper and the watchers. What comes back is a public key, the seed, a signature; or, by number, why a file holds
//! no key. The keeper composes what it signs itself, so it can be had to sign nothing but the digest of a receipt.
//!
//! Test: `tests/tests/keeper.rs`, which looks for the key in the memory of each process.
//!
//! Read for: everything in the process that runs a contract.

pub use opal_aside::keeper::keep_at;

use std::os::fd::{AsFd as _, OwnedFd};
use std::time::Duration;

use opal_aside::keeper::{REFUSALS, say, tell};
use opal_core::code::Code;
use opal_core::refusal::Refusal;
use opal_exec::aside::{Aside, Lost, Received};
use opal_exec::frame::{Body, Frame};
use opal_exec::supervise::helper::Role;
use opal_format::identity::{KeyError, PublicKey};
use opal_format::reader::Contract;
use opal_format::seed::Seed;
use opal_trust::identity::KeyFile;

/// How long the keeper is waited for, all in all, and how many bytes are taken of it.
const WAIT: Duration = Duration::from_secs(60);
const SAID_MAX: usize = 1 << 20;

/// Bytes of one answer.
const ANSWER_MAX: usize = 256;

/// The keeper, as the process sees it that does not hold the keys.
pub struct Keys {
    aside: Aside,
    held: Vec<PublicKey>,
}

impl Keys {
    /// Starts a keeper, which holds no key yet. It gets ready by itself.
    ///
    /// # Errors
    /// Where no process can be had.
    pub fn start() -> Result<Self, Refusal> {
        let aside = Aside::start(Role::Keeper, WAIT, SAID_MAX).map_err(|error| {
            let why = opal_core::plan::os_reason(&error);
            Refusal::new(Code::KeeperEnded, format!("no process can be started to hold the keys: {why}"))
                .help("look at `ulimit -a`, and try again")
        })?;
        Ok(Self { aside, held: Vec::new() })
    }

    /// Whatever is at the other end of this socket.
    #[must_use]
    pub fn at(socket: OwnedFd) -> Self {
        Self { aside: Aside::at(socket, WAIT, SAID_MAX), held: Vec::new() }
    }

    /// The public halves of the keys that it holds, in the order in which it was given them.
    #[must_use]
    pub fn held(&self) -> &[PublicKey] {
        &self.held
    }

    /// Has it read a key file; gives the public half.
    ///
    /// # Errors
    /// Why the file holds no key; a keeper that has ended.
    pub fn add(&mut self, file: &KeyFile) -> Result<PublicKey, Refusal> {
        self.aside.tell_with(Frame::new(tell::KEY, 0), Some(file.file().as_fd())).map_err(ended)?;
        let Received { kind, body } = self.aside.hear(ANSWER_MAX).map_err(ended)?;
        match kind {
            say::PUBLIC => {
                let key = Body(&body).array().and_then(|bytes| PublicKey::from_bytes(&bytes).ok()).ok_or_else(|| ended(Lost::Nonsense))?;
                self.held.push(key);
                Ok(key)
            }
            say::REFUSED => Err(file.refused(refusal(&body).ok_or_else(|| ended(Lost::Nonsense))?).into()),
            _ => Err(ended(Lost::Nonsense)),
        }
    }

    /// Has a contract opened by one of the keys from that number on; gives the seed, and the key, which is the only one that it goes on holding.
    /// `None` where no key opens it.
    ///
    /// # Errors
    /// A keeper that has ended.
    pub fn open(&mut self, contract: &Contract<'_>, first: usize) -> Result<Option<(Seed, PublicKey)>, Refusal> {
        if self.held.len() <= first {
            return Ok(None);
        }
        let (envelope, digest) = contract.sealed();
        let mut frame = Frame::new(tell::OPEN, envelope.len().saturating_add(64));
        frame.length(first).u8(digest.algorithm.number()).raw(&digest.bytes).bytes(envelope);
        self.aside.tell(frame).map_err(ended)?;
        let Received { kind, body } = self.aside.hear(ANSWER_MAX).map_err(ended)?;
        let mut body = Body(&body);
        match kind {
            say::SEED => {
                let opened = (|| {
                    let key = *self.held.get(usize::try_from(body.u32()?).ok()?)?;
                    Some((Seed::from_bytes(body.array()?), key))
                })();
                opened.map(Some).ok_or_else(|| ended(Lost::Nonsense))
            }
            say::SHUT => Ok(None),
            _ => Err(ended(Lost::Nonsense)),
        }
    }

    /// Has the SHA-512 digest of a receipt signed by the key that opened the contract. It ends then, so this works once. `None` where it does not answer.
    pub fn sign(&mut self, digest: &[u8; 64]) -> Option<[u8; 64]> {
        let mut frame = Frame::new(tell::RECEIPT, digest.len());
        frame.raw(digest);
        self.aside.wake();
        self.aside.tell(frame).ok()?;
        let Received { kind, body } = self.aside.hear(ANSWER_MAX).ok()?;
        Body(&body).array().filter(|_| kind == say::SIGNATURE)
    }
}

/// What a number stands for.
fn refusal(body: &[u8]) -> Option<KeyError> {
    let mut body = Body(body);
    let number = usize::from(body.u8()?);
    let algorithm = || String::from_utf8(body.0.to_vec()).ok().filter(|name| name.bytes().all(|byte| byte.is_ascii_graphic()));
    match REFUSALS.get(number) {
        Some(error) => Some(error.clone()),
        None => Some(KeyError::Unsupported { algorithm: algorithm()? }),
    }
}

/// A keeper that gave no answer, or one that makes no sense. Nothing has run.
fn ended(lost: Lost) -> Refusal {
    let what = match lost {
        Lost::Gone => "the process that holds the keys ended without an answer",
        Lost::Slow => "the process that holds the keys took too long",
        Lost::Greedy | Lost::Nonsense => "the process that holds the keys gave an answer that makes no sense",
    };
    Refusal::new(Code::KeeperEnded, what).help("look for what ends processes here (`dmesg`, `ulimit -a`), and try again")
}
