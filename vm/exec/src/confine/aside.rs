//! What holds a process that works aside ([`crate::aside`]): no descriptor but its socket, limits, and a filter that ends it at any system call that
//! such work does not need.
//!
//! There is no `open` among them, so there is nothing for Landlock to do. Tests: `tests/tests/planner.rs`, with real processes.
//!
//! Read for: everything in the process that runs a contract.

use std::collections::BTreeMap;
use std::ffi::CStr;

use nix::libc;
use nix::sys::prctl;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen as Length, SeccompCmpOp as Is, SeccompCondition, SeccompFilter, SeccompRule, TargetArch,
};

/// Bytes of data.
const DATA: u64 = 1 << 30;
/// Seconds of processor time.
const SECONDS: u64 = 60;

/// What such work needs of the kernel: its socket, memory, an end. `mmap` and `mprotect` stand apart.
const ALLOWED: &[i64] = &[
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_recvmsg,
    libc::SYS_sendmsg,
    libc::SYS_close,
    libc::SYS_brk,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_futex,
    libc::SYS_clock_gettime,
    libc::SYS_getrandom,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_getpid,
    libc::SYS_gettid,
    libc::SYS_tgkill,
    libc::SYS_sched_yield,
    libc::SYS_restart_syscall,
    libc::SYS_exit,
    libc::SYS_exit_group,
];

/// Confines this process, whose standard streams it gives up, for the rest of its life. Says whether the filter and the limits hold.
#[must_use]
pub fn aside(name: &CStr) -> (bool, bool) {
    let _ = prctl::set_name(name);
    for stream in 0..3 {
        let _ = nix::unistd::close(stream);
    }
    let limits = [(Resource::RLIMIT_DATA, DATA), (Resource::RLIMIT_CPU, SECONDS), (Resource::RLIMIT_CORE, 0), (Resource::RLIMIT_FSIZE, 0)];
    // A caller's lower bound stays; each is set, whatever becomes of the others.
    let bound = |what: Resource, most: u64| {
        let least = getrlimit(what).map_or(most, |(_, hard)| most.min(hard));
        setrlimit(what, least, least).is_ok()
    };
    let bounded = limits.map(|(what, most)| bound(what, most)).into_iter().all(|held| held);
    (filter().is_some_and(|filter| seccompiler::apply_filter(&filter).is_ok()), bounded)
}

/// The allow-list: any other call ends the process.
fn filter() -> Option<BpfProgram> {
    let not_executable = || {
        let protection = SeccompCondition::new(2, Length::Dword, Is::MaskedEq(u64::from(libc::PROT_EXEC.cast_unsigned())), 0).ok()?;
        SeccompRule::new(vec![protection]).ok()
    };
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = ALLOWED.iter().map(|call| (*call, Vec::new())).collect();
    for call in [libc::SYS_mmap, libc::SYS_mprotect] {
        rules.insert(call, vec![not_executable()?]);
    }
    let arch = TargetArch::try_from(std::env::consts::ARCH).ok()?;
    SeccompFilter::new(rules, SeccompAction::KillProcess, SeccompAction::Allow, arch).ok()?.try_into().ok()
}
