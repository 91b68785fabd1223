//! Nothing that a step starts outlives it: every way of getting away, every way in which a step can end, wherever it stands, with and without
//! privileges. Survivors are found by a marker in their environment, never by name.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use opal_tests::{Host, processes_marked};
use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// What a step starts before it goes on, and what is named when it ends well: a program, or nothing.
const SHAPES: [(&str, &str, &str); 10] = [
    ("plain child", "", ""),
    ("background grandchild", "sleep 600 &", "sleep"),
    ("TERM ignored", "trap '' TERM; sleep 600 &", "sleep"),
    ("session of its own", "setsid sleep 600 &", "sleep"),
    ("disowned tree", "(sleep 600 & sleep 600 & wait) & disown;", "sleep"),
    ("double-fork daemon", "(setsid bash -c 'sleep 600 & exit' </dev/null >/dev/null 2>&1 &);", "sleep"),
    ("leader exits first", "( (sleep 600 & exec setsid sleep 600) & );", "sleep"),
    ("stops itself", "bash -c 'kill -STOP $$; sleep 600' &", "bash"),
    ("group of its own", "set -m; sleep 600 & set +m;", "sleep"),
    ("fills its pipes", "bash -c 'while :; do head -c 200000 /dev/zero; head -c 200000 /dev/zero >&2; sleep 0.1; done' &", "bash"),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    Success,
    Timeout,
    Signal(Signal),
}

const ENDINGS: [Ending; 5] =
    [Ending::Success, Ending::Timeout, Ending::Signal(Signal::SIGINT), Ending::Signal(Signal::SIGTERM), Ending::Signal(Signal::SIGKILL)];

/// Where the step stands; `STEP` is the step, `REST` what others do meanwhile.
const PLACES: [(&str, &str); 3] =
    [("sequence", "STEP"), ("parallel", "@parallel(max_concurrency=2) {\nREST\nSTEP\n}"), ("pipe", "@retry(1) {\nSTEP\n} | REST")];

/// A user without privileges.
const NOBODY: u32 = 65534;

/// Time between TERM and KILL.
const GRACE: Duration = Duration::from_secs(5);

/// How long a run may take until it counts as one that hangs.
const PATIENCE: Duration = Duration::from_secs(60);

fn marker() -> String {
    let mut random = [0; 16];
    File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut random)).expect("random bytes");
    format!("{:032x}", u128::from_ne_bytes(random))
}

/// Ends what a test that fails leaves running.
struct Marked(String);

impl Drop for Marked {
    fn drop(&mut self) {
        for pid in processes_marked(&self.0) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
}

/// A directory that anybody can enter, with a copy of the program that anybody can execute.
fn public_copy() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o755)).expect("its mode");
    let program = directory.path().join("opal");
    std::fs::copy(opal_tests::binaries().join("opal"), &program).expect("a copy");
    (directory, program)
}

fn give_to(path: &Path, user: u32) {
    std::os::unix::fs::chown(path, Some(user), Some(user)).expect("root gives things away");
    if path.is_dir() {
        std::fs::read_dir(path).expect("a directory").flatten().for_each(|entry| give_to(&entry.path(), user));
    }
}

/// One combination.
struct Cell<'a> {
    shape: (&'a str, &'a str, &'a str),
    ending: Ending,
    place: (&'a str, &'a str),
    /// Program and user, where that is not this one.
    other: Option<(&'a Path, u32)>,
}

impl Cell<'_> {
    fn name(&self) -> String {
        format!(
            "{}, {:?}, in a {}, {}",
            self.shape.0,
            self.ending,
            self.place.0,
            if self.other.is_some() { "unprivileged" } else { "as we are" }
        )
    }

    fn script(&self) -> String {
        let ends = self.ending == Ending::Success;
        let step = format!("{} touch started; {}", self.shape.1, if ends { "exit 0" } else { "sleep 600; sleep 600" });
        let inside = self.place.1.replace("STEP", &step).replace("REST", if ends { "cat >/dev/null" } else { "sleep 600" });
        let inside = if self.ending == Ending::Timeout { format!("@timeout(1s) {{\n{inside}\n}}") } else { inside };
        format!("try {{\n{inside}\n}} finally {{\ntouch cleaned\n}}\n")
    }

    fn start(&self, host: &Host) -> Child {
        let usual = host.command("opal", ["--record", "none", "./script.opl"]);
        let mut command =
            std::process::Command::new(self.other.map_or_else(|| PathBuf::from(usual.get_program()), |(program, _)| program.into()));
        command.args(usual.get_args()).current_dir(host.work()).env_clear();
        command.envs(usual.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(host.path().join("said")).expect("a file"));
        if let Some((_, user)) = self.other {
            give_to(host.path(), user);
            command.uid(user).gid(user);
        }
        command.spawn().expect("it starts")
    }

    /// Says what is wrong.
    fn try_out(&self) -> Result<(), String> {
        let mut host = Host::new();
        let mark = Marked(marker());
        host.set("OPAL_TEST_MARK", &mark.0);
        // Work of its own, so that runs do not wait for each other.
        host.write("script.opl", format!(": {}\n{}", mark.0, self.script()));
        let mut run = self.start(&host);
        let begun = Instant::now();
        let work = host.work();
        let mut sent = None;
        let status = loop {
            if let Some(status) = run.try_wait().expect("a status") {
                break status;
            }
            if let Ending::Signal(signal) = self.ending
                && sent.is_none()
                && work.join("started").exists()
            {
                // What it has started comes up meanwhile.
                std::thread::sleep(Duration::from_millis(100));
                kill(Pid::from_raw(i32::try_from(run.id()).expect("a pid")), signal).expect("it is alive");
                sent = Some(signal);
            }
            if begun.elapsed() > PATIENCE {
                let _ = run.kill();
                return Err("the run hangs".to_owned());
            }
            std::thread::sleep(Duration::from_millis(10));
        };
        let said = std::fs::read_to_string(host.path().join("said")).unwrap_or_default();
        // Once the VM is gone its watchers still have the grace; otherwise they went before it.
        let until = Instant::now() + if sent == Some(Signal::SIGKILL) { 4 * GRACE } else { Duration::ZERO };
        loop {
            let left = processes_marked(&mark.0);
            if left.is_empty() {
                break;
            }
            if Instant::now() >= until {
                return Err(format!("survivors {left:?}\n{said}"));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let ended = (status.code(), status.signal());
        let expected = match self.ending {
            Ending::Success => (Some(0), None),
            Ending::Timeout => (Some(1), None),
            Ending::Signal(signal) => (None, Some(signal as i32)),
        };
        if ended != expected {
            return Err(format!("ended with {ended:?}\n{said}"));
        }
        if work.join("cleaned").exists() == (self.ending == Ending::Signal(Signal::SIGKILL)) {
            return Err(format!("the wrong thing about cleanup\n{said}"));
        }
        let named = said.contains(&format!("left {} (pid ", self.shape.2)) && said.contains("@detach keeps it");
        if self.ending == Ending::Success && named == self.shape.2.is_empty() {
            return Err(format!("the wrong thing is said about what was left\n{said}"));
        }
        Ok(())
    }
}

#[test]
fn no_shape_survives_any_ending_anywhere() {
    let copy = nix::unistd::geteuid().is_root().then(public_copy);
    if copy.is_none() {
        eprintln!("skipped: only root can start a run as somebody else");
    }
    let others = [None, copy.as_ref().map(|(_, program)| (program.as_path(), NOBODY))];
    let mut cells = Vec::new();
    for other in others.into_iter().take(if copy.is_some() { 2 } else { 1 }) {
        for shape in SHAPES {
            for place in PLACES {
                cells.extend(ENDINGS.map(|ending| Cell { shape, ending, place, other }));
            }
        }
    }
    let (total, queue, wrong) = (cells.len(), Mutex::new(cells), Mutex::new(Vec::new()));
    let take = || queue.lock().expect("no panic").pop();
    std::thread::scope(|threads| {
        // They sleep most of the time.
        for _ in 0..12 {
            threads.spawn(|| {
                while let Some(cell) = take() {
                    if let Err(what) = cell.try_out() {
                        wrong.lock().expect("no panic").push(format!("{}: {what}\n{}", cell.name(), cell.script()));
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().expect("no panic");
    assert!(wrong.is_empty(), "{} of {total}:\n{}", wrong.len(), wrong.join("\n\n"));
}

/// A control group that belongs to [`NOBODY`], as a session manager would give one to a user. Removed when dropped.
struct Delegated(PathBuf);

impl Delegated {
    fn new() -> Option<Self> {
        let root = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"]
            .map(Path::new)
            .into_iter()
            .find(|root| root.join("cgroup.subtree_control").exists())?;
        let group = root.join(format!("test-{}", marker()));
        std::fs::create_dir(&group).ok()?;
        give_to(&group, NOBODY);
        let group = Self(group);
        group.0.join("cgroup.kill").exists().then_some(group)
    }

    fn groups_inside(&self) -> usize {
        std::fs::read_dir(&self.0).expect("a directory").flatten().filter(|entry| entry.path().is_dir()).count()
    }
}

impl Drop for Delegated {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir(&self.0);
    }
}

#[test]
fn where_groups_can_be_made_what_became_another_user_is_killed_too_and_no_group_stays() {
    let group = nix::unistd::geteuid().is_root().then(Delegated::new).flatten();
    let Some((group, setpriv)) = group.zip(Some("/usr/bin/setpriv").filter(|path| Path::new(path).exists())) else {
        eprintln!("skipped: needs root, control groups of version 2 with `cgroup.kill`, and `setpriv`");
        return;
    };
    let (directory, program) = public_copy();
    let host = Host::new();
    let mark = Marked(marker());
    let become_root = directory.path().join("setpriv");
    std::fs::copy(setpriv, &become_root).expect("a copy");
    std::fs::set_permissions(&become_root, std::fs::Permissions::from_mode(0o4755)).expect("its mode");
    let step = format!("{} --reuid 0 --regid 0 --clear-groups bash -c \"trap '' TERM; touch became; sleep 600; :\"", become_root.display());
    host.write("script.opl", format!(": {}\n@timeout(1s) {{ {step} }}\n", mark.0));
    // What a watcher that was killed in the middle left behind.
    let stale = group.0.join("opal-4194305");
    std::fs::create_dir(&stale).expect("a group");
    give_to(host.path(), NOBODY);
    let enter =
        format!("echo $$ >{}/cgroup.procs && exec setpriv --reuid {NOBODY} --regid {NOBODY} --clear-groups \"$@\"", group.0.display());
    let run = std::process::Command::new("bash")
        .args(["-c", &enter, "enter"])
        .arg(&program)
        .args(["--record", "none", "./script.opl"])
        .current_dir(host.work())
        .envs([("HOME", host.path().as_os_str()), ("OPAL_TEST_MARK", mark.0.as_ref())])
        .env_remove("XDG_CONFIG_HOME")
        .env_remove("XDG_STATE_HOME")
        .env_remove("XDG_RUNTIME_DIR")
        .stdin(Stdio::null())
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&run.stderr);
    assert_eq!(run.status.code(), Some(1), "{said}");
    assert!(host.work().join("became").exists(), "{said}");
    assert!(!said.contains("cannot be ended"), "{said}");
    assert_eq!(processes_marked(&mark.0), [0; 0], "{said}");
    assert_eq!(group.groups_inside(), 0, "directories of groups stay");
}

#[test]
fn a_step_that_kills_or_stops_its_watcher_takes_nothing_along_and_holds_up_nobody() {
    for (signal, code, said) in [("KILL", 1, "the watcher of this step is gone"), ("STOP", 1, "not done after 1s")] {
        let mut host = Host::new();
        let mark = Marked(marker());
        host.set("OPAL_TEST_MARK", &mark.0);
        let shapes: String = SHAPES.iter().map(|shape| format!("{}\n", shape.1)).collect();
        host.write("shapes.sh", format!("{shapes}touch started; kill -{signal} $PPID; sleep 600; :\n"));
        let branch = "try {\ntouch other; sleep 2; echo lived\n} finally { touch cleaned }";
        host.write(
            "script.opl",
            format!(": {}\n@parallel(max_concurrency=2) {{\n@timeout(1s) {{ bash -c '. ./shapes.sh' }}\n{branch}\n}}\n", mark.0),
        );
        let run = host.command("opal", ["--record", "none", "./script.opl"]).stdin(Stdio::null()).output().expect("it runs");
        let err = String::from_utf8_lossy(&run.stderr);
        assert_eq!(run.status.code(), Some(code), "{signal}: {err}");
        assert!(err.contains(said), "{signal}: {err}");
        assert!(host.work().join("started").exists() && host.work().join("cleaned").exists(), "{signal}: {err}");
        // Another lane's steps are nobody's orphans.
        assert!(run.stdout.ends_with(b"lived\n"), "{signal}: {err}");
        assert_eq!(processes_marked(&mark.0), [0; 0], "{signal}: {err}");
    }
}
