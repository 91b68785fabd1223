//! The plan as JSON, written as it is made: a plan of a million steps must not need a tree of objects, nor a step that names a megabyte a
//! thousand times a gigabyte. Keys are sorted; strings are the exact text; the form is `spec/schemas/plan.json`.

use opal_core::decorators::{Param, node_params};
use opal_core::plan::Unscrubbed;
use opal_core::show::{Exact, PlanView, Sink, Style, Text, exact, id, public_value, put_pieces, put_scalar, shown, span_json};
use opal_format::kind::{NodeKind, ValueType};
use opal_format::slots::Slot;
use opal_format::steps::{Arg, Node, Piece, Pieces};
use serde::ser::{Serialize, SerializeMap as _, Serializer};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::cell::RefCell;
use std::collections::BTreeMap;

/// Steps, values and hashes of a plan, and what the caller knows of it besides, as one object.
pub struct PlanJson<'a> {
    plan: PlanView<'a>,
    rest: BTreeMap<&'static str, Member<'a>>,
}

/// What stands at the top beside the tables of the plan.
enum Member<'a> {
    Value(Value),
    /// JSON that somebody else wrote.
    Raw(&'a RawValue),
    /// Text that is shown as it is.
    Text(&'a [u8]),
    /// Keys of the slots that shape the plan.
    Shaping,
    /// The values that are known not to be replaced in output, each with why.
    Unscrubbed,
    /// The secrets, each with its type and what is known of it.
    Secrets,
    /// Texts, which are taken as they are written.
    List(RefCell<Box<dyn Iterator<Item = Text<'a>> + 'a>>),
}

impl<'a> PlanJson<'a> {
    /// The document of a plan.
    #[must_use]
    pub fn new(plan: PlanView<'a>) -> Self {
        let mut rest = BTreeMap::new();
        rest.insert("schema", Member::Value(json!("opal/plan/v1")));
        rest.insert("target", Member::Text(plan.target.as_bytes()));
        for (name, hash) in [("plan_hash", plan.plan_hash), ("contract_hash", plan.contract_hash)] {
            if let Some(hash) = hash {
                rest.insert(name, Member::Value(json!(hash.to_string())));
            }
        }
        Self { plan, rest }
    }

    /// Adds a member at the top.
    pub fn insert(&mut self, name: &'static str, value: Value) {
        self.rest.insert(name, Member::Value(value));
    }

    /// Adds the keys of the values that shape the plan.
    pub fn insert_shaping(&mut self, name: &'static str) {
        self.rest.insert(name, Member::Shaping);
    }

    /// Adds the values that are known not to be replaced in output.
    pub fn insert_unscrubbed(&mut self, name: &'static str) {
        self.rest.insert(name, Member::Unscrubbed);
    }

    /// Adds what a key that opens the contract tells of its secrets.
    pub fn insert_secrets(&mut self, name: &'static str) {
        self.rest.insert(name, Member::Secrets);
    }

    /// Adds a list of texts. A document is written once.
    pub fn insert_list(&mut self, name: &'static str, list: impl Iterator<Item = Text<'a>> + 'a) {
        self.rest.insert(name, Member::List(RefCell::new(Box::new(list))));
    }

    /// Adds what somebody else wrote: as JSON where it is that, and nested no deeper than readers follow, else as a text.
    pub fn insert_foreign(&mut self, name: &'static str, text: &'a str) {
        let member = match serde_json::from_str::<&RawValue>(text) {
            Ok(raw) if nesting(text) <= FOREIGN_DEPTH => Member::Raw(raw),
            _ => Member::Text(text.as_bytes()),
        };
        self.rest.insert(name, member);
    }
}

/// Many readers of JSON stop at 128.
const FOREIGN_DEPTH: usize = 64;

/// How deeply Arrays and objects nest in valid JSON.
fn nesting(text: &str) -> usize {
    let (mut depth, mut deepest, mut string, mut escaped) = (0_usize, 0, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if string => escaped = true,
            b'"' => string = !string,
            b'[' | b'{' if !string => {
                depth = depth.saturating_add(1);
                deepest = deepest.max(depth);
            }
            b']' | b'}' if !string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

impl Serialize for PlanJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let plan = &self.plan;
        let mut out = serializer.serialize_map(None)?;
        let mut rest = self.rest.iter().peekable();
        for name in ["slots", "steps", "values"] {
            while let Some((before, member)) = rest.next_if(|(other, _)| **other < name) {
                out.serialize_entry(before, &Shown { plan, member })?;
            }
            match name {
                "slots" => out.serialize_entry(name, &Slots(plan)),
                "steps" => out.serialize_entry(name, &Block { plan, at: 0, end: plan.steps.nodes.len(), path: String::new() }),
                _ => out.serialize_entry(name, &Values(plan)),
            }?;
        }
        rest.try_for_each(|(name, member)| out.serialize_entry(name, &Shown { plan, member }))?;
        out.end()
    }
}

struct Shown<'p, 'a> {
    plan: &'p PlanView<'a>,
    member: &'p Member<'a>,
}

impl Serialize for Shown<'_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.member {
            Member::Value(value) => value.serialize(serializer),
            Member::Raw(raw) => raw.serialize(serializer),
            Member::Text(text) => exact(text).serialize(serializer),
            Member::List(list) => serializer.collect_seq(list.borrow_mut().by_ref().map(Written)),
            Member::Unscrubbed => {
                let reasons = (0..self.plan.slots.slots.len()).filter_map(|index| Some((index, self.plan.unscrubbed(index)?.reason()?)));
                serializer.collect_seq(reasons.map(|(index, _)| Reason { plan: self.plan, index, with_type: false }))
            }
            Member::Secrets => {
                let secrets = self.plan.slots.slots.iter().enumerate().filter(|(_, slot)| !slot.is_public());
                serializer.collect_seq(secrets.map(|(index, _)| Reason { plan: self.plan, index, with_type: true }))
            }
            Member::Shaping => {
                let shaping = self.plan.slots.slots.iter().filter(|slot| slot.shapes());
                serializer.collect_seq(shaping.map(|slot| exact(self.plan.key(slot))))
            }
        }
    }
}

/// What is known of why a value is not replaced in output.
struct Reason<'p, 'a> {
    plan: &'p PlanView<'a>,
    index: usize,
    with_type: bool,
}

impl Serialize for Reason<'_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut out = serializer.serialize_map(None)?;
        if let Some(slot) = self.plan.slots.slots.get(self.index) {
            let key = shown(self.plan.key(slot), false).to_string();
            let reason = self.plan.unscrubbed(self.index).and_then(Unscrubbed::reason);
            out.serialize_entry("key", &key)?;
            if self.with_type {
                out.serialize_entry("type", ValueType::from_number(slot.value_type).map_or("", ValueType::name))?;
                out.serialize_entry("unscrubbed", &reason)?;
            } else {
                out.serialize_entry("reason", &reason)?;
            }
        }
        out.end()
    }
}

struct Written<'a>(Text<'a>);

impl Serialize for Written<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// The nodes of a block. Depth is limited by the format, so the recursion is.
struct Block<'p, 'a> {
    plan: &'p PlanView<'a>,
    at: usize,
    end: usize,
    /// Path of the node whose block it is; empty at the top.
    path: String,
}

impl Serialize for Block<'_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut at = self.at;
        let mut ordinal = 0_u32;
        serializer.collect_seq(std::iter::from_fn(|| {
            let record = self.plan.steps.nodes.get(at).filter(|_| at < self.end)?;
            ordinal = ordinal.saturating_add(1);
            let path = if self.path.is_empty() { ordinal.to_string() } else { format!("{}.{ordinal}", self.path) };
            let start = at;
            at = at.saturating_add(record.length());
            Some(Step { record, index: start, block: Block { plan: self.plan, at: start.saturating_add(1), end: at, path } })
        }))
    }
}

struct Step<'p, 'a> {
    record: &'p Node,
    index: usize,
    block: Block<'p, 'a>,
}

impl Serialize for Step<'_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let plan = self.block.plan;
        let kind = self.record.kind();
        let mut out = serializer.serialize_map(None)?;
        out.serialize_entry("args", &Args { plan, node: self.record, kind })?;
        out.serialize_entry("block", &self.block)?;
        if let Some(slot) = plan.decided_by(self.index) {
            out.serialize_entry("decided_by", &plan.slot(slot).map(|slot| exact(plan.key(slot))))?;
        }
        out.serialize_entry("decorator", kind.map_or("", NodeKind::name))?;
        out.serialize_entry("path", &self.block.path)?;
        out.serialize_entry("span", &span_json(&plan.steps.span(self.record)))?;
        out.serialize_entry("uses", &Uses { plan, node: self.record })?;
        out.end()
    }
}

/// The arguments of a node by name, sorted.
struct Args<'p, 'a> {
    plan: &'p PlanView<'a>,
    node: &'p Node,
    kind: Option<NodeKind>,
}

impl Serialize for Args<'_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let plan = self.plan;
        let mut out = serializer.serialize_map(None)?;
        let Some(kind) = self.kind else { return out.end() };
        let (params, args) = (node_params(kind), plan.steps.args_of(self.node));
        // One group for each parameter, of which there are at most 256.
        let groups = args.chunk_by(|one, next| one.param == next.param).filter_map(|elements| {
            let number = elements.first()?.param;
            let param = params.get(usize::from(number));
            let name = param.and_then(|param| param.names.first()).map_or_else(|| format!("parameter {number}"), |name| (*name).to_owned());
            Some((name, Group { plan, elements, param }))
        });
        let mut groups: BTreeMap<String, Group<'_, '_>> = groups.collect();
        if kind.has_command() {
            groups.remove("command");
            out.serialize_entry("command", &pieces(plan, plan.steps.command(self.node)))?;
        }
        if kind.is_flow() || kind == NodeKind::Group {
            groups.remove("header");
            out.serialize_entry("header", &exact(plan.steps.header(self.node)))?;
        }
        groups.iter().try_for_each(|(name, group)| out.serialize_entry(name, group))?;
        out.end()
    }
}

fn pieces<'p>(plan: &'p PlanView<'_>, pieces: Pieces<'p>) -> impl Serialize + 'p {
    Exact(move |out: &mut dyn Sink| put_pieces(out, plan, pieces.clone(), Style::Plain))
}

/// What one parameter was given: a value, or the elements of an Array.
struct Group<'p, 'a> {
    plan: &'p PlanView<'a>,
    elements: &'p [Arg],
    param: Option<&'static Param>,
}

impl Serialize for Group<'_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let values = self.elements.iter().map(|arg| Argument { plan: self.plan, arg });
        match self.elements {
            [arg] if !self.param.is_some_and(|param| param.accepts.is_array()) => Argument { plan: self.plan, arg }.serialize(serializer),
            _ => serializer.collect_seq(values),
        }
    }
}

struct Argument<'p, 'a> {
    plan: &'p PlanView<'a>,
    arg: &'p Arg,
}

impl Serialize for Argument<'_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (plan, arg) = (self.plan, self.arg);
        match (ValueType::from_number(arg.value_type), arg.slot.to_native()) {
            (Some(ValueType::Int), 0) => serializer.serialize_i64(arg.scalar()),
            (Some(ValueType::Bool), 0) => serializer.serialize_bool(arg.scalar() != 0),
            (Some(ValueType::Float), 0) => serializer.serialize_f64(f64::from_bits(arg.scalar().cast_unsigned())),
            (Some(ValueType::String), _) => pieces(plan, plan.steps.text_of(arg)).serialize(serializer),
            _ => Exact(move |out: &mut dyn Sink| put_scalar(out, plan, arg, Style::Plain)).serialize(serializer),
        }
    }
}

/// What stands where values stand in a node, in order: numbers of slots, and names of runtime bindings. So text that looks like a placeholder
/// is told from one.
struct Uses<'p, 'a> {
    plan: &'p PlanView<'a>,
    node: &'p Node,
}

impl Serialize for Uses<'_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let steps = self.plan.steps;
        let in_args = steps.args_of(self.node).iter().flat_map(move |arg| {
            let slot = arg.slot.to_native().checked_sub(1).map(Use::Slot);
            slot.into_iter().chain(steps.text_of(arg).filter_map(Use::of))
        });
        serializer.collect_seq(in_args.chain(steps.command(self.node).filter_map(Use::of)).map(|one| (self.plan, one)).map(Used))
    }
}

enum Use {
    Slot(u32),
    Binding(u32),
}

impl Use {
    fn of(piece: Piece<'_>) -> Option<Self> {
        match piece {
            Piece::Text(_) | Piece::Missing => None,
            Piece::Slot(slot, _) => Some(Self::Slot(slot)),
            Piece::Binding(node, _) => Some(Self::Binding(node)),
        }
    }
}

struct Used<'p, 'a>((&'p PlanView<'a>, Use));

impl Serialize for Used<'_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (plan, one) = &self.0;
        match one {
            Use::Slot(slot) => serializer.serialize_u32(*slot),
            Use::Binding(node) => exact(plan.steps.binding_name(*node)).serialize(serializer),
        }
    }
}

struct Values<'p, 'a>(&'p PlanView<'a>);

impl Serialize for Values<'_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let plan = self.0;
        let mut sorted: Vec<(usize, &Slot)> = plan.slots.slots.iter().enumerate().collect();
        sorted.sort_unstable_by_key(|(_, slot)| plan.key(slot));
        serializer.collect_map(sorted.into_iter().map(|(index, slot)| {
            let value = Exact(move |out: &mut dyn Sink| match plan.deferred_number(index) {
                Some(number) => out.mark(&format_args!("deferred:{number}")),
                None => match public_value(plan, slot) {
                    Some(value) => out.text(&value),
                    None => out.mark(&Style::Plain.placeholder(&id(plan, slot).to_string())),
                },
            });
            (exact(plan.key(slot)), value)
        }))
    }
}

struct Slots<'p, 'a>(&'p PlanView<'a>);

impl Serialize for Slots<'_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.slots.slots.iter().enumerate().map(|(index, slot)| OneSlot { plan: self.0, index, slot }))
    }
}

struct OneSlot<'p, 'a> {
    plan: &'p PlanView<'a>,
    index: usize,
    slot: &'p Slot,
}

impl Serialize for OneSlot<'_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { plan, index, slot } = self;
        let unscrubbed = plan.unscrubbed(*index);
        let mut out = serializer.serialize_map(None)?;
        out.serialize_entry("deferred", &plan.deferred_number(*index).is_some())?;
        out.serialize_entry("key", &exact(plan.key(slot)))?;
        out.serialize_entry("public", &slot.is_public())?;
        out.serialize_entry("scrubbed", &unscrubbed.map(|reason| reason == Unscrubbed::No))?;
        out.serialize_entry("shapes_plan", &slot.shapes())?;
        out.serialize_entry("span", &span_json(&slot.span))?;
        out.serialize_entry("type", ValueType::from_number(slot.value_type).map_or("", ValueType::name))?;
        out.serialize_entry("unscrubbed_reason", &unscrubbed.and_then(Unscrubbed::reason))?;
        out.end()
    }
}
