//! `opal-vm verify`: everything up to and including compare.
//!
//! Read for: everything in the process that runs a contract.

use super::DRIFT;
use super::boundary;
use super::ends;
use super::job::unconfined;
use super::output::{Output, unwritten};
use super::request::Verify;
use crate::admission::{Admitted, Replanned, Request, Site, admit, read, replan};
use crate::keys::Keys;
use clap::ArgMatches;
use opal_core::agreed::{Comparison, accepts};
use opal_core::code::Code;
use opal_core::drift::DriftCode;
use opal_core::refusal::Refusal;
use opal_core::show::escape;
use opal_exec::confine::{KeyFiles, host_json, probe};
use opal_trust::identity;
use opal_trust::judge::Basis;
use opal_view::again::new_plan_command;
use opal_view::drift::{DriftReport, WithDrift};
use opal_view::trusted::{basis, vouch_json, vouch_lines};
use opal_view::verified::verified;
use serde_json::json;
use std::io::IsTerminal as _;
use zeroize::Zeroizing;

pub(super) fn verify(matches: &ArgMatches, out: &Output) -> Result<u8, Refusal> {
    let mut site = super::site()?;
    let Verify { contract: request, reveal: revealed } = Verify::of(matches, &site)?;
    if revealed.is_some() && !std::io::stdout().is_terminal() {
        return Err(Refusal::new(Code::NoTerminal, "`--reveal` shows a value on a terminal only, and standard output is none"));
    }
    let plan = read(&request)?;
    let (mut planner, mut keys) = (super::planner()?, Keys::start()?);
    let admitted = admit(&plan, &request, &site, &mut planner, &mut keys)?;
    boundary::enter(&mut site, &admitted.contract.terms.directory)?;
    for warning in warnings(&admitted, &site) {
        out.say(&warning);
    }
    let (replanned, ()) = replan(&admitted, &request, &site, &mut planner, &mut keys, &out.secrets, |_, _, _| Ok(()))?;
    let comparison = &replanned.comparison;
    if let Some(key) = &revealed {
        reveal(key, comparison)?;
    }
    if !comparison.is_same() {
        return report_drift(&admitted, comparison, &request, None, out);
    }
    let keys = KeyFiles::of(identity::places(&site.paths, &request.identities));
    for warning in comparison.plan().map(|plan| unconfined(plan, &site, &keys)).transpose()?.unwrap_or_default() {
        out.say(&warning);
    }
    succeed(&admitted, &replanned, &site, out)
}

/// Shows one value of the fresh plan.
fn reveal(key: &str, comparison: &Comparison) -> Result<(), Refusal> {
    let unknown = || {
        Refusal::new(Code::Usage, format!("the fresh plan holds no value `{}`", escape(key.as_bytes(), false)))
            .help("give a key as the report of drift or `opal-vm inspect` prints it")
    };
    let plan = comparison.plan().ok_or_else(unknown)?;
    let keys: Vec<_> = plan.slots.slots.iter().map(|slot| escape(slot.key.of(&plan.slots.text).unwrap_or_default(), false)).collect();
    let exactly = keys.iter().position(|other| other == key);
    let at = exactly.or_else(|| keys.iter().position(|other| accepts(key, other))).ok_or_else(unknown)?;
    let value = plan.values.get(at).and_then(Option::as_ref).ok_or_else(unknown)?;
    let key = keys.get(at).map_or(key, String::as_str);
    let shown = Zeroizing::new(format!("{key} = {}\n", *Zeroizing::new(escape(&value.text(), false))));
    ends::unscrubbed(shown.as_bytes()).map_err(|error| unwritten(&error))
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
            "directory": site.base.to_string_lossy(), "guarded": site.is_guarded(), "host": host_json(probe()), "steps": opal_core::show::step_count(contract.steps), "values": contract.slots.slots.len(),
        }))?;
        return Ok(0);
    }
    let vouches = vouch_lines(&admitted.vouches, &admitted.vouchers);
    let text = verified(contract, &admitted.trust.basis, &vouches, replanned.source_checked, &starts(&contract.terms.directory, site));
    out.print(&text)?;
    Ok(0)
}

/// Where a run would start, and who says so.
fn starts(agreed: &str, site: &Site) -> String {
    let said = match (agreed, site.policy.start_directory(agreed)) {
        ("", Ok(Some(_))) => "as the policy says",
        ("", _) => "where it is started",
        _ => "as agreed",
    };
    format!("in {} ({said})", escape(site.base.as_os_str().as_encoded_bytes(), false))
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
    let command = new_plan_command(contract, &admitted.trust.assessments, &request.plan.path().display().to_string());
    let report = DriftReport::new(contract, comparison);
    let forcible = comparison.is_forcible();
    let missing = force.filter(|names| !names.is_empty()).map_or_else(Vec::new, |names| comparison.not_named(names));
    if out.json {
        let fields = json!({
            "schema": "opal/verify/v1", "verdict": "drift", "effects": "none",
            "forcible": forcible, "not_accepted": missing,
            "target": contract.header.target,
            "contract_hash": contract.contract_hash.to_string(), "plan_hash": contract.header.plan_hash.to_string(),
            "help": command,
        });
        out.document(&WithDrift::new(fields, &report))?;
    }
    out.stream(|out| {
        report.write(out, "error")?;
        if force.is_some() && !forcible {
            writeln!(out, "`--force` accepts other values for the agreed work, and more than values moved")?;
        } else if !missing.is_empty() {
            writeln!(out, "`--force` does not name: {}", missing.join(", "))?;
        }
        writeln!(out, "effects: none (contract and host differ: nothing was run)")?;
        if report.has(DriftCode::SourceChanged) {
            writeln!(out, "help: to go on with the source that the contract names, say where it is: `--source FILE`")?;
        }
        writeln!(out, "help: if the change is wanted, make a new contract and have it reviewed: {command}")
    });
    Ok(DRIFT)
}
