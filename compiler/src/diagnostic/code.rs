//! The table of codes. A code is a public contract: it is never renamed and never reused.

use super::Severity;

macro_rules! codes {
    ($($variant:ident $severity:ident $name:literal $title:literal;)*) => {
        /// The stable name of one cause.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Code {
            $(#[doc = $title] $variant,)*
            /// Why the planner made no plan: its own code (`opal_core::plan::Cause`), which is not in this table.
            Plan(&'static str),
        }

        impl Code {
            /// Every code, in the order of the table.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The name that messages show: `error[name]`.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* Self::Plan(name) => name }
            }

            /// One line about it.
            #[must_use]
            pub fn title(self) -> &'static str {
                match self { $(Self::$variant => $title,)* Self::Plan(_) => "there is no plan" }
            }

            /// How bad it is.
            #[must_use]
            pub fn severity(self) -> Severity {
                match self { $(Self::$variant => Severity::$severity,)* Self::Plan(_) => Severity::Error }
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

/// The same code, of a refusal that has no place in a source.
impl From<Code> for opal_core::code::Code {
    fn from(code: Code) -> Self {
        Self::Source(code.name())
    }
}

impl std::fmt::Display for Code {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.name())
    }
}

codes! {
    // The source as bytes.
    SourceTooLarge Error "source_too_large" "the source is larger than 16 MiB";
    InvalidUtf8 Error "invalid_utf8" "the source is not UTF-8";
    NulByte Error "nul_byte" "the source holds a NUL byte";
    NestingTooDeep Error "nesting_too_deep" "something is nested deeper than the limit";
    TooManyErrors Error "too_many_errors" "further errors are not shown";

    // Tokens.
    UnexpectedCharacter Error "unexpected_character" "a character that no expression holds";
    UnclosedString Error "unclosed_string" "a string without its closing quote";
    UnknownEscape Error "unknown_escape" "a backslash before something that needs none";
    BadNumber Error "bad_number" "a number that cannot be read or is too large";
    BadDuration Error "bad_duration" "a duration that breaks the rules of its form";
    BadReference Error "bad_reference" "an `@` reference that breaks the rules of its form";

    // Structure.
    UnclosedBlock Error "unclosed_block" "a block without its `}`";
    UnclosedBracket Error "unclosed_bracket" "a bracket without its partner";
    UnexpectedClose Error "unexpected_close" "a closing bracket that nothing opened";
    UnexpectedToken Error "unexpected_token" "something else was expected here";
    UnexpectedText Error "unexpected_text" "text after the end of a statement";
    MissingBlock Error "missing_block" "a `{ … }` was expected";
    MissingArrow Error "missing_arrow" "an arm of `when` without `->`";
    MissingBody Error "missing_body" "a definition or an arm without a body";
    MissingOperand Error "missing_operand" "an operator without something to work on";
    MisplacedClause Error "misplaced_clause" "`else`, `catch` or `finally` without what it belongs to";
    TryWithoutHandler Error "try_without_handler" "a `try` without `catch` and without `finally`";
    NestedDefinition Error "nested_definition" "a command is defined inside a block";
    BadDefinition Error "bad_definition" "a definition whose head cannot be read";
    BadName Error "bad_name" "a name that breaks the rules of names";
    UnknownType Error "unknown_type" "a type that does not exist";
    PositionalAfterNamed Error "positional_after_named" "a positional argument follows a named one";
    BadPattern Error "bad_pattern" "a pattern of `when` that cannot be read";
    RegexInvalid Error "regex_invalid" "a regular expression that does not compile";
    ShellKeyword Error "shell_keyword" "a control structure of the shell where Opal has its own";
    ShellFunction Error "shell_function" "a shell function where Opal has commands";
    ShellDecorator Error "shell_decorator" "`@shell` with something else than one literal string";
    OperandNotAllowed Error "operand_not_allowed" "a construct that cannot be the operand of an operator";
    BadOperation Error "bad_operation" "an operation of a pipeline that cannot be read";

    // Shell text.
    UnclosedQuote Error "unclosed_quote" "a quote of the shell without its partner";
    UnclosedShell Error "unclosed_shell" "a construct of the shell that is not closed";
    UnclosedHereDocument Error "unclosed_here_document" "a here-document without its closing line";
    HereDocumentPlacement Error "here_document_placement" "a here-document where its body cannot follow";
    AmbiguousArithmetic Error "ambiguous_arithmetic" "`((` that is no arithmetic";
    ValueInBackticks Error "value_in_backticks" "a value inside backticks";
    ValueInExpansion Error "value_in_expansion" "a value inside `${…}`";
    ValueInEval Error "value_in_eval" "a value in `eval` or `trap`";
    ValueEvaluatedLater Error "value_evaluated_later" "a value in a variable that the shell evaluates";
    ValueInUnreadCommand Error "value_in_unread_command" "a value in a command whose name is not known before it runs";
    ValueInDevTcp Error "value_in_dev_tcp" "a value in a `/dev/tcp` or `/dev/udp` redirection";
    ValueAsDescriptor Error "value_as_descriptor" "a value as the target of `>&` or `<&`";
    ValueAsDelimiter Error "value_as_delimiter" "a value in the delimiter of a here-document";
    ValueInShellSyntax Error "value_in_shell_syntax" "a value where the shell wants its own syntax";
    CallInShellText Error "call_in_shell_text" "a command call inside shell text";
    NearMissNamespace Warning "near_miss_namespace" "an `@name.` that looks like a misspelt reference";
    LoneCd Warning "lone_cd" "a `cd` whose effect ends with its own step";
    ValueInSecondInterpreter Warning "value_in_second_interpreter" "a value in the program text of a second interpreter";
    OlderSyntax Warning "older_syntax" "an older spelling";

    // Names.
    DuplicateCommand Error "duplicate_command" "two commands with one name";
    DuplicateVariable Error "duplicate_variable" "a variable is declared twice in one block";
    DuplicateParameter Error "duplicate_parameter" "two parameters with one name";
    UnknownVariable Error "unknown_variable" "a variable that is not visible here";
    UnknownCommand Error "unknown_command" "a command that does not exist";
    UnknownDecorator Error "unknown_decorator" "an execution decorator that does not exist";
    UnknownNamespace Error "unknown_namespace" "a value decorator that does not exist";
    CommandAsValue Error "command_as_value" "a command where a value is wanted";
    Recursion Error "recursion" "a command that calls itself";
    VariableCycle Error "variable_cycle" "a variable whose value depends on itself";
    BindingIsVariable Error "binding_is_variable" "a runtime binding with the name of a variable";
    BindingInExpression Error "binding_in_expression" "a runtime binding where the plan needs a value";
    BindingInParallel Error "binding_in_parallel" "a runtime binding as a branch of `@parallel`";
    TtyInParallel Error "tty_in_parallel" "a `@tty` block among branches that run at once";
    ShellVariable Error "shell_variable" "`$NAME` of the shell where an Opal variable has this name";

    // Arguments.
    UnknownArgument Error "unknown_argument" "an argument that is not taken";
    MissingArgument Error "missing_argument" "an argument that must be given";
    DuplicateArgument Error "duplicate_argument" "an argument that is given twice";
    TooManyArguments Error "too_many_arguments" "more arguments than are taken";
    OperationArgument Error "operation_argument" "an argument that an operation of a pipeline cannot take";
    LiteralRequired Error "literal_required" "a computed value where it must be written out";

    // Types and values.
    WrongType Error "wrong_type" "a value of another type than is wanted";
    FieldOfScalar Error "field_of_scalar" "a field of a value that has none";
    IndexOutOfRange Error "index_out_of_range" "an index outside its collection";
    UnknownKey Error "unknown_key" "a key that the Map does not have";
    DuplicateKey Error "duplicate_key" "a Map with two values for one key";
    BackwardRange Error "backward_range" "a range whose end lies before its start";

    // The whole.
    NothingToPlan Error "nothing_to_plan" "a source without a command and without work";
    LimitExceeded Error "limit_exceeded" "more than a program can hold";
    UnreachablePattern Warning "unreachable_pattern" "a pattern that is never tried, or that nothing can match";
    Shadowing Warning "shadowing" "a name that hides an outer one";
    UnusedVariable Warning "unused_variable" "a variable that nothing reads";
    UnusedParameter Warning "unused_parameter" "a parameter that nothing reads";
    SecretArgument Warning "secret_argument" "a secret in the argument list of a program, which others can see";
}
