//! What `opal-vm verify` says of a contract with which this host agrees: what was compared, and what was not.

use crate::claimed::CLAIMS;
use crate::trusted::{basis, steps};
use opal_core::show::escape;
use opal_format::reader::Contract;
use opal_trust::judge::Basis;
use std::fmt::Write as _;

/// For people. `vouches` are lines; `source_compared` says whether the source was here and has the digest that the contract names; `starts` is
/// where a run would start.
#[must_use]
pub fn verified(contract: &Contract<'_>, trust: &Basis, vouches: &[String], source_compared: bool, starts: &str) -> String {
    let target = escape(contract.header.target.as_bytes(), false);
    let what = if target.is_empty() { "the script".to_owned() } else { format!("`{target}`") };
    let mut out =
        format!("✓ contract verified: {what} would run {} on this host, with the steps and values of the contract\n", steps(contract));
    let mut row = |name: &str, text: &str| _ = writeln!(out, "  {name:<9} {text}");
    row("contract:", &contract.contract_hash.to_string());
    row("plan:", &contract.header.plan_hash.to_string());
    row("trust:", &basis(trust));
    vouches.iter().for_each(|vouch| row("vouched:", vouch));
    row("source:", if source_compared { "has the digest that the contract names" } else { "not here, not compared" });
    row("starts:", starts);
    row("compared:", "steps, values, and what the views show of both");
    row("claimed:", &format!("{CLAIMS} (not compared)"));
    row("effects:", "none");
    out
}
