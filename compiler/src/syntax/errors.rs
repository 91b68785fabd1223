//! The one place where the parser library's errors become ours.

use std::borrow::Cow;

use chumsky::error::{Rich, RichPattern, RichReason};

use crate::{
    diagnostic::{Code, Diagnostic},
    span::Span,
};

use super::token::Token;

/// The error type of every grammar rule.
pub(crate) type Failure = Rich<'static, Token, Span>;

/// The text of the only custom error: an expression that is nested too deeply.
pub(crate) const TOO_DEEP: &str = "too deep";

impl chumsky::span::Span for Span {
    type Context = ();
    type Offset = u32;

    fn new((): (), range: std::ops::Range<u32>) -> Self {
        Self { start: range.start, end: range.end.max(range.start) }
    }

    fn context(&self) {}

    fn start(&self) -> u32 {
        self.start
    }

    fn end(&self) -> u32 {
        self.end
    }
}

/// What a grammar rule was asked to read, for its messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    Expression,
    Arguments,
    Parameters,
    Pattern,
    Axes,
    Binding,
}

impl Subject {
    fn code(self) -> Code {
        match self {
            Self::Pattern => Code::BadPattern,
            Self::Parameters => Code::BadDefinition,
            _ => Code::UnexpectedToken,
        }
    }

    fn help(self) -> &'static str {
        match self {
            Self::Expression => "an expression is a value, a name, `@ns.name`, or these joined by operators",
            Self::Arguments => "arguments are written `(value, name=value)`",
            Self::Parameters => "parameters are written `(name, name: Type, name = default)`",
            Self::Pattern => "patterns are literals, `\"a\" | \"b\"`, `{\"a\", \"b\"}`, `r\"regex\"`, `1...9`, `else`",
            Self::Axes => "a loop is written `for x in xs { … }` or `for a in as, b in bs { … }`",
            Self::Binding => "a variable is written `var name = value`",
        }
    }
}

/// Our message for a failure.
pub(crate) fn diagnostic(failure: &Failure, subject: Subject) -> Diagnostic {
    let span = *failure.span();
    let (expected, found) = match failure.reason() {
        RichReason::Custom(_) => {
            let message = format!("the expression is nested deeper than {} levels", crate::ast::DEPTH_MAX);
            return Diagnostic::new(Code::NestingTooDeep, span, message).with_help("split it with `var`");
        }
        RichReason::ExpectedFound { expected, found } => (expected, found),
    };
    let mut names: Vec<Cow<'_, str>> = expected.iter().filter_map(name).collect();
    if names.iter().any(|name| name == "a value") {
        // What opens a value needs no mention of its own.
        names.retain(|name| !matches!(name.as_ref(), "`(`" | "`[`" | "`{`"));
    }
    names.sort();
    names.dedup();
    let expected = match names.as_slice() {
        [] => "something else".to_owned(),
        [one] => one.to_string(),
        [all @ .., last] if names.len() <= 5 => format!("{} or {last}", all.join(", ")),
        first => format!("{}, …", first.get(..4).unwrap_or(&[]).join(", ")),
    };
    let message = match found {
        Some(token) => format!("expected {expected}, found {}", token.describe()),
        None => format!("expected {expected}, found the end"),
    };
    Diagnostic::new(subject.code(), span, message).with_help(subject.help())
}

fn name<'a>(pattern: &'a RichPattern<'_, Token>) -> Option<Cow<'a, str>> {
    match pattern {
        RichPattern::Token(token) => Some(Cow::Owned(token.describe())),
        RichPattern::Label(label) if matches!(label.as_ref(), "in" | "else") => Some(Cow::Owned(format!("`{label}`"))),
        RichPattern::Label(label) => Some(Cow::Borrowed(label)),
        RichPattern::Identifier(name) => Some(Cow::Borrowed(name)),
        RichPattern::EndOfInput => Some(Cow::Borrowed("the end")),
        _ => None,
    }
}
