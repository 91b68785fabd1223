//! The `opal-vm` command.
fn main() {
    opal_vm::watcher::maybe_run();
}
