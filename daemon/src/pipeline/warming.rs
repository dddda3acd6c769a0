//! Rollups whose rows do not go back as far as detections look, because their query is newer than the state.
//!
//! In: which queries were in force before. Out: since when each rollup has everything, and until when the detections
//! that read it see less than they look back to. Findings say nothing of it: they depend on events only.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;

use crate::metrics::RollupLabel;
use crate::pipeline::Pipeline;
use crate::query::plan::PlannedDetection;
use crate::rollup::watermark::START_OF_TIME;
use crate::store::Versions;

/// A rollup that detections read further back than it has rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warming {
    /// Its id.
    pub rollup: String,
    /// Event time from which on it holds everything, microseconds since 1970.
    pub since: i64,
    /// Event time from which on it is warm: `since` and the longest look-back of the detections that read it.
    pub until: i64,
    /// Detections that still look back beyond `since`, and until when.
    pub detections: Vec<(String, i64)>,
}

impl fmt::Display for Warming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} has rows since {}, warming until {}", self.rollup, at(self.since), at(self.until))?;
        let each = self.detections.iter().map(|(detection, until)| format!("{detection} {}", at(*until)));
        write!(f, " ({})", each.collect::<Vec<_>>().join(", "))
    }
}

/// An instant as people write it.
fn at(micros: i64) -> Timestamp {
    Timestamp::from_microsecond(micros).unwrap_or(Timestamp::MAX)
}

impl Pipeline {
    /// Notes since when each rollup has everything: one that was in force `before` as it was noted then, a new one
    /// since now.
    pub(super) fn start_rollups(&mut self, before: &Versions) {
        let now = self.start_of_new();
        let (mut starts, mut new) = (BTreeMap::new(), Vec::new());
        for text in self.queries.rollups.iter().map(|r| &r.query.text) {
            let noted = before.starts.iter().find(|(id, _)| *id == text.id).map(|(_, since)| *since);
            let since = if before.knows(&text.sha256) { noted } else { now };
            if let Some(since) = since {
                starts.insert(text.id.clone(), since);
                new.extend((!before.knows(&text.sha256)).then(|| text.id.clone()));
            }
        }
        self.start_times = starts;
        let shown = &self.metrics.rollup_warming_until_seconds;
        for (id, _, _) in &before.queries {
            if !self.queries.rollups.iter().any(|r| r.query.text.id == *id) {
                shown.remove(&RollupLabel { rollup: id.clone() });
            }
        }
        for rollup in &self.queries.rollups {
            shown.get_or_create(&RollupLabel { rollup: rollup.query.text.id.clone() }).set(0.0);
        }
        self.shown_warming.clear();
        for warming in self.warming().iter().filter(|w| new.contains(&w.rollup)) {
            tracing::warn!(
                "the query of a rollup is new: {warming}; `shadowprod rebuild` reads what was before from Kafka"
            );
        }
        if !self.superseded.is_empty() {
            let segments = self.superseded.len();
            tracing::warn!(
                segments,
                "stored rows of rollup queries that are not in force any more are removed at the next commit"
            );
        }
        self.show_warming();
    }

    /// The first grid point after everything that was read: a query that begins now sees all events from there on.
    /// `None` before the first event.
    pub(super) fn start_of_new(&self) -> Option<i64> {
        let newest = self.watermark.state().newest_event;
        (newest != START_OF_TIME).then(|| self.rollups.settled().max(self.grid_point_after(newest)))
    }

    /// The first point of the base grid after an instant.
    pub(super) fn grid_point_after(&self, micros: i64) -> i64 {
        let grid = i64::from(self.time.grid_seconds) * 1_000_000;
        self.grid_point(micros).saturating_add(grid)
    }

    /// What to remember: of rollups that do not yet have rows over their whole retention.
    pub(super) fn starts(&self) -> Vec<(String, i64)> {
        let settled = self.rollups.settled();
        let kept = self.queries.rollups.iter().filter_map(|rollup| {
            let since = *self.start_times.get(&rollup.query.text.id)?;
            let whole = since.saturating_add(rollup.query.retention_seconds * 1_000_000);
            (whole > settled).then(|| (rollup.query.text.id.clone(), since))
        });
        kept.collect()
    }

    /// Rollups that warm up, in id order.
    pub fn warming(&self) -> Vec<Warming> {
        let settled = self.rollups.settled();
        let mut all = Vec::new();
        for (index, rollup) in self.queries.rollups.iter().enumerate() {
            let Some(since) = self.start_times.get(&rollup.query.text.id).copied() else { continue };
            let readers = self.queries.detections.iter().filter(|d| d.reads.contains(&index));
            let until = |d: &PlannedDetection| {
                let back = look_back_seconds(d, index, rollup.query.retention_seconds);
                (d.query.text.id.clone(), since.saturating_add(back * 1_000_000))
            };
            let detections: Vec<_> = readers.map(until).filter(|(_, until)| *until > settled).collect();
            if let Some(until) = detections.iter().map(|(_, until)| *until).max() {
                all.push(Warming { rollup: rollup.query.text.id.clone(), since, until, detections });
            }
        }
        all
    }

    /// Shows which rollups warm up, and says it of one that is warm now.
    pub(super) fn show_warming(&mut self) {
        if self.start_times.is_empty() && self.shown_warming.is_empty() {
            return;
        }
        let warming = self.warming();
        if warming == self.shown_warming {
            return;
        }
        for was in &self.shown_warming {
            let label = RollupLabel { rollup: was.rollup.clone() };
            if warming.iter().any(|w| w.rollup == was.rollup) {
                continue;
            }
            tracing::info!(rollup = %was.rollup, "warm: its rows go back as far as detections look");
            self.metrics.rollup_warming_until_seconds.get_or_create(&label).set(0.0);
        }
        for now in &warming {
            let label = RollupLabel { rollup: now.rollup.clone() };
            let gauge = self.metrics.rollup_warming_until_seconds.get_or_create(&label);
            gauge.set(now.until as f64 / 1e6);
        }
        self.shown_warming = warming;
    }
}

/// How far back a detection looks into a rollup, seconds: over its window and the ages that it names, or, where it
/// asks what was ever known before, over the whole retention.
fn look_back_seconds(detection: &PlannedDetection, rollup: usize, retention_seconds: i64) -> i64 {
    if !detection.driven_by.contains(&rollup) {
        return retention_seconds;
    }
    let ages = detection.query.revisit_seconds.iter().copied().chain([detection.query.window_seconds]);
    ages.max().map_or(retention_seconds, |oldest| oldest.min(retention_seconds))
}
