//! Words: where they start and end, which command they belong to, what they make of it.

use crate::{
    ast::{Evaluated, ShellPart, ShellReference, SimpleCommand},
    diagnostic::Code,
    span::Span,
};

use super::{
    super::{
        command::{Compound, Level, List, ListKind, Role, Word},
        field::{Field, Piece, Reach, Unknown, expand},
        flow::{Binding, Evaluation, PARAMETERS},
        interpreter::{Interpreter, is_shell},
        names::{is_evaluated, is_name, names_in},
        rules::{Outcome, Reason},
    },
    Scanner,
};

impl Scanner<'_, '_> {
    /// Starts a word at `at` if none is in progress.
    pub(super) fn begin_word(&mut self) {
        let at = self.at;
        let depth = self.shells_deep();
        let reach = self.reach();
        let list = self.list();
        if list.command.word.is_some() {
            return;
        }
        list.after_operator = false;
        let role = list.command.redirect.unwrap_or(list.command.next);
        list.command.word = Some(Word::new(at, role, reach));
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

    /// The place in the text that has been read.
    pub(super) fn reach(&self) -> Reach {
        let (parts, mentions) = (self.parts.len(), self.flow.mentions.len());
        Reach { parts: parts..parts, mentions: mentions..mentions }
    }

    fn in_double_quotes(&self) -> bool {
        matches!(self.levels.last(), Some((Level::Double, _)))
    }

    pub(super) fn push_literal(&mut self, text: &str, quoted: bool) {
        let quoted = quoted || self.in_double_quotes();
        let reach = self.reach();
        if let Some(word) = self.open_word() {
            word.reached(&reach);
            word.push(text, quoted);
        }
    }

    pub(super) fn push_piece(&mut self, piece: Piece) {
        let reach = self.reach();
        if let Some(word) = self.open_word() {
            word.reached(&reach);
            word.spoil(piece);
        }
    }

    /// What only the running shell knows comes next.
    pub(super) fn spoil_word(&mut self, kind: Unknown) {
        let kind = if self.in_double_quotes() { Unknown::Quoted } else { kind };
        let reach = self.reach();
        self.push_piece(Piece::Unknown(kind, reach));
    }

    pub(super) fn quote_word(&mut self) {
        let reach = self.reach();
        if let Some(word) = self.open_word() {
            word.quoted = true;
            word.reached(&reach);
            word.push("", true);
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
        self.push_literal("=", false);
        self.at += 1;
    }

    /// `[` and `]`: the subscript of `NAME[…]=`, or characters.
    pub(super) fn subscript(&mut self, byte: u8) {
        self.begin_word();
        let at = self.at;
        let parts = self.reach();
        let follows = self.reader.byte(at + 1) == Some(b'=') || self.reader.starts_with(at + 1, "+=");
        let list = self.list();
        let mut arithmetic = None;
        let mut name = None;
        if let Some(word) = &mut list.command.word {
            let named = matches!(word.role, Role::Command) && word.plain().is_some_and(is_name);
            let element = word.role == Role::Element && word.start == at;
            if byte == b'[' && word.subscript.is_none() && word.assigns.is_none() && (named || element) {
                word.subscript = Some(parts.parts.start);
                word.subscript_start = at + 1;
                name = word.plain().map(str::to_owned);
                word.array.clone_from(&name);
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
                self.evaluates("a subscript");
            }
            self.flow.arrays = true;
            let reach = Reach { parts: first..self.parts.len(), mentions: 0..0 };
            self.make_integers(&reach, &Evaluated::Here);
        }
        if let Some(name) = name.filter(|name| !name.is_empty()) {
            self.assign(name);
        }
        let text = self.reader.slice(at, at + 1);
        self.push_literal(text, false);
        self.at += 1;
    }

    /// Ends the word in progress, if any.
    pub(super) fn end_word(&mut self) {
        let at = self.at;
        let end = self.reach();
        let Some(mut word) = self.list().command.word.take() else { return };
        word.reached(&end);
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
        self.keep_text(&word);
        if word.subscript.is_some() && word.role == Role::Command {
            // `NAME[ 1 + @var.x ]=…`: the subscript goes on in the next words.
            self.list().command.open_subscript = true;
        }
        match word.role {
            Role::HereString => {
                self.list().command.redirect = None;
                self.list().command.input.push(word.reach);
            }
            Role::Redirect | Role::Descriptor => {
                // `> >(…)`: what the command prints is read there.
                let printed_to = self.reader.byte(word.start) == Some(b'>');
                let list = self.list();
                list.command.redirect = None;
                list.command.piped |= printed_to;
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
            Role::Argument => self.argument(word),
            Role::Condition => self.condition_word(word),
            Role::Element => {}
            Role::LoopName => {
                if let Some(name) = &word.literal {
                    self.assign(name.clone());
                }
                let list = self.list();
                list.command.next = Role::LoopIn;
                list.command.loops = word.literal;
            }
            Role::LoopIn => {
                let list = self.list();
                match word.plain() {
                    Some("do") => self.end_command(),
                    _ => {
                        list.command.next = Role::Argument;
                    }
                }
            }
            Role::CaseWord => self.case_word(&word),
            Role::FunctionName => {
                self.flow.functions.extend(word.literal);
                self.end_command();
                self.list().command.defines = true;
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
                let opened = list.compounds.pop();
                self.end_command();
                self.after_compound();
                self.list().command.opened = opened.map(|(_, start)| start);
            }
            // The word that is matched: what follows is `in`.
            (Some(Compound::CaseHead), _) => list.command.index = list.command.index.or(Some(usize::MAX)),
            _ => {}
        }
    }

    fn command_word(&mut self, word: Word) {
        if word.assigns.is_some() {
            let command = &mut self.list().command;
            command.assignments += 1;
            command.assigned.push(word);
            return;
        }
        let wrapped = self.list().command.wrapped;
        if wrapped && word.literal.as_deref().is_some_and(|text| text.starts_with('-')) {
            self.list().command.words.push(word);
            return;
        }
        if self.list().command.timed && matches!(word.plain(), Some("-p" | "--")) {
            self.drop_command();
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
        list.command.name.clone_from(&name);
        list.command.words.push(word);
        if matches!(name.as_deref(), Some("command" | "builtin")) {
            list.command.wrapped = true;
        } else {
            list.command.next = Role::Argument;
        }
        let index = list.command.index;
        if let Some(command) = index.and_then(|index| self.commands.get_mut(index)) {
            command.name = name;
        }
    }

    fn argument(&mut self, word: Word) {
        let list = self.list();
        list.command.words.push(word);
        let index = list.command.index;
        if let Some(command) = index.and_then(|index| self.commands.get_mut(index)) {
            command.arguments += 1;
        }
    }

    /// The command sets a variable.
    pub(super) fn assign(&mut self, name: String) {
        if is_evaluated(&name) {
            self.evaluates("a variable that bash evaluates");
        }
        if self.known.insert(name.clone()) {
            self.assigned.push(name);
        }
    }

    /// Some form in the text makes bash evaluate variables, whichever they are.
    pub(super) fn evaluates(&mut self, what: &'static str) {
        self.flow.arithmetic.get_or_insert(what);
    }

    pub(super) fn mention(&mut self, name: &str) {
        self.flow.mentions.push(name.to_owned());
        // Bash takes them from the parameters.
        if matches!(name, "OPTARG" | "BASH_ARGV") {
            self.flow.mentions.push(PARAMETERS.to_owned());
        }
    }

    /// A word that may be a program, if something runs it; and a name in it, if it becomes a value.
    fn keep_text(&mut self, word: &Word) {
        let field = Field { pieces: word.pieces.clone() };
        let value = field.assignment();
        let assigns = value.is_some();
        let text = value.map_or(field, |(_, value)| value).outline();
        if assigns {
            self.flow.mentions.extend(names_in(&text).map(str::to_owned));
        }
        if text.contains([' ', '\t', '\n', '(', '$', '[', '\\']) && text != "$-" {
            self.flow.texts.push(text);
        }
    }

    /// Constant text that bash evaluates in the same shell.
    pub(super) fn absorb(&mut self, text: &str, what: &'static str) {
        match self.flow_of(text) {
            Some(flow) => self.flow.absorb(flow),
            None => self.evaluates(what),
        }
    }

    /// Judges the command that was read up to here, or the clause of `[[ … ]]`.
    pub(super) fn close_command(&mut self) {
        let list = self.list();
        let kind = list.kind;
        let words = std::mem::take(&mut list.command.words);
        let assigned = std::mem::take(&mut list.command.assigned);
        let input = std::mem::take(&mut list.command.input);
        let loops = list.command.loops.take();
        let piped = std::mem::take(&mut list.command.piped);
        let opened = list.command.opened.take();
        let open_subscript = std::mem::take(&mut list.command.open_subscript);
        for word in assigned {
            if let Some(name) = word.assigns.filter(|name| !name.is_empty()).or(word.array) {
                self.flow.arrays |= word.assigns_part;
                self.flow.bindings.push(Binding::new(name, word.reach));
            }
        }
        self.inputs.extend(input);
        if let Some(start) = opened.filter(|_| piped) {
            self.hand_on(start);
        }
        if let Some(name) = loops.as_ref().filter(|_| words.is_empty()) {
            // `for NAME; do`: over the parameters.
            let mut reach = self.reach();
            self.mention(PARAMETERS);
            reach.mentions.end += 1;
            self.flow.bindings.push(Binding::new(name.clone(), reach));
        }
        if kind == ListKind::Array || words.is_empty() {
            return;
        }
        if open_subscript {
            self.evaluates("a subscript");
            for word in &words {
                self.make_integers(&word.reach, &Evaluated::Here);
            }
        }
        if let Some(name) = loops {
            self.flow.bindings.extend(words.into_iter().map(|word| Binding::new(name.clone(), word.reach)));
            return;
        }
        let outcome = if kind == ListKind::Condition {
            let fields: Vec<Field> = words.iter().map(|word| Field { pieces: word.pieces.clone() }).collect();
            let plain: Vec<Option<&str>> = words.iter().map(Word::plain).collect();
            Outcome::of_clause(&fields, &plain)
        } else {
            let fields: Option<Vec<Vec<Field>>> = words.iter().map(|word| expand(&word.pieces)).collect();
            let Some(fields) = fields.map(|fields| fields.concat()) else {
                for word in &words {
                    self.make_integers(&word.reach, &Evaluated::Unread);
                }
                return;
            };
            self.second_interpreter(&fields);
            let constants: Vec<Option<String>> = fields.iter().map(Field::constant).collect();
            let program = |word: &Option<String>| word.as_deref().map(|word| word.rsplit('/').next().unwrap_or(word).to_owned());
            // Behind `command`, `env`, `nohup` as well.
            let prints = constants.iter().filter_map(program).any(|name| matches!(name.as_str(), "echo" | "printf"));
            if prints {
                let at = self.at;
                self.printed.extend(words.iter().map(|word| (at, word.reach.clone())));
                let outlines: Vec<String> = fields.iter().skip(1).map(Field::outline).collect();
                self.flow.texts.push(outlines.join(" "));
                if piped {
                    self.inputs.extend(words.iter().map(|word| word.reach.clone()));
                }
            }
            self.prints_on |= piped && constants.first().is_some_and(|name| name.as_deref() == Some("exec"));
            self.starts_shell(&fields, &constants);
            Outcome::of(&fields)
        };
        self.apply(outcome);
    }

    fn apply(&mut self, outcome: Outcome) {
        for (reach, reason) in outcome.integers {
            let why = match reason {
                Reason::Evaluated => Evaluated::Here,
                Reason::Unread => Evaluated::Unread,
            };
            self.make_integers(&reach, &why);
        }
        for (reach, name) in outcome.refused {
            self.refuse_evaluated(&reach, &name);
        }
        self.flow.bindings.extend(outcome.bindings);
        self.flow.evaluations.extend(outcome.evaluations);
        self.flow.undecided = self.flow.undecided.or(outcome.undecided);
        self.flow.arrays |= outcome.arrays;
        self.flow.declares_text |= outcome.declares_text;
        self.flow.runs_texts |= outcome.runs_texts;
        self.runs_input = self.runs_input.or(outcome.runs_input);
        self.reads.extend(outcome.reads);
        for name in outcome.assigned {
            self.assign(name);
        }
        if let Some(what) = outcome.arithmetic {
            self.evaluates(what);
        }
        for text in outcome.names {
            self.flow.mentions.extend(names_in(&text).map(str::to_owned));
        }
        for text in outcome.constants {
            self.absorb(&text, "text that `eval` or `trap` reads");
        }
    }

    /// A shell among the words: it may evaluate what it is given, and an interactive one expands `ENV`.
    fn starts_shell(&mut self, fields: &[Field], constants: &[Option<String>]) {
        let Some(at) = constants.iter().position(|word| word.as_deref().is_some_and(is_shell)) else { return };
        self.flow.shells.extend(constants.iter().take(at + 1).flatten().cloned());
        let interactive = |word: &Field| match word.constant() {
            Some(text) => text.starts_with('-') && !text.starts_with("--") && text.contains('i'),
            None => word.may_start("-"),
        };
        let rest = fields.get(at + 1..).unwrap_or_default();
        if rest.is_empty() || rest.iter().any(interactive) {
            self.flow.evaluate_name("ENV", "a shell that starts");
        }
    }

    /// Values in the words that are a program for a second interpreter.
    fn second_interpreter(&mut self, fields: &[Field]) {
        let mut interpreter = Interpreter::default();
        for field in fields {
            if let Some(name) = interpreter.current().map(str::to_owned) {
                for piece in &field.pieces {
                    match piece {
                        Piece::Value(reach) => self.warn_interpreter(reach.parts.start, &name),
                        Piece::Unknown(_, reach) => {
                            let evaluation = Evaluation { what: name.clone(), reach: reach.clone(), second: true };
                            self.flow.evaluations.push(evaluation);
                            self.warn_printed(reach, &name);
                        }
                        Piece::Text { .. } => {}
                    }
                }
            }
            interpreter = interpreter.advance(field.constant().as_deref());
        }
    }

    /// `bash -c "$(echo @var.x)"`: what `echo` and `printf` print is the program.
    fn warn_printed(&mut self, reach: &Reach, interpreter: &str) {
        for part in reach.parts.clone() {
            let command = self.shell_reference(part).and_then(|reference| reference.command);
            let name = command.and_then(|index| self.commands.get(index as usize)).and_then(|command| command.name.as_deref());
            if matches!(name, Some("echo" | "printf")) {
                self.warn_interpreter(part, interpreter);
            }
        }
    }

    /// Whether no argument of the command was read yet.
    fn at_first_argument(&mut self) -> bool {
        let index = self.list().command.index;
        index.and_then(|index| self.commands.get(index)).is_some_and(|command| command.arguments == 0)
    }

    /// Whether `text`, at the place of a command's name, is a reserved word; does what it says.
    fn reserved(&mut self, text: &str, start: usize) -> bool {
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
                if text == "select" {
                    self.reads.push("REPLY".to_owned());
                }
                let list = self.list();
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
                    list.command.opened = list.compounds.pop().map(|(_, start)| start);
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
                self.push(Level::List(Box::new(List::new(ListKind::Group))));
                return true;
            }
            "}" if list.kind == ListKind::Group => {
                self.drop_command();
                self.pop();
                self.after_compound();
                return true;
            }
            "[[" => {
                list.command.next = Role::Command;
                list.command.name = Some("[[".to_owned());
                let index = list.command.index;
                if let Some(command) = index.and_then(|index| self.commands.get_mut(index)) {
                    command.name = Some("[[".to_owned());
                }
                self.push(Level::List(Box::new(List::new(ListKind::Condition))));
                return true;
            }
            _ => return false,
        };
        self.drop_command();
        let list = self.list();
        list.command.next = next;
        list.command.timed = text == "time";
        if text == "coproc" {
            self.flow.undecided.get_or_insert("`coproc`");
        }
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
    fn condition_word(&mut self, word: Word) {
        let list = self.list();
        if word.plain() == Some("]]") && list.parentheses == 0 {
            self.pop();
            self.content_end = self.at;
            return;
        }
        if word.plain() == Some("!") && list.command.words.is_empty() {
            return;
        }
        list.command.words.push(word);
    }

    /// `&&`, `(`, `<` … inside `[[ … ]]`: bash parts words there, with or without blanks. A parenthesis of a pattern is taken for one of the
    /// condition: more is then judged by itself, and nothing by too little.
    pub(super) fn condition_operator(&mut self, byte: u8) {
        let pair = self.reader.byte(self.at + 1) == Some(byte);
        match byte {
            b'&' | b'|' if pair => {
                self.end_word();
                self.close_command();
                self.at += 2;
            }
            b'(' | b')' => {
                self.end_word();
                self.close_command();
                let list = self.list();
                list.parentheses = if byte == b'(' { list.parentheses + 1 } else { list.parentheses.saturating_sub(1) };
                self.at += 1;
            }
            b'<' | b'>' => {
                self.end_word();
                self.at += 1;
            }
            // Part of a pattern.
            _ => {
                self.begin_word();
                self.push_literal(self.reader.slice(self.at, self.at + 1), false);
                self.at += 1;
            }
        }
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
