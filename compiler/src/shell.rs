//! Shell text: where a command ends, where values stand in it, and what bash would do with them there.
//!
//! This is no parser of the shell language; bash reads the text again. It finds exactly what must be known before:
//! quotes, nesting, here-documents, words, the names of commands, and the positions whose text bash evaluates. What is
//! not understood is left to bash, unless a value stands in it: then it is refused.
//!
//! One pass, an explicit stack, no recursion but for the options of references (bounded). Tests: `tests/shell.rs`.

mod ansi;
mod command;
mod field;
mod flow;
mod interpreter;
mod names;
mod rules;
mod scanner;

use crate::{
    ast::{Identifier, ShellText},
    syntax::reader::Reader,
};

/// How deep quotes, substitutions and groups may nest.
pub const SHELL_DEPTH_MAX: usize = 256;

/// What surrounds a command.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Surroundings {
    /// A `}` as a word of its own closes an Opal block.
    pub(crate) in_block: bool,
    /// A `;` before `pattern ->` ends an arm.
    pub(crate) in_arm: bool,
    /// The text is that of `@shell("…")`: it ends where it ends, and holds no Opal operand.
    pub(crate) in_decorator: bool,
    /// The text is part of what bash is given already: no value of ours is in it.
    pub(crate) is_foreign: bool,
}

/// Why a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// A line end, a comment or the end of the source.
    End,
    /// The `}` that closes the enclosing Opal block (not consumed).
    Close,
    /// An operator before an Opal operand (not consumed).
    Operator,
    /// `|>` before an operation (not consumed).
    Pipeline,
    /// The `;` between two arms (not consumed).
    ArmEnd,
}

/// An operator of the shell's outside all nesting, inside one command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ShellJoint {
    /// `|`, `|&`
    Pipe,
    /// `&&`
    And,
    /// `||`
    Or,
    /// `;`
    Then,
    /// `&`
    Background,
}

/// Where such an operator stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ShellOperator {
    /// Just after the text before it; blanks and escaped line ends may follow.
    pub(crate) text_end: usize,
    pub(crate) start: usize,
    /// Just after it.
    pub(crate) end: usize,
    pub(crate) joint: ShellJoint,
}

/// A command that was read.
pub(crate) struct Scan {
    pub(crate) text: ShellText,
    /// Where reading goes on.
    pub(crate) end: usize,
    pub(crate) stop: Stop,
    /// The name, if the whole command is one assignment `NAME=word`.
    pub(crate) binding: Option<Identifier>,
    /// Just after the last byte of the text.
    pub(crate) text_end: usize,
    /// Its own operators, in order.
    pub(crate) operators: Vec<ShellOperator>,
}

impl Reader<'_> {
    /// Reads the shell command at `at`.
    pub(crate) fn shell(&mut self, at: usize, surroundings: Surroundings) -> Scan {
        scanner::Scanner::new(self, at, surroundings).scan()
    }
}
