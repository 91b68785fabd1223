//! TERMS: everything about a contract that the VM enforces (spec/plan-format.md, "TERMS").

use rkyv::{Archive, Deserialize, Serialize};

/// One bound argument of the target, in parameter order, defaults filled.
#[derive(Clone, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct BoundArgument {
    /// Parameter name.
    pub name: String,
    /// Canonical encoding of the value, its type included.
    pub value: Vec<u8>,
}

/// The terms of a contract.
#[derive(Clone, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Terms {
    /// Instruction-set version that the program needs.
    pub instruction_set: u32,
    /// Arguments of the target. The entry function takes exactly these.
    pub arguments: Vec<BoundArgument>,
    /// Name of the source file, relative to the base directory where possible.
    pub source_name: String,
    /// Last second (Unix time) at which the contract may run; `None` for no end.
    pub not_after: Option<i64>,
    /// Whether it may run only once.
    pub once: bool,
    /// A [`PlanType`](crate::read::kind::PlanType) number.
    pub plan_type: u8,
    /// Absolute path of `bash`.
    pub shell: String,
    /// File mode creation mask of the steps.
    pub umask: u32,
    /// Absolute path of the directory that steps start in; empty for the one where the run is started.
    pub directory: String,
    /// Names of environment variables that steps were promised, sorted. Each is also a slot with key `pass_env.NAME`.
    pub pass_env: Vec<String>,
    /// SHA-256 of the regen root, where a value was derived from one.
    pub regen_root: Option<[u8; 32]>,
    /// Whether every value was treated as secret (`--no-public`).
    pub no_public: bool,
}

/// What a plan is for and where its steps start: what `plan_hash` covers besides steps and slots.
#[derive(Clone, Copy, Debug)]
pub struct Setting<'a> {
    /// Name of the target.
    pub target: &'a str,
    /// Its arguments.
    pub arguments: &'a [BoundArgument],
    /// See [`Terms::shell`].
    pub shell: &'a str,
    /// See [`Terms::umask`].
    pub umask: u32,
    /// See [`Terms::directory`].
    pub directory: &'a str,
}

impl Terms {
    /// The setting of the contract for this target.
    #[must_use]
    pub fn setting<'a>(&'a self, target: &'a str) -> Setting<'a> {
        Setting { target, arguments: &self.arguments, shell: &self.shell, umask: self.umask, directory: &self.directory }
    }
}
