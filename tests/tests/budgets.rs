//! The budgets of `docs/audit.md`: what one reads for a promise stays small enough to be read.
//!
//! Each heading there is a promise, the list below it is what one reads for it, in reading order, and `at most N lines` is its bound. Lines
//! are counted without comments, blank lines and tests. An entry `- not` takes away from what stands before it. The head of each module of the
//! machine says what it is read for.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use opal_tests::root;

/// A promise, as `docs/audit.md` states it.
struct Promise {
    words: String,
    most: usize,
    paths: Vec<String>,
    /// What is left out of them.
    without: Vec<String>,
}

impl Promise {
    /// The source files that one reads for it.
    fn all(&self) -> BTreeSet<PathBuf> {
        let mut all: BTreeSet<PathBuf> = self.paths.iter().flat_map(|path| files(path)).collect();
        for path in &self.without {
            for file in files(path) {
                assert!(all.remove(&file), "`{}` leaves out {}, which is not in it", self.words, file.display());
            }
        }
        all
    }
}

fn promises() -> Vec<Promise> {
    let text = fs::read_to_string(root().join("docs/audit.md")).expect("docs/audit.md is there");
    let mut promises: Vec<Promise> = Vec::new();
    for line in text.lines() {
        if let Some(words) = line.strip_prefix("## ") {
            promises.push(Promise { words: words.to_owned(), most: 0, paths: Vec::new(), without: Vec::new() });
        }
        let Some(promise) = promises.last_mut() else { continue };
        if let Some(rest) = line.strip_prefix("At most ") {
            let number: String = rest.chars().take_while(|c| *c != ' ').filter(|c| *c != ',').collect();
            promise.most = number.parse().expect("a bound is a number");
        }
        let without = line.trim_start().strip_prefix("- not ");
        if without.is_some() || line.starts_with(|c: char| c.is_ascii_digit()) || line.starts_with("- ") {
            let path = line.split('`').nth(1).expect("an entry of a list names a path in backticks");
            let list = if without.is_some() { &mut promise.without } else { &mut promise.paths };
            list.push(path.to_owned());
        }
    }
    promises
}

/// The source files of an entry: a file, or all below a folder but its tests.
fn files(path: &str) -> Vec<PathBuf> {
    let full = root().join(path);
    assert!(full.exists(), "docs/audit.md names `{path}`, which is not in the tree");
    let mut found = Vec::new();
    let mut left = vec![full];
    while let Some(next) = left.pop() {
        if next.is_dir() {
            left.extend(fs::read_dir(&next).expect("a folder").map(|entry| entry.expect("an entry").path()));
        } else if next.extension().is_some_and(|extension| extension == "rs") && !is_test(&next) {
            found.push(next);
        }
    }
    found.sort();
    found
}

fn is_test(path: &Path) -> bool {
    path.strip_prefix(root()).expect("inside the tree").components().any(|part| {
        let part = part.as_os_str();
        part == "tests" || part == "tests.rs" || part == "benches"
    })
}

/// Lines with code on them, outside comments and outside what `#[cfg(test)]` stands before.
fn code_lines(text: &str) -> usize {
    let masked = mask(text);
    let mut count = 0;
    let mut lines = masked.lines().peekable();
    while let Some(line) = lines.next() {
        let line = line.trim();
        if line.is_empty() {
            continue;
        }
        if line == "#[cfg(test)]" {
            skip_item(&mut lines);
            continue;
        }
        count += 1;
    }
    count
}

/// Takes the lines of one item: up to its `;`, or to the brace that closes its body.
fn skip_item<'a>(lines: &mut impl Iterator<Item = &'a str>) {
    let mut depth = 0_i32;
    for line in lines {
        let mut closed = false;
        for c in line.chars() {
            match c {
                '{' => depth += 1,
                '}' => {
                    depth -= 1;
                    closed = depth == 0;
                }
                ';' if depth == 0 => return,
                _ => {}
            }
        }
        if closed && depth == 0 {
            return;
        }
    }
}

/// The text with comments and the insides of literals blanked out; line ends stay.
fn mask(text: &str) -> String {
    let bytes: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    let blank = |out: &mut String, from: usize, to: usize, with: char| {
        for c in &bytes[from..to.min(bytes.len())] {
            out.push(if *c == '\n' { '\n' } else { with });
        }
    };
    while at < bytes.len() {
        let rest = &bytes[at..];
        let end = match rest {
            ['/', '/', ..] => {
                let end = at + rest.iter().position(|c| *c == '\n').unwrap_or(rest.len());
                blank(&mut out, at, end, ' ');
                end
            }
            ['/', '*', ..] => {
                let (mut depth, mut end) = (0, at);
                loop {
                    match &bytes[end..] {
                        ['/', '*', ..] => (depth, end) = (depth + 1, end + 2),
                        ['*', '/', ..] => (depth, end) = (depth - 1, end + 2),
                        [] => break,
                        _ => end += 1,
                    }
                    if depth == 0 {
                        break;
                    }
                }
                blank(&mut out, at, end, ' ');
                end
            }
            ['"', ..] => {
                let mut end = at + 1;
                while end < bytes.len() && bytes[end] != '"' {
                    end += if bytes[end] == '\\' { 2 } else { 1 };
                }
                blank(&mut out, at, end + 1, 'x');
                end + 1
            }
            ['r', '"', ..] | ['r', '#', ..] if at == 0 || !bytes[at - 1].is_alphanumeric() && bytes[at - 1] != '_' => {
                let hashes = rest[1..].iter().take_while(|c| **c == '#').count();
                if rest.get(1 + hashes) != Some(&'"') {
                    out.push('r');
                    at += 1;
                    continue;
                }
                let close: Vec<char> = std::iter::once('"').chain(std::iter::repeat_n('#', hashes)).collect();
                let body = 2 + hashes;
                let length = rest[body..].windows(close.len()).position(|window| window == close).unwrap_or(rest.len() - body);
                let end = at + body + length + close.len();
                blank(&mut out, at, end, 'x');
                end
            }
            // A character, not a lifetime.
            ['\'', '\\', ..] => {
                let mut end = at + 2;
                while end < bytes.len() && (bytes[end] != '\'' || end == at + 2) {
                    end += 1;
                }
                blank(&mut out, at, end + 1, 'x');
                end + 1
            }
            ['\'', _, '\'', ..] => {
                out.push_str("xxx");
                at + 3
            }
            [c, ..] => {
                out.push(*c);
                at + 1
            }
            [] => break,
        };
        at = end;
    }
    out
}

fn counted(path: &Path) -> usize {
    code_lines(&fs::read_to_string(path).expect("a source file"))
}

#[test]
fn what_one_reads_for_a_promise_stays_within_its_budget() {
    let promises = promises();
    assert!(promises.len() >= 5, "docs/audit.md states every promise");
    let mut over = Vec::new();
    for promise in &promises {
        assert!(promise.most > 0, "`{}` has a bound", promise.words);
        let all = promise.all();
        assert!(!all.is_empty(), "`{}` lists what one reads for it", promise.words);
        let lines: usize = all.iter().map(|file| counted(file)).sum();
        println!("{lines:6} of {:6}  {}", promise.most, promise.words);
        if lines > promise.most {
            over.push(format!("{}: {lines} lines, at most {}", promise.words, promise.most));
        }
    }
    assert!(over.is_empty(), "over budget:\n{}", over.join("\n"));
}

/// The lines of a module's head that say what it is read for.
fn read_for(text: &str) -> BTreeSet<String> {
    let head = text.lines().take_while(|line| line.starts_with("//!") || line.is_empty());
    head.filter_map(|line| line.strip_prefix("//! Read for: ")).map(|words| words.trim_end_matches('.').to_owned()).collect()
}

#[test]
fn the_head_of_each_module_says_what_it_is_read_for() {
    let promises = promises();
    let (rest, stated) = promises.split_last().expect("the last is about all that is in the process");
    let mut wrong = Vec::new();
    for file in promises.iter().flat_map(Promise::all).collect::<BTreeSet<_>>() {
        if !file.starts_with(root().join("vm")) {
            continue;
        }
        let mut expected: BTreeSet<String> =
            stated.iter().filter(|promise| promise.all().contains(&file)).map(|promise| promise.words.clone()).collect();
        if expected.is_empty() {
            expected.insert(rest.words.clone());
        }
        let found = read_for(&fs::read_to_string(&file).expect("a source file"));
        if found != expected {
            let lines: Vec<String> = expected.iter().map(|words| format!("//! Read for: {words}.")).collect();
            wrong.push(format!("{}: its head says {found:?}, and should end with {}", file.display(), lines.join(" and ")));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn comments_literals_and_tests_are_not_counted() {
    let text = "//! head\n\n/// doc\nfn a() { /* x\n y */\n    let s = \"// {\n\";\n}\n#[cfg(test)]\nmod tests {\n    fn b() {}\n}\nconst C: char = '{';\n#[cfg(test)]\nmod more;\nfn r() -> &'static str { r#\"}\"#  }\n";
    assert_eq!(code_lines(text), 6);
}
