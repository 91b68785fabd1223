//! The command lines of `opalc` and (in [`opal`]) of `opal`: one module per subcommand. Results go to standard output, everything else to standard error.
//! Tests: `compiler/tests/cli`, through the real binary.

mod agent;
mod attestation;
mod audience;
mod check;
mod commit;
mod compile;
mod completions;
mod console;
mod contracts;
mod diff;
mod disasm;
mod explain;
mod failure;
mod files;
mod fmt;
mod host;
mod keygen;
mod keys;
mod known_hosts;
mod man;
pub mod opal;
mod options;
mod passphrase;
mod plan;
mod regen_root;
mod seed;
mod show;
mod sign;
mod signer;
mod verify;
mod vouch;
mod words;

use crate::diagnostic::nearest;
use console::Color;
use failure::{BUG_HELP, Failure};
use opal_core::code::Code;
use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

type Work = fn(Vec<OsString>) -> Result<(), Failure>;
/// One subcommand: its name, what runs it, and its definition.
type Subcommand = (&'static str, Work, fn() -> clap::Command);

/// The subcommands. A file with one of these names is written `./NAME`.
const SUBCOMMANDS: &[Subcommand] = &[
    ("check", check::run, check::command),
    ("fmt", fmt::run, fmt::command),
    ("explain", explain::run, explain::command),
    ("show", show::run, show::command),
    ("diff", diff::run, diff::command),
    ("verify", verify::run, verify::command),
    ("sign", sign::run, sign::command),
    ("vouch", vouch::run, vouch::command),
    ("keygen", keygen::run, keygen::command),
    ("disasm", disasm::run, disasm::command),
    ("completions", completions::run, completions::command),
    ("man", man::run, man::command),
];

/// The definitions of the subcommands, for the one of `opalc`.
fn definitions() -> impl Iterator<Item = clap::Command> {
    SUBCOMMANDS.iter().map(|(name, _, command)| command().name(*name))
}

/// The three programs, as their help, manual and completions show them.
#[must_use]
pub fn programs() -> [clap::Command; 3] {
    [plan::command(), opal::command(), opal_vm::cli::command()]
}

/// Stack for parsing and lowering, which recurse as deep as a source may nest.
const STACK_SIZE: usize = 32 << 20;

/// Runs the command line of this process.
#[must_use]
pub fn main() -> ExitCode {
    report_panics();
    let words: Vec<OsString> = std::env::args_os().skip(1).collect();
    if let Some(shell) = completions::asking(&words) {
        return completions::answer(shell, words);
    }
    ExitCode::from(on_a_large_stack(move || work(words)).unwrap_or_else(|status| status))
}

/// Does work that recurses as deep as a source nests: how deep that may be must not depend on the stack that this process happens to have.
/// The error is an exit status; its cause has been said.
fn on_a_large_stack<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, u8> {
    let spawned = std::thread::Builder::new().stack_size(STACK_SIZE).spawn(work);
    match spawned.map(std::thread::JoinHandle::join) {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(_)) => Err(Code::Internal.exit()),
        Err(error) => {
            let failure = Failure::new(Code::NoThread, format!("cannot start: {}", failure::reason(&error)));
            console::say(&failure.with_help("look at `ulimit -a`").render(false));
            Err(Code::NoThread.exit())
        }
    }
}

fn work(words: Vec<OsString>) -> u8 {
    let color = asked_color(&words);
    let json = asks_json(&words);
    let Err(failure) = run(words) else { return 0 };
    refuse(&failure, color, json)
}

/// Says why the command ends, and gives its exit status.
fn refuse(failure: &Failure, color: Color, json: bool) -> u8 {
    if let Some(document) = failure.to_json().filter(|_| json) {
        // Standard error still says it where standard output cannot be written.
        let _ = console::print_json(&document);
    }
    console::say(&failure.render(color.on_stderr()));
    failure.exit()
}

fn run(words: Vec<OsString>) -> Result<(), Failure> {
    let (run, words) = subcommand(words);
    match run {
        Some(run) => run(words),
        None => plan::run(words),
    }
}

/// The subcommand that the first word which is no option names, and the other words.
fn subcommand(mut words: Vec<OsString>) -> (Option<Work>, Vec<OsString>) {
    let mut at = 0;
    // `--color` is the one option that may stand before the name of a subcommand.
    while let Some(word) = words.get(at).and_then(|word| word.to_str()) {
        match word {
            "--color" => at += 2,
            _ if word.starts_with("--color=") => at += 1,
            _ => break,
        }
    }
    let found = words.get(at).and_then(|word| SUBCOMMANDS.iter().find(|(name, ..)| word == name));
    let Some((_, run, _)) = found else { return (None, words) };
    words.remove(at);
    (Some(*run), words)
}

/// A missing file whose name is nearly that of a subcommand.
fn maybe_misspelt(failure: Failure, file: &Path) -> Failure {
    let names = SUBCOMMANDS.iter().map(|(name, ..)| *name);
    match file.to_str().and_then(|file| nearest(file, names)) {
        Some(name) if !file.exists() => failure.with_help(format!("did you mean `opalc {name}`?")),
        _ => failure,
    }
}

/// What `--color` says, found without parsing the rest, so that a wrong command line is reported in colour too.
fn asked_color(words: &[OsString]) -> Color {
    let words: Vec<&str> = words.iter().take_while(|word| *word != "--").filter_map(|word| word.to_str()).collect();
    let attached = words.iter().find_map(|word| word.strip_prefix("--color="));
    let next = words.iter().position(|word| *word == "--color").and_then(|at| words.get(at + 1).copied());
    attached.or(next).and_then(Color::from_name).unwrap_or_default()
}

/// What a parsed `--color` says.
fn asked_color_of(matches: &clap::ArgMatches) -> Color {
    matches.get_one::<String>("color").and_then(|name| Color::from_name(name)).unwrap_or_default()
}

/// Whether JSON was asked for, so that a refusal comes as a document too.
fn asks_json(words: &[OsString]) -> bool {
    let words: Vec<&str> = words.iter().take_while(|word| *word != "--").filter_map(|word| word.to_str()).collect();
    words.iter().any(|word| matches!(*word, "--json" | "--format=json")) || words.windows(2).any(|pair| pair == ["--format", "json"])
}

/// A panic is a bug: it ends the process at once with the status for one, and says what to report.
fn report_panics() {
    std::panic::set_hook(Box::new(|panic| {
        // The message may quote a value, so only the place is shown.
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        console::say(&format!("error[internal]: this is a bug in opal\n  --> {place}\nhelp: {BUG_HELP}\n"));
        std::process::exit(i32::from(Code::Internal.exit()));
    }));
}
