//! Killing by control group, beside signals, where this user may make groups (cgroup v2, Linux 5.14).
//!
//! A group is made only when something has to be killed, because entering one costs more than starting a step. What has entered
//! cannot fork its way past a walk, and dies even if it is another user's by now.
//!
//! Read for: nothing outlives its step.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use nix::unistd::{AccessFlags, access};

/// Where version 2 is mounted, alone or beside version 1.
const ROOTS: [&str; 2] = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];

/// The name of a group, before the pid of the watcher whose it is.
const PREFIX: &str = "opal-";

/// A group to be killed. Dropping it removes its directory.
pub(crate) struct Group(PathBuf);

impl Group {
    /// Makes one below the group of this process; `None` where that cannot be.
    pub(crate) fn make() -> Option<Self> {
        let parent = own()?;
        sweep(&parent);
        let path = parent.join(format!("{PREFIX}{}", std::process::id()));
        fs::create_dir(&path).ok()?;
        let group = Self(path);
        group.0.join("cgroup.kill").exists().then_some(group)
    }

    /// Moves processes into it, as far as they let themselves be moved.
    pub(crate) fn take(&self, pids: &[i32]) {
        for pid in pids {
            let _ = self.put("cgroup.procs", &pid.to_string());
        }
    }

    /// Kills what is in it.
    pub(crate) fn kill(&self) {
        let _ = self.put("cgroup.kill", "1");
    }

    fn put(&self, file: &str, text: &str) -> io::Result<()> {
        fs::OpenOptions::new().write(true).open(self.0.join(file))?.write_all(text.as_bytes())
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

/// Whether a group can be made and killed here, as far as can be told without making one.
pub(crate) fn available() -> bool {
    // The root has no `cgroup.kill` of its own.
    own().is_some_and(|own| {
        access(&own, AccessFlags::W_OK).is_ok() && (own.join("cgroup.kill").exists() || ROOTS.iter().any(|root| own == Path::new(root)))
    })
}

/// The directory of the group of this process.
fn own() -> Option<PathBuf> {
    let text = fs::read_to_string("/proc/self/cgroup").ok()?;
    let own = text.lines().find_map(|line| line.strip_prefix("0::/")).filter(|own| !own.split('/').any(|name| name == ".."))?;
    // Only version 2 has this file. Not `join`, which would add a slash after the root.
    let path = |root: &&str| if own.is_empty() { PathBuf::from(root) } else { Path::new(root).join(own) };
    ROOTS.iter().map(path).find(|path| path.join("cgroup.subtree_control").exists())
}

/// Removes groups whose watchers were killed before they could. One that holds processes stays.
fn sweep(parent: &Path) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let gone = |pid: &str| pid.parse::<u32>().is_ok_and(|pid| !Path::new(&format!("/proc/{pid}")).exists());
        if entry.file_name().to_str().and_then(|name| name.strip_prefix(PREFIX)).is_some_and(gone) {
            let _ = fs::remove_dir(entry.path());
        }
    }
}
