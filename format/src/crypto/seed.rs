//! The seed of a contract and what is derived from it (spec/plan-format.md, "Seed").
//!
//! Everything comes from the seed by HKDF-SHA256 whose `info` is a label and length-prefixed fields, so no two uses share a key.

use hkdf::Hkdf;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use std::fmt;
use subtle::ConstantTimeEq as _;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::read::kind::ValueType;

/// The system gave no random bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the system gave no random bytes")]
pub struct RandomError;

/// 256 secret bits, fresh for every contract. Wiped from memory when dropped; shows nothing.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Seed([u8; 32]);

impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seed")
    }
}

impl Seed {
    /// A fresh seed.
    ///
    /// # Errors
    /// [`RandomError`] where the system gives no random bytes.
    pub fn generate() -> Result<Self, RandomError> {
        let mut seed = Self([0; 32]);
        getrandom::fill(&mut seed.0).map_err(|_| RandomError)?;
        Ok(seed)
    }

    /// A seed that is at hand already.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes, to seal them.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    pub(crate) fn derive(&self, label: &[u8], fields: &[&[u8]]) -> Zeroizing<[u8; 32]> {
        let mut info = Vec::new();
        for field in [label].iter().chain(fields) {
            info.extend_from_slice(&(field.len() as u64).to_le_bytes());
            info.extend_from_slice(field);
        }
        let mut key = Zeroizing::new([0; 32]);
        // HKDF refuses only more than 255 blocks of output; this is one.
        let _ = Hkdf::<Sha256>::new(None, &self.0).expand(&info, key.as_mut_slice());
        key
    }

    /// The keys for commitments and display ids.
    #[must_use]
    pub fn keys(&self) -> SlotKeys {
        SlotKeys { commitment: keyed(&self.derive(b"opal/v1/commitment", &[])), display: keyed(&self.derive(b"opal/v1/display", &[])) }
    }

    /// The generator for one resolution of `@random` or `@crypto`: the decorator's name, its canonical arguments, and the ordinal of the
    /// resolution, so that every use has its own stream.
    #[must_use]
    pub fn stream(&self, decorator: &str, arguments: &[u8], ordinal: u64) -> Drbg {
        Drbg::new(&self.derive(b"opal/v1/stream", &[decorator.as_bytes(), arguments, &ordinal.to_le_bytes()]))
    }
}

/// HMAC extends a short key with zeros to the block of its hash.
pub(crate) fn keyed(key: &[u8; 32]) -> Hmac<Sha256> {
    let mut block = Zeroizing::new([0; 64]);
    block.iter_mut().zip(key).for_each(|(byte, key)| *byte = *key);
    Hmac::new((&*block).into())
}

/// Keys that turn a slot's value into what a reader may see.
#[derive(Clone)]
pub struct SlotKeys {
    commitment: Hmac<Sha256>,
    display: Hmac<Sha256>,
}

impl fmt::Debug for SlotKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SlotKeys")
    }
}

/// Characters of a display id.
pub const DISPLAY_ID_LENGTH: usize = 8;
/// The digits of a display id: Base58 as Bitcoin orders it.
pub const BASE58: &[u8; 58] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";

/// Whether a byte is one of the digits in [`BASE58`]: letters and numbers without those that look alike.
#[must_use]
pub const fn is_base58(digit: &u8) -> bool {
    digit.is_ascii_alphanumeric() && !matches!(*digit, b'0' | b'O' | b'I' | b'l')
}

impl SlotKeys {
    /// The commitment to a value: a keyed hash of the slot's key, the type and the canonical encoding.
    #[must_use]
    pub fn commit(&self, slot_key: &[u8], value_type: ValueType, canonical: &[u8]) -> [u8; 32] {
        let mut mac = self.commitment.clone();
        mac.update(&(slot_key.len() as u64).to_le_bytes());
        mac.update(slot_key);
        mac.update(&[value_type.number()]);
        mac.update(canonical);
        mac.finalize().into_bytes().into()
    }

    /// The id in `opal:secret:ID`: it tells values apart and says nothing else. Equal values under different keys have different ids.
    #[must_use]
    pub fn display_id(&self, slot_key: &[u8], canonical: &[u8]) -> String {
        let mut mac = self.display.clone();
        mac.update(&(slot_key.len() as u64).to_le_bytes());
        mac.update(slot_key);
        mac.update(canonical);
        let mut number = u64::from_le_bytes(mac.finalize().into_bytes().first_chunk().copied().unwrap_or_default());
        (0..DISPLAY_ID_LENGTH)
            .filter_map(|_| {
                let digit = usize::try_from(number % 58).ok()?;
                number /= 58;
                BASE58.get(digit).map(|digit| char::from(*digit))
            })
            .collect()
    }
}

/// Compares two commitments in constant time.
#[must_use]
pub fn same_commitment(a: &[u8; 32], b: &[u8; 32]) -> bool {
    a.ct_eq(b).into()
}

/// A ChaCha20 keystream as a deterministic generator.
pub struct Drbg(chacha20::ChaCha20);

impl fmt::Debug for Drbg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Drbg")
    }
}

impl Drbg {
    /// The stream under `key`. A key is used for one stream only, so the nonce is zero.
    #[must_use]
    pub fn new(key: &[u8; 32]) -> Self {
        use chacha20::KeyIvInit as _;
        Self(chacha20::ChaCha20::new(key.into(), &[0; 12].into()))
    }

    /// A stream under a fresh key.
    ///
    /// # Errors
    /// [`RandomError`] where the system gives no random bytes.
    pub fn from_system() -> Result<Self, RandomError> {
        Seed::generate().map(|seed| Self::new(&seed.0))
    }

    /// Fills `out` with the next bytes of the stream. After 256 GiB, far above any plan's needs, it is exhausted.
    ///
    /// # Errors
    /// [`RandomError`] where the stream is exhausted.
    pub fn fill(&mut self, out: &mut [u8]) -> Result<(), RandomError> {
        use chacha20::cipher::StreamCipher as _;
        out.fill(0);
        self.0.try_apply_keystream(out).map_err(|_| RandomError)
    }

    /// A uniformly distributed number below `bound`, or 0 where `bound` is 0.
    ///
    /// # Errors
    /// [`RandomError`] where the stream is exhausted.
    pub fn below(&mut self, bound: u32) -> Result<u32, RandomError> {
        // Numbers at or above the last multiple of `bound` would favour the small ones.
        let zone = u32::MAX.checked_rem(bound).map_or(u32::MAX, |excess| u32::MAX.wrapping_sub(excess));
        loop {
            let mut bytes = [0; 4];
            self.fill(&mut bytes)?;
            let number = u32::from_le_bytes(bytes);
            if number < zone || bound == 0 {
                return Ok(number.checked_rem(bound).unwrap_or(0));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn seed(byte: u8) -> Seed {
        Seed::from_bytes([byte; 32])
    }

    #[test]
    fn commitments_depend_on_seed_key_type_and_value() {
        let commit = |byte, key: &[u8], value_type, value: &[u8]| seed(byte).keys().commit(key, value_type, value);
        let all = [
            commit(1, b"env.A", ValueType::String, b"x"),
            commit(2, b"env.A", ValueType::String, b"x"),
            commit(1, b"env.B", ValueType::String, b"x"),
            commit(1, b"env.A", ValueType::Int, b"x"),
            commit(1, b"env.A", ValueType::String, b"y"),
            commit(1, b"env.", ValueType::String, b"Ax"),
        ];
        assert_eq!(all.iter().collect::<HashSet<_>>().len(), all.len());
        assert!(same_commitment(&all[0], &commit(1, b"env.A", ValueType::String, b"x")));
        assert!(!same_commitment(&all[0], &all[1]));
    }

    #[test]
    fn display_ids_are_eight_base58_digits_and_differ_by_key_and_value() {
        let keys = seed(1).keys();
        let ids: HashSet<_> = (0_u32..1000).map(|n| keys.display_id(b"env.A", &n.to_le_bytes())).collect();
        assert_eq!(ids.len(), 1000);
        assert!(ids.iter().all(|id| id.len() == DISPLAY_ID_LENGTH && id.bytes().all(|digit| BASE58.contains(&digit))));
        assert_ne!(keys.display_id(b"env.A", b"x"), keys.display_id(b"env.B", b"x"));
        assert_eq!(keys.display_id(b"env.A", b"x"), seed(1).keys().display_id(b"env.A", b"x"));
    }

    #[test]
    fn the_test_for_base58_agrees_with_its_digits() {
        assert!((0..=255).all(|byte: u8| is_base58(&byte) == BASE58.contains(&byte)));
    }

    #[test]
    fn streams_depend_on_seed_decorator_arguments_and_ordinal() {
        let first = |mut stream: Drbg| {
            let mut bytes = [0; 32];
            stream.fill(&mut bytes).unwrap();
            bytes
        };
        let all = [
            first(seed(1).stream("random.password", b"a", 0)),
            first(seed(2).stream("random.password", b"a", 0)),
            first(seed(1).stream("crypto.generate_key", b"a", 0)),
            first(seed(1).stream("random.password", b"b", 0)),
            first(seed(1).stream("random.password", b"a", 1)),
            first(seed(1).stream("random.passworda", b"", 0)),
        ];
        assert_eq!(all.iter().collect::<HashSet<_>>().len(), all.len());
        assert_eq!(all[0], first(seed(1).stream("random.password", b"a", 0)));
    }

    #[test]
    fn a_stream_is_the_chacha20_keystream_however_it_is_read() {
        let mut whole = [0; 64];
        Drbg::new(&[0; 32]).fill(&mut whole).unwrap();
        assert_eq!(whole[..8], [0x76, 0xb8, 0xe0, 0xad, 0xa0, 0xf1, 0x3d, 0x90]);
        let mut stream = Drbg::new(&[0; 32]);
        let mut pieces = [0xff; 64];
        pieces.chunks_mut(7).for_each(|piece| stream.fill(piece).unwrap());
        assert_eq!(pieces, whole);
    }

    #[test]
    fn numbers_below_a_bound_cover_it_evenly() {
        let mut stream = Drbg::new(&[3; 32]);
        let mut counts = [0; 7];
        (0..7000).for_each(|_| counts[stream.below(7).unwrap() as usize] += 1);
        assert!(counts.iter().all(|count| (850..1150).contains(count)), "{counts:?}");
        assert_eq!((stream.below(1), stream.below(0)), (Ok(0), Ok(0)));
    }

    #[test]
    fn nothing_secret_shows_in_debug_output() {
        let text = format!("{:?} {:?} {:?}", seed(7), seed(7).keys(), Drbg::new(&[7; 32]));
        assert_eq!(text, "Seed SlotKeys Drbg");
    }
}
