//! Confinement: of steps (`filter`, `host`, `rules`, `stage`), and of processes that work aside (`aside`).
//!
//! Read for: everything in the process that runs a contract.

mod aside;
mod filter;
mod host;
mod keys;
mod rules;
mod stage;

pub use aside::aside;
pub use host::{host_json, probe};
pub use keys::KeyFiles;
pub use rules::{Layer, Place, Rules};
pub use stage::{DEVICES, SYSTEM};
pub(crate) use stage::{Program, Refused};
