//! What this host can enforce on steps (spec/security.md, "Confinement").
//!
//! Read for: everything in the process that runs a contract.

use opal_core::sandbox::{Host, LANDLOCK_SCOPES};
use serde_json::{Value, json};

use crate::supervise::sys;
use crate::supervise::watcher::cgroup;

/// Asks the kernel.
#[must_use]
pub fn probe() -> Host {
    let known = seccompiler::TargetArch::try_from(std::env::consts::ARCH).is_ok();
    Host { landlock: sys::landlock_abi(), mounts: may_mount(), seccomp: known && sys::takes_filters() }
}

/// Whether this process has the capability to mount (`CAP_SYS_ADMIN`).
fn may_mount() -> bool {
    const SYS_ADMIN: u32 = 21;
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let set = status.lines().find_map(|line| u64::from_str_radix(line.strip_prefix("CapEff:")?.trim(), 16).ok());
    set.is_some_and(|set| set >> SYS_ADMIN & 1 == 1)
}

/// What the kernel offers, for machines.
#[must_use]
pub fn host_json(host: Host) -> Value {
    let (any, files) = (host.missing(false).is_none(), host.missing(true).is_none());
    json!({
        "landlock_abi": host.landlock, "seccomp": host.seccomp,
        "no_new_privs": nix::sys::prctl::get_no_new_privs().is_ok(), "cgroup_kill": cgroup::available(),
        "signals_scoped": host.landlock >= LANDLOCK_SCOPES,
        "enforces": { "network": any, "filesystem": files, "privileges": any },
    })
}
