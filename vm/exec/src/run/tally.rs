//! What has happened so far in a run, until it is reported.
//!
//! Read for: everything in the process that runs a contract.

use std::collections::HashSet;
use std::time::Duration;

use opal_format::record::Span;

use super::exec::Flow;
use super::report::{FailureCause, Left, Outcome, RunReport, StepFailure};
use super::{Shared, locked};
use crate::supervise::lane::Ended;
use crate::supervise::signals::Phase;
use opal_core::show::{PlanView, Style, step_text};

/// What has happened so far.
#[derive(Default)]
pub(super) struct Tally {
    pub(super) failures: Vec<StepFailure>,
    pub(super) left: Vec<Left>,
    pub(super) done: HashSet<usize>,
    pub(super) effects: bool,
    pub(super) cleanup_skipped: Vec<String>,
    pub(super) cleaned_up: Vec<String>,
    /// Why no new step may start, other than a signal.
    pub(super) halted: Option<Outcome>,
}

impl Tally {
    /// Stops the run; the first reason stays.
    pub(super) fn halt(&mut self, why: Outcome) {
        self.halted.get_or_insert(why);
    }

    pub(super) fn is_halted(&self) -> bool {
        self.halted.is_some()
    }

    /// Marks a failure, and those reported with it, as dealt with.
    pub(super) fn handled(&mut self, failure: usize) {
        let group = self.failures.get(failure).map(|failure| failure.group);
        self.failures.iter_mut().filter(|one| Some(one.group) == group).for_each(|one| one.handled = true);
    }
}

impl Shared<'_> {
    /// The plan for messages.
    pub(super) fn view(&self) -> PlanView<'_> {
        PlanView::of("", self.plan.steps.view(), self.plan.slots.view())
    }

    /// The exit status of a failure as a shell would see it: 128 and the signal for a process that one ended. Other failures have none.
    pub(super) fn exit_status(&self, failure: usize) -> Option<i64> {
        match locked(&self.tally).failures.get(failure)?.cause {
            FailureCause::Earlier(_, status) => status,
            FailureCause::Ended(Ended::Exit(code)) => Some(code.into()),
            FailureCause::Ended(Ended::Signal(signal)) => Some(i64::from(signal).saturating_add(128)),
            _ => None,
        }
    }

    /// Adds a failure and gives its number.
    pub(super) fn fail(&self, node: Option<usize>, cause: FailureCause, stderr: &[u8], elapsed: Duration) -> usize {
        let record = node.and_then(|node| self.plan.steps.nodes.get(node));
        let failure = StepFailure {
            node,
            path: self.path(node),
            span: record.map_or(Span::NONE, |record| self.plan.steps.view().span(record)),
            command: node.map(|node| step_text(&self.view(), node, Style::Plain)).unwrap_or_default(),
            cause,
            stderr: stderr.to_vec(),
            confined_by: node.map(|node| self.confined_by(node)).unwrap_or_default(),
            elapsed,
            handled: false,
            group: 0,
        };
        let mut tally = locked(&self.tally);
        let number = tally.failures.len();
        tally.failures.push(StepFailure { group: number, ..failure });
        number
    }

    pub(super) fn report(&self, flow: Flow, elapsed: Duration) -> RunReport {
        let mut tally = std::mem::take(&mut *locked(&self.tally));
        // By what is known now: a value may have come after the failure of another branch.
        for failure in &mut tally.failures {
            failure.stderr = self.secrets.scrub(&failure.stderr);
        }
        let first = self.signals.first().filter(|_| self.signals.phase() > Phase::Run);
        let outcome = match (flow, first, tally.halted.take()) {
            // A step that ended well after the signal still ends the run.
            (_, Some(first), _) => Outcome::Cancelled(first),
            (_, None, Some(halted)) => halted,
            (Flow::Failed(failure), ..) => Outcome::Failed(failure),
            _ => Outcome::Succeeded,
        };
        RunReport {
            outcome,
            effects: tally.effects,
            steps_done: tally.done.len(),
            steps_total: opal_core::show::step_count(self.plan.steps.view()),
            failures: tally.failures,
            left: tally.left,
            cleanup_skipped: tally.cleanup_skipped,
            cleaned_up: tally.cleaned_up,
            elapsed,
            mid_line: self.outlet.is_mid_line(crate::supervise::lane::Stream::Stderr),
            about: self.options.start.labels.clone(),
        }
    }
}
