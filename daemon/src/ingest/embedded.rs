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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::KafkaConfig;
    use crate::ingest::Source;
    use crate::ingest::kafka::KafkaSource;

    #[test]
    fn paced_traffic_beyond_what_the_broker_keeps_arrives_whole() {
        let broker = EmbeddedBroker::start(&[("traffic", 2)]).unwrap();
        let brokers = broker.bootstrap_servers();
        let kafka = KafkaConfig { brokers, group: "g".into(), ..KafkaConfig::default() };
        let mut source = KafkaSource::start(&kafka, vec!["traffic".to_owned()].into(), &[0], vec![]).unwrap();
        let mut producer = broker.producer().unwrap();
        let payload = vec![b'x'; 60_000];
        let (mut sent, mut next) = (0, [0_i64; 2]);
        while next[0] + next[1] < 400 {
            while sent < 400 && producer.send("traffic", sent % 2, Some(7), &payload).unwrap() {
                sent += 1;
            }
            let batch = source.next_batch(Duration::from_millis(100)).unwrap().unwrap();
            assert_eq!(batch.notices, []);
            for message in &batch.messages {
                let position = message.position;
                assert_eq!(position.offset, next[position.partition as usize]);
                assert_eq!((message.timestamp_ms, message.len), (Some(7), payload.len()));
                next[position.partition as usize] += 1;
                producer.consumed("traffic", position.partition, position.offset + 1);
            }
        }
        Box::new(source).close(Duration::from_secs(20));
    }

    #[test]
    fn unread_messages_stay_within_what_the_broker_keeps() {
        let broker = EmbeddedBroker::start(&[("traffic", 1)]).unwrap();
        let mut producer = broker.producer().unwrap();
        let payload = vec![b'x'; limits::EMBEDDED_UNREAD_BYTES_MAX / 4];
        let sent = (0..10).filter(|_| producer.send("traffic", 0, None, &payload).unwrap()).count();
        assert_eq!(sent, 4);
        producer.consumed("traffic", 0, 3);
        assert!(producer.send("traffic", 0, None, &payload).unwrap());
    }
}
