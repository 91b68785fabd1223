//! What the VM and a watcher say to each other, in frames ([`crate::frame`]). Both ends are trusted: a malformed frame is a bug, and ends the connection.
//!
//! Read for: nothing outlives its step.

use std::os::fd::{BorrowedFd, OwnedFd};

use nix::errno::Errno;

use crate::supervise::sys;

/// The longest frame: more than any argument list and environment the kernel accepts.
pub(crate) const FRAME_MAX: usize = 64 << 20;

/// Kinds of frames.
pub(crate) mod kind {
    pub(crate) const HELLO: u8 = 1;
    pub(crate) const START: u8 = 2;
    pub(crate) const TERMINATE: u8 = 3;
    pub(crate) const KILL: u8 = 4;
    pub(crate) const END: u8 = 5;
    pub(crate) const DONE: u8 = 6;
}

/// Bits of the flag byte in HELLO.
pub(crate) mod hello {
    pub(crate) const SESSION: u8 = 1;
    pub(crate) const STDIN: u8 = 2;
    pub(crate) const LOCK: u8 = 4;
}

/// Bits of the flag byte in START. `FD0 << n` says that a descriptor for `n` comes along, for `n` below `FDS`.
pub(crate) mod start {
    pub(crate) const KEEP: u8 = 1;
    pub(crate) const FD0: u8 = 2;
    pub(crate) const FDS: i32 = 3;
}

/// How DONE says that a step ended.
pub(crate) mod ended {
    pub(crate) const EXIT: u8 = 0;
    pub(crate) const SIGNAL: u8 = 1;
    pub(crate) const NO_PROGRAM: u8 = 2;
    pub(crate) const NO_DIRECTORY: u8 = 3;
}

/// Collects frames from a socket.
#[derive(Default)]
pub(crate) struct Reader {
    buffer: Vec<u8>,
    /// How much of `buffer` holds received bytes.
    filled: usize,
    /// Descriptors that came along and no frame has taken yet, in order.
    pub(crate) fds: Vec<OwnedFd>,
}

/// What [`Reader::fill`] found.
#[derive(PartialEq, Eq)]
pub(crate) enum Fill {
    /// Bytes, or nothing yet.
    Open,
    /// The other end is gone.
    Closed,
}

impl Reader {
    /// Receives once, without blocking.
    pub(crate) fn fill(&mut self, socket: BorrowedFd<'_>) -> Fill {
        let wanted = match self.length() {
            Some(length) if length > FRAME_MAX => return Fill::Closed,
            Some(length) => length.saturating_add(4).max(16 << 10),
            None => 16 << 10,
        };
        if self.buffer.len() < wanted {
            let mut grown = vec![0; wanted];
            if let Some(place) = grown.get_mut(..self.buffer.len()) {
                place.copy_from_slice(&self.buffer);
            }
            zeroize::Zeroize::zeroize(self.buffer.as_mut_slice());
            self.buffer = grown;
        }
        let Some(space) = self.buffer.get_mut(self.filled..) else {
            return Fill::Closed;
        };
        match sys::receive(socket, space, &mut self.fds) {
            Ok(0) => Fill::Closed,
            Ok(n) => {
                self.filled = self.filled.saturating_add(n);
                Fill::Open
            }
            Err(Errno::EAGAIN | Errno::EINTR) => Fill::Open,
            Err(_) => Fill::Closed,
        }
    }

    fn length(&self) -> Option<usize> {
        let head = self.buffer.get(..self.filled)?.get(..4)?;
        usize::try_from(u32::from_ne_bytes(head.try_into().ok()?)).ok()
    }

    /// The next complete frame as kind and body, if there is one; [`Reader::consume`] drops it.
    pub(crate) fn frame(&self) -> Option<(u8, &[u8])> {
        let end = self.length()?.checked_add(4)?;
        let frame = self.buffer.get(..self.filled)?.get(4..end)?;
        let (kind, body) = frame.split_first()?;
        Some((*kind, body))
    }

    /// Drops the first frame and overwrites its bytes, which may have held secrets.
    pub(crate) fn consume(&mut self) {
        let end = self.length().map_or(0, |n| n.saturating_add(4));
        self.buffer.copy_within(end.min(self.filled)..self.filled, 0);
        let rest = self.filled.saturating_sub(end);
        if let Some(old) = self.buffer.get_mut(rest..self.filled) {
            zeroize::Zeroize::zeroize(old);
        }
        self.filled = rest;
    }
}
