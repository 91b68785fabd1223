//! What a command ends with when it does not succeed: one cause, one code, one exit status, where, and what to do.

use crate::code::Code;
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
    /// Its code, from which the exit status follows.
    pub code: Code,
    /// One cause.
    pub message: String,
    /// Where, in lines of its own.
    pub place: Vec<String>,
    /// What to do.
    pub help: String,
}

impl Refusal {
    /// A refusal without a place, and with the help that its code has.
    #[must_use]
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), place: Vec::new(), help: code.help().to_owned() }
    }

    /// The exit status.
    #[must_use]
    pub const fn exit(&self) -> u8 {
        self.code.exit()
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
        self.help = help.into();
        self
    }

    /// As text: `error[code]: cause`, then where, then `help:`.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut out = format!("error[{}]: {}\n", self.code, shown(self.message.as_bytes(), true));
        for place in &self.place {
            let _ = writeln!(out, "  --> {}", shown(place.as_bytes(), false));
        }
        let _ = writeln!(out, "help: {}", visible(&self.help));
        out
    }
}

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
        Self::new(failure.code(), failure.to_string()).help(failure.help())
    }
}

impl Refusal {
    /// A file that could not be read.
    #[must_use]
    pub fn from_read(error: &ReadFileError, path: &str) -> Self {
        let refusal = Self::new(Code::of_format(error.code()), error.to_string()).at(path);
        match error {
            ReadFileError::Format(error) => Self::from_format(error, path),
            ReadFileError::NotRegular => refusal,
            ReadFileError::NotFound | ReadFileError::Io(_) => refusal.help(format!("check it: `ls -l {path}`")),
        }
    }

    /// A file that breaks a rule of the format.
    #[must_use]
    pub fn from_format(error: &FormatError, path: &str) -> Self {
        Self::new(Code::from(error), error.to_string()).at(path)
    }

    /// A program that breaks a rule of the verifier.
    #[must_use]
    pub fn from_verify(error: &VerifyError, path: &str) -> Self {
        Self::new(Code::Rule(error.code()), format!("the program is not valid: {error}")).at(path)
    }
}
