//! The only module with unsafe code: what the kernel offers and `nix` does not wrap safely.
//!
//! Nothing here decides anything. Tests: the process tests in `vm/tests/` pass through every function.
//!
//! Read for: nothing outlives its step.
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

/// Forks a process that holds, of this one's descriptors, 0, 1, 2 and `kept`, does `work` with those and exits with its result. Gives its pid; in
/// this process `kept` is closed.
///
/// # Errors
/// What the kernel says; `EAGAIN` when this process has more than one thread, or nothing says that it has not.
pub fn fork(kept: Vec<OwnedFd>, work: impl FnOnce(Vec<OwnedFd>) -> i32) -> Result<Pid, Errno> {
    if !is_single_threaded() {
        return Err(Errno::EAGAIN);
    }
    // SAFETY: this is the only thread, so no other one can have left a lock held or a structure half changed in the child's copy.
    match unsafe { nix::unistd::fork() }? {
        nix::unistd::ForkResult::Parent { child } => Ok(child),
        nix::unistd::ForkResult::Child => {
            let child = std::panic::AssertUnwindSafe(|| {
                close_above_2_but(&kept);
                work(kept)
            });
            let status = std::panic::catch_unwind(child).unwrap_or(70);
            // SAFETY: takes a plain number and does not return. Nothing of the caller runs again, so nobody uses a descriptor that was closed under
            // its owner, and nothing that was copied is written out or removed a second time.
            unsafe { libc::_exit(status) }
        }
    }
}

fn is_single_threaded() -> bool {
    // It asks for nothing where there is one thread, and is refused where there are more; a filter may refuse it always.
    if nix::sched::unshare(nix::sched::CloneFlags::CLONE_THREAD).is_ok() {
        return true;
    }
    // A directory has a link from each directory in it, here one per thread, and two of its own.
    std::fs::metadata("/proc/self/task").is_ok_and(|tasks| std::os::unix::fs::MetadataExt::nlink(&tasks) == 3)
}

/// Closes every descriptor above 2 but those `kept`, whoever owns it: only for a process that was just forked and never returns to the owners.
fn close_above_2_but(kept: &[OwnedFd]) {
    let mut kept: Vec<u32> = kept.iter().map(|fd| fd.as_raw_fd().unsigned_abs()).collect();
    kept.sort_unstable();
    let mut first = 3u32;
    for last in kept.iter().map(|fd| fd.saturating_sub(1)).chain([u32::MAX]) {
        if first <= last {
            // SAFETY: see above; the numbers name descriptors that nobody uses any more.
            let done = unsafe { libc::syscall(libc::SYS_close_range, first, last, 0u32) };
            if done != 0 {
                return close_one_by_one(&kept);
            }
        }
        first = last.saturating_add(2).max(first);
    }
}

/// The same for kernels before 5.9.
fn close_one_by_one(kept: &[u32]) {
    let open = |dir: std::fs::ReadDir| dir.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect::<Vec<u32>>();
    let limit = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE).map_or(1 << 16, |(soft, _)| soft);
    let all = std::fs::read_dir("/proc/self/fd").map_or_else(|_| (3..u32::try_from(limit).unwrap_or(1 << 16)).collect(), open);
    for fd in all.into_iter().filter(|fd| *fd > 2 && !kept.contains(fd)) {
        // SAFETY: as in `close_above_2_but`.
        unsafe { libc::close(fd.cast_signed()) };
    }
}

/// Whether this program was started with more rights than its caller has: set-user-ID, set-group-ID or capabilities of the file.
#[must_use]
pub fn has_foreign_rights() -> bool {
    // SAFETY: looks a number up that the kernel left for this process.
    unsafe { libc::getauxval(libc::AT_SECURE) != 0 }
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

/// Ignores a signal from now on, and in programs that are started until [`default_dispositions`].
pub fn ignore(signal: Signal) {
    let ignored = SigAction::new(SigHandler::SigIgn, SaFlags::empty(), SigSet::empty());
    // SAFETY: ignoring runs no code of this process, so no handler can break an invariant.
    let _ = unsafe { sigaction(signal, &ignored) };
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

/// The Landlock interface of this kernel, or 0.
#[must_use]
pub fn landlock_abi() -> u32 {
    const VERSION: u32 = 1;
    // SAFETY: with this flag no attributes are read and nothing is created; the answer is a number.
    let abi = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, std::ptr::null::<u8>(), 0usize, VERSION) };
    u32::try_from(abi).unwrap_or(0)
}

/// Whether this kernel takes system call filters that answer with an error.
#[must_use]
pub fn takes_filters() -> bool {
    let action = libc::SECCOMP_RET_ERRNO;
    // SAFETY: the kernel reads the four bytes of `action`, which lives until the call returns.
    unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_GET_ACTION_AVAIL, 0u32, &raw const action) == 0 }
}

/// Takes capabilities from this thread for good, by bit: out of its sets and, where it may, out of the bounding set.
///
/// Where it may not change the bounding set, `no_new_privs` keeps programs from getting any back: set it before `exec`.
///
/// # Errors
/// What `capget` or `capset` says; nothing may be started then.
pub fn drop_capabilities(dropped: u64) -> Result<(), Errno> {
    #[repr(C)]
    struct Header {
        version: u32,
        pid: i32,
    }
    for number in (0..64u64).filter(|number| dropped >> number & 1 != 0) {
        // SAFETY: these take plain numbers; unknown ones are refused.
        unsafe { libc::prctl(libc::PR_CAPBSET_DROP, number, 0, 0, 0) };
    }
    // SAFETY: plain numbers again. Kernels before 4.3 have no ambient capabilities, and refuse.
    unsafe { libc::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) };
    // Version 3 of the interface: effective, permitted and inheritable set, the lower halves first.
    let mut header = Header { version: 0x2008_0522, pid: 0 };
    let mut sets = [[0u32; 3]; 2];
    // SAFETY: both point to values of the layout that this version has, and live until the call returns.
    Errno::result(unsafe { libc::syscall(libc::SYS_capget, &raw mut header, sets.as_mut_ptr()) })?;
    for (half, sets) in sets.iter_mut().enumerate() {
        let dropped = u32::try_from(if half == 0 { dropped & 0xffff_ffff } else { dropped >> 32 }).unwrap_or(u32::MAX);
        sets.iter_mut().for_each(|set| *set &= !dropped);
    }
    // SAFETY: as above; the kernel only reads.
    Errno::result(unsafe { libc::syscall(libc::SYS_capset, &raw const header, sets.as_ptr()) }).map(drop)
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
    receive_with(socket, into, fds, MsgFlags::MSG_DONTWAIT)
}

/// As [`receive`], but waits until there is something, or an end.
///
/// # Errors
/// What `recvmsg` says.
pub fn receive_waiting(socket: BorrowedFd<'_>, into: &mut [u8], fds: &mut Vec<OwnedFd>) -> Result<usize, Errno> {
    receive_with(socket, into, fds, MsgFlags::empty())
}

fn receive_with(socket: BorrowedFd<'_>, into: &mut [u8], fds: &mut Vec<OwnedFd>, flags: MsgFlags) -> Result<usize, Errno> {
    let mut space = nix::cmsg_space!([i32; FDS_MAX]);
    let mut slices = [IoSliceMut::new(into)];
    let message = recvmsg::<()>(socket.as_raw_fd(), &mut slices, Some(&mut space), flags | MsgFlags::MSG_CMSG_CLOEXEC)?;
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
