//! `opalc show`: what a contract is, as `opal-vm inspect` says it.

use super::failure::Failure;
use super::{console, contracts, options};
use opal_vm::cli::inspect;
use std::ffi::OsString;
use std::path::PathBuf;

fn command() -> clap::Command {
    options::command("opalc show", "Show what a contract is; needs no key and no source")
        .arg(options::path("file", "FILE", "The contract; `-` is standard input").required(true))
        .arg(options::format(&["tree", "json"]))
        .arg(options::flag("json", "The same as `--format json`"))
}

/// Runs the subcommand.
pub(crate) fn run(words: Vec<OsString>) -> Result<(), Failure> {
    let matches = options::parse(command(), words)?;
    let path = matches.get_one::<PathBuf>("file").cloned().unwrap_or_default();
    let plan = contracts::authenticate(&path)?;
    let contract = contracts::decode(&plan, &path)?;
    if options::wants_json(&matches) {
        return console::print_json(&inspect::document(&plan, &contract));
    }
    console::print(inspect::summary(&plan, &contract, console::stdout_style()).as_bytes())
}
