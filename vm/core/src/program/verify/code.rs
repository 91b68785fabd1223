//! Rules about the code: operands, stack heights, structure, effects, depth.

use super::tables::{Partition, ensure};
use super::{Rule, Table, VerifyError, at};
use crate::program::table::{Op, Operand, Pops, Role, Row, limits};
use opal_format::kind::{NodeKind, ValueType};
use opal_format::program::{Block, Function, Instruction, ProgramView, Variable};

/// What emitted steps are to a `@parallel` around them, with nothing but control flow between.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Branching {
    /// Nothing.
    No,
    /// Its branches.
    Branches,
    /// Its branches, in a `@for`.
    Loop,
    /// One of its branches, in a taken arm.
    Arm,
}

/// A block that is open at this point. The outermost is the function itself.
struct Frame {
    /// The instruction that opened it.
    op: Op,
    /// The node, where `open` opened it.
    node: Option<NodeKind>,
    /// Stack height at its entry; what lies below is not its own.
    floor: u32,
    /// Where it must go on: the position of its `else` or of its end.
    target: u32,
    /// `if`: 1 after `else`. `while`: 1 after `while_test`. `@try`: 1 after `@catch`, 2 after `@finally`.
    stage: u8,
    /// Operands of an operator, or children of a `@transform`, so far.
    operands: u32,
    /// What steps emitted here are.
    branching: Branching,
    /// Index of the frame that steps emitted here belong to: this one, or for `isolate`, which emits nothing itself, its parent's.
    owner: usize,
}

/// What callers need to know of a function.
struct Depth {
    calls: u16,
    nodes: u16,
}

struct Pass<'a> {
    view: &'a ProgramView<'a>,
    /// Functions that passed.
    depths: Vec<Depth>,
    frames: Vec<Frame>,
    height: u32,
    /// Enclosing places where only a value is computed: operands of `and` and `or`, conditions of `while`, nodes without children.
    silent: u32,
    /// Open nodes.
    nodes: u32,
    next_block: u32,
    variables: Partition<'a, Variable>,
    /// The function at hand: its number, itself, and its depths so far.
    number: u32,
    function: &'a Function,
    calls_below: u32,
    nodes_below: u32,
}

pub(super) fn check(view: &ProgramView<'_>) -> Result<(), VerifyError> {
    let Some(first) = view.functions.first() else { return Err(VerifyError::new(Rule::Entry, Table::Program, 0)) };
    let mut pass = Pass {
        view,
        depths: Vec::with_capacity(view.functions.len()),
        frames: Vec::new(),
        height: 0,
        silent: 0,
        nodes: 0,
        next_block: 0,
        variables: Partition::new(view.variables),
        number: 0,
        function: first,
        calls_below: 0,
        nodes_below: 0,
    };
    let mut code = Partition::new(view.code);
    for (number, function) in (0u32..).zip(view.functions) {
        let refused = |rule| VerifyError::new(rule, Table::Functions, number);
        let instructions = code.take(function.code).map_err(|_| refused(Rule::FunctionCode))?;
        ensure(!instructions.is_empty(), Rule::FunctionCode).map_err(refused)?;
        pass.function(number, function, instructions)?;
    }
    code.finish().map_err(|_| VerifyError::new(Rule::FunctionCode, Table::Program, 0))?;
    ensure(usize::try_from(pass.next_block) == Ok(view.blocks.len()), Rule::BlockOrder)
        .map_err(|rule| VerifyError::new(rule, Table::Blocks, pass.next_block))?;
    pass.variables.finish()
}

impl<'a> Pass<'a> {
    fn function(&mut self, number: u32, function: &'a Function, code: &[Instruction]) -> Result<(), VerifyError> {
        self.frames.clear();
        self.frames.push(Frame {
            op: Op::Return,
            node: None,
            floor: 0,
            target: 0,
            stage: 0,
            operands: 0,
            branching: Branching::No,
            owner: 0,
        });
        (self.height, self.silent, self.nodes) = (0, 0, 0);
        (self.number, self.function, self.calls_below, self.nodes_below) = (number, function, 0, 0);
        let first = function.code.first.to_native();
        let last = first.saturating_add(function.code.count.to_native()).saturating_sub(1);
        for (pc, instruction) in (first..).zip(code) {
            self.instruction(pc, instruction, pc == last).map_err(|rule| VerifyError::new(rule, Table::Code, pc))?;
        }
        let refused = |rule| VerifyError::new(rule, Table::Functions, number);
        let calls = self.calls_below.saturating_add(1);
        ensure(calls <= limits::DEPTH, Rule::CallDepth).map_err(refused)?;
        ensure(self.nodes_below <= limits::DEPTH, Rule::NodeDepth).map_err(refused)?;
        let narrow = |depth| u16::try_from(depth).unwrap_or(u16::MAX);
        self.depths.push(Depth { calls: narrow(calls), nodes: narrow(self.nodes_below) });
        Ok(())
    }

    fn instruction(&mut self, pc: u32, instruction: &Instruction, last: bool) -> Result<(), Rule> {
        let row = Op::from_code(instruction.op).ok_or(Rule::Operation)?.row();
        self.operands(&row, instruction)?;
        ensure((row.op == Op::Return) == last, Rule::Return)?;
        let floor = self.top()?.floor;
        let left = self.height.checked_sub(self.pops(&row, instruction)?).filter(|&left| left >= floor);
        self.height = left.ok_or(Rule::Underflow)?;
        let c = instruction.c.to_native();
        match row.role {
            Role::Plain => self.plain(&row, instruction)?,
            Role::Emit => self.emit(row.op, c)?,
            Role::Opens => self.open(row.op, c)?,
            Role::Middle => self.middle(row.op, pc, c)?,
            Role::Closes => self.close(row.op, pc)?,
            Role::Ends => {
                ensure(self.top()?.op == Op::Return, Rule::Nesting)?;
                ensure(self.height == u32::from(self.function.kind), Rule::Height)?;
            }
        }
        self.height = self.height.saturating_add(row.pushes);
        ensure(self.height <= limits::STACK, Rule::StackLimit)
    }

    fn operands(&self, row: &Row, instruction: &Instruction) -> Result<(), Rule> {
        let values = [u32::from(instruction.a), u32::from(instruction.b.to_native()), instruction.c.to_native()];
        let view = self.view;
        for (operand, value) in row.operands.into_iter().zip(values) {
            let holds = match operand {
                Operand::Zero => value == 0,
                // A target is proved where its block ends.
                Operand::Count | Operand::Target => true,
                Operand::Type => match ValueType::from_number(instruction.a) {
                    Some(ValueType::Array | ValueType::Map) => row.op != Op::Convert,
                    known => known.is_some(),
                },
                Operand::Constant => at(view.constants, value).is_some(),
                Operand::Text => at(view.constants, value).is_some_and(|constant| constant.value_type == ValueType::String.number()),
                Operand::Local => value < u32::from(self.function.locals.to_native()),
                Operand::Global => at(view.globals, value).is_some(),
                Operand::Function => at(view.functions, value).is_some(),
                Operand::Import => at(view.imports, value).is_some(),
                Operand::Template => at(view.templates, value).is_some(),
                Operand::Node => at(view.nodes, value).is_some(),
                Operand::Block => at(view.blocks, value).is_some(),
            };
            ensure(holds, Rule::Operand)?;
        }
        Ok(())
    }

    fn pops(&self, row: &Row, instruction: &Instruction) -> Result<u32, Rule> {
        let b = u32::from(instruction.b.to_native());
        let c = instruction.c.to_native();
        let view = self.view;
        let count = match row.pops {
            Pops::Fixed(count) => Some(count),
            Pops::CountB => Some(b),
            Pops::TwiceB => b.checked_mul(2),
            Pops::ImportArgs => at(view.imports, c)
                .and_then(|import| import.args.of(view.import_args))
                .map(|arguments| arguments.iter().map(|argument| u32::from(argument.computed)).sum()),
            Pops::FunctionParams => at(view.functions, c).map(|function| u32::from(function.params.to_native())),
            Pops::Holes => at(view.templates, c).map(|template| template.holes.to_native().into()),
            Pops::NodeArgs => at(view.nodes, c).map(|node| node.params.count.to_native()),
        };
        count.ok_or(Rule::Operand)
    }

    fn plain(&self, row: &Row, instruction: &Instruction) -> Result<(), Rule> {
        let c = instruction.c.to_native();
        match row.op {
            Op::Thunk => {
                let callee = at(self.view.functions, c).filter(|_| c < self.number).ok_or(Rule::Call)?;
                ensure(callee.kind == 1 && callee.params.to_native() == instruction.b.to_native(), Rule::Call)
            }
            Op::LoadGlobal => {
                let init = at(self.view.globals, c).ok_or(Rule::Operand)?.init.to_native();
                ensure(init <= self.number, Rule::GlobalOrder)
            }
            Op::StoreGlobal => ensure(self.function.kind == 0, Rule::Effect),
            _ => Ok(()),
        }
    }

    fn emit(&mut self, op: Op, c: u32) -> Result<(), Rule> {
        self.admit(op, None)?;
        if op == Op::Call {
            let callee = at(self.view.functions, c).ok_or(Rule::Operand)?;
            let depth = at(&self.depths, c).filter(|_| callee.kind == 0).ok_or(Rule::Call)?;
            self.calls_below = self.calls_below.max(u32::from(depth.calls));
            self.nodes_below = self.nodes_below.max(self.nodes.saturating_add(u32::from(depth.nodes)));
            return Ok(());
        }
        let template = at(self.view.templates, c).ok_or(Rule::Operand)?;
        ensure(template.name().is_empty() == (op == Op::Shell), Rule::TemplateName)
    }

    /// Checks that a step or node may stand here, and counts it with the frame that it belongs to.
    fn admit(&mut self, op: Op, node: Option<NodeKind>) -> Result<(), Rule> {
        ensure(self.function.kind == 0 && self.silent == 0, Rule::Effect)?;
        let branching = self.top()?.branching;
        // What a command emits may be any number of steps, and control flow.
        ensure(branching == Branching::No || op != Op::Call, Rule::Parallel)?;
        let owner = self.owner()?;
        if branching == Branching::Arm {
            ensure(owner.operands == 0, Rule::Parallel)?;
            owner.operands = 1;
        }
        let handler = match node {
            Some(NodeKind::Catch) => 1,
            Some(NodeKind::Finally) => 2,
            _ => 0,
        };
        if owner.node == Some(NodeKind::Try) {
            ensure(owner.stage < handler || owner.stage == 0, Rule::Try)?;
            owner.stage = handler;
        } else {
            ensure(handler == 0, Rule::Try)?;
        }
        let operation = node.is_some_and(NodeKind::is_operation);
        let piped = owner.node == Some(NodeKind::Transform);
        ensure(operation == (piped && owner.operands > 0), Rule::Transform)?;
        if let Some(rule) = needs_steps(owner.node) {
            ensure(op != Op::Call, rule)?;
            owner.operands = owner.operands.saturating_add(1);
        }
        Ok(())
    }

    fn open(&mut self, op: Op, c: u32) -> Result<(), Rule> {
        let mut node = None;
        let mut target = c;
        match op {
            Op::Open => {
                let record = at(self.view.nodes, c).ok_or(Rule::Operand)?;
                let kind = record.kind().ok_or(Rule::NodeKind)?;
                node = Some(kind);
                self.admit(op, node)?;
                self.silent = self.silent.saturating_add(u32::from(kind.is_leaf()));
                self.nodes = self.nodes.saturating_add(1);
                self.nodes_below = self.nodes_below.max(self.nodes);
            }
            Op::And | Op::Or => self.silent = self.silent.saturating_add(1),
            _ => target = self.block(op, c)?,
        }
        let around = self.top()?.branching;
        let branching = node.map_or(Ok(around), |kind| branching(kind, around))?;
        let index = self.frames.len();
        ensure(u32::try_from(index).is_ok_and(|open| open <= limits::DEPTH), Rule::Depth)?;
        let owner = if op == Op::Isolate { self.top()?.owner } else { index };
        self.frames.push(Frame { op, node, floor: self.height, target, stage: 0, operands: 0, branching, owner });
        Ok(())
    }

    /// Checks the block record of an opening instruction and gives its target.
    fn block(&mut self, op: Op, index: u32) -> Result<u32, Rule> {
        ensure(index == self.next_block, Rule::BlockOrder)?;
        self.next_block = self.next_block.saturating_add(1);
        let block: &Block = at(self.view.blocks, index).ok_or(Rule::BlockOrder)?;
        let locals = self.function.locals.to_native();
        let (variable, flags) = (block.variable.to_native(), block.flags.to_native());
        if op == Op::For {
            ensure(variable < locals, Rule::BlockVariable)?;
            ensure(flags <= 1, Rule::Reserved)?;
        } else {
            ensure(variable == 0 && flags == 0, Rule::Reserved)?;
        }
        for variable in self.variables.take(block.assigns)? {
            ensure(variable.reserved == [0; 3], Rule::Reserved)?;
            let exists = match variable.global {
                0 => variable.index.to_native() < u32::from(locals),
                1 => at(self.view.globals, variable.index.to_native()).is_some(),
                _ => false,
            };
            ensure(exists, Rule::BlockVariable)?;
        }
        if op == Op::While {
            self.silent = self.silent.saturating_add(1);
        }
        if op != Op::Isolate {
            ensure(self.top()?.branching != Branching::Arm, Rule::Parallel)?;
            let owner = self.owner()?;
            needs_steps(owner.node).map_or(Ok(()), Err)?;
            ensure(owner.stage == 0 || owner.node != Some(NodeKind::Try), Rule::Try)?;
        }
        Ok(block.target.to_native())
    }

    fn middle(&mut self, op: Op, pc: u32, c: u32) -> Result<(), Rule> {
        let height = self.height;
        let frame = self.frames.last_mut().ok_or(Rule::Nesting)?;
        let opener = if op == Op::Else { Op::If } else { Op::While };
        ensure(frame.op == opener, Rule::Nesting)?;
        ensure(height == frame.floor, Rule::Height)?;
        if op == Op::Else {
            ensure(frame.stage == 0, Rule::Nesting)?;
            ensure(frame.target == pc, Rule::Target)?;
            frame.target = c;
        } else {
            ensure(frame.stage == 0, Rule::WhileTest)?;
            self.silent = self.silent.saturating_sub(1);
        }
        frame.stage = 1;
        Ok(())
    }

    fn close(&mut self, op: Op, pc: u32) -> Result<(), Rule> {
        let frame = self.frames.pop().ok_or(Rule::Nesting)?;
        let matches = match op {
            Op::EndLogic => matches!(frame.op, Op::And | Op::Or),
            Op::End => frame.op == Op::If,
            Op::EndFor => frame.op == Op::For,
            Op::EndWhile => frame.op == Op::While,
            Op::EndIsolate => frame.op == Op::Isolate,
            Op::Close => frame.op == Op::Open,
            _ => false,
        };
        ensure(matches, Rule::Nesting)?;
        ensure(self.height == frame.floor, Rule::Height)?;
        match frame.node {
            None => ensure(frame.target == pc, Rule::Target)?,
            Some(kind) => {
                needs_steps(frame.node).filter(|_| frame.operands < 2).map_or(Ok(()), Err)?;
                self.silent = self.silent.saturating_sub(u32::from(kind.is_leaf()));
                self.nodes = self.nodes.saturating_sub(1);
            }
        }
        match op {
            Op::EndLogic => self.silent = self.silent.saturating_sub(1),
            Op::EndWhile => ensure(frame.stage == 1, Rule::WhileTest)?,
            _ => {}
        }
        Ok(())
    }

    fn top(&self) -> Result<&Frame, Rule> {
        self.frames.last().ok_or(Rule::Nesting)
    }

    /// The frame that steps emitted here belong to.
    fn owner(&mut self) -> Result<&mut Frame, Rule> {
        let owner = self.top()?.owner;
        self.frames.get_mut(owner).ok_or(Rule::Nesting)
    }
}

/// What steps in a node are to a `@parallel` around it.
const fn branching(kind: NodeKind, around: Branching) -> Result<Branching, Rule> {
    if matches!(kind, NodeKind::Parallel) {
        return Ok(Branching::Branches);
    }
    if !kind.is_flow() {
        return Ok(Branching::No);
    }
    match (around, kind) {
        (Branching::No, _) => Ok(Branching::No),
        (Branching::Branches, NodeKind::For) => Ok(Branching::Loop),
        (Branching::Branches, NodeKind::If | NodeKind::Else | NodeKind::When) => Ok(Branching::Arm),
        _ => Err(Rule::Parallel),
    }
}

/// The rule that makes each child of a node one step or node that is always emitted, and at least two of them.
const fn needs_steps(node: Option<NodeKind>) -> Option<Rule> {
    match node {
        Some(NodeKind::And | NodeKind::Or | NodeKind::Pipe | NodeKind::Seq) => Some(Rule::Operator),
        Some(NodeKind::Transform) => Some(Rule::Transform),
        _ => None,
    }
}
