//! What a command ends with when it does not succeed: one cause, one code, one exit status, where, and what to do.

use crate::failure::Failure;
use crate::program::verify::VerifyError;
use crate::show::{shown, visible};
use opal_format::error::FormatError;
use opal_format::read_file::ReadFileError;
use opal_format::record::Span;
use std::fmt::Write as _;

/// A refusal. Its texts hold no secret; they are escaped where they are shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Stable code.
    pub code: String,
    /// Exit status.
    pub exit: u8,
    /// One cause.
    pub message: String,
    /// Where, in lines of its own.
    pub place: Vec<String>,
    /// What to do.
    pub help: Option<String>,
}

impl Refusal {
    /// A refusal without place and help.
    #[must_use]
    pub fn new(code: &str, exit: u8, message: impl Into<String>) -> Self {
        Self { code: code.to_owned(), exit, message: message.into(), place: Vec::new(), help: None }
    }

    /// Says where.
    #[must_use]
    pub fn at(mut self, place: impl Into<String>) -> Self {
        self.place.push(place.into());
        self
    }

    /// Says what to do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// As text: `error[code]: cause`, then where, then `help:`.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut out = format!("error[{}]: {}\n", self.code, shown(self.message.as_bytes(), true));
        for place in &self.place {
            let _ = writeln!(out, "  --> {}", shown(place.as_bytes(), false));
        }
        if let Some(help) = &self.help {
            let _ = writeln!(out, "help: {}", visible(help));
        }
        out
    }
}

/// Help where a file is damaged or was not written by Opal.
const MAKE_ANOTHER: &str = "take it again from where it was made, or make a new one: `opalc FILE.opl --resolve -o FILE.plan`";

/// `FILE:LINE:COLUMN`, or just the file where there is no place in it.
#[must_use]
pub fn place(file: &str, span: &Span) -> String {
    match span.line.to_native() {
        0 => file.to_owned(),
        line => format!("{file}:{line}:{}", span.column.to_native()),
    }
}

impl<F: Failure> From<F> for Refusal {
    fn from(failure: F) -> Self {
        Self::new(failure.code(), failure.exit(), failure.to_string()).help(failure.help())
    }
}

impl Refusal {
    /// A file that could not be read.
    #[must_use]
    pub fn from_read(error: &ReadFileError, path: &str) -> Self {
        let help = match error {
            ReadFileError::Format(error) => return Self::from_format(error, path),
            ReadFileError::NotRegular => "name a plan file, or `-` for standard input".to_owned(),
            ReadFileError::NotFound | ReadFileError::Io(_) => format!("check it: `ls -l {path}`"),
        };
        Self::new(error.code(), error.exit_status(), error.to_string()).at(path).help(help)
    }

    /// A file that breaks a rule of the format.
    #[must_use]
    pub fn from_format(error: &FormatError, path: &str) -> Self {
        let help = match error {
            FormatError::UnsupportedVersion { .. } | FormatError::UnknownCritical { .. } => {
                "use the version of opal that wrote it, or a later one"
            }
            FormatError::BadMagic => "name a file that `opalc FILE.opl --resolve -o FILE.plan` wrote",
            _ => MAKE_ANOTHER,
        };
        Self::new(error.code(), error.exit_status(), error.to_string()).at(path).help(help)
    }

    /// A program that breaks a rule of the verifier.
    #[must_use]
    pub fn from_verify(error: &VerifyError, path: &str) -> Self {
        Self::new(error.code(), 65, format!("the program is not valid: {error}")).at(path).help(MAKE_ANOTHER)
    }
}
