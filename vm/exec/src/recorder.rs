//! Who writes a run down, as the executor sees it.
//!
//! Read for: everything in the process that runs a contract.

use std::io;

use crate::clean::Clean;

/// Takes the events of a run, a JSON object each.
pub trait Recorder: Send {
    /// Whether events are wanted at all.
    fn is_recording(&self) -> bool;

    /// Adds an event; it need not be durable yet.
    fn note(&mut self, event: &Clean);

    /// Makes the events so far durable.
    ///
    /// # Errors
    /// When they cannot be written.
    fn sync(&mut self) -> io::Result<()>;

    /// Seals what the runtime binding of a node holds, for an event; `None` where nobody could open it again.
    fn seal(&self, binding: u32, value: &[u8]) -> Option<String>;
}

/// Keeps no record (`--record none`).
pub struct NoRecord;

impl Recorder for NoRecord {
    fn is_recording(&self) -> bool {
        false
    }

    fn note(&mut self, _: &Clean) {}

    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn seal(&self, _: u32, _: &[u8]) -> Option<String> {
        None
    }
}
