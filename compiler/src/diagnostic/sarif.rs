//! Diagnostics as SARIF 2.1.0, the form that code hosts and editors read.
//!
//! Columns count UTF-16 code units, as the standard's `columnKind` says; byte offsets stand beside them.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{Code, Diagnostic, Fix, Severity, escape, explanation};
use crate::{source::Source, span::Span};

/// What was found in several sources, as one SARIF log with one run. `unread` are messages about sources that could not be read.
#[must_use]
pub fn to_sarif(found: &[(Source, Vec<Diagnostic>)], unread: &[String]) -> Value {
    let results: Vec<Value> =
        found.iter().flat_map(|(source, diagnostics)| diagnostics.iter().map(|diagnostic| result(source, diagnostic))).collect();
    let notifications: Vec<Value> = unread.iter().map(|message| json!({"level": "error", "message": {"text": escape(message)}})).collect();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "opalc",
                "version": env!("CARGO_PKG_VERSION"),
                "rules": Code::ALL.iter().map(|code| rule(*code)).collect::<Vec<_>>(),
            }},
            "columnKind": "utf16CodeUnits",
            "invocations": [{"executionSuccessful": unread.is_empty(), "toolExecutionNotifications": notifications}],
            "results": results,
        }],
    })
}

fn rule(code: Code) -> Value {
    let mut rule = json!({
        "id": code.name(),
        "shortDescription": {"text": code.title()},
        "defaultConfiguration": {"level": level(code.severity())},
    });
    if let Some(explanation) = explanation(code.name()) {
        rule["fullDescription"] = json!({"text": explanation.prose()});
        rule["help"] = json!({"text": explanation.prose(), "markdown": explanation.body});
    }
    rule
}

fn level(severity: Severity) -> &'static str {
    // SARIF uses the same two words.
    severity.name()
}

fn result(source: &Source, diagnostic: &Diagnostic) -> Value {
    let mut text = escape(&diagnostic.message);
    if let Some(help) = &diagnostic.help {
        let _ = write!(text, "\nhelp: {}", escape(help));
    }
    let mut result = json!({
        "ruleId": diagnostic.code.name(),
        "level": level(diagnostic.severity),
        "message": {"text": text},
        "locations": [location(source, diagnostic.span)],
    });
    if let Some(index) = Code::ALL.iter().position(|code| *code == diagnostic.code) {
        result["ruleIndex"] = json!(index);
    }
    if !diagnostic.labels.is_empty() {
        let related = diagnostic.labels.iter().enumerate().map(|(id, label)| {
            let mut place = location(source, label.span);
            place["id"] = json!(id);
            place["message"] = json!({"text": escape(&label.message)});
            place
        });
        result["relatedLocations"] = related.collect();
    }
    if !diagnostic.fixes.is_empty() {
        result["fixes"] = diagnostic.fixes.iter().map(|one| fix(source, one)).collect();
    }
    result
}

/// The standard has no word for who may make a change, so that stands in the bag of properties.
fn fix(source: &Source, fix: &Fix) -> Value {
    let replacements =
        fix.edits.iter().map(|edit| json!({"deletedRegion": region(source, edit.span), "insertedContent": {"text": edit.text}}));
    json!({
        "description": {"text": escape(&fix.title)},
        "artifactChanges": [{
            "artifactLocation": {"uri": uri(source.name())},
            "replacements": replacements.collect::<Vec<_>>(),
        }],
        "properties": {"applicability": fix.applicability.name()},
    })
}

fn location(source: &Source, span: Span) -> Value {
    json!({"physicalLocation": {
        "artifactLocation": {"uri": uri(source.name())},
        "region": region(source, span),
    }})
}

fn region(source: &Source, span: Span) -> Value {
    let (start_line, start_column) = position(source, span.start);
    let (end_line, end_column) = position(source, span.end.max(span.start));
    json!({
        "startLine": start_line,
        "startColumn": start_column,
        "endLine": end_line,
        "endColumn": end_column,
        "byteOffset": span.start,
        "byteLength": span.end.saturating_sub(span.start),
    })
}

/// Line and column, both from 1, the column in UTF-16 code units.
fn position(source: &Source, offset: u32) -> (usize, usize) {
    let line = source.line_index(offset);
    let before = Span { start: source.line_span(line).start, end: offset };
    (line + 1, source.slice(before).encode_utf16().count() + 1)
}

/// A path as a URI reference: absolute ones with a scheme, relative ones without.
fn uri(path: &str) -> String {
    let mut uri = String::from(if path.starts_with('/') { "file://" } else { "" });
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'-' | b'.' | b'_' | b'~') {
            uri.push(char::from(byte));
        } else {
            let _ = write!(uri, "%{byte:02X}");
        }
    }
    uri
}

#[cfg(test)]
mod tests {
    use super::{position, uri};
    use crate::source::Source;

    #[test]
    fn columns_count_utf_16_code_units() {
        let source = Source::new("t.opl", "ab\n🔒é x\n");
        assert_eq!(position(&source, 0), (1, 1));
        assert_eq!(position(&source, 3), (2, 1));
        assert_eq!(position(&source, 7), (2, 3));
        assert_eq!(position(&source, 9), (2, 4));
    }

    #[test]
    fn paths_become_uri_references() {
        assert_eq!(uri("a b/ü.opl"), "a%20b/%C3%BC.opl");
        assert_eq!(uri("/srv/a:b.opl"), "file:///srv/a%3Ab.opl");
    }
}
