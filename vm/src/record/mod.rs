//! The run record (DESIGN §9).

use std::io;

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
