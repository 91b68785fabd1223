//! What a guarded run may be asked: judged here, while the command line is read, and nowhere else.
//!
//! Whoever may start such a run has not the rights that it has. So they choose neither where it writes nor where it shows what root can read, and what
//! they name to be read is opened with their own rights ([`crate::inputs`]).
//!
//! Read for: everything in the process that runs a contract.

use crate::admission::Site;
use opal_core::code::Code;
use opal_core::refusal::Refusal;
use opal_core::show::escape;
use opal_record::results::{ResultPlace, unwritten};
use opal_trust::input::Input;
use opal_trust::policy::Policy;
use opal_trust::safe_path::SafeDir;
use std::path::{Component, Path, PathBuf};

/// Where the record of a run goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Keep {
    /// Among the records of the state directory.
    #[default]
    Usual,
    /// Nowhere.
    Nothing,
    /// In this directory.
    At(PathBuf),
}

/// The file that an option names for a result; `None` is standard output.
///
/// # Errors
/// 24 for another place than the policy of a guarded run names, or a link of somebody else's.
pub fn result(site: &Site, option: &str, path: &Path) -> Result<Option<ResultPlace>, Refusal> {
    if path.as_os_str() == "-" {
        return Ok(None);
    }
    let Some((dir, name)) = allowed(site, option, path)? else { return Ok(Some(ResultPlace::at(path)?)) };
    let path = dir.path().join(&name);
    Ok(Some(ResultPlace::inside(dir.handle(), &name, path.clone()).map_err(|error| unwritten(&error, &path))?))
}

/// The file of a receipt.
///
/// # Errors
/// As [`result`]; standard output is no place for it.
pub fn receipt(site: &Site, path: &Path) -> Result<ResultPlace, Refusal> {
    let unusable = |cause: String| {
        let help = "name another file with `--receipt FILE`, in a directory that can be written";
        Refusal::new(Code::ReceiptUnusable, cause).help(help)
    };
    match result(site, "--receipt", path) {
        Ok(place) => place.ok_or_else(|| unusable("a receipt is a file, and no standard output".to_owned())),
        Err(refusal) if refusal.code.exit() == 74 => Err(unusable(refusal.message)),
        Err(refusal) => Err(refusal),
    }
}

/// Permissions of a result: in a guarded run it is its owner's alone.
#[must_use]
pub fn result_mode(site: &Site) -> u32 {
    if site.is_guarded() { 0o600 } else { 0o666 }
}

/// Where `--record` says that the record goes.
///
/// # Errors
/// 24 for another place than the policy of a guarded run names.
pub fn record(site: &Site, wanted: Option<&Path>) -> Result<Keep, Refusal> {
    match wanted {
        None => Ok(Keep::Usual),
        Some(path) if path == Path::new("none") => Ok(Keep::Nothing),
        Some(path) => Ok(Keep::At(match allowed(site, "--record", path)? {
            Some((dir, name)) => dir.path().join(name),
            None => std::path::absolute(path).unwrap_or_else(|_| path.to_owned()),
        })),
    }
}

/// A file that is named to be read.
#[must_use]
pub fn input(site: &Site, path: PathBuf) -> Input {
    site.opener.open(path)
}

/// Whether values and drafts that root can read may be shown to whoever called. `policy` is the one in force.
///
/// # Errors
/// 24 in a guarded run whose policy does not say so.
pub fn reveal(policy: &Policy, guarded: bool, what: &str) -> Result<(), Refusal> {
    Ok(policy.check_reveal(guarded, what)?)
}

/// Goes where the run starts: where the policy or the contract (`agreed`, empty for none) says, else where this process was started. In a guarded run
/// each directory on the way there is root's, or its own user's, with no other writer: what steps find there by a relative name is nobody else's
/// doing. It is entered by the descriptor that was looked at.
///
/// # Errors
/// 24 where policy and contract differ, 69 for one that is not here or cannot be entered, 78 `unsafe_directory`.
pub fn enter(site: &mut Site, agreed: &str) -> Result<(), Refusal> {
    let wanted = site.policy.start_directory(agreed)?.map(PathBuf::from);
    let said = match (&wanted, agreed) {
        (None, _) => Said::Nowhere,
        (Some(_), "") => Said::ByPolicy,
        (Some(_), _) => Said::ByContract,
    };
    let path = wanted.unwrap_or_else(|| site.base.clone());
    let shown = escape(path.as_os_str().as_encoded_bytes(), false);
    let missing = || {
        Refusal::new(Code::DirectoryMissing, format!("the work is to start in `{shown}`, which is not here"))
            .help(said.help_missing(&shown))
    };
    if site.is_guarded() {
        let unsafe_directory = |why: String| {
            Refusal::new(Code::UnsafeDirectory, format!("a guarded run does not start in `{shown}`: {why}"))
                .help(said.help_unsafe(&shown, site.paths.euid.is_root()))
        };
        let dir = SafeDir::open(&path, site.paths.euid).map_err(|error| unsafe_directory(error.to_string()))?;
        let dir = match (dir, &said) {
            (Some(dir), _) => dir,
            (None, Said::Nowhere) => return Err(unsafe_directory("it is not there".to_owned())),
            (None, Said::ByPolicy | Said::ByContract) => return Err(missing()),
        };
        // Its files are descriptors of processes, which their owners fill as they like.
        if is_of_processes(dir.handle()) {
            return Err(unsafe_directory("it is no directory of files, but of processes".to_owned()));
        }
        nix::unistd::fchdir(dir.handle()).map_err(|errno| unsafe_directory(errno.desc().to_owned()))?;
    } else if !matches!(said, Said::Nowhere) {
        std::env::set_current_dir(&path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => missing(),
            _ => {
                let why = opal_core::plan::os_reason(&error);
                Refusal::new(Code::DirectoryUnusable, format!("the work is to start in `{shown}`, which cannot be entered: {why}"))
                    .help(format!("look at it: `namei -l {shown}`"))
            }
        })?;
    }
    site.base = path;
    Ok(())
}

/// Whether a directory is in `/proc`: root's own there hold what a caller has handed down.
fn is_of_processes(dir: &std::fs::File) -> bool {
    nix::sys::statfs::fstatfs(dir).is_ok_and(|system| system.filesystem_type() == nix::sys::statfs::PROC_SUPER_MAGIC)
}

/// Who says where a run starts.
enum Said {
    /// Nobody: it starts where this process was started.
    Nowhere,
    ByPolicy,
    ByContract,
}

impl Said {
    fn help_missing(&self, shown: &str) -> String {
        match self {
            Self::ByPolicy => {
                format!("have the owner of this host make it: `mkdir -m 755 {shown}`, or name another as `[run] directory` of the policy")
            }
            Self::ByContract | Self::Nowhere => {
                format!("make it: `mkdir -p {shown}`; or make the contract for another place: `--directory DIR`, and have it reviewed")
            }
        }
    }

    fn help_unsafe(&self, shown: &str, root: bool) -> String {
        let owner = if root { "root's alone" } else { "root's or this user's alone" };
        match self {
            Self::Nowhere => format!(
                "start it in a directory that is {owner}, as those above it are: `[run] directory` in /etc/opal/policy.toml fixes one, and so does a contract: `--directory DIR`"
            ),
            Self::ByPolicy | Self::ByContract => format!("see that it is {owner}, as those above it are: `namei -l {shown}`"),
        }
    }
}

/// In a guarded run, the policy's directory for results and a name in it; `None` in any other, where results go wherever the caller says.
fn allowed(site: &Site, option: &str, path: &Path) -> Result<Option<(SafeDir, String)>, Refusal> {
    if !site.is_guarded() {
        return Ok(None);
    }
    let shown = escape(path.as_os_str().as_encoded_bytes(), false);
    let refuse = |why: String, help: &str| Refusal::new(Code::OutputNotAllowed, format!("`{option} {shown}`: {why}")).help(help);
    let Some(output) = site.policy.output() else {
        return Err(refuse(
            "a guarded run writes no file that its caller names, and the policy names no directory for them".to_owned(),
            "leave it out, or have the owner of this host name one in /etc/opal/policy.toml: `[run] output = \"/DIR\"`",
        ));
    };
    let mut parts = path.components();
    let name = match (parts.next(), parts.next()) {
        (Some(Component::Normal(name)), None) => name.to_str().filter(|name| path.as_os_str() == *name),
        _ => None,
    };
    let Some(name) = name else {
        return Err(refuse(format!("in a guarded run results go into `{output}`, by a name alone"), "give a name without a slash"));
    };
    let dir = SafeDir::open(Path::new(output), site.paths.euid)?.ok_or_else(|| {
        refuse(
            format!("`{output}`, which the policy names for results, is not there"),
            "have the owner of this host make it: `mkdir -m 700 DIR`",
        )
    })?;
    Ok(Some((dir, name.to_owned())))
}
