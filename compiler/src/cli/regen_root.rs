//! The regen root: 32 random bytes that those who plan share, from which values with a `regen_key` are derived.

use super::failure::Failure;
use super::{console, files};
use clap::{Arg, ArgMatches};
use opal_core::code::Code;
use opal_core::decorators::value_decorator;
use opal_format::program::Program;
use opal_format::regen::fingerprint;
use opal_format::seed::Seed;
use opal_trust::identity;
use opal_trust::locations::HostPaths;
use opal_trust::safe_path::{PathCause, SafePathError, forbid};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Its name beside the identity.
const FILE: &str = "regen-root";
const SIZE: usize = 32;

/// `--regen-root` of those who plan.
pub(crate) fn argument() -> Arg {
    super::options::path("regen-root", "FILE", "Root of values with a `regen_key` [default: `regen-root` beside your identity]")
        .long("regen-root")
}

/// The root, where the program asks for values with a `regen_key` and there is one.
pub(crate) fn for_program(matches: &ArgMatches, program: &Program) -> Result<Option<Seed>, Failure> {
    let named = matches.get_one::<PathBuf>("regen-root");
    if named.is_none() && !is_needed(program) {
        return Ok(None);
    }
    let host = |error: &dyn opal_core::failure::Failure| Failure::host(error);
    let (bytes, path) = match named {
        Some(path) => (Some(identity::read_named_file(path).map_err(|error| host(&error))?), path.clone()),
        None => match HostPaths::from_environment().config_dir().map_err(|error| host(&error))? {
            Some(dir) => {
                let read = dir.read_file(FILE, forbid::ANY_ACCESS, SIZE as u64 + 1);
                let large = |error: &SafePathError| matches!(error.cause, PathCause::TooLarge(_));
                match read {
                    Err(error) if large(&error) => return Err(malformed(&dir.path().join(FILE))),
                    read => (read.map_err(|error| host(&error))?.map(Zeroizing::new), dir.path().join(FILE)),
                }
            }
            None => (None, PathBuf::new()),
        },
    };
    bytes.map(|bytes| bytes.as_slice().try_into().map(Seed::from_bytes).map_err(|_| malformed(&path))).transpose()
}

fn malformed(path: &Path) -> Failure {
    Failure::new(Code::BadRegenRoot, format!("a regen root is {SIZE} bytes, and this file is not"))
        .at(path.display().to_string())
        .with_help("copy it again from those who plan with you, or make another: `opalc keygen --regen-root -o FILE`")
}

/// Whether any value of the program has a `regen_key`.
fn is_needed(program: &Program) -> bool {
    program.imports.iter().any(|import| {
        let row = value_decorator(import.decorator.to_native());
        let args = import.args.of(&program.import_args).unwrap_or_default();
        args.iter().any(|arg| {
            let param = row.and_then(|row| row.params.get(usize::from(arg.param)));
            param.is_some_and(|param| param.names.contains(&"regen_key"))
        })
    })
}

/// Makes a root at `path`, or beside the identity, and prints its fingerprint.
pub(crate) fn make(path: Option<&Path>) -> Result<(), Failure> {
    if path.is_some_and(|path| path.as_os_str() == files::STANDARD) {
        return Err(Failure::usage("a regen root is not written to standard output").with_help("`opalc keygen --regen-root -o FILE`"));
    }
    let root = super::seed::fresh_seed()?;
    match path {
        Some(path) => files::create_new(path, root.as_bytes(), 0o600)?,
        None => {
            let dir = HostPaths::from_environment().make_config_dir().map_err(|error| Failure::host(&error))?;
            dir.write_file(FILE, root.as_bytes(), 0o600, false).map_err(|error| match error.cause {
                PathCause::Exists => files::exists(&dir.path().join(FILE)),
                _ => Failure::host(&error),
            })?;
        }
    }
    console::print(format!("{}\n", fingerprint(&root)).as_bytes())
}
