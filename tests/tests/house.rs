//! The house (ARCHITECTURE.md): no circle of files, and arrows between the rooms only where they are allowed.
//!
//! Read from the sources: what a `use` or a path names is looked for among the files. A parent module and its own child may know each other.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// A crate: its name in paths, its folder, and the crates of this house that it may use.
const ROOMS: &[(&str, &str, &[&str])] = &[
    ("opal_format", "format/src", &[]),
    ("opal_core", "vm/core/src", &["opal_format"]),
    ("opal_trust", "vm/trust/src", &["opal_format", "opal_core"]),
    ("opal_exec", "vm/exec/src", &["opal_format", "opal_core"]),
    ("opal_aside", "vm/aside/src", &["opal_format", "opal_core", "opal_exec"]),
    ("opal_record", "vm/record/src", &["opal_format", "opal_core", "opal_trust", "opal_exec"]),
    ("opal_view", "vm/view/src", &["opal_format", "opal_core", "opal_trust"]),
    ("opal_vm", "vm/src", &["opal_format", "opal_core", "opal_trust", "opal_exec", "opal_aside", "opal_record", "opal_view"]),
    ("opalc", "compiler/src", &["opal_format", "opal_core", "opal_trust", "opal_exec", "opal_record", "opal_view", "opal_vm"]),
];

/// A module: its crate, and its path in it.
type Module = (&'static str, Vec<String>);

fn files_below(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder of sources").flatten() {
        let path = entry.path();
        if path.is_dir() {
            files_below(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The modules of the house with their sources; those of tests and programs' `main` are not rooms.
fn modules() -> BTreeMap<Module, String> {
    let mut all = BTreeMap::new();
    for (name, folder, _) in ROOMS {
        let folder = opal_tests::root().join(folder);
        let mut files = Vec::new();
        files_below(&folder, &mut files);
        for file in files {
            let inside = file.strip_prefix(&folder).expect("below it").with_extension("");
            let mut path: Vec<String> = inside.components().map(|part| part.as_os_str().to_string_lossy().into_owned()).collect();
            if path.iter().any(|part| matches!(part.as_str(), "tests" | "bin" | "main")) {
                continue;
            }
            if path.last().is_some_and(|last| last == "lib" || last == "mod") {
                path.pop();
            }
            all.insert((*name, path), std::fs::read_to_string(&file).expect("a source"));
        }
    }
    all
}

/// A source without comments, texts and the tests at its end.
fn bare(source: &str) -> String {
    let source = source.split("#[cfg(test)]\nmod tests {").next().unwrap_or(source);
    let mut out = String::new();
    let mut rest = source.chars().peekable();
    while let Some(character) = rest.next() {
        match character {
            '/' if rest.peek() == Some(&'/') => while rest.next_if(|next| *next != '\n').is_some() {},
            '"' => {
                while let Some(next) = rest.next() {
                    match next {
                        '\\' => drop(rest.next()),
                        '"' => break,
                        _ => {}
                    }
                }
            }
            // A quote as a character would open a text.
            '\'' if rest.peek() == Some(&'"') => drop(rest.next()),
            '\'' if rest.peek() == Some(&'\\') => {
                rest.next();
                rest.next();
            }
            _ => out.push(character),
        }
    }
    out
}

/// The paths that a tree of uses stands for: `a::{b, c::{d}}` is `a::b` and `a::c::d`.
fn expand(tree: &str, before: &str, found: &mut Vec<String>) {
    let tree = tree.trim();
    let Some((head, inside)) = tree.split_once('{') else {
        let path = tree.split(" as ").next().unwrap_or(tree).trim();
        found.push(format!("{before}{path}"));
        return;
    };
    let inside = inside.rsplit_once('}').map_or(inside, |(inside, _)| inside);
    let before = format!("{before}{}", head.trim());
    let (mut depth, mut start) = (0, 0);
    for (at, character) in inside.char_indices().chain([(inside.len(), ',')]) {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                if !inside[start..at].trim().is_empty() {
                    expand(&inside[start..at], &before, found);
                }
                start = at + 1;
            }
            _ => {}
        }
    }
}

/// Every path in a source, those of `use` with its braces resolved.
fn paths(source: &str) -> Vec<String> {
    let mut found = Vec::new();
    let word = |character: char| character.is_alphanumeric() || character == '_' || character == ':';
    let mut rest = String::new();
    let mut pieces = source.split("use ");
    rest.push_str(pieces.next().unwrap_or_default());
    let mut previous_ends_a_word = rest.ends_with(word);
    for piece in pieces {
        match piece.split_once(';') {
            Some((tree, after)) if !previous_ends_a_word => {
                expand(&tree.replace('\n', " "), "", &mut found);
                rest.push_str(after);
            }
            _ => rest.push_str(piece),
        }
        rest.push(' ');
        previous_ends_a_word = piece.ends_with(word);
    }
    found.extend(rest.split(|character| !word(character)).filter(|path| path.contains("::")).map(str::to_owned));
    found
}

/// The module that a path leads to, as seen from another.
fn lead(path: &str, from: &Module, modules: &BTreeMap<Module, String>) -> Option<Module> {
    let mut parts = path.split("::").filter(|part| !part.is_empty()).peekable();
    let mut at = match *parts.peek()? {
        "crate" => (from.0, Vec::new()),
        "self" | "super" => from.clone(),
        first => match ROOMS.iter().find(|(name, ..)| *name == first) {
            Some((name, ..)) => (*name, Vec::new()),
            None => {
                let child = (from.0, [from.1.as_slice(), &[first.to_owned()]].concat());
                modules.contains_key(&child).then(|| from.clone())?
            }
        },
    };
    if matches!(parts.peek(), Some(&"crate")) || ROOMS.iter().any(|(name, ..)| parts.peek() == Some(name)) {
        parts.next();
    }
    while let Some(above) = parts.next_if(|part| matches!(*part, "self" | "super")) {
        if above == "super" {
            at.1.pop();
        }
    }
    for part in parts {
        at.1.push(part.to_owned());
        if !modules.contains_key(&at) {
            at.1.pop();
            break;
        }
    }
    modules.contains_key(&at).then_some(at)
}

/// The arrows from each module, those between a parent and its own child left out.
fn arrows(modules: &BTreeMap<Module, String>) -> BTreeMap<&Module, BTreeSet<Module>> {
    let family = |a: &Module, b: &Module| a.0 == b.0 && a.1.split_last().is_some_and(|(_, above)| above == b.1.as_slice());
    let of = |(module, source): (&Module, &String)| {
        let found = paths(&bare(source)).iter().filter_map(|path| lead(path, module, modules)).collect::<BTreeSet<_>>();
        found.into_iter().filter(|other| other != module && !family(other, module) && !family(module, other)).collect()
    };
    modules.iter().map(|entry| (entry.0, of(entry))).collect()
}

fn name((room, path): &Module) -> String {
    format!("{room}::{}", path.join("::"))
}

/// The modules that `start` reaches and that reach it.
fn circle(start: &Module, arrows: &BTreeMap<&Module, BTreeSet<Module>>) -> Vec<String> {
    let reach = |from: &Module| {
        let mut seen = BTreeSet::new();
        let mut open = vec![from.clone()];
        while let Some(at) = open.pop() {
            for next in &arrows[&at] {
                // The root of a crate only names its modules for others.
                if !next.1.is_empty() && seen.insert(next.clone()) {
                    open.push(next.clone());
                }
            }
        }
        seen
    };
    let reached = reach(start);
    if !reached.contains(start) {
        return Vec::new();
    }
    reached.iter().filter(|other| reach(other).contains(start)).map(name).collect()
}

#[test]
fn no_files_know_each_other_in_a_circle() {
    let modules = modules();
    let arrows = arrows(&modules);
    assert!(arrows.values().map(BTreeSet::len).sum::<usize>() > 500, "the arrows are not seen");
    let circles: BTreeSet<Vec<String>> =
        modules.keys().filter(|module| !module.1.is_empty()).map(|module| circle(module, &arrows)).collect();
    let circles: Vec<_> = circles.into_iter().filter(|circle| !circle.is_empty()).collect();
    assert!(circles.is_empty(), "{circles:#?}");
}

#[test]
fn rooms_use_only_the_rooms_that_they_may_use() {
    let modules = modules();
    let mut wrong = Vec::new();
    for (module, others) in arrows(&modules) {
        let allowed = ROOMS.iter().find(|(name, ..)| *name == module.0).expect("a room").2;
        wrong.extend(
            others.iter().filter(|other| other.0 != module.0 && !allowed.contains(&other.0)).map(|other| (name(module), name(other))),
        );
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    // What a crate could use without naming it is in its manifest.
    for (room, folder, allowed) in ROOMS {
        let manifest = opal_tests::root().join(folder).with_file_name("Cargo.toml");
        let manifest = std::fs::read_to_string(manifest).expect("a manifest");
        let dependencies = manifest.split("[dependencies]").nth(1).expect("dependencies").split("\n[").next().expect("a table");
        let used = dependencies.lines().filter_map(|line| line.split(['.', ' ']).next()).filter(|name| name.starts_with("opal"));
        let extra: Vec<_> = used.filter(|name| !allowed.contains(&name.replace('-', "_").as_str())).collect();
        assert!(extra.is_empty(), "{room} depends on {extra:?}");
    }
}

#[test]
fn a_circle_and_an_arrow_that_is_not_allowed_would_be_seen() {
    let module = |room: &'static str, path: &[&str]| (room, path.iter().map(|part| (*part).to_owned()).collect::<Vec<_>>());
    let sources = [
        (module("opal_core", &[]), "pub mod a;\npub mod b;"),
        (module("opal_core", &["a"]), "use crate::{\n    b::{self, Thing as Other},\n};\n// crate::c::D\nconst T: &str = \"crate::c::D\";"),
        (module("opal_core", &["b"]), "fn f() -> super::a::A { panic!() }"),
        (module("opal_core", &["c"]), "mod d;\nuse d::E;\nuse opal_trust::x::Y;"),
        (module("opal_core", &["c", "d"]), "use super::F;"),
        (module("opal_trust", &["x"]), ""),
    ];
    let modules: BTreeMap<Module, String> = sources.into_iter().map(|(module, source)| (module, source.to_owned())).collect();
    let arrows = arrows(&modules);
    assert_eq!(circle(&module("opal_core", &["a"]), &arrows), ["opal_core::a", "opal_core::b"]);
    assert!(circle(&module("opal_core", &["c", "d"]), &arrows).is_empty());
    assert_eq!(arrows[&module("opal_core", &["c"])], BTreeSet::from([module("opal_trust", &["x"])]));
}
