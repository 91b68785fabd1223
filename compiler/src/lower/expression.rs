//! Expressions: strictly, or as thunks.

use super::Lowerer;
use super::function::{Builder, Kind};
use super::tables::Given;
use crate::ast::{BinaryOperator, Literal, UnaryOperator};
use crate::check::typed::{Expr, ExprKind, Resolve, Variable};
use opal_core::program::table::Op;
use opal_format::kind::ValueType;
use std::collections::HashMap;

/// How the variables of an expression are reached from the function at hand.
#[derive(Clone, Default)]
pub(super) struct Env {
    /// Variables that stand in other locals: captures of a thunk, arguments that a default refers to.
    pub moved: HashMap<Variable, u32>,
    /// Whether globals are read as they were at first (inside first values of globals).
    pub initial: bool,
}

/// What a value must be, and the name of it in the message.
pub(super) type Expected<'n> = Option<(ValueType, &'n str)>;

impl Lowerer<'_> {
    /// Leaves the value on the stack, evaluated here.
    pub(super) fn strict(&mut self, builder: &mut Builder, env: &Env, value: &Expr) {
        let span = value.span;
        match &value.kind {
            ExprKind::Constant(literal) => {
                let constant = self.tables.constant(literal);
                builder.op(Op::Const, constant, span);
            }
            ExprKind::Text(parts) => {
                parts.iter().for_each(|part| self.strict(builder, env, part));
                builder.emit(Op::Concat, 0, parts.len(), 0, span);
            }
            ExprKind::Array(elements) => {
                // Elements that nothing needs are not read.
                elements.iter().for_each(|element| self.lazy(builder, env, element, "an element", None));
                builder.emit(Op::Array, 0, elements.len(), 0, span);
            }
            ExprKind::Map(entries) => {
                for (key, entry) in entries {
                    let constant = self.tables.string(key);
                    builder.op(Op::Const, constant, span);
                    self.lazy(builder, env, entry, key, None);
                }
                builder.emit(Op::Map, 0, entries.len(), 0, span);
            }
            ExprKind::Load(variable) => self.load(builder, env, *variable, value),
            ExprKind::Index(pair) => self.pair(builder, env, pair, Op::Index, value),
            ExprKind::Range(pair) => self.pair(builder, env, pair, Op::Range, value),
            ExprKind::Same(pair) => self.pair(builder, env, pair, Op::Same, value),
            ExprKind::Field(inner, name) => {
                self.strict(builder, env, inner);
                let constant = self.tables.string(name);
                builder.op(Op::Field, constant, span);
            }
            ExprKind::Length(inner) => self.single(builder, env, inner, Op::Length, value),
            ExprKind::Elements(inner) => self.single(builder, env, inner, Op::Elements, value),
            ExprKind::Quoted(inner) => self.single(builder, env, inner, Op::Quoted, value),
            ExprKind::Unary(UnaryOperator::Negate, inner) => self.single(builder, env, inner, Op::Negate, value),
            ExprKind::Unary(UnaryOperator::Not, inner) => self.single(builder, env, inner, Op::Not, value),
            ExprKind::Binary(BinaryOperator::And, pair) => self.logic(builder, env, Op::And, [&pair.0, &pair.1]),
            ExprKind::Binary(BinaryOperator::Or, pair) => self.logic(builder, env, Op::Or, [&pair.0, &pair.1]),
            ExprKind::Binary(operator, pair) => self.pair(builder, env, pair, instruction(*operator), value),
            ExprKind::Any(tests) => self.logic(builder, env, Op::Or, tests),
            ExprKind::Convert(to, inner) => {
                self.strict(builder, env, inner);
                builder.emit(Op::Convert, to.number(), 0, 0, span);
            }
            ExprKind::Within(inner, bounds) => {
                self.strict(builder, env, inner);
                for bound in [&bounds.0, &bounds.1] {
                    let constant = self.tables.constant(bound);
                    builder.op(Op::Const, constant, span);
                }
                builder.op(Op::Within, 0, span);
            }
            ExprKind::Matches(inner, regex) => {
                self.strict(builder, env, inner);
                let constant = self.tables.string(regex);
                builder.op(Op::Matches, constant, span);
            }
            ExprKind::Resolve(resolve) => self.resolve(builder, env, resolve, value),
        }
    }

    fn single(&mut self, builder: &mut Builder, env: &Env, inner: &Expr, op: Op, whole: &Expr) {
        self.strict(builder, env, inner);
        builder.op(op, 0, whole.span);
    }

    fn pair(&mut self, builder: &mut Builder, env: &Env, pair: &(Expr, Expr), op: Op, whole: &Expr) {
        self.strict(builder, env, &pair.0);
        self.strict(builder, env, &pair.1);
        builder.op(op, 0, whole.span);
    }

    /// Operands joined by `&&` or by `||`: what decides ends it.
    fn logic<'e>(&mut self, builder: &mut Builder, env: &Env, op: Op, operands: impl IntoIterator<Item = &'e Expr>) {
        for (number, operand) in operands.into_iter().enumerate() {
            if number == 0 {
                self.strict(builder, env, operand);
                continue;
            }
            let at = builder.op(op, 0, operand.span);
            self.strict(builder, env, operand);
            let end = builder.op(Op::EndLogic, 0, operand.span);
            builder.aim(at, end);
        }
    }

    fn resolve(&mut self, builder: &mut Builder, env: &Env, resolve: &Resolve, whole: &Expr) {
        let mut given = Vec::with_capacity(resolve.arguments.len());
        for (param, argument) in &resolve.arguments {
            let argument = if let ExprKind::Constant(literal) = &argument.kind {
                Given::Constant(self.tables.constant(literal))
            } else {
                self.strict(builder, env, argument);
                Given::Computed
            };
            given.push((*param, argument));
        }
        let import = self.tables.import(resolve.decorator, resolve.public, &given, whole.span);
        builder.op(Op::Resolve, import, whole.span);
    }

    fn load(&mut self, builder: &mut Builder, env: &Env, variable: Variable, whole: &Expr) {
        match (env.moved.get(&variable), variable) {
            (Some(&local), _) | (None, Variable::Local(local)) => builder.op(Op::Load, local, whole.span),
            (None, Variable::Global(global)) => builder.op(Op::LoadGlobal, self.global(global, env.initial), whole.span),
        };
    }

    /// Leaves the value on the stack, to be evaluated when something needs it. What is there already, or is constant, needs no thunk.
    pub(super) fn lazy(&mut self, builder: &mut Builder, env: &Env, value: &Expr, name: &str, expected: Expected<'_>) {
        let expected = expected.filter(|(wanted, _)| value.shape.value_type() != Some(*wanted));
        let closed = value.is_closed();
        if closed || (expected.is_none() && matches!(value.kind, ExprKind::Load(_))) {
            self.strict(builder, env, value);
            if let Some(expected) = expected {
                self.expect(builder, expected, value);
            }
            return;
        }
        let mut captured: Vec<(Variable, &Expr)> = Vec::new();
        value.walk(&mut |part| {
            if let ExprKind::Load(variable) = part.kind
                && (env.moved.contains_key(&variable) || self.is_captured(variable, env))
                && captured.iter().all(|(known, _)| *known != variable)
            {
                captured.push((variable, part));
            }
        });
        let mut inner = Env { moved: HashMap::new(), initial: env.initial };
        let mut thunk = Builder::new(0);
        for (variable, _) in &captured {
            inner.moved.insert(*variable, thunk.local());
        }
        self.strict(&mut thunk, &inner, value);
        if let Some(expected) = expected {
            self.expect(&mut thunk, expected, value);
        }
        for (variable, part) in &captured {
            self.load(builder, env, *variable, part);
        }
        let params = thunk.locals;
        let function = self.finish(thunk, name, params, Kind::Thunk, value.span);
        builder.emit(Op::Thunk, 0, captured.len(), function, value.span);
    }

    /// Whether a thunk must take the variable's value along: locals always, globals where the value may change before the thunk is evaluated.
    fn is_captured(&self, variable: Variable, env: &Env) -> bool {
        match variable {
            Variable::Local(_) => true,
            Variable::Global(global) => !env.initial && (self.is_script || self.is_assigned(global)),
        }
    }

    fn expect(&mut self, builder: &mut Builder, (wanted, name): (ValueType, &str), value: &Expr) {
        let constant = self.tables.constant(&Literal::String(name.to_owned()));
        builder.emit(Op::Expect, wanted.number(), 0, constant, value.span);
    }
}

fn instruction(operator: BinaryOperator) -> Op {
    match operator {
        BinaryOperator::Add => Op::Add,
        BinaryOperator::Subtract => Op::Subtract,
        BinaryOperator::Multiply => Op::Multiply,
        BinaryOperator::Divide => Op::Divide,
        BinaryOperator::Remainder => Op::Remainder,
        BinaryOperator::Equal => Op::Equal,
        BinaryOperator::NotEqual => Op::NotEqual,
        BinaryOperator::Less => Op::Less,
        BinaryOperator::LessOrEqual => Op::LessEqual,
        BinaryOperator::Greater => Op::Greater,
        BinaryOperator::GreaterOrEqual => Op::GreaterEqual,
        BinaryOperator::And => Op::And,
        BinaryOperator::Or => Op::Or,
    }
}
