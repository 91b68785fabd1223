//! The table of decorators in `spec/language.md` is the one in the code.

use opal_core::decorators::{NODE_DECORATORS, OPERATIONS, PASS_ENV, Param, Shape, VALUE_DECORATORS};
use std::fmt::Write as _;
use std::path::Path;

fn parameters(params: &[Param]) -> String {
    let written = params.iter().map(|param| {
        let names = param.names.join("` or `");
        let required = if param.required { "" } else { "?" };
        format!("`{names}`{required}: {}", param.accepts.name())
    });
    written.collect::<Vec<_>>().join("; ")
}

fn table() -> String {
    let mut out =
        String::from("| value decorator | arguments (`?`: may be left out) | gives | compared | drift |\n|---|---|---|---|---|\n");
    for decorator in VALUE_DECORATORS.iter().filter(|decorator| decorator.number != PASS_ENV) {
        let key = if decorator.shape == Shape::Key { ".NAME" } else { "" };
        let params = if decorator.shape == Shape::Key { &decorator.params[1..] } else { decorator.params };
        let (moved, missing) = (decorator.drift.moved.name(), decorator.drift.missing.name());
        let drift = if moved == missing { format!("`{moved}`") } else { format!("`{moved}`, `{missing}`") };
        let (name, params, compared) = (decorator.name, parameters(params), decorator.compared.name());
        writeln!(out, "| `@{name}{key}` | {params} | {} | {compared} | {drift} |", decorator.help).expect("a string");
    }
    out.push_str("\n| execution decorator | arguments | does |\n|---|---|---|\n");
    for decorator in NODE_DECORATORS {
        let written = if decorator.name == "sleep" { "sleep()".to_owned() } else { format!("@{}", decorator.name) };
        let block = if decorator.block { " `{ … }`" } else { "" };
        writeln!(out, "| `{written}`{block} | {} | {} |", parameters(decorator.params), decorator.help).expect("a string");
    }
    out.push_str("\n| operation of a pipeline | argument | does |\n|---|---|---|\n");
    for operation in OPERATIONS {
        writeln!(out, "| `{}()` | {} | {} |", operation.name, parameters(operation.params), operation.help).expect("a string");
    }
    out
}

#[test]
fn the_operations_that_are_read_are_those_of_the_table() {
    let known: Vec<&str> = OPERATIONS.iter().map(|operation| operation.name).collect();
    assert_eq!(opalc::ast::OperationKind::ALL.map(|(name, _)| name).as_slice(), known);
}

#[test]
fn the_decorators_of_the_spec_are_those_of_the_code() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../spec/language.md");
    let spec = std::fs::read_to_string(&path).expect("the spec");
    let (open, close) = ("<!-- decorators -->\n", "<!-- /decorators -->");
    let start = spec.find(open).expect("the start of the table") + open.len();
    let stop = spec.find(close).expect("the end of the table");
    let expected = table();
    if std::env::var_os("BLESS").is_some() {
        let blessed = format!("{}{expected}{}", &spec[..start], &spec[stop..]);
        std::fs::write(&path, blessed).expect("a writable spec");
    } else {
        assert_eq!(&spec[start..stop], expected, "run with BLESS=1 to rewrite spec/language.md");
    }
}

#[test]
fn what_confined_steps_always_reach_is_what_the_spec_lists() {
    let spec = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../spec/language.md")).expect("the spec");
    let start = spec.find("### Isolation").expect("the section");
    let section = &spec[start..start + spec[start..].find("\n## ").expect("its end")];
    let words: Vec<&str> = section.split(|c: char| c.is_whitespace() || c == '`').filter(|word| word.starts_with('/')).collect();
    for path in opal_exec::confine::SYSTEM.iter().chain(opal_exec::confine::DEVICES) {
        assert!(words.contains(path), "{path} is not in the spec");
    }
    let known = |word: &&&str| !opal_exec::confine::SYSTEM.contains(word) && !opal_exec::confine::DEVICES.contains(word);
    assert_eq!(words.iter().filter(known).copied().collect::<Vec<_>>(), ["/tmp"], "the spec lists what is not in the code");
}
