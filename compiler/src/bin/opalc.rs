//! The `opalc` command.

fn main() -> std::process::ExitCode {
    opal_vm::sys::hide_memory();
    opalc::cli::main()
}
