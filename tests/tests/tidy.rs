//! What must not be left in the tree: mentions of documents that are not in it, paths of one machine, names of registries, notes to oneself.

use opal_tests::root;
use std::path::{Path, PathBuf};

/// Folders that hold nothing of ours.
const LEFT_OUT: [&str; 5] = [".git", "target", "corpus", "artifacts", "node_modules"];

/// Every text of the tree, with its path from the root.
fn texts() -> Vec<(PathBuf, String)> {
    let mut open = vec![root().to_owned()];
    let mut found = Vec::new();
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(&directory).expect("a directory") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_symlink() || LEFT_OUT.contains(&name.as_str()) {
                continue;
            }
            if path.is_dir() {
                open.push(path);
            } else if let Ok(text) = std::fs::read_to_string(&path) {
                found.push((path.strip_prefix(root()).expect("below the root").to_owned(), text));
            }
        }
    }
    assert!(found.len() > 100, "where is the tree?");
    found
}

/// Lines that a rule is against, as `path:line: text`.
fn lines_with(wrong: impl Fn(&Path, &str) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    for (path, text) in texts() {
        // This file names what it looks for.
        if path.ends_with(file!()) || path.extension().is_some_and(|extension| extension == "lock") {
            continue;
        }
        let lines = text.lines().enumerate().filter(|(_, line)| wrong(&path, line));
        found.extend(lines.map(|(number, line)| format!("{}:{}: {}", path.display(), number + 1, line.trim())));
    }
    found
}

#[test]
fn nothing_points_to_a_document_that_is_not_in_the_tree() {
    let found = lines_with(|path, line| {
        // Tests use source documents and test vectors beside the repository, where these are there.
        let looks_up = ["compiler/tests/seeds.rs", "format/src/crypto/signature.rs"].iter().any(|allowed| path.ends_with(allowed));
        let beside =
            ["design", "vectors", "seeds", "hooks", "STYLE", "RELIABILITY"].iter().any(|name| line.contains(&format!("shared/{name}")));
        line.contains("DESIGN") || (beside && !looks_up)
    });
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn every_link_of_a_document_leads_somewhere() {
    let mut broken = Vec::new();
    for (path, text) in texts().into_iter().filter(|(path, _)| path.extension().is_some_and(|extension| extension == "md")) {
        let here = root().join(&path);
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = link.split('#').next().unwrap_or_default();
            // A form of the site that the repository is on.
            let elsewhere = file.contains("://") || file.starts_with("../../security/") || file.contains(' ');
            if !file.is_empty() && !elsewhere && !here.parent().unwrap_or(root()).join(file).exists() {
                broken.push(format!("{}: {link}", path.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn no_machine_and_no_registry_is_named() {
    let registries = ["crates.io", "docs.rs", "pypi.org", "npmjs.", "static.rust-lang", "proxy.golang", "registry-1.docker"];
    let found = lines_with(|_, line| {
        let machine = line.contains("/work/") || line.contains("/root/") || line.contains("/Users/");
        machine || registries.iter().any(|registry| line.contains(registry))
    });
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn no_note_to_oneself_is_left() {
    let found = lines_with(|_, line| {
        let words = line.split(|character: char| !character.is_ascii_alphanumeric());
        words.into_iter().any(|word| matches!(word, "TODO" | "FIXME" | "XXX" | "HACK"))
    });
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn every_crate_says_its_licence_and_its_lowest_compiler() {
    let texts = texts();
    let manifests: Vec<&(PathBuf, String)> = texts.iter().filter(|(path, _)| path.ends_with("Cargo.toml")).collect();
    let workspace = &manifests.iter().find(|(path, _)| path == Path::new("Cargo.toml")).expect("the workspace").1;
    assert!(workspace.contains("license = \"MIT OR Apache-2.0\"") && workspace.contains("rust-version = \""));
    for (path, text) in manifests.iter().filter(|(_, text)| text.contains("[package]")) {
        let licence = text.contains("license.workspace = true") || text.contains("license = \"MIT OR Apache-2.0\"");
        let fuzzed = path.starts_with("fuzz");
        assert!(licence, "{} has no licence", path.display());
        assert!(fuzzed || text.contains("rust-version.workspace = true"), "{} has no lowest Rust version", path.display());
    }
    for file in ["LICENSE-MIT", "LICENSE-APACHE", "SECURITY.md"] {
        assert!(root().join(file).is_file(), "{file} is missing");
    }
    // Release builds of the machine's own crates stop at an overflow.
    for (path, _) in manifests.iter().filter(|(path, _)| path.starts_with("vm") || path.starts_with("format")) {
        let name = texts.iter().find(|(other, _)| other == path).and_then(|(_, text)| text.split("name = \"").nth(1)?.split('"').next());
        let name = name.expect("a name");
        assert!(workspace.contains(&format!("[profile.release.package.{name}]\noverflow-checks = true")), "{name} wraps at an overflow");
    }
}
