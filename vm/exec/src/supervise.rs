//! Nothing outlives its step: one watcher for each lane of work, and signals that are read and not handled.
//!
//! `sys` is the only place with unsafe code.

pub mod helper;
pub mod lane;
pub mod signals;
pub mod sys;
pub mod wait;
pub mod watcher;
