//! What planning takes from this machine, and the options that state what the target will have.

use super::failure::Failure;
use super::{files, options};
use crate::contract::Manner;
use crate::env_file;
use clap::{Arg, ArgMatches};
use opal_core::code::Code;
use opal_core::plan::{Cause, Mode, Reality};
use opal_core::show::escape;
use opal_vm::reality::Host;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Component, Path, PathBuf};

const ENV_FILE_SIZE_MAX: usize = 1 << 20;
/// Bytes of a path that the system takes.
const DIRECTORY_LENGTH_MAX: usize = nix::libc::PATH_MAX as usize - 1;

/// The options of this module.
pub(crate) fn arguments() -> Vec<Arg> {
    vec![
        options::repeated("env", "N=V", "Plan as if the environment variable N were V").value_parser(clap::value_parser!(OsString)),
        options::repeated("env-file", "F", "The same for each NAME=VALUE line of a file").value_parser(clap::value_parser!(PathBuf)),
        options::repeated("pass-env", "N", "Promise the environment variable N to the steps, its value committed to"),
        options::repeated("public", "N", "Let the value of N be public although its name looks like a secret's"),
        options::flag("no-public", "Treat every value as secret"),
        super::regen_root::argument(),
    ]
}

/// `--directory`.
pub(crate) fn directory_argument() -> Arg {
    options::valued("directory", "DIR", "Where the work starts and relative paths begin [default: where it is run]")
        .value_parser(clap::value_parser!(PathBuf))
}

/// The directory that `--directory` agrees on. It is written in one way, so that nobody has to ask whether two texts are one place.
pub(crate) fn directory(matches: &ArgMatches) -> Result<Option<String>, Failure> {
    let Some(path) = matches.get_one::<PathBuf>("directory") else { return Ok(None) };
    let shown = escape(path.as_os_str().as_bytes(), false);
    let refuse = |cause: &str, help: String| Err(Failure::usage(format!("`--directory {shown}`: {cause}")).with_help(help));
    let Some(text) = path.to_str().filter(|text| !text.chars().any(char::is_control)) else {
        return refuse("the name is no text without control characters", "name a directory that can be written down".to_owned());
    };
    if text.len() > DIRECTORY_LENGTH_MAX {
        return refuse("no system takes a path as long as that", "name a directory nearer to `/`".to_owned());
    }
    // As it would be written here, without a look at what is there: it is to mean the same on another host.
    let absolute = || {
        let mut clean = PathBuf::from("/");
        for part in std::path::absolute(path).unwrap_or_else(|_| path.clone()).components() {
            match part {
                Component::Normal(name) => clean.push(name),
                Component::ParentDir => _ = clean.pop(),
                _ => {}
            }
        }
        format!("`--directory {}`", escape(clean.as_os_str().as_bytes(), false))
    };
    if !path.is_absolute() {
        return refuse("a relative path is another place wherever it is read", absolute());
    }
    let plain = text == "/" || text.split('/').skip(1).all(|part| !matches!(part, "" | "." | ".."));
    if plain { Ok(Some(text.to_owned())) } else { refuse("it has `.`, `..` or a `/` too many in it", absolute()) }
}

/// The files that `--env-file` names.
pub(crate) fn env_files(matches: &ArgMatches) -> Vec<PathBuf> {
    matches.get_many::<PathBuf>("env-file").map(|files| files.cloned().collect()).unwrap_or_default()
}

/// The base of relative paths while planning: the agreed directory, else the current one.
pub(crate) fn planning_base(directory: Option<&str>) -> Result<PathBuf, Failure> {
    directory.map_or_else(base_directory, |directory| Ok(PathBuf::from(directory)))
}

/// This host as seen from `base`, with the stated environment; what the command line itself says wins over files, and what comes later over what comes earlier.
pub(crate) fn reality(matches: &ArgMatches, base: PathBuf) -> Result<Host, Failure> {
    let mut stated = BTreeMap::new();
    for path in env_files(matches) {
        let bytes = files::read_small(&path, ENV_FILE_SIZE_MAX)?;
        stated.extend(env_file::parse(&bytes, &path).map_err(|error| Failure::host(&error))?);
    }
    for word in matches.get_many::<OsString>("env").into_iter().flatten() {
        let (name, value) = env_file::parse_assignment(word.as_bytes()).map_err(|cause| {
            let failure = Failure::usage(format!("`--env`: {cause}"));
            failure
                .with_help("write `--env NAME=VALUE`; an argument of the target that is called `env` is given after `--`: `-- --env=VALUE`")
        })?;
        stated.insert(name, value.to_vec());
    }
    Ok(Host::new(base, &stated))
}

/// How to plan, by `--pass-env`, `--public` and `--no-public`.
pub(crate) fn manner(matches: &ArgMatches, mode: Mode) -> Result<Manner, Failure> {
    let mut pass_env = options::strings(matches, "pass-env");
    if let Some(name) = pass_env.iter().find(|name| name.is_empty() || name.contains(['=', '\0'])) {
        return Err(Failure::usage(format!("`--pass-env {name}`: this is no name of an environment variable"))
            .with_help("`--pass-env NAME`; `--env NAME=VALUE` states its value"));
    }
    if let Some(name) = pass_env.iter().find(|name| opal_exec::run::is_never_passed(name.as_bytes())) {
        return Err(Failure::usage(format!("`--pass-env {name}`: steps never get this variable from outside"))
            .with_help(format!("set it where it is needed, in the source: `{name}=… command`")));
    }
    pass_env.sort_unstable();
    pass_env.dedup();
    Ok(Manner {
        mode,
        pass_env,
        public_names: options::strings(matches, "public"),
        no_public: matches.get_flag("no-public"),
        regen_root: None,
    })
}

/// Refuses a promise of a variable that is not there: it has no place in the source that the planner could show.
pub(crate) fn check_promises(reality: &dyn Reality, manner: &Manner) -> Result<(), Failure> {
    let Some(name) = manner.pass_env.iter().find(|name| reality.env(name).is_none()) else { return Ok(()) };
    let cause = Cause::EnvUnset(name.clone());
    let failure = Failure::new(Code::from(&cause), cause.to_string()).at(format!("--pass-env {name}"));
    Err(failure.with_help(format!("set it (`--env {name}=…` states what the target will have), or leave out `--pass-env {name}`")))
}

/// The current directory.
pub(crate) fn base_directory() -> Result<PathBuf, Failure> {
    std::env::current_dir().map_err(|error| {
        let message = format!("the current directory is not usable: {}", super::failure::reason(&error));
        Failure::new(Code::NoCurrentDirectory, message).with_help("`cd` to a directory that exists")
    })
}

/// How TERMS name the source: relative to the `base` of relative paths if it is in there, else its absolute path; empty for standard input.
pub(crate) fn source_name(path: &Path, base: &Path) -> String {
    if path.as_os_str() == files::STANDARD {
        return String::new();
    }
    let real = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    // A base that is not here holds no source.
    let base = std::fs::canonicalize(base).ok();
    base.and_then(|base| real.strip_prefix(base).ok().map(Path::to_owned)).unwrap_or(real.clone()).to_string_lossy().into_owned()
}

/// Absolute path of `bash`: the first in PATH that can be executed.
pub(crate) fn bash() -> Result<String, Failure> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let executable = |path: &PathBuf| std::fs::metadata(path).is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0);
    let found = std::env::split_paths(&path).filter(|dir| dir.is_absolute()).map(|dir| dir.join("bash")).find(executable);
    found.and_then(|path| path.into_os_string().into_string().ok()).ok_or_else(|| {
        Failure::new(Code::MissingShell, "there is no `bash` in the directories of `PATH`")
            .with_help("install bash, or add its directory to `PATH`")
    })
}

/// The file mode creation mask of this process.
pub(crate) fn umask() -> u32 {
    use nix::sys::stat::{Mode, umask};
    // Asking means setting. The strictest mask holds meanwhile; no other thread makes files.
    let mask = umask(Mode::all());
    umask(mask);
    mask.bits() & 0o777
}
