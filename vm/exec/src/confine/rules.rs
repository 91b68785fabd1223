//! The rules that confine a step, and the sheet on which its first stage gets them.
//!
//! A sheet is a memory file: the VM writes the rules, the stage reads them, and writes in their place why it could not keep them. It is
//! closed when the step's program starts.

use std::ffi::{CString, OsStr};
use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::Arc;

use nix::fcntl::{OFlag, open};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::stat::{Mode, fstat};

use crate::supervise::watcher::wire::{Body, put_str, put_u32};

/// What confines a step. All of it holds at once.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// No network.
    pub network: bool,
    /// No privileges.
    pub privileges: bool,
    /// Go on without what the kernel does not offer.
    pub best_effort: bool,
    /// What may be read and written must be in every one of these.
    pub layers: Vec<Arc<Layer>>,
}

/// One list of places for reading and one for writing; without a list nothing is restricted.
#[derive(Debug)]
pub struct Layer {
    /// Where files may be read and executed.
    pub read: Option<Vec<Place>>,
    /// Where files may be read, executed, written, made and removed.
    pub write: Option<Vec<Place>>,
}

/// A file or directory that is the same one in every step, whatever its name leads to by then.
#[derive(Debug)]
pub struct Place {
    path: CString,
    device: u64,
    inode: u64,
    /// While it is open nothing else gets its number.
    _held: Option<OwnedFd>,
}

/// A descriptor that names a file and gives no access to it.
const NAMES: OFlag = OFlag::O_PATH.union(OFlag::O_NOFOLLOW).union(OFlag::O_CLOEXEC);

impl Place {
    /// Finds a place, by following links now and never again.
    ///
    /// # Errors
    /// Where there is none, or it cannot be reached.
    pub fn find(path: &Path) -> io::Result<Self> {
        let path = CString::new(std::fs::canonicalize(path)?.as_os_str().as_bytes())?;
        let held = open(path.as_c_str(), NAMES, Mode::empty())?;
        let stat = fstat(&held)?;
        Ok(Self { path, device: stat.st_dev, inode: stat.st_ino, _held: Some(held) })
    }

    /// Opens the place and says whether it is a directory.
    ///
    /// # Errors
    /// Where it is gone, or another file has its name.
    pub(super) fn open(&self) -> io::Result<(OwnedFd, bool)> {
        let file = open(self.path.as_c_str(), NAMES, Mode::empty())?;
        let stat = fstat(&file)?;
        if (stat.st_dev, stat.st_ino) == (self.device, self.inode) {
            return Ok((file, stat.st_mode & nix::libc::S_IFMT == nix::libc::S_IFDIR));
        }
        Err(io::Error::other("another file has taken its name since its block began"))
    }

    pub(super) fn path(&self) -> &Path {
        Path::new(OsStr::from_bytes(self.path.to_bytes()))
    }
}

/// First byte of a sheet that holds rules.
const RULES: u8 = b'R';
/// First byte of a sheet that holds a message.
const REFUSED: u8 = b'!';

mod bit {
    pub(super) const NETWORK: u8 = 1;
    pub(super) const PRIVILEGES: u8 = 2;
    pub(super) const BEST_EFFORT: u8 = 4;
}

impl Rules {
    fn encode(&self) -> Vec<u8> {
        let flag = |on, bit| if on { bit } else { 0 };
        let flags = flag(self.network, bit::NETWORK) | flag(self.privileges, bit::PRIVILEGES) | flag(self.best_effort, bit::BEST_EFFORT);
        let mut out = vec![RULES, flags];
        let count = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
        put_u32(&mut out, count(self.layers.len()));
        for list in self.layers.iter().flat_map(|layer| [&layer.read, &layer.write]) {
            out.push(u8::from(list.is_some()));
            let places = list.as_deref().unwrap_or_default();
            put_u32(&mut out, count(places.len()));
            for place in places {
                out.extend_from_slice(&place.device.to_ne_bytes());
                out.extend_from_slice(&place.inode.to_ne_bytes());
                put_str(&mut out, &place.path);
            }
        }
        out
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let mut body = Body(bytes);
        let flags = body.u8().filter(|first| *first == RULES).and_then(|_| body.u8())?;
        let has = |bit| flags & bit != 0;
        let count = body.u32()?;
        let layer = |body: &mut Body<'_>| Some(Arc::new(Layer { read: places(body)?, write: places(body)? }));
        let layers = (0..count).map(|_| layer(&mut body)).collect::<Option<_>>()?;
        let whole = body.0.is_empty();
        let rules = Self { network: has(bit::NETWORK), privileges: has(bit::PRIVILEGES), best_effort: has(bit::BEST_EFFORT), layers };
        whole.then_some(rules)
    }
}

fn places(body: &mut Body<'_>) -> Option<Option<Vec<Place>>> {
    let (listed, count) = (body.u8()? != 0, body.u32()?);
    let mut found = Vec::new();
    for _ in 0..count {
        let mut number = || Some(u64::from_ne_bytes(body.bytes(8)?.try_into().ok()?));
        let (device, inode) = (number()?, number()?);
        found.push(Place { path: body.str()?.to_owned(), device, inode, _held: None });
    }
    Some(listed.then_some(found))
}

/// The rules of one step on their way to it.
pub struct Sheet(File);

impl Sheet {
    /// Writes rules down.
    ///
    /// # Errors
    /// Where there is no memory or descriptor for it.
    pub fn new(rules: &Rules) -> io::Result<Self> {
        let mut file = File::from(memfd_create(c"rules", MFdFlags::MFD_CLOEXEC)?);
        file.write_all(&rules.encode())?;
        Ok(Self(file))
    }

    /// The one that this process was given as descriptor 3.
    pub(super) fn given() -> io::Result<Self> {
        File::options().read(true).write(true).open("/proc/self/fd/3").map(Self)
    }

    pub(super) fn rules(&mut self) -> io::Result<Rules> {
        let mut bytes = Vec::new();
        self.0.rewind()?;
        self.0.read_to_end(&mut bytes)?;
        Rules::decode(&bytes).ok_or_else(|| io::Error::other("descriptor 3 holds no rules"))
    }

    /// Leaves a message in place of the rules.
    pub(super) fn refuse(&mut self, message: &str) {
        let text = [&[REFUSED], message.as_bytes()].concat();
        let _ = self.0.rewind().and_then(|()| self.0.set_len(0)).and_then(|()| self.0.write_all(&text));
    }

    /// Why the rules could not be kept, so that the program was not started.
    #[must_use]
    pub fn refusal(&mut self) -> Option<String> {
        let mut bytes = Vec::new();
        self.0.rewind().and_then(|()| self.0.read_to_end(&mut bytes)).ok()?;
        let message = bytes.strip_prefix(&[REFUSED])?;
        Some(String::from_utf8_lossy(message).into_owned())
    }

    /// Its descriptor.
    #[must_use]
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn rules_arrive_as_they_were_written() {
        let directory = tempfile::tempdir().expect("a directory");
        let place = || Place::find(directory.path()).expect("it is there");
        let layers = vec![
            Arc::new(Layer { read: None, write: Some(vec![place(), place()]) }),
            Arc::new(Layer { read: Some(Vec::new()), write: None }),
        ];
        let rules = Rules { network: true, layers, ..Rules::default() };
        let mut sheet = Sheet::new(&rules).expect("a sheet");
        let read = sheet.rules().expect("rules");
        assert_eq!(read.encode(), rules.encode());
        assert!(read.network && !read.privileges && !read.best_effort && sheet.refusal().is_none());
        sheet.refuse("no");
        assert_eq!(sheet.refusal().as_deref(), Some("no"));
        assert!(sheet.rules().is_err());
    }

    #[test]
    fn a_place_whose_name_leads_elsewhere_is_another_one() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("a");
        std::fs::create_dir(&path).expect("made");
        let place = Place::find(&path).expect("it is there");
        assert!(place.open().expect("the same").1);
        std::fs::remove_dir(&path).expect("removed");
        assert!(place.open().is_err());
        std::os::unix::fs::symlink("/", &path).expect("linked");
        assert!(place.open().is_err());
        std::fs::remove_file(&path).expect("removed");
        std::fs::create_dir(&path).expect("made again");
        assert!(place.open().is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_rules_or_none(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            if let Some(rules) = Rules::decode(&[&[RULES], &*bytes].concat()) {
                prop_assert_eq!(rules.layers.len(), Rules::decode(&rules.encode()).map_or(0, |again| again.layers.len()));
            }
        }
    }
}
