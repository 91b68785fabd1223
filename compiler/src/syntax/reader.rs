//! What every part of the front end shares while it reads one source: the bytes, the messages, the comments.

use crate::{
    ast::{Comment, DEPTH_MAX},
    diagnostic::{Code, Diagnostic},
    span::Span,
};

use super::grammar::Grammar;

/// How deep references may stand inside the options or indices of references.
pub(crate) const REFERENCE_DEPTH_MAX: usize = 32;
/// How far a line is searched for something that decides how it is read.
const LOOK_AHEAD_MAX: usize = 1024;
/// How many errors are collected before reading stops.
pub(crate) const ERRORS_MAX: usize = 200;
/// How often reading goes on after something that is unclosed up to the end of the source. Each time costs another
/// pass over the rest, so a bound keeps the whole linear.
const RESUMPTIONS_MAX: usize = 16;

/// Which stack the grammar runs on: its recursion follows the brackets of an expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stack {
    /// Whatever the caller has: only shallow expressions are let through.
    Callers,
    /// One made for the deepest expressions.
    Deep,
}

impl Stack {
    /// How many brackets may be open at once.
    pub(crate) fn brackets_max(self) -> usize {
        match self {
            Self::Callers => 24,
            Self::Deep => DEPTH_MAX,
        }
    }
}

pub(crate) struct Reader<'s> {
    pub(crate) stack: Stack,
    /// Something was left unread that the deep stack would hold: read all of it again there.
    pub(crate) wants_deep_stack: bool,
    pub(crate) text: &'s str,
    pub(crate) bytes: &'s [u8],
    pub(crate) grammar: &'s Grammar,
    pub(crate) diagnostics: Vec<Diagnostic>,
    pub(crate) comments: Vec<Comment>,
    /// Names whose declaration could not be read.
    pub(crate) broken: Vec<String>,
    /// Current depth of references inside references.
    pub(crate) depth: usize,
    resumptions: usize,
    errors: usize,
    /// Where `text` was decoded from: pairs (offset here, offset in the source), ascending. Empty when it is the source.
    offsets: Vec<(usize, usize)>,
}

impl<'s> Reader<'s> {
    pub(crate) fn new(text: &'s str, grammar: &'s Grammar, stack: Stack) -> Self {
        Self {
            stack,
            wants_deep_stack: false,
            text,
            bytes: text.as_bytes(),
            grammar,
            diagnostics: Vec::new(),
            comments: Vec::new(),
            broken: Vec::new(),
            depth: 0,
            resumptions: 0,
            errors: 0,
            offsets: Vec::new(),
        }
    }

    /// A reader of text that was decoded from a part of a source.
    pub(crate) fn decoded(text: &'s str, grammar: &'s Grammar, stack: Stack, offsets: Vec<(usize, usize)>) -> Self {
        Self { offsets, ..Self::new(text, grammar, stack) }
    }

    pub(crate) fn byte(&self, at: usize) -> Option<u8> {
        self.bytes.get(at).copied()
    }

    pub(crate) fn slice(&self, start: usize, end: usize) -> &'s str {
        self.text.get(start..end).unwrap_or("")
    }

    pub(crate) fn starts_with(&self, at: usize, what: &str) -> bool {
        self.bytes.get(at..).is_some_and(|rest| rest.starts_with(what.as_bytes()))
    }

    /// The bytes `start..end` as a span of the source.
    pub(crate) fn span(&self, start: usize, end: usize) -> Span {
        Span::new(self.source_offset(start), self.source_offset(end))
    }

    fn source_offset(&self, at: usize) -> usize {
        let index = self.offsets.partition_point(|(here, _)| *here <= at);
        match index.checked_sub(1).and_then(|index| self.offsets.get(index)) {
            Some((here, source)) => source + (at - here),
            None => at,
        }
    }

    pub(crate) fn report(&mut self, diagnostic: Diagnostic) {
        if diagnostic.is_error() {
            self.errors += 1;
        }
        if self.diagnostics.len() < 4 * ERRORS_MAX {
            self.diagnostics.push(diagnostic);
        }
    }

    pub(crate) fn error(&mut self, code: Code, span: Span, message: impl Into<String>) {
        self.report(Diagnostic::new(code, span, message));
    }

    pub(crate) fn error_help(&mut self, code: Code, span: Span, message: impl Into<String>, help: impl Into<String>) {
        self.report(Diagnostic::new(code, span, message).with_help(help));
    }

    /// Whether so many errors were found that reading on helps nobody.
    pub(crate) fn is_hopeless(&self) -> bool {
        self.errors >= ERRORS_MAX
    }

    pub(crate) fn errors(&self) -> usize {
        self.errors
    }

    /// Where to go on after something that began at `start` was unclosed up to the end: the next line, or the end.
    pub(crate) fn resume_after_line(&mut self, start: usize) -> usize {
        self.resumptions += 1;
        if self.resumptions > RESUMPTIONS_MAX { self.bytes.len() } else { self.line_end(start) }
    }

    /// The offset of the line end at or after `at` (or the end of the text).
    pub(crate) fn line_end(&self, at: usize) -> usize {
        let rest = self.bytes.get(at..).unwrap_or(&[]);
        rest.iter().position(|byte| *byte == b'\n').map_or(self.bytes.len(), |index| at + index)
    }

    /// The rest of the line at `at`, cut after `LOOK_AHEAD_MAX` bytes: what is looked at again and again must be short.
    pub(crate) fn rest_of_line(&self, at: usize) -> &'s str {
        let window = self.bytes.get(at..).unwrap_or(&[]);
        let window = window.get(..LOOK_AHEAD_MAX).unwrap_or(window);
        let mut end = at + window.iter().position(|byte| *byte == b'\n').unwrap_or(window.len());
        while !self.text.is_char_boundary(end) {
            end -= 1;
        }
        self.slice(at, end)
    }

    /// Spaces, tabs, carriage returns and escaped line ends.
    pub(crate) fn skip_blanks(&self, mut at: usize) -> usize {
        loop {
            match self.byte(at) {
                Some(b' ' | b'\t' | b'\r') => at += 1,
                Some(b'\\') if self.byte(at + 1) == Some(b'\n') => at += 2,
                Some(b'\\') if self.starts_with(at, "\\\r\n") => at += 3,
                _ => return at,
            }
        }
    }

    /// Whether a comment starts at `at`; what precedes it is the caller's business.
    pub(crate) fn at_comment(&self, at: usize) -> bool {
        self.byte(at) == Some(b'#') || self.starts_with(at, "//")
    }

    /// Keeps the comment at `start` and returns where its line ends.
    pub(crate) fn take_comment(&mut self, start: usize) -> usize {
        let end = self.line_end(start);
        let shown = if end > start && self.byte(end - 1) == Some(b'\r') { end - 1 } else { end };
        // Looking ahead may meet the same comment again.
        let span = self.span(start, shown);
        if self.comments.last().is_none_or(|last| last.span.start < span.start) {
            self.comments.push(Comment { span });
        }
        end
    }

    /// Blanks, line ends and comments.
    pub(crate) fn skip_trivia(&mut self, mut at: usize) -> usize {
        loop {
            at = self.skip_blanks(at);
            if self.byte(at) == Some(b'\n') {
                at += 1;
            } else if self.at_comment(at) {
                at = self.take_comment(at);
            } else {
                return at;
            }
        }
    }

    /// The end of the identifier at `at`, or `at` if there is none.
    pub(crate) fn identifier_end(&self, at: usize) -> usize {
        match self.byte(at) {
            Some(byte) if byte.is_ascii_alphabetic() || byte == b'_' => {
                let rest = self.bytes.get(at..).unwrap_or(&[]);
                at + rest.iter().position(|byte| !is_word_byte(*byte)).unwrap_or(rest.len())
            }
            _ => at,
        }
    }
}

/// A byte that an identifier may hold.
pub(crate) fn is_word_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}
