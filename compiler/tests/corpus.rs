//! Every file under `corpus/accept` parses without an error; every file under `corpus/reject` is refused with exactly
//! the codes that its first line states (`// error: code code`). A first line `// warning: code` in either states the
//! warnings, which are otherwise not looked at.

use std::{fs, path::PathBuf};

use opalc::{
    check::check_parsed,
    diagnostic::{Diagnostic, Severity, render_line},
    source::Source,
    syntax::parse,
};

/// Files that are checked as a whole too, and give no message at all.
const WHOLE: &[&str] = &["blocks.opl", "shell-text.opl", "values.opl"];

fn files(folder: &str) -> Vec<(String, Vec<u8>)> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(folder);
    let mut files: Vec<(String, Vec<u8>)> = fs::read_dir(path)
        .expect("the corpus is there")
        .map(|entry| entry.expect("a directory entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "opl"))
        .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), fs::read(&path).unwrap()))
        .collect();
    files.sort();
    assert!(files.len() > 3, "the corpus is not empty");
    files
}

fn stated(text: &[u8], key: &str) -> Option<Vec<String>> {
    let text = String::from_utf8_lossy(text);
    let line = text.lines().take(2).find_map(|line| line.strip_prefix(key).map(str::to_owned))?;
    let mut codes: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
    codes.sort();
    Some(codes)
}

fn found(diagnostics: &[Diagnostic], severity: Severity) -> Vec<String> {
    let of_kind = diagnostics.iter().filter(|diagnostic| diagnostic.severity == severity);
    let mut codes: Vec<String> = of_kind.map(|diagnostic| diagnostic.code.name().to_owned()).collect();
    codes.sort();
    codes
}

fn check(folder: &str) {
    let mut wrong = Vec::new();
    for (name, text) in files(folder) {
        let source = Source::new(name.clone(), text.clone());
        let parsed = parse(&source);
        if WHOLE.contains(&name.as_str()) {
            let errors: Vec<String> = check_parsed(&source, &parsed).iter().map(|d| render_line(&source, d)).collect();
            assert!(errors.is_empty(), "{}", errors.join("\n"));
        }
        let shown: Vec<String> = parsed.diagnostics.iter().map(|d| render_line(&source, d)).collect();
        let shown = shown.join("\n    ");
        let errors = stated(&text, "// error: ");
        assert_eq!(errors.is_some(), folder == "reject", "{name} states its errors, if it has any");
        if found(&parsed.diagnostics, Severity::Error) != errors.clone().unwrap_or_default() {
            wrong.push(format!("{folder}/{name}: expected {errors:?}\n    {shown}"));
        }
        if let Some(warnings) = stated(&text, "// warning: ")
            && found(&parsed.diagnostics, Severity::Warning) != warnings
        {
            wrong.push(format!("{folder}/{name}: expected the warnings {warnings:?}\n    {shown}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_is_meant_to_compile_is_accepted() {
    check("accept");
}

#[test]
fn what_is_wrong_is_refused_for_the_stated_reason() {
    check("reject");
}
