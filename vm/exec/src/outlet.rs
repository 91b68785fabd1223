//! The way out of the process while a run lives, and after it. What is read for "no secret leaves unscrubbed" is this module and `scrub`.
//!
//! The promise: from the moment [`Secrets::add`] has returned, no byte that is read afterwards, and none that is still held back, leaves with the value
//! in it. Held back is what a scrubber holds, what a branch of `@parallel` has written and waits for its turn, and what a slow reader has not taken, but for
//! the piece that is being handed to the kernel. Two processes that print at the same time cannot be ordered: what left before the VM held the
//! whole value has left.
//!
//! - An [`Outlet`] has standard output and standard error. Output of steps has been scrubbed by the stream that it came from when it comes here, and
//!   is scrubbed once more as the sequence of bytes that leaves: a value may be put together from two streams that are one terminal or pipe, from two steps that end
//!   no line, from branches, or from what was buffered before the value was known.
//! - [`Clean`] is text without the secrets that are known when it is made; nothing else makes one. Messages, lines of progress, events and the
//!   documents of a record go through it. In JSON the strings are scrubbed before they are escaped, so that no value can break the form, but for fields
//!   whose words are ours (`FIXED`).
//!
//! Not promised: an event is judged when it is noted, though it may be written with the next step.
//!
//! Read for: no secret leaves unscrubbed.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use opal_core::event::{self, Event};
use opal_core::plan::{Plan, Scalar, Unscrubbed};
use opal_core::show::{Style, exact, json_line, json_text};
use serde::Serialize;
use serde_json::Value;

use crate::deliver::{PIPE_BUF, deliver};
use crate::run::progress::Progress;
use crate::scrub::{Scrubber, Secrets};
use crate::supervise::lane::Stream;
use crate::supervise::signals::Signals;

/// Fields of events and reports whose words are ours, or names of places in the plan.
const FIXED: &str = "sealed result after stopped outcome schema effects path signal run_id resumed_from from code event stream";

/// Text that holds none of the secrets that were known when it was made.
#[derive(Clone, Debug)]
pub struct Clean(String);

impl Clean {
    /// Scrubs a text.
    #[must_use]
    pub fn new(secrets: &Arc<Secrets>, text: &str) -> Self {
        if secrets.is_empty() {
            return Self(text.to_owned());
        }
        Self(String::from_utf8_lossy(&secrets.scrub(text.as_bytes())).into_owned())
    }

    /// Scrubs the strings of a JSON document.
    #[must_use]
    pub fn json(secrets: &Arc<Secrets>, document: &impl Serialize) -> CleanJson {
        // What cannot be a value has nothing that leaves.
        let mut value = serde_json::to_value(document).unwrap_or_default();
        tame(secrets, &mut value);
        CleanJson(value)
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Writes it to a file or terminal of this process.
    ///
    /// # Errors
    /// Those of writing.
    pub fn write_to(&self, to: &mut dyn Write) -> io::Result<()> {
        to.write_all(self.0.as_bytes()).and_then(|()| to.flush())
    }
}

/// Scrubs what is written to it, on its way to `to`.
pub struct CleanWriter<'a> {
    scrubber: Scrubber,
    to: &'a mut dyn Write,
}

impl<'a> CleanWriter<'a> {
    /// A way to `to`.
    #[must_use]
    pub fn new(secrets: &Arc<Secrets>, to: &'a mut dyn Write) -> Self {
        Self { scrubber: Scrubber::new(Arc::clone(secrets)), to }
    }
}

impl Write for CleanWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut out = Vec::with_capacity(bytes.len());
        self.scrubber.write(bytes, &mut out);
        self.to.write_all(&out)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let mut out = Vec::new();
        self.scrubber.finish(&mut out);
        self.to.write_all(&out).and_then(|()| self.to.flush())
    }
}

/// A JSON value whose strings hold none of the secrets that were known when it was made.
#[derive(Clone, Debug)]
pub struct CleanJson(Value);

impl CleanJson {
    /// On one line, without a line end.
    #[must_use]
    pub fn line(&self) -> String {
        json_line(&self.0)
    }

    /// Over lines, without the last line end.
    #[must_use]
    pub fn text(&self) -> String {
        json_text(&self.0)
    }

    /// The value itself.
    #[must_use]
    pub fn into_value(self) -> Value {
        self.0
    }
}

/// Whether both lead to the same terminal, pipe or file.
fn are_one(files: &[File; 2]) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let [out, err] = files.each_ref().map(|file| file.metadata().ok().map(|file| (file.dev(), file.ino())));
    out.is_some() && out == err
}

/// Takes over the values of a plan that are to be replaced, each by its placeholder.
pub fn learn(secrets: &Secrets, plan: &Plan) {
    let slots = &plan.slots;
    let mut values = Vec::new();
    for (index, (slot, value)) in slots.slots.iter().zip(&plan.values).enumerate() {
        // What nobody gave a reason for is replaced.
        if plan.unscrubbed.get(index).is_none_or(|reason| *reason == Unscrubbed::No)
            && let Some(value @ Scalar::String(_)) = value
        {
            let id = String::from_utf8_lossy(slot.display.of(&slots.text).unwrap_or_default());
            values.push((value.text(), Style::Plain.placeholder(&id)));
        }
    }
    secrets.add(values.iter().map(|(value, name)| (value.as_slice(), name.as_str())));
}

fn tame(secrets: &Arc<Secrets>, value: &mut Value) {
    match value {
        Value::String(text) => *text = exact(&secrets.scrub(text.as_bytes())).to_string(),
        Value::Array(values) => values.iter_mut().for_each(|value| tame(secrets, value)),
        Value::Object(fields) => {
            fields
                .iter_mut()
                .filter(|(name, _)| !FIXED.split(' ').any(|fixed| fixed == name.as_str()))
                .for_each(|(_, value)| tame(secrets, value));
        }
        _ => {}
    }
}

/// Standard output and standard error of a run. After the first error everything is dropped, so that cleanup goes on.
pub struct Outlet {
    secrets: Arc<Secrets>,
    ends: Mutex<Ends>,
    /// Whether each stream is in the middle of a line.
    mid_line: [AtomicBool; 2],
    /// Both streams are one terminal, pipe or file.
    joined: bool,
    progress: Option<Arc<dyn Progress>>,
    signals: Arc<Signals>,
    /// Output becomes events on stdout; these are the paths of the nodes.
    json: Option<Arc<[String]>>,
}

struct Ends {
    files: Option<[File; 2]>,
    /// What leaves by each stream; by the first alone where both are one.
    sequences: [Sequence; 2],
}

/// A sequence of bytes that leaves, and who wrote them.
struct Sequence {
    scrubber: Scrubber,
    runs: VecDeque<(Origin, usize)>,
}

/// Who wrote bytes: a node, or the VM itself, which needs not be heard where it is not `needed`.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Origin {
    stream: Stream,
    node: Option<usize>,
    needed: bool,
}

impl Sequence {
    fn push(&mut self, origin: Origin, bytes: &[u8]) {
        self.scrubber.push(bytes);
        match self.runs.back_mut() {
            Some((last, length)) if *last == origin => *length = length.saturating_add(bytes.len()),
            _ => self.runs.push_back((origin, bytes.len())),
        }
    }

    /// Fills `piece` with the next bytes that may leave and one origin wrote, about `most` at most.
    fn pull(&mut self, most: usize, piece: &mut Vec<u8>) -> Option<Origin> {
        piece.clear();
        while self.runs.pop_front_if(|(_, left)| *left == 0).is_some() {}
        let (origin, _) = *self.runs.front()?;
        while piece.len() < most
            && let Some((_, left)) = self.runs.front().filter(|(of, left)| *of == origin && *left > 0)
        {
            let mut pulled = self.scrubber.pull(most.saturating_sub(piece.len()).min(*left), piece);
            if pulled == 0 {
                break;
            }
            // A placeholder may stand for bytes of several.
            while let Some((_, left)) = self.runs.front_mut().filter(|_| pulled > 0) {
                let here = pulled.min(*left);
                *left = left.saturating_sub(here);
                pulled = pulled.saturating_sub(here);
                self.runs.pop_front_if(|(_, left)| *left == 0);
            }
        }
        (!piece.is_empty()).then_some(origin)
    }
}

impl Outlet {
    /// The way out through these two files.
    #[must_use]
    pub fn new(
        files: [File; 2],
        secrets: Arc<Secrets>,
        signals: Arc<Signals>,
        json: Option<Arc<[String]>>,
        progress: Option<Arc<dyn Progress>>,
    ) -> Self {
        let joined = json.is_none() && are_one(&files);
        let sequence = || Sequence { scrubber: Scrubber::new(Arc::clone(&secrets)), runs: VecDeque::new() };
        let ends = Mutex::new(Ends { files: Some(files), sequences: [sequence(), sequence()] });
        Self { secrets, ends, mid_line: Default::default(), joined, progress, signals, json }
    }

    /// Takes output of a step.
    ///
    /// # Errors
    /// Where it cannot be delivered.
    pub fn put(&self, node: usize, stream: Stream, bytes: &[u8]) -> io::Result<()> {
        self.pass(Origin { stream, node: Some(node), needed: true }, bytes, false)
    }

    /// Holds nothing back any longer: a step has ended.
    ///
    /// # Errors
    /// Where it cannot be delivered.
    pub fn flush(&self) -> io::Result<()> {
        [Stream::Stdout, Stream::Stderr]
            .into_iter()
            .map(|stream| self.pass(Origin { stream, node: None, needed: true }, b"", true))
            .fold(Ok(()), Result::and)
    }

    /// Writes one line that is not a step's output: a line of its own, whatever a step has written before.
    ///
    /// # Errors
    /// Where it cannot be delivered.
    pub fn line(&self, stream: Stream, line: &str) -> io::Result<()> {
        self.pass(Origin { stream, node: None, needed: true }, self.apart(stream, line).as_bytes(), true)
    }

    /// Writes a line that nobody misses where it cannot be written.
    pub fn tell(&self, line: &str) {
        let stream = Stream::Stderr;
        let _ = self.pass(Origin { stream, node: None, needed: false }, self.apart(stream, line).as_bytes(), true);
    }

    /// Writes an event as a line of standard output.
    ///
    /// # Errors
    /// Where it cannot be delivered.
    pub fn event(&self, event: &CleanJson) -> io::Result<()> {
        let mut ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        let origin = Origin { stream: Stream::Stdout, node: None, needed: true };
        self.write(&mut ends, origin, format!("{}\n", event.line()).as_bytes())
    }

    fn apart(&self, stream: Stream, line: &str) -> String {
        let start = if self.is_mid_line(stream) { "\n" } else { "" };
        format!("{start}{line}\n")
    }

    /// Whether what is written to `stream` would go on in a line that a step has begun.
    pub fn is_mid_line(&self, stream: Stream) -> bool {
        let [out, err] = self.mid_line.each_ref().map(|mid| mid.load(Ordering::Acquire));
        (if stream == Stream::Stdout { out } else { err }) || (self.joined && (out || err))
    }

    fn pass(&self, origin: Origin, bytes: &[u8], last: bool) -> io::Result<()> {
        let mut ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        let number = usize::from(origin.stream == Stream::Stderr && !self.joined);
        let most = if self.json.is_some() { usize::MAX } else { PIPE_BUF };
        let mut piece = Vec::new();
        let Some(sequence) = ends.sequences.get_mut(number) else { return Ok(()) };
        sequence.push(origin, bytes);
        if last {
            sequence.scrubber.flush();
        }
        while let Some(origin) = ends.sequences.get_mut(number).and_then(|sequence| sequence.pull(most, &mut piece)) {
            self.emit(&mut ends, origin, &piece)?;
        }
        Ok(())
    }

    /// Writes what is clean, as it is or as an event.
    fn emit(&self, ends: &mut Ends, origin: Origin, piece: &[u8]) -> io::Result<()> {
        let (Some(paths), Some(node)) = (&self.json, origin.node) else { return self.write(ends, origin, piece) };
        let stream = if origin.stream == Stream::Stdout { event::Stream::Stdout } else { event::Stream::Stderr };
        let event = Event::Output { path: paths.get(node).cloned().unwrap_or_default(), stream, bytes: piece.into() };
        self.write(ends, Origin { stream: Stream::Stdout, ..origin }, format!("{}\n", event.line()).as_bytes())
    }

    fn write(&self, ends: &mut Ends, origin: Origin, bytes: &[u8]) -> io::Result<()> {
        let Origin { stream, needed, .. } = origin;
        let Some([stdout, stderr]) = ends.files.as_mut() else { return Ok(()) };
        let file = if stream == Stream::Stdout { stdout } else { stderr };
        for (number, mid) in self.mid_line.iter().enumerate() {
            if self.joined || (number == 0) == (stream == Stream::Stdout) {
                mid.store(bytes.last().is_some_and(|byte| *byte != b'\n'), Ordering::Release);
            }
        }
        let mut write = |bytes: &[u8]| deliver(file, bytes, &self.signals);
        let done = match &self.progress {
            Some(progress) => progress.output(stream, bytes, &mut write),
            None => write(bytes),
        };
        // A reader that has been waited for is not waited for again.
        if done.as_ref().is_err_and(|error| needed || error.kind() == io::ErrorKind::TimedOut) {
            ends.files = None;
        }
        done
    }

    /// The secrets that are known.
    #[must_use]
    pub const fn secrets(&self) -> &Arc<Secrets> {
        &self.secrets
    }
}

/// Says on standard error, after a run, how it ended: as [`Outlet`] writes, for a while at most once the run is to stop.
pub fn say_last(mut stderr: File, text: &Clean, signals: &Signals) {
    let _ = deliver(&mut stderr, text.as_str().as_bytes(), signals);
}
