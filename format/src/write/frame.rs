//! Writing what `read::header` and `read::section` read: the fixed start of a plan, and framed sections.

use crate::read::error::{FormatError, within};
use crate::read::header::{ALIGNMENT, AT_TARGET, FLAG_SIGNED, Header, MAGIC, MODE_RESOLVED};
use crate::read::kind::{Section, VERSION_MAJOR};
use crate::read::limits;
use crate::read::section::FLAG_CRITICAL;

/// Appends header, hashes and target to an empty file.
pub(crate) fn start(header: &Header<'_>, file: &mut crate::Bytes) -> Result<(), FormatError> {
    within("length of the target", header.target.len(), limits::TARGET_LENGTH, AT_TARGET)?;
    let length = u16::try_from(header.target.len()).unwrap_or(u16::MAX);
    file.extend_from_slice(&MAGIC);
    file.extend_from_slice(&VERSION_MAJOR.to_le_bytes());
    file.extend_from_slice(&header.version_minor.to_le_bytes());
    file.extend_from_slice(&FLAG_SIGNED.to_le_bytes());
    file.extend_from_slice(&[MODE_RESOLVED, header.algorithm.number()]);
    file.extend_from_slice(&header.steps.to_le_bytes());
    file.extend_from_slice(&header.values.to_le_bytes());
    file.extend_from_slice(&header.provenance.to_le_bytes());
    file.extend_from_slice(&header.timestamp.to_le_bytes());
    file.extend_from_slice(&header.source_hash.bytes);
    file.extend_from_slice(&header.plan_hash.bytes);
    file.extend_from_slice(&length.to_le_bytes());
    file.extend_from_slice(header.target.as_bytes());
    pad(file);
    Ok(())
}

/// Appends a section to a file that ends at an aligned offset.
pub(crate) fn section(file: &mut crate::Bytes, section: Section, bytes: &[u8]) {
    let flags = if section.is_critical() { FLAG_CRITICAL } else { 0 };
    file.extend_from_slice(&section.tag());
    file.extend_from_slice(&flags.to_le_bytes());
    file.extend_from_slice(&[0, 0]);
    file.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
    file.extend_from_slice(bytes);
    pad(file);
}

/// Appends zeros up to the next aligned offset.
pub(crate) fn pad(file: &mut crate::Bytes) {
    file.resize(file.len().next_multiple_of(ALIGNMENT), 0);
}
