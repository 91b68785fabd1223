//! What the compiler has to say about a source: data with spans, collected, sorted, and shown by one renderer.

mod code;
mod explain;
mod fix;
mod render;
mod sarif;
mod suggest;

pub use code::Code;
pub use explain::{Example, Explanation, Verdict, explanation, explanations, refusals};
pub use fix::{Applicability, Edit, Fix, apply, repair};
pub use render::{escape, render_human, render_json, render_line, to_json};
pub use sarif::to_sarif;
pub use suggest::nearest;

use crate::span::Span;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Severity {
    /// The source does not compile.
    Error,
    /// It compiles, but probably does not mean what was written.
    Warning,
}

impl Severity {
    /// `error` or `warning`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// A further place, with what it has to do with the message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// Where.
    pub span: Span,
    /// What is there.
    pub message: String,
}

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// The stable name of the cause.
    pub code: Code,
    /// How bad it is.
    pub severity: Severity,
    /// One cause, lower-case, names from the source in backticks.
    pub message: String,
    /// Where.
    pub span: Span,
    /// Further places.
    pub labels: Vec<Label>,
    /// What to do, fit to be pasted where possible.
    pub help: Option<String>,
    /// Background.
    pub notes: Vec<String>,
    /// Changes of the source, each of which takes this message away.
    pub fixes: Vec<Fix>,
}

impl Diagnostic {
    /// A message with the severity of its code.
    #[must_use]
    pub fn new(code: Code, span: Span, message: impl Into<String>) -> Self {
        Self {
            code,
            severity: code.severity(),
            message: message.into(),
            span,
            labels: Vec::new(),
            help: None,
            notes: Vec::new(),
            fixes: Vec::new(),
        }
    }

    /// With what to do about it.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// With a further place.
    #[must_use]
    pub fn with_label(mut self, span: Span, message: impl Into<String>) -> Self {
        self.labels.push(Label { span, message: message.into() });
        self
    }

    /// With background.
    #[must_use]
    pub fn with_note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    /// With a change that takes it away.
    #[must_use]
    pub fn with_fix(mut self, fix: Fix) -> Self {
        self.fixes.push(fix);
        self
    }

    /// With what probably was meant in place of what stands at `span`; `shown` is how a reader knows it.
    #[must_use]
    pub fn with_meant(self, shown: &str, span: Span, text: impl Into<String>) -> Self {
        self.with_help(format!("did you mean `{shown}`?")).with_fix(Fix::maybe(format!("write `{shown}`"), span, text))
    }

    /// Whether it keeps the source from compiling.
    #[must_use]
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

/// Sorts by position (errors before warnings at the same place) and drops exact repetitions.
pub fn sort(diagnostics: &mut Vec<Diagnostic>) {
    diagnostics.sort_by(|a, b| {
        let key = |d: &Diagnostic| (d.span.start, d.span.end, !d.is_error(), d.code);
        key(a).cmp(&key(b)).then_with(|| a.message.cmp(&b.message))
    });
    diagnostics.dedup();
}
