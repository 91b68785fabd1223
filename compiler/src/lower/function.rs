//! One function under construction. Positions and block numbers count from its own start until it joins the program.

use super::tables::{Tables, index, range};
use crate::check::typed;
use crate::span::Span;
use opal_core::program::table::{Op, Operand, Role, limits};
use opal_format::program::{Block, DebugEntry, Function, Instruction, Variable};

/// What a function is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Command,
    Thunk,
}

/// A block of this function.
struct Pending {
    target: u32,
    assigns: Vec<typed::Variable>,
    variable: u32,
    matrix: bool,
}

pub(super) struct Builder {
    code: Vec<Instruction>,
    /// Where instructions come from; an entry holds up to the next.
    spans: Vec<(u32, Span)>,
    blocks: Vec<Pending>,
    pub locals: u32,
    depth: u32,
    /// The first place where a limit of functions is exceeded, and which.
    pub excess: Option<(Span, String)>,
}

impl Builder {
    pub(super) fn new(locals: u32) -> Self {
        Self { code: Vec::new(), spans: Vec::new(), blocks: Vec::new(), locals, depth: 0, excess: None }
    }

    pub(super) fn local(&mut self) -> u32 {
        self.locals += 1;
        self.locals - 1
    }

    fn position(&self) -> u32 {
        index(self.code.len())
    }

    fn exceed(&mut self, span: Span, what: String) {
        self.excess.get_or_insert((span, what));
    }

    /// Adds an instruction and gives its position.
    pub(super) fn emit(&mut self, op: Op, a: u8, b: usize, c: u32, span: Span) -> u32 {
        let count = u16::try_from(b).unwrap_or_else(|_| {
            self.exceed(span, format!("more than {} values in one expression", u16::MAX));
            u16::MAX
        });
        let position = self.position();
        // What emits a step is where its template is.
        if !matches!(op, Op::Shell | Op::Let) && self.spans.last().is_none_or(|(_, last)| *last != span) {
            self.spans.push((position, span));
        }
        match op.row().role {
            Role::Opens => {
                self.depth += 1;
                if self.depth > limits::DEPTH {
                    self.exceed(span, format!("blocks and expressions nest deeper than {}", limits::DEPTH));
                }
            }
            Role::Closes => self.depth -= 1,
            Role::Plain | Role::Emit | Role::Middle | Role::Ends => {}
        }
        self.code.push(Instruction::new(op as u8, a, count, c));
        position
    }

    /// An instruction whose only operand is `c`.
    pub(super) fn op(&mut self, op: Op, c: u32, span: Span) -> u32 {
        self.emit(op, 0, 0, c, span)
    }

    /// Opens a structured block and gives its number.
    pub(super) fn open(&mut self, op: Op, assigns: Vec<typed::Variable>, span: Span) -> u32 {
        let block = index(self.blocks.len());
        self.blocks.push(Pending { target: 0, assigns, variable: 0, matrix: false });
        self.op(op, block, span);
        block
    }

    /// Makes a block a loop over one axis.
    pub(super) fn axis(&mut self, block: u32, variable: u32, matrix: bool) {
        if let Some(pending) = self.blocks.get_mut(block as usize) {
            (pending.variable, pending.matrix) = (variable, matrix);
        }
    }

    /// Ends a block.
    pub(super) fn close(&mut self, block: u32, op: Op, span: Span) {
        let end = self.op(op, 0, span);
        self.land(block, end);
    }

    fn land(&mut self, block: u32, target: u32) {
        if let Some(pending) = self.blocks.get_mut(block as usize) {
            pending.target = target;
        }
    }

    /// Starts the second arm of an `if` and gives the position of its `else`.
    pub(super) fn otherwise(&mut self, block: u32, span: Span) -> u32 {
        let at = self.op(Op::Else, 0, span);
        self.land(block, at);
        at
    }

    /// Ends the second arm that [`Self::otherwise`] started.
    pub(super) fn end_otherwise(&mut self, at: u32, span: Span) {
        let end = self.op(Op::End, 0, span);
        self.aim(at, end);
    }

    /// Sets the target of the instruction at `position`.
    pub(super) fn aim(&mut self, position: u32, target: u32) {
        if let Some(instruction) = self.code.get_mut(position as usize) {
            instruction.c = target.into();
        }
    }

    /// Ends the function and adds it to the program; gives its number.
    pub(super) fn finish(
        mut self,
        tables: &mut Tables<'_>,
        name: &str,
        params: u32,
        kind: Kind,
        span: Span,
    ) -> (u32, Option<(Span, String)>) {
        self.op(Op::Return, 0, span);
        let (code, blocks) = (index(tables.program.code.len()), index(tables.program.blocks.len()));
        let narrow = |number: u32| u16::try_from(number).unwrap_or(u16::MAX);
        if self.locals > u32::from(u16::MAX) {
            self.exceed(span, format!("more than {} variables in one command", u16::MAX));
        }
        for instruction in &mut self.code {
            let base = match Op::from_code(instruction.op).map(|op| op.row().operands[2]) {
                Some(Operand::Block) => blocks,
                Some(Operand::Target) => code,
                _ => continue,
            };
            instruction.c = instruction.c.to_native().saturating_add(base).into();
        }
        for block in self.blocks {
            let first = index(tables.program.variables.len());
            let assigns = range(first, block.assigns.len());
            tables.program.variables.extend(block.assigns.into_iter().map(|variable| match variable {
                typed::Variable::Local(local) => Variable { index: local.into(), global: 0, reserved: [0; 3] },
                typed::Variable::Global(global) => Variable { index: global.into(), global: 1, reserved: [0; 3] },
            }));
            tables.program.blocks.push(Block {
                target: block.target.saturating_add(code).into(),
                assigns,
                variable: narrow(block.variable).into(),
                flags: u16::from(block.matrix).into(),
            });
        }
        for (position, span) in self.spans {
            let entry = DebugEntry { pc: position.saturating_add(code).into(), span: tables.span(span) };
            tables.program.debug.push(entry);
        }
        let name = tables.text(name);
        tables.program.functions.push(Function {
            name,
            code: range(code, self.code.len()),
            params: narrow(params).into(),
            locals: narrow(self.locals).into(),
            kind: u8::from(kind == Kind::Thunk),
            reserved: [0; 3],
        });
        tables.program.code.append(&mut self.code);
        (index(tables.program.functions.len() - 1), self.excess)
    }
}
