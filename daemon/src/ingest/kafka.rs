//! Messages from Kafka, from exactly the offsets that the store remembers.
//!
//! In: `[kafka]`, topic numbers, checkpoints. Out: [`RawBatch`]es over a bounded channel, notices about the log.
//! Two threads: one reads, one asks for partitions and watermarks, so that a silent broker stops neither.
//! Offsets are never reset, sought or taken from the broker; a group is used only to display lag.

mod client;
mod context;
mod discovery;
mod fetch;
#[cfg(test)]
mod mock;
mod open_batch;
mod outgoing;
mod partition;
mod probe;
mod progress;
mod reader;
mod settings;
mod slot;
mod turns;
mod watermarks;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::{JoinHandle, Thread};
use std::time::Duration;

pub use self::fetch::fetch;
pub use self::outgoing::{Delivery, Outgoing};
use self::partition::Tail;
pub use self::probe::{PartitionState, TopicState, probe};
use self::progress::Reached;
pub use self::settings::validate;
use super::{Checkpoint, Position, RawBatch, Source, SourceError, Standing, Topics};
use crate::config::KafkaConfig;
use crate::limits;

/// Reads configured topics; see the module.
pub struct KafkaSource {
    batches: Receiver<RawBatch>,
    shared: Arc<Shared>,
    reader: Option<JoinHandle<Result<(), String>>>,
    reader_thread: Thread,
    /// Disconnected once both threads have ended.
    done: Receiver<()>,
}

/// What the threads and the handle share; every lock is held for a copy only.
#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    standing: Mutex<Standing>,
    /// NEXT offsets that are durable and not yet told to the broker.
    durable: Mutex<BTreeMap<(u16, i32), i64>>,
    /// Where the reader stood a moment ago.
    reading: Mutex<Reading>,
}

/// How far each partition is read.
#[derive(Debug, Clone, Default)]
struct Reading {
    /// Where the logs ended for the reader.
    tails: BTreeMap<(u16, i32), Tail>,
    /// How far the partitions are read of which it waits for messages: none while the pipeline is busy.
    waits_at: BTreeMap<(u16, i32), Reached>,
}

impl Shared {
    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    fn change_standing(&self, change: impl FnOnce(&mut Standing)) {
        change(&mut self.standing.lock().expect("no holder of this lock can panic"));
    }

    fn tell_reading(&self, reading: Reading) {
        *self.reading.lock().expect("no holder of this lock can panic") = reading;
    }

    fn reading(&self) -> Reading {
        self.reading.lock().expect("no holder of this lock can panic").clone()
    }

    fn take_durable(&self) -> BTreeMap<(u16, i32), i64> {
        std::mem::take(&mut self.durable.lock().expect("no holder of this lock can panic"))
    }
}

/// Threads of one source, each of which says once that it has ended.
const THREADS: usize = 2;

impl KafkaSource {
    /// Starts reading the topics numbered `read` among `topics` at their checkpoints; a partition without
    /// one starts at its beginning. Returns at once: an unreachable broker is a notice, not an error.
    ///
    /// # Errors
    /// [`SourceError::Settings`] or [`SourceError::File`] where librdkafka refuses `kafka`.
    pub fn start(
        kafka: &KafkaConfig,
        topics: Topics,
        read: &[u16],
        checkpoints: Vec<Checkpoint>,
    ) -> Result<Self, SourceError> {
        let shared = Arc::new(Shared::default());
        let (done_sender, done) = sync_channel(THREADS);
        let (batch_sender, batches) = sync_channel(limits::BATCHES_IN_FLIGHT_MAX);
        let discovery =
            discovery::Discoverer::start(kafka, &topics, read, shared.clone(), done_sender.clone())?;
        let reader = reader::Reader::new(kafka, topics, checkpoints, batch_sender, shared.clone(), discovery);
        let handle = spawn(reader, done_sender)?;
        let reader_thread = handle.thread().clone();
        Ok(Self { batches, shared, reader: Some(handle), reader_thread, done })
    }

    fn ended(&mut self) -> SourceError {
        let reason = match self.reader.take().map(JoinHandle::join) {
            Some(Ok(Ok(()))) => "it was closed".to_owned(),
            Some(Ok(Err(reason))) => reason,
            Some(Err(_)) => "it panicked; the log above says where".to_owned(),
            None => "it ended before".to_owned(),
        };
        SourceError::Ended { reason }
    }
}

fn spawn(
    reader: reader::Reader,
    done: SyncSender<()>,
) -> Result<JoinHandle<Result<(), String>>, SourceError> {
    std::thread::Builder::new()
        .name("kafka-read".to_owned())
        .spawn(move || {
            let _done = done;
            reader.run()
        })
        .map_err(|e| SourceError::Ended { reason: format!("cannot start it: {e}") })
}

impl Source for KafkaSource {
    fn next_batch(&mut self, wait: Duration) -> Result<Option<RawBatch>, SourceError> {
        match self.batches.recv_timeout(wait) {
            Ok(batch) => {
                // There is room again: the reader may be waiting for it.
                self.reader_thread.unpark();
                Ok(Some(batch))
            }
            Err(RecvTimeoutError::Timeout) => Ok(Some(RawBatch::default())),
            Err(RecvTimeoutError::Disconnected) => Err(self.ended()),
        }
    }

    fn committed(&mut self, positions: &[Position]) {
        let mut durable = self.shared.durable.lock().expect("no holder of this lock can panic");
        for position in positions {
            durable.insert((position.topic, position.partition), position.offset);
        }
    }

    fn standing(&self) -> Standing {
        self.shared.standing.lock().expect("no holder of this lock can panic").clone()
    }

    fn close(self: Box<Self>, deadline: Duration) {
        self.shared.stop.store(true, Ordering::Release);
        self.reader_thread.unpark();
        // Leaving the group and closing connections can block for as long as a broker is silent: past the
        // deadline the threads are left to end by themselves.
        if let Err(RecvTimeoutError::Timeout) = self.done.recv_timeout(deadline) {
            tracing::warn!("the Kafka client did not close within {deadline:?}; left behind");
        }
    }
}

impl Drop for KafkaSource {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        self.reader_thread.unpark();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

    use super::mock::{Mock, TOPIC};
    use super::*;
    use crate::ingest::SourceNotice;

    const MESSAGES: i64 = 5;
    const DEADLINE: Duration = Duration::from_secs(60);

    /// Everything until `is_done`.
    fn read_until(source: &mut KafkaSource, read: &mut Vec<RawBatch>, is_done: impl Fn(&[RawBatch]) -> bool) {
        let end = Instant::now() + DEADLINE;
        while !is_done(read) {
            assert!(Instant::now() < end, "not within {DEADLINE:?}: {read:?}");
            read.extend(source.next_batch(Duration::from_millis(100)).expect("it reads"));
        }
    }

    #[test]
    fn log_of_which_nothing_arrives_is_read_by_another_client_and_nothing_twice() {
        let mock = Mock::start();
        mock.produce(MESSAGES);
        let topics: Topics = Arc::from([TOPIC.to_owned()]);
        let mut source = KafkaSource::start(&mock.kafka, topics, &[0], Vec::new()).expect("it starts");
        let mut read = Vec::new();
        let count = |read: &[RawBatch]| read.iter().map(|batch| batch.messages.len()).sum::<usize>() as i64;
        read_until(&mut source, &mut read, |read| count(read) == MESSAGES);
        // As of a broker that does not lead the partition: no error reaches the application.
        let not_leader = [RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION; 1_000];
        mock.cluster.request_errors(RDKafkaApiKey::Fetch, &not_leader);
        mock.produce(MESSAGES);
        let stuck = |notice: &SourceNotice| matches!(notice, SourceNotice::PartitionStuck { position } if position.offset == MESSAGES);
        read_until(&mut source, &mut read, |read| read.iter().any(|batch| batch.notices.iter().any(stuck)));
        mock.cluster.clear_request_errors(RDKafkaApiKey::Fetch);
        read_until(&mut source, &mut read, |read| count(read) >= 2 * MESSAGES);
        read_until(&mut source, &mut read, |read| {
            read.last().is_some_and(|batch| batch.ends.iter().any(|end| end.offset == 2 * MESSAGES))
        });
        let offsets: Vec<i64> =
            read.iter().flat_map(|batch| batch.messages.iter().map(|m| m.position.offset)).collect();
        assert_eq!(offsets, (0..2 * MESSAGES).collect::<Vec<_>>());
        Box::new(source).close(DEADLINE);
    }
}
