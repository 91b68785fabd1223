//! The `opal-vm` command.

fn main() -> std::process::ExitCode {
    opal_exec::supervise::sys::hide_memory();
    opal_exec::supervise::watcher::maybe_run();
    opal_exec::confine::maybe_run();
    opal_exec::supervise::signals::at_start();
    let words: Vec<_> = std::env::args_os().collect();
    // The first watcher gets ready while the contract is judged; where it cannot be split off now, one is started later.
    let spare = words.get(1).filter(|command| *command == "run").and_then(|_| opal_exec::supervise::lane::Lane::fork().ok());
    std::process::ExitCode::from(opal_vm::cli::main(words, spare, |out| out))
}
