//! Files and directories that nobody else can have changed.
//!
//! A path is walked one component at a time from the root, each opened relative to the one before, without following
//! links, and judged by its open descriptor: what was checked is what is used. A directory is believed if it
//! belongs to a believed owner and neither group nor others may write to it. On the way there (never for the directory itself)
//! a sticky directory of root's, such as `/tmp`, will do, because only owners can rename or delete in it.
//!
//! Read for: who is trusted, and what policy allows.

use std::ffi::OsStr;
use std::fs::{File, Metadata};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::{Mode, fchmod, mkdirat};
use nix::unistd::Uid;

use crate::new_file::{NewFile, sync_names};
use opal_core::code::Code;
use opal_core::failure::{Failure, Report};

const WRITABLE_BY_OTHERS: u32 = 0o022;
const STICKY: u32 = 0o1000;

/// Permission bits that a file must not have.
pub mod forbid {
    /// Nobody else may change it.
    pub const WRITING: u32 = 0o022;
    /// Nobody else may do anything with it.
    pub const ANY_ACCESS: u32 = 0o077;
    /// Its group may read it, as distributions allow for SSH host keys.
    pub const ALL_BUT_GROUP_READ: u32 = 0o037;
}

/// A file or directory that is not believed or not usable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}` {cause}", path.display())]
pub struct SafePathError {
    /// The file or directory, or the variable that should name it.
    pub path: PathBuf,
    /// What is wrong with it.
    pub cause: PathCause,
}

/// What is wrong with a file or directory.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathCause {
    /// No variable says where the directory is.
    #[error("is not set, and neither is `HOME`")]
    Unset,
    /// A variable holds a relative path.
    #[error("is not an absolute path")]
    Relative,
    /// `..` would leave what was checked.
    #[error("has `..` in it")]
    Parent,
    /// A symbolic link stands where a file or directory should.
    #[error("is a symbolic link")]
    Link,
    /// Something else stands where a directory should.
    #[error("is not a directory")]
    NotDirectory,
    /// Something else stands where a regular file should.
    #[error("is not a regular file")]
    NotRegular,
    /// A stranger owns it. Root would be good as well as `wanted`.
    #[error("belongs to uid {owner}")]
    #[expect(missing_docs, reason = "the fields are user ids, said by their names")]
    Owner { owner: u32, wanted: u32 },
    /// Its permission bits hold some that must go.
    #[error("has permissions that are too open (mode {mode:04o})")]
    #[expect(missing_docs, reason = "the fields are permission bits, said by their names")]
    Mode { mode: u32, forbidden: u32 },
    /// It is larger than this many bytes.
    #[error("is larger than {0} bytes")]
    TooLarge(u64),
    /// Something is in a directory that must be empty.
    #[error("is not empty")]
    NotEmpty,
    /// A file that must not be overwritten is there.
    #[error("exists already")]
    Exists,
    /// The system refused to read.
    #[error("cannot be read: {}", .0.desc())]
    Read(Errno),
    /// The system refused to write.
    #[error("cannot be written: {}", .0.desc())]
    Write(Errno),
}

impl PathCause {
    /// This cause, at a path.
    #[must_use]
    pub fn at(self, path: impl Into<PathBuf>) -> SafePathError {
        SafePathError { path: path.into(), cause: self }
    }
}

impl Failure for SafePathError {
    fn report(&self) -> Report {
        let path = self.path.display();
        let look = || format!("check it: `namei -l {path}`");
        let move_away = || format!("move it away: `mv {path} {path}.old`");
        let absolute = || "set the variable to an absolute path without `..`".to_owned();
        let (code, help) = match self.cause {
            PathCause::Unset => (Code::NoHome, format!("`export {path}=DIR`, or `export HOME=DIR`")),
            PathCause::Relative | PathCause::Parent => (Code::UnsafePath, absolute()),
            PathCause::Link => (Code::UnsafeLink, format!("name the real place instead: `realpath {path}`")),
            PathCause::NotDirectory | PathCause::NotRegular => (Code::UnsafeKind, move_away()),
            PathCause::Owner { wanted, .. } => (Code::UnsafeOwner, format!("`chown {wanted} {path}`")),
            // Such as `/tmp`, which must stay as it is.
            PathCause::Mode { mode, .. } if mode & 0o1000 != 0 => {
                (Code::UnsafeMode, "name a place that is nobody else's: `mkdir -m 700 DIR`".to_owned())
            }
            PathCause::Mode { forbidden, .. } => (Code::UnsafeMode, format!("`chmod {} {path}`", removal(forbidden))),
            PathCause::TooLarge(_) => (Code::UnsafeSize, look()),
            PathCause::Exists | PathCause::NotEmpty => (Code::FileExists, move_away()),
            PathCause::Read(_) => (Code::CannotRead, look()),
            PathCause::Write(_) => (Code::CannotWrite, look()),
        };
        Report::new(code, help)
    }
}

/// The `chmod` argument that takes away the bits of `forbidden`.
fn removal(forbidden: u32) -> &'static str {
    match forbidden {
        forbid::ANY_ACCESS => "go-rwx",
        forbid::ALL_BUT_GROUP_READ => "g-wx,o-rwx",
        _ => "go-w",
    }
}

/// A directory that was found safe, held open.
#[derive(Debug)]
pub struct SafeDir {
    /// Opened with `O_PATH`: good for resolving names, not for reading.
    handle: File,
    path: PathBuf,
    owner: Uid,
}

impl SafeDir {
    /// Opens the directory at `path`, which `owner` or root must own; `None` if it or a parent is not there.
    ///
    /// # Errors
    /// A [`SafePathError`] that names the first directory which is not safe.
    pub fn open(path: &Path, owner: Uid) -> Result<Option<Self>, SafePathError> {
        Self::walk(path, owner, false)
    }

    /// As [`SafeDir::open`], but makes what is missing, for its owner alone (0700).
    ///
    /// # Errors
    /// A [`SafePathError`] that names the first directory which is not safe or cannot be made.
    pub fn open_or_create(path: &Path, owner: Uid) -> Result<Self, SafePathError> {
        Self::walk(path, owner, true)?.ok_or_else(|| PathCause::Write(Errno::ENOENT).at(path.to_owned()))
    }

    fn walk(path: &Path, owner: Uid, create: bool) -> Result<Option<Self>, SafePathError> {
        if !path.is_absolute() {
            return Err(PathCause::Relative.at(path.to_owned()));
        }
        let root = openat(nix::fcntl::AT_FDCWD, "/", OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())
            .map_err(|errno| PathCause::Read(errno).at(PathBuf::from("/")))?;
        let mut dir = Self { handle: File::from(root), path: PathBuf::from("/"), owner };
        for component in path.components() {
            let name = match component {
                Component::RootDir | Component::CurDir => continue,
                Component::Normal(name) => name,
                Component::ParentDir | Component::Prefix(_) => {
                    return Err(PathCause::Parent.at(path.to_owned()));
                }
            };
            dir.check_passage()?;
            dir = match dir.enter(name, create)? {
                Some(next) => next,
                None => return Ok(None),
            };
        }
        dir.check_itself()?;
        Ok(Some(dir))
    }

    /// Opens a directory inside this one; `None` if it is not there.
    ///
    /// # Errors
    /// A [`SafePathError`] if it is not safe.
    pub fn child(&self, name: &str) -> Result<Option<Self>, SafePathError> {
        let found = self.enter(OsStr::new(name), false)?;
        found.map(|dir| dir.check_itself().map(|()| dir)).transpose()
    }

    /// Opens a directory inside this one and makes it if it is not there (0700).
    ///
    /// # Errors
    /// A [`SafePathError`] if it is not safe or cannot be made.
    pub fn child_or_create(&self, name: &str) -> Result<Self, SafePathError> {
        let dir = self.enter(OsStr::new(name), true)?.ok_or_else(|| PathCause::Write(Errno::ENOENT).at(self.path.join(name)))?;
        dir.check_itself()?;
        Ok(dir)
    }

    /// Makes a directory inside this one, for its owner alone (0700), or takes one that is there: this owner's, so already, and empty. Says whether
    /// it was made. Nobody's permissions are changed.
    ///
    /// # Errors
    /// A [`SafePathError`] if it cannot be made or taken.
    pub fn take_child(&self, name: &OsStr) -> Result<(Self, bool), SafePathError> {
        let path = self.path.join(name);
        let made = match mkdirat(&self.handle, name, Mode::from_bits_truncate(0o700)) {
            Ok(()) => true,
            Err(Errno::EEXIST) => false,
            Err(errno) => return Err(PathCause::Write(errno).at(path)),
        };
        let dir = self.enter(name, false)?.ok_or_else(|| PathCause::Write(Errno::ENOENT).at(path.clone()))?;
        let data = dir.metadata()?;
        if data.uid() != self.owner.as_raw() {
            return Err(PathCause::Owner { owner: data.uid(), wanted: self.owner.as_raw() }.at(path));
        }
        if !made {
            check_owner_and_mode(&path, &data, self.owner, forbid::ANY_ACCESS)?;
            let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
            let mut list =
                nix::dir::Dir::openat(&dir.handle, ".", flags, Mode::empty()).map_err(|errno| PathCause::Read(errno).at(path.clone()))?;
            let other = |entry: nix::dir::Entry| !matches!(entry.file_name().to_bytes(), b"." | b"..");
            if list.iter().flatten().any(other) {
                return Err(PathCause::NotEmpty.at(path));
            }
        }
        self.sync()?;
        Ok((dir, made))
    }

    /// Where the directory is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The open directory, for `*at` calls. It was opened with `O_PATH`.
    #[must_use]
    pub fn handle(&self) -> &File {
        &self.handle
    }

    fn enter(&self, name: &OsStr, create: bool) -> Result<Option<Self>, SafePathError> {
        let path = self.path.join(name);
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let mut opened = openat(&self.handle, name, flags, Mode::empty());
        if create && matches!(opened, Err(Errno::ENOENT)) {
            match mkdirat(&self.handle, name, Mode::from_bits_truncate(0o700)) {
                // Somebody else made it meanwhile; the checks that follow judge theirs.
                Ok(()) | Err(Errno::EEXIST) => {}
                Err(errno) => return Err(PathCause::Write(errno).at(path)),
            }
            self.sync()?;
            opened = openat(&self.handle, name, flags, Mode::empty());
        }
        match opened {
            Ok(fd) => Ok(Some(Self { handle: File::from(fd), path, owner: self.owner })),
            Err(Errno::ENOENT) => Ok(None),
            Err(Errno::ENOTDIR | Errno::ELOOP) => {
                let link = path.symlink_metadata().is_ok_and(|m| m.is_symlink());
                Err(if link { PathCause::Link.at(path) } else { PathCause::NotDirectory.at(path) })
            }
            Err(errno) => Err(PathCause::Read(errno).at(path)),
        }
    }

    /// A directory on the way: a sticky one of root's may be writable.
    fn check_passage(&self) -> Result<(), SafePathError> {
        let data = self.metadata()?;
        if data.uid() == 0 && data.mode() & STICKY != 0 {
            return Ok(());
        }
        check_owner_and_mode(&self.path, &data, self.owner, WRITABLE_BY_OTHERS)
    }

    fn check_itself(&self) -> Result<(), SafePathError> {
        check_owner_and_mode(&self.path, &self.metadata()?, self.owner, WRITABLE_BY_OTHERS)
    }

    fn metadata(&self) -> Result<Metadata, SafePathError> {
        self.handle.metadata().map_err(|error| PathCause::Read(errno_of(&error)).at(self.path.clone()))
    }

    /// Opens a regular file for reading; `None` if it is not there. `forbidden` is one of [`forbid`].
    ///
    /// # Errors
    /// A [`SafePathError`] if it is a link, no regular file, a stranger's, or has a forbidden permission.
    pub fn open_file(&self, name: &str, forbidden: u32) -> Result<Option<File>, SafePathError> {
        self.open_checked(name, OFlag::O_RDONLY, forbidden)
    }

    /// Opens a regular file for reading and writing and makes it (0600) if it is not there.
    ///
    /// # Errors
    /// As [`SafeDir::open_file`], and if it cannot be made.
    pub fn open_or_create_file(&self, name: &str) -> Result<File, SafePathError> {
        self.open_checked(name, OFlag::O_RDWR | OFlag::O_CREAT, forbid::ANY_ACCESS)?
            .ok_or_else(|| PathCause::Write(Errno::ENOENT).at(self.path.join(name)))
    }

    fn open_checked(&self, name: &str, access: OFlag, forbidden: u32) -> Result<Option<File>, SafePathError> {
        let path = self.path.join(name);
        // O_NONBLOCK: a FIFO must not hold us up before it is seen to be one.
        let flags = access | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
        let file = match openat(&self.handle, name, flags, Mode::from_bits_truncate(0o600)) {
            Ok(fd) => File::from(fd),
            Err(Errno::ENOENT) => return Ok(None),
            Err(Errno::ELOOP) => return Err(PathCause::Link.at(path)),
            Err(Errno::EISDIR | Errno::ENXIO) => return Err(PathCause::NotRegular.at(path)),
            Err(errno) if access.contains(OFlag::O_CREAT) => {
                return Err(PathCause::Write(errno).at(path));
            }
            Err(errno) => return Err(PathCause::Read(errno).at(path)),
        };
        let data = file.metadata().map_err(|error| PathCause::Read(errno_of(&error)).at(path.clone()))?;
        if !data.is_file() {
            return Err(PathCause::NotRegular.at(path));
        }
        check_owner_and_mode(&path, &data, self.owner, forbidden)?;
        Ok(Some(file))
    }

    /// Reads a whole file of at most `size_max` bytes, under the rules of [`SafeDir::open_file`].
    ///
    /// # Errors
    /// As [`SafeDir::open_file`], and [`PathCause::TooLarge`].
    pub fn read_file(&self, name: &str, forbidden: u32, size_max: u64) -> Result<Option<Vec<u8>>, SafePathError> {
        let Some(file) = self.open_file(name, forbidden)? else {
            return Ok(None);
        };
        read_capped(&file, &self.path.join(name), size_max).map(Some)
    }

    /// Writes a whole file: to a temporary name, synced, then put in place, and the directory synced.
    /// With `replace` an older file of that name goes; without, it stays and the call fails.
    ///
    /// # Errors
    /// [`PathCause::Exists`], or [`PathCause::Write`]; no partial file is left.
    pub fn write_file(&self, name: &str, bytes: &[u8], mode: u32, replace: bool) -> Result<(), SafePathError> {
        self.write_file_with(name, mode, replace, |out| out.write_all(bytes))
    }

    /// What [`Self::write_file`] does, with what is written made on the way.
    ///
    /// # Errors
    /// Those of [`Self::write_file`].
    pub fn write_file_with(
        &self,
        name: &str,
        mode: u32,
        replace: bool,
        write: impl FnOnce(&mut dyn std::io::Write) -> std::io::Result<()>,
    ) -> Result<(), SafePathError> {
        let path = self.path.join(name);
        let mode = Mode::from_bits_truncate(mode);
        let written = NewFile::make(&self.handle, OsStr::new(name), mode.bits()).and_then(|mut new| {
            fchmod(&*new.file(), mode)?;
            let mut out = std::io::BufWriter::new(new.file());
            write(&mut out)?;
            out.flush()?;
            drop(out);
            new.put(replace)
        });
        written.map_err(|error| match errno_of(&error) {
            Errno::EEXIST => PathCause::Exists.at(path),
            errno => PathCause::Write(errno).at(path),
        })
    }

    /// Makes the names in this directory durable.
    fn sync(&self) -> Result<(), SafePathError> {
        sync_names(&self.handle).map_err(|error| PathCause::Write(errno_of(&error)).at(self.path.clone()))
    }
}

/// Reads a file that is open already, at most `size_max` bytes.
///
/// # Errors
/// [`PathCause::TooLarge`] or [`PathCause::Read`], with `path` in the message.
pub fn read_capped(file: &File, path: &Path, size_max: u64) -> Result<Vec<u8>, SafePathError> {
    let mut bytes = Vec::new();
    let read = file
        .take(size_max.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(|error| PathCause::Read(errno_of(&error)).at(path.to_owned()))?;
    if u64::try_from(read).is_ok_and(|read| read <= size_max) { Ok(bytes) } else { Err(PathCause::TooLarge(size_max).at(path.to_owned())) }
}

fn check_owner_and_mode(path: &Path, data: &Metadata, owner: Uid, forbidden: u32) -> Result<(), SafePathError> {
    if data.uid() != 0 && data.uid() != owner.as_raw() {
        return Err(PathCause::Owner { owner: data.uid(), wanted: owner.as_raw() }.at(path.to_owned()));
    }
    if data.mode() & forbidden != 0 {
        return Err(PathCause::Mode { mode: data.mode() & 0o7777, forbidden }.at(path.to_owned()));
    }
    Ok(())
}

/// The system's number of an I/O error.
#[must_use]
pub fn errno_of(error: &std::io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::unistd::{chown, geteuid};
    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("chmod");
    }

    fn open(path: &Path) -> Result<Option<SafeDir>, SafePathError> {
        SafeDir::open(path, geteuid())
    }

    fn cause<T: std::fmt::Debug>(result: Result<T, SafePathError>) -> PathCause {
        result.expect_err("refused").cause
    }

    #[test]
    fn a_private_directory_below_a_sticky_one_is_safe() {
        let temp = tempfile::tempdir().expect("temp");
        assert!(open(temp.path()).expect("safe").is_some());
        assert!(open(&temp.path().join("a/b")).expect("safe").is_none());
    }

    #[test]
    fn a_sticky_directory_is_not_safe_itself() {
        let refused = open(Path::new("/tmp")).expect_err("writable by everybody");
        assert_eq!(refused.cause, PathCause::Mode { mode: 0o1777, forbidden: 0o022 });
        assert_eq!(refused.exit(), 78);
    }

    #[test]
    fn a_parent_that_others_may_write_to_is_named() {
        let temp = tempfile::tempdir().expect("temp");
        let parent = temp.path().join("open");
        let inner = parent.join("inner");
        fs::create_dir_all(&inner).expect("mkdir");
        for mode in [0o770, 0o777, 0o702] {
            set_mode(&parent, mode);
            match open(&inner) {
                Err(SafePathError { path, cause: PathCause::Mode { .. } }) => assert_eq!(path, parent),
                other => panic!("{mode:o}: {other:?}"),
            }
        }
        // Sticky helps only where root is the owner.
        set_mode(&parent, 0o1777);
        if geteuid().is_root() {
            assert!(open(&inner).expect("safe").is_some());
            chown(&parent, Some(Uid::from_raw(12345)), None).expect("chown");
            assert!(matches!(cause(open(&inner)), PathCause::Owner { owner: 12345, .. }));
        } else {
            assert!(matches!(cause(open(&inner)), PathCause::Mode { .. }));
        }
    }

    #[test]
    fn a_stranger_s_directory_is_named_with_its_owner() {
        if !geteuid().is_root() {
            println!("skipped: only root can give a directory away");
            return;
        }
        let temp = tempfile::tempdir().expect("temp");
        let theirs = temp.path().join("theirs");
        fs::create_dir_all(theirs.join("mine")).expect("mkdir");
        chown(&theirs, Some(Uid::from_raw(12345)), None).expect("chown");
        match open(&theirs.join("mine")) {
            Err(SafePathError { path, cause: PathCause::Owner { owner, .. } }) => {
                assert_eq!((path, owner), (theirs.clone(), 12345));
            }
            other => panic!("{other:?}"),
        }
        // The same directory is safe for the one who owns it.
        assert!(SafeDir::open(&theirs, Uid::from_raw(12345)).expect("safe").is_some());
    }

    #[test]
    fn links_dots_and_files_are_no_directories() {
        let temp = tempfile::tempdir().expect("temp");
        let real = temp.path().join("real");
        fs::create_dir(&real).expect("mkdir");
        let link = temp.path().join("link");
        symlink(&real, &link).expect("link");
        let file = temp.path().join("file");
        fs::write(&file, "").expect("file");
        assert!(matches!(cause(open(&link)), PathCause::Link));
        assert!(matches!(cause(open(&link.join("x"))), PathCause::Link));
        assert!(matches!(cause(open(&file)), PathCause::NotDirectory));
        assert!(matches!(cause(open(&real.join("../real"))), PathCause::Parent));
        assert!(matches!(cause(open(Path::new("relative"))), PathCause::Relative));
    }

    #[test]
    fn made_directories_and_files_are_private_whatever_the_umask() {
        let temp = tempfile::tempdir().expect("temp");
        let dir = SafeDir::open_or_create(&temp.path().join("a/b"), geteuid()).expect("made");
        dir.write_file("f", b"hello", 0o600, false).expect("written");
        let mode = |p: &Path| fs::metadata(p).expect("there").mode() & 0o777;
        assert_eq!(mode(&temp.path().join("a")), 0o700);
        assert_eq!(mode(dir.path()), 0o700);
        assert_eq!(mode(&dir.path().join("f")), 0o600);
        let read = dir.read_file("f", forbid::ANY_ACCESS, 5).expect("safe");
        assert_eq!(read.as_deref(), Some(&b"hello"[..]));
        assert!(matches!(cause(dir.read_file("f", forbid::ANY_ACCESS, 4)), PathCause::TooLarge(_)));
        assert!(dir.read_file("g", forbid::ANY_ACCESS, 4).expect("safe").is_none());
    }

    #[test]
    fn a_file_is_replaced_only_when_asked_and_nothing_else_is_left() {
        let temp = tempfile::tempdir().expect("temp");
        let dir = open(temp.path()).expect("safe").expect("there");
        dir.write_file("f", b"one", 0o600, false).expect("written");
        assert!(matches!(cause(dir.write_file("f", b"two", 0o600, false)), PathCause::Exists));
        assert_eq!(fs::read(temp.path().join("f")).expect("file"), b"one");
        dir.write_file("f", b"three", 0o600, true).expect("replaced");
        assert_eq!(fs::read(temp.path().join("f")).expect("file"), b"three");
        assert_eq!(fs::read_dir(temp.path()).expect("dir").count(), 1);
    }

    #[test]
    fn a_file_that_is_a_link_a_fifo_a_directory_or_too_open_is_refused() {
        let temp = tempfile::tempdir().expect("temp");
        let dir = open(temp.path()).expect("safe").expect("there");
        let at = |name: &str| temp.path().join(name);
        fs::write(at("f"), "x").expect("file");
        symlink(at("f"), at("link")).expect("link");
        fs::create_dir(at("d")).expect("mkdir");
        nix::unistd::mkfifo(&at("fifo"), Mode::from_bits_truncate(0o600)).expect("fifo");
        let try_open = |name: &str| dir.open_file(name, forbid::ANY_ACCESS);
        set_mode(&at("f"), 0o640);
        assert!(matches!(cause(try_open("f")), PathCause::Mode { mode: 0o640, .. }));
        assert!(dir.open_file("f", forbid::ALL_BUT_GROUP_READ).expect("safe").is_some());
        assert!(matches!(cause(try_open("link")), PathCause::Link));
        assert!(matches!(cause(try_open("d")), PathCause::NotRegular));
        assert!(matches!(cause(try_open("fifo")), PathCause::NotRegular));
        assert!(try_open("missing").expect("safe").is_none());
    }
}
