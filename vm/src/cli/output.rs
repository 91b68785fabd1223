//! Where text goes, and what happens when it cannot.
//!
//! Read for: everything in the process that runs a contract.

use clap::ArgMatches;
use opal_core::code::Code;
use opal_core::refusal::Refusal;
use opal_core::show::{Style, write_json};
use opal_exec::outlet::{Clean, CleanWriter};
use opal_exec::run::progress::{Lines, Progress};
use opal_exec::scrub::Secrets;
use serde::Serialize;
use serde_json::json;
use std::fs::File;
use std::io::{self, IsTerminal as _, Write};
use std::os::fd::{AsFd, AsRawFd as _};
use std::os::unix::fs::OpenOptionsExt as _;
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
            let _ = self.document(&Clean::json(&self.secrets, &document).into_value());
        }
        let mut text = refusal.to_text();
        text.push_str("effects: none (nothing was run)\n");
        self.say(&text);
        refusal.exit()
    }

    /// Says something on standard error, by the secrets that are known now.
    pub fn say(&self, text: &str) {
        let _ = to_stderr(&self.clean(text));
    }

    /// Says something on standard error as it is made, by the secrets that are known now.
    pub fn stream(&self, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) {
        let mut stderr = io::stderr().lock();
        let mut clean = CleanWriter::new(&self.secrets, &mut stderr);
        let mut out =
            io::BufWriter::with_capacity(64 << 10, Painter { out: &mut clean, color: self.color, head: Vec::new(), inside: false });
        let _ = write(&mut out).and_then(|()| out.flush());
    }

    /// A text for standard error.
    #[must_use]
    pub fn clean(&self, text: &str) -> Clean {
        Clean::new(&self.secrets, &self.painted(text))
    }

    /// Colours the first words of errors and helps.
    #[must_use]
    fn painted(&self, text: &str) -> String {
        if !self.color {
            return text.to_owned();
        }
        text.split_inclusive('\n')
            .map(|line| match line.split_once(':').and_then(|(head, rest)| Some((color_of(head)?, head, rest))) {
                Some((color, head, rest)) => format!("\x1b[1;{color}m{head}\x1b[0m:{rest}"),
                None => line.to_owned(),
            })
            .collect()
    }

    /// Writes one JSON document.
    ///
    /// # Errors
    /// Where standard output cannot be written.
    pub fn document(&self, document: &impl Serialize) -> Result<(), Refusal> {
        write_stdout(|out| write_document(out, document))
    }
}

/// The colour of what stands before the first colon of a line, where it has one.
fn color_of(head: &str) -> Option<u8> {
    match head {
        "help" => Some(36),
        _ if head.starts_with("error[") => Some(31),
        _ if head.starts_with("warning") => Some(33),
        _ => None,
    }
}

/// Colours the first words of errors and helps on their way.
struct Painter<'a> {
    out: &'a mut dyn Write,
    color: bool,
    /// The beginning of a line, as long as it may get a colour.
    head: Vec<u8>,
    /// Whether that is decided for the line.
    inside: bool,
}

impl Painter<'_> {
    /// Longer than what gets a colour.
    const HEAD_MAX: usize = 64;

    fn decide(&mut self) -> io::Result<()> {
        let head = std::mem::take(&mut self.head);
        match std::str::from_utf8(&head).ok().and_then(color_of) {
            Some(color) => write!(self.out, "\x1b[1;{color}m{}\x1b[0m", String::from_utf8_lossy(&head)),
            None => self.out.write_all(&head),
        }
    }
}

impl Write for Painter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !self.color {
            self.out.write_all(bytes)?;
            return Ok(bytes.len());
        }
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let mut rest = piece;
            if !self.inside {
                let colon = piece.iter().position(|byte| *byte == b':');
                let (head, tail) = piece.split_at(colon.unwrap_or(piece.len()));
                self.head.extend_from_slice(head);
                rest = tail;
                if colon.is_some() || self.head.len() > Self::HEAD_MAX || head.ends_with(b"\n") {
                    self.inside = true;
                    self.decide()?;
                }
            }
            self.out.write_all(rest)?;
            if piece.ends_with(b"\n") {
                self.inside = false;
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.decide()?;
        self.out.flush()
    }
}

/// Writes a JSON document and a line end.
///
/// # Errors
/// Those of `out`.
pub fn write_document(out: &mut dyn Write, document: &impl Serialize) -> io::Result<()> {
    write_json(out, document)?;
    out.write_all(b"\n")
}

/// Writes a text to stdout; see [`write_stdout`].
///
/// # Errors
/// Where it cannot be written.
pub fn to_stdout(text: &str) -> Result<(), Refusal> {
    write_stdout(|out| out.write_all(text.as_bytes()))
}

/// Writes to stdout. A reader that has gone away ends the command as SIGPIPE would.
///
/// # Errors
/// Where it cannot be written.
pub fn write_stdout(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), Refusal> {
    let written = stdout_file().and_then(|file| {
        let mut out = io::BufWriter::with_capacity(64 << 10, file);
        write(&mut out)?;
        out.flush()
    });
    written.map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => Refusal::new(Code::BrokenPipe, "nobody reads the output any more"),
        _ => Refusal::new(Code::CannotWrite, format!("cannot write to standard output: {}", opal_core::plan::os_reason(&error))),
    })
}

/// Standard output as a file. The standard library's own handle takes what is written to a closed descriptor as written.
///
/// # Errors
/// When descriptors run out.
pub fn stdout_file() -> io::Result<File> {
    io::stdout().as_fd().try_clone_to_owned().map(File::from)
}

/// A stream to write to, for this process alone. A terminal that stands still (^S) blocks a write although `poll` says that it has room; opened anew
/// it does not, and for others that have it nothing changes.
///
/// # Errors
/// When descriptors run out.
pub fn own_end(stream: &impl AsFd) -> io::Result<File> {
    let stream = stream.as_fd();
    if nix::unistd::isatty(stream).unwrap_or(false) {
        let flags = nix::libc::O_NONBLOCK | nix::libc::O_NOCTTY;
        let anew = File::options().write(true).custom_flags(flags).open(format!("/proc/self/fd/{}", stream.as_raw_fd()));
        if anew.is_ok() {
            return anew;
        }
    }
    stream.try_clone_to_owned().map(File::from)
}

/// Says on standard error what is said before any value is known.
pub(crate) fn say_early(text: &str) {
    let _ = to_stderr(&Clean::new(&Arc::default(), text));
}

/// Writes to stderr.
///
/// # Errors
/// Where it cannot be written.
pub fn to_stderr(text: &Clean) -> io::Result<()> {
    text.write_to(&mut io::stderr().lock())
}
