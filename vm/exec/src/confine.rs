//! Confinement: of steps (`filter`, `host`, `rules`, `stage`), and of the process that plans a contract (`planner`).
//!
//! Read for: everything in the process that runs a contract.

mod filter;
mod host;
mod planner;
mod rules;
mod stage;

pub use host::{host_json, probe};
pub use planner::as_planner;
pub use rules::{Layer, Place, Rules};
pub use stage::{DEVICES, SYSTEM};
pub(crate) use stage::{Program, Refused};
