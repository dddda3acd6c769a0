//! Until when topics were silent: what was not seen in that time proves nothing.
//!
//! In: findings that say a source is silent. Out: for another finding, up to when the topics of its samples had
//! nothing to say. Its quiet counts from then on, so that silence resolves nothing.

use std::collections::BTreeMap;

use crate::findings::lifecycle::Lifecycle;
use crate::findings::{Evidence, Finding};

/// Topics that are or were silent, as of one grid point.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Silence {
    /// By topic: the last instant known to be silent, microseconds.
    until: BTreeMap<String, i64>,
}

impl Silence {
    /// What the findings of `detections`, whose subjects are sources, say as of `at` of `topics`, each with the name
    /// of its source. An open finding means silent now, a resolved one silent until it resolved.
    pub fn as_of<'a>(
        at: i64,
        lifecycle: &Lifecycle,
        detections: impl Iterator<Item = &'a str>,
        topics: impl Iterator<Item = (&'a str, &'a str)> + Clone,
    ) -> Self {
        let mut silence = Self::default();
        for tracked in detections.flat_map(|detection| lifecycle.of(detection)) {
            let until = tracked.resolved_at.map_or(at, |resolved| resolved.as_microsecond());
            let own = topics.clone().filter(|(_, source)| *source == tracked.finding.subject.id);
            for (topic, _) in own {
                let known = silence.until.entry(topic.to_owned()).or_insert(until);
                *known = until.max(*known);
            }
        }
        silence
    }

    /// The last instant at which a topic of the finding's samples was silent, microseconds.
    pub fn of(&self, finding: &Finding) -> Option<i64> {
        let topics = finding.evidence.iter().filter_map(|evidence| match evidence {
            Evidence::Sample { topic, .. } => self.until.get(topic).copied(),
            Evidence::Term { .. }
            | Evidence::Fact { .. }
            | Evidence::Query { .. }
            | Evidence::Range { .. } => None,
        });
        topics.max()
    }
}
