//! `opal-vm resolve`: plans a contract's program on this host and writes what that gives as a new, unsigned contract. Nothing is run.

use super::output::{Output, to_stderr};
use super::verify::{count, drift_text, report_drift, warnings};
use crate::admission::{admit, plan_here, read, replan};
use clap::ArgMatches;
use jiff::Timestamp;
use opal_core::decorators::{ENV, FILE_READ, FILE_SHA256, PASS_ENV};
use opal_core::plan::{Plan, Scalar, os_reason};
use opal_core::refusal::Refusal;
use opal_format::identity::PublicKey;
use opal_format::reader::Contract;
use opal_format::seed::Seed;
use opal_format::terms::Terms;
use opal_format::writer::{PlanContents, PlanFile};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// Largest file of recipients.
const RECIPIENTS_SIZE_MAX: u64 = 64 << 10;

pub(super) fn resolve(matches: &ArgMatches, out: &Output) -> Result<u8, Refusal> {
    let output = matches.get_one::<PathBuf>("output").cloned().unwrap_or_default();
    let standard = output.as_os_str() == "-";
    if standard && out.json {
        return Err(
            Refusal::new("usage", 64, "the contract and `--json` cannot both go to standard output").help("name a file: `-o NEW.plan`")
        );
    }
    let site = super::site()?;
    let request = super::options::request(matches)?;
    let same_file = |path: &Path| std::fs::canonicalize(path).ok();
    if !standard && same_file(&output).is_some_and(|real| same_file(&request.plan) == Some(real)) {
        return Err(Refusal::new("usage", 64, "the new contract would take the place of the old one").help("name another file with `-o`"));
    }
    let mut recipients = Vec::new();
    for word in matches.get_many::<String>("recipient").into_iter().flatten() {
        recipients.extend(keys_of(word)?);
    }
    let plan = read(&request)?;
    let admitted = admit(&plan, &request, &site)?;
    for warning in warnings(&admitted, &site) {
        let _ = to_stderr(&out.painted(&warning));
    }
    let contract = &admitted.contract;
    let replanned = replan(&admitted, &request, &site)?;
    let Some(compared) = &replanned.plan else { return report_drift(&admitted, &replanned, &request, None, out) };
    let no_random = |error: &dyn std::fmt::Display| Refusal::new("no_random", 69, error.to_string());
    let seed = Seed::generate().map_err(|error| no_random(&error))?;
    let moved = || {
        Refusal::new("reality_moved", 3, "what planning reads changed while it was read")
            .help("wait until nobody writes to it, then resolve again")
    };
    let fresh = plan_here(&admitted, &site, &seed, &replanned.sub_keys)?.map_err(|_| moved())?;
    if !same_inputs(compared, &fresh) {
        return Err(moved());
    }
    recipients.extend(&contract.recipients);
    recipients.sort_unstable();
    recipients.dedup();
    let (file, terms) = write(contract, &fresh, &seed, &recipients, site.now)?;
    put(&output, &file.to_bytes()).map_err(|error| {
        Refusal::new("cannot_write", 74, format!("cannot write the contract: {}", os_reason(&error)))
            .at(output.display().to_string())
            .help("check the directory and the space there, or name another file with `-o`")
    })?;
    let (from, new) = (contract.contract_hash, file.contract_hash());
    let plan_hash = file.plan_hash().map(|hash| hash.to_string()).unwrap_or_default();
    let same = replanned.drift.is_empty();
    let end = terms.not_after.and_then(|end| Timestamp::from_second(end).ok()).map(|end| end.to_string());
    if out.json {
        out.document(&json!({
            "schema": "opal/resolve/v1", "verdict": if same { "same" } else { "drift" }, "effects": "none",
            "drift": replanned.drift.iter().map(opal_core::compare::Drift::to_json).collect::<Vec<_>>(),
            "file": output.display().to_string(), "from": from.to_string(), "contract_hash": new.to_string(), "plan_hash": plan_hash,
            "target": contract.header.target, "not_after": end, "once": terms.once,
            "recipients": recipients.iter().map(ToString::to_string).collect::<Vec<_>>(),
        }))?;
    }
    let mut text = drift_text("drift", contract, &replanned.drift);
    if same {
        let _ = writeln!(text, "no value that was read here differs ({})", count(contract));
    }
    let _ =
        writeln!(text, "contract    {new}\nplan        {plan_hash}\nfrom        {from}\nexpires     {}", end.as_deref().unwrap_or("never"));
    let _ = writeln!(
        text,
        "signed by   nobody; review it, then: `opalc sign {}`",
        if standard { "FILE".into() } else { output.to_string_lossy() }
    );
    for key in &recipients {
        let _ = writeln!(text, "opened by   {}", key.fingerprint());
    }
    text.push_str("effects: none (nothing was run)\n");
    let _ = to_stderr(&out.painted(&text));
    Ok(0)
}

/// Whether two plans of one program, under different seeds, read the same: what was shown is then what is written.
fn same_inputs(a: &Plan, b: &Plan) -> bool {
    let read = |plan: &Plan| -> Vec<(Vec<u8>, Option<Scalar>)> {
        let slots = plan.slots.slots.iter().zip(&plan.values);
        let read = slots.filter(|(slot, _)| matches!(slot.decorator.to_native(), ENV | PASS_ENV | FILE_READ | FILE_SHA256));
        read.map(|(slot, value)| (slot.key.of(&plan.slots.text).unwrap_or_default().to_vec(), value.clone())).collect()
    };
    a.steps.nodes.len() == b.steps.nodes.len() && read(a) == read(b)
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
        source_hash: contract.header.source_hash.bytes,
        target: contract.header.target,
        terms: &terms,
        program: &contract.program.to_program(),
        steps: &plan.steps,
        slots: &plan.slots,
        sub_keys: &plan.sub_keys,
        provenance: &Value::Object(provenance).to_string(),
    };
    let file = contents.write(seed, recipients).map_err(|error| Refusal::new("cannot_make_contract", 65, error.to_string()))?;
    Ok((file, terms))
}

/// The keys that a `--recipient` gives: one as text, or those of a file, one a line.
fn keys_of(word: &str) -> Result<Vec<PublicKey>, Refusal> {
    let help = "give a line like `ssh-ed25519 AAAA…`, or a file with such lines";
    let bad = |exit, code, cause: String| Refusal::new(code, exit, format!("`--recipient {word}`: {cause}")).help(help);
    if word.starts_with("ssh-") {
        return Ok(vec![word.parse().map_err(|error: opal_format::identity::KeyError| bad(64, "usage", error.to_string()))?]);
    }
    let bytes = super::options::small_file(Path::new(word), RECIPIENTS_SIZE_MAX)?;
    let text = String::from_utf8_lossy(&bytes);
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let keys: Result<Vec<PublicKey>, _> = lines.map(str::parse).collect();
    match keys {
        Ok(keys) if !keys.is_empty() => Ok(keys),
        Ok(_) => Err(bad(65, "bad_recipient", "there is no public key in this file".to_owned())),
        Err(error) => Err(bad(65, "bad_recipient", error.to_string())),
    }
}

/// Writes the whole file or leaves what was there: under another name, synced, then renamed. A device or FIFO is written to.
fn put(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if path.as_os_str() == "-" {
        let mut stdout = io::stdout().lock();
        return stdout.write_all(bytes).and_then(|()| stdout.flush());
    }
    let real = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    if real.metadata().is_ok_and(|data| !data.is_file()) {
        return std::fs::OpenOptions::new().write(true).open(&real)?.write_all(bytes);
    }
    let mut name = std::ffi::OsString::from(".");
    name.push(real.file_name().ok_or(io::ErrorKind::InvalidInput)?);
    name.push(format!(".{}", std::process::id()));
    let temporary = real.with_file_name(name);
    let written = std::fs::OpenOptions::new().write(true).create_new(true).open(&temporary).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&temporary, &real)
    });
    written.inspect_err(|_| _ = std::fs::remove_file(&temporary))
}
