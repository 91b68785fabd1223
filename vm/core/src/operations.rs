//! The operations of pipelines: pure functions from a text and one argument to a text (spec/language.md, "Pipelines").
//!
//! Texts are bytes. Where characters matter, what is no UTF-8 counts as U+FFFD.

use std::cmp::Ordering;
use std::collections::HashMap;

use opal_format::kind::NodeKind;
use regex_lite::{Regex, RegexBuilder};
use serde_json::value::RawValue;
use zeroize::Zeroizing;

/// Most bytes that a pipeline takes from its step.
pub const INPUT_MAX: usize = 16 << 20;

/// Bound on the compiled form of a regular expression, and so on the time that it takes for each byte.
const REGEX_MAX: usize = 1 << 16;

/// Why an operation fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unmet {
    /// Nothing matches the regular expression.
    Match,
    /// The text is another one.
    Equal,
    /// The text is no number, or one that compares otherwise.
    Number,
    /// The text is not JSON.
    Json,
    /// The JSON has no value there.
    Path,
    /// The argument is none that the operation takes; planning has refused those that it knew.
    Argument,
}

/// Checks a String argument.
///
/// # Errors
/// What it has to be, for messages.
pub fn check(kind: NodeKind, argument: &[u8]) -> Result<(), &'static str> {
    let text = String::from_utf8_lossy(argument);
    match kind {
        NodeKind::LinesGrep | NodeKind::AssertRe if regex(&text).is_none() => Err("a regular expression, not too large"),
        NodeKind::JsonPick if path(&text).is_none() => Err("a path such as `$.items[0].name` or `$[\"a.b\"]`"),
        NodeKind::AssertNum if comparison(&text).is_none() => Err("a comparison with a number, such as `>= 3`"),
        _ => Ok(()),
    }
}

/// Applies an operation to `text`. `argument` is its argument as text, empty where it takes none.
///
/// # Errors
/// [`Unmet`], where an assertion or `json.pick` fails. The text is then what it was.
pub fn apply(kind: NodeKind, argument: &[u8], input: &mut Zeroizing<Vec<u8>>) -> Result<(), Unmet> {
    let text = String::from_utf8_lossy(argument);
    let count = || text.parse::<usize>().map_err(|_| Unmet::Argument);
    match kind {
        NodeKind::LinesGrep => {
            let regex = regex(&text).ok_or(Unmet::Argument)?;
            let mut kept = Zeroizing::new(Vec::with_capacity(input.len()));
            for line in lines(input) {
                if regex.is_match(&String::from_utf8_lossy(line.strip_suffix(b"\n").unwrap_or(line))) {
                    kept.extend_from_slice(line);
                }
            }
            *input = kept;
        }
        NodeKind::LinesHead => {
            let kept = lines(input).take(count()?).fold(0, |kept: usize, line| kept.saturating_add(line.len()));
            input.truncate(kept);
        }
        NodeKind::LinesTail => {
            let surplus = lines(input).count().saturating_sub(count()?);
            let dropped = lines(input).take(surplus).fold(0, |dropped: usize, line| dropped.saturating_add(line.len()));
            input.drain(..dropped);
        }
        NodeKind::LinesCount => *input = line_of(lines(input).count().to_string()),
        NodeKind::JsonPick => *input = line_of(pick(&String::from_utf8_lossy(input), &path(&text).ok_or(Unmet::Argument)?)?),
        NodeKind::AssertRe => {
            let regex = regex(&text).ok_or(Unmet::Argument)?;
            ensure(regex.is_match(&String::from_utf8_lossy(input)), Unmet::Match)?;
        }
        NodeKind::AssertEq => ensure(trimmed(input) == trimmed(argument), Unmet::Equal)?,
        NodeKind::AssertNum => {
            let (holds, bound) = comparison(&text).ok_or(Unmet::Argument)?;
            let number = Number::parse(String::from_utf8_lossy(input).trim_ascii());
            ensure(number.and_then(|number| number.compare(bound)).is_some_and(holds), Unmet::Number)?;
        }
        _ => return Err(Unmet::Argument),
    }
    Ok(())
}

fn ensure(holds: bool, unmet: Unmet) -> Result<(), Unmet> {
    if holds { Ok(()) } else { Err(unmet) }
}

/// Lines with their ends; the last may have none.
fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split_inclusive(|byte| *byte == b'\n')
}

/// Text without the line ends at its end, as `$(…)` takes it.
#[must_use]
pub fn trimmed(mut text: &[u8]) -> &[u8] {
    while let Some(rest) = text.strip_suffix(b"\n") {
        text = rest;
    }
    text
}

fn line_of(text: String) -> Zeroizing<Vec<u8>> {
    let mut line = Zeroizing::new(Vec::with_capacity(text.len().saturating_add(1)));
    line.extend_from_slice(Zeroizing::new(text).as_bytes());
    line.push(b'\n');
    line
}

fn regex(pattern: &str) -> Option<Regex> {
    RegexBuilder::new(pattern).size_limit(REGEX_MAX).build().ok()
}

/// A step into a JSON value.
enum Key {
    Field(String),
    Index(usize),
}

/// `$`, then any of `.name`, `[0]`, `["name"]` and `['name']`.
fn path(text: &str) -> Option<Vec<Key>> {
    let mut rest = text.strip_prefix('$')?;
    let mut keys = Vec::new();
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix('.') {
            let (name, after) = after.split_at_checked(after.find(['.', '[']).unwrap_or(after.len()))?;
            if name.is_empty() || name == "*" {
                return None;
            }
            keys.push(Key::Field(name.to_owned()));
            rest = after;
            continue;
        }
        let inside = rest.strip_prefix('[')?;
        let quote = inside.chars().next().filter(|first| matches!(first, '"' | '\''));
        let (key, after) = match quote {
            Some(quote) => {
                let (name, after) = inside.strip_prefix(quote)?.split_once(quote)?;
                (Key::Field(name.to_owned()), after.strip_prefix(']')?)
            }
            None => {
                let (index, after) = inside.split_once(']')?;
                (Key::Index(index.parse().ok()?), after)
            }
        };
        keys.push(key);
        rest = after;
    }
    Some(keys)
}

/// The value at a path: the text of a string, else the JSON text as it stands. Only the levels on the way are read into memory.
fn pick(text: &str, path: &[Key]) -> Result<String, Unmet> {
    let mut value: &RawValue = serde_json::from_str(text).map_err(|_| Unmet::Json)?;
    for key in path {
        let inside = match key {
            Key::Field(name) => serde_json::from_str::<HashMap<String, &RawValue>>(value.get()).ok().and_then(|mut map| map.remove(name)),
            Key::Index(index) => serde_json::from_str::<Vec<&RawValue>>(value.get()).ok().and_then(|list| list.get(*index).copied()),
        };
        value = inside.ok_or(Unmet::Path)?;
    }
    let text = value.get();
    if text.starts_with('"') { serde_json::from_str(text).map_err(|_| Unmet::Json) } else { Ok(text.to_owned()) }
}

/// A number as written: exact where it is an Int.
#[derive(Clone, Copy)]
enum Number {
    Int(i64),
    Float(f64),
}

impl Number {
    fn parse(text: &str) -> Option<Self> {
        match text.parse() {
            Ok(int) => Some(Self::Int(int)),
            Err(_) => text.parse().ok().filter(|float: &f64| float.is_finite()).map(Self::Float),
        }
    }

    fn compare(self, other: Self) -> Option<Ordering> {
        let float = |number| match number {
            Self::Int(int) => int as f64,
            Self::Float(float) => float,
        };
        match (self, other) {
            (Self::Int(a), Self::Int(b)) => Some(a.cmp(&b)),
            _ => float(self).partial_cmp(&float(other)),
        }
    }
}

/// Whether a comparison holds for an order of its two sides.
type Holds = fn(Ordering) -> bool;

/// `>= 3`: which orders hold, and the number on the right.
fn comparison(text: &str) -> Option<(Holds, Number)> {
    const OPERATORS: [(&str, Holds); 6] = [
        ("<=", Ordering::is_le),
        (">=", Ordering::is_ge),
        ("==", Ordering::is_eq),
        ("!=", Ordering::is_ne),
        ("<", Ordering::is_lt),
        (">", Ordering::is_gt),
    ];
    let text = text.trim_ascii();
    let (holds, number) = OPERATORS.iter().find_map(|(operator, holds)| Some((*holds, text.strip_prefix(operator)?)))?;
    Some((holds, Number::parse(number.trim_ascii())?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on(kind: NodeKind, argument: &str, input: &str) -> Result<String, Unmet> {
        let mut text = Zeroizing::new(input.as_bytes().to_vec());
        let applied = apply(kind, argument.as_bytes(), &mut text);
        assert!(applied.is_ok() || text.as_slice() == input.as_bytes(), "a text that was refused is left alone");
        applied.map(|()| String::from_utf8_lossy(&text).into_owned())
    }

    fn ok(text: &str) -> Result<String, Unmet> {
        Ok(text.to_owned())
    }

    #[test]
    fn lines_keep_their_ends() {
        assert_eq!(on(NodeKind::LinesGrep, "^b|c$", "ab\nbc\nxc\nb"), ok("bc\nxc\nb"));
        assert_eq!(on(NodeKind::LinesGrep, "z", "ab\n"), ok(""));
        for (n, head, tail) in [("0", "", ""), ("1", "a\n", "c"), ("2", "a\nb\n", "b\nc"), ("9", "a\nb\nc", "a\nb\nc")] {
            assert_eq!((on(NodeKind::LinesHead, n, "a\nb\nc"), on(NodeKind::LinesTail, n, "a\nb\nc")), (ok(head), ok(tail)));
        }
        for (text, count) in [("", "0\n"), ("a", "1\n"), ("a\n\n", "2\n")] {
            assert_eq!(on(NodeKind::LinesCount, "", text), ok(count), "{text:?}");
        }
        let mut odd = Zeroizing::new(b"a\xffb\nc".to_vec());
        assert_eq!(apply(NodeKind::LinesGrep, b"a.b", &mut odd), Ok(()));
        assert_eq!(odd.as_slice(), b"a\xffb\n");
    }

    #[test]
    fn json_values_come_as_they_were_written() {
        let json = r#"{"a": {"b": [10, {"c d": "x\n\u00e9"}], "n": 12345678901234567890123.10}, "a.b": null, "k": 1, "k": 2}"#;
        for (path, value) in [
            ("$.a.b[0]", "10\n"),
            ("$.a.b[1][\"c d\"]", "x\né\n"),
            ("$['a.b']", "null\n"),
            ("$.a.n", "12345678901234567890123.10\n"),
            ("$.a.b", "[10, {\"c d\": \"x\\n\\u00e9\"}]\n"),
            ("$.k", "2\n"),
        ] {
            assert_eq!(on(NodeKind::JsonPick, path, json), ok(value), "{path}");
        }
        assert_eq!(on(NodeKind::JsonPick, "$", " \"x\" "), ok("x\n"));
        for path in ["$.b", "$.a.b[2]", "$.a[0]", "$.k.x", "$.a.b.c"] {
            assert_eq!(on(NodeKind::JsonPick, path, json), Err(Unmet::Path), "{path}");
        }
        for text in ["", "{", "[1] x", "\"\\ud800\""] {
            assert_eq!(on(NodeKind::JsonPick, "$", text), Err(Unmet::Json), "{text}");
        }
        let deep = "[".repeat(1_000_000);
        assert_eq!(on(NodeKind::JsonPick, "$", &deep), Err(Unmet::Json));
    }

    #[test]
    fn assertions_pass_their_text_on_or_say_what_is_unmet() {
        assert_eq!(on(NodeKind::AssertRe, "Status 2..", "HTTP\nStatus 200\n"), ok("HTTP\nStatus 200\n"));
        assert_eq!(on(NodeKind::AssertRe, "^Status", "HTTP\nStatus 200\n"), Err(Unmet::Match));
        assert_eq!(on(NodeKind::AssertEq, "a\nb", "a\nb\n\n"), ok("a\nb\n\n"));
        for other in ["", "a", "a b\n", " a\nb"] {
            assert_eq!(on(NodeKind::AssertEq, "a\nb", other), Err(Unmet::Equal), "{other:?}");
        }
        for (comparison, number) in [(">= 3", "3\n"), ("<3.5", " 3 "), ("== 1e3", "1000"), ("!=3", "3.1"), ("> -1", "0"), ("<= 3", "3.0")] {
            assert_eq!(on(NodeKind::AssertNum, comparison, number), ok(number), "{number} {comparison}");
        }
        let big = (">9007199254740992", "9007199254740993");
        assert_eq!(on(NodeKind::AssertNum, big.0, big.1), ok(big.1));
        for (comparison, text) in
            [(">= 3", "2"), ("> 3", "3"), (">= 3", "three"), (">= 3", ""), (">= 3", "inf"), ("!= 3", "NaN"), ("< 3", "1 2")]
        {
            assert_eq!(on(NodeKind::AssertNum, comparison, text), Err(Unmet::Number), "{text} {comparison}");
        }
    }

    #[test]
    fn arguments_that_an_operation_cannot_take_are_found() {
        use NodeKind::{AssertEq, AssertNum, AssertRe, JsonPick, LinesGrep};
        let fits =
            [(LinesGrep, ""), (AssertRe, "a{2}"), (AssertEq, "["), (JsonPick, "$"), (JsonPick, "$.a-b[0]['c.d']"), (AssertNum, "!=-2.5")];
        for (kind, argument) in fits {
            assert_eq!(check(kind, argument.as_bytes()), Ok(()), "{kind:?} {argument}");
        }
        for (kind, argument) in [
            (LinesGrep, "["),
            (AssertRe, "((a{1000}){1000}){1000}"),
            (JsonPick, "a"),
            (JsonPick, "$."),
            (JsonPick, "$.a[x]"),
            (JsonPick, "$.a[-1]"),
            (JsonPick, "$.*"),
            (JsonPick, "$['a"),
            (JsonPick, "$a"),
            (AssertNum, "3"),
            (AssertNum, "=3"),
            (AssertNum, ">"),
            (AssertNum, "> inf"),
        ] {
            assert!(check(kind, argument.as_bytes()).is_err(), "{kind:?} {argument}");
        }
    }
}
