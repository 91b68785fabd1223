//! What works in a process of its own, forked by the helper and confined to one socket ([`opal_exec::aside`]): the planner, the keeper of private keys,
//! the evaluator of what steps wrote. None of this is done in the process that runs a contract, which believes nothing of it but what its own side of
//! the socket says (`vm/src/planner.rs`, `vm/src/keys.rs`, `vm/exec/src/run/evaluate.rs`).

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

pub mod evaluator;
pub mod keeper;
pub mod planner;
