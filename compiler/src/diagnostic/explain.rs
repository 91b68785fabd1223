//! What `opalc explain` prints: the sections of `spec/diagnostics.md` and `spec/refusals.md`, which are written by hand and checked by tests, and
//! the rules that a plan file and its program must keep.

use std::sync::OnceLock;

/// The text that the sections about sources come from.
const DIAGNOSTICS: &str = include_str!("../../../spec/diagnostics.md");
/// The text that the sections about everything else come from.
const REFUSALS: &str = include_str!("../../../spec/refusals.md");
/// What there is to say about every rule of a plan file.
const RULE: &str =
    "The plan file breaks a rule that every file keeps which Opal wrote, so it is damaged or somebody else wrote it. It ends with 65,
and nothing was run. Take it again from where it was made, or make a new one: `opalc FILE.opl --resolve -o FILE.plan`.";

/// What there is to say about one code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The code, as messages show it.
    pub code: &'static str,
    /// One line about it.
    pub title: &'static str,
    /// Why, with the examples: Markdown.
    pub body: &'static str,
}

/// What an example shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It gives the code, and no other.
    Wrong,
    /// It gives no message.
    Right,
}

/// An example of a section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Example {
    /// `opal` for a source, `sh` for commands.
    pub language: &'static str,
    /// What it shows.
    pub verdict: Verdict,
    /// Its lines.
    pub text: &'static str,
}

/// Everything that can be explained: what messages about sources say, then refusals, then the rules of plan files.
pub fn explanations() -> impl Iterator<Item = Explanation> {
    sections(DIAGNOSTICS).chain(refusals())
}

/// What is not about a line of a source. It has no examples.
pub fn refusals() -> impl Iterator<Item = Explanation> {
    static RULES: OnceLock<Vec<(&str, String)>> = OnceLock::new();
    let rules = RULES.get_or_init(|| {
        let of_tables = opal_format::error::Rule::ALL.iter().map(|rule| (rule.code(), rule.to_string()));
        let of_programs = opal_core::program::verify::Rule::ALL.iter().map(|rule| (rule.code(), rule.message().to_owned()));
        // A code that a section has already is not explained twice.
        let known: Vec<&str> = sections(REFUSALS).map(|section| section.code).collect();
        of_tables.chain(of_programs).filter(|(code, _)| !known.contains(code)).collect()
    });
    sections(REFUSALS).chain(rules.iter().map(|(code, title)| Explanation { code, title, body: RULE }))
}

/// The sections of a file, in its order.
fn sections(text: &'static str) -> impl Iterator<Item = Explanation> {
    text.split("\n## ").skip(1).filter_map(|section| {
        // The heading of the next part stands at the end of the last section of a part.
        let section = section.split("\n# ").next().unwrap_or(section);
        let (head, body) = section.split_once('\n')?;
        // A code may hold a colon: `infra_missing:seed_keystore`.
        let (code, title) = head.split_once(": ")?;
        Some(Explanation { code, title, body: body.trim() })
    })
}

/// The section about `code`.
#[must_use]
pub fn explanation(code: &str) -> Option<Explanation> {
    explanations().find(|explanation| explanation.code == code)
}

impl Explanation {
    /// The text before the examples.
    #[must_use]
    pub fn prose(&self) -> &'static str {
        self.body.split("\n```").next().unwrap_or(self.body).trim_end()
    }

    /// The examples, in order.
    pub fn examples(&self) -> impl Iterator<Item = Example> + use<> {
        self.body.split("\n```").filter_map(|block| {
            let (info, text) = block.split_once('\n')?;
            let (language, verdict) = info.split_once(' ')?;
            let verdict = match verdict {
                "wrong" => Verdict::Wrong,
                "right" => Verdict::Right,
                _ => return None,
            };
            matches!(language, "opal" | "sh").then_some(Example { language, verdict, text })
        })
    }
}
