//! The figures of a report, over all worlds.
//!
//! In: a verdict each world. Out: a [`Report`], whose JSON is what `--format json` prints.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use super::interval::Share;
use super::run::{WorldVerdict, weeks};
use crate::cli::judge::Verdict;
use crate::findings::Severity;

/// Everything that is said of the detections.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) worlds: Vec<WorldLine>,
    pub(super) detections: BTreeMap<String, Figures>,
    pub(super) baselines: BTreeMap<String, Baseline>,
    /// Pages a week and company: subjects whose finding was high or critical, of all detections.
    pub(super) pages_per_week: f64,
    /// Those of them that nobody planted.
    pub(super) pages_false_per_week: f64,
    /// Pages by role of who was paged.
    pub(super) paged_roles: BTreeMap<String, usize>,
    /// People who would have been paged at least once.
    pub(super) paged_people: usize,
}

/// One world.
#[derive(Debug, Serialize)]
pub(super) struct WorldLine {
    pub(super) seed: u64,
    pub(super) scale: String,
    pub(super) days: f64,
    pub(super) events: u64,
}

/// What is said of one detection.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Figures {
    pub(super) precision: Option<f64>,
    pub(super) recall: Option<f64>,
    pub(super) true_positives: usize,
    pub(super) false_positives: usize,
    pub(super) false_negatives: usize,
    /// Median from the first moment at which it could be known, in event time.
    pub(super) time_to_detect_s: Option<f64>,
    pub(super) time_to_detect_p90_s: Option<f64>,
    pub(super) precision_interval: Option<Share>,
    pub(super) recall_interval: Option<Share>,
    /// Findings a day and company.
    pub(super) findings_per_day: f64,
    /// False ones that page.
    pub(super) pages_false: usize,
    /// How often it was evaluated, and how long that took.
    pub(super) evaluations: u64,
    pub(super) evaluation_seconds: f64,
    /// By the name of what was planted: found, planted.
    pub(super) variants: BTreeMap<String, (usize, usize)>,
    pub(super) wrong: Vec<Wrong>,
    /// All times to detect, seconds, in order.
    #[serde(skip)]
    pub(super) times: Vec<f64>,
}

/// A simple rule, judged by a detection's labels.
#[derive(Debug, Serialize)]
pub(super) struct Baseline {
    pub(super) compared_with: String,
    #[serde(flatten)]
    pub(super) figures: Figures,
}

/// One case of confusion.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Wrong {
    pub(super) world: String,
    /// `missed` or `false`.
    pub(super) how: &'static str,
    /// Of what was planted or is alike.
    pub(super) variant: Option<String>,
    pub(super) subject: String,
    pub(super) severity: Option<&'static str>,
    pub(super) at: Timestamp,
    /// Label or explanation.
    pub(super) text: String,
}

impl Report {
    /// Detections in `stands_for`, by id, are judged by another's labels.
    pub(super) fn new(verdicts: &[WorldVerdict], stands_for: &BTreeMap<String, String>) -> Self {
        let worlds: Vec<WorldLine> = verdicts.iter().map(world_line).collect();
        let days: f64 = worlds.iter().map(|w| w.days).sum();
        let weeks = days / 7.0;
        let (mut detections, mut baselines) = (BTreeMap::new(), BTreeMap::new());
        let (mut pages, mut pages_false) = (0, 0);
        let mut paged_roles: BTreeMap<String, usize> = BTreeMap::new();
        let mut people = std::collections::BTreeSet::new();
        for id in verdicts.first().map(|v| v.verdicts.keys()).into_iter().flatten() {
            let mine: Vec<(&WorldVerdict, &Verdict)> =
                verdicts.iter().filter_map(|w| Some((w, w.verdicts.get(id)?))).collect();
            let figures = figures(id, &mine, days);
            if let Some(compared_with) = stands_for.get(id) {
                baselines.insert(id.clone(), Baseline { compared_with: compared_with.clone(), figures });
                continue;
            }
            for (world, verdict) in &mine {
                let found = verdict.found.iter().map(|f| &f.sighting);
                let all = found.chain(verdict.unexpected.iter().map(|u| &u.sighting));
                for sighting in all.filter(|s| s.worst >= Severity::High) {
                    pages += 1;
                    *paged_roles.entry(sighting.finding.owner.role.clone()).or_default() += 1;
                    people.extend(sighting.owners.iter().map(|o| (world.manifest.seed, o.clone())));
                }
            }
            pages_false += figures.pages_false;
            detections.insert(id.clone(), figures);
        }
        Self {
            worlds,
            detections,
            baselines,
            pages_per_week: f64::from(pages) / weeks,
            pages_false_per_week: pages_false as f64 / weeks,
            paged_roles,
            paged_people: people.len(),
        }
    }
}

fn world_line(verdict: &WorldVerdict) -> WorldLine {
    let WorldVerdict { manifest, events, .. } = verdict;
    let scale = serde_json::to_string(&manifest.scale).unwrap_or_default().replace('"', "");
    let days = weeks(manifest) * 7.0;
    WorldLine { seed: manifest.seed, scale, days, events: *events }
}

fn figures(id: &str, verdicts: &[(&WorldVerdict, &Verdict)], days: f64) -> Figures {
    let count = |of: fn(&Verdict) -> usize| verdicts.iter().map(|(_, v)| of(v)).sum::<usize>();
    let found = count(|v| v.found.len());
    let missed = count(|v| v.missed.len());
    let unexpected = count(|v| v.unexpected.len());
    let pages_false = count(|v| v.unexpected.iter().filter(|u| u.sighting.worst >= Severity::High).count());
    let precision_interval = Share::of(found, found + unexpected);
    let recall_interval = Share::of(found, found + missed);
    let mut times: Vec<f64> =
        verdicts.iter().flat_map(|(_, v)| v.found.iter().map(|f| f.time_to_detect())).collect();
    times.sort_by(f64::total_cmp);
    let evaluations = || verdicts.iter().filter_map(|(world, _)| world.evaluations.get(id));
    Figures {
        precision: precision_interval.map(|s| s.value),
        recall: recall_interval.map(|s| s.value),
        true_positives: found,
        false_positives: unexpected,
        false_negatives: missed,
        time_to_detect_s: quantile(&times, 0.5),
        time_to_detect_p90_s: quantile(&times, 0.9),
        precision_interval,
        recall_interval,
        findings_per_day: (found + unexpected) as f64 / days,
        pages_false,
        evaluations: evaluations().map(|e| e.count).sum(),
        evaluation_seconds: evaluations().map(|e| e.seconds).sum(),
        variants: variants(verdicts),
        wrong: verdicts.iter().flat_map(|(world, verdict)| wrong(world, verdict)).collect(),
        times,
    }
}

/// The smallest value that this share of all does not exceed.
fn quantile(sorted: &[f64], share: f64) -> Option<f64> {
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(rank.max(1) - 1).copied()
}

fn variants(verdicts: &[(&WorldVerdict, &Verdict)]) -> BTreeMap<String, (usize, usize)> {
    let mut variants: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for (_, verdict) in verdicts {
        for found in &verdict.found {
            let counts = variants.entry(found.label.variant.clone()).or_default();
            *counts = (counts.0 + 1, counts.1 + 1);
        }
        for label in &verdict.missed {
            variants.entry(label.variant.clone()).or_default().1 += 1;
        }
    }
    variants
}

fn wrong(world: &WorldVerdict, verdict: &Verdict) -> Vec<Wrong> {
    let name = format!("seed {}", world.manifest.seed);
    let missed = verdict.missed.iter().map(|label| Wrong {
        world: name.clone(),
        how: "missed",
        variant: Some(label.variant.clone()),
        subject: serde_json::to_string(&label.subject).unwrap_or_default(),
        severity: None,
        at: label.from,
        text: label.why.clone(),
    });
    let unexpected = verdict.unexpected.iter().map(|one| Wrong {
        world: name.clone(),
        how: "false",
        variant: one.look_alike.clone(),
        subject: one.sighting.finding.subject.id.clone(),
        severity: Some(one.sighting.worst.name()),
        at: one.sighting.opened,
        text: one.sighting.finding.explanation.clone(),
    });
    missed.chain(unexpected).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_values_that_occur() {
        assert_eq!(quantile(&[], 0.5), None);
        assert_eq!(quantile(&[1.0], 0.9), Some(1.0));
        assert_eq!(quantile(&[1.0, 2.0, 3.0, 4.0], 0.5), Some(2.0));
        assert_eq!(quantile(&[1.0, 2.0, 3.0, 4.0], 0.9), Some(4.0));
    }
}
