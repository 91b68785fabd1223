//! Nothing outlives its step: one watcher for each lane of work, and signals that are read and not handled.
//!
//! `sys` is the only place with unsafe code.
//!
//! Read for: nothing outlives its step.

pub mod helper;
pub mod lane;
pub mod signals;
pub mod sys;
pub mod wait;
pub mod watcher;
