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

use crate::limits::{DETECTION_GRID_MICROS_MAX, SEGMENT_BYTES_MAX};
use crate::query::DetectionQuery;
use crate::query::plan::{GRID_COLUMN, PlanError, PlannedDetection, QuerySet};
use crate::rollup::Budget;
use crate::rollup::intervals::{Buckets, Intervals};
use crate::rollup::layout::Layout;
use crate::rollup::links::Links;
use crate::rollup::schedule::{Ages, Schedule};
use crate::rollup::segments::{Encoded, Part, encode_cut};
use crate::rollup::table::Selection;
use crate::rollup::watermark::START_OF_TIME;
use crate::rollup::{SubjectId, Subjects};
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
    /// The system gives no thread.
    #[error("rollup rows cannot be loaded: {0}")]
    Thread(#[from] std::io::Error),
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
    pub(super) states: Vec<Intervals>,
    pub(super) kinds: Vec<(String, Subjects)>,
    /// By rollup.
    touched: Vec<HashSet<SubjectId>>,
    /// By kind; follows from the rows.
    pub(super) links: Vec<Links>,
    pub(super) settled: i64,
    budget: Budget,
}

impl Rollups {
    /// No rows yet, and no bound in bytes.
    pub fn new(queries: &QuerySet) -> Self {
        Self::within(queries, Budget::unlimited())
    }

    /// No rows yet; what they take is bounded together.
    pub fn within(queries: &QuerySet, budget: Budget) -> Self {
        let mut kinds: Vec<(String, Subjects)> = Vec::new();
        let states = queries.rollups.iter().map(|rollup| {
            let subject = &rollup.query.subject;
            let kind = kinds.iter().position(|(k, _)| k == subject).unwrap_or_else(|| {
                kinds.push((subject.clone(), Subjects::within(budget.clone())));
                kinds.len() - 1
            });
            let layout = Arc::new(Layout::new(rollup));
            Intervals::new(layout, kind, rollup.query.retention_seconds * 1_000_000, budget.clone())
        });
        let states: Vec<Intervals> = states.collect();
        let touched = states.iter().map(|_| HashSet::new()).collect();
        let links = kinds.iter().map(|_| Links::default()).collect();
        Self { states, kinds, touched, links, settled: START_OF_TIME, budget }
    }

    /// Bytes that rows and subjects take, and may take.
    pub fn budget(&self) -> &Budget {
        &self.budget
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

    /// Adds events that came before, at another place of the log: which copy comes first must not show. They count
    /// nothing, and are seen in what does not count, such as the places that are named as evidence.
    pub fn absorb_copies(&mut self, queries: &QuerySet, events: &EnrichedBatch) -> Result<(), RollupError> {
        let (batch, _) = self.without_late(events.record_batch())?;
        if batch.num_rows() == 0 {
            return Ok(());
        }
        for (index, state) in self.states.iter_mut().enumerate() {
            for rows in queries.run_rollup(index, &batch)? {
                state.add_copies(&rows, &mut self.kinds[state.kind].1)?;
            }
        }
        Ok(())
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
        for index in 0..self.states.len() {
            let state = &mut self.states[index];
            let moved = state.settle(grid_point, &mut self.kinds[state.kind].1)?;
            if moved.is_empty() {
                continue;
            }
            forgot |= state.forget(grid_point, &mut self.kinds[state.kind].1)? && state.layout.links();
            for (detection, schedule) in queries.detections.iter().zip(schedules.iter_mut()) {
                if detection.reads.contains(&index) {
                    let concern = self.concern(detection, index);
                    concern.schedule(&detection.query, schedule, &moved, grid_point);
                }
            }
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

    /// When the rows that are kept make a detection's subjects due by growing old: for each detection of `queries`.
    /// Nothing is due of what is settled already.
    pub fn schedules(&self, queries: &QuerySet) -> Vec<Schedule> {
        queries.detections.iter().map(|detection| self.schedule(detection)).collect()
    }

    fn schedule(&self, detection: &PlannedDetection) -> Schedule {
        let query = &detection.query;
        let concerns = detection.reads.iter().map(|rollup| (rollup, self.concern(detection, *rollup)));
        let ages = concerns.map(|(rollup, concern)| Ages {
            rollup: *rollup,
            micros: concern.ages(query, self.states[*rollup].retention_micros),
            own: concern.own,
        });
        let mut schedule = Schedule::new(query.grid_seconds, ages.collect(), self.settled);
        if query.every_grid_point {
            let next = schedule.at_or_after(self.settled.saturating_add(1));
            let buckets = detection.reads.iter().flat_map(|rollup| self.buckets(*rollup).keys());
            buckets.for_each(|bucket| schedule.add_run(next, bucket.saturating_add(window_micros(query))));
        }
        schedule
    }

    fn concern(&self, detection: &PlannedDetection, rollup: usize) -> Concern {
        let query = &detection.query;
        let kind = &self.kinds[self.states[rollup].kind].0;
        Concern {
            own: !query.all_subjects && *kind == query.subject_kind,
            drives: detection.driven_by.contains(&rollup),
        }
    }

    /// Subjects of one rollup's settled rows by bucket.
    pub(super) fn buckets(&self, index: usize) -> &Buckets {
        self.states[index].buckets()
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
        let mut rows = self.select(index, kind, subjects, view, as_of)?;
        let all: Vec<usize> = (0..self.states[index].layout.grid).collect();
        self.read(index, &mut rows, &all)
    }

    /// The rows of [`Rollups::view`]; [`Rollups::read`] reads their columns as long as no row changes.
    pub fn select(
        &self,
        index: usize,
        kind: &str,
        subjects: Option<&[SubjectId]>,
        view: View,
        as_of: i64,
    ) -> Result<Selection, RollupError> {
        let state = &self.states[index];
        let (own, numbers) = &self.kinds[state.kind];
        let subjects = subjects.filter(|_| own == kind);
        Ok(match view {
            View::Settled => state.settled(subjects, as_of)?,
            View::Everything => {
                Selection::of(&state.in_retention(&state.everything(subjects, numbers)?, as_of)?)
            }
        })
    }

    /// Rows of one rollup with these columns of [`Layout::schema`], and those that were read before; others are blank.
    pub fn read(
        &self,
        index: usize,
        rows: &mut Selection,
        columns: &[usize],
    ) -> Result<RecordBatch, RollupError> {
        Ok(self.states[index].read(rows, columns)?)
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
        let state = &mut self.states[index];
        let (kind, layout) = (state.kind, state.layout.clone());
        let subjects = &mut self.kinds[kind].1;
        let numbers = layout.numbers(rows, |name| subjects.number(name));
        state.load(rows, self.settled, &numbers)?;
        note_links(&mut self.links[kind], state, rows, subjects);
        Ok(())
    }

    /// [`Rollups::load`], of rows of events that came before: see [`Rollups::absorb_copies`].
    pub fn load_copies(&mut self, index: usize, rows: &RecordBatch) -> Result<(), RollupError> {
        let state = &mut self.states[index];
        Ok(state.load_copies(rows, self.settled, &mut self.kinds[state.kind].1)?)
    }

    /// Every row of one rollup that is within retention, with the grid column, as it is stored.
    pub fn export(&self, index: usize) -> Result<RecordBatch, RollupError> {
        Ok(self.states[index].export(self.settled)?)
    }

    /// Of partial rows those that the rollup would still keep.
    pub fn still_kept(&self, index: usize, rows: &RecordBatch) -> Result<RecordBatch, RollupError> {
        Ok(self.states[index].in_retention(rows, self.settled.saturating_sub(DETECTION_GRID_MICROS_MAX))?)
    }

    /// What folds stored rows of one rollup, as of now.
    pub fn folding(&self, index: usize) -> Folding {
        let state = &self.states[index];
        let (layout, unlimited) = (state.layout.clone(), Budget::unlimited());
        let rows = Intervals::new(layout, state.kind, state.retention_micros, unlimited);
        Folding { rows, subjects: Subjects::default(), settled: self.settled }
    }

    /// Rollups of a new query set; those whose file is unchanged keep their rows.
    pub fn adopt(old: Self, old_queries: &QuerySet, queries: &QuerySet) -> Result<Self, RollupError> {
        let mut new = Self::within(queries, old.budget.clone());
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

/// Stored partial rows of several segments on their way to one batch: settled intervals folded, rows out of retention
/// left out. It stands by itself: the rollups may go on.
pub struct Folding {
    rows: Intervals,
    subjects: Subjects,
    settled: i64,
}

impl Folding {
    /// Adds the rows of a segment.
    pub fn add(&mut self, rows: &RecordBatch) -> Result<(), RollupError> {
        let numbers = self.rows.layout.numbers(rows, |name| self.subjects.number(name));
        Ok(self.rows.load(rows, self.settled, &numbers)?)
    }

    /// All of them, folded.
    pub fn finish(self) -> Result<RecordBatch, RollupError> {
        Ok(self.rows.export(self.settled)?)
    }

    /// All of them, folded, as segments that are not too large.
    pub fn finish_as_segments(self, part: Part) -> Result<Vec<Encoded>, RollupError> {
        let layout = self.rows.layout.clone();
        Ok(encode_cut(&layout, &self.finish()?, part, SEGMENT_BYTES_MAX)?)
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
    /// Whether only the row's own subject is concerned.
    own: bool,
    /// Whether a new row makes it due, not only one that grows old.
    drives: bool,
}

impl Concern {
    /// Ages of a bucket at which the detection's answer may change by itself, microseconds.
    fn ages(&self, query: &DetectionQuery, retention_micros: i64) -> Vec<i64> {
        let seconds = query.revisit_seconds.iter().filter(|_| self.drives).map(|s| s * 1_000_000);
        let window = self.drives.then(|| window_micros(query));
        let mut ages: Vec<i64> = seconds.chain(window).chain([retention_micros]).collect();
        ages.sort_unstable();
        ages.dedup();
        ages
    }

    /// Makes the subjects of settled rows due, if they drive it.
    fn schedule(&self, query: &DetectionQuery, schedule: &mut Schedule, moved: &[(i64, SubjectId)], at: i64) {
        let at = schedule.at_or_after(at);
        for (bucket, subject) in moved {
            if query.every_grid_point {
                schedule.add_run(at, bucket.saturating_add(window_micros(query)));
            }
            match (self.drives, self.own) {
                (true, true) => schedule.add(at, *subject),
                (true, false) => schedule.add_all(at),
                (false, _) => {}
            }
        }
    }
}

/// How far back a detection looks, microseconds.
pub(super) fn window_micros(query: &DetectionQuery) -> i64 {
    query.window_seconds * 1_000_000
}
