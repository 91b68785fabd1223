//! The Opal virtual machine.

pub mod duration;
