//! The `opal` command.

fn main() -> std::process::ExitCode {
    opal_exec::supervise::sys::hide_memory();
    // Steps run under this executable in another mode.
    opal_exec::supervise::watcher::maybe_run();
    opal_exec::confine::maybe_run();
    opal_exec::supervise::signals::at_start();
    opalc::cli::opal::main()
}
