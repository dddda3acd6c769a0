//! All rollups: what is settled, what still waits for its grid point, what is not yet stored.
//!
//! In: enriched events, grid points passed. Out: views for detections, partial rows for the store.
//! Settled rows hold exactly the events before the settled instant: this is what makes history independent
//! of the order of arrival.

use std::sync::Arc;

use arrow::array::{BooleanArray, TimestampMicrosecondArray};
use arrow::compute::kernels::cmp::gt;
use arrow::compute::{concat_batches, filter_record_batch};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use hashbrown::HashSet;

use crate::query::plan::{GRID_COLUMN, PlanError, PlannedDetection, QuerySet};
use crate::rollup::intervals::Intervals;
use crate::rollup::links::Links;
use crate::rollup::schedule::Schedule;
use crate::rollup::table::{Layout, SubjectId, Subjects};
use crate::rollup::watermark::START_OF_TIME;
use crate::schema::EnrichedBatch;

/// Why rollups cannot go on: always a bug or a broken query, never bad input.
#[derive(Debug, thiserror::Error)]
pub enum RollupError {
    /// A query failed.
    #[error(transparent)]
    Query(#[from] PlanError),
    /// Arrow refused an operation.
    #[error("rollup rows: {0}")]
    Arrow(#[from] ArrowError),
}

/// Which rows a detection may see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View {
    /// Events before the settled instant: the grid.
    Settled,
    /// Everything absorbed: an early look.
    Everything,
}

/// What became of a batch. Conservation: events in = `rolled_up` + `late`.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Absorbed {
    /// Events offered to every rollup.
    pub rolled_up: u64,
    /// Events of a grid interval that is settled: counted, not rolled up.
    pub late: u64,
}

/// All rollups of a query set.
pub struct Rollups {
    states: Vec<Intervals>,
    kinds: Vec<(String, Subjects)>,
    /// By rollup.
    touched: Vec<HashSet<SubjectId>>,
    /// By kind; follows from the rows.
    links: Vec<Links>,
    settled: i64,
}

impl Rollups {
    /// No rows yet.
    pub fn new(queries: &QuerySet) -> Self {
        let mut kinds: Vec<(String, Subjects)> = Vec::new();
        let states = queries.rollups.iter().map(|rollup| {
            let subject = &rollup.query.subject;
            let kind = kinds.iter().position(|(k, _)| k == subject).unwrap_or_else(|| {
                kinds.push((subject.clone(), Subjects::default()));
                kinds.len() - 1
            });
            let layout = Arc::new(Layout::new(rollup));
            Intervals::new(layout, kind, rollup.query.retention_seconds * 1_000_000)
        });
        let states: Vec<Intervals> = states.collect();
        let touched = states.iter().map(|_| HashSet::new()).collect();
        let links = kinds.iter().map(|_| Links::default()).collect();
        Self { states, kinds, touched, links, settled: START_OF_TIME }
    }

    /// Every event before this instant is in the settled rows; an older one is late.
    pub fn settled(&self) -> i64 {
        self.settled
    }

    /// Says from a stored state what is settled; before [`Rollups::load`].
    pub fn restore_settled(&mut self, settled: i64) {
        self.settled = settled;
    }

    /// Rows kept by rollup, in the query set's order.
    pub fn row_counts(&self) -> impl Iterator<Item = usize> + '_ {
        self.states.iter().map(Intervals::row_count)
    }

    /// Groups that a full rollup did not keep since the last call, in the query set's order.
    pub fn take_overflow(&mut self) -> impl Iterator<Item = u64> + '_ {
        self.states.iter_mut().map(Intervals::take_overflow)
    }

    /// Adds a batch of events.
    pub fn absorb(&mut self, queries: &QuerySet, events: &EnrichedBatch) -> Result<Absorbed, RollupError> {
        let (batch, late) = self.without_late(events.record_batch())?;
        let absorbed = Absorbed { rolled_up: batch.num_rows() as u64, late };
        if batch.num_rows() == 0 {
            return Ok(absorbed);
        }
        for (index, state) in self.states.iter_mut().enumerate() {
            let subjects = &mut self.kinds[state.kind].1;
            for rows in queries.run_rollup(index, &batch)? {
                state.add_fresh(&rows, subjects, &mut self.touched[index])?;
                note_links(&mut self.links[state.kind], state, &rows, subjects);
            }
        }
        Ok(absorbed)
    }

    fn without_late(&self, batch: &RecordBatch) -> Result<(RecordBatch, u64), ArrowError> {
        let grid = batch.column_by_name(GRID_COLUMN).expect("the enriched schema has the grid column");
        let settled = TimestampMicrosecondArray::new_scalar(self.settled);
        let in_time: BooleanArray = gt(grid, &settled)?;
        let late = (batch.num_rows() - in_time.true_count()) as u64;
        let batch = if late == 0 { batch.clone() } else { filter_record_batch(batch, &in_time)? };
        Ok((batch, late))
    }

    /// The first grid point after what is settled at which rows wait, at most `until`.
    pub fn next_grid_point(&self, until: i64) -> Option<i64> {
        self.states.iter().filter_map(Intervals::next_grid_point).min().filter(|at| *at <= until)
    }

    /// Settles everything up to `grid_point` and tells the schedules which subjects that concerns.
    pub fn settle(
        &mut self,
        grid_point: i64,
        queries: &QuerySet,
        schedules: &mut [Schedule],
    ) -> Result<(), RollupError> {
        self.settled = self.settled.max(grid_point);
        let mut forgot = false;
        for (index, state) in self.states.iter_mut().enumerate() {
            let moved = state.settle(grid_point, &mut self.kinds[state.kind].1)?;
            if moved.is_empty() {
                continue;
            }
            for (detection, schedule) in queries.detections.iter().zip(schedules.iter_mut()) {
                if let Some(concern) = Concern::of(detection, index, state, &self.kinds[state.kind].0) {
                    concern.schedule(schedule, &moved, grid_point);
                }
            }
            forgot |= state.forget(grid_point, &mut self.kinds[state.kind].1)? && state.layout.links();
        }
        if forgot { self.relink() } else { Ok(()) }
    }

    /// Finds the links of the rows that are kept, and of no others.
    fn relink(&mut self) -> Result<(), RollupError> {
        self.links.iter_mut().for_each(|links| *links = Links::default());
        for state in self.states.iter_mut().filter(|s| s.layout.links()) {
            let subjects = &mut self.kinds[state.kind].1;
            let rows = state.everything(None, subjects)?;
            note_links(&mut self.links[state.kind], state, &rows, subjects);
        }
        Ok(())
    }

    /// `subjects` of `kind` and those that tokens tie to them; `subjects` alone where that would be more than
    /// `at_most`.
    pub fn family(&self, kind: &str, subjects: &[SubjectId], at_most: usize) -> Vec<SubjectId> {
        let index = self.kinds.iter().position(|(k, _)| k == kind);
        index.map_or_else(|| subjects.to_vec(), |i| self.links[i].family(subjects, at_most))
    }

    /// Schedules every settled row, as after a restart or a change of queries: all are due at the next grid
    /// point and again whenever a window leaves them.
    pub fn schedule_kept(&self, queries: &QuerySet, schedules: &mut [Schedule]) {
        for (index, state) in self.states.iter().enumerate() {
            let kept = state.kept();
            for (detection, schedule) in queries.detections.iter().zip(schedules.iter_mut()) {
                if let Some(concern) = Concern::of(detection, index, state, &self.kinds[state.kind].0) {
                    concern.schedule(schedule, &kept, self.settled.saturating_add(1));
                }
            }
        }
    }

    /// Rows of one rollup for a detection as of `as_of`, within the rollup's retention, in key order.
    /// `subjects` restricts a rollup whose subject column is `kind`.
    pub fn view(
        &self,
        index: usize,
        kind: &str,
        subjects: Option<&[SubjectId]>,
        view: View,
        as_of: i64,
    ) -> Result<RecordBatch, RollupError> {
        let state = &self.states[index];
        let (own, numbers) = &self.kinds[state.kind];
        let subjects = subjects.filter(|_| own == kind);
        let rows = match view {
            View::Settled => state.settled(subjects)?,
            View::Everything => state.everything(subjects, numbers)?,
        };
        Ok(state.in_retention(&rows, as_of)?)
    }

    /// Subjects that changed since the last call, by rollup, in the query set's order.
    pub fn take_touched(&mut self) -> Vec<HashSet<SubjectId>> {
        self.touched.iter_mut().map(std::mem::take).collect()
    }

    /// Whether subjects of rollup `index` are of this kind.
    pub fn is_about(&self, index: usize, kind: &str) -> bool {
        self.kinds[self.states[index].kind].0 == kind
    }

    /// Every subject of `kind`.
    pub fn subjects(&self, kind: &str) -> Option<&Subjects> {
        self.kinds.iter().find(|(k, _)| k == kind).map(|(_, s)| s)
    }

    /// The number of a subject, given out if it is new.
    pub fn subject_number(&mut self, kind: &str, name: &str) -> Option<SubjectId> {
        self.kinds.iter_mut().find(|(k, _)| k == kind).map(|(_, s)| s.number(name))
    }

    /// Partial rows since the last call, one batch a rollup with any, with the grid column; and moves them
    /// from fresh to pending.
    pub fn take_unsaved(&mut self) -> Result<Vec<(usize, RecordBatch)>, RollupError> {
        let mut saved = Vec::new();
        for (index, state) in self.states.iter_mut().enumerate() {
            state.flush(&mut self.kinds[state.kind].1)?;
            let batches = state.take_unsaved();
            if !batches.is_empty() {
                saved.push((index, concat_batches(&state.layout.stored_schema, &batches)?));
            }
        }
        Ok(saved)
    }

    /// Puts stored partial rows back: settled or pending by their grid column.
    pub fn load(&mut self, index: usize, rows: &RecordBatch) -> Result<(), RollupError> {
        let settled = self.settled;
        let state = &mut self.states[index];
        let subjects = &mut self.kinds[state.kind].1;
        state.load(rows, settled, subjects)?;
        note_links(&mut self.links[state.kind], state, rows, subjects);
        Ok(())
    }

    /// Stored partial rows of several segments as one batch: settled intervals folded, rows out of retention
    /// left out.
    pub fn fold(&self, index: usize, segments: &[RecordBatch]) -> Result<RecordBatch, RollupError> {
        let state = &self.states[index];
        let mut folded = Intervals::new(state.layout.clone(), state.kind, state.retention_micros);
        let mut subjects = Subjects::default();
        for rows in segments {
            folded.load(rows, self.settled, &mut subjects)?;
        }
        Ok(folded.export(self.settled)?)
    }

    /// Rollups of a new query set; those whose file is unchanged keep their rows.
    pub fn adopt(old: Self, old_queries: &QuerySet, queries: &QuerySet) -> Result<Self, RollupError> {
        let mut new = Self::new(queries);
        new.settled = old.settled;
        let mut old_states: Vec<Option<Intervals>> = old.states.into_iter().map(Some).collect();
        for (index, rollup) in queries.rollups.iter().enumerate() {
            let same =
                old_queries.rollups.iter().position(|r| r.query.text.sha256 == rollup.query.text.sha256);
            if let Some(mut state) = same.and_then(|i| old_states[i].take()) {
                let (kind, subjects) = &mut new.kinds[new.states[index].kind];
                if let Some((_, known)) = old.kinds.iter().find(|(k, _)| k == kind) {
                    subjects.extend(known);
                }
                state.kind = new.states[index].kind;
                new.states[index] = state;
            }
        }
        new.relink()?;
        Ok(new)
    }

    /// The layout of one rollup: what stored rows must look like.
    pub fn layout(&self, index: usize) -> &Arc<Layout> {
        &self.states[index].layout
    }
}

fn note_links(links: &mut Links, state: &mut Intervals, rows: &RecordBatch, subjects: &mut Subjects) {
    if state.layout.links() {
        let overflow = links.add(&state.layout, rows, subjects);
        state.count_overflow(overflow);
    }
}

/// How settled rows of one rollup concern one detection.
struct Concern {
    /// Ages of a bucket at which the detection's answer may change by itself, microseconds.
    ages: Vec<i64>,
    /// Whether only the row's own subject is concerned.
    own: bool,
    /// Whether a new row makes it due, not only one that grows old.
    drives: bool,
    /// How long after a bucket's start each grid point is due, microseconds; none without a new row or old age.
    run: Option<i64>,
}

impl Concern {
    fn of(detection: &PlannedDetection, rollup: usize, state: &Intervals, kind: &str) -> Option<Self> {
        let query = &detection.query;
        if !detection.reads.contains(&rollup) {
            return None;
        }
        let drives = detection.driven_by.contains(&rollup);
        let run = query.every_grid_point.then_some(query.window_seconds * 1_000_000);
        let seconds = query.revisit_seconds.iter().chain([&query.window_seconds]).filter(|_| drives);
        let ages = seconds.map(|s| s * 1_000_000).chain([state.retention_micros]).collect();
        Some(Self { ages, own: !query.all_subjects && kind == query.subject_kind, drives, run })
    }

    /// Makes the subjects of settled rows due now, if they drive it, and whenever a bucket reaches one of the ages.
    fn schedule(&self, schedule: &mut Schedule, moved: &[(i64, SubjectId)], grid_point: i64) {
        for (bucket, subject) in moved {
            if let Some(run) = self.run {
                schedule.add_run(schedule.at_or_after(grid_point), bucket.saturating_add(run));
            }
            let reached = self.ages.iter().map(|age| bucket.saturating_add(*age));
            let later = reached.flat_map(|at| [schedule.at_or_after(at), schedule.after(at)]);
            let later: Vec<i64> = later.filter(|at| *at > grid_point).collect();
            let now = self.drives.then(|| schedule.at_or_after(grid_point));
            for at in now.into_iter().chain(later) {
                if self.own { schedule.add(at, *subject) } else { schedule.add_all(at) }
            }
        }
    }
}
