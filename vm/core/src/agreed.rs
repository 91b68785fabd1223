//! What the executor takes: [`Agreed`] work, or [`Direct`] work, and nothing else.
//!
//! There is an [`Agreed`] if and only if
//!
//! 1. the `plan_hash` that the contract states is that of its STEPS and VALUES, recomputed here;
//! 2. the planner's own is the same, and so is its digest of what is shown beyond that;
//! 3. every slot that the contract says was read or generated was asked for under its key, and the value that this process has for it has the
//!    signed commitment;
//! 4. so has each computed value, hashed here;
//!
//! or where a value has another commitment, if the caller accepted that by its key or, shown it, by a yes ([`Consent`]). Then the fresh plan and the
//! signed steps are the same bytes in everything that is covered, and what runs is the copy that the signature covers, with values that this
//! process read. The planner is believed in nothing: it can refuse, and hide that a program does not yield the steps.
//!
//! Read for: nothing with an effect before compare has passed.

use crate::compare::{About, Drift, Failed, Moved, code_of, failed, moved, name};
use crate::drift::DriftCode;
use crate::event::AcceptedDrift;
use crate::hex;
use crate::plan::{Constants, Plan, Scalar, encode};
use crate::show::{Style, escape};
use opal_format::hash::{Digest, HashAlgorithm};
use opal_format::plan_hash::plan_hash;
use opal_format::reader::Contract;
use opal_format::record::TextRef;
use opal_format::seed::{Seed, same_commitment};
use opal_format::shown_hash::shown_hash;
use opal_format::slots::{Slot, Slots, SlotsView};

/// Work on which a trusted contract and this host's own derivation agree. [`Comparison::agree`] alone makes one.
#[derive(Debug)]
pub struct Agreed {
    plan: Plan,
    accepted: Vec<AcceptedDrift>,
}

impl Agreed {
    /// The steps of the contract, with the values of this host.
    #[must_use]
    pub const fn plan(&self) -> &Plan {
        &self.plan
    }

    /// What moved and was accepted.
    #[must_use]
    pub fn accepted(&self) -> &[AcceptedDrift] {
        &self.accepted
    }
}

/// That policy allows direct runs here. `Policy::check_direct` alone makes one (a test of the repository looks).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DirectAllowed(());

impl DirectAllowed {
    /// What the policy says.
    ///
    /// # Errors
    /// Its refusal.
    pub fn judged<E>(verdict: Result<(), E>) -> Result<Self, E> {
        verdict.map(|()| Self(()))
    }
}

/// Work that its caller wrote, where policy lets callers run what nobody agreed to.
#[derive(Debug)]
pub struct Direct {
    plan: Plan,
}

impl Direct {
    /// A plan that was made just now, in this process.
    #[must_use]
    pub const fn new(plan: Plan, _allowed: DirectAllowed) -> Self {
        Self { plan }
    }
}

/// What may run.
#[derive(Clone, Copy, Debug)]
pub enum Runnable<'a> {
    /// A contract's.
    Agreed(&'a Agreed),
    /// The caller's own.
    Direct(&'a Direct),
}

impl<'a> Runnable<'a> {
    /// The plan.
    #[must_use]
    pub const fn plan(self) -> &'a Plan {
        match self {
            Self::Agreed(agreed) => &agreed.plan,
            Self::Direct(direct) => &direct.plan,
        }
    }

    /// What moved and was accepted; `None` where nothing did.
    #[must_use]
    pub fn accepted_drift(self) -> Option<Vec<AcceptedDrift>> {
        match self {
            Self::Agreed(Agreed { accepted, .. }) if !accepted.is_empty() => Some(accepted.clone()),
            _ => None,
        }
    }
}

/// What a planner that is not believed says, with what this process knows itself.
#[derive(Debug)]
pub struct Found {
    /// The planner's own `plan_hash`.
    pub plan_hash: Digest,
    /// The planner's own `shown_hash`.
    pub shown_hash: Digest,
    /// The values, by slot.
    pub values: Vec<FoundValue>,
}

/// One value.
#[derive(Debug)]
pub struct FoundValue {
    /// The value: this process's own where it was asked for, the planner's where it was computed.
    pub value: Scalar,
    /// Which decorator was asked, and for which key; `None` for a computed value.
    pub asked: Option<(u16, String)>,
}

/// What the caller accepts of what moved. [`Consent::given`] alone makes one, and without one nothing that moved is agreed on.
#[derive(Debug)]
pub struct Consent {
    /// These keys.
    names: Vec<String>,
    /// All of it, which was shown and confirmed.
    confirmed: bool,
}

impl Consent {
    /// Nothing without `--force`; what it names; where it names nothing, all if `confirm` says yes: it shows what moved, and asks.
    ///
    /// # Errors
    /// Those of asking.
    pub fn given<E>(force: Option<&[String]>, confirm: impl FnOnce() -> Result<bool, E>) -> Result<Self, E> {
        let confirmed = force.is_some_and(<[_]>::is_empty) && confirm()?;
        Ok(Self { names: force.unwrap_or_default().to_vec(), confirmed })
    }
}

/// What a contract and this host's derivation have in common and what not.
#[derive(Debug)]
pub struct Comparison {
    /// The plan of this host. For the same work these are the contract's own tables.
    plan: Option<Plan>,
    /// What was read until planning failed, where there is no plan.
    read: Slots,
    /// Whether it is the same work, shown as it is.
    same: bool,
    moved: Moved,
    /// About the source.
    source: Vec<Drift>,
    /// Ids of the contract's values, as its reviewers saw them.
    was: Vec<(String, String)>,
}

impl Comparison {
    /// Compares what a planner found. `None` where its digests are not the contract's, or it contradicts itself: then its tables say more.
    #[must_use]
    pub fn of_found(contract: &Contract<'_>, seed: &Seed, found: Found) -> Option<Self> {
        let own = contract.check_plan_hash().ok()?;
        let shown = shown_hash(contract.header.algorithm, contract.steps, contract.slots).ok()?;
        if found.plan_hash != own || found.shown_hash != shown || found.values.len() != contract.slots.slots.len() {
            return None;
        }
        let constants = Constants::of(contract.program);
        let keys = seed.keys();
        let mut slots = Slots::default();
        let mut values = Vec::with_capacity(found.values.len());
        let mut unscrubbed = Vec::with_capacity(found.values.len());
        let mut ids = Vec::new();
        for (number, (slot, FoundValue { value, asked })) in contract.slots.slots.iter().zip(found.values).enumerate() {
            let key = slot.key.of(contract.slots.text)?;
            let encoded = encode(&value).ok()?;
            let public = if slot.is_public() { slot.value.of(contract.slots.text)? } else { &[] };
            // What the digests cover cannot differ where they are the same.
            let of = asked.as_ref().map_or((0, key), |(decorator, key)| (*decorator, key.as_bytes()));
            let fits = of == (slot.decorator.to_native(), key)
                && value.value_type().number() == slot.value_type
                && (!slot.is_public() || public == encoded.as_slice());
            if !fits {
                return None;
            }
            let display = keys.display_id(key, &encoded);
            let commitment = keys.commit(key, value.value_type(), &encoded);
            let shown = slot.display.of(contract.slots.text)?;
            if same_commitment(&commitment, &slot.commitment) && shown != display.as_bytes() {
                ids.push(Drift { code: DriftCode::ShownDiffers, key: Some(name(contract.slots, slot)), about: About::Id(number) });
            }
            let (key, display, public) =
                (put(&mut slots.text, key)?, put(&mut slots.text, display.as_bytes())?, put(&mut slots.text, public)?);
            slots.slots.push(Slot { key, display, value: public, commitment, ..*slot });
            unscrubbed.push(constants.unscrubbed(Some(&value), slot.is_public()));
            values.push(Some(value));
        }
        let plan = Plan::of(contract.steps.to_steps(), slots, values, unscrubbed);
        let moved = Moved { structure: ids, ..moved(contract.slots, plan.slots.view()) };
        let (same, was) = (moved.structure.is_empty(), ids_of(contract.slots));
        Some(Self { same, plan: Some(plan), read: Slots::default(), moved, source: Vec::new(), was })
    }

    /// Compares the tables that a planner gave. What differs is reported, and nothing can be agreed on.
    #[must_use]
    pub fn of_tables(contract: &Contract<'_>, plan: Plan) -> Self {
        let hash = |algorithm: HashAlgorithm| {
            let work = plan_hash(algorithm, &contract.terms.setting(contract.header.target), plan.steps.view(), plan.slots.view());
            (work.ok(), shown_hash(algorithm, plan.steps.view(), plan.slots.view()).ok())
        };
        let (work, shown) = hash(contract.header.algorithm);
        let same_work = work == Some(contract.header.plan_hash);
        let same_show = shown.is_some() && shown == shown_hash(contract.header.algorithm, contract.steps, contract.slots).ok();
        let mut moved = moved(contract.slots, plan.slots.view());
        if !same_work {
            moved.structure.push(Drift::of_all(DriftCode::StructureChanged, About::Work));
        } else if !same_show {
            moved.structure.push(Drift::of_all(DriftCode::ShownDiffers, About::Shown));
        }
        Self { plan: Some(plan), read: Slots::default(), same: false, moved, source: Vec::new(), was: Vec::new() }
    }

    /// There is no plan of this host. `read` is what was asked for until then.
    #[must_use]
    pub fn of_failure(contract: &Contract<'_>, read: Slots, why: &Failed) -> Self {
        let moved = failed(contract.slots, read.view(), why);
        Self { plan: None, read, same: false, moved, source: Vec::new(), was: Vec::new() }
    }

    /// Adds what is to be said of the source.
    pub fn note_source(&mut self, drift: Drift) {
        self.source.push(drift);
    }

    /// All that moved: inputs first, the source after them, structure last. Computed values are left out where something else moved, which says
    /// more.
    #[must_use]
    pub fn drift(&self) -> Vec<&Drift> {
        let values = if self.moved.values.is_empty() { &self.moved.computed } else { &self.moved.values };
        values.iter().chain(&self.source).chain(&self.moved.structure).collect()
    }

    /// Whether nothing moved.
    #[must_use]
    pub fn is_same(&self) -> bool {
        self.same && self.drift().is_empty()
    }

    /// The plan of this host, to show it.
    #[must_use]
    pub const fn plan(&self) -> Option<&Plan> {
        self.plan.as_ref()
    }

    /// The values of this host, as far as they were read.
    #[must_use]
    pub fn slots(&self) -> SlotsView<'_> {
        self.plan.as_ref().map_or_else(|| self.read.view(), |plan| plan.slots.view())
    }

    /// Whether values alone moved, of work that is the agreed one.
    #[must_use]
    pub fn is_forcible(&self) -> bool {
        self.same && self.plan.is_some() && self.source.is_empty() && self.all().all(|drift| drift.key.is_some())
    }

    /// The keys that moved and are not among `names`.
    #[must_use]
    pub fn not_named(&self, names: &[String]) -> Vec<&str> {
        let keys = self.all().filter_map(|drift| drift.key.as_deref());
        keys.filter(|key| !names.iter().any(|name| accepts(name, key))).collect()
    }

    fn all(&self) -> impl Iterator<Item = &Drift> {
        self.moved.values.iter().chain(&self.moved.computed)
    }

    /// Puts in place of what moved since the contract what moved since a run of it began, whose values had these commitments. Its caller accepted
    /// them then.
    pub fn since(&mut self, recorded: &[String]) {
        let Some(plan) = self.plan.as_ref().filter(|_| self.same) else { return };
        let known = std::mem::take(&mut self.moved);
        for (at, slot) in plan.slots.slots.iter().enumerate() {
            if recorded.get(at).is_some_and(|recorded| *recorded == hex::encode(&slot.commitment)) {
                continue;
            }
            let key = name(plan.slots.view(), slot);
            let known = known.values.iter().chain(&known.computed).find(|drift| drift.key.as_ref() == Some(&key));
            let drift = known.cloned().unwrap_or_else(|| Drift { code: code_of(slot), key: Some(key), about: About::Started(at) });
            if slot.decorator.to_native() == 0 { self.moved.computed.push(drift) } else { self.moved.values.push(drift) }
        }
    }

    /// Whether nothing moved, or values alone of which `consent` covers each, computed ones too.
    #[must_use]
    pub fn is_covered(&self, consent: &Consent) -> bool {
        if self.is_same() {
            return self.moved.computed.is_empty();
        }
        self.is_forcible() && (consent.confirmed || self.not_named(&consent.names).is_empty())
    }

    /// The agreed work, if this is it: nothing moved, or values alone, and `consent` covers each of them, computed ones too.
    ///
    /// # Errors
    /// The comparison, where it is not.
    pub fn agree(self, consent: &Consent) -> Result<Agreed, Box<Self>> {
        let covered = self.is_covered(consent);
        let accepted = self.accepted();
        match self.plan {
            Some(plan) if covered => Ok(Agreed { plan, accepted }),
            plan => Err(Box::new(Self { plan, ..self })),
        }
    }

    fn accepted(&self) -> Vec<AcceptedDrift> {
        let now = self.plan.as_ref().map(|plan| ids_of(plan.slots.view())).unwrap_or_default();
        let id = |ids: &[(String, String)], key: &str| ids.iter().find(|(other, _)| other == key).map(|(_, id)| id.clone());
        let one = |drift: &Drift| {
            let key = drift.key.clone().unwrap_or_default();
            AcceptedDrift { code: drift.code.name().to_owned(), was: id(&self.was, &key), now: id(&now, &key), key }
        };
        self.all().map(one).collect()
    }
}

/// Keys and ids of values.
fn ids_of(slots: SlotsView<'_>) -> Vec<(String, String)> {
    let text = |text: TextRef| escape(text.of(slots.text).unwrap_or_default(), false);
    slots.slots.iter().map(|slot| (text(slot.key), Style::Plain.placeholder(&text(slot.display)))).collect()
}

fn put(pool: &mut Vec<u8>, bytes: &[u8]) -> Option<TextRef> {
    let reference = TextRef::new(u32::try_from(pool.len()).ok()?, u32::try_from(bytes.len()).ok()?);
    pool.extend_from_slice(bytes);
    Some(reference)
}

/// Whether a name covers a key. It is that key with or without its options; a bare name is that of a variable, promised or not. Nothing names
/// several files at once.
#[must_use]
pub fn accepts(name: &str, key: &str) -> bool {
    let variable = if name.contains('.') { name.strip_prefix("env.") } else { Some(name) };
    let is = |name: String| key.strip_prefix(name.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('('));
    // `file.read("f")` stands for `file.read("f", public=true)`.
    let argument = name.strip_suffix(')').and_then(|name| key.strip_prefix(name)).is_some_and(|rest| rest.starts_with(", "));
    name == key || argument || variable.is_some_and(|name| is(format!("env.{name}")) || is(format!("pass_env.{name}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_accepts_its_own_key_only() {
        for (name, key, yes) in [
            ("A", "env.A", true),
            ("A", "env.A(default=1)", true),
            ("A", "pass_env.A", true),
            ("A", "env.AB", false),
            ("A", "file.A", false),
            ("env.A", "env.A(default=1)", true),
            ("env.A", "pass_env.A", true),
            ("env.A(default=1)", "env.A(default=1)", true),
            ("env.A(default=2)", "env.A(default=1)", false),
            ("env", "env.A", false),
            ("file.read(\"a\")", "file.read(\"a\")", true),
            ("file.read(\"a\")", "file.read(\"a\", public=true)", true),
            ("file.read(\"a\")", "file.read(\"ab\")", false),
            ("file.read", "file.read(\"a\")", false),
            ("pass_env", "pass_env.A", false),
            ("", "env.A", false),
        ] {
            assert_eq!(accepts(name, key), yes, "{name} {key}");
        }
    }
}
