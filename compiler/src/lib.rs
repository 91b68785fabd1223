//! The Opal compiler.

pub mod ast;
pub mod check;
pub mod cli;
pub mod contract;
pub mod diagnostic;
pub mod disassemble;
pub mod env_file;
pub mod formatter;
pub mod lower;
pub mod shell;
pub mod source;
pub mod span;
pub mod syntax;
pub mod view;
