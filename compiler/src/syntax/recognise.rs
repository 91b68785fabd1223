//! What a line is, by its form alone. No name is looked up here.

use super::reader::{Reader, is_word_byte};

/// What stands at the start of a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Fun,
    Var,
    If,
    For,
    When,
    While,
    Try,
    /// `else`, `catch`, `finally` on their own.
    Clause,
    /// `then`, `fi`, `do`, `done`, `esac`, `elif` at the start of a line.
    ShellKeyword,
    /// `function name`
    ShellFunction,
    /// `name:`
    Definition,
    /// `name = e`, `name += e`, `name++`
    Assignment,
    /// Operands and operators, most often one shell command.
    Line,
}

impl Reader<'_> {
    /// The form of what starts at `at`, which is no blank.
    pub(super) fn form(&self, at: usize) -> Form {
        let end = self.identifier_end(at);
        if end == at {
            return Form::Line;
        }
        let next = self.byte(end);
        let blank = matches!(next, Some(b' ' | b'\t'));
        let ends = matches!(next, None | Some(b' ' | b'\t' | b'\r' | b'\n' | b';'));
        let keyword = match self.slice(at, end) {
            "fun" if blank => Some(Form::Fun),
            "var" if blank || next == Some(b'(') => Some(Form::Var),
            "if" if blank || next == Some(b'(') => Some(Form::If),
            "for" if blank || next == Some(b'(') => Some(Form::For),
            "when" if blank || next == Some(b'(') => Some(Form::When),
            "while" if blank || next == Some(b'(') => Some(Form::While),
            "try" if self.byte(self.skip_blanks(end)) == Some(b'{') => Some(Form::Try),
            "else" | "catch" | "finally" if self.clause_follows(end) => Some(Form::Clause),
            "then" | "fi" | "do" | "done" | "esac" | "elif" if ends => Some(Form::ShellKeyword),
            "function" if blank => Some(Form::ShellFunction),
            _ => None,
        };
        // `if = 3` is an assignment to a badly chosen name; the grammar of `if` would only confuse.
        if let Some(form) = keyword {
            return form;
        }
        if self.is_assignment(end) {
            return Form::Assignment;
        }
        if self.is_definition(at) { Form::Definition } else { Form::Line }
    }

    fn clause_follows(&self, end: usize) -> bool {
        let next = self.skip_blanks(end);
        self.byte(next) == Some(b'{') || (self.starts_with(next, "if ") && next > end)
    }

    /// `name:` and white space, `{` or a line end.
    fn is_definition(&self, at: usize) -> bool {
        let end = self.command_name_end(at);
        self.byte(end) == Some(b':') && matches!(self.byte(end + 1), None | Some(b' ' | b'\t' | b'\r' | b'\n' | b'{'))
    }

    /// What follows a name at `end` makes it an assignment.
    fn is_assignment(&self, end: usize) -> bool {
        let operator = self.skip_blanks(end);
        if operator == end {
            let step = self.starts_with(end, "++") || self.starts_with(end, "--");
            return step && self.ends_statement(end + 2);
        }
        let length = match (self.byte(operator), self.byte(operator + 1)) {
            (Some(b'='), _) => 1,
            (Some(b'+' | b'-' | b'*' | b'/' | b'%'), Some(b'=')) => 2,
            _ => return false,
        };
        matches!(self.byte(operator + length), None | Some(b' ' | b'\t' | b'\r' | b'\n'))
    }

    /// The first `}` that closes a block opened before `at`, if this line ends with a `}`: where reading goes on after a mistake.
    pub(super) fn closing_brace(&self, at: usize) -> Option<usize> {
        let rest = self.slice(at, self.line_end(at)).trim_end();
        let mut open = 0usize;
        for (index, byte) in rest.bytes().enumerate().filter(|_| rest.ends_with('}')) {
            match byte {
                b'{' => open += 1,
                b'}' if open == 0 => return Some(at + index),
                b'}' => open -= 1,
                _ => {}
            }
        }
        None
    }

    /// Whether a statement may end at `at`.
    pub(super) fn ends_statement(&self, at: usize) -> bool {
        let next = self.skip_blanks(at);
        match self.byte(next) {
            None | Some(b'\n' | b';' | b'}') => true,
            _ => next > at && self.at_comment(next),
        }
    }

    /// Whether a statement that is no operand (`if`, `x = 1`, …) starts at `at`.
    pub(super) fn at_other_statement(&self, at: usize) -> bool {
        self.form(at) != Form::Line
    }

    /// Whether an Opal construct that can be an operand starts at `at`.
    pub(crate) fn at_opal_operand(&self, at: usize) -> bool {
        if self.byte(at) == Some(b'@') {
            let end = self.decorator_name_end(at);
            if self.at_command_call(at) {
                return true;
            }
            if end == at || self.is_reference(at) {
                return false;
            }
            return self.byte(end) == Some(b'(') || self.byte(self.skip_blanks(end)) == Some(b'{');
        }
        let end = self.identifier_end(at);
        let keyword = matches!(self.slice(at, end), "if" | "for" | "when" | "while" | "case" | "until" | "select");
        end > at && !keyword && self.byte(end) == Some(b'(')
    }

    /// As [`Self::at_opal_operand`], where a statement starts: a decorator may stand without arguments and block.
    pub(super) fn at_opal_statement(&self, at: usize) -> bool {
        let end = self.decorator_name_end(at);
        let plain = end > at && !self.is_reference(at) && self.ends_word(end);
        plain || self.at_opal_operand(at) || self.at_provider_block(at, end)
    }

    /// `@aws.name(…) {`: what a provider offers, used as an execution decorator. A value cannot be a whole command and open a block.
    fn at_provider_block(&self, at: usize, end: usize) -> bool {
        let provider = ["@aws.", "@http.", "@k8s."].iter().any(|name| self.starts_with(at, name));
        if !provider || !matches!(self.byte(end), Some(b'(' | b' ' | b'{')) {
            return false;
        }
        let line = self.slice(end, self.line_end(end)).trim_end();
        line.ends_with('{') || line.ends_with('(')
    }

    fn ends_word(&self, at: usize) -> bool {
        matches!(self.byte(at), None | Some(b' ' | b'\t' | b'\r' | b'\n' | b'{' | b';' | b'}'))
    }

    /// `@cmd.name` or the older `@cmd(name)`.
    pub(super) fn at_command_call(&self, at: usize) -> bool {
        self.starts_with(at, "@cmd(") || (self.starts_with(at, "@cmd.") && self.identifier_end(at + 5) > at + 5)
    }

    /// The end of `@name.name` at `at`, or `at`.
    pub(super) fn decorator_name_end(&self, at: usize) -> usize {
        if self.byte(at) != Some(b'@') {
            return at;
        }
        let mut end = self.identifier_end(at + 1);
        if end == at + 1 {
            return at;
        }
        while self.byte(end) == Some(b'.') && self.identifier_end(end + 1) > end + 1 {
            end = self.identifier_end(end + 1);
        }
        end
    }

    /// Whether a pattern and `->` stand at `at`, on one line.
    pub(crate) fn at_arm(&self, at: usize) -> bool {
        let mut at = at;
        loop {
            at = self.skip_blanks(at);
            let next = self.pattern_atom_end(at);
            if next == at {
                return false;
            }
            at = self.skip_blanks(next);
            match self.byte(at) {
                Some(b'-') => return self.starts_with(at, "->"),
                Some(b'|') => at += 1,
                Some(b'.') => {
                    while self.byte(at) == Some(b'.') {
                        at += 1;
                    }
                }
                _ => return false,
            }
        }
    }

    fn pattern_atom_end(&self, at: usize) -> usize {
        let start = at;
        let quote = match self.byte(at) {
            Some(b'"' | b'\'') => at,
            Some(b'r') if self.byte(at + 1) == Some(b'"') => at + 1,
            Some(b'{') => {
                let rest = self.rest_of_line(at);
                return rest.find('}').map_or(start, |length| at + length + 1);
            }
            Some(byte) if byte.is_ascii_digit() || byte == b'-' => {
                let mut end = at + 1;
                while self.byte(end).is_some_and(is_word_byte) {
                    end += 1;
                }
                let fraction = self.byte(end) == Some(b'.') && self.byte(end + 1).is_some_and(|b| b.is_ascii_digit());
                if fraction {
                    end += 1;
                    while self.byte(end).is_some_and(|byte| byte.is_ascii_digit()) {
                        end += 1;
                    }
                }
                return end;
            }
            _ => {
                let end = self.identifier_end(at);
                return if matches!(self.slice(at, end), "true" | "false" | "else") { end } else { start };
            }
        };
        let Some(mark) = self.byte(quote) else { return start };
        let mut at = quote + 1;
        loop {
            match self.byte(at) {
                None | Some(b'\n') => return start,
                Some(b'\\') if mark == b'"' => at += 2,
                Some(byte) if byte == mark => return at + 1,
                Some(_) => at += 1,
            }
        }
    }

    /// Whether the `if`, `for` or `while` at `at` is the shell's: `then` or `do` follows a `;` or a line end.
    pub(super) fn is_shell_compound(&self, at: usize) -> bool {
        let rest = self.rest_of_line(at);
        let end = at + rest.len();
        let line = rest.trim_end();
        let word = if line.starts_with("if") { "then" } else { "do" };
        // What stands in a block after the condition is the block's own shell text.
        let condition = line.find(' ').map_or(0, |blank| blank + 1);
        let head = line.match_indices(" {").map(|(index, _)| index).find(|index| *index > condition).unwrap_or(line.len());
        let after_semicolon = line.match_indices(';').take_while(|(index, _)| *index < head).any(|(index, _)| {
            let rest = line.get(index + 1..).unwrap_or("").trim_start();
            rest.strip_prefix(word).is_some_and(|rest| !rest.bytes().next().is_some_and(is_word_byte))
        });
        let next = self.rest_of_line(end + 1).trim();
        let on_next_line = next.strip_prefix(word).is_some_and(|rest| rest.is_empty() || rest.starts_with(' '));
        after_semicolon || (on_next_line && !line.ends_with('{'))
    }

    /// Just after the shell control structure at `at`; the end of its first line if its end cannot be found.
    pub(super) fn skip_shell_compound(&mut self, at: usize) -> usize {
        let mut depth = 0usize;
        let mut start = at;
        while start < self.bytes.len() {
            let end = self.line_end(start);
            let mut begins = true;
            for word in self.slice(start, end).split_inclusive([' ', '\t', ';', '\r']) {
                let bare = word.trim_end_matches([' ', '\t', ';', '\r']);
                match bare {
                    "if" | "for" | "while" | "until" | "case" | "select" if begins => depth += 1,
                    "fi" | "done" | "esac" if begins => {
                        depth = depth.saturating_sub(1);
                        if depth == 0 {
                            return end;
                        }
                    }
                    "" => continue,
                    _ => {}
                }
                begins = word.contains(';') || matches!(bare, "then" | "do" | "else" | "&&" | "||" | "|" | "!");
            }
            start = end + 1;
        }
        self.resume_after_line(at)
    }
}
