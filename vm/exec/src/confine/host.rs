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
    Host { landlock: sys::landlock_abi(), seccomp: known && sys::takes_filters() }
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
