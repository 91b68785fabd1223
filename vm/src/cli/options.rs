//! Options of every command.
//!
//! Read for: everything in the process that runs a contract.

use clap::{Arg, ArgAction, Command, value_parser};
use std::path::PathBuf;

/// The command line, as help, manual and completions show it.
#[must_use]
pub fn command() -> Command {
    let plan = || {
        Arg::new("plan")
            .long("plan")
            .value_name("FILE")
            .required(true)
            .value_parser(value_parser!(PathBuf))
            .help("The contract; - is standard input")
    };
    let flag = |name: &'static str, help: &'static str| Arg::new(name).long(name).action(ArgAction::SetTrue).help(help);
    let json = || Arg::new("json").long("json").action(ArgAction::SetTrue).help("Write JSON for machines");
    let color = || {
        Arg::new("color")
            .long("color")
            .value_name("WHEN")
            .value_parser(["auto", "always", "never"])
            .default_value("auto")
            .help("Use colour")
    };
    let max_size = || {
        Arg::new("max-size")
            .long("max-size")
            .value_name("BYTES")
            .value_parser(value_parser!(u32))
            .help("Largest contract to read (default 64 MiB)")
    };
    let vouch = || {
        Arg::new("vouch")
            .long("vouch")
            .value_name("FILE")
            .action(ArgAction::Append)
            .value_parser(value_parser!(PathBuf))
            .help("A vouch for the contract or its work (repeatable)")
    };
    let identity = || {
        Arg::new("identity")
            .long("identity")
            .value_name("FILE")
            .action(ArgAction::Append)
            .value_parser(value_parser!(PathBuf))
            .help("A private key that opens the contract (repeatable)")
    };
    let trust = [
        vouch(),
        Arg::new("source").long("source").value_name("FILE").value_parser(value_parser!(PathBuf)).help("Where the source is here"),
        identity(),
        Arg::new("expect").long("expect").value_name("HASH").help("The contract hash that was reviewed"),
        Arg::new("allow-unsigned").long("allow-unsigned").action(ArgAction::SetTrue).help("Take a contract without a trusted signature"),
    ];
    Command::new("opal-vm")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Verifies contracts against this host and runs them")
        .after_help(super::exit_status_help(|_| true))
        .subcommand_required(true)
        .arg_required_else_help(true)
        .disable_help_subcommand(true)
        .subcommand(Command::new("inspect").about("Shows what a contract is and what it may touch; needs no keys, network or source").args(
            [
                plan(),
                json(),
                color(),
                max_size(),
                vouch(),
                identity(),
                flag("all", "Show all steps and values, however many").conflicts_with("json"),
            ],
        ))
        .subcommand(
            Command::new("verify")
                .about("Does everything up to the comparison with this host, and runs nothing")
                .args([plan(), json(), color(), max_size()])
                .args(trust.clone())
                .arg(
                    Arg::new("reveal")
                        .long("reveal")
                        .value_name("KEY")
                        .conflicts_with("json")
                        .help("Show what this value is here and now; on a terminal only"),
                ),
        )
        .subcommand(
            Command::new("resolve")
                .about("Plans the contract's program here, shows the difference and writes a new, unsigned contract; runs nothing")
                .args([plan(), json(), color(), max_size()])
                .args(trust.clone())
                .arg(
                    Arg::new("output")
                        .short('o')
                        .long("output")
                        .value_name("NEW")
                        .required(true)
                        .value_parser(value_parser!(PathBuf))
                        .help("Where the new contract goes; - is standard output"),
                )
                .arg(
                    Arg::new("recipient")
                        .long("recipient")
                        .value_name("R")
                        .action(ArgAction::Append)
                        .help("Who may run it too: an ssh-ed25519 public key or a file with such (repeatable)"),
                ),
        )
        .subcommand(
            Command::new("policy").about("Explains this host's policy").subcommand_required(true).subcommand(
                Command::new("check")
                    .about("Says what policy, trust and terms decide about a contract, and why; runs nothing")
                    .args([plan(), json(), color(), max_size()])
                    .args(trust.iter().filter(|arg| arg.get_id() != "identity").cloned())
                    .arg(
                        Arg::new("policy")
                            .long("policy")
                            .value_name("FILE")
                            .value_parser(value_parser!(PathBuf))
                            .help("A policy to try out in the place of the host's"),
                    ),
            ),
        )
        .subcommand(
            Command::new("run")
                .about("Verifies a contract and runs the fresh plan")
                .args([plan(), json(), color(), max_size()])
                .args(trust)
                .arg(
                    Arg::new("record")
                        .long("record")
                        .value_name("DIR")
                        .value_parser(value_parser!(PathBuf))
                        .help("Where the record of the run goes, or `none` (default: the state directory)"),
                )
                .arg(
                    Arg::new("receipt")
                        .long("receipt")
                        .value_name("FILE")
                        .value_parser(value_parser!(PathBuf))
                        .help("Write a signed receipt of the run; FILE must not exist"),
                )
                .arg(
                    Arg::new("force")
                        .long("force")
                        .value_name("KEYS")
                        .num_args(0..=1)
                        .require_equals(true)
                        .default_missing_value("")
                        .conflicts_with("resume")
                        .action(ArgAction::Append)
                        .help(
                            "Run in spite of these values that moved (without KEYS: ask, on a terminal), where the work is the agreed one",
                        ),
                )
                .arg(
                    Arg::new("resume")
                        .long("resume")
                        .value_name("RUN_ID")
                        .help("Go on with this run where it stopped or died; `latest` is the latest of this contract"),
                )
                .arg(flag("rerun-unknown", "Run steps again of which nobody knows whether they took effect").requires("resume"))
                .arg(
                    Arg::new("from")
                        .long("from")
                        .value_name("PATH")
                        .conflicts_with("resume")
                        .help("Begin at this step (`2.1`, as the views show it) and skip what is before it"),
                )
                .arg(flag("quiet", "Say nothing but what the steps say, unless something fails").short('q'))
                .arg(flag("confirm", "Show the plan and ask before it is run; needs a terminal"))
                .arg(flag("yes", "Answer that question")),
        )
}
