//! What the disassembly shows.

#[expect(dead_code, reason = "the tests of the verifier use the rest")]
#[path = "../../vm/core/tests/program/assembler.rs"]
mod assembler;

use assembler::{Assembler, BINDING, BOOL, DURATION, FLOAT, HOLE, INT, STRING, abc, c, i, ret, shell};
use opal_core::decorators::ENV;
use opal_core::program::table::Op;
use opal_format::kind::NodeKind;
use opal_format::program::{DebugEntry, IMPORT_PUBLIC, Program};
use opal_format::record::{Range, Span, TextRef};
use opalc::disassemble::{SHOWN, disassemble};

fn sample() -> Program {
    let mut a = Assembler::new();
    a.string("a\u{202e}b\u{1b}[2J\n\"");
    a.import(ENV, IMPORT_PUBLIC, &[(0, Some(STRING)), (1, None), (2, Some(BOOL))]);
    a.program.imports[0].span = Span::new(5, 9, 3, 7);
    a.node(NodeKind::Retry, &[0, 1]);
    a.node(NodeKind::For, &[]);
    a.program.nodes[1].header = a.text("for x in y");
    a.program.template_parts[2].alone = 1;
    let thunk = a.thunk(0, 0, &[c(Op::Const, FLOAT), abc(Op::Convert, 1, 0, 0), ret()]);
    a.global(thunk + 1);
    a.command(
        0,
        2,
        &[
            c(Op::Const, INT),
            c(Op::Const, DURATION),
            c(Op::Open, 0),
            c(Op::Const, 5),
            i(Op::For),
            c(Op::Const, STRING),
            c(Op::Shell, HOLE),
            i(Op::EndFor),
            i(Op::Close),
            shell(),
            c(Op::Let, BINDING),
            c(Op::Store, 1),
            ret(),
        ],
    );
    a.variable(0, 1);
    a.variable(1, 0);
    a.program.blocks[0].assigns = Range::new(0, 2);
    for (pc, line) in [(0u32, 1u32), (4, 8), (12, 9)] {
        a.program.debug.push(DebugEntry { pc: pc.into(), span: Span::new(1, 2, line, 4) });
    }
    a.program
}

const EXPECTED: &str = r#"instruction set 2, entry 1

constants
     0  "x"
     1  1
     2  true
     3  1s
     4  1.5
     5  "a\u{202e}b\u{1b}[2J\n\""

imports
     0  @env(name="x", default=computed, public=true) public  ; 3:7

nodes
     0  @retry(attempts, delay)  ; 1:2
     1  @for() "for x in y"  ; 1:2

templates
     0   "echo hi"
     1   "echo " <word, alone>
     2  "NAME" = "date"

globals
     0  "g" = function 0

blocks
     0  target 10 variable 0 flags 0 assigns local 1 global 0

function 0 "f" thunk, 0 params, 0 locals
     0  const 1.5  ; 1:4
     1  convert String
     2  return

function 1 "f" command, 0 params, 2 locals
     3  const 1
     4  const 1s  ; 8:4
     5  open 0
     6  const "a\u{202e}b\u{1b}[2J\n\""
     7  for 0
     8  const "x"
     9  shell 1
    10  end_for
    11  close
    12  shell 0  ; 9:4
    13  let 2
    14  store 1
    15  return
"#;

#[test]
fn the_listing_shows_tables_code_constants_and_places_with_control_characters_escaped() {
    let program = sample();
    assert!(opal_core::program::verify(program.view()).is_ok());
    assert_eq!(disassemble(program.view()), EXPECTED);
}

#[test]
fn long_texts_are_cut_and_what_leads_nowhere_is_a_question_mark() {
    let mut program = sample();
    let offset = u32::try_from(program.text.len()).unwrap();
    program.text.extend(vec![b'y'; SHOWN + 1]);
    program.constants[0].text = TextRef::new(offset, u32::try_from(SHOWN + 1).unwrap());
    program.code[0].op = 0xff;
    program.code[3].c = u32::MAX.into();
    program.globals[0].name = TextRef::new(u32::MAX, 1);
    let listing = disassemble(program.view());
    assert!(listing.contains(&format!("const \"{}\"+1 bytes", "y".repeat(SHOWN))), "{listing}");
    assert!(listing.contains("0  ? 0xff"), "{listing}");
    assert!(listing.contains("3  const ?\n"), "{listing}");
    assert!(listing.contains("0  ? = function 0"), "{listing}");
}
