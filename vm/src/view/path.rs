//! Step paths: the ordinal of each node among its siblings, from the top, counted from 1 and joined by dots (`2.1.3`).

use opal_format::steps::Node;
use std::fmt::Write as _;

/// A level of the tree on the way to a node: the index after its last node, and the ordinal of the current child.
pub(super) type Level = (usize, u32);

/// Walks the nodes in pre-order and gives each its path and depth.
pub struct Paths<'a> {
    nodes: std::iter::Enumerate<std::slice::Iter<'a, Node>>,
    open: Vec<Level>,
    end: usize,
    started: bool,
}

impl<'a> Paths<'a> {
    /// Paths of these nodes.
    #[must_use]
    pub fn new(nodes: &'a [Node]) -> Self {
        Self { nodes: nodes.iter().enumerate(), open: Vec::new(), end: nodes.len(), started: false }
    }

    /// The next node's index, the node itself, and the ordinals from the top.
    pub(super) fn next_node(&mut self) -> Option<(usize, &'a Node, &[Level])> {
        let (index, node) = self.nodes.next()?;
        if !self.started {
            self.started = true;
            self.open.push((self.end, 0));
        }
        while self.open.len() > 1 && self.open.last().is_some_and(|(end, _)| index >= *end) {
            self.open.pop();
        }
        if let Some((_, ordinal)) = self.open.last_mut() {
            *ordinal = ordinal.saturating_add(1);
        }
        let end = index.saturating_add(usize::try_from(node.subtree.to_native()).unwrap_or(usize::MAX));
        self.open.push((end, 0));
        let depth = self.open.len().saturating_sub(1);
        Some((index, node, self.open.get(..depth).unwrap_or_default()))
    }
}

/// Ordinals as text.
fn join(ordinals: &[Level]) -> String {
    let mut out = String::new();
    for (_, ordinal) in ordinals {
        if !out.is_empty() {
            out.push('.');
        }
        let _ = write!(out, "{ordinal}");
    }
    out
}

/// The path of one node, or an empty text where there is no such node.
#[must_use]
pub fn path_of(nodes: &[Node], index: usize) -> String {
    let mut paths = Paths::new(nodes);
    while let Some((at, _, ordinals)) = paths.next_node() {
        if at == index {
            return join(ordinals);
        }
    }
    String::new()
}

impl Iterator for Paths<'_> {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        self.next_node().map(|(_, _, ordinals)| join(ordinals))
    }
}
