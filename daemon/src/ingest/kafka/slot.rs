//! One assigned partition and what its queue gives.
//!
//! In: messages, end-of-log events and errors of one partition. Out: rows of the open batch, notices.
//! Nothing here assigns, pauses or commits.

use std::time::Duration;

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message};

use super::client::Queue;
use super::open_batch::OpenBatch;
use super::partition::{Arrival, Partition};
use super::progress::Reached;
use crate::ingest::{RawBatch, Seam, SourceNotice, payload_hash};

/// One assigned partition.
pub(super) struct Slot {
    pub(super) partition: Partition,
    pub(super) queue: Queue,
    /// Its client reads it: not yet where the client is a new one.
    pub(super) assigned: bool,
    /// Where its client asks the broker next.
    pub(super) asks_at: i64,
    /// Its last message in the open batch.
    pub(super) last_message: Option<usize>,
    /// It is not read until it is placed again: an answer that is older than what was read would look like another log.
    pub(super) lost: Lost,
    /// The last error told, so that a repeating one is told once.
    pub(super) told: Option<RDKafkaErrorCode>,
}

/// Whether a partition must be placed again, and whether the watermarks that this needs were asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lost {
    No,
    Unasked,
    Asked,
}

impl Slot {
    /// Whether it is this partition.
    pub(super) fn is(&self, topic: u16, partition: i32) -> bool {
        self.partition.topic == topic && self.partition.partition == partition
    }

    /// How far it is read, and its client is.
    pub(super) fn reached(&self) -> Reached {
        let next = self.partition.next;
        Reached { next, asks_at: self.asks_at.max(next) }
    }

    /// What the seam check needs of its last message in `batch`.
    pub(super) fn remember_last(&mut self, batch: &RawBatch) {
        if let Some(message) = self.last_message.take().map(|i| &batch.messages[i]) {
            let payload_hash = payload_hash(batch.payload(message));
            let offset = message.position.offset;
            self.partition.remember(Seam { offset, payload_hash, timestamp_ms: message.timestamp_ms });
        }
    }
}

/// What one look at a partition's queue gave.
pub(super) enum Polled {
    Nothing,
    Event,
    AnotherLog,
    Fatal(String),
}

/// One event of one partition.
pub(super) fn poll(slot: &mut Slot, open: &mut OpenBatch) -> Polled {
    let Slot { partition, queue, last_message, lost, told, .. } = slot;
    match queue.poll(Duration::ZERO) {
        None => Polled::Nothing,
        Some(Ok(message)) => {
            *told = None;
            if arrive(partition, last_message, open, &message) { Polled::AnotherLog } else { Polled::Event }
        }
        Some(Err(KafkaError::PartitionEOF(_))) => {
            if partition.reach_end() {
                open.touch();
            }
            Polled::Event
        }
        Some(Err(KafkaError::MessageConsumptionFatal(code))) => Polled::Fatal(format!("fatal: {code}")),
        Some(Err(KafkaError::MessageConsumption(RDKafkaErrorCode::AutoOffsetReset))) => {
            *lost = Lost::Unasked;
            Polled::Event
        }
        Some(Err(error)) => {
            let code = error.rdkafka_error_code();
            if code.is_some() && *told != code {
                *told = code;
                let reason =
                    format!("partition {} at offset {}: {error}", partition.partition, partition.next);
                open.notice(SourceNotice::TopicUnreadable { topic: partition.topic, reason });
            }
            Polled::Event
        }
    }
}

/// A message that came outside the partition's own queue; true as for a polled one.
pub(super) fn take(slot: &mut Slot, open: &mut OpenBatch, message: &BorrowedMessage<'_>) -> bool {
    arrive(&mut slot.partition, &mut slot.last_message, open, message)
}

/// True if the message shows that another log stands here.
fn arrive(
    partition: &mut Partition,
    last_message: &mut Option<usize>,
    open: &mut OpenBatch,
    message: &BorrowedMessage<'_>,
) -> bool {
    let payload = message.payload().unwrap_or_default();
    let timestamp_ms = message.timestamp().to_millis();
    let mut position = partition.position();
    position.offset = message.offset();
    match partition.arrive(message.offset(), timestamp_ms, payload) {
        Arrival::New => {
            *last_message = Some(open.batch.messages.len());
            open.batch.push(position, timestamp_ms, payload);
            open.touch();
            false
        }
        Arrival::Known => false,
        Arrival::AnotherLog => true,
    }
}
