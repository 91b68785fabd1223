//! ENVELOPE: the seed, sealed to each recipient (spec/plan-format.md, "ENVELOPE").
//!
//! HPKE (RFC 9180) in base mode with X25519, HKDF-SHA256 and ChaCha20-Poly1305, to Ed25519 keys taken over to X25519. The associated data is
//! the digest of every byte before ENVELOPE, so an envelope opens only inside its own contract.

use crate::crypto::hash::Digest;
use crate::crypto::identity::PublicKey;
use crate::crypto::seed::{Drbg, RandomError, Seed};
use crate::read::limits;
use ed25519_dalek::SigningKey;
use hpke::aead::ChaCha20Poly1305;
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256;
use hpke::rand_core::{Infallible, TryCryptoRng, TryRng};
use hpke::{Deserializable as _, Kem, OpModeR, OpModeS, Serializable as _};
use zeroize::Zeroizing;

/// One recipient: Ed25519 key (32 bytes), encapsulated key (32), sealed seed (32) and its tag (16).
const ENTRY: usize = 112;
const LABEL: &[u8] = b"opal/v1/envelope/seed";

/// Why an envelope cannot be made or opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// The bytes are not an envelope.
    #[error("the envelope is malformed")]
    Malformed,
    /// No recipient, more than the limit, or one twice.
    #[error("an envelope has from 1 to {} recipients, each once", limits::RECIPIENTS)]
    Recipients,
    /// The key is none of the recipients.
    #[error("the envelope is not sealed to this key")]
    NotARecipient {
        /// Those it is sealed to.
        recipients: Vec<PublicKey>,
    },
    /// The entry for this key does not open: it was made for another contract, or damaged.
    #[error("the envelope was sealed for another contract, or is damaged")]
    Mismatch,
    /// A key that nothing can be sealed to.
    #[error("the recipient's key is weak")]
    WeakKey,
    /// See [`RandomError`].
    #[error(transparent)]
    Random(#[from] RandomError),
}

/// Seals `seed` to each of `recipients`. `body` is the digest of every byte before ENVELOPE.
///
/// # Errors
/// [`EnvelopeError::Recipients`], [`EnvelopeError::WeakKey`] or [`EnvelopeError::Random`].
pub fn seal(seed: &Seed, recipients: &[PublicKey], body: &Digest) -> Result<Vec<u8>, EnvelopeError> {
    seal_with(seed, recipients, body, Drbg::from_system()?)
}

/// Seals with the randomness of `random`, which must never serve again; for reproducible files in tests.
///
/// # Errors
/// As [`seal`].
pub fn seal_with(seed: &Seed, recipients: &[PublicKey], body: &Digest, random: Drbg) -> Result<Vec<u8>, EnvelopeError> {
    let mut sorted = recipients.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    if sorted.is_empty() || sorted.len() > limits::RECIPIENTS || sorted.len() != recipients.len() {
        return Err(EnvelopeError::Recipients);
    }
    let mut random = SealRandom { stream: random, exhausted: false };
    let mut out = Vec::new();
    for recipient in &sorted {
        let mut sealed = Zeroizing::new(*seed.as_bytes());
        let point = recipient.verifying_key().map_err(|_| EnvelopeError::WeakKey)?.to_montgomery();
        let key = <X25519HkdfSha256 as Kem>::PublicKey::from_bytes(point.as_bytes()).map_err(|_| EnvelopeError::WeakKey)?;
        let (encapsulated, tag) = hpke::single_shot_seal_inout_detached_with_rng::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>(
            &OpModeS::Base,
            &key,
            &info(recipient),
            sealed.as_mut_slice().into(),
            &body.bytes,
            &mut random,
        )
        .map_err(|_| EnvelopeError::WeakKey)?;
        out.extend_from_slice(recipient.as_bytes());
        out.extend_from_slice(&encapsulated.to_bytes());
        out.extend_from_slice(sealed.as_slice());
        out.extend_from_slice(&tag.to_bytes());
    }
    if random.exhausted { Err(RandomError.into()) } else { Ok(out) }
}

/// The recipients of an envelope, sorted by key.
///
/// # Errors
/// [`EnvelopeError::Malformed`], also where they are not sorted, none, too many, or a key is weak.
pub fn recipients(envelope: &[u8]) -> Result<Vec<PublicKey>, EnvelopeError> {
    let (entries, rest) = envelope.as_chunks::<ENTRY>();
    if !rest.is_empty() || entries.is_empty() || entries.len() > limits::RECIPIENTS {
        return Err(EnvelopeError::Malformed);
    }
    let keys: Vec<_> = entries
        .iter()
        .map(|entry| {
            let key = entry.first_chunk().ok_or(EnvelopeError::Malformed)?;
            PublicKey::from_bytes(key).map_err(|_| EnvelopeError::Malformed)
        })
        .collect::<Result<_, _>>()?;
    if keys.is_sorted_by(|a, b| a < b) { Ok(keys) } else { Err(EnvelopeError::Malformed) }
}

/// Opens the envelope with the private half of a recipient's key. `body` is the digest of every byte before ENVELOPE.
///
/// # Errors
/// [`EnvelopeError::Malformed`], [`EnvelopeError::NotARecipient`] or [`EnvelopeError::Mismatch`].
pub fn open(envelope: &[u8], key: &SigningKey, body: &Digest) -> Result<Seed, EnvelopeError> {
    let recipients = recipients(envelope)?;
    let public = PublicKey::from_bytes(key.verifying_key().as_bytes()).map_err(|_| EnvelopeError::WeakKey)?;
    let Ok(index) = recipients.binary_search(&public) else {
        return Err(EnvelopeError::NotARecipient { recipients });
    };
    let entry = envelope.as_chunks::<ENTRY>().0.get(index).ok_or(EnvelopeError::Malformed)?;
    let (encapsulated, sealed) = entry.get(32..).and_then(|rest| rest.split_at_checked(32)).ok_or(EnvelopeError::Malformed)?;
    let (sealed, tag) = sealed.split_first_chunk::<32>().ok_or(EnvelopeError::Malformed)?;
    let mut seed = Zeroizing::new(*sealed);
    let scalar = Zeroizing::new(key.to_scalar_bytes());
    let private = <X25519HkdfSha256 as Kem>::PrivateKey::from_bytes(scalar.as_slice()).map_err(|_| EnvelopeError::WeakKey)?;
    let encapsulated = <X25519HkdfSha256 as Kem>::EncappedKey::from_bytes(encapsulated).map_err(|_| EnvelopeError::Malformed)?;
    let tag = hpke::aead::AeadTag::from_bytes(tag).map_err(|_| EnvelopeError::Malformed)?;
    hpke::single_shot_open_inout_detached::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>(
        &OpModeR::Base,
        &private,
        &encapsulated,
        &info(&public),
        seed.as_mut_slice().into(),
        &body.bytes,
        &tag,
    )
    .map_err(|_| EnvelopeError::Mismatch)?;
    Ok(Seed::from_bytes(*seed))
}

/// What binds an entry to its purpose and its recipient.
fn info(recipient: &PublicKey) -> Vec<u8> {
    [LABEL, recipient.as_bytes()].concat()
}

/// Lends a stream to HPKE, whose interface has no failure: exhaustion is remembered instead.
struct SealRandom {
    stream: Drbg,
    exhausted: bool,
}

impl TryRng for SealRandom {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes).map(|()| u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes).map(|()| u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        self.exhausted |= self.stream.fill(out).is_err();
        Ok(())
    }
}

impl TryCryptoRng for SealRandom {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::hash::HashAlgorithm;

    fn key(number: u8) -> SigningKey {
        SigningKey::from_bytes(&[number; 32])
    }

    fn public(number: u8) -> PublicKey {
        PublicKey::from_bytes(key(number).verifying_key().as_bytes()).unwrap()
    }

    fn body(text: &[u8]) -> Digest {
        HashAlgorithm::Sha256.plain(text)
    }

    fn seed() -> Seed {
        Seed::from_bytes([42; 32])
    }

    #[test]
    fn every_recipient_opens_an_envelope_and_nobody_else() {
        let numbers: Vec<u8> = (1..=64).collect();
        let keys: Vec<_> = numbers.iter().map(|number| public(*number)).collect();
        let envelope = seal(&seed(), &keys, &body(b"x")).unwrap();
        for number in numbers {
            assert_eq!(open(&envelope, &key(number), &body(b"x")).unwrap().as_bytes(), seed().as_bytes());
        }
        let mut sorted = keys.clone();
        sorted.sort();
        assert_eq!(open(&envelope, &key(65), &body(b"x")).unwrap_err(), EnvelopeError::NotARecipient { recipients: sorted.clone() });
        assert_eq!(recipients(&envelope).unwrap(), sorted);
    }

    #[test]
    fn an_envelope_opens_in_its_own_contract_only() {
        let envelope = seal(&seed(), &[public(1)], &body(b"x")).unwrap();
        assert_eq!(open(&envelope, &key(1), &body(b"y")).unwrap_err(), EnvelopeError::Mismatch);
    }

    #[test]
    fn every_bit_change_and_truncation_is_refused() {
        let mut envelope = seal(&seed(), &[public(1)], &body(b"x")).unwrap();
        for offset in 0..envelope.len() {
            assert_eq!(open(&envelope[..offset], &key(1), &body(b"x")).unwrap_err(), EnvelopeError::Malformed);
            for bit in 0..8 {
                // The last bit of an X25519 key has no meaning (RFC 7748), but HPKE derives its keys from the bytes as they stand.
                envelope[offset] ^= 1 << bit;
                assert!(open(&envelope, &key(1), &body(b"x")).is_err(), "bit {bit} of byte {offset}");
                envelope[offset] ^= 1 << bit;
            }
        }
    }

    #[test]
    fn an_entry_moved_to_another_recipient_does_not_open() {
        let envelope = seal(&seed(), &[public(1)], &body(b"x")).unwrap();
        let moved = [public(2).as_bytes(), &envelope[32..]].concat();
        assert_eq!(open(&moved, &key(2), &body(b"x")).unwrap_err(), EnvelopeError::Mismatch);
    }

    #[test]
    fn an_all_zero_shared_secret_is_refused() {
        let mut envelope = seal(&seed(), &[public(1)], &body(b"x")).unwrap();
        envelope[32..64].fill(0);
        assert_eq!(open(&envelope, &key(1), &body(b"x")).unwrap_err(), EnvelopeError::Mismatch);
    }

    #[test]
    fn recipients_are_from_one_to_the_limit_each_once() {
        let many: Vec<_> = (1..=65).map(public).collect();
        for keys in [&[][..], &[public(1), public(1)], &many] {
            assert_eq!(seal(&seed(), keys, &body(b"x")), Err(EnvelopeError::Recipients));
        }
    }

    #[test]
    fn no_two_envelopes_are_alike() {
        let make = || seal(&seed(), &[public(1)], &body(b"x")).unwrap();
        assert_ne!(make(), make());
    }

    fn unhex(text: &str) -> Vec<u8> {
        text.as_bytes().chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
    }

    /// Gives HPKE the ephemeral key material of the vector.
    struct Fixed(Vec<u8>);

    impl TryRng for Fixed {
        type Error = Infallible;
        fn try_next_u32(&mut self) -> Result<u32, Infallible> {
            unreachable!()
        }
        fn try_next_u64(&mut self) -> Result<u64, Infallible> {
            unreachable!()
        }
        fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
            out.copy_from_slice(&self.0);
            Ok(())
        }
    }

    impl TryCryptoRng for Fixed {}

    // RFC 9180, appendix A.2.1: base mode, DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20Poly1305, sequence number 0.
    #[test]
    fn the_suite_is_the_one_of_rfc_9180_appendix_a_2() {
        let recipient = unhex("4310ee97d88cc1f088a5576c77ab0cf5c3ac797f3d95139c6c84b5429c59662a");
        let mut text = unhex("4265617574792069732074727574682c20747275746820626561757479");
        let (encapsulated, tag) = hpke::single_shot_seal_inout_detached_with_rng::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>(
            &OpModeS::Base,
            &<X25519HkdfSha256 as Kem>::PublicKey::from_bytes(&recipient).unwrap(),
            &unhex("4f6465206f6e2061204772656369616e2055726e"),
            text.as_mut_slice().into(),
            &unhex("436f756e742d30"),
            &mut Fixed(unhex("909a9b35d3dc4713a5e72a4da274b55d3d3821a37e5d099e74a647db583a904b")),
        )
        .unwrap();
        assert_eq!(encapsulated.to_bytes().as_slice(), unhex("1afa08d3dec047a643885163f1180476fa7ddb54c6a8029ea33f95796bf2ac4a"));
        assert_eq!(
            [text.as_slice(), &tag.to_bytes()].concat(),
            unhex("1c5250d8034ec2b784ba2cfd69dbdb8af406cfe3ff938e131f0def8c8b60b4db21993c62ce81883d2dd1b51a28")
        );
    }
}
