//! `opalc man`: manual pages, from the definitions that `--help` is made from.

use super::failure::{Failure, reason};
use super::files::Destination;
use super::{console, options};
use crate::diagnostic::nearest;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};
use opal_core::code::Code;
use opal_vm::cli::EXIT_STATUS;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

const SECTION: &str = "1";

/// What the programs read of the environment.
const ENVIRONMENT: &[(&str, &str)] = &[
    ("HOME, XDG_CONFIG_HOME, XDG_STATE_HOME, XDG_RUNTIME_DIR", "Where your identity, trusted keys, records and locks are."),
    ("PATH", "Where bash and the programs of the steps are looked for."),
    (
        "NO_COLOR, TERM",
        "Messages have no colour where NO_COLOR is set and not empty, or TERM is dumb or not set; --color decides otherwise.",
    ),
    ("SUDO_UID, DOAS_USER, PKEXEC_UID", "Set by sudo, doas and pkexec: a run of an account that was reached through them is guarded."),
];

/// The files that the programs use.
const FILES: &[(&str, &str)] = &[
    ("commands.opl", "The commands of a directory and those below it, for opal."),
    ("~/.config/opal/identity", "Your identity: the key that signs and opens contracts, made on first use."),
    ("~/.config/opal/allowed_signers, /etc/opal/allowed_signers", "Who may sign what runs here; in a guarded run only the second counts."),
    ("/etc/opal/policy.toml", "What may run on this host."),
    ("/etc/opal/revoked", "Keys and contract hashes that never run."),
    ("~/.local/state/opal/runs", "Records of runs."),
    ("/run/opal, $XDG_RUNTIME_DIR/opal", "Locks: one run of the same work at a time."),
];

pub(super) fn command() -> clap::Command {
    options::command("opalc man", "Print a manual page, or write all of them to a directory")
        .arg(clap::Arg::new("page").value_name("PAGE").help("opalc, opal, opal-vm, or one of a command, like opalc-sign [default: opalc]"))
        .arg(options::path("output", "DIR", "Write every page to this directory").short('o').long("output").conflicts_with("page"))
        .after_help("To read one: `opalc man opal | man -l -`. To install them: `opalc man -o ~/.local/share/man/man1`.")
}

/// Runs the subcommand.
pub(super) fn run(words: Vec<OsString>) -> Result<(), Failure> {
    let matches = options::parse(command(), words)?;
    let pages = pages();
    if let Some(directory) = matches.get_one::<PathBuf>("output") {
        return write(directory, &pages);
    }
    let wanted = matches.get_one::<String>("page").map_or("opalc", String::as_str);
    match pages.iter().find(|(name, _)| name == wanted) {
        Some((_, text)) => console::print(text),
        None => {
            let help = match nearest(wanted, pages.iter().map(|(name, _)| name.as_str())) {
                Some(near) => format!("did you mean `opalc man {near}`?"),
                None => "`opalc man -o DIR` writes all pages".to_owned(),
            };
            Err(Failure::usage(format!("there is no page `{wanted}`")).with_help(help))
        }
    }
}

fn write(directory: &Path, pages: &[(String, Vec<u8>)]) -> Result<(), Failure> {
    std::fs::create_dir_all(directory).map_err(|error| {
        let message = format!("cannot make the directory `{}`: {}", directory.display(), reason(&error));
        Failure::new(Code::CannotWrite, message).with_help("name another directory with `-o`")
    })?;
    for (name, text) in pages {
        Destination::new(&directory.join(format!("{name}.{SECTION}")), &[])?.write(text)?;
    }
    console::say(&format!("wrote {} pages to {}\n", pages.len(), directory.display()));
    Ok(())
}

/// Every page with its name.
pub(super) fn pages() -> Vec<(String, Vec<u8>)> {
    let mut pages = Vec::new();
    for mut program in super::programs() {
        program.build();
        let name = program.get_name().to_owned();
        let mut open = vec![&program];
        while let Some(command) = open.pop() {
            let title = command.get_display_name().unwrap_or(command.get_name()).to_owned();
            let text = page(command, &title, &name);
            pages.push((title, text));
            open.extend(command.get_subcommands());
        }
    }
    pages
}

fn page(command: &clap::Command, title: &str, program: &str) -> Vec<u8> {
    let man = Man::new(command.clone()).section(SECTION).source(format!("Opal {}", env!("CARGO_PKG_VERSION"))).manual("Opal");
    let mut out = Vec::new();
    let mut own = Roff::default();
    let notes = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    // The exit statuses have a section of their own.
    let notes = notes.split("Exit status:\n").next().unwrap_or_default().trim();
    if !notes.is_empty() {
        own.control("SH", ["NOTES"]).control("nf", []);
        own.text(notes.lines().flat_map(|line| [roman(line), clap_mangen::roff::line_break()]).collect::<Vec<_>>());
        own.control("fi", []);
    }
    let statuses = EXIT_STATUS.iter().filter(|(status, _)| program != "opalc" || !super::plan::OF_RUNS.contains(status));
    section(&mut own, "EXIT STATUS", statuses);
    section(&mut own, "ENVIRONMENT", ENVIRONMENT);
    section(&mut own, "FILES", FILES);
    own.control("SH", ["SEE ALSO"]);
    let others = ["opal", "opalc", "opal-vm"].into_iter().filter(|name| *name != title);
    own.text(others.flat_map(|name| [bold(name), roman(format!("({SECTION}) "))]).collect::<Vec<_>>());
    // Nothing is written but to memory, which does not fail.
    let _ = man.render_title(&mut out);
    let _ = man.render_name_section(&mut out);
    let _ = man.render_synopsis_section(&mut out);
    let _ = man.render_description_section(&mut out);
    if command.get_arguments().next().is_some() {
        let _ = man.render_options_section(&mut out);
    }
    if command.has_subcommands() {
        let _ = man.render_subcommands_section(&mut out);
    }
    let _ = own.to_writer(&mut out);
    ascii(&String::from_utf8_lossy(&out)).into_bytes()
}

/// What is not ASCII as an escape of roff: formatters differ in what else they read.
fn ascii(text: &str) -> String {
    text.chars().map(|char| if char.is_ascii() { char.to_string() } else { format!("\\[u{:04X}]", u32::from(char)) }).collect()
}

fn section<'a>(roff: &mut Roff, title: &str, entries: impl IntoIterator<Item = &'a (&'a str, &'a str)>) {
    roff.control("SH", [title]);
    for (name, meaning) in entries {
        roff.control("TP", []).text([bold(*name)]).text([roman(*meaning)]);
    }
}
