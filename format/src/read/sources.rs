//! SOURCES: the files that a program was compiled from (spec/plan-format.md, "SOURCES"). They are numbered, and their bytes count as one text: those
//! of file *k* start at the sum of the lengths of the files before it.

use crate::read::limits;

/// One file of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceFile<'a> {
    /// Its name, relative to the base directory where possible; empty where there is none.
    pub name: &'a str,
    /// Its length in bytes.
    pub length: u64,
    /// Its plain digest, by the contract's algorithm.
    pub digest: [u8; 32],
}

/// The files, if they are from 1 to the limit, with distinct names of an acceptable length and no NUL, and together no longer than spans reach.
pub(crate) fn read(bytes: &[u8]) -> Option<Vec<SourceFile<'_>>> {
    let (count, mut rest) = bytes.split_first_chunk::<4>()?;
    let count = usize::try_from(u32::from_le_bytes(*count)).ok()?;
    let mut files = Vec::<SourceFile<'_>>::new();
    while let Some((length, more)) = rest.split_first_chunk::<2>() {
        let (name, more) = more.split_at_checked(usize::from(u16::from_le_bytes(*length)))?;
        let (length, more) = more.split_first_chunk::<8>()?;
        let (digest, more) = more.split_first_chunk::<32>()?;
        files.push(SourceFile { name: std::str::from_utf8(name).ok()?, length: u64::from_le_bytes(*length), digest: *digest });
        if files.len() > limits::SOURCES {
            return None;
        }
        rest = more;
    }
    (rest.is_empty() && files.len() == count && acceptable(&files)).then_some(files)
}

/// Whether a reader takes this list.
pub(crate) fn acceptable(files: &[SourceFile<'_>]) -> bool {
    let total = files.iter().try_fold(0_u64, |sum, file| sum.checked_add(file.length));
    let known = |file: &SourceFile<'_>| file.name.len() <= limits::SOURCE_NAME && !file.name.contains('\0');
    let mut names: Vec<&str> = files.iter().map(|file| file.name).collect();
    names.sort_unstable();
    let distinct = names.is_sorted_by(|a, b| a < b);
    (1..=limits::SOURCES).contains(&files.len())
        && files.iter().all(known)
        && distinct
        && total.is_some_and(|sum| sum <= u64::from(u32::MAX))
}
