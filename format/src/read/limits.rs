//! The limits of format version 2, in one table. Both sides of a contract agree on them; a policy may lower them.

/// Bytes of a plan file, unless the caller says otherwise.
pub const FILE_SIZE: usize = 64 << 20;
/// Bytes of the target's name.
pub const TARGET_LENGTH: usize = 1024;
/// Sections of a file, unknown ones included.
pub const SECTIONS: usize = 32;
/// Bytes of PROVENANCE.
pub const PROVENANCE_SIZE: usize = 1 << 20;
/// Signatures of a contract.
pub const SIGNATURES: usize = 16;
/// Bytes of one SSHSIG.
pub const SSHSIG_SIZE: usize = 4096;
/// Recipients of an envelope.
pub const RECIPIENTS: usize = 64;
/// Files of a source.
pub const SOURCES: usize = 256;
/// Bytes of the name of a source file.
pub const SOURCE_NAME: usize = 4096;
/// Hosts of an audience.
pub const AUDIENCE: usize = 64;
/// Nesting of an archive.
pub const ARCHIVE_DEPTH: usize = 64;
/// Nesting of Arrays and Maps in a value.
pub const VALUE_DEPTH: usize = 64;
/// Nesting of steps.
pub const STEP_DEPTH: usize = 256;
/// Executing nodes of the step tree.
pub const STEPS: usize = 1_000_000;
/// Nodes of the step tree, control flow included.
pub const NODES: usize = 2_000_000;
/// Slots.
pub const SLOTS: usize = 1_000_000;
/// Bytes of text and of public values that nodes, arguments and commands refer to, all together.
pub const TEXT: usize = 256 << 20;
/// Bytes of a slot's key.
pub const KEY_LENGTH: usize = 64 << 10;
