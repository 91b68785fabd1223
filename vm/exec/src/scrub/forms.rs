//! The forms in which a secret value may appear in output.
//!
//! Everything that ordinary tools print by themselves: the bytes, their usual encodings, and the ways
//! languages quote them. Not covered, because no list could be: reversed, one character a line, encrypted.

use std::collections::HashSet;

/// Shorter values and forms are not looked for: they would be found everywhere.
pub(super) const FORM_MIN: usize = 4;

/// Columns at which `base64` and `openssl` break their lines.
const WRAPS: [usize; 2] = [76, 64];

/// Calls `add` with every form of `secret`, some more than once.
pub(super) fn each(secret: &[u8], add: &mut impl FnMut(Vec<u8>)) {
    let mut seen = HashSet::new();
    let mut add = |form: Vec<u8>| {
        if form.len() >= FORM_MIN && seen.insert(form.clone()) {
            add(form);
        }
    };
    one(secret, &mut add);
    let trimmed = secret.strip_suffix(b"\n").unwrap_or(secret);
    let trimmed = trimmed.strip_suffix(b"\r").unwrap_or(trimmed);
    if trimmed.len() >= FORM_MIN && trimmed.len() < secret.len() {
        one(trimmed, &mut add);
    }
    if trimmed.contains(&b'\n') {
        let unix: Vec<u8> = lines(secret).collect::<Vec<_>>().join(&b'\n');
        let dos = lines(secret).collect::<Vec<_>>().join(&b"\r\n"[..]);
        one(&unix, &mut add);
        one(&dos, &mut add);
        for line in lines(secret).filter(|line| line.len() >= FORM_MIN) {
            one(line, &mut add);
        }
    }
}

fn lines(secret: &[u8]) -> impl Iterator<Item = &[u8]> {
    secret.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line))
}

fn one(secret: &[u8], add: &mut impl FnMut(Vec<u8>)) {
    add(secret.to_vec());
    base64(secret, add);
    for digits in [b"0123456789abcdef", b"0123456789ABCDEF"] {
        add(secret.iter().flat_map(|byte| hex(*byte, digits)).collect());
        // encodeURIComponent, RFC 3986, Python's quote, encodeURI, and forms.
        for safe in [&b"-_.~!'()*"[..], b"-_.~", b"-_.~/", b"-_.~!'()*;,/?:@&=+$#", b"-_.*"] {
            add(percent(secret, digits, safe, false));
            add(percent(secret, digits, safe, true));
        }
    }
    let text = std::str::from_utf8(secret).ok();
    let go = Json { html: true, ..Json::default() };
    for flags in [Json::default(), go, Json { long: true, ..go }, Json { slash: true, ..Json::default() }] {
        add(flags.bytes(secret));
        if let Some(text) = text {
            add(flags.ascii(text));
        }
    }
    shell(secret, add);
    for (quote, apostrophe) in [("&quot;", "&#39;"), ("&quot;", "&apos;"), ("&#34;", "&#39;"), ("&quot;", "&#x27;"), ("\"", "'")] {
        add(substitute(secret, |byte| match byte {
            b'&' => Some("&amp;"),
            b'<' => Some("&lt;"),
            b'>' => Some("&gt;"),
            b'"' => Some(quote),
            b'\'' => Some(apostrophe),
            _ => None,
        }));
    }
}

/// The base64 forms: what is certain when the secret starts at each of the three places in a group,
/// and all of it, padded and not, where it ends the text.
fn base64(secret: &[u8], add: &mut impl FnMut(Vec<u8>)) {
    const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for before in 0..3usize {
        let mut bytes = vec![0; before];
        bytes.extend_from_slice(secret);
        let mut digits: Vec<u8> = bytes
            .chunks(3)
            .flat_map(|group| {
                let at = |n: usize| u32::from(group.get(n).copied().unwrap_or(0));
                let bits = at(0) << 16 | at(1) << 8 | at(2);
                let digits = [bits >> 18, bits >> 12, bits >> 6, bits];
                digits.into_iter().take(group.len().saturating_add(1))
            })
            .map(|six| STANDARD.get((six & 63) as usize).copied().unwrap_or(b'A'))
            .collect();
        // With `before` unknown bytes in front, the digits that hold any of their bits are unknown.
        digits.drain(..before.saturating_mul(4).div_ceil(3).min(digits.len()));
        let certain = if bytes.len() % 3 == 0 { digits.len() } else { digits.len().saturating_sub(1) };
        let padding = (3usize.saturating_sub(bytes.len() % 3)) % 3;
        let padded: Vec<u8> = digits.iter().copied().chain(std::iter::repeat_n(b'=', padding)).collect();
        let mut forms = vec![digits.get(..certain).unwrap_or_default().to_vec(), digits];
        if before == 0 {
            let wrapped = WRAPS.into_iter().filter(|width| padded.len() > *width);
            forms.extend(wrapped.flat_map(|width| padded.chunks(width)).map(<[u8]>::to_vec));
        }
        forms.push(padded);
        for form in forms {
            add(form
                .iter()
                .map(|digit| match digit {
                    b'+' => b'-',
                    b'/' => b'_',
                    other => *other,
                })
                .collect());
            add(form);
        }
    }
}

fn hex(byte: u8, digits: &[u8; 16]) -> [u8; 2] {
    [byte >> 4, byte & 15].map(|four| digits.get(usize::from(four)).copied().unwrap_or(b'0'))
}

fn percent(secret: &[u8], digits: &[u8; 16], safe: &[u8], plus: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(secret.len());
    for &byte in secret {
        if byte.is_ascii_alphanumeric() || safe.contains(&byte) {
            out.push(byte);
        } else if plus && byte == b' ' {
            out.push(b'+');
        } else {
            out.push(b'%');
            out.extend_from_slice(&hex(byte, digits));
        }
    }
    out
}

/// What a JSON writer escapes besides what it must.
#[derive(Clone, Copy, Default)]
struct Json {
    /// `<`, `>` and `&`, as Go does.
    html: bool,
    /// `/`, as PHP does.
    slash: bool,
    /// Backspace and form feed by their numbers, as Go did before 1.22.
    long: bool,
}

impl Json {
    fn byte(self, byte: u8, out: &mut Vec<u8>) {
        let short = match byte {
            b'"' => b'"',
            b'\\' => b'\\',
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            8 if !self.long => b'b',
            12 if !self.long => b'f',
            b'/' if self.slash => b'/',
            0..32 => return out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
            b'<' | b'>' | b'&' if self.html => return out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
            _ => return out.push(byte),
        };
        out.extend_from_slice(&[b'\\', short]);
    }

    fn bytes(self, secret: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(secret.len());
        secret.iter().for_each(|byte| self.byte(*byte, &mut out));
        out
    }

    /// As writers do that put out nothing but ASCII.
    fn ascii(self, text: &str) -> Vec<u8> {
        let mut out = Vec::with_capacity(text.len());
        let mut units = [0; 2];
        for char in text.chars() {
            match u8::try_from(char) {
                Ok(byte) if char.is_ascii() => self.byte(byte, &mut out),
                _ => char.encode_utf16(&mut units).iter().for_each(|unit| out.extend_from_slice(format!("\\u{unit:04x}").as_bytes())),
            }
        }
        out
    }
}

/// As shells quote: inside `'…'` (both ways), inside `"…"`, with backslashes, and inside `$'…'`.
fn shell(secret: &[u8], add: &mut impl FnMut(Vec<u8>)) {
    add(substitute(secret, |byte| (byte == b'\'').then_some("'\\''")));
    add(substitute(secret, |byte| (byte == b'\'').then_some("'\"'\"'")));
    let backslashed = |special: &dyn Fn(u8) -> bool| {
        let mut out = Vec::with_capacity(secret.len());
        for &byte in secret {
            if special(byte) {
                out.push(b'\\');
            }
            out.push(byte);
        }
        out
    };
    add(backslashed(&|byte| matches!(byte, b'$' | b'`' | b'"' | b'\\')));
    add(backslashed(&|byte| byte.is_ascii() && !byte.is_ascii_alphanumeric() && !b"_-./:=@%+,".contains(&byte)));
    add(backslashed(&|byte| byte.is_ascii() && !byte.is_ascii_alphanumeric() && !b"_-./:=@%+".contains(&byte)));
    // Where the locale is not UTF-8, what is not ASCII is in octal.
    for ascii in [false, true] {
        add(ansi(secret, ascii, b'\''));
        // As GNU tools do without quotes (`ls -b`).
        add(ansi(secret, ascii, b' '));
        add(mixed(secret, ascii));
    }
}

/// As GNU tools quote file names for a shell: inside `'…'`, with `'$'…''` around what cannot be printed.
fn mixed(secret: &[u8], ascii: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(secret.len());
    let unprintable = |byte: &u8| matches!(byte, 0..32 | 127) || (ascii && *byte > 127);
    for (number, run) in secret.chunk_by(|a, b| unprintable(a) == unprintable(b)).enumerate() {
        if run.first().is_some_and(unprintable) {
            out.extend_from_slice(b"'$'");
            out.extend_from_slice(&ansi(run, ascii, b' '));
        } else {
            out.extend_from_slice(if number == 0 { b"" } else { b"''" });
            out.extend(substitute(run, |byte| (byte == b'\'').then_some("'\\''")));
        }
    }
    out
}

/// Control characters, backslashes and `special` as C writes them.
fn ansi(secret: &[u8], ascii: bool, special: u8) -> Vec<u8> {
    let mut out = Vec::with_capacity(secret.len());
    for &byte in secret {
        let short = match byte {
            b'\\' => byte,
            _ if byte == special => byte,
            7 => b'a',
            8 => b'b',
            b'\t' => b't',
            b'\n' => b'n',
            11 => b'v',
            12 => b'f',
            b'\r' => b'r',
            27 if special == b'\'' => b'E',
            0..32 | 127 => {
                out.extend_from_slice(format!("\\{byte:03o}").as_bytes());
                continue;
            }
            128.. if ascii => {
                out.extend_from_slice(format!("\\{byte:03o}").as_bytes());
                continue;
            }
            _ => {
                out.push(byte);
                continue;
            }
        };
        out.extend_from_slice(&[b'\\', short]);
    }
    out
}

fn substitute<'a>(secret: &[u8], by: impl Fn(u8) -> Option<&'a str>) -> Vec<u8> {
    let mut out = Vec::with_capacity(secret.len());
    for byte in secret {
        match by(*byte) {
            Some(text) => out.extend_from_slice(text.as_bytes()),
            None => out.push(*byte),
        }
    }
    out
}
