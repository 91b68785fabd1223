//! Whether a run is guarded: somebody other than its caller has a say in it.

use std::ffi::OsString;
use std::fmt;

use nix::unistd::{Uid, geteuid, getuid};

/// The login uid of a process that no login started.
const NO_LOGIN: u32 = u32::MAX;

/// Who runs this, and how they came to.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The real user.
    pub ruid: Uid,
    /// The effective user.
    pub euid: Uid,
    /// `SUDO_UID`.
    pub sudo_uid: Option<OsString>,
    /// `DOAS_USER`.
    pub doas_user: Option<OsString>,
    /// `/proc/self/loginuid`, where the kernel has it.
    pub login_uid: Option<u32>,
}

/// One reason for a guarded run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// `/etc/opal/policy.toml` is there.
    Policy,
    /// Real and effective user differ.
    SetUid,
    /// Root through sudo.
    Sudo,
    /// Root through doas.
    Doas,
    /// Root, in a session that another user logged in to (su).
    Login {
        /// That user.
        uid: u32,
    },
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Policy => f.write_str("this host has a policy"),
            Self::SetUid => f.write_str("real and effective user differ"),
            Self::Sudo => f.write_str("root was reached through sudo"),
            Self::Doas => f.write_str("root was reached through doas"),
            Self::Login { uid } => write!(f, "root was reached from the login of uid {uid}"),
        }
    }
}

impl Caller {
    /// Reads the process's ids, environment and login uid.
    #[must_use]
    pub fn from_environment() -> Self {
        Self {
            ruid: getuid(),
            euid: geteuid(),
            sudo_uid: std::env::var_os("SUDO_UID"),
            doas_user: std::env::var_os("DOAS_USER"),
            login_uid: std::fs::read_to_string("/proc/self/loginuid").ok().and_then(|text| text.trim().parse().ok()),
        }
    }

    /// Why this run is guarded; nothing means that it is not.
    #[must_use]
    pub fn guarded(&self, policy_exists: bool) -> Vec<Reason> {
        let mut reasons = Vec::new();
        if policy_exists {
            reasons.push(Reason::Policy);
        }
        if self.ruid != self.euid {
            reasons.push(Reason::SetUid);
        }
        if !self.euid.is_root() {
            return reasons;
        }
        // Root who uses sudo or doas was root before.
        if self.sudo_uid.as_ref().is_some_and(|uid| uid != "0") {
            reasons.push(Reason::Sudo);
        }
        if self.doas_user.as_ref().is_some_and(|user| user != "root") {
            reasons.push(Reason::Doas);
        }
        if let Some(uid) = self.login_uid.filter(|uid| *uid != 0 && *uid != NO_LOGIN) {
            reasons.push(Reason::Login { uid });
        }
        reasons
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root() -> Caller {
        let uid = Uid::from_raw(0);
        Caller { ruid: uid, euid: uid, sudo_uid: None, doas_user: None, login_uid: None }
    }

    #[test]
    fn plain_users_and_plain_root_are_not_guarded() {
        assert_eq!(root().guarded(false), []);
        assert_eq!(Caller { login_uid: Some(NO_LOGIN), ..root() }.guarded(false), []);
        assert_eq!(Caller { login_uid: Some(0), sudo_uid: Some("0".into()), ..root() }.guarded(false), []);
        let uid = Uid::from_raw(1000);
        let user = Caller { ruid: uid, euid: uid, login_uid: Some(1000), sudo_uid: Some("1000".into()), ..root() };
        assert_eq!(user.guarded(false), []);
    }

    #[test]
    fn each_way_to_root_and_a_policy_guard_a_run() {
        assert_eq!(root().guarded(true), [Reason::Policy]);
        assert_eq!(Caller { ruid: Uid::from_raw(1000), ..root() }.guarded(false), [Reason::SetUid]);
        assert_eq!(Caller { sudo_uid: Some("1000".into()), ..root() }.guarded(false), [Reason::Sudo]);
        assert_eq!(Caller { sudo_uid: Some("".into()), ..root() }.guarded(false), [Reason::Sudo]);
        assert_eq!(Caller { doas_user: Some("bob".into()), ..root() }.guarded(false), [Reason::Doas]);
        assert_eq!(Caller { login_uid: Some(1000), ..root() }.guarded(false), [Reason::Login { uid: 1000 }]);
    }
}
