#![forbid(unsafe_code)]
//! The `.plan` file.
