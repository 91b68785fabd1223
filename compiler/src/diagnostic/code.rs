//! The table of codes. A code is a public contract: it is never renamed and never reused.

use super::Severity;

macro_rules! codes {
    ($($variant:ident $severity:ident $name:literal $title:literal;)*) => {
        /// The stable name of one cause.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Code {
            $(#[doc = $title] $variant,)*
        }

        impl Code {
            /// Every code, in the order of the table.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The name that messages show: `error[name]`.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// One line about it.
            #[must_use]
            pub fn title(self) -> &'static str {
                match self { $(Self::$variant => $title,)* }
            }

            /// How bad it is.
            #[must_use]
            pub fn severity(self) -> Severity {
                match self { $(Self::$variant => Severity::$severity,)* }
            }
        }
    };
}

impl Code {
    /// The code called `name`.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.name() == name)
    }
}

impl std::fmt::Display for Code {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.name())
    }
}

codes! {
    // The source as bytes.
    SourceTooLarge Error "source-too-large" "the source is larger than 16 MiB";
    InvalidUtf8 Error "invalid-utf8" "the source is not UTF-8";
    NulByte Error "nul-byte" "the source holds a NUL byte";
    NestingTooDeep Error "nesting-too-deep" "something is nested deeper than the limit";
    TooManyErrors Error "too-many-errors" "further errors are not shown";

    // Tokens.
    UnexpectedCharacter Error "unexpected-character" "a character that no expression holds";
    UnclosedString Error "unclosed-string" "a string without its closing quote";
    UnknownEscape Error "unknown-escape" "a backslash before something that needs none";
    BadNumber Error "bad-number" "a number that cannot be read or is too large";
    BadDuration Error "bad-duration" "a duration that breaks the rules of its form";
    BadReference Error "bad-reference" "an `@` reference that breaks the rules of its form";

    // Structure.
    UnclosedBlock Error "unclosed-block" "a block without its `}`";
    UnclosedBracket Error "unclosed-bracket" "a bracket without its partner";
    UnexpectedClose Error "unexpected-close" "a closing bracket that nothing opened";
    UnexpectedToken Error "unexpected-token" "something else was expected here";
    UnexpectedText Error "unexpected-text" "text after the end of a statement";
    MissingBlock Error "missing-block" "a `{ … }` was expected";
    MissingArrow Error "missing-arrow" "an arm of `when` without `->`";
    MissingBody Error "missing-body" "a definition or an arm without a body";
    MissingOperand Error "missing-operand" "an operator without something to work on";
    MisplacedClause Error "misplaced-clause" "`else`, `catch` or `finally` without what it belongs to";
    TryWithoutHandler Error "try-without-handler" "a `try` without `catch` and without `finally`";
    NestedDefinition Error "nested-definition" "a command is defined inside a block";
    BadDefinition Error "bad-definition" "a definition whose head cannot be read";
    BadName Error "bad-name" "a name that breaks the rules of names";
    UnknownType Error "unknown-type" "a type that does not exist";
    PositionalAfterNamed Error "positional-after-named" "a positional argument follows a named one";
    BadPattern Error "bad-pattern" "a pattern of `when` that cannot be read";
    ShellKeyword Error "shell-keyword" "a control structure of the shell where Opal has its own";
    ShellFunction Error "shell-function" "a shell function where Opal has commands";
    ShellDecorator Error "shell-decorator" "`@shell` with something else than one literal string";
    OperandNotAllowed Error "operand-not-allowed" "a construct that cannot be the operand of an operator";
    BadOperation Error "bad-operation" "an operation of a pipeline that cannot be read";

    // Shell text.
    UnclosedQuote Error "unclosed-quote" "a quote of the shell without its partner";
    UnclosedShell Error "unclosed-shell" "a construct of the shell that is not closed";
    UnclosedHereDocument Error "unclosed-here-document" "a here-document without its closing line";
    HereDocumentPlacement Error "here-document-placement" "a here-document where its body cannot follow";
    AmbiguousArithmetic Error "ambiguous-arithmetic" "`((` that is no arithmetic";
    ValueInBackticks Error "value-in-backticks" "a value inside backticks";
    ValueInExpansion Error "value-in-expansion" "a value inside `${…}`";
    ValueInEval Error "value-in-eval" "a value in `eval` or `trap`";
    ValueInDevTcp Error "value-in-dev-tcp" "a value in a `/dev/tcp` or `/dev/udp` redirection";
    ValueAsDescriptor Error "value-as-descriptor" "a value as the target of `>&` or `<&`";
    ValueAsDelimiter Error "value-as-delimiter" "a value in the delimiter of a here-document";
    ValueInShellSyntax Error "value-in-shell-syntax" "a value where the shell wants its own syntax";
    CallInShellText Error "call-in-shell-text" "a command call inside shell text";
    NearMissNamespace Warning "near-miss-namespace" "an `@name.` that looks like a misspelt reference";
    LoneCd Warning "lone-cd" "a `cd` whose effect ends with its own step";
    ValueInSecondInterpreter Warning "value-in-second-interpreter" "a value in the program text of a second interpreter";
    OlderSyntax Warning "older-syntax" "an older spelling";
}
