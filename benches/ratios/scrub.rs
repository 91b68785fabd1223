//! What it costs that output is looked through for secrets.

use crate::{Row, Rows, clock};
use aho_corasick::AhoCorasick;
use opal_exec::listed::forms;
use opal_exec::scrub::{Scrubber, Secrets};
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

/// Bytes of output.
const SIZE: usize = 32 << 20;
/// Bytes that come at a time: what a pipe holds.
const CHUNK: usize = 64 << 10;

const BASE64: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// What logs are made of.
const WORDS: [&str; 18] = [
    "the",
    "build",
    "of",
    "step",
    "finished",
    "in",
    "12.5s",
    "INFO",
    "2026-11-21T03:11:10Z",
    "downloading",
    "crate",
    "error:",
    "warning",
    "/usr/lib/x86_64",
    "https://example.org/a/b?c=d",
    "0x7fffdeadbeef",
    "ok",
    "{\"key\":\"value\",\"n\":3}",
];

/// A small generator of numbers (SplitMix64).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) as usize % limit
    }
}

fn log() -> Vec<u8> {
    let mut numbers = Numbers(7);
    let mut text = Vec::with_capacity(SIZE + 64);
    while text.len() < SIZE {
        text.extend_from_slice(WORDS[numbers.below(WORDS.len())].as_bytes());
        text.push(if numbers.below(12) == 0 { b'\n' } else { b' ' });
    }
    text.truncate(SIZE);
    text
}

fn encoded() -> Vec<u8> {
    let mut numbers = Numbers(3);
    (0..SIZE).map(|at| if at % 77 == 76 { b'\n' } else { BASE64[numbers.below(64)] }).collect()
}

fn secrets(count: usize) -> Vec<Vec<u8>> {
    let mut numbers = Numbers(99);
    (0..count).map(|number| (0..12 + number % 30).map(|_| BASE64[numbers.below(64)]).collect()).collect()
}

fn scrub(patterns: &Arc<Secrets>, text: &[u8]) {
    let mut scrubber = Scrubber::new(Arc::clone(patterns));
    let mut out = Vec::with_capacity(2 * CHUNK);
    for chunk in text.chunks(CHUNK) {
        out.clear();
        scrubber.write(chunk, &mut out);
        black_box(&out);
    }
}

pub(crate) fn rows() -> Rows {
    /// Bytes a second that are wanted.
    const IDLE: f64 = 500e6;
    const MANY: f64 = 200e6;
    let (log, encoded) = (log(), encoded());
    let few = secrets(10);
    let many = secrets(1000);
    let compiled = |secrets: &[Vec<u8>]| {
        let known = Arc::new(Secrets::default());
        known.add(secrets.iter().map(|secret| (secret.as_slice(), "opal:secret:ABCDEFGH")));
        known
    };
    let (ten, thousand) = (compiled(&few), compiled(&many));
    let automaton = AhoCorasick::new(few.iter().flat_map(|secret| forms(secret)))?;
    // One secret in each KiB.
    let mut holding = log.clone();
    for (number, place) in holding.chunks_mut(1024).enumerate() {
        let secret = &few[number % few.len()];
        if let Some(place) = place.get_mut(..secret.len()) {
            place.copy_from_slice(secret);
        }
    }
    let mut out = Vec::with_capacity(CHUNK);
    let [copy, alone, idle, found, many_log, many_encoded] = clock::interleaved(
        5,
        [
            &mut || {
                for chunk in log.chunks(CHUNK) {
                    out.clear();
                    out.extend_from_slice(black_box(chunk));
                    black_box(&out);
                }
            },
            &mut || {
                black_box(automaton.find_iter(black_box(&log)).count());
            },
            &mut || scrub(&ten, &log),
            &mut || scrub(&ten, &holding),
            &mut || scrub(&thousand, &log),
            &mut || scrub(&thousand, &encoded),
        ],
    );
    let built = clock::alone(3, || {
        black_box(compiled(&many));
    });
    let rate = |time: Duration| format!("{:.0} MB/s", SIZE as f64 / time.as_secs_f64() / 1e6);
    let limit = |what: &str, time: Duration, rate_wanted: f64| {
        Row::limit(format!("{what} ({})", rate(time)), time, Duration::from_secs_f64(SIZE as f64 / rate_wanted))
    };
    Ok(vec![
        limit("scrub 32 MiB of log, 10 secrets", idle, IDLE),
        Row::times("  the same", idle, &format!("a copy, {}", rate(copy)), copy, None),
        Row::times("  the same", idle, &format!("aho-corasick alone, {}", rate(alone)), alone, None),
        Row::times(format!("  with a secret in each KiB ({})", rate(found)), found, "none in it", idle, None),
        limit("scrub 32 MiB of log, 1,000 secrets", many_log, MANY),
        limit("scrub 32 MiB of base64, 1,000 secrets", many_encoded, MANY),
        Row::times("  compile 1,000 secrets", built, "scrub 32 MiB of log", many_log, None),
    ])
}
