//! A lane: the VM's side of one watcher. It runs one step after the other and streams their output.
//!
//! The output pipes last as long as the lane. When the watcher answers, every process of the step is
//! gone, so what is in the pipes then is all there is: output is read until they are empty and never
//! waited for. Parallel branches have a lane and a thread each.
//!
//! Read for: nothing outlives its step.

use std::ffi::CStr;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{ControlMessage, MsgFlags, Shutdown, sendmsg, shutdown};
use nix::unistd::{Pid, pipe2};

use crate::frame::{Body, Frame};
use crate::supervise::helper::{self, Life, Role, end_orphans};
use crate::supervise::signals::{First, Phase, Signals};
use crate::supervise::wait::wait_readable;
use crate::supervise::watcher::Process;
use crate::supervise::watcher::wire::{FRAME_MAX, Fill, Reader, ended, hello, kind, start};

/// Bytes read from a pipe at a time: what a pipe holds by default.
const CHUNK: usize = 64 << 10;

/// How long after a step its remaining output may still be read.
const DRAIN: Duration = Duration::from_secs(2);

/// How a lane's watcher is set up.
#[derive(Clone, Copy)]
pub struct LaneOptions<'a> {
    /// Whether steps run in a session of their own, without a terminal.
    pub new_session: bool,
    /// The steps' standard input; by default `/dev/null`.
    pub stdin: Option<BorrowedFd<'a>>,
    /// A lock that the watcher keeps open for as long as it lives.
    pub lock: Option<BorrowedFd<'a>>,
    /// Time between TERM and KILL for what a step leaves running, and when the VM dies.
    pub grace: Duration,
}

impl Default for LaneOptions<'_> {
    fn default() -> Self {
        Self { new_session: true, stdin: None, lock: None, grace: Duration::from_secs(5) }
    }
}

/// One program to run.
#[derive(Clone, Copy)]
pub struct StepCommand<'a> {
    /// The program, as a path.
    pub program: &'a CStr,
    /// Its arguments, the name it is called by first.
    pub arguments: &'a [&'a CStr],
    /// Its environment, as `NAME=value`.
    pub environment: &'a [&'a CStr],
    /// The directory it starts in.
    pub directory: &'a CStr,
    /// Its file mode creation mask.
    pub umask: u32,
    /// What it leaves running lives on until [`Lane::end`].
    pub keep: bool,
    /// Descriptors to use for 0, 1 and 2 in place of the lane's.
    pub stdio: [Option<BorrowedFd<'a>>; 3],
    /// The rules that confine it, as [`Rules::encode`](crate::confine::Rules::encode) writes them; empty for none.
    pub rules: &'a [u8],
}

/// Which output a chunk is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// When to stop a step that has not ended by itself.
#[derive(Clone, Copy)]
pub struct Limits<'a> {
    /// When its time is up.
    pub deadline: Option<Instant>,
    /// Who says that the run is to stop.
    pub signals: Option<&'a Signals>,
    /// The phase that does not stop it: [`Phase::Cancel`] for cleanup, else [`Phase::Run`].
    pub seen: Phase,
    /// Time between TERM and KILL.
    pub grace: Duration,
}

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// With an exit status.
    Exit(i32),
    /// By a signal; any number.
    Signal(i32),
    /// The program could not be started.
    NoProgram(Errno),
    /// The directory could not be entered.
    NoDirectory(Errno),
}

/// Why a step was told to end.
#[derive(Debug)]
pub enum Stopped {
    /// Its time was up.
    Timeout,
    /// The run is to stop.
    Cancelled,
    /// The run is to stop at once.
    Killed,
    /// Its output could not be passed on.
    Output(io::Error),
}

/// What became of a step.
#[derive(Debug)]
pub struct StepOutcome {
    /// How its process ended.
    pub ended: Ended,
    /// Why it was told to, if it was.
    pub stopped: Option<Stopped>,
    /// What it had left running, now ended.
    pub leftovers: Vec<Process>,
    /// What could not be ended.
    pub survivors: Vec<Process>,
    /// Why the program could not be confined, and so was not started.
    pub unconfined: Option<String>,
}

/// Why a lane is of no more use.
#[derive(Debug, thiserror::Error)]
pub enum LaneError {
    /// It could not be opened.
    #[error("cannot start a watcher: {0}")]
    Open(#[source] io::Error),
    /// Its watcher is gone, and with it the promise that nothing outlives a step.
    #[error("the watcher of this step is gone")]
    Lost,
    /// Arguments and environment are longer than any kernel takes.
    #[error("arguments and environment are too long")]
    TooLong,
}

/// Where output goes. An error stops the step.
pub trait Sink {
    /// Takes the next bytes of `stream`.
    ///
    /// # Errors
    /// When they cannot be passed on.
    fn write(&mut self, stream: Stream, bytes: &[u8]) -> io::Result<()>;
}

impl<F: FnMut(Stream, &[u8]) -> io::Result<()>> Sink for F {
    fn write(&mut self, stream: Stream, bytes: &[u8]) -> io::Result<()> {
        self(stream, bytes)
    }
}

/// The watchers of this process that it has not seen the end of.
static WATCHERS: Mutex<Vec<Pid>> = Mutex::new(Vec::new());

fn watchers() -> MutexGuard<'static, Vec<Pid>> {
    WATCHERS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One watcher and the way to it.
///
/// While there are lanes this process has no child but the helper. Should that be killed, the watchers become this process's children, and what
/// one of them leaves that is killed as well falls to it.
pub struct Lane {
    /// `None` once closed.
    socket: Option<OwnedFd>,
    watcher: Life,
    pipes: [OwnedFd; 2],
    reader: Reader,
    chunk: Box<[u8]>,
    /// Whether steps get the signals that the terminal sends.
    shares_terminal: bool,
}

impl Lane {
    /// Starts a watcher that gets ready by itself, and greets it.
    ///
    /// # Errors
    /// [`LaneError::Open`].
    pub fn open(options: &LaneOptions<'_>) -> Result<Self, LaneError> {
        let mut lane = Self::warm().map_err(LaneError::Open)?;
        lane.greet(options).map_err(LaneError::Open)?;
        Ok(lane)
    }

    /// Starts a watcher for a lane that is needed later; [`Lane::greet`] makes it usable. Nothing is waited for: it gets ready while the VM reads
    /// and replans.
    ///
    /// # Errors
    /// Where descriptors run out, or there is no helper.
    pub fn warm() -> io::Result<Self> {
        let (out, out_write) = pipe2(OFlag::O_CLOEXEC)?;
        let (err, err_write) = pipe2(OFlag::O_CLOEXEC)?;
        for pipe in [&out, &err] {
            fcntl(pipe, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        }
        let (socket, watcher) = helper::fork(Role::Watcher, Some([out_write, err_write]))?;
        Ok(Self {
            socket: Some(socket),
            watcher,
            pipes: [out, err],
            reader: Reader::default(),
            chunk: vec![0; CHUNK].into_boxed_slice(),
            shares_terminal: false,
        })
    }

    /// Tells the watcher, once and first, how it is to run steps.
    ///
    /// # Errors
    /// A watcher that could not be started, or is gone.
    pub fn greet(&mut self, options: &LaneOptions<'_>) -> io::Result<()> {
        watchers().push(self.watcher.pid()?);
        self.shares_terminal = !options.new_session;
        let flag = |on, bit| if on { bit } else { 0 };
        let flags = flag(options.new_session, hello::SESSION)
            | flag(options.stdin.is_some(), hello::STDIN)
            | flag(options.lock.is_some(), hello::LOCK);
        let mut greeting = Frame::new(kind::HELLO, 5);
        greeting.u8(flags).u32(millis(options.grace));
        let fds: Vec<_> = [options.stdin, options.lock].into_iter().flatten().collect();
        self.send(greeting, &fds).map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))
    }

    /// Runs one program and gives its output to `sink` as it comes.
    ///
    /// # Errors
    /// [`LaneError::Lost`], [`LaneError::TooLong`]. How the program fares is no error.
    pub fn run(&mut self, command: &StepCommand<'_>, limits: &Limits<'_>, sink: &mut dyn Sink) -> Result<StepOutcome, LaneError> {
        let texts = || {
            let lists = [command.arguments, command.environment].into_iter().flatten().copied();
            [command.program, command.directory].into_iter().chain(lists)
        };
        let room = texts().map(|text| text.to_bytes_with_nul().len()).fold(command.rules.len().saturating_add(32), usize::saturating_add);
        let mut flags = if command.keep { start::KEEP } else { 0 };
        for (n, fd) in command.stdio.iter().enumerate() {
            if fd.is_some() {
                flags |= start::FD0 << n;
            }
        }
        let mut request = Frame::new(kind::START, room);
        request.u8(flags).u32(command.umask).length(command.arguments.len()).length(command.environment.len()).bytes(command.rules);
        texts().for_each(|text| _ = request.text(text));
        let fds: Vec<_> = command.stdio.iter().flatten().copied().collect();
        self.send(request, &fds)?;
        self.finish(limits, command.keep, sink)
    }

    /// Ends everything that steps with `keep` have left running; the outcome's `leftovers` name it.
    ///
    /// # Errors
    /// [`LaneError::Lost`].
    pub fn end(&mut self, limits: &Limits<'_>, sink: &mut dyn Sink) -> Result<StepOutcome, LaneError> {
        let mut request = Frame::new(kind::END, 4);
        request.u32(millis(limits.grace));
        self.watcher.wake();
        self.send(request, &[])?;
        self.finish(limits, false, sink)
    }

    /// Passes on the output of what steps with `keep` have left running, until `until` is readable.
    ///
    /// # Errors
    /// [`LaneError::Lost`].
    pub fn pump(&mut self, until: BorrowedFd<'_>, sink: &mut dyn Sink) -> Result<(), LaneError> {
        let mut lost = None;
        loop {
            let socket = self.socket.as_ref().ok_or(LaneError::Lost)?;
            let [out, err] = &self.pipes;
            let fds = [until, socket.as_fd(), out.as_fd(), err.as_fd()];
            let ready = wait_readable(&fds, None).map_err(|_| LaneError::Lost)?;
            self.pass_on(ready >> 2, sink, &mut lost);
            if ready & 2 != 0 && self.receive() == Fill::Closed {
                return Err(self.lose());
            }
            if ready & 1 != 0 {
                return Ok(());
            }
        }
    }

    fn finish(&mut self, limits: &Limits<'_>, keep: bool, sink: &mut dyn Sink) -> Result<StepOutcome, LaneError> {
        let mut seen = limits.seen;
        let mut deadline = limits.deadline;
        let mut stopped = None;
        let mut broken = None;
        let mut told = false;
        let mut outcome = loop {
            let socket = self.fd()?;
            let [out, err] = &self.pipes;
            let fds = [socket, out.as_fd(), err.as_fd()];
            let ready = match limits.signals {
                Some(signals) if seen < Phase::Kill => {
                    let [a, b] = signals.poll_fds(seen);
                    let [socket, out, err] = fds;
                    wait_readable(&[socket, out, err, a, b], deadline)
                }
                _ => wait_readable(&fds, deadline),
            }
            .map_err(|_| LaneError::Lost)?;

            self.pass_on(ready >> 1, sink, &mut broken);
            if ready & 1 != 0 {
                let closed = self.receive() == Fill::Closed;
                if let Some(outcome) = self.answer() {
                    break outcome;
                }
                if closed {
                    return Err(self.lose());
                }
            }
            if broken.is_some() && !told {
                told = true;
                self.terminate(Some(Signal::SIGTERM), limits.grace)?;
            }
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                deadline = None;
                stopped.get_or_insert(Stopped::Timeout);
                self.terminate(Some(Signal::SIGTERM), limits.grace)?;
            }
            if let Some(signals) = limits.signals.filter(|_| ready >> 3 != 0) {
                let phase = signals.check();
                if phase > seen {
                    seen = phase;
                    if phase == Phase::Kill {
                        stopped = Some(Stopped::Killed);
                        self.terminate(None, Duration::ZERO)?;
                    } else {
                        stopped = Some(Stopped::Cancelled);
                        self.terminate(self.to_pass_on(signals.first()), limits.grace)?;
                    }
                }
            }
        };
        self.drain(keep, sink, &mut broken);
        if let Some(error) = broken {
            stopped.get_or_insert(Stopped::Output(error));
        }
        outcome.stopped = stopped;
        Ok(outcome)
    }

    /// The signal that steps have not had yet.
    fn to_pass_on(&self, first: Option<First>) -> Option<Signal> {
        first.filter(|first| !(first.from_terminal && self.shares_terminal)).map(|first| first.for_steps())
    }

    /// Tells the watcher to end the step: `signal`, `grace`, KILL.
    fn terminate(&mut self, signal: Option<Signal>, grace: Duration) -> Result<(), LaneError> {
        let mut request = Frame::new(kind::TERMINATE, 8);
        request.u32(signal.map_or(0, |signal| (signal as i32).cast_unsigned())).u32(millis(grace));
        self.watcher.wake();
        self.send(request, &[])
    }

    /// Closes the socket, upon which the watcher ends what is left, and waits until it is gone.
    fn close(&mut self) {
        let Some(socket) = self.socket.take() else { return };
        let orphaned = helper::alive().is_none();
        if orphaned {
            // A watcher that cannot be told is killed, and what it leaves is ended below.
            if shutdown(socket.as_raw_fd(), Shutdown::Write).is_err()
                && let Ok(watcher) = self.watcher.pid()
            {
                let _ = kill(watcher, Signal::SIGKILL);
            }
            self.watcher.wake();
            // Nobody else tells of its end.
            while nix::unistd::read(&socket, &mut self.chunk).is_ok_and(|read| read > 0) {}
        } else {
            drop(socket);
            self.watcher.wake();
            self.watcher.wait();
        }
        let mut watchers = watchers();
        watchers.retain(|one| self.watcher.pid().ok() != Some(*one));
        if orphaned {
            end_orphans(&watchers);
        }
    }

    /// Reads once from each pipe whose bit is set. Gives how many bytes there were.
    fn pass_on(&mut self, ready: u32, sink: &mut dyn Sink, broken: &mut Option<io::Error>) -> usize {
        let mut total = 0usize;
        for (n, stream) in [Stream::Stdout, Stream::Stderr].into_iter().enumerate() {
            let Some(pipe) = self.pipes.get(n).filter(|_| ready >> n & 1 != 0) else {
                continue;
            };
            let Ok(read @ 1..) = nix::unistd::read(pipe, &mut self.chunk) else {
                continue;
            };
            total = total.saturating_add(read);
            let bytes = self.chunk.get(..read).unwrap_or_default();
            // After an error what still comes is read all the same, so that nobody blocks.
            if broken.is_none() {
                *broken = sink.write(stream, bytes).err();
            }
        }
        total
    }

    /// Passes on what the pipes hold. Processes that live on may write for ever, so for them
    /// no more is taken than a pipe can have held.
    fn drain(&mut self, keep: bool, sink: &mut dyn Sink, broken: &mut Option<io::Error>) {
        let over = Instant::now().checked_add(DRAIN);
        let mut left = usize::MAX;
        if keep {
            let size = |pipe: &OwnedFd| fcntl(pipe, FcntlArg::F_GETPIPE_SZ).unwrap_or(0);
            left = self.pipes.iter().map(size).sum::<i32>().try_into().unwrap_or(CHUNK);
        }
        loop {
            let read = self.pass_on(3, sink, broken);
            left = left.saturating_sub(read);
            if read == 0 || left == 0 || over.is_some_and(|over| Instant::now() >= over) {
                return;
            }
        }
    }

    fn answer(&mut self) -> Option<StepOutcome> {
        let (kind::DONE, body) = self.reader.frame()? else {
            return None;
        };
        let mut body = Body(body);
        let how = body.u8()?;
        let code = body.u32()?.cast_signed();
        let ended = match how {
            ended::EXIT => Ended::Exit(code),
            ended::SIGNAL => Ended::Signal(code),
            ended::NO_PROGRAM => Ended::NoProgram(Errno::from_raw(code)),
            _ => Ended::NoDirectory(Errno::from_raw(code)),
        };
        let mut processes = || {
            let count = body.u32()?;
            let one = |_| {
                let pid = body.u32()?.cast_signed();
                Some(Process { pid, name: body.text()?.to_string_lossy().into_owned() })
            };
            (0..count).map(one).collect::<Option<Vec<_>>>()
        };
        let leftovers = processes()?;
        let survivors = processes()?;
        let unconfined = Some(body.text()?.to_string_lossy().into_owned()).filter(|why| !why.is_empty());
        self.reader.consume();
        Some(StepOutcome { ended, stopped: None, leftovers, survivors, unconfined })
    }

    fn fd(&self) -> Result<BorrowedFd<'_>, LaneError> {
        self.socket.as_ref().map(AsFd::as_fd).ok_or(LaneError::Lost)
    }

    fn receive(&mut self) -> Fill {
        match &self.socket {
            Some(socket) => self.reader.fill(socket.as_fd()),
            None => Fill::Closed,
        }
    }

    fn lose(&mut self) -> LaneError {
        self.close();
        LaneError::Lost
    }

    fn send(&mut self, request: Frame, fds: &[BorrowedFd<'_>]) -> Result<(), LaneError> {
        let request = request.seal().filter(|request| request.len() <= FRAME_MAX).ok_or(LaneError::TooLong)?;
        let numbers: Vec<i32> = fds.iter().map(AsRawFd::as_raw_fd).collect();
        let rights = [ControlMessage::ScmRights(&numbers)];
        // Descriptors go with the first bytes.
        let mut control: &[ControlMessage<'_>] = if fds.is_empty() { &[] } else { &rights };
        let mut rest: &[u8] = &request;
        while !rest.is_empty() {
            let slices = [IoSlice::new(rest)];
            match sendmsg::<()>(self.fd()?.as_raw_fd(), &slices, control, MsgFlags::MSG_NOSIGNAL, None) {
                Ok(n) => {
                    rest = rest.get(n..).unwrap_or_default();
                    control = &[];
                }
                Err(Errno::EINTR) => {}
                Err(_) => {
                    // An answer may still be waiting to be read, but no step can follow.
                    return Err(LaneError::Lost);
                }
            }
        }
        Ok(())
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        self.close();
    }
}

/// Whole milliseconds, at most what 32 bits hold.
fn millis(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}
