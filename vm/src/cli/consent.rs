//! What the caller of `--force` accepts of what moved: they are shown it, and asked where they named nothing.
//!
//! Read for: everything in the process that runs a contract.

use super::job::{confirmed, not_confirmed, show};
use super::output::Output;
use opal_core::agreed::{Comparison, Consent};
use opal_core::refusal::Refusal;
use opal_core::show::PlanView;
use opal_exec::supervise::signals::Signals;
use opal_format::reader::Contract;
use opal_view::drift::DriftReport;

/// What the caller accepts of what moved, which is shown: with these names; without any they are asked, unless the answer is `yes` already. `None` where they
/// say no.
///
/// # Errors
/// Those of asking.
pub(super) fn consent(
    names: Option<&[String]>,
    yes: bool,
    contract: &Contract<'_>,
    comparison: &Comparison,
    signals: &Signals,
    out: &Output,
) -> Result<Option<Consent>, Refusal> {
    let tell = || {
        out.stream(|out| DriftReport::new(contract, comparison).write(out, "drift"));
        out.say("forced: the agreed work runs with the values that this host has now\n");
    };
    let mut declined = false;
    let confirm = || -> Result<bool, Refusal> {
        let Some(plan) = comparison.plan().filter(|_| !comparison.is_same() && comparison.is_forcible()) else { return Ok(false) };
        tell();
        let view = PlanView {
            plan_hash: Some(contract.header.plan_hash),
            contract_hash: Some(contract.contract_hash),
            ..PlanView::of(contract.header.target, plan.steps.view(), plan.slots.view())
        };
        if yes {
            let _ = show(&view, out);
        }
        declined = !yes && !confirmed(&view, signals, out)?;
        Ok(!declined)
    };
    let consent = Consent::given(names, confirm)?;
    if declined {
        not_confirmed(signals, out);
        return Ok(None);
    }
    if names.is_some_and(|names| !names.is_empty()) && !comparison.is_same() && comparison.is_covered(&consent) {
        tell();
    }
    Ok(Some(consent))
}
