//! The plan as a tree, written as it is made.

use opal_core::show::{Pairs, Paths, PlanView, Style, Text, escape, pipeline_end, slot_lines, step};
use std::fmt::{self, Display, Write as _};
use std::io::{self, Write};

/// Writes the plan as a tree, then its values, then its hashes, and ends with a newline. Of steps and values each it writes up to about `most`
/// bytes, followed by how many are not shown.
///
/// # Errors
/// Those of `out`.
pub fn write_tree(out: &mut dyn Write, plan: &PlanView<'_>, style: Style, most: Option<usize>) -> io::Result<()> {
    writeln!(out, "{}:", style.painted(1, target_name(plan.target)))?;
    write_steps(out, plan, style, most)?;
    let [values, deferred] = slot_lines(plan, style);
    list(out, "\nValues:\n", values, most, |out, [key, value]| writeln!(out, "  {key} = {value}"))?;
    list(out, "\nDeferred Values:\n", deferred, most, |out, [number, name]| writeln!(out, "{number}. {name}"))?;
    if plan.plan_hash.is_some() || plan.contract_hash.is_some() {
        writeln!(out)?;
    }
    if let Some(hash) = plan.plan_hash {
        writeln!(out, "Plan Hash: {hash}")?;
    }
    if let Some(hash) = plan.contract_hash {
        writeln!(out, "Contract Hash: {hash}")?;
    }
    Ok(())
}

/// The name of a target; the body of a script has none.
#[must_use]
pub fn target_name(target: &str) -> String {
    if target.is_empty() { "(script)".to_owned() } else { escape(target.as_bytes(), false) }
}

/// Writes the steps of a tree, up to about `most` bytes, followed by how many nodes are not shown.
///
/// # Errors
/// Those of `out`.
pub fn write_steps(out: &mut dyn Write, plan: &PlanView<'_>, style: Style, most: Option<usize>) -> io::Result<()> {
    let mut out = Counted { out, written: 0 };
    let mut paths = Paths::new(plan.steps.nodes);
    let mut next = 0;
    let most = most.unwrap_or(usize::MAX);
    while let Some((index, node, open)) = paths.next_node() {
        if index < next {
            continue;
        }
        if out.written >= most {
            return writeln!(out, "… {} more nodes are not shown", plan.steps.nodes.len().saturating_sub(index));
        }
        next = pipeline_end(plan, index).unwrap_or(0);
        let end = index.saturating_add(node.length());
        let mut indent = String::new();
        // A level goes on where nodes follow the current child in it.
        for pair in open.windows(2) {
            if let [(parent_end, _), (child_end, _)] = pair {
                indent.push_str(if child_end < parent_end { "│  " } else { "   " });
            }
        }
        let last = open.last().is_none_or(|(parent_end, _)| end >= *parent_end);
        let doubt = plan.doubt(index).map(|doubt| style.painted(33, format!("  ← {doubt}")).to_string());
        // Further lines are marked, so that none of a command can pass for a step.
        let bar = format!("\n{} ", style.painted(2, format!("{indent}{}  ┊", if last { " " } else { "│" })));
        let branch = style.painted(2, format!("{indent}{}", if last { "└─" } else { "├─" }));
        writeln!(out, "{branch} {}", lines(step(plan, index, style), &doubt.unwrap_or_default(), &bar))?;
    }
    Ok(())
}

/// A text of which the first line has an end, and each further one a beginning.
fn lines(text: impl Display, first_end: &str, beginning: &str) -> impl Display {
    fmt::from_fn(move |out| {
        let mut lines = Lines { out, first_end: Some(first_end), beginning };
        write!(lines, "{text}")?;
        let end = lines.first_end.take().unwrap_or_default();
        lines.out.write_str(end)
    })
}

struct Lines<'o, 'f, 't> {
    out: &'o mut fmt::Formatter<'f>,
    first_end: Option<&'t str>,
    beginning: &'t str,
}

impl fmt::Write for Lines<'_, '_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for (at, line) in text.split('\n').enumerate() {
            if at > 0 {
                self.out.write_str(self.first_end.take().unwrap_or_default())?;
                self.out.write_str(self.beginning)?;
            }
            self.out.write_str(line)?;
        }
        Ok(())
    }
}

struct Counted<'o> {
    out: &'o mut dyn Write,
    written: usize,
}

impl Write for Counted<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.written = self.written.saturating_add(written);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

fn list<'a>(
    out: &mut dyn Write,
    heading: &str,
    lines: Pairs<'a>,
    most: Option<usize>,
    write: impl Fn(&mut dyn Write, [Text<'a>; 2]) -> io::Result<()>,
) -> io::Result<()> {
    let mut lines = lines.peekable();
    if lines.peek().is_some() {
        out.write_all(heading.as_bytes())?;
    }
    let mut out = Counted { out, written: 0 };
    let most = most.unwrap_or(usize::MAX);
    while let Some(line) = lines.next() {
        if out.written >= most {
            return writeln!(out, "  … {} more are not shown", lines.count().saturating_add(1));
        }
        write(&mut out, line)?;
    }
    Ok(())
}
