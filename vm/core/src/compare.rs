//! What differs between a contract and what this host has (spec/language.md, "Drift").
//!
//! Here it is decided and said what each difference is about; the words are those of `opal_view::drift`. Commitments are compared in constant
//! time. What comes of it is a [`Comparison`](crate::agreed::Comparison), the only way to an [`Agreed`](crate::agreed::Agreed).
//!
//! Read for: nothing with an effect before compare has passed.

use crate::decorators::value_decorator;
use crate::drift::{DriftCode, DriftCodes};
use crate::plan::Cause;
use crate::show::escape;
use opal_format::record::Span;
use opal_format::seed::same_commitment;
use opal_format::slots::{Slot, SlotsView};
use std::collections::HashMap;

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drift {
    /// Its code.
    pub code: DriftCode,
    /// Key of the value, or name of the source.
    pub key: Option<String>,
    /// What it is about.
    pub about: About,
}

/// What a difference is about. Numbers are those of slots of the contract.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum About {
    /// A value is not what the contract was made with; the second number is that of the slot here.
    Value(usize, usize),
    /// A value is not what it was when the run started.
    Started(usize),
    /// A value is shown under an id that is not its own.
    Id(usize),
    /// There is no plan, maybe for want of a value that the contract has.
    NoPlan(Failed, Option<usize>),
    /// The steps are other work.
    Work,
    /// It is the same work, and shown otherwise.
    Shown,
    /// What whoever found it says.
    Told(String),
}

impl Drift {
    /// A difference that somebody else has found.
    #[must_use]
    pub const fn told(code: DriftCode, key: Option<String>, message: String) -> Self {
        Self { code, key, about: About::Told(message) }
    }

    pub(crate) const fn of_all(code: DriftCode, about: About) -> Self {
        Self { code, key: None, about }
    }
}

/// What moved, by kind.
#[derive(Clone, Debug, Default)]
pub(crate) struct Moved {
    /// Values that were read or generated.
    pub(crate) values: Vec<Drift>,
    /// Values that were computed. They move only with what they are computed from, which says more.
    pub(crate) computed: Vec<Drift>,
    /// Steps, or how they are shown.
    pub(crate) structure: Vec<Drift>,
}

/// The values of a contract that have another commitment, or type, among these.
pub(crate) fn moved(agreed: SlotsView<'_>, here: SlotsView<'_>) -> Moved {
    let now: HashMap<&[u8], (usize, &Slot)> =
        here.slots.iter().enumerate().filter_map(|(at, slot)| Some((slot.key.of(here.text)?, (at, slot)))).collect();
    let mut moved = Moved::default();
    for (number, slot) in agreed.slots.iter().enumerate() {
        // A value that is not read here any more is a change of structure, not of the value.
        let Some((at, fresh)) = slot.key.of(agreed.text).and_then(|key| now.get(key)) else { continue };
        if slot.value_type == fresh.value_type && same_commitment(&slot.commitment, &fresh.commitment) {
            continue;
        }
        let drift = Drift { code: code_of(slot), key: Some(name(agreed, slot)), about: About::Value(number, *at) };
        if slot.decorator.to_native() == 0 { moved.computed.push(drift) } else { moved.values.push(drift) }
    }
    moved
}

/// Why there is no fresh plan, as far as the report of drift goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// What happened.
    pub message: String,
    /// Key of the value on which it failed, if it was one.
    pub key: Option<String>,
    /// Whether an object is not there.
    pub missing: bool,
    /// Whether it was an object that could not be had as it was.
    pub object: bool,
    /// Whether a variable is not set.
    pub unset: bool,
    /// Where.
    pub span: Span,
}

impl Failed {
    /// As the planner of this process says it.
    #[must_use]
    pub fn new(cause: &Cause, span: Span) -> Self {
        let key = match cause {
            Cause::EnvUnset(name) => Some(format!("env.{name}")),
            Cause::File { path: key, .. } | Cause::Unreadable { key, .. } | Cause::NulByte(key) | Cause::ValueTooLong(key) => {
                Some(key.clone())
            }
            _ => None,
        };
        let missing = matches!(cause, Cause::File { missing: true, .. });
        let (object, unset) = (matches!(cause, Cause::File { .. }), matches!(cause, Cause::EnvUnset(_)));
        Self { message: cause.to_string(), key, missing, object, unset, span }
    }
}

/// Planning that failed where it succeeded before: the values that moved until then, then what it failed on.
pub(crate) fn failed(agreed: SlotsView<'_>, here: SlotsView<'_>, failed: &Failed) -> Moved {
    let mut moved = moved(agreed, here);
    let key = failed.key.as_ref();
    let found = key.and_then(|key| {
        // The contract's key may go on with options, such as a default; that of a promised variable starts otherwise.
        let same = |slot: &Slot| {
            let name = name(agreed, slot);
            let name = name.strip_prefix("pass_").unwrap_or(&name);
            name.strip_prefix(key.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('('))
        };
        agreed.slots.iter().enumerate().find(|(_, slot)| same(slot))
    });
    let code = match found {
        Some((_, slot)) if failed.missing => drift_of(slot).missing,
        Some((_, slot)) => code_of(slot),
        // Nothing of the kind was read when the contract was made.
        None if failed.missing => DriftCodes::FILE.missing,
        None if failed.object => DriftCodes::FILE.moved,
        None if failed.unset => DriftCode::EnvChanged,
        None => DriftCode::StructureChanged,
    };
    let key = found.map(|(_, slot)| name(agreed, slot)).or_else(|| key.map(|key| escape(key.as_bytes(), false)));
    let drift = Drift { code, key, about: About::NoPlan(failed.clone(), found.map(|(number, _)| number)) };
    // What was read, and only then failed, is said once.
    let other = |other: &Drift| drift.key.is_none() || other.key != drift.key;
    moved.values.retain(other);
    moved.computed.retain(other);
    if code == DriftCode::StructureChanged {
        moved.structure.push(drift)
    } else {
        moved.values.push(drift)
    }
    moved
}

/// The key of a slot, escaped.
pub(crate) fn name(slots: SlotsView<'_>, slot: &Slot) -> String {
    escape(slot.key.of(slots.text).unwrap_or_default(), false)
}

/// The code of a value that is not what it was.
#[must_use]
pub fn code_of(slot: &Slot) -> DriftCode {
    drift_of(slot).moved
}

/// The codes of the decorator that a value comes from. What was computed has those of no decorator.
fn drift_of(slot: &Slot) -> DriftCodes {
    value_decorator(slot.decorator.to_native()).map_or(DriftCodes::VALUE, |row| row.drift)
}
