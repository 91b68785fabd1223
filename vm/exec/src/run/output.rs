//! Where the output of steps goes: through a scrubber to the VM's own stdout and stderr, or into a buffer whose turn
//! comes later.

use std::fs::File;
use std::io::{self, IsTerminal as _, Read as _, Seek as _, Write};
use std::os::fd::AsFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, poll};
use serde_json::json;

use super::Shared;
use super::progress::Progress;
use crate::scrub::Scrubber;
use crate::supervise::lane::{Sink, Stream};
use crate::supervise::signals::{Phase, Signals};
use crate::supervise::wait::poll_timeout;

/// What a buffer keeps in memory; more goes to an unlinked file.
const BUFFER_MAX: usize = 1 << 20;

/// What a pipe that is ready takes without blocking.
const PIPE_BUF: usize = 4096;

/// How long a reader that does not read may hold up a run that is to stop.
const READER_MAX: Duration = Duration::from_secs(2);

/// How much of a step's last stderr is kept for the report.
const TAIL_MAX: usize = 2048;

/// Takes scrubbed output.
pub(super) trait Put: Send + Sync {
    /// Takes bytes of `stream` that the node `node` wrote.
    fn put(&self, node: usize, stream: Stream, bytes: &[u8]) -> io::Result<()>;
}

/// The VM's own stdout and stderr. After the first error everything is dropped, so that cleanup goes on.
pub(super) struct Direct {
    files: Mutex<Option<[File; 2]>>,
    /// Whether each stream is in the middle of a line.
    mid_line: [AtomicBool; 2],
    /// Both streams are one terminal.
    joined: bool,
    progress: Option<Arc<dyn Progress>>,
    signals: Arc<Signals>,
    /// Output becomes events on stdout; these are the paths of the nodes.
    json: Option<Arc<[String]>>,
}

impl Direct {
    pub(super) fn new(files: [File; 2], signals: Arc<Signals>, json: Option<Arc<[String]>>, progress: Option<Arc<dyn Progress>>) -> Self {
        let joined = files.iter().all(File::is_terminal);
        Self { files: Mutex::new(Some(files)), mid_line: Default::default(), joined, progress, signals, json }
    }

    /// Writes one line that is not a step's output: a line of its own, whatever a step has written before.
    pub(super) fn line(&self, stream: Stream, line: &str) -> io::Result<()> {
        self.write(stream, self.apart(stream, line).as_bytes(), true)
    }

    /// Writes a line that nobody misses where it cannot be written.
    pub(super) fn tell(&self, line: &str) {
        let _ = self.write(Stream::Stderr, self.apart(Stream::Stderr, line).as_bytes(), false);
    }

    fn apart(&self, stream: Stream, line: &str) -> String {
        let start = if self.is_mid_line(stream) { "\n" } else { "" };
        format!("{start}{line}\n")
    }

    /// Whether what is written to `stream` would go on in a line that a step has begun.
    pub(super) fn is_mid_line(&self, stream: Stream) -> bool {
        let [out, err] = self.mid_line.each_ref().map(|mid| mid.load(Ordering::Acquire));
        (if stream == Stream::Stdout { out } else { err }) || (self.joined && (out || err))
    }

    fn write(&self, stream: Stream, bytes: &[u8], needed: bool) -> io::Result<()> {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        let Some([stdout, stderr]) = files.as_mut() else { return Ok(()) };
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
            *files = None;
        }
        done
    }
}

impl Put for Direct {
    fn put(&self, node: usize, stream: Stream, bytes: &[u8]) -> io::Result<()> {
        let Some(paths) = &self.json else { return self.write(stream, bytes, true) };
        let name = if stream == Stream::Stdout { "stdout" } else { "stderr" };
        let mut event = json!({ "event": "output", "path": paths.get(node), "stream": name });
        if let Some(object) = event.as_object_mut() {
            match std::str::from_utf8(bytes) {
                Ok(text) => object.insert("text".to_owned(), json!(text)),
                Err(_) => object.insert("hex".to_owned(), json!(bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>())),
            };
        }
        self.line(Stream::Stdout, &opal_core::show::json_line(&event))
    }
}

/// Writes all of `bytes`, however long that takes; once the run is to stop, for [`READER_MAX`] at most.
///
/// # Errors
/// Those of writing; `TimedOut`, or `Interrupted` by a signal that kills.
pub fn deliver(file: &mut File, mut bytes: &[u8], signals: &Signals) -> io::Result<()> {
    if signals.check() == Phase::Run {
        match write_all(file, &mut bytes, signals, Phase::Run, None) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            done => return done,
        }
    }
    let seen = signals.phase().max(Phase::Cancel);
    write_all(file, &mut bytes, signals, seen, Instant::now().checked_add(READER_MAX))
}

/// Writes all of `bytes`, of which the rest is left in it. A reader that does not read must not keep a signal beyond `seen`, or a deadline, from ending the run.
pub(super) fn write_all(file: &mut File, bytes: &mut &[u8], signals: &Signals, seen: Phase, deadline: Option<Instant>) -> io::Result<()> {
    while !bytes.is_empty() {
        let [arrived, kill] = signals.poll_fds(seen);
        let mut fds =
            [PollFd::new(file.as_fd(), PollFlags::POLLOUT), PollFd::new(arrived, PollFlags::POLLIN), PollFd::new(kill, PollFlags::POLLIN)];
        // Nothing is beyond the last phase, and its descriptor stays readable.
        let [output, _, _] = &mut fds;
        let waited = if seen == Phase::Kill { std::slice::from_mut(output) } else { &mut fds };
        match poll(waited, poll_timeout(deadline)) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        let ready = fds.map(|fd| fd.any().unwrap_or(false));
        if ready.get(1..).is_some_and(|rest| rest.contains(&true)) && signals.check() > seen {
            return Err(io::ErrorKind::Interrupted.into());
        }
        if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            return Err(io::ErrorKind::TimedOut.into());
        }
        if ready.first() != Some(&true) {
            continue;
        }
        let (chunk, _) = bytes.split_at(bytes.len().min(PIPE_BUF));
        match file.write(chunk) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => *bytes = bytes.get(written..).unwrap_or_default(),
            Err(error) if matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Output that waits for its turn, in the order in which it came.
#[derive(Default)]
pub(super) struct Buffer {
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    /// Runs of bytes by node and stream.
    runs: Vec<(usize, Stream, usize)>,
    memory: Vec<u8>,
    spilled: Option<File>,
}

impl Put for Buffer {
    fn put(&self, node: usize, stream: Stream, bytes: &[u8]) -> io::Result<()> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        match kept.runs.last_mut() {
            Some((of, on, length)) if (*of, *on) == (node, stream) => *length = length.saturating_add(bytes.len()),
            _ => kept.runs.push((node, stream, bytes.len())),
        }
        kept.memory.extend_from_slice(bytes);
        if kept.memory.len() > BUFFER_MAX {
            if kept.spilled.is_none() {
                // Without such files the memory has to do.
                kept.spilled = unlinked_file().ok();
            }
            let Kept { memory, spilled, .. } = &mut *kept;
            if let Some(file) = spilled {
                file.write_all(memory)?;
                memory.clear();
            }
        }
        Ok(())
    }
}

impl Buffer {
    /// Passes everything on.
    pub(super) fn emit(&self, to: &dyn Put) -> io::Result<()> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let Kept { runs, memory, spilled } = std::mem::take(&mut *kept);
        let mut spilled = match spilled {
            Some(mut file) => {
                file.rewind()?;
                Some(file)
            }
            None => None,
        };
        let mut memory = memory.as_slice();
        let mut chunk = vec![0; 64 << 10];
        for (node, stream, mut left) in runs {
            while left > 0 {
                let space = chunk.get_mut(..left.min(64 << 10)).unwrap_or_default();
                let mut read = match &mut spilled {
                    Some(file) => file.read(space)?,
                    None => 0,
                };
                if read == 0 {
                    read = memory.read(space)?;
                }
                if read == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                to.put(node, stream, chunk.get(..read).unwrap_or_default())?;
                left = left.saturating_sub(read);
            }
        }
        Ok(())
    }
}

/// A file for scrubbed output that nobody else can name.
fn unlinked_file() -> io::Result<File> {
    let mut options = File::options();
    options.read(true).write(true).mode(0o600);
    options.custom_flags(nix::libc::O_TMPFILE).open(std::env::temp_dir())
}

/// The scrubbers of one lane.
pub(super) struct Scrubbers {
    streams: [Scrubber; 2],
    scratch: Vec<u8>,
}

/// What one step writes.
pub(super) struct StepSink<'a> {
    pub(super) node: usize,
    pub(super) to: &'a dyn Put,
    pub(super) scrubbers: &'a mut Scrubbers,
    /// Where stdout goes instead, up to a limit.
    pub(super) capture: Option<&'a mut Capture>,
    /// The last of stderr.
    pub(super) tail: Vec<u8>,
}

/// Stdout that a runtime binding takes.
pub(super) struct Capture {
    pub(super) bytes: zeroize::Zeroizing<Vec<u8>>,
    pub(super) limit: usize,
    pub(super) overflowed: bool,
}

impl Scrubbers {
    pub(super) fn new(shared: &Shared) -> Self {
        let patterns = shared.patterns();
        Self { streams: [Scrubber::new(Arc::clone(&patterns)), Scrubber::new(patterns)], scratch: Vec::new() }
    }
}

impl Sink for StepSink<'_> {
    fn write(&mut self, stream: Stream, bytes: &[u8]) -> io::Result<()> {
        if stream == Stream::Stdout
            && let Some(capture) = &mut self.capture
        {
            let room = capture.limit.saturating_sub(capture.bytes.len());
            capture.overflowed |= bytes.len() > room;
            // Never beyond the first allocation, which would leave a copy behind that nobody wipes.
            capture.bytes.extend_from_slice(bytes.get(..bytes.len().min(room)).unwrap_or_default());
            return Ok(());
        }
        self.pass(stream, Some(bytes))
    }
}

impl StepSink<'_> {
    /// Ends the streams: nothing is held back any longer.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        self.pass(Stream::Stdout, None).and(self.pass(Stream::Stderr, None))
    }

    fn pass(&mut self, stream: Stream, bytes: Option<&[u8]>) -> io::Result<()> {
        let Scrubbers { streams: [stdout, stderr], scratch } = &mut *self.scrubbers;
        let scrubber = if stream == Stream::Stdout { stdout } else { stderr };
        scratch.clear();
        match bytes {
            Some(bytes) => scrubber.write(bytes, scratch),
            None => scrubber.finish(scratch),
        }
        if scratch.is_empty() {
            return Ok(());
        }
        if stream == Stream::Stderr {
            self.tail.extend_from_slice(scratch);
            let surplus = self.tail.len().saturating_sub(TAIL_MAX);
            self.tail.drain(..surplus);
        }
        self.to.put(self.node, stream, scratch)
    }
}
