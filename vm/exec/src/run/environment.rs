//! The environment of the steps (spec/security.md, "Whoever holds the command line of the host").
//!
//! Read for: everything in the process that runs a contract.

use std::ffi::CString;
use std::os::unix::ffi::OsStringExt as _;

use opal_core::plan::Plan;

/// What an environment is made from.
#[derive(Clone, Debug, Default)]
pub struct EnvPolicy {
    /// Pass only what was promised, the base list and `pass`; otherwise the rest is inherited.
    pub clean: bool,
    /// Somebody else than whoever set the variables has a say: none of `CODE` is passed on, however it is named, unless it was promised.
    pub guarded: bool,
    /// Names that the policy passes on.
    pub pass: Vec<String>,
    /// What `PATH` is to be, in place of the inherited one.
    pub path: Option<String>,
    /// What the account database says of this user, by name: these are never the caller's to say in a clean environment.
    pub account: Vec<(String, Vec<u8>)>,
}

/// What a clean environment keeps besides, where the value names no file.
const BASE: [&str; 3] = ["LANG", "TERM", "TZ"];

/// What a clean environment has of its own: a caller says these only where the contract promises them.
const FIXED: [&str; 6] = ["PATH", "HOME", "USER", "LOGNAME", "SHELL", "TMPDIR"];

/// `PATH` in a clean environment whose policy names none.
const USUAL_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Variables by which a loader or a shell can be made to run other code or to read other words.
const HOOKS: [&str; 15] = [
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
    "BASH_LOADABLES_PATH",
    "EXECIGNORE",
];

/// Variables that say which code the C library, shells, interpreters and everyday tools run or load, or which file they take their orders from. People
/// use them at their own terminals; whoever starts a guarded run could turn its steps with them. `*` at the end stands for any rest.
const CODE: [&str; 74] = [
    // ld.so and the C library (ld.so(8), environ(7), gettext, resolver)
    "GLIBC_TUNABLES",
    "LOCPATH",
    "NLSPATH",
    "TZDIR",
    "HOSTALIASES",
    "RES_OPTIONS",
    "LOCALDOMAIN",
    "RESOLV_HOST_CONF",
    "GETCONF_DIR",
    "NIS_PATH",
    "MALLOC_*",
    "DYLD_*",
    "TERMINFO*",
    "TERMCAP",
    "TERMPATH",
    // shells
    "ZDOTDIR",
    "FPATH",
    "INPUTRC",
    "HISTFILE",
    "MAILPATH",
    "FCEDIT",
    "PS0",
    // interpreters
    "PYTHON*",
    "PERL*",
    "RUBY*",
    "GEM_*",
    "BUNDLE_*",
    "NODE_*",
    "NPM_CONFIG_*",
    "npm_config_*",
    "JAVA_*",
    "_JAVA_OPTIONS",
    "JDK_JAVA_OPTIONS",
    "CLASSPATH",
    "MAVEN_*",
    "GRADLE_*",
    "ANT_*",
    "LUA_*",
    "PHPRC",
    "PHP_INI_SCAN_DIR",
    "AWKPATH",
    "AWKLIBPATH",
    "GUILE_*",
    "TCLLIBPATH",
    "R_PROFILE*",
    "R_ENVIRON*",
    // tools that run what a variable names
    "GIT_*",
    "SSH_ASKPASS*",
    "SUDO_ASKPASS",
    "RSYNC_*",
    "CVS_RSH",
    "TAR_OPTIONS",
    "MAKEFLAGS",
    "MFLAGS",
    "GNUMAKEFLAGS",
    "MAKEFILES",
    "CARGO_*",
    "RUSTC*",
    "GOFLAGS",
    "GOTOOLDIR",
    "PAGER",
    "MANPAGER",
    "SYSTEMD_*",
    "LESSOPEN",
    "LESSCLOSE",
    "EDITOR",
    "VISUAL",
    "BROWSER",
    // files of configuration that name programs
    "OPENSSL_*",
    "CURL_HOME",
    "WGETRC",
    "GNUPGHOME",
    "KUBECONFIG",
    "ANSIBLE_*",
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

/// Whether a variable says which code a program runs.
fn names_code(name: &[u8]) -> bool {
    CODE.iter().any(|entry| match entry.strip_suffix('*') {
        Some(start) => name.starts_with(start.as_bytes()),
        None => entry.as_bytes() == name,
    })
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
        // A value with a `/` in it would be the name of a file: of rules for a time zone, a terminal, a language.
        let base = (listed(&BASE) || name.starts_with(b"LC_")) && !value.contains(&b'/');
        let kept = if policy.clean { (passed && !listed(&FIXED)) || base } else { !(policy.guarded && name == b"TMPDIR") };
        if kept && !(policy.guarded && names_code(&name)) {
            set(name, value);
        }
    }
    if policy.clean {
        set(b"PATH".to_vec(), USUAL_PATH.into());
        for (name, value) in &policy.account {
            set(name.clone().into_bytes(), value.clone());
        }
    }
    if let Some(path) = &policy.path {
        set(b"PATH".to_vec(), path.clone().into_bytes());
    }
    for (slot, value) in plan.slots.slots.iter().zip(&plan.values) {
        if let Some(name) = slot.key.of(&plan.slots.text).and_then(|key| key.strip_prefix(b"pass_env."))
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
        let host = [("PATH", "/bin"), ("HOME", "/tmp/mine"), ("TMPDIR", "/tmp/mine"), ("LC_ALL", "C"), ("SECRET", "x"), ("EXTRA", "y")];
        let account = vec![("HOME".to_owned(), b"/root".to_vec())];
        let pass = vec!["EXTRA".to_owned(), "HOME".to_owned()];
        let policy = EnvPolicy { clean: true, guarded: true, pass, account, path: Some("/usr/bin".to_owned()) };
        let mut clean = made(&policy, &host);
        clean.sort_unstable();
        assert_eq!(clean, ["EXTRA=y", "HOME=/root", "LC_ALL=C", "PATH=/usr/bin"]);
        let usual = made(&EnvPolicy { path: None, ..policy.clone() }, &host);
        assert!(usual.contains(&format!("PATH={USUAL_PATH}")), "{usual:?}");
        // What names a file stays outside.
        assert_eq!(
            made(&EnvPolicy { path: Some("/".to_owned()), account: Vec::new(), ..policy }, &[("TZ", ":/tmp/z"), ("LANG", "../x")]),
            ["PATH=/"]
        );
    }

    #[test]
    fn what_names_code_reaches_no_step_of_a_guarded_run() {
        let host = [("PYTHONPATH", "/tmp"), ("GIT_SSH_COMMAND", "x"), ("ZDOTDIR", "/tmp"), ("TMPDIR", "/tmp/mine"), ("A", "1")];
        let guarded = |clean| EnvPolicy {
            clean,
            guarded: true,
            pass: host.iter().map(|(name, _)| (*name).to_owned()).collect(),
            ..EnvPolicy::default()
        };
        assert_eq!(made(&guarded(false), &host), ["A=1"]);
        assert_eq!(made(&guarded(true), &host), ["A=1".to_owned(), format!("PATH={USUAL_PATH}")]);
        assert_eq!(made(&EnvPolicy::default(), &host).len(), host.len());
    }
}
