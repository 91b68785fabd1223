//! Hosts with an `/etc`, `/run` and `/var/lib` of their own, in a mount namespace that nobody else sees.
//!
//! Such a host takes root. Where that is missing, whoever asks for one is told so.

use crate::{Ended, Host, binaries};
use serde_json::Value;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// An ordinary user.
pub const NOBODY: u32 = 65534;

/// Whether this process may make mount namespaces and mount things in them.
fn permitted() -> bool {
    static PERMITTED: OnceLock<bool> = OnceLock::new();
    *PERMITTED.get_or_init(|| {
        let tried = Command::new("unshare").args(["-m", "mount", "-t", "tmpfs", "none", "/mnt"]).stderr(Stdio::null()).status();
        let permitted = nix::unistd::geteuid().is_root() && tried.is_ok_and(|status| status.success());
        if !permitted {
            eprintln!("skipped: this process may not make mount namespaces");
        }
        permitted
    })
}

/// A host with system directories of its own, below its root: `etc`, `lib` (for `/var/lib`) and `locks` (for `/run`).
pub struct Guarded {
    /// The host itself.
    pub host: Host,
}

impl Guarded {
    /// A host with such directories, and a contract `prod.plan` on it; `None` where this process may not make one.
    #[must_use]
    pub fn new() -> Option<Self> {
        permitted().then(|| {
            let mut host = Host::new();
            host.set("A", "one");
            for name in ["etc", "etc/opal", "lib", "locks", "bin"] {
                let path = host.path().join(name);
                std::fs::create_dir(&path).expect("a directory");
                std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).expect("its mode");
            }
            for name in ["passwd", "group", "nsswitch.conf", "ld.so.cache"] {
                let _ = std::fs::copy(format!("/etc/{name}"), host.path().join("etc").join(name));
            }
            let guarded = Self { host };
            guarded.contract("go: echo SITE @env.A > ran\n", &["go"]);
            guarded
        })
    }

    /// A path in `/etc/opal`.
    #[must_use]
    pub fn etc(&self, name: &str) -> PathBuf {
        self.host.path().join("etc/opal").join(name)
    }

    /// Puts a file into `/etc/opal`.
    pub fn put(&self, name: &str, text: &str) -> &Self {
        let path = self.etc(name);
        let _ = std::fs::remove_file(&path);
        std::fs::write(&path, text).expect("a file");
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o644)).expect("its mode");
        self
    }

    /// Puts a policy there.
    pub fn policy(&self, text: &str) -> &Self {
        self.put("policy.toml", text)
    }

    /// Fills `/etc/opal/allowed_signers` with keys in the work directory or, by the name `own`, the operator's identity.
    pub fn trust(&self, entries: &[(&str, &str)]) -> &Self {
        let line = |(principal, key): &(&str, &str)| format!("{principal} {}\n", self.public(key));
        self.put("allowed_signers", &entries.iter().map(line).collect::<String>())
    }

    /// A public key, as `trust` names it.
    #[must_use]
    pub fn public(&self, key: &str) -> String {
        let path = match key {
            "own" => self.host.path().join("config/opal/identity.pub"),
            key => self.host.work().join(format!("{key}.pub")),
        };
        std::fs::read_to_string(path).expect("a public key").trim().to_owned()
    }

    /// Makes the contract anew.
    pub fn contract(&self, source: &str, options: &[&str]) -> &Self {
        self.host.contract(source, options);
        self
    }

    /// The hash of the contract.
    #[must_use]
    pub fn hash(&self) -> String {
        let ended = self.host.vm(&["inspect", "--plan", "prod.plan", "--json"]);
        let document: Value = serde_json::from_str(&ended.stdout).expect("JSON");
        document["contract_hash"].as_str().expect("a hash").to_owned()
    }

    /// Runs a program of ours inside the namespace; `before` is words of shell before it.
    pub fn inside(&self, before: &str, program: &str, arguments: &[&str]) -> Ended {
        let at = |name: &str| self.host.path().join(name).display().to_string();
        let line = format!(
            "set -e; mount --bind '{}' /etc; mount --bind '{}' /var/lib; mount --bind '{}' /run; mount --bind '{}' '{}'; cd '{}'; exec {before} \"$@\"",
            at("etc"),
            at("lib"),
            at("locks"),
            binaries().display(),
            at("bin"),
            at("work"),
        );
        let ours = self.host.command(program, arguments);
        let mut command = Command::new("unshare");
        command.args(["-m", "sh", "-c", &line, "sh"]).arg(self.host.path().join("bin").join(program)).args(arguments).env_clear();
        command.envs(ours.get_envs().filter_map(|(name, value)| Some((name, value?)))).stdin(Stdio::null());
        Ended::from(command.output().expect("unshare starts"))
    }

    /// Runs the contract.
    pub fn run_as(&self, before: &str, options: &[&str]) -> Ended {
        let _ = std::fs::remove_file(self.host.work().join("ran"));
        self.inside(before, "opal-vm", &[&["run", "--plan", "prod.plan"], options].concat())
    }

    /// Runs the contract; insists on an exit status, that the step ran only where that is 0, and that `policy check` says the same.
    #[track_caller]
    pub fn run(&self, options: &[&str], status: i32) -> Ended {
        let ended = self.run_as("", options);
        ended.expect(status);
        assert_eq!(self.host.work().join("ran").exists(), status == 0, "{}", ended.stderr);
        if status != 0 {
            ended.says("effects: none").says("help:");
        }
        let check = self.inside("", "opal-vm", &[&["policy", "check", "--plan", "prod.plan"], options].concat());
        check.expect(status);
        if status == 24 {
            let refused = check.stdout.lines().find(|line| line.starts_with("refuses")).expect("what is refused");
            let key = refused.split([':', ' ']).find(|word| word.contains('.')).expect("a key");
            ended.says(&format!("`{key}`"));
        }
        ended
    }
}
