//! Rollup rows as bytes, and which stored segments to merge.
//!
//! In: partial rows with the grid column. Out: Arrow IPC streams. Segments of one part and one size class are merged once
//! there are eight; what comes out too large is cut into eight parts by its keys' hashes. So a row is rewritten a
//! logarithmic number of times, a key has few rows in a state, and no merge and no commit is larger than a few segments,
//! however large the state is.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use arrow::array::UInt32Array;
use arrow::compute::take_record_batch;
use arrow::error::ArrowError;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use arrow::record_batch::RecordBatch;
use xxhash_rust::xxh3::xxh3_64;

use crate::limits::SEGMENT_BYTES_MAX;
use crate::rollup::layout::Layout;

/// Segments of one size class that are merged into one.
const MERGE_COUNT: usize = 8;
/// A part is cut into two to the power of so many.
const CUT_BITS: u32 = 3;
/// Then a hash has no bits left.
const CUTS_MAX: u32 = 64 / CUT_BITS;
/// Where a segment's schema names its part.
const PART_KEY: &str = "part";

/// Those keys of a rollup whose hash begins with given bits: all of them, an eighth, an eighth of that.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Part {
    cuts: u32,
    bits: u64,
}

impl Part {
    /// Which of its eight parts a hash belongs to.
    fn of_hash(self, hash: u64) -> u64 {
        (hash >> (64 - CUT_BITS * (self.cuts + 1))) & ((1 << CUT_BITS) - 1)
    }

    fn cut(self, eighth: u64) -> Self {
        Self { cuts: self.cuts + 1, bits: self.bits << CUT_BITS | eighth }
    }

    /// The part that a segment's rows say they are of; all keys where they say nothing, as before there were parts.
    pub fn of_rows(rows: &RecordBatch) -> Self {
        let name = rows.schema_ref().metadata().get(PART_KEY).map_or("", String::as_str);
        let cuts = u32::try_from(name.len()).unwrap_or(u32::MAX);
        match u64::from_str_radix(name, 1 << CUT_BITS) {
            Ok(bits) if cuts <= CUTS_MAX => Self { cuts, bits },
            Ok(_) | Err(_) => Self::default(),
        }
    }
}

/// A digit a cut.
impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.cuts == 0 { Ok(()) } else { write!(f, "{:0width$o}", self.bits, width = self.cuts as usize) }
    }
}

/// A segment that is not stored yet.
pub struct Encoded {
    /// Whose keys it holds.
    pub part: Part,
    /// Arrow IPC stream.
    pub bytes: Vec<u8>,
}

/// An Arrow IPC stream of one batch with keys of `part`.
pub fn encode(rows: &RecordBatch, part: Part) -> Result<Vec<u8>, ArrowError> {
    let name = HashMap::from([(PART_KEY.to_owned(), part.to_string())]);
    let rows = rows.clone().with_schema(rows.schema().as_ref().clone().with_metadata(name).into())?;
    let mut writer = StreamWriter::try_new(Vec::new(), rows.schema_ref())?;
    writer.write(&rows)?;
    writer.into_inner()
}

/// The same, cut until each has fewer than `bytes_max`; nothing where there are no rows.
pub fn encode_cut(
    layout: &Layout,
    rows: &RecordBatch,
    part: Part,
    bytes_max: usize,
) -> Result<Vec<Encoded>, ArrowError> {
    if rows.num_rows() == 0 {
        return Ok(Vec::new());
    }
    let whole = encode(rows, part)?;
    if whole.len() < bytes_max || part.cuts == CUTS_MAX {
        return Ok(vec![Encoded { part, bytes: whole }]);
    }
    drop(whole);
    let keys = layout.converter().convert_columns(&layout.key_columns(rows))?;
    let mut eighths: Vec<Vec<u32>> = vec![Vec::new(); 1 << CUT_BITS];
    for (row, key) in (0..).zip(&keys) {
        eighths[part.of_hash(xxh3_64(key.as_ref())) as usize].push(row);
    }
    let mut all = Vec::new();
    for (eighth, rows_of_it) in (0..).zip(eighths) {
        let rows = take_record_batch(rows, &UInt32Array::from(rows_of_it))?;
        all.extend(encode_cut(layout, &rows, part.cut(eighth), bytes_max)?);
    }
    Ok(all)
}

/// Inverse of [`encode`].
pub fn decode(bytes: &[u8]) -> Result<Vec<RecordBatch>, ArrowError> {
    StreamReader::try_new(bytes, None)?.collect()
}

/// Stored segments of one rollup: which there are and how large.
#[derive(Debug, Default)]
pub struct SegmentLevels {
    /// Ids by part and size class (log8 of bytes), oldest first.
    classes: BTreeMap<(Part, u32), Vec<i64>>,
}

/// Segments to make into one, or to cut.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Mergeable {
    /// Whose keys they hold.
    pub part: Part,
    class: u32,
    /// Oldest first.
    pub ids: Vec<i64>,
}

impl Mergeable {
    /// What they take at most.
    pub fn bytes_max(&self) -> usize {
        8_usize.saturating_pow(self.class + 1).saturating_mul(self.ids.len())
    }
}

impl SegmentLevels {
    /// A segment that is stored.
    pub fn add(&mut self, id: i64, part: Part, bytes: usize) {
        self.classes.entry((part, class_of(bytes))).or_default().push(id);
    }

    /// All of them, taken out.
    pub fn take_all(&mut self) -> Vec<i64> {
        std::mem::take(&mut self.classes).into_values().flatten().collect()
    }

    /// The next segments to merge, or one that is too large, taken out; `None` if there is nothing to do.
    pub fn take_mergeable(&mut self) -> Option<Mergeable> {
        let too_large = class_of(SEGMENT_BYTES_MAX);
        let count = |part: &Part, class: &u32| match *class >= too_large && part.cuts < CUTS_MAX {
            true => 1,
            false => MERGE_COUNT,
        };
        let is_due = |((part, class), ids): &(&(Part, u32), &mut Vec<i64>)| ids.len() >= count(part, class);
        let (&(part, class), ids) = self.classes.iter_mut().find(is_due)?;
        let ids = ids.drain(..count(&part, &class)).collect();
        Some(Mergeable { part, class, ids })
    }

    /// Segments that were taken out and are not merged after all.
    pub fn put_back(&mut self, taken: Mergeable) {
        self.classes.entry((taken.part, taken.class)).or_default().splice(..0, taken.ids);
    }
}

fn class_of(bytes: usize) -> u32 {
    (bytes.max(1) as u64).ilog(8)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use super::*;
    use crate::ingest::Position;
    use crate::query::QueryTexts;
    use crate::query::cases::{CaseEvent, Cell, enriched};
    use crate::query::plan::QuerySet;
    use crate::registry::Registry;
    use crate::rollup::Rollups;

    /// 2026-03-02.
    const START: i64 = 1_772_409_600_000_000;

    /// One rollup, and rows of it for credentials from `from` on.
    fn rows(from: usize, count: usize) -> (Rollups, RecordBatch) {
        let mut texts = QueryTexts::builtin();
        texts.rollups.retain(|rollup| rollup.text.id == "credential-first-seen");
        texts.detections.clear();
        let registry = Registry::from_texts(Vec::new()).expect("an empty registry");
        let queries = QuerySet::plan(&texts, &registry.tables()).expect("legal SQL");
        let event = |number: usize| {
            let credential = format!("credential-{number}");
            let cells = [("credential", &*credential), ("principal_kind", "human"), ("outcome", "success")];
            let cells = cells.map(|(name, text)| (name.to_owned(), Cell::Text(text.to_owned())));
            CaseEvent {
                at: START,
                position: Position { topic: 0, partition: 0, offset: number as i64 },
                cells: Arc::new(cells.into()),
            }
        };
        let events: Vec<CaseEvent> = (from..from + count).map(event).collect();
        let mut rollups = Rollups::new(&queries);
        rollups.absorb(&queries, &enriched(&events, 3_600)).expect("absorbed");
        let rows = rollups.take_unsaved().expect("rows").remove(0).1;
        (rollups, rows)
    }

    /// Keys with their part, of segments that were cut to `bytes_max`.
    fn cut(rows: &RecordBatch, rollups: &Rollups, bytes_max: usize) -> BTreeMap<Vec<u8>, Part> {
        let layout = rollups.layout(0);
        let mut keys = BTreeMap::new();
        for Encoded { part, bytes } in encode_cut(layout, rows, Part::default(), bytes_max).expect("encoded")
        {
            assert!(bytes.len() < bytes_max, "{part}: {} bytes", bytes.len());
            for rows in decode(&bytes).expect("decoded") {
                assert_eq!(Part::of_rows(&rows), part);
                let read = layout.converter().convert_columns(&layout.key_columns(&rows)).expect("keys");
                for key in &read {
                    assert_eq!(keys.insert(key.as_ref().to_vec(), part), None, "a row came out twice");
                }
            }
        }
        keys
    }

    #[test]
    fn cut_segments_hold_each_row_once_and_a_key_always_in_the_same_part() {
        let ((rollups, all), (_, others)) = (rows(0, 3_000), rows(1_500, 3_000));
        let parts = cut(&all, &rollups, 64 << 10);
        assert_eq!(parts.len(), 3_000);
        let named: BTreeSet<String> = parts.values().map(Part::to_string).collect();
        assert_eq!(named.into_iter().collect::<String>(), "01234567");
        let again = cut(&others, &rollups, 64 << 10);
        assert_eq!(again.iter().filter(|(key, part)| parts.get(*key) == Some(*part)).count(), 1_500);
        let deeper = cut(&all, &rollups, 16 << 10);
        assert!(deeper.iter().all(|(key, part)| part.to_string().starts_with(&parts[key].to_string())));
        assert_eq!(cut(&all, &rollups, 64 << 20).into_values().max(), Some(Part::default()));
        assert_eq!(cut(&all.slice(0, 0), &rollups, 64 << 10).len(), 0);
    }

    #[test]
    fn eight_of_a_class_and_part_are_merged_oldest_first_and_a_large_one_is_cut_alone() {
        let (whole, eighth) = (Part::default(), Part::default().cut(5));
        let mut levels = SegmentLevels::default();
        (1..=9).for_each(|id| levels.add(id, whole, 1_000));
        (10..=16).for_each(|id| levels.add(id, eighth, 1_000));
        let oldest = levels.take_mergeable().expect("eight are there");
        assert_eq!((oldest.part, oldest.ids.as_slice()), (whole, &[1, 2, 3, 4, 5, 6, 7, 8][..]));
        assert_eq!(levels.take_mergeable(), None);
        levels.put_back(oldest);
        assert_eq!(levels.take_mergeable().map(|taken| taken.ids), Some((1..=8).collect()));
        levels.add(17, eighth, SEGMENT_BYTES_MAX - 1);
        assert_eq!(levels.take_mergeable(), None);
        levels.add(18, eighth, SEGMENT_BYTES_MAX);
        let large = levels.take_mergeable().expect("one is too large");
        assert_eq!((large.part, large.ids.as_slice()), (eighth, &[18][..]));
        levels.add(19, eighth, 600);
        let merged = levels.take_mergeable().map(|taken| taken.ids);
        assert_eq!(merged, Some(vec![10, 11, 12, 13, 14, 15, 16, 19]));
    }
}
