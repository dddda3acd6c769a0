//! The embedded broker of `demo`: librdkafka's in-process mock cluster, and a producer that respects its bounds.
//!
//! In: topics, messages, how far they were consumed. Out: bootstrap servers to read from.
//! Never for throughput, latency or durability: it keeps 5 MiB or 100,000 entries a partition and drops the
//! oldest in silence, and does not wake long polls.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer};

use super::SourceError;
use crate::limits;

/// A broker inside this process, on a loopback port of its own choice. Ends when dropped.
pub struct EmbeddedBroker {
    cluster: MockCluster<'static, DefaultProducerContext>,
}

impl EmbeddedBroker {
    /// Starts it with `topics` (name, partitions).
    ///
    /// # Errors
    /// [`SourceError::Settings`] with librdkafka's words.
    pub fn start(topics: &[(&str, i32)]) -> Result<Self, SourceError> {
        let cluster = MockCluster::new(1).map_err(refused)?;
        for (topic, partitions) in topics {
            cluster.create_topic(topic, *partitions, 1).map_err(refused)?;
        }
        Ok(Self { cluster })
    }

    /// `host:port` for `[kafka] brokers`.
    pub fn bootstrap_servers(&self) -> String {
        self.cluster.bootstrap_servers()
    }

    /// A producer to it. Use one only: offsets are counted here.
    ///
    /// # Errors
    /// [`SourceError::Settings`] with librdkafka's words.
    pub fn producer(&self) -> Result<TrafficProducer, SourceError> {
        let producer = ClientConfig::new()
            .set("bootstrap.servers", self.bootstrap_servers())
            .set("linger.ms", "5")
            .create()
            .map_err(refused)?;
        Ok(TrafficProducer { producer, unread: HashMap::new() })
    }
}

/// Sends messages no faster than they are consumed.
pub struct TrafficProducer {
    producer: BaseProducer,
    unread: HashMap<(String, i32), Unread>,
}

/// Messages of one partition that nobody has consumed yet.
#[derive(Default)]
struct Unread {
    sizes: VecDeque<usize>,
    bytes: usize,
    /// Offset of the first of them.
    first: i64,
}

impl TrafficProducer {
    /// Sends one message with the broker time `timestamp_ms`, or now. False: the partition holds as much unread
    /// as the broker surely keeps; say what was [`consumed`](Self::consumed) and send again.
    ///
    /// # Errors
    /// [`SourceError::Settings`] with librdkafka's words.
    pub fn send(
        &mut self,
        topic: &str,
        partition: i32,
        timestamp_ms: Option<i64>,
        payload: &[u8],
    ) -> Result<bool, SourceError> {
        let unread = self.unread.entry((topic.to_owned(), partition)).or_default();
        let bytes = unread.bytes + payload.len();
        if !unread.sizes.is_empty()
            && (bytes > limits::EMBEDDED_UNREAD_BYTES_MAX
                || unread.sizes.len() >= limits::EMBEDDED_UNREAD_MESSAGES_MAX)
        {
            return Ok(false);
        }
        if !enqueue(&self.producer, topic, partition, timestamp_ms, payload)? {
            return Ok(false);
        }
        unread.sizes.push_back(payload.len());
        unread.bytes = bytes;
        Ok(true)
    }

    /// Everything before `next` in this partition was read.
    pub fn consumed(&mut self, topic: &str, partition: i32, next: i64) {
        let Some(unread) = self.unread.get_mut(&(topic.to_owned(), partition)) else { return };
        while unread.first < next
            && let Some(size) = unread.sizes.pop_front()
        {
            unread.bytes -= size;
            unread.first += 1;
        }
    }

    /// Waits until all that was sent is at the broker.
    ///
    /// # Errors
    /// [`SourceError::Ended`] where that takes longer than `deadline`.
    pub fn flush(&self, deadline: Duration) -> Result<(), SourceError> {
        self.producer.flush(deadline).map_err(|e| SourceError::Ended {
            reason: format!("the embedded broker does not take messages: {e}"),
        })
    }
}

/// False where the producer's queue is full: its callbacks are served, so that a later try succeeds.
fn enqueue(
    producer: &BaseProducer,
    topic: &str,
    partition: i32,
    timestamp_ms: Option<i64>,
    payload: &[u8],
) -> Result<bool, SourceError> {
    let mut record = BaseRecord::<(), [u8]>::to(topic).partition(partition).payload(payload);
    if let Some(timestamp_ms) = timestamp_ms {
        record = record.timestamp(timestamp_ms);
    }
    let sent = producer.send(record);
    producer.poll(Duration::ZERO);
    match sent {
        Ok(()) => Ok(true),
        Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => Ok(false),
        Err((error, _)) => Err(refused(error)),
    }
}

fn refused(error: KafkaError) -> SourceError {
    SourceError::Settings { reason: format!("embedded broker: {error}") }
}
