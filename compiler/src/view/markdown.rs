//! Markdown, for a comment on a change. All that comes from a source or a plan stands in code, where nothing is a link, a mention or HTML.

use super::Page;
use opal_core::show::{Pairs, Style, beginning, slot_lines};
use opal_view::{target_name, write_steps};
use std::io::{self, Write};

/// Bytes of steps, and of values, after which no more are shown: hosts of code limit a comment to 65,536 characters.
const SHOWN_MAX: usize = 20 << 10;
/// Bytes of one fact that are shown.
const FACT_MAX: usize = 1 << 10;

/// Writes the plan.
///
/// # Errors
/// Those of `out`.
pub(super) fn write(out: &mut dyn Write, page: Page<'_>) -> io::Result<()> {
    let plan = &page.plan;
    writeln!(out, "### Plan {}\n", code(&target_name(plan.target)))?;
    for (name, mut values) in page.facts {
        let mut shown: Vec<String> = values.by_ref().take(20).map(|value| code(&beginning(value, FACT_MAX))).collect();
        let more = values.count();
        if more > 0 {
            shown.push(format!("and {more} more"));
        }
        writeln!(out, "- **{name}**: {}", shown.join(", "))?;
    }
    for (name, hash) in [("plan hash", plan.plan_hash), ("contract hash", plan.contract_hash)] {
        if let Some(hash) = hash {
            writeln!(out, "- **{name}**: `{hash}`")?;
        }
    }
    let mut steps = Beginning::new(SHOWN_MAX + FACT_MAX);
    write_steps(&mut steps, plan, Style::Plain, Some(SHOWN_MAX))?;
    writeln!(out, "\n{}", fenced("text", &steps.lines()))?;
    let [values, deferred] = slot_lines(plan, Style::Plain);
    section(out, "Values", values, " = ")?;
    section(out, "Deferred values", deferred, ". ")
}

fn section(out: &mut dyn Write, title: &str, mut lines: Pairs<'_>, between: &str) -> io::Result<()> {
    let mut text = Beginning::new(SHOWN_MAX + FACT_MAX);
    let mut count = 0_usize;
    for [first, second] in lines.by_ref() {
        writeln!(text, "{first}{between}{second}")?;
        count += 1;
        if text.bytes.len() > SHOWN_MAX {
            break;
        }
    }
    let more = lines.count();
    if count == 0 {
        return Ok(());
    }
    let mut text = text.lines();
    if more > 0 {
        text.push_str(&format!("… {more} more are not shown\n"));
    }
    writeln!(out, "\n<details><summary>{title} ({})</summary>\n\n{}\n</details>", count + more, fenced("text", &text))
}

/// The beginning of what is written.
struct Beginning {
    bytes: Vec<u8>,
    room: usize,
    cut: bool,
}

impl Beginning {
    fn new(room: usize) -> Self {
        Self { bytes: Vec::new(), room, cut: false }
    }

    /// As lines, which say where they were cut.
    fn lines(self) -> String {
        let mut text = String::from_utf8_lossy(&self.bytes).into_owned();
        if self.cut {
            text.push_str("…\n… what follows is not shown\n");
        }
        text
    }
}

impl Write for Beginning {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let kept = bytes.len().min(self.room - self.bytes.len());
        self.bytes.extend_from_slice(&bytes[..kept]);
        self.cut |= kept < bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
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
