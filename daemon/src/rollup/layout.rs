//! Which column of a rollup's rows is what, and how its keys compare.
//!
//! In: a planned rollup. Out: its [`Layout`]. No row is kept here.

use std::sync::Arc;

use ahash::RandomState;
use arrow::array::{
    Array, ArrayRef, AsArray, TimestampMicrosecondArray, UInt32Array, make_array, new_null_array,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use arrow::row::{RowConverter, SortField};

use crate::query::plan::{GRID_COLUMN, Merge, PlannedRollup};
use crate::rollup::SubjectId;

/// Which column is what in one rollup.
#[derive(Debug)]
pub struct Layout {
    /// Columns without the grid column: what detections see.
    pub schema: SchemaRef,
    /// Columns with the grid column last: what is planned, stored and merged.
    pub stored_schema: SchemaRef,
    /// How each column of `schema` merges.
    pub(super) merges: Vec<Merge>,
    /// Indexes of the key columns.
    pub(super) keys: Vec<usize>,
    /// Index of the bucket column.
    pub bucket: usize,
    /// Index of the subject column.
    pub subject: usize,
    /// Index of the column of tokens that the subject issued.
    pub issued: Option<usize>,
    /// Index of the column of tokens that the subject presented.
    pub presented: Option<usize>,
    /// Index of the grid column in `stored_schema`.
    pub grid: usize,
    pub(super) hasher: RandomState,
}

impl Layout {
    /// Reads the layout off a planned rollup.
    pub fn new(rollup: &PlannedRollup) -> Self {
        let grid = rollup.schema.fields().len() - 1;
        debug_assert_eq!(rollup.schema.field(grid).name(), GRID_COLUMN);
        let schema = Arc::new(Schema::new(rollup.schema.fields()[..grid].to_vec()));
        let merges = rollup.merges[..grid].to_vec();
        let keys = (0..grid).filter(|i| merges[*i] == Merge::Key).collect();
        let index = |name: &str| schema.index_of(name).expect("planning checked that the column exists");
        Self {
            bucket: index(&rollup.query.bucket),
            subject: index(&rollup.query.subject),
            issued: rollup.query.issues.as_deref().map(index),
            presented: rollup.query.presents.as_deref().map(index),
            stored_schema: rollup.schema.clone(),
            schema,
            merges,
            keys,
            grid,
            hasher: RandomState::new(),
        }
    }

    /// Whether rows tie subjects to each other.
    pub fn links(&self) -> bool {
        self.issued.is_some() || self.presented.is_some()
    }

    /// A converter for this layout's keys.
    pub fn converter(&self) -> RowConverter {
        let fields = self.keys.iter().map(|i| SortField::new(self.schema.field(*i).data_type().clone()));
        RowConverter::new(fields.collect()).expect("planning allows only types that rows support")
    }

    /// What keys of buckets from `oldest` on do not stay below, as their first bytes; 0 where keys begin with another
    /// column.
    pub(super) fn first_key(&self, oldest: i64) -> Result<u128, ArrowError> {
        if self.keys.first() != Some(&self.bucket) {
            return Ok(0);
        }
        let data_type = self.schema.field(self.bucket).data_type().clone();
        let bucket = cast(&TimestampMicrosecondArray::from(vec![oldest]), &data_type)?;
        let rows = RowConverter::new(vec![SortField::new(data_type)])?.convert_columns(&[bucket])?;
        Ok(first_bytes(rows.row(0).data()))
    }

    /// Rows of events that are counted already: what sums is zero, or null where it may be; what is left does not change
    /// by being merged twice.
    pub fn without_sums(&self, rows: &RecordBatch) -> Result<RecordBatch, ArrowError> {
        let mut columns = rows.columns().to_vec();
        for (index, _) in self.merges.iter().enumerate().filter(|(_, merge)| **merge == Merge::Sum) {
            let field = self.schema.field(index);
            columns[index] = match field.is_nullable() {
                true => new_null_array(field.data_type(), rows.num_rows()),
                false => blank(field.data_type(), rows.num_rows())?,
            };
        }
        RecordBatch::try_new(rows.schema(), columns)
    }

    /// Subjects of rows by number; null where a row has none.
    pub fn numbers(&self, rows: &RecordBatch, mut number: impl FnMut(&str) -> SubjectId) -> UInt32Array {
        rows.column(self.subject).as_string::<i32>().iter().map(|name| name.map(&mut number)).collect()
    }

    /// The key columns of a batch in either schema.
    pub fn key_columns(&self, batch: &RecordBatch) -> Vec<ArrayRef> {
        self.keys.iter().map(|i| batch.column(*i).clone()).collect()
    }
}

/// A column that nobody reads: zeros, empty texts.
pub(super) fn blank(data_type: &DataType, len: usize) -> Result<ArrayRef, ArrowError> {
    let zeros = new_null_array(data_type, len).to_data().into_builder().nulls(None).build()?;
    Ok(make_array(zeros))
}

/// Sixteen bytes of a key, in the key's order.
pub(super) fn first_bytes(key: &[u8]) -> u128 {
    let mut bytes = [0; 16];
    let len = key.len().min(bytes.len());
    bytes[..len].copy_from_slice(&key[..len]);
    u128::from_be_bytes(bytes)
}
