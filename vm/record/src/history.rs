//! What is left to do of a run, from its plan and the events of its record (spec/record.md, "Going on"): a function of both, and of nothing else.
//!
//! Events are gone through in order, and what is known at the end counts: a `@catch`, a `@finally`, an attempt and a `@timeout` that is up close what came before
//! them, so of that nothing is kept but what it came to. After an orderly end, and wherever processes are gone on which others count, what
//! has to be done again is forgotten.
//!
//! Tests: `tests.rs`, with random plans cut anywhere, against a model of the executor; `tests/tests/resume.rs`, with the real one.
//!
//! Read for: everything in the process that runs a contract.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;

use opal_core::event::{Because, Came, Ending, Event, Outcome};
use opal_core::rest::{Over, Rest, is_atomic, is_closed};
use opal_format::kind::NodeKind;
use opal_format::steps::Node;
use opal_format::tree::Tree;
use zeroize::Zeroizing;

/// What a record says.
#[derive(Debug)]
pub struct Reading {
    /// What is left to do.
    pub rest: Rest,
    /// How the run ended, if in an orderly way.
    pub ended: Option<Outcome>,
    /// Steps and blocks that were running when the VM died, or whose processes are gone although what follows counts on them.
    pub unknown: Vec<usize>,
}

/// Reads the events of a run. `unseal` opens what a runtime binding holds.
#[must_use]
pub fn read(events: &[Event], nodes: &[Node], unseal: impl Fn(u32, &str) -> Option<Zeroizing<Vec<u8>>>) -> Reading {
    let tree = Tree::new(nodes);
    let tries = (0..nodes.len()).filter(|node| tree.kind(*node) == Some(NodeKind::Try));
    let handlers = tries.flat_map(|block| tree.executing(Some(block)).map(move |part| (part, block)));
    let handlers = handlers.filter(|(part, _)| matches!(tree.kind(*part), Some(NodeKind::Catch | NodeKind::Finally))).collect();
    let mut reader = Reader { tree, count: nodes.len(), inner: inner_nodes(tree, nodes.len()), handlers, ..Reader::default() };
    events.iter().for_each(|event| reader.event(event, &unseal));
    let (unknown, ended) = (reader.unknown(), reader.ended);
    reader.settle();
    reader.pass_over();
    Reading { rest: reader.rest, ended, unknown }
}

#[derive(Default)]
struct Reader<'n> {
    tree: Tree<'n>,
    /// How many nodes there are.
    count: usize,
    /// Nodes inside a block that counts as one step.
    inner: Vec<bool>,
    /// The `@try` of each `@catch` and `@finally`.
    handlers: HashMap<usize, usize>,
    rest: Rest,
    /// Steps that have started and not ended.
    open: BTreeSet<usize>,
    /// How blocks ended, the last time.
    closed: BTreeMap<usize, Ending>,
    /// Blocks of `@detach`, and how the block around each ended, if it has.
    detached: BTreeMap<usize, Option<Ending>>,
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
    fn event(&mut self, event: &Event, unseal: &impl Fn(u32, &str) -> Option<Zeroizing<Vec<u8>>>) {
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
            self.rest.ran.insert(node);
        }
        if self.inner.get(node) != Some(&false) {
            return;
        }
        match event {
            Event::StepStarts { .. } | Event::BlockStarts { .. } => {
                self.open.insert(node);
            }
            // What a binding holds is in an event of its own.
            Event::StepDone { came: Came { result: Ending::Done, .. }, .. } if kind == NodeKind::Let => {}
            Event::StepDone { came, .. } | Event::BlockDone { came, .. } => {
                if is_closed(kind) {
                    self.closed.insert(node, came.result);
                }
                if !is_closed(kind) || is_atomic(kind) {
                    self.end(node, came.clone());
                }
            }
            Event::Binding { sealed: None, cause, .. } => {
                self.end(node, Came { result: Ending::Failed, cause: cause.clone(), status: None });
            }
            Event::Binding { sealed: Some(sealed), .. } => {
                // What cannot be opened has to be made again.
                if let Some((binding, value)) = u32::try_from(node).ok().and_then(|node| Some((node, unseal(node, sealed)?))) {
                    self.rest.bindings.insert(binding, value);
                    self.end(node, Came { result: Ending::Done, cause: None, status: None });
                }
            }
            Event::Attempt { attempt, .. } => {
                let inside = self.inside(node);
                // Nor does it count how blocks ended in the attempts before.
                self.closed.retain(|block, _| !inside.contains(block));
                self.close(inside);
                self.rest.note(node, Over::Attempts(*attempt));
            }
            Event::Catch { because, .. } => self.handle(node, Ending::Failed, because),
            Event::Finally { after, because, .. } => self.handle(node, *after, because),
            Event::Timeout { .. } => {
                self.close(self.inside(node));
                self.rest.note(node, Over::TimedOut);
            }
            Event::Detach { .. } => {
                self.detached.insert(node, None);
            }
            Event::DetachEnded { after, .. } => {
                self.detached.entry(node).and_modify(|ended| *ended = Some(*after));
            }
            Event::Record(_)
            | Event::Resumed { .. }
            | Event::RunStarts(_)
            | Event::Transformed { .. }
            | Event::Output { .. }
            | Event::RunDone(_) => {}
        }
    }

    /// The nodes inside a node.
    fn inside(&self, node: usize) -> Range<usize> {
        node.saturating_add(1)..self.tree.end(node)
    }

    /// The node and those inside it.
    fn whole(&self, node: usize) -> Range<usize> {
        node..self.tree.end(node)
    }

    fn end(&mut self, node: usize, came: Came) {
        self.open.remove(&node);
        self.rest.note(node, Over::All(came));
    }

    /// A `@catch` or `@finally` begins: all that stands before it in its `@try` is over.
    fn handle(&mut self, handler: usize, after: Ending, because: &Because) {
        let Some(block) = self.handlers.get(&handler).copied() else { return };
        let finally = self.tree.kind(handler) == Some(NodeKind::Finally);
        for part in self.tree.executing(Some(block)) {
            if finally || self.tree.kind(part) != Some(NodeKind::Finally) {
                self.close(self.whole(part));
            }
        }
        self.rest.note(handler, Over::Before(after, because.clone()));
    }

    /// What these nodes came to is known: what is over in them counts no more.
    fn close(&mut self, nodes: Range<usize>) {
        self.rest.forget(nodes);
    }

    /// These nodes are to be done again.
    fn undo(&mut self, nodes: Range<usize>) {
        self.rest.forget(nodes.clone());
        nodes.for_each(|node| _ = self.rest.ran.remove(&node));
    }

    /// Blocks of `@detach` whose processes are gone although the block around them goes on.
    fn lost(&self) -> Vec<usize> {
        let orderly = self.ended.is_some();
        let lost = |ended: &Option<Ending>| ended.is_none_or(|ended| orderly && ended != Ending::Done);
        let kept = |node: usize| orderly && self.kept_around(node);
        self.detached.iter().filter(|(node, ended)| lost(ended) && !kept(**node)).map(|(node, _)| *node).collect()
    }

    /// Whether a node is inside a block that dealt with all that happened in it.
    fn kept_around(&self, node: usize) -> bool {
        self.closed.range(..node).any(|(block, result)| *result == Ending::Done && self.tree.end(*block) > node)
    }

    fn unknown(&self) -> Vec<usize> {
        // Waiting has no effect.
        let steps = self.open.iter().copied().filter(|node| self.tree.kind(*node) != Some(NodeKind::Sleep));
        let mut unknown: Vec<usize> = steps.chain(self.lost()).collect();
        unknown.sort_unstable();
        unknown.dedup();
        unknown
    }

    /// Forgets what has to be done again. After an orderly end that is each outermost `@try`, `@retry` or `@timeout` that did not end well, and
    /// each step whose failure nobody dealt with.
    fn settle(&mut self) {
        for node in self.lost() {
            self.undo(self.whole(node));
            self.detached.remove(&node);
        }
        for node in std::mem::take(&mut self.open) {
            if self.tree.kind(node).is_some_and(is_atomic) {
                self.whole(node).for_each(|node| _ = self.rest.ran.remove(&node));
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
            self.undo(node..end);
            self.detached.retain(|block, _| !(node..end).contains(block));
            return end;
        }
        if matches!(self.rest.at(node), Some(Over::All(came)) if came.result != Ending::Done) {
            self.undo(node..next);
        }
        next
    }

    /// An operand of `||` or `;` after which another was come to had failed, whatever is known of it.
    fn pass_over(&mut self) {
        for node in 0..self.count {
            if !matches!(self.tree.kind(node), Some(NodeKind::Or | NodeKind::Seq)) || !self.rest.has_begun(self.whole(node)) {
                continue;
            }
            let operands: Vec<usize> = self.tree.executing(Some(node)).collect();
            let last = operands.iter().rposition(|operand| self.rest.has_begun(self.whole(*operand))).unwrap_or(0);
            for operand in operands.into_iter().take(last) {
                if !self.rest.has_begun(self.whole(operand)) {
                    self.rest.note(operand, Over::All(Came { result: Ending::Failed, cause: None, status: None }));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
