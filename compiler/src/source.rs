//! A source file as read, and positions in it as people count them.

use crate::span::Span;

/// The largest source that is compiled, in bytes.
pub const SOURCE_SIZE_MAX: usize = 16 * 1024 * 1024;

/// One source: its name and bytes. Any bytes are accepted here; [`crate::syntax::parse`] reports what is wrong with them.
#[derive(Clone, Debug)]
pub struct Source {
    name: String,
    bytes: Vec<u8>,
    /// As long as `bytes`, byte for byte, with `?` for every byte that is not part of valid UTF-8.
    text: String,
    line_starts: Vec<u32>,
    /// Characters before each multiple of [`STRIDE`] bytes, so that no column costs more than the bytes between two of them.
    characters: Vec<u32>,
    invalid: Option<Span>,
}

/// Bytes between two places at which the characters before are known.
const STRIDE: usize = 1024;

/// A position as people count: both start at 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineColumn {
    /// The line.
    pub line: usize,
    /// The column, in characters.
    pub column: usize,
}

impl Source {
    /// A source called `name` (shown in messages) with these bytes.
    #[must_use]
    pub fn new(name: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Self {
        let bytes: Vec<u8> = bytes.into();
        let mut text = String::with_capacity(bytes.len());
        let mut invalid = None;
        for chunk in bytes.utf8_chunks() {
            text.push_str(chunk.valid());
            if !chunk.invalid().is_empty() {
                let start = text.len();
                text.extend(std::iter::repeat_n('?', chunk.invalid().len()));
                invalid = invalid.or(Some(Span::new(start, text.len())));
            }
        }
        let newlines = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
        let line_starts = std::iter::once(0).chain(newlines.map(|(index, _)| u32::try_from(index + 1).unwrap_or(u32::MAX))).collect();
        let mut count = 0;
        let strides = text.as_bytes().chunks(STRIDE).map(|stride| {
            let before = count;
            count += characters_in(stride);
            before
        });
        let characters = strides.collect();
        Self { name: name.into(), bytes, text, line_starts, characters, invalid }
    }

    /// The name that messages show.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The bytes as given; the source digest is over these.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The text, as long as the bytes. Invalid bytes are `?`.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The first run of bytes that is not UTF-8.
    #[must_use]
    pub fn invalid_utf8(&self) -> Option<Span> {
        self.invalid
    }

    /// The text at `span`, clamped to the source and to character boundaries.
    #[must_use]
    pub fn slice(&self, span: Span) -> &str {
        let floor = |offset: u32| {
            let mut offset = (offset as usize).min(self.text.len());
            while !self.text.is_char_boundary(offset) {
                offset -= 1;
            }
            offset
        };
        self.text.get(floor(span.start)..floor(span.end)).unwrap_or("")
    }

    /// How many lines there are; at least one.
    #[must_use]
    pub fn line_count(&self) -> usize {
        self.line_starts.len()
    }

    /// The line (from 0) that holds `offset`.
    #[must_use]
    pub fn line_index(&self, offset: u32) -> usize {
        self.line_starts.partition_point(|start| *start <= offset).saturating_sub(1)
    }

    /// The bytes of a line (from 0), its line end included.
    #[must_use]
    pub fn line_span(&self, index: usize) -> Span {
        let end_of_text = self.text.len();
        let start = self.line_starts.get(index).map_or(end_of_text, |start| *start as usize);
        let end = self.line_starts.get(index + 1).map_or(end_of_text, |end| *end as usize);
        Span::new(start, end)
    }

    /// Line and column of a byte offset.
    #[must_use]
    pub fn line_column(&self, offset: u32) -> LineColumn {
        let index = self.line_index(offset);
        let start = self.line_span(index).start;
        let column = self.characters_before(offset.max(start)) - self.characters_before(start) + 1;
        LineColumn { line: index + 1, column: column as usize }
    }

    /// How many characters start before a byte offset.
    fn characters_before(&self, offset: u32) -> u32 {
        let offset = (offset as usize).min(self.text.len());
        let stride = (offset / STRIDE).min(self.characters.len().saturating_sub(1));
        let known = self.characters.get(stride).copied().unwrap_or(0);
        known + characters_in(self.text.as_bytes().get(stride * STRIDE..offset).unwrap_or_default())
    }
}

/// How many characters of UTF-8 start in these bytes.
fn characters_in(bytes: &[u8]) -> u32 {
    let starts = bytes.iter().filter(|byte| **byte & 0xc0 != 0x80).count();
    u32::try_from(starts).unwrap_or(u32::MAX)
}
