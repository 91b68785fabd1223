//! How much text the nodes of a plan name, which may be more than its file holds: nodes share texts of their program, and values. Whoever shows,
//! hashes or compares a plan goes through all of it, so it has a limit.

use crate::read::error::Rule;
use crate::read::limits;
use crate::read::slots::SlotsView;
use crate::read::steps::{Piece, StepsView};

/// Counts headers, verbatim text, public values and the names of bindings, each as often as it is named.
///
/// # Errors
/// [`Rule::TextTotal`], with the node that goes beyond [`limits::TEXT`].
pub fn check_named_text(steps: StepsView<'_>, slots: SlotsView<'_>) -> Result<(), (usize, Rule)> {
    let value = |slot: u32| slots.slots.get(slot as usize).map_or(0, |slot| slot.value.length.to_native() as usize);
    let mut left = limits::TEXT;
    for (index, node) in steps.nodes.iter().enumerate() {
        let scalars = steps.args_of(node).iter().filter_map(|arg| arg.slot.to_native().checked_sub(1)).map(value);
        let pieces = steps.pieces(node).map(|piece| match piece {
            Piece::Text(text) => text.len(),
            Piece::Slot(slot, _) => value(slot),
            Piece::Binding(node, _) => steps.binding_name(node).len(),
            Piece::Missing => 0,
        });
        let named = scalars.chain(pieces).fold(steps.header(node).len(), usize::saturating_add);
        left = left.checked_sub(named).ok_or((index, Rule::TextTotal))?;
    }
    Ok(())
}
