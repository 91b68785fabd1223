//! Tests of the format as a whole: real files, every defect, every byte.

mod bytes;
mod draft;
mod files;
mod hashing;
pub(crate) mod sample;
mod vectors;
