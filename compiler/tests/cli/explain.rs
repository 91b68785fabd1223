//! `opalc explain`, and the examples of `spec/diagnostics.md`, which are compiled.

use super::world::World;
use opal_core::code::Code as Refused;
use opal_format::error::Rule;
use opalc::diagnostic::{Code, Example, Explanation, Verdict, explanation, explanations, refusals};
use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

/// Codes that no source and no command line can be made to give, or not alone.
const WITHOUT_EXAMPLES: &[&str] = &["too_many_errors", "value_needs_itself", "internal"];

/// Causes of the planner, as `vm/core/src/plan/error.rs` spells them.
fn planner_codes() -> BTreeSet<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../vm/core/src/plan/error.rs");
    let text = std::fs::read_to_string(path).expect("the causes of the planner");
    let after = text.split_once("fn code(").expect("their codes").1;
    let body = after.split("fn ").next().expect("the table");
    body.lines().filter_map(|line| line.split_once("=> \"")).map(|(_, rest)| rest.split('"').next().expect("a code").to_owned()).collect()
}

#[test]
fn every_code_is_explained_under_its_title() {
    let explained: Vec<&str> = explanations().map(|explanation| explanation.code).collect();
    let once: BTreeSet<&str> = explained.iter().copied().collect();
    assert_eq!(once.len(), explained.len(), "a code is explained twice");
    for code in Code::ALL {
        let found = explanation(code.name()).unwrap_or_else(|| panic!("`{code}` is not explained"));
        assert_eq!(found.title, code.title(), "{code}");
    }
    let planner = planner_codes();
    assert!(planner.len() > 20, "{planner:?}");
    for code in &planner {
        assert!(once.contains(code.as_str()), "`{code}` is not explained");
    }
    for code in explained {
        let known = Code::from_name(code).is_some() || planner.contains(code) || code == "usage" || refusals().any(|one| one.code == code);
        assert!(known, "there is no code `{code}`");
    }
}

#[test]
fn the_headings_of_the_refusals_are_those_of_their_table() {
    for code in Refused::ALL {
        let found = explanation(code.name()).unwrap_or_else(|| panic!("`{code}` is not explained: write a section in spec/refusals.md"));
        assert!(!code.help().is_empty(), "{code}");
        assert_eq!(Refused::from_name(code.name()), Some(*code), "two codes have one name");
        // What sources give too is explained with their codes.
        if refusals().any(|one| one.code == code.name()) {
            assert_eq!(found.title, format!("{} ({})", code.title(), code.exit()), "{code}: the heading in spec/refusals.md is another");
        }
    }
    let of_rules = |name: &str| {
        Rule::ALL.iter().any(|rule| rule.code() == name) || opal_core::program::verify::Rule::ALL.iter().any(|rule| rule.code() == name)
    };
    for section in refusals().filter(|section| !of_rules(section.code)) {
        assert!(Refused::from_name(section.code).is_some(), "there is no code `{}`", section.code);
    }
    for code in ["node_depth", "program_entry", "env_changed", "infra_missing:seed_keystore", "policy_unknown_key", "lock_held"] {
        let shown = World::new().run(&["explain", code]).good();
        assert!(shown.starts_with(&format!("{code}: ")) && shown.lines().count() > 2, "{shown}");
    }
}

/// What the format calls its errors has a row of the table, with its exit status, or is a rule of the tables of a plan or program.
#[test]
fn every_error_of_the_format_has_its_code() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut named = BTreeSet::new();
    for file in ["format/src/read/error.rs", "format/src/read/read_file.rs", "format/src/crypto/signature.rs", "vm/core/src/drift.rs"] {
        let text = std::fs::read_to_string(root.join(file)).expect("a source");
        let tables = text.split("fn code(").chain(text.split("fn name(")).skip(1);
        for table in tables.map(|rest| rest.split("\n    }\n").next().unwrap_or(rest)) {
            named.extend(table.split("=> \"").skip(1).filter_map(|rest| rest.split_once('"')).map(|(name, _)| name.to_owned()));
        }
    }
    assert!(named.len() > 40, "{named:?}");
    for name in &named {
        assert!(Refused::from_name(name).is_some(), "`{name}` has no row in vm/core/src/code.rs");
    }
}

#[test]
fn every_code_has_an_example_of_wrong_and_of_right() {
    for explanation in explanations() {
        let verdicts: Vec<Verdict> = explanation.examples().map(|example| example.verdict).collect();
        if WITHOUT_EXAMPLES.contains(&explanation.code) || refusals().any(|one| one.code == explanation.code) {
            assert_eq!(verdicts, [], "{}", explanation.code);
        } else {
            assert_eq!(verdicts, [Verdict::Wrong, Verdict::Right], "{}", explanation.code);
        }
        assert!(!explanation.prose().is_empty() && !explanation.prose().contains("```"), "{}", explanation.code);
    }
}

/// The codes that an example gives.
fn codes(explanation: &Explanation, example: &Example) -> (BTreeSet<String>, String) {
    let world = World::new();
    let script = match example.language {
        "sh" => example.text.to_owned(),
        _ => {
            world.write("example.opl", example.text);
            let planned = Code::from_name(explanation.code).is_none();
            if planned { "opalc example.opl --resolve --hash --unsigned" } else { "opalc check example.opl" }.to_owned()
        }
    };
    let bin = Path::new(env!("CARGO_BIN_EXE_opalc")).parent().expect("a directory");
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").expect("PATH"));
    let mut command = Command::new("bash");
    command.args(["-c", &script]).current_dir(world.path("")).env_clear().env("PATH", path).env("HOME", world.home()).stdin(Stdio::null());
    let output = command.output().expect("bash starts");
    let said = String::from_utf8(output.stderr).expect("UTF-8");
    let heads = said.lines().filter_map(|line| line.strip_prefix("error[").or_else(|| line.strip_prefix("warning[")));
    let found: BTreeSet<String> = heads.filter_map(|rest| rest.split_once(']')).map(|(code, _)| code.to_owned()).collect();
    assert_eq!(output.status.success(), !said.contains("error["), "{}: {said}", explanation.code);
    (found, said)
}

#[test]
fn every_wrong_example_gives_its_code_alone_and_every_right_one_nothing() {
    let all: Vec<(Explanation, Example)> =
        explanations().flat_map(|explanation| explanation.examples().map(move |example| (explanation, example))).collect();
    assert!(all.len() > 200, "{}", all.len());
    let judge = |(explanation, example): &(Explanation, Example)| {
        let expected: BTreeSet<String> = match example.verdict {
            Verdict::Wrong => BTreeSet::from([explanation.code.to_owned()]),
            Verdict::Right => BTreeSet::new(),
        };
        let (found, said) = codes(explanation, example);
        (found != expected).then(|| format!("{} ({:?}): {found:?}\n{said}", explanation.code, example.verdict))
    };
    let wrong: Vec<String> = thread::scope(|scope| {
        let workers: Vec<_> = all.chunks(all.len().div_ceil(4)).map(|part| scope.spawn(move || part.iter().filter_map(judge))).collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("no panic").collect::<Vec<_>>()).collect()
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn explain_shows_the_text_and_both_examples() {
    let shown = World::new().run(&["explain", "lone_cd"]).good();
    assert!(shown.starts_with("lone_cd: a `cd` whose effect ends with its own step\n\n"), "{shown}");
    let (wrong, right) = shown.split_once("\nright:\n").expect("both examples");
    assert!(wrong.contains("\nwrong:\n\n    run: {\n        cd /srv/app\n"), "{shown}");
    assert!(right.contains("@workdir") && !shown.contains("```"), "{shown}");
    assert_eq!(World::new().run(&["explain", "error[lone_cd]"]).good(), shown);
    let json: serde_json::Value = serde_json::from_str(&World::new().run(&["explain", "lone_cd", "--json"]).good()).expect("JSON");
    assert_eq!((&json["schema"], &json["code"]), (&"opal/code/v1".into(), &"lone_cd".into()));
    assert_eq!(json["examples"].as_array().map(Vec::len), Some(2));
}

#[test]
fn explain_without_a_code_lists_all_of_them() {
    let shown = World::new().run(&["explain"]).good();
    assert_eq!(shown.lines().count(), explanations().count());
    assert!(shown.contains("\nunknown_variable ") && shown.contains("\nenv_unset "), "{shown}");
}

#[test]
fn an_unknown_code_is_refused_with_the_nearest_one() {
    let said = World::new().run(&["explain", "unknwon-variable"]).refused(64, "usage");
    assert!(said.contains("did you mean `opalc explain unknown_variable`?"), "{said}");
    let said = World::new().run(&["explain", "zzzzzz"]).refused(64, "usage");
    assert!(said.contains("`opalc explain` lists all codes"), "{said}");
}
