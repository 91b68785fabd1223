//! What differs between a contract and a host, for people and as JSON (spec/language.md, "Drift"). Written as it is made, one difference after the
//! other: a plan of a few bytes may name a megabyte a thousand times.
//!
//! The inputs that moved come first, each with the steps that it reaches, and the change of structure after them. It shows placeholders and public
//! values only.

use crate::claimed::PLACES;
use opal_core::agreed::Comparison;
use opal_core::compare::{About, Drift, Failed};
use opal_core::drift::DriftCode;
use opal_core::refusal::place;
use opal_core::show::{PathTable, PlanView, Style, Text, escape, node as shown_node, path_of, public_value, shown, span_json};
use opal_format::reader::Contract;
use opal_format::record::Span;
use opal_format::slots::{Slot, SlotsView};
use opal_format::steps::{Node, Piece, StepsView};
use serde::ser::{Serialize, SerializeMap as _, Serializer};
use serde_json::Value;
use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::fmt::{self, Display, Write as _};
use std::io::{self, Write};

/// A step that a difference reaches.
pub struct Reached<'a> {
    /// Its path in the contract; empty where only the fresh plan has it.
    pub path: String,
    /// Where it stands in the source.
    pub span: Span,
    /// The contract's text; `None` where the contract has no such step.
    pub expected: Option<Text<'a>>,
    /// The fresh plan's text; `None` where there is no fresh plan or no such step in it.
    pub actual: Option<Text<'a>>,
}

/// One difference in words.
pub struct Told<'a> {
    /// Its code.
    pub code: DriftCode,
    /// Key of the value, or name of the source.
    pub key: Option<String>,
    /// What happened, in one clause.
    pub message: String,
    /// Where the value was read.
    pub span: Span,
    /// A public value, before and now.
    pub values: Option<[Text<'a>; 2]>,
    /// Steps that it reaches, first ones first; at most [`REACHED_MAX`].
    pub reached: Vec<Reached<'a>>,
    /// How many more steps it reaches.
    pub more: usize,
}

/// Steps listed with one difference.
pub const REACHED_MAX: usize = 8;

/// Most bytes of step text in one report; the steps beyond are only counted.
const REPORT_MAX: usize = 4 << 20;

impl<'a> Told<'a> {
    /// A difference that reaches no step in particular.
    #[must_use]
    pub const fn plain(code: DriftCode, key: Option<String>, message: String) -> Self {
        Self { code, key, message, span: Span::NONE, values: None, reached: Vec::new(), more: 0 }
    }

    /// Writes it; `label` begins it, and `source` names the source.
    fn write(&self, out: &mut dyn Write, label: &str, source: &str) -> io::Result<()> {
        writeln!(out, "{label}[{}]: {}", self.code.name(), self.message)?;
        if self.span.line.to_native() > 0 {
            writeln!(out, "  --> {}", place(source, &self.span))?;
        }
        if let Some([was, now]) = &self.values {
            writeln!(out, "  was `{was}`, is now `{now}`")?;
        }
        for step in &self.reached {
            writeln!(out, "  step {} at {}", step.path, place(source, &step.span))?;
            writeln!(out, "    expected: {}", Lines(step.expected.as_ref()))?;
            if step.actual.is_some() || self.code == DriftCode::StructureChanged {
                writeln!(out, "      actual: {}", Lines(step.actual.as_ref()))?;
            }
        }
        if self.more > 0 {
            writeln!(out, "  and {} more steps", self.more)?;
        }
        Ok(())
    }
}

impl Serialize for Told<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let [was, now] = match &self.values {
            Some([was, now]) => [Some(Written(was)), Some(Written(now))],
            None => [None, None],
        };
        let mut out = serializer.serialize_map(None)?;
        out.serialize_entry("code", self.code.name())?;
        out.serialize_entry("key", &self.key)?;
        out.serialize_entry("message", &self.message)?;
        out.serialize_entry("more_steps", &self.more)?;
        out.serialize_entry("now", &now)?;
        out.serialize_entry("span", &span_json(&self.span))?;
        out.serialize_entry("steps", &self.reached)?;
        out.serialize_entry("was", &was)?;
        out.end()
    }
}

impl Serialize for Reached<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut out = serializer.serialize_map(Some(4))?;
        out.serialize_entry("actual", &self.actual.as_ref().map(Written))?;
        out.serialize_entry("expected", &self.expected.as_ref().map(Written))?;
        out.serialize_entry("path", &self.path)?;
        out.serialize_entry("span", &span_json(&self.span))?;
        out.end()
    }
}

/// A text as a JSON string.
struct Written<'t, 'a>(&'t Text<'a>);

impl Serialize for Written<'_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self.0)
    }
}

/// The text of a step of which further lines are marked, so that none can pass for a line of the report.
struct Lines<'t, 'a>(Option<&'t Text<'a>>);

impl Display for Lines<'_, '_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(text) => write!(Marked(out), "{text}"),
            None => out.write_str("(no such step)"),
        }
    }
}

struct Marked<'o, 'f>(&'o mut fmt::Formatter<'f>);

impl fmt::Write for Marked<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for (at, line) in text.split('\n').enumerate() {
            self.0.write_str(if at > 0 { "\n              ┊ " } else { "" })?;
            self.0.write_str(line)?;
        }
        Ok(())
    }
}

/// The report of drift.
pub struct DriftReport<'a> {
    contract: &'a Contract<'a>,
    comparison: &'a Comparison,
    expected: PlanView<'a>,
    /// The fresh plan.
    actual: Option<PlanView<'a>>,
    reach: OnceCell<Reach>,
}

impl<'a> DriftReport<'a> {
    /// Of this comparison of this contract.
    #[must_use]
    pub fn new(contract: &'a Contract<'a>, comparison: &'a Comparison) -> Self {
        let target = contract.header.target;
        let actual = comparison.plan().map(|plan| PlanView::of(target, plan.steps.view(), plan.slots.view()));
        let expected = PlanView::of(target, contract.steps, contract.slots);
        Self { contract, comparison, expected, actual, reach: OnceCell::new() }
    }

    /// Whether nothing differs.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.comparison.drift().is_empty()
    }

    /// Whether one of the differences has this code.
    #[must_use]
    pub fn has(&self, code: DriftCode) -> bool {
        self.comparison.drift().iter().any(|drift| drift.code == code)
    }

    /// Writes it for people; `label` begins each difference.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write(&self, out: &mut dyn Write, label: &str) -> io::Result<()> {
        let source = escape(self.contract.terms.source_name.as_bytes(), false);
        let mut placed = false;
        self.told().try_for_each(|told| {
            placed |= told.span.line.to_native() > 0 || !told.reached.is_empty();
            told.write(out, label, &source)
        })?;
        if placed { out.write_all(PLACES.as_bytes()) } else { Ok(()) }
    }

    /// The differences, each told when it is asked for.
    fn told(&self) -> impl Iterator<Item = Told<'a>> {
        let mut left = REPORT_MAX;
        self.comparison.drift().into_iter().map(move |drift| self.tell(drift, &mut left))
    }

    fn tell(&self, drift: &Drift, left: &mut usize) -> Told<'a> {
        let key = || drift.key.clone().unwrap_or_default();
        let told = |message: String| Told::plain(drift.code, drift.key.clone(), message);
        match &drift.about {
            About::Value(number, here) => {
                let mut out = told(format!("`{}` is not what the contract was made with", key()));
                if let Some(slot) = self.expected.slots.slots.get(*number) {
                    out.span = slot.span;
                    out.values = self.public_values(slot, *here);
                }
                self.reach(&mut out, *number, left);
                out
            }
            About::Started(_) => told(format!("`{}` is not what it was when the run started", key())),
            About::Id(number) => Told {
                span: self.expected.slots.slots.get(*number).map_or(Span::NONE, |slot| slot.span),
                ..told(format!("the contract shows `{}` under an id that is not that of its value", key()))
            },
            About::NoPlan(Failed { message, span, .. }, slot) => {
                let mut out = Told { span: *span, ..told(message.clone()) };
                if let Some(number) = slot {
                    self.reach(&mut out, *number, left);
                }
                out
            }
            About::Work => self.other_work(drift),
            About::Shown => self.other_show(drift),
            About::Told(message) => told(message.clone()),
        }
    }

    /// A public value, as the contract has it and as it is here.
    fn public_values(&self, slot: &'a Slot, number: usize) -> Option<[Text<'a>; 2]> {
        let here = self.comparison.slots();
        let fresh = here.slots.get(number)?;
        if !slot.is_public() || !fresh.is_public() {
            return None;
        }
        Some([value(self.expected.slots, slot), value(here, fresh)])
    }

    /// Lists the steps that use a slot.
    fn reach(&self, out: &mut Told<'a>, slot: usize, left: &mut usize) {
        let reach = self.reach.get_or_init(|| {
            // Steps are the same ones as far as the plans agree.
            let aligned = self.actual.map(|actual| first_difference(&self.expected, &actual, work).unwrap_or(actual.steps.nodes.len()));
            Reach::new(self.expected, aligned.unwrap_or(0))
        });
        let Some(users) = reach.users.get(slot) else { return };
        for &index in users.first.iter().take(usize::try_from(users.count).unwrap_or(REACHED_MAX)) {
            let index = usize::try_from(index).unwrap_or(usize::MAX);
            let Some(node) = self.expected.steps.nodes.get(index) else { continue };
            let step = Reached {
                path: reach.paths.path(index),
                span: self.expected.steps.span(node),
                expected: text(Some(self.expected), index),
                actual: text(self.actual.filter(|_| index < reach.aligned), index),
            };
            let lengths = [step.expected.as_ref().map_or(0, length), step.actual.as_ref().map_or(0, length), step.path.len()];
            let Some(rest) = left.checked_sub(lengths.into_iter().fold(0, usize::saturating_add)) else { break };
            *left = rest;
            out.reached.push(step);
        }
        out.more = usize::try_from(users.count).unwrap_or(usize::MAX).saturating_sub(out.reached.len());
    }

    fn other_work(&self, drift: &Drift) -> Told<'a> {
        let old = self.expected.steps.nodes.len();
        let new = self.actual.map_or(0, |actual| actual.steps.nodes.len());
        let message = if old == new {
            "the plan is not the one that was agreed".to_owned()
        } else {
            format!("the plan has {new} nodes, the contract {old}")
        };
        let mut out = Told::plain(drift.code, None, message);
        if let Some(index) = self.actual.and_then(|actual| first_difference(&self.expected, &actual, work)) {
            self.at(&mut out, index);
        }
        out
    }

    /// How a contract shows what is the same work.
    fn other_show(&self, drift: &Drift) -> Told<'a> {
        let Some(actual) = self.actual else { return Told::plain(drift.code, None, String::new()) };
        if let Some(index) = first_difference(&self.expected, &actual, control) {
            let message = "the contract shows its steps under other control flow than its program has here".to_owned();
            let mut out = Told::plain(drift.code, None, message);
            self.at(&mut out, index);
            return out;
        }
        let uses = |slot: &Slot| (slot.flags, slot.decorator);
        let slots = self.expected.slots.slots;
        let slot = slots.iter().zip(actual.slots.slots).find(|(a, b)| uses(a) != uses(b)).map(|(slot, _)| slot);
        let key = slot.map(|slot| escape(self.expected.key(slot), false));
        let message = match &key {
            Some(key) => format!("the contract says of `{key}` what its program does not do with it"),
            None => "the contract shows itself otherwise than its program gives it".to_owned(),
        };
        Told { span: slot.map_or(Span::NONE, |slot| slot.span), ..Told::plain(drift.code, key, message) }
    }

    /// Adds the first node that differs, as either side has it.
    fn at(&self, out: &mut Told<'a>, index: usize) {
        let old = self.expected.steps.nodes;
        let new = self.actual.map_or(&[][..], |actual| actual.steps.nodes);
        let place = |plan: Option<PlanView<'_>>| {
            let steps = plan?.steps;
            Some(steps.span(steps.nodes.get(index)?))
        };
        out.span = place(Some(self.expected)).or_else(|| place(self.actual)).unwrap_or(Span::NONE);
        let path = path_of(if index < old.len() { old } else { new }, index);
        out.reached.push(Reached { path, span: out.span, expected: text(Some(self.expected), index), actual: text(self.actual, index) });
    }
}

impl Serialize for DriftReport<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.told())
    }
}

/// A document with a report among its fields, as `drift`.
pub struct WithDrift<'a> {
    /// The others.
    pub fields: BTreeMap<String, Value>,
    /// The report.
    pub report: &'a DriftReport<'a>,
}

impl<'a> WithDrift<'a> {
    /// The fields of an object, and the report.
    #[must_use]
    pub fn new(fields: Value, report: &'a DriftReport<'a>) -> Self {
        let fields = if let Value::Object(fields) = fields { fields.into_iter().collect() } else { BTreeMap::new() };
        Self { fields, report }
    }
}

impl Serialize for WithDrift<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (before, after): (Vec<_>, Vec<_>) = self.fields.iter().partition(|(name, _)| name.as_str() < "drift");
        let mut out = serializer.serialize_map(None)?;
        before.into_iter().try_for_each(|(name, value)| out.serialize_entry(name, value))?;
        out.serialize_entry("drift", self.report)?;
        after.into_iter().try_for_each(|(name, value)| out.serialize_entry(name, value))?;
        out.end()
    }
}

fn value<'a>(slots: SlotsView<'a>, slot: &'a Slot) -> Text<'a> {
    let view = PlanView::of("", StepsView::default(), slots);
    Box::new(fmt::from_fn(move |out| match public_value(&view, slot) {
        Some(value) => write!(out, "{}", shown(&value, false)),
        None => Ok(()),
    }))
}

fn text<'a>(plan: Option<PlanView<'a>>, index: usize) -> Option<Text<'a>> {
    let plan = plan?;
    let node = plan.steps.nodes.get(index)?;
    Some(Box::new(fmt::from_fn(move |out| write!(out, "{}", shown_node(&plan, node, Style::Plain)))))
}

/// How many bytes a text has.
fn length(text: &Text<'_>) -> usize {
    struct Count(usize);
    impl fmt::Write for Count {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            self.0 = self.0.saturating_add(text.len());
            Ok(())
        }
    }
    let mut count = Count(0);
    // Counting takes everything.
    let _ = write!(count, "{text}");
    count.0
}

/// The steps that use one slot.
#[derive(Clone, Copy, Default)]
struct Users {
    first: [u32; REACHED_MAX],
    count: u32,
    last: u32,
}

/// The steps that use each slot, found in one pass over the plan however many slots drifted.
struct Reach {
    paths: PathTable,
    users: Vec<Users>,
    /// How many of the first nodes of the fresh plan stand where the contract has them.
    aligned: usize,
}

impl Reach {
    fn new(plan: PlanView<'_>, aligned: usize) -> Self {
        let steps = plan.steps;
        let mut users = vec![Users::default(); plan.slots.slots.len()];
        for (index, node) in (0_u32..).zip(steps.nodes) {
            let args = steps.args_of(node);
            let in_parts = steps.pieces(node).filter_map(|piece| if let Piece::Slot(slot, _) = piece { Some(slot) } else { None });
            for slot in args.iter().filter_map(|arg| arg.slot.to_native().checked_sub(1)).chain(in_parts) {
                let Some(users) = usize::try_from(slot).ok().and_then(|slot| users.get_mut(slot)) else { continue };
                // A step may name a slot more than once.
                if users.count > 0 && users.last == index {
                    continue;
                }
                if let Some(place) = usize::try_from(users.count).ok().and_then(|count| users.first.get_mut(count)) {
                    *place = index;
                }
                (users.count, users.last) = (users.count.saturating_add(1), index);
            }
        }
        Self { paths: PathTable::new(steps.nodes), users, aligned }
    }
}

/// The first node that differs, by one way to look at two.
fn first_difference(old: &PlanView<'_>, new: &PlanView<'_>, differ: impl Fn([(StepsView<'_>, &Node); 2]) -> bool) -> Option<usize> {
    let (old, new) = (old.steps, new.steps);
    let common = old.nodes.iter().zip(new.nodes).position(|(a, b)| differ([(old, a), (new, b)]));
    common.or_else(|| (old.nodes.len() != new.nodes.len()).then(|| old.nodes.len().min(new.nodes.len())))
}

/// Whether kind, size or text without values differ.
fn work([(old, a), (new, b)]: [(StepsView<'_>, &Node); 2]) -> bool {
    a.kind != b.kind
        || old.header(a) != new.header(b)
        || (a.subtree != b.subtree && a.subtree.to_native() == 1)
        || skeleton(old, a) != skeleton(new, b)
}

/// Whether what is shown of a node differs, but for its header.
fn control([(old, a), (new, b)]: [(StepsView<'_>, &Node); 2]) -> bool {
    (a.kind, a.subtree, a.flags) != (b.kind, b.subtree, b.flags) || a.args.count != b.args.count || skeleton(old, a) != skeleton(new, b)
}

/// A node's text with a mark for each value.
fn skeleton(steps: StepsView<'_>, node: &Node) -> Vec<u8> {
    let mut out = Vec::new();
    for arg in steps.args_of(node) {
        out.extend_from_slice(&arg.scalar().to_le_bytes());
    }
    for piece in steps.pieces(node) {
        match piece {
            Piece::Text(text) => out.extend_from_slice(text),
            Piece::Slot(..) | Piece::Binding(..) | Piece::Missing => out.push(0),
        }
    }
    out
}
