//! OpenSSH's patterns, and the names of contracts.

use std::fmt;
use std::str::FromStr;

/// Whether `text` matches `pattern`, in which `*` stands for any characters and `?` for one. Compares bytes.
#[must_use]
pub fn matches(pattern: &str, text: &str) -> bool {
    let (mut pattern, mut text) = (pattern.as_bytes(), text.as_bytes());
    // Where to go on when what follows the last star does not fit: one byte further into the text.
    let mut retry: Option<(&[u8], &[u8])> = None;
    loop {
        match (pattern.split_first(), text.split_first()) {
            (Some((b'*', after)), _) => {
                retry = Some((after, text));
                pattern = after;
            }
            (Some((p, after)), Some((t, rest))) if *p == b'?' || p == t => {
                (pattern, text) = (after, rest);
            }
            (None, None) => return true,
            _ => match retry {
                Some((after, [_, rest @ ..])) => {
                    retry = Some((after, rest));
                    (pattern, text) = (after, rest);
                }
                _ => return false,
            },
        }
    }
}

/// Whether a comma-separated list of patterns accepts `text`. A match of one that starts with `!` refuses it.
#[must_use]
pub fn list_accepts(list: &str, text: &str) -> bool {
    let mut accepted = false;
    for pattern in list.split(',') {
        match pattern.strip_prefix('!') {
            Some(negated) if matches(negated, text) => return false,
            Some(_) => {}
            None => accepted |= !pattern.is_empty() && matches(pattern, text),
        }
    }
    accepted
}

/// The name of a contract or of a plan's work: `sha256:` or `blake3:` and 64 hexadecimal digits, in lower case.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HashName(String);

/// A text that is no [`HashName`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a hash: `sha256:` or `blake3:` and 64 hexadecimal digits")]
pub struct HashNameError {
    /// The text.
    pub text: String,
}

impl HashName {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A file name for what belongs to it.
    #[must_use]
    pub fn file_name(&self) -> String {
        self.0.replace(':', "-")
    }
}

impl FromStr for HashName {
    type Err = HashNameError;

    fn from_str(text: &str) -> Result<Self, HashNameError> {
        let digits = text.strip_prefix("sha256:").or_else(|| text.strip_prefix("blake3:"));
        match digits {
            Some(digits) if digits.len() == 64 && digits.bytes().all(|b| b.is_ascii_hexdigit()) => Ok(Self(text.to_ascii_lowercase())),
            _ => Err(HashNameError { text: text.to_owned() }),
        }
    }
}

impl fmt::Display for HashName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn stars_and_question_marks_match_as_in_openssh() {
        for (pattern, text) in [("*", ""), ("a*c", "abbc"), ("a?c", "abc"), ("*b*b", "abab"), ("", ""), ("opal-*", "opal-plan")] {
            assert!(matches(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [("?", ""), ("a*c", "abcd"), ("a", ""), ("", "a"), ("*b?", "ab")] {
            assert!(!matches(pattern, text), "{pattern} {text}");
        }
    }

    #[test]
    fn a_negated_pattern_refuses_whatever_else_matches() {
        assert!(list_accepts("file,opal-*", "opal-plan"));
        assert!(!list_accepts("opal-*,!opal-plan", "opal-plan"));
        assert!(!list_accepts("!x", "opal-plan"));
        assert!(!list_accepts("", ""));
    }

    #[test]
    fn hash_names_are_whole_and_lower_case() {
        let digits = "AB".repeat(32);
        let name: HashName = format!("sha256:{digits}").parse().expect("a hash");
        assert_eq!(name.as_str(), format!("sha256:{}", digits.to_lowercase()));
        assert!(!name.file_name().contains(':'));
        for text in ["", "sha256:", &digits, &format!("sha1:{digits}"), &format!("sha256:{digits}0")] {
            assert!(text.parse::<HashName>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_pattern_of_stars_between_pieces_matches_their_join(pieces in proptest::collection::vec("[ab]{0,4}", 1..6)) {
            prop_assert!(matches(&pieces.join("*"), &pieces.concat()));
            prop_assert!(matches(&pieces.join("*"), &pieces.join("xy")));
        }
    }
}
