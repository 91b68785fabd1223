//! A run whose VM is killed at any system call, or one of whose system calls fails: nothing survives, the record is whole as far as it goes, success is
//! said of success only, and nothing hangs.
//!
//! `strace` does both (Debian: `apt-get install strace`). Where it is missing or may not trace, the tests say so and check nothing. By default they try
//! cases drawn from a fixed seed for about half a minute each; `OPAL_FAULTS=all` tries every system call, and every error at each,
//! `OPAL_FAULTS=kill:openat:7` or `OPAL_FAULTS=EINTR:read:2` one case.
//!
//! Calls of one name are counted in each process and thread by itself; the programs that steps start are let go when they start.

use opal_tests::{Ended, Host, processes_marked};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// The run that is disturbed. Each step leaves a line behind.
const REFERENCE: &str = r#"
deploy: {
    echo one SITE >> effects
    VERSION=$(echo v1)
    try {
        @parallel(max_concurrency=2) {
            echo left >> left
            echo right >> right
        }
        [ @var.VERSION = v1 ] && echo two >> effects
    } finally {
        echo finally >> effects
    }
    echo last >> effects
}
"#;

const ERRORS: [&str; 6] = ["EINTR", "EAGAIN", "ENOMEM", "EMFILE", "ENOSPC", "EIO"];

/// Calls of which no kernel reports these errors, so that nothing is prepared for them: a descriptor is gone whatever `close` says, `brk` reports no error at
/// all (what stands for one here is taken for an address), masks of signals cannot be refused, a lock between threads knows EAGAIN only, and who waits
/// for a child gets it or ECHILD.
const NEVER: [&str; 6] = ["brk", "close", "futex", "rt_sigaction", "rt_sigprocmask", "wait4"];

/// A run that has not ended by then hangs. The longest that one waits for by itself is the grace of 5 s; the rest is for a busy machine.
const HANG: Duration = Duration::from_secs(40);

/// How long the cases of one test are drawn for.
const SAMPLE: Duration = Duration::from_secs(25);

const AT_ONCE: usize = 4;

/// Locks of its own for each run, where they would be shared by all runs of root.
const APART: &str = r#"mkdir -p /run/opal && mount -t tmpfs -o mode=0700 none /run/opal && exec "$@""#;

/// What happens at which system call.
#[derive(Clone, Debug)]
struct Fault {
    /// An error, or `kill`.
    what: &'static str,
    /// The name of the system call.
    call: String,
    /// Which of those of this name.
    at: usize,
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}:{}", self.what, self.call, self.at)
    }
}

/// A host with the contract of the reference run.
struct Bench {
    host: Host,
    marker: String,
}

impl Bench {
    fn new() -> Self {
        let mut host = Host::new();
        let value = format!("{}-{}", std::process::id(), host.path().display());
        host.set("OPAL_TEST_MARKER", &value);
        host.contract(REFERENCE, &[]);
        Self { host, marker: format!("OPAL_TEST_MARKER={value}") }
    }

    /// `opal-vm run`, below `tracer`.
    fn command(&self, tracer: &[&str], more: &[&str]) -> Command {
        let own = self.host.command("opal-vm", ["run", "--plan", "prod.plan"].iter().chain(more));
        let apart = nix::unistd::geteuid().is_root();
        let mut words: Vec<&str> = if apart { vec!["unshare", "--mount", "sh", "-c", APART, "sh"] } else { Vec::new() };
        words.extend(tracer);
        let mut command = match words.split_first() {
            Some((first, rest)) => {
                let mut command = Command::new(first);
                command.args(rest).arg(own.get_program()).args(own.get_args());
                command
            }
            None => Command::new(own.get_program()),
        };
        if words.is_empty() {
            command.args(own.get_args());
        }
        command.current_dir(self.host.work()).env_clear().envs(own.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.stdin(Stdio::null());
        command
    }

    /// Runs a command to its end. `None`: it hangs.
    fn end(&self, mut command: Command) -> Option<Ended> {
        let [out, err] = ["out", "err"].map(|name| self.host.path().join(name));
        command.stdout(fs::File::create(&out).expect("a file")).stderr(fs::File::create(&err).expect("a file"));
        let mut child = command.spawn().expect("it starts");
        let begun = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait().expect("a status") {
                break status;
            }
            if begun.elapsed() > HANG {
                let _ = child.kill();
                for pid in processes_marked(&self.marker) {
                    let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL);
                }
                let _ = child.wait();
                return None;
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        let status = status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(-1);
        let text = |path: &Path| String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned();
        Some(Ended { status, stdout: text(&out), stderr: text(&err) })
    }

    /// What steps have left behind: each word, and how often.
    fn effects(&self) -> BTreeMap<String, usize> {
        let mut found = BTreeMap::new();
        for name in ["effects", "left", "right"] {
            for line in self.host.read(name).lines() {
                *found.entry(line.split(' ').next().unwrap_or_default().to_owned()).or_insert(0) += 1;
            }
        }
        found
    }

    fn records(&self) -> Vec<PathBuf> {
        let runs = fs::read_dir(self.host.path().join("state/opal/runs")).into_iter().flatten().flatten();
        runs.map(|entry| entry.path()).filter(|path| path.join("events.jsonl").exists()).collect()
    }

    fn clear(&self) {
        for name in ["effects", "left", "right"] {
            let _ = fs::remove_file(self.host.work().join(name));
        }
        let _ = fs::remove_dir_all(self.host.path().join("state/opal/runs"));
    }

    /// Tries one case, and gives the exit status. The error says what is wrong.
    fn check(&self, fault: &Fault) -> Result<i32, String> {
        self.clear();
        let inject = match fault.what {
            "kill" => format!("inject={}:signal=KILL:when={}", fault.call, fault.at),
            error => format!("inject={}:error={error}:when={}", fault.call, fault.at),
        };
        let mut tracer = vec!["strace", "-qq", "-o", "/dev/null", "-e", &inject];
        // Only the VM is killed; calls fail in all that is ours.
        if fault.what != "kill" {
            tracer.extend(["-f", "-b", "execve"]);
        }
        let ended = self.end(self.command(&tracer, &[])).ok_or("it hangs")?;
        let said =
            |problem: String| format!("{problem}; status {}, effects {:?}\n{}{}", ended.status, self.effects(), ended.stdout, ended.stderr);
        let begun = Instant::now();
        while !processes_marked(&self.marker).is_empty() {
            if begun.elapsed() > HANG {
                return Err(said("something survives".to_owned()));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let effects = self.effects();
        if effects.values().any(|times| *times > 1) {
            return Err(said("a step ran twice".to_owned()));
        }
        if ended.status == 0 && effects.len() != 6 {
            return Err(said("success is said of a run that is not complete".to_owned()));
        }
        let died = [134, 135, 139, 70, 101].contains(&ended.status) || ended.stderr.contains("error[internal]");
        if died && !effects.is_empty() {
            return Err(said("it ends by a bug after its first step".to_owned()));
        }
        for record in self.records() {
            self.look_at(&record, fault, &ended).map_err(said)?;
        }
        if fault.what == "kill" {
            self.go_on(&ended).map_err(said)?;
        }
        Ok(ended.status)
    }

    /// A record holds whole events; the one that was being written when the VM was killed may be cut.
    fn look_at(&self, record: &Path, fault: &Fault, ended: &Ended) -> Result<(), String> {
        let events = fs::read(record.join("events.jsonl")).map_err(|error| error.to_string())?;
        let lines: Vec<&[u8]> = events.split_inclusive(|byte| *byte == b'\n').collect();
        for (number, line) in lines.iter().enumerate() {
            let cut = fault.what == "kill" && number + 1 == lines.len() && !line.ends_with(b"\n");
            if !cut && (serde_json::from_slice::<Value>(line).is_err() || !line.ends_with(b"\n")) {
                return Err(format!("the record is torn at line {}", number + 1));
            }
        }
        if let Ok(summary) = fs::read(record.join("summary.json")) {
            let summary: Value = serde_json::from_slice(&summary).map_err(|_| "the summary is torn".to_owned())?;
            if summary["outcome"] == "succeeded" && self.effects().len() != 6 {
                return Err("the summary says that all is done".to_owned());
            }
        } else if ended.status == 0 {
            return Err("a run that succeeded has no summary".to_owned());
        }
        Ok(())
    }

    /// The next run says what was interrupted, and goes on with it.
    fn go_on(&self, killed: &Ended) -> Result<(), String> {
        let records = self.records();
        let [record] = records.as_slice() else {
            return if self.effects().is_empty() { Ok(()) } else { Err(format!("{} records", records.len())) };
        };
        let events = fs::read_to_string(record.join("events.jsonl")).map_err(|error| error.to_string())?;
        let begun = events.contains("\"event\":\"step_starts\"");
        if record.join("summary.json").exists() || !begun || killed.status == 0 {
            return Ok(());
        }
        let before = self.effects();
        let id = record.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        let mut ended = self.end(self.command(&[], &["--resume", &id])).ok_or("the run that goes on hangs")?;
        let unknown = ended.status == 64 && ended.stderr.contains("step_unknown");
        if unknown {
            ended = self.end(self.command(&[], &["--resume", &id, "--rerun-unknown"])).ok_or("the run that goes on hangs")?;
        }
        if ended.status == 64 && ended.stderr.contains("run_finished") && before.len() == 6 {
            return Ok(());
        }
        let after = self.effects();
        if ended.status != 0 || after.len() != 6 {
            return Err(format!("the run that goes on ends with {}, effects {after:?}\n{}", ended.status, ended.stderr));
        }
        let again: Vec<_> = after.iter().filter(|(word, times)| **times > 1 && before.contains_key(*word)).collect();
        // What was in flight may have taken effect before: in a parallel block two steps may be.
        if again.len() > if unknown { 2 } else { 0 } {
            return Err(format!("steps ran again: {again:?}"));
        }
        Ok(())
    }
}

/// Why nothing can be checked here, if so.
fn cannot_trace() -> Option<&'static str> {
    let works = |words: &[&str]| {
        let (first, rest) = words.split_first()?;
        Command::new(first).args(rest).stdout(Stdio::null()).stderr(Stdio::null()).status().ok().filter(|status| status.success())
    };
    if works(&["strace", "-qq", "-o", "/dev/null", "-e", "inject=getppid:error=EIO:when=1000", "true"]).is_none() {
        return Some("`strace` is missing, or may not trace here (apt-get install strace)");
    }
    let root = nix::unistd::geteuid().is_root();
    if root && works(&["unshare", "--mount", "sh", "-c", APART, "sh", "true"]).is_none() {
        return Some("no file system can be mounted here");
    }
    None
}

/// The system calls of a run, by name, and how often one thread makes them at the most; with `all`, of every thread and process that is ours.
fn calls(all: bool) -> BTreeMap<String, usize> {
    let bench = Bench::new();
    let trace = bench.host.path().join("trace");
    let mut tracer = vec!["strace", "-qq", "-o", trace.to_str().expect("text")];
    if all {
        tracer.extend(["-f", "-b", "execve"]);
    }
    bench.end(bench.command(&tracer, &[])).expect("it ends").expect(0);
    let mut counted: BTreeMap<(String, String), usize> = BTreeMap::new();
    for line in fs::read_to_string(trace).expect("a trace").lines() {
        let (thread, call) = if all { line.split_once(char::is_whitespace).unwrap_or_default() } else { ("", line) };
        if let Some((name, _)) =
            call.trim_start().split_once('(').filter(|(name, _)| name.bytes().all(|byte| byte == b'_' || byte.is_ascii_alphanumeric()))
        {
            *counted.entry((name.to_owned(), thread.to_owned())).or_insert(0) += 1;
        }
    }
    let mut most = BTreeMap::new();
    for ((name, _), count) in counted {
        let entry = most.entry(name).or_insert(0);
        *entry = count.max(*entry);
    }
    most
}

/// Numbers that look random and are the same each time.
fn draw(seed: &mut u64) -> usize {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*seed >> 33) as usize
}

fn try_all(kinds: &[&'static str]) {
    if let Some(why) = cannot_trace() {
        eprintln!("SKIPPED: {why}");
        return;
    }
    let wanted = std::env::var("OPAL_FAULTS").unwrap_or_default();
    let calls = calls(kinds != ["kill"]);
    let mut faults = Vec::new();
    for (call, count) in calls.iter().filter(|(call, _)| kinds == ["kill"] || !NEVER.contains(&call.as_str())) {
        for at in 1..=*count {
            faults.extend(kinds.iter().map(|what| Fault { what, call: call.clone(), at }));
        }
    }
    if wanted.contains(':') {
        faults.retain(|fault| fault.to_string().starts_with(&wanted));
    }
    let mut seed = 5;
    for at in (1..faults.len()).rev() {
        faults.swap(at, draw(&mut seed) % (at + 1));
    }
    let until = (wanted.is_empty()).then(|| Instant::now() + SAMPLE);
    let (next, tried, struck) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
    let wrong = Mutex::new(Vec::new());
    std::thread::scope(|threads| {
        for _ in 0..AT_ONCE {
            threads.spawn(|| {
                let bench = Bench::new();
                while until.is_none_or(|until| Instant::now() < until)
                    && let Some(fault) = faults.get(next.fetch_add(1, Ordering::AcqRel))
                {
                    tried.fetch_add(1, Ordering::AcqRel);
                    match bench.check(fault) {
                        Ok(status) => {
                            struck.fetch_add(usize::from(status != 0), Ordering::AcqRel);
                        }
                        Err(problem) => {
                            eprintln!("{fault}: {problem}");
                            wrong.lock().expect("no other failed here").push(format!("{fault}: {problem}"));
                        }
                    }
                }
            });
        }
    });
    let (tried, struck) = (tried.into_inner(), struck.into_inner());
    eprintln!("{tried} of {} cases tried, of which {struck} ended the run", faults.len());
    let wrong = wrong.into_inner().expect("all have ended");
    // Not each run makes each call, and a run gets over many an error.
    assert!(struck * 10 >= tried, "faults have no effect: {struck} of {tried}");
    assert!(wrong.is_empty(), "{} of {tried} cases:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn a_vm_that_is_killed_at_any_system_call_leaves_no_process_and_a_whole_record() {
    try_all(&["kill"]);
}

#[test]
fn a_system_call_that_fails_leads_to_no_hang_no_survivor_and_no_false_success() {
    try_all(&ERRORS);
}
