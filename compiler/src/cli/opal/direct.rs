//! A direct run: plans fresh and runs that plan, without a contract (spec/opal.md, "Direct runs").

use super::super::failure::Failure;
use super::super::{compile, console, files, host, plan, regen_root, seed};
use super::progress;
use crate::contract::{Place, PlanFailure, Work};
use crate::diagnostic::Code;
use crate::lower::Entry;
use crate::source::Source;
use crate::syntax::Parsed;
use clap::ArgMatches;
use opal_core::agreed::{Direct, Runnable};
use opal_core::plan::{Cause, Mode, PlanError};
use opal_core::refusal::Refusal;
use opal_exec::clean::learn;
use opal_exec::confine::KeyFiles;
use opal_format::hash::{Digest, HashAlgorithm};
use opal_format::kind::NodeKind;
use opal_format::seed::Seed;
use opal_format::steps::Node;
use opal_trust::guard::Caller;
use opal_trust::identity;
use opal_trust::locations::HostPaths;
use opal_vm::admission::{Site, check_imports, check_steps};
use opal_vm::cli::boundary;
use opal_vm::cli::job::{self, Begin, Console, Job, Wishes};
use opal_vm::cli::output::Output;
use std::path::{Path, PathBuf};

/// A plan that is to run.
pub(super) struct Ready {
    work: Direct,
    seed: Seed,
    target: String,
    plan_hash: Digest,
    source_name: String,
    shell: String,
    umask: u32,
    site: Site,
    wishes: Wishes,
    out: Output,
}

/// Compiles and plans. Everything that can be refused is, before anything is run.
pub(super) fn prepare(
    matches: &ArgMatches,
    path: &Path,
    source: Source,
    parsed: &Parsed,
    entry: &Entry,
    color: bool,
) -> Result<Ready, Failure> {
    let refused = |refusal: Refusal| Failure::vm(&refusal);
    let mut site = Site::here(HostPaths::from_environment(), &Caller::from_environment(), jiff::Timestamp::now()).map_err(refused)?;
    let allowed = site.policy.check_direct().map_err(|error| Failure::host(&error))?;
    let record = boundary::record(&site, matches.get_one::<PathBuf>("record").map(PathBuf::as_path)).map_err(refused)?;
    // Its name does not depend on where the run starts.
    let named =
        if path.as_os_str() == files::STANDARD { path.to_owned() } else { std::path::absolute(path).unwrap_or_else(|_| path.to_owned()) };
    boundary::enter(&mut site, "").map_err(refused)?;
    let compiled = compile::compile_parsed(&source, parsed, entry, &|_| false)?;
    let quiet = matches.get_flag("quiet");
    if !quiet {
        console::say(&compile::warnings(&source, &compiled, color));
    }
    check_imports(&site.policy, compiled.program.view()).map_err(refused)?;
    let (shell, umask) = (host::bash()?, host::umask());
    let (reality, mut manner) = (host::reality(matches, site.base.clone())?, host::manner(matches, Mode::Resolve)?);
    host::check_promises(&reality, &manner)?;
    manner.regen_root = regen_root::for_program(matches, &compiled.program)?;
    let seed = seed::fresh_seed()?;
    let work = Work { program: &compiled.program, target: &compiled.target, arguments: &compiled.arguments };
    let planned = work.plan(&reality, &seed, &manner).map_err(|failure| unplanned(failure, source))?;
    let out = progress::follow(Output::new(matches));
    // From here on nothing is said that is not scrubbed: what is refused, the machine refuses.
    learn(&out.secrets, &planned.slots, &planned.values, &planned.unscrubbed);
    check_terminal(&planned.steps.nodes)?;
    Ok(Ready {
        plan_hash: plan::plan_hash(&work, &planned, HashAlgorithm::Sha256, Place { shell: &shell, umask, directory: "" })?,
        work: Direct::new(planned, allowed),
        seed,
        target: compiled.target.clone(),
        source_name: host::source_name(&named, &site.base),
        shell,
        umask,
        site,
        wishes: Wishes { record, confirm: matches.get_flag("confirm"), yes: matches.get_flag("yes"), quiet },
        out,
    })
}

/// Refuses `@tty` where several steps would have the terminal at once. What stands inside `@parallel` itself, the checker has refused.
fn check_terminal(nodes: &[Node]) -> Result<(), Failure> {
    let mut parallel_ends = 0;
    for (at, node) in nodes.iter().enumerate() {
        match node.kind() {
            Some(NodeKind::Parallel) => {
                parallel_ends = parallel_ends.max(at.saturating_add(node.length()));
            }
            Some(NodeKind::Tty) if at < parallel_ends => {
                return Err(Failure::new(
                    Code::TtyInParallel.into(),
                    "a command that is called in `@parallel` has a `@tty` block, and there is one terminal",
                )
                .with_help("call it before `@parallel` or after it"));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Shows why there is no plan. `--env` states what a target elsewhere will have; here the variable itself can be set.
fn unplanned(failure: PlanFailure, source: Source) -> Failure {
    let unset = match &failure {
        PlanFailure::Plan(PlanError { cause: Cause::EnvUnset(name), .. }) => Some(name.clone()),
        _ => None,
    };
    let mut failure = plan::refused(failure, source);
    if let (Some(name), Failure::Source { diagnostics, .. }) = (unset, &mut failure) {
        for diagnostic in diagnostics {
            diagnostic.help = Some(format!("set it: `export {name}=…`; or write `@env.{name}(default=\"…\")`"));
        }
    }
    failure
}

impl Ready {
    /// Runs it, in the one thread of this process, and gives the exit status.
    pub(super) fn run(&self) -> u8 {
        self.try_run().unwrap_or_else(|refusal| self.out.refuse(&refusal))
    }

    /// The name of the lock: that of the work and the place. The same command in two checkouts is other work; a contract says nothing of places.
    fn lock_name(&self) -> Digest {
        let name = [self.plan_hash.to_string().as_bytes(), b"\0", self.site.base.as_os_str().as_encoded_bytes()].concat();
        HashAlgorithm::Sha256.plain(&name)
    }

    fn try_run(&self) -> Result<u8, Refusal> {
        let work = Runnable::Direct(&self.work);
        check_steps(&self.site.policy, work.plan().steps.view(), &self.shell)?;
        let signals = job::signals()?;
        let run_id = job::run_id(&self.site)?;
        let lock = job::take_lock(&self.site, &self.lock_name(), &run_id, false, &self.out)?;
        let job = Job {
            work,
            seed: &self.seed,
            target: &self.target,
            plan_hash: self.plan_hash,
            contract_hash: None,
            source_name: &self.source_name,
            shell: &self.shell,
            umask: self.umask,
            site: &self.site,
            keys: KeyFiles::of(identity::places(&self.site.paths, &[])),
            run_id: &run_id,
            ledger: None,
            console: Console::direct(),
            receipt: None,
            wishes: self.wishes.clone(),
            // What was planned is in no contract that a later run could be compared with.
            resume: None,
        };
        job::perform(&job, Begin::default(), lock, None, &signals, &self.out)
    }
}
