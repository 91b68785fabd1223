//! What a run takes over from an earlier part of itself (`--resume`), and where it begins (`--from`): spec/record.md.
//!
//! The executor walks the whole plan again. At each node it asks here first: what happened is taken from the history, in the order in which it
//! happened; what comes before the start of a partial run counts as done; the rest is done.

use std::sync::Mutex;

use opal_format::kind::NodeKind;

use super::exec::{Flow, Scope, Worker};
use super::report::{FailureCause, Labels, Outcome};
use super::{Shared, locked};
use opal_core::event::{Came, Ending};
use opal_core::history::{History, Past, is_atomic};

/// Where a run begins.
#[derive(Debug, Default)]
pub struct Start {
    /// What need not be done again.
    pub history: Mutex<History>,
    /// The node at which a partial run begins.
    pub from: Option<usize>,
    /// What is said about it.
    pub labels: Labels,
}

impl Flow {
    pub(super) const fn ending(self) -> Ending {
        match self {
            Self::Done => Ending::Done,
            Self::Failed(_) => Ending::Failed,
            Self::TimedOut => Ending::TimedOut,
            Self::Stopped | Self::Killed => Ending::Stopped,
        }
    }
}

impl Worker<'_, '_> {
    /// How a node counts without being entered, if so.
    pub(super) fn settled(&mut self, index: usize, kind: NodeKind, scope: Scope<'_>) -> Option<Flow> {
        if self.shared.happened(index, scope) {
            let whole = is_atomic(kind) || matches!(kind, NodeKind::Shell | NodeKind::Let | NodeKind::Sleep);
            // A block is entered again and its parts are settled one by one; only what has no parts is taken as a whole.
            let (_, past) = if whole { self.shared.take(index, scope) } else { None }?;
            return match past {
                Past::Ended(Ending::Failed, cause, status) => {
                    Some(self.failed(index, FailureCause::Earlier(cause, status), b"", std::time::Duration::ZERO))
                }
                Past::Ended(ending, ..) => Some(self.came_to(index, ending)),
                _ => None,
            };
        }
        // Nothing happened here, and what comes after it did: the walk had gone past it.
        if let Some(over) = scope.over {
            return Some(self.came_to(index, over));
        }
        if self.shared.options.start.from.is_some_and(|from| self.shared.end_of(index) <= from) {
            return Some(Flow::Done);
        }
        self.stopped(scope)
    }

    /// A node that ended like this in an earlier part of the run.
    pub(super) fn came_to(&self, index: usize, ending: Ending) -> Flow {
        match ending {
            Ending::Done => Flow::Done,
            Ending::Failed => {
                self.failed(index, FailureCause::Earlier("it did not succeed".to_owned(), None), b"", std::time::Duration::ZERO)
            }
            Ending::TimedOut => Flow::TimedOut,
            Ending::Stopped => {
                locked(&self.shared.tally).halt(Outcome::Interrupted);
                Flow::Stopped
            }
        }
    }
}

impl Shared<'_> {
    /// The index after a node's subtree.
    pub(super) fn end_of(&self, index: usize) -> usize {
        self.tree().end(index)
    }

    /// Whether anything happened at or in a node in an earlier part of the run.
    pub(super) fn happened(&self, index: usize, scope: Scope<'_>) -> bool {
        self.resumed && locked(&self.history).has(index, self.end_of(index), scope.until)
    }

    /// Takes the next thing that happened at a node, with the number of its event.
    pub(super) fn take(&self, index: usize, scope: Scope<'_>) -> Option<(u64, Past)> {
        if self.resumed { locked(&self.history).take(index, scope.until) } else { None }
    }

    /// Number of the next event at a node.
    pub(super) fn next(&self, index: usize, scope: Scope<'_>) -> Option<u64> {
        if self.resumed { locked(&self.history).next(index, scope.until) } else { None }
    }

    /// The scope of an operand of `parent`: where an operand after it was come to, this one had failed unless its history says otherwise.
    pub(super) fn before_next<'a>(&self, parent: usize, operand: usize, scope: Scope<'a>) -> Scope<'a> {
        let later = || self.tree().executing(Some(parent)).any(|other| other > operand && self.happened(other, scope));
        if self.resumed && scope.over.is_none() && later() { Scope { over: Some(Ending::Failed), ..scope } } else { scope }
    }

    /// What a flow came to, for its event.
    pub(super) fn came(&self, flow: Flow) -> Came {
        let (cause, status) = match flow {
            Flow::Failed(failure) => {
                let cause = locked(&self.tally).failures.get(failure).map(|failure| failure.cause.to_string());
                (cause, self.exit_status(failure))
            }
            _ => (None, None),
        };
        Came { result: flow.ending(), cause, status }
    }

    /// Makes the events so far durable where no step starts next.
    pub(super) fn settle(&self) {
        if let Err(error) = self.sync() {
            locked(&self.tally).halt(Outcome::RecordLost(error));
        }
    }
}
