//! What the subcommands' command lines have in common.

use super::failure::Failure;
use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, ArgMatches, Command};
use std::ffi::OsString;
use std::path::PathBuf;

/// A command with the options that all have.
pub(crate) fn command(name: &'static str, about: &'static str) -> Command {
    Command::new(name).about(about).version(env!("CARGO_PKG_VERSION")).arg(
        valued("color", "WHEN", "Colour messages: auto, always or never")
            .value_parser(PossibleValuesParser::new(["auto", "always", "never"])),
    )
}

/// `--name VALUE`, at most once.
pub(crate) fn valued(name: &'static str, value: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).value_name(value).help(help).action(ArgAction::Set)
}

/// `--name VALUE`, any number of times.
pub(crate) fn repeated(name: &'static str, value: &'static str, help: &'static str) -> Arg {
    valued(name, value, help).action(ArgAction::Append)
}

/// `--name`.
pub(crate) fn flag(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).help(help).action(ArgAction::SetTrue)
}

/// A path, `-` included.
pub(crate) fn path(name: &'static str, value: &'static str, help: &'static str) -> Arg {
    Arg::new(name).value_name(value).help(help).value_parser(clap::value_parser!(PathBuf)).allow_hyphen_values(false)
}

/// Parses the words after the command's name. Help and version are printed where they were asked for.
pub(crate) fn parse(command: Command, words: Vec<OsString>) -> Result<ArgMatches, Failure> {
    let name = command.get_display_name().unwrap_or(command.get_name()).to_owned();
    let words = std::iter::once(OsString::from(&name)).chain(words);
    command.try_get_matches_from(words).map_err(|error| {
        if !error.use_stderr() {
            return match super::console::print(error.render().to_string().as_bytes()) {
                Ok(()) => Failure::Said(0),
                Err(failure) => failure,
            };
        }
        let text = error.render().to_string();
        let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let mut message = lines.next().unwrap_or_default().trim_start_matches("error: ").replace('\'', "`");
        let mut help = format!("`{name} --help` shows what there is");
        for line in lines {
            if let Some(tip) = line.strip_prefix("tip: ") {
                help = tip.replace('\'', "`");
            } else if line.starts_with("Usage:") || line.starts_with("For more") {
                break;
            } else {
                message = format!("{message} {line}");
            }
        }
        Failure::usage(message).with_help(help)
    })
}

/// All values of a repeated option.
pub(crate) fn strings(matches: &ArgMatches, name: &str) -> Vec<String> {
    matches.get_many::<String>(name).map(|values| values.cloned().collect()).unwrap_or_default()
}

/// `--format`, with these values; the first is the default.
pub(crate) fn format(names: &[&'static str]) -> Arg {
    valued("format", "FORMAT", "Form of what is shown").value_parser(PossibleValuesParser::new(names.to_vec()))
}

/// The forms of a plan, the default first.
pub(crate) const VIEWS: &[&str] = &["tree", "json", "html", "dot", "markdown"];

/// Whether JSON is wanted, by `--format json` or `--json`.
pub(crate) fn wants_json(matches: &ArgMatches) -> bool {
    matches.get_flag("json") || matches.get_one::<String>("format").is_some_and(|format| format == "json")
}
