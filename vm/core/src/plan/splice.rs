//! What stands around a value in its command, as far as it matters to the text that is put there.

use zeroize::Zeroizing;

/// The word in which the next value stands, without quotes, from what was read of a command so far.
#[derive(Default)]
pub struct Word {
    text: Zeroizing<Vec<u8>>,
    /// It follows `<`, `>` or one of their kin that opens a file.
    opens: bool,
    /// A `{` that may start a brace expansion stands in it.
    braces: bool,
}

impl Word {
    /// Verbatim text of the command.
    pub fn text(&mut self, bytes: &[u8]) {
        let ends = |byte: &u8| b" \t\n<>&|;()".contains(byte);
        let mut rest = bytes;
        if let Some(at) = bytes.iter().rposition(ends) {
            let (head, tail) = bytes.split_at(at.saturating_add(1));
            self.text.clear();
            self.opens = opens_file(head);
            self.braces = false;
            rest = tail;
        }
        let mut before = 0;
        for &byte in rest {
            self.braces |= byte == b'{' && before != b'$';
            before = byte;
        }
        self.text.extend(rest.iter().filter(|byte| !b"'\"\\".contains(byte)));
    }

    /// A value.
    pub fn value(&mut self, bytes: &[u8]) {
        self.text.extend_from_slice(bytes);
    }

    /// Whether the word is the name of a file that the shell opens.
    pub fn opens_file(&self) -> bool {
        self.opens
    }

    /// Whether the value stands in what may be a brace expansion, where `bash` looks at commas and braces even inside quotes.
    pub fn braces(&self) -> bool {
        self.braces
    }

    /// Whether `bash` would open a network connection in place of the file.
    pub fn opens_network(&self) -> bool {
        let holds = |device: &[u8]| self.text.windows(device.len()).any(|window| window == device);
        self.opens && (holds(b"/dev/tcp") || holds(b"/dev/udp"))
    }
}

/// Whether the text before a word ends with a redirection. A here-string opens nothing.
fn opens_file(mut head: &[u8]) -> bool {
    loop {
        head = match head {
            [rest @ .., b' ' | b'\t'] => rest,
            [rest @ .., b'\\', b'\n'] => rest,
            _ => break,
        };
    }
    matches!(head, [.., b'<' | b'>'] | [.., b'>', b'|']) && !head.ends_with(b"<<<")
}

/// Whether a value at this place can stand without quotes: nothing beside it in its word could make it part of an expansion (`$X`, `{1..`, `~`)
/// or of a redirection (`2>`).
pub(super) fn stands_apart(before: &[u8], after: &[u8]) -> bool {
    let blank = |byte: &u8| b" \t\n".contains(byte);
    let start = before.iter().rposition(blank);
    let (outside, head) = before.split_at(start.map_or(0, |at| at.saturating_add(1)));
    let tail = after.split(|byte| blank(byte) || b";)|".contains(byte)).next().unwrap_or_default();
    let escaped = matches!(outside, [.., b'\\', _]);
    !escaped && head.iter().chain(tail).all(|byte| super::emit::is_bare(*byte))
}

/// Whether the text ends with `$NAME` (or might), so that a letter put after it would become part of the name.
pub fn ends_in_name(mut text: &[u8]) -> bool {
    loop {
        text = match text {
            [rest @ .., b'\\', b'\n'] => rest,
            [rest @ .., last] if last.is_ascii_alphanumeric() || *last == b'_' => rest,
            [.., b'$'] => return true,
            _ => return false,
        };
    }
}

/// Whether a value holds bytes that `bash` uses for its own marks, and may double or drop when they stand in a script.
pub fn holds_marks(value: &[u8]) -> bool {
    value.iter().any(|byte| matches!(byte, 0x01 | 0x7f))
}

/// Whether a part of a command starts a here-document (or might). In its body, a line of a value could be the one that ends it.
pub fn starts_document(text: &[u8]) -> bool {
    text.windows(2).any(|pair| pair == b"<<") || text.windows(3).any(|three| three == b"<\\\n")
}

/// Whether a number put after the text would turn its `:` into `:-`, an operator.
pub fn ends_in_colon(text: &[u8], number: &[u8]) -> bool {
    number.starts_with(b"-") && text.ends_with(b":")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_words_of_ordinary_characters_leave_a_value_bare() {
        for (before, after) in [("echo ", ""), ("a --x=", " b"), ("a k8s/", "/c;"), ("a b-", ")"), ("", ""), ("a\n", "\nb")] {
            assert!(stands_apart(before.as_bytes(), after.as_bytes()), "{before}…{after}");
        }
        for (before, after) in
            [("a $X", ""), ("a ~", ""), ("a {1..", "}"), ("a ", ">f"), ("a ", "<f"), ("a $X\\\n", ""), ("a ", "&>f"), ("a [", "]")]
        {
            assert!(!stands_apart(before.as_bytes(), after.as_bytes()), "{before}…{after}");
        }
    }

    #[test]
    fn names_of_variables_are_seen_at_the_end() {
        for text in ["$X", "a $_9", "$X\\\nY", "$"] {
            assert!(ends_in_name(text.as_bytes()), "{text}");
        }
        for text in ["", "X", "${X}", "$X-", "$X "] {
            assert!(!ends_in_name(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn a_word_is_followed_over_its_parts() {
        let network = |parts: &[(&str, bool)]| {
            let mut word = Word::default();
            for (text, value) in parts {
                if *value { word.value(text.as_bytes()) } else { word.text(text.as_bytes()) }
            }
            word.opens_network()
        };
        assert!(network(&[("cat < ", false), ("/dev/", true), ("tcp/h/1", true)]));
        assert!(network(&[("cat >\"/d\"", false), ("ev/udp/h/1", true)]));
        assert!(network(&[("cat >| \\\n ", false), ("/dev/tcp/h/1", true)]));
        assert!(!network(&[("cat <<< ", false), ("/dev/tcp/h/1", true)]));
        assert!(!network(&[("case ", false), ("/dev/tcp/h/1", true)]));
        assert!(!network(&[("cat > f ", false), ("/dev/tcp/h/1", true)]));
    }
}
