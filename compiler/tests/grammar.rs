//! `spec/grammar.md` against the parser: every production has samples, and the parser agrees with each.

use opalc::source::Source;
use opalc::syntax::parse;
use std::collections::BTreeSet;
use std::path::Path;

fn spec() -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../spec/grammar.md")).expect("the grammar")
}

/// The fenced blocks whose fence says `info`.
fn blocks<'s>(spec: &'s str, info: &str) -> Vec<&'s str> {
    let mut inside = spec.split("\n```").skip(1).step_by(2);
    let mut found = Vec::new();
    for block in &mut inside {
        let (fence, text) = block.split_once('\n').expect("a fence and a text");
        if fence == info {
            found.push(text);
        }
    }
    found
}

fn productions(spec: &str) -> Vec<&str> {
    let lines = blocks(spec, "").into_iter().flat_map(str::lines);
    lines.filter(|line| !line.starts_with(' ')).filter_map(|line| line.split_once(" = ")).map(|(name, _)| name.trim()).collect()
}

/// Production, whether the sample is accepted, and the sample.
fn samples(spec: &str) -> Vec<(&str, bool, String)> {
    let lines = blocks(spec, "samples").into_iter().flat_map(str::lines);
    let sample = |line: &'_ str| -> (usize, bool) {
        let name = line.find(' ').expect("a name");
        let sign = name + line[name..].find(['+', '-']).expect("a sign");
        (sign, line.as_bytes()[sign] == b'+')
    };
    lines
        .map(|line| {
            let (sign, accepted) = sample(line);
            (line[..sign].trim(), accepted, format!("{}\n", line[sign + 1..].trim().replace(" ⏎ ", "\n")))
        })
        .collect()
}

#[test]
fn every_production_has_one_name_and_both_samples() {
    let spec = spec();
    let productions = productions(&spec);
    let names: BTreeSet<&str> = productions.iter().copied().collect();
    assert!(names.len() > 25 && names.len() == productions.len(), "{productions:?}");
    for accepted in [true, false] {
        let sampled: BTreeSet<&str> = samples(&spec).iter().filter(|sample| sample.1 == accepted).map(|sample| sample.0).collect();
        assert_eq!(sampled, names);
    }
}

#[test]
fn the_parser_agrees_with_every_sample() {
    for (production, accepted, text) in samples(&spec()) {
        let parsed = parse(&Source::new("sample.opl", text.as_str()));
        assert_eq!(!parsed.has_errors(), accepted, "{production}: {text}{:?}", parsed.diagnostics);
    }
}
