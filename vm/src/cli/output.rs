//! Where text goes, and what happens when it cannot.
//!
//! Read for: everything in the process that runs a contract.

use super::ends;
use clap::ArgMatches;
use opal_core::code::Code;
use opal_core::refusal::Refusal;
use opal_core::show::Style;
use opal_exec::deliver::Patience;
use opal_exec::run::progress::{Lines, Progress};
use opal_exec::scrub::Secrets;
use opal_exec::supervise::signals::Signals;
use serde::Serialize;
use serde_json::json;
use std::io::{self, IsTerminal as _, Write};
use std::sync::Arc;

/// How a command reports.
pub struct Output {
    /// JSON on stdout.
    pub json: bool,
    /// Placeholders on stdout.
    pub style: Style,
    /// Who tells how a run goes on, where neither `--json` nor `--quiet` stands.
    pub progress: Option<Arc<dyn Progress>>,
    /// What is replaced in all that is said.
    pub secrets: Arc<Secrets>,
    color: bool,
}

impl Output {
    /// As the options `--json` and `--color` say.
    #[must_use]
    pub fn new(matches: &ArgMatches) -> Self {
        let choice = matches.try_get_one::<String>("color").ok().flatten().map_or("auto", String::as_str);
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb" || term.is_empty());
        let plain = dumb || std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let color = match choice {
            "always" => true,
            "never" => false,
            _ => !plain && io::stderr().is_terminal(),
        };
        let style = match (choice, io::stdout().is_terminal()) {
            ("always", _) => Style::Color,
            ("auto", true) if !plain => Style::Color,
            (_, true) => Style::Terminal,
            (_, false) => Style::Plain,
        };
        Self {
            json: super::request::flag(matches, "json"),
            style,
            progress: Some(Arc::new(Lines::new(color))),
            secrets: Arc::default(),
            color,
        }
    }

    /// Whether standard error is coloured.
    #[must_use]
    pub const fn colored(&self) -> bool {
        self.color
    }

    /// Shows a refusal after which nothing was run, and returns its exit status.
    pub fn refuse(&self, refusal: &Refusal) -> u8 {
        if self.json {
            let document = json!({
                "schema": "opal/refusal/v1", "effects": "none", "exit": refusal.exit(),
                "error": { "code": refusal.code.name(), "message": refusal.message, "place": refusal.place, "help": refusal.help },
            });
            let _ = self.document(&document);
        }
        let mut text = refusal.to_text();
        text.push_str("effects: none (nothing was run)\n");
        self.say(&text);
        refusal.exit()
    }

    /// Says something on standard error.
    pub fn say(&self, text: &str) {
        self.stream(|out| out.write_all(text.as_bytes()));
    }

    /// Says something on standard error as it is made.
    pub fn stream(&self, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) {
        let _ = ends::stderr(&self.secrets, self.color, None, write);
    }

    /// Says how a run ended.
    pub(super) fn last_words(&self, text: &str, signals: &Signals, patience: &Patience) {
        let _ = ends::stderr(&self.secrets, self.color, Some((signals, patience)), |out| out.write_all(text.as_bytes()));
    }

    /// Writes a text to standard output.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn print(&self, text: &str) -> Result<(), Refusal> {
        self.print_with(|out| out.write_all(text.as_bytes()))
    }

    /// Writes to standard output what `write` makes.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn print_with(&self, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), Refusal> {
        ends::stdout(&self.secrets, write).map_err(|error| unwritten(&error))
    }

    /// Writes one JSON document.
    ///
    /// # Errors
    /// Where standard output cannot be written.
    pub fn document(&self, document: &impl Serialize) -> Result<(), Refusal> {
        ends::document(&self.secrets, document).map_err(|error| unwritten(&error))
    }
}

/// A reader that has gone away ends the command as SIGPIPE would.
pub(super) fn unwritten(error: &io::Error) -> Refusal {
    match error.kind() {
        io::ErrorKind::BrokenPipe => Refusal::new(Code::BrokenPipe, "nobody reads the output any more"),
        _ => Refusal::new(Code::CannotWrite, format!("cannot write to standard output: {}", opal_core::plan::os_reason(error))),
    }
}

/// Says on standard error what is said before any value is known.
pub(crate) fn say_early(text: &str) {
    let _ = ends::stderr(&Arc::default(), false, None, |out| out.write_all(text.as_bytes()));
}
