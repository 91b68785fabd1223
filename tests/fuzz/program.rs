//! Programs: the verifier decides about anything, and what it accepts is planned without a bug showing.

use super::{Choices, smith};
use opal_core::plan::{Cause, FileFailure, Mode, Options, Plan, PlanError, Reality, plan};
use opal_core::program::{Verified, verify};
use opal_format::canonical::CanonicalValue;
use opal_format::program::{Program, ProgramView};
use opal_format::seed::Seed;
use opalc::disassemble::disassemble;

/// A reality without a host: one variable, one file.
struct Fixed;

impl Reality for Fixed {
    fn env(&self, name: &str) -> Option<Vec<u8>> {
        (name == "HOME").then(|| b"/home/x y".to_vec())
    }

    fn read_file(&self, path: &[u8]) -> Result<Vec<u8>, FileFailure> {
        if path == b"/etc/motd" { Ok(b"hello\n".to_vec()) } else { Err(FileFailure { missing: true, reason: "no such file".into() }) }
    }
}

/// Plans with little fuel, so that a fuzzer sees many programs.
pub(super) fn planned(verified: &Verified<'_>, mode: Mode, arguments: &[CanonicalValue]) -> Result<Plan, PlanError> {
    let seed = Seed::from_bytes([7; 32]);
    let options = Options {
        mode,
        seed: &seed,
        arguments,
        pass_env: &[],
        regen: opal_format::regen::Regen::None,
        public_names: None,
        no_public: false,
        fuel: 20_000,
    };
    plan(verified, &Fixed, &options)
}

/// The verifier and the disassembler decide about any tables.
pub fn program_bytes(data: &[u8]) {
    let mut choices = Choices::new(data);
    let mut program = smith::program(&mut choices);
    mutate(&mut program, &mut choices);
    let _ = verify(program.view());
    let listing = disassemble(program.view());
    assert!(!listing.chars().any(|shown| shown.is_control() && shown != '\n'), "a control character in a listing");
}

/// What the smith builds passes. What passes, mutated or not, is planned without a bug showing, twice the same.
pub fn program_verify_plan(data: &[u8]) {
    let mut choices = Choices::new(data);
    let mut program = smith::program(&mut choices);
    if let Err(error) = verify(program.view()) {
        panic!("the smith built a program that breaks a rule: {error}\n{}", disassemble(program.view()));
    }
    runs_safely(program.view(), &[]);
    mutate(&mut program, &mut choices);
    runs_safely(program.view(), &[]);
}

/// Plans a program twice in each mode, and writes and reads what comes of it.
pub(super) fn runs_safely(view: ProgramView<'_>, arguments: &[CanonicalValue]) {
    let Ok(verified) = verify(view) else { return };
    for mode in [Mode::Quick, Mode::Resolve] {
        match (planned(&verified, mode, arguments), planned(&verified, mode, arguments)) {
            (Err(PlanError { cause: Cause::Internal(what), .. }), _) => {
                panic!("a verified program shows a bug of the planner: {what}\n{}", disassemble(view))
            }
            (Ok(one), Ok(other)) => {
                assert_eq!((&one.steps, &one.slots), (&other.steps, &other.slots));
                if mode == Mode::Resolve {
                    super::plan::writes_and_reads(&view, &one);
                }
            }
            (Err(one), Err(other)) => assert_eq!(one.cause, other.cause),
            (one, other) => panic!("two plans of one program differ: {one:?}, {other:?}"),
        }
    }
}

/// Changes some fields, each to a value near a bound.
fn mutate(program: &mut Program, choices: &mut Choices<'_>) {
    fn pick<'t, T>(table: &'t mut [T], choices: &mut Choices<'_>) -> Option<&'t mut T> {
        let length = table.len();
        if length == 0 { None } else { table.get_mut(choices.below(length)) }
    }
    while !choices.is_empty() {
        let kind = choices.below(12);
        let small = u32::from(choices.byte());
        let number = [small % 8, small, u32::MAX, u32::from(u16::MAX)][choices.below(4)];
        match kind {
            0 => program.entry = number,
            1..=3 => {
                if let Some(instruction) = pick(&mut program.code, choices) {
                    match kind {
                        1 => instruction.c = number.into(),
                        2 => instruction.op = choices.byte(),
                        _ => instruction.b = u16::try_from(number).unwrap_or(u16::MAX).into(),
                    }
                }
            }
            4 if program.code.len() > 1 => {
                let (one, other) = (choices.below(program.code.len()), choices.below(program.code.len()));
                program.code.swap(one, other);
            }
            5 => {
                if let Some(block) = pick(&mut program.blocks, choices) {
                    block.target = number.into();
                }
            }
            6 => {
                if let Some(function) = pick(&mut program.functions, choices) {
                    function.params = u16::try_from(number).unwrap_or(u16::MAX).into();
                }
            }
            7 => {
                if let Some(constant) = pick(&mut program.constants, choices) {
                    constant.scalar = i64::from(number).into();
                    constant.value_type = choices.byte() % 8;
                }
            }
            8 => {
                if let Some(node) = pick(&mut program.nodes, choices) {
                    node.kind = u16::try_from(number).unwrap_or(u16::MAX).into();
                }
            }
            9 => {
                if let Some(template) = pick(&mut program.templates, choices) {
                    template.parts.count = number.into();
                }
            }
            10 => {
                if let Some(import) = pick(&mut program.imports, choices) {
                    import.decorator = u16::try_from(number % 8).unwrap_or(0).into();
                }
            }
            _ => {
                if let Some(global) = pick(&mut program.globals, choices) {
                    global.init = number.into();
                }
            }
        }
    }
}
