//! What a person is told of a run while it goes on.
//!
//! Read for: everything in the process that runs a contract.

use std::collections::HashSet;
use std::fmt::Debug;
use std::io;
use std::sync::{Mutex, PoisonError};

use crate::clean::Clean;
use crate::supervise::lane::Stream;
use opal_core::event::{Came, Ending, Event};
use opal_core::plan::Plan;

/// An event of a run, for whoever follows it.
pub struct Told<'a> {
    /// The event, not scrubbed.
    pub event: &'a Event,
    /// The command of its step: with placeholders, scrubbed, control characters escaped; may have several lines.
    pub text: &'a dyn Fn() -> String,
    /// The plan that runs.
    pub plan: &'a Plan,
}

/// Follows a run. Calls come from the threads of all branches. The first event is `run_starts`, the last is `run_done`.
pub trait Progress: Send + Sync + Debug {
    /// Takes note of an event, and gives a line to say on stderr, if any.
    fn event(&self, told: &Told<'_>) -> Option<String>;

    /// Has output of the run written to one of its streams by `write`, with other things before and after it. `mid_line` says that it ends in the middle
    /// of a line.
    ///
    /// # Errors
    /// Those of `write`.
    fn output(&self, _: Stream, _mid_line: bool, write: &mut dyn FnMut(&Clean, &Clean) -> io::Result<()>) -> io::Result<()> {
        write(&Clean::default(), &Clean::default())
    }
}

/// Characters of a command that are shown.
const LINE_MAX: usize = 400;

/// A line for each step that ends.
#[derive(Debug, Default)]
pub struct Lines {
    color: bool,
    count: Mutex<Count>,
}

#[derive(Debug, Default)]
struct Count {
    total: u64,
    /// Done before, in runs that this one goes on with, or skipped.
    before: u64,
    done: HashSet<usize>,
}

impl Count {
    fn done(&self) -> u64 {
        let here = u64::try_from(self.done.len()).unwrap_or(u64::MAX);
        here.saturating_add(self.before).min(self.total)
    }
}

impl Lines {
    /// Lines, in colour or not.
    #[must_use]
    pub fn new(color: bool) -> Self {
        Self { color, ..Self::default() }
    }

    /// How many steps have ended, each counted once, and how many there are.
    #[must_use]
    pub fn counted(&self) -> (u64, u64) {
        let count = self.count.lock().unwrap_or_else(PoisonError::into_inner);
        (count.done(), count.total)
    }
}

impl Progress for Lines {
    fn event(&self, told: &Told<'_>) -> Option<String> {
        let mut count = self.count.lock().unwrap_or_else(PoisonError::into_inner);
        if let Event::RunStarts(starts) = told.event {
            let number = |number| u64::try_from(number).unwrap_or(u64::MAX);
            count.total = number(starts.steps);
            count.before = number(starts.which.steps_before.saturating_add(starts.which.steps_skipped));
        }
        let Event::StepDone { at, came: Came { result, cause, .. }, stopped, elapsed_ms, .. } = told.event else { return None };
        if matches!(result, Ending::Done | Ending::Failed) {
            count.done.insert(at.node);
        }
        let why = stopped.map(|stop| stop.name().to_owned()).or_else(|| cause.clone());
        let why = match result {
            Ending::Done => None,
            Ending::Failed => Some(why.unwrap_or_else(|| "failed".to_owned())),
            Ending::TimedOut => Some(why.unwrap_or_else(|| "timed out".to_owned())),
            Ending::Stopped => Some(why.unwrap_or_else(|| "stopped".to_owned())),
        };
        let mark = if why.is_none() { "✓" } else { "✗" };
        let took = opal_core::duration::format(i64::try_from(*elapsed_ms).unwrap_or(i64::MAX).saturating_mul(1_000_000));
        let took = why.map_or_else(|| took.clone(), |why| format!("{why} after {took}"));
        let (done, total, text) = (count.done(), count.total, first_line(&(told.text)(), LINE_MAX));
        let line = format!("{mark} {done}/{total} {} ({took}) {text}", at.path);
        Some(if self.color { painted(&line) } else { line })
    }
}

/// The line of a step that has ended, its mark in colour.
#[must_use]
pub fn painted(line: &str) -> String {
    match (line.strip_prefix('✓'), line.strip_prefix('✗')) {
        (Some(rest), _) => format!("\x1b[32m✓\x1b[0m{rest}"),
        (_, Some(rest)) => format!("\x1b[31m✗\x1b[0m{rest}"),
        _ => line.to_owned(),
    }
}

/// The first line of a text, of at most so many characters; an ellipsis stands for the rest.
#[must_use]
pub fn first_line(text: &str, most: usize) -> String {
    let mut lines = text.lines();
    let mut line: String = lines.next().unwrap_or_default().to_owned();
    let cut = line.char_indices().nth(most).map(|(at, _)| at);
    if let Some(at) = cut {
        line.truncate(at);
    }
    if cut.is_some() || lines.next().is_some() { format!("{line}…") } else { line }
}
