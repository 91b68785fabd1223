//! Encodings that write a value as digits: hexadecimal, base64 and base32, with whatever tools put between the digits.
//!
//! `xxd`, `od` and `hexdump` set pairs, groups, offsets and a column of characters around the digits, and `base64 -w N` breaks its lines anywhere:
//! far too many texts to list for each value. So one pattern for each encoding, its digits alone, is followed through
//! the text from each place where it may begin, and everything that is layout is passed over:
//!
//! - of hexadecimal: blanks, the other `SEPARATORS`, `0x` and `\x` between the pairs, line ends, the offset that begins a line, and the rest of a line
//!   behind two blanks once it does not go on as digits, which is the column of characters;
//! - of base64 and base32: line ends, also as `\n`, and the blanks that begin a line.
//!
//! A backslash before a line end belongs to it.
//!
//! The patterns are sorted, so those that begin like what has been read are a range that each digit narrows: no automaton, and no more memory
//! than the digits. What of an occurrence stands at the end of a line and is shorter than [`LINE_MIN`] digits is let go when the line
//! ends, so that a word that might begin one holds up no line; the rest of the occurrence is replaced all the same.
//!
//! Read for: no secret leaves unscrubbed.

use std::collections::{HashMap, HashSet};
use std::io::BufRead as _;
use std::ops::Range;
use std::sync::Arc;

use super::{Found, WINDOW};

/// Digits that decide where to look.
const HEAD: usize = 4;

/// So many digits of an occurrence are held back beyond the end of a line, fewer are not.
const LINE_MIN: usize = 3;

/// The most that is passed over between two digits, or behind the last one: longer than the layout of any tool.
const GAP_MAX: usize = 160;

/// What may stand between the pairs of hexadecimal, besides `0x` and `\x`, which may come behind one.
const SEPARATORS: &[u8] = b" \t:,-;._|";

/// Digits of the offsets that begin the lines of dumps.
const OFFSET: Range<usize> = 6..17;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Base {
    Hex,
    Base64,
    Base32,
}

pub(crate) const BASES: [Base; 3] = [Base::Hex, Base::Base64, Base::Base32];

impl Base {
    /// Its digits, the bits of one, how many make a group that is padded, and how many bytes that is.
    const fn alphabet(self) -> (&'static [u8], usize, usize, usize) {
        match self {
            Self::Hex => (b"0123456789abcdef", 4, 1, 1),
            Self::Base64 => (b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", 6, 4, 3),
            Self::Base32 => (b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", 5, 8, 5),
        }
    }

    /// The digit that a byte is, in one spelling.
    const fn digit(self, byte: u8) -> Option<u8> {
        match (self, byte) {
            (Self::Hex, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => Some(byte.to_ascii_lowercase()),
            (Self::Base64, b'-') => Some(b'+'),
            (Self::Base64, b'_') => Some(b'/'),
            (Self::Base64, b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'+' | b'/' | b'=') => Some(byte),
            (Self::Base32, b'A'..=b'Z' | b'a'..=b'z' | b'2'..=b'7' | b'=') => Some(byte.to_ascii_uppercase()),
            _ => None,
        }
    }

    /// The digits of a value that stands behind `before` bytes which are not known: those in which nothing of these is, padded as at the end of a text; how many
    /// are certain whatever follows, and how many there are without the padding.
    fn digits(self, value: &[u8], before: usize) -> (Vec<u8>, [usize; 2]) {
        let (alphabet, bits, group, _) = self.alphabet();
        let byte = |at: usize| at.checked_sub(before).and_then(|at| value.get(at)).copied().unwrap_or(0);
        let digit = |number: usize| {
            let bit = number.saturating_mul(bits);
            let pair = u16::from_be_bytes([byte(bit / 8), byte((bit / 8).saturating_add(1))]);
            let digit = pair << (bit % 8) >> 16_usize.saturating_sub(bits);
            alphabet.get(usize::from(digit)).copied().unwrap_or(b'A')
        };
        let length = before.saturating_add(value.len()).saturating_mul(8);
        let (first, end) = (before.saturating_mul(8).div_ceil(bits), length.div_ceil(bits));
        let mut out: Vec<u8> = (first..end).map(digit).collect();
        out.resize(end.next_multiple_of(group).saturating_sub(first), b'=');
        let whole = length.checked_div(bits).unwrap_or(end);
        (out, [whole, end].map(|end| end.saturating_sub(first)))
    }

    /// Calls `add` with the digits of a value at each place of a group, and where they may end.
    pub(crate) fn each(self, value: &[u8], add: &mut impl FnMut(Arc<[u8]>, usize)) {
        let (.., places) = self.alphabet();
        for before in 0..places {
            let (digits, [certain, all]) = self.digits(value, before);
            let digits: Arc<[u8]> = digits.into();
            let mut ends = vec![certain, all, digits.len()];
            ends.dedup();
            ends.into_iter().filter(|end| *end >= HEAD).for_each(|end| add(Arc::clone(&digits), end));
        }
    }

    /// The first bytes of a text in which these digits may stand.
    fn windows(self, head: [u8; HEAD]) -> Vec<[u8; WINDOW]> {
        match self {
            Self::Base64 => vec![head, head.map(for_urls)],
            Self::Base32 => vec![head, head.map(|digit| digit.to_ascii_lowercase())],
            Self::Hex => [head, head.map(|digit| digit.to_ascii_uppercase())]
                .into_iter()
                .flat_map(|[a, b, c, d]| {
                    let apart = SEPARATORS.iter().flat_map(move |one| [c, b' ', b'0', b'\\'].map(|next| [*one, next]));
                    apart.chain([[b'0', b'x'], [b'\\', b'x'], [c, d]]).map(move |[third, fourth]| [a, b, third, fourth])
                })
                .collect(),
        }
    }
}

/// A digit of base64 as it is written in addresses.
pub(crate) const fn for_urls(digit: u8) -> u8 {
    match digit {
        b'+' => b'-',
        b'/' => b'_',
        other => other,
    }
}

/// The digits of a value, and where they end.
struct Pattern {
    digits: Arc<[u8]>,
    end: usize,
    name: Arc<[u8]>,
}

impl Pattern {
    fn digits(&self) -> &[u8] {
        self.digits.get(..self.end).unwrap_or_default()
    }
}

/// The patterns of one encoding, sorted, and by their first digits, with zeros behind fewer than four, the range of those that begin so.
struct Family {
    base: Base,
    patterns: Vec<Pattern>,
    heads: HashMap<[u8; HEAD], Range<usize>>,
}

/// The digits of many values.
pub(super) struct Digits {
    families: Vec<Family>,
    /// Beginnings, shorter than a window, of windows: their bytes, and behind those their number.
    beginnings: HashSet<[u8; WINDOW]>,
}

impl Digits {
    /// The patterns of values, of which the earlier of two equal ones wins. Calls `window` with the first bytes of every text that can be an occurrence.
    pub(super) fn new<'a>(values: impl Iterator<Item = (&'a [u8], &'a Arc<[u8]>)>, mut window: impl FnMut([u8; WINDOW])) -> Self {
        let mut families = BASES.map(|base| Family { base, patterns: Vec::new(), heads: HashMap::new() });
        for (value, name) in values {
            for family in &mut families {
                let patterns = &mut family.patterns;
                family.base.each(value, &mut |digits, end| patterns.push(Pattern { digits, end, name: Arc::clone(name) }));
            }
        }
        let mut beginnings = HashSet::new();
        for Family { base, patterns, heads } in &mut families {
            patterns.sort_by(|a, b| a.digits().cmp(b.digits()));
            patterns.dedup_by(|later, earlier| later.digits() == earlier.digits());
            for length in 1..=HEAD {
                let mut at: usize = 0;
                for like in patterns.chunk_by(|a, b| a.digits().get(..length) == b.digits().get(..length)) {
                    let digits = like.first().map(Pattern::digits).unwrap_or_default();
                    let head = std::array::from_fn(|at| digits.get(at).copied().filter(|_| at < length).unwrap_or(0));
                    heads.insert(head, at..at.saturating_add(like.len()));
                    at = at.saturating_add(like.len());
                    for one in base.windows(head).into_iter().filter(|_| length == HEAD) {
                        window(one);
                        beginnings.extend((1..WINDOW).filter_map(|length| beginning(one.get(..length)?)));
                    }
                }
            }
        }
        Self { families: families.into(), beginnings }
    }

    /// Whether a text that begins with these few bytes may be an occurrence.
    fn may_begin(&self, bytes: &[u8]) -> bool {
        beginning(bytes).is_some_and(|key| self.beginnings.contains(&key))
    }

    /// The place from which the end of `text` may be the beginning of a window.
    pub(super) fn begun(&self, text: &[u8]) -> usize {
        let first = text.len().saturating_sub(WINDOW.saturating_sub(1));
        (first..text.len()).find(|at| self.may_begin(text.get(*at..).unwrap_or_default())).unwrap_or(text.len())
    }

    /// Follows the patterns that may begin at `start`, through what there is.
    pub(super) fn start(&self, text: &[u8], start: usize, followers: &mut Vec<Follower>, found: &mut Vec<Found>) {
        for number in 0..self.families.len() {
            let follower = Follower {
                family: number,
                start,
                at: start,
                depth: 0,
                head: [0; HEAD],
                range: 0..0,
                layout: Layout::default(),
                done: None,
            };
            self.follow(vec![follower], text, followers, found);
        }
    }

    /// Reads on with `new` followers, and adds those that may come to something.
    pub(super) fn follow(&self, mut new: Vec<Follower>, text: &[u8], followers: &mut Vec<Follower>, found: &mut Vec<Found>) {
        while let Some(mut follower) = new.pop() {
            if follower.advance(self, text, &mut new, found) {
                followers.push(follower);
            }
        }
    }

    /// Follows what begins in the last bytes of a line that ends at or behind `from`, too few for a window.
    pub(super) fn start_before_line_ends(&self, text: &[u8], from: usize, followers: &mut Vec<Follower>, found: &mut Vec<Found>) {
        let mut at = from;
        loop {
            let mut rest = text.get(at..).unwrap_or_default();
            let read = rest.skip_until(b'\n').unwrap_or(0);
            let end = at.saturating_add(read).saturating_sub(1);
            if read == 0 || text.get(end) != Some(&b'\n') {
                return;
            }
            let line = text.get(..end).unwrap_or_default();
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            for length in 1..WINDOW {
                let Some(start) = line.len().checked_sub(length) else { break };
                if self.may_begin(line.get(start..).unwrap_or_default()) {
                    self.start(text, start, followers, found);
                }
            }
            at = end.saturating_add(1);
        }
    }
}

fn beginning(bytes: &[u8]) -> Option<[u8; WINDOW]> {
    let mut key = [0; WINDOW];
    key.get_mut(..bytes.len())?.copy_from_slice(bytes);
    *key.last_mut()? = u8::try_from(bytes.len()).ok()?;
    Some(key)
}

/// Patterns that are followed through a text.
#[derive(Clone)]
pub(super) struct Follower {
    family: usize,
    /// Where the occurrence begins, as far as it is held back.
    start: usize,
    at: usize,
    /// Digits that have been read, and the first of them.
    depth: usize,
    head: [u8; HEAD],
    /// The patterns that begin so.
    range: Range<usize>,
    layout: Layout,
    /// The occurrence is complete: its name and length. What is left of its line shows the same bytes as characters, and is replaced with it.
    done: Option<(Arc<[u8]>, usize)>,
}

/// Where in the layout of a dump a follower is.
#[derive(Clone, Default)]
struct Layout {
    /// Inside a pair.
    odd: bool,
    /// At the beginning of a line.
    line: bool,
    /// Lines have begun with an offset.
    offset: bool,
    /// What has been passed over since the last digit, and blanks since the last other byte.
    gap: usize,
    blanks: usize,
    /// What had been read before the last two blanks of this line: behind them may stand characters.
    mark: Option<(usize, Range<usize>)>,
    /// In the column of characters.
    column: bool,
    /// Nothing follows.
    last: bool,
}

/// What a follower reads next.
enum Next {
    Digit(u8),
    Layout(usize),
    /// An offset of that length, or digits.
    Offset(usize),
    Wait,
    Other,
}

impl Follower {
    /// From where on the text is held back.
    pub(super) const fn start(&self) -> usize {
        self.start
    }

    /// Adds what is found if nothing follows.
    pub(super) fn find_last(&self, digits: &Digits, text: &[u8], found: &mut Vec<Found>) {
        let mut last = self.clone();
        last.layout.last = true;
        digits.follow(vec![last], text, &mut Vec::new(), found);
    }

    /// So many bytes have gone from before the text.
    pub(super) const fn shift(&mut self, bytes: usize) {
        self.start = self.start.saturating_sub(bytes);
        self.at = self.at.saturating_sub(bytes);
    }

    /// Reads on; `false` once nothing can come of it any more. What begins besides is added to `more`.
    pub(super) fn advance(&mut self, digits: &Digits, text: &[u8], more: &mut Vec<Self>, found: &mut Vec<Found>) -> bool {
        let Some(family) = digits.families.get(self.family) else { return false };
        loop {
            let rest = text.get(self.at..).unwrap_or_default();
            if let Some((name, length)) = &self.done
                && (is_line_end(rest) || self.layout.gap.saturating_add(2) > GAP_MAX || (rest.is_empty() && self.layout.last))
            {
                found.push(Found { range: self.start..self.at, length: *length, name: Arc::clone(name) });
                return false;
            }
            match self.layout.next(family.base, rest) {
                Next::Wait => return true,
                // An occurrence begins with a digit.
                Next::Layout(_) | Next::Offset(_) if self.depth == 0 => return false,
                Next::Layout(length) => {
                    if self.pass(rest, length).is_none() {
                        return false;
                    }
                }
                Next::Offset(length) => {
                    // Rows of wide groups that have no offset look the same.
                    let mut digits = self.clone();
                    digits.layout.line = false;
                    more.push(digits);
                    (self.layout.line, self.layout.offset) = (false, true);
                    if self.pass(&[], length).is_none() {
                        return false;
                    }
                }
                Next::Digit(digit) if self.narrow(family, digit) => {
                    self.at = self.at.saturating_add(1);
                    (self.layout.gap, self.layout.blanks, self.layout.line) = (0, 0, false);
                    self.layout.odd = family.base == Base::Hex && !self.layout.odd;
                    if let Some(complete) = family.patterns.get(self.range.start).filter(|pattern| pattern.end == self.depth) {
                        let name = Arc::clone(&complete.name);
                        let length = self.at.saturating_sub(self.start);
                        found.push(Found { range: self.start..self.at, length, name: Arc::clone(&name) });
                        if family.base == Base::Hex && (self.layout.offset || begins_with_offset(text, self.start)) {
                            let layout = Layout { column: true, last: self.layout.last, ..Layout::default() };
                            more.push(Self { done: Some((name, length)), layout, ..self.clone() });
                        }
                        if self.range.len() == 1 {
                            return false;
                        }
                    }
                }
                // Not digits but characters, which stand behind two blanks.
                _ => match self.layout.mark.take() {
                    Some((depth, range)) => {
                        (self.depth, self.range) = (depth, range);
                        (self.layout.odd, self.layout.column) = (false, true);
                    }
                    None => return false,
                },
            }
        }
    }

    /// Passes over layout; `None` where it is too much for one.
    fn pass(&mut self, rest: &[u8], length: usize) -> Option<()> {
        self.at = self.at.saturating_add(length);
        let layout = &mut self.layout;
        layout.gap = layout.gap.saturating_add(length);
        match rest {
            _ if is_line_end(rest) => {
                (layout.line, layout.column, layout.mark, layout.blanks) = (true, false, None, 0);
                if self.depth < LINE_MIN {
                    self.start = self.at;
                }
            }
            [b' ' | b'\t', ..] if !layout.column => {
                layout.blanks = layout.blanks.saturating_add(length);
                if layout.blanks >= 2 && !layout.line && self.depth > 0 {
                    layout.mark = Some((self.depth, self.range.clone()));
                }
            }
            _ => layout.blanks = 0,
        }
        (layout.gap <= GAP_MAX).then_some(())
    }

    /// Takes a digit, where a pattern has it here.
    fn narrow(&mut self, family: &Family, digit: u8) -> bool {
        if let Some(place) = self.head.get_mut(self.depth) {
            *place = digit;
            self.depth = self.depth.saturating_add(1);
            self.range = family.heads.get(&self.head).cloned().unwrap_or_default();
            return !self.range.is_empty();
        }
        let patterns = family.patterns.get(self.range.clone()).unwrap_or_default();
        let at = |pattern: &Pattern| pattern.digits().get(self.depth).copied();
        let from = patterns.partition_point(|pattern| at(pattern) < Some(digit));
        let to = patterns.partition_point(|pattern| at(pattern) <= Some(digit));
        if from >= to {
            return false;
        }
        self.range = self.range.start.saturating_add(from)..self.range.start.saturating_add(to);
        self.depth = self.depth.saturating_add(1);
        true
    }
}

impl Layout {
    fn next(&self, base: Base, rest: &[u8]) -> Next {
        let Some(byte) = rest.first() else { return Next::Wait };
        let escaped = match rest {
            [b'\\', next, ..] => Some(*next),
            [b'\\'] if !self.last => return Next::Wait,
            _ => None,
        };
        match (byte, escaped) {
            (b'\n' | b'\r', _) | (_, Some(b'\n' | b'\r')) => return Next::Layout(1),
            (_, Some(b'n' | b'r')) => return Next::Layout(2),
            _ if self.column => return Next::Layout(1),
            (b' ' | b'\t', _) if self.line => return Next::Layout(1),
            _ if base != Base::Hex => return base.digit(*byte).map_or(Next::Other, Next::Digit),
            _ => {}
        }
        if self.line && !self.odd && byte.is_ascii_hexdigit() {
            match offset(rest) {
                Some(0) => {}
                Some(length) => return Next::Offset(length),
                None if self.last => {}
                None => return Next::Wait,
            }
        }
        match byte {
            _ if self.odd => {}
            one if SEPARATORS.contains(one) => return Next::Layout(1),
            b'0' if rest.get(1) == Some(&b'x') => return Next::Layout(2),
            b'0' if rest.len() == 1 && !self.last => return Next::Wait,
            _ if escaped == Some(b'x') => return Next::Layout(2),
            _ => {}
        }
        base.digit(*byte).map_or(Next::Other, Next::Digit)
    }
}

/// Whether a line ends here, as it stands or in JSON.
fn is_line_end(rest: &[u8]) -> bool {
    rest.starts_with(b"\n") || rest.starts_with(b"\\n")
}

/// The length of the offset that a line begins with, which is 0 where it begins with something else; `None` where too little of it is there.
fn offset(line: &[u8]) -> Option<usize> {
    let digits = line.iter().take(OFFSET.end).take_while(|byte| byte.is_ascii_hexdigit()).count();
    match line.get(digits) {
        None if digits < OFFSET.end => None,
        Some(b':' | b' ') if OFFSET.contains(&digits) => Some(digits.saturating_add(1)),
        _ => Some(0),
    }
}

/// Whether the line of this place begins with an offset.
fn begins_with_offset(text: &[u8], place: usize) -> bool {
    let before = text.get(place.saturating_sub(GAP_MAX)..place).unwrap_or_default();
    let line = before.rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
    offset(line).is_some_and(|length| length > 0)
}
