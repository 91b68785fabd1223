//! The `opal-vm` command line.
//!
//! Results go to stdout, everything else to stderr. Every ending says what had an effect; a refusal has one cause, one code and one exit status.
//!
//! Read for: everything in the process that runs a contract.

pub mod boundary;
mod consent;
pub mod ends;
mod force;
pub mod inspect;
pub mod job;
mod options;
pub mod output;
mod paint;
mod policy;
mod request;
mod resolve;
mod resume;
mod run;
mod verify;

use crate::admission::Site;
use crate::planner::Planner;
use jiff::Timestamp;
use opal_core::code::Code;
use opal_core::refusal::Refusal;
use opal_exec::supervise::lane::Lane;
use opal_trust::guard::Caller;
use opal_trust::locations::HostPaths;
pub use options::command;
use output::Output;

/// Exit status of drift.
const DRIFT: u8 = 3;

/// What each exit status of this project's programs means.
pub const EXIT_STATUS: &[(&str, &str)] = &[
    ("0", "done"),
    ("1", "a step failed, or the answer to a question was no"),
    ("3", "drift: the contract and the fresh plan differ"),
    ("20", "a signature is missing, bad or not trusted"),
    ("21", "outside the contract's validity time"),
    ("22", "a single-use contract that has run already"),
    ("24", "refused by policy, or a reserved plan type"),
    ("64", "the command line is wrong"),
    ("65", "the source does not compile, or the plan file is malformed"),
    ("66", "an input file is missing or unreadable"),
    ("69", "something that the plan needs is missing here"),
    ("70", "a bug in Opal"),
    ("74", "something cannot be written"),
    ("75", "another run holds the lock"),
    ("78", "a policy, trust or identity file is wrong"),
    ("128+n", "ended by signal n"),
];

/// The exit statuses of one program, as its help shows them.
#[must_use]
pub fn exit_status_help(has: impl Fn(&str) -> bool) -> String {
    EXIT_STATUS
        .iter()
        .filter(|(status, _)| has(status))
        .fold("Exit status:".to_owned(), |text, (status, meaning)| format!("{text}\n  {status:<6} {meaning}"))
}

/// Runs the command line and returns its exit status. A run takes the `spare` lane first, and is followed by what `progress` makes.
#[must_use]
pub fn main(arguments: Vec<std::ffi::OsString>, spare: Option<Lane>, progress: impl FnOnce(Output) -> Output) -> u8 {
    std::panic::set_hook(Box::new(|info| {
        let place = info.location().map_or_else(String::new, |place| format!(" ({}:{})", place.file(), place.line()));
        // The message of a panic may quote data, so only its place is shown.
        output::say_early(&format!("error[{}]: this is a bug in opal-vm{place}\nhelp: {}\n", Code::Internal, Code::Internal.help()));
    }));
    let matches = match command().try_get_matches_from(arguments) {
        Ok(matches) => matches,
        Err(error) => {
            let text = error.render().to_string();
            if error.use_stderr() {
                output::say_early(&format!("{}effects: none (nothing was run)\n", usage(&text).to_text()));
                return 64;
            }
            let printed = ends::stdout(&std::sync::Arc::default(), |out| out.write_all(text.as_bytes()));
            return printed.map_or_else(|error| output::unwritten(&error).exit(), |()| 0);
        }
    };
    let Some((name, matches)) = matches.subcommand() else { return 64 };
    // `policy check` is the one command of two words.
    let matches = matches.subcommand().map_or(matches, |(_, inner)| inner);
    let out = progress(Output::new(matches));
    let outcome = match name {
        "inspect" => inspect::inspect(matches, &out),
        "policy" => policy::check(matches, &out),
        "resolve" => resolve::resolve(matches, &out),
        "verify" => verify::verify(matches, &out),
        "run" => run::run(matches, &out, spare),
        _ => Err(Refusal::new(Code::Usage, "unknown command")),
    };
    outcome.unwrap_or_else(|refusal| out.refuse(&refusal))
}

/// A wrong command line, from what the parser says about it: its first paragraph is the cause, a tip is the help.
fn usage(text: &str) -> Refusal {
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let Some(first) = lines.next().and_then(|line| line.strip_prefix("error: ")) else {
        return Refusal::new(Code::Usage, "no command is named").help("`opal-vm --help` shows what there is");
    };
    let mut message = first.to_owned();
    let mut help = "`opal-vm --help` shows what there is".to_owned();
    for line in lines.take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more")) {
        match line.strip_prefix("tip: ") {
            Some(tip) => help = tip.replace('\'', "`"),
            None => message = format!("{message} {line}"),
        }
    }
    Refusal::new(Code::Usage, message.replace('\'', "`")).help(help)
}

/// A process that plans contracts.
fn planner() -> Result<Planner, Refusal> {
    Planner::start().map_err(|error| {
        Refusal::new(Code::PlannerEnded, format!("no planner can be started: {}", opal_core::plan::os_reason(&error)))
            .help("look at `ulimit -a`, and try again")
    })
}

/// Looks at this host.
fn site() -> Result<Site, Refusal> {
    Site::here(HostPaths::from_environment(), &Caller::from_environment(), Timestamp::now())
}
