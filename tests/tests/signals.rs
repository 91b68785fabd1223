//! Signals to a running contract: cleanup runs, and nothing is left behind.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use opal_tests::{Host, processes_marked};
use std::os::unix::process::ExitStatusExt as _;
use std::process::Child;
use std::time::{Duration, Instant};

/// A run of a script that has reached a line which writes `started`.
struct Running {
    host: Host,
    child: Child,
    marker: String,
}

fn start(name: &str, script: &str) -> Running {
    let mut host = Host::new();
    let value = format!("{name}-{}-{}", std::process::id(), host.path().display());
    host.set("OPAL_TEST_MARKER", &value);
    host.contract(script, &[]);
    let mut command = host.command("opal-vm", ["run", "--plan", "prod.plan"]);
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let child = command.spawn().expect("it starts");
    let running = Running { host, child, marker: format!("OPAL_TEST_MARKER={value}") };
    running.until("started", || running.host.work().join("started").exists());
    running
}

impl Running {
    fn until(&self, what: &str, mut condition: impl FnMut() -> bool) {
        let begun = Instant::now();
        while !condition() {
            assert!(begun.elapsed() < Duration::from_secs(30), "waited too long until {what}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.child.id()).expect("a pid")), signal).expect("it is alive");
    }

    /// Waits for the end of the run and of all its processes. Gives the signal that ended it, and its standard error.
    fn end(mut self) -> (Host, Option<i32>, String) {
        let begun = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("a status") {
                break status;
            }
            assert!(begun.elapsed() < Duration::from_secs(30), "the run did not end");
            std::thread::sleep(Duration::from_millis(10));
        };
        self.until("nothing is left", || processes_marked(&self.marker).is_empty());
        let mut text = String::new();
        if let Some(stderr) = &mut self.child.stderr {
            std::io::Read::read_to_string(stderr, &mut text).expect("text");
        }
        (self.host, status.signal(), text)
    }
}

const WITH_FINALLY: &str = "deploy: {\n    try {\n        touch started SITE && sleep 300\n        touch not-reached\n    } catch {\n        touch caught\n    } finally {\n        touch cleaned\n    }\n}\n";

#[test]
fn one_interrupt_runs_finally_and_leaves_no_process() {
    let running = start("int", WITH_FINALLY);
    running.signal(Signal::SIGINT);
    let (host, signal, stderr) = running.end();
    assert_eq!(signal, Some(Signal::SIGINT as i32), "{stderr}");
    assert!(stderr.contains("Cleaning up"), "{stderr}");
    let files = |name: &str| host.work().join(name).exists();
    assert!(files("cleaned") && !files("caught") && !files("not-reached"), "{stderr}");
}

#[test]
fn terminate_and_hangup_do_the_same() {
    for (name, wanted) in [("term", Signal::SIGTERM), ("hup", Signal::SIGHUP)] {
        let running = start(name, WITH_FINALLY);
        running.signal(wanted);
        let (host, signal, stderr) = running.end();
        assert_eq!(signal, Some(wanted as i32), "{stderr}");
        assert!(host.work().join("cleaned").exists(), "{stderr}");
    }
}

#[test]
fn a_second_interrupt_kills_at_once_and_skips_cleanup() {
    let script = "deploy: {\n    try {\n        trap '' TERM INT; touch started SITE; sleep 300; sleep 300\n    } finally {\n        touch cleaned\n    }\n}\n";
    let running = start("twice", script);
    running.signal(Signal::SIGINT);
    running.until("the first was seen", || {
        std::thread::sleep(Duration::from_millis(300));
        true
    });
    running.signal(Signal::SIGINT);
    let (host, signal, stderr) = running.end();
    assert_eq!(signal, Some(Signal::SIGINT as i32), "{stderr}");
    assert!(!host.work().join("cleaned").exists(), "{stderr}");
    assert!(stderr.contains("cleanup was skipped or cut short"), "{stderr}");
}

#[test]
fn cleanup_that_a_second_interrupt_cuts_short_is_not_called_done() {
    let script = "deploy: {\n    try {\n        touch started SITE && sleep 300\n    } finally {\n        touch cleaning && sleep 300\n        touch cleaned\n    }\n}\n";
    let running = start("cut", script);
    running.signal(Signal::SIGINT);
    running.until("cleanup", || running.host.work().join("cleaning").exists());
    running.signal(Signal::SIGINT);
    let (host, signal, stderr) = running.end();
    assert_eq!(signal, Some(Signal::SIGINT as i32), "{stderr}");
    assert!(!host.work().join("cleaned").exists(), "{stderr}");
    assert!(stderr.contains("cleanup was skipped or cut short") && !stderr.contains("cleaned up"), "{stderr}");
}

#[test]
fn a_step_that_left_its_session_is_gone_too() {
    let script = "deploy: {\n    try {\n        setsid bash -c 'trap \"\" TERM; sleep 300' & (setsid sleep 300 &) ; touch started SITE; sleep 300\n    } finally {\n        touch cleaned\n    }\n}\n";
    let running = start("setsid", script);
    running.signal(Signal::SIGTERM);
    let (host, signal, stderr) = running.end();
    assert_eq!(signal, Some(Signal::SIGTERM as i32), "{stderr}");
    assert!(host.work().join("cleaned").exists(), "{stderr}");
}

#[test]
fn a_killed_vm_leaves_no_process() {
    let script = "deploy: {\n    setsid bash -c 'trap \"\" TERM; sleep 300' & (setsid sleep 300 &) ; touch started SITE; sleep 300\n}\n";
    let running = start("kill", script);
    running.signal(Signal::SIGKILL);
    let (_, signal, _) = running.end();
    assert_eq!(signal, Some(Signal::SIGKILL as i32));
}
