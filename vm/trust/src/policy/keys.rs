//! The keys of the policy: for each what it holds, what holds without it, which way it tightens, and when it is enforced.
//!
//! One table; reading, `opal-vm policy check`, `spec/policy.md` and `examples/policy.toml` follow it. A test tries each key
//! on the real programs (`tests/tests/policy_keys.rs`), where a key that no program enforces has no case that can pass.
//!
//! Read for: who is trusted, and what policy allows.

use opal_core::decorators::{NODE_DECORATORS, OPERATIONS, VALUE_DECORATORS};
use opal_core::duration;
use opal_format::kind::PlanType;
use toml::Value;

use crate::pattern::matches;

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
    /// A principal of `allowed_signers`, by its name.
    Principal,
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

/// What holds where the file leaves a key out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unset {
    /// This, in every run.
    Always(bool),
    /// This in a guarded run, and the other in any else.
    Guarded(bool),
    /// What these words say; the method that reads the key states it.
    Words(&'static str),
}

/// When a key is enforced, in the order of a run (spec/security.md, "Order of checks").
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Moment {
    /// Before anything is read that the caller names.
    Request,
    /// With the signatures and vouches.
    Trust,
    /// With what the contract says, before it is planned.
    Contract,
    /// Before a run that has no contract, in the place of the two before.
    Direct,
    /// Before lock and ledger.
    Start,
    /// With the source, before the contract is planned.
    Source,
    /// With the agreed plan, before its first step.
    Plan,
    /// While steps run.
    Steps,
}

/// All there is to say about a key.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// Table and key, joined by a dot.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// Its tightening direction.
    pub tighter: Tighter,
    /// What holds without it.
    pub unset: Unset,
    /// When it is enforced.
    pub moment: Moment,
    /// What it does, in one line.
    pub help: &'static str,
}

macro_rules! keys {
    ($($key:ident $name:literal $kind:expr, $tighter:expr, $unset:expr, $moment:expr, $help:literal;)+) => {
        /// A key of the file, those of `[[signer]]` excepted.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Key {
            $(#[doc = $help] $key,)+
        }

        impl Key {
            /// Every key, in the order of the file.
            pub const ALL: &[Self] = &[$(Self::$key,)+];

            /// What there is to say about it.
            #[must_use]
            pub const fn row(self) -> Row {
                match self {
                    $(Self::$key => Row { name: $name, kind: $kind, tighter: $tighter, unset: $unset, moment: $moment, help: $help },)+
                }
            }
        }
    };
}

use Kind::{Bool, Choice, Count, Decorators, Duration, Path, Paths, PlanTypes, Principal, SearchPath, Variables};
use Tighter::{False, Fewer, Fixed, Larger, More, Smaller, True};
use Unset::{Always, Guarded, Words};

keys! {
    RequireSignature "trust.require_signature" Bool, True, Guarded(true), Moment::Trust, "only signatures count, never flags";
    Threshold "trust.threshold" Count, Larger, Words("1"), Moment::Trust, "distinct principals that must have signed";
    Touch "trust.touch" Bool, True, Always(false), Moment::Trust, "only signatures by a security key count, which somebody has touched";
    Vouches "trust.vouches" Count, Larger, Words("none"), Moment::Trust, "distinct principals, none of them a signer, that must vouch";
    OwnIdentity "trust.own_identity" Bool, False, Always(false), Moment::Trust, "the caller's own signature counts in guarded runs";
    Direct "trust.direct" Bool, False, Always(false), Moment::Direct, "runs without a contract, whatever is demanded of contracts";
    RevokedBy "trust.revoked_by" Principal, Fixed, Words("nobody"), Moment::Trust, "who has to have signed the list of what is revoked";
    RevokedMaxAge "trust.revoked_max_age" Duration, Smaller, Words("no limit"), Moment::Trust, "time since the list of what is revoked was made";
    MaxAge "plan.max_age" Duration, Smaller, Words("no limit"), Moment::Contract, "time since the contract was made";
    RequireExpiry "plan.require_expiry" Bool, True, Always(false), Moment::Contract, "contracts must expire";
    RequireHost "plan.require_host" Bool, True, Always(false), Moment::Contract, "contracts must name the hosts that they are for";
    RequireSource "plan.require_source" Bool, True, Always(false), Moment::Source, "the source must be here, with the digest that the contract claims";
    SingleUse "plan.single_use" Bool, True, Always(false), Moment::Start, "every contract runs once";
    Partial "plan.partial" Bool, False, Guarded(false), Moment::Plan, "guarded runs may start in the middle";
    Force "plan.force" Bool, False, Guarded(false), Moment::Start, "guarded runs may go on in spite of drift of values";
    Types "plan.types" PlanTypes, Fewer, Words("every type"), Moment::Contract, "types of plan that may run";
    Allow "decorators.allow" Decorators, Fewer, Words("every decorator"), Moment::Contract, "the only decorators that may be used";
    Deny "decorators.deny" Decorators, More, Words("none"), Moment::Contract, "decorators that may not be used";
    EnvMode "env.mode" Choice(&["inherit", "clean"]), Larger, Words("clean in a guarded run"), Moment::Steps, "whether steps inherit the environment";
    EnvPass "env.pass" Variables, Fewer, Words("none"), Moment::Steps, "variables that a clean environment keeps";
    EnvPath "env.path" SearchPath, Fixed, Words("the system's in a clean environment"), Moment::Steps, "PATH of the steps";
    Shell "run.shell" Path, Fixed, Words("any"), Moment::Contract, "the only bash that may run steps";
    Output "run.output" Path, Fixed, Words("nowhere in a guarded run"), Moment::Request, "the directory of results that callers name";
    Directory "run.directory" Path, Fixed, Words("where a run is started"), Moment::Contract, "the directory that steps start in";
    Reveal "run.reveal" Bool, False, Guarded(false), Moment::Request, "guarded runs may show values and drafts of policies";
    Timeout "run.timeout" Duration, Smaller, Words("no limit"), Moment::Steps, "time for a whole run";
    Grace "run.grace" Duration, Smaller, Words("5s"), Moment::Steps, "time between TERM and KILL";
    MaxParallel "run.max_parallel" Count, Smaller, Words("no limit"), Moment::Steps, "branches at once";
    MaxSteps "run.max_steps" Count, Smaller, Words("1000000"), Moment::Contract, "steps of one contract";
    SandboxLevel "sandbox.level" Choice(&["none", "best-effort", "required"]), Larger, Words("none"), Moment::Contract, "confinement of the steps";
    SandboxRead "sandbox.read" Paths, Fewer, Words("everywhere"), Moment::Steps, "where confined steps may read";
    SandboxWrite "sandbox.write" Paths, Fewer, Words("everywhere"), Moment::Steps, "where confined steps may write";
    SandboxPlanner "sandbox.planner" Choice(&["best-effort", "required"]), Larger, Words("best-effort"), Moment::Contract, "whether a planner that nothing holds may plan";
    HideIdentity "sandbox.hide_identity" Bool, True, Always(false), Moment::Steps, "private keys of the user are hidden from the steps";
    SandboxNetwork "sandbox.network" Bool, False, Always(true), Moment::Steps, "confined steps may use the network";
}

impl Key {
    /// Table and key, joined by a dot.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.row().name
    }

    /// Looks a key up by its name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|key| key.name() == name)
    }

    /// Whether the file has a table of this name.
    pub(super) fn is_table(name: &str) -> bool {
        Self::ALL.iter().any(|key| key.name().split('.').next() == Some(name))
    }
}

/// The value of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Setting {
    /// For [`Kind::Bool`].
    Bool(bool),
    /// For [`Kind::Count`], nanoseconds for [`Kind::Duration`], the index for [`Kind::Choice`].
    Number(i64),
    /// For [`Kind::Path`], [`Kind::SearchPath`] and [`Kind::Principal`].
    Text(String),
    /// For every list.
    List(Vec<String>),
}

impl Setting {
    /// The setting as the file would write it.
    #[must_use]
    pub fn show(&self, kind: Kind) -> String {
        match (self, kind) {
            (Self::Number(n), Duration) => format!("\"{}\"", duration::format(*n)),
            (Self::Number(n), Choice(names)) => {
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

impl Kind {
    /// In words.
    #[must_use]
    pub fn text(self) -> String {
        match self {
            Self::Bool => "true or false".to_owned(),
            Self::Count => "a whole number from 1".to_owned(),
            Self::Duration => "a duration that is not negative, such as \"24h\"".to_owned(),
            Self::Path => "an absolute path".to_owned(),
            Self::Principal => "the name of a principal, without `*`, `?`, `!` and `,`".to_owned(),
            Self::SearchPath => "absolute paths with `:` between them".to_owned(),
            Self::Decorators => "a list of decorators without `@`, such as [\"env\", \"file.read\"]".to_owned(),
            Self::PlanTypes => "a list of plan types, such as [\"atomic\", \"sequence\"]".to_owned(),
            Self::Variables => "a list of names of environment variables".to_owned(),
            Self::Paths => "a list of absolute paths".to_owned(),
            Self::Choice(names) => format!("one of `{}`", names.join("`, `")),
        }
    }

    /// What the file says, or the part of it that does not fit.
    pub(super) fn read(self, value: &Value) -> Result<Setting, &Value> {
        let fits = match (self, value) {
            (Self::Bool, Value::Boolean(value)) => Some(Setting::Bool(*value)),
            (Self::Count, Value::Integer(n)) => u32::try_from(*n).ok().filter(|n| *n > 0).map(|n| Setting::Number(n.into())),
            (Self::Duration, Value::String(text)) => duration::parse(text).ok().filter(|ns| *ns >= 0).map(Setting::Number),
            (Self::Choice(names), Value::String(text)) => {
                (0..).zip(names).find(|(_, name)| *name == text).map(|(index, _)| Setting::Number(index))
            }
            (Self::Path, Value::String(text)) => is_path(text).then(|| Setting::Text(text.clone())),
            (Self::Principal, Value::String(text)) => is_principal(text).then(|| Setting::Text(text.clone())),
            (Self::SearchPath, Value::String(text)) => text.split(':').all(is_path).then(|| Setting::Text(text.clone())),
            (Self::Decorators, list) => return read_list(list, is_decorator).map(Setting::List),
            (Self::PlanTypes, list) => return read_list(list, is_plan_type).map(Setting::List),
            (Self::Variables, list) => return read_list(list, is_variable).map(Setting::List),
            (Self::Paths, list) => return read_list(list, is_path).map(Setting::List),
            _ => None,
        };
        fits.ok_or(value)
    }
}

/// A list of texts that are `good`, or the part of it that does not fit.
pub(super) fn read_list(value: &Value, good: impl Fn(&str) -> bool) -> Result<Vec<String>, &Value> {
    let text = |item: &Value| item.as_str().filter(|text| good(text)).map(str::to_owned);
    value.as_array().ok_or(value)?.iter().map(|item| text(item).ok_or(item)).collect()
}

fn is_path(text: &str) -> bool {
    text.starts_with('/') && !text.contains('\0')
}

/// A name as lists of OpenSSH hold them: what is a pattern there is no name.
fn is_principal(text: &str) -> bool {
    !text.is_empty() && !text.contains(['*', '?', '!', ',', '"']) && !text.contains(char::is_whitespace)
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

/// Whether an entry of a list takes in a name: the same, a pattern of it, or a namespace or directory above it.
pub(super) fn covers(entry: &str, name: &str) -> bool {
    let below = |separator| name.strip_prefix(entry.trim_end_matches('/')).is_some_and(|rest: &str| rest.starts_with(separator));
    matches(entry, name) || below('.') || below('/')
}
