//! Makes text from sources, plans, keys and values safe to show: nothing in it moves the cursor, turns the writing direction or hides.

use std::fmt::Write as _;

/// Escapes control, bidirectional and invisible characters, and bytes that are not UTF-8. Newlines stay where `lines` is set.
#[must_use]
pub fn escape(bytes: &[u8], lines: bool) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            if (lines && character == '\n') || !is_deceptive(character) {
                out.push(character);
            } else {
                push_escape(&mut out, character);
            }
        }
        for byte in chunk.invalid() {
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
    out
}

/// Escapes every text in a JSON value. Newlines stay.
pub fn escape_strings(value: &mut serde_json::Value) {
    use serde_json::Value;
    match value {
        Value::String(text) => *text = escape(text.as_bytes(), true),
        Value::Array(values) => values.iter_mut().for_each(escape_strings),
        Value::Object(fields) => fields.values_mut().for_each(escape_strings),
        _ => {}
    }
}

fn push_escape(out: &mut String, character: char) {
    match character {
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        _ => {
            let _ = write!(out, "\\u{{{:x}}}", u32::from(character));
        }
    }
}

/// Characters that a reader cannot see or that change how others are shown.
fn is_deceptive(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{00ad}' | '\u{034f}' | '\u{061c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::escape;

    #[test]
    fn characters_that_deceive_are_shown_as_escapes() {
        assert_eq!(escape("a\u{202e}b\u{200b}c\x1b[2J\r".as_bytes(), false), "a\\u{202e}b\\u{200b}c\\u{1b}[2J\\r");
        assert_eq!(escape(b"a\xffb", false), "a\\xffb");
        assert_eq!(escape("größe 🔒\n".as_bytes(), true), "größe 🔒\n");
    }
}
