//! What can be audited by reading: the verifier of programs, the tables of instructions and decorators, the planner, compare, and the model that
//! everything which shows a plan is made from.
//!
//! It is a function of its arguments. There is no file system, environment, process or clock in it: planning sees the host through
//! [`plan::Reality`]. `clippy.toml` beside `Cargo.toml` holds it to that.

#![forbid(unsafe_code)]
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
        clippy::mem_forget,
        clippy::disallowed_methods,
        clippy::disallowed_macros
    )
)]

pub mod agreed;
pub mod code;
pub mod compare;
pub mod decorators;
pub mod drift;
pub mod duration;
pub mod event;
pub mod failure;
pub mod hex;
pub mod operations;
pub mod plan;
pub mod program;
pub mod refusal;
pub mod rest;
pub mod sandbox;
pub mod show;
