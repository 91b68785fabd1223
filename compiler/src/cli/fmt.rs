//! `opalc fmt`: the one layout of sources, in place or as a check.

use super::failure::{Failure, NO_PROGRAM};
use super::{console, files, options};
use crate::formatter::{FormatError, format};
use crate::source::Source;
use opal_core::show::escape;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// With `--check`: some source is not laid out.
const WOULD_CHANGE: u8 = 1;

pub(super) fn command() -> clap::Command {
    options::command("opalc fmt", "Lay sources out in the one way, in place")
        .arg(options::path("files", "FILE", "Sources; `-` reads standard input and writes standard output").required(true).num_args(1..))
        .arg(options::flag("check", "Write nothing; list the sources that would change, and exit with 1 if there are any"))
}

/// Runs the subcommand.
pub(super) fn run(words: Vec<OsString>) -> Result<(), Failure> {
    let color = super::asked_color(&words).on_stderr();
    let matches = options::parse(command(), words)?;
    let paths: Vec<&PathBuf> = matches.get_many("files").into_iter().flatten().collect();
    let check = matches.get_flag("check");
    let mut status = 0;
    let mut changed = false;
    for path in paths {
        match lay_out(path, check) {
            Ok(same) => changed |= !same,
            Err(Failure::Pipe) => return Err(Failure::Pipe),
            // The other files are still laid out.
            Err(failure) => {
                console::say(&failure.render(color));
                if status == 0 {
                    status = failure.exit();
                }
            }
        }
    }
    match status {
        0 if check && changed => Err(Failure::Said(WOULD_CHANGE)),
        0 => Ok(()),
        _ => Err(Failure::Said(status)),
    }
}

/// Whether the source was laid out already. If not, it is now, unless it is only checked.
fn lay_out(path: &Path, check: bool) -> Result<bool, Failure> {
    let source = files::read_source(path)?;
    let text = format(&source).map_err(|error| match error {
        FormatError::Source(diagnostics) => Failure::Source { exit: NO_PROGRAM, source: Box::new(source.clone()), diagnostics },
        FormatError::Changed => Failure::bug(error.to_string()).at(source.name()),
    })?;
    let same = text.as_bytes() == source.bytes();
    if check {
        if !same {
            console::print(format!("{}\n", escape(source.name().as_bytes(), false)).as_bytes())?;
            console::say(&first_difference(&source, &text));
        }
    } else if path.as_os_str() == files::STANDARD {
        console::print(text.as_bytes())?;
    } else if !same {
        files::Destination::new(path, &[])?.write(text.as_bytes())?;
    }
    Ok(same)
}

/// The first lines that differ, with their number in the source.
fn first_difference(source: &Source, text: &str) -> String {
    // Line ends count as well, so they stay on the lines.
    let before: Vec<&str> = source.text().split_inclusive('\n').collect();
    let after: Vec<&str> = text.split_inclusive('\n').collect();
    let same = before.iter().zip(&after).take_while(|(one, two)| one == two).count();
    let shown = |sign: char, line: Option<&&str>| {
        let line = line?;
        let line = line.strip_suffix('\n').unwrap_or(line);
        Some(format!("{sign} {}\n", escape(line.as_bytes(), false)))
    };
    let name = escape(source.name().as_bytes(), false);
    let lines = [shown('-', before.get(same)), shown('+', after.get(same))];
    format!("{name}:{}\n{}", same + 1, lines.into_iter().flatten().collect::<String>())
}
