//! `opal-vm run`: verifies a contract and runs the fresh plan.

use super::force;
use super::job::{Console, Job, Wishes, perform, run_id, show, signals, take_lock};
use super::output::{Output, to_stderr};
use super::verify::{drift_text, report_drift, warnings};
use crate::admission::{admit, read, replan};
use crate::lane::Lane;
use crate::refusal::Refusal;
use crate::trust::ledger::Ledger;
use clap::ArgMatches;
use serde_json::Value;

pub(super) fn run(matches: &ArgMatches, out: &Output, spare: Option<Lane>) -> Result<u8, Refusal> {
    let force = force::asked(matches)?;
    let signals = signals()?;
    let site = super::site()?;
    let request = super::options::request(matches)?;
    let file = read(&request)?;
    let admitted = admit(&file, &request, &site)?;
    for warning in warnings(&admitted, &site) {
        let _ = to_stderr(&out.painted(&warning));
    }
    if force.is_some() {
        site.policy.check_force(site.is_guarded())?;
    }
    let contract = &admitted.contract;
    let run_id = run_id(&site)?;
    let once = contract.terms.once || site.policy.single_use();
    let lock = take_lock(&site, &contract.header.plan_hash, &run_id, once, out)?;
    let ledger = if once { Some(Ledger::open(&site.paths)?) } else { None };
    if let Some(ledger) = &ledger {
        ledger.check_unused(&contract.contract_hash, None)?;
    }
    let replanned = replan(&admitted, &request, &site)?;
    let forced = !replanned.drift.is_empty();
    if forced {
        if !force::accepted(force.as_deref(), &replanned) {
            return report_drift(contract, &replanned, &request, force.as_deref(), out);
        }
        let text = drift_text("drift", contract, &replanned.drift);
        let _ = to_stderr(&out.painted(&format!("{text}forced: the fresh plan runs with the values that this host has now\n")));
    }
    let accepted = if forced { force::record(contract, &replanned) } else { Value::Null };
    let plan = replanned.plan.ok_or_else(|| Refusal::new("internal", 70, "a plan without drift is missing"))?;
    let job = Job {
        plan: &plan,
        seed: &replanned.seed,
        target: contract.header.target,
        plan_hash: contract.header.plan_hash,
        contract_hash: Some(contract.contract_hash),
        source_name: &contract.terms.source_name,
        shell: &contract.terms.shell,
        umask: contract.terms.umask,
        site: &site,
        run_id: &run_id,
        ledger: ledger.as_ref(),
        console: Console::default(),
        forced: accepted,
        wishes: Wishes {
            record: matches.get_one("record").cloned(),
            confirm: matches.get_flag("confirm") || (forced && force::on_terminal()),
            yes: matches.get_flag("yes"),
            quiet: false,
        },
    };
    if forced && (job.wishes.yes || !job.wishes.confirm) {
        let _ = to_stderr(&show(&job));
    }
    perform(&job, lock, spare, &signals, out)
}
