//! `[[signer]]`: what one principal may sign.
//!
//! Read for: who is trusted, and what policy allows.

use opal_format::canonical::CanonicalValue;
use opal_format::hash::{Digest, HashAlgorithm};
use opal_format::program_hash::program_hash;
use opal_format::reader::Contract;
use opal_format::terms::BoundArgument;
use toml::Value;

use super::error::{PolicyError, bad_value};
use super::keys::read_list;
use crate::pattern::matches;
use opal_core::duration;

/// What a contract is about, as far as entries speak of it.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The name of its target: a claim of whoever made it.
    pub target: &'a str,
    /// The name of its source: a claim too.
    pub source: &'a str,
    /// The digest of its program, computed on this host.
    pub program: Digest,
    /// What its target is called with.
    pub arguments: &'a [BoundArgument],
}

impl<'a> Subject<'a> {
    /// What a contract says of itself, and what its program is.
    #[must_use]
    pub fn of(contract: &'a Contract<'_>) -> Self {
        let (target, source, arguments) = (contract.header.target, &contract.terms.source_name, &contract.terms.arguments);
        Self { target, source, program: program_hash(&contract.program), arguments }
    }
}

/// What one principal may sign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignerEntry {
    /// A principal of `allowed_signers`, or a pattern of some.
    pub principal: String,
    /// Patterns of targets; without them, every target.
    pub targets: Option<Vec<String>>,
    /// Patterns of source names; without them, every source.
    pub sources: Option<Vec<String>>,
    /// Digests of programs; without them, every program.
    pub programs: Option<Vec<Digest>>,
    /// For names of arguments, the values that each may have, in their one encoding. Others may be anything.
    pub arguments: Vec<(String, Vec<Vec<u8>>)>,
}

impl SignerEntry {
    /// What keeps the principal from signing this, in words; nothing where they may.
    #[must_use]
    pub fn mismatch(&self, subject: &Subject<'_>) -> Option<String> {
        let within = |list: &Option<Vec<String>>, name: &str| {
            list.as_ref().is_none_or(|patterns| patterns.iter().any(|pattern| matches(pattern, name)))
        };
        if !within(&self.targets, subject.target) {
            return Some("the target that it claims is not among `targets`".to_owned());
        }
        if !within(&self.sources, subject.source) {
            return Some("the source that it claims is not among `sources`".to_owned());
        }
        if self.programs.as_ref().is_some_and(|programs| !programs.contains(&subject.program)) {
            return Some(format!("its program, {}, is not among `programs`", subject.program));
        }
        let value = |name: &str| subject.arguments.iter().find(|argument| argument.name == name).map(|argument| &argument.value);
        let (name, _) = self.arguments.iter().find(|(name, allowed)| value(name).is_none_or(|value| !allowed.contains(value)))?;
        Some(match value(name) {
            Some(_) => format!("its argument `{name}` has another value than `arguments` allows"),
            None => format!("it has no argument `{name}`, which `arguments` names"),
        })
    }

    /// One entry of the file.
    pub(super) fn read(value: &Value) -> Result<Self, PolicyError> {
        let table = value.as_table().ok_or_else(|| bad_value("signer", "an array of tables, `[[signer]]`", value))?;
        let mut entry = Self { principal: String::new(), targets: None, sources: None, programs: None, arguments: Vec::new() };
        for (key, value) in table {
            let name = format!("signer.{key}");
            let bad = |wanted: &'static str| move |wrong: &Value| bad_value(&format!("signer.{key}"), wanted, wrong);
            let patterns = || read_list(value, is_name).map_err(bad("a list of names or patterns"));
            match key.as_str() {
                "principal" => {
                    let principal = value.as_str().filter(|text| is_name(text));
                    principal.ok_or_else(|| bad("a principal of allowed_signers")(value))?.clone_into(&mut entry.principal);
                }
                "targets" => entry.targets = Some(patterns()?),
                "sources" => entry.sources = Some(patterns()?),
                "programs" => {
                    let list =
                        read_list(value, |text| digest(text).is_some()).map_err(bad("a list of digests of programs, `sha256:HEX`"))?;
                    entry.programs = Some(list.iter().filter_map(|text| digest(text)).collect());
                }
                "arguments" => {
                    let table = value.as_table().ok_or_else(|| bad("a table of arguments and the values that they may have")(value))?;
                    let allowed = |(name, value): (&String, &Value)| {
                        let values = read_values(value).map_err(|wrong| {
                            bad_value(&format!("signer.arguments.{name}"), "a text, number, true or false, or a list of these", wrong)
                        })?;
                        Ok((name.clone(), values))
                    };
                    entry.arguments = table.iter().map(allowed).collect::<Result<_, PolicyError>>()?;
                }
                _ => return Err(PolicyError::UnknownKey { key: name }),
            }
        }
        if entry.principal.is_empty() {
            return Err(PolicyError::MissingKey { key: "signer.principal" });
        }
        Ok(entry)
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty()
}

/// The digest of a program is SHA-256, whatever the algorithm of a contract.
fn digest(text: &str) -> Option<Digest> {
    text.parse().ok().filter(|digest: &Digest| digest.algorithm == HashAlgorithm::Sha256)
}

/// The encodings of one value or of several, or the part of them that stands for none.
fn read_values(value: &Value) -> Result<Vec<Vec<u8>>, &Value> {
    let items = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
    let encodings: Vec<Vec<Vec<u8>>> = items.iter().map(|item| encodings(item).ok_or(item)).collect::<Result<_, _>>()?;
    Ok(encodings.concat())
}

/// The encodings of the values that one in the file stands for: a text is a String, and a Duration where it reads as one.
fn encodings(value: &Value) -> Option<Vec<Vec<u8>>> {
    let encoded = |value: CanonicalValue| value.encode().ok();
    Some(match value {
        Value::String(text) => {
            let span = duration::parse(text).ok().map(CanonicalValue::Duration).and_then(encoded);
            span.into_iter().chain([encoded(CanonicalValue::String(text.clone().into_bytes()))?]).collect()
        }
        Value::Integer(number) => vec![encoded(CanonicalValue::Int(*number))?],
        Value::Float(number) => vec![encoded(CanonicalValue::Float(*number))?],
        Value::Boolean(value) => vec![encoded(CanonicalValue::Bool(*value))?],
        Value::Array(_) | Value::Table(_) | Value::Datetime(_) => return None,
    })
}
