//! Rollup rows as bytes, and which stored segments to merge.
//!
//! In: partial rows with the grid column. Out: Arrow IPC streams. Segments of one size class are merged
//! once there are eight, so a row is rewritten a logarithmic number of times and a commit stays small.

use std::collections::BTreeMap;

use arrow::error::ArrowError;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use arrow::record_batch::RecordBatch;

/// Segments of one size class from which on they are merged into one.
const MERGE_COUNT: usize = 8;

/// An Arrow IPC stream of one batch.
pub fn encode(rows: &RecordBatch) -> Result<Vec<u8>, ArrowError> {
    let mut writer = StreamWriter::try_new(Vec::new(), rows.schema_ref())?;
    writer.write(rows)?;
    writer.into_inner()
}

/// Inverse of [`encode`].
pub fn decode(bytes: &[u8]) -> Result<Vec<RecordBatch>, ArrowError> {
    StreamReader::try_new(bytes, None)?.collect()
}

/// Stored segments of one rollup: which there are and how large.
#[derive(Debug, Default)]
pub struct SegmentLevels {
    /// Ids by size class (log8 of bytes), oldest first.
    classes: BTreeMap<u32, Vec<i64>>,
}

impl SegmentLevels {
    /// A segment that is stored.
    pub fn add(&mut self, id: i64, bytes: usize) {
        self.classes.entry((bytes.max(1) as u64).ilog(8)).or_default().push(id);
    }

    /// All of them, taken out.
    pub fn take_all(&mut self) -> Vec<i64> {
        std::mem::take(&mut self.classes).into_values().flatten().collect()
    }

    /// Segments to merge into one, taken out, with their size class; `None` if there is nothing to do.
    pub fn take_mergeable(&mut self) -> Option<(u32, Vec<i64>)> {
        let (class, ids) = self.classes.iter_mut().find(|(_, ids)| ids.len() >= MERGE_COUNT)?;
        Some((*class, std::mem::take(ids)))
    }

    /// Segments that were taken out and are not merged after all.
    pub fn put_back(&mut self, class: u32, ids: Vec<i64>) {
        let newer = self.classes.insert(class, ids).unwrap_or_default();
        self.classes.entry(class).or_default().extend(newer);
    }
}
