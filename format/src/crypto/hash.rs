//! Digests and the canonical encoding that they are taken over (spec/plan-format.md, "Digests").

use crate::read::kind::numbered;
use sha2::Digest as _;
use std::fmt;
use std::str::FromStr;

numbered! {
    /// A hash algorithm. Both give 32 bytes.
    pub enum HashAlgorithm: u8 {
        /// SHA-256, the default.
        Sha256 = 0, "sha256";
        /// BLAKE3 with 256 bits of output.
        Blake3 = 1, "blake3";
    }
}

impl HashAlgorithm {
    /// The plain digest of `bytes`, without a domain: what `sha256sum` or `b3sum` print.
    #[must_use]
    pub fn plain(self, bytes: &[u8]) -> Digest {
        let mut state = State::new(self);
        state.update(bytes);
        state.finish()
    }
}

/// 32 bytes and the algorithm that made them. Shown and parsed as `sha256:<64 hexadecimal digits>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest {
    /// The algorithm.
    pub algorithm: HashAlgorithm,
    /// The value.
    pub bytes: [u8; 32],
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.algorithm.name())?;
        self.bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Text that is not a digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a digest: expected `sha256:` or `blake3:` and 64 lower-case hexadecimal digits")]
pub struct DigestParseError;

impl FromStr for Digest {
    type Err = DigestParseError;

    fn from_str(text: &str) -> Result<Self, DigestParseError> {
        let (name, hex) = text.split_once(':').ok_or(DigestParseError)?;
        let algorithm = HashAlgorithm::ALL.iter().copied().find(|a| a.name() == name).ok_or(DigestParseError)?;
        let (pairs, rest) = hex.as_bytes().as_chunks::<2>();
        let mut bytes = [0; 32];
        if pairs.len() != bytes.len() || !rest.is_empty() {
            return Err(DigestParseError);
        }
        for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
            *byte = (nibble(*high)? << 4) | nibble(*low)?;
        }
        Ok(Self { algorithm, bytes })
    }
}

const fn nibble(digit: u8) -> Result<u8, DigestParseError> {
    match digit {
        b'0'..=b'9' => Ok(digit.wrapping_sub(b'0')),
        b'a'..=b'f' => Ok(digit.wrapping_sub(b'a').wrapping_add(10)),
        _ => Err(DigestParseError),
    }
}

/// A running hash. BLAKE3's state is boxed because it is two kilobytes.
#[derive(Clone)]
enum State {
    Sha256(sha2::Sha256),
    Blake3(Box<blake3::Hasher>),
}

impl State {
    fn new(algorithm: HashAlgorithm) -> Self {
        match algorithm {
            HashAlgorithm::Sha256 => Self::Sha256(sha2::Sha256::new()),
            HashAlgorithm::Blake3 => Self::Blake3(Box::new(blake3::Hasher::new())),
        }
    }

    fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(state) => state.update(bytes),
            Self::Blake3(state) => {
                state.update(bytes);
            }
        }
    }

    fn finish(self) -> Digest {
        match self {
            Self::Sha256(state) => Digest { algorithm: HashAlgorithm::Sha256, bytes: state.finalize().into() },
            Self::Blake3(state) => Digest { algorithm: HashAlgorithm::Blake3, bytes: *state.finalize().as_bytes() },
        }
    }
}

/// A streaming digest of a sequence of fields, starting with the domain `opal/<use>`. A use has a version, which changes with what its digest means.
///
/// Numbers have a fixed width and byte strings a length before them, so two different sequences of fields of one schema never give the
/// same input to the hash.
#[derive(Clone)]
pub struct Canonical {
    state: State,
    /// Fields that are not hashed yet: the first `gathered` bytes.
    pending: [u8; GATHER],
    gathered: usize,
}

/// Small fields are gathered up to this many bytes before they are hashed.
const GATHER: usize = 1024;

impl Canonical {
    /// Starts a digest for the use `name`, such as `v2/plan`.
    #[must_use]
    pub fn new(algorithm: HashAlgorithm, name: &str) -> Self {
        let mut canonical = Self { state: State::new(algorithm), pending: [0; GATHER], gathered: 0 };
        canonical.length("opal/".len().saturating_add(name.len())).raw(b"opal/").raw(name.as_bytes());
        canonical
    }

    /// Adds a byte string: its length as eight bytes, then the bytes.
    pub fn bytes(&mut self, field: &[u8]) -> &mut Self {
        self.length(field.len()).raw(field)
    }

    /// Adds one byte.
    pub fn u8(&mut self, field: u8) -> &mut Self {
        self.raw(&[field])
    }

    /// Adds four bytes.
    pub fn u32(&mut self, field: u32) -> &mut Self {
        self.raw(&field.to_le_bytes())
    }

    /// Adds eight bytes.
    pub fn i64(&mut self, field: i64) -> &mut Self {
        self.raw(&field.to_le_bytes())
    }

    /// Adds a length or a count as eight bytes.
    pub fn length(&mut self, field: usize) -> &mut Self {
        self.raw(&(field as u64).to_le_bytes())
    }

    /// Adds bytes whose number was added before, or is fixed.
    #[inline]
    pub fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        let end = self.gathered.saturating_add(bytes.len());
        match self.pending.get_mut(self.gathered..end) {
            Some(room) => {
                room.copy_from_slice(bytes);
                self.gathered = end;
            }
            None => self.overflow(bytes),
        }
        self
    }

    /// Hashes what is gathered, and then what found no room.
    #[cold]
    fn overflow(&mut self, bytes: &[u8]) {
        self.flush();
        match self.pending.get_mut(..bytes.len()) {
            Some(room) => {
                room.copy_from_slice(bytes);
                self.gathered = bytes.len();
            }
            None => self.state.update(bytes),
        }
    }

    fn flush(&mut self) {
        self.state.update(self.pending.get(..self.gathered).unwrap_or_default());
        self.gathered = 0;
    }

    /// The digest of everything added.
    #[must_use]
    pub fn finish(mut self) -> Digest {
        self.flush();
        self.state.finish()
    }
}

impl fmt::Debug for Canonical {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Canonical")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_digests_are_those_of_the_usual_tools() {
        assert_eq!(
            HashAlgorithm::Sha256.plain(b"abc").to_string(),
            "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!(HashAlgorithm::Blake3.plain(b"").to_string(), "blake3:af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262");
    }

    #[test]
    fn a_digest_reads_back_what_it_shows_and_nothing_looser() {
        for algorithm in HashAlgorithm::ALL {
            let digest = algorithm.plain(b"x");
            assert_eq!(digest.to_string().parse(), Ok(digest));
        }
        let good = HashAlgorithm::Sha256.plain(b"x").to_string();
        for bad in
            ["", "sha256:", "sha256", &good.to_uppercase(), &good[1..], &good[..70], &format!("{good}0"), &format!("{good} "), &good[7..]]
        {
            assert_eq!(bad.parse::<Digest>(), Err(DigestParseError), "{bad}");
        }
    }

    #[test]
    fn the_canonical_encoding_is_length_prefixed_and_has_a_domain() {
        let mut canonical = Canonical::new(HashAlgorithm::Sha256, "v1/test");
        canonical.bytes(b"ab").u32(7).i64(-1).u8(3);
        let mut by_hand = vec![12, 0, 0, 0, 0, 0, 0, 0];
        by_hand.extend_from_slice(b"opal/v1/test");
        by_hand.extend_from_slice(&[2, 0, 0, 0, 0, 0, 0, 0, b'a', b'b', 7, 0, 0, 0]);
        by_hand.extend_from_slice(&[0xff; 8]);
        by_hand.push(3);
        assert_eq!(canonical.finish(), HashAlgorithm::Sha256.plain(&by_hand));
    }

    #[test]
    fn gathering_does_not_change_the_digest() {
        let long = vec![7; GATHER * 2 + 1];
        let mut at_once = Canonical::new(HashAlgorithm::Blake3, "v1/test");
        at_once.u8(1).raw(&long);
        let mut in_pieces = Canonical::new(HashAlgorithm::Blake3, "v1/test");
        in_pieces.u8(1);
        long.chunks(1000).for_each(|piece| {
            in_pieces.raw(piece);
        });
        assert_eq!(at_once.finish(), in_pieces.finish());
    }
}
