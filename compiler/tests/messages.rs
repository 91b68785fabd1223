//! Every message about a source, as people see it: each file of `messages` holds sources, parted by lines `=====`; its snapshot shows every
//! source with what is said about it. What reads badly is listed in `poor_messages`.

use opalc::check::check_parsed;
use opalc::diagnostic::{Code, Diagnostic, render_human};
use opalc::source::Source;
use opalc::syntax::parse;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Codes that need more than a few lines of source, or a target; `tests/cli/explain.rs` has examples of them.
const ELSEWHERE: &[Code] = &[
    Code::SourceTooLarge,
    Code::InvalidUtf8,
    Code::NulByte,
    Code::NestingTooDeep,
    Code::TooManyErrors,
    Code::NothingToPlan,
    Code::LimitExceeded,
];

fn topics() -> Vec<(String, Vec<Source>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/messages");
    let mut topics: Vec<(String, Vec<Source>)> = fs::read_dir(folder)
        .expect("the sources")
        .map(|entry| {
            let path = entry.expect("an entry").path();
            let text = fs::read_to_string(&path).expect("a text");
            let sources = text.split("=====\n").map(|source| Source::new("ops.opl", source)).collect();
            (path.file_stem().expect("a name").to_string_lossy().into_owned(), sources)
        })
        .collect();
    topics.sort_by(|a, b| a.0.cmp(&b.0));
    assert!(topics.len() >= 6, "some topics are missing");
    topics
}

fn said(source: &Source) -> Vec<Diagnostic> {
    // Leftover names are beside the point of most of these sources.
    let found = check_parsed(source, &parse(source));
    let matters = found.iter().any(|diagnostic| diagnostic.is_error());
    found.into_iter().filter(|diagnostic| !matters || diagnostic.is_error()).collect()
}

#[test]
fn every_message_says_one_cause_where_and_what_to_do() {
    for (topic, sources) in topics() {
        let mut shown = String::new();
        for source in &sources {
            let drawn = render_human(source, &said(source), false);
            let drawn: String = drawn.lines().map(|line| format!("{}\n", line.trim_end())).collect();
            shown.push_str(&format!("{}\n{drawn}\n", source.text()));
        }
        insta::with_settings!({omit_expression => true, prepend_module_to_snapshot => false}, {
            insta::assert_snapshot!(format!("messages__{topic}"), shown);
        });
    }
}

#[test]
fn every_message_has_help_and_none_is_capitalised() {
    for (_, sources) in topics() {
        for source in &sources {
            for diagnostic in said(source) {
                let text = source.text();
                assert!(diagnostic.help.is_some(), "{text}\n{diagnostic:?}");
                let first = diagnostic.message.chars().next().expect("a message");
                assert!(!first.is_uppercase() || diagnostic.message.starts_with("Opal"), "{text}\n{diagnostic:?}");
                assert!(!diagnostic.message.ends_with('.'), "{text}\n{diagnostic:?}");
                assert_eq!(diagnostic.message.matches('`').count() % 2, 0, "{text}\n{diagnostic:?}");
            }
        }
    }
}

#[test]
fn every_code_has_a_message_here() {
    let seen: BTreeSet<Code> = topics().iter().flat_map(|(_, sources)| sources).flat_map(said).map(|diagnostic| diagnostic.code).collect();
    let missing: Vec<Code> = Code::ALL.iter().copied().filter(|code| !seen.contains(code) && !ELSEWHERE.contains(code)).collect();
    assert_eq!(missing, []);
}

#[test]
fn each_source_has_one_cause() {
    for (_, sources) in topics() {
        for source in &sources {
            let codes: BTreeSet<Code> = said(source).into_iter().map(|diagnostic| diagnostic.code).collect();
            let related = BTreeSet::from([Code::OlderSyntax, Code::UnknownCommand, Code::UnknownVariable, Code::UnusedVariable]);
            let unused = BTreeSet::from([Code::UnusedVariable, Code::UnusedParameter]);
            let several = codes.len() > 1 && !codes.is_subset(&related) && codes != unused;
            assert!(!several, "{}\n{codes:?}", source.text());
            assert!(!codes.is_empty(), "{}", source.text());
        }
    }
}
