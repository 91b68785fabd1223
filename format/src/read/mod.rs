//! Reading: what the bytes of a plan mean, which of them are refused, and what a plan is named by.

pub(crate) mod archive;
pub mod audience;
pub mod canonical;
pub(crate) mod check;
pub mod error;
pub mod header;
pub mod kind;
pub mod limits;
pub mod named_text;
pub mod packed;
pub mod plan_hash;
pub mod plan_type;
pub mod program;
pub mod program_hash;
pub mod read_file;
pub mod reader;
pub mod record;
pub mod section;
pub mod shown_hash;
pub mod slots;
pub mod sources;
pub mod steps;
pub mod terms;
pub mod tree;
