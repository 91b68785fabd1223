//! The plan as JSON, written as it is made: a plan of a million steps must not need a tree of objects. Keys are sorted; the form is
//! `spec/schemas/plan.json`.

use opal_core::decorators::node_params;
use opal_core::show::{PlanView, Style, argument, command, escape, id, public_value as public_text, span_json as span};
use opal_format::kind::{NodeKind, Unscrubbed, ValueType};
use opal_format::slots::Slot;
use opal_format::steps::Node;
use serde::ser::{Serialize, SerializeMap as _, Serializer};
use serde_json::{Map, Value, json};

/// Steps, values and hashes of a plan, and what the caller knows of it besides, as one object.
pub struct PlanJson<'a> {
    plan: PlanView<'a>,
    rest: Map<String, Value>,
}

impl<'a> PlanJson<'a> {
    /// The document of a plan.
    #[must_use]
    pub fn new(plan: PlanView<'a>) -> Self {
        let mut document = Self { plan, rest: Map::new() };
        document.insert("schema", json!("opal/plan/v1"));
        document.insert("target", json!(escape(plan.target.as_bytes(), false)));
        for (name, hash) in [("plan_hash", plan.plan_hash), ("contract_hash", plan.contract_hash)] {
            if let Some(hash) = hash {
                document.insert(name, json!(hash.to_string()));
            }
        }
        document
    }

    /// Adds a member at the top.
    pub fn insert(&mut self, name: &str, value: Value) {
        self.rest.insert(name.to_owned(), value);
    }
}

impl Serialize for PlanJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let plan = &self.plan;
        let mut out = serializer.serialize_map(None)?;
        let mut rest = self.rest.iter().peekable();
        for name in ["slots", "steps", "values"] {
            while let Some((before, value)) = rest.next_if(|(other, _)| other.as_str() < name) {
                out.serialize_entry(before, value)?;
            }
            match name {
                "slots" => out.serialize_entry(name, &Slots(plan)),
                "steps" => out.serialize_entry(name, &Block { plan, at: 0, end: plan.steps.nodes.len(), path: String::new() }),
                _ => out.serialize_entry(name, &Values(plan)),
            }?;
        }
        rest.try_for_each(|(name, value)| out.serialize_entry(name, value))?;
        out.end()
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
        out.serialize_entry("args", &args(plan, self.record, kind))?;
        out.serialize_entry("block", &self.block)?;
        if let Some(slot) = plan.decided_by(self.index) {
            out.serialize_entry("decided_by", &plan.slot(slot).map(|(_, key)| escape(key.as_bytes(), false)))?;
        }
        out.serialize_entry("decorator", kind.map_or("", NodeKind::name))?;
        out.serialize_entry("path", &self.block.path)?;
        out.serialize_entry("span", &span(&self.record.span))?;
        out.end()
    }
}

fn args(plan: &PlanView<'_>, node: &Node, kind: Option<NodeKind>) -> Map<String, Value> {
    let mut out = Map::new();
    let Some(kind) = kind else { return out };
    if kind.has_command() {
        out.insert("command".to_owned(), json!(command(plan, node.parts, Style::Plain)));
    }
    if kind.is_flow() || kind == NodeKind::Group {
        out.insert("header".to_owned(), json!(escape(node.header.of(plan.steps.text).unwrap_or_default(), false)));
    }
    let params = node_params(kind);
    for arg in node.args.of(plan.steps.args).unwrap_or_default() {
        let param = params.get(usize::from(arg.param));
        let name = param.and_then(|param| param.names.first()).copied().unwrap_or("");
        let value = match (ValueType::from_number(arg.value_type), arg.slot.to_native()) {
            (Some(ValueType::Int), 0) => json!(arg.scalar.to_native()),
            (Some(ValueType::Bool), 0) => json!(arg.scalar.to_native() != 0),
            (Some(ValueType::Float), 0) => json!(f64::from_bits(arg.scalar.to_native().cast_unsigned())),
            (Some(ValueType::String), _) => json!(command(plan, arg.parts, Style::Plain)),
            _ => json!(argument(plan, arg, Style::Plain)),
        };
        // Elements of an Array argument share their parameter.
        match out.get_mut(name) {
            Some(Value::Array(elements)) => elements.push(value),
            Some(first) => *first = json!([first.take(), value]),
            None if param.is_some_and(|param| param.accepts.is_array()) => {
                out.insert(name.to_owned(), json!([value]));
            }
            None => {
                out.insert(name.to_owned(), value);
            }
        }
    }
    out
}

struct Values<'p, 'a>(&'p PlanView<'a>);

impl Serialize for Values<'_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let plan = self.0;
        let key = |slot: &Slot| slot.key.of(plan.slots.text).unwrap_or_default();
        let mut sorted: Vec<(usize, &Slot)> = plan.slots.slots.iter().enumerate().collect();
        sorted.sort_unstable_by_key(|(_, slot)| key(slot));
        serializer.collect_map(sorted.into_iter().map(|(index, slot)| {
            let value = match plan.deferred_number(index) {
                Some(number) => format!("deferred:{number}"),
                None => public_text(plan, slot).map_or_else(|| Style::Plain.placeholder(&id(plan, slot)), |text| escape(&text, true)),
            };
            (escape(key(slot), false), value)
        }))
    }
}

struct Slots<'p, 'a>(&'p PlanView<'a>);

impl Serialize for Slots<'_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let plan = self.0;
        serializer.collect_seq(plan.slots.slots.iter().enumerate().map(|(index, slot)| {
            let unscrubbed = Unscrubbed::from_number(slot.unscrubbed).unwrap_or(Unscrubbed::No);
            json!({
                "key": escape(slot.key.of(plan.slots.text).unwrap_or_default(), false),
                "type": ValueType::from_number(slot.value_type).map_or("", ValueType::name),
                "public": slot.is_public(),
                "shapes_plan": slot.shapes(),
                "deferred": plan.deferred_number(index).is_some(),
                "scrubbed": unscrubbed == Unscrubbed::No,
                "unscrubbed_reason": if unscrubbed == Unscrubbed::No { Value::Null } else { json!(unscrubbed.name()) },
                "span": span(&slot.span),
            })
        }))
    }
}
