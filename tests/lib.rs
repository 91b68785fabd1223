//! What workspace-level tests share: the real binaries, and hosts to run them on; and the bodies of the fuzz targets.

pub mod events;
pub mod fuzz;
pub mod guarded;
pub mod proc;
pub mod static_program;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

/// The directory of the built binaries. Builds them if the test run has not.
///
/// # Panics
/// Where they cannot be built.
pub fn binaries() -> &'static Path {
    static DIRECTORY: OnceLock<PathBuf> = OnceLock::new();
    DIRECTORY.get_or_init(|| {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut build = Command::new(cargo);
        build.args(["build", "--quiet", "--locked", "--workspace", "--bins"]).current_dir(root());
        if !cfg!(debug_assertions) {
            build.arg("--release");
        }
        assert!(build.status().expect("cargo runs").success(), "the binaries build");
        let test = std::env::current_exe().expect("the test has a path");
        test.ancestors().nth(2).expect("tests are below the target directory").to_owned()
    })
}

/// The root of the workspace.
///
/// # Panics
/// Never: the crate is in the workspace.
#[must_use]
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate is in the workspace")
}

/// A host of its own: a temporary directory with home, configuration, state and work directories, and an environment that is nobody else's.
pub struct Host {
    directory: tempfile::TempDir,
    env: BTreeMap<String, String>,
}

impl Default for Host {
    fn default() -> Self {
        Self::new()
    }
}

impl Host {
    /// A fresh host, whose `PATH` holds the stand-ins of `examples/` before the system's programs.
    ///
    /// # Panics
    /// Where the file system refuses.
    #[must_use]
    pub fn new() -> Self {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = tempfile::tempdir().expect("a temporary directory");
        let mut env = BTreeMap::new();
        for (name, folder) in
            [("HOME", "home"), ("XDG_CONFIG_HOME", "config"), ("XDG_STATE_HOME", "state"), ("XDG_RUNTIME_DIR", "run"), ("", "work")]
        {
            let path = directory.path().join(folder);
            std::fs::create_dir(&path).expect("a directory");
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).expect("its mode");
            if !name.is_empty() {
                env.insert(name.to_owned(), path.display().to_string());
            }
        }
        let path = format!("{}:{}", root().join("examples/stand-ins").display(), std::env::var("PATH").unwrap_or_default());
        env.insert("PATH".to_owned(), path);
        env.insert("RECORD_TO".to_owned(), directory.path().join("calls").display().to_string());
        Self { directory, env }
    }

    /// Sets an environment variable.
    pub fn set(&mut self, name: &str, value: &str) -> &mut Self {
        self.env.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Unsets an environment variable.
    pub fn unset(&mut self, name: &str) -> &mut Self {
        self.env.remove(name);
        self
    }

    /// The root of the host.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// The directory that commands start in.
    #[must_use]
    pub fn work(&self) -> PathBuf {
        self.path().join("work")
    }

    /// Writes a file in the work directory.
    ///
    /// # Panics
    /// Where the file system refuses.
    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.work().join(name);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).expect("a directory");
        }
        std::fs::write(&path, text).expect("a file");
        path
    }

    /// Reads a file in the work directory as text; empty where it is not there.
    #[must_use]
    pub fn read(&self, name: &str) -> String {
        std::fs::read(self.work().join(name)).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// How the stand-ins were called, a call a line.
    #[must_use]
    pub fn calls(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.path().join("calls")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// A command of ours on this host, not started yet.
    pub fn command(&self, program: &str, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
        let mut command = Command::new(binaries().join(program));
        command.args(arguments).current_dir(self.work()).env_clear().envs(&self.env).stdin(Stdio::null());
        command
    }

    /// Runs `opalc` to its end.
    pub fn opalc(&self, arguments: &[&str]) -> Ended {
        self.run("opalc", arguments)
    }

    /// Runs `opal-vm` to its end.
    pub fn vm(&self, arguments: &[&str]) -> Ended {
        self.run("opal-vm", arguments)
    }

    /// Runs a program of ours to its end.
    ///
    /// # Panics
    /// Where it cannot be started.
    pub fn run(&self, program: &str, arguments: &[&str]) -> Ended {
        Ended::from(self.command(program, arguments).output().expect("the program starts"))
    }

    /// Makes a contract `prod.plan` from a source text and insists that it works. `SITE` in the text becomes a word that no other host has, so
    /// that runs of one script in several tests are not the same work.
    ///
    /// # Panics
    /// Where it does not.
    pub fn contract(&self, source: &str, arguments: &[&str]) -> Ended {
        self.write("deploy.opl", self.named(source));
        let mut all = vec!["deploy.opl"];
        all.extend_from_slice(arguments);
        all.extend_from_slice(&["--resolve", "-o", "prod.plan"]);
        let ended = self.opalc(&all);
        ended.expect(0);
        ended
    }

    /// A text with `SITE` replaced by this host's own word.
    ///
    /// # Panics
    /// Never: a temporary directory has a name.
    #[must_use]
    pub fn named(&self, text: &str) -> String {
        let name = self.path().file_name().and_then(OsStr::to_str).expect("a name");
        text.replace("SITE", &name.replace('.', ""))
    }

    /// Every regular file below the host's root, with its bytes.
    ///
    /// # Panics
    /// Where the file system refuses.
    #[must_use]
    pub fn files(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let mut open = vec![self.path().to_owned()];
        let mut found = Vec::new();
        while let Some(directory) = open.pop() {
            for entry in std::fs::read_dir(&directory).expect("a directory") {
                let path = entry.expect("an entry").path();
                if path.is_dir() {
                    open.push(path);
                } else if path.is_file() {
                    let bytes = std::fs::read(&path).expect("a file");
                    found.push((path, bytes));
                }
            }
        }
        found
    }
}

/// How a program ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit status; 128 plus the signal where one ended it.
    pub status: i32,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        use std::os::unix::process::ExitStatusExt as _;
        let status = output.status.code().or_else(|| output.status.signal().map(|signal| 128 + signal)).unwrap_or(-1);
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Self { status, stdout: text(output.stdout), stderr: text(output.stderr) }
    }
}

impl Ended {
    /// Insists on an exit status.
    ///
    /// # Panics
    /// Where it is another one; shows what the program said.
    #[track_caller]
    pub fn expect(&self, status: i32) -> &Self {
        assert_eq!(self.status, status, "\n--- stdout\n{}\n--- stderr\n{}", self.stdout, self.stderr);
        self
    }

    /// Insists that standard error holds a text.
    ///
    /// # Panics
    /// Where it does not; shows what the program said.
    #[track_caller]
    pub fn says(&self, text: &str) -> &Self {
        assert!(self.stderr.contains(text), "no `{text}` in\n--- stdout\n{}\n--- stderr\n{}", self.stdout, self.stderr);
        self
    }
}

/// Processes whose environment holds this text. Survivors are found by a marker of their own, never by name.
///
/// # Panics
/// Where `/proc` cannot be read.
#[must_use]
pub fn processes_marked(marker: &str) -> Vec<i32> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").expect("/proc").flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let zombie = std::fs::read_to_string(entry.path().join("stat")).is_ok_and(|stat| stat.contains(") Z "));
        let marked = std::fs::read(entry.path().join("environ"))
            .is_ok_and(|bytes| bytes.windows(marker.len()).any(|window| window == marker.as_bytes()));
        if marked && !zombie {
            found.push(pid);
        }
    }
    found
}
