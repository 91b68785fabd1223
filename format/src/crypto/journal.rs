//! The keys of a run's record (spec/record.md, "Authenticity"): one for the MACs of its events, one that seals what its runtime bindings hold.

use crate::crypto::seed::{RandomError, Seed, keyed};
use chacha20poly1305::aead::{AeadInOut as _, KeyInit as _};
use chacha20poly1305::{ChaCha20Poly1305, Key, Nonce, Tag};
use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use std::fmt;
use zeroize::Zeroizing;

const MAC: &[u8] = b"opal/v1/record/mac";
const SEAL: &[u8] = b"opal/v1/record/seal";
const NONCE: usize = 12;
const TAG: usize = 16;

/// The keys of one run under one seed.
#[derive(Clone)]
pub struct JournalKeys {
    mac: Hmac<Sha256>,
    seal: ChaCha20Poly1305,
    run_id: Box<[u8]>,
}

impl fmt::Debug for JournalKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JournalKeys(…)")
    }
}

impl JournalKeys {
    /// The keys of the run with this name.
    #[must_use]
    pub fn new(seed: &Seed, run_id: &[u8]) -> Self {
        let seal = ChaCha20Poly1305::new(&Key::from(*seed.derive(SEAL, &[run_id])));
        Self { mac: keyed(&seed.derive(MAC, &[run_id])), seal, run_id: run_id.into() }
    }

    /// The MAC of an event, over the MAC before it and its text.
    #[must_use]
    pub fn mac(&self, previous: &[u8; 32], event: &[u8]) -> [u8; 32] {
        let mut mac = self.mac.clone();
        mac.update(previous);
        mac.update(event);
        mac.finalize().into_bytes().into()
    }

    /// Seals what the binding of this node holds: a fresh nonce, the text, the tag. A key serves one run, which makes far fewer than 2^32 of them.
    ///
    /// # Errors
    /// [`RandomError`]; also for a value beyond every limit.
    pub fn seal(&self, binding: u32, mut value: Zeroizing<Vec<u8>>) -> Result<Vec<u8>, RandomError> {
        let mut nonce = [0; NONCE];
        getrandom::fill(&mut nonce).map_err(|_| RandomError)?;
        let data = self.associated(binding);
        let tag = self.seal.encrypt_inout_detached(&Nonce::from(nonce), &data, value.as_mut_slice().into()).map_err(|_| RandomError)?;
        Ok([nonce.as_slice(), &value, &tag].concat())
    }

    /// Opens what [`JournalKeys::seal`] made for the same run and binding.
    #[must_use]
    pub fn open(&self, binding: u32, sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (nonce, rest) = sealed.split_first_chunk::<NONCE>()?;
        let (text, tag) = rest.split_last_chunk::<TAG>()?;
        let mut value = Zeroizing::new(text.to_vec());
        let data = self.associated(binding);
        self.seal.decrypt_inout_detached(&Nonce::from(*nonce), &data, value.as_mut_slice().into(), &Tag::from(*tag)).ok()?;
        Some(value)
    }

    fn associated(&self, binding: u32) -> Vec<u8> {
        [binding.to_le_bytes().as_slice(), &self.run_id].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(seed: u8, run_id: &[u8]) -> JournalKeys {
        JournalKeys::new(&Seed::from_bytes([seed; 32]), run_id)
    }

    #[test]
    fn what_is_sealed_opens_under_its_seed_run_and_binding_only_and_unchanged() {
        let value = || Zeroizing::new(b"hunter2".to_vec());
        let sealed = keys(1, b"R1").seal(7, value()).expect("random");
        assert_eq!(keys(1, b"R1").open(7, &sealed), Some(value()));
        for (keys, binding) in [(keys(2, b"R1"), 7), (keys(1, b"R2"), 7), (keys(1, b"R1"), 8)] {
            assert_eq!(keys.open(binding, &sealed), None);
        }
        for bit in 0..sealed.len() * 8 {
            let mut changed = sealed.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(keys(1, b"R1").open(7, &changed), None, "bit {bit}");
        }
        for length in 0..sealed.len() {
            assert_eq!(keys(1, b"R1").open(7, &sealed[..length]), None);
        }
        assert_ne!(sealed, keys(1, b"R1").seal(7, value()).expect("random"), "no nonce serves twice");
    }

    #[test]
    fn a_mac_depends_on_seed_run_and_all_before_it() {
        let mac = |seed, run: &[u8], previous, event: &[u8]| keys(seed, run).mac(&[previous; 32], event);
        let all = [mac(1, b"R1", 0, b"x"), mac(2, b"R1", 0, b"x"), mac(1, b"R2", 0, b"x"), mac(1, b"R1", 1, b"x"), mac(1, b"R1", 0, b"y")];
        assert_eq!(all.iter().collect::<std::collections::HashSet<_>>().len(), all.len());
        // Computed apart, with the HMAC and SHA-256 of another language.
        let text: String = all[0].iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(text, "f41f6499e9fbab8e7acd75132fff49079bda6fe4b9b639f08e93c75d64355c62");
    }
}
