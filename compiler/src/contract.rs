//! From a compiled source to a contract: planned against a reality, sealed, ready to be signed.
//!
//! Nothing here reads files or the environment but through the [`Reality`] that the caller lends.

use opal_core::plan::{Mode, Options, Plan, PlanError, Reality};
use opal_core::program::{self, VerifyError, table};
use opal_format::canonical::{CanonicalError, CanonicalValue};
use opal_format::error::FormatError;
use opal_format::hash::{Digest, HashAlgorithm};
use opal_format::identity::PublicKey;
use opal_format::plan_hash::plan_hash;
use opal_format::program::{Program, ProgramView};
use opal_format::regen::{self, Regen};
use opal_format::seed::Seed;
use opal_format::sources::SourceFile;
use opal_format::terms::{BoundArgument, Setting, Terms};
use opal_format::writer::{PlanContents, PlanFile, WriteError};

/// What is to be planned: one target of a compiled source with its arguments.
#[derive(Clone, Copy, Debug)]
pub struct Work<'a> {
    /// The program.
    pub program: &'a Program,
    /// Name of the target.
    pub target: &'a str,
    /// Its arguments, in parameter order, defaults filled.
    pub arguments: &'a [BoundArgument],
}

/// How to plan.
#[derive(Clone, Debug)]
pub struct Manner {
    /// How much to resolve.
    pub mode: Mode,
    /// Environment variables that are promised to the steps, sorted, each once.
    pub pass_env: Vec<String>,
    /// Names that look like secrets and may be public all the same.
    pub public_names: Vec<String>,
    /// Treat every value as secret.
    pub no_public: bool,
    /// The root of values with a `regen_key`.
    pub regen_root: Option<Seed>,
}

/// What a contract says besides its plan.
#[derive(Clone, Debug)]
pub struct Conditions {
    /// Algorithm of all digests.
    pub algorithm: HashAlgorithm,
    /// When it is made, in seconds of Unix time.
    pub timestamp: i64,
    /// Last second at which it may run; `None` for no end.
    pub not_after: Option<i64>,
    /// Whether it may run only once.
    pub once: bool,
    /// Name of the source, relative to the base directory where possible; empty for none.
    pub source_name: String,
    /// Absolute path of `bash`.
    pub shell: String,
    /// File mode creation mask of the steps.
    pub umask: u32,
    /// Absolute path of the directory that steps start in; empty for the one where the run is started.
    pub directory: String,
    /// The hosts that it is meant for, by their keys; none for any.
    pub audience: Vec<PublicKey>,
    /// JSON text that informs and decides nothing.
    pub provenance: String,
}

/// Where and under what steps start: part of the work.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// Absolute path of `bash`.
    pub shell: &'a str,
    /// File mode creation mask.
    pub umask: u32,
    /// Absolute path of a directory; empty for the one where the run is started.
    pub directory: &'a str,
}

/// Why there is no plan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanFailure {
    /// The program or reality does not allow one.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The compiler made a program that is not valid: a bug.
    #[error("the compiled program is not valid: {0}")]
    Program(#[from] VerifyError),
    /// The compiler bound an argument that is not canonical: a bug.
    #[error("an argument of the compiled program is not valid: {0}")]
    Argument(#[from] CanonicalError),
}

impl Work<'_> {
    /// Verifies the program and plans it.
    ///
    /// # Errors
    /// See [`PlanFailure`].
    pub fn plan(&self, reality: &dyn Reality, seed: &Seed, manner: &Manner) -> Result<Plan, PlanFailure> {
        let verified = program::verify(self.program.view())?;
        let arguments: Vec<CanonicalValue> =
            self.arguments.iter().map(|argument| CanonicalValue::decode(&argument.value)).collect::<Result<_, _>>()?;
        let options = Options {
            mode: manner.mode,
            seed,
            regen: manner.regen_root.as_ref().map_or(Regen::None, Regen::Root),
            arguments: &arguments,
            pass_env: &manner.pass_env,
            public_names: Some(&manner.public_names),
            no_public: manner.no_public,
            fuel: table::limits::FUEL,
        };
        Ok(opal_core::plan::plan(&verified, reality, &options)?)
    }

    /// The name of the work that a resolved plan does.
    ///
    /// # Errors
    /// Never for a plan that [`Work::plan`] made.
    pub fn plan_hash(&self, plan: &Plan, algorithm: HashAlgorithm, place: Place<'_>) -> Result<Digest, FormatError> {
        let Place { shell, umask, directory } = place;
        let setting = Setting { target: self.target, arguments: self.arguments, shell, umask, directory };
        plan_hash(algorithm, &setting, plan.steps.view(), plan.slots.view())
    }

    /// Writes the contract of a resolved plan, its seed sealed to `recipients`, without a signature.
    ///
    /// # Errors
    /// Where a limit of the format is exceeded, or the seed cannot be sealed.
    pub fn write(
        &self,
        plan: &Plan,
        source: &[u8],
        manner: &Manner,
        conditions: &Conditions,
        seed: &Seed,
        recipients: &[PublicKey],
    ) -> Result<PlanFile, WriteError> {
        let terms = Terms {
            instruction_set: self.program.instruction_set,
            arguments: self.arguments.to_vec(),
            source_name: conditions.source_name.clone(),
            not_after: conditions.not_after,
            once: conditions.once,
            plan_type: plan.plan_type.number(),
            shell: conditions.shell.clone(),
            umask: conditions.umask,
            directory: conditions.directory.clone(),
            pass_env: manner.pass_env.clone(),
            regen_root: manner.regen_root.as_ref().filter(|_| !plan.sub_keys.is_empty()).map(|root| regen::fingerprint(root).bytes),
            no_public: manner.no_public,
        };
        let contents = PlanContents {
            algorithm: conditions.algorithm,
            timestamp: conditions.timestamp,
            sources: &[SourceFile {
                name: &conditions.source_name,
                length: source.len() as u64,
                digest: conditions.algorithm.plain(source).bytes,
            }],
            audience: &conditions.audience,
            target: self.target,
            terms: &terms,
            program: self.program,
            steps: &plan.steps,
            slots: &plan.slots,
            sub_keys: &plan.sub_keys,
            provenance: &conditions.provenance,
        };
        contents.write(seed, recipients)
    }
}

/// The first table in which two programs differ, or `None` where they are the same byte for byte.
#[must_use]
pub fn first_difference(a: ProgramView<'_>, b: ProgramView<'_>) -> Option<&'static str> {
    // Taken apart by name, so that a table that is added cannot be forgotten here.
    let ProgramView {
        instruction_set,
        entry,
        constants,
        imports,
        import_args,
        nodes,
        params,
        templates,
        template_parts,
        functions,
        globals,
        blocks,
        variables,
        code,
        debug,
        text,
    } = a;
    let tables = [
        ("instruction set", instruction_set == b.instruction_set),
        ("entry", entry == b.entry),
        ("constants", constants == b.constants),
        ("imports", imports == b.imports && import_args == b.import_args),
        ("nodes", nodes == b.nodes && params == b.params),
        ("shell texts", templates == b.templates && template_parts == b.template_parts),
        ("functions", functions == b.functions),
        ("globals", globals == b.globals),
        ("blocks", blocks == b.blocks && variables == b.variables),
        ("code", code == b.code),
        ("texts", text == b.text),
        ("source positions", debug == b.debug),
    ];
    tables.into_iter().find(|(_, same)| !same).map(|(name, _)| name)
}
