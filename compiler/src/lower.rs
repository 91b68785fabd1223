//! Lowers a checked file to a program for one target (spec/program.md, spec/language.md "Evaluation").
//!
//! Only what the target reaches is lowered, callees and first values before what uses them, so that every reference leads to a lower number.
//! Every program is put through the verifier before it is given out.

mod entry;
mod expression;
mod function;
mod statement;
mod tables;

pub use entry::{CliArgument, CommandSummary, Entry, ParameterSummary, Usage, UsageError, commands, default_command};

use crate::ast::File;
use crate::check::typed::{Call, Command, Expr, ExprKind, Unit, Variable};
use crate::check::{self, Checked, graph, shape::Shape};
use crate::diagnostic::{Code, Diagnostic, sort};
use crate::source::Source;
use crate::span::Span;
use entry::{Bound, Start};
use expression::Env;
use function::{Builder, Kind};
use opal_core::program::table::Op;
use opal_core::program::verify::{Rule, VerifyError, verify};
use opal_format::canonical::CanonicalValue;
use opal_format::program::{Global, Program};
use opal_format::terms::BoundArgument;
use std::collections::{BTreeSet, HashMap};
use tables::{Tables, index};

/// A source compiled for one target.
#[derive(Clone, Debug)]
pub struct Compiled {
    /// The program; it has passed the verifier.
    pub program: Program,
    /// Name of the command; empty for the body of a script.
    pub target: String,
    /// Arguments of the entry function, in parameter order. Constant defaults are filled in; computed ones the program fills in itself.
    pub arguments: Vec<BoundArgument>,
    /// The same values, as the planner takes them.
    pub values: Vec<CanonicalValue>,
    /// Warnings, sorted.
    pub diagnostics: Vec<Diagnostic>,
    /// Places in the source that the target does not reach: other commands, other variables, the body of the script.
    pub unreached: Vec<Span>,
}

impl Compiled {
    /// Drops the warnings about what the target does not reach. A check of the file has them; a run of one command has no use for them.
    pub fn keep_relevant(&mut self) {
        let Self { diagnostics, unreached, .. } = self;
        diagnostics
            .retain(|diagnostic| !unreached.iter().any(|place| place.start <= diagnostic.span.start && diagnostic.span.end <= place.end));
    }
}

/// Why there is no program.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Failure {
    /// Target or arguments do not fit the source (exit status 64).
    #[error(transparent)]
    Usage(Box<Usage>),
    /// The source does not compile (exit status 65): errors and warnings, sorted.
    #[error("the source does not compile")]
    Source(Vec<Diagnostic>),
    /// The verifier refused what was lowered: a bug of the compiler (exit status 70).
    #[error("internal error in the compiler: {0}")]
    Internal(VerifyError),
}

/// Compiles a source for a target. `file` is what its parser made of it, without errors.
///
/// # Errors
/// See [`Failure`].
pub fn compile(source: &Source, file: &File, request: &Entry) -> Result<Compiled, Failure> {
    let Checked { unit, mut diagnostics } = check::run(source, file);
    if unit.commands.is_empty() && unit.script.is_none() {
        let end = Span::at(source.bytes().len());
        diagnostics.push(
            Diagnostic::new(Code::NothingToPlan, end, "there is nothing to plan: neither a command nor work at top level")
                .with_help("write a command, `fun hello = echo hello`, or a shell line"),
        );
    }
    if diagnostics.iter().any(Diagnostic::is_error) {
        return Err(Failure::Source(diagnostics));
    }
    let start = entry::resolve(source, file, &unit, request).map_err(|usage| Failure::Usage(Box::new(usage)))?;
    let (program, errors, unreached) = Lowerer::new(source, &unit, start.command.is_none()).program(&start);
    if !errors.is_empty() {
        diagnostics.extend(errors);
        sort(&mut diagnostics);
        return Err(Failure::Source(diagnostics));
    }
    if let Err(error) = verify(program.view()) {
        let excess = matches!(error.rule, Rule::Depth | Rule::CallDepth | Rule::NodeDepth | Rule::StackLimit);
        if !excess {
            return Err(Failure::Internal(error));
        }
        let span = start.command.and_then(|command| unit.commands.get(command)).map_or(Span::default(), |command| command.span);
        diagnostics.push(
            Diagnostic::new(Code::LimitExceeded, span, error.rule.message()).with_help("make the commands that this one calls flatter"),
        );
        sort(&mut diagnostics);
        return Err(Failure::Source(diagnostics));
    }
    let Start { target, bound, .. } = start;
    let mut compiled = Compiled { program, target, arguments: Vec::new(), values: Vec::new(), diagnostics, unreached };
    for Bound { name, value, encoded, .. } in bound {
        compiled.arguments.push(BoundArgument { name, value: encoded });
        compiled.values.push(value);
    }
    Ok(compiled)
}

struct Lowerer<'u> {
    unit: &'u Unit,
    tables: Tables<'u>,
    /// Whether the target is the body of the script: its variables then get their values as it goes.
    is_script: bool,
    /// Numbers of globals in the program: as it is now, and as it was at first where that may differ.
    globals: HashMap<u32, (u32, Option<u32>)>,
    /// Numbers of commands that are lowered.
    functions: HashMap<usize, u32>,
    /// Globals of the program that a command assigns, calls included.
    assigned: HashMap<usize, BTreeSet<Variable>>,
    nothing: BTreeSet<Variable>,
    errors: Vec<Diagnostic>,
}

impl<'u> Lowerer<'u> {
    fn new(source: &'u Source, unit: &'u Unit, is_script: bool) -> Self {
        Self {
            unit,
            tables: Tables::new(source),
            is_script,
            globals: HashMap::new(),
            functions: HashMap::new(),
            assigned: HashMap::new(),
            nothing: BTreeSet::new(),
            errors: Vec::new(),
        }
    }

    fn program(mut self, start: &Start) -> (Program, Vec<Diagnostic>, Vec<Span>) {
        let unit = self.unit;
        let script = unit.script.as_ref().filter(|_| start.command.is_none());
        let calls =
            |command: usize| unit.commands.get(command).map(|command| command.uses.calls.keys().copied().collect()).unwrap_or_default();
        let roots: Vec<usize> = script.iter().flat_map(|script| script.uses.calls.keys().copied()).chain(start.command).collect();
        let commands = graph::order(unit.commands.len(), roots, &calls);
        self.first_values(script, &commands);
        for command in commands {
            self.command(command, start);
        }
        let entry = match (script, start.command) {
            (Some(script), _) => {
                let mut builder = Builder::new(script.locals);
                self.statements(&mut builder, &script.body);
                self.finish(builder, "", 0, Kind::Command, script.span)
            }
            (None, Some(command)) => self.entry(command, start),
            (None, None) => 0,
        };
        self.tables.program.entry = entry;
        let unreached = self.unreached();
        (self.tables.program, self.errors, unreached)
    }

    /// Places of what was not lowered.
    fn unreached(&self) -> Vec<Span> {
        let commands = self.unit.commands.iter().enumerate().filter(|(number, _)| !self.functions.contains_key(number));
        let mut places: Vec<Span> = commands.map(|(_, command)| command.span).collect();
        if !self.is_script {
            let globals = (0u32..).zip(&self.unit.globals).filter(|(number, _)| !self.globals.contains_key(number));
            places.extend(globals.map(|(_, global)| global.span.to(global.initial.span)));
            places.extend(self.unit.script.iter().flat_map(|script| &script.body).map(|statement| statement.span));
        }
        places
    }

    /// Takes in the globals that are used, and lowers their first values, each after those that it reads.
    fn first_values(&mut self, script: Option<&Command>, commands: &[usize]) {
        let unit = self.unit;
        let used = commands.iter().filter_map(|command| unit.commands.get(*command)).chain(script);
        let roots: BTreeSet<usize> = used.flat_map(|body| body.uses.globals.keys().map(|global| *global as usize)).collect();
        let needs = |global: usize| -> Vec<usize> {
            let uses = unit.globals.get(global).map(|global| &global.uses.globals);
            uses.into_iter().flat_map(|globals| globals.keys().map(|global| *global as usize)).collect()
        };
        let order = if self.is_script { roots.into_iter().collect() } else { graph::order(unit.globals.len(), roots, &needs) };
        let read_first: BTreeSet<usize> = order.iter().flat_map(|global| needs(*global)).collect();
        for &global in &order {
            let Some(known) = unit.globals.get(global) else { continue };
            let differs = !self.is_script && known.assigned && read_first.contains(&global);
            let initial = differs.then(|| self.add_global(&known.name));
            let number = self.add_global(&known.name);
            self.globals.insert(index(global), (number, initial));
        }
        if self.is_script {
            return;
        }
        let env = Env { initial: true, ..Env::default() };
        for &global in &order {
            let Some(known) = unit.globals.get(global) else { continue };
            let mut builder = Builder::new(0);
            self.strict(&mut builder, &env, &known.initial);
            let function = self.finish(builder, &known.name, 0, Kind::Thunk, known.span);
            let (number, initial) = self.globals.get(&index(global)).copied().unwrap_or_default();
            let Some(initial) = initial else {
                self.set_initial(number, function);
                continue;
            };
            self.set_initial(initial, function);
            let mut builder = Builder::new(0);
            builder.op(Op::LoadGlobal, initial, known.span);
            let function = self.finish(builder, &known.name, 0, Kind::Thunk, known.span);
            self.set_initial(number, function);
        }
    }

    fn add_global(&mut self, name: &str) -> u32 {
        let name = self.tables.text(name);
        self.tables.program.globals.push(Global { name, init: 0.into() });
        index(self.tables.program.globals.len() - 1)
    }

    fn set_initial(&mut self, global: u32, function: u32) {
        if let Some(global) = self.tables.program.globals.get_mut(global as usize) {
            global.init = function.saturating_add(1).into();
        }
    }

    fn command(&mut self, number: usize, start: &Start) {
        let Some(command) = self.unit.commands.get(number) else { return };
        let mut builder = Builder::new(command.locals);
        if start.command == Some(number) && start.is_complete(command) {
            self.check_arguments(&mut builder, command, start);
        }
        self.statements(&mut builder, &command.body);
        let function = self.finish(builder, &command.name, index(command.parameters.len()), Kind::Command, command.span);
        self.functions.insert(number, function);
        let own = command.uses.assigned.iter().map(|global| Variable::Global(self.global(*global, false)));
        let mut assigned: BTreeSet<Variable> = own.collect();
        for callee in command.uses.calls.keys() {
            assigned.extend(self.assigned_by(*callee).iter().copied());
        }
        self.assigned.insert(number, assigned);
    }

    /// The entry function: the command itself, or one that fills in computed defaults and calls it.
    fn entry(&mut self, number: usize, start: &Start) -> u32 {
        let function = self.functions.get(&number).copied().unwrap_or_default();
        let Some(command) = self.unit.commands.get(number).filter(|command| !start.is_complete(command)) else { return function };
        let mut builder = Builder::new(index(start.bound.len()));
        self.check_arguments(&mut builder, command, start);
        let mut arguments = Vec::with_capacity(command.parameters.len());
        for parameter in &command.parameters {
            let given = start.bound.iter().position(|bound| bound.name == parameter.name);
            arguments.push(given.map(|local| Expr {
                span: command.span,
                shape: parameter.expected.map_or(Shape::Unknown, Shape::of_type),
                kind: ExprKind::Load(Variable::Local(index(local))),
            }));
        }
        let call = Call { command: number, arguments };
        self.call(&mut builder, &call, command.span);
        self.finish(builder, &command.name, index(start.bound.len()), Kind::Command, command.span)
    }

    /// The arguments come from a file when a contract is replanned: their types are checked before anything reads them.
    fn check_arguments(&mut self, builder: &mut Builder, command: &Command, start: &Start) {
        for (local, bound) in (0u32..).zip(&start.bound) {
            let Some(expected) =
                command.parameters.iter().find(|parameter| parameter.name == bound.name).and_then(|parameter| parameter.expected)
            else {
                continue;
            };
            let what = self.tables.string(&format!("`{}` of `{}`", bound.name, command.name));
            builder.op(Op::Load, local, command.span);
            builder.emit(Op::Expect, expected.number(), 0, what, command.span);
            builder.op(Op::Store, local, command.span);
        }
    }

    fn finish(&mut self, builder: Builder, name: &str, params: u32, kind: Kind, span: Span) -> u32 {
        let (function, excess) = builder.finish(&mut self.tables, name, params, kind, span);
        if let Some((span, what)) = excess {
            self.errors.push(Diagnostic::new(Code::LimitExceeded, span, what).with_help("split it into several commands"));
        }
        function
    }

    /// Number of a global in the program.
    fn global(&self, global: u32, initial: bool) -> u32 {
        let (number, first) = self.globals.get(&global).copied().unwrap_or_default();
        if initial { first.unwrap_or(number) } else { number }
    }

    fn is_assigned(&self, global: u32) -> bool {
        self.unit.globals.get(global as usize).is_some_and(|global| global.assigned)
    }

    fn assigned_by(&self, command: usize) -> &BTreeSet<Variable> {
        self.assigned.get(&command).unwrap_or(&self.nothing)
    }

    fn callee(&self, command: usize) -> Option<(u32, &'u Command)> {
        Some((self.functions.get(&command).copied()?, self.unit.commands.get(command)?))
    }
}
