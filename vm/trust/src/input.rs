//! Files that a command line names to be read.
//!
//! In a run with more rights than its caller has, such a file is opened with the rights of the caller (`inputs`, in the gate), so that nobody learns of a
//! file through this process what they could not learn by themselves. A file of root's that the caller cannot open may be used all the same, since
//! root put it where nobody else can write; such a file is *hidden*: whatever is wrong with it is told in the words in which it is told that the
//! caller may not open it.
//!
//! Read for: who is trusted, and what policy allows.

use std::fs::File;
use std::io::{self, Seek as _};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use opal_format::read_file::{ReadFileError, open_undisturbed, read_bytes, read_open};

/// A file that is named, opened already or yet to be opened.
#[derive(Debug, Default)]
pub struct Input {
    path: PathBuf,
    /// Where it is, whatever directory is entered before it is opened.
    at: PathBuf,
    opened: Option<Result<File, Errno>>,
    hidden: bool,
}

impl From<PathBuf> for Input {
    fn from(path: PathBuf) -> Self {
        let at = std::path::absolute(&path).unwrap_or_else(|_| path.clone());
        Self { path, at, opened: None, hidden: false }
    }
}

impl Input {
    /// A file as somebody else than this process's user may open it, or why not.
    #[must_use]
    pub fn of_caller(path: PathBuf, opened: Result<File, Errno>) -> Self {
        Self { at: path.clone(), path, opened: Some(opened), hidden: false }
    }

    /// A file of root's that the caller may not open.
    #[must_use]
    pub fn of_root(path: PathBuf, file: File) -> Self {
        Self { at: path.clone(), path, opened: Some(Ok(file)), hidden: true }
    }

    /// Its name, as it was given.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the caller must not learn what this process can read of it.
    #[must_use]
    pub const fn is_hidden(&self) -> bool {
        self.hidden
    }

    /// What is told of a hidden file in place of whatever is wrong with it.
    #[must_use]
    pub fn denied() -> io::Error {
        Errno::EACCES.into()
    }

    /// What it holds, at most `max` bytes; `-` is standard input.
    ///
    /// # Errors
    /// As [`opal_format::read_file`] says.
    pub fn bytes(&self, max: usize) -> Result<opal_format::Bytes, ReadFileError> {
        if self.path.as_os_str() == "-" {
            return read_bytes(&self.path, max);
        }
        read_open(&mut self.open()?, max)
    }

    /// The file, from its beginning. What kind of file it is, is for the caller to look at; only a regular one can be read.
    ///
    /// # Errors
    /// What the system says.
    pub fn open(&self) -> io::Result<File> {
        match &self.opened {
            None => open_undisturbed(&self.at),
            Some(Err(errno)) => Err((*errno).into()),
            Some(Ok(file)) => {
                let mut file = file.try_clone()?;
                // What cannot be wound back is refused by its kind.
                let _ = file.rewind();
                Ok(file)
            }
        }
    }
}
