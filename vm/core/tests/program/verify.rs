//! Every rule of the program verifier accepts what it must and refuses what it must (spec/program.md, "Verification").

use crate::assembler::{Assembler, BINDING, BOOL, DURATION, FLOAT, HOLE, INT, STRING, abc, c, i, ret, shell};
use opal_core::decorators::{ENV, FILE_READ, PASS_ENV, RANDOM_PASSWORD};
use opal_core::program::table::{Op, limits};
use opal_core::program::verify::NAME_MAX;
use opal_core::program::{Rule, Verified, verify};
use opal_format::kind::{NodeKind, ValueType};
use opal_format::program::{DebugEntry, IMPORT_PUBLIC, Instruction, Program};
use opal_format::record::{Range, Span, TextRef};

/// A rule, what about it, and how to build a program that keeps it or, with `true`, breaks it.
type Case = (Rule, &'static str, fn(&mut Assembler, bool));

fn build(case: &Case, broken: bool) -> Program {
    let mut assembler = Assembler::new();
    (case.2)(&mut assembler, broken);
    assembler.program
}

/// A command that emits one step, for rules about the tables.
fn one_step(a: &mut Assembler) {
    a.command(0, 0, &[shell(), ret()]);
}

/// `code` with `extra` put in at `place` where `broken`.
fn with(code: &[Instruction], broken: bool, place: usize, extra: Instruction) -> Vec<Instruction> {
    let mut code = code.to_vec();
    if broken {
        code.insert(place, extra);
    }
    code
}

#[rustfmt::skip]
const TABLES: &[Case] = &[
    (Rule::InstructionSet, "another version", |a, bad| {
        one_step(a);
        a.program.instruction_set += u32::from(bad);
    }),
    (Rule::Entry, "out of range", |a, bad| {
        one_step(a);
        a.program.entry += u32::from(bad);
    }),
    (Rule::Entry, "a thunk", |a, bad| {
        let thunk = a.thunk(0, 0, &[c(Op::Const, INT), ret()]);
        one_step(a);
        if bad { a.program.entry = thunk }
    }),
    (Rule::Pool, "not UTF-8", |a, bad| {
        one_step(a);
        if bad { a.program.text.push(0xff) }
    }),
    (Rule::Pool, "NUL", |a, bad| {
        one_step(a);
        if bad { a.program.text.push(0) }
    }),
    (Rule::Text, "outside the pool", |a, bad| {
        one_step(a);
        let last = a.string("");
        let constant = &mut a.program.constants[usize::try_from(last).unwrap()];
        constant.text.length = u32::from(bad).into();
    }),
    (Rule::Text, "offset and length overflow", |a, bad| {
        one_step(a);
        if bad { a.program.functions[0].name = TextRef::new(u32::MAX, u32::MAX) }
    }),
    (Rule::Text, "half a character", |a, bad| {
        one_step(a);
        let text = a.text("é");
        a.node(NodeKind::If, &[]);
        a.program.nodes[0].header = TextRef::new(text.offset.to_native(), 2 - u32::from(bad));
    }),
    (Rule::Text, "of a template", |a, bad| {
        one_step(a);
        if bad { a.program.template_parts[0].text = TextRef::new(0, u32::MAX) }
    }),
    (Rule::Text, "name of a global", |a, bad| {
        one_step(a);
        a.global(0);
        if bad { a.program.globals[0].name = TextRef::new(0, u32::MAX) }
    }),
    (Rule::Text, "name of a binding", |a, bad| {
        one_step(a);
        if bad { a.program.templates[0].name_offset = u32::MAX.into() }
    }),
    (Rule::TextUnused, "at the end of the pool", |a, bad| {
        one_step(a);
        if bad { a.text("hidden"); }
    }),
    (Rule::TextUnused, "between texts", |a, bad| {
        one_step(a);
        if bad { a.text("hidden"); }
        a.string("after");
    }),
    (Rule::Reserved, "in a constant", |a, bad| {
        one_step(a);
        a.program.constants[0].reserved[6] = u8::from(bad);
    }),
    (Rule::Reserved, "flags of an import", |a, bad| {
        one_step(a);
        a.import(ENV, IMPORT_PUBLIC << u16::from(bad), &[(0, Some(STRING))]);
    }),
    (Rule::Reserved, "in an argument of an import", |a, bad| {
        one_step(a);
        a.import(ENV, 0, &[(0, Some(STRING))]);
        a.program.import_args[0].reserved = u16::from(bad).into();
    }),
    (Rule::Reserved, "computed is neither 0 nor 1", |a, bad| {
        one_step(a);
        a.import(ENV, 0, &[(0, Some(STRING)), (1, None)]);
        a.program.import_args[1].computed = 1 + u8::from(bad);
    }),
    (Rule::Reserved, "in a node", |a, bad| {
        one_step(a);
        a.node(NodeKind::Detach, &[]);
        a.program.nodes[0].reserved = u16::from(bad).into();
    }),
    (Rule::Reserved, "in a part", |a, bad| {
        one_step(a);
        a.program.template_parts[0].reserved = u8::from(bad);
    }),
    (Rule::Reserved, "in a function", |a, bad| {
        one_step(a);
        a.program.functions[0].reserved[2] = u8::from(bad);
    }),
    (Rule::Reserved, "in a variable", |a, bad| {
        a.command(0, 1, &[i(Op::Isolate), i(Op::EndIsolate), ret()]);
        a.variable(0, 0);
        a.program.blocks[0].assigns = Range::new(0, 1);
        a.program.variables[0].reserved[0] = u8::from(bad);
    }),
    (Rule::Reserved, "flags of a loop", |a, bad| {
        a.command(0, 1, &[c(Op::Const, STRING), i(Op::For), i(Op::EndFor), ret()]);
        a.program.blocks[0].flags = (1 + u16::from(bad)).into();
    }),
    (Rule::Reserved, "flags of a conditional", |a, bad| {
        a.command(0, 1, &[c(Op::Const, BOOL), i(Op::If), i(Op::End), ret()]);
        a.program.blocks[0].flags = u16::from(bad).into();
    }),
    (Rule::Reserved, "variable of a conditional", |a, bad| {
        a.command(0, 2, &[c(Op::Const, BOOL), i(Op::If), i(Op::End), ret()]);
        a.program.blocks[0].variable = u16::from(bad).into();
    }),
    (Rule::Partition, "arguments that no import owns", |a, bad| {
        one_step(a);
        a.import(ENV, 0, &[(0, Some(STRING))]);
        if bad {
            let extra = a.program.import_args[0];
            a.program.import_args.push(extra);
        }
    }),
    (Rule::Partition, "shared arguments", |a, bad| {
        one_step(a);
        a.import(ENV, 0, &[(0, Some(STRING))]);
        a.import(ENV, 0, &[(0, Some(STRING))]);
        if bad {
            a.program.imports[1].args = a.program.imports[0].args;
            a.program.import_args.pop();
        }
    }),
    (Rule::Partition, "parameters that no node owns", |a, bad| {
        one_step(a);
        a.node(NodeKind::Retry, &[0]);
        if bad { a.program.params.push(0) }
    }),
    (Rule::Partition, "parts that no shell text owns", |a, bad| {
        one_step(a);
        if bad {
            let extra = a.program.template_parts[0];
            a.program.template_parts.push(extra);
        }
    }),
    (Rule::Partition, "parts out of range", |a, bad| {
        one_step(a);
        if bad { a.program.templates[2].parts.count = u32::MAX.into() }
    }),
    (Rule::Partition, "variables that no block owns", |a, bad| {
        one_step(a);
        if bad { a.variable(0, 0) }
    }),
    (Rule::ConstantType, "an Array", |a, bad| {
        one_step(a);
        a.program.constants[0].value_type = if bad { ValueType::Array.number() } else { ValueType::String.number() };
    }),
    (Rule::ConstantType, "unknown", |a, bad| {
        one_step(a);
        if bad { a.program.constants[0].value_type = 0 }
    }),
    (Rule::ConstantValue, "a Bool of 2", |a, bad| {
        one_step(a);
        a.scalar(ValueType::Bool, if bad { 2 } else { 0 });
    }),
    (Rule::ConstantValue, "a NaN", |a, bad| {
        one_step(a);
        let float: f64 = if bad { f64::NAN } else { f64::MAX };
        a.scalar(ValueType::Float, float.to_bits().cast_signed());
    }),
    (Rule::ConstantValue, "infinity", |a, bad| {
        one_step(a);
        let float: f64 = if bad { f64::NEG_INFINITY } else { f64::MIN };
        a.scalar(ValueType::Float, float.to_bits().cast_signed());
    }),
    (Rule::ConstantValue, "a String with a number", |a, bad| {
        one_step(a);
        a.program.constants[0].scalar = i64::from(bad).into();
    }),
    (Rule::ConstantValue, "an Int with a text", |a, bad| {
        one_step(a);
        a.program.constants[1].text = TextRef::new(0, u32::from(bad));
    }),
    (Rule::ConstantText, "together longer than the pool", |a, bad| {
        one_step(a);
        let text = a.text(&"y".repeat(1000));
        for _ in 0..1 + u8::from(bad) {
            let mut constant = a.program.constants[0];
            constant.text = text;
            a.program.constants.push(constant);
        }
    }),
    (Rule::ImportDecorator, "unknown", |a, bad| {
        one_step(a);
        a.import(if bad { 99 } else { ENV }, 0, &[(0, Some(STRING))]);
    }),
    (Rule::ImportDecorator, "not for programs", |a, bad| {
        one_step(a);
        a.import(if bad { PASS_ENV } else { ENV }, 0, &[(0, Some(STRING))]);
    }),
    (Rule::ImportPublic, "argument without flag", |a, bad| {
        one_step(a);
        a.import(ENV, if bad { 0 } else { IMPORT_PUBLIC }, &[(0, Some(STRING)), (2, Some(BOOL))]);
    }),
    (Rule::ImportPublic, "flag against argument", |a, bad| {
        one_step(a);
        let no = a.scalar(ValueType::Bool, 0);
        a.import(ENV, if bad { IMPORT_PUBLIC } else { 0 }, &[(0, Some(STRING)), (2, Some(no))]);
    }),
    (Rule::ImportParameter, "unknown", |a, bad| {
        one_step(a);
        a.import(ENV, 0, &[(0, Some(STRING)), (1 + 2 * u8::from(bad), None)]);
    }),
    (Rule::ImportParameter, "twice", |a, bad| {
        one_step(a);
        a.import(ENV, 0, &[(0, Some(STRING)), (u8::from(!bad), Some(STRING))]);
    }),
    (Rule::ImportParameter, "out of order", |a, bad| {
        one_step(a);
        let arguments = [(0, Some(STRING)), (1, Some(STRING))];
        a.import(ENV, 0, &if bad { [arguments[1], arguments[0]] } else { arguments });
    }),
    (Rule::ImportRequired, "without its path", |a, bad| {
        one_step(a);
        a.import(FILE_READ, IMPORT_PUBLIC, if bad { &[(1, Some(BOOL))] } else { &[(0, None), (1, Some(BOOL))] });
    }),
    (Rule::ImportLiteral, "name of a variable", |a, bad| {
        one_step(a);
        a.import(ENV, 0, &[(0, if bad { None } else { Some(STRING) })]);
    }),
    (Rule::ImportConstant, "of another type", |a, bad| {
        one_step(a);
        a.import(RANDOM_PASSWORD, 0, &[(0, Some(if bad { STRING } else { INT }))]);
    }),
    (Rule::ImportConstant, "out of range", |a, bad| {
        one_step(a);
        a.import(RANDOM_PASSWORD, 0, &[(0, Some(if bad { u32::MAX } else { INT }))]);
    }),
    (Rule::ImportConstant, "beside a computed argument", |a, bad| {
        one_step(a);
        a.import(RANDOM_PASSWORD, 0, &[(0, None)]);
        a.program.import_args[0].constant = u32::from(bad).into();
    }),
    (Rule::NodeKind, "unknown", |a, bad| {
        one_step(a);
        a.node(NodeKind::Group, &[]);
        if bad { a.program.nodes[0].kind = 63.into() }
    }),
    (Rule::NodeKind, "a shell step", |a, bad| {
        one_step(a);
        a.node(if bad { NodeKind::Shell } else { NodeKind::Group }, &[]);
    }),
    (Rule::NodeKind, "a binding", |a, bad| {
        one_step(a);
        a.node(if bad { NodeKind::Let } else { NodeKind::Group }, &[]);
    }),
    (Rule::NodeParameter, "of a node without any", |a, bad| {
        one_step(a);
        a.node(NodeKind::Try, if bad { &[0] } else { &[] });
    }),
    (Rule::NodeParameter, "twice", |a, bad| {
        one_step(a);
        a.node(NodeKind::Retry, if bad { &[1, 1] } else { &[1, 2] });
    }),
    (Rule::NodeParameter, "out of order", |a, bad| {
        one_step(a);
        a.node(NodeKind::Retry, if bad { &[1, 0] } else { &[0, 1] });
    }),
    (Rule::NodeRequired, "a limit", |a, bad| {
        one_step(a);
        a.node(NodeKind::Timeout, if bad { &[] } else { &[0] });
    }),
    (Rule::TemplatePart, "unknown kind", |a, bad| {
        one_step(a);
        if bad { a.program.template_parts[0].kind = 2 }
    }),
    (Rule::TemplatePart, "position of text", |a, bad| {
        one_step(a);
        a.program.template_parts[0].position = u8::from(bad);
    }),
    (Rule::TemplatePart, "text that stands alone", |a, bad| {
        one_step(a);
        a.program.template_parts[0].alone = u8::from(bad);
    }),
    (Rule::TemplatePart, "position of an argument", |a, bad| {
        one_step(a);
        a.program.template_parts[2].position = 6 + u8::from(bad);
    }),
    (Rule::TemplatePart, "unknown position", |a, bad| {
        one_step(a);
        a.program.template_parts[2].position = if bad { 8 } else { 0 };
    }),
    (Rule::TemplatePart, "alone is neither 0 nor 1", |a, bad| {
        one_step(a);
        a.program.template_parts[2].alone = 1 + u8::from(bad);
    }),
    (Rule::TemplatePart, "text of a hole", |a, bad| {
        one_step(a);
        a.program.template_parts[2].text = TextRef::new(0, u32::from(bad));
    }),
    (Rule::TemplatePart, "an empty text", |a, bad| {
        one_step(a);
        a.template("", &[Some(if bad { "" } else { "date" })]);
    }),
    (Rule::TemplatePart, "two texts", |a, bad| {
        one_step(a);
        a.template("", &[Some("da"), if bad { Some("te") } else { None }]);
    }),
    (Rule::TemplateHoles, "one too many", |a, bad| {
        a.command(0, 0, &[c(Op::Const, INT), c(Op::Shell, HOLE), ret()]);
        a.program.templates[1].holes = (1 + u16::from(bad)).into();
    }),
    (Rule::TemplateName, "not an identifier", |a, bad| {
        one_step(a);
        a.template(if bad { "1A" } else { "_A1" }, &[Some("date")]);
    }),
    (Rule::TemplateName, "too long", |a, bad| {
        one_step(a);
        a.template(&"A".repeat(usize::try_from(NAME_MAX).unwrap() + usize::from(bad)), &[Some("date")]);
    }),
    (Rule::TemplateName, "a shell step with a name", |a, bad| {
        a.command(0, 0, &[c(Op::Shell, if bad { BINDING } else { 0 }), ret()]);
    }),
    (Rule::TemplateName, "a binding without", |a, bad| {
        a.command(0, 0, &[c(Op::Let, if bad { 0 } else { BINDING }), i(Op::Pop), ret()]);
    }),
    (Rule::FunctionLocals, "fewer locals than parameters", |a, bad| {
        a.command(1, u16::from(!bad), &[shell(), ret()]);
    }),
    (Rule::FunctionKind, "unknown", |a, bad| {
        a.command(0, 0, &[c(Op::Const, INT), i(Op::Pop), ret()]);
        a.thunk(0, 0, &[c(Op::Const, INT), ret()]);
        if bad { a.program.functions[1].kind = 2 }
    }),
    (Rule::GlobalInit, "out of range", |a, bad| {
        let thunk = a.thunk(0, 0, &[c(Op::Const, INT), ret()]);
        one_step(a);
        a.global(thunk + 1 + 2 * u32::from(bad));
    }),
    (Rule::GlobalInit, "a command", |a, bad| {
        let thunk = a.thunk(0, 0, &[c(Op::Const, INT), ret()]);
        one_step(a);
        a.global(thunk + 1 + u32::from(bad));
    }),
    (Rule::GlobalInit, "with parameters", |a, bad| {
        let thunk = a.thunk(u16::from(bad), 1, &[c(Op::Const, INT), ret()]);
        one_step(a);
        a.global(thunk + 1);
    }),
    (Rule::Debug, "out of order", |a, bad| {
        one_step(a);
        for pc in if bad { [1u32, 0] } else { [0, 1] } {
            a.program.debug.push(DebugEntry { pc: pc.into(), span: Span::NONE });
        }
    }),
    (Rule::Debug, "twice", |a, bad| {
        one_step(a);
        for pc in if bad { [0u32, 0] } else { [0, 1] } {
            a.program.debug.push(DebugEntry { pc: pc.into(), span: Span::NONE });
        }
    }),
    (Rule::Debug, "out of range", |a, bad| {
        one_step(a);
        a.program.debug.push(DebugEntry { pc: (1 + u32::from(bad)).into(), span: Span::NONE });
    }),
];

#[rustfmt::skip]
const CODE: &[Case] = &[
    (Rule::FunctionCode, "a gap", |a, bad| {
        one_step(a);
        if bad {
            a.program.code.insert(0, shell());
            a.program.functions[0].code = Range::new(1, 2);
        }
    }),
    (Rule::FunctionCode, "code that no function owns", |a, bad| {
        one_step(a);
        if bad { a.program.code.push(ret()) }
    }),
    (Rule::FunctionCode, "overlap", |a, bad| {
        one_step(a);
        one_step(a);
        if bad { a.program.functions[1].code = Range::new(1, 3) }
    }),
    (Rule::FunctionCode, "without instructions", |a, bad| {
        one_step(a);
        let code = [ret()];
        a.command(0, 0, &code[usize::from(bad)..]);
    }),
    (Rule::BlockOrder, "used twice", |a, bad| {
        a.command(0, 0, &[i(Op::Isolate), i(Op::EndIsolate), i(Op::Isolate), i(Op::EndIsolate), ret()]);
        if bad { a.program.code[2].c = 0.into() }
    }),
    (Rule::BlockOrder, "never used", |a, bad| {
        a.command(0, 0, &[i(Op::Isolate), i(Op::EndIsolate), ret()]);
        if bad {
            let extra = a.program.blocks[0];
            a.program.blocks.push(extra);
        }
    }),
    (Rule::BlockVariable, "variable of a loop", |a, bad| {
        a.command(0, 1, &[c(Op::Const, STRING), i(Op::For), i(Op::EndFor), ret()]);
        a.program.blocks[0].variable = u16::from(bad).into();
    }),
    (Rule::BlockVariable, "assigned local", |a, bad| {
        a.command(0, 2, &[i(Op::Isolate), i(Op::EndIsolate), ret()]);
        a.variable(0, 1 + u32::from(bad));
        a.program.blocks[0].assigns = Range::new(0, 1);
    }),
    (Rule::BlockVariable, "assigned global", |a, bad| {
        a.global(0);
        a.command(0, 2, &[i(Op::Isolate), i(Op::EndIsolate), ret()]);
        a.variable(1, u32::from(bad));
        a.program.blocks[0].assigns = Range::new(0, 1);
    }),
    (Rule::BlockVariable, "neither local nor global", |a, bad| {
        a.global(0);
        a.command(0, 2, &[i(Op::Isolate), i(Op::EndIsolate), ret()]);
        a.variable(1 + u8::from(bad), 0);
        a.program.blocks[0].assigns = Range::new(0, 1);
    }),
    (Rule::Operation, "unknown", |a, bad| {
        one_step(a);
        if bad { a.program.code[0].op = 0xff }
    }),
    (Rule::Operand, "constant", |a, bad| {
        a.command(0, 0, &[c(Op::Const, if bad { 5 } else { FLOAT }), i(Op::Pop), ret()]);
    }),
    (Rule::Operand, "text that is a number", |a, bad| {
        a.command(0, 0, &[c(Op::Const, STRING), c(Op::Field, if bad { INT } else { STRING }), i(Op::Pop), ret()]);
    }),
    (Rule::Operand, "local", |a, bad| {
        a.command(0, 1, &[c(Op::Const, STRING), c(Op::Store, u32::from(bad)), ret()]);
    }),
    (Rule::Operand, "global", |a, bad| {
        a.global(0);
        a.command(0, 1, &[c(Op::Const, STRING), c(Op::StoreGlobal, u32::from(bad)), ret()]);
    }),
    (Rule::Operand, "function", |a, bad| {
        one_step(a);
        a.command(0, 0, &[c(Op::Call, if bad { 2 } else { 0 }), ret()]);
    }),
    (Rule::Operand, "import", |a, bad| {
        a.import(ENV, 0, &[(0, Some(STRING))]);
        a.command(0, 0, &[c(Op::Resolve, u32::from(bad)), i(Op::Pop), ret()]);
    }),
    (Rule::Operand, "shell text", |a, bad| {
        a.command(0, 0, &[c(Op::Shell, if bad { 3 } else { 0 }), ret()]);
    }),
    (Rule::Operand, "node", |a, bad| {
        a.node(NodeKind::Group, &[]);
        a.command(0, 0, &[c(Op::Open, u32::from(bad)), i(Op::Close), ret()]);
    }),
    (Rule::Operand, "block", |a, bad| {
        a.command(0, 0, &[i(Op::Isolate), i(Op::EndIsolate), ret()]);
        if bad { a.program.code[0].c = 1.into() }
    }),
    (Rule::Operand, "type", |a, bad| {
        a.command(0, 0, &[c(Op::Const, STRING), abc(Op::Expect, if bad { 8 } else { 7 }, 0, STRING), i(Op::Pop), ret()]);
    }),
    (Rule::Operand, "conversion to a collection", |a, bad| {
        a.command(0, 0, &[c(Op::Const, STRING), abc(Op::Convert, if bad { 6 } else { 5 }, 0, 0), i(Op::Pop), ret()]);
    }),
    (Rule::Operand, "unused operand a", |a, bad| {
        a.command(0, 0, &[abc(Op::Const, u8::from(bad), 0, INT), i(Op::Pop), ret()]);
    }),
    (Rule::Operand, "unused operand b", |a, bad| {
        a.command(0, 0, &[abc(Op::Const, 0, u16::from(bad), INT), i(Op::Pop), ret()]);
    }),
    (Rule::Operand, "unused operand c", |a, bad| {
        a.command(0, 0, &[c(Op::Const, INT), c(Op::Pop, u32::from(bad)), ret()]);
    }),
    (Rule::Underflow, "of a function", |a, bad| {
        a.command(0, 0, &with(&[c(Op::Const, INT), i(Op::Pop), ret()], bad, 2, i(Op::Pop)));
    }),
    (Rule::Underflow, "below the block", |a, bad| {
        let code = [c(Op::Const, INT), i(Op::Isolate), i(Op::EndIsolate), i(Op::Pop), ret()];
        a.command(0, 0, &with(&code, bad, 2, i(Op::Pop)));
    }),
    (Rule::Underflow, "elements of an Array", |a, bad| {
        a.command(0, 0, &[c(Op::Const, INT), abc(Op::Array, 0, 1 + u16::from(bad), 0), i(Op::Pop), ret()]);
    }),
    (Rule::Underflow, "keys of a Map", |a, bad| {
        let pair = [c(Op::Const, STRING), c(Op::Const, INT)];
        a.command(0, 0, &[pair[0], pair[1], abc(Op::Map, 0, 1 + u16::from(bad), 0), i(Op::Pop), ret()]);
    }),
    (Rule::Underflow, "computed arguments of an import", |a, bad| {
        a.import(ENV, 0, &[(0, Some(STRING)), (1, if bad { None } else { Some(INT) })]);
        a.command(0, 0, &[c(Op::Resolve, 0), i(Op::Pop), ret()]);
    }),
    (Rule::Underflow, "arguments of a call", |a, bad| {
        a.command(1, 1, &[ret()]);
        a.command(0, 0, &with(&[c(Op::Call, 0), ret()], !bad, 0, c(Op::Const, INT)));
    }),
    (Rule::Underflow, "holes", |a, bad| {
        a.command(0, 0, &with(&[c(Op::Shell, HOLE), ret()], !bad, 0, c(Op::Const, INT)));
    }),
    (Rule::Underflow, "arguments of a node", |a, bad| {
        a.node(NodeKind::Timeout, &[0]);
        a.command(0, 0, &with(&[c(Op::Open, 0), i(Op::Close), ret()], !bad, 0, c(Op::Const, DURATION)));
    }),
    (Rule::StackLimit, "one above", |a, bad| {
        let values = usize::try_from(limits::STACK).unwrap() + usize::from(bad);
        let mut code = vec![c(Op::Const, INT); values];
        code.extend(vec![i(Op::Pop); values]);
        code.push(ret());
        a.command(0, 0, &code);
    }),
    (Rule::Height, "a command that leaves a value", |a, bad| {
        a.command(0, 0, &with(&[shell(), ret()], bad, 0, c(Op::Const, INT)));
    }),
    (Rule::Height, "a thunk that leaves two", |a, bad| {
        a.thunk(0, 0, &with(&[c(Op::Const, INT), ret()], bad, 0, c(Op::Const, INT)));
        one_step(a);
    }),
    (Rule::Height, "first arm", |a, bad| {
        a.command(0, 0, &with(&[c(Op::Const, BOOL), i(Op::If), i(Op::Else), i(Op::End), ret()], bad, 2, c(Op::Const, INT)));
    }),
    (Rule::Height, "second arm", |a, bad| {
        a.command(0, 0, &with(&[c(Op::Const, BOOL), i(Op::If), i(Op::Else), i(Op::End), ret()], bad, 3, c(Op::Const, INT)));
    }),
    (Rule::Height, "body of a loop", |a, bad| {
        a.command(0, 1, &with(&[c(Op::Const, STRING), i(Op::For), i(Op::EndFor), ret()], bad, 2, c(Op::Const, INT)));
    }),
    (Rule::Height, "condition of a loop", |a, bad| {
        let code = [i(Op::While), c(Op::Const, BOOL), i(Op::WhileTest), i(Op::EndWhile), ret()];
        a.command(0, 1, &with(&code, bad, 1, c(Op::Const, BOOL)));
    }),
    (Rule::Height, "second operand of `and`", |a, bad| {
        let code = [c(Op::Const, BOOL), i(Op::And), c(Op::Const, BOOL), i(Op::EndLogic), i(Op::Pop), ret()];
        a.command(0, 1, &with(&code, bad, 2, c(Op::Const, BOOL)));
    }),
    (Rule::Height, "block of a node", |a, bad| {
        let open = a.open(NodeKind::Group);
        a.command(0, 0, &with(&[open, i(Op::Close), ret()], bad, 1, c(Op::Const, INT)));
    }),
    (Rule::Nesting, "crossed", |a, bad| {
        let open = a.open(NodeKind::Group);
        let ends = [i(Op::Close), i(Op::EndIsolate)];
        a.command(0, 0, &[i(Op::Isolate), open, ends[usize::from(bad)], ends[usize::from(!bad)], ret()]);
        a.program.blocks[0].target = 3.into();
    }),
    (Rule::Nesting, "a closer too many", |a, bad| {
        a.command(0, 0, &with(&[shell(), ret()], bad, 1, i(Op::Close)));
    }),
    (Rule::Nesting, "left open", |a, bad| {
        let open = a.open(NodeKind::Group);
        a.command(0, 0, &with(&[open, ret()], !bad, 1, i(Op::Close)));
    }),
    (Rule::Nesting, "`else` twice", |a, bad| {
        a.command(0, 0, &with(&[c(Op::Const, BOOL), i(Op::If), i(Op::Else), i(Op::End), ret()], bad, 3, i(Op::Else)));
    }),
    (Rule::Nesting, "`else` without `if`", |a, bad| {
        a.command(0, 0, &with(&[shell(), ret()], bad, 1, i(Op::Else)));
    }),
    (Rule::Nesting, "`while_test` in a block of the condition", |a, bad| {
        let inner = [i(Op::Isolate), i(Op::EndIsolate)];
        let test = [c(Op::Const, BOOL), i(Op::WhileTest)];
        let code = if bad {
            [i(Op::While), inner[0], test[0], test[1], inner[1], i(Op::EndWhile), ret()]
        } else {
            [i(Op::While), inner[0], inner[1], test[0], test[1], i(Op::EndWhile), ret()]
        };
        a.command(0, 1, &code);
    }),
    (Rule::Depth, "one block too deep", |a, bad| {
        let depth = usize::try_from(limits::DEPTH).unwrap() + usize::from(bad);
        let mut code = vec![i(Op::Isolate); depth];
        code.extend(vec![i(Op::EndIsolate); depth]);
        code.push(ret());
        a.command(0, 0, &code);
    }),
    (Rule::Target, "of `if`", |a, bad| {
        a.command(0, 0, &[c(Op::Const, BOOL), i(Op::If), i(Op::Else), i(Op::End), ret()]);
        if bad { a.program.blocks[0].target = 3.into() }
    }),
    (Rule::Target, "of `else`", |a, bad| {
        a.command(0, 0, &[c(Op::Const, BOOL), i(Op::If), i(Op::Else), i(Op::End), ret()]);
        if bad { a.program.code[2].c = 4.into() }
    }),
    (Rule::Target, "of `or`", |a, bad| {
        a.command(0, 0, &[c(Op::Const, BOOL), i(Op::Or), c(Op::Const, BOOL), i(Op::EndLogic), i(Op::Pop), ret()]);
        if bad { a.program.code[1].c = u32::MAX.into() }
    }),
    (Rule::Target, "of a loop", |a, bad| {
        a.command(0, 1, &[c(Op::Const, STRING), i(Op::For), i(Op::EndFor), ret()]);
        if bad { a.program.blocks[0].target = 0.into() }
    }),
    (Rule::Return, "missing", |a, bad| {
        a.command(0, 0, &with(&[shell()], !bad, 1, ret()));
    }),
    (Rule::Return, "in the middle", |a, bad| {
        a.command(0, 0, &with(&[shell(), ret()], bad, 0, ret()));
    }),
    (Rule::WhileTest, "missing", |a, bad| {
        let code = [i(Op::While), i(Op::EndWhile), ret()];
        let mut whole = with(&code, !bad, 1, i(Op::WhileTest));
        if !bad { whole.insert(1, c(Op::Const, BOOL)) }
        a.command(0, 0, &whole);
    }),
    (Rule::WhileTest, "twice", |a, bad| {
        let mut code = vec![i(Op::While)];
        for _ in 0..=usize::from(bad) {
            code.extend([c(Op::Const, BOOL), i(Op::WhileTest)]);
        }
        code.extend([i(Op::EndWhile), ret()]);
        a.command(0, 0, &code);
    }),
    (Rule::Effect, "a step in a thunk", |a, bad| {
        a.thunk(0, 0, &with(&[c(Op::Const, INT), ret()], bad, 0, shell()));
        one_step(a);
    }),
    (Rule::Effect, "a node in a thunk", |a, bad| {
        let open = a.open(NodeKind::Group);
        let mut code = vec![c(Op::Const, INT), ret()];
        if bad { code.splice(0..0, [open, i(Op::Close)]); }
        a.thunk(0, 0, &code);
        one_step(a);
    }),
    (Rule::Effect, "a call in a thunk", |a, bad| {
        a.command(0, 0, &[ret()]);
        a.thunk(0, 0, &with(&[c(Op::Const, INT), ret()], bad, 0, c(Op::Call, 0)));
    }),
    (Rule::Effect, "an assigned global in a thunk", |a, bad| {
        a.global(0);
        a.command(0, 0, &[ret()]);
        let mut code = vec![c(Op::Const, INT), ret()];
        if bad { code.splice(0..0, [c(Op::Const, INT), c(Op::StoreGlobal, 0)]); }
        a.thunk(0, 0, &code);
    }),
    (Rule::Effect, "a step in a condition", |a, bad| {
        a.command(0, 0, &with(&[i(Op::While), c(Op::Const, BOOL), i(Op::WhileTest), shell(), i(Op::EndWhile), ret()], bad, 1, shell()));
    }),
    (Rule::Effect, "a step in an operand of `and`", |a, bad| {
        let code = [c(Op::Const, BOOL), i(Op::And), c(Op::Const, BOOL), i(Op::EndLogic), i(Op::Pop), shell(), ret()];
        a.command(0, 0, &with(&code, bad, 2, shell()));
    }),
    (Rule::Effect, "a step in a node without children", |a, bad| {
        a.node(NodeKind::Sleep, &[0]);
        a.command(0, 0, &with(&[c(Op::Const, DURATION), c(Op::Open, 0), i(Op::Close), shell(), ret()], bad, 2, shell()));
    }),
    (Rule::Call, "of itself", |a, bad| {
        one_step(a);
        a.command(0, 0, &[c(Op::Call, u32::from(bad)), ret()]);
    }),
    (Rule::Call, "of a thunk", |a, bad| {
        one_step(a);
        a.thunk(0, 0, &[c(Op::Const, INT), ret()]);
        a.command(0, 0, &[c(Op::Call, u32::from(bad)), ret()]);
    }),
    (Rule::Call, "a thunk of itself", |a, bad| {
        a.thunk(0, 0, &[c(Op::Const, INT), ret()]);
        a.thunk(0, 0, &[c(Op::Thunk, u32::from(bad)), ret()]);
        one_step(a);
    }),
    (Rule::Call, "a thunk of a command", |a, bad| {
        a.thunk(0, 0, &[c(Op::Const, INT), ret()]);
        a.command(0, 0, &[ret()]);
        a.command(0, 0, &[c(Op::Thunk, u32::from(bad)), i(Op::Pop), ret()]);
    }),
    (Rule::Call, "a thunk with too few arguments", |a, bad| {
        a.thunk(u16::from(bad), 1, &[c(Op::Const, INT), ret()]);
        a.command(0, 0, &[c(Op::Thunk, 0), i(Op::Pop), ret()]);
    }),
    (Rule::GlobalOrder, "a first value that needs itself", |a, bad| {
        a.global(0);
        let thunk = a.thunk(0, 0, &[c(Op::LoadGlobal, 0), ret()]);
        one_step(a);
        if bad { a.program.globals[0].init = (thunk + 1).into() }
    }),
    (Rule::GlobalOrder, "a first value from a later function", |a, bad| {
        a.global(0);
        let code = [c(Op::LoadGlobal, 0), i(Op::Pop), ret()];
        let first = a.thunk(0, 0, &[c(Op::Const, INT), ret()]);
        a.command(0, 0, &code);
        let last = a.thunk(0, 0, &[c(Op::Const, INT), ret()]);
        a.program.globals[0].init = (1 + if bad { last } else { first }).into();
    }),
    (Rule::Try, "`@catch` outside", |a, bad| {
        let open = [a.open(NodeKind::Try), a.open(NodeKind::Catch)];
        let all = [open[0], open[1], i(Op::Close), i(Op::Close), ret()];
        a.command(0, 0, if bad { &all[1..] } else { &all });
        if bad { a.program.code.remove(2); a.program.functions[0].code.count = 3.into(); }
    }),
    (Rule::Try, "`@catch` twice", |a, bad| try_of(a, if bad { &[NodeKind::Catch; 2] } else { &[NodeKind::Catch] })),
    (Rule::Try, "`@finally` twice", |a, bad| try_of(a, if bad { &[NodeKind::Finally; 2] } else { &[NodeKind::Finally] })),
    (Rule::Try, "`@finally` before `@catch`", |a, bad| {
        let order = [NodeKind::Catch, NodeKind::Finally];
        try_of(a, &if bad { [order[1], order[0]] } else { order });
    }),
    (Rule::Try, "a step after `@catch`", |a, bad| {
        let open = [a.open(NodeKind::Try), a.open(NodeKind::Catch)];
        a.command(0, 0, &with(&[open[0], shell(), open[1], i(Op::Close), i(Op::Close), ret()], bad, 4, shell()));
    }),
    (Rule::Try, "a conditional after `@catch`", |a, bad| {
        let open = [a.open(NodeKind::Try), a.open(NodeKind::Catch)];
        let mut code = vec![open[0], shell(), open[1], i(Op::Close), i(Op::Close), ret()];
        let place = if bad { 4 } else { 1 };
        code.splice(place..place, [c(Op::Const, BOOL), i(Op::If), shell(), i(Op::End)]);
        a.command(0, 0, &code);
    }),
    (Rule::Try, "`@catch` in a conditional", |a, bad| {
        let open = [a.open(NodeKind::Try), a.open(NodeKind::Catch)];
        let (enter, leave) = if bad { (i(Op::If), i(Op::End)) } else { (i(Op::Isolate), i(Op::EndIsolate)) };
        let mut code = vec![open[0], shell(), enter, open[1], i(Op::Close), leave, i(Op::Close), ret()];
        if bad { code.insert(2, c(Op::Const, BOOL)) }
        a.command(0, 0, &code);
    }),
    (Rule::Operator, "one operand", |a, bad| {
        let open = a.open(NodeKind::Pipe);
        a.command(0, 0, &with(&[open, shell(), i(Op::Close), ret()], !bad, 1, shell()));
    }),
    (Rule::Operator, "a call as operand", |a, bad| {
        a.command(0, 0, &[ret()]);
        let open = [a.open(NodeKind::And), a.open(NodeKind::Group)];
        let code = [open[0], shell(), open[1], c(Op::Call, 0), i(Op::Close), i(Op::Close), ret()];
        a.command(0, 0, &with(&code, bad, 2, c(Op::Call, 0)));
    }),
    (Rule::Operator, "a conditional operand", |a, bad| {
        let open = [a.open(NodeKind::Or), a.open(NodeKind::Group)];
        let conditional = [c(Op::Const, BOOL), i(Op::If), shell(), i(Op::End)];
        let mut code = vec![open[0], shell(), shell(), open[1], i(Op::Close), i(Op::Close), ret()];
        let place = if bad { 3 } else { 4 };
        code.splice(place..place, conditional);
        a.command(0, 0, &code);
    }),
    (Rule::Operator, "a loop as operand", |a, bad| {
        let open = a.open(NodeKind::Seq);
        let (enter, leave) = if bad { (i(Op::For), i(Op::EndFor)) } else { (i(Op::Isolate), i(Op::EndIsolate)) };
        let mut code = vec![open, shell(), enter, shell(), leave, i(Op::Close), ret()];
        if bad { code.insert(2, c(Op::Const, STRING)) }
        a.command(0, 1, &code);
    }),
    (Rule::Parallel, "two steps in an arm", |a, bad| {
        let open = [a.open(NodeKind::Parallel), a.open(NodeKind::If)];
        let code = [open[0], open[1], shell(), i(Op::Close), i(Op::Close), ret()];
        a.command(0, 0, &with(&code, bad, 2, shell()));
    }),
    (Rule::Parallel, "a conditional step in an arm", |a, bad| {
        let open = [a.open(NodeKind::Parallel), a.open(NodeKind::When)];
        let mut code = vec![open[0], open[1], shell(), i(Op::Close), i(Op::Close), ret()];
        if bad { code.splice(2..3, [c(Op::Const, BOOL), i(Op::If), shell(), i(Op::End)]); }
        a.command(0, 0, &code);
    }),
    (Rule::Parallel, "a call as branch", |a, bad| {
        a.command(0, 0, &[ret()]);
        let open = [a.open(NodeKind::Parallel), a.open(NodeKind::Group)];
        let mut code = vec![open[0], open[1], c(Op::Call, 0), i(Op::Close), i(Op::Close), ret()];
        if bad { code.remove(3); code.remove(1); }
        a.command(0, 0, &code);
    }),
    (Rule::Parallel, "a call in a loop", |a, bad| {
        a.command(0, 0, &[ret()]);
        let open = [a.open(NodeKind::Parallel), a.open(NodeKind::For), a.open(NodeKind::Group)];
        let mut code = vec![open[0], open[1], c(Op::Const, STRING), i(Op::For), open[2], c(Op::Call, 0), i(Op::Close), i(Op::EndFor)];
        code.extend([i(Op::Close), i(Op::Close), ret()]);
        if bad { code.remove(6); code.remove(4); }
        a.command(0, 1, &code);
    }),
    (Rule::Parallel, "`@while` as branch", |a, bad| {
        let open = [a.open(NodeKind::Parallel), a.open(if bad { NodeKind::While } else { NodeKind::For })];
        a.command(0, 0, &[open[0], open[1], shell(), i(Op::Close), i(Op::Close), ret()]);
    }),
    (Rule::Parallel, "control flow in a loop", |a, bad| {
        let open = [a.open(NodeKind::Parallel), a.open(NodeKind::For), a.open(if bad { NodeKind::If } else { NodeKind::Group })];
        a.command(0, 0, &[open[0], open[1], open[2], shell(), i(Op::Close), i(Op::Close), i(Op::Close), ret()]);
    }),
    (Rule::Transform, "no operation", |a, bad| {
        let open = [a.open(NodeKind::Transform), a.open(NodeKind::LinesCount)];
        let mut code = vec![open[0], shell(), open[1], i(Op::Close), i(Op::Close), ret()];
        if bad { code.drain(2..4); }
        a.command(0, 0, &code);
    }),
    (Rule::Transform, "an operation first", |a, bad| {
        let open = [a.open(NodeKind::Transform), a.open(NodeKind::LinesCount)];
        let mut code = vec![open[0], shell(), open[1], i(Op::Close), open[1], i(Op::Close), i(Op::Close), ret()];
        if bad { code.remove(1); }
        a.command(0, 0, &code);
    }),
    (Rule::Transform, "two steps", |a, bad| {
        let open = [a.open(NodeKind::Transform), a.open(NodeKind::LinesCount)];
        let code = [open[0], shell(), open[1], i(Op::Close), i(Op::Close), ret()];
        a.command(0, 0, &with(&code, bad, 4, shell()));
    }),
    (Rule::Transform, "an operation elsewhere", |a, bad| {
        let open = [a.open(if bad { NodeKind::Group } else { NodeKind::Transform }), a.open(NodeKind::LinesCount)];
        a.command(0, 0, &[open[0], shell(), open[1], i(Op::Close), i(Op::Close), ret()]);
    }),
    (Rule::Transform, "a call as step", |a, bad| {
        a.command(0, 0, &[ret()]);
        let open = [a.open(NodeKind::Transform), a.open(NodeKind::Group), a.open(NodeKind::LinesCount)];
        let mut code = vec![open[0], open[1], c(Op::Call, 0), i(Op::Close), open[2], i(Op::Close), i(Op::Close), ret()];
        if bad { code.remove(3); code.remove(1); }
        a.command(0, 0, &code);
    }),
    (Rule::Transform, "a conditional step", |a, bad| {
        let open = [a.open(NodeKind::Transform), a.open(NodeKind::LinesCount)];
        let mut code = vec![open[0], shell(), open[1], i(Op::Close), i(Op::Close), ret()];
        if bad { code.splice(1..2, [c(Op::Const, BOOL), i(Op::If), shell(), i(Op::End)]); }
        a.command(0, 0, &code);
    }),
    (Rule::Transform, "an operation that encloses a step", |a, bad| {
        let open = [a.open(NodeKind::Transform), a.open(NodeKind::LinesCount)];
        let code = [open[0], shell(), open[1], i(Op::Close), i(Op::Close), ret()];
        if bad { a.command(0, 0, &[open[0], open[1], shell(), i(Op::Close), i(Op::Close), ret()]); } else { a.command(0, 0, &code); }
    }),
    (Rule::CallDepth, "one call too deep", |a, bad| {
        one_step(a);
        for callee in 0..limits::DEPTH - 1 + u32::from(bad) {
            a.command(0, 0, &[c(Op::Call, callee), ret()]);
        }
    }),
    (Rule::NodeDepth, "one node too deep, across a call", |a, bad| {
        let half = usize::try_from(limits::DEPTH / 2).unwrap();
        let open = a.open(NodeKind::Group);
        let nested = |middle: Instruction, depth: usize| {
            let mut code = vec![open; depth];
            code.push(middle);
            code.extend(vec![i(Op::Close); depth]);
            code.push(ret());
            code
        };
        a.command(0, 0, &nested(shell(), half));
        a.command(0, 0, &nested(c(Op::Call, 0), half + usize::from(bad)));
    }),
];

/// A `@try` with a step and these handlers.
fn try_of(a: &mut Assembler, handlers: &[NodeKind]) {
    let mut code = vec![a.open(NodeKind::Try), shell()];
    for &handler in handlers {
        code.extend([a.open(handler), shell(), i(Op::Close)]);
    }
    code.extend([i(Op::Close), ret()]);
    a.command(0, 0, &code);
}

fn cases() -> impl Iterator<Item = &'static Case> {
    TABLES.iter().chain(CODE)
}

#[test]
fn every_rule_accepts_what_keeps_it() {
    for case in cases() {
        let program = build(case, false);
        let outcome = verify(program.view());
        assert!(outcome.is_ok(), "{:?}, {}: {outcome:?}", case.0, case.1);
    }
}

#[test]
fn every_rule_refuses_what_breaks_it() {
    for case in cases() {
        let program = build(case, true);
        let outcome = verify(program.view()).map(|_| ()).map_err(|error| error.rule);
        assert_eq!(outcome, Err(case.0), "{}", case.1);
    }
}

#[test]
fn every_rule_has_a_case() {
    for rule in Rule::ALL {
        assert!(cases().any(|case| case.0 == *rule), "no case for {rule:?}");
    }
}

#[test]
fn codes_and_messages_of_rules_are_distinct_and_in_house_form() {
    for (index, rule) in Rule::ALL.iter().enumerate() {
        assert!(rule.code().starts_with("program_"), "{}", rule.code());
        assert!(rule.message().starts_with(|first: char| first.is_lowercase() || first == '`'), "{}", rule.message());
        for other in &Rule::ALL[index + 1..] {
            assert_ne!(rule.code(), other.code());
            assert_ne!(rule.message(), other.message());
        }
    }
}

#[test]
fn a_refusal_says_where() {
    let mut a = Assembler::new();
    a.command(0, 0, &[c(Op::Const, INT), i(Op::Pop), i(Op::Pop), ret()]);
    let error = verify(a.program.view()).unwrap_err();
    assert_eq!(error.code(), "program_underflow");
    assert_eq!(error.to_string(), "an instruction takes more values than its block has made: instruction 2");
}

#[test]
fn the_empty_program_is_refused() {
    assert!(verify(Program::default().view()).is_err());
}

#[test]
fn a_verified_program_gives_its_tables() {
    let mut a = Assembler::new();
    one_step(&mut a);
    let verified: Verified<'_> = verify(a.program.view()).unwrap();
    assert_eq!(verified.code.len(), 2);
    assert_eq!(verified.view().entry, 0);
}

#[test]
fn a_deep_and_long_program_is_verified_on_a_small_stack() {
    let mut a = Assembler::new();
    let open = a.open(NodeKind::Group);
    let mut code = Vec::new();
    for _ in 0..200 {
        code.extend(vec![open; 250]);
        code.extend(vec![i(Op::Close); 250]);
    }
    code.push(ret());
    a.command(0, 0, &code);
    let program = a.program;
    let worker = std::thread::Builder::new().stack_size(64 << 10);
    assert!(worker.spawn(move || verify(program.view()).is_ok()).unwrap().join().unwrap());
}

#[test]
fn every_operation_with_every_extreme_operand_gives_a_verdict() {
    for code in 0..=u8::MAX {
        for a in [0, 1, 7, 8, u8::MAX] {
            for b in [0, 1, u16::MAX] {
                for c in [0, 1, u32::MAX - 1, u32::MAX] {
                    let mut program = Assembler::new();
                    program.command(0, 1, &[Instruction::new(code, a, b, c), ret()]);
                    let _ = verify(program.program.view());
                }
            }
        }
    }
}
