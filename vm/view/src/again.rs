//! The command that makes a contract anew, to be pasted.

use opal_core::duration;
use opal_core::plan::quoted;
use opal_core::show::{scalar_text, visible};
use opal_format::canonical::CanonicalValue;
use opal_format::hash::HashAlgorithm;
use opal_format::kind::Position;
use opal_format::reader::Contract;
use opal_trust::judge::Assessment;
use std::fmt::Write as _;
use std::path::Path;

/// Seconds for which a contract holds without `--expires`.
const EXPIRES_DEFAULT: i64 = 7 * 24 * 3600;

/// The command that makes a new contract for the same work, under the same restrictions, to take the place of `plan`. `signatories` are those who
/// signed.
#[must_use]
pub fn new_plan_command(contract: &Contract<'_>, signatories: &[Assessment], plan: &str) -> String {
    let quote = |text: &str| {
        let quoted = quoted(text.as_bytes(), Position::Word, true);
        visible(&String::from_utf8_lossy(&quoted))
    };
    let terms = &contract.terms;
    // A name that is relative to the agreed directory means something else where this is read.
    let source = match terms.source_name.as_str() {
        "" => "-".to_owned(),
        name => Path::new(&terms.directory).join(name).display().to_string(),
    };
    let mut out = format!("opalc {}", quote(&source));
    // A script's own work has no name.
    if !contract.header.target.is_empty() {
        let _ = write!(out, " {}", quote(contract.header.target));
    }
    for name in &terms.pass_env {
        let _ = write!(out, " --pass-env {}", quote(name));
    }
    // What restricts the contract restricts the next one too.
    if terms.no_public {
        out.push_str(" --no-public");
    }
    if terms.once {
        out.push_str(" --once");
    }
    if !terms.directory.is_empty() {
        let _ = write!(out, " --directory {}", quote(&terms.directory));
    }
    match terms.not_after.map(|end| end.saturating_sub(contract.header.timestamp)) {
        None => out.push_str(" --expires never"),
        Some(EXPIRES_DEFAULT) => {}
        Some(seconds) => {
            let _ = write!(out, " --expires {}", duration::format(seconds.saturating_mul(1_000_000_000)));
        }
    }
    // Sealed to whoever signed is what happens by itself.
    if !matches!(contract.recipients.as_slice(), [only] if signatories.iter().any(|one| one.signatory.key() == *only)) {
        for recipient in &contract.recipients {
            let _ = write!(out, " --recipient {}", quote(&recipient.to_string()));
        }
    }
    for host in &contract.audience {
        let _ = write!(out, " --host {}", quote(&host.to_string()));
    }
    if contract.header.algorithm != HashAlgorithm::Sha256 {
        let _ = write!(out, " --hash-algo {}", contract.header.algorithm.name());
    }
    let _ = write!(out, " --resolve -o {}", quote(plan));
    // After `--`, since a parameter may have the name of an option.
    if !terms.arguments.is_empty() {
        out.push_str(" --");
    }
    for argument in &terms.arguments {
        let value = CanonicalValue::decode(&argument.value).ok().and_then(scalar_text);
        if let Some(value) = value {
            let _ = write!(out, " {}", quote(&format!("--{}={}", argument.name, String::from_utf8_lossy(&value))));
        }
    }
    out
}
