//! The way out of the process while a run lives, and after it. What commands say while nothing runs goes by `vm/src/cli/ends.rs`.
//!
//! The promise: from the moment [`Secrets::add`] has returned, no byte that is read afterwards, and none that is still held back, leaves with the value
//! in it. Held back is what a scrubber holds, what a branch of `@parallel` has written and waits for its turn, and what a slow reader has not taken, but for
//! the piece that is being handed to the kernel. Two processes that print at the same time cannot be ordered: what left before the VM held the
//! whole value has left.
//!
//! - An [`Outlet`] has standard output and standard error. Output of steps has been scrubbed by the stream that it came from when it comes here, and
//!   is scrubbed once more as the sequence of bytes that leaves: a value may be put together from two streams that are one terminal or pipe, from two steps that end
//!   no line, from branches, or from what was buffered before the value was known.
//! - Events, and what is drawn around output, are [`Clean`] when they come here.
//!
//! Not promised: an event is judged when it is noted, though it may be written with the next step.
//!
//! Read for: no secret leaves unscrubbed.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use opal_core::event::{self, Event};

use crate::clean::Clean;
use crate::deliver::{PIPE_BUF, Patience, deliver};
use crate::run::progress::Progress;
use crate::scrub::{Scrubber, Secrets};
use crate::supervise::lane::Stream;
use crate::supervise::signals::Signals;

/// Whether both lead to the same terminal, pipe or file.
fn are_one(files: &[File; 2]) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let [out, err] = files.each_ref().map(|file| file.metadata().ok().map(|file| (file.dev(), file.ino())));
    out.is_some() && out == err
}

/// Standard output and standard error of a run. After the first error everything is dropped, so that cleanup goes on.
pub struct Outlet {
    ends: Mutex<Ends>,
    /// Whether each stream is in the middle of a line.
    mid_line: [AtomicBool; 2],
    /// Both streams are one terminal, pipe or file.
    joined: bool,
    progress: Option<Arc<dyn Progress>>,
    signals: Arc<Signals>,
    patience: Arc<Patience>,
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
        secrets: &Arc<Secrets>,
        signals: Arc<Signals>,
        patience: Arc<Patience>,
        json: Option<Arc<[String]>>,
        progress: Option<Arc<dyn Progress>>,
    ) -> Self {
        let joined = json.is_none() && are_one(&files);
        let sequence = || Sequence { scrubber: Scrubber::new(Arc::clone(secrets)), runs: VecDeque::new() };
        let ends = Mutex::new(Ends { files: Some(files), sequences: [sequence(), sequence()] });
        Self { ends, mid_line: Default::default(), joined, progress, signals, patience, json }
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
        let [out, err] = [Stream::Stdout, Stream::Stderr].map(|stream| self.pass(Origin { stream, node: None, needed: true }, b"", true));
        out.and(err)
    }

    /// Writes one line to standard error that is not a step's output: a line of its own, whatever a step has written before. Where it is not `needed`, the
    /// run goes on without it.
    ///
    /// # Errors
    /// Where it cannot be delivered.
    pub fn line(&self, line: &str, needed: bool) -> io::Result<()> {
        let line = format!("{}{line}\n", if self.is_mid_line(Stream::Stderr) { "\n" } else { "" });
        self.pass(Origin { stream: Stream::Stderr, node: None, needed }, line.as_bytes(), true)
    }

    /// Writes an event as a line of standard output.
    ///
    /// # Errors
    /// Where it cannot be delivered.
    pub fn event(&self, event: &Clean) -> io::Result<()> {
        let mut ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        self.write(&mut ends, Origin { stream: Stream::Stdout, node: None, needed: true }, format!("{}\n", event.as_str()).as_bytes())
    }

    /// Whether nothing is passed on any longer.
    pub(crate) fn is_lost(&self) -> bool {
        self.ends.lock().unwrap_or_else(PoisonError::into_inner).files.is_none()
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
        let mid_line = bytes.last().is_some_and(|byte| *byte != b'\n');
        for (number, mid) in self.mid_line.iter().enumerate() {
            if self.joined || (number == 0) == (stream == Stream::Stdout) {
                mid.store(mid_line, Ordering::Release);
            }
        }
        let done = match &self.progress {
            // In one piece, so that what is drawn does not flicker.
            Some(progress) => progress.output(stream, mid_line, &mut |before, after| {
                let parts = [before.as_str().as_bytes(), bytes, after.as_str().as_bytes()];
                deliver(file, &parts.concat(), &self.signals, &self.patience)
            }),
            None => deliver(file, bytes, &self.signals, &self.patience),
        };
        // A reader that has been waited for is not waited for again.
        let late = done.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::TimedOut);
        if late {
            self.patience.end_at(Some(Instant::now()));
        }
        if late || (needed && done.is_err()) {
            ends.files = None;
        }
        done
    }
}
