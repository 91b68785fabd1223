//! The `opalc` command.

fn main() -> std::process::ExitCode {
    opal_exec::supervise::sys::hide_memory();
    opalc::cli::main()
}
