//! VALUES: one record for every resolved value, with a keyed commitment in place of a secret (spec/plan-format.md, "VALUES").

use crate::read::record::{Span, TextRef, record, u16_le};
use rkyv::{Archive, Deserialize, Serialize};

/// The value is public: `value` holds its canonical encoding.
pub const SLOT_PUBLIC: u16 = 1;
/// The value decided which arm of an `if` or `when` was taken.
pub const SLOT_SHAPES: u16 = 2;
/// The value was computed from other slots.
pub const SLOT_COMPUTED: u16 = 4;

record! {
    /// One resolved value.
    pub struct Slot {
        /// Canonical key: decorator and arguments, or the operation and its operands' keys. Unique in the table.
        pub key: TextRef,
        /// The id shown as `opal:secret:ID`.
        pub display: TextRef,
        /// Canonical encoding of a public value; empty for a secret.
        pub value: TextRef,
        /// Keyed hash of key, type and canonical value (`spec/plan-format.md`).
        pub commitment: [u8; 32],
        /// Number of the value decorator; 0 for a computed value.
        pub decorator: u16_le,
        /// `SLOT_*` bits.
        pub flags: u16_le,
        /// A [`ValueType`](crate::read::kind::ValueType) number.
        pub value_type: u8,
        /// Zero.
        pub reserved: [u8; 3],
        /// Where the value was first needed.
        pub span: Span,
    } size 80
}

/// The slot tables, as they are built, in the order of first use.
#[derive(Clone, Debug, Default, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Slots {
    /// One record a value.
    pub slots: Vec<Slot>,
    /// Text pool.
    pub text: Vec<u8>,
}

/// Borrowed slot tables, from memory or from an archive.
#[derive(Clone, Copy, Debug)]
pub struct SlotsView<'a> {
    /// See [`Slots::slots`].
    pub slots: &'a [Slot],
    /// See [`Slots::text`].
    pub text: &'a [u8],
}

impl Slots {
    /// The tables as slices.
    #[must_use]
    pub fn view(&self) -> SlotsView<'_> {
        SlotsView { slots: &self.slots, text: &self.text }
    }
}

impl ArchivedSlots {
    /// The tables as slices, where they lie.
    #[must_use]
    pub fn view(&self) -> SlotsView<'_> {
        SlotsView { slots: &self.slots, text: &self.text }
    }
}

impl Slot {
    /// Whether the value is public.
    #[must_use]
    pub const fn is_public(&self) -> bool {
        self.flags.to_native() & SLOT_PUBLIC != 0
    }

    /// Whether the value decided structure.
    #[must_use]
    pub const fn shapes(&self) -> bool {
        self.flags.to_native() & SLOT_SHAPES != 0
    }
}
