//! Why a policy cannot be used.
//!
//! Read for: who is trusted, and what policy allows.

use std::fmt;

use toml::Value;

use super::keys::Key;
use crate::safe_path::SafePathError;
use opal_core::code::Code;
use opal_core::failure::{Failure, Report};

/// Where the policy is, for messages.
pub const POLICY_FILE: &str = "/etc/opal/policy.toml";

/// Why a policy cannot be used. Everything stops (78).
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// The file or its directory is not root's alone.
    #[error(transparent)]
    Path(#[from] SafePathError),
    /// Not text, or not TOML.
    #[error("`{POLICY_FILE}` line {line}: {message}")]
    Syntax {
        /// Its line, from 1.
        line: usize,
        /// What is wrong.
        message: String,
    },
    /// A key that does not exist.
    #[error("`{POLICY_FILE}`: `{key}` is not a key")]
    UnknownKey {
        /// Table and key.
        key: String,
    },
    /// A key that is needed.
    #[error("`{POLICY_FILE}`: `{key}` is missing")]
    MissingKey {
        /// Table and key.
        key: &'static str,
    },
    /// A value that the key cannot hold.
    #[error("`{POLICY_FILE}`: `{key}` must be {wanted}, not `{value}`")]
    BadValue {
        /// Table and key.
        key: String,
        /// What it holds.
        wanted: String,
        /// What stands there.
        value: String,
    },
}

impl Failure for PolicyError {
    fn report(&self) -> Report {
        let correct = || format!("correct {POLICY_FILE}; nothing runs until then");
        let (code, help) = match self {
            Self::Path(error) => return error.report(),
            Self::Syntax { .. } => (Code::PolicySyntax, correct()),
            Self::MissingKey { .. } => (Code::PolicyMissingKey, correct()),
            Self::BadValue { .. } => (Code::PolicyBadValue, correct()),
            Self::UnknownKey { key } => {
                let last = key.rsplit('.').next();
                let near = Key::ALL.iter().find(|known| known.name().rsplit('.').next() == last);
                let help = near.map(|near| format!("did you mean `{}`?", near.name()));
                (Code::PolicyUnknownKey, help.unwrap_or_else(correct))
            }
        };
        Report::new(code, help)
    }
}

pub(super) fn bad_value(key: &str, wanted: impl fmt::Display, value: &Value) -> PolicyError {
    let value = match value {
        Value::String(text) => text.clone(),
        Value::Table(_) => "a table".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        Value::Integer(number) => number.to_string(),
        Value::Float(number) => number.to_string(),
        Value::Boolean(value) => value.to_string(),
        Value::Datetime(value) => value.to_string(),
    };
    PolicyError::BadValue { key: key.to_owned(), wanted: wanted.to_string(), value }
}
