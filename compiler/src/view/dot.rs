//! A graph for graphviz: the tree of steps, each level in order from left to right.

use super::{Page, rows};
use opal_format::kind::NodeKind;
use opal_view::target_name;
use std::io::{self, Write};

/// Writes the graph.
///
/// # Errors
/// Those of `out`.
pub(super) fn write(out: &mut dyn Write, page: &Page<'_>) -> io::Result<()> {
    let plan = &page.plan;
    writeln!(out, "digraph plan {{")?;
    writeln!(out, "  graph [ordering=out, rankdir=TB];")?;
    writeln!(out, "  node [shape=box, fontname=\"monospace\", fontsize=10];")?;
    writeln!(out, "  edge [arrowsize=0.6];")?;
    let hash = plan.plan_hash.map_or_else(String::new, |hash| format!("\n{hash}"));
    writeln!(out, "  plan [shape=plaintext, label=\"{}\"];", label(&format!("{}{hash}", target_name(plan.target)), 0))?;
    for row in rows(plan) {
        let shape = match row.kind {
            Some(NodeKind::If | NodeKind::Else | NodeKind::When) => "shape=diamond",
            Some(NodeKind::For | NodeKind::While) => "shape=hexagon",
            Some(kind) if !kind.has_command() && kind != NodeKind::Transform => "style=rounded",
            _ => "",
        };
        let mut attributes = vec![format!("label=\"{}\"", label(&format!("{} {}", row.path, row.text), row.path.len() + 1))];
        let mut edge = String::new();
        if !row.doubt.is_empty() {
            edge = format!(" [style=dashed, label=\"{}\"]", label(&row.doubt, 0));
        }
        match (shape, row.doubt.is_empty()) {
            ("", true) => {}
            ("", false) => attributes.push("style=dashed".to_owned()),
            ("style=rounded", false) => attributes.push("style=\"rounded,dashed\"".to_owned()),
            (shape, true) => attributes.push(shape.to_owned()),
            (shape, false) => attributes.extend([shape.to_owned(), "style=dashed".to_owned()]),
        }
        writeln!(out, "  n{} [{}];", row.index, attributes.join(", "))?;
        let parent = row.parent.map_or_else(|| "plan".to_owned(), |parent| format!("n{parent}"));
        writeln!(out, "  {parent} -> n{}{edge};", row.index)?;
    }
    writeln!(out, "}}")
}

/// A label as it stands between double quotes. Lines are set to the left; those after the first are indented.
fn label(text: &str, indent: usize) -> String {
    let mut out = String::with_capacity(text.len());
    let lines = text.split('\n').count();
    for (number, line) in text.split('\n').enumerate() {
        if number > 0 {
            out.push_str(&" ".repeat(indent));
        }
        for character in line.chars() {
            match character {
                '"' => out.push_str("\\\""),
                '\\' => out.push_str("\\\\"),
                // Graphviz reads entities in labels.
                '&' => out.push_str("&amp;"),
                _ => out.push(character),
            }
        }
        if lines > 1 {
            out.push_str("\\l");
        }
    }
    out
}
