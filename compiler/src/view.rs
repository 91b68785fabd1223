//! Forms of a plan for people who review it: markdown for a comment, a graph for graphviz, a page for a browser. `opal_core::show` has the model
//! that all of them are made from, and the forms that the VM needs itself.
//!
//! Each form is written as it is made. Text from sources, plans and values is escaped twice: what deceives a reader by `opal_core::show::escape`,
//! then what the form would take for its own syntax. Tests: `compiler/tests/views.rs`.

mod dot;
mod html;
mod markdown;

pub(crate) use markdown::{code, fenced};

use opal_core::show::{PlanView, Style, Text, pipeline_end, step};
use opal_format::kind::NodeKind;
use opal_view::contract::Fact;
use std::fmt::{self, Display, Write as _};
use std::io;

/// A plan with what else is known of it.
pub struct Page<'a> {
    /// The plan.
    pub plan: PlanView<'a>,
    /// What else is known. Escaped against deception, not for the form.
    pub facts: Vec<Fact<'a>>,
}

/// Writes a page in the form with this name: `markdown`, `dot` or `html`.
///
/// # Errors
/// Those of `out`.
pub fn write_page(out: &mut dyn io::Write, form: &str, page: Page<'_>) -> io::Result<()> {
    match form {
        "markdown" => markdown::write(out, page),
        "dot" => dot::write(out, &page.plan),
        _ => html::write(out, page),
    }
}

/// A node as a form shows it.
pub(crate) struct Row<'a> {
    /// Nodes above it.
    pub(crate) depth: usize,
    /// Its number among the plan's nodes.
    pub(crate) index: usize,
    /// The index of the node above it.
    pub(crate) parent: Option<usize>,
    /// `2.1.3`.
    pub(crate) path: String,
    /// What it is.
    pub(crate) kind: Option<NodeKind>,
    /// Its text; may have several lines. Escaped against deception.
    pub(crate) text: Text<'a>,
    /// What is said of a node that a deferred value decides about.
    pub(crate) doubt: Option<String>,
}

/// The nodes in order; a pipeline whose step is one command is one row.
pub(crate) fn rows<'a>(plan: &'a PlanView<'_>) -> impl Iterator<Item = Row<'a>> + 'a {
    let nodes = plan.steps.nodes;
    // What is open: index, the index after it, and how many children it has had. The first is the plan itself.
    let mut open: Vec<(Option<usize>, usize, u32)> = vec![(None, nodes.len(), 0)];
    let mut next = 0;
    std::iter::from_fn(move || {
        let (index, node) = (next, nodes.get(next)?);
        while open.len() > 1 && open.last().is_some_and(|(_, end, _)| index >= *end) {
            open.pop();
        }
        let (parent, depth) = (open.last()?.0, open.len() - 1);
        open.last_mut()?.2 += 1;
        let path = open.iter().map(|(_, _, ordinal)| ordinal.to_string()).collect::<Vec<_>>().join(".");
        let end = index.saturating_add(node.length());
        next = pipeline_end(plan, index).unwrap_or(index + 1);
        open.push((Some(index), end, 0));
        let kind = node.kind();
        Some(Row { depth, index, parent, path, kind, text: Box::new(step(plan, index, Style::Plain)), doubt: plan.doubt(index) })
    })
}

/// A text of which each character is written as a form needs it, as it is made.
pub(crate) fn each_character<'a>(
    text: impl Display + 'a,
    put: impl Fn(&mut fmt::Formatter<'_>, char) -> fmt::Result + 'a,
) -> impl Display + 'a {
    fmt::from_fn(move |out| {
        let mut characters = Characters { out, put: &put };
        write!(characters, "{text}")
    })
}

struct Characters<'o, 'f, 'p> {
    out: &'o mut fmt::Formatter<'f>,
    put: &'p dyn Fn(&mut fmt::Formatter<'_>, char) -> fmt::Result,
}

impl fmt::Write for Characters<'_, '_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.chars().try_for_each(|character| (self.put)(self.out, character))
    }
}
