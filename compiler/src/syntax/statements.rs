//! Statements and blocks, with an explicit stack: however deep blocks nest, reading them does not recurse.

use crate::{
    ast::{
        Arm, AssignOperator, Assignment, Axis, Block, Branch, DEPTH_MAX, Definition, DefinitionForm, Expression, ExpressionKind, For,
        Identifier, If, Item, Parameter, Pattern, Statement, StatementKind, Try, VarBinding, VarDeclaration, When, While,
    },
    diagnostic::{Code, Diagnostic, Fix},
    shell::Surroundings,
    span::Span,
};

use super::{
    pending::{Line, PendingDecorator},
    reader::Reader,
    recognise::Form,
    tokens::Until,
};

/// What a block belongs to, with what was read of it so far.
pub(super) enum Owner {
    File,
    Definition {
        start: usize,
        name: Identifier,
        form: DefinitionForm,
        parameters: Vec<Parameter>,
    },
    Branch {
        start: usize,
        branches: Vec<Branch>,
        header: Span,
        condition: Option<Expression>,
    },
    Else {
        start: usize,
        branches: Vec<Branch>,
    },
    For {
        start: usize,
        header: Span,
        axes: Option<Vec<Axis>>,
    },
    While {
        start: usize,
        header: Span,
        condition: Option<Expression>,
    },
    When {
        start: usize,
        header: Span,
        subject: Option<Expression>,
        arms: Vec<Arm>,
    },
    Arm {
        start: usize,
        pattern: Option<Pattern>,
    },
    Try {
        start: usize,
    },
    Catch {
        start: usize,
        body: Block,
    },
    Finally {
        start: usize,
        body: Block,
        catch: Option<Block>,
    },
    Decorator(Box<PendingDecorator>),
    /// A block that was read only to find its errors.
    Discarded,
}

struct Frame {
    owner: Owner,
    statements: Vec<Statement>,
    /// Of the `{`, or of the only statement.
    start: usize,
    braced: bool,
}

pub(super) struct Statements<'r, 's> {
    pub(super) reader: &'r mut Reader<'s>,
    pub(super) at: usize,
    frames: Vec<Frame>,
    items: Vec<Item>,
}

impl<'r, 's> Statements<'r, 's> {
    pub(super) fn new(reader: &'r mut Reader<'s>, at: usize) -> Self {
        let file = Frame { owner: Owner::File, statements: Vec::new(), start: at, braced: false };
        Self { reader, at, frames: vec![file], items: Vec::new() }
    }

    pub(super) fn items(mut self) -> Vec<Item> {
        loop {
            if self.reader.is_hopeless() {
                let span = self.reader.span(self.at, self.at);
                let help = "repair the first ones, then check again";
                self.reader.error_help(Code::TooManyErrors, span, "there are too many errors to go on", help);
                break;
            }
            let single = self.in_single();
            let start = self.at;
            if single {
                self.at = self.reader.skip_blanks(self.at);
            } else {
                self.at = self.reader.skip_trivia(self.at);
            }
            if self.at_next_definition() {
                self.unclosed_blocks();
            }
            match self.reader.byte(self.at) {
                None if single => self.missing_body(),
                None => break,
                Some(b'\n') if single => self.missing_body(),
                Some(b'#' | b'/') if single && self.reader.at_comment(self.at) => self.missing_body(),
                Some(b'}') => self.close_brace(),
                Some(b';') if self.in_when() => self.at += 1,
                Some(_) if self.in_when() => self.arm(),
                Some(_) => self.statement(),
            }
            debug_assert!(self.at > start || single || self.at >= self.reader.bytes.len(), "reading goes on");
        }
        self.unclosed_blocks();
        self.items
    }

    /// Whether a definition starts here that is not indented, while another one is still open: its `}` was forgotten.
    fn at_next_definition(&self) -> bool {
        let inside =
            self.frames.get(1).is_some_and(|frame| frame.braced && matches!(frame.owner, Owner::Definition { .. } | Owner::Discarded));
        let flush = self.at == 0 || self.reader.byte(self.at - 1) == Some(b'\n');
        inside && flush && matches!(self.reader.form(self.at), Form::Fun | Form::Definition)
    }

    fn unclosed_blocks(&mut self) {
        let innermost = self.frames.iter().rev().find(|frame| frame.braced).map(|frame| frame.start);
        if let Some(start) = innermost
            && !self.reader.is_hopeless()
        {
            let span = self.reader.span(start, start + 1);
            self.reader.error_help(Code::UnclosedBlock, span, "this block is not closed", "add `}` on a line of its own");
        }
        while self.frames.len() > 1 {
            self.close_top();
        }
    }

    fn top(&mut self) -> Option<&mut Frame> {
        self.frames.last_mut()
    }

    fn in_single(&self) -> bool {
        self.frames.len() > 1 && self.frames.last().is_some_and(|frame| !frame.braced)
    }

    fn in_when(&self) -> bool {
        self.frames.last().is_some_and(|frame| frame.braced && matches!(frame.owner, Owner::When { .. }))
    }

    pub(super) fn surroundings(&self) -> Surroundings {
        let in_arm = self.frames.last().is_some_and(|frame| !frame.braced && matches!(frame.owner, Owner::Arm { .. }));
        let in_block = self.frames.iter().any(|frame| frame.braced);
        Surroundings { in_block, in_arm, ..Surroundings::default() }
    }

    /// Opens a frame. `false` if blocks are nested too deeply; then the rest of the source is given up.
    pub(super) fn open(&mut self, owner: Owner, start: usize, braced: bool) -> bool {
        if self.frames.len() >= DEPTH_MAX {
            self.reader.too_deep(start);
            self.at = self.reader.bytes.len();
            self.frames.truncate(1);
            return false;
        }
        self.frames.push(Frame { owner, statements: Vec::new(), start, braced });
        true
    }

    /// Opens the `{ … }` at `at`.
    pub(super) fn open_brace(&mut self, owner: Owner) {
        let start = self.at;
        self.at += 1;
        self.open(owner, start, true);
    }

    /// Opens the block that must stand at `at`, or says that it is missing.
    fn expect_brace(&mut self, owner: Owner, what: &str) {
        self.at = self.reader.skip_blanks(self.at);
        if self.reader.byte(self.at) == Some(b'{') {
            self.open_brace(owner);
            return;
        }
        let span = self.reader.span(self.at, self.at + 1);
        let message = format!("{what} needs a block");
        self.reader.error_help(Code::MissingBlock, span, message, "write `{ … }`, the `{` on the same line");
        self.skip_line();
        self.finish(None);
    }

    fn skip_line(&mut self) {
        self.at = self.reader.line_end(self.at);
    }

    fn close_brace(&mut self) {
        if self.in_single() {
            self.missing_body();
            return;
        }
        let at = self.at;
        self.at += 1;
        if self.frames.len() > 1 {
            self.close_top();
        } else {
            let span = self.reader.span(at, at + 1);
            let diagnostic = Diagnostic::new(Code::UnexpectedClose, span, "`}` closes nothing");
            self.reader.report(diagnostic.with_help("remove it").with_fix(Fix::maybe("remove it", span, "")));
        }
    }

    fn missing_body(&mut self) {
        let span = self.reader.span(self.at, self.at);
        let what = match self.top().map(|frame| &frame.owner) {
            Some(Owner::Arm { .. }) => "this arm has no body",
            _ => "this definition has no body",
        };
        self.reader.error_help(Code::MissingBody, span, what, "write a command on the same line, or `{ … }`");
        self.finish(None);
    }

    /// A statement is complete (or could not be read). Closes the definition or arm that holds only it.
    pub(super) fn finish(&mut self, statement: Option<Statement>) {
        let depth = self.frames.len();
        if let Some(frame) = self.frames.last_mut() {
            match (statement, &frame.owner) {
                (Some(statement), Owner::File) => self.items.push(Item::Statement(statement)),
                (Some(statement), _) => frame.statements.push(statement),
                (None, _) => {}
            }
        }
        if depth > 1 && self.in_single() {
            self.close_top();
        }
    }

    /// After a statement: nothing but the end of the line, of the block or of the arm may follow.
    pub(super) fn expect_end(&mut self) {
        let at = self.reader.skip_blanks(self.at);
        match self.reader.byte(at) {
            None | Some(b'\n' | b'}') => self.at = at,
            Some(b';') => self.at = at + 1,
            Some(_) if self.reader.at_comment(at) => self.at = at,
            Some(_) => {
                let span = self.reader.span(at, at + 1);
                let rest: String = self.reader.slice(at, self.reader.line_end(at)).chars().take(20).collect();
                let message = format!("unexpected `{}` after the end of the statement", rest.trim_end());
                self.reader.error_help(Code::UnexpectedText, span, message, "put it on a line of its own");
                self.at = self.reader.closing_brace(at).unwrap_or_else(|| self.reader.line_end(at));
            }
        }
    }

    fn complete(&mut self, start: usize, end: usize, kind: StatementKind) {
        let statement = Statement { span: self.trimmed(start, end), kind };
        self.finish(Some(statement));
    }

    pub(super) fn trimmed(&self, start: usize, end: usize) -> Span {
        let text = self.reader.slice(start, end);
        self.reader.span(start, start + text.trim_end().len())
    }

    /// Closes the innermost frame; `at` is just after it.
    fn close_top(&mut self) {
        let Some(frame) = self.frames.pop() else { return };
        let end = self.at;
        let block = Block { span: self.trimmed(frame.start, end), statements: frame.statements, braced: frame.braced };
        match frame.owner {
            Owner::File => {}
            Owner::Discarded => {
                self.finish(None);
                self.expect_end();
            }
            Owner::Definition { start, name, form, parameters } => {
                let span = self.trimmed(start, end);
                let definition = Definition { span, name, form, parameters, body: block };
                self.items.push(Item::Definition(definition));
                if frame.braced {
                    self.expect_end();
                }
            }
            Owner::Branch { start, mut branches, header, condition } => {
                if let Some(condition) = condition {
                    branches.push(Branch { header, condition, body: block });
                }
                self.after_branch(start, branches);
            }
            Owner::Else { start, branches } => self.complete_if(start, branches, Some(block)),
            Owner::For { start, header, axes } => {
                let kind = axes.map(|axes| StatementKind::For(For { header, axes, body: block }));
                self.complete_or_drop(start, kind);
            }
            Owner::While { start, header, condition } => {
                let kind = condition.map(|condition| StatementKind::While(While { header, condition, body: block }));
                self.complete_or_drop(start, kind);
            }
            Owner::When { start, header, subject, arms } => {
                let kind = subject.map(|subject| StatementKind::When(When { header, subject, arms }));
                self.complete_or_drop(start, kind);
            }
            Owner::Arm { start, pattern } => {
                let span = self.trimmed(start, end);
                if let (Some(pattern), Some(Frame { owner: Owner::When { arms, .. }, .. })) = (pattern, self.frames.last_mut()) {
                    arms.push(Arm { span, pattern, body: block });
                }
                if frame.braced {
                    self.expect_end();
                }
            }
            Owner::Try { start } => self.after_try(start, block, None),
            Owner::Catch { start, body } => self.after_try(start, body, Some(block)),
            Owner::Finally { start, body, catch } => {
                let kind = StatementKind::Try(Try { body, catch, finally: Some(block) });
                self.complete_or_drop(start, Some(kind));
            }
            Owner::Decorator(pending) => self.after_decorator_block(*pending, block),
        }
    }

    fn complete_or_drop(&mut self, start: usize, kind: Option<StatementKind>) {
        match kind {
            Some(kind) => self.complete(start, self.at, kind),
            None => self.finish(None),
        }
        self.expect_end();
    }

    fn complete_if(&mut self, start: usize, branches: Vec<Branch>, otherwise: Option<Block>) {
        let kind = (!branches.is_empty()).then_some(StatementKind::If(If { branches, otherwise }));
        self.complete_or_drop(start, kind);
    }

    /// The word at `at` or on a following line, if it is this clause.
    fn clause(&mut self, word: &str) -> Option<usize> {
        let here = self.reader.skip_blanks(self.at);
        let next = self.reader.skip_trivia(self.at);
        let end = self.reader.identifier_end(next);
        if self.reader.slice(next, end) != word {
            return None;
        }
        let after = self.reader.skip_blanks(end);
        // `else ->` on a line of its own is the next arm.
        if self.reader.starts_with(after, "->") {
            return None;
        }
        (next == here || self.reader.byte(after) == Some(b'{') || self.reader.starts_with(after, "if ")).then_some(after)
    }

    fn after_branch(&mut self, start: usize, branches: Vec<Branch>) {
        let Some(after) = self.clause("else") else {
            self.complete_if(start, branches, None);
            return;
        };
        self.at = after;
        if self.reader.starts_with(after, "if ") || self.reader.starts_with(after, "if(") {
            self.if_header(start, branches);
        } else {
            self.expect_brace(Owner::Else { start, branches }, "`else`");
        }
    }

    fn after_try(&mut self, start: usize, body: Block, catch: Option<Block>) {
        if catch.is_none()
            && let Some(after) = self.clause("catch")
        {
            self.at = after;
            self.expect_brace(Owner::Catch { start, body }, "`catch`");
            return;
        }
        if let Some(after) = self.clause("finally") {
            self.at = after;
            self.expect_brace(Owner::Finally { start, body, catch }, "`finally`");
            return;
        }
        if catch.is_none() {
            let span = self.reader.span(start, start + 3);
            let message = "`try` needs `catch` or `finally`";
            let help = "add `catch { … }` or `finally { … }` after the block";
            self.reader.error_help(Code::TryWithoutHandler, span, message, help);
        }
        let kind = StatementKind::Try(Try { body, catch, finally: None });
        self.complete_or_drop(start, Some(kind));
    }

    // Statements.

    fn statement(&mut self) {
        let start = self.at;
        match self.reader.form(start) {
            Form::Fun => self.fun(),
            Form::Definition => self.colon_definition(),
            Form::Var => self.var(),
            Form::If if self.reader.is_shell_compound(start) => self.shell_compound("if", "if condition { … } else { … }"),
            Form::For if self.reader.is_shell_compound(start) => self.shell_compound("for", "for x in [\"a\", \"b\"] { … }"),
            Form::While if self.reader.is_shell_compound(start) => {
                self.shell_compound("while", "while condition { … }` (at plan time), or `bash -c '…'");
            }
            Form::If => self.if_header(start, Vec::new()),
            Form::For => {
                self.at += 3;
                let (tokens, header) = self.header(start);
                let axes = tokens.and_then(|tokens| self.reader.parse_axes(tokens, header));
                self.expect_brace(Owner::For { start, header, axes }, "`for`");
            }
            Form::While => {
                self.at += 5;
                let (tokens, header) = self.header(start);
                let condition = tokens.and_then(|tokens| self.reader.parse_expression(tokens, header));
                self.expect_brace(Owner::While { start, header, condition }, "`while`");
            }
            Form::When => {
                self.at += 4;
                let (tokens, header) = self.header(start);
                let subject = tokens.and_then(|tokens| self.reader.parse_expression(tokens, header));
                self.expect_brace(Owner::When { start, header, subject, arms: Vec::new() }, "`when`");
            }
            Form::Try => {
                self.at += 3;
                self.expect_brace(Owner::Try { start }, "`try`");
            }
            Form::Clause => self.misplaced_clause(),
            Form::ShellKeyword => {
                let end = self.reader.identifier_end(start);
                let word = self.reader.slice(start, end).to_owned();
                let span = self.reader.span(start, end);
                let message = format!("`{word}` belongs to a control structure of the shell");
                let help = "Opal writes `if condition { … }`, `for x in xs { … }`, `when x { … }`";
                self.reader.error_help(Code::ShellKeyword, span, message, help);
                self.skip_line();
                self.finish(None);
            }
            Form::ShellFunction => self.shell_function(start),
            Form::Assignment => self.assignment(),
            Form::Line => self.line(Line::new(start)),
        }
    }

    pub(super) fn shell_function(&mut self, start: usize) {
        let end = self.reader.line_end(start);
        let span = self.trimmed(start, end);
        let message = "functions of the shell do not last beyond their own step";
        let help = "define a command: `fun name(parameter) { … }`, and call it with `@cmd.name(…)`";
        self.reader.error_help(Code::ShellFunction, span, message, help);
        let opens = self.reader.slice(start, end).trim_end().ends_with('{');
        self.at = end;
        if opens {
            self.open(Owner::Discarded, start, true);
        } else {
            self.finish(None);
        }
    }

    fn shell_compound(&mut self, word: &str, form: &str) {
        let span = self.reader.span(self.at, self.at + word.len());
        let message = format!("this is the shell's `{word}`");
        self.reader.error_help(Code::ShellKeyword, span, message, format!("Opal writes `{form}`"));
        self.at = self.reader.skip_shell_compound(self.at);
        self.finish(None);
    }

    fn misplaced_clause(&mut self) {
        let end = self.reader.identifier_end(self.at);
        let word = self.reader.slice(self.at, end).to_owned();
        let span = self.reader.span(self.at, end);
        let (message, help) = match word.as_str() {
            "else" => ("`else` without an `if` before it", "put it after the `}` of its `if`"),
            "catch" => ("`catch` without a `try` before it", "put it after the `}` of its `try`"),
            _ => ("`finally` without a `try` before it", "put it after the `}` of its `try` or `catch`"),
        };
        self.reader.error_help(Code::MisplacedClause, span, message, help);
        let line_end = self.reader.line_end(end);
        match self.reader.slice(end, line_end).find('{') {
            Some(length) => {
                self.at = end + length;
                self.open_brace(Owner::Discarded);
            }
            None => {
                self.at = line_end;
                self.finish(None);
            }
        }
    }

    /// The tokens up to the `{` on this line, and the span of the header from `start`.
    fn header(&mut self, start: usize) -> (Option<Vec<(super::token::Token, Span)>>, Span) {
        let errors = self.reader.errors();
        let run = self.reader.run(self.at, Until::BlockStart);
        let span = self.trimmed(start, run.end);
        self.at = run.end;
        let readable = self.reader.errors() == errors && run.complete;
        (readable.then_some(run.tokens), span)
    }

    fn if_header(&mut self, start: usize, branches: Vec<Branch>) {
        let word = self.at;
        self.at += 2;
        let (tokens, header) = self.header(word);
        let condition = tokens.and_then(|tokens| self.reader.parse_expression(tokens, header));
        self.expect_brace(Owner::Branch { start, branches, header, condition }, "`if`");
    }

    fn arm(&mut self) {
        let start = self.at;
        let errors = self.reader.errors();
        let run = self.reader.run(start, Until::Arrow);
        if !run.complete {
            if self.reader.errors() == errors {
                let span = self.trimmed(start, run.end.max(start + 1));
                let help = "an arm is written `pattern -> command` or `pattern -> { … }`";
                self.reader.error_help(Code::MissingArrow, span, "this arm has no `->`", help);
            }
            // An arm on the line of its `when` ends at the `}` of that.
            self.at = self.reader.closing_brace(start + 1).unwrap_or_else(|| self.reader.line_end(start));
            // What looks like a block here is the arm's.
            if self.reader.slice(start, self.at).trim_end().ends_with('{') {
                self.open(Owner::Discarded, start, true);
            }
            return;
        }
        let place = self.trimmed(start, run.end - 2);
        let pattern = if run.tokens.is_empty() {
            let (span, help) = (self.reader.span(start, run.end), "write what it matches, or `else -> …` for everything else");
            self.reader.error_help(Code::BadPattern, span, "`->` without a pattern before it", help);
            None
        } else {
            self.reader.parse_pattern(run.tokens, place)
        };
        self.at = self.reader.skip_blanks(run.end);
        let owner = Owner::Arm { start, pattern };
        if self.reader.byte(self.at) == Some(b'{') {
            self.open_brace(owner);
        } else {
            self.open(owner, self.at, false);
        }
    }

    fn var(&mut self) {
        let start = self.at;
        self.at = self.reader.skip_blanks(start + 3);
        let mut bindings = Vec::new();
        let grouped = self.reader.byte(self.at) == Some(b'(');
        if grouped {
            let open = self.at;
            self.at += 1;
            loop {
                self.at = self.reader.skip_trivia(self.at);
                match self.reader.byte(self.at) {
                    Some(b')') => {
                        self.at += 1;
                        break;
                    }
                    Some(b',' | b';') => self.at += 1,
                    None | Some(b'}') => {
                        let span = self.reader.span(open, open + 1);
                        self.reader.error_help(Code::UnclosedBracket, span, "`(` is not closed", "add `)`");
                        break;
                    }
                    Some(_) => {
                        let before = self.at;
                        bindings.extend(self.binding(Until::GroupLine));
                        if self.at == before {
                            self.at += 1;
                        }
                    }
                }
            }
        } else {
            bindings.extend(self.binding(Until::LineEnd));
        }
        if bindings.is_empty() && !grouped {
            self.finish(None);
        } else {
            let kind = StatementKind::Var(VarDeclaration { grouped, bindings });
            self.complete(start, self.at, kind);
        }
        self.expect_end();
    }

    fn binding(&mut self, until: Until) -> Option<VarBinding> {
        let start = self.at;
        let errors = self.reader.errors();
        let run = self.reader.run(start, until);
        self.at = run.end;
        let place = self.trimmed(start, run.end);
        let binding = if self.reader.errors() == errors { self.reader.parse_binding(run.tokens, place) } else { None };
        if binding.is_none() {
            let name = self.reader.slice(start, self.reader.identifier_end(start));
            self.reader.broken.push(name.to_owned());
            if !run.complete {
                self.at = self.reader.closing_brace(self.at).unwrap_or_else(|| self.reader.line_end(self.at));
            }
        }
        binding
    }

    fn assignment(&mut self) {
        let start = self.at;
        let end = self.reader.identifier_end(start);
        let target = Identifier { name: self.reader.slice(start, end).to_owned(), span: self.reader.span(start, end) };
        let operator = self.reader.skip_blanks(end);
        let step = match self.reader.slice(operator, operator + 2) {
            "++" => Some(AssignOperator::Increment),
            "--" => Some(AssignOperator::Decrement),
            _ => None,
        };
        if let Some(step) = step.filter(|_| operator == end) {
            self.at = operator + 2;
            let one = Expression { span: self.reader.span(operator, operator + 2), kind: ExpressionKind::Int(1) };
            let kind = StatementKind::Assign(Assignment { target, operator: step, value: one });
            self.complete(start, self.at, kind);
            self.expect_end();
            return;
        }
        let (operator, length) = match self.reader.byte(operator) {
            Some(b'+') => (AssignOperator::Add, operator + 2),
            Some(b'-') => (AssignOperator::Subtract, operator + 2),
            Some(b'*') => (AssignOperator::Multiply, operator + 2),
            Some(b'/') => (AssignOperator::Divide, operator + 2),
            Some(b'%') => (AssignOperator::Remainder, operator + 2),
            _ => (AssignOperator::Set, operator + 1),
        };
        let errors = self.reader.errors();
        let run = self.reader.run(length, Until::LineEnd);
        self.at = run.end;
        let place = self.trimmed(length, run.end);
        let value = if self.reader.errors() == errors { self.reader.parse_expression(run.tokens, place) } else { None };
        match value {
            Some(value) => {
                let kind = StatementKind::Assign(Assignment { target, operator, value });
                self.complete(start, self.at, kind);
                self.expect_end();
            }
            None => {
                self.skip_line();
                self.finish(None);
            }
        }
    }

    // Definitions.

    fn fun(&mut self) {
        let start = self.at;
        let name_start = self.reader.skip_blanks(start + 3);
        if self.frames.len() > 1 {
            self.nested_definition(start);
            return;
        }
        let end = self.reader.identifier_end(name_start);
        let hyphenated = self.reader.command_name_end(name_start);
        let name = Identifier { name: self.reader.slice(name_start, end).to_owned(), span: self.reader.span(name_start, end) };
        if hyphenated > end {
            let span = self.reader.span(name_start, hyphenated);
            let written = self.reader.slice(name_start, hyphenated);
            let message = format!("the name `{written}` of a `fun` holds a hyphen");
            let plain = written.replace('-', "_");
            let diagnostic = Diagnostic::new(Code::BadName, span, message).with_help(format!("write `fun {plain}`, or `{written}: …`"));
            self.reader.report(diagnostic.with_fix(Fix::maybe(format!("write `{plain}`"), span, plain)));
        } else if end == name_start {
            let span = self.reader.span(name_start, name_start + 1);
            self.reader.error_help(Code::BadDefinition, span, "`fun` needs a name", "write `fun name { … }`");
            self.skip_definition(name_start);
            return;
        } else {
            self.reader.check_name(&name);
        }
        self.at = self.reader.skip_blanks(hyphenated);
        let mut parameters = Vec::new();
        if self.reader.byte(self.at) == Some(b'(') {
            let open = self.at;
            let errors = self.reader.errors();
            let run = self.reader.run(open + 1, Until::Close { close: b')', lines: true });
            let place = self.reader.span(open, run.end);
            self.at = self.reader.skip_blanks(run.end);
            if run.complete && self.reader.errors() == errors {
                parameters = self.reader.parse_parameters(run.tokens, place).unwrap_or_default();
            } else {
                if self.reader.errors() == errors {
                    let span = self.reader.span(open, open + 1);
                    self.reader.error_help(Code::UnclosedBracket, span, "`(` is not closed", "add `)`");
                }
                self.skip_definition(self.at);
                return;
            }
        }
        match self.reader.byte(self.at) {
            Some(b'{') => {
                let form = DefinitionForm::FunBlock;
                self.open_brace(Owner::Definition { start, name, form, parameters });
            }
            Some(b'=') => {
                self.at = self.reader.skip_blanks(self.at + 1);
                let braced = self.reader.byte(self.at) == Some(b'{');
                let form = if braced { DefinitionForm::FunBlock } else { DefinitionForm::FunAssign };
                let owner = Owner::Definition { start, name, form, parameters };
                if braced {
                    self.open_brace(owner);
                } else {
                    self.open(owner, self.at, false);
                }
            }
            _ => {
                let span = self.reader.span(self.at, self.at + 1);
                let help = "write `fun name(parameters) = command` or `fun name(parameters) { … }`";
                self.reader.error_help(Code::BadDefinition, span, "expected `=` or `{` after the head of a `fun`", help);
                self.skip_definition(self.at);
            }
        }
    }

    /// Skips what is left of a definition's head; reads its block for errors.
    fn skip_definition(&mut self, at: usize) {
        self.at = at;
        let end = self.reader.line_end(at);
        if self.reader.slice(at, end).trim_end().ends_with('{') {
            self.at = end;
            self.open(Owner::Discarded, at, true);
        } else {
            self.at = end;
            self.finish(None);
        }
    }

    fn nested_definition(&mut self, start: usize) {
        let end = self.reader.command_name_end(start).max(start + 3);
        let span = self.reader.span(start, end);
        let outer = self.frames.iter().rev().find(|frame| frame.braced).map(|frame| frame.start);
        let mut diagnostic = Diagnostic::new(Code::NestedDefinition, span, "commands are defined at the top level only")
            .with_help("move the definition out of the block and give it parameters; call it here with `@cmd.name(…)`");
        if let Some(outer) = outer {
            diagnostic = diagnostic.with_label(self.reader.span(outer, outer + 1), "inside this block");
        }
        self.reader.report(diagnostic);
        let line_end = self.reader.line_end(start);
        let line = self.reader.slice(start, line_end);
        let code = line.split(" //").next().unwrap_or(line).split(" #").next().unwrap_or(line).trim_end();
        self.at = line_end;
        if code.ends_with('{') {
            self.open(Owner::Discarded, start, true);
        } else {
            self.finish(None);
        }
    }

    fn colon_definition(&mut self) {
        let start = self.at;
        if self.frames.len() > 1 {
            self.nested_definition(start);
            return;
        }
        let end = self.reader.command_name_end(start);
        let name = Identifier { name: self.reader.slice(start, end).to_owned(), span: self.reader.span(start, end) };
        self.reader.check_name(&name);
        self.at = self.reader.skip_blanks(end + 1);
        let parameters = Vec::new();
        if self.reader.byte(self.at) == Some(b'\n') {
            let next = self.reader.skip_trivia(self.at);
            if self.reader.byte(next) == Some(b'{') {
                self.at = next;
            }
        }
        if self.reader.byte(self.at) == Some(b'{') {
            let form = DefinitionForm::ColonBlock;
            self.open_brace(Owner::Definition { start, name, form, parameters });
        } else {
            let form = DefinitionForm::ColonLine;
            self.open(Owner::Definition { start, name, form, parameters }, self.at, false);
        }
    }
}
