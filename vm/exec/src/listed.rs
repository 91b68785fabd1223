//! The texts that the scrubber looks for on behalf of a value, for tests to list.

use crate::scrub::digits::{BASES, Base, for_urls};
use crate::scrub::{VALUE_MIN, forms as of};

/// Every text that is looked for on behalf of a value, each once, but for its encodings as digits.
#[must_use]
pub fn forms(value: &[u8]) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    if value.len() >= VALUE_MIN {
        of::each(value, &mut |form| all.push(form));
    }
    all
}

/// The digits of a value in each encoding, each once, without a layout.
#[must_use]
pub fn digits(value: &[u8]) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for variant in of::variants(value) {
        for base in BASES {
            base.each(&variant, &mut |digits, end| {
                let digits = digits.get(..end).unwrap_or_default();
                let other = |byte: &u8| match base {
                    Base::Hex => byte.to_ascii_uppercase(),
                    Base::Base32 => byte.to_ascii_lowercase(),
                    Base::Base64 => for_urls(*byte),
                };
                all.extend([digits.to_vec(), digits.iter().map(other).collect()]);
            });
        }
    }
    all.sort_unstable();
    all.dedup();
    all
}
