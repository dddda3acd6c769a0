//! A real Apache Kafka broker, and what administrators and producers do to it.
//!
//! In: SHADOWPROD_TEST_KAFKA=host:port and, to end and restart the broker, SHADOWPROD_TEST_KAFKA_CONTROL=
//! "path/to/.ci/kafka DIR". Without the first the suite says that it did not run; with CI=true that is a failure.

use std::process::Command;
use std::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};
use shadowprod::config::KafkaConfig;

/// How long anything may take: generous, because nothing here measures time.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// Tests share the broker; those that stop it have it alone.
static BROKER: RwLock<()> = RwLock::new(());

/// The broker's address and a share of it, or `None` after saying that the test does not run.
pub fn shared() -> Option<(String, RwLockReadGuard<'static, ()>)> {
    let address = address()?;
    Some((address, BROKER.read().unwrap_or_else(|poisoned| poisoned.into_inner())))
}

/// The broker alone, and the command that controls it.
pub fn alone() -> Option<(String, Control, RwLockWriteGuard<'static, ()>)> {
    let address = address()?;
    let Ok(control) = std::env::var("SHADOWPROD_TEST_KAFKA_CONTROL") else {
        assert!(std::env::var("CI").is_err(), "CI=true needs SHADOWPROD_TEST_KAFKA_CONTROL");
        eprintln!("SHADOWPROD_TEST_KAFKA_CONTROL is not set: tests that end the broker DID NOT RUN");
        return None;
    };
    Some((address, Control(control), BROKER.write().unwrap_or_else(|poisoned| poisoned.into_inner())))
}

fn address() -> Option<String> {
    let address = std::env::var("SHADOWPROD_TEST_KAFKA").ok();
    if address.is_none() {
        assert!(std::env::var("CI").is_err(), "CI=true needs SHADOWPROD_TEST_KAFKA=host:port");
        eprintln!("SHADOWPROD_TEST_KAFKA is not set: the broker suite DID NOT RUN");
    }
    address
}

/// `.ci/kafka` and its DIR.
pub struct Control(pub String);

impl Control {
    pub fn run(&self, verb: &str) {
        let (script, dir) = self.0.split_once(' ').expect("SHADOWPROD_TEST_KAFKA_CONTROL is `script DIR`");
        let status = Command::new(script).args([verb, dir]).status().expect("the control script starts");
        assert!(status.success(), "{} {verb} {dir}: {status}", script);
    }
}

/// Waits for a condition; `what` is the fact that did not come true.
pub fn until<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + DEADLINE;
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(Instant::now() < end, "not within {DEADLINE:?}: {what}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

pub fn unique(name: &str) -> String {
    let nanos = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos();
    format!("{name}-{}-{nanos}", std::process::id())
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// What an administrator does.
pub struct Admin(AdminClient<DefaultClientContext>, String);

impl Admin {
    pub fn new(address: &str) -> Self {
        let client = ClientConfig::new().set("bootstrap.servers", address).create().unwrap();
        Self(client, address.to_owned())
    }

    pub fn create(&self, topic: &str, partitions: i32) {
        until("the topic is created", || {
            let new = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
            let made = runtime().block_on(self.0.create_topics([&new], &AdminOptions::new()));
            match made.ok()?.remove(0) {
                // The answer to an earlier attempt was lost.
                Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => Some(()),
                Err(_) => None,
            }
        });
        until("every partition has a leader", || {
            // A new client each time: one that asked too early may hold on to the answer.
            let fresh = Self::new(&self.1);
            (0..partitions).all(|p| fresh.watermarks(topic, p).is_some()).then_some(())
        });
    }

    pub fn delete(&self, topic: &str) {
        runtime().block_on(self.0.delete_topics(&[topic], &AdminOptions::new())).unwrap()[0].clone().unwrap();
        until("the topic is gone", || self.watermarks(topic, 0).is_none().then_some(()));
    }

    pub fn grow(&self, topic: &str, partitions: usize) {
        let new = NewPartitions::new(topic, partitions);
        runtime().block_on(self.0.create_partitions([&new], &AdminOptions::new())).unwrap()[0]
            .clone()
            .unwrap();
        // A new client, because one that knows the topic does not learn of its new partitions for minutes.
        until("the new partition has a leader", || {
            Self::new(&self.1).watermarks(topic, partitions as i32 - 1)
        });
    }

    pub fn delete_before(&self, topic: &str, partition: i32, offset: i64) {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Offset(offset)).unwrap();
        let deleted = runtime().block_on(self.0.delete_records(&list, &AdminOptions::new())).unwrap();
        deleted.elements()[0].error().unwrap();
    }

    pub fn watermarks(&self, topic: &str, partition: i32) -> Option<(i64, i64)> {
        self.0.inner().fetch_watermarks(topic, partition, Duration::from_secs(5)).ok()
    }

    pub fn group_position(&self, group: &str, topic: &str, partition: i32) -> Option<i64> {
        let consumer: BaseConsumer =
            ClientConfig::new().set("bootstrap.servers", &self.1).set("group.id", group).create().unwrap();
        let mut list = TopicPartitionList::new();
        list.add_partition(topic, partition);
        let committed = consumer.committed_offsets(list, Duration::from_secs(10)).ok()?;
        committed.elements()[0].offset().to_raw().filter(|offset| *offset >= 0)
    }
}

pub fn new_producer(address: &str) -> BaseProducer {
    ClientConfig::new()
        .set("bootstrap.servers", address)
        .set("acks", "all")
        .set("compression.type", "lz4")
        .set("enable.idempotence", "true")
        .create()
        .unwrap()
}

/// Sends `payloads` to one partition; returns once the broker has acknowledged all of them.
pub fn produce(
    producer: &BaseProducer,
    topic: &str,
    partition: i32,
    payloads: impl IntoIterator<Item = String>,
) {
    let payloads: Vec<Vec<u8>> = payloads.into_iter().map(String::into_bytes).collect();
    produce_bytes(producer, topic, partition, &payloads);
}

/// The same of messages that may be no text.
pub fn produce_bytes(producer: &BaseProducer, topic: &str, partition: i32, payloads: &[Vec<u8>]) {
    for payload in payloads {
        let mut record = BaseRecord::<(), [u8]>::to(topic).partition(partition).payload(payload.as_slice());
        while let Err((error, back)) = producer.send(record) {
            assert_eq!(error.rdkafka_error_code(), Some(RDKafkaErrorCode::QueueFull), "{error}");
            producer.poll(Duration::from_millis(10));
            record = back;
        }
    }
    producer.flush(DEADLINE).unwrap();
}

pub fn payloads(range: std::ops::Range<i64>) -> impl Iterator<Item = String> {
    range.map(|i| format!("{{\"message\":{i}}}"))
}

pub fn kafka(address: &str) -> KafkaConfig {
    KafkaConfig { brokers: address.to_owned(), group: unique("group"), ..KafkaConfig::default() }
}
