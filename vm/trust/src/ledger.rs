//! The ledger of single-use contracts: one file per contract hash, durable before the first step starts.
//!
//! An entry is made once, as *started*, by an operation that fails if one is there, and becomes *finished* at an
//! orderly end. A run that died leaves its entry started: the contract is neither forgotten nor repeated.
//!
//! Entries of contracts that expired long ago go when there are many: what they would refuse is refused by its date.
//!
//! Read for: who is trusted, and what policy allows.

use jiff::Timestamp;
use opal_format::hash::Digest;
use serde_json::{Value, json};

use super::locations::{HostPaths, file_name};
use super::safe_path::{PathCause, SafeDir, SafePathError, forbid};
use opal_core::code::Code;
use opal_core::failure::{Failure, Report};

const ENTRY_SIZE_MAX: u64 = 4096;
const SCHEMA: &str = "opal-ledger/v1";
/// Entries up to which none is removed.
const KEPT: usize = 256;
/// How long after its contract's end an entry stays, in seconds: a clock that is set back by less brings nothing back to life.
const KEPT_FOR: i64 = 30 * 86_400;

/// One use of a contract.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The run that used it.
    pub run_id: String,
    /// When that run started.
    pub started: Timestamp,
    /// Whether it came to an orderly end.
    pub finished: bool,
    /// Last second (Unix time) at which the contract may run; `None` for no end.
    pub not_after: Option<i64>,
}

/// Why a single-use contract must not run now.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// It has been used.
    #[error(
        "this contract runs once{} and was used at {:.0} by run {}{}", if *.system { "" } else { " for this user" }, .entry.started, .entry.run_id,
        if .entry.finished { "" } else { ", which did not finish" }
    )]
    AlreadyRun {
        /// The use.
        entry: Entry,
        /// Whether the system's ledger says so, which counts for the whole host.
        system: bool,
    },
    /// The ledger cannot be read or written.
    #[error("the ledger of single-use contracts is not usable: {0}")]
    Unusable(#[from] SafePathError),
    /// An entry is there that nobody can read.
    #[error("the ledger's entry `{name}` is damaged")]
    Damaged {
        /// Its file name.
        name: String,
    },
}

impl Failure for LedgerError {
    fn report(&self) -> Report {
        match self {
            Self::AlreadyRun { entry: Entry { finished: false, run_id, .. }, .. } => {
                let help = format!("see how far it came in the record of run {run_id}, then make a new contract");
                Report::new(Code::AlreadyRun, help)
            }
            Self::AlreadyRun { .. } => Report::new(Code::AlreadyRun, "make a new contract: `opalc FILE.opl --resolve --once -o FILE.plan`"),
            Self::Unusable(error) => Report::new(Code::LedgerUnusable, error.help()),
            Self::Damaged { .. } => Report::new(Code::LedgerDamaged, "find out whether the contract ran, then make a new one"),
        }
    }
}

/// The open ledger.
#[derive(Debug)]
pub struct Ledger {
    dir: SafeDir,
    not_after: Option<i64>,
    system: bool,
}

impl Ledger {
    /// Opens the ledger, to count contracts with this end, and makes its directory if it is not there.
    ///
    /// # Errors
    /// [`LedgerError::Unusable`].
    pub fn open(paths: &HostPaths, not_after: Option<i64>) -> Result<Self, LedgerError> {
        Ok(Self { dir: paths.make_ledger_dir()?, not_after, system: paths.is_system() })
    }

    /// Removes entries that nothing can need any more, where there are many. What cannot be read or removed stays.
    fn prune(&self, now: Timestamp) {
        let names: Vec<_> = std::fs::read_dir(self.dir.path()).into_iter().flatten().flatten().map(|entry| entry.file_name()).collect();
        if names.len() <= KEPT {
            return;
        }
        let over = |bytes: Vec<u8>| {
            let end = serde_json::from_slice::<Value>(&bytes).ok()?.get("not_after")?.as_i64()?;
            Some(end.saturating_add(KEPT_FOR) < now.as_second())
        };
        for name in names.iter().filter_map(|name| name.to_str()) {
            let entry = self.dir.read_file(name, forbid::WRITING, ENTRY_SIZE_MAX).ok().flatten();
            if entry.and_then(over) == Some(true) {
                let _ = std::fs::remove_file(self.dir.path().join(name));
            }
        }
    }

    /// The use of a contract, if there was one.
    ///
    /// # Errors
    /// [`LedgerError::Unusable`] or [`LedgerError::Damaged`].
    pub fn entry(&self, contract: &Digest) -> Result<Option<Entry>, LedgerError> {
        let name = file_name(contract);
        let Some(bytes) = self.dir.read_file(&name, forbid::WRITING, ENTRY_SIZE_MAX)? else {
            return Ok(None);
        };
        decode(&bytes, contract).map(Some).ok_or(LedgerError::Damaged { name })
    }

    /// Refuses a contract that has been used, except by the unfinished run that `resume` names.
    ///
    /// # Errors
    /// [`LedgerError::AlreadyRun`], or what [`Ledger::entry`] refuses.
    pub fn check_unused(&self, contract: &Digest, resume: Option<&str>) -> Result<(), LedgerError> {
        match self.entry(contract)? {
            Some(entry) if entry.finished || resume != Some(entry.run_id.as_str()) => {
                Err(LedgerError::AlreadyRun { entry, system: self.system })
            }
            _ => Ok(()),
        }
    }

    /// Records, durably, that a run uses the contract. Of two runs at the same moment one succeeds.
    ///
    /// # Errors
    /// [`LedgerError::AlreadyRun`] if there is an entry, or [`LedgerError::Unusable`].
    pub fn start(&self, contract: &Digest, run_id: &str, now: Timestamp) -> Result<(), LedgerError> {
        self.prune(now);
        let entry = Entry { run_id: run_id.to_owned(), started: now, finished: false, not_after: self.not_after };
        match self.write(contract, &entry, false) {
            Err(error) if error.cause == PathCause::Exists => {
                let name = file_name(contract);
                let entry = self.entry(contract)?.ok_or(LedgerError::Damaged { name })?;
                Err(LedgerError::AlreadyRun { entry, system: self.system })
            }
            written => Ok(written?),
        }
    }

    /// Records that the run which used the contract has ended in an orderly way.
    ///
    /// # Errors
    /// [`LedgerError::Unusable`], or [`LedgerError::Damaged`] if the contract's entry is gone.
    pub fn finish(&self, contract: &Digest) -> Result<(), LedgerError> {
        let name = file_name(contract);
        let entry = self.entry(contract)?.ok_or(LedgerError::Damaged { name })?;
        Ok(self.write(contract, &Entry { finished: true, ..entry }, true)?)
    }

    fn write(&self, contract: &Digest, entry: &Entry, replace: bool) -> Result<(), SafePathError> {
        let text = json!({
            "schema": SCHEMA,
            "contract_hash": contract.to_string(),
            "run_id": entry.run_id,
            "started": entry.started.to_string(),
            "not_after": entry.not_after,
            "state": if entry.finished { "finished" } else { "started" },
        });
        self.dir.write_file(&file_name(contract), format!("{text}\n").as_bytes(), 0o600, replace)
    }
}

fn decode(bytes: &[u8], contract: &Digest) -> Option<Entry> {
    let value: Value = serde_json::from_slice(bytes).ok()?;
    let text = |key: &str| value.get(key).and_then(Value::as_str);
    if text("schema")? != SCHEMA || text("contract_hash")? != contract.to_string() {
        return None;
    }
    let finished = match text("state")? {
        "started" => false,
        "finished" => true,
        _ => return None,
    };
    let not_after = value.get("not_after").and_then(Value::as_i64);
    Some(Entry { run_id: text("run_id")?.to_owned(), started: text("started")?.parse().ok()?, finished, not_after })
}

#[cfg(test)]
mod tests {
    use super::super::locations::fixture;
    use super::*;

    fn contract() -> Digest {
        format!("blake3:{}", "ab".repeat(32)).parse().expect("hash")
    }

    fn now() -> Timestamp {
        "2026-05-06T07:08:09.5Z".parse().expect("time")
    }

    #[test]
    fn a_contract_is_used_once_and_the_refusal_names_the_run() {
        let (paths, _temp) = fixture::host();
        let ledger = Ledger::open(&paths, None).expect("usable");
        ledger.check_unused(&contract(), None).expect("unused");
        ledger.start(&contract(), "R1", now()).expect("recorded");
        ledger.finish(&contract()).expect("recorded");
        // A new process sees the same.
        let ledger = Ledger::open(&paths, None).expect("usable");
        for refused in [
            ledger.check_unused(&contract(), None).expect_err("used"),
            ledger.check_unused(&contract(), Some("R1")).expect_err("finished"),
            ledger.start(&contract(), "R2", now()).expect_err("used"),
        ] {
            assert_eq!(refused.to_string(), "this contract runs once and was used at 2026-05-06T07:08:09Z by run R1");
            assert_eq!(refused.exit(), 22);
        }
    }

    #[test]
    fn a_run_that_died_stays_in_the_ledger_and_only_its_resumption_goes_on() {
        let (paths, _temp) = fixture::host();
        let ledger = Ledger::open(&paths, None).expect("usable");
        ledger.start(&contract(), "R1", now()).expect("recorded");
        let refused = ledger.check_unused(&contract(), None).expect_err("used");
        assert!(refused.to_string().ends_with("by run R1, which did not finish"), "{refused}");
        assert!(refused.help().contains("the record of run R1"));
        assert!(ledger.check_unused(&contract(), Some("R0")).is_err());
        ledger.check_unused(&contract(), Some("R1")).expect("resumed");
    }

    #[test]
    fn an_entry_that_cannot_be_read_stops_the_run() {
        let (paths, temp) = fixture::host();
        let ledger = Ledger::open(&paths, None).expect("usable");
        ledger.start(&contract(), "R1", now()).expect("recorded");
        let file = temp.path().join("lib/opal/ledger").join(file_name(&contract()));
        let entry = std::fs::read_to_string(&file).expect("entry");
        for damaged in [String::new(), entry.replace("started\"}", "begun\"}"), entry.replace("abab", "acac")] {
            assert_ne!(damaged, entry);
            std::fs::write(&file, damaged).expect("written");
            let refused = ledger.check_unused(&contract(), None).expect_err("damaged");
            assert_eq!((refused.code().name(), refused.exit()), ("ledger_damaged", 74));
        }
    }

    #[test]
    fn only_entries_of_contracts_that_expired_long_ago_go_and_only_where_there_are_many() {
        let (paths, temp) = fixture::host();
        let digest = |n: usize| -> Digest { format!("sha256:{n:064x}").parse().expect("hash") };
        let count = || std::fs::read_dir(temp.path().join("lib/opal/ledger")).expect("ledger").count();
        let end = now().as_second();
        let open = |not_after| Ledger::open(&paths, not_after).expect("usable");
        for n in 0..KEPT {
            let not_after = [None, Some(end), Some(end - 1), Some(end + 1_000_000)][n % 4];
            open(not_after).start(&digest(n), "R", now()).expect("recorded");
        }
        let later = |seconds: i64| Timestamp::from_second(end + KEPT_FOR + seconds).expect("time");
        open(None).start(&digest(KEPT), "R", later(1_000)).expect("recorded");
        assert_eq!(count(), KEPT + 1, "few are left alone");
        open(None).start(&digest(KEPT + 1), "R", later(0)).expect("recorded");
        assert_eq!(count(), KEPT + 2 - KEPT / 4, "those before this moment went");
        open(None).check_unused(&digest(2), None).expect("gone; its date refuses it");
        for n in [0, 1, 3] {
            open(None).check_unused(&digest(n), None).expect_err("kept");
        }
        assert_eq!(open(None).entry(&digest(1)).expect("readable").and_then(|entry| entry.not_after), Some(end));
    }

    #[test]
    fn of_many_starts_at_once_one_succeeds() {
        let (paths, _temp) = fixture::host();
        let ledger = Ledger::open(&paths, None).expect("usable");
        let started = std::thread::scope(|scope| {
            let runs: Vec<_> = (0..8)
                .map(|i| {
                    scope.spawn({
                        let ledger = &ledger;
                        move || ledger.start(&contract(), &format!("R{i}"), now()).is_ok()
                    })
                })
                .collect();
            runs.into_iter().map(|run| run.join().expect("no panic")).filter(|ok| *ok).count()
        });
        assert_eq!(started, 1);
    }
}
