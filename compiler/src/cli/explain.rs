//! `opalc explain`: what a code means, with an example of wrong and of right.

use super::failure::Failure;
use super::{console, options};
use crate::diagnostic::{Example, Explanation, Verdict, explanation, explanations, nearest};
use serde_json::json;
use std::ffi::OsString;
use std::fmt::Write as _;

pub(super) fn command() -> clap::Command {
    options::command("opalc explain", "Say what a code means; without CODE, list all codes")
        .arg(clap::Arg::new("code").value_name("CODE").help("The code in the brackets of `error[CODE]`"))
        .arg(options::flag("json", "One JSON document"))
}

/// Runs the subcommand.
pub(super) fn run(words: Vec<OsString>) -> Result<(), Failure> {
    let matches = options::parse(command(), words)?;
    let json = matches.get_flag("json");
    let Some(given) = matches.get_one::<String>("code") else {
        return if json { console::print_json(&list_json()) } else { console::print(list().as_bytes()) };
    };
    // What is pasted from a message may still have its brackets.
    let code = given.trim_start_matches("error").trim_start_matches("warning").trim_matches(['[', ']', ':']);
    let Some(found) = explanation(code) else { return Err(unknown(code)) };
    if json { console::print_json(&to_json(&found)) } else { console::print(text(&found).as_bytes()) }
}

fn unknown(code: &str) -> Failure {
    let help = match nearest(code, explanations().map(|explanation| explanation.code)) {
        Some(near) => format!("did you mean `opalc explain {near}`?"),
        None => "`opalc explain` lists all codes".to_owned(),
    };
    Failure::usage(format!("there is no code `{code}`")).with_help(help)
}

fn list() -> String {
    let width = explanations().map(|explanation| explanation.code.len()).max().unwrap_or(0);
    let mut text = String::new();
    for Explanation { code, title, .. } in explanations() {
        let _ = writeln!(text, "{code:width$}  {title}");
    }
    text
}

fn list_json() -> serde_json::Value {
    let codes: Vec<_> = explanations().map(|explanation| json!({"code": explanation.code, "title": explanation.title})).collect();
    json!({"schema": "opal/codes/v1", "codes": codes})
}

/// A section for people: the text, then the examples, indented, each under its verdict.
fn text(explanation: &Explanation) -> String {
    let mut text = format!("{}: {}\n\n{}\n", explanation.code, explanation.title, explanation.prose());
    for Example { verdict, text: lines, .. } in explanation.examples() {
        text.push_str(if verdict == Verdict::Wrong { "\nwrong:\n\n" } else { "\nright:\n\n" });
        for line in lines.lines() {
            let _ = writeln!(text, "{}", format!("    {line}").trim_end());
        }
    }
    text
}

fn to_json(explanation: &Explanation) -> serde_json::Value {
    let examples: Vec<_> = explanation
        .examples()
        .map(|example| {
            let verdict = if example.verdict == Verdict::Wrong { "wrong" } else { "right" };
            json!({"verdict": verdict, "language": example.language, "text": example.text})
        })
        .collect();
    json!({
        "schema": "opal/code/v1",
        "code": explanation.code,
        "title": explanation.title,
        "text": explanation.prose(),
        "examples": examples,
    })
}
