//! `opalc vouch`: a detached statement that somebody stands behind a contract.

use super::failure::Failure;
use super::files::Destination;
use super::{console, contracts, files, options, sign, signer};
use opal_format::attestation::{self, NAMESPACE_VOUCH, Vouched};
use std::ffi::OsString;
use std::path::PathBuf;

pub(super) fn command() -> clap::Command {
    options::command("opalc vouch", "Vouch for a contract, in a file of its own that a policy can count; the contract stays as it is")
        .arg(options::path("file", "FILE", "The contract; `-` is standard input").required(true))
        .arg(signer::argument())
        .arg(sign::digest_argument())
        .arg(options::flag("plan-hash", "Vouch for the plan hash instead: shown to people, counted by nobody"))
        .arg(options::path("output", "OUT", "Where the vouch goes [default: standard output]").short('o').long("output"))
        .after_help(
            "`opal-vm run --vouch OUT` counts it. `tail -n 1 OUT | ssh-keygen -Y verify -n opal-vouch -s OUT …` verifies it without opal.",
        )
}

/// Runs the subcommand.
pub(super) fn run(words: Vec<OsString>) -> Result<(), Failure> {
    let matches = options::parse(command(), words)?;
    let path = matches.get_one::<PathBuf>("file").cloned().unwrap_or_default();
    let output = matches.get_one::<PathBuf>("output").cloned().unwrap_or_else(|| PathBuf::from(files::STANDARD));
    let destination = Destination::new(&output, &[&path])?;
    let plan = contracts::authenticate(&path)?;
    sign::check_digest(matches.get_one::<String>("digest").map(String::as_str), &plan, &path)?;
    let contract = contracts::decode(&plan, &path)?;
    let (about, digest) = if matches.get_flag("plan-hash") {
        (Vouched::Plan, contract.header.plan_hash)
    } else {
        (Vouched::Contract, contract.contract_hash)
    };
    let signer = signer::from_matches(&matches)?;
    let statement = about.statement(&digest);
    let signature = signer.sign(NAMESPACE_VOUCH, statement.as_bytes())?;
    let bytes = attestation::write(&signature, statement.as_bytes());
    destination.write(&bytes)?;
    console::say(&format!("{:<12}{digest}\nvouched by  {}\n{}", about.name(), signer.describe(), contracts::hosts(&contract)));
    Ok(())
}
