//! A graph for graphviz: the tree of steps, each level in order from left to right.

use super::{each_character, rows};
use opal_core::show::PlanView;
use opal_format::kind::NodeKind;
use opal_view::target_name;
use std::cell::Cell;
use std::fmt::{self, Display, Write as _};
use std::io::{self, Write};

/// Writes the graph.
///
/// # Errors
/// Those of `out`.
pub(super) fn write(out: &mut dyn Write, plan: &PlanView<'_>) -> io::Result<()> {
    writeln!(out, "digraph plan {{")?;
    writeln!(out, "  graph [ordering=out, rankdir=TB];")?;
    writeln!(out, "  node [shape=box, fontname=\"monospace\", fontsize=10];")?;
    writeln!(out, "  edge [arrowsize=0.6];")?;
    let hash = plan.plan_hash.map_or_else(String::new, |hash| format!("\n{hash}"));
    writeln!(out, "  plan [shape=plaintext, label=\"{}\"];", label(format!("{}{hash}", target_name(plan.target)), 0))?;
    for row in rows(plan) {
        let (shape, rounded) = match row.kind {
            Some(NodeKind::If | NodeKind::Else | NodeKind::When) => (", shape=diamond", false),
            Some(NodeKind::For | NodeKind::While) => (", shape=hexagon", false),
            Some(kind) => ("", !kind.has_command() && kind != NodeKind::Transform),
            None => ("", false),
        };
        let edge = row.doubt.as_ref().map_or_else(String::new, |doubt| format!(" [style=dashed, label=\"{}\"]", label(doubt, 0)));
        let style = match (rounded, &row.doubt) {
            (false, None) => "",
            (false, Some(_)) => ", style=dashed",
            (true, None) => ", style=rounded",
            (true, Some(_)) => ", style=\"rounded,dashed\"",
        };
        let text = fmt::from_fn(|out| write!(out, "{} {}", row.path, row.text));
        writeln!(out, "  n{} [label=\"{}\"{shape}{style}];", row.index, label(text, row.path.len() + 1))?;
        let parent = row.parent.map_or_else(|| "plan".to_owned(), |parent| format!("n{parent}"));
        writeln!(out, "  {parent} -> n{}{edge};", row.index)?;
    }
    writeln!(out, "}}")
}

/// A label as it stands between double quotes. Where it has several lines, they are set to the left, those after the first indented.
fn label<'a>(text: impl Display + 'a, indent: usize) -> impl Display + 'a {
    fmt::from_fn(move |out| {
        let several = Cell::new(false);
        let text = each_character(&text, |out, character| match character {
            '\n' => {
                several.set(true);
                write!(out, "\\l{:indent$}", "")
            }
            '"' => out.write_str("\\\""),
            '\\' => out.write_str("\\\\"),
            // Graphviz reads entities in labels.
            '&' => out.write_str("&amp;"),
            _ => out.write_char(character),
        });
        write!(out, "{text}")?;
        out.write_str(if several.get() { "\\l" } else { "" })
    })
}
