//! The grammar of everything that is tokens: expressions, arguments, parameters, patterns, loop heads.
//!
//! The rules are built once per source. Recursion is bounded, since a run of tokens opens at most
//! [`DEPTH_MAX`] brackets and `Reader::run` checks that before the parser sees it; chains of operators are read as
//! flat lists and folded here, where the depth of what comes out is checked.

use std::vec::IntoIter;

use chumsky::{
    Boxed, IterParser as _, Parser,
    error::Rich,
    extra,
    input::{MappedInput, Stream},
    prelude::{choice, just, recursive},
    recursive::Recursive,
    select,
};

use crate::{
    ast::{
        Argument, Axis, Binary, BinaryOperator, Convert, DEPTH_MAX, Expression, ExpressionKind, Identifier, Literal, MapEntry, NamePath,
        Pattern, PatternKind, TypeName, UnaryOperator, VarBinding,
    },
    span::Span,
};

use super::{
    errors::{Failure, TOO_DEEP},
    token::Token,
};

pub(super) type Tokens = MappedInput<'static, Token, Span, Stream<IntoIter<(Token, Span)>>, fn((Token, Span)) -> (Token, Span)>;
pub(super) type Extra = extra::Err<Failure>;
pub(super) type Rule<T> = Boxed<'static, 'static, Tokens, T, Extra>;

/// An expression with the depth of its tree.
type Deep = (Expression, usize);

/// A parameter whose type is still a name.
pub(super) type RawParameter = ((Identifier, Option<Identifier>), Option<Expression>, Span);

/// Every rule.
pub(crate) struct Grammar {
    pub(super) expression: Rule<Expression>,
    pub(super) arguments: Rule<Vec<Argument>>,
    pub(super) parameters: Rule<Vec<RawParameter>>,
    pub(super) pattern: Rule<Pattern>,
    pub(super) axes: Rule<Vec<Axis>>,
    pub(super) binding: Rule<VarBinding>,
}

fn symbol(text: &'static str) -> impl Parser<'static, Tokens, Token, Extra> + Clone {
    just(Token::Symbol(text))
}

fn keyword(text: &'static str) -> impl Parser<'static, Tokens, (), Extra> + Clone {
    select! { Token::Name(name) if &*name == text => () }.labelled(text)
}

fn identifier() -> impl Parser<'static, Tokens, Identifier, Extra> + Clone {
    select! { Token::Name(name) = e => Identifier { name: name.to_string(), span: e.span() } }.labelled("a name")
}

fn binary_operator() -> impl Parser<'static, Tokens, (BinaryOperator, Span), Extra> + Clone {
    select! {
        Token::Symbol("+") = e => (BinaryOperator::Add, e.span()),
        Token::Symbol("-") = e => (BinaryOperator::Subtract, e.span()),
        Token::Symbol("*") = e => (BinaryOperator::Multiply, e.span()),
        Token::Symbol("/") = e => (BinaryOperator::Divide, e.span()),
        Token::Symbol("%") = e => (BinaryOperator::Remainder, e.span()),
        Token::Symbol("==") = e => (BinaryOperator::Equal, e.span()),
        Token::Symbol("!=") = e => (BinaryOperator::NotEqual, e.span()),
        Token::Symbol("<") = e => (BinaryOperator::Less, e.span()),
        Token::Symbol("<=") = e => (BinaryOperator::LessOrEqual, e.span()),
        Token::Symbol(">") = e => (BinaryOperator::Greater, e.span()),
        Token::Symbol(">=") = e => (BinaryOperator::GreaterOrEqual, e.span()),
        Token::Symbol("&&") = e => (BinaryOperator::And, e.span()),
        Token::Symbol("||") = e => (BinaryOperator::Or, e.span()),
    }
    .labelled("an operator")
}

fn strength(operator: BinaryOperator) -> u8 {
    use BinaryOperator as B;
    match operator {
        B::Or => 1,
        B::And => 2,
        B::Equal | B::NotEqual => 3,
        B::Less | B::LessOrEqual | B::Greater | B::GreaterOrEqual => 4,
        B::Add | B::Subtract => 5,
        B::Multiply | B::Divide | B::Remainder => 6,
    }
}

fn join((left, left_depth): Deep, operator: (BinaryOperator, Span), (right, right_depth): Deep) -> Deep {
    let span = left.span.to(right.span);
    let (operator, operator_span) = operator;
    let binary = Binary { operator, operator_span, left, right };
    (Expression { span, kind: ExpressionKind::Binary(Box::new(binary)) }, left_depth.max(right_depth) + 1)
}

/// Folds `a op b op c` by strength, left to right among equals.
fn fold(first: Deep, rest: Vec<((BinaryOperator, Span), Deep)>) -> Deep {
    let mut values = vec![first];
    let mut operators: Vec<(BinaryOperator, Span)> = Vec::new();
    let reduce = |values: &mut Vec<Deep>, operator: (BinaryOperator, Span)| {
        if let (Some(right), Some(left)) = (values.pop(), values.pop()) {
            values.push(join(left, operator, right));
        }
    };
    for (operator, value) in rest {
        while let Some(top) = operators.pop_if(|top| strength(top.0) >= strength(operator.0)) {
            reduce(&mut values, top);
        }
        operators.push(operator);
        values.push(value);
    }
    while let Some(top) = operators.pop() {
        reduce(&mut values, top);
    }
    values.pop().unwrap_or_else(|| (placeholder(Span::default()), 1))
}

fn placeholder(span: Span) -> Expression {
    Expression { span, kind: ExpressionKind::Bool(false) }
}

/// What the innermost expression becomes: a tree that is too deep is dropped here, bottom up, before it can grow.
fn limit(deep: Deep, emitter: &mut chumsky::input::Emitter<Failure>) -> Deep {
    if deep.1 <= DEPTH_MAX {
        return deep;
    }
    let span = deep.0.span;
    emitter.emit(Rich::custom(span, TOO_DEEP));
    drop_deep(deep.0);
    (placeholder(span), 1)
}

/// Drops a tree without recursion, since a chain of operators may be as long as the source.
fn drop_deep(expression: Expression) {
    let mut waiting = vec![expression];
    while let Some(expression) = waiting.pop() {
        match expression.kind {
            ExpressionKind::Binary(binary) => waiting.extend([binary.left, binary.right]),
            ExpressionKind::Unary(_, operand) => waiting.push(*operand),
            ExpressionKind::Range(bounds) => waiting.extend([bounds.0, bounds.1]),
            _ => {}
        }
    }
}

fn conversion(name: &str) -> Option<TypeName> {
    match name {
        "int" => Some(TypeName::Int),
        "float" => Some(TypeName::Float),
        "bool" => Some(TypeName::Bool),
        "duration" => Some(TypeName::Duration),
        "string" => Some(TypeName::String),
        _ => None,
    }
}

fn scalar() -> impl Parser<'static, Tokens, Deep, Extra> + Clone {
    select! {
        Token::Int(value) => ExpressionKind::Int(value),
        Token::Float(value) => ExpressionKind::Float(value),
        Token::Duration(value) => ExpressionKind::Duration(value),
        Token::String(literal) => ExpressionKind::String((*literal).clone()),
        Token::Reference(reference) => ExpressionKind::Reference((*reference).clone()),
        Token::Path(path) => ExpressionKind::Name((*path).clone()),
        Token::Name(name) = e => match &*name {
            "true" => ExpressionKind::Bool(true),
            "false" => ExpressionKind::Bool(false),
            _ => {
                let name = Identifier { name: name.to_string(), span: e.span() };
                ExpressionKind::Name(NamePath { name, path: Vec::new() })
            }
        },
    }
    .map_with(|kind, e| (Expression { span: e.span(), kind }, 1))
    .labelled("a value")
}

fn deep_expression() -> Recursive<chumsky::recursive::Direct<'static, 'static, Tokens, Deep, Extra>> {
    recursive(|expression| {
        let deepest = |items: &[Deep]| items.iter().map(|item| item.1).max().unwrap_or(0) + 1;
        let array = expression
            .clone()
            .separated_by(symbol(","))
            .allow_trailing()
            .collect::<Vec<Deep>>()
            .delimited_by(symbol("["), symbol("]"))
            .map_with(move |items, e| {
                let depth = deepest(&items);
                let items = items.into_iter().map(|item| item.0).collect();
                (Expression { span: e.span(), kind: ExpressionKind::Array(items) }, depth)
            });
        let key = select! {
            Token::String(literal) if literal.constant().is_some() => literal.constant().unwrap_or("").to_owned(),
            Token::Name(name) => name.to_string(),
        }
        .map_with(|name, e| Identifier { name, span: e.span() })
        .labelled("a key");
        let map = key
            .then_ignore(symbol(":"))
            .then(expression.clone())
            .separated_by(symbol(","))
            .allow_trailing()
            .collect::<Vec<(Identifier, Deep)>>()
            .delimited_by(symbol("{"), symbol("}"))
            .map_with(|entries, e| {
                let depth = entries.iter().map(|(_, value)| value.1).max().unwrap_or(0) + 1;
                let entry = |(key, (value, _)): (Identifier, Deep)| MapEntry { key, value };
                let entries = entries.into_iter().map(entry).collect();
                (Expression { span: e.span(), kind: ExpressionKind::Map(entries) }, depth)
            });
        let group = expression.clone().delimited_by(symbol("("), symbol(")")).map_with(|(inner, depth), e| {
            let inner: Expression = inner;
            (Expression { span: e.span(), kind: inner.kind }, depth + 1)
        });
        let convert = select! { Token::Name(name) if conversion(&name).is_some() => conversion(&name) }
            .map_with(|to, e| (to.unwrap_or(TypeName::String), e.span()))
            .then(expression.delimited_by(symbol("("), symbol(")")))
            .map_with(|((to, name_span), (value, depth)), e| {
                let convert = Convert { to, name_span, value };
                (Expression { span: e.span(), kind: ExpressionKind::Convert(Box::new(convert)) }, depth + 1)
            });
        let prefix = select! {
            Token::Symbol("-") = e => (UnaryOperator::Negate, e.span()),
            Token::Symbol("!") = e => (UnaryOperator::Not, e.span()),
        }
        .labelled("a value");
        let atom = choice((convert, scalar(), array, map, group));
        let unary = prefix.repeated().collect::<Vec<(UnaryOperator, Span)>>().then(atom).map(|(prefixes, atom)| {
            prefixes.into_iter().rev().fold(atom, |(operand, depth), (operator, at)| negate(operand, depth, operator, at))
        });
        let chain = unary.clone().then(binary_operator().then(unary).repeated().collect::<Vec<_>>()).map(|(first, rest)| fold(first, rest));
        let dots = choice((symbol("..."), symbol(".."))).labelled("an operator");
        chain
            .clone()
            .then(dots.ignore_then(chain).or_not())
            .map(|(low, high)| match high {
                None => low,
                Some(high) => {
                    let span = low.0.span.to(high.0.span);
                    let depth = low.1.max(high.1) + 1;
                    let kind = ExpressionKind::Range(Box::new((low.0, high.0)));
                    (Expression { span, kind }, depth)
                }
            })
            .validate(|deep, _, emitter| limit(deep, emitter))
            .boxed()
    })
}

fn negate(operand: Expression, depth: usize, operator: UnaryOperator, at: Span) -> Deep {
    let span = at.to(operand.span);
    match (operator, &operand.kind) {
        // This literal is only read behind a minus, and already negative.
        (UnaryOperator::Negate, ExpressionKind::Int(i64::MIN)) => (Expression { span, kind: ExpressionKind::Int(i64::MIN) }, depth),
        _ => (Expression { span, kind: ExpressionKind::Unary(operator, Box::new(operand)) }, depth + 1),
    }
}

fn pattern_rule() -> impl Parser<'static, Tokens, Pattern, Extra> + Clone {
    let number = select! {
        Token::Int(value) => Literal::Int(value),
        Token::Float(value) => Literal::Float(value),
        Token::Duration(value) => Literal::Duration(value),
    };
    let number = symbol("-").or_not().then(number).map(|(minus, value)| match (minus, value) {
        (None, value) => value,
        (Some(_), Literal::Int(value)) => Literal::Int(value.checked_neg().unwrap_or(value)),
        (Some(_), Literal::Float(value)) => Literal::Float(-value),
        (Some(_), Literal::Duration(value)) => Literal::Duration(-value),
        (Some(_), value) => value,
    });
    let number = number.labelled("a literal");
    let range = number.clone().then(choice((symbol("..."), symbol(".."))).ignore_then(number).or_not());
    let range = range.map(|(low, high)| match high {
        None => PatternKind::Literal(low),
        Some(high) => PatternKind::Range { low, high },
    });
    let word = select! {
        Token::String(literal) if literal.constant().is_some() =>
            PatternKind::Literal(Literal::String(literal.constant().unwrap_or("").to_owned())),
        Token::Name(name) if &*name == "true" => PatternKind::Literal(Literal::Bool(true)),
        Token::Name(name) if &*name == "false" => PatternKind::Literal(Literal::Bool(false)),
        Token::Regex(text) => PatternKind::Regex(text.to_string()),
    }
    .labelled("a literal");
    let spanned = |kind, span| Pattern { span, kind };
    let single = choice((range, word)).map_with(move |kind, e| spanned(kind, e.span())).boxed();
    let flat = |patterns: Vec<Vec<Pattern>>| patterns.into_iter().flatten().collect::<Vec<Pattern>>();
    let alternatives = single.clone().map(|pattern| vec![pattern]).separated_by(symbol("|")).at_least(1).collect();
    let set = alternatives.map(flat).separated_by(symbol(",")).allow_trailing().at_least(1).collect();
    let set = set.map(flat).delimited_by(symbol("{"), symbol("}")).labelled("a set");
    let operand = choice((single.map(|pattern| vec![pattern]), set));
    let any = operand.separated_by(symbol("|")).at_least(1).collect().map_with(move |patterns, e| {
        let mut all = flat(patterns);
        match all.len() {
            1 => all.pop().unwrap_or_else(|| spanned(PatternKind::Else, e.span())),
            _ => spanned(PatternKind::AnyOf(all), e.span()),
        }
    });
    let otherwise = keyword("else").map_with(move |(), e| spanned(PatternKind::Else, e.span()));
    choice((otherwise, any))
}

impl Grammar {
    pub(crate) fn new() -> Self {
        let expression = deep_expression();
        let shallow = expression.map(|(expression, _)| expression).boxed();
        let argument = identifier().then_ignore(symbol("=")).or_not().then(shallow.clone());
        let arguments = argument
            .map_with(|(name, value), e| Argument { span: e.span(), name, value })
            .separated_by(symbol(","))
            .allow_trailing()
            .collect();
        let parameter = identifier()
            .then(symbol(":").ignore_then(identifier().labelled("a type")).or_not())
            .then(symbol("=").ignore_then(shallow.clone()).or_not())
            .map_with(|(head, default), e| (head, default, e.span()));
        let parameters = parameter.separated_by(symbol(",")).allow_trailing().collect();
        let axis = identifier().then_ignore(keyword("in")).then(shallow.clone());
        let axes = axis.map(|(name, collection)| Axis { name, collection }).separated_by(symbol(",")).at_least(1).collect();
        let binding = identifier().then_ignore(symbol("=")).then(shallow.clone());
        let binding = binding.map_with(|(name, value), e| VarBinding { span: e.span(), name, value });
        Self {
            expression: shallow,
            arguments: arguments.boxed(),
            parameters: parameters.boxed(),
            pattern: pattern_rule().boxed(),
            axes: axes.boxed(),
            binding: binding.boxed(),
        }
    }
}
