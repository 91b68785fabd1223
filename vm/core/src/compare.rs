//! Compares a contract with a fresh plan and says what moved (spec/language.md, "Drift").
//!
//! Commitments are compared in constant time. The report puts the inputs that moved first, each with the steps that it reaches, and the
//! change of structure after them. It shows placeholders and public values only. What comes of it is a [`Comparison`](crate::agreed::Comparison), the only way to an
//! [`Agreed`](crate::agreed::Agreed).

use crate::decorators::{self, ValueSource};
use crate::plan::{Cause, Plan};
use crate::show::{PathTable, PlanView, Style, escape, node as shown_node, path_of};
use opal_format::reader::Contract;
use opal_format::record::Span;
use opal_format::seed::same_commitment;
use opal_format::slots::{Slot, SlotsView};
use opal_format::steps::{Node, PartKind, Steps, StepsView};
use serde_json::{Value, json};
use std::collections::HashMap;

/// Why contract and host differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DriftCode {
    /// An environment variable has another value.
    EnvChanged,
    /// A file or provider object is gone.
    InfraMissing,
    /// A file or provider object is different.
    InfraMutated,
    /// Another value is different.
    ValueChanged,
    /// The steps are different.
    StructureChanged,
    /// The contract shows its steps or values otherwise than its program gives them.
    ShownDiffers,
    /// The source file is different.
    SourceChanged,
    /// The source file is not there, and nothing stands in for it.
    SourceMissing,
}

impl DriftCode {
    /// Stable name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::EnvChanged => "env_changed",
            Self::InfraMissing => "infra_missing",
            Self::InfraMutated => "infra_mutated",
            Self::ValueChanged => "value_changed",
            Self::StructureChanged => "structure_changed",
            Self::ShownDiffers => "shown_differs",
            Self::SourceChanged => "source_changed",
            Self::SourceMissing => "source_missing",
        }
    }
}

/// A step that a drift reaches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reached {
    /// Its path in the contract; empty where only the fresh plan has it.
    pub path: String,
    /// Where it stands in the source.
    pub span: Span,
    /// The contract's text; `None` where the contract has no such step.
    pub expected: Option<String>,
    /// The fresh plan's text; `None` where there is no fresh plan or no such step in it.
    pub actual: Option<String>,
}

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drift {
    /// Its code.
    pub code: DriftCode,
    /// Key of the value, or name of the source.
    pub key: Option<String>,
    /// What happened, in one clause.
    pub message: String,
    /// Where the value was read.
    pub span: Span,
    /// A public value, before and now.
    pub values: Option<(String, String)>,
    /// Steps that it reaches, first ones first; at most [`REACHED_MAX`].
    pub reached: Vec<Reached>,
    /// How many more steps it reaches.
    pub more: usize,
}

/// Steps listed with one difference.
pub const REACHED_MAX: usize = 8;

impl Drift {
    /// A difference that reaches no step in particular.
    #[must_use]
    pub fn plain(code: DriftCode, key: Option<String>, message: String) -> Self {
        Self { code, key, message, span: Span::NONE, values: None, reached: Vec::new(), more: 0 }
    }

    /// As JSON.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let reached: Vec<Value> = self
            .reached
            .iter()
            .map(|step| {
                json!({ "path": step.path, "span": crate::show::span_json(&step.span), "expected": step.expected, "actual": step.actual })
            })
            .collect();
        json!({
            "code": self.code.name(),
            "key": self.key,
            "message": self.message,
            "span": crate::show::span_json(&self.span),
            "was": self.values.as_ref().map(|(was, _)| was),
            "now": self.values.as_ref().map(|(_, now)| now),
            "steps": reached,
            "more_steps": self.more,
        })
    }
}

/// What moved, by kind.
#[derive(Clone, Debug, Default)]
pub(crate) struct Moved {
    /// Values that were read or generated.
    pub(crate) values: Vec<Drift>,
    /// Values that were computed. They move only with what they are computed from, which says more.
    pub(crate) computed: Vec<Drift>,
    /// Steps, or how they are shown.
    pub(crate) structure: Vec<Drift>,
}

/// The differences between a contract and a plan of its program.
pub(crate) fn differences(contract: &Contract<'_>, fresh: &Plan, digests: Digests) -> Moved {
    let expected = view(contract.header.target, contract.steps, contract.slots);
    let actual = view(contract.header.target, fresh.steps.view(), fresh.slots.view());
    let reach = || {
        let aligned = first_difference(&expected, &actual).unwrap_or(expected.steps.nodes.len());
        Reach::new(expected, Some((actual, aligned)))
    };
    let mut moved = moved(&expected, &actual, reach);
    if !digests.same_work {
        moved.structure.push(structure_drift(&expected, &actual));
    } else if !digests.same_show {
        moved.structure.push(shown_drift(&expected, &actual));
    }
    moved
}

/// Whether digests of a contract are those of a plan.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Digests {
    /// `plan_hash`.
    pub(crate) same_work: bool,
    /// `shown_hash`.
    pub(crate) same_show: bool,
}

/// The values that moved.
fn moved<'a>(expected: &PlanView<'a>, actual: &PlanView<'_>, new_reach: impl Fn() -> Reach<'a>) -> Moved {
    let now: HashMap<&[u8], &Slot> = actual.slots.slots.iter().filter_map(|slot| Some((slot.key.of(actual.slots.text)?, slot))).collect();
    let mut moved = Moved::default();
    let mut reach = None;
    for (number, slot) in expected.slots.slots.iter().enumerate() {
        let Some(key) = slot.key.of(expected.slots.text) else { continue };
        // A value that the fresh plan does not read is a change of structure, not of the value.
        let Some(fresh_slot) = now.get(key) else { continue };
        if slot.value_type == fresh_slot.value_type && same_commitment(&slot.commitment, &fresh_slot.commitment) {
            continue;
        }
        let drift = changed(expected, actual, number, slot, fresh_slot, key, reach.get_or_insert_with(&new_reach));
        if slot.decorator.to_native() == 0 { moved.computed.push(drift) } else { moved.values.push(drift) }
    }
    moved
}

/// Why there is no fresh plan, as far as the report of drift goes.
#[derive(Clone, Debug)]
pub struct Failed {
    /// What happened.
    pub message: String,
    /// Key of the value on which it failed, if it was one.
    pub key: Option<String>,
    /// Whether an object is not there.
    pub missing: bool,
    /// Whether it was an object that could not be had as it was.
    pub object: bool,
    /// Whether a variable is not set.
    pub unset: bool,
    /// Where.
    pub span: Span,
}

impl Failed {
    /// As the planner of this process says it.
    #[must_use]
    pub fn new(cause: &Cause, span: Span) -> Self {
        let key = match cause {
            Cause::EnvUnset(name) => Some(format!("env.{name}")),
            Cause::File { path: key, .. } | Cause::Unreadable { key, .. } | Cause::NulByte(key) | Cause::ValueTooLong(key) => {
                Some(key.clone())
            }
            _ => None,
        };
        let missing = matches!(cause, Cause::File { missing: true, .. });
        let (object, unset) = (matches!(cause, Cause::File { .. }), matches!(cause, Cause::EnvUnset(_)));
        Self { message: cause.to_string(), key, missing, object, unset, span }
    }
}

/// A replan that failed where planning succeeded before: the values that moved until then, then what it failed on.
pub(crate) fn failed(contract: &Contract<'_>, slots: SlotsView<'_>, failed: &Failed) -> Moved {
    let none = Steps::default();
    let expected = view(contract.header.target, contract.steps, contract.slots);
    let actual = view(contract.header.target, none.view(), slots);
    let mut moved = moved(&expected, &actual, || Reach::new(expected, None));
    let key = failed.key.as_ref();
    let slots = contract.slots;
    let name = |slot: &Slot| escape(slot.key.of(slots.text).unwrap_or_default(), false);
    let found = key.and_then(|key| {
        // The contract's key may go on with options, such as a default; that of a promised variable starts otherwise.
        let same = |slot: &Slot| {
            let name = name(slot);
            let name = name.strip_prefix("pass_").unwrap_or(&name);
            name.strip_prefix(key.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('('))
        };
        slots.slots.iter().enumerate().find(|(_, slot)| same(slot))
    });
    let code = match found {
        _ if failed.missing => DriftCode::InfraMissing,
        _ if failed.object => DriftCode::InfraMutated,
        Some((_, slot)) => code_of(slot),
        None if failed.unset => DriftCode::EnvChanged,
        None => DriftCode::StructureChanged,
    };
    let key = found.map(|(_, slot)| name(slot)).or_else(|| key.map(|key| escape(key.as_bytes(), false)));
    let mut drift = Drift { span: failed.span, ..Drift::plain(code, key, failed.message.clone()) };
    if let Some((number, _)) = found {
        Reach::new(expected, None).list(&mut drift, number);
    }
    // What was read, and only then failed, is said once.
    let other = |other: &Drift| drift.key.is_none() || other.key != drift.key;
    moved.values.retain(other);
    moved.computed.retain(other);
    if code == DriftCode::StructureChanged {
        moved.structure.push(drift)
    } else {
        moved.values.push(drift)
    }
    moved
}

fn view<'a>(target: &'a str, steps: StepsView<'a>, slots: SlotsView<'a>) -> PlanView<'a> {
    PlanView::of(target, steps, slots)
}

fn changed(
    expected: &PlanView<'_>,
    actual: &PlanView<'_>,
    number: usize,
    slot: &Slot,
    fresh: &Slot,
    key: &[u8],
    reach: &mut Reach<'_>,
) -> Drift {
    let key = escape(key, false);
    let values = match (slot.is_public(), fresh.is_public()) {
        (true, true) => Some((public(expected, slot), public(actual, fresh))),
        _ => None,
    };
    let mut drift = Drift {
        span: slot.span,
        values,
        ..Drift::plain(code_of(slot), Some(key.clone()), format!("`{key}` is not what the contract was made with"))
    };
    reach.list(&mut drift, number);
    drift
}

/// The code of a value that is not what it was.
#[must_use]
pub fn code_of(slot: &Slot) -> DriftCode {
    match decorators::value_decorator(slot.decorator.to_native()).map(|row| row.source) {
        Some(ValueSource::Environment) => DriftCode::EnvChanged,
        Some(ValueSource::File) => DriftCode::InfraMutated,
        // What was drawn, and what was computed.
        Some(ValueSource::Seed) | None => DriftCode::ValueChanged,
    }
}

fn public(plan: &PlanView<'_>, slot: &Slot) -> String {
    crate::show::public_value(plan, slot).map_or_else(String::new, |text| escape(&text, false))
}

/// Most bytes of step text in one report; the steps beyond are only counted.
const REPORT_MAX: usize = 4 << 20;

/// The steps that use one slot.
#[derive(Default)]
struct Users {
    first: Vec<usize>,
    last: Option<usize>,
    count: usize,
}

/// The steps that use each slot, found in one pass over the plan however many slots drifted.
struct Reach<'a> {
    expected: PlanView<'a>,
    /// The fresh plan, and how many of its first nodes stand where the contract has them.
    actual: Option<(PlanView<'a>, usize)>,
    paths: PathTable,
    users: HashMap<u32, Users>,
    /// Bytes of text that the report may still take.
    left: usize,
}

impl<'a> Reach<'a> {
    fn new(expected: PlanView<'a>, actual: Option<(PlanView<'a>, usize)>) -> Self {
        let steps = expected.steps;
        let mut users: HashMap<u32, Users> = HashMap::new();
        for (index, node) in steps.nodes.iter().enumerate() {
            let args = node.args.of(steps.args).unwrap_or_default();
            let parts = args.iter().map(|arg| arg.parts).chain([node.parts]).flat_map(|range| range.of(steps.parts).unwrap_or_default());
            let in_parts = parts.filter(|part| PartKind::from_number(part.kind) == Some(PartKind::Slot)).map(|part| part.first.to_native());
            for slot in args.iter().filter_map(|arg| arg.slot.to_native().checked_sub(1)).chain(in_parts) {
                let users = users.entry(slot).or_default();
                // A step may name a slot more than once.
                if users.last.replace(index) != Some(index) {
                    users.count = users.count.saturating_add(1);
                    if users.first.len() < REACHED_MAX {
                        users.first.push(index);
                    }
                }
            }
        }
        Self { expected, actual, paths: PathTable::new(steps.nodes), users, left: REPORT_MAX }
    }

    /// Lists the steps that use a slot.
    fn list(&mut self, drift: &mut Drift, slot: usize) {
        let Some(users) = u32::try_from(slot).ok().and_then(|slot| self.users.get(&slot)) else { return };
        for &index in &users.first {
            let Some(node) = self.expected.steps.nodes.get(index) else { continue };
            let expected = shown_node(&self.expected, node, Style::Plain).to_string();
            let actual = self.actual.as_ref().filter(|(_, aligned)| index < *aligned);
            let actual =
                actual.and_then(|(plan, _)| plan.steps.nodes.get(index).map(|node| shown_node(plan, node, Style::Plain).to_string()));
            let path = self.paths.path(index);
            let length = [expected.len(), actual.as_ref().map_or(0, String::len), path.len()]
                .iter()
                .fold(0, |sum: usize, length| sum.saturating_add(*length));
            let Some(left) = self.left.checked_sub(length) else { break };
            self.left = left;
            drift.reached.push(Reached { path, span: node.span, expected: Some(expected), actual });
        }
        drift.more = users.count.saturating_sub(drift.reached.len());
    }
}

/// The first node whose kind, size or text without values differs.
fn first_difference(expected: &PlanView<'_>, actual: &PlanView<'_>) -> Option<usize> {
    let (old, new) = (expected.steps, actual.steps);
    let differs = |(a, b): (&Node, &Node)| {
        a.kind != b.kind
            || a.header.of(old.text) != b.header.of(new.text)
            || (a.subtree != b.subtree && a.subtree.to_native() == 1)
            || skeleton(old, a) != skeleton(new, b)
    };
    let common = old.nodes.iter().zip(new.nodes).position(differs);
    common.or_else(|| (old.nodes.len() != new.nodes.len()).then(|| old.nodes.len().min(new.nodes.len())))
}

/// A node's text with a mark for each value.
fn skeleton(steps: StepsView<'_>, node: &Node) -> Vec<u8> {
    let mut out = Vec::new();
    let ranges = node.args.of(steps.args).unwrap_or_default().iter().map(|arg| arg.parts).chain([node.parts]);
    for arg in node.args.of(steps.args).unwrap_or_default() {
        out.extend_from_slice(&arg.scalar.to_native().to_le_bytes());
    }
    for range in ranges {
        for part in range.of(steps.parts).unwrap_or_default() {
            match PartKind::from_number(part.kind) {
                Some(PartKind::Text) => {
                    let text = opal_format::record::TextRef::new(part.first.to_native(), part.second.to_native());
                    out.extend_from_slice(text.of(steps.text).unwrap_or_default());
                }
                _ => out.push(0),
            }
        }
    }
    out
}

/// How a contract shows what is the same work.
fn shown_drift(expected: &PlanView<'_>, actual: &PlanView<'_>) -> Drift {
    let (old, new) = (expected.steps, actual.steps);
    let args = |steps: StepsView<'_>, node: &Node| node.args.of(steps.args).map(<[_]>::to_vec);
    let differs = |(a, b): (&Node, &Node)| {
        (a.kind, a.subtree, a.flags) != (b.kind, b.subtree, b.flags)
            || args(old, a).map(|args| args.len()) != args(new, b).map(|args| args.len())
            || skeleton(old, a) != skeleton(new, b)
    };
    let first = old.nodes.iter().zip(new.nodes).position(differs);
    let first = first.or_else(|| (old.nodes.len() != new.nodes.len()).then(|| old.nodes.len().min(new.nodes.len())));
    if let Some(index) = first {
        let message = "the contract shows its steps under other control flow than its program has here".to_owned();
        let mut drift = Drift::plain(DriftCode::ShownDiffers, None, message);
        let node = |plan: &PlanView<'_>| plan.steps.nodes.get(index).map(|node| shown_node(plan, node, Style::Plain).to_string());
        let span = old.nodes.get(index).or_else(|| new.nodes.get(index)).map_or(Span::NONE, |node| node.span);
        let nodes = if index < old.nodes.len() { old.nodes } else { new.nodes };
        drift.span = span;
        drift.reached.push(Reached { path: path_of(nodes, index), span, expected: node(expected), actual: node(actual) });
        return drift;
    }
    let uses = |slot: &Slot| (slot.flags, slot.decorator);
    let slot = expected.slots.slots.iter().zip(actual.slots.slots).find(|(a, b)| uses(a) != uses(b)).map(|(slot, _)| slot);
    let key = slot.map(|slot| escape(slot.key.of(expected.slots.text).unwrap_or_default(), false));
    let message = match &key {
        Some(key) => format!("the contract says of `{key}` what its program does not do with it"),
        None => "the contract shows itself otherwise than its program gives it".to_owned(),
    };
    Drift { span: slot.map_or(Span::NONE, |slot| slot.span), ..Drift::plain(DriftCode::ShownDiffers, key, message) }
}

fn structure_drift(expected: &PlanView<'_>, actual: &PlanView<'_>) -> Drift {
    let (old, new) = (expected.steps.nodes.len(), actual.steps.nodes.len());
    let message = if old == new {
        "the plan is not the one that was agreed".to_owned()
    } else {
        format!("the plan has {new} nodes, the contract {old}")
    };
    let mut drift = Drift::plain(DriftCode::StructureChanged, None, message);
    if let Some(index) = first_difference(expected, actual) {
        let node = |plan: &PlanView<'_>| plan.steps.nodes.get(index).map(|node| shown_node(plan, node, Style::Plain).to_string());
        let span = expected.steps.nodes.get(index).or_else(|| actual.steps.nodes.get(index)).map_or(Span::NONE, |node| node.span);
        let nodes = if index < old { expected.steps.nodes } else { actual.steps.nodes };
        drift.span = span;
        drift.reached.push(Reached { path: path_of(nodes, index), span, expected: node(expected), actual: node(actual) });
    }
    drift
}
