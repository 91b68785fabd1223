//! Opal text to tokens: names, numbers, durations, strings, references, symbols.

use std::rc::Rc;

use opal_core::duration::UNITS;

use crate::{
    ast::{DEPTH_MAX, Identifier, NamePath, QuoteKind, StringLiteral, StringPart},
    diagnostic::{Code, Diagnostic, Fix},
    span::Span,
};

use super::{
    reader::{Reader, Stack, is_word_byte},
    token::{NAMESPACES, SYMBOLS, Token},
};

/// Where a run of tokens ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Until {
    /// At a line end, `;`, `}` or comment outside brackets; none of them is consumed.
    LineEnd,
    /// As `LineEnd`, and at `)` and `,` (a group of `var`).
    GroupLine,
    /// At `{` outside brackets (not consumed), or as `LineEnd`.
    BlockStart,
    /// After the `->` outside brackets, or as `LineEnd`.
    Arrow,
    /// After this closing bracket, whose partner is already consumed; over lines if `lines`.
    Close { close: u8, lines: bool },
}

/// A run of tokens and how it ended.
pub(crate) struct Run {
    pub(crate) tokens: Vec<(Token, Span)>,
    /// Just after the run.
    pub(crate) end: usize,
    /// Whether what `Until` names was found.
    pub(crate) complete: bool,
}

fn closer(open: &str) -> Option<&'static str> {
    match open {
        "(" => Some(")"),
        "[" => Some("]"),
        "{" => Some("}"),
        _ => None,
    }
}

impl Reader<'_> {
    /// Reads tokens from `at` on.
    pub(crate) fn run(&mut self, at: usize, until: Until) -> Run {
        let mut tokens: Vec<(Token, Span)> = Vec::new();
        let mut open: Vec<(&'static str, usize)> = Vec::new();
        let mut at = at;
        // What a mistake swallowed is missing further on: only the first one is reported.
        let errors = self.errors();
        let done = |tokens, end, complete| Run { tokens, end, complete };
        loop {
            at = self.skip_blanks(at);
            let outside = open.is_empty();
            let Some(byte) = self.byte(at) else {
                if self.errors() == errors {
                    self.unclosed(&open);
                }
                let complete = matches!(until, Until::LineEnd) && outside;
                return done(tokens, at, complete);
            };
            if self.at_comment(at) {
                if outside && !matches!(until, Until::Close { .. }) {
                    return done(tokens, at, until == Until::LineEnd || until == Until::GroupLine);
                }
                if matches!(until, Until::Close { lines: false, .. }) {
                    return done(tokens, at, false);
                }
                at = self.take_comment(at);
                continue;
            }
            if byte == b'\n' {
                let over = match until {
                    Until::Close { lines, .. } => lines,
                    _ if outside => continues(&tokens),
                    _ => true,
                };
                if !over {
                    return done(tokens, at, until == Until::LineEnd || until == Until::GroupLine);
                }
                let next = self.skip_trivia(at);
                if (!outside || matches!(until, Until::Close { .. })) && self.starts_statement(next) {
                    if self.errors() == errors {
                        self.unclosed(&open);
                    }
                    return done(tokens, at, false);
                }
                at = next;
                continue;
            }
            if outside {
                match (until, byte) {
                    (Until::Close { close, .. }, _) if byte == close => return done(tokens, at + 1, true),
                    (Until::BlockStart, b'{') => return done(tokens, at, true),
                    (Until::Arrow, b'-') if self.starts_with(at, "->") => return done(tokens, at + 2, true),
                    (Until::LineEnd | Until::GroupLine, b';' | b'}') => return done(tokens, at, true),
                    (Until::GroupLine, b')' | b',') => return done(tokens, at, true),
                    (Until::BlockStart | Until::Arrow, b';' | b'}') => return done(tokens, at, false),
                    _ => {}
                }
            }
            let (token, end) = self.token(at);
            let span = self.span(at, end);
            if let Token::Symbol(symbol) = token {
                if closer(symbol).is_some() {
                    open.push((symbol, at));
                    if open.len() > self.stack.brackets_max() && self.stack == Stack::Callers {
                        self.wants_deep_stack = true;
                    }
                    if open.len() > self.stack.brackets_max() {
                        self.too_deep(at);
                        return done(Vec::new(), self.line_end(at), false);
                    }
                } else if matches!(symbol, ")" | "]" | "}") {
                    match open.last() {
                        Some((opening, _)) if closer(opening) == Some(symbol) => {
                            open.pop();
                        }
                        _ if self.errors() > errors => return done(tokens, at, false),
                        Some((opening, start)) => {
                            let (opening, start) = (*opening, *start);
                            let label = self.span(start, start + 1);
                            let message = format!("`{opening}` is closed by `{symbol}`");
                            let diagnostic = Diagnostic::new(Code::UnclosedBracket, span, message).with_label(label, "opened here");
                            let closing = closer(opening).unwrap_or(")");
                            let title = format!("write `{closing}` here");
                            self.report(diagnostic.with_help(title.clone()).with_fix(Fix::maybe(title, span, closing)));
                            return done(tokens, at, false);
                        }
                        None => {
                            self.report(
                                Diagnostic::new(Code::UnexpectedClose, span, format!("`{symbol}` closes nothing"))
                                    .with_help("remove it")
                                    .with_fix(Fix::maybe("remove it", span, "")),
                            );
                            return done(tokens, self.line_end(end), false);
                        }
                    }
                }
            }
            tokens.push((token, span));
            at = end;
        }
    }

    fn unclosed(&mut self, open: &[(&'static str, usize)]) {
        if let Some((symbol, start)) = open.last() {
            let span = self.span(*start, *start + 1);
            let help = format!("add `{}`", closer(symbol).unwrap_or(""));
            self.error_help(Code::UnclosedBracket, span, format!("`{symbol}` is not closed"), help);
        }
    }

    pub(crate) fn too_deep(&mut self, at: usize) {
        let span = self.span(at, at + 1);
        let message = format!("nesting is deeper than {DEPTH_MAX} levels");
        self.error_help(Code::NestingTooDeep, span, message, "split it with a `var` or a command of its own");
    }

    /// Whether a statement plainly starts at `at`, so that a bracket left open before it ends there.
    fn starts_statement(&self, at: usize) -> bool {
        let end = self.identifier_end(at);
        let keyword = matches!(self.slice(at, end), "fun" | "var" | "if" | "for" | "when" | "while" | "try");
        keyword && matches!(self.byte(end), Some(b' ' | b'\t')) && !self.starts_with(end + 1, "=")
    }

    /// One token at `at`, which is neither blank nor a line end, and where it ends.
    fn token(&mut self, at: usize) -> (Token, usize) {
        let byte = self.byte(at).unwrap_or(0);
        match byte {
            b'"' => self.string(at),
            b'\'' => self.literal_string(at),
            b'r' if self.byte(at + 1) == Some(b'"') => self.regex(at),
            b'0'..=b'9' => self.number(at),
            b'@' => self.reference_token(at),
            _ if byte.is_ascii_alphabetic() || byte == b'_' => self.name(at),
            _ => {
                if let Some(symbol) = SYMBOLS.iter().find(|symbol| self.starts_with(at, symbol)) {
                    return (Token::Symbol(symbol), at + symbol.len());
                }
                let character = self.text.get(at..).and_then(|rest| rest.chars().next()).unwrap_or('?');
                let end = at + character.len_utf8();
                let message = format!("`{character}` has no meaning here");
                let span = self.span(at, end);
                match character {
                    '“' | '”' => self.typographic(at, span, message, ('”', "\"")),
                    '‘' | '’' => self.typographic(at, span, message, ('’', "'")),
                    '&' => {
                        self.report(Diagnostic::new(Code::UnexpectedCharacter, span, message).with_help("write `&&`").with_fix(Fix::maybe(
                            "write `&&`",
                            span,
                            "&&",
                        )))
                    }
                    '$' => self.error_help(
                        Code::UnexpectedCharacter,
                        span,
                        "`$` has no meaning in an expression",
                        "write the variable's name, or `@env.NAME` for an environment variable",
                    ),
                    _ => self.error_help(Code::UnexpectedCharacter, span, message, "remove it, or put it in quotes as part of a String"),
                }
                (Token::Bad, end)
            }
        }
    }

    /// A quote that a word processor made. With its partner on the line, both can be replaced.
    fn typographic(&mut self, at: usize, span: Span, message: String, (closing, plain): (char, &str)) {
        let diagnostic = Diagnostic::new(Code::UnexpectedCharacter, span, message).with_help(format!("use a plain `{plain}`"));
        let rest = self.rest_of_line(at);
        let inside = rest.get(span.len()..).unwrap_or("");
        let partner = inside.find(closing).filter(|length| inside.get(..*length).is_some_and(|text| !text.contains(['"', '\'', '\\'])));
        self.report(match partner {
            Some(length) if !rest.starts_with(closing) => {
                let start = at + span.len() + length;
                let end = self.span(start, start + closing.len_utf8());
                diagnostic.with_fix(Fix::maybe(format!("write `{plain}` on both sides"), span, plain).and(end, plain))
            }
            _ => diagnostic,
        });
    }

    fn name(&mut self, at: usize) -> (Token, usize) {
        let end = self.identifier_end(at);
        let name = Identifier { name: self.slice(at, end).to_owned(), span: self.span(at, end) };
        let (path, after) = self.path(end, true);
        if path.is_empty() {
            return (Token::Name(Rc::from(name.name.as_str())), end);
        }
        (Token::Path(Rc::new(NamePath { name, path })), after)
    }

    fn reference_token(&mut self, at: usize) -> (Token, usize) {
        if let Some((reference, end)) = self.reference(at, true) {
            return (Token::Reference(Rc::new(reference)), end);
        }
        let name_start = at + 1 + usize::from(self.byte(at + 1) == Some(b'{'));
        let end = self.identifier_end(name_start).max(at + 1);
        let name = self.slice(name_start, end);
        let span = self.span(at, end);
        // The rest of the dotted name says nothing more.
        let mut rest = end;
        while self.byte(rest) == Some(b'.') && self.identifier_end(rest + 1) > rest + 1 {
            rest = self.identifier_end(rest + 1);
        }
        let known = crate::diagnostic::nearest(name, NAMESPACES.iter().copied());
        let message =
            if known == Some(name) { format!("`@{name}` alone is no value") } else { format!("there is no value decorator `@{name}`") };
        match known {
            Some(known) if known == name => {
                self.error_help(Code::BadReference, span, message, format!("say which value: `@{known}.NAME`"));
            }
            Some(known) => {
                let shown = format!("@{known}{}", self.slice(end, rest));
                let name = self.span(name_start, end);
                self.report(Diagnostic::new(Code::UnknownNamespace, span, message).with_meant(&shown, name, known));
            }
            None => self.error_help(Code::UnknownNamespace, span, message, "values are written `@var.NAME`, `@env.NAME`"),
        }
        (Token::Bad, rest)
    }

    fn regex(&mut self, at: usize) -> (Token, usize) {
        let mut end = at + 2;
        loop {
            match self.byte(end) {
                Some(b'"') => return (Token::Regex(Rc::from(self.slice(at + 2, end))), end + 1),
                Some(b'\\') if self.byte(end + 1).is_some_and(|byte| byte != b'\n') => end += 2,
                None | Some(b'\n') => return (Token::Bad, self.unclosed_string(at)),
                Some(_) => end += 1,
            }
        }
    }

    /// Gives where reading goes on: at the end of the line, or at the `}` there that closes the block around.
    fn unclosed_string(&mut self, at: usize) -> usize {
        let span = self.span(at, at + 1);
        self.error_help(Code::UnclosedString, span, "this string is not closed on its line", "add the closing quote");
        self.closing_brace(at).unwrap_or_else(|| self.line_end(at))
    }

    fn literal_string(&mut self, at: usize) -> (Token, usize) {
        let rest = self.bytes.get(at + 1..).unwrap_or(&[]);
        let length = rest.iter().position(|byte| matches!(byte, b'\'' | b'\n')).unwrap_or(rest.len());
        let end = at + 1 + length;
        if self.byte(end) != Some(b'\'') {
            return (Token::Bad, self.unclosed_string(at));
        }
        let text = self.slice(at + 1, end).to_owned();
        let parts = match text.is_empty() {
            true => Vec::new(),
            false => vec![StringPart::Text { text, span: self.span(at + 1, end) }],
        };
        (Token::String(Rc::new(StringLiteral { parts, quote: QuoteKind::Single })), end + 1)
    }

    fn string(&mut self, at: usize) -> (Token, usize) {
        let (parts, end, closed) = self.string_parts(at + 1);
        if !closed {
            return (Token::Bad, self.unclosed_string(at));
        }
        (Token::String(Rc::new(StringLiteral { parts, quote: QuoteKind::Double })), end)
    }

    /// The parts of a `"…"` whose first byte after the quote is at `at`; where it ends; whether it is closed.
    fn string_parts(&mut self, at: usize) -> (Vec<StringPart>, usize, bool) {
        let mut parts = Vec::new();
        let mut text = String::new();
        let (mut start, mut at) = (at, at);
        // Whether the byte before is an identifier character of literal text.
        let mut after_word = false;
        loop {
            match self.byte(at) {
                None | Some(b'\n') => {
                    return (parts, at, false);
                }
                Some(b'"') => {
                    self.push_text(&mut parts, &mut text, start, at);
                    return (parts, at + 1, true);
                }
                Some(b'\\') => {
                    let (character, end) = self.string_escape(at);
                    text.extend(character);
                    at = end;
                    after_word = false;
                }
                Some(b'@') => {
                    let found = if after_word && self.byte(at + 1) != Some(b'{') { None } else { self.reference(at, false) };
                    if let Some((reference, end)) = found {
                        self.push_text(&mut parts, &mut text, start, at);
                        if reference.namespace.name == "cmd" {
                            self.call_in_text(&reference);
                        }
                        parts.push(StringPart::Reference(reference));
                        (start, at) = (end, end);
                    } else {
                        if !after_word {
                            self.warn_near_miss(at);
                        }
                        text.push('@');
                        at += 1;
                    }
                    after_word = false;
                }
                Some(byte) => {
                    let character = self.text.get(at..).and_then(|rest| rest.chars().next()).unwrap_or('?');
                    text.push(character);
                    at += character.len_utf8();
                    after_word = is_word_byte(byte);
                }
            }
        }
    }

    fn push_text(&self, parts: &mut Vec<StringPart>, text: &mut String, start: usize, end: usize) {
        if !text.is_empty() {
            parts.push(StringPart::Text { text: std::mem::take(text), span: self.span(start, end) });
        }
    }

    /// What the escape at `at` stands for, and where it ends.
    pub(crate) fn string_escape(&mut self, at: usize) -> (Option<char>, usize) {
        let simple = |character| (Some(character), at + 2);
        match self.byte(at + 1) {
            Some(b'n') => simple('\n'),
            Some(b't') => simple('\t'),
            Some(b'r') => simple('\r'),
            Some(b'e') => simple('\u{1b}'),
            Some(byte @ (b'\\' | b'"' | b'\'' | b'@' | b'$' | b'`')) => simple(char::from(byte)),
            Some(b'u') if self.byte(at + 2) == Some(b'{') => {
                let rest = self.rest_of_line(at + 3);
                let rest = rest.char_indices().nth(9).map_or(rest, |(cut, _)| rest.get(..cut).unwrap_or(""));
                let digits = rest.split_once('}').map(|(digits, _)| digits);
                let scalar = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
                match (digits, scalar.and_then(char::from_u32).filter(|character| *character != '\0')) {
                    (Some(digits), Some(character)) => (Some(character), at + 4 + digits.len()),
                    _ => {
                        let span = self.span(at, at + 3);
                        let help = "write `\\u{1F512}`: a Unicode scalar value other than 0, in hexadecimal";
                        self.error_help(Code::UnknownEscape, span, "this `\\u{…}` is no character", help);
                        (None, at + 3)
                    }
                }
            }
            None | Some(b'\n' | b'\r') => (None, at + 1),
            Some(_) => {
                let character = self.text.get(at + 1..).and_then(|rest| rest.chars().next()).unwrap_or('?');
                let end = at + 1 + character.len_utf8();
                let span = self.span(at, end);
                let help = format!("write `\\\\{character}` for a backslash and `{character}`");
                let title = format!("write `\\\\{character}`");
                let diagnostic = Diagnostic::new(Code::UnknownEscape, span, format!("`\\{character}` is not an escape"))
                    .with_help(help)
                    .with_fix(Fix::maybe(title, span, format!("\\\\{character}")));
                self.report(diagnostic);
                (Some(character), end)
            }
        }
    }

    fn number(&mut self, at: usize) -> (Token, usize) {
        let rest = self.bytes.get(at..).unwrap_or(&[]);
        let digits = |from: usize| {
            let rest = rest.get(from..).unwrap_or(&[]);
            from + rest.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(rest.len())
        };
        let whole = digits(0);
        let fraction = match (rest.get(whole), rest.get(whole + 1)) {
            (Some(b'.'), Some(byte)) if byte.is_ascii_digit() => digits(whole + 1),
            _ => whole,
        };
        let tail = rest.get(fraction..).unwrap_or(&[]);
        let end = at + fraction + tail.iter().position(|byte| !is_word_byte(*byte)).unwrap_or(tail.len());
        let span = self.span(at, end);
        let text = self.slice(at, end);
        if end > at + fraction {
            let token = self.duration(text, span, fraction > whole);
            return (token, end);
        }
        if fraction > whole {
            return match text.parse::<f64>() {
                Ok(value) if value.is_finite() => (Token::Float(value), end),
                _ => {
                    let help = "the largest Float is about `1.8e308`: write a smaller number, or a String";
                    self.error_help(Code::BadNumber, span, "this number is too large for a Float", help);
                    (Token::Bad, end)
                }
            };
        }
        match text.parse::<i64>() {
            Ok(value) => (Token::Int(value), end),
            // The one literal that fits only behind a minus.
            Err(_) if text.trim_start_matches('0') == "9223372036854775808" && self.follows_minus(at) => (Token::Int(i64::MIN), end),
            Err(_) => {
                let help = "the largest Int is `9223372036854775807`: write a smaller number, or a String";
                self.error_help(Code::BadNumber, span, "this number is too large for an Int", help);
                (Token::Bad, end)
            }
        }
    }

    fn follows_minus(&self, at: usize) -> bool {
        at > 0 && self.byte(at - 1) == Some(b'-')
    }

    fn duration(&mut self, text: &str, span: Span, has_fraction: bool) -> Token {
        match parse_duration(text, has_fraction) {
            Ok(nanoseconds) => Token::Duration(nanoseconds),
            Err(DurationFault::NotADuration) => {
                let help = "a number is digits with at most one `.`, a duration `1h30m` with the units y w d h m s ms us ns; a name starts with a letter";
                self.error_help(Code::BadNumber, span, format!("`{text}` is not a number"), help);
                Token::Bad
            }
            Err(fault) => {
                self.error_help(Code::BadDuration, span, format!("`{text}`: {}", fault.message()), fault.help());
                Token::Bad
            }
        }
    }
}

impl Reader<'_> {
    /// The string at `at` as shell text: escapes are decoded, references and `\\@` stay as written. With it, where
    /// each piece came from, and where the string ends. `None` if there is no closed string.
    #[expect(clippy::type_complexity, reason = "text, its offsets and its end belong together")]
    pub(super) fn decode_string(&mut self, at: usize) -> Option<(String, Vec<(usize, usize)>, usize)> {
        if self.byte(at) == Some(b'\'') {
            let (token, end) = self.literal_string(at);
            let text = self.slice(at + 1, end.checked_sub(1)?).to_owned();
            return (token != Token::Bad).then(|| (text, vec![(0, at + 1)], end));
        }
        if self.byte(at) != Some(b'"') {
            return None;
        }
        // The references are read again as part of the shell text, with their messages.
        let (messages, errors) = (self.diagnostics.len(), self.errors());
        let (parts, end, closed) = self.string_parts(at + 1);
        if !closed {
            self.unclosed_string(at);
            return None;
        }
        if self.errors() == errors {
            self.diagnostics.truncate(messages);
        }
        let mut references = parts.iter().filter_map(|part| match part {
            StringPart::Reference(reference) => Some(reference.span.range()),
            StringPart::Text { .. } => None,
        });
        let mut next = references.next();
        let mut decoded = String::new();
        let mut offsets = vec![(0, at + 1)];
        let mut from = at + 1;
        while from + 1 < end {
            if let Some(range) = next.clone().filter(|range| range.start == from) {
                decoded.push_str(self.slice(range.start, range.end));
                from = range.end;
                next = references.next();
            } else if self.byte(from) == Some(b'\\') && self.byte(from + 1) != Some(b'@') {
                let (character, after) = self.string_escape(from);
                decoded.extend(character);
                from = after;
                offsets.push((decoded.len(), from));
            } else {
                let character = self.text.get(from..)?.chars().next()?;
                decoded.push(character);
                from += character.len_utf8();
                // An escaped `@` keeps its backslash and is one piece.
                if character == '\\' {
                    decoded.push('@');
                    from += 1;
                }
            }
        }
        Some((decoded, offsets, end))
    }
}

/// Whether a run that ends in this token goes on in the next line.
fn continues(tokens: &[(Token, Span)]) -> bool {
    let operator = |symbol: &str| {
        let known = ["+", "-", "*", "/", "%", "==", "!=", "<", "<=", ">", ">=", "&&", "||", "|", ",", "=", "...", ".."];
        known.contains(&symbol)
    };
    matches!(tokens.last(), Some((Token::Symbol(symbol), _)) if operator(symbol))
}

/// Why a text is not a duration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DurationFault {
    /// Nothing in it looks like a unit.
    NotADuration,
    /// A number with a point.
    Fraction,
    /// The same unit twice.
    Repeated,
    /// A larger unit after a smaller one.
    Ascending,
    /// Beyond 64 bits of nanoseconds (about 292 years).
    TooLarge,
}

impl DurationFault {
    /// What is wrong.
    #[must_use]
    pub fn message(self) -> &'static str {
        match self {
            Self::NotADuration => "not a duration",
            Self::Fraction => "a duration has no fraction",
            Self::Repeated => "a unit is repeated",
            Self::Ascending => "units must go from large to small",
            Self::TooLarge => "too long for a duration (about 292 years)",
        }
    }

    /// What to write instead.
    #[must_use]
    pub fn help(self) -> &'static str {
        match self {
            Self::NotADuration => "write `1h30m`, with the units y w d h m s ms us ns",
            Self::Fraction => "use a smaller unit: `1h30m` for one and a half hours",
            Self::Repeated => "add the parts with the same unit up",
            Self::Ascending => "write the larger unit first: `1h30m`",
            Self::TooLarge => "use a shorter duration",
        }
    }
}

/// Reads `1h30m` as nanoseconds.
///
/// # Errors
/// The first rule that the text breaks.
pub fn parse_duration(text: &str, has_fraction: bool) -> Result<i64, DurationFault> {
    let mut rest = text;
    let mut total: i64 = 0;
    let mut last: Option<usize> = None;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or(DurationFault::NotADuration)?;
        let (number, after) = rest.split_at(digits);
        let letters = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let (unit, after) = after.split_at(letters);
        let place = UNITS.iter().position(|(name, _)| *name == unit).ok_or(DurationFault::NotADuration)?;
        if has_fraction || number.contains('.') {
            return Err(DurationFault::Fraction);
        }
        match last {
            Some(last) if place == last => return Err(DurationFault::Repeated),
            Some(last) if place < last => return Err(DurationFault::Ascending),
            _ => last = Some(place),
        }
        if number.is_empty() {
            return Err(DurationFault::NotADuration);
        }
        let number: i64 = number.parse().map_err(|_| DurationFault::TooLarge)?;
        let length = UNITS.get(place).and_then(|(_, length)| i64::try_from(*length).ok()).ok_or(DurationFault::TooLarge)?;
        let part = number.checked_mul(length).ok_or(DurationFault::TooLarge)?;
        total = total.checked_add(part).ok_or(DurationFault::TooLarge)?;
        rest = after;
    }
    last.map(|_| total).ok_or(DurationFault::NotADuration)
}
