//! The `opal-vm` command.
//!
//! Read for: everything in the process that runs a contract.

use opal_exec::supervise::helper;
use opal_exec::supervise::lane::Lane;
use opal_vm::start;
use std::ffi::OsString;
use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(match start::alone() {
        Ok(()) => run(std::env::args_os().collect()),
        Err(status) => status,
    })
}

fn run(words: Vec<OsString>) -> u8 {
    start::begin(start::may_run(&words));
    // The first watcher gets ready while the contract is judged; where it cannot be forked now, one is asked for later.
    let spare = words.get(1).filter(|command| *command == "run").and_then(|_| Lane::warm().ok());
    let status = opal_vm::cli::main(words, spare, |out| out);
    helper::end();
    status
}
