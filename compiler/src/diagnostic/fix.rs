//! Changes of a source that take a message away: what editors offer, and what `opalc check --fix` does.

use super::Diagnostic;
use crate::source::Source;
use crate::span::Span;
use std::collections::BTreeMap;

/// Who may make a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applicability {
    /// A program may, unasked: the source then means what it meant, or, where it did not compile, the only thing that it can have meant.
    Machine,
    /// A person decides: it is probably what was meant.
    Maybe,
}

impl Applicability {
    /// `machine` or `maybe`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Machine => "machine",
            Self::Maybe => "maybe",
        }
    }
}

/// One place with what shall stand there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    /// What is taken away; empty where something is only inserted.
    pub span: Span,
    /// What is put there.
    pub text: String,
}

/// Edits that belong together: all of them or none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fix {
    /// What it does, as a command to whoever reads it.
    pub title: String,
    /// Who may do it.
    pub applicability: Applicability,
    /// At least one; none overlaps another.
    pub edits: Vec<Edit>,
}

impl Fix {
    /// One that a program may make unasked: `text` at `span`.
    #[must_use]
    pub fn machine(title: impl Into<String>, span: Span, text: impl Into<String>) -> Self {
        Self { title: title.into(), applicability: Applicability::Machine, edits: vec![Edit { span, text: text.into() }] }
    }

    /// One that a person decides on: `text` at `span`.
    #[must_use]
    pub fn maybe(title: impl Into<String>, span: Span, text: impl Into<String>) -> Self {
        Self { title: title.into(), applicability: Applicability::Maybe, edits: vec![Edit { span, text: text.into() }] }
    }

    /// With a further edit.
    #[must_use]
    pub fn and(mut self, span: Span, text: impl Into<String>) -> Self {
        self.edits.push(Edit { span, text: text.into() });
        self
    }
}

/// The text of a source after these fixes, and how many of them were made: of two that overlap, the first one.
#[must_use]
pub fn apply<'f>(source: &Source, fixes: impl IntoIterator<Item = &'f Fix>) -> (String, usize) {
    // What was accepted is disjoint, so only its neighbours can overlap a further edit.
    let mut made: BTreeMap<Span, &str> = BTreeMap::new();
    let mut count = 0;
    for fix in fixes {
        if fix.edits.iter().all(|edit| is_free(&made, edit.span)) {
            made.extend(fix.edits.iter().map(|edit| (edit.span, edit.text.as_str())));
            count += 1;
        }
    }
    let mut text = String::with_capacity(source.text().len());
    let mut from = 0;
    for (span, new) in made {
        text.push_str(source.slice(Span { start: from, end: span.start }));
        text.push_str(new);
        from = span.end;
    }
    text.push_str(source.slice(Span::new(from as usize, source.text().len())));
    (text, count)
}

/// Whether nothing was changed at `span` yet. Two insertions at one place are not apart: which comes first would matter.
fn is_free(made: &BTreeMap<Span, &str>, span: Span) -> bool {
    let before = made.range(..=span).next_back().is_none_or(|(other, _)| *other != span && other.end <= span.start);
    let after = made.range(span..).next().is_none_or(|(other, _)| span.end <= other.start);
    before && after
}

/// A source after what a program may do unasked, repeated until there is nothing left to do; and how many fixes that were. `look` finds the messages.
///
/// What would leave more errors than there were is not done.
#[must_use]
pub fn repair(source: &Source, look: impl Fn(&Source) -> Vec<Diagnostic>) -> (Source, Vec<Diagnostic>, usize) {
    let mut best = (source.clone(), look(source), 0);
    for _ in 0..ROUNDS_MAX {
        let machine = best.1.iter().flat_map(|diagnostic| &diagnostic.fixes).filter(|fix| fix.applicability == Applicability::Machine);
        let (text, made) = apply(&best.0, machine);
        if made == 0 {
            break;
        }
        let next = Source::new(source.name(), text);
        let found = look(&next);
        if errors(&found) > errors(&best.1) {
            break;
        }
        best = (next, found, best.2 + made);
    }
    best
}

/// A fix may show what another one is needed for. In the end one pass finds nothing more.
const ROUNDS_MAX: usize = 16;

fn errors(diagnostics: &[Diagnostic]) -> usize {
    diagnostics.iter().filter(|diagnostic| diagnostic.is_error()).count()
}

#[cfg(test)]
mod tests {
    use super::{Fix, apply};
    use crate::source::Source;
    use crate::span::Span;

    fn applied(fixes: &[Fix]) -> (String, usize) {
        apply(&Source::new("a.opl", "one two three\n"), fixes)
    }

    #[test]
    fn fixes_are_made_as_a_whole_and_the_first_of_two_that_overlap() {
        let one = Fix::maybe("a", Span::new(0, 3), "1");
        let two = Fix::machine("b", Span::new(4, 7), "2").and(Span::new(13, 13), "!");
        let both = Fix::maybe("c", Span::new(8, 13), "3").and(Span::new(2, 5), "-");
        assert_eq!(applied(&[one.clone(), two.clone(), both.clone()]), ("1 2 three!\n".to_owned(), 2));
        assert_eq!(applied(&[both, two, one]), ("on-wo 3\n".to_owned(), 1));
        assert_eq!(applied(&[]), ("one two three\n".to_owned(), 0));
    }

    #[test]
    fn of_two_insertions_at_one_place_one_is_made() {
        let here = |text: &str| Fix::maybe("insert", Span::at(3), text);
        assert_eq!(applied(&[here("A"), here("B")]), ("oneA two three\n".to_owned(), 1));
    }
}
