//! `@isolated.*` and the sandbox of the policy: which rules a step runs under, and how reports name them.
//!
//! Read for: everything in the process that runs a contract.

use std::ffi::{CString, OsString};
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use opal_format::kind::NodeKind;
use opal_format::record::Span;
use opal_format::steps::Node;
use opal_format::tree::Tree;

use super::exec::{Flow, Scope, Worker};
use super::report::{ConfinedBy, FailureCause};
use super::script::argument_text;
use super::{RunError, Shared};
use crate::confine::{KeyFiles, Layer, Place, Rules};
use opal_core::decorators::params;
use opal_core::plan::Plan;
use opal_core::sandbox::{Host, Isolation, Sandbox, SandboxLevel};

/// How many `@isolated.filesystem` may nest: the kernel stacks 16 sets of rules, and each step needs two besides.
const NESTED_MAX: usize = 12;

fn isolates(node: &Node) -> Option<Isolation> {
    Isolation::of(node.kind()?)
}

/// The nodes around `index` that confine it, outermost first.
fn around(nodes: &[Node], index: usize) -> impl Iterator<Item = (Isolation, &Node)> {
    let node = move |around| nodes.get(around);
    Tree::new(nodes).ancestors(index).filter_map(node).filter_map(|node| Some((isolates(node)?, node)))
}

/// What this host cannot enforce of what the blocks of a plan and its policy ask for. Refused, unless the policy settles for the best that
/// can be done; then each is a warning.
///
/// # Errors
/// [`RunError::Unenforceable`].
pub fn check_confinement(plan: &Plan, sandbox: &Sandbox, host: Host) -> Result<Vec<String>, RunError> {
    let nodes = &plan.steps.nodes;
    let mut warnings: Vec<String> = sandbox.missing(host).map(|why| format!("policy sandbox.level: {why}")).into_iter().collect();
    for (index, node) in nodes.iter().enumerate() {
        let Some(kind) = isolates(node) else { continue };
        let files = |(kind, _): &(Isolation, &Node)| *kind == Isolation::Filesystem;
        let deep = kind == Isolation::Filesystem && around(nodes, index).filter(files).count() >= NESTED_MAX;
        let deep = deep.then(|| format!("no kernel takes more than {NESTED_MAX} of them inside each other"));
        let Some(why) = deep.clone().or_else(|| host.missing(kind == Isolation::Filesystem)) else { continue };
        if deep.is_some() || sandbox.level != SandboxLevel::BestEffort {
            return Err(RunError::Unenforceable { path: opal_core::show::path_of(nodes, index), kind: kind.name(), why });
        }
        let warning = format!("{}: {why}", kind.name());
        if !warnings.contains(&warning) {
            warnings.push(warning);
        }
    }
    Ok(warnings)
}

/// Refuses lists of places that hold a private key, as far as places can be told before anything runs; the others are judged when their block begins.
///
/// # Errors
/// [`RunError::KeyListed`].
pub fn check_places(plan: &Plan, base: &Path, keys: &KeyFiles) -> Result<(), RunError> {
    let steps = plan.steps.view();
    let text = |arg| argument_text(plan, arg).map(|text| PathBuf::from(OsString::from_vec(text.to_vec())));
    for (index, node) in steps.nodes.iter().enumerate() {
        if isolates(node) != Some(Isolation::Filesystem) {
            continue;
        }
        let mut directory = base.to_owned();
        let outside = Tree::new(steps.nodes).ancestors(index).filter_map(|outer| steps.nodes.get(outer));
        for workdir in outside.filter(|outer| outer.kind() == Some(NodeKind::Workdir)) {
            directory.extend(steps.args_of(workdir).iter().filter_map(text));
        }
        for place in steps.args_of(node).iter().filter_map(text) {
            let Ok(real) = std::fs::canonicalize(directory.join(place)) else { continue };
            if let Some(key) = keys.listed_by(&real) {
                let key = opal_core::show::escape(key.as_os_str().as_encoded_bytes(), false);
                return Err(RunError::KeyListed { path: opal_core::show::path_of(steps.nodes, index), key });
            }
        }
    }
    Ok(())
}

impl Shared<'_> {
    /// The rules that the policy puts on every step. What it lists and this host does not have is nowhere to be.
    pub(super) fn policy_rules(&self) -> Option<Rules> {
        let Sandbox { level, read, write, network, hide_identity } = &self.options.sandbox;
        let hidden: Vec<CString> = if *hide_identity {
            self.options.keys.iter().filter_map(|file| CString::new(file.as_os_str().as_encoded_bytes()).ok()).collect()
        } else {
            Vec::new()
        };
        if *level == SandboxLevel::None {
            return hide_identity.then(|| Rules { hidden, ..Rules::default() });
        }
        let found = |list: &Option<Vec<String>>| {
            let paths = list.as_ref()?.iter();
            Some(paths.filter_map(|path| Place::find(Path::new(path)).ok()).collect())
        };
        let layer = (read.is_some() || write.is_some()).then(|| Arc::new(Layer { read: found(read), write: found(write) }));
        let best_effort = *level == SandboxLevel::BestEffort;
        Some(Rules { network: !network, privileges: false, best_effort, layers: layer.into_iter().collect(), hidden })
    }

    /// Every rule that a step runs under, the policy's first.
    pub(super) fn confined_by(&self, node: usize) -> Vec<ConfinedBy> {
        let policy = self.options.sandbox.keys().into_iter().map(|key| ConfinedBy { rule: format!("policy {key}"), span: Span::NONE });
        let blocks = around(&self.plan.steps.nodes, node);
        let steps = self.plan.steps.view();
        policy.chain(blocks.map(|(kind, node)| ConfinedBy { rule: kind.name().to_owned(), span: steps.span(node) })).collect()
    }
}

impl Worker<'_, '_> {
    pub(super) fn isolated(&mut self, index: usize, node: &Node, kind: Isolation, inside: Vec<usize>, scope: Scope<'_>) -> Flow {
        let mut rules = scope.rules.cloned().unwrap_or_default();
        rules.best_effort = self.shared.options.sandbox.level == SandboxLevel::BestEffort;
        match kind {
            Isolation::Network => rules.network = true,
            Isolation::Privileges => rules.privileges = true,
            Isolation::Filesystem => {
                match (self.places(node, params::ISOLATED_READ, scope), self.places(node, params::ISOLATED_WRITE, scope)) {
                    (Ok(read), Ok(write)) => rules.layers.push(Arc::new(Layer { read: Some(read), write: Some(write) })),
                    (Err(cause), _) | (_, Err(cause)) => return self.failed(index, cause, b"", Duration::ZERO),
                }
            }
        }
        self.block(inside, Scope { rules: Some(&rules), ..scope })
    }

    /// The places that a parameter lists, as they are when the block begins; relative ones start at the directory of the block.
    fn places(&self, node: &Node, param: u8, scope: Scope<'_>) -> Result<Vec<Place>, FailureCause> {
        use std::os::unix::ffi::OsStrExt as _;
        let args = self.args(node, param);
        args.map(|arg| {
            let text = argument_text(self.shared.plan, arg).ok_or(FailureCause::NoValue)?;
            let path = Path::new(std::ffi::OsStr::from_bytes(&text));
            let found = if text.is_empty() { Err(std::io::ErrorKind::NotFound.into()) } else { Place::find(&scope.directory.join(path)) };
            let place = found.map_err(|error| FailureCause::NoPlace(self.shown(path), error))?;
            match self.shared.options.keys.listed_by(place.path()) {
                Some(key) => Err(FailureCause::KeyListed(key.to_owned())),
                None => Ok(place),
            }
        })
        .collect()
    }
}
