//! Where Opal's files are on a host.
//!
//! [`HostPaths`] is filled once from the real environment. The system's directories are fixed there: no variable
//! moves `/etc/opal`, so that a caller of a tool that runs as root cannot bring their own policy. Tests fill it themselves.
//!
//! Read for: who is trusted, and what policy allows.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use jiff::tz::TimeZone;
use nix::errno::Errno;
use nix::unistd::{Uid, User, geteuid};
use opal_format::hash::Digest;

use super::guard::{Caller, Invoker};
use super::safe_path::{PathCause, SafeDir, SafePathError, forbid};

/// Upper bound for policy and trust files, in bytes.
pub const TRUST_FILE_SIZE_MAX: u64 = 1 << 20;

const ETC: &str = "/etc";
const RUN: &str = "/run";
const VAR_LIB: &str = "/var/lib";
const NAME: &str = "opal";

/// The directories that names are resolved in, and who is asking.
#[derive(Debug, Clone)]
pub struct HostPaths {
    /// `/etc`.
    pub etc: PathBuf,
    /// `/run`.
    pub run: PathBuf,
    /// `/var/lib`.
    pub var_lib: PathBuf,
    /// Who must own what is below them: root.
    pub system_owner: Uid,
    /// `$HOME`.
    pub home: Option<PathBuf>,
    /// `$XDG_CONFIG_HOME`.
    pub xdg_config_home: Option<PathBuf>,
    /// `$XDG_STATE_HOME`.
    pub xdg_state_home: Option<PathBuf>,
    /// `$XDG_RUNTIME_DIR`.
    pub xdg_runtime_dir: Option<PathBuf>,
    /// The effective user.
    pub euid: Uid,
}

impl HostPaths {
    /// Reads the process's environment. A variable that is set but empty counts as unset.
    #[must_use]
    pub fn from_environment() -> Self {
        let path = |name: &str| non_empty(std::env::var_os(name)).map(PathBuf::from);
        Self {
            etc: PathBuf::from(ETC),
            run: PathBuf::from(RUN),
            var_lib: PathBuf::from(VAR_LIB),
            system_owner: Uid::from_raw(0),
            home: path("HOME"),
            xdg_config_home: path("XDG_CONFIG_HOME"),
            xdg_state_home: path("XDG_STATE_HOME"),
            xdg_runtime_dir: path("XDG_RUNTIME_DIR"),
            euid: geteuid(),
        }
    }

    /// The same, where whoever called is somebody else: what they say of places does not move the records of this account. They are in `/var/lib/opal`
    /// for root, else below the home directory that the account database knows.
    #[must_use]
    pub fn for_caller(mut self, caller: &Caller) -> Self {
        if caller.invoker() != Invoker::Same {
            let home = || User::from_uid(self.euid).ok().flatten().map(|user| user.dir).filter(|home| home.is_dir());
            let state = if self.is_system() { Some(self.var_lib.clone()) } else { home().map(|home| home.join(".local/state")) };
            self.xdg_state_home = state.or(self.xdg_state_home);
        }
        self
    }

    /// `/etc/opal`, if it is there.
    ///
    /// # Errors
    /// A [`SafePathError`] if it or a parent is not root's alone to write to.
    pub fn etc_dir(&self) -> Result<Option<SafeDir>, SafePathError> {
        SafeDir::open(&self.etc.join(NAME), self.system_owner)
    }

    /// Reads a file of `/etc/opal`; `None` if it is not there.
    ///
    /// # Errors
    /// A [`SafePathError`] if the file or a directory above it is not root's alone to write to.
    pub fn read_etc(&self, name: &str) -> Result<Option<Vec<u8>>, SafePathError> {
        match self.etc_dir()? {
            Some(dir) => dir.read_file(name, forbid::WRITING, TRUST_FILE_SIZE_MAX),
            None => Ok(None),
        }
    }

    /// The directory with the identity and the user's `allowed_signers`, if it is there.
    ///
    /// # Errors
    /// A [`SafePathError`] if it or a parent is not safe.
    pub fn config_dir(&self) -> Result<Option<SafeDir>, SafePathError> {
        self.find(self.xdg_config_home.as_deref(), &[".config"])
    }

    /// As [`HostPaths::config_dir`], but makes what is missing below the home directory.
    ///
    /// # Errors
    /// A [`SafePathError`] if it is not safe, cannot be made, or no variable says where it is.
    pub fn make_config_dir(&self) -> Result<SafeDir, SafePathError> {
        self.make(self.xdg_config_home.as_deref(), &[".config"], "XDG_CONFIG_HOME")
    }

    /// The directory with run records and a user's ledger, if it is there.
    ///
    /// # Errors
    /// A [`SafePathError`] if it or a parent is not safe.
    pub fn state_dir(&self) -> Result<Option<SafeDir>, SafePathError> {
        self.find(self.xdg_state_home.as_deref(), &[".local", "state"])
    }

    /// As [`HostPaths::state_dir`], but makes what is missing below the home directory.
    ///
    /// # Errors
    /// A [`SafePathError`] if it is not safe, cannot be made, or no variable says where it is.
    pub fn make_state_dir(&self) -> Result<SafeDir, SafePathError> {
        self.make(self.xdg_state_home.as_deref(), &[".local", "state"], "XDG_STATE_HOME")
    }

    /// The directory for locks: `/run/opal` for root, `$XDG_RUNTIME_DIR/opal` if that is there, else in the state directory.
    ///
    /// # Errors
    /// A [`SafePathError`] if it is not safe or cannot be made.
    pub fn make_lock_dir(&self) -> Result<SafeDir, SafePathError> {
        let base = if self.is_system() { Some(&self.run) } else { self.xdg_runtime_dir.as_ref() };
        match base.map(|base| SafeDir::open(base, self.euid)).transpose()?.flatten() {
            Some(base) => base.child_or_create(NAME),
            None => self.make_state_dir()?.child_or_create("locks"),
        }
    }

    /// The directory of the ledger of single-use contracts: in `/var/lib/opal` for root, else in the state directory.
    ///
    /// # Errors
    /// A [`SafePathError`] if it is not safe or cannot be made.
    pub fn make_ledger_dir(&self) -> Result<SafeDir, SafePathError> {
        self.make_memory_dir()?.child_or_create("ledger")
    }

    /// The directory of what is remembered of trust files, if it is there: `/var/lib/opal` for root, else the state directory.
    ///
    /// # Errors
    /// A [`SafePathError`] if it is not safe.
    pub fn memory_dir(&self) -> Result<Option<SafeDir>, SafePathError> {
        if self.is_system() { SafeDir::open(&self.var_lib.join(NAME), self.euid) } else { self.state_dir() }
    }

    /// As [`HostPaths::memory_dir`], but makes what is missing.
    ///
    /// # Errors
    /// A [`SafePathError`] if it is not safe or cannot be made.
    pub fn make_memory_dir(&self) -> Result<SafeDir, SafePathError> {
        if self.is_system() { existing(&self.var_lib, self.euid)?.child_or_create(NAME) } else { self.make_state_dir() }
    }

    /// Whether the effective user owns the system's files.
    #[must_use]
    pub fn is_system(&self) -> bool {
        self.euid == self.system_owner
    }

    /// The host's time zone, which times without a zone in trust files are in: `/etc/localtime`, else UTC. `TZ`
    /// does not count, since it belongs to the caller.
    #[must_use]
    pub fn time_zone(&self) -> TimeZone {
        std::fs::read(self.etc.join("localtime")).ok().and_then(|bytes| TimeZone::tzif("localtime", &bytes).ok()).unwrap_or(TimeZone::UTC)
    }

    /// Our directory in the one that a variable names, if it is there. The named one must be safe itself: the exception for sticky
    /// directories is for those above it.
    fn find(&self, xdg: Option<&Path>, below_home: &[&str]) -> Result<Option<SafeDir>, SafePathError> {
        let (base, below) = match (xdg, self.home.as_deref()) {
            (Some(base), _) => (base, &[][..]),
            (None, Some(home)) => (home, below_home),
            (None, None) => return Ok(None),
        };
        let mut dir = SafeDir::open(base, self.euid)?;
        for name in below.iter().chain([&NAME]) {
            dir = dir.map(|dir| dir.child(name)).transpose()?.flatten();
        }
        Ok(dir)
    }

    /// As [`HostPaths::find`], but makes what is missing.
    fn make(&self, xdg: Option<&Path>, below_home: &[&str], variable: &'static str) -> Result<SafeDir, SafePathError> {
        if let Some(base) = xdg {
            return SafeDir::open_or_create(base, self.euid)?.child_or_create(NAME);
        }
        let home = self.home.as_deref().ok_or(PathCause::Unset.at(variable))?;
        let mut dir = existing(home, self.euid)?;
        for name in below_home {
            dir = dir.child_or_create(name)?;
        }
        dir.child_or_create(NAME)
    }
}

/// Opens a directory that is nobody's to make, such as a home directory.
fn existing(path: &Path, owner: Uid) -> Result<SafeDir, SafePathError> {
    SafeDir::open(path, owner)?.ok_or_else(|| PathCause::Read(Errno::ENOENT).at(path))
}

/// A file name for what belongs to a contract or plan.
pub(super) fn file_name(hash: &Digest) -> String {
    hash.to_string().replace(':', "-")
}

fn non_empty(value: Option<OsString>) -> Option<OsString> {
    value.filter(|text| !text.is_empty())
}

/// A host made of temporary directories.
#[cfg(test)]
pub(crate) mod fixture {
    use super::*;

    /// Paths inside a temporary directory, and the directory, which goes when it is dropped.
    pub(crate) fn host() -> (HostPaths, tempfile::TempDir) {
        let temp = tempfile::tempdir().expect("temp");
        let at = |name: &str| {
            let path = temp.path().join(name);
            std::fs::create_dir(&path).expect("mkdir");
            path
        };
        let paths = HostPaths {
            etc: at("etc"),
            run: at("run"),
            var_lib: at("lib"),
            system_owner: geteuid(),
            home: Some(at("home")),
            xdg_config_home: None,
            xdg_state_home: None,
            xdg_runtime_dir: None,
            euid: geteuid(),
        };
        (paths, temp)
    }

    /// Puts a file into `/etc/opal` of that host.
    pub(crate) fn etc_file(paths: &HostPaths, name: &str, text: &str) {
        let dir = SafeDir::open_or_create(&paths.etc.join(NAME), paths.system_owner).expect("etc");
        dir.write_file(name, text.as_bytes(), 0o644, true).expect("written");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn directories_come_from_xdg_else_from_home() {
        let (mut paths, temp) = fixture::host();
        assert!(paths.config_dir().expect("safe").is_none());
        assert_eq!(paths.make_config_dir().expect("made").path(), temp.path().join("home/.config/opal"));
        assert_eq!(paths.make_state_dir().expect("made").path(), temp.path().join("home/.local/state/opal"));
        assert!(paths.config_dir().expect("safe").is_some());
        paths.xdg_config_home = Some(temp.path().join("xdg"));
        assert_eq!(paths.make_config_dir().expect("made").path(), temp.path().join("xdg/opal"));
    }

    #[test]
    fn a_sticky_directory_is_no_place_of_its_own() {
        use opal_core::failure::Failure as _;
        use std::os::unix::fs::PermissionsExt as _;
        let (mut paths, temp) = fixture::host();
        let shared = temp.path().join("shared");
        std::fs::create_dir(&shared).expect("a directory");
        std::fs::set_permissions(&shared, std::fs::Permissions::from_mode(0o1777)).expect("its mode");
        let refused = PathCause::Mode { mode: 0o1777, forbidden: 0o022 }.at(shared.clone());
        paths.home = Some(shared.clone());
        for of_home in [true, false] {
            if !of_home {
                (paths.xdg_config_home, paths.xdg_state_home) = (Some(shared.clone()), Some(shared.clone()));
            }
            assert_eq!(paths.config_dir().expect_err("refused"), refused);
            assert!(!refused.report().help.contains("chmod"), "who shares it needs it as it is");
            assert_eq!(paths.state_dir().expect_err("refused"), refused);
            assert_eq!(paths.make_config_dir().expect_err("refused"), refused);
            assert_eq!(paths.make_state_dir().expect_err("refused"), refused);
        }
        assert!(std::fs::read_dir(&shared).expect("there").next().is_none(), "nothing is made");
    }

    #[test]
    fn without_home_nothing_is_found_and_nothing_is_made() {
        let (mut paths, temp) = fixture::host();
        paths.home = None;
        assert!(paths.config_dir().expect("none").is_none());
        assert_eq!(paths.make_state_dir().expect_err("unset"), PathCause::Unset.at("XDG_STATE_HOME"));
        paths.home = Some(temp.path().join("nobody"));
        assert!(paths.make_state_dir().is_err());
        assert!(!temp.path().join("nobody").exists());
    }

    #[test]
    fn locks_and_ledger_have_places_of_their_own_for_root_and_for_users() {
        let (mut paths, temp) = fixture::host();
        assert_eq!(paths.make_lock_dir().expect("made").path(), temp.path().join("run/opal"));
        assert_eq!(paths.make_ledger_dir().expect("made").path(), temp.path().join("lib/opal/ledger"));
        paths.system_owner = Uid::from_raw(paths.euid.as_raw().wrapping_add(1));
        paths.xdg_runtime_dir = Some(temp.path().join("gone"));
        assert_eq!(paths.make_lock_dir().expect("made").path(), temp.path().join("home/.local/state/opal/locks"));
        let runtime = temp.path().join("user");
        std::fs::create_dir(&runtime).expect("mkdir");
        paths.xdg_runtime_dir = Some(runtime.clone());
        assert_eq!(paths.make_lock_dir().expect("made").path(), runtime.join("opal"));
        assert_eq!(paths.make_ledger_dir().expect("made").path(), temp.path().join("home/.local/state/opal/ledger"));
    }

    #[test]
    fn a_file_of_etc_that_others_may_write_to_is_refused() {
        let (paths, temp) = fixture::host();
        assert!(paths.read_etc("policy.toml").expect("none").is_none());
        fixture::etc_file(&paths, "policy.toml", "x");
        assert_eq!(paths.read_etc("policy.toml").expect("safe").as_deref(), Some(&b"x"[..]));
        let file = temp.path().join("etc/opal/policy.toml");
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o664)).expect("chmod");
        let refused = paths.read_etc("policy.toml").expect_err("unsafe");
        assert!(matches!(refused.cause, PathCause::Mode { .. }));
    }
}
