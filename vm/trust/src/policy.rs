//! `/etc/opal/policy.toml`: what this host's owner lets contracts do.
//!
//! One table, [`KEYS`], says for each key what it holds and which way it tightens; reading and
//! `opal-vm policy check` follow it. A key that the file leaves out has the built-in default, which the method that
//! reads it states. Any defect of the file stops every run (78).
//!
//! Read for: who is trusted, and what policy allows.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use opal_format::kind::PlanType;
use toml::{Table, Value};

use super::locations::HostPaths;
use super::pattern::matches;
use super::safe_path::SafePathError;
use opal_core::agreed::DirectAllowed;
use opal_core::code::Code;
use opal_core::decorators::{NODE_DECORATORS, OPERATIONS, VALUE_DECORATORS};
use opal_core::duration;
use opal_core::failure::{Failure, Report};
use opal_core::sandbox::{Host, Sandbox, SandboxLevel};

/// Where the policy is, for messages.
pub const POLICY_FILE: &str = "/etc/opal/policy.toml";

/// What a key holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `true` or `false`.
    Bool,
    /// A whole number from 1.
    Count,
    /// A duration that is not negative, as text: `"24h"`.
    Duration,
    /// An absolute path.
    Path,
    /// The value of `PATH`.
    SearchPath,
    /// Names of decorators without `@`; `file` covers `file.read`.
    Decorators,
    /// Names of plan types.
    PlanTypes,
    /// Names of environment variables; `*` and `?` as in the shell.
    Variables,
    /// Absolute paths.
    Paths,
    /// One of these, the loosest first.
    Choice(&'static [&'static str]),
}

/// Which of two settings is the stricter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tighter {
    /// `true`.
    True,
    /// `false`.
    False,
    /// The smaller one.
    Smaller,
    /// The larger one; of choices, the later one.
    Larger,
    /// What both lists accept.
    Fewer,
    /// What either list names.
    More,
    /// Neither: the policy's own stands.
    Fixed,
}

/// One key of the file.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// Table and key, joined by a dot.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// Its tightening direction.
    pub tighter: Tighter,
    /// What holds where the file leaves it out.
    pub default: &'static str,
    /// What it does, in one line.
    pub help: &'static str,
}

const fn key(name: &'static str, kind: Kind, tighter: Tighter, default: &'static str, help: &'static str) -> Key {
    Key { name, kind, tighter, default, help }
}

/// `env.mode`, the loosest first.
const ENV_MODES: &[&str] = &["inherit", "clean"];
/// `sandbox.level`, the loosest first.
const SANDBOX_LEVELS: &[&str] = &["none", "best-effort", "required"];
/// `sandbox.planner`, the loosest first.
const PLANNER_LEVELS: &[&str] = &["best-effort", "required"];

/// Every key except those of `[[signer]]`.
pub const KEYS: &[Key] = &[
    key("trust.require_signature", Kind::Bool, Tighter::True, "true in a guarded run", "only signatures count, never flags"),
    key("trust.threshold", Kind::Count, Tighter::Larger, "1", "distinct principals that must have signed"),
    key("trust.touch", Kind::Bool, Tighter::True, "false", "only signatures by a security key count, which somebody has touched"),
    key("trust.vouches", Kind::Count, Tighter::Larger, "none", "distinct principals, none of them a signer, that must vouch"),
    key("trust.own_identity", Kind::Bool, Tighter::False, "false", "the caller's own signature counts in guarded runs"),
    key("trust.direct", Kind::Bool, Tighter::False, "false", "runs without a contract, whatever is demanded of contracts"),
    key("plan.max_age", Kind::Duration, Tighter::Smaller, "no limit", "time since the contract was made"),
    key("plan.require_expiry", Kind::Bool, Tighter::True, "false", "contracts must expire"),
    key("plan.require_source", Kind::Bool, Tighter::True, "false", "the source must be there and match"),
    key("plan.single_use", Kind::Bool, Tighter::True, "false", "every contract runs once"),
    key("plan.partial", Kind::Bool, Tighter::False, "false in a guarded run", "guarded runs may start in the middle"),
    key("plan.force", Kind::Bool, Tighter::False, "false in a guarded run", "guarded runs may go on in spite of drift of values"),
    key("plan.types", Kind::PlanTypes, Tighter::Fewer, "every type", "types of plan that may run"),
    key("decorators.allow", Kind::Decorators, Tighter::Fewer, "every decorator", "the only decorators that may be used"),
    key("decorators.deny", Kind::Decorators, Tighter::More, "none", "decorators that may not be used"),
    key("env.mode", Kind::Choice(ENV_MODES), Tighter::Larger, "clean in a guarded run", "whether steps inherit the environment"),
    key("env.pass", Kind::Variables, Tighter::Fewer, "none", "variables that a clean environment keeps"),
    key("env.path", Kind::SearchPath, Tighter::Fixed, "the system's in a clean environment", "PATH of the steps"),
    key("run.shell", Kind::Path, Tighter::Fixed, "any", "the only bash that may run steps"),
    key("run.output", Kind::Path, Tighter::Fixed, "nowhere in a guarded run", "the directory of results that callers name"),
    key("run.directory", Kind::Path, Tighter::Fixed, "where a run is started", "the directory that steps start in"),
    key("run.reveal", Kind::Bool, Tighter::False, "false in a guarded run", "guarded runs may show values and drafts of policies"),
    key("run.timeout", Kind::Duration, Tighter::Smaller, "no limit", "time for a whole run"),
    key("run.grace", Kind::Duration, Tighter::Smaller, "5s", "time between TERM and KILL"),
    key("run.max_parallel", Kind::Count, Tighter::Smaller, "no limit", "branches at once"),
    key("run.max_steps", Kind::Count, Tighter::Smaller, "1000000", "steps of one contract"),
    key("sandbox.level", Kind::Choice(SANDBOX_LEVELS), Tighter::Larger, "none", "confinement of the steps"),
    key("sandbox.read", Kind::Paths, Tighter::Fewer, "everywhere", "where confined steps may read"),
    key("sandbox.write", Kind::Paths, Tighter::Fewer, "everywhere", "where confined steps may write"),
    key("sandbox.planner", Kind::Choice(PLANNER_LEVELS), Tighter::Larger, "best-effort", "whether a planner that nothing holds may plan"),
    key("sandbox.network", Kind::Bool, Tighter::False, "true", "confined steps may use the network"),
];

impl Tighter {
    /// In words.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::True => "true is stricter",
            Self::False => "false is stricter",
            Self::Smaller => "less is stricter",
            Self::Larger => "more is stricter",
            Self::Fewer => "fewer names are stricter",
            Self::More => "more names are stricter",
            Self::Fixed => "no flag changes it",
        }
    }
}

/// Looks a key up by its name.
#[must_use]
pub fn key_named(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

/// The value of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Setting {
    /// For [`Kind::Bool`].
    Bool(bool),
    /// For [`Kind::Count`], nanoseconds for [`Kind::Duration`], the index for [`Kind::Choice`].
    Number(i64),
    /// For [`Kind::Path`] and [`Kind::SearchPath`].
    Text(String),
    /// For every list.
    List(Vec<String>),
}

impl Setting {
    /// The setting as the file would write it.
    #[must_use]
    pub fn show(&self, kind: Kind) -> String {
        match (self, kind) {
            (Self::Number(n), Kind::Duration) => format!("\"{}\"", duration::format(*n)),
            (Self::Number(n), Kind::Choice(names)) => {
                let name = usize::try_from(*n).ok().and_then(|index| names.get(index));
                format!("{:?}", name.copied().unwrap_or_default())
            }
            (Self::Number(n), _) => n.to_string(),
            (Self::Bool(b), _) => b.to_string(),
            (Self::Text(text), _) => format!("{text:?}"),
            (Self::List(list), _) => format!("{list:?}"),
        }
    }
}

/// Whether an entry of a list takes in a name: the same, a pattern of it, or a namespace or directory above it.
fn covers(entry: &str, name: &str) -> bool {
    let below = |separator| name.strip_prefix(entry.trim_end_matches('/')).is_some_and(|rest: &str| rest.starts_with(separator));
    matches(entry, name) || below('.') || below('/')
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
}

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
                let near = KEYS.iter().find(|known| known.name.rsplit('.').next() == last);
                let help = near.map(|near| format!("did you mean `{}`?", near.name));
                (Code::PolicyUnknownKey, help.unwrap_or_else(correct))
            }
        };
        Report::new(code, help)
    }
}

/// A refusal by policy (24).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{subject}, which `{key}` in {POLICY_FILE} does not allow")]
pub struct Refused {
    /// The key that refuses.
    pub key: &'static str,
    /// What it refuses.
    pub subject: String,
}

impl Failure for Refused {
    fn report(&self) -> Report {
        let help = format!("ask the owner of this host to change `{}`, or plan without it", self.key);
        Report::new(Code::PolicyRefused, help)
    }
}

/// What trust asks of signatures, from the policy and the kind of run.
#[derive(Debug, Clone, Copy)]
pub struct Rules<'a> {
    /// How many distinct principals must have signed; 0 counts as 1.
    pub threshold: u32,
    /// Whether neither `--expect` nor `--allow-unsigned` stands in for signatures.
    pub require_signature: bool,
    /// Whether only signatures by a security key count, which somebody has touched.
    pub touch: bool,
    /// What each principal may sign. Where there are entries, one without any may sign nothing; where there are none, everything.
    pub entries: &'a [SignerEntry],
}

/// The policy of this host. [`Policy::default`] is the built-in one, which restricts nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Policy {
    settings: BTreeMap<&'static str, Setting>,
    /// `[[signer]]`. Several entries of one principal add up.
    pub signers: Vec<SignerEntry>,
}

impl Policy {
    /// Reads `/etc/opal/policy.toml`; `None` if there is none.
    ///
    /// # Errors
    /// A [`PolicyError`]; the caller must stop.
    pub fn load(paths: &HostPaths) -> Result<Option<Self>, PolicyError> {
        paths.read_etc("policy.toml")?.map(|bytes| Self::parse(&bytes)).transpose()
    }

    /// Reads the bytes of a policy.
    ///
    /// # Errors
    /// A [`PolicyError`] for the first defect.
    pub fn parse(bytes: &[u8]) -> Result<Self, PolicyError> {
        let line_at = |at: usize| bytes.iter().take(at).filter(|b| **b == b'\n').count().saturating_add(1);
        let text = std::str::from_utf8(bytes)
            .map_err(|error| PolicyError::Syntax { line: line_at(error.valid_up_to()), message: "it is not UTF-8 text".to_owned() })?;
        let tables: Table = text.parse().map_err(|error: toml::de::Error| PolicyError::Syntax {
            line: line_at(error.span().map_or(0, |span| span.start)),
            message: error.message().to_owned(),
        })?;
        let mut policy = Self::default();
        for (table, content) in tables {
            match content {
                Value::Array(entries) if table == "signer" => {
                    policy.signers = entries.into_iter().map(read_signer).collect::<Result<_, _>>()?;
                }
                Value::Table(content) if is_table(&table) => {
                    for (name, value) in content {
                        let name = format!("{table}.{name}");
                        let key = key_named(&name).ok_or(PolicyError::UnknownKey { key: name })?;
                        policy.settings.insert(key.name, read_setting(key.name, key.kind, value)?);
                    }
                }
                _ if table == "signer" => return Err(bad_value("signer", "an array of tables, `[[signer]]`", &content)),
                _ => return Err(PolicyError::UnknownKey { key: table }),
            }
        }
        Ok(policy)
    }

    /// Every key that is set, with its value as the file would write it.
    pub fn explain(&self) -> impl Iterator<Item = (&'static Key, String)> + '_ {
        KEYS.iter().filter_map(|key| self.settings.get(key.name).map(|setting| (key, setting.show(key.kind))))
    }

    fn is_set(&self, name: &str, default: bool) -> bool {
        match self.settings.get(name) {
            Some(Setting::Bool(value)) => *value,
            _ => default,
        }
    }

    fn number(&self, name: &str) -> Option<i64> {
        match self.settings.get(name) {
            Some(Setting::Number(value)) => Some(*value),
            _ => None,
        }
    }

    fn count(&self, name: &str) -> Option<u32> {
        self.number(name).and_then(|n| u32::try_from(n).ok())
    }

    fn list(&self, name: &str) -> Option<&[String]> {
        match self.settings.get(name) {
            Some(Setting::List(list)) => Some(list),
            _ => None,
        }
    }

    fn text(&self, name: &str) -> Option<&str> {
        match self.settings.get(name) {
            Some(Setting::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// `trust.own_identity`, by default no.
    #[must_use]
    pub fn own_identity(&self) -> bool {
        self.is_set("trust.own_identity", false)
    }

    /// What [`judge`](super::judge::judge) asks of signatures. They are required by the key, and in a guarded run unless the key says no:
    /// whoever may only start such a run must not be able to choose what it is. `set_uid` says that the caller did not have the rights of
    /// this process before; such a run always requires them.
    #[must_use]
    pub fn trust_rules(&self, guarded: bool, set_uid: bool) -> Rules<'_> {
        Rules {
            threshold: self.count("trust.threshold").unwrap_or(1),
            require_signature: self.is_set("trust.require_signature", guarded) || set_uid,
            touch: self.is_set("trust.touch", false),
            entries: &self.signers,
        }
    }

    /// `trust.vouches`, by default none.
    #[must_use]
    pub fn vouches(&self) -> u32 {
        self.count("trust.vouches").unwrap_or(0)
    }

    /// Whether steps may run without a contract. What the file demands of a contract, a run without one has not: each such key refuses it.
    ///
    /// # Errors
    /// [`Refused`] by the first of these keys, without `trust.direct`.
    pub fn check_direct(&self) -> Result<DirectAllowed, Refused> {
        let more_than_one = self.count("trust.threshold").is_some_and(|need| need > 1);
        let demands = [
            ("trust.require_signature", self.is_set("trust.require_signature", false)),
            ("trust.threshold", more_than_one),
            ("trust.vouches", self.vouches() > 0),
            ("trust.touch", self.is_set("trust.touch", false)),
            ("plan.require_expiry", self.is_set("plan.require_expiry", false)),
            ("plan.max_age", self.number("plan.max_age").is_some()),
        ];
        let demanded = demands.into_iter().find(|(_, demanded)| *demanded).filter(|_| !self.is_set("trust.direct", false));
        let verdict = demanded.map_or(Ok(()), |(key, _)| refuse_if(true, key, || "this run has no contract".to_owned()));
        DirectAllowed::judged(verdict)
    }

    /// Judges whether a contract may be without an end, by `plan.require_expiry` (default yes).
    ///
    /// # Errors
    /// [`Refused`] with the key.
    pub fn check_end(&self, not_after: Option<i64>) -> Result<(), Refused> {
        let endless = self.is_set("plan.require_expiry", false) && not_after.is_none();
        refuse_if(endless, "plan.require_expiry", || "the contract never expires".to_owned())
    }

    /// Judges the age of a contract by `plan.max_age` (default none). One from the future is as old as it is early.
    ///
    /// # Errors
    /// [`Refused`] with the key.
    pub fn check_age(&self, created: Timestamp, now: Timestamp) -> Result<(), Refused> {
        let age = now.as_nanosecond().abs_diff(created.as_nanosecond());
        let too_old = self.number("plan.max_age").is_some_and(|max| age > u128::from(max.unsigned_abs()));
        refuse_if(too_old, "plan.max_age", || format!("the contract was made at {created}"))
    }

    /// Judges the type of a plan by `plan.types` (default all).
    ///
    /// # Errors
    /// [`Refused`] with the key.
    pub fn check_plan_type(&self, plan_type: PlanType) -> Result<(), Refused> {
        let name = plan_type.name();
        let refused = self.list("plan.types").is_some_and(|types| !types.iter().any(|allowed| allowed == name));
        refuse_if(refused, "plan.types", || format!("the plan is of type `{name}`"))
    }

    /// Judges whether a run may go without its source being checked, by `plan.require_source` (default no).
    ///
    /// # Errors
    /// [`Refused`] with the key.
    pub fn check_source(&self, source_checked: bool) -> Result<(), Refused> {
        let refused = self.is_set("plan.require_source", false) && !source_checked;
        refuse_if(refused, "plan.require_source", || "the source is not here".to_owned())
    }

    /// `plan.single_use`, by default no.
    #[must_use]
    pub fn single_use(&self) -> bool {
        self.is_set("plan.single_use", false)
    }

    /// Judges a start in the middle by `plan.partial`, by default only in runs that are not guarded.
    ///
    /// # Errors
    /// [`Refused`] with the key.
    pub fn check_partial(&self, guarded: bool) -> Result<(), Refused> {
        let refused = !self.is_set("plan.partial", !guarded);
        refuse_if(refused, "plan.partial", || "the run would start in the middle".to_owned())
    }

    /// Judges a run in spite of drift by `plan.force`, by default only in runs that are not guarded: values were signed for as well, and
    /// whoever runs a guarded contract must not be able to choose others.
    ///
    /// # Errors
    /// [`Refused`] with the key.
    pub fn check_force(&self, guarded: bool) -> Result<(), Refused> {
        let refused = !self.is_set("plan.force", !guarded);
        refuse_if(refused, "plan.force", || "`--force` would run in spite of drift".to_owned())
    }

    /// Judges the use of a decorator, by name without `@`. `decorators.deny` goes first, then `decorators.allow`
    /// (default all). A variable promised to the steps counts as `env`.
    ///
    /// # Errors
    /// [`Refused`] with the key.
    pub fn check_decorator(&self, name: &str) -> Result<(), Refused> {
        let named_in = |list: &[String]| list.iter().any(|entry| covers(entry, name) || (name == "pass_env" && covers(entry, "env")));
        let subject = || format!("the plan uses `@{name}`");
        refuse_if(self.list("decorators.deny").is_some_and(named_in), "decorators.deny", subject)?;
        refuse_if(self.list("decorators.allow").is_some_and(|list| !named_in(list)), "decorators.allow", subject)
    }

    /// Whether steps start from a clean environment: `env.mode`, by default in guarded runs.
    #[must_use]
    pub fn clean_environment(&self, guarded: bool) -> bool {
        self.number("env.mode").map_or(guarded, |mode| mode > 0)
    }

    /// Whether a clean environment keeps a variable: `env.pass`, by default none.
    #[must_use]
    pub fn passes_variable(&self, name: &str) -> bool {
        self.list("env.pass").is_some_and(|list| list.iter().any(|pattern| matches(pattern, name)))
    }

    /// `env.path`: the steps' `PATH`, by default the system's in a clean environment and the caller's else.
    #[must_use]
    pub fn search_path(&self) -> Option<&str> {
        self.text("env.path")
    }

    /// Judges the shell that a contract names by `run.shell` (default any).
    ///
    /// # Errors
    /// [`Refused`] with the key.
    pub fn check_shell(&self, shell: &str) -> Result<(), Refused> {
        let refused = self.text("run.shell").is_some_and(|allowed| allowed != shell);
        refuse_if(refused, "run.shell", || format!("the steps run in `{shell}`"))
    }

    /// `run.output`: where the results of guarded runs go, by default nowhere.
    #[must_use]
    pub fn output(&self) -> Option<&str> {
        self.text("run.output")
    }

    /// The directory that a run starts in, where the policy or the contract (`agreed`, empty for none) says it.
    ///
    /// # Errors
    /// [`Refused`] by `run.directory` where the two differ.
    pub fn start_directory<'a>(&'a self, agreed: &'a str) -> Result<Option<&'a str>, Refused> {
        let agreed = Some(agreed).filter(|agreed| !agreed.is_empty());
        let Some(fixed) = self.text("run.directory") else { return Ok(agreed) };
        // A `/` at the end names no other place.
        let other = agreed.filter(|agreed| std::path::Path::new(agreed) != std::path::Path::new(fixed));
        refuse_if(other.is_some(), "run.directory", || format!("the contract is to start in `{}`", other.unwrap_or_default()))?;
        Ok(Some(fixed))
    }

    /// Judges whether a single-use contract is counted where nobody but root can move the count: by `plan.single_use` it must be.
    ///
    /// # Errors
    /// [`Refused`] with the key, where `system` says that the ledger of this run is not the system's.
    pub fn check_ledger(&self, system: bool) -> Result<(), Refused> {
        let refused = self.single_use() && !system;
        refuse_if(refused, "plan.single_use", || "only root's runs are counted in the system's ledger; this is a user's run".to_owned())
    }

    /// Judges whether whoever called may be shown what root can read, by `run.reveal`; by default only in runs that are not guarded.
    ///
    /// # Errors
    /// [`Refused`] with the key.
    pub fn check_reveal(&self, guarded: bool, what: &str) -> Result<(), Refused> {
        refuse_if(!self.is_set("run.reveal", !guarded), "run.reveal", || what.to_owned())
    }

    /// Judges the number of steps by `run.max_steps` (default: the format's limit).
    ///
    /// # Errors
    /// [`Refused`] with the key.
    pub fn check_steps(&self, steps: usize) -> Result<(), Refused> {
        let limit = self.count("run.max_steps").and_then(|limit| usize::try_from(limit).ok());
        refuse_if(limit.is_some_and(|limit| steps > limit), "run.max_steps", || format!("the plan has {steps} steps"))
    }

    /// `run.timeout` in nanoseconds, by default none.
    #[must_use]
    pub fn timeout_ns(&self) -> Option<i64> {
        self.number("run.timeout")
    }

    /// The time between TERM and KILL, in nanoseconds: `default`, or `run.grace` if that is shorter.
    #[must_use]
    pub fn grace_ns(&self, default: i64) -> i64 {
        self.number("run.grace").map_or(default, |limit| limit.min(default))
    }

    /// How many branches may run at once: `wanted`, or `run.max_parallel` if that is fewer.
    #[must_use]
    pub fn parallel(&self, wanted: u32) -> u32 {
        self.count("run.max_parallel").map_or(wanted, |limit| limit.min(wanted))
    }

    /// Refuses every run where `sandbox.level` is `required` and this host cannot enforce what the other keys ask for.
    ///
    /// # Errors
    /// [`Refused`] with the key.
    pub fn check_sandbox(&self, host: Host) -> Result<(), Refused> {
        let missing = self.sandbox().missing(host).filter(|_| self.sandbox_level() == SandboxLevel::Required);
        refuse_if(missing.is_some(), "sandbox.level", || format!("the steps would run unconfined ({})", missing.unwrap_or_default()))
    }

    /// Refuses every contract where `sandbox.planner` is `required` and something that holds the planner is `missing` here.
    ///
    /// # Errors
    /// [`Refused`] with the key.
    pub fn check_planner(&self, missing: Option<&str>) -> Result<(), Refused> {
        let required = self.number("sandbox.planner") == Some(1);
        refuse_if(required && missing.is_some(), "sandbox.planner", || {
            format!("nothing would hold the process that plans ({})", missing.unwrap_or_default())
        })
    }

    /// `[sandbox]`: what confines every step, by default nothing.
    #[must_use]
    pub fn sandbox(&self) -> Sandbox {
        let list = |name| self.list(name).map(<[String]>::to_vec);
        let (level, network) = (self.sandbox_level(), self.is_set("sandbox.network", true));
        Sandbox { level, read: list("sandbox.read"), write: list("sandbox.write"), network }
    }

    /// `sandbox.level`, by default none.
    #[must_use]
    pub fn sandbox_level(&self) -> SandboxLevel {
        match self.number("sandbox.level") {
            None | Some(0) => SandboxLevel::None,
            Some(1) => SandboxLevel::BestEffort,
            Some(_) => SandboxLevel::Required,
        }
    }
}

fn refuse_if(refused: bool, key: &'static str, subject: impl FnOnce() -> String) -> Result<(), Refused> {
    if refused { Err(Refused { key, subject: subject() }) } else { Ok(()) }
}

fn bad_value(key: &str, wanted: impl fmt::Display, value: &Value) -> PolicyError {
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

fn read_setting(name: &str, kind: Kind, value: Value) -> Result<Setting, PolicyError> {
    let setting = match (kind, &value) {
        (Kind::Bool, Value::Boolean(b)) => Some(Setting::Bool(*b)),
        (Kind::Count, Value::Integer(n)) if (1..=i64::from(u32::MAX)).contains(n) => Some(Setting::Number(*n)),
        (Kind::Duration, Value::String(text)) => duration::parse(text).ok().filter(|ns| *ns >= 0).map(Setting::Number),
        (Kind::Choice(names), Value::String(text)) => {
            (0..).zip(names).find(|(_, name)| *name == text).map(|(index, _)| Setting::Number(index))
        }
        (Kind::Path, Value::String(text)) if is_path(text) => Some(Setting::Text(text.clone())),
        (Kind::SearchPath, Value::String(text)) if text.split(':').all(is_path) => Some(Setting::Text(text.clone())),
        (Kind::Decorators, _) => return read_list(name, &value, wanted(kind), is_decorator).map(Setting::List),
        (Kind::PlanTypes, _) => return read_list(name, &value, wanted(kind), is_plan_type).map(Setting::List),
        (Kind::Variables, _) => return read_list(name, &value, wanted(kind), is_variable).map(Setting::List),
        (Kind::Paths, _) => return read_list(name, &value, wanted(kind), is_path).map(Setting::List),
        _ => None,
    };
    setting.ok_or_else(|| match kind {
        Kind::Choice(names) => bad_value(name, format!("one of `{}`", names.join("`, `")), &value),
        _ => bad_value(name, wanted(kind), &value),
    })
}

fn wanted(kind: Kind) -> &'static str {
    match kind {
        Kind::Bool => "true or false",
        Kind::Count => "a whole number from 1",
        Kind::Duration => "a duration that is not negative, such as \"24h\"",
        Kind::Path => "an absolute path",
        Kind::SearchPath => "absolute paths with `:` between them",
        Kind::Decorators => "a list of decorators without `@`, such as [\"env\", \"file.read\"]",
        Kind::PlanTypes => "a list of plan types, such as [\"atomic\", \"sequence\"]",
        Kind::Variables => "a list of names of environment variables",
        Kind::Paths => "a list of absolute paths",
        Kind::Choice(_) => "one of its names",
    }
}

fn read_list(name: &str, value: &Value, wanted: &str, good: impl Fn(&str) -> bool) -> Result<Vec<String>, PolicyError> {
    let Value::Array(items) = value else { return Err(bad_value(name, wanted, value)) };
    let read = |item: &Value| match item {
        Value::String(text) if good(text) => Ok(text.clone()),
        other => Err(bad_value(name, wanted, other)),
    };
    items.iter().map(read).collect()
}

fn is_table(name: &str) -> bool {
    KEYS.iter().any(|key| key.name.split('.').next() == Some(name))
}

fn is_path(text: &str) -> bool {
    text.starts_with('/') && !text.contains('\0')
}

/// A misspelt name in `deny` would deny nothing, so a name must cover a decorator that exists.
fn is_decorator(text: &str) -> bool {
    let mut names = VALUE_DECORATORS.iter().map(|d| d.name).chain(NODE_DECORATORS.iter().chain(OPERATIONS).map(|d| d.name));
    names.any(|name| covers(text, name))
}

fn is_plan_type(text: &str) -> bool {
    PlanType::ALL.iter().any(|known| known.name() == text && *known != PlanType::Adaptive)
}

fn is_variable(text: &str) -> bool {
    !text.is_empty() && !text.contains(['=', '\0'])
}

fn read_signer(value: Value) -> Result<SignerEntry, PolicyError> {
    let Value::Table(mut table) = value else {
        return Err(bad_value("signer", "an array of tables, `[[signer]]`", &value));
    };
    let any = |text: &str| !text.is_empty();
    let principal = match table.remove("principal") {
        Some(Value::String(text)) if any(&text) => text,
        Some(other) => return Err(bad_value("signer.principal", "a principal of allowed_signers", &other)),
        None => return Err(PolicyError::MissingKey { key: "signer.principal" }),
    };
    let mut patterns = |key: &str, name: &str| {
        let list = table.remove(key).map(|value| read_list(name, &value, "a list of names or patterns", any));
        list.transpose()
    };
    let (targets, sources) = (patterns("targets", "signer.targets")?, patterns("sources", "signer.sources")?);
    match table.keys().next() {
        Some(key) => Err(PolicyError::UnknownKey { key: format!("signer.{key}") }),
        None => Ok(SignerEntry { principal, targets, sources }),
    }
}

#[cfg(test)]
mod tests {
    use super::super::locations::fixture;
    use super::*;
    use proptest::prelude::*;
    use std::os::unix::fs::PermissionsExt as _;

    const FULL: &str = r#"
        [trust]
        require_signature = true
        threshold = 2
        touch = true
        vouches = 1
        own_identity = true
        direct = true
        [[signer]]
        principal = "alice"
        targets = ["deploy", "db-*"]
        [[signer]]
        principal = "bob"
        sources = ["ops/*.opl"]
        [plan]
        max_age = "24h"
        require_expiry = true
        require_source = true
        single_use = true
        partial = true
        force = false
        types = ["atomic", "sequence"]
        [decorators]
        allow = ["shell", "env", "file"]
        deny = ["file.read"]
        [env]
        mode = "clean"
        pass = ["LC_*", "CI"]
        path = "/usr/bin:/bin"
        [run]
        shell = "/bin/bash"
        output = "/srv/results"
        directory = "/srv/app"
        reveal = true
        timeout = "1h"
        grace = "2s"
        max_parallel = 3
        max_steps = 10
        [sandbox]
        level = "best-effort"
        read = ["/usr"]
        write = ["/srv/app"]
        planner = "required"
        network = false
    "#;

    fn policy(text: &str) -> Policy {
        Policy::parse(text.as_bytes()).expect("reads")
    }

    fn time(text: &str) -> Timestamp {
        text.parse().expect("time")
    }

    fn refuser(result: Result<(), Refused>) -> &'static str {
        let refused = result.expect_err("refused");
        assert_eq!(refused.exit(), 24);
        assert!(refused.to_string().contains(refused.key), "{refused}");
        refused.key
    }

    #[test]
    fn every_key_is_read_and_shown_as_the_file_writes_it() {
        let read = policy(FULL);
        let shown: Vec<_> = read.explain().map(|(key, text)| (key.name, text)).collect();
        assert_eq!(shown.len(), KEYS.len());
        for (name, text) in shown {
            let (table, key) = name.split_once('.').expect("table and key");
            let again = policy(&format!("[{table}]\n{key} = {text}"));
            assert_eq!(again.settings.get(name), read.settings.get(name), "{name} = {text}");
        }
        assert_eq!(read.signers.len(), 2);
    }

    #[test]
    fn the_built_in_policy_refuses_only_what_a_guarded_run_may_not_do() {
        let built_in = Policy::default();
        let now = time("2026-01-01T00:00:00Z");
        assert_eq!(built_in.check_age(time("1999-01-01T00:00:00Z"), now), Ok(()));
        assert_eq!(built_in.check_end(None), Ok(()));
        assert!(built_in.check_direct().is_ok());
        assert_eq!(built_in.check_source(false), Ok(()));
        assert_eq!(built_in.check_force(false), Ok(()));
        assert_eq!(refuser(built_in.check_force(true)), "plan.force");
        assert_eq!(built_in.check_partial(false), Ok(()));
        assert_eq!(refuser(built_in.check_partial(true)), "plan.partial");
        assert_eq!(built_in.check_decorator("shell"), Ok(()));
        assert_eq!(built_in.check_shell("/any/bash"), Ok(()));
        assert_eq!(built_in.check_steps(usize::MAX), Ok(()));
        assert_eq!(built_in.check_plan_type(PlanType::Campaign), Ok(()));
        assert!(!built_in.clean_environment(false) && built_in.clean_environment(true));
        assert!(!built_in.passes_variable("CI") && !built_in.own_identity() && !built_in.single_use());
        assert_eq!((built_in.timeout_ns(), built_in.grace_ns(5), built_in.parallel(8)), (None, 5, 8));
        let sandbox = built_in.sandbox();
        assert_eq!((sandbox.level, sandbox.network, sandbox.read), (SandboxLevel::None, true, None));
        let requires = |policy: &Policy, guarded, set_uid| policy.trust_rules(guarded, set_uid).require_signature;
        assert!(!requires(&built_in, false, false) && requires(&built_in, true, false) && requires(&built_in, true, true));
        let lenient = policy("trust.require_signature = false");
        assert!(!requires(&lenient, true, false) && requires(&lenient, true, true));
    }

    #[test]
    fn each_key_refuses_what_it_names_and_nothing_else() {
        let full = policy(FULL);
        let (now, created) = (time("2026-01-02T00:00:00Z"), time("2026-01-01T00:00:00Z"));
        assert_eq!((full.check_age(created, now), full.check_end(Some(0))), (Ok(()), Ok(())));
        assert_eq!(refuser(full.check_end(None)), "plan.require_expiry");
        assert_eq!(refuser(full.check_age(time("2025-12-31T23:59:59Z"), now)), "plan.max_age");
        assert_eq!(refuser(full.check_age(time("2026-01-03T00:00:01Z"), now)), "plan.max_age");
        assert_eq!(refuser(full.check_source(false)), "plan.require_source");
        assert_eq!(full.check_source(true), Ok(()));
        assert_eq!(refuser(full.check_force(false)), "plan.force");
        assert_eq!(full.check_partial(true), Ok(()));
        assert!(full.single_use() && full.own_identity());
        assert_eq!(refuser(full.check_plan_type(PlanType::Matrix)), "plan.types");
        assert_eq!(full.check_plan_type(PlanType::Atomic), Ok(()));
        assert_eq!(full.check_decorator("file.sha256"), Ok(()));
        assert_eq!(full.check_decorator("pass_env"), Ok(()));
        assert_eq!(refuser(full.check_decorator("file.read")), "decorators.deny");
        assert_eq!(refuser(full.check_decorator("random.password")), "decorators.allow");
        assert_eq!(full.check_shell("/bin/bash"), Ok(()));
        assert_eq!(refuser(full.check_shell("/tmp/bash")), "run.shell");
        assert_eq!(full.check_steps(10), Ok(()));
        assert_eq!(refuser(full.check_steps(11)), "run.max_steps");
        assert!(full.check_direct().is_ok());
        assert_eq!(full.start_directory(""), Ok(Some("/srv/app")));
        assert_eq!(full.start_directory("/srv/app"), Ok(Some("/srv/app")));
        assert_eq!(full.start_directory("/srv/other").expect_err("refused").key, "run.directory");
        assert_eq!(Policy::default().start_directory("/a"), Ok(Some("/a")));
        assert_eq!((Policy::default().start_directory(""), Policy::default().check_ledger(false)), (Ok(None), Ok(())));
        assert_eq!((refuser(full.check_ledger(false)), full.check_ledger(true)), ("plan.single_use", Ok(())));
        assert_eq!((full.output(), full.check_reveal(true, "this")), (Some("/srv/results"), Ok(())));
        assert_eq!(refuser(Policy::default().check_reveal(true, "this")), "run.reveal");
        assert_eq!(refuser(policy("run.reveal = false").check_reveal(false, "this")), "run.reveal");
        assert_eq!((Policy::default().output(), Policy::default().check_reveal(false, "this")), (None, Ok(())));
        for (key, value) in [
            ("trust.require_signature", "true"),
            ("trust.threshold", "2"),
            ("trust.vouches", "1"),
            ("trust.touch", "true"),
            ("plan.require_expiry", "true"),
            ("plan.max_age", "\"1h\""),
        ] {
            assert_eq!(refuser(policy(&format!("{key} = {value}")).check_direct().map(drop)), key);
            assert!(policy(&format!("{key} = {value}\ntrust.direct = true")).check_direct().is_ok());
        }
        assert!(policy("trust.threshold = 1\nplan.require_expiry = false").check_direct().is_ok());
        assert_eq!(refuser(policy("decorators.deny = [\"env\"]").check_decorator("pass_env")), "decorators.deny");
        assert_eq!(refuser(policy("decorators.deny = [\"pass_env\"]").check_decorator("pass_env")), "decorators.deny");
        assert!(full.passes_variable("LC_ALL") && full.passes_variable("CI") && !full.passes_variable("HOME"));
        assert_eq!(full.search_path(), Some("/usr/bin:/bin"));
        assert_eq!(full.timeout_ns(), Some(3_600_000_000_000));
        assert_eq!((full.grace_ns(5_000_000_000), full.parallel(8), full.parallel(2)), (2_000_000_000, 3, 2));
        assert_eq!(full.sandbox_level(), SandboxLevel::BestEffort);
        let (new, old, none) =
            (Host { landlock: 6, seccomp: true }, Host { landlock: 2, seccomp: true }, Host { landlock: 0, seccomp: true });
        assert_eq!(full.check_sandbox(none), Ok(()));
        let required = policy("sandbox.level = \"required\"");
        assert_eq!((required.check_sandbox(new), required.check_sandbox(old)), (Ok(()), Ok(())));
        assert_eq!(refuser(required.check_sandbox(none)), "sandbox.level");
        let built_in = Policy::default();
        assert_eq!((built_in.check_planner(Some("nothing")), built_in.check_planner(None)), (Ok(()), Ok(())));
        let held = policy("sandbox.planner = \"required\"");
        assert_eq!((held.check_planner(None), refuser(held.check_planner(Some("nothing")))), (Ok(()), "sandbox.planner"));
        assert_eq!(refuser(required.check_sandbox(Host { seccomp: false, ..new })), "sandbox.level");
        assert_eq!(refuser(policy("sandbox = { level = \"required\", write = [] }").check_sandbox(old)), "sandbox.level");
        let sandbox = full.sandbox();
        assert_eq!((sandbox.read, sandbox.network), (Some(vec!["/usr".to_owned()]), false));
        assert_eq!((full.trust_rules(false, false).threshold, full.trust_rules(false, false).require_signature), (2, true));
        assert!(!policy("env.mode = \"inherit\"").clean_environment(true));
    }

    #[test]
    fn the_example_holds_every_key_with_its_default_and_direction() {
        let text = include_str!("../../../examples/policy.toml");
        let example = policy(text);
        let set: Vec<&str> = example.explain().map(|(key, _)| key.name).collect();
        assert_eq!(set, KEYS.iter().map(|key| key.name).collect::<Vec<_>>());
        assert!(!example.signers.is_empty());
        let (mut table, mut comment) = ("", "");
        let mut compared = 0;
        for line in text.lines() {
            if let Some(name) = line.strip_prefix('[') {
                table = name.trim_end_matches(']');
            } else if let Some(name) = line.split(" = ").next().filter(|_| !line.starts_with('#') && line.contains(" = "))
                && let Some(key) = key_named(&format!("{table}.{name}"))
            {
                assert!(comment.starts_with(&format!("# Default: {}; {}", key.default, key.tighter.text())), "{}: {comment}", key.name);
                compared += 1;
            }
            comment = line;
        }
        assert_eq!(compared, KEYS.len());
    }

    #[test]
    fn each_defect_of_the_file_stops_everything() {
        let error = |text: &str| {
            let error = Policy::parse(text.as_bytes()).expect_err(text);
            assert_eq!(error.exit(), 78);
            (error.code().name(), error.to_string())
        };
        for text in
            ["[plan]\nmaxage = \"1h\"", "[plans]", "[plans]\nx = 1", "x = 1", "[trust.keys]", "[[signer]]\nprincipal = \"a\"\ntarget = []"]
        {
            assert_eq!(error(text).0, "policy_unknown_key", "{text}");
        }
        for text in [
            "[plan]\nmax_age = 24",
            "[plan]\nmax_age = \"1.5h\"",
            "[plan]\nmax_age = \"-1h\"",
            "[plan]\nforce = \"no\"",
            "[plan]\ntypes = [\"adaptive\"]",
            "[plan]\ntypes = \"atomic\"",
            "[trust]\nthreshold = 0",
            "[trust]\nvouches = 0",
            "[trust]\nvouches = \"1\"",
            "[trust]\nthreshold = 4294967296",
            "[trust.threshold]\nx = 1",
            "[decorators]\ndeny = [\"@env\"]",
            "[decorators]\ndeny = [\"evn\"]",
            "[env]\nmode = \"dirty\"",
            "[env]\npass = [\"A=B\"]",
            "[env]\npath = \"/bin::/usr/bin\"",
            "[run]\nshell = \"bash\"",
            "[sandbox]\nread = [\"tmp\"]",
            "[sandbox]\nlevel = 1",
            "signer = 1",
            "[signer]\nprincipal = \"a\"",
            "signer = [1]",
            "[[signer]]\nprincipal = \"\"",
            "[[signer]]\nprincipal = \"a\"\ntargets = \"x\"",
        ] {
            assert_eq!(error(text).0, "policy_bad_value", "{text}");
        }
        assert_eq!(error("[[signer]]\ntargets = [\"a\"]").0, "policy_missing_key");
        assert!(error("[plan]\nforce = true\nforce = true").1.contains("line 3"));
        assert!(Policy::parse(b"\n\xff").expect_err("no text").to_string().contains("line 2"));
        assert!(error("[env]\nmode = \"dirty\"").1.contains("one of `inherit`, `clean`"));
        let misplaced = Policy::parse(b"[run]\nmax_age = \"1h\"").expect_err("unknown");
        assert!(misplaced.help().contains("plan.max_age"));
    }

    #[test]
    fn a_policy_that_others_may_write_to_stops_everything() {
        let (paths, temp) = fixture::host();
        assert!(Policy::load(&paths).expect("none").is_none());
        fixture::etc_file(&paths, "policy.toml", "[plan]\nforce = false");
        assert!(Policy::load(&paths).expect("reads").is_some_and(|policy| policy.check_force(false).is_err()));
        let file = temp.path().join("etc/opal/policy.toml");
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o666)).expect("chmod");
        let refused = Policy::load(&paths).expect_err("unsafe");
        assert_eq!((refused.code().name(), refused.exit()), ("unsafe_mode", 78));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Policy::parse(&bytes);
        }

        #[test]
        fn any_value_of_any_key_is_read_without_panic(
            key in proptest::sample::select(KEYS),
            value in "(\"[^\"\\\\\n]{0,8}\"|-?[0-9]{1,20}|\\[(\"[a-z.*/]{0,6}\",?){0,3}\\]|\\{\\}|true|[0-9-]{10}|.{0,6})",
        ) {
            let _ = Policy::parse(format!("{} = {value}", key.name).as_bytes());
        }
    }
}
