//! Commands, arguments and node headers as text with placeholders.

use super::{PlanView, Style, escape};
use crate::decorators::node_params;
use crate::duration;
use crate::plan::quoted;
use opal_format::canonical::CanonicalValue;
use opal_format::kind::{NodeKind, Position, ValueType};
use opal_format::record::{Range, TextRef};
use opal_format::slots::Slot;
use opal_format::steps::{Arg, Node, Part, PartKind};

/// The command of a node, or the text of an argument: verbatim text, public values as data, placeholders for the rest. Escaped.
#[must_use]
pub fn command(plan: &PlanView<'_>, parts: Range, style: Style) -> String {
    let mut out = String::new();
    for part in parts.of(plan.steps.parts).unwrap_or_default() {
        out.push_str(&part_text(plan, part, style));
    }
    out
}

fn part_text(plan: &PlanView<'_>, part: &Part, style: Style) -> String {
    let first = part.first.to_native();
    match PartKind::from_number(part.kind) {
        Some(PartKind::Text) => escape(TextRef::new(first, part.second.to_native()).of(plan.steps.text).unwrap_or_default(), true),
        Some(PartKind::Slot) => {
            let position = Position::from_number(part.position).unwrap_or(Position::Word);
            slot_text(plan, first, position, style)
        }
        Some(PartKind::Binding) => {
            let name = usize::try_from(first)
                .ok()
                .and_then(|index| plan.steps.nodes.get(index))
                .and_then(|node| node.args.of(plan.steps.args)?.first())
                .map(|arg| command(plan, arg.parts, style));
            format!("@let.{}", name.unwrap_or_default())
        }
        None => String::new(),
    }
}

fn slot_text(plan: &PlanView<'_>, slot: u32, position: Position, style: Style) -> String {
    let Some((record, key)) = plan.slot(slot) else { return String::new() };
    if let Some(number) = usize::try_from(slot).ok().and_then(|slot| plan.deferred_number(slot)) {
        let name = if record.decorator.to_native() == 0 { "<deferred>".to_owned() } else { format!("@{}", escape(key.as_bytes(), false)) };
        return style.paint(36, &format!("{}{name}", superscript(number)));
    }
    match public_text(plan, record) {
        Some(text) => escape(&quoted(&text, position, true), true),
        None => style.placeholder(&id(plan, record)),
    }
}

/// The id of a slot.
#[must_use]
pub fn id(plan: &PlanView<'_>, slot: &Slot) -> String {
    escape(slot.display.of(plan.slots.text).unwrap_or_default(), false)
}

/// The text of a public value; `None` for a secret.
#[must_use]
pub fn public_text(plan: &PlanView<'_>, slot: &Slot) -> Option<Vec<u8>> {
    if !slot.is_public() {
        return None;
    }
    scalar_text(CanonicalValue::decode(slot.value.of(plan.slots.text)?).ok()?)
}

/// A scalar as commands see it, not escaped; `None` for an Array or a Map.
#[must_use]
pub fn scalar_text(value: CanonicalValue) -> Option<Vec<u8>> {
    Some(match value {
        CanonicalValue::String(bytes) => bytes,
        CanonicalValue::Int(int) => int.to_string().into_bytes(),
        CanonicalValue::Float(float) => format!("{float:?}").into_bytes(),
        CanonicalValue::Bool(bool) => bool.to_string().into_bytes(),
        CanonicalValue::Duration(nanoseconds) => duration::format(nanoseconds).into_bytes(),
        CanonicalValue::Array(_) | CanonicalValue::Map(_) => return None,
    })
}

pub(super) fn superscript(number: u32) -> String {
    const DIGITS: [char; 10] = ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'];
    number.to_string().bytes().filter_map(|digit| DIGITS.get(usize::from(digit.wrapping_sub(b'0')))).collect()
}

/// One argument as it would be written.
#[must_use]
pub fn argument(plan: &PlanView<'_>, arg: &Arg, style: Style) -> String {
    if let Some(slot) = arg.slot.to_native().checked_sub(1) {
        return slot_text(plan, slot, Position::Argument, style);
    }
    let scalar = arg.scalar.to_native();
    match ValueType::from_number(arg.value_type) {
        Some(ValueType::String) => format!("\"{}\"", command(plan, arg.parts, style).replace('"', "\\\"")),
        Some(ValueType::Duration) => duration::format(scalar),
        Some(ValueType::Bool) => (scalar != 0).to_string(),
        Some(ValueType::Float) => format!("{:?}", f64::from_bits(scalar.cast_unsigned())),
        _ => scalar.to_string(),
    }
}

/// A node as one text, a pipeline whose step is one command with all its operations.
#[must_use]
pub fn step_text(plan: &PlanView<'_>, index: usize, style: Style) -> String {
    let nodes = plan.steps.nodes;
    let text = |index: usize| nodes.get(index).map(|node| node_text(plan, node, style)).unwrap_or_default();
    match pipeline_end(plan, index) {
        Some(end) => (index.saturating_add(1)..end).map(text).collect::<Vec<_>>().join(" "),
        None => text(index),
    }
}

/// The index after a pipeline whose step is one command; it is shown on one line.
#[must_use]
pub fn pipeline_end(plan: &PlanView<'_>, index: usize) -> Option<usize> {
    let tree = plan.steps.tree();
    let short = tree.kind(index) == Some(NodeKind::Transform) && tree.kind(index.checked_add(1)?).is_some_and(NodeKind::has_command);
    short.then(|| tree.end(index))
}

/// A node as one text: its command, its decorator with arguments, or its control-flow header.
#[must_use]
pub fn node_text(plan: &PlanView<'_>, node: &Node, style: Style) -> String {
    let Some(kind) = node.kind() else { return String::new() };
    let painted = style.paint(36, kind.name());
    let header = || escape(node.header.of(plan.steps.text).unwrap_or_default(), false);
    if kind.has_command() {
        let text = command(plan, node.parts, style);
        return if kind == NodeKind::Let { format!("{painted} {text}") } else { text };
    }
    if kind.is_flow() {
        return style.paint(35, &format!("{}({})", kind.name(), header()));
    }
    if kind == NodeKind::Group {
        let header = header();
        return if header.is_empty() { painted } else { style.paint(36, &header) };
    }
    if kind == NodeKind::Tty {
        return format!("{painted} (the terminal itself, not scrubbed)");
    }
    let args = node.args.of(plan.steps.args).unwrap_or_default();
    let name = if kind.is_operation() { format!("|> {}", style.paint(36, kind.name().trim_start_matches('@'))) } else { painted };
    if args.is_empty() {
        return if kind.is_operation() { format!("{name}()") } else { name };
    }
    let params = node_params(kind);
    let listed: Vec<String> = args
        .chunk_by(|one, next| one.param == next.param)
        .map(|elements| {
            let texts: Vec<String> = elements.iter().map(|arg| argument(plan, arg, style)).collect();
            let param = elements.first().and_then(|arg| params.get(usize::from(arg.param)));
            let text = texts.join(", ");
            let text = if param.is_some_and(|param| param.accepts.is_array()) { format!("[{text}]") } else { text };
            match param {
                Some(param) if !param.required => format!("{}={text}", param.names.first().copied().unwrap_or_default()),
                _ => text,
            }
        })
        .collect();
    format!("{name}({})", listed.join(", "))
}

/// The values of a plan as a person is shown them, in two lists: resolved ones as key and value, deferred ones as number and name.
pub fn slot_lines<'a>(plan: &'a PlanView<'_>, style: Style) -> [Box<dyn Iterator<Item = [String; 2]> + 'a>; 2] {
    let all = || plan.slots.slots.iter().enumerate();
    let key = |slot: &Slot| escape(slot.key.of(plan.slots.text).unwrap_or_default(), false);
    let value = move |(index, slot): (usize, &Slot)| {
        let text = || public_text(plan, slot).map_or_else(|| style.placeholder(&id(plan, slot)), |text| escape(&text, false));
        plan.deferred_number(index).is_none().then(|| [key(slot), text()])
    };
    let deferred = move |(index, slot): (usize, &Slot)| {
        let number = plan.deferred_number(index)?;
        let name = if slot.decorator.to_native() == 0 { format!("<{}>", key(slot)) } else { format!("@{} → <expensive>", key(slot)) };
        Some([number.to_string(), name])
    };
    [Box::new(all().filter_map(value)), Box::new(all().filter_map(deferred))]
}
