//! Binds arguments to parameters: positional ones in order, then by name.

use super::typed::{Call, Expr, Resolve};
use super::{Checker, article, list};
use crate::ast::{self, Argument, Arguments, ExpressionKind, Reference, SegmentKind};
use crate::diagnostic::{Code, Diagnostic, Fix, nearest};
use crate::span::Span;
use opal_core::decorators::{self, Param, Shape as Written, ValueDecorator};
use opal_format::kind::ValueType;

use super::shape::{STRING, Shape};

/// Ends a reference where text begins that looks like a field of it.
pub(super) fn ended_before(text: Span) -> Fix {
    Fix::maybe("end the reference with `()`", Span { start: text.start, end: text.start }, "()")
}

/// A parameter as binding sees it: its names, the current one first, and whether it must be given.
struct Slot<'n> {
    names: Vec<&'n str>,
    required: bool,
}

impl Checker<'_> {
    /// Which argument each parameter gets. `what` is who takes them, `place` where a missing one is reported.
    fn bind<'t>(&mut self, what: &str, place: Span, slots: &[Slot<'_>], arguments: Option<&'t Arguments>) -> Vec<Option<&'t Argument>> {
        let mut bound: Vec<Option<&Argument>> = vec![None; slots.len()];
        let mut complete = true;
        for (position, argument) in arguments.into_iter().flat_map(|arguments| &arguments.items).enumerate() {
            let index = match &argument.name {
                None => Some(position).filter(|position| *position < slots.len()),
                Some(name) => slots.iter().position(|slot| slot.names.contains(&name.name.as_str())),
            };
            let Some(index) = index else {
                complete = false;
                self.refuse_argument(what, slots, argument);
                continue;
            };
            let name = slots.get(index).and_then(|slot| slot.names.first()).copied().unwrap_or_default();
            match bound.get_mut(index) {
                Some(Some(first)) => {
                    let diagnostic = Diagnostic::new(Code::DuplicateArgument, argument.span, format!("{what} gets `{name}` twice"))
                        .with_label(first.span, "first given here")
                        .with_help("remove one of the two");
                    self.report(diagnostic);
                }
                Some(free) => *free = Some(argument),
                None => {}
            }
        }
        // After a misspelt name a missing argument is most likely the same mistake.
        if complete {
            for (slot, argument) in slots.iter().zip(&bound) {
                if slot.required && argument.is_none() {
                    let name = slot.names.first().copied().unwrap_or_default();
                    self.report(
                        Diagnostic::new(Code::MissingArgument, place, format!("{what} needs `{name}`"))
                            .with_help(format!("add `{name}=…`")),
                    );
                }
            }
        }
        bound
    }

    fn refuse_argument(&mut self, what: &str, slots: &[Slot<'_>], argument: &Argument) {
        let names: Vec<&str> = slots.iter().filter_map(|slot| slot.names.first().copied()).collect();
        let help = if names.is_empty() { "remove it".to_owned() } else { format!("it takes {}", list(&names)) };
        let diagnostic = match &argument.name {
            None => {
                let most = match slots.len() {
                    0 => "no argument".to_owned(),
                    1 => "one argument".to_owned(),
                    count => format!("{count} arguments"),
                };
                Diagnostic::new(Code::TooManyArguments, argument.span, format!("{what} takes at most {most}").replace("at most no", "no"))
                    .with_help(help)
            }
            Some(name) => {
                let diagnostic = Diagnostic::new(Code::UnknownArgument, name.span, format!("{what} takes no `{}`", name.name));
                let known = slots.iter().flat_map(|slot| slot.names.iter().copied());
                match nearest(&name.name, known) {
                    Some(near) => diagnostic.with_meant(near, name.span, near),
                    None => diagnostic.with_help(help),
                }
            }
        };
        self.report(diagnostic);
    }

    /// A call with its arguments in the order of the parameters.
    pub(super) fn call(&mut self, call: &ast::Call) -> Option<Call> {
        let found = self.find_command(&call.name.name, call.name.span);
        let Some(command) = found else {
            for argument in call.arguments.iter().flat_map(|arguments| &arguments.items) {
                self.expression(&argument.value);
            }
            return None;
        };
        self.frame.uses.calls.entry(command).or_insert(call.span);
        let definition = *self.definitions.get(command)?;
        let slots: Vec<Slot<'_>> = definition
            .parameters
            .iter()
            .map(|parameter| Slot { names: vec![parameter.name.name.as_str()], required: parameter.default.is_none() })
            .collect();
        let name = &call.name.name;
        let bound = self.bind(&format!("the command `{name}`"), call.span, &slots, call.arguments.as_ref());
        let mut arguments = Vec::with_capacity(bound.len());
        for (parameter, argument) in definition.parameters.iter().zip(bound) {
            arguments.push(argument.map(|argument| {
                let value = self.expression(&argument.value);
                if let Some(annotation) = parameter.annotation {
                    let expected = super::shape::value_type(annotation.kind);
                    self.expect_type(&value, expected, &format!("`{}` of `{name}`", parameter.name.name));
                }
                value
            }));
        }
        Some(Call { command, arguments })
    }

    /// Arguments of a decorator, by parameter number. `first` is the number of the first parameter that `arguments` may fill.
    pub(super) fn decorator_arguments(
        &mut self,
        name: &str,
        place: Span,
        params: &[Param],
        first: u8,
        arguments: Option<&Arguments>,
    ) -> Vec<(u8, Expr)> {
        let open = params.get(usize::from(first)..).unwrap_or_default();
        let slots: Vec<Slot<'_>> = open.iter().map(|param| Slot { names: param.names.to_vec(), required: param.required }).collect();
        let bound = self.bind(&format!("`{name}`"), place, &slots, arguments);
        let mut values = Vec::new();
        for ((number, param), argument) in (first..).zip(open).zip(bound) {
            let Some(argument) = argument else { continue };
            let value = self.expression(&argument.value);
            self.check_argument(name, param, &value);
            values.push((number, value));
        }
        values
    }

    fn check_argument(&mut self, name: &str, param: &Param, value: &Expr) {
        let what = param.names.first().copied().unwrap_or_default();
        if let Some(found) = value.shape.value_type().filter(|found| !param.accepts.accepts(*found)) {
            let diagnostic = Diagnostic::new(
                Code::WrongType,
                value.span,
                format!("`{what}` of `{name}` takes {}, not {}", article(param.accepts.name()), article(found.name())),
            );
            let help = match (param.accepts.name(), found) {
                ("Duration", ValueType::Int | ValueType::Float) => "write a unit: `30s`, `5m`, `1h30m`".to_owned(),
                _ => format!("write {}; `{what}`: {}", article(param.accepts.name()), param.help),
            };
            self.report(diagnostic.with_help(help));
        } else if param.literal && !matches!(value.kind, super::typed::ExprKind::Constant(_)) {
            self.report(
                Diagnostic::new(Code::LiteralRequired, value.span, format!("`{what}` of `{name}` must be written out"))
                    .with_help(format!("it shapes what the program may touch, so it cannot be computed; write a literal: `{what}=…`")),
            );
        }
    }

    /// `@env.X(…)`, `@file.read(…)` and their like.
    pub(super) fn value_decorator(&mut self, reference: &Reference) -> Option<Expr> {
        let (decorator, rest) = self.find_value_decorator(reference)?;
        let path = reference.path.get(rest..).unwrap_or_default();
        let name = format!("@{}", decorator.name);
        let (mut arguments, shown) = match decorator.shape {
            Written::Key => {
                let key = reference.name().unwrap_or_default();
                let span = reference.path.first().map_or(reference.span, |segment| segment.span);
                (vec![(0, Expr::text(span, key))], format!("{name}.{key}"))
            }
            Written::Call => (Vec::new(), name),
        };
        let first = u8::try_from(arguments.len()).unwrap_or(0);
        arguments.extend(self.decorator_arguments(&shown, reference.span, decorator.params, first, reference.options.as_ref()));
        let number_of = |name: &str| (0u8..).zip(decorator.params).find(|(_, param)| param.names.contains(&name)).map(|(number, _)| number);
        let is_true = |value: &Expr| matches!(value.kind, super::typed::ExprKind::Constant(ast::Literal::Bool(true)));
        let says_public = number_of("public");
        let public = arguments.iter().any(|(number, value)| Some(*number) == says_public && is_true(value));
        arguments.retain(|(number, _)| Some(*number) != says_public);
        let default = arguments.iter().find(|(number, _)| decorator.number == decorators::ENV && *number == decorators::ENV_DEFAULT);
        let shape = default.map_or(STRING, |(_, value)| value.shape.clone());
        let value = Expr {
            span: reference.span,
            shape: if matches!(shape, Shape::Scalar(_)) { shape } else { Shape::Unknown },
            kind: super::typed::ExprKind::Resolve(Resolve { decorator: decorator.number, public, arguments }),
        };
        if let Some(segment) = path.first().or_else(|| reference.tail.first()) {
            let whole = if reference.options.is_some() {
                self.source.slice(Span { end: segment.span.start, ..reference.span }).to_owned()
            } else {
                format!("{shown}()")
            };
            let after = self.source.slice(segment.span);
            let mut diagnostic = Diagnostic::new(Code::FieldOfScalar, segment.span, format!("`{shown}` is one value and has no `{after}`"))
                .with_help(format!("if `{after}` is text, end the reference with `()`: `{whole}{after}`"));
            if reference.options.is_none() && !reference.braced {
                diagnostic = diagnostic.with_fix(ended_before(segment.span));
            }
            self.report(diagnostic);
            return None;
        }
        Some(value)
    }

    /// The decorator of a reference, and how many segments of the path its name and key take.
    fn find_value_decorator(&mut self, reference: &Reference) -> Option<(&'static ValueDecorator, usize)> {
        let namespace = reference.namespace.name.as_str();
        if let Some(decorator) = decorators::value_decorator_named(namespace) {
            return Some((decorator, usize::from(decorator.shape == Written::Key)));
        }
        let first = reference.name().unwrap_or_default();
        let dotted = format!("{namespace}.{first}");
        if let Some(decorator) = decorators::value_decorator_named(&dotted) {
            return Some((decorator, 1));
        }
        let writable = || {
            decorators::VALUE_DECORATORS.iter().filter(|decorator| decorator.number != decorators::PASS_ENV).map(|decorator| decorator.name)
        };
        let inside: Vec<&str> = writable().filter(|name| name.starts_with(&format!("{namespace}."))).collect();
        let (message, near) = if inside.is_empty() {
            let spaces = ["var", "env", "file", "random", "crypto"];
            (
                format!("there is no value decorator `@{namespace}`"),
                nearest(namespace, spaces).map(|near| (format!("@{near}.{first}"), near)),
            )
        } else {
            (
                format!("there is no value decorator `@{dotted}`"),
                nearest(&dotted, inside.iter().copied()).map(|near| (format!("@{near}"), near)),
            )
        };
        let inside_is_empty = inside.is_empty();
        let mut known: Vec<&str> = if inside_is_empty { vec!["var", "cmd"] } else { Vec::new() };
        known.extend(if inside_is_empty { writable().collect() } else { inside });
        let name_end = reference.path.first().filter(|_| !inside_is_empty).map_or(reference.namespace.span, |segment| segment.span);
        let span = reference.namespace.span.to(name_end);
        let diagnostic = Diagnostic::new(Code::UnknownNamespace, span, message);
        self.report(match near {
            Some((shown, near)) => diagnostic.with_meant(&shown, span, near),
            None => {
                let known: Vec<String> = known.iter().map(|name| format!("`@{name}`")).collect();
                diagnostic.with_help(format!("there are {}", known.join(", ")))
            }
        });
        for argument in reference.options.iter().flat_map(|options| &options.items) {
            self.expression(&argument.value);
        }
        for segment in &reference.path {
            if let SegmentKind::Computed(index) = &segment.kind {
                self.expression(index);
            }
        }
        None
    }

    /// Complains about options that a plain variable does not take.
    pub(super) fn refuse_options(&mut self, reference: &Reference) {
        let Some(argument) = reference.options.iter().flat_map(|options| &options.items).next() else { return };
        let mut diagnostic = Diagnostic::new(Code::UnknownArgument, argument.span, "a variable takes no options");
        if argument.name.as_ref().is_some_and(|name| name.name == "default") && !matches!(argument.value.kind, ExpressionKind::Name(_)) {
            let name = reference.name().unwrap_or_default();
            diagnostic =
                diagnostic.with_help(format!("a default belongs to the environment: `@env.{name}({})`", self.source.slice(argument.span)));
        } else {
            diagnostic = diagnostic.with_help("remove them");
        }
        self.report(diagnostic);
    }
}
