//! Which values are scrubbed from output. A reason that depends on a secret value would tell about it, so no file holds one: whoever has the
//! value asks here.

use super::value::Scalar;
use opal_format::canonical;
use opal_format::kind::ValueType;
use opal_format::program::ProgramView;
use opal_format::seed::{Seed, same_commitment};
use opal_format::slots::{Slot, SlotsView};
use std::collections::HashSet;

/// Values shorter than this are not scrubbed from output: it would wreck it and hide nothing.
const SCRUB_MIN: usize = 4;

/// Why a value is not replaced in output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unscrubbed {
    /// It is replaced.
    No,
    /// Marked `public=true`, or public by name.
    Public,
    /// Shorter than four bytes.
    Short,
    /// A number, Bool or Duration.
    Scalar,
    /// Equal to a constant of the program, so readable in the contract anyway.
    Constant,
}

impl Unscrubbed {
    /// What a person is told; nothing of a value that is replaced.
    #[must_use]
    pub const fn reason(self) -> Option<&'static str> {
        match self {
            Self::No => None,
            Self::Public => Some("public"),
            Self::Short => Some("shorter than 4 bytes"),
            Self::Scalar => Some("a number, Bool or duration"),
            Self::Constant => Some("equal to a constant of the program"),
        }
    }
}

/// The Strings that stand in a program, and so in every contract made from it.
#[derive(Debug)]
pub struct Constants<'a>(HashSet<&'a [u8]>);

impl<'a> Constants<'a> {
    /// Those of this program.
    #[must_use]
    pub fn of(program: ProgramView<'a>) -> Self {
        let strings = program.constants.iter().filter(|constant| constant.value_type == ValueType::String.number());
        Self(strings.filter_map(|constant| constant.text.of(program.text)).collect())
    }

    /// Why a value is not replaced in output; [`Unscrubbed::No`] where it is. A deferred value counts as one that is.
    #[must_use]
    pub fn unscrubbed(&self, value: Option<&Scalar>, public: bool) -> Unscrubbed {
        match value {
            _ if public => Unscrubbed::Public,
            Some(Scalar::String(bytes)) if bytes.len() < SCRUB_MIN => Unscrubbed::Short,
            Some(Scalar::String(bytes)) if self.0.contains(bytes.as_slice()) => Unscrubbed::Constant,
            Some(Scalar::String(_)) | None => Unscrubbed::No,
            Some(_) => Unscrubbed::Scalar,
        }
    }
}

/// Pairs of a secret and a constant that [`by_seed`] tries: a file must not cost more than in proportion to its size.
const TRIED: usize = 1 << 20;

/// What the seed of a contract tells without the values: which secrets are numbers, and which equal a constant of the program, found by their
/// commitments. That a value is short shows only to who has it. `None` for a secret of which nothing was found.
#[must_use]
pub fn by_seed(slots: SlotsView<'_>, program: ProgramView<'_>, seed: &Seed) -> Vec<Option<Unscrubbed>> {
    let keys = seed.keys();
    let mut constants: Vec<Vec<u8>> = Vec::new();
    for text in Constants::of(program).0 {
        let mut encoded = Vec::new();
        if canonical::put_string(&mut encoded, text).is_ok() {
            constants.push(encoded);
        }
    }
    let mut left = TRIED;
    let mut tells = |slot: &Slot| {
        if slot.is_public() {
            return Some(Unscrubbed::Public);
        }
        let key = slot.key.of(slots.text)?;
        if ValueType::from_number(slot.value_type)? != ValueType::String {
            return Some(Unscrubbed::Scalar);
        }
        left = left.checked_sub(constants.len())?;
        let equal = |constant: &Vec<u8>| same_commitment(&keys.commit(key, ValueType::String, constant), &slot.commitment);
        constants.iter().any(equal).then_some(Unscrubbed::Constant)
    };
    slots.slots.iter().map(&mut tells).collect()
}
