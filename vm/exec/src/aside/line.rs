//! The asked end of the socket.

use std::cell::RefCell;
use std::ffi::CStr;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};

use zeroize::Zeroizing;

use super::{HELLO, hold};
use crate::confine;
use crate::frame::{Body, Frame, HEAD};
use crate::supervise::sys;

/// Whoever asks is gone, or what was asked cannot be: the process ends.
pub struct Over;

/// Confines this process, which is called `name` from now on, does `work` for who is at the other end of the socket, and ends.
pub fn serve(socket: OwnedFd, name: &CStr, work: fn(&Line) -> Result<(), Over>) -> ! {
    let (calls, bounded) = confine::aside(name);
    let line = Line::new(socket);
    let done = line.greet((if calls { hold::CALLS } else { 0 }) | (if bounded { hold::LIMITS } else { 0 })).and_then(|()| work(&line));
    // It ends with its socket open: to close it, the standard library may ask for what the filter does not have.
    std::process::exit(i32::from(done.is_err()))
}

/// The socket, and what is said on it together with what is said next.
pub struct Line {
    socket: RefCell<File>,
    out: RefCell<Zeroizing<Vec<u8>>>,
    /// Descriptors that came with frames.
    came: RefCell<Vec<OwnedFd>>,
}

impl Line {
    /// The end of a socket.
    #[must_use]
    pub fn new(socket: OwnedFd) -> Self {
        Self { socket: RefCell::new(File::from(socket)), out: RefCell::default(), came: RefCell::default() }
    }

    /// Says what holds this process: the first that is said.
    ///
    /// # Errors
    /// [`Over`].
    pub fn greet(&self, holds: u8) -> Result<(), Over> {
        let mut hello = Frame::new(HELLO, 1);
        hello.u8(holds);
        self.say(hello)?;
        self.flush()
    }

    /// Says something with the next [`Line::flush`].
    ///
    /// # Errors
    /// [`Over`] where no frame can be that long.
    pub fn say(&self, frame: Frame) -> Result<(), Over> {
        let frame = frame.seal().ok_or(Over)?;
        let mut out = self.out.borrow_mut();
        if out.is_empty() {
            *out = frame;
        } else {
            out.extend_from_slice(&frame);
        }
        Ok(())
    }

    /// Sends what was said.
    ///
    /// # Errors
    /// [`Over`].
    pub fn flush(&self) -> Result<(), Over> {
        let out = std::mem::take(&mut *self.out.borrow_mut());
        self.socket.borrow_mut().write_all(&out).map_err(|_| Over)
    }

    /// Waits for the next frame.
    ///
    /// # Errors
    /// [`Over`].
    pub fn hear(&self) -> Result<(u8, opal_format::Bytes), Over> {
        let mut socket = self.socket.borrow_mut();
        let mut head = [0; HEAD];
        // Descriptors come with the first byte of a frame.
        let first = sys::receive_waiting(socket.as_fd(), &mut head, &mut self.came.borrow_mut()).map_err(|_| Over)?;
        socket.read_exact(head.get_mut(first..).filter(|_| first > 0).ok_or(Over)?).map_err(|_| Over)?;
        let mut body = Body(&head);
        let length = body.u32().and_then(|length| usize::try_from(length).ok()?.checked_sub(1)).ok_or(Over)?;
        let kind = body.u8().ok_or(Over)?;
        let mut bytes = opal_format::Bytes::with_capacity(length);
        bytes.resize(length, 0);
        socket.read_exact(&mut bytes).map_err(|_| Over)?;
        Ok((kind, bytes))
    }

    /// The last descriptor that came and was not taken.
    pub fn take(&self) -> Option<OwnedFd> {
        self.came.borrow_mut().pop()
    }
}
