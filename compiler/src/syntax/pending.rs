//! What was read of a line so far, also while the block of a decorator in it is being read.

use crate::{
    ast::{Arguments, Identifier, Operand},
    shell::ShellOperator,
    span::Span,
};

/// An operator between operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Joint {
    Pipe,
    And,
    Or,
    Then,
}

/// The bytes of a shell operand, and the operators inside.
pub(super) struct ShellRange {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) operators: Vec<ShellOperator>,
}

/// An operand with the operator before it (none before the first).
pub(super) struct LineOperand {
    pub(super) joint: Option<Joint>,
    pub(super) operand: Operand,
    pub(super) span: Span,
    /// Only for shell text that stands in the line itself.
    pub(super) shell: Option<ShellRange>,
}

/// What was read of a line so far.
pub(super) struct Line {
    pub(super) start: usize,
    pub(super) operands: Vec<LineOperand>,
    pub(super) next: Option<Joint>,
    pub(super) binding: Option<Identifier>,
    pub(super) failed: bool,
}

impl Line {
    pub(super) fn new(start: usize) -> Self {
        Self { start, operands: Vec::new(), next: None, binding: None, failed: false }
    }

    pub(super) fn push(&mut self, operand: Operand, span: Span) {
        self.operands.push(LineOperand { joint: self.next.take(), operand, span, shell: None });
    }
}

/// A decorator whose block is being read, and the line it stands in.
pub(super) struct PendingDecorator {
    pub(super) line: Line,
    pub(super) start: usize,
    pub(super) header: Span,
    pub(super) name: Identifier,
    pub(super) arguments: Option<Arguments>,
}
