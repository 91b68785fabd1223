//! `opalc diff`: what tells two contracts apart, in the words of a drift report.
//!
//! Each contract has a seed of its own, so secret values cannot be compared, and none are: public values, steps and terms are.

use super::failure::{DIFFERS, Failure};
use super::{console, contracts, options};
use crate::contract::first_difference;
use crate::view::{code, fenced};
use opal_core::compare::code_of;
use opal_core::decorators::{ValueDecorator, value_decorator};
use opal_core::drift::DriftCode;
use opal_core::show::{PathTable, PlanView, Style, Text, beginning, escape, node, path_of, public_value, scalar_text, shown};
use opal_format::canonical::CanonicalValue;
use opal_format::hash::{Canonical, HashAlgorithm};
use opal_format::identity::PublicKey;
use opal_format::kind::PlanType;
use opal_format::plan_hash::plan_hash;
use opal_format::reader::Contract;
use opal_format::seed::same_commitment;
use opal_format::slots::{Slot, SlotsView};
use opal_view::contract::regen_root;
use opal_view::drift::{REACHED_MAX, Reached, Told};
use opal_view::target_name;
use serde_json::json;
use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::fmt::{self, Display, Write as _};
use std::path::PathBuf;

/// Pairs of steps that are looked at for the shortest difference; above it, what lies between the common ends differs as a whole.
const PAIRS_MAX: usize = 2 << 20;

pub(super) fn command() -> clap::Command {
    options::command("opalc diff", "Say what tells two contracts apart: terms, values and steps")
        .arg(options::path("a", "A", "The contract that was").required(true))
        .arg(options::path("b", "B", "The contract that is").required(true))
        .arg(options::format(&["text", "json", "markdown"]))
        .arg(options::flag("json", "The same as `--format json`"))
        .after_help("Exit status: 0 for the same work, 3 for different work or values. Secret values are compared only where a regen root makes them.")
}

/// What tells two contracts apart.
struct Difference {
    same_work: bool,
    /// Name, was, is now.
    terms: Vec<(&'static str, String, String)>,
    /// Public values that moved, then the steps.
    drift: Vec<Told<'static>>,
    /// Keys of secrets that both hold, under different seeds.
    incomparable: Vec<String>,
}

impl Difference {
    /// Whether it is the same work with the same values, as far as they can be compared.
    fn is_none(&self) -> bool {
        self.same_work && self.drift.is_empty()
    }
}

/// Runs the subcommand.
pub(super) fn run(words: Vec<OsString>) -> Result<(), Failure> {
    let matches = options::parse(command(), words)?;
    let path = |name| matches.get_one::<PathBuf>(name).cloned().unwrap_or_default();
    let (first, second) = (path("a"), path("b"));
    let (plan_a, plan_b) = (contracts::authenticate(&first)?, contracts::authenticate(&second)?);
    let (a, b) = (contracts::decode(&plan_a, &first)?, contracts::decode(&plan_b, &second)?);
    let difference = compare(&a, &b).map_err(|error| Failure::format(&error, &second))?;
    if options::wants_json(&matches) {
        let about = |contract: &Contract<'_>| json!({ "contract_hash": contract.contract_hash.to_string(), "plan_hash": contract.header.plan_hash.to_string() });
        console::print_json(&json!({
            "schema": "opal/diff/v1",
            "verdict": if difference.is_none() { "same" } else { "different" },
            "a": about(&a),
            "b": about(&b),
            "terms": difference.terms.iter().map(|(name, was, now)| json!({ "name": name, "was": was, "now": now })).collect::<Vec<_>>(),
            "drift": difference.drift,
            "incomparable": difference.incomparable,
        }))?;
    } else if matches.get_one::<String>("format").is_some_and(|form| form == "markdown") {
        console::print(markdown(&difference, [&a, &b]).as_bytes())?;
    } else {
        console::print(text(&difference).as_bytes())?;
    }
    if difference.is_none() {
        return Ok(());
    }
    Err(Failure::Said(DIFFERS))
}

fn compare(a: &Contract<'_>, b: &Contract<'_>) -> Result<Difference, opal_format::error::FormatError> {
    // Under one algorithm, so that the name of the work can be compared.
    let again = plan_hash(a.header.algorithm, &b.terms.setting(b.header.target), b.steps, b.slots)?;
    let (old, new) = (named_by_key(a.slots), named_by_key(b.slots));
    let expected = PlanView::of(a.header.target, a.steps, SlotsView { slots: &old, ..a.slots });
    let actual = PlanView::of(b.header.target, b.steps, SlotsView { slots: &new, ..b.slots });
    let (mut drift, incomparable) = values(&expected, &actual, a.terms.regen_root == b.terms.regen_root);
    drift.extend(steps(&expected, &actual));
    Ok(Difference { same_work: again == a.header.plan_hash, terms: terms(a, b), drift, incomparable })
}

/// The slots, each shown by its key: the ids of one seed say nothing under another.
fn named_by_key(slots: SlotsView<'_>) -> Vec<Slot> {
    slots.slots.iter().map(|slot| Slot { display: slot.key, ..*slot }).collect()
}

fn values(old: &PlanView<'_>, new: &PlanView<'_>, same_root: bool) -> (Vec<Told<'static>>, Vec<String>) {
    let now: HashMap<&[u8], &Slot> = new.slots.slots.iter().map(|slot| (new.key(slot), slot)).collect();
    let before: HashSet<&[u8]> = old.slots.slots.iter().map(|slot| old.key(slot)).collect();
    let (mut drift, mut incomparable) = (Vec::new(), Vec::new());
    let mut put = |slot: &Slot, key: &[u8], what: &str, values| {
        let key = escape(key, false);
        let message = format!("`{key}` {what}");
        drift.push(Told { span: slot.span, values, ..Told::plain(code_of(slot), Some(key), message) });
    };
    for slot in old.slots.slots {
        let key = old.key(slot);
        let Some(fresh) = now.get(key) else {
            put(slot, key, "is no longer read", None);
            continue;
        };
        match (public_value(old, slot), public_value(new, fresh)) {
            (Some(was), Some(now)) if was != now || slot.value_type != fresh.value_type => {
                let text = |value: &[u8]| boxed(beginning(shown(value, false), TEXT_MAX));
                put(slot, key, "has another value", Some([text(&was), text(&now)]));
            }
            (Some(_), Some(_)) => {}
            (None, None) if slot.value_type != fresh.value_type => put(slot, key, "has another type", None),
            (None, None) if same_commitment(&slot.commitment, &fresh.commitment) => {}
            // Root and key make the value; what a computed argument is computed from is a slot of its own.
            (None, None) if lasts(key, slot) && lasts(key, fresh) => {
                if !same_root {
                    put(slot, key, "is derived from another regen root", None);
                }
            }
            (None, None) => incomparable.push(escape(key, false)),
            (None, Some(_)) => put(slot, key, "is public now", None),
            (Some(_), None) => put(slot, key, "is secret now", None),
        }
    }
    for slot in new.slots.slots {
        let key = new.key(slot);
        if !before.contains(key) {
            put(slot, key, "is read now", None);
        }
    }
    (drift, incomparable)
}

/// Whether a value has a `regen_key`. Values of the same decorators without one have the number of their resolution at the end of the key.
fn lasts(key: &[u8], slot: &Slot) -> bool {
    let number = key.rsplit(|byte| *byte == b'#').next().filter(|number| number.len() < key.len());
    let numbered = number.is_some_and(|number| !number.is_empty() && number.iter().all(u8::is_ascii_digit));
    value_decorator(slot.decorator.to_native()).is_some_and(ValueDecorator::is_seeded) && !numbered
}

/// The steps that were added, removed or changed, as one change of structure.
fn steps(old: &PlanView<'_>, new: &PlanView<'_>) -> Option<Told<'static>> {
    // Texts by their digest: together they may be far longer than the files.
    let texts = |plan: &PlanView<'_>| -> Vec<([u8; 16], u32)> {
        let leaf = |subtree: u32| subtree.min(2);
        plan.steps.nodes.iter().map(|one| (digest(node(plan, one, Style::Plain)), leaf(one.subtree.to_native()))).collect()
    };
    let (was, now) = (texts(old), texts(new));
    let text = |plan: &PlanView<'_>, index: usize| boxed(beginning(node(plan, &plan.steps.nodes[index], Style::Plain), TEXT_MAX));
    let (removed, added) = unmatched(&was, &now);
    let count = removed.len().max(added.len());
    if count == 0 {
        return None;
    }
    let side = |plan: &PlanView<'_>, list: &[usize]| -> Vec<(String, usize)> {
        list.iter().take(REACHED_MAX).map(|&index| (path_of(plan.steps.nodes, index), index)).collect()
    };
    let (mut gone, mut fresh) = (side(old, &removed), side(new, &added));
    let mut reached = Vec::new();
    // What stands at the same place in both is one step that changed.
    while reached.len() < REACHED_MAX && !(gone.is_empty() && fresh.is_empty()) {
        let old_first = (!gone.is_empty()).then(|| gone.remove(0));
        let place = old_first.as_ref().map(|(path, _)| path.clone());
        let at = fresh.iter().position(|(path, _)| place.as_ref().is_none_or(|place| place == path));
        let new_one = at.map(|at| fresh.remove(at));
        let place_of = |plan: &PlanView<'_>, index: usize| plan.steps.span(&plan.steps.nodes[index]);
        let span = old_first.as_ref().map(|(_, index)| place_of(old, *index)).or(new_one.as_ref().map(|(_, index)| place_of(new, *index)));
        reached.push(Reached {
            path: place.or_else(|| new_one.as_ref().map(|(path, _)| path.clone())).unwrap_or_default(),
            span: span.unwrap_or(opal_format::record::Span::NONE),
            expected: old_first.map(|(_, index)| text(old, index)),
            actual: new_one.map(|(_, index)| text(new, index)),
        });
    }
    let (old_paths, new_paths) = (PathTable::new(old.steps.nodes), PathTable::new(new.steps.nodes));
    let places: HashSet<String> = added.iter().map(|&index| new_paths.path(index)).collect();
    let changed = removed.iter().filter(|index| places.contains(&old_paths.path(**index))).count();
    let counted = [(added.len() - changed, "added"), (removed.len() - changed, "removed"), (changed, "changed")];
    let counted: Vec<String> = counted.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
    let message = format!("nodes: {}", counted.join(", "));
    let more = count.saturating_sub(reached.len());
    Some(Told { reached, more, ..Told::plain(DriftCode::StructureChanged, None, message) })
}

fn boxed(text: String) -> Text<'static> {
    Box::new(text)
}

/// Most bytes of one step, or value, in a report.
const TEXT_MAX: usize = 64 << 10;

/// What stands for a text where many are compared.
fn digest(text: impl Display) -> [u8; 16] {
    struct Hashed(Canonical);
    impl fmt::Write for Hashed {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            self.0.raw(text.as_bytes());
            Ok(())
        }
    }
    let mut hashed = Hashed(Canonical::new(HashAlgorithm::Sha256, "diff"));
    // A digest takes everything.
    let _ = write!(hashed, "{text}");
    *hashed.0.finish().bytes.first_chunk().expect("a digest has 32 bytes")
}

/// The indices that a longest common subsequence leaves over on each side.
fn unmatched<T: PartialEq>(a: &[T], b: &[T]) -> (Vec<usize>, Vec<usize>) {
    let start = a.iter().zip(b).take_while(|(a, b)| a == b).count();
    let end = a[start..].iter().rev().zip(b[start..].iter().rev()).take_while(|(a, b)| a == b).count();
    let (left, right) = (&a[start..a.len() - end], &b[start..b.len() - end]);
    if left.len().saturating_mul(right.len()) > PAIRS_MAX {
        return ((start..a.len() - end).collect(), (start..b.len() - end).collect());
    }
    let width = right.len() + 1;
    // The shorter side is shorter than 65,536, or there would be too many pairs.
    let mut lengths = vec![0_u16; (left.len() + 1) * width];
    for i in (0..left.len()).rev() {
        for j in (0..right.len()).rev() {
            lengths[i * width + j] = if left[i] == right[j] {
                lengths[(i + 1) * width + j + 1] + 1
            } else {
                lengths[(i + 1) * width + j].max(lengths[i * width + j + 1])
            };
        }
    }
    let (mut i, mut j, mut removed, mut added) = (0, 0, Vec::new(), Vec::new());
    while i < left.len() || j < right.len() {
        if i < left.len() && j < right.len() && left[i] == right[j] {
            (i, j) = (i + 1, j + 1);
        } else if j == right.len() || (i < left.len() && lengths[(i + 1) * width + j] >= lengths[i * width + j + 1]) {
            removed.push(start + i);
            i += 1;
        } else {
            added.push(start + j);
            j += 1;
        }
    }
    (removed, added)
}

fn terms(a: &Contract<'_>, b: &Contract<'_>) -> Vec<(&'static str, String, String)> {
    let all = |contract: &Contract<'_>| {
        let terms = &contract.terms;
        let arguments: Vec<String> =
            terms.arguments.iter().map(|argument| format!("{}={}", argument.name, argument_text(&argument.value))).collect();
        [
            ("target", contract.header.target.to_owned()),
            ("arguments", arguments.join(", ")),
            ("source", terms.source_name.clone()),
            ("source hash", contract.header.source_hash.to_string()),
            ("expires", terms.not_after.map_or_else(|| "never".to_owned(), contracts::time)),
            ("once", terms.once.to_string()),
            ("hosts", hosts(&contract.audience)),
            ("plan type", PlanType::from_number(terms.plan_type).map_or("", PlanType::name).to_owned()),
            ("shell", terms.shell.clone()),
            ("directory", directory(&terms.directory)),
            ("umask", format!("{:04o}", terms.umask)),
            ("promised variables", terms.pass_env.join(", ")),
            ("no public values", terms.no_public.to_string()),
            ("regen root", regen_root(contract).unwrap_or_else(|| "none".to_owned())),
        ]
    };
    let mut out: Vec<_> = all(a)
        .into_iter()
        .zip(all(b))
        .filter(|((_, was), (_, now))| was != now)
        .map(|((name, was), (_, now))| (name, escape(was.as_bytes(), false), escape(now.as_bytes(), false)))
        .collect();
    if let Some(table) = first_difference(a.program, b.program) {
        out.push(("program", String::new(), format!("differs in its {table}")));
    }
    out
}

fn hosts(audience: &[PublicKey]) -> String {
    if audience.is_empty() { "any".to_owned() } else { audience.iter().map(PublicKey::fingerprint).collect::<Vec<_>>().join(", ") }
}

fn directory(agreed: &str) -> String {
    if agreed.is_empty() { "where it is started".to_owned() } else { agreed.to_owned() }
}

fn argument_text(value: &[u8]) -> String {
    match CanonicalValue::decode(value) {
        Ok(CanonicalValue::String(bytes)) => format!("\"{}\"", String::from_utf8_lossy(&bytes)),
        Ok(value) => scalar_text(value).map_or_else(|| "…".to_owned(), |text| String::from_utf8_lossy(&text).into_owned()),
        Err(_) => "…".to_owned(),
    }
}

/// What became of a step.
const fn verb(step: &Reached<'_>) -> &'static str {
    match (&step.expected, &step.actual) {
        (Some(_), Some(_)) => "is changed",
        (Some(_), None) => "is removed",
        (None, _) => "is added",
    }
}

/// The difference as a comment on a change: what a person asks first, first.
fn markdown(difference: &Difference, [a, b]: [&Contract<'_>; 2]) -> String {
    let mut out = String::new();
    let verdict = if difference.same_work { "the same work" } else { "different work" };
    let _ = writeln!(out, "### Plans of {}: {verdict}\n", code(&target_name(b.header.target)));
    for (name, contract) in [("was", a), ("is now", b)] {
        let _ = writeln!(out, "- {name} `{}`, plan hash `{}`", contract.contract_hash, contract.header.plan_hash);
    }
    let (structure, inputs): (Vec<&Told<'_>>, Vec<&Told<'_>>) =
        difference.drift.iter().partition(|drift| drift.code == DriftCode::StructureChanged);
    let heading = |out: &mut String, name: &str| {
        let _ = writeln!(out, "\n#### {name}\n");
    };
    if !inputs.is_empty() {
        heading(&mut out, "Inputs");
    }
    for drift in inputs {
        let key = code(drift.key.as_deref().unwrap_or_default());
        let _ = match &drift.values {
            Some([was, now]) => {
                writeln!(out, "- {key} (`{}`): was {}, is now {}", drift.code.name(), code(&was.to_string()), code(&now.to_string()))
            }
            None => writeln!(out, "- `{}`: {}", drift.code.name(), code(&drift.message)),
        };
    }
    if !structure.is_empty() {
        heading(&mut out, "Steps");
    }
    for drift in structure {
        let mut shown = String::new();
        for step in &drift.reached {
            let _ = writeln!(shown, "@@ step {} {} @@", step.path, verb(step));
            for (sign, command) in [('-', &step.expected), ('+', &step.actual)] {
                for line in command.iter().map(ToString::to_string).collect::<String>().split('\n').filter(|_| command.is_some()) {
                    let _ = writeln!(shown, "{sign} {line}");
                }
            }
        }
        if drift.more > 0 {
            let _ = writeln!(shown, "@@ and {} more steps @@", drift.more);
        }
        out.push_str(&fenced("diff", &shown));
    }
    if !difference.terms.is_empty() {
        heading(&mut out, "Terms");
    }
    for (name, was, now) in &difference.terms {
        let _ = if was.is_empty() {
            writeln!(out, "- {name}: {now}")
        } else {
            writeln!(out, "- {name}: was {}, is now {}", code(was), code(now))
        };
    }
    if !difference.incomparable.is_empty() {
        let keys: Vec<String> = difference.incomparable.iter().take(20).map(|key| code(key)).collect();
        let more = difference.incomparable.len() - keys.len();
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let _ = writeln!(out, "\nSecret under a seed of its own in each, so not compared: {}{more}", keys.join(", "));
    }
    out
}

fn text(difference: &Difference) -> String {
    let mut text = String::new();
    text.push_str(if difference.same_work { "same work\n" } else { "different work\n" });
    // What was asked for and what was read come first, then what that did to the steps, then everything else.
    let (asked, others): (Vec<_>, Vec<_>) = difference.terms.iter().partition(|(name, ..)| matches!(*name, "target" | "arguments"));
    let term = |text: &mut String, (name, was, now): &(&str, String, String)| {
        let _ = if was.is_empty() { writeln!(text, "{name}: {now}") } else { writeln!(text, "{name}: was `{was}`, is now `{now}`") };
    };
    for asked in asked {
        term(&mut text, asked);
    }
    for drift in &difference.drift {
        let _ = writeln!(text, "{}: {}", drift.code.name(), drift.message);
        if let Some([was, now]) = &drift.values {
            let _ = writeln!(text, "  was `{was}`, is now `{now}`");
        }
        for step in &drift.reached {
            let _ = writeln!(text, "  step {} at line {} {}", step.path, step.span.line.to_native(), verb(step));
            for (label, command) in [("expected:", &step.expected), ("  actual:", &step.actual)] {
                let shown = command
                    .as_ref()
                    .map_or_else(|| "(no such step)".to_owned(), |text| text.to_string().replace('\n', "\n              ┊ "));
                let _ = writeln!(text, "    {label} {shown}");
            }
        }
        if drift.more > 0 {
            let _ = writeln!(text, "  and {} more steps", drift.more);
        }
    }
    for other in others {
        term(&mut text, other);
    }
    if !difference.incomparable.is_empty() {
        let _ = writeln!(text, "cannot be compared, each being secret under a seed of its own: {}", difference.incomparable.join(", "));
    }
    text
}
