//! The command line of `opalc`, through the real binary.

mod check;
mod contract;
mod explain;
mod fmt;
mod plan;
mod world;
