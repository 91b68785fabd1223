//! `@parallel` and `@pipe`: a thread and a lane for each branch or operand.
//!
//! Every thread is scoped: no branch outlives its block, so whoever waits for the block has waited for all of it. Branches of `@parallel` write to a
//! buffer each, and buffers are passed on in the order of the plan; operands of `@pipe` share what is around them, and only their pipes order them.
//!
//! Read for: everything in the process that runs a contract.

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};

use nix::fcntl::OFlag;
use nix::unistd::pipe2;

use super::exec::{Flow, Scope, Worker};
use super::output::Buffer;
use super::report::{FailureCause, Outcome};
use super::{Pipe, Shared, Target, locked};

impl Worker<'_, '_> {
    /// `@parallel`: its branches, at most so many at once, each in a worker with a lane, scrubbers and a buffer of its own.
    ///
    /// INVARIANT: each branch is taken by one thread or by none, and its flow is received once. So a buffer is passed on only when its branch is over,
    /// and nothing of a branch that never began is. `closed` is only ever set: after it no branch begins.
    pub(super) fn parallel(&mut self, index: usize, at_once: usize, tolerate: usize, scope: Scope<'_>) -> Flow {
        let shared = self.shared;
        let branches: Vec<usize> = shared.tree().executing(Some(index)).collect();
        // Branches that an earlier part of the run began go first, as they did then.
        let mut order: Vec<usize> = (0..branches.len()).collect();
        order.sort_by_key(|turn| !branches.get(*turn).is_some_and(|branch| shared.begun(*branch)));
        let at_once = shared.options.max_parallel.map_or(at_once, |limit| limit.min(at_once)).clamp(1, branches.len().max(1));
        let buffers: Vec<Arc<Buffer>> = branches.iter().map(|_| Arc::default()).collect();
        // Each turn is taken once, by whichever thread is free. After `closed` no branch begins, but one that an earlier part of the run began goes on:
        // what its record says has to be taken from it, or its cleanup would be left out.
        let next = AtomicUsize::new(0);
        let failed = AtomicUsize::new(0);
        let closed = AtomicBool::new(false);
        let pipes = &self.pipes;
        let mut flows: Vec<Option<Flow>> = vec![None; branches.len()];
        let mut started = None;
        let (done, ended) = mpsc::channel();
        std::thread::scope(|threads| {
            for _ in 0..at_once {
                let done = done.clone();
                let (branches, order, buffers, next, failed, closed) = (&branches, &order, &buffers, &next, &failed, &closed);
                let work = move || {
                    loop {
                        let turn = order.get(next.fetch_add(1, Ordering::AcqRel)).copied();
                        let mine = turn.and_then(|turn| Some((turn, branches.get(turn)?, buffers.get(turn)?)));
                        let starts = |branch: &usize| !closed.load(Ordering::Acquire) || shared.begun(*branch);
                        let Some((turn, branch, buffer)) = mine.filter(|(_, branch, _)| starts(branch)) else {
                            // Others may run for long, and what this thread has done is done.
                            shared.settle();
                            return;
                        };
                        let to = Arc::clone(buffer) as Target;
                        let flow = Worker::with(shared, to, pipes.clone()).block(vec![*branch], scope);
                        let over = match flow {
                            Flow::Done => false,
                            Flow::Failed(_) => failed.fetch_add(1, Ordering::AcqRel) >= tolerate,
                            _ => true,
                        };
                        if over {
                            closed.store(true, Ordering::Release);
                        }
                        if done.send((turn, flow)).is_err() {
                            return;
                        }
                    }
                };
                if let Err(error) = std::thread::Builder::new().name("branch".to_owned()).spawn_scoped(threads, work) {
                    closed.store(true, Ordering::Release);
                    let cause = FailureCause::Watcher(format!("no thread for a branch: {error}"));
                    let failure = shared.fail(Some(index), cause, b"", std::time::Duration::ZERO);
                    started = Some(failure);
                    break;
                }
            }
            // The receiver below ends when the last thread has let its sender go.
            drop(done);
            // Emits each branch's output when those before it have had their turn.
            let mut turn_out = 0;
            while let Ok((turn, flow)) = ended.recv() {
                if let Some(place) = flows.get_mut(turn) {
                    *place = Some(flow);
                }
                while let Some(buffer) = buffers.get(turn_out).filter(|_| flows.get(turn_out).is_some_and(Option::is_some)) {
                    self.emit(buffer);
                    turn_out = turn_out.saturating_add(1);
                }
            }
        });
        let flows: Vec<Flow> = flows.into_iter().flatten().chain(started.map(Flow::Failed)).collect();
        let failures: Vec<usize> =
            flows.iter().filter_map(|flow| if let Flow::Failed(failure) = flow { Some(*failure) } else { None }).collect();
        for stop in [Flow::Killed, Flow::Stopped, Flow::TimedOut] {
            if flows.contains(&stop) {
                return stop;
            }
        }
        // A stop outranks a failure: what was stopped did not decide anything. Tolerated failures count as dealt with, together.
        shared.together(&failures);
        match failures.first() {
            Some(first) if failures.len() > tolerate => Flow::Failed(*first),
            Some(first) => {
                locked(&shared.tally).handled(*first);
                Flow::Done
            }
            None => Flow::Done,
        }
    }

    fn emit(&self, buffer: &Buffer) {
        if let Err(error) = buffer.emit(&*self.to) {
            locked(&self.shared.tally).halt(Outcome::OutputLost(error));
        }
    }

    /// `@pipe`: all operands at once, stdout of each to stdin of the next. Fails as a shell with `pipefail` does: with the last that failed.
    pub(super) fn pipe(&mut self, index: usize, scope: Scope<'_>) -> Flow {
        let shared = self.shared;
        let operands = shared.tree().executing(Some(index)).collect::<Vec<_>>();
        let [stdin, stdout] = self.pipes.clone();
        let mut ends: Vec<[Option<Pipe>; 2]> = Vec::new();
        let mut from = stdin;
        for number in 1..=operands.len() {
            if number == operands.len() {
                ends.push([from.take(), stdout.clone()]);
                break;
            }
            match pipe2(OFlag::O_CLOEXEC) {
                Ok((read, write)) => {
                    let shared_end = |end: OwnedFd| Some(Arc::new(end));
                    ends.push([from.take(), shared_end(write)]);
                    from = shared_end(read);
                }
                Err(errno) => {
                    let cause = FailureCause::Watcher(format!("no pipe: {}", errno.desc()));
                    return Flow::Failed(shared.fail(Some(index), cause, b"", std::time::Duration::ZERO));
                }
            }
        }
        // All are started before one is waited for: each may block on what the next does not read yet. An end of a pipe is held by its two operands
        // alone, so a reader sees the end when the writer is done, and a writer gets PIPE when the reader is.
        let flows: Vec<Flow> = std::thread::scope(|threads| {
            let running: Vec<_> = operands
                .iter()
                .zip(ends)
                .map(|(operand, pipes)| {
                    let to = Arc::clone(&self.to);
                    // The worker, and with it the ends of its pipes, goes when its operand is done.
                    let work = move || Worker::with(shared, to, pipes).block(vec![*operand], scope);
                    std::thread::Builder::new().name("operand".to_owned()).spawn_scoped(threads, work)
                })
                .collect();
            running
                .into_iter()
                .map(|thread| match thread.map(std::thread::ScopedJoinHandle::join) {
                    Ok(Ok(flow)) => flow,
                    _ => {
                        let cause = FailureCause::Watcher("no thread for an operand".to_owned());
                        Flow::Failed(shared.fail(Some(index), cause, b"", std::time::Duration::ZERO))
                    }
                })
                .collect()
        });
        for stop in [Flow::Killed, Flow::Stopped, Flow::TimedOut] {
            if flows.contains(&stop) {
                return stop;
            }
        }
        let failures: Vec<usize> =
            flows.iter().rev().filter_map(|flow| if let Flow::Failed(failure) = flow { Some(*failure) } else { None }).collect();
        shared.together(&failures);
        failures.first().map_or(Flow::Done, |failure| Flow::Failed(*failure))
    }
}

impl Shared<'_> {
    /// Failures that are dealt with, or not, together with the first: whoever handles the flow of a block knows one number only.
    fn together(&self, failures: &[usize]) {
        let mut tally = locked(&self.tally);
        let Some(group) = failures.first().and_then(|first| tally.failures.get(*first)).map(|first| first.group) else { return };
        for failure in failures {
            if let Some(failure) = tally.failures.get_mut(*failure) {
                failure.group = group;
            }
        }
    }
}
