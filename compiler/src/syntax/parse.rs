//! What the reader has of the grammar: each of its rules, over the tokens of one place, with what can be said of it then.

use chumsky::{
    Parser as _,
    input::{Input as _, Stream},
};

use crate::{
    ast::{Argument, Axis, Expression, Identifier, Parameter, Pattern, TypeAnnotation, TypeName, VarBinding},
    diagnostic::{Code, Diagnostic, nearest},
    span::Span,
};

use super::{
    errors::{self, Subject},
    grammar::{Rule, Tokens},
    reader::Reader,
    token::Token,
};

fn split(token: (Token, Span)) -> (Token, Span) {
    token
}

impl Reader<'_> {
    fn apply<T>(&mut self, rule: &Rule<T>, tokens: Vec<(Token, Span)>, place: Span, subject: Subject) -> Option<T> {
        if tokens.iter().any(|(token, _)| *token == Token::Bad) {
            return None;
        }
        let end = Span { start: place.end.saturating_sub(1).max(place.start), end: place.end };
        let end = tokens.last().map_or(end, |(_, span)| Span { start: span.end, end: span.end.max(place.end) });
        let input: Tokens = Stream::from_iter(tokens).map(end, split as fn((Token, Span)) -> (Token, Span));
        let (value, failures) = rule.parse(input).into_output_errors();
        for failure in &failures {
            self.report(errors::diagnostic(failure, subject));
        }
        value.filter(|_| failures.is_empty())
    }

    pub(crate) fn parse_expression(&mut self, tokens: Vec<(Token, Span)>, place: Span) -> Option<Expression> {
        let grammar = self.grammar;
        self.apply(&grammar.expression, tokens, place, Subject::Expression)
    }

    pub(crate) fn parse_arguments(&mut self, tokens: Vec<(Token, Span)>, place: Span) -> Option<Vec<Argument>> {
        let grammar = self.grammar;
        let arguments = self.apply(&grammar.arguments, tokens, place, Subject::Arguments)?;
        let mut named: Option<Span> = None;
        for argument in &arguments {
            match (named, &argument.name) {
                (Some(named), None) => {
                    let message = "a positional argument follows a named one";
                    let diagnostic = Diagnostic::new(Code::PositionalAfterNamed, argument.span, message)
                        .with_label(named, "named here")
                        .with_help("put positional arguments first, or name this one too");
                    self.report(diagnostic);
                }
                (_, Some(_)) => named = Some(argument.span),
                (None, None) => {}
            }
        }
        Some(arguments)
    }

    pub(crate) fn parse_parameters(&mut self, tokens: Vec<(Token, Span)>, place: Span) -> Option<Vec<Parameter>> {
        let grammar = self.grammar;
        let raw = self.apply(&grammar.parameters, tokens, place, Subject::Parameters)?;
        let mut parameters = Vec::with_capacity(raw.len());
        for ((name, annotation), default, span) in raw {
            self.check_name(&name);
            let annotation = annotation.and_then(|annotation| self.type_name(&annotation));
            parameters.push(Parameter { span, name, annotation, default });
        }
        Some(parameters)
    }

    fn type_name(&mut self, written: &Identifier) -> Option<TypeAnnotation> {
        const TYPES: [(&str, TypeName); 7] = [
            ("String", TypeName::String),
            ("Int", TypeName::Int),
            ("Float", TypeName::Float),
            ("Bool", TypeName::Bool),
            ("Duration", TypeName::Duration),
            ("Array", TypeName::Array),
            ("Map", TypeName::Map),
        ];
        let known = TYPES.iter().find(|(name, _)| name.eq_ignore_ascii_case(&written.name));
        if known.is_none() {
            let near = type_elsewhere(&written.name).or_else(|| nearest(&written.name, TYPES.iter().map(|(name, _)| *name)));
            let diagnostic = Diagnostic::new(Code::UnknownType, written.span, format!("there is no type `{}`", written.name));
            self.report(match near {
                Some(near) => diagnostic.with_meant(near, written.span, near),
                None => diagnostic.with_help("types are String, Int, Float, Bool, Duration, Array and Map"),
            });
        }
        known.map(|(_, kind)| TypeAnnotation { span: written.span, kind: *kind })
    }

    pub(crate) fn parse_pattern(&mut self, tokens: Vec<(Token, Span)>, place: Span) -> Option<Pattern> {
        let grammar = self.grammar;
        self.apply(&grammar.pattern, tokens, place, Subject::Pattern)
    }

    pub(crate) fn parse_axes(&mut self, tokens: Vec<(Token, Span)>, place: Span) -> Option<Vec<Axis>> {
        let grammar = self.grammar;
        let axes = self.apply(&grammar.axes, tokens, place, Subject::Axes)?;
        for axis in &axes {
            self.check_name(&axis.name);
        }
        Some(axes)
    }

    pub(crate) fn parse_binding(&mut self, tokens: Vec<(Token, Span)>, place: Span) -> Option<VarBinding> {
        let grammar = self.grammar;
        let binding = self.apply(&grammar.binding, tokens, place, Subject::Binding)?;
        self.check_name(&binding.name);
        Some(binding)
    }

    /// Names start with a letter and are no literal.
    pub(crate) fn check_name(&mut self, name: &Identifier) {
        let message = match name.name.as_str() {
            "true" | "false" => format!("`{}` is a value and cannot be a name", name.name),
            other if other.starts_with('_') => format!("the name `{other}` does not start with a letter"),
            _ => return,
        };
        self.error_help(Code::BadName, name.span, message, "names are a letter, then letters, digits or `_`");
    }
}

/// The type that other languages call `name`.
fn type_elsewhere(name: &str) -> Option<&'static str> {
    Some(match name.to_ascii_lowercase().as_str() {
        "str" | "text" | "char" => "String",
        "integer" | "long" | "i64" | "i32" | "u32" | "u64" | "number" => "Int",
        "double" | "decimal" | "f64" | "f32" => "Float",
        "boolean" => "Bool",
        "time" | "timedelta" | "seconds" => "Duration",
        "list" | "vec" | "slice" | "tuple" => "Array",
        "dict" | "object" | "hash" | "record" => "Map",
        _ => return None,
    })
}
