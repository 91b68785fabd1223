//! `--force`: the agreed work with other values, after they were named or asked about, and never other work.

use opal_tests::{Ended, Host};
use serde_json::Value;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::process::Stdio;

const SCRIPT: &str = "go: {\n    echo SITE @env.A @env.B(default=2) > out\n    if @env.STAGE == \"x\" { echo extra }\n    cat @file.sha256(\"conf\") /dev/null || true\n}\n";

fn host() -> Host {
    let mut host = Host::new();
    host.set("A", "first-value").set("STAGE", "s");
    host.write("conf", "one");
    host.contract(SCRIPT, &["go"]);
    host
}

fn run(host: &Host, options: &[&str]) -> Ended {
    let mut words = vec!["run", "--plan", "prod.plan"];
    words.extend_from_slice(options);
    host.vm(&words)
}

fn summary(host: &Host) -> Value {
    let files = host.files();
    let (_, bytes) = files.iter().find(|(path, _)| path.ends_with("summary.json")).expect("a summary");
    serde_json::from_slice(bytes).expect("JSON")
}

#[test]
fn the_named_drift_is_accepted_shown_and_recorded() {
    for (change, force) in
        [("A", "--force=A"), ("A", "--force=env.A"), ("B", "--force=B"), ("B", "--force=env.B(default=2)"), ("B", "--force=UNMOVED,env.B")]
    {
        let mut host = host();
        host.set(change, "77");
        let ended = run(&host, &[force]);
        ended.expect(0).says("drift[env_changed]").says("expected: ").says("forced: ").says("Plan Hash: ").says("effects: started");
        assert!(host.read("out").contains("77"));
        let summary = summary(&host);
        let accepted = &summary["accepted_drift"][0];
        assert_eq!((&summary["forced"], &accepted["code"]), (&Value::from(true), &Value::from("env_changed")));
        assert!(accepted["key"].as_str().expect("a key").starts_with(&format!("env.{change}")), "{accepted}");
        let id = |name: &str| accepted[name].as_str().expect("an id").to_owned();
        assert!(id("was") != id("now") && id("was").starts_with("opal:secret:") && id("now").starts_with("opal:secret:"));
        let events = host.files().into_iter().find(|(path, _)| path.ends_with("events.jsonl")).expect("events").1;
        assert!(String::from_utf8_lossy(&events).contains("\"accepted_drift\":[{"));
    }
}

#[test]
fn an_event_stream_says_what_was_forced_and_a_plain_run_that_nothing_was() {
    let mut host = host();
    let plain = run(&host, &["--json", "--force=A"]);
    plain.expect(0);
    let first = |ended: &Ended| -> Value { serde_json::from_str(ended.stdout.lines().next().expect("a line")).expect("JSON") };
    assert_eq!((&first(&plain)["forced"], &first(&plain)["accepted_drift"]), (&Value::from(false), &Value::Null));
    host.set("A", "second-value");
    let forced = run(&host, &["--json", "--force=A"]);
    forced.expect(0);
    assert_eq!((&first(&forced)["forced"], &first(&forced)["accepted_drift"][0]["key"]), (&Value::from(true), &Value::from("env.A")));
    assert!(!forced.stdout.contains("second-value") && !forced.stderr.contains("second-value"));
}

#[test]
fn what_is_not_named_still_stops_the_run_and_is_listed() {
    let mut host = host();
    host.set("A", "other-value").set("B", "3");
    host.write("conf", "two");
    for (force, left) in [
        ("--force=A", vec!["env.B(default=2)", "file.sha256(\"conf\")"]),
        ("--force=A,B", vec!["file.sha256(\"conf\")"]),
        ("--force=C", vec!["env.A", "env.B(default=2)", "file.sha256(\"conf\")"]),
    ] {
        let ended = run(&host, &[force, "--json"]);
        ended.expect(3).says("does not name: ").says("effects: none");
        let report: Value = serde_json::from_str(&ended.stdout).expect("JSON");
        assert_eq!((&report["not_accepted"], &report["forcible"]), (&Value::from(left), &Value::from(true)));
        assert_eq!(host.read("out"), "");
    }
    run(&host, &["--force=A,B", "--force=file.sha256(\"conf\")"]).expect(0);
    assert!(host.read("out").contains("other-value 3"));
}

#[test]
fn other_work_another_source_or_no_plan_are_never_forced() {
    let all = "--force=A,B,STAGE,conf,deploy.opl,file.sha256(\"conf\")";
    let refused = |change: &dyn Fn(&mut Host), code: &str| {
        let mut host = host();
        change(&mut host);
        let ended = run(&host, &[all, "--json"]);
        ended.expect(3).says(&format!("error[{code}]")).says("agreed work").says("effects: none");
        assert_eq!(serde_json::from_str::<Value>(&ended.stdout).expect("JSON")["forcible"], false);
        assert_eq!(host.read("out"), "");
    };
    refused(&|host| _ = host.set("STAGE", "x"), "structure_changed");
    refused(&|host| _ = host.write("deploy.opl", host.named(&format!("# other\n{SCRIPT}"))), "source_changed");
    refused(&|host| _ = host.unset("A"), "env_changed");
    refused(&|host| std::fs::remove_file(host.work().join("conf")).expect("it was there"), "infra_missing");
    let mut host = Host::new();
    host.set("A", "1");
    host.contract("echo SITE @env.A\n", &["--unsigned"]);
    std::fs::remove_file(host.work().join("deploy.opl")).expect("it was there");
    host.set("A", "2");
    run(&host, &["--allow-unsigned", "--force=A,deploy.opl"]).expect(3).says("error[source_missing]").says("effects: none");
}

#[test]
fn without_a_terminal_a_bare_force_is_refused_and_a_name_must_not_be_empty() {
    let mut host = host();
    host.set("A", "other");
    run(&host, &["--force"]).expect(64).says("error[no_terminal]").says("--force=env.NAME").says("effects: none");
    run(&host, &["--force", "--yes"]).expect(64).says("error[no_terminal]");
    run(&host, &["--force=A,,B"]).expect(64).says("empty key");
    assert_eq!(host.read("out"), "");
    host.vm(&["verify", "--plan", "prod.plan", "--force=A"]).expect(64);
}

#[test]
fn on_a_terminal_force_shows_the_drift_and_the_plan_and_asks() {
    for (options, answer, status) in [
        (&["--force"][..], "y\n", 0),
        (&["--force"], "n\n", 3),
        (&["--force=A"], "n\n", 3),
        (&["--force", "--yes"], "", 0),
        (&[], "y\n", 3),
    ] {
        let mut host = host();
        host.set("A", "other-value");
        let terminal = nix::pty::openpty(None, None).expect("a terminal");
        let mut master = File::from(terminal.master);
        master.write_all(answer.as_bytes()).expect("typed");
        let slave = || Stdio::from(terminal.slave.try_clone().expect("a descriptor"));
        let mut command = host.command("opal-vm", ["run", "--plan", "prod.plan"]);
        command.args(options).stdin(slave()).stderr(slave()).stdout(Stdio::null());
        let ended = command.status().expect("it ends");
        drop((command, terminal.slave));
        let mut shown = Vec::new();
        // The end of a terminal reads as an error.
        let _ = master.read_to_end(&mut shown);
        let shown = String::from_utf8_lossy(&shown);
        assert_eq!(ended.code(), Some(status), "{options:?} {shown}");
        assert_eq!(host.read("out").is_empty(), status != 0, "{shown}");
        let asked = !options.is_empty();
        assert_eq!(shown.contains("drift[env_changed]") && shown.contains("Plan Hash"), asked, "{shown}");
        assert_eq!(shown.contains("[y/N]"), asked && !options.contains(&"--yes"), "{shown}");
    }
}
