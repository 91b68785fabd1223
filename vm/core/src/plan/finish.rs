//! Turns the candidates that were used into the slot tables.

use super::Unscrubbed;
use super::candidates::Candidates;
use super::emit::Emitter;
use super::error::Cause;
use super::scrub_class::Constants;
use super::value::Scalar;
use super::{Draft, DraftValue, Plan};
use opal_format::canonical;
use opal_format::kind::ValueType;
use opal_format::limits;
use opal_format::named_text::check_named_text;
use opal_format::plan_type::derive_plan_type;
use opal_format::program::ProgramView;
use opal_format::record::{TextRef, u16_le};
use opal_format::regen::SubKeys;
use opal_format::seed::{Seed, SlotKeys};
use opal_format::slots::{SLOT_COMPUTED, SLOT_PUBLIC, SLOT_SHAPES, Slot, Slots};
use opal_format::steps::{OriginsView, Steps};
use std::collections::BTreeMap;
use zeroize::Zeroizing;

/// Takes the values that were used, in the order of their slots.
pub(super) fn values(candidates: &mut Candidates) -> Result<Vec<DraftValue>, Cause> {
    let used = std::mem::take(&mut candidates.used);
    let mut values = Vec::with_capacity(used.len());
    for candidate in used {
        let entry = candidates.entry_mut(candidate)?;
        values.push(DraftValue {
            key: std::mem::take(&mut entry.key),
            value: entry.value.take(),
            answer: entry.answer,
            decorator: entry.decorator,
            public: entry.public,
            shapes: entry.shapes,
            span: entry.span,
        });
    }
    Ok(values)
}

pub(super) fn draft(out: Emitter, values: Vec<DraftValue>, program: &ProgramView<'_>) -> Draft {
    let Emitter { mut steps, undecided, .. } = out;
    steps.origins = OriginsView::of(program).to_origins();
    Draft { steps, values, undecided }
}

impl Draft {
    /// The plan under a seed: commitments and display ids are made.
    ///
    /// # Errors
    /// Where the tables grow beyond what a plan can hold.
    pub fn seal(self, program: ProgramView<'_>, seed: &Seed) -> Result<Plan, Cause> {
        let (slots, unscrubbed) = seal_values(&self.values, program, seed)?;
        check_named_text(self.steps.view(), slots.view())
            .map_err(|_| Cause::Limit { what: "bytes of text and public values", limit: limits::TEXT as u64 })?;
        let values = self.values.into_iter().map(|value| value.value).collect();
        Ok(Plan { undecided: self.undecided, ..Plan::of(self.steps, slots, values, unscrubbed) })
    }

    /// The slot tables without what depends on a seed: enough for every digest of the work.
    ///
    /// # Errors
    /// As [`Draft::seal`].
    pub fn bare_slots(&self) -> Result<Slots, Cause> {
        let mut slots = Slots::default();
        for entry in &self.values {
            add(&mut slots, entry, &encoded(entry)?, None)?;
        }
        Ok(slots)
    }
}

impl Plan {
    /// A resolved plan of these tables.
    #[must_use]
    pub fn of(steps: Steps, slots: Slots, values: Vec<Option<Scalar>>, unscrubbed: Vec<Unscrubbed>) -> Self {
        let plan_type = derive_plan_type(steps.view());
        Self { steps, slots, values, unscrubbed, undecided: BTreeMap::new(), plan_type, sub_keys: SubKeys::default() }
    }
}

/// Slot tables under a seed, and why each value is not replaced in output.
///
/// # Errors
/// Where the tables grow beyond what a plan can hold.
pub fn seal_values(values: &[DraftValue], program: ProgramView<'_>, seed: &Seed) -> Result<(Slots, Vec<Unscrubbed>), Cause> {
    let constants = Constants::of(program);
    let keys = seed.keys();
    let mut slots = Slots::default();
    let mut reasons = Vec::with_capacity(values.len());
    for entry in values {
        add(&mut slots, entry, &encoded(entry)?, Some(&keys))?;
        reasons.push(constants.unscrubbed(entry.value.as_ref(), entry.public));
    }
    Ok((slots, reasons))
}

fn encoded(entry: &DraftValue) -> Result<Zeroizing<Vec<u8>>, Cause> {
    entry.value.as_ref().map_or_else(|| Ok(Zeroizing::new(Vec::new())), encode)
}

/// Adds the record of one value; its commitment and its display id under keys, or none.
fn add(slots: &mut Slots, entry: &DraftValue, encoded: &[u8], keys: Option<&SlotKeys>) -> Result<(), Cause> {
    let mut flags = 0;
    for (set, bit) in [(entry.public, SLOT_PUBLIC), (entry.shapes, SLOT_SHAPES), (entry.decorator == 0, SLOT_COMPUTED)] {
        flags |= if set { bit } else { 0 };
    }
    let value_type = entry.value.as_ref().map_or(ValueType::String, Scalar::value_type);
    let display = keys.map_or_else(String::new, |keys| keys.display_id(entry.key.as_bytes(), encoded));
    let key = put(&mut slots.text, entry.key.as_bytes())?;
    let display = put(&mut slots.text, display.as_bytes())?;
    let value = if entry.public { put(&mut slots.text, encoded)? } else { TextRef::EMPTY };
    slots.slots.push(Slot {
        key,
        display,
        value,
        commitment: keys.map_or([0; 32], |keys| keys.commit(entry.key.as_bytes(), value_type, encoded)),
        decorator: u16_le::from_native(entry.decorator),
        flags: u16_le::from_native(flags),
        value_type: value_type.number(),
        reserved: [0; 3],
        span: entry.span,
    });
    Ok(())
}

fn put(pool: &mut Vec<u8>, bytes: &[u8]) -> Result<TextRef, Cause> {
    let text = |length: usize| u32::try_from(length).map_err(|_| Cause::Internal("slot text"));
    let reference = TextRef::new(text(pool.len())?, text(bytes.len())?);
    pool.extend_from_slice(bytes);
    Ok(reference)
}

/// Canonical encoding of a scalar.
///
/// # Errors
/// A String that has none.
pub fn encode(scalar: &Scalar) -> Result<Zeroizing<Vec<u8>>, Cause> {
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
