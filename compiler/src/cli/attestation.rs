//! Vouches and receipts for people, for machines, and as in-toto statements in DSSE envelopes (spec/attestations.md).

use super::failure::Failure;
use super::signer::Signer;
use base64ct::{Base64, Encoding as _};
use opal_core::code::Code;
use opal_core::show::escape;
use opal_format::attestation::{Attestation, NAMESPACE_RECEIPT, NAMESPACE_VOUCH, Vouched};
use opal_format::hash::Digest;
use opal_format::signature::{SignatureError, SshSignature};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::path::Path;

/// What in-toto statements are carried as.
const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";
const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";
const VOUCH_TYPE: &str = "urn:opal:vouch:v1";
const RECEIPT_TYPE: &str = "urn:opal:receipt:v1";

/// A genuine attestation.
pub(crate) struct Shown {
    signature: SshSignature,
    statement: String,
    what: What,
}

enum What {
    Vouch { about: Vouched, digest: Digest },
    Receipt { records: Vec<Value> },
}

/// Reads an attestation and verifies its signature.
pub(crate) fn read(bytes: &[u8], path: &Path) -> Result<Shown, Failure> {
    let shown = path.display().to_string();
    let signed =
        |error: SignatureError| Failure::new(Code::of_format(error.code()), error.to_string()).at(&*shown).with_help("have it made again");
    let malformed =
        |code: Code, message: &str| Failure::new(code, message).at(&*shown).with_help("fetch the file again from where it was made");
    let truncated = || malformed(Code::AttestationTruncated, "the file ends too early");
    match Attestation::read(bytes, NAMESPACE_VOUCH) {
        Ok(Attestation { signature, statement }) => {
            let statement = std::str::from_utf8(statement).unwrap_or_default();
            if !statement.ends_with('\n') {
                return Err(truncated());
            }
            signature.verify(statement.as_bytes()).map_err(signed)?;
            let (about, digest) = Vouched::parse(statement.as_bytes())
                .ok_or_else(|| malformed(Code::AttestationMalformed, "this vouches for something that is no contract and no plan"))?;
            return Ok(Shown { signature, statement: statement.to_owned(), what: What::Vouch { about, digest } });
        }
        Err(SignatureError::Namespace { .. }) => {}
        // Without the end of its armour there is nothing that could verify.
        Err(SignatureError::Malformed) if !bytes.windows(7).any(|window| window == b"\n-----E") => return Err(truncated()),
        Err(error) => return Err(signed(error)),
    }
    let Attestation { signature, statement } = Attestation::read(bytes, NAMESPACE_RECEIPT).map_err(|error| match error {
        SignatureError::Namespace { .. } => {
            malformed(Code::AttestationUnknown, "this signature is neither that of a vouch nor that of a receipt")
        }
        error => signed(error),
    })?;
    // A receipt that was cut is told apart from one that was changed by its last line.
    let text = std::str::from_utf8(statement).map_err(|_| malformed(Code::AttestationMalformed, "this is not UTF-8 text"))?;
    let records: Option<Vec<Value>> = text.lines().map(|line| serde_json::from_str(line).ok()).collect();
    let complete = records.as_ref().and_then(|records| records.last()).is_some_and(|last| last["record"] == "end");
    if !complete || !text.ends_with('\n') {
        return Err(truncated());
    }
    signature.verify(text.as_bytes()).map_err(signed)?;
    let records = records.unwrap_or_default();
    let counted = records.last().and_then(|end| end["records"].as_u64());
    if records.first().is_none_or(|first| first["schema"] != "opal/receipt/v1") || counted != records.len().checked_sub(1).map(|n| n as u64)
    {
        return Err(malformed(Code::AttestationMalformed, "this is no receipt that this version can read"));
    }
    Ok(Shown { signature, statement: text.to_owned(), what: What::Receipt { records } })
}

impl Shown {
    /// One JSON document.
    pub(crate) fn document(&self) -> Value {
        let key = &self.signature.signatory;
        let signer = json!({"key": key.to_string(), "fingerprint": key.fingerprint()});
        match &self.what {
            What::Vouch { about, digest } => {
                json!({"schema": "opal/vouch/v1", "signer": signer, "for": about.name(), "digest": digest.to_string()})
            }
            What::Receipt { records } => json!({"schema": "opal/receipt-shown/v1", "signer": signer, "records": records}),
        }
    }

    /// For people.
    pub(crate) fn text(&self) -> String {
        let signer = self.signature.signatory.fingerprint();
        match &self.what {
            What::Vouch { about, digest } => {
                let counted = if *about == Vouched::Plan { " (counted by nobody)" } else { "" };
                format!("vouch for:  {} {digest}{counted}\nsigned by:  {signer}\n", about.name())
            }
            What::Receipt { records } => receipt_text(records, &signer),
        }
    }

    /// An in-toto statement in a DSSE envelope that `signer` signs.
    pub(crate) fn in_toto(&self, signer: &Signer) -> Result<Value, Failure> {
        let armor = self.signature.to_armor();
        let key = self.signature.signatory.to_string();
        let (predicate_type, name, digest, mut predicate) = match &self.what {
            What::Vouch { about, digest } => (VOUCH_TYPE, about.name(), *digest, json!({"for": about.name()})),
            What::Receipt { records } => {
                let digest = records.first().and_then(|run| run["contract_hash"].as_str()).and_then(|text| text.parse().ok());
                let digest = digest.ok_or_else(|| {
                    Failure::new(Code::AttestationMalformed, "the receipt names no contract")
                        .with_help("fetch the file again from where it was made")
                })?;
                (RECEIPT_TYPE, Vouched::Contract.name(), digest, json!({"records": records}))
            }
        };
        if let Some(predicate) = predicate.as_object_mut() {
            let sshsig = json!({"key": key, "namespace": self.signature.namespace(), "armor": armor, "signed": self.statement});
            predicate.insert("sshsig".to_owned(), sshsig);
        }
        let hex = opal_core::hex::encode(&digest.bytes);
        let statement = json!({
            "_type": STATEMENT_TYPE,
            "subject": [{"name": name, "digest": {digest.algorithm.name(): hex}}],
            "predicateType": predicate_type,
            "predicate": predicate,
        });
        let payload = statement.to_string();
        let signature = signer.sign_raw(&pae(PAYLOAD_TYPE, payload.as_bytes()))?;
        Ok(json!({
            "payloadType": PAYLOAD_TYPE,
            "payload": Base64::encode_string(payload.as_bytes()),
            "signatures": [{"keyid": signer.public().fingerprint(), "sig": Base64::encode_string(&signature)}],
        }))
    }
}

/// What a DSSE signature is over (DSSE v1, "pre-authentication encoding"). It begins with the name of its purpose, so no SSHSIG is one.
fn pae(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    [format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len()).as_bytes(), payload].concat()
}

fn receipt_text(records: &[Value], signer: &str) -> String {
    let field = |record: &Value, name: &str| match &record[name] {
        Value::Null => "-".to_owned(),
        Value::String(text) => escape(text.as_bytes(), false),
        other => escape(other.to_string().as_bytes(), false),
    };
    let mut text = String::new();
    let (Some(run), Some(end)) = (records.first(), records.last()) else { return text };
    for (label, value) in [
        ("receipt:", field(run, "run_id")),
        ("signed by:", signer.to_owned()),
        ("host:", format!("{} (uid {})", field(run, "host"), field(run, "uid"))),
        ("contract:", field(run, "contract_hash")),
        ("plan:", field(run, "plan_hash")),
        ("target:", format!("{} from {}", field(run, "target"), field(run, "source"))),
        ("began:", field(run, "at")),
        ("ended:", field(end, "at")),
        ("outcome:", format!("{} (exit status {}, effects {})", field(end, "outcome"), field(end, "exit"), field(end, "effects"))),
        ("steps:", format!("{} of {} ran", field(end, "steps_done"), field(end, "steps_total"))),
    ] {
        let _ = writeln!(text, "{label:<12}{value}");
    }
    if run["forced"] == true {
        let _ = writeln!(text, "{:<12}it ran in spite of drift", "forced:");
    }
    if run["resumed"] == true {
        let _ = writeln!(text, "{:<12}it went on with an earlier part of this run, which is not in here", "resumed:");
    }
    if !run["from"].is_null() {
        let _ = writeln!(text, "{:<12}it began at step {}", "partial:", field(run, "from"));
    }
    for record in records.iter().filter(|record| record["record"] == "step_done") {
        let how = match (&record["stopped"], &record["signal"], &record["exit"]) {
            (Value::String(stopped), ..) => escape(stopped.as_bytes(), false),
            (_, signal @ Value::Number(_), _) => format!("signal {signal}"),
            (.., exit @ Value::Number(_)) => format!("exit {exit}"),
            _ => "done".to_owned(),
        };
        let _ = writeln!(text, "  {}  {how}", field(record, "path"));
    }
    for failure in end["failures"].as_array().into_iter().flatten() {
        let handled = if failure["handled"] == true { " (handled)" } else { "" };
        let _ = writeln!(text, "failed:     {}: {}{handled}", field(failure, "path"), field(failure, "cause"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    // The example of the DSSE specification.
    #[test]
    fn the_encoding_before_signing_is_that_of_dsse() {
        assert_eq!(pae("http://example.com/HelloWorld", b"hello world"), b"DSSEv1 29 http://example.com/HelloWorld 11 hello world");
    }
}
