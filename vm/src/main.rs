//! The `opal-vm` command.
fn main() {}
