//! Reading sources, and writing results whole or not at all.

use super::console;
use super::failure::{Failure, reason};
use crate::source::{SOURCE_SIZE_MAX, Source};
use opal_core::code::Code;
use opal_format::read_file::open_undisturbed;
use opal_record::results::{ResultPlace, Standing};
use opal_trust::safe_path::PathCause;
use std::fs::{self, File};
use std::io::{self, Read as _, Write};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

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
        return Err(Failure::new(Code::FileTooLarge, format!("`{}` is larger than {size_max} bytes", path.display()))
            .with_help(format!("check what it is: `file {}`", path.display())));
    }
    Ok(bytes)
}

/// Opens a regular file.
fn open(path: &Path) -> Result<File, Failure> {
    let shown = path.display();
    let failed = |error: io::Error| {
        let (code, message) = match error.kind() {
            io::ErrorKind::NotFound => (Code::FileNotFound, format!("there is no file `{shown}`")),
            _ => (Code::FileUnreadable, format!("cannot read `{shown}`: {}", reason(&error))),
        };
        Failure::new(code, message).with_help(format!("check the name and the permissions: `ls -l {shown}`"))
    };
    let file = open_undisturbed(path).map_err(failed)?;
    let data = file.metadata().map_err(failed)?;
    if data.is_file() {
        return Ok(file);
    }
    let what = if data.is_dir() { "is a directory" } else { "is not a regular file" };
    let failure = Failure::new(Code::FileNotRegular, format!("`{shown}` {what}"));
    Err(failure.with_help("name a file, or `-` to read from a pipe"))
}

fn read_capped(from: &mut dyn io::Read, path: &Path, limit: usize) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    from.take(limit as u64).read_to_end(&mut bytes).map_err(|error| {
        let message = format!("cannot read `{}`: {}", path.display(), reason(&error));
        Failure::new(Code::FileUnreadable, message).with_help("check the file and the disk that it is on")
    })?;
    Ok(bytes)
}

/// Where a result goes.
#[derive(Debug)]
pub(crate) enum Destination {
    /// Standard output.
    Standard,
    /// A regular file, there already or not: replaced as a whole.
    File(ResultPlace),
    /// Something else that is there, such as a device or a FIFO: written to.
    Stream(ResultPlace),
}

impl Destination {
    /// What `-o NAME` means. Refuses a directory, and a file that this command also reads (`inputs`).
    pub(crate) fn new(name: &Path, inputs: &[&Path]) -> Result<Self, Failure> {
        if name.as_os_str() == STANDARD {
            return Ok(Self::Standard);
        }
        // A link stays a link: what it leads to is replaced.
        let place = place(name)?;
        if place.standing() == Standing::Directory {
            return Err(Failure::new(Code::CannotWrite, format!("`{}` is a directory", name.display()))
                .with_help(format!("name a file in it: `-o {}`", name.join("FILE.plan").display())));
        }
        let same = |input: &&Path| fs::metadata(input).is_ok_and(|input| place.is(input.dev(), input.ino()));
        if let Some(input) = inputs.iter().find(|input| same(input)) {
            return Err(Failure::usage(format!("the output `{}` is the input `{}`", name.display(), input.display()))
                .with_help("name another file with `-o`"));
        }
        Ok(if place.standing() == Standing::Stream { Self::Stream(place) } else { Self::File(place) })
    }

    /// Writes the whole result. On failure a file is as it was.
    pub(crate) fn write(&self, bytes: &[u8]) -> Result<(), Failure> {
        self.write_with(|out| out.write_all(bytes))
    }

    /// Writes the whole result as `write` makes it. On failure a file is as it was.
    pub(crate) fn write_with(&self, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), Failure> {
        match self {
            Self::Standard => console::print_with(write),
            Self::File(place) => put(place, 0o666, true, write).map_err(|error| cannot_write(place.path(), &error)),
            Self::Stream(place) => {
                let written = place.open_stream().and_then(|file| buffered(file, write).map(drop));
                written.map_err(|error| match error.kind() {
                    io::ErrorKind::BrokenPipe => Failure::Pipe,
                    _ => cannot_write(place.path(), &error),
                })
            }
        }
    }
}

/// The place that a name means, by no link of somebody else's.
fn place(name: &Path) -> Result<ResultPlace, Failure> {
    ResultPlace::at(name).map_err(|error| match error.cause {
        PathCause::Write(errno) => cannot_write(name, &errno.into()),
        _ => Failure::host(&error),
    })
}

fn cannot_write(path: &Path, error: &io::Error) -> Failure {
    let message = format!("cannot write `{}`: {}", path.display(), reason(error));
    Failure::new(Code::CannotWrite, message).with_help("check the directory and the space there, or name another file with `-o`")
}

/// Writes to a file by large pieces, and gives it back.
fn buffered<F: Write>(file: F, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<F> {
    let mut out = io::BufWriter::with_capacity(64 << 10, file);
    write(&mut out)?;
    out.into_inner().map_err(io::IntoInnerError::into_error)
}

/// Makes a file whole under another name, and puts it in its place.
fn put(place: &ResultPlace, mode: u32, replace: bool, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let mut new = place.make(mode)?;
    buffered(new.file(), write)?;
    new.put(replace)
}

/// Makes a file that must not be there yet, with these permissions.
pub(crate) fn create_new(path: &Path, bytes: &[u8], mode: u32) -> Result<(), Failure> {
    put(&place(path)?, mode, false, |out| out.write_all(bytes)).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => exists(path),
        _ => cannot_write(path, &error),
    })
}

/// The refusal to overwrite.
pub(crate) fn exists(path: &Path) -> Failure {
    Failure::new(Code::FileExists, format!("`{}` exists already, and is never overwritten", path.display()))
        .with_help("name another file with `-o FILE`")
}
