//! The planner's table of candidates: every value that came from reality or was computed from such. Those that are used become slots, numbered
//! by first use.

use super::error::Cause;
use super::value::{Candidate, Data, Piece, Scalar, Text, Value};
use opal_format::hash::{Canonical, HashAlgorithm};
use opal_format::record::Span;
use std::collections::HashMap;

/// Longest key that is kept as text; a longer one is replaced by its digest.
pub(super) const KEY_MAX: usize = 256;

/// One candidate.
pub(super) struct Entry {
    /// Canonical key.
    pub key: String,
    /// Its value; `None` while a quick plan defers it.
    pub value: Option<Scalar>,
    /// Number of the value decorator; 0 for a computed value.
    pub decorator: u16,
    /// Number of the answer that it is, where it was asked for.
    pub answer: Option<u32>,
    /// Whether its value may be shown.
    pub public: bool,
    /// Whether it comes from the plan's seed.
    pub seeded: bool,
    /// Whether it decided structure.
    pub shapes: bool,
    /// What it was computed from.
    pub operands: Vec<Candidate>,
    /// Where it was first needed.
    pub span: Span,
    /// Slot number, once used.
    pub slot: Option<u32>,
}

/// The table.
#[derive(Default)]
pub(super) struct Candidates {
    entries: Vec<Entry>,
    by_key: HashMap<String, Candidate>,
    /// Candidates in the order of their slot numbers.
    pub used: Vec<Candidate>,
}

impl Candidates {
    /// The candidate with this key.
    pub(super) fn find(&self, key: &str) -> Option<Candidate> {
        self.by_key.get(key).copied()
    }

    /// Adds a candidate whose key is not in the table yet.
    pub(super) fn add(&mut self, entry: Entry) -> Result<Candidate, Cause> {
        let index = u32::try_from(self.entries.len()).map_err(|_| Cause::Internal("too many values"))?;
        self.by_key.insert(entry.key.clone(), Candidate(index));
        self.entries.push(entry);
        Ok(Candidate(index))
    }

    /// An entry. Candidates are only made by [`Self::add`], so it exists.
    pub(super) fn entry(&self, candidate: Candidate) -> Result<&Entry, Cause> {
        usize::try_from(candidate.0).ok().and_then(|index| self.entries.get(index)).ok_or(Cause::Internal("no such value"))
    }

    pub(super) fn entry_mut(&mut self, candidate: Candidate) -> Result<&mut Entry, Cause> {
        usize::try_from(candidate.0).ok().and_then(|index| self.entries.get_mut(index)).ok_or(Cause::Internal("no such value"))
    }

    /// The slot number, given at first use.
    pub(super) fn slot(&mut self, candidate: Candidate, limit: u32) -> Result<u32, Cause> {
        let next = u32::try_from(self.used.len()).map_err(|_| Cause::Internal("too many slots"))?;
        let entry = self.entry_mut(candidate)?;
        if let Some(slot) = entry.slot {
            return Ok(slot);
        }
        if next >= limit {
            return Err(Cause::Limit { what: "values", limit: u64::from(limit) });
        }
        entry.slot = Some(next);
        self.used.push(candidate);
        Ok(next)
    }

    /// Notes that a value decided structure, and with it all that it was computed from. Refuses a seeded secret.
    pub(super) fn mark_shapes(&mut self, value: &Value) -> Result<(), Cause> {
        let mut open = self.origins(value);
        while let Some(candidate) = open.pop() {
            let entry = self.entry_mut(candidate)?;
            // What a value was computed from says more, and comes next.
            if entry.seeded && !entry.public && entry.decorator != 0 {
                return Err(Cause::SecretStructure { what: "which steps run", key: entry.key.clone() });
            }
            if !entry.shapes {
                entry.shapes = true;
                open.extend_from_slice(&entry.operands);
            }
        }
        Ok(())
    }

    /// The candidates that a value is made of.
    pub(super) fn origins(&self, value: &Value) -> Vec<Candidate> {
        match &value.data {
            Data::Text(Text::Pieces(pieces)) => pieces
                .iter()
                .filter_map(|piece| match piece {
                    Piece::Slot(candidate) => Some(*candidate),
                    Piece::Bytes(_) => None,
                })
                .collect(),
            Data::Unknown(candidate) => vec![*candidate],
            _ => value.origin.into_iter().collect(),
        }
    }

    /// The key of the first secret that a value is made of: that of a value decorator, also where the value is computed from it.
    pub(super) fn secret_of(&self, value: &Value) -> Result<Option<String>, Cause> {
        let mut open = self.origins(value);
        let mut secret = None;
        // Operands are older than what is computed from them, so this ends.
        while let Some(candidate) = open.pop() {
            let entry = self.entry(candidate)?;
            if !entry.public {
                secret = Some(entry.key.clone());
                if entry.decorator != 0 {
                    break;
                }
                open.clone_from(&entry.operands);
            }
        }
        Ok(secret)
    }

    /// The candidate of a computed value: one per key.
    pub(super) fn computed(
        &mut self,
        key: String,
        value: Option<Scalar>,
        operands: Vec<Candidate>,
        span: Span,
    ) -> Result<Candidate, Cause> {
        if let Some(candidate) = self.find(&key) {
            return Ok(candidate);
        }
        let (mut public, mut seeded) = (true, false);
        for operand in &operands {
            let entry = self.entry(*operand)?;
            public &= entry.public;
            seeded |= entry.seeded;
        }
        self.add(Entry { key, value, decorator: 0, answer: None, public, seeded, shapes: false, operands, span, slot: None })
    }

    /// Canonical text for a value inside a key: the key of a slot, or a constant as it would be written. How a text is divided into pieces makes
    /// no difference.
    pub(super) fn key_of(&self, value: &Value, pool: &[u8]) -> Result<String, Cause> {
        let mut key = Key::default();
        match &value.data {
            Data::Text(Text::Constant(offset, length)) => {
                let bytes = opal_format::record::TextRef::new(*offset, *length).of(pool).unwrap_or_default();
                key.push("\"").escaped(bytes).push("\"");
            }
            Data::Text(Text::Pieces(pieces)) => {
                let (mut open, mut started) = (false, false);
                for piece in pieces.iter() {
                    let bytes = matches!(piece, Piece::Bytes(_));
                    if !(open && bytes) {
                        key.push(if open { "\"" } else { "" }).push(if started { " + " } else { "" }).push(if bytes { "\"" } else { "" });
                    }
                    match piece {
                        Piece::Bytes(bytes) => key.escaped(bytes),
                        Piece::Slot(candidate) => key.push(&self.entry(*candidate)?.key),
                    };
                    (open, started) = (bytes, true);
                }
                key.push(match (open, started) {
                    (true, _) => "\"",
                    (false, true) => "",
                    (false, false) => "\"\"",
                });
            }
            Data::Unknown(candidate) => {
                key.push(&self.entry(*candidate)?.key);
            }
            _ => {
                match (value.origin, scalar_text(value)) {
                    (Some(origin), _) => key.push(&self.entry(origin)?.key),
                    (None, Some(text)) => key.push(&text),
                    (None, None) => key.push(value.described()),
                };
            }
        }
        Ok(key.finish())
    }
}

/// A key under construction: its text, or a running digest once that is too long to be kept.
#[derive(Default)]
struct Key {
    text: String,
    digest: Option<Canonical>,
}

impl Key {
    fn push(&mut self, more: &str) -> &mut Self {
        if let Some(digest) = &mut self.digest {
            digest.raw(more.as_bytes());
        } else {
            self.text.push_str(more);
            if self.text.len() > KEY_MAX {
                let mut digest = Canonical::new(HashAlgorithm::Sha256, "v1/slot-key");
                digest.raw(self.text.as_bytes());
                self.digest = Some(digest);
            }
        }
        self
    }

    /// Adds bytes as ASCII, a part at a time so that a long text is never held twice.
    fn escaped(&mut self, bytes: &[u8]) -> &mut Self {
        for part in bytes.chunks(KEY_MAX) {
            self.push(&part.escape_ascii().to_string());
        }
        self
    }

    /// The text, or `computed.` and the first 16 bytes of its digest.
    fn finish(self) -> String {
        let Some(digest) = self.digest else { return self.text };
        let digest = digest.finish().bytes;
        format!("computed.{}", crate::hex::encode(digest.first_chunk::<16>().map_or(&digest[..], |first| first)))
    }
}

/// A key as it is kept: itself, or its digest where it is long.
pub(super) fn bounded(key: String) -> String {
    if key.len() <= KEY_MAX {
        return key;
    }
    let mut long = Key::default();
    long.push(&key);
    long.finish()
}

fn scalar_text(value: &Value) -> Option<String> {
    Some(match value.data {
        Data::Int(int) => int.to_string(),
        Data::Float(float) => format!("{float:?}"),
        Data::Bool(bool) => bool.to_string(),
        Data::Duration(nanoseconds) => crate::duration::format(nanoseconds),
        _ => return None,
    })
}

/// A String as a key shows it: quoted, ASCII, injective.
pub(super) fn quote(bytes: &[u8]) -> String {
    format!("\"{}\"", bytes.escape_ascii())
}
