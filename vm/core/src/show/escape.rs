//! Makes text from sources, plans, keys and values safe to show: nothing in it moves the cursor, turns the writing direction or hides, and no
//! two texts look alike because of it.
//!
//! The escape character escapes itself, so what is shown says which bytes were there: `\t` is a tab, `\\t` are two characters. Only where lines
//! are kept does a line end stay one. What parts of a text follow each other are read as one: a character that is cut in two is still one.

use super::unseen::is_unseen;
use std::fmt::{self, Display, Write};

/// Bytes as they are shown, on one line, or with line ends kept where `lines` is set.
#[must_use]
pub fn escape(bytes: &[u8], lines: bool) -> String {
    let mut out = String::with_capacity(bytes.len());
    // A String takes everything.
    let _ = write!(out, "{}", shown(bytes, lines));
    out
}

/// What [`escape`] gives, written as it is made.
pub fn shown(bytes: &[u8], lines: bool) -> impl Display + '_ {
    fmt::from_fn(move |out| {
        let mut escaper = Escaper::new(out, lines);
        escaper.text(bytes)?;
        escaper.finish()
    })
}

/// What [`escape`] gives on one line, for text that stands between double quotes.
pub fn quoted(bytes: &[u8]) -> impl Display + '_ {
    fmt::from_fn(move |out| {
        let mut escaper = Escaper::new(out, false).quoted(true);
        escaper.text(bytes)?;
        escaper.finish()
    })
}

/// The beginning of a text, with an ellipsis after about `most` bytes: what is shown of one step may be far longer than the file it is in.
#[must_use]
pub fn beginning(text: impl Display, most: usize) -> String {
    struct Beginning {
        text: String,
        most: usize,
    }
    impl Write for Beginning {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            let room = self.most.saturating_sub(self.text.len());
            let fits = text.len() <= room;
            self.text.push_str(if fits { text } else { text.get(..text.floor_char_boundary(room)).unwrap_or_default() });
            // What follows is not even made.
            if fits { Ok(()) } else { Err(fmt::Error) }
        }
    }
    let mut out = Beginning { text: String::new(), most };
    let whole = write!(out, "{text}").is_ok();
    out.text.push_str(if whole { "" } else { "…" });
    out.text
}

/// A text that Opal wrote itself, which may have names in it: what nobody sees is escaped and the escape character is not, so that a command
/// in it can be pasted. It may have several lines.
#[must_use]
pub fn visible(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        if character != '\n' && is_unseen(character) {
            let _ = put_escape(&mut out, character);
        } else {
            out.push(character);
        }
    }
    out
}

fn put_escape(out: &mut dyn Write, character: char) -> fmt::Result {
    match character {
        '\n' => out.write_str("\\n"),
        '\r' => out.write_str("\\r"),
        '\t' => out.write_str("\\t"),
        _ => write!(out, "\\u{{{:x}}}", u32::from(character)),
    }
}

/// Where the text of a plan goes: its own text, in pieces, and what the view puts between them.
pub trait Sink {
    /// A piece of text.
    fn text(&mut self, bytes: &[u8]) -> fmt::Result;
    /// What the view itself puts in the place of a value, or around text.
    fn mark(&mut self, mark: &dyn Display) -> fmt::Result;
    /// The name of a binding, after its mark.
    fn name(&mut self, bytes: &[u8]) -> fmt::Result {
        self.text(bytes)
    }
}

/// Puts pieces of text together, so that a character that was cut in two is still one.
#[derive(Default)]
pub(super) struct Joined {
    held: [u8; 4],
    length: usize,
}

/// Text, or bytes that are none.
pub(super) type Chunk<'a> = Result<&'a str, &'a [u8]>;

impl Joined {
    /// Another piece.
    pub(super) fn push(&mut self, mut bytes: &[u8], each: &mut dyn FnMut(Chunk<'_>) -> fmt::Result) -> fmt::Result {
        while let (1.., Some((first, rest))) = (self.length, bytes.split_first()) {
            let mut held = self.held;
            let length = self.length.saturating_add(1);
            if let Some(place) = held.get_mut(self.length) {
                *place = *first;
            }
            match std::str::from_utf8(held.get(..length).unwrap_or_default()) {
                Ok(text) => {
                    self.length = 0;
                    each(Ok(text))?;
                }
                Err(error) if error.error_len().is_none() => (self.held, self.length) = (held, length),
                // What was held is no beginning of a character; the byte may be one.
                Err(_) => {
                    self.end(each)?;
                    continue;
                }
            }
            bytes = rest;
        }
        let mut rest = bytes.len();
        for chunk in bytes.utf8_chunks() {
            let (text, invalid) = (chunk.valid(), chunk.invalid());
            if !text.is_empty() {
                each(Ok(text))?;
            }
            rest = rest.saturating_sub(text.len()).saturating_sub(invalid.len());
            if rest == 0 && std::str::from_utf8(invalid).is_err_and(|error| error.error_len().is_none()) {
                self.length = invalid.len();
                self.held.iter_mut().zip(invalid).for_each(|(place, byte)| *place = *byte);
            } else if !invalid.is_empty() {
                each(Err(invalid))?;
            }
        }
        Ok(())
    }

    /// Nothing follows that what is held could go on with.
    pub(super) fn end(&mut self, each: &mut dyn FnMut(Chunk<'_>) -> fmt::Result) -> fmt::Result {
        let length = std::mem::take(&mut self.length);
        if length > 0 { each(Err(self.held.get(..length).unwrap_or_default())) } else { Ok(()) }
    }
}

/// How the placeholders of a view start. Where text of a plan does too, the last character is an escape.
const MARKS: [&str; 2] = ["opal:secret:", "@let."];

/// Escapes text that comes in pieces.
pub(super) struct Escaper<'o> {
    joined: Joined,
    writer: Writer<'o>,
}

struct Writer<'o> {
    out: &'o mut dyn Write,
    lines: bool,
    /// A double quote is escaped too.
    quoted: bool,
    /// Text that looks like a placeholder is told from one.
    placeholders: bool,
    /// How much of each mark the text ends with.
    matched: [usize; 2],
    /// The name of a binding stands before: what would go on with it is escaped.
    named: bool,
}

impl<'o> Escaper<'o> {
    pub(super) fn new(out: &'o mut dyn Write, lines: bool) -> Self {
        let writer = Writer { out, lines, quoted: false, placeholders: false, matched: [0; 2], named: false };
        Self { joined: Joined::default(), writer }
    }

    /// For text that stands between double quotes.
    pub(super) fn quoted(mut self, quoted: bool) -> Self {
        self.writer.quoted = quoted;
        self
    }

    /// For text in which placeholders stand.
    pub(super) fn among_placeholders(mut self) -> Self {
        self.writer.placeholders = true;
        self
    }

    /// Nothing follows.
    pub(super) fn finish(mut self) -> fmt::Result {
        self.end_text()
    }

    fn end_text(&mut self) -> fmt::Result {
        self.joined.end(&mut |chunk| self.writer.chunk(chunk))
    }
}

impl Sink for Escaper<'_> {
    fn text(&mut self, bytes: &[u8]) -> fmt::Result {
        self.joined.push(bytes, &mut |chunk| self.writer.chunk(chunk))
    }

    fn mark(&mut self, mark: &dyn Display) -> fmt::Result {
        self.end_text()?;
        (self.writer.matched, self.writer.named) = ([0; 2], false);
        write!(self.writer.out, "{mark}")
    }

    /// Anything but a name is escaped here, so that it ends where it seems to.
    fn name(&mut self, bytes: &[u8]) -> fmt::Result {
        let out = &mut *self.writer.out;
        for byte in bytes {
            let plain = byte.is_ascii_alphanumeric() || *byte == b'_';
            if plain { out.write_char(char::from(*byte))? } else { write!(out, "\\x{byte:02x}")? }
        }
        self.writer.named = true;
        Ok(())
    }
}

impl Writer<'_> {
    fn chunk(&mut self, chunk: Chunk<'_>) -> fmt::Result {
        let text = match chunk {
            Ok(text) => text,
            Err(bytes) => {
                self.named = false;
                return bytes.iter().try_for_each(|byte| write!(self.out, "\\x{byte:02x}"));
            }
        };
        let mut plain = 0;
        for (at, character) in text.char_indices() {
            let named = std::mem::take(&mut self.named) && (character.is_ascii_alphanumeric() || character == '_');
            let completes = self.placeholders && self.completes_a_mark(character);
            if !named && !completes && !self.is_escaped(character) {
                continue;
            }
            self.out.write_str(text.get(plain..at).unwrap_or_default())?;
            plain = at.saturating_add(character.len_utf8());
            match character {
                '\\' => self.out.write_str("\\\\")?,
                '"' if self.quoted => self.out.write_str("\\\"")?,
                _ => put_escape(self.out, character)?,
            }
        }
        self.out.write_str(text.get(plain..).unwrap_or_default())
    }

    fn is_escaped(&self, character: char) -> bool {
        match character {
            '\\' => true,
            '"' => self.quoted,
            '\n' => !self.lines,
            _ => is_unseen(character),
        }
    }

    fn completes_a_mark(&mut self, character: char) -> bool {
        let mut completes = false;
        for (mark, matched) in MARKS.iter().zip(&mut self.matched) {
            let next = |at: usize| mark.as_bytes().get(at).is_some_and(|byte| char::from(*byte) == character);
            // No mark has its first character in it again.
            *matched = if next(*matched) { matched.saturating_add(1) } else { usize::from(next(0)) };
            if *matched == mark.len() {
                *matched = 0;
                completes = true;
            }
        }
        completes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_that_deceive_are_shown_as_escapes() {
        assert_eq!(escape("a\u{202e}b\u{200b}c\x1b[2J\r".as_bytes(), false), "a\\u{202e}b\\u{200b}c\\u{1b}[2J\\r");
        assert_eq!(escape(b"a\xffb", false), "a\\xffb");
        assert_eq!(escape("größe 🔒\n".as_bytes(), true), "größe 🔒\n");
        assert_eq!(escape(b"\t and \\t", false), "\\t and \\\\t");
        assert_eq!(visible("`a\\b`\u{a0}\n"), "`a\\b`\\u{a0}\n");
    }

    #[test]
    fn where_a_text_is_cut_makes_no_difference() {
        let text = "a\u{e9}\\\u{202e}\n\u{1f512}\"opal:secret:x @let.y";
        let mut bytes = text.as_bytes().to_vec();
        bytes.extend_from_slice(b"\xf0\x9f\xff\xe2\x80");
        let whole = |cuts: &[usize]| {
            let mut out = String::new();
            let mut escaper = Escaper::new(&mut out, false).quoted(true).among_placeholders();
            let mut rest = bytes.as_slice();
            for cut in cuts {
                let (head, tail) = rest.split_at(*cut);
                escaper.text(head).expect("a String takes everything");
                rest = tail;
            }
            escaper.text(rest).expect("a String takes everything");
            escaper.finish().expect("a String takes everything");
            out
        };
        let expected = "aé\\\\\\u{202e}\\n🔒\\\"opal:secret\\u{3a}x @let\\u{2e}y\\xf0\\x9f\\xff\\xe2\\x80";
        assert_eq!(whole(&[]), expected);
        for first in 0..bytes.len() {
            for second in 0..bytes.len() - first {
                assert_eq!(whole(&[first, second]), expected, "{first} {second}");
            }
        }
        assert_eq!(whole(&vec![1; bytes.len()]), expected);
    }
}
