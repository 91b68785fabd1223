//! What `opal-vm resolve` made, and what that differs in from what it was made of.

use crate::drift::{DriftReport, WithDrift};
use crate::trusted::steps;
use jiff::Timestamp;
use opal_format::hash::Digest;
use opal_format::identity::PublicKey;
use opal_format::reader::Contract;
use serde_json::json;
use std::io::{self, Write};

/// A contract that was made of another.
pub struct Resolved<'a> {
    /// The other.
    pub contract: &'a Contract<'a>,
    /// What differs from it here.
    pub drift: DriftReport<'a>,
    /// The name of the new one.
    pub new: Digest,
    /// The name of its work.
    pub plan_hash: Option<Digest>,
    /// Where it is; `None` for standard output.
    pub file: Option<&'a str>,
    /// Its end.
    pub not_after: Option<i64>,
    /// Whether it runs once.
    pub once: bool,
    /// Who opens it.
    pub recipients: &'a [PublicKey],
}

impl Resolved<'_> {
    fn end(&self) -> Option<String> {
        self.not_after.and_then(|end| Timestamp::from_second(end).ok()).map(|end| end.to_string())
    }

    fn plan_hash(&self) -> String {
        self.plan_hash.map(|hash| hash.to_string()).unwrap_or_default()
    }

    /// For machines.
    #[must_use]
    pub fn document(&self) -> WithDrift<'_> {
        let fields = json!({
            "schema": "opal/resolve/v1", "verdict": if self.drift.is_empty() { "same" } else { "drift" }, "effects": "none",
            "file": self.file.unwrap_or("-"), "from": self.contract.contract_hash.to_string(), "contract_hash": self.new.to_string(),
            "plan_hash": self.plan_hash(), "target": self.contract.header.target, "not_after": self.end(), "once": self.once,
            "hosts": self.contract.audience.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "recipients": self.recipients.iter().map(ToString::to_string).collect::<Vec<_>>(),
        });
        WithDrift::new(fields, &self.drift)
    }

    /// For people.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        self.drift.write(out, "drift")?;
        if self.drift.is_empty() {
            writeln!(out, "no value that was read here differs ({})", steps(self.contract))?;
        }
        writeln!(out, "contract    {}\nplan        {}", self.new, self.plan_hash())?;
        writeln!(out, "from        {}\nexpires     {}", self.contract.contract_hash, self.end().as_deref().unwrap_or("never"))?;
        writeln!(out, "signed by   nobody; review it, then: `opalc sign {}`", self.file.unwrap_or("FILE"))?;
        for key in self.recipients {
            writeln!(out, "opened by   {}", key.fingerprint())?;
        }
        for host in &self.contract.audience {
            writeln!(out, "for host    {}", host.fingerprint())?;
        }
        out.write_all(b"effects: none (nothing was run)\n")
    }
}
