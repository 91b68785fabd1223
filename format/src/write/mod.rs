//! Writing: a contract's bytes, and signatures added to them. No reader needs it.

mod frame;
pub mod writer;
