//! Lines of operands: shell commands, calls, decorators, and the operators between them.

use crate::{
    ast::{
        AndOr, AndOrOperator, Arguments, Block, Call, Decorator, Identifier, Operand, Operation, OperationKind, Operators, Piped, Pipeline,
        PipelineSource, RuntimeBinding, SegmentKind, ShellCommand, Sleep, Statement, StatementKind,
    },
    diagnostic::{Code, nearest},
    shell::{Stop, Surroundings},
    span::Span,
};

use super::{
    reader::Reader,
    statements::{Owner, Statements},
};

/// An operator between operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Joint {
    Pipe,
    And,
    Or,
    Then,
}

/// What was read of a line so far.
pub(super) struct Line {
    start: usize,
    /// Each operand with its span and the operator before it (none before the first).
    operands: Vec<(Option<Joint>, Operand, Span)>,
    next: Option<Joint>,
    binding: Option<Identifier>,
    failed: bool,
}

impl Line {
    pub(super) fn new(start: usize) -> Self {
        Self { start, operands: Vec::new(), next: None, binding: None, failed: false }
    }

    fn push(&mut self, operand: Operand, span: Span) {
        self.operands.push((self.next.take(), operand, span));
    }
}

/// A decorator whose block is being read, and the line it stands in.
pub(super) struct PendingDecorator {
    line: Line,
    start: usize,
    header: Span,
    name: Identifier,
    arguments: Option<Arguments>,
}

/// What to do after an operand.
enum Next {
    Operator,
    /// The line is over.
    Over,
    /// A block was opened; the line goes on after it.
    Block,
}

impl Statements<'_, '_> {
    /// Reads operands and operators from `at` on until the line is over or a block opens.
    pub(super) fn line(&mut self, line: Line) {
        let mut line = line;
        loop {
            let next;
            (line, next) = match self.operand(line) {
                (Some(line), next) => (line, next),
                (None, _) => return,
            };
            match next {
                Next::Block => return,
                Next::Over => break,
                Next::Operator => {
                    if !self.operator(&mut line) {
                        break;
                    }
                }
            }
        }
        self.finish_line(line);
    }

    /// The block of a decorator is complete: goes on with its line.
    pub(super) fn after_decorator_block(&mut self, pending: PendingDecorator, block: Block) {
        let PendingDecorator { mut line, start, header, name, arguments } = pending;
        let span = self.trimmed(start, self.at);
        line.push(Operand::Decorator(Decorator { header, name, arguments, block: Some(block) }), span);
        if self.operator(&mut line) {
            self.line(line);
        } else {
            self.finish_line(line);
        }
    }

    /// One operand at `at`. The line is moved away when a block opens.
    fn operand(&mut self, mut line: Line) -> (Option<Line>, Next) {
        let start = self.at;
        let first = line.operands.is_empty() && line.next.is_none();
        let opal = if first { self.reader.at_opal_statement(start) } else { self.reader.at_opal_operand(start) };
        if !opal {
            let next = self.shell_operand(&mut line);
            return (Some(line), next);
        }
        if self.reader.byte(start) != Some(b'@') {
            return self.call(line);
        }
        if self.reader.at_command_call(start) {
            let call = self.command_call();
            let span = self.reader.span(start, self.at);
            if let Some(call) = call {
                line.push(Operand::Call(call), span);
            } else {
                line.failed = true;
            }
            return (Some(line), Next::Operator);
        }
        let end = self.reader.decorator_name_end(start);
        let name = Identifier { name: self.reader.slice(start + 1, end).to_owned(), span: self.reader.span(start + 1, end) };
        self.at = end;
        if name.name == "shell" {
            match self.shell_decorator(start) {
                Some(operand) => line.push(operand, self.reader.span(start, self.at)),
                None => line.failed = true,
            }
            return (Some(line), Next::Operator);
        }
        let mut arguments = None;
        if self.reader.byte(end) == Some(b'(') {
            let (read, after) = self.reader.arguments(end, true);
            arguments = Some(read);
            self.at = after;
        }
        let header = self.reader.span(start, self.at);
        let open = self.reader.skip_blanks(self.at);
        if self.reader.byte(open) == Some(b'{') {
            self.at = open;
            self.open_brace(Owner::Decorator(Box::new(PendingDecorator { line, start, header, name, arguments })));
            return (None, Next::Block);
        }
        line.push(Operand::Decorator(Decorator { header, name, arguments, block: None }), header);
        (Some(line), Next::Operator)
    }

    fn shell_operand(&mut self, line: &mut Line) -> Next {
        let start = self.at;
        let errors = self.reader.errors();
        let scan = self.reader.shell(start, self.surroundings());
        self.at = scan.end;
        line.failed |= self.reader.errors() > errors;
        if scan.text.span.is_empty() && !line.failed {
            let span = self.reader.span(start, start + 1);
            let help = "write a command on both sides of the operator";
            self.reader.error_help(Code::MissingOperand, span, "a command was expected here", help);
            line.failed = true;
            if scan.stop == Stop::Operator {
                // The operator itself is what surprised; go on behind it.
                return Next::Operator;
            }
            self.at = self.reader.line_end(self.at);
            return Next::Over;
        }
        line.binding = scan.binding;
        let span = scan.text.span;
        line.push(Operand::Shell(ShellCommand { text: scan.text, via_decorator: false }), span);
        match scan.stop {
            Stop::Operator | Stop::Pipeline => Next::Operator,
            Stop::End | Stop::Close | Stop::ArmEnd => Next::Over,
        }
    }

    /// `name(…)` at `at`.
    fn call(&mut self, mut line: Line) -> (Option<Line>, Next) {
        let start = self.at;
        let end = self.reader.identifier_end(start);
        let name = Identifier { name: self.reader.slice(start, end).to_owned(), span: self.reader.span(start, end) };
        let (arguments, after) = self.reader.arguments(end, true);
        let block = self.reader.skip_blanks(after);
        if arguments.items.is_empty() && self.reader.byte(block) == Some(b'{') {
            self.shell_function(start);
            return (None, Next::Block);
        }
        self.at = after;
        let span = self.reader.span(start, after);
        let operand = if name.name == "sleep" {
            Operand::Sleep(Sleep { span, arguments })
        } else {
            Operand::Call(Call { span, name, arguments: Some(arguments), via_cmd: false })
        };
        line.push(operand, span);
        (Some(line), Next::Operator)
    }

    /// `@cmd.name(…)` or `@cmd(name, …)` at `at`.
    fn command_call(&mut self) -> Option<Call> {
        let start = self.at;
        if self.reader.byte(start + 4) == Some(b'.') {
            let end = self.reader.command_name_end(start + 5);
            let name = Identifier { name: self.reader.slice(start + 5, end).to_owned(), span: self.reader.span(start + 5, end) };
            let mut arguments = None;
            self.at = end;
            if self.reader.byte(end) == Some(b'(') {
                let (read, after) = self.reader.arguments(end, true);
                arguments = Some(read);
                self.at = after;
            }
            return Some(Call { span: self.reader.span(start, self.at), name, arguments, via_cmd: true });
        }
        let (reference, end) = self.reader.reference(start, false)?;
        self.at = end;
        let segment = reference.path.first()?;
        let SegmentKind::Field(name) = &segment.kind else { return None };
        let name = Identifier { name: name.clone(), span: segment.span };
        Some(Call { span: reference.span, name, arguments: reference.options, via_cmd: true })
    }

    /// `("…")` of `@shell`, at `at`.
    fn shell_decorator(&mut self, start: usize) -> Option<Operand> {
        let open = self.at;
        let text = self.reader.decorated_shell(open);
        match text {
            Some((text, end)) => {
                self.at = end;
                Some(Operand::Shell(ShellCommand { text: text?, via_decorator: true }))
            }
            None => {
                let span = self.reader.span(start, open);
                let help = "write `@shell(\"command @var.x\")`; values stand inside the text";
                let message = "`@shell` takes one literal string";
                self.reader.error_help(Code::ShellDecorator, span, message, help);
                if self.reader.byte(open) == Some(b'(') {
                    let (_, after) = self.reader.arguments(open, true);
                    self.at = after;
                }
                None
            }
        }
    }

    /// The operator at `at`, if the line goes on; then `at` is at the next operand.
    fn operator(&mut self, line: &mut Line) -> bool {
        let at = self.reader.skip_blanks(self.at);
        let starts = |text: &str| self.reader.starts_with(at, text);
        let (joint, length) = match () {
            () if starts("&&") => (Joint::And, 2),
            () if starts("||") => (Joint::Or, 2),
            () if starts("|>") => return false,
            () if starts("|") => (Joint::Pipe, 1),
            () if starts(";") => {
                let next = self.reader.skip_blanks(at + 1);
                let over = self.reader.ends_statement(at + 1)
                    || (self.surroundings().in_arm && self.reader.at_arm(next))
                    || self.reader.at_other_statement(next);
                if over {
                    self.at = at;
                    return false;
                }
                (Joint::Then, 1)
            }
            () => {
                self.at = at;
                return false;
            }
        };
        self.at = match joint {
            Joint::Then => self.reader.skip_blanks(at + length),
            _ => self.reader.skip_trivia(at + length),
        };
        if self.reader.at_other_statement(self.at) {
            let end = self.reader.identifier_end(self.at);
            let word = self.reader.slice(self.at, end).to_owned();
            let span = self.reader.span(self.at, end);
            let message = format!("`{word}` cannot be an operand");
            let help = "put it on a line of its own; operands are shell commands, calls and decorators";
            self.reader.error_help(Code::OperandNotAllowed, span, message, help);
            line.failed = true;
            self.at = self.reader.line_end(self.at);
            return false;
        }
        if matches!(self.reader.byte(self.at), None | Some(b'\n' | b'}')) {
            let span = self.reader.span(at, at + length);
            let help = "write a command after it, or remove it";
            self.reader.error_help(Code::MissingOperand, span, "nothing stands after this operator", help);
            line.failed = true;
            return false;
        }
        line.next = Some(joint);
        true
    }

    fn finish_line(&mut self, line: Line) {
        let mut line = line;
        let operations = self.operations(&mut line);
        let end = self.at;
        if line.failed || line.operands.is_empty() {
            self.finish(None);
            self.recover_line();
            return;
        }
        let span = self.trimmed(line.start, end);
        let alone = line.operands.len() == 1 && operations.is_empty();
        let kind = if operations.is_empty() {
            match line.operands.pop() {
                Some((_, Operand::Shell(shell), _)) if alone => match line.binding {
                    Some(name) => StatementKind::Binding(RuntimeBinding { name, text: shell.text }),
                    None => StatementKind::Shell(shell),
                },
                Some((_, Operand::Call(call), _)) if alone => StatementKind::Call(call),
                Some((_, Operand::Sleep(sleep), _)) if alone => StatementKind::Sleep(sleep),
                Some((_, Operand::Decorator(decorator), _)) if alone => StatementKind::Decorator(decorator),
                last => {
                    line.operands.extend(last);
                    StatementKind::Operators(operators(line.operands))
                }
            }
        } else {
            let source = match line.operands.pop() {
                Some((_, Operand::Shell(shell), _)) if line.operands.is_empty() => PipelineSource::Shell(shell),
                last => {
                    line.operands.extend(last);
                    PipelineSource::Operators(operators(line.operands))
                }
            };
            StatementKind::Pipeline(Pipeline { span, source, operations })
        };
        let span = match &kind {
            StatementKind::Shell(shell) if !shell.via_decorator => shell.text.span,
            StatementKind::Binding(binding) => binding.text.span,
            _ => span,
        };
        self.finish(Some(Statement { span, kind }));
        self.expect_end();
    }

    /// After a line that could not be read, `at` stands where the reader of shell text or of tokens left it.
    fn recover_line(&mut self) {
        let at = self.reader.skip_blanks(self.at);
        match self.reader.byte(at) {
            None | Some(b'\n' | b'}') => self.at = at,
            _ => self.at = self.reader.line_end(at),
        }
    }

    /// `|> op(…) |> op(…)` at `at`.
    fn operations(&mut self, line: &mut Line) -> Vec<Operation> {
        let mut operations = Vec::new();
        loop {
            let at = self.reader.skip_blanks(self.at);
            if !self.reader.starts_with(at, "|>") {
                return operations;
            }
            let start = self.reader.skip_trivia(at + 2);
            let mut end = self.reader.identifier_end(start);
            if self.reader.byte(end) == Some(b'.') {
                end = self.reader.identifier_end(end + 1);
            }
            let name = self.reader.slice(start, end);
            let open = self.reader.skip_blanks(end);
            let known = OperationKind::from_name(name).filter(|_| self.reader.byte(open) == Some(b'('));
            let Some(kind) = known else {
                let names = OperationKind::ALL.iter().map(|(name, _)| *name);
                let help = match nearest(name, names) {
                    Some(near) => format!("did you mean `{near}(…)`?"),
                    None => "write `|> lines.grep(\"re\")`, `|> json.pick(\"$.a\")`, `|> assert.eq(\"x\")` …".to_owned(),
                };
                let span = self.reader.span(at, end.max(at + 2));
                let message = "after `|>` stands an operation with its arguments";
                self.reader.error_help(Code::BadOperation, span, message, help);
                line.failed = true;
                self.at = self.reader.line_end(at);
                return operations;
            };
            let name_span = self.reader.span(start, end);
            let (arguments, after) = self.reader.arguments(open, true);
            self.at = after;
            operations.push(Operation { span: self.reader.span(start, after), kind, name_span, arguments });
        }
    }
}

/// Groups operands by precedence: `|`, then `&&` and `||`, then `;`.
fn operators(operands: Vec<(Option<Joint>, Operand, Span)>) -> Operators {
    let mut span = operands.first().map(|(_, _, span)| *span).unwrap_or_default();
    let mut sequence: Vec<AndOr> = Vec::new();
    for (joint, operand, at) in operands {
        span = span.to(at);
        let piped = Piped { span: at, operands: vec![operand] };
        let last = sequence.last_mut();
        let (joint, last) = match (joint, last) {
            (Some(joint), Some(last)) if joint != Joint::Then => (joint, last),
            _ => {
                sequence.push(AndOr { span: at, first: piped, rest: Vec::new() });
                continue;
            }
        };
        last.span = last.span.to(at);
        match joint {
            Joint::And => last.rest.push((AndOrOperator::And, piped)),
            Joint::Or => last.rest.push((AndOrOperator::Or, piped)),
            Joint::Pipe | Joint::Then => {
                let target = last.rest.last_mut().map_or(&mut last.first, |(_, piped)| piped);
                target.span = target.span.to(at);
                target.operands.extend(piped.operands);
            }
        }
    }
    Operators { span, sequence }
}

impl Reader<'_> {
    /// The text of `("…")` at `open`, read as shell text, and where it ends; `None` if it is something else. The text
    /// itself is `None` if it was refused.
    fn decorated_shell(&mut self, open: usize) -> Option<(Option<crate::ast::ShellText>, usize)> {
        if self.byte(open) != Some(b'(') {
            return None;
        }
        let quote = self.skip_trivia(open + 1);
        let (decoded, offsets, end) = self.decode_string(quote)?;
        let close = self.skip_trivia(end);
        if self.byte(close) != Some(b')') {
            return None;
        }
        let mut inner = Reader::decoded(&decoded, self.grammar, offsets);
        let surroundings = Surroundings { in_decorator: true, ..Surroundings::default() };
        let scan = inner.shell(0, surroundings);
        let failed = inner.errors() > 0;
        let diagnostics = std::mem::take(&mut inner.diagnostics);
        for diagnostic in diagnostics {
            self.report(diagnostic);
        }
        if scan.text.span.is_empty() && !failed {
            let span = self.span(quote, end);
            self.error_help(Code::MissingOperand, span, "`@shell` is given no command", "write a command, or remove it");
            return Some((None, close + 1));
        }
        Some(((!failed).then_some(scan.text), close + 1))
    }
}
