//! What a detection reads, and whether it may.
//!
//! In: the names of the tables that it scans, its front matter. Out: rollups by index, or why it is refused.

use super::{PlanError, PlannedRollup};
use crate::limits::LOSSES_KEPT_SECONDS;
use crate::losses;
use crate::query::DetectionQuery;

/// Which rollups a detection reads.
pub(super) fn reads_of(names: &[String], rollups: &[PlannedRollup]) -> Vec<usize> {
    let named = |r: &PlannedRollup| names.iter().any(|n| *n == r.query.text.table());
    rollups.iter().enumerate().filter(|(_, r)| named(r)).map(|(i, _)| i).collect()
}

/// What is read and is not background; refuses a background that is not read.
pub(super) fn driven_by(
    query: &DetectionQuery,
    reads: &[usize],
    rollups: &[PlannedRollup],
) -> Result<Vec<usize>, PlanError> {
    let id = |index: &usize| &rollups[*index].query.text.id;
    if let Some(unread) = query.background.iter().find(|b| !reads.iter().any(|i| id(i) == *b)) {
        let message =
            format!("front matter names background `{unread}`, a rollup that the query does not read");
        return Err(PlanError::refused(&query.text, message));
    }
    Ok(reads.iter().filter(|i| !query.background.contains(id(i))).copied().collect())
}

/// Refuses a detection that looks back further than its rollups keep.
pub(super) fn check_retention(
    query: &DetectionQuery,
    reads: &[usize],
    rollups: &[PlannedRollup],
) -> Result<(), PlanError> {
    for rollup in reads.iter().map(|i| &rollups[*i].query) {
        let needed = query.window_seconds + rollup.bucket_seconds;
        if rollup.retention_seconds < needed {
            let message = format!(
                "looks back {} s, but rollup `{}` keeps {} s: raise its retention_days to at least {}",
                query.window_seconds,
                rollup.text.id,
                rollup.retention_seconds,
                (needed + 86_399) / 86_400
            );
            return Err(PlanError::refused(&query.text, message));
        }
    }
    Ok(())
}

/// Whether it reads which evidence was lost. A loss is of no subject that rows could make due, and is remembered for
/// LOSSES_KEPT_SECONDS: a detection that expects more is refused.
pub(super) fn reads_losses(query: &DetectionQuery, names: &[String]) -> Result<bool, PlanError> {
    if !names.iter().any(|name| name == losses::TABLE) {
        return Ok(false);
    }
    let refused = |message: String| Err(PlanError::refused(&query.text, message));
    if !query.all_subjects {
        return refused(format!(
            "reads `{}`, which no subject makes due: set all_subjects = true",
            losses::TABLE
        ));
    }
    if query.window_seconds > LOSSES_KEPT_SECONDS {
        let days = LOSSES_KEPT_SECONDS / 86_400;
        return refused(format!(
            "looks back further than the {days} days for which `{}` are kept",
            losses::TABLE
        ));
    }
    Ok(true)
}
