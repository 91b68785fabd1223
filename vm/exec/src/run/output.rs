//! Where the output of steps goes: through a scrubber to the outlet, or into a buffer whose turn comes later. What is in a buffer has been scrubbed, and
//! the outlet scrubs it again by what is known when its turn has come.
//!
//! Read for: everything in the process that runs a contract.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::sync::{Arc, Mutex, PoisonError};

use super::Shared;
use crate::outlet::Outlet;
use crate::scrub::Scrubber;
use crate::supervise::lane::{Sink, Stream};

/// What a buffer keeps in memory; more goes to an unlinked file.
const BUFFER_MAX: usize = 1 << 20;

/// How much of a step's last stderr is kept for the report.
const TAIL_MAX: usize = 2048;

/// Takes scrubbed output.
pub(super) trait Put: Send + Sync {
    /// Takes bytes of `stream` that the node `node` wrote.
    fn put(&self, node: usize, stream: Stream, bytes: &[u8]) -> io::Result<()>;

    /// A step has ended: nothing is held back any longer.
    fn flush(&self) -> io::Result<()>;
}

impl Put for Outlet {
    fn put(&self, node: usize, stream: Stream, bytes: &[u8]) -> io::Result<()> {
        Self::put(self, node, stream, bytes)
    }

    fn flush(&self) -> io::Result<()> {
        Self::flush(self)
    }
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

    fn flush(&self) -> io::Result<()> {
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
        to.flush()
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
        self.pass(Stream::Stdout, None).and(self.pass(Stream::Stderr, None)).and(self.to.flush())
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
