//! Where messages come from: Kafka or files, both giving the same [`RawBatch`].
//!
//! In: a broker or a folder. Out: payload bytes with their positions. Nothing here looks inside a payload.

mod batch;
pub mod embedded;
pub mod files;
pub mod kafka;

use std::sync::Arc;

pub use batch::{Checkpoint, Position, RawBatch, RawMessage, Seam, SourceNotice, payload_hash};

/// How a source stands right now, for metrics.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standing {
    /// Messages between the next offset and the end of log, by topic; topics without an answer are absent.
    pub lag: Vec<(u16, i64)>,
    /// Whether partitions are paused for back-pressure.
    pub paused: bool,
    /// Whether the broker answers; false until it has answered once.
    pub broker_up: bool,
}

/// A source of messages. Two implementations: [`kafka::KafkaSource`] and [`files::FileSource`].
pub trait Source: Send {
    /// Next batch; waits at most `wait`. An empty batch means nothing new; `None` means the end of the
    /// input (files only).
    fn next_batch(&mut self, wait: std::time::Duration) -> Result<Option<RawBatch>, SourceError>;

    /// Tells the source what became durable, so that it can show its lag to the broker. NEXT offsets.
    fn committed(&mut self, positions: &[Position]);

    /// How it stands; files have no lag and no broker.
    fn standing(&self) -> Standing {
        Standing::default()
    }

    /// Stops reading and releases the client within `deadline`.
    fn close(self: Box<Self>, deadline: std::time::Duration);
}

/// Why a source cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The input folder or one of its files.
    #[error("{path}: {source}")]
    File {
        /// Which file.
        path: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// No broker answered.
    #[error(
        "no broker answers at {brokers}: {reason}\n  fix: start the broker, or correct `brokers` under [kafka] in the config"
    )]
    Unreachable {
        /// Addresses that were tried.
        brokers: String,
        /// librdkafka's last words about the connection.
        reason: String,
    },
    /// The input folder holds none of the configured topics, or two files for one partition.
    #[error("{path}: {reason}")]
    Folder {
        /// The folder.
        path: String,
        /// What was found, expected, and the fix.
        reason: String,
    },
    /// The client refused its settings: a config error.
    #[error("Kafka client: {reason}")]
    Settings {
        /// librdkafka's words and the fix.
        reason: String,
    },
    /// The reading thread ended unexpectedly.
    #[error("the Kafka thread ended: {reason}")]
    Ended {
        /// Why.
        reason: String,
    },
}

/// Topics by number. Numbers come from the store and never change; new names are added at the end, in
/// name order, so that a fresh replay and a fresh Kafka run number alike.
pub type Topics = Arc<[String]>;
