//! Diagnostics as text: a drawing for people, one line for logs, JSON for machines.
//!
//! Whatever comes from the source is shown with control, bidirectional and invisible characters escaped, so that a
//! source cannot draw on the terminal or read differently from what it is.

use std::fmt::Write as _;

use ariadne::{CharSet, Config, IndexType, Label, Report, ReportKind};
use opal_core::show::{self as view, is_unseen};
use serde_json::{Value, json};

use super::{Diagnostic, Edit, Fix, Severity};
use crate::{source::Source, span::Span};

/// Lines longer than this (in bytes) are shown in part.
const LINE_SHOWN_MAX: usize = 400;
/// Up to this line, a drawing numbers its lines as the source does. The library counts them itself, so it is given empty ones before them.
const NUMBERED_LINES_MAX: usize = 50_000;
/// At most this many lines of source stand in one drawing.
const EXCERPT_LINES_MAX: usize = 40;

/// `text` on one line with what nobody sees as escapes. A backslash stays one: messages are about text that stands in the drawing below them.
#[must_use]
pub fn escape(text: &str) -> String {
    view::visible(text).replace('\n', "\\n")
}

/// A line of source as a drawing has it: what is not seen is an escape, and a backslash stays one, since the drawing points at columns.
fn push_visible(into: &mut String, character: char) {
    if is_unseen(character) {
        into.extend(character.escape_default());
    } else {
        into.push(character);
    }
}

/// `file:line:column: error[code]: message`, without a line end.
#[must_use]
pub fn render_line(source: &Source, diagnostic: &Diagnostic) -> String {
    let place = source.line_column(diagnostic.span.start);
    let mut line = format!(
        "{}:{}:{}: {}[{}]: {}",
        escape(source.name()),
        place.line,
        place.column,
        diagnostic.severity.name(),
        diagnostic.code,
        escape(&diagnostic.message)
    );
    if let Some(help) = &diagnostic.help {
        let _ = write!(line, " (help: {})", view::visible(help).replace('\n', " "));
    }
    line
}

/// One diagnostic as JSON. Lines and columns start at 1; spans are byte offsets.
#[must_use]
pub fn to_json(source: &Source, diagnostic: &Diagnostic) -> Value {
    let place = |span: Span| {
        let start = source.line_column(span.start);
        json!({"start": span.start, "end": span.end, "line": start.line, "column": start.column})
    };
    let labels: Vec<Value> = diagnostic.labels.iter().map(|label| json!({"span": place(label.span), "message": label.message})).collect();
    json!({
        "severity": diagnostic.severity.name(),
        "code": diagnostic.code.name(),
        "message": diagnostic.message,
        "file": source.name(),
        "span": place(diagnostic.span),
        "labels": labels,
        "help": diagnostic.help,
        "notes": diagnostic.notes,
        "fixes": diagnostic.fixes.iter().map(|fix| fix_json(source, fix)).collect::<Vec<_>>(),
    })
}

/// A fix as JSON: edits of bytes, which are made together.
fn fix_json(source: &Source, fix: &Fix) -> Value {
    let edit = |edit: &Edit| json!({"file": source.name(), "start": edit.span.start, "end": edit.span.end, "text": edit.text});
    json!({
        "title": fix.title,
        "applicability": fix.applicability.name(),
        "edits": fix.edits.iter().map(edit).collect::<Vec<_>>(),
    })
}

/// All of them as one JSON document with a `schema` field, without a line end.
#[must_use]
pub fn render_json(source: &Source, diagnostics: &[Diagnostic]) -> String {
    let all: Vec<Value> = diagnostics.iter().map(|diagnostic| to_json(source, diagnostic)).collect();
    view::json_line(&json!({"schema": "opal/diagnostics/v1", "diagnostics": all}))
}

/// All of them as drawings for people, each ending in a line end.
#[must_use]
pub fn render_human(source: &Source, diagnostics: &[Diagnostic], color: bool) -> String {
    let mut text = String::new();
    for diagnostic in diagnostics {
        text.push_str(&render_one(source, diagnostic, color));
    }
    text
}

fn render_one(source: &Source, diagnostic: &Diagnostic, color: bool) -> String {
    let excerpt = Excerpt::around(source, diagnostic);
    let kind = match diagnostic.severity {
        Severity::Error => ReportKind::Custom("error", ariadne::Color::Red),
        Severity::Warning => ReportKind::Custom("warning", ariadne::Color::Yellow),
    };
    let name = escape(source.name());
    let at = |span: Span| (name.clone(), excerpt.map(span));
    let config = Config::default().with_color(color).with_index_type(IndexType::Byte).with_char_set(CharSet::Unicode);
    // A drawing starts anew where a label ends on an earlier line than the one before it.
    let place = |span: Span| Label::new(at(span)).with_order(i32::try_from(excerpt.map(span).end).unwrap_or(i32::MAX));
    let mark = place(diagnostic.span);
    let mark = match diagnostic.labels.is_empty() {
        true => mark.with_message(""),
        false => mark.with_message("here"),
    };
    let mut report =
        Report::build(kind, at(diagnostic.span)).with_config(config).with_message(escape(&diagnostic.message)).with_label(mark);
    for further in diagnostic.labels.iter().filter(|further| excerpt.holds(further.span)) {
        report.add_label(place(further.span).with_message(escape(&further.message)));
    }
    let mut out = Vec::new();
    let drawing = ariadne::Source::from(excerpt.text.as_str()).with_display_line_offset(excerpt.first_line);
    if report.finish().write((name.clone(), drawing), &mut out).is_err() {
        return format!("{}\n", render_line(source, diagnostic));
    }
    let mut text = header(diagnostic, color);
    // The drawing's own first line repeats the message without its code.
    let drawn = String::from_utf8_lossy(&out);
    text.push_str(drawn.split_once('\n').map_or("", |(_, rest)| rest));
    for label in diagnostic.labels.iter().filter(|label| !excerpt.holds(label.span)) {
        let place = source.line_column(label.span.start);
        let _ = writeln!(text, "note: line {}: {}", place.line, escape(&label.message));
    }
    if let Some(help) = &diagnostic.help {
        let _ = writeln!(text, "help: {}", visible_lines(help));
    }
    for note in &diagnostic.notes {
        let _ = writeln!(text, "note: {}", visible_lines(note));
    }
    text
}

fn header(diagnostic: &Diagnostic, color: bool) -> String {
    let head = format!("{}[{}]", diagnostic.severity.name(), diagnostic.code);
    let head = match (color, diagnostic.severity) {
        (false, _) => head,
        (true, Severity::Error) => format!("\x1b[31m{head}\x1b[0m"),
        (true, Severity::Warning) => format!("\x1b[33m{head}\x1b[0m"),
    };
    format!("{head}: {}\n", escape(&diagnostic.message))
}

/// Help may hold line ends of its own; each further line is indented. It can be pasted.
fn visible_lines(text: &str) -> String {
    view::visible(text).replace('\n', "\n      ")
}

/// The lines of source that a drawing shows, escaped, with a map from source offsets to offsets in it.
///
/// Only these lines are handed to the drawing, so that a message costs no more for a large source than for a small one.
struct Excerpt {
    text: String,
    /// How many lines of the source stand before the first of `text`.
    first_line: usize,
    span: Span,
    /// Pairs (source offset, excerpt offset), ascending, one wherever the distance changes.
    offsets: Vec<(u32, usize)>,
}

impl Excerpt {
    fn around(source: &Source, diagnostic: &Diagnostic) -> Self {
        let main = source.line_index(diagnostic.span.start);
        let mut first = main;
        let mut last = source.line_index(diagnostic.span.end.saturating_sub(1).max(diagnostic.span.start));
        last = last.min(first + EXCERPT_LINES_MAX / 2);
        for label in &diagnostic.labels {
            let line = source.line_index(label.span.start);
            if last.max(line) - first.min(line) < EXCERPT_LINES_MAX {
                (first, last) = (first.min(line), last.max(line));
            }
        }
        let before = if first <= NUMBERED_LINES_MAX { first } else { 0 };
        let mut excerpt = Self {
            text: "\n".repeat(before),
            first_line: first - before,
            span: source.line_span(first).to(source.line_span(last)),
            offsets: Vec::new(),
        };
        for line in first..=last {
            let focus = if line == main { diagnostic.span } else { Span::default() };
            excerpt.push_line(source, source.line_span(line), focus);
        }
        excerpt
    }

    fn push_line(&mut self, source: &Source, line: Span, focus: Span) {
        let whole = source.slice(line);
        let body = whole.strip_suffix('\n').unwrap_or(whole);
        let body = body.strip_suffix('\r').unwrap_or(body);
        let (mut from, mut until) = (0, body.len());
        if body.len() > LINE_SHOWN_MAX {
            let center = focus.start.saturating_sub(line.start) as usize;
            from = center.saturating_sub(LINE_SHOWN_MAX / 4).min(body.len());
            until = (from + LINE_SHOWN_MAX).min(body.len());
            while !body.is_char_boundary(from) {
                from -= 1;
            }
            while !body.is_char_boundary(until) {
                until -= 1;
            }
        }
        self.offsets.push((line.start, self.text.len()));
        if from > 0 {
            self.text.push('…');
        }
        let base = line.start + u32::try_from(from).unwrap_or(u32::MAX);
        self.offsets.push((base, self.text.len()));
        let mut offset = base;
        for character in body.get(from..until).unwrap_or("").chars() {
            if character == '\t' {
                self.text.push('\t');
            } else {
                push_visible(&mut self.text, character);
            }
            offset += u32::try_from(character.len_utf8()).unwrap_or(1);
            if is_unseen(character) && character != '\t' {
                self.offsets.push((offset, self.text.len()));
            }
        }
        if until < body.len() {
            self.offsets.push((offset, self.text.len()));
            self.text.push('…');
        }
        self.text.push('\n');
    }

    fn holds(&self, span: Span) -> bool {
        self.span.start <= span.start && span.start <= self.span.end
    }

    fn offset(&self, source_offset: u32) -> usize {
        let at = self.offsets.partition_point(|(source, _)| *source <= source_offset);
        let Some((source, excerpt)) = at.checked_sub(1).and_then(|index| self.offsets.get(index)) else {
            return 0;
        };
        let limit = self.offsets.get(at).map_or(self.text.len(), |(_, next)| *next);
        let mut offset = (excerpt + (source_offset - source) as usize).min(limit).min(self.text.len());
        while !self.text.is_char_boundary(offset) {
            offset -= 1;
        }
        offset
    }

    fn map(&self, span: Span) -> std::ops::Range<usize> {
        let start = self.offset(span.start);
        start..self.offset(span.end).max(start)
    }
}
