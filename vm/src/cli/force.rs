//! `--force`: runs the fresh plan in spite of values that moved, where the work itself is the agreed one (spec/language.md, "Drift").
//!
//! Read for: everything in the process that runs a contract.

use opal_core::code::Code;
use opal_core::refusal::Refusal;
use std::io::IsTerminal as _;

/// The keys that `--force` names: `None` without the option, nothing for a bare `--force`, which asks.
///
/// # Errors
/// A bare `--force` where there is no terminal to ask on, or an empty name.
pub(super) fn asked(given: Option<Vec<String>>) -> Result<Option<Vec<String>>, Refusal> {
    let Some(given) = given else { return Ok(None) };
    let mut names = Vec::new();
    for list in given.iter().filter(|list| !list.is_empty()) {
        names.extend(split(list));
    }
    let help = "name what it accepts: `--force=env.NAME,…`, with keys as the report of drift prints them";
    if names.iter().any(String::is_empty) {
        return Err(Refusal::new(Code::Usage, "`--force` names an empty key").help(help));
    }
    if names.is_empty() && !on_terminal() {
        return Err(Refusal::new(Code::NoTerminal, "`--force` without keys asks, and there is no terminal to ask on").help(help));
    }
    Ok(Some(names))
}

/// Whether somebody can be asked.
pub(super) fn on_terminal() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

/// The parts between commas that stand neither in double quotes nor in parentheses: keys hold both.
fn split(list: &str) -> Vec<String> {
    let (mut depth, mut quoted, mut escaped) = (0_u32, false, false);
    let ends = |character: char| {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => quoted = !quoted,
            '(' if !quoted => depth = depth.saturating_add(1),
            ')' if !quoted => depth = depth.saturating_sub(1),
            _ => return character == ',' && !quoted && depth == 0,
        }
        false
    };
    list.split(ends).map(|name| name.trim().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_split_at_commas_outside_of_quotes_and_parentheses() {
        assert_eq!(split("A, env.B"), ["A", "env.B"]);
        assert_eq!(split("env.P(default=1, public=true),B"), ["env.P(default=1, public=true)", "B"]);
        assert_eq!(split("file.read(\"a,)b\\\",c\"),X"), ["file.read(\"a,)b\\\",c\")", "X"]);
        assert_eq!(split("A,,B"), ["A", "", "B"]);
    }
}
