//! Colour for what is said on standard error.
//!
//! Read for: everything in the process that runs a contract.

use std::io::{self, Write};

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
pub(super) struct Painter<'a> {
    out: &'a mut dyn Write,
    color: bool,
    /// The beginning of a line, as long as it may get a colour.
    head: Vec<u8>,
    /// Whether that is decided for the line.
    inside: bool,
}

impl<'a> Painter<'a> {
    /// Longer than what gets a colour.
    const HEAD_MAX: usize = 64;

    /// A way to `out`.
    pub(super) fn new(out: &'a mut dyn Write, color: bool) -> Self {
        Self { out, color, head: Vec::new(), inside: false }
    }

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
