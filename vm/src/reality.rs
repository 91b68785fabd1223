//! This host, as far as planning looks at it.
//!
//! Read for: everything in the process that runs a contract.

use opal_core::plan::{FILE_MAX, FileFailure, Reality, os_reason};
use opal_format::read_file::open_undisturbed;
use std::collections::{BTreeMap, HashMap};
use std::io::Read;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};

/// This host: an environment taken once, and its file system.
#[derive(Clone, Default)]
pub struct Host {
    env: HashMap<Vec<u8>, Vec<u8>>,
    base: PathBuf,
}

impl Host {
    /// The environment of this process, with `overrides` on top, and `base` for relative paths.
    #[must_use]
    pub fn new(base: PathBuf, overrides: &BTreeMap<String, Vec<u8>>) -> Self {
        let mut env: HashMap<Vec<u8>, Vec<u8>> = std::env::vars_os().map(|(name, value)| (name.into_vec(), value.into_vec())).collect();
        for (name, value) in overrides {
            env.insert(name.clone().into_bytes(), value.clone());
        }
        Self { env, base }
    }
}

impl Reality for Host {
    fn env(&self, name: &str) -> Option<Vec<u8>> {
        self.env.get(name.as_bytes()).cloned()
    }

    fn read_file(&self, path: &[u8]) -> Result<Vec<u8>, FileFailure> {
        let refuse = |reason: &str| FileFailure { missing: false, reason: reason.to_owned() };
        let io = |error: std::io::Error| FileFailure { missing: error.kind() == std::io::ErrorKind::NotFound, reason: os_reason(&error) };
        let path = self.base.join(Path::new(std::ffi::OsStr::from_bytes(path)));
        // Links are followed, so the decision is taken on where the path really leads.
        let real = std::fs::canonicalize(&path).map_err(io)?;
        if let Some(Component::Normal(first)) = real.components().nth(1)
            && (first == "proc" || first == "sys")
        {
            return Err(refuse("files below /proc and /sys are not read"));
        }
        let file = open_undisturbed(&real).map_err(io)?;
        let metadata = file.metadata().map_err(io)?;
        if !metadata.is_file() {
            return Err(refuse("not a regular file"));
        }
        if metadata.len() > FILE_MAX {
            return Err(refuse("larger than 16 MiB"));
        }
        // Room for all of it, since a buffer that grew would leave secrets behind.
        let mut bytes = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or(0).saturating_add(1));
        file.take(FILE_MAX.saturating_add(1)).read_to_end(&mut bytes).map_err(io)?;
        if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > FILE_MAX {
            return Err(refuse("larger than 16 MiB"));
        }
        Ok(bytes)
    }
}
