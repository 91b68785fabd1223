//! `--force`: runs the fresh plan in spite of values that moved, where the work itself is the agreed one (spec/language.md, "Drift").

use crate::admission::Replanned;
use opal_core::compare::{Drift, DriftCode};
use opal_core::refusal::Refusal;
use opal_core::show::escape;
use opal_format::reader::Contract;
use opal_format::slots::SlotsView;
use serde_json::{Value, json};
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
        return Err(Refusal::new("usage", 64, "`--force` names an empty key").help(help));
    }
    if names.is_empty() && !on_terminal() {
        return Err(Refusal::new("no_terminal", 64, "`--force` without keys asks, and there is no terminal to ask on").help(help));
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

/// Whether drift is of values alone: there is a fresh plan, and it does the work that was agreed.
pub(super) fn possible(replanned: &Replanned) -> bool {
    use DriftCode::{EnvChanged, InfraMissing, InfraMutated, ValueChanged};
    let of_a_value = |drift: &Drift| matches!(drift.code, EnvChanged | InfraMissing | InfraMutated | ValueChanged) && drift.key.is_some();
    replanned.plan.is_some() && replanned.drift.iter().all(of_a_value)
}

/// Whether `--force`, which named these keys or asks, covers all that moved.
pub(super) fn accepted(names: Option<&[String]>, replanned: &Replanned) -> bool {
    possible(replanned) && names.is_some_and(|names| not_accepted(names, &replanned.drift).is_empty())
}

/// The keys that moved and that `names` does not name.
pub(super) fn not_accepted<'a>(names: &[String], drift: &'a [Drift]) -> Vec<&'a str> {
    let keys = drift.iter().filter_map(|drift| drift.key.as_deref());
    keys.filter(|key| !names.is_empty() && !names.iter().any(|name| accepts(name, key))).collect()
}

/// A key is named with or without its options; a bare name is that of a variable, promised or not. Nothing names several files at once.
pub(super) fn accepts(name: &str, key: &str) -> bool {
    let variable = if name.contains('.') { name.strip_prefix("env.") } else { Some(name) };
    let is = |name: String| key.strip_prefix(name.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('('));
    // `file.read("f")` stands for `file.read("f", public=true)`.
    let argument = name.strip_suffix(')').and_then(|name| key.strip_prefix(name)).is_some_and(|rest| rest.starts_with(", "));
    name == key || argument || variable.is_some_and(|name| is(format!("env.{name}")) || is(format!("pass_env.{name}")))
}

/// What the record and the event stream say of a forced run: each key with the ids of its value before and now.
pub(super) fn record(contract: &Contract<'_>, replanned: &Replanned) -> Value {
    let id = |slots: SlotsView<'_>, key: &str| {
        let slot = slots.slots.iter().find(|slot| slot.key.of(slots.text).is_some_and(|bytes| escape(bytes, false) == key))?;
        Some(format!("opal:secret:{}", escape(slot.display.of(slots.text)?, false)))
    };
    let now = |key: &str| id(replanned.plan.as_ref()?.slots.view(), key);
    let one = |drift: &Drift| {
        let key = drift.key.as_deref().unwrap_or_default();
        json!({ "key": key, "code": drift.code.name(), "was": id(contract.slots, key), "now": now(key) })
    };
    replanned.drift.iter().map(one).collect()
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

    #[test]
    fn a_name_accepts_its_own_key_only() {
        for (name, key, yes) in [
            ("A", "env.A", true),
            ("A", "env.A(default=1)", true),
            ("A", "pass_env.A", true),
            ("A", "env.AB", false),
            ("A", "file.A", false),
            ("env.A", "env.A(default=1)", true),
            ("env.A", "pass_env.A", true),
            ("env.A(default=1)", "env.A(default=1)", true),
            ("env.A(default=2)", "env.A(default=1)", false),
            ("env", "env.A", false),
            ("file.read(\"a\")", "file.read(\"a\")", true),
            ("file.read(\"a\")", "file.read(\"a\", public=true)", true),
            ("file.read(\"a\")", "file.read(\"ab\")", false),
            ("file.read", "file.read(\"a\")", false),
            ("pass_env", "pass_env.A", false),
            ("", "env.A", false),
        ] {
            assert_eq!(accepts(name, key), yes, "{name} {key}");
        }
    }
}
