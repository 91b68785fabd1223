//! Lines of operands: shell commands, calls, decorators, and the operators between them.

use crate::{
    ast::{
        AndOr, AndOrOperator, Block, Call, Decorator, Identifier, Operand, Operation, OperationKind, Operators, Piped, Pipeline,
        PipelineSource, RuntimeBinding, SegmentKind, ShellCommand, Sleep, Statement, StatementKind,
    },
    diagnostic::{Code, Diagnostic, nearest},
    shell::{ShellJoint, Stop, Surroundings},
    span::Span,
};

use super::{
    pending::{Joint, Line, LineOperand, PendingDecorator, ShellRange},
    reader::Reader,
    statements::{Owner, Statements},
};

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
        let span = scan.text.span;
        let written = self.reader.slice(start, self.reader.line_end(start));
        let leading = ["&&", "||", "|"].into_iter().find(|operator| written.starts_with(operator));
        if let Some(operator) = leading.filter(|_| !line.failed) {
            let message = format!("nothing stands before this `{operator}`");
            let help = format!("end the line before with `{operator}`, or remove it");
            self.reader.error_help(Code::MissingOperand, self.reader.span(start, start + operator.len()), message, help);
            line.failed = true;
        }
        line.binding = scan.binding;
        line.push(Operand::Shell(ShellCommand { text: scan.text, via_decorator: false }), span);
        if let Some(last) = line.operands.last_mut() {
            last.shell = Some(ShellRange { start, end: scan.text_end, operators: scan.operators });
        }
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
            () if starts("|&") => return self.refuse_operator(line, (at, at + 2), "write `2>&1 |` after a shell command"),
            () if starts("&") => {
                let help = "`@detach { … }` lets processes live on, `@parallel { … }` runs steps at once";
                return self.refuse_operator(line, (at, at + 1), help);
            }
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

    fn refuse_operator(&mut self, line: &mut Line, (start, end): (usize, usize), help: &str) -> bool {
        let span = self.reader.span(start, end);
        let message = format!("`{}` cannot stand beside an Opal operand", self.reader.slice(start, end));
        self.reader.error_help(Code::OperandNotAllowed, span, message, help);
        line.failed = true;
        self.at = self.reader.line_end(end);
        false
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
        let errors = self.reader.errors();
        let single = match line.operands.as_slice() {
            [_] => line.operands.pop().map(|only| only.operand),
            _ => None,
        };
        let kind = match (single, operations.is_empty()) {
            (Some(Operand::Shell(shell)), true) => match line.binding {
                Some(name) => StatementKind::Binding(RuntimeBinding { name, text: shell.text }),
                None => StatementKind::Shell(shell),
            },
            (Some(Operand::Call(call)), true) => StatementKind::Call(call),
            (Some(Operand::Sleep(sleep)), true) => StatementKind::Sleep(sleep),
            (Some(Operand::Decorator(decorator)), true) => StatementKind::Decorator(decorator),
            (Some(Operand::Shell(shell)), false) => {
                if let Some(name) = &line.binding {
                    let message = format!("`{}=…` writes nothing that `|>` could take", name.name);
                    let help = "choose inside `$(…)` with a filter of the shell: `NAME=$(command | jq -r .a)`";
                    self.reader.error_help(Code::OperandNotAllowed, name.span, message, help);
                }
                StatementKind::Pipeline(Pipeline { span, source: PipelineSource::Shell(shell), operations })
            }
            (Some(operand), false) => {
                let source = PipelineSource::Operators(only_operand(span, operand));
                StatementKind::Pipeline(Pipeline { span, source, operations })
            }
            (None, true) => StatementKind::Operators(self.reader.operators(line.operands)),
            (None, false) => {
                let source = PipelineSource::Operators(self.reader.operators(line.operands));
                StatementKind::Pipeline(Pipeline { span, source, operations })
            }
        };
        if self.reader.errors() > errors {
            self.finish(None);
            self.expect_end();
            return;
        }
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
                let span = self.reader.span(at, end.max(at + 2));
                let diagnostic = Diagnostic::new(Code::BadOperation, span, "after `|>` stands an operation with its arguments");
                let called = self.reader.byte(open) == Some(b'(');
                self.reader.report(match nearest(name, names) {
                    Some(near) if called => diagnostic.with_meant(&format!("{near}(…)"), self.reader.span(start, end), near),
                    Some(near) => diagnostic.with_help(format!("did you mean `{near}(…)`?")),
                    None => diagnostic.with_help("write `|> lines.grep(\"re\")`, `|> json.pick(\"$.a\")`, `|> assert.eq(\"x\")` …"),
                });
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

fn only_operand(span: Span, operand: Operand) -> Operators {
    let first = Piped { span, operands: vec![operand] };
    Operators { span, sequence: vec![AndOr { span, first, rest: Vec::new() }] }
}

/// The smallest thing between two operators.
enum Atom {
    Opal(Operand, Span),
    Shell { start: usize, end: usize, whole: Option<ShellCommand> },
}

impl Atom {
    /// Joins shell text with the shell text right after it.
    fn absorb(&mut self, next: Self) -> Option<Self> {
        match (self, next) {
            (Self::Shell { end, whole, .. }, Self::Shell { end: next, .. }) => {
                *end = next;
                *whole = None;
                None
            }
            (_, next) => Some(next),
        }
    }
}

type Pipe = Vec<Atom>;
type Chain = Vec<(AndOrOperator, Pipe)>;

/// The text, if that is all there is to it.
fn shell_only(pipe: &Pipe) -> bool {
    matches!(pipe.as_slice(), [Atom::Shell { .. }])
}

/// Appends `pipe` to the text at the end of `last`; both are shell text only.
fn absorb_pipe(last: &mut Pipe, mut pipe: Pipe) {
    let rest = match (last.last_mut(), pipe.pop()) {
        (Some(atom), Some(next)) => atom.absorb(next),
        _ => None,
    };
    last.extend(rest);
}

/// Joins neighbours in a chain that are shell text where that changes nothing: from the start of the chain (it is read
/// from the left), and further on between equal operators.
fn merge_chain(chain: Chain) -> Chain {
    let mut merged: Chain = Vec::new();
    let mut at_start = true;
    let mut within = None;
    for (operator, pipe) in chain {
        let joins = shell_only(&pipe)
            && merged
                .last()
                .is_some_and(|(before, last)| shell_only(last) && (at_start || (*before == operator && within == Some(operator))));
        if joins && let Some((_, last)) = merged.last_mut() {
            absorb_pipe(last, pipe);
            continue;
        }
        at_start = merged.is_empty() && shell_only(&pipe);
        within = Some(operator);
        merged.push((operator, pipe));
    }
    merged
}

impl Reader<'_> {
    /// Groups operands by precedence: `|`, then `&&` and `||` from the left, then `;`. What remains shell text between
    /// two groupings is one step.
    fn operators(&mut self, operands: Vec<LineOperand>) -> Operators {
        let span = operands.iter().fold(None, |span: Option<Span>, operand| Some(span.map_or(operand.span, |span| span.to(operand.span))));
        let mut sequence: Vec<Chain> = Vec::new();
        for (joint, atom) in self.atoms(operands) {
            let chain = match joint {
                Some(Joint::Pipe | Joint::And | Joint::Or) => sequence.last_mut(),
                Some(Joint::Then) | None => None,
            };
            let Some(chain) = chain else {
                sequence.push(vec![(AndOrOperator::And, vec![atom])]);
                continue;
            };
            match joint {
                Some(Joint::Or) => chain.push((AndOrOperator::Or, vec![atom])),
                Some(Joint::And) => chain.push((AndOrOperator::And, vec![atom])),
                _ => {
                    if let Some((_, pipe)) = chain.last_mut() {
                        let rest = match pipe.last_mut() {
                            Some(last) => last.absorb(atom),
                            None => Some(atom),
                        };
                        pipe.extend(rest);
                    }
                }
            }
        }
        let mut merged: Vec<Chain> = Vec::new();
        let only_text = |chain: &Chain| matches!(chain.as_slice(), [(_, pipe)] if shell_only(pipe));
        for chain in sequence {
            let mut chain = merge_chain(chain);
            match merged.last_mut() {
                Some(last) if only_text(last) && only_text(&chain) => {
                    if let (Some((_, last)), Some((_, pipe))) = (last.last_mut(), chain.pop()) {
                        absorb_pipe(last, pipe);
                    }
                }
                _ => merged.push(chain),
            }
        }
        let sequence = merged.into_iter().filter_map(|chain| self.and_or(chain)).collect();
        Operators { span: span.unwrap_or_default(), sequence }
    }

    /// Splits operands at every operator.
    fn atoms(&mut self, operands: Vec<LineOperand>) -> Vec<(Option<Joint>, Atom)> {
        let mut atoms = Vec::new();
        let count = operands.len();
        for (index, LineOperand { joint, operand, span, shell }) in operands.into_iter().enumerate() {
            let (range, command) = match (shell, operand) {
                (Some(range), Operand::Shell(command)) => (range, command),
                (_, operand) => {
                    atoms.push((joint, Atom::Opal(operand, span)));
                    continue;
                }
            };
            if range.operators.is_empty() {
                atoms.push((joint, Atom::Shell { start: range.start, end: range.end, whole: Some(command) }));
                continue;
            }
            let (mut joint, mut start) = (joint, range.start);
            for operator in range.operators {
                let background = operator.joint == ShellJoint::Background;
                let joined = matches!(joint, Some(Joint::And | Joint::Or | Joint::Pipe)) && start == range.start;
                if background && joined && index > 0 {
                    let span = self.span(operator.start, operator.end);
                    let help = "write `@detach { … }` for what shall go on in the background";
                    self.error_help(Code::OperandNotAllowed, span, "`&` cannot follow an Opal operand", help);
                }
                let end = if background { operator.end } else { operator.text_end };
                atoms.push((joint, Atom::Shell { start, end, whole: None }));
                joint = Some(match operator.joint {
                    ShellJoint::Pipe => Joint::Pipe,
                    ShellJoint::And => Joint::And,
                    ShellJoint::Or => Joint::Or,
                    ShellJoint::Then | ShellJoint::Background => Joint::Then,
                });
                start = self.skip_trivia(operator.end);
            }
            if start < range.end {
                atoms.push((joint, Atom::Shell { start, end: range.end, whole: None }));
            } else if index + 1 < count && joint != Some(Joint::Then) {
                let span = self.span(range.end, range.end);
                self.error(Code::MissingOperand, span, "a command was expected here");
            }
        }
        atoms
    }

    fn and_or(&mut self, chain: Chain) -> Option<AndOr> {
        let mut pipes = chain.into_iter().map(|(operator, pipe)| (operator, self.piped(pipe))).collect::<Vec<_>>();
        if pipes.is_empty() {
            return None;
        }
        let (_, first) = pipes.remove(0);
        let span = pipes.last().map_or(first.span, |(_, last)| first.span.to(last.span));
        Some(AndOr { span, first, rest: pipes })
    }

    fn piped(&mut self, pipe: Pipe) -> Piped {
        let mut operands = Vec::with_capacity(pipe.len());
        let mut span: Option<Span> = None;
        let piped = pipe.len() > 1;
        for atom in pipe {
            if let Atom::Shell { start, .. } = atom
                && piped
            {
                self.refuse_negation(start);
            }
            let (operand, at) = match atom {
                Atom::Opal(operand, at) => (operand, at),
                Atom::Shell { whole: Some(command), .. } => {
                    let at = command.text.span;
                    (Operand::Shell(command), at)
                }
                Atom::Shell { start, end, whole: None } => {
                    let text = self.shell_range(start, end);
                    let at = text.span;
                    (Operand::Shell(ShellCommand { text, via_decorator: false }), at)
                }
            };
            span = Some(span.map_or(at, |span| span.to(at)));
            operands.push(operand);
        }
        Piped { span: span.unwrap_or_default(), operands }
    }

    /// `!` negates a whole pipe, also the part of it that is no shell text.
    fn refuse_negation(&mut self, start: usize) {
        if self.byte(start) == Some(b'!') && matches!(self.byte(start + 1), Some(b' ' | b'\t')) {
            let span = self.span(start, start + 1);
            let message = "`!` cannot negate a pipe with an Opal operand";
            self.error_help(Code::OperandNotAllowed, span, message, "make the pipe a command of its own: `name() && false || true`");
        }
    }

    /// Reads `start..end`, a part of a command that was read before, once more. Only new errors are kept.
    fn shell_range(&mut self, start: usize, end: usize) -> crate::ast::ShellText {
        let mut inner = Reader::new(self.slice(0, end), self.grammar, self.stack);
        let scan = inner.shell(start, Surroundings::default());
        self.wants_deep_stack |= inner.wants_deep_stack;
        for diagnostic in std::mem::take(&mut inner.diagnostics) {
            if diagnostic.is_error() {
                self.report(diagnostic);
            }
        }
        scan.text
    }
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
        let mut inner = Reader::decoded(&decoded, self.grammar, self.stack, offsets);
        let surroundings = Surroundings { in_decorator: true, ..Surroundings::default() };
        let scan = inner.shell(0, surroundings);
        self.wants_deep_stack |= inner.wants_deep_stack;
        let failed = inner.errors() > 0;
        let diagnostics = std::mem::take(&mut inner.diagnostics);
        for mut diagnostic in diagnostics {
            // In the string, what is put in would have to be escaped.
            diagnostic.fixes.retain(|fix| fix.edits.iter().all(|edit| !edit.text.contains(['"', '\\'])));
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
