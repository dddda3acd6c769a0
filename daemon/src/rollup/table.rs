//! One table of rollup rows: a hash table from key to mergeable values.
//!
//! In: partial rows. Out: merged rows as record batches, all or those of given subjects, in key order.
//! Nothing here knows time: pending intervals and retention are the caller's.

use std::sync::Arc;

use ahash::RandomState;
use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BooleanArray, Float64Array, Int64Array, StringArray,
};
use arrow::compute::{cast, filter};
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use hashbrown::{HashMap, HashTable};

use crate::limits;
use crate::query::plan::Merge;
use crate::rollup::layout::{Layout, blank, first_bytes};
use crate::rollup::sketches::Sketches;
use crate::rollup::{Budget, SubjectId};

/// Bytes of a row beside its key and values: the key's place, its allocation, the index's place and the link to the next
/// row of its subject.
const ROW_BYTES: usize = 64;
/// The first row of a subject in a table: its place in a hash table, of which half may be free.
const SUBJECT_ROWS_BYTES: usize = 24;
/// Ends a subject's rows.
const NO_ROW: u32 = u32::MAX;

/// Values of one aggregate column, by slot.
#[derive(Debug)]
enum Values {
    Int(Vec<Option<i64>>),
    Float(Vec<Option<f64>>),
    Bool(Vec<Option<bool>>),
    Text(Vec<Option<Box<str>>>),
    Sketch(Sketches),
}

/// One aggregate column of a batch, typed once.
enum Incoming {
    Int(Int64Array),
    Float(Float64Array),
    Bool(BooleanArray),
    Text(StringArray),
    Sketch(BinaryArray),
}

impl Incoming {
    /// What a value takes in a table.
    fn bytes(&self, row: usize) -> usize {
        match self {
            Self::Int(_) | Self::Float(_) => 16,
            Self::Bool(_) => 1,
            Self::Text(texts) => 32 + texts.value(row).len(),
            Self::Sketch(sketches) => 32 + sketches.value(row).len(),
        }
    }

    fn new(column: &ArrayRef) -> Result<Self, ArrowError> {
        Ok(match column.data_type() {
            DataType::Float64 => Self::Float(column.as_primitive::<Float64Type>().clone()),
            DataType::Boolean => Self::Bool(column.as_boolean().clone()),
            DataType::Utf8 => Self::Text(column.as_string::<i32>().clone()),
            DataType::Binary => Self::Sketch(column.as_binary::<i32>().clone()),
            _ => Self::Int(cast(column, &DataType::Int64)?.as_primitive::<Int64Type>().clone()),
        })
    }
}

/// Which new groups may still come into a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    /// All: they were kept before, or are gone in a moment.
    Always,
    /// Those that fit into the budget: of a subject that is known, or of a new one.
    Within {
        /// Whether it is known.
        known: bool,
    },
}

impl Room {
    fn is_there(self, budget: &Budget) -> bool {
        match self {
            Self::Always => true,
            Self::Within { known } => budget.has_room(known),
        }
    }
}

/// A batch made ready for merging: aggregate columns typed once.
pub struct Prepared(Vec<(usize, Incoming)>);

impl Prepared {
    /// Types the aggregate columns of `batch`.
    pub fn new(layout: &Layout, batch: &RecordBatch) -> Result<Self, ArrowError> {
        let aggregates = (0..layout.merges.len()).filter(|i| layout.merges[*i] != Merge::Key);
        aggregates
            .map(|i| Ok((i, Incoming::new(batch.column(i))?)))
            .collect::<Result<_, ArrowError>>()
            .map(Self)
    }
}

/// Whether a row was kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// A new group.
    New,
    /// Merged into a group that was there.
    Merged,
    /// The table is full: not kept, or not all of it, to be counted.
    Overflow,
}

/// Rows of one rollup.
#[derive(Debug)]
pub struct RollupTable {
    layout: Arc<Layout>,
    index: HashTable<u32>,
    keys: Vec<Box<[u8]>>,
    values: Vec<Values>,
    /// A subject's newest row; `earlier` leads to its others.
    by_subject: HashMap<SubjectId, u32, RandomState>,
    /// By row: the row of the same subject that came before it.
    earlier: Vec<u32>,
    budget: Budget,
    /// Of the budget, what this table holds.
    bytes: usize,
}

impl RollupTable {
    /// An empty table, whose rows count against `budget`.
    pub fn new(layout: Arc<Layout>, budget: Budget) -> Self {
        let values = (0..layout.merges.len()).filter(|i| layout.merges[*i] != Merge::Key);
        let values = values.map(|i| empty_values(layout.schema.field(i).data_type())).collect();
        Self {
            layout,
            index: HashTable::new(),
            keys: Vec::new(),
            values,
            by_subject: HashMap::default(),
            earlier: Vec::new(),
            budget,
            bytes: 0,
        }
    }

    /// Which column is what.
    pub fn layout(&self) -> &Arc<Layout> {
        &self.layout
    }

    /// Rows kept.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Makes room in the index for so many groups at once, if they are more than there are: it is not made anew, from all
    /// keys, each time that it doubles.
    pub fn reserve(&mut self, groups: usize) {
        if groups > self.keys.len() {
            let (keys, hasher) = (&self.keys, &self.layout.hasher);
            self.index.reserve(groups, |slot| hasher.hash_one(&*keys[*slot as usize]));
        }
    }

    fn rows_of(&self, subject: SubjectId) -> impl Iterator<Item = u32> + '_ {
        let is_row = |slot: &u32| *slot != NO_ROW;
        let newest = self.by_subject.get(&subject).copied();
        std::iter::successors(newest, move |slot| Some(self.earlier[*slot as usize]).filter(is_row))
    }

    /// Whether the group with this key is kept.
    pub fn contains(&self, key: &[u8]) -> bool {
        let hash = self.layout.hasher.hash_one(key);
        self.index.find(hash, |slot| *self.keys[*slot as usize] == *key).is_some()
    }

    /// Subjects that have rows.
    pub fn subjects(&self) -> impl Iterator<Item = SubjectId> + '_ {
        self.by_subject.keys().copied()
    }

    /// Merges row `row` of a prepared batch under `key`. A new group needs room; `subject` gives its number where it
    /// is kept. Fails on bytes that are no sketch.
    pub fn merge(
        &mut self,
        key: &[u8],
        room: Room,
        subject: impl FnOnce() -> SubjectId,
        prepared: &Prepared,
        row: usize,
    ) -> Result<Kept, ArrowError> {
        let hash = self.layout.hasher.hash_one(key);
        if let Some(slot) = self.index.find(hash, |s| *self.keys[*s as usize] == *key) {
            let slot = *slot as usize;
            let mut kept = Kept::Merged;
            for ((column, incoming), values) in prepared.0.iter().zip(&mut self.values) {
                if !merge_value(self.layout.merges[*column], values, slot, incoming, row)? {
                    kept = Kept::Overflow;
                }
            }
            return Ok(kept);
        }
        if self.is_full() || !room.is_there(&self.budget) {
            return Ok(Kept::Overflow);
        }
        let slot = self.keys.len() as u32;
        self.keys.push(key.into());
        let (keys, hasher) = (&self.keys, &self.layout.hasher);
        self.index.insert_unique(hash, slot, |s| hasher.hash_one(&*keys[*s as usize]));
        let earlier = self.by_subject.insert(subject(), slot);
        let mut bytes = key.len() + ROW_BYTES + if earlier.is_none() { SUBJECT_ROWS_BYTES } else { 0 };
        self.earlier.push(earlier.unwrap_or(NO_ROW));
        for ((_, incoming), values) in prepared.0.iter().zip(&mut self.values) {
            bytes += incoming.bytes(row);
            push_value(values, incoming, row)?;
        }
        self.budget.add(bytes);
        self.bytes += bytes;
        Ok(Kept::New)
    }

    fn is_full(&self) -> bool {
        let sketches = |values: &Values| matches!(values, Values::Sketch(sketches) if sketches.is_full());
        self.keys.len() >= limits::ROLLUP_GROUPS_MAX || self.values.iter().any(sketches)
    }

    /// All rows, or those of the given subjects, in key order, in [`Layout::schema`].
    pub fn rows(&self, subjects: Option<&[SubjectId]>) -> Result<RecordBatch, ArrowError> {
        let mut selection = self.select(subjects, None)?;
        let all: Vec<usize> = (0..self.layout.merges.len()).collect();
        selection.batch(self, &all)
    }

    /// All rows, or those of the given subjects, in key order; of columns only the keys are read. Rows of buckets before
    /// `oldest` are left out where that is known without reading them.
    pub fn select(
        &self,
        subjects: Option<&[SubjectId]>,
        oldest: Option<i64>,
    ) -> Result<Selection, ArrowError> {
        let slots: Vec<u32> = match subjects {
            None => (0..self.keys.len() as u32).collect(),
            Some(ids) => ids.iter().flat_map(|id| self.rows_of(*id)).collect(),
        };
        // A key is a pointer away: its first bytes come along and seldom leave two keys level.
        let key = |slot: u32| &*self.keys[slot as usize];
        let first = oldest.map_or(Ok(0), |oldest| self.layout.first_key(oldest))?;
        let order = slots.into_iter().map(|slot| (first_bytes(key(slot)), slot));
        // The key of a null bucket begins with a zero.
        let is_kept = |key: u128| key >= first || key >> 120 == 0;
        let mut order: Vec<(u128, u32)> = order.filter(|(key, _)| is_kept(*key)).collect();
        order.sort_unstable_by(|a, b| a.0.cmp(&b.0).then_with(|| key(a.1).cmp(key(b.1))));
        let slots: Vec<u32> = order.into_iter().map(|(_, slot)| slot).collect();
        let converter = self.layout.converter();
        let parser = converter.parser();
        let keys = converter.convert_rows(slots.iter().map(|s| parser.parse(key(*s))))?;
        let mut columns: Vec<Option<ArrayRef>> = vec![None; self.layout.merges.len()];
        for (index, column) in self.layout.keys.iter().zip(keys) {
            columns[*index] = Some(self.as_declared(*index, column)?);
        }
        Ok(Selection { slots, columns })
    }

    fn as_declared(&self, index: usize, column: ArrayRef) -> Result<ArrayRef, ArrowError> {
        let data_type = self.layout.schema.field(index).data_type();
        if column.data_type() == data_type { Ok(column) } else { cast(&column, data_type) }
    }
}

impl Drop for RollupTable {
    fn drop(&mut self) {
        self.budget.take(self.bytes);
    }
}

/// Rows picked from a table while it does not change; their columns are read as somebody asks for them.
#[derive(Debug)]
pub struct Selection {
    slots: Vec<u32>,
    columns: Vec<Option<ArrayRef>>,
}

impl Selection {
    /// Rows that are all there already.
    pub fn of(rows: &RecordBatch) -> Self {
        Self { slots: Vec::new(), columns: rows.columns().iter().cloned().map(Some).collect() }
    }

    /// A key column.
    pub fn key(&self, index: usize) -> &ArrayRef {
        self.columns[index].as_ref().expect("keys are read first")
    }

    /// Leaves the rows that `kept` says.
    pub fn retain(&mut self, kept: &BooleanArray) -> Result<(), ArrowError> {
        let mut place = 0;
        self.slots.retain(|_| {
            place += 1;
            kept.value(place - 1)
        });
        for column in self.columns.iter_mut().flatten() {
            *column = filter(column, kept)?;
        }
        Ok(())
    }

    /// Whether one of `columns` was not read yet.
    pub fn lacks(&self, columns: &[usize]) -> bool {
        columns.iter().any(|index| self.columns[*index].is_none())
    }

    /// The rows with these columns, and others that were read before; what was not read is blank.
    pub fn batch(&mut self, table: &RollupTable, columns: &[usize]) -> Result<RecordBatch, ArrowError> {
        let layout = &table.layout;
        let aggregates = (0..layout.merges.len()).filter(|index| layout.merges[*index] != Merge::Key);
        for (index, values) in aggregates.zip(&table.values) {
            if self.columns[index].is_none() && columns.contains(&index) {
                self.columns[index] = Some(table.as_declared(index, gather_values(values, &self.slots))?);
            }
        }
        let len = self.columns.iter().flatten().next().map_or(0, |column| column.len());
        let columns = self.columns.iter().zip(layout.schema.fields());
        let columns = columns.map(|(column, field)| match column {
            Some(column) => Ok(column.clone()),
            None => blank(field.data_type(), len),
        });
        RecordBatch::try_new(layout.schema.clone(), columns.collect::<Result<_, _>>()?)
    }
}

fn empty_values(data_type: &DataType) -> Values {
    match data_type {
        DataType::Float64 => Values::Float(Vec::new()),
        DataType::Boolean => Values::Bool(Vec::new()),
        DataType::Utf8 => Values::Text(Vec::new()),
        DataType::Binary => Values::Sketch(Sketches::default()),
        _ => Values::Int(Vec::new()),
    }
}

fn gather_values(values: &Values, slots: &[u32]) -> ArrayRef {
    match values {
        Values::Int(v) => Arc::new(slots.iter().map(|s| v[*s as usize]).collect::<Int64Array>()),
        Values::Float(v) => Arc::new(slots.iter().map(|s| v[*s as usize]).collect::<Float64Array>()),
        Values::Bool(v) => Arc::new(slots.iter().map(|s| v[*s as usize]).collect::<BooleanArray>()),
        Values::Text(v) => Arc::new(slots.iter().map(|s| v[*s as usize].as_deref()).collect::<StringArray>()),
        Values::Sketch(v) => Arc::new(v.gather(slots)),
    }
}

fn push_value(values: &mut Values, incoming: &Incoming, row: usize) -> Result<(), ArrowError> {
    match (values, incoming) {
        (Values::Int(v), Incoming::Int(a)) => v.push(a.is_valid(row).then(|| a.value(row))),
        (Values::Float(v), Incoming::Float(a)) => v.push(a.is_valid(row).then(|| a.value(row))),
        (Values::Bool(v), Incoming::Bool(a)) => v.push(a.is_valid(row).then(|| a.value(row))),
        (Values::Text(v), Incoming::Text(a)) => v.push(a.is_valid(row).then(|| a.value(row).into())),
        (Values::Sketch(v), Incoming::Sketch(a)) => v.push(a.is_valid(row).then(|| a.value(row)))?,
        _ => unreachable!("a prepared batch has its layout's types"),
    }
    Ok(())
}

/// Whether there was room for it.
fn merge_value(
    merge: Merge,
    values: &mut Values,
    slot: usize,
    incoming: &Incoming,
    row: usize,
) -> Result<bool, ArrowError> {
    match (values, incoming) {
        (Values::Int(v), Incoming::Int(a)) if a.is_valid(row) => {
            let b = a.value(row);
            v[slot] = Some(v[slot].map_or(b, |a| merge_int(merge, a, b)));
        }
        (Values::Float(v), Incoming::Float(a)) if a.is_valid(row) => {
            let b = a.value(row);
            v[slot] = Some(v[slot].map_or(b, |a| if merge == Merge::Min { a.min(b) } else { a.max(b) }));
        }
        (Values::Bool(v), Incoming::Bool(a)) if a.is_valid(row) => {
            let b = a.value(row);
            v[slot] = Some(v[slot].map_or(b, |a| if merge == Merge::Min { a & b } else { a | b }));
        }
        (Values::Text(v), Incoming::Text(a)) if a.is_valid(row) => {
            merge_text(merge, &mut v[slot], a.value(row))
        }
        (Values::Sketch(v), Incoming::Sketch(a)) if a.is_valid(row) => return v.merge(slot, a.value(row)),
        _ => {}
    }
    Ok(true)
}

fn merge_int(merge: Merge, a: i64, b: i64) -> i64 {
    match merge {
        Merge::Sum => a.saturating_add(b),
        Merge::Min => a.min(b),
        Merge::Max => a.max(b),
        Merge::Or => a | b,
        Merge::Key | Merge::Sketch => a,
    }
}

fn merge_text(merge: Merge, current: &mut Option<Box<str>>, incoming: &str) {
    let replaces = match current {
        None => true,
        Some(current) if merge == Merge::Min => incoming < &**current,
        Some(current) => incoming > &**current,
    };
    if replaces {
        *current = Some(incoming.into());
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use crate::ingest::Position;
    use crate::query::QueryTexts;
    use crate::query::cases::{CaseEvent, Cell, enriched};
    use crate::query::plan::QuerySet;
    use crate::registry::Registry;
    use crate::rollup::{Rollups, View};

    const DAY: i64 = 86_400_000_000;
    /// 2026-03-02.
    const START: i64 = 1_772_409_600_000_000;

    #[test]
    fn rows_are_seen_to_the_end_of_their_retention_and_no_longer() {
        let mut texts = QueryTexts::builtin();
        texts.rollups.retain(|rollup| rollup.text.id == "target-caller-day");
        texts.detections.clear();
        let registry = Registry::from_texts(Vec::new()).expect("an empty registry");
        let queries = QuerySet::plan(&texts, &registry.tables()).expect("legal SQL");
        let cells = [("service", "claims"), ("principal", "ada"), ("principal_kind", "human")];
        let cells = cells.map(|(name, text)| (name.to_owned(), Cell::Text(text.to_owned())));
        let cells: Arc<BTreeMap<_, _>> = Arc::new(cells.into());
        let event = |day: i64| CaseEvent {
            at: START + day * DAY,
            position: Position { topic: 0, partition: 0, offset: day },
            cells: cells.clone(),
        };
        let events: Vec<CaseEvent> = (0..4).map(event).collect();
        let mut rollups = Rollups::new(&queries);
        rollups.absorb(&queries, &enriched(&events, 3_600)).expect("absorbed");
        rollups.settle(START + 4 * DAY, &queries, &mut []).expect("settled");
        let layout = rollups.layout(0);
        assert_eq!(layout.keys.first(), Some(&layout.bucket), "else nothing is left out by key");
        let retention = queries.rollups[0].query.retention_seconds * 1_000_000;
        for (as_of, expect) in [(-1, 4), (0, 4), (1, 3), (DAY, 3), (DAY + 1, 2), (3 * DAY + 1, 0)] {
            let rows = rollups.view(0, "target", None, View::Settled, START + retention + as_of);
            assert_eq!(rows.expect("rows").num_rows(), expect, "{as_of} microseconds past the retention");
        }
    }
}
