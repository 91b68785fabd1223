//! Framed sections: 16 bytes of tag, flags and length, then the bytes, then zeros up to a multiple of 16.

use crate::read::error::{FormatError, within};
use crate::read::header::{self, field};
use crate::read::kind::Section;
use crate::read::limits;

/// Bit 0 of a frame's flags: a reader that does not know the tag stops.
pub const FLAG_CRITICAL: u16 = 1;
/// Bytes of a frame.
pub(crate) const FRAME: usize = 16;

/// A frame at `offset` of a file whose sections end at its end. `section` is `None` for an unknown tag that may be skipped.
pub(crate) struct Frame<'a> {
    pub section: Option<Section>,
    /// Where the section's bytes start.
    pub start: usize,
    pub bytes: &'a [u8],
    /// Where the next frame starts.
    pub next: usize,
}

/// Reads the frame at `offset`.
pub(crate) fn read(file: &[u8], offset: usize) -> Result<Frame<'_>, FormatError> {
    let truncated = FormatError::Truncated { what: "section", offset: file.len() };
    let start = offset.saturating_add(FRAME);
    let frame: [u8; FRAME] = file.get(offset..start).and_then(|bytes| bytes.first_chunk()).copied().ok_or(truncated.clone())?;
    let tag: [u8; 4] = field(&frame, 0)?;
    let flags = u16::from_le_bytes(field(&frame, 4)?);
    if flags & !FLAG_CRITICAL != 0 || field(&frame, 6)? != [0, 0] {
        return Err(FormatError::Reserved { what: "section flags", offset: offset.saturating_add(4) });
    }
    let critical = flags & FLAG_CRITICAL != 0;
    let section = Section::ALL.iter().copied().find(|section| section.tag() == tag);
    match section {
        None if critical => return Err(FormatError::UnknownCritical { tag: tag.escape_ascii().to_string(), offset }),
        Some(section) if section.is_critical() != critical => return Err(FormatError::SectionFlags { section, offset }),
        _ => {}
    }
    let length = usize::try_from(u64::from_le_bytes(field(&frame, 8)?)).unwrap_or(usize::MAX);
    let end = start.saturating_add(length);
    let bytes = file.get(start..end).ok_or(truncated)?;
    Ok(Frame { section, start, bytes, next: header::padding(file, end)? })
}

/// Where a section's bytes lie.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Located<'a> {
    pub start: usize,
    pub bytes: &'a [u8],
}

/// The sections of a file, SIGNATURE excepted.
pub(crate) struct Sections<'a> {
    found: [Option<Located<'a>>; Section::ALL.len()],
}

impl<'a> Sections<'a> {
    /// Reads the sections from `offset` to the end of `body`, which ends where SIGNATURE starts.
    pub(crate) fn read(body: &'a [u8], mut offset: usize) -> Result<Self, FormatError> {
        let mut found = [None; Section::ALL.len()];
        let mut last = None;
        let mut count = 0_usize;
        while offset < body.len() {
            count = count.saturating_add(1);
            within("number of sections", count, limits::SECTIONS, offset)?;
            let frame = read(body, offset)?;
            if let Some(section) = frame.section {
                let place = found.get_mut(usize::from(section.number()));
                if place.as_ref().is_some_and(|place| place.is_some()) {
                    return Err(FormatError::DuplicateSection { section, offset });
                }
                if section == Section::Signature || last.is_some_and(|last| last > section) {
                    return Err(FormatError::SectionOrder { section, offset });
                }
                last = Some(section);
                if let Some(place) = place {
                    *place = Some(Located { start: frame.start, bytes: frame.bytes });
                }
            }
            offset = frame.next;
        }
        Ok(Self { found })
    }

    /// A section that may be there.
    pub(crate) fn find(&self, section: Section) -> Option<Located<'a>> {
        self.found.get(usize::from(section.number())).copied().flatten()
    }

    /// A section that must be there.
    pub(crate) fn expect(&self, section: Section) -> Result<Located<'a>, FormatError> {
        self.find(section).ok_or(FormatError::MissingSection { section })
    }
}
