//! The command line of `opalc`: one module per subcommand. Results go to standard output, everything else to standard error.
//! Tests: `compiler/tests/cli`, through the real binary.

mod check;
mod compile;
mod console;
mod contracts;
mod disasm;
mod failure;
mod files;
mod host;
mod keygen;
mod keys;
mod options;
mod plan;
mod show;
mod sign;
mod verify;
mod words;

use crate::diagnostic::nearest;
use console::Color;
use failure::{BUG_HELP, Failure, exit};
use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

type Subcommand = fn(Vec<OsString>) -> Result<(), Failure>;

/// The subcommands. A file with one of these names is written `./NAME`.
const SUBCOMMANDS: &[(&str, Subcommand)] = &[
    ("check", check::run),
    ("show", show::run),
    ("verify", verify::run),
    ("sign", sign::run),
    ("keygen", keygen::run),
    ("disasm", disasm::run),
];

/// Runs the command line of this process.
#[must_use]
pub fn main() -> ExitCode {
    report_panics();
    let words: Vec<OsString> = std::env::args_os().skip(1).collect();
    let color = asked_color(&words);
    match run(words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            console::say(&failure.render(color.on_stderr()));
            ExitCode::from(failure.exit())
        }
    }
}

fn run(words: Vec<OsString>) -> Result<(), Failure> {
    let (name, words) = subcommand(words);
    match name {
        Some(run) => run(words),
        None => plan::run(words),
    }
}

/// The subcommand that the first word which is no option names, and the other words.
fn subcommand(mut words: Vec<OsString>) -> (Option<Subcommand>, Vec<OsString>) {
    let mut at = 0;
    // `--color` is the one option that may stand before the name of a subcommand.
    while let Some(word) = words.get(at).and_then(|word| word.to_str()) {
        match word {
            "--color" => at += 2,
            _ if word.starts_with("--color=") => at += 1,
            _ => break,
        }
    }
    let found = words.get(at).and_then(|word| SUBCOMMANDS.iter().find(|(name, _)| word == name));
    let Some((_, run)) = found else { return (None, words) };
    words.remove(at);
    (Some(*run), words)
}

/// A missing file whose name is nearly that of a subcommand.
fn maybe_misspelt(failure: Failure, file: &Path) -> Failure {
    let names = SUBCOMMANDS.iter().map(|(name, _)| *name);
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

/// A panic is a bug: it ends the process at once with the status for one, and says what to report.
fn report_panics() {
    std::panic::set_hook(Box::new(|panic| {
        // The message may quote a value, so only the place is shown.
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        console::say(&format!("error[internal]: this is a bug in opal\n  --> {place}\nhelp: {BUG_HELP}\n"));
        std::process::exit(i32::from(exit::BUG));
    }));
}
