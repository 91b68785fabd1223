//! The Opal virtual machine: authenticates a contract, verifies its program, replans, compares, and runs the fresh plan.
//!
//! `spec/` holds the written specifications. This crate has no parser for the language and no network code.

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
pub mod compare;
pub mod confine;
pub mod decorators;
pub mod duration;
pub mod lane;
pub mod operations;
pub mod plan;
pub mod program;
pub mod receipt;
pub mod record;
pub mod refusal;
pub mod run;
pub mod scrub;
pub mod signals;
pub mod sys;
pub mod trust;
pub mod view;
pub mod watcher;
