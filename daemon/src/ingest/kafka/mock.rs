//! librdkafka's mock cluster with one topic, for tests of what a broker answers.
//!
//! In: nothing. Out: the cluster, its address, messages in it.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer};

use crate::config::KafkaConfig;

/// The topic; it has one partition.
pub(super) const TOPIC: &str = "gateway";

/// One broker.
pub(super) struct Mock {
    pub(super) cluster: MockCluster<'static, DefaultProducerContext>,
    pub(super) kafka: KafkaConfig,
    producer: BaseProducer,
}

impl Mock {
    /// An empty topic.
    pub(super) fn start() -> Self {
        let cluster = MockCluster::new(1).expect("a mock cluster");
        cluster.create_topic(TOPIC, 1, 1).expect("a topic");
        let brokers = cluster.bootstrap_servers();
        let producer = ClientConfig::new().set("bootstrap.servers", &brokers).create().expect("a producer");
        Self { cluster, kafka: KafkaConfig { brokers, ..KafkaConfig::default() }, producer }
    }

    /// So many messages more; they are there when it returns.
    pub(super) fn produce(&self, messages: i64) {
        for _ in 0..messages {
            self.producer.send(BaseRecord::<(), str>::to(TOPIC).payload("x").partition(0)).expect("room");
        }
        self.producer.flush(Duration::from_secs(10)).expect("delivered");
    }
}
