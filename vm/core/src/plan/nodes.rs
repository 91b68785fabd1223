//! Opens nodes of the step tree and gives them their arguments.

use super::arithmetic::wrong;
use super::error::Cause;
use super::machine::{Control, Flow, Machine, at, bug};
use super::value::{Data, Value};
use crate::{decorators, operations};
use opal_format::kind::{NodeKind, ValueType};

/// Fuel per byte of an operation's argument: a short regular expression may stand for a large one.
const CHECK_FUEL: u64 = 256;

impl Machine<'_> {
    /// Starts a node and gives it its arguments.
    pub(super) fn open(&mut self, c: u32) -> Result<Flow, Cause> {
        let node = at(self.program.nodes, c)?;
        let kind = node.kind().ok_or_else(|| bug("node kind"))?;
        let params = node.params.of(self.program.params).ok_or_else(|| bug("node parameters"))?;
        if !self.force(params.len(), true)? {
            return Ok(Flow::Again);
        }
        let values = self.pop_many(params.len())?;
        self.out.name(u64::from(node.header.length.to_native()))?;
        let mark = self.out.args_mark()?;
        let opened = self.out.open(kind, c)?;
        if kind.is_flow() {
            let above = self.control.iter().rev().take_while(|control| !matches!(control, Control::Node));
            if let Some(slot) = above.filter_map(|control| if let Control::Both { slot, .. } = control { Some(*slot) } else { None }).next()
            {
                self.out.undecided(slot);
            }
        }
        let rows = decorators::node_params(kind);
        for (param, value) in params.iter().zip(&values) {
            let row = rows.get(usize::from(*param)).ok_or_else(|| bug("parameter"))?;
            self.argument(kind, *param, row, value)?;
        }
        self.out.set_args(opened, mark)?;
        self.control.push(Control::Node);
        Ok(Flow::Next)
    }

    pub(super) fn argument(&mut self, kind: NodeKind, param: u8, row: &decorators::Param, value: &Value) -> Result<(), Cause> {
        let name = row.names.first().copied().unwrap_or_default();
        let what = || format!("`{name}` of `{}`", kind.name());
        if row.accepts.is_array() {
            let other = |found: &str| Cause::Type {
                what: what(),
                expected: row.accepts.name().to_owned(),
                found: format!("an Array with {found}"),
            };
            match &value.data {
                Data::Array(elements) => {
                    for element in elements.iter() {
                        let element = self.settled(element);
                        let ints = row.accepts == decorators::ParamType::Ints;
                        match element.data {
                            Data::Text(_) if !ints => self.emit_text_argument(param, &element)?,
                            Data::Unknown(candidate) => {
                                let slot = self.use_slot(candidate)?;
                                self.out.scalar_arg(param, ValueType::Int, 0, Some(slot));
                            }
                            Data::Int(int) if ints => {
                                check_bounds(kind, param, &element).map_err(|expected| Cause::OutOfBounds { what: what(), expected })?;
                                match element.origin {
                                    Some(origin) => {
                                        let slot = self.use_slot(origin)?;
                                        self.out.scalar_arg(param, ValueType::Int, 0, Some(slot));
                                    }
                                    None => self.out.scalar_arg(param, ValueType::Int, int, None),
                                }
                            }
                            _ => return Err(other(element.described())),
                        }
                    }
                    return match (elements.is_empty(), kind) {
                        (true, NodeKind::Retry) => Err(Cause::OutOfBounds { what: what(), expected: "at least one exit status" }),
                        _ => Ok(()),
                    };
                }
                Data::Range(..) => return Err(other("an Int")),
                _ => {}
            }
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
            // A text that a quick plan does not know is checked when it does.
            if kind.is_operation()
                && let Some(text) = self.text_of(value)?
            {
                self.charge((text.len() as u64).saturating_mul(CHECK_FUEL))?;
                operations::check(kind, &text).map_err(|expected| Cause::OutOfBounds { what: what(), expected })?;
            }
            return self.emit_text_argument(param, value);
        }
        if let Some(origin) = value.origin {
            let slot = self.use_slot(origin)?;
            self.out.scalar_arg(param, found, 0, Some(slot));
            return Ok(());
        }
        let scalar = match value.data {
            Data::Int(int) => int,
            Data::Duration(nanoseconds) if kind.is_operation() => nanoseconds,
            // Decorators clamp negative durations (spec/language.md, "Decorators").
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
    use crate::decorators::params::{PARALLEL_MAX_CONCURRENCY, PARALLEL_TOLERATE, RETRY_ATTEMPTS, RETRY_BACKOFF, RETRY_JITTER, RETRY_ON};
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
        (NodeKind::Retry, RETRY_JITTER) => {
            let inside = match value.data {
                Data::Int(int) => (0..=1).contains(&int),
                Data::Float(float) => (0.0..=1.0).contains(&float),
                _ => true,
            };
            if inside { Ok(()) } else { Err("0 to 1") }
        }
        (NodeKind::Retry, RETRY_ON) if int.is_some_and(|int| !(1..=255).contains(&int)) => Err("1 to 255"),
        (NodeKind::Parallel, PARALLEL_MAX_CONCURRENCY) if int.is_some_and(|int| !(1..=1024).contains(&int)) => Err("1 to 1024"),
        (NodeKind::Parallel, PARALLEL_TOLERATE) | (NodeKind::LinesHead | NodeKind::LinesTail, _) if int.is_some_and(|int| int < 0) => {
            Err("at least 0")
        }
        _ => Ok(()),
    }
}
