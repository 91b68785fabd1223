//! What bash does with the words of one command: which it evaluates, which become values of variables.
//!
//! Words are judged as the command gets them, after quotes and braces. What cannot be read is taken for the worst that it may be.

use super::{
    field::{Field, Piece, Reach, Unknown},
    flow::{Binding, Evaluation, PARAMETERS},
    names::{is_evaluated, is_name},
};

/// What evaluates a variable, as a message says it.
const UNREAD: &str = "a command whose name is not known before it runs";

/// Why only an Int may stand in a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// The place is evaluated.
    Evaluated,
    /// The command may be one that evaluates its words.
    Unread,
}

/// What follows from a command.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// Where only an Int may stand.
    pub(super) integers: Vec<(Reach, Reason)>,
    /// Where no value may stand, with the command that takes it for shell text.
    pub(super) refused: Vec<(Reach, String)>,
    pub(super) bindings: Vec<Binding>,
    pub(super) evaluations: Vec<Evaluation>,
    /// Programs for this shell that are constant.
    pub(super) constants: Vec<String>,
    /// Constant text that names variables in arithmetic.
    pub(super) names: Vec<String>,
    pub(super) arithmetic: Option<&'static str>,
    pub(super) undecided: Option<&'static str>,
    pub(super) arrays: bool,
    pub(super) declares_text: bool,
    /// It runs text that is not constant, or that it is handed.
    pub(super) runs_texts: bool,
    /// Variables that the command sets.
    pub(super) assigned: Vec<String>,
    /// It sets variables from its input.
    pub(super) reads: Vec<String>,
    /// It evaluates its input.
    pub(super) runs_input: Option<&'static str>,
}

/// What a command is.
enum Resolved<'f> {
    /// This name, behind `command` and `builtin`, and its words.
    Known(String, &'f [Field]),
    /// It depends on what is known only when it runs: the name, if it is one word, and the words.
    Unread(Option<&'f Field>, &'f [Field]),
    /// Nothing that could evaluate a word.
    Harmless,
}

fn resolve(mut words: &[Field]) -> Resolved<'_> {
    loop {
        let Some((first, rest)) = words.split_first() else { return Resolved::Harmless };
        let Some(name) = first.constant() else {
            return if first.is_path() { Resolved::Harmless } else { Resolved::Unread(Some(first), rest) };
        };
        words = rest;
        match name.as_str() {
            "command" | "builtin" => loop {
                let Some((option, rest)) = words.split_first() else { return Resolved::Harmless };
                match option.constant() {
                    Some(text) if text == "--" => {
                        words = rest;
                        break;
                    }
                    // It only says what the name means.
                    Some(text) if name == "command" && text.starts_with('-') && text.contains(['v', 'V']) => return Resolved::Harmless,
                    Some(text) if text.starts_with('-') => words = rest,
                    _ => break,
                }
            },
            "jobs" if rest.iter().any(|word| word.may_start("-") && word.constant().is_none_or(|text| text.contains('x'))) => {
                return Resolved::Unread(None, rest);
            }
            _ => return Resolved::Known(name, rest),
        }
    }
}

/// The options of a builtin.
struct Options<'f> {
    letters: String,
    arguments: Vec<(char, Field)>,
    operands: &'f [Field],
    /// An option may be anything.
    unread: bool,
}

fn options<'f>(mut words: &'f [Field], takes: &str) -> Options<'f> {
    let mut found = Options { letters: String::new(), arguments: Vec::new(), operands: words, unread: false };
    while let Some((word, rest)) = words.split_first() {
        let Some(text) = word.constant() else {
            let (start, _) = word.start();
            found.unread = start.is_empty() || start.starts_with(['-', '+', '*', '?', '[', '~']);
            break;
        };
        if text == "--" {
            words = rest;
            break;
        }
        let Some(letters) = text.strip_prefix(['-', '+']).filter(|letters| !letters.is_empty()) else { break };
        words = rest;
        for (index, letter) in letters.char_indices() {
            found.letters.push(letter);
            if takes.contains(letter) {
                let own = letters.get(index + letter.len_utf8()..).unwrap_or_default();
                if !own.is_empty() {
                    let text = Piece::Text { text: own.to_owned(), quoted: true };
                    found.arguments.push((letter, Field { pieces: vec![text] }));
                } else if let Some((argument, rest)) = words.split_first() {
                    found.arguments.push((letter, argument.clone()));
                    found.unread |= matches!(argument.pieces.as_slice(), [] | [Piece::Unknown(Unknown::Split, _)]);
                    words = rest;
                }
                break;
            }
        }
    }
    found.operands = words;
    found
}

/// A constant name of a variable that nothing evaluates.
fn plain_name(field: &Field) -> Option<String> {
    field.constant().filter(|name| is_name(name))
}

impl Outcome {
    /// Judges the words of a command.
    pub(super) fn of(words: &[Field]) -> Self {
        let mut outcome = Self::default();
        match resolve(words) {
            Resolved::Known(name, rest) => outcome.known(&name, rest),
            Resolved::Unread(name, rest) => {
                // `$x` as a name is split: it names a program and gives its words.
                let splits = |piece: &&Piece| matches!(piece, Piece::Unknown(Unknown::Split, _));
                let split = name.iter().flat_map(|name| &name.pieces).filter(splits).cloned().collect();
                outcome.runs(UNREAD, &[Field { pieces: split }]);
                outcome.unread(rest);
            }
            Resolved::Harmless => {}
        }
        if let Some((first, rest)) = words.split_first() {
            for word in rest {
                outcome.environment(word);
            }
            let last = words.last().filter(|_| !rest.is_empty()).unwrap_or(first);
            for reach in last.reaches() {
                outcome.bindings.push(Binding { quiet: true, ..Binding::new("_", reach.clone()) });
            }
        }
        outcome
    }

    fn integer(&mut self, field: &Field) {
        self.integers.extend(field.evaluated().map(|reach| (reach.clone(), Reason::Evaluated)));
    }

    fn all_integers(&mut self, words: &[Field]) {
        words.iter().for_each(|word| self.integer(word));
    }

    fn evaluates(&mut self, what: &'static str) {
        self.arithmetic = self.arithmetic.or(Some(what));
    }

    fn runs(&mut self, what: &str, words: &[Field]) {
        let reaches = words.iter().flat_map(Field::reaches);
        self.evaluations.extend(reaches.map(|reach| Evaluation { what: what.to_owned(), reach: reach.clone(), second: false }));
    }

    fn binds(&mut self, name: &str, words: &[Field]) {
        self.bindings.extend(words.iter().flat_map(Field::reaches).map(|reach| Binding::new(name, reach.clone())));
    }

    /// The command sets this variable.
    fn sets(&mut self, name: String) {
        if is_evaluated(&name) {
            self.evaluates("a variable that bash evaluates");
        }
        self.assigned.push(name);
    }

    /// A word that names a variable: evaluated where it is no plain name.
    fn variable(&mut self, field: &Field, what: &'static str) -> Option<String> {
        self.integer(field);
        let name = plain_name(field);
        match &name {
            Some(name) => self.sets(name.clone()),
            None => self.evaluates(what),
        }
        name
    }

    /// A command that may be any: were it `eval`, it would evaluate its words.
    fn unread(&mut self, words: &[Field]) {
        self.integers.extend(words.iter().flat_map(Field::reaches).map(|reach| (reach.clone(), Reason::Unread)));
        self.runs(UNREAD, words);
    }

    /// `env BASH_ENV=… bash`: what a shell evaluates when it starts.
    fn environment(&mut self, word: &Field) {
        let (start, more) = word.start();
        let hook =
            ["BASH_ENV=", "PS0=", "PS1=", "PS2=", "PS4=", "PROMPT_COMMAND=", "BASH_FUNC_"].iter().any(|name| start.starts_with(name));
        if more && hook {
            self.integer(word);
            self.runs("a shell that starts", std::slice::from_ref(word));
        }
        // `env x=…`: a variable of the program that it starts.
        if let Some((name, text)) = word.assignment() {
            self.bindings.extend(text.reaches().map(|reach| Binding { quiet: true, ..Binding::new(name.clone(), reach.clone()) }));
        }
    }

    fn known(&mut self, name: &str, words: &[Field]) {
        self.bindings.extend(
            words
                .iter()
                .flat_map(Field::reaches)
                .map(|reach| Binding { function: Some(name.to_owned()), ..Binding::new(PARAMETERS, reach.clone()) }),
        );
        match name {
            "eval" | "trap" | "alias" | "complete" | "compgen" | "compopt" | "bind" | "fc" | "history" => self.program(name, words),
            "source" | "." => self.source(words),
            "enable" => {
                let options = options(words, "f");
                if options.unread || options.letters.contains('f') {
                    self.integers.extend(words.iter().flat_map(Field::reaches).map(|reach| (reach.clone(), Reason::Unread)));
                }
            }
            "let" => {
                self.evaluates("`let`");
                self.all_integers(words);
                self.names.extend(words.iter().flat_map(|word| &word.pieces).filter_map(|piece| match piece {
                    Piece::Text { text, .. } => Some(text.clone()),
                    _ => None,
                }));
            }
            "declare" | "typeset" | "local" | "export" | "readonly" => self.declaration(name, words),
            "read" => self.read(words),
            "mapfile" | "readarray" => self.mapfile(words),
            "unset" => {
                let found = options(words, "");
                for word in found.operands {
                    self.integer(word);
                    if plain_name(word).is_none() {
                        self.evaluates("`unset`");
                    }
                }
                self.all_integers(words);
            }
            "getopts" => {
                self.all_integers(words);
                if let Some(name) = words.get(1) {
                    self.variable(name, "`getopts`");
                }
            }
            "printf" => self.printf(words),
            "test" => self.test(words),
            "[" => self.test(words.split_last().map_or(words, |(_, words)| words)),
            "wait" => {
                let options = options(words, "p");
                self.all_integers(words);
                let name = options.arguments.iter().find(|(letter, _)| *letter == 'p').map(|(_, name)| name);
                if let Some(name) = name {
                    self.variable(&name.clone(), "`wait -p`");
                } else if options.unread && words.len() > 1 {
                    self.evaluates("`wait`");
                }
            }
            "set" => {
                self.binds(PARAMETERS, words);
                if words.iter().any(|word| word.constant().is_some_and(|text| text.starts_with('-') && text.contains('k'))) {
                    self.undecided = Some("`set -k`");
                }
            }
            "shopt" if words.iter().any(|word| word.may_be("expand_aliases")) => self.undecided = Some("aliases"),
            "cd" | "pushd" => {
                for name in ["PWD", "OLDPWD", "DIRSTACK"] {
                    let reaches = words.iter().flat_map(Field::reaches);
                    self.bindings.extend(reaches.map(|reach| Binding { quiet: true, ..Binding::new(name, reach.clone()) }));
                }
            }
            _ => {}
        }
    }

    /// Commands that take their words for shell text.
    fn program(&mut self, name: &str, words: &[Field]) {
        self.refused.extend(words.iter().flat_map(Field::reaches).map(|reach| (reach.clone(), name.to_owned())));
        if !matches!(name, "eval" | "trap" | "alias") {
            return;
        }
        if words.iter().any(|word| word.constant().is_none()) {
            self.runs(&format!("`{name}`"), words);
            self.runs_texts = true;
        }
        let mut text = words.iter().map(Field::outline);
        match name {
            "eval" => self.constants.push(text.collect::<Vec<_>>().join(" ")),
            "trap" => {
                let action = text.find(|word| !matches!(word.as_str(), "--" | "-l" | "-p"));
                self.constants.extend(action.filter(|action| action != "-"));
            }
            _ => {}
        }
    }

    fn source(&mut self, words: &[Field]) {
        let words = match words.split_first() {
            Some((first, rest)) if first.constant().as_deref() == Some("--") => rest,
            _ => words,
        };
        let Some((file, rest)) = words.split_first() else { return };
        // A file of the file system holds what was in it before; a name below `/dev` or `/proc` may be what this command is handed.
        self.runs_texts |= file.constant().is_none_or(|name| name.contains("dev/") || name.contains("proc/"));
        for piece in words.iter().flat_map(|word| &word.pieces) {
            if let Piece::Unknown(Unknown::Process, reach) = piece {
                self.refused.push((reach.clone(), "source".to_owned()));
                self.evaluations.push(Evaluation { what: "`source`".to_owned(), reach: reach.clone(), second: false });
            }
        }
        self.runs_input = Some("source");
        self.binds(PARAMETERS, rest);
    }

    fn declaration(&mut self, name: &str, words: &[Field]) {
        let found = options(words, "");
        let keeps = matches!(name, "export" | "readonly");
        let arrays = found.letters.contains(['a', 'A']);
        self.arrays |= arrays;
        let takes_text = |word: &Field| word.assignment().is_some_and(|(_, text)| text.evaluated().next().is_some());
        let texts = found.operands.iter().any(takes_text);
        self.declares_text |= texts && !keeps;
        let computes = found.unread || (!keeps && found.letters.contains(['i', 'n'])) || (arrays && texts);
        if computes {
            self.evaluates("a declaration");
        }
        for word in found.operands {
            let assignment = word.assignment();
            let evaluated = assignment.as_ref().is_some_and(|(name, _)| is_evaluated(name));
            match &assignment {
                Some((name, text)) => {
                    self.sets(name.clone());
                    self.binds(name, std::slice::from_ref(text));
                }
                None => match plain_name(word) {
                    Some(name) => self.sets(name),
                    None => self.evaluates("a declaration"),
                },
            }
            if computes || evaluated || assignment.is_none() {
                self.integer(word);
            } else if !keeps {
                // To a variable that is an array already the text is its elements.
                let values = word.pieces.iter().filter(|piece| matches!(piece, Piece::Value(_)));
                self.integer(&Field { pieces: values.cloned().collect() });
            }
        }
    }

    fn read(&mut self, words: &[Field]) {
        let found = options(words, "adinNptu");
        if found.unread {
            self.all_integers(words);
            self.evaluates("`read`");
        }
        let array: Vec<Field> = found.arguments.iter().filter(|(letter, _)| *letter == 'a').map(|(_, name)| name.clone()).collect();
        self.arrays |= !array.is_empty();
        self.reads.push("REPLY".to_owned());
        for word in found.operands.iter().chain(&array) {
            let name = self.variable(word, "`read`");
            self.reads.extend(name);
        }
    }

    fn mapfile(&mut self, words: &[Field]) {
        let found = options(words, "dnOsuCc");
        self.arrays = true;
        self.reads.push("MAPFILE".to_owned());
        if found.unread || found.letters.contains('C') {
            self.all_integers(words);
            self.evaluates("`mapfile -C`");
        }
        for word in found.operands {
            let name = self.variable(word, "`mapfile`");
            self.reads.extend(name);
        }
    }

    fn printf(&mut self, words: &[Field]) {
        let Some((first, rest)) = words.split_first() else { return };
        let constant = first.constant();
        let own = constant.as_deref().and_then(|text| text.strip_prefix("-v"));
        let (name, rest) = match own {
            Some("") => match rest.split_first() {
                Some((name, rest)) => (name.clone(), rest),
                None => return,
            },
            Some(name) => (Field { pieces: vec![Piece::Text { text: name.to_owned(), quoted: true }] }, rest),
            None => {
                // A value in the place of an option may be `-v` on the day, or `-vNAME` if more follows.
                if constant.is_none() && first.may_be_name_option() && !rest.is_empty() {
                    self.all_integers(words);
                    self.evaluates("`printf -v`");
                } else if constant.is_none() && first.start().0.starts_with("-v") {
                    self.integer(first);
                }
                return;
            }
        };
        match self.variable(&name, "`printf -v`") {
            Some(name) => self.binds(&name, rest),
            None => self.all_integers(rest),
        }
    }

    /// `test` and `[`: the word behind `-v`, and what may be `-v`, names a variable.
    fn test(&mut self, words: &[Field]) {
        for pair in words.windows(2) {
            let [option, name] = pair else { continue };
            if option.may_be("-v") {
                self.integer(name);
                let told = option.constant().is_some() && plain_name(name).is_none();
                if told || name.constant().is_none() {
                    self.evaluates("`test -v`");
                }
            }
        }
    }

    /// A part of `[[ … ]]` between two operators: `plain` are its words as they are written, where they are constant and not quoted.
    pub(super) fn of_clause(words: &[Field], plain: &[Option<&str>]) -> Self {
        let mut outcome = Self::default();
        let evaluates = |word: &Option<&str>| matches!(word, Some("-eq" | "-ne" | "-lt" | "-le" | "-gt" | "-ge" | "-v" | "-R"));
        if plain.iter().any(evaluates) {
            outcome.evaluates("`[[ … ]]`");
            outcome.all_integers(words);
            let texts = words.iter().flat_map(|word| &word.pieces).filter_map(|piece| match piece {
                Piece::Text { text, .. } => Some(text.clone()),
                _ => None,
            });
            outcome.names.extend(texts);
        }
        if plain.contains(&Some("=~")) {
            let reaches = words.iter().flat_map(Field::reaches);
            outcome.bindings.extend(reaches.map(|reach| Binding { quiet: true, ..Binding::new("BASH_REMATCH", reach.clone()) }));
        }
        outcome
    }
}
