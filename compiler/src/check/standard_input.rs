//! Values in a program that an interpreter reads from its standard input: `echo … | bash`, `ssh host <<EOF`, `psql <<< "…"`.

use super::Checker;
use crate::ast::{Place, Quoting, ShellReference, ShellText, SimpleCommand};
use crate::diagnostic::{Code, Diagnostic};

/// Commands whose arguments become their output.
const WRITERS: [&str; 2] = ["echo", "printf"];
/// Commands whose input becomes their output.
const COPIERS: [&str; 2] = ["cat", "tee"];
/// Commands that run the command in their arguments with their own standard input.
const WRAPPERS: [&str; 17] = [
    "sudo", "doas", "env", "exec", "command", "nohup", "nice", "time", "stdbuf", "timeout", "chroot", "setsid", "nsenter", "docker",
    "podman", "kubectl", "lxc",
];
const SHELLS: [&str; 8] = ["sh", "bash", "dash", "zsh", "ksh", "ash", "su", "runuser"];
const CLIENTS: [&str; 5] = ["psql", "mysql", "mariadb", "mongosh", "sqlite3"];
const LANGUAGES: [&str; 6] = ["perl", "ruby", "node", "php", "lua", "Rscript"];
/// Options of ssh that take the next word.
const SSH_VALUES: &str = "BbcDEeFIiJLlmOopQRSWw";

impl Checker<'_> {
    pub(super) fn check_standard_input(&mut self, text: &ShellText, reference: &ShellReference) {
        // One warning is enough, and a value as one shell-quoted word is what the help asks for.
        if reference.interpreter.is_some() || reference.reference.quoted {
            return;
        }
        let Some(name) = self.fed_interpreter(text, reference) else { return };
        let span = reference.reference.span;
        let written = self.source.slice(span);
        let bare = written.trim_start_matches('@').trim_start_matches('{').trim_end_matches('}');
        let help = match name.as_str() {
            "psql" => format!("pass it as data: `psql -v x={written}`, and `:'x'` in the program"),
            "ssh" | "su" | "runuser" => format!("a shell reads this text: write `@{{{bare}}}.quoted`, which is one word there"),
            shell if SHELLS.contains(&shell) => {
                format!("pass it as an argument: `{shell} -s -- {written}`, and `\"$1\"` in the program; or write `@{{{bare}}}.quoted`")
            }
            _ => format!("pass it as an argument of `{name}`, or in its environment"),
        };
        let message = format!("this value becomes part of a program that `{name}` reads from its standard input");
        self.report(Diagnostic::new(Code::ValueInSecondInterpreter, span, message).with_help(help));
    }

    /// The interpreter whose program on standard input holds this value.
    fn fed_interpreter(&self, text: &ShellText, reference: &ShellReference) -> Option<String> {
        let start = reference.reference.span.start;
        if reference.position.place == Place::HereDocument || reference.position.quoting == Quoting::HereDocument {
            let owner = text.commands.iter().rev().find(|command| command.span.end <= start && self.has_here_document(text, command))?;
            return self.reads(owner).or_else(|| self.copied(text, owner));
        }
        let owner = text.commands.get(usize::try_from(reference.command?).ok()?)?;
        if reference.position.place == Place::Redirect {
            let before = self.source.slice(crate::span::Span { start: owner.span.start, end: start });
            let fed =
                before.rsplit_once("<<<").is_some_and(|(_, word)| !word.trim_start().contains(char::is_whitespace) || word.contains('"'));
            return if fed { self.reads(owner).or_else(|| self.copied(text, owner)) } else { None };
        }
        let writes = owner.name.as_deref().is_some_and(|name| WRITERS.contains(&name));
        if writes { self.piped_to(text, owner).and_then(|next| self.reads(next).or_else(|| self.copied(text, next))) } else { None }
    }

    /// Whether `<<` follows the command on its line, before another command begins.
    fn has_here_document(&self, text: &ShellText, command: &SimpleCommand) -> bool {
        let next = text.commands.iter().map(|other| other.span.start).filter(|start| *start >= command.span.end).min();
        let end = next.unwrap_or(text.span.end).min(text.span.end).max(command.span.end);
        let tail = self.source.slice(crate::span::Span { start: command.span.end, end });
        let words = self.source.slice(command.span);
        let opens = |text: &str| text.replace("<<<", "").contains("<<");
        opens(tail.lines().next().unwrap_or_default()) || opens(words)
    }

    /// What reads the output of a command that passes its input on.
    fn copied(&self, text: &ShellText, command: &SimpleCommand) -> Option<String> {
        let copies = command.name.as_deref().is_some_and(|name| COPIERS.contains(&name));
        if copies { self.piped_to(text, command).and_then(|next| self.reads(next)) } else { None }
    }

    /// The command that a `|` hands the output of this one to.
    fn piped_to<'t>(&self, text: &'t ShellText, command: &SimpleCommand) -> Option<&'t SimpleCommand> {
        let later = text.commands.iter().filter(|other| other.depth == command.depth && other.span.start >= command.span.end);
        let next = later.min_by_key(|other| other.span.start)?;
        let between = self.source.slice(crate::span::Span { start: command.span.end, end: next.span.start }).trim_end();
        let between = between.strip_suffix('&').unwrap_or(between);
        (between.ends_with('|') && !between.ends_with("||")).then_some(next)
    }

    /// The interpreter that this command is, if it reads its program from standard input.
    fn reads(&self, command: &SimpleCommand) -> Option<String> {
        let words: Vec<&str> =
            self.source.slice(command.span).split_whitespace().take_while(|word| !word.starts_with(['<', '>'])).collect();
        reads(&words).map(str::to_owned)
    }
}

/// The interpreter in `words` that reads its program from standard input.
fn reads<'w>(words: &[&'w str]) -> Option<&'w str> {
    let (first, rest) = words.split_first()?;
    let name = first.rsplit('/').next().unwrap_or(first);
    let options = || rest.iter().take_while(|word| word.starts_with('-') && **word != "-" && **word != "--");
    let has = |long: &[&str]| rest.iter().any(|word| long.contains(word));
    // A letter among those of short options, as in `-ec`.
    let short = |letter: char| options().any(|word| !word.starts_with("--") && word.contains(letter));
    let operand = rest.get(options().count()).filter(|word| !matches!(**word, "-" | "--" | "/dev/stdin"));
    if WRAPPERS.contains(&name) {
        return (0..rest.len()).find_map(|at| rest.get(at..).filter(|rest| known(rest)).map(reads)).flatten();
    }
    let stdin = match name {
        "ssh" => return ssh(rest).then_some(name),
        "su" | "runuser" => !has(&["-c", "--command"]),
        shell if SHELLS.contains(&shell) => !short('c') && (short('s') || operand.is_none()),
        client if CLIENTS.contains(&client) => {
            let elsewhere = has(&["-c", "--command", "-e", "--execute", "-f", "--file", "--eval"]);
            let statement = client == "sqlite3" && rest.len() > 1;
            !elsewhere && !statement
        }
        language if LANGUAGES.contains(&language) || language.starts_with("python") => {
            !["c", "e", "E", "r", "m", "p"].iter().any(|letter| short(letter.chars().next().unwrap_or('c'))) && operand.is_none()
        }
        _ => false,
    };
    stdin.then_some(name)
}

/// Whether the first word names an interpreter.
fn known(words: &[&str]) -> bool {
    words.first().is_some_and(|word| {
        let name = word.rsplit('/').next().unwrap_or(word);
        name == "ssh" || name.starts_with("python") || [&SHELLS[..], &CLIENTS, &LANGUAGES].iter().any(|names| names.contains(&name))
    })
}

/// Whether the shell of the other host reads commands, or an interpreter does that is named there.
fn ssh(words: &[&str]) -> bool {
    let mut words = words;
    while let Some((first, rest)) = words.split_first() {
        words = rest;
        match first.strip_prefix('-') {
            Some(option) if option.len() == 1 && SSH_VALUES.contains(option) => words = rest.get(1..).unwrap_or_default(),
            Some(_) => {}
            None => return rest.is_empty() || reads(rest).is_some(),
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::reads;

    #[test]
    fn an_interpreter_reads_its_input_unless_its_words_name_a_program() {
        for line in [
            "bash",
            "sh -x",
            "bash -s -- a",
            "sudo -u root bash",
            "ssh host",
            "ssh -p 22 host",
            "ssh host bash",
            "ssh host sudo sh",
            "psql",
            "psql -d db",
            "python3 -",
            "python3",
            "docker exec -i db psql -U me",
            "kubectl exec -i pod -- sh",
            "/bin/sh",
            "node",
            "su me",
            "sqlite3 file.db",
        ] {
            assert!(reads(&line.split(' ').collect::<Vec<_>>()).is_some(), "{line}");
        }
        for line in [
            "bash script.sh",
            "bash -c 'x'",
            "bash -ec x",
            "ssh host uptime",
            "psql -f file",
            "psql -c 'select 1'",
            "python3 script.py",
            "python3 -c 1",
            "cat",
            "grep bash",
            "sudo tee /etc/x",
            "sqlite3 a.db 'select 1'",
            "perl -ne 1",
            "su -c x",
            "ssh",
            "docker exec -i db cat",
        ] {
            assert_eq!(reads(&line.split(' ').collect::<Vec<_>>()), None, "{line}");
        }
    }
}
