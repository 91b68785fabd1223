//! `opal-vm run`: verifies a contract and runs the fresh plan.

use super::output::{Output, to_stderr};
use super::verify::{report_drift, warnings};
use crate::admission::{Admitted, Site, admit, read, replan};
use crate::lane::LaneOptions;
use crate::plan::{Plan, os_reason};
use crate::record::{self, About, NoRecord, Place, Record, Recorder};
use crate::refusal::Refusal;
use crate::run::{EnvPolicy, Outcome, RunOptions, RunReport, environment};
use crate::signals::{Phase, Signals};
use crate::trust::Failure as _;
use crate::trust::ledger::Ledger;
use crate::trust::lock::{LockError, RunLock};
use crate::view::{PlanView, plan_json};
use clap::ArgMatches;
use opal_format::seed::Seed;
use std::fmt::Write as _;
use std::fs::File;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Time between TERM and KILL, unless the policy has less (DESIGN §9).
const GRACE: Duration = Duration::from_secs(5);

pub(super) fn run(matches: &ArgMatches, out: &Output) -> Result<u8, Refusal> {
    // Before any thread starts, so that all of them leave the signals to this one.
    let signals = Arc::new(Signals::install().map_err(|errno| system("take signals", &errno.into()))?);
    let site = super::site()?;
    let request = super::options::request(matches)?;
    let file = read(&request)?;
    let admitted = admit(&file, &request, &site)?;
    for warning in warnings(&admitted, &site) {
        let _ = to_stderr(&out.painted(&warning));
    }
    let run_id = record::run_id(site.now).map_err(|error| Refusal::new("no_random", 69, error.to_string()))?;
    let once = admitted.contract.terms.once || site.policy.single_use();
    let lock = take_lock(&admitted, &site, &run_id, once, out)?;
    let ledger = if once { Some(Ledger::open(&site.paths)?) } else { None };
    let contract_hash = admitted.contract.contract_hash;
    if let Some(ledger) = &ledger {
        ledger.check_unused(&contract_hash, None)?;
    }
    let replanned = replan(&admitted, &request, &site)?;
    if !replanned.drift.is_empty() {
        return report_drift(&admitted.contract, &replanned.drift, &request, out);
    }
    let plan = replanned.plan.ok_or_else(|| Refusal::new("internal", 70, "a plan without drift is missing"))?;
    if signals.check() > Phase::Run {
        let _ = to_stderr("effects: none (stopped by a signal before anything was run)\n");
        signals.end_by_first();
    }
    crate::run::check_supported(&plan).map_err(|error| refuse_run(&error))?;
    let mut record = open_record(matches, &admitted, &plan, &replanned.seed, &site, &run_id)?;
    let mut none = NoRecord;
    if let Some(ledger) = &ledger {
        ledger.start(&contract_hash, &run_id, site.now)?;
    }
    let report = execute(
        &plan,
        &admitted,
        &site,
        lock.as_ref(),
        &signals,
        out,
        record.as_mut().map_or(&mut none as &mut dyn Recorder, |record| record),
    )?;
    let kept = record.as_ref().map(|record| record.path().display().to_string());
    let closed = record.map_or(Ok(()), |record| record.finish(&report));
    if let Some(ledger) = &ledger {
        let _ = ledger.finish(&contract_hash).map_err(|error| to_stderr(&format!("warning: {error}\n")));
    }
    let mut exit = report.exit();
    if let Err(error) = closed
        && matches!(report.outcome, Outcome::Succeeded)
    {
        let _ = to_stderr(&out.painted(&format!("error[record_lost]: {error}\n")));
        exit = 74;
    }
    say(&report, &admitted, kept.as_deref(), out);
    // The lock is held by the watchers too, so it outlasts this process where a step does.
    drop(lock);
    if let Outcome::Cancelled(_) = report.outcome {
        signals.end_by_first();
    }
    Ok(exit)
}

/// The record that the options ask for; `none` keeps none.
fn open_record(
    matches: &ArgMatches,
    admitted: &Admitted<'_>,
    plan: &Plan,
    seed: &Seed,
    site: &Site,
    run_id: &str,
) -> Result<Option<Record>, Refusal> {
    let wanted = matches.get_one::<PathBuf>("record");
    let place = match wanted {
        Some(path) if path.as_os_str() == "none" => return Ok(None),
        Some(path) => Place::Directory(path, &site.paths),
        None => Place::State(&site.paths),
    };
    let contract = &admitted.contract;
    let view = PlanView {
        target: contract.header.target,
        steps: plan.steps.view(),
        slots: plan.slots.view(),
        deferred: &[],
        plan_hash: Some(contract.header.plan_hash),
        contract_hash: Some(contract.contract_hash),
    };
    let about = About {
        run_id,
        contract_hash: &contract.contract_hash.to_string(),
        plan_hash: &contract.header.plan_hash.to_string(),
        plan: &serde_json::Value::Object(plan_json(&view)),
        seed,
    };
    Record::create(place, &about).map(Some).map_err(|error| {
        Refusal::new("record_unusable", 74, error.to_string())
            .help("name another place with `--record DIR`, or keep none with `--record none`")
    })
}

fn system(what: &str, error: &std::io::Error) -> Refusal {
    Refusal::new("system", 69, format!("cannot {what}: {}", os_reason(error)))
}

/// One run of the same work at a time. Where no lock can be had, a run that must be alone stops, and another says so and goes on.
fn take_lock(admitted: &Admitted<'_>, site: &Site, run_id: &str, once: bool, out: &Output) -> Result<Option<RunLock>, Refusal> {
    match RunLock::acquire(&site.paths, &admitted.contract.header.plan_hash, run_id, site.now) {
        Ok(lock) => Ok(Some(lock)),
        Err(LockError::Unusable(error)) if !once && !site.is_guarded() => {
            let _ = to_stderr(&out.painted(&format!("warning: no lock: {error}; {}\n", error.help())));
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

fn execute(
    plan: &Plan,
    admitted: &Admitted<'_>,
    site: &Site,
    lock: Option<&RunLock>,
    signals: &Arc<Signals>,
    out: &Output,
    recorder: &mut dyn Recorder,
) -> Result<RunReport, Refusal> {
    let policy = &site.policy;
    let host: Vec<_> = std::env::vars_os().collect();
    let pass = host.iter().filter_map(|(name, _)| name.to_str()).filter(|name| policy.passes_variable(name)).map(str::to_owned).collect();
    let clean = policy.clean_environment(site.is_guarded());
    let env = EnvPolicy { clean, pass, path: policy.search_path().map(str::to_owned) };
    let nanoseconds = |length: i64| Duration::from_nanos(u64::try_from(length).unwrap_or(0));
    let grace = nanoseconds(policy.grace_ns(i64::try_from(GRACE.as_nanos()).unwrap_or(i64::MAX)));
    let most = policy.parallel(u32::MAX);
    let options = RunOptions {
        shell: PathBuf::from(&admitted.contract.terms.shell),
        umask: admitted.contract.terms.umask,
        base_dir: site.base.clone(),
        environment: environment(plan, &env, host),
        grace,
        timeout: policy.timeout_ns().map(nanoseconds),
        max_parallel: if most == u32::MAX { None } else { usize::try_from(most).ok() },
        lanes: LaneOptions { lock: lock.map(AsFd::as_fd), grace, ..LaneOptions::default() },
        warm: Mutex::default(),
        stdout: duplicate(&std::io::stdout())?,
        stderr: duplicate(&std::io::stderr())?,
        json: out.json,
        signals: Arc::clone(signals),
    };
    crate::run::run(plan, &options, recorder).map_err(|error| refuse_run(&error))
}

fn refuse_run(error: &crate::run::RunError) -> Refusal {
    let code = match error {
        crate::run::RunError::Unsupported { .. } => "unsupported_block",
        crate::run::RunError::System(_) => "system",
    };
    Refusal::new(code, 69, error.to_string())
}

fn duplicate(stream: &impl AsFd) -> Result<File, Refusal> {
    stream.as_fd().try_clone_to_owned().map(File::from).map_err(|error| system("use the standard streams", &error))
}

/// Says on standard error how the run ended.
fn say(report: &RunReport, admitted: &Admitted<'_>, kept: Option<&str>, out: &Output) {
    let mut text = report.failures_text(&admitted.contract.terms.source_name);
    match &report.outcome {
        Outcome::Succeeded | Outcome::Failed(_) => {}
        Outcome::Cancelled(first) => {
            let _ = writeln!(text, "error[cancelled]: ended by {}", first.signal);
        }
        Outcome::OutputLost(error) => {
            let _ = writeln!(text, "error[output_lost]: the output of a step cannot be passed on: {}", os_reason(error));
        }
        Outcome::RecordLost(error) => {
            let _ = writeln!(text, "error[record_lost]: the record of the run cannot be written: {}", os_reason(error));
        }
    }
    let effects = if report.effects { "started" } else { "none" };
    let _ = writeln!(text, "effects: {effects} ({})", report.effects_text());
    if let Some(kept) = kept {
        let _ = writeln!(text, "record: {}", crate::view::escape(kept.as_bytes(), false));
    }
    let _ = to_stderr(&out.painted(&text));
}
