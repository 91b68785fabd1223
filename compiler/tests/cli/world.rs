//! Runs the real `opalc` in a world of its own: temporary home, fixed environment.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

/// A home and a working directory.
pub(super) struct World {
    root: TempDir,
}

/// What a command did.
pub(super) struct Done {
    pub(super) status: i32,
    pub(super) stdout: Vec<u8>,
    pub(super) stderr: String,
}

impl Done {
    fn new(output: Output) -> Self {
        let status = output.status.code().expect("no signal");
        Self { status, stdout: output.stdout, stderr: String::from_utf8(output.stderr).expect("UTF-8") }
    }

    /// Standard output as text.
    pub(super) fn out(&self) -> String {
        String::from_utf8(self.stdout.clone()).expect("UTF-8")
    }

    /// Insists on success, and gives standard output.
    pub(super) fn good(self) -> String {
        assert_eq!(self.status, 0, "{}", self.stderr);
        self.out()
    }

    /// Insists on a refusal with this status and code and nothing on standard output, and gives what it says.
    pub(super) fn refused(self, status: i32, code: &str) -> String {
        assert_eq!(self.status, status, "{}", self.stderr);
        assert!(self.stderr.contains(&format!("error[{code}]: ")), "{}", self.stderr);
        assert!(self.stdout.is_empty());
        self.stderr
    }
}

impl World {
    pub(super) fn new() -> Self {
        let root = tempfile::tempdir().expect("temporary directory");
        fs::create_dir(root.path().join("home")).expect("home");
        fs::create_dir(root.path().join("work")).expect("work");
        Self { root }
    }

    /// A world with one source.
    pub(super) fn with(name: &str, source: &str) -> Self {
        let world = Self::new();
        world.write(name, source);
        world
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.root.path().join("work").join(name)
    }

    pub(super) fn home(&self) -> PathBuf {
        self.root.path().join("home")
    }

    pub(super) fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        fs::write(self.path(name), text).expect("file");
    }

    pub(super) fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).expect("file")
    }

    /// The names in the working directory, sorted.
    pub(super) fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.root.path().join("work")).expect("directory");
        let mut names: Vec<String> = entries.map(|entry| entry.expect("entry").file_name().into_string().expect("UTF-8")).collect();
        names.sort();
        names
    }

    /// The command, not yet started. Nothing of the test's own environment but PATH is in it.
    pub(super) fn command(&self, words: &[impl AsRef<OsStr>]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_opalc"));
        command.args(words).current_dir(self.root.path().join("work")).env_clear();
        command.env("PATH", std::env::var_os("PATH").expect("PATH")).env("HOME", self.home());
        command.stdin(Stdio::null());
        command
    }

    pub(super) fn run(&self, words: &[&str]) -> Done {
        Done::new(self.command(words).output().expect("starts"))
    }

    pub(super) fn run_with(&self, env: &[(&str, &str)], words: &[&str]) -> Done {
        Done::new(self.command(words).envs(env.iter().copied()).output().expect("starts"))
    }

    /// Runs a line of bash in which `$opalc` is the command.
    pub(super) fn bash(&self, line: &str) -> Done {
        let mut command = Command::new("bash");
        command.args(["-c", line]).current_dir(self.root.path().join("work")).env_clear();
        command.env("PATH", std::env::var_os("PATH").expect("PATH")).env("HOME", self.home());
        command.env("opalc", env!("CARGO_BIN_EXE_opalc")).stdin(Stdio::null());
        Done::new(command.output().expect("bash starts"))
    }
}

/// Whether `needle` stands anywhere in `haystack`.
pub(super) fn holds(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

/// Every regular file below `directory`.
pub(super) fn files_below(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![directory.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory).expect("directory") {
            let path = entry.expect("entry").path();
            if path.is_dir() { open.push(path) } else { found.push(path) }
        }
    }
    found
}
