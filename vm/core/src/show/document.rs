//! JSON as Opal writes it: a string that is read back is the exact text, and the bytes of the document hold no character that deceives a
//! terminal, because those are written as `\uXXXX`.

use super::unseen::is_unseen;
use serde::Serialize;
use serde_json::ser::{CompactFormatter, Formatter, PrettyFormatter};
use std::io::{self, Write};

/// Writes a document over lines, as it is made, without a line end.
///
/// # Errors
/// Those of `out`.
pub fn write_json(out: &mut dyn Write, document: &impl Serialize) -> io::Result<()> {
    let mut serializer = serde_json::Serializer::with_formatter(out, Visible(PrettyFormatter::new()));
    Ok(document.serialize(&mut serializer)?)
}

/// A document on one line, without a line end.
#[must_use]
pub fn json_line(document: &impl Serialize) -> String {
    text(document, CompactFormatter)
}

/// A document over lines, without a line end.
#[must_use]
pub fn json_text(document: &impl Serialize) -> String {
    text(document, PrettyFormatter::new())
}

fn text(document: &impl Serialize, formatter: impl Formatter) -> String {
    let mut out = Vec::new();
    // Memory takes everything, and no document has keys that are no strings.
    let _ = document.serialize(&mut serde_json::Serializer::with_formatter(&mut out, Visible(formatter)));
    String::from_utf8(out).unwrap_or_default()
}

/// Writes what another formatter does, with what is not seen as escapes.
struct Visible<F>(F);

fn put_visible<W: ?Sized + Write>(out: &mut W, text: &str, kept: &[char]) -> io::Result<()> {
    let mut plain = 0;
    for (at, character) in text.char_indices() {
        if !is_unseen(character) || kept.contains(&character) {
            continue;
        }
        out.write_all(text.get(plain..at).unwrap_or_default().as_bytes())?;
        plain = at.saturating_add(character.len_utf8());
        for unit in character.encode_utf16(&mut [0; 2]) {
            write!(out, "\\u{unit:04x}")?;
        }
    }
    out.write_all(text.get(plain..).unwrap_or_default().as_bytes())
}

impl<F: Formatter> Formatter for Visible<F> {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, out: &mut W, fragment: &str) -> io::Result<()> {
        put_visible(out, fragment, &[])
    }

    /// Valid JSON has control characters between its values only.
    fn write_raw_fragment<W: ?Sized + Write>(&mut self, out: &mut W, fragment: &str) -> io::Result<()> {
        put_visible(out, fragment, &['\n', '\r', '\t'])
    }

    fn begin_array<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.0.begin_array(out)
    }

    fn end_array<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.0.end_array(out)
    }

    fn begin_array_value<W: ?Sized + Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        self.0.begin_array_value(out, first)
    }

    fn end_array_value<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.0.end_array_value(out)
    }

    fn begin_object<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.0.begin_object(out)
    }

    fn end_object<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.0.end_object(out)
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        self.0.begin_object_key(out, first)
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.0.begin_object_value(out)
    }

    fn end_object_value<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.0.end_object_value(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn a_document_reads_back_as_it_was_and_shows_everything() {
        let mut every: String = ('\0'..=char::MAX).collect();
        every.push('\\');
        let document = json!({ "a\u{a0}\t": every, "b": ["\u{1f512}\u{e0001}", 1, null] });
        for text in [json_line(&document), json_text(&document)] {
            assert_eq!(serde_json::from_str::<Value>(&text).expect("JSON"), document);
            assert_eq!(text.chars().find(|character| is_unseen(*character) && *character != '\n'), None);
        }
        assert!(json_line(&document).contains("\u{1f512}\\udb40\\udc01") && !json_line(&document).contains('\n'));
    }
}
