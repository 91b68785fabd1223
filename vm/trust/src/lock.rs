//! One run of the same work at a time on this host.
//!
//! The lock is `flock` on a file named after `plan_hash`. It belongs to the open file description, not to a process:
//! whoever holds a duplicate of the descriptor holds the lock, so that it lasts until the last watcher is gone, even
//! when the VM was killed. Nothing unlocks it but closing. The file stays until there are many; then old ones go, each by whoever holds its lock,
//! and a lock on a file that is no longer there counts for nothing, so that two runs never hold one lock.
//!
//! Read for: who is trusted, and what policy allows.

use std::fs::{File, TryLockError};
use std::io::Write as _;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use opal_format::hash::Digest;

use super::locations::{HostPaths, file_name};
use super::safe_path::{PathCause, SafePathError, errno_of, read_capped};
use opal_core::code::Code;
use opal_core::failure::{Failure, Report};

/// Bytes that name the holder, padded; the longest ids, pids and times fit.
const HOLDER_SIZE: usize = 127;

const HOLDER_SIZE_MAX: u64 = 4096;
/// Lock files up to which none is removed.
const KEPT: usize = 512;
/// One run in so many looks whether there are more, which takes as long as there are files.
const PRUNED_EVERY: u32 = 64;
/// How long a lock file stays after it was last taken.
const KEPT_FOR: Duration = Duration::from_secs(86_400);

/// Why there is no lock.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another run holds it.
    #[error("the same plan is being run already{}", .holder.as_ref().map(|h| format!(": {h}")).unwrap_or_default())]
    Held {
        /// That run, its process and its start, if they are known yet.
        holder: Option<String>,
    },
    /// The place for locks cannot be used. A `--once` or guarded run stops; another says so and goes on.
    #[error("no lock can be taken: {0}")]
    Unusable(#[from] SafePathError),
}

impl Failure for LockError {
    fn report(&self) -> Report {
        match self {
            Self::Held { .. } => Report::new(Code::LockHeld, "wait until that run and all its processes have ended"),
            Self::Unusable(error) => Report::new(Code::LockUnusable, error.help()),
        }
    }
}

/// A held lock. Dropping it closes this descriptor; the lock lasts as long as a duplicate is open anywhere.
#[derive(Debug)]
pub struct RunLock {
    file: File,
}

impl RunLock {
    /// Takes the lock of `plan` for the run `run_id`, without waiting.
    ///
    /// # Errors
    /// [`LockError::Held`], or [`LockError::Unusable`], on which the caller decides.
    pub fn acquire(paths: &HostPaths, plan: &Digest, run_id: &str, now: Timestamp) -> Result<Self, LockError> {
        let dir = paths.make_lock_dir()?;
        let name = format!("{}.lock", file_name(plan));
        let path = dir.path().join(&name);
        let mut file = dir.open_or_create_file(&name)?;
        match file.try_lock() {
            Ok(()) if is_gone(&file) => return Self::acquire(paths, plan, run_id, now),
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let text = read_capped(&file, &path, HOLDER_SIZE_MAX).unwrap_or_default();
                let holder = String::from_utf8_lossy(&text).trim().to_owned();
                return Err(LockError::Held { holder: Some(holder).filter(|text| !text.is_empty()) });
            }
            Err(TryLockError::Error(error)) => {
                return Err(PathCause::Write(errno_of(&error)).at(path).into());
            }
        }
        // For the message to others only: what the file holds decides nothing. It has one length, so that nothing is left of the last
        // holder and the file need not be truncated, which makes some file systems write it out when it is closed.
        let holder = format!("run {run_id}, pid {}, since {now:.0}", std::process::id());
        file.write_all(format!("{holder:<HOLDER_SIZE$}\n").as_bytes()).map_err(|error| PathCause::Write(errno_of(&error)).at(path))?;
        if std::process::id().is_multiple_of(PRUNED_EVERY) {
            prune(dir.path(), &name);
        }
        Ok(Self { file })
    }
}

/// Whether the file was removed after it was opened.
fn is_gone(file: &File) -> bool {
    file.metadata().is_ok_and(|data| data.nlink() == 0)
}

/// Removes lock files that nobody has taken for long, where there are many. What cannot be removed stays.
fn prune(dir: &Path, mine: &str) {
    let names: Vec<_> = std::fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.file_name()).collect();
    if names.len() <= KEPT {
        return;
    }
    for name in names.iter().filter(|name| *name != mine && name.to_str().is_some_and(|name| name.ends_with(".lock"))) {
        let path = dir.join(name);
        let Ok(file) = File::open(&path) else { continue };
        let old = file.metadata().and_then(|data| data.modified()).ok().and_then(|taken| taken.elapsed().ok()) > Some(KEPT_FOR);
        if old && file.try_lock().is_ok() && !is_gone(&file) {
            let _ = std::fs::remove_file(path);
        }
    }
}

impl AsFd for RunLock {
    /// The descriptor to hand to watchers. It is close-on-exec here.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::super::locations::fixture;
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;
    use std::process::{Command, Stdio};

    fn plan(digit: &str) -> Digest {
        format!("sha256:{}", digit.repeat(64)).parse().expect("hash")
    }

    fn now() -> Timestamp {
        "2026-05-06T07:08:09Z".parse().expect("time")
    }

    #[test]
    fn a_second_run_of_the_same_plan_is_refused_and_told_who_holds_the_lock() {
        let (paths, _temp) = fixture::host();
        let lock = RunLock::acquire(&paths, &plan("a"), "R1", now()).expect("free");
        let refused = RunLock::acquire(&paths, &plan("a"), "R2", now()).expect_err("held");
        let text = refused.to_string();
        assert!(text.contains("run R1, pid ") && text.contains("since 2026-05-06T07:08:09Z"), "{text}");
        assert_eq!(refused.exit(), 75);
        RunLock::acquire(&paths, &plan("b"), "R3", now()).expect("another plan is free");
        drop(lock);
        RunLock::acquire(&paths, &plan("a"), "R4", now()).expect("free again");
    }

    #[test]
    fn the_lock_lasts_as_long_as_a_process_that_was_handed_it() {
        let (paths, _temp) = fixture::host();
        let lock = RunLock::acquire(&paths, &plan("a"), "R1", now()).expect("free");
        let duplicate = lock.as_fd().try_clone_to_owned().expect("dup");
        let mut child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::from(duplicate)).spawn().expect("cat runs");
        drop(lock);
        assert!(matches!(RunLock::acquire(&paths, &plan("a"), "R2", now()), Err(LockError::Held { .. })));
        drop(child.stdin.take());
        child.wait().expect("cat ends");
        RunLock::acquire(&paths, &plan("a"), "R3", now()).expect("free again");
    }

    #[test]
    fn old_lock_files_that_nobody_holds_go_where_there_are_many() {
        let (paths, temp) = fixture::host();
        let dir = temp.path().join("run/opal");
        let held = RunLock::acquire(&paths, &plan("a"), "R1", now()).expect("free");
        drop(RunLock::acquire(&paths, &plan("b"), "R2", now()).expect("free"));
        let old = std::time::SystemTime::now() - KEPT_FOR * 2;
        let names: Vec<_> = std::fs::read_dir(&dir).expect("locks").flatten().map(|entry| entry.path()).collect();
        for path in &names {
            File::options().write(true).open(path).and_then(|file| file.set_modified(old)).expect("aged");
        }
        let other = dir.join("other");
        File::create(&other).and_then(|file| file.set_modified(old)).expect("made");
        prune(&dir, "");
        assert_eq!(names.iter().filter(|path| path.exists()).count(), 2, "few are left alone");
        for n in 0..KEPT {
            File::create(dir.join(format!("young{n}.lock"))).expect("made");
        }
        prune(&dir, "");
        assert_eq!(names.iter().filter(|path| path.exists()).count(), 1, "the one that is held");
        assert!(other.exists() && dir.join("young0.lock").exists());
        assert!(matches!(RunLock::acquire(&paths, &plan("a"), "R5", now()), Err(LockError::Held { .. })));
        drop(held);
    }

    #[test]
    fn a_lock_on_a_file_that_was_removed_counts_for_nothing() {
        let (paths, temp) = fixture::host();
        let first = RunLock::acquire(&paths, &plan("a"), "R1", now()).expect("free");
        let path = temp.path().join("run/opal").join(format!("{}.lock", file_name(&plan("a"))));
        let opened = File::open(&path).expect("there");
        assert!(!is_gone(&opened));
        std::fs::remove_file(&path).expect("removed");
        assert!(is_gone(&opened));
        drop(first);
        let second = RunLock::acquire(&paths, &plan("a"), "R2", now()).expect("free");
        assert!(opened.try_lock().is_ok() && path.exists());
        drop(second);
    }

    #[test]
    fn a_place_for_locks_that_others_may_write_to_is_unusable() {
        let (paths, temp) = fixture::host();
        let run = temp.path().join("run");
        std::fs::set_permissions(&run, std::fs::Permissions::from_mode(0o777)).expect("chmod");
        let refused = RunLock::acquire(&paths, &plan("a"), "R", now()).expect_err("unsafe");
        assert_eq!((refused.code().name(), refused.exit()), ("lock_unusable", 74));
    }
}
