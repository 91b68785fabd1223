//! Tells the words of `opalc FILE [TARGET] [ARGS]` apart: options of opalc, and what belongs to the target.
//!
//! An option that opalc knows is opalc's, wherever it stands before `--`. After FILE, another `--name=value` is an argument of the target,
//! and so is a negative number. After `--` every word belongs to FILE, TARGET and ARGS; once FILE has been given, to ARGS.

use super::failure::Failure;
use crate::diagnostic::nearest;
use clap::Command;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

/// The words of one command line.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Words {
    /// Options, for clap.
    pub options: Vec<OsString>,
    /// FILE.
    pub file: Option<PathBuf>,
    /// TARGET: a name, or a call.
    pub target: Option<String>,
    /// ARGS as written: `value` or `--name=value`.
    pub arguments: Vec<String>,
}

/// Splits `words` by the options that `command` has.
pub(crate) fn split(command: &Command, words: Vec<OsString>) -> Result<Words, Failure> {
    let mut split = Words::default();
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        let bytes = word.as_encoded_bytes();
        if bytes == b"--" {
            let arguments_only = split.file.is_some();
            for word in words {
                split.positional(word, arguments_only)?;
            }
            return Ok(split);
        }
        if bytes == b"-" || !bytes.starts_with(b"-") || (bytes.get(1).is_some_and(u8::is_ascii_digit) && split.file.is_some()) {
            split.positional(word, false)?;
            continue;
        }
        match option(command, &word) {
            Some(Shape::Complete) => split.options.push(word),
            Some(Shape::TakesNext) => {
                split.options.push(word);
                split.options.extend(words.next());
            }
            None if split.file.is_some() && is_argument(bytes) => split.arguments.push(text(word)?),
            None if split.file.is_some() && bytes.starts_with(b"--") => return Err(unknown(command, &word)),
            None => split.options.push(word),
        }
    }
    Ok(split)
}

/// Whether a word has the form `--name=value`.
fn is_argument(bytes: &[u8]) -> bool {
    bytes.strip_prefix(b"--").and_then(|rest| rest.iter().position(|byte| *byte == b'=')).is_some_and(|at| at > 0)
}

impl Words {
    fn positional(&mut self, word: OsString, argument: bool) -> Result<(), Failure> {
        if self.file.is_none() {
            self.file = Some(PathBuf::from(word));
        } else if self.target.is_none() && self.arguments.is_empty() && !argument {
            self.target = Some(text(word)?);
        } else {
            self.arguments.push(text(word)?);
        }
        Ok(())
    }

    /// FILE, which must be there.
    pub(crate) fn file(&self) -> Result<PathBuf, Failure> {
        self.file
            .clone()
            .ok_or_else(|| Failure::usage("no file is named").with_help("`opalc FILE.opl` shows its plan; `opalc --help` shows the rest"))
    }
}

pub(super) fn text(word: OsString) -> Result<String, Failure> {
    word.into_string().map_err(|word| Failure::usage(format!("`{}` is not UTF-8", word.to_string_lossy())).with_help("write it in UTF-8"))
}

pub(super) enum Shape {
    /// The word is the whole option.
    Complete,
    /// Its value is the next word.
    TakesNext,
}

/// What kind of option of `command` a word is.
pub(super) fn option(command: &Command, word: &OsStr) -> Option<Shape> {
    let text = word.to_string_lossy();
    if let Some(long) = text.strip_prefix("--") {
        let (name, value) = long.split_once('=').map_or((long, None), |(name, value)| (name, Some(value)));
        let found = command.get_arguments().find(|arg| arg.get_long() == Some(name));
        return match found {
            Some(arg) if arg.get_action().takes_values() && value.is_none() => Some(Shape::TakesNext),
            Some(_) => Some(Shape::Complete),
            None => matches!(name, "help" | "version").then_some(Shape::Complete),
        };
    }
    let mut letters = text.chars().skip(1);
    let letter = letters.next()?;
    let attached = letters.next().is_some();
    match command.get_arguments().find(|arg| arg.get_short() == Some(letter)) {
        Some(arg) if arg.get_action().takes_values() && !attached => Some(Shape::TakesNext),
        Some(_) => Some(Shape::Complete),
        None => matches!(letter, 'h' | 'V').then_some(Shape::Complete),
    }
}

fn unknown(command: &Command, word: &OsStr) -> Failure {
    let text = word.to_string_lossy();
    let name = text.trim_start_matches('-');
    let help = match nearest(name, command.get_arguments().filter_map(clap::Arg::get_long)) {
        Some(near) => format!("did you mean `--{near}`?"),
        None => format!("an argument of the target is written `--{name}=VALUE`"),
    };
    Failure::usage(format!("there is no option `{text}`")).with_help(help)
}

#[cfg(test)]
mod tests {
    use super::super::options::{command, flag, valued};
    use super::*;

    fn split_words(words: &[&str]) -> Result<Words, Failure> {
        let command = command("t", "t").arg(flag("resolve", "r")).arg(valued("output", "F", "o").short('o')).arg(valued("env", "N=V", "e"));
        split(&command, words.iter().map(OsString::from).collect())
    }

    fn shown(words: &[&str]) -> String {
        let split = split_words(words).expect("splits");
        format!("{:?} {:?} {:?} {:?}", split.options, split.file.unwrap_or_default(), split.target, split.arguments)
    }

    #[test]
    fn known_options_are_opalcs_and_others_with_a_value_are_the_targets() {
        assert_eq!(
            shown(&["a.opl", "deploy", "prod", "--replicas=3", "--resolve", "-o", "x", "-3", "--env", "A=1"]),
            r#"["--resolve", "-o", "x", "--env", "A=1"] "a.opl" Some("deploy") ["prod", "--replicas=3", "-3"]"#
        );
        assert_eq!(shown(&["-ox", "a.opl", "--replicas=3"]), r#"["-ox"] "a.opl" None ["--replicas=3"]"#);
    }

    #[test]
    fn after_two_hyphens_everything_is_the_targets() {
        assert_eq!(shown(&["a.opl", "deploy", "--", "--env=x", "--resolve"]), r#"[] "a.opl" Some("deploy") ["--env=x", "--resolve"]"#);
        assert_eq!(shown(&["a.opl", "--", "prod"]), r#"[] "a.opl" None ["prod"]"#);
        assert_eq!(shown(&["--", "-a.opl", "deploy", "prod"]), r#"[] "-a.opl" Some("deploy") ["prod"]"#);
    }

    #[test]
    fn an_unknown_option_without_a_value_is_refused_with_the_nearest_one() {
        let failure = split_words(&["a.opl", "--resolv"]).expect_err("unknown");
        assert_eq!(failure.exit(), 64);
        assert!(failure.render(false).contains("did you mean `--resolve`?"), "{}", failure.render(false));
        assert_eq!(shown(&["--other=1", "a.opl"]), r#"["--other=1"] "a.opl" None []"#);
    }
}
