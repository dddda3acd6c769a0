//! What survives a crash: findings, their history, rollup segments, quarantine and the NEXT offsets.
//!
//! In: one [`Commit`] a step, written in ONE SQLite transaction. Out: [`Recovered`] at the start and a
//! [`Reader`] for other threads. Nothing leaves the process before its commit is durable, no segment is
//! used whose checksum is wrong, and two daemons never share a folder.

pub mod sqlite;
pub mod segments;
mod checksum;
mod control;
pub mod copy;
mod dead_letters;
mod error;
mod history;
mod migrate;
mod numbers;
mod quarantine;
mod read;
mod recover;
mod retries;
pub mod verify;
mod write;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, TransactionBehavior};

use crate::crash_points::{CrashPoint, CrashPoints};
use crate::findings::{FindingChange, Tracked};
use crate::ingest::{Checkpoint, Position};
use crate::limits;
use crate::losses::Loss;

pub use dead_letters::{DeadLetter, DeadLetters};
pub use error::{StoreAction, StoreError};
pub use history::Revision;
pub use quarantine::{QuarantineQuery, Quarantined, Rejects};
pub use read::{Gap, ListQuery, Page, Reader};
pub use retries::{Retries, Retry};
pub use segments::{NewSegment, StoredSegment};

/// Everything that one step makes durable, all of it or nothing.
#[derive(Debug, Clone, Default)]
pub struct Commit {
    /// NEXT offsets of the partitions that advanced.
    pub checkpoints: Vec<Checkpoint>,
    /// Rollup segments to keep.
    pub segments: Vec<NewSegment>,
    /// Ids of segments that the new ones replace.
    pub dropped_segments: Vec<i64>,
    /// What happened to findings, in order. A withdrawn one is removed.
    pub changes: Vec<FindingChange>,
    /// Findings as they are after the step; every finding named in `changes` but the withdrawn ones.
    pub tracked: Vec<Tracked>,
    /// What was not decoded: counts for the totals, a sample for quarantine.
    pub rejects: Rejects,
    /// Rejects for the dead-letter topic, and which of them the broker has.
    pub dead_letters: DeadLetters,
    /// Losses of evidence that are new or grew.
    pub losses: Vec<Loss>,
    /// Losses of before this event time, microseconds since 1970, are forgotten.
    pub losses_since: i64,
    /// Event time after the step.
    pub clock: ClockState,
    /// Decisions that did not come from the logs.
    pub control: Vec<ControlEvent>,
    /// Registry and queries in force, where they changed.
    pub versions: Option<Versions>,
}

/// What a commit gave out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitOutcome {
    /// Number of the newest change; watchers are woken with it.
    pub change_seq: u64,
    /// Ids of `Commit::segments`, in their order.
    pub segment_ids: Vec<i64>,
    /// Dead letters for which there was no room.
    pub dropped_letters: u64,
}

/// Event time as far as it has come.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClockState {
    /// Everything before it was seen, microseconds since 1970; `0` before the first event.
    pub watermark_micros: i64,
    /// By partition: NEXT offset, newest event time in microseconds, whether it is idle.
    pub partitions: Vec<(Position, i64, bool)>,
    /// Newest event time of all, microseconds; `0` before the first event.
    pub newest_event_micros: i64,
}

/// A decision that did not come from the logs and that a replay must repeat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControlEvent {
    /// Step of the pipeline after which it holds.
    pub at_seq: u64,
    /// `idle`, `registry`, `queries`, ...
    pub kind: String,
    /// JSON.
    pub body: String,
}

/// What was in force when the findings were made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Versions {
    /// SHA-256 of the registry's content, hex.
    pub registry: String,
    /// Id, version and SHA-256 of each query, in id order.
    pub queries: Vec<(String, u32, String)>,
    /// Id of each rollup whose rows do not go back to the first event, in id order, and the event time, microseconds
    /// since 1970, from which on they hold everything.
    pub starts: Vec<(String, i64)>,
}

impl Versions {
    /// Whether a query of this SHA-256 was in force.
    pub fn knows(&self, sha256: &str) -> bool {
        self.queries.iter().any(|(_, _, known)| known == sha256)
    }
}

/// State as of the last commit.
#[derive(Debug, Clone, Default)]
pub struct Recovered {
    /// NEXT offsets.
    pub checkpoints: Vec<Checkpoint>,
    /// Topic names by number.
    pub topics: Vec<String>,
    /// Ids of rollup segments in the order in which they were written; [`Store::segment`] reads one.
    pub segments: Vec<i64>,
    /// All findings, in id order.
    pub tracked: Vec<Tracked>,
    /// Evidence that was lost, oldest first.
    pub losses: Vec<Loss>,
    /// Event time.
    pub clock: ClockState,
    /// What was in force; `None` before the first commit that said so.
    pub versions: Option<Versions>,
    /// Number of the newest change.
    pub change_seq: u64,
}

/// Bounds of what is kept; the product's stand in `limits.rs`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    quarantine: quarantine::SampleBounds,
    dead_letters: usize,
    changes: u64,
    control_rows: usize,
    page_walk_keys: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            quarantine: quarantine::SampleBounds::default(),
            dead_letters: limits::DEAD_LETTERS_WAITING_MAX,
            changes: limits::CHANGES_KEPT_MAX,
            control_rows: limits::CONTROL_ROWS_MAX,
            page_walk_keys: limits::PAGE_WALK_KEYS_MAX,
        }
    }
}

/// The one writer of a state folder.
pub struct Store {
    writer: Arc<Writer>,
}

/// Makes commits durable, on whichever thread. The folder stays locked as long as anybody holds it.
pub struct Writer {
    connection: Shared,
    place: Place,
    bounds: Bounds,
    crash: CrashPoints,
    /// A commit failed: what the database holds is unknown until it is opened again.
    failed: AtomicBool,
    /// Released after the connection, which stands above it.
    _lock: Option<sqlite::FolderLock>,
}

/// A connection that the store and, in memory, its readers take in turns.
pub(crate) type Shared = Arc<Mutex<Connection>>;

enum Place {
    Folder(PathBuf),
    Memory,
}

impl Store {
    /// Opens or creates `<dir>/shadowprod.db` as its only writer and reads everything back.
    pub fn open(dir: &Path) -> Result<(Self, Recovered), StoreError> {
        Self::open_to_crash(dir, CrashPoints::default())
    }

    /// The same, with points at which the process may be made to end.
    pub fn open_to_crash(dir: &Path, crash: CrashPoints) -> Result<(Self, Recovered), StoreError> {
        let lock = sqlite::FolderLock::acquire(dir)?;
        let connection = sqlite::open_writer(dir, &crash)?;
        let recovered = recover::recover(&connection)?;
        crash.pass(CrashPoint::Recovered);
        let writer = Writer::new(connection, Place::Folder(dir.to_owned()), crash, Some(lock));
        Ok((Self { writer: Arc::new(writer) }, recovered))
    }

    /// An empty store that ends with the process: the same code over SQLite's `:memory:`.
    pub fn in_memory() -> Result<(Self, Recovered), StoreError> {
        let connection = sqlite::open_memory()?;
        let recovered = recover::recover(&connection)?;
        let writer = Writer::new(connection, Place::Memory, CrashPoints::default(), None);
        Ok((Self { writer: Arc::new(writer) }, recovered))
    }

    /// Numbers of `names`, in their order. Numbers are for ever; new names get the next ones in name order.
    pub fn register_topics(&mut self, names: &[String]) -> Result<Vec<u16>, StoreError> {
        let mut connection = locked(&self.writer.connection);
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let numbers = write::register_topics(&transaction, names)?;
        control::seal(&transaction)?;
        self.writer.crash.pass(CrashPoint::TopicsNumbered);
        transaction.commit()?;
        Ok(numbers)
    }

    /// Ties the state to a credential key, which `fingerprint` tells from others; to another one once it is tied is an error.
    pub fn bind_credential_key(&mut self, fingerprint: &str) -> Result<(), StoreError> {
        let mut connection = locked(&self.writer.connection);
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        match sqlite::meta_text(&transaction, "credential_key")? {
            Some(known) if known == fingerprint => return Ok(()),
            Some(_) => return Err(StoreError::OtherCredentialKey),
            None => sqlite::set_meta(&transaction, "credential_key", &fingerprint)?,
        }
        control::seal(&transaction)?;
        Ok(transaction.commit()?)
    }

    /// As [`Writer::commit`].
    pub fn commit(&mut self, commit: &Commit) -> Result<CommitOutcome, StoreError> {
        self.writer.commit(commit)
    }

    /// For a thread that commits while this one goes on.
    pub fn writer(&self) -> Arc<Writer> {
        Arc::clone(&self.writer)
    }

    /// All segments, each checked against its checksum, in the order in which they were written.
    pub fn segments(&self) -> Result<Vec<StoredSegment>, StoreError> {
        segments::read(&locked(&self.writer.connection))
    }

    /// A segment by its id, checked against its checksum.
    pub fn segment(&self, id: i64) -> Result<StoredSegment, StoreError> {
        segments::read_one(&locked(&self.writer.connection), id)
    }

    /// Ids of all segments of these rollups, of whichever version.
    pub fn segments_of(&self, rollups: &[String]) -> Result<Vec<i64>, StoreError> {
        Ok(segments::ids_of(&locked(&self.writer.connection), rollups)?)
    }

    /// Topic names by number.
    pub fn topics(&self) -> Result<Vec<String>, StoreError> {
        Ok(recover::topics(&locked(&self.writer.connection))?)
    }

    /// Where to go on reading, by partition.
    pub fn checkpoints(&self) -> Result<Vec<Checkpoint>, StoreError> {
        Ok(recover::checkpoints(&locked(&self.writer.connection))?)
    }

    /// What was in force at the last commit; `None` before the first one that said so.
    pub fn versions(&self) -> Result<Option<Versions>, StoreError> {
        Ok(recover::versions(&locked(&self.writer.connection))?)
    }

    /// Every finding, all episodes, with what its lifecycle remembers.
    pub fn tracked(&self) -> Result<Vec<Tracked>, StoreError> {
        recover::tracked(&locked(&self.writer.connection))
    }

    /// The append-only history of every finding, in the order in which it was written.
    pub fn history(&self) -> Result<Vec<Revision>, StoreError> {
        history::all(&locked(&self.writer.connection))
    }

    /// A reader of what is committed, for another thread.
    pub fn reader(&self) -> Result<Reader, StoreError> {
        match &self.writer.place {
            Place::Folder(dir) => Reader::open(dir),
            Place::Memory => Ok(Reader::sharing(Arc::clone(&self.writer.connection))),
        }
    }

    /// Recomputes the hash chain of all revisions; returns how many there are.
    pub fn verify_chain(&self) -> Result<u64, StoreError> {
        history::verify(&locked(&self.writer.connection))
    }

    /// Rejects by reason since the state was created, in name order.
    pub fn reject_totals(&self) -> Result<Vec<(String, u64)>, StoreError> {
        read::reject_totals(&locked(&self.writer.connection))
    }

    /// Bytes of the database and its write-ahead log.
    pub fn size_bytes(&self) -> Result<u64, StoreError> {
        match &self.writer.place {
            Place::Folder(dir) => sqlite::folder_bytes(dir),
            Place::Memory => sqlite::page_bytes(&locked(&self.writer.connection)),
        }
    }
}

impl Writer {
    fn new(
        connection: Connection,
        place: Place,
        crash: CrashPoints,
        lock: Option<sqlite::FolderLock>,
    ) -> Self {
        Self {
            connection: Arc::new(Mutex::new(connection)),
            place,
            bounds: Bounds::default(),
            crash,
            failed: AtomicBool::new(false),
            _lock: lock,
        }
    }

    /// Makes `commit` durable, in one transaction. After an error the store refuses everything: stop, open
    /// it again and go on from what it then says; a failed fsync must not be tried again in place.
    pub fn commit(&self, commit: &Commit) -> Result<CommitOutcome, StoreError> {
        if self.failed.load(Ordering::Acquire) {
            return Err(StoreError::Stopped);
        }
        let outcome = self.write(commit);
        self.failed.store(outcome.is_err(), Ordering::Release);
        outcome
    }

    fn write(&self, commit: &Commit) -> Result<CommitOutcome, StoreError> {
        let mut connection = locked(&self.connection);
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        self.crash.pass(CrashPoint::CommitBegun);
        let outcome = write::write(&transaction, commit, &self.bounds, &self.crash)?;
        control::seal(&transaction)?;
        self.crash.pass(CrashPoint::Sealed);
        transaction.commit()?;
        self.crash.pass(CrashPoint::Committed);
        if let Place::Folder(dir) = &self.place {
            sqlite::keep_log_short(&connection, dir, &self.crash)?;
        }
        Ok(outcome)
    }
}

/// A panic elsewhere rolled its transaction back, so the connection stays usable.
pub(crate) fn locked(connection: &Mutex<Connection>) -> MutexGuard<'_, Connection> {
    connection.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
