//! The forms in which a secret value may appear in output.
//!
//! Everything that ordinary tools print by themselves: the bytes, and the ways languages escape and quote them; encodings as digits are found
//! by `digits.rs`. Not covered, because no list could be: reversed, one character a line, encrypted.
//!
//! Read for: no secret leaves unscrubbed.

use std::collections::HashSet;

/// Shorter values and forms are not looked for: they would be found everywhere.
pub(super) const FORM_MIN: usize = 4;

/// How often JSON may be a text in JSON.
const JSON_DEPTH: usize = 3;

/// Calls `add` with every form of `secret`, some more than once.
pub(super) fn each(secret: &[u8], add: &mut impl FnMut(Vec<u8>)) {
    let mut seen = HashSet::new();
    let mut add = |form: Vec<u8>| {
        if form.len() >= FORM_MIN && seen.insert(form.clone()) {
            add(form);
        }
    };
    variants(secret).iter().for_each(|variant| one(variant, &mut add));
}

/// The texts as which a value may be printed before anything is escaped: with and without its last line end, without any at its end, with the line ends of other systems,
/// and each of its lines.
pub(super) fn variants(secret: &[u8]) -> Vec<Vec<u8>> {
    let mut all = vec![secret.to_vec()];
    let last = secret.strip_suffix(b"\n").unwrap_or(secret);
    let end = secret.iter().rposition(|byte| !b"\r\n".contains(byte)).map_or(0, |last| last.saturating_add(1));
    let trimmed = secret.get(..end).unwrap_or_default();
    all.extend([last.strip_suffix(b"\r").unwrap_or(last), trimmed].map(<[u8]>::to_vec));
    if trimmed.contains(&b'\n') {
        all.push(lines(secret).collect::<Vec<_>>().join(&b'\n'));
        all.push(lines(secret).collect::<Vec<_>>().join(&b"\r\n"[..]));
        all.extend(lines(secret).map(<[u8]>::to_vec));
    }
    let mut seen = HashSet::new();
    all.retain(|variant| variant.len() >= FORM_MIN && seen.insert(variant.clone()));
    all
}

fn lines(secret: &[u8]) -> impl Iterator<Item = &[u8]> {
    secret.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line))
}

fn one(secret: &[u8], add: &mut impl FnMut(Vec<u8>)) {
    add(secret.to_vec());
    // As SQL, CSV and other languages double a quote inside quotes.
    add(substitute(secret, |byte| (byte == b'\'').then_some("''")));
    add(substitute(secret, |byte| (byte == b'"').then_some("\"\"")));
    for digits in [b"0123456789abcdef", b"0123456789ABCDEF"] {
        // encodeURIComponent, RFC 3986, Python's quote, encodeURI, and forms.
        for safe in [&b"-_.~!'()*"[..], b"-_.~", b"-_.~/", b"-_.~!'()*;,/?:@&=+$#", b"-_.*"] {
            add(percent(secret, digits, safe, false));
            add(percent(secret, digits, safe, true));
        }
    }
    let go = Json { html: true, ..Json::default() };
    for flags in [Json::default(), go, Json { long: true, ..go }, Json { slash: true, ..Json::default() }] {
        // As text in JSON, in JSON, in JSON; at one of these what is not ASCII may be escaped.
        for level in 0..JSON_DEPTH {
            let deeper = |form: &Vec<u8>| Some(flags.bytes(form)).filter(|deeper| deeper != form);
            let levels: Vec<Vec<u8>> = std::iter::successors(Some(secret.to_vec()), deeper).take(JSON_DEPTH.saturating_add(1)).collect();
            let text = levels.get(level).and_then(|form| std::str::from_utf8(form).ok()).filter(|text| !text.is_ascii());
            let ascii = std::iter::successors(text.map(|text| flags.ascii(text)), deeper);
            ascii.take(JSON_DEPTH.saturating_sub(level)).for_each(&mut *add);
            if level == 0 {
                levels.into_iter().for_each(&mut *add);
            }
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
