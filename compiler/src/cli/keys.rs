//! Keys that a command line names: the caller's own, and who may unseal. Who signs is in [`super::signer`].

use super::console;
use super::failure::Failure;
use super::files;
use opal_core::code::Code;
use opal_core::show::escape;
use opal_format::identity::{Identity, PublicKey};
use opal_trust::identity;
use opal_trust::locations::HostPaths;
use std::path::Path;

const RECIPIENTS_FILE_SIZE_MAX: usize = 64 << 10;

/// The caller's own identity, made on first use.
pub(crate) fn own() -> Result<Identity, Failure> {
    let paths = HostPaths::from_environment();
    let (identity, made) = identity::own_or_create(&paths, &user_at_host()).map_err(|error| Failure::host(&error))?;
    if made {
        console::say(&format!("made your identity {}\n", describe(&identity.public().fingerprint(), &identity.comment)));
    }
    Ok(identity)
}

/// The keys that a `--recipient` gives.
pub(crate) fn recipients(word: &str) -> Result<Vec<PublicKey>, Failure> {
    listed(word, "recipient", Code::BadRecipient, RECIPIENT_HELP)
}

/// The keys that an option gives: one as text, or those of a file, one a line.
pub(crate) fn listed(word: &str, option: &str, code: Code, help: &str) -> Result<Vec<PublicKey>, Failure> {
    if is_public_line(word.as_bytes()) {
        let key = word.parse().map_err(|error| Failure::usage(format!("`--{option} {word}`: {error}")).with_help(help))?;
        return Ok(vec![key]);
    }
    let path = Path::new(word);
    let bytes = files::read_small(path, RECIPIENTS_FILE_SIZE_MAX)?;
    let malformed = |message: String, line: usize| Failure::new(code, message).at(format!("{word}:{line}")).with_help(help);
    let text = std::str::from_utf8(&bytes).map_err(|_| malformed("this is not an OpenSSH public key".to_owned(), 1))?;
    let mut keys = Vec::new();
    for (line, number) in text.lines().map(str::trim).zip(1..) {
        if !line.is_empty() && !line.starts_with('#') {
            keys.push(line.parse().map_err(|error: opal_format::identity::KeyError| malformed(error.to_string(), number))?);
        }
    }
    if keys.is_empty() {
        return Err(malformed("there is no public key in this file".to_owned(), 1));
    }
    Ok(keys)
}

/// Whether bytes begin as OpenSSH's public keys do, of whatever type.
pub(crate) fn is_public_line(bytes: &[u8]) -> bool {
    ["ssh-", "ecdsa-", "sk-"].iter().any(|start| bytes.starts_with(start.as_bytes()))
}

const RECIPIENT_HELP: &str =
    "give a line like `ssh-ed25519 AAAA…`, or a file with such lines (`/etc/ssh/ssh_host_ed25519_key.pub` of the target)";

/// `SHA256:… (comment)`.
pub(crate) fn describe(fingerprint: &str, comment: &str) -> String {
    let comment = escape(comment.as_bytes(), false);
    if comment.is_empty() { fingerprint.to_owned() } else { format!("{fingerprint} ({comment})") }
}

/// Who works where, as key comments and provenance say it.
pub(crate) fn user_at_host() -> String {
    let user = nix::unistd::User::from_uid(nix::unistd::geteuid()).ok().flatten().map(|user| user.name);
    let host = nix::unistd::gethostname().ok().map(|host| host.to_string_lossy().into_owned());
    format!("{}@{}", user.as_deref().unwrap_or("unknown"), host.as_deref().unwrap_or("unknown"))
}
