//! `[[signer]]`: what one principal may sign.

use toml::Value;

use super::error::{PolicyError, bad_value};
use super::keys::read_list;
use crate::pattern::matches;

/// What one principal may sign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignerEntry {
    /// A principal of `allowed_signers`, or a pattern of some.
    pub principal: String,
    /// Patterns of targets; without them, every target.
    pub targets: Option<Vec<String>>,
    /// Patterns of source names; without them, every source.
    pub sources: Option<Vec<String>>,
}

impl SignerEntry {
    /// Whether the principal may sign this target from this source.
    #[must_use]
    pub fn covers(&self, target: &str, source: &str) -> bool {
        let within = |list: &Option<Vec<String>>, name: &str| {
            list.as_ref().is_none_or(|patterns| patterns.iter().any(|pattern| matches(pattern, name)))
        };
        within(&self.targets, target) && within(&self.sources, source)
    }

    /// One entry of the file.
    pub(super) fn read(value: &Value) -> Result<Self, PolicyError> {
        let table = value.as_table().ok_or_else(|| bad_value("signer", "an array of tables, `[[signer]]`", value))?;
        let any = |text: &str| !text.is_empty();
        let (mut principal, mut targets, mut sources) = (None, None, None);
        for (key, value) in table {
            let name = format!("signer.{key}");
            let patterns = || read_list(value, any).map(Some).map_err(|wrong| bad_value(&name, "a list of names or patterns", wrong));
            match key.as_str() {
                "principal" => {
                    principal = value
                        .as_str()
                        .filter(|text| any(text))
                        .map(|text| Some(text.to_owned()))
                        .ok_or_else(|| bad_value(&name, "a principal of allowed_signers", value))?
                }
                "targets" => targets = patterns()?,
                "sources" => sources = patterns()?,
                _ => return Err(PolicyError::UnknownKey { key: name }),
            }
        }
        let principal = principal.ok_or(PolicyError::MissingKey { key: "signer.principal" })?;
        Ok(Self { principal, targets, sources })
    }
}
