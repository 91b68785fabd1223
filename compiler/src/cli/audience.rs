//! `--host`: the hosts that a contract is for.

use super::failure::Failure;
use super::known_hosts::{Found, NoKey};
use super::{files, keys, options};
use clap::{Arg, ArgMatches};
use opal_core::code::Code;
use opal_format::identity::PublicKey;
use opal_format::limits;
use opal_trust::locations::HostPaths;
use std::path::{Path, PathBuf};

/// Largest file of known hosts.
const KNOWN_HOSTS_SIZE_MAX: usize = 16 << 20;
const HELP: &str = "give a line like `ssh-ed25519 AAAA…`, a file with such (`./web1.pub`), or a name in known_hosts";

pub(super) fn argument() -> Arg {
    options::repeated("host", "KEY", "Only for this host: its ssh-ed25519 public key, a file with it, or a name in known_hosts")
}

/// The keys of the hosts that `--host` names, sorted, each once; none for any host.
pub(super) fn hosts(matches: &ArgMatches) -> Result<Vec<PublicKey>, Failure> {
    let mut all = Vec::new();
    for word in options::strings(matches, "host") {
        all.extend(named(&word)?);
    }
    all.sort_unstable();
    all.dedup();
    if all.len() > limits::AUDIENCE {
        let message = format!("`--host`: a contract is for at most {} hosts, not {}", limits::AUDIENCE, all.len());
        return Err(Failure::usage(message).with_help("make several contracts"));
    }
    Ok(all)
}

/// What is no key is a file if it has a `/` in it or ends in `.pub`, whatever is there; else a name.
fn named(word: &str) -> Result<Vec<PublicKey>, Failure> {
    if keys::is_public_line(word.as_bytes()) || word.contains('/') || word.ends_with(".pub") {
        return keys::listed(word, "host", Code::BadHost, HELP);
    }
    if word.is_empty() || word.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err(Failure::usage(format!("`--host {word}`: this is neither a key nor the name of a host")).with_help(HELP));
    }
    let mut found = Found::default();
    for path in known_hosts() {
        if path.exists() {
            let bytes = files::read_small(&path, KNOWN_HOSTS_SIZE_MAX)?;
            found.look(&String::from_utf8_lossy(&bytes), word);
        }
    }
    found.only().map(|key| vec![key]).map_err(|error| refused(word, &error))
}

/// The user's files and the system's, as `ssh` reads them unless it is told otherwise.
fn known_hosts() -> Vec<PathBuf> {
    let HostPaths { home, etc, .. } = HostPaths::from_environment();
    let home = home.map(|home| home.join(".ssh"));
    let of = |dir: PathBuf, name: &str| [dir.join(name), dir.join(format!("{name}2"))];
    home.map(|dir| of(dir, "known_hosts")).into_iter().flatten().chain(of(etc.join("ssh"), "ssh_known_hosts")).collect()
}

fn refused(word: &str, error: &NoKey) -> Failure {
    let code = match error {
        NoKey::Unknown => Code::HostUnknown,
        NoKey::OtherType(_) | NoKey::Certified => Code::HostWithoutKey,
        NoKey::Revoked => Code::HostRevoked,
        NoKey::Several(_) => Code::HostAmbiguous,
    };
    let failure = Failure::new(code, format!("`--host {word}`: {error}"));
    let scan = || format!("have its /etc/ssh/ssh_host_ed25519_key.pub sent to you, and name that: `--host ./{word}.pub`");
    failure.with_help(match error {
        NoKey::Unknown if Path::new(word).is_file() => format!("`--host ./{word}` means the file"),
        NoKey::Unknown => match word.rsplit_once(':') {
            Some((host, port)) if !host.is_empty() && !host.contains([':', ']']) && port.parse::<u16>().is_ok() => {
                format!("known_hosts lists a port like this: `--host '[{host}]:{port}'`")
            }
            _ => scan(),
        },
        NoKey::OtherType(_) | NoKey::Certified | NoKey::Revoked => scan(),
        NoKey::Several(_) => "find out which is right, and name that: `--host 'ssh-ed25519 AAAA…'`".to_owned(),
    })
}
