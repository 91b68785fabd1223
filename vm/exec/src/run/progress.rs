//! What a person is told of a run while it goes on.

use std::collections::HashSet;
use std::fmt::Debug;
use std::io;
use std::sync::{Mutex, PoisonError};

use serde_json::Value;

use crate::supervise::lane::Stream;
use opal_core::plan::Plan;

/// An event of a run, as it stands in the event stream.
pub struct Event<'a> {
    /// Its name.
    pub name: &'static str,
    /// The step that it is about.
    pub node: Option<usize>,
    /// The path of the step.
    pub path: &'a dyn Fn() -> String,
    /// The command of the step: with placeholders, scrubbed, control characters escaped; may have several lines.
    pub text: &'a dyn Fn() -> String,
    /// What else the event says.
    pub fields: &'a Value,
    /// The plan that runs.
    pub plan: &'a Plan,
}

/// Follows a run. Calls come from the threads of all branches. The first event is `run_starts`, the last is `run_done`.
pub trait Progress: Send + Sync + Debug {
    /// Takes note of an event, and gives a line to say on stderr, if any.
    fn event(&self, event: &Event<'_>) -> Option<String>;

    /// Writes bytes of the run to one of its streams by `write`, and may write other things before and after.
    ///
    /// # Errors
    /// Those of `write`.
    fn output(&self, _: Stream, bytes: &[u8], write: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        write(bytes)
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
    fn event(&self, event: &Event<'_>) -> Option<String> {
        let field = |name| event.fields.get(name).filter(|value| !value.is_null());
        let mut count = self.count.lock().unwrap_or_else(PoisonError::into_inner);
        if event.name == "run_starts" {
            let number = |name| field(name).and_then(Value::as_u64).unwrap_or(0);
            (count.total, count.before) = (number("steps"), number("steps_before").saturating_add(number("steps_skipped")));
        }
        let node = event.node.filter(|_| event.name == "step_done")?;
        let result = field("result").and_then(Value::as_str).unwrap_or_default();
        if matches!(result, "done" | "failed") {
            count.done.insert(node);
        }
        let number = |name| field(name).and_then(Value::as_i64);
        let why = match (field("stopped").or(field("cause")).and_then(Value::as_str), result) {
            (_, "done") => None,
            (Some(why), _) => Some(why.to_owned()),
            (None, result) => Some(result.replace('_', " ")),
        };
        let mark = if why.is_none() { "✓" } else { "✗" };
        let took = opal_core::duration::format(number("elapsed_ms").unwrap_or(0).saturating_mul(1_000_000));
        let took = why.map_or_else(|| took.clone(), |why| format!("{why} after {took}"));
        let (done, total, text) = (count.done(), count.total, first_line(&(event.text)(), LINE_MAX));
        let line = format!("{mark} {done}/{total} {} ({took}) {text}", (event.path)());
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
