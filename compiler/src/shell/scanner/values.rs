//! Values: where they stand and what that place allows.

use crate::{
    ast::{Place, Position, Quoting, Reference, ShellPart, ShellReference},
    diagnostic::{Code, Diagnostic},
    syntax::reader::is_word_byte,
};

use super::{
    super::command::{Level, ListKind, Placed, Role, is_evaluated},
    Scanner,
};

/// What a place says about a value.
struct Judgement {
    place: Place,
    quoting: Quoting,
    refusal: Option<(Code, String, &'static str)>,
    /// The innermost list, whose word holds the value.
    list: Option<usize>,
}

impl Scanner<'_, '_> {
    /// `@` at `at`: a value, or a character.
    pub(super) fn at_sign(&mut self) {
        let before = self.at.checked_sub(1).and_then(|before| self.reader.byte(before));
        let after_word = self.at > self.mark && self.at > self.start && before.is_some_and(is_word_byte);
        let braced = self.reader.byte(self.at + 1) == Some(b'{');
        if !after_word || braced {
            let start = self.at;
            if let Some((reference, end)) = self.reader.reference(start, false) {
                self.value(reference, start, end);
                return;
            }
            if !after_word {
                self.reader.warn_near_miss(start);
            }
        }
        self.push_literal("@");
        self.at += 1;
    }

    fn value(&mut self, reference: Reference, start: usize, end: usize) {
        self.flush(start);
        self.text_from = end;
        self.at = end;
        self.mark = end;
        self.spoil_word();
        if reference.namespace.name == "cmd" {
            self.reader.call_in_text(&reference);
            self.failed = true;
            return;
        }
        let judgement = self.judge();
        if let Some((code, message, help)) = judgement.refusal {
            let span = self.span_of_value(start, end);
            self.reader.error_help(code, span, message, help);
            self.failed = true;
        }
        let part = self.parts.len();
        let list = judgement.list.and_then(|index| match self.levels.get_mut(index) {
            Some((Level::List(list), _)) => Some(list),
            _ => None,
        });
        let mut command = None;
        let mut interpreter = None;
        let mut feeds = false;
        if let Some(list) = list {
            command = list.command.index.and_then(|index| u32::try_from(index).ok()).filter(|index| *index != u32::MAX);
            feeds = list.command.feeds_variables || list.kind == ListKind::Array;
            if let Some(word) = &mut list.command.word {
                word.values.push(Placed { part, start, end });
                if matches!(word.role, Role::Argument) {
                    interpreter = list.command.interpreter.current().map(str::to_owned);
                }
            }
        }
        if feeds {
            self.feeding.push(part);
        }
        if let Some(name) = interpreter.as_ref().filter(|_| !reference.quoted) {
            self.warn_interpreter(&reference, name);
        }
        let position = Position { place: judgement.place, quoting: judgement.quoting, alone: false };
        let reference = ShellReference { reference, position, command, interpreter };
        self.parts.push(ShellPart::Reference(Box::new(reference)));
    }

    fn warn_interpreter(&mut self, reference: &Reference, name: &str) {
        let path = self.reader.text.get(reference.span.range()).unwrap_or("@var.x").to_owned();
        let bare = path.trim_start_matches('@').trim_start_matches('{').trim_end_matches('}').to_owned();
        let message = format!("this value becomes part of a program that `{name}` reads");
        let help = match name {
            "awk" | "gawk" | "mawk" | "nawk" => format!("pass it as data: `{name} -v x={path} '… x …'`"),
            "jq" => format!("pass it as data: `jq --arg x {path} '… $x …'`"),
            "psql" => format!("pass it as data: `psql -v x={path}` and `:'x'` in a file or on standard input"),
            "sh" | "bash" | "dash" | "zsh" | "ksh" | "ash" => {
                format!("pass it as an argument: `{name} -c '… \"$1\"' _ {path}`, or write `@{{{bare}}}.quoted`")
            }
            "ssh" | "autossh" | "su" | "runuser" | "flock" | "script" | "watch" => {
                format!("a shell reads this text: write `@{{{bare}}}.quoted`, which is one word there")
            }
            "perl" | "ruby" => format!("pass it as an argument: `{name} -e '… $ARGV[0] …' {path}`"),
            "node" => format!("pass it as an argument: `node -e '… process.argv[1] …' {path}`"),
            name if name.starts_with("python") => format!("pass it as an argument: `{name} -c '… sys.argv[1] …' {path}`"),
            _ => format!("pass it as an argument of that program, or write `@{{{bare}}}.quoted` if a shell reads it"),
        };
        let diagnostic = Diagnostic::new(Code::ValueInSecondInterpreter, reference.span, message).with_help(help);
        self.reader.report(diagnostic);
    }

    /// Where a value at this point stands: looks down the levels.
    fn judge(&self) -> Judgement {
        let mut judgement = Judgement { place: Place::Word, quoting: Quoting::Bare, refusal: None, list: None };
        let mut decided = false;
        let mut integer = false;
        match self.levels.last().map(|(level, _)| level) {
            Some(Level::Double) => judgement.quoting = Quoting::Double,
            Some(Level::HereDocument) => judgement.quoting = Quoting::HereDocument,
            _ => {}
        }
        for (index, (level, _)) in self.levels.iter().enumerate().rev() {
            match level {
                Level::Double => {}
                Level::HereDocument if !decided => {
                    judgement.place = Place::HereDocument;
                    decided = true;
                }
                Level::HereDocument => {}
                Level::Arithmetic { .. } => integer = true,
                Level::Parameter(parameter) if parameter.integer => integer = true,
                Level::Parameter(_) if !decided && !integer => {
                    let help = "give the value a name of the shell first, in the same command: `value=@var.name; echo ${NAME:-$value}`";
                    let message = "values cannot stand inside `${…}`".to_owned();
                    judgement.refusal = Some((Code::ValueInExpansion, message, help));
                    decided = true;
                }
                Level::Parameter(_) => {}
                Level::List(list) => {
                    if !decided {
                        decided = true;
                        judgement.list = Some(index);
                        self.judge_word(list, &mut judgement, &mut integer);
                    }
                    integer |= list.command.evaluates_arguments() && list.command.name.as_deref() == Some("let");
                }
            }
        }
        if integer {
            judgement.place = Place::Integer;
        }
        judgement
    }

    fn judge_word(&self, list: &super::super::command::List, judgement: &mut Judgement, integer: &mut bool) {
        let command = &list.command;
        let Some(word) = &command.word else { return };
        judgement.place = match word.role {
            Role::Command if word.assigns.is_some() => Place::Assignment,
            Role::Command => Place::CommandWord,
            Role::Argument if word.assigns.is_some() => Place::Assignment,
            Role::Argument | Role::Element => Place::Word,
            Role::Redirect | Role::Condition | Role::CaseWord => Place::Redirect,
            Role::Descriptor => {
                let help = "write the number, or `>\"file\"` for a file";
                let message = "values cannot be the target of `>&` or `<&`".to_owned();
                judgement.refusal = Some((Code::ValueAsDescriptor, message, help));
                Place::Redirect
            }
            Role::Delimiter { .. } => {
                let help = "write a fixed word, such as `<<EOF`";
                let message = "values cannot stand in the delimiter of a here-document".to_owned();
                judgement.refusal = Some((Code::ValueAsDelimiter, message, help));
                Place::Redirect
            }
            Role::LoopName | Role::LoopIn | Role::FunctionName => {
                let message = "a value cannot stand where the shell wants a name".to_owned();
                judgement.refusal =
                    Some((Code::ValueInShellSyntax, message, "write the name itself, and use the value where the name is read"));
                Place::Word
            }
        };
        let argument = word.role == Role::Argument;
        if command.named(&["eval", "trap", "alias", "compgen", "complete"]) && (argument || command.wrapped) {
            let name = command.name.as_deref().unwrap_or("eval");
            let message = format!("values cannot stand in a command of `{name}`, which reads its words as shell text");
            let help = match name {
                "trap" => "clean up in `try { … } finally { … }`",
                _ => "run the command itself, without `eval`",
            };
            judgement.refusal = Some((Code::ValueInEval, message, help));
        }
        *integer |= argument && (command.evaluates_arguments() || command.integer_next);
        // A name that is a value may hold a subscript.
        *integer |= argument && command.declares() && word.assigns.is_none();
        *integer |= word.role == Role::Condition && list.clause_is_arithmetic;
        *integer |= command.integers;
        *integer |= word.assigns.as_deref().is_some_and(is_evaluated);
    }

    /// Every value from this part on stands in a place that is evaluated.
    pub(super) fn make_integers(&mut self, first: usize) {
        for part in self.parts.iter_mut().skip(first) {
            if let ShellPart::Reference(reference) = part {
                reference.position.place = Place::Integer;
            }
        }
    }

    /// In a text with arithmetic, what becomes a variable's value may be evaluated later.
    pub(super) fn settle_integers(&mut self) {
        if !self.has_arithmetic {
            return;
        }
        for part in std::mem::take(&mut self.feeding) {
            if let Some(reference) = self.shell_reference(part) {
                reference.position.place = Place::Integer;
            }
        }
        for part in &mut self.parts {
            let ShellPart::Reference(reference) = part else { continue };
            let name = reference.command.and_then(|index| self.commands.get(index as usize)).and_then(|command| command.name.as_ref());
            // The arguments of a function are variables in its body.
            let becomes_argument = reference.position.place == Place::Word && name.is_some_and(|name| self.functions.contains(name));
            if reference.position.place == Place::Assignment || becomes_argument {
                reference.position.place = Place::Integer;
            }
        }
    }
}
