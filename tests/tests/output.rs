//! What steps write: it arrives or the run says that it did not, and however much it is, memory stays as it was.

use opal_tests::{Host, proc};
use std::io::Read;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Runs a script through `bash` with redirections of its own. Gives the exit status.
fn redirected(host: &Host, words: &str, redirections: &str) -> i32 {
    let opal = host.command("opal", words.split_whitespace());
    let mut command = Command::new("bash");
    command.args(["-c", &format!("\"$@\" {redirections}"), "bash"]).arg(opal.get_program()).args(opal.get_args());
    command.current_dir(host.work()).env_clear().envs(opal.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().expect("bash starts").code().expect("a status")
}

const WITH_CLEANUP: &str = "try {\n    touch started\n    echo out WHERE\n    touch not-reached\n} finally {\n    touch cleaned\n}\n";

#[test]
fn output_that_cannot_be_delivered_stops_the_run_after_cleanup_and_the_exit_says_so() {
    let cases = [
        ("", ">&-"),
        ("", ">/dev/full"),
        ("", "> >(exec true)"),
        ("", ">&- 2>&-"),
        (">&2", "2>&-"),
        (">&2", "2>/dev/full"),
        (">&2", "2> >(exec true)"),
    ];
    for (stream, redirection) in cases {
        let host = Host::new();
        // Long enough that a reader that goes away at once is gone.
        let script = WITH_CLEANUP.replace("echo out WHERE", &format!("bash -c 'sleep 0.2; echo out' {stream}"));
        host.write("script.opl", script);
        assert_eq!(redirected(&host, "./script.opl", redirection), 74, "{redirection}");
        let exists = |name: &str| host.work().join(name).exists();
        assert!(exists("started") && exists("cleaned") && !exists("not-reached"), "{redirection}");
    }
}

#[test]
fn a_stream_that_cannot_be_written_is_no_failure_of_a_run_that_writes_nothing_there() {
    for (stream, redirection) in [("2", ">&-"), ("2", ">/dev/full"), ("1", "2>&-"), ("1", "2>/dev/full")] {
        let host = Host::new();
        host.write("script.opl", format!("bash -c 'echo said' >&{stream}\ntouch reached\n"));
        assert_eq!(redirected(&host, "./script.opl", redirection), 0, "{redirection}");
        assert!(host.work().join("reached").exists());
    }
}

#[test]
fn events_and_results_that_cannot_be_delivered_are_an_error_too() {
    let host = Host::new();
    host.write("script.opl", "touch reached\n");
    for redirection in [">&-", ">/dev/full"] {
        assert_eq!(redirected(&host, "./script.opl --json", redirection), 74, "{redirection}");
        assert_eq!(redirected(&host, "./script.opl --dry-run", redirection), 74, "{redirection}");
    }
    assert!(!host.work().join("reached").exists());
}

/// Reads a stream to its end. Gives its length, and the memory of the processes after a tenth of `expected` and at the most from then on.
fn consume(mut stream: impl Read, expected: usize, pid: u32) -> (usize, u64, u64) {
    let mut chunk = vec![0; 1 << 16];
    let (mut total, mut early, mut most) = (0, 0, 0);
    let mut next = expected / 10;
    loop {
        let read = stream.read(&mut chunk).expect("a pipe can be read");
        if read == 0 {
            return (total, early, most);
        }
        total += read;
        if total >= next {
            next += expected / 50;
            let helper = proc::children(pid);
            let watchers: Vec<u32> = helper.iter().flat_map(|helper| proc::children(*helper)).collect();
            let memory: u64 = watchers.into_iter().chain(helper).chain([pid]).map(proc::resident_kb).sum();
            if early == 0 {
                early = memory;
            }
            most = most.max(memory);
        }
    }
}

/// Kilobytes by which memory may grow and still count as flat.
const FLAT: u64 = 2 << 10;

/// Megabytes in all; `OPAL_OUTPUT_MB` asks for more.
fn megabytes() -> usize {
    std::env::var("OPAL_OUTPUT_MB").ok().and_then(|size| size.parse().ok()).unwrap_or(300)
}

#[test]
fn hundreds_of_megabytes_pass_through_without_growth() {
    let size = megabytes() << 20;
    let host = Host::new();
    host.write("script.opl", format!("head -c {size} /dev/zero | tr '\\0' x\n"));
    let mut run = host.command("opal", ["./script.opl"]).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("it starts");
    let (total, early, most) = consume(run.stdout.take().expect("a pipe"), size, run.id());
    assert!(run.wait().expect("a status").success());
    assert_eq!(total, size);
    assert!(early > 0 && most <= early + FLAT, "{early} KB after a tenth, {most} KB at most");
}

#[test]
fn megabytes_that_hold_the_start_of_a_secret_again_and_again_pass_without_growth() {
    let mut host = Host::new();
    host.set("SECRET", "abcdefghijklmnopqrstuvwxyz-and-then-some-more");
    let size = 45 << 18;
    host.write("script.opl", format!(": @env.SECRET\nyes abcdefghijklmnopqrstuvwxyz-and-then-some-Xore | head -c {size} || true\n"));
    let mut run = host.command("opal", ["./script.opl"]).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("it starts");
    let (total, early, most) = consume(run.stdout.take().expect("a pipe"), size, run.id());
    assert!(run.wait().expect("a status").success());
    assert_eq!(total, size);
    assert!(early > 0 && most <= early + FLAT, "{early} KB after a tenth, {most} KB at most");
}

#[test]
fn what_waits_for_its_turn_is_in_an_unlinked_file_and_comes_in_plan_order() {
    const SIZE: usize = 64 << 20;
    let mut host = Host::new();
    let spill = host.path().join("spill");
    std::fs::create_dir(&spill).expect("a directory");
    host.set("TMPDIR", spill.to_str().expect("text"));
    // The first branch ends when the others have written everything.
    let script = format!(
        "@parallel(max_concurrency=3) {{\n    until [ -e one ] && [ -e two ]; do sleep 0.05; done; echo first\n    head -c {SIZE} /dev/zero | tr '\\0' a; touch one\n    head -c {SIZE} /dev/zero | tr '\\0' b; touch two\n}}\necho last\n"
    );
    host.write("script.opl", script);
    let mut run = host.command("opal", ["./script.opl"]).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("it starts");
    let mut stdout = run.stdout.take().expect("a pipe");
    let mut head = [0; 6];
    stdout.read_exact(&mut head).expect("the first branch says so");
    assert_eq!(&head, b"first\n");
    let held = proc::resident_kb(run.id());
    let mut rest = Vec::new();
    stdout.read_to_end(&mut rest).expect("a pipe can be read");
    assert!(run.wait().expect("a status").success());
    let (a, rest) = rest.split_at(SIZE);
    let (b, last) = rest.split_at(SIZE);
    assert!(a.iter().all(|byte| *byte == b'a') && b.iter().all(|byte| *byte == b'b') && last == b"last\n");
    assert!(held < 40 << 10, "{held} KB in memory for 128 MB that wait");
    assert_eq!(std::fs::read_dir(&spill).expect("a directory").count(), 0);
}

/// A run whose output goes into pipes that nobody reads while it lives. Gives the exit status, and how long it took.
fn unread(host: &Host, words: &[&str], both: bool) -> (i32, Duration) {
    let mut command = host.command(words[0], &words[1..]);
    let (mut reader, writer) = std::io::pipe().expect("a pipe");
    let stderr = if both { Stdio::from(writer.try_clone().expect("a copy")) } else { Stdio::null() };
    let started = Instant::now();
    let mut run = command.stdin(Stdio::null()).stdout(writer).stderr(stderr).spawn().expect("it starts");
    drop(command);
    let status = loop {
        if let Some(status) = run.try_wait().expect("a status") {
            break status;
        }
        assert!(started.elapsed() < Duration::from_secs(60), "it does not end: {words:?}");
        std::thread::sleep(Duration::from_millis(20));
    };
    // What fitted into the pipe is what the steps wrote.
    let mut seen = Vec::new();
    reader.read_to_end(&mut seen).expect("readable");
    assert!(!seen.is_empty());
    (status.code().expect("a status"), started.elapsed())
}

#[test]
fn a_limit_of_time_acts_whether_or_not_anybody_reads() {
    const FLOOD: &str = "head -c 1000000 /dev/zero | tr '\\0' x";
    let parallel = format!("@parallel {{ {FLOOD}\n sleep 0 }}");
    for body in [FLOOD, &format!("{FLOOD} >&2"), &parallel] {
        for (both, json) in [(true, false), (true, true), (false, false)] {
            if !both && body.contains(">&2") {
                continue;
            }
            let host = Host::new();
            host.write("script.opl", format!("try {{\n    @timeout(500ms) {{\n        {body}\n    }}\n    touch reached\n}} finally {{\n    {FLOOD}\n    touch cleaned\n}}\n"));
            let words: &[&str] = if json { &["opal", "./script.opl", "--json"] } else { &["opal", "./script.opl"] };
            let (status, _) = unread(&host, words, both);
            assert_eq!(status, 74, "{body} {both} {json}");
            let exists = |name: &str| host.work().join(name).exists();
            assert!(exists("cleaned") && !exists("reached"), "{body} {both} {json}");
            // The lock is free again.
            host.write("script.opl", "touch again\n");
            host.run("opal", &["./script.opl"]).expect(0);
        }
    }
}

#[test]
fn a_reader_that_is_slow_gets_everything_within_the_limit() {
    let host = Host::new();
    host.write("script.opl", "@timeout(20s) { seq 1 30000 }\nseq 30001 60000\n");
    let opal = host.command("opal", ["./script.opl", "--record", "none"]);
    let mut command = Command::new("bash");
    command.args(["-c", "\"$@\" | (sleep 2; wc -l)", "bash"]).arg(opal.get_program()).args(opal.get_args());
    command.current_dir(host.work()).env_clear().envs(opal.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let counted = String::from_utf8(command.stderr(Stdio::null()).output().expect("bash starts").stdout).expect("text");
    assert_eq!(counted.trim(), "60000");
}
