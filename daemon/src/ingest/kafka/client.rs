//! The client that reads.
//!
//! In: settings, how many partitions there are. Out: a consumer, queues of single partitions. Made when the number of
//! partitions is known, because they share what is prefetched; another takes its place where it is stuck.

use std::sync::Arc;

use rdkafka::consumer::BaseConsumer;
use rdkafka::consumer::base_consumer::PartitionQueue;

use super::context::Context;
use super::settings;
use crate::config::KafkaConfig;

/// A consumer, as every queue of its partitions holds it.
pub(super) type Consumer = Arc<BaseConsumer<Context>>;

/// The queue of one partition.
pub(super) type Queue = PartitionQueue<Context>;

/// The client, once there is one.
pub(super) struct Client {
    kafka: KafkaConfig,
    consumer: Option<Consumer>,
}

impl Client {
    /// None yet.
    pub(super) fn new(kafka: &KafkaConfig) -> Self {
        Self { kafka: kafka.clone(), consumer: None }
    }

    /// Addresses of its brokers.
    pub(super) fn brokers(&self) -> &str {
        &self.kafka.brokers
    }

    /// The one there is.
    pub(super) fn get(&self) -> Option<Consumer> {
        self.consumer.clone()
    }

    /// The one there is, or one for so many partitions.
    pub(super) fn get_or_make(&mut self, partitions: usize) -> Result<Consumer, String> {
        if let Some(consumer) = &self.consumer {
            return Ok(consumer.clone());
        }
        let consumer = self.make(partitions)?;
        Ok(self.consumer.insert(consumer).clone())
    }

    /// Another one for so many partitions.
    pub(super) fn make(&self, partitions: usize) -> Result<Consumer, String> {
        let consumer: BaseConsumer<Context> = settings::reading(&self.kafka, partitions)
            .map_err(|e| e.to_string())?
            .create_with_context(Context::default())
            .map_err(|e| e.to_string())?;
        Ok(Arc::new(consumer))
    }

    /// Puts another in the place of the one there is, which it gives back.
    pub(super) fn replace(&mut self, consumer: Consumer) -> Option<Consumer> {
        self.consumer.replace(consumer)
    }
}

/// One partition's queue: only there do end-of-log events and errors say which partition they belong to. Split
/// before the partition is assigned, so that nothing arrives elsewhere. It wakes the calling thread.
pub(super) fn queue(consumer: &Consumer, topic: &str, partition: i32) -> Result<Queue, String> {
    let mut queue = consumer
        .split_partition_queue(topic, partition)
        .ok_or("the client gives no queue for a partition")?;
    let reader = std::thread::current();
    queue.set_nonempty_callback(move || reader.unpark());
    Ok(queue)
}

/// Closes a client that no queue holds any more, on a thread of its own: that can block for as long as a broker is
/// silent, and nobody waits for it.
pub(super) fn close(consumer: Option<Consumer>) {
    let closing = std::thread::Builder::new().name("kafka-close".to_owned()).spawn(move || drop(consumer));
    if let Err(error) = closing {
        tracing::warn!(%error, "a Kafka client is closed where it was used");
    }
}
