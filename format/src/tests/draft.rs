//! A plan taken apart into its sections, to be put together again with a defect.

use super::sample::{Sample, signer};
use crate::read::kind::Section;
use crate::read::reader::RawPlan;
use crate::read::section::FLAG_CRITICAL;
use crate::write::writer::PlanFile;

pub(crate) struct Draft {
    pub start: Vec<u8>,
    /// Tag, flags, bytes.
    pub sections: Vec<([u8; 4], u16, Vec<u8>)>,
}

impl Draft {
    /// The sample, taken apart.
    pub(crate) fn new(sample: &Sample) -> Self {
        let bytes = sample.signed(&[]);
        let plan = RawPlan::copy(&bytes, usize::MAX).unwrap().authenticate().unwrap();
        let body = plan.body();
        let (_, first) = crate::read::header::Header::read(body).unwrap();
        let mut sections = Vec::new();
        let mut offset = first;
        while offset < body.len() {
            let frame = crate::read::section::read(body, offset).unwrap();
            let section = frame.section.unwrap();
            sections.push((section.tag(), if section.is_critical() { FLAG_CRITICAL } else { 0 }, frame.bytes.to_vec()));
            offset = frame.next;
        }
        Self { start: body[..first].to_vec(), sections }
    }

    pub(crate) fn index(&self, section: Section) -> usize {
        self.sections.iter().position(|(tag, ..)| *tag == section.tag()).unwrap()
    }

    /// Replaces a section's bytes.
    pub(crate) fn put(mut self, section: Section, bytes: &[u8]) -> Self {
        let index = self.index(section);
        self.sections[index].2 = bytes.to_vec();
        self
    }

    pub(crate) fn body(&self) -> Vec<u8> {
        let mut body = self.start.clone();
        for (tag, flags, bytes) in &self.sections {
            body.extend_from_slice(tag);
            body.extend_from_slice(&flags.to_le_bytes());
            body.extend_from_slice(&[0, 0]);
            body.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
            body.extend_from_slice(bytes);
            body.resize(body.len().next_multiple_of(16), 0);
        }
        body
    }

    /// The file, signed by key 1.
    pub(crate) fn signed(&self) -> Vec<u8> {
        sign(&self.body())
    }
}

/// Signs a body that may be defective; its first twelve bytes must not be.
pub(crate) fn sign(body: &[u8]) -> Vec<u8> {
    let unsigned = [body, &signature_section(&0_u32.to_le_bytes())].concat();
    let plan = RawPlan::copy(&unsigned, usize::MAX).unwrap().authenticate().unwrap();
    let mut file = PlanFile::from_authenticated(&plan);
    file.sign(&signer(1)).unwrap();
    file.to_bytes()
}

/// A SIGNATURE section around `list`.
pub(crate) fn signature_section(list: &[u8]) -> Vec<u8> {
    let mut payload = list.to_vec();
    payload.resize(payload.len().next_multiple_of(16), 0);
    payload.extend_from_slice(&(payload.len() as u64 + 32).to_le_bytes());
    payload.extend_from_slice(b"OPALSIGN");
    let mut section = b"SIGN\x01\0\0\0".to_vec();
    section.extend_from_slice(&(payload.len() as u64).to_le_bytes());
    section.extend_from_slice(&payload);
    section
}
