//! A helper for a test program, whose own `main` starts threads: it is forked before that.
#![expect(unsafe_code, reason = "to run before `main`, which is not this program's own")]

use opal_exec::supervise::helper::{Role, start};

extern "C" fn before_main() {
    start(&[(Role::Watcher, opal_exec::supervise::watcher::serve), (Role::Evaluator, opal_aside::evaluator::serve)]);
}

// SAFETY: the section holds pointers to functions that the loader calls before `main`, when there is one thread; one that takes no argument may be
// called with some.
#[used]
#[unsafe(link_section = ".init_array")]
static BEFORE_MAIN: extern "C" fn() = before_main;
