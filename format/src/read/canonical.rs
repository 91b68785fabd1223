//! The canonical encoding of a value: one byte string for one value (spec/plan-format.md, "Values").
//!
//! A type byte ([`ValueType`]) and a payload: Int and Duration eight bytes, Float its bits, Bool one byte, String a length of four bytes and
//! the bytes, Array a count and its elements, Map a count and its entries (a length-prefixed key, then a value) in insertion order.
//! Commitments, TERMS and public slots hold values in this form.

use crate::read::kind::ValueType;
use crate::read::limits;
use std::collections::HashSet;

/// A value, as the format knows it. Strings are bytes; they need not be UTF-8.
#[derive(Clone, Debug, PartialEq)]
pub enum CanonicalValue {
    /// Text.
    String(Vec<u8>),
    /// A 64-bit integer.
    Int(i64),
    /// A finite number.
    Float(f64),
    /// A truth value.
    Bool(bool),
    /// Nanoseconds.
    Duration(i64),
    /// A list.
    Array(Vec<Self>),
    /// Named values in insertion order.
    Map(Vec<(Vec<u8>, Self)>),
}

/// Why bytes are not the canonical encoding of a value, or why a value has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CanonicalError {
    /// The bytes end inside the value.
    #[error("the value is cut short")]
    Truncated,
    /// Bytes follow the value.
    #[error("bytes follow the value")]
    Trailing,
    /// A type number outside the list.
    #[error("unknown value type {0}")]
    UnknownType(u8),
    /// A Bool that is neither 0 nor 1.
    #[error("a Bool is neither 0 nor 1")]
    BadBool,
    /// NaN or infinity.
    #[error("a Float is not finite")]
    NotFinite,
    /// A String or key with a NUL byte.
    #[error("a String holds a NUL byte")]
    Nul,
    /// Two entries of a Map with one key.
    #[error("a Map holds a key twice")]
    DuplicateKey,
    /// Arrays and Maps nested too deeply.
    #[error("values are nested deeper than {}", limits::VALUE_DEPTH)]
    TooDeep,
    /// A length above four bytes.
    #[error("a String or collection is longer than a plan can hold")]
    TooLong,
}

/// Appends the encoding of an Int.
pub fn put_int(out: &mut Vec<u8>, value: i64) {
    out.push(ValueType::Int.number());
    out.extend_from_slice(&value.to_le_bytes());
}

/// Appends the encoding of a Duration in nanoseconds.
pub fn put_duration(out: &mut Vec<u8>, nanoseconds: i64) {
    out.push(ValueType::Duration.number());
    out.extend_from_slice(&nanoseconds.to_le_bytes());
}

/// Appends the encoding of a Float. It must be finite, which [`check`] enforces on the reading side.
pub fn put_float(out: &mut Vec<u8>, value: f64) {
    out.push(ValueType::Float.number());
    out.extend_from_slice(&value.to_bits().to_le_bytes());
}

/// Appends the encoding of a Bool.
pub fn put_bool(out: &mut Vec<u8>, value: bool) {
    out.extend_from_slice(&[ValueType::Bool.number(), u8::from(value)]);
}

/// Appends the encoding of a String.
///
/// # Errors
/// [`CanonicalError::TooLong`] above 4 GiB.
pub fn put_string(out: &mut Vec<u8>, value: &[u8]) -> Result<(), CanonicalError> {
    out.push(ValueType::String.number());
    put_key(out, value)
}

/// Appends the start of an Array of `count` elements, whose encodings follow.
///
/// # Errors
/// [`CanonicalError::TooLong`] above 2³² elements.
pub fn put_array(out: &mut Vec<u8>, count: usize) -> Result<(), CanonicalError> {
    out.push(ValueType::Array.number());
    put_count(out, count)
}

/// Appends the start of a Map of `count` entries: for each, [`put_key`] and a value follow.
///
/// # Errors
/// [`CanonicalError::TooLong`] above 2³² entries.
pub fn put_map(out: &mut Vec<u8>, count: usize) -> Result<(), CanonicalError> {
    out.push(ValueType::Map.number());
    put_count(out, count)
}

/// Appends the key of a Map's entry.
///
/// # Errors
/// [`CanonicalError::TooLong`] above 4 GiB.
pub fn put_key(out: &mut Vec<u8>, key: &[u8]) -> Result<(), CanonicalError> {
    put_count(out, key.len())?;
    out.extend_from_slice(key);
    Ok(())
}

fn put_count(out: &mut Vec<u8>, count: usize) -> Result<(), CanonicalError> {
    let count = u32::try_from(count).map_err(|_| CanonicalError::TooLong)?;
    out.extend_from_slice(&count.to_le_bytes());
    Ok(())
}

/// The bytes of a String, where its encoding lies; `None` for any other value.
#[must_use]
pub fn string(encoded: &[u8]) -> Option<&[u8]> {
    let rest = encoded.strip_prefix(&[ValueType::String.number()])?;
    let (length, text) = rest.split_first_chunk()?;
    (usize::try_from(u32::from_le_bytes(*length)) == Ok(text.len())).then_some(text)
}

/// Checks that `bytes` are exactly one canonical value, and says which type it has. Uses neither recursion nor, Maps apart, memory.
///
/// # Errors
/// The first rule that the bytes break.
pub fn check(bytes: &[u8]) -> Result<ValueType, CanonicalError> {
    let mut input = Input { rest: bytes };
    let mut open = Vec::<Open>::new();
    let mut keys = HashSet::<(u32, &[u8])>::new();
    let mut maps = 0_u32;
    let mut root = None;
    loop {
        if let Some(level) = open.last_mut() {
            let Some(left) = level.left.checked_sub(1) else {
                open.pop();
                if open.is_empty() {
                    break;
                }
                continue;
            };
            level.left = left;
            if let Some(map) = level.map
                && !keys.insert((map, input.string()?))
            {
                return Err(CanonicalError::DuplicateKey);
            }
        }
        let value_type = input.scalar()?;
        root = root.or(Some(value_type));
        if matches!(value_type, ValueType::Array | ValueType::Map) {
            if open.len() >= limits::VALUE_DEPTH {
                return Err(CanonicalError::TooDeep);
            }
            let map = (value_type == ValueType::Map).then_some(maps);
            maps = maps.wrapping_add(u32::from(map.is_some()));
            open.push(Open { left: input.u32()?, map });
        } else if open.is_empty() {
            break;
        }
    }
    if input.rest.is_empty() { root.ok_or(CanonicalError::Truncated) } else { Err(CanonicalError::Trailing) }
}

/// A collection whose elements are being read. A Map has a number, so that its keys are told from those of other Maps.
struct Open {
    left: u32,
    map: Option<u32>,
}

impl CanonicalValue {
    /// The value's type.
    #[must_use]
    pub const fn value_type(&self) -> ValueType {
        match self {
            Self::String(_) => ValueType::String,
            Self::Int(_) => ValueType::Int,
            Self::Float(_) => ValueType::Float,
            Self::Bool(_) => ValueType::Bool,
            Self::Duration(_) => ValueType::Duration,
            Self::Array(_) => ValueType::Array,
            Self::Map(_) => ValueType::Map,
        }
    }

    /// The canonical encoding.
    ///
    /// # Errors
    /// Where [`check`] would refuse the result.
    pub fn encode(&self) -> Result<Vec<u8>, CanonicalError> {
        let mut out = Vec::new();
        self.put(&mut out, limits::VALUE_DEPTH)?;
        check(&out)?;
        Ok(out)
    }

    fn put(&self, out: &mut Vec<u8>, depth: usize) -> Result<(), CanonicalError> {
        match self {
            Self::String(text) => put_string(out, text)?,
            Self::Int(value) => put_int(out, *value),
            Self::Float(value) => put_float(out, *value),
            Self::Bool(value) => put_bool(out, *value),
            Self::Duration(value) => put_duration(out, *value),
            Self::Array(elements) => {
                let depth = depth.checked_sub(1).ok_or(CanonicalError::TooDeep)?;
                put_array(out, elements.len())?;
                elements.iter().try_for_each(|element| element.put(out, depth))?;
            }
            Self::Map(entries) => {
                let depth = depth.checked_sub(1).ok_or(CanonicalError::TooDeep)?;
                put_map(out, entries.len())?;
                for (key, value) in entries {
                    put_key(out, key)?;
                    value.put(out, depth)?;
                }
            }
        }
        Ok(())
    }

    /// The value that `bytes` encode.
    ///
    /// # Errors
    /// The first rule that the bytes break.
    pub fn decode(bytes: &[u8]) -> Result<Self, CanonicalError> {
        check(bytes)?;
        // The check bounds the nesting, and with it this recursion.
        Input { rest: bytes }.value()
    }
}

struct Input<'a> {
    rest: &'a [u8],
}

impl<'a> Input<'a> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], CanonicalError> {
        let (head, rest) = self.rest.split_first_chunk().ok_or(CanonicalError::Truncated)?;
        self.rest = rest;
        Ok(*head)
    }

    fn u32(&mut self) -> Result<u32, CanonicalError> {
        self.take().map(u32::from_le_bytes)
    }

    fn string(&mut self) -> Result<&'a [u8], CanonicalError> {
        let length = usize::try_from(self.u32()?).map_err(|_| CanonicalError::Truncated)?;
        let (text, rest) = self.rest.split_at_checked(length).ok_or(CanonicalError::Truncated)?;
        self.rest = rest;
        if text.contains(&0) { Err(CanonicalError::Nul) } else { Ok(text) }
    }

    /// Reads a type and, where it is a scalar, checks and skips its payload.
    fn scalar(&mut self) -> Result<ValueType, CanonicalError> {
        let [number] = self.take()?;
        let value_type = ValueType::from_number(number).ok_or(CanonicalError::UnknownType(number))?;
        match value_type {
            ValueType::Int | ValueType::Duration => drop(self.take::<8>()?),
            ValueType::Float if !f64::from_bits(u64::from_le_bytes(self.take()?)).is_finite() => return Err(CanonicalError::NotFinite),
            ValueType::Bool if self.take::<1>()? > [1] => return Err(CanonicalError::BadBool),
            ValueType::String => drop(self.string()?),
            ValueType::Float | ValueType::Bool | ValueType::Array | ValueType::Map => {}
        }
        Ok(value_type)
    }

    fn value(&mut self) -> Result<CanonicalValue, CanonicalError> {
        let [number] = self.take()?;
        Ok(match ValueType::from_number(number).ok_or(CanonicalError::UnknownType(number))? {
            ValueType::String => CanonicalValue::String(self.string()?.to_vec()),
            ValueType::Int => CanonicalValue::Int(i64::from_le_bytes(self.take()?)),
            ValueType::Float => CanonicalValue::Float(f64::from_bits(u64::from_le_bytes(self.take()?))),
            ValueType::Bool => CanonicalValue::Bool(self.take()? == [1]),
            ValueType::Duration => CanonicalValue::Duration(i64::from_le_bytes(self.take()?)),
            ValueType::Array => {
                let count = self.u32()?;
                CanonicalValue::Array((0..count).map(|_| self.value()).collect::<Result<_, _>>()?)
            }
            ValueType::Map => {
                let count = self.u32()?;
                CanonicalValue::Map((0..count).map(|_| Ok((self.string()?.to_vec(), self.value()?))).collect::<Result<_, _>>()?)
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn values() -> impl Strategy<Value = CanonicalValue> {
        let text = || prop::collection::vec(1_u8.., 0..8);
        let leaf = prop_oneof![
            text().prop_map(CanonicalValue::String),
            any::<i64>().prop_map(CanonicalValue::Int),
            (-1e300..1e300).prop_map(CanonicalValue::Float),
            any::<bool>().prop_map(CanonicalValue::Bool),
            any::<i64>().prop_map(CanonicalValue::Duration),
        ];
        leaf.prop_recursive(5, 40, 5, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(CanonicalValue::Array),
                prop::collection::btree_map(text(), inner, 0..5).prop_map(|map| CanonicalValue::Map(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(value in values()) {
            let bytes = value.encode().unwrap();
            prop_assert_eq!(check(&bytes), Ok(value.value_type()));
            prop_assert_eq!(CanonicalValue::decode(&bytes), Ok(value));
        }

        #[test]
        fn any_bytes_are_refused_or_read_back_the_same(bytes in prop::collection::vec(0_u8..9, 0..40)) {
            if let Ok(value) = CanonicalValue::decode(&bytes) {
                prop_assert_eq!(value.encode().unwrap(), bytes);
            }
        }

        #[test]
        fn every_truncation_is_refused(value in values()) {
            let bytes = value.encode().unwrap();
            for end in 0..bytes.len() {
                prop_assert_eq!(check(&bytes[..end]), Err(CanonicalError::Truncated));
            }
        }
    }

    #[test]
    fn each_defect_has_its_error() {
        let nested = |depth: usize| {
            let mut bytes = [6, 1, 0, 0, 0].repeat(depth);
            put_bool(&mut bytes, true);
            bytes
        };
        assert_eq!(check(&nested(limits::VALUE_DEPTH)), Ok(ValueType::Array));
        let twice = CanonicalValue::Map(vec![(b"a".to_vec(), CanonicalValue::Int(1)), (b"a".to_vec(), CanonicalValue::Int(2))]);
        let mut nan = Vec::new();
        put_float(&mut nan, f64::NAN);
        for (bytes, error) in [
            (nested(limits::VALUE_DEPTH + 1), CanonicalError::TooDeep),
            (vec![], CanonicalError::Truncated),
            (vec![4, 1, 0], CanonicalError::Trailing),
            (vec![4, 2], CanonicalError::BadBool),
            (vec![0], CanonicalError::UnknownType(0)),
            (vec![1, 1, 0, 0, 0, 0], CanonicalError::Nul),
            (vec![6, 255, 255, 255, 255], CanonicalError::Truncated),
            (nan, CanonicalError::NotFinite),
        ] {
            assert_eq!(check(&bytes), Err(error));
            assert_eq!(CanonicalValue::decode(&bytes), Err(error));
        }
        assert_eq!(twice.encode(), Err(CanonicalError::DuplicateKey));
    }

    #[test]
    fn sibling_maps_may_share_keys() {
        let map = CanonicalValue::Map(vec![(b"a".to_vec(), CanonicalValue::Int(1))]);
        assert!(CanonicalValue::Array(vec![map.clone(), map]).encode().is_ok());
    }
}
