//! `opalc verify`: whether a contract's program is what a source compiles to.

use super::failure::{DIFFERS, Failure};
use super::{compile, console, contracts, files, keys, options};
use crate::contract::first_difference;
use opal_core::code::Code;
use opal_core::show::escape;
use serde_json::json;
use std::ffi::OsString;
use std::path::PathBuf;

pub(super) fn command() -> clap::Command {
    options::command("opalc verify", "Compile a source again and compare its program with a contract's, byte for byte")
        .arg(options::path("file", "FILE", "The contract; `-` is standard input").required(true))
        .arg(options::path("source", "S", "The source").long("source").required(true))
        .arg(options::flag("json", "The result as one JSON document"))
}

/// Runs the subcommand.
pub(super) fn run(words: Vec<OsString>) -> Result<(), Failure> {
    let matches = options::parse(command(), words)?;
    let path = matches.get_one::<PathBuf>("file").cloned().unwrap_or_default();
    let source_path = matches.get_one::<PathBuf>("source").cloned().unwrap_or_default();
    let plan = contracts::authenticate(&path)?;
    let contract = contracts::decode(&plan, &path)?;
    let source = files::read_source(&source_path)?;
    let compiled = compile::compile_again(&source, contract.header.target, &contract.terms.arguments)?;
    let difference = first_difference(contract.program, compiled.program.view());
    let same_text = contract.header.algorithm.plain(source.bytes()) == contract.header.source_hash;
    if matches.get_flag("json") {
        console::print_json(&json!({
            "schema": "opal/source-verification/v1",
            "program_same": difference.is_none(),
            "source_same": same_text,
            "differs_in": difference,
            "contract_hash": contract.contract_hash.to_string(),
            "signers": plan.signers().map(|key| key.fingerprint()).collect::<Vec<_>>(),
        }))?;
        // The document says it; another one would end up in the same stream.
        return if difference.is_some() { Err(Failure::Said(DIFFERS)) } else { Ok(()) };
    }
    if let Some(table) = difference {
        let why = if same_text { "although the source is the one it names" } else { "and the source is not the one it names" };
        return Err(Failure::new(
            Code::ProgramDiffers,
            format!("the program differs from what the source compiles to (in its {table}), {why}"),
        )
        .at(path.display().to_string())
        .with_help(format!("compare `opalc disasm {}` with `opalc disasm {}`", path.display(), source_path.display())));
    }
    let mut text = format!("the program of {} is what {} compiles to\n", shown(&path), shown(&source_path));
    if !same_text {
        text.push_str("the text of the source is not the one it was made from\n");
    }
    if plan.signers().len() == 0 {
        text.push_str("nobody has signed it\n");
    }
    for key in plan.signers() {
        text.push_str(&format!("signed by   {}\n", keys::describe(&key.fingerprint(), "")));
    }
    console::print(text.as_bytes())
}

fn shown(path: &std::path::Path) -> String {
    escape(path.to_string_lossy().as_bytes(), false)
}
