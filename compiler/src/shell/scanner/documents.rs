//! Here-documents: where their bodies start and end.

use crate::diagnostic::Code;

use super::{
    super::command::{Level, Pending},
    Body, Scanner,
};

impl Scanner<'_, '_> {
    /// Reads the body of the first waiting here-document; `at` is its line end.
    pub(super) fn start_body(&mut self) {
        let Some(pending) = self.pending.pop_front() else { return };
        let limit = self.limit();
        let Some((body_end, resume)) = self.find_delimiter(self.at + 1, limit, &pending) else {
            self.unclosed_here_document(&pending);
            return;
        };
        self.at += 1;
        let body = self.reader.slice(self.at, body_end).to_owned();
        self.flow.texts.push(if pending.expands { body.replace("\\$", "$").replace("\\`", "`") } else { body });
        if pending.expands {
            self.levels.push((Level::HereDocument, self.at));
            let reach = self.reach();
            self.bodies.push(Body { end: body_end, resume, levels: self.levels.len(), reach });
        } else {
            self.at = resume;
        }
        self.content_end = self.end_of_closing_line(resume);
        self.mark = self.at;
    }

    pub(super) fn end_body(&mut self) {
        let Some(body) = self.bodies.pop() else { return };
        if self.levels.len() > body.levels && !self.failed {
            let start = self.levels.last().map_or(self.at, |(_, start)| *start);
            let span = self.reader.span(start, start + 1);
            let message = "this is not closed inside its here-document";
            let help = "close it before the closing line, or write `\\` before it if it is text";
            self.reader.error_help(Code::UnclosedShell, span, message, help);
            self.failed = true;
        }
        let end = self.reach();
        self.inputs.push(body.reach.to(&end));
        self.levels.truncate(body.levels.saturating_sub(1).max(1));
        self.at = body.resume;
        // A `)` in the body may have moved it back.
        self.content_end = self.content_end.max(self.end_of_closing_line(body.resume));
        self.mark = self.at;
    }

    pub(super) fn end_of_closing_line(&self, end: usize) -> usize {
        let before = end.checked_sub(1).filter(|before| self.reader.byte(*before) == Some(b'\r'));
        before.unwrap_or(end)
    }

    /// Where the body that starts at `from` ends, and where its closing line ends. In a body that the shell expands, a line that ends with `\`
    /// goes on in the next, before the shell looks for the delimiter.
    pub(super) fn find_delimiter(&self, from: usize, limit: usize, pending: &Pending) -> Option<(usize, usize)> {
        let mut at = from;
        while at < limit {
            let start = at;
            let mut joined: Option<String> = None;
            let (line, line_end) = loop {
                let line_end = self.reader.line_end(at).min(limit);
                let line = self.reader.slice(at, line_end);
                let line = line.strip_suffix('\r').unwrap_or(line);
                at = line_end + 1;
                let escapes = line.bytes().rev().take_while(|byte| *byte == b'\\').count();
                let continues = pending.expands && escapes % 2 == 1 && line_end < limit;
                match (&mut joined, line.strip_suffix('\\').filter(|_| continues)) {
                    (Some(joined), Some(part)) => joined.push_str(part),
                    (None, Some(part)) => joined = Some(part.to_owned()),
                    (Some(joined), None) => joined.push_str(line),
                    (None, None) => break (line, line_end),
                }
                if !continues {
                    break (joined.as_deref().unwrap_or(line), line_end);
                }
            };
            let line = if pending.strip_tabs { line.trim_start_matches('\t') } else { line };
            if line == pending.delimiter {
                return Some((start, line_end));
            }
        }
        None
    }

    pub(super) fn unclosed_here_document(&mut self, pending: &Pending) {
        if !self.failed {
            let span = self.reader.span(pending.start, pending.start + 2);
            let message = format!("this here-document has no closing line `{}`", pending.delimiter);
            let help = format!("add a line that holds only `{}`, without blanks before it", pending.delimiter);
            self.reader.error_help(Code::UnclosedHereDocument, span, message, help);
        }
        self.give_up();
    }
}
