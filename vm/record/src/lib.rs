//! What is written down of runs (spec/record.md, spec/attestations.md): the journal of a run, the records of a user side by side, what is left to do of
//! a run that goes on, and receipts.
//!
//! Read for: everything in the process that runs a contract.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::unreachable,
        clippy::indexing_slicing,
        clippy::string_slice,
        clippy::arithmetic_side_effects,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::mem_forget
    )
)]

pub mod history;
pub mod journal;
pub mod kept;
pub mod receipt;
pub mod results;
pub mod shelf;
