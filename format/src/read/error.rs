//! Refusals: one variant for each condition, with the byte offset where the file shows it (spec/plan-format.md, "Refusals").

use crate::crypto::hash::Digest;
use crate::crypto::signature::SignatureError;
use crate::read::kind::{Section, VERSION_MAJOR};

/// Why a plan file is refused. Offsets count from the start of the file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// The file ends before something it must hold.
    #[error("the file is cut short: `{what}` is missing at byte {offset}")]
    Truncated {
        /// What is missing.
        what: &'static str,
        /// Where.
        offset: usize,
    },
    /// The first four bytes are not `OPAL`.
    #[error("not a plan file: it does not start with `OPAL`")]
    BadMagic,
    /// A major version that this reader does not know. The file may be fine.
    #[error("plan format {major}.{minor} is not supported: this reader knows {}", VERSION_MAJOR)]
    UnsupportedVersion {
        /// Major version of the file.
        major: u16,
        /// Minor version of the file.
        minor: u16,
    },
    /// The compression bit, which is reserved.
    #[error("the plan is marked as compressed, which this format version reserves")]
    Compressed,
    /// The signed bit, which every plan sets, is missing.
    #[error("the header lacks the signed bit")]
    SignedBit,
    /// Bits or bytes that must be zero are not.
    #[error("`{what}` must be zero at byte {offset}")]
    Reserved {
        /// The field.
        what: &'static str,
        /// Where.
        offset: usize,
    },
    /// A number outside its list.
    #[error("`{what}` has the unknown number {number} at byte {offset}")]
    UnknownNumber {
        /// The field.
        what: &'static str,
        /// Its number.
        number: u8,
        /// Where.
        offset: usize,
    },
    /// A quick plan, which is no contract.
    #[error("a quick plan is no contract: it must be resolved")]
    NotResolved,
    /// Something exceeds its limit.
    #[error("`{what}` is {actual}, above the limit of {limit}, at byte {offset}")]
    TooLarge {
        /// What.
        what: &'static str,
        /// How large it is, or claims to be.
        actual: usize,
        /// The limit.
        limit: usize,
        /// Where.
        offset: usize,
    },
    /// Text that is not UTF-8.
    #[error("`{what}` is not UTF-8 at byte {offset}")]
    NotUtf8 {
        /// What.
        what: &'static str,
        /// Where.
        offset: usize,
    },
    /// Padding that is not zero.
    #[error("padding is not zero at byte {offset}")]
    Padding {
        /// Where.
        offset: usize,
    },
    /// Bytes after the end of something.
    #[error("bytes follow the end of `{what}` at byte {offset}")]
    TrailingData {
        /// What has ended.
        what: &'static str,
        /// Where.
        offset: usize,
    },
    /// The end of the file is not the trailer of a SIGNATURE section.
    #[error("the file does not end in a signature trailer: it is cut short or damaged at byte {offset}")]
    NoTrailer {
        /// Where the trailer should be.
        offset: usize,
    },
    /// An unknown section that a reader must understand.
    #[error("section `{tag}` at byte {offset} is needed to read this plan, and this reader does not know it")]
    UnknownCritical {
        /// Its tag, escaped.
        tag: String,
        /// Where.
        offset: usize,
    },
    /// A known section whose critical bit is not as specified.
    #[error("section {section} at byte {offset} has the wrong critical bit")]
    SectionFlags {
        /// Which.
        section: Section,
        /// Where.
        offset: usize,
    },
    /// A section stands twice.
    #[error("section {section} stands a second time at byte {offset}")]
    DuplicateSection {
        /// Which.
        section: Section,
        /// Where.
        offset: usize,
    },
    /// A section stands after one that it must precede.
    #[error("section {section} is out of order at byte {offset}")]
    SectionOrder {
        /// Which.
        section: Section,
        /// Where.
        offset: usize,
    },
    /// A section is missing.
    #[error("section {section} is missing")]
    MissingSection {
        /// Which.
        section: Section,
    },
    /// A section is no valid archive of its type.
    #[error("section {section} at byte {offset} is not a valid archive")]
    Archive {
        /// Which.
        section: Section,
        /// Where its bytes start.
        offset: usize,
    },
    /// A record breaks a rule.
    #[error("section {section}, entry {index}: {rule}")]
    Table {
        /// Which section.
        section: Section,
        /// Index of the record in its table.
        index: usize,
        /// The rule.
        rule: Rule,
        /// Where the section's bytes start.
        offset: usize,
    },
    /// A count in the header is not that of the table.
    #[error("the header says {header} for `{what}`, the plan holds {actual}")]
    CountMismatch {
        /// What is counted.
        what: &'static str,
        /// The header's number.
        header: u32,
        /// The table's.
        actual: usize,
        /// Where in the header.
        offset: usize,
    },
    /// ENVELOPE does not hold from 1 to the limit of entries, each to another key, sorted by key.
    #[error("the envelope at byte {offset} is malformed")]
    Envelope {
        /// Where its bytes start.
        offset: usize,
    },
    /// REGEN does not hold a sealed list of sub-keys.
    #[error("the sub-keys at byte {offset} are malformed")]
    Regen {
        /// Where its bytes start.
        offset: usize,
    },
    /// SOURCES does not hold from 1 to the limit of files, the first of which is the one that header and TERMS name.
    #[error("the list of source files at byte {offset} is malformed")]
    Sources {
        /// Where its bytes start.
        offset: usize,
    },
    /// AUDIENCE does not hold from 1 to the limit of keys, sorted, each once and able to verify.
    #[error("the audience at byte {offset} is malformed")]
    Audience {
        /// Where its bytes start.
        offset: usize,
    },
    /// A plan type that this version reserves, or an unknown one.
    #[error("plan type {number} is reserved")]
    PlanTypeReserved {
        /// Its number.
        number: u8,
    },
    /// A signature is malformed or wrong.
    #[error("signature {index} at byte {offset}: {cause}")]
    Signature {
        /// Which, from 0.
        index: usize,
        /// What is wrong with it.
        cause: SignatureError,
        /// Where.
        offset: usize,
    },
    /// Signatures are not sorted by key, or a key signs twice.
    #[error("signature {index} at byte {offset} is out of order, or its key signs twice")]
    SignatureOrder {
        /// Which, from 0.
        index: usize,
        /// Where.
        offset: usize,
    },
    /// The recomputed `plan_hash` is not the one in the header.
    #[error("plan_hash in the file is {stated}, its steps and values give {computed}")]
    PlanHashMismatch {
        /// As the file says.
        stated: Digest,
        /// As recomputed.
        computed: Digest,
    },
}

impl FormatError {
    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Truncated { .. } => "plan_truncated",
            Self::BadMagic => "plan_bad_magic",
            Self::UnsupportedVersion { .. } => "plan_unsupported_version",
            Self::Compressed => "plan_compressed",
            Self::SignedBit => "plan_signed_bit",
            Self::Reserved { .. } => "plan_reserved_bits",
            Self::UnknownNumber { .. } => "plan_unknown_number",
            Self::NotResolved => "plan_not_resolved",
            Self::TooLarge { .. } => "plan_too_large",
            Self::NotUtf8 { .. } => "plan_not_utf8",
            Self::Padding { .. } => "plan_padding",
            Self::TrailingData { .. } => "plan_trailing_data",
            Self::NoTrailer { .. } => "plan_no_trailer",
            Self::UnknownCritical { .. } => "plan_unknown_critical",
            Self::SectionFlags { .. } => "plan_section_flags",
            Self::DuplicateSection { .. } => "plan_duplicate_section",
            Self::SectionOrder { .. } => "plan_section_order",
            Self::MissingSection { .. } => "plan_missing_section",
            Self::Archive { .. } => "plan_archive_invalid",
            Self::Table { rule, .. } => rule.code(),
            Self::CountMismatch { .. } => "plan_count_mismatch",
            Self::Envelope { .. } => "plan_envelope_malformed",
            Self::Sources { .. } => "plan_sources_malformed",
            Self::Audience { .. } => "plan_audience_malformed",
            Self::Regen { .. } => "plan_regen_malformed",
            Self::PlanTypeReserved { .. } => "plan_type_reserved",
            Self::Signature { cause, .. } => cause.code(),
            Self::SignatureOrder { .. } => "signature_order",
            Self::PlanHashMismatch { .. } => "plan_hash_mismatch",
        }
    }
}

/// Refuses `actual` of `what` above `limit`; `offset` is where the file says so.
pub(crate) const fn within(what: &'static str, actual: usize, limit: usize, offset: usize) -> Result<(), FormatError> {
    if actual > limit { Err(FormatError::TooLarge { what, actual, limit, offset }) } else { Ok(()) }
}

/// Declares the rules of tables.
macro_rules! rules {
    ($($variant:ident $code:literal $text:literal)+) => {
        /// A rule that a record must keep (spec/plan-format.md, "Rules of the tables").
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
        pub enum Rule { $(#[doc = $text] #[error($text)] $variant),+ }

        impl Rule {
            /// Every rule.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The stable code.
            #[must_use]
            pub const fn code(self) -> &'static str {
                match self { $(Self::$variant => $code),+ }
            }
        }
    };
}

rules! {
    Reserved "table_reserved" "a reserved field is not zero"
    Range "table_range" "a range leaves its table, or records are used twice"
    Text "table_text" "a text leaves its pool"
    TextTotal "table_text_total" "texts refer to more bytes than they may together"
    NodeKind "node_kind" "the node's kind is unknown"
    Subtree "node_subtree" "the subtree is empty or leaves its parent"
    LeafChildren "node_leaf_children" "a node of this kind has no children"
    TryChildren "node_try_children" "`@try` holds its steps, then at most one `@catch`, then at most one `@finally`"
    OutsideTry "node_outside_try" "`@catch` and `@finally` stand directly in `@try`"
    NodeFlags "node_flags" "the node has unknown flags"
    Parallel "node_parallel" "a control-flow node in `@parallel` holds executing nodes, and `@if`, `@else` and `@when` at most one"
    Transform "node_transform" "`@transform` holds one step, then at least one operation; operations stand nowhere else"
    Depth "node_depth" "steps are nested too deeply"
    Origin "node_origin" "the node does not come from a template or node of the program that is of its kind"
    ArgOrder "arg_order" "arguments are not sorted by parameter, or one stands twice"
    ArgType "arg_type" "the argument's type is unknown or not a scalar"
    ArgValue "arg_value" "the argument's value does not fit its type"
    PartKind "part_kind" "the part's kind is unknown"
    PartText "part_text" "a text is empty beside other parts, or follows another text"
    Position "part_position" "the position is unknown or cannot stand here"
    SlotNumber "part_slot" "the slot does not exist"
    Binding "part_binding" "the binding does not name an earlier `@let`"
    SlotKey "slot_key" "the slot's key is empty, too long, or stands twice"
    SlotFlags "slot_flags" "the slot has unknown flags"
    SlotType "slot_type" "the slot's value type is unknown"
    SlotValue "slot_value" "a public value is not canonical or not of its type, or a secret has a value"
    SlotDisplay "slot_display" "the display id is not eight Base58 characters"
    SpanFile "span_file" "a place in the source names a file that SOURCES does not hold"
    InstructionSet "terms_instruction_set" "the terms and the program name different instruction sets"
    PlanType "terms_plan_type" "the plan type is not that of the steps"
    ArgumentName "terms_argument_name" "an argument's name is empty or stands twice"
    ArgumentValue "terms_argument_value" "an argument is not a canonical value"
    Directory "terms_directory" "the directory is not an absolute path"
    Umask "terms_umask" "the umask is above 0777"
    PassEnv "terms_pass_env" "the promised environment names are not sorted, stand twice, or hold NUL or `=`"
    Shell "terms_shell" "the shell is not an absolute path"
    RegenRoot "terms_regen_root" "the regen root is named without sub-keys, or sub-keys are there without it"
    SourceName "terms_source_name" "the source name holds a NUL byte"
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn codes_of_rules_are_distinct_and_plain() {
        let codes: HashSet<_> = Rule::ALL.iter().map(|rule| rule.code()).collect();
        assert_eq!(codes.len(), Rule::ALL.len());
        assert!(codes.iter().all(|code| code.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')));
    }
}
