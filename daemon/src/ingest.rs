//! Where messages come from: Kafka or files, both giving the same [`RawBatch`].
//!
//! In: a broker or a folder. Out: payload bytes with their positions. Nothing here looks inside a payload.

pub mod files;
pub mod kafka;

use std::sync::Arc;

use crate::limits;

/// Place of one message: stable across restarts because topic numbers are kept in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Position {
    /// Index of the topic in the store's topic table.
    pub topic: u16,
    /// Kafka partition; a file's partition is in its name.
    pub partition: i32,
    /// Kafka offset; the line number from 0 in a file.
    pub offset: i64,
}

impl Position {
    /// Ten bits of topic, thirteen of partition, forty of offset: ordered like the tuple, never negative.
    pub fn pack(self) -> i64 {
        debug_assert!(self.topic < limits::TOPICS_MAX && self.partition < limits::PARTITIONS_MAX);
        (i64::from(self.topic) << 53)
            | (i64::from(self.partition) << 40)
            | (self.offset & (limits::OFFSET_MAX - 1))
    }

    /// Inverse of [`Position::pack`].
    pub fn unpack(packed: i64) -> Self {
        Self {
            topic: (packed >> 53) as u16,
            partition: ((packed >> 40) & i64::from(limits::PARTITIONS_MAX - 1)) as i32,
            offset: packed & (limits::OFFSET_MAX - 1),
        }
    }
}

/// One message: where it stood and which bytes of [`RawBatch::payloads`] are its own.
#[derive(Debug, Clone, Copy)]
pub struct RawMessage {
    /// Its place in the log.
    pub position: Position,
    /// Broker's timestamp, ms since 1970; `None` for files.
    pub timestamp_ms: Option<i64>,
    /// First byte in `payloads`.
    pub start: usize,
    /// Bytes; a Kafka tombstone has 0.
    pub len: usize,
}

/// Messages of several topics and partitions, in the order in which they were read; within a partition
/// in offset order.
#[derive(Debug, Default)]
pub struct RawBatch {
    /// All payloads back to back.
    pub payloads: Vec<u8>,
    /// The messages.
    pub messages: Vec<RawMessage>,
    /// Partitions that stood at their end of log when the batch was closed, with the next offset to read.
    /// A partition listed here has no message after that offset yet: it is idle.
    pub ends: Vec<Position>,
    /// Next offset to read of every partition that advanced without a message (transaction markers,
    /// compaction): counts as read.
    pub skipped_to: Vec<Position>,
    /// What the source noticed and a person should know; each is counted.
    pub notices: Vec<SourceNotice>,
    /// Every partition now assigned, if the assignment changed since the last batch.
    pub assigned: Option<Vec<Position>>,
}

impl RawBatch {
    /// Bytes of one message.
    pub fn payload(&self, message: &RawMessage) -> &[u8] {
        &self.payloads[message.start..message.start + message.len]
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
            && self.ends.is_empty()
            && self.skipped_to.is_empty()
            && self.notices.is_empty()
            && self.assigned.is_none()
    }

    /// Appends one message.
    pub fn push(&mut self, position: Position, timestamp_ms: Option<i64>, payload: &[u8]) {
        self.messages.push(RawMessage {
            position,
            timestamp_ms,
            start: self.payloads.len(),
            len: payload.len(),
        });
        self.payloads.extend_from_slice(payload);
    }
}

/// Something about the log itself that must not pass in silence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceNotice {
    /// The stored offset is older than the log's start: messages were deleted by retention.
    RetentionGap {
        /// The stored NEXT offset.
        position: Position,
        /// Where reading goes on.
        resumed_at: i64,
        /// Exact number of messages that nobody will read.
        lost: i64,
    },
    /// The message before the stored offset is not the one that was read: the topic was recreated.
    TopicRecreated {
        /// The stored NEXT offset.
        position: Position,
        /// Where reading goes on.
        resumed_at: i64,
    },
    /// A partition appeared while running.
    PartitionAdded {
        /// Its first offset.
        position: Position,
    },
    /// The broker cannot be reached.
    BrokerDown {
        /// The client's words.
        reason: String,
    },
    /// The broker answers again.
    BrokerUp,
}

impl SourceNotice {
    /// The notice's name: a metric label.
    pub fn name(&self) -> &'static str {
        match self {
            Self::RetentionGap { .. } => "retention_gap",
            Self::TopicRecreated { .. } => "topic_recreated",
            Self::PartitionAdded { .. } => "partition_added",
            Self::BrokerDown { .. } => "broker_down",
            Self::BrokerUp => "broker_up",
        }
    }
}

/// Where to go on, one partition: what the store remembers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// `offset` is the NEXT offset to read.
    pub position: Position,
    /// Of the message before it, for the seam check: xxh3-64 of the payload.
    pub last_payload_hash: Option<u64>,
    /// Broker timestamp of that message, ms.
    pub last_timestamp_ms: Option<i64>,
}

/// A source of messages. Two implementations: [`kafka::KafkaSource`] and [`files::FileSource`].
pub trait Source: Send {
    /// Next batch; waits at most `wait`. An empty batch means nothing new; `None` means the end of the
    /// input (files only).
    fn next_batch(&mut self, wait: std::time::Duration) -> Result<Option<RawBatch>, SourceError>;

    /// Tells the source what became durable, so that it can show its lag to the broker. NEXT offsets.
    fn committed(&mut self, positions: &[Position]);

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
