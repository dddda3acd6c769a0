//! One rollup's rows by grid interval: settled, pending (stored, their interval is open) and fresh.
//!
//! In: partial rows with the grid column. Out: the same rows, merged, for views and for the store. Rows
//! move one way: fresh → pending → settled → forgotten once out of retention.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, StringArray, TimestampMicrosecondArray, UInt32Array,
};
use arrow::compute::{concat_batches, filter, filter_record_batch, not};
use arrow::datatypes::{TimestampMicrosecondType, UInt32Type};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use arrow::row::{RowConverter, Rows};
use hashbrown::HashSet;

use crate::limits::DETECTION_GRID_MICROS_MAX;
use crate::rollup::layout::Layout;
use crate::rollup::table::{Kept, Prepared, RollupTable, Room, Selection};
use crate::rollup::watermark::START_OF_TIME;
use crate::rollup::{Budget, SubjectId, Subjects};

/// Subjects by bucket of settled rows: windows that will run out.
pub type Buckets = BTreeMap<i64, HashSet<SubjectId>>;

/// One rollup's rows.
pub struct Intervals {
    /// Which column is what.
    pub layout: Arc<Layout>,
    /// Index of the subject kind in the rollups.
    pub kind: usize,
    /// Buckets older than this behind the settled instant are dropped, microseconds.
    pub retention_micros: i64,
    converter: RowConverter,
    budget: Budget,
    settled: RollupTable,
    pending: BTreeMap<i64, RollupTable>,
    fresh: BTreeMap<i64, RollupTable>,
    buckets: Buckets,
    unsaved: Vec<RecordBatch>,
    overflow: u64,
}

impl Intervals {
    /// No rows yet.
    pub fn new(layout: Arc<Layout>, kind: usize, retention_micros: i64, budget: Budget) -> Self {
        Self {
            converter: layout.converter(),
            settled: RollupTable::new(layout.clone(), budget.clone()),
            budget,
            layout,
            kind,
            retention_micros,
            pending: BTreeMap::new(),
            fresh: BTreeMap::new(),
            buckets: BTreeMap::new(),
            unsaved: Vec::new(),
            overflow: 0,
        }
    }

    /// Rows kept, in whichever interval.
    pub fn row_count(&self) -> usize {
        self.settled.len()
            + self.pending.values().chain(self.fresh.values()).map(RollupTable::len).sum::<usize>()
    }

    /// The first interval end at which rows wait.
    pub fn next_grid_point(&self) -> Option<i64> {
        let first = |tables: &BTreeMap<i64, RollupTable>| tables.first_key_value().map(|(at, _)| *at);
        [first(&self.pending), first(&self.fresh)].into_iter().flatten().min()
    }

    /// Counts groups, or their tokens, that were not kept.
    pub fn count_overflow(&mut self, groups: u64) {
        self.overflow += groups;
    }

    /// Groups that a full table did not keep, since the last call.
    pub fn take_overflow(&mut self) -> u64 {
        std::mem::take(&mut self.overflow)
    }

    /// Adds partial rows as fresh ones.
    pub fn add_fresh(
        &mut self,
        rows: &RecordBatch,
        subjects: &mut Subjects,
        touched: &mut HashSet<SubjectId>,
    ) -> Result<(), ArrowError> {
        self.scatter(rows, subjects, |subject| {
            touched.insert(subject);
        })
    }

    /// Adds partial rows of events that came before: to groups that are kept and whose interval is open, all but what
    /// sums.
    pub fn add_copies(&mut self, rows: &RecordBatch, subjects: &mut Subjects) -> Result<(), ArrowError> {
        let rows = self.copies(rows, START_OF_TIME)?;
        self.scatter(&rows, subjects, |_| ())
    }

    /// Of partial rows those whose group is kept, with nothing that sums.
    fn copies(&self, rows: &RecordBatch, settled: i64) -> Result<RecordBatch, ArrowError> {
        let keys = self.converter.convert_columns(&self.layout.key_columns(rows))?;
        let grid = rows.column(self.layout.grid).as_primitive::<TimestampMicrosecondType>();
        let is_kept = |row: usize| {
            let open = [&self.pending, &self.fresh].map(|tables| tables.get(&grid.value(row)));
            let done = (grid.value(row) <= settled).then_some(&self.settled);
            let mut tables = open.into_iter().chain([done]).flatten();
            tables.any(|table| table.contains(keys.row(row).as_ref()))
        };
        let kept: BooleanArray = (0..rows.num_rows()).map(|row| Some(is_kept(row))).collect();
        self.layout.without_sums(&filter_record_batch(rows, &kept)?)
    }

    /// Fresh rows become pending ones and are noted for the store.
    pub fn flush(&mut self, subjects: &mut Subjects) -> Result<(), ArrowError> {
        for (grid_point, table) in std::mem::take(&mut self.fresh) {
            let rows = table.rows(None)?;
            self.unsaved.push(self.with_grid(&rows, grid_point)?);
            match self.pending.entry(grid_point) {
                Entry::Vacant(place) => {
                    place.insert(table);
                }
                Entry::Occupied(mut pending) => {
                    let numbers = self.layout.numbers(&rows, |name| subjects.number(name));
                    self.overflow += gather(pending.get_mut(), &self.converter, &rows, &numbers)?;
                }
            }
        }
        Ok(())
    }

    /// Rows flushed since the last call, with the grid column.
    pub fn take_unsaved(&mut self) -> Vec<RecordBatch> {
        std::mem::take(&mut self.unsaved)
    }

    /// Moves rows of intervals that end at or before `grid_point` into the settled table; returns their
    /// (bucket, subject) pairs.
    pub fn settle(
        &mut self,
        grid_point: i64,
        subjects: &mut Subjects,
    ) -> Result<Vec<(i64, SubjectId)>, ArrowError> {
        if self.fresh.first_key_value().is_some_and(|(at, _)| *at <= grid_point) {
            self.flush(subjects)?;
        }
        let mut moved = Vec::new();
        while self.pending.first_key_value().is_some_and(|(at, _)| *at <= grid_point) {
            let Some((_, table)) = self.pending.pop_first() else { break };
            let rows = table.rows(None)?;
            let numbers = self.layout.numbers(&rows, |name| subjects.number(name));
            moved.extend(self.add_settled(&rows, &numbers)?);
        }
        moved.sort_unstable();
        moved.dedup();
        Ok(moved)
    }

    fn add_settled(
        &mut self,
        rows: &RecordBatch,
        numbers: &UInt32Array,
    ) -> Result<Vec<(i64, SubjectId)>, ArrowError> {
        self.overflow += gather(&mut self.settled, &self.converter, rows, numbers)?;
        let buckets = rows.column(self.layout.bucket).as_primitive::<TimestampMicrosecondType>();
        let pairs = buckets.values().iter().zip(numbers);
        let pairs: Vec<(i64, SubjectId)> =
            pairs.filter_map(|(bucket, number)| Some((*bucket, number?))).collect();
        for (bucket, number) in &pairs {
            self.buckets.entry(*bucket).or_default().insert(*number);
        }
        Ok(pairs)
    }

    /// Subjects of settled rows by bucket.
    pub fn buckets(&self) -> &Buckets {
        &self.buckets
    }

    /// Drops settled rows out of retention, once an eighth of the retention has gathered; returns whether it did. They
    /// stay a day longer than anybody sees them: at the next point of its grid each detection is still told who lost them.
    pub fn forget(&mut self, now: i64, subjects: &mut Subjects) -> Result<bool, ArrowError> {
        let now = now.saturating_sub(DETECTION_GRID_MICROS_MAX);
        let cutoff = now.saturating_sub(self.retention_micros);
        let slack = self.retention_micros / 8;
        if self.buckets.first_key_value().is_none_or(|(oldest, _)| oldest.saturating_add(slack) >= cutoff) {
            return Ok(false);
        }
        let rows = self.in_retention(&self.settled.rows(None)?, now)?;
        self.settled = RollupTable::new(self.layout.clone(), self.budget.clone());
        self.buckets.clear();
        let numbers = self.layout.numbers(&rows, |name| subjects.number(name));
        self.add_settled(&rows, &numbers)?;
        Ok(true)
    }

    /// Rows whose bucket is within the retention as of `as_of`.
    pub fn in_retention(&self, rows: &RecordBatch, as_of: i64) -> Result<RecordBatch, ArrowError> {
        match self.kept(rows.column(self.layout.bucket), as_of) {
            Some(kept) => filter_record_batch(rows, &kept),
            None => Ok(rows.clone()),
        }
    }

    /// The first instant of the retention as of `as_of`.
    fn oldest(&self, as_of: i64) -> i64 {
        as_of.saturating_sub(self.retention_micros)
    }

    /// Which buckets are within the retention as of `as_of`; `None` where all are.
    fn kept(&self, buckets: &ArrayRef, as_of: i64) -> Option<BooleanArray> {
        let oldest = self.oldest(as_of);
        let buckets = buckets.as_primitive::<TimestampMicrosecondType>();
        let is_kept = |bucket: Option<i64>| bucket.is_none_or(|bucket| bucket >= oldest);
        (!buckets.iter().all(is_kept)).then(|| buckets.iter().map(|bucket| Some(is_kept(bucket))).collect())
    }

    /// Settled rows, all or of some subjects, within the retention as of `as_of`, in key order.
    pub fn settled(&self, subjects: Option<&[SubjectId]>, as_of: i64) -> Result<Selection, ArrowError> {
        let mut rows = self.settled.select(subjects, Some(self.oldest(as_of)))?;
        if let Some(kept) = self.kept(rows.key(self.layout.bucket), as_of) {
            rows.retain(&kept)?;
        }
        Ok(rows)
    }

    /// A selection of [`Intervals::settled`] with these columns.
    pub fn read(&self, rows: &mut Selection, columns: &[usize]) -> Result<RecordBatch, ArrowError> {
        rows.batch(&self.settled, columns)
    }

    /// Rows of all intervals merged, all or of some subjects, in key order.
    pub fn everything(
        &self,
        subjects: Option<&[SubjectId]>,
        known: &Subjects,
    ) -> Result<RecordBatch, ArrowError> {
        let mut merged = RollupTable::new(self.layout.clone(), Budget::unlimited());
        let tables = std::iter::once(&self.settled).chain(self.pending.values()).chain(self.fresh.values());
        for table in tables {
            let rows = table.rows(subjects)?;
            let known = |name: &str| known.find(name).expect("rows hold only numbered subjects");
            gather(&mut merged, &self.converter, &rows, &self.layout.numbers(&rows, known))?;
        }
        merged.rows(None)
    }

    /// Puts stored rows back: settled or pending by their grid column. `numbers` are their subjects', null where a row has
    /// none.
    pub fn load(
        &mut self,
        rows: &RecordBatch,
        settled: i64,
        numbers: &UInt32Array,
    ) -> Result<(), ArrowError> {
        let grid = rows.column(self.layout.grid).as_primitive::<TimestampMicrosecondType>();
        let is_settled: BooleanArray = grid.iter().map(|g| Some(g.is_none_or(|g| g <= settled))).collect();
        let part = |which: &BooleanArray| -> Result<(RecordBatch, UInt32Array), ArrowError> {
            let numbers = filter(numbers, which)?.as_primitive::<UInt32Type>().clone();
            Ok((filter_record_batch(rows, which)?, numbers))
        };
        let columns: Vec<usize> = (0..self.layout.grid).collect();
        let (done, numbers) = part(&is_settled)?;
        self.settled.reserve(done.num_rows());
        self.add_settled(&done.project(&columns)?, &numbers)?;
        let (waiting, numbers) = part(&not(&is_settled)?)?;
        self.load_pending(&waiting, &numbers)
    }

    fn load_pending(&mut self, rows: &RecordBatch, numbers: &UInt32Array) -> Result<(), ArrowError> {
        let keys = self.converter.convert_columns(&self.layout.key_columns(rows))?;
        let prepared = Prepared::new(&self.layout, rows)?;
        let grid = rows.column(self.layout.grid).as_primitive::<TimestampMicrosecondType>();
        // Rows of one interval stand together.
        let runs = grid.values().chunk_by(|a, b| a == b).map(<[i64]>::len);
        let mut start = 0;
        for run in runs {
            let table = self.pending.entry(grid.value(start));
            let table = table.or_insert_with(|| RollupTable::new(self.layout.clone(), self.budget.clone()));
            table.reserve(run);
            self.overflow += merge_kept(table, &keys, &prepared, numbers, start..start + run)?;
            start += run;
        }
        Ok(())
    }

    /// [`Intervals::load`], of rows of events that came before.
    pub fn load_copies(
        &mut self,
        rows: &RecordBatch,
        settled: i64,
        subjects: &mut Subjects,
    ) -> Result<(), ArrowError> {
        let rows = self.copies(rows, settled)?;
        let numbers = self.layout.numbers(&rows, |name| subjects.number(name));
        self.load(&rows, settled, &numbers)
    }

    /// Merges rows into the fresh tables of their own interval; the grid column is the last. Rows without a subject belong
    /// to nobody and are not kept, nor are those that find no room. `kept` hears whose rows were.
    fn scatter(
        &mut self,
        rows: &RecordBatch,
        subjects: &mut Subjects,
        mut kept: impl FnMut(SubjectId),
    ) -> Result<(), ArrowError> {
        let keys = self.converter.convert_columns(&self.layout.key_columns(rows))?;
        let prepared = Prepared::new(&self.layout, rows)?;
        let grid = rows.column(self.layout.grid).as_primitive::<TimestampMicrosecondType>();
        let names: &StringArray = rows.column(self.layout.subject).as_string();
        for row in (0..rows.num_rows()).filter(|row| names.is_valid(*row)) {
            let name = names.value(row);
            let table = self
                .fresh
                .entry(grid.value(row))
                .or_insert_with(|| RollupTable::new(self.layout.clone(), self.budget.clone()));
            let mut known = subjects.find(name);
            let room = Room::Within { known: known.is_some() };
            let subject = || *known.get_or_insert_with(|| subjects.number(name));
            let outcome = table.merge(keys.row(row).as_ref(), room, subject, &prepared, row)?;
            self.overflow += u64::from(outcome == Kept::Overflow);
            known.into_iter().for_each(&mut kept);
        }
        Ok(())
    }

    /// Every settled and pending row with the grid column; settled ones under `settled`.
    pub fn export(&self, settled: i64) -> Result<RecordBatch, ArrowError> {
        let kept = self.in_retention(&self.settled.rows(None)?, settled)?;
        let mut batches = vec![self.with_grid(&kept, settled)?];
        for (grid_point, table) in &self.pending {
            batches.push(self.with_grid(&table.rows(None)?, *grid_point)?);
        }
        concat_batches(&self.layout.stored_schema, &batches)
    }

    fn with_grid(&self, rows: &RecordBatch, grid_point: i64) -> Result<RecordBatch, ArrowError> {
        let mut columns = rows.columns().to_vec();
        columns.push(Arc::new(TimestampMicrosecondArray::from_value(grid_point, rows.num_rows())));
        RecordBatch::try_new(self.layout.stored_schema.clone(), columns)
    }
}

/// Merges rows without the grid column into one table; they were kept before. Returns how many groups did not fit.
fn gather(
    table: &mut RollupTable,
    converter: &RowConverter,
    rows: &RecordBatch,
    numbers: &UInt32Array,
) -> Result<u64, ArrowError> {
    let layout = table.layout().clone();
    let keys = converter.convert_columns(&layout.key_columns(rows))?;
    let prepared = Prepared::new(&layout, rows)?;
    merge_kept(table, &keys, &prepared, numbers, 0..rows.num_rows())
}

/// Merges these rows, which were kept before, into one table; those without a subject are left out. Returns how many
/// groups did not fit.
fn merge_kept(
    table: &mut RollupTable,
    keys: &Rows,
    prepared: &Prepared,
    numbers: &UInt32Array,
    rows: Range<usize>,
) -> Result<u64, ArrowError> {
    let mut overflow = 0;
    for row in rows.filter(|row| numbers.is_valid(*row)) {
        let subject = || numbers.value(row);
        let kept = table.merge(keys.row(row).as_ref(), Room::Always, subject, prepared, row)?;
        overflow += u64::from(kept == Kept::Overflow);
    }
    Ok(overflow)
}
