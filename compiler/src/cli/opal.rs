//! The command line of `opal`: lists and runs the commands of a command file, and scripts, on the planner and executor of contract runs.
//!
//! Words before TARGET are options of opal. After it, a parameter of the target comes first and an option of opal second, so that every
//! parameter is a flag whatever its name; after `--` every word is an argument.
//! Tests: `tests/tests/opal_command.rs`, through the real binary.

pub(super) mod commands;
mod contract;
mod direct;
mod help;
mod line;
pub(super) mod own_options;
mod progress;

use super::failure::Failure;
use super::{asked_color, asks_json, compile, console, files, options, plan};
use crate::check;
use crate::lower::{self, CliArgument, CommandSummary, Entry};
use crate::source::Source;
use crate::syntax::Parsed;
use clap::ArgMatches;
use direct::Ready;
use line::{Line, Split};
use own_options::own_options;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const USAGE: &str = "opal\n       opal TARGET [ARGS] [OPTIONS]\n       opal FILE [TARGET] [ARGS] [OPTIONS]\n       opal COMMAND ...";

const ABOUT: &str = "Lists and runs the commands of `commands.opl`, found in this directory or above";

const AFTER_HELP: &str = "\
Without TARGET, the commands are listed. `opal TARGET --help` shows the parameters of one: words after TARGET fill them in order,
`--name VALUE` sets one by name. TARGET may also be a call: 'deploy(\"prod\", replicas=5)'. A first word with a `/` in it, or with the
ending `.opl`, names a file (`-` is standard input): a script, or a command file whose default command is meant where no TARGET follows.
A script may begin with `#!/usr/bin/env opal`.

A command of the file that has the name of one of opal's own, like `run`, is run by `opal -- run`.

";

/// Options that only a plan which is shown or written has a use for.
const PLAN_ONLY: &[&str] = &[
    "resolve",
    "output",
    "format",
    "hash",
    "hash-algo",
    "key",
    "recipient",
    "unsigned",
    "expires",
    "once",
    "host",
    "directory",
    "env",
    "env-file",
];

/// Where options of plans have no meaning.
const DIRECT: &str = "for a direct run";

pub(super) fn command() -> clap::Command {
    let operand = |name, value, help| clap::Arg::new(name).value_name(value).help(help);
    options::command("opal", ABOUT)
        .override_usage(USAGE)
        .disable_help_subcommand(true)
        .args([
            operand("target", "TARGET", "The command to run, or a file; without it the commands are listed"),
            operand("arguments", "ARGS", "Arguments of the target").num_args(0..),
        ])
        .args(own_options())
        .subcommands([
            contract::run().name("run"),
            plan_command().name("plan"),
            contract::execute().name("execute"),
            super::completions::command().name("completions"),
        ])
        .after_help(format!("{AFTER_HELP}{}", opal_vm::cli::exit_status_help(|_| true)))
}

/// `opal plan`: what TARGET with `--dry-run --resolve` is.
fn plan_command() -> clap::Command {
    let operand = |name, value, help| clap::Arg::new(name).value_name(value).help(help);
    options::command("opal plan", "Make a contract of a command: `opal TARGET --dry-run --resolve`")
        .override_usage("opal plan TARGET [ARGS] [OPTIONS]")
        .args([
            operand("target", "TARGET", "The command to plan, or a file; may be a call: 'deploy(\"prod\")'"),
            operand("arguments", "ARGS", "Arguments of the target").num_args(0..),
        ])
        .args(plan::arguments())
}

/// How the command goes on after what needs a large stack.
enum Next {
    /// It is done, with this exit status.
    Done(u8),
    /// A command line of `opal-vm`.
    Vm(Vec<OsString>),
    /// A plan that is to run.
    Run(Box<Ready>),
}

/// Whether the command line of this process may come to running steps. A parameter of a target may have the name of any option, so behind a target
/// even `--help` decides nothing.
#[must_use]
pub fn may_run() -> bool {
    let words: Vec<OsString> = std::env::args_os().skip(1).collect();
    if super::completions::asking(&words).is_some() {
        return false;
    }
    let asks_help = |word: &OsString| word == "--help" || word == "-h";
    let mut line = Line::new(&command(), words);
    match line.take_built_in().as_deref() {
        Some("run" | "execute") => !line.rest.iter().any(asks_help),
        Some(_) => false,
        None => line.first.is_some() && !line.options.iter().any(asks_help),
    }
}

/// Runs the command line of this process.
#[must_use]
pub fn main() -> ExitCode {
    super::report_panics();
    let words: Vec<OsString> = std::env::args_os().skip(1).collect();
    if let Some(shell) = super::completions::asking(&words) {
        return super::completions::answer(shell, words);
    }
    // Steps are started by a process that has this one thread, so that the signals are this thread's to take.
    ExitCode::from(match super::on_a_large_stack(move || decide(words)) {
        Ok(Next::Done(status)) | Err(status) => status,
        Ok(Next::Vm(words)) => opal_vm::cli::main(words, None, progress::follow),
        Ok(Next::Run(ready)) => ready.run(),
    })
}

fn decide(words: Vec<OsString>) -> Next {
    let (color, mut json) = (asked_color(&words), asks_json(&words));
    let failure = match work(words, color.on_stderr(), &mut json) {
        Ok(next) => return next,
        Err(failure) => failure,
    };
    let status = super::refuse(&failure, color, json);
    if !matches!(failure, Failure::Said(_) | Failure::Pipe) {
        console::say("effects: none (nothing was run)\n");
    }
    Next::Done(status)
}

/// `json` says whether a refusal is a document too; what looks like `--json` turns out to be a parameter where the target has one of that name.
fn work(words: Vec<OsString>, color: bool, json: &mut bool) -> Result<Next, Failure> {
    let command = command();
    let mut line = Line::new(&command, words);
    if let Some(name) = line.take_built_in() {
        match own(&name, line)? {
            Own::Done(next) => return Ok(next),
            Own::Plan(planned) => line = planned,
        }
    }
    let Some(first) = line.first.take() else {
        let matches = options::parse(command, line.options)?;
        let json = options::wants_json(&matches);
        refuse_options(
            &matches,
            &|name| name == "color" || (json && matches!(name, "json" | "format")),
            "without a target: `opal` lists the commands",
        )?;
        commands::list(&commands::find()?, json)?;
        return Ok(Next::Done(0));
    };
    if !line.is_command && names_file(&first) {
        return script(&command, PathBuf::from(first), line, color, json);
    }
    if !line.is_command && first == "run" && line.rest.first().is_some_and(|word| names_file(word)) && !commands::exists("run") {
        let file = PathBuf::from(line.rest.remove(0));
        return script(&command, file, line, color, json);
    }
    let mut target = super::words::text(first)?;
    if !line.is_command && line::BUILT_IN.contains(&target.as_str()) && !commands::exists(&target) {
        return match own(&target, line)? {
            Own::Done(next) => Ok(next),
            Own::Plan(_) => {
                Err(Failure::usage("`opal plan` needs a target").with_help("`opal` lists the commands; `opal plan TARGET -o FILE.plan`"))
            }
        };
    }
    if target == "help" && !line.is_command && !commands::exists(&target) {
        if line.rest.is_empty() {
            options::parse(command.clone(), vec!["--help".into()])?;
        }
        target = super::words::text(line.rest.remove(0))?;
        line.options.push("--help".into());
    }
    let found = commands::find()?;
    let parsed = compile::parse(&found.source)?;
    let name = called(&target).to_owned();
    let all = lower::commands(&found.source, &parsed.file);
    let work = Work { path: Path::new(commands::NAME), source: found.source, parsed, target: Some(target), color };
    let summary = all.iter().find(|command| command.name == name);
    work.go(command, summary, &format!("opal {name}"), line, json)
}

/// What one of opal's own commands comes to.
enum Own {
    Done(Next),
    /// A command line whose target is to be planned.
    Plan(Line),
}

/// Runs one of opal's own commands.
fn own(name: &str, line: Line) -> Result<Own, Failure> {
    let outer = line.options;
    let rest = || outer.iter().cloned().chain(line.rest.clone()).collect();
    Ok(Own::Done(match name {
        "run" => Next::Vm(contract::run_words(rest())?),
        "execute" => Next::Vm(contract::execute_words(rest())?),
        "completions" => {
            super::completions::print(&options::parse(super::completions::command().name("opal completions"), rest())?)?;
            Next::Done(0)
        }
        _ => {
            let mut line = Line::new(&command(), line.rest);
            if line.first.is_none() && line.options.iter().any(|word| word == "--help" || word == "-h") {
                options::parse(plan_command(), line.options.clone())?;
            }
            line.options.extend(outer);
            line.options.push("--dry-run".into());
            let resolved = |word: &OsString| word == "--resolve" || word == "--hash";
            if !line.options.iter().chain(&line.rest).any(resolved) {
                line.options.push("--resolve".into());
            }
            return Ok(Own::Plan(line));
        }
    }))
}

/// Whether the first word names a file rather than a command.
fn names_file(word: &OsStr) -> bool {
    let word = word.to_string_lossy();
    let name = word.split_once('(').map_or(&*word, |(name, _)| name);
    word == files::STANDARD || name.contains('/') || (name.len() == word.len() && name.ends_with(".opl"))
}

/// The name in a target, which may be a call.
fn called(target: &str) -> &str {
    target.split_once('(').map_or(target, |(name, _)| name).trim()
}

/// A file that is named: a script, or a command file.
fn script(command: &clap::Command, path: PathBuf, mut line: Line, color: bool, json: &mut bool) -> Result<Next, Failure> {
    let source = files::read_source(&path)?;
    let parsed = compile::parse(&source)?;
    let all = lower::commands(&source, &parsed.file);
    // The first word is the target if it names a command; else it is an argument of what the file does without one.
    // Where it does nothing without a target, the word can be nothing else, and is refused by name if there is no such command.
    let is_script = check::is_script(&parsed.file);
    let names: Vec<&str> = all.iter().map(|command| command.name.as_str()).collect();
    let needs_target = !is_script && !names.is_empty() && lower::default_command(&source, &names).is_none();
    let target = line.take_target(command, |word| needs_target || names.contains(&called(word)));
    let summary: Option<&CommandSummary> = match &target {
        Some(target) => all.iter().find(|command| command.name == called(target)),
        None if is_script => None,
        None => lower::default_command(&source, &names).and_then(|at| all.get(at)),
    };
    let shown = match &target {
        Some(_) => format!("opal {} {}", path.display(), summary.map_or("", |summary| &summary.name)),
        None => format!("opal {}", path.display()),
    };
    let work = Work { path: &path, source, parsed, target, color };
    work.go(command.clone(), summary, &shown, line, json)
}

/// What the words before the arguments name.
struct Work<'a> {
    path: &'a Path,
    source: Source,
    parsed: Parsed,
    target: Option<String>,
    color: bool,
}

impl Work<'_> {
    fn go(
        self,
        command: clap::Command,
        summary: Option<&CommandSummary>,
        shown: &str,
        line: Line,
        json: &mut bool,
    ) -> Result<Next, Failure> {
        let Split { options, arguments, help } = line.split(&command, summary)?;
        *json = asks_json(&options);
        if help && (summary.is_some() || self.target.is_none()) {
            let text = help::of(summary, shown, &command);
            console::print(text.as_bytes())?;
            return Ok(Next::Done(0));
        }
        let matches = options::parse(command, options)?;
        if matches.get_flag("dry-run") {
            let Self { path, source, parsed, target, color } = self;
            plan::produce(&matches, path, color, || {
                let compiled = compile::compile_parsed(&source, &parsed, &entry(target, arguments), &|_| false)?;
                Ok((source, compiled))
            })?;
            return Ok(Next::Done(0));
        }
        refuse_options(&matches, &|name| !PLAN_ONLY.contains(&name), DIRECT)?;
        let Self { path, source, parsed, target, color } = self;
        let ready = direct::prepare(&matches, path, source, &parsed, &entry(target, arguments), color)?;
        Ok(Next::Run(Box::new(ready)))
    }
}

const fn entry(target: Option<String>, arguments: Vec<CliArgument>) -> Entry {
    Entry { target, arguments }
}

/// Refuses the options on the command line that are not `known`, since they would have no effect there.
fn refuse_options(matches: &ArgMatches, known: &dyn Fn(&str) -> bool, place: &str) -> Result<(), Failure> {
    let given = |name: &str| matches.value_source(name).is_some_and(|source| source == clap::parser::ValueSource::CommandLine);
    let Some(name) = matches.ids().map(clap::Id::as_str).find(|name| given(name) && !known(name)) else { return Ok(()) };
    let help = match (name, place) {
        ("env", DIRECT) => "set it for this run: `NAME=VALUE opal …`; or add `--dry-run` to plan as if it were set",
        ("directory", DIRECT) => "go there first: `cd DIR`; or add `--dry-run --resolve` for a contract",
        (_, DIRECT) => "add `--dry-run` to see the plan, or `--dry-run --resolve` for a contract",
        _ => "name the command: `opal TARGET …`",
    };
    Err(Failure::usage(format!("`--{name}` has no meaning {place}")).with_help(help))
}
