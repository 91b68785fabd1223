//! How a command ends without having done its work: one cause, one code, one exit status, and what to do.

use crate::diagnostic::{self, Diagnostic};
use crate::source::Source;
use opal_core::code::Code;
use opal_core::refusal::Refusal;
use opal_core::show::{escape, visible};
use opal_format::error::FormatError;
use opal_format::read_file::ReadFileError;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::path::Path;

/// The exit status where a source does not compile.
pub(crate) const NO_PROGRAM: u8 = 65;
/// The exit status where contract and source, or two contracts, differ.
pub(crate) const DIFFERS: u8 = 3;

/// Why a command ends early.
#[derive(Debug)]
pub(crate) enum Failure {
    /// One cause outside of any source.
    Report(Box<Report>),
    /// What is wrong with a source.
    Source {
        /// Exit status.
        exit: u8,
        /// The source.
        source: Box<Source>,
        /// Errors and warnings, sorted.
        diagnostics: Vec<Diagnostic>,
    },
    /// Everything has been said already; this is the exit status.
    Said(u8),
    /// Nobody reads standard output any more.
    Pipe,
}

/// One cause.
#[derive(Debug)]
pub(crate) struct Report {
    code: Code,
    message: String,
    place: Option<String>,
    help: Option<String>,
}

impl Failure {
    /// A cause, with the help that its code has. Texts from files and users are escaped when it is shown.
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self::Report(Box::new(Report { code, message: message.into(), place: None, help: Some(code.help().to_owned()) }))
    }

    /// A wrong command line.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Code::Usage, message)
    }

    /// A state that cannot be, unless Opal is wrong.
    pub(crate) fn bug(message: impl Into<String>) -> Self {
        Self::new(Code::Internal, format!("{} (this is a bug in opal)", message.into())).with_help(BUG_HELP)
    }

    /// With what to do about it.
    pub(crate) fn with_help(mut self, help: impl Into<String>) -> Self {
        if let Self::Report(report) = &mut self {
            report.help = Some(help.into());
        }
        self
    }

    /// With the file or place that it is about.
    pub(crate) fn at(mut self, place: impl Into<String>) -> Self {
        if let Self::Report(report) = &mut self {
            report.place = Some(place.into());
        }
        self
    }

    /// A refusal of a plan file.
    pub(crate) fn format(error: &FormatError, path: &Path) -> Self {
        Self::vm(&Refusal::from_format(error, &path.display().to_string()))
    }

    /// A plan file that could not be read.
    pub(crate) fn read_plan(error: &ReadFileError, path: &Path) -> Self {
        Self::vm(&Refusal::from_read(error, &path.display().to_string()))
    }

    /// A refusal by the VM. Its texts are escaped already, and escaping them again changes nothing.
    pub(crate) fn vm(refusal: &Refusal) -> Self {
        let failure = Self::new(refusal.code, refusal.message.clone()).with_help(refusal.help.clone());
        if refusal.place.is_empty() { failure } else { failure.at(refusal.place.join("\n")) }
    }

    /// A refusal by the host's files.
    pub(crate) fn host(error: &dyn opal_core::failure::Failure) -> Self {
        Self::new(error.code(), error.to_string()).with_help(error.help())
    }

    /// The exit status.
    pub(crate) fn exit(&self) -> u8 {
        match self {
            Self::Report(report) => report.code.exit(),
            Self::Source { exit, .. } | Self::Said(exit) => *exit,
            Self::Pipe => Code::BrokenPipe.exit(),
        }
    }

    /// The same as one JSON document; `None` where nothing is to be said.
    pub(crate) fn to_json(&self) -> Option<Value> {
        let (exit, key, error) = match self {
            Self::Report(report) => {
                let error = json!({
                    "code": report.code.name(), "message": report.message, "place": report.place.iter().collect::<Vec<_>>(), "help": report.help,
                });
                (report.code.exit(), "error", error)
            }
            Self::Source { exit, source, diagnostics } => {
                (*exit, "diagnostics", diagnostics.iter().map(|diagnostic| diagnostic::to_json(source, diagnostic)).collect())
            }
            Self::Said(_) | Self::Pipe => return None,
        };
        Some(json!({"schema": "opal/refusal/v1", "effects": "none", "exit": exit, key: error}))
    }

    /// What standard error shows; empty where nothing is to be said.
    pub(crate) fn render(&self, color: bool) -> String {
        match self {
            Self::Report(report) => report.render(color),
            Self::Source { source, diagnostics, .. } => render(source, diagnostics, color),
            Self::Said(_) | Self::Pipe => String::new(),
        }
    }
}

/// Messages that are drawn for people in one go. A drawing costs time in the number of lines before it.
const SHOWN_MAX: usize = 50;

/// Diagnostics as drawings, errors first where there are too many to show all.
pub(crate) fn render(source: &Source, diagnostics: &[Diagnostic], color: bool) -> String {
    let Some(hidden) = diagnostics.len().checked_sub(SHOWN_MAX).filter(|hidden| *hidden > 0) else {
        return diagnostic::render_human(source, diagnostics, color);
    };
    let (errors, warnings): (Vec<&Diagnostic>, Vec<&Diagnostic>) = diagnostics.iter().partition(|diagnostic| diagnostic.is_error());
    let shown: Vec<Diagnostic> = errors.into_iter().chain(warnings).take(SHOWN_MAX).cloned().collect();
    let name = diagnostic::escape(source.name());
    format!("{}note: {hidden} more are not shown: `opalc check --json {name}` lists all\n", diagnostic::render_human(source, &shown, color))
}

/// What a bug report needs.
pub(crate) const BUG_HELP: &str = "report it with the command line, the source if you can share it, and the output of `opalc --version`";

impl Report {
    fn render(&self, color: bool) -> String {
        let safe = |text: &str| escape(text.as_bytes(), true).replace('\n', "\n      ");
        let (on, off) = if color { ("\x1b[31m", "\x1b[0m") } else { ("", "") };
        let mut text = format!("{on}error[{}]{off}: {}\n", self.code, safe(&self.message));
        if let Some(place) = &self.place {
            let _ = writeln!(text, "  --> {}", safe(place));
        }
        if let Some(help) = &self.help {
            let _ = writeln!(text, "help: {}", visible(help).replace('\n', "\n      "));
        }
        text
    }
}

/// An operating system error without its number, in lower case as messages are.
pub(crate) fn reason(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_lowercase()
}
