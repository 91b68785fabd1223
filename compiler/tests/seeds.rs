//! The examples of the source documents (`shared/seeds` beside the repository, where it is there): each compiles, or is refused for the reason
//! that the table gives. An excerpt gets the declarations that it takes for granted.

use opalc::check::check_parsed;
use opalc::diagnostic::{Code, Diagnostic, render_line};
use opalc::source::Source;
use opalc::syntax::parse;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Blocks that do not compile, by document and line of the block: codes, and why.
const REFUSED: &[(&str, &[&str], &str)] = &[
    ("language-specification:46", &["duplicate_command"], "shows one command in two forms"),
    ("language-specification:180", &["duplicate_command", "nested_definition"], "shows right, and wrong for comparison"),
    ("language-specification:336", &["unknown_namespace"], "providers come later"),
    ("language-specification:349", &["unknown_namespace"], "providers come later"),
    ("language-specification:425", &["duplicate_variable"], "shows one variable in two forms"),
    ("language-specification:908", &["unknown_namespace"], "providers come later"),
    ("language-specification:924", &["duplicate_command"], "shows one command in two forms"),
    ("language-specification:1121", &["missing_body"], "is a picture of a plan"),
    ("language-specification:1132", &["missing_body"], "is a picture of a plan"),
    ("language-specification:1142", &["missing_body"], "is a picture of a plan"),
    ("language-specification:1152", &["missing_body"], "is a picture of a plan"),
    ("language-specification:1287", &["unexpected_close"], "has one parenthesis too many"),
    ("language-specification:1359", &["unknown_namespace"], "providers come later"),
    ("language-specification:1514", &["nested_definition"], "is shown as an error"),
    ("language-specification:1542", &["shell_variable"], "is shown as an error"),
    ("language-specification:1558", &["positional_after_named"], "is shown as an error"),
    (
        "language-specification:1563",
        &["duplicate_argument", "missing_block", "wrong_type"],
        "has no blocks, and another order of parameters",
    ),
    ("language-specification:1574", &["unknown_variable"], "is shown as an error"),
    ("language-specification:1588", &["unknown_namespace"], "is shown as an error"),
    ("language-specification:1594", &["unknown_argument"], "spells `regen_key` in another way"),
    ("language-specification-older:15", &["duplicate_command"], "shows one command in two forms"),
    ("language-specification-older:80", &["duplicate_variable"], "shows one variable in two forms"),
    ("language-specification-older:192", &["shell_variable"], "`${name}` belongs to the shell"),
    ("language-specification-older:266", &["shell_variable"], "`${name}` belongs to the shell"),
    ("language-specification-older:295", &["shell_variable"], "`${name}` belongs to the shell"),
    ("language-specification-older:356", &["shell_variable"], "`${name}` belongs to the shell"),
    ("language-specification-older:434", &["shell_variable"], "`${name}` belongs to the shell"),
    ("language-specification-older:462", &["shell_variable"], "`${name}` belongs to the shell"),
    ("language-specification-older:489", &["unknown_namespace"], "providers come later"),
    ("language-specification-older:505", &["duplicate_command"], "shows one command in two forms"),
    ("language-specification-older:861", &["unknown_namespace"], "providers come later"),
    ("language-specification-older:915", &["unknown_decorator", "unknown_namespace"], "providers come later"),
    ("language-specification-older:939", &["shell_variable"], "`${name}` belongs to the shell"),
    ("language-specification-older:980", &["shell_variable"], "`${name}` belongs to the shell"),
    ("architecture:370", &["unknown_namespace"], "providers come later"),
    ("architecture:1492", &["duplicate_variable"], "shows one variable with two keys"),
    ("architecture:1643", &["unknown_decorator", "unknown_namespace"], "providers come later"),
    ("architecture:1681", &["unknown_decorator"], "providers come later"),
];

/// What excerpts take for granted.
const DECLARATIONS: &[(&str, &str)] = &[
    ("SERVICES", "var SERVICES = [\"api\", \"worker\"]"),
    ("MODULES", "var MODULES = [\"cli\", \"runtime\"]"),
    ("ENVIRONMENTS", "var ENVIRONMENTS = [\"staging\", \"production\"]"),
    ("SERVICE_COSTS", "var SERVICE_COSTS = {\"api\": 2, \"worker\": 3}"),
    ("CONFIG", "var CONFIG = {\"database\": \"postgres:///app\", \"redis\": \"redis:///0\"}"),
    ("ENV", "var ENV = \"production\""),
    ("REPLICAS", "var REPLICAS = 3"),
    ("service", "var service = \"api\""),
    ("deadline", "var deadline = 5m"),
    ("current_time", "var current_time = 10m"),
    ("batches", "var batches = [{\"size\": 1}]"),
    ("deploy", "fun deploy = echo deploy"),
    ("task", "fun task = echo task"),
    ("test", "fun test = echo test"),
    ("apply", "fun apply = echo apply"),
];

/// A whole number that an excerpt computes with.
const NUMBERS: &[&str] = &[
    "base_replicas",
    "environments",
    "total_items",
    "worker_count",
    "item_id",
    "shard_count",
    "base_timeout",
    "retry_attempt",
    "backoff_multiplier",
    "service_memory",
    "replica_count",
    "data_size",
    "log_retention",
    "daily_logs",
    "base_cpu",
    "load_factor",
    "peak_multiplier",
    "max_retries",
];

fn folder() -> Option<PathBuf> {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().map(|above| above.join("shared/seeds")).find(|folder| folder.is_dir())
}

/// The blocks of a document: line of the fence, and text.
fn blocks(text: &str) -> Vec<(usize, String)> {
    let mut blocks = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for (number, line) in (1..).zip(text.lines()) {
        match &mut open {
            None if line == "```opal" => open = Some((number, String::new())),
            Some(_) if line.starts_with("```") => blocks.extend(open.take()),
            Some((_, text)) => {
                text.push_str(line);
                text.push('\n');
            }
            None => {}
        }
    }
    blocks
}

fn examples() -> Option<Vec<(String, String)>> {
    let Some(folder) = folder() else {
        eprintln!("skipped: the source documents are not here");
        return None;
    };
    let mut examples = Vec::new();
    for document in ["language-specification", "language-specification-older", "architecture"] {
        let text = fs::read_to_string(folder.join(document).with_extension("md")).expect("a document");
        examples.extend(blocks(&text).into_iter().map(|(line, text)| (format!("{document}:{line}"), text)));
    }
    assert!(examples.len() > 90, "{}", examples.len());
    Some(examples)
}

fn check(name: &str, text: &str) -> (Source, Vec<Diagnostic>) {
    let source = Source::new(name, text);
    let found = check_parsed(&source, &parse(&source));
    (source, found)
}

/// The source with the declarations that it lacks.
fn completed(name: &str, text: &str) -> String {
    let (source, found) = check(name, text);
    let unknown = found.iter().filter(|diagnostic| matches!(diagnostic.code, Code::UnknownVariable | Code::UnknownCommand));
    let names: BTreeSet<&str> = unknown.map(|diagnostic| source.slice(diagnostic.span).trim_start_matches('.')).collect();
    let mut declarations = String::new();
    for name in names {
        if name == "CONFIG" && text.contains("CONFIG.database.url") {
            declarations.push_str("var CONFIG = {\"database\": {\"url\": \"postgres:///app\"}}\n");
        } else if let Some((_, declaration)) = DECLARATIONS.iter().find(|(known, _)| *known == name) {
            declarations.push_str(declaration);
            declarations.push('\n');
        } else if NUMBERS.contains(&name) {
            declarations.push_str(&format!("var {name} = 2\n"));
        }
    }
    declarations + text
}

#[test]
fn the_examples_compile_or_are_refused_for_the_reason_given() {
    let Some(examples) = examples() else { return };
    let mut wrong = Vec::new();
    for (name, text) in &examples {
        let (source, found) = check(name, &completed(name, text));
        let errors: Vec<&Diagnostic> = found.iter().filter(|diagnostic| diagnostic.is_error()).collect();
        let codes: BTreeSet<&str> = errors.iter().map(|error| error.code.name()).collect();
        let expected = REFUSED.iter().find(|(refused, ..)| refused == name);
        if codes != expected.map(|(_, codes, _)| codes.iter().copied().collect()).unwrap_or_default() {
            let shown: Vec<String> = errors.iter().map(|error| render_line(&source, error)).collect();
            wrong.push(format!("{name} ({:?})\n  {}", expected.map(|(.., why)| why), shown.join("\n  ")));
        }
    }
    for (refused, _, why) in REFUSED {
        assert!(examples.iter().any(|(name, _)| name == refused), "{refused} ({why}) is no example");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_examples_give_no_false_alarm() {
    let Some(examples) = examples() else { return };
    // Leftover names belong to excerpts; the others are what the documents show on purpose or out of date.
    let excerpts = [Code::UnusedVariable, Code::UnusedParameter, Code::OlderSyntax];
    let meant = [
        ("language-specification-older:789", Code::SecretArgument),
        ("architecture:1443", Code::SecretArgument),
        ("architecture:210", Code::LoneCd),
    ];
    for (name, text) in &examples {
        let (source, found) = check(name, &completed(name, text));
        for warning in found.iter().filter(|diagnostic| !diagnostic.is_error() && !excerpts.contains(&diagnostic.code)) {
            assert!(meant.contains(&(name.as_str(), warning.code)), "{name}: {}", render_line(&source, warning));
        }
    }
}
