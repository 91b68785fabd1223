//! The key of a host by its name, as OpenSSH's known_hosts files list it (sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT").
//!
//! A name is looked up as `ssh` does: by patterns, or by its HMAC where the file hides names. Lines that cannot be read are none, as for `ssh`. Other than
//! there, one name is one key: a contract that is bound to whichever of two keys would be bound to neither.

use base64ct::{Base64, Encoding as _};
use hmac::{Hmac, KeyInit as _, Mac as _};
use opal_format::identity::{ALGORITHM, PublicKey};
use opal_trust::pattern::list_accepts;
use sha1::Sha1;
use std::collections::BTreeSet;

/// What begins the name of a host that is hidden.
const HASHED: &str = "|1|";

/// What files say of a name.
#[derive(Debug, Default)]
pub(crate) struct Found {
    keys: BTreeSet<PublicKey>,
    revoked: BTreeSet<PublicKey>,
    /// Types of other keys of that name.
    other: BTreeSet<String>,
    /// Whether an authority certifies hosts of that name.
    certified: bool,
}

/// Why a name gives no key.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoKey {
    #[error("known_hosts lists no key for it")]
    Unknown,
    #[error("known_hosts lists no ssh-ed25519 key for it, but {0}")]
    OtherType(String),
    #[error("known_hosts lists an authority that certifies its key, and not the key")]
    Certified,
    #[error("its key in known_hosts is marked as revoked")]
    Revoked,
    #[error("known_hosts lists several ssh-ed25519 keys for it: {0}")]
    Several(String),
}

impl Found {
    /// Adds what the text of a file says of `name`.
    pub(crate) fn look(&mut self, text: &str, name: &str) {
        let name = name.to_ascii_lowercase();
        text.lines().for_each(|line| _ = self.line(line.trim(), &name));
    }

    fn line(&mut self, line: &str, name: &str) -> Option<()> {
        let mut words = line.split_ascii_whitespace().peekable();
        let marker = words.next_if(|word| word.starts_with('@'));
        let (hosts, kind, key) = (words.next()?, words.next()?, words.next()?);
        if hosts.starts_with('#') || !is_about(hosts, name) {
            return None;
        }
        let parsed = || format!("{kind} {key}").parse::<PublicKey>().ok();
        match marker {
            Some("@revoked") => _ = self.revoked.insert(parsed()?),
            Some("@cert-authority") => self.certified = true,
            Some(_) => {}
            None if kind == ALGORITHM => _ = self.keys.insert(parsed()?),
            None => _ = self.other.insert(kind.to_owned()),
        }
        Some(())
    }

    /// The one key of that name.
    pub(crate) fn only(&self) -> Result<PublicKey, NoKey> {
        let mut keys = self.keys.difference(&self.revoked);
        match (keys.next(), keys.next()) {
            (Some(key), None) => Ok(*key),
            (Some(first), Some(second)) => {
                let all: Vec<String> = [first, second].into_iter().chain(keys).map(PublicKey::fingerprint).collect();
                Err(NoKey::Several(all.join(", ")))
            }
            (None, _) if !self.keys.is_empty() => Err(NoKey::Revoked),
            (None, _) if self.certified => Err(NoKey::Certified),
            (None, _) if !self.other.is_empty() => Err(NoKey::OtherType(self.other.iter().cloned().collect::<Vec<_>>().join(", "))),
            (None, _) => Err(NoKey::Unknown),
        }
    }
}

/// Whether the first field of a line is about a host; `name` is in lower case.
fn is_about(hosts: &str, name: &str) -> bool {
    match hosts.strip_prefix(HASHED) {
        None => list_accepts(&hosts.to_ascii_lowercase(), name),
        Some(hidden) => hidden.split_once('|').is_some_and(|(salt, hash)| {
            let (Ok(salt), Ok(hash)) = (Base64::decode_vec(salt), Base64::decode_vec(hash)) else { return false };
            Hmac::<Sha1>::new_from_slice(&salt).is_ok_and(|mac| mac.chain_update(name).verify_slice(&hash).is_ok())
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use opal_format::identity::Identity;

    const A: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti";

    fn find(text: &str, name: &str) -> Result<PublicKey, NoKey> {
        let mut found = Found::default();
        found.look(text, name);
        found.only()
    }

    #[test]
    fn a_name_is_looked_up_as_ssh_does() {
        let (a, b): (PublicKey, _) = (A.parse().expect("a key"), Identity::generate("").expect("a key").public());
        for (hosts, name) in [
            ("web1", "web1"),
            ("web1", "WEB1"),
            ("Web1,10.0.0.1", "10.0.0.1"),
            ("*.example.com", "web1.example.com"),
            ("[web1]:2222", "[web1]:2222"),
            ("web?", "web1"),
        ] {
            assert_eq!(find(&format!("# x\n\n{hosts} {A} a comment\nother {b}\n"), name), Ok(a), "{hosts} {name}");
        }
        for (hosts, name) in
            [("web1", "web"), ("!web1,web*", "web1"), ("web1", "[web1]:2222"), ("#web1", "#web1"), ("|1|AA==|AA==", "web1")]
        {
            assert_eq!(find(&format!("{hosts} {A}\n"), name), Err(NoKey::Unknown), "{hosts} {name}");
        }
        assert_eq!(find(&format!("web1 {A}\nweb1 {A}\n@revoked web1 {b}\nweb1 {b}\n"), "web1"), Ok(a));
        assert!(matches!(find(&format!("web1 {A}\nweb1 {b}\n"), "web1"), Err(NoKey::Several(text)) if text.contains(&b.fingerprint())));
        assert_eq!(find(&format!("web1 {A}\n@revoked * {A}\n"), "web1"), Err(NoKey::Revoked));
        assert_eq!(find(&format!("@cert-authority *.net {A}\n"), "web1.net"), Err(NoKey::Certified));
        assert_eq!(find("web1 ssh-rsa AAAA\nweb1 ecdsa-sha2-nistp256 AAAA\n", "web1").map_err(|e| e.to_string()), {
            Err("known_hosts lists no ssh-ed25519 key for it, but ecdsa-sha2-nistp256, ssh-rsa".to_owned())
        });
        for torn in ["web1 ssh-ed25519 AAAA", "web1 ssh-ed25519", "web1", "@revoked", "@strange web1 ssh-ed25519 AAAA"] {
            assert_eq!(find(torn, "web1"), Err(NoKey::Unknown), "{torn}");
        }
    }

    #[test]
    fn a_hidden_name_is_found_by_its_mac() {
        let salt = Base64::encode_string(&[7; 20]);
        let mut mac = Hmac::<Sha1>::new_from_slice(&[7; 20]).expect("any key");
        mac.update(b"web1");
        let line = format!("|1|{salt}|{} {A}\n", Base64::encode_string(&mac.finalize().into_bytes()));
        assert_eq!(find(&line, "web1"), Ok(A.parse().expect("a key")));
        assert_eq!(find(&line, "web2"), Err(NoKey::Unknown));
    }
}
