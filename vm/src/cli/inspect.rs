//! `opal-vm inspect`: what a contract is and what it may touch. Needs no keys, network or source, and decides nothing.

use super::output::{Output, to_stdout};
use crate::admission::read;
use crate::decorators::{Shape, value_decorator};
use crate::duration;
use crate::program::verify::verify;
use crate::refusal::Refusal;
use crate::view::{PlanView, Style, escape, plan_json, scalar_text, tree};
use clap::ArgMatches;
use jiff::Timestamp;
use opal_format::canonical::CanonicalValue;
use opal_format::kind::{PlanType, Unscrubbed, ValueType};
use opal_format::program::{Import, ProgramView};
use opal_format::reader::{Authenticated, Contract};
use serde_json::{Value, json};
use std::fmt::Write as _;

pub(super) fn inspect(matches: &ArgMatches, out: &Output) -> Result<u8, Refusal> {
    let request = super::options::request(matches)?;
    let plan = read(&request)?;
    let file = request.plan.display().to_string();
    let contract = plan.decode().map_err(|error| Refusal::from_format(&error, &file))?;
    contract.check_plan_hash().map_err(|error| Refusal::from_format(&error, &file))?;
    verify(contract.program).map_err(|error| Refusal::from_verify(&error, &file))?;
    if out.json {
        out.document(&document(&plan, &contract))?;
    } else {
        to_stdout(&summary(&plan, &contract, out.style))?;
    }
    Ok(0)
}

fn plan_view<'a>(contract: &Contract<'a>) -> PlanView<'a> {
    PlanView {
        target: contract.header.target,
        steps: contract.steps,
        slots: contract.slots,
        deferred: &[],
        plan_hash: Some(contract.header.plan_hash),
        contract_hash: Some(contract.contract_hash),
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

fn signers(plan: &Authenticated) -> Vec<String> {
    plan.signers().map(|key| format!("{} ({})", key.fingerprint(), key)).collect()
}

/// The contract as one JSON document.
#[must_use]
pub fn document(plan: &Authenticated, contract: &Contract<'_>) -> Value {
    let terms = &contract.terms;
    let arguments: Vec<Value> =
        terms.arguments.iter().map(|argument| json!({ "name": argument.name, "value": argument_text(&argument.value) })).collect();
    let mut out = plan_json(&plan_view(contract));
    out.insert(
        "header".to_owned(),
        json!({
            "format_version": format!("{}.{}.0", opal_format::header::VERSION_MAJOR, contract.header.version_minor),
            "source_hash": contract.header.source_hash.to_string(), "plan_hash": contract.header.plan_hash.to_string(),
            "timestamp": time(contract.header.timestamp), "mode": "resolved", "hash_algorithm": contract.header.algorithm.name(),
        }),
    );
    out.insert("arguments".to_owned(), json!(arguments));
    out.insert(
        "terms".to_owned(),
        json!({
            "source": terms.source_name, "not_after": terms.not_after.map(time), "once": terms.once,
            "plan_type": PlanType::from_number(terms.plan_type).map(PlanType::name), "shell": terms.shell,
            "umask": format!("{:04o}", terms.umask), "pass_env": terms.pass_env, "no_public": terms.no_public,
            "instruction_set": terms.instruction_set,
        }),
    );
    out.insert("may_read".to_owned(), json!(imports(contract)));
    out.insert("shapes_plan".to_owned(), json!(shaping(contract)));
    let shown: Vec<Value> = unscrubbed(contract).into_iter().map(|(key, reason)| json!({ "key": key, "reason": reason })).collect();
    out.insert("unscrubbed".to_owned(), json!(shown));
    out.insert("signers".to_owned(), json!(plan.signers().map(|key| key.to_string()).collect::<Vec<_>>()));
    out.insert("recipients".to_owned(), json!(contract.recipients.iter().map(ToString::to_string).collect::<Vec<_>>()));
    let provenance = serde_json::from_str::<Value>(contract.provenance).unwrap_or(Value::Null);
    out.insert("provenance".to_owned(), provenance);
    Value::Object(out)
}

/// The contract for people: what it is, what it may touch, its tree.
#[must_use]
pub fn summary(plan: &Authenticated, contract: &Contract<'_>, style: Style) -> String {
    let terms = &contract.terms;
    let mut text = String::new();
    let mut line = |label: &str, value: &str| {
        let _ = writeln!(text, "{label:<14}{value}");
    };
    let listed: Vec<String> = terms
        .arguments
        .iter()
        .map(|argument| format!("{}={}", escape(argument.name.as_bytes(), false), argument_text(&argument.value)))
        .collect();
    let target = escape(contract.header.target.as_bytes(), false);
    line("target:", &if target.is_empty() { "(script)".to_owned() } else { format!("{target}({})", listed.join(", ")) });
    line("type:", &format!("{}, {}", PlanType::from_number(terms.plan_type).map_or("", PlanType::name), super::verify::count(contract)));
    line("source:", &format!("{} ({})", escape(terms.source_name.as_bytes(), false), contract.header.source_hash));
    line("made:", &time(contract.header.timestamp));
    line("expires:", &terms.not_after.map_or_else(|| "never".to_owned(), time));
    line("runs:", if terms.once { "once" } else { "as often as wanted until it expires" });
    let signed = signers(plan);
    line("signed by:", &if signed.is_empty() { "nobody".to_owned() } else { signed.join("\n              ") });
    let sealed: Vec<String> = contract.recipients.iter().map(opal_format::identity::PublicKey::fingerprint).collect();
    line("opened by:", &if sealed.is_empty() { "nobody".to_owned() } else { sealed.join(", ") });
    line("shell:", &format!("{}, umask {:04o}", escape(terms.shell.as_bytes(), false), terms.umask));
    let reads = imports(contract);
    line("may read:", &if reads.is_empty() { "nothing".to_owned() } else { reads.join("\n              ") });
    let promised = escape(terms.pass_env.join(", ").as_bytes(), false);
    line("steps get:", &if promised.is_empty() { "no promised variables".to_owned() } else { promised });
    line("environment:", "what is not promised is inherited, not verified (clean in a guarded run)");
    let shapes = shaping(contract);
    line("shaped by:", &if shapes.is_empty() { "no value".to_owned() } else { shapes.join(", ") });
    let shown: Vec<String> = unscrubbed(contract).into_iter().map(|(key, reason)| format!("{key} ({reason})")).collect();
    line("not scrubbed:", &if shown.is_empty() { "nothing".to_owned() } else { shown.join("\n              ") });
    text.push('\n');
    text.push_str(&tree(&plan_view(contract), style));
    text
}
