//! `opalc sign`: adds a signature to a contract.

use super::failure::{Failure, exit};
use super::files::Destination;
use super::{console, contracts, keys, options};
use opal_format::writer::PlanFile;
use std::ffi::OsString;
use std::path::PathBuf;

fn command() -> clap::Command {
    options::command("opalc sign", "Add your signature to a contract, which keeps its contract hash")
        .arg(options::path("file", "FILE", "The contract; `-` reads standard input and writes standard output").required(true))
        .arg(options::path("key", "K", "Private key to sign with [default: your identity]").long("key"))
}

/// Runs the subcommand.
pub(crate) fn run(words: Vec<OsString>) -> Result<(), Failure> {
    let matches = options::parse(command(), words)?;
    let path = matches.get_one::<PathBuf>("file").cloned().unwrap_or_default();
    let destination = Destination::new(&path, &[])?;
    let plan = contracts::authenticate(&path)?;
    contracts::decode(&plan, &path)?;
    let identity = match matches.get_one::<PathBuf>("key") {
        Some(key) => keys::named(key)?,
        None => keys::own()?,
    };
    let mut file = PlanFile::from_authenticated(&plan);
    file.sign(&identity.signing).map_err(|error| {
        Failure::new(exit::DATA, "cannot_sign", error.to_string())
            .at(path.display().to_string())
            .with_help("`opalc show FILE.plan` lists its signers")
    })?;
    destination.write(&file.to_bytes())?;
    console::say(&format!("contract    {}\n", file.contract_hash()));
    console::say(&format!("signed by   {}\n", keys::describe(&identity.public(), &identity.comment)));
    Ok(())
}
