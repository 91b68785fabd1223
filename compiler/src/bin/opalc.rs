//! The `opalc` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    match opal_vm::start::alone() {
        Ok(()) => opalc::cli::main(),
        Err(status) => ExitCode::from(status),
    }
}
