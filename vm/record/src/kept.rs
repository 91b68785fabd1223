//! The records that are kept, side by side in the state directory, as far as can be said of them without verifying any.
//!
//! Read for: everything in the process that runs a contract.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;

use opal_core::event::{Event, Head, Summary};
use opal_trust::safe_path::{SafeDir, read_capped};

/// The plan, as JSON.
pub(crate) const PLAN: &str = "plan.json";
/// The events.
pub(crate) const EVENTS: &str = "events.jsonl";
/// What the run came to.
pub(crate) const SUMMARY: &str = "summary.json";

/// The directory of the records, in the state directory.
pub(crate) const RUNS: &str = "runs";

/// Records beyond this number go, the oldest first, if their runs are finished.
const KEPT_MAX: usize = 100;

/// Records beyond this number go, the oldest first, unless their runs are going on.
const UNFINISHED_MAX: usize = 200;

/// Longest summary that is looked at, in bytes.
const SUMMARY_MAX: u64 = 1 << 28;

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
pub(crate) fn run_ids(runs: &Path) -> Vec<String> {
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
    match File::open(record.join(SUMMARY)) {
        Ok(file) => {
            let summary = read_capped(&file, record, SUMMARY_MAX).ok().and_then(|text| Summary::read(&text).ok());
            summary.is_some_and(|summary| summary.done.resumable)
        }
        Err(_) => head(record).is_some_and(|head| head.contract_hash.is_some()),
    }
}

/// Whether the run of a record is still going on.
pub(crate) fn is_running(record: &Path) -> bool {
    File::open(record.join(EVENTS)).is_ok_and(|events| events.try_lock_shared().is_err())
}

/// The first event of a record, not verified.
pub(crate) fn head(record: &Path) -> Option<Head> {
    let mut line = Vec::new();
    BufReader::new(File::open(record.join(EVENTS)).ok()?.take(HEAD_MAX)).read_until(b'\n', &mut line).ok()?;
    match Event::read(&line) {
        Ok(Some(Event::Record(head))) => Some(head),
        _ => None,
    }
}
