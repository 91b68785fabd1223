//! Builds valid programs from choices, so that most of them get past the verifier and through much of the planner.

use super::Choices;
use opal_core::decorators::{CRYPTO_GENERATE_KEY, ENV, FILE_READ, FILE_SHA256, RANDOM_PASSWORD};
use opal_core::program::table::{INSTRUCTION_SET, Op};
use opal_format::kind::{NodeKind, ValueType};
use opal_format::program::{
    Block, Constant, DebugEntry, Function, Global, IMPORT_PUBLIC, Import, ImportArg, Instruction, NodeUse, Program, Template, TemplatePart,
    Variable,
};
use opal_format::record::{Range, Span, TextRef};

/// Deepest nesting of what is generated.
const DEPTH: usize = 6;

/// Locals of every function, by type. The first two Ints are its parameters.
const INTS: u32 = 4;
const STRINGS: u32 = INTS;
const BOOLS: u32 = STRINGS + 3;
const ARRAYS: u32 = BOOLS + 2;
const DURATIONS: u32 = ARRAYS + 2;
const LOCALS: u32 = DURATIONS + 1;

#[derive(Clone, Copy, PartialEq)]
enum Type {
    Int,
    String,
    Bool,
    Array,
    Duration,
}

const TYPES: [Type; 5] = [Type::Int, Type::String, Type::Bool, Type::Array, Type::Duration];

impl Type {
    const fn locals(self) -> (u32, u32) {
        match self {
            Self::Int => (0, INTS),
            Self::String => (STRINGS, BOOLS - STRINGS),
            Self::Bool => (BOOLS, ARRAYS - BOOLS),
            Self::Array => (ARRAYS, DURATIONS - ARRAYS),
            Self::Duration => (DURATIONS, LOCALS - DURATIONS),
        }
    }
}

struct Smith<'c, 'd> {
    choices: &'c mut Choices<'d>,
    program: Program,
    /// Thunks and commands so far, with their numbers of parameters.
    thunks: Vec<(u32, u16)>,
    commands: Vec<(u32, u16)>,
    globals: u32,
    /// Openers of the blocks that are open, and of their records.
    open: Vec<(usize, Option<usize>)>,
    budget: u32,
}

/// A program that the verifier must accept.
#[must_use]
pub fn program(choices: &mut Choices<'_>) -> Program {
    let mut smith = Smith {
        choices,
        program: Program { instruction_set: INSTRUCTION_SET, ..Program::default() },
        thunks: Vec::new(),
        commands: Vec::new(),
        globals: 0,
        open: Vec::new(),
        budget: 400,
    };
    smith.whole();
    smith.program
}

fn index(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

fn range(start: usize, end: usize) -> Range {
    Range::new(index(start), index(end - start))
}

impl Smith<'_, '_> {
    fn whole(&mut self) {
        for _ in 0..=self.choices.below(3) {
            let params = u16::from(self.globals > 0 && self.choices.below(2) == 1);
            let number = self.function(1, params, |smith| smith.value(Type::Int, 2));
            self.thunks.push((number, params));
            if params == 0 {
                let name = self.text("g");
                self.program.globals.push(Global { name, init: (number + 1).into() });
                self.globals += 1;
            }
        }
        for last in 0..=self.choices.below(3) {
            let params = if last == 0 { 0 } else { u16::try_from(self.choices.below(3)).unwrap_or(0) };
            let number = self.function(0, params, |smith| smith.block(DEPTH, NodeKind::Group));
            self.commands.push((number, params));
        }
        let number = self.function(0, 0, |smith| smith.block(DEPTH, NodeKind::Group));
        self.program.entry = number;
        let first = self.program.functions.last().map_or(0, |function| function.code.first.to_native());
        self.program.debug.push(DebugEntry { pc: first.into(), span: Span::new(1, 2, 1, 2) });
    }

    fn function(&mut self, kind: u8, params: u16, body: impl FnOnce(&mut Self)) -> u32 {
        let first = self.program.code.len();
        for local in u32::from(params)..LOCALS {
            let value_type = TYPES.into_iter().rfind(|value_type| value_type.locals().0 <= local).unwrap_or(Type::Int);
            self.value(value_type, 0);
            self.emit(Op::Store, 0, local);
        }
        body(self);
        self.emit(Op::Return, 0, 0);
        let name = self.text("f");
        let code = range(first, self.program.code.len());
        let locals = u16::try_from(LOCALS).unwrap_or(u16::MAX).into();
        self.program.functions.push(Function { name, code, params: params.into(), locals, kind, reserved: [0; 3] });
        index(self.program.functions.len() - 1)
    }

    fn emit(&mut self, op: Op, b: u16, c: u32) {
        self.typed(op, 0, b, c);
    }

    fn typed(&mut self, op: Op, a: u8, b: u16, c: u32) {
        self.program.code.push(Instruction::new(op as u8, a, b, c));
    }

    fn text(&mut self, text: &str) -> TextRef {
        let offset = index(self.program.text.len());
        self.program.text.extend_from_slice(text.as_bytes());
        TextRef::new(offset, index(text.len()))
    }

    fn constant(&mut self, value_type: ValueType, scalar: i64, text: &str) -> u32 {
        let text = self.text(text);
        self.program.constants.push(Constant { scalar: scalar.into(), text, value_type: value_type.number(), reserved: [0; 7] });
        index(self.program.constants.len() - 1)
    }

    fn string(&mut self) -> u32 {
        let text = ["", "x", "HOME", "TOKEN", "a b", "it's", "/etc/motd", "é", "7"][self.choices.below(9)];
        self.constant(ValueType::String, 0, text)
    }

    fn local(&mut self, value_type: Type) -> u32 {
        let (first, count) = value_type.locals();
        first + index(self.choices.below(count as usize))
    }

    fn spend(&mut self) -> bool {
        self.budget = self.budget.saturating_sub(1);
        self.budget > 0
    }

    /// Code that leaves one value of a type, if the choices are kind.
    fn value(&mut self, value_type: Type, depth: usize) {
        if depth == 0 || !self.spend() {
            return self.simple(value_type);
        }
        let next = depth - 1;
        match (value_type, self.choices.below(8)) {
            (_, 0) => self.simple(value_type),
            (_, 1) => {
                let local = self.local(value_type);
                // Locals are stored before the body of a function starts.
                if depth == DEPTH { self.simple(value_type) } else { self.emit(Op::Load, 0, local) }
            }
            (Type::Int, 2) if self.globals > 0 => {
                let global = index(self.choices.below(self.globals as usize));
                let init = self.program.globals[global as usize].init.to_native();
                if init <= index(self.program.functions.len()) { self.emit(Op::LoadGlobal, 0, global) } else { self.simple(value_type) }
            }
            (Type::Int, 3) if !self.thunks.is_empty() => {
                let (number, params) = self.thunks[self.choices.below(self.thunks.len())];
                for _ in 0..params {
                    self.value(Type::Int, next);
                }
                self.emit(Op::Thunk, params, number);
            }
            (Type::Int, 4) => {
                self.value(Type::Array, next);
                self.emit(Op::Length, 0, 0);
            }
            (Type::Int, _) => {
                self.value(Type::Int, next);
                self.value(Type::Int, next);
                let op = [Op::Add, Op::Subtract, Op::Multiply, Op::Divide, Op::Remainder][self.choices.below(5)];
                self.emit(op, 0, 0);
            }
            (Type::String, 2..=4) => self.resolve(next),
            (Type::String, 5) => {
                let of = TYPES[self.choices.below(3)];
                self.value(of, next);
                self.typed(Op::Convert, ValueType::String.number(), 0, 0);
            }
            (Type::String, _) => {
                let count = self.choices.below(3);
                for _ in 0..count {
                    self.value(Type::String, next);
                }
                self.emit(Op::Concat, u16::try_from(count).unwrap_or(0), 0);
            }
            (Type::Bool, 2 | 3) => {
                let op = [Op::And, Op::Or][self.choices.below(2)];
                self.value(Type::Bool, next);
                self.opener(op, 0);
                self.value(Type::Bool, next);
                self.closer(Op::EndLogic);
            }
            (Type::Bool, 4) => {
                self.value(Type::Bool, next);
                self.emit(Op::Not, 0, 0);
            }
            (Type::Bool, _) => {
                let of = TYPES[self.choices.below(2)];
                self.value(of, next);
                self.value(of, next);
                let op = [Op::Equal, Op::NotEqual, Op::Less, Op::GreaterEqual, Op::Same][self.choices.below(5)];
                self.emit(op, 0, 0);
            }
            (Type::Array, 2..=4) => {
                let count = self.choices.below(4);
                let of = TYPES[self.choices.below(4)];
                for _ in 0..count {
                    self.value(of, next);
                }
                self.emit(Op::Array, u16::try_from(count).unwrap_or(0), 0);
            }
            (Type::Array, _) => {
                let last = self.constant(ValueType::Int, 4, "");
                self.value(Type::Int, 0);
                self.emit(Op::Const, 0, last);
                self.emit(Op::Range, 0, 0);
            }
            (Type::Duration, _) => {
                self.value(Type::Duration, next);
                self.value(Type::Int, next);
                self.emit(Op::Multiply, 0, 0);
            }
        }
    }

    fn simple(&mut self, value_type: Type) {
        let number = i64::try_from(self.choices.below(4)).unwrap_or(0);
        let constant = match value_type {
            Type::Int => self.constant(ValueType::Int, number, ""),
            Type::String => self.string(),
            Type::Bool => self.constant(ValueType::Bool, number & 1, ""),
            Type::Duration => self.constant(ValueType::Duration, number * 1_000_000_000, ""),
            Type::Array => return self.emit(Op::Array, 0, 0),
        };
        self.emit(Op::Const, 0, constant);
    }

    fn resolve(&mut self, depth: usize) {
        let path = self.choices.below(2) == 0;
        let (decorator, arguments) = match self.choices.below(5) {
            0 | 1 => {
                let name = self.string();
                let default = self.string();
                (ENV, vec![(0, Some(name)), (1, Some(default).filter(|_| path))])
            }
            2 => (FILE_READ, vec![(0, if path { Some(self.string()) } else { None })]),
            3 => (FILE_SHA256, vec![(0, None)]),
            _ if path => (RANDOM_PASSWORD, vec![]),
            _ => (CRYPTO_GENERATE_KEY, vec![]),
        };
        for _ in arguments.iter().filter(|(_, constant)| constant.is_none()) {
            self.value(Type::String, depth.min(1));
        }
        let first = self.program.import_args.len();
        for (param, constant) in arguments {
            let (computed, constant) = (u8::from(constant.is_none()), constant.unwrap_or(0).into());
            self.program.import_args.push(ImportArg { param, computed, reserved: 0.into(), constant });
        }
        let args = range(first, self.program.import_args.len());
        let flags = if self.choices.below(3) == 0 { IMPORT_PUBLIC } else { 0 }.into();
        self.program.imports.push(Import { decorator: decorator.into(), flags, args, span: Span::NONE });
        let import = index(self.program.imports.len() - 1);
        self.emit(Op::Resolve, 0, import);
    }

    fn opener(&mut self, op: Op, c: u32) {
        let block = matches!(op, Op::If | Op::For | Op::While | Op::Isolate).then_some(self.program.blocks.len());
        self.open.push((self.program.code.len(), block));
        if block.is_none() {
            return self.emit(op, 0, c);
        }
        self.emit(op, 0, index(self.program.blocks.len()));
        let first = self.program.variables.len();
        for _ in 0..self.choices.below(3) {
            let local = self.choices.below(LOCALS as usize);
            self.program.variables.push(Variable { index: index(local).into(), global: 0, reserved: [0; 3] });
        }
        let assigns = range(first, self.program.variables.len());
        let axis = u16::from(op == Op::For && self.choices.below(4) == 0);
        self.program.blocks.push(Block { target: 0.into(), assigns, variable: 0.into(), flags: axis.into() });
    }

    fn closer(&mut self, op: Op) {
        let pc = index(self.program.code.len());
        match self.open.pop() {
            Some((_, Some(block))) => self.program.blocks[block].target = pc.into(),
            Some((opener, None)) if self.program.code[opener].op != Op::Open as u8 => self.program.code[opener].c = pc.into(),
            _ => {}
        }
        self.emit(op, 0, 0);
        if op == Op::Else {
            self.open.push((self.program.code.len() - 1, None));
        }
    }

    fn node(&mut self, kind: NodeKind, params: &[u8]) {
        let first = self.program.params.len();
        self.program.params.extend_from_slice(params);
        let params = range(first, self.program.params.len());
        let header = if kind.is_flow() { self.text("header") } else { TextRef::EMPTY };
        let (reserved, span) = (0.into(), Span::new(3, 4, 1, 4));
        self.program.nodes.push(NodeUse { kind: kind.number().into(), reserved, params, header, span });
        self.opener(Op::Open, index(self.program.nodes.len() - 1));
    }

    /// Some statements that emit, as children of a node of kind `parent`.
    fn block(&mut self, depth: usize, parent: NodeKind) {
        for _ in 0..=self.choices.below(3) {
            if self.spend() {
                self.statement(depth.saturating_sub(1), parent);
            }
        }
    }

    fn shell(&mut self) {
        let holes = self.choices.below(3);
        for _ in 0..holes {
            let of = TYPES[self.choices.below(4)];
            self.value(of, 2);
        }
        let template = self.template("", holes);
        self.emit(Op::Shell, 0, template);
    }

    fn template(&mut self, name: &str, holes: usize) -> u32 {
        let first = self.program.template_parts.len();
        let text = self.text("echo ");
        self.program.template_parts.push(TemplatePart { kind: 0, position: 0, alone: 0, reserved: 0, text });
        for _ in 0..holes {
            let position = u8::try_from(self.choices.below(7)).unwrap_or(0);
            let alone = u8::from(self.choices.below(2) == 0);
            self.program.template_parts.push(TemplatePart { kind: 1, position, alone, reserved: 0, text: TextRef::EMPTY });
        }
        let parts = range(first, self.program.template_parts.len());
        let name = self.text(name);
        self.program.templates.push(Template {
            parts,
            name_offset: name.offset,
            name_length: u16::try_from(name.length.to_native()).unwrap_or(0).into(),
            holes: u16::try_from(holes).unwrap_or(0).into(),
            span: Span::new(5, 6, 2, 1),
        });
        index(self.program.templates.len() - 1)
    }

    fn statement(&mut self, depth: usize, parent: NodeKind) {
        let operator = matches!(parent, NodeKind::And | NodeKind::Or | NodeKind::Pipe | NodeKind::Seq);
        let choice = if depth == 0 { self.choices.below(4) } else { self.choices.below(15) };
        // Commands and loops on a condition are grouped there; the bodies of other control flow are one branch.
        let parallel = parent == NodeKind::Parallel;
        if parallel && matches!(choice, 4 | 7) {
            return self.in_node(NodeKind::Group, depth);
        }
        let body = |smith: &mut Self, kind: NodeKind| {
            if parallel {
                smith.node(kind, &[]);
                smith.in_node(NodeKind::Group, depth);
                smith.closer(Op::Close);
            } else {
                smith.in_node(kind, depth);
            }
        };
        match choice {
            2 if !operator => {
                let template = self.template("NAME", 0);
                self.emit(Op::Let, 0, template);
                let local = self.local(Type::String);
                self.emit(Op::Store, 0, local);
            }
            3 if !operator => {
                let value_type = TYPES[self.choices.below(5)];
                let local = self.local(value_type);
                self.value(value_type, 3);
                self.emit(Op::Store, 0, local);
            }
            4 if !operator && !self.commands.is_empty() => {
                let (number, params) = self.commands[self.choices.below(self.commands.len())];
                for _ in 0..params {
                    self.value(Type::Int, 2);
                }
                self.emit(Op::Call, 0, number);
            }
            5 if !operator => {
                self.value(Type::Bool, 3);
                self.opener(Op::If, 0);
                body(self, NodeKind::If);
                if self.choices.below(2) == 0 {
                    self.closer(Op::Else);
                    body(self, NodeKind::Else);
                }
                self.closer(Op::End);
            }
            6 if !operator => {
                self.value(Type::Array, 3);
                self.opener(Op::For, 0);
                body(self, NodeKind::For);
                self.closer(Op::EndFor);
            }
            7 if !operator => {
                self.opener(Op::While, 0);
                let (zero, one) = (self.constant(ValueType::Int, 0, ""), self.constant(ValueType::Int, 1, ""));
                self.emit(Op::Load, 0, 1);
                self.emit(Op::Const, 0, zero);
                self.emit(Op::Greater, 0, 0);
                self.emit(Op::WhileTest, 0, 0);
                self.emit(Op::Load, 0, 1);
                self.emit(Op::Const, 0, one);
                self.emit(Op::Subtract, 0, 0);
                self.emit(Op::Store, 0, 1);
                self.in_node(NodeKind::While, depth);
                self.closer(Op::EndWhile);
            }
            8 => {
                self.opener(Op::Isolate, 0);
                self.shell();
                self.closer(Op::EndIsolate);
            }
            9 => {
                self.node(NodeKind::Try, &[]);
                self.block(depth, NodeKind::Try);
                for kind in [NodeKind::Catch, NodeKind::Finally] {
                    if self.choices.below(2) == 0 {
                        self.in_node(kind, depth);
                    }
                }
                self.closer(Op::Close);
            }
            10 => {
                let kind = [NodeKind::And, NodeKind::Or, NodeKind::Pipe, NodeKind::Seq][self.choices.below(4)];
                self.node(kind, &[]);
                self.shell();
                self.shell();
                self.block(depth, kind);
                self.closer(Op::Close);
            }
            11 => {
                let kind = [NodeKind::Parallel, NodeKind::Detach, NodeKind::Group, NodeKind::IsolatedNetwork][self.choices.below(4)];
                self.in_node(kind, depth);
            }
            12 => {
                self.value(Type::Duration, 2);
                self.node(NodeKind::Sleep, &[0]);
                self.closer(Op::Close);
            }
            13 => {
                let (kind, value_type, params) = [
                    (NodeKind::Timeout, Type::Duration, 0),
                    (NodeKind::Workdir, Type::String, 0),
                    (NodeKind::Retry, Type::Int, 0),
                    (NodeKind::Retry, Type::Duration, 1),
                    (NodeKind::IsolatedFilesystem, Type::Array, 1),
                ][self.choices.below(5)];
                self.value(value_type, 2);
                self.node(kind, &[params]);
                self.block(depth, kind);
                self.closer(Op::Close);
            }
            14 => {
                self.node(NodeKind::Transform, &[]);
                self.shell();
                for _ in 0..=self.choices.below(3) {
                    let (kind, value_type) = [
                        (NodeKind::LinesCount, None),
                        (NodeKind::LinesHead, Some(Type::Int)),
                        (NodeKind::LinesGrep, Some(Type::String)),
                        (NodeKind::JsonPick, Some(Type::String)),
                        (NodeKind::AssertNum, Some(Type::String)),
                        (NodeKind::AssertEq, Some(Type::Duration)),
                    ][self.choices.below(6)];
                    value_type.into_iter().for_each(|value_type| self.value(value_type, 2));
                    self.node(kind, if value_type.is_some() { &[0] } else { &[] });
                    self.closer(Op::Close);
                }
                self.closer(Op::Close);
            }
            _ => self.shell(),
        }
    }

    fn in_node(&mut self, kind: NodeKind, depth: usize) {
        self.node(kind, &[]);
        self.block(depth, kind);
        self.closer(Op::Close);
    }
}
