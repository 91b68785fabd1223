//! The scanner: one loop over the bytes, one stack of levels.

mod values;
mod words;

use std::collections::{HashSet, VecDeque};

use crate::{
    ast::{DEPTH_MAX, Identifier, ShellPart, ShellText, ShellVariable, SimpleCommand},
    diagnostic::Code,
    syntax::reader::{Reader, is_word_byte},
};

use super::{
    SHELL_DEPTH_MAX, Scan, ShellJoint, ShellOperator, Stop, Surroundings,
    command::{Command, Compound, Level, List, ListKind, Parameter, Pending, Role, is_name},
};

/// Where the body of a here-document ends and where reading goes on after it.
struct Body {
    end: usize,
    resume: usize,
    levels: usize,
}

pub(super) struct Scanner<'r, 's> {
    reader: &'r mut Reader<'s>,
    surroundings: Surroundings,
    start: usize,
    at: usize,
    levels: Vec<(Level, usize)>,
    bodies: Vec<Body>,
    pending: VecDeque<Pending>,
    parts: Vec<ShellPart>,
    /// Values that become a variable's value: integers only, should the text turn out to hold arithmetic.
    feeding: Vec<usize>,
    commands: Vec<SimpleCommand>,
    variables: Vec<ShellVariable>,
    assigned: Vec<String>,
    /// Functions of the shell that the text defines.
    functions: HashSet<String>,
    has_arithmetic: bool,
    /// Start of the text that is not in `parts` yet.
    text_from: usize,
    /// Just after the last byte that belongs to the command.
    content_end: usize,
    /// Just after the last thing that is not literal text.
    mark: usize,
    /// Operators outside all nesting.
    operators: Vec<ShellOperator>,
    failed: bool,
}

impl<'r, 's> Scanner<'r, 's> {
    pub(super) fn new(reader: &'r mut Reader<'s>, at: usize, surroundings: Surroundings) -> Self {
        Self {
            reader,
            surroundings,
            start: at,
            at,
            levels: vec![(Level::List(Box::new(List::new(ListKind::Step, 0))), at)],
            bodies: Vec::new(),
            pending: VecDeque::new(),
            parts: Vec::new(),
            feeding: Vec::new(),
            commands: Vec::new(),
            variables: Vec::new(),
            assigned: Vec::new(),
            functions: HashSet::new(),
            has_arithmetic: false,
            text_from: at,
            content_end: at,
            mark: at,
            operators: Vec::new(),
            failed: false,
        }
    }

    pub(super) fn scan(mut self) -> Scan {
        let stop = loop {
            if let Some(body) = self.bodies.last()
                && self.at >= body.end
            {
                self.end_body();
                continue;
            }
            if self.at >= self.reader.bytes.len() {
                break self.end_of_text();
            }
            let stop = match self.levels.last().map(|(level, _)| level) {
                Some(Level::List(_)) => self.list_byte(),
                Some(Level::Double) => self.double_byte(),
                Some(Level::HereDocument) => self.here_document_byte(),
                Some(Level::Parameter(parameter)) => {
                    let parameter = *parameter;
                    self.parameter_byte(parameter)
                }
                Some(Level::Arithmetic { .. }) => self.arithmetic_byte(),
                None => Some(Stop::End),
            };
            if let Some(stop) = stop {
                break stop;
            }
        };
        self.finish(stop)
    }

    fn finish(mut self, stop: Stop) -> Scan {
        if let Some(pending) = self.pending.pop_front() {
            let span = self.reader.span(pending.start, pending.start + 2);
            let help = "end the line after the command with `<<`, and put what follows on a line of its own";
            let message = "the body of this here-document cannot follow here";
            self.reader.error_help(Code::HereDocumentPlacement, span, message, help);
            self.failed = true;
            // Skip the body, so that it is not read as commands.
            let from = self.reader.line_end(self.at);
            if let Some((_, resume)) = self.find_delimiter(from + 1, self.reader.bytes.len(), &pending) {
                self.at = resume;
            }
        }
        self.refuse_open_operator(stop);
        let end = self.at;
        let text_end = self.content_end.max(self.text_from.min(self.at));
        self.flush(text_end);
        self.settle_integers();
        for name in self.commands.iter_mut().filter_map(|command| command.name.as_mut()).filter(|name| name.contains('\r')) {
            *name = name.replace("\r\n", "\n");
        }
        let binding = if self.failed { None } else { self.binding() };
        self.warn_lone_cd();
        let span = self.reader.span(self.start, self.content_end.max(self.start));
        let text = ShellText {
            span,
            parts: self.parts,
            commands: self.commands,
            variables: self.variables,
            assigned: self.assigned,
            has_arithmetic: self.has_arithmetic,
        };
        Scan { text, end, stop, binding, text_end: self.content_end, operators: self.operators }
    }

    /// A command cannot start with an operator, nor end in `|`, `&&` or `||`, nor hold one right before another.
    fn refuse_open_operator(&mut self, stop: Stop) {
        let (Some(first), Some(last)) = (self.operators.first(), self.operators.last()) else { return };
        let open = matches!(self.levels.as_slice(), [(Level::List(list), _)] if list.after_operator);
        let (operator, message, help) = if first.text_end <= self.start {
            (first, "nothing stands before this operator", "write a command before it, or remove it")
        } else if let Some([early, _]) = self.operators.array_windows().find(|[early, late]| late.text_end <= early.end) {
            (early, "nothing stands after this operator", "write a command after it, or remove it")
        } else if open || (stop == Stop::Operator && self.content_end <= last.end) {
            (last, "nothing stands after this operator", "write a command after it, or remove it")
        } else {
            return;
        };
        if !self.failed {
            let span = self.reader.span(operator.start, operator.end);
            self.reader.error_help(Code::MissingOperand, span, message, help);
            self.failed = true;
        }
    }

    /// The name, if the command is `NAME=word` and nothing else.
    fn binding(&self) -> Option<Identifier> {
        let Some((Level::List(list), _)) = self.levels.first() else { return None };
        let command = &list.command;
        let alone = command.assignments == 1 && command.redirections == 0 && command.name.is_none();
        if !alone || !self.operators.is_empty() || self.commands.iter().filter(|command| command.depth == 0).count() != 1 {
            return None;
        }
        let name = self.assigned.first()?;
        let plain = self.reader.byte(self.start + name.len()) == Some(b'=')
            && self.reader.slice(self.start, self.start + name.len()) == name
            && self.reader.byte(self.start + name.len() + 1) != Some(b'(');
        plain.then(|| Identifier { name: name.clone(), span: self.reader.span(self.start, self.start + name.len()) })
    }

    fn warn_lone_cd(&mut self) {
        let lone = self.operators.is_empty() && self.commands.first().is_some_and(|command| command.name.as_deref() == Some("cd"));
        if lone && self.commands.iter().filter(|command| command.depth == 0).count() == 1 && !self.failed {
            let span = self.reader.span(self.start, self.content_end.max(self.start));
            let message = "each step is a process of its own, so this `cd` has no effect on the next";
            let diagnostic = crate::diagnostic::Diagnostic::new(Code::LoneCd, span, message)
                .with_help("write `@workdir(\"dir\") { … }` around the steps, or `cd dir && command` on one line");
            self.reader.report(diagnostic);
        }
    }

    // Text.

    /// Moves the literal text up to `end` into the parts. What follows starts at `end`.
    fn flush(&mut self, end: usize) {
        if end > self.text_from {
            let raw = self.reader.slice(self.text_from, end);
            // A carriage return whose line feed is not part of the text ends a line all the same.
            let raw = if self.reader.byte(end) == Some(b'\n') { raw.strip_suffix('\r').unwrap_or(raw) } else { raw };
            let text = if raw.contains('\r') { raw.replace("\r\n", "\n") } else { raw.to_owned() };
            let span = self.reader.span(self.text_from, end);
            match self.parts.last_mut() {
                Some(ShellPart::Text { text: last, span: before }) => {
                    last.push_str(&text);
                    *before = before.to(span);
                }
                _ => self.parts.push(ShellPart::Text { text, span }),
            }
        }
        self.text_from = end.max(self.text_from);
    }

    /// Leaves `start..end` out of the text.
    fn skip_text(&mut self, start: usize, end: usize) {
        self.flush(start);
        self.text_from = end;
    }

    // Levels.

    fn list(&mut self) -> &mut List {
        // INVARIANT: the bottom level is a list and is never popped, so the search always finds one.
        let index = self.levels.iter().rposition(|(level, _)| matches!(level, Level::List(_))).unwrap_or(0);
        match self.levels.get_mut(index) {
            Some((Level::List(list), _)) => list,
            _ => unreachable!("the bottom level is a list"),
        }
    }

    fn push(&mut self, level: Level) {
        if self.levels.len() >= SHELL_DEPTH_MAX {
            if !self.failed {
                let span = self.reader.span(self.at, self.at + 1);
                let message = format!("the shell text is nested deeper than {SHELL_DEPTH_MAX} levels");
                self.reader.error_help(Code::NestingTooDeep, span, message, "move the inner part to a script file");
            }
            self.give_up();
            return;
        }
        self.levels.push((level, self.at));
    }

    /// Ends the command at once, at a line end.
    fn give_up(&mut self) {
        self.failed = true;
        self.levels.truncate(1);
        self.bodies.clear();
        self.pending.clear();
        self.at = self.reader.resume_after_line(self.start).max(self.at.min(self.reader.bytes.len()));
        self.at = self.reader.line_end(self.at);
        if let Some((Level::List(list), _)) = self.levels.first_mut() {
            **list = List::new(ListKind::Step, 0);
        }
        self.content_end = self.at;
    }

    fn pop(&mut self) {
        if self.levels.len() > 1 {
            self.levels.pop();
        }
        self.mark = self.at;
    }

    /// Whether nothing of the shell is open, so that a line end ends the command.
    fn outside(&self) -> bool {
        match self.levels.as_slice() {
            [(Level::List(list), _)] => list.compounds.is_empty(),
            _ => false,
        }
    }

    fn end_of_text(&mut self) -> Stop {
        self.end_word();
        self.complain_unclosed();
        Stop::End
    }

    /// Reports the innermost thing that is still open, if any, and goes on after the command's first line.
    fn complain_unclosed(&mut self) {
        if self.failed {
            return;
        }
        if let Some(pending) = self.pending.front().cloned() {
            self.unclosed_here_document(&pending);
            return;
        }
        let innermost = self.levels.last().map(|(level, start)| (level.clone(), *start));
        let (what, close, start, code) = match innermost {
            Some((Level::Double, start)) => ("`\"`", "\"", start, Code::UnclosedQuote),
            Some((Level::Parameter(_), start)) => ("`${`", "}", start, Code::UnclosedShell),
            Some((Level::Arithmetic { bracket: true, .. }, start)) => ("`[`", "]", start, Code::UnclosedShell),
            Some((Level::Arithmetic { .. }, start)) => ("`((`", "))", start, Code::UnclosedShell),
            Some((Level::HereDocument, _)) | None => return,
            Some((Level::List(list), start)) => match (list.kind, list.compounds.last()) {
                (_, Some((Compound::If, start))) => ("`if`", "fi", *start, Code::UnclosedShell),
                (_, Some((Compound::Loop, start))) => ("this loop", "done", *start, Code::UnclosedShell),
                (_, Some((_, start))) => ("`case`", "esac", *start, Code::UnclosedShell),
                (ListKind::Step, None) => return,
                (ListKind::Substitution, None) => ("`$(`", ")", start, Code::UnclosedShell),
                (ListKind::Process, None) => ("`<(`", ")", start, Code::UnclosedShell),
                (ListKind::Group, None) => ("`{`", "}", start, Code::UnclosedShell),
                (ListKind::Condition, None) => ("`[[`", "]]", start, Code::UnclosedShell),
                (ListKind::Subshell | ListKind::Array, None) => ("`(`", ")", start, Code::UnclosedShell),
            },
        };
        let span = self.reader.span(start, start + 1);
        let message = format!("{what} of this shell command is not closed");
        self.reader.error_help(code, span, message, format!("add `{close}`"));
        self.failed = true;
        self.at = self.reader.resume_after_line(self.start);
        self.content_end = self.content_end.min(self.at).max(self.start);
        self.text_from = self.text_from.min(self.at);
    }

    // Bytes of each level.

    fn double_byte(&mut self) -> Option<Stop> {
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

    fn here_document_byte(&mut self) -> Option<Stop> {
        match self.reader.byte(self.at) {
            Some(b'\\') => self.escape(),
            Some(b'$') => self.dollar(false),
            Some(b'`') => self.backticks(),
            Some(b'@') => self.at_sign(),
            _ => self.at += 1,
        }
        None
    }

    fn parameter_byte(&mut self, parameter: Parameter) -> Option<Stop> {
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
    fn parameter_operator(&mut self, parameter: Parameter) {
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
                self.has_arithmetic = true;
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
                self.has_arithmetic = true;
                self.at += 1;
            }
            (Some(b'@'), _) => {
                next.integer = true;
                self.has_arithmetic |= self.reader.byte(self.at + 1) == Some(b'P');
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

    fn arithmetic_byte(&mut self) -> Option<Stop> {
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
            _ => self.at += 1,
        }
        None
    }

    // Pieces that every level shares.

    fn literal_character(&mut self) {
        let character = self.reader.text.get(self.at..).and_then(|rest| rest.chars().next()).unwrap_or('?');
        let end = self.at + character.len_utf8();
        let text = self.reader.slice(self.at, end);
        self.push_literal(text);
        self.at = end;
    }

    /// `\` and what follows. `\@` is `@`.
    fn escape(&mut self) {
        match self.reader.byte(self.at + 1) {
            Some(b'@') => {
                self.skip_text(self.at, self.at + 1);
                self.push_literal("@");
                self.at += 2;
            }
            Some(b'\n') => self.at += 2,
            Some(b'\r') if self.reader.byte(self.at + 2) == Some(b'\n') => self.at += 3,
            None => self.at += 1,
            Some(_) => {
                self.at += 1;
                self.literal_character();
            }
        }
    }

    fn single_quotes(&mut self) {
        let start = self.at;
        let limit = self.limit();
        let rest = self.reader.slice(start + 1, limit);
        match rest.find('\'') {
            Some(length) => {
                self.push_literal(self.reader.slice(start + 1, start + 1 + length));
                self.at = start + length + 2;
            }
            None => self.unclosed_quote(start, "'"),
        }
        self.mark = self.at;
    }

    /// `$'…'` at `at`.
    fn ansi_quotes(&mut self) {
        let start = self.at;
        let limit = self.limit();
        self.at += 2;
        while self.at < limit {
            match self.reader.byte(self.at) {
                Some(b'\'') => {
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
    fn limit(&self) -> usize {
        self.bodies.last().map_or(self.reader.bytes.len(), |body| body.end)
    }

    fn unclosed_quote(&mut self, start: usize, quote: &str) {
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
    fn dollar(&mut self, quotes: bool) {
        self.spoil_word();
        match self.reader.byte(self.at + 1) {
            Some(b'(') if self.reader.byte(self.at + 2) == Some(b'(') => {
                self.has_arithmetic = true;
                self.push(Level::Arithmetic { bracket: false, depth: 0, statement: false });
                self.at += 3;
            }
            Some(b'(') => {
                self.push(Level::List(Box::new(List::new(ListKind::Substitution, self.parts.len()))));
                self.at += 2;
            }
            Some(b'[') => {
                self.has_arithmetic = true;
                self.push(Level::Arithmetic { bracket: true, depth: 0, statement: false });
                self.at += 2;
            }
            Some(b'{') => self.parameter(),
            Some(b'\'') if quotes => self.ansi_quotes(),
            Some(b'"') if quotes => self.at += 1,
            Some(byte) if byte.is_ascii_alphabetic() || byte == b'_' => {
                let end = self.reader.identifier_end(self.at + 1);
                self.use_variable(self.at, self.at + 1, end);
                self.at = end;
                self.mark = end;
            }
            Some(b'@' | b'*' | b'#' | b'?' | b'-' | b'$' | b'!' | b'0'..=b'9') => {
                self.at += 2;
                self.mark = self.at;
            }
            _ => self.at += 1,
        }
    }

    fn use_variable(&mut self, start: usize, name: usize, end: usize) {
        let span = self.reader.span(start, end);
        self.variables.push(ShellVariable { name: self.reader.slice(name, end).to_owned(), span });
    }

    /// `${` at `at`.
    fn parameter(&mut self) {
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
                self.has_arithmetic = true;
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
    fn backticks(&mut self) {
        self.spoil_word();
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

    // Here-documents.

    /// Reads the body of the first waiting here-document; `at` is its line end.
    fn start_body(&mut self) {
        let Some(pending) = self.pending.pop_front() else { return };
        let limit = self.limit();
        let Some((body_end, resume)) = self.find_delimiter(self.at + 1, limit, &pending) else {
            self.unclosed_here_document(&pending);
            return;
        };
        self.at += 1;
        if pending.expands {
            self.levels.push((Level::HereDocument, self.at));
            self.bodies.push(Body { end: body_end, resume, levels: self.levels.len() });
        } else {
            self.at = resume;
        }
        self.content_end = self.end_of_closing_line(resume);
        self.mark = self.at;
    }

    fn end_body(&mut self) {
        let Some(body) = self.bodies.pop() else { return };
        if self.levels.len() > body.levels && !self.failed {
            let start = self.levels.last().map_or(self.at, |(_, start)| *start);
            let span = self.reader.span(start, start + 1);
            let message = "this is not closed inside its here-document";
            let help = "close it before the closing line, or write `\\` before it if it is text";
            self.reader.error_help(Code::UnclosedShell, span, message, help);
            self.failed = true;
        }
        self.levels.truncate(body.levels.saturating_sub(1).max(1));
        self.at = body.resume;
        // A `)` in the body may have moved it back.
        self.content_end = self.content_end.max(self.end_of_closing_line(body.resume));
        self.mark = self.at;
    }

    fn end_of_closing_line(&self, end: usize) -> usize {
        let before = end.checked_sub(1).filter(|before| self.reader.byte(*before) == Some(b'\r'));
        before.unwrap_or(end)
    }

    /// Where the body that starts at `from` ends, and where its closing line ends. In a body that the shell expands, a line that ends with `\`
    /// goes on in the next, before the shell looks for the delimiter.
    fn find_delimiter(&self, from: usize, limit: usize, pending: &Pending) -> Option<(usize, usize)> {
        let mut at = from;
        while at < limit {
            let start = at;
            let mut joined: Option<String> = None;
            let (line, line_end) = loop {
                let line_end = self.reader.line_end(at).min(limit);
                let line = self.reader.slice(at, line_end);
                let line = line.strip_suffix('\r').unwrap_or(line);
                at = line_end + 1;
                let escapes = line.bytes().rev().take_while(|byte| *byte == b'\\').count();
                let continues = pending.expands && escapes % 2 == 1 && line_end < limit;
                match (&mut joined, line.strip_suffix('\\').filter(|_| continues)) {
                    (Some(joined), Some(part)) => joined.push_str(part),
                    (None, Some(part)) => joined = Some(part.to_owned()),
                    (Some(joined), None) => joined.push_str(line),
                    (None, None) => break (line, line_end),
                }
                if !continues {
                    break (joined.as_deref().unwrap_or(line), line_end);
                }
            };
            let line = if pending.strip_tabs { line.trim_start_matches('\t') } else { line };
            if line == pending.delimiter {
                return Some((start, line_end));
            }
        }
        None
    }

    fn unclosed_here_document(&mut self, pending: &Pending) {
        if !self.failed {
            let span = self.reader.span(pending.start, pending.start + 2);
            let message = format!("this here-document has no closing line `{}`", pending.delimiter);
            let help = format!("add a line that holds only `{}`, without blanks before it", pending.delimiter);
            self.reader.error_help(Code::UnclosedHereDocument, span, message, help);
        }
        self.give_up();
    }

    // Lists.

    fn list_byte(&mut self) -> Option<Stop> {
        let Some(byte) = self.reader.byte(self.at) else { return Some(Stop::End) };
        let commands = self.list().holds_commands();
        let at_word_start = self.list().command.word.is_none();
        match byte {
            b' ' | b'\t' => {
                self.end_word();
                self.at += 1;
            }
            b'\r' if self.reader.byte(self.at + 1) == Some(b'\n') => {
                self.end_word();
                self.at += 1;
            }
            b'\n' => {
                self.end_word();
                return self.newline();
            }
            b'\\' if matches!(self.reader.byte(self.at + 1), Some(b'\n')) || self.reader.starts_with(self.at, "\\\r\n") => {
                self.escape();
            }
            b'\\' => {
                self.begin_word();
                self.quote_word();
                self.escape();
            }
            b'\'' => {
                self.begin_word();
                self.quote_word();
                self.single_quotes();
            }
            b'"' => {
                self.begin_word();
                self.quote_word();
                self.push(Level::Double);
                self.at += 1;
            }
            b'$' => {
                self.begin_word();
                self.dollar(true);
            }
            b'`' => {
                self.begin_word();
                self.backticks();
            }
            b'@' => {
                self.begin_word();
                self.at_sign();
            }
            b'#' | b'/' if at_word_start && self.at_comment(byte) => return self.comment(),
            b'}' if at_word_start && self.closes_block() => return Some(self.leave(Stop::Close)),
            b';' | b'&' | b'|' | b'(' | b')' | b'<' | b'>' if self.list().kind == ListKind::Condition => {
                self.condition_operator(byte);
            }
            b';' | b'&' | b'|' if commands => return self.operator(byte),
            b'(' => self.open_parenthesis(),
            b')' => self.close_parenthesis(),
            b'<' | b'>' => self.redirection(),
            b'=' => self.equals(),
            b'[' | b']' => self.subscript(byte),
            _ => {
                self.begin_word();
                self.literal_character();
            }
        }
        None
    }

    /// Takes back nothing: ends the word and the command where it stands.
    fn leave(&mut self, stop: Stop) -> Stop {
        self.end_word();
        stop
    }

    fn newline(&mut self) -> Option<Stop> {
        if !self.pending.is_empty() {
            self.start_body();
            return None;
        }
        let ends = self.outside() && !self.surroundings.in_decorator;
        let list = self.list();
        if !list.holds_commands() {
            self.at += 1;
            return None;
        }
        if ends && !list.after_operator {
            return Some(Stop::End);
        }
        if !list.after_operator {
            self.end_command();
        }
        self.at += 1;
        None
    }

    /// Whether the `#` or `/` at `at`, which starts a word, starts a comment.
    fn at_comment(&mut self, byte: u8) -> bool {
        let list_holds_commands = self.list().holds_commands();
        let before = self.at.checked_sub(1).and_then(|before| self.reader.byte(before));
        let blank = self.at == self.start || matches!(before, Some(b' ' | b'\t' | b'\n' | b'\r'));
        match byte {
            b'#' => blank && (list_holds_commands || self.list().kind == ListKind::Array),

            _ => blank && self.outside() && self.reader.starts_with(self.at, "//") && !self.surroundings.in_decorator,
        }
    }

    fn comment(&mut self) -> Option<Stop> {
        if !self.outside() || self.surroundings.in_decorator {
            // Bash reads this comment itself.
            self.at = self.reader.line_end(self.at).min(self.limit());
            self.mark = self.at;
            return None;
        }
        let continues = self.list().after_operator || !self.pending.is_empty();
        if !continues {
            self.end_word();
            return Some(Stop::End);
        }
        let start = self.at;
        self.at = self.reader.take_comment(start);
        self.skip_text(start, self.at);
        None
    }

    /// Whether the `}` at `at`, which starts a word, closes the Opal block around the command.
    fn closes_block(&mut self) -> bool {
        if !self.surroundings.in_block || self.levels.len() > 1 {
            return false;
        }
        let ends = matches!(self.reader.byte(self.at + 1), None | Some(b' ' | b'\t' | b'\r' | b'\n' | b';' | b')' | b'|' | b'&' | b'}'));
        if ends && !self.outside() {
            self.complain_unclosed();
        }
        ends
    }

    /// Operators of lists of commands: `;`, `&`, `|` and what begins with them.
    fn operator(&mut self, byte: u8) -> Option<Stop> {
        let second = self.reader.byte(self.at + 1);
        let two = |wanted: u8| second == Some(wanted);
        if byte == b'&' && two(b'>') {
            self.end_word();
            let list = self.list();
            list.command.redirections += 1;
            list.command.redirect = Some(Role::Redirect);
            self.at += if self.reader.byte(self.at + 2) == Some(b'>') { 3 } else { 2 };
            self.content_end = self.at;
            return None;
        }
        let length = match byte {
            b';' | b'&' if two(byte) => 2,
            b';' if two(b'&') => 2,
            b'|' if two(b'|') || two(b'&') => 2,
            _ => 1,
        };
        self.end_word();
        let joins = byte == b'|' || (byte == b'&' && length == 2);
        if self.outside() && !self.surroundings.in_decorator {
            let next = self.at + length;
            if byte == b'|' && two(b'>') && self.at_operation(self.at + 2) {
                return Some(Stop::Pipeline);
            }
            if byte == b';' && self.surroundings.in_arm && self.reader.at_arm(self.reader.skip_blanks(next)) {
                return Some(Stop::ArmEnd);
            }
            let operand = if joins { self.reader.skip_trivia(next) } else { self.reader.skip_blanks(next) };
            if self.reader.at_opal_operand(operand) {
                return Some(Stop::Operator);
            }
        }
        if self.outside() {
            let joint = match (byte, length) {
                (b';', _) => ShellJoint::Then,
                (b'&', 2) => ShellJoint::And,
                (b'&', _) => ShellJoint::Background,
                (_, 2) if two(b'|') => ShellJoint::Or,
                _ => ShellJoint::Pipe,
            };
            self.operators.push(ShellOperator { text_end: self.content_end, start: self.at, end: self.at + length, joint });
        }
        self.at += length;
        self.content_end = self.at;
        self.mark = self.at;
        let list = self.list();
        if let (b';', Some(Compound::CaseBody)) = (byte, list.compound())
            && length == 2
        {
            if let Some(last) = list.compounds.last_mut() {
                last.0 = Compound::CasePattern;
            }
            self.end_command();
            return None;
        }
        if byte == b'|' && list.compound() == Some(Compound::CasePattern) {
            return None;
        }
        self.end_command();
        self.list().after_operator = joins;
        None
    }

    /// A dotted name and `(`, so that a misspelt operation is seen as one: to the shell `|>` is an error anyway.
    fn at_operation(&self, at: usize) -> bool {
        let at = self.reader.skip_blanks(at);
        let group = self.reader.identifier_end(at);
        let end = self.reader.identifier_end(group + 1);
        group > at
            && self.reader.byte(group) == Some(b'.')
            && end > group + 1
            && self.reader.byte(self.reader.skip_blanks(end)) == Some(b'(')
    }

    /// The next command of this list begins.
    fn end_command(&mut self) {
        let list = self.list();
        let next = match list.compound() {
            Some(Compound::CasePattern) => Role::CaseWord,
            Some(Compound::CaseHead) => Role::CaseWord,
            _ => Role::Command,
        };
        list.command = Command::new(next);
        list.after_operator = false;
    }

    /// After `fi`, `done`, `)`: only redirections and operators can follow.
    fn after_compound(&mut self) {
        let list = self.list();
        list.command.next = Role::Argument;
    }

    fn open_parenthesis(&mut self) {
        let at = self.at;
        let double = self.reader.byte(at + 1) == Some(b'(');
        let close = self.reader.skip_blanks(at + 1);
        let empty = self.reader.byte(close) == Some(b')');
        let part = self.parts.len();
        let list = self.list();
        list.after_operator = false;
        let command = &mut list.command;
        let kind = match &mut command.word {
            // `name=(`
            Some(word) if word.assigns.is_some() && word.value_start == at => {
                word.assigns_part = true;
                word.spoil();
                ListKind::Array
            }
            // `name()`: a function of the shell.
            Some(word) if word.role == Role::Command && word.plain().is_some() && empty => {
                let name = word.plain().map(str::to_owned);
                command.word = None;
                self.functions.extend(name);
                self.at = close + 1;
                self.content_end = self.at;
                self.end_command();
                return;
            }
            // An extended glob, or an error that bash reports.
            Some(word) => {
                word.spoil();
                ListKind::Subshell
            }
            None if command.next == Role::CaseWord => {
                self.at += 1;
                return;
            }
            None if double && matches!(command.next, Role::Command | Role::LoopName) => {
                command.next = Role::Argument;
                self.has_arithmetic = true;
                self.push(Level::Arithmetic { bracket: false, depth: 0, statement: true });
                self.at = at + 2;
                return;
            }
            None => {
                command.next = Role::Argument;
                ListKind::Subshell
            }
        };
        self.push(Level::List(Box::new(List::new(kind, part))));
        self.at += 1;
    }

    fn close_parenthesis(&mut self) {
        self.end_word();
        let level = self.levels.len();
        let list = self.list();
        if list.compound() == Some(Compound::CasePattern) {
            if let Some(last) = list.compounds.last_mut() {
                last.0 = Compound::CaseBody;
            }
            self.end_command();
            self.at += 1;
            self.content_end = self.at;
            return;
        }
        let closes = matches!(list.kind, ListKind::Subshell | ListKind::Substitution | ListKind::Process | ListKind::Array);
        if !closes || !list.compounds.is_empty() {
            if !closes && list.compounds.is_empty() {
                if !self.failed {
                    let span = self.reader.span(self.at, self.at + 1);
                    let help = "quote it as `')'`, or remove it";
                    self.reader.error_help(Code::UnexpectedClose, span, "`)` closes nothing in this command", help);
                }
                self.failed = true;
                self.at += 1;
                self.content_end = self.at;
            } else {
                self.complain_unclosed();
                self.give_up();
            }
            return;
        }
        if self.pending.iter().any(|pending| pending.level >= level) && !self.failed {
            let start = self.pending.front().map_or(self.at, |pending| pending.start);
            let span = self.reader.span(start, start + 2);
            let message = "the body of this here-document must come before the `)`";
            let help = "end the line after the command with `<<`; the `)` follows the closing line";
            self.reader.error_help(Code::HereDocumentPlacement, span, message, help);
            self.failed = true;
            self.pending.clear();
        }
        self.at += 1;
        self.pop();
        self.content_end = self.at;
    }

    /// `<`, `>` and what begins with them.
    fn redirection(&mut self) {
        let rest = |text: &str| self.reader.starts_with(self.at, text);
        if rest("<(") || rest(">(") {
            self.begin_word();
            self.spoil_word();
            let part = self.parts.len();
            self.push(Level::List(Box::new(List::new(ListKind::Process, part))));
            self.at += 2;
            return;
        }
        let start = self.at;
        let (length, role) = match () {
            () if rest("<<<") => (3, Role::Redirect),
            () if rest("<<-") => (3, Role::Delimiter { strip_tabs: true }),
            () if rest("<<") => (2, Role::Delimiter { strip_tabs: false }),
            () if rest("<&") || rest(">&") => (2, Role::Descriptor),
            () if rest("<>") || rest(">>") || rest(">|") => (2, Role::Redirect),
            () => (1, Role::Redirect),
        };
        let here_string = rest("<<<");
        let list = self.list();
        // `2>`: the digits belong to the redirection.
        let descriptor = |text: &str| {
            let name = text.strip_prefix('{').and_then(|text| text.strip_suffix('}'));
            !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) || name.is_some_and(is_name)
        };
        if list.command.word.as_ref().and_then(|word| word.plain()).is_some_and(descriptor) {
            list.command.word = None;
        }
        self.end_word();
        let list = self.list();
        list.after_operator = false;
        list.command.redirections += 1;
        list.command.redirect = Some(role);
        list.command.feeds_variables |= here_string;
        self.at += length;
        if matches!(role, Role::Delimiter { .. }) {
            let blank = self.reader.skip_blanks(self.at);
            let level = self.levels.len();
            let strip_tabs = role == Role::Delimiter { strip_tabs: true };
            if matches!(self.reader.byte(blank), None | Some(b'\n' | b';' | b'&' | b'|' | b'<' | b'>' | b'(' | b')')) {
                let span = self.reader.span(start, self.at);
                self.reader.error_help(Code::UnclosedHereDocument, span, "`<<` has no delimiter", "write `<<EOF`");
                self.failed = true;
                self.list().command.redirect = None;
                return;
            }
            let delimiter = String::new();
            self.pending.push_back(Pending { start, delimiter, expands: true, strip_tabs, level });
        }
        self.content_end = self.at;
    }
}

// Shell text in an expression's string is bounded by the depth of expressions as well.
const _: () = assert!(SHELL_DEPTH_MAX <= DEPTH_MAX);
