//! Lists of commands: what ends a word, a command or the step, and what opens something.

use crate::{ast::Evaluated, diagnostic::Code};

use super::{
    super::{
        ShellJoint, ShellOperator, Stop,
        command::{Command, Compound, Level, List, ListKind, Pending, Role, Word},
        field::{Piece, Unknown},
        names::is_name,
    },
    Scanner,
};

impl Scanner<'_, '_> {
    pub(super) fn list_byte(&mut self) -> Option<Stop> {
        let Some(byte) = self.reader.byte(self.at) else { return Some(Stop::End) };
        let commands = self.list().holds_commands();
        let at_word_start = self.list().command.word.is_none();
        match byte {
            b' ' | b'\t' => {
                self.end_word();
                self.at += 1;
            }
            b'\r' if self.reader.byte(self.at + 1) == Some(b'\n') => {
                self.end_word();
                self.at += 1;
            }
            b'\n' => {
                self.end_word();
                return self.newline();
            }
            b'\\' if matches!(self.reader.byte(self.at + 1), Some(b'\n')) || self.reader.starts_with(self.at, "\\\r\n") => {
                self.escape();
            }
            b'\\' => {
                self.begin_word();
                self.quote_word();
                self.escape();
            }
            b'\'' => {
                self.begin_word();
                self.quote_word();
                self.single_quotes();
            }
            b'"' => {
                self.begin_word();
                self.quote_word();
                self.push(Level::Double);
                self.at += 1;
            }
            b'$' => {
                self.begin_word();
                self.dollar(true);
            }
            b'`' => {
                self.begin_word();
                self.backticks();
            }
            b'@' => {
                self.begin_word();
                self.at_sign();
            }
            b'#' | b'/' if at_word_start && self.at_comment(byte) => return self.comment(),
            b'}' if at_word_start && self.closes_block() => return Some(self.leave(Stop::Close)),
            b';' | b'&' | b'|' | b'(' | b')' | b'<' | b'>' if self.list().kind == ListKind::Condition => {
                if self.list().closes_condition() {
                    // `]];`: the next round finds the operator behind the condition.
                    self.end_word();
                } else {
                    self.condition_operator(byte);
                }
            }
            b';' | b'&' | b'|' if commands => return self.operator(byte),
            b'(' => self.open_parenthesis(),
            b')' => self.close_parenthesis(),
            b'<' | b'>' => self.redirection(),
            b'=' => self.equals(),
            b'[' | b']' => self.subscript(byte),
            _ => {
                self.begin_word();
                self.literal_character();
            }
        }
        None
    }

    /// Takes back nothing: ends the word and the command where it stands.
    pub(super) fn leave(&mut self, stop: Stop) -> Stop {
        self.end_word();
        stop
    }

    pub(super) fn newline(&mut self) -> Option<Stop> {
        if !self.pending.is_empty() {
            self.start_body();
            return None;
        }
        let ends = self.outside() && !self.surroundings.in_decorator;
        let list = self.list();
        if !list.holds_commands() {
            self.at += 1;
            return None;
        }
        if ends && !list.after_operator {
            return Some(Stop::End);
        }
        if !list.after_operator {
            self.end_command();
        }
        self.at += 1;
        None
    }

    /// Whether the `#` or `/` at `at`, which starts a word, starts a comment.
    pub(super) fn at_comment(&mut self, byte: u8) -> bool {
        let list_holds_commands = self.list().holds_commands();
        let before = self.at.checked_sub(1).and_then(|before| self.reader.byte(before));
        let blank = self.at == self.start || matches!(before, Some(b' ' | b'\t' | b'\n' | b'\r'));
        match byte {
            b'#' => blank && (list_holds_commands || self.list().kind == ListKind::Array),

            _ => blank && self.outside() && self.reader.starts_with(self.at, "//") && !self.surroundings.in_decorator,
        }
    }

    pub(super) fn comment(&mut self) -> Option<Stop> {
        if !self.outside() || self.surroundings.in_decorator {
            // Bash reads this comment itself.
            self.at = self.reader.line_end(self.at).min(self.limit());
            self.mark = self.at;
            return None;
        }
        let continues = self.list().after_operator || !self.pending.is_empty();
        if !continues {
            self.end_word();
            return Some(Stop::End);
        }
        let start = self.at;
        self.at = self.reader.take_comment(start);
        self.skip_text(start, self.at);
        None
    }

    /// Whether the `}` at `at`, which starts a word, closes the Opal block around the command.
    pub(super) fn closes_block(&mut self) -> bool {
        if !self.surroundings.in_block || self.levels.len() > 1 {
            return false;
        }
        let ends = matches!(self.reader.byte(self.at + 1), None | Some(b' ' | b'\t' | b'\r' | b'\n' | b';' | b')' | b'|' | b'&' | b'}'));
        if ends && !self.outside() {
            self.complain_unclosed();
        }
        ends
    }

    /// Operators of lists of commands: `;`, `&`, `|` and what begins with them.
    pub(super) fn operator(&mut self, byte: u8) -> Option<Stop> {
        let second = self.reader.byte(self.at + 1);
        let two = |wanted: u8| second == Some(wanted);
        if byte == b'&' && two(b'>') {
            self.end_word();
            let list = self.list();
            list.command.redirections += 1;
            list.command.redirect = Some(Role::Redirect);
            self.at += if self.reader.byte(self.at + 2) == Some(b'>') { 3 } else { 2 };
            self.content_end = self.at;
            return None;
        }
        let length = match byte {
            b';' | b'&' if two(byte) => 2,
            b';' if two(b'&') => 2,
            b'|' if two(b'|') || two(b'&') => 2,
            _ => 1,
        };
        self.end_word();
        self.list().command.piped |= byte == b'|' && !two(b'|');
        let joins = byte == b'|' || (byte == b'&' && length == 2);
        if self.outside() && !self.surroundings.in_decorator {
            let next = self.at + length;
            if byte == b'|' && two(b'>') && self.at_operation(self.at + 2) {
                return Some(Stop::Pipeline);
            }
            if byte == b';' && self.surroundings.in_arm && self.reader.at_arm(self.reader.skip_blanks(next)) {
                return Some(Stop::ArmEnd);
            }
            let operand = if joins { self.reader.skip_trivia(next) } else { self.reader.skip_blanks(next) };
            if self.reader.at_opal_operand(operand) {
                return Some(Stop::Operator);
            }
        }
        if self.outside() {
            let joint = match (byte, length) {
                (b';', _) => ShellJoint::Then,
                (b'&', 2) => ShellJoint::And,
                (b'&', _) => ShellJoint::Background,
                (_, 2) if two(b'|') => ShellJoint::Or,
                _ => ShellJoint::Pipe,
            };
            self.operators.push(ShellOperator { text_end: self.content_end, start: self.at, end: self.at + length, joint });
        }
        self.at += length;
        self.content_end = self.at;
        self.mark = self.at;
        let list = self.list();
        if let (b';', Some(Compound::CaseBody)) = (byte, list.compound())
            && length == 2
        {
            if let Some(last) = list.compounds.last_mut() {
                last.0 = Compound::CasePattern;
            }
            self.end_command();
            return None;
        }
        if byte == b'|' && list.compound() == Some(Compound::CasePattern) {
            return None;
        }
        self.end_command();
        self.list().after_operator = joins;
        None
    }

    /// A dotted name and `(`, so that a misspelt operation is seen as one: to the shell `|>` is an error anyway.
    pub(super) fn at_operation(&self, at: usize) -> bool {
        let at = self.reader.skip_blanks(at);
        let group = self.reader.identifier_end(at);
        let end = self.reader.identifier_end(group + 1);
        group > at
            && self.reader.byte(group) == Some(b'.')
            && end > group + 1
            && self.reader.byte(self.reader.skip_blanks(end)) == Some(b'(')
    }

    /// The next command of this list begins.
    pub(super) fn end_command(&mut self) {
        self.close_command();
        let list = self.list();
        let next = match list.compound() {
            Some(Compound::CasePattern) => Role::CaseWord,
            Some(Compound::CaseHead) => Role::CaseWord,
            _ => Role::Command,
        };
        list.command = Command::new(next);
        list.after_operator = false;
    }

    /// After `fi`, `done`, `)`: only redirections, operators and reserved words can follow.
    pub(super) fn after_compound(&mut self) {
        let list = self.list();
        list.command.next = Role::Command;
    }

    pub(super) fn open_parenthesis(&mut self) {
        let at = self.at;
        let double = self.reader.byte(at + 1) == Some(b'(');
        let close = self.reader.skip_blanks(at + 1);
        let empty = self.reader.byte(close) == Some(b')');
        let reach = self.reach();
        let list = self.list();
        list.after_operator = false;
        let command = &mut list.command;
        if command.word.as_ref().is_some_and(Word::ends_at_parenthesis) {
            // `if(…)`, `[[(…)`: the next round finds the parenthesis behind that word.
            self.end_word();
            return;
        }
        let kind = match &mut command.word {
            // `name=(`
            Some(word) if word.assigns.is_some() && word.value_start == at => {
                word.assigns_part = true;
                word.spoil(Piece::Unknown(Unknown::Elements, reach));
                ListKind::Array
            }
            // `name()`: a function of the shell.
            Some(word) if word.role == Role::Command && word.plain().is_some() && empty => {
                let name = word.plain().map(str::to_owned);
                command.word = None;
                self.flow.functions.extend(name);
                self.at = close + 1;
                self.content_end = self.at;
                self.end_command();
                return;
            }
            // An extended glob, or an error that bash reports.
            Some(word) => {
                word.reached(&reach);
                word.spoil(Piece::Unknown(Unknown::Split, reach));
                ListKind::Subshell
            }
            // `name ()` and `function name ()`.
            None if empty && command.next == Role::Command && command.defines => {
                command.defines = false;
                self.at = close + 1;
                self.content_end = self.at;
                return;
            }
            None if empty && command.next == Role::Argument && command.words.len() == 1 => {
                let name = command.words.pop().and_then(|word| word.literal);
                self.flow.functions.extend(name);
                self.at = close + 1;
                self.content_end = self.at;
                self.end_command();
                return;
            }
            None if command.next == Role::CaseWord => {
                self.at += 1;
                return;
            }
            None if double && matches!(command.next, Role::Command | Role::LoopName) => {
                command.next = Role::Command;
                self.evaluates("arithmetic");
                self.push(Level::Arithmetic { bracket: false, depth: 0, statement: true });
                self.at = at + 2;
                return;
            }
            None => {
                command.next = Role::Command;
                ListKind::Subshell
            }
        };
        self.push(Level::List(Box::new(List::new(kind))));
        self.at += 1;
    }

    pub(super) fn close_parenthesis(&mut self) {
        self.end_word();
        let level = self.levels.len();
        let list = self.list();
        if list.compound() == Some(Compound::CasePattern) {
            if let Some(last) = list.compounds.last_mut() {
                last.0 = Compound::CaseBody;
            }
            self.end_command();
            self.at += 1;
            self.content_end = self.at;
            return;
        }
        let closes = matches!(list.kind, ListKind::Subshell | ListKind::Substitution | ListKind::Process | ListKind::Array);
        if !closes || !list.compounds.is_empty() {
            if !closes && list.compounds.is_empty() {
                if !self.failed {
                    let span = self.reader.span(self.at, self.at + 1);
                    let help = "quote it as `')'`, or remove it";
                    self.reader.error_help(Code::UnexpectedClose, span, "`)` closes nothing in this command", help);
                }
                self.failed = true;
                self.at += 1;
                self.content_end = self.at;
            } else {
                self.complain_unclosed();
                self.give_up();
            }
            return;
        }
        if self.pending.iter().any(|pending| pending.level >= level) && !self.failed {
            let start = self.pending.front().map_or(self.at, |pending| pending.start);
            let span = self.reader.span(start, start + 2);
            let message = "the body of this here-document must come before the `)`";
            let help = "end the line after the command with `<<`; the `)` follows the closing line";
            self.reader.error_help(Code::HereDocumentPlacement, span, message, help);
            self.failed = true;
            self.pending.clear();
        }
        self.at += 1;
        self.pop();
        self.content_end = self.at;
    }

    /// `<`, `>` and what begins with them.
    pub(super) fn redirection(&mut self) {
        let rest = |text: &str| self.reader.starts_with(self.at, text);
        if rest("<(") || rest(">(") {
            self.begin_word();
            self.spoil_word(Unknown::Process);
            self.push(Level::List(Box::new(List::new(ListKind::Process))));
            self.at += 2;
            return;
        }
        let start = self.at;
        let (length, role) = match () {
            () if rest("<<<") => (3, Role::HereString),
            () if rest("<<-") => (3, Role::Delimiter { strip_tabs: true }),
            () if rest("<<") => (2, Role::Delimiter { strip_tabs: false }),
            () if rest("<&") || rest(">&") => (2, Role::Descriptor),
            () if rest("<>") || rest(">>") || rest(">|") => (2, Role::Redirect),
            () => (1, Role::Redirect),
        };
        let list = self.list();
        // `2>`: the digits belong to the redirection.
        let descriptor = |text: &str| {
            let name = text.strip_prefix('{').and_then(|text| text.strip_suffix('}'));
            !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) || name.is_some_and(is_name)
        };
        if list.command.word.as_ref().and_then(|word| word.plain()).is_some_and(descriptor) {
            list.command.word = None;
        }
        // `{NAME[…]}>`: the subscript is evaluated.
        let end = self.reach();
        let opens = |word: &&Word| matches!(word.pieces.first(), Some(Piece::Text { text, quoted: false }) if text.starts_with('{') && text.contains('['));
        if let Some(word) = self.list().command.word.as_ref().filter(opens) {
            let reach = word.reach.to(&end);
            self.evaluates("a subscript");
            self.make_integers(&reach, &Evaluated::Here);
        }
        self.end_word();
        let list = self.list();
        list.after_operator = false;
        list.command.redirections += 1;
        list.command.redirect = Some(role);
        self.at += length;
        if matches!(role, Role::Delimiter { .. }) {
            let blank = self.reader.skip_blanks(self.at);
            let level = self.levels.len();
            let strip_tabs = role == Role::Delimiter { strip_tabs: true };
            if matches!(self.reader.byte(blank), None | Some(b'\n' | b';' | b'&' | b'|' | b'<' | b'>' | b'(' | b')')) {
                let span = self.reader.span(start, self.at);
                self.reader.error_help(Code::UnclosedHereDocument, span, "`<<` has no delimiter", "write `<<EOF`");
                self.failed = true;
                self.list().command.redirect = None;
                return;
            }
            let delimiter = String::new();
            self.pending.push_back(Pending { start, delimiter, expands: true, strip_tabs, level });
        }
        self.content_end = self.at;
    }
}
