//! The batch that the reading thread fills: bounded in messages and bytes, handed over after a short linger.
//!
//! In: messages and notices, one by one. Out: when it is time to hand over. Nothing here talks to Kafka.

use std::time::{Duration, Instant};

use crate::ingest::{RawBatch, SourceNotice};
use crate::limits;

/// A batch that is still filled, and since when.
#[derive(Default)]
pub(super) struct OpenBatch {
    pub(super) batch: RawBatch,
    pub(super) since: Option<Instant>,
}

impl OpenBatch {
    /// Something was added: the linger runs from the first time on.
    pub(super) fn touch(&mut self) {
        self.since.get_or_insert_with(Instant::now);
    }

    /// It holds as much as a batch may.
    pub(super) fn full(&self) -> bool {
        self.batch.messages.len() >= limits::BATCH_MESSAGES_MAX
            || self.batch.payloads.len() >= limits::BATCH_BYTES_MAX
    }

    /// Time until it is handed over as it is; none while it is empty.
    pub(super) fn linger_left(&self) -> Option<Duration> {
        let linger = Duration::from_millis(limits::BATCH_LINGER_MS);
        self.since.map(|since| linger.saturating_sub(since.elapsed()))
    }

    /// It is full, or has lingered long enough.
    pub(super) fn ready(&self) -> bool {
        self.full() || self.linger_left().is_some_and(|left| left.is_zero())
    }

    /// Adds what the source noticed.
    pub(super) fn notice(&mut self, notice: SourceNotice) {
        self.batch.notice(notice);
        self.touch();
    }
}
