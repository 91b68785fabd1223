//! The watcher: a helper process that runs the steps of one lane and outlives none of their
//! processes (spec/security.md, "Whoever controls a step").
//!
//! It is forked by the [`helper`](crate::supervise::helper) for a [`Lane`](crate::supervise::lane::Lane), and joined to the VM by one socket. It is a
//! subreaper: whatever a step starts, however it detaches itself, stays below the watcher, and a step is over when `wait` says that no child is left.
//! When the socket ends, because the VM closed it or died in any way, the watcher ends everything below it and exits. The process of a confined step
//! it forks itself; that puts the rules on before it becomes the program ([`crate::confine`]).
//!
//! It blocks every signal it can, so INT, TERM and HUP do not end it, and it never writes to anything but the
//! socket, so it cannot hang on a full pipe.
//!
//! Limits: a process of the same user that kills watcher and VM, one that the watcher may not
//! signal (another uid, where no control group can be made), one in uninterruptible sleep. What cannot be ended is reported.
//! Times are on the monotonic clock, which stands still while the machine is suspended.
//!
//! Tests: `vm/tests/watcher.rs`, with real processes.
//!
//! Read for: nothing outlives its step.

pub(crate) mod cgroup;
pub(crate) mod tree;
pub(crate) mod wire;

use std::ffi::{CStr, CString};
use std::io::Read as _;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::spawn::{PosixSpawnAttr, PosixSpawnFileActions, PosixSpawnFlags, posix_spawn};
use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal, kill, killpg};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::socket::{MsgFlags, send};
use nix::sys::stat::{Mode, umask};
use nix::unistd::{Pid, chdir, dup2_stdin, pipe2, setsid};

pub use tree::Process;

use crate::confine::{Program, Refused};
use crate::frame::{Body, Frame};
use crate::supervise::sys::{self, WaitStatus};
use crate::supervise::wait::{after, wait_readable};
use wire::{FRAME_MAX, Fill, Reader, ended, hello, kind, start};

/// What a step leaves behind may end by itself for this long before it is told to: a process
/// substitution (`> >(tee log)`) finishes just after the shell that the step was.
const SETTLE: Duration = Duration::from_millis(100);

/// How long a killed process may take to disappear before it is reported as a survivor.
const GIVE_UP: Duration = Duration::from_secs(2);

/// Time between two rounds of KILL.
const ROUND: Duration = Duration::from_millis(10);

/// Watches over steps for whoever has the other end of the socket: the work of [`Role::Watcher`](crate::supervise::helper::Role::Watcher).
pub fn serve(socket: OwnedFd) -> ! {
    let done = Watcher::start(socket).map(Watcher::serve);
    std::process::exit(if done.is_ok() { 0 } else { 70 })
}

/// What the lane asked for and is not answered yet.
struct Job {
    /// The step's own process, until it has ended.
    main: Option<i32>,
    /// How the step ended: one of [`ended`] and a code, signal or error number.
    status: (u8, i32),
    /// Where the process of a confined step says why it did not become the program.
    refusal: Option<OwnedFd>,
    /// What it said about its rules.
    unconfined: String,
    /// Whether what the step leaves running may live on.
    keep: bool,
    /// What was running when the step's own process had ended and [`SETTLE`] had passed.
    leftovers: Vec<Process>,
    /// When [`SETTLE`] passes.
    settled_at: Option<Instant>,
    ending: Option<Ending>,
}

/// The way everything below the watcher is ended.
struct Ending {
    kill_at: Instant,
    /// Set by the first round of KILL.
    give_up_at: Option<Instant>,
}

/// What the watcher waits for.
enum Next {
    /// A request: there is no job.
    Idle,
    /// A request or the end of a child.
    Event,
    /// The same, but not longer than until then.
    At(Instant),
}

struct Watcher {
    socket: OwnedFd,
    children: SignalFd,
    reader: Reader,
    attributes: PosixSpawnAttr,
    actions: PosixSpawnFileActions,
    /// Whether steps have process groups of their own.
    session: bool,
    /// Grace between TERM and KILL when nobody is left to name one.
    grace: Duration,
    /// Kept open, never used: the lock lasts until the last process is gone.
    _lock: Option<OwnedFd>,
    job: Option<Job>,
    /// Whether the last `wait` said that there are children.
    populated: bool,
    /// The process group of the latest step.
    last: Option<i32>,
    /// What is being killed, where control groups can be made.
    group: Option<cgroup::Group>,
    /// The VM is gone.
    closed: bool,
}

impl Watcher {
    fn start(socket: OwnedFd) -> Result<Self, Errno> {
        prctl::set_child_subreaper(true)?;
        prctl::set_name(c"opal-watcher")?;
        // Requests carry secrets; neither core dumps nor other processes of the user may see them.
        sys::hide_memory();

        let mut reader = Reader::default();
        let (flags, grace) = loop {
            if let Some((kind::HELLO, body)) = reader.frame() {
                let mut body = Body(body);
                let read = body.u8().zip(body.u32()).ok_or(Errno::EPROTO)?;
                reader.consume();
                break read;
            }
            wait_readable(&[socket.as_fd()], None)?;
            if reader.fill(socket.as_fd()) == Fill::Closed {
                return Err(Errno::EPIPE);
            }
        };
        let has = |bit| flags & bit != 0;
        // Only its own: the descriptors of a first request may have come already.
        let mut take = |bit| (has(bit) && !reader.fds.is_empty()).then(|| reader.fds.remove(0));
        if let Some(stdin) = take(hello::STDIN) {
            dup2_stdin(&stdin)?;
        }
        let lock = take(hello::LOCK);

        let session = has(hello::SESSION);
        let mut attributes = PosixSpawnAttr::init()?;
        attributes.set_sigmask(&SigSet::empty())?;
        let mut spawn_flags = PosixSpawnFlags::POSIX_SPAWN_SETSIGMASK;
        if session {
            setsid()?;
            attributes.set_pgroup(Pid::from_raw(0))?;
            spawn_flags |= PosixSpawnFlags::POSIX_SPAWN_SETPGROUP;
        }
        attributes.set_flags(spawn_flags)?;
        let sigchld = SigSet::from_iter([Signal::SIGCHLD]);
        Ok(Self {
            socket,
            children: SignalFd::with_flags(&sigchld, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?,
            reader,
            attributes,
            actions: PosixSpawnFileActions::init()?,
            session,
            grace: Duration::from_millis(u64::from(grace)),
            _lock: lock,
            job: None,
            populated: false,
            last: None,
            group: None,
            closed: false,
        })
    }

    /// Serves until the VM is gone and nothing is left.
    fn serve(mut self) {
        // They may have come with HELLO.
        self.requests();
        loop {
            let until = match self.advance() {
                Next::Idle if self.closed => return,
                Next::Idle | Next::Event => None,
                Next::At(time) => Some(time),
            };
            if self.wait(until).is_err() {
                self.hang_up();
            }
        }
    }

    /// Waits for a request, the end of a child, or the time, and takes note of what came.
    fn wait(&mut self, until: Option<Instant>) -> Result<(), Errno> {
        let (socket, children) = (self.socket.as_fd(), self.children.as_fd());
        let both = [children, socket];
        // A closed socket is always readable.
        let ready = wait_readable(if self.closed { &both[..1] } else { &both }, until)?;
        if ready & 1 != 0 {
            let _ = self.children.read_signal();
            self.reap();
        }
        if ready & 2 != 0 {
            if self.reader.fill(self.socket.as_fd()) == Fill::Closed {
                self.hang_up();
            }
            self.requests();
        }
        Ok(())
    }

    /// Acts on the requests that have been received.
    fn requests(&mut self) {
        while let Some((kind, _)) = self.reader.frame() {
            self.request(kind);
            self.reader.consume();
        }
    }

    fn reap(&mut self) {
        self.populated = loop {
            let (pid, status) = match sys::wait_any() {
                Ok(Some(ended)) => ended,
                Ok(None) => break true,
                Err(_) => break false,
            };
            if let Some(job) = self.job.as_mut().filter(|job| job.main == Some(pid)) {
                job.main = None;
                job.status = match status {
                    WaitStatus::Exited(code) => (ended::EXIT, code),
                    WaitStatus::Signaled(signal) => (ended::SIGNAL, signal),
                };
                job.take_refusal();
            }
        };
    }

    fn hang_up(&mut self) {
        self.closed = true;
        let grace = self.grace;
        if self.job.is_none() && self.populated {
            self.job = Some(Job::new(None));
        }
        self.terminate(Some(Signal::SIGTERM), grace);
    }

    fn request(&mut self, kind: u8) {
        let body = self.reader.frame().map(|(_, body)| body).unwrap_or_default();
        match kind {
            kind::START if self.job.is_none() => {
                let fds = std::mem::take(&mut self.reader.fds);
                let job = match self.spawn(Body(self.reader.frame().map_or(&[], |f| f.1)), fds) {
                    Ok(job) => job,
                    // Nothing was started, so nothing that runs is this step's.
                    Err(status) => Job { status, keep: true, ..Job::new(None) },
                };
                self.populated |= job.main.is_some();
                self.last = job.main.or(self.last);
                self.job = Some(job);
            }
            kind::END if self.job.is_none() => {
                let grace = millis(Body(body).u32());
                self.job = Some(Job::new(None));
                if let Some(job) = &mut self.job {
                    job.leftovers = tree::running();
                }
                self.terminate(Some(Signal::SIGTERM), grace);
            }
            kind::TERMINATE => {
                let mut body = Body(body);
                let signal = body.u32().and_then(|number| Signal::try_from(number.cast_signed()).ok());
                self.terminate(signal, millis(body.u32()));
            }
            kind::KILL => self.terminate(None, Duration::ZERO),
            // A request that crossed the answer it came too late for.
            _ => {}
        }
    }

    fn spawn(&self, mut body: Body<'_>, fds: Vec<OwnedFd>) -> Result<Job, (u8, i32)> {
        let program = |errno: Errno| (ended::NO_PROGRAM, errno as i32);
        let bad = || program(Errno::EPROTO);
        let flags = body.u8().ok_or_else(bad)?;
        let mask = body.u32().ok_or_else(bad)?;
        let (argc, envc) = body.u32().zip(body.u32()).ok_or_else(bad)?;
        let rules = body.bytes().ok_or_else(bad)?;
        let path = body.text().ok_or_else(bad)?;
        let directory = body.text().ok_or_else(bad)?;
        let mut strings = |n: u32| (0..n).map(|_| body.text()).collect::<Option<Vec<&CStr>>>();
        let arguments = strings(argc).ok_or_else(bad)?;
        let environment = strings(envc).ok_or_else(bad)?;

        umask(Mode::from_bits_truncate(mask));
        chdir(directory).map_err(|errno| (ended::NO_DIRECTORY, errno as i32))?;
        // A program may have made the shared pipes non-blocking for itself; the next one expects
        // them as they were.
        for fd in [std::io::stdout().as_fd(), std::io::stderr().as_fd()] {
            let _ = fcntl(fd, FcntlArg::F_SETFL(OFlag::empty()));
        }
        let numbers: Vec<i32> = (0..start::FDS).filter(|n| flags & (start::FD0 << n) != 0).collect();
        if numbers.len() != fds.len() {
            return Err(bad());
        }
        let mut job = Job::new(None);
        if rules.is_empty() {
            let mut own = None;
            for (n, fd) in numbers.into_iter().zip(&fds) {
                if own.is_none() {
                    own = Some(PosixSpawnFileActions::init().map_err(program)?);
                }
                if let Some(own) = &mut own {
                    own.add_dup2(fd.as_raw_fd(), n).map_err(program)?;
                }
            }
            let actions = own.as_ref().unwrap_or(&self.actions);
            let pid = posix_spawn(path, actions, &self.attributes, &arguments, &environment).map_err(program)?;
            job.main = Some(pid.as_raw());
        } else {
            let (refusal, refuse) = pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK).map_err(program)?;
            let confined = Program { rules, path, arguments: &arguments, environment: &environment, group: self.session };
            let kept = std::iter::once(refuse).chain(fds).collect();
            let pid = sys::fork(kept, |kept| confined.become_it(kept, &numbers)).map_err(program)?;
            (job.main, job.refusal) = (Some(pid.as_raw()), Some(refusal));
        }
        job.keep = flags & start::KEEP != 0;
        Ok(job)
    }

    /// Begins, or hastens, the end of everything below.
    fn terminate(&mut self, signal: Option<Signal>, grace: Duration) {
        let Some(job) = &mut self.job else { return };
        let kill_at = after(Instant::now(), grace);
        match &mut job.ending {
            Some(ending) => ending.kill_at = ending.kill_at.min(kill_at),
            None => {
                job.ending = Some(Ending { kill_at, give_up_at: None });
                if let Some(signal) = signal {
                    self.signal(&tree::descendants(&[]), signal);
                }
            }
        }
    }

    /// Sends `signal` to `pids`, and lets stopped ones notice.
    fn signal(&self, pids: &[i32], signal: Signal) {
        for pid in pids.iter().copied().map(Pid::from_raw) {
            let _ = kill(pid, signal);
            if signal != Signal::SIGKILL {
                let _ = kill(pid, Signal::SIGCONT);
            }
        }
        // Children, but none to be seen: there is no usable /proc. The group is what is left to try.
        if let Some(group) = self.last.filter(|_| pids.is_empty() && self.populated && self.session) {
            let _ = killpg(Pid::from_raw(group), signal);
        }
    }

    /// Moves the job on as far as it goes; answers it when it is done. Gives the time at which to
    /// look again.
    fn advance(&mut self) -> Next {
        let populated = self.populated;
        let grace = self.grace;
        let Some(job) = &mut self.job else {
            return Next::Idle;
        };
        if job.main.is_none() && (!populated || (job.keep && job.ending.is_none())) {
            return self.answer(Vec::new());
        }
        let now = Instant::now();
        let Some(ending) = &mut job.ending else {
            if job.main.is_some() {
                return Next::Event;
            }
            let settled_at = *job.settled_at.get_or_insert(after(now, SETTLE));
            if now < settled_at {
                return Next::At(settled_at);
            }
            job.leftovers = tree::running();
            self.terminate(Some(Signal::SIGTERM), grace);
            return Next::At(now);
        };
        if now < ending.kill_at {
            return Next::At(ending.kill_at);
        }
        let give_up_at = *ending.give_up_at.get_or_insert(after(now, GIVE_UP));
        if now >= give_up_at {
            return self.answer(tree::running());
        }
        self.kill_round();
        Next::At(after(now, ROUND))
    }

    /// Kills everything below, again while the walk finds processes it had not seen.
    fn kill_round(&mut self) {
        let mut before = Vec::new();
        self.group = self.group.take().or_else(cgroup::Group::make);
        for _ in 0..64 {
            let now = tree::descendants(&[]);
            if let Some(group) = &self.group {
                group.take(&now);
                group.kill();
            }
            self.signal(&now, Signal::SIGKILL);
            if now.iter().all(|pid| before.contains(pid)) {
                break;
            }
            before = now;
        }
    }

    fn answer(&mut self, survivors: Vec<Process>) -> Next {
        self.group = None;
        let Some(job) = self.job.take() else {
            return Next::Idle;
        };
        // A name that a program gave itself has no NUL inside, and why no rules were put on comes from our own code.
        let text = |text: &str| CString::new(text).unwrap_or_default();
        let mut frame = Frame::new(kind::DONE, 0);
        frame.u8(job.status.0).u32(job.status.1.cast_unsigned());
        for list in [&job.leftovers, &survivors] {
            frame.length(list.len());
            for process in list {
                frame.u32(process.pid.cast_unsigned()).text(&text(&process.name));
            }
        }
        frame.text(&text(&job.unconfined));
        let frame = frame.seal().filter(|frame| frame.len() <= FRAME_MAX).unwrap_or_default();
        let mut rest: &[u8] = &frame;
        while !rest.is_empty() && !self.closed {
            match send(self.socket.as_raw_fd(), rest, MsgFlags::MSG_NOSIGNAL) {
                Ok(n) => rest = rest.get(n..).unwrap_or_default(),
                Err(Errno::EINTR) => {}
                Err(_) => self.closed = true,
            }
        }
        Next::Idle
    }
}

impl Job {
    fn new(main: Option<i32>) -> Self {
        Self {
            main,
            status: (ended::EXIT, 0),
            refusal: None,
            unconfined: String::new(),
            keep: false,
            leftovers: Vec::new(),
            settled_at: None,
            ending: None,
        }
    }

    /// Notes why the process of a confined step, which has ended, did not become the program, if it did not.
    fn take_refusal(&mut self) {
        let mut said = Vec::new();
        if let Some(refusal) = self.refusal.take() {
            // The program has closed the other end, and so has its process.
            let _ = std::fs::File::from(refusal).read_to_end(&mut said);
        }
        match Refused::decode(&said) {
            Some(Refused::Program(errno)) => self.status = (ended::NO_PROGRAM, errno as i32),
            Some(Refused::Rules(why)) => self.unconfined = why,
            None => {}
        }
    }
}

fn millis(value: Option<u32>) -> Duration {
    Duration::from_millis(u64::from(value.unwrap_or(0)))
}
