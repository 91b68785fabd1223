//! What is left to do of a run that goes on (spec/record.md, "Going on"), as the executor sees it: it walks the plan again and asks at each node what is over
//! of it. What is not here has not begun.
//!
//! `opal_record::history` makes it, from the plan and the events of a record, and nothing else of a record comes here.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Range;

use opal_format::kind::NodeKind;
use zeroize::Zeroizing;

use crate::event::{Because, Came, Ending};

/// What is over at a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Over {
    /// All of it, and this is what it came to.
    All(Came),
    /// Attempts of a `@retry`, but for the last of so many that have begun.
    Attempts(i64),
    /// What stands before this `@catch` or `@finally` in its `@try`. It came to this.
    Before(Ending, Because),
    /// What stands in this `@timeout`, whose time was up.
    TimedOut,
}

/// What is over of a run, by node.
#[derive(Debug, Default)]
pub struct Rest {
    over: BTreeMap<usize, Over>,
    /// Steps that ran to their end.
    pub ran: HashSet<usize>,
    /// What the runtime bindings hold.
    pub bindings: HashMap<u32, Zeroizing<Vec<u8>>>,
}

impl Rest {
    /// Whether all is left to do.
    #[must_use]
    pub fn is_all(&self) -> bool {
        self.over.is_empty()
    }

    /// Whether anything is over in these nodes.
    #[must_use]
    pub fn has_begun(&self, nodes: Range<usize>) -> bool {
        !nodes.is_empty() && self.over.range(nodes).next().is_some()
    }

    /// What is over at a node.
    #[must_use]
    pub fn at(&self, node: usize) -> Option<&Over> {
        self.over.get(&node)
    }

    /// Takes what is over at a node: it is passed over once.
    pub fn take(&mut self, node: usize) -> Option<Over> {
        self.over.remove(&node)
    }

    /// Says what is over at a node.
    pub fn note(&mut self, node: usize, over: Over) {
        self.over.insert(node, over);
    }

    /// Nothing is over in these nodes.
    pub fn forget(&mut self, nodes: Range<usize>) {
        let known: Vec<usize> = if nodes.is_empty() { Vec::new() } else { self.over.range(nodes).map(|(node, _)| *node).collect() };
        known.iter().for_each(|node| drop(self.over.remove(node)));
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
