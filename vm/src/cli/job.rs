//! From a plan that may run to its end: lock, question, record, steps, and what is said about them. Contract runs and direct runs share it.
//!
//! Read for: everything in the process that runs a contract.

use super::boundary::{self, Keep};
use super::ends;
use super::output::Output;
use crate::admission::Site;
use crate::keys::Keys;
use opal_core::agreed::Runnable;
use opal_core::code::Code;
use opal_core::failure::Failure as _;
use opal_core::plan::{Plan, os_reason};
use opal_core::refusal::Refusal;
use opal_core::show::{PlanView, Style};
use opal_exec::clean::CleanJson;
use opal_exec::confine::{KeyFiles, probe};
use opal_exec::deliver::Patience;
use opal_exec::recorder::{NoRecord, Recorder};
use opal_exec::run::{
    EnvPolicy, Outcome, RunError, RunOptions, RunReport, Start, check_confinement, check_places, check_supported, environment,
};
use opal_exec::scrub::Secrets;
use opal_exec::supervise::lane::{Lane, LaneOptions};
use opal_exec::supervise::signals::{Phase, Signals};
use opal_format::hash::Digest;
use opal_format::identity::PublicKey;
use opal_format::seed::Seed;
use opal_record::journal::{self, About, Genuine, Place, Record, RecordError};
use opal_record::receipt::{Place as ReceiptPlace, Receipt, ReceiptError};
use opal_record::results::ResultPlace;
use opal_record::shelf;
use opal_trust::ledger::Ledger;
use opal_trust::lock::{LockError, RunLock};
use opal_view::claimed::{PLACES, below_tree};
use opal_view::{PlanJson, write_tree};
use serde_json::{Value, json};
use std::cell::RefCell;
use std::fmt::Write as _;
use std::fs::File;
use std::io::IsTerminal as _;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Time between TERM and KILL, unless the policy has less.
const GRACE: Duration = Duration::from_secs(5);

/// A plan that may run.
pub struct Job<'a> {
    /// What runs.
    pub work: Runnable<'a>,
    /// Its seed, under which the record is authentic.
    pub seed: &'a Seed,
    /// Its target.
    pub target: &'a str,
    /// The name of its work.
    pub plan_hash: Digest,
    /// The contract that it equals; `None` for a direct run.
    pub contract_hash: Option<Digest>,
    /// The source, as messages name it.
    pub source_name: &'a str,
    /// Absolute path of `bash`.
    pub shell: &'a str,
    /// File mode creation mask of the steps.
    pub umask: u32,
    /// This host.
    pub site: &'a Site,
    /// The private keys that this run may use; its steps get none of them by a list of places.
    pub keys: KeyFiles,
    /// Name of the run.
    pub run_id: &'a str,
    /// Where the run is counted if it is one of a kind.
    pub ledger: Option<&'a Ledger>,
    /// What steps get of this process's terminal and input.
    pub console: Console,
    /// Where a receipt goes, and who signs it.
    pub receipt: Option<Signing<'a>>,
    /// What the caller wants.
    pub wishes: Wishes,
    /// The command that goes on with this run, if it can be gone on with and is recorded.
    pub resume: Option<String>,
}

/// A receipt that is to be signed.
pub struct Signing<'a> {
    /// Where it goes.
    pub place: &'a ResultPlace,
    /// The key that signs it.
    pub by: PublicKey,
    /// Who holds that key.
    pub keys: RefCell<Keys>,
}

/// Where a job begins: by default at the beginning.
#[derive(Default)]
pub struct Begin {
    /// The record of the run that goes on.
    pub record: Option<Genuine>,
    /// What is over, and where a partial run begins.
    pub start: Start,
}

/// How the caller wants a run to be done.
#[derive(Clone, Debug, Default)]
pub struct Wishes {
    /// Where the record goes.
    pub record: Keep,
    /// Show the plan and ask first.
    pub confirm: bool,
    /// The answer to that question.
    pub yes: bool,
    /// Say nothing about a run that succeeded.
    pub quiet: bool,
}

/// What steps get of this process's terminal and input. By default nothing: `/dev/null`, and a session without a terminal.
#[derive(Debug, Default)]
pub struct Console {
    /// Standard input of the steps.
    pub stdin: Option<OwnedFd>,
    /// The terminal in whose foreground group this process is and the steps stay.
    pub terminal: Option<File>,
}

impl Console {
    /// For a direct run: this process's input, and its terminal if it is in the foreground there.
    ///
    /// A process in the background gets no terminal to read from, so that nothing stops for reading it.
    #[must_use]
    pub fn direct() -> Self {
        let terminal = std::fs::OpenOptions::new().read(true).write(true).open("/dev/tty").ok();
        let foreground = |terminal: &File| nix::unistd::tcgetpgrp(terminal).is_ok_and(|group| group == nix::unistd::getpgrp());
        let terminal = terminal.filter(foreground);
        let stdin = std::io::stdin();
        let usable = terminal.is_some() || !stdin.is_terminal();
        Self { stdin: if usable { stdin.as_fd().try_clone_to_owned().ok() } else { None }, terminal }
    }
}

/// Takes the signals that stop a run. Call it before any thread starts, so that all of them leave the signals to this one.
///
/// # Errors
/// When descriptors run out.
pub fn signals() -> Result<Arc<Signals>, Refusal> {
    Ok(Arc::new(Signals::install().map_err(|errno| system("take signals", &errno.into()))?))
}

/// A name for a run at this site.
///
/// # Errors
/// Where the system gives no random bytes.
pub fn run_id(site: &Site) -> Result<String, Refusal> {
    journal::run_id(site.now)
        .map_err(|error| Refusal::new(Code::NoRandom, error.to_string()).help("check that `/dev/urandom` can be read here"))
}

/// One run of the same work at a time. Where no lock can be had, a run that must be alone stops, and another says so and goes on.
///
/// # Errors
/// Another run that holds it; no usable place for it, if `alone`.
pub fn take_lock(site: &Site, plan_hash: &Digest, run_id: &str, alone: bool, out: &Output) -> Result<Option<RunLock>, Refusal> {
    match RunLock::acquire(&site.paths, plan_hash, run_id, site.now) {
        Ok(lock) => Ok(Some(lock)),
        Err(LockError::Unusable(error)) if !alone && !site.is_guarded() => {
            out.say(&format!("warning: no lock: {error}; {}\n", error.help()));
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

/// Runs the plan to its end, on the `spare` lane first, and returns the exit status. A signal that ended the run ends this process.
///
/// # Errors
/// A [`Refusal`], after which nothing was run.
pub fn perform(
    job: &Job<'_>,
    begin: Begin,
    lock: Option<RunLock>,
    spare: Option<Lane>,
    signals: &Arc<Signals>,
    out: &Output,
) -> Result<u8, Refusal> {
    check_supported(job.work.plan(), job.console.terminal.is_some()).map_err(|error| refuse_run(&error))?;
    if !Path::new("/proc/self/task").exists() {
        return Err(Refusal::new(Code::NoProc, "`/proc` is not there, without which the processes of a step cannot be found and ended")
            .help("mount it: `mount -t proc proc /proc`"));
    }
    for warning in unconfined(job.work.plan(), job.site, &job.keys)? {
        out.say(&warning);
    }
    let Begin { record: earlier, mut start } = begin;
    if earlier.is_none() {
        say_interrupted(job, out);
    }
    if job.wishes.confirm && !job.wishes.yes && !confirmed(&view(job), signals, out)? {
        not_confirmed(signals, out);
        return Ok(if job.work.accepted_drift().is_none() { 1 } else { super::DRIFT });
    }
    if signals.check() > Phase::Run {
        out.say("effects: none (stopped by a signal before anything was run)\n");
        signals.end_by_first();
        // The first process of a container outlives its own signals.
        return Ok(signals.first().map_or(1, |first| first.exit()));
    }
    let mode = boundary::result_mode(job.site) & 0o644;
    let place = job.receipt.as_ref().map(|signing| ReceiptPlace::take(signing.place, mode));
    let place = place.transpose().map_err(|error| refuse_receipt(&error))?;
    let mut record = match earlier {
        Some(earlier) => {
            let before = start.labels.steps_before;
            Some(earlier.go_on(before).map_err(|error| refuse_record(error, job.wishes.record != Keep::Usual))?)
        }
        None => open_record(job, &start, &out.secrets)?,
    };
    let mut none = NoRecord;
    let counted = job.ledger.zip(job.contract_hash);
    if let Some((ledger, contract)) = &counted
        && (!start.labels.resumed || ledger.entry(contract)?.is_none())
        && let Err(error) = ledger.start(contract, job.run_id, job.site.now)
    {
        if let Some(record) = record.filter(|_| !start.labels.resumed) {
            record.discard();
        }
        return Err(error.into());
    }
    start.labels.run_id = job.run_id.to_owned();
    start.labels.resumable = job.resume.is_some() && record.is_some();
    let about = about(job, &start);
    let patience = Arc::new(Patience::default());
    let recorder = record.as_mut().map_or(&mut none as &mut dyn Recorder, |record| record);
    let (report, receipt) = match place.zip(job.receipt.as_ref()) {
        None => (execute(job, start, lock.as_ref(), spare, (signals, &patience), out, recorder)?, Ok(None)),
        Some((place, signing)) => {
            let mut receipt = Receipt::begin(place, CleanJson::new(&out.secrets, &about), signing.by, recorder);
            let report = execute(job, start, lock.as_ref(), spare, (signals, &patience), out, &mut receipt)?;
            let done = report.done();
            let done = CleanJson::new(&out.secrets, &done);
            let receipt = receipt.finish(done, |digest| signing.keys.borrow_mut().sign(digest)).map(Some);
            (report, receipt)
        }
    };
    let kept = record.as_ref().map(|record| record.path().display().to_string());
    let closed = record.map_or(Ok(()), |record| record.finish(report.done()));
    let mut words = String::new();
    // A run that did not succeed can be gone on with, so the contract's one run is not finished.
    if let (Some((ledger, contract)), Outcome::Succeeded) = (&counted, &report.outcome) {
        let _ = ledger.finish(contract).map_err(|error| writeln!(words, "warning: {error}"));
    }
    let mut exit = report.exit();
    if let Err(error) = closed
        && matches!(report.outcome, Outcome::Succeeded)
    {
        words.push_str(&Refusal::new(Code::RecordLost, error.to_string()).to_text());
        exit = Code::RecordLost.exit();
    }
    match &receipt {
        Ok(Some(path)) => {
            let _ = writeln!(words, "receipt: {}", opal_core::show::escape(path.as_os_str().as_encoded_bytes(), false));
        }
        Ok(None) => {}
        Err(error) => {
            words.push_str(&Refusal::new(Code::ReceiptLost, error.to_string()).to_text());
            exit = if exit == 0 { Code::ReceiptLost.exit() } else { exit };
        }
    }
    if exit != 0 || !job.wishes.quiet {
        words.push_str(&summary(&report, job, kept.as_deref()));
    }
    if report.mid_line && !words.is_empty() {
        words.insert(0, '\n');
    }
    out.last_words(&words, signals, &patience);
    // The lock is held by the watchers too, so it outlasts this process where a step does.
    drop(lock);
    if let Outcome::Cancelled(_) = report.outcome {
        opal_exec::supervise::helper::end();
        signals.end_by_first();
    }
    Ok(exit)
}

/// What a job is, to be shown.
pub(super) fn view<'a>(job: &'a Job<'_>) -> PlanView<'a> {
    PlanView {
        plan_hash: Some(job.plan_hash),
        contract_hash: job.contract_hash,
        ..PlanView::of(job.target, job.work.plan().steps.view(), job.work.plan().slots.view())
    }
}

/// Shows the plan as a tree on standard error.
///
/// # Errors
/// Where it cannot be written.
pub(super) fn show(view: &PlanView<'_>, out: &Output) -> std::io::Result<()> {
    let style = if std::io::stderr().is_terminal() { Style::Terminal } else { Style::Plain };
    ends::stderr(&out.secrets, false, None, |out| {
        write_tree(out, view, style, None)?;
        if view.contract_hash.is_some() { below_tree(out, view) } else { Ok(()) }
    })
}

/// What this host cannot enforce, as warnings where the policy settles for that.
///
/// # Errors
/// Where it does not.
pub(super) fn unconfined(plan: &Plan, site: &Site, keys: &KeyFiles) -> Result<Vec<String>, Refusal> {
    let missing = check_confinement(plan, &site.policy.sandbox(), probe()).map_err(|error| refuse_run(&error))?;
    check_places(plan, &site.base, keys).map_err(|error| refuse_run(&error))?;
    Ok(missing.into_iter().map(|what| format!("warning: not enforced: {what}\n")).collect())
}

/// Shows the plan and asks. Nobody is asked, or waited for, without a terminal.
///
/// # Errors
/// Where there is none, or it cannot be used.
pub(super) fn confirmed(view: &PlanView<'_>, signals: &Signals, out: &Output) -> Result<bool, Refusal> {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() || !std::io::stderr().is_terminal() {
        return Err(Refusal::new(Code::NoTerminal, "there is no terminal to ask on").help("add `--yes`, or leave out `--confirm`"));
    }
    let cannot = |error: std::io::Error| system("ask", &error);
    let ask = || ends::stderr(&out.secrets, false, None, |out| out.write_all(b"Execute? [y/N] "));
    show(view, out).and_then(|()| ask()).map_err(cannot)?;
    let mut answer = [0; 64];
    loop {
        let [arrived, beyond] = signals.poll_fds(Phase::Run);
        let ready =
            opal_exec::supervise::wait::wait_readable(&[stdin.as_fd(), arrived, beyond], None).map_err(|errno| cannot(errno.into()))?;
        if ready >> 1 != 0 && signals.check() > Phase::Run {
            out.say("\n");
            return Ok(false);
        }
        if ready & 1 != 0 {
            // A terminal gives one line at a time.
            let read = nix::unistd::read(&stdin, &mut answer).map_err(|errno| cannot(errno.into()))?;
            let answer = answer.get(..read).unwrap_or_default().trim_ascii();
            return Ok(answer.eq_ignore_ascii_case(b"y") || answer.eq_ignore_ascii_case(b"yes"));
        }
    }
}

/// Says that the answer was no. A signal in place of an answer ends this process.
pub(super) fn not_confirmed(signals: &Signals, out: &Output) {
    out.say("effects: none (not confirmed: nothing was run)\n");
    signals.end_by_first();
}

/// Says that an earlier run of the same work died. Where no record is wanted, none is looked at.
fn say_interrupted(job: &Job<'_>, out: &Output) {
    if job.wishes.record == Keep::Nothing {
        return;
    }
    let contract = job.contract_hash.map(|hash| hash.to_string());
    let Some(found) = shelf::interrupted(&job.site.paths, contract.as_deref(), &job.plan_hash.to_string()) else { return };
    let started = opal_core::show::escape(found.started.as_bytes(), false);
    let mut text = format!("warning: run {} of the same work, started {started}, was interrupted and did not end\n", found.run_id);
    match &job.resume {
        Some(command) => {
            let _ = writeln!(text, "help: to go on with that one instead: `{}`", command.replace(job.run_id, &found.run_id));
        }
        None => text.push_str("help: its record says how far it came; a direct run cannot be resumed\n"),
    }
    out.say(&text);
}

/// What a receipt says of a run before it starts.
fn about(job: &Job<'_>, start: &Start) -> Value {
    let host = nix::unistd::gethostname().ok().map(|name| name.to_string_lossy().into_owned());
    json!({
        "run_id": job.run_id, "contract_hash": job.contract_hash.map(|hash| hash.to_string()), "plan_hash": job.plan_hash.to_string(),
        "target": job.target, "source": job.source_name, "steps": opal_core::show::step_count(job.work.plan().steps.view()), "host": host,
        "uid": job.site.paths.euid.as_raw(), "forced": job.work.accepted_drift().is_some(), "resumed": start.labels.resumed, "from": start.labels.from, "vm": concat!("opal-vm ", env!("CARGO_PKG_VERSION")),
    })
}

fn refuse_receipt(error: &ReceiptError) -> Refusal {
    Refusal::new(Code::ReceiptUnusable, error.to_string())
        .help("name another file with `--receipt FILE`, in a directory that can be written")
}

/// The record that the caller wants; `none` keeps none.
fn open_record(job: &Job<'_>, start: &Start, secrets: &Arc<Secrets>) -> Result<Option<Record>, Refusal> {
    let paths = &job.site.paths;
    let place = match &job.wishes.record {
        Keep::Nothing => return Ok(None),
        Keep::At(path) => Place::Directory(path, paths),
        Keep::Usual => Place::State(paths),
    };
    let contract_hash = job.contract_hash.map(|hash| hash.to_string());
    let plan = PlanJson::new(view(job));
    let accepted_drift = job.work.accepted_drift();
    let about = About {
        run_id: job.run_id,
        contract_hash: contract_hash.as_deref(),
        plan_hash: &job.plan_hash.to_string(),
        plan: CleanJson::new(secrets, &plan),
        secrets,
        accepted_drift: accepted_drift.as_deref(),
        seed: job.seed,
        values: &journal::commitments(job.work.plan()),
        base: &job.site.base,
        from: start.labels.from.as_deref(),
        environment: if job.site.policy.clean_environment(job.site.is_guarded()) { "clean" } else { "inherited, not verified" },
    };
    Record::create(place, &about).map(Some).map_err(|error| refuse_record(error, job.wishes.record != Keep::Usual))
}

/// Why a record cannot be made, or gone on with, in the place that was `named` or in the state directory.
pub(super) fn refuse_record(error: RecordError, named: bool) -> Refusal {
    let (code, help) = match error {
        // The state directory is wrong, which is for its owner to set right.
        RecordError::Path(error) if !named => return Refusal::from(error),
        RecordError::Taken(_) => {
            (Code::RecordUnusable, "name another place with `--record DIR`, or go on with that run: `--resume latest`")
        }
        RecordError::Path(_) | RecordError::Write(_) => {
            (Code::RecordUnusable, "name another place with `--record DIR`, or keep none with `--record none`")
        }
        RecordError::Running(_) => (Code::LockHeld, "wait until that run and all its processes have ended"),
        RecordError::NoRecord(_) => (Code::NoRecord, "`ls -t ~/.local/state/opal/runs` lists the runs, the latest first"),
        RecordError::Foreign { .. } => (Code::RecordForeign, "go on with it as the user who started it"),
        RecordError::Tampered { .. } => {
            (Code::RecordTampered, "do not trust this record; find out what was done, and run the contract anew")
        }
    };
    Refusal::new(code, error.to_string()).help(help)
}

fn system(what: &str, error: &std::io::Error) -> Refusal {
    Refusal::new(Code::System, format!("cannot {what}: {}", os_reason(error))).help("look at `ulimit -a`")
}

fn execute(
    job: &Job<'_>,
    start: Start,
    lock: Option<&RunLock>,
    spare: Option<Lane>,
    (signals, patience): (&Arc<Signals>, &Arc<Patience>),
    out: &Output,
    recorder: &mut dyn Recorder,
) -> Result<RunReport, Refusal> {
    let (site, policy) = (job.site, &job.site.policy);
    let host: Vec<_> = std::env::vars_os().collect();
    let pass = host.iter().filter_map(|(name, _)| name.to_str()).filter(|name| policy.passes_variable(name)).map(str::to_owned).collect();
    let clean = policy.clean_environment(site.is_guarded());
    let path = policy.search_path().map(str::to_owned);
    let env = EnvPolicy { clean, guarded: site.is_guarded(), pass, path, account: account() };
    let nanoseconds = |length: i64| Duration::from_nanos(u64::try_from(length).unwrap_or(0));
    let grace = nanoseconds(policy.grace_ns(i64::try_from(GRACE.as_nanos()).unwrap_or(i64::MAX)));
    let most = policy.parallel(u32::MAX);
    let Console { stdin, terminal } = &job.console;
    let lanes = LaneOptions { new_session: terminal.is_none(), stdin: stdin.as_ref().map(AsFd::as_fd), lock: lock.map(AsFd::as_fd), grace };
    // One that is gone by now is replaced by a new one.
    let warm = spare.and_then(|mut lane| lane.greet(&lanes).is_ok().then_some(lane));
    let [stdout, stderr] = ends::for_outlet().map_err(|error| system("use the standard streams", &error))?;
    let options = RunOptions {
        shell: PathBuf::from(job.shell),
        umask: job.umask,
        base_dir: site.base.clone(),
        environment: environment(job.work.plan(), &env, host),
        grace,
        timeout: policy.timeout_ns().map(nanoseconds),
        max_parallel: if most == u32::MAX { None } else { usize::try_from(most).ok() },
        sandbox: policy.sandbox(),
        keys: job.keys.clone(),
        lanes,
        terminal: terminal.as_ref().map(AsFd::as_fd),
        warm: Mutex::new(warm.into_iter().collect()),
        stdout,
        stderr,
        json: out.json,
        progress: out.progress.clone().filter(|_| !out.json && !job.wishes.quiet),
        secrets: Arc::clone(&out.secrets),
        signals: Arc::clone(signals),
        patience: Arc::clone(patience),
        start,
    };
    opal_exec::run::run(job.work, &options, recorder).map_err(|error| refuse_run(&error))
}

/// What the account database says of this user, for a clean environment. Who is not in it has no name, and no place of their own.
fn account() -> Vec<(String, Vec<u8>)> {
    let user = nix::unistd::User::from_uid(nix::unistd::geteuid()).ok().flatten();
    let path = |path: PathBuf| path.into_os_string().into_encoded_bytes();
    let (name, home, shell) = match user {
        Some(user) => (Some(user.name.into_bytes()), path(user.dir), path(user.shell)),
        None => (None, b"/".to_vec(), b"/bin/sh".to_vec()),
    };
    let named = ["USER", "LOGNAME"].into_iter().filter_map(|variable| Some((variable.to_owned(), name.clone()?)));
    named.chain([("HOME".to_owned(), home), ("SHELL".to_owned(), shell)]).collect()
}

fn refuse_run(error: &RunError) -> Refusal {
    let code = match error {
        RunError::Unsupported { .. } => Code::UnsupportedBlock,
        RunError::Unenforceable { .. } => Code::Unenforceable,
        RunError::KeyListed { .. } => Code::KeyListed,
        RunError::NoTerminal { .. } => Code::MissingTerminal,
        RunError::System(_) => Code::System,
    };
    Refusal::new(code, error.to_string())
}

/// How the run ended.
fn summary(report: &RunReport, job: &Job<'_>, kept: Option<&str>) -> String {
    let mut text = String::new();
    if let Outcome::Cancelled(first) = &report.outcome {
        let _ = writeln!(text, "error[{}]: ended by {}", Code::Cancelled, first.signal);
    }
    let failures = report.failures_text(job.source_name);
    text.push_str(&failures);
    if job.contract_hash.is_some() && !failures.is_empty() {
        text.push_str(PLACES);
    }
    match &report.outcome {
        Outcome::Succeeded | Outcome::Failed(_) | Outcome::Cancelled(_) => {}
        Outcome::OutputLost(error) => {
            let cause = format!("the output of a step cannot be passed on: {}", os_reason(error));
            text.push_str(&Refusal::new(Code::OutputLost, cause).to_text());
        }
        Outcome::RecordLost(error) => {
            let cause = format!("the record of the run cannot be written: {}", os_reason(error));
            text.push_str(&Refusal::new(Code::RecordLost, cause).to_text());
        }
        Outcome::Interrupted => {
            let _ =
                writeln!(text, "error[{}]: the run was being stopped when it died; what it had to clean up is done now", Code::Cancelled);
        }
    }
    let effects = if report.effects { "started" } else { "none" };
    let _ = writeln!(text, "effects: {effects} ({})", report.effects_text());
    if let Some(kept) = kept {
        let _ = writeln!(text, "record: {}", opal_core::show::escape(kept.as_bytes(), false));
    }
    if let Some(command) = job.resume.as_ref().filter(|_| report.is_resumable()) {
        let _ = writeln!(text, "help: to go on with it: `{}`", opal_core::show::visible(command));
    }
    text
}
