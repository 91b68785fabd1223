//! The plan as a tree.

use super::command::{id, pipeline_end, public_text, step_text};
use super::{Paths, PlanView, Style, escape};
use std::fmt::Write as _;

/// The plan as a tree, then its values, then its hashes. Ends with a newline.
#[must_use]
pub fn tree(plan: &PlanView<'_>, style: Style) -> String {
    // The body of a script has no name.
    let target = if plan.target.is_empty() { "(script)".to_owned() } else { escape(plan.target.as_bytes(), false) };
    let mut out = format!("{target}:\n");
    let mut paths = Paths::new(plan.steps.nodes);
    let mut shown = 0;
    while let Some((index, node, open)) = paths.next_node() {
        if index < shown {
            continue;
        }
        shown = pipeline_end(plan, index).unwrap_or(0);
        let end = index.saturating_add(usize::try_from(node.subtree.to_native()).unwrap_or(usize::MAX));
        let mut indent = String::new();
        // A level goes on where nodes follow the current child in it.
        for pair in open.windows(2) {
            if let [(parent_end, _), (child_end, _)] = pair {
                indent.push_str(if child_end < parent_end { "│  " } else { "   " });
            }
        }
        let last = open.last().is_none_or(|(parent_end, _)| end >= *parent_end);
        let text = step_text(plan, index, style);
        let mut lines = text.split('\n');
        let _ = writeln!(out, "{indent}{} {}", if last { "└─" } else { "├─" }, lines.next().unwrap_or_default());
        for line in lines {
            // Marked, so that no line of a command can pass for a step.
            let _ = writeln!(out, "{indent}{}  ┊ {line}", if last { " " } else { "│" });
        }
    }
    values(&mut out, plan, style);
    deferred(&mut out, plan);
    if plan.plan_hash.is_some() || plan.contract_hash.is_some() {
        out.push('\n');
    }
    if let Some(hash) = plan.plan_hash {
        let _ = writeln!(out, "Plan Hash: {hash}");
    }
    if let Some(hash) = plan.contract_hash {
        let _ = writeln!(out, "Contract Hash: {hash}");
    }
    out
}

fn values(out: &mut String, plan: &PlanView<'_>, style: Style) {
    let mut heading = false;
    for (index, slot) in plan.slots.slots.iter().enumerate() {
        if plan.deferred_number(index).is_some() {
            continue;
        }
        if !heading {
            out.push_str("\nValues:\n");
            heading = true;
        }
        let key = escape(slot.key.of(plan.slots.text).unwrap_or_default(), false);
        let value = public_text(plan, slot).map_or_else(|| style.placeholder(&id(plan, slot)), |text| escape(&text, false));
        let _ = writeln!(out, "  {key} = {value}");
    }
}

fn deferred(out: &mut String, plan: &PlanView<'_>) {
    let mut heading = false;
    for (index, slot) in plan.slots.slots.iter().enumerate() {
        let Some(number) = plan.deferred_number(index) else { continue };
        if !heading {
            out.push_str("\nDeferred Values:\n");
            heading = true;
        }
        let key = escape(slot.key.of(plan.slots.text).unwrap_or_default(), false);
        let _ = writeln!(out, "{number}. @{key} → <expensive>");
    }
}
