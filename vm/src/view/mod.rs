//! Views for people and machines: text that cannot deceive a terminal, commands with placeholders, step paths, the tree, JSON.
//!
//! A view shows a plan without its secrets: it is made from the step and slot tables, which hold none.

mod command;
mod escape;
mod json;
mod path;
mod tree;

pub use command::{argument, command, node_text, public_text as public_value, scalar_text, step_text};
pub use escape::escape;
pub use json::{plan as plan_json, span as span_json, steps as steps_json};
pub use path::{PathTable, Paths, path_of};
pub use tree::tree;

use opal_format::hash::Digest;
use opal_format::kind::NodeKind;
use opal_format::slots::SlotsView;
use opal_format::steps::StepsView;

/// Number of nodes that run something themselves.
#[must_use]
pub fn step_count(steps: StepsView<'_>) -> usize {
    let runs = |node: &&opal_format::steps::Node| {
        NodeKind::from_number(node.kind.to_native()).is_some_and(|kind| kind.is_leaf() && !kind.is_operation())
    };
    steps.nodes.iter().filter(runs).count()
}

/// How placeholders look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// `🔒 opal:secret:ID`.
    Terminal,
    /// `opal:secret:ID`.
    Plain,
}

impl Style {
    /// The placeholder for a display id.
    #[must_use]
    pub fn placeholder(self, id: &str) -> String {
        match self {
            Self::Terminal => format!("🔒 opal:secret:{id}"),
            Self::Plain => format!("opal:secret:{id}"),
        }
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
    /// Names the work, where every value is resolved.
    pub plan_hash: Option<Digest>,
    /// Names the file, where there is one.
    pub contract_hash: Option<Digest>,
}

impl<'a> PlanView<'a> {
    /// The number of a deferred slot; `None` where it is resolved.
    fn deferred_number(&self, slot: usize) -> Option<u32> {
        self.deferred.get(slot).copied().filter(|number| *number > 0)
    }

    /// A slot and its key.
    fn slot(&self, slot: u32) -> Option<(&'a opal_format::slots::Slot, std::borrow::Cow<'a, str>)> {
        let record = usize::try_from(slot).ok().and_then(|slot| self.slots.slots.get(slot))?;
        Some((record, String::from_utf8_lossy(record.key.of(self.slots.text)?)))
    }
}
