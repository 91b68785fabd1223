//! `opal-vm resolve`: plans a contract's program on this host and writes what that gives as a new, unsigned contract. Nothing is run.

use super::boundary::{enter, result_mode};
use super::ends::unscrubbed;
use super::output::Output;
use super::policy::{small_file, unreadable};
use super::request::{Recipient, Resolve};
use super::verify::{report_drift, warnings};
use crate::admission::{Replanned, Site, admit, read, replan};
use crate::keys::Keys;
use crate::planner::{Planner, Replanning};
use clap::ArgMatches;
use jiff::Timestamp;
use opal_core::code::Code;
use opal_core::plan::{Plan, os_reason};
use opal_core::refusal::Refusal;
use opal_format::identity::PublicKey;
use opal_format::reader::Contract;
use opal_format::seed::Seed;
use opal_format::terms::Terms;
use opal_format::writer::{PlanContents, PlanFile};
use opal_record::results::{ResultPlace, Standing};
use opal_trust::input::Input;
use opal_view::drift::DriftReport;
use opal_view::resolved::Resolved;
use serde_json::{Value, json};
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;

/// Largest file of recipients.
const RECIPIENTS_SIZE_MAX: u64 = 64 << 10;

pub(super) fn resolve(matches: &ArgMatches, out: &Output) -> Result<u8, Refusal> {
    let mut site = super::site()?;
    let Resolve { contract: request, output, recipients: named } = Resolve::of(matches, &site)?;
    let real = request.plan.open().ok().and_then(|file| file.metadata().ok()).filter(|_| request.plan.path().as_os_str() != "-");
    if output.as_ref().zip(real).is_some_and(|(output, plan)| output.is(plan.dev(), plan.ino())) {
        return Err(Refusal::new(Code::Usage, "the new contract would take the place of the old one").help("name another file with `-o`"));
    }
    let mut recipients = Vec::new();
    for one in &named {
        recipients.extend(keys_of(one)?);
    }
    let plan = read(&request)?;
    let (mut planner, mut keys) = (super::planner()?, Keys::start()?);
    let admitted = admit(&plan, &request, &site, &mut planner, &mut keys)?;
    enter(&mut site, &admitted.contract.terms.directory)?;
    for warning in warnings(&admitted, &site) {
        out.say(&warning);
    }
    let contract = &admitted.contract;
    let no_random = |error: &dyn std::fmt::Display| Refusal::new(Code::NoRandom, error.to_string());
    let seed = Seed::generate().map_err(|error| no_random(&error))?;
    // What was compared is what is written: each thing was read once.
    let again = |replanned: &Replanned, replanning: &Replanning<'_>, planner: &mut Planner| match replanned.comparison.plan() {
        Some(_) => replanning.whole(planner, &seed, &replanned.sub_keys),
        None => Ok(None),
    };
    let (replanned, fresh) = replan(&admitted, &request, &site, &mut planner, &mut keys, &out.secrets, again)?;
    drop(planner);
    let Some(fresh) = fresh else { return report_drift(&admitted, &replanned.comparison, &request, None, out) };
    recipients.extend(&contract.recipients);
    recipients.sort_unstable();
    recipients.dedup();
    let (file, terms) = write(contract, &fresh, &seed, &recipients, site.now)?;
    let shown = output.as_ref().map_or_else(|| "-".to_owned(), |place| place.path().display().to_string());
    put(output.as_ref(), &file.to_bytes(), &site).map_err(|error| {
        Refusal::new(Code::CannotWrite, format!("cannot write the contract: {}", os_reason(&error)))
            .at(&shown)
            .help("check the directory and the space there, or name another file with `-o`")
    })?;
    let report = Resolved {
        contract,
        drift: DriftReport::new(contract, &replanned.comparison),
        new: file.contract_hash(),
        plan_hash: file.plan_hash(),
        file: output.as_ref().map(|_| shown.as_str()),
        not_after: terms.not_after,
        once: terms.once,
        recipients: &recipients,
    };
    if out.json {
        out.document(&report.document())?;
    }
    out.stream(|out| report.write(out));
    Ok(0)
}

/// The new contract: the same program and terms, its time counted anew from `now`.
fn write(
    contract: &Contract<'_>,
    plan: &Plan,
    seed: &Seed,
    recipients: &[PublicKey],
    now: Timestamp,
) -> Result<(PlanFile, Terms), Refusal> {
    let made = contract.header.timestamp;
    let not_after = contract.terms.not_after.map(|end| now.as_second().saturating_add(end.saturating_sub(made).max(1)));
    let regen_root = contract.terms.regen_root.filter(|_| !plan.sub_keys.is_empty());
    let terms = Terms { not_after, plan_type: plan.plan_type.number(), regen_root, ..contract.terms.clone() };
    let host = nix::unistd::gethostname().ok().map(|host| host.to_string_lossy().into_owned());
    let mut provenance = match serde_json::from_str(contract.provenance) {
        Ok(Value::Object(provenance)) => provenance,
        _ => serde_json::Map::new(),
    };
    provenance.insert("resolved_by".to_owned(), json!(concat!("opal-vm ", env!("CARGO_PKG_VERSION"))));
    provenance.insert("resolved_on".to_owned(), json!(host));
    provenance.insert("resolved_from".to_owned(), json!(contract.contract_hash.to_string()));
    let contents = PlanContents {
        algorithm: contract.header.algorithm,
        timestamp: now.as_second(),
        sources: &contract.sources,
        audience: &contract.audience,
        target: contract.header.target,
        terms: &terms,
        program: &contract.program.to_program(),
        steps: &plan.steps,
        slots: &plan.slots,
        sub_keys: &plan.sub_keys,
        provenance: &Value::Object(provenance).to_string(),
    };
    let file = contents.write(seed, recipients).map_err(|error| Refusal::new(Code::CannotMakeContract, error.to_string()))?;
    Ok((file, terms))
}

/// The keys that a `--recipient` gives: one as text, or those of a file, one a line.
fn keys_of(named: &Recipient) -> Result<Vec<PublicKey>, Refusal> {
    let help = "give a line like `ssh-ed25519 AAAA…`, or a file with such lines";
    let bad = |code, word: &str, cause: String| Refusal::new(code, format!("`--recipient {word}`: {cause}")).help(help);
    let file = match named {
        Recipient::Key(word) => {
            let key = word.parse().map_err(|error: opal_format::identity::KeyError| bad(Code::Usage, word, error.to_string()))?;
            return Ok(vec![key]);
        }
        Recipient::File(file) => file,
    };
    // Its keys would be shown, whoever may read the file.
    if file.is_hidden() {
        return Err(unreadable(file, &Input::denied()));
    }
    let word = file.path().display().to_string();
    let bytes = small_file(file, RECIPIENTS_SIZE_MAX)?;
    let text = String::from_utf8_lossy(&bytes);
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let keys: Result<Vec<PublicKey>, _> = lines.map(str::parse).collect();
    match keys {
        Ok(keys) if !keys.is_empty() => Ok(keys),
        Ok(_) => Err(bad(Code::BadRecipient, &word, "there is no public key in this file".to_owned())),
        Err(error) => Err(bad(Code::BadRecipient, &word, error.to_string())),
    }
}

/// Writes the whole file or leaves what was there. A device or FIFO is written to.
fn put(place: Option<&ResultPlace>, bytes: &[u8], site: &Site) -> io::Result<()> {
    let Some(place) = place else {
        return unscrubbed(bytes);
    };
    if place.standing() == Standing::Stream {
        return place.open_stream()?.write_all(bytes);
    }
    let mut new = place.make(result_mode(site))?;
    new.file().write_all(bytes)?;
    // Where the policy says where results go, none takes the place of another.
    new.put(!site.is_guarded())
}
