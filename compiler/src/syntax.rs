//! Source text to syntax tree.
//!
//! `recognise` decides by form what a line is; [`crate::shell`] reads shell text; `tokens` and `grammar` read
//! everything else (`parse` brings the two together); `statements` and `line` put it together on an explicit stack. An error in one statement does
//! not hide those in the next.

mod errors;
mod grammar;
mod line;
mod parse;
mod pending;
pub(crate) mod reader;
mod recognise;
mod reference;
mod statements;
mod token;
mod tokens;

pub use token::NAMESPACES;
pub use tokens::{DurationFault, parse_duration};

use crate::{
    ast::File,
    diagnostic::{self, Code, Diagnostic},
    source::{SOURCE_SIZE_MAX, Source},
    span::Span,
};

use self::{
    grammar::Grammar,
    reader::{Reader, Stack},
    statements::Statements,
};

/// What came of a source.
#[derive(Clone, Debug, Default)]
pub struct Parsed {
    /// What could be read; with errors, what they concern is left out.
    pub file: File,
    /// Sorted by position.
    pub diagnostics: Vec<Diagnostic>,
    /// Names of variables whose declaration could not be read: uses of them need no message of their own.
    pub broken_names: Vec<String>,
}

impl Parsed {
    /// Whether some message keeps the source from compiling.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.diagnostics.iter().any(Diagnostic::is_error)
    }
}

/// Reads a source. Never fails as a whole, never panics; time and memory are linear in its size.
#[must_use]
pub fn parse(source: &Source) -> Parsed {
    if let Some(diagnostic) = unreadable(source) {
        return Parsed { diagnostics: vec![diagnostic], ..Parsed::default() };
    }
    if let Some(parsed) = read(source, Stack::Callers) {
        return parsed;
    }
    let parsed = std::thread::scope(|threads| {
        let builder = std::thread::Builder::new().stack_size(DEEP_STACK_SIZE);
        let thread = builder.spawn_scoped(threads, || read(source, Stack::Deep)).ok()?;
        thread.join().ok().flatten()
    });
    parsed.unwrap_or_else(|| {
        let message = "the source nests brackets deeply, and there is no memory for a larger stack";
        let diagnostic = Diagnostic::new(Code::NestingTooDeep, Span::at(0), message);
        Parsed { diagnostics: vec![diagnostic], ..Parsed::default() }
    })
}

/// Enough for the deepest nesting that is let through to the grammar, in an unoptimised build.
const DEEP_STACK_SIZE: usize = 64 << 20;

/// Reads the source, or gives up if the stack is not deep enough for it.
fn read(source: &Source, stack: Stack) -> Option<Parsed> {
    let grammar = Grammar::new();
    let mut reader = Reader::new(source.text(), &grammar, stack);
    let mut start = 0;
    if reader.starts_with(0, "\u{feff}") {
        start = 3;
    }
    if reader.starts_with(start, "#!") {
        start = reader.take_comment(start);
    }
    let items = Statements::new(&mut reader, start).items();
    if reader.wants_deep_stack {
        return None;
    }
    let mut diagnostics = reader.diagnostics;
    diagnostic::sort(&mut diagnostics);
    let file = File { items, comments: reader.comments };
    Some(Parsed { file, diagnostics, broken_names: reader.broken })
}

/// What keeps the bytes from being read at all.
fn unreadable(source: &Source) -> Option<Diagnostic> {
    let bytes = source.bytes();
    if bytes.len() > SOURCE_SIZE_MAX {
        let message = format!("the source holds {} bytes, more than {SOURCE_SIZE_MAX}", bytes.len());
        let diagnostic = Diagnostic::new(Code::SourceTooLarge, Span::at(SOURCE_SIZE_MAX), message);
        return Some(diagnostic.with_help("move data into files of their own and read them with `@file.read(\"…\")`"));
    }
    if let Some(at) = bytes.iter().position(|byte| *byte == 0) {
        let diagnostic = Diagnostic::new(Code::NulByte, Span::new(at, at + 1), "the source holds a NUL byte");
        return Some(diagnostic.with_help("is this an `.opl` file? Remove the byte or save it as UTF-8 text"));
    }
    source
        .invalid_utf8()
        .map(|span| Diagnostic::new(Code::InvalidUtf8, span, "the source is not valid UTF-8 here").with_help("save it as UTF-8"))
}
