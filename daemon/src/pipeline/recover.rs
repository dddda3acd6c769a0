//! Building a pipeline: from nothing, or from what the last commit left.
//!
//! In: a store, queries, a registry. Out: a [`Pipeline`] that goes on where it stopped. A segment of a
//! rollup whose file has changed since is not loaded: it would mean something else. The next commit removes it.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::record_batch::RecordBatch;

use crate::config::TimeConfig;
use crate::crash_points::CrashPoints;
use crate::decode::dedupe::{self, Dedupe};
use crate::decode::{Decoder, RejectReason, SourceSpec};
use crate::enrich::{CredentialKey, Enricher, Signals};
use crate::findings::lifecycle::Lifecycle;
use crate::ingest::Checkpoint;
use crate::losses::Losses;
use crate::metrics::{KindLabel, Metrics};
use crate::pipeline::commit::DEDUPE_SEGMENT;
use crate::pipeline::gauges::FindingGauges;
use crate::pipeline::{EarlyLook, Pipeline, PipelineError, Rhythm, Uncommitted};
use crate::query::plan::{PlannedDetection, PlannedRollup, QuerySet};
use crate::query::{QueryText, QueryTexts};
use crate::registry::Registry;
use crate::rollup::segments::{self, Part, SegmentLevels};
use crate::rollup::watermark::START_OF_TIME;
use crate::rollup::{Budget, Rollups, Watermark, WatermarkState};
use crate::store::{ClockState, Recovered, Store, Versions};

/// What a pipeline is made of.
pub struct Parts {
    /// One source a topic, in the config's order.
    pub sources: Vec<(String, SourceSpec)>,
    /// Event time.
    pub time: TimeConfig,
    /// Early looks and commits.
    pub rhythm: Rhythm,
    /// Queries to plan.
    pub texts: QueryTexts,
    /// Governance.
    pub registry: Arc<Registry>,
    /// Signal tables.
    pub signals: Arc<Signals>,
    /// The key under which credentials are hashed.
    pub key: CredentialKey,
    /// Counts.
    pub metrics: Arc<Metrics>,
    /// Bytes that the rows of rollups may take together.
    pub memory_bytes: usize,
    /// Where the process may be made to end.
    pub crash: CrashPoints,
    /// State, opened.
    pub store: Store,
    /// What the store remembers.
    pub recovered: Recovered,
}

impl Pipeline {
    /// Plans the queries, loads the state.
    pub fn open(parts: Parts) -> Result<Self, PipelineError> {
        let queries =
            QuerySet::plan(&parts.texts, &parts.registry.tables()).map_err(PipelineError::Queries)?;
        Self::open_planned(parts, queries)
    }

    /// Loads the state; `queries` are the parts' texts, planned over the parts' registry.
    pub fn open_planned(parts: Parts, mut queries: QuerySet) -> Result<Self, PipelineError> {
        let Parts {
            sources,
            time,
            rhythm,
            texts: _,
            registry,
            signals,
            key,
            metrics,
            memory_bytes,
            crash,
            mut store,
            recovered,
        } = parts;
        queries.look_on(time.grid_seconds);
        let names: Vec<String> = sources.iter().map(|(topic, _)| topic.clone()).collect();
        store.bind_credential_key(&key.fingerprint())?;
        store.register_topics(&names)?;
        let topics = store.topics()?;
        let spec = |topic: &String| sources.iter().find(|(t, _)| t == topic).map(|(_, s)| s.clone());
        let specs: Vec<Option<SourceSpec>> = topics.iter().map(spec).collect();
        let mut pipeline = Self {
            decoder: Decoder::new(specs.clone()),
            sources: specs,
            topics,
            dedupe: Dedupe::default(),
            enricher: Enricher::new(registry.clone(), signals, key, time.grid_seconds),
            rollups: Rollups::within(&queries, Budget::new(memory_bytes)),
            schedules: Vec::new(),
            rules: Vec::new(),
            watermark: Watermark::new(&time),
            lifecycle: Lifecycle::restore(recovered.tracked),
            levels: queries.rollups.iter().map(|_| SegmentLevels::default()).collect(),
            dedupe_segments: Vec::new(),
            merging: None,
            merges_next: 0,
            on_its_way: None,
            committed: None,
            superseded: Vec::new(),
            start_times: BTreeMap::new(),
            shown_warming: Vec::new(),
            losses: Losses::restore(recovered.losses),
            uncommitted: Uncommitted::default(),
            keeps_dead_letters: false,
            early_look: EarlyLook::default(),
            behind: 0,
            stepped_at: None,
            leapt_at: None,
            change_seq: recovered.change_seq,
            gauges: FindingGauges::default(),
            registry,
            queries,
            time,
            rhythm,
            metrics,
            crash,
            store,
        };
        let before = recovered.versions.unwrap_or_default();
        pipeline.queries.replace_losses(&pipeline.losses);
        pipeline.load_clock(&recovered.clock);
        pipeline.load_segments(recovered.segments, &before)?;
        pipeline.start_rollups(&before);
        pipeline.schedule_from(&before);
        pipeline.end_inactive();
        pipeline.show_findings();
        pipeline.start_rejects_at_zero();
        Ok(pipeline)
    }

    /// Closes the pipeline; its planned queries can be opened again with another state.
    pub fn into_queries(self) -> QuerySet {
        self.queries
    }

    /// The first reject of a reason is an increase only where the series was there before it.
    fn start_rejects_at_zero(&self) {
        for reason in RejectReason::ALL {
            drop(self.metrics.decode_rejects.get_or_create(&KindLabel { kind: reason.name() }));
        }
    }

    /// Topic names by number.
    pub fn topics(&self) -> &[String] {
        &self.topics
    }

    /// Where to go on reading.
    pub fn checkpoints(&self) -> Result<Vec<Checkpoint>, PipelineError> {
        Ok(self.store.checkpoints()?)
    }

    fn load_clock(&mut self, clock: &ClockState) {
        let partitions =
            clock.partitions.iter().map(|(p, newest, idle)| ((p.topic, p.partition), *newest, *idle));
        self.watermark.restore(&WatermarkState {
            current: clock.watermark_micros,
            newest_event: clock.newest_event_micros,
            partitions: partitions.collect(),
        });
        self.rollups.restore_settled(clock.watermark_micros);
    }

    /// Rows of a query that was not in force at the last commit have a gap behind them, whatever its file.
    fn load_segments(&mut self, ids: Vec<i64>, before: &Versions) -> Result<(), PipelineError> {
        let Self { store, queries, rollups, levels, dedupe, dedupe_segments, superseded, .. } = self;
        let mut read = |id: i64| -> Result<Vec<(usize, RecordBatch)>, PipelineError> {
            let segment = store.segment(id)?;
            if segment.rollup == DEDUPE_SEGMENT {
                dedupe.restore(dedupe::decode(&segment.bytes));
                dedupe_segments.push(id);
                return Ok(Vec::new());
            }
            let same = |q: &PlannedRollup| {
                q.query.text.sha256 == segment.sha256 && before.knows(&q.query.text.sha256)
            };
            let Some(index) = queries.rollups.iter().position(same) else {
                superseded.push(id);
                return Ok(Vec::new());
            };
            let batches = segments::decode(&segment.bytes)?;
            let part = batches.first().map(Part::of_rows).unwrap_or_default();
            levels[index].add(id, part, segment.bytes.len());
            Ok(batches.into_iter().map(|rows| (index, rows)).collect())
        };
        rollups.load_all(ids.into_iter().flat_map(|id| match read(id) {
            Ok(batches) => batches.into_iter().map(Ok).collect(),
            Err(error) => vec![Err(error)],
        }))?;
        self.dedupe.forget_before(self.rollups.settled());
        Ok(())
    }

    /// Rules and schedules of the queries in force. Due at the next grid point is what may be answered otherwise than
    /// under the versions `before`; all else was evaluated up to the settled instant, with which it was stored.
    pub(super) fn schedule_from(&mut self, before: &Versions) {
        self.schedules = self.rollups.schedules(&self.queries);
        self.rules = self.queries.detections.iter().map(|d| d.query.rule()).collect();
        for (index, rule) in self.rules.iter().enumerate() {
            for (at, subject) in self.lifecycle.wakes(rule) {
                let at = at.max(self.rollups.settled().saturating_add(1));
                let query = &self.queries.detections[index].query;
                self.schedules[index].add_wake(at, &subject, query, &mut self.rollups);
            }
        }
        self.schedule_boundaries();
        self.schedule_losses();
        for index in 0..self.schedules.len() {
            // Whom rows that settled since its last grid point concern is not stored: with a grid coarser than the
            // base grid it may be anybody.
            let is_between = !self.schedules[index].is_point(self.rollups.settled());
            if is_between || !self.is_unchanged(&self.queries.detections[index], before) {
                self.schedule_next(index, None);
            }
        }
        if before.registry != self.registry.version() {
            self.schedule_registry();
        }
    }

    /// Whether the detection and every rollup that it reads are of the versions `before`.
    fn is_unchanged(&self, detection: &PlannedDetection, before: &Versions) -> bool {
        let read = detection.reads.iter().map(|index| &self.queries.rollups[*index].query.text);
        let texts = read.chain([&detection.query.text]);
        texts.into_iter().all(|text: &QueryText| before.knows(&text.sha256))
    }

    /// The registry is another: detections that read it may give any answer, and findings another owner.
    pub(super) fn schedule_registry(&mut self) {
        for index in 0..self.schedules.len() {
            let detection = &self.queries.detections[index];
            if detection.reads_registry {
                self.schedule_next(index, None);
                continue;
            }
            let tracked = self.lifecycle.of(&detection.query.text.id);
            let subjects = tracked.map(|tracked| tracked.finding.subject.id.clone()).collect();
            self.schedule_next(index, Some(subjects));
        }
    }

    /// Makes these subjects, or all, due at the next grid point.
    fn schedule_next(&mut self, index: usize, subjects: Option<Vec<String>>) {
        let settled = self.rollups.settled();
        if settled == START_OF_TIME {
            return;
        }
        let schedule = &mut self.schedules[index];
        let at = schedule.at_or_after(settled.saturating_add(1));
        let Some(subjects) = subjects else { return schedule.add_all(at) };
        for subject in subjects {
            if let Some(id) = self.rollups.subject_number(&self.rules[index].subject_kind, &subject) {
                schedule.add(at, id);
            }
        }
    }

    /// A registry fact that starts or ends may change any answer of a detection that reads the registry.
    pub(super) fn schedule_boundaries(&mut self) {
        let settled = self.rollups.settled();
        for boundary in self.registry.boundaries().iter().filter(|b| **b > settled) {
            for (schedule, detection) in self.schedules.iter_mut().zip(&self.queries.detections) {
                if detection.reads_registry {
                    let at = schedule.at_or_after(*boundary);
                    schedule.add_all(at);
                }
            }
        }
    }
}
