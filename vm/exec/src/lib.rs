//! Runs a plan: watchers and lanes, confinement of steps, what is scrubbed from their output, and the walk over the step tree.
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

pub mod aside;
pub mod clean;
pub mod confine;
pub mod deliver;
pub mod frame;
pub mod listed;
pub mod outlet;
pub mod recorder;
pub mod run;
pub mod scrub;
pub mod supervise;
