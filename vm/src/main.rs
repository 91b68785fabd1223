//! The `opal-vm` command.

fn main() -> std::process::ExitCode {
    opal_vm::sys::hide_memory();
    opal_vm::watcher::maybe_run();
    std::process::ExitCode::from(opal_vm::cli::main(std::env::args_os().collect()))
}
