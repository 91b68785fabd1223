//! `opal-vm policy check`: each decision that policy, trust and terms make about a contract, and why. Nothing is run, read or written but the files
//! that decide.

use super::output::Output;
use super::request::{self, Check};
use crate::admission::{Request, Site, check_expiry, policy_verdicts, read, source_here, trust_of};
use crate::planner::NO_FILTERS;
use clap::ArgMatches;
use jiff::Timestamp;
use opal_core::code::Code;
use opal_core::program::verify::verify;
use opal_core::refusal::Refusal;
use opal_core::show::escape;
use opal_exec::confine::probe;
use opal_trust::audience::judge_audience;
use opal_trust::guard::Caller;
use opal_trust::input::Input;
use opal_trust::locations::{HostPaths, TRUST_FILE_SIZE_MAX};
use opal_trust::policy::{Key, Moment, POLICY_FILE, Policy, Refused};
use opal_trust::safe_path::read_capped;
use opal_view::policy as words;
use opal_view::trusted::basis;
use serde_json::{Value, json};
use std::fmt::Write as _;

/// One decision.
struct Row {
    about: &'static str,
    /// As the file writes it; `None` where the default holds.
    setting: Option<String>,
    verdict: &'static str,
    why: String,
    /// Which way flags may move it.
    tightens: Option<&'static str>,
    /// When it is enforced.
    enforced: Option<&'static str>,
}

pub(super) fn check(matches: &ArgMatches, out: &Output) -> Result<u8, Refusal> {
    let (paths, caller, now) = (HostPaths::from_environment(), Caller::from_environment(), Timestamp::now());
    let found = Policy::load(&paths)?;
    let in_force = found.as_ref().map(|_| POLICY_FILE.to_owned());
    let here = Site::with_policy(paths.clone(), &caller, now, found)?;
    let (site, file) = match request::draft(matches, &here)? {
        None => (here, in_force),
        Some(input) => (Site::with_policy(paths, &caller, now, Some(draft(&input)?))?, Some(input.path().display().to_string())),
    };
    let Check { contract: request } = Check::of(matches, &site)?;
    let plan = read(&request)?;
    let (rows, refused) = decide(&plan, &request, &site)?;
    let guarded: Vec<String> = site.guarded.iter().map(ToString::to_string).collect();
    let exit = refused.as_ref().map_or(0, Refusal::exit);
    if out.json {
        let decisions: Vec<Value> = rows
            .iter()
            .map(|row| json!({ "about": row.about, "setting": row.setting, "verdict": row.verdict, "why": row.why, "tightens": row.tightens, "enforced": row.enforced }))
            .collect();
        out.document(&json!({
            "schema": "opal/policy-check/v1", "effects": "none", "verdict": if exit == 0 { "allowed" } else { "refused" }, "exit": exit,
            "policy": file, "guarded": guarded, "contract_hash": plan.contract_hash().to_string(), "decisions": decisions,
            "error": refused.as_ref().map(|error| json!({ "code": error.code.name(), "message": error.message, "help": error.help })),
        }))?;
    } else {
        let file = file.as_deref().map_or_else(|| format!("none: there is no {POLICY_FILE}"), |file| escape(file.as_bytes(), false));
        let guarded = if guarded.is_empty() { "no".to_owned() } else { guarded.join("; ") };
        let mut text = format!("policy:   {file}\nguarded:  {guarded}\n");
        for Row { about, setting, verdict, why, .. } in &rows {
            let setting = setting.as_ref().map_or_else(String::new, |setting| format!(" = {setting}"));
            let _ = writeln!(text, "{verdict:<8}  {about}{setting}: {why}");
        }
        let _ = writeln!(text, "verdict:  {}", if exit == 0 { "policy lets it run".to_owned() } else { format!("refused ({exit})") });
        out.print(&text)?;
    }
    if let Some(refused) = refused {
        out.say(&format!("{}effects: none (nothing was run)\n", refused.to_text()));
    }
    Ok(exit)
}

/// A policy that is not in force yet.
fn draft(input: &Input) -> Result<Policy, Refusal> {
    let bytes = small_file(input, TRUST_FILE_SIZE_MAX)?;
    Policy::parse(&bytes).map_err(|error| match input.is_hidden() {
        true => unreadable(input, &Input::denied()),
        false => Refusal::from(error).at(input.path().display().to_string()),
    })
}

/// A regular file of at most `size_max` bytes that the command line names.
pub(super) fn small_file(input: &Input, size_max: u64) -> Result<Vec<u8>, Refusal> {
    let read = input.open().and_then(|file| {
        let read = file.metadata()?.is_file().then(|| read_capped(&file, input.path(), size_max).ok()).flatten();
        read.ok_or_else(|| std::io::Error::other("not a small regular file"))
    });
    match read {
        Ok(bytes) => Ok(bytes),
        Err(_) if input.is_hidden() => Err(unreadable(input, &Input::denied())),
        Err(error) => Err(unreadable(input, &error)),
    }
}

/// The refusal of a file that cannot be read.
pub(super) fn unreadable(input: &Input, error: &std::io::Error) -> Refusal {
    let path = input.path().display();
    let message = format!("cannot read `{path}`: {}", opal_core::plan::os_reason(error));
    Refusal::new(Code::FileUnreadable, message).help(format!("check it: `ls -l {path}`"))
}

/// Every decision, and the refusal that a run would end with.
fn decide(plan: &opal_format::reader::Authenticated, request: &Request, site: &Site) -> Result<(Vec<Row>, Option<Refusal>), Refusal> {
    let file = request.plan.path().display().to_string();
    let contract = plan.decode().map_err(|error| Refusal::from_format(&error, &file))?;
    contract.check_plan_hash().map_err(|error| Refusal::from_format(&error, &file))?;
    verify(contract.program).map_err(|error| Refusal::from_verify(&error, &file))?;
    let mut rows = Vec::new();
    let mut refusals = Vec::new();
    let mut row = |about, verdict: Result<String, Refusal>| {
        let (verdict, why) = match verdict {
            Ok(why) => ("allows", why),
            Err(refusal) => {
                let why = refusal.message.clone();
                refusals.push(refusal);
                ("refuses", why)
            }
        };
        rows.push(Row { about, setting: None, verdict, why, tightens: None, enforced: None });
    };
    let claims = site.policy.signers.iter().any(|entry| entry.targets.is_some() || entry.sources.is_some());
    let claims = if claims { " (targets and sources of [[signer]] entries are claims of the signer)" } else { "" };
    row("trust", trust_of(plan, &contract, request, site).map(|decision| format!("{}{claims}", basis(&decision.basis))));
    let hosts = if contract.audience.is_empty() { "it is for any host" } else { "it is for this host" };
    row("host", judge_audience(&contract.audience, &site.paths).map(|()| hosts.to_owned()).map_err(Refusal::from));
    let end = contract.terms.not_after.and_then(|end| Timestamp::from_second(end).ok());
    let end = end.map_or_else(|| "it never expires".to_owned(), |end| format!("it expires at {end}"));
    row("expiry", check_expiry(&contract, site.now).map(|()| end));
    let mut refused: Vec<Refused> = policy_verdicts(&contract, site)?.into_iter().filter_map(Result::err).collect();
    let source = source_here(&contract, request, site);
    refused.extend(site.policy.check_source(source).err());
    refused.extend(site.policy.check_planner((!probe().seccomp).then_some(NO_FILTERS)).err());
    for key in Key::ALL {
        let (about, setting) = (key.row(), site.policy.shown(*key));
        let refusal = refused.iter().find(|refused| refused.key == *key);
        let verdict = match (refusal, about.moment) {
            (Some(_), _) => "refuses",
            // By these a contract is refused before it is planned. The others say how it runs, or belong to trust.
            (None, Moment::Contract | Moment::Source) => "allows",
            (None, Moment::Request | Moment::Trust | Moment::Direct | Moment::Start | Moment::Plan | Moment::Steps) => "applies",
        };
        let why = match (refusal, &setting) {
            (Some(refusal), _) => refusal.subject.clone(),
            (None, Some(_)) => about.help.to_owned(),
            (None, None) => format!("{} (not set; default: {})", about.help, words::unset(about.unset)),
        };
        rows.push(Row {
            about: about.name,
            setting,
            verdict,
            why,
            tightens: Some(words::tighter(about.tighter)),
            enforced: Some(words::moment(about.moment)),
        });
    }
    refusals.extend(refused.into_iter().map(Refusal::from));
    Ok((rows, refusals.into_iter().next()))
}
