//! A run that died or failed goes on where it was, through the real binaries: nothing that is done is done twice, nothing is left out.
//!
//! The steps of the plans below append a word each to `log`, so what ran, and how often, can be counted. A run is cut at each of its events by
//! cutting the file of events there, which is what a power cut leaves; and the real VM is killed, `OPAL_KILLS` times (by default some tens).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use opal_tests::{Ended, Host};
use serde_json::Value;

type Words = BTreeMap<String, usize>;

/// Steps that succeed, in blocks of every kind.
const WELL: &str = r#"
echo SITE
NAME=$(echo bound | tee -a log)
echo one-@var.NAME >> log
for i in [1, 2] {
    echo loop-@var.i >> log
}
@parallel(max_concurrency=2) {
    echo left >> log
    @retry(2) {
        echo attempt >> log
        test -e tried || ! touch tried
    }
    echo right >> log
}
@workdir("below") {
    INNER=$(echo inner | tee -a ../log)
    echo two-@var.NAME-@var.INNER >> ../log
}
try {
    echo body >> log
    @timeout(1m) { echo timed >> log }
} finally {
    echo finally >> log
}
@retry(1) { test -e nowhere } || echo or >> log
echo counted | tee -a log |> lines.count() |> assert.num("== 1")
echo last-@var.NAME >> log
"#;

/// Steps that fail, time out or cannot start, and are dealt with.
const ILL: &str = r#"
echo SITE
try {
    echo body >> log
    @workdir("nowhere") { echo never >> log }
    echo never >> log
} catch {
    echo caught >> log
    try {
        @timeout(200ms) {
            try {
                echo slow >> log
                sleep 60
                echo never >> log
            } catch {
                echo never >> log
            } finally {
                echo cleaned >> log
            }
        }
        echo never >> log
    } catch {
        echo late >> log
    }
} finally {
    echo finally >> log
}
@parallel(tolerate=1) {
    echo left >> log
    @workdir("nowhere") { echo never >> log }
    echo right >> log
}
@retry(1) { test -e nowhere } ; echo after >> log
echo last >> log
"#;

fn words(text: &str) -> Words {
    let mut words = Words::new();
    for word in text.split_whitespace() {
        *words.entry(word.to_owned()).or_insert(0) += 1;
    }
    words
}

fn well() -> Words {
    words("bound one-bound loop-1 loop-2 left attempt attempt right inner two-bound-inner body timed finally or counted last-bound")
}

fn ill() -> Words {
    words("body caught slow cleaned late finally left right after last")
}

fn host(plan: &str, arguments: &[&str]) -> Host {
    let host = Host::new();
    std::fs::create_dir(host.work().join("below")).expect("a directory");
    host.contract(plan, arguments);
    host
}

fn runs(host: &Host) -> PathBuf {
    host.path().join("state/opal/runs")
}

/// The name of the latest run.
fn latest(host: &Host) -> String {
    let names = std::fs::read_dir(runs(host)).expect("runs").map(|entry| entry.expect("an entry").file_name());
    names.max().expect("a run").into_string().expect("a name")
}

fn events_of(host: &Host, run_id: &str) -> PathBuf {
    runs(host).join(run_id).join("events.jsonl")
}

fn events(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

fn run(host: &Host, more: &[&str]) -> Ended {
    host.vm(&[&["run", "--plan", "prod.plan"], more].concat())
}

/// What is in a record.
fn summary(host: &Host, run_id: &str) -> Value {
    serde_json::from_slice(&std::fs::read(runs(host).join(run_id).join("summary.json")).expect("a summary")).expect("JSON")
}

/// The word that each step writes into the log, by its path; empty for none.
fn steps(host: &Host) -> BTreeMap<String, String> {
    fn walk(nodes: &Value, found: &mut BTreeMap<String, String>) {
        for node in nodes.as_array().expect("nodes") {
            let command = node["args"]["command"].as_str().unwrap_or_default();
            let word = command.split_once("echo ").map_or("", |(_, rest)| rest.split(' ').next().unwrap_or_default());
            let word = if command.contains("log") { word } else { "" };
            let word = word.replace("@let.NAME", "bound").replace("@let.INNER", "inner");
            found.insert(node["path"].as_str().expect("a path").to_owned(), word);
            walk(&node["block"], found);
        }
    }
    let inspected = host.vm(&["inspect", "--plan", "prod.plan", "--json"]);
    let document: Value = serde_json::from_str(&inspected.stdout).expect("JSON");
    let mut found = BTreeMap::new();
    walk(&document["steps"], &mut found);
    found
}

/// The paths of steps that a refusal calls unknown.
fn unknown(ended: &Ended) -> Vec<String> {
    ended.expect(64).says("error[step_unknown]");
    let paths = ended.stderr.lines().filter_map(|line| line.trim().strip_prefix("--> step ")?.split(' ').next());
    paths.map(str::to_owned).collect()
}

/// Cuts the record of a run behind its first `count` events, as a death there leaves it, and gives what remains.
fn cut(host: &Host, run_id: &str, whole: &[u8], count: usize) -> Vec<Value> {
    let lines: Vec<&[u8]> = whole.split_inclusive(|byte| *byte == b'\n').collect();
    let mut kept = lines[..count].concat();
    // Every other one is torn in the middle of the next.
    let torn = lines.get(count).map_or(0, |line| (count % 2) * (line.len() / 2));
    kept.extend_from_slice(&lines.get(count).copied().unwrap_or_default()[..torn]);
    let path = events_of(host, run_id);
    std::fs::write(&path, kept).expect("written");
    let _ = std::fs::remove_file(path.with_file_name("summary.json"));
    events(&path)
}

/// Cuts a whole run behind those of its events that `wanted` takes, goes on from there, and counts.
fn cut_and_resume(host: &Host, plan: &str, all: &Words, status: i32, mut wanted: impl FnMut(usize) -> bool) {
    let (run_id, steps) = (latest(host), steps(host));
    let whole = std::fs::read(events_of(host, &run_id)).expect("events");
    let count = whole.iter().filter(|byte| **byte == b'\n').count();
    let binds = |path: &str| plan.contains("NAME=") && matches!(path, "2" | "6.1");
    for kept in (1..count).filter(|kept| wanted(*kept)) {
        let before = cut(host, &run_id, &whole, kept);
        let at = |name: &str, path: &str| before.iter().any(|event| event["event"] == name && event["path"] == path);
        // What is done: steps with their end, bindings with their value, a pipeline as a whole.
        let mut left = all.clone();
        let mut open: Vec<&str> = Vec::new();
        for event in &before {
            let Some(path) = event["path"].as_str() else { continue };
            let inner = path.rsplit_once('.').filter(|(parent, _)| at("block_starts", parent));
            let done = match event["event"].as_str().expect("a name") {
                "step_starts" | "block_starts" => {
                    open.extend(inner.is_none().then_some(path));
                    false
                }
                "step_done" => match inner {
                    Some((parent, _)) => at("block_done", parent),
                    None => !steps[path].is_empty() && (!binds(path) || at("binding", path)),
                },
                _ => false,
            };
            if matches!(event["event"].as_str(), Some("step_done" | "block_done")) && (!binds(path) || at("binding", path)) {
                open.retain(|other| *other != path);
            }
            if done && let Some(word) = left.get_mut(&steps[path]) {
                *word -= 1;
            }
        }
        left.retain(|_, times| *times > 0);
        let tried = before.iter().any(|event| event["event"] == "step_done" && event["path"] == "5.2.2");
        let _ = std::fs::remove_file(host.work().join("tried"));
        if tried {
            host.write("tried", "");
        }
        host.write("log", "");
        let resumed = run(host, &["--resume", &run_id]);
        if open.is_empty() {
            resumed.expect(status);
        } else {
            let mut named = unknown(&resumed);
            named.sort();
            open.sort_unstable();
            assert_eq!(named, open);
            // Cutting the record undid them, so running them is the first time.
            run(host, &["--resume", &run_id, "--rerun-unknown"]).expect(status);
        }
        let last = before.last().expect("an event");
        assert_eq!(words(&host.read("log")), left, "cut behind {kept} of {count} events: {last}\n{plan}");
    }
}

fn cut_everywhere(plan: &str, all: &Words) {
    let host = host(plan, &[]);
    run(&host, &[]).expect(0);
    assert_eq!(words(&host.read("log")), *all);
    cut_and_resume(&host, plan, all, 0, |_| true);
}

/// Random plans whose steps always end alike, so that a run in two parts does what a run in one does.
struct Plans {
    chance: u64,
    steps: usize,
}

impl Plans {
    fn next(&mut self, below: u64) -> u64 {
        self.chance = self.chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.chance >> 33) % below
    }

    fn block(&mut self, depth: u64) -> String {
        (0..=self.next(3)).map(|_| self.statement(depth)).collect()
    }

    fn statement(&mut self, depth: u64) -> String {
        self.steps += 1;
        let step = format!("echo w{} >> log", self.steps);
        match self.next(if depth == 0 { 4 } else { 13 }) {
            0..=2 => format!("{step}\n"),
            3 => format!("{step}; exit 3\n"),
            4 => format!("@workdir(\"nowhere\") {{\n{}}}\n", self.block(0)),
            5 => format!("@retry(2) {{\n{}}}\n", self.block(depth - 1)),
            6 => format!("@timeout(5m) {{\n{}}}\n", self.block(depth - 1)),
            7 => format!("@parallel(max_concurrency=1, tolerate={}) {{\n{}}}\n", self.next(2), self.block(depth - 1)),
            8 => format!("for i in [1, 2] {{\n{}}}\n", self.block(depth - 1)),
            9 => {
                let operator = ["||", "&&", ";"][usize::try_from(self.next(3)).expect("small")];
                format!("@retry(1) {{\n{}}} {operator} @retry(1) {{\n{}}}\n", self.block(depth - 1), self.block(depth - 1))
            }
            10 => format!("try {{\n{}}} finally {{\n{}}}\n", self.block(depth - 1), self.block(depth - 1)),
            11 => format!("try {{\n{}}} catch {{\n{}}}\n", self.block(depth - 1), self.block(depth - 1)),
            _ => {
                let (body, catch, finally) = (self.block(depth - 1), self.block(depth - 1), self.block(0));
                format!("try {{\n{body}}} catch {{\n{catch}}} finally {{\n{finally}}}\n")
            }
        }
    }
}

#[test]
fn random_plans_do_the_same_in_two_parts_as_in_one() {
    let number: u64 = std::env::var("OPAL_PLANS").ok().and_then(|number| number.parse().ok()).unwrap_or(12);
    for seed in 0..number {
        let mut plans = Plans { chance: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15), steps: 0 };
        plans.next(2);
        let plan = format!("echo SITE\n{}{}", plans.block(3), plans.block(2));
        let host = host(&plan, &[]);
        let whole = run(&host, &[]);
        assert!(matches!(whole.status, 0 | 1), "{whole:?}\n{plan}");
        let all = words(&host.read("log"));
        cut_and_resume(&host, &plan, &all, whole.status, |_| plans.next(8) == 0);
    }
}

#[test]
fn a_run_that_is_cut_at_any_event_goes_on_and_does_each_step_once() {
    cut_everywhere(WELL, &well());
}

#[test]
fn failures_that_were_dealt_with_before_the_cut_stay_dealt_with() {
    cut_everywhere(ILL, &ill());
}

/// Starts a run, kills the VM when `when` says so, and tells whether it was killed before its end.
fn killed(host: &Host, more: &[&str], when: impl Fn() -> bool) -> Option<Ended> {
    let mut command: Command = host.command("opal-vm", [&["run", "--plan", "prod.plan"], more].concat());
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the VM starts");
    loop {
        if child.try_wait().expect("a child").is_some() {
            return Some(Ended::from(child.wait_with_output().expect("its output")));
        }
        if when() {
            child.kill().expect("killed");
            // Its standard error is held by nobody else than its watchers, which go now.
            child.wait().expect("gone");
            return None;
        }
        std::thread::sleep(Duration::from_micros(200));
    }
}

/// Resumes as soon as the processes of the last run are gone.
fn resume(host: &Host, more: &[&str]) -> Ended {
    let started = Instant::now();
    loop {
        let ended = run(host, &[&["--resume", "latest"], more].concat());
        if ended.status != 75 {
            return ended;
        }
        assert!(started.elapsed() < Duration::from_secs(60), "{ended:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_vm_that_is_killed_at_any_instant_repeats_nothing_that_is_done_and_leaves_nothing_out() {
    let kills: usize = std::env::var("OPAL_KILLS").ok().and_then(|number| number.parse().ok()).unwrap_or(30);
    let host = host(WELL, &[]);
    let steps = steps(&host);
    let mut chance: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut done = 0;
    while done < kills {
        let _ = std::fs::remove_file(host.work().join("log"));
        let _ = std::fs::remove_file(host.work().join("tried"));
        let _ = std::fs::remove_dir_all(runs(&host));
        // Steps that may have run although nobody knows.
        let mut excuses = Words::new();
        let mut more: Vec<&str> = Vec::new();
        let mut first = true;
        let ended = loop {
            chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let (lines, pause, by_events) = ((chance >> 33) % 60, Duration::from_millis((chance >> 40) % 500), chance >> 63 == 0);
            let started = Instant::now();
            let when = || match by_events {
                true => std::fs::read_dir(runs(&host)).is_ok_and(|mut found| {
                    found.any(|entry| events(&entry.expect("an entry").path().join("events.jsonl")).len() as u64 > lines)
                }),
                false => started.elapsed() > pause,
            };
            let Some(ended) = killed(&host, &more, when) else {
                done += 1;
                let begun = std::fs::read_dir(runs(&host))
                    .is_ok_and(|mut found| found.any(|entry| !events(&entry.expect("an entry").path().join("events.jsonl")).is_empty()));
                if !begun {
                    let _ = std::fs::remove_dir_all(runs(&host));
                    more.clear();
                    continue;
                }
                first = false;
                more = vec!["--resume", "latest"];
                // A run without unknown steps goes on to its end here, or dies of the next kill.
                continue;
            };
            match ended.status {
                75 => continue,
                64 if !first && ended.stderr.contains("error[step_unknown]") && !more.contains(&"--rerun-unknown") => {
                    for path in unknown(&ended) {
                        // A pipeline is named by its own path.
                        let inner = format!("{path}.");
                        for (_, word) in steps.iter().filter(|(other, _)| **other == path || other.starts_with(&inner)) {
                            *excuses.entry(word.clone()).or_insert(0) += 1;
                        }
                    }
                    more.push("--rerun-unknown");
                }
                // Killed after the last event, before the end of the process.
                64 => break resume(&host, &[]),
                _ => break ended,
            }
        };
        if ended.status == 64 {
            ended.says("error[run_finished]");
        } else {
            ended.expect(0);
        }
        let log = words(&host.read("log"));
        for (word, times) in &well() {
            let (had, excused) = (log.get(word).copied().unwrap_or(0), excuses.get(word).copied().unwrap_or(0));
            // The test of the retry leaves its mark before it is done, so an attempt may be saved.
            let least = if word == "attempt" { 1 } else { *times };
            assert!(had >= least && had <= times + excused, "`{word}` ran {had} times, {excused} excused: {log:?}");
        }
        assert!(log.keys().all(|word| well().contains_key(word)), "{log:?}");
    }
}

/// A step that kills the VM it runs under.
// The parent of a step is its watcher, the watcher's the helper, and the helper's the VM.
const DIE: &str = "kill -9 $(cut -d' ' -f4 /proc/$(cut -d' ' -f4 /proc/$PPID/stat)/stat); sleep 60";

#[test]
fn a_step_in_flight_is_unknown_and_the_next_run_says_what_was_interrupted() {
    let host = host(&format!("echo SITE\necho one >> log\ntest -e go || {{ {DIE}; }}\necho two >> log\n"), &[]);
    run(&host, &[]).expect(128 + 9);
    let run_id = latest(&host);
    let refused = resume(&host, &[]);
    assert_eq!(unknown(&refused), ["3"]);
    refused.says("--rerun-unknown").says("effects: none").says("deploy.opl:3:1");
    host.write("go", "");
    run(&host, &[]).expect(0).says(&format!("warning: run {run_id} of the same work")).says(&format!("--resume {run_id}`"));
    assert!(!run(&host, &[]).expect(0).stderr.contains("warning: run"), "it is said once");
    run(&host, &["--resume", &run_id, "--rerun-unknown"]).expect(0).says("4 of 4 steps ran, 2 of them before it was resumed");
    assert_eq!(words(&host.read("log")), words("one one one two two two"));
    run(&host, &["--resume", &run_id]).expect(64).says("error[run_finished]").says("effects: none");
    let end = summary(&host, &run_id);
    assert_eq!((&end["outcome"], &end["resumable"], &end["resumed_from"]), (&"succeeded".into(), &false.into(), &run_id.as_str().into()));
}

#[test]
fn after_an_orderly_end_a_run_goes_on_at_the_outermost_block_that_could_have_dealt_with_it() {
    let host = host(
        &r#"
echo SITE
X=$(echo made | tee -a log)
@parallel {
    echo done >> log
    test -e go1 && echo branch-@var.X >> log
}
try {
    echo body >> log
    @retry(2) { echo attempt >> log; test -e go2 }
    test -e go3 || { DIE; }
} finally {
    echo finally >> log
}
"#
        .replace("DIE", DIE),
        &[],
    );
    let failed = run(&host, &["--json"]);
    failed.expect(1).says("help: to go on with it: `opal-vm run --plan prod.plan --resume ");
    let run_id = latest(&host);
    let last: Value = serde_json::from_str(failed.stdout.lines().last().expect("events")).expect("JSON");
    assert_eq!((&last["run_id"], &last["resumable"], &last["resumed_from"]), (&run_id.as_str().into(), &true.into(), &Value::Null));
    assert_eq!(words(&host.read("log")), words("made done"));
    host.write("go1", "");
    run(&host, &["--resume", &run_id]).expect(1);
    assert_eq!(words(&host.read("log")), words("made done branch-made body attempt attempt finally"));
    host.write("go2", "");
    host.write("log", "");
    // A death after that is a death of this part: what the failed part did counts no more.
    run(&host, &["--resume", &run_id]).expect(128 + 9);
    assert_eq!(words(&host.read("log")), words("body attempt"));
    host.write("go3", "");
    unknown(&resume(&host, &[]));
    let done = resume(&host, &["--rerun-unknown", "--json"]);
    done.expect(0);
    assert_eq!(words(&host.read("log")), words("body attempt finally"));
    let last: Value = serde_json::from_str(done.stdout.lines().last().expect("events")).expect("JSON");
    assert_eq!((&last["resumed_from"], &last["resumable"], &last["steps_before"]), (&run_id.as_str().into(), &false.into(), &6.into()));
    assert_eq!(run_id, latest(&host), "it is the same run");
}

#[test]
fn a_run_with_a_receipt_goes_on_with_its_bindings() {
    let host = host("echo SITE\nX=$(echo made | tee -a log)\ntest -e go\necho end-@var.X >> log\n", &[]);
    run(&host, &["--receipt", "first"]).expect(1);
    host.write("go", "");
    run(&host, &["--resume", "latest", "--receipt", "second"]).expect(0);
    assert_eq!(words(&host.read("log")), words("made end-made"));
}

#[test]
fn a_run_that_died_while_it_was_being_stopped_finishes_its_cleanup_and_can_go_on_again() {
    let plan = format!(
        "echo SITE\ntry {{\n    echo body >> log\n    test -e go || kill -TERM $(cut -d' ' -f4 /proc/$(cut -d' ' -f4 /proc/$PPID/stat)/stat) && sleep 1\n    echo rest >> log\n}} finally {{\n    echo clean-1 >> log\n    test -e go || {{ {DIE}; }}\n    echo clean-2 >> log\n}}\n"
    );
    let host = host(&plan, &[]);
    run(&host, &[]).expect(128 + 9);
    host.write("go", "");
    unknown(&resume(&host, &[]));
    let ended = resume(&host, &["--rerun-unknown"]);
    ended.expect(1).says("error[cancelled]").says("help: to go on with it");
    assert_eq!(words(&host.read("log")), words("body clean-1 clean-2"));
    resume(&host, &[]).expect(0);
    assert_eq!(words(&host.read("log")), words("body clean-1 clean-2 body rest clean-1 clean-2"));
}

#[test]
fn what_was_kept_alive_for_an_unfinished_block_is_unknown() {
    let host =
        host(&format!("echo SITE\n@detach {{\n    sleep 60 & echo server >> log\n}}\necho one >> log\ntest -e go || {{ {DIE}; }}\n"), &[]);
    run(&host, &[]).expect(128 + 9);
    host.write("go", "");
    let mut named = unknown(&resume(&host, &[]));
    named.sort();
    assert_eq!(named, ["2", "4"]);
    resume(&host, &["--rerun-unknown"]).expect(0);
    assert_eq!(words(&host.read("log")), words("server one server"));
}

#[test]
fn values_that_moved_since_the_start_are_drift_and_nothing_runs() {
    let mut host = Host::new();
    host.set("LEVEL", "secret-level-3");
    host.contract("echo SITE\necho one-@env.LEVEL >> log\ntest -e go\n", &[]);
    run(&host, &[]).expect(1);
    let run_id = latest(&host);
    host.write("go", "");
    host.set("LEVEL", "secret-level-4");
    run(&host, &["--resume", &run_id]).expect(3).says("env_changed").says("effects: none");
    assert_eq!(words(&host.read("log")), words("one-secret-level-3"));
    // A run that was forced goes on with the values that it was forced to.
    std::fs::remove_file(host.work().join("go")).expect("removed");
    run(&host, &["--force=LEVEL"]).expect(1);
    let forced = latest(&host);
    host.write("go", "");
    host.set("LEVEL", "secret-level-3");
    run(&host, &["--resume", &forced]).expect(3).says("env.LEVEL");
    run(&host, &["--resume", &run_id]).expect(0);
    host.set("LEVEL", "secret-level-4");
    run(&host, &["--resume", &forced]).expect(0);
    assert_eq!(words(&host.read("log")), words("one-secret-level-3 one-secret-level-4"));
}

#[test]
fn a_record_that_is_not_of_this_contract_or_not_genuine_is_refused() {
    let host = host("echo SITE one >> log\ntest -e go\n", &[]);
    run(&host, &[]).expect(1);
    let run_id = latest(&host);
    run(&host, &["--resume", "20260506T070809Z-0a1b2c3d"]).expect(66).says("error[no_record]");
    run(&host, &["--resume", "../../x"]).expect(66).says("error[no_record]");
    run(&host, &["--resume", &run_id, "--record", "none"]).expect(64);
    run(&host, &["--resume", &run_id, "--from", "2"]).expect(64);
    run(&host, &["--rerun-unknown"]).expect(64);
    let path = events_of(&host, &run_id);
    let whole = std::fs::read_to_string(&path).expect("events");
    let changed = whole.replacen("\"exit\":1", "\"exit\":0", 1).replacen("\"result\":\"failed\"", "\"result\":\"done\"", 1);
    assert_ne!(changed, whole);
    std::fs::write(&path, changed).expect("written");
    run(&host, &["--resume", &run_id]).expect(65).says("error[record_tampered]").says("effects: none");
    std::fs::write(&path, &whole).expect("written");
    host.write("other.opl", host.named("echo SITE two >> log\n"));
    host.opalc(&["other.opl", "--resolve", "-o", "other.plan"]).expect(0);
    host.vm(&["run", "--plan", "other.plan", "--resume", &run_id]).expect(64).says("error[record_of_another]");
    std::fs::create_dir(host.work().join("elsewhere")).expect("a directory");
    let mut away = host.command("opal-vm", ["run", "--plan", "../prod.plan", "--source", "../deploy.opl", "--resume", &run_id]);
    Ended::from(away.current_dir(host.work().join("elsewhere")).output().expect("it runs")).expect(64).says("error[other_directory]");
    host.write("commands.opl", host.named("fail: test SITE -e nowhere\n"));
    assert_ne!(host.run("opal", &["fail"]).status, 0);
    run(&host, &["--resume", &latest(&host)]).expect(64).says("error[record_of_direct_run]");
    host.write("go", "");
    run(&host, &["--resume", &run_id]).expect(0);
    assert_eq!(host.read("log").lines().count(), 1);
}

#[test]
fn a_direct_run_that_died_is_spoken_of_by_the_next() {
    let host = Host::new();
    host.write("commands.opl", host.named(&format!("die: {{\n    test SITE -a -e go || {{ {DIE}; }}\n}}\n")));
    host.run("opal", &["die"]).expect(128 + 9);
    let run_id = latest(&host);
    host.write("go", "");
    let started = Instant::now();
    let next = loop {
        let ended = host.run("opal", &["die"]);
        if ended.status != 75 {
            break ended;
        }
        assert!(started.elapsed() < Duration::from_secs(60), "{ended:?}");
    };
    next.expect(0).says(&format!("warning: run {run_id} of the same work")).says("a direct run cannot be resumed");
    assert!(!host.run("opal", &["die"]).expect(0).stderr.contains("warning: run"));
}

#[test]
fn a_single_use_contract_goes_on_as_the_same_run_only() {
    let host = host("echo SITE one >> log\ntest -e go\n", &["--once"]);
    run(&host, &[]).expect(1);
    let run_id = latest(&host);
    let used = run(&host, &[]);
    used.expect(22).says(&format!("by run {run_id}, which did not finish")).says(&format!("--resume {run_id}`"));
    host.write("go", "");
    run(&host, &["--resume", &run_id]).expect(0);
    run(&host, &["--resume", &run_id]).expect(22);
    run(&host, &[]).expect(22).says(&format!("by run {run_id}"));
    assert_eq!(host.read("log").lines().count(), 1);
}

#[test]
fn a_partial_run_begins_at_a_step_and_says_so() {
    let host = host(
        "echo SITE\nX=$(echo made)\necho one >> log\nfor i in [1, 2] {\n    echo loop-@var.i >> log\n}\n@retry(1) { test -e nowhere } || echo or >> log\necho two-@var.X >> log\n",
        &[],
    );
    run(&host, &["--from", "9"]).expect(64).says("there is no step 9").says("1 to 6");
    run(&host, &["--from", "4.7"]).expect(64).says("4.1 to 4.2");
    run(&host, &["--from", "5.2"]).expect(64).says("inside an alternative");
    run(&host, &["--from", "4.2"]).expect(64).says("error[binding_skipped]").says("--from 2");
    assert_eq!(host.read("log"), "");
    host.write(
        "deploy.opl",
        host.named("echo SITE part\necho one >> log\nfor i in [1, 2] {\n    echo loop-@var.i >> log\n}\ntest -e go\n"),
    );
    host.opalc(&["deploy.opl", "--resolve", "-o", "prod.plan"]).expect(0);
    let failed = run(&host, &["--from", "3.2", "--json"]);
    failed.expect(1).says("partial: it began at 3.2, and 3 before it were skipped");
    assert_eq!(words(&host.read("log")), words("loop-2"));
    let last: Value = serde_json::from_str(failed.stdout.lines().last().expect("events")).expect("JSON");
    assert_eq!((&last["partial"], &last["from"], &last["steps_skipped"]), (&true.into(), &"3.2".into(), &3.into()));
    let run_id = latest(&host);
    assert_eq!(summary(&host, &run_id)["partial"], true);
    host.write("go", "");
    run(&host, &["--resume", &run_id]).expect(0).says("partial: it began at 3.2");
    assert_eq!(words(&host.read("log")), words("loop-2"));
}

#[test]
fn a_record_holds_no_value_and_nothing_that_acts_on_a_terminal() {
    let host = host(
        "echo SITE\nX=$(printf very-%s-binding secret)\necho @var.X\nprintf '\\033[31mred\\033]0;title\\007 \\302\\233 %s' \"@var.X\" >&2; exit 3\n",
        &[],
    );
    run(&host, &[]).expect(1);
    for (path, bytes) in host.files().into_iter().filter(|(path, _)| path.starts_with(host.path().join("state"))) {
        let text = String::from_utf8_lossy(&bytes);
        assert!(!text.contains("very-secret-binding"), "{}", path.display());
        assert!(text.chars().all(|character| character == '\n' || !character.is_control()), "{}", path.display());
    }
    assert!(summary(&host, &latest(&host))["failures"][0]["stderr"].as_str().is_some_and(|stderr| stderr.contains("\u{1b}[31mred")));
}

#[test]
fn a_record_that_is_removed_or_cannot_be_made_stops_the_run() {
    let host =
        host("echo SITE\ntry {\n    rm -r ../state/opal/runs\n    echo never >> log\n} finally {\n    echo finally >> log\n}\n", &[]);
    run(&host, &[]).expect(74).says("error[record_lost]");
    assert_eq!(words(&host.read("log")), words("finally"));
    host.write("file", "");
    run(&host, &["--record", "file/record"]).expect(74).says("error[record_unusable]").says("effects: none");
    run(&host, &["--record", "kept"]).expect(1).says("--record kept --resume");
    let resumed = run(&host, &["--record", "kept"]);
    resumed.expect(74).says("error[record_unusable]").says("holds the record of another run");
}
