//! Who may run what on this host: safe files, identities, trusted signers, policy, locks and the ledger.
//!
//! Everything here decides or refuses; nothing runs a step. Decisions are functions of their arguments
//! (`judge`, `policy`); the clock and the environment are read once, by the caller
//! ([`locations::HostPaths::from_environment`]), and handed in.
//!
//! Reading order: `safe_path` (which files are believed), `locations` (where they are), `signers` and `revoked`
//! (what they say), `guard` and `policy` (how strict this run is), `judge` (whether a contract is trusted), `audience` (whether it is for this host), `lock`
//! and `ledger` (whether it may run now).
//!
//! Read for: who is trusted, and what policy allows.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::unreachable,
        clippy::indexing_slicing,
        clippy::string_slice,
        clippy::arithmetic_side_effects,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::mem_forget
    )
)]

pub mod audience;
pub mod guard;
pub mod identity;
pub mod input;
pub mod judge;
pub mod ledger;
pub mod locations;
pub mod lock;
pub mod new_file;
pub mod pattern;
pub mod policy;
pub mod revocation;
pub mod revoked;
pub mod safe_path;
pub mod signers;
pub mod vouch;
