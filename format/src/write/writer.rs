//! Writing a plan file.

use crate::crypto::envelope::{self, EnvelopeError};
use crate::crypto::hash::{Digest, HashAlgorithm};
use crate::crypto::identity::PublicKey;
use crate::crypto::regen::{RegenError, SubKeys};
use crate::crypto::seed::{Drbg, Seed};
use crate::crypto::signature::{NAMESPACE_PLAN, SignatureError, SshSignature};
use crate::read::archive;
use crate::read::check;
use crate::read::error::{FormatError, within};
use crate::read::header::Header;
use crate::read::kind::{Section, VERSION_MINOR};
use crate::read::limits;
use crate::read::plan_hash::plan_hash;
use crate::read::program::Program;
use crate::read::reader::{Authenticated, TRAILER, TRAILER_MAGIC, context, contract_hash};
use crate::read::section::FRAME;
use crate::read::slots::Slots;
use crate::read::sources::{self, SourceFile};
use crate::read::steps::{OriginsView, Steps, StepsView};
use crate::read::terms::Terms;
use crate::write::frame;
use ed25519_dalek::SigningKey;

/// Everything that a contract is made of, except who may open it and who signed it.
#[derive(Clone, Copy, Debug)]
pub struct PlanContents<'a> {
    /// Algorithm of all digests.
    pub algorithm: HashAlgorithm,
    /// Seconds of Unix time.
    pub timestamp: i64,
    /// The files of the source, the first one first; their digests are by `algorithm`.
    pub sources: &'a [SourceFile<'a>],
    /// The hosts that it is meant for, by their keys; none for any.
    pub audience: &'a [PublicKey],
    /// Name of the target.
    pub target: &'a str,
    /// See [`Terms`].
    pub terms: &'a Terms,
    /// See [`Program`].
    pub program: &'a Program,
    /// See [`Steps`].
    pub steps: &'a Steps,
    /// See [`Slots`].
    pub slots: &'a Slots,
    /// Sub-keys that values with a `regen_key` were derived from; TERMS name their root.
    pub sub_keys: &'a SubKeys,
    /// JSON text.
    pub provenance: &'a str,
}

/// Why a plan cannot be written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// A reader would refuse it.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// The seed cannot be sealed.
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    /// The sub-keys cannot be sealed.
    #[error(transparent)]
    Regen(#[from] RegenError),
    /// A signature is not one of this contract.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// One signature too many.
    #[error("a contract holds at most {} signatures", limits::SIGNATURES)]
    TooManySignatures,
}

impl PlanContents<'_> {
    /// Writes the contract, its seed sealed to `recipients`, without a signature.
    ///
    /// # Errors
    /// [`WriteError::Format`] where a reader would refuse the file, or [`WriteError::Envelope`].
    pub fn write(&self, seed: &Seed, recipients: &[PublicKey]) -> Result<PlanFile, WriteError> {
        self.write_with(seed, recipients, Drbg::from_system().map_err(EnvelopeError::from)?)
    }

    /// Writes with the randomness of `random`, which must never serve again; for reproducible files in tests.
    ///
    /// # Errors
    /// As [`PlanContents::write`].
    pub fn write_with(&self, seed: &Seed, recipients: &[PublicKey], random: Drbg) -> Result<PlanFile, WriteError> {
        let Self { algorithm, terms, slots, target, .. } = *self;
        let program = self.program.view();
        // A reader finds what they come from in PROGRAM.
        let steps = StepsView { origins: OriginsView::of(&program), ..self.steps.view() };
        check::terms(terms, self.program.instruction_set, 0)?;
        check::regen(terms, !self.sub_keys.is_empty(), 0)?;
        let first = self.sources.first().filter(|first| sources::acceptable(self.sources) && first.name == terms.source_name);
        let first = first.ok_or(FormatError::Sources { offset: 0 })?;
        check::program_spans(&program, self.sources.len(), 0)?;
        check::origins(steps.origins, 0)?;
        check::slots(slots.view(), self.sources.len(), 0)?;
        check::steps(steps, slots.slots.len(), 0)?;
        check::plan_type(terms, steps, 0)?;
        let mut audience = self.audience.to_vec();
        audience.sort_unstable();
        audience.dedup();
        if audience.len() > limits::AUDIENCE {
            return Err(FormatError::Audience { offset: 0 }.into());
        }
        let plan_hash = plan_hash(algorithm, &terms.setting(target), steps, slots.view())?;
        let header = Header {
            version_minor: VERSION_MINOR,
            algorithm,
            steps: counted("number of steps", steps.nodes.len(), limits::NODES)?,
            values: counted("number of values", slots.slots.len(), limits::SLOTS)?,
            provenance: counted("length of the provenance", self.provenance.len(), limits::PROVENANCE_SIZE)?,
            timestamp: self.timestamp,
            source_hash: Digest { algorithm, bytes: first.digest },
            plan_hash,
            target,
        };
        let mut body = crate::Bytes::new();
        frame::start(&header, &mut body)?;
        frame::section(&mut body, Section::Terms, &archive::write(Section::Terms, terms)?);
        frame::section(&mut body, Section::Program, &archive::write(Section::Program, self.program)?);
        frame::section(&mut body, Section::Steps, &archive::write(Section::Steps, self.steps)?);
        frame::section(&mut body, Section::Values, &archive::write(Section::Values, slots)?);
        frame::section(&mut body, Section::Sources, &source_list(self.sources));
        if !audience.is_empty() {
            let keys: Vec<u8> = audience.iter().flat_map(|key| *key.as_bytes()).collect();
            frame::section(&mut body, Section::Audience, &keys);
        }
        if !self.sub_keys.is_empty() {
            let sealed = self.sub_keys.seal(seed, &context(algorithm, Section::Regen, &body))?;
            frame::section(&mut body, Section::Regen, &sealed);
        }
        let sealed = envelope::seal_with(seed, recipients, &context(algorithm, Section::Envelope, &body), random)?;
        frame::section(&mut body, Section::Envelope, &sealed);
        frame::section(&mut body, Section::Provenance, self.provenance.as_bytes());
        Ok(PlanFile { contract_hash: contract_hash(algorithm, &body), plan_hash: Some(plan_hash), body, signatures: Vec::new() })
    }
}

/// The bytes of SOURCES.
pub(crate) fn source_list(files: &[SourceFile<'_>]) -> Vec<u8> {
    let mut list = u32::try_from(files.len()).unwrap_or(u32::MAX).to_le_bytes().to_vec();
    for file in files {
        list.extend_from_slice(&u16::try_from(file.name.len()).unwrap_or(u16::MAX).to_le_bytes());
        list.extend_from_slice(file.name.as_bytes());
        list.extend_from_slice(&file.length.to_le_bytes());
        list.extend_from_slice(&file.digest);
    }
    list
}

fn counted(what: &'static str, actual: usize, limit: usize) -> Result<u32, FormatError> {
    within(what, actual, limit, 0)?;
    Ok(u32::try_from(actual).unwrap_or(u32::MAX))
}

/// A written contract and the signatures that it has so far. Adding one never changes `contract_hash`.
#[derive(Debug)]
pub struct PlanFile {
    body: crate::Bytes,
    contract_hash: Digest,
    plan_hash: Option<Digest>,
    signatures: Vec<SshSignature>,
}

impl PlanFile {
    /// Takes an existing plan, to add a signature.
    #[must_use]
    pub fn from_authenticated(plan: &Authenticated) -> Self {
        let mut body = crate::Bytes::with_capacity(plan.body().len());
        body.extend_from_slice(plan.body());
        Self { body, contract_hash: plan.contract_hash(), plan_hash: None, signatures: plan.signatures().to_vec() }
    }

    /// The digest of every byte before SIGNATURE.
    #[must_use]
    pub const fn contract_hash(&self) -> Digest {
        self.contract_hash
    }

    /// The digest of the work, where this was written by [`PlanContents::write`].
    #[must_use]
    pub const fn plan_hash(&self) -> Option<Digest> {
        self.plan_hash
    }

    /// Signs the contract.
    ///
    /// # Errors
    /// [`WriteError::Signature`] for a weak key, or [`WriteError::TooManySignatures`].
    pub fn sign(&mut self, key: &SigningKey) -> Result<(), WriteError> {
        self.add(SshSignature::sign(key, NAMESPACE_PLAN, &self.contract_hash.bytes)?)
    }

    /// Adds a signature that was made elsewhere, in the place of one by the same key.
    ///
    /// # Errors
    /// [`WriteError::Signature`] where it is not one of this contract, or [`WriteError::TooManySignatures`].
    pub fn add(&mut self, signature: SshSignature) -> Result<(), WriteError> {
        if signature.namespace() != NAMESPACE_PLAN {
            return Err(SignatureError::Namespace { expected: NAMESPACE_PLAN }.into());
        }
        signature.verify(&self.contract_hash.bytes)?;
        match self.signatures.binary_search_by_key(&signature.key(), SshSignature::key) {
            Ok(index) => {
                if let Some(present) = self.signatures.get_mut(index) {
                    *present = signature;
                }
            }
            Err(_) if self.signatures.len() >= limits::SIGNATURES => return Err(WriteError::TooManySignatures),
            Err(index) => self.signatures.insert(index, signature),
        }
        Ok(())
    }

    /// The bytes of the file.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut list = crate::Bytes::new();
        list.extend_from_slice(&u32::try_from(self.signatures.len()).unwrap_or(u32::MAX).to_le_bytes());
        for signature in &self.signatures {
            let blob = signature.to_blob();
            list.extend_from_slice(&u32::try_from(blob.len()).unwrap_or(u32::MAX).to_le_bytes());
            list.extend_from_slice(&blob);
        }
        frame::pad(&mut list);
        let length = FRAME.saturating_add(list.len()).saturating_add(TRAILER) as u64;
        list.extend_from_slice(&length.to_le_bytes());
        list.extend_from_slice(&TRAILER_MAGIC);
        let mut section = crate::Bytes::new();
        frame::section(&mut section, Section::Signature, &list);
        [self.body.as_slice(), section.as_slice()].concat()
    }
}
