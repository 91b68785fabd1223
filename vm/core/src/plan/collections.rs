//! Arrays, Maps and ranges.

use super::arithmetic::wrong;
use super::error::Cause;
use super::machine::{Flow, Machine, bug};
use super::value::{Data, Nested, Scalar, Value};
use crate::program::table::Op;
use std::rc::Rc;

impl Machine<'_> {
    pub(super) fn map(&mut self, pairs: usize) -> Result<Flow, Cause> {
        let count = pairs.checked_mul(2).ok_or_else(|| bug("map"))?;
        // Only keys are needed now: they stand before their values.
        if !self.force_each(count, 2, false)? {
            return Ok(Flow::Again);
        }
        self.keep(count)?;
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
        self.stack.push(Value::plain(Data::Map(Nested::new(entries, |(_, value)| value)?)));
        Ok(Flow::Next)
    }

    pub(super) fn collection(&mut self, op: Op, c: u32) -> Result<Flow, Cause> {
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
                return Err(Cause::BackwardRange { first: self.shown(&first, from)?, last: self.shown(&last, to)? });
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
                self.keep(entries.len())?;
                let elements: Vec<Value> = entries.iter().map(|(_, value)| value.clone()).collect();
                Value { data: Data::Array(Nested::new(elements, |value| value)?), origin: collection.origin }
            }
            (Op::Field, Data::Map(entries)) => {
                self.charge(entries.len() as u64 / 4)?;
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

    fn outside(&self, collection: &Value, length: u64, index: &Value, at: i64) -> Result<Value, Cause> {
        Err(Cause::IndexOutOfRange { index: self.shown(index, at)?, length: self.shown(collection, length)? })
    }

    pub(super) fn length(&mut self, collection: &Value, length: u64) -> Result<Value, Cause> {
        self.label("length", &[collection], Data::Int(i64::try_from(length).map_err(|_| Cause::Overflow("the length"))?))
    }

    pub(super) fn index(&mut self, collection: &Value, index: &Value) -> Result<Flow, Cause> {
        let element = match (&collection.data, &index.data) {
            (Data::Array(elements), Data::Int(at)) => usize::try_from(*at)
                .ok()
                .and_then(|at| elements.get(at))
                .cloned()
                .map_or_else(|| self.outside(collection, elements.len() as u64, index, *at), Ok)?,
            (Data::Range(first, last), Data::Int(at)) => {
                let value = first.checked_add(*at).filter(|value| *at >= 0 && value <= last);
                let element = value.map(|value| Value::plain(Data::Int(value)));
                element.map_or_else(|| self.outside(collection, range_length(*first, *last), index, *at), Ok)?
            }
            (Data::Map(entries), Data::Text(_)) => {
                let key = self.text_of(index)?.unwrap_or_default();
                self.charge(entries.len() as u64 / 4)?;
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
        let top = self.stack.len().checked_sub(1).ok_or_else(|| bug("stack"))?;
        if !self.force_at(top, false)? {
            // The element is evaluated first; then the whole instruction runs again.
            self.stack.truncate(top);
            self.stack.push(collection.clone());
            self.stack.push(index.clone());
            return Ok(Flow::Again);
        }
        let element = self.pop()?;
        let value = if let Data::Text(_) = element.data {
            let key = format!("element({}, {})", self.key_of(index)?, self.key_of(&element)?);
            let mut from = self.candidates.origins(index);
            from.extend(self.candidates.origins(&element));
            from.extend(collection.origin);
            let text = self.text_of(&element)?.unwrap_or_default();
            self.computed_text(key, Scalar::String(text), from)?
        } else {
            self.label("element", &[index, &element], element.data.clone())?
        };
        self.stack.push(value);
        Ok(Flow::Next)
    }
}

/// An element of an Array or a range by its position; `None` where there is none.
pub(super) fn element(collection: &Value, at: u64) -> Option<Value> {
    match &collection.data {
        Data::Array(elements) => elements.get(usize::try_from(at).ok()?).cloned(),
        Data::Range(first, last) => {
            let int = first.checked_add(i64::try_from(at).ok()?).filter(|int| int <= last)?;
            Some(Value::plain(Data::Int(int)))
        }
        _ => None,
    }
}

pub(super) fn range_length(first: i64, last: i64) -> u64 {
    u64::try_from(i128::from(last).saturating_sub(i128::from(first)).saturating_add(1)).unwrap_or(0)
}
