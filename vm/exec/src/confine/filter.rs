//! The system call filters of confined steps. What they deny fails with EPERM.
//!
//! They see numbers, never what a pointer leads to. A program of another instruction set (32 bits on 64) is ended by SIGSYS at its first call.
//!
//! Read for: everything in the process that runs a contract.

use std::collections::BTreeMap;

use nix::libc;
use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen as Length, SeccompCmpOp as Is, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch,
};

use super::rules::Rules;

/// Why there is no filter.
#[derive(Debug, thiserror::Error)]
pub(super) enum FilterError {
    /// It could not be put together.
    #[error("{0}")]
    Build(#[from] BackendError),
    /// The kernel does not take it.
    #[error("{0}")]
    Apply(#[from] seccompiler::Error),
}

/// Denied under every rule: ways around the other denials, and ways to change the kernel.
const ALWAYS: &[i64] = &[
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_bpf,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_open_by_handle_at,
];

/// Denied without privileges besides.
const PRIVILEGED: &[i64] = &[
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_pidfd_getfd,
    libc::SYS_kcmp,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_setns,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_reboot,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_acct,
    libc::SYS_quotactl,
    libc::SYS_syslog,
];

/// Changes of attributes, which Landlock does not see: denied where nothing may be written at all. From 424 on a number is the same everywhere.
const ATTRIBUTES: &[i64] = &[
    libc::SYS_fchmod,
    libc::SYS_fchmodat,
    452, // fchmodat2
    libc::SYS_fchown,
    libc::SYS_fchownat,
    libc::SYS_utimensat,
    libc::SYS_setxattr,
    libc::SYS_lsetxattr,
    libc::SYS_fsetxattr,
    463, // setxattrat
    libc::SYS_removexattr,
    libc::SYS_lremovexattr,
    libc::SYS_fremovexattr,
    466, // removexattrat
    469, // file_setattr
    #[cfg(target_arch = "x86_64")]
    libc::SYS_chmod,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_chown,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_lchown,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_utime,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_utimes,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_futimesat,
];

/// Requests of `ioctl` that type into a terminal on behalf of its user.
const TYPING: [u64; 2] = [libc::TIOCSTI, 0x541c /* TIOCLINUX */];

/// Namespaces, in which anybody has every privilege.
const NAMESPACES: [i32; 8] = [
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWNS,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWNET,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWUTS,
    libc::CLONE_NEWCGROUP,
    0x80, // CLONE_NEWTIME; for clone, part of the signal that a child ends with, which is never that high
];

type Denied = BTreeMap<i64, Vec<SeccompRule>>;

fn where_argument(denied: &mut Denied, call: i64, argument: u8, length: Length, is: Is, value: u64) -> Result<(), FilterError> {
    let rule = SeccompRule::new(vec![SeccompCondition::new(argument, length, is, value)?])?;
    denied.entry(call).or_default().push(rule);
    Ok(())
}

/// The filters for these rules, all of which apply.
pub(super) fn programs(rules: &Rules) -> Result<Vec<BpfProgram>, FilterError> {
    let mut denied: Denied = ALWAYS.iter().map(|call| (*call, Vec::new())).collect();
    for request in TYPING {
        where_argument(&mut denied, libc::SYS_ioctl, 1, Length::Dword, Is::Eq, request)?;
    }
    if rules.network {
        // Sockets between processes of the block remain, as pairs or by accepting; what lies outside cannot be connected to.
        for call in [libc::SYS_socket, libc::SYS_socketpair] {
            where_argument(&mut denied, call, 0, Length::Dword, Is::Ne, u64::from(libc::AF_UNIX.unsigned_abs()))?;
        }
        denied.insert(libc::SYS_connect, Vec::new());
        where_argument(&mut denied, libc::SYS_sendto, 4, Length::Qword, Is::Ne, 0)?;
    }
    if rules.layers.iter().any(|layer| layer.write.as_ref().is_some_and(Vec::is_empty)) {
        denied.extend(ATTRIBUTES.iter().map(|call| (*call, Vec::new())));
    }
    let mut absent = Denied::new();
    if rules.privileges {
        denied.extend(PRIVILEGED.iter().map(|call| (*call, Vec::new())));
        for flag in NAMESPACES.map(|flag| u64::from(flag.cast_unsigned())) {
            where_argument(&mut denied, libc::SYS_unshare, 0, Length::Qword, Is::MaskedEq(flag), flag)?;
            where_argument(&mut denied, libc::SYS_clone, 0, Length::Qword, Is::MaskedEq(flag), flag)?;
        }
        // Its flags are in memory, where a filter cannot look; libraries go on with `clone`.
        absent.insert(libc::SYS_clone3, Vec::new());
    }
    let mut programs = vec![program(denied, libc::EPERM)?];
    if !absent.is_empty() {
        programs.push(program(absent, libc::ENOSYS)?);
    }
    #[cfg(target_arch = "x86_64")]
    programs.push(x32());
    Ok(programs)
}

fn program(denied: Denied, errno: i32) -> Result<BpfProgram, FilterError> {
    let arch = TargetArch::try_from(std::env::consts::ARCH)?;
    let answer = SeccompAction::Errno(errno.unsigned_abs());
    Ok(SeccompFilter::new(denied, SeccompAction::Allow, answer, arch)?.try_into()?)
}

/// Denies the second numbering of the same calls, which the other filters do not know.
#[cfg(target_arch = "x86_64")]
fn x32() -> BpfProgram {
    const BIT: u32 = 0x4000_0000;
    let line = |code: u32, jt, jf, k| seccompiler::sock_filter { code: u16::try_from(code).unwrap_or(0), jt, jf, k };
    vec![
        line(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        line(libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K, 0, 1, BIT),
        line(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ERRNO | libc::ENOSYS.unsigned_abs()),
        line(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
    ]
}

/// Puts filters on this thread.
pub(super) fn apply(programs: &[BpfProgram]) -> Result<(), FilterError> {
    programs.iter().try_for_each(|program| seccompiler::apply_filter(program).map_err(FilterError::from))
}
