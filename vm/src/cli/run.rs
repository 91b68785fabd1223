//! `opal-vm run`.
use super::output::Output;
use crate::refusal::Refusal;
use clap::ArgMatches;
pub(super) fn run(_matches: &ArgMatches, _out: &Output) -> Result<u8, Refusal> {
    Err(Refusal::new("internal", 70, "not here"))
}
