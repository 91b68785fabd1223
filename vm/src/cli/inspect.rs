//! `opal-vm inspect`: what a contract is and what it may touch. Needs no keys, network or source, and decides nothing.

use super::output::Output;
use super::request::Inspect;
use crate::admission::read;
use crate::inputs::Opener;
use clap::ArgMatches;
use opal_core::code::Code;
use opal_core::plan::{Unscrubbed, by_seed};
use opal_core::program::verify::verify;
use opal_core::refusal::Refusal;
use opal_core::show::escape;
use opal_exec::confine::{KeyFiles, host_json, probe};
use opal_format::reader::Contract;
use opal_trust::guard::Caller;
use opal_trust::identity;
use opal_trust::input::Input;
use opal_trust::locations::HostPaths;
use opal_trust::policy::Policy;
use opal_trust::vouch::Vouches;
use opal_view::contract::{SHOWN_MAX, document, summary};
use serde_json::json;
use std::path::Path;

pub(super) fn inspect(matches: &ArgMatches, out: &Output) -> Result<u8, Refusal> {
    // No policy is asked: it decides nothing here, and may be what somebody looks into.
    let opener = Opener::new(Caller::from_environment().invoker(), HostPaths::from_environment().system_owner);
    let Inspect { contract: request, all } = Inspect::of(matches, &|path| opener.open(path))?;
    let plan = read(&request)?;
    let file = request.plan.path().display().to_string();
    let contract = plan.decode().map_err(|error| Refusal::from_format(&error, &file))?;
    contract.check_plan_hash().map_err(|error| Refusal::from_format(&error, &file))?;
    verify(contract.program).map_err(|error| Refusal::from_verify(&error, &file))?;
    let vouches = Vouches::read(&request.vouches)?.check(&contract.contract_hash, &contract.header.plan_hash)?;
    let known = unscrubbed_reasons(&contract, &request.identities)?;
    let keys = readable_keys(&request.identities);
    if out.json {
        let mut document = document(&plan, &contract, &vouches, &known);
        document.insert("host", host_json(probe()));
        document.insert("readable_keys", json!(keys));
        out.document(&document)?;
    } else {
        let most = if all { None } else { Some(SHOWN_MAX) };
        out.print_with(|to| {
            writeln!(to, "this host can enforce {}", probe().to_text())?;
            for key in &keys {
                writeln!(to, "steps can read `{key}`, a private key of this user")?;
            }
            writeln!(to)?;
            summary(to, &plan, &contract, &vouches, &known, out.style, most)
        })?;
    }
    Ok(0)
}

/// The private keys here that steps could read. A guarded run does not say: they are not the caller's to know.
fn readable_keys(named: &[Input]) -> Vec<String> {
    let (paths, caller) = (HostPaths::from_environment(), Caller::from_environment());
    let policy = Policy::load(&paths).ok().flatten().unwrap_or_default();
    if !caller.guarded(false).is_empty() || policy.sandbox().hide_identity {
        return Vec::new();
    }
    let shown = |file: &Path| escape(file.as_os_str().as_encoded_bytes(), false);
    KeyFiles::of(identity::places(&paths, named)).iter().map(shown).collect()
}

/// What a key tells of why values are not scrubbed; nothing where none is at hand. A file says nothing of its secrets: whoever has a key that opens it
/// asks the seed. Without `named` keys those of the caller count, but for a guarded run, where keys at hand are not the caller's.
///
/// # Errors
/// A named key that cannot be used, or where none of those that are named opens the contract.
pub fn unscrubbed_reasons(contract: &Contract<'_>, named: &[Input]) -> Result<Vec<Option<Unscrubbed>>, Refusal> {
    if named.is_empty() && !Caller::from_environment().guarded(false).is_empty() {
        return Ok(Vec::new());
    }
    let keys = match identity::at_hand(&HostPaths::from_environment(), named) {
        Err(error) if !named.is_empty() => return Err(error.into()),
        keys => keys.unwrap_or_default(),
    };
    match keys.iter().find_map(|key| contract.unseal(&key.signing).ok()) {
        Some(seed) => Ok(by_seed(contract.slots, contract.program, &seed)),
        None if named.is_empty() => Ok(Vec::new()),
        None => Err(Refusal::new(Code::InfraMissingSeedKeystore, "no key that is named with `--identity` opens this contract")
            .help("name the private key of one of those that `opal-vm inspect` lists as `opened by`")),
    }
}
