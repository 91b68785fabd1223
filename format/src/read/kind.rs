//! The version of the format, and the closed lists of numbers that appear in a plan: sections, node kinds, text positions, value types, plan
//! types.

use std::fmt;

/// The major version that this crate reads and writes.
pub const VERSION_MAJOR: u16 = 2;
/// The minor version that this crate writes. A reader takes any: additions are sections.
pub const VERSION_MINOR: u16 = 0;

/// Declares a numbered list: an enum, its names, and a decoder that refuses unknown numbers.
macro_rules! numbered {
    ($(#[$meta:meta])* pub enum $name:ident: $repr:ty { $($(#[$vmeta:meta])* $variant:ident = $number:literal, $text:literal;)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr($repr)]
        pub enum $name { $($(#[$vmeta])* $variant = $number),+ }

        impl $name {
            /// Every member, in numeric order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The member with this number, or `None`.
            #[must_use]
            pub const fn from_number(number: $repr) -> Option<Self> {
                match number { $($number => Some(Self::$variant),)+ _ => None }
            }

            /// Its number in files.
            #[must_use]
            pub const fn number(self) -> $repr { self as $repr }

            /// Its name in views and messages.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }
    };
}

pub(crate) use numbered;

numbered! {
    /// The sections that this version knows, in the order in which they stand.
    pub enum Section: u8 {
        /// What the VM enforces.
        Terms = 0, "TERMS";
        /// The bytecode.
        Program = 1, "PROGRAM";
        /// The step tree.
        Steps = 2, "STEPS";
        /// The slots.
        Values = 3, "VALUES";
        /// The files of the source.
        Sources = 4, "SOURCES";
        /// The hosts that it is meant for, where it is not for any.
        Audience = 5, "AUDIENCE";
        /// Sealed sub-keys of a regen root, where values were derived from one.
        Regen = 6, "REGEN";
        /// The sealed seed.
        Envelope = 7, "ENVELOPE";
        /// JSON that informs and decides nothing.
        Provenance = 8, "PROVENANCE";
        /// The signatures.
        Signature = 9, "SIGNATURE";
    }
}

impl Section {
    /// The four bytes that a frame of this section starts with.
    #[must_use]
    pub const fn tag(self) -> [u8; 4] {
        *match self {
            Self::Terms => b"TERM",
            Self::Program => b"PROG",
            Self::Steps => b"STEP",
            Self::Values => b"VALS",
            Self::Sources => b"SRCS",
            Self::Audience => b"AUDI",
            Self::Regen => b"REGN",
            Self::Envelope => b"ENVL",
            Self::Provenance => b"PROV",
            Self::Signature => b"SIGN",
        }
    }

    /// Whether a reader that does not know the section must stop.
    #[must_use]
    pub const fn is_critical(self) -> bool {
        !matches!(self, Self::Provenance)
    }
}

impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

numbered! {
    /// What a node of the step tree is (spec/plan-format.md, "STEPS"). Numbers from 64 are control-flow nodes: they say how
    /// planning got here, run nothing themselves, and are outside `plan_hash`.
    pub enum NodeKind: u16 {
        /// One shell command.
        Shell = 1, "@shell";
        /// Runs its block again while it fails.
        Retry = 2, "@retry";
        /// Ends its block's processes when time is up.
        Timeout = 3, "@timeout";
        /// Runs its block in another directory.
        Workdir = 4, "@workdir";
        /// Runs its branches at once.
        Parallel = 5, "@parallel";
        /// Lets processes live until the enclosing block ends.
        Detach = 6, "@detach";
        /// Lends the terminal (direct runs only).
        Tty = 7, "@tty";
        /// Steps without network.
        IsolatedNetwork = 8, "@isolated.network";
        /// Steps with a restricted view of the file system.
        IsolatedFilesystem = 9, "@isolated.filesystem";
        /// Steps without privileges.
        IsolatedPrivileges = 10, "@isolated.privileges";
        /// Holds its steps, then `@catch`, then `@finally`.
        Try = 16, "@try";
        /// Runs after a failure in the enclosing `@try`.
        Catch = 17, "@catch";
        /// Runs whenever the enclosing `@try` was entered.
        Finally = 18, "@finally";
        /// Operator `&&`: the second operand runs if the first succeeded.
        And = 20, "@and";
        /// Operator `||`: the second operand runs if the first failed.
        Or = 21, "@or";
        /// Operator `|`: stdout of each operand feeds the next.
        Pipe = 22, "@pipe";
        /// Operator `;`: operands run in order; the last decides.
        Seq = 23, "@seq";
        /// Several steps as one operand or branch.
        Group = 24, "@group";
        /// A runtime binding, `NAME=$(…)`.
        Let = 32, "@let";
        /// Waits.
        Sleep = 33, "@sleep";
        /// Puts the output of its first child through the operations that are its other children, `|>`.
        Transform = 34, "@transform";
        /// Operation of a `@transform`: the lines that a regular expression matches.
        LinesGrep = 40, "@lines.grep";
        /// Operation of a `@transform`: the first lines.
        LinesHead = 41, "@lines.head";
        /// Operation of a `@transform`: the last lines.
        LinesTail = 42, "@lines.tail";
        /// Operation of a `@transform`: the number of lines.
        LinesCount = 43, "@lines.count";
        /// Operation of a `@transform`: a value inside JSON.
        JsonPick = 44, "@json.pick";
        /// Operation of a `@transform`: fails without a match of a regular expression.
        AssertRe = 45, "@assert.re";
        /// Operation of a `@transform`: fails on other text.
        AssertEq = 46, "@assert.eq";
        /// Operation of a `@transform`: fails on a number that does not compare as stated.
        AssertNum = 47, "@assert.num";
        /// Loop over a collection.
        For = 64, "@for";
        /// Taken branch of an `if`.
        If = 65, "@if";
        /// Taken `else`.
        Else = 66, "@else";
        /// Taken arm of a `when`.
        When = 67, "@when";
        /// Loop on a condition.
        While = 68, "@while";
    }
}

impl NodeKind {
    /// Whether the node only records control flow (outside `plan_hash`).
    #[must_use]
    pub const fn is_flow(self) -> bool {
        self.number() >= 64
    }

    /// Whether the node is a leaf: it may have no children.
    #[must_use]
    pub const fn is_leaf(self) -> bool {
        matches!(self, Self::Shell | Self::Let | Self::Sleep) || self.is_operation()
    }

    /// Whether the node is an operation of a `@transform`: it starts no process.
    #[must_use]
    pub const fn is_operation(self) -> bool {
        matches!(self.number(), 40..=47)
    }

    /// Whether the node carries a command (parts).
    #[must_use]
    pub const fn has_command(self) -> bool {
        matches!(self, Self::Shell | Self::Let)
    }
}

numbered! {
    /// Where in shell text a value stands. It decides the quoting (spec/language.md, "Values as data").
    pub enum Position: u8 {
        /// In a word: part of exactly one argument.
        Word = 0, "word";
        /// In the word that names the command.
        CommandWord = 1, "command word";
        /// In double quotes.
        DoubleQuoted = 2, "double quotes";
        /// In a here-document whose delimiter is unquoted.
        HereDocument = 3, "here-document";
        /// On the right side of an assignment.
        Assignment = 4, "assignment";
        /// The target of a redirection.
        Redirect = 5, "redirection";
        /// Where bash evaluates text as arithmetic: only an Int may stand.
        Integer = 6, "arithmetic";
        /// In a String argument of a decorator: no shell is involved.
        Argument = 7, "argument";
    }
}

numbered! {
    /// Types of values. `String` holds any bytes but NUL.
    pub enum ValueType: u8 {
        /// Text.
        String = 1, "String";
        /// 64-bit signed integer.
        Int = 2, "Int";
        /// 64-bit binary floating point, never NaN or infinite.
        Float = 3, "Float";
        /// Truth value.
        Bool = 4, "Bool";
        /// Signed nanoseconds.
        Duration = 5, "Duration";
        /// Ordered list.
        Array = 6, "Array";
        /// Ordered list of named values.
        Map = 7, "Map";
    }
}

numbered! {
    /// The shape of a plan, most demanding first (`spec/plan-format.md`).
    pub enum PlanType: u8 {
        /// One step.
        Atomic = 0, "atomic";
        /// Steps in order.
        Sequence = 1, "sequence";
        /// Holds a loop over several axes.
        Matrix = 2, "matrix";
        /// Holds a `try`.
        Campaign = 3, "campaign";
        /// Reserved: refused with `plan_type_reserved`.
        Adaptive = 4, "adaptive";
    }
}
