//! Bodies of the fuzz targets. `fuzz/` runs them under a fuzzer, `tests/fuzz_smoke.rs` on generated inputs and seeds.

mod host;
mod plan;
mod program;
mod scrub;
pub mod smith;
mod source;

pub use host::{policy_text, record_events, signers_text};
pub use plan::{plan_bytes, plan_edits, valid_plan};
pub use program::{program_bytes, program_verify_plan};
pub use scrub::{naive_scrub, scrub_stream};
pub use source::{source_pieces, source_text};

/// Input of a fuzz target as a stream of choices. When it runs out, every choice is 0.
#[derive(Debug)]
pub struct Choices<'a> {
    data: &'a [u8],
}

impl<'a> Choices<'a> {
    /// Takes choices from `data`.
    #[must_use]
    pub const fn new(data: &'a [u8]) -> Self {
        Self { data }
    }

    /// One byte.
    pub fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.data.split_first() else { return 0 };
        self.data = rest;
        *first
    }

    /// A number below `bound`, which is not 0.
    pub fn below(&mut self, bound: usize) -> usize {
        let wide = usize::from(self.byte());
        if bound <= 256 { wide % bound } else { (wide << 8 | usize::from(self.byte())) % bound }
    }

    /// Four bytes.
    pub fn word(&mut self) -> u32 {
        u32::from_le_bytes([self.byte(), self.byte(), self.byte(), self.byte()])
    }

    /// Whether anything is left.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.data.is_empty()
    }
}
