//! What the gate and the planner say to each other, in frames ([`opal_exec::frame`]).
//!
//! The gate believes nothing of what it is told: each body is taken apart with a bound for every length, and what does not fit is an end of the
//! planner. The planner believes the gate.
//!
//! Read for: nothing with an effect before compare has passed.

use opal_core::plan::{Asked, Scalar};
use opal_exec::frame::{Body, Frame};
use opal_format::kind::ValueType;
use opal_format::record::Span;
use zeroize::Zeroizing;

/// What the gate tells the planner.
pub mod tell {
    /// PROGRAM, to be verified.
    pub const PROGRAM: u8 = 1;
    /// Arguments and promises: plan.
    pub const PLAN: u8 = 2;
    /// The value that was asked for.
    pub const VALUE: u8 = 3;
    /// There is no such value, and so no plan.
    pub const NO_VALUE: u8 = 4;
    /// Give the tables.
    pub const TABLES: u8 = 5;
}

/// What the planner tells the gate, after [`HELLO`](opal_exec::aside::HELLO).
pub mod say {
    /// The program is valid.
    pub const VALID: u8 = 2;
    /// The program breaks a rule: its number, the table's, the index.
    pub const INVALID: u8 = 3;
    /// A value is needed.
    pub const GET: u8 = 4;
    /// Digests, and for each slot which answer it is, or its value.
    pub const DONE: u8 = 5;
    /// There is no plan: code, answer, place.
    pub const STOPPED: u8 = 6;
    /// Steps, and what slots are beside their values.
    pub const TABLES: u8 = 7;
}

/// Bytes of the tables that are given for a report.
pub const TABLES_MAX: usize = 64 << 20;

/// Bytes that a scalar takes at most.
#[must_use]
pub fn room(value: &Scalar) -> usize {
    match value {
        Scalar::String(bytes) => bytes.len().saturating_add(8),
        _ => 16,
    }
}

/// What a plan's frames hold beside numbers and bytes.
pub trait Put {
    /// A value.
    fn scalar(&mut self, value: &Scalar) -> &mut Self;
    /// A place of the program.
    fn asked(&mut self, asked: Asked) -> &mut Self;
    /// A place of the source.
    fn span(&mut self, span: &Span) -> &mut Self;
}

impl Put for Frame {
    fn scalar(&mut self, value: &Scalar) -> &mut Self {
        self.u8(value.value_type().number());
        match value {
            Scalar::String(bytes) => self.bytes(bytes),
            Scalar::Int(int) | Scalar::Duration(int) => self.u64(int.cast_unsigned()),
            Scalar::Float(float) => self.u64(float.to_bits()),
            Scalar::Bool(bool) => self.u8(u8::from(*bool)),
        }
    }

    fn asked(&mut self, asked: Asked) -> &mut Self {
        match asked {
            Asked::Import(index) => self.u8(0).u32(index),
            Asked::Promise(index) => self.u8(1).u32(index),
        }
    }

    fn span(&mut self, span: &Span) -> &mut Self {
        self.u32(span.start.to_native()).u32(span.end.to_native()).u32(span.line.to_native()).u32(span.column.to_native()).u8(span.file)
    }
}

/// The same, taken off the front of a body.
pub trait Take {
    /// A value.
    fn scalar(&mut self) -> Option<Scalar>;
    /// A place of the program.
    fn asked(&mut self) -> Option<Asked>;
    /// A place of the source.
    fn span(&mut self) -> Option<Span>;
}

impl Take for Body<'_> {
    fn scalar(&mut self) -> Option<Scalar> {
        Some(match ValueType::from_number(self.u8()?)? {
            ValueType::String => Scalar::String(Zeroizing::new(self.bytes()?.to_vec())),
            ValueType::Int => Scalar::Int(self.u64()?.cast_signed()),
            ValueType::Duration => Scalar::Duration(self.u64()?.cast_signed()),
            ValueType::Float => Scalar::Float(Some(f64::from_bits(self.u64()?)).filter(|float| float.is_finite())?),
            ValueType::Bool => match self.u8()? {
                0 => Scalar::Bool(false),
                1 => Scalar::Bool(true),
                _ => return None,
            },
            ValueType::Array | ValueType::Map => return None,
        })
    }

    fn asked(&mut self) -> Option<Asked> {
        match (self.u8()?, self.u32()?) {
            (0, index) => Some(Asked::Import(index)),
            (1, index) => Some(Asked::Promise(index)),
            _ => None,
        }
    }

    fn span(&mut self) -> Option<Span> {
        let span = Span::new(self.u32()?, self.u32()?, self.u32()?, self.u32()?);
        Some(Span { file: self.u8()?, ..span })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use opal_exec::frame::HEAD;

    #[test]
    fn values_that_are_written_are_read_and_nothing_that_was_cut() {
        let values = [
            Scalar::String(Zeroizing::new(b"a\0b".to_vec())),
            Scalar::Int(-3),
            Scalar::Float(0.5),
            Scalar::Bool(true),
            Scalar::Duration(i64::MIN),
        ];
        for value in values {
            let mut frame = Frame::new(tell::VALUE, room(&value));
            frame.scalar(&value).span(&Span::new(1, 2, 3, 4));
            let frame = frame.seal().expect("short enough");
            assert_eq!(frame[4], tell::VALUE);
            for end in HEAD..frame.len() {
                let mut body = Body(&frame[HEAD..end]);
                assert!(body.scalar().and_then(|_| body.span()).is_none());
            }
            let mut body = Body(&frame[HEAD..]);
            assert!(body.scalar() == Some(value) && body.span() == Some(Span::new(1, 2, 3, 4)) && body.is_over());
        }
    }

    #[test]
    fn values_beyond_the_bytes_and_out_of_range_are_refused() {
        for bytes in [&[1, 255, 255, 255, 255][..], &[4, 2], &[3, 0, 0, 0, 0, 0, 0, 248, 127], &[6, 0], &[0], &[]] {
            assert!(Body(bytes).scalar().is_none(), "{bytes:?}");
        }
    }
}
