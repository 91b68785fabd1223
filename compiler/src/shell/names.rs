//! Names of variables of the shell.

/// Variables whose values `bash` evaluates whenever they are set or used: they are integers by birth, or expanded again.
pub(super) fn is_evaluated(name: &str) -> bool {
    matches!(name, "PS4" | "BASH_ENV" | "PROMPT_COMMAND" | "RANDOM" | "SRANDOM" | "SECONDS" | "LINENO" | "HISTCMD" | "OPTIND")
}

pub(super) fn is_name(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes.next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}
