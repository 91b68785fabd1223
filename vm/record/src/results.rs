//! Where results go, and how they get there: whole or not at all, and never through a link of somebody else's.
//!
//! A path is walked one component at a time on open descriptors. A link counts if it belongs to this process's user or to root, or stands where nobody
//! else can put one; what it leads to is the place.
//!
//! Read for: everything in the process that runs a contract.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs::{File, Permissions};
use std::io;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat, readlinkat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, fstatat};
use nix::sys::statfs::{PROC_SUPER_MAGIC, fstatfs};
use nix::unistd::{Uid, geteuid};

use opal_trust::new_file::NewFile;
use opal_trust::safe_path::{PathCause, SafePathError, errno_of};

/// Links on one way, at most.
const LINKS_MAX: usize = 40;
const WRITABLE_BY_OTHERS: u32 = 0o022;

/// A directory that is held open, and a name in it.
#[derive(Debug)]
pub struct ResultPlace {
    /// Opened with `O_PATH`.
    dir: File,
    name: OsString,
    path: PathBuf,
    found: Option<FileStat>,
    /// A name in `/proc`, which may lead to what has no path.
    of_kernel: bool,
}

/// What stands at a place already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Nothing.
    Nothing,
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A device, FIFO or socket, or what a descriptor leads to: to be written to.
    Stream,
}

impl ResultPlace {
    /// The place that a path means.
    ///
    /// # Errors
    /// [`PathCause::Link`] for a link of somebody else's, or what the system says.
    pub fn at(path: &Path) -> Result<Self, SafePathError> {
        let fail = |errno| PathCause::Write(errno).at(path);
        let me = geteuid();
        let mut left: VecDeque<OsString> = parts(path);
        let mut dir = start(path).map_err(fail)?;
        let mut links = 0usize;
        while let Some(name) = left.pop_front() {
            if left.is_empty() && name != ".." {
                let found = match fstatat(&dir, name.as_os_str(), AtFlags::AT_SYMLINK_NOFOLLOW) {
                    Ok(found) => Some(found),
                    Err(Errno::ENOENT) => None,
                    Err(errno) => return Err(fail(errno)),
                };
                let link = found.is_some_and(|found| kind(&found) == SFlag::S_IFLNK);
                if !link || of_kernel(&dir) {
                    let of_kernel = link;
                    let found = if link { fstatat(&dir, name.as_os_str(), AtFlags::empty()).ok() } else { found };
                    return Ok(Self { dir, name, path: path.to_owned(), found, of_kernel });
                }
            }
            let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
            match openat(&dir, name.as_os_str(), flags | OFlag::O_NOFOLLOW, Mode::empty()) {
                Ok(next) => dir = File::from(next),
                Err(Errno::ELOOP | Errno::ENOTDIR) if of_kernel(&dir) => {
                    dir = File::from(openat(&dir, name.as_os_str(), flags, Mode::empty()).map_err(fail)?);
                }
                Err(Errno::ELOOP | Errno::ENOTDIR) => {
                    let target = believed_link(&dir, &name, path, me)?;
                    links = links.saturating_add(1);
                    if links > LINKS_MAX {
                        return Err(fail(Errno::ELOOP));
                    }
                    if target.is_absolute() {
                        dir = start(&target).map_err(fail)?;
                    }
                    let mut way = parts(&target);
                    way.append(&mut left);
                    left = way;
                }
                Err(errno) => return Err(fail(errno)),
            }
        }
        // The path ends in a directory itself.
        let found = fstat(&dir).ok();
        Ok(Self { dir, name: ".".into(), path: path.to_owned(), found, of_kernel: false })
    }

    /// A name in a directory that is open already; the file must not be there yet.
    ///
    /// # Errors
    /// When descriptors run out.
    pub fn inside(dir: &File, name: &str, path: PathBuf) -> io::Result<Self> {
        Ok(Self { dir: dir.try_clone()?, name: name.into(), path, found: None, of_kernel: false })
    }

    /// The path, as it was given.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What is there.
    #[must_use]
    pub fn standing(&self) -> Standing {
        match self.found.as_ref().map(kind) {
            None => Standing::Nothing,
            Some(SFlag::S_IFDIR) => Standing::Directory,
            Some(SFlag::S_IFREG) if !self.of_kernel => Standing::File,
            Some(_) => Standing::Stream,
        }
    }

    /// Whether something has this name by now.
    #[must_use]
    pub fn is_taken(&self) -> bool {
        self.standing() != Standing::Nothing || fstatat(&self.dir, self.name.as_os_str(), AtFlags::AT_SYMLINK_NOFOLLOW).is_ok()
    }

    /// Whether this is the file that these numbers of device and inode name.
    #[must_use]
    pub fn is(&self, device: u64, inode: u64) -> bool {
        self.found.as_ref().is_some_and(|found| (found.st_dev, found.st_ino) == (device, inode))
    }

    /// Opens what is there for writing, if it is a stream. One that somebody else put into a directory which others share is refused.
    ///
    /// # Errors
    /// What the system says; `EACCES` for somebody else's.
    pub fn open_stream(&self) -> io::Result<File> {
        let flags = OFlag::O_WRONLY | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
        if self.of_kernel {
            return Ok(File::from(openat(&self.dir, self.name.as_os_str(), flags | OFlag::O_APPEND, Mode::empty())?));
        }
        let here = fstat(&self.dir)?;
        let mine = |stat: &FileStat| [0, geteuid().as_raw()].contains(&stat.st_uid);
        let alone = mine(&here) && here.st_mode & WRITABLE_BY_OTHERS == 0;
        if !(alone || self.found.as_ref().is_some_and(mine)) {
            return Err(Errno::EACCES.into());
        }
        Ok(File::from(openat(&self.dir, self.name.as_os_str(), flags | OFlag::O_NOFOLLOW, Mode::empty())?))
    }

    /// Makes the file that is to stand here, under another name. An older file of this user's gives it its permissions.
    ///
    /// # Errors
    /// What the system says.
    pub fn make(&self, mode: u32) -> io::Result<NewFile> {
        let mut made = NewFile::make(&self.dir, &self.name, mode)?;
        if let Some(old) = self.found.as_ref().filter(|old| kind(old) == SFlag::S_IFREG && old.st_uid == geteuid().as_raw()) {
            made.file().set_permissions(Permissions::from_mode(old.st_mode & 0o777))?;
        }
        Ok(made)
    }
}

/// Where a way begins.
fn start(path: &Path) -> Result<File, Errno> {
    let first = if path.is_absolute() { "/" } else { "." };
    openat(nix::fcntl::AT_FDCWD, first, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty()).map(File::from)
}

fn parts(path: &Path) -> VecDeque<OsString> {
    let part = |part: Component<'_>| match part {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        _ => None,
    };
    path.components().filter_map(part).collect()
}

fn kind(stat: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT
}

/// Whether a directory is one of the kernel's, where nobody places links.
fn of_kernel(dir: &File) -> bool {
    fstatfs(dir).is_ok_and(|system| system.filesystem_type() == PROC_SUPER_MAGIC)
}

/// What a link says, if it is this user's or root's, or stands where nobody else may write.
fn believed_link(dir: &File, name: &OsStr, path: &Path, me: Uid) -> Result<PathBuf, SafePathError> {
    let fail = |errno| PathCause::Write(errno).at(path);
    let (here, link) = (fstat(dir).map_err(fail)?, fstatat(dir, name, AtFlags::AT_SYMLINK_NOFOLLOW).map_err(fail)?);
    if kind(&link) != SFlag::S_IFLNK {
        return Err(fail(Errno::ENOTDIR));
    }
    let mine = |uid: u32| uid == 0 || uid == me.as_raw();
    let alone = mine(here.st_uid) && here.st_mode & WRITABLE_BY_OTHERS == 0;
    if !(alone || mine(link.st_uid)) {
        return Err(PathCause::Link.at(path));
    }
    readlinkat(dir, name).map(|target| PathBuf::from(OsString::from_vec(target.into_vec()))).map_err(fail)
}

/// The system's number of an I/O error, for messages that name a place.
#[must_use]
pub fn unwritten(error: &io::Error, path: &Path) -> SafePathError {
    PathCause::Write(errno_of(error)).at(path)
}
