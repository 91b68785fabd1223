#![forbid(unsafe_code)]
//! The `.plan` file: header, sections, archived types, digests, signatures, envelope.
//!
//! This crate knows nothing of evaluation and executes nothing. `spec/plan-format.md` is its specification. To read a contract, start at
//! [`read_file::read_path`] or [`reader::RawPlan`]; to write one, at [`writer::PlanContents`].

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

mod archive;
pub mod attestation;
pub mod canonical;
mod check;
pub mod envelope;
pub mod error;
pub mod hash;
pub mod header;
pub mod identity;
pub mod kind;
pub mod limits;
pub mod plan_hash;
pub mod program;
pub mod read_file;
pub mod reader;
pub mod record;
pub mod regen;
pub mod section;
pub mod seed;
pub mod signature;
pub mod slots;
pub mod steps;
pub mod terms;
#[cfg(test)]
mod tests;
pub mod writer;

/// Bytes aligned so that archives in them can be read where they lie.
pub type Bytes = rkyv::util::AlignedVec<16>;
