//! READ FIRST. One `step` takes a batch of messages through every stage, in order, to a durable commit.
//!
//! In: [`RawBatch`]es and the wall clock as a value. Out: committed state, and the number of its newest
//! change. Runs on one thread, beside which one commits and one merges; stages are calls on values. Nothing leaves the
//! process before it is durable.

mod background;
mod commit;
mod gauges;
mod losses;
mod merge;
mod rebuild;
mod recover;
mod reload;
mod tick;
mod warming;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Array, AsArray, BooleanArray};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;

use crate::config::{Clock, TimeConfig};
use crate::crash_points::{CrashPoint, CrashPoints};
use crate::decode::dedupe::{Dedupe, Verdict};
use crate::decode::{Decoded, Decoder, Format, Reject, SourceSpec};
use crate::detect::DetectError;
use crate::enrich::{EnrichError, Enricher};
use crate::explain::{self, Ask, ExplainError, Snapshot};
use crate::findings::lifecycle::{Lifecycle, Rule};
use crate::findings::{Finding, FindingChange, Tracked};
use crate::ingest::{Checkpoint, Position, RawBatch, RawMessage, SourceNotice};
use crate::limits;
use crate::losses::{LossKind, Losses};
use crate::metrics::{KindLabel, Metrics, TopicLabel};
use crate::query::plan::{PlanError, QuerySet};
use crate::registry::Registry;
use crate::rollup::schedule::Schedule;
use crate::rollup::segments::{self, SegmentLevels};
use crate::rollup::{Budget, RollupError, Rollups, Watermark};
use crate::schema::{EventBatch, SchemaMismatch};
use crate::store::{ControlEvent, DeadLetters, Quarantined, Rejects, Store, StoreError, StoredSegment};

pub use commit::Committed;
pub use rebuild::{Finished, Rebuild, RebuildError, Rebuilt};
pub use recover::Parts;
pub use warming::Warming;

/// Metric label of events in layouts of the user's own: labels are a closed set.
const OWN_LAYOUT: &str = "own_layout";

/// Why the pipeline stops. Bad input is not among these; a bad registry or query is refused before.
#[derive(Debug, thiserror::Error)]
pub enum PipelineError {
    /// The state on disk: stop, and recover from the last commit.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A query that was planned fails while running.
    #[error(transparent)]
    Detect(#[from] DetectError),
    /// Rollup rows.
    #[error(transparent)]
    Rollup(#[from] RollupError),
    /// Enrichment.
    #[error(transparent)]
    Enrich(#[from] EnrichError),
    /// A thread that commits or merges could not be started.
    #[error("cannot start a thread: {0}; raise the limit on this user's processes (ulimit -u, TasksMax)")]
    Thread(#[source] std::io::Error),
    /// A stage broke its own schema: a bug.
    #[error(transparent)]
    Schema(#[from] SchemaMismatch),
    /// Arrow refused an operation: a bug.
    #[error(transparent)]
    Arrow(#[from] ArrowError),
    /// Queries that do not plan.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Queries(Vec<PlanError>),
}

/// How often the pipeline looks early and commits.
#[derive(Debug, Clone, Copy)]
pub struct Rhythm {
    /// Time between early looks, microseconds; `None`: none (replay, where nobody waits).
    pub early_every: Option<i64>,
    /// From one early look to the next pass at least so many times as long as it took: it gets no more of the time.
    pub early_rest: i64,
    /// Longest time between commits while there is something to commit, microseconds.
    pub commit_every: i64,
    /// Longest time for grid points in one step, after which the rest waits for the next; `None`: none waits (replay).
    pub settle_for: Option<Duration>,
}

/// What is done but not yet durable.
#[derive(Default)]
struct Uncommitted {
    checkpoints: Vec<Checkpoint>,
    changes: Vec<FindingChange>,
    /// (detection, subject) of findings that are to be stored although nothing is told of them.
    waiting: Vec<(String, String)>,
    rejects: Rejects,
    dead_letters: DeadLetters,
    control: Vec<ControlEvent>,
    since: Option<i64>,
}

/// The last early look, microseconds.
#[derive(Default)]
struct EarlyLook {
    /// When it began.
    at: i64,
    took: i64,
}

/// The stages and their state.
pub struct Pipeline {
    sources: Vec<Option<SourceSpec>>,
    topics: Vec<String>,
    time: TimeConfig,
    rhythm: Rhythm,
    metrics: Arc<Metrics>,
    crash: CrashPoints,
    decoder: Decoder,
    dedupe: Dedupe,
    enricher: Enricher,
    registry: Arc<Registry>,
    queries: QuerySet,
    rollups: Rollups,
    schedules: Vec<Schedule>,
    rules: Vec<Rule>,
    watermark: Watermark,
    lifecycle: Lifecycle,
    store: Store,
    levels: Vec<SegmentLevels>,
    dedupe_segments: Vec<i64>,
    /// Segments that are being merged meanwhile.
    merging: Option<merge::Merging>,
    /// Whose turn it is in the next round.
    merges_next: usize,
    /// Stored segments of queries that are not in force any more: the next commit removes them.
    superseded: Vec<i64>,
    /// By rollup id: the event time from which on its rows hold everything, where that is not the first event's.
    start_times: BTreeMap<String, i64>,
    shown_warming: Vec<Warming>,
    /// Evidence that nobody will see.
    losses: Losses,
    uncommitted: Uncommitted,
    on_its_way: Option<commit::OnItsWay>,
    /// Durable, and nobody was told.
    committed: Option<Committed>,
    keeps_dead_letters: bool,
    early_look: EarlyLook,
    /// Event time between the watermark and the grid when the last step began to settle, microseconds.
    behind: i64,
    /// When the last step began.
    stepped_at: Option<i64>,
    /// When the clock last leapt between two steps.
    leapt_at: Option<i64>,
    change_seq: u64,
    gauges: gauges::FindingGauges,
}

impl Pipeline {
    /// Takes one batch through every stage. `now` is the wall clock, microseconds since 1970.
    pub fn step(&mut self, batch: &RawBatch, now: i64) -> Result<(), PipelineError> {
        self.notice_leap(now);
        self.note_source(batch, now);
        let mut next = 0;
        loop {
            let (decoded, to) = self.decoder.decode_from(batch, next);
            self.crash.pass(CrashPoint::BatchDecoded);
            self.take_in(&batch.messages[next..to], decoded, now)?;
            next = to;
            if next == batch.messages.len() {
                break;
            }
        }
        self.crash.pass(CrashPoint::BatchRolledUp);
        self.count_read(batch);
        self.note_ends(&batch.ends, now);
        self.settle(now)?;
        self.show_warming();
        self.look_early(now)?;
        self.crash.pass(CrashPoint::LookedEarly);
        self.metrics.pipeline_steps.inc();
        self.metrics.pipeline_last_step_seconds.set(now as f64 / 1e6);
        Ok(())
    }

    /// A process that was stopped for long, or its machine, does not know where logs end now; nor since when, if the
    /// clock was set back.
    fn notice_leap(&mut self, now: i64) {
        let last = self.stepped_at.replace(now);
        let is_leap = |last: i64| !(0..limits::LEAP_MS * 1_000).contains(&(now - last));
        if self.time.clock == Clock::Wall && last.is_some_and(is_leap) {
            self.watermark.forget_ends();
            self.leapt_at = Some(now);
        }
    }

    /// Partitions that stand at their end of log.
    fn note_ends(&mut self, ends: &[Position], now: i64) {
        let doubt = limits::LEAP_DOUBT_MS * 1_000;
        if self.leapt_at.is_none_or(|leapt| now - leapt >= doubt) {
            ends.iter().for_each(|end| self.watermark.at_end(*end, now));
        }
    }

    /// Takes what was decoded of `messages` from event to rollup row.
    fn take_in(&mut self, messages: &[RawMessage], decoded: Decoded, now: i64) -> Result<(), PipelineError> {
        self.count_decoded(&decoded);
        self.observe(messages, &decoded.events, now);
        let (events, copies) = self.sort_out(&decoded, self.watermark.future(now))?;
        decoded.rejects.into_iter().for_each(|reject| self.quarantine(reject, now));
        let enriched = self.enricher.enrich(events, &self.metrics)?;
        let absorbed = self.rollups.absorb(&self.queries, &enriched)?;
        if let Some(copies) = copies {
            let copies = self.enricher.enrich_copies(copies)?;
            self.rollups.absorb_copies(&self.queries, &copies)?;
        }
        self.metrics.rollup_events.inc_by(absorbed.rolled_up);
        self.metrics.rollup_late_events.inc_by(absorbed.late);
        assert_eq!(
            absorbed.rolled_up + absorbed.late,
            enriched.record_batch().num_rows() as u64,
            "conservation: events = rolled up + late"
        );
        Ok(())
    }

    /// Bytes that the rows of rollups take, and may take.
    pub fn memory(&self) -> &Budget {
        self.rollups.budget()
    }

    /// Whether no partition holds event time back any more.
    pub fn is_idle(&self) -> bool {
        self.watermark.is_idle()
    }

    /// Whether grid points that the watermark has passed wait for the next step.
    pub fn is_behind(&self) -> bool {
        self.behind() > 0
    }

    /// Whether so many wait that nothing more should be read before some are walked.
    pub fn is_outrun(&self) -> bool {
        self.behind() > limits::GRID_BEHIND_SECONDS_MAX * 1_000_000
    }

    /// Event time whose grid points wait, microseconds.
    fn behind(&self) -> i64 {
        self.grid_point(self.watermark.current()).saturating_sub(self.rollups.settled())
    }

    /// The last point of the base grid up to an instant.
    fn grid_point(&self, at: i64) -> i64 {
        let grid = i64::from(self.time.grid_seconds) * 1_000_000;
        at.div_euclid(grid) * grid
    }

    /// Ids of the detections in force.
    pub fn detections(&self) -> impl Iterator<Item = &str> {
        self.rules.iter().map(|rule| rule.detection.as_str())
    }

    /// Findings as they stand, in id order of detection and subject.
    pub fn tracked(&self) -> impl Iterator<Item = &Tracked> {
        self.lifecycle.all()
    }

    /// Every finding committed, all episodes, by detection, subject and episode.
    pub fn findings(&self) -> Result<Vec<Finding>, PipelineError> {
        let mut findings: Vec<Finding> = self.store.tracked()?.into_iter().map(|t| t.finding).collect();
        let key = |f: &Finding| (f.detection.clone(), f.subject.clone(), f.episode);
        findings.sort_by_cached_key(key);
        Ok(findings)
    }

    /// The append-only history, in the order in which it was written.
    pub fn history(&self) -> Result<Vec<FindingChange>, PipelineError> {
        Ok(self.store.history()?.into_iter().map(|r| r.change).collect())
    }

    /// The rows that stored segments make together by rollup, as of this pipeline's settled instant and with the grid
    /// column: what two states of the same logs have alike, however they are cut into segments.
    pub fn rows_of(&self, stored: &[StoredSegment]) -> Result<BTreeMap<String, RecordBatch>, PipelineError> {
        let mut rows = BTreeMap::new();
        for (index, rollup) in self.queries.rollups.iter().enumerate() {
            let text = &rollup.query.text;
            let mut folding = self.rollups.folding(index);
            for segment in stored.iter().filter(|segment| segment.sha256 == text.sha256) {
                segments::decode(&segment.bytes)?.iter().try_for_each(|rows| folding.add(rows))?;
            }
            rows.insert(text.id.clone(), folding.finish()?);
        }
        Ok(rows)
    }

    /// Every stored segment.
    pub fn stored_segments(&self) -> Result<Vec<StoredSegment>, PipelineError> {
        Ok(self.store.segments()?)
    }

    /// What one detection sees of one subject, copied: for explanations.
    pub fn snapshot(&self, ask: &Ask) -> Result<Snapshot, ExplainError> {
        explain::take(&self.queries, &self.rollups, &self.registry, ask)
    }

    fn quarantine(&mut self, reject: Reject, now: i64) {
        let topic = self.topics[usize::from(reject.position.topic)].clone();
        let rejected = Quarantined { topic, reject, at_micros: now };
        if self.keeps_dead_letters {
            self.uncommitted.dead_letters.add(&rejected);
        }
        self.uncommitted.rejects.add(rejected);
    }

    /// From now on every reject is also kept for the dead-letter topic, until it is delivered.
    pub fn keep_dead_letters(&mut self) {
        self.keeps_dead_letters = true;
    }

    /// The broker has every dead letter up to this number: the next commit removes them.
    pub fn dead_letters_delivered(&mut self, up_to: u64) {
        self.uncommitted.dead_letters.delivered(up_to);
    }

    fn note_source(&mut self, batch: &RawBatch, now: i64) {
        for notice in &batch.notices {
            let kind = notice.name();
            self.metrics.ingest_notices.get_or_create(&KindLabel { kind }).inc();
            match notice {
                SourceNotice::RetentionGap { position, resumed_at, lost } => {
                    self.metrics.ingest_lost_messages.inc_by(u64::try_from(*lost).unwrap_or(0));
                    let resumed = Position { offset: *resumed_at, ..*position };
                    self.note_lost_messages(LossKind::RetentionGap, resumed, *lost, now);
                }
                SourceNotice::TopicRecreated { position, resumed_at } => {
                    let resumed = Position { offset: *resumed_at, ..*position };
                    self.note_lost_messages(LossKind::TopicRecreated, resumed, 0, now);
                }
                SourceNotice::BrokerDown { .. } | SourceNotice::PartitionStuck { .. } => {
                    self.watermark.forget_ends();
                }
                SourceNotice::TopicUnreadable { .. }
                | SourceNotice::PartitionAdded { .. }
                | SourceNotice::BrokerUp => {}
            }
            let event = self.control(kind, &format!("{notice:?} at {now}"));
            self.uncommitted.control.push(event);
        }
        if let Some(assigned) = &batch.assigned {
            self.watermark.assign(assigned.iter().map(|p| (p.topic, p.partition)));
        }
        if let Some(awaited) = &batch.awaited {
            self.watermark.await_topics(awaited, now);
        }
        for checkpoint in batch.checkpoints() {
            self.checkpoint(checkpoint);
        }
    }

    /// Remembers where to go on; only the newest of each partition counts.
    fn checkpoint(&mut self, new: Checkpoint) {
        let same = |c: &&mut Checkpoint| {
            (c.position.topic, c.position.partition) == (new.position.topic, new.position.partition)
        };
        match self.uncommitted.checkpoints.iter_mut().find(same) {
            Some(kept) => *kept = new,
            None => self.uncommitted.checkpoints.push(new),
        }
    }

    fn control(&self, kind: &str, body: &str) -> ControlEvent {
        ControlEvent { at_seq: self.change_seq, kind: kind.to_owned(), body: body.to_owned() }
    }

    fn count_read(&self, batch: &RawBatch) {
        for message in &batch.messages {
            let topic = TopicLabel { topic: self.topics[usize::from(message.position.topic)].clone() };
            self.metrics.ingest_messages.get_or_create(&topic).inc();
            self.metrics.ingest_bytes.get_or_create(&topic).inc_by(message.len as u64);
        }
    }

    fn count_decoded(&self, decoded: &Decoded) {
        for reject in &decoded.rejects {
            self.metrics.decode_rejects.get_or_create(&KindLabel { kind: reject.reason.name() }).inc();
        }
        self.metrics.decode_cut_fields.inc_by(decoded.cut_fields);
        let formats =
            decoded.events.record_batch().column_by_name("format").expect("the event schema has a format");
        let formats = formats.as_dictionary::<arrow::datatypes::Int32Type>();
        let mut counts = vec![0_u64; formats.values().len()];
        formats.keys().iter().flatten().for_each(|key| counts[key as usize] += 1);
        let names = formats.values().as_string::<i32>();
        for (name, count) in names.iter().zip(counts) {
            let format = name.and_then(Format::parse).map_or(OWN_LAYOUT, Format::name);
            self.metrics.decode_events.get_or_create(&KindLabel { kind: format }).inc_by(count);
        }
    }

    /// Moves the partitions' event times. Events stand in message order, so both are walked once.
    fn observe(&mut self, messages: &[RawMessage], events: &EventBatch, now: i64) {
        let times = column::<TimestampMicrosecondType>(events.record_batch(), "event_time");
        let positions = column::<Int64Type>(events.record_batch(), "position");
        let mut row = 0;
        for message in messages {
            let partition = (message.position.topic, message.position.partition);
            self.watermark.alive(partition, now);
            let packed = message.position.pack();
            while row < positions.len() && positions.value(row) == packed {
                self.watermark.observe(partition, times.value(row), message.timestamp_ms, now);
                row += 1;
            }
        }
        debug_assert_eq!(row, positions.len(), "events stand in message order");
    }

    /// Sets apart what a source that removes duplicates sent again. What happened at `future` or later is counted and
    /// dropped.
    fn sort_out(
        &mut self,
        decoded: &Decoded,
        future: i64,
    ) -> Result<(EventBatch, Option<EventBatch>), PipelineError> {
        let batch = decoded.events.record_batch();
        let ids = batch.column_by_name("event_id").expect("the event schema has an id").as_string::<i32>();
        let times = column::<TimestampMicrosecondType>(batch, "event_time");
        let positions = column::<Int64Type>(batch, "position");
        let (mut keep, mut copies) = (vec![true; batch.num_rows()], vec![false; batch.num_rows()]);
        for (row, (keep, copy)) in keep.iter_mut().zip(&mut copies).enumerate() {
            if times.value(row) >= future {
                self.metrics.rollup_future_events.inc();
                *keep = false;
                continue;
            }
            let topic = Position::unpack(positions.value(row)).topic;
            let dedupe = self.sources[usize::from(topic)].as_ref().is_some_and(|s| s.dedupe);
            if !dedupe || ids.is_null(row) {
                continue;
            }
            match self.dedupe.judge(topic, ids.value(row), decoded.content_hashes[row], times.value(row)) {
                Verdict::New => {}
                Verdict::Conflict => {
                    self.metrics.decode_conflicts.inc();
                }
                Verdict::Duplicate => {
                    self.metrics.decode_duplicates.inc();
                    (*keep, *copy) = (false, true);
                }
            }
        }
        if keep.iter().all(|k| *k) {
            return Ok((decoded.events.clone(), None));
        }
        let part = |rows: Vec<bool>| -> Result<EventBatch, PipelineError> {
            Ok(EventBatch::new(filter_record_batch(batch, &BooleanArray::from(rows))?)?)
        };
        let copies = copies.contains(&true).then(|| part(copies)).transpose()?;
        Ok((part(keep)?, copies))
    }
}

fn column<'a, T: arrow::datatypes::ArrowPrimitiveType>(
    batch: &'a RecordBatch,
    name: &str,
) -> &'a arrow::array::PrimitiveArray<T> {
    batch.column_by_name(name).expect("the schema was checked when the batch was made").as_primitive::<T>()
}
