//! Runs a fresh plan: interprets the step tree over lanes (spec/language.md, "Decorators" and "Shell steps").
//!
//! The caller has authenticated, verified and compared; nothing here decides whether to run. Blocks are walked by
//! recursion, which the format's depth limit bounds. One thread walks the tree; `@parallel` branches and `@pipe` operands have a
//! thread and a lane each.
//!
//! Tests: `vm/tests/run.rs`, with real processes.
//!
//! Read for: everything in the process that runs a contract.

mod confined;
mod environment;
pub mod evaluate;
mod exec;
mod output;
mod parallel;
pub mod progress;
mod replay;
mod report;
mod script;
mod tally;
mod terminal;
mod transform;

use std::ffi::CString;
use std::fs::File;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use opal_format::kind::NodeKind;
use opal_format::steps::Node;
use opal_format::tree::Tree;
use zeroize::Zeroizing;

use crate::confine::{KeyFiles, probe};
use crate::deliver::Patience;
use crate::scrub::Secrets;
use crate::supervise::lane::{Lane, LaneError, LaneOptions};
use crate::supervise::signals::Signals;
use opal_core::agreed::Runnable;
use opal_core::event::{At, Event, RunStarts, Schema};
use opal_core::plan::Plan;
use opal_core::rest::Rest;
use opal_core::sandbox::Sandbox;
use opal_core::show::Paths;

pub use confined::{check_confinement, check_places};
pub use environment::{EnvPolicy, environment, is_never_passed};
pub use replay::Start;
pub use report::{ConfinedBy, FailureCause, Labels, Left, Outcome, RunReport, StepFailure};

use crate::clean::{Clean, CleanJson, learn};
use crate::outlet::Outlet;
use crate::recorder::Recorder;
use exec::Worker;
use output::Put;
use progress::{Progress, Told};
use tally::Tally;

/// How a plan is run.
pub struct RunOptions<'a> {
    /// Absolute path of `bash`.
    pub shell: PathBuf,
    /// File mode creation mask of the steps.
    pub umask: u32,
    /// Where relative paths start.
    pub base_dir: PathBuf,
    /// What every step's environment holds; see [`environment`].
    pub environment: Vec<CString>,
    /// Time between TERM and KILL.
    pub grace: Duration,
    /// Time for the whole run.
    pub timeout: Option<Duration>,
    /// Branches at once, at most.
    pub max_parallel: Option<usize>,
    /// What confines every step.
    pub sandbox: Sandbox,
    /// Files that no list of places may let steps read.
    pub keys: KeyFiles,
    /// What `@tty` lends its steps, unscrubbed; `None` where there is nothing to lend.
    pub terminal: Option<BorrowedFd<'a>>,
    /// How watchers are made.
    pub lanes: LaneOptions<'a>,
    /// Lanes that are open already, to save the first steps their start.
    pub warm: Mutex<Vec<Lane>>,
    /// Steps' standard output goes here, or events do.
    pub stdout: File,
    /// Steps' standard error and messages go here.
    pub stderr: File,
    /// Write an event stream to `stdout` in place of the steps' output.
    pub json: bool,
    /// Who tells a person how the run goes on; `None` for nobody.
    pub progress: Option<Arc<dyn Progress>>,
    /// What is replaced in everything that leaves; the run adds the values of its plan and what its bindings come to hold.
    pub secrets: Arc<Secrets>,
    /// Who says that the run is to stop. Installed before any thread was started.
    pub signals: Arc<Signals>,
    /// How long readers are waited for.
    pub patience: Arc<Patience>,
    /// Where it begins, and what is said about that.
    pub start: Start,
}

/// Why a plan was not run at all.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// It holds a block that this version does not run.
    #[error("step {path} is a `{kind}` block, which this version of opal-vm cannot run")]
    Unsupported {
        /// Path of the step.
        path: String,
        /// Its decorator.
        kind: &'static str,
    },
    /// It holds a block whose rule this host cannot enforce.
    #[error("step {path} is a `{kind}` block, which cannot be enforced here: {why}")]
    Unenforceable {
        /// Path of the block.
        path: String,
        /// Its decorator.
        kind: &'static str,
        /// What is missing.
        why: String,
    },
    /// It lists a place for a block to read where a private key is.
    #[error("step {path} lets its block read `{key}`, a private key of this user")]
    KeyListed {
        /// Path of the block.
        path: String,
        /// The file.
        key: String,
    },
    /// It holds a `@tty` block, and there is no terminal to lend.
    #[error("step {path} is a `@tty` block, and there is no terminal that this run could lend it")]
    NoTerminal {
        /// Path of the block.
        path: String,
    },
    /// The operating system refused something that every run needs.
    #[error("cannot start the run: {0}")]
    System(#[source] std::io::Error),
}

/// Refuses a plan with blocks that cannot be run. [`run`] asks as well; ask before anything that lasts, such as a ledger entry.
///
/// # Errors
/// [`RunError::Unsupported`], or [`RunError::NoTerminal`] for a `@tty` block without a `terminal` to lend.
pub fn check_supported(plan: &Plan, terminal: bool) -> Result<(), RunError> {
    use NodeKind::Tty;
    let nodes = &plan.steps.nodes;
    let refused = |kind: NodeKind| kind == Tty && !terminal;
    let Some((index, node)) = nodes.iter().enumerate().find(|(_, node)| node.kind().is_none_or(refused)) else { return Ok(()) };
    let path = opal_core::show::path_of(nodes, index);
    Err(match node.kind() {
        Some(Tty) => RunError::NoTerminal { path },
        kind => RunError::Unsupported { path, kind: kind.map_or("unknown", NodeKind::name) },
    })
}

/// Runs agreed or direct work; there is no other way to run anything.
///
/// # Errors
/// A [`RunError`], after which nothing was run. How the steps fare is in the report.
pub fn run(work: Runnable<'_>, options: &RunOptions<'_>, recorder: &mut dyn Recorder) -> Result<RunReport, RunError> {
    let plan = work.plan();
    check_supported(plan, options.terminal.is_some())?;
    check_confinement(plan, &options.sandbox, probe())?;
    check_places(plan, &options.base_dir, &options.keys)?;
    let started = Instant::now();
    let shared = Shared::new(plan, options, recorder).map_err(RunError::System)?;
    shared.note(|| {
        let accepted_drift = work.accepted_drift();
        Event::RunStarts(RunStarts {
            schema: Schema::Events,
            steps: opal_core::show::step_count(plan.steps.view()),
            which: options.start.labels.which(),
            forced: accepted_drift.is_some(),
            accepted_drift,
        })
    });
    let deadline = options.timeout.and_then(|limit| started.checked_add(limit));
    options.patience.end_at(deadline);
    let flow = Worker::new(&shared).root(deadline);
    let report = shared.report(flow, started.elapsed());
    shared.note(|| Event::RunDone(report.done()));
    let report = match shared.sync() {
        Ok(()) => report,
        Err(error) => report.record_lost(error),
    };
    // Watchers that are idle go at once; the lanes are closed before the caller ends the process.
    options.warm.lock().unwrap_or_else(PoisonError::into_inner).clear();
    Ok(report)
}

/// What all threads of a run have in common.
struct Shared<'p> {
    plan: &'p Plan,
    options: &'p RunOptions<'p>,
    signals: Arc<Signals>,
    outlet: Arc<Outlet>,
    names: OnceLock<Arc<[String]>>,
    secrets: Arc<Secrets>,
    /// What runtime bindings have come to hold, with their nodes, in that order. What one held in an earlier attempt is still a secret.
    bindings: Mutex<Vec<(u32, Zeroizing<Vec<u8>>)>>,
    recorder: Mutex<&'p mut dyn Recorder>,
    /// Whether anybody reads events.
    recording: bool,
    tally: Mutex<Tally>,
    cleaning: AtomicBool,
    /// What is over since an earlier part of this run, as far as it was not come to again.
    rest: Mutex<Rest>,
    /// Whether there was an earlier part.
    resumed: bool,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<'p> Shared<'p> {
    fn new(plan: &'p Plan, options: &'p RunOptions<'p>, recorder: &'p mut dyn Recorder) -> std::io::Result<Self> {
        let names: OnceLock<Arc<[String]>> = OnceLock::new();
        let json = options.json.then(|| Arc::clone(names.get_or_init(|| Paths::new(&plan.steps.nodes).collect())));
        let files = [options.stdout.try_clone()?, options.stderr.try_clone()?];
        let recording = options.json || recorder.is_recording();
        let mut rest = std::mem::take(&mut *locked(&options.start.rest));
        let mut bindings: Vec<_> = std::mem::take(&mut rest.bindings).into_iter().collect();
        bindings.sort_by_key(|(node, _)| *node);
        let tally = Tally { done: std::mem::take(&mut rest.ran), ..Tally::default() };
        let shared = Self {
            plan,
            options,
            signals: Arc::clone(&options.signals),
            outlet: Arc::new(Outlet::new(
                files,
                &options.secrets,
                Arc::clone(&options.signals),
                Arc::clone(&options.patience),
                json,
                options.progress.clone(),
            )),
            names,
            secrets: Arc::clone(&options.secrets),
            bindings: Mutex::new(bindings),
            recorder: Mutex::new(recorder),
            recording,
            tally: Mutex::new(tally),
            cleaning: AtomicBool::new(false),
            resumed: !rest.is_all(),
            rest: Mutex::new(rest),
        };
        shared.learn();
        Ok(shared)
    }

    /// Takes over the secrets of the plan, and what the bindings hold so far.
    fn learn(&self) {
        learn(&self.secrets, &self.plan.slots, &self.plan.values, &self.plan.unscrubbed);
        let mut secrets: Vec<(Zeroizing<Vec<u8>>, String)> = Vec::new();
        for (node, value) in locked(&self.bindings).iter() {
            secrets.push((value.clone(), self.binding_placeholder(*node)));
        }
        self.secrets.add(secrets.iter().map(|(value, name)| (value.as_slice(), name.as_str())));
    }

    /// What is shown in place of what a binding holds.
    fn binding_placeholder(&self, node: u32) -> String {
        format!("@let.{}", self.binding_name(node))
    }

    fn binding_name(&self, node: u32) -> String {
        String::from_utf8_lossy(self.plan.steps.view().binding_name(node)).into_owned()
    }

    fn patterns(&self) -> Arc<Secrets> {
        Arc::clone(&self.secrets)
    }

    fn node(&self, index: usize) -> Option<(&'p Node, NodeKind)> {
        let node = self.plan.steps.nodes.get(index)?;
        Some((node, node.kind()?))
    }

    fn tree(&self) -> Tree<'p> {
        self.plan.steps.view().tree()
    }

    /// Path of a node; the empty text for the whole plan.
    fn path(&self, node: Option<usize>) -> String {
        let names = self.names.get_or_init(|| Paths::new(&self.plan.steps.nodes).collect());
        node.and_then(|node| names.get(node)).cloned().unwrap_or_default()
    }

    /// A lane: an idle one, or a new one.
    fn lane(&self) -> Result<Lane, LaneError> {
        match locked(&self.options.warm).pop() {
            Some(lane) => Ok(lane),
            None => Lane::open(&LaneOptions { grace: self.options.grace, ..self.options.lanes }),
        }
    }

    fn give_back(&self, lane: Lane) {
        locked(&self.options.warm).push(lane);
    }

    /// The node that an event is of.
    fn at(&self, node: usize) -> At {
        At { node, path: self.path(Some(node)) }
    }

    /// Adds an event to the record and the event stream.
    fn note(&self, event: impl FnOnce() -> Event) {
        let progress = self.options.progress.as_deref();
        if !self.recording && progress.is_none() {
            return;
        }
        let event = event();
        if let Some(progress) = progress {
            self.follow(progress, &event);
        }
        if !self.recording {
            return;
        }
        // Messages of programs are in some events.
        let clean = CleanJson::new(&self.secrets, &event).line();
        if self.options.json
            && let Err(error) = self.outlet.event(&clean)
        {
            locked(&self.tally).halt(Outcome::OutputLost(error));
        }
        locked(&self.recorder).note(&clean);
    }

    /// Tells who follows the run of an event.
    fn follow(&self, progress: &dyn Progress, event: &Event) {
        let text = || {
            let text = event.at().map(|at| opal_core::show::step_text(&self.view(), at.node, opal_core::show::Style::Plain));
            Clean::new(&self.secrets, text.unwrap_or_default().as_bytes()).as_str().to_owned()
        };
        if let Some(line) = progress.event(&Told { event, text: &text, plan: self.plan }) {
            let _ = self.outlet.line(&line, false);
        }
    }

    /// Makes the events so far durable.
    fn sync(&self) -> std::io::Result<()> {
        locked(&self.recorder).sync()
    }

    /// Tells a person something, on stderr.
    fn say(&self, text: &str) {
        if let Err(error) = self.outlet.line(text, true) {
            locked(&self.tally).halt(Outcome::OutputLost(error));
        }
    }

    /// Says once that cleanup begins, if the run is stopping.
    fn say_cleaning_up(&self) {
        if !self.cleaning.swap(true, Ordering::AcqRel) {
            self.say("Cleaning up…");
        }
    }
}

/// A directory as a program is told it in `PWD`.
fn pwd(directory: &Path) -> CString {
    use std::os::unix::ffi::OsStrExt as _;
    CString::new([b"PWD=", directory.as_os_str().as_bytes()].concat()).unwrap_or_default()
}

/// The shared interface for output targets.
type Target = Arc<dyn Put>;

/// A descriptor that several steps use one after the other.
type Pipe = Arc<std::os::fd::OwnedFd>;

fn borrowed(pipe: &Option<Pipe>) -> Option<BorrowedFd<'_>> {
    use std::os::fd::AsFd as _;
    pipe.as_ref().map(|pipe| pipe.as_fd())
}
