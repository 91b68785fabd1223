//! The asking end of the socket: nothing is waited for beyond a bound, and no more is taken than a bound.
//!
//! Read for: nothing with an effect before compare has passed.

use std::io::IoSlice;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use zeroize::{Zeroize as _, Zeroizing};

use crate::frame::HEAD;
use crate::supervise::signals::{Phase, Signals};

/// Why there is nothing more to expect of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// It has ended.
    Gone,
    /// It took too long, or is waited for no longer.
    Slow,
    /// It asked or said too much.
    Greedy,
    /// What it said makes no sense.
    Nonsense,
}

/// Bytes that are read at a time.
const CHUNK: usize = 64 << 10;

/// One frame.
pub struct Received {
    /// Its kind.
    pub kind: u8,
    /// Its body, whose parts are taken off by [`Body`](crate::frame::Body).
    pub body: Zeroizing<Vec<u8>>,
}

/// What ends waiting before its time.
pub struct Until {
    /// The run is to stop.
    pub signals: Arc<Signals>,
    /// The phase that does not end it.
    pub seen: Phase,
    /// A time is up.
    pub deadline: Option<Instant>,
}

pub(super) struct Channel {
    socket: OwnedFd,
    pub(super) until: Option<Until>,
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
        Self { socket, until: None, left: wait, allowed, buffer: Zeroizing::new(Vec::with_capacity(CHUNK)), taken: 0 }
    }

    /// Sends a frame; a descriptor goes `with` its first byte.
    pub(super) fn send(&mut self, mut frame: &[u8], with: Option<BorrowedFd<'_>>) -> Result<(), Lost> {
        let numbers: Vec<i32> = with.iter().map(|fd| fd.as_raw_fd()).collect();
        let rights = [ControlMessage::ScmRights(&numbers)];
        let mut control: &[ControlMessage<'_>] = if numbers.is_empty() { &[] } else { &rights };
        while !frame.is_empty() {
            match sendmsg::<()>(self.socket.as_raw_fd(), &[IoSlice::new(frame)], control, MsgFlags::MSG_NOSIGNAL, None) {
                Ok(sent) => (frame, control) = (frame.get(sent..).unwrap_or_default(), &[]),
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
        let mut fds = vec![PollFd::new(self.socket.as_fd(), what)];
        let mut longest = self.left;
        if let Some(Until { signals, seen, deadline }) = &self.until {
            fds.extend(signals.poll_fds(*seen).map(|fd| PollFd::new(fd, PollFlags::POLLIN)));
            longest = deadline.map_or(longest, |deadline| longest.min(deadline.saturating_duration_since(since)));
        }
        let ready = poll(&mut fds, PollTimeout::try_from(longest).unwrap_or(PollTimeout::MAX));
        self.left = self.left.saturating_sub(since.elapsed());
        let stopped = self.until.as_ref().is_some_and(|until| until.signals.check() > until.seen);
        match ready {
            Ok(0) => Err(Lost::Slow),
            Ok(_) | Err(Errno::EINTR) if stopped || self.left.is_zero() => Err(Lost::Slow),
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(_) => Err(Lost::Gone),
        }
    }
}
