//! A word as the command gets it: quotes taken away, braces expanded, and what of it is known before it runs.

use std::ops::Range;

/// How many words the braces of one command may make.
const FIELDS_MAX: usize = 256;
/// How long a word with braces may be; a longer one is not read.
const BRACES_MAX: usize = 4096;

/// What stands between two points of the text: indices of its parts, and of the variables that it mentions.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Reach {
    pub(super) parts: Range<usize>,
    pub(super) mentions: Range<usize>,
}

impl Reach {
    pub(super) fn to(&self, end: &Self) -> Self {
        Self { parts: self.parts.start..end.parts.end, mentions: self.mentions.start..end.mentions.end }
    }
}

/// What the running shell puts in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unknown {
    /// Text of one word.
    Quoted,
    /// Text that is split: any number of words.
    Split,
    /// `<(…)`: the name of a file with the output of commands.
    Process,
    /// `(…)` after `NAME=`.
    Elements,
}

/// A piece of a word.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Piece {
    Text {
        text: String,
        quoted: bool,
    },
    /// A value of Opal: part of one word, whatever it holds.
    Value(Reach),
    Unknown(Unknown, Reach),
}

/// A word after quotes and braces.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Field {
    pub(super) pieces: Vec<Piece>,
}

impl Field {
    /// The text, if all of it is known: no value, no expansion, no pattern of file names.
    pub(super) fn constant(&self) -> Option<String> {
        let mut whole = String::new();
        if self.is_pattern() {
            return None;
        }
        for piece in &self.pieces {
            match piece {
                Piece::Text { text, .. } => whole.push_str(text),
                _ => return None,
            }
        }
        Some(whole)
    }

    /// The text with an expansion in the place of all that is not known: what of a program is known before it is put together.
    pub(super) fn outline(&self) -> String {
        let text = |piece: &Piece| match piece {
            Piece::Text { text, .. } => text.clone(),
            _ => "$-".to_owned(),
        };
        self.pieces.iter().map(text).collect()
    }

    /// Whether the shell may put names of files or of a home directory in its place.
    fn is_pattern(&self) -> bool {
        let mut bracket = false;
        for (index, piece) in self.pieces.iter().enumerate() {
            let Piece::Text { text, quoted: false } = piece else { continue };
            if index == 0 && text.starts_with('~') {
                return true;
            }
            for character in text.chars() {
                match character {
                    '*' | '?' => return true,
                    '[' => bracket = true,
                    ']' if bracket => return true,
                    _ => {}
                }
            }
        }
        false
    }

    /// What it surely starts and ends with, and whether that is all of it. `None` where it may become several words.
    fn frame(&self) -> Option<(String, String, bool)> {
        let (mut prefix, mut suffix, mut whole) = (String::new(), String::new(), true);
        let pattern = self.is_pattern();
        for (index, piece) in self.pieces.iter().enumerate() {
            match piece {
                Piece::Text { text, quoted } => {
                    for (place, character) in text.char_indices() {
                        let tilde = index == 0 && place == 0 && character == '~';
                        if !quoted && (pattern && matches!(character, '*' | '?' | '[' | ']') || tilde) {
                            whole = false;
                            suffix.clear();
                        } else if whole {
                            prefix.push(character);
                        } else {
                            suffix.push(character);
                        }
                    }
                }
                Piece::Unknown(Unknown::Split, _) => return None,
                Piece::Value(_) | Piece::Unknown(..) => {
                    whole = false;
                    suffix.clear();
                }
            }
        }
        Some((prefix, suffix, whole))
    }

    /// Whether it, or a word that it becomes, may be this text.
    pub(super) fn may_be(&self, text: &str) -> bool {
        match self.frame() {
            None => true,
            Some((prefix, _, true)) => prefix == text,
            Some((prefix, suffix, false)) => {
                text.len() >= prefix.len() + suffix.len() && text.starts_with(&prefix) && text.ends_with(&suffix)
            }
        }
    }

    /// Whether it may start with this text.
    pub(super) fn may_start(&self, text: &str) -> bool {
        match self.frame() {
            None => true,
            Some((prefix, _, true)) => prefix.starts_with(text),
            Some((prefix, _, false)) => prefix.starts_with(text) || text.starts_with(&prefix),
        }
    }

    /// Whether it may be an option `-vNAME`, perhaps with a subscript in the name.
    pub(super) fn may_be_name_option(&self) -> bool {
        let name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        match self.frame() {
            None => true,
            Some((prefix, _, true)) => prefix.starts_with("-v"),
            Some((_, suffix, false)) => self.may_start("-v") && (suffix.ends_with(']') || suffix.bytes().all(name)),
        }
    }

    /// Whether it holds a `/` whatever the shell makes of it: then it names a program, and no command of the shell's own.
    pub(super) fn is_path(&self) -> bool {
        for piece in &self.pieces {
            match piece {
                Piece::Text { text, .. } if text.contains('/') => return true,
                Piece::Unknown(Unknown::Split, _) => return false,
                _ => {}
            }
        }
        false
    }

    /// The constant text before the first thing that is not, and whether something follows it.
    pub(super) fn start(&self) -> (String, bool) {
        let mut start = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text { text, .. } => start.push_str(text),
                _ => return (start, true),
            }
        }
        (start, false)
    }

    /// The name and the text behind it, if it surely is `NAME=…` or `NAME+=…`.
    pub(super) fn assignment(&self) -> Option<(String, Self)> {
        let mut name = String::new();
        for (index, piece) in self.pieces.iter().enumerate() {
            let Piece::Text { text, quoted } = piece else { return None };
            let Some((head, tail)) = text.split_once('=') else {
                name.push_str(text);
                continue;
            };
            name.push_str(head);
            let name = name.strip_suffix('+').unwrap_or(&name);
            let rest = self.pieces.get(index + 1..).unwrap_or_default();
            let mut pieces = vec![Piece::Text { text: tail.to_owned(), quoted: *quoted }];
            pieces.extend_from_slice(rest);
            return super::names::is_name(name).then(|| (name.to_owned(), Self { pieces }));
        }
        None
    }

    /// Each value or expansion in it.
    pub(super) fn reaches(&self) -> impl Iterator<Item = &Reach> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Value(reach) | Piece::Unknown(_, reach) => Some(reach),
            Piece::Text { .. } => None,
        })
    }

    /// All of them, elements of arrays apart: those become values of variables.
    pub(super) fn evaluated(&self) -> impl Iterator<Item = &Reach> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Unknown(Unknown::Elements, _) | Piece::Text { .. } => None,
            Piece::Value(reach) | Piece::Unknown(_, reach) => Some(reach),
        })
    }
}

/// A byte of a word with braces.
#[derive(Clone)]
enum Atom {
    Character(char, bool),
    Piece(Piece),
}

/// The words that braces make of one; `None` where they are too many to tell.
pub(super) fn expand(pieces: &[Piece]) -> Option<Vec<Field>> {
    let braces = |piece: &Piece| matches!(piece, Piece::Text { text, quoted: false } if text.contains('{'));
    if !pieces.iter().any(braces) {
        return Some(vec![Field { pieces: pieces.to_vec() }]);
    }
    let mut atoms = Vec::new();
    for piece in pieces {
        match piece {
            // What is left of `""`: a word, though an empty one.
            Piece::Text { text, .. } if text.is_empty() => atoms.push(Atom::Piece(piece.clone())),
            Piece::Text { text, quoted } => atoms.extend(text.chars().map(|character| Atom::Character(character, *quoted))),
            other => atoms.push(Atom::Piece(other.clone())),
        }
    }
    if atoms.len() > BRACES_MAX {
        return None;
    }
    let mut open = vec![atoms];
    let mut done = Vec::new();
    // The leftmost brace first; what comes out may hold more.
    while let Some(atoms) = open.pop() {
        if open.len() + done.len() > FIELDS_MAX {
            return None;
        }
        match alternatives(&atoms) {
            Some(words) => open.extend(words.into_iter().rev()),
            // Nothing at all is no word.
            None if atoms.is_empty() => {}
            None => done.push(field(&atoms)),
        }
    }
    Some(done)
}

/// The words that the leftmost brace expansion makes, if there is one.
fn alternatives(atoms: &[Atom]) -> Option<Vec<Vec<Atom>>> {
    let plain = |index: usize, wanted: char| matches!(atoms.get(index), Some(Atom::Character(character, false)) if *character == wanted);
    for start in 0..atoms.len() {
        if !plain(start, '{') {
            continue;
        }
        let (mut depth, mut commas, mut close) = (0usize, Vec::new(), None);
        for at in start + 1..atoms.len() {
            if plain(at, '{') {
                depth += 1;
            } else if plain(at, ',') && depth == 0 {
                commas.push(at);
            } else if plain(at, '}') {
                if depth == 0 {
                    close = Some(at);
                    break;
                }
                depth -= 1;
            }
        }
        let Some(close) = close else { continue };
        let range = |from: usize, to: usize| atoms.get(from..to).unwrap_or_default();
        let (before, after) = (range(0, start), range(close + 1, atoms.len()));
        let make = |inner: &[Atom]| [before, inner, after].concat();
        if !commas.is_empty() {
            let ends = commas.iter().copied().chain([close]);
            let starts = std::iter::once(start).chain(commas.iter().copied());
            return Some(starts.zip(ends).map(|(from, to)| make(range(from + 1, to))).collect());
        }
        let sequence = (start + 1..close).any(|at| plain(at, '.') && plain(at + 1, '.'));
        if sequence {
            // Whatever it counts: letters or numbers, several words.
            let inside = range(start, close).iter().filter_map(|atom| match atom {
                Atom::Piece(Piece::Value(reach) | Piece::Unknown(_, reach)) => Some(reach.clone()),
                _ => None,
            });
            let reach = inside.reduce(|first, last| first.to(&last));
            return Some(vec![make(&[Atom::Piece(Piece::Unknown(Unknown::Split, reach.unwrap_or_default()))])]);
        }
    }
    None
}

fn field(atoms: &[Atom]) -> Field {
    let mut pieces: Vec<Piece> = Vec::new();
    for atom in atoms {
        match atom {
            Atom::Piece(piece) => pieces.push(piece.clone()),
            Atom::Character(character, quoted) => match pieces.last_mut() {
                Some(Piece::Text { text, quoted: same }) if same == quoted => text.push(*character),
                _ => pieces.push(Piece::Text { text: character.to_string(), quoted: *quoted }),
            },
        }
    }
    Field { pieces }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        let fields = expand(&[Piece::Text { text: text.to_owned(), quoted: false }]).expect("few words");
        fields.into_iter().map(|field| field.start().0).collect()
    }

    #[test]
    fn braces_make_the_words_that_bash_makes() {
        for (text, expected) in [
            ("{ev,}al", "eval al"),
            ("{.,}x{,}", ".x .x x x"),
            ("{eval,}", "eval"),
            ("a{b,c}d{e,f}", "abde abdf acde acdf"),
            ("{a,{b,c}}x", "ax bx cx"),
            ("{a}{b,c}", "{a}b {a}c"),
            ("{}{,x}", "{} {}x"),
            ("{a,b", "{a,b"),
            ("a}b", "a}b"),
            ("{-v,x}", "-v x"),
            ("{{a,b}}", "{a} {b}"),
        ] {
            assert_eq!(words(text).join(" "), expected, "{text}");
            let bash = std::process::Command::new("bash").args(["--norc", "-c", &format!("echo {text}")]).output().expect("bash runs");
            assert_eq!(String::from_utf8_lossy(&bash.stdout).trim_end(), expected, "{text}");
        }
        assert!(expand(&[Piece::Text { text: "{a,b}".repeat(20), quoted: false }]).is_none());
    }
}
