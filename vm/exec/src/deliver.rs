//! Hands bytes to the kernel, for as long as the run lets a slow reader take. What they hold was decided before: by the outlet, which alone writes to the
//! streams of this process, or because they go into the pipe of another step.
//!
//! Read for: everything in the process that runs a contract.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::{AsFd, AsRawFd as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, poll};

use crate::supervise::signals::{Phase, Signals};
use crate::supervise::wait::poll_timeout;

/// What a pipe that is ready takes without blocking, and the most that is handed to the kernel at once.
pub(crate) const PIPE_BUF: usize = 4096;

/// How long a reader that does not read may hold up a run that is to stop.
const READER_MAX: Duration = Duration::from_secs(2);

/// How often who waits for a reader looks whether there is a limit by now.
const LOOK: Duration = Duration::from_millis(500);

/// The limits of time that are running: what waits for a reader is given up soon after the first of them, so that no reader keeps a limit from acting.
#[derive(Debug, Default)]
pub struct Patience(Mutex<Vec<Instant>>);

impl Patience {
    /// Sets a limit until the end of the run.
    pub fn end_at(&self, limit: Option<Instant>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(limit);
    }

    /// Sets a limit for as long as what this gives is there.
    #[must_use]
    pub fn until(&self, limit: Option<Instant>) -> Limited<'_> {
        self.end_at(limit);
        Limited { patience: self, limit }
    }

    /// When a write that begins now is given up.
    fn over(&self, began: Instant) -> Option<Instant> {
        let first = self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().min().copied()?;
        began.checked_add(READER_MAX).map(|least| least.max(first))
    }
}

/// A limit that ends with this.
pub struct Limited<'a> {
    patience: &'a Patience,
    limit: Option<Instant>,
}

impl Drop for Limited<'_> {
    fn drop(&mut self) {
        let mut limits = self.patience.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = limits.iter().position(|limit| Some(*limit) == self.limit) {
            limits.swap_remove(at);
        }
    }
}

/// Writes all of `bytes`, however long that takes; two seconds at most once the run is to stop, or a limit of time is over.
///
/// # Errors
/// Those of writing; `TimedOut`, or `Interrupted` by a signal that kills.
pub(crate) fn deliver(file: &mut File, mut bytes: &[u8], signals: &Signals, patience: &Patience) -> io::Result<()> {
    let began = Instant::now();
    while signals.check() == Phase::Run {
        let look = [Instant::now().checked_add(LOOK), patience.over(began)].into_iter().flatten().min();
        match write_all(file, &mut bytes, signals, Phase::Run, look) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => break,
            Err(error) if error.kind() == io::ErrorKind::TimedOut && patience.over(began).is_none_or(|over| Instant::now() < over) => {}
            done => return done,
        }
    }
    let seen = signals.phase().max(Phase::Cancel);
    write_all(file, &mut bytes, signals, seen, Instant::now().checked_add(READER_MAX))
}

/// A stream of this process after a run, which is handed bytes as they are during it.
pub struct Delivered<'a> {
    /// The stream.
    pub file: File,
    /// Who says that nobody waits any longer.
    pub signals: &'a Signals,
    /// Until when they wait otherwise.
    pub patience: &'a Patience,
}

impl io::Write for Delivered<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        deliver(&mut self.file, bytes, self.signals, self.patience).map(|()| bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes all of `bytes`, of which the rest is left in it. A reader that does not read must not keep a signal beyond `seen`, or a deadline, from ending the run.
pub(crate) fn write_all(file: &mut File, bytes: &mut &[u8], signals: &Signals, seen: Phase, deadline: Option<Instant>) -> io::Result<()> {
    while !bytes.is_empty() {
        let [arrived, kill] = signals.poll_fds(seen);
        let mut fds =
            [PollFd::new(file.as_fd(), PollFlags::POLLOUT), PollFd::new(arrived, PollFlags::POLLIN), PollFd::new(kill, PollFlags::POLLIN)];
        // Nothing is beyond the last phase, and its descriptor stays readable.
        let [output, _, _] = &mut fds;
        let waited = if seen == Phase::Kill { std::slice::from_mut(output) } else { &mut fds };
        match poll(waited, poll_timeout(deadline)) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        let ready = fds.map(|fd| fd.any().unwrap_or(false));
        if ready.get(1..).is_some_and(|rest| rest.contains(&true)) && signals.check() > seen {
            return Err(io::ErrorKind::Interrupted.into());
        }
        if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            return Err(io::ErrorKind::TimedOut.into());
        }
        if ready.first() != Some(&true) {
            continue;
        }
        let (chunk, _) = bytes.split_at(bytes.len().min(PIPE_BUF));
        match file.write(chunk) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => *bytes = bytes.get(written..).unwrap_or_default(),
            Err(error) if matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// A stream to write to, for this process alone. A terminal that stands still (^S) blocks a write although `poll` says that it has room; opened anew
/// it does not, and for others that have it nothing changes.
///
/// # Errors
/// When descriptors run out.
pub fn anew(stream: &impl AsFd) -> io::Result<File> {
    let stream = stream.as_fd();
    if nix::unistd::isatty(stream).unwrap_or(false) {
        let flags = nix::libc::O_NONBLOCK | nix::libc::O_NOCTTY;
        let opened = File::options().write(true).custom_flags(flags).open(format!("/proc/self/fd/{}", stream.as_raw_fd()));
        if opened.is_ok() {
            return opened;
        }
    }
    stream.try_clone_to_owned().map(File::from)
}
