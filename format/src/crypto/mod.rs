//! Cryptography: digests, keys, signatures, seeds, and what is sealed under them.

pub mod attestation;
pub mod credential;
pub mod envelope;
pub mod hash;
pub mod identity;
pub mod journal;
pub mod regen;
pub mod seed;
pub mod signature;
mod wire;
