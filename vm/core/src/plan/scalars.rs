//! Operations on scalars and Strings, with their labels.

use super::arithmetic::{binary, compare, convert, negate, scalar, verb};
use super::error::Cause;
use super::machine::{Flow, Machine, VALUE, bug};
use super::value::{Data, Piece, Scalar, Text, Value};
use crate::program::table::Op;
use opal_format::kind::ValueType;
use opal_format::record::TextRef;
use std::cmp::Ordering;
use std::rc::Rc;
use zeroize::Zeroizing;

/// Verbatim bytes of at least this length are shared by the texts that hold them.
const SHARED_MIN: usize = 512;

/// Least and greatest size of a compiled regular expression, in bytes.
const PATTERN_MIN: usize = 4 << 10;
const PATTERN_MAX: usize = 1 << 20;

/// A text under construction.
#[derive(Default)]
struct Joined {
    pieces: Vec<Piece>,
    /// Bytes that are not a piece yet.
    pending: Vec<u8>,
    /// Fuel for what was added.
    unpaid: u64,
}

impl Joined {
    fn bytes(&mut self, bytes: &[u8]) {
        self.unpaid = self.unpaid.saturating_add(bytes.len() as u64);
        self.pending.extend_from_slice(bytes);
        if self.pending.len() >= SHARED_MIN {
            self.flush();
        }
    }

    fn piece(&mut self, piece: Piece) {
        self.unpaid = self.unpaid.saturating_add(VALUE);
        self.flush();
        self.pieces.push(piece);
    }

    fn flush(&mut self) {
        if !self.pending.is_empty() {
            self.unpaid = self.unpaid.saturating_add(VALUE);
            self.pieces.push(Piece::Bytes(std::mem::take(&mut self.pending).into()));
        }
    }
}

impl Machine<'_> {
    pub(super) fn text_operation(&mut self, op: Op, count: usize) -> Result<Flow, Cause> {
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
            self.charge((text.len() as u64).saturating_mul(4))?;
            let quoted = Zeroizing::new(super::emit::quoted(&text, opal_format::kind::Position::CommandWord, false));
            let from = self.candidates.origins(value);
            let result = if from.is_empty() {
                Value::bytes(&quoted)
            } else {
                let key = format!("quoted({})", self.key_of(value)?);
                self.computed_text(key, Scalar::String(quoted), from)?
            };
            self.stack.push(result);
            return Ok(Flow::Next);
        }
        let joined = self.concat(&values)?;
        self.stack.push(joined);
        Ok(Flow::Next)
    }

    /// Joins texts, keeping slots as references. Short verbatim bytes are merged, long ones shared, so that a text that grows bit by bit is not
    /// copied each time.
    pub(super) fn concat(&mut self, values: &[Value]) -> Result<Value, Cause> {
        let mut joined = Joined::default();
        for value in values {
            self.concat_one(value, &mut joined)?;
        }
        self.charge(std::mem::take(&mut joined.unpaid))?;
        joined.flush();
        if joined.pieces.is_empty() {
            joined.pieces.push(Piece::Bytes(Rc::default()));
        }
        Ok(Value::plain(Data::Text(Text::Pieces(joined.pieces.into()))))
    }

    fn concat_one(&mut self, value: &Value, joined: &mut Joined) -> Result<(), Cause> {
        match &value.data {
            Data::Text(Text::Constant(offset, length)) => {
                joined.bytes(TextRef::new(*offset, *length).of(self.program.text).unwrap_or_default());
            }
            Data::Text(Text::Pieces(parts)) => {
                for part in parts.iter() {
                    match part {
                        Piece::Bytes(more) if more.len() < SHARED_MIN => joined.bytes(more),
                        _ => joined.piece(part.clone()),
                    }
                }
            }
            Data::Range(first, last) => {
                if let Some(key) = self.candidates.secret_of(value)? {
                    return Err(Cause::SecretStructure { what: "the number of elements", key });
                }
                for int in *first..=*last {
                    if int > *first {
                        joined.bytes(b" ");
                    }
                    joined.bytes(int.to_string().as_bytes());
                    self.charge(std::mem::take(&mut joined.unpaid))?;
                }
            }
            Data::Array(elements) => {
                if let Some(key) = value.origin.map(|_| self.candidates.secret_of(value)).transpose()?.flatten() {
                    return Err(Cause::SecretStructure { what: "the number of elements", key });
                }
                for (index, element) in elements.iter().enumerate() {
                    if index > 0 {
                        joined.bytes(b" ");
                    }
                    let element = self.settled(element);
                    if matches!(element.data, Data::Array(_) | Data::Map(_) | Data::Range(..)) {
                        return Err(Cause::NotAWord("a nested collection"));
                    }
                    // One level: elements are scalars here.
                    self.concat_one(&element, joined)?;
                }
            }
            _ => match value.origin {
                Some(origin) => joined.piece(Piece::Slot(origin)),
                None => joined.bytes(&scalar(value).ok_or(Cause::NotAWord(value.described()))?.text()),
            },
        }
        self.charge(std::mem::take(&mut joined.unpaid))
    }

    pub(super) fn add(&mut self) -> Result<Flow, Cause> {
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

    pub(super) fn binary(&mut self, op: Op) -> Result<(), Cause> {
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

    pub(super) fn comparison(&mut self, op: Op) -> Result<(), Cause> {
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

    /// Whether a value lies in an inclusive range of its own type.
    pub(super) fn within(&mut self) -> Result<(), Cause> {
        let (last, first, value) = (self.pop()?, self.pop()?, self.pop()?);
        if let Some(unknown) = Self::unknown_of(&[&value, &first, &last]) {
            self.stack.push(unknown);
            return Ok(());
        }
        let inside =
            compare(&value, &first, None).is_some_and(Ordering::is_ge) && compare(&value, &last, None).is_some_and(Ordering::is_le);
        let result = self.label("within", &[&value, &first, &last], Data::Bool(inside))?;
        self.stack.push(result);
        Ok(())
    }

    pub(super) fn unary(&mut self, op: Op, a: u8, c: u32) -> Result<(), Cause> {
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
                let (regex, per_byte) = self.pattern(c)?;
                self.charge((text.len() as u64).saturating_mul(per_byte))?;
                let matched = std::str::from_utf8(&text).is_ok_and(|text| regex.is_match(text));
                let pattern = self.constant_text(c)?;
                let name = if self.candidates.origins(&value).is_empty() {
                    String::new()
                } else {
                    format!("matches {}", super::candidates::quote(pattern))
                };
                self.charge(name.len() as u64)?;
                self.label(&name, &[&value], Data::Bool(matched))?
            }
        };
        self.stack.push(result);
        Ok(())
    }

    /// A regular expression, compiled once, and its fuel per byte of text: a byte may visit every state, and only the size that is needed to
    /// compile tells how many there are.
    fn pattern(&mut self, constant: u32) -> Result<(Rc<regex_lite::Regex>, u64), Cause> {
        if let Some((regex, per_byte)) = self.patterns.get(&constant) {
            return Ok((Rc::clone(regex), *per_byte));
        }
        let text = std::str::from_utf8(self.constant_text(constant)?).map_err(|_| bug("pattern"))?;
        let (mut size, mut per_byte) = (PATTERN_MIN, 1_u64);
        let compiled = loop {
            match regex_lite::RegexBuilder::new(text).size_limit(size).build() {
                Err(_) if size < PATTERN_MAX => (size, per_byte) = (size.saturating_mul(4), per_byte.saturating_mul(4)),
                result => break Rc::new(result.map_err(|error| Cause::Regex(error.to_string()))?),
            }
        };
        self.charge(size as u64)?;
        self.patterns.insert(constant, (Rc::clone(&compiled), per_byte));
        Ok((compiled, per_byte))
    }

    pub(super) fn convert(&mut self, value: &Value, to: ValueType) -> Result<Value, Cause> {
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
        let key = self.key_of(value)?;
        let result = match convert(value, text.as_ref().map(|text| text.as_slice()), to, &key)? {
            Scalar::String(bytes) => return Ok(Value::bytes(&bytes)),
            Scalar::Int(int) => Data::Int(int),
            Scalar::Float(float) => Data::Float(float),
            Scalar::Bool(bool) => Data::Bool(bool),
            Scalar::Duration(nanoseconds) => Data::Duration(nanoseconds),
        };
        self.label(&to.name().to_lowercase(), &[value], result)
    }
}
