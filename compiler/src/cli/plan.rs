//! `opalc FILE [TARGET] [ARGS]`: shows a quick plan, or resolves all values and writes a contract.

use super::console::Color;
use super::failure::{Failure, NO_PROGRAM};
use super::files::{self, Destination};
use super::signer::Signer;
use super::words;
use super::{audience, commit, compile, console, contracts, host, keys, options, regen_root};
use crate::contract::{Conditions, Manner, Place, PlanFailure, Work};
use crate::diagnostic::{Code, Diagnostic};
use crate::lower::Compiled;
use crate::source::Source;
use crate::span::Span;
use crate::view::{Page, write_page};
use clap::ArgMatches;
use clap::builder::PossibleValuesParser;
use opal_core::duration;
use opal_core::plan::{Cause, Mode, Plan, PlanError};
use opal_core::show::{PlanView, Style, step_count};
use opal_format::hash::{Digest, HashAlgorithm};
use opal_format::identity::PublicKey;
use opal_format::kind::NodeKind;
use opal_format::seed::Seed;
use opal_format::signature::NAMESPACE_PLAN;
use opal_view::contract::fact;
use opal_view::{PlanJson, write_tree};
use serde_json::json;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// How long a contract holds unless it says otherwise.
const EXPIRES: &str = "7d";
/// The value of `--expires` for a contract without an end.
const NEVER: &str = "never";
const NANOSECONDS: i64 = 1_000_000_000;

/// Options that only a contract has a use for.
const CONTRACT_OPTIONS: &[&str] = &["key", "recipient", "unsigned", "expires", "once", "host"];

pub(super) const USAGE: &str = "opalc FILE.opl [TARGET] [ARGS] [OPTIONS]\n       opalc COMMAND ...";

const ABOUT: &str = "Compiles an operations script: shows what it would do, or writes it down as a signed contract";

const ARGUMENTS_HELP: &str = "\
Words after TARGET fill its parameters in order, `--name=value` sets one by name. Options that opalc has are opalc's
wherever they stand; after `--` every word is an argument. TARGET may also be a call: 'deploy(\"prod\", replicas=5)'.
A file with the name of a command is written ./check.

";

/// Exit statuses that only a run ends with.
pub(super) const OF_RUNS: &[&str] = &["1", "21", "22", "75", "128+n"];

pub(super) fn command() -> clap::Command {
    let operand = |name, value, help| clap::Arg::new(name).value_name(value).help(help);
    options::command("opalc", ABOUT)
        .override_usage(USAGE)
        .disable_help_subcommand(true)
        .args([
            options::path("file", "FILE", "The source; `-` is standard input"),
            operand("target", "TARGET", "The command to plan; by default that of the file's name, or the only one"),
            operand("arguments", "ARGS", "Arguments of the target").num_args(0..),
        ])
        .args(arguments())
        .subcommands(super::definitions())
        .after_help(format!("{ARGUMENTS_HELP}{}", opal_vm::cli::exit_status_help(|status| !OF_RUNS.contains(&status))))
}

/// The options that say what to make of a plan.
pub(super) fn arguments() -> Vec<clap::Arg> {
    use options::{flag, path, repeated, valued};
    let mut arguments = vec![
        flag("resolve", "Resolve all values; writes a contract with -o or into a pipe"),
        path("output", "FILE", "Where the result goes; `-` is standard output").short('o').long("output"),
        options::format(options::VIEWS),
        flag("json", "Results as one JSON document"),
        flag("hash", "Print the plan hash; implies --resolve"),
        valued("hash-algo", "NAME", "Algorithm of all digests [default: sha256]")
            .value_parser(PossibleValuesParser::new(["sha256", "blake3"])),
        super::signer::argument().conflicts_with("unsigned"),
        repeated("recipient", "R", "Who may run it: an ssh-ed25519 public key or a file with such [default: your identity]"),
        flag("unsigned", "Do not sign"),
        valued("expires", "D", "How long the contract holds, or `never` [default: 7d]"),
        audience::argument(),
        flag("once", "The contract may run only once: on a host as root, else for each user"),
    ];
    arguments.push(host::directory_argument());
    arguments.extend(host::arguments());
    arguments
}

/// Runs the command.
pub(super) fn run(words: Vec<OsString>) -> Result<(), Failure> {
    let color = super::asked_color(&words).on_stderr();
    let command = command();
    let words = words::split(&command, words)?;
    let matches = options::parse(command, words.options.clone())?;
    let path = words.file()?;
    produce(&matches, &path, color, || {
        let source = files::read_source(&path).map_err(|failure| super::maybe_misspelt(failure, &path))?;
        let compiled = compile::compile(&source, &words, &is_option)?;
        Ok((source, compiled))
    })
}

/// Plans what `compile` gives and makes of it what the options ask for.
pub(super) fn produce(
    matches: &ArgMatches,
    path: &Path,
    color: bool,
    compile: impl FnOnce() -> Result<(Source, Compiled), Failure>,
) -> Result<(), Failure> {
    let mut request = Request::new(matches, path)?;
    let reality = host::reality(matches, host::planning_base(request.directory.as_deref())?)?;
    host::check_promises(&reality, &request.manner)?;
    let (source, compiled) = compile()?;
    console::say(&compile::warnings(&source, &compiled, color));
    if request.manner.mode == Mode::Resolve {
        request.manner.regen_root = regen_root::for_program(matches, &compiled.program)?;
    }
    let work = Work { program: &compiled.program, target: &compiled.target, arguments: &compiled.arguments };
    let seed = super::seed::fresh_seed()?;
    let plan = work.plan(&reality, &seed, &request.manner).map_err(|failure| refused(failure, source.clone()))?;
    if let Some(seal) = &mut request.seal {
        refuse_terminal(&plan)?;
        seal.take_own()?;
    }
    match request.result {
        Form::Hash if request.contract_too() => request.write_contract(&work, &plan, &source, &seed, path),
        Form::Hash => console::print(format!("{}\n", request.plan_hash(&work, &plan)?).as_bytes()),
        Form::Contract => request.write_contract(&work, &plan, &source, &seed, path),
        Form::View(form) => request.show(&work, &plan, form, super::asked_color_of(matches)),
    }
}

/// Refuses a contract that would have to lend a terminal.
fn refuse_terminal(plan: &Plan) -> Result<(), Failure> {
    if plan.steps.nodes.iter().any(|node| node.kind.to_native() == NodeKind::Tty.number()) {
        return Err(Failure::new(opal_core::code::Code::TtyInContract, "the plan has a `@tty` block, and no contract may lend a terminal")
            .with_help("run it directly, `opal TARGET`; or take what is inside out of the block"));
    }
    Ok(())
}

/// Whether `--name` is an option of this command, so that an argument of that name is given after `--`.
pub(super) fn is_option(name: &str) -> bool {
    command().get_arguments().any(|argument| argument.get_long() == Some(name))
}

/// What the result is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    View(&'static str),
    Hash,
    Contract,
}

/// What the command line asks for, besides source, target and reality.
struct Request {
    manner: Manner,
    result: Form,
    json: bool,
    destination: Destination,
    named_output: Option<PathBuf>,
    algorithm: HashAlgorithm,
    /// Where the work starts, where that is agreed.
    directory: Option<String>,
    seal: Option<Seal>,
}

/// What a contract needs besides its plan. Everything that can be refused is, before anything is planned.
struct Seal {
    not_after: Option<i64>,
    timestamp: i64,
    once: bool,
    shell: String,
    umask: u32,
    signer: Option<Signer>,
    recipients: Vec<PublicKey>,
    /// The hosts that it is for; none for any.
    hosts: Vec<PublicKey>,
    /// Whether the caller's own identity is to sign.
    own_signs: bool,
}

impl Request {
    fn new(matches: &ArgMatches, source: &Path) -> Result<Self, Failure> {
        let named_output = matches.get_one::<PathBuf>("output").cloned();
        let hash = matches.get_flag("hash");
        let resolve = matches.get_flag("resolve") || hash;
        let format = matches.get_one::<String>("format").map(String::as_str);
        let json = options::wants_json(matches);
        let to_file = named_output.as_deref().is_some_and(|path| path.as_os_str() != files::STANDARD);
        let piped = named_output.is_some() || !console::stdout_is_terminal();
        let result = match format {
            _ if hash => Form::Hash,
            Some(name) => Form::View(options::VIEWS.iter().find(|view| **view == name).copied().unwrap_or("tree")),
            None if resolve && (to_file || (piped && !json)) => Form::Contract,
            None if json => Form::View("json"),
            None => Form::View("tree"),
        };
        if !resolve {
            let given = |name: &&&str| matches.value_source(name).is_some_and(|source| source == clap::parser::ValueSource::CommandLine);
            if let Some(name) = CONTRACT_OPTIONS.iter().find(given) {
                return Err(Failure::usage(format!("`--{name}` has no meaning for a quick plan")).with_help("add `--resolve`"));
            }
            if to_file && format.is_none() {
                return Err(
                    Failure::usage("a quick plan is no contract").with_help("add `--resolve`, or `--format tree` to keep the picture")
                );
            }
        }
        let key = matches.get_one::<PathBuf>("key");
        let env_files = host::env_files(matches);
        let inputs: Vec<&Path> =
            [source].into_iter().chain(key.map(PathBuf::as_path)).chain(env_files.iter().map(PathBuf::as_path)).collect();
        let destination = match &named_output {
            Some(path) => Destination::new(path, &inputs)?,
            None => Destination::Standard,
        };
        let seal = if result == Form::Contract || (hash && to_file) { Some(Seal::new(matches)?) } else { None };
        let mode = if resolve { Mode::Resolve } else { Mode::Quick };
        let algorithm = matches.get_one::<String>("hash-algo").map(String::as_str);
        let algorithm = HashAlgorithm::ALL.iter().copied().find(|known| Some(known.name()) == algorithm).unwrap_or(HashAlgorithm::Sha256);
        let directory = host::directory(matches)?;
        Ok(Self { manner: host::manner(matches, mode)?, result, json, destination, named_output, algorithm, directory, seal })
    }

    /// Whether `--hash` comes with a contract to write.
    const fn contract_too(&self) -> bool {
        self.seal.is_some()
    }

    /// The directory as TERMS state it.
    fn agreed_directory(&self) -> &str {
        self.directory.as_deref().unwrap_or_default()
    }

    /// The name of the work, which shell, umask and directory are part of.
    fn plan_hash(&self, work: &Work<'_>, plan: &Plan) -> Result<Digest, Failure> {
        let (shell, umask) = match &self.seal {
            Some(seal) => (seal.shell.clone(), seal.umask),
            None => (host::bash()?, host::umask()),
        };
        plan_hash(work, plan, self.algorithm, Place { shell: &shell, umask, directory: self.agreed_directory() })
    }

    fn show(&self, work: &Work<'_>, plan: &Plan, form: &str, color: Color) -> Result<(), Failure> {
        let mut last = 0;
        let deferred: Vec<u32> = plan
            .values
            .iter()
            .map(|value| match value {
                Some(_) => 0,
                None => {
                    last += 1;
                    last
                }
            })
            .collect();
        let resolved = self.manner.mode == Mode::Resolve;
        let plan_hash = if resolved { Some(self.plan_hash(work, plan)?) } else { None };
        let view = PlanView {
            deferred: &deferred,
            undecided: Some(&plan.undecided),
            plan_hash,
            ..PlanView::of(work.target, plan.steps.view(), plan.slots.view())
        };
        let mode = if resolved { "resolved" } else { "quick" };
        self.destination.write_with(|out| match form {
            "json" => {
                let mut document = PlanJson::new(view);
                document.insert("mode", json!(mode));
                document.insert("plan_type", json!(plan.plan_type.name()));
                console::write_document(out, &document)
            }
            "tree" => {
                let to_file = !matches!(self.destination, Destination::Standard);
                write_tree(out, &view, if to_file { Style::Plain } else { console::stdout_style(color) }, None)
            }
            form => {
                let steps = step_count(view.steps);
                let of = if resolved { "all values resolved" } else { "quick: what is expensive to know is deferred" };
                let facts = vec![
                    fact("mode", of),
                    fact("type", format!("{}, {steps} {}", plan.plan_type.name(), if steps == 1 { "step" } else { "steps" })),
                ];
                write_page(out, form, Page { plan: view, facts })
            }
        })
    }

    fn write_contract(&self, work: &Work<'_>, plan: &Plan, source: &Source, seed: &Seed, path: &Path) -> Result<(), Failure> {
        let seal = self.seal.as_ref().ok_or_else(|| Failure::bug("a contract without its terms"))?;
        let conditions = Conditions {
            algorithm: self.algorithm,
            timestamp: seal.timestamp,
            not_after: seal.not_after,
            once: seal.once,
            source_name: host::source_name(path, &host::planning_base(self.directory.as_deref())?),
            shell: seal.shell.clone(),
            umask: seal.umask,
            directory: self.agreed_directory().to_owned(),
            audience: seal.hosts.clone(),
            provenance: json!({
                "compiler": concat!("opalc ", env!("CARGO_PKG_VERSION")),
                "generated_by": keys::user_at_host(),
                "source_commit": commit::of(path),
            })
            .to_string(),
        };
        let unwritten = |error: opal_format::writer::WriteError| {
            let help = match error {
                opal_format::writer::WriteError::Envelope(_) => "name other recipients",
                _ => "plan less in one contract",
            };
            Failure::new(opal_core::code::Code::CannotMakeContract, error.to_string()).with_help(help)
        };
        let mut file = work.write(plan, source.bytes(), &self.manner, &conditions, seed, &seal.recipients).map_err(unwritten)?;
        if let Some(signer) = &seal.signer {
            let signature = signer.sign(NAMESPACE_PLAN, &file.contract_hash().bytes)?;
            file.add(signature).map_err(unwritten)?;
        }
        let bytes = file.to_bytes();
        let output = self.named_output.as_deref().unwrap_or(Path::new(files::STANDARD));
        contracts::recheck(&bytes, output)?;
        self.destination.write(&bytes)?;
        let plan_hash = file.plan_hash().ok_or_else(|| Failure::bug("a new contract without plan_hash"))?;
        self.report(seal, file.contract_hash(), plan_hash)
    }

    /// Says what was written: on standard error for people, and on standard output for machines where that is free.
    fn report(&self, seal: &Seal, contract_hash: Digest, plan_hash: Digest) -> Result<(), Failure> {
        let free = !matches!(self.destination, Destination::Standard);
        if self.result == Form::Hash && free && !self.json {
            return console::print(format!("{plan_hash}\n").as_bytes());
        }
        if self.json && free {
            let key = |key: &PublicKey| json!({"key": key.to_string(), "fingerprint": key.fingerprint()});
            return console::print_json(&json!({
                "schema": "opal/contract-written/v1",
                "file": self.named_output.as_ref().map(|path| path.display().to_string()),
                "contract_hash": contract_hash.to_string(),
                "plan_hash": plan_hash.to_string(),
                "not_after": seal.not_after.map(contracts::time),
                "signer": seal.signer.as_ref().map(|signer| key(&signer.public())),
                "recipients": seal.recipients.iter().map(key).collect::<Vec<_>>(),
                "hosts": seal.hosts.iter().map(key).collect::<Vec<_>>(),
            }));
        }
        let signer = match &seal.signer {
            Some(signer) => signer.describe(),
            None => "nobody".to_owned(),
        };
        let mut text = format!(
            "contract    {contract_hash}\nplan        {plan_hash}\nexpires     {}\nsigned by   {signer}\n",
            contracts::expiry(seal.not_after, seal.timestamp),
        );
        for recipient in &seal.recipients {
            text.push_str(&format!("opened by   {}\n", keys::describe(&recipient.fingerprint(), "")));
        }
        for host in &seal.hosts {
            text.push_str(&format!("for host    {}\n", host.fingerprint()));
        }
        console::say(&text);
        Ok(())
    }
}

impl Seal {
    fn new(matches: &ArgMatches) -> Result<Self, Failure> {
        let timestamp = contracts::now();
        let not_after = not_after(matches.get_one::<String>("expires").map_or(EXPIRES, String::as_str), timestamp)?;
        let shell = host::bash()?;
        let mut recipients = Vec::new();
        for word in options::strings(matches, "recipient") {
            recipients.extend(keys::recipients(&word)?);
        }
        recipients.sort_unstable();
        recipients.dedup();
        let named = matches.get_one::<PathBuf>("key").map(|path| Signer::named(path)).transpose()?;
        let unsigned = matches.get_flag("unsigned");
        let own_signs = named.is_none() && !unsigned;
        let signer = if unsigned { None } else { named };
        let (once, umask, hosts) = (matches.get_flag("once"), host::umask(), audience::hosts(matches)?);
        Ok(Self { not_after, timestamp, once, shell, umask, signer, recipients, hosts, own_signs })
    }

    /// Takes the caller's own identity for what nobody was named for. It is made where it is needed and there is a plan, and not otherwise.
    fn take_own(&mut self) -> Result<(), Failure> {
        if !self.recipients.is_empty() && !self.own_signs {
            return Ok(());
        }
        let own = keys::own()?;
        if self.recipients.is_empty() {
            self.recipients.push(own.public());
        }
        if self.own_signs {
            self.signer = Some(Signer::from(own));
        }
        Ok(())
    }
}

/// The last second at which a contract that holds for `text` from now on may run.
fn not_after(text: &str, now: i64) -> Result<Option<i64>, Failure> {
    if text == NEVER {
        return Ok(None);
    }
    let malformed = |cause: String| {
        Failure::usage(format!("`--expires {text}`: {cause}")).with_help("`--expires 12h`, `--expires 30d` or `--expires never`")
    };
    let length = duration::parse(text).map_err(|error| malformed(error.to_string()))?;
    if length < NANOSECONDS {
        return Err(malformed("a contract holds for at least one second".to_owned()));
    }
    Ok(Some(now.saturating_add(length / NANOSECONDS)))
}

/// The name of the work that a resolved plan does.
pub(super) fn plan_hash(work: &Work<'_>, plan: &Plan, algorithm: HashAlgorithm, place: Place<'_>) -> Result<Digest, Failure> {
    work.plan_hash(plan, algorithm, place).map_err(|error| Failure::bug(error.to_string()))
}

/// Shows why there is no plan, at its place in the source.
pub(super) fn refused(failure: PlanFailure, source: Source) -> Failure {
    let PlanFailure::Plan(PlanError { cause, span }) = failure else { return Failure::bug(failure.to_string()) };
    if let Cause::Internal(what) = cause {
        return Failure::bug(format!("the planner: {what}"));
    }
    let help = cause.help().unwrap_or_else(|| format!("`opalc explain {}` shows how it is written", cause.code()));
    let message = cause.to_string();
    if span.line.to_native() == 0 {
        return Failure::new((&cause).into(), message).with_help(help);
    }
    let span = Span { start: span.start.to_native(), end: span.end.to_native() };
    let diagnostic = Diagnostic::new(Code::Plan(cause.code()), span, message).with_help(help);
    Failure::Source { exit: NO_PROGRAM, source: Box::new(source), diagnostics: vec![diagnostic] }
}
