//! Reading sources, and writing results whole or not at all.

use super::console;
use super::failure::{Failure, exit, reason};
use crate::source::{SOURCE_SIZE_MAX, Source};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// Name of standard input and output on a command line.
pub(crate) const STANDARD: &str = "-";

/// How a source from standard input is called in messages.
const STANDARD_INPUT: &str = "<stdin>";

/// Reads a source; `-` is standard input. A source above the limit is cut just after it, for the parser to refuse.
pub(crate) fn read_source(path: &Path) -> Result<Source, Failure> {
    Ok(source(path, read_either(path, SOURCE_SIZE_MAX)?))
}

/// Bytes that were read from `path`, as a source.
pub(crate) fn source(path: &Path, bytes: Vec<u8>) -> Source {
    let name = if path.as_os_str() == STANDARD { STANDARD_INPUT.into() } else { path.to_string_lossy() };
    Source::new(name, bytes)
}

/// Reads a file, or standard input for `-`, up to one byte above `size_max`.
pub(crate) fn read_either(path: &Path, size_max: usize) -> Result<Vec<u8>, Failure> {
    if path.as_os_str() == STANDARD {
        return read_capped(&mut io::stdin().lock(), Path::new(STANDARD_INPUT), size_max + 1);
    }
    read_capped(&mut open(path)?, path, size_max + 1)
}

/// Reads a regular file of at most `size_max` bytes.
pub(crate) fn read_small(path: &Path, size_max: usize) -> Result<Vec<u8>, Failure> {
    let bytes = read_capped(&mut open(path)?, path, size_max + 1)?;
    if bytes.len() > size_max {
        return Err(Failure::new(exit::DATA, "file_too_large", format!("`{}` is larger than {size_max} bytes", path.display()))
            .with_help(format!("check what it is: `file {}`", path.display())));
    }
    Ok(bytes)
}

/// Opens a regular file, without waiting where the name is that of a FIFO.
fn open(path: &Path) -> Result<File, Failure> {
    let shown = path.display();
    let failed = |error: io::Error| {
        let (code, message) = match error.kind() {
            io::ErrorKind::NotFound => ("file_not_found", format!("there is no file `{shown}`")),
            _ => ("file_unreadable", format!("cannot read `{shown}`: {}", reason(&error))),
        };
        Failure::new(exit::NO_INPUT, code, message).with_help(format!("check the name and the permissions: `ls -l {shown}`"))
    };
    let file = OpenOptions::new().read(true).custom_flags(nix::libc::O_NONBLOCK | nix::libc::O_NOCTTY).open(path).map_err(failed)?;
    let data = file.metadata().map_err(failed)?;
    if data.is_file() {
        return Ok(file);
    }
    let what = if data.is_dir() { "is a directory" } else { "is not a regular file" };
    let failure = Failure::new(exit::NO_INPUT, "file_not_regular", format!("`{shown}` {what}"));
    Err(failure.with_help("name a file, or `-` to read from a pipe"))
}

fn read_capped(from: &mut dyn io::Read, path: &Path, limit: usize) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    from.take(limit as u64).read_to_end(&mut bytes).map_err(|error| {
        let message = format!("cannot read `{}`: {}", path.display(), reason(&error));
        Failure::new(exit::NO_INPUT, "file_unreadable", message).with_help("check the file and the disk that it is on")
    })?;
    Ok(bytes)
}

/// Where a result goes.
#[derive(Debug)]
pub(crate) enum Destination {
    /// Standard output.
    Standard,
    /// A regular file, there already or not: replaced as a whole.
    File(PathBuf),
    /// Something else that is there, such as a device or a FIFO: written to.
    Stream(PathBuf),
}

impl Destination {
    /// What `-o NAME` means. Refuses a directory, and a file that this command also reads (`inputs`).
    pub(crate) fn new(name: &Path, inputs: &[&Path]) -> Result<Self, Failure> {
        if name.as_os_str() == STANDARD {
            return Ok(Self::Standard);
        }
        // A link stays a link: what it leads to is replaced.
        let Ok(real) = fs::canonicalize(name) else { return Ok(Self::File(name.to_owned())) };
        let data = fs::metadata(&real).map_err(|error| cannot_write(name, &error))?;
        if data.is_dir() {
            return Err(Failure::new(exit::CANNOT_WRITE, "cannot_write", format!("`{}` is a directory", name.display()))
                .with_help(format!("name a file in it: `-o {}`", name.join("FILE.plan").display())));
        }
        let same = |input: &&Path| fs::metadata(input).is_ok_and(|input| (input.dev(), input.ino()) == (data.dev(), data.ino()));
        if let Some(input) = inputs.iter().find(|input| same(input)) {
            return Err(Failure::usage(format!("the output `{}` is the input `{}`", name.display(), input.display()))
                .with_help("name another file with `-o`"));
        }
        Ok(if data.is_file() { Self::File(real) } else { Self::Stream(real) })
    }

    /// Writes the whole result. On failure a file is as it was.
    pub(crate) fn write(&self, bytes: &[u8]) -> Result<(), Failure> {
        self.write_with(|out| out.write_all(bytes))
    }

    /// Writes the whole result as `write` makes it. On failure a file is as it was.
    pub(crate) fn write_with(&self, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), Failure> {
        match self {
            Self::Standard => console::print_with(write),
            Self::File(path) => replace(path, write).map_err(|error| cannot_write(path, &error)),
            Self::Stream(path) => {
                let written = OpenOptions::new().write(true).open(path).and_then(|file| buffered(file, write).map(drop));
                written.map_err(|error| match error.kind() {
                    io::ErrorKind::BrokenPipe => Failure::Pipe,
                    _ => cannot_write(path, &error),
                })
            }
        }
    }
}

fn cannot_write(path: &Path, error: &io::Error) -> Failure {
    let message = format!("cannot write `{}`: {}", path.display(), reason(error));
    Failure::new(exit::CANNOT_WRITE, "cannot_write", message)
        .with_help("check the directory and the space there, or name another file with `-o`")
}

/// Writes to a file by large pieces, and gives it back.
fn buffered<F: Write>(file: F, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<F> {
    let mut out = io::BufWriter::with_capacity(64 << 10, file);
    write(&mut out)?;
    out.into_inner().map_err(io::IntoInnerError::into_error)
}

/// A file under a temporary name, which goes unless it is kept.
struct Temporary {
    path: PathBuf,
    file: File,
}

impl Temporary {
    fn next_to(path: &Path, mode: u32) -> io::Result<Self> {
        let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        for attempt in 0..u32::from(u8::MAX) {
            let mut hidden = std::ffi::OsString::from(".");
            hidden.push(name);
            hidden.push(format!(".{}.{attempt}", std::process::id()));
            let temporary = path.with_file_name(hidden);
            match OpenOptions::new().write(true).create_new(true).mode(mode).open(&temporary) {
                Ok(file) => return Ok(Self { path: temporary, file }),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }

    fn fill(&mut self, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
        buffered(&self.file, write)?.sync_all()
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // After a rename there is nothing left under this name.
        let _ = fs::remove_file(&self.path);
    }
}

/// Puts `bytes` in the place of the file at `path`, or makes it.
fn replace(path: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let mut temporary = Temporary::next_to(path, 0o666)?;
    if let Ok(data) = fs::metadata(path) {
        temporary.file.set_permissions(fs::Permissions::from_mode(data.mode() & 0o7777))?;
    }
    temporary.fill(write)?;
    fs::rename(&temporary.path, path)?;
    sync_directory(path)
}

/// Makes a file that must not be there yet, with these permissions.
pub(crate) fn create_new(path: &Path, bytes: &[u8], mode: u32) -> Result<(), Failure> {
    let created = Temporary::next_to(path, mode).and_then(|mut temporary| {
        temporary.fill(|out| out.write_all(bytes))?;
        // A link, unlike a rename, never takes the place of a file that is there.
        fs::hard_link(&temporary.path, path)?;
        sync_directory(path)
    });
    created.map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => exists(path),
        _ => cannot_write(path, &error),
    })
}

/// The refusal to overwrite.
pub(crate) fn exists(path: &Path) -> Failure {
    Failure::new(exit::CANNOT_WRITE, "file_exists", format!("`{}` exists already, and is never overwritten", path.display()))
        .with_help("name another file with `-o FILE`")
}

/// Makes the names in the directory of `path` durable.
fn sync_directory(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(parent)?.sync_all()
}
