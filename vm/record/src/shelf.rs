//! The records of a user's runs, side by side in the state directory: which run was interrupted, and which can be gone on with.
//!
//! Tests: here, and `tests/tests/resume.rs`.
//!
//! Read for: everything in the process that runs a contract.

use std::fs::File;

use crate::journal::{Earlier, RecordError};
use crate::kept::{EVENTS, RUNS, SUMMARY, head, is_run_id, is_running, run_ids};
use opal_trust::locations::HostPaths;

/// Marks the record of an interrupted run that was spoken of.
const NOTICED: &str = "noticed";

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
        let same = head.contract_hash.as_deref() == contract_hash && head.plan_hash == plan_hash;
        if !same || is_running(&record) {
            return None;
        }
        let _ = File::create(record.join(NOTICED));
        Some(Interrupted { started: head.started, run_id })
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
    let of_contract =
        |name: &String| head(&runs.path().join(name)).is_some_and(|head| head.contract_hash.as_deref() == Some(contract_hash));
    let name = match run_id {
        "latest" => run_ids(runs.path()).into_iter().find(of_contract),
        name => Some(name.to_owned()).filter(|name| is_run_id(name)),
    };
    match name.map(|name| runs.child(&name)).transpose()?.flatten() {
        Some(record) => Earlier::open(record, paths),
        None => Ok(None),
    }
}
