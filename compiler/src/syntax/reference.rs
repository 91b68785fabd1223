//! `@ns.path(options)` and `@{…}`, and the paths behind names.

use crate::{
    ast::{Argument, Arguments, Expression, ExpressionKind, Identifier, Reference, Segment, SegmentKind},
    diagnostic::{Code, Diagnostic, Fix, nearest},
    span::Span,
};

use super::{
    reader::{REFERENCE_DEPTH_MAX, Reader, is_word_byte},
    token::NAMESPACES,
    tokens::Until,
};

impl Reader<'_> {
    /// The end of the namespace if a reference stands at `at` (which is an `@`): its namespace is registered and
    /// something is taken from it.
    fn namespace_end(&self, at: usize) -> Option<(usize, usize)> {
        let braced = self.byte(at + 1) == Some(b'{');
        let start = at + 1 + usize::from(braced);
        let end = self.identifier_end(start);
        let known = NAMESPACES.contains(&self.slice(start, end));
        let follows = match self.byte(end) {
            Some(b'.') => self.identifier_end(end + 1) > end + 1,
            Some(b'(') => matches!(self.slice(start, end), "var" | "env" | "cmd"),
            _ => false,
        };
        (known && follows).then_some((start, end))
    }

    /// Whether a reference stands at `at`.
    pub(crate) fn is_reference(&self, at: usize) -> bool {
        self.byte(at) == Some(b'@') && self.namespace_end(at).is_some()
    }

    /// Reads the reference at `at`, if there is one. What stands before `at` is the caller's business.
    ///
    /// In an expression, options may span lines and more may be taken from what `( … )` yields.
    pub(crate) fn reference(&mut self, at: usize, in_expression: bool) -> Option<(Reference, usize)> {
        let (start, end) = self.namespace_end(at)?;
        let braced = start == at + 2;
        let namespace = Identifier { name: self.slice(start, end).to_owned(), span: self.span(start, end) };
        if self.depth >= REFERENCE_DEPTH_MAX {
            let message = format!("references are nested deeper than {REFERENCE_DEPTH_MAX} levels");
            let span = self.span(at, end);
            self.error_help(Code::NestingTooDeep, span, message, "give the inner value a name with `var`");
            return None;
        }
        self.depth += 1;
        let mut reference = Reference {
            span: self.span(at, end),
            namespace,
            path: Vec::new(),
            options: None,
            tail: Vec::new(),
            braced,
            quoted: false,
            older: false,
        };
        let mut end = end;
        if self.byte(end) == Some(b'(') {
            end = self.older_form(&mut reference, end, in_expression);
        } else {
            (reference.path, end) = self.path(end, false);
            if self.byte(end) == Some(b'(') {
                let (options, after) = self.arguments(end, in_expression || braced);
                end = after;
                reference.options = Some(options);
                self.older_provider(&mut reference);
            }
        }
        self.depth -= 1;
        if braced {
            if self.byte(end) == Some(b'}') {
                end += 1;
            } else {
                let span = self.span(at, end);
                self.error_help(Code::BadReference, span, "`@{` is not closed", "add `}` after the reference");
            }
            if self.starts_with(end, ".quoted") && !self.byte(end + 7).is_some_and(is_word_byte) {
                reference.quoted = true;
                end += 7;
            }
        }
        if in_expression && (reference.options.is_some() || reference.older || braced) {
            (reference.tail, end) = self.path(end, true);
        }
        reference.span = self.span(at, end);
        if reference.older {
            let message = format!("`{}` is an older spelling", self.slice(at, end).lines().next().unwrap_or(""));
            let mut diagnostic = Diagnostic::new(Code::OlderSyntax, reference.span, message);
            if let Some(path) = plain_path(&reference) {
                diagnostic = diagnostic.with_help(format!("write `@{}{path}`", reference.namespace.name));
            }
            if let Some(fix) = self.dotted_fix(&reference, end) {
                diagnostic = diagnostic.with_fix(fix);
            }
            self.report(diagnostic);
        }
        Some((reference, end))
    }

    /// `.field`, `.0`, `[0]`, `.[0]`, `[expr]`, `.*`, `.length`, as many as follow. `.length` is the length of
    /// something only when something stands before it.
    pub(crate) fn path(&mut self, at: usize, follows_value: bool) -> (Vec<Segment>, usize) {
        let mut path: Vec<Segment> = Vec::new();
        let mut at = at;
        loop {
            let start = at;
            let first = path.is_empty() && !follows_value;
            let kind = match (self.byte(at), self.byte(at + 1)) {
                (Some(b'.'), Some(byte)) if byte.is_ascii_digit() && !first => {
                    at += 1;
                    let digits = at;
                    while self.byte(at).is_some_and(|byte| byte.is_ascii_digit()) {
                        at += 1;
                    }
                    self.index(digits, at)
                }
                (Some(b'.'), Some(b'*')) if !first => {
                    at += 2;
                    SegmentKind::All
                }
                (Some(b'.'), Some(b'[')) if !first => {
                    let (kind, end) = self.bracket(at + 1);
                    at = end;
                    kind
                }
                (Some(b'['), _) if !first => {
                    let (kind, end) = self.bracket(at);
                    at = end;
                    kind
                }
                (Some(b'.'), Some(_)) if self.identifier_end(at + 1) > at + 1 => {
                    let end = self.identifier_end(at + 1);
                    let name = self.slice(at + 1, end);
                    at = end;
                    if name == "length" && !first { SegmentKind::Length } else { SegmentKind::Field(name.to_owned()) }
                }
                _ => return (path, at),
            };
            path.push(Segment { span: self.span(start, at), kind });
        }
    }

    fn index(&mut self, start: usize, end: usize) -> SegmentKind {
        let value = self.slice(start, end).parse().unwrap_or_else(|_| {
            let span = self.span(start, end);
            self.error_help(Code::BadNumber, span, "this index is too large", "count from 0: the first element is `.0`");
            0
        });
        SegmentKind::Index(value)
    }

    /// `[ … ]` at `at`.
    ///
    /// What cannot be read is consumed all the same: reading it again at each outer level would take exponential time.
    fn bracket(&mut self, at: usize) -> (SegmentKind, usize) {
        if self.depth >= REFERENCE_DEPTH_MAX {
            self.too_deep(at);
            return (SegmentKind::Index(0), self.line_end(at));
        }
        self.depth += 1;
        let errors = self.errors();
        let run = self.run(at + 1, Until::Close { close: b']', lines: false });
        self.depth -= 1;
        if !run.complete {
            if self.errors() == errors {
                let span = self.span(at, at + 1);
                let help = "add `]`, or `()` before a literal `[`";
                self.error_help(Code::UnclosedBracket, span, "`[` is not closed", help);
            }
            return (SegmentKind::Index(0), run.end);
        }
        let place = self.span(at, run.end);
        let expression = self.parse_expression(run.tokens, place);
        let kind = match expression {
            Some(Expression { kind: ExpressionKind::Int(value), .. }) if value >= 0 => SegmentKind::Index(value.unsigned_abs()),
            Some(Expression { kind: ExpressionKind::String(literal), span }) => match literal.constant() {
                Some(name) => SegmentKind::Field(name.to_owned()),
                None => SegmentKind::Computed(Box::new(Expression { kind: ExpressionKind::String(literal), span })),
            },
            Some(other) => SegmentKind::Computed(Box::new(other)),
            // Already reported.
            None => SegmentKind::Index(0),
        };
        (kind, run.end)
    }

    /// `( … )` at `at`.
    pub(crate) fn arguments(&mut self, at: usize, lines: bool) -> (Arguments, usize) {
        let errors = self.errors();
        let run = self.run(at + 1, Until::Close { close: b')', lines });
        let span = self.span(at, run.end);
        if !run.complete {
            if self.errors() == errors {
                let open = self.span(at, at + 1);
                let help = "add `)`, or write `()` to end the reference before a literal `(`";
                self.error_help(Code::UnclosedBracket, open, "`(` is not closed", help);
            }
            return (Arguments { span, items: Vec::new() }, run.end);
        }
        let items = self.parse_arguments(run.tokens, span).unwrap_or_default();
        (Arguments { span, items }, run.end)
    }

    /// `@var(NAME.path)`, `@env("X", default=…)`, `@cmd(name, …)`: the `(` is at `at`.
    fn older_form(&mut self, reference: &mut Reference, at: usize, lines: bool) -> usize {
        reference.older = true;
        let inside = self.skip_blanks(at + 1);
        let end = match reference.namespace.name.as_str() {
            "cmd" => self.command_name_end(inside),
            _ => self.identifier_end(inside),
        };
        if end > inside {
            reference.path.push(Segment { span: self.span(inside, end), kind: SegmentKind::Field(self.slice(inside, end).to_owned()) });
            let (rest, end) = self.path(end, true);
            reference.path.extend(rest);
            let end = self.skip_blanks(end);
            match self.byte(end) {
                Some(b')') => return end + 1,
                Some(b',') => {
                    let (options, after) = self.arguments(end, lines);
                    reference.options = Some(options);
                    return after;
                }
                _ => {
                    let span = self.span(at, end);
                    let help = format!("write `@{}.NAME`", reference.namespace.name);
                    self.error_help(Code::BadReference, span, "this older reference cannot be read", help);
                    let close = self.slice(end, self.line_end(end)).find(')');
                    return close.map_or(end, |length| end + length + 1);
                }
            }
        }
        let (mut options, after) = self.arguments(at, lines);
        let name = options.items.first().filter(|argument| argument.name.is_none()).and_then(constant_text);
        match name {
            Some((name, span)) if self.is_identifier(&name) => {
                reference.path.push(Segment { span, kind: SegmentKind::Field(name) });
                options.items.remove(0);
                reference.options = (!options.items.is_empty()).then_some(options);
            }
            _ => {
                let span = self.span(at, after);
                let help = format!("write `@{}.NAME`", reference.namespace.name);
                self.error_help(Code::BadReference, span, "a name was expected in this reference", help);
                reference.path.push(Segment { span, kind: SegmentKind::Field(String::new()) });
            }
        }
        after
    }

    /// `@env("X")` as `@env.X`, and `@env("X", default=1)` as `@env.X(default=1)`; what `opalc fmt` writes too.
    fn dotted_fix(&self, reference: &Reference, end: usize) -> Option<Fix> {
        let open = reference.namespace.span.end;
        let [Segment { kind: SegmentKind::Field(name), .. }] = reference.path.as_slice() else { return None };
        if !matches!(reference.namespace.name.as_str(), "var" | "env" | "cmd") || name.is_empty() || !reference.tail.is_empty() {
            return None;
        }
        let title = format!("write `@{}.{name}`", reference.namespace.name);
        if let Some(options) = &reference.options {
            let first = options.items.first()?.span.start;
            return Some(Fix::machine(title, Span { start: open, end: first }, format!(".{name}(")));
        }
        let span = Span { start: open, end: reference.span.end };
        if reference.braced {
            let after = if reference.quoted { "}.quoted" } else { "}" };
            return Some(Fix::machine(title, span, format!(".{name}{after}")));
        }
        // What follows is text, and must not be read as more of the reference.
        let continues = match (self.byte(end), self.byte(end + 1)) {
            (Some(b'.'), Some(next)) => is_word_byte(next) || matches!(next, b'*' | b'['),
            (Some(b'(' | b'['), _) => true,
            (Some(byte), _) => is_word_byte(byte) || (byte == b'-' && reference.namespace.name == "cmd"),
            (None, _) => false,
        };
        Some(Fix::machine(title, span, if continues { format!(".{name}()") } else { format!(".{name}") }))
    }

    fn is_identifier(&self, name: &str) -> bool {
        name.bytes().all(is_word_byte) && name.bytes().next().is_some_and(|byte| !byte.is_ascii_digit())
    }

    /// `@aws.secret("k")` means `@aws.secret.k`; a computed key becomes a computed segment.
    fn older_provider(&mut self, reference: &mut Reference) {
        if reference.namespace.name != "aws" || reference.path.len() != 1 {
            return;
        }
        let Some(options) = reference.options.as_mut() else { return };
        if options.items.first().is_none_or(|argument| argument.name.is_some()) {
            return;
        }
        let key = options.items.remove(0);
        if options.items.is_empty() {
            reference.options = None;
        }
        reference.older = true;
        let kind = match constant_text(&key) {
            Some((name, _)) => SegmentKind::Field(name),
            None => SegmentKind::Computed(Box::new(key.value)),
        };
        reference.path.push(Segment { span: key.span, kind });
    }

    /// The end of a command's name at `at`, hyphens allowed inside, or `at`.
    pub(crate) fn command_name_end(&self, at: usize) -> usize {
        let mut end = self.identifier_end(at);
        if end == at {
            return at;
        }
        while self.byte(end) == Some(b'-') && self.byte(end + 1).is_some_and(is_word_byte) {
            end += 1;
            while self.byte(end).is_some_and(is_word_byte) {
                end += 1;
            }
        }
        end
    }

    /// `@evn.HOME` in text: a warning when the name before the dot is nearly a namespace.
    pub(crate) fn warn_near_miss(&mut self, at: usize) {
        let start = at + 1 + usize::from(self.byte(at + 1) == Some(b'{'));
        let end = self.identifier_end(start);
        let name = self.slice(start, end);
        if name.len() < 2 || self.byte(end) != Some(b'.') || self.identifier_end(end + 1) == end + 1 {
            return;
        }
        if NAMESPACES.contains(&name) {
            return;
        }
        // Short provider names are one letter away from too much.
        let candidates = NAMESPACES.iter().copied().filter(|known| !matches!(*known, "aws" | "k8s" | "http" | "cmd"));
        if let Some(known) = nearest(name, candidates) {
            let span = self.span(at, end);
            let diagnostic = Diagnostic::new(Code::NearMissNamespace, span, format!("`@{name}` is taken as text")).with_help(format!(
                "write `@{known}{}` for a value, or `\\@{name}` to keep the text",
                self.slice(end, self.identifier_end(end + 1))
            ));
            self.report(diagnostic.with_fix(Fix::maybe(format!("write `@{known}`"), self.span(start, end), known)));
        }
    }

    pub(crate) fn call_in_text(&mut self, reference: &Reference) {
        let name = reference.name().unwrap_or("").to_owned();
        let message = format!("`@cmd.{name}` is a call and inserts no text");
        let help = format!("put `@cmd.{name}` on a line of its own, or beside an operator: `@cmd.{name} && …`");
        self.error_help(Code::CallInShellText, reference.span, message, help);
    }
}

fn constant_text(argument: &Argument) -> Option<(String, Span)> {
    match &argument.value.kind {
        ExpressionKind::String(literal) => literal.constant().map(|text| (text.to_owned(), argument.span)),
        _ => None,
    }
}

/// The path in dotted form, if it is plain enough to be shown.
fn plain_path(reference: &Reference) -> Option<String> {
    let mut shown = String::new();
    for segment in &reference.path {
        match &segment.kind {
            SegmentKind::Field(name) => shown.push_str(&format!(".{name}")),
            SegmentKind::Index(index) => shown.push_str(&format!(".{index}")),
            SegmentKind::All => shown.push_str(".*"),
            SegmentKind::Length => shown.push_str(".length"),
            SegmentKind::Computed(_) => return None,
        }
    }
    if reference.options.is_some() {
        shown.push_str("(…)");
    }
    Some(shown)
}
