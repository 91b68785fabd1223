//! `opalc disasm`: the program of a source or of a contract, as a listing.

use super::failure::Failure;
use super::{compile, console, files, options, words};
use crate::disassemble::disassemble;
use opal_format::header::MAGIC;
use opal_format::limits::FILE_SIZE;
use opal_format::reader::RawPlan;
use std::ffi::OsString;

pub(super) fn command() -> clap::Command {
    options::command("opalc disasm", "List the program of a source, or of a contract")
        .override_usage("opalc disasm FILE [TARGET] [ARGS]")
        .args([
            options::path("file", "FILE", "A source or a contract; `-` is standard input"),
            clap::Arg::new("target").value_name("TARGET").help("The command of a source"),
            clap::Arg::new("arguments").value_name("ARGS").help("Arguments of the target").num_args(0..),
        ])
        .after_help("FILE is a source or a contract. TARGET and ARGS are those of a source, as for `opalc FILE`.")
}

fn is_option(name: &str) -> bool {
    command().get_arguments().any(|argument| argument.get_long() == Some(name))
}

/// Runs the subcommand.
pub(super) fn run(words: Vec<OsString>) -> Result<(), Failure> {
    let color = super::asked_color(&words).on_stderr();
    let command = command();
    let words = words::split(&command, words)?;
    options::parse(command, words.options.clone())?;
    let path = words.file()?;
    let bytes = files::read_either(&path, FILE_SIZE)?;
    if !bytes.starts_with(&MAGIC) {
        let source = files::source(&path, bytes);
        let compiled = compile::compile(&source, &words, &is_option)?;
        console::say(&compile::warnings(&source, &compiled, color));
        return console::print(disassemble(compiled.program.view()).as_bytes());
    }
    if words.target.is_some() || !words.arguments.is_empty() {
        return Err(Failure::usage("a contract has its target already").with_help("`opalc disasm FILE.plan`"));
    }
    let refuse = |error| Failure::format(&error, &path);
    let plan = RawPlan::copy(&bytes, FILE_SIZE).and_then(RawPlan::authenticate).map_err(refuse)?;
    // Not verified: a listing is what one wants of a program that is refused.
    let contract = plan.decode().map_err(refuse)?;
    console::print(disassemble(contract.program).as_bytes())
}
