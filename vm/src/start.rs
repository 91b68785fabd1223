//! What each of the programs does first in `main`.
//!
//! Read for: everything in the process that runs a contract.

use opal_core::code::Code;
use std::ffi::OsString;

use opal_aside::{evaluator, keeper, planner};
use opal_exec::supervise::helper::{self, Role, Work};
use opal_exec::supervise::{signals, sys, watcher};

use crate::cli::output::say_early;
use opal_core::refusal::Refusal;

/// What the processes do that the helper forks.
const ROLES: &[(Role, Work)] =
    &[(Role::Watcher, watcher::serve), (Role::Planner, planner::serve), (Role::Keeper, keeper::serve), (Role::Evaluator, evaluator::serve)];

/// Keeps the memory of this process to itself. The error is the exit status of a program that has more rights than its caller, and so ends at once:
/// such a caller chooses its descriptors, limits, signals and environment.
///
/// # Errors
/// 78, said on standard error.
pub fn alone() -> Result<(), u8> {
    sys::hide_memory();
    if !sys::has_foreign_rights() {
        return Ok(());
    }
    let file = std::env::current_exe().map_or_else(|_| "FILE".to_owned(), |path| path.display().to_string());
    let refusal = Refusal::new(
        Code::SetUserId,
        "this program has rights that its caller has not: it is set-user-ID or set-group-ID, or its file has capabilities",
    )
    .help(format!(
        "take them away: `chmod ug-s '{file}'`, `setcap -r '{file}'`; who may run contracts as somebody else starts it through sudo"
    ));
    say_early(&format!("{}effects: none (nothing was run)\n", refusal.to_text()));
    Err(refusal.exit())
}

/// Starts the helper where the program `may_run` steps or plan a contract, and takes signals as they come. Call it after [`alone`], before
/// anything is read and before there is another thread.
pub fn begin(may_run: bool) {
    if may_run {
        helper::start(ROLES);
    }
    signals::at_start();
}

/// Whether this command line of `opal-vm` may come to running or planning.
#[must_use]
pub fn may_run(words: &[OsString]) -> bool {
    let says = |word: &OsString| word == "--help" || word == "-h";
    words.get(1).is_some_and(|command| ["run", "verify", "resolve"].iter().any(|name| command == name)) && !words.iter().any(says)
}
