//! `opal run` and `opal execute`: command lines of `opal-vm` under the name that the caller used.

use super::super::failure::Failure;
use super::super::options::{self, flag};
use super::line::Line;
use clap::Command;
use std::ffi::OsString;

/// What `opal-vm` defines for a command of its own.
fn of_vm(name: &str) -> Command {
    opal_vm::cli::command().find_subcommand(name).cloned().unwrap_or_default()
}

pub(super) fn run() -> Command {
    of_vm("run").name("opal run")
}

pub(super) fn execute() -> Command {
    let verify = of_vm("verify");
    let known = |arg: &clap::Arg| verify.get_arguments().any(|other| other.get_id() == arg.get_id());
    let of_run = of_vm("run");
    let only_run: Vec<_> = of_run.get_arguments().filter(|arg| !known(arg)).map(|arg| arg.get_id().clone()).collect();
    let operand = of_run.get_arguments().find(|arg| arg.get_id() == "plan").cloned().unwrap_or_else(|| clap::Arg::new("plan"));
    let operand = clap::Arg::new("file").value_name("FILE").required(true).help(operand.get_help().cloned().unwrap_or_default());
    let others: Vec<_> = of_run.get_arguments().filter(|arg| arg.get_id() != "plan").cloned().collect();
    Command::new("opal execute")
        .about("Verifies a contract and runs the fresh plan: `opal run --plan FILE`")
        .arg(operand)
        .arg(flag("verify", "Run nothing: do everything up to the comparison with this host").conflicts_with_all(only_run))
        .args(others)
}

/// The command line of `opal-vm` for `opal run`, if it is one.
pub(super) fn run_words(rest: Vec<OsString>) -> Result<Vec<OsString>, Failure> {
    options::parse(run(), rest.clone())?;
    Ok(words("run", rest))
}

/// The command line of `opal-vm` for `opal execute`, if it is one.
pub(super) fn execute_words(rest: Vec<OsString>) -> Result<Vec<OsString>, Failure> {
    let definition = execute();
    options::parse(definition.clone(), rest.clone())?;
    let line = Line::new(&definition, rest);
    let mut plan = OsString::from("--plan=");
    plan.push(line.first.unwrap_or_default());
    let all: Vec<OsString> = line.options.into_iter().chain(line.rest).collect();
    let name = if all.iter().any(|word| word == "--verify") { "verify" } else { "run" };
    Ok(words(name, all.into_iter().filter(|word| word != "--verify" && word != "--").chain([plan]).collect()))
}

fn words(name: &str, rest: Vec<OsString>) -> Vec<OsString> {
    ["opal", name].into_iter().map(OsString::from).chain(rest).collect()
}
