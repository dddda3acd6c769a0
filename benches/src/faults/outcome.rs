//! What came of one kind of fault.
//!
//! In: counts and violations. Out: a line of the table, and the last line as JSON.

use std::time::Duration;

use serde_json::json;

/// Violations that are written out.
pub const SHOWN_MAX: usize = 20;

/// A kind of fault, what came of it, and how long it took.
pub type Done = (&'static str, Outcome, Duration);

#[derive(Default)]
pub struct Outcome {
    /// Faults that really happened.
    pub count: u64,
    /// What must not be.
    pub violations: Vec<String>,
    /// For a person.
    pub note: String,
}

impl Outcome {
    /// Whether `count` faults have happened, or as many violations were found as are looked for.
    pub fn is_over(&self, count: u64, violations_max: usize) -> bool {
        self.count >= count || self.has_shown(violations_max)
    }

    /// Whether as many violations were found as are looked for.
    pub fn has_shown(&self, violations_max: usize) -> bool {
        self.violations.len() >= violations_max
    }

    pub fn line(&self, name: &str, taken: Duration) -> String {
        let (count, violations, seconds) = (self.count, self.violations.len(), taken.as_secs_f64());
        format!("{name:<30} {count:>9} faults {violations:>5} violations {seconds:>7.0} s  {}", self.note)
    }
}

/// The table again, whole, and the same as JSON in the last line.
pub fn print(seed: u64, done: &[Done]) {
    println!();
    done.iter().for_each(|(name, outcome, taken)| println!("{}", outcome.line(name, *taken)));
    let faults: Vec<serde_json::Value> = done
        .iter()
        .map(|(name, outcome, taken)| {
            json!({
                "fault": name,
                "count": outcome.count,
                "violations": outcome.violations.len(),
                "seconds": taken.as_secs(),
                "note": outcome.note,
            })
        })
        .collect();
    let violations: usize = done.iter().map(|(_, outcome, _)| outcome.violations.len()).sum();
    println!("{}", json!({ "seed": seed, "violations": violations, "faults": faults }));
}
