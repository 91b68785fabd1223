//! The `opal` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    if let Err(status) = opal_vm::start::alone() {
        return ExitCode::from(status);
    }
    opal_vm::start::begin(opalc::cli::opal::may_run());
    let status = opalc::cli::opal::main();
    opal_exec::supervise::helper::end();
    status
}
