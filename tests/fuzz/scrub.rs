//! The streaming scrubber against one that is too simple to be wrong.

use super::Choices;
use opal_exec::listed::{digits, forms};
use opal_exec::scrub::{Scrubber, Secrets};
use std::cmp::Reverse;
use std::sync::Arc;

/// Every text of a secret that has no layout.
fn every(secret: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    forms(secret).into_iter().chain(digits(secret))
}

/// Scrubs a whole text: every occurrence of every form at every place, those that overlap as one, named by the first and longest of them.
#[must_use]
pub fn naive_scrub(secrets: &[(&[u8], &str)], text: &[u8]) -> Vec<u8> {
    let forms: Vec<(Vec<u8>, &str)> = secrets.iter().flat_map(|(secret, name)| every(secret).map(move |form| (form, *name))).collect();
    let mut occurrences = Vec::new();
    for at in 0..text.len() {
        let here = forms.iter().filter(|(form, _)| text[at..].starts_with(form));
        // The earlier of equal ones.
        occurrences.extend(here.map(|(form, name)| (at, at + form.len(), *name)).min_by_key(|(_, end, _)| Reverse(*end)));
    }
    let mut out = Vec::new();
    let (mut shown, mut covered) = (0, 0);
    for (start, end, name) in occurrences {
        if start >= covered {
            out.extend_from_slice(&text[shown.max(covered)..start]);
            out.extend_from_slice(name.as_bytes());
            shown = end;
        }
        covered = covered.max(end);
    }
    out.extend_from_slice(&text[covered..]);
    out
}

/// Bytes that secrets and text are made of: few, so that they overlap, and such that the encodings treat differently.
const BYTES: &[u8] = b"aaaab\"'\\ \n\r%/+<&$\xc3\xa9\xff\x01z";

fn text(choices: &mut Choices<'_>, length: usize) -> Vec<u8> {
    (0..length).map(|_| BYTES[choices.below(BYTES.len())]).collect()
}

/// Input: choices of up to five secrets, of a text made of them, their forms, parts of those and other bytes, and of the places where it is cut.
///
/// # Panics
/// Where the streaming scrubber differs from the naive one, or holds back what it need not.
pub fn scrub_stream(data: &[u8]) {
    let mut choices = Choices::new(data);
    let mut secrets: Vec<Vec<u8>> = Vec::new();
    for _ in 0..choices.below(6) {
        let length = match choices.below(16) {
            0 => 64 + choices.below(200),
            n => n,
        };
        let mut secret = match secrets.last() {
            // Begins like the one before, or as it ends.
            Some(last) if choices.below(3) == 0 => last[..choices.below(last.len() + 1)].to_vec(),
            Some(last) if choices.below(3) == 0 => last[choices.below(last.len() + 1)..].to_vec(),
            _ => Vec::new(),
        };
        secret.extend(text(&mut choices, length));
        secrets.push(secret);
    }
    let names: Vec<String> = (0..secrets.len()).map(|number| format!("<{number}>")).collect();
    let named: Vec<(&[u8], &str)> = secrets.iter().zip(&names).map(|(secret, name)| (secret.as_slice(), name.as_str())).collect();
    // The naive one knows no layout. Where digits are among the text, what is read in pieces is compared with what is read in one.
    let laid_out = choices.below(2) == 0;
    let any: Vec<Vec<u8>> = secrets.iter().flat_map(|secret| every(secret)).collect();
    let all: Vec<Vec<u8>> = if laid_out { any.clone() } else { secrets.iter().flat_map(|secret| forms(secret)).collect() };
    let mut whole = Vec::new();
    for _ in 0..1 + choices.below(12) {
        if all.is_empty() || choices.below(4) == 0 {
            let length = choices.below(20);
            whole.extend(text(&mut choices, length));
            continue;
        }
        let form = &all[choices.below(all.len())];
        let end = if choices.below(3) == 0 { choices.below(form.len() + 1) } else { form.len() };
        let row = if laid_out { 1 + choices.below(20) } else { end.max(1) };
        const BETWEEN: [&[u8]; 6] = [b"", b"\n", b" ", b"  ab\n0000010: ", b"\r\n  ", b":"];
        let between = if laid_out { BETWEEN[choices.below(BETWEEN.len())] } else { b"" };
        for row in form[..end].chunks(row) {
            whole.extend_from_slice(row);
            whole.extend_from_slice(between);
        }
    }
    let patterns = Arc::new(Secrets::default());
    patterns.add(named.iter().copied());
    let expected = patterns.scrub(&whole);
    if !laid_out {
        assert_eq!(expected, naive_scrub(&named, &whole), "in one piece");
    }
    let mut scrubber = Scrubber::new(patterns);
    let (mut out, mut at) = (Vec::new(), 0);
    while at < whole.len() {
        let end = (at + 1 + choices.below(24)).min(whole.len());
        scrubber.write(&whole[at..end], &mut out);
        at = end;
        // What is held back is the beginning of a form, and occurrences that overlap it; or its rest, where up to two digits of it ended a line.
        let held = scrubber.held();
        let line: Vec<u8> = whole[at.saturating_sub(held + 4)..at].iter().copied().filter(|byte| !b"\r\n".contains(byte)).collect();
        let begins = |text: &[u8]| any.iter().any(|form| form.len() > text.len() && form.starts_with(text));
        let begun = [&whole[at - held..at], &line].into_iter().any(|text| (0..text.len()).any(|from| begins(&text[from..])));
        assert!(held == 0 || begun || laid_out, "held back for nothing: {held} bytes");
        assert!(out.len() <= expected.len() && expected.starts_with(&out), "put out too early");
    }
    scrubber.finish(&mut out);
    assert_eq!(out, expected, "in pieces");
}
