//! Replaces secret values in everything that leaves the VM. What is read for "no secret leaves unscrubbed" is this module and `outlet`.
//!
//! [`Secrets`] are all that are known, by tiers: a new one is compiled alone, and tiers that are alike in size become one, so that a binding in a
//! loop costs the logarithm of their number and not the number. A [`Scrubber`] goes through one stream. It asks whether there are new secrets
//! before it takes bytes and before it gives any away, so what it holds is judged by all that are known when it is given away.
//!
//! One automaton finds every form (`forms.rs`) of every secret of a tier in one pass (`tier.rs`), and patterns of digits find encodings in any layout
//! (`digits.rs`). Occurrences that overlap become one range and one placeholder, so no byte of a complete occurrence is ever put out; a plain
//! "leftmost, longest" would show the tail of a secret whose head is another's tail. Of occurrences that start together
//! the longest names the placeholder.
//!
//! A write may end inside an occurrence. Then the bytes that may belong to one are held back: never more than the
//! longest form with its layout, and only while they are the beginning of one. They are not let go after a time, since a slow
//! writer would then defeat the scrubber; the other bytes, and occurrences that are complete, pass at once, so output stays live. What has
//! been put out is remembered for a while ([`CONTEXT`]): where an occurrence began in it (a step ended there, or the secret was not known yet), the rest
//! of it is replaced.
//!
//! Tests besides `tests.rs`: `tests/tests/scrubbing.rs`, `tests/tests/outlet.rs`, `tests/fuzz/scrub.rs`.
//!
//! This guards against accidents, not against a step that wants to leak. The automaton's memory holds the secrets
//! until the process ends; it is not zeroised.
//!
//! Read for: no secret leaves unscrubbed.

pub(crate) mod digits;
pub(crate) mod forms;
mod tier;

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tier::{Cursor, Tier};
use zeroize::Zeroizing;

/// Values shorter than this many bytes are not looked for: they would be found everywhere.
pub const VALUE_MIN: usize = forms::FORM_MIN;

/// How many bytes of the beginning of a form the fast scan looks at.
const WINDOW: usize = 4;
const _: () = assert!(WINDOW == forms::FORM_MIN);

/// So many bytes that have been put out are remembered, at least.
pub const CONTEXT: usize = 4096;

/// A value, and what to show in its place.
struct Secret {
    value: Zeroizing<Vec<u8>>,
    name: Arc<[u8]>,
}

/// All secrets that are known. There are never fewer.
#[derive(Default)]
pub struct Secrets {
    tiers: Mutex<Tiers>,
    /// Changes with the tiers.
    generation: AtomicUsize,
}

#[derive(Default)]
struct Tiers {
    /// Each larger than all behind it together.
    all: Vec<Arc<Tier>>,
    /// How many secrets have been compiled, counting again those that were compiled again.
    compiled: usize,
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secrets(…)")
    }
}

impl Secrets {
    /// Adds secrets, each with what to show in its place. When this returns, every scrubber knows them. Values shorter than [`VALUE_MIN`] are left
    /// out; the caller says so where that matters. The earlier of two equal values wins.
    pub fn add<'a>(&self, secrets: impl IntoIterator<Item = (&'a [u8], &'a str)>) {
        let mut tiers = self.tiers.lock().unwrap_or_else(PoisonError::into_inner);
        let known = |value: &[u8]| tiers.all.iter().flat_map(|tier| &tier.secrets).any(|secret| secret.value.as_slice() == value);
        let mut new: Vec<Secret> = secrets
            .into_iter()
            .filter(|(value, _)| value.len() >= VALUE_MIN && !known(value))
            .map(|(value, name)| Secret { value: Zeroizing::new(value.to_vec()), name: name.as_bytes().into() })
            .collect();
        if new.is_empty() {
            return;
        }
        while let Some(last) = tiers.all.pop_if(|last| last.secrets.len() <= new.len()) {
            let older = last.secrets.iter().map(|secret| Secret { value: secret.value.clone(), name: Arc::clone(&secret.name) });
            new = older.chain(new).collect();
        }
        tiers.compiled = tiers.compiled.saturating_add(new.len());
        tiers.all.extend(Tier::new(new).map(Arc::new));
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// How many secrets have been compiled, counting again those that were compiled again, and in how many tiers they are now.
    #[must_use]
    pub fn work(&self) -> (usize, usize) {
        let tiers = self.tiers.lock().unwrap_or_else(PoisonError::into_inner);
        (tiers.compiled, tiers.all.len())
    }

    /// Whether there is nothing to replace.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.generation.load(Ordering::Acquire) == 0
    }

    /// Scrubs a whole text.
    #[must_use]
    pub fn scrub(self: &Arc<Self>, text: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(text.len());
        let mut scrubber = Scrubber::new(Arc::clone(self));
        scrubber.write(text, &mut out);
        scrubber.finish(&mut out);
        out
    }
}

/// A part of a text that is to be replaced.
struct Found {
    range: Range<usize>,
    /// Length of the occurrence that names it.
    length: usize,
    name: Arc<[u8]>,
}

/// Adds an occurrence that ends last, and merges those that it overlaps.
fn note(found: &mut Vec<Found>, mut new: Found) {
    while let Some(last) = found.pop_if(|last| last.range.end > new.range.start) {
        let start = last.range.start.min(new.range.start);
        if (last.range.start, Reverse(last.length)) <= (new.range.start, Reverse(new.length)) {
            new.length = last.length;
            new.name = last.name;
        }
        new.range.start = start;
        new.range.end = new.range.end.max(last.range.end);
    }
    found.push(new);
}

/// Scrubs one stream.
pub struct Scrubber {
    secrets: Arc<Secrets>,
    generation: usize,
    cursors: Vec<Cursor>,
    /// What has been put out lately, and what has not.
    held: Vec<u8>,
    /// So many bytes of `held` have been put out.
    shown: usize,
    /// So many may be: no occurrence to come begins before.
    certain: usize,
    /// All may be, since the stream has ended, or what writes to it has.
    flushed: bool,
    /// Occurrences in `held`, in order, disjoint.
    found: VecDeque<Found>,
}

impl Scrubber {
    /// A scrubber at the beginning of a stream.
    #[must_use]
    pub fn new(secrets: Arc<Secrets>) -> Self {
        Self { secrets, generation: 0, cursors: Vec::new(), held: Vec::new(), shown: 0, certain: 0, flushed: false, found: VecDeque::new() }
    }

    /// How many bytes have been read and not been put out.
    #[must_use]
    pub fn held(&self) -> usize {
        self.held.len().saturating_sub(self.shown)
    }

    /// Takes the next bytes and appends to `out` what can be put out.
    pub fn write(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        self.push(bytes);
        while self.pull(usize::MAX, out) > 0 {}
    }

    /// Puts out what is held: what writes to the stream has ended.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        self.flush();
        while self.pull(usize::MAX, out) > 0 {}
    }

    /// Takes the next bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.refresh();
        self.forget();
        self.flushed = false;
        let from = self.held.len();
        self.held.extend_from_slice(bytes);
        let (mut found, mut others) = (Vec::new(), Vec::new());
        for cursor in &mut self.cursors {
            let mut of_tier = Vec::new();
            cursor.scan(&self.held, from, &mut of_tier, &mut others);
            if found.is_empty() {
                found = of_tier;
            } else {
                others.append(&mut of_tier);
            }
        }
        self.add(found, others);
    }

    /// Nothing is held back any longer.
    pub fn flush(&mut self) {
        self.refresh();
        let mut others = Vec::new();
        self.cursors.iter().for_each(|cursor| cursor.find_last(&self.held, &mut others));
        self.add(Vec::new(), others);
        self.flushed = true;
        self.certain = self.held.len();
    }

    /// Appends to `out` the next part of what can be put out, by the secrets that are known now: bytes as they are, at most so many, or a placeholder.
    /// Gives how many bytes of the stream that were; 0 if there is nothing.
    pub fn pull(&mut self, most: usize, out: &mut Vec<u8>) -> usize {
        self.refresh();
        while self.found.pop_front_if(|found| found.range.end <= self.shown).is_some() {}
        let end = match self.found.front() {
            Some(found) if found.range.start <= self.shown && found.range.end > self.certain => return 0,
            Some(found) if found.range.start <= self.shown => {
                out.extend_from_slice(&found.name);
                found.range.end
            }
            next => {
                let end = self.certain.min(self.shown.saturating_add(most));
                let end = next.map_or(end, |next| next.range.start.min(end));
                out.extend_from_slice(self.held.get(self.shown..end).unwrap_or_default());
                end
            }
        };
        let pulled = end.saturating_sub(self.shown);
        self.shown = self.shown.max(end);
        pulled
    }

    /// Takes over what has become known, and looks through what is held for it.
    fn refresh(&mut self) {
        if self.secrets.generation.load(Ordering::Acquire) == self.generation {
            return;
        }
        let tiers = {
            let tiers = self.secrets.tiers.lock().unwrap_or_else(PoisonError::into_inner);
            self.generation = self.secrets.generation.load(Ordering::Acquire);
            tiers.all.clone()
        };
        let mut before = std::mem::take(&mut self.cursors);
        let mut others = Vec::new();
        for tier in tiers {
            match before.iter().position(|cursor| Arc::ptr_eq(&cursor.tier, &tier)) {
                Some(known) => self.cursors.push(before.swap_remove(known)),
                None => {
                    let (mut cursor, mut found) = (Cursor::new(tier), Vec::new());
                    cursor.scan(&self.held, 0, &mut found, &mut others);
                    others.append(&mut found);
                    self.cursors.push(cursor);
                }
            }
        }
        self.add(Vec::new(), others);
    }

    /// Adds occurrences, those in `found` disjoint and in order, and sees what is certain now.
    fn add(&mut self, found: Vec<Found>, others: Vec<Found>) {
        let last = self.found.back().map_or(0, |last| last.range.end);
        if others.is_empty() && found.first().is_none_or(|first| first.range.start >= last) {
            self.found.extend(found);
        } else {
            let mut all: Vec<Found> = std::mem::take(&mut self.found).into_iter().chain(found).chain(others).collect();
            // By their ends, so that each ends last when it is noted.
            all.sort_by_key(|found| (found.range.end, found.range.start));
            let mut merged = Vec::with_capacity(all.len());
            all.into_iter().for_each(|found| note(&mut merged, found));
            self.found = merged.into();
        }
        if !self.flushed {
            let certain = self.cursors.iter().map(|cursor| cursor.certain(&self.held)).fold(self.held.len(), usize::min);
            self.certain = certain.max(self.shown);
        }
    }

    /// Forgets what was put out long ago.
    fn forget(&mut self) {
        if self.shown < CONTEXT.saturating_mul(2) {
            return;
        }
        // An occurrence that is under way is remembered from its beginning.
        let begun = self.cursors.iter().map(|cursor| cursor.certain(&self.held)).fold(self.shown, usize::min);
        let gone = self.shown.saturating_sub(CONTEXT).min(begun);
        self.held.drain(..gone);
        self.shown = self.shown.saturating_sub(gone);
        self.certain = self.certain.saturating_sub(gone);
        self.cursors.iter_mut().for_each(|cursor| cursor.shift(gone));
        for found in &mut self.found {
            found.range = found.range.start.saturating_sub(gone)..found.range.end.saturating_sub(gone);
        }
    }
}

impl Drop for Scrubber {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.held);
    }
}

#[cfg(test)]
mod tests;
