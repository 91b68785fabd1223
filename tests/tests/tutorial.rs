//! Types `docs/tutorial.md`: makes its files, runs its commands one after another in one shell, and compares what they print with what it shows.
//! `OPAL_BLESS=1` writes what they print into the document.

use opal_tests::{Host, binaries, root};
use std::fmt::Write as _;
use std::process::{Command, Stdio};

/// A part of the document.
enum Part<'t> {
    /// Shown as it is.
    Text(&'t str),
    /// A file to make.
    File(&'t str, String),
    /// A block that is only shown.
    Shown(String),
    /// Commands, each with what it prints.
    Console(Vec<(&'t str, String)>),
}

fn parts(text: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let mut lines = text.lines();
    let mut name = None;
    while let Some(line) = lines.next() {
        parts.push(Part::Text(line));
        let block =
            |lines: &mut std::str::Lines<'_>| lines.take_while(|line| *line != "```").map(|line| format!("{line}\n")).collect::<String>();
        if let Some(file) = line.strip_prefix("<!-- file: ") {
            name = file.strip_suffix(" -->");
        } else if line == "```console" {
            let mut commands: Vec<(&str, String)> = Vec::new();
            for line in lines.by_ref().take_while(|line| *line != "```") {
                match (line.strip_prefix("$ "), commands.last_mut()) {
                    (Some(command), _) => commands.push((command, String::new())),
                    (None, Some((_, output))) => writeln!(output, "{line}").expect("memory"),
                    (None, None) => panic!("output before a command: {line}"),
                }
            }
            parts.push(Part::Console(commands));
        } else if line.starts_with("```") {
            let body = block(&mut lines);
            parts.push(match name.take() {
                Some(name) => Part::File(name, body),
                None => Part::Shown(body),
            });
        }
    }
    parts
}

/// What differs from run to run and from host to host as `…`.
fn settled(output: &str, host: &Host) -> String {
    let home = host.path().join("home");
    let mut text = output.replace(&home.display().to_string(), "/home/you").replace(&host.path().display().to_string(), "…");
    if let Some(name) = std::fs::read_to_string("/proc/sys/kernel/hostname").ok().filter(|name| !name.trim().is_empty()) {
        text = text.replace(&format!("@{}", name.trim()), "@here");
    }
    text = text.replace("root@here", "you@here").replace("(/bin/bash,", "(/usr/bin/bash,").replace("  /bin/bash,", "  /usr/bin/bash,");
    let word = |byte: char| byte.is_ascii_alphanumeric();
    for (mark, allowed) in [
        ("sha256:", ""),
        ("opal:secret:", ""),
        ("SHA256:", "+/"),
        ("ssh-ed25519 ", "+/="),
        ("/opal/runs/", "-"),
        ("--resume 2", "-"),
        ("  took:    ", "."),
        ("(in ", ""),
        // A contract names its maker and, in a checkout, the commit.
        ("at byte ", ""),
    ] {
        let mut rest = text.as_str();
        let mut out = String::new();
        while let Some((before, after)) = rest.split_once(mark) {
            let end = after.find(|char: char| !word(char) && !allowed.contains(char)).unwrap_or(after.len());
            let _ = write!(out, "{before}{mark}{}", if end > 1 { "…" } else { "" });
            rest = &after[if end > 1 { end } else { 0 }..];
        }
        text = out + rest;
    }
    let lines = text.lines().map(|line| {
        if line.starts_with("this host can enforce") {
            return "this host can enforce …\n".to_owned();
        }
        // A time (`2026-01-31T12:00:00Z`), and how long a step took (`(4ms)`, `after 4ms)`).
        let took = |word: &str| word.ends_with("s)") && word.starts_with(|char: char| char.is_ascii_digit());
        let words: Vec<&str> = line
            .split(' ')
            .map(|word| match word.strip_prefix('(') {
                Some(rest) if took(rest) => "(…)",
                None if took(word) => "…)",
                _ if word.len() == 20 && word.ends_with('Z') && word.contains('T') => "…",
                _ => word,
            })
            .collect();
        words.join(" ") + "\n"
    });
    lines.collect()
}

#[test]
fn the_tutorial_shows_what_the_programs_do() {
    let path = root().join("docs/tutorial.md");
    let text = std::fs::read_to_string(&path).expect("the tutorial");
    let mut host = Host::new();
    let home = host.path().join("home");
    let shop = home.join("shop");
    std::fs::create_dir(&shop).expect("a directory");
    host.unset("XDG_CONFIG_HOME").unset("XDG_STATE_HOME");
    host.set("PATH", &format!("{}:{}", binaries().display(), std::env::var("PATH").unwrap_or_default()));
    let mut script = String::from("umask 022\ncd ~/shop\nstatus=0\n");
    let mut number = 0;
    let quoted = |text: &str| format!("'{}'", text.replace('\'', r"'\''"));
    let all = parts(&text);
    for part in &all {
        match part {
            Part::Text(_) | Part::Shown(_) => {}
            Part::File(name, body) => {
                let _ = writeln!(script, "printf %s {} > {name}", quoted(body));
            }
            Part::Console(commands) => {
                for (command, _) in commands {
                    let _ = writeln!(script, "(exit $status)\neval {} > \"$OUT/{number}\" 2>&1\nstatus=$?", quoted(command));
                    number += 1;
                }
            }
        }
    }
    let out = host.path().join("out");
    std::fs::create_dir(&out).expect("a directory");
    let ours = host.command("opal", [] as [&str; 0]);
    let mut shell = Command::new("bash");
    shell.args(["-c", &script]).current_dir(&home).env_clear().stdin(Stdio::null());
    shell.envs(ours.get_envs().filter_map(|(name, value)| Some((name, value?)))).env("OUT", &out);
    assert!(shell.status().expect("bash starts").success() || number > 0);

    let mut written = String::new();
    let mut wrong = String::new();
    number = 0;
    for part in &all {
        match part {
            Part::Text(line) => written.push_str(&format!("{line}\n")),
            Part::File(_, body) | Part::Shown(body) => written.push_str(&format!("{body}```\n")),
            Part::Console(commands) => {
                for (command, expected) in commands {
                    let bytes = std::fs::read(out.join(number.to_string())).expect("it was run");
                    let found = settled(&String::from_utf8_lossy(&bytes), &host);
                    number += 1;
                    if found != *expected {
                        wrong.push_str(&format!("$ {command}\n--- shown\n{expected}--- printed\n{found}\n"));
                    }
                    written.push_str(&format!("$ {command}\n{found}"));
                }
                written.push_str("```\n");
            }
        }
    }
    assert!(number > 25);
    if std::env::var_os("OPAL_BLESS").is_some() {
        std::fs::write(&path, written).expect("written");
        return;
    }
    assert!(wrong.is_empty(), "the tutorial shows something else:\n{wrong}");
}
