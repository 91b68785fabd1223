//! Times that can be compared on a machine that does other things as well.

use std::time::{Duration, Instant};

/// The least time of each subject. They take turns, so that whatever else the machine does hits all alike; the least of several rounds is
/// what the work takes when nothing gets in its way. A first round is not counted.
pub(crate) fn interleaved<const N: usize>(rounds: usize, mut subjects: [&mut dyn FnMut(); N]) -> [Duration; N] {
    let mut least = [Duration::MAX; N];
    for round in 0..=rounds {
        for (subject, least) in subjects.iter_mut().zip(&mut least) {
            let start = Instant::now();
            subject();
            let taken = start.elapsed();
            if round > 0 {
                *least = taken.min(*least);
            }
        }
    }
    least
}

/// The least time of one subject.
pub(crate) fn alone(rounds: usize, mut subject: impl FnMut()) -> Duration {
    let [least] = interleaved(rounds, [&mut subject]);
    least
}

/// A time with three digits.
pub(crate) fn shown(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    let (value, unit) = match seconds {
        _ if seconds < 1e-6 => (seconds * 1e9, "ns"),
        _ if seconds < 1e-3 => (seconds * 1e6, "µs"),
        _ if seconds < 1.0 => (seconds * 1e3, "ms"),
        _ => (seconds, "s"),
    };
    let digits = if value < 10.0 { 2 } else { usize::from(value < 100.0) };
    format!("{value:.digits$} {unit}")
}
