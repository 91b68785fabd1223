//! The processes below this one, by `/proc`.
//!
//! A walk is a snapshot: processes that are born behind it are found by the next one, so callers
//! walk until `wait` says that no child is left. Between walk and signal a pid could in theory be
//! reused; that needs the whole pid space to wrap within microseconds.
//!
//! Read for: nothing outlives its step.

use std::fs;
use std::path::PathBuf;

use nix::unistd::Pid;

/// A process that is or was below the watcher.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Its process id on this host.
    pub pid: i32,
    /// The name the kernel keeps for it, at most 15 bytes.
    pub name: String,
}

/// Pids of all descendants of this process but those `except` and theirs, parents before children.
pub(crate) fn descendants(except: &[Pid]) -> Vec<i32> {
    let excepted = |pid: &i32| except.contains(&Pid::from_raw(*pid));
    let own = std::process::id().cast_signed();
    let mut found = Vec::new();
    if PathBuf::from(format!("/proc/self/task/{own}/children")).exists() {
        push_children(own, &mut found);
        found.retain(|pid| !excepted(pid));
        let mut next = 0;
        while let Some(pid) = found.get(next).copied() {
            push_children(pid, &mut found);
            next = next.saturating_add(1);
        }
    } else {
        scan(own, excepted, &mut found);
    }
    found
}

fn push_children(pid: i32, found: &mut Vec<i32>) {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return;
    };
    for task in tasks.flatten() {
        let list = fs::read_to_string(task.path().join("children")).unwrap_or_default();
        for child in list.split_ascii_whitespace().filter_map(|c| c.parse().ok()) {
            if !found.contains(&child) {
                found.push(child);
            }
        }
    }
}

/// The same for kernels without `children` files: by every process's parent.
fn scan(own: i32, excepted: impl Fn(&i32) -> bool, found: &mut Vec<i32>) {
    let Ok(all) = fs::read_dir("/proc") else {
        return;
    };
    let parents: Vec<(i32, i32)> =
        all.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter_map(|pid| Some((pid, stat(pid)?.2))).collect();
    let mut frontier = vec![own];
    while let Some(parent) = frontier.pop() {
        for (pid, _) in parents.iter().filter(|(pid, of)| *of == parent && !excepted(pid)) {
            if !found.contains(pid) {
                found.push(*pid);
                frontier.push(*pid);
            }
        }
    }
}

/// Name, state letter and parent of a process. The name may hold anything, so the last `)` ends it.
fn stat(pid: i32) -> Option<(String, char, i32)> {
    let text = fs::read(format!("/proc/{pid}/stat")).ok()?;
    let text = String::from_utf8_lossy(&text);
    let (head, tail) = text.rsplit_once(')')?;
    let (_, name) = head.split_once('(')?;
    let mut fields = tail.split_ascii_whitespace();
    let state = fields.next()?.chars().next()?;
    Some((name.to_owned(), state, fields.next()?.parse().ok()?))
}

/// All descendants that still run, by name.
pub(crate) fn running() -> Vec<Process> {
    descendants(&[])
        .into_iter()
        .filter_map(|pid| {
            let (name, state, _) = stat(pid)?;
            (state != 'Z').then_some(Process { pid, name })
        })
        .collect()
}
