//! The helper: the process from which all others of this program are forked, so that none of them starts an executable of ours and none can be
//! had by an argument, a variable or a descriptor.
//!
//! `main` calls [`start`] first, before anything is read and before there is a second thread; so the helper is small, holds no secret but the
//! environment that the program was started with, and no descriptor but its end of one socket. On request it forks a process for a
//! [`Role`], which holds the descriptors that came with the request and nothing else: neither the helper's nor another process's, so the
//! end of each socket is seen by whoever has the other end.
//!
//! ```text
//! VM ── socket ── helper ──┬── watcher ── steps        request: role; life, socket, and what is to be 1 and 2
//!  └─── socket of each ────┼── watcher                 life: first the pid, or why there is none; then its end,
//!                          └── planner, keeper,              when the process is gone and nothing is left of it
//!                              evaluators
//! ```
//!
//! What a watcher that was killed leaves falls to the helper, which ends it. When the VM is gone, the helper wakes the watchers, each of which sees
//! that for itself, and goes with the last of them. When the helper is gone, watchers go on as they are, nothing new is forked, and what falls to
//! nobody falls to the VM ([`crate::supervise::lane`]).
//!
//! Tests: `vm/tests/watcher.rs` and `tests/tests/helper.rs`, with real processes.
//!
//! Read for: nothing outlives its step.

use std::io::{self, IoSlice, Read as _, Write as _};
use std::os::fd::{AsFd as _, AsRawFd, OwnedFd};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::socket::{AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, sendmsg, socketpair};
use nix::sys::stat::Mode;
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
use nix::unistd::{Pid, dup2_stderr, dup2_stdin, dup2_stdout, pipe2};

use crate::supervise::signals::ignored_at_start;
use crate::supervise::sys;
use crate::supervise::watcher::tree;

/// What a process that the helper forks is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Role {
    /// Runs the steps of one lane. It ends by itself when its socket does, and is only ever woken.
    Watcher = 1,
    /// Plans, aside ([`crate::aside`]). Like the next two it is killed when its [`Life`] is dropped, or the VM or the helper ends.
    Planner = 2,
    /// Holds private keys.
    Keeper = 3,
    /// Evaluates what steps wrote.
    Evaluator = 4,
}

impl Role {
    /// What a process of this role is sent when nobody waits for it any more.
    const fn last_signal(self) -> Signal {
        match self {
            Self::Watcher => Signal::SIGCONT,
            Self::Planner | Self::Keeper | Self::Evaluator => Signal::SIGKILL,
        }
    }
}

/// What a process does: it is given its end of a socket, and never returns. Its standard streams are `/dev/null` unless the request had others,
/// it has no other descriptor, every signal is blocked, and those that the caller did not have ignored have their default effect.
pub type Work = fn(OwnedFd) -> !;

/// How long orphans may take to disappear.
const GIVE_UP: Duration = Duration::from_secs(2);

/// The helper of this process, or why there is none.
static HELPER: OnceLock<Result<Helper, Errno>> = OnceLock::new();

struct Helper {
    /// `None` once the helper was let go: it ends when this is closed, which, unlike `shutdown`, no system refuses.
    socket: Mutex<Option<OwnedFd>>,
    pid: Pid,
}

/// Forks the helper. `roles` says what the processes that it forks later do; a role without an entry cannot be asked for.
///
/// Call it first in `main`, once. Where it fails, the program goes on, and [`fork`] says why it does not.
pub fn start(roles: &'static [(Role, Work)]) {
    let begun = || {
        let (socket, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?;
        let pid = sys::fork(vec![theirs], |kept| kept.into_iter().next().map_or(70, |socket| serve(socket, roles)))?;
        // What falls to nobody falls to this process; a system without subreapers leaves it to init.
        let _ = prctl::set_child_subreaper(true);
        Ok(Helper { socket: Mutex::new(Some(socket)), pid })
    };
    HELPER.get_or_init(begun);
}

fn helper() -> io::Result<&'static Helper> {
    match HELPER.get() {
        Some(Ok(helper)) => Ok(helper),
        Some(Err(errno)) => Err((*errno).into()),
        None => Err(io::ErrorKind::NotConnected.into()),
    }
}

/// Has a process forked for `role`, with `streams` as its standard output and error. Gives this end of its socket, and what tells of its life.
/// Nothing is waited for: whether there is a process says [`Life::pid`]. Any thread may ask.
///
/// # Errors
/// Where descriptors run out, or there is no helper.
pub fn fork(role: Role, streams: Option<[OwnedFd; 2]>) -> io::Result<(OwnedFd, Life)> {
    let helper = helper()?;
    let (socket, theirs) = socketpair(AddressFamily::Unix, SockType::Stream, None, SockFlag::SOCK_CLOEXEC)?;
    let (life, told) = pipe2(OFlag::O_CLOEXEC)?;
    let numbers: Vec<i32> = [&told, &theirs].into_iter().chain(streams.iter().flatten()).map(AsRawFd::as_raw_fd).collect();
    let rights = [ControlMessage::ScmRights(&numbers)];
    let request = helper.socket.lock().unwrap_or_else(PoisonError::into_inner);
    let open = request.as_ref().ok_or(io::ErrorKind::NotConnected)?;
    while let Err(errno) = sendmsg::<()>(open.as_raw_fd(), &[IoSlice::new(&[role as u8])], &rights, MsgFlags::MSG_NOSIGNAL, None) {
        if errno != Errno::EINTR {
            return Err(errno.into());
        }
    }
    drop(request);
    wake();
    Ok((socket, Life { told: life.into(), pid: OnceLock::new() }))
}

/// Lets the helper go, and waits until it is gone, which it is when the last of its processes is. Nothing can be forked after it.
pub fn end() {
    if let Ok(helper) = helper() {
        drop(helper.socket.lock().unwrap_or_else(PoisonError::into_inner).take());
        wake();
        // Not left as a zombie: the first process of a container may never wait for it.
        while waitid(Id::Pid(helper.pid), WaitPidFlag::WEXITED) == Err(Errno::EINTR) {}
    }
}

/// The pid of the helper; `None` where there is none any more, so that what would fall to it falls to this process.
pub(crate) fn alive() -> Option<Pid> {
    let helper = helper().ok()?;
    // It is waited for in `end` only, and then is no child any more: until then its pid stays its own.
    let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT | WaitPidFlag::WNOHANG;
    (waitid(Id::Pid(helper.pid), flags) == Ok(WaitStatus::StillAlive)).then_some(helper.pid)
}

/// Lets the helper go on, which a step may have stopped.
fn wake() {
    let _ = alive().map(|helper| kill(helper, Signal::SIGCONT));
}

/// What is known of a process that the helper has forked. When it is dropped, the process is told so by the signal of its role.
#[derive(Debug)]
pub struct Life {
    told: std::fs::File,
    pid: OnceLock<Pid>,
}

impl Life {
    /// The pid, which may have to be waited for.
    ///
    /// # Errors
    /// Why there is no process.
    pub fn pid(&self) -> io::Result<Pid> {
        if let Some(pid) = self.pid.get() {
            return Ok(*pid);
        }
        let mut answer = [0; 4];
        (&self.told).read_exact(&mut answer).map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
        match i32::from_ne_bytes(answer) {
            pid @ 1.. => Ok(*self.pid.get_or_init(|| Pid::from_raw(pid))),
            errno => Err(io::Error::from_raw_os_error(errno.saturating_neg())),
        }
    }

    /// Lets the process go on, which a step may have stopped.
    pub fn wake(&self) {
        let mut told = [PollFd::new(self.told.as_fd(), PollFlags::POLLIN)];
        // Once something more can be read, the process is gone.
        if let Some(pid) = self.pid.get().filter(|_| poll(&mut told, PollTimeout::ZERO) == Ok(0)) {
            let _ = kill(*pid, Signal::SIGCONT);
        }
    }

    /// Waits until the process is gone, and what it has left too; or the helper is.
    pub fn wait(&self) {
        wake();
        // The helper says nothing but the pid.
        let _ = (&self.told).read_to_end(&mut Vec::new());
    }
}

/// One process that the helper has forked.
struct Child {
    role: Role,
    pid: Pid,
    /// Open until the process is gone and nothing is left of it; `None` once nobody waits for that.
    life: Option<OwnedFd>,
}

impl Child {
    fn leave(&mut self) {
        self.life = None;
        let _ = kill(self.pid, self.role.last_signal());
    }
}

/// The helper itself. It never returns.
fn serve(socket: OwnedFd, roles: &[(Role, Work)]) -> i32 {
    match Server::new(roles) {
        Ok(mut server) => server.run(socket),
        Err(_) => 70,
    }
}

struct Server<'a> {
    roles: &'a [(Role, Work)],
    ended: SignalFd,
    children: Vec<Child>,
}

impl<'a> Server<'a> {
    fn new(roles: &'a [(Role, Work)]) -> Result<Self, Errno> {
        SigSet::all().thread_set_mask()?;
        sys::default_dispositions(&ignored_at_start());
        prctl::set_name(c"opal-helper")?;
        prctl::set_child_subreaper(true)?;
        // Who stopped it must not keep it from seeing that the VM is gone.
        prctl::set_pdeathsig(Signal::SIGCONT)?;
        let null = open(c"/dev/null", OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty())?;
        dup2_stdin(&null)?;
        dup2_stdout(&null)?;
        dup2_stderr(&null)?;
        let ended = SignalFd::with_flags(&SigSet::from_iter([Signal::SIGCHLD]), SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
        Ok(Self { roles, ended, children: Vec::new() })
    }

    fn run(&mut self, socket: OwnedFd) -> i32 {
        let mut socket = Some(socket);
        while socket.is_some() || !self.children.is_empty() {
            let ready = self.wait(socket.as_ref());
            if ready & 1 != 0 {
                let _ = self.ended.read_signal();
                self.reap();
            }
            if ready & 2 != 0 && socket.as_ref().is_some_and(|socket| !self.request(socket)) {
                socket = None;
                self.children.iter_mut().for_each(Child::leave);
            }
        }
        0
    }

    /// Waits until a child has ended (1) or the VM has something to say or is gone (2); lets children go that nobody waits for any more.
    fn wait(&mut self, socket: Option<&OwnedFd>) -> u8 {
        let mut fds = vec![PollFd::new(self.ended.as_fd(), PollFlags::POLLIN)];
        fds.extend(socket.map(|socket| PollFd::new(socket.as_fd(), PollFlags::POLLIN)));
        let first = fds.len();
        let waited = self.children.iter().enumerate().filter_map(|(at, child)| Some((at, child.life.as_ref()?)));
        // The end of a pipe that nobody reads has an error, which is reported unasked.
        let (places, lives): (Vec<usize>, Vec<PollFd<'_>>) =
            waited.map(|(at, life)| (at, PollFd::new(life.as_fd(), PollFlags::empty()))).unzip();
        fds.extend(lives);
        if poll(&mut fds, PollTimeout::NONE).is_err() {
            return 0;
        }
        let is_ready = |at: usize| fds.get(at).and_then(PollFd::any).unwrap_or(false);
        let ready = u8::from(is_ready(0)) | u8::from(socket.is_some() && is_ready(1)) << 1;
        let left: Vec<usize> =
            places.into_iter().enumerate().filter(|(n, _)| is_ready(first.saturating_add(*n))).map(|(_, at)| at).collect();
        for at in left {
            if let Some(child) = self.children.get_mut(at) {
                child.leave();
            }
        }
        ready
    }

    /// Takes one request; false where there will be no more.
    fn request(&mut self, socket: &OwnedFd) -> bool {
        let (mut asked, mut fds) = ([0], Vec::new());
        match sys::receive(socket.as_fd(), &mut asked, &mut fds) {
            Ok(1) => {}
            Err(Errno::EAGAIN | Errno::EINTR) => return true,
            _ => return false,
        }
        let mut fds = fds.into_iter();
        // Without it there is nobody to answer; who asked sees its end.
        let Some(life) = fds.next() else { return true };
        let kept: Vec<OwnedFd> = fds.collect();
        let entry = self.roles.iter().copied().find(|(role, _)| [*role as u8] == asked);
        let forked = match entry {
            // Descriptors that found no room here are dropped by the kernel.
            Some(_) if !matches!(kept.len(), 1 | 3) => Err(Errno::EMFILE),
            Some((role, work)) => sys::fork(kept, |kept| become_one(kept, role, work)).map(|pid| (role, pid)),
            None => Err(Errno::EINVAL),
        };
        let answer = forked.map_or_else(|errno| (errno as i32).saturating_neg(), |(_, pid)| pid.as_raw());
        let mut life = std::fs::File::from(life);
        let told = life.write_all(&answer.to_ne_bytes()).is_ok();
        if let Ok((role, pid)) = forked {
            let mut child = Child { role, pid, life: Some(life.into()) };
            if !told {
                child.leave();
            }
            self.children.push(child);
        }
        true
    }

    fn reap(&mut self) {
        let mut gone = Vec::new();
        let left = loop {
            match sys::wait_any() {
                Ok(Some((pid, _))) => gone.extend(self.children.extract_if(.., |child| child.pid.as_raw() == pid)),
                left => break left.is_ok(),
            }
        };
        // Without a child there is no orphan.
        if left && !gone.is_empty() {
            end_orphans(&self.children.iter().map(|child| child.pid).collect::<Vec<_>>());
        }
        // Only now their lives are over.
        drop(gone);
    }
}

/// What the helper's child does: see [`Work`].
fn become_one(kept: Vec<OwnedFd>, role: Role, work: Work) -> i32 {
    let _ = prctl::set_pdeathsig(role.last_signal());
    let mut kept = kept.into_iter();
    let Some(socket) = kept.next() else { return 70 };
    if let (Some(out), Some(err)) = (kept.next(), kept.next())
        && dup2_stdout(&out).and(dup2_stderr(&err)).is_err()
    {
        return 70;
    }
    work(socket)
}

/// Kills what has fallen to this process because whoever watched over it was killed: all that is below it but those `living` and what is below them.
pub(crate) fn end_orphans(living: &[Pid]) {
    let over = Instant::now().checked_add(GIVE_UP);
    loop {
        let orphans = tree::descendants(living);
        if orphans.is_empty() || over.is_some_and(|over| Instant::now() >= over) {
            return;
        }
        for pid in orphans.into_iter().map(Pid::from_raw) {
            let _ = kill(pid, Signal::SIGKILL);
            let _ = waitpid(pid, Some(WaitPidFlag::WNOHANG));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}
