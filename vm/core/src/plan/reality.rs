//! Reality: all that planning may look at. The machine's only way out is the import table, and this is where that leads.

/// Largest file that `@file` reads.
pub const FILE_MAX: u64 = 16 << 20;

/// Why a file could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileFailure {
    /// Whether it is not there at all.
    pub missing: bool,
    /// The reason.
    pub reason: String,
}

/// What planning looks at.
pub trait Reality {
    /// An environment variable.
    fn env(&self, name: &str) -> Option<Vec<u8>>;

    /// The contents of a regular file; relative paths start at the base directory.
    ///
    /// # Errors
    /// Where the file is missing, unreadable, not regular, too large, or below `/proc` or `/sys`.
    fn read_file(&self, path: &[u8]) -> Result<Vec<u8>, FileFailure>;
}
