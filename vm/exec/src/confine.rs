//! Confinement of steps, in the modules below, and here that of the replanning thread: from here on it cannot write, execute or use the
//! network, as far as this kernel can enforce that.
//!
//! Planning is pure reading by construction; this holds even if that construction has a fault. Landlock and seccomp bind the calling thread only,
//! and no step is ever started from it. On a kernel without them planning goes on unconfined: they are a second wall, not the first.

mod filter;
mod host;
mod rules;
mod stage;

pub use host::{host_json, probe};
pub use rules::{Layer, Place, Rules};
pub use stage::{DEVICES, SYSTEM};
pub(crate) use stage::{Program, Refused};

use landlock::{ABI, Access as _, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible as _, Ruleset, RulesetAttr as _};
use nix::libc;
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch};
use std::collections::BTreeMap;

/// The newest Landlock interface that is asked for; an older kernel enforces what it knows.
const LANDLOCK: ABI = ABI::V5;

/// What holds on this thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Confinement {
    /// No file can be written or executed.
    pub files: bool,
    /// No process, socket or program can be started.
    pub calls: bool,
}

/// Confines the calling thread for the rest of its life.
#[must_use]
pub fn this_thread() -> Confinement {
    Confinement { files: landlock(), calls: seccomp() }
}

fn landlock() -> bool {
    let denied: BitFlags<AccessFs> = AccessFs::from_write(LANDLOCK) | AccessFs::Execute;
    Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(denied)
        .and_then(|ruleset| ruleset.handle_access(AccessNet::from_all(LANDLOCK)))
        .and_then(Ruleset::create)
        .and_then(landlock::RulesetCreated::restrict_self)
        .is_ok_and(|status| status.ruleset != landlock::RulesetStatus::NotEnforced)
}

fn seccomp() -> bool {
    let Ok(arch) = TargetArch::try_from(std::env::consts::ARCH) else { return false };
    let denied = [
        libc::SYS_execve,
        libc::SYS_execveat,
        libc::SYS_socket,
        libc::SYS_socketpair,
        libc::SYS_connect,
        libc::SYS_bind,
        libc::SYS_ptrace,
        libc::SYS_kill,
        libc::SYS_tgkill,
        libc::SYS_io_uring_setup,
        libc::SYS_unlinkat,
        libc::SYS_renameat2,
        libc::SYS_mkdirat,
        libc::SYS_mount,
        libc::SYS_bpf,
    ];
    let rules: BTreeMap<i64, Vec<seccompiler::SeccompRule>> = denied.into_iter().map(|call| (call, Vec::new())).collect();
    let errno = u32::try_from(libc::EPERM).unwrap_or(1);
    SeccompFilter::new(rules, SeccompAction::Allow, SeccompAction::Errno(errno), arch)
        .and_then(BpfProgram::try_from)
        .is_ok_and(|program| seccompiler::apply_filter(&program).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_confined_thread_reads_and_does_nothing_else() {
        let directory = tempfile::tempdir().expect("a directory");
        let (old, new) = (directory.path().join("old"), directory.path().join("new"));
        std::fs::write(&old, "text").expect("written");
        let work = || {
            let confined = this_thread();
            assert_eq!(std::fs::read(&old).expect("still readable"), b"text");
            if confined.files {
                assert!(std::fs::write(&new, "").is_err() && std::fs::write(&old, "").is_err() && std::fs::remove_file(&old).is_err());
            }
            if confined.calls {
                assert!(std::process::Command::new("true").status().is_err());
                assert!(std::net::UdpSocket::bind("127.0.0.1:0").is_err());
            }
            confined
        };
        let confined = std::thread::scope(|scope| scope.spawn(work).join().expect("it holds"));
        println!("enforced here: {confined:?}");
        // The rest of the process is as it was.
        assert!(std::fs::write(&new, "").is_ok() && std::process::Command::new("true").status().is_ok());
    }
}
