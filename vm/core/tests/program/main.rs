//! The program: its verifier, its specification.
#![expect(clippy::disallowed_methods, clippy::disallowed_macros, reason = "what the core may not do its tests may")]

mod assembler;
mod memory;
mod table;
mod verify;
