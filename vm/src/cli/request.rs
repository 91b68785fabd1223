//! What a command line asks, read once into one typed request for each command. What a guarded run may not be asked is judged on the way
//! ([`super::boundary`]); nothing looks an option up by its name afterwards.
//!
//! Read for: everything in the process that runs a contract.

use super::boundary::{self, Keep};
use super::force;
use crate::admission::{Request, Site};
use clap::ArgMatches;
use opal_core::code::Code;
use opal_core::refusal::Refusal;
use opal_core::show::escape;
use opal_format::hash::Digest;
use opal_record::results::ResultPlace;
use opal_trust::input::Input;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// `opal-vm inspect`.
pub(super) struct Inspect {
    pub(super) contract: Request,
    /// `--all`.
    pub(super) all: bool,
}

/// `opal-vm verify`.
pub(super) struct Verify {
    pub(super) contract: Request,
    /// `--reveal`.
    pub(super) reveal: Option<String>,
}

/// `opal-vm resolve`.
pub(super) struct Resolve {
    pub(super) contract: Request,
    /// Where the new contract goes; `None` is standard output.
    pub(super) output: Option<ResultPlace>,
    pub(super) recipients: Vec<Recipient>,
}

/// What `--recipient` names.
pub(super) enum Recipient {
    /// A key as text.
    Key(String),
    /// A file of keys.
    File(Input),
}

/// `opal-vm policy check`.
pub(super) struct Check {
    pub(super) contract: Request,
}

/// `opal-vm run`.
pub(super) struct Run {
    pub(super) contract: Request,
    pub(super) record: Keep,
    /// Where a receipt goes.
    pub(super) receipt: Option<ResultPlace>,
    /// The keys that `--force` names: nothing for a bare one, which asks.
    pub(super) force: Option<Vec<String>>,
    pub(super) resume: Option<Resume>,
    /// `--from`.
    pub(super) from: Option<String>,
    pub(super) confirm: bool,
    pub(super) yes: bool,
    pub(super) quiet: bool,
    /// Begins the command that goes on with this run.
    again: String,
}

/// `--resume` and what belongs to it.
pub(super) struct Resume {
    /// The name of a run, or `latest`.
    pub(super) run_id: String,
    /// `--rerun-unknown`.
    pub(super) rerun_unknown: bool,
}

impl Inspect {
    pub(super) fn of(matches: &ArgMatches, open: &dyn Fn(PathBuf) -> Input) -> Result<Self, Refusal> {
        Ok(Self { contract: contract(matches, open)?, all: flag(matches, "all") })
    }
}

impl Verify {
    pub(super) fn of(matches: &ArgMatches, site: &Site) -> Result<Self, Refusal> {
        let reveal = text(matches, "reveal");
        if reveal.is_some() {
            boundary::reveal(&site.policy, site.is_guarded(), "`--reveal` would show a value")?;
        }
        Ok(Self { contract: judged(matches, site)?, reveal })
    }
}

impl Resolve {
    pub(super) fn of(matches: &ArgMatches, site: &Site) -> Result<Self, Refusal> {
        let output = path(matches, "output").unwrap_or_default();
        if output.as_os_str() == "-" && flag(matches, "json") {
            let refusal = Refusal::new(Code::Usage, "the contract and `--json` cannot both go to standard output");
            return Err(refusal.help("name a file: `-o NEW.plan`"));
        }
        let named = texts(matches, "recipient");
        if !named.is_empty() {
            // Who can open the new contract can unseal what it says of this host's secrets.
            boundary::reveal(&site.policy, site.is_guarded(), "`--recipient` would seal what this host holds to another key")?;
        }
        let recipients = named.into_iter().map(|word| match word {
            key if key.starts_with("ssh-") => Recipient::Key(key),
            file => Recipient::File(boundary::input(site, PathBuf::from(file))),
        });
        let recipients = recipients.collect();
        Ok(Self { contract: judged(matches, site)?, output: boundary::result(site, "-o", &output)?, recipients })
    }
}

impl Check {
    pub(super) fn of(matches: &ArgMatches, site: &Site) -> Result<Self, Refusal> {
        Ok(Self { contract: judged(matches, site)? })
    }
}

impl Run {
    pub(super) fn of(matches: &ArgMatches, site: &Site) -> Result<Self, Refusal> {
        let resume = text(matches, "resume").map(|run_id| Resume { run_id, rerun_unknown: flag(matches, "rerun-unknown") });
        Ok(Self {
            force: force::asked(texts_if_given(matches, "force"))?,
            contract: judged(matches, site)?,
            record: boundary::record(site, path(matches, "record").as_deref())?,
            receipt: path(matches, "receipt").map(|path| boundary::receipt(site, &path)).transpose()?,
            resume,
            from: text(matches, "from"),
            confirm: flag(matches, "confirm"),
            yes: flag(matches, "yes"),
            quiet: flag(matches, "quiet"),
            again: again(matches),
        })
    }

    /// The command that goes on with a run.
    pub(super) fn resume_command(&self, run_id: &str) -> String {
        format!("{} --resume {run_id}", self.again)
    }
}

/// The draft that `policy check` is asked to try out. `site` is this host with the policy that is in force.
pub(super) fn draft(matches: &ArgMatches, site: &Site) -> Result<Option<Input>, Refusal> {
    let Some(path) = path(matches, "policy") else { return Ok(None) };
    boundary::reveal(&site.policy, site.is_guarded(), "`--policy` would show what a file holds")?;
    Ok(Some(boundary::input(site, path)))
}

/// What every command asks of a contract, where files are opened as the boundary says.
fn judged(matches: &ArgMatches, site: &Site) -> Result<Request, Refusal> {
    contract(matches, &|path| boundary::input(site, path))
}

fn contract(matches: &ArgMatches, open: &dyn Fn(PathBuf) -> Input) -> Result<Request, Refusal> {
    let expect = text(matches, "expect").map(|text| expected(&text)).transpose()?;
    let many = |name| paths(matches, name).into_iter().map(open).collect();
    Ok(Request {
        plan: open(path(matches, "plan").unwrap_or_default()),
        source: path(matches, "source").map(open),
        identities: many("identity"),
        expect,
        vouches: many("vouch"),
        allow_unsigned: flag(matches, "allow-unsigned"),
        max_size: matches.try_get_one::<u32>("max-size").ok().flatten().and_then(|size| usize::try_from(*size).ok()),
    })
}

fn expected(text: &str) -> Result<Digest, Refusal> {
    text.parse().map_err(|error| {
        // Digits alone, or in upper case, are those of `sha256sum` and of mail: what was meant can be pasted.
        let lower = text.to_ascii_lowercase();
        let meant = [format!("sha256:{lower}"), lower].into_iter().find(|text| text.parse::<Digest>().is_ok());
        let help =
            meant.map_or_else(|| "give the contract hash as `opal-vm inspect` prints it".to_owned(), |text| format!("`--expect {text}`"));
        Refusal::new(Code::Usage, format!("`--expect {}`: {error}", escape(text.as_bytes(), false))).help(help)
    })
}

/// The words of this command line that a run which goes on needs again.
fn again(matches: &ArgMatches) -> String {
    let quote = |path: &Path| {
        let quoted = opal_core::plan::quoted(path.as_os_str().as_bytes(), opal_format::kind::Position::Word, true);
        String::from_utf8_lossy(&quoted).into_owned()
    };
    let mut out = "opal-vm run".to_owned();
    for name in ["plan", "record", "source"] {
        if let Some(path) = path(matches, name) {
            out.push_str(&format!(" --{name} {}", quote(&path)));
        }
    }
    for name in ["identity", "vouch"] {
        for path in paths(matches, name) {
            out.push_str(&format!(" --{name} {}", quote(&path)));
        }
    }
    if let Some(hash) = text(matches, "expect") {
        out.push_str(&format!(" --expect {hash}"));
    }
    if flag(matches, "allow-unsigned") {
        out.push_str(" --allow-unsigned");
    }
    out
}

/// Whether a flag is given.
pub(super) fn flag(matches: &ArgMatches, name: &str) -> bool {
    matches.try_get_one::<bool>(name).ok().flatten().copied().unwrap_or(false)
}

fn path(matches: &ArgMatches, name: &str) -> Option<PathBuf> {
    matches.try_get_one::<PathBuf>(name).ok().flatten().cloned()
}

fn paths(matches: &ArgMatches, name: &str) -> Vec<PathBuf> {
    matches.try_get_many::<PathBuf>(name).ok().flatten().map(|paths| paths.cloned().collect()).unwrap_or_default()
}

fn text(matches: &ArgMatches, name: &str) -> Option<String> {
    matches.try_get_one::<String>(name).ok().flatten().cloned()
}

fn texts(matches: &ArgMatches, name: &str) -> Vec<String> {
    texts_if_given(matches, name).unwrap_or_default()
}

fn texts_if_given(matches: &ArgMatches, name: &str) -> Option<Vec<String>> {
    matches.try_get_many::<String>(name).ok().flatten().map(|texts| texts.cloned().collect())
}
