//! What messages offer to change: each fix takes its message away and brings no error that was not there, on every source of `messages`, of
//! `spec/diagnostics.md` and of the rows below. What a program may do unasked leaves the plan as it was.

use opalc::check::check_parsed;
use opalc::diagnostic::{Applicability, Code, Diagnostic, Fix, Verdict, apply, explanations, repair};
use opalc::source::Source;
use opalc::syntax::parse;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

fn look(source: &Source) -> Vec<Diagnostic> {
    check_parsed(source, &parse(source))
}

/// Sources and what each becomes when all that a program may do is done, where that is something.
const SOURCES: &[(&str, Option<&str>)] = &[
    ("build: a\nrun: {\n    @cmd(build)\n    echo hi\n}\n", Some("build: a\nrun: {\n    @cmd.build\n    echo hi\n}\n")),
    (
        "run: echo @env(\"X\", default=\"a b\") @env(\"Y\").txt @{env(\"Z\")}x\n",
        Some("run: echo @env.X(default=\"a b\") @env.Y().txt @{env.Z}x\n"),
    ),
    ("var x = 1\nrun: echo \"@var(x)\" @var(x)(1) @shell\n", Some("var x = 1\nrun: echo \"@var.x\" @var.x()(1) @shell\n")),
    ("var x = \"a\"\nrun: echo \"${x}\" $x ${x}y $x.txt $x_y ${x:-b}\n", None),
    ("var m = {\"http\": 1}\nrun: echo @var.m[\"htpp\"] @var.m.htpp\n", None),
    ("var x = \"a\"\nrun: echo @{var.x.txt} @{var.x.y}.z\nvar y = x.txt\nall: echo @var.y\n", None),
    ("var s = \"a\"\nrun: echo @{var.s_b} \"@var.s_b\"\nvar y = s_b\nall: echo @var.y\n", None),
    ("run: @shell(\"echo @evn.HOME \\\"$x\\\"\")\nvar x = 1\n", None),
    ("run: echo @evn.HOME @{evn.HOME}\n", None),
];

/// Every source that some message is about.
fn sources() -> Vec<Source> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/messages");
    let mut texts: Vec<String> = Vec::new();
    for entry in fs::read_dir(folder).expect("the sources") {
        let text = fs::read_to_string(entry.expect("an entry").path()).expect("a text");
        texts.extend(text.split("=====\n").map(str::to_owned));
    }
    for explanation in explanations() {
        let wrong = explanation.examples().filter(|example| example.language == "opal" && example.verdict == Verdict::Wrong);
        texts.extend(wrong.map(|example| example.text.to_owned()));
    }
    texts.extend(SOURCES.iter().map(|(text, _)| (*text).to_owned()));
    texts.sort();
    texts.into_iter().map(|text| Source::new("ops.opl", text)).collect()
}

/// How many messages there are by code.
fn count(found: &[Diagnostic], errors_only: bool) -> BTreeMap<Code, usize> {
    let mut counted = BTreeMap::new();
    for diagnostic in found.iter().filter(|diagnostic| diagnostic.is_error() || !errors_only) {
        *counted.entry(diagnostic.code).or_insert(0) += 1;
    }
    counted
}

#[test]
fn each_fix_takes_its_message_away_and_brings_no_error() {
    let mut fixed: BTreeSet<Code> = BTreeSet::new();
    for source in sources() {
        let before = look(&source);
        for diagnostic in &before {
            for fix in &diagnostic.fixes {
                let (text, made) = apply(&source, [fix]);
                assert_eq!(made, 1, "{}\n{fix:?}", source.text());
                let after = look(&Source::new("ops.opl", text.clone()));
                let context = || format!("{}\n{fix:?}\n{text}\n{before:#?}\n{after:#?}", source.text());
                let (had, has) = (count(&before, false), count(&after, false));
                assert!(has.get(&diagnostic.code).unwrap_or(&0) < &had[&diagnostic.code], "{}", context());
                // What could not be read may hide what else is wrong.
                let read = !parse(&source).has_errors();
                for (code, number) in count(&after, true) {
                    assert!(!read || had.get(&code).is_some_and(|had| number <= *had), "{code}: {}", context());
                }
                fixed.insert(diagnostic.code);
            }
        }
    }
    assert!(fixed.len() >= 14, "{fixed:?}");
}

#[test]
fn fixes_are_well_formed() {
    for source in sources() {
        for diagnostic in look(&source) {
            for Fix { title, edits, .. } in &diagnostic.fixes {
                assert!(!title.is_empty() && !title.ends_with('.') && !edits.is_empty(), "{diagnostic:?}");
                for edit in edits {
                    let range = edit.span.range();
                    assert!(source.text().get(range.clone()).is_some(), "{diagnostic:?}");
                    assert_ne!(source.text().get(range), Some(edit.text.as_str()), "{diagnostic:?}");
                }
            }
        }
    }
}

#[test]
fn what_a_program_may_do_unasked_is_done_to_the_end() {
    for (text, expected) in SOURCES {
        let source = Source::new("ops.opl", *text);
        let (fixed, left, made) = repair(&source, look);
        assert_eq!(fixed.text(), expected.unwrap_or(text));
        assert_eq!(made > 0, expected.is_some(), "{text}");
        assert!(left.iter().flat_map(|diagnostic| &diagnostic.fixes).all(|fix| fix.applicability == Applicability::Maybe), "{left:?}");
        // A second time there is nothing to do.
        assert_eq!(repair(&fixed, look).2, 0, "{text}");
    }
}

#[test]
fn a_thousand_fixes_are_made_in_one_pass() {
    let line = "    echo @env(\"HOME\")\n";
    let source = Source::new("ops.opl", format!("run: {{\n{}}}\n", line.repeat(100)));
    let (fixed, _, made) = repair(&source, look);
    assert_eq!(made, 100);
    assert_eq!(fixed.text(), source.text().replace("@env(\"HOME\")", "@env.HOME"));
}
