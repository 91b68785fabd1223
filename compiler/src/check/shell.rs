//! Shell text: the values that stand in it and where.

use super::scope::Kind;
use super::shape::Shape;
use super::typed::{Expr, Part, Template};
use super::{Checker, article};
use crate::ast::{self, Evaluated, Place, Quoting, ShellPart, ShellReference, ShellText};
use crate::diagnostic::{Code, Diagnostic, Fix};
use crate::span::Span;
use opal_format::kind::{Position, ValueType};

/// Commands that bash runs itself: their arguments show in no process table.
const BUILTINS: [&str; 9] = ["echo", "printf", "test", "[", "[[", "export", "read", ":", "cd"];

impl Checker<'_> {
    /// Shell text as a template; `name` is that of a runtime binding.
    pub(super) fn template(&mut self, text: &ShellText, name: Option<&str>) -> Template {
        self.check_shell_variables(text);
        let mut builder = Builder::default();
        for part in &text.parts {
            match part {
                ShellPart::Text { text, .. } => builder.text(text),
                ShellPart::Reference(reference) => {
                    let value = self.hole(&reference.reference);
                    self.check_hole(text, reference, &value);
                    self.check_standard_input(text, reference);
                    builder.hole(value, reference.position);
                }
            }
        }
        Template { span: text.span, name: name.map(str::to_owned), parts: builder.finish() }
    }

    fn check_shell_variables(&mut self, text: &ShellText) {
        for variable in &text.variables {
            let name = variable.name.as_str();
            if text.assigned.iter().any(|assigned| assigned == name) {
                continue;
            }
            let Some(known) = self.visible(name) else { continue };
            known.used = true;
            let (span, kind) = (known.span, known.kind);
            let what = if kind == Kind::Binding { "runtime binding" } else { "variable" };
            let diagnostic =
                Diagnostic::new(Code::ShellVariable, variable.span, format!("`${name}` asks the shell, but `{name}` is a {what} of Opal"))
                    .with_label(span, "declared here")
                    .with_help(format!("write `@var.{name}`"));
            // `${NAME:-x}` and its like ask for more than the value.
            let place = match self.source.slice(variable.span).strip_prefix("${") {
                Some(_) => Span { end: variable.span.end + 1, ..variable.span },
                None => variable.span,
            };
            let whole = self.source.slice(place).trim_start_matches("${").trim_start_matches('$').trim_end_matches('}') == name;
            self.report(match whole {
                true => diagnostic.with_fix(Fix::maybe(format!("write `@var.{name}`"), place, self.reference_to(name, place))),
                false => diagnostic,
            });
        }
    }

    /// A reference in place of what stands at `span`, with `()` where the text behind it would be read as more of it.
    fn reference_to(&self, name: &str, span: Span) -> String {
        let rest = self.source.slice(Span { start: span.end, end: span.end.saturating_add(8) });
        let mut next = rest.chars();
        let continues = match (next.next(), next.next()) {
            (Some('.'), Some(after)) => after.is_ascii_alphanumeric() || matches!(after, '_' | '*' | '['),
            (Some(after), _) => after.is_ascii_alphanumeric() || matches!(after, '_' | '(' | '['),
            (None, _) => false,
        };
        format!("@var.{name}{}", if continues { "()" } else { "" })
    }

    fn check_hole(&mut self, text: &ShellText, reference: &ShellReference, value: &Expr) {
        let position = reference.position;
        if position.place == Place::Integer {
            self.expect_integer(value, reference.evaluated.as_ref());
        }
        if let Shape::Map(_) = value.shape {
            self.report(
                Diagnostic::new(Code::WrongType, value.span, "a Map cannot stand in a command")
                    .with_help("pick a value by key, or all of them: `.*`"),
            );
        }
        if position.place != Place::Word {
            return;
        }
        let command = reference.command.and_then(|command| text.commands.get(command as usize));
        let Some(program) = command.and_then(|command| command.name.as_deref()).filter(|name| !BUILTINS.contains(name)) else { return };
        if let Some(secret) = self.secret_in(value) {
            self.report(
                Diagnostic::new(
                    Code::SecretArgument,
                    value.span,
                    format!("`{secret}` becomes an argument of `{program}`, which every user of the host can read in the process table"),
                )
                .with_help(format!(
                    "hand it over by standard input, or in the environment of that program: `NAME={} {program} …`",
                    self.source.slice(value.span)
                )),
            );
        }
    }

    /// Complains where the shell would evaluate the text of a value.
    fn expect_integer(&mut self, value: &Expr, why: Option<&Evaluated>) {
        let Some(found) = value.shape.value_type().filter(|found| *found != ValueType::Int) else { return };
        let written = self.source.slice(value.span);
        let (code, message, help) = match why {
            None | Some(Evaluated::Here) => (
                Code::WrongType,
                format!("only an Int can stand where the shell evaluates text, not {}", article(found.name())),
                format!("make one before: `var number = int({written})`, then write `@var.number`"),
            ),
            Some(Evaluated::Later(what)) => (
                Code::ValueEvaluatedLater,
                format!("this value becomes that of a variable, which {what} evaluates in the same command"),
                "give it to a step of its own, or to a program that computes without evaluating, such as `awk` or `expr`".to_owned(),
            ),
            Some(Evaluated::Unread) => (
                Code::ValueInUnreadCommand,
                "the name of this command is known only when it runs; were it `eval`, this value would be executed".to_owned(),
                "write the name itself; or `env` before it, which runs programs and nothing of the shell's".to_owned(),
            ),
            Some(Evaluated::Undecided(what)) => (
                Code::ValueInUnreadCommand,
                format!("with {what} in the text it cannot be told whether the shell executes this value"),
                "give the value to a step of its own".to_owned(),
            ),
        };
        self.report(Diagnostic::new(code, value.span, message).with_help(help));
    }
}

/// Puts parts together.
#[derive(Default)]
struct Builder {
    parts: Vec<Part>,
    /// The double quotes around a redirection were closed before a value and open again after it.
    reopen: bool,
}

impl Builder {
    fn text(&mut self, text: &str) {
        let mut text = text.to_owned();
        if std::mem::take(&mut self.reopen) {
            if text.starts_with('"') {
                text.remove(0);
            } else {
                text.insert(0, '"');
            }
        }
        self.push(text);
    }

    fn push(&mut self, text: String) {
        match self.parts.last_mut() {
            Some(Part::Text(last)) => last.push_str(&text),
            _ if text.is_empty() => {}
            _ => self.parts.push(Part::Text(text)),
        }
    }

    /// A value in the target of a redirection must be known as such, so it stands outside the double quotes around it, which mean the same
    /// to the shell there.
    fn hole(&mut self, value: Expr, position: ast::Position) {
        let quoted_redirect = position.place == Place::Redirect && position.quoting == Quoting::Double;
        if quoted_redirect {
            if !std::mem::take(&mut self.reopen) {
                self.close_quotes();
            }
        } else if std::mem::take(&mut self.reopen) {
            self.push("\"".to_owned());
        }
        self.reopen = quoted_redirect;
        let place = if quoted_redirect { Position::Redirect } else { position_of(position) };
        self.parts.push(Part::Hole { value, position: place, alone: position.alone && !quoted_redirect });
    }

    fn close_quotes(&mut self) {
        match self.parts.last_mut() {
            Some(Part::Text(last)) if last.ends_with('"') && !last.ends_with("\\\"") => {
                last.pop();
                if last.is_empty() {
                    self.parts.pop();
                }
            }
            _ => self.push("\"".to_owned()),
        }
    }

    fn finish(mut self) -> Vec<Part> {
        if self.reopen {
            self.push("\"".to_owned());
        }
        self.parts
    }
}

fn position_of(position: ast::Position) -> Position {
    match (position.place, position.quoting) {
        (Place::Integer, _) => Position::Integer,
        (Place::HereDocument, _) | (_, Quoting::HereDocument) => Position::HereDocument,
        (_, Quoting::Double) => Position::DoubleQuoted,
        (Place::Word, Quoting::Bare) => Position::Word,
        (Place::CommandWord, Quoting::Bare) => Position::CommandWord,
        (Place::Assignment, Quoting::Bare) => Position::Assignment,
        (Place::Redirect, Quoting::Bare) => Position::Redirect,
    }
}
