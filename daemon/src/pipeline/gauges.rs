//! Open findings as gauges, without a moment in which they are missing.
//!
//! In: the findings as they stand. Out: series set, and series removed that no longer apply.

use std::collections::{BTreeMap, HashSet};

use crate::findings::{Finding, FindingState, Tracked};
use crate::limits;
use crate::metrics::{FindingLabel, Metrics, OpenLabel};

/// Which series are shown now.
#[derive(Debug, Default)]
pub(super) struct FindingGauges {
    open: HashSet<OpenLabel>,
    score: HashSet<FindingLabel>,
}

impl FindingGauges {
    /// Shows the open ones of `tracked`.
    pub(super) fn show<'a>(&mut self, metrics: &Metrics, tracked: impl Iterator<Item = &'a Tracked>) {
        let mut open: Vec<&Finding> =
            tracked.map(|t| &t.finding).filter(|f| f.state == FindingState::Open).collect();
        open.sort_by(|a, b| {
            b.severity
                .cmp(&a.severity)
                .then(b.score.total_cmp(&a.score))
                .then(a.finding_id.cmp(&b.finding_id))
        });
        self.show_counts(metrics, &open);
        self.show_scores(metrics, &open);
    }

    fn show_counts(&mut self, metrics: &Metrics, open: &[&Finding]) {
        let mut counts: BTreeMap<(String, &'static str, String), i64> = BTreeMap::new();
        let mut owners: HashSet<&str> = HashSet::new();
        for finding in open {
            let is_shown =
                owners.len() < limits::OWNER_SERIES_MAX || owners.contains(finding.owner.person.as_str());
            let owner = if is_shown { owner_of(finding) } else { "other".to_owned() };
            if is_shown {
                owners.insert(&finding.owner.person);
            }
            *counts.entry((finding.detection.clone(), finding.severity.name(), owner)).or_default() += 1;
        }
        let mut shown = HashSet::new();
        for ((detection, severity, owner), count) in counts {
            let label = OpenLabel { detection, severity, owner };
            metrics.findings_open.get_or_create(&label).set(count);
            shown.insert(label);
        }
        for gone in self.open.difference(&shown) {
            metrics.findings_open.remove(gone);
        }
        self.open = shown;
    }

    fn show_scores(&mut self, metrics: &Metrics, open: &[&Finding]) {
        let mut shown = HashSet::new();
        for finding in open.iter().take(limits::FINDING_SERIES_MAX) {
            let label = FindingLabel {
                finding_id: finding.finding_id.clone(),
                detection: finding.detection.clone(),
                subject_kind: finding.subject.kind.clone(),
                subject: finding.subject.id.clone(),
                severity: finding.severity.name(),
                owner: owner_of(finding),
                confirmed: if finding.confirmed { "true" } else { "false" },
            };
            metrics.findings_score.get_or_create(&label).set(finding.score);
            shown.insert(label);
        }
        for gone in self.score.difference(&shown) {
            metrics.findings_score.remove(gone);
        }
        self.score = shown;
    }
}

fn owner_of(finding: &Finding) -> String {
    if finding.owner.person.is_empty() { "nobody".to_owned() } else { finding.owner.person.clone() }
}
