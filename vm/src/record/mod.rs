//! The run record (DESIGN §9): what was to run, what happened, and how it ended.
//!
//! A record is a directory, readable by its owner only: `plan.json`, `events.jsonl` and `summary.json`. It holds no secret: the plan is
//! shown with placeholders, and events are scrubbed before they come here. Output of steps is not kept, but for the last
//! lines of what a failed step wrote to stderr.
//!
//! Each event carries a MAC over itself and the MAC before it, under a key that only the plan's seed gives, so that whoever goes on with a
//! run can trust what its record says. Events become durable when the executor asks: before each step starts, so that "this step
//! is done" and "the next one starts" share one write.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use jiff::Timestamp;
use opal_format::kind::ValueType;
use opal_format::seed::{RandomError, Seed, SlotKeys};
use serde_json::{Value, json};

use crate::run::RunReport;
use crate::trust::locations::HostPaths;
use crate::trust::safe_path::{SafeDir, SafePathError};

/// Records that are kept; the oldest go first.
const KEPT_MAX: usize = 100;

const EVENTS: &str = "events.jsonl";

/// Takes the events of a run, one scrubbed JSON object each.
pub trait Recorder: Send {
    /// Whether events are wanted at all.
    fn is_recording(&self) -> bool;

    /// Adds an event; it need not be durable yet.
    fn note(&mut self, event: &str);

    /// Makes the events so far durable.
    ///
    /// # Errors
    /// When they cannot be written.
    fn sync(&mut self) -> io::Result<()>;
}

/// Keeps no record (`--record none`).
pub struct NoRecord;

impl Recorder for NoRecord {
    fn is_recording(&self) -> bool {
        false
    }

    fn note(&mut self, _: &str) {}

    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A name for a run: sorts by time, and differs from every other.
///
/// # Errors
/// [`RandomError`] where the system gives no random bytes.
pub fn run_id(now: Timestamp) -> Result<String, RandomError> {
    let mut random = [0; 4];
    getrandom::fill(&mut random).map_err(|_| RandomError)?;
    Ok(format!("{}-{:08x}", now.strftime("%Y%m%dT%H%M%SZ"), u32::from_be_bytes(random)))
}

/// Where a record goes.
#[derive(Clone, Copy, Debug)]
pub enum Place<'a> {
    /// Among the records of this host's state directory.
    State(&'a HostPaths),
    /// In this directory, which must not hold a record yet; owned by the effective user of `HostPaths`.
    Directory(&'a Path, &'a HostPaths),
}

/// What a record begins with.
#[derive(Clone, Copy, Debug)]
pub struct About<'a> {
    /// Name of the run; see [`run_id`].
    pub run_id: &'a str,
    /// The contract, as text; `None` for a direct run.
    pub contract_hash: Option<&'a str>,
    /// The work, as text.
    pub plan_hash: &'a str,
    /// The plan as JSON, without secrets.
    pub plan: &'a [u8],
    /// The drift that `--force` accepted; null where there was none.
    pub forced: &'a Value,
    /// The plan's seed.
    pub seed: &'a Seed,
}

/// Why there is no record.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// Its directory cannot be used.
    #[error(transparent)]
    Path(#[from] SafePathError),
    /// There is one already.
    #[error("`{0}` holds the record of another run")]
    Taken(String),
    /// It cannot be written.
    #[error("the record cannot be written: {}", crate::plan::os_reason(.0))]
    Write(#[from] io::Error),
}

/// A record that is being written.
pub struct Record {
    dir: SafeDir,
    events: File,
    pending: Vec<u8>,
    chain: Chain,
    about: Value,
}

/// The MACs of a record's events.
struct Chain {
    keys: SlotKeys,
    previous: [u8; 32],
}

impl Chain {
    fn new(seed: &Seed, run_id: &str) -> Result<Self, RandomError> {
        let mut key = [0; 32];
        // No decorator has this name, so no value of a plan is drawn from the same stream.
        seed.stream("run record", run_id.as_bytes(), 0).fill(&mut key)?;
        Ok(Self { keys: Seed::from_bytes(key).keys(), previous: [0; 32] })
    }

    fn next(&mut self, event: &str) -> String {
        self.previous = self.keys.commit(&self.previous, ValueType::String, event.as_bytes());
        self.previous.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl Record {
    /// Makes the directory and writes what is known before the run.
    ///
    /// # Errors
    /// A [`RecordError`]; then nothing may be run that must be recorded.
    pub fn create(place: Place<'_>, about: &About<'_>) -> Result<Self, RecordError> {
        let dir = match place {
            Place::State(paths) => {
                let runs = paths.make_state_dir()?.child_or_create("runs")?;
                rotate(runs.path());
                runs.child_or_create(about.run_id)?
            }
            Place::Directory(path, paths) => {
                let dir = SafeDir::open_or_create(&std::path::absolute(path)?, paths.euid)?;
                // It may have been there before, and readable by others.
                fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700))?;
                dir
            }
        };
        let events = dir.open_or_create_file(EVENTS)?;
        if events.metadata()?.len() > 0 {
            return Err(RecordError::Taken(dir.path().display().to_string()));
        }
        dir.write_file("plan.json", about.plan, 0o600, true)?;
        let chain = Chain::new(about.seed, about.run_id).map_err(|error| io::Error::other(error.to_string()))?;
        let head = json!({
            "schema": "opal/events/v1", "event": "record", "run_id": about.run_id,
            "contract_hash": about.contract_hash, "plan_hash": about.plan_hash,
            "forced": !about.forced.is_null(), "accepted_drift": about.forced,
        });
        let mut record = Self { dir, events, pending: Vec::new(), chain, about: head };
        let head = record.about.to_string();
        record.note(&head);
        record.sync()?;
        Ok(record)
    }

    /// Where the record is.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Writes the summary.
    ///
    /// # Errors
    /// A [`RecordError`]; the run itself is over.
    pub fn finish(mut self, report: &RunReport) -> Result<(), RecordError> {
        self.sync()?;
        let mut summary = report.to_json();
        if let (Some(summary), Some(about)) = (summary.as_object_mut(), self.about.as_object()) {
            summary.extend(about.iter().filter(|(name, _)| *name != "event").map(|(name, value)| (name.clone(), value.clone())));
            summary.insert("schema".to_owned(), json!("opal/summary/v1"));
            summary.insert("ended".to_owned(), json!(Timestamp::now().to_string()));
        }
        Ok(self.dir.write_file("summary.json", format!("{summary:#}\n").as_bytes(), 0o600, true)?)
    }
}

impl Recorder for Record {
    fn is_recording(&self) -> bool {
        true
    }

    fn note(&mut self, event: &str) {
        // `{…}` becomes `{"at":…,…,"mac":…}`; the MAC is over all that stands before it.
        let inner = event.strip_prefix('{').and_then(|event| event.strip_suffix('}')).unwrap_or_default();
        let line = format!("{{\"at\":\"{}\",{inner}", Timestamp::now());
        let mac = self.chain.next(&line);
        self.pending.extend_from_slice(format!("{line},\"mac\":\"{mac}\"}}\n").as_bytes());
    }

    fn sync(&mut self) -> io::Result<()> {
        if self.pending.is_empty() {
            return Ok(());
        }
        // A record that somebody has removed would be written to nowhere.
        if self.events.metadata()?.nlink() == 0 {
            return Err(io::ErrorKind::NotFound.into());
        }
        self.events.write_all(&self.pending)?;
        self.pending.clear();
        self.events.sync_data()
    }
}

/// Reads the events of a record and checks their MACs: the complete and genuine events, and whether anything but them was there (a last line that was
/// not written to its end, or a line that is not genuine, with all that follows).
///
/// # Errors
/// [`RandomError`] where the system cannot give the key.
pub fn read_events(bytes: &[u8], run_id: &str, seed: &Seed) -> Result<(Vec<Value>, bool), RandomError> {
    let mut chain = Chain::new(seed, run_id)?;
    let mut events = Vec::new();
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let genuine = std::str::from_utf8(line).ok().and_then(|line| {
            let line = line.strip_suffix('\n')?;
            let (text, mac) = line.rsplit_once(",\"mac\":\"")?;
            (format!("{}\"}}", chain.next(text)) == mac).then(|| serde_json::from_str(line).ok())?
        });
        match genuine {
            Some(event) => events.push(event),
            None => return Ok((events, true)),
        }
    }
    Ok((events, false))
}

/// Removes the oldest records beyond [`KEPT_MAX`]. Their names sort by time. What cannot be removed stays.
fn rotate(runs: &Path) {
    let Ok(found) = fs::read_dir(runs) else { return };
    let mut names: Vec<_> = found.flatten().map(|entry| entry.file_name()).collect();
    names.sort();
    let surplus = names.len().saturating_add(1).saturating_sub(KEPT_MAX);
    for name in names.iter().take(surplus) {
        let _ = fs::remove_dir_all(runs.join(name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::Outcome;

    fn about<'a>(seed: &'a Seed, plan: &'a Value) -> About<'a> {
        let plan = plan.to_string().into_bytes().leak();
        About { run_id: "R1", contract_hash: Some("sha256:c"), plan_hash: "sha256:p", plan, forced: &Value::Null, seed }
    }

    fn host(temp: &tempfile::TempDir) -> HostPaths {
        let mut paths = HostPaths::from_environment();
        paths.xdg_state_home = Some(temp.path().to_owned());
        paths
    }

    fn report() -> RunReport {
        RunReport {
            outcome: Outcome::Succeeded,
            effects: true,
            steps_done: 1,
            steps_total: 1,
            failures: Vec::new(),
            left: Vec::new(),
            cleanup_skipped: Vec::new(),
            cleaned_up: Vec::new(),
            elapsed: std::time::Duration::ZERO,
        }
    }

    #[test]
    fn a_record_says_what_was_to_run_what_happened_and_how_it_ended() {
        use std::os::unix::fs::PermissionsExt as _;
        let temp = tempfile::tempdir().expect("directory");
        let (seed, plan) = (Seed::from_bytes([7; 32]), json!({ "steps": [] }));
        let mut record = Record::create(Place::State(&host(&temp)), &about(&seed, &plan)).expect("record");
        let path = record.path().to_owned();
        assert_eq!(path, temp.path().join("opal/runs/R1"));
        assert_eq!(fs::metadata(&path).expect("directory").permissions().mode() & 0o777, 0o700);
        record.note("{\"event\":\"step_starts\"}");
        record.sync().expect("written");
        record.note("{\"event\":\"step_done\"}");
        record.finish(&report()).expect("written");
        let bytes = fs::read(path.join(EVENTS)).expect("events");
        let (events, more) = read_events(&bytes, "R1", &seed).expect("key");
        let names: Vec<&str> = events.iter().filter_map(|event| event["event"].as_str()).collect();
        assert_eq!((names, more), (vec!["record", "step_starts", "step_done"], false));
        let summary: Value = serde_json::from_slice(&fs::read(path.join("summary.json")).expect("summary")).expect("JSON");
        assert_eq!(
            (&summary["outcome"], &summary["run_id"], &summary["schema"]),
            (&json!("succeeded"), &json!("R1"), &json!("opal/summary/v1"))
        );
        let again = Record::create(Place::Directory(&path, &host(&temp)), &about(&seed, &plan));
        assert!(matches!(again, Err(RecordError::Taken(_))));
    }

    #[test]
    fn an_event_that_was_changed_moved_removed_or_torn_is_noticed() {
        let temp = tempfile::tempdir().expect("directory");
        let (seed, plan) = (Seed::from_bytes([7; 32]), json!({}));
        let mut record = Record::create(Place::Directory(&temp.path().join("r"), &host(&temp)), &about(&seed, &plan)).expect("record");
        for n in 0..3 {
            record.note(&format!("{{\"event\":\"step_done\",\"node\":{n}}}"));
        }
        record.sync().expect("written");
        let bytes = fs::read(record.path().join(EVENTS)).expect("events");
        let whole =
            |bytes: &[u8], id: &str, seed: &Seed| read_events(bytes, id, seed).map(|(events, more)| (events.len(), more)).expect("key");
        assert_eq!(whole(&bytes, "R1", &seed), (4, false));
        assert_eq!(whole(&bytes, "R2", &seed), (0, true));
        assert_eq!(whole(&bytes, "R1", &Seed::from_bytes([8; 32])), (0, true));
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            let (events, more) = whole(&changed, "R1", &seed);
            assert!(more && events < 4, "byte {at}");
        }
        let lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
        assert_eq!(whole(&[lines[0], lines[2], lines[3]].concat(), "R1", &seed), (1, true));
        assert_eq!(whole(&bytes[..bytes.len() - 5], "R1", &seed), (3, true));
    }

    #[test]
    fn a_record_that_was_removed_stops_the_run() {
        let temp = tempfile::tempdir().expect("directory");
        let (seed, plan) = (Seed::from_bytes([7; 32]), json!({}));
        let mut record = Record::create(Place::Directory(&temp.path().join("r"), &host(&temp)), &about(&seed, &plan)).expect("record");
        fs::remove_dir_all(record.path()).expect("removed");
        record.note("{\"event\":\"step_starts\"}");
        assert_eq!(record.sync().map_err(|error| error.kind()), Err(io::ErrorKind::NotFound));
    }

    #[test]
    fn only_the_latest_records_are_kept() {
        let temp = tempfile::tempdir().expect("directory");
        let (seed, plan) = (Seed::from_bytes([7; 32]), json!({}));
        let runs = temp.path().join("opal/runs");
        let host = host(&temp);
        for n in 0..KEPT_MAX + 3 {
            let id = format!("R{n:04}");
            Record::create(Place::State(&host), &About { run_id: &id, ..about(&seed, &plan) }).expect("record");
        }
        let mut names: Vec<_> = fs::read_dir(&runs).expect("runs").flatten().map(|entry| entry.file_name()).collect();
        names.sort();
        assert_eq!((names.len(), names.first().and_then(|name| name.to_str())), (KEPT_MAX, Some("R0003")));
        let (a, b) = (run_id(Timestamp::UNIX_EPOCH).expect("random"), run_id(Timestamp::UNIX_EPOCH).expect("random"));
        assert!(a != b && a.starts_with("19700101T000000Z-"));
    }
}
