//! Which values are scrubbed from output. A reason that depends on a secret value would tell about it, so no file holds one: whoever has the
//! value asks here.

use super::value::Scalar;
use opal_format::kind::{Unscrubbed, ValueType};
use opal_format::program::ProgramView;
use std::collections::HashSet;

/// Values shorter than this are not scrubbed from output: it would wreck it and hide nothing.
const SCRUB_MIN: usize = 4;

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
