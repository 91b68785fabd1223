//! What a host can enforce on steps, and what its owner wants enforced (spec/security.md, "Confinement").

use opal_format::kind::NodeKind;

/// The first Landlock interface that holds back truncation (Linux 6.2).
const LANDLOCK_FILES: u32 = 3;
/// The first one with scopes for signals and abstract sockets (Linux 6.12).
pub const LANDLOCK_SCOPES: u32 = 6;

/// What an `@isolated` block takes from its steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// The network.
    Network,
    /// Files outside its lists.
    Filesystem,
    /// Privileges.
    Privileges,
}

impl Isolation {
    /// What blocks of this kind take away; nothing for those that do not confine.
    #[must_use]
    pub const fn of(kind: NodeKind) -> Option<Self> {
        use NodeKind::{AssertEq, AssertNum, AssertRe, JsonPick, LinesCount, LinesGrep, LinesHead, LinesTail};
        use NodeKind::{Catch, Detach, Finally, Let, Parallel, Retry, Shell, Sleep, Timeout, Transform, Try, Tty, Workdir};
        match kind {
            NodeKind::IsolatedNetwork => Some(Self::Network),
            NodeKind::IsolatedFilesystem => Some(Self::Filesystem),
            NodeKind::IsolatedPrivileges => Some(Self::Privileges),
            Shell | Retry | Timeout | Workdir | Parallel | Detach | Tty | Try | Catch | Finally | Let | Sleep | Transform => None,
            NodeKind::And | NodeKind::Or | NodeKind::Pipe | NodeKind::Seq | NodeKind::Group => None,
            LinesGrep | LinesHead | LinesTail | LinesCount | JsonPick | AssertRe | AssertEq | AssertNum => None,
            NodeKind::For | NodeKind::If | NodeKind::Else | NodeKind::When | NodeKind::While => None,
        }
    }

    /// Its name in messages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Network => NodeKind::IsolatedNetwork.name(),
            Self::Filesystem => NodeKind::IsolatedFilesystem.name(),
            Self::Privileges => NodeKind::IsolatedPrivileges.name(),
        }
    }
}

/// What the kernel offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Host {
    /// The Landlock interface; 0 for none.
    pub landlock: u32,
    /// Whether this process may mount.
    pub mounts: bool,
    /// System call filters, on an architecture that they are known for.
    pub seccomp: bool,
}

impl Host {
    /// What is missing for every kind of confinement; `files` for rules about files too.
    #[must_use]
    pub fn missing(self, files: bool) -> Option<String> {
        if self.landlock == 0 {
            return Some("this kernel has no Landlock, or it is switched off".to_owned());
        }
        if !self.seccomp {
            return Some("this kernel has no system call filters (seccomp)".to_owned());
        }
        let old = files && self.landlock < LANDLOCK_FILES;
        old.then(|| {
            format!("this kernel's Landlock does not hold back truncation (its interface is {}, not {LANDLOCK_FILES})", self.landlock)
        })
    }

    /// What is missing to hide files from steps that could otherwise uncover them.
    #[must_use]
    pub fn missing_to_hide(self) -> Option<String> {
        self.missing(false).or_else(|| (!self.mounts).then(|| "this user may not mount".to_owned()))
    }

    /// For people, in a line.
    #[must_use]
    pub fn to_text(self) -> String {
        match (self.missing(true), self.missing(false)) {
            (None, _) => format!("network, filesystem and privileges (Landlock {}, seccomp)", self.landlock),
            (Some(why), None) => format!("network and privileges; {why}"),
            (_, Some(why)) => format!("nothing: {why}"),
        }
    }
}

/// How strongly steps are confined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SandboxLevel {
    /// Not.
    None,
    /// As far as the kernel can.
    BestEffort,
    /// Wholly, or nothing runs.
    Required,
}

/// How the owner of the host wants every step confined (`[sandbox]` of the policy).
#[derive(Clone, Debug)]
pub struct Sandbox {
    /// How strongly.
    pub level: SandboxLevel,
    /// Where steps may read; `None` for everywhere.
    pub read: Option<Vec<String>>,
    /// Where they may write; `None` for everywhere.
    pub write: Option<Vec<String>>,
    /// Whether they may use the network.
    pub network: bool,
    /// Whether the files of this user's private keys are hidden from them.
    pub hide_identity: bool,
}

impl Default for Sandbox {
    fn default() -> Self {
        Self { level: SandboxLevel::None, read: None, write: None, network: true, hide_identity: false }
    }
}

impl Sandbox {
    /// Its keys that confine every step, for messages.
    #[must_use]
    pub fn keys(&self) -> Vec<&'static str> {
        let confined = self.level != SandboxLevel::None;
        let keys = [
            ("sandbox.level", confined),
            ("sandbox.read", confined && self.read.is_some()),
            ("sandbox.write", confined && self.write.is_some()),
            ("sandbox.network", confined && !self.network),
            ("sandbox.hide_identity", self.hide_identity),
        ];
        keys.into_iter().filter(|(_, set)| *set).map(|(key, _)| key).collect()
    }

    /// What is missing here to confine every step so.
    #[must_use]
    pub fn missing(&self, host: Host) -> Option<String> {
        let asked = self.level != SandboxLevel::None;
        asked.then(|| host.missing(self.read.is_some() || self.write.is_some())).flatten()
    }
}
