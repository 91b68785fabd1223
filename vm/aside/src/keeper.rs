//! The keeper itself: a process that holds private keys and nothing else. It is confined before it is given one, opens no file, and ends with its
//! socket, so also when the process that asks it dies. Keys are overwritten when they are let go.

use opal_exec::aside::{self, Line, Over};
use opal_exec::frame::{Body, Frame};
use opal_format::attestation::NAMESPACE_RECEIPT;
use opal_format::envelope;
use opal_format::hash::{Digest, HashAlgorithm};
use opal_format::identity::{FILE_SIZE_MAX, Identity, KeyError};
use opal_format::seed::Seed;
use opal_format::signature::{MessageHash, signed_digest};
use std::os::fd::OwnedFd;
use zeroize::Zeroizing;

/// What the keeper is told.
pub mod tell {
    /// Read a key from the descriptor that comes along.
    pub const KEY: u8 = 2;
    /// Open an envelope with one of the keys from a number on.
    pub const OPEN: u8 = 3;
    /// Sign a receipt with the key that opened it.
    pub const RECEIPT: u8 = 4;
}

/// What it says.
pub mod say {
    /// The public half of the key.
    pub const PUBLIC: u8 = 2;
    /// There is no key: why.
    pub const REFUSED: u8 = 3;
    /// The number of the key that opened the envelope, and the seed.
    pub const SEED: u8 = 4;
    /// No key opens it.
    pub const SHUT: u8 = 5;
    /// The signature.
    pub const SIGNATURE: u8 = 6;
}

/// Why a file holds no key, by number; the type of one that is not supported stands apart.
pub const REFUSALS: [KeyError; 6] =
    [KeyError::PrivateMalformed, KeyError::Encrypted, KeyError::Mismatch, KeyError::NotCanonical, KeyError::NotOnCurve, KeyError::Weak];

/// Longest name of a key type that is told.
const NAME_MAX: usize = 64;

/// Holds keys for the process at the other end of the socket, and never returns.
pub fn serve(socket: OwnedFd) -> ! {
    aside::serve(socket, c"opal-keeper", work)
}

/// Holds keys for who is at the other end of the socket, as [`serve`] does once it is confined; by itself this is for tests.
pub fn keep_at(socket: OwnedFd) -> bool {
    let line = Line::new(socket);
    line.greet(aside::hold::ALL).and_then(|()| work(&line)).is_ok()
}

fn work(line: &Line) -> Result<(), Over> {
    let mut keys = Vec::new();
    let opener = loop {
        let said = match line.hear()? {
            (tell::KEY, _) => match read(line.take().ok_or(Over)?) {
                Ok(key) => {
                    let mut frame = Frame::new(say::PUBLIC, 32);
                    frame.raw(key.public().as_bytes());
                    keys.push(key);
                    frame
                }
                Err(error) => refused(&error),
            },
            (tell::OPEN, body) => match open(&keys, &body).ok_or(Over)? {
                Some((number, seed)) => {
                    let mut frame = Frame::new(say::SEED, 36);
                    frame.length(number).raw(seed.as_bytes());
                    line.say(frame)?;
                    line.flush()?;
                    break keys.into_iter().nth(number).ok_or(Over)?;
                }
                None => Frame::new(say::SHUT, 0),
            },
            _ => return Err(Over),
        };
        line.say(said)?;
        line.flush()?;
    };
    let (tell::RECEIPT, body) = line.hear()? else { return Err(Over) };
    let digest: [u8; 64] = Body(&body).array().ok_or(Over)?;
    let mut frame = Frame::new(say::SIGNATURE, 64);
    frame.raw(&opener.sign_raw(&signed_digest(NAMESPACE_RECEIPT, MessageHash::Sha512, &digest)));
    line.say(frame)?;
    line.flush()
}

/// The key in a file.
fn read(file: OwnedFd) -> Result<Identity, KeyError> {
    let room = FILE_SIZE_MAX;
    let mut bytes = Zeroizing::new(vec![0; room]);
    let mut filled = 0_usize;
    while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match nix::unistd::read(&file, rest) {
            Ok(read @ 1..) => filled = filled.saturating_add(read),
            _ => break,
        }
    }
    // Not left to the standard library, which may ask the kernel about it first.
    let _ = nix::unistd::close(file);
    Identity::from_openssh(bytes.get(..filled).unwrap_or_default())
}

fn refused(error: &KeyError) -> Frame {
    let mut frame = Frame::new(say::REFUSED, NAME_MAX.saturating_add(1));
    match (REFUSALS.iter().position(|one| one == error), error) {
        (Some(number), _) => frame.u8(u8::try_from(number).unwrap_or(0)),
        (None, KeyError::Unsupported { algorithm }) => {
            frame.u8(u8::MAX).raw(algorithm.as_bytes().get(..NAME_MAX).unwrap_or(algorithm.as_bytes()))
        }
        (None, _) => frame.u8(0),
    };
    frame
}

/// The first key from a number on that opens an envelope, and what is in it.
fn open(keys: &[Identity], body: &[u8]) -> Option<Option<(usize, Seed)>> {
    let mut body = Body(body);
    let first = usize::try_from(body.u32()?).ok()?;
    let number = body.u8()?;
    let algorithm = *HashAlgorithm::ALL.iter().find(|algorithm| algorithm.number() == number)?;
    let digest = Digest { algorithm, bytes: body.array()? };
    let sealed = body.bytes().filter(|_| body.is_over())?;
    let opened = |(number, key): (usize, &Identity)| Some((number, envelope::open(sealed, &key.signing, &digest).ok()?));
    Some(keys.iter().enumerate().skip(first).find_map(opened))
}
