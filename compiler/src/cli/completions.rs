//! Completions for the three programs. A script for the shell asks a program of ours for the candidates, which come from the definitions that
//! `--help` is made from, and from the command file or source that the words name. Nothing is evaluated, made or said while answering.
//!
//! Tests: `tests/tests/completions.rs`, through real shells.

use super::failure::Failure;
use super::opal::commands;
use super::opal::own_options::own_options;
use super::{console, files, man, on_a_large_stack, options, plan};
use crate::ast::TypeName;
use crate::check::{self, shape::value_type};
use crate::diagnostic::explanations;
use crate::lower::{self, CommandSummary, ParameterSummary};
use crate::syntax;
use clap::builder::PossibleValuesParser;
use clap::{Arg, Command};
use clap_complete::CompletionCandidate;
use clap_complete::engine::{ArgValueCandidates, ArgValueCompleter, PathCompleter};
use clap_complete::env::{EnvCompleter, Fish, Zsh};
use opal_core::show::escape;
use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::process::ExitCode;

/// The variable by which a script asks: it names the shell.
const ASKING: &str = "_OPAL_COMPLETE";

/// The shells.
pub(super) const SHELLS: [&str; 3] = ["bash", "zsh", "fish"];

pub(super) fn command() -> Command {
    options::command("opalc completions", "Print a script that completes command lines of opalc, opal and opal-vm")
        .arg(Arg::new("shell").value_name("SHELL").help("Whose script").required(true).value_parser(PossibleValuesParser::new(SHELLS)))
        .after_help(
            "\
bash: put `eval \"$(opalc completions bash)\"` in ~/.bashrc
zsh:  put `eval \"$(opalc completions zsh)\"` in ~/.zshrc, after compinit
fish: `opalc completions fish > ~/.config/fish/completions/opal.fish`, and the same as opalc.fish and opal-vm.fish",
        )
}

/// Runs the subcommand.
pub(super) fn run(words: Vec<OsString>) -> Result<(), Failure> {
    print(&options::parse(command(), words)?)
}

/// Prints the script of the shell that `matches` names.
pub(super) fn print(matches: &clap::ArgMatches) -> Result<(), Failure> {
    let shell = matches.get_one::<String>("shell").and_then(|name| completer(name));
    let shell = shell.ok_or_else(|| Failure::bug("a shell without a script"))?;
    let mut out = Vec::new();
    // opal-vm does not answer itself: what an auditor reads stays small.
    for (program, asked) in [("opal", "opal"), ("opalc", "opalc"), ("opal-vm", "opalc")] {
        shell.write_registration(ASKING, program, program, asked, &mut out).map_err(|error| Failure::bug(error.to_string()))?;
    }
    // Where the program is not there any more, the line that is being typed stays clean.
    let script = String::from_utf8_lossy(&out);
    let quiet = script.replace("(commandline --current-token))\"", "(commandline --current-token) 2>/dev/null)\"");
    console::print(quiet.as_bytes())
}

fn completer(name: &str) -> Option<&'static (dyn EnvCompleter + Sync)> {
    Some(match name {
        "bash" => &Bash,
        "zsh" => &Zsh,
        "fish" => &Fish,
        _ => return None,
    })
}

/// The shell that asks, if this is a question: the variable is set, and the command line comes after `--`.
pub(super) fn asking(words: &[OsString]) -> Option<&'static (dyn EnvCompleter + Sync)> {
    let shell = std::env::var(ASKING).ok()?;
    completer(&shell).filter(|_| words.first().is_some_and(|word| word == "--") && words.len() > 1)
}

/// Answers with the candidates for the last word; with none where anything is wrong.
pub(super) fn answer(shell: &'static (dyn EnvCompleter + Sync), words: Vec<OsString>) -> ExitCode {
    // A bug must not show in the line that is being typed.
    std::panic::set_hook(Box::new(|_| std::process::exit(0)));
    let words: Vec<OsString> = words.into_iter().skip(1).collect();
    let _ = on_a_large_stack(move || {
        let mut out = Vec::new();
        let directory = std::env::current_dir().ok();
        if shell.write_complete(&mut definition(&words), words, directory.as_deref(), &mut out).is_ok() {
            let _ = console::print(&out);
        }
    });
    ExitCode::SUCCESS
}

/// The definition of the program that the first word names, with what completes values, and the commands that the other words lead to.
fn definition(words: &[OsString]) -> Command {
    let [compiler, opal, vm] = super::programs();
    let name = words.first().and_then(|word| Path::new(word).file_name()).unwrap_or_default();
    let named = words.iter().skip(1).take(words.len().saturating_sub(2)).find(|word| word.to_string_lossy().ends_with(".opl"));
    let command = if name == "opal-vm" {
        vm
    } else if name == "opal" {
        let own = own_options();
        let commands = |command: Command, path: Option<&Path>| with_commands(command, &own, path, false);
        let opal = opal.mut_subcommand("plan", |plan| commands(plan, None));
        match named {
            Some(file) => opal.subcommand(commands(Command::new(shown(file)), Some(Path::new(file)))),
            None => commands(opal, None),
        }
    } else {
        match named {
            Some(file) => compiler.subcommand(with_commands(Command::new(shown(file)), &plan::arguments(), Some(Path::new(file)), true)),
            None => compiler,
        }
    };
    values(command)
}

fn shown(word: &OsString) -> String {
    word.to_string_lossy().into_owned()
}

/// `command` with the commands of a file below it: of the command file where `path` is `None`. A file that is refused has none.
fn with_commands(command: Command, own: &[Arg], path: Option<&Path>, attached: bool) -> Command {
    let source = match path {
        Some(path) => files::read_small(path, crate::source::SOURCE_SIZE_MAX).ok().map(|bytes| files::source(path, bytes)),
        None => commands::look(),
    };
    let Some(source) = source else { return if path.is_some() { command.args(own.to_vec()) } else { command } };
    let parsed = syntax::parse(&source);
    let found: Vec<CommandSummary> = lower::commands(&source, &parsed.file);
    let names: Vec<&str> = found.iter().map(|command| command.name.as_str()).collect();
    // What a file does without a target takes its arguments right behind the file.
    let default = lower::default_command(&source, &names).filter(|_| !check::is_script(&parsed.file)).and_then(|at| found.get(at));
    let command = match (path, default) {
        (None, _) => command,
        (Some(_), None) => command.args(own.to_vec()),
        (Some(_), Some(default)) => with_parameters(command, default, own, attached),
    };
    found.iter().fold(command, |command, found| {
        // A command that has the name of one of opal's own is reached by `opal -- NAME`.
        if command.find_subcommand(&found.name).is_some() {
            return command;
        }
        let comment = found.comment.lines().next().unwrap_or_default();
        let target = Command::new(found.name.clone()).about(escape(comment.as_bytes(), false));
        command.subcommand(with_parameters(target, found, own, attached))
    })
}

/// `command` with the parameters of a command of a file. Where values are `attached`, they are written `--name=value`.
fn with_parameters(mut command: Command, target: &CommandSummary, own: &[Arg], attached: bool) -> Command {
    let is_own = |name: &str| name == "help" || own.iter().any(|arg| arg.get_long() == Some(name));
    let name = |parameter: &ParameterSummary| if attached { parameter.name.clone() } else { parameter.name.replace('_', "-") };
    for (number, parameter) in target.parameters.iter().enumerate() {
        let help = describe(parameter);
        let candidates = candidates(parameter);
        let values = move || candidates.iter().map(CompletionCandidate::new).collect::<Vec<_>>();
        // A Bool needs no value, and takes one after `=` only.
        let flag = Arg::new(format!("{number}")).long(name(parameter)).help(help);
        let flag = if parameter.reads_as == Some(TypeName::Bool) || attached { flag.num_args(0..=1).require_equals(true) } else { flag };
        // An option of opalc comes before a parameter of the same name, and one of opal after it.
        if !attached || !is_own(&parameter.name) {
            command = command.arg(flag.add(ArgValueCandidates::new(values.clone())));
        }
        command = command.arg(Arg::new(format!("{number} in order")).add(ArgValueCandidates::new(values)));
    }
    let taken: Vec<String> = target.parameters.iter().map(name).filter(|_| !attached).collect();
    let command = command.disable_help_flag(taken.iter().any(|name| name == "help"));
    command.args(own.iter().filter(|arg| !arg.get_long().is_some_and(|long| taken.iter().any(|name| name == long))).cloned())
}

fn describe(parameter: &ParameterSummary) -> String {
    let kind = parameter.reads_as.map_or("", |kind| value_type(kind).name());
    match &parameter.default {
        Some(default) => format!("{kind} [default: {}]", escape(default.as_bytes(), false)),
        None => format!("{kind} (needed)"),
    }
}

/// What a parameter may be, as far as its definition says.
fn candidates(parameter: &ParameterSummary) -> Vec<String> {
    match (parameter.reads_as, &parameter.default) {
        (Some(TypeName::Bool), _) => vec!["true".to_owned(), "false".to_owned()],
        (Some(TypeName::String), Some(default)) => default
            .strip_prefix('"')
            .and_then(|rest| rest.strip_suffix('"'))
            .filter(|text| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte)))
            .map(|text| vec![text.to_owned()])
            .unwrap_or_default(),
        (Some(TypeName::Int | TypeName::Float | TypeName::Duration), Some(default)) => vec![default.clone()],
        _ => Vec::new(),
    }
}

/// Adds to every option and operand what completes its value. A path without a rule here is completed as any path.
fn values(command: Command) -> Command {
    let name = command.get_name().to_owned();
    let command = command.mut_args(|arg| {
        let files: &[&'static str] = match (name.as_str(), arg.get_id().as_str()) {
            (_, "plan") | ("show" | "verify" | "sign" | "execute", "file") | ("diff", "a" | "b") => &["plan"],
            (_, "source") | ("check" | "fmt", "files") | ("opalc", "file") => &["opl"],
            ("disasm", "file") => &["opl", "plan"],
            ("opal", "target") => &["opl"],
            (_, "env" | "pass-env" | "public") => return arg.add(ArgValueCandidates::new(environment)),
            ("explain", "code") => return arg.add(ArgValueCandidates::new(codes)),
            ("man", "page") => return arg.add(ArgValueCandidates::new(pages)),
            _ => return arg,
        };
        let wanted = |path: &Path| path.extension().is_some_and(|extension| files.iter().any(|file| extension == *file));
        arg.add(ArgValueCompleter::new(PathCompleter::any().filter(move |path| path.is_file() && wanted(path))))
    });
    command.mut_subcommands(values)
}

fn environment() -> Vec<CompletionCandidate> {
    std::env::vars_os()
        .filter_map(|(name, _)| name.into_string().ok())
        .filter(|name| name != ASKING)
        .map(CompletionCandidate::new)
        .collect()
}

fn codes() -> Vec<CompletionCandidate> {
    explanations().map(|explanation| CompletionCandidate::new(explanation.code).help(Some(explanation.title.into()))).collect()
}

fn pages() -> Vec<CompletionCandidate> {
    man::pages().into_iter().map(|(name, _)| CompletionCandidate::new(name)).collect()
}

/// Bash. It cuts words at `=`, and takes candidates as text of its own to insert.
struct Bash;

const BASH: &str = r#"_NAME_complete() {
    local at word line
    local -a words=()
    COMPREPLY=()
    # Bash cuts a word at `=`. The program gets it whole, and its answers lose what stands before the cut.
    for ((at = 0; at <= COMP_CWORD; at++)); do
        word=${COMP_WORDS[at]}
        if ((at == COMP_CWORD)) && [[ $word != = ]]; then word=$2; fi
        if ((at > 1)) && [[ ${words[${#words[@]} - 1]} == --* && ($word == = || ${COMP_WORDS[at - 1]} == =) ]]; then
            words[${#words[@]} - 1]+=$word
        else
            words+=("$word")
        fi
    done
    local head=${words[${#words[@]} - 1]%"$2"}
    while IFS= read -r line; do
        line=${line#"$head"}
        if [[ ${COMP_WORDS[COMP_CWORD]} != [\"\']* ]]; then printf -v line %q "$line"; fi
        if [[ $line != *[=/] ]]; then line+=' '; fi
        COMPREPLY+=("$line")
    done < <(VAR=bash COMPLETER -- "${words[@]}" 2>/dev/null)
}
complete -o nospace -o bashdefault -o default -F _NAME_complete BIN
"#;

impl EnvCompleter for Bash {
    fn name(&self) -> &'static str {
        "bash"
    }

    fn is(&self, name: &str) -> bool {
        name == self.name()
    }

    fn write_registration(&self, var: &str, name: &str, bin: &str, completer: &str, out: &mut dyn io::Write) -> io::Result<()> {
        let script = BASH.replace("NAME", &name.replace('-', "_")).replace("VAR", var).replace("COMPLETER", completer).replace("BIN", bin);
        out.write_all(script.as_bytes())
    }

    fn write_complete(
        &self,
        command: &mut Command,
        words: Vec<OsString>,
        directory: Option<&Path>,
        out: &mut dyn io::Write,
    ) -> io::Result<()> {
        let at = words.len().saturating_sub(1);
        for candidate in clap_complete::engine::complete(command, words, at, directory)? {
            writeln!(out, "{}", candidate.get_value().to_string_lossy())?;
        }
        Ok(())
    }
}
