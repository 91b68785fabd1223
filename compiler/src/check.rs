//! Checks a syntax tree and resolves it: names, scopes, arguments, types (spec/language.md).
//!
//! One walk over every definition reports all it can and yields the checked tree (`typed`) that the lowering works on.

mod arguments;
mod expression;
pub(crate) mod graph;
mod scope;
pub(crate) mod shape;
mod shell;
mod standard_input;
mod statement;
pub(crate) mod typed;

use crate::ast::{Definition, File, Item, Statement, StatementKind};
use crate::diagnostic::{Code, Diagnostic, nearest, sort};
use crate::source::Source;
use crate::span::Span;
use crate::syntax::Parsed;
use opal_format::kind::ValueType;
use scope::{Frame, Kind, Known};
use shape::Shape;
use std::collections::{HashMap, HashSet};
use typed::{Command, Expr, Global, Parameter, Unit, Uses, Variable};

/// Deepest nesting of statements in the checked tree; blocks, nodes, arms of `when` and links of `else if` each count.
pub(crate) const DEPTH_MAX: usize = 256;

/// Everything that can be said about a source without a target, sorted.
#[must_use]
pub fn check(source: &Source, file: &File) -> Vec<Diagnostic> {
    run(source, file).diagnostics
}

/// Everything that can be said about a source as it was read, sorted. Where parts of it could not be read, only errors are added that do not
/// depend on these parts.
#[must_use]
pub fn check_parsed(source: &Source, parsed: &Parsed) -> Vec<Diagnostic> {
    let mut found = check(source, &parsed.file);
    if parsed.has_errors() {
        let unread: Vec<Span> = parsed.diagnostics.iter().filter(|diagnostic| diagnostic.is_error()).map(|error| error.span).collect();
        let lost = lost_names(source, &unread, &parsed.broken_names);
        let overlaps = |span: Span| unread.iter().any(|error| span.start <= error.end && error.start <= span.end);
        let names_lost = |span: Span| words(source.slice(span)).any(|word| lost.contains(word));
        found.retain(|diagnostic| {
            let by_name = matches!(diagnostic.code, Code::UnknownVariable | Code::UnknownCommand | Code::BindingIsVariable);
            diagnostic.is_error() && !overlaps(diagnostic.span) && !(by_name && names_lost(diagnostic.span))
        });
    }
    found.extend(parsed.diagnostics.iter().cloned());
    sort(&mut found);
    found
}

/// Names that may be declared in what could not be read: those on the lines of its errors.
fn lost_names<'s>(source: &'s Source, unread: &[Span], broken: &'s [String]) -> HashSet<&'s str> {
    let lines = unread.iter().flat_map(|span| words(source.slice(source.line_span(source.line_index(span.start)))));
    broken.iter().map(String::as_str).chain(lines).collect()
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|character: char| !character.is_ascii_alphanumeric() && !matches!(character, '_' | '-')).filter(|word| !word.is_empty())
}

/// A checked file and what there is to say about it.
pub(crate) struct Checked {
    /// Fit for lowering only if no diagnostic is an error.
    pub unit: Unit,
    pub diagnostics: Vec<Diagnostic>,
}

pub(crate) fn run(source: &Source, file: &File) -> Checked {
    let mut checker = Checker::new(source, file);
    checker.collect();
    let unit = checker.unit();
    graph::check(&unit, &mut checker.diagnostics);
    sort(&mut checker.diagnostics);
    Checked { unit, diagnostics: checker.diagnostics }
}

/// Whether the file has work at top level.
pub(crate) fn is_script(file: &File) -> bool {
    file.items.iter().any(|item| matches!(item, Item::Statement(statement) if !matches!(statement.kind, StatementKind::Var(_))))
}

struct Checker<'a> {
    source: &'a Source,
    file: &'a File,
    is_script: bool,
    diagnostics: Vec<Diagnostic>,
    definitions: Vec<&'a Definition>,
    command_names: HashMap<&'a str, usize>,
    /// Top-level variables and whether their declaration has been passed.
    globals: Vec<Known>,
    global_names: HashMap<&'a str, u32>,
    /// First values, by global.
    initial: Vec<Option<(Expr, Uses)>>,
    /// Every name that some statement assigns: variables of these names have no fixed shape.
    assigned: HashSet<&'a str>,
    /// The value decorators that variables hold, where they give a secret by their nature or name.
    secrets: HashMap<Variable, String>,
    frame: Frame,
    /// The command whose body is being checked.
    inside: Option<&'a str>,
    /// Whether no block is open around a top-level statement, so that a `var` declares a global.
    at_top: bool,
    depth: usize,
    /// Whether nesting beyond the limit has been reported.
    is_too_deep: bool,
    /// Inside `@parallel`.
    in_parallel: bool,
}

impl<'a> Checker<'a> {
    fn new(source: &'a Source, file: &'a File) -> Self {
        Self {
            source,
            file,
            is_script: is_script(file),
            diagnostics: Vec::new(),
            definitions: Vec::new(),
            command_names: HashMap::new(),
            globals: Vec::new(),
            global_names: HashMap::new(),
            initial: Vec::new(),
            assigned: HashSet::new(),
            secrets: HashMap::new(),
            frame: Frame::default(),
            inside: None,
            at_top: false,
            depth: 0,
            is_too_deep: false,
            in_parallel: false,
        }
    }

    fn report(&mut self, diagnostic: Diagnostic) {
        self.diagnostics.push(diagnostic);
    }

    /// Takes down the names of commands and top-level variables.
    fn collect(&mut self) {
        for item in &self.file.items {
            match item {
                Item::Definition(definition) => {
                    scope::assigned_names(&definition.body.statements, &mut self.assigned);
                    let name = definition.name.name.as_str();
                    if let Some(&first) = self.command_names.get(name) {
                        let first = self.definitions.get(first).map_or(Span::default(), |first| first.name.span);
                        self.diagnostics.push(
                            Diagnostic::new(Code::DuplicateCommand, definition.name.span, format!("the command `{name}` is defined twice"))
                                .with_label(first, "first defined here")
                                .with_help("rename one of the two"),
                        );
                    } else {
                        self.command_names.insert(name, self.definitions.len());
                    }
                    self.definitions.push(definition);
                }
                Item::Statement(statement) => self.collect_statement(statement),
            }
        }
    }

    fn collect_statement(&mut self, statement: &'a Statement) {
        scope::assigned_names(std::slice::from_ref(statement), &mut self.assigned);
        let StatementKind::Var(declaration) = &statement.kind else { return };
        for binding in &declaration.bindings {
            let name = binding.name.name.as_str();
            if let Some(&first) = self.global_names.get(name) {
                let first = self.globals.get(first as usize).map_or(Span::default(), |first| first.span);
                self.diagnostics.push(duplicate_variable(name, binding.name.span, first));
                continue;
            }
            let index = u32::try_from(self.globals.len()).unwrap_or(u32::MAX);
            self.global_names.insert(name, index);
            self.globals.push(Known {
                name: name.to_owned(),
                span: binding.name.span,
                variable: Variable::Global(index),
                shape: Shape::Unknown,
                kind: Kind::Declared,
                used: false,
                declared: !self.is_script,
            });
            self.initial.push(None);
        }
    }

    fn unit(&mut self) -> Unit {
        let script = self.top_level();
        let mut commands = Vec::with_capacity(self.definitions.len());
        for definition in self.definitions.clone() {
            commands.push(self.command(definition));
        }
        let changed: HashSet<u32> = commands.iter().chain(&script).flat_map(|body| body.uses.assigned.iter().copied()).collect();
        let mut globals = Vec::with_capacity(self.globals.len());
        for (index, (known, initial)) in (0u32..).zip(self.globals.iter().zip(std::mem::take(&mut self.initial))) {
            let (initial, uses) = initial.unwrap_or_else(|| (Expr::broken(known.span), Uses::default()));
            globals.push(Global { name: known.name.clone(), span: known.span, initial, uses, assigned: changed.contains(&index) });
            scope::warn_unused(known, &mut self.diagnostics);
        }
        Unit { globals, commands, script }
    }

    /// Top-level statements, in order. Variables of a command file may refer to later ones; those of a script may not.
    fn top_level(&mut self) -> Option<Command> {
        let statements: Vec<&'a Statement> = self
            .file
            .items
            .iter()
            .filter_map(|item| match item {
                Item::Statement(statement) => Some(statement),
                Item::Definition(_) => None,
            })
            .collect();
        self.at_top = true;
        self.frame.enter();
        if self.is_script {
            let span = statements.first().zip(statements.last()).map_or(Span::default(), |(first, last)| first.span.to(last.span));
            let script = self.body(String::new(), span, Vec::new(), |checker, body| {
                for statement in statements {
                    checker.statement(statement, body);
                }
            });
            self.at_top = false;
            return Some(script);
        }
        for statement in statements {
            self.statement(statement, &mut Vec::new());
        }
        self.at_top = false;
        self.frame = Frame::default();
        None
    }

    /// A fresh function: its parameters are declared by `parameters`, its statements made by `fill`.
    fn body(
        &mut self,
        name: String,
        span: Span,
        parameters: Vec<Parameter>,
        fill: impl FnOnce(&mut Self, &mut Vec<typed::Stmt>),
    ) -> Command {
        let mut body = Vec::new();
        fill(self, &mut body);
        let frame = std::mem::take(&mut self.frame);
        self.secrets.retain(|variable, _| matches!(variable, Variable::Global(_)));
        for known in &frame.known {
            scope::warn_unused(known, &mut self.diagnostics);
        }
        Command { name, span, parameters, locals: frame.locals, body, uses: frame.uses }
    }

    fn command(&mut self, definition: &'a Definition) -> Command {
        self.globals.iter_mut().for_each(|global| global.declared = true);
        self.frame.enter();
        let mut parameters = Vec::with_capacity(definition.parameters.len());
        for parameter in &definition.parameters {
            let name = parameter.name.name.as_str();
            let expected = parameter.annotation.map(|annotation| shape::value_type(annotation.kind));
            let default = parameter.default.as_ref().map(|default| {
                let default = self.expression(default);
                if let Some(expected) = expected {
                    self.expect_type(&default, expected, &format!("the parameter `{name}`"));
                }
                default
            });
            if let Some(first) = self.frame.in_scope(name) {
                let first = first.span;
                if let Some(index) = self.frame.find(name) {
                    // Which of the two is read says nothing yet.
                    self.frame.known.get_mut(index).into_iter().for_each(|known| known.used = true);
                }
                self.report(
                    Diagnostic::new(Code::DuplicateParameter, parameter.name.span, format!("the parameter `{name}` stands twice"))
                        .with_label(first, "first here")
                        .with_help("rename one of the two"),
                );
            } else {
                self.warn_shadowing(name, parameter.name.span);
            }
            let shape = match expected {
                Some(expected) if !self.assigned.contains(name) => Shape::of_type(expected),
                _ => Shape::Unknown,
            };
            self.frame.declare(name, parameter.name.span, shape, Kind::Parameter);
            parameters.push(Parameter { name: name.to_owned(), expected, default });
        }
        self.inside = Some(&definition.name.name);
        let command = self.body(definition.name.name.clone(), definition.span, parameters, |checker, body| {
            checker.statements(&definition.body.statements, body);
        });
        self.inside = None;
        command
    }

    /// Complains where the type of `value` is known and another.
    fn expect_type(&mut self, value: &Expr, expected: ValueType, what: &str) {
        let Some(found) = value.shape.value_type().filter(|found| *found != expected) else { return };
        let mut diagnostic = Diagnostic::new(
            Code::WrongType,
            value.span,
            format!("{what} takes {}, not {}", article(expected.name()), article(found.name())),
        );
        if found != ValueType::Array && found != ValueType::Map && !matches!(expected, ValueType::Array | ValueType::Map) {
            let written = self.source.slice(value.span);
            diagnostic = diagnostic.with_help(format!("convert it: `{}({written})`", expected.name().to_lowercase()));
        }
        self.report(diagnostic);
    }

    /// The command called `name`, or a complaint that names the nearest.
    fn find_command(&mut self, name: &str, span: Span) -> Option<usize> {
        if let Some(&index) = self.command_names.get(name) {
            return Some(index);
        }
        let mut diagnostic = Diagnostic::new(Code::UnknownCommand, span, format!("there is no command `{name}`"));
        // A command cannot call itself, so that is not what was meant.
        let mut names: Vec<&str> = self.command_names.keys().copied().filter(|known| self.inside != Some(*known)).collect();
        names.sort_unstable();
        diagnostic = match nearest(name, names.iter().copied()) {
            Some(near) => diagnostic.with_meant(near, span, near),
            None if names.is_empty() => diagnostic.with_help(format!("define it: `fun {name} {{ … }}`")),
            None => diagnostic.with_help(format!("the commands here are {}", list(&names))),
        };
        self.report(diagnostic);
        None
    }

    /// Source text on one line, without comments.
    fn header(&self, span: Span) -> String {
        let first = self.file.comments.partition_point(|comment| comment.span.start < span.start);
        let mut text = String::new();
        let mut from = span.start;
        for comment in self.file.comments.iter().skip(first).take_while(|comment| comment.span.end <= span.end) {
            text.push_str(self.source.slice(Span { start: from, end: comment.span.start }));
            text.push(' ');
            from = comment.span.end;
        }
        text.push_str(self.source.slice(Span { start: from.min(span.end), end: span.end }));
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }
}

fn duplicate_variable(name: &str, span: Span, first: Span) -> Diagnostic {
    Diagnostic::new(Code::DuplicateVariable, span, format!("the variable `{name}` is declared twice"))
        .with_label(first, "first declared here")
        .with_help(format!("give it another value with `{name} = …`, or rename it"))
}

/// A type with its article.
fn article(name: &str) -> String {
    if name.starts_with(['A', 'E', 'I', 'O', 'U']) { format!("an {name}") } else { format!("a {name}") }
}

/// Names for a message, at most eight.
fn list(names: &[&str]) -> String {
    let mut text = names.iter().take(8).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    if names.len() > 8 {
        text.push_str(", …");
    }
    text
}
