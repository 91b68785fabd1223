//! Statements.

use super::expression::{Site, backward};
use super::scope::{Kind, binding_is_variable};
use super::shape::{self, Shape};
use super::typed::{Expr, ExprKind, For, If, Node, Stmt, StmtKind, Store, Variable};
use super::{Checker, DEPTH_MAX, article};
use crate::ast::{
    self, AndOrOperator, Arm, AssignOperator, BinaryOperator, Block, Branch, Literal, Operand, Pattern, PatternKind, Piped, PipelineSource,
    Statement, StatementKind, VarBinding,
};
use crate::diagnostic::{Code, Diagnostic, nearest};
use crate::span::Span;
use opal_core::decorators::{self, NODE_DECORATORS, OPERATIONS};
use opal_core::operations;
use opal_format::kind::{NodeKind, ValueType};

fn node(kind: NodeKind, span: Span, body: Vec<Stmt>) -> Stmt {
    Stmt { span, kind: StmtKind::Node(Node { kind, header: None, span, arguments: Vec::new(), isolated: false, body }) }
}

fn flow(kind: NodeKind, span: Span, header: String, body: Vec<Stmt>) -> Stmt {
    Stmt { span, kind: StmtKind::Node(Node { kind, header: Some(header), span, arguments: Vec::new(), isolated: false, body }) }
}

impl Checker<'_> {
    pub(super) fn statements(&mut self, statements: &[Statement], out: &mut Vec<Stmt>) {
        for statement in statements {
            self.statement(statement, out);
        }
    }

    /// The statements of a block, in a scope of their own.
    fn block(&mut self, block: &Block) -> Vec<Stmt> {
        self.scoped(block.span, |checker, out| checker.statements(&block.statements, out))
    }

    /// Runs `fill` one level deeper, in a scope of its own.
    fn scoped(&mut self, span: Span, fill: impl FnOnce(&mut Self, &mut Vec<Stmt>)) -> Vec<Stmt> {
        let at_top = std::mem::replace(&mut self.at_top, false);
        self.frame.enter();
        let mut out = Vec::new();
        if self.depth < DEPTH_MAX {
            self.depth += 1;
            fill(self, &mut out);
            self.depth -= 1;
        } else if !std::mem::replace(&mut self.is_too_deep, true) {
            self.report(
                Diagnostic::new(Code::LimitExceeded, span, format!("blocks, arms and `else if` nest deeper than {DEPTH_MAX}"))
                    .with_help("move the inner part to a command of its own"),
            );
        }
        self.frame.leave();
        self.at_top = at_top;
        out
    }

    pub(super) fn statement(&mut self, statement: &Statement, out: &mut Vec<Stmt>) {
        let span = statement.span;
        match &statement.kind {
            StatementKind::Var(declaration) => declaration.bindings.iter().for_each(|binding| self.var(binding, out)),
            StatementKind::Assign(assignment) => self.assign(assignment, span, out),
            StatementKind::If(chain) => {
                let made = self.chain(&chain.branches, chain.otherwise.as_ref(), span, false);
                out.extend(made);
            }
            StatementKind::For(each) => self.each(each, span, false, out),
            StatementKind::While(each) => self.while_loop(each, span, out),
            StatementKind::When(when) => self.when(when, span, false, out),
            StatementKind::Try(guarded) => self.guarded(guarded, span, out),
            StatementKind::Decorator(decorator) => out.extend(self.decorator(decorator)),
            StatementKind::Call(call) => out.extend(self.call(call).map(|call| Stmt { span, kind: StmtKind::Call(call) })),
            StatementKind::Sleep(sleep) => out.push(self.sleep(sleep)),
            StatementKind::Shell(command) => {
                let template = self.template(&command.text, None);
                out.push(Stmt { span, kind: StmtKind::Shell(template) });
            }
            StatementKind::Binding(binding) => self.binding(binding, span, out),
            StatementKind::Operators(operators) => out.extend(self.operators(operators)),
            StatementKind::Pipeline(pipeline) => out.extend(self.pipeline(pipeline)),
        }
    }

    fn var(&mut self, binding: &VarBinding, out: &mut Vec<Stmt>) {
        let (name, span) = (binding.name.name.as_str(), binding.name.span);
        if !self.at_top {
            let value = self.expression(&binding.value);
            let secret = self.secret_in(&value);
            let local = Variable::Local(self.declare(name, span, value.shape.clone(), Kind::Declared));
            self.secrets.extend(secret.map(|secret| (local, secret)));
            out.push(store(binding.span, local, name, value, false, true));
            return;
        }
        let uses = std::mem::take(&mut self.frame.uses);
        let value = self.expression(&binding.value);
        let uses = std::mem::replace(&mut self.frame.uses, uses);
        let Some(index) = self
            .global_names
            .get(name)
            .copied()
            .filter(|index| self.globals.get(*index as usize).is_some_and(|global| global.span == span))
        else {
            return;
        };
        if let Some(first) = self.frame.in_scope(name).map(|first| first.span) {
            self.report(binding_is_variable(name, span, first));
        }
        let target = Variable::Global(index);
        let secret = self.secret_in(&value);
        self.secrets.extend(secret.map(|secret| (target, secret)));
        let fixed = !self.assigned.contains(name);
        if let Some(global) = self.globals.get_mut(index as usize) {
            global.declared = true;
            global.shape = if fixed { value.shape.clone() } else { Shape::Unknown };
        }
        if self.is_script {
            for (global, span) in &uses.globals {
                self.frame.uses.globals.entry(*global).or_insert(*span);
            }
            self.frame.uses.globals.entry(index).or_insert(span);
            out.push(store(binding.span, target, name, value.clone(), false, true));
        }
        if let Some(initial) = self.initial.get_mut(index as usize) {
            *initial = Some((value, uses));
        }
    }

    fn assign(&mut self, assignment: &ast::Assignment, span: Span, out: &mut Vec<Stmt>) {
        let (name, name_span) = (assignment.target.name.as_str(), assignment.target.span);
        let value = self.expression(&assignment.value);
        let Some(known) = self.find_variable(name, name_span) else { return };
        let (target, kind, declared, shape) = (known.variable, known.kind, known.span, known.shape.clone());
        if kind == Kind::Binding {
            let help = format!("to bind it again, write `{name}=…` without spaces; else rename one of the two");
            self.report(binding_is_variable(name, name_span, declared).with_help(help));
            return;
        }
        self.note_use(target, name_span, true);
        let secret = self.secret_in(&value);
        self.secrets.extend(secret.map(|secret| (target, secret)));
        let operator = match assignment.operator {
            AssignOperator::Set => None,
            AssignOperator::Add | AssignOperator::Increment => Some(BinaryOperator::Add),
            AssignOperator::Subtract | AssignOperator::Decrement => Some(BinaryOperator::Subtract),
            AssignOperator::Multiply => Some(BinaryOperator::Multiply),
            AssignOperator::Divide => Some(BinaryOperator::Divide),
            AssignOperator::Remainder => Some(BinaryOperator::Remainder),
        };
        let strict = operator.is_some();
        let value = match operator {
            None => value,
            Some(operator) => {
                let before = Expr { span: name_span, shape, kind: ExprKind::Load(target) };
                self.binary(span, operator, before, value)
            }
        };
        out.push(store(span, target, name, value, strict, false));
    }

    fn binding(&mut self, binding: &ast::RuntimeBinding, span: Span, out: &mut Vec<Stmt>) {
        let (name, name_span) = (binding.name.name.as_str(), binding.name.span);
        let template = self.template(&binding.text, Some(name));
        let variable = self.visible(name).filter(|known| known.kind != Kind::Binding).map(|known| {
            known.used = true;
            known.span
        });
        let local = match variable {
            Some(first) => {
                self.report(binding_is_variable(name, name_span, first));
                self.frame.declare(name, name_span, shape::STRING, Kind::Binding)
            }
            None => self.declare(name, name_span, shape::STRING, Kind::Binding),
        };
        out.push(Stmt { span, kind: StmtKind::Let(template, local) });
    }

    /// `if … else if … else`. Each `else if` is an `if` inside the `else` of the one before.
    fn chain(&mut self, branches: &[Branch], otherwise: Option<&Block>, span: Span, parallel: bool) -> Option<Stmt> {
        let (branch, rest) = branches.split_first()?;
        let condition = self.condition(&branch.condition, "`if`");
        let header = self.header(branch.condition.span);
        let body = self.arm(&branch.body, parallel);
        let then = vec![flow(NodeKind::If, branch.header, header.clone(), body)];
        let other = if rest.is_empty() {
            otherwise.map(|block| {
                let body = self.arm(block, parallel);
                flow(NodeKind::Else, branch.header, header, body)
            })
        } else {
            let body = self.scoped(span, |checker, out| out.extend(checker.chain(rest, otherwise, span, false)));
            let body = if parallel { self.one_branch(span, body) } else { body };
            Some(flow(NodeKind::Else, branch.header, header, body))
        };
        let made = If { condition, then, otherwise: other.into_iter().collect() };
        Some(Stmt { span: branch.condition.span, kind: StmtKind::If(Box::new(made)) })
    }

    /// The block of a taken arm; directly in `@parallel` it is one branch.
    fn arm(&mut self, block: &Block, parallel: bool) -> Vec<Stmt> {
        let body = self.block(block);
        if parallel { self.one_branch(block.span, body) } else { body }
    }

    fn each(&mut self, each: &ast::For, span: Span, parallel: bool, out: &mut Vec<Stmt>) {
        let collections: Vec<Expr> = each.axes.iter().map(|axis| self.collection(&axis.collection)).collect();
        let start = each.axes.first().map_or(each.header.start, |axis| axis.name.span.start);
        let header = self.header(Span { start, end: each.header.end });
        let mut axes = Vec::with_capacity(collections.len());
        let body = self.scoped(span, |checker, out| {
            for (axis, collection) in each.axes.iter().zip(collections) {
                let local = checker.declare(&axis.name.name, axis.name.span, collection.shape.element(), Kind::Loop);
                axes.push((local, collection));
            }
            let body = checker.arm(&each.body, parallel);
            out.extend(body);
        });
        let each_stmt = Stmt { span, kind: StmtKind::For(Box::new(For { axes, body })) };
        out.push(flow(NodeKind::For, each.header, header, vec![each_stmt]));
    }

    fn collection(&mut self, collection: &ast::Expression) -> Expr {
        let value = self.expression(collection);
        if let Some(found) = value.shape.value_type().filter(|found| *found != ValueType::Array) {
            let help = match found {
                ValueType::Int => format!("count with a range: `1...{}`", self.source.slice(collection.span)),
                ValueType::Map => format!("take its values: `{}.*`", self.source.slice(collection.span)),
                _ => "write an Array `[a, b]` or a range `1...3`".to_owned(),
            };
            self.report(
                Diagnostic::new(Code::WrongType, collection.span, format!("`for` runs over an Array, not {}", article(found.name())))
                    .with_help(help),
            );
        }
        value
    }

    fn while_loop(&mut self, each: &ast::While, span: Span, out: &mut Vec<Stmt>) {
        let condition = self.condition(&each.condition, "`while`");
        let header = self.header(each.condition.span);
        let body = self.block(&each.body);
        let made = Stmt { span: each.condition.span, kind: StmtKind::While(Box::new((condition, body))) };
        out.push(flow(NodeKind::While, each.header.to(each.condition.span), header, vec![made]));
        debug_assert!(span.start <= each.header.start, "a loop starts with its header");
    }

    fn when(&mut self, when: &ast::When, span: Span, parallel: bool, out: &mut Vec<Stmt>) {
        let subject = self.expression(&when.subject);
        let local = Variable::Local(self.frame.local());
        let load = Expr { span: subject.span, shape: subject.shape.clone(), kind: ExprKind::Load(local) };
        out.push(store(when.subject.span, local, "", subject, true, true));
        self.repeated_patterns(&when.arms);
        let header = self.header(when.subject.span);
        let made = self.arms(&when.arms, &load, &header, span, parallel);
        out.extend(made);
    }

    /// Warns of literals that an earlier arm has already.
    fn repeated_patterns(&mut self, arms: &[Arm]) {
        let mut seen: Vec<&Pattern> = Vec::new();
        for arm in arms {
            let alternatives = match &arm.pattern.kind {
                PatternKind::AnyOf(patterns) => patterns.as_slice(),
                _ => std::slice::from_ref(&arm.pattern),
            };
            for pattern in alternatives.iter().filter(|pattern| matches!(pattern.kind, PatternKind::Literal(_))) {
                match seen.iter().find(|earlier| earlier.kind == pattern.kind) {
                    Some(earlier) => self.report(
                        Diagnostic::new(Code::UnreachablePattern, pattern.span, "this pattern is never tried: an earlier one is the same")
                            .with_label(earlier.span, "the same pattern")
                            .with_help("remove one of the two"),
                    ),
                    None => seen.push(pattern),
                }
            }
        }
    }

    /// Arms as a chain of conditions: the first that matches is taken.
    fn arms(&mut self, arms: &[Arm], subject: &Expr, header: &str, span: Span, parallel: bool) -> Option<Stmt> {
        let (arm, rest) = arms.split_first()?;
        let test = self.test(&arm.pattern, subject);
        let pattern = if test.is_some() { self.header(arm.pattern.span) } else { "else".to_owned() };
        let body = self.arm(&arm.body, parallel);
        let taken = flow(NodeKind::When, arm.pattern.span, format!("{header} == {pattern}"), body);
        let Some(condition) = test else {
            for unreachable in rest {
                self.report(
                    Diagnostic::new(
                        Code::UnreachablePattern,
                        unreachable.pattern.span,
                        "this pattern is never tried: `else` before it matches everything",
                    )
                    .with_label(arm.pattern.span, "matches everything")
                    .with_help("move `else` to the end"),
                );
                self.test(&unreachable.pattern, subject);
                self.block(&unreachable.body);
            }
            return Some(taken);
        };
        let otherwise = if rest.is_empty() {
            Vec::new()
        } else {
            self.scoped(span, |checker, out| out.extend(checker.arms(rest, subject, header, span, parallel)))
        };
        Some(Stmt { span: arm.pattern.span, kind: StmtKind::If(Box::new(If { condition, then: vec![taken], otherwise })) })
    }

    /// Whether the subject matches; `None` for `else`, which always does.
    fn test(&mut self, pattern: &Pattern, subject: &Expr) -> Option<Expr> {
        let span = pattern.span;
        let holds = |kind| Expr { span, shape: shape::BOOL, kind };
        Some(match &pattern.kind {
            PatternKind::Else => return None,
            PatternKind::Literal(literal) => {
                let wanted = Expr::constant(span, literal.clone());
                if let (Some(found), Some(wants)) = (subject.shape.value_type(), wanted.shape.value_type())
                    && found != wants
                {
                    self.report(
                        Diagnostic::new(
                            Code::UnreachablePattern,
                            span,
                            format!("{} never equals {}", article(found.name()), article(wants.name())),
                        )
                        .with_label(subject.span, format!("this is {}", article(found.name())))
                        .with_help("write the pattern as a value of the same type, or convert what is matched"),
                    );
                }
                holds(ExprKind::Same(Box::new((subject.clone(), wanted))))
            }
            PatternKind::Range { low, high } => {
                if let (Literal::Int(from), Literal::Int(to)) = (low, high)
                    && from > to
                {
                    self.report(backward(span, from, to).with_help(format!("write `{to}...{from}`")));
                }
                let bound = Shape::of_literal(low);
                if let (Some(found), Err(_)) = (subject.shape.value_type(), shape::binary(BinaryOperator::Less, &subject.shape, &bound)) {
                    let wants = bound.value_type().map_or("", ValueType::name);
                    self.report(
                        Diagnostic::new(
                            Code::WrongType,
                            span,
                            format!("a range of this kind matches {}, not {}", article(wants), article(found.name())),
                        )
                        .with_label(subject.span, format!("this is {}", article(found.name())))
                        .with_help("convert what is matched: `when int(…)`"),
                    );
                }
                holds(ExprKind::Within(Box::new(subject.clone()), Box::new((low.clone(), high.clone()))))
            }
            PatternKind::Regex(regex) => {
                if operations::check(NodeKind::LinesGrep, regex.as_bytes()).is_err() {
                    self.report(
                        Diagnostic::new(Code::RegexInvalid, span, "the regular expression cannot be read")
                            .with_help("close its groups and brackets; look-around and back-references are not available"),
                    );
                }
                holds(ExprKind::Matches(Box::new(subject.clone()), regex.clone()))
            }
            PatternKind::AnyOf(patterns) => {
                holds(ExprKind::Any(patterns.iter().filter_map(|pattern| self.test(pattern, subject)).collect()))
            }
        })
    }

    fn guarded(&mut self, guarded: &ast::Try, span: Span, out: &mut Vec<Stmt>) {
        let isolated = |kind, span, body| Node { kind, header: None, span, arguments: Vec::new(), isolated: true, body };
        let mut attempt = isolated(NodeKind::Try, span, self.block(&guarded.body));
        // The handlers are children of the node, after its own steps; each of the three has its own copy of the variables.
        for (kind, block) in [(NodeKind::Catch, &guarded.catch), (NodeKind::Finally, &guarded.finally)] {
            if let Some(block) = block {
                let body = self.block(block);
                attempt.body.push(Stmt { span: block.span, kind: StmtKind::Node(isolated(kind, block.span, body)) });
            }
        }
        out.push(Stmt { span, kind: StmtKind::Node(attempt) });
    }

    fn sleep(&mut self, sleep: &ast::Sleep) -> Stmt {
        let params = decorators::node_params(NodeKind::Sleep);
        let arguments = self.decorator_arguments("sleep", sleep.span, params, 0, Some(&sleep.arguments));
        let made = Node { kind: NodeKind::Sleep, header: None, span: sleep.span, arguments, isolated: false, body: Vec::new() };
        Stmt { span: sleep.span, kind: StmtKind::Node(made) }
    }

    fn decorator(&mut self, decorator: &ast::Decorator) -> Option<Stmt> {
        let name = decorator.name.name.as_str();
        let span = decorator.block.as_ref().map_or(decorator.header, |block| decorator.header.to(block.span));
        let Some(known) = decorators::node_decorator_named(name).filter(|known| known.block) else {
            self.unknown_decorator(decorator);
            return None;
        };
        let arguments = self.decorator_arguments(&format!("@{name}"), decorator.header, known.params, 0, decorator.arguments.as_ref());
        if known.kind == NodeKind::Tty && self.in_parallel {
            self.report(
                Diagnostic::new(Code::TtyInParallel, decorator.header, "branches of `@parallel` run at once, and there is one terminal")
                    .with_help("put `@tty` before `@parallel` or after it"),
            );
        }
        let body = match &decorator.block {
            Some(block) if known.kind == NodeKind::Parallel => {
                let outer = std::mem::replace(&mut self.in_parallel, true);
                let body =
                    self.scoped(block.span, |checker, out| block.statements.iter().for_each(|statement| checker.branch(statement, out)));
                self.in_parallel = outer;
                body
            }
            Some(block) => self.block(block),
            None => {
                let written = self.source.slice(decorator.header);
                self.report(
                    Diagnostic::new(Code::MissingBlock, decorator.header, format!("`@{name}` needs a block"))
                        .with_help(format!("write `{written} {{ … }}`")),
                );
                Vec::new()
            }
        };
        let made = Node { kind: known.kind, header: None, span: decorator.header, arguments, isolated: true, body };
        Some(Stmt { span, kind: StmtKind::Node(made) })
    }

    fn unknown_decorator(&mut self, decorator: &ast::Decorator) {
        let name = decorator.name.name.as_str();
        let names = || NODE_DECORATORS.iter().filter(|known| known.block).map(|known| known.name);
        let span = decorator.name.span;
        let diagnostic = Diagnostic::new(Code::UnknownDecorator, span, format!("there is no execution decorator `@{name}`"));
        self.report(match nearest(name, names()) {
            Some(near) => diagnostic.with_meant(&format!("@{near}"), span, near),
            None => diagnostic.with_help(format!("there are {}", names().map(|name| format!("`@{name}`")).collect::<Vec<_>>().join(", "))),
        });
        for argument in decorator.arguments.iter().flat_map(|arguments| &arguments.items) {
            self.expression(&argument.value);
        }
        if let Some(block) = &decorator.block {
            self.block(block);
        }
    }

    /// A statement directly in `@parallel`: what it emits is one branch, or for a `for`, one branch per iteration.
    fn branch(&mut self, statement: &Statement, out: &mut Vec<Stmt>) {
        let span = statement.span;
        match &statement.kind {
            StatementKind::For(each) => self.each(each, span, true, out),
            StatementKind::If(chain) => {
                let made = self.chain(&chain.branches, chain.otherwise.as_ref(), span, true);
                out.extend(made);
            }
            StatementKind::When(when) => self.when(when, span, true, out),
            StatementKind::Call(_) | StatementKind::While(_) => {
                let mut body = Vec::new();
                self.statement(statement, &mut body);
                out.extend(self.one_branch(span, body));
            }
            StatementKind::Binding(binding) => {
                self.report(
                    Diagnostic::new(
                        Code::BindingInParallel,
                        binding.name.span,
                        format!("nothing can read `{}`: the branches run at once", binding.name.name),
                    )
                    .with_help("bind it before `@parallel`"),
                );
                self.statement(statement, out);
            }
            _ => self.statement(statement, out),
        }
    }

    /// Makes what a body emits one child: a single shell step or node stays, anything else is grouped.
    fn one_branch(&mut self, span: Span, body: Vec<Stmt>) -> Vec<Stmt> {
        let mut emitting = body.iter().filter(|statement| !matches!(statement.kind, StmtKind::Store(_)));
        let single = match (emitting.next(), emitting.next()) {
            (None, _) => true,
            (Some(Stmt { kind: StmtKind::Shell(_), .. }), None) => true,
            (Some(Stmt { kind: StmtKind::Node(node), .. }), None) => !node.kind.is_flow(),
            _ => false,
        };
        if single {
            return body;
        }
        vec![flow(NodeKind::Group, span, self.header(span), body)]
    }

    /// Operators over Opal constructs. Chains of `|` and `;` are one node each, `&&` and `||` nest to the left.
    fn operators(&mut self, operators: &ast::Operators) -> Option<Stmt> {
        let mut parts = Vec::with_capacity(operators.sequence.len());
        for chain in &operators.sequence {
            let mut left = self.piped(&chain.first);
            for (index, (operator, piped)) in chain.rest.iter().enumerate() {
                if self.depth + index >= DEPTH_MAX {
                    self.report(
                        Diagnostic::new(Code::LimitExceeded, chain.span, format!("more than {DEPTH_MAX} operators in a row"))
                            .with_help("write one step a line"),
                    );
                    break;
                }
                let right = self.piped(piped);
                let kind = match operator {
                    AndOrOperator::And => NodeKind::And,
                    AndOrOperator::Or => NodeKind::Or,
                };
                let span = chain.first.span.to(piped.span);
                left = left.zip(right).map(|(left, right)| node(kind, span, vec![left, right]));
            }
            parts.push(left);
        }
        let mut parts: Vec<Stmt> = parts.into_iter().collect::<Option<_>>()?;
        if parts.len() > 1 { Some(node(NodeKind::Seq, operators.span, parts)) } else { parts.pop() }
    }

    fn piped(&mut self, piped: &Piped) -> Option<Stmt> {
        let operands: Vec<Option<Stmt>> = piped.operands.iter().map(|operand| self.operand(operand)).collect();
        let mut operands: Vec<Stmt> = operands.into_iter().collect::<Option<_>>()?;
        if operands.len() > 1 { Some(node(NodeKind::Pipe, piped.span, operands)) } else { operands.pop() }
    }

    /// One operand: exactly one node.
    fn operand(&mut self, operand: &Operand) -> Option<Stmt> {
        match operand {
            Operand::Shell(command) => {
                let template = self.template(&command.text, None);
                Some(Stmt { span: command.text.span, kind: StmtKind::Shell(template) })
            }
            Operand::Call(call) => {
                let span = call.span;
                let header = self.header(span);
                let call = self.call(call)?;
                Some(flow(NodeKind::Group, span, header, vec![Stmt { span, kind: StmtKind::Call(call) }]))
            }
            Operand::Sleep(sleep) => Some(self.sleep(sleep)),
            Operand::Decorator(decorator) => self.decorator(decorator),
        }
    }

    /// `source |> op(…)`: a node with its one step, then its operations.
    fn pipeline(&mut self, pipeline: &ast::Pipeline) -> Option<Stmt> {
        let step = match &pipeline.source {
            PipelineSource::Shell(command) => {
                let template = self.template(&command.text, None);
                Some(Stmt { span: command.text.span, kind: StmtKind::Shell(template) })
            }
            PipelineSource::Operators(operators) => self.operators(operators),
        };
        let operations: Vec<Option<Stmt>> = pipeline.operations.iter().map(|operation| self.operation(operation)).collect();
        let body = std::iter::once(step).chain(operations).collect::<Option<_>>()?;
        Some(node(NodeKind::Transform, pipeline.span, body))
    }

    fn operation(&mut self, operation: &ast::Operation) -> Option<Stmt> {
        let (name, span) = (operation.kind.name(), operation.span);
        let known = OPERATIONS.iter().find(|known| known.name == name)?;
        let arguments = self.decorator_arguments(name, span, known.params, 0, Some(&operation.arguments));
        for (number, value) in &arguments {
            let what = known.params.get(usize::from(*number)).and_then(|param| param.names.first()).copied().unwrap_or_default();
            let expected = match &value.kind {
                ExprKind::Constant(Literal::String(text)) => operations::check(known.kind, text.as_bytes()).err(),
                ExprKind::Constant(Literal::Int(..0)) if known.kind != NodeKind::AssertEq => Some("a number that is at least 0"),
                _ => None,
            };
            if let Some(expected) = expected {
                self.report(
                    Diagnostic::new(Code::OperationArgument, value.span, format!("`{what}` of `{name}` takes {expected}"))
                        .with_help(format!("`{name}` {}", known.help)),
                );
            }
        }
        let made = Node { kind: known.kind, header: None, span, arguments, isolated: false, body: Vec::new() };
        Some(Stmt { span, kind: StmtKind::Node(made) })
    }

    /// The value that a shell reference stands for.
    pub(super) fn hole(&mut self, reference: &ast::Reference) -> Expr {
        self.reference(reference, Site::Shell)
    }
}

fn store(span: Span, target: Variable, name: &str, value: Expr, strict: bool, declares: bool) -> Stmt {
    Stmt { span, kind: StmtKind::Store(Store { target, name: name.to_owned(), value, strict, declares }) }
}
