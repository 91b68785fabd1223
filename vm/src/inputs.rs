//! Opens the files that a command line names with the rights of whoever called, where this process has others.
//!
//! A child of this process holds no descriptor but its end of a socket, gives up everything of this process's account, and only then resolves the name;
//! what it can open comes back as a descriptor. So neither a link, `/proc/self/fd`, a FIFO nor a device leads further than the caller's own rights.
//!
//! Read for: everything in the process that runs a contract.

use std::ffi::CString;
use std::fs::File;
use std::io::{IoSlice, Read as _, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use nix::unistd::{Gid, Uid, User, getgrouplist, setgroups, setresgid, setresuid};

use opal_exec::supervise::sys;
use opal_format::read_file::open_undisturbed;
use opal_trust::guard::Invoker;
use opal_trust::input::Input;
use opal_trust::safe_path::{SafeDir, forbid};

/// An account with all that the kernel judges access to a file by.
#[derive(Debug, Clone)]
struct Account {
    uid: Uid,
    gid: Gid,
    groups: Vec<Gid>,
}

impl Account {
    /// The account of a user; `None` where its groups are not known.
    fn of(uid: Uid, gid: Option<Gid>) -> Option<Self> {
        let user = User::from_uid(uid).ok().flatten();
        let gid = gid.or_else(|| user.as_ref().map(|user| user.gid))?;
        let name = user.and_then(|user| CString::new(user.name).ok());
        let groups = name.and_then(|name| getgrouplist(&name, gid).ok()).unwrap_or_else(|| vec![gid]);
        Some(Self { uid, gid, groups })
    }

    /// Makes this process one of this account, for good.
    fn become_it(&self) -> Result<(), Errno> {
        setgroups(&self.groups)?;
        setresgid(self.gid, self.gid, self.gid)?;
        setresuid(self.uid, self.uid, self.uid)
    }

    /// Opens a file as this account may.
    fn open(&self, name: &Path) -> Result<File, Errno> {
        let (mut ours, theirs) = UnixStream::pair().map_err(|_| Errno::EMFILE)?;
        let answer = |kept: Vec<OwnedFd>| i32::from(kept.into_iter().next().is_none_or(|socket| self.answer(socket.into(), name).is_err()));
        let child = sys::fork(vec![theirs.into()], answer)?;
        let answer = receive(&mut ours);
        let _ = nix::sys::wait::waitpid(child, None);
        answer.unwrap_or(Err(Errno::EACCES))
    }

    /// The child: its answer is a number, 0 with a descriptor.
    fn answer(&self, mut socket: UnixStream, name: &Path) -> std::io::Result<()> {
        for stream in 0..3 {
            let _ = nix::unistd::close(stream);
        }
        self.become_it()?;
        match open_undisturbed(name) {
            Ok(file) => {
                let (number, files) = (0i32.to_le_bytes(), [file.as_raw_fd()]);
                let control = [ControlMessage::ScmRights(&files)];
                sendmsg::<()>(socket.as_raw_fd(), &[IoSlice::new(&number)], &control, MsgFlags::empty(), None)?;
                Ok(())
            }
            Err(error) => socket.write_all(&error.raw_os_error().unwrap_or(libc::EACCES).to_le_bytes()),
        }
    }
}

/// The answer of a child; `None` where there is none.
fn receive(socket: &mut UnixStream) -> Option<Result<File, Errno>> {
    let mut number = [0; 4];
    let mut files: Vec<OwnedFd> = Vec::new();
    let read = sys::receive_waiting(socket.as_fd(), &mut number, &mut files).ok().filter(|read| *read > 0)?;
    socket.read_exact(number.get_mut(read..)?).ok()?;
    match (i32::from_le_bytes(number), files.pop()) {
        (0, file) => file.map(|file| Ok(File::from(file))),
        (errno, _) => Some(Err(Errno::from_raw(errno))),
    }
}

/// With whose rights files are opened that the command line names.
#[derive(Debug, Clone)]
pub struct Opener {
    as_caller: bool,
    account: Option<Account>,
    root: Uid,
}

impl Opener {
    /// For whoever called; `root` is the owner of the system's places.
    #[must_use]
    pub fn new(invoker: Invoker, root: Uid) -> Self {
        let account = match invoker {
            Invoker::User { uid, gid } => Account::of(uid, gid),
            Invoker::Same | Invoker::Unknown => None,
        };
        Self { as_caller: invoker != Invoker::Same, account, root }
    }

    /// A file, as the caller may have it read. `-` stays the standard input.
    #[must_use]
    pub fn open(&self, name: PathBuf) -> Input {
        if !self.as_caller || name.as_os_str() == "-" {
            return Input::from(name);
        }
        match self.account.as_ref().map_or(Err(Errno::EACCES), |account| account.open(&name)) {
            Err(Errno::EACCES | Errno::EPERM | Errno::EAGAIN) => match self.of_root(&name) {
                Some(file) => Input::of_root(name, file),
                None => Input::of_caller(name, Err(Errno::EACCES)),
            },
            opened => Input::of_caller(name, opened),
        }
    }

    /// A regular file in a place that is root's alone.
    fn of_root(&self, name: &Path) -> Option<File> {
        let path = std::path::absolute(name).ok()?;
        let dir = SafeDir::open(path.parent()?, self.root).ok()??;
        dir.open_file(path.file_name()?.to_str()?, forbid::WRITING).ok()?
    }
}
