//! Tells the words of an `opal` command line apart.

use super::super::completions::SHELLS;
use super::super::failure::Failure;
use super::super::words::{Shape, option, text};
use crate::ast::TypeName;
use crate::diagnostic::nearest;
use crate::lower::{CliArgument, CommandSummary, ParameterSummary};
use clap::Command;
use std::collections::VecDeque;
use std::ffi::OsString;

/// The commands that opal has itself.
pub(super) const BUILT_IN: &[&str] = &["run", "plan", "execute", "completions"];

/// A command line, cut at the first word that is no option.
#[derive(Debug, Default)]
pub(super) struct Line {
    /// Options before that word.
    pub options: Vec<OsString>,
    /// That word.
    pub first: Option<OsString>,
    /// Whether it stands after `--`, and so can only name a command.
    pub is_command: bool,
    /// What follows.
    pub rest: Vec<OsString>,
}

/// What follows the target, told apart.
#[derive(Debug, Default)]
pub(super) struct Split {
    /// Options of opal.
    pub options: Vec<OsString>,
    /// Arguments of the target.
    pub arguments: Vec<CliArgument>,
    /// Whether help was asked for.
    pub help: bool,
}

impl Line {
    /// Cuts `words` by the options that `command` has.
    pub(super) fn new(command: &Command, words: Vec<OsString>) -> Self {
        let mut line = Self::default();
        let mut words = words.into_iter();
        while line.first.is_none()
            && let Some(word) = words.next()
        {
            match word.as_encoded_bytes() {
                b"--" => {
                    line.first = words.next();
                    line.is_command = true;
                    break;
                }
                [b'-', _, ..] => {
                    let takes_next = matches!(option(command, &word), Some(Shape::TakesNext));
                    line.options.push(word);
                    if takes_next {
                        line.options.extend(words.next());
                    }
                }
                _ => line.first = Some(word),
            }
        }
        line.rest = words.collect();
        line
    }

    /// Takes the first word if it names a command of opal's own. It does so only with what that command works on behind it:
    /// `opal run` alone may be a command of the file.
    pub(super) fn take_built_in(&mut self) -> Option<String> {
        let name = self.first.as_ref()?.to_str().filter(|name| !self.is_command && BUILT_IN.contains(name))?.to_owned();
        let help = self.rest.first().is_some_and(|word| word == "--help" || word == "-h");
        let is_plan = |word: &OsString| word == "--plan" || word.as_encoded_bytes().starts_with(b"--plan=");
        let operand = match name.as_str() {
            "run" => self.rest.iter().any(is_plan),
            "completions" => self.rest.iter().any(|word| SHELLS.iter().any(|shell| word == shell)),
            _ => self.rest.iter().any(|word| word == "-" || !word.as_encoded_bytes().starts_with(b"-")),
        };
        if !help && !operand {
            return None;
        }
        self.first = None;
        Some(name)
    }

    /// Takes the first word of the rest if `is_target` says so; options of opal may stand before it, but nothing else.
    pub(super) fn take_target(&mut self, command: &Command, is_target: impl FnOnce(&str) -> bool) -> Option<String> {
        let mut at = 0;
        while let Some(word) = self.rest.get(at) {
            match word.as_encoded_bytes() {
                b"--" => return None,
                [b'-', _, ..] => match option(command, word)? {
                    Shape::Complete => at += 1,
                    Shape::TakesNext => at += 2,
                },
                _ => break,
            }
        }
        let target = self.rest.get(at)?.to_str().filter(|word| is_target(word))?.to_owned();
        self.rest.remove(at);
        Some(target)
    }

    /// Tells the rest apart: a parameter of the target, else an option of opal. After `--` every word is an argument.
    pub(super) fn split(self, command: &Command, target: Option<&CommandSummary>) -> Result<Split, Failure> {
        let asks_help = |word: &OsString| word == "--help" || word == "-h";
        let (help, options): (Vec<_>, Vec<_>) = self.options.into_iter().partition(asks_help);
        let mut split = Split { options, help: !help.is_empty(), ..Split::default() };
        let mut words: VecDeque<OsString> = self.rest.into();
        while let Some(word) = words.pop_front() {
            let bytes = word.as_encoded_bytes();
            if bytes == b"--" {
                for word in words {
                    split.arguments.push(CliArgument::Positional(text(word)?));
                }
                break;
            }
            if !bytes.starts_with(b"-") || bytes == b"-" || bytes.get(1).is_some_and(u8::is_ascii_digit) {
                split.arguments.push(CliArgument::Positional(text(word)?));
                continue;
            }
            let written = word.to_string_lossy().into_owned();
            let long = written.strip_prefix("--").map(|long| match long.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (long, None),
            });
            if let Some((name, value)) = long.clone()
                && let Some(parameter) = parameter(target, name)
            {
                // Bytes that are no UTF-8 must not become other bytes.
                text(word)?;
                let value = match value {
                    None if parameter.reads_as != Some(TypeName::Bool) => words.pop_front().map(text).transpose()?,
                    value => value,
                };
                split.arguments.push(CliArgument::Named { name: name.to_owned(), value });
                continue;
            }
            if matches!(written.as_str(), "--help" | "-h") {
                split.help = true;
                continue;
            }
            match (option(command, &word), long) {
                (Some(Shape::Complete), _) => split.options.push(word),
                (Some(Shape::TakesNext), _) => {
                    split.options.push(word);
                    split.options.extend(words.pop_front());
                }
                // An unknown target is refused as such, with the commands that there are.
                (None, Some((name, value))) if target.is_none() => {
                    split.arguments.push(CliArgument::Named { name: name.to_owned(), value });
                }
                (None, _) => return Err(unknown(command, target, &written)),
            }
        }
        Ok(split)
    }
}

/// The parameter that `--name` sets; `-` may stand for `_`.
fn parameter<'a>(target: Option<&'a CommandSummary>, name: &str) -> Option<&'a ParameterSummary> {
    let plain = name.replace('-', "_");
    target?.parameters.iter().find(|parameter| parameter.name == plain)
}

/// How a parameter is written as an option.
pub(super) fn flag_name(parameter: &ParameterSummary) -> String {
    parameter.name.replace('_', "-")
}

fn unknown(command: &Command, target: Option<&CommandSummary>, written: &str) -> Failure {
    let shown = written.split_once('=').map_or(written, |(name, _)| name);
    let flags: Vec<String> = target.iter().flat_map(|target| &target.parameters).map(flag_name).collect();
    let names = flags.iter().map(String::as_str).chain(command.get_arguments().filter_map(clap::Arg::get_long));
    let whose = target.map_or_else(|| "opal".to_owned(), |target| format!("`{}`", target.name));
    let help = match (nearest(shown.trim_start_matches('-'), names), target) {
        (Some(near), _) => format!("did you mean `--{near}`?"),
        (None, Some(target)) => format!("`opal {} --help` shows what there is", target.name),
        (None, None) => "`opal --help` shows what there is".to_owned(),
    };
    Failure::usage(format!("{whose} has no option `{shown}`")).with_help(help)
}
