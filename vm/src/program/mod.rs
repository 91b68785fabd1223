//! The program: its instruction table, its verifier, its disassembly (spec/program.md).

pub mod table;
pub mod verify;

pub use verify::{Rule, Verified, VerifyError, verify};
