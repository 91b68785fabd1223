//! The helper from which every process of a run is forked: nothing else makes a process of ours into a watcher or a stage, whoever of them is killed
//! leaves nothing behind, and none holds an end of a socket that is another's.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use opal_tests::{Ended, Host, binaries, proc, processes_marked};
use std::collections::HashMap;
use std::fs::{self, Permissions};
use std::io::Write as _;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The three programs.
const PROGRAMS: [&str; 3] = ["opal-vm", "opal", "opalc"];

/// An ordinary user.
const NOBODY: u32 = 65534;

/// How long what was killed may take to be gone: the grace that steps have, and then some.
const PATIENCE: Duration = Duration::from_secs(20);

fn frame(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 1).expect("short");
    [&length.to_ne_bytes()[..], &[kind], body].concat()
}

/// What would have a watcher run `touch FILE`: a greeting, and a step without rules, with and without a place for these.
fn frames(file: &str) -> Vec<u8> {
    let mut all = frame(1, &[0, 0, 0, 0, 0]);
    for rules in [&[0u8; 4][..], &[]] {
        let mut start = vec![0];
        for number in [0o022u32, 2, 0] {
            start.extend_from_slice(&number.to_ne_bytes());
        }
        start.extend_from_slice(rules);
        for text in ["/usr/bin/touch", "/", "touch", file] {
            start.extend_from_slice(text.as_bytes());
            start.push(0);
        }
        all.extend(frame(2, &start));
    }
    all
}

#[test]
fn no_argument_variable_or_descriptor_makes_a_program_into_a_watcher_a_stage_or_a_planner() {
    let host = Host::new();
    let made = host.path().join("made");
    let touch = made.to_str().expect("text").to_owned();
    // Rules that restrict nothing, as a stage was once given them.
    let sheet = host.write("sheet", [&b"R"[..], &[0; 5]].concat());
    for program in PROGRAMS {
        for words in [
            &["__watcher"][..],
            &["__confine", "/usr/bin/touch", "touch", &touch],
            &["__helper"],
            &["__planner"],
            &["run", "__watcher"],
            &["opal-watcher"],
        ] {
            for variable in ["OPAL_WATCHER", "OPAL_ROLE", "OPAL_HELPER"] {
                let (mut ours, theirs) = UnixStream::pair().expect("a socket");
                ours.write_all(&frames(&touch)).expect("room");
                ours.shutdown(std::net::Shutdown::Write).expect("it is open");
                let own = host.command(program, words);
                // The same socket is standard input and what may be 4, the sheet is 3.
                let mut command = Command::new("bash");
                command.args(["-c", "exec \"$@\" 3<>\"$SHEET\" 4<&0", "bash"]).arg(own.get_program()).args(own.get_args());
                command.current_dir(host.work()).env_clear().envs(own.get_envs().filter_map(|(name, value)| Some((name, value?))));
                command.env("SHEET", &sheet).env(variable, words[0]).stdin(OwnedFd::from(theirs));
                let ended = Ended::from(command.output().expect("it starts"));
                assert!(matches!(ended.status, 64 | 66), "{program} {words:?}: {ended:?}");
                assert!(ended.stderr.starts_with("error["), "{program} {words:?}: {ended:?}");
                assert!(!made.exists(), "{program} {words:?} has run a program");
                assert!(ours.as_raw_fd() > 2);
            }
        }
    }
}

#[test]
fn a_program_with_rights_of_its_file_ends_at_once() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("skipped: only root can make such a file");
        return;
    }
    let directory = tempfile::tempdir().expect("a directory");
    fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).expect("its mode");
    for program in PROGRAMS {
        let copy = directory.path().join(program);
        fs::copy(binaries().join(program), &copy).expect("a copy");
        for (mode, words) in [(0o4755, &["run", "--plan", "x"][..]), (0o2755, &["--help"]), (0o6755, &[]), (0o4755, &["__watcher"])] {
            fs::set_permissions(&copy, Permissions::from_mode(mode)).expect("its mode");
            let start = |user: u32| {
                let user = [format!("--reuid={user}"), format!("--regid={user}")];
                let run = Command::new("setpriv").args(user).arg("--clear-groups").arg(&copy).args(words).stdin(Stdio::null()).output();
                Ended::from(run.expect("it starts"))
            };
            start(NOBODY).expect(78).says("error[set_user_id]: ").says("help: ").says("effects: none");
            // To root they give nothing.
            assert_ne!(start(0).status, 78, "{program} {mode:o}");
        }
    }
}

/// A run whose two branches and detached process go on for ever, and the processes of ours that it is made of.
struct Run {
    child: Child,
    marker: String,
    _host: Host,
}

impl Run {
    fn start() -> Self {
        let mut host = Host::new();
        let marker = format!("OPAL_TEST_MARK={}-{}", std::process::id(), host.path().display());
        let (name, value) = marker.split_once('=').expect("a pair");
        host.set(name, value);
        let leave = "sleep 600 & (setsid bash -c 'sleep 600 & exit' </dev/null >/dev/null 2>&1 &); trap '' TERM; sleep 600 &";
        let source =
            format!("@parallel(max_concurrency=2) {{\n{leave} touch one; sleep 600; : SITE\n{leave} touch two; sleep 600; :\n}}\n");
        host.write("script.opl", host.named(&source));
        let mut command = host.command("opal", ["--record", "none", "./script.opl"]);
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
        let run = Self { child, marker, _host: host };
        run.until("both branches run", || run._host.work().join("one").exists() && run._host.work().join("two").exists());
        run
    }

    fn until(&self, what: &str, done: impl Fn() -> bool) {
        let begun = Instant::now();
        while !done() {
            assert!(begun.elapsed() < PATIENCE, "{what}: {:?} are there", self.processes());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn processes(&self) -> Vec<(i32, String)> {
        let name = |pid: i32| fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim().to_owned();
        processes_marked(&self.marker).into_iter().map(|pid| (pid, name(pid))).collect()
    }

    fn helper(&self) -> u32 {
        let children = proc::children(self.child.id());
        assert_eq!(children.len(), 1, "the VM has one child: {:?}", self.processes());
        children[0]
    }

    /// Sends a signal to the VM, the helper or a watcher.
    fn send(&self, to: &str, watchers: &[u32], helper: u32, signal: Signal) {
        let pid = match to {
            "VM" => self.child.id(),
            "helper" => helper,
            _ => watchers[0],
        };
        kill(Pid::from_raw(pid.cast_signed()), signal).expect("it is there");
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        for (pid, _) in self.processes() {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
        let _ = self.child.wait();
    }
}

#[test]
fn whoever_is_killed_nothing_is_left() {
    use Signal::{SIGKILL as Kill, SIGSTOP as Stop, SIGTERM as Term};
    let cases: &[&[(&str, Signal)]] = &[
        &[("VM", Kill)],
        // The run goes on until it is asked to end.
        &[("helper", Kill), ("VM", Term)],
        &[("helper", Kill), ("VM", Kill)],
        &[("watcher", Kill), ("VM", Term)],
        &[("watcher", Kill), ("VM", Kill)],
        // What the watcher leaves falls to the VM.
        &[("helper", Kill), ("watcher", Kill), ("VM", Term)],
        // Who is stopped is woken.
        &[("watcher", Stop), ("VM", Kill)],
        &[("helper", Stop), ("watcher", Stop), ("VM", Kill)],
        &[("watcher", Stop), ("helper", Kill), ("VM", Kill)],
        &[("helper", Stop), ("VM", Term)],
    ];
    std::thread::scope(|threads| {
        for (number, case) in cases.iter().enumerate() {
            for pause in [0, 30] {
                let work = move || {
                    let mut run = Run::start();
                    let helper = run.helper();
                    let watchers = proc::children(helper);
                    assert_eq!(watchers.len(), 2);
                    for (to, signal) in *case {
                        run.send(to, &watchers, helper, *signal);
                        std::thread::sleep(Duration::from_millis(pause * u64::try_from(number).expect("few")));
                    }
                    let begun = Instant::now();
                    while run.child.try_wait().expect("a status").is_none() {
                        assert!(begun.elapsed() < PATIENCE, "{case:?}: the run hangs: {:?}", run.processes());
                        std::thread::sleep(Duration::from_millis(5));
                    }
                    run.until(&format!("{case:?}, all are gone"), || run.processes().is_empty());
                };
                threads.spawn(work);
            }
        }
    });
}

#[test]
fn a_vm_a_helper_or_a_watcher_that_is_killed_at_any_moment_leaves_nothing() {
    // Lanes come and go all the time.
    let source = "for i in 1...200 {\n@parallel(max_concurrency=3) {\nsleep 600 & true\nsetsid sleep 600 & true\ntrue\n}\n}\n";
    for round in 0..30u64 {
        let mut host = Host::new();
        let marker = format!("OPAL_TEST_MARK={}-{}", std::process::id(), host.path().display());
        let (name, value) = marker.split_once('=').expect("a pair");
        host.set(name, value);
        host.write("script.opl", format!(": {value}\n{source}"));
        let mut command = host.command("opal", ["--record", "none", "./script.opl"]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
        std::thread::sleep(Duration::from_micros(round * 7919 % 400 * 1000));
        let vm = child.id();
        let helper = proc::children(vm).first().copied();
        let victim = match round % 3 {
            0 => Some(vm),
            1 => helper,
            _ => helper.and_then(|helper| proc::children(helper).last().copied()),
        };
        if let Some(victim) = victim {
            let _ = kill(Pid::from_raw(victim.cast_signed()), Signal::SIGKILL);
        }
        std::thread::sleep(Duration::from_millis(50));
        // Whatever is left of it is to end now.
        let _ = kill(Pid::from_raw(vm.cast_signed()), Signal::SIGTERM);
        let begun = Instant::now();
        let ended = loop {
            if let Some(status) = child.try_wait().expect("a status") {
                break status;
            }
            assert!(begun.elapsed() < PATIENCE, "round {round}: the run hangs");
            std::thread::sleep(Duration::from_millis(2));
        };
        assert!(ended.signal().is_some() || ended.code().is_some_and(|code| code < 2), "round {round}: {ended:?}");
        while !processes_marked(&marker).is_empty() {
            assert!(begun.elapsed() < PATIENCE, "round {round}: {:?} are left", processes_marked(&marker));
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

/// What the descriptors of a process are, by number.
fn descriptors(pid: u32) -> HashMap<u32, String> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let number = |name: &std::ffi::OsStr| name.to_str().and_then(|name| name.parse().ok());
    entries.filter_map(|entry| Some((number(&entry.file_name())?, fs::read_link(entry.path()).ok()?.display().to_string()))).collect()
}

#[test]
fn each_process_holds_its_own_descriptors_and_no_others() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("skipped: nobody else may look at what these processes hold");
        return;
    }
    let run = Run::start();
    let helper = run.helper();
    let watchers = proc::children(helper);
    let all: Vec<(u32, HashMap<u32, String>)> =
        [run.child.id(), helper].into_iter().chain(watchers.iter().copied()).map(|pid| (pid, descriptors(pid))).collect();
    let sockets = |of: &HashMap<u32, String>| of.values().filter(|what| what.starts_with("socket:")).cloned().collect::<Vec<_>>();
    let mut owners: HashMap<String, Vec<u32>> = HashMap::new();
    for (pid, held) in &all {
        sockets(held).into_iter().for_each(|socket| owners.entry(socket).or_default().push(*pid));
    }
    // To the helper, and to each watcher, a pair: every end is held once.
    assert_eq!(owners.len(), 2 * (1 + watchers.len()), "{all:?}");
    assert!(owners.values().all(|owners| owners.len() == 1), "{owners:?}");
    let (_, held) = &all[1];
    assert!((0..3).all(|n| held[&n] == "/dev/null"), "{held:?}");
    // One socket, the ends of its children, and a pipe for each of these.
    let kinds = |kind: &str| held.values().filter(|what| what.starts_with(kind)).count();
    assert_eq!(
        (kinds("socket:"), kinds("pipe:"), kinds("anon_inode:"), held.len()),
        (1, watchers.len(), 1, 3 + 1 + watchers.len() + 1),
        "{held:?}"
    );
    for (pid, held) in &all[2..] {
        // Streams, the socket, the ends of children, and the lock.
        assert_eq!(sockets(held).len(), 1, "{pid}: {held:?}");
        assert!(held.len() <= 6 && held[&0] == "/dev/null" && held[&1].starts_with("pipe:"), "{pid}: {held:?}");
    }
    // Steps hold their streams and nothing else.
    for (pid, name) in run.processes().into_iter().filter(|(_, name)| name == "sleep") {
        let held = descriptors(pid.cast_unsigned());
        assert!(held.keys().all(|number| *number < 3), "{name}: {held:?}");
    }
}

/// What `strace` saw of some system calls.
fn traced(host: &Host, calls: &str, program: &str, words: &[&str]) -> Option<String> {
    let log = host.path().join("trace");
    let own = host.command(program, words);
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-e"]).arg(format!("trace={calls}")).arg("-o").arg(&log);
    command.arg(own.get_program()).args(own.get_args()).current_dir(host.work()).env_clear();
    command.envs(own.get_envs().filter_map(|(name, value)| Some((name, value?)))).stdin(Stdio::null());
    let ended = Ended::from(command.output().ok()?);
    let text = fs::read_to_string(&log).ok().filter(|_| ended.status < 126);
    if text.is_none() {
        eprintln!("skipped: `strace` is missing, or may not trace here (apt-get install strace)");
    }
    text
}

#[test]
fn a_program_of_ours_is_executed_once_and_forks_a_helper_only_where_it_may_run_something() {
    let host = Host::new();
    host.contract("deploy: {\n  echo SITE >ran\n  @isolated.network { echo confined >confined }\n}\n", &["deploy"]);
    host.write("commands.opl", "fun go(help: Bool = false) { echo @var.help >went }\n");
    let own = binaries().to_str().expect("text").to_owned();
    for (program, words) in [("opal-vm", &["run", "--plan", "prod.plan"][..]), ("opal", &["deploy.opl", "deploy"])] {
        let Some(trace) = traced(&host, "execve", program, words) else { return };
        assert_eq!((host.read("ran").lines().count(), &*host.read("confined")), (1, "confined\n"), "{trace}");
        let executed = trace.lines().filter(|line| line.contains(&format!("execve(\"{own}")) || line.contains("/proc/self/exe")).count();
        assert_eq!(executed, 1, "{trace}");
        for name in ["ran", "confined"] {
            fs::remove_file(host.work().join(name)).expect("it is there");
        }
    }
    let forks = |program: &str, words: &[&str]| {
        let trace = traced(&host, "fork,vfork,clone,clone3", program, words)?;
        Some(trace.lines().filter(|line| line.contains("fork(") || (line.contains("clone") && !line.contains("CLONE_THREAD"))).count())
    };
    let nothing: &[(&str, &[&str])] = &[
        ("opal", &[]),
        ("opal", &["--help"]),
        ("opal", &["--color", "never", "--help"]),
        ("opal", &["run", "--help"]),
        ("opal", &["completions", "bash"]),
        ("opal-vm", &["--help"]),
        ("opal-vm", &["run", "--help"]),
        ("opal-vm", &["inspect", "--plan", "prod.plan"]),
        ("opalc", &["show", "prod.plan"]),
    ];
    for (program, words) in nothing {
        let Some(count) = forks(program, words) else { return };
        assert_eq!(count, 0, "{program} {words:?}");
    }
    // The helper, the watcher, the step.
    assert!(forks("opal", &["go"]).is_none_or(|count| count >= 3));
    // A parameter may have the name of an option.
    host.run("opal", &["go", "--help"]).expect(0);
    assert_eq!(host.read("went"), "true\n");
}

#[test]
fn a_run_leaves_no_zombie_to_whoever_inherits_its_processes() {
    let host = Host::new();
    host.contract("echo SITE\ntrue\n", &[]);
    // The shell inherits what is left, as the first process of a container does, and waits for nothing but the program.
    let script = "import ctypes, os, subprocess, sys\n\
        assert ctypes.CDLL(None).prctl(36, 1, 0, 0, 0) == 0\n\
        assert subprocess.call(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) == 0\n\
        try:\n    print(os.waitpid(-1, 0))\nexcept ChildProcessError:\n    print('nothing')\n";
    let ours = host.command("opal-vm", ["run", "--plan", "prod.plan"]);
    let mut python = Command::new("python3");
    python.args(["-c", script]).arg(ours.get_program()).args(ours.get_args()).current_dir(host.work()).env_clear();
    python.envs(ours.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let Ok(output) = python.output() else {
        println!("skipped: python3 is not installed");
        return;
    };
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "nothing", "{}", String::from_utf8_lossy(&output.stderr));
}
