//! What a run takes over from an earlier part of itself (`--resume`), and where it begins (`--from`): spec/record.md.
//!
//! The executor walks the whole plan again, and knows of what was before no more than what is over at each node: that is taken as it came out, what comes
//! before the start of a partial run counts as done, and the rest is done.
//!
//! Read for: everything in the process that runs a contract.

use std::sync::Mutex;

use super::exec::{Flow, Scope, Worker};
use super::report::{FailureCause, Labels, Outcome};
use super::{Shared, locked};
use opal_core::event::{Because, Came, Ending};
use opal_core::rest::{Over, Rest};

/// Where a run begins.
#[derive(Debug, Default)]
pub struct Start {
    /// What is left to do.
    pub rest: Mutex<Rest>,
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
    pub(super) fn settled(&mut self, index: usize, scope: Scope<'_>) -> Option<Flow> {
        if let Some(came) = self.shared.take_all(index) {
            let because = Because { failed: Some(index), cause: came.cause, status: came.status };
            return Some(self.came_to(index, came.result, because));
        }
        // A block that has begun is entered again, also where nothing new may start: there is cleanup in it that was left.
        if self.shared.begun(index) {
            return None;
        }
        if self.shared.options.start.from.is_some_and(|from| self.shared.end_of(index) <= from) {
            return Some(Flow::Done);
        }
        self.stopped(scope)
    }

    /// What a node came to in an earlier part of the run.
    pub(super) fn came_to(&self, index: usize, ending: Ending, because: Because) -> Flow {
        match ending {
            Ending::Done => Flow::Done,
            Ending::Failed => {
                let Because { failed, cause, status } = because;
                let cause = cause.unwrap_or_else(|| "it did not succeed".to_owned());
                self.failed(failed.unwrap_or(index), FailureCause::Earlier(cause, status), b"", std::time::Duration::ZERO)
            }
            Ending::TimedOut => Flow::TimedOut,
            Ending::Stopped => {
                locked(&self.shared.tally).halt(Outcome::Interrupted);
                Flow::Stopped
            }
        }
    }

    /// What stands before a `@catch` or `@finally`, where that has begun: then it is over, and came to this.
    pub(super) fn before(&self, handler: Option<usize>) -> Option<Flow> {
        match self.shared.take(handler?)? {
            Over::Before(ending, because) => Some(self.came_to(handler?, ending, because)),
            _ => None,
        }
    }
}

impl Shared<'_> {
    /// The index after a node's subtree.
    pub(super) fn end_of(&self, index: usize) -> usize {
        self.tree().end(index)
    }

    /// Whether anything of a node is over since an earlier part of the run.
    pub(super) fn begun(&self, index: usize) -> bool {
        self.resumed && locked(&self.rest).has_begun(index..self.end_of(index))
    }

    /// Takes what is over at a node.
    pub(super) fn take(&self, index: usize) -> Option<Over> {
        if self.resumed { locked(&self.rest).take(index) } else { None }
    }

    /// Takes what a node came to, if all of it is over.
    fn take_all(&self, index: usize) -> Option<Came> {
        let mut rest = if self.resumed { locked(&self.rest) } else { return None };
        match rest.at(index) {
            Some(Over::All(_)) => rest.take(index),
            _ => None,
        }
        .and_then(|over| if let Over::All(came) = over { Some(came) } else { None })
    }

    /// A node is done anew: nothing of it is over.
    pub(super) fn anew(&self, index: usize) {
        if self.resumed {
            locked(&self.rest).forget(index..self.end_of(index));
        }
    }

    /// The failure of a flow, for its event.
    pub(super) fn because(&self, flow: Flow) -> Because {
        let Flow::Failed(failure) = flow else { return Because::default() };
        let status = self.exit_status(failure);
        let tally = locked(&self.tally);
        let failure = tally.failures.get(failure);
        Because { failed: failure.and_then(|failure| failure.node), cause: failure.map(|failure| failure.cause.to_string()), status }
    }

    /// What a flow came to, for its event.
    pub(super) fn came(&self, flow: Flow) -> Came {
        let Because { cause, status, .. } = self.because(flow);
        Came { result: flow.ending(), cause, status }
    }

    /// Makes the events so far durable where no step starts next.
    pub(super) fn settle(&self) {
        if let Err(error) = self.sync() {
            locked(&self.tally).halt(Outcome::RecordLost(error));
        }
    }
}
