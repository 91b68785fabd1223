//! Hostile programs are planned in a few hundred megabytes at most: each in a process of its own, which says how much it held.

use crate::assembler::{Assembler, abc, c, i, range, ret};
use opal_core::decorators::ENV;
use opal_core::plan::{Cause, FileFailure, Mode, Options, Reality, plan};
use opal_core::program::table::{Op, limits};
use opal_core::program::verify::verify;
use opal_format::kind::ValueType;
use opal_format::program::{Instruction, Program};
use opal_format::record::Span;
use opal_format::seed::Seed;

/// Set where the test program is to plan: the name of the program.
const PLAY: &str = "OPAL_TEST_PROGRAM";

/// Most memory that a plan may hold, in KiB.
const MOST: u64 = 450_000;

struct Secret;

impl Reality for Secret {
    fn env(&self, _: &str) -> Option<Vec<u8>> {
        Some(b"a secret of some length".to_vec())
    }

    fn read_file(&self, _: &[u8]) -> Result<Vec<u8>, FileFailure> {
        Err(FileFailure { missing: true, reason: String::new() })
    }
}

/// A command whose local 1 starts with what `first` gives and goes through `body` `times` times; `last` follows.
fn looped(mut a: Assembler, locals: u16, times: i64, first: &[Instruction], body: &[Instruction], last: &[Instruction]) -> Program {
    let one = a.scalar(ValueType::Int, 1);
    let count = a.scalar(ValueType::Int, times);
    let mut code = first.to_vec();
    code.extend([c(Op::Store, 1), c(Op::Const, one), c(Op::Const, count), i(Op::Range), i(Op::For)]);
    code.extend_from_slice(body);
    code.push(i(Op::EndFor));
    code.extend_from_slice(last);
    code.push(ret());
    a.command(0, locals, &code);
    a.program
}

/// Values that need each other `depth` deep, each in a frame of `locals` locals that does `work` before.
fn nested(depth: i64, locals: u16, work: &[Instruction]) -> Program {
    let mut a = Assembler::new();
    let mut code = work.to_vec();
    code.extend([c(Op::Load, 0), i(Op::Force)]);
    let drops = work.len();
    code.push(c(Op::Store, 0));
    code.extend(std::iter::repeat_n(i(Op::Pop), drops));
    code.extend([c(Op::Load, 0), ret()]);
    a.thunk(1, locals, &code);
    let body = [c(Op::Load, 1), abc(Op::Thunk, 0, 1, 0), c(Op::Store, 1)];
    looped(a, 2, depth, &[c(Op::Const, 1)], &body, &[c(Op::Load, 1), i(Op::Force), i(Op::Pop)])
}

fn growing(seed: impl FnOnce(&mut Assembler) -> Vec<Instruction>, body: &[Instruction]) -> Program {
    let mut a = Assembler::new();
    let first = seed(&mut a);
    looped(a, 2, i64::MAX, &first, body, &[])
}

fn secret(a: &mut Assembler) -> Vec<Instruction> {
    let name = a.string("TOKEN");
    let import = a.import(ENV, 0, &[(0, Some(name))]);
    vec![c(Op::Resolve, import)]
}

fn text(a: &mut Assembler) -> Vec<Instruction> {
    let constant = a.string(&"x".repeat(1000));
    vec![c(Op::Const, constant)]
}

fn captured(a: &mut Assembler) -> Vec<Instruction> {
    a.thunk(1000, 1000, &[c(Op::Load, 0), ret()]);
    text(a)
}

/// A global whose first value a command replaces by one that reads the global.
fn own_need() -> Program {
    let mut a = Assembler::new();
    let global = a.global(0);
    a.thunk(0, 0, &[c(Op::LoadGlobal, global), ret()]);
    a.command(0, 0, &[abc(Op::Thunk, 0, 0, 0), c(Op::StoreGlobal, global), c(Op::LoadGlobal, global), i(Op::Force), i(Op::Pop), ret()]);
    a.program
}

fn snapshots() -> Program {
    let mut a = Assembler::new();
    let first = a.program.variables.len();
    (0..60_000).for_each(|local| a.variable(0, local % 60_000));
    let assigns = range(first, a.program.variables.len());
    let isolate = [i(Op::Isolate), i(Op::EndIsolate)];
    let mut program = looped(a, 60_000, i64::MAX, &[c(Op::Const, 1)], &isolate, &[]);
    program.blocks[1].assigns = assigns;
    program
}

/// The programs, and what stops each.
fn programs() -> Vec<(&'static str, Program, &'static str)> {
    let (load, store) = (c(Op::Load, 1), c(Op::Store, 1));
    let doubled = [load, load, i(Op::Add), store];
    let work = "units of planning work";
    vec![
        ("deep frames of many locals", nested(1_900, 65_535, &[]), work),
        ("deep frames of many operands", nested(1_900, 1, &[c(Op::Const, 1); 30_000]), work),
        ("values that need each other for ever", nested(i64::MAX, 1, &[]), work),
        ("values that need each other far", nested(200_000, 1, &[]), ""),
        ("a secret that doubles", growing(secret, &doubled), work),
        ("a text that doubles", growing(text, &doubled), work),
        ("a text that doubles and is read", growing(text, &[&doubled[..], &[load, load, i(Op::Equal), i(Op::Pop)]].concat()), work),
        ("a secret that grows and is read", growing(secret, &[&doubled[..], &[load, load, i(Op::Equal), i(Op::Pop)]].concat()), work),
        ("a secret that is quoted again", growing(secret, &[load, i(Op::Quoted), store]), work),
        ("thunks that nothing needs", growing(captured, &[&[load; 1000][..], &[abc(Op::Thunk, 0, 1000, 0), i(Op::Pop)]].concat()), work),
        ("arrays of arrays", growing(text, &[&[load; 1000][..], &[abc(Op::Array, 0, 1000, 0), store]].concat()), "nested collections"),
        ("snapshots", snapshots(), work),
        ("its own need", own_need(), "itself"),
    ]
}

#[test]
#[ignore = "the process that the test below starts"]
fn play_a_program() {
    let Ok(wanted) = std::env::var(PLAY) else { return };
    let (_, program, _) = programs().into_iter().find(|(name, ..)| *name == wanted).unwrap();
    let verified = match verify(program.view()) {
        Ok(verified) => verified,
        Err(error) => return println!("refused {error}"),
    };
    let seed = Seed::from_bytes([7; 32]);
    let options = Options {
        mode: Mode::Resolve,
        seed: &seed,
        arguments: &[],
        pass_env: &[],
        regen: opal_format::regen::Regen::None,
        public_names: Some(&[]),
        no_public: false,
        fuel: limits::FUEL,
    };
    match plan(&verified, &Secret, &options) {
        Ok(_) => println!("\nended planned"),
        Err(error) => {
            assert!(!matches!(error.cause, Cause::Internal(_)), "{error}");
            println!("\nended {} {error} {:?}", error.cause.code(), error.span == Span::NONE);
        }
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    println!("\n{}", status.lines().find(|line| line.starts_with("VmHWM:")).unwrap());
}

#[test]
fn a_hostile_program_ends_at_a_limit_within_a_few_hundred_megabytes() {
    for (name, _, limit) in programs() {
        let mut command = std::process::Command::new(std::env::current_exe().unwrap());
        command.args(["--ignored", "--exact", "memory::play_a_program", "--nocapture"]).env(PLAY, name);
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{name}: {said} {}", String::from_utf8_lossy(&output.stderr));
        let line = |start: &str| said.lines().find_map(|line| line.strip_prefix(start)).unwrap_or_else(|| panic!("{name}: {said}"));
        let (ended, held) = (line("ended "), line("VmHWM:").trim().trim_end_matches(" kB").parse::<u64>().unwrap());
        eprintln!("{name}: {ended}, {held} KiB");
        assert!(ended.contains(limit), "{name}: {ended}");
        assert!(held < MOST, "{name}: {held} KiB");
    }
}
