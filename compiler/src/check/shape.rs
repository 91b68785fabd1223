//! What is known of a value before planning: its type, and for literals what it holds.

use crate::ast::{BinaryOperator, Literal, TypeName, UnaryOperator};
use opal_format::kind::ValueType;
use std::rc::Rc;

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Shape {
    /// Known only when planning.
    Unknown,
    /// A String, Int, Float, Bool or Duration.
    Scalar(ValueType),
    /// An Array, with its elements where they are written out.
    Array(Option<Rc<[Self]>>),
    /// An Array of Ints.
    Range,
    /// A Map, with its entries where they are written out.
    Map(Option<Rc<[(String, Self)]>>),
}

pub(crate) const STRING: Shape = Shape::Scalar(ValueType::String);
pub(crate) const INT: Shape = Shape::Scalar(ValueType::Int);
pub(crate) const FLOAT: Shape = Shape::Scalar(ValueType::Float);
pub(crate) const BOOL: Shape = Shape::Scalar(ValueType::Bool);
pub(crate) const DURATION: Shape = Shape::Scalar(ValueType::Duration);

pub(crate) fn value_type(name: TypeName) -> ValueType {
    match name {
        TypeName::String => ValueType::String,
        TypeName::Int => ValueType::Int,
        TypeName::Float => ValueType::Float,
        TypeName::Bool => ValueType::Bool,
        TypeName::Duration => ValueType::Duration,
        TypeName::Array => ValueType::Array,
        TypeName::Map => ValueType::Map,
    }
}

impl Shape {
    pub(crate) fn of_type(value_type: ValueType) -> Self {
        match value_type {
            ValueType::Array => Self::Array(None),
            ValueType::Map => Self::Map(None),
            scalar => Self::Scalar(scalar),
        }
    }

    pub(crate) fn of_literal(literal: &Literal) -> Self {
        match literal {
            Literal::String(_) => STRING,
            Literal::Int(_) => INT,
            Literal::Float(_) => FLOAT,
            Literal::Bool(_) => BOOL,
            Literal::Duration(_) => DURATION,
        }
    }

    /// Its type, where that is known.
    pub(crate) fn value_type(&self) -> Option<ValueType> {
        match self {
            Self::Unknown => None,
            Self::Scalar(value_type) => Some(*value_type),
            Self::Array(_) | Self::Range => Some(ValueType::Array),
            Self::Map(_) => Some(ValueType::Map),
        }
    }

    /// The shape that all elements have in common.
    pub(crate) fn element(&self) -> Self {
        match self {
            Self::Range => INT,
            Self::Array(Some(elements)) => match elements.split_first() {
                Some((first, rest)) if rest.iter().all(|other| other == first) => first.clone(),
                _ => Self::Unknown,
            },
            _ => Self::Unknown,
        }
    }
}

/// The type of `-e` or `!e`, or what the operator takes.
pub(crate) fn unary(operator: UnaryOperator, operand: &Shape) -> Result<Shape, &'static str> {
    use ValueType::{Bool, Duration, Float, Int};
    match (operator, operand.value_type()) {
        (UnaryOperator::Not, None | Some(Bool)) => Ok(BOOL),
        (UnaryOperator::Not, _) => Err("a Bool"),
        (UnaryOperator::Negate, None | Some(Int | Float | Duration)) => Ok(operand.clone()),
        (UnaryOperator::Negate, _) => Err("a number or a Duration"),
    }
}

/// The type of `a op b`, or what the operator takes.
pub(crate) fn binary(operator: BinaryOperator, left: &Shape, right: &Shape) -> Result<Shape, &'static str> {
    use BinaryOperator as B;
    use ValueType::{Bool, Duration, Float, Int, String};
    let (left, right) = (left.value_type(), right.value_type());
    let number = |side| matches!(side, None | Some(Int | Float));
    let known = |value_type: Option<ValueType>| value_type.map_or(Shape::Unknown, Shape::of_type);
    let numeric = match (left, right) {
        (Some(Float), _) | (_, Some(Float)) => FLOAT,
        (Some(Int), Some(Int)) => INT,
        _ => Shape::Unknown,
    };
    match operator {
        B::And | B::Or => match (left, right) {
            (None | Some(Bool), None | Some(Bool)) => Ok(BOOL),
            _ => Err("two Bools"),
        },
        B::Equal | B::NotEqual => match (left, right) {
            (Some(a), Some(b)) if a != b && !(number(left) && number(right)) => Err("two values of one type"),
            _ => Ok(BOOL),
        },
        B::Less | B::LessOrEqual | B::Greater | B::GreaterOrEqual => match (left, right) {
            (None, None | Some(Int | Float | Duration | String)) | (Some(Int | Float | Duration | String), None) => Ok(BOOL),
            (Some(Duration), Some(Duration)) | (Some(String), Some(String)) => Ok(BOOL),
            _ if number(left) && number(right) => Ok(BOOL),
            _ => Err("two numbers, two Durations or two Strings"),
        },
        B::Add => match (left, right) {
            (Some(same @ (Duration | String)), None) | (None, Some(same @ (Duration | String))) => Ok(known(Some(same))),
            (Some(Duration), Some(Duration)) => Ok(DURATION),
            (Some(String), Some(String)) => Ok(STRING),
            _ if number(left) && number(right) => Ok(numeric),
            _ => Err("two numbers, two Durations or two Strings"),
        },
        B::Subtract => match (left, right) {
            (Some(Duration), None | Some(Duration)) | (None, Some(Duration)) => Ok(DURATION),
            _ if number(left) && number(right) => Ok(numeric),
            _ => Err("two numbers or two Durations"),
        },
        B::Multiply => match (left, right) {
            (Some(Duration), None | Some(Int)) | (None | Some(Int), Some(Duration)) => Ok(DURATION),
            _ if number(left) && number(right) => Ok(numeric),
            _ => Err("two numbers, or a Duration and an Int"),
        },
        B::Divide => match (left, right) {
            (Some(Duration), None | Some(Int)) => Ok(DURATION),
            _ if number(left) && number(right) => Ok(numeric),
            _ => Err("two numbers, or a Duration and an Int"),
        },
        B::Remainder => {
            if number(left) && number(right) {
                Ok(numeric)
            } else {
                Err("two numbers")
            }
        }
    }
}
