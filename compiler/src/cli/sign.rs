//! `opalc sign`: adds a signature to a contract.

use super::failure::Failure;
use super::files::Destination;
use super::{console, contracts, options, signer};
use opal_core::code::Code;
use opal_format::reader::Authenticated;
use opal_format::signature::NAMESPACE_PLAN;
use opal_format::writer::PlanFile;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

pub(super) fn command() -> clap::Command {
    options::command("opalc sign", "Add your signature to a contract, which keeps its contract hash")
        .arg(options::path("file", "FILE", "The contract; `-` reads standard input and writes standard output").required(true))
        .arg(signer::argument())
        .arg(digest_argument())
}

/// Runs the subcommand.
pub(crate) fn run(words: Vec<OsString>) -> Result<(), Failure> {
    let matches = options::parse(command(), words)?;
    let path = matches.get_one::<PathBuf>("file").cloned().unwrap_or_default();
    let destination = Destination::new(&path, &[])?;
    let plan = contracts::authenticate(&path)?;
    check_digest(matches.get_one::<String>("digest").map(String::as_str), &plan, &path)?;
    let contract = contracts::decode(&plan, &path)?;
    let signer = signer::from_matches(&matches)?;
    let mut file = PlanFile::from_authenticated(&plan);
    file.add(signer.sign(NAMESPACE_PLAN, &file.contract_hash().bytes)?).map_err(|error| {
        Failure::new(Code::CannotSign, error.to_string())
            .at(path.display().to_string())
            .with_help("`opalc show FILE.plan` lists its signers")
    })?;
    destination.write(&file.to_bytes())?;
    console::say(&format!("contract    {}\n", file.contract_hash()));
    console::say(&format!("signed by   {}\n{}", signer.describe(), contracts::hosts(&contract)));
    Ok(())
}

/// `--digest`.
pub(super) fn digest_argument() -> clap::Arg {
    options::valued("digest", "D", "The contract hash that was reviewed; any other contract is refused")
}

/// Refuses a contract that is not the reviewed one, before anything in it is interpreted. The name of the algorithm may be left out.
pub(super) fn check_digest(reviewed: Option<&str>, plan: &Authenticated, path: &Path) -> Result<(), Failure> {
    let Some(reviewed) = reviewed else { return Ok(()) };
    let actual = plan.contract_hash();
    let named = if reviewed.contains(':') { reviewed.to_owned() } else { format!("{}:{reviewed}", actual.algorithm.name()) };
    let expected: opal_format::hash::Digest = named.parse().map_err(|error| {
        Failure::usage(format!("`--digest {reviewed}`: {error}")).with_help("give the contract hash as `opalc show FILE.plan` prints it")
    })?;
    if expected == actual {
        return Ok(());
    }
    // Whoever took the wrong line of the review is told so.
    let is_plan_hash = plan.decode().is_ok_and(|contract| contract.header.plan_hash == expected);
    let (message, help) = if is_plan_hash {
        ("this is the plan hash, which does not say who may run what until when".to_owned(), "review the contract hash, and name that")
    } else {
        (
            format!("this is not the contract that was reviewed: it is {actual}"),
            "review this file, `opalc show FILE.plan`, or find the other",
        )
    };
    Err(Failure::new(Code::UnexpectedContract, message).at(path.display().to_string()).with_help(help))
}
