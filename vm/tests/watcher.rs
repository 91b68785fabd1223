//! Lanes and watchers with real processes: whatever a step starts, and however the VM ends, nothing
//! is left. Survivors are found by a random marker in their environment, never by name.

#[path = "support/helper.rs"]
mod helper;
#[path = "support/marker.rs"]
mod marker;

use std::collections::HashSet;
use std::ffi::{CStr, CString};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::time::{Duration, Instant};

use marker::Marker;
use nix::errno::Errno;
use nix::spawn::{PosixSpawnAttr, PosixSpawnFileActions, PosixSpawnFlags, posix_spawn};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;
use opal_exec::supervise::lane::{Ended, Lane, LaneOptions, Limits, StepCommand, StepOutcome, Stopped, Stream};
use opal_exec::supervise::signals::{Phase, Signals};

fn lane() -> Lane {
    lane_with(LaneOptions::default())
}

fn lane_with(options: LaneOptions<'_>) -> Lane {
    Lane::open(&LaneOptions { grace: Duration::from_millis(200), ..options }).unwrap()
}

fn limits() -> Limits<'static> {
    Limits { deadline: None, signals: None, seen: Phase::Run, grace: Duration::from_millis(200) }
}

#[derive(Default)]
struct Output {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

impl opal_exec::supervise::lane::Sink for Output {
    fn write(&mut self, stream: Stream, bytes: &[u8]) -> std::io::Result<()> {
        match stream {
            Stream::Stdout => self.stdout.extend_from_slice(bytes),
            Stream::Stderr => self.stderr.extend_from_slice(bytes),
        }
        Ok(())
    }
}

impl Output {
    fn stdout(&self) -> &str {
        std::str::from_utf8(&self.stdout).unwrap()
    }
}

/// Runs a bash script; `keep` and `limits` as given.
fn bash_with(
    lane: &mut Lane,
    script: &str,
    environment: &[&str],
    keep: bool,
    limits: &Limits<'_>,
    output: &mut dyn opal_exec::supervise::lane::Sink,
) -> StepOutcome {
    let script = CString::new(script).unwrap();
    let path = CString::new(format!("PATH={}", std::env::var("PATH").unwrap())).unwrap();
    let owned: Vec<CString> = environment.iter().map(|e| CString::new(*e).unwrap()).collect();
    let environment: Vec<&CStr> = owned.iter().map(|e| &**e).chain([&*path]).collect();
    let command = StepCommand {
        program: c"/bin/bash",
        arguments: &[c"bash", c"--noprofile", c"--norc", c"-c", &script],
        environment: &environment,
        directory: c"/",
        umask: 0o022,
        keep,
        stdio: [None; 3],
        rules: &[],
    };
    lane.run(&command, limits, output).unwrap()
}

fn bash(lane: &mut Lane, script: &str) -> (StepOutcome, Output) {
    let mut output = Output::default();
    let outcome = bash_with(lane, script, &[], false, &limits(), &mut output);
    (outcome, output)
}

/// The ways to escape, and how many processes each leaves behind or keeps running.
const SHAPES: [(&str, &str, usize); 7] = [
    ("plain child", "sleep 600", 1),
    ("background grandchild", "sleep 600 & sleep 600", 2),
    ("TERM ignored", "trap '' TERM; sleep 600; sleep 600", 2),
    ("new session", "setsid sleep 600 & sleep 600", 2),
    ("disowned tree", "(sleep 600 & sleep 600 & wait) & disown; sleep 600", 4),
    ("double-fork daemon", "(setsid bash -c 'sleep 600 & exit' </dev/null >/dev/null 2>&1 &); sleep 600", 2),
    ("leader exits first", "(sleep 600 & exec setsid sleep 600) & exit 0", 2),
];

#[test]
fn exit_statuses_and_signals_arrive_as_they_are() {
    let mut lane = lane();
    for code in 0..=255 {
        assert_eq!(bash(&mut lane, &format!("exit {code}")).0.ended, Ended::Exit(code));
    }
    for signal in (1..=64).filter(|n| ![3, 17, 18, 19, 20, 21, 22, 23, 28, 32, 33].contains(n)) {
        let script = format!("ulimit -c 0; kill -{signal} $$; sleep 5");
        assert_eq!(bash(&mut lane, &script).0.ended, Ended::Signal(signal), "signal {signal}");
    }
}

#[test]
fn output_of_each_step_is_complete_and_its_own() {
    let mut lane = lane();
    for n in 0..50 {
        let (outcome, output) = bash(&mut lane, &format!("echo out{n}; echo err{n} >&2"));
        assert_eq!(outcome.ended, Ended::Exit(0));
        assert_eq!(output.stdout(), format!("out{n}\n"));
        assert_eq!(output.stderr, format!("err{n}\n").into_bytes());
    }
    let (_, output) = bash(&mut lane, "head -c 3000000 /dev/zero; head -c 1000000 /dev/zero >&2");
    assert_eq!((output.stdout.len(), output.stderr.len()), (3_000_000, 1_000_000));
}

#[test]
fn output_comes_while_the_step_runs() {
    let mut lane = lane();
    let (read, write) = nix::unistd::pipe().unwrap();
    let fifo = format!("/proc/{}/fd/{}", std::process::id(), std::os::fd::AsRawFd::as_raw_fd(&read));
    let mut write = std::fs::File::from(write);
    // The step goes on only when its first line has been seen.
    let mut seen = Vec::new();
    let mut sink = |_: Stream, bytes: &[u8]| {
        seen.extend_from_slice(bytes);
        if seen == b"ready\n" {
            write.write_all(b"go\n")?;
        }
        Ok(())
    };
    let script = format!("echo ready; read -r word < {fifo}; echo $word");
    bash_with(&mut lane, &script, &[], false, &limits(), &mut sink);
    assert_eq!(seen, b"ready\ngo\n");
}

#[test]
fn a_step_sees_nothing_of_the_vm_but_three_descriptors() {
    // Not close-on-exec: the watcher inherits it, the step must not.
    let leaked = nix::unistd::dup(std::io::stderr()).unwrap();
    nix::fcntl::fcntl(&leaked, nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::empty())).unwrap();
    let mut lane = lane();
    let (_, output) = bash(&mut lane, "exec ls /proc/self/fd");
    // ls has the directory itself open as well.
    assert_eq!(output.stdout(), "0\n1\n2\n3\n");
    let (_, output) = bash(&mut lane, "readlink /proc/self/fd/0; exec cat /proc/self/status");
    let text = output.stdout();
    assert!(text.starts_with("/dev/null\n"), "{text}");
    for field in ["SigBlk:", "SigIgn:"] {
        let line = text.lines().find(|line| line.starts_with(field)).unwrap();
        let set = u64::from_str_radix(line[field.len()..].trim(), 16).unwrap();
        // Two real-time signals belong to libc.
        assert_eq!(set & 0x7fff_ffff, 0, "{line}");
    }
    let (outcome, _) = bash(&mut lane, "exec 3</dev/tty");
    assert_ne!(outcome.ended, Ended::Exit(0), "a new session has no terminal");
}

#[test]
fn directory_umask_arguments_and_environment_are_those_asked_for() {
    let mut lane = lane();
    let dir = tempfile::tempdir().unwrap();
    let place = CString::new(dir.path().canonicalize().unwrap().to_str().unwrap()).unwrap();
    let long = CString::new(format!("LONG={}", "x".repeat(120_000))).unwrap();
    let command = StepCommand {
        program: c"/bin/sh",
        arguments: &[c"name", c"-c", c"umask; pwd; echo \"$0\" \"$1\"; echo ${#LONG}; env | wc -l", c"", c"a  b"],
        environment: &[&long, c"PATH=/usr/bin:/bin"],
        directory: &place,
        umask: 0o027,
        keep: false,
        stdio: [None; 3],
        rules: &[],
    };
    let mut output = Output::default();
    let outcome = lane.run(&command, &limits(), &mut output).unwrap();
    assert_eq!(outcome.ended, Ended::Exit(0));
    let lines: Vec<&str> = output.stdout().lines().collect();
    assert_eq!(&lines[..4], ["0027", place.to_str().unwrap(), " a  b", "120000"]);
}

#[test]
fn what_cannot_be_started_says_why() {
    let mut lane = lane();
    let command = |program, directory| StepCommand {
        program,
        arguments: &[c"x"],
        environment: &[],
        directory,
        umask: 0o022,
        keep: false,
        stdio: [None; 3],
        rules: &[],
    };
    let mut ended = |program, directory| lane.run(&command(program, directory), &limits(), &mut Output::default()).unwrap().ended;
    assert_eq!(ended(c"/nowhere/at/all", c"/"), Ended::NoProgram(Errno::ENOENT));
    assert_eq!(ended(c"/etc", c"/"), Ended::NoProgram(Errno::EACCES));
    assert_eq!(ended(c"/bin/sh", c"/nowhere"), Ended::NoDirectory(Errno::ENOENT));
    let long = CString::new("x".repeat(200_000)).unwrap();
    let arguments: [&CStr; 2] = [c"x", &long];
    let too_long = StepCommand { arguments: &arguments, ..command(c"/bin/sh", c"/") };
    let outcome = lane.run(&too_long, &limits(), &mut Output::default()).unwrap();
    assert_eq!(outcome.ended, Ended::NoProgram(Errno::E2BIG));
    assert_eq!(bash(&mut lane, "exit 7").0.ended, Ended::Exit(7), "the lane goes on");
}

#[test]
fn a_program_that_makes_its_output_non_blocking_does_not_hurt_the_next() {
    let mut lane = lane();
    let python = "import fcntl,os; fcntl.fcntl(1, fcntl.F_SETFL, os.O_NONBLOCK)";
    if bash(&mut lane, &format!("python3 -c '{python}'")).0.ended != Ended::Exit(0) {
        eprintln!("skipped: no python3");
        return;
    }
    let (outcome, output) = bash(&mut lane, "exec python3 -c 'import fcntl; print(fcntl.fcntl(1, fcntl.F_GETFL) & 0o4000)'");
    assert_eq!((outcome.ended, output.stdout()), (Ended::Exit(0), "0\n"));
}

#[test]
fn a_timeout_leaves_nothing_of_any_shape() {
    let mut lane = lane();
    for (name, script, _) in SHAPES {
        let marker = Marker::new();
        let deadline = Some(Instant::now() + Duration::from_millis(150));
        let limits = Limits { deadline, ..limits() };
        let outcome = bash_with(&mut lane, script, &[&marker.0], false, &limits, &mut Output::default());
        assert_eq!(marker.carriers(), [0; 0], "{name}");
        assert_eq!(outcome.survivors, []);
        if name == "leader exits first" {
            assert_eq!(outcome.leftovers.len(), 2, "{name}");
        } else {
            assert!(matches!(outcome.stopped, Some(Stopped::Timeout)), "{name}: {outcome:?}");
        }
    }
}

#[test]
fn what_a_successful_step_leaves_running_is_ended_and_named() {
    let mut lane = lane();
    let marker = Marker::new();
    // It ends when both have become what they are.
    let script = "sleep 600 & a=$!; setsid sleep 601 & b=$!; until [ \"$(cat /proc/$a/comm /proc/$b/comm)\" = $'sleep\\nsleep' ]; do sleep 0.01; done; exit 0";
    let outcome = bash_with(&mut lane, script, &[&marker.0], false, &limits(), &mut Output::default());
    assert_eq!(outcome.ended, Ended::Exit(0));
    let names: Vec<&str> = outcome.leftovers.iter().map(|p| p.name.as_str()).collect();
    assert_eq!(names, ["sleep", "sleep"]);
    assert_eq!(marker.carriers(), [0; 0]);
    // What ends by itself just after the shell is not interrupted.
    let (outcome, output) = bash(&mut lane, "exec > >(sleep 0.02; cat); echo late");
    assert_eq!((outcome.leftovers.len(), output.stdout()), (0, "late\n"));
}

#[test]
fn detached_processes_live_until_the_end_of_their_scope() {
    let mut lane = lane();
    let marker = Marker::new();
    let mut output = Output::default();
    let outcome = bash_with(&mut lane, "sleep 600 & echo up", &[&marker.0], true, &limits(), &mut output);
    assert_eq!((outcome.ended, outcome.leftovers.len()), (Ended::Exit(0), 0));
    bash_with(&mut lane, "true", &[], true, &limits(), &mut output);
    assert_eq!(marker.carriers().len(), 1);
    let outcome = lane.end(&limits(), &mut output).unwrap();
    assert_eq!(outcome.leftovers.len(), 1);
    assert_eq!(marker.carriers(), [0; 0]);
    assert_eq!(output.stdout, b"up\n");
}

#[test]
fn the_output_of_detached_processes_is_passed_on_while_they_live() {
    let mut lane = lane();
    let (stop, go) = nix::unistd::pipe().unwrap();
    let mut go = Some(go);
    let mut seen = Vec::new();
    let mut sink = |_: Stream, bytes: &[u8]| {
        seen.extend_from_slice(bytes);
        if seen.ends_with(b"later\n") {
            go.take();
        }
        Ok(())
    };
    bash_with(&mut lane, "(sleep 0.1; echo later; sleep 600) & echo first", &[], true, &limits(), &mut sink);
    lane.pump(stop.as_fd(), &mut sink).unwrap();
    lane.end(&limits(), &mut sink).unwrap();
    assert_eq!(seen, b"first\nlater\n");
}

#[test]
fn output_that_cannot_be_passed_on_stops_the_step() {
    let mut lane = lane();
    let mut sink = |_: Stream, _: &[u8]| Err(std::io::Error::from(std::io::ErrorKind::BrokenPipe));
    let outcome = bash_with(&mut lane, "while :; do echo y; done", &[], false, &limits(), &mut sink);
    assert!(matches!(outcome.stopped, Some(Stopped::Output(_))), "{outcome:?}");
}

#[test]
fn a_step_can_read_from_and_write_to_given_descriptors() {
    let mut lane = lane();
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(b"given\n").unwrap();
    std::io::Seek::rewind(&mut file).unwrap();
    let (read, write) = nix::unistd::pipe().unwrap();
    let command = StepCommand {
        program: c"/bin/cat",
        arguments: &[c"cat"],
        environment: &[],
        directory: c"/",
        umask: 0o022,
        keep: false,
        stdio: [Some(file.as_fd()), Some(write.as_fd()), None],
        rules: &[],
    };
    let mut output = Output::default();
    assert_eq!(lane.run(&command, &limits(), &mut output).unwrap().ended, Ended::Exit(0));
    drop(write);
    let mut line = String::new();
    BufReader::new(std::fs::File::from(read)).read_line(&mut line).unwrap();
    assert_eq!((line.as_str(), output.stdout.len()), ("given\n", 0));
}

#[test]
fn a_lock_is_held_until_the_watcher_is_gone() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let held = nix::fcntl::Flock::lock(file.reopen().unwrap(), nix::fcntl::FlockArg::LockExclusiveNonblock).unwrap();
    let mut lane = lane_with(LaneOptions { lock: Some(held.as_fd()), ..LaneOptions::default() });
    bash(&mut lane, "true");
    // Closing without unlocking, as the death of the VM does.
    // The guard unlocks on drop, so the description is kept by the watcher alone after this.
    std::mem::forget(held);
    let again = || nix::fcntl::Flock::lock(file.reopen().unwrap(), nix::fcntl::FlockArg::LockExclusiveNonblock);
    assert!(again().is_err());
    drop(lane);
}

/// Set in the environment of this test program when it is to play the VM.
const PLAY: &str = "OPAL_TEST_PLAY_VM";

/// Not a test of its own: the VM of the tests below, which end it by signals. It runs one script,
/// then reports how that ended and runs the cleanup script.
#[test]
fn play_the_vm() {
    let Ok(script) = std::env::var(PLAY) else {
        return;
    };
    let marker = std::env::var("OPAL_TEST_STEP_MARK").unwrap();
    let signals = Signals::install().unwrap();
    let mut lane = lane();
    let mut limits = Limits { signals: Some(&signals), ..limits() };
    if let Ok(grace) = std::env::var("OPAL_TEST_GRACE_MS") {
        limits.grace = Duration::from_millis(grace.parse().unwrap());
    }
    let mut output = Output::default();
    let outcome = bash_with(&mut lane, &script, &[&marker], false, &limits, &mut output);
    println!("\nstopped {:?}", outcome.stopped);
    if signals.phase() == Phase::Cancel {
        limits.seen = Phase::Cancel;
        let outcome = bash_with(&mut lane, "exit 3", &[&marker], false, &limits, &mut output);
        println!("cleanup {:?}", outcome.ended);
    }
    drop(lane);
    signals.end_by_first();
}

/// The VM of a test, as a process.
struct Vm {
    pid: Pid,
    stdout: std::fs::File,
}

impl Vm {
    /// Starts this test program as a VM that runs `script`. The test harness runs tests in threads of
    /// their own; its first thread, too, must leave the signals to [`Signals`], so they are blocked
    /// from the start.
    fn start(script: &str, marker: &Marker, grace_ms: u32) -> Self {
        let (read, write) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).unwrap();
        let mut actions = PosixSpawnFileActions::init().unwrap();
        actions.add_dup2(write.as_raw_fd(), 1).unwrap();
        let mut attributes = PosixSpawnAttr::init().unwrap();
        attributes.set_flags(PosixSpawnFlags::POSIX_SPAWN_SETSIGMASK).unwrap();
        let blocked = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP];
        attributes.set_sigmask(&SigSet::from_iter(blocked)).unwrap();
        let own = std::env::current_exe().unwrap();
        let arguments = [c"watcher", c"--exact", c"play_the_vm", c"--nocapture"];
        let environment = [
            CString::new(format!("PATH={}", std::env::var("PATH").unwrap())).unwrap(),
            CString::new(format!("{PLAY}={script}")).unwrap(),
            CString::new(format!("OPAL_TEST_STEP_MARK={}", marker.0)).unwrap(),
            CString::new(format!("OPAL_TEST_GRACE_MS={grace_ms}")).unwrap(),
        ];
        let pid = posix_spawn(&own, &actions, &attributes, &arguments, &environment).unwrap();
        Self { pid, stdout: read.into() }
    }

    fn send(&self, signal: Signal) {
        kill(self.pid, signal).unwrap();
    }

    /// The signal that ended it, and what it said.
    fn ended(mut self) -> (Option<Signal>, String) {
        let mut said = String::new();
        self.stdout.read_to_string(&mut said).unwrap();
        match waitpid(self.pid, None).unwrap() {
            WaitStatus::Signaled(_, signal, _) => (Some(signal), said),
            _ => (None, said),
        }
    }
}

#[test]
fn each_first_signal_ends_every_shape_then_cleanup_runs_and_the_vm_ends_by_it() {
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        for (name, script, count) in SHAPES.iter().take(6) {
            let marker = Marker::new();
            let vm = Vm::start(script, &marker, 200);
            marker.await_count(*count);
            vm.send(signal);
            let (ended, said) = vm.ended();
            assert_eq!(ended, Some(signal), "{name}: {said}");
            assert!(said.contains("stopped Some(Cancelled)"), "{name}: {said}");
            assert!(said.contains("cleanup Exit(3)"), "{name}: {said}");
            assert_eq!(marker.carriers(), [0; 0], "{name}");
        }
    }
}

#[test]
fn a_second_interrupt_kills_without_waiting_for_the_grace() {
    let marker = Marker::new();
    let vm = Vm::start("trap 'echo' INT TERM; while :; do sleep 600; done", &marker, 600_000);
    marker.await_count(2);
    vm.send(Signal::SIGINT);
    std::thread::sleep(Duration::from_millis(100));
    assert!(!marker.carriers().is_empty(), "the grace runs");
    vm.send(Signal::SIGINT);
    let (ended, said) = vm.ended();
    assert_eq!(ended, Some(Signal::SIGINT));
    assert!(said.contains("stopped Some(Killed)"), "{said}");
    assert!(!said.contains("cleanup"), "{said}");
    assert_eq!(marker.carriers(), [0; 0]);
}

#[test]
fn a_killed_vm_leaves_nothing_of_any_shape() {
    for (name, script, count) in SHAPES.iter().take(6) {
        let marker = Marker::new();
        let vm = Vm::start(script, &marker, 200);
        marker.await_count(*count);
        vm.send(Signal::SIGKILL);
        assert_eq!(vm.ended().0, Some(Signal::SIGKILL));
        marker.assert_gone(name);
    }
}

#[test]
fn a_killed_vm_ends_detached_processes_too() {
    let marker = Marker::new();
    let mut lane = lane();
    bash_with(&mut lane, "setsid sleep 600 &", &[&marker.0], true, &limits(), &mut Output::default());
    marker.await_count(1);
    // To the watcher the end of a lane and the death of its VM are the same event.
    drop(lane);
    assert_eq!(marker.carriers(), [0; 0]);
}

#[test]
fn many_steps_leave_no_descriptors_and_no_children_behind() {
    let mut lane = lane();
    bash(&mut lane, "true");
    let fds = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let mut counts = HashSet::new();
    for _ in 0..20 {
        bash(&mut lane, "exit 0");
        counts.insert(bash(&mut lane, "exec ls /proc/$PPID/fd").1.stdout().lines().count());
    }
    assert_eq!(counts.len(), 1, "the watcher's descriptors: {counts:?}");
    assert!(fds() > 0);
}
