//! Whether a run is guarded: somebody other than its caller has a say in it.
//!
//! Read for: who is trusted, and what policy allows.

use std::ffi::{OsStr, OsString};
use std::fmt;

use nix::unistd::{Gid, Uid, User, geteuid};

/// The login uid of a process that no login started.
const NO_LOGIN: u32 = u32::MAX;

/// Who runs this, and how they came to.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The user whose rights this process has. Real and effective user are one: where they differ, no program of ours goes on after its start.
    pub euid: Uid,
    /// `SUDO_UID`.
    pub sudo_uid: Option<OsString>,
    /// `SUDO_GID`.
    pub sudo_gid: Option<OsString>,
    /// `PKEXEC_UID`.
    pub pkexec_uid: Option<OsString>,
    /// `DOAS_USER`.
    pub doas_user: Option<OsString>,
    /// The uid of that user, where there is one of this name.
    pub doas_uid: Option<Uid>,
    /// `/proc/self/loginuid`, where the kernel has it.
    pub login_uid: Option<u32>,
}

/// One reason for a guarded run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// `/etc/opal/policy.toml` is there.
    Policy,
    /// Reached through sudo.
    Sudo,
    /// Reached through doas.
    Doas,
    /// Reached through pkexec.
    Pkexec,
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
            Self::Sudo => f.write_str("this account was reached through sudo"),
            Self::Doas => f.write_str("this account was reached through doas"),
            Self::Pkexec => f.write_str("this account was reached through pkexec"),
            Self::Login { uid } => write!(f, "root was reached from the login of uid {uid}"),
        }
    }
}

/// Whose rights the files that a command line names are opened with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Invoker {
    /// This process's own: nobody else asked.
    Same,
    /// Those of the user who called.
    User {
        /// That user.
        uid: Uid,
        /// Their group, where the way they came says it.
        gid: Option<Gid>,
    },
    /// Somebody else's, and what is known of them does not agree.
    Unknown,
}

impl Caller {
    /// Reads the process's ids, environment and login uid.
    #[must_use]
    pub fn from_environment() -> Self {
        let doas_user = std::env::var_os("DOAS_USER");
        let named = |name: &OsString| name.to_str().and_then(|name| User::from_name(name).ok().flatten()).map(|user| user.uid);
        Self {
            euid: geteuid(),
            sudo_uid: std::env::var_os("SUDO_UID"),
            sudo_gid: std::env::var_os("SUDO_GID"),
            pkexec_uid: std::env::var_os("PKEXEC_UID"),
            doas_uid: doas_user.as_ref().and_then(named),
            doas_user,
            login_uid: std::fs::read_to_string("/proc/self/loginuid").ok().and_then(|text| text.trim().parse().ok()),
        }
    }

    /// Why this run is guarded; nothing means that it is not.
    #[must_use]
    pub fn guarded(&self, policy_exists: bool) -> Vec<Reason> {
        let policy = policy_exists.then_some(Reason::Policy);
        policy.into_iter().chain(self.ways().into_iter().map(|(reason, _)| reason)).collect()
    }

    /// Who called, by the ways that led here. A variable can be left over, or brought along: what does not agree is not believed.
    #[must_use]
    pub fn invoker(&self) -> Invoker {
        let ways = self.ways();
        let explicit = ways.iter().filter(|(reason, _)| !matches!(reason, Reason::Login { .. })).map(|(_, uid)| *uid);
        let mut uids: Vec<Option<Uid>> = explicit.collect();
        if uids.is_empty() {
            uids.extend(ways.first().map(|(_, uid)| *uid));
        }
        match uids.split_first() {
            None => Invoker::Same,
            Some((Some(uid), others)) if others.iter().all(|other| *other == Some(*uid)) => {
                let through_sudo = ways.iter().any(|(reason, _)| *reason == Reason::Sudo);
                let gid = self.sudo_gid.as_deref().filter(|_| through_sudo).and_then(number).map(Gid::from_raw);
                Invoker::User { uid: *uid, gid }
            }
            Some(_) => Invoker::Unknown,
        }
    }

    /// The ways by which this account was reached from another that has fewer rights, and from whose. Root who uses them was root before, and one's
    /// own account is no other.
    fn ways(&self) -> Vec<(Reason, Option<Uid>)> {
        let mut ways = Vec::new();
        let foreign = |uid: Option<Uid>| uid.is_none_or(|uid| !uid.is_root() && uid != self.euid);
        let mut through = |reason: Reason, uid: Option<Uid>| {
            if foreign(uid) {
                ways.push((reason, uid));
            }
        };
        if let Some(uid) = &self.sudo_uid {
            through(Reason::Sudo, number(uid).map(Uid::from_raw));
        }
        if self.doas_user.is_some() {
            through(Reason::Doas, self.doas_uid);
        }
        if let Some(uid) = &self.pkexec_uid {
            through(Reason::Pkexec, number(uid).map(Uid::from_raw));
        }
        if self.euid.is_root()
            && let Some(uid) = self.login_uid.filter(|uid| *uid != 0 && *uid != NO_LOGIN)
        {
            ways.push((Reason::Login { uid }, Some(Uid::from_raw(uid))));
        }
        ways
    }
}

/// A user or group id as sudo and pkexec write it.
/// An id, but for the one that the kernel takes for "leave it as it is".
fn number(text: &OsStr) -> Option<u32> {
    text.to_str().and_then(|text| text.parse().ok()).filter(|id| *id != u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root() -> Caller {
        let uid = Uid::from_raw(0);
        let (sudo_uid, sudo_gid, pkexec_uid, doas_user, doas_uid) = (None, None, None, None, None);
        Caller { euid: uid, sudo_uid, sudo_gid, pkexec_uid, doas_user, doas_uid, login_uid: None }
    }

    fn user(uid: u32) -> Caller {
        Caller { euid: Uid::from_raw(uid), login_uid: Some(uid), ..root() }
    }

    #[test]
    fn plain_users_and_plain_root_are_not_guarded() {
        let by_root = |caller: Caller| Caller {
            sudo_uid: Some("0".into()),
            pkexec_uid: Some("0".into()),
            doas_user: Some("root".into()),
            doas_uid: Some(Uid::from_raw(0)),
            ..caller
        };
        let same = Caller { sudo_uid: Some("1000".into()), pkexec_uid: Some("1000".into()), ..user(1000) };
        for caller in [root(), Caller { login_uid: Some(NO_LOGIN), ..root() }, by_root(root()), by_root(user(1000)), same] {
            assert_eq!((caller.guarded(false), caller.invoker()), (Vec::new(), Invoker::Same));
        }
    }

    #[test]
    fn each_way_to_another_account_and_a_policy_guard_a_run() {
        assert_eq!((root().guarded(true), root().invoker()), (vec![Reason::Policy], Invoker::Same));
        let called = |uid| Invoker::User { uid: Uid::from_raw(uid), gid: None };
        let one = Some(Uid::from_raw(1000));
        for (to, from) in [(root(), 1000), (user(1001), 1000)] {
            let set = |name: &str| Some(OsString::from(name));
            for (caller, reason, invoker) in [
                (Caller { sudo_uid: set("1000"), ..to.clone() }, Reason::Sudo, called(from)),
                (Caller { sudo_uid: set(""), ..to.clone() }, Reason::Sudo, Invoker::Unknown),
                (Caller { doas_user: set("bob"), doas_uid: one, ..to.clone() }, Reason::Doas, called(from)),
                (Caller { doas_user: set("gone"), ..to.clone() }, Reason::Doas, Invoker::Unknown),
                (Caller { pkexec_uid: set("1000"), ..to.clone() }, Reason::Pkexec, called(from)),
            ] {
                assert_eq!((caller.guarded(false), caller.invoker()), (vec![reason], invoker));
            }
        }
        let login = Caller { login_uid: Some(1000), ..root() };
        assert_eq!((login.guarded(false), login.invoker()), (vec![Reason::Login { uid: 1000 }], called(1000)));
    }

    #[test]
    fn what_does_not_agree_about_the_caller_is_not_believed() {
        let both = |sudo: &str, doas: u32| Caller {
            sudo_uid: Some(sudo.into()),
            sudo_gid: Some("7".into()),
            doas_user: Some("bob".into()),
            doas_uid: Some(Uid::from_raw(doas)),
            login_uid: Some(1234),
            ..root()
        };
        assert_eq!(both("1000", 1000).invoker(), Invoker::User { uid: Uid::from_raw(1000), gid: Some(Gid::from_raw(7)) });
        assert_eq!(both("1001", 1000).invoker(), Invoker::Unknown);
    }
}
