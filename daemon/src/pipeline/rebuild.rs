//! Rollup rows made anew from the log, up to exactly the stored NEXT offsets, while no daemon runs.
//!
//! In: the messages of each partition from its beginning. Out: one commit that replaces the rows of the rollups asked
//! for. Offsets, findings, history, event ids and other rollups stay as they are; what is settled stays settled, and
//! events that came late the first time are among the rows. The registry in force attributes them.

use std::collections::{BTreeMap, BTreeSet};

use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use arrow::record_batch::RecordBatch;

use crate::decode::Decoded;
use crate::decode::dedupe::Dedupe;
use crate::ingest::{Checkpoint, Position, RawBatch, RawMessage, payload_hash};
use crate::limits::REBUILT_SEGMENT_ROWS_MAX;
use crate::pipeline::{Pipeline, PipelineError, column};
use crate::query::plan::PlannedDetection;
use crate::rollup::watermark::START_OF_TIME;
use crate::rollup::{Partition, RollupError, Rollups};
use crate::schema::EventBatch;
use crate::store::{Commit, ControlEvent, NewSegment, Versions};

/// Why rows cannot be made anew. Nothing is changed then.
#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    /// No such query.
    #[error("there is no rollup `{id}`; there are {known}")]
    Unknown {
        /// What was asked for.
        id: String,
        /// All ids.
        known: String,
    },
    /// The log in which the offsets were stored is not the one that is there.
    #[error(
        "topic {topic}, partition {partition}: the message before the stored offset {next} is not there or is \
         another one; the topic was recreated or cut, and its rows cannot be made anew"
    )]
    AnotherLog {
        /// Topic name.
        topic: String,
        /// Partition.
        partition: i32,
        /// Stored NEXT offset.
        next: i64,
    },
    /// The stored rows know more than the log.
    #[error(
        "rollup {rollup} has rows since {stored}, and the log goes back to {log} only: it would forget what is \
         between; leave it as it is, or say --force"
    )]
    Shorter {
        /// Its id.
        rollup: String,
        /// `the first event`, or an instant.
        stored: String,
        /// An instant.
        log: jiff::Timestamp,
    },
    /// A stage, or the store.
    #[error(transparent)]
    Pipeline(#[from] PipelineError),
}

/// What became of one rollup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rebuilt {
    /// Its id.
    pub rollup: String,
    /// Rows before; 0 where those that were stored belong to another version of its query.
    pub rows_before: usize,
    /// Rows now.
    pub rows_after: usize,
    /// Event time from which on it holds everything, microseconds since 1970; `None`: over its whole retention.
    pub complete_since: Option<i64>,
    /// Event time until which detections look back beyond that; `None`: it is warm.
    pub warming_until: Option<i64>,
}

/// What a rebuild did.
#[derive(Debug)]
pub struct Finished {
    /// Rollups with new rows, in id order.
    pub rebuilt: Vec<Rebuilt>,
    /// Why others were left as they are.
    pub left: Vec<RebuildError>,
    /// Event ids that were forgotten for want of room: what was delivered again of these events counts twice.
    pub forgotten: u64,
}

/// One partition on the way to its stored offset.
struct Progress {
    checkpoint: Checkpoint,
    /// Where its log begins, once known.
    begins: Option<i64>,
    next: i64,
    /// Event time of the first event that is still there.
    first_event: Option<i64>,
    ended: bool,
}

/// Rollups on the way to being rebuilt.
pub struct Rebuild {
    pipeline: Pipeline,
    before: Versions,
    wanted: Vec<usize>,
    /// Whether somebody asked for these and no others.
    named: bool,
    rows: Rollups,
    partitions: BTreeMap<Partition, Progress>,
}

impl Pipeline {
    /// Prepares to make rows of these rollups anew; without any, of those that warm up.
    pub fn rebuild(mut self, ids: &[String]) -> Result<Rebuild, RebuildError> {
        let warming: BTreeSet<String> = self.warming().into_iter().map(|w| w.rollup).collect();
        let rollups = || self.queries.rollups.iter().map(|r| r.query.text.id.as_str());
        if let Some(id) = ids.iter().find(|id| !rollups().any(|known| known == id.as_str())) {
            return Err(RebuildError::Unknown {
                id: id.clone(),
                known: rollups().collect::<Vec<_>>().join(", "),
            });
        }
        let is_wanted =
            |id: &str| if ids.is_empty() { warming.contains(id) } else { ids.iter().any(|i| i == id) };
        let wanted = rollups().enumerate().filter(|(_, id)| is_wanted(id)).map(|(index, _)| index).collect();
        let mut rows = Rollups::new(&self.queries);
        rows.restore_settled(self.rollups.settled());
        let before = self.store.versions().map_err(PipelineError::from)?.unwrap_or_default();
        let new = |checkpoint: Checkpoint| {
            let Position { topic, partition, .. } = checkpoint.position;
            let progress = Progress { checkpoint, begins: None, next: 0, first_event: None, ended: false };
            ((topic, partition), progress)
        };
        let is_source = |c: &Checkpoint| self.sources[usize::from(c.position.topic)].is_some();
        let partitions = self.checkpoints()?.into_iter().filter(is_source).map(new).collect();
        self.dedupe = Dedupe::default();
        Ok(Rebuild { pipeline: self, before, wanted, named: !ids.is_empty(), rows, partitions })
    }
}

impl Rebuild {
    /// Rollups that will be rebuilt, in id order.
    pub fn wanted(&self) -> impl Iterator<Item = &str> {
        self.wanted.iter().map(|index| self.pipeline.queries.rollups[*index].query.text.id.as_str())
    }

    /// Topic names by number.
    pub fn topics(&self) -> &[String] {
        self.pipeline.topics()
    }

    /// Topics of which something was read before.
    pub fn read_topics(&self) -> Vec<u16> {
        let topics: BTreeSet<u16> = self.partitions.keys().map(|(topic, _)| *topic).collect();
        topics.into_iter().collect()
    }

    /// Messages read, and messages in all, as far as partitions have said where they begin.
    pub fn progress(&self) -> (u64, u64) {
        let known = self.partitions.values().filter_map(|p| Some((p, p.begins?)));
        known.fold((0, 0), |(read, all), (p, begins)| {
            let end = p.checkpoint.position.offset;
            let length = |to: i64| u64::try_from(to - begins).unwrap_or(0);
            (read + length(p.next.min(end)), all + length(end))
        })
    }

    /// Partitions that have not reached their stored offset, as topic and number.
    pub fn unread(&self) -> Vec<(String, i32)> {
        let open = self.partitions.iter().filter(|(_, p)| !p.is_done());
        open.map(|((topic, partition), _)| (self.topics()[usize::from(*topic)].clone(), *partition)).collect()
    }

    /// Whether every partition has reached its stored offset, or its end.
    pub fn is_done(&self) -> bool {
        self.partitions.values().all(Progress::is_done)
    }

    /// Takes what stands before the stored offsets of a batch from message to row.
    pub fn absorb(&mut self, mut batch: RawBatch) -> Result<(), RebuildError> {
        for position in batch.assigned.take().unwrap_or_default() {
            if let Some(progress) = self.partitions.get_mut(&(position.topic, position.partition)) {
                progress.begin(position.offset);
            }
        }
        let mut wanted = Vec::with_capacity(batch.messages.len());
        for message in &batch.messages {
            if self.is_wanted(message, batch.payload(message))? {
                wanted.push(*message);
            }
        }
        batch.messages = wanted;
        let mut next = 0;
        while next < batch.messages.len() {
            let (decoded, to) = self.pipeline.decoder.decode_from(&batch, next);
            self.take_in(&decoded)?;
            next = to;
        }
        for position in batch.skipped_to.iter().map(|skipped| &skipped.position).chain(&batch.ends) {
            if let Some(progress) = self.partitions.get_mut(&(position.topic, position.partition)) {
                progress.begin(position.offset);
                progress.next = progress.next.max(position.offset);
            }
        }
        for end in &batch.ends {
            if let Some(progress) = self.partitions.get_mut(&(end.topic, end.partition)) {
                progress.ended = true;
            }
        }
        Ok(())
    }

    /// Whether the daemon had read this message; the last of them must be the one that it was.
    fn is_wanted(&mut self, message: &RawMessage, payload: &[u8]) -> Result<bool, RebuildError> {
        let Position { topic, partition, offset } = message.position;
        let Some(progress) = self.partitions.get_mut(&(topic, partition)) else { return Ok(false) };
        progress.begin(offset);
        progress.next = progress.next.max(offset + 1);
        let stored = &progress.checkpoint;
        if stored.seam.is_some_and(|s| s.offset == offset && s.payload_hash != payload_hash(payload)) {
            return Err(self.another_log((topic, partition)));
        }
        Ok(offset < stored.position.offset)
    }

    fn another_log(&self, partition: Partition) -> RebuildError {
        RebuildError::AnotherLog {
            topic: self.topics()[usize::from(partition.0)].clone(),
            partition: partition.1,
            next: self.partitions[&partition].checkpoint.position.offset,
        }
    }

    fn take_in(&mut self, decoded: &Decoded) -> Result<(), RebuildError> {
        self.note_first_events(decoded);
        let future = self.pipeline.watermark.future(START_OF_TIME);
        let (events, copies) = self.pipeline.sort_out(decoded, future)?;
        self.load(events, Rollups::load)?;
        copies.map_or(Ok(()), |copies| self.load(copies, Rollups::load_copies))
    }

    /// `load` puts rows into place.
    fn load(
        &mut self,
        events: EventBatch,
        load: fn(&mut Rollups, usize, &RecordBatch) -> Result<(), RollupError>,
    ) -> Result<(), RebuildError> {
        let enriched = self.pipeline.enricher.enrich(events, &self.pipeline.metrics);
        let enriched = enriched.map_err(PipelineError::from)?;
        for index in &self.wanted {
            let run = self.pipeline.queries.run_rollup(*index, enriched.record_batch());
            for rows in run.map_err(|e| PipelineError::from(RollupError::from(e)))? {
                let kept = self.rows.still_kept(*index, &rows).map_err(PipelineError::from)?;
                load(&mut self.rows, *index, &kept).map_err(PipelineError::from)?;
            }
        }
        Ok(())
    }

    fn note_first_events(&mut self, decoded: &Decoded) {
        let times = column::<TimestampMicrosecondType>(decoded.events.record_batch(), "event_time");
        let positions = column::<Int64Type>(decoded.events.record_batch(), "position");
        for (time, position) in times.values().iter().zip(positions.values()) {
            let Position { topic, partition, .. } = Position::unpack(*position);
            if let Some(progress) = self.partitions.get_mut(&(topic, partition)) {
                progress.first_event.get_or_insert(*time);
            }
        }
    }

    /// Event time from which on the log has everything; `None`: it was never cut. What is gone stood before the first
    /// event that is there, so it is older, or younger by no more than the lateness allows.
    fn complete_since(&self) -> Option<i64> {
        let lateness = i64::from(self.pipeline.time.lateness_seconds) * 1_000_000;
        let newest: BTreeMap<Partition, i64> = self
            .pipeline
            .watermark
            .state()
            .partitions
            .into_iter()
            .map(|(p, newest, _)| (p, newest))
            .collect();
        let cut = self.partitions.iter().filter(|(_, p)| p.begins != Some(0));
        let since = cut.map(|(partition, progress)| {
            let newest = newest.get(partition).copied().unwrap_or(0);
            progress.first_event.map_or(newest, |first| newest.min(first.saturating_add(lateness)))
        });
        // Of a partition of which nothing was ever read nothing is missing.
        let since = since.filter(|micros| *micros > START_OF_TIME).max();
        since.map(|micros| self.pipeline.grid_point_after(micros))
    }

    /// Puts the rows in place of those that are stored, in one commit. `force`: also where the log begins later than
    /// what is stored.
    pub fn finish(mut self, force: bool) -> Result<Finished, RebuildError> {
        for (partition, progress) in &self.partitions {
            if progress.is_short() {
                return Err(self.another_log(*partition));
            }
        }
        let since = self.complete_since();
        let mut left = Vec::new();
        for index in std::mem::take(&mut self.wanted) {
            match self.shorter(index, since).filter(|_| !force) {
                Some(error) if self.named => return Err(error),
                Some(error) => left.push(error),
                None => self.wanted.push(index),
            }
        }
        let forgotten = self.pipeline.dedupe.take_forgotten();
        Ok(Finished { rebuilt: self.replace(since)?, left, forgotten })
    }

    fn replace(&mut self, since: Option<i64>) -> Result<Vec<Rebuilt>, RebuildError> {
        let rows_before: Vec<usize> = self.pipeline.rollups.row_counts().collect();
        let ids: Vec<String> = self.wanted().map(str::to_owned).collect();
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        for id in &ids {
            self.pipeline.start_times.remove(id);
            self.pipeline.start_times.extend(since.map(|since| (id.clone(), since)));
        }
        let mut commit = self.as_commit(&ids)?;
        commit.versions = Some(self.versions_after(&ids));
        self.pipeline.store.commit(&commit).map_err(PipelineError::from)?;
        let rows_after: Vec<usize> = self.rows.row_counts().collect();
        let (starts, warming) = (self.pipeline.starts(), self.pipeline.warming());
        let outcome = self.wanted.iter().zip(ids).map(|(index, rollup)| Rebuilt {
            rows_before: rows_before[*index],
            rows_after: rows_after[*index],
            complete_since: starts.iter().find(|(id, _)| *id == rollup).map(|(_, since)| *since),
            warming_until: warming.iter().find(|w| w.rollup == rollup).map(|w| w.until),
            rollup,
        });
        Ok(outcome.collect())
    }

    /// Why a rollup would forget something that it has within its retention.
    fn shorter(&self, index: usize, since: Option<i64>) -> Option<RebuildError> {
        let query = &self.pipeline.queries.rollups[index].query;
        let oldest = self.pipeline.rollups.settled().saturating_sub(query.retention_seconds * 1_000_000);
        let stored = self.pipeline.start_times.get(&query.text.id).copied();
        let since = since.filter(|since| *since > stored.unwrap_or(oldest).max(oldest))?;
        let instant = |micros| jiff::Timestamp::from_microsecond(micros).unwrap_or(jiff::Timestamp::MAX);
        Some(RebuildError::Shorter {
            rollup: query.text.id.clone(),
            stored: stored.map_or("the first event".to_owned(), |micros| instant(micros).to_string()),
            log: instant(since),
        })
    }

    /// New segments for old ones. A rollup that the last commit knew by another file has old ones too.
    fn as_commit(&mut self, ids: &[String]) -> Result<Commit, RebuildError> {
        let mut segments = Vec::new();
        for index in &self.wanted {
            let rows = self.rows.export(*index).map_err(PipelineError::from)?;
            for from in (0..rows.num_rows()).step_by(REBUILT_SEGMENT_ROWS_MAX) {
                let part = rows.slice(from, REBUILT_SEGMENT_ROWS_MAX.min(rows.num_rows() - from));
                segments.push(self.pipeline.segment(*index, &part)?);
            }
        }
        let ours = |segment: &NewSegment| ids.contains(&segment.rollup);
        debug_assert!(segments.iter().all(ours));
        let dropped_segments = self.pipeline.store.segments_of(ids).map_err(PipelineError::from)?;
        let body = format!("{} up to the stored offsets", ids.join(", "));
        Ok(Commit {
            segments,
            dropped_segments,
            clock: self.pipeline.clock_state(),
            control: vec![ControlEvent {
                at_seq: self.pipeline.change_seq,
                kind: "rebuild".to_owned(),
                body,
            }],
            ..Commit::default()
        })
    }

    /// As before, but for these rollups. Detections that read them were never evaluated over these rows: as with a
    /// query that changed, the next start makes all their subjects due.
    fn versions_after(&self, ids: &[String]) -> Versions {
        let queries = &self.pipeline.queries;
        let reads = |d: &&PlannedDetection| d.reads.iter().any(|i| self.wanted.contains(i));
        let due: BTreeSet<&str> =
            queries.detections.iter().filter(reads).map(|d| d.query.text.id.as_str()).collect();
        let mut after = self.before.clone();
        after.queries.retain(|(id, _, _)| !due.contains(id.as_str()) && !ids.contains(id));
        let rebuilt = self.wanted.iter().map(|index| &queries.rollups[*index].query.text);
        after.queries.extend(rebuilt.map(|t| (t.id.clone(), t.version, t.sha256.clone())));
        after.queries.sort();
        after.starts.retain(|(id, _)| !ids.contains(id));
        after.starts.extend(self.pipeline.starts().into_iter().filter(|(id, _)| ids.contains(id)));
        after.starts.sort();
        after
    }
}

impl Progress {
    fn begin(&mut self, offset: i64) {
        let begins = self.begins.map_or(offset, |known| known.min(offset));
        self.begins = Some(begins);
        self.next = self.next.max(begins);
    }

    fn is_done(&self) -> bool {
        self.ended || (self.begins.is_some() && self.next >= self.checkpoint.position.offset)
    }

    /// Whether its log ends before a message that the daemon read.
    fn is_short(&self) -> bool {
        !self.is_done() || self.checkpoint.seam.is_some_and(|seam| self.next <= seam.offset)
    }
}
