//! What the definitions of the command lines say is what help, manual and completions show: no flag is missing anywhere, and none is extra.

use clap::Command;
use opal_tests::{Host, binaries};
use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::{Command as Process, Stdio};

type Flags = BTreeSet<String>;

/// Every program and every command of one, with the words that call it.
fn all() -> Vec<(Vec<String>, Command)> {
    let mut all = Vec::new();
    for mut program in opalc::cli::programs() {
        program.build();
        let mut open = vec![(Vec::new(), program)];
        while let Some((mut words, command)) = open.pop() {
            words.push(command.get_name().to_owned());
            open.extend(command.get_subcommands().map(|inner| (words.clone(), inner.clone())));
            all.push((words, command));
        }
    }
    assert!(all.len() > 15);
    all
}

fn in_code(command: &Command) -> Flags {
    command.get_arguments().filter(|arg| !arg.is_hide_set()).filter_map(|arg| Some(format!("--{}", arg.get_long()?))).collect()
}

fn long(text: &str) -> Option<String> {
    let name = text.trim_start_matches(|char| char != '-').strip_prefix("--")?;
    Some(format!("--{}", name.split(|char: char| !char.is_ascii_alphanumeric() && char != '-').next()?))
}

/// The flags of the lines that begin with one.
fn in_help(text: &str) -> Flags {
    let rows = text.lines().map(str::trim_start).filter(|line| line.starts_with('-'));
    rows.filter_map(|line| long(&line[line.find("--")?..])).collect()
}

/// The flags that head a paragraph.
fn in_manual(text: &str) -> Flags {
    let plain = text.replace("\\-", "-").replace("\\fB", "").replace("\\fI", "").replace("\\fR", "");
    let lines: Vec<&str> = plain.lines().collect();
    let heads = lines.windows(2).filter(|pair| pair[0] == ".TP").map(|pair| pair[1]);
    heads.filter(|head| head.starts_with('-')).filter_map(|head| long(&head[head.find("--")?..])).collect()
}

#[test]
fn every_flag_is_in_the_code_the_help_the_manual_and_the_completions() {
    let host = Host::new();
    for (words, command) in all() {
        let flags = in_code(&command);
        assert!(flags.contains("--help"), "{words:?}");
        let arguments: Vec<&str> = words[1..].iter().map(String::as_str).collect();
        let help = host.run(&words[0], &[&arguments[..], &["--help"]].concat());
        help.expect(0);
        assert_eq!(help.stderr, "", "{words:?}");
        assert_eq!(in_help(&help.stdout), flags, "--help of {words:?}");
        assert!(help.stdout.contains(&words.join(" ")), "the usage names {words:?}: {}", help.stdout);
        assert_eq!(host.run(&words[0], &[&arguments[..], &["-h"]].concat()).stdout, help.stdout, "{words:?}");

        let page = host.opalc(&["man", &words.join("-")]);
        page.expect(0);
        assert_eq!(in_manual(&page.stdout), flags, "the manual of {words:?}");
        for section in ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXIT STATUS", "ENVIRONMENT", "FILES", "SEE ALSO"] {
            let heads = [format!(".SH {section}\n"), format!(".SH \"{section}\"\n")];
            assert!(heads.iter().any(|head| page.stdout.contains(head)), "{section} of {words:?}");
        }

        let mut asked = vec!["--"];
        asked.extend(words.iter().map(String::as_str));
        asked.push("--");
        let answering = if words[0] == "opal" { "opal" } else { "opalc" };
        let answer = host.command(answering, &asked).env("_OPAL_COMPLETE", "bash").output().expect("starts");
        let answer: Flags = String::from_utf8(answer.stdout).expect("UTF-8").lines().map(str::to_owned).collect();
        assert_eq!(answer, flags, "completions of {words:?}");
    }
}

#[test]
fn the_flags_and_commands_of_the_public_contract_exist() {
    let expected: &[(&[&str], &str)] = &[
        (
            &["opalc"],
            "resolve output format json hash hash-algo key recipient unsigned expires once env env-file pass-env public no-public color",
        ),
        (&["opalc", "check"], "json"),
        (&["opalc", "fmt"], "check"),
        (&["opalc", "show"], "json"),
        (&["opalc", "diff"], "json"),
        (&["opalc", "verify"], "source json"),
        (&["opalc", "sign"], "key"),
        (&["opalc", "keygen"], "output"),
        (&["opalc", "disasm"], ""),
        (&["opalc", "explain"], "json"),
        (&["opalc", "completions"], ""),
        (&["opalc", "man"], "output"),
        (&["opal-vm", "run"], "plan source identity expect allow-unsigned record confirm yes json color max-size"),
        (&["opal-vm", "verify"], "plan source identity expect allow-unsigned reveal json color max-size"),
        (&["opal-vm", "inspect"], "plan json color max-size"),
        (&["opal"], "dry-run resolve output confirm yes quiet record json hash"),
        (&["opal", "run"], "plan source identity expect allow-unsigned confirm yes"),
        (&["opal", "plan"], "hash output"),
        (&["opal", "execute"], "verify"),
    ];
    let all = all();
    for (words, flags) in expected {
        let (_, command) = all.iter().find(|(name, _)| name == words).unwrap_or_else(|| panic!("{words:?} exists"));
        let found = in_code(command);
        for flag in flags.split_whitespace() {
            assert!(found.contains(&format!("--{flag}")), "{words:?} has --{flag}");
        }
    }
}

#[test]
fn manual_pages_are_printed_written_and_without_fault_for_the_formatter() {
    let host = Host::new();
    host.opalc(&["man", "-o", "pages/man1"]).expect(0);
    let names: BTreeSet<String> = all().into_iter().map(|(words, _)| format!("{}.1", words.join("-"))).collect();
    let written: BTreeSet<String> = std::fs::read_dir(host.work().join("pages/man1"))
        .expect("a directory")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"))
        .collect();
    assert_eq!(written, names);
    assert_eq!(host.opalc(&["man"]).stdout, host.read("pages/man1/opalc.1"));
    host.opalc(&["man", "opal-vn"]).expect(64).says("did you mean `opalc man opal-vm`?");
    host.opalc(&["man", "-o", "/dev/null/x"]).expect(74).says("error[cannot_write]");
    for name in &names {
        let page = host.read(&format!("pages/man1/{name}"));
        let groff = Process::new("groff").args(["-man", "-ww", "-z"]).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let Ok(mut groff) = groff else {
            eprintln!("skipped: there is no groff here");
            return;
        };
        groff.stdin.take().expect("a pipe").write_all(page.as_bytes()).expect("written");
        let said = groff.wait_with_output().expect("groff ends").stderr;
        assert_eq!(String::from_utf8_lossy(&said), "", "{name}");
    }
}

#[test]
fn usage_errors_name_the_program_that_was_called_and_the_nearest_name() {
    let host = Host::new();
    host.write("commands.opl", "hello: echo hello\n");
    let rows: &[(&str, &[&str], &str)] = &[
        ("opalc", &["chek", "a.opl"], "did you mean `opalc check`?"),
        ("opalc", &["check"], "`opalc check --help`"),
        ("opalc", &["show", "--jsn", "a.plan"], "`--json`"),
        ("opalc", &["a.opl", "--resolv"], "did you mean `--resolve`?"),
        ("opalc", &["completions", "bsh"], "`bash`"),
        ("opal", &["run", "--plan"], "`opal run --help`"),
        ("opal", &["run", "--plan", "f", "--allow-unsignd"], "`--allow-unsigned`"),
        ("opal", &["run"], "`opal run --help`"),
        ("opal", &["execute"], "`opal execute --help`"),
        ("opal", &["execute", "f", "--verify", "--confirm"], "`opal execute --help`"),
        ("opal", &["plan"], "`opal` lists the commands"),
        ("opal", &["helo"], "did you mean `hello`?"),
        ("opal", &["hello", "--dry-rn"], "did you mean `--dry-run`?"),
        ("opal-vm", &["rn"], "`opal-vm --help`"),
        ("opal-vm", &["run"], "`opal-vm --help`"),
    ];
    for (program, words, text) in rows {
        let ended = host.run(program, words);
        assert!(ended.stderr.contains(text), "{program} {words:?} says {text}: {}", ended.stderr);
        assert!(ended.status == 64 || (ended.status == 66 && words[0] == "chek"), "{program} {words:?}: {ended:?}");
        assert_eq!(ended.stdout, "", "{program} {words:?}");
    }
    assert!(host.run("opal", &["help"]).expect(0).stdout.contains("Usage: opal"));
    host.write("commands.opl", "help: echo own help\n");
    assert_eq!(host.run("opal", &["help"]).expect(0).stdout, "own help\n");
}

#[test]
fn a_full_or_closed_standard_output_is_said_in_the_exit_status() {
    let host = Host::new();
    for (program, words) in [("opalc", ["man", "opal"]), ("opalc", ["explain", "usage"]), ("opalc", ["completions", "bash"])] {
        let full = std::fs::File::options().write(true).open("/dev/full").expect("/dev/full");
        let output = host.command(program, words).stdout(full).output().expect("starts");
        assert_eq!(output.status.code(), Some(74), "{words:?}");
    }
    assert!(binaries().join("opalc").exists());
}
