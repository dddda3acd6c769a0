//! What benches do at a broker: topics that keep everything, messages that wait for room.
//!
//! In: a broker, a producer. Out: topics, messages under way; whoever sends flushes.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::producer::{BaseProducer, BaseRecord};

use crate::Failure;

/// Creates a topic. rdkafka offers its admin interface to asynchronous callers only.
pub fn create_topic(brokers: &str, topic: &str, partitions: i32) -> Result<(), Failure> {
    let admin: AdminClient<_> = ClientConfig::new().set("bootstrap.servers", brokers).create()?;
    let new = NewTopic::new(topic, partitions, TopicReplication::Fixed(1)).set("retention.ms", "-1");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    for result in runtime.block_on(admin.create_topics([&new], &AdminOptions::new()))? {
        result.map_err(|(topic, code)| format!("cannot create {topic}: {code}"))?;
    }
    Ok(())
}

/// Hands one message to the client; waits while its queue is full.
pub fn send(producer: &BaseProducer, topic: &str, partition: i32, line: &str) -> Result<(), Failure> {
    let mut record = BaseRecord::<(), str>::to(topic).partition(partition).payload(line);
    while let Err((error, back)) = producer.send(record) {
        if error.rdkafka_error_code() != Some(RDKafkaErrorCode::QueueFull) {
            return Err(error.into());
        }
        producer.poll(Duration::from_millis(10));
        record = back;
    }
    producer.poll(Duration::ZERO);
    Ok(())
}
