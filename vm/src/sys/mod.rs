//! The only module with unsafe code: what the kernel offers and `nix` does not wrap safely.
//!
//! Nothing here decides anything. Tests: the process tests in `vm/tests/` pass through every function.
#![expect(unsafe_code, reason = "system calls without a safe wrapper; each block states why it is sound")]

use std::io::IoSliceMut;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::errno::Errno;
use nix::libc;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
use nix::unistd::Pid;

/// Room for the descriptors that one message may carry.
pub const FDS_MAX: usize = 4;

/// Keeps what this process holds out of core dumps, and other processes of the same user from reading it. Call it first in `main`.
///
/// The limit on core files stays as it is, since steps inherit it; and they are dumpable again, as every program is that `exec` starts
/// anew. Where a filter of the caller's refuses the call, secrets are as well kept as in any other program, so nothing stops for it.
pub fn hide_memory() {
    let _ = nix::sys::prctl::set_dumpable(false);
}

/// Runs before `main`, and so before the runtime, which would put a writable `/dev/null` in the place of a standard stream that is closed: what
/// is written there would seem to have arrived. With this in its place each write fails as it would on the closed descriptor.
extern "C" fn occupy_closed_streams() {
    for fd in 0..3 {
        // SAFETY: the path is a constant that ends in NUL; asking for flags changes nothing. A descriptor that is free belongs to nobody, and
        // `open` takes the lowest that is free, which is this one.
        unsafe {
            if libc::fcntl(fd, libc::F_GETFD) == -1 && libc::open(c"/dev/null".as_ptr(), libc::O_RDONLY) == -1 {
                return;
            }
        }
    }
}

// SAFETY: the section holds pointers to functions that the loader calls before `main`; one that takes no argument may be called with some.
#[used]
#[unsafe(link_section = ".init_array")]
static OCCUPY_CLOSED_STREAMS: extern "C" fn() = occupy_closed_streams;

/// Forks. Gives the child's pid, and `None` in the child.
///
/// # Errors
/// What the kernel says; `EAGAIN` when this process has more than one thread or `/proc` does not say how many.
pub fn fork() -> Result<Option<Pid>, Errno> {
    // A directory has a link from each directory in it, here one per thread, and two of its own.
    if !std::fs::metadata("/proc/self/task").is_ok_and(|tasks| std::os::unix::fs::MetadataExt::nlink(&tasks) == 3) {
        return Err(Errno::EAGAIN);
    }
    // SAFETY: this is the only thread, so no other one can have left a lock held or a structure half changed in the child's copy.
    match unsafe { nix::unistd::fork() }? {
        nix::unistd::ForkResult::Parent { child } => Ok(Some(child)),
        nix::unistd::ForkResult::Child => Ok(None),
    }
}

/// Whether `signal` is ignored by this process.
#[must_use]
pub fn is_ignored(signal: Signal) -> bool {
    let mut old = std::mem::MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: a null new action only queries; `old` is a valid place for the answer, and an
    // all-zero `sigaction` is a valid value should the call fail.
    let old = unsafe {
        libc::sigaction(signal as i32, std::ptr::null(), old.as_mut_ptr());
        old.assume_init()
    };
    old.sa_sigaction == libc::SIG_IGN
}

/// Gives every signal but those in `keep` its default disposition.
pub fn default_dispositions(keep: &[Signal]) {
    let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
    for signal in Signal::iterator().filter(|signal| !keep.contains(signal)) {
        // SAFETY: the default disposition runs no code of this process, so no handler can
        // break an invariant. KILL and STOP refuse, which is what is wanted.
        let _ = unsafe { sigaction(signal, &default) };
    }
}

/// Marks every descriptor above 2 close-on-exec, those this process inherited without knowing
/// included, so that no program it starts ever sees one.
pub fn close_on_exec_above_2() {
    // SAFETY: with CLOSE_RANGE_CLOEXEC nothing is closed; only flags change.
    let done = unsafe { libc::syscall(libc::SYS_close_range, 3u32, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    if done == 0 {
        return;
    }
    // Kernels before 5.11.
    let Ok(dir) = std::fs::read_dir("/proc/self/fd") else {
        return;
    };
    for entry in dir.flatten() {
        let number = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok());
        if let Some(fd) = number.filter(|fd| *fd > 2) {
            // SAFETY: F_SETFD changes a flag and nothing else, also of a descriptor that is
            // owned elsewhere in this process.
            unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) };
        }
    }
}

/// How a child ended, as `wait` reports it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WaitStatus {
    /// It called `exit` with this code.
    Exited(i32),
    /// This signal ended it; any number, real-time signals included.
    Signaled(i32),
}

/// Reaps one child that has ended. `Ok(None)`: there are children, none has ended yet.
///
/// # Errors
/// `ECHILD` when there are no children at all.
pub fn wait_any() -> Result<Option<(i32, WaitStatus)>, Errno> {
    loop {
        let mut status = 0;
        // SAFETY: `status` is a valid place for the answer.
        let pid = unsafe { libc::waitpid(-1, &mut status, libc::WNOHANG) };
        match pid {
            0 => return Ok(None),
            -1 if Errno::last() == Errno::EINTR => {}
            -1 => return Err(Errno::last()),
            _ if libc::WIFEXITED(status) => {
                return Ok(Some((pid, WaitStatus::Exited(libc::WEXITSTATUS(status)))));
            }
            _ if libc::WIFSIGNALED(status) => {
                return Ok(Some((pid, WaitStatus::Signaled(libc::WTERMSIG(status)))));
            }
            // Stopped or continued: not asked for, and not an end.
            _ => {}
        }
    }
}

/// Receives bytes, and the descriptors that came with them, without blocking.
///
/// # Errors
/// What `recvmsg` says; `EAGAIN` when nothing is there.
pub fn receive(socket: BorrowedFd<'_>, into: &mut [u8], fds: &mut Vec<OwnedFd>) -> Result<usize, Errno> {
    let mut space = nix::cmsg_space!([i32; FDS_MAX]);
    let mut slices = [IoSliceMut::new(into)];
    let message = recvmsg::<()>(socket.as_raw_fd(), &mut slices, Some(&mut space), MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_CMSG_CLOEXEC)?;
    for control in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(numbers) = control {
            for number in numbers {
                // SAFETY: the kernel has just made this descriptor for us; nobody else owns it.
                fds.push(unsafe { OwnedFd::from_raw_fd(number) });
            }
        }
    }
    Ok(message.bytes)
}
