//! What the events of a record come to, for a run that goes on (spec/record.md, "Going on").
//!
//! A run is resumed by walking its plan again: whatever a node did before is taken from the [`History`] in place of being done.

use std::collections::BTreeMap;

use opal_core::event::{Came, Ending, Event, Outcome};
use opal_core::history::{History, Past, is_atomic, is_closed};
use opal_format::kind::NodeKind;
use opal_format::steps::Node;
use opal_format::tree::Tree;
use zeroize::Zeroizing;

/// What a record says.
#[derive(Debug)]
pub struct Reading {
    /// What is over.
    pub history: History,
    /// How the run ended, if in an orderly way.
    pub ended: Option<Outcome>,
    /// Steps and blocks that were running when the VM died, or whose processes are gone although what follows counts on them.
    pub unknown: Vec<usize>,
    /// Steps that ran to their end, in the whole plan.
    pub steps_done: usize,
}

/// Reads the events of a run. `unseal` opens what a runtime binding holds.
#[must_use]
pub fn read(events: &[Event], nodes: &[Node], unseal: impl Fn(u32, &str) -> Option<Zeroizing<Vec<u8>>>) -> Reading {
    let (tree, count) = (Tree::new(nodes), nodes.len());
    let mut reader = Reader { tree, count, inner: inner_nodes(tree, count), ..Reader::default() };
    for (at, event) in (0..).zip(events) {
        reader.event(at, event, &unseal);
    }
    let unknown = reader.unknown();
    let ended = reader.ended;
    reader.settle();
    let steps_done = reader.history.ran.len();
    Reading { history: reader.history, ended, unknown, steps_done }
}

#[derive(Default)]
struct Reader<'n> {
    tree: Tree<'n>,
    /// How many nodes there are.
    count: usize,
    /// Nodes inside a block that counts as one step.
    inner: Vec<bool>,
    history: History,
    /// Steps that have started and not ended, with the numbers of their events.
    open: BTreeMap<usize, u64>,
    /// How blocks ended, the last time.
    closed: BTreeMap<usize, Ending>,
    /// Blocks of `@detach`: where they began, and how the block around them ended, if it has.
    detached: BTreeMap<usize, (u64, Option<Ending>)>,
    ended: Option<Outcome>,
}

/// Which nodes are inside a block that counts as one step.
fn inner_nodes(tree: Tree<'_>, count: usize) -> Vec<bool> {
    let mut end = 0;
    let mut inner = Vec::with_capacity(count);
    for node in 0..count {
        inner.push(node < end);
        if node >= end && tree.kind(node).is_some_and(is_atomic) {
            end = tree.end(node);
        }
    }
    inner
}

impl Reader<'_> {
    fn event(&mut self, at: u64, event: &Event, unseal: &impl Fn(u32, &str) -> Option<Zeroizing<Vec<u8>>>) {
        match event {
            Event::RunDone(done) => self.ended = Some(done.outcome),
            Event::Resumed { .. } => {
                self.settle();
                self.ended = None;
            }
            _ => {}
        }
        let Some(node) = event.at().map(|at| at.node) else { return };
        let Some(kind) = self.tree.kind(node) else { return };
        if let Event::StepDone { came: Came { result: Ending::Done | Ending::Failed, .. }, .. } = event {
            self.history.ran.insert(node);
        }
        if self.inner.get(node) != Some(&false) {
            return;
        }
        match event {
            Event::StepStarts { .. } | Event::BlockStarts { .. } => {
                self.open.insert(node, at);
            }
            // What a binding holds is in an event of its own.
            Event::StepDone { came: Came { result: Ending::Done, .. }, .. } if kind == NodeKind::Let => {}
            Event::StepDone { came, .. } | Event::BlockDone { came, .. } => {
                if is_closed(kind) {
                    self.closed.insert(node, came.result);
                }
                if !is_closed(kind) || is_atomic(kind) {
                    self.end(at, node, came.clone());
                }
            }
            Event::Binding { sealed: None, cause, .. } => {
                self.end(at, node, Came { result: Ending::Failed, cause: cause.clone(), status: None });
            }
            Event::Binding { sealed: Some(sealed), .. } => {
                // What cannot be opened has to be made again.
                if let Some((binding, value)) = u32::try_from(node).ok().and_then(|node| Some((node, unseal(node, sealed)?))) {
                    self.history.bindings.insert(binding, value);
                    self.end(at, node, Came { result: Ending::Done, cause: None, status: None });
                }
            }
            Event::Attempt { .. } => self.push(at, node, Past::Attempt),
            Event::Catch { .. } => self.push(at, node, Past::Catch),
            Event::Finally { after, .. } => self.push(at, node, Past::Finally(*after)),
            Event::Timeout { .. } => self.push(at, node, Past::Fired),
            Event::Detach { .. } => {
                self.detached.insert(node, (at, None));
            }
            Event::DetachEnded { after, .. } => {
                if let Some((_, ended)) = self.detached.get_mut(&node) {
                    *ended = Some(*after);
                }
            }
            Event::Record(_)
            | Event::Resumed { .. }
            | Event::RunStarts(_)
            | Event::Transformed { .. }
            | Event::Output { .. }
            | Event::RunDone(_) => {}
        }
    }

    fn push(&mut self, at: u64, node: usize, past: Past) {
        self.history.push(at, node, past);
    }

    fn end(&mut self, at: u64, node: usize, came: Came) {
        self.open.remove(&node);
        self.push(at, node, Past::Ended(came.result, came.cause.unwrap_or_default(), came.status));
    }

    /// Blocks of `@detach` whose processes are gone although the block around them goes on.
    fn lost(&self) -> Vec<(usize, u64)> {
        let orderly = self.ended.is_some();
        let lost = |ended: &Option<Ending>| ended.is_none_or(|ended| orderly && ended != Ending::Done);
        let kept = |node: usize| orderly && self.kept_around(node);
        self.detached.iter().filter(|(node, (_, ended))| lost(ended) && !kept(**node)).map(|(node, (at, _))| (*node, *at)).collect()
    }

    /// Whether a node is inside a block that dealt with all that happened in it.
    fn kept_around(&self, node: usize) -> bool {
        self.closed.range(..node).any(|(block, result)| *result == Ending::Done && self.tree.end(*block) > node)
    }

    fn unknown(&self) -> Vec<usize> {
        // Waiting has no effect.
        let steps = self.open.keys().copied().filter(|node| self.tree.kind(*node) != Some(NodeKind::Sleep));
        let mut unknown: Vec<usize> = steps.chain(self.lost().into_iter().map(|(node, _)| node)).collect();
        unknown.sort_unstable();
        unknown.dedup();
        unknown
    }

    /// Forgets what has to be done again. After an orderly end that is each outermost `@try`, `@retry` or `@timeout` that did not end well, and
    /// each step whose failure nobody dealt with.
    fn settle(&mut self) {
        for (node, at) in self.lost() {
            self.history.drop_range(node, self.tree.end(node), at);
            self.detached.remove(&node);
        }
        for node in std::mem::take(&mut self.open).into_keys() {
            if self.tree.kind(node).is_some_and(is_atomic) {
                self.history.forget_ran(node, self.tree.end(node));
            }
        }
        if self.ended.is_some() {
            let mut node = 0;
            while node < self.count {
                node = self.settle_node(node);
            }
        }
    }

    /// Settles a node after an orderly end, and gives the one to go on with.
    fn settle_node(&mut self, node: usize) -> usize {
        use NodeKind::{Retry, Timeout, Try};
        let (end, next) = (self.tree.end(node), node.saturating_add(1));
        let Some(kind) = self.tree.kind(node) else { return next };
        if self.closed.get(&node) == Some(&Ending::Done) {
            return end;
        }
        if is_atomic(kind) || matches!(kind, Try | Retry | Timeout) {
            self.history.drop_range(node, end, 0);
            self.detached.retain(|block, _| !(node..end).contains(block));
            return end;
        }
        if self.history.has_failed(node) {
            self.history.drop_range(node, next, 0);
        }
        next
    }
}
