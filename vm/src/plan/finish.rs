//! Turns the candidates that were used into the slot tables.

use super::candidates::Candidates;
use super::emit::Emitter;
use super::error::Cause;
use super::value::Scalar;
use super::{Options, Plan};
use opal_format::canonical;
use opal_format::kind::{NodeKind, PlanType, Unscrubbed, ValueType};
use opal_format::program::ProgramView;
use opal_format::record::{TextRef, u16_le};
use opal_format::regen::SubKeys;
use opal_format::slots::{SLOT_COMPUTED, SLOT_PUBLIC, SLOT_SHAPES, Slot, Slots};
use opal_format::steps::Steps;
use std::collections::HashSet;
use zeroize::Zeroizing;

/// Values shorter than this are not scrubbed from output: it would wreck it and hide nothing.
const SCRUB_MIN: usize = 4;

pub(super) fn finish(
    mut candidates: Candidates,
    out: Emitter,
    program: ProgramView<'_>,
    options: &Options<'_>,
    matrix: bool,
) -> Result<Plan, Cause> {
    let constants: HashSet<&[u8]> = program
        .constants
        .iter()
        .filter(|constant| constant.value_type == ValueType::String.number())
        .filter_map(|constant| constant.text.of(program.text))
        .collect();
    let mut slots = Slots::default();
    let keys = options.seed.keys();
    let mut values = Vec::with_capacity(candidates.used.len());
    for candidate in std::mem::take(&mut candidates.used) {
        let entry = candidates.entry_mut(candidate)?;
        let encoded = match &entry.value {
            Some(scalar) => encode(scalar)?,
            None => Zeroizing::new(Vec::new()),
        };
        let mut flags = 0;
        for (set, bit) in [(entry.public, SLOT_PUBLIC), (entry.shapes, SLOT_SHAPES), (entry.decorator == 0, SLOT_COMPUTED)] {
            flags |= if set { bit } else { 0 };
        }
        let value_type = entry.value.as_ref().map_or(ValueType::String, Scalar::value_type);
        let unscrubbed = match &entry.value {
            _ if entry.public => Unscrubbed::Public,
            Some(Scalar::String(bytes)) if bytes.len() < SCRUB_MIN => Unscrubbed::Short,
            Some(Scalar::String(bytes)) if constants.contains(bytes.as_slice()) => Unscrubbed::Constant,
            Some(Scalar::String(_)) | None => Unscrubbed::No,
            Some(_) => Unscrubbed::Scalar,
        };
        let display = keys.display_id(entry.key.as_bytes(), &encoded);
        let key = put(&mut slots.text, entry.key.as_bytes())?;
        let display = put(&mut slots.text, display.as_bytes())?;
        let value = if entry.public { put(&mut slots.text, &encoded)? } else { TextRef::EMPTY };
        slots.slots.push(Slot {
            key,
            display,
            value,
            commitment: keys.commit(entry.key.as_bytes(), value_type, &encoded),
            decorator: u16_le::from_native(entry.decorator),
            flags: u16_le::from_native(flags),
            value_type: value_type.number(),
            unscrubbed: unscrubbed.number(),
            reserved: u16_le::from_native(0),
            span: entry.span,
        });
        values.push(entry.value.take());
    }
    let Emitter { steps, undecided, .. } = out;
    let plan_type = plan_type(&steps, matrix);
    Ok(Plan { steps, slots, values, undecided, plan_type, sub_keys: SubKeys::default() })
}

/// `campaign` before `matrix` before `sequence` before `atomic`.
fn plan_type(steps: &Steps, matrix: bool) -> PlanType {
    let kinds = || steps.nodes.iter().filter_map(|node| NodeKind::from_number(node.kind.to_native()));
    if kinds().any(|kind| kind == NodeKind::Try) {
        PlanType::Campaign
    } else if matrix {
        PlanType::Matrix
    } else if kinds().filter(|kind| !kind.is_flow() && !kind.is_operation() && *kind != NodeKind::Transform).take(2).count() == 1 {
        PlanType::Atomic
    } else {
        PlanType::Sequence
    }
}

fn put(pool: &mut Vec<u8>, bytes: &[u8]) -> Result<TextRef, Cause> {
    let text = |length: usize| u32::try_from(length).map_err(|_| Cause::Internal("slot text"));
    let reference = TextRef::new(text(pool.len())?, text(bytes.len())?);
    pool.extend_from_slice(bytes);
    Ok(reference)
}

/// Canonical encoding of a scalar.
fn encode(scalar: &Scalar) -> Result<Zeroizing<Vec<u8>>, Cause> {
    // Room for all of it, since a buffer that grew would leave secrets behind.
    let mut out = Zeroizing::new(Vec::with_capacity(scalar.text_length().saturating_add(16)));
    match scalar {
        Scalar::String(bytes) => canonical::put_string(&mut out, bytes).map_err(|_| Cause::Internal("a String that has no encoding"))?,
        Scalar::Int(int) => canonical::put_int(&mut out, *int),
        Scalar::Float(float) => canonical::put_float(&mut out, *float),
        Scalar::Bool(bool) => canonical::put_bool(&mut out, *bool),
        Scalar::Duration(nanoseconds) => canonical::put_duration(&mut out, *nanoseconds),
    }
    Ok(out)
}
