//! The program: its verifier, its disassembly, its specification.

mod assembler;
mod disassemble;
mod table;
mod verify;
