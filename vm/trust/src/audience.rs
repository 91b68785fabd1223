//! Whether a contract is meant for this host.
//!
//! A host is told by a public key that root put there: `/etc/opal/host.pub`, else that of its SSH server. Such a file proves what root configured, and
//! nothing more: whoever copies it is taken for the host by this. Possession of the private key is proven by opening what is sealed to it.
//!
//! Read for: who is trusted, and what policy allows.

use std::fmt;
use std::path::PathBuf;

use opal_format::identity::{KeyError, PublicKey};

use super::locations::{HostPaths, TRUST_FILE_SIZE_MAX};
use super::safe_path::{SafeDir, SafePathError, forbid};
use opal_core::code::Code;
use opal_core::failure::{Failure, Report};

/// Where the key of a host is, below `/etc`; the first that is there.
const PLACES: [(&str, &str); 2] = [("opal", "host.pub"), ("ssh", "ssh_host_ed25519_key.pub")];
/// Hosts that a message names.
const NAMED_MAX: usize = 4;

/// Why a contract that names its hosts is not for this one.
#[derive(Debug, thiserror::Error)]
pub enum AudienceError {
    /// It names others.
    #[error("the contract is for {}, and this host is {}", Hosts(audience), here.fingerprint())]
    Other {
        /// Those it names.
        audience: Vec<PublicKey>,
        /// This host.
        here: PublicKey,
    },
    /// This host has no key.
    #[error("the contract is for {}, and no key says which host this is", Hosts(audience))]
    NoKey {
        /// Those it names.
        audience: Vec<PublicKey>,
    },
    /// The file of the key, or a directory above it, is not root's alone.
    #[error(transparent)]
    Path(#[from] SafePathError),
    /// The file of the key holds something else.
    #[error("`{}` says which host this is, and holds no key that can: {cause}", path.display())]
    BadKey {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: KeyError,
    },
}

impl Failure for AudienceError {
    fn report(&self) -> Report {
        match self {
            Self::Other { here, .. } => Report::new(
                Code::WrongHost,
                format!("run it there; or make it for this host too, with `--host '{here}'`, and have it reviewed"),
            ),
            Self::NoKey { .. } => Report::new(
                Code::NoHostKey,
                "have the owner of this host make one: `ssh-keygen -A`, or put the public key that is to stand for it into /etc/opal/host.pub",
            ),
            Self::Path(error) => error.report(),
            Self::BadKey { path, .. } => Report::new(
                Code::BadHostKey,
                format!("have the owner of this host put one line `ssh-ed25519 AAAA…` into {}", path.display()),
            ),
        }
    }
}

/// Some hosts, as messages name them.
struct Hosts<'a>(&'a [PublicKey]);

impl fmt::Display for Hosts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.len() == 1 { "the host " } else { "the hosts " })?;
        for (at, key) in self.0.iter().take(NAMED_MAX).enumerate() {
            write!(f, "{}{}", if at > 0 { ", " } else { "" }, key.fingerprint())?;
        }
        match self.0.len().saturating_sub(NAMED_MAX) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

/// The key of this host; `None` where there is none.
///
/// # Errors
/// A file that is there and is not root's alone, or is no such key.
pub fn host_key(paths: &HostPaths) -> Result<Option<PublicKey>, AudienceError> {
    for (dir, name) in PLACES {
        let Some(dir) = SafeDir::open(&paths.etc.join(dir), paths.system_owner)? else { continue };
        let Some(bytes) = dir.read_file(name, forbid::WRITING, TRUST_FILE_SIZE_MAX)? else { continue };
        let text = String::from_utf8_lossy(&bytes);
        let mut lines = text.trim().lines();
        let key = lines.next().filter(|_| lines.next().is_none()).ok_or(KeyError::PublicMalformed).and_then(str::parse);
        return key.map(Some).map_err(|cause| AudienceError::BadKey { path: dir.path().join(name), cause });
    }
    Ok(None)
}

/// Judges whether a contract that is for `audience` is for this host. One that is for nobody by name is for any; then no file is looked at.
///
/// # Errors
/// An [`AudienceError`].
pub fn judge_audience(audience: &[PublicKey], paths: &HostPaths) -> Result<(), AudienceError> {
    if audience.is_empty() {
        return Ok(());
    }
    match host_key(paths)? {
        Some(here) if audience.contains(&here) => Ok(()),
        Some(here) => Err(AudienceError::Other { audience: audience.to_vec(), here }),
        None => Err(AudienceError::NoKey { audience: audience.to_vec() }),
    }
}

#[cfg(test)]
mod tests {
    use super::super::locations::fixture;
    use super::*;
    use opal_format::identity::Identity;
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn the_key_of_a_host_is_root_s_to_put_and_one_line() {
        let (paths, temp) = fixture::host();
        let [mine, ssh, other] = ["", "root@host", "x"].map(|comment| Identity::generate(comment).expect("a key"));
        let code = |audience: &[PublicKey]| judge_audience(audience, &paths).map_err(|error| error.code().name());
        assert_eq!(code(&[]), Ok(()));
        assert_eq!(code(&[mine.public()]), Err("no_host_key"));
        fs::create_dir(paths.etc.join("ssh")).expect("a directory");
        let file = temp.path().join("etc/ssh/ssh_host_ed25519_key.pub");
        fs::write(&file, ssh.to_public_line()).expect("written");
        assert_eq!(code(&[other.public(), ssh.public()]), Ok(()));
        assert_eq!(code(&[mine.public()]), Err("wrong_host"));
        // What root put there for this counts before it.
        fixture::etc_file(&paths, "host.pub", &format!("\n{}\n", mine.to_public_line()));
        assert_eq!((code(&[mine.public()]), code(&[ssh.public()])), (Ok(()), Err("wrong_host")));
        let two = format!("{}\n{}\n", mine.to_public_line(), ssh.to_public_line());
        for bad in ["", "ssh-rsa AAAA", "ssh-ed25519 AAAA", "# nothing", &two, "\u{0}"] {
            fixture::etc_file(&paths, "host.pub", bad);
            assert_eq!(code(&[mine.public()]), Err("bad_host_key"), "{bad:?}");
        }
        fs::remove_file(temp.path().join("etc/opal/host.pub")).expect("there");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o664)).expect("its mode");
        assert_eq!(code(&[ssh.public()]), Err("unsafe_mode"));
        assert_eq!(code(&[]), Ok(()), "nobody asks");
    }

    #[test]
    fn a_message_names_a_few_hosts() {
        let keys: Vec<_> = (0..6).map(|_| Identity::generate("").expect("a key").public()).collect();
        let text = AudienceError::NoKey { audience: keys.clone() }.to_string();
        assert!(text.contains(&keys[3].fingerprint()) && !text.contains(&keys[4].fingerprint()) && text.contains(" and 2 more"), "{text}");
    }
}
