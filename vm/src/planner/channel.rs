//! The gate's end of the socket to a planner: nothing is waited for beyond a bound, and no more is taken than a bound.
//!
//! Read for: nothing with an effect before compare has passed.

use super::wire::HEAD;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, send};
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::time::{Duration, Instant};
use zeroize::{Zeroize as _, Zeroizing};

/// Why there is nothing more to expect of a planner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lost {
    /// It has ended.
    Gone,
    /// It took too long.
    Slow,
    /// It asked or said too much.
    Greedy,
    /// What it said makes no sense.
    Nonsense,
}

/// Bytes that are read at a time.
const CHUNK: usize = 64 << 10;

/// One frame.
pub(super) struct Received {
    pub(super) kind: u8,
    pub(super) body: Zeroizing<Vec<u8>>,
}

pub(super) struct Channel {
    socket: OwnedFd,
    /// How long may still be waited, all in all.
    left: Duration,
    /// How many bytes may still be received.
    allowed: usize,
    /// Received and not taken yet, from `taken` on.
    buffer: Zeroizing<Vec<u8>>,
    taken: usize,
}

impl Channel {
    pub(super) fn new(socket: OwnedFd, wait: Duration, allowed: usize) -> Self {
        // A socket that cannot be made so is waited for in the calls themselves, which is no loss but that of a bound.
        let _ = fcntl(&socket, FcntlArg::F_SETFL(OFlag::O_NONBLOCK));
        Self { socket, left: wait, allowed, buffer: Zeroizing::new(Vec::with_capacity(CHUNK)), taken: 0 }
    }

    pub(super) fn send(&mut self, mut frame: &[u8]) -> Result<(), Lost> {
        while !frame.is_empty() {
            match send(self.socket.as_raw_fd(), frame, MsgFlags::MSG_NOSIGNAL) {
                Ok(sent) => frame = frame.get(sent..).unwrap_or_default(),
                Err(Errno::EAGAIN) => self.wait(PollFlags::POLLOUT)?,
                Err(Errno::EINTR) => {}
                Err(_) => return Err(Lost::Gone),
            }
        }
        Ok(())
    }

    /// The next frame, whose body has at most `most` bytes.
    pub(super) fn receive(&mut self, most: usize) -> Result<Received, Lost> {
        let head = self.take(HEAD)?;
        let (length, kind) = match head.as_slice() {
            [a, b, c, d, kind] => (u32::from_ne_bytes([*a, *b, *c, *d]), *kind),
            _ => return Err(Lost::Nonsense),
        };
        let length = usize::try_from(length).ok().and_then(|length| length.checked_sub(1)).ok_or(Lost::Nonsense)?;
        if length > most {
            return Err(Lost::Greedy);
        }
        Ok(Received { kind, body: self.take(length)? })
    }

    fn take(&mut self, length: usize) -> Result<Zeroizing<Vec<u8>>, Lost> {
        // No more room than bytes that have come: a length is only a claim.
        let mut out = Zeroizing::new(Vec::with_capacity(length.min(CHUNK)));
        while out.len() < length {
            if self.taken == self.buffer.len() {
                self.fill()?;
            }
            let missing = length.saturating_sub(out.len());
            let ready = self.buffer.get(self.taken..).unwrap_or_default();
            let ready = ready.get(..missing).unwrap_or(ready);
            if out.len().saturating_add(ready.len()) > out.capacity() {
                let mut wider = Zeroizing::new(Vec::with_capacity(out.capacity().saturating_mul(2).min(length)));
                wider.extend_from_slice(&out);
                out = wider;
            }
            out.extend_from_slice(ready);
            self.taken = self.taken.saturating_add(ready.len());
        }
        Ok(out)
    }

    fn fill(&mut self) -> Result<(), Lost> {
        self.buffer.as_mut_slice().zeroize();
        self.buffer.resize(CHUNK, 0);
        self.taken = 0;
        loop {
            match nix::unistd::read(&self.socket, &mut self.buffer) {
                Ok(0) => {
                    self.buffer.clear();
                    return Err(Lost::Gone);
                }
                Ok(read) => {
                    self.buffer.truncate(read);
                    self.allowed = self.allowed.checked_sub(read).ok_or(Lost::Greedy)?;
                    return Ok(());
                }
                Err(Errno::EAGAIN) => {
                    if let Err(lost) = self.wait(PollFlags::POLLIN) {
                        self.buffer.clear();
                        return Err(lost);
                    }
                }
                Err(Errno::EINTR) => {}
                Err(_) => {
                    self.buffer.clear();
                    return Err(Lost::Gone);
                }
            }
        }
    }

    fn wait(&mut self, what: PollFlags) -> Result<(), Lost> {
        let since = Instant::now();
        let timeout = PollTimeout::try_from(self.left).unwrap_or(PollTimeout::MAX);
        let ready = poll(&mut [PollFd::new(self.socket.as_fd(), what)], timeout);
        self.left = self.left.saturating_sub(since.elapsed());
        match ready {
            Ok(0) => Err(Lost::Slow),
            Ok(_) | Err(Errno::EINTR) if !self.left.is_zero() => Ok(()),
            Ok(_) | Err(Errno::EINTR) => Err(Lost::Slow),
            Err(_) => Err(Lost::Gone),
        }
    }
}
