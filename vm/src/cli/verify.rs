//! `opal-vm verify`: everything up to and including compare.

use super::DRIFT;
use super::boundary;
use super::job::unconfined;
use super::output::{Output, to_stdout};
use super::request::Verify;
use crate::admission::{Admitted, Replanned, Request, Site, admit, read, replan};
use clap::ArgMatches;
use opal_core::agreed::{Comparison, accepts};
use opal_core::compare::{Drift, DriftCode};
use opal_core::refusal::{Refusal, place};
use opal_core::show::escape;
use opal_exec::confine::{host_json, probe};
use opal_format::canonical::CanonicalValue;
use opal_format::hash::HashAlgorithm;
use opal_format::reader::Contract;
use opal_trust::judge::Basis;
use opal_view::trusted::{basis, steps, vouch_json, vouch_lines};
use serde_json::json;
use std::fmt::Write as _;
use std::io::IsTerminal as _;
use zeroize::Zeroizing;

pub(super) fn verify(matches: &ArgMatches, out: &Output) -> Result<u8, Refusal> {
    let mut site = super::site()?;
    let Verify { contract: request, reveal: revealed } = Verify::of(matches, &site)?;
    if revealed.is_some() && !std::io::stdout().is_terminal() {
        return Err(Refusal::new("no_terminal", 64, "`--reveal` shows a value on a terminal only, and standard output is none"));
    }
    let plan = read(&request)?;
    let mut planner = super::planner()?;
    let admitted = admit(&plan, &request, &site, &mut planner)?;
    boundary::enter(&mut site, "")?;
    for warning in warnings(&admitted, &site) {
        out.say(&warning);
    }
    let (replanned, ()) = replan(&admitted, &request, &site, &mut planner, |_, _, _| Ok(()))?;
    let comparison = &replanned.comparison;
    if let Some(key) = &revealed {
        reveal(key, comparison)?;
    }
    if !comparison.is_same() {
        return report_drift(&admitted, comparison, &request, None, out);
    }
    for warning in comparison.plan().map(|plan| unconfined(plan, &site)).transpose()?.unwrap_or_default() {
        out.say(&warning);
    }
    succeed(&admitted, &replanned, &site, out)
}

/// Shows one value of the fresh plan.
fn reveal(key: &str, comparison: &Comparison) -> Result<(), Refusal> {
    let unknown = || {
        Refusal::new("usage", 64, format!("the fresh plan holds no value `{}`", escape(key.as_bytes(), false)))
            .help("give a key as the report of drift or `opal-vm inspect` prints it")
    };
    let plan = comparison.plan().ok_or_else(unknown)?;
    let keys: Vec<_> = plan.slots.slots.iter().map(|slot| escape(slot.key.of(&plan.slots.text).unwrap_or_default(), false)).collect();
    let exactly = keys.iter().position(|other| other == key);
    let at = exactly.or_else(|| keys.iter().position(|other| accepts(key, other))).ok_or_else(unknown)?;
    let value = plan.values.get(at).and_then(Option::as_ref).ok_or_else(unknown)?;
    let key = keys.get(at).map_or(key, String::as_str);
    let shown = Zeroizing::new(format!("{key} = {}\n", *Zeroizing::new(escape(&value.text(), false))));
    to_stdout(&shown)
}

fn succeed(admitted: &Admitted<'_>, replanned: &Replanned, site: &Site, out: &Output) -> Result<u8, Refusal> {
    let contract = &admitted.contract;
    if out.json {
        out.document(&json!({
            "schema": "opal/verify/v1", "verdict": "same", "effects": "none", "drift": [],
            "target": contract.header.target,
            "contract_hash": contract.contract_hash.to_string(), "plan_hash": contract.header.plan_hash.to_string(),
            "trust": basis(&admitted.trust.basis), "source_checked": replanned.source_checked,
            "vouches": admitted.vouches.iter().map(|vouch| vouch_json(vouch, Some(&admitted.vouchers))).collect::<Vec<_>>(),
            "guarded": site.is_guarded(), "host": host_json(probe()), "steps": opal_core::show::step_count(contract.steps), "values": contract.slots.slots.len(),
        }))?;
        return Ok(0);
    }
    let vouches: String = vouch_lines(&admitted.vouches, &admitted.vouchers).iter().map(|line| format!("  vouched:  {line}\n")).collect();
    let text = format!(
        "✓ contract verified: `{}` would run {} on this host exactly as agreed\n  contract: {}\n  plan:     {}\n  trust:    {}\n{vouches}  source:   {}\n  effects:  none\n",
        escape(contract.header.target.as_bytes(), false),
        steps(contract),
        contract.contract_hash,
        contract.header.plan_hash,
        basis(&admitted.trust.basis),
        if replanned.source_checked { "unchanged" } else { "not here, not compared" },
    );
    to_stdout(&text)?;
    Ok(0)
}

/// What a person should know although nothing is wrong.
pub(super) fn warnings(admitted: &Admitted<'_>, site: &Site) -> Vec<String> {
    let mut out = Vec::new();
    if matches!(admitted.trust.basis, Basis::Unsigned) {
        out.push("warning: nobody trusted has signed this contract\n".to_owned());
    }
    if let Some(missing) = admitted.unheld {
        out.push(format!("warning: not enforced: the process that plans is not confined: {missing}\n"));
    }
    if !site.policy.clean_environment(site.is_guarded()) {
        out.push("environment: inherited, not verified\n".to_owned());
    }
    out
}

/// Shows what moved and returns the exit status of drift. `force` is what `--force` named, which does not cover it all.
pub(super) fn report_drift(
    admitted: &Admitted<'_>,
    comparison: &Comparison,
    request: &Request,
    force: Option<&[String]>,
    out: &Output,
) -> Result<u8, Refusal> {
    let contract = &admitted.contract;
    let command = new_plan_command(admitted, &request.plan.path().display().to_string());
    let drift = &comparison.drift();
    let forcible = comparison.is_forcible();
    let missing = force.filter(|names| !names.is_empty()).map_or_else(Vec::new, |names| comparison.not_named(names));
    if out.json {
        let drift: Vec<_> = drift.iter().map(|drift| drift.to_json()).collect();
        out.document(&json!({
            "schema": "opal/verify/v1", "verdict": "drift", "effects": "none", "drift": drift,
            "forcible": forcible, "not_accepted": missing,
            "target": contract.header.target,
            "contract_hash": contract.contract_hash.to_string(), "plan_hash": contract.header.plan_hash.to_string(),
            "help": command,
        }))?;
    }
    let mut text = drift_text("error", contract, drift);
    if force.is_some() && !forcible {
        text.push_str("`--force` accepts other values for the agreed work, and more than values moved\n");
    } else if !missing.is_empty() {
        let _ = writeln!(text, "`--force` does not name: {}", missing.join(", "));
    }
    let _ = writeln!(text, "effects: none (contract and host differ: nothing was run)");
    if drift.iter().any(|one| one.code == DriftCode::SourceChanged) {
        let _ = writeln!(text, "help: to go on with the source that the contract names, say where it is: `--source FILE`");
    }
    let _ = writeln!(text, "help: if the change is wanted, make a new contract and have it reviewed: {command}");
    out.say(&text);
    Ok(DRIFT)
}

/// The report of drift; `label` begins each difference.
pub(super) fn drift_text(label: &str, contract: &Contract<'_>, drift: &[&Drift]) -> String {
    let mut text = String::new();
    for one in drift {
        let _ = writeln!(text, "{label}[{}]: {}", one.code.name(), one.message);
        describe(&mut text, contract, one);
    }
    text
}

fn describe(text: &mut String, contract: &Contract<'_>, drift: &Drift) {
    let source = escape(contract.terms.source_name.as_bytes(), false);
    if drift.span.line.to_native() > 0 {
        let _ = writeln!(text, "  --> {}", place(&source, &drift.span));
    }
    if let Some((was, now)) = &drift.values {
        let _ = writeln!(text, "  was `{was}`, is now `{now}`");
    }
    for step in &drift.reached {
        let _ = writeln!(text, "  step {} at {}", step.path, place(&source, &step.span));
        let line = |text: &mut String, label: &str, command: &Option<String>| {
            let shown = command.as_ref().map_or_else(|| "(no such step)".to_owned(), |command| command.replace('\n', "\n              ┊ "));
            let _ = writeln!(text, "    {label} {shown}");
        };
        line(text, "expected:", &step.expected);
        if step.actual.is_some() || drift.code == DriftCode::StructureChanged {
            line(text, "  actual:", &step.actual);
        }
    }
    if drift.more > 0 {
        let _ = writeln!(text, "  and {} more steps", drift.more);
    }
}

/// Seconds for which a contract holds without `--expires`.
const EXPIRES_DEFAULT: i64 = 7 * 24 * 3600;

/// The command that makes a new contract for the same work, under the same restrictions.
fn new_plan_command(admitted: &Admitted<'_>, plan: &str) -> String {
    let contract = &admitted.contract;
    let quote = |text: &str| {
        let quoted = opal_core::plan::quoted(text.as_bytes(), opal_format::kind::Position::Word, true);
        opal_core::show::visible(&String::from_utf8_lossy(&quoted))
    };
    let terms = &contract.terms;
    let mut out = format!("opalc {}", quote(&terms.source_name));
    // A script's own work has no name.
    if !contract.header.target.is_empty() {
        let _ = write!(out, " {}", quote(contract.header.target));
    }
    for name in &terms.pass_env {
        let _ = write!(out, " --pass-env {}", quote(name));
    }
    // What restricts the contract restricts the next one too.
    if terms.no_public {
        out.push_str(" --no-public");
    }
    if terms.once {
        out.push_str(" --once");
    }
    match terms.not_after.map(|end| end.saturating_sub(contract.header.timestamp)) {
        None => out.push_str(" --expires never"),
        Some(EXPIRES_DEFAULT) => {}
        Some(seconds) => {
            let _ = write!(out, " --expires {}", opal_core::duration::format(seconds.saturating_mul(1_000_000_000)));
        }
    }
    // Sealed to whoever signed is what happens by itself.
    if !matches!(contract.recipients.as_slice(), [only] if admitted.trust.assessments.iter().any(|one| one.signatory.key() == *only)) {
        for recipient in &contract.recipients {
            let _ = write!(out, " --recipient {}", quote(&recipient.to_string()));
        }
    }
    if contract.header.algorithm != HashAlgorithm::Sha256 {
        let _ = write!(out, " --hash-algo {}", contract.header.algorithm.name());
    }
    let _ = write!(out, " --resolve -o {}", quote(plan));
    // After `--`, since a parameter may have the name of an option.
    if !terms.arguments.is_empty() {
        out.push_str(" --");
    }
    for argument in &terms.arguments {
        let value = CanonicalValue::decode(&argument.value).ok().and_then(opal_core::show::scalar_text);
        if let Some(value) = value {
            let _ = write!(out, " {}", quote(&format!("--{}={}", argument.name, String::from_utf8_lossy(&value))));
        }
    }
    out
}
