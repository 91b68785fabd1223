//! Words: where they start and end, which command they belong to, what they make of it.

use crate::{
    ast::{Place, ShellPart, ShellReference, SimpleCommand},
    diagnostic::Code,
    span::Span,
};

use super::{
    super::command::{Compound, Level, List, ListKind, Role, Word, is_evaluated, is_name},
    Scanner,
};

impl Scanner<'_, '_> {
    /// Starts a word at `at` if none is in progress.
    pub(super) fn begin_word(&mut self) {
        let at = self.at;
        let depth = self.shells_deep();
        let list = self.list();
        if list.command.word.is_some() {
            return;
        }
        list.after_operator = false;
        let role = list.command.redirect.unwrap_or(list.command.next);
        list.command.word = Some(Word::new(at, role));
        if list.command.index.is_none() && list.holds_commands() && role != Role::CaseWord {
            let index = self.commands.len();
            self.list().command.index = Some(index);
            let span = self.reader.span(at, at);
            self.commands.push(SimpleCommand { span, name: None, arguments: 0, depth });
        }
    }

    fn shells_deep(&self) -> u32 {
        let nested = |level: &&(Level, usize)| match &level.0 {
            Level::List(list) => {
                matches!(list.kind, ListKind::Subshell | ListKind::Substitution | ListKind::Process)
            }
            _ => false,
        };
        u32::try_from(self.levels.iter().filter(nested).count()).unwrap_or(u32::MAX)
    }

    /// The word that literal text at this place belongs to: that of the list on top, or of the list right below `"…"`.
    fn open_word(&mut self) -> Option<&mut Word> {
        let count = self.levels.len();
        let index = match self.levels.last() {
            Some((Level::List(_), _)) => count.checked_sub(1)?,
            Some((Level::Double, _)) => count.checked_sub(2)?,
            _ => return None,
        };
        match self.levels.get_mut(index) {
            Some((Level::List(list), _)) => list.command.word.as_mut(),
            _ => None,
        }
    }

    pub(super) fn push_literal(&mut self, text: &str) {
        if let Some(word) = self.open_word() {
            word.push(text);
        }
    }

    pub(super) fn spoil_word(&mut self) {
        if let Some(word) = self.open_word() {
            word.spoil();
        }
    }

    pub(super) fn quote_word(&mut self) {
        if let Some(word) = self.open_word() {
            word.quoted = true;
        }
    }

    /// `=`: the end of `NAME` in `NAME=value`, or a character.
    pub(super) fn equals(&mut self) {
        self.begin_word();
        let at = self.at;
        let list = self.list();
        let declares = list.command.declares();
        let mut assigned = None;
        if let Some(word) = &mut list.command.word
            && word.assigns.is_none()
            && (word.role == Role::Command || (declares && word.role == Role::Argument))
        {
            let text = word.plain().unwrap_or("").to_owned();
            let name = text.strip_suffix('+').unwrap_or(&text);
            if is_name(name) {
                word.assigns_part |= text.len() != name.len();
                assigned = Some(name.to_owned());
            } else if word.assigns_part && word.subscript.is_none() {
                // `NAME[…]=`, recognised at its `]`.
                assigned = Some(String::new());
            }
            if let Some(name) = &assigned {
                word.assigns = Some(name.clone());
                word.value_start = at + 1;
            }
        }
        if let Some(name) = assigned.filter(|name| !name.is_empty()) {
            self.assign(name);
        }
        self.push_literal("=");
        self.at += 1;
    }

    /// `[` and `]`: the subscript of `NAME[…]=`, or characters.
    pub(super) fn subscript(&mut self, byte: u8) {
        self.begin_word();
        let at = self.at;
        let parts = self.parts.len();
        let follows = self.reader.byte(at + 1) == Some(b'=') || self.reader.starts_with(at + 1, "+=");
        let list = self.list();
        let mut arithmetic = None;
        let mut name = None;
        if let Some(word) = &mut list.command.word {
            let named = matches!(word.role, Role::Command) && word.plain().is_some_and(is_name);
            let element = word.role == Role::Element && word.start == at;
            if byte == b'[' && word.subscript.is_none() && word.assigns.is_none() && (named || element) {
                word.subscript = Some(parts);
                word.subscript_start = at + 1;
                name = word.plain().map(str::to_owned);
            } else if byte == b']'
                && follows
                && let Some(first) = word.subscript.take()
            {
                word.assigns_part = true;
                arithmetic = Some((first, word.subscript_start));
            }
        }
        if let Some((first, start)) = arithmetic {
            let text = self.reader.slice(start, at);
            if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
                self.has_arithmetic = true;
            }
            self.make_integers(first);
        }
        if let Some(name) = name.filter(|name| !name.is_empty()) {
            self.assign(name);
        }
        let text = self.reader.slice(at, at + 1);
        self.push_literal(text);
        self.at += 1;
    }

    /// Ends the word in progress, if any.
    pub(super) fn end_word(&mut self) {
        let at = self.at;
        let Some(word) = self.list().command.word.take() else { return };
        if !matches!(self.levels.last(), Some((Level::List(_), _))) {
            return;
        }
        self.content_end = self.content_end.max(at);
        if let Some(index) = self.list().command.index
            && let Some(command) = self.commands.get_mut(index)
        {
            let end = self.reader.span(at, at);
            command.span = command.span.to(end);
        }
        self.mark_alone(&word, at);
        if word.subscript.is_some() && word.role == Role::Command {
            // `NAME[ 1 + @var.x ]=…`: the subscript goes on in the next words.
            self.list().command.integers = true;
            self.has_arithmetic = true;
        }
        match word.role {
            Role::Redirect | Role::Descriptor => {
                self.list().command.redirect = None;
                self.check_network_redirect(&word);
            }
            Role::Delimiter { .. } => {
                self.list().command.redirect = None;
                let expands = !word.quoted;
                let raw = self.reader.slice(word.start, at).to_owned();
                if let Some(pending) = self.pending.back_mut() {
                    pending.delimiter = word.literal.clone().unwrap_or(raw);
                    pending.expands = expands;
                }
            }
            Role::Command => self.command_word(word),
            Role::Argument => self.argument(&word),
            Role::Condition => self.condition_word(&word),
            Role::Element => {}
            Role::LoopName => {
                if let Some(name) = &word.literal {
                    self.assign(name.clone());
                }
                self.list().command.next = Role::LoopIn;
            }
            Role::LoopIn => {
                let list = self.list();
                match word.plain() {
                    Some("do") => self.end_command(),
                    _ => {
                        list.command.next = Role::Argument;
                        list.command.feeds_variables = true;
                    }
                }
            }
            Role::CaseWord => self.case_word(&word),
            Role::FunctionName => {
                self.functions.extend(word.literal.clone());
                self.end_command();
            }
        }
    }

    fn case_word(&mut self, word: &Word) {
        let list = self.list();
        match (list.compound(), word.plain()) {
            (Some(Compound::CaseHead), Some("in")) if list.command.index.is_some() => {
                if let Some(last) = list.compounds.last_mut() {
                    last.0 = Compound::CasePattern;
                }
                self.end_command();
            }
            (Some(Compound::CasePattern), Some("esac")) => {
                list.compounds.pop();
                self.end_command();
                self.after_compound();
            }
            // The word that is matched: what follows is `in`.
            (Some(Compound::CaseHead), _) => list.command.index = list.command.index.or(Some(usize::MAX)),
            _ => {}
        }
    }

    fn command_word(&mut self, word: Word) {
        if word.assigns.is_some() {
            self.list().command.assignments += 1;
            return;
        }
        let wrapped = self.list().command.wrapped;
        if wrapped && word.literal.as_deref().is_some_and(|text| text.starts_with('-')) {
            return;
        }
        let first = {
            let command = &self.list().command;
            command.assignments == 0 && command.redirections == 0 && !wrapped
        };
        if first
            && let Some(text) = word.plain()
            && self.reserved(text, word.start)
        {
            return;
        }
        let list = self.list();
        let name = word.literal.clone();
        list.command.interpreter = std::mem::take(&mut list.command.interpreter).advance(name.as_deref());
        list.command.name.clone_from(&name);
        if matches!(name.as_deref(), Some("command" | "builtin")) {
            list.command.wrapped = true;
        } else {
            list.command.next = Role::Argument;
        }
        let evaluates = ["let", "declare", "typeset", "local", "unset", "read", "mapfile", "readarray", "getopts"];
        let arithmetic = list.command.named(&evaluates);
        if list.command.named(&["set"]) {
            list.command.feeds_variables = true;
        }
        let index = list.command.index;
        self.has_arithmetic |= arithmetic;
        if let Some(command) = index.and_then(|index| self.commands.get_mut(index)) {
            command.name = name;
        }
    }

    fn argument(&mut self, word: &Word) {
        let list = self.list();
        let command = &mut list.command;
        let text = word.literal.as_deref();
        command.interpreter = std::mem::take(&mut command.interpreter).advance(text);
        let first = self.at_first_argument();
        let option_like = self.may_be_option(word);
        let mut option = Vec::new();
        let list = self.list();
        let command = &mut list.command;
        let mut arithmetic = false;
        let after_v = std::mem::take(&mut command.integer_next);
        let dash_v = text == Some("-v") || text.is_some_and(|text| text.starts_with("-v") && command.named(&["printf"]));
        if command.named(&["test", "["]) && dash_v {
            command.integer_next = true;
            arithmetic = true;
        }
        if command.named(&["printf"]) && dash_v && first {
            // What is printed becomes a variable's value; its name may hold a subscript.
            command.integer_next = text == Some("-v");
            command.feeds_variables = true;
            arithmetic = !command.integer_next;
        }
        if after_v && command.named(&["printf"]) {
            arithmetic |= !text.is_some_and(|text| is_name(text) && !is_evaluated(text));
        }
        // A value in the place of an option may be `-v` on the day, or `-vNAME` if more follows.
        if command.takes_names_after_options() && option_like {
            if command.named(&["test", "["]) {
                command.integer_next = true;
            } else if first {
                command.integers = true;
                option = word.values.iter().map(|value| value.part).collect();
            }
        }
        let before = std::mem::replace(&mut command.option, option);
        if command.named(&["wait"]) && text.is_some_and(|text| text.starts_with('-') && text.ends_with('p')) {
            command.integer_next = true;
            arithmetic = true;
        }
        // `-a` makes them read `(…)` in a value as elements with subscripts.
        if command.named(&["export", "readonly"]) && word.assigns.is_none() && text.is_some_and(|text| text.starts_with('-')) {
            command.integers |= text.is_some_and(|text| text.contains(['a', 'A']));
            arithmetic |= command.integers;
        }
        let declares = command.declares();
        let names =
            declares || command.named(&["read", "mapfile", "readarray", "getopts", "unset"]) || (command.named(&["printf"]) && after_v);
        let index = command.index;
        self.has_arithmetic |= arithmetic;
        for part in before {
            if let Some(reference) = self.shell_reference(part) {
                reference.position.place = Place::Integer;
            }
        }
        if let Some(command) = index.and_then(|index| self.commands.get_mut(index)) {
            command.arguments += 1;
        }
        if names
            && word.assigns.is_none()
            && let Some(name) = text.filter(|text| is_name(text))
        {
            self.assign(name.to_owned());
        }
    }

    /// The command sets a variable.
    fn assign(&mut self, name: String) {
        self.has_arithmetic |= is_evaluated(&name);
        self.assigned.push(name);
    }

    /// Whether a word that is not constant may turn out to be an option `-v` or `-vNAME[…]`.
    fn may_be_option(&self, word: &Word) -> bool {
        if word.literal.is_some() || !(word.prefix.is_empty() || word.prefix.starts_with('-')) {
            return false;
        }
        let Some(last) = word.values.last() else { return true };
        let tail = self.reader.slice(last.end, self.at).trim_end_matches('"');
        tail.is_empty() || tail == "v" || tail.ends_with(']') || tail.contains(['$', '`', '\'', '"'])
    }

    /// Whether no argument of the command was read yet.
    fn at_first_argument(&mut self) -> bool {
        let index = self.list().command.index;
        index.and_then(|index| self.commands.get(index)).is_some_and(|command| command.arguments == 0)
    }

    /// Whether `text`, at the place of a command's name, is a reserved word; does what it says.
    fn reserved(&mut self, text: &str, start: usize) -> bool {
        let part = self.parts.len();
        let list = self.list();
        let next = match text {
            "!" | "time" | "then" | "else" | "elif" | "do" | "coproc" => Role::Command,
            "if" => {
                list.compounds.push((Compound::If, start));
                Role::Command
            }
            "while" | "until" => {
                list.compounds.push((Compound::Loop, start));
                Role::Command
            }
            "for" | "select" => {
                list.compounds.push((Compound::Loop, start));
                Role::LoopName
            }
            "case" => {
                list.compounds.push((Compound::CaseHead, start));
                Role::CaseWord
            }
            "function" => Role::FunctionName,
            "fi" | "done" | "esac" => {
                let fits = matches!(
                    (text, list.compound()),
                    ("fi", Some(Compound::If))
                        | ("done", Some(Compound::Loop))
                        | ("esac", Some(Compound::CaseBody | Compound::CasePattern))
                );
                if fits {
                    list.compounds.pop();
                } else if !self.failed {
                    self.failed = true;
                    let span = self.reader.span(start, start + text.len());
                    let message = format!("`{text}` closes nothing in this command");
                    let help = "a control structure of the shell must begin and end in the same command";
                    self.reader.error_help(Code::ShellKeyword, span, message, help);
                }
                Role::Argument
            }
            "{" => {
                self.drop_command();
                self.list().command.next = Role::Argument;
                self.push(Level::List(Box::new(List::new(ListKind::Group, part))));
                return true;
            }
            "}" if list.kind == ListKind::Group => {
                self.drop_command();
                self.pop();
                self.after_compound();
                return true;
            }
            "[[" => {
                list.command.next = Role::Argument;
                list.command.name = Some("[[".to_owned());
                let index = list.command.index;
                if let Some(command) = index.and_then(|index| self.commands.get_mut(index)) {
                    command.name = Some("[[".to_owned());
                }
                self.push(Level::List(Box::new(List::new(ListKind::Condition, part))));
                return true;
            }
            _ => return false,
        };
        self.drop_command();
        self.list().command.next = next;
        true
    }

    /// A reserved word is no command: forget the one that was begun for it.
    fn drop_command(&mut self) {
        let list = self.list();
        list.command.index = None;
        if self.commands.last().is_some_and(|command| command.name.is_none() && command.arguments == 0) {
            self.commands.pop();
        }
    }

    /// A word of `[[ … ]]`.
    fn condition_word(&mut self, word: &Word) {
        let parts = self.parts.len();
        let list = self.list();
        match word.plain() {
            Some("]]") => {
                self.pop();
                self.content_end = self.at;
            }
            Some("-eq" | "-ne" | "-lt" | "-le" | "-gt" | "-ge" | "-v" | "-R") => {
                // Values that come later in the clause are judged by the flag.
                let known = std::mem::replace(&mut list.clause_is_arithmetic, true);
                let first = list.clause;
                self.has_arithmetic = true;
                if !known {
                    self.make_integers(first);
                }
            }
            Some("&&" | "||" | "!") => {
                list.clause = parts;
                list.clause_is_arithmetic = false;
            }
            _ => {}
        }
    }

    /// `&&`, `(`, `<` … inside `[[ … ]]`.
    pub(super) fn condition_operator(&mut self, byte: u8) {
        let pair = self.reader.byte(self.at + 1) == Some(byte);
        if matches!(byte, b'&' | b'|') && pair && self.list().command.word.is_none() {
            let parts = self.parts.len();
            let list = self.list();
            list.clause = parts;
            list.clause_is_arithmetic = false;
            self.at += 2;
            return;
        }
        // Part of a pattern, or an operator that changes nothing here.
        self.begin_word();
        self.push_literal(self.reader.slice(self.at, self.at + 1));
        self.at += 1;
    }

    /// A value that is its whole word is marked as such.
    fn mark_alone(&mut self, word: &Word, end: usize) {
        let [value] = word.values.as_slice() else { return };
        // Several words could be an option that names a variable, and that variable.
        let first = self.at_first_argument();
        let command = &self.list().command;
        if word.role == Role::Argument && command.takes_names_after_options() && (first || command.named(&["test", "["])) {
            return;
        }
        let bare = value.start == word.value_start && value.end == end;
        let quoted = value.start == word.value_start + 1
            && value.end + 1 == end
            && self.reader.byte(word.value_start) == Some(b'"')
            && self.reader.byte(value.end) == Some(b'"');
        if (bare || quoted)
            && let Some(reference) = self.shell_reference(value.part)
        {
            reference.position.alone = true;
        }
    }

    pub(super) fn shell_reference(&mut self, part: usize) -> Option<&mut ShellReference> {
        match self.parts.get_mut(part) {
            Some(ShellPart::Reference(reference)) => Some(reference),
            _ => None,
        }
    }

    fn check_network_redirect(&mut self, word: &Word) {
        let Some(value) = word.values.first() else { return };
        let prefix = &word.prefix;
        let network = |device: &str| prefix.starts_with(device) || (prefix.starts_with("/dev/") && device.starts_with(prefix.as_str()));
        if network("/dev/tcp") || network("/dev/udp") {
            let span = self.reader.span(value.start, value.end);
            let help = "use a program for the connection, such as `nc` or `curl`";
            let message = "values cannot stand in a `/dev/tcp` or `/dev/udp` redirection";
            self.reader.error_help(Code::ValueInDevTcp, span, message, help);
            self.failed = true;
        }
    }

    pub(super) fn span_of_value(&self, start: usize, end: usize) -> Span {
        self.reader.span(start, end)
    }
}
