//! The `opal` command.
fn main() {}
