//! Durations in the language's form: `2h15m`, `1w1d`, `-4m`, `0s`.
//!
//! A duration is an `i64` count of nanoseconds. Units are `y w d h m s ms us ns`, where a year is 365 days; they
//! stand in descending order, each at most once, with integer counts. [`parse`] accepts every text that [`format()`]
//! writes, and `parse(&format(n)) == Ok(n)` for every `n`.

use std::fmt::Write as _;

/// Units from the largest to the smallest, with their length in nanoseconds.
pub const UNITS: [(&str, u64); 9] = [
    ("y", 365 * 86_400_000_000_000),
    ("w", 7 * 86_400_000_000_000),
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

/// Why a text is not a duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// There is nothing to read.
    #[error("a duration is empty")]
    Empty,
    /// A count was expected where `offset` points, in bytes.
    #[error("a duration needs a whole number at byte {offset}")]
    NumberExpected {
        /// Byte offset into the text.
        offset: usize,
    },
    /// A number without a unit.
    #[error("a duration needs a unit after the number at byte {offset}")]
    UnitMissing {
        /// Byte offset of the place where the unit should stand.
        offset: usize,
    },
    /// A fraction such as `1.5h`.
    #[error("a duration has whole numbers only, but there is a `.` at byte {offset}")]
    Fraction {
        /// Byte offset of the point.
        offset: usize,
    },
    /// A unit that does not exist.
    #[error("`{unit}` is no unit of time")]
    UnknownUnit {
        /// The text that stands where a unit is expected.
        unit: String,
    },
    /// The same unit twice.
    #[error("the unit `{unit}` stands twice")]
    RepeatedUnit {
        /// The unit.
        unit: &'static str,
    },
    /// A larger unit after a smaller one.
    #[error("the unit `{unit}` stands after the smaller `{after}`")]
    UnitOrder {
        /// The larger unit, which came later.
        unit: &'static str,
        /// The smaller unit before it.
        after: &'static str,
    },
    /// The sum does not fit in 64 bits of nanoseconds (about 292 years).
    #[error("a duration is longer than 292 years")]
    Overflow,
}

impl DurationError {
    /// How to write it instead.
    #[must_use]
    pub fn help(&self) -> &'static str {
        match self {
            Self::Fraction { .. } => "write `1h30m` for one and a half hours",
            Self::UnitOrder { .. } | Self::RepeatedUnit { .. } => "write each unit once, the largest first: `1d2h30m`",
            Self::Overflow => "use a shorter duration",
            Self::Empty | Self::NumberExpected { .. } | Self::UnitMissing { .. } | Self::UnknownUnit { .. } => {
                "write whole numbers with the units y w d h m s ms us ns, such as `2h15m`"
            }
        }
    }
}

/// Reads a duration and returns nanoseconds. A leading `-` makes it negative.
///
/// # Errors
/// One variant of [`DurationError`] per cause; the whole text must be one duration.
pub fn parse(text: &str) -> Result<i64, DurationError> {
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    if text.is_empty() {
        return Err(DurationError::Empty);
    }
    let mut total: u64 = 0;
    let mut previous: Option<usize> = None;
    loop {
        let offset = text.len().saturating_sub(rest.len());
        let (digits, tail) = split_while(rest, |c| c.is_ascii_digit());
        if digits.is_empty() {
            return Err(DurationError::NumberExpected { offset });
        }
        let offset = offset.saturating_add(digits.len());
        let (unit, tail) = split_while(tail, |c| !c.is_ascii_digit() && c != '.' && c != '-');
        if unit.is_empty() {
            return Err(if tail.starts_with('.') { DurationError::Fraction { offset } } else { DurationError::UnitMissing { offset } });
        }
        let (rank, (name, length)) = UNITS
            .iter()
            .enumerate()
            .find(|(_, (name, _))| *name == unit)
            .ok_or_else(|| DurationError::UnknownUnit { unit: unit.to_owned() })?;
        if let Some(before) = previous {
            if rank == before {
                return Err(DurationError::RepeatedUnit { unit: name });
            }
            if rank < before {
                let after = UNITS.get(before).map_or("", |(name, _)| name);
                return Err(DurationError::UnitOrder { unit: name, after });
            }
        }
        previous = Some(rank);
        total = digits
            .parse::<u64>()
            .ok()
            .and_then(|count| count.checked_mul(*length))
            .and_then(|part| total.checked_add(part))
            .ok_or(DurationError::Overflow)?;
        rest = tail;
        if rest.is_empty() {
            break;
        }
    }
    let value = if negative { 0i64.checked_sub_unsigned(total) } else { i64::try_from(total).ok() };
    value.ok_or(DurationError::Overflow)
}

/// Writes nanoseconds in normalised form, largest unit first; zero is `0s`.
#[must_use]
pub fn format(nanoseconds: i64) -> String {
    let mut left = nanoseconds.unsigned_abs();
    if left == 0 {
        return "0s".to_owned();
    }
    let mut text = String::new();
    if nanoseconds < 0 {
        text.push('-');
    }
    for (unit, length) in UNITS {
        let count = left.checked_div(length).unwrap_or(0);
        left = left.checked_rem(length).unwrap_or(0);
        if count > 0 {
            // Writing to a `String` cannot fail.
            let _ = write!(text, "{count}{unit}");
        }
    }
    text
}

fn split_while(text: &str, keep: impl Fn(char) -> bool) -> (&str, &str) {
    let end = text.find(|c| !keep(c)).unwrap_or(text.len());
    text.split_at_checked(end).unwrap_or((text, ""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn durations_are_shown_with_the_largest_unit_first() {
        for (text, shown) in [
            ("1h30m", "1h30m"),
            ("90m", "1h30m"),
            ("8d", "1w1d"),
            ("365d", "1y"),
            ("0ns", "0s"),
            ("-240s", "-4m"),
            ("1500ms", "1s500ms"),
            ("2y3w4d5h6m7s8ms9us10ns", "2y3w4d5h6m7s8ms9us10ns"),
        ] {
            assert_eq!(parse(text).map(format), Ok(shown.to_owned()), "{text}");
        }
    }

    #[test]
    fn each_malformed_duration_has_its_own_error() {
        use DurationError as E;
        assert_eq!(parse(""), Err(E::Empty));
        assert_eq!(parse("-"), Err(E::NumberExpected { offset: 1 }));
        assert_eq!(parse("h"), Err(E::NumberExpected { offset: 0 }));
        assert_eq!(parse("30"), Err(E::UnitMissing { offset: 2 }));
        assert_eq!(parse("1.5h"), Err(E::Fraction { offset: 1 }));
        assert_eq!(parse("30m1h"), Err(E::UnitOrder { unit: "h", after: "m" }));
        assert_eq!(parse("1h2h"), Err(E::RepeatedUnit { unit: "h" }));
        assert_eq!(parse("1h 30m"), Err(E::UnknownUnit { unit: "h ".to_owned() }));
        assert_eq!(parse("293y"), Err(E::Overflow));
        assert_eq!(parse("99999999999999999999s"), Err(E::Overflow));
        assert_eq!(parse("1µs"), Err(E::UnknownUnit { unit: "µs".to_owned() }));
    }

    #[test]
    fn the_extremes_survive() {
        for n in [i64::MIN, i64::MIN + 1, -1, 0, 1, i64::MAX] {
            assert_eq!(parse(&format(n)), Ok(n));
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(n in any::<i64>()) {
            prop_assert_eq!(parse(&format(n)), Ok(n));
        }

        #[test]
        fn any_text_is_read_without_panic(text in "\\PC*|[-0-9ywdhmsun. ]{0,24}") {
            let _ = parse(&text);
        }
    }
}
