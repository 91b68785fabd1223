//! `opal-vm run`: verifies a contract and runs the fresh plan.

use super::job::{Console, Job, Wishes, perform, run_id, signals, take_lock};
use super::output::{Output, to_stderr};
use super::verify::{report_drift, warnings};
use crate::admission::{admit, read, replan};
use crate::lane::Lane;
use crate::refusal::Refusal;
use crate::trust::ledger::Ledger;
use clap::ArgMatches;

pub(super) fn run(matches: &ArgMatches, out: &Output, spare: Option<Lane>) -> Result<u8, Refusal> {
    let signals = signals()?;
    let site = super::site()?;
    let request = super::options::request(matches)?;
    let file = read(&request)?;
    let admitted = admit(&file, &request, &site)?;
    for warning in warnings(&admitted, &site) {
        let _ = to_stderr(&out.painted(&warning));
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
    if !replanned.drift.is_empty() {
        return report_drift(contract, &replanned.drift, &request, out);
    }
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
        wishes: Wishes {
            record: matches.get_one("record").cloned(),
            confirm: matches.get_flag("confirm"),
            yes: matches.get_flag("yes"),
            quiet: false,
        },
    };
    perform(&job, lock, spare, &signals, out)
}
