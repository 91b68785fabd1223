//! The Opal compiler.

pub mod ast;
pub mod span;
