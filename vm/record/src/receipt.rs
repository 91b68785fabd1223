//! The receipt of a run (spec/attestations.md): what was run and how it went, signed by the identity that opened the contract.
//!
//! A receipt is written when the run has ended, however it ended, under a temporary name that is there before anything runs, and then linked into
//! place; it never takes the place of a file. It is made from [`Clean`] documents and events, and of these from few fields.
//!
//! Read for: everything in the process that runs a contract.

use std::io::{self, Write as _};
use std::path::PathBuf;

use jiff::Timestamp;
use opal_format::attestation::{self, NAMESPACE_RECEIPT};
use opal_format::identity::PublicKey;
use opal_format::signature::{MessageHash, SshSignature, sha512};
use serde_json::{Map, Value, json};

use crate::results::ResultPlace;
use opal_exec::clean::{Clean, CleanJson};
use opal_exec::recorder::Recorder;
use opal_trust::new_file::NewFile;

/// Events that a receipt has a line of.
const EVENTS: &[&str] = &["step_done", "attempt", "catch", "finally"];
/// Their fields that it shows.
const FIELDS: &[&str] = &["path", "result", "exit", "signal", "stopped", "elapsed_ms", "attempt", "of"];
/// Fields of the end of a run, and of each of its failures.
const END: &[&str] = &["outcome", "detail", "effects", "exit", "steps_done", "steps_total", "cleaned_up", "cleanup_skipped", "elapsed_ms"];
const FAILURE: &[&str] = &["path", "cause", "handled", "first_cause", "elapsed_ms"];

/// Why there is no receipt.
#[derive(Debug, thiserror::Error)]
pub enum ReceiptError {
    /// Its place is taken.
    #[error("`{}` exists already, and is never overwritten", .0.display())]
    Exists(PathBuf),
    /// It cannot be written.
    #[error("the receipt `{}` cannot be written: {}", path.display(), opal_core::plan::os_reason(cause))]
    Write {
        /// Where.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// It cannot be signed.
    #[error("the receipt cannot be signed: the process that holds the key has ended, or has signed something else")]
    Sign,
}

/// A receipt in the making. Passes everything on to the record.
pub struct Receipt<'a> {
    record: &'a mut dyn Recorder,
    by: PublicKey,
    place: Place,
    text: String,
    lines: u64,
    /// The scrubbed report of the run.
    done: Value,
}

/// Where a receipt will be, and the file that becomes it; gone when this is dropped.
pub struct Place {
    path: PathBuf,
    file: NewFile,
}

impl Place {
    /// Takes a place that is free, for a file with these permissions.
    ///
    /// # Errors
    /// A [`ReceiptError`].
    pub fn take(place: &ResultPlace, mode: u32) -> Result<Self, ReceiptError> {
        let path = place.path().to_owned();
        if place.is_taken() {
            return Err(ReceiptError::Exists(path));
        }
        let file = place.make(mode).map_err(|cause| ReceiptError::Write { path: path.clone(), cause })?;
        Ok(Self { path, file })
    }
}

impl<'a> Receipt<'a> {
    /// Begins a receipt that will be signed `by` this key with `about`, an object that says what is run.
    #[must_use]
    pub fn begin(place: Place, about: CleanJson<'_>, by: PublicKey, record: &'a mut dyn Recorder) -> Self {
        let mut receipt = Self { record, by, place, text: String::new(), lines: 0, done: Value::Null };
        let mut head = pick(&read(&about.line()), None);
        head.insert("schema".to_owned(), json!("opal/receipt/v1"));
        head.insert("identity".to_owned(), json!(by.to_string()));
        receipt.line("run", head);
        receipt
    }

    fn line(&mut self, kind: &str, mut fields: Map<String, Value>) {
        fields.insert("record".to_owned(), json!(kind));
        fields.insert("at".to_owned(), json!(Timestamp::now().to_string()));
        self.text.push_str(&opal_core::show::json_line(&fields));
        self.text.push('\n');
        self.lines = self.lines.saturating_add(1);
    }

    /// Closes the receipt, has its SHA-512 digest signed and puts it in its place. `sign` is whoever holds the key, which is not this process.
    ///
    /// # Errors
    /// A [`ReceiptError`]; the run itself is over.
    pub fn finish(mut self, report: CleanJson<'_>, sign: impl FnOnce(&[u8; 64]) -> Option<[u8; 64]>) -> Result<PathBuf, ReceiptError> {
        let failures: Vec<Value> = self
            .done
            .get("failures")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .map(|one| Value::Object(pick(one, Some(FAILURE))))
            .collect();
        // What the run came to may have been decided after its last event.
        let mut end = pick(&read(&report.line()), Some(END));
        end.insert("failures".to_owned(), json!(failures));
        end.insert("records".to_owned(), json!(self.lines));
        self.line("end", end);
        let signed = sign(&sha512(self.text.as_bytes())).ok_or(ReceiptError::Sign)?;
        let signature = SshSignature::from_raw(self.by.into(), NAMESPACE_RECEIPT, MessageHash::Sha512, signed.into());
        signature.verify(self.text.as_bytes()).map_err(|_| ReceiptError::Sign)?;
        let bytes = attestation::write(&signature, self.text.as_bytes());
        let Place { path, mut file } = self.place;
        // What is there by now stays.
        match file.file().write_all(&bytes).and_then(|()| file.put(false)) {
            Ok(()) => Ok(path),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(ReceiptError::Exists(path)),
            Err(cause) => Err(ReceiptError::Write { path, cause }),
        }
    }
}

/// A document.
fn read(clean: &Clean) -> Value {
    serde_json::from_str(clean.as_str()).unwrap_or_default()
}

/// These fields of an object, or all.
fn pick(object: &Value, names: Option<&[&str]>) -> Map<String, Value> {
    let wanted = |name: &String| names.is_none_or(|names| names.contains(&name.as_str()));
    object.as_object().into_iter().flatten().filter(|(name, _)| wanted(name)).map(|(name, value)| (name.clone(), value.clone())).collect()
}

impl Recorder for Receipt<'_> {
    fn is_recording(&self) -> bool {
        true
    }

    fn note(&mut self, event: &Clean) {
        let value = read(event);
        match value.get("event").and_then(Value::as_str) {
            Some("run_done") => self.done = value,
            Some(name) if EVENTS.contains(&name) => self.line(name, pick(&value, Some(FIELDS))),
            _ => {}
        }
        if self.record.is_recording() {
            self.record.note(event);
        }
    }

    fn sync(&mut self) -> io::Result<()> {
        self.record.sync()
    }

    fn seal(&self, binding: u32, value: &[u8]) -> Option<String> {
        self.record.seal(binding, value)
    }
}
