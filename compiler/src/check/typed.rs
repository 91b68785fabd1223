//! The checked tree: what the lowering works on.
//!
//! Names are resolved, arguments bound, operators and `when` reduced to nodes and conditions. Every path through it is at most
//! [`DEPTH_MAX`](super::DEPTH_MAX) statements deep, so recursive walks are safe.

use super::shape::Shape;
use crate::ast::{BinaryOperator, Literal, UnaryOperator};
use crate::span::Span;
use opal_format::kind::{NodeKind, Position, ValueType};
use std::collections::{BTreeMap, BTreeSet};

/// A checked file.
#[derive(Debug, Default)]
pub(crate) struct Unit {
    /// Top-level variables, in source order.
    pub globals: Vec<Global>,
    /// Commands, in source order. A [`Call`] names them by index.
    pub commands: Vec<Command>,
    /// The body of a script: its top-level work.
    pub script: Option<Command>,
}

/// A variable: a local of the function at hand, or one of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Variable {
    Local(u32),
    Global(u32),
}

/// What a body needs of the rest of the file.
#[derive(Clone, Debug, Default)]
pub(crate) struct Uses {
    /// Commands that it calls, with the first place.
    pub calls: BTreeMap<usize, Span>,
    /// Globals that it reads or assigns, with the first place.
    pub globals: BTreeMap<u32, Span>,
    /// Globals that it assigns.
    pub assigned: BTreeSet<u32>,
}

/// A top-level variable.
#[derive(Debug)]
pub(crate) struct Global {
    pub name: String,
    pub span: Span,
    /// Its first value; refers to no locals.
    pub initial: Expr,
    pub uses: Uses,
    /// Whether some command assigns it, so that its value depends on when it is read.
    pub assigned: bool,
}

/// A command, or the body of a script.
#[derive(Debug)]
pub(crate) struct Command {
    pub name: String,
    pub span: Span,
    /// The first locals.
    pub parameters: Vec<Parameter>,
    /// Number of locals, parameters included.
    pub locals: u32,
    pub body: Vec<Stmt>,
    pub uses: Uses,
}

/// A parameter.
#[derive(Debug)]
pub(crate) struct Parameter {
    pub name: String,
    pub expected: Option<ValueType>,
    /// May read earlier parameters, as locals of its command.
    pub default: Option<Expr>,
}

/// A statement.
#[derive(Debug)]
pub(crate) struct Stmt {
    pub span: Span,
    pub kind: StmtKind,
}

#[derive(Debug)]
pub(crate) enum StmtKind {
    /// Gives a variable a value.
    Store(Store),
    Call(Call),
    Shell(Template),
    /// A runtime binding: its step, and the local that refers to it.
    Let(Template, u32),
    Node(Node),
    If(Box<If>),
    For(Box<For>),
    /// The loop alone; the node around it is a [`Node`].
    While(Box<(Expr, Vec<Stmt>)>),
}

#[derive(Debug)]
pub(crate) struct Store {
    pub target: Variable,
    pub name: String,
    pub value: Expr,
    /// Whether the value is computed here and now.
    pub strict: bool,
    /// Whether this declares the variable.
    pub declares: bool,
}

#[derive(Debug)]
pub(crate) struct Call {
    pub command: usize,
    /// One per parameter; `None` takes the default.
    pub arguments: Vec<Option<Expr>>,
}

/// A node with its block.
#[derive(Debug)]
pub(crate) struct Node {
    pub kind: NodeKind,
    /// Source text, for control flow and groups.
    pub header: Option<String>,
    /// Where the header stands.
    pub span: Span,
    /// By parameter number, ascending.
    pub arguments: Vec<(u8, Expr)>,
    /// Whether its block works on a copy of the outer variables.
    pub isolated: bool,
    pub body: Vec<Stmt>,
}

#[derive(Debug)]
pub(crate) struct If {
    pub condition: Expr,
    pub then: Vec<Stmt>,
    pub otherwise: Vec<Stmt>,
}

/// The loop alone; the node around it is a [`Node`].
#[derive(Debug)]
pub(crate) struct For {
    /// Local and collection of each axis; collections do not read the loop's variables.
    pub axes: Vec<(u32, Expr)>,
    pub body: Vec<Stmt>,
}

/// Shell text.
#[derive(Debug)]
pub(crate) struct Template {
    pub span: Span,
    /// Name of a runtime binding.
    pub name: Option<String>,
    pub parts: Vec<Part>,
}

#[derive(Debug)]
pub(crate) enum Part {
    Text(String),
    Hole { value: Expr, position: Position, alone: bool },
}

/// An expression.
#[derive(Clone, Debug)]
pub(crate) struct Expr {
    pub span: Span,
    pub shape: Shape,
    pub kind: ExprKind,
}

#[derive(Clone, Debug)]
pub(crate) enum ExprKind {
    Constant(Literal),
    /// A String of texts and values.
    Text(Vec<Expr>),
    Array(Vec<Expr>),
    Map(Vec<(String, Expr)>),
    Load(Variable),
    Index(Box<(Expr, Expr)>),
    Field(Box<Expr>, String),
    Length(Box<Expr>),
    Elements(Box<Expr>),
    Quoted(Box<Expr>),
    Range(Box<(Expr, Expr)>),
    Unary(UnaryOperator, Box<Expr>),
    Binary(BinaryOperator, Box<(Expr, Expr)>),
    Convert(ValueType, Box<Expr>),
    /// Whether one of these holds; a flat `||`.
    Any(Vec<Expr>),
    /// Whether two values have one type and are equal.
    Same(Box<(Expr, Expr)>),
    /// Whether a value lies between two constants of its own type, both included.
    Within(Box<Expr>, Box<(Literal, Literal)>),
    /// Whether the text matches a regular expression.
    Matches(Box<Expr>, String),
    Resolve(Resolve),
}

/// A value decorator.
#[derive(Clone, Debug)]
pub(crate) struct Resolve {
    pub decorator: u16,
    pub public: bool,
    /// By parameter number, ascending.
    pub arguments: Vec<(u8, Expr)>,
}

impl Expr {
    pub(crate) fn constant(span: Span, value: Literal) -> Self {
        Self { span, shape: Shape::of_literal(&value), kind: ExprKind::Constant(value) }
    }

    pub(crate) fn text(span: Span, text: impl Into<String>) -> Self {
        Self::constant(span, Literal::String(text.into()))
    }

    /// What stands for an expression that has been complained about.
    pub(crate) fn broken(span: Span) -> Self {
        Self { span, shape: Shape::Unknown, kind: ExprKind::Constant(Literal::Bool(false)) }
    }

    /// Calls `visit` for this expression and everything in it.
    pub(crate) fn walk<'e>(&'e self, visit: &mut impl FnMut(&'e Self)) {
        visit(self);
        match &self.kind {
            ExprKind::Constant(_) | ExprKind::Load(_) => {}
            ExprKind::Text(parts) | ExprKind::Array(parts) | ExprKind::Any(parts) => parts.iter().for_each(|part| part.walk(visit)),
            ExprKind::Map(entries) => entries.iter().for_each(|(_, value)| value.walk(visit)),
            ExprKind::Field(inner, _)
            | ExprKind::Length(inner)
            | ExprKind::Elements(inner)
            | ExprKind::Quoted(inner)
            | ExprKind::Unary(_, inner)
            | ExprKind::Convert(_, inner)
            | ExprKind::Within(inner, _)
            | ExprKind::Matches(inner, _) => inner.walk(visit),
            ExprKind::Index(pair) | ExprKind::Range(pair) | ExprKind::Binary(_, pair) | ExprKind::Same(pair) => {
                pair.0.walk(visit);
                pair.1.walk(visit);
            }
            ExprKind::Resolve(resolve) => resolve.arguments.iter().for_each(|(_, value)| value.walk(visit)),
        }
    }

    /// Whether evaluating it touches neither reality nor a variable.
    pub(crate) fn is_closed(&self) -> bool {
        let mut closed = true;
        self.walk(&mut |part| closed &= !matches!(part.kind, ExprKind::Load(_) | ExprKind::Resolve(_)));
        closed
    }
}
