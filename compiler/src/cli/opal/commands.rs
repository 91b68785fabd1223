//! Finds `commands.opl`, and lists what is in it.

use super::super::failure::{Failure, reason};
use super::super::{compile, console, host};
use crate::check::{self, shape::value_type};
use crate::lower::{self, CommandSummary};
use crate::source::{SOURCE_SIZE_MAX, Source};
use opal_core::code::Code;
use opal_core::show::escape;
use opal_trust::locations::HostPaths;
use opal_trust::safe_path::{PathCause, SafeDir, SafePathError, forbid};
use serde_json::json;
use std::fmt::Write as _;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// The file that holds the commands of a directory and those below it.
pub(super) const NAME: &str = "commands.opl";

/// A command file. Its directory is the current one now.
#[derive(Debug)]
pub(super) struct Found {
    /// Where it is.
    pub path: PathBuf,
    /// Its text.
    pub source: Source,
}

/// Finds the command file, here or upwards, goes to its directory, and says where that is if it is another one.
///
/// The search stops at the home directory and where another file system begins. Nobody but its owner and root may be able to write to the
/// file and its directory: what a stranger put there is refused, never run, and never passed over for another one.
pub(super) fn find() -> Result<Found, Failure> {
    let start = host::base_directory()?;
    let (dir, source) = read(&start)?;
    let path = dir.join(NAME);
    if dir != start {
        std::env::set_current_dir(&dir).map_err(|error| unreadable(&dir, &error))?;
        console::say(&format!("using {}\n", escape(path.as_os_str().as_encoded_bytes(), false)));
    }
    Ok(Found { path, source })
}

/// The command file that [`find`] would find, if there is one and it is not refused. Says nothing and goes nowhere.
pub(in super::super) fn look() -> Option<Source> {
    Some(read(&host::base_directory().ok()?).ok()?.1)
}

/// The directory of the command file for `start`, and its text.
fn read(start: &Path) -> Result<(PathBuf, Source), Failure> {
    let paths = HostPaths::from_environment();
    let (dir, top) = search(start, paths.home.as_deref())?;
    let Some(dir) = dir else {
        let above = if top == start { String::new() } else { format!(", nor above it up to `{}`", top.display()) };
        return Err(Failure::new(Code::NoCommands, format!("there is no `{NAME}` in `{}`{above}", start.display()))
            .with_help(format!("write one: `echo 'hello: echo hello' > {NAME}`; or name a file: `opal ./FILE.opl`")));
    };
    let path = dir.join(NAME);
    let limit = SOURCE_SIZE_MAX as u64;
    let read = SafeDir::open(&dir, paths.euid).and_then(|dir| match dir {
        Some(dir) => dir.read_file(NAME, forbid::WRITING, limit),
        None => Ok(None),
    });
    let bytes = read.map_err(|error| refused(&error))?.ok_or_else(|| unreadable(&path, &io::ErrorKind::NotFound.into()))?;
    Ok((dir, Source::new(NAME, bytes)))
}

/// Whether there is a command file that has this command. Says nothing.
pub(super) fn exists(name: &str) -> bool {
    let home = HostPaths::from_environment().home;
    let dir = host::base_directory().ok().and_then(|start| search(&start, home.as_deref()).ok()?.0);
    let Some(bytes) = dir.and_then(|dir| super::super::files::read_small(&dir.join(NAME), SOURCE_SIZE_MAX).ok()) else { return false };
    let source = Source::new(NAME, bytes);
    // One that does not parse is reported where it is used.
    compile::parse(&source).map_or(true, |parsed| lower::commands(&source, &parsed.file).iter().any(|command| command.name == name))
}

/// The nearest directory with a command file, and the last one that was looked into.
fn search(start: &Path, home: Option<&Path>) -> Result<(Option<PathBuf>, PathBuf), Failure> {
    let home = home.and_then(|home| std::fs::canonicalize(home).ok());
    let mut dir = start;
    loop {
        let path = dir.join(NAME);
        match path.symlink_metadata() {
            Ok(_) => return Ok((Some(dir.to_owned()), dir.to_owned())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(unreadable(&path, &error)),
        }
        let device = |dir: &Path| dir.metadata().map(|data| data.dev()).ok();
        match dir.parent() {
            Some(parent) if home.as_deref() != Some(dir) && device(dir) == device(parent) => dir = parent,
            _ => return Ok((None, dir.to_owned())),
        }
    }
}

fn unreadable(path: &Path, error: &io::Error) -> Failure {
    Failure::new(Code::FileUnreadable, format!("cannot read `{}`: {}", path.display(), reason(error)))
        .with_help(format!("check the permissions on the way: `namei -l {}`", path.display()))
}

/// A command file or directory that is not believed is a wrong configuration; one that cannot be read is a missing input.
fn refused(error: &SafePathError) -> Failure {
    match error.cause {
        PathCause::Read(errno) => unreadable(&error.path, &errno.into()),
        _ => Failure::host(error),
    }
}

/// Shows the commands of a file: parameters, defaults, and the comment above each.
pub(super) fn list(found: &Found, json: bool) -> Result<(), Failure> {
    let parsed = compile::parse(&found.source)?;
    let commands = lower::commands(&found.source, &parsed.file);
    if json {
        return console::print_json(&json!({
            "schema": "opal/commands/v1",
            "file": found.path.display().to_string(),
            "commands": commands.iter().map(to_json).collect::<Vec<_>>(),
        }));
    }
    if commands.is_empty() {
        let next = if check::is_script(&parsed.file) {
            format!("`opal {}` runs its body", found.path.display())
        } else {
            format!("write one: `echo 'hello: echo hello' >> {NAME}`")
        };
        console::say(&format!("{NAME} has no commands\nhelp: {next}\n"));
        return Ok(());
    }
    let shown: Vec<String> = commands.iter().map(|command| escape(command.to_string().as_bytes(), false)).collect();
    let width = |text: &String| text.chars().count();
    let column = shown.iter().map(width).filter(|width| *width <= 48).max().unwrap_or(0);
    let mut text = String::new();
    for (command, shown) in commands.iter().zip(&shown) {
        let _ = write!(text, "  {shown}");
        // A long heading has a line of its own.
        let mut at = width(shown);
        for line in command.comment.lines() {
            if at > column {
                text.push('\n');
                at = 0;
            }
            let _ = write!(text, "{:1$}{line}", "", column - at + if at == 0 { 5 } else { 3 }, line = escape(line.as_bytes(), false));
            at = usize::MAX;
        }
        text.push('\n');
    }
    console::print(text.as_bytes())
}

fn to_json(command: &CommandSummary) -> serde_json::Value {
    let parameters = command.parameters.iter().map(|parameter| {
        json!({
            "name": parameter.name,
            "type": parameter.reads_as.map(|kind| value_type(kind).name()),
            "default": parameter.default,
            "required": parameter.default.is_none(),
        })
    });
    json!({"name": command.name, "parameters": parameters.collect::<Vec<_>>(), "comment": command.comment})
}
