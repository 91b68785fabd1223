//! What commands write to standard output and standard error while nothing runs: scrubbed on its way, by the secrets that are known then. The one
//! exception is `unscrubbed`.
//!
//! Read for: no secret leaves unscrubbed.

use super::paint::Painter;
use opal_exec::clean::{Clean, CleanJson, CleanWriter};
use opal_exec::deliver::{Delivered, Patience, anew};
use opal_exec::scrub::Secrets;
use opal_exec::supervise::signals::Signals;
use serde::Serialize;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

/// What is written before it is handed on.
const PIECE: usize = 64 << 10;

/// Writes to standard output what `write` makes.
///
/// # Errors
/// Those of writing.
pub(crate) fn stdout(secrets: &Arc<Secrets>, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let mut file = stdout_file()?;
    let mut out = BufWriter::with_capacity(PIECE, CleanWriter::new(secrets, &mut file));
    write(&mut out).and_then(|()| out.flush())
}

/// Writes a JSON document to standard output.
///
/// # Errors
/// Those of writing.
pub(crate) fn document(secrets: &Arc<Secrets>, document: &impl Serialize) -> io::Result<()> {
    let mut out = BufWriter::with_capacity(PIECE, stdout_file()?);
    CleanJson::new(secrets, document).write_to(&mut out).and_then(|()| out.flush())
}

/// Writes to standard output what would be of no use scrubbed: a contract, in which what is public stands as it is, and a value that is to be revealed.
///
/// # Errors
/// Those of writing.
pub(crate) fn unscrubbed(bytes: &[u8]) -> io::Result<()> {
    stdout_file()?.write_all(bytes)
}

/// Writes to standard error what `write` makes, in colour if that is wanted. What is said after a run waits for its reader as during it.
///
/// # Errors
/// Those of writing.
pub(crate) fn stderr(
    secrets: &Arc<Secrets>,
    color: bool,
    after: Option<(&Signals, &Patience)>,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    let end: Box<dyn Write + '_> = match after {
        Some((signals, patience)) => Box::new(Delivered { file: anew(&io::stderr())?, signals, patience }),
        None => Box::new(io::stderr().lock()),
    };
    let mut end = BufWriter::with_capacity(PIECE, end);
    // Behind the scrubber, which would not find a value with colour in it.
    let mut painter = Painter::new(&mut end, color);
    let mut out = BufWriter::with_capacity(PIECE, CleanWriter::new(secrets, &mut painter));
    write(&mut out).and_then(|()| out.flush())
}

/// Standard output and standard error, for the outlet of a run.
///
/// # Errors
/// When descriptors run out.
pub(crate) fn for_outlet() -> io::Result<[File; 2]> {
    Ok([anew(&io::stdout())?, anew(&io::stderr())?])
}

/// The terminal at standard error, for what is drawn there.
#[derive(Debug)]
pub struct Terminal(File);

impl Terminal {
    /// That of this process.
    #[must_use]
    pub fn stderr() -> Option<Self> {
        anew(&io::stderr()).ok().map(Self)
    }

    /// Draws. What cannot be drawn is left out.
    pub fn draw(&self, text: &Clean) {
        let _ = (&self.0).write_all(text.as_str().as_bytes());
    }

    /// Its descriptor, to look at it.
    #[must_use]
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Standard output as a file. The standard library's own handle takes what is written to a closed descriptor as written.
///
/// # Errors
/// When descriptors run out.
pub fn stdout_file() -> io::Result<File> {
    io::stdout().as_fd().try_clone_to_owned().map(File::from)
}
