//! The plan as a tree.

use opal_core::show::{Paths, PlanView, Style, escape, pipeline_end, slot_lines, step_text};
use std::fmt::Write as _;
use std::io::{self, Write};

/// The plan as a tree, then its values, then its hashes. Ends with a newline.
#[must_use]
pub fn tree(plan: &PlanView<'_>, style: Style) -> String {
    let mut out = Vec::new();
    // Memory takes everything.
    let _ = write_tree(&mut out, plan, style, None);
    String::from_utf8_lossy(&out).into_owned()
}

/// Writes what [`tree`] gives as it is made; steps and values each up to about `most` bytes, followed by how many are not shown.
///
/// # Errors
/// Those of `out`.
pub fn write_tree(out: &mut dyn Write, plan: &PlanView<'_>, style: Style, most: Option<usize>) -> io::Result<()> {
    writeln!(out, "{}:", style.paint(1, &target_name(plan.target)))?;
    write_steps(out, plan, style, most)?;
    let [values, deferred] = slot_lines(plan, style);
    list(out, "\nValues:\n", values.map(|[key, value]| format!("  {key} = {value}\n")), most)?;
    list(out, "\nDeferred Values:\n", deferred.map(|[number, name]| format!("{number}. {name}\n")), most)?;
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
    let mut paths = Paths::new(plan.steps.nodes);
    let mut shown = 0;
    let mut room = most.unwrap_or(usize::MAX);
    while let Some((index, node, open)) = paths.next_node() {
        if index < shown {
            continue;
        }
        if room == 0 {
            writeln!(out, "… {} more nodes are not shown", plan.steps.nodes.len().saturating_sub(index))?;
            break;
        }
        shown = pipeline_end(plan, index).unwrap_or(0);
        let end = index.saturating_add(node.length());
        let mut indent = String::new();
        // A level goes on where nodes follow the current child in it.
        for pair in open.windows(2) {
            if let [(parent_end, _), (child_end, _)] = pair {
                indent.push_str(if child_end < parent_end { "│  " } else { "   " });
            }
        }
        let last = open.last().is_none_or(|(parent_end, _)| end >= *parent_end);
        let text = step_text(plan, index, style);
        let doubt = plan.doubt(index);
        let doubt = if doubt.is_empty() { doubt } else { style.paint(33, &format!("  ← {doubt}")) };
        let mut lines = text.split('\n');
        let mut shown = String::new();
        let branch = style.paint(2, &format!("{indent}{}", if last { "└─" } else { "├─" }));
        let _ = writeln!(shown, "{branch} {}{doubt}", lines.next().unwrap_or_default());
        for line in lines {
            // Marked, so that no line of a command can pass for a step.
            let bar = style.paint(2, &format!("{indent}{}  ┊", if last { " " } else { "│" }));
            let _ = writeln!(shown, "{bar} {line}");
        }
        out.write_all(shown.as_bytes())?;
        room = room.saturating_sub(shown.len());
    }
    Ok(())
}

fn list(out: &mut dyn Write, heading: &str, lines: impl Iterator<Item = String>, most: Option<usize>) -> io::Result<()> {
    let mut lines = lines.peekable();
    if lines.peek().is_some() {
        out.write_all(heading.as_bytes())?;
    }
    let mut room = most.unwrap_or(usize::MAX);
    while let Some(line) = lines.next() {
        if room == 0 {
            return writeln!(out, "  … {} more are not shown", lines.count().saturating_add(1));
        }
        out.write_all(line.as_bytes())?;
        room = room.saturating_sub(line.len());
    }
    Ok(())
}
