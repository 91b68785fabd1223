//! What a step wrote meets regular expressions and JSON in a process of its own: whatever it is, the run goes on, or ends with a step that failed.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use opal_tests::{Ended, Host, proc};
use std::fs;
use std::process::Stdio;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(30);

fn until(what: &str, done: impl Fn() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The evaluators of a program.
fn evaluators(program: u32) -> Vec<u32> {
    let below = proc::children(program).into_iter().flat_map(proc::children);
    below.filter(|pid| fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim() == "opal-evaluator")).collect()
}

/// Runs a program whose pipeline waits for the test, does `act` with its evaluator, and lets it go on.
fn with_evaluator(host: &Host, program: &str, words: &[&str], act: impl Fn(u32)) -> Ended {
    for file in ["ready", "go"] {
        let _ = fs::remove_file(host.work().join(file));
    }
    let child = host.command(program, words).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    until("the step runs", || host.work().join("ready").exists());
    until("its evaluator is there", || !evaluators(child.id()).is_empty());
    act(evaluators(child.id())[0]);
    host.write("go", "");
    Ended::from(child.wait_with_output().expect("it ends"))
}

const WAITS: &str = "go: { { touch ready; until [ -e go ]; do sleep 0.02; done; echo '{\"a\": \"b SITE\"}'; } |> json.pick(\"$.a\") }\ncaught: { try { go() } catch { echo caught } }\n";

#[test]
fn what_steps_write_is_looked_into_by_a_confined_process_and_one_that_is_killed_fails_its_step() {
    let host = Host::new();
    host.contract(WAITS, &["go"]);
    let held = |pid: u32| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it is alive");
        // The filter comes with its first breath; the step is there by now, but may have been quicker.
        until("it is held", || fs::read_to_string(format!("/proc/{pid}/status")).is_ok_and(|status| status.contains("Seccomp:\t2")));
        let limits = fs::read_to_string(format!("/proc/{pid}/limits")).expect("it is alive");
        for line in ["Max cpu time              60 ", "Max data size             1073741824 ", "Max file size             0 "] {
            assert!(limits.contains(line), "{line}: {limits}{status}");
        }
        if nix::unistd::geteuid().is_root() {
            assert_eq!(proc::descriptors(pid), Some(1), "its socket");
        }
    };
    let killed = |pid: u32| {
        kill(Pid::from_raw(pid.cast_signed()), Signal::SIGKILL).expect("it is alive");
        until("it is gone", || proc::is_zombie(pid) || fs::metadata(format!("/proc/{pid}")).is_err());
    };
    for (program, words) in [("opal-vm", &["run", "--plan", "prod.plan"][..]), ("opal", &["deploy.opl", "go"])] {
        let ended = with_evaluator(&host, program, words, held);
        assert!(ended.expect(0).stdout.starts_with("b "), "{ended:?}");
        let ended = with_evaluator(&host, program, words, killed);
        ended.expect(1).says("error[not_evaluated]: ").says("its output could not be evaluated: the process that evaluates it ended");
        assert!(!ended.stderr.contains("internal") && ended.stdout.is_empty(), "{ended:?}");
        // One that is stopped is let go on.
        let stopped = |pid: u32| kill(Pid::from_raw(pid.cast_signed()), Signal::SIGSTOP).expect("it is alive");
        with_evaluator(&host, program, words, stopped).expect(0);
    }
    // It is a failure like any other of a step.
    let ended = with_evaluator(&host, "opal", &["deploy.opl", "caught"], killed);
    assert_eq!(ended.expect(0).stdout, "caught\n");
}

#[test]
fn hostile_output_fails_its_step_or_is_what_it_is_and_never_ends_the_run_otherwise() {
    let host = Host::new();
    for (step, operation, status, out) in [
        ("head -c 100000 /dev/zero | tr '\\0' x", "assert.re(\"^(x+x+)+y\")", 1, ""),
        ("head -c 20000 /dev/zero | tr '\\0' a", "lines.grep(\"(a{1,10}){1,10}b\") |> lines.count()", 0, "0\n"),
        ("head -c 2000000 /dev/zero | tr '\\0' '['", "json.pick(\"$\")", 1, ""),
        ("head -c 2000000 /dev/zero | tr '\\0' '['", "json.pick(\"$[0][0]\")", 1, ""),
        ("echo '{'; seq -f '\"%.0f\": 0,' 100000; echo '\"last\": \"x\"}'", "json.pick(\"$.last\")", 0, "x\n"),
        // What is no character grows threefold, more than was put in.
        ("printf '\"'; head -c 6000000 /dev/zero | tr '\\0' '\\377'; printf '\"'", "json.pick(\"$\") |> lines.count()", 0, "1\n"),
        ("printf '\"\\\\ud800\"'", "json.pick(\"$\")", 1, ""),
        ("printf 'a\\0b\\n'", "assert.re(\"a.b\") |> lines.count()", 0, "1\n"),
        ("true", "json.pick(\"$\")", 1, ""),
    ] {
        host.write("s.opl", host.named(&format!("go: {{ {{ {step}; }} |> {operation} }}\nother: echo SITE\n")));
        let ended = host.run("opal", &["--record", "none", "s.opl", "go"]);
        ended.expect(status);
        assert_eq!(ended.stdout, out, "{step} |> {operation}");
        assert!(!ended.stderr.contains("error[internal]") && !ended.stderr.contains("not_evaluated"), "{step}: {ended:?}");
    }
}

#[test]
fn an_evaluation_that_takes_long_ends_by_its_limit_and_by_a_signal() {
    let host = Host::new();
    let slow = "{ touch ready; head -c 16000000 /dev/zero | tr '\\0' x; } |> assert.re(\"(x{1,10}){1,10}y\")";
    host.write("s.opl", host.named(&format!("limited: {{ @timeout(2s) {{ {slow} }} }}\nfree: {{ {slow} }}\nother: echo SITE\n")));
    let begun = Instant::now();
    host.run("opal", &["--record", "none", "s.opl", "limited"]).expect(1).says("not done after 2s");
    assert!(begun.elapsed() < PATIENCE, "it was waited for");
    fs::remove_file(host.work().join("ready")).expect("it ran");
    let child = host
        .command("opal", ["--record", "none", "s.opl", "free"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    until("the step ran", || host.work().join("ready").exists());
    let evaluator = evaluators(child.id())[0];
    let computes = || {
        fs::read_to_string(format!("/proc/{evaluator}/stat"))
            .is_ok_and(|stat| stat.rsplit_once(')').is_some_and(|(_, rest)| rest.starts_with(" R")))
    };
    until("it is evaluated", computes);
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGINT).expect("it is alive");
    let begun = Instant::now();
    let ended = Ended::from(child.wait_with_output().expect("it ends"));
    ended.expect(130).says("error[cancelled]: ");
    assert!(begun.elapsed() < PATIENCE, "the signal was waited for");
    until("nothing is left of it", || fs::metadata(format!("/proc/{evaluator}")).is_err());
}
