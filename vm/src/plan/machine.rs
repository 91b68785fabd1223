//! The interpreter. The verifier has proved shape, so every lookup here succeeds; where one could not, the answer is an internal error, never
//! a panic. Evaluation is lazy through thunks: an instruction that needs a value not evaluated yet starts its thunk and runs again afterwards.

use super::arithmetic::{binary, compare, convert, negate, scalar, verb, wrong};
use super::candidates::{Candidates, Entry};
use super::emit::Emitter;
use super::error::{Cause, PlanError};
use super::labels::{computed_text, label};
use super::reality::Reality;
use super::resolve::{Argument, is_public, resolve};
use super::value::{Candidate, Data, Piece, Scalar, Text, Value};
use super::{Mode, Options, Plan};
use crate::decorators::{self, Cost};
use crate::program::table::{Op, limits};
use crate::program::verify::Verified;
use opal_format::canonical::CanonicalValue;
use opal_format::kind::{NodeKind, ValueType};
use opal_format::program::{IMPORT_PUBLIC, Instruction, ProgramView, Variable};
use opal_format::record::{Range, Span, TextRef};
use std::cmp::Ordering;
use std::rc::Rc;
use zeroize::Zeroizing;

/// A call in progress.
struct Frame {
    /// Position of the current instruction.
    pc: u32,
    /// First of its locals.
    locals: usize,
    /// The thunk that it evaluates, if it is one.
    thunk: Option<u32>,
}

/// A block in progress.
enum Control {
    /// `and`, `or`: the operation and its first operand.
    Logic(Op, Value),
    /// `if` on a known condition.
    If,
    /// `if` on an unknown condition: both arms are planned, each from a copy.
    Both { assigns: Range, before: Vec<Value>, first: Option<Vec<Value>> },
    /// `for`: the collection, the next element, the local, the first instruction of the body.
    For { collection: Value, next: u64, variable: u16, body: u32 },
    /// A loop on an unknown collection or condition: its body is planned once.
    Once { assigns: Range },
    /// `while`: its first instruction and its last.
    While { start: u32, end: u32, assigns: Range },
    /// `isolate`: the values to give back.
    Isolate { assigns: Range, before: Vec<Value> },
    /// An open node.
    Node,
}

/// A value that is evaluated when first needed.
enum Thunk {
    Pending { function: u32, captures: Vec<Value> },
    Running,
    Done(Value),
}

/// What an instruction does to the position.
enum Flow {
    Next,
    Jump(u32),
    /// The instruction runs again: it has started a thunk.
    Again,
    /// A frame was pushed or popped; its position is set.
    Stay,
    Finished,
}

/// The planner's state.
pub(super) struct Machine<'a> {
    pub program: ProgramView<'a>,
    pub candidates: Candidates,
    pub out: Emitter,
    options: &'a Options<'a>,
    reality: &'a dyn Reality,
    stack: Vec<Value>,
    locals: Vec<Value>,
    globals: Vec<Value>,
    frames: Vec<Frame>,
    control: Vec<Control>,
    thunks: Vec<Thunk>,
    /// Frames that are calls of commands.
    calls: u32,
    fuel: u64,
    seeded: u64,
    matrix: bool,
}

/// Plans a verified program.
///
/// # Errors
/// The cause for which there is no plan, and its place in the source.
pub fn plan(program: &Verified<'_>, reality: &dyn Reality, options: &Options<'_>) -> Result<Plan, PlanError> {
    let mut machine = Machine {
        program: program.view(),
        candidates: Candidates::default(),
        out: Emitter::new(limits::TEXT),
        options,
        reality,
        stack: Vec::new(),
        locals: Vec::new(),
        globals: Vec::new(),
        frames: Vec::new(),
        control: Vec::new(),
        thunks: Vec::new(),
        calls: 0,
        fuel: options.fuel.min(limits::FUEL),
        seeded: 0,
        matrix: false,
    };
    let outcome = machine.start().and_then(|()| machine.run()).and_then(|()| machine.promise());
    outcome.map_err(|cause| PlanError { cause, span: machine.span() })?;
    let matrix = machine.matrix;
    super::finish::finish(machine.candidates, machine.out.steps, machine.program, options, matrix)
        .map_err(|cause| PlanError { cause, span: Span::NONE })
}

fn bug(what: &'static str) -> Cause {
    Cause::Internal(what)
}

fn at<T>(table: &[T], index: u32) -> Result<&T, Cause> {
    usize::try_from(index).ok().and_then(|index| table.get(index)).ok_or(Cause::Internal("an index outside its table"))
}

impl Machine<'_> {
    fn start(&mut self) -> Result<(), Cause> {
        for global in self.program.globals {
            let value = match global.init.to_native().checked_sub(1) {
                Some(function) => self.thunk(function, Vec::new())?,
                None => Value::plain(Data::Unset),
            };
            self.globals.push(value);
        }
        let entry = at(self.program.functions, self.program.entry)?;
        if usize::from(entry.params.to_native()) != self.options.arguments.len() {
            return Err(Cause::Argument("the arguments do not fit the target".to_owned()));
        }
        let arguments: Vec<Value> = self.options.arguments.iter().map(constant).collect::<Result<_, _>>()?;
        self.enter(self.program.entry, arguments, None)
    }

    fn run(&mut self) -> Result<(), Cause> {
        loop {
            self.charge(1)?;
            let pc = self.frames.last().ok_or_else(|| bug("no frame"))?.pc;
            let instruction = *at(self.program.code, pc)?;
            let next = match self.step(pc, instruction)? {
                Flow::Next => pc.saturating_add(1),
                Flow::Jump(target) => target,
                Flow::Again | Flow::Stay => continue,
                Flow::Finished => return Ok(()),
            };
            self.frames.last_mut().ok_or_else(|| bug("no frame"))?.pc = next;
        }
    }

    /// Resolves the variables that the steps were promised.
    fn promise(&mut self) -> Result<(), Cause> {
        for name in self.options.pass_env {
            let argument =
                Argument { param: 0, value: Value::bytes(name.as_bytes()), text: Some(Zeroizing::new(name.clone().into_bytes())) };
            let candidate = self.resolve_named(decorators::PASS_ENV, vec![argument], false, Span::NONE)?;
            self.use_slot(candidate)?;
        }
        Ok(())
    }

    /// Where the current instruction comes from.
    pub(super) fn span(&self) -> Span {
        let Some(pc) = self.frames.last().map(|frame| frame.pc) else { return Span::NONE };
        let after = self.program.debug.partition_point(|entry| entry.pc.to_native() <= pc);
        after.checked_sub(1).and_then(|index| self.program.debug.get(index)).map_or(Span::NONE, |entry| entry.span)
    }

    /// Spends fuel.
    pub(super) fn charge(&mut self, amount: u64) -> Result<(), Cause> {
        self.fuel =
            self.fuel.checked_sub(amount).ok_or(Cause::Limit { what: "planning work", limit: self.options.fuel.min(limits::FUEL) })?;
        Ok(())
    }

    fn thunk(&mut self, function: u32, captures: Vec<Value>) -> Result<Value, Cause> {
        let index = u32::try_from(self.thunks.len()).map_err(|_| bug("too many thunks"))?;
        self.thunks.push(Thunk::Pending { function, captures });
        Ok(Value::plain(Data::Lazy(index)))
    }

    fn enter(&mut self, function: u32, arguments: Vec<Value>, thunk: Option<u32>) -> Result<(), Cause> {
        let entry = at(self.program.functions, function)?;
        let locals = self.locals.len();
        self.charge(u64::from(entry.locals.to_native()))?;
        self.locals.extend(arguments);
        self.locals.resize(locals.saturating_add(usize::from(entry.locals.to_native())), Value::plain(Data::Unset));
        self.frames.push(Frame { pc: entry.code.first.to_native(), locals, thunk });
        if thunk.is_none() {
            self.calls = self.calls.saturating_add(1);
            if self.calls > limits::DEPTH {
                return Err(Cause::Limit { what: "nested calls", limit: u64::from(limits::DEPTH) });
            }
        }
        Ok(())
    }

    /// The value behind finished thunks.
    pub(super) fn settled(&self, value: &Value) -> Value {
        let mut value = value;
        while let Data::Lazy(index) = value.data {
            match usize::try_from(index).ok().and_then(|index| self.thunks.get(index)) {
                Some(Thunk::Done(done)) => value = done,
                _ => break,
            }
        }
        value.clone()
    }

    /// Evaluates the top `count` values, and elements of collections among them where `deep`. True once nothing is left to evaluate; false where
    /// a thunk was started.
    fn force(&mut self, count: usize, deep: bool) -> Result<bool, Cause> {
        let base = self.stack.len().checked_sub(count).ok_or_else(|| bug("stack underflow"))?;
        for index in base..self.stack.len() {
            let Some(value) = self.stack.get(index) else { return Err(bug("stack")) };
            if matches!(value.data, Data::Lazy(_)) {
                let value = self.settled(value);
                if let Data::Lazy(thunk) = value.data {
                    self.evaluate(thunk)?;
                    return Ok(false);
                }
                if let Some(slot) = self.stack.get_mut(index) {
                    *slot = value;
                }
            }
            if deep && let Some(Data::Array(elements)) = self.stack.get(index).map(|value| &value.data) {
                self.fuel = self.fuel.saturating_sub(elements.len() as u64);
                let pending = elements.iter().find_map(|element| match self.settled(element).data {
                    Data::Lazy(thunk) => Some(thunk),
                    _ => None,
                });
                if let Some(thunk) = pending {
                    self.evaluate(thunk)?;
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    fn evaluate(&mut self, thunk: u32) -> Result<(), Cause> {
        let state = usize::try_from(thunk).ok().and_then(|index| self.thunks.get_mut(index)).ok_or_else(|| bug("no such thunk"))?;
        match std::mem::replace(state, Thunk::Running) {
            Thunk::Pending { function, captures } => self.enter(function, captures, Some(thunk)),
            Thunk::Running | Thunk::Done(_) => Err(bug("a value that needs itself")),
        }
    }

    fn pop(&mut self) -> Result<Value, Cause> {
        self.stack.pop().ok_or_else(|| bug("stack underflow"))
    }

    fn pop_many(&mut self, count: usize) -> Result<Vec<Value>, Cause> {
        let base = self.stack.len().checked_sub(count).ok_or_else(|| bug("stack underflow"))?;
        Ok(self.stack.split_off(base))
    }

    fn local(&mut self, index: u32) -> Result<&mut Value, Cause> {
        let base = self.frames.last().ok_or_else(|| bug("no frame"))?.locals;
        let index = usize::try_from(index).ok().and_then(|index| base.checked_add(index)).ok_or_else(|| bug("local"))?;
        self.locals.get_mut(index).ok_or_else(|| bug("no such local"))
    }

    fn variable(&mut self, variable: &Variable) -> Result<&mut Value, Cause> {
        let index = variable.index.to_native();
        if variable.global == 1 {
            return usize::try_from(index).ok().and_then(|index| self.globals.get_mut(index)).ok_or_else(|| bug("no such global"));
        }
        self.local(index)
    }

    fn snapshot(&mut self, assigns: Range) -> Result<Vec<Value>, Cause> {
        let variables = assigns.of(self.program.variables).ok_or_else(|| bug("variables"))?;
        self.charge(variables.len() as u64)?;
        variables.iter().map(|variable| self.variable(variable).map(|value| value.clone())).collect()
    }

    fn restore(&mut self, assigns: Range, values: Vec<Value>) -> Result<(), Cause> {
        for (variable, value) in assigns.of(self.program.variables).ok_or_else(|| bug("variables"))?.iter().zip(values) {
            *self.variable(variable)? = value;
        }
        Ok(())
    }

    fn forget(&mut self, assigns: Range) -> Result<(), Cause> {
        let unknown = self.deferred("a value that depends on a deferred one")?;
        for variable in assigns.of(self.program.variables).ok_or_else(|| bug("variables"))? {
            *self.variable(variable)? = Value::plain(Data::Unknown(unknown));
        }
        Ok(())
    }

    /// A candidate without a value.
    fn deferred(&mut self, key: &str) -> Result<Candidate, Cause> {
        if let Some(candidate) = self.candidates.find(key) {
            return Ok(candidate);
        }
        let span = self.span();
        self.candidates.add(Entry {
            key: key.to_owned(),
            value: None,
            decorator: 0,
            public: false,
            seeded: false,
            shapes: false,
            operands: Vec::new(),
            span,
            slot: None,
        })
    }

    /// The bytes of a String, or the text of another scalar; `None` for a deferred value.
    pub(super) fn text_of(&self, value: &Value) -> Result<Option<Zeroizing<Vec<u8>>>, Cause> {
        let mut out = Zeroizing::new(Vec::new());
        match &value.data {
            Data::Text(Text::Constant(offset, length)) => {
                out.extend_from_slice(TextRef::new(*offset, *length).of(self.program.text).unwrap_or_default());
            }
            Data::Text(Text::Pieces(pieces)) => {
                for piece in pieces.iter() {
                    match piece {
                        Piece::Bytes(bytes) => out.extend_from_slice(bytes),
                        Piece::Slot(candidate) => match &self.candidates.entry(*candidate)?.value {
                            Some(scalar) => out.extend_from_slice(&scalar.text()),
                            None => return Ok(None),
                        },
                    }
                }
            }
            Data::Unknown(_) => return Ok(None),
            _ => return Ok(Some(scalar(value).ok_or(Cause::NotAWord(value.described()))?.text())),
        }
        Ok(Some(out))
    }

    fn constant_text(&self, index: u32) -> Result<&[u8], Cause> {
        at(self.program.constants, index)?.text.of(self.program.text).ok_or_else(|| bug("constant text"))
    }

    fn boolean(&self, value: &Value, what: &'static str) -> Result<bool, Cause> {
        match value.data {
            Data::Bool(bool) => Ok(bool),
            _ => Err(wrong(what, "a Bool", value)),
        }
    }

    fn label(&mut self, name: &str, operands: &[&Value], result: Data) -> Result<Value, Cause> {
        if operands.iter().all(|value| value.origin.is_none() && !matches!(value.data, Data::Text(Text::Pieces(_)) | Data::Unknown(_))) {
            return Ok(Value::plain(result));
        }
        let span = self.span();
        self.charge(256)?;
        label(&mut self.candidates, name, operands, result, self.program.text, span)
    }

    fn unknown_of(values: &[&Value]) -> Option<Value> {
        values.iter().find(|value| matches!(value.data, Data::Unknown(_))).map(|value| (*value).clone())
    }

    /// One instruction.
    fn step(&mut self, pc: u32, instruction: Instruction) -> Result<Flow, Cause> {
        let op = Op::from_code(instruction.op).ok_or_else(|| bug("operation"))?;
        let (b, c) = (usize::from(instruction.b.to_native()), instruction.c.to_native());
        match op {
            Op::Const => {
                let constant = at(self.program.constants, c)?;
                let value = self.load_constant(constant)?;
                self.stack.push(value);
            }
            Op::Pop => drop(self.pop()?),
            Op::Load => {
                let value = self.local(c)?.clone();
                if matches!(value.data, Data::Unset) {
                    return Err(Cause::Unset("a local variable".to_owned()));
                }
                self.stack.push(value);
            }
            Op::Store => {
                let value = self.pop()?;
                *self.local(c)? = value;
            }
            Op::LoadGlobal => {
                let value = at(&self.globals, c)?.clone();
                if matches!(value.data, Data::Unset) {
                    let name = at(self.program.globals, c)?.name.of(self.program.text).unwrap_or_default();
                    return Err(Cause::Unset(String::from_utf8_lossy(name).into_owned()));
                }
                self.stack.push(value);
            }
            Op::StoreGlobal => {
                let value = self.pop()?;
                *usize::try_from(c).ok().and_then(|index| self.globals.get_mut(index)).ok_or_else(|| bug("no such global"))? = value;
            }
            Op::Thunk => {
                let captures = self.pop_many(b)?;
                let value = self.thunk(c, captures)?;
                self.stack.push(value);
            }
            Op::Force => {
                if !self.force(1, false)? {
                    return Ok(Flow::Again);
                }
            }
            Op::Array => {
                self.charge(b as u64)?;
                let elements = self.pop_many(b)?;
                self.stack.push(Value::plain(Data::Array(elements.into())));
            }
            Op::Map => return self.map(b),
            Op::Index | Op::Field | Op::Length | Op::Elements | Op::Range => return self.collection(op, c),
            Op::Concat | Op::Quoted => return self.text_operation(op, b),
            Op::Add if self.force(2, false)? => return self.add(),
            Op::Subtract | Op::Multiply | Op::Divide | Op::Remainder if self.force(2, false)? => self.binary(op)?,
            Op::Equal | Op::NotEqual | Op::Less | Op::LessEqual | Op::Greater | Op::GreaterEqual | Op::Same if self.force(2, false)? => {
                self.comparison(op)?;
            }
            Op::Negate | Op::Not | Op::Convert | Op::Expect | Op::Matches if self.force(1, false)? => self.unary(op, instruction.a, c)?,
            Op::Add
            | Op::Subtract
            | Op::Multiply
            | Op::Divide
            | Op::Remainder
            | Op::Equal
            | Op::NotEqual
            | Op::Less
            | Op::LessEqual
            | Op::Greater
            | Op::GreaterEqual
            | Op::Same
            | Op::Negate
            | Op::Not
            | Op::Convert
            | Op::Expect
            | Op::Matches => return Ok(Flow::Again),
            Op::Resolve => return self.resolve_import(c),
            Op::And | Op::Or | Op::EndLogic => return self.logic(op, c),
            Op::If
            | Op::Else
            | Op::End
            | Op::For
            | Op::EndFor
            | Op::While
            | Op::WhileTest
            | Op::EndWhile
            | Op::Isolate
            | Op::EndIsolate => return self.block(op, pc, c),
            Op::Call => {
                let params = at(self.program.functions, c)?.params.to_native();
                let arguments = self.pop_many(usize::from(params))?;
                let frame = self.frames.last_mut().ok_or_else(|| bug("no frame"))?;
                frame.pc = pc.saturating_add(1);
                self.enter(c, arguments, None)?;
                return Ok(Flow::Stay);
            }
            Op::Return => return self.end_function(),
            Op::Shell | Op::Let => {
                let template = at(self.program.templates, c)?;
                let holes = usize::try_from(template.holes.to_native()).map_err(|_| bug("holes"))?;
                if !self.force(holes, true)? {
                    return Ok(Flow::Again);
                }
                let values = self.pop_many(holes)?;
                let kind = if op == Op::Let { NodeKind::Let } else { NodeKind::Shell };
                let node = self.emit_template(kind, template, &values)?;
                if op == Op::Let {
                    self.stack.push(Value::plain(Data::Binding(node)));
                }
            }
            Op::Open => return self.open(c),
            Op::Close => {
                self.control.pop();
                self.out.close()?;
            }
        }
        Ok(Flow::Next)
    }

    fn load_constant(&self, constant: &opal_format::program::Constant) -> Result<Value, Cause> {
        let scalar = constant.scalar.to_native();
        Ok(Value::plain(match ValueType::from_number(constant.value_type).ok_or_else(|| bug("constant type"))? {
            ValueType::String => Data::Text(Text::Constant(constant.text.offset.to_native(), constant.text.length.to_native())),
            ValueType::Int => Data::Int(scalar),
            ValueType::Float => Data::Float(f64::from_bits(scalar.cast_unsigned())),
            ValueType::Bool => Data::Bool(scalar != 0),
            ValueType::Duration => Data::Duration(scalar),
            ValueType::Array | ValueType::Map => return Err(bug("constant type")),
        }))
    }

    fn end_function(&mut self) -> Result<Flow, Cause> {
        let frame = self.frames.last().ok_or_else(|| bug("no frame"))?;
        if let Some(thunk) = frame.thunk {
            if !self.force(1, false)? {
                return Ok(Flow::Again);
            }
            let value = self.pop()?;
            if let Some(state) = usize::try_from(thunk).ok().and_then(|index| self.thunks.get_mut(index)) {
                *state = Thunk::Done(value);
            }
        } else {
            self.calls = self.calls.saturating_sub(1);
        }
        if self.frames.len() == 1 {
            return Ok(Flow::Finished);
        }
        if let Some(frame) = self.frames.pop() {
            self.locals.truncate(frame.locals);
        }
        Ok(Flow::Stay)
    }

    fn map(&mut self, pairs: usize) -> Result<Flow, Cause> {
        let count = pairs.checked_mul(2).ok_or_else(|| bug("map"))?;
        // Only keys are needed now; they stand at even places.
        if !self.force(count, false)? {
            return Ok(Flow::Again);
        }
        self.charge(count as u64)?;
        let flat = self.pop_many(count)?;
        let mut entries: Vec<(Rc<[u8]>, Value)> = Vec::with_capacity(pairs);
        let mut seen = std::collections::HashSet::new();
        for pair in flat.chunks_exact(2) {
            let [key, value] = pair else { return Err(bug("map")) };
            if !matches!(key.data, Data::Text(_)) {
                return Err(wrong("a key of a Map", "a String", key));
            }
            if let Some(secret) = self.candidates.secret_of(key)? {
                return Err(Cause::SecretStructure { what: "a key of a Map", key: secret });
            }
            let bytes: Rc<[u8]> = self.text_of(key)?.unwrap_or_default().as_slice().into();
            if !seen.insert(Rc::clone(&bytes)) {
                return Err(Cause::DuplicateKey(bytes.escape_ascii().to_string()));
            }
            entries.push((bytes, value.clone()));
        }
        self.stack.push(Value::plain(Data::Map(entries.into())));
        Ok(Flow::Next)
    }

    fn collection(&mut self, op: Op, c: u32) -> Result<Flow, Cause> {
        let operands = if matches!(op, Op::Index | Op::Range) { 2 } else { 1 };
        if !self.force(operands, false)? {
            return Ok(Flow::Again);
        }
        if op == Op::Range {
            let (last, first) = (self.pop()?, self.pop()?);
            if let Some(unknown) = Self::unknown_of(&[&first, &last]) {
                self.stack.push(unknown);
                return Ok(Flow::Next);
            }
            let (Data::Int(from), Data::Int(to)) = (&first.data, &last.data) else {
                return Err(wrong("a range", "two Ints", if matches!(first.data, Data::Int(_)) { &last } else { &first }));
            };
            if to < from {
                return Err(Cause::BackwardRange { first: *from, last: *to });
            }
            let value = self.label("range", &[&first, &last], Data::Range(*from, *to))?;
            self.stack.push(value);
            return Ok(Flow::Next);
        }
        let index = if op == Op::Index { Some(self.pop()?) } else { None };
        let collection = self.pop()?;
        if let Some(unknown) = Self::unknown_of(&[&collection]).or_else(|| index.as_ref().and_then(|index| Self::unknown_of(&[index]))) {
            self.stack.push(unknown);
            return Ok(Flow::Next);
        }
        let value = match (op, &collection.data) {
            (Op::Length, Data::Array(elements)) => self.length(&collection, elements.len() as u64)?,
            (Op::Length, Data::Map(entries)) => self.length(&collection, entries.len() as u64)?,
            (Op::Length, Data::Range(first, last)) => self.length(&collection, range_length(*first, *last))?,
            (Op::Elements, Data::Array(_) | Data::Range(..)) => collection,
            (Op::Elements, Data::Map(entries)) => {
                self.charge(entries.len() as u64)?;
                let elements: Vec<Value> = entries.iter().map(|(_, value)| value.clone()).collect();
                Value { data: Data::Array(elements.into()), origin: collection.origin }
            }
            (Op::Field, Data::Map(entries)) => {
                self.charge(entries.len() as u64 / 16)?;
                let key = self.constant_text(c)?;
                let found = entries.iter().find(|(name, _)| **name == *key).map(|(_, value)| value.clone());
                found.ok_or_else(|| Cause::NoSuchKey(key.escape_ascii().to_string()))?
            }
            (Op::Index, _) => {
                let index = index.ok_or_else(|| bug("index"))?;
                return self.index(&collection, &index);
            }
            (Op::Field, _) => return Err(wrong("a field", "a Map", &collection)),
            _ => return Err(wrong(if op == Op::Length { "`.length`" } else { "`.*`" }, "an Array or a Map", &collection)),
        };
        self.stack.push(value);
        Ok(Flow::Next)
    }

    fn length(&mut self, collection: &Value, length: u64) -> Result<Value, Cause> {
        self.label("length", &[collection], Data::Int(i64::try_from(length).map_err(|_| Cause::Overflow("the length"))?))
    }

    fn index(&mut self, collection: &Value, index: &Value) -> Result<Flow, Cause> {
        let element = match (&collection.data, &index.data) {
            (Data::Array(elements), Data::Int(at)) => usize::try_from(*at)
                .ok()
                .and_then(|at| elements.get(at))
                .cloned()
                .ok_or(Cause::IndexOutOfRange { index: *at, length: elements.len() as u64 })?,
            (Data::Range(first, last), Data::Int(at)) => {
                let value = first.checked_add(*at).filter(|value| *at >= 0 && value <= last);
                let length = range_length(*first, *last);
                Value::plain(Data::Int(value.ok_or(Cause::IndexOutOfRange { index: *at, length })?))
            }
            (Data::Map(entries), Data::Text(_)) => {
                let key = self.text_of(index)?.unwrap_or_default();
                self.charge(entries.len() as u64 / 16)?;
                let name = self.candidates.secret_of(index)?.unwrap_or_else(|| key.escape_ascii().to_string());
                entries.iter().find(|(name, _)| **name == **key).map(|(_, value)| value.clone()).ok_or(Cause::NoSuchKey(name))?
            }
            (Data::Map(_), _) => return Err(wrong("an index into a Map", "a String", index)),
            (Data::Array(_) | Data::Range(..), _) => return Err(wrong("an index into an Array", "an Int", index)),
            _ => return Err(wrong("an index", "an Array or a Map", collection)),
        };
        if self.candidates.origins(index).is_empty() && collection.origin.is_none() {
            self.stack.push(element);
            return Ok(Flow::Next);
        }
        // Which element was chosen is as secret as the index.
        self.stack.push(element);
        if !self.force(1, false)? {
            // The element is evaluated first; then the whole instruction runs again.
            let depth = self.stack.len().checked_sub(1).ok_or_else(|| bug("stack"))?;
            self.stack.truncate(depth);
            self.stack.push(collection.clone());
            self.stack.push(index.clone());
            return Ok(Flow::Again);
        }
        let element = self.pop()?;
        let value = if let Data::Text(_) = element.data {
            let key = format!(
                "element({}, {})",
                self.candidates.key_of(index, self.program.text)?,
                self.candidates.key_of(&element, self.program.text)?
            );
            let mut from = self.candidates.origins(index);
            from.extend(self.candidates.origins(&element));
            from.extend(collection.origin);
            let text = self.text_of(&element)?.unwrap_or_default();
            let span = self.span();
            computed_text(&mut self.candidates, key, Scalar::String(text), from, span)?
        } else {
            self.label("element", &[index, &element], element.data.clone())?
        };
        self.stack.push(value);
        Ok(Flow::Next)
    }

    fn text_operation(&mut self, op: Op, count: usize) -> Result<Flow, Cause> {
        let count = if op == Op::Concat { count } else { 1 };
        if !self.force(count, true)? {
            return Ok(Flow::Again);
        }
        let values = self.pop_many(count)?;
        if let Some(unknown) = Self::unknown_of(&values.iter().collect::<Vec<_>>()) {
            self.stack.push(unknown);
            return Ok(Flow::Next);
        }
        if op == Op::Quoted {
            let [value] = values.as_slice() else { return Err(bug("quoted")) };
            let text = self.text_of(value)?.unwrap_or_default();
            let quoted = Zeroizing::new(super::emit::quoted(&text, opal_format::kind::Position::CommandWord, false));
            let from = self.candidates.origins(value);
            let result = if from.is_empty() {
                Value::bytes(&quoted)
            } else {
                let key = format!("quoted({})", self.candidates.key_of(value, self.program.text)?);
                let span = self.span();
                computed_text(&mut self.candidates, key, Scalar::String(quoted), from, span)?
            };
            self.stack.push(result);
            return Ok(Flow::Next);
        }
        let joined = self.concat(&values)?;
        self.stack.push(joined);
        Ok(Flow::Next)
    }

    /// Joins texts, keeping slots as references and merging verbatim bytes.
    fn concat(&mut self, values: &[Value]) -> Result<Value, Cause> {
        let mut pieces: Vec<Piece> = Vec::new();
        let mut bytes: Vec<u8> = Vec::new();
        for value in values {
            self.concat_one(value, &mut pieces, &mut bytes)?;
        }
        if !bytes.is_empty() || pieces.is_empty() {
            pieces.push(Piece::Bytes(bytes.into()));
        }
        Ok(Value::plain(Data::Text(Text::Pieces(pieces.into()))))
    }

    fn concat_one(&mut self, value: &Value, pieces: &mut Vec<Piece>, bytes: &mut Vec<u8>) -> Result<(), Cause> {
        let mut flush = |bytes: &mut Vec<u8>, piece: Piece| {
            if !bytes.is_empty() {
                pieces.push(Piece::Bytes(std::mem::take(bytes).into()));
            }
            pieces.push(piece);
        };
        match &value.data {
            Data::Text(Text::Constant(offset, length)) => {
                bytes.extend_from_slice(TextRef::new(*offset, *length).of(self.program.text).unwrap_or_default());
            }
            Data::Text(Text::Pieces(parts)) => {
                for part in parts.iter() {
                    match part {
                        Piece::Bytes(more) => bytes.extend_from_slice(more),
                        Piece::Slot(_) => flush(bytes, part.clone()),
                    }
                }
                self.charge(parts.len() as u64)?;
            }
            Data::Array(elements) => {
                if let Some(key) = value.origin.map(|_| self.candidates.secret_of(value)).transpose()?.flatten() {
                    return Err(Cause::SecretStructure { what: "the number of elements", key });
                }
                for (index, element) in elements.iter().enumerate() {
                    if index > 0 {
                        bytes.push(b' ');
                    }
                    let element = self.settled(element);
                    if matches!(element.data, Data::Array(_) | Data::Map(_)) {
                        return Err(Cause::NotAWord("a nested collection"));
                    }
                    // One level: elements are scalars here.
                    self.concat_one(&element, pieces, bytes)?;
                }
                return Ok(());
            }
            _ => match value.origin {
                Some(origin) => flush(bytes, Piece::Slot(origin)),
                None => bytes.extend_from_slice(&scalar(value).ok_or(Cause::NotAWord(value.described()))?.text()),
            },
        }
        self.charge(bytes.len() as u64)
    }

    fn add(&mut self) -> Result<Flow, Cause> {
        let texts = self.stack.iter().rev().take(2).filter(|value| matches!(value.data, Data::Text(_))).count();
        if texts == 2 {
            let values = self.pop_many(2)?;
            let joined = self.concat(&values)?;
            self.stack.push(joined);
        } else {
            self.binary(Op::Add)?;
        }
        Ok(Flow::Next)
    }

    fn binary(&mut self, op: Op) -> Result<(), Cause> {
        let (right, left) = (self.pop()?, self.pop()?);
        let value = match Self::unknown_of(&[&left, &right]) {
            Some(unknown) => unknown,
            None => {
                let result = binary(op, &left, &right)?;
                self.label(op.row().name, &[&left, &right], result)?
            }
        };
        self.stack.push(value);
        Ok(())
    }

    fn comparison(&mut self, op: Op) -> Result<(), Cause> {
        let (right, left) = (self.pop()?, self.pop()?);
        if let Some(unknown) = Self::unknown_of(&[&left, &right]) {
            self.stack.push(unknown);
            return Ok(());
        }
        let texts = match (&left.data, &right.data) {
            (Data::Text(_), Data::Text(_)) => Some((self.text_of(&left)?.unwrap_or_default(), self.text_of(&right)?.unwrap_or_default())),
            _ => None,
        };
        if let Some((a, b)) = &texts {
            self.charge(a.len().min(b.len()) as u64)?;
        }
        let order = compare(&left, &right, texts.as_ref().map(|(a, b)| (a.as_slice(), b.as_slice())));
        let ordered = !matches!(left.data, Data::Bool(_));
        let result = match (op, order) {
            (Op::Same, order) => order == Some(Ordering::Equal),
            (Op::Equal, Some(order)) => order == Ordering::Equal,
            (Op::NotEqual, Some(order)) => order != Ordering::Equal,
            (Op::Less, Some(order)) if ordered => order == Ordering::Less,
            (Op::LessEqual, Some(order)) if ordered => order != Ordering::Greater,
            (Op::Greater, Some(order)) if ordered => order == Ordering::Greater,
            (Op::GreaterEqual, Some(order)) if ordered => order != Ordering::Less,
            _ => {
                return Err(Cause::Type {
                    what: verb(op).to_owned(),
                    expected: "two values of one type".to_owned(),
                    found: format!("{} and {}", left.described(), right.described()),
                });
            }
        };
        let value = self.label(op.row().name, &[&left, &right], Data::Bool(result))?;
        self.stack.push(value);
        Ok(())
    }

    fn unary(&mut self, op: Op, a: u8, c: u32) -> Result<(), Cause> {
        let value = self.pop()?;
        if matches!(value.data, Data::Unknown(_)) {
            self.stack.push(value);
            return Ok(());
        }
        let result = match op {
            Op::Negate => self.label("negate", &[&value], negate(&value)?)?,
            Op::Not => {
                let bool = self.boolean(&value, "`!`")?;
                self.label("not", &[&value], Data::Bool(!bool))?
            }
            Op::Expect => {
                let expected = ValueType::from_number(a).ok_or_else(|| bug("type"))?;
                if value.value_type() != Some(expected) {
                    let name = format!("`{}`", String::from_utf8_lossy(self.constant_text(c)?));
                    return Err(Cause::Type { what: name, expected: expected.name().to_owned(), found: value.described().to_owned() });
                }
                value
            }
            Op::Convert => self.convert(&value, ValueType::from_number(a).ok_or_else(|| bug("type"))?)?,
            _ => {
                let text = self.text_of(&value)?.unwrap_or_default();
                self.charge(text.len() as u64)?;
                let pattern = std::str::from_utf8(self.constant_text(c)?).map_err(|_| bug("pattern"))?;
                let regex =
                    regex_lite::RegexBuilder::new(pattern).size_limit(1 << 20).build().map_err(|error| Cause::Regex(error.to_string()))?;
                let matched = std::str::from_utf8(&text).is_ok_and(|text| regex.is_match(text));
                let name = format!("matches {}", super::candidates::quote(pattern.as_bytes()));
                self.label(&name, &[&value], Data::Bool(matched))?
            }
        };
        self.stack.push(result);
        Ok(())
    }

    fn convert(&mut self, value: &Value, to: ValueType) -> Result<Value, Cause> {
        if value.value_type() == Some(to) {
            return Ok(value.clone());
        }
        if to == ValueType::String && value.origin.is_some() {
            return self.concat(std::slice::from_ref(value));
        }
        let text = match value.data {
            Data::Text(_) => self.text_of(value)?,
            _ => None,
        };
        let key = self.candidates.key_of(value, self.program.text)?;
        let result = match convert(value, text.as_ref().map(|text| text.as_slice()), to, &key)? {
            Scalar::String(bytes) => return Ok(Value::bytes(&bytes)),
            Scalar::Int(int) => Data::Int(int),
            Scalar::Float(float) => Data::Float(float),
            Scalar::Bool(bool) => Data::Bool(bool),
            Scalar::Duration(nanoseconds) => Data::Duration(nanoseconds),
        };
        self.label(&to.name().to_lowercase(), &[value], result)
    }

    fn resolve_import(&mut self, c: u32) -> Result<Flow, Cause> {
        let import = at(self.program.imports, c)?;
        let args = import.args.of(self.program.import_args).ok_or_else(|| bug("import arguments"))?;
        let computed = args.iter().filter(|arg| arg.computed == 1).count();
        if !self.force(computed, false)? {
            return Ok(Flow::Again);
        }
        let mut values = self.pop_many(computed)?.into_iter();
        let decorator = import.decorator.to_native();
        let row = decorators::value_decorator(decorator).ok_or_else(|| bug("decorator"))?;
        let mut arguments = Vec::with_capacity(args.len());
        for arg in args {
            let value = if arg.computed == 1 {
                values.next().ok_or_else(|| bug("import arguments"))?
            } else {
                self.load_constant(at(self.program.constants, arg.constant.to_native())?)?
            };
            let param = row.params.get(usize::from(arg.param)).ok_or_else(|| bug("parameter"))?;
            let name = param.names.first().copied().unwrap_or_default();
            if let Data::Unknown(_) = value.data {
                self.stack.push(value);
                return Ok(Flow::Next);
            }
            if !value.value_type().is_some_and(|found| param.accepts.accepts(found)) {
                return Err(wrong(&format!("`{name}` of `@{}`", row.name), param.accepts.name(), &value));
            }
            let text = match value.data {
                Data::Text(_) => self.text_of(&value)?,
                _ => None,
            };
            if name != "public" {
                arguments.push(Argument { param: arg.param, value, text });
            }
        }
        let candidate = self.resolve_named(decorator, arguments, import.flags.to_native() & IMPORT_PUBLIC != 0, import.span)?;
        let value = match &self.candidates.entry(candidate)?.value {
            Some(scalar) => scalar.to_value(candidate),
            None => Value::plain(Data::Unknown(candidate)),
        };
        self.stack.push(value);
        Ok(Flow::Next)
    }

    /// Resolves once per decorator and arguments; seeded ones each time they are evaluated.
    fn resolve_named(&mut self, decorator: u16, arguments: Vec<Argument>, marked: bool, span: Span) -> Result<Candidate, Cause> {
        let row = decorators::value_decorator(decorator).ok_or_else(|| bug("decorator"))?;
        let mut key = self.import_key(row, &arguments, marked)?;
        let public = is_public(decorator, &arguments, marked, self.options)?;
        if row.seeded {
            self.seeded = self.seeded.saturating_add(1);
            key = format!("{key}#{}", self.seeded);
        } else if let Some(candidate) = self.candidates.find(&key) {
            return Ok(candidate);
        }
        let value = if self.options.mode == Mode::Quick && row.cost == Cost::Expensive {
            None
        } else {
            let scalar = resolve(decorator, &arguments, &key, self.seeded, self.reality, self.options.seed)?;
            self.charge(scalar.text().len() as u64)?;
            if let Scalar::String(bytes) = &scalar
                && bytes.contains(&0)
            {
                return Err(Cause::NulByte(key));
            }
            Some(scalar)
        };
        let operands = arguments.iter().flat_map(|argument| self.candidates.origins(&argument.value)).collect();
        let resolved = value.is_some();
        let candidate =
            self.candidates.add(Entry { key, value, decorator, public, seeded: row.seeded, shapes: false, operands, span, slot: None })?;
        if resolved {
            // What was read is part of the contract, whether or not a step shows it.
            self.use_slot(candidate)?;
        }
        Ok(candidate)
    }

    /// `env.NAME`, `env.NAME(default=3, public=true)`, `file.read("p")`.
    fn import_key(&self, row: &decorators::ValueDecorator, arguments: &[Argument], public: bool) -> Result<String, Cause> {
        let mut key = row.name.to_owned();
        let mut rest = arguments;
        if row.shape == decorators::Shape::Key
            && let [first, others @ ..] = arguments
        {
            key.push('.');
            key.push_str(&first.text.as_ref().map_or_else(String::new, |name| name.escape_ascii().to_string()));
            rest = others;
        }
        let mut listed = Vec::with_capacity(rest.len());
        for argument in rest {
            let value = self.candidates.key_of(&argument.value, self.program.text)?;
            // The first parameter of a call reads well without its name.
            listed.push(if argument.param == 0 {
                value
            } else {
                let name = row.params.get(usize::from(argument.param)).and_then(|param| param.names.first()).copied().unwrap_or_default();
                format!("{name}={value}")
            });
        }
        if public {
            listed.push("public=true".to_owned());
        }
        if !listed.is_empty() || row.shape == decorators::Shape::Call {
            key.push_str(&format!("({})", listed.join(", ")));
        }
        Ok(super::candidates::bounded(key))
    }

    fn logic(&mut self, op: Op, target: u32) -> Result<Flow, Cause> {
        if !self.force(1, false)? {
            return Ok(Flow::Again);
        }
        let value = self.pop()?;
        let unknown = matches!(value.data, Data::Unknown(_));
        if op != Op::EndLogic {
            let short = !unknown && self.boolean(&value, if op == Op::And { "`&&`" } else { "`||`" })? == (op == Op::Or);
            if short {
                self.stack.push(value);
                return Ok(Flow::Jump(target.saturating_add(1)));
            }
            self.control.push(Control::Logic(op, value));
            return Ok(Flow::Next);
        }
        let Some(Control::Logic(op, first)) = self.control.pop() else { return Err(bug("logic")) };
        let result = match Self::unknown_of(&[&first, &value]) {
            Some(unknown) => unknown,
            None => {
                // The first operand did not decide, so the result is the second.
                let bool = self.boolean(&value, if op == Op::And { "`&&`" } else { "`||`" })?;
                self.label(op.row().name, &[&first, &value], Data::Bool(bool))?
            }
        };
        self.stack.push(result);
        Ok(Flow::Next)
    }

    fn block(&mut self, op: Op, pc: u32, c: u32) -> Result<Flow, Cause> {
        let block = |machine: &Self| at(machine.program.blocks, c).copied();
        match op {
            Op::If => {
                if !self.force(1, false)? {
                    return Ok(Flow::Again);
                }
                let block = block(self)?;
                let condition = self.pop()?;
                if matches!(condition.data, Data::Unknown(_)) {
                    let before = self.snapshot(block.assigns)?;
                    self.control.push(Control::Both { assigns: block.assigns, before, first: None });
                    return Ok(Flow::Next);
                }
                let taken = self.boolean(&condition, "`if`")?;
                self.candidates.mark_shapes(&condition)?;
                if taken {
                    self.control.push(Control::If);
                    return Ok(Flow::Next);
                }
                // To the instruction after `else`; or, where there is none, past `end`.
                let target = block.target.to_native();
                if at(self.program.code, target)?.op == Op::Else as u8 {
                    self.control.push(Control::If);
                }
                Ok(Flow::Jump(target.saturating_add(1)))
            }
            Op::Else => {
                if let Some(Control::Both { assigns, before, first: None }) = self.control.last() {
                    let (assigns, before) = (*assigns, before.clone());
                    let after = self.snapshot(assigns)?;
                    self.restore(assigns, before)?;
                    if let Some(Control::Both { first, .. }) = self.control.last_mut() {
                        *first = Some(after);
                    }
                    return Ok(Flow::Next);
                }
                Ok(Flow::Jump(c))
            }
            Op::End => {
                if let Some(Control::Both { assigns, .. }) = self.control.pop() {
                    self.forget(assigns)?;
                }
                Ok(Flow::Next)
            }
            Op::For => self.start_for(pc, &block(self)?),
            Op::EndFor => self.next_element(),
            Op::While => {
                let block = block(self)?;
                self.control.push(Control::While { start: pc.saturating_add(1), end: block.target.to_native(), assigns: block.assigns });
                Ok(Flow::Next)
            }
            Op::WhileTest => {
                if !self.force(1, false)? {
                    return Ok(Flow::Again);
                }
                let condition = self.pop()?;
                let Some(Control::While { end, assigns, .. }) = self.control.last() else { return Err(bug("while")) };
                let (end, assigns) = (*end, *assigns);
                if matches!(condition.data, Data::Unknown(_)) {
                    self.control.pop();
                    self.control.push(Control::Once { assigns });
                    return Ok(Flow::Next);
                }
                if let Some(key) = self.candidates.secret_of(&condition)? {
                    return Err(Cause::SecretStructure { what: "the condition of a `while`", key });
                }
                self.candidates.mark_shapes(&condition)?;
                if self.boolean(&condition, "`while`")? {
                    return Ok(Flow::Next);
                }
                self.control.pop();
                Ok(Flow::Jump(end.saturating_add(1)))
            }
            Op::EndWhile => match self.control.last() {
                Some(Control::While { start, .. }) => Ok(Flow::Jump(*start)),
                Some(Control::Once { .. }) => self.end_once(),
                _ => Err(bug("while")),
            },
            Op::Isolate => {
                let assigns = block(self)?.assigns;
                let before = self.snapshot(assigns)?;
                self.control.push(Control::Isolate { assigns, before });
                Ok(Flow::Next)
            }
            _ => {
                let Some(Control::Isolate { assigns, before }) = self.control.pop() else { return Err(bug("isolate")) };
                self.restore(assigns, before)?;
                Ok(Flow::Next)
            }
        }
    }

    fn start_for(&mut self, pc: u32, block: &opal_format::program::Block) -> Result<Flow, Cause> {
        if !self.force(1, false)? {
            return Ok(Flow::Again);
        }
        let collection = self.pop()?;
        if block.flags.to_native() & 1 == 1 {
            self.matrix = true;
        }
        let body = pc.saturating_add(1);
        let variable = block.variable.to_native();
        if let Data::Unknown(_) = collection.data {
            *self.local(u32::from(variable))? = collection;
            self.control.push(Control::Once { assigns: block.assigns });
            return Ok(Flow::Next);
        }
        if !matches!(collection.data, Data::Array(_) | Data::Range(..)) {
            return Err(wrong("`for`", "an Array or a range", &collection));
        }
        if collection.origin.is_some() {
            if let Some(key) = self.candidates.secret_of(&collection)? {
                return Err(Cause::SecretStructure { what: "the bound of a `for`", key });
            }
            self.candidates.mark_shapes(&collection)?;
        }
        self.control.push(Control::For { collection, next: 0, variable, body });
        // `end_for` advances to the first element, or leaves.
        Ok(Flow::Jump(block.target.to_native()))
    }

    fn next_element(&mut self) -> Result<Flow, Cause> {
        match self.control.last_mut() {
            Some(Control::Once { .. }) => self.end_once(),
            Some(Control::For { collection, next, variable, body }) => {
                let at = *next;
                let element = match &collection.data {
                    Data::Array(elements) => usize::try_from(at).ok().and_then(|at| elements.get(at)).cloned(),
                    Data::Range(first, last) => i64::try_from(at)
                        .ok()
                        .and_then(|at| first.checked_add(at))
                        .filter(|int| int <= last)
                        .map(|int| Value::plain(Data::Int(int))),
                    _ => None,
                };
                let (variable, body) = (*variable, *body);
                *next = at.saturating_add(1);
                match element {
                    Some(element) => {
                        *self.local(u32::from(variable))? = element;
                        Ok(Flow::Jump(body))
                    }
                    None => {
                        self.control.pop();
                        Ok(Flow::Next)
                    }
                }
            }
            _ => Err(bug("for")),
        }
    }

    fn end_once(&mut self) -> Result<Flow, Cause> {
        let Some(Control::Once { assigns }) = self.control.pop() else { return Err(bug("loop")) };
        self.forget(assigns)?;
        Ok(Flow::Next)
    }

    /// Starts a node and gives it its arguments.
    fn open(&mut self, c: u32) -> Result<Flow, Cause> {
        let node = at(self.program.nodes, c)?;
        let kind = NodeKind::from_number(node.kind.to_native()).ok_or_else(|| bug("node kind"))?;
        let params = node.params.of(self.program.params).ok_or_else(|| bug("node parameters"))?;
        if !self.force(params.len(), true)? {
            return Ok(Flow::Again);
        }
        let values = self.pop_many(params.len())?;
        let header = self.out.intern(node.header, self.program.text)?;
        let mark = self.out.args_mark()?;
        let opened = self.out.open(kind, header, node.span)?;
        let rows = decorators::node_params(kind);
        for (param, value) in params.iter().zip(&values) {
            let row = rows.get(usize::from(*param)).ok_or_else(|| bug("parameter"))?;
            self.argument(kind, *param, row, value)?;
        }
        self.out.set_args(opened, mark)?;
        self.control.push(Control::Node);
        Ok(Flow::Next)
    }

    fn argument(&mut self, kind: NodeKind, param: u8, row: &decorators::Param, value: &Value) -> Result<(), Cause> {
        let name = row.names.first().copied().unwrap_or_default();
        let what = || format!("`{name}` of `{}`", kind.name());
        if let (decorators::ParamType::Strings, Data::Array(elements)) = (row.accepts, &value.data) {
            for element in elements.iter() {
                let element = self.settled(element);
                if !matches!(element.data, Data::Text(_)) {
                    return Err(wrong(&what(), row.accepts.name(), &element));
                }
                self.emit_text_argument(param, &element)?;
            }
            return Ok(());
        }
        if let Data::Unknown(candidate) = value.data {
            let slot = self.use_slot(candidate)?;
            let wanted = match row.accepts {
                decorators::ParamType::Of(value_type) => value_type,
                _ => ValueType::Int,
            };
            self.out.scalar_arg(param, wanted, 0, Some(slot));
            return Ok(());
        }
        let found =
            value.value_type().filter(|found| row.accepts.accepts(*found)).ok_or_else(|| wrong(&what(), row.accepts.name(), value))?;
        check_bounds(kind, param, value).map_err(|expected| Cause::OutOfBounds { what: what(), expected })?;
        if found == ValueType::String {
            return self.emit_text_argument(param, value);
        }
        if let Some(origin) = value.origin {
            let slot = self.use_slot(origin)?;
            self.out.scalar_arg(param, found, 0, Some(slot));
            return Ok(());
        }
        let scalar = match value.data {
            Data::Int(int) => int,
            // Decorators clamp negative durations (DESIGN §3).
            Data::Duration(nanoseconds) => nanoseconds.max(0),
            Data::Bool(bool) => i64::from(bool),
            Data::Float(float) => float.to_bits().cast_signed(),
            _ => return Err(bug("argument")),
        };
        self.out.scalar_arg(param, found, scalar, None);
        Ok(())
    }
}

/// Bounds of arguments beyond their types.
fn check_bounds(kind: NodeKind, param: u8, value: &Value) -> Result<(), &'static str> {
    use crate::decorators::params::{PARALLEL_MAX_CONCURRENCY, PARALLEL_TOLERATE, RETRY_ATTEMPTS, RETRY_BACKOFF};
    let int = if let Data::Int(int) = value.data { Some(int) } else { None };
    match (kind, param) {
        (NodeKind::Retry, RETRY_ATTEMPTS) if int.is_some_and(|int| !(1..=1_000_000).contains(&int)) => Err("1 to 1000000"),
        (NodeKind::Retry, RETRY_BACKOFF) => {
            let below = match value.data {
                Data::Int(int) => int < 1,
                Data::Float(float) => float < 1.0,
                _ => false,
            };
            if below { Err("at least 1") } else { Ok(()) }
        }
        (NodeKind::Parallel, PARALLEL_MAX_CONCURRENCY) if int.is_some_and(|int| !(1..=1024).contains(&int)) => Err("1 to 1024"),
        (NodeKind::Parallel, PARALLEL_TOLERATE) if int.is_some_and(|int| int < 0) => Err("at least 0"),
        _ => Ok(()),
    }
}

pub(super) fn range_length(first: i64, last: i64) -> u64 {
    u64::try_from(i128::from(last).saturating_sub(i128::from(first)).saturating_add(1)).unwrap_or(0)
}

/// A bound argument as a value. Collections are taken one level deep at a time from a work list, since arguments come from a file.
fn constant(value: &CanonicalValue) -> Result<Value, Cause> {
    Ok(match value {
        CanonicalValue::String(bytes) => Value::bytes(bytes),
        CanonicalValue::Int(int) => Value::plain(Data::Int(*int)),
        CanonicalValue::Float(float) => Value::plain(Data::Float(*float)),
        CanonicalValue::Bool(bool) => Value::plain(Data::Bool(*bool)),
        CanonicalValue::Duration(nanoseconds) => Value::plain(Data::Duration(*nanoseconds)),
        CanonicalValue::Array(_) | CanonicalValue::Map(_) => {
            return Err(Cause::Argument("a command-line argument cannot be an Array or a Map".to_owned()));
        }
    })
}
