//! Arithmetic, comparison and conversion of scalars. Pure: labels are the machine's business.

use super::error::Cause;
use super::value::{Data, Scalar, Value};
use crate::program::table::Op;
use opal_format::kind::ValueType;
use std::cmp::Ordering;
use zeroize::Zeroizing;

/// The result of a binary operation on two evaluated values that are not Strings.
pub(super) fn binary(op: Op, left: &Value, right: &Value) -> Result<Data, Cause> {
    use Data::{Duration, Float, Int};
    let name = verb(op);
    let overflow = Cause::Overflow(name);
    Ok(match (op, &left.data, &right.data) {
        (Op::Add, Int(a), Int(b)) => Int(a.checked_add(*b).ok_or(overflow)?),
        (Op::Subtract, Int(a), Int(b)) => Int(a.checked_sub(*b).ok_or(overflow)?),
        (Op::Multiply, Int(a), Int(b)) => Int(a.checked_mul(*b).ok_or(overflow)?),
        (Op::Divide | Op::Remainder, Int(_) | Duration(_), Int(0)) => return Err(Cause::DivisionByZero),
        (Op::Divide, Int(a), Int(b)) => Int(a.checked_div(*b).ok_or(overflow)?),
        (Op::Remainder, Int(a), Int(b)) => Int(a.checked_rem(*b).ok_or(overflow)?),
        (Op::Add, Duration(a), Duration(b)) => Duration(a.checked_add(*b).ok_or(overflow)?),
        (Op::Subtract, Duration(a), Duration(b)) => Duration(a.checked_sub(*b).ok_or(overflow)?),
        (Op::Multiply, Duration(a), Int(b)) | (Op::Multiply, Int(b), Duration(a)) => Duration(a.checked_mul(*b).ok_or(overflow)?),
        (Op::Divide, Duration(a), Int(b)) => Duration(a.checked_div(*b).ok_or(overflow)?),
        (_, Int(_) | Float(_), Int(_) | Float(_)) => {
            let (a, b) = (as_float(&left.data), as_float(&right.data));
            if matches!(op, Op::Divide | Op::Remainder) && b == 0.0 {
                return Err(Cause::DivisionByZero);
            }
            let result = match op {
                Op::Add => a + b,
                Op::Subtract => a - b,
                Op::Multiply => a * b,
                Op::Divide => a / b,
                _ => a % b,
            };
            finite(result, name)?
        }
        _ => {
            return Err(Cause::Type {
                what: name.to_owned(),
                expected: "two numbers, two Durations, or a Duration and an Int".to_owned(),
                found: format!("{} and {}", left.described(), right.described()),
            });
        }
    })
}

/// Negation of a number or Duration.
pub(super) fn negate(value: &Value) -> Result<Data, Cause> {
    let overflow = Cause::Overflow("negation");
    Ok(match value.data {
        Data::Int(int) => Data::Int(int.checked_neg().ok_or(overflow)?),
        Data::Float(float) => Data::Float(-float),
        Data::Duration(nanoseconds) => Data::Duration(nanoseconds.checked_neg().ok_or(overflow)?),
        _ => return Err(wrong("negation", "a number or a Duration", value)),
    })
}

/// The order of two evaluated values of one type, Strings given as bytes. `None` where the types differ or have no order.
pub(super) fn compare(left: &Value, right: &Value, bytes: Option<(&[u8], &[u8])>) -> Option<Ordering> {
    match (&left.data, &right.data) {
        (Data::Int(a), Data::Int(b)) | (Data::Duration(a), Data::Duration(b)) => Some(a.cmp(b)),
        (Data::Float(a), Data::Float(b)) => a.partial_cmp(b),
        (Data::Bool(a), Data::Bool(b)) => Some(a.cmp(b)),
        (Data::Text(_), Data::Text(_)) => bytes.map(|(a, b)| a.cmp(b)),
        _ => None,
    }
}

/// Converts a scalar. `key` names the value in messages.
pub(super) fn convert(value: &Value, text: Option<&[u8]>, to: ValueType, key: &str) -> Result<Scalar, Cause> {
    if let Some(text) = text {
        return parse(text, to, key);
    }
    let unfit = || wrong("the conversion", convertible(to), value);
    Ok(match (to, &value.data) {
        (ValueType::Int, Data::Int(int)) => Scalar::Int(*int),
        (ValueType::Int, Data::Float(float)) => Scalar::Int(truncate(*float)?),
        (ValueType::Float, Data::Int(_) | Data::Float(_)) => Scalar::Float(as_float(&value.data)),
        (ValueType::Bool, Data::Bool(bool)) => Scalar::Bool(*bool),
        (ValueType::Duration, Data::Duration(nanoseconds)) => Scalar::Duration(*nanoseconds),
        (ValueType::String, _) => Scalar::String(scalar(value).ok_or_else(unfit)?.text()),
        _ => return Err(unfit()),
    })
}

/// Reads text as a type. The message names the key and the type, never the text.
pub fn parse(text: &[u8], to: ValueType, key: &str) -> Result<Scalar, Cause> {
    let unreadable = || Cause::Unreadable { key: key.to_owned(), expected: readable(to) };
    if to == ValueType::String {
        return Ok(Scalar::String(Zeroizing::new(text.to_vec())));
    }
    let text = std::str::from_utf8(text).map_err(|_| unreadable())?;
    Ok(match to {
        ValueType::Int => Scalar::Int(text.parse().map_err(|_| unreadable())?),
        ValueType::Float => {
            // `f64::from_str` also reads `nan` and `inf`, and forms that the language does not write.
            let plain =
                !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b'+' | b'e' | b'E'));
            let float: f64 = text.parse().ok().filter(|_| plain).ok_or_else(unreadable)?;
            if !float.is_finite() {
                return Err(unreadable());
            }
            Scalar::Float(float)
        }
        ValueType::Bool => match text {
            "true" => Scalar::Bool(true),
            "false" => Scalar::Bool(false),
            _ => return Err(unreadable()),
        },
        ValueType::Duration => {
            let (sign, magnitude) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
            let nanoseconds = crate::duration::parse(magnitude).map_err(|_| unreadable())?;
            Scalar::Duration(nanoseconds.checked_mul(sign).ok_or_else(unreadable)?)
        }
        ValueType::String | ValueType::Array | ValueType::Map => return Err(unreadable()),
    })
}

/// An evaluated value that is a scalar but not a String.
pub(super) fn scalar(value: &Value) -> Option<Scalar> {
    Some(match value.data {
        Data::Int(int) => Scalar::Int(int),
        Data::Float(float) => Scalar::Float(float),
        Data::Bool(bool) => Scalar::Bool(bool),
        Data::Duration(nanoseconds) => Scalar::Duration(nanoseconds),
        _ => return None,
    })
}

/// A type error.
pub(super) fn wrong(what: &str, expected: &str, value: &Value) -> Cause {
    Cause::Type { what: what.to_owned(), expected: expected.to_owned(), found: value.described().to_owned() }
}

/// What an operation is called in messages.
pub(super) const fn verb(op: Op) -> &'static str {
    match op {
        Op::Add => "addition",
        Op::Subtract => "subtraction",
        Op::Multiply => "multiplication",
        Op::Divide => "division",
        Op::Remainder => "the remainder",
        _ => "the comparison",
    }
}

#[expect(clippy::cast_precision_loss, reason = "the language promotes Int to Float, nearest value")]
const fn as_float(data: &Data) -> f64 {
    match data {
        Data::Int(int) => *int as f64,
        Data::Float(float) => *float,
        _ => 0.0,
    }
}

fn finite(float: f64, name: &'static str) -> Result<Data, Cause> {
    if float.is_finite() { Ok(Data::Float(float)) } else { Err(Cause::NotFinite(name)) }
}

/// Rounds toward zero; refuses what an Int cannot hold.
#[expect(clippy::cast_possible_truncation, reason = "the bounds are checked first: -2^63 and 2^63 are exact Floats")]
fn truncate(float: f64) -> Result<i64, Cause> {
    const BOUND: f64 = 9_223_372_036_854_775_808.0;
    if (-BOUND..BOUND).contains(&float) { Ok(float as i64) } else { Err(Cause::Overflow("the conversion to Int")) }
}

const fn readable(to: ValueType) -> &'static str {
    match to {
        ValueType::Int => "an Int",
        ValueType::Float => "a Float",
        ValueType::Bool => "a Bool (`true` or `false`)",
        ValueType::Duration => "a Duration (`1h30m`)",
        ValueType::String => "a String",
        ValueType::Array => "an Array",
        ValueType::Map => "a Map",
    }
}

const fn convertible(to: ValueType) -> &'static str {
    match to {
        ValueType::Int => "a String, an Int or a Float",
        ValueType::Float => "a String or a number",
        ValueType::Bool => "a String or a Bool",
        ValueType::Duration => "a String or a Duration",
        ValueType::String | ValueType::Array | ValueType::Map => "a scalar",
    }
}
