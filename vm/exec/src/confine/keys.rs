//! The files of private keys that a run's user has, which no list of places may let steps read.
//!
//! Read for: everything in the process that runs a contract.

use std::path::{Path, PathBuf};

/// Files of private keys, by their real names.
#[derive(Clone, Debug, Default)]
pub struct KeyFiles(Vec<PathBuf>);

impl KeyFiles {
    /// Those of these files that are there.
    #[must_use]
    pub fn of(files: impl IntoIterator<Item = PathBuf>) -> Self {
        let mut real: Vec<PathBuf> = files.into_iter().filter_map(|file| std::fs::canonicalize(file).ok()).collect();
        real.sort_unstable();
        real.dedup();
        Self(real)
    }

    /// The first that is this place, a real name, or below it.
    #[must_use]
    pub fn listed_by(&self, place: &Path) -> Option<&Path> {
        self.0.iter().find(|file| file.starts_with(place)).map(PathBuf::as_path)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Path> {
        self.0.iter().map(PathBuf::as_path)
    }
}
