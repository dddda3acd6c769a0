//! What one detection sees of one subject, copied between two batches.
//!
//! In: the pipeline's rollups and queries. Out: a [`Snapshot`] that another thread can work on. The copy is of the
//! subject's rows where the detection is evaluated by subject, and of all it reads, bounded, where it is not.

use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use jiff::Timestamp;
use tokio::sync::oneshot;

use super::ExplainError;
use crate::detect;
use crate::limits::EXPLAIN_INPUT_ROWS_MAX;
use crate::query::DetectionQuery;
use crate::query::plan::{PlannedDetection, QuerySet};
use crate::registry::Registry;
use crate::registry::errors::nearest;
use crate::rollup::watermark::START_OF_TIME;
use crate::rollup::{Rollups, SubjectId, View};

/// As of when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// The newest grid point that the watermark has passed.
    Now,
    /// A grid point that is past, microseconds.
    Grid(i64),
    /// An early look that saw everything absorbed, microseconds.
    Early(i64),
}

/// What is asked of the pipeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// Detection id.
    pub detection: String,
    /// Subject id.
    pub subject: String,
    /// As of when.
    pub when: When,
}

/// A question with the way back.
#[derive(Debug)]
pub struct Question {
    /// What is asked.
    pub ask: Ask,
    /// Where the answer goes; nobody may be waiting any more.
    pub reply: oneshot::Sender<Result<Snapshot, ExplainError>>,
}

/// What one detection sees of one subject.
#[derive(Debug)]
pub struct Snapshot {
    /// The detection in force.
    pub query: Arc<DetectionQuery>,
    /// Subject id.
    pub subject: String,
    /// The instant of evaluation, microseconds.
    pub as_of: i64,
    /// Every event before this is in the rows.
    pub settled: i64,
    /// Rollups it reads and the registry's tables, by name.
    pub tables: Vec<(String, RecordBatch)>,
    /// By rollup that it reads: its name and since when its rows are kept, microseconds.
    pub kept_since: Vec<(String, i64)>,
    /// The registry in force.
    pub registry: Arc<Registry>,
    /// Whether the subject was ever seen in a rollup of its kind.
    pub is_known: bool,
    /// Whether events after the instant may be in the rows as well.
    pub is_past: bool,
}

/// Copies what `ask` needs. For the pipeline's thread: no query is run.
pub fn take(
    queries: &QuerySet,
    rollups: &Rollups,
    registry: &Arc<Registry>,
    ask: &Ask,
) -> Result<Snapshot, ExplainError> {
    let found = queries.detections.iter().position(|d| d.query.text.id == ask.detection);
    let index = found.ok_or_else(|| no_detection(queries, &ask.detection))?;
    let detection = &queries.detections[index];
    let settled = rollups.settled();
    if settled == START_OF_TIME {
        return Err(ExplainError::TooEarly);
    }
    let grid = detection.query.grid_seconds * 1_000_000;
    let (as_of, view) = match ask.when {
        When::Now => (settled.div_euclid(grid) * grid, View::Settled),
        When::Grid(at) => (at, View::Settled),
        When::Early(at) => (at, View::Everything),
    };
    let kind = &detection.query.subject_kind;
    let number = rollups.subjects(kind).and_then(|subjects| subjects.find(&ask.subject));
    let own: Vec<SubjectId> = number.into_iter().collect();
    let seen = || detect::concerned(queries, index, rollups, own.clone(), view);
    let subjects = (!detection.query.all_subjects).then(seen);
    let tables = tables(queries, rollups, detection, subjects.as_deref(), view, as_of)?;
    Ok(Snapshot {
        query: detection.query.clone(),
        subject: ask.subject.clone(),
        as_of,
        settled,
        tables,
        kept_since: kept_since(queries, detection, settled),
        registry: registry.clone(),
        is_known: number.is_some() || detection.reads_losses,
        is_past: view == View::Settled && as_of < settled.div_euclid(grid) * grid,
    })
}

fn no_detection(queries: &QuerySet, asked: &str) -> ExplainError {
    let ids = || queries.detections.iter().map(|d| d.query.text.id.as_str());
    let hint = nearest(asked, ids()).map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
    let known = ids().collect::<Vec<_>>().join(", ");
    ExplainError::NoDetection { asked: asked.to_owned(), hint, known }
}

fn tables(
    queries: &QuerySet,
    rollups: &Rollups,
    detection: &PlannedDetection,
    subjects: Option<&[SubjectId]>,
    view: View,
    as_of: i64,
) -> Result<Vec<(String, RecordBatch)>, ExplainError> {
    let kind = &detection.query.subject_kind;
    let too_large = |rows: usize| ExplainError::TooLarge {
        detection: detection.query.text.id.clone(),
        rows,
        max: EXPLAIN_INPUT_ROWS_MAX,
    };
    let counts: Vec<usize> = rollups.row_counts().collect();
    let whole = detection.reads.iter().filter(|i| subjects.is_none() || !rollups.is_about(**i, kind));
    let rows = whole.map(|i| counts[*i]).sum();
    if rows > EXPLAIN_INPUT_ROWS_MAX {
        return Err(too_large(rows));
    }
    let mut tables = queries.other_tables();
    let mut rows = rows;
    for index in &detection.reads {
        let batch = rollups.view(*index, kind, subjects, view, as_of)?;
        rows += if subjects.is_some() && rollups.is_about(*index, kind) { batch.num_rows() } else { 0 };
        if rows > EXPLAIN_INPUT_ROWS_MAX {
            return Err(too_large(rows));
        }
        tables.push((table_name(queries, *index), batch));
    }
    Ok(tables)
}

fn table_name(queries: &QuerySet, rollup: usize) -> String {
    queries.rollups[rollup].query.text.table()
}

fn kept_since(queries: &QuerySet, detection: &PlannedDetection, settled: i64) -> Vec<(String, i64)> {
    let kept = |index: &usize| {
        let retention = queries.rollups[*index].query.retention_seconds * 1_000_000;
        (table_name(queries, *index), settled.saturating_sub(retention))
    };
    detection.reads.iter().map(kept).collect()
}

/// Microseconds as an instant.
pub(super) fn instant(micros: i64) -> Timestamp {
    Timestamp::from_microsecond(micros).unwrap_or(Timestamp::MAX)
}

impl Snapshot {
    /// What a reader must know of a subject without a row that no event named.
    pub(super) fn stranger(&self) -> Option<String> {
        let (kind, subject) = (&self.query.subject_kind, &self.subject);
        let note =
            || format!("No event that was read names the {kind} {subject}; is the id right and whole?");
        (!self.is_known).then(note)
    }

    /// What a reader must know of the rows themselves; `is_same`: they still say what they said then.
    pub(super) fn notes(&self, is_same: bool) -> Vec<String> {
        let mut notes = Vec::new();
        if self.is_past {
            let settled = instant(self.settled);
            notes.push(if is_same {
                format!("The state has moved on to {settled}; for that instant it still says the same.")
            } else {
                format!(
                    "The state has moved on to {settled}: rows that grow by day or hour hold what came since."
                )
            });
        }
        let from = self.as_of.saturating_sub(self.query.window_seconds * 1_000_000);
        for (table, since) in self.kept_since.iter().filter(|(_, since)| *since > from) {
            notes.push(format!(
                "Of {table} only rows since {} are kept; the query looked back to {}.",
                instant(*since),
                instant(from)
            ));
        }
        notes
    }
}
