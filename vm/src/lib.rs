//! The Opal virtual machine: authenticates a contract, verifies its program, replans, compares, and runs the fresh plan.
//!
//! `spec/` holds the written specifications. No room of it has a parser for the language or network code. This one is the gate: what stands between a
//! file and a run, and the commands. The others stand beside it: `core`, `trust`, `exec`, `record`, `view`.
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

pub mod admission;
pub mod cli;
pub mod inputs;
pub mod keys;
pub mod planner;
pub mod reality;
pub mod start;
