//! What a run comes to.
//!
//! Read for: everything in the process that runs a contract.

use std::borrow::Cow;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use nix::errno::Errno;
use opal_core::code::Code;
use opal_format::record::Span;

use opal_core::event;

use crate::supervise::lane::Ended;
use crate::supervise::signals::First;
use crate::supervise::watcher::Process;

/// How a run ended.
#[derive(Debug)]
pub enum Outcome {
    /// All steps that were to run did, or their failures were handled.
    Succeeded,
    /// This one of the failures ended it.
    Failed(usize),
    /// A signal ended it.
    Cancelled(First),
    /// Its output could not be passed on.
    OutputLost(io::Error),
    /// Its record could not be written.
    RecordLost(io::Error),
    /// It was being stopped when the VM died; what was left to clean up is done now.
    Interrupted,
}

/// Why a step failed.
#[derive(Debug)]
pub enum FailureCause {
    /// Its process ended like this, or could not be started.
    Ended(Ended),
    /// Its time was up.
    Timeout(Duration),
    /// Its directory is not there.
    NoDirectory(PathBuf, Errno),
    /// What a runtime binding was to hold cannot be handed to a process: longer than that many bytes.
    BindingTooLong(usize),
    /// An operation of a pipeline got other output than it needs. Both texts are for people: escaped, with placeholders.
    Unexpected {
        /// What it needs.
        expected: String,
        /// The start of what it got.
        actual: String,
    },
    /// A pipeline got more than that many bytes.
    OutputTooLong(usize),
    /// What it wrote could not be put through the operations of its pipeline: why.
    NotEvaluated(&'static str),
    /// It could not be watched, so it was not started, or its end is unknown.
    Watcher(String),
    /// A place that its rule lists is not there.
    NoPlace(PathBuf, io::Error),
    /// A place that its rule lists holds a private key of this user.
    KeyListed(PathBuf),
    /// The rules that it was to run under could not be put on it, so it was not started.
    NotConfined(String),
    /// A runtime binding would make one of its redirections open a network connection.
    NetworkRedirect,
    /// A value that it needs is missing: a defect of the planner.
    NoValue,
    /// It is an operation outside of a pipeline: a defect of the planner.
    Misplaced,
    /// It failed in an earlier part of the run, for this reason, with this exit status.
    Earlier(String, Option<i64>),
}

impl FailureCause {
    /// The code of a run that ends with it.
    #[must_use]
    pub const fn code(&self) -> Code {
        match self {
            Self::NotEvaluated(_) => Code::NotEvaluated,
            _ => Code::StepFailed,
        }
    }
}

impl std::fmt::Display for FailureCause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Ended(Ended::Exit(code)) => write!(f, "exit status {code}"),
            Self::Ended(Ended::Signal(number)) => match nix::sys::signal::Signal::try_from(*number) {
                Ok(signal) => write!(f, "ended by signal {number} ({signal})"),
                Err(_) => write!(f, "ended by signal {number}"),
            },
            Self::Ended(Ended::NoProgram(errno)) => write!(f, "cannot be started: {}", errno.desc().to_lowercase()),
            Self::Ended(Ended::NoDirectory(errno)) => write!(f, "cannot enter its directory: {}", errno.desc().to_lowercase()),
            Self::Timeout(limit) => {
                write!(f, "not done after {}", opal_core::duration::format(i64::try_from(limit.as_nanos()).unwrap_or(i64::MAX)))
            }
            Self::NoDirectory(path, errno) => {
                let path = opal_core::show::escape(path.as_os_str().as_encoded_bytes(), false);
                write!(f, "cannot enter `{path}`: {}", errno.desc().to_lowercase())
            }
            Self::BindingTooLong(limit) => write!(f, "its value is longer than {limit} bytes"),
            Self::Unexpected { expected, actual } => write!(f, "expected {expected}, got {actual}"),
            Self::OutputTooLong(limit) => write!(f, "its output is longer than {limit} bytes"),
            Self::NotEvaluated(why) => write!(f, "its output could not be evaluated: {why}"),
            Self::Watcher(what) => f.write_str(what),
            Self::NoPlace(path, error) => {
                let path = opal_core::show::escape(path.as_os_str().as_encoded_bytes(), false);
                write!(f, "cannot allow `{path}`: {}", opal_core::plan::os_reason(error))
            }
            Self::KeyListed(key) => {
                let key = opal_core::show::escape(key.as_os_str().as_encoded_bytes(), false);
                write!(f, "its list holds `{key}`, a private key of this user")
            }
            Self::NotConfined(why) => write!(f, "not started, since it cannot be confined: {why}"),
            Self::NetworkRedirect => f.write_str("a runtime binding is a `/dev/tcp` or `/dev/udp` name in a redirection"),
            Self::NoValue => f.write_str("a value that it needs is missing (a bug in opal-vm)"),
            Self::Misplaced => f.write_str("an operation stands outside of a pipeline (a bug in opal-vm)"),
            Self::Earlier(cause, _) => write!(f, "{cause}, before the run was resumed"),
        }
    }
}

/// What a rule that confined a step is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfinedBy {
    /// `@isolated.network`, or `policy sandbox.network`.
    pub rule: String,
    /// Where it stands in the source; [`Span::NONE`] for policy.
    pub span: Span,
}

impl ConfinedBy {
    fn told(&self) -> event::Confined {
        event::Confined { rule: self.rule.clone(), line: self.span.line.to_native(), column: self.span.column.to_native() }
    }

    pub(super) fn to_text(&self, source: &str) -> String {
        match self.span.line.to_native() {
            0 => self.rule.clone(),
            line => format!("{} ({source}:{line}:{})", self.rule, self.span.column.to_native()),
        }
    }
}

/// A step that failed.
#[derive(Debug)]
pub struct StepFailure {
    /// Its node; `None` where the whole run timed out.
    pub node: Option<usize>,
    /// Its path; empty for the whole run.
    pub path: String,
    /// Where it stands in the source.
    pub span: Span,
    /// Its command, with placeholders.
    pub command: String,
    /// Why it failed.
    pub cause: FailureCause,
    /// The last of what it wrote to stderr; in a report scrubbed by what is known then. No text is made of it before: a value need not be one.
    pub stderr: Vec<u8>,
    /// The rules that confined it, the policy's first, then blocks from the outside in.
    pub confined_by: Vec<ConfinedBy>,
    /// How long it took.
    pub elapsed: Duration,
    /// Whether something dealt with it: a `catch`, another attempt, `||`, `tolerate`.
    pub handled: bool,
    /// The failure that this one is reported with: its own number, or that of the first in its `@parallel`.
    pub(super) group: usize,
}

impl StepFailure {
    fn said(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.stderr)
    }

    /// Whether what a confined step said reads as if a rule had denied it something. A guess from its words.
    #[must_use]
    pub fn denial_likely(&self) -> bool {
        const SIGNS: [&str; 4] = ["permission denied", "not permitted", "could not resolve", "name resolution"];
        let said = self.said().to_ascii_lowercase();
        !self.confined_by.is_empty() && SIGNS.iter().any(|sign| said.contains(sign))
    }
}

/// A process that a step left running.
#[derive(Debug)]
pub struct Left {
    /// Path of the step.
    pub path: String,
    /// The process.
    pub process: Process,
    /// Whether it is gone. One that is not could not be killed.
    pub ended: bool,
}

/// What is said about a run.
#[derive(Clone, Debug, Default)]
pub struct Labels {
    /// Its name.
    pub run_id: String,
    /// Whether its record allows to go on with it, unless it succeeds.
    pub resumable: bool,
    /// Whether it goes on with an earlier part of itself.
    pub resumed: bool,
    /// Steps that ran in the earlier parts.
    pub steps_before: usize,
    /// Path at which a partial run begins.
    pub from: Option<String>,
    /// Steps before it.
    pub steps_skipped: usize,
}

impl Labels {
    pub(super) fn which(&self) -> event::Which {
        event::Which {
            run_id: self.run_id.clone(),
            resumed_from: self.resumed.then(|| self.run_id.clone()),
            steps_before: self.steps_before,
            partial: self.from.is_some(),
            from: self.from.clone(),
            steps_skipped: self.steps_skipped,
        }
    }

    pub(super) fn effects_text(&self) -> String {
        let mut text = String::new();
        if self.resumed {
            text.push_str(&format!(", {} of them before it was resumed", self.steps_before));
        }
        if let Some(from) = &self.from {
            text.push_str(&format!("; partial: it began at {from}, and {} before it were skipped", self.steps_skipped));
        }
        text
    }
}

/// What happened in a run.
#[derive(Debug)]
pub struct RunReport {
    /// How it ended.
    pub outcome: Outcome,
    /// Whether any step was started.
    pub effects: bool,
    /// Steps that ran to their end, each counted once.
    pub steps_done: usize,
    /// Steps of the plan.
    pub steps_total: usize,
    /// Every failure, in the order in which they happened.
    pub failures: Vec<StepFailure>,
    /// Processes that steps left running.
    pub left: Vec<Left>,
    /// Paths of `@try` blocks whose cleanup was skipped because the run was killed, and of `@finally` blocks that it cut short.
    pub cleanup_skipped: Vec<String>,
    /// Paths of `@finally` blocks that ran after the run was stopped or had failed.
    pub cleaned_up: Vec<String>,
    /// Whether standard error is in the middle of a line that a step has begun.
    pub mid_line: bool,
    /// How long it took.
    pub elapsed: Duration,
    /// Which run it was, and where it began.
    pub about: Labels,
}

impl RunReport {
    /// The exit status, where no signal ends the process.
    #[must_use]
    pub fn exit(&self) -> u8 {
        match &self.outcome {
            Outcome::Succeeded => 0,
            Outcome::Failed(_) | Outcome::Interrupted => 1,
            Outcome::Cancelled(first) => first.exit(),
            Outcome::OutputLost(_) | Outcome::RecordLost(_) => 74,
        }
    }

    /// `nothing was run`, or how far the run came.
    #[must_use]
    pub fn effects_text(&self) -> String {
        let text = match (self.effects, &self.outcome) {
            (false, _) => "nothing was run".to_owned(),
            (true, Outcome::Succeeded) => format!("{} of {} steps ran", self.steps_done, self.steps_total),
            (true, _) => format!("stopped after {} of {} steps", self.steps_done, self.steps_total),
        };
        text + &self.about.effects_text()
    }

    /// For machines.
    #[must_use]
    pub fn done(&self) -> event::Done {
        let (outcome, detail) = match &self.outcome {
            Outcome::Succeeded => (event::Outcome::Succeeded, None),
            Outcome::Failed(_) => (event::Outcome::Failed, None),
            Outcome::Cancelled(first) => (event::Outcome::Cancelled, Some(first.signal.as_str().to_owned())),
            Outcome::OutputLost(error) => (event::Outcome::OutputLost, Some(opal_core::plan::os_reason(error))),
            Outcome::RecordLost(error) => (event::Outcome::RecordLost, Some(opal_core::plan::os_reason(error))),
            Outcome::Interrupted => (event::Outcome::Cancelled, Some("before the run was resumed".to_owned())),
        };
        let cause = if let Outcome::Failed(cause) = self.outcome { Some(cause) } else { None };
        let failures = self.failures.iter().enumerate().map(|(number, failure)| event::Failure {
            path: failure.path.clone(),
            span: (&failure.span).into(),
            command: failure.command.clone(),
            cause: failure.cause.to_string(),
            stderr: failure.said().into_owned(),
            handled: failure.handled,
            confined_by: failure.confined_by.iter().map(ConfinedBy::told).collect(),
            denial_likely: failure.denial_likely(),
            elapsed_ms: millis(failure.elapsed),
            first_cause: cause == Some(number),
        });
        let left = self.left.iter().map(|left| event::LeftRunning {
            path: left.path.clone(),
            name: left.process.name.clone(),
            pid: left.process.pid,
            ended: left.ended,
        });
        event::Done {
            outcome,
            detail,
            effects: if self.effects { event::Effects::Started } else { event::Effects::None },
            exit: self.exit(),
            steps_done: self.steps_done,
            steps_total: self.steps_total,
            failures: failures.collect(),
            left_running: left.collect(),
            cleaned_up: self.cleaned_up.clone(),
            cleanup_skipped: self.cleanup_skipped.clone(),
            elapsed_ms: millis(self.elapsed),
            resumable: self.is_resumable(),
            which: self.about.which(),
        }
    }

    /// Whether the run can be gone on with.
    #[must_use]
    pub fn is_resumable(&self) -> bool {
        self.about.resumable && !matches!(self.outcome, Outcome::Succeeded | Outcome::RecordLost(_))
    }

    /// The failures as text for a person: the first cause in full, the others in a line each. `source` names the source file.
    #[must_use]
    pub fn failures_text(&self, source: &str) -> String {
        use std::fmt::Write as _;
        let mut out = String::new();
        let cause = if let Outcome::Failed(cause) = self.outcome { Some(cause) } else { None };
        let place = |failure: &StepFailure| match failure.span.line.to_native() {
            0 => String::new(),
            line => format!(" ({source}:{line}:{})", failure.span.column.to_native()),
        };
        if let Some(failure) = cause.and_then(|cause| self.failures.get(cause)) {
            let name = if failure.path.is_empty() { "the run".to_owned() } else { format!("step {}", failure.path) };
            let _ = writeln!(out, "error[{}]: {name} failed: {}", failure.cause.code(), failure.cause);
            if failure.span.line.to_native() != 0 {
                let _ = writeln!(out, "  --> {source}:{}:{}", failure.span.line.to_native(), failure.span.column.to_native());
            }
            if failure.node.is_some() {
                let _ = writeln!(out, "  command: {}", failure.command.replace('\n', "\n           "));
            } else {
                let _ = writeln!(out, "  limit:   `run.timeout` of this host's policy");
            }
            let _ = writeln!(out, "  took:    {}", shown(failure.elapsed));
            if !failure.confined_by.is_empty() {
                let rules: Vec<String> = failure.confined_by.iter().map(|rule| rule.to_text(source)).collect();
                let _ = writeln!(out, "  ran under: {}", rules.join(", "));
            }
            let stderr = opal_core::show::escape(&failure.stderr, true);
            let lines: Vec<&str> = stderr.lines().collect();
            for line in lines.iter().skip(lines.len().saturating_sub(10)) {
                let _ = writeln!(out, "  stderr:  {line}");
            }
            if matches!(failure.cause, FailureCause::Ended(Ended::Exit(126 | 127))) {
                let _ = writeln!(
                    out,
                    "help: a program could not be started: see that it is in `PATH` (`command -v PROGRAM`) or may be executed (`ls -l FILE`), and that what its first line names is there (`head -1 FILE`)"
                );
            }
            if failure.denial_likely() {
                let _ = writeln!(out, "help: this reads like a denial: see whether one of the rules that it ran under has to allow it");
            }
        }
        for path in &self.cleaned_up {
            let _ = writeln!(out, "  cleaned up: {path}");
        }
        for path in &self.cleanup_skipped {
            let _ = writeln!(out, "warning: cleanup was skipped or cut short: {path}");
        }
        for (number, failure) in self.failures.iter().enumerate() {
            if Some(number) != cause && !failure.handled {
                let _ = writeln!(out, "also: step {}{} failed: {}", failure.path, place(failure), failure.cause);
            }
        }
        out
    }

    pub(super) fn record_lost(mut self, error: io::Error) -> Self {
        if matches!(self.outcome, Outcome::Succeeded | Outcome::Failed(_)) {
            self.outcome = Outcome::RecordLost(error);
        }
        self
    }
}

/// A length of time as events have it.
pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// A duration for people: to the millisecond.
fn shown(duration: Duration) -> String {
    opal_core::duration::format(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX).saturating_mul(1_000_000))
}
