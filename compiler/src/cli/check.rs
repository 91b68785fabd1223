//! `opalc check`: what is wrong with sources, without planning anything.

use super::failure::{Failure, exit, render};
use super::{compile, console, files, options};
use crate::diagnostic::{Diagnostic, to_json};
use serde_json::json;
use std::ffi::OsString;
use std::path::PathBuf;

fn command() -> clap::Command {
    options::command("opalc check", "Say what is wrong with sources, without planning anything")
        .arg(options::path("files", "FILE", "Sources; `-` is standard input").required(true).num_args(1..))
        .arg(options::format(&["text", "json"]))
        .arg(options::flag("json", "The same as `--format json`"))
}

/// Runs the subcommand.
pub(super) fn run(words: Vec<OsString>) -> Result<(), Failure> {
    let color = super::asked_color(&words).on_stderr();
    let matches = options::parse(command(), words)?;
    let paths: Vec<&PathBuf> = matches.get_many("files").into_iter().flatten().collect();
    let json = options::wants_json(&matches);
    let mut status = 0;
    let mut found = Vec::new();
    for path in paths {
        let source = match files::read_source(path) {
            Ok(source) => source,
            // The other files are still looked at.
            Err(failure) => {
                console::say(&failure.render(color));
                status = failure.exit();
                continue;
            }
        };
        let diagnostics = compile::check(&source);
        if diagnostics.iter().any(Diagnostic::is_error) && status == 0 {
            status = exit::DATA;
        }
        if json {
            found.extend(diagnostics.iter().map(|diagnostic| to_json(&source, diagnostic)));
        } else {
            console::say(&render(&source, &diagnostics, color));
        }
    }
    if json {
        console::print_json(&json!({"schema": "opal/diagnostics/v1", "diagnostics": found}))?;
    }
    if status == 0 { Ok(()) } else { Err(Failure::Said(status)) }
}
