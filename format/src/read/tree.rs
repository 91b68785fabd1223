//! The step tree: where its nodes end, what stands in them and around them.
//!
//! Nodes stand in pre-order, so a node's subtree is the nodes from it up to its end. A reader has checked that every subtree lies in its
//! parent's; of other tables the answers are bounded by the table, and walks end.

use crate::read::kind::NodeKind;
use crate::read::steps::{Node, StepsView};

impl Node {
    /// What it is; `None` for a number that no version of the format has given away.
    #[must_use]
    pub const fn kind(&self) -> Option<NodeKind> {
        NodeKind::from_number(self.kind.to_native())
    }

    /// Nodes in its subtree, this one included.
    #[must_use]
    pub fn length(&self) -> usize {
        usize::try_from(self.subtree.to_native()).unwrap_or(usize::MAX).max(1)
    }
}

/// The nodes of a step table as the tree that they are.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tree<'a> {
    nodes: &'a [Node],
}

impl<'a> Tree<'a> {
    /// The tree of these nodes.
    #[must_use]
    pub const fn new(nodes: &'a [Node]) -> Self {
        Self { nodes }
    }

    /// What a node is.
    #[must_use]
    pub fn kind(self, index: usize) -> Option<NodeKind> {
        self.nodes.get(index)?.kind()
    }

    /// The index after a node's subtree; after a node that is not there, the index that follows.
    #[must_use]
    pub fn end(self, index: usize) -> usize {
        index.saturating_add(self.nodes.get(index).map_or(1, Node::length))
    }

    /// The nodes directly inside a node, or at the top.
    #[must_use]
    pub fn children(self, parent: Option<usize>) -> Children<'a> {
        match parent {
            Some(parent) => Children { tree: self, at: parent.saturating_add(1), end: self.end(parent).min(self.nodes.len()) },
            None => Children { tree: self, at: 0, end: self.nodes.len() },
        }
    }

    /// The executing nodes inside a node, or at the top, with no other executing node between. Control flow around them is as if it were not there:
    /// it says how planning got here, `plan_hash` leaves it out, and nothing about it decides how a plan runs.
    pub fn executing(self, parent: Option<usize>) -> impl Iterator<Item = usize> + Clone + use<'a> {
        let Children { at, end, .. } = self.children(parent);
        Executing { tree: self, at, end }
    }

    /// The nodes around a node, outermost first.
    pub fn ancestors(self, index: usize) -> impl Iterator<Item = usize> {
        (0..index.min(self.nodes.len())).filter(move |around| self.end(*around) > index)
    }
}

/// See [`Tree::children`].
#[derive(Clone, Debug)]
pub struct Children<'a> {
    tree: Tree<'a>,
    at: usize,
    end: usize,
}

impl Iterator for Children<'_> {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        let at = Some(self.at).filter(|at| *at < self.end)?;
        self.at = self.tree.end(at);
        Some(at)
    }
}

/// See [`Tree::executing`].
#[derive(Clone, Debug)]
struct Executing<'a> {
    tree: Tree<'a>,
    at: usize,
    end: usize,
}

impl Iterator for Executing<'_> {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        while self.at < self.end && self.tree.kind(self.at).is_some_and(NodeKind::is_flow) {
            self.at = self.at.saturating_add(1);
        }
        let at = Some(self.at).filter(|at| *at < self.end)?;
        self.at = self.tree.end(at);
        Some(at)
    }
}

impl<'a> StepsView<'a> {
    /// The nodes as a tree.
    #[must_use]
    pub const fn tree(self) -> Tree<'a> {
        Tree::new(self.nodes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read::record::Range;

    #[test]
    fn a_tree_knows_where_its_nodes_end_and_what_is_in_and_around_them() {
        let node = |subtree: u32| Node {
            kind: NodeKind::Group.number().into(),
            flags: 0.into(),
            subtree: subtree.into(),
            origin: 0.into(),
            args: Range::EMPTY,
            runs: 0.into(),
        };
        let nodes: Vec<Node> = [1, 5, 1, 2, 1, 1, 3, 2, 1].into_iter().map(node).collect();
        let tree = Tree::new(&nodes);
        let children = |parent| tree.children(parent).collect::<Vec<_>>();
        assert_eq!(
            (children(None), children(Some(1)), children(Some(6)), children(Some(8))),
            (vec![0, 1, 6], vec![2, 3, 5], vec![7], vec![])
        );
        assert_eq!(tree.ancestors(4).collect::<Vec<_>>(), [1, 3]);
        assert_eq!((tree.ancestors(6).count(), tree.ancestors(99).count()), (0, 0));
        assert_eq!((tree.end(1), tree.end(8), tree.end(99)), (6, 9, 100));
        assert_eq!((tree.kind(0), tree.kind(9)), (Some(NodeKind::Group), None));
        // Lengths that a reader would have refused neither hang nor leave the table.
        let wrong: Vec<Node> = [0, u32::MAX, 0].into_iter().map(node).collect();
        assert_eq!(Tree::new(&wrong).children(None).collect::<Vec<_>>(), [0, 1]);
        assert_eq!(Tree::new(&wrong).children(Some(1)).collect::<Vec<_>>(), [2]);
    }
}
