//! Commands, arguments and node headers as text with placeholders, written as they are made: a step may name more text than its file holds.

use super::escape::{Escaper, Sink, shown};
use super::{PlanView, Style};
use crate::decorators::node_params;
use crate::duration;
use crate::plan::quote;
use opal_format::canonical::{self, CanonicalValue};
use opal_format::kind::{NodeKind, Position, ValueType};
use opal_format::slots::Slot;
use opal_format::steps::{Arg, Node, Piece, Pieces};
use std::borrow::Cow;
use std::fmt::{self, Display};

/// Part of a view.
pub type Text<'a> = Box<dyn Display + 'a>;

/// Writes the command of a node, or the text of an argument: verbatim text, public values as data, placeholders for the rest.
pub fn put_pieces(out: &mut dyn Sink, plan: &PlanView<'_>, mut pieces: Pieces<'_>, style: Style) -> fmt::Result {
    pieces.try_for_each(|piece| match piece {
        Piece::Text(text) => out.text(text),
        Piece::Slot(slot, position) => put_slot(out, plan, slot, position, style),
        Piece::Binding(node, _) => {
            out.mark(&"@let.")?;
            out.name(plan.steps.binding_name(node))
        }
        Piece::Missing => Ok(()),
    })
}

fn put_slot(out: &mut dyn Sink, plan: &PlanView<'_>, number: u32, position: Position, style: Style) -> fmt::Result {
    let Some(slot) = plan.slot(number) else { return Ok(()) };
    if let Some(deferred) = usize::try_from(number).ok().and_then(|slot| plan.deferred_number(slot)) {
        let key = plan.key(slot);
        return out.mark(&style.painted(
            36,
            fmt::from_fn(|out| {
                write!(out, "{}", superscript(deferred))?;
                if slot.decorator.to_native() == 0 { out.write_str("<deferred>") } else { write!(out, "@{}", shown(key, false)) }
            }),
        ));
    }
    match public_value(plan, slot) {
        Some(value) => quote(&value, position, true, &mut |piece| out.text(piece)),
        None => out.mark(&style.placeholder(&id(plan, slot).to_string())),
    }
}

/// The id of a slot.
pub fn id<'a>(plan: &PlanView<'a>, slot: &Slot) -> impl Display + use<'a> {
    shown(slot.display.of(plan.slots.text).unwrap_or_default(), false)
}

/// The text of a public value as commands see it, not escaped; `None` for a secret.
#[must_use]
pub fn public_value<'a>(plan: &PlanView<'a>, slot: &Slot) -> Option<Cow<'a, [u8]>> {
    if !slot.is_public() {
        return None;
    }
    let value = slot.value.of(plan.slots.text)?;
    match canonical::string(value) {
        Some(text) => Some(Cow::Borrowed(text)),
        // Neither is as small as its encoding might be.
        None if matches!(ValueType::from_number(slot.value_type), Some(ValueType::Array | ValueType::Map)) => None,
        None => scalar_text(CanonicalValue::decode(value).ok()?).map(Cow::Owned),
    }
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

/// Writes one argument that is no String.
pub fn put_scalar(out: &mut dyn Sink, plan: &PlanView<'_>, arg: &Arg, style: Style) -> fmt::Result {
    if let Some(slot) = arg.slot.to_native().checked_sub(1) {
        return put_slot(out, plan, slot, Position::Argument, style);
    }
    let scalar = arg.scalar();
    match ValueType::from_number(arg.value_type) {
        Some(ValueType::Duration) => out.mark(&duration::format(scalar)),
        Some(ValueType::Bool) => out.mark(&(scalar != 0)),
        Some(ValueType::Float) => out.mark(&format_args!("{:?}", f64::from_bits(scalar.cast_unsigned()))),
        _ => out.mark(&scalar),
    }
}

/// One argument as it would be written. Escaped.
pub fn argument<'a>(plan: &'a PlanView<'_>, arg: &'a Arg, style: Style) -> impl Display + 'a {
    fmt::from_fn(move |out| put_argument(out, plan, arg, style))
}

fn put_argument(out: &mut fmt::Formatter<'_>, plan: &PlanView<'_>, arg: &Arg, style: Style) -> fmt::Result {
    let quoted = ValueType::from_number(arg.value_type) == Some(ValueType::String);
    let quote = if quoted { "\"" } else { "" };
    out.write_str(quote)?;
    let mut escaper = Escaper::new(out, true).quoted(quoted).among_placeholders();
    if quoted { put_pieces(&mut escaper, plan, plan.steps.text_of(arg), style) } else { put_scalar(&mut escaper, plan, arg, style) }?;
    escaper.finish()?;
    out.write_str(quote)
}

/// A node as one text, a pipeline whose step is one command with all its operations. Escaped; may have several lines.
pub fn step<'a>(plan: &'a PlanView<'_>, index: usize, style: Style) -> impl Display + 'a {
    fmt::from_fn(move |out| {
        let nodes = match pipeline_end(plan, index) {
            Some(end) => index.saturating_add(1)..end,
            None => index..index.saturating_add(1),
        };
        for (at, node) in plan.steps.nodes.get(nodes).unwrap_or_default().iter().enumerate() {
            if at > 0 {
                out.write_str(" ")?;
            }
            put_node(out, plan, node, style)?;
        }
        Ok(())
    })
}

/// What [`step`] gives, in memory: for a step that runs, whose command is there anyway.
#[must_use]
pub fn step_text(plan: &PlanView<'_>, index: usize, style: Style) -> String {
    step(plan, index, style).to_string()
}

/// The index after a pipeline whose step is one command; it is shown on one line.
#[must_use]
pub fn pipeline_end(plan: &PlanView<'_>, index: usize) -> Option<usize> {
    let tree = plan.steps.tree();
    let short = tree.kind(index) == Some(NodeKind::Transform) && tree.kind(index.checked_add(1)?).is_some_and(NodeKind::has_command);
    short.then(|| tree.end(index))
}

/// A node as one text: its command, its decorator with arguments, or its control-flow header. Escaped; may have several lines.
pub fn node<'a>(plan: &'a PlanView<'_>, node: &'a Node, style: Style) -> impl Display + 'a {
    fmt::from_fn(move |out| put_node(out, plan, node, style))
}

fn put_node(out: &mut fmt::Formatter<'_>, plan: &PlanView<'_>, node: &Node, style: Style) -> fmt::Result {
    let Some(kind) = node.kind() else { return Ok(()) };
    let header = plan.steps.header(node);
    if kind.has_command() {
        if kind == NodeKind::Let {
            write!(out, "{} ", style.painted(36, kind.name()))?;
        }
        let mut escaper = Escaper::new(out, true).among_placeholders();
        put_pieces(&mut escaper, plan, plan.steps.command(node), style)?;
        return escaper.finish();
    }
    if kind.is_flow() {
        return write!(out, "{}", style.painted(35, format_args!("{}({})", kind.name(), shown(header, false))));
    }
    if kind == NodeKind::Group && !header.is_empty() {
        return write!(out, "{}", style.painted(36, shown(header, false)));
    }
    if kind.is_operation() {
        write!(out, "|> {}", style.painted(36, kind.name().trim_start_matches('@')))?;
    } else {
        write!(out, "{}", style.painted(36, kind.name()))?;
    }
    if kind == NodeKind::Tty {
        return out.write_str(" (the terminal itself, not scrubbed)");
    }
    let args = plan.steps.args_of(node);
    if !args.is_empty() || kind.is_operation() {
        out.write_str("(")?;
        put_arguments(out, plan, kind, args, style)?;
        out.write_str(")")?;
    }
    Ok(())
}

fn put_arguments(out: &mut fmt::Formatter<'_>, plan: &PlanView<'_>, kind: NodeKind, args: &[Arg], style: Style) -> fmt::Result {
    let params = node_params(kind);
    for (at, elements) in args.chunk_by(|one, next| one.param == next.param).enumerate() {
        if at > 0 {
            out.write_str(", ")?;
        }
        let param = elements.first().and_then(|arg| params.get(usize::from(arg.param)));
        let array = param.is_some_and(|param| param.accepts.is_array());
        match param {
            Some(param) if !param.required => write!(out, "{}=", param.names.first().copied().unwrap_or_default())?,
            _ => {}
        }
        out.write_str(if array { "[" } else { "" })?;
        for (at, arg) in elements.iter().enumerate() {
            out.write_str(if at > 0 { ", " } else { "" })?;
            put_argument(out, plan, arg, style)?;
        }
        out.write_str(if array { "]" } else { "" })?;
    }
    Ok(())
}

/// Lines of two texts each.
pub type Pairs<'a> = Box<dyn Iterator<Item = [Text<'a>; 2]> + 'a>;

/// The values of a plan as a person is shown them, in two lists: resolved ones as key and value, deferred ones as number and name.
pub fn slot_lines<'a>(plan: &'a PlanView<'_>, style: Style) -> [Pairs<'a>; 2] {
    let all = || plan.slots.slots.iter().enumerate();
    let key = |slot: &'a Slot| shown(plan.key(slot), false);
    let value = move |(index, slot): (usize, &'a Slot)| -> Option<[Text<'a>; 2]> {
        let value = fmt::from_fn(move |out| match public_value(plan, slot) {
            Some(value) => {
                let mut escaper = Escaper::new(out, false).among_placeholders();
                escaper.text(&value)?;
                escaper.finish()
            }
            None => write!(out, "{}", style.placeholder(&id(plan, slot).to_string())),
        });
        plan.deferred_number(index).is_none().then(|| [Box::new(key(slot)) as Text<'a>, Box::new(value)])
    };
    let deferred = move |(index, slot): (usize, &'a Slot)| -> Option<[Text<'a>; 2]> {
        let number = plan.deferred_number(index)?;
        let name = fmt::from_fn(move |out| match slot.decorator.to_native() {
            0 => write!(out, "<{}>", key(slot)),
            _ => write!(out, "@{} → <expensive>", key(slot)),
        });
        Some([Box::new(number), Box::new(name)])
    };
    [Box::new(all().filter_map(value)), Box::new(all().filter_map(deferred))]
}
