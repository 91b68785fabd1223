//! Structured control: `and`, `or`, `if`, loops, isolation. A quick plan goes on with unknown values: an unknown condition plans each arm from a copy,
//! an unknown collection plans its body once.

use super::arithmetic::wrong;
use super::error::Cause;
use super::machine::{Control, Flow, Machine, at, bug};
use super::value::{Data, Value};
use crate::program::table::Op;
use opal_format::record::Range;

/// Keys of what a quick plan cannot know, and no decorator gives.
const DEPENDENT: &str = "a value that depends on a deferred one";
const ELEMENT: &str = "an element of a deferred collection";

impl Machine<'_> {
    pub(super) fn snapshot(&mut self, assigns: Range) -> Result<Vec<Value>, Cause> {
        let variables = assigns.of(self.program.variables).ok_or_else(|| bug("variables"))?;
        self.keep(variables.len())?;
        variables.iter().map(|variable| self.variable(variable).map(|value| value.clone())).collect()
    }

    pub(super) fn restore(&mut self, assigns: Range, values: Vec<Value>) -> Result<(), Cause> {
        for (variable, value) in assigns.of(self.program.variables).ok_or_else(|| bug("variables"))?.iter().zip(values) {
            *self.variable(variable)? = value;
        }
        Ok(())
    }

    pub(super) fn forget(&mut self, assigns: Range) -> Result<(), Cause> {
        let unknown = self.deferred(DEPENDENT)?;
        self.charge(u64::from(assigns.count.to_native()))?;
        for variable in assigns.of(self.program.variables).ok_or_else(|| bug("variables"))? {
            *self.variable(variable)? = Value::plain(Data::Unknown(unknown));
        }
        Ok(())
    }

    pub(super) fn logic(&mut self, op: Op, target: u32) -> Result<Flow, Cause> {
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

    pub(super) fn block(&mut self, op: Op, pc: u32, c: u32) -> Result<Flow, Cause> {
        let block = |machine: &Self| at(machine.program.blocks, c).copied();
        match op {
            Op::If => {
                if !self.force(1, false)? {
                    return Ok(Flow::Again);
                }
                let block = block(self)?;
                let condition = self.pop()?;
                if let Data::Unknown(candidate) = condition.data {
                    let before = self.snapshot(block.assigns)?;
                    let slot = self.use_slot(candidate)?;
                    self.control.push(Control::Both { assigns: block.assigns, before, second: false, slot });
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
                if let Some(Control::Both { assigns, before, second, .. }) = self.control.last_mut()
                    && !*second
                {
                    *second = true;
                    let (assigns, before) = (*assigns, std::mem::take(before));
                    self.restore(assigns, before)?;
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
                if let Data::Unknown(candidate) = condition.data {
                    let slot = self.use_slot(candidate)?;
                    self.out.undecided(slot);
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

    pub(super) fn start_for(&mut self, pc: u32, block: &opal_format::program::Block) -> Result<Flow, Cause> {
        if !self.force(1, false)? {
            return Ok(Flow::Again);
        }
        let collection = self.pop()?;
        if block.flags.to_native() & 1 == 1 {
            self.out.axes();
        }
        let body = pc.saturating_add(1);
        let variable = block.variable.to_native();
        if let Data::Unknown(candidate) = collection.data {
            let slot = self.use_slot(candidate)?;
            self.out.undecided(slot);
            let element = self.deferred(ELEMENT)?;
            *self.local(u32::from(variable))? = Value::plain(Data::Unknown(element));
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

    pub(super) fn next_element(&mut self) -> Result<Flow, Cause> {
        match self.control.last_mut() {
            Some(Control::Once { .. }) => self.end_once(),
            Some(Control::For { collection, next, variable, body }) => {
                let element = super::collections::element(collection, *next);
                *next = next.saturating_add(1);
                let (variable, body) = (*variable, *body);
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

    pub(super) fn end_once(&mut self) -> Result<Flow, Cause> {
        let Some(Control::Once { assigns }) = self.control.pop() else { return Err(bug("loop")) };
        self.forget(assigns)?;
        Ok(Flow::Next)
    }
}
