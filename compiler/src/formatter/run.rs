//! Runs of Opal tokens: expressions, arguments, parameters, patterns, loop heads. Line breaks inside brackets and after
//! operators stay where they were written; what stands between two tokens of one line is decided by their kinds.

use std::borrow::Cow;

use super::{
    older::{Text, is_word_byte},
    output::Output,
};

/// Where a run ends.
#[derive(Clone, Copy)]
pub(super) enum Stop {
    /// At this offset.
    At(usize),
    /// After the bracket that closes the first one.
    Close,
    /// Before the `->` outside brackets.
    Arrow,
}

/// What surrounds a run.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    Expression,
    /// `( … )` of a `fun`: defaults have blanks around their `=`.
    Parameters,
    /// `for x in xs, y in ys`
    Axes,
    /// `( … )` behind a name that is printed already.
    Arguments,
    /// The options behind a rewritten name; their `(` is not in the source.
    Options,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bracket {
    /// `( … )` behind a name, `[ … ]` behind a value.
    Attached,
    Parameters,
    Group,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Atom,
    /// `.field`, `.0`, `.*`: stands right behind what it is taken from.
    Segment,
    Open(Bracket),
    Close,
    /// `,` and `:`
    Mark,
    /// `=` of a named argument.
    Named,
    /// `=` with blanks around it.
    Equal,
    Unary,
    Binary,
    /// `...`
    Range,
    Comment,
}

struct Piece<'a> {
    kind: Kind,
    text: Cow<'a, str>,
    /// Where it starts in the source.
    start: usize,
    /// Line ends before it.
    lines: usize,
    /// The last of them is escaped.
    escaped: bool,
}

struct Lexer<'a> {
    text: Text<'a>,
    at: usize,
    style: Style,
    pieces: Vec<Piece<'a>>,
    brackets: Vec<Bracket>,
    /// Names read since the last comma, outside brackets (for the `in` of loops).
    names: usize,
    /// Just after the last piece.
    last_end: usize,
}

impl<'a> Lexer<'a> {
    fn prev(&self) -> Option<Kind> {
        self.pieces.iter().rev().map(|piece| piece.kind).find(|kind| *kind != Kind::Comment)
    }

    fn push(&mut self, kind: Kind, text: impl Into<Cow<'a, str>>, start: usize, end: usize) {
        let gap = self.text.slice(self.last_end, start);
        let lines = if self.pieces.is_empty() { 0 } else { gap.matches('\n').count() };
        let escaped = gap.contains('\\');
        self.pieces.push(Piece { kind, text: text.into(), start, lines, escaped });
        self.at = end;
        self.last_end = end;
    }

    fn read(&mut self, stop: Stop) {
        loop {
            self.at = self.text.skip_white(self.at);
            let Some(byte) = self.text.byte(self.at) else { return };
            match stop {
                Stop::At(end) if self.at >= end => return,
                Stop::Arrow if self.brackets.is_empty() && self.text.starts_with(self.at, "->") => return,
                _ => {}
            }
            if let Some(comment) = self.text.comment_at(self.at) {
                let (start, end) = (comment.start as usize, comment.end as usize);
                self.push(Kind::Comment, self.text.slice(start, end).trim_end(), start, end);
                continue;
            }
            self.piece(byte);
            if matches!(stop, Stop::Close) && self.brackets.is_empty() && self.prev() == Some(Kind::Close) {
                return;
            }
        }
    }

    /// One piece at `at`, which is neither white space nor a comment.
    fn piece(&mut self, byte: u8) {
        let start = self.at;
        let adjacent = start == self.last_end;
        let follows_value = matches!(self.prev(), Some(Kind::Atom | Kind::Segment | Kind::Close));
        let next = self.text.byte(start + 1);
        match byte {
            b'@' => self.reference(),
            b'"' | b'\'' => self.string(start),
            b'r' if next == Some(b'"') => self.string(start + 1),
            b'.' if next == Some(b'.') => {
                let end = start + if self.text.starts_with(start, "...") { 3 } else { 2 };
                self.push(Kind::Range, "...", start, end);
            }
            b'.' if adjacent => self.segment(),
            b'(' | b'[' | b'{' => {
                let bracket = match byte {
                    b'(' if self.style == Style::Parameters && self.pieces.is_empty() => Bracket::Parameters,
                    b'(' if self.style == Style::Arguments && self.pieces.is_empty() => Bracket::Attached,
                    b'(' if follows_value => Bracket::Attached,
                    b'[' if follows_value && adjacent => Bracket::Attached,
                    _ => Bracket::Group,
                };
                self.brackets.push(bracket);
                self.push(Kind::Open(bracket), self.text.slice(start, start + 1), start, start + 1);
            }
            b')' | b']' | b'}' => {
                self.brackets.pop();
                self.push(Kind::Close, self.text.slice(start, start + 1), start, start + 1);
            }
            b',' | b':' => {
                if self.brackets.is_empty() {
                    self.names = 0;
                }
                self.push(Kind::Mark, self.text.slice(start, start + 1), start, start + 1);
            }
            _ if is_word_byte(byte) => self.word(),
            _ => self.operator(follows_value),
        }
    }

    fn word_end(&self, start: usize) -> usize {
        let rest = self.text.text.as_bytes().get(start..).unwrap_or(&[]);
        start + rest.iter().position(|byte| !is_word_byte(*byte)).unwrap_or(rest.len())
    }

    fn word(&mut self) {
        let start = self.at;
        let mut end = self.word_end(start);
        let number = self.text.byte(start).is_some_and(|byte| byte.is_ascii_digit());
        if number && self.text.byte(end) == Some(b'.') && self.text.byte(end + 1).is_some_and(|byte| byte.is_ascii_digit()) {
            end = self.word_end(end + 1);
        }
        let outside = self.brackets.is_empty();
        self.names += usize::from(outside);
        let keyword = self.style == Style::Axes && outside && self.names == 2;
        self.push(if keyword { Kind::Binary } else { Kind::Atom }, self.text.slice(start, end), start, end);
    }

    /// `.field`, `.0`, `.*`, and the `.` of `.[0]`.
    fn segment(&mut self) {
        let start = self.at;
        let end = match self.text.byte(start + 1) {
            Some(b'*') => start + 2,
            _ => self.word_end(start + 1),
        };
        self.push(Kind::Segment, self.text.slice(start, end), start, end);
    }

    /// A string or regular expression whose opening quote is at `quote`.
    fn string(&mut self, quote: usize) {
        let start = self.at;
        let mark = self.text.byte(quote);
        let mut at = quote + 1;
        loop {
            match self.text.byte(at) {
                None => break,
                Some(b'\\') if mark == Some(b'"') => at += 2,
                // The quotes in its options do not close the string.
                Some(b'@') if mark == Some(b'"') => at = self.text.reference_end(at).unwrap_or(at + 1),
                byte if byte == mark => {
                    at += 1;
                    break;
                }
                Some(_) => at += 1,
            }
        }
        self.push(Kind::Atom, self.text.rewritten(start, at), start, at);
    }

    /// `@name`, `@{name` or an older reference.
    fn reference(&mut self) {
        let start = self.at;
        if let Some(dotted) = self.text.dotted(start) {
            let braced = self.text.byte(start + 1) == Some(b'{');
            if braced {
                self.brackets.push(Bracket::Attached);
            }
            let end = dotted.options.unwrap_or(dotted.after);
            self.push(Kind::Atom, dotted.head, start, end);
            if dotted.options.is_some() {
                self.brackets.push(Bracket::Attached);
                self.push(Kind::Open(Bracket::Attached), "(", end, end);
            }
            return;
        }
        let name = start + 1 + usize::from(self.text.byte(start + 1) == Some(b'{'));
        if name > start + 1 {
            self.brackets.push(Bracket::Attached);
        }
        let end = self.word_end(name);
        self.push(Kind::Atom, self.text.slice(start, end), start, end);
    }

    fn operator(&mut self, follows_value: bool) {
        let start = self.at;
        let two = ["==", "!=", "<=", ">=", "&&", "||"].iter().any(|symbol| self.text.starts_with(start, symbol));
        let length = match (two, self.text.text.get(start..).and_then(|rest| rest.chars().next())) {
            (true, _) => 2,
            (false, character) => character.map_or(1, char::len_utf8),
        };
        let text = self.text.slice(start, start + length);
        let kind = match text {
            "=" if self.brackets.last() == Some(&Bracket::Attached) => Kind::Named,
            "=" => Kind::Equal,
            "!" => Kind::Unary,
            "-" if !follows_value => Kind::Unary,
            _ => Kind::Binary,
        };
        self.push(kind, text, start, start + length);
    }
}

/// Lays out the run at `start` and says where it ends in the source.
pub(super) fn print(text: Text<'_>, start: usize, stop: Stop, style: Style, out: &mut Output) -> usize {
    let mut lexer = Lexer { text, at: start, style, pieces: Vec::new(), brackets: Vec::new(), names: 0, last_end: start };
    if style == Style::Options {
        lexer.brackets.push(Bracket::Attached);
        lexer.push(Kind::Open(Bracket::Attached), "(", start, start);
    }
    lexer.read(stop);
    let end = lexer.last_end;
    lay_out(text, &lexer.pieces, out);
    end
}

fn lay_out(text: Text<'_>, pieces: &[Piece<'_>], out: &mut Output) {
    let base = out.line_indent();
    // For each open bracket, the indentation of the line that it stands in.
    let mut open: Vec<usize> = Vec::new();
    let mut prev: Option<&Piece<'_>> = None;
    for piece in pieces {
        let outside = open.is_empty();
        let before = if piece.kind == Kind::Close { open.pop() } else { None };
        let after_comment = prev.is_some_and(|prev| prev.kind == Kind::Comment);
        if prev.is_some() && (piece.lines > 0 || after_comment) {
            let between = piece.kind != Kind::Close && !prev.is_some_and(|prev| matches!(prev.kind, Kind::Open(_)));
            if piece.escaped {
                out.push(" \\");
            } else if piece.lines > 1 && between && !outside {
                out.want_blank();
            }
            out.line(before.unwrap_or_else(|| open.last().copied().unwrap_or(base) + 1));
            out.push(&piece.text);
        } else if piece.kind == Kind::Comment {
            out.trailing(&piece.text, column(text, piece.start));
        } else {
            if prev.is_some_and(|prev| is_spaced(prev, piece)) {
                out.push(" ");
            }
            out.push(&piece.text);
        }
        // `@{` is one piece with the name behind it.
        if matches!(piece.kind, Kind::Open(_)) || (piece.kind == Kind::Atom && piece.text.starts_with("@{")) {
            open.push(out.line_indent());
        }
        prev = Some(piece);
    }
}

/// The column of `at`, in characters.
pub(super) fn column(text: Text<'_>, at: usize) -> usize {
    text.slice(0, at).chars().rev().take_while(|character| *character != '\n').count()
}

fn is_spaced(prev: &Piece<'_>, next: &Piece<'_>) -> bool {
    match (prev.kind, next.kind) {
        (Kind::Open(_) | Kind::Named | Kind::Range, _) => false,
        (_, Kind::Close | Kind::Mark | Kind::Segment | Kind::Named | Kind::Range | Kind::Open(Bracket::Attached)) => false,
        // `--` would be another symbol.
        (Kind::Unary, Kind::Unary) => prev.text == "-" && next.text == "-",
        (Kind::Unary | Kind::Segment, Kind::Atom | Kind::Open(_)) => prev.kind == Kind::Segment,
        _ => true,
    }
}
