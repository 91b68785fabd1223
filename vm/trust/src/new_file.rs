//! A file that is written whole or not at all: made under a name that nobody can guess, which must be free, and then put in its place, by a rename where
//! an older one goes, by a link where none may be there.
//!
//! Read for: who is trusted, and what policy allows.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Write as _};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat, renameat};
use nix::sys::stat::Mode;
use nix::unistd::{UnlinkatFlags, linkat, unlinkat};

/// A file that is being written under a name of its own; gone again unless it is put in its place.
#[derive(Debug)]
pub struct NewFile {
    dir: File,
    temporary: String,
    name: OsString,
    file: File,
}

impl NewFile {
    /// Makes it in a directory, for `name` there.
    ///
    /// # Errors
    /// What the system says.
    pub fn make(dir: &File, name: &OsStr, mode: u32) -> io::Result<Self> {
        let mut salt = [0u8; 16];
        getrandom::fill(&mut salt).map_err(|_| io::Error::from(Errno::EIO))?;
        let temporary = format!(".opal-{:032x}", u128::from_le_bytes(salt));
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let file = File::from(openat(dir, temporary.as_str(), flags, Mode::from_bits_truncate(mode))?);
        Ok(Self { dir: dir.try_clone()?, temporary, name: name.to_owned(), file })
    }

    /// The file, for writing.
    pub const fn file(&mut self) -> &mut File {
        &mut self.file
    }

    /// Puts the whole file in its place, durably. With `replace` an older file goes; without, it stays and the call fails with `EEXIST`.
    ///
    /// # Errors
    /// What the system says; then there is no trace of the new file.
    pub fn put(mut self, replace: bool) -> io::Result<()> {
        self.file.flush()?;
        self.file.sync_all()?;
        let (dir, temporary, name) = (&self.dir, self.temporary.as_str(), self.name.as_os_str());
        if replace {
            renameat(dir, temporary, dir, name)?;
        } else {
            // A link, unlike a rename, never takes the place of a file that is there.
            linkat(dir, temporary, dir, name, AtFlags::empty())?;
        }
        sync_names(dir)
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        // After a rename there is nothing left under this name.
        let _ = unlinkat(&self.dir, self.temporary.as_str(), UnlinkatFlags::NoRemoveDir);
    }
}

/// Makes the names in a directory durable.
///
/// # Errors
/// What the system says.
pub fn sync_names(dir: &File) -> io::Result<()> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    File::from(openat(dir, ".", flags, Mode::empty())?).sync_all()
}
