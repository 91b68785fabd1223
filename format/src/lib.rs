#![forbid(unsafe_code)]
//! The `.plan` file: header, sections, archived types, digests, signatures, envelope.
//!
//! This crate knows nothing of evaluation and executes nothing. `spec/plan-format.md` is its specification. Whoever wants to know what a reader
//! accepts reads [`read`] and [`crypto`]; [`write`](mod@write) is for those who make contracts. To read a contract, start at
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

pub mod crypto;
pub mod read;
#[cfg(test)]
mod tests;
pub mod write;

pub use crypto::{attestation, credential, envelope, hash, identity, journal, regen, seed, signature};
pub use read::{
    audience, canonical, error, header, kind, limits, named_text, packed, plan_hash, plan_type, program, program_hash, read_file, reader,
    record, section, shown_hash, slots, sources, steps, terms, tree,
};
pub use write::writer;

/// Bytes aligned so that archives in them can be read where they lie.
pub type Bytes = rkyv::util::AlignedVec<16>;
