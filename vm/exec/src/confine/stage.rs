//! The stage before a confined step: this executable again, started by the watcher in place of the step's program. It puts the rules on
//! itself and then becomes that program. What cannot be enforced ends it: the program never starts without its rules.
//!
//! Tests: `tests/tests/confinement.rs`, with real processes.

use std::ffi::{CStr, CString, OsStr};
use std::io;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::Path;

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible as _, PathBeneath, Ruleset, RulesetAttr as _, RulesetCreated,
    RulesetCreatedAttr as _, RulesetStatus, Scope,
};
use nix::fcntl::{OFlag, open};
use nix::sys::signal::Signal;
use nix::sys::stat::Mode;

use super::filter;
use super::probe;
use super::rules::{Layer, Rules, Sheet};
use crate::supervise::sys;
use opal_core::sandbox::LANDLOCK_SCOPES;

/// The first argument that makes this executable a stage. The program and its arguments follow, the name it is called by first.
pub const ARGUMENT: &CStr = c"__confine";

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
    System { what: &'static str, errno: nix::errno::Errno },
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// Becomes the program of a confined step, and never returns, if this process was started as the stage of one; otherwise does nothing.
pub fn maybe_run() {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().as_deref() != Some(OsStr::from_bytes(ARGUMENT.to_bytes())) {
        return;
    }
    let Ok(mut sheet) = Sheet::given() else { return };
    sys::close_on_exec_above_2();
    let words: Vec<CString> = arguments.filter_map(|word| CString::new(word.into_vec()).ok()).collect();
    let Err(error) = start(&mut sheet, &words);
    sheet.refuse(&error.to_string());
    std::process::exit(NOT_CONFINED);
}

fn start(sheet: &mut Sheet, words: &[CString]) -> Result<std::convert::Infallible, StageError> {
    let system = |what| move |errno| StageError::System { what, errno };
    let rules = sheet.rules()?;
    let (program, arguments) = words.split_first().ok_or_else(|| StageError::Missing("no program".to_owned()))?;
    let mut environment = Vec::new();
    for (name, value) in std::env::vars_os() {
        let entry = [name.as_bytes(), b"=", value.as_bytes()].concat();
        environment.push(CString::new(entry).map_err(|_| StageError::Missing("a variable holds NUL".to_owned()))?);
    }
    confine(&rules, Path::new(OsStr::from_bytes(program.to_bytes())))?;
    // The runtime of this language has set SIGPIPE to be ignored; the rest is as the watcher left it.
    let others: Vec<Signal> = Signal::iterator().filter(|signal| *signal != Signal::SIGPIPE).collect();
    sys::default_dispositions(&others);
    nix::unistd::execve(program, arguments, &environment).map_err(system("cannot start the shell"))
}

/// Puts the rules on this process. It has one thread.
fn confine(rules: &Rules, program: &Path) -> Result<(), StageError> {
    let host = probe();
    if let Some(missing) = host.missing(!rules.layers.is_empty()).filter(|_| !rules.best_effort) {
        return Err(StageError::Missing(missing));
    }
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
