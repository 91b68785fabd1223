//! One page for a browser: no script, nothing from elsewhere, and a policy in it that allows neither.

use super::{Page, each_character, rows};
use opal_core::show::{Pairs, PlanView, Style, slot_lines};
use opal_format::kind::NodeKind;
use opal_view::target_name;
use std::fmt::{Display, Write as _};
use std::io::{self, Write};

const STYLE: &str = "\
:root { color-scheme: light dark; --dim: #666; --flow: #8250df; --block: #0550ae; --doubt: #7d4e00; --line: #d0d7de; }
@media (prefers-color-scheme: dark) { :root { --dim: #9a9a9a; --flow: #d2a8ff; --block: #79c0ff; --doubt: #e3b341; --line: #444c56; } }
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem; }
h1, h2 { line-height: 1.2; } h1 code { font-size: inherit; }
code, pre { font: 0.9rem/1.45 ui-monospace, monospace; overflow-wrap: anywhere; }
pre { margin: 0; white-space: pre-wrap; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 0.2rem 1rem; } dt { color: var(--dim); } dd { margin: 0; }
ol.steps, ol.steps ol { list-style: none; margin: 0; padding-left: 1.2rem; border-left: 1px solid var(--line); }
ol.steps { padding-left: 0; border: 0; } ol.steps li { margin: 0.25rem 0; }
.row { display: grid; grid-template-columns: max-content 1fr; gap: 0.8rem; } .path { color: var(--dim); }
.flow { color: var(--flow); } .block { color: var(--block); } .doubt { color: var(--doubt); font-style: italic; }
table { border-collapse: collapse; } th, td { border-bottom: 1px solid var(--line); padding: 0.2rem 1rem 0.2rem 0; text-align: left; vertical-align: top; }
@media print { body { margin: 0; max-width: none; } li { break-inside: avoid-page; } }
";

/// Writes the page.
///
/// # Errors
/// Those of `out`.
pub(super) fn write(out: &mut dyn Write, page: Page<'_>) -> io::Result<()> {
    let plan = &page.plan;
    let target = text(target_name(plan.target)).to_string();
    write!(
        out,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <title>Plan {target}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n<h1>Plan <code>{target}</code></h1>\n"
    )?;
    let hashes = [("plan hash", plan.plan_hash), ("contract hash", plan.contract_hash)];
    writeln!(out, "<dl>")?;
    for (name, values) in page.facts {
        write!(out, "<dt>{}</dt>", text(name))?;
        for value in values {
            write!(out, "<dd><code>{}</code></dd>", text(value))?;
        }
        writeln!(out)?;
    }
    for (name, hash) in hashes.into_iter().filter_map(|(name, hash)| Some((name, hash?))) {
        writeln!(out, "<dt>{name}</dt><dd><code>{hash}</code></dd>")?;
    }
    writeln!(out, "</dl>")?;
    steps(out, plan)?;
    let [values, deferred] = slot_lines(plan, Style::Terminal);
    table(out, "Values", ["Key", "Value"], values)?;
    table(out, "Deferred values", ["Number", "Value"], deferred)?;
    writeln!(out, "</main>\n</body>\n</html>")
}

fn steps(out: &mut dyn Write, plan: &PlanView<'_>) -> io::Result<()> {
    writeln!(out, "<h2 id=\"steps\">Steps</h2>\n<ol class=\"steps\" aria-labelledby=\"steps\">")?;
    // Open list items, of which each but the last has a list open in it.
    let mut open = 0;
    for row in rows(plan) {
        if open > row.depth {
            write!(out, "</li>{}", "</ol></li>".repeat(open - row.depth - 1))?;
        } else if open > 0 {
            write!(out, "<ol>")?;
        }
        open = row.depth + 1;
        let class = match row.kind {
            Some(kind) if kind.is_flow() => " class=\"flow\"",
            Some(kind) if !kind.has_command() && kind != NodeKind::Transform => " class=\"block\"",
            _ => "",
        };
        write!(out, "\n<li><div class=\"row\"><span class=\"path\">{}</span><div><pre{class}>{}</pre>", row.path, text(&row.text))?;
        if let Some(doubt) = &row.doubt {
            write!(out, "<span class=\"doubt\">{}</span>", text(doubt))?;
        }
        write!(out, "</div></div>")?;
    }
    if open > 0 {
        write!(out, "</li>{}", "</ol></li>".repeat(open - 1))?;
    }
    writeln!(out, "\n</ol>")
}

fn table(out: &mut dyn Write, title: &str, heads: [&str; 2], lines: Pairs<'_>) -> io::Result<()> {
    let mut lines = lines.peekable();
    if lines.peek().is_none() {
        return Ok(());
    }
    let [first, second] = heads;
    writeln!(
        out,
        "<h2>{title}</h2>\n<table>\n<thead><tr><th scope=\"col\">{first}</th><th scope=\"col\">{second}</th></tr></thead>\n<tbody>"
    )?;
    for [key, value] in lines {
        writeln!(out, "<tr><th scope=\"row\"><code>{}</code></th><td><code>{}</code></td></tr>", text(&key), text(&value))?;
    }
    writeln!(out, "</tbody>\n</table>")
}

/// A text as it stands between tags or in quotes.
fn text<'a>(text: impl Display + 'a) -> impl Display + 'a {
    each_character(text, |out, character| match character {
        '&' => out.write_str("&amp;"),
        '<' => out.write_str("&lt;"),
        '>' => out.write_str("&gt;"),
        '"' => out.write_str("&quot;"),
        '\'' => out.write_str("&#39;"),
        _ => out.write_char(character),
    })
}
