//! What `$'…'` stands for.

/// The text between the quotes, escapes taken away. Bytes that are no text become U+FFFD: no name of a command holds one.
pub(super) fn decode(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text.chars().peekable();
    while let Some(character) = rest.next() {
        if character != '\\' {
            out.push(character);
            continue;
        }
        let Some(escape) = rest.next() else { break };
        // Without digits they are text.
        let braced = escape == 'x' && rest.next_if_eq(&'{').is_some();
        if matches!(escape, 'x' | 'u' | 'U') && !braced && !rest.peek().is_some_and(char::is_ascii_hexdigit) {
            out.push('\\');
            out.push(escape);
            continue;
        }
        let mut number = |first: u32, radix: u32, most: usize| {
            let mut value = first;
            for _ in 0..most {
                let Some(digit) = rest.peek().and_then(|digit| digit.to_digit(radix)) else { break };
                value = value.saturating_mul(radix).saturating_add(digit);
                rest.next();
            }
            value
        };
        let byte = |value: u32| if value & 0xff < 0x80 { char::from_u32(value & 0xff) } else { Some(char::REPLACEMENT_CHARACTER) };
        let found = match escape {
            'a' => Some('\u{7}'),
            'b' => Some('\u{8}'),
            'e' | 'E' => Some('\u{1b}'),
            'f' => Some('\u{c}'),
            'n' => Some('\n'),
            'r' => Some('\r'),
            't' => Some('\t'),
            'v' => Some('\u{b}'),
            '\\' | '\'' | '"' | '?' => Some(escape),
            '0'..='7' => byte(number(escape.to_digit(8).unwrap_or(0), 8, 2)),
            'x' if braced => {
                let value = number(0, 16, usize::MAX);
                rest.next_if_eq(&'}');
                byte(value)
            }
            'x' => byte(number(0, 16, 2)),
            'u' => char::from_u32(number(0, 16, 4)),
            'U' => char::from_u32(number(0, 16, 8)),
            'c' => rest.next().and_then(|character| byte(u32::from(character) & 0x1f)),
            other => {
                out.push('\\');
                Some(other)
            }
        };
        match found {
            // Bash ends the text there.
            Some('\0') => break,
            Some(found) => out.push(found),
            None => out.push(char::REPLACEMENT_CHARACTER),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::decode;

    #[test]
    fn escapes_mean_what_they_mean_to_bash() {
        for text in [
            "eval",
            "e\\x76al",
            "\\145val",
            "\\u0065val",
            "\\U00000065val",
            "a\\'b",
            "a\\qb",
            "a\\tb",
            "x\\0y",
            "\\x2dv",
            "\\x{65}val",
            "\\xZ",
            "eval\\x{}z",
            "\\cAz",
            "\\e[1m",
            "a\\\\b",
        ] {
            let bash =
                std::process::Command::new("bash").args(["--norc", "-c", &format!("printf %s $'{text}'")]).output().expect("bash runs");
            assert_eq!(decode(text), String::from_utf8_lossy(&bash.stdout), "{text}");
        }
    }
}
