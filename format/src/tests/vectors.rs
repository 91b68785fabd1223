//! The vectors in `spec/vectors/plan/`: files with their verdicts, one defect each.
//!
//! They are part of the format and are read as they lie there. `cargo test -p opal-format -- --ignored write_missing_vectors` adds files that
//! the list below has and the directory has not; it never changes one.

use super::draft::{Draft, sign, signature_section};
use super::sample::{Builder, Piece, Sample, public, seed, signer, source};
use crate::crypto::envelope::{self, EnvelopeError};
use crate::crypto::hash::HashAlgorithm;
use crate::crypto::seed::Drbg;
use crate::crypto::signature::{NAMESPACE_PLAN, SshSignature};
use crate::read::archive;
use crate::read::error::Rule;
use crate::read::kind::Section;
use crate::read::kind::{NodeKind, PlanType, Position, ValueType};
use crate::read::program::DebugEntry;
use crate::read::reader::RawPlan;
use crate::read::record::{Range, Span, TextRef};
use crate::read::section::FLAG_CRITICAL;
use crate::read::slots::Slots;
use crate::read::sources::SourceFile;
use crate::read::steps::{Part, PartKind};
use crate::write::writer::source_list;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::PathBuf;

const INDEX: &str = "verdicts.tsv";

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../spec/vectors/plan")
}

/// What a reader says: a code, then for an accepted plan its digests and whether its envelope opens with key 1. (It does not where bytes
/// before ENVELOPE were changed after sealing.)
fn verdict(bytes: &[u8]) -> String {
    let read = || {
        let plan = RawPlan::copy(bytes, 1 << 20)?.authenticate()?;
        let contract = plan.decode()?;
        contract.check_plan_hash()?;
        let opens = match contract.unseal(&signer(1)) {
            Ok(opened) if opened.as_bytes() == seed().as_bytes() => "opens",
            Ok(_) => "wrong seed",
            Err(EnvelopeError::Mismatch) => "mismatch",
            Err(_) => "refused",
        };
        Ok::<_, crate::read::error::FormatError>(format!("ok\t{}\t{}\t{opens}", contract.contract_hash, contract.header.plan_hash))
    };
    read().unwrap_or_else(|error| format!("{}\t-\t-\t-", error.code()))
}

#[test]
fn every_vector_gets_its_stated_verdict() {
    let index = std::fs::read_to_string(folder().join(INDEX)).unwrap();
    let mut stated: BTreeMap<_, _> = index.lines().skip(1).map(|line| line.split_once('\t').unwrap()).collect();
    let mut checked = 0;
    for entry in std::fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if name == INDEX {
            continue;
        }
        let expected = stated.remove(name.as_str()).unwrap_or_else(|| panic!("{name} has no verdict"));
        assert_eq!(verdict(&std::fs::read(&path).unwrap()), expected, "{name}");
        checked += 1;
    }
    assert!(stated.is_empty(), "no files for {stated:?}");
    assert!(checked > 100, "only {checked} vectors");
}

#[test]
fn the_writer_still_gives_the_bytes_of_the_first_vectors() {
    assert!(Sample::new().signed(&[1]) == stored("valid_signed.plan"));
    assert!(Sample::of(HashAlgorithm::Blake3).signed(&[1]) == stored("valid_blake3.plan"));
}

#[test]
fn every_rule_has_a_vector() {
    let index = std::fs::read_to_string(folder().join(INDEX)).unwrap();
    let codes: BTreeSet<_> = index.lines().filter_map(|line| line.split('\t').nth(1)).collect();
    for rule in Rule::ALL {
        assert!(codes.contains(rule.code()), "{rule:?}");
    }
}

#[test]
#[ignore = "writes files: for whoever adds a vector"]
fn write_missing_vectors() {
    std::fs::create_dir_all(folder()).unwrap();
    let mut index = String::from("file\tverdict\tcontract_hash\tplan_hash\tenvelope\n");
    for (name, code, bytes) in list() {
        let name = format!("{name}.plan");
        let path = folder().join(&name);
        if !path.exists() {
            std::fs::write(&path, bytes).unwrap();
        }
        let verdict = verdict(&std::fs::read(&path).unwrap());
        assert_eq!(verdict.split('\t').next(), Some(code), "{name}");
        writeln!(index, "{name}\t{verdict}").unwrap();
    }
    std::fs::write(folder().join(INDEX), index).unwrap();
}

type Vector = (&'static str, &'static str, Vec<u8>);

fn list() -> Vec<Vector> {
    [accepted(), headers(), sections(), signatures(), terms(), slots(), steps()].concat()
}

/// The sample with a change to its tables, signed.
fn tables(change: impl FnOnce(&mut Sample)) -> Vec<u8> {
    let mut draft = Draft::new(&Sample::new());
    let mut sample = Sample::new();
    change(&mut sample);
    draft.start[12..16].copy_from_slice(&u32::try_from(sample.steps.nodes.len()).unwrap().to_le_bytes());
    draft.start[16..20].copy_from_slice(&u32::try_from(sample.slots.slots.len()).unwrap().to_le_bytes());
    draft
        .put(Section::Terms, &archive::write(Section::Terms, &sample.terms).unwrap())
        .put(Section::Program, &archive::write(Section::Program, &sample.program).unwrap())
        .put(Section::Steps, &archive::write(Section::Steps, &sample.steps).unwrap())
        .put(Section::Values, &archive::write(Section::Values, &sample.slots).unwrap())
        .signed()
}

/// The sample with a change to its bytes before SIGNATURE, signed.
fn body(change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut body = Draft::new(&Sample::new()).body();
    change(&mut body);
    sign(&body)
}

/// The signed sample with a change to its bytes.
fn raw(change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut bytes = Sample::new().signed(&[1]);
    change(&mut bytes);
    bytes
}

/// The sample with a change to its sections, signed.
fn draft(change: impl FnOnce(&mut Draft)) -> Vec<u8> {
    draft_of(&Sample::new(), change)
}

fn draft_of(sample: &Sample, change: impl FnOnce(&mut Draft)) -> Vec<u8> {
    let mut draft = Draft::new(sample);
    change(&mut draft);
    draft.signed()
}

/// The sample with sub-keys and a change to their section, signed.
fn regen(change: &dyn Fn(&mut Vec<u8>)) -> Vec<u8> {
    draft_of(&Sample::with_sub_keys(), |d| change(&mut d.sections[5].2))
}

fn accepted() -> Vec<Vector> {
    let blake3 = Sample::of(HashAlgorithm::Blake3);
    let mut pipeline = Builder::default();
    pipeline.node(NodeKind::Transform, 5, &[], &[]);
    pipeline.node(NodeKind::Group, 2, &[], &[]);
    pipeline.node(NodeKind::Shell, 1, &[], &[Piece::Text("true")]);
    pipeline.node(NodeKind::LinesHead, 1, &[(0, ValueType::Int, 3)], &[]);
    pipeline.node(NodeKind::LinesCount, 1, &[], &[]);
    let pipeline = Sample::with_steps(pipeline.0).typed();
    vec![
        ("valid_signed", "ok", Sample::new().signed(&[1])),
        ("valid_unsigned", "ok", Sample::new().signed(&[])),
        ("valid_two-signers", "ok", Sample::new().signed(&[1, 2])),
        ("valid_blake3", "ok", blake3.signed(&[1])),
        ("valid_minor-version", "ok", body(|b| b[6] = 7)),
        ("valid_unknown-section", "ok", draft(|d| d.sections.insert(2, (*b"NEWS", 0, vec![1, 2, 3])))),
        ("valid_unknown-section-last", "ok", draft(|d| d.sections.push((*b"NEWS", 0, vec![])))),
        ("valid_pipeline", "ok", pipeline.signed(&[1])),
        ("valid_audience", "ok", Sample::for_hosts().signed(&[1])),
        (
            "valid_parallel",
            "ok",
            parallel(&|b: &mut Builder| {
                b.node(NodeKind::Parallel, 9, &[], &[]);
                b.node(NodeKind::For, 4, &[], &[]);
                b.node(NodeKind::Shell, 1, &[], &[Piece::Text("true")]);
                b.node(NodeKind::Group, 2, &[], &[]);
                b.node(NodeKind::If, 1, &[], &[]);
                b.node(NodeKind::If, 3, &[], &[]);
                b.node(NodeKind::Retry, 2, &[(0, ValueType::Int, 3)], &[]);
                b.node(NodeKind::While, 1, &[], &[]);
                b.node(NodeKind::Else, 1, &[], &[]);
            }),
        ),
        ("valid_two-files", "ok", {
            let mut sample = Sample::new();
            sample.sources.push(SourceFile { name: "lib/k8s.opl", length: 9, digest: [1; 32] });
            sample.slots.slots[0].span.file = 1;
            sample.signed(&[1])
        }),
        ("valid_regen", "ok", Sample::with_sub_keys().signed(&[1])),
        ("valid_sha256-signature", "ok", with_signatures(&[sha256_signature()])),
    ]
}

/// The sample with these steps.
fn parallel(build: &dyn Fn(&mut Builder)) -> Vec<u8> {
    let mut builder = Builder::default();
    build(&mut builder);
    let mut draft = Draft::new(&Sample::new());
    let mut sample = Sample::with_steps(builder.0).typed();
    sample.terms.pass_env.clear();
    draft.start[12..16].copy_from_slice(&u32::try_from(sample.steps.nodes.len()).unwrap().to_le_bytes());
    draft.start[64..96].copy_from_slice(&sample.plan_hash().bytes);
    draft
        .put(Section::Terms, &archive::write(Section::Terms, &sample.terms).unwrap())
        .put(Section::Program, &archive::write(Section::Program, &sample.program).unwrap())
        .put(Section::Steps, &archive::write(Section::Steps, &sample.steps).unwrap())
        .signed()
}

fn stored(name: &str) -> Vec<u8> {
    std::fs::read(folder().join(name)).unwrap()
}

fn headers() -> Vec<Vector> {
    let target = |length: u16, text: &[u8]| {
        draft(|d| {
            d.start.truncate(96);
            d.start.extend_from_slice(&length.to_le_bytes());
            d.start.extend_from_slice(text);
            d.start.resize(d.start.len().next_multiple_of(16), 0);
        })
    };
    vec![
        ("header_empty", "plan_truncated", vec![]),
        ("header_cut-in-magic", "plan_truncated", raw(|b| b.truncate(3))),
        ("header_cut-in-version", "plan_truncated", raw(|b| b.truncate(7))),
        ("header_foreign-file", "plan_bad_magic", b"#!/bin/sh\necho this is no plan\n".to_vec()),
        ("header_magic-reversed", "plan_bad_magic", raw(|b| b[..4].reverse())),
        ("header_magic-only", "plan_truncated", b"OPAL".to_vec()),
        ("header_version-1", "plan_unsupported_version", stored("header_version-1.plan")),
        ("header_version-3", "plan_unsupported_version", raw(|b| b[4] = 3)),
        ("header_hash-algorithm", "plan_unknown_number", raw(|b| b[11] = 2)),
        ("header_other-hash-algorithm", "signature_mismatch", raw(|b| b[11] = 1)),
        ("header_compressed", "plan_compressed", body(|b| b[8] |= 1)),
        ("header_signed-bit", "plan_signed_bit", body(|b| b[8] = 0)),
        ("header_reserved-flag", "plan_reserved_bits", body(|b| b[9] = 0x80)),
        ("header_quick-mode", "plan_not_resolved", body(|b| b[10] = 0)),
        ("header_unknown-mode", "plan_unknown_number", body(|b| b[10] = 2)),
        ("header_step-count", "plan_count_mismatch", body(|b| b[12] += 1)),
        ("header_value-count", "plan_count_mismatch", body(|b| b[16] -= 1)),
        ("header_provenance-length", "plan_count_mismatch", body(|b| b[20] += 1)),
        ("header_too-many-steps", "plan_too_large", body(|b| b[15] = 0xff)),
        ("header_too-many-values", "plan_too_large", body(|b| b[19] = 0xff)),
        ("header_provenance-too-long", "plan_too_large", body(|b| b[23] = 0xff)),
        ("header_plan-hash", "plan_hash_mismatch", body(|b| b[64] ^= 1)),
        ("target_too-long", "plan_too_large", target(1025, &[b'x'; 1025])),
        ("target_not-utf8", "plan_not_utf8", target(2, b"\xc3\x28")),
        ("target_padding", "plan_padding", target(6, b"deploy!")),
        (
            "target_cut",
            "plan_truncated",
            sign(&{
                let mut short = Draft::new(&Sample::new()).start;
                short[96..98].copy_from_slice(&1000_u16.to_le_bytes());
                short
            }),
        ),
    ]
}

fn sections() -> Vec<Vector> {
    let without = |section: Section| {
        draft(|d| {
            d.sections.remove(d.index(section));
        })
    };
    let garbage = |section: Section| Draft::new(&Sample::new()).put(section, &[0xff; 64]).signed();
    let sealed = |recipients: &[u8]| {
        let keys: Vec<_> = recipients.iter().map(|number| public(*number)).collect();
        envelope::seal_with(&seed(), &keys, &HashAlgorithm::Sha256.plain(b""), Drbg::new(&[9; 32])).unwrap()
    };
    // References in an archive are relative, so bytes before it leave it valid.
    let hidden = |section: Section| {
        draft(|d| {
            let index = d.index(section);
            d.sections[index].2.splice(..0, [0x55; 16]);
        })
    };
    let sources = |bytes: &[u8]| Draft::new(&Sample::new()).put(Section::Sources, bytes).signed();
    let listed = |files: &[SourceFile<'_>]| sources(&source_list(files));
    let own = source(HashAlgorithm::Sha256);
    let other = SourceFile { name: "lib.opl", length: 1, digest: [1; 32] };
    let names: Vec<String> = (0..256).map(|number| format!("{number}.opl")).collect();
    let many: Vec<_> = [own].into_iter().chain(names.iter().map(|name| SourceFile { name, ..other })).collect();
    let one = source_list(&[own]);
    let key = |number: u8| *public(number).as_bytes();
    let mut hosts = [key(3), key(4)];
    hosts.sort_unstable();
    let audience = |keys: &[[u8; 32]]| draft_of(&Sample::for_hosts(), |d| d.sections[5].2 = keys.concat());
    // The zeros between the text pool and the root of an archive whose root has this size.
    let gap = |section: Section, root: usize, change: fn(&mut [u8], usize)| {
        draft(|d| {
            let index = d.index(section);
            let bytes = &mut d.sections[index].2;
            let end = bytes.len() - root;
            assert_eq!(bytes[end - 1], 0, "{section} has no gap");
            change(bytes, end);
        })
    };
    // Puts the zeros before the text pool instead: its pointer is the last of the root.
    let late = |bytes: &mut [u8], root: usize| {
        let at = bytes.len() - 8;
        let length = u32::from_le_bytes(bytes[at + 4..].try_into().unwrap()) as usize;
        let start = at.wrapping_add_signed(i32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as isize);
        let gap = root - start - length;
        bytes[start..root].rotate_right(gap);
        let pointer = i32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) + i32::try_from(gap).unwrap();
        bytes[at..at + 4].copy_from_slice(&pointer.to_le_bytes());
    };
    let enveloped = |bytes: &[u8]| Draft::new(&Sample::new()).put(Section::Envelope, bytes).signed();
    let mut swapped = sealed(&[1, 2]);
    swapped.rotate_left(112);
    let mut weak = sealed(&[1]);
    weak[..32].fill(0);
    vec![
        ("section_no-terms", "plan_missing_section", without(Section::Terms)),
        ("section_no-program", "plan_missing_section", without(Section::Program)),
        ("section_no-steps", "plan_missing_section", without(Section::Steps)),
        ("section_no-values", "plan_missing_section", without(Section::Values)),
        ("section_no-sources", "plan_missing_section", without(Section::Sources)),
        ("section_no-envelope", "plan_missing_section", without(Section::Envelope)),
        ("section_no-provenance", "plan_missing_section", without(Section::Provenance)),
        ("section_twice", "plan_duplicate_section", draft(|d| d.sections.insert(1, d.sections[0].clone()))),
        ("section_out-of-order", "plan_section_order", draft(|d| d.sections.swap(2, 3))),
        ("section_signature-inside", "plan_section_order", draft(|d| d.sections.push((*b"SIGN", 1, vec![])))),
        ("section_unknown-critical", "plan_unknown_critical", draft(|d| d.sections.push((*b"NEWS", 1, vec![])))),
        ("section_reserved-flag", "plan_reserved_bits", draft(|d| d.sections[0].1 |= 0x100)),
        ("section_unknown-reserved-flag", "plan_reserved_bits", draft(|d| d.sections.push((*b"NEWS", 2, vec![])))),
        ("section_reserved-bytes", "plan_reserved_bits", body(|b| b[112 + 6] = 1)),
        ("section_terms-not-critical", "plan_section_flags", draft(|d| d.sections[0].1 = 0)),
        ("section_provenance-critical", "plan_section_flags", draft(|d| d.sections[6].1 = 1)),
        ("section_padding", "plan_padding", body(|b| *b.last_mut().unwrap() = 1)),
        ("section_too-long", "plan_truncated", body(|b| b[112 + 8 + 3] = 0x7f)),
        ("section_length-overflow", "plan_truncated", body(|b| b[112 + 8..112 + 16].fill(0xff))),
        (
            "section_cut-frame",
            "plan_truncated",
            sign(&[Draft::new(&Sample::new()).start.as_slice(), b"TERM\x01\0\0\0\x10\0\0\0\0\0\0\0"].concat()),
        ),
        ("section_too-many", "plan_too_large", draft(|d| (0..30).for_each(|_| d.sections.push((*b"NEWS", 0, vec![]))))),
        ("archive_terms", "plan_archive_invalid", garbage(Section::Terms)),
        ("archive_program", "plan_archive_invalid", garbage(Section::Program)),
        ("archive_steps", "plan_archive_invalid", garbage(Section::Steps)),
        ("archive_values", "plan_archive_invalid", garbage(Section::Values)),
        ("archive_empty", "plan_archive_invalid", Draft::new(&Sample::new()).put(Section::Steps, &[]).signed()),
        ("archive_trailing-byte", "plan_archive_invalid", draft(|d| d.sections[2].2.push(0))),
        ("archive_hidden-bytes-in-terms", "plan_trailing_data", hidden(Section::Terms)),
        ("archive_hidden-bytes-in-program", "plan_trailing_data", hidden(Section::Program)),
        ("archive_hidden-bytes-in-steps", "plan_trailing_data", hidden(Section::Steps)),
        ("archive_hidden-bytes-in-values", "plan_trailing_data", hidden(Section::Values)),
        (
            "archive_appended-empty-root",
            "plan_trailing_data",
            draft(|d| {
                let empty = archive::write(Section::Steps, &crate::read::steps::Steps::default()).unwrap();
                d.sections[2].2.extend_from_slice(&empty);
            }),
        ),
        ("archive_padding-in-steps", "plan_padding", gap(Section::Steps, 32, |bytes, end| bytes[end - 1] = 1)),
        ("archive_padding-in-program", "plan_padding", gap(Section::Program, 120, |bytes, end| bytes[end - 1] = 1)),
        ("archive_padding-in-values", "plan_padding", gap(Section::Values, 16, |bytes, end| bytes[end - 1] = 1)),
        ("archive_late-text-in-steps", "plan_trailing_data", gap(Section::Steps, 32, late)),
        ("archive_late-text-in-program", "plan_trailing_data", gap(Section::Program, 120, late)),
        ("archive_late-text-in-values", "plan_trailing_data", gap(Section::Values, 16, late)),
        ("section_carried", "plan_unknown_critical", draft(|d| d.sections.insert(5, (*b"CARR", 1, vec![0; 32])))),
        ("section_providers", "plan_unknown_critical", draft(|d| d.sections.insert(5, (*b"PRVD", 1, vec![0; 32])))),
        ("sources_empty", "plan_sources_malformed", sources(&[])),
        ("sources_none", "plan_sources_malformed", listed(&[])),
        ("sources_count", "plan_sources_malformed", sources(&[&2_u32.to_le_bytes(), &one[4..]].concat())),
        ("sources_cut", "plan_sources_malformed", sources(&one[..one.len() - 1])),
        ("sources_trailing-byte", "plan_sources_malformed", sources(&[one.as_slice(), &[0]].concat())),
        ("sources_twice", "plan_sources_malformed", listed(&[own, own])),
        ("sources_too-many", "plan_sources_malformed", listed(&many)),
        ("sources_too-long", "plan_sources_malformed", listed(&[own, SourceFile { length: u64::from(u32::MAX), ..other }])),
        ("sources_length-overflow", "plan_sources_malformed", listed(&[own, SourceFile { length: u64::MAX, ..other }])),
        ("sources_nul", "plan_sources_malformed", listed(&[own, SourceFile { name: "a\0b", ..other }])),
        ("sources_name-too-long", "plan_sources_malformed", listed(&[own, SourceFile { name: &"n".repeat(4097), ..other }])),
        ("sources_not-utf8", "plan_sources_malformed", {
            let mut bytes = one.clone();
            bytes[6] = 0xff;
            sources(&bytes)
        }),
        ("sources_other-name", "plan_sources_malformed", listed(&[SourceFile { name: "else.opl", ..own }])),
        ("sources_other-digest", "plan_sources_malformed", listed(&[SourceFile { digest: [1; 32], ..own }])),
        ("sources_not-critical", "plan_section_flags", draft(|d| d.sections[4].1 = 0)),
        ("audience_empty", "plan_audience_malformed", audience(&[])),
        ("audience_cut", "plan_audience_malformed", draft_of(&Sample::for_hosts(), |d| d.sections[5].2.truncate(63))),
        ("audience_twice", "plan_audience_malformed", audience(&[hosts[0], hosts[0]])),
        ("audience_unsorted", "plan_audience_malformed", audience(&[hosts[1], hosts[0]])),
        ("audience_weak-key", "plan_audience_malformed", audience(&[[0; 32]])),
        (
            "audience_key-not-canonical",
            "plan_audience_malformed",
            audience(&[[&[0xee_u8][..], &[0xff; 30], &[0x7f]].concat().try_into().unwrap()]),
        ),
        ("audience_too-many", "plan_audience_malformed", {
            let mut keys: Vec<[u8; 32]> = (1..=65).map(key).collect();
            keys.sort_unstable();
            audience(&keys)
        }),
        ("audience_not-critical", "plan_section_flags", draft_of(&Sample::for_hosts(), |d| d.sections[5].1 = 0)),
        ("audience_before-sources", "plan_section_order", draft_of(&Sample::for_hosts(), |d| d.sections.swap(4, 5))),
        ("audience_alone", "plan_missing_section", draft_of(&Sample::for_hosts(), |d| drop(d.sections.remove(4)))),
        ("provenance_not-utf8", "plan_not_utf8", draft(|d| d.sections[6].2[0] = 0xff)),
        ("regen_empty", "plan_regen_malformed", regen(&|sealed| sealed.truncate(16))),
        ("regen_cut", "plan_regen_malformed", regen(&|sealed| sealed.truncate(143))),
        ("regen_no-tag", "plan_regen_malformed", regen(&Vec::clear)),
        ("regen_noncritical", "plan_section_flags", draft_of(&Sample::with_sub_keys(), |d| d.sections[5].1 = 0)),
        ("regen_after-envelope", "plan_section_order", draft_of(&Sample::with_sub_keys(), |d| d.sections.swap(5, 6))),
        ("terms_regen-root-without-sub-keys", "terms_regen_root", tables(|s| s.terms.regen_root = Some([1; 32]))),
        (
            "terms_sub-keys-without-regen-root",
            "terms_regen_root",
            draft(|d| d.sections.insert(5, (Section::Regen.tag(), FLAG_CRITICAL, vec![0; 80]))),
        ),
        ("envelope_empty", "plan_envelope_malformed", enveloped(&[])),
        ("envelope_cut", "plan_envelope_malformed", enveloped(&sealed(&[1])[..111])),
        ("envelope_twice", "plan_envelope_malformed", enveloped(&sealed(&[1]).repeat(2))),
        ("envelope_unsorted", "plan_envelope_malformed", enveloped(&swapped)),
        ("envelope_weak-key", "plan_envelope_malformed", enveloped(&weak)),
        ("envelope_too-many", "plan_envelope_malformed", enveloped(&sealed(&[1]).repeat(65))),
    ]
}

fn blob(number: u8) -> Vec<u8> {
    SshSignature::sign(&signer(number), NAMESPACE_PLAN, &Sample::new().file().contract_hash().bytes).unwrap().to_blob()
}

fn sha256_signature() -> Vec<u8> {
    use crate::crypto::signature::{MessageHash, signed_data};
    use ed25519_dalek::Signer as _;
    let data = signed_data(NAMESPACE_PLAN, MessageHash::Sha256, &Sample::new().file().contract_hash().bytes);
    SshSignature::from_raw(public(1).into(), NAMESPACE_PLAN, MessageHash::Sha256, signer(1).sign(&data).to_bytes().into()).to_blob()
}

/// A signature by a security key of which somebody touched that with these flags.
fn touched(flags: u8) -> Vec<u8> {
    use crate::crypto::credential::{Signatory, SigningParty};
    use crate::crypto::signature::{MessageHash, RawSignature, signed_data};
    use ed25519_dalek::Signer as _;
    let data = signed_data(NAMESPACE_PLAN, MessageHash::Sha512, &Sample::new().file().contract_hash().bytes);
    let sha256 = |bytes: &[u8]| HashAlgorithm::Sha256.plain(bytes).bytes;
    let signed = [&sha256(b"ssh:")[..], &[flags], &7_u32.to_be_bytes(), &sha256(&data)].concat();
    let signatory = Signatory { party: SigningParty { key: public(1), application: Some("ssh:".to_owned()) }, certificate: None };
    let signature = RawSignature { bytes: signer(1).sign(&signed).to_bytes(), device: Some((flags, 7)) };
    SshSignature::from_raw(signatory, NAMESPACE_PLAN, MessageHash::Sha512, signature).to_blob()
}

/// A signature by key 1 with a certificate of kind `kind` by key 2, whose signature has its last byte changed by `forged`.
fn certified(kind: u32, forged: u8) -> Vec<u8> {
    use ed25519_dalek::Signer as _;
    let string = |bytes: &[u8]| [&u32::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat();
    let key = |number| string(public(number).as_bytes());
    let mut certificate = [string(b"ssh-ed25519-cert-v01@openssh.com"), string(&[9; 32]), key(1), 3_u64.to_be_bytes().to_vec()].concat();
    certificate.extend_from_slice(&[kind.to_be_bytes().to_vec(), string(b"id"), string(&string(b"alice"))].concat());
    certificate.extend_from_slice(&[0_u64.to_be_bytes(), u64::MAX.to_be_bytes()].concat());
    certificate.extend_from_slice(&[string(b""), string(b""), string(b""), string(&[string(b"ssh-ed25519"), key(2)].concat())].concat());
    let mut signature = signer(2).sign(&certificate).to_bytes();
    signature[40] ^= forged;
    certificate.extend_from_slice(&string(&[string(b"ssh-ed25519"), string(&signature)].concat()));
    let plain = blob(1);
    let after_key = plain.windows(9).position(|window| window == NAMESPACE_PLAN.as_bytes()).unwrap() - 4;
    [&plain[..10], &string(&certificate), &plain[after_key..]].concat()
}

/// The sample with a SIGNATURE section that holds these bytes as signatures.
fn with_signatures(blobs: &[Vec<u8>]) -> Vec<u8> {
    let mut list = u32::try_from(blobs.len()).unwrap().to_le_bytes().to_vec();
    for blob in blobs {
        list.extend_from_slice(&u32::try_from(blob.len()).unwrap().to_le_bytes());
        list.extend_from_slice(blob);
    }
    with_list(&list)
}

fn with_list(list: &[u8]) -> Vec<u8> {
    [Draft::new(&Sample::new()).body(), signature_section(list)].concat()
}

fn changed(blob: &[u8], offset: usize, bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut blob = blob.to_vec();
    blob[offset..offset + bytes.len()].copy_from_slice(bytes);
    vec![blob]
}

fn signatures() -> Vec<Vector> {
    let good = blob(1);
    let mut pair = [blob(1), blob(2)];
    pair.sort_by_key(|blob| blob[33..65].to_vec());
    pair.reverse();
    let foreign = SshSignature::sign(&signer(1), NAMESPACE_PLAN, &[7; 32]).unwrap().to_blob();
    let vouch = SshSignature::sign(&signer(1), "opal-vouch", &Sample::new().file().contract_hash().bytes).unwrap().to_blob();
    let find = |needle: &[u8]| good.windows(needle.len()).position(|window| window == needle).unwrap();
    let last = good.len() - 1;
    let listed = |extra: &[u8]| [1_u32.to_le_bytes().as_slice(), &u32::try_from(good.len()).unwrap().to_le_bytes(), &good, extra].concat();
    let section = Draft::new(&Sample::new()).body().len();
    vec![
        ("signature_changed", "signature_mismatch", with_signatures(&changed(&good, last - 40, &[good[last - 40] ^ 1]))),
        ("signature_scalar-not-reduced", "signature_mismatch", with_signatures(&changed(&good, last, &[good[last] | 0xe0]))),
        ("signature_other-contract", "signature_mismatch", with_signatures(&[foreign])),
        (
            "signature_one-of-two-wrong",
            "signature_mismatch",
            raw(|b| {
                *b = Sample::new().signed(&[1, 2]);
                let at = section + 24 + good.len() - 40;
                b[at] ^= 1;
            }),
        ),
        ("signature_contents-changed", "signature_mismatch", raw(|b| b[200] ^= 1)),
        ("signature_vouch-namespace", "signature_namespace", with_signatures(&[vouch])),
        ("signature_weak-key", "signature_key", with_signatures(&changed(&good, 33, &[&[1_u8][..], &[0; 31]].concat()))),
        (
            "signature_key-not-canonical",
            "signature_key",
            with_signatures(&changed(&good, 33, &[&[0xee_u8][..], &[0xff; 30], &[0x7f]].concat())),
        ),
        ("signature_not-sshsig", "signature_malformed", with_signatures(&changed(&good, 0, b"SSHSIX"))),
        ("signature_version", "signature_malformed", with_signatures(&changed(&good, 9, &[2]))),
        ("signature_key-type", "signature_malformed", with_signatures(&changed(&good, find(b"ssh-ed25519"), b"ssh-ed44819"))),
        ("signature_hash", "signature_malformed", with_signatures(&changed(&good, find(b"sha512"), b"sha384"))),
        ("signature_trailing-byte", "signature_malformed", with_signatures(&[[good.as_slice(), &[0]].concat()])),
        ("signature_empty", "signature_malformed", with_signatures(&[vec![]])),
        ("signature_twice", "signature_order", with_signatures(&[good.clone(), good.clone()])),
        ("signature_unsorted", "signature_order", with_signatures(&pair)),
        ("signature_too-many", "plan_too_large", with_list(&17_u32.to_le_bytes())),
        ("signature_too-long", "plan_too_large", with_signatures(&[vec![0; 4097]])),
        ("valid_security-key", "ok", with_signatures(&[touched(1)])),
        ("signature_not-touched", "signature_absent", with_signatures(&[touched(0)])),
        ("signature_security-key-twice", "signature_order", with_signatures(&[touched(1), blob(1)])),
        ("valid_certificate", "ok", with_signatures(&[certified(1, 0)])),
        ("signature_certificate-of-a-host", "signature_malformed", with_signatures(&[certified(2, 0)])),
        ("signature_certificate-forged", "signature_key", with_signatures(&[certified(1, 1)])),
        ("signature_list-cut", "plan_truncated", with_list(&listed(&[])[..100])),
        ("signature_list-empty", "plan_truncated", with_list(&[])),
        ("signature_count-lowered", "plan_padding", with_list(&[&0_u32.to_le_bytes(), &listed(&[])[4..]].concat())),
        ("signature_padding", "plan_padding", with_list(&listed(&[1]))),
        ("signature_trailing-zeros", "plan_trailing_data", with_list(&listed(&[0; 32]))),
        ("signature_not-critical", "plan_section_flags", raw(|b| b[section + 4] = 0)),
        ("signature_other-tag", "plan_unknown_critical", raw(|b| b[section] = b'X')),
        ("signature_section-of-another-kind", "plan_no_trailer", raw(|b| b[section..section + 4].copy_from_slice(b"TERM"))),
        ("trailer_cut", "plan_no_trailer", raw(|b| b.truncate(b.len() - 1))),
        ("trailer_cut-block", "plan_no_trailer", raw(|b| b.truncate(b.len() - 16))),
        ("trailer_appended-byte", "plan_no_trailer", raw(|b| b.push(0))),
        ("trailer_appended-block", "plan_no_trailer", raw(|b| b.extend_from_slice(&[0; 16]))),
        ("trailer_magic", "plan_no_trailer", raw(|b| *b.last_mut().unwrap() = b'M')),
        (
            "trailer_length-beyond-file",
            "plan_no_trailer",
            raw(|b| {
                let at = b.len() - 16;
                b[at + 3] = 1;
            }),
        ),
        (
            "trailer_length-not-aligned",
            "plan_no_trailer",
            raw(|b| {
                let at = b.len() - 16;
                b[at] += 1;
            }),
        ),
    ]
}

fn terms() -> Vec<Vector> {
    vec![
        ("terms_plan-type-adaptive", "plan_type_reserved", tables(|s| s.terms.plan_type = PlanType::Adaptive.number())),
        ("terms_plan-type-unknown", "plan_type_reserved", tables(|s| s.terms.plan_type = 200)),
        ("terms_instruction-set", "terms_instruction_set", tables(|s| s.terms.instruction_set = 1)),
        ("terms_argument-not-canonical", "terms_argument_value", tables(|s| s.terms.arguments[1].value.push(0))),
        ("terms_argument-twice", "terms_argument_name", tables(|s| s.terms.arguments[1].name = "env".into())),
        ("terms_argument-unnamed", "terms_argument_name", tables(|s| s.terms.arguments[1].name.clear())),
        ("terms_plan-type-of-other-steps", "terms_plan_type", tables(|s| s.terms.plan_type = PlanType::Atomic.number())),
        ("terms_directory-relative", "terms_directory", tables(|s| s.terms.directory = "srv".into())),
        ("terms_directory-nul", "terms_directory", tables(|s| s.terms.directory = "/srv\0".into())),
        ("terms_umask", "terms_umask", tables(|s| s.terms.umask = 0o1000)),
        ("terms_pass-env-unsorted", "terms_pass_env", tables(|s| s.terms.pass_env.reverse())),
        ("terms_pass-env-twice", "terms_pass_env", tables(|s| s.terms.pass_env = vec!["A".into(), "A".into()])),
        ("terms_pass-env-equals", "terms_pass_env", tables(|s| s.terms.pass_env = vec!["A=B".into()])),
        ("terms_pass-env-nul", "terms_pass_env", tables(|s| s.terms.pass_env = vec!["A\0".into()])),
        ("terms_pass-env-empty-name", "terms_pass_env", tables(|s| s.terms.pass_env = vec![String::new()])),
        ("terms_shell-relative", "terms_shell", tables(|s| s.terms.shell = "bash".into())),
        ("terms_shell-nul", "terms_shell", tables(|s| s.terms.shell = "/bin/bash\0".into())),
        ("terms_source-name-nul", "terms_source_name", tables(|s| s.terms.source_name = "a\0b".into())),
    ]
}

/// Gives the last slot, which has no value, another key.
fn last_key(slots: &mut Slots, key: &[u8]) {
    let slot = slots.slots.last_mut().unwrap();
    let display = slot.display.of(&slots.text).unwrap().to_vec();
    let at = slot.key.offset.to_native();
    slots.text.truncate(at as usize);
    slots.text.extend_from_slice(&[key, &display].concat());
    let length = u32::try_from(key.len()).unwrap();
    (slot.key, slot.display) = (TextRef::new(at, length), TextRef::new(at + length, 8));
}

fn slots() -> Vec<Vector> {
    vec![
        ("slot_reserved", "table_reserved", tables(|s| s.slots.slots[0].reserved = [1, 0, 0])),
        ("slot_key-twice", "slot_key", tables(|s| last_key(&mut s.slots, b"env.TOKEN"))),
        ("slot_key-empty", "slot_key", tables(|s| s.slots.slots[0].key = TextRef::EMPTY)),
        ("slot_key-too-long", "slot_key", tables(|s| last_key(&mut s.slots, &[b'k'; (64 << 10) + 1]))),
        ("slot_text-outside", "table_text", tables(|s| s.slots.slots[0].key = TextRef::new(u32::MAX, 2))),
        (
            "slot_text-shared",
            "table_text",
            tables(|s| s.slots.slots[2].value = TextRef::new(0, u32::try_from(s.slots.text.len()).unwrap())),
        ),
        ("slot_flags", "slot_flags", tables(|s| s.slots.slots[0].flags = 8.into())),
        ("slot_type", "slot_type", tables(|s| s.slots.slots[0].value_type = 8)),
        ("slot_file", "span_file", tables(|s| s.slots.slots[0].span.file = 1)),
        ("slot_text-unused", "table_text", tables(|s| s.slots.text.push(b'x'))),
        ("slot_display-length", "slot_display", tables(|s| s.slots.slots[0].display = TextRef::EMPTY)),
        (
            "slot_display-digit",
            "slot_display",
            tables(|s| {
                let at = s.slots.slots[0].display.offset.to_native() as usize;
                s.slots.text[at] = b'0';
            }),
        ),
        ("slot_secret-with-value", "slot_value", tables(|s| s.slots.slots[1].flags = 0.into())),
        ("slot_public-without-value", "slot_value", tables(|s| s.slots.slots[1].value = TextRef::EMPTY)),
        ("slot_public-of-other-type", "slot_value", tables(|s| s.slots.slots[1].value_type = ValueType::Int.number())),
    ]
}

fn steps() -> Vec<Vector> {
    let step = |change: fn(&mut crate::read::steps::Steps)| tables(|s| change(&mut s.steps));
    let built = |build: &dyn Fn(&mut Builder)| {
        tables(|s| {
            let mut builder = Builder::default();
            build(&mut builder);
            *s = Sample::with_steps(builder.0);
        })
    };
    let depth = |depth: u32| {
        tables(|s| {
            let mut builder = Builder::default();
            (0..depth).for_each(|level| builder.node(NodeKind::Group, depth - level + 1, &[], &[]));
            builder.node(NodeKind::Shell, 1, &[], &[Piece::Text("true")]);
            *s = Sample::with_steps(builder.0);
        })
    };
    let pipeline = |children: &[NodeKind]| {
        built(&|b: &mut Builder| {
            b.node(NodeKind::Transform, 1 + u32::try_from(children.len()).unwrap(), &[], &[]);
            children.iter().for_each(|kind| b.node(*kind, 1, &[], &[]));
        })
    };
    vec![
        ("node_kind", "node_kind", step(|s| s.nodes[0].kind = 99.into())),
        ("node_kind-zero", "node_kind", step(|s| s.nodes[0].kind = 0.into())),
        ("node_flags", "node_flags", step(|s| s.nodes[0].flags = 2.into())),
        ("node_axes-of-a-retry", "node_flags", step(|s| s.nodes[1].flags = 1.into())),
        ("node_subtree-zero", "node_subtree", step(|s| s.nodes[0].subtree = 0.into())),
        ("node_subtree-beyond-table", "node_subtree", step(|s| s.nodes[9].subtree = 3.into())),
        ("node_subtree-beyond-parent", "node_subtree", step(|s| s.nodes[1].subtree = 3.into())),
        ("node_subtree-overflow", "node_subtree", step(|s| s.nodes[0].subtree = u32::MAX.into())),
        ("node_leaf-with-children", "node_leaf_children", step(|s| s.nodes[1].kind = NodeKind::Shell.number().into())),
        (
            "node_step-after-catch",
            "node_try_children",
            built(&|b: &mut Builder| {
                b.node(NodeKind::Try, 3, &[], &[]);
                b.node(NodeKind::Catch, 1, &[], &[]);
                b.node(NodeKind::Shell, 1, &[], &[Piece::Text("true")]);
            }),
        ),
        (
            "node_two-catches",
            "node_try_children",
            built(&|b: &mut Builder| {
                b.node(NodeKind::Try, 3, &[], &[]);
                b.node(NodeKind::Catch, 1, &[], &[]);
                b.node(NodeKind::Catch, 1, &[], &[]);
            }),
        ),
        (
            "node_catch-after-finally",
            "node_try_children",
            built(&|b: &mut Builder| {
                b.node(NodeKind::Try, 3, &[], &[]);
                b.node(NodeKind::Finally, 1, &[], &[]);
                b.node(NodeKind::Catch, 1, &[], &[]);
            }),
        ),
        ("node_catch-at-top", "node_outside_try", built(&|b: &mut Builder| b.node(NodeKind::Catch, 1, &[], &[]))),
        (
            "node_finally-in-group",
            "node_outside_try",
            built(&|b: &mut Builder| {
                b.node(NodeKind::Try, 3, &[], &[]);
                b.node(NodeKind::Group, 2, &[], &[]);
                b.node(NodeKind::Finally, 1, &[], &[]);
            }),
        ),
        ("node_operation-at-top", "node_transform", built(&|b: &mut Builder| b.node(NodeKind::LinesCount, 1, &[], &[]))),
        ("node_pipeline-empty", "node_transform", built(&|b: &mut Builder| b.node(NodeKind::Transform, 1, &[], &[]))),
        ("node_pipeline-without-operation", "node_transform", pipeline(&[NodeKind::Group])),
        ("node_pipeline-without-step", "node_transform", pipeline(&[NodeKind::LinesCount, NodeKind::LinesCount])),
        ("node_pipeline-with-two-steps", "node_transform", pipeline(&[NodeKind::Group, NodeKind::LinesCount, NodeKind::Group])),
        (
            "node_operation-in-operation",
            "node_leaf_children",
            built(&|b: &mut Builder| {
                b.node(NodeKind::Transform, 4, &[], &[]);
                b.node(NodeKind::Group, 1, &[], &[]);
                b.node(NodeKind::LinesCount, 2, &[], &[]);
                b.node(NodeKind::LinesCount, 1, &[], &[]);
            }),
        ),
        ("node_too-deep", "node_depth", depth(257)),
        ("node_runs-of-retry", "table_range", step(|s| s.nodes[1].runs = 1.into())),
        ("node_origin-missing", "node_origin", step(|s| s.nodes[0].origin = 99.into())),
        ("node_origin-of-another-kind", "node_origin", step(|s| s.nodes[0].origin = 1.into())),
        ("node_template-missing", "node_origin", step(|s| s.nodes[2].origin = 4.into())),
        ("node_file", "span_file", tables(|s| s.program.nodes[0].span.file = 1)),
        ("template_parts-shared", "table_range", tables(|s| s.program.templates[1].parts = Range::new(0, 1))),
        ("template_part-unused", "table_range", tables(|s| s.program.template_parts.push(s.program.template_parts[0]))),
        ("template_part-kind", "part_kind", tables(|s| s.program.template_parts[0].kind = 2)),
        ("template_hole-with-text", "part_text", tables(|s| s.program.template_parts[1].text = TextRef::new(0, 1))),
        ("template_text-empty", "part_text", tables(|s| s.program.template_parts[0].text = TextRef::EMPTY)),
        (
            "template_two-texts",
            "part_text",
            built(&|b: &mut Builder| b.node(NodeKind::Shell, 1, &[], &[Piece::Text("tr"), Piece::Text("ue")])),
        ),
        ("template_text-outside", "table_text", tables(|s| s.program.template_parts[0].text = TextRef::new(0, u32::MAX))),
        ("program_file", "span_file", tables(|s| s.program.debug.push(DebugEntry { pc: 0.into(), span: Span { file: 1, ..Span::NONE } }))),
        (
            "node_arm-of-parallel-with-two-steps",
            "node_parallel",
            built(&|b: &mut Builder| {
                b.node(NodeKind::Parallel, 4, &[], &[]);
                b.node(NodeKind::If, 3, &[], &[]);
                b.node(NodeKind::Shell, 1, &[], &[Piece::Text("true")]);
                b.node(NodeKind::Shell, 1, &[], &[Piece::Text("true")]);
            }),
        ),
        (
            "node_while-of-parallel",
            "node_parallel",
            built(&|b: &mut Builder| {
                b.node(NodeKind::Parallel, 3, &[], &[]);
                b.node(NodeKind::While, 2, &[], &[]);
                b.node(NodeKind::Shell, 1, &[], &[Piece::Text("true")]);
            }),
        ),
        (
            "node_arm-in-loop-of-parallel",
            "node_parallel",
            built(&|b: &mut Builder| {
                b.node(NodeKind::Parallel, 4, &[], &[]);
                b.node(NodeKind::For, 3, &[], &[]);
                b.node(NodeKind::If, 2, &[], &[]);
                b.node(NodeKind::Shell, 1, &[], &[Piece::Text("true")]);
            }),
        ),
        ("node_arg-unused", "table_range", step(|s| s.args.push(s.args[0]))),
        ("node_part-unused", "table_range", step(|s| s.parts.push(s.parts[0]))),
        ("node_runs-swapped", "table_range", step(|s| (s.nodes[2].runs, s.nodes[6].runs) = (s.nodes[6].runs, s.nodes[2].runs))),
        ("node_runs-without-holes", "table_range", step(|s| s.nodes[4].runs = 1.into())),
        ("node_run-unfinished", "table_range", step(|s| s.parts[4] = s.parts[4].with_more())),
        ("node_run-missing", "table_range", step(|s| s.parts.truncate(4))),
        ("node_empty-range", "table_range", step(|s| s.nodes[0].args = Range::new(1, 0))),
        ("node_args-outside", "table_range", step(|s| s.nodes[0].args = Range::new(99, 1))),
        ("node_args-shared", "table_range", step(|s| s.nodes[0].args = Range::new(0, 2))),
        ("node_runs-shared", "table_range", step(|s| s.nodes[6].runs = s.nodes[2].runs)),
        ("node_runs-outside", "table_range", step(|s| s.nodes[2].runs = u32::MAX.into())),
        (
            "node_text-total",
            "table_text_total",
            tables(|s| {
                let text = "x".repeat(64 << 10);
                let mut builder = Builder::default();
                (0..4097).for_each(|_| builder.node(NodeKind::Shell, 1, &[], &[]));
                builder.node(NodeKind::Shell, 1, &[], &[Piece::Text(&text)]);
                let origin = builder.0.nodes[4097].origin;
                builder.0.nodes.iter_mut().for_each(|node| node.origin = origin);
                *s = Sample::with_steps(builder.0);
            }),
        ),
        ("valid_template-shared", "ok", {
            let mut sample = Sample::new();
            sample.steps.nodes[8].origin = sample.steps.nodes[2].origin;
            sample.signed(&[1])
        }),
        ("valid_empty-text", "ok", {
            let mut sample = Sample::new();
            sample.steps.parts[0] = Part::text(TextRef::EMPTY);
            sample.signed(&[1])
        }),
        ("text_unused", "table_text", step(|s| s.text.push(b'x'))),
        ("text_late", "table_text", {
            step(|s| {
                s.text.insert(0, b'x');
                s.parts[3] = Part::text(TextRef::new(1, 5)).with_more();
            })
        }),
        ("text_shared", "table_text", step(|s| s.parts[0] = Part::text(TextRef::new(0, 5)))),
        ("part_empty-beside-another", "part_text", step(|s| s.parts[3] = Part::text(TextRef::EMPTY).with_more())),
        ("part_empty-after-another", "part_text", {
            step(|s| {
                s.parts[3] = s.parts[4].with_more();
                s.parts[4] = Part::text(TextRef::EMPTY);
                s.text.clear();
            })
        }),
        (
            "part_two-texts",
            "part_text",
            built(&|b: &mut Builder| {
                b.node(NodeKind::Workdir, 1, &[], &[]);
                b.text_arg(0, &[Piece::Own("/srv"), Piece::Own("/www")]);
            }),
        ),
        ("node_header-outside", "table_text", tables(|s| s.program.nodes[0].header = TextRef::new(0, u32::MAX))),
        ("arg_order", "arg_order", step(|s| s.args.swap(0, 1))),
        (
            "arg_twice",
            "arg_order",
            built(&|b: &mut Builder| b.node(NodeKind::Retry, 1, &[(0, ValueType::Int, 3), (0, ValueType::Int, 3)], &[])),
        ),
        (
            "arg_string-and-int",
            "arg_order",
            built(&|b: &mut Builder| b.node(NodeKind::Retry, 1, &[(0, ValueType::String, 0), (0, ValueType::Int, 3)], &[])),
        ),
        ("valid_ints-of-one-argument", "ok", {
            let mut builder = Builder::default();
            builder.node(NodeKind::Retry, 2, &[(0, ValueType::Int, 3), (4, ValueType::Int, 7), (4, ValueType::Int, 75)], &[]);
            builder.node(NodeKind::Shell, 1, &[], &[Piece::Text("true")]);
            Sample::with_steps(builder.0).typed().signed(&[1])
        }),
        (
            "arg_ints-and-string",
            "arg_order",
            built(&|b: &mut Builder| b.node(NodeKind::Retry, 1, &[(4, ValueType::Int, 3), (4, ValueType::String, 0)], &[])),
        ),
        ("valid_strings-of-one-argument", "ok", {
            let mut builder = Builder::default();
            builder.node(NodeKind::IsolatedFilesystem, 2, &[], &[]);
            builder.text_arg(0, &[Piece::Own("")]);
            builder.text_arg(0, &[Piece::Own("/srv")]);
            builder.node(NodeKind::Shell, 1, &[], &[Piece::Text("true")]);
            Sample::with_steps(builder.0).typed().signed(&[1])
        }),
        ("arg_reserved", "table_reserved", step(|s| s.args[0].reserved = 1.into())),
        ("arg_type-unknown", "arg_type", step(|s| s.args[0].value_type = 0)),
        ("arg_type-array", "arg_type", step(|s| s.args[0].value_type = ValueType::Array.number())),
        ("arg_bool", "arg_value", step(|s| s.args[0].value_type = ValueType::Bool.number())),
        (
            "arg_float-nan",
            "arg_value",
            step(|s| {
                s.args[0].value_type = ValueType::Float.number();
                s.args[0].value = f64::NAN.to_bits().cast_signed().into();
            }),
        ),
        ("arg_slot-missing", "arg_value", step(|s| s.args[3].slot = 4.into())),
        ("arg_slot-and-scalar", "arg_value", step(|s| s.args[3].value = 1.into())),
        ("arg_string-with-slot", "arg_value", step(|s| s.args[2].slot = 1.into())),
        ("arg_run-outside", "table_range", step(|s| s.args[2].value = (-1).into())),
        ("part_kind", "part_kind", step(|s| s.parts[0].bits = (3 << 29).into())),
        ("part_position", "part_position", step(|s| s.parts[0] = Part::new(PartKind::Slot, 1, 8))),
        ("part_position-beyond-a-byte", "part_position", step(|s| s.parts[0] = Part::new(PartKind::Slot, 1, 256))),
        (
            "part_position-argument-in-command",
            "part_position",
            step(|s| s.parts[0] = Part::new(PartKind::Slot, 1, Position::Argument.number().into())),
        ),
        ("part_position-word-in-argument", "part_position", step(|s| *s.parts.last_mut().unwrap() = Part::new(PartKind::Slot, 1, 0))),
        ("part_slot-missing", "part_slot", step(|s| s.parts[0].first = 3.into())),
        ("part_text-outside", "table_text", step(|s| s.parts[3] = Part::text(TextRef::new(0, 1 << 20)).with_more())),
        (
            "part_binding-later",
            "part_binding",
            built(&|b: &mut Builder| {
                b.node(NodeKind::Shell, 1, &[], &[Piece::Binding(1)]);
                b.node(NodeKind::Let, 1, &[], &[Piece::Text("date")]);
            }),
        ),
        ("part_binding-itself", "part_binding", built(&|b: &mut Builder| b.node(NodeKind::Let, 1, &[], &[Piece::Binding(0)]))),
        (
            "part_binding-no-let",
            "part_binding",
            built(&|b: &mut Builder| {
                b.node(NodeKind::Shell, 1, &[], &[Piece::Text("date")]);
                b.node(NodeKind::Shell, 1, &[], &[Piece::Binding(0)]);
            }),
        ),
        ("valid_no-steps", "ok", { Sample::with_steps(crate::read::steps::Steps::default()).typed().signed(&[1]) }),
        ("valid_deepest", "ok", {
            let mut builder = Builder::default();
            (0..256).for_each(|level| builder.node(NodeKind::Group, 257 - level, &[], &[]));
            builder.node(NodeKind::Shell, 1, &[], &[Piece::Text("true")]);
            Sample::with_steps(builder.0).typed().signed(&[1])
        }),
    ]
}

#[test]
fn the_specification_names_every_code_and_no_rule_that_is_not() {
    let spec = std::fs::read_to_string(folder().join("../../plan-format.md")).unwrap();
    let index = std::fs::read_to_string(folder().join(INDEX)).unwrap();
    let rules = Rule::ALL.iter().map(|rule| rule.code());
    let seen = index.lines().skip(1).filter_map(|line| line.split('\t').nth(1)).filter(|code| *code != "ok");
    for code in rules.chain(seen) {
        assert!(spec.contains(&format!("`{code}`")), "{code}");
    }
    for row in spec.lines().filter(|line| line.starts_with("| `")) {
        let code = row.split('`').nth(1).unwrap();
        let is_rule = ["table_", "node_", "arg_", "part_", "slot_", "terms_"].iter().any(|area| code.starts_with(area));
        assert!(!is_rule || Rule::ALL.iter().any(|rule| rule.code() == code), "{code} is no rule");
    }
}

#[test]
fn the_example_of_the_specification_is_the_first_vector() {
    let spec = std::fs::read_to_string(folder().join("../../plan-format.md")).unwrap();
    let bytes = stored("valid_signed.plan");
    for (row, block) in bytes.chunks(16).take(8).enumerate() {
        let mut line = format!("{:08x} ", row * 16);
        block.chunks(2).for_each(|pair| write!(line, " {:02x}{:02x}", pair[0], pair[1]).unwrap());
        let text: String = block.iter().map(|byte| if matches!(byte, b' '..=b'~') { char::from(*byte) } else { '.' }).collect();
        line = format!("{line}  {text}");
        assert!(spec.contains(&line), "{line}");
    }
    let hash = Sample::new().file().contract_hash();
    assert!(spec.contains(&format!("`vectors/plan/valid_signed.plan`, {} bytes,", bytes.len())));
    assert!(spec.contains(&format!("Its `contract_hash` is `{hash}`.")));
}
