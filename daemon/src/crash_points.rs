//! Named instants at which a daemon can be made to end at once, as SIGKILL ends it: what a start then finds is tried.
//!
//! In: `SHADOWPROD_CRASH_AT=NAME:N`, the Nth time that the point NAME is reached. Out: the process gone. Without the
//! variable nothing ever happens here. `benches/src/faults` goes through all of them.

use std::fmt::{self, Display, Formatter};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The variable of the environment that names a point.
pub const CRASH_AT: &str = "SHADOWPROD_CRASH_AT";

/// An instant around a durable step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CrashPoint {
    /// A new state has its tables, in a transaction that is not committed.
    SchemaCreated,
    /// The state was read back.
    Recovered,
    /// New topics have numbers, not yet committed.
    TopicsNumbered,
    /// A batch came from the source.
    BatchRead,
    /// Its events are decoded.
    BatchDecoded,
    /// They are in the rollups.
    BatchRolledUp,
    /// Rows of a grid point are settled, nothing is evaluated.
    GridPointSettled,
    /// Detections were evaluated as of a grid point.
    GridPointEvaluated,
    /// Findings may have been opened ahead of their grid point.
    LookedEarly,
    /// Stored segments were merged into one that is not stored.
    SegmentsMerged,
    /// The transaction of a commit is open.
    CommitBegun,
    /// It has the offsets.
    OffsetsWritten,
    /// It has the event time.
    ClockWritten,
    /// It has the segments, and lacks those that they replace.
    SegmentsWritten,
    /// It has the findings.
    FindingsWritten,
    /// It has the changes that watchers are told.
    ChangesWritten,
    /// It has the revisions.
    HistoryWritten,
    /// It has the rejects.
    QuarantineWritten,
    /// It has the dead letters.
    DeadLettersWritten,
    /// It has the journal.
    JournalWritten,
    /// It has the versions in force: everything but its checksum.
    VersionsWritten,
    /// It is whole and not committed.
    Sealed,
    /// It is durable, and nobody knows.
    Committed,
    /// The write-ahead log is about to be brought into the database.
    CheckpointBegun,
    /// The broker was told the offsets.
    BrokerTold,
    /// Watchers were told.
    WatchersTold,
    /// The broker has dead letters, and the state does not know.
    DeadLettersDelivered,
}

impl CrashPoint {
    /// All of them, in the order in which a daemon reaches them first.
    pub const ALL: [Self; 27] = [
        Self::SchemaCreated,
        Self::Recovered,
        Self::TopicsNumbered,
        Self::BatchRead,
        Self::BatchDecoded,
        Self::BatchRolledUp,
        Self::GridPointSettled,
        Self::GridPointEvaluated,
        Self::LookedEarly,
        Self::SegmentsMerged,
        Self::CommitBegun,
        Self::OffsetsWritten,
        Self::ClockWritten,
        Self::SegmentsWritten,
        Self::FindingsWritten,
        Self::ChangesWritten,
        Self::HistoryWritten,
        Self::QuarantineWritten,
        Self::DeadLettersWritten,
        Self::JournalWritten,
        Self::VersionsWritten,
        Self::Sealed,
        Self::Committed,
        Self::CheckpointBegun,
        Self::BrokerTold,
        Self::WatchersTold,
        Self::DeadLettersDelivered,
    ];
}

/// Its name, as the variable gives it.
impl Display for CrashPoint {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

/// The variable names no point.
#[derive(Debug, thiserror::Error)]
#[error("{CRASH_AT}={value:?}: expected NAME:N with N from 1 on, and NAME one of {}", names())]
pub struct UnknownCrashPoint {
    value: String,
}

fn names() -> String {
    CrashPoint::ALL.map(|point| point.to_string()).join(", ")
}

/// Where this process ends, if anywhere.
#[derive(Debug, Clone, Default)]
pub struct CrashPoints(Option<Arc<Armed>>);

#[derive(Debug)]
struct Armed {
    point: CrashPoint,
    left: AtomicU64,
}

impl CrashPoints {
    /// As the environment says; without the variable nowhere.
    pub fn from_environment() -> Result<Self, UnknownCrashPoint> {
        let Ok(value) = std::env::var(CRASH_AT) else { return Ok(Self::default()) };
        let armed = Self::parse(&value).ok_or(UnknownCrashPoint { value })?;
        tracing::warn!("{CRASH_AT} is set: this process will end without a word, for a test");
        Ok(armed)
    }

    fn parse(value: &str) -> Option<Self> {
        let (name, count) = value.split_once(':')?;
        let point = CrashPoint::ALL.into_iter().find(|point| point.to_string() == name)?;
        let left = count.parse().ok().filter(|count| *count > 0)?;
        Some(Self(Some(Arc::new(Armed { point, left: AtomicU64::new(left) }))))
    }

    /// Ends the process if it was to end here: nothing is flushed, no destructor runs.
    pub fn pass(&self, point: CrashPoint) {
        if let Some(armed) = &self.0
            && armed.point == point
            && armed.left.fetch_sub(1, Ordering::Relaxed) == 1
        {
            std::process::abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_is_named_with_a_count_and_anything_else_is_refused_by_name() {
        for point in CrashPoint::ALL {
            assert!(CrashPoints::parse(&format!("{point}:3")).is_some(), "{point}");
        }
        for value in ["", "Sealed", "Sealed:", "Sealed:0", "Sealed:-1", "sealed:1", "Nowhere:1"] {
            assert!(CrashPoints::parse(value).is_none(), "{value:?}");
        }
        let message = UnknownCrashPoint { value: "Nowhere:1".to_owned() }.to_string();
        assert!(
            message.contains("\"Nowhere:1\": expected NAME:N") && message.contains("Sealed"),
            "{message}"
        );
    }

    #[test]
    fn a_process_that_is_told_nothing_passes_every_point() {
        CrashPoint::ALL.into_iter().for_each(|point| CrashPoints::default().pass(point));
        let later = CrashPoints::parse("Sealed:2").expect("a point");
        later.pass(CrashPoint::Sealed);
        later.pass(CrashPoint::Committed);
    }
}
