//! `opalc explain`, and the examples of `spec/diagnostics.md`, which are compiled.

use super::world::World;
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

/// What stands between `before` and the next quote, wherever `before` stands in a text; white space in between is skipped.
fn quoted_after<'t>(text: &'t str, before: &str) -> Vec<&'t str> {
    let starts = text.match_indices(before).map(|(at, found)| text[at + found.len()..].trim_start());
    starts.filter_map(|rest| Some(rest.strip_prefix('"')?.split_once('"')?.0)).collect()
}

/// Every code that a source file of the crates mentions where codes are made.
fn codes_in(text: &str) -> BTreeSet<String> {
    let text = text.split("#[cfg(test)]").next().unwrap_or(text);
    let mut found: Vec<&str> = quoted_after(text, "Refusal::new(");
    found.extend(quoted_after(text, "Report::new("));
    // `Failure::new(exit::NAME, "code"`.
    for (at, call) in text.match_indices("Failure::new(exit::").chain(text.match_indices("Failure::new(\n")) {
        let rest = &text[at + call.len()..];
        found.extend(rest.split_once(',').and_then(|(_, rest)| Some(rest.trim_start().strip_prefix('"')?.split_once('"')?.0)));
    }
    // The tables of functions that give a code.
    for body in text.split("fn code(").chain(text.split("fn report(")).skip(1) {
        let body = body.split("\n    }\n").next().unwrap_or(body);
        found.extend(quoted_after(body, "=>"));
        found.extend(quoted_after(body, "=> ("));
    }
    found.extend(text.split("error[").skip(1).filter_map(|rest| Some(rest.split_once(']')?.0)));
    let plain = |code: &&str| code.contains('_') && code.bytes().all(|byte| byte.is_ascii_lowercase() || matches!(byte, b'_' | b':'));
    found.into_iter().filter(plain).map(str::to_owned).collect()
}

#[test]
fn every_code_in_the_crates_is_explained() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let folders = ["format/src", "vm/core/src", "vm/trust/src", "vm/exec/src", "vm/record/src", "vm/view/src", "vm/src", "compiler/src"];
    let files = folders.iter().flat_map(|folder| super::world::files_below(&root.join(folder)));
    let mut count = 0;
    let mut missing = BTreeSet::new();
    for file in files.filter(|file| file.extension().is_some_and(|extension| extension == "rs")) {
        // Words of the event stream.
        if file.file_name().is_some_and(|name| name == "history.rs") {
            continue;
        }
        let codes = codes_in(&std::fs::read_to_string(&file).expect("a source"));
        count += codes.len();
        missing.extend(codes.into_iter().filter(|code| explanation(code).is_none()));
    }
    assert!(count > 100, "{count}");
    assert!(missing.is_empty(), "`opalc explain` does not know {missing:?}: write sections in spec/refusals.md");
    for code in ["node_depth", "program_entry", "env_changed", "infra_missing:seed_keystore", "policy_unknown_key", "lock_held"] {
        let shown = World::new().run(&["explain", code]).good();
        assert!(shown.starts_with(&format!("{code}: ")) && shown.lines().count() > 2, "{shown}");
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

#[test]
fn every_refusal_ends_with_the_status_that_its_heading_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let failures = std::fs::read_to_string(root.join("vm/core/src/failure.rs")).expect("the statuses");
    let named: std::collections::BTreeMap<&str, &str> = failures
        .split("pub const ")
        .skip(1)
        .filter_map(|rest| Some((rest.split_once(": u8 = ")?.0, rest.split_once(": u8 = ")?.1.split_once(';')?.0)))
        .collect();
    let stated = |code: &str| explanation(code)?.title.rsplit_once(" (")?.1.strip_suffix(')').filter(|number| number.parse::<u8>().is_ok());
    let folders = ["vm/trust/src", "vm/record/src", "vm/src"];
    let (mut compared, mut wrong) = (0, Vec::new());
    for file in folders.iter().flat_map(|folder| super::world::files_below(&root.join(folder))) {
        let text = std::fs::read_to_string(&file).expect("a source");
        let text = text.split("#[cfg(test)]").next().unwrap_or(&text);
        for call in text.split("Refusal::new(").chain(text.split("Report::new(")).skip(1) {
            let Some((code, rest)) = call.trim_start().strip_prefix('"').and_then(|rest| rest.split_once('"')) else { continue };
            let status = rest.trim_start_matches([',', ' ', '\n']).split([',', '\n']).next().unwrap_or_default().trim();
            let status = status.strip_prefix("exit::").map_or(status, |name| named.get(name).copied().unwrap_or(name));
            if let (Some(stated), Ok(_)) = (stated(code), status.parse::<u8>()) {
                compared += 1;
                if stated != status {
                    wrong.push(format!("{code}: {status} in {}, {stated} in its heading", file.display()));
                }
            }
        }
    }
    assert!(compared > 30, "{compared}");
    assert!(wrong.is_empty(), "{wrong:#?}");
}
