//! One transaction for everything that a step changed, NEXT offsets included.
//!
//! In: what is uncommitted. Out: the number of the newest durable change. Nothing is told before this. A thread of its own
//! writes it: the pipeline takes in what comes next meanwhile.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::crash_points::CrashPoint;
use crate::findings::{ChangeKind, Finding, FindingChange, Tracked};
use crate::ingest::Position;
use crate::metrics::KindLabel;
use crate::pipeline::background::Background;
use crate::pipeline::tick::told;
use crate::pipeline::{Pipeline, PipelineError, Uncommitted};
use crate::rollup::schedule::Schedule;
use crate::rollup::segments::{self, Part};
use crate::store::{ClockState, Commit, CommitOutcome, NewSegment, StoreError, Versions};

/// Name under which remembered event ids are stored beside the rollups.
pub(super) const DEDUPE_SEGMENT: &str = "dedupe";
/// Stored runs of event ids that are replaced by one.
const DEDUPE_SEGMENTS_MAX: usize = 32;

/// Of each new segment its rollup and part (none: event ids) and its size.
type Places = Vec<(Option<(usize, Part)>, usize)>;

/// A commit that a thread of its own makes durable.
pub(super) struct OnItsWay {
    commit: Arc<Commit>,
    places: Places,
    thread: Background<Result<CommitOutcome, StoreError>>,
    /// When it began.
    since: i64,
    /// How long it kept the pipeline from taking anything in.
    pause: Duration,
}

/// What commits made durable.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Committed {
    /// NEXT offsets, for the source to show its lag.
    pub positions: Vec<Position>,
    /// Number of the newest change.
    pub change_seq: u64,
}

impl Pipeline {
    /// Whether something waits and its time has come: at once for findings, else by the rhythm. While a commit is on its
    /// way all wait for it.
    pub fn commit_is_due(&mut self, now: i64) -> bool {
        let waits = &mut self.uncommitted;
        if waits.checkpoints.is_empty()
            && waits.changes.is_empty()
            && waits.rejects.is_empty()
            && waits.dead_letters.is_empty()
            && waits.control.is_empty()
        {
            return false;
        }
        let since = *waits.since.get_or_insert(now);
        let is_time = !waits.changes.is_empty() || !(0..self.rhythm.commit_every).contains(&(now - since));
        is_time && self.on_its_way.is_none()
    }

    /// Whether a commit is on its way: not durable yet, or nobody asked since it is.
    pub fn is_committing(&self) -> bool {
        self.on_its_way.is_some() || self.committed.is_some()
    }

    /// Everything up to here is written and fsynced on a thread of its own, after the commit before it, which is waited
    /// for. `wall` reads the clock, microseconds since 1970.
    pub fn begin_commit(&mut self, wall: impl Fn() -> i64) -> Result<(), PipelineError> {
        self.end_commit(&wall)?;
        let started = Instant::now();
        self.note_overflow(wall());
        let (segments, mut dropped, places) = self.segments_to_store()?;
        dropped.append(&mut self.superseded);
        let waits = std::mem::take(&mut self.uncommitted);
        dropped.sort_unstable();
        let commit = Arc::new(self.as_commit(waits, segments, dropped));
        let (writer, written, metrics) = (self.store.writer(), commit.clone(), self.metrics.clone());
        let write = move || {
            let started = Instant::now();
            let outcome = writer.commit(&written);
            metrics.store_commit_seconds.observe(started.elapsed().as_secs_f64());
            outcome
        };
        let thread = Background::begin("commit", write)?;
        self.on_its_way = Some(OnItsWay { commit, places, thread, since: wall(), pause: started.elapsed() });
        Ok(())
    }

    /// What became durable since this was last asked. Waits for a commit that takes longer than the time between two of
    /// them: while a disk is slow, what is not durable does not grow, and the pipeline stands still for all to see.
    pub fn committed(&mut self, wall: impl Fn() -> i64) -> Result<Option<Committed>, PipelineError> {
        if let Some(commit) = &self.on_its_way
            && (commit.thread.is_done() || !(0..self.rhythm.commit_every).contains(&(wall() - commit.since)))
        {
            self.end_commit(wall)?;
        }
        Ok(self.committed.take())
    }

    /// Makes everything up to here durable, and waits for it.
    pub fn commit(&mut self, wall: impl Fn() -> i64) -> Result<Committed, PipelineError> {
        self.begin_commit(&wall)?;
        self.end_commit(wall)?;
        Ok(self.committed.take().unwrap_or_default())
    }

    /// Waits for the commit that is on its way, if one is.
    pub(super) fn end_commit(&mut self, wall: impl Fn() -> i64) -> Result<(), PipelineError> {
        let started = Instant::now();
        let Some(OnItsWay { commit, places, thread, pause, .. }) = self.on_its_way.take() else {
            return Ok(());
        };
        let outcome = thread.wait()?;
        for ((place, bytes), id) in places.into_iter().zip(outcome.segment_ids) {
            match place {
                Some((rollup, part)) => self.levels[rollup].add(id, part, bytes),
                None => self.dedupe_segments.push(id),
            }
        }
        self.change_seq = outcome.change_seq;
        self.metrics
            .notify_dead_letters
            .get_or_create(&KindLabel { kind: "dropped" })
            .inc_by(outcome.dropped_letters);
        self.after_commit(&commit.changes, wall());
        let committed = self.committed.get_or_insert_default();
        committed.positions.extend(commit.checkpoints.iter().map(|c| c.position));
        committed.change_seq = self.change_seq;
        let pause = pause + started.elapsed();
        self.metrics.pipeline_commit_pause_seconds.observe(pause.as_secs_f64());
        Ok(())
    }

    fn as_commit(
        &mut self,
        waits: Uncommitted,
        segments: Vec<NewSegment>,
        dropped_segments: Vec<i64>,
    ) -> Commit {
        let changes = newest_refresh_only(waits.changes);
        let changed = changes.iter().map(|c| (c.finding.detection.clone(), c.finding.subject.id.clone()));
        let touched: BTreeSet<_> = changed.chain(waits.waiting).collect();
        // What a detection in shadow mode makes of a finding that ended with it is nobody's.
        let told = told(&self.queries);
        let newest = touched.iter().filter(|(detection, _)| told.contains(detection.as_str()));
        let newest = newest.filter_map(|(d, s)| self.lifecycle.get(d, s)).cloned();
        let tracked = self.closed_episodes(&changes, &told).chain(newest).collect();
        Commit {
            checkpoints: waits.checkpoints,
            segments,
            dropped_segments,
            changes,
            tracked,
            rejects: waits.rejects,
            dead_letters: waits.dead_letters,
            losses: self.losses.take_unsaved(),
            losses_since: self.losses.since(),
            clock: self.clock_state(),
            control: waits.control,
            versions: Some(self.versions()),
        }
    }

    /// Episodes that ended and were followed by a new one within this commit: the lifecycle knows the newest only. And
    /// those that ended with their detection, which is not among `told`.
    fn closed_episodes<'a>(
        &'a self,
        changes: &'a [FindingChange],
        told: &'a BTreeSet<&str>,
    ) -> impl Iterator<Item = Tracked> + 'a {
        let is_newest = |finding: &Finding| {
            let newest = self.lifecycle.get(&finding.detection, &finding.subject.id);
            told.contains(finding.detection.as_str())
                && newest.is_some_and(|tracked| tracked.finding.episode == finding.episode)
        };
        let closed = changes.iter().filter(move |c| c.kind == ChangeKind::Resolved && !is_newest(&c.finding));
        closed.map(|change| Tracked {
            finding: change.finding.clone(),
            quiet_since: None,
            resolved_at: Some(change.at),
            early_at: None,
        })
    }

    /// What is in force.
    pub(super) fn versions(&self) -> Versions {
        let rollups = self.queries.rollups.iter().map(|r| &r.query.text);
        // What waits to be evaluated for everybody does so after a restart too: as if it were new then.
        let waits = |schedule: &Schedule| schedule.awaits_all(self.rollups.settled());
        let detections = self.queries.detections.iter().zip(&self.schedules);
        let registry = if detections.clone().any(|(d, schedule)| d.reads_registry && waits(schedule)) {
            String::new()
        } else {
            self.registry.version().to_owned()
        };
        let evaluated = detections.filter(|(_, schedule)| !waits(schedule)).map(|(d, _)| &d.query.text);
        let queries = rollups.chain(evaluated).map(|t| (t.id.clone(), t.version, t.sha256.clone())).collect();
        Versions { registry, queries, starts: self.starts() }
    }

    pub(super) fn clock_state(&self) -> ClockState {
        let state = self.watermark.state();
        let place = |(topic, partition): (u16, i32)| Position { topic, partition, offset: 0 };
        ClockState {
            watermark_micros: self.rollups.settled(),
            partitions: state
                .partitions
                .into_iter()
                .map(|(p, newest, idle)| (place(p), newest, idle))
                .collect(),
            newest_event_micros: state.newest_event,
        }
    }

    /// New segments, ids they replace, and where the new ones belong.
    fn segments_to_store(&mut self) -> Result<(Vec<NewSegment>, Vec<i64>, Places), PipelineError> {
        let (mut segments, mut dropped, mut places) = (Vec::new(), Vec::new(), Vec::new());
        for (index, rows) in self.rollups.take_unsaved()? {
            segments.push(self.segment(index, &rows)?);
            places.push((Some((index, Part::default())), segments.last().map_or(0, |s| s.bytes.len())));
        }
        let merged = self.merged()?;
        if !merged.is_empty() {
            self.crash.pass(CrashPoint::SegmentsMerged);
        }
        for merged in merged {
            for (part, segment) in merged.segments {
                places.push((Some((merged.index, part)), segment.bytes.len()));
                segments.push(segment);
            }
            dropped.extend(merged.replaces);
        }
        self.start_merge()?;
        let replaces = self.dedupe_segments.len() >= DEDUPE_SEGMENTS_MAX;
        let bytes = if replaces { self.dedupe.export() } else { self.dedupe.take_unsaved() };
        if replaces {
            dropped.append(&mut self.dedupe_segments);
        }
        if !bytes.is_empty() {
            places.push((None, bytes.len()));
            segments.push(NewSegment {
                rollup: DEDUPE_SEGMENT.to_owned(),
                version: 0,
                sha256: String::new(),
                bytes,
            });
        }
        Ok((segments, dropped, places))
    }

    pub(super) fn segment(
        &self,
        index: usize,
        rows: &arrow::record_batch::RecordBatch,
    ) -> Result<NewSegment, PipelineError> {
        Ok(self.segment_of(index, segments::encode(rows, Part::default())?))
    }

    pub(super) fn segment_of(&self, index: usize, bytes: Vec<u8>) -> NewSegment {
        let text = &self.queries.rollups[index].query.text;
        NewSegment { rollup: text.id.clone(), version: text.version, sha256: text.sha256.clone(), bytes }
    }

    /// Latency and gauges, once it is durable.
    fn after_commit(&mut self, changes: &[FindingChange], now: i64) {
        for change in changes.iter().filter(|c| matches!(c.kind, ChangeKind::Early | ChangeKind::Opened)) {
            let age = now - change.finding.last_seen.as_microsecond();
            self.metrics.record_latency(u64::try_from(age).unwrap_or(0));
        }
        for (query, rows) in self.queries.rollups.iter().zip(self.rollups.row_counts()) {
            let label = crate::metrics::QueryLabel { query: query.query.text.id.clone() };
            self.metrics.rollup_rows.get_or_create(&label).set(rows as i64);
        }
        let (used, max) = (self.memory().used(), self.memory().max());
        self.metrics.rollup_memory_bytes.set(i64::try_from(used).unwrap_or(i64::MAX));
        self.metrics.rollup_memory_bytes_max.set(i64::try_from(max).unwrap_or(i64::MAX));
        self.metrics.decode_forgotten_ids.inc_by(self.dedupe.take_forgotten());
        if let Ok(bytes) = self.store.size_bytes() {
            self.metrics.store_size_bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
        }
        if !changes.is_empty() {
            self.show_findings();
        }
    }

    /// Findings that are told, as gauges.
    pub(super) fn show_findings(&mut self) {
        let told = told(&self.queries);
        self.gauges.show(&self.metrics, told.into_iter().flat_map(|id| self.lifecycle.of(id)));
    }
}

/// Within one commit, of several refreshes of a finding only the last is told; history is told whole.
fn newest_refresh_only(changes: Vec<FindingChange>) -> Vec<FindingChange> {
    let mut last: HashMap<String, usize> = HashMap::new();
    for (index, change) in changes.iter().enumerate() {
        last.insert(change.finding.finding_id.clone(), index);
    }
    let keep = |index: usize, c: &FindingChange| {
        c.kind != ChangeKind::Refreshed || last[&c.finding.finding_id] == index
    };
    changes.iter().enumerate().filter(|(i, c)| keep(*i, c)).map(|(_, c)| c.clone()).collect()
}
