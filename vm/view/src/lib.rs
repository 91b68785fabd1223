//! Plans and contracts for people and machines, and what is said of them. Nothing here is in the path of a run.
//!
//! A view shows a plan without its secrets: it is made from the step and slot tables, which hold none (`opal_core::show`).

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

pub mod again;
pub mod claimed;
pub mod contract;
pub mod drift;
mod json;
pub mod policy;
pub mod resolved;
mod tree;
pub mod trusted;
pub mod verified;

pub use json::PlanJson;
pub use tree::{target_name, write_steps, write_tree};
