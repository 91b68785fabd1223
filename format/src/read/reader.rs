//! Reading a contract, in stages that cannot be reordered (spec/plan-format.md, "Reading").
//!
//! [`RawPlan`] holds bytes of which nothing is known. [`RawPlan::authenticate`] finds the signatures from the end of the file, hashes every
//! byte before them and checks them all. Only then [`Authenticated::decode`] looks at anything else. Whether the signers are trusted, and
//! what to do with an unsigned contract, is the caller's decision.

use crate::crypto::credential::Signatory;
use crate::crypto::envelope::{self, EnvelopeError};
use crate::crypto::hash::{Canonical, Digest, HashAlgorithm};
use crate::crypto::identity::PublicKey;
use crate::crypto::regen::{self, RegenError, SubKeys};
use crate::crypto::seed::Seed;
use crate::crypto::signature::{NAMESPACE_PLAN, SshSignature};
use crate::read::archive::{self, table};
use crate::read::audience;
use crate::read::check;
use crate::read::error::{FormatError, within};
use crate::read::header::{self, Header, field};
use crate::read::kind::Section;
use crate::read::limits;
use crate::read::named_text::check_named_text;
use crate::read::plan_hash::plan_hash;
use crate::read::program::{ArchivedProgram, ProgramView};
use crate::read::section::{self, FRAME, Located, Sections};
use crate::read::slots::{ArchivedSlots, SlotsView};
use crate::read::sources::{self, SourceFile};
use crate::read::steps::{ArchivedSteps, OriginsView, StepsView};
use crate::read::terms::{ArchivedTerms, Terms};
use ed25519_dalek::SigningKey;
use rkyv::rancor::{Failure, Strategy};

/// The last eight bytes of a plan.
pub(crate) const TRAILER_MAGIC: [u8; 8] = *b"OPALSIGN";
/// Bytes of the trailer: the length of the whole SIGNATURE section, and the magic.
pub(crate) const TRAILER: usize = 16;

/// The bytes of a plan file, within the size limit, and nothing else known about them.
#[derive(Debug)]
pub struct RawPlan {
    bytes: crate::Bytes,
}

impl RawPlan {
    /// Takes bytes of at most `max` (usually [`limits::FILE_SIZE`]).
    ///
    /// # Errors
    /// [`FormatError::TooLarge`].
    pub fn new(bytes: crate::Bytes, max: usize) -> Result<Self, FormatError> {
        within("size of the file", bytes.len(), max, 0)?;
        Ok(Self { bytes })
    }

    /// Copies bytes that are not aligned.
    ///
    /// # Errors
    /// [`FormatError::TooLarge`].
    pub fn copy(bytes: &[u8], max: usize) -> Result<Self, FormatError> {
        within("size of the file", bytes.len(), max, 0)?;
        let mut aligned = crate::Bytes::with_capacity(bytes.len());
        aligned.extend_from_slice(bytes);
        Ok(Self { bytes: aligned })
    }

    /// Computes `contract_hash` and checks every signature that is present, trusted or not.
    ///
    /// Of the rest of the file, only the magic, the major version and the number of the hash algorithm are looked at.
    ///
    /// # Errors
    /// Where these three, or the SIGNATURE section, are not as they must be, or a signature does not verify.
    pub fn authenticate(self) -> Result<Authenticated, FormatError> {
        let algorithm = header::preamble(&self.bytes)?;
        let body_length = find_signatures(&self.bytes)?;
        let body = self.bytes.get(..body_length).unwrap_or_default();
        let contract_hash = contract_hash(algorithm, body);
        let signatures = read_signatures(&self.bytes, body_length)?;
        for (index, (offset, signature)) in signatures.iter().enumerate() {
            let offset = *offset;
            signature.verify(&contract_hash.bytes).map_err(|cause| FormatError::Signature { index, cause, offset })?;
        }
        let signatures = signatures.into_iter().map(|(_, signature)| signature).collect();
        Ok(Authenticated { bytes: self.bytes, body_length, contract_hash, signatures })
    }
}

/// The digest that is signed: of every byte before SIGNATURE.
pub(crate) fn contract_hash(algorithm: HashAlgorithm, body: &[u8]) -> Digest {
    let mut hash = Canonical::new(algorithm, "v1/contract");
    hash.bytes(body);
    hash.finish()
}

/// The digest that a sealed section is bound to: of every byte before it.
pub(crate) fn context(algorithm: HashAlgorithm, section: Section, before: &[u8]) -> Digest {
    let mut hash = Canonical::new(algorithm, if section == Section::Regen { "v1/regen" } else { "v1/envelope" });
    hash.bytes(before);
    hash.finish()
}

/// Where SIGNATURE starts, by the trailer.
fn find_signatures(file: &[u8]) -> Result<usize, FormatError> {
    let offset = file.len().saturating_sub(TRAILER);
    let missing = || FormatError::NoTrailer { offset };
    let (body, trailer) = file.split_last_chunk::<TRAILER>().ok_or_else(missing)?;
    if field(trailer, 8)? != TRAILER_MAGIC || !body.len().is_multiple_of(header::ALIGNMENT) {
        return Err(missing());
    }
    let length = usize::try_from(u64::from_le_bytes(field(trailer, 0)?)).map_err(|_| missing())?;
    let start = file.len().checked_sub(length).ok_or_else(missing)?;
    if start.is_multiple_of(header::ALIGNMENT) { Ok(start) } else { Err(missing()) }
}

/// Reads the SIGNATURE section, which fills `file` from `start`. Gives each signature with its offset.
fn read_signatures(file: &[u8], start: usize) -> Result<Vec<(usize, SshSignature)>, FormatError> {
    let frame = section::read(file, start)?;
    if frame.section != Some(Section::Signature) || frame.start.saturating_add(frame.bytes.len()) != file.len() {
        return Err(FormatError::NoTrailer { offset: start });
    }
    let base = frame.start;
    let list = frame.bytes.get(..frame.bytes.len().saturating_sub(TRAILER)).unwrap_or_default();
    let truncated = |at: usize| FormatError::Truncated { what: "signature", offset: base.saturating_add(at) };
    let word = |at: usize| -> Result<usize, FormatError> {
        let bytes = list.get(at..).and_then(|rest| rest.first_chunk()).ok_or_else(|| truncated(at))?;
        Ok(u32::from_le_bytes(*bytes) as usize)
    };
    let count = word(0)?;
    within("number of signatures", count, limits::SIGNATURES, base)?;
    let mut at = 4_usize;
    let mut signatures = Vec::<(usize, SshSignature)>::new();
    for index in 0..count {
        let length = word(at)?;
        let from = at.saturating_add(4);
        let offset = base.saturating_add(from);
        within("length of a signature", length, limits::SSHSIG_SIZE, offset)?;
        at = from.saturating_add(length);
        let blob = list.get(from..at).ok_or_else(|| truncated(from))?;
        let signature = SshSignature::parse(blob, NAMESPACE_PLAN).map_err(|cause| FormatError::Signature { index, cause, offset })?;
        if signatures.last().is_some_and(|(_, last)| last.key() >= signature.key()) {
            return Err(FormatError::SignatureOrder { index, offset });
        }
        signatures.push((offset, signature));
    }
    let end = header::padding(list, at).map_err(|error| match error {
        FormatError::Padding { offset } => FormatError::Padding { offset: base.saturating_add(offset) },
        _ => truncated(at),
    })?;
    if end != list.len() {
        return Err(FormatError::TrailingData { what: "signatures", offset: base.saturating_add(end) });
    }
    Ok(signatures)
}

/// A plan whose signatures, if it has any, are those of its bytes. Nothing else is known about it.
#[derive(Debug)]
pub struct Authenticated {
    bytes: crate::Bytes,
    body_length: usize,
    contract_hash: Digest,
    signatures: Vec<SshSignature>,
}

impl Authenticated {
    /// The digest of every byte before SIGNATURE: what is signed and pinned.
    #[must_use]
    pub const fn contract_hash(&self) -> Digest {
        self.contract_hash
    }

    /// Who signed the contract, sorted by key. Nobody for an unsigned one. Each signature has been verified.
    pub fn signers(&self) -> impl ExactSizeIterator<Item = &Signatory> + '_ {
        self.signatures.iter().map(|signature| &signature.signatory)
    }

    /// The signatures, to write the plan again with another one.
    #[must_use]
    pub fn signatures(&self) -> &[SshSignature] {
        &self.signatures
    }

    /// Every byte before SIGNATURE.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        self.bytes.get(..self.body_length).unwrap_or_default()
    }

    /// Reads the plan and checks every rule of its tables; the program in it is left to the program verifier.
    ///
    /// # Errors
    /// The first rule that the file breaks.
    pub fn decode(&self) -> Result<Contract<'_>, FormatError> {
        let body = self.body();
        let (header, first) = Header::read(body)?;
        let sections = Sections::read(body, first)?;

        let located = sections.expect(Section::Terms)?;
        let terms_start = located.start;
        let archived = archive::read::<ArchivedTerms>(Section::Terms, located)?;
        let terms: Terms = rkyv::api::deserialize_using(archived, Strategy::<_, Failure>::wrap(&mut ()))
            .map_err(|Failure| FormatError::Archive { section: Section::Terms, offset: located.start })?;
        if archive::write(Section::Terms, &terms)?.as_slice() != located.bytes {
            return Err(FormatError::TrailingData { what: "archive", offset: located.start });
        }
        let located_program = sections.expect(Section::Program)?;
        let program = archive::read::<ArchivedProgram>(Section::Program, located_program)?.view();
        archive::check_full::<ArchivedProgram>(located_program, &program.tables())?;
        check::terms(&terms, program.instruction_set, located.start)?;

        let located = sections.expect(Section::Values)?;
        let slots = archive::read::<ArchivedSlots>(Section::Values, located)?.view();
        archive::check_full::<ArchivedSlots>(located, &[table(slots.slots), table(slots.text)])?;
        count("number of values", header.values, slots.slots.len(), header::AT_VALUES)?;
        let located_steps = sections.expect(Section::Steps)?;
        let steps = archive::read::<ArchivedSteps>(Section::Steps, located_steps)?.view(OriginsView::of(&program));
        let tables = [table(steps.nodes), table(steps.args), table(steps.parts), table(steps.text)];
        archive::check_full::<ArchivedSteps>(located_steps, &tables)?;
        count("number of steps", header.steps, steps.nodes.len(), header::AT_STEPS)?;
        let listed = sections.expect(Section::Sources)?;
        let sources = sources::read(listed.bytes).ok_or(FormatError::Sources { offset: listed.start })?;
        let first = sources.first().is_some_and(|file| file.name == terms.source_name && file.digest == header.source_hash.bytes);
        if !first {
            return Err(FormatError::Sources { offset: listed.start });
        }
        check::program_spans(&program, sources.len(), located_program.start)?;
        check::origins(OriginsView::of(&program), located_program.start)?;
        check::slots(slots, sources.len(), located.start)?;
        check::steps(steps, slots.slots.len(), located_steps.start)?;
        check_named_text(steps, slots).map_err(|(index, rule)| FormatError::Table {
            section: Section::Steps,
            index,
            rule,
            offset: located_steps.start,
        })?;
        check::plan_type(&terms, steps, terms_start)?;
        let audience = match sections.find(Section::Audience) {
            Some(keys) => audience::read(keys.bytes).ok_or(FormatError::Audience { offset: keys.start })?,
            None => Vec::new(),
        };

        let before = |section: Located<'_>| body.get(..section.start.saturating_sub(FRAME)).unwrap_or_default();
        let regen = sections.find(Section::Regen);
        check::regen(&terms, regen.is_some(), terms_start)?;
        if let Some(regen) = regen
            && !regen::is_well_formed(regen.bytes)
        {
            return Err(FormatError::Regen { offset: regen.start });
        }
        let regen = regen.map(|regen| (before(regen), regen.bytes));
        let envelope = sections.expect(Section::Envelope)?;
        let recipients = envelope::recipients(envelope.bytes).map_err(|_| FormatError::Envelope { offset: envelope.start })?;
        let before_envelope = before(envelope);
        let located = sections.expect(Section::Provenance)?;
        count("length of the provenance", header.provenance, located.bytes.len(), header::AT_PROVENANCE)?;
        let provenance =
            std::str::from_utf8(located.bytes).map_err(|_| FormatError::NotUtf8 { what: "provenance", offset: located.start })?;
        let contract_hash = self.contract_hash;
        let envelope = envelope.bytes;
        let program_bytes = located_program.bytes;
        Ok(Contract {
            header,
            terms,
            program,
            program_bytes,
            steps,
            slots,
            sources,
            audience,
            recipients,
            provenance,
            contract_hash,
            envelope,
            before_envelope,
            regen,
        })
    }
}

/// The header's count must be the table's.
fn count(what: &'static str, header: u32, actual: usize, offset: usize) -> Result<(), FormatError> {
    if header as usize == actual { Ok(()) } else { Err(FormatError::CountMismatch { what, header, actual, offset }) }
}

/// A contract that keeps every rule of the format. It borrows the bytes of its [`Authenticated`] plan.
#[derive(Debug)]
pub struct Contract<'a> {
    /// Header, hashes and target.
    pub header: Header<'a>,
    /// What the VM enforces.
    pub terms: Terms,
    /// The program, not yet verified.
    pub program: ProgramView<'a>,
    /// The bytes of PROGRAM, for a process that verifies it.
    pub program_bytes: &'a [u8],
    /// The steps that were planned.
    pub steps: StepsView<'a>,
    /// The values that they were planned with.
    pub slots: SlotsView<'a>,
    /// The files of the source, the first one first.
    pub sources: Vec<SourceFile<'a>>,
    /// The hosts that the contract is meant for, by their keys, sorted; none where it is for any.
    pub audience: Vec<PublicKey>,
    /// The keys that the seed is sealed to, sorted.
    pub recipients: Vec<PublicKey>,
    /// JSON text, not checked, that informs and decides nothing.
    pub provenance: &'a str,
    /// See [`Authenticated::contract_hash`].
    pub contract_hash: Digest,
    envelope: &'a [u8],
    before_envelope: &'a [u8],
    /// The bytes before REGEN, and its own.
    regen: Option<(&'a [u8], &'a [u8])>,
}

impl Contract<'_> {
    /// Recomputes `plan_hash` and refuses a header that states another one.
    ///
    /// # Errors
    /// [`FormatError::PlanHashMismatch`].
    pub fn check_plan_hash(&self) -> Result<Digest, FormatError> {
        let Header { algorithm, target, plan_hash: stated, .. } = self.header;
        let computed = plan_hash(algorithm, &self.terms.setting(target), self.steps, self.slots)?;
        if computed == stated { Ok(computed) } else { Err(FormatError::PlanHashMismatch { stated, computed }) }
    }

    /// Opens the envelope with a recipient's private key.
    ///
    /// # Errors
    /// See [`envelope::open`].
    pub fn unseal(&self, key: &SigningKey) -> Result<Seed, EnvelopeError> {
        let (envelope, body) = self.sealed();
        envelope::open(envelope, key, &body)
    }

    /// The envelope and the digest of all before it: what [`envelope::open`] takes beside a key.
    #[must_use]
    pub fn sealed(&self) -> (&[u8], Digest) {
        (self.envelope, context(self.header.algorithm, Section::Envelope, self.before_envelope))
    }

    /// The sub-keys that values with a `regen_key` are derived from; none where there is no such value.
    ///
    /// # Errors
    /// [`RegenError`] where they were not sealed under `seed` for this contract.
    pub fn sub_keys(&self, seed: &Seed) -> Result<SubKeys, RegenError> {
        match self.regen {
            Some((before, sealed)) => SubKeys::open(sealed, seed, &context(self.header.algorithm, Section::Regen, before)),
            None => Ok(SubKeys::default()),
        }
    }
}
