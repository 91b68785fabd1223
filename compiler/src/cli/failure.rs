//! How a command ends without having done its work: one cause, one code, one exit status, and what to do.

use crate::diagnostic::{self, Diagnostic};
use crate::source::Source;
use opal_core::refusal::Refusal;
use opal_core::show::{escape, visible};
use opal_format::error::FormatError;
use opal_format::read_file::ReadFileError;
use serde_json::{Value, json};
use std::borrow::Cow;
use std::fmt::Write as _;
use std::path::Path;

/// Exit statuses. 0 is success.
pub(crate) mod exit {
    /// Contract and source, or contract and fresh plan, differ.
    pub(crate) const DIFFERS: u8 = 3;
    /// The command line is wrong.
    pub(crate) const USAGE: u8 = 64;
    /// The source does not compile, or the plan file is malformed.
    pub(crate) const DATA: u8 = 65;
    /// An input file is missing or unreadable.
    pub(crate) const NO_INPUT: u8 = 66;
    /// Something that the plan needs is missing on this machine.
    pub(crate) const UNAVAILABLE: u8 = 69;
    /// A bug.
    pub(crate) const BUG: u8 = 70;
    /// Something cannot be written.
    pub(crate) const CANNOT_WRITE: u8 = 74;
    /// A signature is missing, bad or not trusted.
    pub(crate) const UNTRUSTED: u8 = 20;
    /// A policy, trust or identity file is wrong.
    pub(crate) const CONFIGURATION: u8 = 78;
    /// As the shell shows a death by SIGINT.
    pub(crate) const INTERRUPTED: u8 = 130;
    /// As the shell shows a death by SIGPIPE.
    pub(crate) const PIPE: u8 = 141;
}

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
    exit: u8,
    code: Cow<'static, str>,
    message: String,
    place: Option<String>,
    help: Option<String>,
}

impl Failure {
    /// A cause with its exit status and code. Texts from files and users are escaped when it is shown.
    pub(crate) fn new(exit: u8, code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self::Report(Box::new(Report { exit, code: code.into(), message: message.into(), place: None, help: None }))
    }

    /// A wrong command line.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(exit::USAGE, "usage", message)
    }

    /// A state that cannot be, unless Opal is wrong.
    pub(crate) fn bug(message: impl Into<String>) -> Self {
        Self::new(exit::BUG, "internal", format!("{} (this is a bug in opal)", message.into())).with_help(BUG_HELP)
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
        Self::refused(&Refusal::from_format(error, &path.display().to_string()), error.code())
    }

    /// A plan file that could not be read.
    pub(crate) fn read_plan(error: &ReadFileError, path: &Path) -> Self {
        Self::refused(&Refusal::from_read(error, &path.display().to_string()), error.code())
    }

    /// What the VM says about a file. Its texts are escaped already, and escaping them again changes nothing.
    fn refused(refusal: &Refusal, code: &'static str) -> Self {
        let failure = Self::new(refusal.exit, code, refusal.message.clone()).at(refusal.place.join("\n"));
        refusal.help.iter().cloned().fold(failure, Self::with_help)
    }

    /// A refusal by the VM.
    pub(crate) fn vm(refusal: &Refusal) -> Self {
        let failure = Self::new(refusal.exit, refusal.code.clone(), refusal.message.clone());
        let failure = if refusal.place.is_empty() { failure } else { failure.at(refusal.place.join("\n")) };
        refusal.help.iter().cloned().fold(failure, Self::with_help)
    }

    /// A refusal by the host's files.
    pub(crate) fn host(error: &dyn opal_core::failure::Failure) -> Self {
        Self::new(error.exit(), error.code(), error.to_string()).with_help(error.help())
    }

    /// The exit status.
    pub(crate) fn exit(&self) -> u8 {
        match self {
            Self::Report(report) => report.exit,
            Self::Source { exit, .. } | Self::Said(exit) => *exit,
            Self::Pipe => exit::PIPE,
        }
    }

    /// The same as one JSON document; `None` where nothing is to be said.
    pub(crate) fn to_json(&self) -> Option<Value> {
        let (exit, key, error) = match self {
            Self::Report(report) => {
                let error = json!({
                    "code": report.code, "message": report.message, "place": report.place.iter().collect::<Vec<_>>(), "help": report.help,
                });
                (report.exit, "error", error)
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
