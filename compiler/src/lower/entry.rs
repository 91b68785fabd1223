//! Where planning starts: which target, with which arguments.

use crate::ast::{ExpressionKind, File, Item, Literal, Statement, StatementKind, TypeName, UnaryOperator};
use crate::check::shape::{Shape, value_type};
use crate::check::typed::{Command, ExprKind, Parameter, Unit};
use crate::diagnostic::{Diagnostic, nearest};
use crate::source::Source;
use crate::syntax;
use opal_format::canonical::CanonicalValue;
use opal_format::kind::ValueType;
use std::fmt;

/// What is asked for: a target with its arguments.
#[derive(Clone, Debug, Default)]
pub struct Entry {
    /// A command's name, or a call such as `deploy("prod", replicas=5)`. `None` for the default of the source.
    pub target: Option<String>,
    /// Arguments after the target.
    pub arguments: Vec<CliArgument>,
}

/// An argument as given on a command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CliArgument {
    /// The next parameter.
    Positional(String),
    /// `--name=value`, or `--name` for a Bool that is true.
    Named {
        /// Name of the parameter; `-` may stand for `_`.
        name: String,
        /// The text after `=`.
        value: Option<String>,
    },
}

impl CliArgument {
    /// Reads the words after the target. After a word `--` all are positional.
    #[must_use]
    pub fn parse(words: &[String]) -> Vec<Self> {
        let mut options = true;
        let mut arguments = Vec::with_capacity(words.len());
        for word in words {
            match word.strip_prefix("--").filter(|_| options) {
                Some("") => options = false,
                Some(option) => arguments.push(match option.split_once('=') {
                    Some((name, value)) => Self::Named { name: name.to_owned(), value: Some(value.to_owned()) },
                    None => Self::Named { name: option.to_owned(), value: None },
                }),
                None => arguments.push(Self::Positional(word.clone())),
            }
        }
        arguments
    }
}

/// A target or an argument that does not fit, with the commands that there are.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{error}")]
pub struct Usage {
    /// The cause.
    pub error: UsageError,
    /// The commands of the source.
    pub commands: Vec<CommandSummary>,
}

/// Why a target or an argument does not fit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UsageError {
    /// Several commands, and none is meant by default.
    #[error("the source has several commands; say which")]
    TargetNeeded,
    /// No command of that name.
    #[error("there is no command `{name}`")]
    UnknownTarget {
        /// What was asked for.
        name: String,
        /// What was probably meant.
        near: Option<String>,
    },
    /// A call that cannot be read.
    #[error("the target `{text}` cannot be read as a call")]
    BadCall {
        /// The target as given.
        text: String,
    },
    /// Arguments for the body of a script.
    #[error("the body of a script takes no arguments")]
    ScriptArguments,
    /// An argument that no parameter takes.
    #[error("`{command}` takes no `{name}`")]
    UnknownArgument {
        /// The command.
        command: String,
        /// The name given.
        name: String,
        /// What was probably meant.
        near: Option<String>,
    },
    /// More positional arguments than parameters.
    #[error("`{command}` takes {}", match limit { 0 => "no arguments".to_owned(), 1 => "only one argument".to_owned(), _ => format!("at most {limit} arguments") })]
    TooManyArguments {
        /// The command.
        command: String,
        /// Number of its parameters.
        limit: usize,
    },
    /// One parameter twice.
    #[error("`{command}` gets `{name}` twice")]
    DuplicateArgument {
        /// The command.
        command: String,
        /// The parameter.
        name: String,
    },
    /// A parameter without default and without argument.
    #[error("`{command}` needs `{name}`")]
    MissingArgument {
        /// The command.
        command: String,
        /// The parameter.
        name: String,
    },
    /// `--name` where a value is needed.
    #[error("`--{name}` needs a value")]
    ValueNeeded {
        /// The parameter.
        name: String,
    },
    /// Text that does not read as the parameter's type.
    #[error("`{name}` of `{command}` must read as {expected}")]
    BadValue {
        /// The command.
        command: String,
        /// The parameter.
        name: String,
        /// Its type.
        expected: &'static str,
    },
    /// A collection, which has no form on a command line.
    #[error("`{name}` of `{command}` is {expected}, which cannot be given on a command line")]
    Collection {
        /// The command.
        command: String,
        /// The parameter.
        name: String,
        /// Its type.
        expected: &'static str,
    },
}

impl UsageError {
    /// The command that is there, where only its arguments do not fit.
    #[must_use]
    pub fn command(&self) -> Option<&str> {
        match self {
            Self::UnknownArgument { command, .. }
            | Self::TooManyArguments { command, .. }
            | Self::DuplicateArgument { command, .. }
            | Self::MissingArgument { command, .. }
            | Self::BadValue { command, .. }
            | Self::Collection { command, .. } => Some(command),
            Self::TargetNeeded | Self::UnknownTarget { .. } | Self::BadCall { .. } | Self::ScriptArguments | Self::ValueNeeded { .. } => {
                None
            }
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn help(&self) -> Option<String> {
        match self {
            Self::UnknownTarget { near: Some(near), .. } => Some(format!("did you mean `{near}`?")),
            Self::UnknownArgument { near: Some(near), .. } => Some(format!("did you mean `--{near}=…`?")),
            Self::BadCall { .. } => Some("write it like `deploy(\"prod\", replicas=5)`, with literals only".to_owned()),
            Self::MissingArgument { name, .. } | Self::ValueNeeded { name } => Some(format!("add `--{name}=…`")),
            Self::BadValue { expected: "a Duration", .. } => Some("write whole numbers with units: `30s`, `1h30m`".to_owned()),
            Self::BadValue { expected: "a Bool", .. } => Some("write `true` or `false`".to_owned()),
            Self::ScriptArguments => Some("give it parameters by making it a command: `fun main(name) { … }`".to_owned()),
            Self::Collection { name, .. } => Some(format!("give `{name}` a default, or call the command from another one")),
            _ => None,
        }
    }
}

/// A command as it is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandSummary {
    /// Its name.
    pub name: String,
    /// Its parameters, in order.
    pub parameters: Vec<ParameterSummary>,
    /// The comment lines right above it, without their marks; empty for none.
    pub comment: String,
}

/// A parameter as it is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParameterSummary {
    /// Its name.
    pub name: String,
    /// Its written type.
    pub annotation: Option<TypeName>,
    /// Source text of its default.
    pub default: Option<String>,
    /// What text for it is read as where that is known before checking: its written type, else that of a literal default.
    pub reads_as: Option<TypeName>,
}

/// As it would be defined: `deploy(env: String, replicas: Int = 3)`.
impl fmt::Display for CommandSummary {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.name)?;
        if self.parameters.is_empty() {
            return Ok(());
        }
        for (number, parameter) in self.parameters.iter().enumerate() {
            write!(formatter, "{}{}", if number == 0 { "(" } else { ", " }, parameter.name)?;
            if let Some(annotation) = parameter.annotation {
                write!(formatter, ": {}", value_type(annotation).name())?;
            }
            if let Some(default) = &parameter.default {
                write!(formatter, " = {default}")?;
            }
        }
        formatter.write_str(")")
    }
}

/// The commands of a source, in its order.
#[must_use]
pub fn commands(source: &Source, file: &File) -> Vec<CommandSummary> {
    let definitions = file.items.iter().filter_map(|item| match item {
        Item::Definition(definition) => Some(definition),
        Item::Statement(_) => None,
    });
    definitions
        .map(|definition| CommandSummary {
            name: definition.name.name.clone(),
            parameters: definition
                .parameters
                .iter()
                .map(|parameter| ParameterSummary {
                    name: parameter.name.name.clone(),
                    annotation: parameter.annotation.map(|annotation| annotation.kind),
                    default: parameter.default.as_ref().map(|default| source.slice(default.span).to_owned()),
                    reads_as: parameter
                        .annotation
                        .map(|annotation| annotation.kind)
                        .or_else(|| literal_type(&parameter.default.as_ref()?.kind)),
                })
                .collect(),
            comment: comment_above(source, definition.span.start),
        })
        .collect()
}

fn literal_type(kind: &ExpressionKind) -> Option<TypeName> {
    Some(match kind {
        ExpressionKind::String(_) => TypeName::String,
        ExpressionKind::Array(_) => TypeName::Array,
        ExpressionKind::Map(_) => TypeName::Map,
        kind => match literal(kind)? {
            Literal::String(_) => TypeName::String,
            Literal::Int(_) => TypeName::Int,
            Literal::Float(_) => TypeName::Float,
            Literal::Bool(_) => TypeName::Bool,
            Literal::Duration(_) => TypeName::Duration,
        },
    })
}

/// The comment lines that end right above the line of `offset`.
fn comment_above(source: &Source, offset: u32) -> String {
    // A byte order mark is no part of the first line.
    let text = |line| source.slice(source.line_span(line)).trim_start_matches('\u{feff}').trim();
    let above = (0..source.line_index(offset)).rev().map(|line| (line, text(line)));
    let comments = above.map_while(|(line, text)| match text.strip_prefix("//") {
        Some(comment) => Some(comment.trim_start_matches('/')),
        // The first line may say who reads the file.
        None if line == 0 && text.starts_with("#!") => None,
        None => text.strip_prefix('#').map(|comment| comment.trim_start_matches('#')),
    });
    let mut lines: Vec<&str> = comments.map(str::trim).collect();
    lines.reverse();
    lines.join("\n").trim_matches('\n').to_owned()
}

/// An argument with its value.
pub(super) struct Bound {
    pub name: String,
    pub value: CanonicalValue,
    pub encoded: Vec<u8>,
}

/// Where planning starts.
pub(super) struct Start {
    /// `None` for the body of a script.
    pub command: Option<usize>,
    pub target: String,
    /// In parameter order; without the parameters whose defaults are computed.
    pub bound: Vec<Bound>,
}

impl Start {
    /// Whether every parameter is bound.
    pub(super) fn is_complete(&self, command: &Command) -> bool {
        self.bound.len() == command.parameters.len()
    }
}

/// A value given for a parameter.
enum Given {
    /// To be read as the parameter's type.
    Text(String),
    /// `--name` alone.
    Flag,
    /// A literal of a call.
    Value(Literal),
}

pub(super) fn resolve(source: &Source, file: &File, unit: &Unit, request: &Entry) -> Result<Start, Usage> {
    find(source, unit, request).map_err(|error| Usage { error, commands: commands(source, file) })
}

fn find(source: &Source, unit: &Unit, request: &Entry) -> Result<Start, UsageError> {
    let mut given: Vec<(Option<String>, Given)> = Vec::new();
    let name = match request.target.as_deref() {
        Some(text) if text.contains('(') => {
            let (name, literals) = call(text).ok_or_else(|| UsageError::BadCall { text: text.to_owned() })?;
            given.extend(literals.into_iter().map(|(name, value)| (name, Given::Value(value))));
            Some(name)
        }
        other => other.map(str::to_owned),
    };
    given.extend(request.arguments.iter().map(|argument| match argument {
        CliArgument::Positional(text) => (None, Given::Text(text.clone())),
        CliArgument::Named { name, value: Some(value) } => (Some(name.clone()), Given::Text(value.clone())),
        CliArgument::Named { name, value: None } => (Some(name.clone()), Given::Flag),
    }));
    let Some(number) = number(source, unit, name.as_deref())? else {
        if !given.is_empty() {
            return Err(UsageError::ScriptArguments);
        }
        return Ok(Start { command: None, target: String::new(), bound: Vec::new() });
    };
    let Some(command) = unit.commands.get(number) else { return Err(UsageError::TargetNeeded) };
    Ok(Start { command: Some(number), target: command.name.clone(), bound: bind(command, given)? })
}

/// A literal and the parameter that it is for, where that is said.
type NamedLiteral = (Option<String>, Literal);

/// Reads `name(literal, name=literal)`. The name may hold hyphens, which a call in a source cannot.
fn call(text: &str) -> Option<(String, Vec<NamedLiteral>)> {
    let (name, arguments) = text.trim().split_once('(')?;
    let parsed = syntax::parse(&Source::new("target", format!("target({arguments}")));
    let mut items = parsed.file.items.into_iter();
    let (Some(Item::Statement(Statement { kind: StatementKind::Call(call), .. })), None) = (items.next(), items.next()) else {
        return None;
    };
    if parsed.diagnostics.iter().any(Diagnostic::is_error) {
        return None;
    }
    let arguments = call.arguments.map(|arguments| arguments.items).unwrap_or_default();
    let literals: Option<Vec<_>> =
        arguments.into_iter().map(|argument| Some((argument.name.map(|name| name.name), literal(&argument.value.kind)?))).collect();
    Some((name.trim().to_owned(), literals?))
}

fn literal(kind: &ExpressionKind) -> Option<Literal> {
    Some(match kind {
        ExpressionKind::String(text) => Literal::String(text.constant()?.to_owned()),
        ExpressionKind::Int(value) => Literal::Int(*value),
        ExpressionKind::Float(value) => Literal::Float(*value),
        ExpressionKind::Bool(value) => Literal::Bool(*value),
        ExpressionKind::Duration(value) => Literal::Duration(*value),
        ExpressionKind::Unary(UnaryOperator::Negate, inner) => match &inner.kind {
            ExpressionKind::Int(value) => Literal::Int(value.checked_neg()?),
            ExpressionKind::Float(value) => Literal::Float(-value),
            ExpressionKind::Duration(value) => Literal::Duration(value.checked_neg()?),
            _ => return None,
        },
        _ => return None,
    })
}

/// The target: a command, or `None` for the body of a script.
fn number(source: &Source, unit: &Unit, name: Option<&str>) -> Result<Option<usize>, UsageError> {
    let find = |name: &str| unit.commands.iter().position(|command| command.name == name);
    if let Some(name) = name {
        let names = unit.commands.iter().map(|command| command.name.as_str());
        let unknown = || UsageError::UnknownTarget { name: name.to_owned(), near: nearest(name, names).map(str::to_owned) };
        return find(name).map(Some).ok_or_else(unknown);
    }
    if unit.script.is_some() {
        return Ok(None);
    }
    let names: Vec<&str> = unit.commands.iter().map(|command| command.name.as_str()).collect();
    default_command(source, &names).map(Some).ok_or(UsageError::TargetNeeded)
}

/// Which of the commands `names` a command file means without a target: the one called like its stem, else the only one.
#[must_use]
pub fn default_command(source: &Source, names: &[&str]) -> Option<usize> {
    let stem = std::path::Path::new(source.name()).file_stem().and_then(|stem| stem.to_str());
    let named = stem.and_then(|stem| names.iter().position(|name| *name == stem));
    named.or_else(|| (names.len() == 1).then_some(0))
}

fn bind(command: &Command, given: Vec<(Option<String>, Given)>) -> Result<Vec<Bound>, UsageError> {
    let parameters = &command.parameters;
    let mut values: Vec<Option<Given>> = parameters.iter().map(|_| None).collect();
    let mut next = 0;
    for (name, value) in given {
        let at = match &name {
            None => {
                next += 1;
                next - 1
            }
            Some(name) => {
                let plain = name.replace('-', "_");
                let names = || parameters.iter().map(|parameter| parameter.name.as_str());
                let unknown = || UsageError::UnknownArgument {
                    command: command.name.clone(),
                    name: name.clone(),
                    near: nearest(&plain, names()).map(str::to_owned),
                };
                names().position(|known| known == plain).ok_or_else(unknown)?
            }
        };
        match values.get_mut(at) {
            None => return Err(UsageError::TooManyArguments { command: command.name.clone(), limit: parameters.len() }),
            Some(Some(_)) => {
                let name = parameters.get(at).map(|parameter| parameter.name.clone()).unwrap_or_default();
                return Err(UsageError::DuplicateArgument { command: command.name.clone(), name });
            }
            Some(free) => *free = Some(value),
        }
    }
    let mut bound = Vec::with_capacity(parameters.len());
    for (parameter, value) in parameters.iter().zip(values) {
        let literal = match (value, &parameter.default) {
            (Some(value), _) => read(command, parameter, value)?,
            (None, Some(default)) => match &default.kind {
                ExprKind::Constant(literal) => literal.clone(),
                _ => continue,
            },
            (None, None) => return Err(UsageError::MissingArgument { command: command.name.clone(), name: parameter.name.clone() }),
        };
        let value = match literal {
            Literal::String(text) => CanonicalValue::String(text.into_bytes()),
            Literal::Int(value) => CanonicalValue::Int(value),
            Literal::Float(value) => CanonicalValue::Float(value),
            Literal::Bool(value) => CanonicalValue::Bool(value),
            Literal::Duration(value) => CanonicalValue::Duration(value),
        };
        let encoded = value.encode().map_err(|_| bad_value(command, parameter, value.value_type()))?;
        bound.push(Bound { name: parameter.name.clone(), value, encoded });
    }
    Ok(bound)
}

fn bad_value(command: &Command, parameter: &Parameter, expected: ValueType) -> UsageError {
    UsageError::BadValue { command: command.name.clone(), name: parameter.name.clone(), expected: described(expected) }
}

const fn described(value_type: ValueType) -> &'static str {
    match value_type {
        ValueType::String => "text without NUL",
        ValueType::Int => "an Int",
        ValueType::Float => "a Float",
        ValueType::Bool => "a Bool",
        ValueType::Duration => "a Duration",
        ValueType::Array => "an Array",
        ValueType::Map => "a Map",
    }
}

/// The value of a parameter: text is read by its annotation, else by the type of its default, else as a String.
fn read(command: &Command, parameter: &Parameter, given: Given) -> Result<Literal, UsageError> {
    let by_default = parameter.default.as_ref().and_then(|default| default.shape.value_type());
    let wanted = parameter.expected.or(by_default).unwrap_or(ValueType::String);
    if matches!(wanted, ValueType::Array | ValueType::Map) {
        return Err(UsageError::Collection { command: command.name.clone(), name: parameter.name.clone(), expected: described(wanted) });
    }
    let text = match given {
        Given::Value(literal) if parameter.expected.is_none() || Shape::of_literal(&literal).value_type() == parameter.expected => {
            return Ok(literal);
        }
        Given::Value(_) => return Err(bad_value(command, parameter, wanted)),
        Given::Flag if wanted == ValueType::Bool => return Ok(Literal::Bool(true)),
        Given::Flag => return Err(UsageError::ValueNeeded { name: parameter.name.clone() }),
        Given::Text(text) => text,
    };
    scalar(text, wanted).ok_or_else(|| bad_value(command, parameter, wanted))
}

/// Text as a value of a type.
fn scalar(text: String, wanted: ValueType) -> Option<Literal> {
    Some(match wanted {
        ValueType::Int => Literal::Int(text.parse().ok()?),
        ValueType::Float => {
            // `f64` also reads `nan`, `inf` and their like.
            let plain = text.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b'+' | b'e' | b'E'));
            Literal::Float(text.parse().ok().filter(|value: &f64| plain && value.is_finite())?)
        }
        ValueType::Bool => Literal::Bool(text.parse().ok()?),
        ValueType::Duration => Literal::Duration(opal_core::duration::parse(&text).ok()?),
        ValueType::String => Literal::String(text),
        ValueType::Array | ValueType::Map => return None,
    })
}
