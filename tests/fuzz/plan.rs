//! Plan files: the reader decides about any bytes, and reads what the writer wrote.

use super::{Choices, program, smith};
use opal_core::plan::{Mode, Plan};
use opal_core::program::verify;
use opal_format::hash::HashAlgorithm;
use opal_format::identity::{Identity, PublicKey};
use opal_format::limits::FILE_SIZE;
use opal_format::program::{Program, ProgramView};
use opal_format::reader::RawPlan;
use opal_format::seed::{Drbg, Seed};
use opal_format::sources::SourceFile;
use opal_format::terms::Terms;
use opal_format::writer::PlanContents;
use std::sync::OnceLock;

/// The reader, and whatever the VM does with a plan before anything is trusted, decides about any bytes.
pub fn plan_bytes(data: &[u8]) {
    let Ok(raw) = RawPlan::copy(data, FILE_SIZE) else { return };
    let Ok(authenticated) = raw.authenticate() else { return };
    let Ok(contract) = authenticated.decode() else { return };
    let _ = contract.check_plan_hash();
    if let Ok(verified) = verify(contract.program) {
        let _ = program::planned(&verified, Mode::Resolve, &[]);
    }
}

/// The same for a valid plan with some bytes changed, so that the stages behind the first are reached.
pub fn plan_edits(data: &[u8]) {
    let mut bytes = valid_plan().to_vec();
    let mut choices = Choices::new(data);
    while !choices.is_empty() {
        let at = choices.word() as usize % bytes.len();
        bytes[at] = choices.byte();
    }
    plan_bytes(&bytes);
}

/// A plan that reads without an error.
pub fn valid_plan() -> &'static [u8] {
    static PLAN: OnceLock<Vec<u8>> = OnceLock::new();
    PLAN.get_or_init(|| {
        let (program, plan) = some_plan();
        written(&program, &plan)
    })
}

/// A program with a plan of more than a few steps.
pub(super) fn some_plan() -> (Program, Plan) {
    for seed in 0..=u8::MAX {
        let data: Vec<u8> = (0..2048u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8 ^ seed).collect();
        let program = smith::program(&mut Choices::new(&data));
        let plan = verify(program.view()).ok().and_then(|verified| program::planned(&verified, Mode::Resolve, &[]).ok());
        if let Some(plan) = plan.filter(|plan| plan.steps.nodes.len() > 10) {
            return (program, plan);
        }
    }
    panic!("no seed gives a plan");
}

fn written(program: &Program, plan: &Plan) -> Vec<u8> {
    let terms = Terms {
        instruction_set: program.instruction_set,
        arguments: Vec::new(),
        source_name: "deploy.opl".into(),
        not_after: None,
        once: false,
        plan_type: plan.plan_type.number(),
        shell: "/bin/bash".into(),
        umask: 0o22,
        directory: String::new(),
        pass_env: Vec::new(),
        regen_root: None,
        no_public: false,
    };
    let contents = PlanContents {
        algorithm: HashAlgorithm::Sha256,
        timestamp: 0,
        sources: &[SourceFile { name: "deploy.opl", length: 16 << 20, digest: [0; 32] }],
        audience: &[],
        target: "deploy",
        terms: &terms,
        program,
        steps: &plan.steps,
        slots: &plan.slots,
        sub_keys: &opal_format::regen::SubKeys::default(),
        provenance: "{}",
    };
    static RECIPIENT: OnceLock<PublicKey> = OnceLock::new();
    let recipient = RECIPIENT.get_or_init(|| match Identity::from_secret(&[5; 32], "") {
        Ok(identity) => identity.public(),
        Err(error) => panic!("no recipient: {error}"),
    });
    let file = contents.write_with(&Seed::from_bytes([7; 32]), &[*recipient], Drbg::new(&[9; 32]));
    file.unwrap_or_else(|error| panic!("a plan cannot be written: {error}")).to_bytes()
}

/// Writes a plan and reads it again, with every table as it was.
pub(super) fn writes_and_reads(view: &ProgramView<'_>, plan: &Plan) {
    let program = Program {
        instruction_set: view.instruction_set,
        entry: view.entry,
        constants: view.constants.to_vec(),
        imports: view.imports.to_vec(),
        import_args: view.import_args.to_vec(),
        nodes: view.nodes.to_vec(),
        params: view.params.to_vec(),
        templates: view.templates.to_vec(),
        template_parts: view.template_parts.to_vec(),
        functions: view.functions.to_vec(),
        globals: view.globals.to_vec(),
        blocks: view.blocks.to_vec(),
        variables: view.variables.to_vec(),
        code: view.code.to_vec(),
        debug: view.debug.to_vec(),
        text: view.text.to_vec(),
    };
    let bytes = written(&program, plan);
    let read = RawPlan::copy(&bytes, FILE_SIZE).and_then(RawPlan::authenticate);
    let authenticated = read.unwrap_or_else(|error| panic!("a written plan is refused: {error}"));
    let contract = authenticated.decode().unwrap_or_else(|error| panic!("a written plan is refused: {error}"));
    assert_eq!(contract.steps.nodes, plan.steps.nodes);
    assert_eq!(contract.steps.parts, plan.steps.parts);
    assert_eq!(contract.slots.slots, plan.slots.slots);
    assert_eq!(contract.program.code, view.code);
    assert!(verify(contract.program).is_ok(), "the archived program is refused");
    assert!(contract.check_plan_hash().is_ok(), "the hash of a written plan is another");
}
