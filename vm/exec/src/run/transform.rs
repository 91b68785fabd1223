//! `|>`: takes what a step writes and puts it through operations (spec/language.md, "Pipelines").
//!
//! Read for: everything in the process that runs a contract.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;
use std::time::Instant;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::signal::Signal;
use nix::unistd::pipe2;
use opal_format::kind::NodeKind;
use opal_format::steps::Node;
use zeroize::Zeroizing;

use super::evaluate::{self, Evaluator};
use super::exec::{Flow, Scope, Worker};
use super::output::StepSink;
use super::report::{FailureCause, Outcome};
use super::script::argument_text;
use super::{Shared, locked};
use crate::aside::Until;
use crate::deliver::write_all;
use crate::supervise::lane::{Ended, Sink as _, Stream};
use crate::supervise::wait::wait_readable;
use opal_core::decorators::params;
use opal_core::event::Event;
use opal_core::operations::{self, INPUT_MAX, Unmet};
use opal_core::show::{Style, argument, escape};

/// How much of a text a message shows, in characters.
const SHOWN_MAX: usize = 200;

/// What a step wrote.
struct Taken {
    bytes: Zeroizing<Vec<u8>>,
    /// Whether there was more than [`INPUT_MAX`].
    overflowed: bool,
}

impl Worker<'_, '_> {
    /// Runs the first child and gives its output to the others, in order. What comes out of the last is the output.
    ///
    /// This process does not look into what the step wrote: it passes that on, to the evaluator and to the outlet.
    pub(super) fn transform(&mut self, index: usize, inside: &[usize], scope: Scope<'_>) -> Flow {
        let started = Instant::now();
        let Some((step, operations)) = inside.split_first() else { return Flow::Done };
        let evaluator = match Evaluator::start() {
            Ok(evaluator) => evaluator,
            Err(error) => return self.failed(index, FailureCause::Watcher(format!("no evaluator: {error}")), b"", started.elapsed()),
        };
        let (flow, taken) = match self.take_output(*step, scope) {
            Ok(taken) => taken,
            Err(error) => return self.failed(index, FailureCause::Watcher(format!("no pipe: {error}")), b"", started.elapsed()),
        };
        if taken.overflowed && matches!(flow, Flow::Done | Flow::Failed(_)) {
            if let Flow::Failed(cut_off) = flow {
                locked(&self.shared.tally).handled(cut_off);
            }
            return self.failed(index, FailureCause::OutputTooLong(INPUT_MAX), b"", started.elapsed());
        }
        if flow != Flow::Done {
            // Not what a reader expects of this pipeline, but for people to see.
            let shown = self.put_out(index, Stream::Stderr, &taken.bytes, scope);
            return if shown == Flow::Done { flow } else { shown };
        }
        let mut wanted = Vec::new();
        for operation in operations {
            let Some((node, kind)) = self.shared.node(*operation) else {
                return self.failed(*operation, FailureCause::Misplaced, b"", started.elapsed());
            };
            let Some(operand) = self.operand(node) else {
                let cause = self.shared.unexpected(node, kind, Unmet::Argument, &taken.bytes);
                return self.failed(*operation, cause, b"", started.elapsed());
            };
            wanted.push((kind, operand));
        }
        let until = Until { signals: Arc::clone(&self.shared.signals), seen: scope.seen, deadline: scope.deadline };
        let applied = match evaluator.apply(&wanted, &taken.bytes, until) {
            Ok(applied) => applied,
            Err(lost) => match self.stopped(scope) {
                Some(flow) => return flow,
                None => return self.failed(index, FailureCause::NotEvaluated(evaluate::ended(lost)), b"", started.elapsed()),
            },
        };
        if let Some((at, unmet)) = applied.failed
            && let Some(operation) = operations.get(at)
            && let Some((node, kind)) = self.shared.node(*operation)
        {
            let cause = self.shared.unexpected(node, kind, unmet, &applied.text);
            return self.failed(*operation, cause, b"", started.elapsed());
        }
        self.shared.note(|| Event::Transformed { at: self.shared.at(index), bytes: applied.text.len() });
        self.put_out(index, Stream::Stdout, &applied.text, scope)
    }

    /// Runs a node, and takes what it writes to stdout.
    fn take_output(&mut self, step: usize, scope: Scope<'_>) -> io::Result<(Flow, Taken)> {
        let (read, write) = pipe2(OFlag::O_CLOEXEC)?;
        fcntl(&read, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        let over = EventFd::from_flags(EfdFlags::EFD_CLOEXEC)?;
        std::thread::scope(|threads| {
            let reader = std::thread::Builder::new().name("output".to_owned()).spawn_scoped(threads, || collect(read, &over))?;
            let [_, stdout] = &mut self.pipes;
            let outer = stdout.replace(Arc::new(write));
            let flow = self.block(vec![step], scope);
            let [_, stdout] = &mut self.pipes;
            *stdout = outer;
            // Whoever may still hold the pipe open: what the step wrote is in it.
            over.write(1)?;
            let taken = reader.join().map_err(|_| io::Error::from(io::ErrorKind::Other))?;
            Ok((flow, taken))
        })
    }

    /// The argument of an operation as text; empty where it takes none.
    fn operand(&self, node: &Node) -> Option<Zeroizing<Vec<u8>>> {
        let Some(arg) = self.arg(node, params::OPERATION) else { return Some(Zeroizing::new(Vec::new())) };
        match self.scalar(node, params::OPERATION) {
            Some(scalar) => Some(scalar.text()),
            None => argument_text(self.shared.plan, arg),
        }
    }

    /// Writes what a pipeline gives: into the pipe that it stands in, else through the scrubber.
    fn put_out(&mut self, index: usize, stream: Stream, bytes: &[u8], scope: Scope<'_>) -> Flow {
        let [_, pipe] = &self.pipes;
        if let Some(pipe) = pipe.as_ref().filter(|_| stream == Stream::Stdout) {
            let signals = &self.shared.signals;
            let written =
                pipe.try_clone().and_then(|pipe| write_all(&mut File::from(pipe), &mut { bytes }, signals, scope.seen, scope.deadline));
            return match written {
                Ok(()) => Flow::Done,
                Err(error) if matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::TimedOut) => {
                    self.stopped(scope).unwrap_or(Flow::Stopped)
                }
                // As a program that writes on is told.
                Err(_) => {
                    let cause = FailureCause::Ended(Ended::Signal(Signal::SIGPIPE as i32));
                    self.failed(index, cause, b"", std::time::Duration::ZERO)
                }
            };
        }
        let mut sink = StepSink { node: index, to: &*self.to, scrubbers: &mut self.scrubbers, capture: None, tail: Vec::new() };
        match sink.write(stream, bytes).and_then(|()| sink.finish()) {
            Ok(()) => Flow::Done,
            Err(error) => {
                locked(&self.shared.tally).halt(Outcome::OutputLost(error));
                Flow::Stopped
            }
        }
    }
}

impl Shared<'_> {
    /// What an operation needed and what it got. The argument is shown as in the plan, with placeholders.
    fn unexpected(&self, node: &Node, kind: NodeKind, unmet: Unmet, input: &[u8]) -> FailureCause {
        let view = self.view();
        let arg = view.steps.args_of(node).first();
        let arg = arg.map(|arg| argument(&view, arg, Style::Plain).to_string()).unwrap_or_default();
        let comparison = || arg.trim_matches('"').to_owned();
        let expected = match unmet {
            Unmet::Match => format!("a match of {arg}"),
            Unmet::Equal => arg,
            Unmet::Number => format!("a number {}", comparison()),
            Unmet::Json => "JSON".to_owned(),
            Unmet::Path => format!("a value at {}", comparison()),
            Unmet::Argument => format!("an argument that `{}` takes", kind.name().trim_start_matches('@')),
        };
        // Scrubbed before it is cut, so that no start of a secret is left.
        let text = escape(operations::trimmed(&self.patterns().scrub(input)), false);
        let actual = match text.char_indices().nth(SHOWN_MAX) {
            _ if text.is_empty() => "nothing".to_owned(),
            Some((end, _)) => format!("`{}…`", text.get(..end).unwrap_or_default()),
            None => format!("`{text}`"),
        };
        FailureCause::Unexpected { expected, actual }
    }
}

/// Reads a pipe up to its end, or, once `over` is set, up to what is in it. No copy is left behind when the buffer grows.
fn collect(pipe: OwnedFd, over: &EventFd) -> Taken {
    let mut taken = Taken { bytes: Zeroizing::new(Vec::with_capacity(64 << 10)), overflowed: false };
    let mut chunk = Zeroizing::new(vec![0; 64 << 10]);
    loop {
        let ready = wait_readable(&[pipe.as_fd(), over.as_fd()], None).unwrap_or(2);
        loop {
            let read = match nix::unistd::read(&pipe, &mut chunk) {
                Ok(0) => return taken,
                Ok(read) => read,
                Err(Errno::EINTR) => continue,
                Err(Errno::EAGAIN) => break,
                Err(_) => return taken,
            };
            let length = taken.bytes.len().saturating_add(read);
            if length > INPUT_MAX {
                taken.overflowed = true;
                return taken;
            }
            if length > taken.bytes.capacity() {
                let mut wider = Zeroizing::new(Vec::with_capacity(taken.bytes.capacity().saturating_mul(2).max(length)));
                wider.extend_from_slice(&taken.bytes);
                taken.bytes = wider;
            }
            taken.bytes.extend_from_slice(chunk.get(..read).unwrap_or_default());
        }
        if ready & 2 != 0 {
            return taken;
        }
    }
}
