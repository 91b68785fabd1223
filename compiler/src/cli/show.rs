//! `opalc show`: what a contract is, as `opal-vm inspect` says it, in any form.

use super::failure::{Failure, exit};
use super::files::Destination;
use super::{asked_color_of, console, contracts, files, options};
use crate::view::{Page, write_page};
use opal_vm::cli::inspect;
use opal_vm::cli::output::write_document;
use opal_vm::view::Style;
use std::ffi::OsString;
use std::path::PathBuf;

pub(super) fn command() -> clap::Command {
    options::command("opalc show", "Show what a contract is; needs no key and no source")
        .arg(options::path("file", "FILE", "The contract; `-` is standard input").required(true))
        .arg(options::format(options::VIEWS))
        .arg(options::flag("json", "The same as `--format json`"))
        .arg(options::flag("all", "Show all steps and values in a tree, however many"))
        .arg(options::path("output", "FILE", "Where the result goes; `-` is standard output").short('o').long("output"))
}

/// Runs the subcommand.
pub(crate) fn run(words: Vec<OsString>) -> Result<(), Failure> {
    let matches = options::parse(command(), words)?;
    let path = matches.get_one::<PathBuf>("file").cloned().unwrap_or_default();
    let form = if options::wants_json(&matches) { "json" } else { matches.get_one::<String>("format").map_or("tree", String::as_str) };
    let all = matches.get_flag("all");
    if all && form != "tree" {
        return Err(Failure::new(exit::USAGE, "usage", format!("`--all` has no meaning for {form}")).with_help("leave it out"));
    }
    let output = matches.get_one::<PathBuf>("output").cloned().unwrap_or_else(|| PathBuf::from(files::STANDARD));
    let destination = Destination::new(&output, &[&path])?;
    let plan = contracts::authenticate(&path)?;
    let contract = contracts::decode(&plan, &path)?;
    let style = match destination {
        Destination::Standard => console::stdout_style(asked_color_of(&matches)),
        _ => Style::Plain,
    };
    destination.write_with(|out| match form {
        "json" => write_document(out, &inspect::document(&plan, &contract)),
        "tree" => inspect::summary(out, &plan, &contract, style, if all { None } else { Some(inspect::SHOWN_MAX) }),
        form => write_page(out, form, &Page { plan: inspect::plan_view(&contract), facts: inspect::facts(&plan, &contract) }),
    })
}
