//! The fixed start of a plan: header (32 bytes), hashes (64 bytes), target (spec/plan-format.md, "Header").

use crate::crypto::hash::{Digest, HashAlgorithm};
use crate::read::error::{FormatError, within};
use crate::read::kind::VERSION_MAJOR;
use crate::read::limits;

/// The first four bytes of a plan.
pub const MAGIC: [u8; 4] = *b"OPAL";
/// Every section, and the target, starts and ends at a multiple of this.
pub const ALIGNMENT: usize = 16;

const FLAG_COMPRESSED: u16 = 1;
pub(crate) const FLAG_SIGNED: u16 = 2;
const MODE_QUICK: u8 = 0;
pub(crate) const MODE_RESOLVED: u8 = 1;

const AT_VERSION: usize = 4;
const AT_FLAGS: usize = 8;
const AT_MODE: usize = 10;
const AT_HASH: usize = 11;
pub(crate) const AT_STEPS: usize = 12;
pub(crate) const AT_VALUES: usize = 16;
pub(crate) const AT_PROVENANCE: usize = 20;
const AT_TIMESTAMP: usize = 24;
const AT_SOURCE_HASH: usize = 32;
const AT_PLAN_HASH: usize = 64;
pub(crate) const AT_TARGET: usize = 96;
/// Bytes before the target's name.
pub(crate) const FIXED: usize = AT_TARGET + 2;

/// Header, hashes and target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    /// Minor version of the file.
    pub version_minor: u16,
    /// Algorithm of all digests in the file.
    pub algorithm: HashAlgorithm,
    /// Nodes in STEPS.
    pub steps: u32,
    /// Slots in VALUES.
    pub values: u32,
    /// Bytes of PROVENANCE.
    pub provenance: u32,
    /// When the plan was made, in seconds of Unix time. Claimed, not checked.
    pub timestamp: i64,
    /// Plain digest of the source file.
    pub source_hash: Digest,
    /// What the plan does (see [`plan_hash`](crate::read::plan_hash::plan_hash)).
    pub plan_hash: Digest,
    /// Name of the target.
    pub target: &'a str,
}

/// Checks what decides how the rest is read: magic, version, hash algorithm. Nothing here is authenticated yet.
pub(crate) fn preamble(file: &[u8]) -> Result<HashAlgorithm, FormatError> {
    if !file.starts_with(&MAGIC) {
        return Err(if file.len() < MAGIC.len() && MAGIC.starts_with(file) { truncated(file) } else { FormatError::BadMagic });
    }
    let major = u16::from_le_bytes(field(file, AT_VERSION)?);
    let minor = u16::from_le_bytes(field(file, AT_VERSION + 2)?);
    if major != VERSION_MAJOR {
        return Err(FormatError::UnsupportedVersion { major, minor });
    }
    let [number] = field(file, AT_HASH)?;
    HashAlgorithm::from_number(number).ok_or(FormatError::UnknownNumber { what: "hash algorithm", number, offset: AT_HASH })
}

impl<'a> Header<'a> {
    /// Reads the fixed start of `file` and returns it with the offset of the first section.
    pub(crate) fn read(file: &'a [u8]) -> Result<(Self, usize), FormatError> {
        let algorithm = preamble(file)?;
        let flags = u16::from_le_bytes(field(file, AT_FLAGS)?);
        if flags & FLAG_COMPRESSED != 0 {
            return Err(FormatError::Compressed);
        }
        if flags & FLAG_SIGNED == 0 {
            return Err(FormatError::SignedBit);
        }
        if flags & !(FLAG_COMPRESSED | FLAG_SIGNED) != 0 {
            return Err(FormatError::Reserved { what: "header flags", offset: AT_FLAGS });
        }
        match field(file, AT_MODE)? {
            [MODE_RESOLVED] => {}
            [MODE_QUICK] => return Err(FormatError::NotResolved),
            [number] => return Err(FormatError::UnknownNumber { what: "plan mode", number, offset: AT_MODE }),
        }
        let length = usize::from(u16::from_le_bytes(field(file, AT_TARGET)?));
        within("length of the target", length, limits::TARGET_LENGTH, AT_TARGET)?;
        let end = FIXED.saturating_add(length);
        let target = file.get(FIXED..end).ok_or_else(|| truncated(file))?;
        let target = std::str::from_utf8(target).map_err(|_| FormatError::NotUtf8 { what: "target", offset: FIXED })?;
        let first = padding(file, end)?;
        let header = Self {
            version_minor: u16::from_le_bytes(field(file, AT_VERSION + 2)?),
            algorithm,
            steps: u32::from_le_bytes(field(file, AT_STEPS)?),
            values: u32::from_le_bytes(field(file, AT_VALUES)?),
            provenance: u32::from_le_bytes(field(file, AT_PROVENANCE)?),
            timestamp: i64::from_le_bytes(field(file, AT_TIMESTAMP)?),
            source_hash: Digest { algorithm, bytes: field(file, AT_SOURCE_HASH)? },
            plan_hash: Digest { algorithm, bytes: field(file, AT_PLAN_HASH)? },
            target,
        };
        within("number of steps", header.steps as usize, limits::NODES, AT_STEPS)?;
        within("number of values", header.values as usize, limits::SLOTS, AT_VALUES)?;
        within("length of the provenance", header.provenance as usize, limits::PROVENANCE_SIZE, AT_PROVENANCE)?;
        Ok((header, first))
    }
}

// The layout is part of the format: a field that moves breaks every file.
const _: () = assert!(AT_TIMESTAMP + 8 == AT_SOURCE_HASH && AT_SOURCE_HASH + 32 == AT_PLAN_HASH && AT_PLAN_HASH + 32 == AT_TARGET);
const _: () = assert!(AT_PROVENANCE + 4 == AT_TIMESTAMP && AT_SOURCE_HASH == 32 && AT_TARGET == 96);

/// `N` bytes at a fixed offset.
pub(crate) fn field<const N: usize>(file: &[u8], offset: usize) -> Result<[u8; N], FormatError> {
    file.get(offset..).and_then(|rest| rest.first_chunk()).copied().ok_or_else(|| truncated(file))
}

const fn truncated(file: &[u8]) -> FormatError {
    FormatError::Truncated { what: "header", offset: file.len() }
}

/// The next aligned offset from `offset`. The bytes up to it must be there and zero.
pub(crate) fn padding(file: &[u8], offset: usize) -> Result<usize, FormatError> {
    let end = offset.checked_next_multiple_of(ALIGNMENT).unwrap_or(usize::MAX);
    let gap = file.get(offset..end).ok_or(FormatError::Truncated { what: "padding", offset: file.len() })?;
    match gap.iter().position(|byte| *byte != 0) {
        Some(at) => Err(FormatError::Padding { offset: offset.saturating_add(at) }),
        None => Ok(end),
    }
}
