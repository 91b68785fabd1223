//! Text as a JSON string has it: exactly, and where it is no text, in a form that says so.
//!
//! JSON has no bytes that are not UTF-8. A text that is none starts with U+FFFF, which is no character, and goes on escaped; so does one that
//! starts with U+FFFF itself. Any other text is itself.

use super::escape::{Chunk, Escaper, Joined, Sink};
use serde::ser::{Serialize, Serializer};
use std::fmt::{self, Display, Write};

const ESCAPED: char = '\u{ffff}';

/// A text that a function writes, as a JSON string.
pub struct Exact<F>(pub F);

impl<F: Fn(&mut dyn Sink) -> fmt::Result> Display for Exact<F> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut probe = Probe::default();
        self.0(&mut probe)?;
        if probe.found_text() {
            let mut plain = Plain { out, joined: Joined::default() };
            return self.0(&mut plain);
        }
        out.write_char(ESCAPED)?;
        let mut escaper = Escaper::new(out, false);
        self.0(&mut escaper)?;
        escaper.finish()
    }
}

impl<F: Fn(&mut dyn Sink) -> fmt::Result> Serialize for Exact<F> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Bytes as a JSON string.
#[must_use]
pub fn exact(bytes: &[u8]) -> impl Display + Serialize + '_ {
    Exact(move |out: &mut dyn Sink| out.text(bytes))
}

/// Finds out whether what is written is text.
#[derive(Default)]
struct Probe {
    joined: Joined,
    begun: bool,
    broken: bool,
}

impl Probe {
    fn found_text(mut self) -> bool {
        let broken = &mut self.broken;
        let _ = self.joined.end(&mut |_| {
            *broken = true;
            Ok(())
        });
        !self.broken
    }
}

impl Sink for Probe {
    fn text(&mut self, bytes: &[u8]) -> fmt::Result {
        let (begun, broken) = (&mut self.begun, &mut self.broken);
        self.joined.push(bytes, &mut |chunk: Chunk<'_>| {
            let first = !std::mem::replace(begun, true);
            *broken |= chunk.map_or(true, |text| first && text.starts_with(ESCAPED));
            Ok(())
        })
    }

    fn mark(&mut self, _: &dyn Display) -> fmt::Result {
        self.begun = true;
        let broken = &mut self.broken;
        self.joined.end(&mut |_| {
            *broken = true;
            Ok(())
        })
    }
}

/// Writes what is known to be text.
struct Plain<'o, 'f> {
    out: &'o mut fmt::Formatter<'f>,
    joined: Joined,
}

impl Sink for Plain<'_, '_> {
    fn text(&mut self, bytes: &[u8]) -> fmt::Result {
        self.joined.push(bytes, &mut |chunk| chunk.map_or(Ok(()), |text| self.out.write_str(text)))
    }

    fn mark(&mut self, mark: &dyn Display) -> fmt::Result {
        write!(self.out, "{mark}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_itself_and_bytes_that_are_none_say_so() {
        let shown = |bytes: &[u8]| exact(bytes).to_string();
        assert_eq!(shown("a\t\\\u{202e}é".as_bytes()), "a\t\\\u{202e}é");
        assert_eq!(shown(b"a\xff\\"), "\u{ffff}a\\xff\\\\");
        assert_eq!(shown("\u{ffff}a".as_bytes()), "\u{ffff}\\u{ffff}a");
        assert_eq!(shown(b"a\xe2\x80"), "\u{ffff}a\\xe2\\x80");
        assert_eq!(shown(b""), "");
    }
}
