//! What things cost, as ratios that are taken in one run.
//!
//! `cargo bench -p opal-benches [-- FILTER]` prints a line for each thing measured: what it is, what it took, how many times the yardstick that
//! is, and the budget. FILTER picks the groups whose name contains it. Nothing is asserted: a row over its budget says so, a group that cannot
//! be measured says why, and the exit status is 0 all the same.

mod child;
mod clock;
mod compile;
mod contract;
mod run;
mod sample;
mod scrub;
mod start;
mod tools;

use std::error::Error;
use std::time::Duration;

type Rows = Result<Vec<Row>, Box<dyn Error>>;

/// One thing measured.
struct Row {
    what: String,
    measured: String,
    ratio: f64,
    yardstick: String,
    /// Largest ratio that is within the budget; `None` where there is no budget.
    budget: Option<f64>,
}

impl Row {
    /// A time over another one.
    fn times(what: impl Into<String>, measured: Duration, yardstick: &str, against: Duration, budget: impl Into<Option<f64>>) -> Self {
        Self {
            what: what.into(),
            measured: clock::shown(measured),
            ratio: measured.as_secs_f64() / against.as_secs_f64(),
            yardstick: format!("{yardstick} ({})", clock::shown(against)),
            budget: budget.into(),
        }
    }

    /// A time over a limit.
    fn limit(what: impl Into<String>, measured: Duration, limit: Duration) -> Self {
        let ratio = measured.as_secs_f64() / limit.as_secs_f64();
        Self { what: what.into(), measured: clock::shown(measured), ratio, yardstick: clock::shown(limit), budget: Some(1.0) }
    }

    fn print(&self) {
        let budget = self.budget.map_or_else(String::new, |budget| format!("≤ {budget}"));
        let verdict = match self.budget {
            Some(budget) if self.ratio > budget => "over",
            Some(_) => "within",
            None => "",
        };
        println!("{:<60} {:>10} {:>8.2} × {:<38} {:>6} {verdict}", self.what, self.measured, self.ratio, self.yardstick, budget);
    }
}

/// Measures a group.
type Measure = fn() -> Rows;

/// The groups, in the order of a contract's life.
const GROUPS: &[(&str, Measure)] = &[
    ("start", start::rows),
    ("compile", compile::rows),
    ("read", contract::read),
    ("replan", contract::replan),
    ("verifier", contract::verifier),
    ("memory", contract::memory),
    ("run", run::rows),
    ("scrub", scrub::rows),
    ("tools", tools::rows),
];

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if child::maybe_run(&words) {
        return;
    }
    // Cargo adds options of its own, such as `--bench`.
    let filter = words.iter().find(|word| !word.starts_with("--"));
    println!("{:<60} {:>10} {:>8}   {:<38} {:>6}", "what", "measured", "ratio", "of", "budget");
    for (name, rows) in GROUPS.iter().filter(|(name, _)| filter.is_none_or(|filter| name.contains(filter.as_str()))) {
        match rows() {
            Ok(rows) => rows.iter().for_each(Row::print),
            Err(error) => println!("{name}: cannot be measured: {error}"),
        }
    }
}
