//! Varies a detection's parameters, one at a time: how sharp each is, and what each term or signal adds.
//!
//! In: a detection. Out: variants of it, all of which run in one pass; then a row for each value.

use std::fmt::{self, Display, Formatter};

use serde::Serialize;

use super::report::Report;
use crate::query::DetectionQuery;

/// A parameter is tried at these multiples of its value; at 0 a weight or a cap takes what it weighs out.
const FACTORS: [f64; 6] = [0.0, 0.5, 0.75, 1.25, 1.5, 2.0];

/// A detection with one parameter changed.
pub(super) struct Variant {
    pub(super) query: DetectionQuery,
    parameter: String,
    value: f64,
}

/// Every variant of `query` in a parameter that `is_varied`.
pub(super) fn variants(query: &DetectionQuery, is_varied: impl Fn(&str) -> bool) -> Vec<Variant> {
    let mut variants = Vec::new();
    for (parameter, value) in query.text.parameters.iter().filter(|(name, _)| is_varied(name)) {
        for factor in FACTORS {
            let changed = value * factor;
            if changed == *value {
                continue;
            }
            let mut query = query.clone();
            query.text.id = format!("{}.{parameter}={changed}", query.text.id);
            query.text.parameters.insert(parameter.clone(), changed);
            query.cases.clear();
            variants.push(Variant { query, parameter: parameter.clone(), value: changed });
        }
    }
    variants
}

/// How a detection does with one value of one parameter.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    pub(super) parameter: String,
    pub(super) value: f64,
    /// Whether it is the value in force.
    pub(super) in_force: bool,
    pub(super) true_positives: usize,
    pub(super) false_positives: usize,
    pub(super) false_negatives: usize,
    /// Harmonic mean of precision and recall.
    pub(super) f1: Option<f64>,
}

/// A row for each value of each parameter that was varied, those in force among them.
pub(super) fn rows(query: &DetectionQuery, variants: &[Variant], report: &Report) -> Vec<Row> {
    let row = |parameter: &str, value: f64, in_force: bool, counts: (usize, usize, usize)| {
        let (found, wrong, missed) = counts;
        let whole = 2 * found + wrong + missed;
        let f1 = (whole > 0).then(|| (2 * found) as f64 / whole as f64);
        Row {
            parameter: parameter.to_owned(),
            value,
            in_force,
            true_positives: found,
            false_positives: wrong,
            false_negatives: missed,
            f1,
        }
    };
    let mut rows = Vec::new();
    let is_varied = |parameter: &String| variants.iter().any(|v| v.parameter == *parameter);
    for (parameter, value) in query.text.parameters.iter().filter(|(name, _)| is_varied(name)) {
        if let Some(own) = report.detections.get(&query.text.id) {
            let counts = (own.true_positives, own.false_positives, own.false_negatives);
            rows.push(row(parameter, *value, true, counts));
        }
        for variant in variants.iter().filter(|v| v.parameter == *parameter) {
            if let Some(baseline) = report.baselines.get(&variant.query.text.id) {
                let figures = &baseline.figures;
                let counts = (figures.true_positives, figures.false_positives, figures.false_negatives);
                rows.push(row(parameter, variant.value, false, counts));
            }
        }
    }
    rows.sort_by(|a, b| a.parameter.cmp(&b.parameter).then(a.value.total_cmp(&b.value)));
    rows
}

/// Rows as text.
pub(super) struct Text<'a>(pub(super) &'a [Row]);

impl Display for Text<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<26} {:>10} {:>6} {:>6} {:>6} {:>6}",
            "parameter", "value", "found", "false", "missed", "F1"
        )?;
        for row in self.0 {
            let f1 = row.f1.map_or_else(|| "-".to_owned(), |f1| format!("{f1:.3}"));
            let mark = if row.in_force { "  <- in force" } else { "" };
            let Row { parameter, value, true_positives, false_positives, false_negatives, .. } = row;
            writeln!(
                f,
                "{parameter:<26} {value:>10.4} {true_positives:>6} {false_positives:>6} {false_negatives:>6} {f1:>6}{mark}"
            )?;
        }
        Ok(())
    }
}
