//! Builds programs for tests. Block records and targets are filled in from the structure of the code.

use opal_core::program::table::{INSTRUCTION_SET, Op};
use opal_format::kind::{NodeKind, ValueType};
use opal_format::program::{
    Block, Constant, Function, Global, Import, ImportArg, Instruction, NodeUse, Program, Template, TemplatePart, Variable,
};
use opal_format::record::{Range, Span, TextRef};

pub(crate) struct Assembler {
    pub(crate) program: Program,
}

/// Constants that every program starts with.
pub(crate) const STRING: u32 = 0;
pub(crate) const INT: u32 = 1;
pub(crate) const BOOL: u32 = 2;
pub(crate) const DURATION: u32 = 3;
pub(crate) const FLOAT: u32 = 4;

/// Shell texts that every program starts with: without holes, with one hole, a binding.
pub(crate) const PLAIN: u32 = 0;
pub(crate) const HOLE: u32 = 1;
pub(crate) const BINDING: u32 = 2;

/// An instruction without operands, or with one that the assembler fills in.
pub(crate) fn i(op: Op) -> Instruction {
    Instruction::new(op as u8, 0, 0, 0)
}

/// An instruction with operand `c`.
pub(crate) fn c(op: Op, c: u32) -> Instruction {
    Instruction::new(op as u8, 0, 0, c)
}

/// An instruction with all operands.
pub(crate) fn abc(op: Op, a: u8, b: u16, c: u32) -> Instruction {
    Instruction::new(op as u8, a, b, c)
}

/// Emits a shell step.
pub(crate) fn shell() -> Instruction {
    c(Op::Shell, PLAIN)
}

pub(crate) fn ret() -> Instruction {
    i(Op::Return)
}

pub(crate) fn range(start: usize, end: usize) -> Range {
    Range::new(u32::try_from(start).unwrap(), u32::try_from(end - start).unwrap())
}

fn index(length: usize) -> u32 {
    u32::try_from(length).unwrap()
}

impl Assembler {
    pub(crate) fn new() -> Self {
        let mut new = Self { program: Program { instruction_set: INSTRUCTION_SET, ..Program::default() } };
        new.string("x");
        new.scalar(ValueType::Int, 1);
        new.scalar(ValueType::Bool, 1);
        new.scalar(ValueType::Duration, 1_000_000_000);
        new.scalar(ValueType::Float, 1.5f64.to_bits().cast_signed());
        new.template("", &[Some("echo hi")]);
        new.template("", &[Some("echo "), None]);
        new.template("NAME", &[Some("date")]);
        new
    }

    pub(crate) fn text(&mut self, text: &str) -> TextRef {
        let offset = index(self.program.text.len());
        self.program.text.extend_from_slice(text.as_bytes());
        TextRef::new(offset, index(text.len()))
    }

    pub(crate) fn string(&mut self, text: &str) -> u32 {
        let text = self.text(text);
        self.constant(ValueType::String, 0, text)
    }

    pub(crate) fn scalar(&mut self, value_type: ValueType, scalar: i64) -> u32 {
        self.constant(value_type, scalar, TextRef::EMPTY)
    }

    fn constant(&mut self, value_type: ValueType, scalar: i64, text: TextRef) -> u32 {
        self.program.constants.push(Constant { scalar: scalar.into(), text, value_type: value_type.number(), reserved: [0; 7] });
        index(self.program.constants.len() - 1)
    }

    /// An import; `None` for a computed argument.
    pub(crate) fn import(&mut self, decorator: u16, flags: u16, arguments: &[(u8, Option<u32>)]) -> u32 {
        let first = self.program.import_args.len();
        for &(param, constant) in arguments {
            self.program.import_args.push(ImportArg {
                param,
                computed: u8::from(constant.is_none()),
                reserved: 0.into(),
                constant: constant.unwrap_or(0).into(),
            });
        }
        let args = range(first, self.program.import_args.len());
        self.program.imports.push(Import { decorator: decorator.into(), flags: flags.into(), args, span: Span::NONE });
        index(self.program.imports.len() - 1)
    }

    pub(crate) fn node(&mut self, kind: NodeKind, params: &[u8]) -> u32 {
        let first = self.program.params.len();
        self.program.params.extend_from_slice(params);
        let params = range(first, self.program.params.len());
        self.program.nodes.push(NodeUse {
            kind: kind.number().into(),
            reserved: 0.into(),
            params,
            header: TextRef::EMPTY,
            span: Span::new(1, 2, 1, 2),
        });
        index(self.program.nodes.len() - 1)
    }

    /// Opens a node of a kind without parameters.
    pub(crate) fn open(&mut self, kind: NodeKind) -> Instruction {
        let node = self.node(kind, &[]);
        c(Op::Open, node)
    }

    /// A shell text; `None` for a hole.
    pub(crate) fn template(&mut self, name: &str, parts: &[Option<&str>]) -> u32 {
        let name = self.text(name);
        let first = self.program.template_parts.len();
        let mut holes = 0u16;
        for part in parts {
            let text = self.text(part.unwrap_or_default());
            holes += u16::from(part.is_none());
            self.program.template_parts.push(TemplatePart { kind: u8::from(part.is_none()), position: 0, alone: 0, reserved: 0, text });
        }
        let parts = range(first, self.program.template_parts.len());
        self.program.templates.push(Template {
            parts,
            name_offset: name.offset,
            name_length: u16::try_from(name.length.to_native()).unwrap().into(),
            holes: holes.into(),
            span: Span::NONE,
        });
        index(self.program.templates.len() - 1)
    }

    pub(crate) fn global(&mut self, init: u32) -> u32 {
        let name = self.text("g");
        self.program.globals.push(Global { name, init: init.into() });
        index(self.program.globals.len() - 1)
    }

    pub(crate) fn variable(&mut self, global: u8, variable: u32) {
        self.program.variables.push(Variable { index: variable.into(), global, reserved: [0; 3] });
    }

    pub(crate) fn command(&mut self, params: u16, locals: u16, code: &[Instruction]) -> u32 {
        let number = self.function(0, params, locals, code);
        self.program.entry = number;
        number
    }

    pub(crate) fn thunk(&mut self, params: u16, locals: u16, code: &[Instruction]) -> u32 {
        self.function(1, params, locals, code)
    }

    fn function(&mut self, kind: u8, params: u16, locals: u16, code: &[Instruction]) -> u32 {
        let first = self.program.code.len();
        let mut open: Vec<(usize, Option<usize>)> = Vec::new();
        for &instruction in code {
            let pc = self.program.code.len();
            self.program.code.push(instruction);
            match Op::from_code(instruction.op) {
                Some(Op::And | Op::Or | Op::Open) => open.push((pc, None)),
                Some(Op::If | Op::For | Op::While | Op::Isolate) => {
                    open.push((pc, Some(self.program.blocks.len())));
                    self.program.code[pc].c = index(self.program.blocks.len()).into();
                    let (target, variable, flags) = (0.into(), 0.into(), 0.into());
                    self.program.blocks.push(Block { target, assigns: Range::EMPTY, variable, flags });
                }
                Some(Op::Else) => {
                    self.close(&mut open, pc);
                    open.push((pc, None));
                }
                Some(Op::EndLogic | Op::End | Op::EndFor | Op::EndWhile | Op::EndIsolate | Op::Close) => self.close(&mut open, pc),
                _ => {}
            }
        }
        let name = self.text("f");
        let code = range(first, self.program.code.len());
        self.program.functions.push(Function { name, code, params: params.into(), locals: locals.into(), kind, reserved: [0; 3] });
        index(self.program.functions.len() - 1)
    }

    fn close(&mut self, open: &mut Vec<(usize, Option<usize>)>, pc: usize) {
        match open.pop() {
            Some((_, Some(block))) => self.program.blocks[block].target = index(pc).into(),
            Some((opener, None)) if self.program.code[opener].op != Op::Open as u8 => self.program.code[opener].c = index(pc).into(),
            _ => {}
        }
    }
}
