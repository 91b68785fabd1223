//! The one door to `rkyv` (spec/plan-format.md, "Archives").
//!
//! Endianness (little), alignment (natural) and pointer width (32 bits) are fixed by features of the dependency. Reading is always checked,
//! with a limit on nesting; the archived types hold no maps, shared pointers or trait objects. A checked archive is memory-safe to read
//! and nothing more: what its numbers mean is checked in `crate::read::check` and by the program verifier.

use crate::read::error::FormatError;
use crate::read::kind::Section;
use crate::read::limits;
use crate::read::section::Located;
use rkyv::api::access_with_context;
use rkyv::api::high::{HighSerializer, to_bytes_in};
use rkyv::bytecheck::CheckBytes;
use rkyv::rancor::{Failure, Strategy};
use rkyv::ser::allocator::ArenaHandle;
use rkyv::util::AlignedVec;
use rkyv::validation::archive::ArchiveValidator;
use rkyv::{Portable, Serialize};
use std::num::NonZeroUsize;

// These decide bytes on disk. A build with other features of the dependency must not compile.
const _: () = assert!(size_of::<rkyv::Archived<usize>>() == 4 && align_of::<rkyv::Archived<u64>>() == 8);
const _: () = assert!(matches!(rkyv::Archived::<u32>::from_native(1), rkyv::rend::u32_le { .. }));

/// The type that an archive of `T` reads as.
pub(crate) type Checker<'a> = Strategy<ArchiveValidator<'a>, Failure>;

/// Reads the archive that fills a section, where it lies. The section must start at a multiple of 16, as those of an aligned file do.
pub(crate) fn read<T>(section: Section, located: Located<'_>) -> Result<&T, FormatError>
where
    T: Portable + for<'a> CheckBytes<Checker<'a>>,
{
    let mut validator = ArchiveValidator::with_max_depth(located.bytes, NonZeroUsize::new(limits::ARCHIVE_DEPTH));
    access_with_context::<T, _, Failure>(located.bytes, &mut validator)
        .map_err(|Failure| FormatError::Archive { section, offset: located.start })
}

/// Where a table lies in memory, its size and its alignment.
pub(crate) struct Table {
    address: usize,
    size: usize,
    align: usize,
}

/// A table, as it is found.
pub(crate) fn table<T>(records: &[T]) -> Table {
    Table { address: records.as_ptr().addr(), size: size_of_val(records), align: align_of::<T>() }
}

/// Refuses an archive that does not consist of these tables one after the other, each at the first aligned place, and its root of type `T`,
/// with zeros between them: anything else would be a hiding place, and give one plan two encodings.
pub(crate) fn check_full<T>(located: Located<'_>, tables: &[Table]) -> Result<(), FormatError> {
    let base = located.bytes.as_ptr().addr();
    let mut end = 0_usize;
    for table in tables {
        let start = aligned(located, end, table.align)?;
        if base.checked_add(start) != Some(table.address) {
            return Err(FormatError::TrailingData { what: "archive", offset: located.start.saturating_add(end) });
        }
        end = start.saturating_add(table.size);
    }
    let root = aligned(located, end, align_of::<T>())?;
    if root.saturating_add(size_of::<T>()) == located.bytes.len() {
        Ok(())
    } else {
        Err(FormatError::TrailingData { what: "archive", offset: located.start.saturating_add(root) })
    }
}

/// The next aligned place from `end`. The bytes up to it must be zero.
fn aligned(located: Located<'_>, end: usize, align: usize) -> Result<usize, FormatError> {
    let start = end.checked_next_multiple_of(align).unwrap_or(usize::MAX);
    match located.bytes.get(end..start).unwrap_or_default().iter().position(|byte| *byte != 0) {
        Some(at) => Err(FormatError::Padding { offset: located.start.saturating_add(end).saturating_add(at) }),
        None => Ok(start),
    }
}

/// The archive of a value. Fails only where memory or 32-bit offsets do not suffice.
pub(crate) fn write<T>(section: Section, value: &T) -> Result<AlignedVec<16>, FormatError>
where
    T: for<'a> Serialize<HighSerializer<AlignedVec<16>, ArenaHandle<'a>, Failure>>,
{
    to_bytes_in::<_, Failure>(value, AlignedVec::<16>::new()).map_err(|Failure| FormatError::Archive { section, offset: 0 })
}
