//! The `opal` command.

fn main() -> std::process::ExitCode {
    opal_vm::sys::hide_memory();
    // Steps run under this executable in another mode.
    opal_vm::watcher::maybe_run();
    opal_vm::confine::maybe_run();
    opal_vm::signals::at_start();
    opalc::cli::opal::main()
}
