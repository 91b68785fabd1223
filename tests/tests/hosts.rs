//! Hosts that lack something, and callers that left something odd behind: a run works there, or it says by name why it does not. It never hangs, leaves
//! nothing behind, and says success of success only.

use opal_tests::{Ended, Host, processes_marked};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The run that is tried: six lines are what it leaves behind.
const SOURCE: &str = r#"
deploy: {
    echo one SITE >> effects
    VERSION=$(echo v1)
    try {
        @parallel(max_concurrency=2) {
            echo left >> effects
            echo right >> effects
        }
        [ @var.VERSION = v1 ] && echo two >> effects
    } finally {
        echo finally >> effects
    }
    echo last >> effects
}
"#;

/// What is to come of a run.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Want {
    /// All of it.
    All,
    /// Nothing, and a refusal that holds this text.
    Refusal(&'static str),
    /// Either, or a failure with a name: as much as the host has room for.
    Named,
}

use Want::{All, Named, Refusal};

/// A name, a shell's words that make the host and then become the run, whether they take root, and what is to come of it. `$STATE` is the state directory.
const HOSTS: &[(&str, &str, bool, Want)] = &[
    ("no /proc", r#"mount -t tmpfs none /proc; exec "$@""#, true, Refusal("no_proc")),
    (
        "a state directory that cannot be written",
        r#"mount --bind "$STATE" "$STATE"; mount -o remount,ro,bind "$STATE"; exec "$@""#,
        true,
        Refusal("cannot_write"),
    ),
    (
        "a state directory that cannot be written, and no record",
        r#"mount --bind "$STATE" "$STATE"; mount -o remount,ro,bind "$STATE"; exec "$@" --record none"#,
        true,
        All,
    ),
    ("a state directory without room", r#"mount -t tmpfs -o size=4k,mode=700 none "$STATE"; exec "$@""#, true, Refusal("record_unusable")),
    ("the first process of its namespace", r#"exec unshare --pid --fork --mount-proc "$@""#, true, All),
    ("no home", r#"unset HOME XDG_STATE_HOME XDG_CONFIG_HOME XDG_RUNTIME_DIR; exec "$@""#, false, Named),
    (
        "no home, and a key that is named",
        r#"key=$XDG_CONFIG_HOME/opal/identity; unset HOME XDG_STATE_HOME XDG_CONFIG_HOME XDG_RUNTIME_DIR; exec "$@" --identity "$key" --allow-unsigned --record none"#,
        false,
        All,
    ),
    ("64 descriptors", r#"ulimit -n 64; exec "$@""#, false, All),
    ("20 descriptors", r#"ulimit -n 20; exec "$@""#, false, Named),
    ("16 descriptors", r#"ulimit -n 16; exec "$@""#, false, Named),
    ("10 descriptors", r#"ulimit -n 10; exec "$@""#, false, Named),
    ("5 descriptors", r#"ulimit -n 5; exec "$@""#, false, Named),
    ("64 MiB of address space", r#"ulimit -v 65536; exec "$@""#, false, All),
    ("files of no size", r#"ulimit -f 0; exec "$@""#, false, Named),
    ("files of 2 KiB", r#"ulimit -f 2; exec "$@""#, false, Named),
    ("files of 8 KiB", r#"ulimit -f 8; exec "$@""#, false, Named),
    ("a mask that takes all rights away", r#"umask 0777; exec "$@""#, false, All),
    ("stdin closed", r#"exec "$@" <&-"#, false, All),
    ("stdout closed", r#"exec "$@" >&-"#, false, All),
    ("all streams closed", r#"exec "$@" <&- >&- 2>&-"#, false, All),
    ("CHLD ignored", r#"trap '' CHLD; exec "$@""#, false, All),
    ("PIPE ignored", r#"trap '' PIPE; exec "$@""#, false, All),
    ("INT, QUIT, HUP and TERM ignored", r#"trap '' INT QUIT HUP TERM; exec "$@""#, false, All),
    ("all signals blocked", r#"exec env --block-signal "$@""#, false, All),
    ("all signals ignored", r#"exec env --ignore-signal "$@""#, false, All),
];

/// Runs the plan on a host, to its end or for too long. What it leaves behind is gone when this returns.
fn run(host: &Host, script: &str, root: bool, marker: &str) -> Result<Ended, String> {
    let own = host.command("opal-vm", ["run", "--plan", "prod.plan"]);
    let mut command = Command::new(if root { "unshare" } else { "bash" });
    if root {
        command.args(["--mount", "bash"]);
    }
    command.args(["-c", script, "bash"]).arg(own.get_program()).args(own.get_args()).current_dir(host.work()).env_clear();
    command.envs(own.get_envs().filter_map(|(name, value)| Some((name, value?))));
    // Pipes, which no limit on files concerns; what is said fits into them.
    command.env("STATE", host.path().join("state")).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| error.to_string())?;
    let begun = Instant::now();
    while child.try_wait().map_err(|error| error.to_string())?.is_none() {
        if begun.elapsed() > Duration::from_secs(60) {
            let _ = child.kill();
            for pid in processes_marked(marker) {
                let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL);
            }
            return Err("it hangs".to_owned());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    while !processes_marked(marker).is_empty() {
        if begun.elapsed() > Duration::from_secs(60) {
            return Err("something survives".to_owned());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    child.wait_with_output().map(Ended::from).map_err(|error| error.to_string())
}

#[test]
fn on_an_odd_host_a_run_works_or_says_by_name_why_not() {
    let root =
        nix::unistd::geteuid().is_root() && Command::new("unshare").args(["--mount", "true"]).status().is_ok_and(|status| status.success());
    let mut wrong = Vec::new();
    for (name, script, takes_root, want) in HOSTS {
        if *takes_root && !root {
            eprintln!("SKIPPED: {name}: it takes root to make such a host");
            continue;
        }
        let mut host = Host::new();
        let value = format!("{}-{}", std::process::id(), host.path().display());
        host.set("OPAL_TEST_MARKER", &value);
        host.contract(SOURCE, &[]);
        let ended = match run(&host, script, *takes_root, &format!("OPAL_TEST_MARKER={value}")) {
            Ok(ended) => ended,
            Err(problem) => {
                wrong.push(format!("{name}: {problem}"));
                continue;
            }
        };
        let effects = host.read("effects").lines().count();
        let fine = match want {
            All => ended.status == 0 && effects == 6,
            Refusal(code) => ended.status != 0 && effects == 0 && ended.stderr.contains(&format!("error[{code}]")),
            Named if ended.status == 0 => effects == 6,
            Named => ended.stderr.contains("error[") && ended.stderr.contains("effects: ") && !ended.stderr.contains("error[internal]"),
        };
        if !fine {
            wrong.push(format!("{name}: status {}, {effects} effects\n{}{}", ended.status, ended.stdout, ended.stderr));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
