//! The events of a run (spec/record.md, "Events"): what `events.jsonl` of a record and the stream of `--json` hold, and `summary.json` with them. This is
//! the one place that writes them as JSON and the one that reads them.
//!
//! Names, and what stands under them, are a public contract (`spec/schemas/events.json`). A later minor version may add events and fields, and a reader skips
//! both; an event that is known and lacks a field, or has something else under its name, was written by no version.
//!
//! What is made here is not scrubbed: `opal_exec::clean` does that on the way out, over every text.
//!
//! Tests: `tests/tests/events.rs`, with events of every kind; `tests/fuzz/host.rs`.

use opal_format::record::Span;
use serde::{Deserialize, Serialize};

use crate::show::json_line;

/// An event, as one JSON object on one line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The first of a record.
    Record(Head),
    /// A record goes on.
    Resumed {
        /// Steps that ran in the earlier parts of the run.
        steps_before: usize,
    },
    /// The first of a run, or of a part of it.
    RunStarts(RunStarts),
    /// A step starts.
    StepStarts {
        /// The step.
        #[serde(flatten)]
        at: At,
    },
    /// A step has ended.
    StepDone {
        /// The step.
        #[serde(flatten)]
        at: At,
        /// How.
        #[serde(flatten)]
        came: Came,
        /// The exit status of its process.
        exit: Option<i32>,
        /// The signal that ended its process.
        signal: Option<i32>,
        /// Who ended it.
        stopped: Option<Stop>,
        /// How long it took.
        elapsed_ms: u64,
    },
    /// A block that counts as one step starts.
    BlockStarts {
        /// The block.
        #[serde(flatten)]
        at: At,
    },
    /// A block has ended.
    BlockDone {
        /// The block.
        #[serde(flatten)]
        at: At,
        /// How.
        #[serde(flatten)]
        came: Came,
    },
    /// A runtime binding holds something now.
    Binding {
        /// Its step.
        #[serde(flatten)]
        at: At,
        /// Its name.
        name: String,
        /// What it holds, sealed; empty where nobody could open it, `None` where it was too long.
        sealed: Option<String>,
        /// Why it holds nothing.
        #[serde(skip_serializing_if = "Option::is_none")]
        cause: Option<String>,
    },
    /// A `@retry` begins an attempt.
    Attempt {
        /// The block.
        #[serde(flatten)]
        at: At,
        /// Which, from 1.
        attempt: i64,
        /// Of so many.
        of: i64,
    },
    /// A `@catch` begins.
    Catch {
        /// The block.
        #[serde(flatten)]
        at: At,
        /// What it deals with.
        #[serde(flatten)]
        because: Because,
    },
    /// A `@finally` begins.
    Finally {
        /// The block.
        #[serde(flatten)]
        at: At,
        /// What came before it.
        after: Ending,
        /// And the failure, if that failed.
        #[serde(flatten)]
        because: Because,
    },
    /// The time of a `@timeout` is up.
    Timeout {
        /// The block.
        #[serde(flatten)]
        at: At,
    },
    /// A `@detach` begins.
    Detach {
        /// The block.
        #[serde(flatten)]
        at: At,
    },
    /// What a `@detach` kept alive has been ended.
    DetachEnded {
        /// The block.
        #[serde(flatten)]
        at: At,
        /// How the block around it ended.
        after: Ending,
    },
    /// A `|>` has put something out.
    Transformed {
        /// The block.
        #[serde(flatten)]
        at: At,
        /// How much.
        bytes: usize,
    },
    /// Output of a step; in the stream alone, never in a record.
    Output {
        /// Path of the step.
        path: String,
        /// Where it wrote.
        stream: Stream,
        /// What.
        #[serde(flatten)]
        bytes: Bytes,
    },
    /// The last of a run, or of a part of it.
    RunDone(Done),
}

/// The node that an event is of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct At {
    /// Its number, in pre-order.
    pub node: usize,
    /// Its path.
    pub path: String,
}

/// What a part of a plan came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// It ended well.
    Done,
    /// It failed.
    Failed,
    /// The time of a block around it was up.
    TimedOut,
    /// The run was stopped.
    Stopped,
}

/// How a step or block ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Came {
    /// In one word.
    pub result: Ending,
    /// Why it failed.
    pub cause: Option<String>,
    /// Its exit status as a shell would see it.
    pub status: Option<i64>,
}

/// Which failure it was.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Because {
    /// The number of the node that failed.
    pub failed: Option<usize>,
    /// Why it failed.
    pub cause: Option<String>,
    /// Its exit status as a shell would see it.
    pub status: Option<i64>,
}

/// Who ended a step before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stop {
    /// A limit of time.
    Timeout,
    /// A signal that stops the run.
    Cancelled,
    /// A signal that stops it at once.
    Killed,
    /// Its output could not be passed on.
    OutputLost,
}

impl Stop {
    /// In words.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Cancelled => "cancelled",
            Self::Killed => "killed",
            Self::OutputLost => "output lost",
        }
    }
}

/// A stream of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// Output as JSON can hold it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bytes {
    /// Where it is UTF-8.
    Text(String),
    /// Where it is not.
    Hex(String),
}

impl From<&[u8]> for Bytes {
    fn from(bytes: &[u8]) -> Self {
        std::str::from_utf8(bytes).map_or_else(|_| Self::Hex(crate::hex::encode(bytes)), |text| Self::Text(text.to_owned()))
    }
}

/// What the documents of a run are called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Schema {
    /// Events.
    #[serde(rename = "opal/events/v1")]
    Events,
    /// A summary.
    #[serde(rename = "opal/summary/v1")]
    Summary,
}

/// What a record begins with: all that a run which goes on is verified against.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// [`Schema::Events`].
    pub schema: Schema,
    /// Name of the run.
    pub run_id: String,
    /// When it started.
    pub started: String,
    /// The contract; `None` for a direct run.
    pub contract_hash: Option<String>,
    /// The work.
    pub plan_hash: String,
    /// Whether [`Head::accepted_drift`] is anything.
    pub forced: bool,
    /// The drift that `--force` accepted.
    pub accepted_drift: Option<Vec<AcceptedDrift>>,
    /// The commitments to all values, by slot.
    pub values: Vec<String>,
    /// The directory that relative paths start from.
    pub base: String,
    /// The same to the byte, sealed: a secret in it is replaced above. `None` for a direct run.
    pub base_sealed: Option<String>,
    /// Path at which a partial run begins.
    pub from: Option<String>,
    /// What steps get of the caller's environment.
    pub environment: String,
}

/// One value that is another than the contract's, and was accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcceptedDrift {
    /// Its key.
    pub key: String,
    /// The code of the drift.
    pub code: String,
    /// Id of the contract's value.
    pub was: Option<String>,
    /// Id of the value here.
    pub now: Option<String>,
}

/// Which run it is, and where it began.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Which {
    /// Its name.
    pub run_id: String,
    /// The same, where it goes on with an earlier part of itself.
    pub resumed_from: Option<String>,
    /// Steps that ran in the earlier parts.
    pub steps_before: usize,
    /// Whether it began in the middle.
    pub partial: bool,
    /// Path at which it began then.
    pub from: Option<String>,
    /// Steps before that.
    pub steps_skipped: usize,
}

/// What is said when a run starts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunStarts {
    /// [`Schema::Events`].
    pub schema: Schema,
    /// Steps of the plan.
    pub steps: usize,
    /// Which run it is.
    #[serde(flatten)]
    pub which: Which,
    /// Whether [`RunStarts::accepted_drift`] is anything.
    pub forced: bool,
    /// The drift that `--force` accepted.
    pub accepted_drift: Option<Vec<AcceptedDrift>>,
}

/// How a run ended, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// All that was to run did.
    Succeeded,
    /// A failure ended it.
    Failed,
    /// A signal ended it.
    Cancelled,
    /// Its output could not be passed on.
    OutputLost,
    /// Its record could not be written.
    RecordLost,
}

/// Whether anything was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effects {
    /// Nothing.
    None,
    /// A step.
    Started,
}

/// What a run, or a part of it, came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// In one word.
    pub outcome: Outcome,
    /// Which signal, or why something was lost.
    pub detail: Option<String>,
    /// Whether anything was started.
    pub effects: Effects,
    /// The exit status.
    pub exit: u8,
    /// Steps that ran to their end, each counted once.
    pub steps_done: usize,
    /// Steps of the plan.
    pub steps_total: usize,
    /// Every failure, in the order in which they happened.
    pub failures: Vec<Failure>,
    /// Processes that steps left running.
    pub left_running: Vec<LeftRunning>,
    /// Paths of `@finally` blocks that ran after a failure or a stop.
    pub cleaned_up: Vec<String>,
    /// Paths of blocks whose cleanup was skipped or cut short.
    pub cleanup_skipped: Vec<String>,
    /// How long it took.
    pub elapsed_ms: u64,
    /// Whether it can be gone on with.
    pub resumable: bool,
    /// Which run it is.
    #[serde(flatten)]
    pub which: Which,
}

/// A step that failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Its path; empty for the whole run.
    pub path: String,
    /// Where it stands in the source.
    pub span: Place,
    /// Its command, with placeholders.
    pub command: String,
    /// Why it failed.
    pub cause: String,
    /// The last of what it wrote to standard error.
    pub stderr: String,
    /// Whether something dealt with it.
    pub handled: bool,
    /// The rules that confined it.
    pub confined_by: Vec<Confined>,
    /// Whether what it said reads as if a rule had denied it something.
    pub denial_likely: bool,
    /// How long it took.
    pub elapsed_ms: u64,
    /// Whether it ended the run.
    pub first_cause: bool,
}

/// A place in the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The first byte.
    pub start: u32,
    /// The byte behind it.
    pub end: u32,
    /// The line, from 1; 0 where there is no place.
    pub line: u32,
    /// The column in characters, from 1.
    pub column: u32,
}

impl From<&Span> for Place {
    fn from(span: &Span) -> Self {
        Self { start: span.start.to_native(), end: span.end.to_native(), line: span.line.to_native(), column: span.column.to_native() }
    }
}

/// A rule that confined a step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confined {
    /// Its name.
    pub rule: String,
    /// Where it stands in the source; 0 for policy.
    pub line: u32,
    /// Its column.
    pub column: u32,
}

/// A process that a step left running.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftRunning {
    /// Path of the step.
    pub path: String,
    /// Its name.
    pub name: String,
    /// Its number.
    pub pid: i32,
    /// Whether it is gone.
    pub ended: bool,
}

/// What `summary.json` holds: the end of a run, with what its record begins with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// [`Schema::Summary`].
    pub schema: Schema,
    /// How it ended, and which run it was.
    #[serde(flatten)]
    pub done: Done,
    /// When it started.
    pub started: String,
    /// When it ended.
    pub ended: String,
    /// The contract; `None` for a direct run.
    pub contract_hash: Option<String>,
    /// The work.
    pub plan_hash: String,
    /// Whether [`Summary::accepted_drift`] is anything.
    pub forced: bool,
    /// The drift that `--force` accepted.
    pub accepted_drift: Option<Vec<AcceptedDrift>>,
    /// What steps got of the caller's environment.
    pub environment: String,
}

impl Summary {
    /// The summary of the run whose record begins with `head`.
    #[must_use]
    pub fn of(head: &Head, done: Done, ended: String) -> Self {
        let head = head.clone();
        Self {
            schema: Schema::Summary,
            done,
            started: head.started,
            ended,
            contract_hash: head.contract_hash,
            plan_hash: head.plan_hash,
            forced: head.forced,
            accepted_drift: head.accepted_drift,
            environment: head.environment,
        }
    }

    /// Reads a summary.
    ///
    /// # Errors
    /// [`Unreadable`].
    pub fn read(text: &[u8]) -> Result<Self, Unreadable> {
        serde_json::from_slice(text).map_err(|_| Unreadable)
    }
}

/// It is no event, or none that any version writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is no event of a run")]
pub struct Unreadable;

impl Event {
    /// The names of all events.
    pub const NAMES: [&'static str; 17] = [
        "record",
        "resumed",
        "run_starts",
        "step_starts",
        "step_done",
        "block_starts",
        "block_done",
        "binding",
        "attempt",
        "catch",
        "finally",
        "timeout",
        "detach",
        "detach_ended",
        "transformed",
        "output",
        "run_done",
    ];

    /// Reads a line. `None` stands for an event of a later version, which says nothing to this one.
    ///
    /// # Errors
    /// [`Unreadable`].
    pub fn read(line: &[u8]) -> Result<Option<Self>, Unreadable> {
        #[derive(Deserialize)]
        struct Named {
            event: String,
        }
        let Named { event } = serde_json::from_slice(line).map_err(|_| Unreadable)?;
        if !Self::NAMES.contains(&event.as_str()) {
            return Ok(None);
        }
        serde_json::from_slice(line).map(Some).map_err(|_| Unreadable)
    }

    /// The event as a line, without its line end.
    #[must_use]
    pub fn line(&self) -> String {
        json_line(self)
    }

    /// The node that it is of.
    #[must_use]
    pub const fn at(&self) -> Option<&At> {
        match self {
            Self::StepStarts { at }
            | Self::StepDone { at, .. }
            | Self::BlockStarts { at }
            | Self::BlockDone { at, .. }
            | Self::Binding { at, .. }
            | Self::Attempt { at, .. }
            | Self::Catch { at, .. }
            | Self::Finally { at, .. }
            | Self::Timeout { at }
            | Self::Detach { at }
            | Self::DetachEnded { at, .. }
            | Self::Transformed { at, .. } => Some(at),
            Self::Record(_) | Self::Resumed { .. } | Self::RunStarts(_) | Self::Output { .. } | Self::RunDone(_) => None,
        }
    }
}
