//! Standard output and standard error.

use super::failure::{Failure, reason};
use opal_core::code::Code;
use opal_core::show::{Style, write_json};
use opal_vm::cli::ends::stdout_file;
use serde::Serialize;
use std::io::{self, IsTerminal as _, Write};

/// What `--color` says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Color {
    /// On a terminal that `TERM` names, unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// Yes.
    Always,
    /// No.
    Never,
}

impl Color {
    /// The choice with this name.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "auto" => Self::Auto,
            "always" => Self::Always,
            "never" => Self::Never,
            _ => return None,
        })
    }

    /// Whether standard error is coloured.
    pub(crate) fn on_stderr(self) -> bool {
        self.on(io::stderr().is_terminal())
    }

    fn on(self, terminal: bool) -> bool {
        let quiet = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb" || term.is_empty());
        match self {
            Self::Auto => !quiet && !dumb && terminal,
            Self::Always => true,
            Self::Never => false,
        }
    }
}

/// Whether standard output is a terminal.
pub(crate) fn stdout_is_terminal() -> bool {
    io::stdout().is_terminal()
}

/// How placeholders look on standard output.
pub(crate) fn stdout_style(color: Color) -> Style {
    match (color.on(stdout_is_terminal()), stdout_is_terminal()) {
        (true, _) => Style::Color,
        (false, true) => Style::Terminal,
        (false, false) => Style::Plain,
    }
}

/// Writes all bytes to standard output.
pub(crate) fn print(bytes: &[u8]) -> Result<(), Failure> {
    print_with(|out| out.write_all(bytes))
}

/// Writes to standard output what `write` makes.
pub(crate) fn print_with(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), Failure> {
    let written = stdout_file().and_then(|file| {
        let mut out = io::BufWriter::with_capacity(64 << 10, file);
        write(&mut out)?;
        out.flush()
    });
    written.map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::Pipe,
        _ => Failure::new(Code::CannotWrite, format!("cannot write to standard output: {}", reason(&error)))
            .with_help("free some space, or write elsewhere with `-o FILE`"),
    })
}

/// Writes to standard error. Where that is closed or full there is nobody to tell.
pub(crate) fn say(text: &str) {
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

/// Writes one JSON document and a line end to standard output.
pub(crate) fn print_json(document: &impl Serialize) -> Result<(), Failure> {
    print_with(|out| write_document(out, document))
}

/// Writes a JSON document and a line end.
pub(crate) fn write_document(out: &mut dyn Write, document: &impl Serialize) -> io::Result<()> {
    write_json(out, document)?;
    out.write_all(b"\n")
}
