//! What is done aside: in a process of its own that holds one socket and what it was given over it, confined before it hears of anything.
//!
//! There are three kinds. The *planner* interprets a contract's program. The *keeper* holds private keys: it opens the seed and signs one receipt. The
//! *evaluator* puts what a step wrote through regular expressions and JSON paths. So what a program or a step's output can do to whoever looks at it,
//! it does to a process that knows nothing else; and who starts steps never holds a key.
//!
//! This is both ends of the socket: [`Aside`] for the process that asks, [`serve`] and [`Line`] for the one that is asked. Whoever asks bounds what it
//! waits for and takes, and believes nothing but what the answer is for.
//!
//! Read for: nothing with an effect before compare has passed.

mod channel;
mod line;

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::Duration;

use crate::frame::{Body, Frame};
use crate::supervise::helper::{self, Life, Role};

use channel::Channel;
pub use channel::{Lost, Received, Until};
pub use line::{Line, Over, serve};

/// The first frame that such a process says: which of [`hold`] holds it. Its other kinds begin at 2.
pub const HELLO: u8 = 1;

/// Bits of [`HELLO`]: what holds it.
pub mod hold {
    /// The filter of system calls.
    pub const CALLS: u8 = 1;
    /// The limits of memory and time.
    pub const LIMITS: u8 = 2;
    /// All of them.
    pub const ALL: u8 = 3;
}

/// The way to a process that works aside.
pub struct Aside {
    channel: Channel,
    /// What holds it, once it has said so.
    holds: Option<u8>,
    /// The process is killed when this goes.
    life: Option<Life>,
}

impl Aside {
    /// Has one forked. It gets ready by itself. It is waited for `wait` in all, and `most` bytes are taken of it in all.
    ///
    /// # Errors
    /// Where descriptors run out, or there is no helper.
    pub fn start(role: Role, wait: Duration, most: usize) -> io::Result<Self> {
        let (socket, life) = helper::fork(role, None)?;
        Ok(Self { life: Some(life), ..Self::at(socket, wait, most) })
    }

    /// Whatever is at the other end of this socket.
    #[must_use]
    pub fn at(socket: OwnedFd, wait: Duration, most: usize) -> Self {
        Self { channel: Channel::new(socket, wait, most), holds: None, life: None }
    }

    /// From here on, what `until` says ends waiting as well.
    pub fn wait_until(&mut self, until: Until) {
        self.channel.until = Some(until);
    }

    /// Which of [`hold`] holds it. It has said so before it heard of anything.
    ///
    /// # Errors
    /// One that has ended, or says something else.
    pub fn holds(&mut self) -> Result<u8, Lost> {
        if let Some(holds) = self.holds {
            return Ok(holds);
        }
        let Received { kind, body } = self.channel.receive(1)?;
        let holds = Body(&body).u8().filter(|_| kind == HELLO).ok_or(Lost::Nonsense)?;
        Ok(*self.holds.insert(holds))
    }

    /// Tells it something.
    ///
    /// # Errors
    /// One that has ended, or does not listen.
    pub fn tell(&mut self, frame: Frame) -> Result<(), Lost> {
        self.tell_with(frame, None)
    }

    /// Tells it something, and hands it a descriptor.
    ///
    /// # Errors
    /// As [`Aside::tell`].
    pub fn tell_with(&mut self, frame: Frame, with: Option<BorrowedFd<'_>>) -> Result<(), Lost> {
        let frame = frame.seal().ok_or(Lost::Greedy)?;
        self.channel.send(&frame, with)
    }

    /// What it says next, of at most `most` bytes.
    ///
    /// # Errors
    /// One that has ended, took too long, or said more.
    pub fn hear(&mut self, most: usize) -> Result<Received, Lost> {
        self.holds()?;
        self.channel.receive(most)
    }

    /// Lets it go on, should a step have stopped it.
    pub fn wake(&self) {
        if let Some(life) = self.life.as_ref().filter(|life| life.pid().is_ok()) {
            life.wake();
        }
    }
}
