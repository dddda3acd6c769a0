//! Why the store cannot answer, and what to do about it.
//!
//! In: whatever went wrong. Out: one action for each error, and words that name the place and the fix.

use std::path::PathBuf;

use crate::limits;

/// Why the store cannot answer.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The state folder or one of its files.
    #[error("state folder {}: {source}; it must exist or be creatable, and be writable by this user", path.display())]
    Folder {
        /// Which.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// Another daemon has it.
    #[error(
        "state folder {} is in use by {holder}; give each daemon its own state.path, or stop that process",
        path.display()
    )]
    Locked {
        /// Which.
        path: PathBuf,
        /// The process, as far as it is known.
        holder: String,
    },
    /// Not a database of this program.
    #[error("{}: {found}; expected a database written by shadowprod; point state.path at another folder", path.display())]
    NotOurs {
        /// Which file.
        path: PathBuf,
        /// What it is instead.
        found: String,
    },
    /// Written by another version of this program.
    #[error("{}: schema version {found}, this program reads version {expected}; {fix}", path.display())]
    SchemaVersion {
        /// Which file.
        path: PathBuf,
        /// In the file.
        found: i64,
        /// In this program.
        expected: i64,
        /// What to do.
        fix: &'static str,
    },
    /// SQLite: disk full, fsync failed, damaged page.
    #[error("state database: {0}; stop and start again: state goes back to the last commit")]
    Database(#[from] rusqlite::Error),
    /// A segment is not what was written; it is never used.
    #[error(
        "segment {id} of rollup {rollup} is damaged: checksum {found:016x}, written with {expected:016x}; move \
         the state folder away and start again: state is rebuilt from Kafka"
    )]
    CorruptSegment {
        /// Its id.
        id: i64,
        /// Its rollup.
        rollup: String,
        /// Checksum of the bytes read.
        found: u64,
        /// Checksum stored beside them.
        expected: u64,
    },
    /// A segment that was stored and not dropped is gone.
    #[error(
        "segment {id} is missing; move the state folder away and start again: state is rebuilt from Kafka"
    )]
    NoSegment {
        /// Its id.
        id: i64,
    },
    /// Credentials in this state were hashed under a key that is not the one at hand.
    #[error(
        "credential.key in the state folder is not the key under which this state's credentials are hashed; restore it \
         from where the state comes from, or point state.path at an empty folder to rebuild from Kafka"
    )]
    OtherCredentialKey,
    /// Nothing was ever committed here.
    #[error("state folder {}: no state in it; start the daemon with this config once, or correct state.path", path.display())]
    NoState {
        /// Which.
        path: PathBuf,
    },
    /// A row is not what was written.
    #[error(
        "row {key} of table {table} is damaged: {found}; move the state folder away and start again: state is rebuilt from Kafka"
    )]
    CorruptRow {
        /// Table.
        table: &'static str,
        /// Its key.
        key: String,
        /// What is wrong.
        found: String,
    },
    /// The database's pages do not fit together.
    #[error(
        "the pages of table {table} are damaged: {found}; move the state folder away and start again: state is rebuilt from Kafka"
    )]
    CorruptPages {
        /// Table.
        table: &'static str,
        /// What is wrong, as SQLite says it.
        found: String,
    },
    /// Offsets, event time, versions or topic numbers are not what was written.
    #[error(
        "offsets, times, versions or topic numbers are damaged: checksum {found:016x}, written with {expected:016x}; \
         move the state folder away and start again: state is rebuilt from Kafka"
    )]
    CorruptControl {
        /// Checksum of the rows read.
        found: u64,
        /// Checksum stored beside them.
        expected: u64,
    },
    /// The history was changed after it was written.
    #[error(
        "revision {seq}: {found}; the history was changed after it was written; move the state folder away and start \
         again: state is rebuilt from Kafka, and the folder shows what was changed"
    )]
    BrokenChain {
        /// First revision that does not fit.
        seq: u64,
        /// What is wrong.
        found: String,
    },
    /// Not one of our page tokens, of another question, or older than what is remembered.
    #[error("page token is unknown, belongs to another filter, or is too old; ask for the first page again")]
    BadPageToken,
    /// More than TOPICS_MAX names.
    #[error(
        "{found} topics were ever read with this state, at most {} fit; use a fresh state folder",
        limits::TOPICS_MAX
    )]
    TooManyTopics {
        /// How many there would be.
        found: usize,
    },
    /// An earlier commit failed.
    #[error("an earlier commit failed; start again: state goes back to the last commit")]
    Stopped,
}

/// What to do about a [`StoreError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreAction {
    /// Say it and exit with 2: a person must change the setting or the folder.
    RefuseToStart,
    /// End the process; the next start recovers the last commit. Never retried in place.
    StopAndRecover,
    /// The state is damaged: stop; it can be rebuilt from Kafka in an empty folder.
    Rebuild,
    /// Tell the client; nothing is wrong here.
    RefuseRequest,
}

impl StoreError {
    /// A row does not fit its checksum.
    pub(super) fn differs(table: &'static str, key: String) -> Self {
        Self::CorruptRow { table, key, found: "checksum differs".to_owned() }
    }

    /// The one place that says what each error leads to.
    pub fn action(&self) -> StoreAction {
        match self {
            Self::Folder { .. }
            | Self::Locked { .. }
            | Self::NotOurs { .. }
            | Self::SchemaVersion { .. }
            | Self::OtherCredentialKey
            | Self::TooManyTopics { .. } => StoreAction::RefuseToStart,
            Self::Database(_) | Self::Stopped => StoreAction::StopAndRecover,
            Self::CorruptSegment { .. }
            | Self::NoSegment { .. }
            | Self::CorruptRow { .. }
            | Self::CorruptPages { .. }
            | Self::CorruptControl { .. }
            | Self::BrokenChain { .. } => StoreAction::Rebuild,
            Self::BadPageToken | Self::NoState { .. } => StoreAction::RefuseRequest,
        }
    }
}
