//! The rows of the subject that a query read, as tables.
//!
//! In: a snapshot's tables and which columns of them the query reads. Out: [`SeenTable`]s of at most
//! EXPLAIN_ROWS_SHOWN_MAX rows, with the number of all. Tables that hold nothing by subject are counted only.

use arrow::array::{Array, AsArray};
use arrow::compute::{cast, take};
use arrow::datatypes::{DataType, TimeUnit, TimestampMicrosecondType};
use arrow::record_batch::RecordBatch;
use serde::Serialize;

use super::Snapshot;
use crate::limits::EXPLAIN_ROWS_SHOWN_MAX;
use crate::query::observe::{Observation, cut, rows_with};
use crate::sketch;

/// Rows of one table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SeenTable {
    /// Its name.
    pub name: String,
    /// Column that holds the subject; without one, no rows are shown.
    pub subject_column: Option<String>,
    /// Columns that the query reads.
    pub columns: Vec<String>,
    /// At most EXPLAIN_ROWS_SHOWN_MAX of the subject's rows, the last of them; a null is `None`.
    pub rows: Vec<Vec<Option<String>>>,
    /// How many rows of the subject there are.
    pub subject_rows: u64,
    /// How many rows the query read in all.
    pub all_rows: u64,
}

/// The tables that the query reads, in name order.
pub(super) fn tables(snapshot: &Snapshot, seen: &Observation) -> Vec<SeenTable> {
    let table = |(name, columns): (&String, &Vec<String>)| {
        let (_, batch) = snapshot.tables.iter().find(|(n, _)| n == name)?;
        Some(shown(name, columns, batch, seen.subject_columns.get(name), &snapshot.subject))
    };
    seen.reads.iter().filter_map(table).collect()
}

fn shown(
    name: &str,
    columns: &[String],
    batch: &RecordBatch,
    subject_column: Option<&String>,
    subject: &str,
) -> SeenTable {
    let mut columns = columns.to_vec();
    columns.sort_by_key(|column| batch.schema_ref().index_of(column).ok());
    let numbers = subject_column.map(|column| rows_with(batch, column, subject)).unwrap_or_default();
    let last = &numbers[numbers.len().saturating_sub(EXPLAIN_ROWS_SHOWN_MAX)..];
    let texts: Vec<Vec<Option<String>>> = columns.iter().map(|column| texts(batch, column, last)).collect();
    let row = |index: usize| texts.iter().map(|column| column.get(index).cloned().flatten()).collect();
    let rows = (0..last.len()).map(row).collect();
    SeenTable {
        name: name.to_owned(),
        subject_column: subject_column.cloned(),
        columns,
        rows,
        subject_rows: numbers.len() as u64,
        all_rows: batch.num_rows() as u64,
    }
}

/// Cells of one column in the rows with these numbers; nothing of a column that cannot be written.
fn texts(batch: &RecordBatch, column: &str, rows: &[usize]) -> Vec<Option<String>> {
    let indices = arrow::array::UInt64Array::from_iter_values(rows.iter().map(|row| *row as u64));
    let Some(column) = batch.column_by_name(column) else { return Vec::new() };
    let Ok(column) = take(column, &indices, None) else { return Vec::new() };
    if let DataType::Timestamp(TimeUnit::Microsecond, _) = column.data_type() {
        let times = column.as_primitive::<TimestampMicrosecondType>();
        return times.iter().map(|t| t.map(|t| super::snapshot::instant(t).to_string())).collect();
    }
    if *column.data_type() == DataType::Binary {
        return column.as_binary::<i32>().iter().map(|bytes| bytes.map(sketch::shown)).collect();
    }
    let Ok(column) = cast(&column, &DataType::Utf8) else { return Vec::new() };
    column.as_string::<i32>().iter().map(|text| text.map(cut)).collect()
}
