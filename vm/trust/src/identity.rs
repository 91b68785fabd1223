//! Finding identities, and making the caller's own on first use.
//!
//! A file that was found is looked at here, and read by whoever is to hold the key: the process that starts steps opens it and hands it on.
//!
//! Read for: who is trusted, and what policy allows.

use std::fs::File;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use opal_format::identity::{FILE_SIZE_MAX, Identity, KeyError};
use zeroize::Zeroizing;

use super::input::Input;
use super::locations::HostPaths;
use super::safe_path::{PathCause, SafeDir, SafePathError, forbid, read_capped};
use opal_core::code::Code;
use opal_core::failure::{Failure, Report};

const FILE: &str = "identity";
const PUBLIC_FILE: &str = "identity.pub";
const HOST_KEY: &str = "ssh_host_ed25519_key";
const KEY_SIZE_MAX: u64 = FILE_SIZE_MAX as u64;

/// Why there is no identity.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The file or a directory above it is not safe.
    #[error(transparent)]
    Path(#[from] SafePathError),
    /// The file does not hold a usable key.
    #[error("`{}`: {cause}", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        cause: KeyError,
    },
    /// A file that was named is not there or not readable.
    #[error("cannot read the identity `{}`: {cause}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        cause: std::io::Error,
    },
}

impl Failure for IdentityError {
    fn report(&self) -> Report {
        let (code, help) = match self {
            Self::Path(error) => return error.report(),
            Self::Unreadable { path, .. } => {
                return Report::new(Code::IdentityUnreadable, format!("check it: `ls -l {}`", path.display()));
            }
            Self::Key { path, cause: KeyError::Encrypted } => (
                Code::EncryptedIdentity,
                format!("use a key without a passphrase, or take it off: `ssh-keygen -p -N '' -f {}`", path.display()),
            ),
            Self::Key { .. } => (Code::BadIdentity, "make a new one: `opalc keygen -o FILE`".to_owned()),
        };
        Report::new(code, help)
    }
}

/// A private key file that is safe to use, opened and not read.
#[derive(Debug)]
pub struct KeyFile {
    path: PathBuf,
    file: File,
    /// Whether nothing may show of it but that it cannot be used.
    hidden: bool,
}

impl KeyFile {
    /// Takes a file whose place was looked at: a regular one, not too large, to which nobody else has access.
    fn new(path: PathBuf, file: File, hidden: bool, forbidden: u32) -> Result<Self, IdentityError> {
        let data = file.metadata().map_err(|cause| IdentityError::Unreadable { path: path.clone(), cause })?;
        let mode = data.mode() & 0o7777;
        let bad = match () {
            () if !data.is_file() => PathCause::NotRegular,
            () if mode & forbidden != 0 => PathCause::Mode { mode, forbidden },
            () if data.len() > KEY_SIZE_MAX => PathCause::TooLarge(KEY_SIZE_MAX),
            () => return Ok(Self { path, file, hidden }),
        };
        if hidden { Err(IdentityError::Unreadable { path, cause: Input::denied() }) } else { Err(bad.at(path).into()) }
    }

    /// The file.
    #[must_use]
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Why it is of no use, as far as that may show.
    #[must_use]
    pub fn refused(&self, cause: KeyError) -> IdentityError {
        let path = self.path.clone();
        if self.hidden { IdentityError::Unreadable { path, cause: Input::denied() } } else { IdentityError::Key { path, cause } }
    }

    fn read(&self) -> Result<Identity, IdentityError> {
        let bytes = Zeroizing::new(read_capped(&self.file, &self.path, KEY_SIZE_MAX)?);
        Identity::from_openssh(&bytes).map_err(|cause| self.refused(cause))
    }
}

/// The caller's own identity; `None` if there is none yet.
///
/// # Errors
/// An [`IdentityError`] if the file is there but is not safe or holds no usable key.
pub fn own(paths: &HostPaths) -> Result<Option<Identity>, IdentityError> {
    own_file(paths)?.map(|file| file.read()).transpose()
}

/// The file of the caller's own identity; `None` if there is none yet.
///
/// # Errors
/// An [`IdentityError`] if it is there but is not safe.
pub fn own_file(paths: &HostPaths) -> Result<Option<KeyFile>, IdentityError> {
    match paths.config_dir()? {
        Some(dir) => from_dir(&dir, FILE, forbid::ANY_ACCESS),
        None => Ok(None),
    }
}

/// The caller's own identity, made if there is none. Says whether it was. Only the compiler's side calls this.
///
/// # Errors
/// An [`IdentityError`] if one is there and unusable, or none can be made.
pub fn own_or_create(paths: &HostPaths, comment: &str) -> Result<(Identity, bool), IdentityError> {
    let dir = paths.make_config_dir()?;
    if let Some(file) = from_dir(&dir, FILE, forbid::ANY_ACCESS)? {
        return Ok((file.read()?, false));
    }
    let bad = |cause| IdentityError::Key { path: dir.path().join(FILE), cause };
    let made = Identity::generate(comment).map_err(bad)?;
    let file = made.to_openssh().map_err(bad)?;
    match dir.write_file(FILE, file.as_bytes(), 0o600, false) {
        Ok(()) => {}
        Err(error) if error.cause == PathCause::Exists => {
            // Another process was faster: both must go on with the same key.
            let theirs = from_dir(&dir, FILE, forbid::ANY_ACCESS)?.ok_or(error)?;
            return Ok((theirs.read()?, false));
        }
        Err(error) => return Err(error.into()),
    }
    dir.write_file(PUBLIC_FILE, made.to_public_line().as_bytes(), 0o644, true)?;
    Ok((made, true))
}

/// Reads a private key file that the caller named. Links are followed, but nobody else may have access to the file.
///
/// # Errors
/// An [`IdentityError`] if the file is missing, too open, or holds no usable key.
pub fn from_named_file(path: &Path) -> Result<Identity, IdentityError> {
    named_file(&Input::from(path.to_owned()))?.read()
}

/// The bytes of a secret file that the caller named. Links are followed, but nobody else may have access to the file.
///
/// # Errors
/// An [`IdentityError`] if the file is missing or too open.
pub fn read_named_file(path: &Path) -> Result<Zeroizing<Vec<u8>>, IdentityError> {
    let named = named_file(&Input::from(path.to_owned()))?;
    Ok(Zeroizing::new(read_capped(&named.file, path, KEY_SIZE_MAX)?))
}

/// A secret file that the caller named, which may be opened already.
fn named_file(input: &Input) -> Result<KeyFile, IdentityError> {
    let path = input.path().to_owned();
    let file = input.open().map_err(|cause| IdentityError::Unreadable { path: path.clone(), cause })?;
    KeyFile::new(path, file, input.is_hidden(), forbid::ANY_ACCESS)
}

/// The files of the identities to unseal with, in the order to try: the named ones, else the caller's own, and for root the
/// host's SSH key. Never makes one; an empty list means that nothing can be unsealed here.
///
/// # Errors
/// An [`IdentityError`] for the first that is there but unusable.
pub fn for_unsealing(paths: &HostPaths, named: &[Input]) -> Result<Vec<KeyFile>, IdentityError> {
    if !named.is_empty() {
        return named.iter().map(named_file).collect();
    }
    let mut found = Vec::new();
    found.extend(own_file(paths)?);
    if paths.is_system()
        && let Some(dir) = SafeDir::open(&paths.etc.join("ssh"), paths.system_owner)?
    {
        match from_dir(&dir, HOST_KEY, forbid::ALL_BUT_GROUP_READ) {
            Ok(file) => found.extend(file),
            // Its own identity may well be enough.
            Err(_) if !found.is_empty() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

/// Where the private keys are that a run may use: the named ones, the caller's own, and for root the host's SSH key; whether there is any or not.
#[must_use]
pub fn places(paths: &HostPaths, named: &[Input]) -> Vec<PathBuf> {
    let own = paths.config_dir().ok().flatten().map(|dir| dir.path().join(FILE));
    let host = paths.is_system().then(|| paths.etc.join("ssh").join(HOST_KEY));
    named.iter().map(|named| named.path().to_owned()).chain(own).chain(host).collect()
}

/// The identities of [`for_unsealing`], for who starts nothing.
///
/// # Errors
/// As [`for_unsealing`].
pub fn at_hand(paths: &HostPaths, named: &[Input]) -> Result<Vec<Identity>, IdentityError> {
    for_unsealing(paths, named)?.iter().map(KeyFile::read).collect()
}

fn from_dir(dir: &SafeDir, name: &str, forbidden: u32) -> Result<Option<KeyFile>, IdentityError> {
    let file = dir.open_file(name, forbidden)?;
    file.map(|file| KeyFile::new(dir.path().join(name), file, false, forbidden)).transpose()
}

#[cfg(test)]
mod tests {
    use super::super::locations::fixture;
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    fn chmod(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("chmod");
    }

    #[test]
    fn the_first_use_makes_an_identity_and_later_uses_find_it() {
        let (paths, temp) = fixture::host();
        assert!(own(&paths).expect("none").is_none());
        let (made, new) = own_or_create(&paths, "me@here").expect("made");
        assert!(new);
        let (again, new) = own_or_create(&paths, "other").expect("found");
        assert!(!new);
        assert_eq!(again.public(), made.public());
        assert_eq!(own(&paths).expect("safe").map(|i| i.public()), Some(made.public()));
        let dir = temp.path().join("home/.config/opal");
        assert_eq!(fs::metadata(dir.join("identity")).expect("there").mode() & 0o777, 0o600);
        assert_eq!(fs::read_to_string(dir.join("identity.pub")).expect("there"), made.to_public_line());
    }

    #[test]
    fn first_uses_at_the_same_time_agree_on_one_identity() {
        let (paths, _temp) = fixture::host();
        let made = std::thread::scope(|scope| {
            let uses: Vec<_> = (0..8).map(|_| scope.spawn(|| own_or_create(&paths, "c").expect("made"))).collect();
            uses.into_iter().map(|used| used.join().expect("no panic")).collect::<Vec<_>>()
        });
        assert_eq!(made.iter().filter(|(_, new)| *new).count(), 1);
        let own = own(&paths).expect("safe").expect("there").public();
        assert!(made.iter().all(|(identity, _)| identity.public() == own));
    }

    #[test]
    fn an_identity_that_others_can_read_is_refused() {
        let (paths, temp) = fixture::host();
        own_or_create(&paths, "c").expect("made");
        let file = temp.path().join("home/.config/opal/identity");
        chmod(&file, 0o640);
        let refused = own(&paths).expect_err("too open");
        assert_eq!((refused.code().name(), refused.exit()), ("unsafe_mode", 78));
        assert!(matches!(from_named_file(&file), Err(IdentityError::Path(SafePathError { cause: PathCause::Mode { .. }, .. }))));
    }

    #[test]
    fn unsealing_tries_named_files_else_the_own_identity_and_the_host_key() {
        let (mut paths, temp) = fixture::host();
        assert!(for_unsealing(&paths, &[]).expect("none").is_empty());
        let host_key = Identity::generate("host").expect("random");
        let ssh = temp.path().join("etc/ssh");
        fs::create_dir(&ssh).expect("mkdir");
        let host_file = ssh.join(HOST_KEY);
        fs::write(&host_file, host_key.to_openssh().expect("encodes").as_bytes()).expect("file");
        chmod(&host_file, 0o640);
        let publics = |paths: &HostPaths, named: &[PathBuf]| -> Vec<_> {
            let named: Vec<Input> = named.iter().cloned().map(Input::from).collect();
            let found = for_unsealing(paths, &named).expect("found");
            found.iter().map(|file| file.read().expect("a key").public()).collect()
        };
        assert_eq!(publics(&paths, &[]), [host_key.public()]);
        let (own, _) = own_or_create(&paths, "own").expect("made");
        assert_eq!(publics(&paths, &[]), [own.public(), host_key.public()]);
        chmod(&host_file, 0o600);
        assert_eq!(publics(&paths, std::slice::from_ref(&host_file)), [host_key.public()]);
        paths.system_owner = nix::unistd::Uid::from_raw(paths.euid.as_raw().wrapping_add(1));
        assert_eq!(publics(&paths, &[]), [own.public()]);
        let missing = from_named_file(&temp.path().join("missing")).expect_err("missing");
        assert_eq!(missing.exit(), 66);
    }
}
