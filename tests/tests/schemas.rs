//! Each document for machines is what its published schema says, and holds nothing that the schema does not describe.

use boon::{Compiler, Schemas};
use opal_tests::{Host, root};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// The schema with this name, closed: a member that it does not describe is an error.
fn schema(name: &str) -> Value {
    let path = root().join(format!("spec/schemas/{name}.json"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut schema: Value = serde_json::from_str(&text).expect("JSON");
    close(&mut schema);
    schema
}

fn close(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            members.values_mut().for_each(close);
            if members.get("properties").is_some_and(Value::is_object) && members.get("type") == Some(&json!("object")) {
                members.entry("additionalProperties").or_insert(json!(false));
            }
        }
        Value::Array(members) => members.iter_mut().for_each(close),
        _ => {}
    }
}

fn errors(schema: &Value, documents: &[Value]) -> Vec<String> {
    let mut schemas = Schemas::new();
    let mut compiler = Compiler::new();
    compiler.add_resource("schema.json", schema.clone()).expect("a resource");
    let index = compiler.compile("schema.json", &mut schemas).unwrap_or_else(|error| panic!("{error}"));
    documents
        .iter()
        .filter_map(|document| schemas.validate(document, index).err().map(|error| format!("{error:#}\n{document:#}")))
        .collect()
}

#[track_caller]
fn valid(name: &str, text: &str) -> Value {
    let document: Value = serde_json::from_str(text).unwrap_or_else(|error| panic!("{name}: {error}: {text}"));
    assert_eq!(document["schema"], format!("opal/{name}/v1"), "{text}");
    let found = errors(&schema(name), std::slice::from_ref(&document));
    assert!(found.is_empty(), "{name}: {}", found.join("\n"));
    document
}

const SOURCE: &str = "\
var PW = @random.password(length=12)
var TOK = @env.TOK
var R = @env.REPLICAS(default=2, public=true)
# Deploys SITE.
fun go(env: String = \"prod\", n: Int = 2) {
    echo \"SITE to @var.env @var.TOK @var.R\"
    if @var.n > 1 { echo many } else { echo few }
    for i in [\"a\", \"b\"] { echo @var.i @env.HOME }
    @retry(2, delay=1ms) { true }
    @parallel(tolerate=1) { false; printf '\\377' }
    sleep(1ms)
    X=$(echo hi)
    echo \"@var.X\" |> lines.count() |> assert.num(\">= 1\")
    try { @timeout(5s) { false || echo b } } catch { echo caught } finally { echo f }
    when @var.env { \"prod\" -> echo P; else -> echo Q }
    var i = 0
    while @var.i < 2 { i++
        echo \"turn @var.i\" }
    @cmd.other() && echo yes
}
fun other = echo other
fun quick {
    if @var.PW == \"abc\" { echo one } else { echo two }
    for i in 1...int(@var.PW) { echo \"@var.i\" }
}
fun bad { @timeout(100ms) { sleep 5 } }
";

fn host() -> Host {
    let mut host = Host::new();
    host.set("TOK", "hunter2-secret");
    host.write("commands.opl", host.named(SOURCE));
    host
}

#[test]
fn plans_are_what_their_schema_says() {
    let host = host();
    for target in ["go", "quick"] {
        let quick = valid("plan", &host.opalc(&["commands.opl", target, "--format", "json"]).expect(0).stdout);
        assert_eq!(quick["mode"], "quick");
    }
    assert_eq!(valid("plan", &host.opalc(&["commands.opl", "go", "--resolve", "--json"]).expect(0).stdout)["mode"], "resolved");
    valid("plan", &host.run("opal", &["go", "--dry-run", "--json"]).expect(0).stdout);
    host.opalc(&["commands.opl", "go", "--resolve", "-o", "a.plan"]).expect(0);
    let shown = valid("plan", &host.opalc(&["show", "a.plan", "--json"]).expect(0).stdout);
    let mut inspected = valid("plan", &host.vm(&["inspect", "--plan", "a.plan", "--json"]).expect(0).stdout);
    // The VM also says what its host can enforce, and what steps can read there.
    for own in ["host", "readable_keys"] {
        inspected.as_object_mut().expect("an object").remove(own);
    }
    assert_eq!(shown, inspected);
}

#[test]
fn what_is_said_of_contracts_is_what_its_schema_says() {
    let mut host = host();
    let written = ["commands.opl", "go", "--resolve", "-o", "a.plan", "--json"];
    valid("contract-written", &host.opalc(&written).expect(0).stdout);
    valid("verify", &host.vm(&["verify", "--plan", "a.plan", "--json"]).expect(0).stdout);
    valid("policy-check", &host.vm(&["policy", "check", "--plan", "a.plan", "--json"]).expect(0).stdout);
    valid("source-verification", &host.opalc(&["verify", "a.plan", "--source", "commands.opl", "--json"]).expect(0).stdout);
    host.set("REPLICAS", "5");
    let drift = valid("verify", &host.vm(&["verify", "--plan", "a.plan", "--json"]).expect(3).stdout);
    assert_eq!(drift["drift"][0]["now"], "5");
    valid("resolve", &host.vm(&["resolve", "--plan", "a.plan", "-o", "c.plan", "--json"]).expect(0).stdout);
    host.opalc(&["commands.opl", "go", "test", "1", "--resolve", "-o", "b.plan"]).expect(0);
    let diff = valid("diff", &host.opalc(&["diff", "a.plan", "b.plan", "--json"]).expect(3).stdout);
    assert_eq!(diff["drift"][0]["code"], "env_changed");
    valid("refusal", &host.vm(&["run", "--plan", "none.plan", "--json"]).expect(66).stdout);
    valid("refusal", &host.opalc(&["show", "none.plan", "--json"]).expect(66).stdout);
}

#[test]
fn what_is_said_of_sources_is_what_its_schema_says() {
    let host = host();
    valid("commands", &host.run("opal", &["--json"]).expect(0).stdout);
    host.write("warns.opl", "echo @evn.HOME\n");
    host.write("wrong.opl", "go: echo @var.NOT_THERE\n");
    valid("diagnostics", &host.opalc(&["check", "warns.opl", "--json"]).stdout);
    valid("diagnostics", &host.opalc(&["check", "wrong.opl", "--json"]).expect(65).stdout);
    valid("codes", &host.opalc(&["explain", "--json"]).expect(0).stdout);
    valid("code", &host.opalc(&["explain", "env_unset", "--json"]).expect(0).stdout);
}

#[test]
fn every_event_of_a_run_is_what_its_schema_says() {
    let host = host();
    let mut seen = BTreeSet::new();
    for (target, status) in [("go", 0), ("bad", 1)] {
        let ended = host.run("opal", &[target, "--json"]);
        let events: Vec<Value> = ended.expect(status).stdout.lines().map(|line| serde_json::from_str(line).expect("an event")).collect();
        assert_eq!(events[0]["schema"], "opal/events/v1");
        assert_eq!((&events[0]["event"], &events[events.len() - 1]["event"]), (&json!("run_starts"), &json!("run_done")));
        let found = errors(&schema("events"), &events);
        assert!(found.is_empty(), "{}", found.join("\n"));
        seen.extend(events.iter().map(|event| event["event"].as_str().expect("a name").to_owned()));
    }
    for name in ["attempt", "binding", "block_done", "catch", "finally", "output", "step_done", "transformed"] {
        assert!(name == "catch" || seen.contains(name), "no {name} in {seen:?}");
    }
}

#[test]
fn every_event_that_can_be_written_is_what_its_schema_says() {
    use proptest::strategy::{Strategy as _, ValueTree as _};
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let one = opal_tests::events::event();
    let events: Vec<Value> =
        (0..1000).map(|_| serde_json::from_str(&one.new_tree(&mut runner).expect("an event").current().line()).expect("JSON")).collect();
    let seen: BTreeSet<&str> = events.iter().map(|event| event["event"].as_str().expect("a name")).collect();
    assert_eq!(seen, BTreeSet::from(opal_core::event::Event::NAMES));
    let found = errors(&schema("events"), &events);
    assert!(found.is_empty(), "{}", found.first().expect("one"));
}

#[test]
fn every_event_of_a_record_is_what_its_schema_says() {
    let host = host();
    host.opalc(&["commands.opl", "bad", "--resolve", "-o", "a.plan"]).expect(0);
    host.vm(&["run", "--plan", "a.plan", "--record", "kept"]).expect(1);
    host.vm(&["run", "--plan", "a.plan", "--record", "kept", "--resume", "latest"]).expect(1);
    let text = host.read("kept/events.jsonl");
    let events: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("an event")).collect();
    let seen: BTreeSet<&str> = events.iter().map(|event| event["event"].as_str().expect("a name")).collect();
    assert!(seen.is_superset(&BTreeSet::from(["record", "resumed", "run_starts", "run_done"])), "{seen:?}");
    let found = errors(&schema("events"), &events);
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn every_schema_refuses_a_document_of_another_kind() {
    for entry in std::fs::read_dir(root().join("spec/schemas")).expect("schemas") {
        let name = entry.expect("an entry").path().file_stem().expect("a name").to_string_lossy().into_owned();
        assert_eq!(errors(&schema(&name), &[json!({ "schema": "opal/other/v1" }), json!([])]).len(), 2, "{name}");
    }
}
