//! How steps end arrives as it is, and they start as programs are meant to start, however the run itself was started.

use opal_tests::Host;
use serde_json::Value;
use std::process::Command;

fn events(stdout: &str, name: &str) -> Vec<Value> {
    let events = stdout.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    events.filter(|event| event["event"] == name).collect()
}

#[test]
fn every_exit_status_and_every_signal_is_reported_as_it_is() {
    let host = Host::new();
    // Those that stop, or are ignored unless somebody handles them, end nothing; QUIT is ignored by bash itself.
    let signals: Vec<i64> = (1..=31).filter(|number| ![3, 17, 18, 19, 20, 21, 22, 23, 28].contains(number)).collect();
    let list: Vec<String> = signals.iter().map(i64::to_string).collect();
    let script = format!(
        "for i in 0...255 {{\n    try {{ exit @var.i }} catch {{ sleep(0s) }}\n}}\nfor s in [{}] {{\n    try {{ ulimit -c 0; kill -@var.s $$ }} catch {{ sleep(0s) }}\n}}\n",
        list.join(", ")
    );
    host.write("script.opl", script);
    let ended = host.run("opal", &["--json", "./script.opl"]);
    ended.expect(0);
    // A `sleep` has no process that could end.
    let of_process = |event: &Value| !event["exit"].is_null() || !event["signal"].is_null();
    let done: Vec<Value> = events(&ended.stdout, "step_done").into_iter().filter(of_process).collect();
    let reported: Vec<(Option<i64>, Option<i64>)> = done.iter().map(|event| (event["exit"].as_i64(), event["signal"].as_i64())).collect();
    let expected: Vec<_> = (0..=255).map(|code| (Some(code), None)).chain(signals.iter().map(|signal| (None, Some(*signal)))).collect();
    assert_eq!(reported, expected);
    let failures = events(&ended.stdout, "run_done")[0]["failures"].as_array().map_or(0, Vec::len);
    assert_eq!(failures, 255 + signals.len());
}

#[test]
fn signals_that_are_blocked_or_ignored_around_a_run_are_not_in_its_steps() {
    let host = Host::new();
    host.write("script.opl", "grep -E '^Sig(Blk|Ign):' /proc/self/status\nbash -c 'kill -PIPE $$; echo alive' || echo \"ended by $?\"\n");
    let opal = host.command("opal", ["--quiet", "./script.opl"]);
    let mut command = Command::new("env");
    command.args(["--block-signal=USR1,USR2,TERM,CHLD,PIPE", "--ignore-signal=PIPE,QUIT,TSTP,USR1,CHLD,INT"]);
    command.arg(opal.get_program()).args(opal.get_args()).current_dir(host.work()).env_clear();
    command.envs(opal.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let output = command.output().expect("it starts");
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() && said.contains("unrecognized option") {
        eprintln!("skipped: this env cannot block signals");
        return;
    }
    let text = String::from_utf8(output.stdout).expect("text");
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 3, "{text}{said}");
    for line in &lines[..2] {
        let set = u64::from_str_radix(line.split_ascii_whitespace().nth(1).expect("a set"), 16).expect("a number");
        // Two real-time signals belong to libc.
        assert_eq!(set & 0x7fff_ffff, 0, "{line}");
    }
    assert_eq!(lines[2], "ended by 141");
}
