//! What the process tests share.
#![expect(unreachable_pub, reason = "a module of a test program has no other way to share")]

pub mod helper;
pub mod marker;
pub mod plan;

use std::ffi::CString;
use std::fs::File;
use std::io::Read as _;
use std::os::fd::AsRawFd as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub use marker::Marker;
use nix::spawn::{PosixSpawnAttr, PosixSpawnFileActions, PosixSpawnFlags, posix_spawn};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;
use opal_core::agreed::{Direct, Runnable};
use opal_core::plan::Plan;
use opal_exec::recorder::{NoRecord, Recorder};
use opal_exec::run::{RunOptions, RunReport, Start};
use opal_exec::supervise::lane::LaneOptions;
use opal_exec::supervise::signals::Signals;
use plan::Tree;

/// How a test runs its plan.
pub struct Setup {
    pub environment: Vec<CString>,
    pub timeout: Option<Duration>,
    pub json: bool,
    pub close_stdout: bool,
    pub signals: Arc<Signals>,
    pub files: [File; 2],
}

impl Setup {
    pub fn new() -> Self {
        let environment = ["PATH", "HOME"]
            .into_iter()
            .filter_map(|name| Some(CString::new(format!("{name}={}", std::env::var(name).ok()?)).unwrap()))
            .collect();
        Self {
            environment,
            timeout: None,
            json: false,
            close_stdout: false,
            signals: Arc::new(Signals::install().unwrap()),
            files: [tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap()],
        }
    }

    pub fn options(&self) -> RunOptions<'static> {
        let stdout = if self.close_stdout {
            let (_, write) = nix::unistd::pipe().unwrap();
            File::from(write)
        } else {
            self.files[0].try_clone().unwrap()
        };
        RunOptions {
            shell: "/bin/bash".into(),
            umask: 0o022,
            base_dir: "/".into(),
            environment: self.environment.clone(),
            grace: Duration::from_millis(200),
            timeout: self.timeout,
            max_parallel: None,
            sandbox: opal_core::sandbox::Sandbox::default(),
            keys: opal_exec::confine::KeyFiles::default(),
            terminal: None,
            lanes: LaneOptions::default(),
            warm: Mutex::default(),
            stdout,
            stderr: self.files[1].try_clone().unwrap(),
            json: self.json,
            progress: None,
            secrets: Arc::default(),
            signals: Arc::clone(&self.signals),
            patience: Arc::default(),
            start: Start::default(),
        }
    }
}

/// What came of a run.
#[derive(Debug)]
pub struct Ran {
    pub report: RunReport,
    pub stdout: String,
    pub stderr: String,
}

/// As the policy of a host without a policy file lets it run.
pub fn direct(plan: Plan) -> Direct {
    Direct::new(plan, opal_trust::policy::Policy::default().check_direct().unwrap())
}

pub fn run(tree: Vec<Tree>) -> Ran {
    run_with(plan::plan_of(tree, &[]), |_| {}, &mut NoRecord)
}

pub fn run_with(plan: Plan, change: impl FnOnce(&mut Setup), recorder: &mut dyn Recorder) -> Ran {
    let mut setup = Setup::new();
    change(&mut setup);
    let report = opal_exec::run::run(Runnable::Direct(&direct(plan)), &setup.options(), recorder).unwrap();
    let [stdout, stderr] = setup.files.each_mut().map(|file| {
        let mut bytes = Vec::new();
        std::io::Seek::rewind(file).unwrap();
        file.read_to_end(&mut bytes).unwrap();
        String::from_utf8(bytes).unwrap()
    });
    Ran { report, stdout, stderr }
}

/// Set in the environment of the test program when it is to play the VM: what its step runs.
pub const PLAY: &str = "OPAL_TEST_PLAY_VM";
/// And the marker for its steps' environment.
pub const MARK: &str = "OPAL_TEST_STEP_MARK";

/// Runs a plan as the VM's `main` does, up to the end of the process.
pub fn play(plan: Plan) {
    let mut setup = Setup::new();
    setup.environment.push(CString::new(std::env::var(MARK).unwrap()).unwrap());
    let mut options = setup.options();
    let own = |fd: std::os::fd::BorrowedFd<'_>| File::from(fd.try_clone_to_owned().unwrap());
    options.stdout = own(std::os::fd::AsFd::as_fd(&std::io::stdout()));
    options.stderr = own(std::os::fd::AsFd::as_fd(&std::io::stdout()));
    let report = opal_exec::run::run(Runnable::Direct(&direct(plan)), &options, &mut NoRecord).unwrap();
    println!("skipped {:?}", report.cleanup_skipped);
    setup.signals.end_by_first();
}

/// The VM of a test, as a process.
pub struct Vm {
    pid: Pid,
    stdout: File,
}

impl Vm {
    /// Starts the test program as a VM whose step runs `script`. The test harness runs tests in threads of their own; its
    /// first thread, too, must leave the signals to [`Signals`], so they are blocked from the start.
    pub fn start(script: &str, marker: &Marker) -> Self {
        let (read, write) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).unwrap();
        let mut actions = PosixSpawnFileActions::init().unwrap();
        actions.add_dup2(write.as_raw_fd(), 1).unwrap();
        let mut attributes = PosixSpawnAttr::init().unwrap();
        attributes.set_flags(PosixSpawnFlags::POSIX_SPAWN_SETSIGMASK).unwrap();
        let blocked = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP];
        attributes.set_sigmask(&SigSet::from_iter(blocked)).unwrap();
        let own = std::env::current_exe().unwrap();
        let arguments = [c"run", c"--exact", c"play_the_vm", c"--nocapture"];
        let variable = |name: &str, value: &str| CString::new(format!("{name}={value}")).unwrap();
        let environment = [variable("PATH", &std::env::var("PATH").unwrap()), variable(PLAY, script), variable(MARK, &marker.0)];
        let pid = posix_spawn(&own, &actions, &attributes, &arguments, &environment).unwrap();
        Self { pid, stdout: read.into() }
    }

    pub fn send(&self, signal: Signal) {
        kill(self.pid, signal).unwrap();
    }

    /// The signal that ended it, and what it said.
    pub fn ended(mut self) -> (Option<Signal>, String) {
        let mut said = String::new();
        self.stdout.read_to_string(&mut said).unwrap();
        match waitpid(self.pid, None).unwrap() {
            WaitStatus::Signaled(_, signal, _) => (Some(signal), said),
            _ => (None, said),
        }
    }
}
