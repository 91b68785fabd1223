//! Tokens of the Opal parts of a source. Shell text never becomes tokens of this kind.

use std::rc::Rc;

use crate::ast::{NamePath, Reference, StringLiteral};

/// The registered value namespaces. An `@` before anything else is text.
pub const NAMESPACES: &[&str] = &["var", "env", "cmd", "file", "random", "crypto", "aws", "http", "k8s"];

/// One token. Payloads are shared, since the parser copies tokens.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Token {
    /// A name without a path behind it.
    Name(Rc<str>),
    /// `name.field[0]`
    Path(Rc<NamePath>),
    Int(i64),
    Float(f64),
    /// Nanoseconds.
    Duration(i64),
    String(Rc<StringLiteral>),
    Regex(Rc<str>),
    Reference(Rc<Reference>),
    /// Punctuation and operators.
    Symbol(&'static str),
    /// Something already reported.
    Bad,
}

impl Token {
    /// How messages call it.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Name(name) => format!("`{name}`"),
            Self::Path(path) => format!("`{}`", path.name.name),
            Self::Int(_) | Self::Float(_) => "a number".to_owned(),
            Self::Duration(_) => "a duration".to_owned(),
            Self::String(_) => "a string".to_owned(),
            Self::Regex(_) => "a regular expression".to_owned(),
            Self::Reference(reference) => format!("`@{}`", reference.namespace.name),
            Self::Symbol(symbol) => format!("`{symbol}`"),
            Self::Bad => "an invalid token".to_owned(),
        }
    }
}

/// Every symbol, longest first where one begins another.
pub(crate) const SYMBOLS: &[&str] = &[
    "...", "..", "->", "==", "!=", "<=", ">=", "&&", "||", "++", "--", "+=", "-=", "*=", "/=", "%=", "(", ")", "[", "]", "{", "}", ",",
    ":", "=", "+", "-", "*", "/", "%", "<", ">", "!", "|", ".",
];
