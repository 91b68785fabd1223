//! Expressions: names, paths, types.

use super::arguments::ended_before;
use super::scope::Kind;
use super::shape::{self, Shape};
use super::typed::{Expr, ExprKind};
use super::{Checker, article, list};
use crate::ast::{self, BinaryOperator, Expression, ExpressionKind, Literal, Reference, Segment, SegmentKind, StringPart, UnaryOperator};
use crate::diagnostic::{Code, Diagnostic, Fix, nearest};
use crate::span::Span;
use opal_core::decorators;
use opal_format::kind::ValueType;
use std::collections::HashSet;
use std::rc::Rc;

/// Where a reference stands.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Site {
    /// The plan needs the value.
    Plan,
    /// The value goes to a shell: runtime bindings may stand.
    Shell,
}

impl Checker<'_> {
    pub(super) fn expression(&mut self, expression: &Expression) -> Expr {
        let span = expression.span;
        match &expression.kind {
            ExpressionKind::String(literal) => match literal.constant() {
                Some(text) => Expr::text(span, text),
                None => {
                    let parts = literal.parts.iter().map(|part| match part {
                        StringPart::Text { text, span } => Expr::text(*span, text.clone()),
                        StringPart::Reference(reference) => self.reference(reference, Site::Plan),
                    });
                    let parts = parts.collect();
                    Expr { span, shape: shape::STRING, kind: ExprKind::Text(parts) }
                }
            },
            ExpressionKind::Int(value) => Expr::constant(span, Literal::Int(*value)),
            ExpressionKind::Float(value) => Expr::constant(span, Literal::Float(*value)),
            ExpressionKind::Bool(value) => Expr::constant(span, Literal::Bool(*value)),
            ExpressionKind::Duration(value) => Expr::constant(span, Literal::Duration(*value)),
            ExpressionKind::Array(elements) => {
                let elements: Vec<Expr> = elements.iter().map(|element| self.expression(element)).collect();
                if elements.len() > usize::from(u16::MAX) {
                    self.too_many(span, "elements of a written Array", u16::MAX.into());
                }
                let shapes: Rc<[Shape]> = elements.iter().map(|element| element.shape.clone()).collect();
                Expr { span, shape: Shape::Array(Some(shapes)), kind: ExprKind::Array(elements) }
            }
            ExpressionKind::Map(entries) => self.map(span, entries),
            ExpressionKind::Name(path) => {
                let base = self.load(&path.name.name, path.name.span, Site::Plan);
                self.path(base, &path.path, span)
            }
            ExpressionKind::Reference(reference) => self.reference(reference, Site::Plan),
            ExpressionKind::Unary(operator, operand) => self.unary(span, *operator, operand),
            ExpressionKind::Binary(binary) => {
                let left = self.expression(&binary.left);
                let right = self.expression(&binary.right);
                self.binary(span, binary.operator, left, right)
            }
            ExpressionKind::Range(bounds) => {
                let first = self.expression(&bounds.0);
                let last = self.expression(&bounds.1);
                let reported = self.diagnostics.len();
                self.expect_type(&first, ValueType::Int, "a range");
                if self.diagnostics.len() == reported {
                    self.expect_type(&last, ValueType::Int, "a range");
                }
                if let (ExprKind::Constant(Literal::Int(low)), ExprKind::Constant(Literal::Int(high))) = (&first.kind, &last.kind)
                    && low > high
                {
                    self.report(backward(span, low, high));
                }
                Expr { span, shape: Shape::Range, kind: ExprKind::Range(Box::new((first, last))) }
            }
            ExpressionKind::Convert(convert) => {
                let value = self.expression(&convert.value);
                let to = shape::value_type(convert.to);
                if matches!(value.shape, Shape::Array(_) | Shape::Range | Shape::Map(_)) {
                    let found = value.shape.value_type().map_or("", ValueType::name);
                    self.report(
                        Diagnostic::new(
                            Code::WrongType,
                            value.span,
                            format!("`{}()` takes one value, not {}", to.name().to_lowercase(), article(found)),
                        )
                        .with_help("pick an element"),
                    );
                }
                Expr { span, shape: Shape::of_type(to), kind: ExprKind::Convert(to, Box::new(value)) }
            }
        }
    }

    pub(super) fn too_many(&mut self, span: Span, what: &str, limit: u64) {
        self.report(
            Diagnostic::new(Code::LimitExceeded, span, format!("more than {limit} {what}"))
                .with_help("split it, or read the data with `@file.read`"),
        );
    }

    fn map(&mut self, span: Span, entries: &[ast::MapEntry]) -> Expr {
        let mut seen: HashSet<&str> = HashSet::new();
        let mut values = Vec::with_capacity(entries.len());
        for entry in entries {
            let value = self.expression(&entry.value);
            let key = entry.key.name.as_str();
            if !seen.insert(key) {
                self.report(
                    Diagnostic::new(Code::DuplicateKey, entry.key.span, format!("the Map has two values for `{key}`"))
                        .with_help("remove one of the two"),
                );
            }
            values.push((key.to_owned(), value));
        }
        if values.len() > usize::from(u16::MAX / 2) {
            self.too_many(span, "entries of a written Map", u64::from(u16::MAX / 2));
        }
        let shapes: Rc<[(String, Shape)]> = values.iter().map(|(key, value)| (key.clone(), value.shape.clone())).collect();
        Expr { span, shape: Shape::Map(Some(shapes)), kind: ExprKind::Map(values) }
    }

    fn unary(&mut self, span: Span, operator: UnaryOperator, operand: &Expression) -> Expr {
        let operand = self.expression(operand);
        if operator == UnaryOperator::Negate
            && let Some(negated) = negated(&operand.kind)
        {
            return Expr::constant(span, negated);
        }
        let shape = shape::unary(operator, &operand.shape).unwrap_or_else(|takes| {
            let symbol = if operator == UnaryOperator::Not { "!" } else { "-" };
            let found = operand.shape.value_type().map_or("", ValueType::name);
            self.report(
                Diagnostic::new(Code::WrongType, operand.span, format!("`{symbol}` takes {takes}, not {}", article(found)))
                    .with_help("convert it, or compare it with a value"),
            );
            Shape::Unknown
        });
        Expr { span, shape, kind: ExprKind::Unary(operator, Box::new(operand)) }
    }

    pub(super) fn binary(&mut self, span: Span, operator: BinaryOperator, left: Expr, right: Expr) -> Expr {
        let shape = shape::binary(operator, &left.shape, &right.shape).unwrap_or_else(|takes| {
            let name = |side: &Expr| side.shape.value_type().map_or_else(|| "a value".to_owned(), |found| article(found.name()));
            self.report(
                Diagnostic::new(
                    Code::WrongType,
                    span,
                    format!("`{}` takes {takes}, not {} and {}", operator.symbol(), name(&left), name(&right)),
                )
                .with_help("convert one side: `int()`, `float()`, `bool()`, `duration()`, `string()`"),
            );
            Shape::Unknown
        });
        Expr { span, shape, kind: ExprKind::Binary(operator, Box::new((left, right))) }
    }

    /// A Bool that decides something.
    pub(super) fn condition(&mut self, condition: &Expression, what: &str) -> Expr {
        let value = self.expression(condition);
        if let Some(found) = value.shape.value_type().filter(|found| *found != ValueType::Bool) {
            let written = self.source.slice(condition.span);
            let help = match found {
                ValueType::String => format!("compare it: `{written} == \"…\"`"),
                ValueType::Int | ValueType::Float => format!("compare it: `{written} != 0`"),
                ValueType::Array | ValueType::Map => format!("compare its length: `{written}.length > 0`"),
                ValueType::Duration | ValueType::Bool => format!("compare it: `{written} > 0s`"),
            };
            self.report(
                Diagnostic::new(Code::WrongType, condition.span, format!("{what} wants a Bool, not {}", article(found.name())))
                    .with_help(help),
            );
        }
        value
    }

    /// The value of a variable.
    fn load(&mut self, name: &str, span: Span, site: Site) -> Expr {
        let Some(known) = self.find_variable(name, span) else { return Expr::broken(span) };
        known.used = true;
        let (variable, shape, kind, declared) = (known.variable, known.shape.clone(), known.kind, known.span);
        if kind == Kind::Binding && site == Site::Plan {
            self.report(
                Diagnostic::new(
                    Code::BindingInExpression,
                    span,
                    format!("`{name}` is known only when its step has run, and the plan is made before"),
                )
                .with_label(declared, "the runtime binding")
                .with_help("use it in shell text only, or decide in the shell"),
            );
            return Expr::broken(span);
        }
        self.note_use(variable, span, false);
        Expr { span, shape, kind: ExprKind::Load(variable) }
    }

    pub(super) fn reference(&mut self, reference: &Reference, site: Site) -> Expr {
        let span = reference.span;
        let value = match reference.namespace.name.as_str() {
            "var" => {
                let Some(name) = reference.name() else { return Expr::broken(span) };
                self.refuse_options(reference);
                let name_span = reference.path.first().map_or(span, |segment| segment.span);
                let dot = u32::from(self.source.slice(name_span).starts_with('.'));
                let base = self.load(name, Span { start: name_span.start + dot, ..name_span }, site);
                let base = if reference.path.len() == 1 { Expr { span, ..base } } else { base };
                let base = self.path(base, reference.path.get(1..).unwrap_or_default(), span);
                self.path(base, &reference.tail, span)
            }
            "cmd" => {
                let name = reference.name().unwrap_or_default();
                self.report(
                    Diagnostic::new(Code::CommandAsValue, span, format!("`@cmd.{name}` runs a command and gives no value"))
                        .with_help(format!("call it on a line of its own: `@cmd.{name}()`")),
                );
                Expr::broken(span)
            }
            _ => self.value_decorator(reference).unwrap_or_else(|| Expr::broken(span)),
        };
        if !reference.quoted {
            return value;
        }
        if matches!(value.shape, Shape::Array(_) | Shape::Range | Shape::Map(_)) {
            self.report(Diagnostic::new(Code::WrongType, span, "`.quoted` takes one value").with_help("pick an element"));
        }
        Expr { span, shape: shape::STRING, kind: ExprKind::Quoted(Box::new(value)) }
    }

    /// What a path takes from a value.
    fn path(&mut self, base: Expr, path: &[Segment], whole: Span) -> Expr {
        let mut value = base;
        for segment in path {
            if let Shape::Scalar(found) = value.shape {
                let after = self.source.slice(segment.span);
                let before = self.source.slice(Span { start: whole.start, end: segment.span.start });
                let diagnostic = Diagnostic::new(Code::FieldOfScalar, segment.span, format!("{} has no `{after}`", article(found.name())));
                let (name, ends) = (before.strip_prefix("@{"), self.source.slice(whole).ends_with('}'));
                self.report(match name {
                    // The braces end the reference; what is text stands behind them.
                    Some(name) if ends && segment.span.end + 1 == whole.end => diagnostic
                        .with_help(format!("if `{after}` is text, write it behind the `}}`: `@{{{name}}}{after}`"))
                        .with_fix(Fix::maybe(
                            "end the reference before it",
                            Span { start: segment.span.start, end: whole.end },
                            format!("}}{after}"),
                        )),
                    None if before.starts_with('@') => diagnostic
                        .with_help(format!("if `{after}` is text, end the reference with `()`: `{before}(){after}`"))
                        .with_fix(ended_before(segment.span)),
                    _ => diagnostic.with_help("leave it out").with_fix(Fix::maybe("leave it out", segment.span, "")),
                });
                return Expr::broken(whole);
            }
            value = self.segment(value, segment, whole);
        }
        value
    }

    fn segment(&mut self, value: Expr, segment: &Segment, whole: Span) -> Expr {
        let span = Span { end: segment.span.end, ..whole };
        match &segment.kind {
            SegmentKind::All => Expr { span, shape: self.all_elements(&value, segment.span), kind: ExprKind::Elements(Box::new(value)) },
            SegmentKind::Length => Expr { span, shape: shape::INT, kind: ExprKind::Length(Box::new(value)) },
            SegmentKind::Field(name) => {
                let shape = self.field(&value.shape, name, segment.span);
                Expr { span, shape, kind: ExprKind::Field(Box::new(value), name.clone()) }
            }
            SegmentKind::Index(index) => {
                let index = i64::try_from(*index).unwrap_or(i64::MAX);
                let index = Expr::constant(segment.span, Literal::Int(index));
                self.index(span, value, index)
            }
            SegmentKind::Computed(index) => {
                let index = self.expression(index);
                self.index(span, value, index)
            }
        }
    }

    fn all_elements(&mut self, value: &Expr, span: Span) -> Shape {
        match &value.shape {
            Shape::Map(Some(entries)) => Shape::Array(Some(entries.iter().map(|(_, shape)| shape.clone()).collect())),
            Shape::Map(None) | Shape::Unknown => Shape::Array(None),
            shape => {
                debug_assert!(!matches!(shape, Shape::Scalar(_)), "scalars are refused before: {span:?}");
                shape.clone()
            }
        }
    }

    fn field(&mut self, shape: &Shape, name: &str, span: Span) -> Shape {
        match shape {
            Shape::Map(Some(entries)) => {
                if let Some((_, shape)) = entries.iter().find(|(key, _)| key == name) {
                    return shape.clone();
                }
                let keys: Vec<&str> = entries.iter().map(|(key, _)| key.as_str()).collect();
                let diagnostic = Diagnostic::new(Code::UnknownKey, span, format!("the Map has no key `{name}`"));
                // `.name` or `["name"]`: what stands around the name stays.
                let written = self.source.slice(span);
                let before = u32::from(written.starts_with('.')) + 2 * u32::from(written.starts_with('['));
                let after = 2 * u32::from(written.starts_with('['));
                let place = Span { start: span.start + before, end: span.end.saturating_sub(after) };
                self.report(match nearest(name, keys.iter().copied()) {
                    Some(near) if self.source.slice(place) == name => diagnostic.with_meant(near, place, near),
                    Some(near) => diagnostic.with_help(format!("did you mean `{near}`?")),
                    None if keys.is_empty() => diagnostic.with_help("the Map is empty"),
                    None => diagnostic.with_help(format!("its keys are {}", list(&keys))),
                });
                Shape::Unknown
            }
            Shape::Array(_) | Shape::Range => {
                self.report(
                    Diagnostic::new(Code::UnknownKey, span, format!("an Array has no `{name}`"))
                        .with_help("pick an element by number: `.0`; or take `.length` or all elements: `.*`"),
                );
                Shape::Unknown
            }
            _ => Shape::Unknown,
        }
    }

    fn index(&mut self, span: Span, value: Expr, index: Expr) -> Expr {
        let shape = match (&value.shape, &index.kind) {
            (Shape::Array(Some(elements)), ExprKind::Constant(Literal::Int(at))) => {
                let found = usize::try_from(*at).ok().and_then(|at| elements.get(at)).cloned();
                if found.is_none() {
                    let help = match elements.len() {
                        0 => "the Array is empty".to_owned(),
                        count => format!("the first is 0, the last is {}", count - 1),
                    };
                    self.report(
                        Diagnostic::new(
                            Code::IndexOutOfRange,
                            index.span,
                            format!("there is no element {at} in an Array of {}", elements.len()),
                        )
                        .with_help(help),
                    );
                }
                found.unwrap_or(Shape::Unknown)
            }
            (Shape::Map(Some(_)), ExprKind::Constant(Literal::String(key))) => self.field(&value.shape.clone(), key, index.span),
            (shape @ (Shape::Array(_) | Shape::Range), _) => {
                let element = shape.element();
                self.expect_type(&index, ValueType::Int, "an Array");
                element
            }
            (Shape::Map(_), _) => {
                if let Some(found) = index.shape.value_type().filter(|found| *found != ValueType::String) {
                    self.report(
                        Diagnostic::new(
                            Code::WrongType,
                            index.span,
                            format!("a Map is read by a String, not by {}", article(found.name())),
                        )
                        .with_help("write the key: `[\"key\"]` or `.key`; or take all values: `.*`"),
                    );
                }
                Shape::Unknown
            }
            _ => Shape::Unknown,
        };
        Expr { span, shape, kind: ExprKind::Index(Box::new((value, index))) }
    }

    /// The value decorator whose secret an expression holds, by its nature or by its name.
    pub(super) fn secret_in(&mut self, value: &Expr) -> Option<String> {
        let mut found = None;
        let mut variables = Vec::new();
        value.walk(&mut |part| match &part.kind {
            ExprKind::Resolve(resolve) if !resolve.public && found.is_none() => {
                let decorator = decorators::value_decorator(resolve.decorator);
                let key = resolve.arguments.first().and_then(|(_, key)| match &key.kind {
                    ExprKind::Constant(Literal::String(key)) => Some(key.as_str()),
                    _ => None,
                });
                found = match (decorator, key) {
                    (Some(decorator), Some(key)) if decorator.number == decorators::ENV => {
                        decorators::looks_secret(key).then(|| format!("@env.{key}"))
                    }
                    (Some(decorator), _) if decorator.is_seeded() => Some(format!("@{}", decorator.name)),
                    _ => None,
                };
            }
            ExprKind::Load(variable) => variables.push(*variable),
            _ => {}
        });
        found.or_else(|| variables.iter().find_map(|variable| self.secrets.get(variable).cloned()))
    }
}

fn negated(kind: &ExprKind) -> Option<Literal> {
    match kind {
        ExprKind::Constant(Literal::Int(value)) => value.checked_neg().map(Literal::Int),
        ExprKind::Constant(Literal::Float(value)) => Some(Literal::Float(-value)),
        ExprKind::Constant(Literal::Duration(value)) => value.checked_neg().map(Literal::Duration),
        _ => None,
    }
}

pub(super) fn backward(span: Span, low: &dyn std::fmt::Display, high: &dyn std::fmt::Display) -> Diagnostic {
    Diagnostic::new(Code::BackwardRange, span, format!("the range {low}...{high} runs backwards"))
        .with_help(format!("write `{high}...{low}`, or list what you want in its order: `[{low}, …, {high}]`"))
}
