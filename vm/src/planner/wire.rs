//! What the gate and the planner say to each other: frames over a stream socket.
//!
//! A frame is `length: u32` (of what follows), `kind: u8`, body; numbers are in native order, since both ends are the same executable. The gate
//! believes nothing of what it is told: each body is taken apart with a bound for every length, and what does not fit is an end of the
//! planner. The planner believes the gate.
//!
//! Read for: nothing with an effect before compare has passed.

use opal_core::plan::{Asked, Scalar};
use opal_format::kind::ValueType;
use opal_format::record::Span;
use zeroize::Zeroizing;

/// What the gate tells the planner.
pub(super) mod tell {
    /// PROGRAM, to be verified.
    pub(crate) const PROGRAM: u8 = 1;
    /// Arguments and promises: plan.
    pub(crate) const PLAN: u8 = 2;
    /// The value that was asked for.
    pub(crate) const VALUE: u8 = 3;
    /// There is no such value, and so no plan.
    pub(crate) const NO_VALUE: u8 = 4;
    /// Give the tables.
    pub(crate) const TABLES: u8 = 5;
}

/// What the planner tells the gate.
pub(super) mod say {
    /// It is confined as far as the bits say.
    pub(crate) const HELLO: u8 = 1;
    /// The program is valid.
    pub(crate) const VALID: u8 = 2;
    /// The program breaks a rule: its number, the table's, the index.
    pub(crate) const INVALID: u8 = 3;
    /// A value is needed.
    pub(crate) const GET: u8 = 4;
    /// Digests, and for each slot which answer it is, or its value.
    pub(crate) const DONE: u8 = 5;
    /// There is no plan: code, answer, place.
    pub(crate) const STOPPED: u8 = 6;
    /// Steps, and what slots are beside their values.
    pub(crate) const TABLES: u8 = 7;
}

/// Bits of HELLO: what holds the planner.
pub(super) mod hold {
    /// The filter of system calls.
    pub(crate) const CALLS: u8 = 1;
    /// The limits of memory and time.
    pub(crate) const LIMITS: u8 = 2;
    /// All of them.
    pub(crate) const ALL: u8 = 3;
}

/// Bytes before the body of a frame: its length and its kind.
pub(super) const HEAD: usize = 5;

/// A frame that is being written. What it holds is wiped.
pub(super) struct Frame(Zeroizing<Vec<u8>>);

impl Frame {
    /// An empty one, with room for a body of this many bytes: a buffer that grew would leave values behind.
    pub(super) fn new(kind: u8, room: usize) -> Self {
        let mut bytes = Zeroizing::new(Vec::with_capacity(room.saturating_add(HEAD)));
        bytes.extend_from_slice(&[0, 0, 0, 0, kind]);
        Self(bytes)
    }

    pub(super) fn u8(&mut self, value: u8) -> &mut Self {
        self.0.push(value);
        self
    }

    pub(super) fn u32(&mut self, value: u32) -> &mut Self {
        self.raw(&value.to_ne_bytes())
    }

    pub(super) fn u64(&mut self, value: u64) -> &mut Self {
        self.raw(&value.to_ne_bytes())
    }

    pub(super) fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// A length that no table of a plan exceeds.
    pub(super) fn length(&mut self, length: usize) -> &mut Self {
        self.u32(u32::try_from(length).unwrap_or(u32::MAX))
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.length(bytes.len()).raw(bytes)
    }

    pub(super) fn scalar(&mut self, value: &Scalar) -> &mut Self {
        self.u8(value.value_type().number());
        match value {
            Scalar::String(bytes) => self.bytes(bytes),
            Scalar::Int(int) | Scalar::Duration(int) => self.u64(int.cast_unsigned()),
            Scalar::Float(float) => self.u64(float.to_bits()),
            Scalar::Bool(bool) => self.u8(u8::from(*bool)),
        }
    }

    pub(super) fn span(&mut self, span: &Span) -> &mut Self {
        self.u32(span.start.to_native()).u32(span.end.to_native()).u32(span.line.to_native()).u32(span.column.to_native()).u8(span.file)
    }

    /// The whole of it; `None` where it is longer than a frame can say.
    pub(super) fn seal(mut self) -> Option<Zeroizing<Vec<u8>>> {
        let length = u32::try_from(self.0.len().checked_sub(4)?).ok()?.to_ne_bytes();
        self.0.get_mut(..4)?.copy_from_slice(&length);
        Some(self.0)
    }
}

/// Bytes that a scalar takes at most.
pub(super) fn room(value: &Scalar) -> usize {
    match value {
        Scalar::String(bytes) => bytes.len().saturating_add(8),
        _ => 16,
    }
}

/// A place of the program.
pub(super) fn put_asked(frame: &mut Frame, asked: Asked) -> &mut Frame {
    match asked {
        Asked::Import(index) => frame.u8(0).u32(index),
        Asked::Promise(index) => frame.u8(1).u32(index),
    }
}

/// Takes values off the front of a frame's body.
pub(super) struct Body<'a>(pub(super) &'a [u8]);

impl<'a> Body<'a> {
    pub(super) fn raw(&mut self, length: usize) -> Option<&'a [u8]> {
        let (head, tail) = self.0.split_at_checked(length)?;
        self.0 = tail;
        Some(head)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.raw(N)?.try_into().ok()
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_ne_bytes)
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_ne_bytes)
    }

    pub(super) fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.u32()?).ok()?;
        self.raw(length)
    }

    /// A number of things that take at least `least` bytes each: no more than there are bytes for.
    pub(super) fn count(&mut self, least: usize) -> Option<usize> {
        let count = usize::try_from(self.u32()?).ok()?;
        (count.checked_mul(least)? <= self.0.len()).then_some(count)
    }

    pub(super) fn scalar(&mut self) -> Option<Scalar> {
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

    pub(super) fn asked(&mut self) -> Option<Asked> {
        match (self.u8()?, self.u32()?) {
            (0, index) => Some(Asked::Import(index)),
            (1, index) => Some(Asked::Promise(index)),
            _ => None,
        }
    }

    pub(super) fn span(&mut self) -> Option<Span> {
        let span = Span::new(self.u32()?, self.u32()?, self.u32()?, self.u32()?);
        Some(Span { file: self.u8()?, ..span })
    }

    /// Whether nothing is left.
    pub(super) fn is_over(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_nothing_that_was_cut() {
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
    fn lengths_beyond_the_bytes_and_numbers_out_of_range_are_refused() {
        for bytes in [&[1, 255, 255, 255, 255][..], &[4, 2], &[3, 0, 0, 0, 0, 0, 0, 248, 127], &[6, 0], &[0], &[]] {
            assert!(Body(bytes).scalar().is_none(), "{bytes:?}");
        }
        assert!(Body(&[255, 255, 255, 255, 1, 2, 3]).count(4).is_none());
    }
}
