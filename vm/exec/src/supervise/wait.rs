//! Waiting for descriptors.
//!
//! Read for: nothing outlives its step.

use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// Waits until one of `fds` is readable or the time has come; bit `n` of the answer is `fds[n]`.
pub fn wait_readable(fds: &[BorrowedFd<'_>], until: Option<Instant>) -> Result<u32, Errno> {
    let mut list: Vec<PollFd<'_>> = fds.iter().map(|fd| PollFd::new(*fd, PollFlags::POLLIN)).collect();
    match poll(&mut list, poll_timeout(until)) {
        Ok(_) | Err(Errno::EINTR) => {}
        Err(errno) => return Err(errno),
    }
    Ok(list.iter().enumerate().fold(0, |bits, (n, fd)| bits | u32::from(fd.any().unwrap_or(false)) << n))
}

/// How long to poll up to a point in time; for ever without one.
pub(crate) fn poll_timeout(until: Option<Instant>) -> PollTimeout {
    until.map_or(PollTimeout::NONE, |until| {
        // Rounded up, so that the time has come when poll returns for it.
        let left = until.saturating_duration_since(Instant::now()).saturating_add(Duration::from_micros(999));
        PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)
    })
}

/// `duration` after `now`, or `now` beyond the end of time.
pub(super) fn after(now: Instant, duration: Duration) -> Instant {
    now.checked_add(duration).unwrap_or(now)
}
