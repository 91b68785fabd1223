//! Values while planning. A String built from slots keeps them as references; every other value knows the slot that it came from.

use super::error::Cause;
use opal_format::kind::ValueType;
use std::rc::Rc;
use zeroize::Zeroizing;

/// Index into the planner's table of candidates: values that came from reality, or were computed from such.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Candidate(pub(super) u32);

/// A value and the candidate that it is, if it is one.
#[derive(Clone, Debug)]
pub struct Value {
    /// The value itself.
    pub data: Data,
    /// Where it came from. Always `None` for Text: its pieces say so.
    pub origin: Option<Candidate>,
}

/// The value itself.
#[derive(Clone, Debug)]
pub enum Data {
    /// A String.
    Text(Text),
    /// An Int.
    Int(i64),
    /// A Float, finite.
    Float(f64),
    /// A Bool.
    Bool(bool),
    /// A Duration in nanoseconds.
    Duration(i64),
    /// An Array of the Ints from the first to the last.
    Range(i64, i64),
    /// An Array.
    Array(Rc<Nested<Value>>),
    /// A Map in the order of its definition.
    Map(Rc<Nested<(Rc<[u8]>, Value)>>),
    /// Not evaluated yet: index of a thunk.
    Lazy(u32),
    /// What a runtime binding will hold: index of its step.
    Binding(u32),
    /// Deferred by a quick plan.
    Unknown(Candidate),
    /// A variable without a value.
    Unset,
}

/// The items of a collection, and how deeply collections nest in it: dropping one recurses that deep, so the depth is bounded.
#[derive(Debug)]
pub struct Nested<T> {
    items: Box<[T]>,
    depth: u32,
}

impl<T> std::ops::Deref for Nested<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.items
    }
}

/// Deepest nesting of collections.
pub(super) const NESTING_MAX: u32 = 64;

impl<T> Nested<T> {
    /// A collection of these items, whose values `value_of` finds.
    ///
    /// # Errors
    /// [`Cause::Limit`] beyond [`NESTING_MAX`].
    pub fn new(items: Vec<T>, value_of: impl Fn(&T) -> &Value) -> Result<Rc<Self>, Cause> {
        let below = items.iter().map(|item| match &value_of(item).data {
            Data::Array(inner) => inner.depth,
            Data::Map(inner) => inner.depth,
            _ => 0,
        });
        let depth = below.max().unwrap_or(0).saturating_add(1);
        if depth > NESTING_MAX {
            return Err(Cause::Limit { what: "nested collections", limit: u64::from(NESTING_MAX) });
        }
        Ok(Rc::new(Self { items: items.into(), depth }))
    }
}

/// A String.
#[derive(Clone, Debug)]
pub enum Text {
    /// Bytes of the program's text pool.
    Constant(u32, u32),
    /// Verbatim bytes and slots.
    Pieces(Rc<[Piece]>),
}

/// One piece of a String.
#[derive(Clone, Debug)]
pub enum Piece {
    /// Verbatim public bytes.
    Bytes(Rc<[u8]>),
    /// The text of a candidate.
    Slot(Candidate),
}

impl Value {
    /// A value that came from nowhere but the program.
    #[must_use]
    pub const fn plain(data: Data) -> Self {
        Self { data, origin: None }
    }

    /// A String of public bytes.
    #[must_use]
    pub fn bytes(bytes: &[u8]) -> Self {
        Self::plain(Data::Text(Text::Pieces(Rc::from([Piece::Bytes(Rc::from(bytes))]))))
    }

    /// Name of its type with an article, for messages.
    #[must_use]
    pub const fn described(&self) -> &'static str {
        match self.data {
            Data::Text(_) => "a String",
            Data::Int(_) => "an Int",
            Data::Float(_) => "a Float",
            Data::Bool(_) => "a Bool",
            Data::Duration(_) => "a Duration",
            Data::Range(..) | Data::Array(_) => "an Array",
            Data::Map(_) => "a Map",
            Data::Lazy(_) => "an unevaluated value",
            Data::Binding(_) => "a runtime binding",
            Data::Unknown(_) => "a deferred value",
            Data::Unset => "an unset variable",
        }
    }

    /// Its type, where it has one.
    #[must_use]
    pub const fn value_type(&self) -> Option<ValueType> {
        Some(match self.data {
            Data::Text(_) => ValueType::String,
            Data::Int(_) => ValueType::Int,
            Data::Float(_) => ValueType::Float,
            Data::Bool(_) => ValueType::Bool,
            Data::Duration(_) => ValueType::Duration,
            Data::Range(..) | Data::Array(_) => ValueType::Array,
            Data::Map(_) => ValueType::Map,
            Data::Lazy(_) | Data::Binding(_) | Data::Unknown(_) | Data::Unset => return None,
        })
    }
}

/// A resolved scalar: what a slot holds.
#[derive(Clone, PartialEq)]
pub enum Scalar {
    /// Any bytes but NUL, wiped when dropped.
    String(Zeroizing<Vec<u8>>),
    /// A 64-bit integer.
    Int(i64),
    /// A finite number.
    Float(f64),
    /// A truth value.
    Bool(bool),
    /// Nanoseconds.
    Duration(i64),
}

/// Never shows the value.
impl std::fmt::Debug for Scalar {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}(…)", self.value_type().name())
    }
}

impl Scalar {
    /// Its type.
    #[must_use]
    pub const fn value_type(&self) -> ValueType {
        match self {
            Self::String(_) => ValueType::String,
            Self::Int(_) => ValueType::Int,
            Self::Float(_) => ValueType::Float,
            Self::Bool(_) => ValueType::Bool,
            Self::Duration(_) => ValueType::Duration,
        }
    }

    /// How many bytes its text has.
    #[must_use]
    pub fn text_length(&self) -> usize {
        match self {
            Self::String(bytes) => bytes.len(),
            _ => self.text().len(),
        }
    }

    /// Its text, as commands see it.
    #[must_use]
    pub fn text(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(match self {
            Self::String(bytes) => bytes.to_vec(),
            Self::Int(int) => int.to_string().into_bytes(),
            Self::Float(float) => format!("{float:?}").into_bytes(),
            Self::Bool(bool) => bool.to_string().into_bytes(),
            Self::Duration(nanoseconds) => crate::duration::format(*nanoseconds).into_bytes(),
        })
    }

    /// As a value with an origin (a String becomes a reference to it).
    #[must_use]
    pub fn to_value(&self, origin: Candidate) -> Value {
        let data = match self {
            Self::String(_) => return Value::plain(Data::Text(Text::Pieces(Rc::from([Piece::Slot(origin)])))),
            Self::Int(int) => Data::Int(*int),
            Self::Float(float) => Data::Float(*float),
            Self::Bool(bool) => Data::Bool(*bool),
            Self::Duration(nanoseconds) => Data::Duration(*nanoseconds),
        };
        Value { data, origin: Some(origin) }
    }
}
