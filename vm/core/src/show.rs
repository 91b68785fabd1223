//! What everything that shows a plan is made from: text that cannot deceive a terminal, commands with placeholders, step paths.
//!
//! It shows a plan without its secrets: it is made from the step and slot tables, which hold none.

mod command;
mod document;
mod escape;
mod exact;
mod path;
mod unseen;

pub use command::{
    Pairs, Text, argument, id, node, pipeline_end, public_value, put_pieces, put_scalar, scalar_text, slot_lines, step, step_text,
};
pub use document::{json_line, json_text, write_json};
pub use escape::{Sink, beginning, escape, quoted, shown, visible};
pub use exact::{Exact, exact};
pub use path::{PathTable, Paths, path_of};
pub use unseen::is_unseen;

use crate::plan::Unscrubbed;
use opal_format::hash::Digest;
use opal_format::kind::NodeKind;
use opal_format::record::Span;
use opal_format::slots::{Slot, SlotsView};
use opal_format::steps::StepsView;
use std::collections::BTreeMap;
use std::fmt::{self, Display};

/// Number of nodes that run something themselves.
#[must_use]
pub fn step_count(steps: StepsView<'_>) -> usize {
    let runs = |node: &&opal_format::steps::Node| node.kind().is_some_and(|kind| kind.is_leaf() && !kind.is_operation());
    steps.nodes.iter().filter(runs).count()
}

/// A place in the source.
#[must_use]
pub fn span_json(span: &Span) -> serde_json::Value {
    serde_json::json!({
        "start": span.start.to_native(), "end": span.end.to_native(),
        "line": span.line.to_native(), "column": span.column.to_native(),
    })
}

/// How placeholders look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// `🔒 opal:secret:ID`.
    Terminal,
    /// The same, in colour.
    Color,
    /// `opal:secret:ID`.
    Plain,
}

impl Style {
    /// The placeholder for a display id.
    #[must_use]
    pub fn placeholder(self, id: &str) -> String {
        match self {
            Self::Terminal => format!("🔒 opal:secret:{id}"),
            Self::Color => format!("\x1b[33m🔒 opal:secret:{id}\x1b[0m"),
            Self::Plain => format!("opal:secret:{id}"),
        }
    }

    /// A text in the colour with this number of a terminal, where there is colour.
    pub fn painted(self, color: u8, text: impl Display) -> impl Display {
        fmt::from_fn(move |out| if self == Self::Color { write!(out, "\x1b[{color}m{text}\x1b[0m") } else { write!(out, "{text}") })
    }
}

/// What a view is made from.
#[derive(Clone, Copy)]
pub struct PlanView<'a> {
    /// Name of the target.
    pub target: &'a str,
    /// The steps.
    pub steps: StepsView<'a>,
    /// The slots.
    pub slots: SlotsView<'a>,
    /// By slot number: 0 where it is resolved, else its number among those that a quick plan deferred, from 1. Shorter than the slots: the
    /// rest are resolved.
    pub deferred: &'a [u32],
    /// By slot number, why its value is not replaced in output; `None` where that is not known, as without the values. Shorter than the slots:
    /// of the rest it is not known either, but that they are public.
    pub unscrubbed: &'a [Option<Unscrubbed>],
    /// Nodes of which a quick plan does not know whether, or how often, they run, each with the slot that decides it.
    pub undecided: Option<&'a BTreeMap<u32, u32>>,
    /// Names the work, where every value is resolved.
    pub plan_hash: Option<Digest>,
    /// Names the file, where there is one.
    pub contract_hash: Option<Digest>,
}

impl<'a> PlanView<'a> {
    /// A resolved plan, without its names.
    #[must_use]
    pub const fn of(target: &'a str, steps: StepsView<'a>, slots: SlotsView<'a>) -> Self {
        Self { target, steps, slots, deferred: &[], unscrubbed: &[], undecided: None, plan_hash: None, contract_hash: None }
    }

    /// The deferred value that decides whether, or how often, a node runs: its slot.
    #[must_use]
    pub fn decided_by(&self, node: usize) -> Option<u32> {
        self.undecided?.get(&u32::try_from(node).ok()?).copied()
    }

    /// What a person is told about a node that a deferred value decides about; `None` for any other.
    #[must_use]
    pub fn doubt(&self, node: usize) -> Option<String> {
        let slot = self.decided_by(node)?;
        let number = usize::try_from(slot).ok().and_then(|slot| self.deferred_number(slot)).unwrap_or_default();
        let kind = self.steps.tree().kind(node);
        let what = if matches!(kind, Some(NodeKind::For | NodeKind::While)) { "any number of times" } else { "may be taken" };
        Some(format!("{what}: {}", command::superscript(number)))
    }

    /// The number of a deferred slot; `None` where it is resolved.
    #[must_use]
    pub fn deferred_number(&self, slot: usize) -> Option<u32> {
        self.deferred.get(slot).copied().filter(|number| *number > 0)
    }

    /// Why the value of a slot is not replaced in output; `None` where that is not known.
    #[must_use]
    pub fn unscrubbed(&self, index: usize) -> Option<Unscrubbed> {
        let public = self.slots.slots.get(index).filter(|slot| slot.is_public()).map(|_| Unscrubbed::Public);
        public.or_else(|| self.unscrubbed.get(index).copied().flatten())
    }

    /// The slot with this number.
    #[must_use]
    pub fn slot(&self, slot: u32) -> Option<&'a Slot> {
        usize::try_from(slot).ok().and_then(|slot| self.slots.slots.get(slot))
    }

    /// The key of a slot.
    #[must_use]
    pub fn key(&self, slot: &Slot) -> &'a [u8] {
        slot.key.of(self.slots.text).unwrap_or_default()
    }
}
