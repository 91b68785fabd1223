//! The interpreter of the step tree.
//!
//! What holds throughout:
//!
//! - A step starts in one place ([`Worker::step`]), and only after its start is durable in the record: what is not recorded as begun was not begun.
//! - Between two nodes it is asked whether anything may still start ([`Worker::stopped`]), so a stop is never more than one node late. A stop outranks
//!   a limit that is up, and that outranks a failure.
//! - A block gives its own flow only when all that it started has ended, what it detached included.
//! - A `finally` that was entered is finished: its scope knows no limit and does not see the first signal.
//! - Each failure is added to the tally once, where it happens. Whoever deals with it says so there, and passes on another flow; nobody takes one away.
//! - A value is known to the scrubber before anything that may print it goes on.
//!
//! Read for: everything in the process that runs a contract.

use std::ffi::{CStr, CString};
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::signal::Signal;
use opal_format::kind::{NodeKind, ValueType};
use opal_format::steps::{Arg, Node};
use zeroize::Zeroizing;

use super::environment::lookup;
use super::output::{Capture, Scrubbers, StepSink};
use super::report::{FailureCause, Left, Outcome, millis};
use super::script::{Script, argument_text, find_program, plain_words, render, shell_level};
use super::terminal::Lent;
use super::{Pipe, Shared, Target, borrowed, locked, pwd};
use crate::confine::Rules;
use crate::supervise::lane::{Ended, Lane, LaneError, Limits, StepCommand, StepOutcome, Stopped};
use crate::supervise::signals::Phase;
use crate::supervise::watcher::Process;
use opal_core::decorators::params;
use opal_core::event::{Came, Ending, Event, Stop};
use opal_core::plan::{PROCESS_STRING_MAX, Scalar};
use opal_core::rest::{Over, is_atomic, is_closed};
use opal_core::sandbox::Isolation;

/// How a node ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    /// Well.
    Done,
    /// With this failure.
    Failed(usize),
    /// The time of an enclosing `@timeout`, or of the run, was up. A `catch` does not see it.
    TimedOut,
    /// The run is to stop: pending `finally` blocks run, nothing else.
    Stopped,
    /// The run is to stop at once.
    Killed,
}

/// What enclosing blocks decided.
#[derive(Clone, Copy)]
pub(super) struct Scope<'a> {
    pub(super) directory: &'a Path,
    pub(super) deadline: Option<Instant>,
    /// In cleanup the first signal no longer stops steps.
    pub(super) seen: Phase,
    /// What confines steps.
    pub(super) rules: Option<&'a Rules>,
}

/// Walks the tree in one thread, with at most one lane at a time.
pub(super) struct Worker<'s, 'p> {
    pub(super) shared: &'s Shared<'p>,
    pub(super) to: Target,
    /// What steps read, and where their stdout goes, inside a pipe.
    pub(super) pipes: [Option<Pipe>; 2],
    lane: Option<Lane>,
    pub(super) scrubbers: Scrubbers,
    /// Inside `@tty`: steps get the terminal itself.
    tty: bool,
    /// Inside `@detach`: what steps leave running stays.
    keep: bool,
    detached: Vec<Detached>,
}

/// A lane whose processes live until a block ends, and the thread that passes on their output.
struct Detached {
    stop: Arc<EventFd>,
    pump: JoinHandle<(Lane, Scrubbers, bool)>,
    node: usize,
}

impl<'s, 'p> Worker<'s, 'p> {
    pub(super) fn new(shared: &'s Shared<'p>) -> Self {
        let to = Arc::clone(&shared.outlet) as Target;
        Self::with(shared, to, [None, None])
    }

    pub(super) fn with(shared: &'s Shared<'p>, to: Target, pipes: [Option<Pipe>; 2]) -> Self {
        Self { shared, to, pipes, lane: None, scrubbers: Scrubbers::new(shared), tty: false, keep: false, detached: Vec::new() }
    }

    /// Runs the whole plan.
    pub(super) fn root(mut self, deadline: Option<Instant>) -> Flow {
        let shared = self.shared;
        let rules = shared.policy_rules();
        let scope = Scope { directory: &shared.options.base_dir, deadline, seen: Phase::Run, rules: rules.as_ref() };
        match self.block(shared.tree().executing(None).collect(), scope) {
            Flow::TimedOut => {
                let limit = shared.options.timeout.unwrap_or_default();
                Flow::Failed(shared.fail(None, FailureCause::Timeout(limit), b"", limit))
            }
            flow => flow,
        }
    }

    /// Why nothing more may start, if so. In cleanup a run that was halted goes on: what undoes things is not left half done.
    pub(super) fn stopped(&self, scope: Scope<'_>) -> Option<Flow> {
        match self.shared.signals.check() {
            Phase::Kill => return Some(Flow::Killed),
            phase if phase > scope.seen => return Some(Flow::Stopped),
            _ => {}
        }
        if scope.seen == Phase::Run && locked(&self.shared.tally).is_halted() {
            return Some(Flow::Stopped);
        }
        scope.deadline.is_some_and(|deadline| Instant::now() >= deadline).then_some(Flow::TimedOut)
    }

    /// Runs nodes in order up to the first that does not end well. What they detached ends with the block, the last first: later processes may need
    /// earlier ones.
    pub(super) fn block(&mut self, nodes: Vec<usize>, scope: Scope<'_>) -> Flow {
        let outer = self.detached.len();
        let mut flow = Flow::Done;
        for node in nodes {
            flow = self.node(node, scope);
            if flow != Flow::Done {
                break;
            }
        }
        while self.detached.len() > outer
            && let Some(detached) = self.detached.pop()
        {
            let node = detached.node;
            self.end_detached(detached);
            self.shared.note(|| Event::DetachEnded { at: self.shared.at(node), after: flow.ending() });
        }
        flow
    }

    pub(super) fn node(&mut self, index: usize, scope: Scope<'_>) -> Flow {
        let Some((node, kind)) = self.shared.node(index) else { return Flow::Done };
        if let Some(flow) = self.settled(index, scope) {
            return flow;
        }
        if is_atomic(kind) {
            self.shared.note(|| Event::BlockStarts { at: self.shared.at(index) });
        }
        let flow = self.enter(index, node, kind, scope);
        if is_closed(kind) {
            self.shared.note(|| Event::BlockDone { at: self.shared.at(index), came: self.shared.came(flow) });
        }
        flow
    }

    fn enter(&mut self, index: usize, node: &Node, kind: NodeKind, scope: Scope<'_>) -> Flow {
        let inside = || self.shared.tree().executing(Some(index)).collect::<Vec<_>>();
        match kind {
            NodeKind::Shell => self.shell(index, node, scope),
            NodeKind::Let => self.bind(index, node, scope),
            NodeKind::Sleep => self.sleep(index, node, scope),
            NodeKind::Retry => self.retry(index, node, &inside(), scope),
            NodeKind::Timeout => self.timeout(index, node, inside(), scope),
            NodeKind::Workdir => self.workdir(index, node, inside(), scope),
            NodeKind::Parallel => {
                let limit = |param, default| self.int(node, param).map_or(default, |n| usize::try_from(n.max(0)).unwrap_or(usize::MAX));
                let processors = std::thread::available_parallelism().map_or(4, |n| n.get().max(4));
                let at_once = limit(params::PARALLEL_MAX_CONCURRENCY, processors).max(1);
                self.parallel(index, at_once, limit(params::PARALLEL_TOLERATE, 0), scope)
            }
            NodeKind::Detach => self.detach(index, inside(), scope),
            NodeKind::Tty => {
                let outside = std::mem::replace(&mut self.tty, true);
                let flow = self.block(inside(), scope);
                self.tty = outside;
                flow
            }
            NodeKind::Try => self.attempt(index, &inside(), scope),
            NodeKind::And => inside().into_iter().fold(Flow::Done, |flow, operand| match flow {
                Flow::Done => self.node(operand, scope),
                other => other,
            }),
            NodeKind::Or => inside()
                .into_iter()
                .fold(None, |flow, operand| match flow {
                    None => Some(self.node(operand, scope)),
                    Some(Flow::Failed(failure)) => {
                        let next = self.node(operand, scope);
                        if matches!(next, Flow::Done | Flow::Failed(_)) {
                            locked(&self.shared.tally).handled(failure);
                        }
                        Some(next)
                    }
                    other => other,
                })
                .unwrap_or(Flow::Done),
            NodeKind::Seq => inside().into_iter().fold(Flow::Done, |flow, operand| match flow {
                Flow::Failed(failure) => {
                    locked(&self.shared.tally).handled(failure);
                    self.node(operand, scope)
                }
                Flow::Done => self.node(operand, scope),
                other => other,
            }),
            NodeKind::Pipe => self.pipe(index, scope),
            NodeKind::IsolatedNetwork => self.isolated(index, node, Isolation::Network, inside(), scope),
            NodeKind::IsolatedFilesystem => self.isolated(index, node, Isolation::Filesystem, inside(), scope),
            NodeKind::IsolatedPrivileges => self.isolated(index, node, Isolation::Privileges, inside(), scope),
            NodeKind::Transform => self.transform(index, &inside(), scope),
            NodeKind::Group => self.block(inside(), scope),
            // The blocks that they belong to take these themselves, and control flow is walked through.
            NodeKind::Catch
            | NodeKind::Finally
            | NodeKind::For
            | NodeKind::If
            | NodeKind::Else
            | NodeKind::When
            | NodeKind::While
            | NodeKind::LinesGrep
            | NodeKind::LinesHead
            | NodeKind::LinesTail
            | NodeKind::LinesCount
            | NodeKind::JsonPick
            | NodeKind::AssertRe
            | NodeKind::AssertEq
            | NodeKind::AssertNum => self.failed(index, FailureCause::Misplaced, b"", Duration::ZERO),
        }
    }

    fn shell(&mut self, index: usize, node: &Node, scope: Scope<'_>) -> Flow {
        let script = match self.script(node) {
            Ok(script) => script,
            Err(cause) => return self.failed(index, cause, b"", Duration::ZERO),
        };
        self.step(index, &script, scope, None)
    }

    fn script(&self, node: &Node) -> Result<Script, FailureCause> {
        let held = |binding| locked(&self.shared.bindings).iter().rev().find(|(node, _)| *node == binding).map(|(_, value)| value.clone());
        render(self.shared.plan, self.shared.plan.steps.view().command(node), held)
    }

    /// A runtime binding: the step assigns, then says what it assigned.
    fn bind(&mut self, index: usize, node: &Node, scope: Scope<'_>) -> Flow {
        /// Room for the name under which a process gets the value, `=` and the end.
        const ROOM: usize = 64;
        let number = u32::try_from(index).unwrap_or(u32::MAX);
        let name = self.shared.binding_name(number);
        let mut script = match self.script(node) {
            Ok(script) => script,
            Err(cause) => return self.failed(index, cause, b"", Duration::ZERO),
        };
        script.text.extend_from_slice(format!(" || exit\nprintf %s \"${{{name}}}\"").as_bytes());
        let limit = PROCESS_STRING_MAX.saturating_sub(ROOM);
        let mut capture = Capture { bytes: Zeroizing::new(Vec::with_capacity(limit)), limit, overflowed: false };
        let started = Instant::now();
        let flow = self.step(index, &script, scope, Some(&mut capture));
        if flow != Flow::Done {
            return flow;
        }
        if capture.overflowed {
            let cause = FailureCause::BindingTooLong(limit);
            let why = Some(cause.to_string());
            self.shared.note(|| Event::Binding { at: self.shared.at(index), name, sealed: None, cause: why });
            return self.failed(index, cause, b"", started.elapsed());
        }
        // Before anything else reads or writes: from here on the value is known.
        self.shared.secrets.add([(capture.bytes.as_slice(), self.shared.binding_placeholder(number).as_str())]);
        {
            let mut bindings = locked(&self.shared.bindings);
            bindings.retain(|(of, value)| *of != number || **value != *capture.bytes);
            bindings.push((number, Zeroizing::new(capture.bytes.to_vec())));
        }
        let sealed = Some(locked(&self.shared.recorder).seal(number, &capture.bytes).unwrap_or_default());
        self.shared.note(|| Event::Binding { at: self.shared.at(index), name, sealed, cause: None });
        Flow::Done
    }

    /// Runs one process and judges how it ended.
    fn step(&mut self, index: usize, script: &Script, scope: Scope<'_>, capture: Option<&mut Capture>) -> Flow {
        if let Err(flow) = self.begin(index, scope) {
            return flow;
        }
        let started = Instant::now();
        let mut tail = Vec::new();
        if self.tty {
            self.shared.signals.lend();
        }
        let outcome = self.execute(index, script, scope, capture, &mut tail);
        let interrupt = Ended::Signal(Signal::SIGINT as i32);
        let interrupted = self.tty && outcome.as_ref().is_ok_and(|outcome| outcome.ended == interrupt);
        if self.tty {
            self.shared.signals.take_back(interrupted);
        }
        let elapsed = started.elapsed();
        let outcome = match outcome {
            Ok(outcome) => outcome,
            // Without the signal the watcher would be there: a terminal's interrupt may reach it before it is ready.
            Err(LaneError::Lost) if self.shared.signals.check() > scope.seen => return Flow::Stopped,
            Err(error) => return self.failed(index, FailureCause::Watcher(error.to_string()), &tail, elapsed),
        };
        self.left(index, outcome.leftovers, true);
        self.left(index, outcome.survivors, false);
        let (ended, stopped) = (outcome.ended, outcome.stopped);
        // It may name a place that a secret names.
        let plain = |why: String| String::from_utf8_lossy(&self.shared.patterns().scrub(why.as_bytes())).into_owned();
        let unconfined = outcome.unconfined.map(plain);
        self.shared.note(|| {
            let (exit, signal) = match ended {
                _ if unconfined.is_some() => (None, None),
                Ended::Exit(code) => (Some(code), None),
                Ended::Signal(signal) => (None, Some(signal)),
                Ended::NoProgram(_) | Ended::NoDirectory(_) => (None, None),
            };
            let why = stopped.as_ref().map(|stopped| match stopped {
                Stopped::Timeout => Stop::Timeout,
                Stopped::Cancelled => Stop::Cancelled,
                Stopped::Killed => Stop::Killed,
                Stopped::Output(_) => Stop::OutputLost,
            });
            let (result, cause) = match (&stopped, ended) {
                (None, _) if unconfined.is_some() => {
                    (Ending::Failed, unconfined.clone().map(|why| FailureCause::NotConfined(why).to_string()))
                }
                (None, Ended::Exit(0)) => (Ending::Done, None),
                (None, ended) => (Ending::Failed, Some(FailureCause::Ended(ended).to_string())),
                (Some(Stopped::Timeout), _) => (Ending::TimedOut, None),
                (Some(_), _) => (Ending::Stopped, None),
            };
            let status = exit.map(i64::from).or(signal.map(|signal| i64::from(signal).saturating_add(128)));
            let came = Came { result, cause, status };
            Event::StepDone { at: self.shared.at(index), came, exit, signal, stopped: why, elapsed_ms: millis(elapsed) }
        });
        match stopped {
            Some(Stopped::Killed) => return Flow::Killed,
            Some(Stopped::Cancelled) => return Flow::Stopped,
            Some(Stopped::Timeout) => {
                if self.shared.outlet.is_lost() {
                    locked(&self.shared.tally).halt(Outcome::OutputLost(std::io::ErrorKind::TimedOut.into()));
                }
                return Flow::TimedOut;
            }
            Some(Stopped::Output(error)) => {
                locked(&self.shared.tally).halt(Outcome::OutputLost(error));
                return Flow::Stopped;
            }
            None if interrupted && self.shared.signals.check() > scope.seen => return Flow::Stopped,
            None => {}
        }
        if let Some(why) = unconfined {
            return self.failed(index, FailureCause::NotConfined(why), &tail, elapsed);
        }
        locked(&self.shared.tally).done.insert(index);
        match ended {
            Ended::Exit(0) => Flow::Done,
            _ => Flow::Failed(self.shared.fail(Some(index), FailureCause::Ended(ended), &tail, elapsed)),
        }
    }

    /// Says durably that a step starts. Cleanup goes on where that cannot be said any more.
    fn begin(&mut self, index: usize, scope: Scope<'_>) -> Result<(), Flow> {
        self.shared.note(|| Event::StepStarts { at: self.shared.at(index) });
        if let Err(error) = self.shared.sync() {
            locked(&self.shared.tally).halt(Outcome::RecordLost(error));
            if scope.seen == Phase::Run {
                return Err(Flow::Stopped);
            }
        }
        locked(&self.shared.tally).effects = true;
        Ok(())
    }

    fn execute(
        &mut self,
        index: usize,
        script: &Script,
        scope: Scope<'_>,
        capture: Option<&mut Capture>,
        tail: &mut Vec<u8>,
    ) -> Result<StepOutcome, LaneError> {
        let options = self.shared.options;
        let mut lane = match self.lane.take() {
            Some(lane) => lane,
            None => self.shared.lane()?,
        };
        let directory = CString::new(scope.directory.as_os_str().as_bytes()).unwrap_or_default();
        let shell = CString::new(options.shell.as_os_str().as_bytes()).unwrap_or_default();
        let pwd = pwd(scope.directory);
        let rules = scope.rules.map(Rules::encode).unwrap_or_default();
        let limits = Limits { deadline: scope.deadline, signals: Some(&self.shared.signals), seen: scope.seen, grace: options.grace };
        let mut sink = StepSink { node: index, to: &*self.to, scrubbers: &mut self.scrubbers, capture, tail: Vec::new() };
        let terminal = options.terminal.filter(|_| self.tty);
        let _lent = terminal.and_then(Lent::new);
        let [stdin, stdout] = &self.pipes;
        let stdout = if sink.capture.is_some() { None } else { borrowed(stdout).or(terminal) };
        let command = StepCommand {
            program: &shell,
            arguments: &[],
            environment: &[],
            directory: &directory,
            umask: options.umask,
            keep: self.keep,
            stdio: [borrowed(stdin).or(terminal), stdout, terminal],
            rules: &rules,
        };
        // The rules of a confined step grant one program, which is the shell.
        let plain = if script.values.is_empty() && scope.rules.is_none() { plain_words(&script.text) } else { None };
        let search = lookup(&options.environment, "PATH");
        let direct = plain.zip(search).and_then(|(words, path)| Some((find_program(words.first()?, path, scope.directory)?, words)));
        let mut outcome = None;
        if let Some((program, words)) = direct {
            let level = shell_level(lookup(&options.environment, "SHLVL"));
            let name = CString::new([b"_=", program.as_bytes()].concat()).unwrap_or_default();
            let mut environment: Vec<&CStr> =
                options.environment.iter().filter(|entry| !entry.to_bytes().starts_with(b"SHLVL=")).map(|entry| &**entry).collect();
            environment.extend([&*pwd, &*level, &*name]);
            let arguments: Vec<&CStr> = words.iter().map(|word| &**word).collect();
            let command = StepCommand { program: &program, arguments: &arguments, environment: &environment, ..command };
            let ran = lane.run(&command, &limits, &mut sink)?;
            // What the kernel does not start is the shell's to judge, and to speak about.
            outcome = (!matches!(ran.ended, Ended::NoProgram(_)) || ran.stopped.is_some()).then_some(ran);
        }
        let outcome = match outcome {
            Some(outcome) => outcome,
            None => {
                let text = CString::new(script.text.as_slice()).unwrap_or_default();
                let environment: Vec<&CStr> =
                    options.environment.iter().chain(&script.values).map(|entry| &**entry).chain([&*pwd]).collect();
                let arguments = [c"bash", c"--noprofile", c"--norc", c"-o", c"pipefail", c"-c", &text, c"bash"];
                lane.run(&StepCommand { arguments: &arguments, environment: &environment, ..command }, &limits, &mut sink)?
            }
        };
        let finished = sink.finish();
        *tail = std::mem::take(&mut sink.tail);
        self.lane = Some(lane);
        let mut outcome = outcome;
        if let Err(error) = finished {
            outcome.stopped.get_or_insert(Stopped::Output(error));
        }
        Ok(outcome)
    }

    fn left(&self, index: usize, processes: Vec<Process>, ended: bool) {
        for process in processes {
            let path = self.shared.path(Some(index));
            // Before it is escaped, in which form it would not be found.
            let name = opal_core::show::escape(&self.shared.patterns().scrub(process.name.as_bytes()), false);
            let hint = if ended { "; @detach keeps it" } else { ", which cannot be ended" };
            self.shared.say(&format!("step {path} left {name} (pid {}){hint}", process.pid));
            locked(&self.shared.tally).left.push(Left { path, process, ended });
        }
    }

    pub(super) fn failed(&self, index: usize, cause: FailureCause, stderr: &[u8], elapsed: Duration) -> Flow {
        Flow::Failed(self.shared.fail(Some(index), cause, stderr, elapsed))
    }

    fn sleep(&mut self, index: usize, node: &Node, scope: Scope<'_>) -> Flow {
        if let Err(flow) = self.begin(index, scope) {
            return flow;
        }
        let started = Instant::now();
        let flow = self.pause(self.duration(node, params::SLEEP_DURATION), scope).unwrap_or(Flow::Done);
        if flow == Flow::Done {
            locked(&self.shared.tally).done.insert(index);
        }
        let (at, came, elapsed_ms) = (|| self.shared.at(index), || self.shared.came(flow), millis(started.elapsed()));
        self.shared.note(|| Event::StepDone { at: at(), came: came(), exit: None, signal: None, stopped: None, elapsed_ms });
        flow
    }

    /// Waits; gives why it ended early, if it did.
    fn pause(&self, pause: Duration, scope: Scope<'_>) -> Option<Flow> {
        let until = Instant::now().checked_add(pause);
        let earlier = [until, scope.deadline].into_iter().flatten().min();
        self.shared.signals.wait(scope.seen, earlier);
        self.stopped(scope)
    }

    fn retry(&mut self, index: usize, node: &Node, inside: &[usize], scope: Scope<'_>) -> Flow {
        let attempts = self.int(node, params::RETRY_ATTEMPTS).unwrap_or(3).max(1);
        let mut delay = self.duration(node, params::RETRY_DELAY);
        let backoff = self.number(node, params::RETRY_BACKOFF).unwrap_or(1.0).max(0.0);
        let jitter = self.number(node, params::RETRY_JITTER).unwrap_or(0.0).clamp(0.0, 1.0);
        let on: Vec<i64> = self.args(node, params::RETRY_ON).filter_map(|arg| self.int_of(arg)).collect();
        let note = |attempt| self.shared.note(|| Event::Attempt { at: self.shared.at(index), attempt, of: attempts });
        let mut attempt = 1;
        match self.shared.take(index) {
            Some(Over::Attempts(begun)) => attempt = begun,
            _ => note(attempt),
        }
        loop {
            let flow = self.block(inside.to_vec(), scope);
            let Flow::Failed(failure) = flow else { return flow };
            let other = self.shared.exit_status(failure).is_none_or(|status| !on.contains(&status));
            if attempt >= attempts || (!on.is_empty() && other) {
                return flow;
            }
            // The wait may be long, and what was done is done.
            self.shared.settle();
            let less = Duration::try_from_secs_f64(delay.as_secs_f64() * jitter * chance()).unwrap_or_default();
            let pause = delay.saturating_sub(less);
            if let Some(flow) = self.stopped(scope).or_else(|| self.pause(pause, scope)) {
                return flow;
            }
            locked(&self.shared.tally).handled(failure);
            delay = Duration::try_from_secs_f64(delay.as_secs_f64() * backoff).unwrap_or(Duration::MAX);
            attempt = attempt.saturating_add(1);
            self.shared.anew(index);
            note(attempt);
        }
    }

    fn timeout(&mut self, index: usize, node: &Node, inside: Vec<usize>, scope: Scope<'_>) -> Flow {
        let limit = self.duration(node, params::TIMEOUT_DURATION);
        if let Some(Over::TimedOut) = self.shared.take(index) {
            return self.failed(index, FailureCause::Timeout(limit), b"", Duration::ZERO);
        }
        let started = Instant::now();
        let deadline = [started.checked_add(limit), scope.deadline].into_iter().flatten().min();
        let limited = self.shared.options.patience.until(deadline);
        let flow = self.block(inside, Scope { deadline, ..scope });
        drop(limited);
        match flow {
            // An enclosing limit that is up as well goes first.
            Flow::TimedOut if scope.deadline.is_none_or(|outer| Instant::now() < outer) => {
                self.shared.note(|| Event::Timeout { at: self.shared.at(index) });
                self.failed(index, FailureCause::Timeout(limit), b"", started.elapsed())
            }
            flow => flow,
        }
    }

    fn workdir(&mut self, index: usize, node: &Node, inside: Vec<usize>, scope: Scope<'_>) -> Flow {
        let text = self.arg(node, params::WORKDIR_PATH).and_then(|arg| argument_text(self.shared.plan, arg));
        let Some(text) = text else { return self.failed(index, FailureCause::NoValue, b"", Duration::ZERO) };
        let wanted = Path::new(std::ffi::OsStr::from_bytes(&text));
        let directory = settled(&scope.directory.join(wanted));
        let problem = match fs::metadata(&directory) {
            Ok(metadata) if metadata.is_dir() => None,
            Ok(_) => Some(Errno::ENOTDIR),
            Err(error) => Some(Errno::from_raw(error.raw_os_error().unwrap_or(0))),
        };
        match problem {
            Some(errno) => self.failed(index, FailureCause::NoDirectory(self.shown(wanted), errno), b"", Duration::ZERO),
            None => self.block(inside, Scope { directory: &directory, ..scope }),
        }
    }

    /// A path as it may be shown.
    pub(super) fn shown(&self, path: &Path) -> PathBuf {
        let scrubbed = self.shared.patterns().scrub(path.as_os_str().as_bytes());
        PathBuf::from(std::ffi::OsStr::from_bytes(&scrubbed))
    }

    /// `@try`: its steps; after a failure `@catch`; always `@finally`.
    ///
    /// INVARIANT: `finally` runs exactly once for each time that the block was entered, unless the run is killed: also after a stop, a limit, or in a
    /// run that goes on. Its own failure counts only where the block had none.
    fn attempt(&mut self, index: usize, inside: &[usize], scope: Scope<'_>) -> Flow {
        let of_kind =
            |wanted: NodeKind| inside.iter().copied().find(|child| self.shared.node(*child).is_some_and(|(_, kind)| kind == wanted));
        let (catch, finally) = (of_kind(NodeKind::Catch), of_kind(NodeKind::Finally));
        let body = inside.iter().copied().filter(|child| Some(*child) != catch && Some(*child) != finally).collect();
        let tree = self.shared.tree();
        let cleaned = self.before(finally);
        let flow = match cleaned {
            Some(flow) => flow,
            None => self.body(body, catch, scope),
        };
        let Some(finally) = finally else { return flow };
        if flow == Flow::Killed || self.shared.signals.check() == Phase::Kill {
            let path = self.shared.path(Some(index));
            locked(&self.shared.tally).cleanup_skipped.push(path);
            return Flow::Killed;
        }
        if flow == Flow::Stopped {
            self.shared.say_cleaning_up();
        }
        if cleaned.is_none() {
            self.shared.note(|| Event::Finally { at: self.shared.at(finally), after: flow.ending(), because: self.shared.because(flow) });
        }
        // Cleanup that has begun is finished: neither a limit that is up nor a first signal interrupts it.
        let cleanup = Scope { deadline: None, seen: Phase::Cancel, ..scope };
        let ended = self.block(tree.executing(Some(finally)).collect(), cleanup);
        if ended == Flow::Killed {
            let path = self.shared.path(Some(finally));
            locked(&self.shared.tally).cleanup_skipped.push(path);
        } else if flow != Flow::Done {
            let path = self.shared.path(Some(finally));
            locked(&self.shared.tally).cleaned_up.push(path);
        }
        match (flow, ended) {
            (_, Flow::Killed) => Flow::Killed,
            (Flow::Done, ended) => ended,
            (first, _) => first,
        }
    }

    /// The steps of a `@try`, and after a failure its `@catch`.
    fn body(&mut self, body: Vec<usize>, catch: Option<usize>, scope: Scope<'_>) -> Flow {
        let caught = self.before(catch);
        let flow = match caught {
            Some(flow) => flow,
            None => self.block(body, scope),
        };
        let (Flow::Failed(failure), Some(catch)) = (flow, catch) else { return flow };
        if caught.is_none() {
            self.shared.note(|| Event::Catch { at: self.shared.at(catch), because: self.shared.because(flow) });
        }
        // A failure in `catch` never hides the first one.
        match self.block(self.shared.tree().executing(Some(catch)).collect(), scope) {
            Flow::Done => {
                locked(&self.shared.tally).handled(failure);
                Flow::Done
            }
            Flow::Failed(_) => flow,
            stopped => stopped,
        }
    }

    fn detach(&mut self, index: usize, inside: Vec<usize>, scope: Scope<'_>) -> Flow {
        // What it kept alive in an earlier part of the run has ended with its block.
        if self.shared.begun(index) {
            return self.block(inside, scope);
        }
        let (lane, stop) = match (self.shared.lane(), EventFd::from_flags(EfdFlags::EFD_CLOEXEC)) {
            (Ok(lane), Ok(stop)) => (lane, Arc::new(stop)),
            (Err(error), _) => return self.failed(index, FailureCause::Watcher(error.to_string()), b"", Duration::ZERO),
            (_, Err(errno)) => return self.failed(index, FailureCause::Watcher(errno.desc().to_owned()), b"", Duration::ZERO),
        };
        let lane = self.lane.replace(lane);
        let keep = std::mem::replace(&mut self.keep, true);
        self.shared.note(|| Event::Detach { at: self.shared.at(index) });
        let flow = self.block(inside, scope);
        self.keep = keep;
        let Some(mut detached) = std::mem::replace(&mut self.lane, lane) else { return flow };
        let mut scrubbers = Scrubbers::new(self.shared);
        let to = Arc::clone(&self.to);
        let until = Arc::clone(&stop);
        let pump = std::thread::Builder::new().name("detached".to_owned()).spawn(move || {
            let mut sink = StepSink { node: index, to: &*to, scrubbers: &mut scrubbers, capture: None, tail: Vec::new() };
            let alive = detached.pump(std::os::fd::AsFd::as_fd(&*until), &mut sink).is_ok();
            (detached, scrubbers, alive)
        });
        match pump {
            Ok(pump) => self.detached.push(Detached { stop, pump, node: index }),
            Err(error) => return self.failed(index, FailureCause::Watcher(error.to_string()), b"", Duration::ZERO),
        }
        flow
    }

    /// Ends what `@detach` kept alive.
    fn end_detached(&mut self, detached: Detached) {
        let Detached { stop, pump, node } = detached;
        let _ = stop.write(1);
        let Ok((mut lane, mut scrubbers, true)) = pump.join() else { return };
        let mut sink = StepSink { node, to: &*self.to, scrubbers: &mut scrubbers, capture: None, tail: Vec::new() };
        let limits = Limits { deadline: None, signals: Some(&self.shared.signals), seen: Phase::Cancel, grace: self.shared.options.grace };
        let ended = lane.end(&limits, &mut sink);
        let _ = sink.finish();
        if let Ok(outcome) = ended {
            self.left(node, outcome.survivors, false);
            self.shared.give_back(lane);
        }
    }

    /// The arguments for a parameter: of one that takes an Array, its elements.
    pub(super) fn args(&self, node: &Node, param: u8) -> impl Iterator<Item = &'p Arg> + use<'p> {
        self.shared.plan.steps.view().args_of(node).iter().filter(move |arg| arg.param == param)
    }

    pub(super) fn arg(&self, node: &Node, param: u8) -> Option<&'p Arg> {
        self.args(node, param).next()
    }

    /// A scalar argument: written in the plan, or the value of a slot.
    pub(super) fn scalar(&self, node: &Node, param: u8) -> Option<Scalar> {
        self.scalar_of(self.arg(node, param)?)
    }

    fn scalar_of(&self, arg: &Arg) -> Option<Scalar> {
        if let Some(slot) = arg.slot.to_native().checked_sub(1) {
            return self.shared.plan.values.get(usize::try_from(slot).ok()?)?.clone();
        }
        let scalar = arg.scalar();
        Some(match ValueType::from_number(arg.value_type)? {
            ValueType::Int => Scalar::Int(scalar),
            ValueType::Float => Scalar::Float(f64::from_bits(scalar.cast_unsigned())),
            ValueType::Bool => Scalar::Bool(scalar != 0),
            ValueType::Duration => Scalar::Duration(scalar),
            _ => return None,
        })
    }

    fn int(&self, node: &Node, param: u8) -> Option<i64> {
        self.int_of(self.arg(node, param)?)
    }

    fn int_of(&self, arg: &Arg) -> Option<i64> {
        match self.scalar_of(arg)? {
            Scalar::Int(int) => Some(int),
            _ => None,
        }
    }

    fn number(&self, node: &Node, param: u8) -> Option<f64> {
        match self.scalar(node, param)? {
            Scalar::Int(int) => Some(int as f64),
            Scalar::Float(float) => Some(float),
            _ => None,
        }
    }

    /// A duration; a negative one is zero.
    fn duration(&self, node: &Node, param: u8) -> Duration {
        match self.scalar(node, param) {
            Some(Scalar::Duration(nanoseconds)) => Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(0)),
            _ => Duration::ZERO,
        }
    }
}

impl Drop for Worker<'_, '_> {
    fn drop(&mut self) {
        if let Some(lane) = self.lane.take() {
            self.shared.give_back(lane);
        }
    }
}

/// A random number from 0 to 1; 0 where the system has none.
fn chance() -> f64 {
    let mut bytes = [0; 4];
    match getrandom::fill(&mut bytes) {
        Ok(()) => f64::from(u32::from_ne_bytes(bytes)) / f64::from(u32::MAX),
        Err(_) => 0.0,
    }
}

/// A path without `.` and with `..` taken off the name before it, as `cd` does.
fn settled(path: &Path) -> PathBuf {
    use std::path::Component;
    let mut out = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir if out.file_name().is_some() => {
                out.pop();
            }
            Component::ParentDir => {}
            other => out.push(other),
        }
    }
    out
}
