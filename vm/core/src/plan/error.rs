//! Why planning stopped. Each cause has one code; a message about a value names its key and type, never its text.

use opal_format::record::Span;

/// One cause for which no plan was made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Cause {
    /// An environment variable without default is unset.
    #[error("the environment variable `{0}` is not set")]
    EnvUnset(String),
    /// The text of a value does not read as the type that is wanted.
    #[error("`{key}` does not read as {expected}")]
    Unreadable {
        /// Key of the value, or a description.
        key: String,
        /// Wanted type.
        expected: &'static str,
    },
    /// A value has another type than the operation takes.
    #[error("{what} takes {expected}, not {found}")]
    Type {
        /// The operation or parameter.
        what: String,
        /// What it takes.
        expected: String,
        /// What it got.
        found: String,
    },
    /// A parameter's value is outside its bounds.
    #[error("{what} must be {expected}")]
    OutOfBounds {
        /// The parameter.
        what: String,
        /// Its bounds.
        expected: &'static str,
    },
    /// Arithmetic left its range.
    #[error("{0} overflows")]
    Overflow(&'static str),
    /// Division by zero.
    #[error("division by zero")]
    DivisionByZero,
    /// A Float result is not a number or infinite.
    #[error("{0} gives no finite number")]
    NotFinite(&'static str),
    /// An index outside the collection.
    #[error("index {index} is outside a collection of {length}")]
    IndexOutOfRange {
        /// The index, or the key of a secret.
        index: String,
        /// Length of the collection, or the key of a secret.
        length: String,
    },
    /// A key that the Map lacks.
    #[error("the Map has no key `{0}`")]
    NoSuchKey(String),
    /// One key twice in a Map.
    #[error("the Map has two values for key `{0}`")]
    DuplicateKey(String),
    /// A range whose end lies before its start.
    #[error("the range {first}...{last} runs backwards")]
    BackwardRange {
        /// First Int, or the key of a secret.
        first: String,
        /// Last Int, or the key of a secret.
        last: String,
    },
    /// A collection where one value must stand.
    #[error("{0} cannot stand here")]
    NotAWord(&'static str),
    /// A value that is not an Int where bash evaluates text.
    #[error("only an Int can stand where the shell evaluates arithmetic, not {0}")]
    NotAnInteger(&'static str),
    /// A redirection to the network.
    #[error("a value makes this redirection open a network connection")]
    NetworkRedirect,
    /// A String with a NUL byte.
    #[error("`{0}` holds a NUL byte")]
    NulByte(String),
    /// A value above what the kernel passes to a process.
    #[error("`{0}` is longer than the 128 KiB that a process can be given")]
    ValueTooLong(String),
    /// A script above what the kernel passes to a process.
    #[error("this command is longer than the 128 KiB that a process can be given")]
    ScriptTooLong,
    /// A secret where structure is decided.
    #[error("{what} depends on `{key}`, which is secret")]
    SecretStructure {
        /// Loop bound, collection length or condition.
        what: &'static str,
        /// Key of the secret.
        key: String,
    },
    /// A file that cannot be read.
    #[error("cannot read the file `{path}`: {reason}")]
    File {
        /// Key of the value.
        path: String,
        /// Whether it is not there at all.
        missing: bool,
        /// Operating system's reason, or ours.
        reason: String,
    },
    /// `regen_key` without a regen root.
    #[error("`regen_key` needs a regen root, and there is none")]
    NoRegenRoot,
    /// An argument of a value decorator that it does not take.
    #[error("{0}")]
    Argument(String),
    /// A variable used before it has a value.
    #[error("the variable `{0}` is used before it has a value")]
    Unset(String),
    /// A regular expression that does not compile.
    #[error("the regular expression is not valid: {0}")]
    Regex(String),
    /// `public=true` on something that looks secret.
    #[error("`public=true` on `{}`, which looks like a secret", name.as_deref().unwrap_or(key))]
    PublicSecret {
        /// Key of the value.
        key: String,
        /// The name that looks so, where the program has it written out.
        name: Option<String>,
    },
    /// A value whose evaluation needs the value itself.
    #[error("this value needs itself")]
    NeedsItself,
    /// A limit of the planner.
    #[error("the plan exceeds its limit of {limit} {what}")]
    Limit {
        /// What is limited.
        what: &'static str,
        /// The bound.
        limit: u64,
    },
    /// A bug: the verifier should have made this impossible.
    #[error("internal error in the planner: {0}")]
    Internal(&'static str),
}

impl Cause {
    /// Stable code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::EnvUnset(_) => "env_unset",
            Self::Unreadable { .. } => "value_unreadable",
            Self::Type { .. } => "type_mismatch",
            Self::OutOfBounds { .. } => "argument_out_of_bounds",
            Self::Overflow(_) => "overflow",
            Self::DivisionByZero => "division_by_zero",
            Self::NotFinite(_) => "not_finite",
            Self::IndexOutOfRange { .. } => "index_out_of_range",
            Self::NoSuchKey(_) => "no_such_key",
            Self::DuplicateKey(_) => "duplicate_key",
            Self::BackwardRange { .. } => "backward_range",
            Self::NotAWord(_) => "not_a_word",
            Self::NotAnInteger(_) => "not_an_integer",
            Self::NetworkRedirect => "network_redirect",
            Self::NulByte(_) => "nul_byte",
            Self::ValueTooLong(_) => "value_too_long",
            Self::ScriptTooLong => "script_too_long",
            Self::SecretStructure { .. } => "secret_structure",
            Self::File { .. } => "file_unreadable",
            Self::NoRegenRoot => "no_regen_root",
            Self::Argument(_) => "argument_invalid",
            Self::Unset(_) => "variable_unset",
            Self::Regex(_) => "regex_invalid",
            Self::PublicSecret { .. } => "public_secret",
            Self::NeedsItself => "value_needs_itself",
            Self::Limit { .. } => "limit_exceeded",
            Self::Internal(_) => "internal",
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn help(&self) -> Option<String> {
        Some(match self {
            Self::EnvUnset(name) => {
                format!("set it (`--env {name}=…` states what the target will have), or write `@env.{name}(default=\"…\")`")
            }
            Self::SecretStructure { key, .. } if key.contains("public=true") => "plan without `--no-public`".to_owned(),
            Self::SecretStructure { key, .. } => {
                // Without the ordinal of its resolution, a key is as the source has it.
                let written = key.rsplit_once('#').filter(|(head, _)| head.ends_with(')')).map_or(key.as_str(), |(head, _)| head);
                format!("if the value may be shown, write `public=true` at `@{written}`")
            }
            Self::NoRegenRoot => "make one, `opalc keygen --regen-root`, or copy that of those who plan with you; without `regen_key` the value changes with every contract".to_owned(),
            Self::PublicSecret { name: None, .. } => {
                "leave out `public=true`, or write the name out and allow it with `--public`, if the value may really be shown".to_owned()
            }
            Self::PublicSecret { name: Some(name), .. } => format!("add `--public {name}` if the value may really be shown"),
            Self::DivisionByZero => "ask with `if` whether it is 0 before".to_owned(),
            Self::BackwardRange { .. } => "ask with `if` whether the range is empty before".to_owned(),
            Self::NulByte(_) | Self::ValueTooLong(_) => "let the program read the file itself".to_owned(),
            Self::ScriptTooLong => "split it into several steps, or keep it in a script file".to_owned(),
            Self::File { .. } => "check the name, which is relative to the base directory, and the permissions".to_owned(),
            Self::NotAWord("an Array") => "let it stand alone in its word, or pick an element".to_owned(),
            Self::NotAWord("a Map") => "pick a value by key".to_owned(),
            Self::NotAnInteger(_) => "convert it with `int(…)`".to_owned(),
            Self::NeedsItself => "let what it is made of lead to values that are known".to_owned(),
            Self::Limit { .. } => "plan less in one contract, or bound the loop".to_owned(),
            _ => return None,
        })
    }
}

/// The codes of causes, each with what is said where nothing but the code is known: of a planner in another process, which gives no text. The
/// place of a code is its number between processes.
pub const STOPS: &[(&str, &str)] = &[
    ("internal", "internal error in the planner"),
    ("env_unset", "an environment variable is not set"),
    ("value_unreadable", "a value does not read as the type that is wanted"),
    ("type_mismatch", "a value has another type than the operation takes"),
    ("argument_out_of_bounds", "an argument is outside its bounds"),
    ("overflow", "a calculation overflows"),
    ("division_by_zero", "division by zero"),
    ("not_finite", "a calculation gives no finite number"),
    ("index_out_of_range", "an index is outside its collection"),
    ("no_such_key", "a Map has no such key"),
    ("duplicate_key", "a Map has two values for one key"),
    ("backward_range", "a range runs backwards"),
    ("not_a_word", "a collection stands where one value must"),
    ("not_an_integer", "only an Int can stand where the shell evaluates arithmetic"),
    ("network_redirect", "a value makes a redirection open a network connection"),
    ("nul_byte", "a value holds a NUL byte"),
    ("value_too_long", "a value is longer than the 128 KiB that a process can be given"),
    ("script_too_long", "a command is longer than the 128 KiB that a process can be given"),
    ("secret_structure", "a secret decides what must not depend on one"),
    ("file_unreadable", "a file cannot be read"),
    ("no_regen_root", "`regen_key` needs a regen root, and there is none"),
    ("argument_invalid", "an argument of a value decorator is not one that it takes"),
    ("variable_unset", "a variable is used before it has a value"),
    ("regex_invalid", "a regular expression is not valid"),
    ("public_secret", "`public=true` on what looks like a secret"),
    ("value_needs_itself", "a value needs itself"),
    ("limit_exceeded", "the plan exceeds a limit of the planner"),
];

impl Cause {
    /// Its number between processes.
    #[must_use]
    pub fn number(&self) -> u8 {
        STOPS.iter().position(|(code, _)| *code == self.code()).and_then(|at| u8::try_from(at).ok()).unwrap_or(0)
    }

    /// Key of the value that it is about, if it is about one.
    #[must_use]
    pub fn key(&self) -> Option<&str> {
        match self {
            Self::Unreadable { key, .. }
            | Self::SecretStructure { key, .. }
            | Self::File { path: key, .. }
            | Self::NulByte(key)
            | Self::ValueTooLong(key) => Some(key),
            _ => None,
        }
    }
}

/// A cause and where in the source it arose.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{cause}")]
pub struct PlanError {
    /// Why.
    pub cause: Cause,
    /// Where.
    pub span: Span,
}
