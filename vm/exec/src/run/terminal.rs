//! Lending the terminal to the steps of a `@tty` block, one at a time.
//!
//! Read for: everything in the process that runs a contract.

use std::os::fd::BorrowedFd;

use nix::sys::signal::{SigSet, SigmaskHow, Signal};
use nix::sys::termios::{SetArg, Termios, tcgetattr, tcsetattr};
use nix::unistd::{getpgrp, tcgetpgrp, tcsetpgrp};

/// A terminal that a step has. When this is dropped it is as it was: a step that was killed may have left its modes changed, and its foreground
/// to a process group that is gone, where the next to read would stop.
pub(super) struct Lent<'a> {
    terminal: BorrowedFd<'a>,
    modes: Termios,
}

impl<'a> Lent<'a> {
    /// Remembers the terminal as it is. `None` where this process is in the background by now, so that there is nothing to take back.
    pub(super) fn new(terminal: BorrowedFd<'a>) -> Option<Self> {
        let foreground = tcgetpgrp(terminal).is_ok_and(|group| group == getpgrp());
        let modes = tcgetattr(terminal).ok().filter(|_| foreground)?;
        Some(Self { terminal, modes })
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        // Who is not in the foreground may take it only with this signal blocked, and is stopped otherwise.
        let Ok(before) = SigSet::from(Signal::SIGTTOU).thread_swap_mask(SigmaskHow::SIG_BLOCK) else { return };
        let _ = tcsetpgrp(self.terminal, getpgrp());
        let _ = tcsetattr(self.terminal, SetArg::TCSADRAIN, &self.modes);
        let _ = before.thread_set_mask();
    }
}
