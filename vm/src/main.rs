//! The `opal-vm` command.

fn main() -> std::process::ExitCode {
    opal_vm::sys::hide_memory();
    opal_vm::watcher::maybe_run();
    opal_vm::confine::maybe_run();
    opal_vm::signals::at_start();
    let words: Vec<_> = std::env::args_os().collect();
    // The first watcher gets ready while the contract is judged; where it cannot be split off now, one is started later.
    let spare = words.get(1).filter(|command| *command == "run").and_then(|_| opal_vm::lane::Lane::fork().ok());
    std::process::ExitCode::from(opal_vm::cli::main(words, spare, |out| out))
}
