//! One layout for every source: `opalc fmt`.
//!
//! The layout is laid over the bytes that were read, not printed from the tree: names, numbers, strings, comments and
//! shell text are copied, and only what stands between them is chosen anew. Shell text keeps every byte that bash is
//! given: its line continuations and here-documents stay where they are, and only a carriage return before a line end,
//! which is no part of shell text, goes. Older spellings become the dotted ones.
//!
//! INVARIANT: what is returned reads as the same tree with the same comments. It is read again to make sure.
//!
//! Tests: `compiler/tests/formatter.rs`.

mod older;
mod output;
mod printer;
mod run;
mod walk;

use crate::{
    ast::{Comment, File, Reference},
    diagnostic::Diagnostic,
    source::Source,
    syntax::parse,
};

use self::walk::{Visit, visit_file};

/// Why a source is left as it is.
#[derive(Debug, thiserror::Error)]
pub enum FormatError {
    /// The source does not parse.
    #[error("the source cannot be read")]
    Source(Vec<Diagnostic>),
    /// What came out would not mean the same. Never expected.
    #[error("the layout would change what the source means")]
    Changed,
}

/// The source in the one layout: four spaces for each block, one statement a line, at most one blank line in a row, `\n`
/// at every line end.
///
/// # Errors
/// The source's errors and warnings if it does not parse.
pub fn format(source: &Source) -> Result<String, FormatError> {
    let mut parsed = parse(source);
    if parsed.has_errors() {
        return Err(FormatError::Source(parsed.diagnostics));
    }
    let mut references = Vec::new();
    visit_file(&mut parsed.file, &mut |visit| {
        if let Visit::Reference(reference) = visit {
            references.push((reference.span, reference.older.then(|| reference.clone())));
        }
    });
    references.sort_by_key(|(span, _)| span.start);
    let text = printer::print(source.text(), &parsed.file, &references);
    let formatted = Source::new(source.name(), text.as_str());
    let again = parse(&formatted);
    let same = !again.has_errors()
        && same_comments((source, &parsed.file.comments), (&formatted, &again.file.comments))
        && without_places(parsed.file) == without_places(again.file);
    if same { Ok(text) } else { Err(FormatError::Changed) }
}

fn same_comments(before: (&Source, &[Comment]), after: (&Source, &[Comment])) -> bool {
    let texts = |(source, comments): (&Source, &[Comment])| -> Vec<String> {
        comments.iter().map(|comment| source.slice(comment.span).trim_end().to_owned()).collect()
    };
    texts(before) == texts(after)
}

/// The tree without its positions and with dotted spellings: two sources with the same one mean the same.
#[must_use]
pub fn without_places(mut file: File) -> File {
    file.comments.clear();
    visit_file(&mut file, &mut |visit| match visit {
        Visit::Span(span) => *span = crate::span::Span::default(),
        Visit::Reference(reference) => spell_dotted(reference),
    });
    file
}

fn spell_dotted(reference: &mut Reference) {
    reference.older = false;
    // `()` does nothing but end a reference, and what is taken from a variable may stand on either side of it.
    reference.options.take_if(|options| options.items.is_empty());
    if reference.options.is_none() && reference.namespace.name == "var" {
        reference.path.append(&mut reference.tail);
    }
}
