//! The run record (spec/record.md): what was to run, what happened, and how it ended.
//!
//! A record is a directory, readable by its owner only: `plan.json`, `events.jsonl` and `summary.json`. It holds no secret that can be read: all that is
//! written is [`Clean`], and what a runtime binding holds is sealed, as is the directory that a run that goes on compares. Output of steps is not kept,
//! but for the last lines of what a failed step wrote to stderr.
//!
//! Each event carries a MAC over itself and the MAC before it, under a key that only the plan's seed gives, so that whoever goes on with a
//! run can trust what its record says. Events become durable when the executor asks: before each step starts, so that "this step
//! is done" and "the next one starts" share one write.
//!
//! Read for: everything in the process that runs a contract.

use std::fs::{self, File, TryLockError};
use std::io::{self, Seek as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use opal_format::journal::JournalKeys;
use opal_format::seed::{RandomError, Seed, same_commitment};
use zeroize::Zeroizing;

use crate::kept::{self, EVENTS, PLAN, SUMMARY};
use opal_core::event::{AcceptedDrift, Done, Event, Head, Schema, Summary};
use opal_core::hex;
use opal_core::plan::Plan;
use opal_exec::clean::{Clean, CleanJson};
use opal_exec::recorder::Recorder;
use opal_exec::scrub::Secrets;
use opal_trust::locations::HostPaths;
use opal_trust::safe_path::{PathCause, SafeDir, SafePathError, forbid, read_capped};

/// What the events are called where not all of them could be written: such a run cannot be gone on with.
const INCOMPLETE: &str = "events.incomplete.jsonl";

/// Largest file of events that is read, in bytes.
const EVENTS_MAX: u64 = 1 << 28;

/// Values of runtime bindings are padded to a multiple of this many bytes before they are sealed, so that their length does not show.
const PADDING: usize = 64;

/// The number under which the directory of a run is sealed, which no node has.
const BASE: u32 = u32::MAX;

/// A name for a run: sorts by time, to the millisecond, and differs from every other.
///
/// # Errors
/// [`RandomError`] where the system gives no random bytes.
pub fn run_id(now: Timestamp) -> Result<String, RandomError> {
    let mut random = [0; 4];
    getrandom::fill(&mut random).map_err(|_| RandomError)?;
    // Ten bits hold a number of milliseconds.
    let milliseconds = u32::try_from(now.as_millisecond().rem_euclid(1000)).unwrap_or(0);
    let last = (milliseconds << 22) | (u32::from_be_bytes(random) >> 10);
    Ok(format!("{}-{last:08x}", now.strftime("%Y%m%dT%H%M%SZ")))
}

/// Where a record goes.
#[derive(Clone, Copy, Debug)]
pub enum Place<'a> {
    /// Among the records of this host's state directory.
    State(&'a HostPaths),
    /// In this directory, an absolute path, which is made, or is empty; owned by the effective user of `HostPaths`.
    Directory(&'a Path, &'a HostPaths),
}

/// What a record begins with.
#[derive(Clone, Copy)]
pub struct About<'a> {
    /// Name of the run; see [`run_id`].
    pub run_id: &'a str,
    /// The contract, as text; `None` for a direct run.
    pub contract_hash: Option<&'a str>,
    /// The work, as text.
    pub plan_hash: &'a str,
    /// The plan.
    pub plan: CleanJson<'a>,
    /// What is replaced in the rest.
    pub secrets: &'a Arc<Secrets>,
    /// The drift that `--force` accepted, if there was any.
    pub accepted_drift: Option<&'a [AcceptedDrift]>,
    /// The plan's seed.
    pub seed: &'a Seed,
    /// The commitments to the values of the plan; see [`commitments`].
    pub values: &'a [String],
    /// The directory that relative paths start from.
    pub base: &'a Path,
    /// Path at which a partial run begins.
    pub from: Option<&'a str>,
    /// What steps get of the caller's environment.
    pub environment: &'a str,
}

/// Why there is no record, or none to go on with.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// Its directory cannot be used.
    #[error(transparent)]
    Path(#[from] SafePathError),
    /// There is one already.
    #[error("`{0}` holds the record of another run")]
    Taken(String),
    /// It cannot be written.
    #[error("the record cannot be written: {}", opal_core::plan::os_reason(.0))]
    Write(#[from] io::Error),
    /// The run is still going on.
    #[error("run {0} is still going on")]
    Running(String),
    /// It is no record of a run.
    #[error("`{0}` does not hold the record of a run")]
    NoRecord(String),
    /// It was made by somebody else.
    #[error("`{path}` is the record of another user (uid {owner})")]
    Foreign {
        /// The record.
        path: String,
        /// Whose it is.
        owner: u32,
    },
    /// An event is not as it was written.
    #[error("event {line} in `{path}` is not as it was written")]
    Tampered {
        /// The file.
        path: String,
        /// The line, from 1.
        line: usize,
    },
}

/// A record that is being written.
pub struct Record {
    dir: SafeDir,
    events: File,
    pending: Vec<u8>,
    chain: Chain,
    /// What the first event says, for the summary.
    head: Head,
    secrets: Arc<Secrets>,
    /// Seals bindings; `None` where the seed ends with the process.
    sealer: Option<Sealer>,
    /// Events could not be written, so no later ones are either: what is there is what happened up to then.
    lost: bool,
}

/// The MACs of a record's events.
struct Chain {
    keys: JournalKeys,
    previous: [u8; 32],
}

impl Chain {
    fn new(seed: &Seed, run_id: &str) -> Self {
        Self { keys: JournalKeys::new(seed, run_id.as_bytes()), previous: [0; 32] }
    }

    fn next(&mut self, event: &str) -> [u8; 32] {
        self.previous = self.keys.mac(&self.previous, event.as_bytes());
        self.previous
    }
}

/// Seals what runtime bindings hold, so that their length does not show.
struct Sealer(JournalKeys);

impl Sealer {
    fn seal(&self, binding: u32, value: &[u8]) -> Result<String, RandomError> {
        let length = u32::try_from(value.len()).map_err(|_| RandomError)?;
        let padded = value.len().saturating_add(4).next_multiple_of(PADDING);
        let mut bytes = Zeroizing::new(Vec::with_capacity(padded));
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(value);
        bytes.resize(padded, 0);
        Ok(hex::encode(&self.0.seal(binding, bytes)?))
    }

    fn open(&self, binding: u32, sealed: &str) -> Option<Zeroizing<Vec<u8>>> {
        let bytes = self.0.open(binding, &hex::decode(sealed)?)?;
        let (length, rest) = bytes.split_first_chunk::<4>()?;
        let value = rest.get(..usize::try_from(u32::from_le_bytes(*length)).ok()?)?;
        Some(Zeroizing::new(value.to_vec()))
    }
}

/// The commitments to the values of a plan, by slot number, as text.
#[must_use]
pub fn commitments(plan: &Plan) -> Vec<String> {
    plan.slots.slots.iter().map(|slot| hex::encode(&slot.commitment)).collect()
}

impl Record {
    /// Makes the directory and writes what is known before the run. Where that fails, nothing of it is left.
    ///
    /// # Errors
    /// A [`RecordError`]; then nothing may be run that must be recorded.
    pub fn create(place: Place<'_>, about: &About<'_>) -> Result<Self, RecordError> {
        let (dir, made) = match place {
            Place::State(paths) => {
                let runs = paths.make_state_dir()?.child_or_create(kept::RUNS)?;
                kept::rotate(&runs);
                (runs.child_or_create(about.run_id)?, true)
            }
            Place::Directory(path, paths) => {
                let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
                    return Err(PathCause::NotEmpty.at(path).into());
                };
                let taken = SafeDir::open_or_create(parent, paths.euid)?.take_child(name);
                taken.map_err(|error| match error.cause {
                    PathCause::NotEmpty if path.join(EVENTS).exists() => RecordError::Taken(path.display().to_string()),
                    _ => RecordError::from(error),
                })?
            }
        };
        let path = dir.path().to_owned();
        let events = dir.open_or_create_file(EVENTS).inspect_err(|_| discard(&path, made))?;
        if events.metadata()?.len() > 0 {
            return Err(RecordError::Taken(path.display().to_string()));
        }
        Self::begin(dir, events, about).inspect_err(|_| discard(&path, made))
    }

    fn begin(dir: SafeDir, events: File, about: &About<'_>) -> Result<Self, RecordError> {
        lock(&events, about.run_id)?;
        dir.write_file_with(PLAN, 0o600, true, |out| about.plan.write_to(out))?;
        let chain = Chain::new(about.seed, about.run_id);
        let sealer = about.contract_hash.map(|_| Sealer(chain.keys.clone()));
        let base = about.base.as_os_str();
        let head = Head {
            schema: Schema::Events,
            run_id: about.run_id.to_owned(),
            started: Timestamp::now().to_string(),
            contract_hash: about.contract_hash.map(str::to_owned),
            plan_hash: about.plan_hash.to_owned(),
            forced: about.accepted_drift.is_some(),
            accepted_drift: about.accepted_drift.map(<[_]>::to_vec),
            values: about.values.to_vec(),
            base: base.to_string_lossy().into_owned(),
            base_sealed: sealer.as_ref().and_then(|sealer| sealer.seal(BASE, base.as_encoded_bytes()).ok()),
            from: about.from.map(str::to_owned),
            environment: about.environment.to_owned(),
        };
        let secrets = Arc::clone(about.secrets);
        let first = CleanJson::new(about.secrets, &Event::Record(head.clone())).line();
        let mut record = Self { dir, events, pending: Vec::new(), chain, head, secrets, sealer, lost: false };
        record.note(&first);
        record.sync()?;
        Ok(record)
    }

    /// Removes the record of a run that was refused after all.
    pub fn discard(self) {
        discard(self.dir.path(), true);
    }

    /// Where the record is.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Writes the summary: what the run came to, and what it was.
    ///
    /// # Errors
    /// A [`RecordError`]; the run itself is over.
    pub fn finish(mut self, done: Done) -> Result<(), RecordError> {
        if let Err(error) = self.sync() {
            // What is not said there must not be taken for what did not happen.
            let path = self.dir.path();
            let _ = fs::rename(path.join(EVENTS), path.join(INCOMPLETE));
            return Err(error.into());
        }
        let summary = Summary::of(&self.head, done, Timestamp::now().to_string());
        let clean = CleanJson::new(&self.secrets, &summary);
        Ok(self.dir.write_file_with(SUMMARY, 0o600, true, |out| clean.write_to(out))?)
    }
}

/// Removes what was written of a record, and the directory if it was `made` for it.
fn discard(path: &Path, made: bool) {
    for name in [PLAN, EVENTS] {
        let _ = fs::remove_file(path.join(name));
    }
    if made {
        let _ = fs::remove_dir(path);
    }
}

/// Holds the events of a run that is going on. The lock ends with this process.
fn lock(events: &File, run_id: &str) -> Result<(), RecordError> {
    match events.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => Err(RecordError::Running(run_id.to_owned())),
        Err(TryLockError::Error(error)) => Err(error.into()),
    }
}

impl Recorder for Record {
    fn is_recording(&self) -> bool {
        true
    }

    fn note(&mut self, event: &Clean) {
        // `{…}` becomes `{"at":…,…,"mac":…}`; the MAC is over all that stands before it.
        let inner = event.as_str().strip_prefix('{').and_then(|event| event.strip_suffix('}')).unwrap_or_default();
        let line = format!("{{\"at\":\"{}\",{inner}", Timestamp::now());
        let mac = hex::encode(&self.chain.next(&line));
        self.pending.extend_from_slice(format!("{line},\"mac\":\"{mac}\"}}\n").as_bytes());
    }

    fn sync(&mut self) -> io::Result<()> {
        if self.pending.is_empty() {
            return Ok(());
        }
        if self.lost {
            return Err(io::Error::other("an earlier event is missing"));
        }
        self.lost = true;
        // A record that somebody has removed would be written to nowhere.
        if self.events.metadata()?.nlink() == 0 {
            return Err(io::ErrorKind::NotFound.into());
        }
        self.events.write_all(&self.pending)?;
        self.pending.clear();
        self.events.sync_data()?;
        self.lost = false;
        Ok(())
    }

    fn seal(&self, binding: u32, value: &[u8]) -> Option<String> {
        self.sealer.as_ref()?.seal(binding, value).ok()
    }
}

/// The record of an earlier run, held so that no other process goes on with it. Not verified yet.
pub struct Earlier {
    dir: SafeDir,
    file: File,
    bytes: Vec<u8>,
    head: Head,
}

/// A record whose events are genuine.
pub struct Genuine {
    /// The events that this version knows, the first one included.
    pub events: Vec<Event>,
    record: Record,
    length: u64,
}

impl Earlier {
    /// Opens and holds the record in `dir`; `None` if there is none.
    ///
    /// # Errors
    /// A [`RecordError`] if it is not this user's, or its run is still going on.
    pub fn open(dir: SafeDir, paths: &HostPaths) -> Result<Option<Self>, RecordError> {
        if dir.open_file(EVENTS, forbid::ANY_ACCESS)?.is_none() {
            return Ok(None);
        }
        let path = dir.path().display().to_string();
        let file = dir.open_or_create_file(EVENTS)?;
        let owner = file.metadata()?.uid();
        if owner != paths.euid.as_raw() {
            return Err(RecordError::Foreign { path, owner });
        }
        let name = dir.path().file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        lock(&file, &name)?;
        let bytes = read_capped(&file, &dir.path().join(EVENTS), EVENTS_MAX)?;
        let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
        match Event::read(line) {
            Ok(Some(Event::Record(head))) => Ok(Some(Self { dir, file, bytes, head })),
            _ => Err(RecordError::NoRecord(path)),
        }
    }

    /// What the first event says; not to be relied on before [`Earlier::verify`].
    #[must_use]
    pub const fn head(&self) -> &Head {
        &self.head
    }

    /// Checks the MACs under the seed of the contract. A last line that was not written to its end is let go. `secrets` are replaced in what comes to it.
    ///
    /// # Errors
    /// [`RecordError::Tampered`], or no key.
    pub fn verify(self, seed: &Seed, secrets: &Arc<Secrets>) -> Result<Genuine, RecordError> {
        let mut chain = Chain::new(seed, &self.head.run_id);
        let Events { events, lines, length } = read_genuine(&self.bytes, &mut chain);
        let rest = self.bytes.get(length..).unwrap_or_default();
        if lines == 0 || rest.contains(&b'\n') {
            let path = self.dir.path().join(EVENTS).display().to_string();
            return Err(RecordError::Tampered { path, line: lines.saturating_add(1) });
        }
        let sealer = Some(Sealer(chain.keys.clone()));
        let (head, secrets) = (self.head, Arc::clone(secrets));
        let record = Record { dir: self.dir, events: self.file, pending: Vec::new(), chain, head, secrets, sealer, lost: false };
        Ok(Genuine { events, record, length: u64::try_from(length).unwrap_or(u64::MAX) })
    }
}

impl Genuine {
    /// What the first event says.
    #[must_use]
    pub const fn head(&self) -> &Head {
        &self.record.head
    }

    /// Opens what a runtime binding held.
    #[must_use]
    pub fn unseal(&self, binding: u32, sealed: &str) -> Option<Zeroizing<Vec<u8>>> {
        self.record.sealer.as_ref()?.open(binding, sealed)
    }

    /// Whether the run started in this directory.
    #[must_use]
    pub fn is_based_in(&self, base: &Path) -> bool {
        match &self.head().base_sealed {
            Some(sealed) => self.unseal(BASE, sealed).is_some_and(|known| *known == base.as_os_str().as_encoded_bytes()),
            None => *self.head().base == base.to_string_lossy(),
        }
    }

    /// Goes on writing. The run counts as unfinished again.
    ///
    /// # Errors
    /// A [`RecordError`]; then nothing may be run.
    pub fn go_on(self, steps_before: usize) -> Result<Record, RecordError> {
        let Self { mut record, length, .. } = self;
        record.events.set_len(length)?;
        record.events.seek(io::SeekFrom::Start(length))?;
        match fs::remove_file(record.dir.path().join(SUMMARY)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
        let resumed = CleanJson::new(&record.secrets, &Event::Resumed { steps_before }).line();
        record.note(&resumed);
        record.sync()?;
        Ok(record)
    }
}

/// Genuine events.
#[derive(Default)]
struct Events {
    /// Those that this version knows.
    events: Vec<Event>,
    /// How many lines they all are.
    lines: usize,
    /// And bytes.
    length: usize,
}

/// The genuine events at the beginning of `bytes`. What has a MAC and is no event was written by no version of Opal.
fn read_genuine(bytes: &[u8], chain: &mut Chain) -> Events {
    let mut read = Events::default();
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let before = chain.previous;
        let genuine = std::str::from_utf8(line).ok().and_then(|line| {
            let line = line.strip_suffix('\n')?;
            let (text, mac) = line.rsplit_once(",\"mac\":\"")?;
            let digits = mac.strip_suffix("\"}")?;
            // It has one spelling, so that no byte can differ unnoticed.
            let mac = hex::decode(digits)?;
            let mac: &[u8; 32] = mac.as_slice().try_into().ok()?;
            same_commitment(&chain.next(text), mac).then(|| Event::read(line.as_bytes()).ok())?
        });
        match genuine {
            Some(event) => {
                read.events.extend(event);
                read.lines = read.lines.saturating_add(1);
                read.length = read.length.saturating_add(line.len());
            }
            None => {
                chain.previous = before;
                break;
            }
        }
    }
    read
}

#[cfg(test)]
mod tests {
    use super::*;
    use opal_core::event::{At, Effects, Outcome, Which};
    use std::sync::LazyLock;

    fn about(seed: &Seed) -> About<'_> {
        static SECRETS: LazyLock<Arc<Secrets>> = LazyLock::new(Arc::default);
        About {
            run_id: "R1",
            contract_hash: Some("sha256:c"),
            plan_hash: "sha256:p",
            plan: CleanJson::new(&SECRETS, &()),
            secrets: &SECRETS,
            accepted_drift: None,
            seed,
            values: &[],
            base: Path::new("/"),
            from: None,
            environment: "clean",
        }
    }

    fn clean(line: &str) -> Clean {
        Clean::new(&Arc::default(), line.as_bytes())
    }

    /// The end of a step with this number.
    fn step(node: usize) -> Clean {
        clean(&Event::StepStarts { at: At { node, path: (node + 1).to_string() } }.line())
    }

    fn read(bytes: &[u8], id: &str, seed: &Seed) -> Events {
        read_genuine(bytes, &mut Chain::new(seed, id))
    }

    fn host(temp: &tempfile::TempDir) -> HostPaths {
        let mut paths = HostPaths::from_environment();
        paths.xdg_state_home = Some(temp.path().to_owned());
        paths
    }

    fn done() -> Done {
        Done {
            outcome: Outcome::Succeeded,
            detail: None,
            effects: Effects::Started,
            exit: 0,
            steps_done: 1,
            steps_total: 1,
            failures: Vec::new(),
            left_running: Vec::new(),
            cleaned_up: Vec::new(),
            cleanup_skipped: Vec::new(),
            elapsed_ms: 0,
            resumable: false,
            which: Which { run_id: "R1".to_owned(), ..Which::default() },
        }
    }

    #[test]
    fn a_record_says_what_was_to_run_what_happened_and_how_it_ended() {
        use std::os::unix::fs::PermissionsExt as _;
        let temp = tempfile::tempdir().expect("directory");
        let seed = Seed::from_bytes([7; 32]);
        let mut record = Record::create(Place::State(&host(&temp)), &about(&seed)).expect("record");
        let path = record.path().to_owned();
        assert_eq!(path, temp.path().join("opal/runs/R1"));
        assert_eq!(fs::metadata(&path).expect("directory").permissions().mode() & 0o777, 0o700);
        record.note(&step(0));
        record.sync().expect("written");
        record.note(&clean("{\"event\":\"of_a_later_version\"}"));
        record.note(&step(1));
        record.finish(done()).expect("written");
        let bytes = fs::read(path.join(EVENTS)).expect("events");
        let Events { events, lines, length } = read(&bytes, "R1", &seed);
        let nodes: Vec<Option<usize>> = events.iter().map(|event| event.at().map(|at| at.node)).collect();
        assert_eq!((nodes, lines, length), (vec![None, Some(0), Some(1)], 4, bytes.len()));
        let summary = Summary::read(&fs::read(path.join("summary.json")).expect("summary")).expect("a summary");
        assert_eq!((summary.done, summary.plan_hash.as_str()), (done(), "sha256:p"));
        let again = Record::create(Place::Directory(&path, &host(&temp)), &about(&seed));
        assert!(matches!(again, Err(RecordError::Taken(_))));
        // A place is made, or is empty and its owner's alone already; what is there keeps its permissions.
        let place = temp.path().join("place");
        fs::create_dir(&place).expect("directory");
        let create = || Record::create(Place::Directory(&place, &host(&temp)), &about(&seed)).map(drop);
        for (mode, entry, taken) in [(0o755, None, false), (0o700, Some("other"), false), (0o700, None, true)] {
            fs::set_permissions(&place, fs::Permissions::from_mode(mode)).expect("its mode");
            entry.into_iter().for_each(|name| fs::write(place.join(name), "").expect("a file"));
            assert_eq!(create().is_ok(), taken, "{mode:o} {entry:?}");
            assert_eq!(fs::metadata(&place).expect("there").permissions().mode() & 0o7777, mode);
            entry.into_iter().for_each(|name| fs::remove_file(place.join(name)).expect("still there"));
        }
    }

    #[test]
    fn an_event_that_was_changed_moved_removed_or_torn_is_noticed() {
        let temp = tempfile::tempdir().expect("directory");
        let seed = Seed::from_bytes([7; 32]);
        let mut record = Record::create(Place::Directory(&temp.path().join("r"), &host(&temp)), &about(&seed)).expect("record");
        for n in 0..3 {
            record.note(&step(n));
        }
        record.sync().expect("written");
        let bytes = fs::read(record.path().join(EVENTS)).expect("events");
        let whole = |bytes: &[u8], id: &str, seed: &Seed| {
            let found = read(bytes, id, seed);
            (found.events.len(), found.length < bytes.len())
        };
        assert_eq!(whole(&bytes, "R1", &seed), (4, false));
        assert_eq!(whole(&bytes, "R2", &seed), (0, true));
        assert_eq!(whole(&bytes, "R1", &Seed::from_bytes([8; 32])), (0, true));
        for (at, bit) in (0..bytes.len()).flat_map(|at| (0..8).map(move |bit| (at, bit))) {
            let mut changed = bytes.clone();
            changed[at] ^= 1 << bit;
            let (events, more) = whole(&changed, "R1", &seed);
            assert!(more && events < 4, "bit {bit} of byte {at}");
        }
        let lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
        assert_eq!(whole(&[lines[0], lines[2], lines[3]].concat(), "R1", &seed), (1, true));
        assert_eq!(whole(&bytes[..bytes.len() - 5], "R1", &seed), (3, true));
        // Nor does a MAC make an event of what is none.
        record.note(&clean("{\"event\":\"step_done\",\"node\":1,\"path\":\"2\"}"));
        record.sync().expect("written");
        assert_eq!(whole(&fs::read(record.path().join(EVENTS)).expect("events"), "R1", &seed), (4, true));
    }

    #[test]
    fn a_record_that_was_removed_stops_the_run() {
        let temp = tempfile::tempdir().expect("directory");
        let seed = Seed::from_bytes([7; 32]);
        let mut record = Record::create(Place::Directory(&temp.path().join("r"), &host(&temp)), &about(&seed)).expect("record");
        fs::remove_dir_all(record.path()).expect("removed");
        record.note(&step(0));
        assert_eq!(record.sync().map_err(|error| error.kind()), Err(io::ErrorKind::NotFound));
    }

    #[test]
    fn what_a_binding_holds_is_sealed_and_opens_in_its_own_run_only() {
        let sealer = |byte, run_id: &str| Sealer(JournalKeys::new(&Seed::from_bytes([byte; 32]), run_id.as_bytes()));
        for value in [b"".as_slice(), b"x", b"hunter2 hunter2", &[0xff; 60], &[7; 61]] {
            let sealed = sealer(7, "R1").seal(3, value).expect("random");
            assert!(sealed.len() >= 56 + 128 && sealed.len() % 128 == 56, "the length does not show: {}", sealed.len());
            assert_eq!(sealer(7, "R1").open(3, &sealed).as_deref().map(Vec::as_slice), Some(value));
            for (other, binding) in [(sealer(8, "R1"), 3), (sealer(7, "R2"), 3), (sealer(7, "R1"), 4)] {
                assert_eq!(other.open(binding, &sealed), None);
            }
            assert_ne!(sealed, sealer(7, "R1").seal(3, value).expect("random"), "no nonce serves twice");
        }
        for damaged in ["", "00", "zz", &"0".repeat(33), "größe"] {
            assert_eq!(sealer(7, "R1").open(3, damaged), None);
        }
    }

    #[test]
    fn a_record_that_cannot_be_made_leaves_nothing_behind() {
        let temp = tempfile::tempdir().expect("directory");
        let seed = Seed::from_bytes([7; 32]);
        let dir = temp.path().join("r");
        fs::create_dir_all(dir.join(PLAN)).expect("a directory in the way of the plan");
        assert!(Record::create(Place::Directory(&dir, &host(&temp)), &about(&seed)).is_err());
        let left: Vec<_> = fs::read_dir(&dir).expect("theirs").flatten().map(|entry| entry.file_name()).collect();
        assert_eq!(left, [PLAN]);
    }

    #[test]
    fn a_torn_last_line_is_let_go_and_a_changed_event_is_refused() {
        let temp = tempfile::tempdir().expect("directory");
        let (seed, host) = (Seed::from_bytes([7; 32]), host(&temp));
        let mut record = Record::create(Place::State(&host), &about(&seed)).expect("record");
        let (path, dir) = (record.path().join(EVENTS), record.path().to_owned());
        for n in 0..3 {
            record.note(&step(n));
        }
        record.sync().expect("written");
        let open = || Earlier::open(SafeDir::open(&dir, host.euid).expect("safe").expect("there"), &host);
        assert!(matches!(open(), Err(RecordError::Running(_))));
        drop(record);
        let whole = fs::read(&path).expect("events");
        let lines: Vec<&[u8]> = whole.split_inclusive(|byte| *byte == b'\n').collect();
        fs::write(&path, &whole[..whole.len() - 5]).expect("torn");
        let genuine = open().expect("readable").expect("there").verify(&seed, &Arc::default()).expect("genuine");
        assert_eq!(genuine.events.len(), 3);
        assert!(genuine.is_based_in(Path::new("/")) && !genuine.is_based_in(Path::new("/x")));
        let mut record = genuine.go_on(2).expect("writable");
        record.note(&step(2));
        record.sync().expect("written");
        drop(record);
        assert_eq!(open().expect("readable").expect("there").verify(&seed, &Arc::default()).expect("genuine").events.len(), 5);
        for tampered in [lines[0].to_vec(), [lines[0], lines[2], lines[3]].concat(), [&whole[..], b"{}\n"].concat()] {
            fs::write(&path, &tampered).expect("written");
            let verified = open().expect("readable").expect("there").verify(&seed, &Arc::default()).map(|genuine| genuine.events.len());
            // Cut at the end of an event, it is what a run that died there leaves.
            assert!(if tampered == lines[0] { matches!(verified, Ok(1)) } else { matches!(verified, Err(RecordError::Tampered { .. })) });
        }
        fs::write(&path, &whole).expect("restored");
        assert!(matches!(
            open().expect("readable").expect("there").verify(&Seed::from_bytes([8; 32]), &Arc::default()),
            Err(RecordError::Tampered { .. })
        ));
    }

    #[test]
    fn old_finished_records_go_first_and_one_that_is_going_on_never() {
        let temp = tempfile::tempdir().expect("directory");
        let seed = Seed::from_bytes([7; 32]);
        let host = host(&temp);
        let id = |n: usize| format!("20260506T070809Z-{n:08x}");
        let make = |n: usize| Record::create(Place::State(&host), &About { run_id: &id(n), ..about(&seed) }).expect("record");
        let kept = |n: usize| temp.path().join("opal/runs").join(id(n)).exists();
        let count = || fs::read_dir(temp.path().join("opal/runs")).expect("runs").count();
        let running = make(0);
        drop(make(1));
        for n in 2..103 {
            make(n).finish(done()).expect("written");
        }
        assert_eq!((count(), kept(0), kept(1), kept(2), kept(3), kept(4), kept(102)), (100, true, true, false, false, false, true));
        for n in 103..303 {
            drop(make(n));
        }
        assert_eq!((count(), kept(0), kept(1), kept(102), kept(302)), (200, true, false, false, true));
        drop(running);
        let (a, b) = (run_id(Timestamp::UNIX_EPOCH).expect("random"), run_id(Timestamp::UNIX_EPOCH).expect("random"));
        assert!(a != b && a.starts_with("19700101T000000Z-") && kept::is_run_id(&a) && !kept::is_run_id("../../etc"));
    }
}
