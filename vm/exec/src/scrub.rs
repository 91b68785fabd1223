//! Replaces secret values in everything that leaves the VM (spec/security.md, "Whoever controls a step").
//!
//! One automaton finds every form (`forms.rs`) of every secret in one pass. Occurrences that overlap become one
//! range and one placeholder, so no byte of a complete occurrence is ever put out; a plain "leftmost, longest"
//! would show the tail of a secret whose head is another's tail. Of occurrences that start together
//! the longest names the placeholder.
//!
//! A write may end inside an occurrence. Then the bytes that may belong to one are held back: never more than the
//! longest form, and only while they are the beginning of one. They are not let go after a time, since a slow
//! writer would then defeat the scrubber; the other bytes, and occurrences that are complete, pass at once, so output stays live.
//!
//! Most output holds no secret, so most of it is only looked at by the fast scan: whether a form may begin with these four bytes. The automaton
//! runs from the places where one may, and only while it has come further than four bytes. Tests besides `tests.rs`: `tests/tests/scrubbing.rs`,
//! `tests/fuzz/scrub.rs`.
//!
//! This guards against accidents, not against a step that wants to leak. The automaton's memory holds the secrets
//! until the process ends; it is not zeroised.

mod forms;

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

use aho_corasick::automaton::{Automaton as _, StateID};
use aho_corasick::nfa::contiguous::NFA;
use aho_corasick::{Anchored, MatchKind, PatternID};

/// Values shorter than this many bytes are not looked for: they would be found everywhere.
pub const VALUE_MIN: usize = forms::FORM_MIN;

/// How many bytes of the beginning of a form the fast scan looks at.
const WINDOW: usize = 4;
const _: () = assert!(WINDOW == forms::FORM_MIN);

/// Of forms longer than twice this only so many bytes are in the automaton, which takes some hundred bytes for each; the rest is compared.
const HEAD: usize = 64;

/// Bits of the fast scan's table, as a power of two: with a thousand secrets about one place in a hundred is looked at for nothing.
const FILTER_BITS: u32 = 20;

/// Places that the fast scan decides about at once.
const STRIDE: usize = 8;

/// Every text that is looked for on behalf of a value, each once.
#[must_use]
pub fn forms(value: &[u8]) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    if value.len() >= VALUE_MIN {
        forms::each(value, &mut |form| all.push(form));
    }
    all
}

/// All secrets to be replaced, compiled.
#[derive(Default)]
pub struct Patterns {
    automaton: Option<Compiled>,
}

struct Compiled {
    nfa: NFA,
    start: StateID,
    /// By state: how many of the last bytes are the beginning of a form.
    depths: Vec<u32>,
    /// States at the end of a form that no other form goes on from.
    leaves: HashSet<StateID>,
    /// By pattern: which replacement.
    owners: Vec<usize>,
    /// By pattern: the form, if the pattern is only the head of it.
    long: Vec<Option<Vec<u8>>>,
    replacements: Vec<Vec<u8>>,
    /// A bit for each hash of the first [`WINDOW`] bytes of a form.
    filter: Box<[u8]>,
}

impl Patterns {
    /// Compiles secrets, each with what to show in its place. Values shorter than [`VALUE_MIN`] are left out; the
    /// caller says so where that matters. The earlier of two equal values wins.
    #[must_use]
    pub fn new<'a>(secrets: impl IntoIterator<Item = (&'a [u8], &'a str)>) -> Self {
        let mut patterns: Vec<Vec<u8>> = Vec::new();
        let mut owners = Vec::new();
        let mut replacements = Vec::new();
        for (value, replacement) in secrets {
            for form in forms(value) {
                patterns.push(form);
                owners.push(replacements.len());
            }
            replacements.push(replacement.as_bytes().to_vec());
        }
        Self { automaton: Compiled::new(patterns, owners, replacements) }
    }

    /// Whether there is nothing to replace.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.automaton.is_none()
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

impl Compiled {
    fn new(forms: Vec<Vec<u8>>, owners: Vec<usize>, replacements: Vec<Vec<u8>>) -> Option<Self> {
        if forms.is_empty() {
            return None;
        }
        let is_long = |form: &Vec<u8>| form.len() > HEAD.saturating_mul(2);
        let patterns: Vec<Vec<u8>> =
            forms.iter().map(|form| form.get(..HEAD).filter(|_| is_long(form)).map_or_else(|| form.clone(), <[u8]>::to_vec)).collect();
        let long = forms.into_iter().map(|form| is_long(&form).then_some(form)).collect();
        // Building fails only beyond 2^31 states: 2 GiB of forms, above every limit on values.
        let nfa = NFA::builder().match_kind(MatchKind::Standard).prefilter(false).build(&patterns).ok()?;
        let start = nfa.start_state(Anchored::No).ok()?;
        let mut depths = Vec::new();
        let mut leaves = HashSet::new();
        let mut filter = vec![0; 1 << (FILTER_BITS - 3)].into_boxed_slice();
        for pattern in &patterns {
            let mut state = start;
            for (depth, byte) in (1u32..).zip(pattern) {
                state = nfa.next_state(Anchored::No, state, *byte);
                if depths.len() <= state.as_usize() {
                    depths.resize(state.as_usize().saturating_add(1), 0);
                }
                if let Some(place) = depths.get_mut(state.as_usize()) {
                    *place = depth;
                }
            }
            leaves.insert(state);
            if let Some(window) = pattern.first_chunk() {
                let hash = hash(u32::from_le_bytes(*window));
                if let Some(place) = filter.get_mut(hash >> 3) {
                    *place |= 1 << (hash & 7);
                }
            }
        }
        for pattern in &patterns {
            let mut state = start;
            for byte in pattern {
                leaves.remove(&state);
                state = nfa.next_state(Anchored::No, state, *byte);
            }
        }
        Some(Self { nfa, start, depths, leaves, owners, long, replacements, filter })
    }

    fn depth(&self, state: StateID) -> usize {
        self.depths.get(state.as_usize()).map_or(0, |depth| *depth as usize)
    }

    /// The state that goes on like `state`, which the end of `text` has led to, and is not the end of a form that none goes on from. What is only
    /// complete need not be held back.
    fn beyond_leaf(&self, text: &[u8], mut state: StateID) -> StateID {
        while self.leaves.contains(&state) {
            let from = text.len().saturating_sub(self.depth(state)).saturating_add(1);
            let rest = text.get(from..).unwrap_or_default();
            state = rest.iter().fold(self.start, |state, byte| self.nfa.next_state(Anchored::No, state, *byte));
        }
        state
    }

    /// 1 where a form may begin with these bytes, else 0.
    fn may_begin(&self, window: u32) -> u8 {
        let hash = hash(window);
        self.filter.get(hash >> 3).map_or(1, |byte| byte >> (hash & 7) & 1)
    }

    /// The first place at or after `from` where a form may begin, or where too few bytes are left to tell.
    fn skip(&self, text: &[u8], from: usize) -> usize {
        let mut at = from;
        // Eight places in one go: their bytes are those of two words that overlap by half.
        while let Some(block) = text.get(at..).and_then(<[u8]>::first_chunk::<{ STRIDE + WINDOW }>) {
            let [a, b, c, d, e, f, g, h, i, j, k, l] = *block;
            let words = [u64::from_le_bytes([a, b, c, d, e, f, g, h]), u64::from_le_bytes([e, f, g, h, i, j, k, l])];
            let any = words.into_iter().fold(0, |any, word| {
                let window = |shifted: u64| self.may_begin(u32::try_from(shifted & u64::from(u32::MAX)).unwrap_or(0));
                any | window(word) | window(word >> 8) | window(word >> 16) | window(word >> 24)
            });
            if any != 0 {
                break;
            }
            at = at.saturating_add(STRIDE);
        }
        while let Some(window) = text.get(at..).and_then(<[u8]>::first_chunk)
            && self.may_begin(u32::from_le_bytes(*window)) == 0
        {
            at = at.saturating_add(1);
        }
        at
    }

    /// The patterns that end in `state`: heads of longer forms, or whole ones.
    fn ending(&self, state: StateID, heads: bool) -> impl Iterator<Item = PatternID> {
        let patterns = (0..self.nfa.match_len(state)).map(move |n| self.nfa.match_pattern(state, n));
        patterns.filter(move |pattern| self.long_form(pattern.as_usize()).is_some() == heads)
    }

    fn long_form(&self, pattern: usize) -> Option<&[u8]> {
        self.long.get(pattern)?.as_deref()
    }

    /// The longest form that ends in `state`, and its replacement.
    fn longest(&self, state: StateID) -> Option<(usize, usize)> {
        self.ending(state, false)
            .map(|pattern| (self.nfa.pattern_len(pattern), self.owners.get(pattern.as_usize()).copied().unwrap_or(0)))
            .reduce(|a, b| if b.0 > a.0 { b } else { a })
    }
}

/// Spreads the bytes of a window (a multiplicative hash, by the golden ratio).
fn hash(window: u32) -> usize {
    (window.wrapping_mul(0x9e37_79b1) >> (32 - FILTER_BITS)) as usize
}

/// A part of the held text that is to be replaced.
struct Found {
    range: Range<usize>,
    /// Length of the occurrence that names the replacement.
    length: usize,
    replacement: usize,
}

/// A long form whose head is in the held text, and everything behind it that has come so far.
struct Followed {
    start: usize,
    /// Bytes that are known to be the same.
    same: usize,
    pattern: usize,
}

/// Scrubs one stream.
pub struct Scrubber {
    patterns: Arc<Patterns>,
    state: Option<StateID>,
    /// What has been read and not been put out.
    held: Vec<u8>,
    /// Occurrences in `held`, in order, disjoint.
    found: Vec<Found>,
    /// What may become an occurrence of a long form, in order.
    followed: Vec<Followed>,
}

impl Scrubber {
    /// A scrubber at the beginning of a stream.
    #[must_use]
    pub fn new(patterns: Arc<Patterns>) -> Self {
        Self { patterns, state: None, held: Vec::new(), found: Vec::new(), followed: Vec::new() }
    }

    /// Goes on with other patterns. Call it after [`Scrubber::finish`]: what is held is judged by the new ones only
    /// from its end.
    pub fn set_patterns(&mut self, patterns: Arc<Patterns>) {
        self.patterns = patterns;
        self.state = None;
    }

    /// How many bytes are held back.
    #[must_use]
    pub fn held(&self) -> usize {
        self.held.len()
    }

    /// Takes the next bytes and appends to `out` what can be put out.
    pub fn write(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        let patterns = Arc::clone(&self.patterns);
        let Some(compiled) = &patterns.automaton else {
            out.extend_from_slice(bytes);
            return;
        };
        let mut state = self.state.unwrap_or(compiled.start);
        // What may be the beginning of a form starts here.
        let mut begun = self.held.len().saturating_sub(compiled.depth(state));
        let mut at = self.held.len();
        self.held.extend_from_slice(bytes);
        while at < self.held.len() {
            // Nothing that is longer than a window is under way: the fast scan goes on where the shorter begins, and so behind where it stopped.
            let depth = compiled.depth(state);
            if depth < WINDOW && (state == compiled.start || at.saturating_sub(begun) >= WINDOW) {
                begun = compiled.skip(&self.held, at.saturating_sub(depth));
                at = begun;
                state = compiled.start;
            }
            let Some(byte) = self.held.get(at) else { break };
            state = compiled.nfa.next_state(Anchored::No, state, *byte);
            at = at.saturating_add(1);
            if !compiled.nfa.is_match(state) {
                continue;
            }
            if let Some((length, replacement)) = compiled.longest(state) {
                self.note(Found { range: at.saturating_sub(length)..at, length, replacement });
            }
            let start = at.saturating_sub(HEAD);
            self.followed.extend(compiled.ending(state, true).map(|head| Followed { start, same: HEAD, pattern: head.as_usize() }));
        }
        self.follow(compiled);
        let state = compiled.beyond_leaf(&self.held, state);
        self.state = Some(state);
        let certain = self.held.len().saturating_sub(compiled.depth(state));
        let certain = self.followed.first().map_or(certain, |first| first.start.min(certain));
        self.put_out(certain, compiled, out);
    }

    /// Puts out what is held: the stream has ended.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        let patterns = Arc::clone(&self.patterns);
        if let Some(compiled) = &patterns.automaton {
            self.put_out(self.held.len(), compiled, out);
        }
        self.state = None;
        self.followed.clear();
    }

    /// Compares what has come with the long forms that have begun.
    fn follow(&mut self, compiled: &Compiled) {
        let mut followed = std::mem::take(&mut self.followed);
        followed.retain_mut(|one| {
            let text = self.held.get(one.start..).unwrap_or_default();
            let Some(form) = compiled.long_form(one.pattern) else { return false };
            let end = text.len().min(form.len());
            let same = text.get(one.same..end) == form.get(one.same..end);
            one.same = end;
            if same && end == form.len() {
                let replacement = compiled.owners.get(one.pattern).copied().unwrap_or(0);
                // It may not be the last to end: those behind it are added anew.
                let last = one.start.saturating_add(end);
                let behind = self.found.iter().position(|found| found.range.end > last).unwrap_or(self.found.len());
                let behind = self.found.split_off(behind);
                self.note(Found { range: one.start..last, length: end, replacement });
                behind.into_iter().for_each(|found| self.note(found));
            }
            same && end < form.len()
        });
        self.followed = followed;
    }

    /// Adds an occurrence that ends last, and merges those that it overlaps.
    fn note(&mut self, mut new: Found) {
        while let Some(last) = self.found.pop_if(|last| last.range.end > new.range.start) {
            let start = last.range.start.min(new.range.start);
            if (last.range.start, std::cmp::Reverse(last.length)) <= (new.range.start, std::cmp::Reverse(new.length)) {
                new.length = last.length;
                new.replacement = last.replacement;
            }
            new.range.start = start;
        }
        self.found.push(new);
    }

    /// Puts out the held bytes before `certain`; no occurrence to come begins there. One that reaches beyond stays,
    /// since it may yet be merged.
    fn put_out(&mut self, certain: usize, compiled: &Compiled, out: &mut Vec<u8>) {
        let mut at = 0;
        let mut done: usize = 0;
        for found in &self.found {
            if found.range.end > certain {
                break;
            }
            out.extend_from_slice(self.held.get(at..found.range.start).unwrap_or_default());
            out.extend_from_slice(compiled.replacements.get(found.replacement).map_or(b"", Vec::as_slice));
            at = found.range.end;
            done = done.saturating_add(1);
        }
        self.found.drain(..done);
        let end = self.found.first().map_or(certain, |next| next.range.start.min(certain));
        out.extend_from_slice(self.held.get(at..end).unwrap_or_default());
        let end = end.max(at);
        self.held.drain(..end);
        for one in &mut self.followed {
            one.start = one.start.saturating_sub(end);
        }
        for found in &mut self.found {
            found.range = found.range.start.saturating_sub(end)..found.range.end.saturating_sub(end);
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
