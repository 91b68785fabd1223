//! `opal TARGET --help`.

use super::line::flag_name;
use crate::ast::TypeName;
use crate::check::shape::value_type;
use crate::lower::{CommandSummary, ParameterSummary};
use clap::{Arg, Command};
use opal_core::show::escape;

/// What a target is for, and its parameters before opal's own options. `None` is the body of a script. `shown` is what calls it.
pub(super) fn of(target: Option<&CommandSummary>, shown: &str, own: &Command) -> String {
    let safe = |text: &str| escape(text.as_bytes(), true);
    let parameters = target.map(|target| target.parameters.as_slice()).unwrap_or_default();
    let mut usage = safe(shown);
    for parameter in parameters {
        let name = parameter.name.to_uppercase();
        usage.push_str(&if parameter.default.is_some() { format!(" [{name}]") } else { format!(" {name}") });
    }
    usage.push_str(" [OPTIONS]");
    let flags: Vec<String> = parameters.iter().map(flag_name).collect();
    // A parameter comes before an option of the same name.
    let options = own
        .get_arguments()
        .filter(|arg| !arg.is_positional())
        .filter(|arg| arg.get_long().is_none_or(|long| !flags.iter().any(|flag| flag == long)));
    let options: Vec<Arg> = options.map(|arg| arg.clone().help_heading("Options of opal")).collect();
    let mut command = Command::new(safe(shown)).override_usage(usage).disable_help_flag(true).disable_version_flag(true);
    if let Some(target) = target.filter(|target| !target.comment.is_empty()) {
        command = command.about(safe(&target.comment));
    }
    let with_parameters = parameters.iter().zip(flags).enumerate().map(|(number, (parameter, flag))| argument(number, parameter, flag));
    command.args(with_parameters).args(options).render_help().to_string()
}

fn argument(number: usize, parameter: &ParameterSummary, flag: String) -> Arg {
    let kind = parameter.reads_as.unwrap_or(TypeName::String);
    let help = match &parameter.default {
        Some(default) => format!("[default: {}]", escape(default.as_bytes(), false)),
        None => "(needed)".to_owned(),
    };
    // The number keeps the names of parameters and of opal's options apart.
    let argument = Arg::new(format!("{number}")).long(flag).value_name(value_type(kind).name()).help(help).help_heading("Parameters");
    if kind == TypeName::Bool { argument.num_args(0..=1).require_equals(true) } else { argument }
}
