//! From a source to a program, with every refusal as the command line shows it.

use super::failure::{Failure, NO_PROGRAM, render};
use super::words::Words;
use crate::check;
use crate::diagnostic::{Diagnostic, sort};
use crate::lower::{self, CliArgument, Compiled, Entry, Usage, UsageError};
use crate::source::Source;
use crate::syntax::{self, Parsed};
use opal_core::code::Code;
use opal_core::show::scalar_text;
use opal_format::canonical::CanonicalValue;
use opal_format::terms::BoundArgument;

/// Compiles a source for the target and the arguments on the command line. `is_option` says which names are options of the command.
pub(crate) fn compile(source: &Source, words: &Words, is_option: &dyn Fn(&str) -> bool) -> Result<Compiled, Failure> {
    compile_for(source, Entry { target: words.target.clone(), arguments: CliArgument::parse(&words.arguments) }, is_option)
}

/// Compiles a source for what a contract says that it was made for.
pub(crate) fn compile_again(source: &Source, target: &str, arguments: &[BoundArgument]) -> Result<Compiled, Failure> {
    let named = |argument: &BoundArgument| Ok(CliArgument::Named { name: argument.name.clone(), value: Some(text(argument)?) });
    let arguments = arguments.iter().map(named).collect::<Result<_, Failure>>()?;
    // The body of a script has no name.
    let target = (!target.is_empty()).then(|| target.to_owned());
    compile_for(source, Entry { target, arguments }, &|_| false)
}

/// A bound argument as it would be given on a command line, which has no other values than texts of scalars.
fn text(argument: &BoundArgument) -> Result<String, Failure> {
    let refused = |code, what: &str| {
        let message = format!("the argument `{}` of the contract is {what}, and no command line gives such a value", argument.name);
        Failure::new(code, message).with_help("make the contract again: `opalc FILE.opl --resolve -o FILE.plan`")
    };
    let scalar = CanonicalValue::decode(&argument.value).ok().and_then(scalar_text);
    let bytes = scalar.ok_or_else(|| refused(Code::ArgumentNotScalar, "an Array or a Map"))?;
    String::from_utf8(bytes).map_err(|_| refused(Code::ArgumentNotText, "a String of bytes that are no text"))
}

fn compile_for(source: &Source, entry: Entry, is_option: &dyn Fn(&str) -> bool) -> Result<Compiled, Failure> {
    compile_parsed(source, &parse(source)?, &entry, is_option)
}

/// Parses a source, which must have no errors.
pub(crate) fn parse(source: &Source) -> Result<Parsed, Failure> {
    let parsed = syntax::parse(source);
    if !parsed.has_errors() {
        return Ok(parsed);
    }
    let diagnostics = check::check_parsed(source, &parsed);
    Err(Failure::Source { exit: NO_PROGRAM, source: Box::new(source.clone()), diagnostics })
}

/// Compiles what [`parse`] gave.
pub(crate) fn compile_parsed(
    source: &Source,
    parsed: &Parsed,
    entry: &Entry,
    is_option: &dyn Fn(&str) -> bool,
) -> Result<Compiled, Failure> {
    let mut compiled = lower::compile(source, &parsed.file, entry).map_err(|failure| match failure {
        lower::Failure::Usage(usage) => refused(&usage, is_option),
        lower::Failure::Source(mut diagnostics) => {
            diagnostics.extend(parsed.diagnostics.iter().cloned());
            sort(&mut diagnostics);
            Failure::Source { exit: NO_PROGRAM, source: Box::new(source.clone()), diagnostics }
        }
        lower::Failure::Internal(error) => Failure::bug(format!("the compiler made a program that is not valid: {error}")),
    })?;
    compiled.diagnostics.extend(parsed.diagnostics.iter().cloned());
    compiled.keep_relevant();
    sort(&mut compiled.diagnostics);
    Ok(compiled)
}

/// Everything that can be said about a source without a target.
pub(crate) fn check(source: &Source) -> Vec<Diagnostic> {
    check::check_parsed(source, &syntax::parse(source))
}

/// The warnings of a compilation, as standard error shows them.
pub(crate) fn warnings(source: &Source, compiled: &Compiled, color: bool) -> String {
    render(source, &compiled.diagnostics, color)
}

/// A target or an argument that does not fit, and the commands that there are.
fn refused(usage: &Usage, is_option: &dyn Fn(&str) -> bool) -> Failure {
    let mut help = match &usage.error {
        UsageError::MissingArgument { name, .. } if is_option(name) => {
            format!("add `-- --{name}=…`: before `--`, `--{name}` is an option of opalc")
        }
        UsageError::UnknownTarget { .. } if usage.commands.is_empty() => {
            "the file has no commands; without a target, its body is meant".to_owned()
        }
        error => error.help().unwrap_or_default(),
    };
    let meant = usage.error.command();
    let listed: Vec<_> = usage.commands.iter().filter(|command| meant.is_none_or(|meant| command.name == meant)).collect();
    if !listed.is_empty() {
        if !help.is_empty() {
            help.push('\n');
        }
        help.push_str(if meant.is_some() { "the command is:" } else { "the commands are:" });
        for command in listed {
            help.push_str("\n  ");
            help.push_str(&command.to_string());
        }
    }
    Failure::new(Code::Usage, usage.error.to_string()).with_help(help)
}
