//! Markdown, for a comment on a change. All that comes from a source or a plan stands in code, where nothing is a link, a mention or HTML.

use super::Page;
use opal_core::show::{Style, slot_lines};
use opal_view::{target_name, write_steps};
use std::io::{self, Write};

/// Bytes of steps, and of values, that are shown: hosts of code limit a comment to 65,536 characters.
const SHOWN_MAX: usize = 20 << 10;

/// Writes the plan.
///
/// # Errors
/// Those of `out`.
pub(super) fn write(out: &mut dyn Write, page: &Page<'_>) -> io::Result<()> {
    let plan = &page.plan;
    writeln!(out, "### Plan {}\n", code(&target_name(plan.target)))?;
    for (name, values) in &page.facts {
        let mut shown: Vec<String> = values.iter().take(20).map(|value| code(value)).collect();
        if values.len() > shown.len() {
            shown.push(format!("and {} more", values.len() - shown.len()));
        }
        writeln!(out, "- **{name}**: {}", shown.join(", "))?;
    }
    for (name, hash) in [("plan hash", plan.plan_hash), ("contract hash", plan.contract_hash)] {
        if let Some(hash) = hash {
            writeln!(out, "- **{name}**: `{hash}`")?;
        }
    }
    let mut steps = Vec::new();
    write_steps(&mut steps, plan, Style::Plain, Some(SHOWN_MAX))?;
    writeln!(out, "\n{}", fenced("text", &String::from_utf8_lossy(&steps)))?;
    let [values, deferred] = slot_lines(plan, Style::Plain);
    section(out, "Values", values.map(|[key, value]| format!("{key} = {value}\n")))?;
    section(out, "Deferred values", deferred.map(|[number, name]| format!("{number}. {name}\n")))
}

fn section(out: &mut dyn Write, title: &str, mut lines: impl Iterator<Item = String>) -> io::Result<()> {
    let mut text = String::new();
    let mut count = 0_usize;
    for line in lines.by_ref() {
        text.push_str(&line);
        count += 1;
        if text.len() > SHOWN_MAX {
            break;
        }
    }
    let more = lines.count();
    if count == 0 {
        return Ok(());
    }
    if more > 0 {
        text.push_str(&format!("… {more} more are not shown\n"));
    }
    writeln!(out, "\n<details><summary>{title} ({})</summary>\n\n{}\n</details>", count + more, fenced("text", &text))
}

/// A text of one line as code. The fence is longer than any run of backticks in it.
pub(crate) fn code(text: &str) -> String {
    let fence = "`".repeat(longest_run(text) + 1);
    let text = text.replace('\n', "\\n");
    // A space that pads is taken off again where one stands at both ends.
    let pad = if text.is_empty() || text.starts_with(['`', ' ']) || text.ends_with(['`', ' ']) { " " } else { "" };
    format!("{fence}{pad}{text}{pad}{fence}")
}

/// Lines as a block of code in a language.
pub(crate) fn fenced(language: &str, text: &str) -> String {
    let fence = "`".repeat((longest_run(text) + 1).max(3));
    format!("{fence}{language}\n{text}{fence}\n")
}

fn longest_run(text: &str) -> usize {
    text.split(|character| character != '`').map(str::len).max().unwrap_or(0)
}
