//! `shown_hash`: the name of what views show of a plan beyond what `plan_hash` covers (spec/plan-format.md, "shown_hash").
//!
//! It covers where each node stands, control-flow nodes with their arguments, the plan type, and what slots are used for. Headers and spans
//! are claims of the file; nothing covers them. Display ids and commitments are keyed, so whoever has the seed compares them.

use crate::crypto::hash::{Canonical, Digest, HashAlgorithm};
use crate::read::error::FormatError;
use crate::read::kind::NodeKind;
use crate::read::plan_hash::{Numbering, hash_arguments};
use crate::read::plan_type::derive_plan_type;
use crate::read::slots::SlotsView;
use crate::read::steps::StepsView;

/// Computes `shown_hash`, in time linear in the tables.
///
/// # Errors
/// [`FormatError::Table`] where a reference leaves its table; never for tables that a [`Contract`](crate::read::reader::Contract) holds.
pub fn shown_hash(algorithm: HashAlgorithm, steps: StepsView<'_>, slots: SlotsView<'_>) -> Result<Digest, FormatError> {
    let mut hash = Canonical::new(algorithm, "v1/shown");
    hash.u8(derive_plan_type(steps).number()).length(steps.nodes.len());
    let numbering = Numbering::new(steps);
    for (index, node) in steps.nodes.iter().enumerate() {
        let kind = node.kind.to_native();
        hash.u32(kind.into()).u32(node.subtree.to_native()).u32(node.flags.to_native().into());
        if kind >= NodeKind::For.number() {
            hash_arguments(&mut hash, steps, &numbering, index, node)?;
        }
    }
    hash.length(slots.slots.len());
    for slot in slots.slots {
        hash.u32(slot.decorator.to_native().into()).u32(slot.flags.to_native().into());
    }
    Ok(hash.finish())
}
