//! Seeds of plans.

use super::failure::{Failure, exit};
use opal_format::seed::Seed;

/// A seed for one plan.
pub(super) fn fresh_seed() -> Result<Seed, Failure> {
    Seed::generate().map_err(|error| {
        Failure::new(exit::UNAVAILABLE, "no_random", error.to_string()).with_help("check that `/dev/urandom` can be read here")
    })
}
