//! The interpreter. The verifier has proved shape, so every lookup here succeeds; where one could not, the answer is an internal error, never
//! a panic. Evaluation is lazy through thunks: an instruction that needs a value not evaluated yet starts its thunk and runs again afterwards.
//!
//! Fuel pays for memory as well as for work, at [`VALUE`] a value: what the machine keeps (captures, elements, pieces, candidates, steps) when it is
//! made, and its stacks by their greatest height. So how deeply values need each other is bounded by fuel, and so is all memory.

use super::arithmetic::{scalar, wrong};
use super::candidates::{Candidates, Entry, KEY_MAX, bounded};
use super::emit::Emitter;
use super::error::{Cause, PlanError};
use super::reality::Reality;
use super::resolve::{Argument, Asked, Given, Here, Resolver};
use super::value::{Candidate, Data, Nested, Piece, Scalar, Text, Value};
use super::{Draft, Inputs, Options, Plan, Stopped, Unfinished};
use crate::decorators::{self};
use crate::program::table::{Op, limits};
use crate::program::verify::Verified;
use opal_format::canonical::CanonicalValue;
use opal_format::kind::{NodeKind, ValueType};
use opal_format::program::{Instruction, ProgramView, Variable};
use opal_format::record::{Range, Span, TextRef};
use std::collections::HashMap;
use std::rc::Rc;
use zeroize::Zeroizing;

/// Fuel for one value that is kept: half its size in bytes.
pub(super) const VALUE: u64 = 16;

/// Fuel for one entry of the operand stack, the locals, the frames and the open blocks.
const HEIGHTS: [u64; 4] = [VALUE, VALUE, VALUE, 3 * VALUE];

/// Fuel for a candidate, apart from its key and operands.
pub(super) const CANDIDATE: u64 = 128;

/// A call in progress.
struct Frame {
    /// Position of the current instruction.
    pc: u32,
    /// How many of its operands are evaluated already.
    evaluated: usize,
    /// First of its locals.
    pub(super) locals: usize,
    /// The thunk that it evaluates, if it is one.
    thunk: Option<u32>,
}

/// A block in progress.
pub(super) enum Control {
    /// `and`, `or`: the operation and its first operand.
    Logic(Op, Value),
    /// `if` on a known condition.
    If,
    /// `if` on an unknown condition: both arms are planned, each from a copy.
    Both { assigns: Range, before: Vec<Value>, second: bool, slot: u32 },
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
pub(super) enum Flow {
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
    pub(super) program: ProgramView<'a>,
    pub(super) candidates: Candidates,
    pub(super) out: Emitter,
    pub(super) inputs: &'a Inputs<'a>,
    pub(super) resolver: &'a dyn Resolver,
    pub(super) stack: Vec<Value>,
    pub(super) locals: Vec<Value>,
    pub(super) globals: Vec<Value>,
    frames: Vec<Frame>,
    pub(super) control: Vec<Control>,
    thunks: Vec<Thunk>,
    /// Greatest heights of the stacks so far, in the order of [`HEIGHTS`].
    peaks: [usize; 4],
    /// The Array that was last searched for elements to evaluate, and how many of its first ones are. Holding it keeps it distinct from others.
    searched: Option<(Rc<Nested<Value>>, usize)>,
    /// Regular expressions in use, by constant, each with its fuel per byte of text.
    pub(super) patterns: HashMap<u32, (Rc<regex_lite::Regex>, u64)>,
    /// Frames that are calls of commands.
    calls: u32,
    fuel: u64,
    pub(super) seeded: u64,
}

/// Plans a verified program.
///
/// # Errors
/// The cause for which there is no plan, and its place in the source.
pub fn plan(program: &Verified<'_>, reality: &dyn Reality, options: &Options<'_>) -> Result<Plan, PlanError> {
    plan_or_slots(program, reality, options).map_err(|stopped| stopped.error)
}

/// Plans as [`plan`] does, and keeps what was resolved where there is no plan.
///
/// # Errors
/// The cause for which there is no plan, its place in the source, and the values until then.
pub fn plan_or_slots(program: &Verified<'_>, reality: &dyn Reality, options: &Options<'_>) -> Result<Plan, Stopped> {
    let here = Here::new(reality, options.seed, options.regen);
    let drafted = draft(program, &here, &options.inputs());
    let sub_keys = here.into_sub_keys();
    let failed = |cause| Stopped { error: PlanError { cause, span: Span::NONE }, slots: Box::default() };
    match drafted {
        Ok(draft) => Ok(Plan { sub_keys, ..draft.seal(program.view(), options.seed).map_err(failed)? }),
        Err(unfinished) => {
            let slots = super::finish::seal_values(&unfinished.values, program.view(), options.seed).map(|(slots, _)| slots);
            Err(Stopped { error: unfinished.error, slots: Box::new(slots.unwrap_or_default()) })
        }
    }
}

/// Plans a verified program with the answers of `resolver`. What that gives holds the values as they are, and nothing that depends on a seed.
///
/// # Errors
/// The cause for which there is no plan, its place in the source, and the values until then.
pub fn draft(program: &Verified<'_>, resolver: &dyn Resolver, inputs: &Inputs<'_>) -> Result<Draft, Unfinished> {
    let mut machine = Machine {
        program: program.view(),
        candidates: Candidates::default(),
        out: Emitter::new(limits::TEXT),
        inputs,
        resolver,
        stack: Vec::new(),
        locals: Vec::new(),
        globals: Vec::new(),
        frames: Vec::new(),
        control: Vec::new(),
        thunks: Vec::new(),
        peaks: [0; 4],
        searched: None,
        patterns: HashMap::new(),
        calls: 0,
        fuel: inputs.fuel.min(limits::FUEL),
        seeded: 0,
    };
    let outcome = machine.start().and_then(|()| machine.run()).and_then(|()| machine.promise());
    let stopped = outcome.err().map(|cause| PlanError { cause, span: machine.span() });
    let failed = |cause| Unfinished { error: PlanError { cause, span: Span::NONE }, values: Vec::new() };
    let values = super::finish::values(&mut machine.candidates).map_err(failed)?;
    match stopped {
        Some(error) => Err(Unfinished { error, values }),
        None => Ok(super::finish::draft(machine.out, values, &machine.program)),
    }
}

pub(super) fn bug(what: &'static str) -> Cause {
    Cause::Internal(what)
}

pub(super) fn at<T>(table: &[T], index: u32) -> Result<&T, Cause> {
    usize::try_from(index).ok().and_then(|index| table.get(index)).ok_or(Cause::Internal("an index outside its table"))
}

impl Machine<'_> {
    pub(super) fn start(&mut self) -> Result<(), Cause> {
        for global in self.program.globals {
            let value = match global.init.to_native().checked_sub(1) {
                Some(function) => self.thunk(function, Vec::new())?,
                None => Value::plain(Data::Unset),
            };
            self.globals.push(value);
        }
        let entry = at(self.program.functions, self.program.entry)?;
        if usize::from(entry.params.to_native()) != self.inputs.arguments.len() {
            return Err(Cause::Argument("the arguments do not fit the target".to_owned()));
        }
        let arguments: Vec<Value> = self.inputs.arguments.iter().map(constant).collect::<Result<_, _>>()?;
        self.enter(self.program.entry, arguments, None)
    }

    pub(super) fn run(&mut self) -> Result<(), Cause> {
        loop {
            self.charge(1)?;
            let pc = self.frames.last().ok_or_else(|| bug("no frame"))?.pc;
            let instruction = *at(self.program.code, pc)?;
            let flow = self.step(pc, instruction)?;
            self.pay()?;
            let next = match flow {
                Flow::Next => pc.saturating_add(1),
                Flow::Jump(target) => target,
                Flow::Again | Flow::Stay => continue,
                Flow::Finished => return Ok(()),
            };
            self.go_on_at(next)?;
        }
    }

    fn go_on_at(&mut self, pc: u32) -> Result<(), Cause> {
        let frame = self.frames.last_mut().ok_or_else(|| bug("no frame"))?;
        (frame.pc, frame.evaluated) = (pc, 0);
        Ok(())
    }

    /// Spends fuel on what the last instruction emitted and on heights that were not reached before.
    pub(super) fn pay(&mut self) -> Result<(), Cause> {
        let mut amount = std::mem::take(&mut self.out.unpaid);
        let heights = [self.stack.len(), self.locals.len(), self.frames.len(), self.control.len()];
        for ((height, peak), fuel) in heights.into_iter().zip(&mut self.peaks).zip(HEIGHTS) {
            amount = amount.saturating_add(fuel.saturating_mul(height.saturating_sub(*peak) as u64));
            *peak = height.max(*peak);
        }
        self.charge(amount)
    }

    /// Resolves the variables that the steps were promised.
    pub(super) fn promise(&mut self) -> Result<(), Cause> {
        for (number, name) in (0..).zip(self.inputs.pass_env) {
            let text = Scalar::String(Zeroizing::new(name.clone().into_bytes()));
            let argument = Argument { value: Value::bytes(name.as_bytes()), given: Given { param: 0, value: text, computed: false } };
            let candidate = self.resolve_named(Asked::Promise(number), decorators::PASS_ENV, vec![argument], false, Span::NONE)?;
            self.use_slot(candidate)?;
        }
        Ok(())
    }

    /// Where the current instruction comes from.
    pub(super) fn span(&self) -> Span {
        let Some(pc) = self.frames.last().map(|frame| frame.pc) else { return Span::NONE };
        // What emits a step is where its template is.
        if let Ok(code) = at(self.program.code, pc)
            && (code.op == Op::Shell as u8 || code.op == Op::Let as u8)
        {
            return at(self.program.templates, code.c.to_native()).map_or(Span::NONE, |template| template.span);
        }
        let after = self.program.debug.partition_point(|entry| entry.pc.to_native() <= pc);
        after.checked_sub(1).and_then(|index| self.program.debug.get(index)).map_or(Span::NONE, |entry| entry.span)
    }

    /// Spends fuel.
    pub(super) fn charge(&mut self, amount: u64) -> Result<(), Cause> {
        self.fuel = self
            .fuel
            .checked_sub(amount)
            .ok_or(Cause::Limit { what: "units of planning work", limit: self.inputs.fuel.min(limits::FUEL) })?;
        Ok(())
    }

    /// Spends fuel on values that are kept.
    pub(super) fn keep(&mut self, values: usize) -> Result<(), Cause> {
        self.charge(VALUE.saturating_mul(values as u64))
    }

    pub(super) fn thunk(&mut self, function: u32, captures: Vec<Value>) -> Result<Value, Cause> {
        self.keep(captures.len().saturating_add(1))?;
        let index = u32::try_from(self.thunks.len()).map_err(|_| bug("too many thunks"))?;
        self.thunks.push(Thunk::Pending { function, captures });
        Ok(Value::plain(Data::Lazy(index)))
    }

    pub(super) fn enter(&mut self, function: u32, arguments: Vec<Value>, thunk: Option<u32>) -> Result<(), Cause> {
        let entry = at(self.program.functions, function)?;
        let locals = self.locals.len();
        self.charge(u64::from(entry.locals.to_native()))?;
        self.locals.extend(arguments);
        self.locals.resize(locals.saturating_add(usize::from(entry.locals.to_native())), Value::plain(Data::Unset));
        self.frames.push(Frame { pc: entry.code.first.to_native(), evaluated: 0, locals, thunk });
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
    pub(super) fn force(&mut self, count: usize, deep: bool) -> Result<bool, Cause> {
        self.force_each(count, 1, deep)
    }

    /// As [`Self::force`], but of the top `count` values only every `step`th. What was evaluated before an instruction runs again stays so and
    /// is not looked at again.
    pub(super) fn force_each(&mut self, count: usize, step: usize, deep: bool) -> Result<bool, Cause> {
        let base = self.stack.len().checked_sub(count).ok_or_else(|| bug("stack underflow"))?;
        let first = self.frames.last().ok_or_else(|| bug("no frame"))?.evaluated;
        for operand in (first..count).step_by(step) {
            let done = self.force_at(base.saturating_add(operand), deep)?;
            if !done {
                // The thunk's frame is on top now.
                let below = self.frames.len().checked_sub(2).and_then(|at| self.frames.get_mut(at));
                below.ok_or_else(|| bug("no frame"))?.evaluated = operand;
                return Ok(false);
            }
        }
        self.frames.last_mut().ok_or_else(|| bug("no frame"))?.evaluated = count;
        Ok(true)
    }

    /// Evaluates the value at a place of the stack, as [`Self::force`] does.
    pub(super) fn force_at(&mut self, index: usize, deep: bool) -> Result<bool, Cause> {
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
            let elements = Rc::clone(elements);
            let first = self.searched.as_ref().filter(|(last, _)| Rc::ptr_eq(last, &elements)).map_or(0, |(_, evaluated)| *evaluated);
            let pending = elements.iter().enumerate().skip(first).find_map(|(at, element)| match self.settled(element).data {
                Data::Lazy(thunk) => Some((at, thunk)),
                _ => None,
            });
            let evaluated = pending.map_or(elements.len(), |(at, _)| at);
            self.charge(evaluated.saturating_sub(first) as u64)?;
            self.searched = Some((elements, evaluated));
            if let Some((_, thunk)) = pending {
                self.evaluate(thunk)?;
                return Ok(false);
            }
        }
        Ok(true)
    }

    pub(super) fn evaluate(&mut self, thunk: u32) -> Result<(), Cause> {
        let state = usize::try_from(thunk).ok().and_then(|index| self.thunks.get_mut(index)).ok_or_else(|| bug("no such thunk"))?;
        match std::mem::replace(state, Thunk::Running) {
            Thunk::Pending { function, captures } => self.enter(function, captures, Some(thunk)),
            Thunk::Running => Err(Cause::NeedsItself),
            Thunk::Done(_) => Err(bug("a thunk that is done")),
        }
    }

    pub(super) fn pop(&mut self) -> Result<Value, Cause> {
        self.stack.pop().ok_or_else(|| bug("stack underflow"))
    }

    pub(super) fn pop_many(&mut self, count: usize) -> Result<Vec<Value>, Cause> {
        let base = self.stack.len().checked_sub(count).ok_or_else(|| bug("stack underflow"))?;
        Ok(self.stack.split_off(base))
    }

    pub(super) fn local(&mut self, index: u32) -> Result<&mut Value, Cause> {
        let base = self.frames.last().ok_or_else(|| bug("no frame"))?.locals;
        let index = usize::try_from(index).ok().and_then(|index| base.checked_add(index)).ok_or_else(|| bug("local"))?;
        self.locals.get_mut(index).ok_or_else(|| bug("no such local"))
    }

    pub(super) fn variable(&mut self, variable: &Variable) -> Result<&mut Value, Cause> {
        let index = variable.index.to_native();
        if variable.global == 1 {
            return usize::try_from(index).ok().and_then(|index| self.globals.get_mut(index)).ok_or_else(|| bug("no such global"));
        }
        self.local(index)
    }

    /// A candidate without a value.
    pub(super) fn deferred(&mut self, key: &str) -> Result<Candidate, Cause> {
        if let Some(candidate) = self.candidates.find(key) {
            return Ok(candidate);
        }
        self.charge(CANDIDATE)?;
        let span = self.span();
        self.candidates.add(Entry {
            key: key.to_owned(),
            value: None,
            decorator: 0,
            answer: None,
            public: false,
            seeded: false,
            shapes: false,
            operands: Vec::new(),
            span,
            slot: None,
        })
    }

    /// The bytes of a String, or the text of another scalar; `None` for a deferred value.
    pub(super) fn text_of(&mut self, value: &Value) -> Result<Option<Zeroizing<Vec<u8>>>, Cause> {
        let pieces = match &value.data {
            Data::Text(Text::Constant(offset, length)) => {
                self.charge(u64::from(*length))?;
                return Ok(Some(Zeroizing::new(TextRef::new(*offset, *length).of(self.program.text).unwrap_or_default().to_vec())));
            }
            Data::Text(Text::Pieces(pieces)) => pieces,
            Data::Unknown(_) => return Ok(None),
            _ => return Ok(Some(scalar(value).ok_or(Cause::NotAWord(value.described()))?.text())),
        };
        // The length first: it is paid for before the bytes are copied, and a buffer that grew would leave secrets behind.
        let mut length = 0_usize;
        for piece in pieces.iter() {
            length = length.saturating_add(match piece {
                Piece::Bytes(bytes) => bytes.len(),
                Piece::Slot(candidate) => match &self.candidates.entry(*candidate)?.value {
                    Some(scalar) => scalar.text_length(),
                    None => return Ok(None),
                },
            });
        }
        self.charge((length as u64).saturating_add(pieces.len() as u64))?;
        let mut out = Zeroizing::new(Vec::with_capacity(length));
        for piece in pieces.iter() {
            match piece {
                Piece::Bytes(bytes) => out.extend_from_slice(bytes),
                Piece::Slot(candidate) => match &self.candidates.entry(*candidate)?.value {
                    Some(Scalar::String(bytes)) => out.extend_from_slice(bytes),
                    Some(scalar) => out.extend_from_slice(&scalar.text()),
                    None => return Ok(None),
                },
            }
        }
        Ok(Some(out))
    }

    /// Canonical text for a value inside a key.
    pub(super) fn key_of(&mut self, value: &Value) -> Result<String, Cause> {
        let work: usize = match &value.data {
            Data::Text(Text::Constant(_, length)) => usize::try_from(*length).unwrap_or(usize::MAX),
            Data::Text(Text::Pieces(pieces)) => pieces.iter().fold(0, |sum, piece| match piece {
                Piece::Bytes(bytes) => sum.saturating_add(bytes.len()),
                Piece::Slot(_) => sum.saturating_add(KEY_MAX),
            }),
            _ => KEY_MAX,
        };
        self.charge(work as u64)?;
        self.candidates.key_of(value, self.program.text)
    }

    /// What a message says of a value: its text, or what it came from where it is secret.
    pub(super) fn shown(&self, value: &Value, text: impl std::fmt::Display) -> Result<String, Cause> {
        Ok(self.candidates.secret_of(value)?.map_or_else(|| text.to_string(), |key| format!("`{key}`")))
    }

    pub(super) fn constant_text(&self, index: u32) -> Result<&[u8], Cause> {
        at(self.program.constants, index)?.text.of(self.program.text).ok_or_else(|| bug("constant text"))
    }

    pub(super) fn boolean(&self, value: &Value, what: &'static str) -> Result<bool, Cause> {
        match value.data {
            Data::Bool(bool) => Ok(bool),
            _ => Err(wrong(what, "a Bool", value)),
        }
    }

    /// Gives the result of an operation the label of its operands: nothing if they are constants, else a computed candidate.
    pub(super) fn label(&mut self, name: &str, operands: &[&Value], result: Data) -> Result<Value, Cause> {
        if operands.iter().all(|value| value.origin.is_none() && !matches!(value.data, Data::Text(Text::Pieces(_)) | Data::Unknown(_))) {
            return Ok(Value::plain(result));
        }
        let from: Vec<Candidate> = operands.iter().flat_map(|operand| self.candidates.origins(operand)).collect();
        if from.is_empty() {
            return Ok(Value::plain(result));
        }
        let keys: Vec<String> = operands.iter().map(|operand| self.key_of(operand)).collect::<Result<_, _>>()?;
        let key = format!("{name}({})", keys.join(", "));
        let value = Value::plain(result);
        let origin = self.computed(key, scalar(&value), from)?;
        Ok(Value { origin: Some(origin), ..value })
    }

    /// The candidate of a computed value: one per key.
    pub(super) fn computed(&mut self, key: String, value: Option<Scalar>, operands: Vec<Candidate>) -> Result<Candidate, Cause> {
        self.charge(CANDIDATE.saturating_add(key.len() as u64).saturating_add((operands.len() as u64).saturating_mul(2)))?;
        let span = self.span();
        self.candidates.computed(bounded(key), value, operands, span)
    }

    /// A String chosen or changed by other values (an element at a secret index, a quoted text): a slot of its own.
    pub(super) fn computed_text(&mut self, key: String, text: Scalar, from: Vec<Candidate>) -> Result<Value, Cause> {
        let origin = self.computed(key, Some(text), from)?;
        Ok(Value::plain(Data::Text(Text::Pieces([Piece::Slot(origin)].into()))))
    }

    pub(super) fn unknown_of(values: &[&Value]) -> Option<Value> {
        values.iter().find(|value| matches!(value.data, Data::Unknown(_))).map(|value| (*value).clone())
    }

    /// One instruction.
    pub(super) fn step(&mut self, pc: u32, instruction: Instruction) -> Result<Flow, Cause> {
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
                self.keep(b)?;
                let elements = self.pop_many(b)?;
                self.stack.push(Value::plain(Data::Array(Nested::new(elements, |value| value)?)));
            }
            Op::Map => return self.map(b),
            Op::Index | Op::Field | Op::Length | Op::Elements | Op::Range => return self.collection(op, c),
            Op::Concat | Op::Quoted => return self.text_operation(op, b),
            Op::Add if self.force(2, false)? => return self.add(),
            Op::Subtract | Op::Multiply | Op::Divide | Op::Remainder if self.force(2, false)? => self.binary(op)?,
            Op::Within if self.force(3, false)? => self.within()?,
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
            | Op::Within
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
                self.go_on_at(pc.saturating_add(1))?;
                self.enter(c, arguments, None)?;
                return Ok(Flow::Stay);
            }
            Op::Return => return self.end_function(),
            Op::Shell | Op::Let => {
                let template = at(self.program.templates, c)?;
                let holes = usize::from(template.holes.to_native());
                if !self.force(holes, true)? {
                    return Ok(Flow::Again);
                }
                let values = self.pop_many(holes)?;
                let kind = if op == Op::Let { NodeKind::Let } else { NodeKind::Shell };
                let node = self.emit_template(kind, c, template, &values)?;
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

    pub(super) fn load_constant(&self, constant: &opal_format::program::Constant) -> Result<Value, Cause> {
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

    pub(super) fn end_function(&mut self) -> Result<Flow, Cause> {
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
