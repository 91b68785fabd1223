//! The planner: interprets a verified program against reality and yields a plan. One planner serves both sides.
//!
//! It always halts: one fuel counter charges instructions and bytes produced, and steps, slots, depth and text are counted against the limits
//! of [`crate::program::table::limits`]. It neither recurses nor panics. Labels follow data: a value built from a secret stays a reference to
//! its slots. Tests: `vm/core/tests`, `compiler/tests/lower.rs`.

mod arithmetic;
mod candidates;
mod collections;
mod control;
mod emit;
mod error;
mod finish;
mod imports;
mod machine;
mod nodes;
mod reality;
mod resolve;
mod scalars;
mod scrub_class;
mod shell;
mod splice;
mod value;

pub use emit::{PROCESS_STRING_MAX, quote, quoted};
pub use error::{Cause, PlanError, STOPS};
pub use finish::{encode, seal_values};
pub use imports::written_key;
pub use machine::{draft, plan, plan_or_slots};
pub use reality::{FILE_MAX, FileFailure, Reality};
pub use resolve::{Asked, Given, Here, Request, Resolved, Resolver};
pub use scrub_class::{Constants, Unscrubbed, by_seed};
pub use splice::{Word, ends_in_colon, ends_in_name, holds_marks, starts_document};
pub use value::Scalar;

pub use arithmetic::parse as parse_scalar;

use opal_format::canonical::CanonicalValue;
use opal_format::kind::PlanType;
use opal_format::regen::{Regen, SubKeys};
use opal_format::seed::Seed;
use opal_format::slots::Slots;
use opal_format::steps::Steps;
use std::collections::BTreeMap;

/// How much to resolve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Cheap values only; expensive ones are deferred and go on as unknown.
    Quick,
    /// All values.
    Resolve,
}

/// What planning is given besides the program and reality.
pub struct Options<'a> {
    /// How much to resolve.
    pub mode: Mode,
    /// The plan's seed: fresh when a contract is made, unsealed when it is verified.
    pub seed: &'a Seed,
    /// Where values with a `regen_key` come from: a root when a contract is made, its sub-keys when it is verified.
    pub regen: Regen<'a>,
    /// Arguments of the entry function.
    pub arguments: &'a [CanonicalValue],
    /// Names promised to the steps (`--pass-env`).
    pub pass_env: &'a [String],
    /// Names that look like secrets and may be public all the same (`--public`). `None` where that was judged when the contract was made.
    pub public_names: Option<&'a [String]>,
    /// Treat every value as secret (`--no-public`).
    pub no_public: bool,
    /// Fuel; at most [`crate::program::table::limits::FUEL`].
    pub fuel: u64,
}

/// What planning is given besides the program and who answers its requests.
pub struct Inputs<'a> {
    /// See [`Options::mode`].
    pub mode: Mode,
    /// See [`Options::arguments`].
    pub arguments: &'a [CanonicalValue],
    /// See [`Options::pass_env`].
    pub pass_env: &'a [String],
    /// See [`Options::public_names`].
    pub public_names: Option<&'a [String]>,
    /// See [`Options::no_public`].
    pub no_public: bool,
    /// See [`Options::fuel`].
    pub fuel: u64,
}

impl<'a> Options<'a> {
    /// What does not depend on a seed.
    #[must_use]
    pub const fn inputs(&self) -> Inputs<'a> {
        let Self { mode, arguments, pass_env, public_names, no_public, fuel, .. } = *self;
        Inputs { mode, arguments, pass_env, public_names, no_public, fuel }
    }
}

/// What a program yields before a seed turns its values into commitments.
#[derive(Debug)]
pub struct Draft {
    /// The tree of steps.
    pub steps: Steps,
    /// The values that they use, by slot number.
    pub values: Vec<DraftValue>,
    /// See [`Plan::undecided`].
    pub undecided: BTreeMap<u32, u32>,
}

/// One value of a draft.
#[derive(Clone, Debug)]
pub struct DraftValue {
    /// Key of the slot.
    pub key: String,
    /// The value; `None` where a quick plan deferred it.
    pub value: Option<Scalar>,
    /// Number of the answer that it is; `None` for what was computed.
    pub answer: Option<u32>,
    /// Number of the value decorator; 0 for a computed value.
    pub decorator: u16,
    /// Whether it may be shown.
    pub public: bool,
    /// Whether it decided structure.
    pub shapes: bool,
    /// Where it was first needed.
    pub span: opal_format::record::Span,
}

/// Planning that ended without a draft.
#[derive(Debug)]
pub struct Unfinished {
    /// Why and where.
    pub error: PlanError,
    /// What was resolved until then.
    pub values: Vec<DraftValue>,
}

/// A plan: what a program yields for its arguments and one reality.
#[derive(Debug)]
pub struct Plan {
    /// The tree of steps.
    pub steps: Steps,
    /// The values that they use, by slot number.
    pub slots: Slots,
    /// What the slots hold; `None` where a quick plan deferred it.
    pub values: Vec<Option<Scalar>>,
    /// Why each of them is not replaced in output.
    pub unscrubbed: Vec<Unscrubbed>,
    /// Nodes of which a quick plan does not know whether, or how often, they run, each with the slot of the deferred value that decides it.
    pub undecided: BTreeMap<u32, u32>,
    /// Its shape.
    pub plan_type: PlanType,
    /// The sub-keys that values with a `regen_key` were derived from.
    pub sub_keys: SubKeys,
}

/// Planning that ended without a plan.
#[derive(Debug)]
pub struct Stopped {
    /// Why and where.
    pub error: PlanError,
    /// What was resolved until then.
    pub slots: Box<Slots>,
}

/// An operating system error without its number, for messages.
#[must_use]
pub fn os_reason(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_lowercase()
}
