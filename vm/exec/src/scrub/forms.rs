//! The forms in which a secret value may appear in output.
//!
//! Everything that ordinary tools print by themselves: the bytes, and the ways languages escape and quote them; encodings as digits are found
//! by `digits.rs`. Not covered, because no list could be: reversed, one character a line, encrypted.
//!
//! Read for: no secret leaves unscrubbed.

use std::collections::{BTreeSet, HashSet};

/// Shorter values and forms are not looked for: they would be found everywhere.
pub(super) const FORM_MIN: usize = 4;

/// How often JSON may be a text in JSON.
const JSON_DEPTH: usize = 3;

/// Calls `add` with every form of `secret`, some more than once.
pub(crate) fn each(secret: &[u8], add: &mut impl FnMut(Vec<u8>)) {
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
pub(crate) fn variants(secret: &[u8]) -> Vec<Vec<u8>> {
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
    add(doubled(secret, b'\'', "''"));
    add(doubled(secret, b'"', "\"\""));
    // encodeURIComponent, RFC 3986, Python's quote, encodeURI, what browsers leave in addresses, and forms; and where all is in percent.
    for safe in [&b"-_.~!'()*"[..], b"-_.~", b"-_.~/", b"-_.~!'()*;,/?:@&=+$#", b"!$%&'()*+,-./:;=?@[]_|~", b"-_.*"] {
        for (upper, plus) in [(false, false), (false, true), (true, false), (true, true)] {
            add(percent(secret, upper, plus, |byte| byte.is_ascii_alphanumeric() || safe.contains(&byte)));
        }
    }
    [false, true].into_iter().for_each(|upper| add(percent(secret, upper, false, |_| false)));
    for flags in ["", "h", "hl", "s", "u", "hu", "d", "nhud"].map(Json) {
        // As text in JSON, in JSON, in JSON; at one of these what is not ASCII may be escaped.
        let mut texts = BTreeSet::from([secret.to_vec()]);
        for _ in 0..JSON_DEPTH {
            let ascii = texts.iter().filter(|text| !text.is_ascii()).map(|text| flags.ascii(text));
            texts = texts.iter().map(|text| substitute(text, |byte| flags.byte(byte))).chain(ascii).collect();
            texts.iter().cloned().for_each(&mut *add);
        }
    }
    if let Ok(text) = std::str::from_utf8(secret) {
        // Every character by its number, and behind a backslash, as bash traces patterns.
        let mut each = |by: &dyn Fn(char, u32) -> String| add(text.chars().flat_map(|char| by(char, char.into()).into_bytes()).collect());
        each(&|_, number| format!("&#{number};"));
        each(&|_, number| format!("&#x{number:x};"));
        each(&|_, number| format!("&#x{number:X};"));
        each(&|char, _| format!("\\{char}"));
        for flags in [Json(""), Json("u")] {
            add(text.encode_utf16().flat_map(|unit| flags.unicode(unit).into_bytes()).collect());
        }
    }
    shell(secret, add);
    for quote in ["&quot;", "&#34;", "&#x22;", "\""] {
        for apostrophe in ["&apos;", "&#39;", "&#x27;", "'"] {
            add(substitute(secret, |byte| match byte {
                b'&' => Some("&amp;".to_owned()),
                b'<' => Some("&lt;".to_owned()),
                b'>' => Some("&gt;".to_owned()),
                b'"' => Some(quote.to_owned()),
                b'\'' => Some(apostrophe.to_owned()),
                _ => None,
            }));
        }
    }
}

fn percent(secret: &[u8], upper: bool, plus: bool, safe: impl Fn(u8) -> bool) -> Vec<u8> {
    substitute(secret, |byte| match byte {
        b' ' if plus => Some("+".to_owned()),
        _ if safe(byte) => None,
        _ => Some(if upper { format!("%{byte:02X}") } else { format!("%{byte:02x}") }),
    })
}

/// What a JSON writer escapes besides what it must, by letters: `h` is `<`, `>` and `&`, as Go does; `s` is `/`, as PHP does; `l` is backspace and form feed by
/// their numbers, as Go did before 1.22; `d` is the last character of ASCII, as Python and `jq` do; `u` is numbers with upper case letters; `n` is quotes
/// and more by their numbers, as .NET does.
#[derive(Clone, Copy)]
struct Json(&'static str);

impl Json {
    fn has(self, flag: char) -> bool {
        self.0.contains(flag)
    }

    fn unicode(self, unit: u16) -> String {
        if self.has('u') { format!("\\u{unit:04X}") } else { format!("\\u{unit:04x}") }
    }

    fn byte(self, byte: u8) -> Option<String> {
        let numbered = match byte {
            8 | 12 => self.has('l'),
            b'<' | b'>' | b'&' => self.has('h'),
            b'"' | b'\'' | b'+' | b'`' => self.has('n'),
            127 => self.has('d'),
            _ => false,
        };
        match byte {
            _ if numbered => Some(self.unicode(byte.into())),
            b'/' if !self.has('s') => None,
            0..32 | b'"' | b'\\' | b'/' => Some(letter(byte, JSON).unwrap_or_else(|| self.unicode(byte.into()))),
            _ => None,
        }
    }

    /// As writers do that put out nothing but ASCII.
    fn ascii(self, text: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(text.len());
        for chunk in text.utf8_chunks() {
            for char in chunk.valid().chars() {
                match u8::try_from(char).ok().filter(u8::is_ascii) {
                    Some(byte) => out.extend(self.byte(byte).map_or_else(|| vec![byte], String::into_bytes)),
                    None => char.encode_utf16(&mut [0; 2]).iter().for_each(|unit| out.extend(self.unicode(*unit).into_bytes())),
                }
            }
            out.extend_from_slice(chunk.invalid());
        }
        out
    }
}

/// Bytes, and the letters that stand for them behind a backslash.
const JSON: [&[u8]; 2] = [b"\"\\/\x08\x0c\n\r\t", b"\"\\/bfnrt"];
const C: [&[u8]; 2] = [b"\\\x07\x08\t\n\x0b\x0c\r", b"\\abtnvfr"];
const SQL: [&[u8]; 2] = [b"\\'\"\0\n\r\x1a", b"\\'\"0nrZ"];

fn letter(byte: u8, [bytes, letters]: [&[u8]; 2]) -> Option<String> {
    let at = bytes.iter().position(|other| *other == byte)?;
    letters.get(at).map(|letter| format!("\\{}", char::from(*letter)))
}

/// As shells and SQL quote: inside `'…'` (both ways), inside `"…"`, with backslashes, and inside `$'…'`.
fn shell(secret: &[u8], add: &mut impl FnMut(Vec<u8>)) {
    add(doubled(secret, b'\'', "'\\''"));
    add(doubled(secret, b'\'', "'\"'\"'"));
    add(substitute(secret, |byte| letter(byte, SQL)));
    add(doubled(&doubled(secret, b'\\', "\\\\"), b'\'', "''"));
    let mut backslashed =
        |special: &dyn Fn(u8) -> bool| add(substitute(secret, |byte| special(byte).then(|| format!("\\{}", char::from(byte)))));
    backslashed(&|byte| matches!(byte, b'$' | b'`' | b'"' | b'\\'));
    // What is special to some shell.
    for plain in [&b"_-./:=@%+,"[..], b"_-./:=@%+", b"_-./:=@%+#~", b"_-./:=@%+,#~"] {
        backslashed(&|byte| byte.is_ascii() && !byte.is_ascii_alphanumeric() && !plain.contains(&byte));
    }
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
            out.extend(doubled(run, b'\'', "'\\''"));
        }
    }
    out
}

/// Control characters, backslashes and `special` as C writes them.
fn ansi(secret: &[u8], ascii: bool, special: u8) -> Vec<u8> {
    substitute(secret, |byte| match byte {
        _ if byte == special => Some(format!("\\{}", char::from(byte))),
        27 if special == b'\'' => Some("\\E".to_owned()),
        0..32 | 127 => letter(byte, C).or_else(|| Some(format!("\\{byte:03o}"))),
        128.. if ascii => Some(format!("\\{byte:03o}")),
        _ => letter(byte, C),
    })
}

fn doubled(secret: &[u8], one: u8, by: &str) -> Vec<u8> {
    substitute(secret, |byte| (byte == one).then(|| by.to_owned()))
}

fn substitute(secret: &[u8], by: impl Fn(u8) -> Option<String>) -> Vec<u8> {
    let mut out = Vec::with_capacity(secret.len());
    for byte in secret {
        match by(*byte) {
            Some(text) => out.extend_from_slice(text.as_bytes()),
            None => out.push(*byte),
        }
    }
    out
}
