//! The program: its instruction table, its verifier, its disassembly (spec/program.md).

pub mod disassemble;
pub mod table;
pub mod verify;

pub use disassemble::disassemble;
pub use verify::{Rule, Verified, VerifyError, verify};
