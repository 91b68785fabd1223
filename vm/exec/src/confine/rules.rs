//! The rules that confine a step, and the bytes as which they travel to the process that puts them on, with the request for the step.
//!
//! Read for: everything in the process that runs a contract.

use std::ffi::{CString, OsStr};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::Arc;

use nix::fcntl::{OFlag, open};
use nix::sys::stat::{Mode, fstat};

use crate::frame::{Body, Frame};

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
    /// Files in whose place there is nothing to read.
    pub hidden: Vec<CString>,
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

    /// Its real name.
    #[must_use]
    pub fn path(&self) -> &Path {
        Path::new(OsStr::from_bytes(self.path.to_bytes()))
    }
}

mod bit {
    pub(super) const NETWORK: u8 = 1;
    pub(super) const PRIVILEGES: u8 = 2;
    pub(super) const BEST_EFFORT: u8 = 4;
}

impl Rules {
    /// The rules as bytes; never none.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let flag = |on, bit| if on { bit } else { 0 };
        let flags = flag(self.network, bit::NETWORK) | flag(self.privileges, bit::PRIVILEGES) | flag(self.best_effort, bit::BEST_EFFORT);
        let mut out = Frame::new(0, 0);
        out.u8(flags).length(self.layers.len());
        for list in self.layers.iter().flat_map(|layer| [&layer.read, &layer.write]) {
            let places = list.as_deref().unwrap_or_default();
            out.u8(u8::from(list.is_some())).length(places.len());
            for place in places {
                out.u64(place.device).u64(place.inode).text(&place.path);
            }
        }
        out.length(self.hidden.len());
        self.hidden.iter().for_each(|path| _ = out.text(path));
        out.body().to_vec()
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut body = Body(bytes);
        let flags = body.u8()?;
        let has = |bit| flags & bit != 0;
        let count = body.u32()?;
        let layer = |body: &mut Body<'_>| Some(Arc::new(Layer { read: places(body)?, write: places(body)? }));
        let layers = (0..count).map(|_| layer(&mut body)).collect::<Option<_>>()?;
        let count = body.u32()?;
        let hidden = (0..count).map(|_| Some(body.text()?.to_owned())).collect::<Option<_>>()?;
        let whole = body.is_over();
        let rules =
            Self { network: has(bit::NETWORK), privileges: has(bit::PRIVILEGES), best_effort: has(bit::BEST_EFFORT), layers, hidden };
        whole.then_some(rules)
    }
}

fn places(body: &mut Body<'_>) -> Option<Option<Vec<Place>>> {
    let (listed, count) = (body.u8()? != 0, body.u32()?);
    let mut found = Vec::new();
    for _ in 0..count {
        let (device, inode) = (body.u64()?, body.u64()?);
        found.push(Place { path: body.text()?.to_owned(), device, inode, _held: None });
    }
    Some(listed.then_some(found))
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
        let rules = Rules { network: true, layers, hidden: vec![c"/a/key".to_owned()], ..Rules::default() };
        let read = Rules::decode(&rules.encode()).expect("rules");
        assert_eq!(read.encode(), rules.encode());
        assert!(read.network && !read.privileges && !read.best_effort);
        assert!(Rules::decode(&[]).is_none() && !Rules::default().encode().is_empty());
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
            if let Some(rules) = Rules::decode(&bytes) {
                prop_assert_eq!(rules.layers.len(), Rules::decode(&rules.encode()).map_or(0, |again| again.layers.len()));
            }
        }
    }
}
