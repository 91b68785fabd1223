//! The program: its instruction table, its verifier, its disassembly (spec/program.md).

pub mod table;
