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
    pub fn next_node(&mut self) -> Option<(usize, &'a Node, &[Level])> {
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
        let end = index.saturating_add(node.length());
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

/// Paths by index, each found in time in proportion to its depth.
pub struct PathTable {
    /// By node: the index after its parent, 0 at the top; and its ordinal.
    nodes: Vec<(u32, u32)>,
}

impl PathTable {
    /// The paths of these nodes.
    #[must_use]
    pub fn new(nodes: &[Node]) -> Self {
        let mut table = Vec::with_capacity(nodes.len());
        let mut paths = Paths::new(nodes);
        // The indexes of the nodes on the way to the current one.
        let mut way: Vec<u32> = Vec::new();
        while let Some((index, _, ordinals)) = paths.next_node() {
            way.truncate(ordinals.len().saturating_sub(1));
            table.push((way.last().copied().unwrap_or(0), ordinals.last().map_or(0, |(_, ordinal)| *ordinal)));
            way.push(u32::try_from(index).unwrap_or(u32::MAX).saturating_add(1));
        }
        Self { nodes: table }
    }

    /// The path of one node, or an empty text where there is no such node.
    #[must_use]
    pub fn path(&self, index: usize) -> String {
        let mut ordinals = Vec::new();
        let mut at = index.checked_add(1);
        // A parent stands before its children, so this ends.
        while let Some((parent, ordinal)) = at.and_then(|at| at.checked_sub(1)).and_then(|at| self.nodes.get(at)) {
            ordinals.push((0, *ordinal));
            at = usize::try_from(*parent).ok();
        }
        ordinals.reverse();
        join(&ordinals)
    }
}

impl Iterator for Paths<'_> {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        self.next_node().map(|(_, _, ordinals)| join(ordinals))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use opal_format::kind::NodeKind;
    use opal_format::record::Range;

    #[test]
    fn a_table_gives_the_paths_that_a_walk_gives() {
        let node = |subtree: u32| Node {
            kind: NodeKind::Group.number().into(),
            flags: 0.into(),
            subtree: subtree.into(),
            origin: 0.into(),
            args: Range::EMPTY,
            runs: 0.into(),
        };
        let nodes: Vec<Node> = [1, 5, 1, 2, 1, 1, 3, 2, 1, 1].into_iter().map(node).collect();
        let table = PathTable::new(&nodes);
        let walked: Vec<String> = Paths::new(&nodes).collect();
        assert_eq!(walked, ["1", "2", "2.1", "2.2", "2.2.1", "2.3", "3", "3.1", "3.1.1", "4"]);
        for (index, path) in walked.iter().enumerate() {
            assert_eq!(table.path(index), *path);
            assert_eq!(path_of(&nodes, index), *path);
        }
        assert_eq!(table.path(10), "");
    }
}
