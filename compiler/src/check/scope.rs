//! Variables: what is visible where, and what is declared, assigned and read.

use super::shape::Shape;
use super::typed::{Uses, Variable};
use super::{Checker, duplicate_variable};
use crate::ast::{Block, Operand, Operators, PipelineSource, Statement, StatementKind};
use crate::diagnostic::{Code, Diagnostic, Fix, nearest};
use crate::span::Span;
use std::collections::{HashMap, HashSet};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Declared,
    Parameter,
    Loop,
    /// Holds what a step printed; known only when running.
    Binding,
}

/// A variable as the checker knows it.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub name: String,
    pub span: Span,
    pub variable: Variable,
    pub shape: Shape,
    pub kind: Kind,
    pub used: bool,
    /// Whether its declaration has been passed (globals of a script).
    pub declared: bool,
}

/// The variables of one function.
#[derive(Default)]
pub(super) struct Frame {
    pub known: Vec<Known>,
    scopes: Vec<HashMap<String, usize>>,
    /// Variables of blocks that have ended, by name.
    ended: HashMap<String, (Span, Kind)>,
    pub locals: u32,
    pub uses: Uses,
}

impl Frame {
    pub(super) fn enter(&mut self) {
        self.scopes.push(HashMap::new());
    }

    pub(super) fn leave(&mut self) {
        for (name, index) in self.scopes.pop().unwrap_or_default() {
            if let Some(known) = self.known.get(index) {
                self.ended.insert(name, (known.span, known.kind));
            }
        }
    }

    /// The variable that this block itself declares under `name`.
    pub(super) fn in_scope(&self, name: &str) -> Option<&Known> {
        self.scopes.last()?.get(name).and_then(|&index| self.known.get(index))
    }

    pub(super) fn find(&self, name: &str) -> Option<usize> {
        self.scopes.iter().rev().find_map(|scope| scope.get(name)).copied()
    }

    /// A local without a name.
    pub(super) fn local(&mut self) -> u32 {
        self.locals += 1;
        self.locals - 1
    }

    pub(super) fn declare(&mut self, name: &str, span: Span, shape: Shape, kind: Kind) -> u32 {
        let local = self.local();
        let index = self.known.len();
        self.known.push(Known { name: name.to_owned(), span, variable: Variable::Local(local), shape, kind, used: false, declared: true });
        if let Some(scope) = self.scopes.last_mut() {
            scope.insert(name.to_owned(), index);
        }
        local
    }
}

impl Checker<'_> {
    /// The visible variable called `name`.
    pub(super) fn visible(&mut self, name: &str) -> Option<&mut Known> {
        if let Some(index) = self.frame.find(name) {
            return self.frame.known.get_mut(index);
        }
        let index = *self.global_names.get(name)?;
        self.globals.get_mut(index as usize).filter(|global| global.declared)
    }

    /// The variable called `name`, or a complaint.
    pub(super) fn find_variable(&mut self, name: &str, span: Span) -> Option<&mut Known> {
        if self.visible(name).is_none() {
            let diagnostic = self.unknown_variable(name, span);
            self.report(diagnostic);
            return None;
        }
        self.visible(name)
    }

    fn unknown_variable(&self, name: &str, span: Span) -> Diagnostic {
        let diagnostic = Diagnostic::new(Code::UnknownVariable, span, format!("there is no variable `{name}` here"));
        if let Some((declared, kind)) = self.frame.ended.get(name) {
            let help = if *kind == Kind::Binding {
                format!("bind it where all that read it can see it: write `{name}=…` before the block")
            } else {
                format!("declare it before the block: `var {name} = …`, and assign it inside")
            };
            return diagnostic.with_label(*declared, "this one ends with its block").with_help(help);
        }
        if let Some(global) = self.global_names.get(name).and_then(|index| self.globals.get(*index as usize)) {
            return diagnostic.with_label(global.span, "it is declared only here").with_help("move its declaration up");
        }
        let locals = self.frame.scopes.iter().flat_map(|scope| scope.keys().map(String::as_str));
        let globals = self.globals.iter().filter(|global| global.declared).map(|global| global.name.as_str());
        let names: Vec<&str> = locals.chain(globals).collect();
        // `@var.service_backup` where `service` is meant and `_backup` is text.
        let longest = names
            .iter()
            .filter(|known| name.strip_prefix(**known).is_some_and(|rest| rest.starts_with('_')))
            .max_by_key(|known| known.len());
        if let Some(known) = longest {
            let rest = name.get(known.len()..).unwrap_or_default();
            let end = span.end.saturating_sub(u32::try_from(rest.len()).unwrap_or(0));
            let diagnostic = diagnostic.with_help(format!("to end the name after `{known}`, write `@var.{known}(){rest}`"));
            // Where the name stands alone, in an expression, there is no text behind it.
            let in_text = self.source.slice(Span { start: span.start.saturating_sub(5), end: span.start }).ends_with("@var.");
            return if in_text {
                diagnostic.with_fix(Fix::maybe("end the reference with `()`", Span { start: end, end }, "()"))
            } else {
                diagnostic
            };
        }
        match nearest(name, names) {
            Some(near) => diagnostic.with_meant(near, span, near),
            None if self.command_names.contains_key(name) => {
                diagnostic.with_help(format!("`{name}` is a command; call it on a line of its own: `{name}()`"))
            }
            None => diagnostic.with_help(format!("declare it: `var {name} = …`, or read the environment: `@env.{name}`")),
        }
    }

    /// Notes that a variable is read or assigned at `span`.
    pub(super) fn note_use(&mut self, variable: Variable, span: Span, assigns: bool) {
        let Variable::Global(global) = variable else { return };
        self.frame.uses.globals.entry(global).or_insert(span);
        if assigns {
            self.frame.uses.assigned.insert(global);
        }
    }

    pub(super) fn warn_shadowing(&mut self, name: &str, span: Span) {
        let Some(outer) = self.visible(name).map(|outer| outer.span) else { return };
        self.report(
            Diagnostic::new(Code::Shadowing, span, format!("`{name}` hides an outer variable of this name"))
                .with_label(outer, "the outer one")
                .with_help("rename one of the two"),
        );
    }

    /// Declares a local after its checks.
    pub(super) fn declare(&mut self, name: &str, span: Span, shape: Shape, kind: Kind) -> u32 {
        let before = self.frame.in_scope(name).map(|known| (known.span, known.kind));
        match before {
            Some((_, Kind::Binding)) if kind == Kind::Binding => {}
            Some((first, Kind::Binding)) => self.report(binding_is_variable(name, span, first)),
            Some((first, _)) => {
                // Which of the two is read says nothing yet.
                self.visible(name).into_iter().for_each(|known| known.used = true);
                self.report(duplicate_variable(name, span, first));
            }
            None if kind == Kind::Binding => {}
            None => self.warn_shadowing(name, span),
        }
        let shape = if self.assigned.contains(name) { Shape::Unknown } else { shape };
        self.frame.declare(name, span, shape, kind)
    }
}

pub(super) fn binding_is_variable(name: &str, span: Span, first: Span) -> Diagnostic {
    Diagnostic::new(Code::BindingIsVariable, span, format!("`{name}` is a variable and a runtime binding"))
        .with_label(first, "first used here")
        .with_help(format!("to assign the variable, put spaces around `=`: `{name} = …`; else rename one of the two"))
}

/// Warns about what nothing reads.
pub(super) fn warn_unused(known: &Known, diagnostics: &mut Vec<Diagnostic>) {
    if known.used {
        return;
    }
    let (code, what) = match known.kind {
        Kind::Declared => (Code::UnusedVariable, "variable"),
        Kind::Parameter => (Code::UnusedParameter, "parameter"),
        Kind::Loop | Kind::Binding => return,
    };
    diagnostics.push(
        Diagnostic::new(code, known.span, format!("nothing reads the {what} `{}`", known.name))
            .with_help("remove it, or read it as `@var.".to_owned() + &known.name + "`"),
    );
}

/// Adds every name that the statements assign, at any depth.
pub(super) fn assigned_names<'a>(statements: &'a [Statement], names: &mut HashSet<&'a str>) {
    for statement in statements {
        if let StatementKind::Assign(assignment) = &statement.kind {
            names.insert(&assignment.target.name);
        }
        for block in blocks(statement) {
            assigned_names(&block.statements, names);
        }
    }
}

/// The blocks directly inside a statement.
fn blocks(statement: &Statement) -> Vec<&Block> {
    match &statement.kind {
        StatementKind::If(chain) => chain.branches.iter().map(|branch| &branch.body).chain(&chain.otherwise).collect(),
        StatementKind::For(each) => vec![&each.body],
        StatementKind::While(each) => vec![&each.body],
        StatementKind::When(when) => when.arms.iter().map(|arm| &arm.body).collect(),
        StatementKind::Try(guarded) => std::iter::once(&guarded.body).chain(&guarded.catch).chain(&guarded.finally).collect(),
        StatementKind::Decorator(decorator) => decorator.block.iter().collect(),
        StatementKind::Operators(operators) => operator_blocks(operators),
        StatementKind::Pipeline(pipeline) => match &pipeline.source {
            PipelineSource::Operators(operators) => operator_blocks(operators),
            PipelineSource::Shell(_) => Vec::new(),
        },
        StatementKind::Var(_)
        | StatementKind::Assign(_)
        | StatementKind::Call(_)
        | StatementKind::Sleep(_)
        | StatementKind::Shell(_)
        | StatementKind::Binding(_) => Vec::new(),
    }
}

fn operator_blocks(operators: &Operators) -> Vec<&Block> {
    let chains = operators.sequence.iter().flat_map(|chain| std::iter::once(&chain.first).chain(chain.rest.iter().map(|(_, piped)| piped)));
    let operands = chains.flat_map(|piped| &piped.operands);
    operands
        .filter_map(|operand| match operand {
            Operand::Decorator(decorator) => decorator.block.as_ref(),
            Operand::Shell(_) | Operand::Call(_) | Operand::Sleep(_) => None,
        })
        .collect()
}
