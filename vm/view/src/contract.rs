//! A contract: what it is and what it may touch, for people and as JSON.

use crate::claimed::CLAIMS;
use crate::trusted::{steps, vouch_json};
use crate::{PlanJson, write_tree};
use jiff::Timestamp;
use opal_core::decorators::{Shape, value_decorator};
use opal_core::duration;
use opal_core::plan::Unscrubbed;
use opal_core::show::{PlanView, Style, Text, quoted, scalar_text, shown};
use opal_format::canonical::{self, CanonicalValue};
use opal_format::hash::{Digest, HashAlgorithm};
use opal_format::kind::{PlanType, ValueType};
use opal_format::program::{Constant, Import, ImportArg, ProgramView};
use opal_format::program_hash::program_hash;
use opal_format::reader::{Authenticated, Contract};
use opal_format::slots::Slot;
use opal_trust::vouch::Vouch;
use serde_json::{Value, json};
use std::cmp::Ordering;
use std::fmt::{self, Display};
use std::io::Write;

/// Values of one fact that a person is shown, unless all are asked for.
const FACTS_MAX: usize = 100;

/// Bytes of steps, and of values, that a person is shown, unless all are asked for.
pub const SHOWN_MAX: usize = 1 << 20;

/// The plan in a contract, with what is known of why values are not scrubbed.
#[must_use]
pub fn plan_view<'a>(contract: &Contract<'a>, known: &'a [Option<Unscrubbed>]) -> PlanView<'a> {
    PlanView {
        unscrubbed: known,
        plan_hash: Some(contract.header.plan_hash),
        contract_hash: Some(contract.contract_hash),
        ..PlanView::of(contract.header.target, contract.steps, contract.slots)
    }
}

fn time(seconds: i64) -> String {
    Timestamp::from_second(seconds).map_or_else(|_| seconds.to_string(), |time| time.to_string())
}

/// A bound argument as it would be written.
fn argument_text<'a>(value: &'a [u8]) -> impl Display + 'a {
    fmt::from_fn(move |out| match (canonical::string(value), canonical::check(value)) {
        (Some(text), _) => write!(out, "\"{}\"", quoted(text)),
        (None, Ok(ValueType::Array)) => out.write_str("an Array"),
        (None, Ok(ValueType::Map)) => out.write_str("a Map"),
        (None, Err(_)) => out.write_str("?"),
        (None, Ok(_)) => {
            let scalar = CanonicalValue::decode(value).ok().and_then(scalar_text);
            write!(out, "{}", shown(&scalar.unwrap_or_default(), false))
        }
    })
}

/// One import as it would be written; computed arguments are an ellipsis.
fn import_text<'a>(import: &'a Import, program: ProgramView<'a>) -> impl Display + 'a {
    fmt::from_fn(move |out| {
        let Some(decorator) = value_decorator(import.decorator.to_native()) else { return Ok(()) };
        write!(out, "@{}", decorator.name)?;
        let mut listed = 0_usize;
        for (position, arg) in import.args.of(program.import_args).unwrap_or_default().iter().enumerate() {
            let constant = usize::try_from(arg.constant.to_native()).ok().and_then(|index| program.constants.get(index));
            let constant = constant.filter(|_| arg.computed == 0);
            let text = constant.filter(|constant| constant.value_type == ValueType::String.number());
            let text = text.map(|constant| constant.text.of(program.text).unwrap_or_default());
            if let Some(text) = text.filter(|_| position == 0 && decorator.shape == Shape::Key) {
                write!(out, ".{}", shown(text, false))?;
                continue;
            }
            out.write_str(if listed == 0 { "(" } else { ", " })?;
            listed = listed.saturating_add(1);
            if arg.param != 0 {
                let name = decorator.params.get(usize::from(arg.param)).and_then(|param| param.names.first());
                write!(out, "{}=", name.copied().unwrap_or_default())?;
            }
            match (constant, text) {
                (_, Some(text)) => write!(out, "\"{}\"", quoted(text))?,
                (Some(constant), None) => write!(out, "{}", scalar(constant))?,
                (None, None) => out.write_str("…")?,
            }
        }
        if listed == 0 && decorator.shape == Shape::Call {
            out.write_str("(")?;
        }
        if listed > 0 || decorator.shape == Shape::Call { out.write_str(")") } else { Ok(()) }
    })
}

fn scalar(constant: &Constant) -> String {
    let scalar = constant.scalar.to_native();
    match ValueType::from_number(constant.value_type) {
        Some(ValueType::Bool) => (scalar != 0).to_string(),
        Some(ValueType::Duration) => duration::format(scalar),
        Some(ValueType::Float) => format!("{:?}", f64::from_bits(scalar.cast_unsigned())),
        _ => scalar.to_string(),
    }
}

/// The order in which imports are listed: by decorator, then argument by argument. What is equal is written alike.
fn import_order(program: &ProgramView<'_>, one: &Import, other: &Import) -> Ordering {
    let name = |import: &Import| value_decorator(import.decorator.to_native()).map(|decorator| decorator.name);
    let args = |import: &Import| import.args.of(program.import_args).unwrap_or_default();
    let constant = |arg: &ImportArg| usize::try_from(arg.constant.to_native()).ok().and_then(|at| program.constants.get(at));
    let argument = |one: &ImportArg, other: &ImportArg| {
        let fixed = |arg: &ImportArg| (arg.param, arg.computed);
        fixed(one).cmp(&fixed(other)).then_with(|| match (constant(one), constant(other)) {
            _ if one.computed != 0 => Ordering::Equal,
            (Some(one), Some(other)) => {
                let text = |constant: &Constant| constant.text.of(program.text);
                let scalar = (one.value_type, one.scalar.to_native()).cmp(&(other.value_type, other.scalar.to_native()));
                scalar.then_with(|| text(one).cmp(&text(other)))
            }
            _ => Ordering::Equal,
        })
    };
    let (listed, others) = (args(one), args(other));
    name(one)
        .cmp(&name(other))
        .then_with(|| {
            listed.iter().zip(others).map(|(one, other)| argument(one, other)).find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
        })
        .then_with(|| listed.len().cmp(&others.len()))
}

/// What the program may read, each once.
fn imports<'a>(program: ProgramView<'a>) -> Vec<&'a Import> {
    let mut out: Vec<&Import> = program.imports.iter().collect();
    out.sort_by(|one, other| import_order(&program, one, other));
    out.dedup_by(|one, other| import_order(&program, one, other).is_eq());
    out
}

fn key<'a>(contract: &Contract<'a>, slot: &Slot) -> impl Display + use<'a> {
    shown(slot.key.of(contract.slots.text).unwrap_or_default(), false)
}

fn unscrubbed<'a>(contract: &Contract<'a>, known: &'a [Option<Unscrubbed>]) -> impl Iterator<Item = (&'a Slot, &'static str)> + use<'a> {
    let view = plan_view(contract, known);
    let slots = contract.slots.slots.iter().enumerate();
    slots.filter_map(move |(index, slot)| Some((slot, view.unscrubbed(index)?.reason()?)))
}

/// The secrets, as far as a key that opens the contract tells of them. Without one it is said how many there are.
fn secrets<'a>(contract: &'a Contract<'_>, known: &'a [Option<Unscrubbed>]) -> Box<dyn Iterator<Item = Text<'a>> + 'a> {
    let all = || contract.slots.slots.iter().enumerate().filter(|(_, slot)| !slot.is_public());
    if known.is_empty() {
        let count = all().count();
        return one(match count {
            0 => "none".to_owned(),
            _ => format!("{count}; which of them are not scrubbed shows with a key that opens the contract (`--identity FILE`)"),
        });
    }
    let told = all().map(move |(index, slot)| {
        let value_type = ValueType::from_number(slot.value_type).map_or("", ValueType::name);
        let what = known.get(index).copied().flatten().and_then(Unscrubbed::reason);
        boxed(fmt::from_fn(move |out| match what {
            Some(reason) => write!(out, "{} ({value_type}, not scrubbed: {reason})", key(contract, slot)),
            None => write!(out, "{} ({value_type}, scrubbed unless shorter than 4 bytes)", key(contract, slot)),
        }))
    });
    or(told, "none")
}

/// What the contract says of the root of its values with a `regen_key`.
#[must_use]
pub fn regen_root(contract: &Contract<'_>) -> Option<String> {
    let bytes = contract.terms.regen_root?;
    Some(Digest { algorithm: HashAlgorithm::Sha256, bytes }.to_string())
}

/// The contract as one JSON document.
#[must_use]
pub fn document<'a>(plan: &Authenticated, contract: &Contract<'a>, vouches: &[Vouch], known: &'a [Option<Unscrubbed>]) -> PlanJson<'a> {
    let terms = &contract.terms;
    let arguments: Vec<Value> = terms
        .arguments
        .iter()
        .map(|argument| json!({ "name": argument.name, "value": argument_text(&argument.value).to_string() }))
        .collect();
    let mut out = PlanJson::new(plan_view(contract, known));
    out.insert(
        "header",
        json!({
            "format_version": format!("{}.{}.0", opal_format::kind::VERSION_MAJOR, contract.header.version_minor),
            "source_hash": contract.header.source_hash.to_string(), "plan_hash": contract.header.plan_hash.to_string(),
            "timestamp": time(contract.header.timestamp), "mode": "resolved", "hash_algorithm": contract.header.algorithm.name(),
        }),
    );
    out.insert("arguments", json!(arguments));
    out.insert(
        "terms",
        json!({
            "source": terms.source_name, "not_after": terms.not_after.map(time), "once": terms.once,
            "plan_type": PlanType::from_number(terms.plan_type).map(PlanType::name), "shell": terms.shell,
            "umask": format!("{:04o}", terms.umask), "directory": terms.directory, "pass_env": terms.pass_env, "no_public": terms.no_public,
            "instruction_set": terms.instruction_set, "regen_root": regen_root(contract),
        }),
    );
    let program = contract.program;
    out.insert_list("may_read", imports(program).into_iter().map(move |import| Box::new(import_text(import, program)) as Text<'a>));
    out.insert_shaping("shapes_plan");
    out.insert_unscrubbed("unscrubbed");
    if !known.is_empty() {
        out.insert_secrets("secrets");
    }
    out.insert("program", json!(program_hash(&contract.program).to_string()));
    out.insert("audience", json!(contract.audience.iter().map(ToString::to_string).collect::<Vec<_>>()));
    out.insert("signers", json!(plan.signers().map(|key| key.to_string()).collect::<Vec<_>>()));
    out.insert("vouches", json!(vouches.iter().map(|vouch| vouch_json(vouch, None)).collect::<Vec<_>>()));
    out.insert("recipients", json!(contract.recipients.iter().map(ToString::to_string).collect::<Vec<_>>()));
    out.insert_foreign("provenance", contract.provenance);
    out
}

/// The contract for people: what it is, what it may touch, its tree, of which no more than about `most` bytes.
///
/// # Errors
/// Those of `out`.
pub fn summary(
    to: &mut dyn Write,
    plan: &Authenticated,
    contract: &Contract<'_>,
    vouches: &[Vouch],
    known: &[Option<Unscrubbed>],
    style: Style,
    most: Option<usize>,
) -> std::io::Result<()> {
    let most_facts = if most.is_some() { FACTS_MAX } else { usize::MAX };
    // As a policy takes it.
    writeln!(to, "program {}", program_hash(&contract.program))?;
    for (label, mut values) in facts(plan, contract, vouches, known) {
        let mut label = format!("{label}:");
        for value in values.by_ref().take(most_facts) {
            writeln!(to, "{label:<14}{value}")?;
            label.clear();
        }
        let more = values.count();
        if more > 0 {
            writeln!(to, "{:<14}… {more} more are not shown", "")?;
        }
    }
    writeln!(to)?;
    write_tree(to, &plan_view(contract, known), style, most)
}

/// A name, with one text or several.
pub type Fact<'a> = (&'static str, Box<dyn Iterator<Item = Text<'a>> + 'a>);

/// What a contract is and may touch. Escaped.
#[must_use]
pub fn facts<'a>(
    plan: &'a Authenticated,
    contract: &'a Contract<'_>,
    vouches: &'a [Vouch],
    known: &'a [Option<Unscrubbed>],
) -> Vec<Fact<'a>> {
    let terms = &contract.terms;
    let program = contract.program;
    let kind = PlanType::from_number(terms.plan_type).map_or("", PlanType::name);
    let target = contract.header.target;
    let called = fmt::from_fn(move |out| {
        if target.is_empty() {
            return out.write_str("(script)");
        }
        write!(out, "{}(", shown(target.as_bytes(), false))?;
        for (at, argument) in terms.arguments.iter().enumerate() {
            let comma = if at > 0 { ", " } else { "" };
            write!(out, "{comma}{}={}", shown(argument.name.as_bytes(), false), argument_text(&argument.value))?;
        }
        out.write_str(")")
    });
    let source =
        fmt::from_fn(move |out| write!(out, "{} ({}) (claimed)", shown(terms.source_name.as_bytes(), false), contract.header.source_hash));
    let signers = plan.signers().map(|key| boxed(format!("{} ({})", key.fingerprint(), key)));
    let vouched = vouches.iter().map(|vouch| boxed(format!("{} (for the {})", vouch.signatory.fingerprint(), vouch.about.name())));
    let opened = contract.recipients.iter().map(|key| boxed(key.fingerprint()));
    let hosts = contract.audience.iter().map(|key| boxed(key.fingerprint()));
    let reads = imports(program).into_iter().map(move |import| boxed(import_text(import, program)));
    let passed = terms.pass_env.iter().map(|name| boxed(shown(name.as_bytes(), false)));
    let shaping = contract.slots.slots.iter().filter(|slot| slot.shapes()).map(|slot| boxed(key(contract, slot)));
    let unscrubbed = unscrubbed(contract, known)
        .map(move |(slot, reason)| boxed(fmt::from_fn(move |out| write!(out, "{} ({reason})", key(contract, slot)))));
    vec![
        fact("target", called),
        fact("type", format!("{kind}, {}", steps(contract))),
        fact("source", source),
        fact("made", format!("{} (claimed)", time(contract.header.timestamp))),
        fact("expires", terms.not_after.map_or_else(|| "never".to_owned(), time)),
        fact(
            "runs",
            if terms.once { "once on a host as root; as another user, once for this user" } else { "as often as wanted until it expires" },
        ),
        ("signed by", or(signers, "nobody")),
        ("vouched by", or(vouched, "nobody here")),
        ("opened by", or(opened, "nobody")),
        fact("shell", fmt::from_fn(move |out| write!(out, "{}, umask {:04o}", shown(terms.shell.as_bytes(), false), terms.umask))),
        fact(
            "starts in",
            fmt::from_fn(move |out| match terms.directory.as_str() {
                "" => out.write_str("the directory where it is started"),
                directory => write!(out, "{}", shown(directory.as_bytes(), false)),
            }),
        ),
        ("for hosts", or(hosts, "any")),
        ("regen root", or(regen_root(contract).into_iter().map(boxed), "none")),
        ("may read", or(reads, "nothing")),
        ("steps get", or(passed, "no promised variables")),
        fact("environment", "what is not promised is inherited, not verified (clean in a guarded run)"),
        ("shaped by", or(shaping, "no value")),
        ("not scrubbed", or(unscrubbed, "nothing")),
        ("secrets", secrets(contract, known)),
        fact("claimed", CLAIMS),
    ]
}

/// A name with one text, escaped.
pub fn fact<'a>(name: &'static str, text: impl Display + 'a) -> Fact<'a> {
    (name, one(text))
}

fn boxed<'a>(text: impl Display + 'a) -> Text<'a> {
    Box::new(text)
}

fn one<'a>(text: impl Display + 'a) -> Box<dyn Iterator<Item = Text<'a>> + 'a> {
    Box::new(std::iter::once(boxed(text)))
}

/// A list, or what is said where it is empty.
fn or<'a>(list: impl Iterator<Item = Text<'a>> + 'a, none: &'static str) -> Box<dyn Iterator<Item = Text<'a>> + 'a> {
    let mut list = list.peekable();
    if list.peek().is_some() { Box::new(list) } else { one(none) }
}
