//! One cell of the matrix: a host of its own, a run brought into a state, an event, and what came of it.

use super::Event;
use nix::sys::signal::{Signal, kill};
use nix::sys::stat::Mode;
use nix::sys::termios::{Termios, tcgetattr};
use nix::unistd::{Pid, mkfifo, tcgetpgrp};
use opal_tests::{Host, proc, processes_marked};
use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Where a run is when the event comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// The contract comes from a pipe and has not come to its end.
    Load,
    /// `opal-vm verify` is at work.
    Verify,
    /// The fresh plan is being made.
    Replan,
    /// Many short steps: the event comes in or between any two of them.
    Between,
    /// A step is running.
    Step,
    /// `@retry` waits.
    Retry,
    /// Three branches are running.
    Parallel,
    /// A step of a `catch` is running.
    Catch,
    /// A step of a `finally` is running.
    Finally,
    /// A step that ignores signals has been told to end.
    Grace,
    /// Nobody reads what the run writes.
    Flush,
}

/// What the run is connected to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Via {
    /// A contract run, its output in pipes.
    Pipe,
    /// A job in the foreground of a shell on a terminal: a direct run; of a contract in the states that only such runs have.
    Terminal,
}

pub(super) struct Cell {
    pub(super) name: String,
    pub(super) event: Event,
    pub(super) state: State,
    pub(super) via: Via,
    /// A letter of the table.
    pub(super) outcome: char,
}

/// A step that says when it is there, takes note of each signal, and stays until it is let go, or, with `end`, until shortly after a signal.
///
/// It says nothing: who would read it may be gone.
const HOLD: &str = r#"#!/bin/bash
exec 2> /dev/null
for signal in INT QUIT TERM HUP ALRM USR1 USR2; do trap "echo $1 $signal >> seen; [ $2 = stay ] || let_go=1" $signal; done
: > at-$1
until [ -n "$let_go" ] || [ -e release-$1 ]; do sleep 0.05; done
# Long enough for a second copy of the signal to be noticed.
[ -z "$let_go" ] || sleep 0.2
"#;

/// A shell with job control (`dash`, which has it in scripts as at the prompt), and the run as its job. It writes what it sees of the run into files.
const SHELL: &str = r#"
trap : INT QUIT TSTP
exec 3>&2 2>/dev/null
sh -c 'echo $$ > ../job-pid; export OPAL_TEST_MARKER=$MARK; unset MARK; in=$1; shift; exec "$@" < $in' sh "$@" 2>&3; status=$?
while [ $status -eq 148 ]; do
    : > ../suspended
    until [ -e ../resume ]; do sleep 0.02; done
    fg >&2; status=$?
done
echo $status > ../status
# Nothing is started from here on, so that the foreground stays the shell's.
until read -r line < ../leave; do :; done
"#;

/// Rounds of a loop that planning does not finish, and of one that it does soon.
const ENDLESS: &str = "100000000";
const SHORT: &str = "20000";

/// Longer than anything here takes, however busy the machine is.
const HANG: Duration = Duration::from_secs(60);

type Problem = String;

/// Waits until a condition holds.
fn until(what: &str, mut condition: impl FnMut() -> bool) -> Result<(), Problem> {
    let begun = Instant::now();
    while !condition() {
        if begun.elapsed() > HANG {
            return Err(format!("waited too long until {what}"));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

fn insist(holds: bool, what: impl FnOnce() -> String) -> Result<(), Problem> {
    if holds { Ok(()) } else { Err(what()) }
}

/// The run and what it is connected to.
struct Run {
    host: Host,
    marker: String,
    child: Child,
    /// The run itself; a child of `child` on a terminal.
    pid: i32,
    terminal: Option<Terminal>,
    /// Set when readers may begin.
    read: Arc<AtomicBool>,
    said: Arc<Mutex<Vec<u8>>>,
}

struct Terminal {
    master: File,
    slave: OwnedFd,
    modes: Termios,
}

impl Cell {
    fn twice(&self) -> bool {
        matches!(self.event, Event::Twice(..))
    }

    /// Whether the run is to come to the end that it would have had.
    fn goes_on(&self) -> bool {
        matches!(self.outcome, 'h' | 's')
    }

    fn signal(&self) -> Signal {
        match self.event {
            Event::Once(signal) | Event::Twice(signal, _) => signal,
        }
    }

    /// The lines inside of `try`.
    fn body(&self) -> String {
        let mode = if self.twice() { "stay" } else { "end" };
        match self.state {
            State::Load => String::new(),
            // Not a step that holds: nothing may ever start one.
            State::Verify | State::Replan => String::new(),
            State::Between => "touch at-between\n        for i in 1...150 {\n            true\n        }\n".to_owned(),
            State::Step => format!("./hold step {mode}\n"),
            State::Retry if self.goes_on() => {
                "@retry(2, delay=1s) {\n            touch at-retry; [ -e again ] || ! touch again\n        }\n".to_owned()
            }
            State::Retry => "@retry(2, delay=300s) {\n            touch at-retry; false\n        }\n".to_owned(),
            State::Parallel => {
                format!("@parallel {{\n            ./hold a {mode}\n            ./hold b {mode}\n            ./hold c {mode}\n        }}\n")
            }
            State::Catch | State::Finally => "false\n".to_owned(),
            State::Grace => "./hold grace stay\n".to_owned(),
            State::Flush => "touch at-flush; seq 80000\n".to_owned(),
        }
    }

    fn script(&self) -> String {
        let planning = if matches!(self.state, State::Verify | State::Replan) {
            "    var rounds = int(@env.ROUNDS(public=true))\n    var i = 0\n    while i < rounds {\n        i = i + 1\n    }\n"
        } else {
            ""
        };
        let mode = if self.twice() { "stay" } else { "end" };
        let caught = if self.state == State::Catch { format!("        ./hold catch {mode}\n") } else { String::new() };
        format!(
            "deploy: {{\n{planning}    try {{\n        echo entered SITE >> log\n        {}        echo after >> log\n    }} catch {{\n        echo caught >> log\n{caught}    }} finally {{\n        echo finally >> log\n        ./hold finally {mode}\n        echo finally-done >> log\n    }}\n    echo end >> log\n}}\n",
            self.body()
        )
    }

    pub(super) fn check(&self) -> Result<(), Problem> {
        let mut run = self.start()?;
        let result = self.drive(&mut run);
        // Whatever went wrong, nothing of this cell may stay behind.
        if result.is_err() {
            let _ = run.child.kill();
            for pid in processes_marked(&run.marker) {
                let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
        }
        // Opened so, it never waits for the shell.
        let leave = File::options().read(true).write(true).open(run.host.path().join("leave"));
        let _ = leave.as_ref().map(|mut fifo| fifo.write_all(b"\n"));
        run.read.store(true, Ordering::Release);
        let said = run.said();
        let _ = run.child.wait();
        result.map_err(|problem| format!("{problem}\n--- log\n{}--- seen\n{}--- said\n{said}", run.host.read("log"), run.host.read("seen")))
    }

    fn start(&self) -> Result<Run, Problem> {
        let mut host = Host::new();
        let value = format!("{}-{}", std::process::id(), host.path().display());
        host.set("ROUNDS", "1").set("MARK", &value);
        fs::set_permissions(host.write("hold", HOLD), fs::Permissions::from_mode(0o755)).map_err(|error| error.to_string())?;
        if self.state != State::Finally && !self.twice() {
            // Cleanup holds up nobody.
            host.write("release-finally", "");
        }
        let contract = self.via == Via::Pipe || matches!(self.state, State::Load | State::Verify);
        if contract {
            host.contract(&self.script(), &[]);
        } else {
            host.write("deploy.opl", host.named(&self.script()));
        }
        host.set("ROUNDS", if self.goes_on() { SHORT } else { ENDLESS });
        // As on a terminal that a person looks at, where lines are drawn.
        host.set("TERM", "xterm");
        let fifo = host.path().join("fifo");
        let input = if self.state == State::Load { fifo.display().to_string() } else { "/dev/null".to_owned() };
        for fifo in [&fifo, &host.path().join("leave")] {
            mkfifo(fifo, Mode::S_IRWXU).map_err(|errno| errno.to_string())?;
        }
        let (program, words): (_, &[&str]) = match self.state {
            State::Load => ("opal-vm", &["run", "--plan", "-"]),
            State::Verify => ("opal-vm", &["verify", "--plan", "prod.plan"]),
            _ if contract => ("opal-vm", &["run", "--plan", "prod.plan"]),
            _ => ("opal", &["./deploy.opl"]),
        };
        let own = host.command(program, words);
        let shell: &[&str] = if self.via == Via::Terminal { &["-m", "-c", SHELL, "dash", &input] } else { &["-c", HEAD, "bash", &input] };
        let mut command = if self.via == Via::Terminal { Command::new("setsid") } else { Command::new("bash") };
        if self.via == Via::Terminal {
            command.args(["--ctty", "dash"]);
        }
        command.args(shell).arg(own.get_program()).args(own.get_args()).current_dir(host.work()).env_clear();
        command.envs(own.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let read = Arc::new(AtomicBool::new(self.state != State::Flush));
        let said = Arc::new(Mutex::new(Vec::new()));
        let always = Arc::new(AtomicBool::new(true));
        let terminal = match self.via {
            Via::Pipe => {
                command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
                None
            }
            Via::Terminal => {
                let pty = nix::pty::openpty(None, None).map_err(|errno| errno.to_string())?;
                let end = || pty.slave.try_clone().map(Stdio::from).map_err(|error| error.to_string());
                command.stdin(end()?).stdout(end()?).stderr(end()?);
                let modes = tcgetattr(&pty.slave).map_err(|errno| errno.to_string())?;
                Some(Terminal { master: File::from(pty.master), slave: pty.slave, modes })
            }
        };
        let mut child = command.spawn().map_err(|error| error.to_string())?;
        // The command keeps descriptors of the terminal.
        drop(command);
        if let Some(terminal) = &terminal {
            let master = terminal.master.try_clone().map_err(|error| error.to_string())?;
            reader(master, Arc::clone(&read), Arc::clone(&said));
        }
        if let Some(stdout) = child.stdout.take() {
            reader(File::from(OwnedFd::from(stdout)), Arc::clone(&read), Arc::default());
        }
        if let Some(stderr) = child.stderr.take() {
            reader(File::from(OwnedFd::from(stderr)), always, Arc::clone(&said));
        }
        let mut run = Run { host, marker: format!("OPAL_TEST_MARKER={value}"), child, pid: 0, terminal, read, said };
        // Unblocks the shell, which opens the other end for the run.
        let mut load =
            (self.state == State::Load).then(|| File::options().write(true).open(&fifo)).transpose().map_err(|e| e.to_string())?;
        until("the run has its process", || {
            run.pid = fs::read_to_string(run.host.path().join("job-pid")).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0);
            run.pid != 0
        })?;
        if self.state == State::Load {
            let plan = fs::read(run.host.work().join("prod.plan")).map_err(|error| error.to_string())?;
            let (most, rest) = plan.split_at(plan.len() / 2);
            load.as_mut().map(|fifo| fifo.write_all(most)).transpose().map_err(|error| error.to_string())?;
            // It has forked its helper by the time it reads.
            until("the run is loading", || !proc::children(run.pid.cast_unsigned()).is_empty())?;
            std::thread::sleep(Duration::from_millis(50));
            let (event, rest) = (self.event, rest.to_owned());
            self.occur(&run, event)?;
            if self.goes_on() {
                load.as_mut().map(|fifo| fifo.write_all(&rest)).transpose().map_err(|error| error.to_string())?;
            } else {
                // Nothing but the signal ends it.
                let _ = until("the run ends by the signal", || run.has_ended());
            }
            return Ok(run);
        }
        self.reach(&run)?;
        self.occur(&run, self.event)?;
        Ok(run)
    }

    /// Waits until the run is in the state.
    fn reach(&self, run: &Run) -> Result<(), Problem> {
        let at = |name: &str| run.host.work().join(format!("at-{name}")).exists();
        let name = match self.state {
            State::Load => return Ok(()),
            State::Verify | State::Replan => {
                return until("the run is planning", || run.processor_ticks() >= 15 || run.has_ended());
            }
            State::Between => "between",
            State::Step => "step",
            State::Retry => "retry",
            State::Parallel => return until("all branches run", || at("a") && at("b") && at("c")),
            State::Catch => "catch",
            State::Finally => "finally",
            State::Grace => "grace",
            State::Flush => "flush",
        };
        until("the state is reached", || at(name))?;
        match self.state {
            State::Retry | State::Flush => std::thread::sleep(Duration::from_millis(150)),
            State::Grace => {
                run.send(Signal::SIGTERM)?;
                until("the step was told", || run.host.read("seen").contains("TERM"))?;
                std::thread::sleep(Duration::from_millis(1100));
            }
            _ => {}
        }
        Ok(())
    }

    /// Lets the event happen.
    fn occur(&self, run: &Run, event: Event) -> Result<(), Problem> {
        match event {
            Event::Once(Signal::SIGTSTP) => {
                run.send(Signal::SIGTSTP)?;
                until("the run is stopped", || run.state() == Some('T') || run.has_ended())?;
                if self.via == Via::Terminal && self.state == State::Step {
                    let steps = || processes_marked(&run.marker).into_iter().filter(|pid| proc_comm(*pid) == "hold");
                    until("its step is stopped", || steps().all(|pid| proc_state(pid) == Some('T')))?;
                }
                if self.via == Via::Terminal {
                    fs::write(run.host.path().join("resume"), "").map_err(|error| error.to_string())
                } else {
                    run.send(Signal::SIGCONT)
                }
            }
            Event::Once(signal) => run.send(signal),
            Event::Twice(signal, pause) => {
                run.send(signal)?;
                std::thread::sleep(Duration::from_millis(pause));
                // The first may have ended it.
                let _ = run.send(signal);
                Ok(())
            }
        }
    }

    /// Follows the run to its end and looks at what came of it.
    fn drive(&self, run: &mut Run) -> Result<(), Problem> {
        let cleanup_held = self.state == State::Finally && self.outcome != 'k' && self.outcome != 'x';
        if cleanup_held {
            // Long enough for a signal to reach the step, had it been passed on.
            std::thread::sleep(Duration::from_millis(200));
            run.host.write("release-finally", "");
        }
        if self.goes_on() || (self.state == State::Grace && self.outcome != 'k') {
            for name in ["step", "a", "b", "c", "catch", "grace"] {
                run.host.write(&format!("release-{name}"), "");
            }
            run.read.store(true, Ordering::Release);
        }
        until("the run is gone", || matches!(run.state(), None | Some('Z')))?;
        // The shell says how its job ended, to the same terminal.
        run.read.store(true, Ordering::Release);
        until("the run ends", || run.has_ended())?;
        let status = run.status()?;
        let entered = if self.state == State::Grace { Signal::SIGTERM } else { self.signal() };
        let died_by = |signal: Signal| 128 + signal as i32;
        let wanted = match self.outcome {
            'd' | 'x' => died_by(self.signal()),
            'c' | 'k' => died_by(entered),
            _ if self.state == State::Grace => died_by(entered),
            // A verdict on a host that differs.
            _ if self.state == State::Verify || (self.state == State::Replan && self.via == Via::Pipe) => 3,
            _ => 0,
        };
        insist(status == wanted, || format!("ended with {status} and not {wanted}"))?;
        until("nothing is left", || processes_marked(&run.marker).is_empty())?;
        if let Some(terminal) = &run.terminal {
            let modes = tcgetattr(&terminal.slave).map_err(|errno| errno.to_string())?;
            insist(modes == terminal.modes, || "the terminal's modes are not what they were".to_owned())?;
            let foreground = tcgetpgrp(&terminal.master).map_err(|errno| errno.to_string())?;
            insist(foreground.as_raw().cast_unsigned() == run.child.id(), || "the foreground is not the shell's again".to_owned())?;
        }
        self.look_at_log(run, wanted)?;
        self.look_at_record(run, wanted)?;
        self.look_at_steps(run)
    }

    /// What ran: `finally` as often as its `try`, and nothing that should not have.
    fn look_at_log(&self, run: &Run, status: i32) -> Result<(), Problem> {
        let log = run.host.read("log");
        let count = |wanted: &str| log.lines().filter(|line| line.split(' ').next() == Some(wanted)).count();
        let entered = count("entered");
        let [finally, done, caught, after, end] = ["finally", "finally-done", "caught", "after", "end"].map(count);
        let cancelled = self.outcome == 'c' || (self.goes_on() && self.state == State::Grace);
        let complete = self.goes_on() && status == 0;
        let fails = matches!(self.state, State::Catch | State::Finally);
        let fine = match self.outcome {
            'd' => log.is_empty(),
            _ if cancelled => entered == 1 && finally == 1 && done == 1 && caught == usize::from(fails) && after == 0 && end == 0,
            'k' => entered == 1 && finally <= 1 && done == 0 && end == 0,
            'x' => entered <= 1 && done == 0 && end == 0 && finally == usize::from(self.state == State::Finally),
            _ if complete => {
                entered == 1 && finally == 1 && done == 1 && end == 1 && caught == usize::from(fails) && after == usize::from(!fails)
            }
            _ => log.is_empty(),
        };
        insist(fine, || "what ran is not what should have".to_owned())
    }

    /// The record: whole lines, and the ending that was.
    fn look_at_record(&self, run: &Run, status: i32) -> Result<(), Problem> {
        let runs: Vec<PathBuf> = fs::read_dir(run.host.path().join("state/opal/runs"))
            .map(|found| found.flatten().map(|entry| entry.path()).collect())
            .unwrap_or_default();
        let before_any_step = matches!(self.state, State::Load | State::Verify | State::Replan);
        let none = self.outcome == 'd' || (before_any_step && (self.outcome == 'x' || status == 3));
        insist(runs.len() == usize::from(!none), || format!("{} records", runs.len()))?;
        let Some(record) = runs.first() else { return Ok(()) };
        let events = fs::read_to_string(record.join("events.jsonl")).map_err(|error| error.to_string())?;
        insist(events.ends_with('\n'), || "the last event is torn".to_owned())?;
        for line in events.lines() {
            serde_json::from_str::<serde_json::Value>(line).map_err(|error| format!("the event {line}: {error}"))?;
        }
        let summary = fs::read_to_string(record.join("summary.json")).ok();
        if self.outcome == 'x' {
            return insist(summary.is_none(), || "there is a summary of a run that was killed".to_owned());
        }
        let summary: serde_json::Value =
            serde_json::from_str(&summary.unwrap_or_default()).map_err(|error| format!("the summary: {error}"))?;
        let signal = if self.state == State::Grace { Signal::SIGTERM } else { self.signal() };
        if status == 0 {
            return insist(summary["outcome"] == "succeeded", || format!("the summary says {}", summary["outcome"]));
        }
        insist(summary["outcome"] == "cancelled" && summary["detail"] == signal.as_str(), || {
            format!("the summary says {} {}", summary["outcome"], summary["detail"])
        })?;
        let skipped = summary["cleanup_skipped"].as_array().map_or(0, Vec::len);
        insist((skipped > 0) == (self.outcome == 'k'), || format!("the summary says {}", summary["cleanup_skipped"]))?;
        // On a terminal that nobody reads nothing can be said.
        if self.state == State::Flush && self.via == Via::Terminal {
            return Ok(());
        }
        // It may not have been read yet.
        let _ = until("all is said", || run.said().contains("effects:"));
        let said = run.said();
        insist(said.contains(&format!("ended by {signal}")), || "it does not say what ended it".to_owned())?;
        let says_skipped = said.contains("cleanup was skipped or cut short");
        insist(says_skipped == (self.outcome == 'k'), || "it does not say what became of cleanup".to_owned())
    }

    /// Each step saw what it was to see, once.
    fn look_at_steps(&self, run: &Run) -> Result<(), Problem> {
        let seen = run.host.read("seen");
        let names: &[&str] = match self.state {
            State::Step => &["step"],
            State::Parallel => &["a", "b", "c"],
            State::Catch => &["catch"],
            State::Finally => &["finally"],
            _ => return Ok(()),
        };
        let signal = self.signal();
        let typed = self.via == Via::Terminal && matches!(signal, Signal::SIGINT | Signal::SIGQUIT);
        for name in names {
            let lines: Vec<&str> = seen.lines().filter(|line| line.split(' ').next() == Some(name)).collect();
            let passed_on = match signal {
                Signal::SIGINT | Signal::SIGQUIT | Signal::SIGHUP => signal,
                _ => Signal::SIGTERM,
            };
            let once = vec![format!("{name} {}", passed_on.as_str().trim_start_matches("SIG"))];
            let fine = match self.outcome {
                // Cleanup that has begun is not told; what a terminal sends reaches it all the same.
                'c' if self.state == State::Finally && !typed => lines.is_empty(),
                'c' | 'x' => lines == once,
                'h' | 's' => lines.is_empty(),
                _ => true,
            };
            insist(fine, || format!("step `{name}` saw {lines:?}"))?;
        }
        Ok(())
    }
}

/// What comes before a run whose output is in pipes.
const HEAD: &str = r#"echo $$ > ../job-pid; export OPAL_TEST_MARKER=$MARK; unset MARK; in=$1; shift; exec "$@" < $in"#;

/// Reads a stream to its end, once that is wanted.
fn reader(mut from: File, wanted: Arc<AtomicBool>, into: Arc<Mutex<Vec<u8>>>) {
    std::thread::spawn(move || {
        while !wanted.load(Ordering::Acquire) {
            std::thread::sleep(Duration::from_millis(10));
        }
        let mut chunk = vec![0; 1 << 14];
        while let Ok(read @ 1..) = from.read(&mut chunk) {
            into.lock().expect("no other failed here").extend_from_slice(&chunk[..read]);
        }
    });
}

fn proc_state(pid: i32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

fn proc_comm(pid: i32) -> String {
    fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim().to_owned()
}

impl Run {
    fn state(&self) -> Option<char> {
        proc_state(self.pid)
    }

    /// Hundredths of a second that the run has computed, its helper and its planner included.
    fn processor_ticks(&self) -> u64 {
        let mut of: HashMap<i32, (i32, u64)> = HashMap::new();
        for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
            let fields: Vec<&str> = stat.rsplit_once(") ").map_or("", |(_, rest)| rest).split(' ').collect();
            let parent = fields.get(1).and_then(|parent| parent.parse().ok()).unwrap_or_default();
            of.insert(pid, (parent, fields.iter().skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum()));
        }
        let is_below = |mut pid: i32| {
            while pid != self.pid {
                let Some((parent, _)) = of.get(&pid) else { return false };
                pid = *parent;
            }
            true
        };
        of.iter().filter(|(pid, _)| is_below(**pid)).map(|(_, (_, ticks))| ticks).sum()
    }

    /// Whether the run is over, as its shell or parent sees it.
    fn has_ended(&self) -> bool {
        match self.terminal {
            Some(_) => fs::read_to_string(self.host.path().join("status")).is_ok_and(|text| text.ends_with('\n')),
            None => matches!(self.state(), None | Some('Z')),
        }
    }

    /// How it ended: 128 plus the signal where one ended it.
    fn status(&mut self) -> Result<i32, Problem> {
        if self.terminal.is_some() {
            let text = fs::read_to_string(self.host.path().join("status")).map_err(|error| error.to_string())?;
            return text.trim().parse().map_err(|_| format!("a status like `{text}`"));
        }
        let status = self.child.wait().map_err(|error| error.to_string())?;
        Ok(status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(-1))
    }

    /// Sends a signal as it would come: from the keyboard where there is a key for it.
    fn send(&self, signal: Signal) -> Result<(), Problem> {
        let key = match signal {
            Signal::SIGINT => 0x03,
            Signal::SIGQUIT => 0x1c,
            Signal::SIGTSTP => 0x1a,
            _ => 0,
        };
        match &self.terminal {
            Some(terminal) if key != 0 => (&terminal.master).write_all(&[key]).map_err(|error| error.to_string()),
            _ => kill(Pid::from_raw(self.pid), signal).map_err(|errno| errno.to_string()),
        }
    }

    /// What it said on standard error, or on its terminal.
    fn said(&self) -> String {
        String::from_utf8_lossy(&self.said.lock().expect("no other failed here")).into_owned()
    }
}
