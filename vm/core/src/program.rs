//! The program: its instruction table, its verifier (spec/program.md).

pub mod table;
pub mod verify;

pub use verify::{Rule, Verified, VerifyError, verify};
