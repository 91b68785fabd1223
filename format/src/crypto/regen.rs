//! REGEN: the sub-keys of values with a `regen_key`, sealed under the seed (spec/plan-format.md, "REGEN").
//!
//! A sub-key comes from a regen root, which whoever plans holds, and from nothing else. Only the sub-keys that a plan uses travel with it, so that
//! whoever opens the contract can plan it again and learns nothing about the root or its other sub-keys.

use crate::crypto::hash::{Canonical, Digest, HashAlgorithm};
use crate::crypto::seed::Seed;
use chacha20poly1305::aead::{AeadInOut as _, KeyInit as _};
use chacha20poly1305::{ChaCha20Poly1305, Key, Nonce, Tag};
use std::collections::BTreeMap;
use zeroize::Zeroizing;

/// Bytes of an entry: a name and its sub-key.
const ENTRY: usize = 64;
const TAG: usize = 16;
const SEAL: &[u8] = b"opal/v1/regen/seal";
const SUB_KEY: &[u8] = b"opal/v1/regen/sub-key";

/// REGEN does not open under this seed: it was made for another contract, or is damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the sub-keys were sealed for another contract, or are damaged")]
pub struct RegenError;

/// What a sub-key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RegenName([u8; 32]);

impl RegenName {
    /// The name of the value of a decorator, for a `regen_key` and arguments whose defaults are filled.
    #[must_use]
    pub fn new(decorator: &str, regen_key: &[u8], arguments: &[&[u8]]) -> Self {
        let mut hash = Canonical::new(HashAlgorithm::Sha256, "v1/regen/name");
        for field in [decorator.as_bytes(), regen_key].iter().chain(arguments) {
            hash.bytes(field);
        }
        Self(hash.finish().bytes)
    }
}

/// Sub-keys by what they are for. Shows no key.
#[derive(Clone, Debug, Default)]
pub struct SubKeys(BTreeMap<RegenName, Seed>);

/// Where the sub-keys of values with a `regen_key` come from.
#[derive(Clone, Copy, Debug)]
pub enum Regen<'a> {
    /// Nowhere: such a value cannot be had.
    None,
    /// From a regen root, where a contract is made.
    Root(&'a Seed),
    /// From a contract.
    SubKeys(&'a SubKeys),
}

impl Regen<'_> {
    /// The sub-key of this name, if it can be had.
    #[must_use]
    pub fn sub_key(&self, name: RegenName) -> Option<Seed> {
        match self {
            Self::None => None,
            Self::Root(root) => Some(Seed::from_bytes(*root.derive(SUB_KEY, &[&name.0]))),
            Self::SubKeys(keys) => keys.0.get(&name).cloned(),
        }
    }
}

/// What a contract says of its regen root: the SHA-256 of its bytes.
#[must_use]
pub fn fingerprint(root: &Seed) -> Digest {
    HashAlgorithm::Sha256.plain(root.as_bytes())
}

/// Whether bytes have the length of a sealed list that is not empty.
pub(crate) fn is_well_formed(sealed: &[u8]) -> bool {
    sealed.len().checked_sub(TAG).is_some_and(|length| length > 0 && length.is_multiple_of(ENTRY))
}

impl SubKeys {
    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds a sub-key.
    pub fn insert(&mut self, name: RegenName, key: Seed) {
        self.0.insert(name, key);
    }

    /// Seals them under the seed of their contract, which seals nothing else. `context` is the digest of every byte before REGEN.
    pub(crate) fn seal(&self, seed: &Seed, context: &Digest) -> Result<Vec<u8>, RegenError> {
        // Room for all of it, since a buffer that grew would leave keys behind; what is returned is sealed.
        let mut sealed = Vec::with_capacity(self.0.len().saturating_mul(ENTRY).saturating_add(TAG));
        for (name, key) in &self.0 {
            sealed.extend_from_slice(&name.0);
            sealed.extend_from_slice(key.as_bytes());
        }
        let tag = cipher(seed).encrypt_inout_detached(&Nonce::default(), &context.bytes, sealed.as_mut_slice().into());
        sealed.extend_from_slice(&tag.map_err(|_| RegenError)?);
        Ok(sealed)
    }

    /// Opens what [`SubKeys::seal`] made.
    ///
    /// # Errors
    /// [`RegenError`], also where names are not strictly ascending.
    pub(crate) fn open(sealed: &[u8], seed: &Seed, context: &Digest) -> Result<Self, RegenError> {
        let (list, tag) = sealed.split_last_chunk::<TAG>().ok_or(RegenError)?;
        let mut list = Zeroizing::new(list.to_vec());
        cipher(seed)
            .decrypt_inout_detached(&Nonce::default(), &context.bytes, list.as_mut_slice().into(), &Tag::from(*tag))
            .map_err(|_| RegenError)?;
        let mut keys = Self::default();
        for entry in list.as_chunks::<ENTRY>().0 {
            let (name, key) = entry.split_first_chunk::<32>().ok_or(RegenError)?;
            let name = RegenName(*name);
            if keys.0.last_key_value().is_some_and(|(last, _)| *last >= name) {
                return Err(RegenError);
            }
            keys.insert(name, Seed::from_bytes(key.try_into().map_err(|_| RegenError)?));
        }
        Ok(keys)
    }
}

/// A seed seals one list, so its key serves once and the nonce is zero.
fn cipher(seed: &Seed) -> ChaCha20Poly1305 {
    ChaCha20Poly1305::new(&Key::from(*seed.derive(SEAL, &[])))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn root(byte: u8) -> Seed {
        Seed::from_bytes([byte; 32])
    }

    fn context(text: &[u8]) -> Digest {
        HashAlgorithm::Sha256.plain(text)
    }

    fn key(root: &Seed, name: RegenName) -> [u8; 32] {
        *Regen::Root(root).sub_key(name).unwrap().as_bytes()
    }

    fn sample() -> SubKeys {
        let mut keys = SubKeys::default();
        for regen_key in [b"v1", b"v2"] {
            let name = RegenName::new("random.password", regen_key, &[b"16"]);
            keys.insert(name, Regen::Root(&root(1)).sub_key(name).unwrap());
        }
        keys
    }

    fn unhex(text: &str) -> Vec<u8> {
        text.as_bytes().chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
    }

    // spec/plan-format.md states these.
    #[test]
    fn a_sub_key_is_the_one_of_the_specification() {
        let name = RegenName::new("random.password", b"db-v1", &[&24_u64.to_le_bytes(), b"abc"]);
        assert_eq!(name.0.as_slice(), unhex("601734302b8407be20e129c01816b922857f5ad0cdb7c4fff5f0dfc0dfb4f43f"));
        assert_eq!(key(&root(7), name).as_slice(), unhex("45aecfed6b6ddb35114938d21eb5ec36ad2f30ecdf67b3b925e3af30625710b2"));
        assert_eq!(fingerprint(&root(7)).to_string(), "sha256:4bb06f8e4e3a7715d201d573d0aa423762e55dabd61a2c02278fa56cc6d294e0");
    }

    #[test]
    fn a_sub_key_depends_on_root_decorator_regen_key_and_arguments() {
        let name = RegenName::new;
        let all = [
            key(&root(1), name("random.password", b"k", &[b"a"])),
            key(&root(2), name("random.password", b"k", &[b"a"])),
            key(&root(1), name("crypto.generate_key", b"k", &[b"a"])),
            key(&root(1), name("random.password", b"l", &[b"a"])),
            key(&root(1), name("random.password", b"k", &[b"b"])),
            key(&root(1), name("random.password", b"k", &[b"a", b""])),
            key(&root(1), name("random.password", b"ka", &[b""])),
            key(&root(1), name("random.passwordk", b"", &[b"a"])),
        ];
        assert_eq!(all.iter().collect::<HashSet<_>>().len(), all.len());
        assert_eq!(all[0], key(&root(1), name("random.password", b"k", &[b"a"])));
    }

    #[test]
    fn sealed_sub_keys_open_under_their_seed_in_their_contract_only() {
        let (keys, seed) = (sample(), root(9));
        let sealed = keys.seal(&seed, &context(b"x")).unwrap();
        assert!(is_well_formed(&sealed));
        let opened = SubKeys::open(&sealed, &seed, &context(b"x")).unwrap();
        assert!(opened.0.iter().map(|(name, key)| (name, key.as_bytes())).eq(keys.0.iter().map(|(name, key)| (name, key.as_bytes()))));
        assert!(SubKeys::open(&sealed, &root(8), &context(b"x")).is_err());
        assert!(SubKeys::open(&sealed, &seed, &context(b"y")).is_err());
        let secret = keys.0.first_key_value().unwrap().1.as_bytes();
        assert!(!sealed.windows(32).any(|window| window == secret), "a sub-key shows");
    }

    #[test]
    fn every_bit_change_and_truncation_of_sealed_sub_keys_is_refused() {
        let mut sealed = sample().seal(&root(9), &context(b"x")).unwrap();
        let opens = |sealed: &[u8]| SubKeys::open(sealed, &root(9), &context(b"x")).is_ok();
        for offset in 0..sealed.len() {
            assert!(!opens(&sealed[..offset]));
            for bit in 0..8 {
                sealed[offset] ^= 1 << bit;
                assert!(!opens(&sealed), "bit {bit} of byte {offset}");
                sealed[offset] ^= 1 << bit;
            }
        }
        assert!(opens(&sealed));
    }

    #[test]
    fn only_a_root_or_the_right_sub_keys_give_a_sub_key() {
        let (known, other) = (RegenName::new("random.password", b"v1", &[b"16"]), RegenName::new("random.password", b"v3", &[b"16"]));
        let keys = sample();
        assert!(Regen::None.sub_key(known).is_none());
        assert_eq!(Regen::SubKeys(&keys).sub_key(known).unwrap().as_bytes(), &key(&root(1), known));
        assert!(Regen::SubKeys(&keys).sub_key(other).is_none());
        assert!(!format!("{keys:?}").contains(&format!("{:?}", [1_u8; 2])), "no key shows");
    }
}
