//! The `opal` command.

fn main() -> std::process::ExitCode {
    // Steps run under this executable in another mode.
    opal_vm::watcher::maybe_run();
    opalc::cli::opal::main()
}
