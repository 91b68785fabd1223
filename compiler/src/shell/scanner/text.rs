//! Quotes, expansions and arithmetic: the bytes of every level but lists.

use crate::{ast::ShellVariable, diagnostic::Code, syntax::reader::is_word_byte};

use super::{
    super::{
        Stop,
        command::{Level, List, ListKind, Parameter},
        field::Unknown,
        flow::PARAMETERS,
    },
    Scanner,
};

impl Scanner<'_, '_> {
    pub(super) fn double_byte(&mut self) -> Option<Stop> {
        match self.reader.byte(self.at) {
            Some(b'"') => {
                self.at += 1;
                self.pop();
            }
            Some(b'\\') => self.escape(),
            Some(b'$') => self.dollar(false),
            Some(b'`') => self.backticks(),
            Some(b'@') => self.at_sign(),
            _ => self.literal_character(),
        }
        None
    }

    pub(super) fn here_document_byte(&mut self) -> Option<Stop> {
        match self.reader.byte(self.at) {
            Some(b'\\') => self.escape(),
            Some(b'$') => self.dollar(false),
            Some(b'`') => self.backticks(),
            Some(b'@') => self.at_sign(),
            _ => self.at += 1,
        }
        None
    }

    pub(super) fn parameter_byte(&mut self, parameter: Parameter) -> Option<Stop> {
        let byte = self.reader.byte(self.at);
        if parameter.at_name && !matches!(byte, Some(b'}')) {
            self.parameter_operator(parameter);
            return None;
        }
        match byte {
            Some(b'}') => {
                self.at += 1;
                self.pop();
            }
            // Bash pairs them even in `"${X:-'…'}"`, where they stay in the text.
            Some(b'\'') => self.single_quotes(),
            Some(b'"') => {
                self.push(Level::Double);
                self.at += 1;
            }
            Some(b'\\') => self.escape(),
            Some(b'$') => self.dollar(!parameter.plain_dollar),
            Some(b'`') => self.backticks(),
            Some(b'@') => self.at_sign(),
            _ => self.at += 1,
        }
        None
    }

    /// The byte after the name in `${name…`.
    pub(super) fn parameter_operator(&mut self, parameter: Parameter) {
        let mut next = Parameter { at_name: false, ..parameter };
        match (self.reader.byte(self.at), self.reader.byte(self.at + 1)) {
            (Some(b'['), _) => {
                let whole = self.reader.starts_with(self.at, "[@]") || self.reader.starts_with(self.at, "[*]");
                if whole {
                    self.at += 3;
                    return;
                }
                let rest = self.reader.bytes.get(self.at + 1..).unwrap_or(&[]);
                let digits = rest.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(rest.len());
                if rest.get(digits) == Some(&b']') {
                    self.at += digits + 2;
                    return;
                }
                self.evaluates("arithmetic");
                self.push(Level::Arithmetic { bracket: true, depth: 0, statement: false });
                self.at += 1;
                return;
            }
            (Some(b':'), Some(b'-' | b'=' | b'+' | b'?')) => {
                next.plain_dollar = parameter.in_double;
                self.at += 2;
            }
            (Some(b'-' | b'=' | b'+' | b'?'), _) => {
                next.plain_dollar = parameter.in_double;
                self.at += 1;
            }
            (Some(b':'), _) => {
                next.integer = true;
                self.evaluates("arithmetic");
                self.at += 1;
            }
            (Some(b'@'), _) => {
                next.integer = true;
                if self.reader.byte(self.at + 1) == Some(b'P') {
                    self.evaluates("`${…@P}`");
                }
                self.at += 1;
                self.mark = self.at;
            }
            // The next round reads it as content.
            (Some(b'$' | b'`' | b'\\' | b'"' | b'\''), _) => {}
            _ => self.at += 1,
        }
        if let Some((Level::Parameter(level), _)) = self.levels.last_mut() {
            *level = next;
        }
    }

    pub(super) fn arithmetic_byte(&mut self) -> Option<Stop> {
        let Some((Level::Arithmetic { bracket, depth, statement }, start)) = self.levels.last() else { return None };
        let (bracket, depth, statement, start) = (*bracket, *depth, *statement, *start);
        let set_depth = |scanner: &mut Self, to: usize| {
            if let Some((Level::Arithmetic { depth, .. }, _)) = scanner.levels.last_mut() {
                *depth = to;
            }
            scanner.at += 1;
        };
        match self.reader.byte(self.at) {
            Some(b'"') => {
                self.push(Level::Double);
                self.at += 1;
            }
            Some(b'\'') => self.single_quotes(),
            Some(b'\\') => self.escape(),
            Some(b'$') => self.dollar(false),
            Some(b'`') => self.backticks(),
            Some(b'@') => self.at_sign(),
            Some(b'(') if !bracket => set_depth(self, depth + 1),
            Some(b'[') if bracket => set_depth(self, depth + 1),
            Some(b')') if !bracket && depth > 0 => set_depth(self, depth - 1),
            Some(b']') if bracket && depth > 0 => set_depth(self, depth - 1),
            Some(b']') if bracket => {
                self.at += 1;
                self.pop();
            }
            Some(b')') if !bracket => {
                if self.reader.byte(self.at + 1) == Some(b')') {
                    self.at += 2;
                    self.content_end = self.at;
                } else {
                    let span = self.reader.span(start, start + 2);
                    let help = "write `( (` or `$( (` with a space for a subshell inside a subshell";
                    let message = "`((` starts arithmetic, which is not closed by `))`";
                    self.reader.error_help(Code::AmbiguousArithmetic, span, message, help);
                    self.failed = true;
                    self.at += 1;
                }
                self.pop();
                if statement {
                    self.after_compound();
                }
            }
            Some(byte) if byte.is_ascii_alphabetic() || byte == b'_' => {
                let end = self.reader.identifier_end(self.at);
                self.mention(self.reader.slice(self.at, end));
                self.at = end;
            }
            _ => self.at += 1,
        }
        None
    }

    // Pieces that every level shares.

    pub(super) fn literal_character(&mut self) {
        let character = self.reader.text.get(self.at..).and_then(|rest| rest.chars().next()).unwrap_or('?');
        let end = self.at + character.len_utf8();
        let text = self.reader.slice(self.at, end);
        self.push_literal(text, false);
        self.at = end;
    }

    /// `\` and what follows. `\@` is `@`.
    pub(super) fn escape(&mut self) {
        match self.reader.byte(self.at + 1) {
            Some(b'@') => {
                self.skip_text(self.at, self.at + 1);
                self.push_literal("@", true);
                self.at += 2;
            }
            Some(b'\n') => self.at += 2,
            Some(b'\r') if self.reader.byte(self.at + 2) == Some(b'\n') => self.at += 3,
            None => self.at += 1,
            Some(byte) => {
                // In double quotes it stays, but before what they take for special.
                if matches!(self.levels.last(), Some((Level::Double, _))) && !matches!(byte, b'$' | b'`' | b'"' | b'\\') {
                    self.push_literal("\\", true);
                }
                self.at += 1;
                let character = self.reader.text.get(self.at..).and_then(|rest| rest.chars().next()).unwrap_or('?');
                let end = self.at + character.len_utf8();
                self.push_literal(self.reader.slice(self.at, end), true);
                self.at = end;
            }
        }
    }

    pub(super) fn single_quotes(&mut self) {
        let start = self.at;
        let limit = self.limit();
        let rest = self.reader.slice(start + 1, limit);
        match rest.find('\'') {
            Some(length) => {
                self.push_literal(self.reader.slice(start + 1, start + 1 + length), true);
                self.at = start + length + 2;
            }
            None => self.unclosed_quote(start, "'"),
        }
        self.mark = self.at;
    }

    /// `$'…'` at `at`.
    pub(super) fn ansi_quotes(&mut self) {
        let start = self.at;
        let limit = self.limit();
        self.at += 2;
        while self.at < limit {
            match self.reader.byte(self.at) {
                Some(b'\'') => {
                    let text = super::super::ansi::decode(self.reader.slice(start + 2, self.at));
                    self.push_literal(&text, true);
                    self.at += 1;
                    self.mark = self.at;
                    return;
                }
                Some(b'\\') => self.at += 2,
                _ => self.at += 1,
            }
        }
        self.unclosed_quote(start, "'");
    }

    /// How far the text of this level reaches: the end of the here-document's body, or of everything.
    pub(super) fn limit(&self) -> usize {
        self.bodies.last().map_or(self.reader.bytes.len(), |body| body.end)
    }

    pub(super) fn unclosed_quote(&mut self, start: usize, quote: &str) {
        if !self.failed {
            let span = self.reader.span(start, start + 1);
            let (message, help) = match quote {
                "`" => ("this backtick is not closed".to_owned(), "close it; or write `$(…)`, which nests".to_owned()),
                _ => (format!("`{quote}` of this shell command is not closed"), format!("add `{quote}`, or write `\\{quote}`")),
            };
            self.reader.error_help(Code::UnclosedQuote, span, message, help);
        }
        self.give_up();
    }

    /// `$` and what follows, up to what needs a level of its own.
    pub(super) fn dollar(&mut self, quotes: bool) {
        match (quotes, self.reader.byte(self.at + 1)) {
            (true, Some(b'\'')) => {
                self.quote_word();
                return self.ansi_quotes();
            }
            // `$"…"`: the quotes follow.
            (true, Some(b'"')) => {
                self.quote_word();
                self.at += 1;
                return;
            }
            (_, Some(b' ' | b'\t' | b'\n' | b'"')) | (_, None) => {
                self.push_literal("$", true);
                self.at += 1;
                return;
            }
            _ => {}
        }
        self.spoil_word(Unknown::Split);
        match self.reader.byte(self.at + 1) {
            Some(b'(') if self.reader.byte(self.at + 2) == Some(b'(') => {
                self.evaluates("arithmetic");
                self.push(Level::Arithmetic { bracket: false, depth: 0, statement: false });
                self.at += 3;
            }
            Some(b'(') => {
                self.push(Level::List(Box::new(List::new(ListKind::Substitution))));
                self.at += 2;
            }
            Some(b'[') => {
                self.evaluates("arithmetic");
                self.push(Level::Arithmetic { bracket: true, depth: 0, statement: false });
                self.at += 2;
            }
            Some(b'{') => self.parameter(),
            Some(byte) if byte.is_ascii_alphabetic() || byte == b'_' => {
                let end = self.reader.identifier_end(self.at + 1);
                self.use_variable(self.at, self.at + 1, end);
                self.at = end;
                self.mark = end;
            }
            Some(byte @ (b'@' | b'*' | b'#' | b'?' | b'-' | b'$' | b'!' | b'0'..=b'9')) => {
                if matches!(byte, b'@' | b'*' | b'0'..=b'9') {
                    self.mention(PARAMETERS);
                }
                self.at += 2;
                self.mark = self.at;
            }
            _ => self.at += 1,
        }
    }

    pub(super) fn use_variable(&mut self, start: usize, name: usize, end: usize) {
        let span = self.reader.span(start, end);
        self.mention(self.reader.slice(name, end));
        self.variables.push(ShellVariable { name: self.reader.slice(name, end).to_owned(), span });
    }

    /// `${` at `at`.
    pub(super) fn parameter(&mut self) {
        let start = self.at;
        let in_double = match self.levels.last().map(|(level, _)| level) {
            Some(Level::Double | Level::HereDocument) => true,
            Some(Level::Parameter(outer)) => outer.in_double,
            _ => false,
        };
        let mut parameter = Parameter { at_name: true, integer: false, plain_dollar: false, in_double };
        self.push(Level::Parameter(parameter));
        if self.failed && self.levels.len() == 1 {
            return;
        }
        let mut name = start + 2;
        match (self.reader.byte(name), self.reader.byte(name + 1)) {
            (Some(b'#'), Some(next)) if next != b'}' => name += 1,
            (Some(b'!'), Some(next)) if is_word_byte(next) => {
                parameter.integer = true;
                self.evaluates("arithmetic");
                name += 1;
            }
            _ => {}
        }
        let mut end = self.reader.identifier_end(name);
        if end > name {
            self.use_variable(start, name, end);
        } else {
            while self.reader.byte(end).is_some_and(|byte| byte.is_ascii_digit()) {
                end += 1;
            }
            if end > name || matches!(self.reader.byte(end), Some(b'@' | b'*')) {
                self.mention(PARAMETERS);
            }
            let special = matches!(self.reader.byte(end), Some(b'@' | b'*' | b'#' | b'?' | b'-' | b'$' | b'!'));
            if end == name && special && !self.reader.is_reference(end) {
                end += 1;
            }
        }
        if end == name {
            parameter.at_name = false;
        }
        if let Some((Level::Parameter(level), _)) = self.levels.last_mut() {
            *level = parameter;
        }
        self.at = end;
        self.mark = end;
    }

    /// Backticks are read to their end; values inside are refused, since their quoting there is beyond reason.
    pub(super) fn backticks(&mut self) {
        self.spoil_word(Unknown::Split);
        let start = self.at;
        let limit = self.limit();
        let mut at = start + 1;
        loop {
            match self.reader.byte(at) {
                None => break,
                Some(_) if at >= limit => break,
                Some(b'`') => {
                    self.at = at + 1;
                    self.mark = self.at;
                    let text = self.reader.slice(start + 1, at).replace("\\`", "`").replace("\\$", "$").replace("\\\\", "\\");
                    self.absorb(&text, "text in backticks");
                    return;
                }
                Some(b'\\') => at += 2,
                Some(b'$') => {
                    let name = at + 1 + usize::from(self.reader.byte(at + 1) == Some(b'{'));
                    let end = self.reader.identifier_end(name);
                    if end > name {
                        self.use_variable(at, name, end);
                    }
                    at = end.max(at + 1);
                }
                Some(b'@') => {
                    let follows_word = self.reader.byte(at - 1).is_some_and(is_word_byte);
                    if self.reader.is_reference(at) && (!follows_word || self.reader.byte(at + 1) == Some(b'{')) {
                        let span = self.reader.span(at, self.reader.identifier_end(at + 1).max(at + 1));
                        let help = "write `$(…)` instead of backticks";
                        let message = "values cannot stand inside backticks";
                        self.reader.error_help(Code::ValueInBackticks, span, message, help);
                        self.failed = true;
                    }
                    at += 1;
                }
                Some(_) => at += 1,
            }
        }
        self.unclosed_quote(start, "`");
    }
}
