//! The command line of `opalc`, through the real binary.

mod contract;
mod plan;
mod world;
