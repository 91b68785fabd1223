//! OpenSSH's patterns.
//!
//! Read for: who is trusted, and what policy allows.

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

    proptest! {
        #[test]
        fn a_pattern_of_stars_between_pieces_matches_their_join(pieces in proptest::collection::vec("[ab]{0,4}", 1..6)) {
            prop_assert!(matches(&pieces.join("*"), &pieces.concat()));
            prop_assert!(matches(&pieces.join("*"), &pieces.join("xy")));
        }
    }
}
