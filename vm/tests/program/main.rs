//! The program: its verifier, its specification.

mod assembler;
mod memory;
mod table;
mod verify;
