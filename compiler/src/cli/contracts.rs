//! Contracts that exist already: reading and checking them.

use super::failure::Failure;
use opal_core::code::Code;
use opal_core::duration;
use opal_core::program::{self, VerifyError};
use opal_format::limits::FILE_SIZE;
use opal_format::read_file::read_path;
use opal_format::reader::{Authenticated, Contract, RawPlan};
use std::path::Path;

/// Reads a plan file and checks every signature in it.
pub(crate) fn authenticate(path: &Path) -> Result<Authenticated, Failure> {
    let raw = read_path(path, FILE_SIZE).map_err(|error| Failure::read_plan(&error, path))?;
    raw.authenticate().map_err(|error| Failure::format(&error, path))
}

/// Decodes a contract and checks all of it that can be checked without its reality, in the order of a VM: tables, `plan_hash`,
/// program.
pub(crate) fn decode<'a>(plan: &'a Authenticated, path: &Path) -> Result<Contract<'a>, Failure> {
    let contract = plan.decode().map_err(|error| Failure::format(&error, path))?;
    contract.check_plan_hash().map_err(|error| Failure::format(&error, path))?;
    program::verify(contract.program).map_err(|error| refused(&error, path))?;
    Ok(contract)
}

/// The hosts that a contract is for, a line each; nothing where it is for any.
pub(crate) fn hosts(contract: &Contract<'_>) -> String {
    contract.audience.iter().map(|host| format!("for host    {}\n", host.fingerprint())).collect()
}

/// Refuses a file that was just written in memory if any reader would.
pub(crate) fn recheck(bytes: &[u8], path: &Path) -> Result<(), Failure> {
    let raw = RawPlan::copy(bytes, FILE_SIZE).map_err(|error| Failure::format(&error, path))?;
    let plan = raw.authenticate().map_err(|error| Failure::bug(format!("the new contract is refused: {error}")))?;
    match decode(&plan, path) {
        Ok(_) => Ok(()),
        Err(failure) => Err(Failure::bug(format!("the new contract is refused: {}", failure.render(false).trim_end()))),
    }
}

fn refused(error: &VerifyError, path: &Path) -> Failure {
    Failure::new(Code::Rule(error.code()), format!("the program is not valid: {error}"))
        .at(path.display().to_string())
        .with_help("make a new contract from the source: `opalc FILE.opl --resolve -o FILE.plan`")
}

/// Unix time as `2026-01-31T12:00:00Z`.
pub(crate) fn time(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds).map_or_else(|_| format!("second {seconds} of Unix time"), |time| time.to_string())
}

/// When the contract ends, for people.
pub(crate) fn expiry(not_after: Option<i64>, now: i64) -> String {
    let Some(end) = not_after else { return "never".to_owned() };
    let left = end.saturating_sub(now);
    let distance = duration::format(left.saturating_abs().saturating_mul(1_000_000_000));
    if left >= 0 { format!("{} (in {distance})", time(end)) } else { format!("{} ({distance} ago)", time(end)) }
}

/// Seconds of Unix time.
pub(crate) fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}
