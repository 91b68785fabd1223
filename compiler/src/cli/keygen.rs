//! `opalc keygen`: makes a key pair, or a regen root.

use super::failure::Failure;
use super::{console, files, keys, options, regen_root};
use opal_format::identity::{Identity, KeyError};
use opal_trust::identity;
use opal_trust::locations::HostPaths;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

pub(super) fn command() -> clap::Command {
    options::command("opalc keygen", "Make an Ed25519 key pair in OpenSSH format, and print its public half")
        .arg(
            options::path("output", "PATH", "Where the private key goes; the public one goes to PATH.pub [default: your identity]")
                .short('o')
                .long("output"),
        )
        .arg(options::flag("regen-root", "Make a regen root instead, and print its SHA-256 [default place: beside your identity]"))
}

/// Runs the subcommand.
pub(crate) fn run(words: Vec<OsString>) -> Result<(), Failure> {
    let matches = options::parse(command(), words)?;
    let path = matches.get_one::<PathBuf>("output");
    if matches.get_flag("regen-root") {
        return regen_root::make(path.map(PathBuf::as_path));
    }
    let made = match path {
        Some(path) => to_file(path)?,
        None => own()?,
    };
    console::print(made.to_public_line().as_bytes())
}

fn own() -> Result<Identity, Failure> {
    let paths = HostPaths::from_environment();
    let (identity, made) = identity::own_or_create(&paths, &keys::user_at_host()).map_err(|error| Failure::host(&error))?;
    if made { Ok(identity) } else { Err(files::exists(Path::new("your identity"))) }
}

fn to_file(path: &Path) -> Result<Identity, Failure> {
    if path.as_os_str() == files::STANDARD {
        return Err(Failure::usage("a private key is not written to standard output").with_help("`opalc keygen -o FILE`"));
    }
    let mut public = path.as_os_str().to_owned();
    public.push(".pub");
    let public = PathBuf::from(public);
    if let Some(taken) = [path, &public].into_iter().find(|path| path.symlink_metadata().is_ok()) {
        return Err(files::exists(taken));
    }
    let failed = |error: KeyError| Failure::bug(error.to_string());
    let made = Identity::generate(&keys::user_at_host()).map_err(failed)?;
    files::create_new(path, made.to_openssh().map_err(failed)?.as_bytes(), 0o600)?;
    files::create_new(&public, made.to_public_line().as_bytes(), 0o644)?;
    Ok(made)
}
