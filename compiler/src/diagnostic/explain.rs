//! What `opalc explain` prints: the sections of `spec/diagnostics.md`, which is written by hand and checked by tests.

/// The text that the sections come from.
const TEXT: &str = include_str!("../../../spec/diagnostics.md");

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

/// Every section, in the order of the file.
pub fn explanations() -> impl Iterator<Item = Explanation> {
    TEXT.split("\n## ").skip(1).filter_map(|section| {
        // The heading of the next part stands at the end of the last section of a part.
        let section = section.split("\n# ").next().unwrap_or(section);
        let (head, body) = section.split_once('\n')?;
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
