//! `opal-vm inspect`: what a contract is and what it may touch. Needs no keys, network or source, and decides nothing.

use super::output::{Output, write_stdout};
use super::request::Inspect;
use crate::admission::read;
use crate::inputs::Opener;
use clap::ArgMatches;
use jiff::Timestamp;
use opal_core::decorators::{Shape, value_decorator};
use opal_core::duration;
use opal_core::program::verify::verify;
use opal_core::refusal::Refusal;
use opal_core::show::{PlanView, Style, escape, scalar_text};
use opal_exec::confine::{host_json, probe};
use opal_format::canonical::CanonicalValue;
use opal_format::hash::{Digest, HashAlgorithm};
use opal_format::kind::{PlanType, Unscrubbed, ValueType};
use opal_format::program::{Import, ProgramView};
use opal_format::reader::{Authenticated, Contract};
use opal_trust::guard::Caller;
use opal_trust::locations::HostPaths;
use opal_trust::vouch::{Vouch, Vouches};
use opal_view::{PlanJson, write_tree};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::io::Write;

/// Values of one fact that a person is shown, unless all are asked for.
const FACTS_MAX: usize = 100;

/// Bytes of steps, and of values, that a person is shown, unless all are asked for.
pub const SHOWN_MAX: usize = 1 << 20;

pub(super) fn inspect(matches: &ArgMatches, out: &Output) -> Result<u8, Refusal> {
    // No policy is asked: it decides nothing here, and may be what somebody looks into.
    let opener = Opener::new(Caller::from_environment().invoker(), HostPaths::from_environment().system_owner);
    let Inspect { contract: request, all } = Inspect::of(matches, &|path| opener.open(path))?;
    let plan = read(&request)?;
    let file = request.plan.path().display().to_string();
    let contract = plan.decode().map_err(|error| Refusal::from_format(&error, &file))?;
    contract.check_plan_hash().map_err(|error| Refusal::from_format(&error, &file))?;
    verify(contract.program).map_err(|error| Refusal::from_verify(&error, &file))?;
    let vouches = Vouches::read(&request.vouches)?.check(&contract.contract_hash, &contract.header.plan_hash)?;
    if out.json {
        let mut document = document(&plan, &contract, &vouches);
        document.insert("host", host_json(probe()));
        out.document(&document)?;
    } else {
        let most = if all { None } else { Some(SHOWN_MAX) };
        write_stdout(|to| {
            writeln!(to, "this host can enforce {}\n", probe().to_text())?;
            summary(to, &plan, &contract, &vouches, out.style, most)
        })?;
    }
    Ok(0)
}

/// The plan in a contract.
#[must_use]
pub fn plan_view<'a>(contract: &Contract<'a>) -> PlanView<'a> {
    PlanView {
        plan_hash: Some(contract.header.plan_hash),
        contract_hash: Some(contract.contract_hash),
        ..PlanView::of(contract.header.target, contract.steps, contract.slots)
    }
}

fn time(seconds: i64) -> String {
    Timestamp::from_second(seconds).map_or_else(|_| seconds.to_string(), |time| time.to_string())
}

fn argument_text(value: &[u8]) -> String {
    match CanonicalValue::decode(value) {
        Ok(CanonicalValue::String(bytes)) => format!("\"{}\"", escape(&bytes, false)),
        Ok(CanonicalValue::Array(_)) => "an Array".to_owned(),
        Ok(CanonicalValue::Map(_)) => "a Map".to_owned(),
        Ok(scalar) => escape(&scalar_text(scalar).unwrap_or_default(), false),
        Err(_) => "?".to_owned(),
    }
}

/// One import as it would be written; computed arguments are an ellipsis.
fn import_text(import: &Import, program: &ProgramView<'_>) -> String {
    let Some(decorator) = value_decorator(import.decorator.to_native()) else { return String::new() };
    let mut text = format!("@{}", decorator.name);
    let mut listed = Vec::new();
    for (position, arg) in import.args.of(program.import_args).unwrap_or_default().iter().enumerate() {
        let constant = usize::try_from(arg.constant.to_native()).ok().and_then(|index| program.constants.get(index));
        let value = match constant {
            Some(constant) if arg.computed == 0 => {
                let scalar = constant.scalar.to_native();
                match ValueType::from_number(constant.value_type) {
                    Some(ValueType::String) => {
                        let bytes = escape(constant.text.of(program.text).unwrap_or_default(), false);
                        if position == 0 && decorator.shape == Shape::Key {
                            let _ = write!(text, ".{bytes}");
                            continue;
                        }
                        format!("\"{bytes}\"")
                    }
                    Some(ValueType::Bool) => (scalar != 0).to_string(),
                    Some(ValueType::Duration) => duration::format(scalar),
                    Some(ValueType::Float) => format!("{:?}", f64::from_bits(scalar.cast_unsigned())),
                    _ => scalar.to_string(),
                }
            }
            _ => "…".to_owned(),
        };
        let name = decorator.params.get(usize::from(arg.param)).and_then(|param| param.names.first()).copied().unwrap_or_default();
        listed.push(if arg.param == 0 { value } else { format!("{name}={value}") });
    }
    if !listed.is_empty() || decorator.shape == Shape::Call {
        let _ = write!(text, "({})", listed.join(", "));
    }
    text
}

fn imports(contract: &Contract<'_>) -> Vec<String> {
    let mut out: Vec<String> = contract.program.imports.iter().map(|import| import_text(import, &contract.program)).collect();
    out.sort();
    out.dedup();
    out
}

fn key(contract: &Contract<'_>, slot: &opal_format::slots::Slot) -> String {
    escape(slot.key.of(contract.slots.text).unwrap_or_default(), false)
}

fn shaping(contract: &Contract<'_>) -> Vec<String> {
    contract.slots.slots.iter().filter(|slot| slot.shapes()).map(|slot| key(contract, slot)).collect()
}

fn unscrubbed(contract: &Contract<'_>) -> Vec<(String, &'static str)> {
    contract
        .slots
        .slots
        .iter()
        .filter_map(|slot| match Unscrubbed::from_number(slot.unscrubbed) {
            Some(Unscrubbed::No) | None => None,
            Some(reason) => Some((key(contract, slot), reason.name())),
        })
        .collect()
}

/// What the contract says of the root of its values with a `regen_key`.
#[must_use]
pub fn regen_root(contract: &Contract<'_>) -> Option<String> {
    let bytes = contract.terms.regen_root?;
    Some(Digest { algorithm: HashAlgorithm::Sha256, bytes }.to_string())
}

fn signers(plan: &Authenticated) -> Vec<String> {
    plan.signers().map(|key| format!("{} ({})", key.fingerprint(), key)).collect()
}

/// The contract as one JSON document.
#[must_use]
pub fn document<'a>(plan: &Authenticated, contract: &Contract<'a>, vouches: &[Vouch]) -> PlanJson<'a> {
    let terms = &contract.terms;
    let arguments: Vec<Value> =
        terms.arguments.iter().map(|argument| json!({ "name": argument.name, "value": argument_text(&argument.value) })).collect();
    let mut out = PlanJson::new(plan_view(contract));
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
            "umask": format!("{:04o}", terms.umask), "pass_env": terms.pass_env, "no_public": terms.no_public,
            "instruction_set": terms.instruction_set, "regen_root": regen_root(contract),
        }),
    );
    out.insert("may_read", json!(imports(contract)));
    out.insert("shapes_plan", json!(shaping(contract)));
    let shown: Vec<Value> = unscrubbed(contract).into_iter().map(|(key, reason)| json!({ "key": key, "reason": reason })).collect();
    out.insert("unscrubbed", json!(shown));
    out.insert("signers", json!(plan.signers().map(|key| key.to_string()).collect::<Vec<_>>()));
    out.insert("vouches", json!(vouches.iter().map(|vouch| super::verify::vouch_json(vouch, None)).collect::<Vec<_>>()));
    out.insert("recipients", json!(contract.recipients.iter().map(ToString::to_string).collect::<Vec<_>>()));
    let provenance = serde_json::from_str::<Value>(contract.provenance).unwrap_or(Value::Null);
    out.insert("provenance", provenance);
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
    style: Style,
    most: Option<usize>,
) -> std::io::Result<()> {
    let shown = if most.is_some() { FACTS_MAX } else { usize::MAX };
    for (label, values) in facts(plan, contract, vouches) {
        let more = values.len().saturating_sub(shown);
        let mut label = format!("{label}:");
        for value in values.into_iter().take(shown) {
            writeln!(to, "{label:<14}{value}")?;
            label.clear();
        }
        if more > 0 {
            writeln!(to, "{:<14}… {more} more are not shown", "")?;
        }
    }
    writeln!(to)?;
    write_tree(to, &plan_view(contract), style, most)
}

/// What a contract is and may touch: names, each with one text or several. Escaped.
#[must_use]
pub fn facts(plan: &Authenticated, contract: &Contract<'_>, vouches: &[Vouch]) -> Vec<(&'static str, Vec<String>)> {
    let terms = &contract.terms;
    let one = |text: &str| vec![text.to_owned()];
    let or = |list: Vec<String>, none: &str| if list.is_empty() { vec![none.to_owned()] } else { list };
    let listed: Vec<String> = terms
        .arguments
        .iter()
        .map(|argument| format!("{}={}", escape(argument.name.as_bytes(), false), argument_text(&argument.value)))
        .collect();
    let target = escape(contract.header.target.as_bytes(), false);
    let kind = PlanType::from_number(terms.plan_type).map_or("", PlanType::name);
    let unscrubbed = unscrubbed(contract).into_iter().map(|(key, reason)| format!("{key} ({reason})")).collect();
    vec![
        ("target", vec![if target.is_empty() { "(script)".to_owned() } else { format!("{target}({})", listed.join(", ")) }]),
        ("type", vec![format!("{kind}, {}", super::verify::count(contract))]),
        ("source", vec![format!("{} ({})", escape(terms.source_name.as_bytes(), false), contract.header.source_hash)]),
        ("made", vec![time(contract.header.timestamp)]),
        ("expires", vec![terms.not_after.map_or_else(|| "never".to_owned(), time)]),
        ("runs", one(if terms.once { "once" } else { "as often as wanted until it expires" })),
        ("signed by", or(signers(plan), "nobody")),
        (
            "vouched by",
            or(
                vouches.iter().map(|vouch| format!("{} (for the {})", vouch.signatory.fingerprint(), vouch.about.name())).collect(),
                "nobody here",
            ),
        ),
        ("opened by", or(contract.recipients.iter().map(opal_format::identity::PublicKey::fingerprint).collect(), "nobody")),
        ("shell", vec![format!("{}, umask {:04o}", escape(terms.shell.as_bytes(), false), terms.umask)]),
        ("regen root", or(regen_root(contract).into_iter().collect(), "none")),
        ("may read", or(imports(contract), "nothing")),
        ("steps get", or(terms.pass_env.iter().map(|name| escape(name.as_bytes(), false)).collect(), "no promised variables")),
        ("environment", one("what is not promised is inherited, not verified (clean in a guarded run)")),
        ("shaped by", or(shaping(contract), "no value")),
        ("not scrubbed", or(unscrubbed, "nothing")),
    ]
}
