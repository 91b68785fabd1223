//! Where values go inside one command: into variables, and from there into what bash evaluates.
//!
//! This follows names, in the order of nothing: whatever the command sets anywhere may be read anywhere. What goes through files,
//! other programs or names that are computed is not followed; `spec/security.md` says so.

use std::collections::HashSet;

use super::field::Reach;

/// The parameters `$1`, `$@` … as one name.
pub(super) const PARAMETERS: &str = "@";

/// Something that becomes the value of variables.
#[derive(Clone, Debug)]
pub(super) struct Binding {
    pub(super) names: Vec<String>,
    pub(super) reach: Reach,
    /// Bash sets the name by itself: it counts where the command mentions it.
    pub(super) quiet: bool,
    /// It holds only if the command is this function of the shell.
    pub(super) function: Option<String>,
}

impl Binding {
    pub(super) fn new(name: impl Into<String>, reach: Reach) -> Self {
        Self { names: vec![name.into()], reach, quiet: false, function: None }
    }
}

/// Text that bash, or a second interpreter, evaluates.
#[derive(Clone, Debug)]
pub(super) struct Evaluation {
    /// What evaluates it, as a message names it.
    pub(super) what: String,
    /// Indices of the mentions in it.
    pub(super) reach: Reach,
    /// It is the program text of another interpreter: a warning.
    pub(super) second: bool,
}

/// What is known of a command's variables.
#[derive(Clone, Debug, Default)]
pub(super) struct Flow {
    /// Every variable that is mentioned, in order.
    pub(super) mentions: Vec<String>,
    pub(super) bindings: Vec<Binding>,
    pub(super) evaluations: Vec<Evaluation>,
    /// What evaluates names of variables that may be any: arithmetic.
    pub(super) arithmetic: Option<&'static str>,
    /// What makes it impossible to tell what a command is.
    pub(super) undecided: Option<&'static str>,
    /// Functions of the shell that the text defines.
    pub(super) functions: HashSet<String>,
    /// Some variable is an array; and some `declare NAME=…` takes text that is not constant: to an array it is elements.
    pub(super) arrays: bool,
    pub(super) declares_text: bool,
    /// Words and documents that would be programs if something ran them; and whether something runs text that it puts together or is handed.
    pub(super) texts: Vec<String>,
    pub(super) runs_texts: bool,
    /// Names of commands that start another shell.
    pub(super) shells: Vec<String>,
}

/// A binding whose values reach something that is evaluated.
pub(super) struct Reached {
    pub(super) reach: Reach,
    pub(super) what: String,
    pub(super) second: bool,
}

impl Flow {
    /// What a text that is evaluated in the same shell does, with nothing of it standing in this text.
    pub(super) fn absorb(&mut self, other: Self) {
        let base = self.mentions.len();
        let moved = |reach: Reach| Reach { parts: 0..0, mentions: base + reach.mentions.start..base + reach.mentions.end };
        self.mentions.extend(other.mentions);
        self.bindings.extend(other.bindings.into_iter().map(|binding| Binding { reach: moved(binding.reach.clone()), ..binding }));
        self.evaluations.extend(other.evaluations.into_iter().map(|one| Evaluation { reach: moved(one.reach.clone()), ..one }));
        self.arithmetic = self.arithmetic.or(other.arithmetic);
        self.undecided = self.undecided.or(other.undecided);
        self.functions.extend(other.functions);
        self.arrays |= other.arrays;
        self.declares_text |= other.declares_text;
        self.texts.extend(other.texts);
        self.runs_texts |= other.runs_texts;
        self.shells.extend(other.shells);
    }

    /// Whether something in it evaluates a variable.
    pub(super) fn evaluates(&self) -> bool {
        self.arithmetic.is_some() || self.undecided.is_some() || !self.evaluations.is_empty() || (self.arrays && self.declares_text)
    }

    /// A name that stands nowhere in the text is evaluated.
    pub(super) fn evaluate_name(&mut self, name: &str, what: &str) {
        let at = self.mentions.len();
        self.mentions.push(name.to_owned());
        let reach = Reach { parts: 0..0, mentions: at..at + 1 };
        self.evaluations.push(Evaluation { what: what.to_owned(), reach, second: false });
    }

    /// The bindings whose text bash evaluates later in the command.
    pub(super) fn reached(&self) -> Vec<Reached> {
        let mut found = Vec::new();
        let arithmetic = self.arithmetic.or((self.arrays && self.declares_text).then_some("a declaration of an array"));
        let holds = |binding: &&Binding| binding.function.as_ref().is_none_or(|name| self.functions.contains(name));
        if let Some(what) = arithmetic {
            let mentioned: HashSet<&str> = self.mentions.iter().map(String::as_str).collect();
            let counts = |binding: &&Binding| !binding.quiet || binding.names.iter().any(|name| mentioned.contains(name.as_str()));
            let all = self.bindings.iter().filter(holds).filter(counts);
            found.extend(all.map(|binding| Reached { reach: binding.reach.clone(), what: what.to_owned(), second: false }));
        }
        for second in [false, true] {
            for evaluation in self.evaluations.iter().filter(|one| one.second == second) {
                let mut wanted: HashSet<&str> = self.mentioned(&evaluation.reach).collect();
                let mut waiting: Vec<&Binding> = self.bindings.iter().filter(holds).collect();
                loop {
                    let (now, later): (Vec<_>, Vec<_>) =
                        waiting.into_iter().partition(|binding| binding.names.iter().any(|name| wanted.contains(name.as_str())));
                    waiting = later;
                    if now.is_empty() {
                        break;
                    }
                    for binding in now {
                        wanted.extend(self.mentioned(&binding.reach));
                        found.push(Reached { reach: binding.reach.clone(), what: evaluation.what.clone(), second });
                    }
                }
            }
        }
        found
    }

    fn mentioned(&self, reach: &Reach) -> impl Iterator<Item = &str> {
        self.mentions.get(reach.mentions.clone()).unwrap_or_default().iter().map(String::as_str)
    }
}
