//! The Opal compiler.
