//! The signals that ask a run to stop (spec/opal.md, "Signals"): the first one cancels, a second one kills.
//!
//! They are taken from when the first step may start. Before that nothing has had an effect, and each ends this process as it would any other.
//!
//! The signals are blocked in every thread and taken from a descriptor by whoever waits, so there is
//! no handler and no thread for them. Whoever waits for something that may take long polls
//! [`Signals::poll_fds`] as well and calls [`Signals::check`] when one is ready.
//!
//! Read for: nothing outlives its step.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::libc;
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::signal::{SigSet, Signal, raise};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use crate::supervise::sys;
use crate::supervise::wait::wait_readable;

/// The same signal again counts as insisting only after this long: service managers and terminals
/// may deliver one wish twice.
const INSIST_AFTER: Duration = Duration::from_secs(1);

/// The signals by which terminals, service managers and operators ask programs to stop. Steps get them as they are.
const STOPPING: [Signal; 4] = [Signal::SIGINT, Signal::SIGQUIT, Signal::SIGTERM, Signal::SIGHUP];

/// The others that end a program which is not prepared: timers, batch systems that announce its end, limits on its time. They ask a run to stop
/// as well, since it would leave its cleanup undone otherwise.
const ENDING: [Signal; 8] =
    [Signal::SIGALRM, Signal::SIGUSR1, Signal::SIGUSR2, Signal::SIGXCPU, Signal::SIGVTALRM, Signal::SIGPROF, Signal::SIGIO, Signal::SIGPWR];

/// HUP, if `nohup` has this process ignore it: it and its steps keep ignoring it. INT and QUIT, which the `&` of a script ignores, are taken
/// all the same: who sends them by `kill` means this run.
#[must_use]
pub fn ignored_at_start() -> Vec<Signal> {
    [Signal::SIGHUP].into_iter().filter(|signal| sys::is_ignored(*signal)).collect()
}

/// Lets signals through that the caller of this program has left blocked: until they are taken, they are to end it as they would any other. A limit
/// on the size of files shows as an error of the write from now on.
pub fn at_start() {
    let _ = SigSet::all().thread_unblock();
    sys::ignore(Signal::SIGXFSZ);
}

/// How far the run has been asked to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Phase {
    /// Not at all.
    Run = 0,
    /// Start no more steps, end the running ones, clean up.
    Cancel = 1,
    /// End everything now, skip the cleanup.
    Kill = 2,
}

/// The first signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct First {
    /// Which one.
    pub signal: Signal,
    /// Whether the terminal sent it, and so to every process of the foreground group.
    pub from_terminal: bool,
    /// When it was seen.
    pub at: Instant,
}

impl First {
    /// The exit status for it where it does not end the process: what a shell would see.
    #[must_use]
    pub fn exit(&self) -> u8 {
        u8::try_from((self.signal as i32).saturating_add(128)).unwrap_or(1)
    }

    /// What asks steps to stop: the same, or TERM in place of signals that may mean anything to a program (`dd`, `nginx` on USR1).
    #[must_use]
    pub fn for_steps(&self) -> Signal {
        if STOPPING.contains(&self.signal) { self.signal } else { Signal::SIGTERM }
    }
}

/// Takes and remembers the signals that stop a run.
pub struct Signals {
    fd: SignalFd,
    watched: SigSet,
    before: SigSet,
    cancel: EventFd,
    kill: EventFd,
    phase: AtomicU8,
    first: Mutex<Option<First>>,
    /// [`NOT_LENT`], [`LENT`] or [`INTERRUPTED`].
    lent: AtomicU8,
}

/// The terminal is this process's own: its interrupt stops the run.
const NOT_LENT: u8 = 0;
/// A step has the terminal, and its interrupt is the step's to handle.
const LENT: u8 = 1;
/// There was such an interrupt.
const INTERRUPTED: u8 = 2;

impl Signals {
    /// Blocks the signals in this thread, and so in those it starts from now on; those of [`ignored_at_start`] stay ignored.
    ///
    /// # Errors
    /// When descriptors run out.
    pub fn install() -> Result<Self, Errno> {
        let ignored = ignored_at_start();
        let watched: SigSet = STOPPING.into_iter().chain(ENDING).filter(|signal| !ignored.contains(signal)).collect();
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        let cancel = EventFd::from_flags(flags)?;
        let kill = EventFd::from_flags(flags)?;
        let fd = SignalFd::with_flags(&watched, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
        let before = SigSet::thread_get_mask()?;
        watched.thread_block()?;
        Ok(Self {
            fd,
            watched,
            before,
            cancel,
            kill,
            phase: AtomicU8::new(Phase::Run as u8),
            first: Mutex::new(None),
            lent: AtomicU8::new(NOT_LENT),
        })
    }

    /// How far the run has been asked to stop, by what has been taken so far.
    #[must_use]
    pub fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Acquire) {
            0 => Phase::Run,
            1 => Phase::Cancel,
            _ => Phase::Kill,
        }
    }

    /// The first signal, if there was one.
    #[must_use]
    pub fn first(&self) -> Option<First> {
        *self.first.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What becomes readable when a signal arrives or the phase goes beyond `seen`. The second stays
    /// readable, so poll with the phase that was acted upon.
    #[must_use]
    pub fn poll_fds(&self, seen: Phase) -> [BorrowedFd<'_>; 2] {
        let next = if seen == Phase::Run { &self.cancel } else { &self.kill };
        [self.fd.as_fd(), next.as_fd()]
    }

    /// Takes the signals that have arrived and gives the phase they lead to.
    pub fn check(&self) -> Phase {
        // The lock makes reading and judging one act: two threads must not swap the order.
        let mut first = self.first.lock().unwrap_or_else(PoisonError::into_inner);
        while let Ok(Some(info)) = self.fd.read_signal() {
            let number = i32::try_from(info.ssi_signo).unwrap_or(0);
            if let Ok(signal) = Signal::try_from(number) {
                let from_terminal = info.ssi_code == libc::SI_KERNEL;
                if from_terminal && signal == Signal::SIGINT && self.lent.load(Ordering::Acquire) != NOT_LENT {
                    self.lent.store(INTERRUPTED, Ordering::Release);
                    continue;
                }
                self.take(&mut first, signal, from_terminal, Instant::now());
            }
        }
        self.phase()
    }

    fn take(&self, first: &mut Option<First>, signal: Signal, from_terminal: bool, at: Instant) {
        let phase = match *first {
            None => {
                *first = Some(First { signal, from_terminal, at });
                Phase::Cancel
            }
            Some(_) if matches!(signal, Signal::SIGINT | Signal::SIGQUIT) => Phase::Kill,
            Some(earlier) if earlier.signal == signal => {
                if at.saturating_duration_since(earlier.at) < INSIST_AFTER {
                    return;
                }
                Phase::Kill
            }
            Some(_) => return,
        };
        self.phase.fetch_max(phase as u8, Ordering::AcqRel);
        // An eventfd that cannot be written to is already readable.
        let _ = self.cancel.write(1);
        if phase == Phase::Kill {
            let _ = self.kill.write(1);
        }
    }

    /// A step gets the terminal: until it has ended, the terminal's interrupt is its own, as an editor or a database client expects.
    pub fn lend(&self) {
        self.check();
        self.lent.store(LENT, Ordering::Release);
    }

    /// The step has ended. If the interrupt ended it, that was meant for the run too; if it handled the interrupt, it was not.
    pub fn take_back(&self, ended_by_interrupt: bool) {
        self.check();
        if self.lent.swap(NOT_LENT, Ordering::AcqRel) == INTERRUPTED && ended_by_interrupt {
            let mut first = self.first.lock().unwrap_or_else(PoisonError::into_inner);
            self.take(&mut first, Signal::SIGINT, true, Instant::now());
        }
    }

    /// Waits until `until`, or until the phase goes beyond `seen`; gives the phase.
    pub fn wait(&self, seen: Phase, until: Option<Instant>) -> Phase {
        loop {
            let phase = self.check();
            let over = until.is_some_and(|until| Instant::now() >= until);
            if phase > seen || over || wait_readable(&self.poll_fds(seen), until).is_err() {
                return phase;
            }
        }
    }

    /// Ends this process by the first signal, as its caller expects to see it. Returns when there was
    /// none.
    pub fn end_by_first(&self) {
        if let Some(First { signal, .. }) = self.first() {
            sys::default_dispositions(&[Signal::SIGPIPE]);
            let _ = raise(signal);
            let _ = self.watched.thread_unblock();
        }
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        let _ = self.before.thread_set_mask();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(events: &[(Signal, u64)]) -> Phase {
        let signals = Signals::install().expect("descriptors");
        let mut first = None;
        let start = Instant::now();
        for (signal, ms) in events {
            signals.take(&mut first, *signal, false, start + Duration::from_millis(*ms));
        }
        signals.phase()
    }

    #[test]
    fn a_first_signal_cancels() {
        assert_eq!(after(&[]), Phase::Run);
        for signal in STOPPING.into_iter().chain(ENDING) {
            assert_eq!(after(&[(signal, 0)]), Phase::Cancel);
        }
    }

    #[test]
    fn an_interrupt_after_any_signal_kills() {
        assert_eq!(after(&[(Signal::SIGINT, 0), (Signal::SIGINT, 1)]), Phase::Kill);
        assert_eq!(after(&[(Signal::SIGTERM, 0), (Signal::SIGINT, 1)]), Phase::Kill);
        assert_eq!(after(&[(Signal::SIGINT, 0), (Signal::SIGQUIT, 1)]), Phase::Kill);
    }

    #[test]
    fn the_same_signal_kills_only_a_second_later() {
        assert_eq!(after(&[(Signal::SIGTERM, 0), (Signal::SIGTERM, 999)]), Phase::Cancel);
        assert_eq!(after(&[(Signal::SIGTERM, 0), (Signal::SIGTERM, 1000)]), Phase::Kill);
        assert_eq!(after(&[(Signal::SIGTERM, 0), (Signal::SIGHUP, 5000)]), Phase::Cancel);
    }

    #[test]
    fn every_waiter_sees_the_phase_whoever_took_the_signal() {
        let signals = Signals::install().expect("descriptors");
        signals.take(&mut None, Signal::SIGTERM, false, Instant::now());
        for _ in 0..2 {
            assert_eq!(signals.wait(Phase::Run, None), Phase::Cancel);
        }
        let soon = Some(Instant::now() + Duration::from_millis(1));
        assert_eq!(signals.wait(Phase::Cancel, soon), Phase::Cancel);
    }
}
