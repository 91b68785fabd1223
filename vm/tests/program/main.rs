//! The program: its verifier, its disassembly, its specification.

mod assembler;
mod disassemble;
mod memory;
mod table;
mod verify;
