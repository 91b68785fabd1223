//! The plan as JSON. Keys are sorted; the form is `spec/schemas/plan.json`.

use super::command::{argument, command, id, public_text};
use super::{Paths, PlanView, Style, escape};
use crate::decorators::node_params;
use opal_format::kind::{NodeKind, Unscrubbed, ValueType};
use opal_format::record::Span;
use opal_format::steps::Node;
use serde_json::{Map, Value, json};

/// Steps, values and hashes. The caller adds what else it knows of the file.
#[must_use]
pub fn plan(plan: &PlanView<'_>) -> Map<String, Value> {
    let mut out = Map::new();
    out.insert("schema".to_owned(), json!("opal/plan/v1"));
    out.insert("target".to_owned(), json!(plan.target));
    out.insert("steps".to_owned(), steps(plan));
    out.insert("values".to_owned(), values(plan));
    out.insert("slots".to_owned(), slots(plan));
    if let Some(hash) = plan.plan_hash {
        out.insert("plan_hash".to_owned(), json!(hash.to_string()));
    }
    if let Some(hash) = plan.contract_hash {
        out.insert("contract_hash".to_owned(), json!(hash.to_string()));
    }
    out
}

/// A place in the source.
#[must_use]
pub fn span(span: &Span) -> Value {
    json!({
        "start": span.start.to_native(), "end": span.end.to_native(),
        "line": span.line.to_native(), "column": span.column.to_native(),
    })
}

/// The step tree as nested objects.
#[must_use]
pub fn steps(plan: &PlanView<'_>) -> Value {
    // Built from the innermost level outward: `open` holds the index after each unfinished node, and its object.
    let mut open: Vec<(usize, Map<String, Value>, Vec<Value>)> = Vec::new();
    let mut top: Vec<Value> = Vec::new();
    let mut paths = Paths::new(plan.steps.nodes);
    let names: Vec<String> = Paths::new(plan.steps.nodes).collect();
    while let Some((index, node, _)) = paths.next_node() {
        close(&mut open, &mut top, index);
        let end = index.saturating_add(usize::try_from(node.subtree.to_native()).unwrap_or(usize::MAX));
        let mut object = Map::new();
        let kind = NodeKind::from_number(node.kind.to_native());
        object.insert("decorator".to_owned(), json!(kind.map_or("", NodeKind::name)));
        object.insert("args".to_owned(), Value::Object(args(plan, node, kind)));
        object.insert("path".to_owned(), json!(names.get(index)));
        object.insert("span".to_owned(), span(&node.span));
        open.push((end, object, Vec::new()));
    }
    close(&mut open, &mut top, usize::MAX);
    Value::Array(top)
}

/// Finishes the nodes that end at or before `index`.
fn close(open: &mut Vec<(usize, Map<String, Value>, Vec<Value>)>, top: &mut Vec<Value>, index: usize) {
    while open.last().is_some_and(|(end, _, _)| index >= *end) {
        if let Some((_, mut object, children)) = open.pop() {
            object.insert("block".to_owned(), Value::Array(children));
            match open.last_mut() {
                Some((_, _, siblings)) => siblings.push(Value::Object(object)),
                None => top.push(Value::Object(object)),
            }
        }
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
        let name = params.get(usize::from(arg.param)).and_then(|param| param.names.first()).copied().unwrap_or("");
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
            None => {
                out.insert(name.to_owned(), value);
            }
        }
    }
    out
}

fn values(plan: &PlanView<'_>) -> Value {
    let mut out = Map::new();
    for (index, slot) in plan.slots.slots.iter().enumerate() {
        let key = escape(slot.key.of(plan.slots.text).unwrap_or_default(), false);
        let value = if let Some(number) = plan.deferred_number(index) {
            format!("deferred:{number}")
        } else {
            public_text(plan, slot).map_or_else(|| Style::Plain.placeholder(&id(plan, slot)), |text| escape(&text, true))
        };
        out.insert(key, json!(value));
    }
    Value::Object(out)
}

fn slots(plan: &PlanView<'_>) -> Value {
    plan.slots
        .slots
        .iter()
        .enumerate()
        .map(|(index, slot)| {
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
        })
        .collect()
}
