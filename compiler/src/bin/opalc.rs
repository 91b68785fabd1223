//! The `opalc` command.
fn main() {}
