#![forbid(unsafe_code)]
//! The `.plan` file: header, sections, archived types, digests, signatures, envelope.
//!
//! This crate knows nothing of evaluation and executes nothing. `spec/plan-format.md` is its specification.

pub mod identity;
pub mod kind;
pub mod program;
pub mod record;
pub mod slots;
pub mod steps;
pub mod terms;
