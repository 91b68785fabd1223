//! The `opalc` command.

fn main() -> std::process::ExitCode {
    opalc::cli::main()
}
