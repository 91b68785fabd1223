//! AUDIENCE: the hosts that a contract is meant for, by their public keys (spec/plan-format.md, "AUDIENCE"). Which key is a host's own is not the
//! format's business.

use crate::crypto::identity::PublicKey;
use crate::read::limits;

/// The keys, if they are from 1 to the limit, strictly ascending, each one that signatures could be checked with.
pub(crate) fn read(bytes: &[u8]) -> Option<Vec<PublicKey>> {
    let (keys, rest) = bytes.as_chunks::<32>();
    if keys.is_empty() || keys.len() > limits::AUDIENCE || !rest.is_empty() || !keys.is_sorted_by(|a, b| a < b) {
        return None;
    }
    keys.iter().map(|key| PublicKey::from_bytes(key).ok()).collect()
}
