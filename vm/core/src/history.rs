//! What is over of a run that goes on, for the executor: it walks the plan again and takes from here whatever a node did before. Each entry has the
//! number of its event, so that the attempts of a `@retry`, and the parts of a `@try`, are told apart.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use opal_format::kind::NodeKind;
use zeroize::Zeroizing;

use crate::event::Ending;

/// What happened at a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Past {
    /// A step, or a block that counts as one, ended; with the cause and exit status if it failed.
    Ended(Ending, String, Option<i64>),
    /// A `@retry` began an attempt.
    Attempt,
    /// A `@catch` began.
    Catch,
    /// A `@finally` began, after this.
    Finally(Ending),
    /// The time of a `@timeout` was up.
    Fired,
}

/// What is over and need not be done again.
#[derive(Debug, Default)]
pub struct History {
    past: BTreeMap<usize, VecDeque<(u64, Past)>>,
    /// Steps that ran to their end.
    pub ran: HashSet<usize>,
    /// What the runtime bindings hold.
    pub bindings: HashMap<u32, Zeroizing<Vec<u8>>>,
}

impl History {
    /// Whether nothing is left of it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.past.is_empty()
    }

    /// Whether anything happened at the nodes `from..to` before the event `until`.
    #[must_use]
    pub fn has(&self, from: usize, to: usize, until: u64) -> bool {
        let first = |entries: &VecDeque<(u64, Past)>| entries.front().is_some_and(|(at, _)| *at < until);
        from < to && self.past.range(from..to).any(|(_, entries)| first(entries))
    }

    /// Number of the next event at a node, if it is before `until`.
    #[must_use]
    pub fn next(&self, node: usize, until: u64) -> Option<u64> {
        self.past.get(&node)?.front().map(|(at, _)| *at).filter(|at| *at < until)
    }

    /// Takes the next thing that happened at a node before the event `until`.
    pub fn take(&mut self, node: usize, until: u64) -> Option<(u64, Past)> {
        self.next(node, until)?;
        let entries = self.past.get_mut(&node)?;
        let taken = entries.pop_front();
        if entries.is_empty() {
            self.past.remove(&node);
        }
        taken
    }

    /// Forgets what happened at the nodes `from..to` since the event `since`, and that they ran.
    pub fn drop_range(&mut self, from: usize, to: usize, since: u64) {
        let nodes: Vec<usize> = self.past.range(from..to).map(|(node, _)| *node).collect();
        for node in nodes {
            if let Some(entries) = self.past.get_mut(&node) {
                entries.retain(|(at, _)| *at < since);
                if entries.is_empty() {
                    self.past.remove(&node);
                }
            }
        }
        self.forget_ran(from, to);
    }

    /// Forgets that the nodes `from..to` ran.
    pub fn forget_ran(&mut self, from: usize, to: usize) {
        for node in from..to {
            self.ran.remove(&node);
        }
    }

    /// Adds what happened at a node, by the event `at`.
    pub fn push(&mut self, at: u64, node: usize, past: Past) {
        self.past.entry(node).or_default().push_back((at, past));
    }

    /// Whether a node came to an end other than a good one.
    #[must_use]
    pub fn has_failed(&self, node: usize) -> bool {
        let failed = |(_, past): &(u64, Past)| matches!(past, Past::Ended(result, ..) if *result != Ending::Done);
        self.past.get(&node).is_some_and(|entries| entries.iter().any(failed))
    }
}

/// Whether a block counts as one step: what its parts hand to each other is in no record.
#[must_use]
pub const fn is_atomic(kind: NodeKind) -> bool {
    matches!(kind, NodeKind::Pipe | NodeKind::Transform)
}

/// Whether the end of a block is an event.
#[must_use]
pub const fn is_closed(kind: NodeKind) -> bool {
    use NodeKind::{Or, Parallel, Retry, Seq, Timeout, Try};
    is_atomic(kind) || matches!(kind, Try | Retry | Timeout | Parallel | Or | Seq)
}
