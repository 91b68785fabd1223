//! `opalc check`: exit statuses, several files, and the forms for machines.

use super::world::World;
use serde_json::Value;

const GOOD: &str = "run: echo hello\n";
const WARNS: &str = "run: {\n    cd /srv\n}\n";
const WRONG: &str = "var host = \"é🔒\" + servcie\nvar service = \"web\"\nrun: echo @var.service @var.host\nbuild: echo 🔒 @var.servcie\n";

fn world() -> World {
    let world = World::new();
    world.write("good.opl", GOOD);
    world.write("warns.opl", WARNS);
    world.write("wrong.opl", WRONG);
    world
}

fn sarif(world: &World, words: &[&str]) -> (i32, Value) {
    let done = world.run(&[&["check", "--format", "sarif"], words].concat());
    (done.status, serde_json::from_str(&done.out()).expect("JSON"))
}

#[test]
fn errors_end_with_65_and_warnings_only_where_they_are_denied() {
    let world = world();
    assert_eq!(world.run(&["check", "good.opl"]).good(), "");
    let done = world.run(&["check", "warns.opl"]);
    assert_eq!((done.status, done.stderr.contains("warning[lone_cd]")), (0, true));
    let done = world.run(&["check", "--deny-warnings", "good.opl", "warns.opl"]);
    assert_eq!(done.status, 65);
    assert!(done.stderr.contains("note: `--deny-warnings` counts these warnings as errors"), "{}", done.stderr);
    assert_eq!(world.run(&["check", "--deny-warnings", "good.opl"]).status, 0);
    assert_eq!(world.run(&["check", "good.opl", "wrong.opl"]).status, 65);
}

#[test]
fn a_missing_file_does_not_hide_what_is_wrong_with_the_others() {
    let done = world().run(&["check", "missing.opl", "wrong.opl"]);
    assert_eq!(done.status, 66);
    assert!(done.stderr.contains("missing.opl") && done.stderr.contains("error[unknown_variable]"), "{}", done.stderr);
}

#[test]
fn standard_input_is_a_source() {
    let done = world().bash("printf 'run: echo @file.raed(\"x\")\\n' | \"$opalc\" check -");
    assert_eq!(done.status, 65);
    assert!(done.stderr.contains("<stdin>:1:12"), "{}", done.stderr);
}

#[test]
fn sarif_names_rules_levels_and_regions() {
    let (status, log) = sarif(&world(), &["good.opl", "warns.opl", "wrong.opl"]);
    assert_eq!((status, &log["version"]), (65, &"2.1.0".into()));
    assert!(log["$schema"].as_str().is_some_and(|schema| schema.contains("sarif-2.1.0")));
    let run = &log["runs"][0];
    assert_eq!((log["runs"].as_array().map(Vec::len), &run["columnKind"]), (Some(1), &"utf16CodeUnits".into()));
    assert_eq!(run["invocations"][0]["executionSuccessful"], true);
    let rules = run["tool"]["driver"]["rules"].as_array().expect("rules");
    for rule in rules {
        for key in ["/id", "/shortDescription/text", "/fullDescription/text", "/help/text", "/help/markdown"] {
            let text = rule.pointer(key).and_then(Value::as_str);
            assert!(text.is_some_and(|text| !text.is_empty()), "{key} of {rule}");
        }
        assert!(matches!(rule["defaultConfiguration"]["level"].as_str(), Some("error" | "warning")), "{rule}");
    }
    let results = run["results"].as_array().expect("results");
    assert_eq!(results.len(), 3, "{results:#?}");
    for result in results {
        let rule = &rules[result["ruleIndex"].as_u64().expect("an index") as usize];
        assert_eq!((&rule["id"], &rule["defaultConfiguration"]["level"]), (&result["ruleId"], &result["level"]));
        assert!(result["message"]["text"].as_str().is_some_and(|text| text.contains("\nhelp: ")), "{result}");
        let place = &result["locations"][0]["physicalLocation"];
        let file = place["artifactLocation"]["uri"].as_str().expect("a URI");
        let text = if file == "warns.opl" { WARNS } else { WRONG };
        let region = &place["region"];
        let number = |key: &str| region[key].as_u64().expect("a number") as usize;
        assert_eq!(number("startLine"), number("endLine"), "{region}");
        // Both ways to say where must mean the same text.
        let bytes = &text[number("byteOffset")..number("byteOffset") + number("byteLength")];
        let line: Vec<u16> = text.lines().nth(number("startLine") - 1).expect("a line").encode_utf16().collect();
        let columns = String::from_utf16(&line[number("startColumn") - 1..number("endColumn") - 1]).expect("whole characters");
        assert_eq!(bytes, columns);
        assert!(["cd /srv", "servcie", "var.servcie"].contains(&bytes.trim_start_matches('.')), "{bytes}");
    }
}

#[test]
fn sarif_says_which_sources_could_not_be_read() {
    let (status, log) = sarif(&world(), &["missing.opl", "good.opl"]);
    let invocation = &log["runs"][0]["invocations"][0];
    assert_eq!((status, &invocation["executionSuccessful"]), (66, &false.into()));
    let notice = invocation["toolExecutionNotifications"][0]["message"]["text"].as_str().expect("a text");
    assert!(notice.contains("there is no file `missing.opl`"), "{notice}");
}

#[test]
fn json_is_one_document_for_all_files() {
    let done = world().run(&["check", "--format", "json", "warns.opl", "wrong.opl"]);
    let document: Value = serde_json::from_str(&done.out()).expect("JSON");
    assert_eq!((done.status, &document["schema"]), (65, &"opal/diagnostics/v1".into()));
    let files: Vec<&str> = document["diagnostics"].as_array().expect("a list").iter().filter_map(|one| one["file"].as_str()).collect();
    assert_eq!(files, ["warns.opl", "wrong.opl", "wrong.opl"]);
    assert!(done.stderr.is_empty(), "{}", done.stderr);
}

#[test]
fn a_value_in_a_program_on_standard_input_is_a_warning_that_shows_the_other_way() {
    for line in [
        "echo \"rm @var.x\" | bash",
        "echo rm @var.x 2>&1 | ssh -p 22 host",
        "printf 'select %s' @var.x | psql -d db",
        "echo @var.x | sudo -u root sh -x",
        "echo @var.x | tee log | bash -s",
        "echo @var.x |& docker exec -i db psql",
        "bash <<EOF\nrm @var.x\nEOF",
        "cat <<EOF | ssh host\nrm @var.x\nEOF",
        "psql <<< \"select @var.x\"",
        "(echo @var.x | bash)",
    ] {
        let world = World::with("a.opl", &format!("run: {{\n    var x = @file.read(\"f\")\n    {line}\n}}\n"));
        let done = world.run(&["check", "a.opl"]);
        assert_eq!(done.status, 0, "{line}: {}", done.stderr);
        let said = format!("{}{}", done.out(), done.stderr);
        assert!(said.contains("warning[value_in_second_interpreter]") && said.contains("from its standard input"), "{line}: {said}");
    }
    for line in [
        "echo rm @{var.x}.quoted | bash",
        "echo @var.x | grep bash",
        "echo @var.x || bash",
        "echo @var.x; bash",
        "curl @var.x | bash",
        "echo @var.x | bash script.sh",
        "cat <<EOF > file\n@var.x\nEOF",
        "bash < @var.x",
        "echo @var.x | psql -f file",
    ] {
        let world = World::with("a.opl", &format!("run: {{\n    var x = @file.read(\"f\")\n    {line}\n}}\n"));
        let done = world.run(&["check", "a.opl"]);
        assert!(!format!("{}{}", done.out(), done.stderr).contains("value_in_second_interpreter"), "{line}: {}", done.stderr);
    }
}

const OLDER: &str = "run: {\n    echo @env(\"A\") @evn.B\n    echo @env(\"C\", default=\"x\")\n}\n";

#[test]
fn fixes_are_in_json_and_sarif_with_who_may_make_them() {
    let world = World::with("older.opl", OLDER);
    let document: Value = serde_json::from_str(&world.run(&["check", "--json", "older.opl"]).good()).expect("JSON");
    let fixes = |at: usize| &document["diagnostics"][at]["fixes"][0];
    let edit = &fixes(0)["edits"][0];
    assert_eq!((&fixes(0)["applicability"], &edit["file"], &edit["text"]), (&"machine".into(), &"older.opl".into(), &".A".into()));
    let range = edit["start"].as_u64().expect("a start") as usize..edit["end"].as_u64().expect("an end") as usize;
    assert_eq!(&OLDER[range], "(\"A\")");
    assert_eq!((&fixes(1)["applicability"], &fixes(1)["edits"][0]["text"]), (&"maybe".into(), &"env".into()));

    let (_, log) = sarif(&world, &["older.opl"]);
    let fix = &log["runs"][0]["results"][0]["fixes"][0];
    assert_eq!(fix["properties"]["applicability"], "machine");
    let change = &fix["artifactChanges"][0];
    let region = &change["replacements"][0]["deletedRegion"];
    assert_eq!(
        (&change["artifactLocation"]["uri"], &region["startLine"], &region["byteLength"]),
        (&"older.opl".into(), &2.into(), &5.into())
    );
    assert_eq!(change["replacements"][0]["insertedContent"]["text"], ".A");
}

#[test]
fn fix_changes_what_a_program_may_change_and_nothing_else() {
    let world = World::with("older.opl", OLDER);
    world.write("good.opl", GOOD);
    let mode = |name: &str| std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(world.path(name)).expect("a file").permissions());
    std::fs::set_permissions(world.path("older.opl"), std::os::unix::fs::PermissionsExt::from_mode(0o640)).expect("a mode");
    let before = (mode("older.opl"), std::fs::metadata(world.path("good.opl")).expect("a file").modified().expect("a time"));

    let offered = world.run(&["check", "older.opl"]);
    assert!(offered.stderr.contains("note: `opalc check --fix older.opl` fixes 2 of these\n"), "{}", offered.stderr);

    let done = world.run(&["check", "--fix", "older.opl", "good.opl", "missing.opl"]);
    assert_eq!(done.status, 66, "{}", done.stderr);
    assert!(done.stderr.starts_with("note: 2 messages were fixed in `older.opl`\nwarning[near_miss_namespace]"), "{}", done.stderr);
    let fixed = "run: {\n    echo @env.A @evn.B\n    echo @env.C(default=\"x\")\n}\n";
    assert_eq!(String::from_utf8(world.read("older.opl")).expect("UTF-8"), fixed);
    let after = (mode("older.opl"), std::fs::metadata(world.path("good.opl")).expect("a file").modified().expect("a time"));
    assert_eq!(before, after);

    // The same work: its name is that of before.
    let hash = |text: &str| {
        world.write("one.opl", text.replace("@evn.B", "b"));
        world.run_with(&[("A", "1"), ("C", "2")], &["one.opl", "--hash", "--resolve", "--unsigned"]).good()
    };
    assert_eq!(hash(OLDER), hash(fixed));

    // What could not be read is left, and so is what only a person can decide on.
    for wrong in ["run: {\n    echo @env(\"A\"\n", "var x = \"a\"\nrun: echo $x\n", "\u{feff}#!/usr/bin/env opal\n"] {
        world.write("wrong.opl", wrong);
        world.run(&["check", "--fix", "wrong.opl"]);
        assert_eq!(String::from_utf8(world.read("wrong.opl")).expect("UTF-8"), wrong);
    }
    world.write("bytes.opl", b"run: echo @env(\"A\") \xff\n");
    assert_eq!(world.run(&["check", "--fix", "bytes.opl"]).status, 65);
    assert_eq!(world.read("bytes.opl"), b"run: echo @env(\"A\") \xff\n");
    let refused = world.bash("printf 'run: echo @env(\"A\")' | \"$opalc\" check --fix -");
    assert_eq!(refused.status, 64);
    assert!(refused.stderr.contains("`--fix` changes files, and standard input is none"), "{}", refused.stderr);
}
