//! The text that comes out, line by line.

/// How far a comment stands from the code before it.
const COMMENT_GAP: &str = "  ";

/// A comment behind code.
struct Trailing {
    /// Where the code before it ends.
    at: usize,
    /// Its column in the source, in characters.
    column: usize,
}

pub(super) struct Output {
    text: String,
    /// How deep the current line is indented.
    line_indent: usize,
    /// A blank line was written before what comes next.
    blank: bool,
    /// Nothing stands in the block yet.
    fresh: bool,
    trailing: Vec<Trailing>,
}

impl Output {
    pub(super) fn new(prefix: &str) -> Self {
        Self { text: prefix.to_owned(), line_indent: 0, blank: false, fresh: true, trailing: Vec::new() }
    }

    pub(super) fn push(&mut self, text: &str) {
        self.text.push_str(text);
        self.fresh = false;
    }

    /// Opens a block: a blank line cannot follow.
    pub(super) fn open(&mut self, text: &str) {
        self.push(text);
        self.fresh = true;
    }

    /// Keeps a blank line before the next line, if the block has begun.
    pub(super) fn want_blank(&mut self) {
        self.blank = true;
    }

    pub(super) fn line_indent(&self) -> usize {
        self.line_indent
    }

    /// Whether something stands on the current line.
    pub(super) fn in_line(&self) -> bool {
        !self.at_start() && !self.text.ends_with('\n')
    }

    fn at_start(&self) -> bool {
        self.text.is_empty() || self.text == "\u{feff}"
    }

    /// Starts a line.
    pub(super) fn line(&mut self, indent: usize) {
        if !self.at_start() {
            self.keep_carriage_return();
            self.text.push('\n');
            if self.blank && !self.fresh {
                self.text.push('\n');
            }
        }
        self.blank = false;
        self.fresh = false;
        self.line_indent = indent;
        self.text.extend(std::iter::repeat_n("    ", indent));
    }

    /// Of several carriage returns before a line end the last is no part of shell text, so one that is needs another.
    fn keep_carriage_return(&mut self) {
        if self.text.ends_with('\r') {
            self.text.push('\r');
        }
    }

    /// Starts a line, without a blank one before it.
    pub(super) fn close_line(&mut self, indent: usize) {
        self.blank = false;
        self.line(indent);
    }

    /// A comment behind code on the same line; `column` is where it stood in the source.
    pub(super) fn trailing(&mut self, comment: &str, column: usize) {
        self.trailing.push(Trailing { at: self.text.len(), column });
        self.text.push_str(COMMENT_GAP);
        self.text.push_str(comment);
    }

    /// The whole text. Comments that stood one below the other behind consecutive lines still do. A `\` that was the
    /// last byte of the source stays the last, since before a line end it would mean something else.
    pub(super) fn finish(mut self, ended: bool) -> String {
        self.keep_carriage_return();
        let mut out = String::with_capacity(self.text.len() + 1);
        let mut copied = 0;
        let mut rest = self.trailing.as_slice();
        while let Some(first) = rest.first() {
            let pairs = rest.iter().zip(rest.iter().skip(1));
            let together = pairs.take_while(|(one, two)| two.column == first.column && self.is_next_line(one.at, two.at)).count();
            let (group, after) = rest.split_at(together + 1);
            rest = after;
            let width = group.iter().map(|comment| self.width(comment.at)).max().unwrap_or(0);
            for comment in group {
                out.push_str(self.text.get(copied..comment.at).unwrap_or(""));
                out.extend(std::iter::repeat_n(' ', width - self.width(comment.at)));
                copied = comment.at;
            }
        }
        out.push_str(self.text.get(copied..).unwrap_or(""));
        let escapes = !ended && self.text.bytes().rev().take_while(|byte| *byte == b'\\').count() % 2 == 1;
        if self.in_line() && !escapes {
            out.push('\n');
        }
        out
    }

    fn is_next_line(&self, one: usize, two: usize) -> bool {
        self.text.get(one..two).is_some_and(|between| between.matches('\n').take(2).count() == 1)
    }

    /// Characters before `at` on its line.
    fn width(&self, at: usize) -> usize {
        let before = self.text.get(..at).unwrap_or("");
        before.chars().rev().take_while(|character| *character != '\n').count()
    }
}
