//! `opalc show`: what a contract is, as `opal-vm inspect` says it, in any form; and what a vouch or receipt is.

use super::failure::Failure;
use super::files::Destination;
use super::{asked_color_of, attestation, console, contracts, files, options, signer};
use crate::view::{Page, write_page};
use clap::ArgMatches;
use opal_core::code::Code;
use opal_core::show::{Style, json_text};
use opal_format::attestation::START;
use opal_format::limits::FILE_SIZE;
use opal_format::program_hash::program_hash;
use opal_format::read_file::read_bytes;
use opal_format::reader::RawPlan;
use opal_trust::input::Input;
use opal_trust::vouch::Vouches;
use opal_view::contract::{self, SHOWN_MAX};
use opal_vm::cli::inspect::unscrubbed_reasons;
use std::ffi::OsString;
use std::path::PathBuf;

pub(super) fn command() -> clap::Command {
    options::command("opalc show", "Show what a contract, a vouch or a receipt is; needs no key and no source")
        .arg(options::path("file", "FILE", "The contract, vouch or receipt; `-` is standard input").required(true))
        .arg(options::format(options::VIEWS))
        .arg(options::flag("json", "The same as `--format json`"))
        .arg(options::flag("all", "Show all steps and values in a tree, however many"))
        .arg(options::flag("in-toto", "Show a vouch or receipt as an in-toto statement in a DSSE envelope, signed now"))
        .arg(signer::argument().requires("in-toto"))
        .arg(options::repeated("vouch", "F", "A vouch for it or for its work").value_parser(clap::value_parser!(PathBuf)))
        .arg(options::repeated("identity", "FILE", "A private key that opens the contract").value_parser(clap::value_parser!(PathBuf)))
        .arg(options::path("output", "FILE", "Where the result goes; `-` is standard output").short('o').long("output"))
}

/// Runs the subcommand.
pub(crate) fn run(words: Vec<OsString>) -> Result<(), Failure> {
    let matches = options::parse(command(), words)?;
    let path = matches.get_one::<PathBuf>("file").cloned().unwrap_or_default();
    let form = if options::wants_json(&matches) { "json" } else { matches.get_one::<String>("format").map_or("tree", String::as_str) };
    let all = matches.get_flag("all");
    if all && form != "tree" {
        return Err(Failure::new(Code::Usage, format!("`--all` has no meaning for {form}")).with_help("leave it out"));
    }
    let output = matches.get_one::<PathBuf>("output").cloned().unwrap_or_else(|| PathBuf::from(files::STANDARD));
    let destination = Destination::new(&output, &[&path])?;
    // One look at the file: what it is, is not asked of a second reading.
    let bytes = read_bytes(&path, FILE_SIZE).map_err(|error| Failure::read_plan(&error, &path))?;
    if bytes.starts_with(START) {
        return show_attestation(&attestation::read(&bytes, &path)?, form, &matches, &destination);
    }
    if matches.get_flag("in-toto") {
        return Err(Failure::usage("`--in-toto` shows a vouch or a receipt").with_help("`opalc vouch FILE.plan -o FILE` makes a vouch"));
    }
    let raw = RawPlan::new(bytes, FILE_SIZE).map_err(|error| Failure::format(&error, &path))?;
    let plan = raw.authenticate().map_err(|error| Failure::format(&error, &path))?;
    let contract = contracts::decode(&plan, &path)?;
    let named: Vec<Input> = matches.get_many::<PathBuf>("vouch").into_iter().flatten().cloned().map(Input::from).collect();
    let vouches = Vouches::read(&named).and_then(|vouches| vouches.check(&contract.contract_hash, &contract.header.plan_hash));
    let vouches = vouches.map_err(|error| Failure::host(&error))?;
    let keys: Vec<Input> = matches.get_many::<PathBuf>("identity").into_iter().flatten().cloned().map(Input::from).collect();
    let known = unscrubbed_reasons(&contract, &keys).map_err(|refusal| Failure::vm(&refusal))?;
    let style = match destination {
        Destination::Standard => console::stdout_style(asked_color_of(&matches)),
        _ => Style::Plain,
    };
    destination.write_with(|out| match form {
        "json" => console::write_document(out, &contract::document(&plan, &contract, &vouches, &known)),
        "tree" => contract::summary(out, &plan, &contract, &vouches, &known, style, if all { None } else { Some(SHOWN_MAX) }),
        form => {
            let mut facts = contract::facts(&plan, &contract, &vouches, &known);
            facts.push(contract::fact("program", program_hash(&contract.program).to_string()));
            write_page(out, form, Page { plan: contract::plan_view(&contract, &known), facts })
        }
    })
}

fn show_attestation(shown: &attestation::Shown, form: &str, matches: &ArgMatches, destination: &Destination) -> Result<(), Failure> {
    let text = match form {
        _ if matches.get_flag("in-toto") => format!("{}\n", json_text(&shown.in_toto(&signer::from_matches(matches)?)?)),
        "json" => format!("{}\n", json_text(&shown.document())),
        "tree" => shown.text(),
        form => return Err(Failure::usage(format!("a vouch or receipt is not shown as {form}")).with_help("`--json`, or `--in-toto`")),
    };
    destination.write(text.as_bytes())
}
