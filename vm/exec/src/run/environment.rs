//! The environment of the steps (spec/security.md, "Whoever holds the command line of the host").

use std::ffi::CString;
use std::os::unix::ffi::OsStringExt as _;

use opal_core::decorators::PASS_ENV;
use opal_core::plan::Plan;

/// What an environment is made from.
#[derive(Clone, Debug, Default)]
pub struct EnvPolicy {
    /// Pass only what was promised, the base list and `pass`; otherwise the rest is inherited.
    pub clean: bool,
    /// Names that the policy passes on.
    pub pass: Vec<String>,
    /// What `PATH` is to be, in place of the inherited one.
    pub path: Option<String>,
}

/// What a clean environment keeps besides.
const BASE: [&str; 9] = ["PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "TERM", "TZ", "TMPDIR"];

/// Variables by which a loader or a shell can be made to run other code or to read other words.
const HOOKS: [&str; 13] = [
    "BASH_ENV",
    "ENV",
    "SHELLOPTS",
    "BASHOPTS",
    "PS4",
    "IFS",
    "CDPATH",
    "GLOBIGNORE",
    "PROMPT_COMMAND",
    "GCONV_PATH",
    "POSIXLY_CORRECT",
    "BASH_COMPAT",
    "BASH_XTRACEFD",
];

/// Names that the executor sets for each step itself.
const OWN: [&str; 2] = ["PWD", "_"];

/// Prefix of the names under which values travel to a step's shell.
pub(super) const VALUE_PREFIX: &str = "OPAL_VALUE_";

/// Whether no step gets the variable of this name from anywhere: a hook, or one that the executor sets for each step.
#[must_use]
pub fn is_never_passed(name: &[u8]) -> bool {
    HOOKS.iter().chain(&OWN).any(|own| own.as_bytes() == name)
        || name.starts_with(b"LD_")
        || name.starts_with(b"BASH_FUNC_")
        || name.starts_with(VALUE_PREFIX.as_bytes())
}

/// The variables that every step gets, as `NAME=value`, without those that differ from step to step.
///
/// `host` is the VM's own environment. Promised variables have the values that the plan holds for them.
pub fn environment(
    plan: &Plan,
    policy: &EnvPolicy,
    host: impl IntoIterator<Item = (std::ffi::OsString, std::ffi::OsString)>,
) -> Vec<CString> {
    let mut chosen: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    let mut set = |name: Vec<u8>, value: Vec<u8>| {
        chosen.retain(|(other, _)| *other != name);
        chosen.push((name, value));
    };
    for (name, value) in host {
        let (name, value) = (name.into_vec(), value.into_vec());
        let listed = |list: &[&str]| list.iter().any(|entry| entry.as_bytes() == name);
        let passed = policy.pass.iter().any(|entry| entry.as_bytes() == name);
        if !policy.clean || passed || listed(&BASE) || name.starts_with(b"LC_") {
            set(name, value);
        }
    }
    if let Some(path) = &policy.path {
        set(b"PATH".to_vec(), path.clone().into_bytes());
    }
    for (slot, value) in plan.slots.slots.iter().zip(&plan.values) {
        if slot.decorator.to_native() == PASS_ENV
            && let Some(name) = slot.key.of(&plan.slots.text).and_then(|key| key.strip_prefix(b"pass_env."))
            && let Some(value) = value
        {
            set(name.to_vec(), value.text().to_vec());
        }
    }
    chosen
        .into_iter()
        .filter(|(name, value)| !is_never_passed(name) && !value.starts_with(b"()"))
        .filter_map(|(name, value)| CString::new([name, b"=".to_vec(), value].concat()).ok())
        .collect()
}

/// The value of a variable in such a list.
pub(super) fn lookup<'a>(environment: &'a [CString], name: &str) -> Option<&'a [u8]> {
    environment.iter().find_map(|entry| entry.to_bytes().strip_prefix(name.as_bytes())?.strip_prefix(b"="))
}

#[cfg(test)]
mod tests {
    use super::*;
    use opal_format::kind::PlanType;

    fn made(policy: &EnvPolicy, host: &[(&str, &str)]) -> Vec<String> {
        let plan = Plan {
            steps: Default::default(),
            slots: Default::default(),
            values: Vec::new(),
            unscrubbed: Vec::new(),
            undecided: Default::default(),
            plan_type: PlanType::Atomic,
            sub_keys: Default::default(),
        };
        let host = host.iter().map(|(name, value)| ((*name).into(), (*value).into()));
        environment(&plan, policy, host).into_iter().map(|entry| entry.into_string().expect("text")).collect()
    }

    #[test]
    fn hooks_of_loaders_and_shells_are_never_passed_on() {
        let host = [
            ("A", "1"),
            ("LD_PRELOAD", "x"),
            ("BASH_ENV", "x"),
            ("BASH_FUNC_ls%%", "() { :; }"),
            ("f", "() { :; }"),
            ("OPAL_VALUE_1", "x"),
            ("PWD", "/"),
        ];
        let policy = EnvPolicy { pass: vec!["LD_PRELOAD".to_owned()], ..EnvPolicy::default() };
        assert_eq!(made(&policy, &host), ["A=1"]);
    }

    #[test]
    fn a_clean_environment_keeps_the_base_list_and_what_the_policy_passes() {
        let host = [("PATH", "/bin"), ("LC_ALL", "C"), ("SECRET", "x"), ("EXTRA", "y")];
        let policy = EnvPolicy { clean: true, pass: vec!["EXTRA".to_owned()], path: Some("/usr/bin".to_owned()) };
        assert_eq!(made(&policy, &host), ["LC_ALL=C", "EXTRA=y", "PATH=/usr/bin"]);
    }
}
