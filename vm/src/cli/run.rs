//! `opal-vm run`: verifies a contract and runs the work that it and this host agree on.
//!
//! Read for: nothing with an effect before compare has passed.

use super::boundary;
use super::consent::consent;
use super::force;
use super::job::{Begin, Console, Job, Signing, Wishes, perform, run_id, show, signals, take_lock, view};
use super::output::Output;
use super::request::Run;
use super::resume;
use super::verify::{report_drift, warnings};
use crate::admission::{Replanned, admit, read, replan};
use crate::keys::Keys;
use clap::ArgMatches;
use opal_core::agreed::Runnable;
use opal_core::refusal::Refusal;
use opal_exec::confine::KeyFiles;
use opal_exec::supervise::lane::Lane;
use opal_trust::identity;
use opal_trust::ledger::Ledger;
use opal_trust::revocation::remember;
use opal_view::trusted::vouch_lines;
use std::cell::RefCell;

pub(super) fn run(matches: &ArgMatches, out: &Output, spare: Option<Lane>) -> Result<u8, Refusal> {
    let mut site = super::site()?;
    let asked = Run::of(matches, &site)?;
    let request = &asked.contract;
    let force = asked.force.as_deref();
    let file = read(request)?;
    let (mut planner, mut keys) = (super::planner()?, Keys::start()?);
    let admitted = admit(&file, request, &site, &mut planner, &mut keys)?;
    boundary::enter(&mut site, &admitted.contract.terms.directory)?;
    for line in vouch_lines(&admitted.vouches, &admitted.vouchers) {
        out.say(&format!("vouched: {line}\n"));
    }
    for warning in warnings(&admitted, &site) {
        out.say(&warning);
    }
    if force.is_some() {
        site.policy.check_force(site.is_guarded())?;
    }
    if let Some(edition) = &admitted.edition {
        remember(&site.paths, edition)?;
    }
    let contract = &admitted.contract;
    let earlier = resume::find(&asked, &contract.contract_hash, &site)?;
    let run_id = match &earlier {
        Some(earlier) => earlier.head().run_id.clone(),
        None => run_id(&site)?,
    };
    let once = contract.terms.once || site.policy.single_use();
    let lock = take_lock(&site, &contract.header.plan_hash, &run_id, once, out)?;
    if once {
        site.policy.check_ledger(site.paths.is_system())?;
    }
    let ledger = if once { Some(Ledger::open(&site.paths, contract.terms.not_after)?) } else { None };
    if let Some(ledger) = &ledger {
        let resumed = earlier.as_ref().map(|_| run_id.as_str());
        ledger.check_unused(&contract.contract_hash, resumed).map_err(|error| resume::refuse_used(error, &asked, &site))?;
    }
    let (mut replanned, ()) = replan(&admitted, request, &site, &mut planner, &mut keys, &out.secrets, |_, _, _| Ok(()))?;
    drop(planner);
    let earlier = match earlier {
        Some(earlier) => Some(resume::verify(earlier, &mut replanned, &out.secrets)?),
        None => None,
    };
    let Replanned { comparison, seed, opened_by, .. } = replanned;
    // Without a receipt to sign, the keeper ends before the first step starts.
    let signing = asked.receipt.as_ref().map(|place| Signing { place, by: opened_by, keys: RefCell::new(keys) });
    let signals = signals()?;
    let Some(accepts) = consent(force, asked.yes, contract, &comparison, &signals, out)? else { return Ok(super::DRIFT) };
    let agreed = match comparison.agree(&accepts) {
        Ok(agreed) => agreed,
        Err(comparison) => return report_drift(&admitted, &comparison, request, force, out),
    };
    let forced = !agreed.accepted().is_empty();
    let named = forced && force.is_some_and(|names| !names.is_empty());
    let plan = agreed.plan();
    let begin = match earlier {
        Some(earlier) => resume::begin(earlier, &asked, contract, plan, &site)?,
        None => Begin { record: None, start: resume::partial(asked.from.as_deref(), plan, &site)? },
    };
    let job = Job {
        work: Runnable::Agreed(&agreed),
        seed: &seed,
        target: contract.header.target,
        plan_hash: contract.header.plan_hash,
        contract_hash: Some(contract.contract_hash),
        source_name: &contract.terms.source_name,
        shell: &contract.terms.shell,
        umask: contract.terms.umask,
        site: &site,
        keys: KeyFiles::of(identity::places(&site.paths, &request.identities)),
        run_id: &run_id,
        ledger: ledger.as_ref(),
        console: Console::default(),
        receipt: signing,
        wishes: Wishes {
            record: asked.record.clone(),
            confirm: (asked.confirm && forced == named) || (named && force::on_terminal()),
            yes: asked.yes,
            quiet: asked.quiet,
        },
        resume: Some(asked.resume_command(&run_id)),
    };
    if named && (job.wishes.yes || !job.wishes.confirm) {
        let _ = show(&view(&job), out);
    }
    perform(&job, begin, lock, spare, &signals, out)
}
