//! Values: where they stand and what that place allows.

use std::collections::HashSet;

use crate::{
    ast::{Evaluated, Place, Position, Quoting, Reference, ShellPart, ShellReference},
    diagnostic::{Code, Diagnostic},
    span::Span,
    syntax::reader::is_word_byte,
};

use super::{
    super::{
        command::{Level, List, Placed, Role},
        field::{Piece, Reach},
        flow::{Binding, Evaluation, Flow, PARAMETERS},
        names::{OWN_TEXT, names_in},
    },
    Scanner,
};

/// How many texts of a command are read for what they would do as programs.
const TEXTS_MAX: usize = 512;

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
        if self.surroundings.is_foreign {
            self.push_literal("@", false);
            self.at += 1;
            return;
        }
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
        self.push_literal("@", false);
        self.at += 1;
    }

    fn value(&mut self, reference: Reference, start: usize, end: usize) {
        self.flush(start);
        self.text_from = end;
        self.at = end;
        self.mark = end;
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
        let reach = Reach { parts: part..part + 1, ..self.reach() };
        self.push_piece(Piece::Value(reach));
        let list = judgement.list.and_then(|index| match self.levels.get_mut(index) {
            Some((Level::List(list), _)) => Some(list),
            _ => None,
        });
        let mut command = None;
        if let Some(list) = list {
            command = list.command.index.and_then(|index| u32::try_from(index).ok()).filter(|index| *index != u32::MAX);
            if let Some(word) = &mut list.command.word {
                word.values.push(Placed { part, start, end });
            }
        }
        let position = Position { place: judgement.place, quoting: judgement.quoting, alone: false };
        let evaluated = (position.place == Place::Integer).then_some(Evaluated::Here);
        let reference = ShellReference { reference, position, command, interpreter: None, evaluated };
        self.parts.push(ShellPart::Reference(Box::new(reference)));
    }

    /// A value in the program text of a second interpreter.
    pub(super) fn warn_interpreter(&mut self, part: usize, name: &str) {
        let Some(found) = self.shell_reference(part).filter(|found| found.interpreter.is_none()) else { return };
        found.interpreter = Some(name.to_owned());
        if found.reference.quoted {
            return;
        }
        let span = found.reference.span;
        let path = self.reader.text.get(span.range()).unwrap_or("@var.x").to_owned();
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
        let diagnostic = Diagnostic::new(Code::ValueInSecondInterpreter, span, message).with_help(help);
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
                Level::List(list) if !decided => {
                    decided = true;
                    judgement.list = Some(index);
                    Self::judge_word(list, &mut judgement);
                }
                Level::List(_) => {}
            }
        }
        if integer {
            judgement.place = Place::Integer;
        }
        judgement
    }

    fn judge_word(list: &List, judgement: &mut Judgement) {
        let command = &list.command;
        let Some(word) = &command.word else { return };
        judgement.place = match word.role {
            Role::Command if word.assigns.is_some() => Place::Assignment,
            Role::Command => Place::CommandWord,
            Role::Argument if word.assigns.is_some() => Place::Assignment,
            Role::Argument | Role::Element => Place::Word,
            Role::Redirect | Role::HereString | Role::Condition | Role::CaseWord => Place::Redirect,
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
    }

    /// Only an Int may stand where these values stand.
    pub(super) fn make_integers(&mut self, reach: &Reach, why: &Evaluated) {
        for part in self.parts.get_mut(reach.parts.clone()).unwrap_or_default() {
            if let ShellPart::Reference(reference) = part {
                reference.position.place = Place::Integer;
                reference.evaluated.get_or_insert_with(|| why.clone());
            }
        }
    }

    /// Values that stand here are refused: the command takes its words for shell text.
    pub(super) fn refuse_evaluated(&mut self, reach: &Reach, name: &str) {
        let spans: Vec<Span> = self.values_in(reach).map(|reference| reference.reference.span).collect();
        for span in spans {
            let message = format!("values cannot stand in a command of `{name}`, which reads its words as shell text");
            let help = match name {
                "trap" => "clean up in `try { … } finally { … }`",
                "source" => "write the text to a file before, or run the command itself",
                _ => "run the command itself, without `eval`",
            };
            self.reader.error_help(Code::ValueInEval, span, message, help);
            self.failed = true;
        }
    }

    pub(super) fn values_in(&self, reach: &Reach) -> impl Iterator<Item = &ShellReference> {
        self.parts.get(reach.parts.clone()).unwrap_or_default().iter().filter_map(|part| match part {
            ShellPart::Reference(reference) => Some(reference.as_ref()),
            ShellPart::Text { .. } => None,
        })
    }

    /// What was printed since `start` may be read elsewhere in the command.
    pub(super) fn hand_on(&mut self, start: usize) {
        self.inputs.extend(self.printed.iter().filter(|(end, _)| *end >= start).map(|(_, reach)| reach.clone()));
    }

    /// What is read in the command comes from here-documents, here-strings and what is piped.
    pub(super) fn read_inputs(&mut self) {
        if self.prints_on || !self.flow.functions.is_empty() {
            self.hand_on(0);
        }
        for reach in std::mem::take(&mut self.inputs) {
            if !self.reads.is_empty() {
                self.flow.bindings.push(Binding { names: self.reads.clone(), ..Binding::new("", reach.clone()) });
            }
            if let Some(name) = self.runs_input {
                self.refuse_evaluated(&reach, name);
                self.flow.evaluations.push(Evaluation { what: format!("`{name}`"), reach, second: false });
            }
        }
    }

    /// Where something runs text that is not known here, every text of the command may be what it runs. Where another shell starts, its
    /// script may be any of them too: what that evaluates are the variables and arguments that it is given.
    fn run_texts(&mut self) {
        let mut seen = HashSet::new();
        while let Some(text) = self.flow.texts.pop() {
            let shells = self.flow.shells.clone();
            if !self.flow.runs_texts && shells.is_empty() {
                return;
            }
            // `printf` and `echo -e` read escapes and put words into formats.
            let printed = super::super::ansi::decode(&text).replace("%s", "$-").replace("%b", "$-");
            for text in [text, printed] {
                if !seen.insert(text.clone()) {
                    continue;
                }
                if seen.len() > TEXTS_MAX {
                    return self.evaluates("text that is run");
                }
                if self.flow.runs_texts {
                    self.absorb(&text, "text that is run");
                }
                let found = self.flow_of(&text);
                if let Some(shell) = shells.last()
                    && found.as_ref().is_none_or(Flow::evaluates)
                {
                    let names = found.map_or_else(|| names_in(&text).map(str::to_owned).collect(), |found| found.mentions);
                    for name in names {
                        if name == PARAMETERS {
                            self.flow.functions.extend(shells.iter().cloned());
                        }
                        self.flow.evaluate_name(&name, &format!("`{shell}`"));
                    }
                }
            }
        }
    }

    /// What becomes a variable's value may be evaluated later in the command.
    pub(super) fn settle(&mut self) {
        self.read_inputs();
        self.run_texts();
        for name in OWN_TEXT {
            let reach = Reach { parts: 0..self.parts.len(), mentions: 0..0 };
            let quiet = !self.reader.slice(self.start, self.content_end.max(self.start)).contains(name);
            self.flow.bindings.push(Binding { quiet, ..Binding::new(name, reach) });
        }
        for reached in self.flow.reached() {
            if reached.second {
                for part in reached.reach.parts {
                    self.warn_interpreter(part, &reached.what);
                }
            } else {
                self.make_integers(&reached.reach, &Evaluated::Later(reached.what));
            }
        }
        if let Some(what) = self.flow.undecided {
            let all = Reach { parts: 0..self.parts.len(), mentions: 0..0 };
            self.make_integers(&all, &Evaluated::Undecided(what));
        }
    }
}
