//! The records of a user's runs, side by side in the state directory: which are kept, and which run was interrupted.
//!
//! Tests: here, and `tests/tests/resume.rs`.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;

use serde_json::Value;

use crate::journal::{EVENTS, Earlier, RecordError, SUMMARY};
use opal_trust::locations::HostPaths;
use opal_trust::safe_path::SafeDir;

/// The directory of the records, in the state directory.
pub(crate) const RUNS: &str = "runs";

/// Records beyond this number go, the oldest first, if their runs are finished.
const KEPT_MAX: usize = 100;

/// Records beyond this number go, the oldest first, unless their runs are going on.
const UNFINISHED_MAX: usize = 200;

/// Marks the record of an interrupted run that was spoken of.
const NOTICED: &str = "noticed";

/// Longest first event that is looked at without being verified, in bytes.
const HEAD_MAX: u64 = 1 << 27;

/// Whether a text has the form of a run's name: `20260506T070809Z-0a1b2c3d`.
#[must_use]
pub fn is_run_id(text: &str) -> bool {
    let form = "ddddddddTddddddZ-hhhhhhhh";
    text.len() == form.len()
        && text.chars().zip(form.chars()).all(|(given, wanted)| match wanted {
            'd' => given.is_ascii_digit(),
            'h' => given.is_ascii_digit() || ('a'..='f').contains(&given),
            other => given == other,
        })
}

/// The records that are there, the latest first.
fn run_ids(runs: &Path) -> Vec<String> {
    let found = fs::read_dir(runs).into_iter().flatten().flatten();
    let mut names: Vec<String> = found.filter_map(|entry| entry.file_name().into_string().ok()).filter(|name| is_run_id(name)).collect();
    names.sort_unstable_by(|a, b| b.cmp(a));
    names
}

/// Makes room for one more record. Their names sort by time. What cannot be removed stays.
pub(crate) fn rotate(runs: &SafeDir) {
    let names = run_ids(runs.path());
    let mut count = names.len().saturating_add(1);
    for limit in [KEPT_MAX, UNFINISHED_MAX] {
        for name in names.iter().rev() {
            if count <= limit {
                return;
            }
            let record = runs.path().join(name);
            let goes = limit == UNFINISHED_MAX || !is_resumable(&record);
            if goes && record.exists() && !is_running(&record) && fs::remove_dir_all(&record).is_ok() {
                count = count.saturating_sub(1);
            }
        }
    }
}

/// Whether a run can be gone on with, as far as its record says.
fn is_resumable(record: &Path) -> bool {
    match fs::read(record.join(SUMMARY)) {
        Ok(summary) => serde_json::from_slice::<Value>(&summary).is_ok_and(|summary| summary.get("resumable") == Some(&Value::Bool(true))),
        Err(_) => head(record).is_some_and(|head| head.get("contract_hash").is_some_and(Value::is_string)),
    }
}

fn is_running(record: &Path) -> bool {
    File::open(record.join(EVENTS)).is_ok_and(|events| events.try_lock_shared().is_err())
}

/// The first event of a record, not verified.
fn head(record: &Path) -> Option<Value> {
    let mut line = Vec::new();
    BufReader::new(File::open(record.join(EVENTS)).ok()?.take(HEAD_MAX)).read_until(b'\n', &mut line).ok()?;
    serde_json::from_slice(&line).ok()
}

/// A run that died, by the work or contract that it was of.
#[derive(Debug, PartialEq, Eq)]
pub struct Interrupted {
    /// Its name.
    pub run_id: String,
    /// When it started, as its record says.
    pub started: String,
}

/// The latest run of the same contract, or for a direct run of the same work, that died and was not spoken of yet.
#[must_use]
pub fn interrupted(paths: &HostPaths, contract_hash: Option<&str>, plan_hash: &str) -> Option<Interrupted> {
    let runs = paths.state_dir().ok()??.child(RUNS).ok()??;
    run_ids(runs.path()).into_iter().find_map(|run_id| {
        let record = runs.path().join(&run_id);
        if record.join(SUMMARY).exists() || record.join(NOTICED).exists() {
            return None;
        }
        let head = head(&record)?;
        let text = |key: &str| head.get(key).and_then(Value::as_str);
        let same = text("contract_hash") == contract_hash && text("plan_hash") == Some(plan_hash);
        if !same || is_running(&record) {
            return None;
        }
        let _ = File::create(record.join(NOTICED));
        Some(Interrupted { started: text("at").unwrap_or_default().to_owned(), run_id })
    })
}

/// Whether there is a record of a run.
#[must_use]
pub fn exists(paths: &HostPaths, run_id: &str) -> bool {
    let runs = paths.state_dir().ok().flatten().and_then(|state| state.child(RUNS).ok().flatten());
    is_run_id(run_id) && runs.is_some_and(|runs| runs.path().join(run_id).join(EVENTS).exists())
}

/// Opens and holds the record of a run; `latest` is the latest of this contract. `None` if there is none.
///
/// # Errors
/// What [`Earlier::open`] refuses.
pub fn find(paths: &HostPaths, run_id: &str, contract_hash: &str) -> Result<Option<Earlier>, RecordError> {
    let Some(runs) = paths.state_dir()?.map(|state| state.child(RUNS)).transpose()?.flatten() else { return Ok(None) };
    let of_contract = |name: &String| {
        let head = head(&runs.path().join(name));
        head.is_some_and(|head| head.get("contract_hash").and_then(Value::as_str) == Some(contract_hash))
    };
    let name = match run_id {
        "latest" => run_ids(runs.path()).into_iter().find(of_contract),
        name => Some(name.to_owned()).filter(|name| is_run_id(name)),
    };
    match name.map(|name| runs.child(&name)).transpose()?.flatten() {
        Some(record) => Earlier::open(record, paths),
        None => Ok(None),
    }
}
