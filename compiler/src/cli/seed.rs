//! Seeds of plans.

use super::failure::Failure;
use opal_core::code::Code;
use opal_format::seed::Seed;

/// A seed for one plan.
pub(super) fn fresh_seed() -> Result<Seed, Failure> {
    Seed::generate()
        .map_err(|error| Failure::new(Code::NoRandom, error.to_string()).with_help("check that `/dev/urandom` can be read here"))
}
