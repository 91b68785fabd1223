//! Names of variables of the shell.

/// Variables whose values `bash` evaluates whenever they are set or used: they are integers by birth, or expanded again.
pub(super) fn is_evaluated(name: &str) -> bool {
    matches!(
        name,
        "PS0"
            | "PS1"
            | "PS2"
            | "PS4"
            | "BASH_ENV"
            | "BASH_ARGV0"
            | "PROMPT_COMMAND"
            | "RANDOM"
            | "SRANDOM"
            | "SECONDS"
            | "LINENO"
            | "HISTCMD"
            | "OPTIND"
    )
}

pub(super) fn is_name(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes.next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// What bash keeps of the text of the step itself, values included.
pub(super) const OWN_TEXT: [&str; 2] = ["BASH_COMMAND", "BASH_EXECUTION_STRING"];

/// The names in a text that are names of variables, or may be.
pub(super) fn names_in(text: &str) -> impl Iterator<Item = &str> {
    text.split(|character: char| !(character.is_ascii_alphanumeric() || character == '_')).filter(|name| is_name(name))
}
