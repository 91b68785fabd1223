//! `opalc check`: what is wrong with sources, without planning anything.

use super::failure::{Failure, NO_PROGRAM, render};
use super::{compile, console, files, options};
use crate::diagnostic::{Applicability, Diagnostic, escape, repair, to_json, to_sarif};
use crate::source::Source;
use serde_json::json;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

pub(super) fn command() -> clap::Command {
    options::command("opalc check", "Say what is wrong with sources, without planning anything")
        .arg(options::path("files", "FILE", "Sources; `-` is standard input").required(true).num_args(1..))
        .arg(options::format(&["text", "json", "sarif"]))
        .arg(options::flag("json", "The same as `--format json`"))
        .arg(options::flag("deny-warnings", "End with 65 where there are warnings too"))
        .arg(options::flag("fix", "Change the sources first, where the change can only be what was meant; say what is left"))
}

/// What was looked at so far.
#[derive(Default)]
struct Found {
    sources: Vec<(Source, Vec<Diagnostic>)>,
    /// Why some sources could not be read.
    unread: Vec<String>,
    /// Exit status: the first cause counts.
    status: u8,
}

/// Runs the subcommand.
pub(super) fn run(words: Vec<OsString>) -> Result<(), Failure> {
    let color = super::asked_color(&words).on_stderr();
    let matches = options::parse(command(), words)?;
    let json = options::wants_json(&matches);
    let sarif = !json && matches.get_one::<String>("format").is_some_and(|format| format == "sarif");
    let deny = matches.get_flag("deny-warnings");
    let fix = matches.get_flag("fix");
    let mut found = Found::default();
    for path in matches.get_many::<PathBuf>("files").into_iter().flatten() {
        let looked = if fix { repaired(path) } else { files::read_source(path).map(|source| (compile::check(&source), source)) };
        let (diagnostics, source) = match looked {
            Ok(looked) => looked,
            // The other files are still looked at.
            Err(failure) => {
                let said = failure.render(color);
                console::say(&said);
                found.unread.push(failure.render(false).trim_end().to_owned());
                found.refuse(failure.exit());
                continue;
            }
        };
        if diagnostics.iter().any(|diagnostic| deny || diagnostic.is_error()) {
            found.refuse(NO_PROGRAM);
        }
        if json || sarif {
            found.sources.push((source, diagnostics));
        } else {
            console::say(&render(&source, &diagnostics, color));
            console::say(&offer(&source, &diagnostics));
            if deny && !diagnostics.is_empty() && !diagnostics.iter().any(Diagnostic::is_error) {
                console::say("note: `--deny-warnings` counts these warnings as errors\n");
            }
        }
    }
    if sarif {
        console::print_json(&to_sarif(&found.sources, &found.unread))?;
    } else if json {
        let all = found.sources.iter().flat_map(|(source, diagnostics)| diagnostics.iter().map(|diagnostic| to_json(source, diagnostic)));
        console::print_json(&json!({"schema": "opal/diagnostics/v1", "diagnostics": all.collect::<Vec<_>>()}))?;
    }
    if found.status == 0 { Ok(()) } else { Err(Failure::Said(found.status)) }
}

/// A source after its file was changed where a program may change it, and what there is left to say about it.
fn repaired(path: &Path) -> Result<(Vec<Diagnostic>, Source), Failure> {
    if path.as_os_str() == files::STANDARD {
        return Err(Failure::usage("`--fix` changes files, and standard input is none").with_help("name the file"));
    }
    let source = files::read_source(path)?;
    let (fixed, diagnostics, made) = repair(&source, compile::check);
    if made > 0 {
        files::Destination::new(path, &[])?.write(fixed.bytes())?;
        let name = escape(fixed.name());
        console::say(&format!("note: {made} {} fixed in `{name}`\n", if made == 1 { "message was" } else { "messages were" }));
    }
    Ok((diagnostics, fixed))
}

/// What `--fix` would do.
fn offer(source: &Source, diagnostics: &[Diagnostic]) -> String {
    let machine = |diagnostic: &&Diagnostic| diagnostic.fixes.iter().any(|fix| fix.applicability == Applicability::Machine);
    match diagnostics.iter().filter(machine).count() {
        0 => String::new(),
        count => {
            let what = if count == 1 { "one of these".to_owned() } else { format!("{count} of these") };
            format!("note: `opalc check --fix {}` fixes {what}\n", escape(source.name()))
        }
    }
}

impl Found {
    fn refuse(&mut self, status: u8) {
        if self.status == 0 {
            self.status = status;
        }
    }
}
