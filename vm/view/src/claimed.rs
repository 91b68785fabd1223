//! What a contract says of itself that no host compares or recomputes: it is the word of whoever wrote the file, and where it is shown, that is said.

use opal_core::show::PlanView;
use std::io::{self, Write};

/// All of it.
pub const CLAIMS: &str = "texts of control flow, names of groups, places in the source, which source it is, when and by what it was made";

/// Said below places in the source of a contract.
pub const PLACES: &str = "claimed: places in the source (not compared)\n";

/// Says below a tree what in it is claimed, if anything is.
///
/// # Errors
/// Those of `out`.
pub fn below_tree(out: &mut dyn Write, plan: &PlanView<'_>) -> io::Result<()> {
    let claims = plan.steps.nodes.iter().any(|node| !plan.steps.header(node).is_empty());
    if claims { writeln!(out, "claimed: texts of control flow, names of groups (not compared)") } else { Ok(()) }
}
