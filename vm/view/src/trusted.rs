//! Why a contract is trusted, who vouches for it, and how much it is, in words.

use opal_core::show::{escape, step_count};
use opal_format::attestation::Vouched;
use opal_format::reader::Contract;
use opal_trust::judge::{Assessment, Basis, Verdict};
use opal_trust::vouch::Vouch;
use serde_json::json;

/// A vouch for machines; `judged` says what those for the contract are worth, where that was asked.
#[must_use]
pub fn vouch_json(vouch: &Vouch, judged: Option<&[Assessment]>) -> serde_json::Value {
    let verdict = judged.and_then(|judged| judged.iter().find(|one| one.signatory == vouch.signatory && vouch.about == Vouched::Contract));
    let principals = verdict.and_then(|one| match &one.verdict {
        Verdict::Trusted { principals } => Some(principals),
        _ => None,
    });
    json!({
        "key": vouch.signatory.to_string(), "fingerprint": vouch.signatory.fingerprint(), "for": vouch.about.name(),
        "counts_for": principals,
    })
}

/// What the vouches are, a line each.
#[must_use]
pub fn vouch_lines(vouches: &[Vouch], judged: &[Assessment]) -> Vec<String> {
    let line = |vouch: &Vouch| {
        let verdict = judged.iter().find(|one| one.signatory == vouch.signatory);
        match (vouch.about, verdict) {
            (Vouched::Plan, _) => format!("{} (for the plan, which counts for nothing)", vouch.signatory.fingerprint()),
            (Vouched::Contract, None) => format!("{} (does not count beside the signatures)", vouch.signatory.fingerprint()),
            (Vouched::Contract, Some(verdict)) => escape(verdict.to_string().as_bytes(), false),
        }
    };
    vouches.iter().map(line).collect()
}

/// Number of steps, in words.
#[must_use]
pub fn steps(contract: &Contract<'_>) -> String {
    let count = step_count(contract.steps);
    format!("{count} {}", if count == 1 { "step" } else { "steps" })
}

/// Why a contract is trusted.
#[must_use]
pub fn basis(basis: &Basis) -> String {
    match basis {
        Basis::Signed { principals } => format!("signed by {}", escape(principals.join(", ").as_bytes(), false)),
        Basis::Expected => "the hash that was expected".to_owned(),
        Basis::Unsigned => "unsigned, allowed by the caller".to_owned(),
    }
}
