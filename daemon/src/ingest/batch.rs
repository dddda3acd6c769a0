//! Messages as a source hands them on: payload bytes with their positions, and what the source noticed.
//!
//! In: messages, one after the other. Out: a [`RawBatch`], and the checkpoints that it leads to. Nothing here
//! knows where messages come from or looks inside a payload.

use std::collections::BTreeMap;

use xxhash_rust::xxh3::xxh3_64;

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
    /// Every topic that is to be read and of which not every partition is assigned, because the broker does not give
    /// it: if these changed since the last batch.
    pub awaited: Option<Vec<u16>>,
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
            && self.awaited.is_none()
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

    /// Where to go on once this batch is durable: one checkpoint for each partition that advanced, in
    /// partition order. A partition that skipped past its last message has no hash to check.
    pub fn checkpoints(&self) -> Vec<Checkpoint> {
        let mut last: BTreeMap<(u16, i32), Checkpoint> = BTreeMap::new();
        for message in self.messages.iter().rev() {
            let Position { topic, partition, offset } = message.position;
            last.entry((topic, partition)).or_insert_with(|| Checkpoint {
                position: Position { topic, partition, offset: offset + 1 },
                last_payload_hash: Some(payload_hash(self.payload(message))),
                last_timestamp_ms: message.timestamp_ms,
            });
        }
        for position in &self.skipped_to {
            let checkpoint = last.get(&(position.topic, position.partition));
            if checkpoint.is_none_or(|c| c.position.offset < position.offset) {
                let skipped =
                    Checkpoint { position: *position, last_payload_hash: None, last_timestamp_ms: None };
                last.insert((position.topic, position.partition), skipped);
            }
        }
        last.into_values().collect()
    }
}

/// What a checkpoint remembers of the message before it: xxh3-64 of the payload, a tombstone as empty.
pub fn payload_hash(payload: &[u8]) -> u64 {
    xxh3_64(payload)
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
    /// A configured topic cannot be read: it does not exist or the broker forbids it.
    TopicUnreadable {
        /// Which topic.
        topic: u16,
        /// What the broker said and the fix.
        reason: String,
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
            Self::TopicUnreadable { .. } => "topic_unreadable",
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
