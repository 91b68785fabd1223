//! Changes of bytes: none of a signed plan is accepted, none of anything panics.

use super::sample::{PROVENANCE, Sample, public, seed, signer};
use crate::crypto::credential::Signatory;
use crate::crypto::signature::SignatureError;
use crate::read::error::FormatError;
use crate::read::reader::RawPlan;
use crate::write::writer::PlanFile;
use proptest::prelude::*;

/// Everything that a reader may do with bytes before it trusts them. Says whether they are an acceptable plan with exactly these signers.
fn accepted(bytes: &[u8], signers: &[u8]) -> bool {
    let Ok(plan) = RawPlan::copy(bytes, 1 << 20).and_then(RawPlan::authenticate) else { return false };
    plan.decode().is_ok() && plan.signers().map(Signatory::key).eq(signers.iter().map(|number| public(*number)))
}

fn look_at(bytes: &[u8]) {
    if let Ok(plan) = RawPlan::copy(bytes, 1 << 20).and_then(RawPlan::authenticate)
        && let Ok(contract) = plan.decode()
    {
        let _ = contract.check_plan_hash();
        let _ = contract.unseal(&signer(1));
    }
}

#[test]
fn a_written_plan_is_read_back() {
    let sample = Sample::new();
    for algorithm in crate::crypto::hash::HashAlgorithm::ALL {
        let sample = Sample { terms: sample.terms.clone(), ..Sample::of(*algorithm) };
        let bytes = sample.signed(&[2, 1]);
        let plan = RawPlan::copy(&bytes, bytes.len()).unwrap().authenticate().unwrap();
        let mut keys = [public(1), public(2)];
        keys.sort();
        assert!(plan.signers().map(Signatory::key).eq(keys));
        let contract = plan.decode().unwrap();
        assert_eq!(contract.header.target, "deploy");
        assert_eq!(contract.header.timestamp, 1_700_000_000);
        assert_eq!(contract.terms, sample.terms);
        assert_eq!(contract.program.code, sample.program.code);
        assert_eq!(contract.steps.nodes, sample.steps.nodes);
        assert_eq!(contract.slots.slots, sample.slots.slots);
        assert_eq!(contract.provenance, PROVENANCE);
        assert_eq!(contract.sources, sample.sources);
        assert_eq!(contract.audience, []);
        assert_eq!(contract.recipients, [public(1)]);
        assert_eq!(contract.check_plan_hash().unwrap(), sample.plan_hash());
        assert_eq!(contract.unseal(&signer(1)).unwrap().as_bytes(), seed().as_bytes());
        assert_eq!(contract.contract_hash, sample.file().contract_hash());
    }
}

#[test]
fn every_single_bit_change_of_a_signed_plan_is_refused() {
    let mut bytes = Sample::new().signed(&[1, 2]);
    assert!(accepted(&bytes, &[2, 1]) || accepted(&bytes, &[1, 2]));
    for offset in 0..bytes.len() {
        for change in [1, 2, 4, 8, 16, 32, 64, 128, 255] {
            bytes[offset] ^= change;
            assert!(RawPlan::copy(&bytes, 1 << 20).unwrap().authenticate().is_err(), "byte {offset} changed by {change:#x}");
            bytes[offset] ^= change;
        }
    }
}

#[test]
fn every_truncation_extension_and_insertion_of_a_signed_plan_is_refused() {
    let bytes = Sample::new().signed(&[1]);
    assert!(accepted(&bytes, &[1]));
    for offset in 0..bytes.len() {
        assert!(!accepted(&bytes[..offset], &[1]), "cut at {offset}");
        assert!(!accepted(&bytes[bytes.len() - offset..], &[1]), "cut before {offset}");
        let mut longer = bytes.clone();
        longer.insert(offset, 0);
        assert!(!accepted(&longer, &[1]), "zero inserted at {offset}");
        longer[offset] = bytes[offset];
        assert!(!accepted(&longer, &[1]), "byte doubled at {offset}");
    }
    for block in [1, 15, 16, 32] {
        assert!(!accepted(&[bytes.as_slice(), &vec![0; block]].concat(), &[1]), "{block} zeros appended");
    }
}

#[test]
fn every_single_byte_change_of_an_unsigned_plan_is_handled() {
    let mut bytes = Sample::new().signed(&[]);
    for offset in 0..bytes.len() {
        for change in [1, 0x80, 0xff] {
            bytes[offset] ^= change;
            look_at(&bytes);
            bytes[offset] ^= change;
        }
    }
}

#[test]
fn a_signature_of_another_contract_is_refused() {
    let mut other = Sample::new();
    other.target = "destroy".into();
    let stolen = RawPlan::copy(&other.signed(&[1]), 1 << 20).unwrap().authenticate().unwrap().signatures()[0].clone();
    assert_eq!(Sample::new().file().add(stolen), Err(SignatureError::Mismatch.into()));
}

#[test]
fn a_signature_for_another_purpose_is_refused() {
    let mut file = Sample::new().file();
    let signature = crate::crypto::signature::SshSignature::sign(&signer(1), "opal-vouch", &file.contract_hash().bytes).unwrap();
    assert_eq!(file.add(signature), Err(SignatureError::Namespace { expected: "opal-plan" }.into()));
}

#[test]
fn adding_a_signature_changes_neither_the_contract_hash_nor_the_others() {
    let bytes = Sample::new().signed(&[1]);
    let plan = RawPlan::copy(&bytes, 1 << 20).unwrap().authenticate().unwrap();
    let mut file = PlanFile::from_authenticated(&plan);
    file.sign(&signer(2)).unwrap();
    file.sign(&signer(2)).unwrap();
    let again = RawPlan::copy(&file.to_bytes(), 1 << 20).unwrap().authenticate().unwrap();
    assert_eq!(again.contract_hash(), plan.contract_hash());
    assert_eq!(again.signers().len(), 2);
    assert_eq!(file.to_bytes(), Sample::new().signed(&[2, 1]));
}

#[test]
fn sixteen_signatures_fit_and_no_more() {
    let mut file = Sample::new().file();
    (1..=16).for_each(|number| file.sign(&signer(number)).unwrap());
    assert!(RawPlan::copy(&file.to_bytes(), 1 << 20).unwrap().authenticate().is_ok());
    assert_eq!(file.sign(&signer(17)), Err(crate::write::writer::WriteError::TooManySignatures));
}

#[test]
fn a_file_above_the_size_limit_is_refused_unread() {
    let bytes = Sample::new().signed(&[1]);
    assert!(RawPlan::copy(&bytes, bytes.len()).is_ok());
    assert!(matches!(RawPlan::copy(&bytes, bytes.len() - 1), Err(FormatError::TooLarge { .. })));
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        look_at(&bytes);
    }

    #[test]
    fn an_unsigned_plan_with_arbitrary_patches_never_panics(patches in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12)) {
        let mut bytes = Sample::new().signed(&[]);
        for (index, byte) in patches {
            let at = index.index(bytes.len());
            bytes[at] = byte;
        }
        look_at(&bytes);
    }
}
