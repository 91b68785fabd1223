//! `--resume`, `--rerun-unknown` and `--from`: where a run of a contract begins (spec/record.md).
//!
//! Read for: everything in the process that runs a contract.

use super::boundary::Keep;
use super::job::{Begin, refuse_record};
use super::request::{Resume, Run};
use crate::admission::{Replanned, Site};
use opal_core::code::Code;
use opal_core::event::Outcome;
use opal_core::plan::Plan;
use opal_core::refusal::{Refusal, place};
use opal_core::show::{Paths, PlanView, Style, path_of, step_count, step_text};
use opal_exec::run::{Labels, Start};
use opal_exec::scrub::Secrets;
use opal_format::hash::Digest;
use opal_format::kind::NodeKind;
use opal_format::reader::Contract;
use opal_format::steps::{Node, Piece};
use opal_format::tree::Tree;
use opal_record::history::{self, Reading};
use opal_record::journal::{Earlier, Genuine};
use opal_record::shelf;
use opal_trust::ledger::{Entry, LedgerError};
use opal_trust::safe_path::SafeDir;
use std::sync::{Arc, Mutex};

/// The record that `--resume` names, held and found to be of this contract. `None` without `--resume`.
pub(super) fn find(asked: &Run, contract_hash: &Digest, site: &Site) -> Result<Option<Earlier>, Refusal> {
    let Some(Resume { run_id, .. }) = &asked.resume else { return Ok(None) };
    let named = match &asked.record {
        Keep::Usual => None,
        Keep::At(path) => Some(path),
        Keep::Nothing => {
            return Err(Refusal::new(Code::Usage, "a run without a record cannot be resumed")
                .help("leave out `--record none`, or name the directory that holds the record"));
        }
    };
    let contract_hash = contract_hash.to_string();
    let found = match named {
        Some(path) => SafeDir::open(path, site.paths.euid)
            .map_err(opal_record::journal::RecordError::from)
            .and_then(|dir| dir.map_or(Ok(None), |dir| Earlier::open(dir, &site.paths))),
        None => shelf::find(&site.paths, run_id, &contract_hash),
    };
    let found = found.map_err(|error| refuse_record(error, named.is_some()))?;
    let Some(earlier) = found.filter(|earlier| run_id == "latest" || earlier.head().run_id == *run_id) else {
        let message = match run_id.as_str() {
            "latest" => "there is no record of a run of this contract here".to_owned(),
            _ => format!("there is no record of a run `{run_id}` here"),
        };
        let help = "give the name of a run as it was shown at its end, and `--record DIR` if its record is elsewhere";
        return Err(Refusal::new(Code::NoRecord, message).help(help));
    };
    match &earlier.head().contract_hash {
        Some(hash) if *hash == contract_hash => Ok(Some(earlier)),
        Some(hash) => Err(Refusal::new(Code::RecordOfAnother, format!("run {run_id} was of another contract, {hash}"))
            .help("name that contract with `--plan`")),
        None => Err(Refusal::new(Code::RecordOfDirectRun, format!("run {run_id} was a direct run, which has no contract to go on with"))
            .help("run it again with `opal`")),
    }
}

/// The refusal of a contract that was used, with the command that goes on with the run that did not finish.
pub(super) fn refuse_used(error: LedgerError, asked: &Run, site: &Site) -> Refusal {
    let LedgerError::AlreadyRun { entry: Entry { run_id, finished: false, .. }, .. } = &error else { return error.into() };
    let resume = asked.resume_command(run_id);
    let kept = asked.record != Keep::Usual || shelf::exists(&site.paths, run_id);
    let refusal = Refusal::from(error);
    if kept { refusal.help(format!("go on with that run: `{resume}`; or make a new contract")) } else { refusal }
}

/// Checks that a record is genuine, and puts in place of the drift what moved since the run started.
pub(super) fn verify(earlier: Earlier, replanned: &mut Replanned, secrets: &Arc<Secrets>) -> Result<Genuine, Refusal> {
    let genuine = earlier.verify(&replanned.seed, secrets).map_err(|error| refuse_record(error, false))?;
    replanned.comparison.since(&genuine.head().values);
    Ok(genuine)
}

/// Reads how far a run came, and refuses what cannot be gone on with.
pub(super) fn begin(earlier: Genuine, asked: &Run, contract: &Contract<'_>, plan: &Plan, site: &Site) -> Result<Begin, Refusal> {
    let run_id = earlier.head().run_id.clone();
    let nodes = &plan.steps.nodes;
    let Reading { rest, ended, unknown } = history::read(&earlier.events, nodes, |binding, sealed| earlier.unseal(binding, sealed));
    if ended == Some(Outcome::Succeeded) {
        return Err(Refusal::new(Code::RunFinished, format!("run {run_id} has finished, and there is nothing left of it to do"))
            .help("to run the contract again, leave out `--resume`"));
    }
    if !earlier.is_based_in(&site.base) {
        let base = &earlier.head().base;
        return Err(Refusal::new(Code::OtherDirectory, format!("run {run_id} started in `{base}`, and its paths are relative to that"))
            .help(match site.policy.start_directory(&contract.terms.directory) {
                Ok(None) => format!("`cd {base}` first"),
                _ => "the policy names another directory since then: have it set back, or run the contract anew".to_owned(),
            }));
    }
    if !unknown.is_empty() && !asked.resume.as_ref().is_some_and(|resume| resume.rerun_unknown) {
        return Err(refuse_unknown(&run_id, &unknown, &asked.resume_command(&run_id), contract, plan));
    }
    let start = partial(earlier.head().from.as_deref(), plan, site)?;
    let labels = Labels { resumed: true, steps_before: rest.ran.len(), ..start.labels };
    Ok(Begin { record: Some(earlier), start: Start { rest: Mutex::new(rest), labels, ..start } })
}

fn refuse_unknown(run_id: &str, unknown: &[usize], resume: &str, contract: &Contract<'_>, plan: &Plan) -> Refusal {
    /// Steps that are listed.
    const SHOWN_MAX: usize = 8;
    let nodes = &plan.steps.nodes;
    let view = PlanView {
        target: contract.header.target,
        steps: plan.steps.view(),
        slots: plan.slots.view(),
        deferred: &[],
        unscrubbed: &[],
        undecided: None,
        plan_hash: None,
        contract_hash: None,
    };
    let paths: Vec<String> = unknown.iter().take(SHOWN_MAX).map(|node| path_of(nodes, *node)).collect();
    let more = if unknown.len() > SHOWN_MAX { ", …" } else { "" };
    let steps = if unknown.len() == 1 { "step" } else { "steps" };
    let message = format!("run {run_id} ended in the middle of {steps} {}{more}, and nobody knows what was done of it", paths.join(", "));
    let mut refusal = Refusal::new(Code::StepUnknown, message).help(format!(
        "find out whether it took effect; if it may run again: `{resume} --rerun-unknown`; else make a new contract without it"
    ));
    for (node, path) in unknown.iter().zip(&paths) {
        let span = nodes.get(*node).map_or(opal_format::record::Span::NONE, |node| plan.steps.view().span(node));
        refusal =
            refusal.at(format!("step {path} at {}: {}", place(&contract.terms.source_name, &span), step_text(&view, *node, Style::Plain)));
    }
    refusal
}

/// Where a run begins whose caller wants it to begin at `from`.
pub(super) fn partial(from: Option<&str>, plan: &Plan, site: &Site) -> Result<Start, Refusal> {
    let Some(path) = from else { return Ok(Start::default()) };
    let usage = |message: String, help: String| Refusal::new(Code::Usage, message).help(help);
    let nodes = &plan.steps.nodes;
    let Some(index) = Paths::new(nodes).position(|known| known == path) else {
        return Err(usage(format!("there is no step {path}"), nearest(nodes, path)));
    };
    let tree = Tree::new(nodes);
    let inside = tree.ancestors(index).find_map(|node| match tree.kind(node)? {
        NodeKind::Or => Some("an alternative `||`"),
        NodeKind::Pipe => Some("a pipe"),
        NodeKind::Transform => Some("a pipeline `|>`"),
        NodeKind::Catch => Some("a `catch`"),
        _ => None,
    });
    if let Some(inside) = inside.or((tree.kind(index) == Some(NodeKind::Catch)).then_some("a `catch`")) {
        return Err(usage(format!("a run cannot begin at {path}, inside {inside}"), "begin at the whole of it, or after it".to_owned()));
    }
    if let Some((maker, user, name)) = missing_binding(plan, index) {
        let (maker, user) = (path_of(nodes, maker), path_of(nodes, user));
        let message = format!("step {user} needs `@var.{name}`, which step {maker} makes, and `--from {path}` skips that one");
        return Err(Refusal::new(Code::BindingSkipped, message).help(format!("begin there or before: `--from {maker}`")));
    }
    site.policy.check_partial(site.is_guarded())?;
    let before = opal_format::steps::StepsView { nodes: nodes.get(..index).unwrap_or_default(), ..plan.steps.view() };
    let labels = Labels { from: Some(path.to_owned()), steps_skipped: step_count(before), ..Labels::default() };
    Ok(Start { from: Some(index), labels, ..Start::default() })
}

/// What there is in place of a path that is not there.
fn nearest(nodes: &[Node], path: &str) -> String {
    let mut known = path;
    while let Some((parent, _)) = known.rsplit_once('.') {
        known = parent;
        let inside = Paths::new(nodes).filter(|other| other.rsplit_once('.').is_some_and(|(other, _)| other == parent)).count();
        if inside > 0 {
            return format!("{parent} holds {parent}.1 to {parent}.{inside}; `opal-vm inspect --json` shows all paths");
        }
    }
    let top = Paths::new(nodes).filter(|other| !other.contains('.')).count();
    format!("the plan holds 1 to {top}; `opal-vm inspect --json` shows all paths")
}

/// A runtime binding that is made before `from` and needed after it: its step, the first that needs it, its name.
fn missing_binding(plan: &Plan, from: usize) -> Option<(usize, usize, String)> {
    let steps = plan.steps.view();
    steps.nodes.iter().enumerate().skip(from).find_map(|(user, node)| {
        let (maker, binding) = steps.command(node).find_map(|piece| {
            let Piece::Binding(binding, _) = piece else { return None };
            usize::try_from(binding).ok().filter(|maker| *maker < from).map(|maker| (maker, binding))
        })?;
        Some((maker, user, String::from_utf8_lossy(steps.binding_name(binding)).into_owned()))
    })
}
