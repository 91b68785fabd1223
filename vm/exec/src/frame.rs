//! What processes of ours say to each other: frames over a stream socket, in one codec.
//!
//! A frame is `length: u32` (of what follows), `kind: u8`, body. Numbers are in native order, since both ends are the same executable. What may
//! be hostile is read with a bound for every length ([`crate::aside`]); reading never goes beyond the bytes that are there.
//!
//! Read for: nothing with an effect before compare has passed.

use std::ffi::CStr;

use zeroize::Zeroizing;

/// Bytes before the body of a frame: its length and its kind.
pub const HEAD: usize = 5;

/// A frame that is being written. What it holds is wiped.
pub struct Frame(Zeroizing<Vec<u8>>);

impl Frame {
    /// An empty one, with room for a body of this many bytes: a buffer that grew would leave values behind.
    #[must_use]
    pub fn new(kind: u8, room: usize) -> Self {
        let mut bytes = Zeroizing::new(Vec::with_capacity(room.saturating_add(HEAD)));
        bytes.extend_from_slice(&[0, 0, 0, 0, kind]);
        Self(bytes)
    }

    /// Adds a byte.
    pub fn u8(&mut self, value: u8) -> &mut Self {
        self.raw(&[value])
    }

    /// Adds a number.
    pub fn u32(&mut self, value: u32) -> &mut Self {
        self.raw(&value.to_ne_bytes())
    }

    /// Adds a number.
    pub fn u64(&mut self, value: u64) -> &mut Self {
        self.raw(&value.to_ne_bytes())
    }

    /// Adds bytes whose number the reader knows.
    pub fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// Adds a length; one that no frame can have stays one.
    pub fn length(&mut self, length: usize) -> &mut Self {
        self.u32(u32::try_from(length).unwrap_or(u32::MAX))
    }

    /// Adds bytes with their length.
    pub fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.length(bytes.len()).raw(bytes)
    }

    /// Adds a text with the NUL at its end.
    pub fn text(&mut self, text: &CStr) -> &mut Self {
        self.raw(text.to_bytes_with_nul())
    }

    /// What was added until now.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        self.0.get(HEAD..).unwrap_or_default()
    }

    /// The whole of it; `None` where it is longer than a frame can say.
    #[must_use]
    pub fn seal(mut self) -> Option<Zeroizing<Vec<u8>>> {
        let length = u32::try_from(self.0.len().checked_sub(4)?).ok()?.to_ne_bytes();
        self.0.get_mut(..4)?.copy_from_slice(&length);
        Some(self.0)
    }
}

/// Takes values off the front of a frame's body; `None` where they are not there.
pub struct Body<'a>(pub &'a [u8]);

impl<'a> Body<'a> {
    /// That many bytes.
    pub fn raw(&mut self, length: usize) -> Option<&'a [u8]> {
        let (head, tail) = self.0.split_at_checked(length)?;
        self.0 = tail;
        Some(head)
    }

    /// That many bytes.
    pub fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.raw(N)?.try_into().ok()
    }

    /// A byte.
    pub fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// A number.
    pub fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_ne_bytes)
    }

    /// A number.
    pub fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_ne_bytes)
    }

    /// Bytes with their length.
    pub fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.u32()?).ok()?;
        self.raw(length)
    }

    /// A text with the NUL at its end.
    pub fn text(&mut self) -> Option<&'a CStr> {
        let value = CStr::from_bytes_until_nul(self.0).ok()?;
        self.raw(value.to_bytes_with_nul().len())?;
        Some(value)
    }

    /// A number of things that take at least `least` bytes each: no more than there are bytes for.
    pub fn count(&mut self, least: usize) -> Option<usize> {
        let count = usize::try_from(self.u32()?).ok()?;
        (count.checked_mul(least)? <= self.0.len()).then_some(count)
    }

    /// Whether nothing is left.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_nothing_that_was_cut() {
        let mut frame = Frame::new(7, 64);
        frame.u8(1).u32(2).u64(3).bytes(b"a\0b").text(c"word").raw(&[9, 9]);
        let frame = frame.seal().expect("short enough");
        let length = u32::from_ne_bytes(frame[..4].try_into().expect("four bytes"));
        assert_eq!((length as usize, frame[4]), (frame.len() - 4, 7));
        let read = |bytes: &[u8]| {
            let mut body = Body(bytes);
            let values = (body.u8()?, body.u32()?, body.u64()?, body.bytes()?.to_vec(), body.text()?.to_owned(), body.array::<2>()?);
            body.is_over().then_some(values)
        };
        assert_eq!(read(&frame[HEAD..]), Some((1, 2, 3, b"a\0b".to_vec(), c"word".to_owned(), [9, 9])));
        for end in HEAD..frame.len() {
            assert_eq!(read(&frame[HEAD..end]), None);
        }
    }

    #[test]
    fn lengths_and_counts_beyond_the_bytes_are_refused() {
        assert!(Body(&[255, 255, 255, 255, 1]).bytes().is_none());
        assert!(Body(&[255, 255, 255, 255, 1, 2, 3]).count(4).is_none());
        assert!(Body(b"no end").text().is_none());
    }
}
