//! Plans for people and machines, as a tree and as JSON. Nothing here is in the path of a run.
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

mod json;
mod tree;

pub use json::PlanJson;
pub use tree::{target_name, write_steps, write_tree};
