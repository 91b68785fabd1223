//! Fixed-size records that archives are made of.
//!
//! Every table in a plan is a slice of one of these. They are their own archived form: integers are little-endian wrappers, there is no
//! implicit padding, and every bit pattern of the right length is a valid record, so a slice can be used where it lies, from a file or
//! from memory alike. What the numbers *mean* is checked by whoever interprets the table (`crate::read::check`, the program verifier).

pub use rkyv::rend::{i64_le, u16_le, u32_le};

/// Declares a record that is its own archived form.
macro_rules! record {
    ($(#[$meta:meta])* pub struct $name:ident { $($(#[$fmeta:meta])* pub $field:ident : $ty:ty),+ $(,)? } size $size:literal) => {
        $(#[$meta])*
        #[derive(
            Clone,
            Copy,
            Debug,
            PartialEq,
            Eq,
            rkyv::Portable,
            rkyv::bytecheck::CheckBytes,
            rkyv::Archive,
            rkyv::Serialize,
            rkyv::Deserialize,
        )]
        #[bytecheck(crate = rkyv::bytecheck)]
        #[rkyv(as = $name)]
        #[repr(C)]
        pub struct $name { $($(#[$fmeta])* pub $field: $ty),+ }
        const _: () = assert!(size_of::<$name>() == $size, "record has an unexpected size");
    };
}
pub(crate) use record;

record! {
    /// A run of bytes in the text pool of the table that holds the reference.
    pub struct TextRef {
        /// First byte, counted from the start of the pool.
        pub offset: u32_le,
        /// Number of bytes.
        pub length: u32_le,
    } size 8
}

impl TextRef {
    /// The empty text.
    pub const EMPTY: Self = Self::new(0, 0);

    /// A reference to `length` bytes from `offset`.
    #[must_use]
    pub const fn new(offset: u32, length: u32) -> Self {
        Self { offset: u32_le::from_native(offset), length: u32_le::from_native(length) }
    }

    /// The bytes, or `None` where the reference leaves the pool.
    #[must_use]
    pub fn of(self, pool: &[u8]) -> Option<&[u8]> {
        let start = usize::try_from(self.offset.to_native()).ok()?;
        let end = start.checked_add(usize::try_from(self.length.to_native()).ok()?)?;
        pool.get(start..end)
    }

    /// Whether the text is empty.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.length.to_native() == 0
    }
}

record! {
    /// A run of records in another table.
    pub struct Range {
        /// Index of the first record.
        pub first: u32_le,
        /// Number of records.
        pub count: u32_le,
    } size 8
}

impl Range {
    /// The empty range.
    pub const EMPTY: Self = Self::new(0, 0);

    /// `count` records from index `first`.
    #[must_use]
    pub const fn new(first: u32, count: u32) -> Self {
        Self { first: u32_le::from_native(first), count: u32_le::from_native(count) }
    }

    /// The records, or `None` where the range leaves the table.
    #[must_use]
    pub fn of<T>(self, table: &[T]) -> Option<&[T]> {
        let start = usize::try_from(self.first.to_native()).ok()?;
        let end = start.checked_add(usize::try_from(self.count.to_native()).ok()?)?;
        table.get(start..end)
    }
}

record! {
    /// A column, of 24 bits: a source has no more bytes.
    pub struct Column {
        /// Least significant byte first.
        pub bytes: [u8; 3],
    } size 3
}

impl Column {
    /// This column, or the last that there is.
    #[must_use]
    pub const fn from_native(column: u32) -> Self {
        let [a, b, c, rest] = column.to_le_bytes();
        Self { bytes: if rest == 0 { [a, b, c] } else { [u8::MAX; 3] } }
    }

    /// The number.
    #[must_use]
    pub const fn to_native(self) -> u32 {
        let [a, b, c] = self.bytes;
        u32::from_le_bytes([a, b, c, 0])
    }
}

record! {
    /// A place in the source. All zero where there is none.
    pub struct Span {
        /// First byte, counted from the start of the first file: those of file *k* start at the sum of the lengths of the files before it.
        pub start: u32_le,
        /// The byte after the last.
        pub end: u32_le,
        /// Line of `start` in its file, from 1.
        pub line: u32_le,
        /// Column of `start` in characters, from 1; a byte that is not UTF-8 counts as one.
        pub column: Column,
        /// Number of the file, from 0, in SOURCES.
        pub file: u8,
    } size 16
}

impl Span {
    /// No place.
    pub const NONE: Self = Self::new(0, 0, 0, 0);

    /// Bytes `start..end` of the first file, where `start` lies at `line` and `column`.
    #[must_use]
    pub const fn new(start: u32, end: u32, line: u32, column: u32) -> Self {
        Self {
            start: u32_le::from_native(start),
            end: u32_le::from_native(end),
            line: u32_le::from_native(line),
            column: Column::from_native(column),
            file: 0,
        }
    }
}
