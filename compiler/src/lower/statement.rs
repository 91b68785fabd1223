//! Statements of a command.

use super::Lowerer;
use super::expression::Env;
use super::function::Builder;
use super::tables::Piece;
use crate::check::typed::{Call, Expr, ExprKind, For, If, Node, Part, Stmt, StmtKind, Store, Template, Variable};
use crate::span::Span;
use opal_core::program::table::Op;
use opal_format::kind::NodeKind;
use std::collections::BTreeSet;

impl Lowerer<'_> {
    pub(super) fn statements(&mut self, builder: &mut Builder, statements: &[Stmt]) {
        for statement in statements {
            self.statement(builder, statement);
        }
    }

    fn statement(&mut self, builder: &mut Builder, statement: &Stmt) {
        let span = statement.span;
        match &statement.kind {
            StmtKind::Store(store) => self.store(builder, store, span),
            StmtKind::Call(call) => self.call(builder, call, span),
            StmtKind::Shell(template) => {
                let number = self.template(builder, template);
                builder.op(Op::Shell, number, template.span);
            }
            StmtKind::Let(template, local) => {
                let number = self.template(builder, template);
                builder.op(Op::Let, number, template.span);
                builder.op(Op::Store, *local, template.span);
            }
            StmtKind::Node(node) => self.node(builder, node),
            StmtKind::If(conditional) => self.conditional(builder, conditional, span),
            StmtKind::For(each) => self.each(builder, each, span),
            StmtKind::While(each) => {
                let assigns = self.assigned_in(&each.1);
                let block = builder.open(Op::While, assigns, span);
                self.strict(builder, &Env::default(), &each.0);
                builder.op(Op::WhileTest, 0, each.0.span);
                self.statements(builder, &each.1);
                builder.close(block, Op::EndWhile, span);
            }
        }
    }

    fn store(&mut self, builder: &mut Builder, store: &Store, span: Span) {
        let env = Env::default();
        if store.strict {
            self.strict(builder, &env, &store.value);
        } else {
            self.lazy(builder, &env, &store.value, &store.name, None);
        }
        match store.target {
            Variable::Local(local) => builder.op(Op::Store, local, span),
            Variable::Global(global) => builder.op(Op::StoreGlobal, self.global(global, false), span),
        };
    }

    /// Pushes the arguments, defaults filled, and calls.
    pub(super) fn call(&mut self, builder: &mut Builder, call: &Call, span: Span) {
        let Some((function, command)) = self.callee(call.command) else { return };
        let mut env = Env::default();
        let takes_earlier = command.parameters.iter().zip(&call.arguments).any(|(parameter, argument)| {
            let default = parameter.default.as_ref().filter(|_| argument.is_none());
            default.is_some_and(reads_locals)
        });
        let mut held = Vec::new();
        for ((number, parameter), argument) in (0u32..).zip(&command.parameters).zip(&call.arguments) {
            let what = format!("`{}` of `{}`", parameter.name, command.name);
            let expected = parameter.expected.map(|expected| (expected, what.as_str()));
            match (argument, &parameter.default) {
                (Some(argument), _) => self.lazy(builder, &Env::default(), argument, &parameter.name, expected),
                (None, Some(default)) => self.lazy(builder, &env, default, &parameter.name, expected),
                (None, None) => {}
            }
            // A default may read the parameters before it: their values wait in locals of the caller.
            if takes_earlier {
                let local = builder.local();
                builder.op(Op::Store, local, span);
                env.moved.insert(Variable::Local(number), local);
                held.push(local);
            }
        }
        for local in held {
            builder.op(Op::Load, local, span);
        }
        builder.op(Op::Call, function, span);
    }

    fn template(&mut self, builder: &mut Builder, template: &Template) -> u32 {
        let mut pieces = Vec::with_capacity(template.parts.len());
        for part in &template.parts {
            pieces.push(match part {
                Part::Text(text) => Piece::Text(text),
                Part::Hole { value, position, alone } => {
                    self.strict(builder, &Env::default(), value);
                    Piece::Hole { position: *position, alone: *alone }
                }
            });
        }
        self.tables.template(template.name.as_deref().unwrap_or_default(), &pieces, template.span)
    }

    fn node(&mut self, builder: &mut Builder, node: &Node) {
        for (_, argument) in &node.arguments {
            self.strict(builder, &Env::default(), argument);
        }
        let params: Vec<u8> = node.arguments.iter().map(|(param, _)| *param).collect();
        let number = self.tables.node(node.kind, &params, node.header.as_deref(), node.span);
        builder.op(Op::Open, number, node.span);
        // The handlers of a `try` are children of its node, but outside the copy that its own steps work on.
        let handler =
            |statement: &Stmt| matches!(&statement.kind, StmtKind::Node(node) if matches!(node.kind, NodeKind::Catch | NodeKind::Finally));
        let own = if node.kind == NodeKind::Try { node.body.iter().position(handler).unwrap_or(node.body.len()) } else { node.body.len() };
        let (own, handlers) = node.body.split_at(own);
        let assigns = if node.isolated { self.assigned_in(own) } else { Vec::new() };
        if assigns.is_empty() {
            self.statements(builder, own);
        } else {
            let block = builder.open(Op::Isolate, assigns, node.span);
            self.statements(builder, own);
            builder.close(block, Op::EndIsolate, node.span);
        }
        self.statements(builder, handlers);
        builder.op(Op::Close, 0, node.span);
    }

    fn conditional(&mut self, builder: &mut Builder, conditional: &If, span: Span) {
        self.strict(builder, &Env::default(), &conditional.condition);
        let mut assigns: BTreeSet<Variable> = self.assigned_in(&conditional.then).into_iter().collect();
        assigns.extend(self.assigned_in(&conditional.otherwise));
        let block = builder.open(Op::If, assigns.into_iter().collect(), span);
        self.statements(builder, &conditional.then);
        if conditional.otherwise.is_empty() {
            builder.close(block, Op::End, span);
            return;
        }
        let at = builder.otherwise(block, span);
        self.statements(builder, &conditional.otherwise);
        builder.end_otherwise(at, span);
    }

    /// One loop per axis; the last varies fastest. Collections are evaluated once, before the first round.
    fn each(&mut self, builder: &mut Builder, each: &For, span: Span) {
        let env = Env::default();
        let matrix = each.axes.len() > 1;
        let mut held = Vec::new();
        for (_, collection) in each.axes.iter().skip(1) {
            self.strict(builder, &env, collection);
            let local = builder.local();
            builder.op(Op::Store, local, collection.span);
            held.push((local, collection.span));
        }
        let assigns = self.assigned_in(&each.body);
        let mut blocks = Vec::with_capacity(each.axes.len());
        for (number, (variable, collection)) in each.axes.iter().enumerate() {
            match number.checked_sub(1).and_then(|number| held.get(number)) {
                None => self.strict(builder, &env, collection),
                Some((local, span)) => drop(builder.op(Op::Load, *local, *span)),
            }
            let block = builder.open(Op::For, assigns.clone(), collection.span);
            builder.axis(block, *variable, matrix);
            blocks.push(block);
        }
        self.statements(builder, &each.body);
        for block in blocks.into_iter().rev() {
            builder.close(block, Op::EndFor, span);
        }
    }

    /// The variables from outside that statements assign, through calls too; globals by their number in the program.
    fn assigned_in(&self, statements: &[Stmt]) -> Vec<Variable> {
        let mut assigned = BTreeSet::new();
        let mut declared = BTreeSet::new();
        self.collect_assigned(statements, &mut assigned, &mut declared);
        assigned.difference(&declared).copied().collect()
    }

    fn collect_assigned(&self, statements: &[Stmt], assigned: &mut BTreeSet<Variable>, declared: &mut BTreeSet<Variable>) {
        for statement in statements {
            match &statement.kind {
                StmtKind::Store(store) => {
                    if store.declares && matches!(store.target, Variable::Local(_)) {
                        declared.insert(store.target);
                    }
                    assigned.insert(match store.target {
                        Variable::Global(global) => Variable::Global(self.global(global, false)),
                        local @ Variable::Local(_) => local,
                    });
                }
                StmtKind::Call(call) => assigned.extend(self.assigned_by(call.command).iter().copied()),
                StmtKind::Shell(_) | StmtKind::Let(..) => {}
                StmtKind::Node(node) => self.collect_assigned(&node.body, assigned, declared),
                StmtKind::If(conditional) => {
                    self.collect_assigned(&conditional.then, assigned, declared);
                    self.collect_assigned(&conditional.otherwise, assigned, declared);
                }
                StmtKind::For(each) => {
                    declared.extend(each.axes.iter().map(|(local, _)| Variable::Local(*local)));
                    self.collect_assigned(&each.body, assigned, declared);
                }
                StmtKind::While(each) => self.collect_assigned(&each.1, assigned, declared),
            }
        }
    }
}

fn reads_locals(value: &Expr) -> bool {
    let mut found = false;
    value.walk(&mut |part| found |= matches!(part.kind, ExprKind::Load(Variable::Local(_))));
    found
}
