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
    /// Where every partition stands that advanced without a message (transaction markers, compaction), the last message
    /// before it included: counts as read.
    pub skipped_to: Vec<Checkpoint>,
    /// What the source noticed and a person should know; each is counted.
    pub notices: Vec<SourceNotice>,
    /// Where a notice says that reading goes on, behind so many of the messages: counts as read up to there, so that the
    /// next start does not notice it again.
    pub resumed_at: Vec<(usize, Position)>,
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

    /// Appends what the source noticed.
    pub fn notice(&mut self, notice: SourceNotice) {
        if let Some(position) = notice.resumed() {
            let is_there = |p: &Position| (p.topic, p.partition) == (position.topic, position.partition);
            self.skipped_to.retain(|skipped| !is_there(&skipped.position));
            self.resumed_at.push((self.messages.len(), position));
        }
        self.notices.push(notice);
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
    /// partition order. Of a log that is read anew nothing is known yet.
    pub fn checkpoints(&self) -> Vec<Checkpoint> {
        // Each with the number of messages up to it.
        let mut last: BTreeMap<(u16, i32), (usize, Checkpoint)> = BTreeMap::new();
        for (index, message) in self.messages.iter().enumerate().rev() {
            let Position { topic, partition, offset } = message.position;
            last.entry((topic, partition)).or_insert_with(|| {
                let payload_hash = payload_hash(self.payload(message));
                let seam = Seam { offset, payload_hash, timestamp_ms: message.timestamp_ms };
                let position = Position { topic, partition, offset: offset + 1 };
                (index + 1, Checkpoint { position, seam: Some(seam) })
            });
        }
        for (count, position) in &self.resumed_at {
            let place = (position.topic, position.partition);
            if last.get(&place).is_none_or(|(before, _)| before <= count) {
                last.insert(place, (*count, Checkpoint { position: *position, seam: None }));
            }
        }
        for skipped in &self.skipped_to {
            let place = (skipped.position.topic, skipped.position.partition);
            if last.get(&place).is_none_or(|(_, c)| c.position.offset < skipped.position.offset) {
                last.insert(place, (self.messages.len(), skipped.clone()));
            }
        }
        last.into_values().map(|(_, checkpoint)| checkpoint).collect()
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
    /// The client gave nothing of a partition that has more, without an error; another takes its place.
    PartitionStuck {
        /// Where it stands.
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
            Self::PartitionStuck { .. } => "partition_stuck",
            Self::BrokerDown { .. } => "broker_down",
            Self::BrokerUp => "broker_up",
        }
    }

    /// Where reading goes on, if elsewhere than where it stopped.
    fn resumed(&self) -> Option<Position> {
        match self {
            Self::RetentionGap { position, resumed_at, .. }
            | Self::TopicRecreated { position, resumed_at } => {
                Some(Position { offset: *resumed_at, ..*position })
            }
            Self::TopicUnreadable { .. }
            | Self::PartitionAdded { .. }
            | Self::PartitionStuck { .. }
            | Self::BrokerDown { .. }
            | Self::BrokerUp => None,
        }
    }
}

/// Where to go on, one partition: what the store remembers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// `offset` is the NEXT offset to read.
    pub position: Position,
    /// The last message before it. What stands between the two is no message: transaction markers, aborted ones, gaps of
    /// compaction. `None` while nothing of this log was read.
    pub seam: Option<Seam>,
}

/// A message that was read: it must still stand where it stood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seam {
    /// Its own offset.
    pub offset: i64,
    /// [`payload_hash`] of it.
    pub payload_hash: u64,
    /// Broker timestamp, ms.
    pub timestamp_ms: Option<i64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: Position = Position { topic: 0, partition: 3, offset: 100 };

    fn at(offset: i64) -> Position {
        Position { offset, ..PLACE }
    }

    /// NEXT offset, and that of the last message before it.
    fn next(batch: &RawBatch) -> Vec<(i64, Option<i64>)> {
        let checkpoints = batch.checkpoints();
        checkpoints.iter().map(|c| (c.position.offset, c.seam.map(|seam| seam.offset))).collect()
    }

    fn skipped(offset: i64) -> Checkpoint {
        Checkpoint { position: at(offset), seam: None }
    }

    #[test]
    fn what_was_noticed_is_not_noticed_again_by_the_next_start() {
        let gap = SourceNotice::RetentionGap { position: PLACE, resumed_at: 120, lost: 20 };
        let recreated = SourceNotice::TopicRecreated { position: PLACE, resumed_at: 0 };
        for (notice, resumed_at) in [(gap, 120), (recreated, 0)] {
            let mut batch = RawBatch::default();
            batch.notice(notice.clone());
            assert_eq!(next(&batch), [(resumed_at, None)], "nothing is left to read");
            batch.push(at(resumed_at), None, b"the first one behind it");
            assert_eq!(next(&batch), [(resumed_at + 1, Some(resumed_at))]);
            let mut batch = RawBatch::default();
            batch.push(at(99), None, b"the last one before it");
            batch.skipped_to.push(skipped(130));
            batch.notice(notice);
            assert_eq!(next(&batch), [(resumed_at, None)]);
            batch.skipped_to.push(skipped(resumed_at + 7));
            assert_eq!(next(&batch), [(resumed_at + 7, None)]);
        }
    }

    #[test]
    fn notice_of_a_broker_moves_no_offset() {
        let mut batch = RawBatch::default();
        batch.push(at(99), None, b"a message");
        batch.notice(SourceNotice::BrokerUp);
        assert_eq!(next(&batch), [(100, Some(99))]);
    }
}
