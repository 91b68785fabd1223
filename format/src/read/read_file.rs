//! Reading a plan from a path or from standard input, once, into memory that nobody else can change.

use crate::read::error::{FormatError, within};
use crate::read::reader::RawPlan;
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

/// `O_NONBLOCK | O_NOCTTY`: opening waits for nobody, and takes no terminal.
const QUIETLY: i32 = 0o4000 | 0o400;
/// Opens a name, and not what it names.
const O_PATH: i32 = 0o10_000_000;

/// Why a plan could not be read from where it should be.
#[derive(Debug, thiserror::Error)]
pub enum ReadFileError {
    /// There is no such file.
    #[error("there is no such file")]
    NotFound,
    /// A directory, FIFO, socket or device.
    #[error("not a regular file")]
    NotRegular,
    /// The system refused.
    #[error("cannot be read: {0}")]
    Io(#[source] io::Error),
    /// It was read, and is no plan of acceptable size.
    #[error(transparent)]
    Format(#[from] FormatError),
}

impl ReadFileError {
    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NotFound => "plan_not_found",
            Self::NotRegular => "plan_not_regular",
            Self::Io(_) => "plan_unreadable",
            Self::Format(error) => error.code(),
        }
    }
}

impl From<io::Error> for ReadFileError {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::NotFound { Self::NotFound } else { Self::Io(error) }
    }
}

/// Reads a plan of at most `max` bytes from `path`; `-` is standard input. Links are followed; anything but a regular file is refused.
///
/// # Errors
/// [`ReadFileError`].
pub fn read_path(path: &Path, max: usize) -> Result<RawPlan, ReadFileError> {
    Ok(RawPlan::new(read_bytes(path, max)?, max)?)
}

/// Reads at most `max` bytes in the same way.
///
/// # Errors
/// [`ReadFileError`].
pub fn read_bytes(path: &Path, max: usize) -> Result<crate::Bytes, ReadFileError> {
    if path.as_os_str() == "-" {
        return read_from(&mut io::stdin().lock(), 0, max);
    }
    read_open(&mut open_undisturbed(path)?, max)
}

/// Opens a file to read it. What is no regular file is not opened, since that alone can have an effect: who waits to write to a FIFO would go on,
/// and lose what they write; a device may do anything. In its place comes a descriptor that tells its kind and cannot be read.
///
/// # Errors
/// What the system says.
pub fn open_undisturbed(path: &Path) -> io::Result<File> {
    let named = OpenOptions::new().read(true).custom_flags(O_PATH).open(path)?;
    let there = named.metadata()?;
    if !there.is_file() {
        return Ok(named);
    }
    let open = |path: &Path| OpenOptions::new().read(true).custom_flags(QUIETLY).open(path);
    match open(Path::new(&format!("/proc/self/fd/{}", named.as_raw_fd()))) {
        // There is no `/proc`: the name again, which by now may be that of something else.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let file = open(path)?;
            let now = file.metadata()?;
            if (now.dev(), now.ino()) == (there.dev(), there.ino()) { Ok(file) } else { Err(error) }
        }
        opened => opened,
    }
}

/// Reads at most `max` bytes of a file that is open already, and refuses anything but a regular one.
///
/// # Errors
/// [`ReadFileError`].
pub fn read_open(file: &mut File, max: usize) -> Result<crate::Bytes, ReadFileError> {
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(ReadFileError::NotRegular);
    }
    let size = usize::try_from(metadata.len()).unwrap_or(usize::MAX);
    within("size of the file", size, max, 0)?;
    read_from(file, size, max)
}

/// Reads to the end of `input`, which is expected to hold `size` bytes, and refuses more than `max`.
fn read_from(input: &mut dyn Read, size: usize, max: usize) -> Result<crate::Bytes, ReadFileError> {
    let mut bytes = crate::Bytes::with_capacity(size);
    bytes.extend_from_reader(&mut input.take((max as u64).saturating_add(1)))?;
    within("size of the file", bytes.len(), max, 0)?;
    Ok(bytes)
}
