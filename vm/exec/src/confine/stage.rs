//! The stage before a confined step: a process that the watcher forks in place of the step's program. It puts the rules on
//! itself and then becomes that program. What cannot be enforced ends it: the program never starts without its rules.
//!
//! Tests: `tests/tests/confinement.rs`, with real processes.
//!
//! Read for: everything in the process that runs a contract.

use std::convert::Infallible;
use std::ffi::{CStr, CString, OsStr};
use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible as _, PathBeneath, Ruleset, RulesetAttr as _, RulesetCreated,
    RulesetCreatedAttr as _, RulesetStatus, Scope,
};
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::SigSet;
use nix::sys::stat::Mode;
use nix::unistd::{Pid, dup2_stderr, dup2_stdin, dup2_stdout, setpgid};

use super::filter;
use super::probe;
use super::rules::{Layer, Rules};
use crate::supervise::sys;
use opal_core::sandbox::LANDLOCK_SCOPES;

/// Exit status of a stage that could not do its work.
const NOT_CONFINED: i32 = 125;

/// Where programs, their libraries and what these need at start are read and executed, whatever the lists of a rule say.
pub const SYSTEM: &[&str] = &[
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/nix/store",
    "/gnu/store",
    "/proc",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/ld.so.preload",
    "/etc/alternatives",
    "/etc/localtime",
    "/etc/nsswitch.conf",
    "/etc/passwd",
    "/etc/group",
];

/// Devices that hold nothing, which may be read and written whatever the lists say.
pub const DEVICES: &[&str] = &["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"];

/// Capabilities over the kernel itself, with which root could undo any rule; by number, as in `capability.h`.
const KERNEL: &[u32] = &[
    16, // SYS_MODULE
    17, // SYS_RAWIO
    19, // SYS_PTRACE
    21, // SYS_ADMIN
    22, // SYS_BOOT
    27, // MKNOD
    32, // MAC_OVERRIDE
    33, // MAC_ADMIN
    34, // SYSLOG
    38, // PERFMON
    39, // BPF
    40, // CHECKPOINT_RESTORE
];

/// Why a step cannot be confined.
#[derive(Debug, thiserror::Error)]
enum StageError {
    #[error("{0}")]
    Missing(String),
    #[error("`{path}`: {why}")]
    Place { path: String, why: String },
    #[error("Landlock: {0}")]
    Landlock(#[from] landlock::RulesetError),
    #[error("Landlock did not enforce a rule")]
    NotEnforced,
    #[error("system call filter: {0}")]
    Filter(#[from] filter::FilterError),
    #[error("{what}: {}", .errno.desc().to_lowercase())]
    System { what: &'static str, errno: Errno },
    #[error("the shell cannot be started: {}", .0.desc().to_lowercase())]
    Program(Errno),
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// The program of a confined step.
pub(crate) struct Program<'a> {
    /// What confines it, as [`Rules::encode`] writes it.
    pub(crate) rules: &'a [u8],
    pub(crate) path: &'a CStr,
    /// The name it is called by first.
    pub(crate) arguments: &'a [&'a CStr],
    pub(crate) environment: &'a [&'a CStr],
    /// Whether it gets a process group of its own.
    pub(crate) group: bool,
}

impl Program<'_> {
    /// Becomes the program, in a process that was forked for it and has every signal blocked. Of the descriptors the first is where to say why
    /// that did not work, and the others are to have these numbers. What this gives is an exit status.
    pub(crate) fn become_it(&self, fds: Vec<OwnedFd>, numbers: &[i32]) -> i32 {
        let mut fds = fds.into_iter();
        let Some(mut refuse) = fds.next().map(File::from) else { return NOT_CONFINED };
        let refused = match self.start(fds, numbers) {
            Err(StageError::Program(errno)) => Refused::Program(errno),
            Err(other) => Refused::Rules(other.to_string()),
            Ok(never) => match never {},
        };
        let _ = refuse.write_all(&refused.encode());
        NOT_CONFINED
    }

    fn start(&self, fds: impl Iterator<Item = OwnedFd>, numbers: &[i32]) -> Result<Infallible, StageError> {
        let system = |what| move |errno| StageError::System { what, errno };
        let rules = Rules::decode(self.rules).ok_or_else(|| StageError::Missing("the rules cannot be read".to_owned()))?;
        if self.group {
            setpgid(Pid::from_raw(0), Pid::from_raw(0)).map_err(system("cannot make a process group"))?;
        }
        for (fd, number) in fds.zip(numbers) {
            let placed = match number {
                0 => dup2_stdin(fd),
                1 => dup2_stdout(fd),
                _ => dup2_stderr(fd),
            };
            placed.map_err(system("cannot use the standard streams"))?;
        }
        confine(&rules, Path::new(OsStr::from_bytes(self.path.to_bytes())))?;
        // From here on a signal ends it, as it would the program.
        SigSet::empty().thread_set_mask().map_err(system("cannot take signals"))?;
        nix::unistd::execve(self.path, self.arguments, self.environment).map_err(StageError::Program)
    }
}

/// Why a process did not become the program.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// The kernel does not start it.
    Program(Errno),
    /// Its rules could not be put on.
    Rules(String),
}

impl Refused {
    fn encode(&self) -> Vec<u8> {
        match self {
            Self::Program(errno) => (*errno as i32).to_ne_bytes().to_vec(),
            // No error has this number.
            Self::Rules(why) => [&0i32.to_ne_bytes(), why.as_bytes()].concat(),
        }
    }

    /// `None` for nothing, which is what a process says that became the program.
    pub(crate) fn decode(said: &[u8]) -> Option<Self> {
        let (number, why) = said.split_first_chunk()?;
        Some(match i32::from_ne_bytes(*number) {
            0 => Self::Rules(String::from_utf8_lossy(why).into_owned()),
            errno => Self::Program(Errno::from_raw(errno)),
        })
    }
}

/// Puts the rules on this process. It has one thread.
fn confine(rules: &Rules, program: &Path) -> Result<(), StageError> {
    let host = probe();
    if let Some(missing) = host.missing(!rules.layers.is_empty()).filter(|_| !rules.best_effort) {
        return Err(StageError::Missing(missing));
    }
    hide(&rules.hidden)?;
    let mut rulesets = Vec::new();
    if let Some(abi) = abi(host.landlock) {
        rulesets.push(fence(rules, abi)?);
        for layer in &rules.layers {
            rulesets.push(files(layer, abi, program)?);
        }
    }
    let filters = if host.seccomp { filter::programs(rules)? } else { Vec::new() };
    let dropped = if rules.privileges { u64::MAX } else { KERNEL.iter().fold(0, |set, number| set | 1 << number) };
    let system = |what| move |errno| StageError::System { what, errno };
    sys::drop_capabilities(dropped).map_err(system("cannot give up capabilities"))?;
    nix::sys::prctl::set_no_new_privs().map_err(system("cannot set no_new_privs"))?;
    for ruleset in rulesets {
        if ruleset.restrict_self()?.ruleset != RulesetStatus::FullyEnforced {
            return Err(StageError::NotEnforced);
        }
    }
    Ok(filter::apply(&filters)?)
}

/// Puts an empty file over each of these, for this process and what it starts alone: their mounts are their own from here on. Nothing of them can take
/// it away, since every rule takes the capability to mount, and no process outside can be entered.
fn hide(files: &[CString]) -> Result<(), StageError> {
    if files.is_empty() {
        return Ok(());
    }
    let system = |what| move |errno| StageError::System { what, errno };
    let none: Option<&CStr> = None;
    unshare(CloneFlags::CLONE_NEWNS).map_err(system("cannot have mounts of its own"))?;
    mount(none, c"/", none, MsFlags::MS_REC | MsFlags::MS_SLAVE, none).map_err(system("cannot have mounts of its own"))?;
    for file in files {
        mount(Some(c"/dev/null"), file.as_c_str(), none, MsFlags::MS_BIND, none).map_err(system("cannot hide a key"))?;
    }
    Ok(())
}

/// The interface to use: the newest one that this code was written for, or what the kernel has.
const fn abi(number: u32) -> Option<ABI> {
    match number {
        0 => None,
        1 => Some(ABI::V1),
        2 => Some(ABI::V2),
        3 => Some(ABI::V3),
        4 => Some(ABI::V4),
        5 => Some(ABI::V5),
        _ => Some(ABI::V6),
    }
}

/// Moving files between directories is denied by every ruleset that does not grant it, wherever nothing else is restricted.
fn grant_moves(ruleset: RulesetCreated, abi: ABI) -> Result<RulesetCreated, StageError> {
    if !AccessFs::from_write(abi).contains(AccessFs::Refer) {
        return Ok(ruleset);
    }
    let root = open("/", OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty()).map_err(io::Error::from)?;
    Ok(ruleset.add_rule(PathBeneath::new(root, AccessFs::Refer))?)
}

/// What holds under every rule: this process and what it starts are a domain of their own, from which no process outside can be traced,
/// read or written, and no device file made; with it what Landlock adds to the rules about network and privileges.
fn fence(rules: &Rules, abi: ABI) -> Result<RulesetCreated, StageError> {
    let moves = AccessFs::from_write(abi) & AccessFs::Refer;
    let mut ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::MakeChar | AccessFs::MakeBlock | moves)?;
    let net = AccessNet::from_all(abi);
    if rules.network && !net.is_empty() {
        ruleset = ruleset.handle_access(net)?;
    }
    if abi as u32 >= LANDLOCK_SCOPES {
        if rules.privileges {
            ruleset = ruleset.scope(Scope::Signal)?;
        }
        if rules.privileges || rules.network {
            ruleset = ruleset.scope(Scope::AbstractUnixSocket)?;
        }
    }
    grant_moves(ruleset.create()?, abi)
}

/// One pair of lists.
fn files(layer: &Layer, abi: ABI, program: &Path) -> Result<RulesetCreated, StageError> {
    let reading = AccessFs::from_read(abi);
    let writing = AccessFs::from_write(abi);
    let mut handled = writing & AccessFs::Refer;
    if layer.read.is_some() {
        handled |= reading;
    }
    if layer.write.is_some() {
        handled |= writing;
    }
    let mut ruleset = Ruleset::default().set_compatibility(CompatLevel::HardRequirement).handle_access(handled)?.create()?;
    if layer.write.is_none() {
        ruleset = grant_moves(ruleset, abi)?;
    }
    let devices = AccessFs::MakeChar | AccessFs::MakeBlock;
    let grant = |ruleset: RulesetCreated, file, directory: bool, access: BitFlags<AccessFs>| {
        let possible = if directory { AccessFs::from_all(abi) } else { AccessFs::from_file(abi) };
        let access = access & handled & possible;
        if access.is_empty() { Ok(ruleset) } else { ruleset.add_rule(PathBeneath::new(file, access)) }
    };
    let own = [(program, reading)];
    let system = SYSTEM.iter().map(|path| (Path::new(path), reading));
    let devices_of = DEVICES.iter().map(|path| (Path::new(path), AccessFs::from_all(abi) & !devices));
    for (path, access) in own.into_iter().chain(system).chain(devices_of) {
        // What a host does not have needs no rule.
        let Ok(file) = open(path, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty()) else { continue };
        ruleset = grant(ruleset, file, path.is_dir(), access)?;
    }
    let read = layer.read.iter().flatten().map(|place| (place, reading));
    let write = layer.write.iter().flatten().map(|place| (place, AccessFs::from_all(abi) & !devices));
    for (place, access) in read.chain(write) {
        let (file, directory) = place.open().map_err(|error| StageError::Place {
            path: opal_core::show::escape(place.path().as_os_str().as_bytes(), false),
            why: opal_core::plan::os_reason(&error),
        })?;
        ruleset = grant(ruleset, file, directory, access)?;
    }
    Ok(ruleset)
}
