//! STEPS: the tree of steps as flat tables (spec/plan-format.md, "STEPS").
//!
//! Nodes stand in pre-order, each with the length of its subtree, so that hashing, checking, showing and walking need no recursion. The
//! tables hold no secret: a secret value appears as a slot number only.

use crate::read::record::{Range, Span, TextRef, i64_le, record, u16_le, u32_le};
use rkyv::{Archive, Deserialize, Serialize};

record! {
    /// One node of the step tree.
    pub struct Node {
        /// A [`NodeKind`](crate::read::kind::NodeKind) number.
        pub kind: u16_le,
        /// `NODE_*` bits.
        pub flags: u16_le,
        /// Nodes in this subtree, this one included: at least 1.
        pub subtree: u32_le,
        /// Arguments, in [`Steps::args`], sorted by parameter number.
        pub args: Range,
        /// The command, in [`Steps::parts`]; empty unless the kind has a command.
        pub parts: Range,
        /// Source text of a control-flow header or an operand; never a value.
        pub header: TextRef,
        /// Where the node comes from.
        pub span: Span,
    } size 48
}

/// The loop goes over several axes: only a `@for` may say so.
pub const NODE_AXES: u16 = 1;

impl Node {
    /// Whether the node is a loop over several axes.
    #[must_use]
    pub const fn has_axes(&self) -> bool {
        self.flags.to_native() & NODE_AXES != 0
    }
}

record! {
    /// One argument of a node.
    pub struct Arg {
        /// The scalar: Int, Duration in nanoseconds, Bool as 0 or 1, Float as its bits. Zero for a String or where `slot` is set.
        pub scalar: i64_le,
        /// Text of a String argument, in [`Steps::parts`].
        pub parts: Range,
        /// One more than the slot that holds the value of a computed scalar; zero for none.
        pub slot: u32_le,
        /// Parameter number in the decorator table.
        pub param: u8,
        /// A [`ValueType`](crate::read::kind::ValueType) number: String, Int, Float, Bool or Duration.
        pub value_type: u8,
        /// Zero.
        pub reserved: u16_le,
    } size 24
}

record! {
    /// One part of a command or of a String argument.
    pub struct Part {
        /// A [`PartKind`] number.
        pub kind: u8,
        /// A [`Position`](crate::read::kind::Position) number; for text 0.
        pub position: u8,
        /// Zero.
        pub reserved: u16_le,
        /// Text: offset in the pool. Slot: slot number. Binding: index of its `@let` node.
        pub first: u32_le,
        /// Text: length. Otherwise 0.
        pub second: u32_le,
    } size 12
}

/// What a [`Part`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartKind {
    /// Verbatim bytes.
    Text,
    /// The value of a slot.
    Slot,
    /// What a runtime binding holds when the step runs.
    Binding,
}

impl PartKind {
    /// The kind with this number, or `None`.
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Text),
            1 => Some(Self::Slot),
            2 => Some(Self::Binding),
            _ => None,
        }
    }

    /// Its number in files.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Text => 0,
            Self::Slot => 1,
            Self::Binding => 2,
        }
    }
}

/// The step tables, as they are built. [`StepsView`] reads them, and the archived form alike.
#[derive(Clone, Debug, Default, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Steps {
    /// The tree in pre-order; top-level steps follow each other.
    pub nodes: Vec<Node>,
    /// Arguments of nodes.
    pub args: Vec<Arg>,
    /// Parts of commands and arguments.
    pub parts: Vec<Part>,
    /// Text pool.
    pub text: Vec<u8>,
}

/// Borrowed step tables, from memory or from an archive.
#[derive(Clone, Copy, Debug)]
pub struct StepsView<'a> {
    /// See [`Steps::nodes`].
    pub nodes: &'a [Node],
    /// See [`Steps::args`].
    pub args: &'a [Arg],
    /// See [`Steps::parts`].
    pub parts: &'a [Part],
    /// See [`Steps::text`].
    pub text: &'a [u8],
}

impl Steps {
    /// The tables as slices.
    #[must_use]
    pub fn view(&self) -> StepsView<'_> {
        StepsView { nodes: &self.nodes, args: &self.args, parts: &self.parts, text: &self.text }
    }
}

impl ArchivedSteps {
    /// The tables as slices, where they lie.
    #[must_use]
    pub fn view(&self) -> StepsView<'_> {
        StepsView { nodes: &self.nodes, args: &self.args, parts: &self.parts, text: &self.text }
    }
}
