//! The scanner: one loop over the bytes, one stack of levels.

mod documents;
mod lists;
mod text;
mod values;
mod words;

use std::collections::{HashSet, VecDeque};

use crate::{
    ast::{DEPTH_MAX, Identifier, ShellPart, ShellText, ShellVariable, SimpleCommand},
    diagnostic::Code,
    syntax::reader::Reader,
};

use super::{
    SHELL_DEPTH_MAX, Scan, ShellOperator, Stop, Surroundings,
    command::{Compound, Level, List, ListKind, Pending},
    field::Reach,
    flow::Flow,
};

/// Where the body of a here-document ends and where reading goes on after it.
struct Body {
    end: usize,
    resume: usize,
    levels: usize,
    reach: Reach,
}

/// How deep text that bash evaluates may stand in text that bash evaluates; deeper text is not read.
const EVALUATED_DEPTH_MAX: usize = 4;

pub(super) struct Scanner<'r, 's> {
    reader: &'r mut Reader<'s>,
    surroundings: Surroundings,
    start: usize,
    at: usize,
    levels: Vec<(Level, usize)>,
    bodies: Vec<Body>,
    pending: VecDeque<Pending>,
    parts: Vec<ShellPart>,
    commands: Vec<SimpleCommand>,
    variables: Vec<ShellVariable>,
    /// Names that the text sets, in order; and as a set.
    assigned: Vec<String>,
    known: HashSet<String>,
    /// Where values go.
    flow: Flow,
    /// Here-documents, here-strings, what is piped: what a command may read; and the variables that commands read.
    inputs: Vec<Reach>,
    reads: Vec<String>,
    /// What `echo` and `printf` print, and where they end; and whether all of it may be read.
    printed: Vec<(usize, Reach)>,
    prints_on: bool,
    /// A command that evaluates its input.
    runs_input: Option<&'static str>,
    /// How deep this is in text that bash evaluates.
    evaluated: usize,
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
            levels: vec![(Level::List(Box::new(List::new(ListKind::Step))), at)],
            bodies: Vec::new(),
            pending: VecDeque::new(),
            parts: Vec::new(),
            commands: Vec::new(),
            variables: Vec::new(),
            assigned: Vec::new(),
            known: HashSet::new(),
            flow: Flow::default(),
            inputs: Vec::new(),
            reads: Vec::new(),
            printed: Vec::new(),
            prints_on: false,
            runs_input: None,
            evaluated: 0,
            text_from: at,
            content_end: at,
            mark: at,
            operators: Vec::new(),
            failed: false,
        }
    }

    pub(super) fn scan(mut self) -> Scan {
        let stop = self.run();
        self.finish(stop)
    }

    /// What text that bash evaluates in the same shell does; `None` where it cannot be read.
    fn flow_of(&self, text: &str) -> Option<Flow> {
        if self.evaluated >= EVALUATED_DEPTH_MAX {
            return None;
        }
        let mut reader = Reader::new(text, self.reader.grammar, self.reader.stack);
        let surroundings = Surroundings { in_decorator: true, is_foreign: true, ..Surroundings::default() };
        let mut scanner = Scanner::new(&mut reader, 0, surroundings);
        scanner.evaluated = self.evaluated + 1;
        scanner.run();
        scanner.close_command();
        scanner.read_inputs();
        let failed = scanner.failed || !scanner.pending.is_empty();
        (!failed).then_some(scanner.flow)
    }

    fn run(&mut self) -> Stop {
        loop {
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
        }
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
        self.close_command();
        self.settle();
        for name in self.commands.iter_mut().filter_map(|command| command.name.as_mut()).filter(|name| name.contains('\r')) {
            *name = name.replace("\r\n", "\n");
        }
        let binding = if self.failed { None } else { self.binding() };
        self.warn_lone_cd();
        let span = self.reader.span(self.start, self.content_end.max(self.start));
        let text = ShellText { span, parts: self.parts, commands: self.commands, variables: self.variables, assigned: self.assigned };
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
            **list = List::new(ListKind::Step);
        }
        self.content_end = self.at;
    }

    fn pop(&mut self) {
        if matches!(self.levels.last(), Some((Level::List(_), _))) {
            self.close_command();
        }
        if self.levels.len() > 1
            && let Some((Level::List(list), start)) = self.levels.pop()
        {
            match list.kind {
                ListKind::Process => self.hand_on(start),
                ListKind::Group | ListKind::Subshell => self.list().command.opened = Some(start),
                _ => {}
            }
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
}

// Shell text in an expression's string is bounded by the depth of expressions as well.
const _: () = assert!(SHELL_DEPTH_MAX <= DEPTH_MAX);
