//! What each signal does to a run in each of its states: 15 events × 11 states × {pipe, terminal}, all from [`TABLE`], through the real programs.
//!
//! | outcome | letter | what it is |
//! |---|---|---|
//! | ended | `d` | The signal ends the program as it would any other. Nothing was run, and there is no record. |
//! | cancelled | `c` | What runs is asked to end, once; `catch` is skipped; `finally` runs, once and to its end; the run ends by the signal. |
//! | killed | `k` | A second signal insists: everything ends at once, and the run says which cleanup that skipped or cut short. |
//! | harmless | `h` | Nothing: the run goes on to the end that it would have had. |
//! | suspended | `s` | The program stops, on a terminal with its steps; after CONT as `h`. |
//! | gone | `x` | No cleanup, but nothing of the run survives, and its record is whole as far as it goes. |
//!
//! In state `grace` a first TERM has been sent before, so a run that goes on there is a cancelled one.
//!
//! Why so: INT, TERM and HUP are how terminals, service managers and lost connections ask a program to stop. QUIT is what the terminal sends when
//! INT was not enough. ALRM, USR1 and USR2 end a program that does not expect them, and batch systems send them as a warning, so the run is
//! stopped with its cleanup rather than without; since programs take them to mean all kinds of things, steps get TERM in their place. PIPE says
//! nothing that a failed write does not say, and is ignored. A run that is suspended holds no step of a contract: that is in a session of its own.
//!
//! `OPAL_MATRIX_REPEAT=N` does all of it N times, `OPAL_MATRIX=TEXT` only the cells whose name holds the text.

#[path = "signal_matrix/cell.rs"]
mod cell;

use cell::{Cell, State, Via};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What happens to the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// This signal.
    Once(nix::sys::signal::Signal),
    /// This signal, and after that many milliseconds again.
    Twice(nix::sys::signal::Signal, u64),
}

use Event::{Once, Twice};
use nix::sys::signal::Signal::*;

/// A row is an event; the letters are the outcomes in the states of [`STATES`], in their order.
const TABLE: &[(&str, Event, &str)] = &[
    ("INT", Once(SIGINT), "ddd cccccc kc"),
    ("QUIT", Once(SIGQUIT), "ddd cccccc kc"),
    ("TSTP", Once(SIGTSTP), "sss ssssss ss"),
    ("TERM", Once(SIGTERM), "ddd cccccc kc"),
    ("HUP", Once(SIGHUP), "ddd cccccc hc"),
    ("ALRM", Once(SIGALRM), "ddd cccccc hc"),
    ("PIPE", Once(SIGPIPE), "hhh hhhhhh hh"),
    ("USR1", Once(SIGUSR1), "ddd cccccc hc"),
    ("USR2", Once(SIGUSR2), "ddd cccccc hc"),
    ("CHLD", Once(SIGCHLD), "hhh hhhhhh hh"),
    ("CONT", Once(SIGCONT), "hhh hhhhhh hh"),
    ("WINCH", Once(SIGWINCH), "hhh hhhhhh hh"),
    ("INT twice", Twice(SIGINT, 300), "ddd kkkkkk kk"),
    ("TERM twice", Twice(SIGTERM, 1100), "ddd kkkkkk kk"),
    ("KILL", Once(SIGKILL), "xxx xxxxxx xx"),
];

const STATES: [State; 11] = [
    State::Load,
    State::Verify,
    State::Replan,
    State::Between,
    State::Step,
    State::Retry,
    State::Parallel,
    State::Catch,
    State::Finally,
    State::Grace,
    State::Flush,
];

/// How many cells are tried at once: most of what they do is waiting.
const AT_ONCE: usize = 12;

#[test]
fn every_signal_in_every_state_has_its_outcome() {
    opal_tests::binaries();
    let wanted = std::env::var("OPAL_MATRIX").unwrap_or_default();
    let repeat = std::env::var("OPAL_MATRIX_REPEAT").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    let mut cells = Vec::new();
    for (name, event, row) in TABLE {
        let outcomes: Vec<char> = row.chars().filter(|letter| *letter != ' ').collect();
        assert_eq!(outcomes.len(), STATES.len(), "a row has an outcome for each state");
        for (state, outcome) in STATES.into_iter().zip(outcomes) {
            for via in [Via::Pipe, Via::Terminal] {
                cells.push(Cell { name: format!("{name}, {state:?}, {via:?}"), event: *event, state, via, outcome });
            }
        }
    }
    assert_eq!(cells.len(), 330);
    cells.retain(|cell| cell.name.contains(&wanted));
    let all: Vec<&Cell> = (0..repeat).flat_map(|_| &cells).collect();
    let next = AtomicUsize::new(0);
    let wrong = Mutex::new(Vec::new());
    std::thread::scope(|threads| {
        for _ in 0..AT_ONCE {
            threads.spawn(|| {
                while let Some(cell) = all.get(next.fetch_add(1, Ordering::AcqRel)) {
                    if let Err(problem) = cell.check() {
                        eprintln!("{}: {problem}", cell.name);
                        wrong.lock().expect("no other failed here").push(format!("{}: {problem}", cell.name));
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().expect("all have ended");
    assert!(wrong.is_empty(), "{} of {} cells:\n{}", wrong.len(), all.len(), wrong.join("\n"));
}
