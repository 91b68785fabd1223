//! What is known of the command and the word that are being read.

use super::field::{Piece, Reach};

/// The role of a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// At the place of a command's name; reserved words and assignments count here.
    Command,
    Argument,
    /// The target of `>`, `<`.
    Redirect,
    /// The word behind `<<<`.
    HereString,
    /// The target of `>&` or `<&`.
    Descriptor,
    /// The delimiter of a here-document.
    Delimiter {
        strip_tabs: bool,
    },
    /// An element of `name=( … )`.
    Element,
    /// Inside `[[ … ]]`.
    Condition,
    /// After `for` or `select`.
    LoopName,
    /// After that name: `in`.
    LoopIn,
    /// After `case`, and patterns.
    CaseWord,
    /// After `function`.
    FunctionName,
}

/// A value in a word.
#[derive(Clone, Copy, Debug)]
pub(super) struct Placed {
    /// Index into the parts.
    pub(super) part: usize,
    pub(super) start: usize,
    pub(super) end: usize,
}

/// A word in progress.
#[derive(Clone, Debug)]
pub(super) struct Word {
    pub(super) start: usize,
    /// Where the value starts: after `NAME=`, else at the start.
    pub(super) value_start: usize,
    pub(super) role: Role,
    /// The text without quotes, while it is constant.
    pub(super) literal: Option<String>,
    /// The constant text before the first thing that is not.
    pub(super) prefix: String,
    /// Whether any quote or escape stands in it.
    pub(super) quoted: bool,
    /// Whether it is `NAME=…`.
    pub(super) assigns: Option<String>,
    /// `NAME+=…` or `NAME[…]=…` or `NAME=(…)`.
    pub(super) assigns_part: bool,
    /// The values in it.
    pub(super) values: Vec<Placed>,
    /// Index of the first part inside an open `NAME[`.
    pub(super) subscript: Option<usize>,
    /// Where the subscript's text starts.
    pub(super) subscript_start: usize,
    /// The name before a subscript.
    pub(super) array: Option<String>,
    /// What it is made of, quotes taken away.
    pub(super) pieces: Vec<Piece>,
    /// From its start to what has been read of it.
    pub(super) reach: Reach,
}

impl Word {
    pub(super) fn new(start: usize, role: Role, reach: Reach) -> Self {
        Self {
            array: None,
            pieces: Vec::new(),
            reach,
            start,
            value_start: start,
            role,
            literal: Some(String::new()),
            prefix: String::new(),
            quoted: false,
            assigns: None,
            assigns_part: false,
            values: Vec::new(),
            subscript: None,
            subscript_start: start,
        }
    }

    pub(super) fn push(&mut self, new: &str, quoted: bool) {
        if let Some(literal) = &mut self.literal {
            literal.push_str(new);
        }
        match self.pieces.last_mut() {
            Some(Piece::Text { text, quoted: same }) if *same == quoted => text.push_str(new),
            _ => self.pieces.push(Piece::Text { text: new.to_owned(), quoted }),
        }
    }

    /// A value, or what only the running shell knows, comes next: the word is no longer constant.
    pub(super) fn spoil(&mut self, piece: Piece) {
        if let Some(literal) = self.literal.take() {
            self.prefix = literal;
        }
        self.pieces.push(piece);
    }

    /// Whether it is a reserved word that a `(` may follow at once.
    pub(super) fn ends_at_parenthesis(&self) -> bool {
        let word = self.plain().unwrap_or_default();
        match self.role {
            Role::Command => {
                matches!(word, "if" | "then" | "elif" | "else" | "while" | "until" | "do" | "for" | "!" | "time" | "coproc" | "{" | "[[")
            }
            Role::CaseWord => word == "in",
            _ => false,
        }
    }

    /// Everything up to here belongs to what was read last.
    pub(super) fn reached(&mut self, end: &Reach) {
        self.reach = self.reach.to(end);
        if let Some(Piece::Value(reach) | Piece::Unknown(_, reach)) = self.pieces.last_mut() {
            *reach = reach.to(end);
        }
    }

    /// The text if it is constant and has no quotes: only then is it a reserved word.
    pub(super) fn plain(&self) -> Option<&str> {
        self.literal.as_deref().filter(|_| !self.quoted)
    }
}

/// A simple command in progress.
#[derive(Clone, Debug)]
pub(super) struct Command {
    /// Index into the list of commands, once a word was read.
    pub(super) index: Option<usize>,
    /// The role of the next word, redirections apart.
    pub(super) next: Role,
    /// The role of the next word if a redirection waits for its target.
    pub(super) redirect: Option<Role>,
    /// The name, behind `command` and `builtin`.
    pub(super) name: Option<String>,
    pub(super) word: Option<Word>,
    /// The words that were read: name and arguments.
    pub(super) words: Vec<Word>,
    /// Those of the form `NAME=…` before the name.
    pub(super) assigned: Vec<Word>,
    /// Here-strings: what it may read.
    pub(super) input: Vec<Reach>,
    /// The variable of a `for` or `select`; the words are its values.
    pub(super) loops: Option<String>,
    /// A subscript goes on over several words.
    pub(super) open_subscript: bool,
    /// `command`, `builtin`: the name follows.
    pub(super) wrapped: bool,
    /// `time`: its options follow.
    pub(super) timed: bool,
    /// `function NAME`: `()` may follow.
    pub(super) defines: bool,
    /// A `|` follows, or what it prints goes to `>(…)`.
    pub(super) piped: bool,
    /// It is a group or another compound command, which started here.
    pub(super) opened: Option<usize>,
    pub(super) assignments: usize,
    pub(super) redirections: usize,
}

impl Command {
    pub(super) fn new(next: Role) -> Self {
        Self {
            index: None,
            next,
            redirect: None,
            name: None,
            word: None,
            words: Vec::new(),
            assigned: Vec::new(),
            input: Vec::new(),
            loops: None,
            open_subscript: false,
            wrapped: false,
            timed: false,
            defines: false,
            piped: false,
            opened: None,
            assignments: 0,
            redirections: 0,
        }
    }

    pub(super) fn named(&self, names: &[&str]) -> bool {
        self.name.as_deref().is_some_and(|name| names.contains(&name))
    }

    /// Whether the word after a value may be evaluated, since that value may be an option such as `-v` on the day.
    pub(super) fn takes_names_after_options(&self) -> bool {
        self.named(&["test", "[", "printf", "wait"])
    }

    /// Whether arguments of the form `NAME=value` are assignments.
    pub(super) fn declares(&self) -> bool {
        self.named(&["export", "readonly", "declare", "typeset", "local"])
    }
}

/// A control structure of the shell that is open in a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compound {
    If,
    Loop,
    /// Before `in`.
    CaseHead,
    /// Before the `)` of a pattern.
    CasePattern,
    CaseBody,
}

/// What a list of commands or words stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ListKind {
    /// The step itself.
    Step,
    /// `( … )`
    Subshell,
    /// `$( … )`
    Substitution,
    /// `<( … )`, `>( … )`
    Process,
    /// `{ …; }`
    Group,
    /// `name=( … )`
    Array,
    /// `[[ … ]]`
    Condition,
}

/// A list of commands or words in progress.
#[derive(Clone, Debug)]
pub(super) struct List {
    pub(super) kind: ListKind,
    pub(super) compounds: Vec<(Compound, usize)>,
    pub(super) command: Command,
    /// The last thing was `|`, `&&` or `||`.
    pub(super) after_operator: bool,
    /// `[[ … ]]`: the parentheses that are open in it. The words of the command are those of the clause between two operators.
    pub(super) parentheses: usize,
}

impl List {
    pub(super) fn new(kind: ListKind) -> Self {
        let next = match kind {
            ListKind::Array => Role::Element,
            ListKind::Condition => Role::Condition,
            _ => Role::Command,
        };
        Self { kind, compounds: Vec::new(), command: Command::new(next), after_operator: false, parentheses: 0 }
    }

    /// Whether operators and reserved words mean something here.
    pub(super) fn holds_commands(&self) -> bool {
        !matches!(self.kind, ListKind::Array | ListKind::Condition)
    }

    /// Whether the word in progress is the `]]` of this condition.
    pub(super) fn closes_condition(&self) -> bool {
        self.parentheses == 0 && self.command.word.as_ref().is_some_and(|word| word.plain() == Some("]]"))
    }

    pub(super) fn compound(&self) -> Option<Compound> {
        self.compounds.last().map(|(compound, _)| *compound)
    }
}

/// Inside `${ … }`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parameter {
    /// Nothing but the name (and a subscript) was read yet.
    pub(super) at_name: bool,
    /// What follows is arithmetic or names a variable.
    pub(super) integer: bool,
    /// `$'` starts no quotes.
    pub(super) plain_dollar: bool,
    /// The whole stands in double quotes.
    pub(super) in_double: bool,
}

/// One level of nesting.
#[derive(Clone, Debug)]
pub(super) enum Level {
    List(Box<List>),
    /// `"…"`
    Double,
    /// The body of a here-document.
    HereDocument,
    Parameter(Parameter),
    /// `((…))`, `$((…))` (closed by `))`), `$[…]` and subscripts (closed by `]`).
    Arithmetic {
        bracket: bool,
        depth: usize,
        statement: bool,
    },
}

/// A here-document whose body has not come yet.
#[derive(Clone, Debug)]
pub(super) struct Pending {
    pub(super) start: usize,
    pub(super) delimiter: String,
    pub(super) expands: bool,
    pub(super) strip_tabs: bool,
    pub(super) level: usize,
}
