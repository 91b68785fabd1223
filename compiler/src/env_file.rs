//! `--env NAME=VALUE` and `--env-file`: what the target's environment will hold.
//!
//! A line of a file is `NAME=VALUE`, blank, or a comment that starts with `#`. A value in single quotes is literal;
//! in double quotes, `\"`, `\\`, `\n` and `\t` are escapes; without quotes it is the rest of the line. Nothing is ever
//! expanded. Messages never show a value.

use std::collections::BTreeMap;
use std::path::PathBuf;

use opal_core::code::Code;
use opal_core::failure::{Failure, Report};

/// A line that is no assignment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}` line {line}: {cause}", file.display())]
pub struct EnvFileError {
    /// The file.
    pub file: PathBuf,
    /// Its line, from 1.
    pub line: usize,
    /// What is wrong.
    pub cause: EnvCause,
}

/// What is wrong with an assignment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnvCause {
    /// No `=`.
    #[error("it is not NAME=VALUE")]
    NoAssignment,
    /// Not a name of letters, digits and `_`.
    #[error("what stands before `=` is not a name of an environment variable")]
    BadName,
    /// The same name twice.
    #[error("`{name}` is set twice")]
    Repeated {
        /// The name.
        name: String,
    },
    /// A NUL byte, which no environment can hold.
    #[error("the value of `{name}` holds a NUL byte")]
    Nul {
        /// The name.
        name: String,
    },
    /// A quoted value whose quote does not close, or goes on after it.
    #[error("the quotes around the value of `{name}` do not match")]
    Quotes {
        /// The name.
        name: String,
    },
    /// Another escape.
    #[error("the value of `{name}` has an unknown escape: only \\\" \\\\ \\n \\t are known")]
    Escape {
        /// The name.
        name: String,
    },
    /// ` #` in a value without quotes: some read a comment there, some do not.
    #[error("it is unclear whether `#` belongs to the value of `{name}`")]
    Comment {
        /// The name.
        name: String,
    },
}

impl Failure for EnvFileError {
    fn report(&self) -> Report {
        let help = "write `NAME=VALUE`, or `NAME='VALUE'` for a value with quotes, `#` or outer spaces";
        Report::new(Code::BadEnvFile, help)
    }
}

/// Splits the argument of `--env`: the value is everything after the first `=`, as it stands.
///
/// # Errors
/// [`EnvCause::NoAssignment`], [`EnvCause::BadName`] or [`EnvCause::Nul`].
pub fn parse_assignment(text: &[u8]) -> Result<(String, &[u8]), EnvCause> {
    let at = text.iter().position(|b| *b == b'=').ok_or(EnvCause::NoAssignment)?;
    let (name, value) = text.split_at_checked(at).ok_or(EnvCause::NoAssignment)?;
    let name = String::from_utf8_lossy(name).into_owned();
    if !is_name(&name) {
        return Err(EnvCause::BadName);
    }
    let value = value.strip_prefix(b"=").unwrap_or(value);
    if value.contains(&0) { Err(EnvCause::Nul { name }) } else { Ok((name, value)) }
}

/// Reads a file of assignments.
///
/// # Errors
/// The first [`EnvFileError`].
pub fn parse(bytes: &[u8], file: &std::path::Path) -> Result<BTreeMap<String, Vec<u8>>, EnvFileError> {
    let mut found = BTreeMap::new();
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    for (line, number) in bytes.split(|b| *b == b'\n').zip(1..) {
        let fail = |cause| EnvFileError { file: file.to_owned(), line: number, cause };
        let line = line.trim_ascii();
        if line.is_empty() || line.starts_with(b"#") {
            continue;
        }
        let line = line.strip_prefix(b"export ").unwrap_or(line);
        let (name, raw) = parse_assignment(line).map_err(fail)?;
        let value = unquote(&name, raw).map_err(fail)?;
        if found.contains_key(&name) {
            return Err(fail(EnvCause::Repeated { name }));
        }
        found.insert(name, value);
    }
    Ok(found)
}

fn is_name(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_') && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

fn unquote(name: &str, raw: &[u8]) -> Result<Vec<u8>, EnvCause> {
    let quotes = || EnvCause::Quotes { name: name.to_owned() };
    if let Some(rest) = raw.strip_prefix(b"'") {
        let inner = rest.strip_suffix(b"'").ok_or_else(quotes)?;
        return if inner.contains(&b'\'') { Err(quotes()) } else { Ok(inner.to_vec()) };
    }
    let Some(rest) = raw.strip_prefix(b"\"") else {
        let mut pairs = raw.iter().zip(raw.iter().skip(1));
        let comment = raw.starts_with(b"#") || pairs.any(|(a, b)| a.is_ascii_whitespace() && *b == b'#');
        return if comment { Err(EnvCause::Comment { name: name.to_owned() }) } else { Ok(raw.to_vec()) };
    };
    let mut value = Vec::with_capacity(rest.len());
    let mut bytes = rest.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' if bytes.as_slice().is_empty() => return Ok(value),
            b'"' => return Err(quotes()),
            b'\\' => value.push(match bytes.next() {
                Some(b'n') => b'\n',
                Some(b't') => b'\t',
                Some(escaped @ (b'"' | b'\\')) => *escaped,
                Some(_) => return Err(EnvCause::Escape { name: name.to_owned() }),
                None => return Err(quotes()),
            }),
            other => value.push(*other),
        }
    }
    Err(quotes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::path::Path;

    fn read(text: &str) -> Result<BTreeMap<String, Vec<u8>>, EnvFileError> {
        parse(text.as_bytes(), Path::new("prod.env"))
    }

    #[test]
    fn values_are_taken_as_they_stand_or_unquoted() {
        let text = "\u{feff}# who\n\nA=1\r\n  B = \nexport C=a=b $X `y`\nD=' x # '\nE=\"q\\\"\\\\\\n\\t$X\"\nF=\nG=a#b\n";
        assert_eq!(read(text).expect_err("a space in a name").cause, EnvCause::BadName);
        let values = read(&text.replace("  B = \n", "")).expect("reads");
        let expected = [("A", "1"), ("C", "a=b $X `y`"), ("D", " x # "), ("E", "q\"\\\n\t$X"), ("F", ""), ("G", "a#b")];
        let expected: BTreeMap<_, _> = expected.map(|(n, v)| (n.to_owned(), v.as_bytes().to_vec())).into();
        assert_eq!(values, expected);
    }

    #[test]
    fn each_defect_has_its_own_cause_and_no_message_shows_a_value() {
        let name = || "K".to_owned();
        for (line, cause) in [
            ("hunter2", EnvCause::NoAssignment),
            ("hunter2 a=b", EnvCause::BadName),
            ("9K=hunter2", EnvCause::BadName),
            ("K=1\nK=hunter2", EnvCause::Repeated { name: name() }),
            ("K=hunter2\0", EnvCause::Nul { name: name() }),
            ("K='hunter2", EnvCause::Quotes { name: name() }),
            ("K='hunter2'x'", EnvCause::Quotes { name: name() }),
            ("K=\"hunter2", EnvCause::Quotes { name: name() }),
            ("K=\"hunter2\" x", EnvCause::Quotes { name: name() }),
            ("K=\"hunter2\\", EnvCause::Quotes { name: name() }),
            ("K=\"hunter2\\x\"", EnvCause::Escape { name: name() }),
            ("K=hunter2 # old", EnvCause::Comment { name: name() }),
            ("K=#hunter2", EnvCause::Comment { name: name() }),
        ] {
            let error = read(line).expect_err(line);
            assert_eq!(error.cause, cause, "{line}");
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
        assert_eq!(read("A=1\n\nx").expect_err("refused").line, 3);
    }

    proptest! {
        #[test]
        fn single_quotes_carry_any_line_without_them(value in "[^'\n\0]{0,40}") {
            let values = read(&format!("K='{value}'")).expect("reads");
            prop_assert_eq!(values.get("K").map(Vec::as_slice), Some(value.as_bytes()));
        }

        #[test]
        fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&bytes, Path::new("f"));
        }
    }
}
