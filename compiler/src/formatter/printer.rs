//! Statements and blocks. Comments and blank lines between them are found in the source.

use crate::{
    ast::{
        AndOrOperator, Arguments, AssignOperator, Block, Call, Decorator, Definition, DefinitionForm, File, Item, Operand, Operators,
        Pipeline, PipelineSource, Reference, ShellCommand, ShellText, Statement, StatementKind, Try, VarDeclaration, When,
    },
    span::Span,
};

use super::{
    older::Text,
    output::Output,
    run::{self, Stop, Style, column},
};

struct Printer<'a> {
    text: Text<'a>,
    out: Output,
    indent: usize,
    /// Everything before it is in the output.
    at: usize,
}

/// Lays out a whole source. `references` holds every reference by its start, with itself if it is of an older form.
pub(super) fn print(text: &str, file: &File, references: &[(Span, Option<Reference>)]) -> String {
    let text = Text { text, comments: &file.comments, references };
    let mark = if text.starts_with(0, "\u{feff}") { "\u{feff}" } else { "" };
    let mut printer = Printer { text, out: Output::new(mark), indent: 0, at: mark.len() };
    for item in &file.items {
        let start = match item {
            Item::Definition(definition) => definition.span.start,
            Item::Statement(statement) => statement.span.start,
        };
        printer.next_line(start as usize);
        match item {
            Item::Definition(definition) => printer.definition(definition),
            Item::Statement(statement) => printer.statement(statement),
        }
    }
    printer.trivia(text.text.len());
    printer.out.finish(text.text.ends_with('\n'))
}

impl Printer<'_> {
    // What stands between two things.

    /// Prints the comments before `to`, and keeps one blank line where there are some.
    fn trivia(&mut self, to: usize) {
        while let Some(comment) = self.text.comment_between(self.at, to) {
            let (start, end) = (comment.start as usize, comment.end as usize);
            let written = self.text.slice(start, end).trim_end();
            let lines = self.text.slice(self.at, start).matches('\n').count();
            if lines == 0 && self.out.in_line() {
                self.out.trailing(written, column(self.text, start));
            } else {
                if lines > 1 {
                    self.out.want_blank();
                }
                self.out.line(self.indent);
                self.out.push(written);
            }
            self.at = end;
        }
        if self.text.slice(self.at, to).matches('\n').take(2).count() > 1 {
            self.out.want_blank();
        }
        self.at = self.at.max(to);
    }

    /// Comments before `start`, then a line for what stands there.
    fn next_line(&mut self, start: usize) {
        self.trivia(start);
        self.out.line(self.indent);
    }

    /// Comments before `end`, then a line for the bracket that ends there.
    fn last_line(&mut self, end: usize) {
        self.trivia(end.saturating_sub(1));
        self.indent -= 1;
        self.out.close_line(self.indent);
        self.at = end;
    }

    fn run(&mut self, start: usize, stop: Stop, style: Style) {
        self.at = run::print(self.text, start, stop, style, &mut self.out);
    }

    fn span(&mut self, span: Span) {
        self.run(span.start as usize, Stop::At(span.end as usize), Style::Expression);
        self.at = span.end as usize;
    }

    /// What follows a keyword of this length in a header.
    fn header(&mut self, keyword: &str, header: Span, style: Style) {
        self.out.push(keyword);
        self.out.push(" ");
        self.run(header.start as usize + keyword.len(), Stop::At(header.end as usize), style);
        self.at = header.end as usize;
        self.out.push(" ");
    }

    // Definitions and blocks.

    fn definition(&mut self, definition: &Definition) {
        let name = &definition.name;
        let body = &definition.body;
        if matches!(definition.form, DefinitionForm::ColonLine | DefinitionForm::ColonBlock) {
            self.out.push(&name.name);
            self.out.push(": ");
            // Comments before a `{` on a line of its own go into the block.
            let before = name.span.end as usize;
            self.block(body, before);
            return;
        }
        self.out.push("fun ");
        self.out.push(&name.name);
        let next = self.text.skip_white(name.span.end as usize);
        if self.text.byte(next) == Some(b'(') {
            self.run(next, Stop::Close, Style::Parameters);
        }
        self.out.push(if definition.form == DefinitionForm::FunAssign { " = " } else { " " });
        self.block(body, body.span.start as usize + 1);
    }

    /// A block, in one line if it was written so and holds no more than one statement without a block of its own.
    /// `inside` is where the search for its first comment starts.
    fn block(&mut self, block: &Block, inside: usize) {
        let one_line = self.fits_one_line(block);
        self.block_as(block, inside, one_line);
    }

    fn fits_one_line(&self, block: &Block) -> bool {
        let short = matches!(block.statements.as_slice(), [] | [_]) && block.statements.iter().all(is_simple);
        short && !self.text.slice(block.span.start as usize, block.span.end as usize).contains('\n')
    }

    fn block_as(&mut self, block: &Block, inside: usize, one_line: bool) {
        let (start, end) = (block.span.start as usize, block.span.end as usize);
        match block.statements.as_slice() {
            [only] if !block.braced => self.statement(only),
            [only] if one_line => {
                self.out.push("{ ");
                self.statement(only);
                self.out.push(" }");
                self.at = end;
            }
            [] if self.text.comment_between(inside, end).is_none() => {
                self.out.push("{}");
                self.at = end;
            }
            statements => {
                self.at = inside;
                self.out.open("{");
                self.indent += 1;
                if inside <= start {
                    self.trivia(start);
                    self.at = start + 1;
                }
                for statement in statements {
                    self.next_line(statement.span.start as usize);
                    self.statement(statement);
                }
                self.last_line(end);
                self.out.push("}");
            }
        }
    }

    /// Several blocks of one statement: in one line together, or none of them.
    fn part(&mut self, block: &Block, one_line: bool) {
        self.block_as(block, block.span.start as usize + 1, one_line);
    }

    /// The word of a clause after a block, which is at or after `at`: on the same line, unless comments stand between.
    fn clause(&mut self, word: &str) {
        let start = self.text.skip_trivia(self.at);
        if self.text.comment_between(self.at, start).is_some() {
            self.trivia(start);
            self.out.close_line(self.indent);
        } else {
            self.out.push(" ");
        }
        self.out.push(word);
        self.out.push(" ");
    }

    // Statements.

    fn statement(&mut self, statement: &Statement) {
        let (start, end) = (statement.span.start as usize, statement.span.end as usize);
        match &statement.kind {
            StatementKind::Var(var) => self.var(var, start, end),
            StatementKind::Assign(assignment) => {
                self.out.push(&assignment.target.name);
                self.assignment(assignment.operator, assignment.target.span.end as usize, end);
            }
            StatementKind::If(choice) => {
                let blocks = choice.branches.iter().map(|branch| &branch.body).chain(&choice.otherwise);
                let one_line = self.in_one_line(statement, blocks);
                for (index, branch) in choice.branches.iter().enumerate() {
                    if index > 0 {
                        self.clause("else");
                    }
                    self.header("if", branch.header, Style::Expression);
                    self.part(&branch.body, one_line);
                }
                if let Some(otherwise) = &choice.otherwise {
                    self.clause("else");
                    self.part(otherwise, one_line);
                }
            }
            StatementKind::For(each) => {
                self.header("for", each.header, Style::Axes);
                self.block(&each.body, each.body.span.start as usize + 1);
            }
            StatementKind::While(each) => {
                self.header("while", each.header, Style::Expression);
                self.block(&each.body, each.body.span.start as usize + 1);
            }
            StatementKind::When(when) => self.when(when, end),
            StatementKind::Try(guarded) => self.guarded(guarded, statement),
            StatementKind::Decorator(decorator) => self.decorator(decorator),
            StatementKind::Call(call) => self.call(call),
            StatementKind::Sleep(sleep) => self.named_call("sleep", &sleep.arguments),
            StatementKind::Shell(shell) => self.shell(shell, start),
            StatementKind::Binding(binding) => self.shell_text(&binding.text),
            StatementKind::Operators(operators) => self.operators(operators, start),
            StatementKind::Pipeline(pipeline) => self.pipeline(pipeline, start),
        }
        self.at = self.at.max(end);
    }

    fn in_one_line<'b>(&self, statement: &Statement, mut blocks: impl Iterator<Item = &'b Block>) -> bool {
        let whole = self.text.slice(statement.span.start as usize, statement.span.end as usize);
        !whole.contains('\n') && blocks.all(|block| self.fits_one_line(block))
    }

    fn var(&mut self, var: &VarDeclaration, start: usize, end: usize) {
        if !var.grouped {
            self.out.push("var ");
            for binding in &var.bindings {
                self.span(binding.span);
            }
            return;
        }
        let inside = self.text.skip_white(start + "var".len()) + 1;
        if var.bindings.is_empty() && self.text.comment_between(inside, end).is_none() {
            self.out.push("var ()");
            return;
        }
        self.out.open("var (");
        self.at = inside;
        self.indent += 1;
        for binding in &var.bindings {
            self.next_line(binding.span.start as usize);
            self.span(binding.span);
        }
        self.last_line(end);
        self.out.push(")");
    }

    /// What follows the name at `at`.
    fn assignment(&mut self, operator: AssignOperator, at: usize, end: usize) {
        let symbol = match operator {
            AssignOperator::Increment => return self.out.push("++"),
            AssignOperator::Decrement => return self.out.push("--"),
            AssignOperator::Set => "=",
            AssignOperator::Add => "+=",
            AssignOperator::Subtract => "-=",
            AssignOperator::Multiply => "*=",
            AssignOperator::Divide => "/=",
            AssignOperator::Remainder => "%=",
        };
        self.out.push(" ");
        self.out.push(symbol);
        self.out.push(" ");
        let value = self.text.skip_white(at) + symbol.len();
        self.run(value, Stop::At(end), Style::Expression);
    }

    fn when(&mut self, when: &When, end: usize) {
        self.header("when", when.header, Style::Expression);
        let inside = self.text.skip_white(self.at) + 1;
        if when.arms.is_empty() && self.text.comment_between(inside, end).is_none() {
            self.out.push("{}");
            return;
        }
        self.out.open("{");
        self.at = inside;
        self.indent += 1;
        for arm in &when.arms {
            self.next_line(arm.span.start as usize);
            self.run(arm.span.start as usize, Stop::Arrow, Style::Expression);
            self.out.push(" -> ");
            self.block(&arm.body, arm.body.span.start as usize + 1);
            self.at = self.at.max(arm.span.end as usize);
        }
        self.last_line(end);
        self.out.push("}");
    }

    fn guarded(&mut self, guarded: &Try, statement: &Statement) {
        let blocks = [Some(&guarded.body), guarded.catch.as_ref(), guarded.finally.as_ref()];
        let one_line = self.in_one_line(statement, blocks.into_iter().flatten());
        self.out.push("try ");
        self.part(&guarded.body, one_line);
        for (word, block) in [("catch", &guarded.catch), ("finally", &guarded.finally)] {
            if let Some(block) = block {
                self.clause(word);
                self.part(block, one_line);
            }
        }
    }

    fn decorator(&mut self, decorator: &Decorator) {
        self.span(decorator.header);
        if let Some(block) = &decorator.block {
            self.out.push(" ");
            self.block(block, block.span.start as usize + 1);
        }
    }

    fn named_call(&mut self, name: &str, arguments: &Arguments) {
        self.out.push(name);
        self.run(arguments.span.start as usize, Stop::Close, Style::Arguments);
    }

    fn call(&mut self, call: &Call) {
        let older = call.via_cmd && self.text.starts_with(call.span.start as usize, "@cmd(");
        if call.via_cmd {
            self.out.push("@cmd.");
        }
        match &call.arguments {
            None => self.out.push(&call.name.name),
            Some(_) if older => {
                self.out.push(&call.name.name);
                // What follows the name and its comma, up to the `)`.
                let comma = self.text.skip_white(call.name.span.end as usize);
                let first = comma + usize::from(self.text.byte(comma) == Some(b','));
                self.run(first, Stop::Close, Style::Options);
            }
            Some(arguments) => self.named_call(&call.name.name, arguments),
        }
        self.at = call.span.end as usize;
    }

    // Shell text, and the operators around it.

    /// `start` is where the command starts, `@shell` included.
    fn shell(&mut self, shell: &ShellCommand, start: usize) {
        if shell.via_decorator {
            self.run(start, Stop::Close, Style::Expression);
        } else {
            self.shell_text(&shell.text);
        }
    }

    fn shell_text(&mut self, text: &ShellText) {
        let written = self.text.rewritten(text.span.start as usize, text.span.end as usize);
        // A carriage return before a line end is no part of shell text; of several, only the last.
        let plain = written.contains('\r') && !written.contains("\r\r\n");
        self.out.push(&if plain { written.replace("\r\n", "\n") } else { written });
        self.at = text.span.end as usize;
    }

    /// An operator that joins the next operand, and where that operand starts. A line break before or after the
    /// operator stays.
    fn joint(&mut self, symbol: &str) -> usize {
        let here = self.text.skip_trivia(self.at);
        self.indent += 1;
        if self.text.comment_between(self.at, here).is_some() {
            // Only behind an operator of the shell's with nothing after it.
            self.trivia(here);
            self.out.close_line(self.indent);
        } else if self.text.slice(self.at, here).contains('\n') {
            self.out.push(" \\");
            self.out.close_line(self.indent);
        } else if symbol != ";" {
            self.out.push(" ");
        }
        self.at = here;
        // The `&` of a command that goes on in the background belongs to its text, and no `;` follows it.
        if self.text.starts_with(here, symbol) {
            self.out.push(symbol);
            self.at += symbol.len();
        }
        let next = self.text.skip_trivia(self.at);
        if symbol != ";" && self.text.slice(self.at, next).contains('\n') {
            self.trivia(next);
            self.out.close_line(self.indent);
        } else {
            self.out.push(" ");
        }
        self.indent -= 1;
        next
    }

    fn operators(&mut self, operators: &Operators, start: usize) {
        let mut start = start;
        let mut symbol = None;
        for each in &operators.sequence {
            let rest = each.rest.iter().map(|(operator, piped)| (Some(and_or(*operator)), piped));
            for (before, piped) in std::iter::once((None, &each.first)).chain(rest) {
                symbol = before.or(symbol);
                for operand in &piped.operands {
                    if let Some(symbol) = symbol {
                        start = self.joint(symbol);
                    }
                    match operand {
                        Operand::Shell(shell) => self.shell(shell, start),
                        Operand::Call(call) => self.call(call),
                        Operand::Sleep(sleep) => self.named_call("sleep", &sleep.arguments),
                        Operand::Decorator(decorator) => self.decorator(decorator),
                    }
                    symbol = Some("|");
                }
            }
            symbol = Some(";");
        }
    }

    fn pipeline(&mut self, pipeline: &Pipeline, start: usize) {
        match &pipeline.source {
            PipelineSource::Shell(shell) => self.shell(shell, start),
            PipelineSource::Operators(operators) => self.operators(operators, start),
        }
        for operation in &pipeline.operations {
            self.joint("|>");
            self.named_call(operation.kind.name(), &operation.arguments);
        }
    }
}

fn and_or(operator: AndOrOperator) -> &'static str {
    match operator {
        AndOrOperator::And => "&&",
        AndOrOperator::Or => "||",
    }
}

/// Whether a statement has no block and spans no lines of its own.
fn is_simple(statement: &Statement) -> bool {
    let operands = |operators: &Operators| {
        let chains = operators.sequence.iter();
        let mut piped = chains.flat_map(|each| std::iter::once(&each.first).chain(each.rest.iter().map(|(_, piped)| piped)));
        let plain = |operand: &Operand| !matches!(operand, Operand::Decorator(decorator) if decorator.block.is_some());
        piped.all(|piped| piped.operands.iter().all(plain))
    };
    match &statement.kind {
        StatementKind::Var(var) => !var.grouped,
        StatementKind::Decorator(decorator) => decorator.block.is_none(),
        StatementKind::Operators(operators) => operands(operators),
        StatementKind::Pipeline(Pipeline { source: PipelineSource::Operators(operators), .. }) => operands(operators),
        StatementKind::Assign(_)
        | StatementKind::Call(_)
        | StatementKind::Sleep(_)
        | StatementKind::Shell(_)
        | StatementKind::Binding(_)
        | StatementKind::Pipeline(_) => true,
        StatementKind::If(_) | StatementKind::For(_) | StatementKind::While(_) | StatementKind::When(_) | StatementKind::Try(_) => false,
    }
}
