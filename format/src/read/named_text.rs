//! How much text the nodes of a plan name, which may be more than its file holds: nodes share texts and values. Whoever shows, hashes or compares a
//! plan goes through all of it, so it has a limit.

use crate::read::error::Rule;
use crate::read::limits;
use crate::read::record::{Range, TextRef};
use crate::read::slots::SlotsView;
use crate::read::steps::{Part, PartKind, StepsView};

/// Counts headers, verbatim text, public values and the names of bindings, each as often as it is named.
///
/// # Errors
/// [`Rule::TextTotal`], with the node that goes beyond [`limits::TEXT`].
pub fn check_named_text(steps: StepsView<'_>, slots: SlotsView<'_>) -> Result<(), (usize, Rule)> {
    let mut left = limits::TEXT;
    for (index, node) in steps.nodes.iter().enumerate() {
        let mut named = length(node.header);
        for arg in node.args.of(steps.args).unwrap_or_default() {
            let slot = arg.slot.to_native().checked_sub(1).map_or(0, |slot| value(slots, slot));
            named = named.saturating_add(slot).saturating_add(parts(steps, slots, arg.parts));
        }
        named = named.saturating_add(parts(steps, slots, node.parts));
        left = left.checked_sub(named).ok_or((index, Rule::TextTotal))?;
    }
    Ok(())
}

fn parts(steps: StepsView<'_>, slots: SlotsView<'_>, range: Range) -> usize {
    let one = |part: &Part| match PartKind::from_number(part.kind) {
        Some(PartKind::Text) => length(TextRef { offset: part.first, length: part.second }),
        Some(PartKind::Slot) => value(slots, part.first.to_native()),
        Some(PartKind::Binding) => name(steps, part.first.to_native()),
        None => 0,
    };
    range.of(steps.parts).unwrap_or_default().iter().map(one).fold(0, usize::saturating_add)
}

/// The length of a public value.
fn value(slots: SlotsView<'_>, slot: u32) -> usize {
    slots.slots.get(slot as usize).map_or(0, |slot| length(slot.value))
}

/// The length of the name of a binding: one piece of text, the first of its node.
fn name(steps: StepsView<'_>, node: u32) -> usize {
    let arg = steps.nodes.get(node as usize).and_then(|node| node.args.of(steps.args)?.first());
    let part = arg.and_then(|arg| arg.parts.of(steps.parts)?.first());
    part.map_or(0, |part| part.second.to_native() as usize)
}

fn length(text: TextRef) -> usize {
    text.length.to_native() as usize
}
