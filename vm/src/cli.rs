//! The `opal-vm` command line.
//!
//! Results go to stdout, everything else to stderr. Every ending says what had an effect; a refusal has one cause, one code and one exit status.

mod force;
pub mod inspect;
pub mod job;
mod options;
pub mod output;
mod run;
mod verify;

use crate::admission::Site;
use crate::lane::Lane;
use crate::refusal::Refusal;
use crate::trust::guard::Caller;
use crate::trust::locations::HostPaths;
use jiff::Timestamp;
use output::Output;

/// Runs the command line and returns its exit status. A run takes the `spare` lane first.
#[must_use]
pub fn main(arguments: Vec<std::ffi::OsString>, spare: Option<Lane>) -> u8 {
    std::panic::set_hook(Box::new(|info| {
        let place = info.location().map_or_else(String::new, |place| format!(" ({}:{})", place.file(), place.line()));
        // The message of a panic may quote data, so only its place is shown.
        let _ = output::to_stderr(&format!(
            "error[internal]: this is a bug in opal-vm{place}\nhelp: please report it with the command that you ran\n"
        ));
    }));
    let matches = match options::command().try_get_matches_from(arguments) {
        Ok(matches) => matches,
        Err(error) => {
            let text = error.render().to_string();
            if error.use_stderr() {
                let _ = output::to_stderr(&format!("{}effects: none (nothing was run)\n", usage(&text).to_text()));
                return 64;
            }
            return output::to_stdout(&text).map_or_else(|error| error.exit, |()| 0);
        }
    };
    let Some((name, matches)) = matches.subcommand() else { return 64 };
    let out = Output::new(matches);
    let outcome = match name {
        "inspect" => inspect::inspect(matches, &out),
        "verify" => verify::verify(matches, &out),
        "run" => run::run(matches, &out, spare),
        _ => Err(Refusal::new("usage", 64, "unknown command")),
    };
    outcome.unwrap_or_else(|refusal| out.refuse(&refusal))
}

/// A wrong command line, from what the parser says about it: its first paragraph is the cause, a tip is the help.
fn usage(text: &str) -> Refusal {
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let Some(first) = lines.next().and_then(|line| line.strip_prefix("error: ")) else {
        return Refusal::new("usage", 64, "no command is named").help("`opal-vm --help` shows what there is");
    };
    let mut message = first.to_owned();
    let mut help = "`opal-vm --help` shows what there is".to_owned();
    for line in lines.take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more")) {
        match line.strip_prefix("tip: ") {
            Some(tip) => help = tip.replace('\'', "`"),
            None => message = format!("{message} {line}"),
        }
    }
    Refusal::new("usage", 64, message.replace('\'', "`")).help(help)
}

/// Looks at this host.
fn site() -> Result<Site, Refusal> {
    Site::here(HostPaths::from_environment(), &Caller::from_environment(), Timestamp::now())
}
