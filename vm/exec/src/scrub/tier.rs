//! Secrets that are looked for together, compiled.
//!
//! Most output holds no secret, so most of it is only looked at by the fast scan: whether a form may begin with these four bytes. The automaton
//! runs from the places where one may, and only while it has come further than four bytes; patterns of digits (`digits.rs`) are followed from there.
//!
//! Read for: no secret leaves unscrubbed.

use std::collections::HashSet;
use std::sync::Arc;

use aho_corasick::automaton::{Automaton as _, StateID};
use aho_corasick::nfa::contiguous::NFA;
use aho_corasick::{Anchored, MatchKind, PatternID};

use super::digits::{Digits, Follower};
use super::{Found, Secret, VALUE_MIN, WINDOW, forms, note};

/// Of forms longer than twice this only so many bytes are in the automaton, which takes some hundred bytes for each; the rest is compared.
const HEAD: usize = 64;

/// Bits of the fast scan's table, as a power of two, at least and at most.
const FILTER_BITS: [u32; 2] = [12, 21];

/// Places that the fast scan decides about at once.
const STRIDE: usize = 8;

/// Some secrets, compiled.
pub(super) struct Tier {
    pub(super) secrets: Vec<Secret>,
    nfa: NFA,
    start: StateID,
    /// By state: how many of the last bytes are the beginning of a form.
    depths: Vec<u32>,
    /// States at the end of a form that no other form goes on from.
    leaves: HashSet<StateID>,
    /// By pattern: what to show.
    names: Vec<Arc<[u8]>>,
    /// By pattern: the form, if the pattern is only the head of it.
    long: Vec<Option<Vec<u8>>>,
    digits: Digits,
    /// A bit for each hash of the first [`WINDOW`] bytes of a form, and how far a hash is shifted.
    filter: Box<[u8]>,
    shift: u32,
}

impl Tier {
    /// Compiles secrets; `None` where none is long enough. Of two equal ones the earlier wins.
    pub(super) fn new(secrets: Vec<Secret>) -> Option<Self> {
        let mut patterns: Vec<Vec<u8>> = Vec::new();
        let (mut long, mut names, mut variants) = (Vec::new(), Vec::new(), Vec::new());
        for secret in secrets.iter().filter(|secret| secret.value.len() >= VALUE_MIN) {
            forms::each(&secret.value, &mut |form| {
                let head = form.get(..HEAD).filter(|_| form.len() > HEAD.saturating_mul(2)).map(<[u8]>::to_vec);
                long.push(head.is_some().then(|| form.clone()));
                patterns.push(head.unwrap_or(form));
                names.push(Arc::clone(&secret.name));
            });
            variants.extend(forms::variants(&secret.value).into_iter().map(|variant| (variant, &secret.name)));
        }
        let mut windows: Vec<[u8; WINDOW]> = patterns.iter().filter_map(|pattern| pattern.first_chunk().copied()).collect();
        let digits = Digits::new(variants.iter().map(|(value, name)| (value.as_slice(), *name)), |window| windows.push(window));
        drop(variants);
        // Building fails only beyond 2^31 states: 2 GiB of forms, above every limit on values.
        let nfa = NFA::builder().match_kind(MatchKind::Standard).prefilter(false).build(&patterns).ok().filter(|_| !patterns.is_empty())?;
        let start = nfa.start_state(Anchored::No).ok()?;
        let mut depths = Vec::new();
        let mut leaves = HashSet::new();
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
        }
        for pattern in &patterns {
            let mut state = start;
            for byte in pattern {
                leaves.remove(&state);
                state = nfa.next_state(Anchored::No, state, *byte);
            }
        }
        let [least, most] = FILTER_BITS;
        let bits = windows.len().checked_ilog2().unwrap_or(0).saturating_add(8).clamp(least, most);
        let mut filter = vec![0; 1 << bits.saturating_sub(3)].into_boxed_slice();
        let shift = u32::BITS.saturating_sub(bits);
        for window in windows {
            let hash = hash(u32::from_le_bytes(window), shift);
            if let Some(place) = filter.get_mut(hash >> 3) {
                *place |= 1 << (hash & 7);
            }
        }
        Some(Self { secrets, nfa, start, depths, leaves, names, long, digits, filter, shift })
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
        let hash = hash(window, self.shift);
        self.filter.get(hash >> 3).map_or(1, |byte| byte >> (hash & 7) & 1)
    }

    /// Whether a form may begin at this place, and enough bytes are there to tell.
    fn may_begin_at(&self, text: &[u8], at: usize) -> bool {
        text.get(at..).and_then(<[u8]>::first_chunk).is_some_and(|window| self.may_begin(u32::from_le_bytes(*window)) != 0)
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

    fn name(&self, pattern: usize) -> Arc<[u8]> {
        self.names.get(pattern).cloned().unwrap_or_default()
    }

    /// The longest form that ends in `state`, and what to show for it.
    fn longest(&self, state: StateID) -> Option<(usize, usize)> {
        self.ending(state, false)
            .map(|pattern| (self.nfa.pattern_len(pattern), pattern.as_usize()))
            .reduce(|a, b| if b.0 > a.0 { b } else { a })
    }
}

/// Spreads the bytes of a window (a multiplicative hash, by the golden ratio).
fn hash(window: u32, shift: u32) -> usize {
    (window.wrapping_mul(0x9e37_79b1) >> shift) as usize
}

/// A long form whose head is in the text, and everything behind it that has come so far.
struct Followed {
    start: usize,
    /// Bytes that are known to be the same.
    same: usize,
    pattern: usize,
}

/// How far a stream has been looked through for the secrets of one tier. Places count from the beginning of the text that the stream holds.
pub(super) struct Cursor {
    pub(super) tier: Arc<Tier>,
    state: StateID,
    /// What may become an occurrence of a long form, in order.
    followed: Vec<Followed>,
    /// What may become an occurrence of digits.
    followers: Vec<Follower>,
}

impl Cursor {
    /// Before the first byte.
    pub(super) fn new(tier: Arc<Tier>) -> Self {
        Self { state: tier.start, tier, followed: Vec::new(), followers: Vec::new() }
    }

    /// So many bytes have gone from before the text.
    pub(super) fn shift(&mut self, bytes: usize) {
        self.followed.iter_mut().for_each(|one| one.start = one.start.saturating_sub(bytes));
        self.followers.iter_mut().for_each(|one| one.shift(bytes));
    }

    /// The place before which no occurrence to come begins.
    pub(super) fn certain(&self, text: &[u8]) -> usize {
        let begun = text.len().saturating_sub(self.tier.depth(self.state));
        let followed = self.followed.iter().map(|one| one.start).chain(self.followers.iter().map(Follower::start));
        followed.fold(begun.min(self.tier.digits.begun(text)), usize::min)
    }

    /// Adds what is found if the text ends here.
    pub(super) fn find_last(&self, text: &[u8], found: &mut Vec<Found>) {
        self.followers.iter().for_each(|follower| follower.find_last(&self.tier.digits, text, found));
    }

    /// Looks through the text from where it has come to, and adds what it finds: in `found` what is found in order of the ends, in
    /// `others` the rest.
    pub(super) fn scan(&mut self, text: &[u8], from: usize, found: &mut Vec<Found>, others: &mut Vec<Found>) {
        let tier = Arc::clone(&self.tier);
        let tier = &*tier;
        let followers = std::mem::take(&mut self.followers);
        tier.digits.follow(followers, text, &mut self.followers, others);
        // The places at which too little of the text was there to tell.
        for at in from.saturating_sub(WINDOW.saturating_sub(1))..from {
            if tier.may_begin_at(text, at) {
                tier.digits.start(text, at, &mut self.followers, others);
            }
        }
        tier.digits.start_before_line_ends(text, from, &mut self.followers, others);
        let mut state = self.state;
        // What may be the beginning of a form starts here.
        let mut begun = from.saturating_sub(tier.depth(state));
        let mut at = from;
        while at < text.len() {
            // Nothing that is longer than a window is under way: the fast scan goes on where the shorter begins, and so behind where it stopped.
            let depth = tier.depth(state);
            if depth < WINDOW && (state == tier.start || at.saturating_sub(begun) >= WINDOW) {
                let next = tier.skip(text, at.saturating_sub(depth));
                begun = next;
                // What it goes back over has been followed.
                if next >= at {
                    at = next;
                    state = tier.start;
                } else {
                    let again = text.get(next..at).unwrap_or_default();
                    state = again.iter().fold(tier.start, |state, byte| tier.nfa.next_state(Anchored::No, state, *byte));
                }
            }
            let Some(byte) = text.get(at) else { break };
            if tier.may_begin_at(text, at) {
                tier.digits.start(text, at, &mut self.followers, others);
            }
            state = tier.nfa.next_state(Anchored::No, state, *byte);
            at = at.saturating_add(1);
            if !tier.nfa.is_match(state) {
                continue;
            }
            if let Some((length, pattern)) = tier.longest(state) {
                note(found, Found { range: at.saturating_sub(length)..at, length, name: tier.name(pattern) });
            }
            let start = at.saturating_sub(HEAD);
            self.followed.extend(tier.ending(state, true).map(|head| Followed { start, same: HEAD, pattern: head.as_usize() }));
        }
        self.follow(text, others);
        self.state = tier.beyond_leaf(text, state);
    }

    /// Compares what has come with the long forms that have begun.
    fn follow(&mut self, text: &[u8], found: &mut Vec<Found>) {
        let tier = &self.tier;
        self.followed.retain_mut(|one| {
            let text = text.get(one.start..).unwrap_or_default();
            let Some(form) = tier.long_form(one.pattern) else { return false };
            let end = text.len().min(form.len());
            let same = text.get(one.same..end) == form.get(one.same..end);
            one.same = end;
            if same && end == form.len() {
                found.push(Found { range: one.start..one.start.saturating_add(end), length: end, name: tier.name(one.pattern) });
            }
            same && end < form.len()
        });
    }
}
