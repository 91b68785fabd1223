//! `@var(NAME)`, `@env("X", default=…)`, `@aws.secret("k")` in dotted form.

use crate::{
    ast::{Comment, Reference, SegmentKind},
    span::Span,
};

/// The text that is laid out, and what must be known of it.
#[derive(Clone, Copy)]
pub(super) struct Text<'a> {
    pub(super) text: &'a str,
    /// Sorted by position.
    pub(super) comments: &'a [Comment],
    /// Every reference by its start; with the reference itself if it is of an older form.
    pub(super) references: &'a [(Span, Option<Reference>)],
}

/// How an older reference is written now.
pub(super) struct Dotted {
    /// Everything up to the options.
    pub(super) head: String,
    /// Where the options begin; their closing parenthesis stands just before `after`.
    pub(super) options: Option<usize>,
    /// Just after the `)` of the older form.
    pub(super) after: usize,
}

impl<'a> Text<'a> {
    pub(super) fn byte(&self, at: usize) -> Option<u8> {
        self.text.as_bytes().get(at).copied()
    }

    pub(super) fn slice(&self, start: usize, end: usize) -> &'a str {
        self.text.get(start..end).unwrap_or("")
    }

    pub(super) fn starts_with(&self, at: usize, what: &str) -> bool {
        self.text.as_bytes().get(at..).is_some_and(|rest| rest.starts_with(what.as_bytes()))
    }

    /// The comment that starts at or after `at`, if it starts before `to`.
    pub(super) fn comment_between(&self, at: usize, to: usize) -> Option<Span> {
        let index = self.comments.partition_point(|comment| (comment.span.start as usize) < at);
        self.comments.get(index).map(|comment| comment.span).filter(|span| (span.start as usize) < to)
    }

    pub(super) fn comment_at(&self, at: usize) -> Option<Span> {
        self.comment_between(at, at + 1)
    }

    fn reference(&self, at: usize) -> Option<&'a (Span, Option<Reference>)> {
        let index = self.references.partition_point(|(span, _)| (span.start as usize) < at);
        self.references.get(index).filter(|(span, _)| span.start as usize == at)
    }

    /// Where the reference at `at` ends, if one stands there.
    pub(super) fn reference_end(&self, at: usize) -> Option<usize> {
        self.reference(at).map(|(span, _)| span.end as usize)
    }

    /// Blanks, escaped line ends and line ends; no comments.
    pub(super) fn skip_white(&self, mut at: usize) -> usize {
        loop {
            match self.byte(at) {
                Some(b' ' | b'\t' | b'\r' | b'\n') => at += 1,
                Some(b'\\') if self.starts_with(at, "\\\n") => at += 2,
                Some(b'\\') if self.starts_with(at, "\\\r\n") => at += 3,
                _ => return at,
            }
        }
    }

    /// White space and comments.
    pub(super) fn skip_trivia(&self, mut at: usize) -> usize {
        loop {
            at = self.skip_white(at);
            match self.comment_at(at) {
                Some(comment) => at = comment.end as usize,
                None => return at,
            }
        }
    }

    /// The text with older references in dotted form.
    pub(super) fn rewritten(&self, start: usize, end: usize) -> String {
        let mut out = String::new();
        let mut at = start;
        let first = self.references.partition_point(|(span, _)| (span.start as usize) < start);
        for (span, older) in self.references.get(first..).unwrap_or(&[]) {
            let from = span.start as usize;
            if from >= end {
                break;
            }
            if older.is_none() || from < at {
                continue;
            }
            let Some(dotted) = self.dotted(from) else { continue };
            out.push_str(self.slice(at, from));
            out.push_str(&dotted.head);
            if let Some(options) = dotted.options {
                out.push('(');
                out.push_str(self.rewritten(options, dotted.after - 1).trim_end());
                out.push(')');
            }
            at = dotted.after;
        }
        out.push_str(self.slice(at, end));
        out
    }

    /// The dotted form of the older reference at `at`. `None` if none stands there, or if it has no such form.
    pub(super) fn dotted(&self, at: usize) -> Option<Dotted> {
        let reference = self.reference(at)?.1.as_ref()?;
        let first = reference.path.first()?;
        let parenthesised = self.byte(reference.namespace.span.end as usize) == Some(b'(');
        let (mut head, end) = if parenthesised {
            let last = reference.path.last()?;
            let (start, end) = (first.span.start as usize, last.span.end as usize);
            let quoted = matches!(self.byte(start), Some(b'"' | b'\''));
            let path = if quoted { reference.name()?.to_owned() } else { self.rewritten(start, end) };
            (format!("{}.{path}", self.slice(at, reference.namespace.span.end as usize)), end)
        } else {
            let key = reference.path.get(1)?;
            let (start, end) = (key.span.start as usize, key.span.end as usize);
            let written = self.rewritten(start, end);
            let segment = match &key.kind {
                SegmentKind::Field(name) if is_identifier(name) && name != "length" => format!(".{name}"),
                // A number in brackets would be an index.
                SegmentKind::Computed(value) if matches!(value.kind, crate::ast::ExpressionKind::Int(_)) => return None,
                _ if written.contains('\n') => return None,
                _ => format!("[{written}]"),
            };
            (format!("{}{segment}", self.slice(at, first.span.end as usize)), end)
        };
        let mut next = self.skip_white(end);
        if self.byte(next) == Some(b',') {
            next = self.skip_white(next + 1);
        }
        if self.comment_between(at, next + 1).is_some() {
            return None;
        }
        let options = reference.options.as_ref().filter(|options| !options.items.is_empty());
        let after = match options {
            Some(options) => options.span.end as usize,
            None if self.byte(next) == Some(b')') => next + 1,
            None => return None,
        };
        let extends = reference.namespace.name == "var" && !reference.tail.is_empty();
        if options.is_none() && !reference.braced && !extends && self.continues_path(after) {
            head.push_str("()");
        }
        Some(Dotted { head, options: options.map(|_| next), after })
    }

    /// Whether what stands at `at` would be read as more of a dotted reference before it.
    fn continues_path(&self, at: usize) -> bool {
        match (self.byte(at), self.byte(at + 1)) {
            (Some(b'.'), Some(next)) => is_word_byte(next) || next == b'*' || next == b'[',
            (Some(b'(' | b'['), _) => true,
            (Some(byte), _) => is_word_byte(byte),
            (None, _) => false,
        }
    }
}

pub(super) fn is_word_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn is_identifier(name: &str) -> bool {
    name.bytes().all(is_word_byte) && name.bytes().next().is_some_and(|byte| !byte.is_ascii_digit())
}
