//! Messages to one topic, each told of once it is durable at the broker or has failed.
//!
//! In: numbered messages with key and one header. Out: what became of each. Sending never waits: a full queue says so.
//! The producer is idempotent and tries for as long as the broker is away; what fails nevertheless fails for good, and
//! the caller starts over with a new one.

use std::sync::Mutex;
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};

use super::context::Context;
use super::{SourceError, settings};
use crate::config::KafkaConfig;

/// A producer for one topic.
pub struct Outgoing {
    producer: BaseProducer<Deliveries>,
    topic: String,
}

/// What became of one message: its number, and why it failed.
pub type Delivery = (u64, Result<(), String>);

impl Outgoing {
    /// A client for `topic`; nothing is connected yet.
    ///
    /// # Errors
    /// [`SourceError::Settings`] or [`SourceError::File`] where librdkafka refuses `kafka`.
    pub fn open(kafka: &KafkaConfig, topic: &str) -> Result<Self, SourceError> {
        let producer = settings::writing(kafka)?
            .create_with_context(Deliveries::default())
            .map_err(|e| settings::settings(format!("{e}; correct [kafka.properties]")))?;
        Ok(Self { producer, topic: topic.to_owned() })
    }

    /// Queues a message; false where there is no room before [`Outgoing::deliveries`] was called again.
    ///
    /// # Errors
    /// Why the client will never send it.
    pub fn send(&self, number: u64, key: &str, header: (&str, &str), payload: &str) -> Result<bool, String> {
        let headers = OwnedHeaders::new().insert(Header { key: header.0, value: Some(header.1) });
        let record = BaseRecord::with_opaque_to(&self.topic, Box::new(number));
        match self.producer.send(record.key(key).headers(headers).payload(payload)) {
            Ok(()) => Ok(true),
            Err((error, _)) if error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull) => Ok(false),
            Err((error, _)) => Err(error.to_string()),
        }
    }

    /// Serves the client, for at most `wait` while nothing happens; what became of messages since the last call.
    pub fn deliveries(&self, wait: Duration) -> Vec<Delivery> {
        self.producer.poll(wait);
        self.producer.context().take()
    }
}

/// Callbacks only write here; the thread that polls reads. As many entries as the queue has room for.
#[derive(Default)]
struct Deliveries {
    told: Mutex<Vec<Delivery>>,
    logs: Context,
}

impl Deliveries {
    fn take(&self) -> Vec<Delivery> {
        std::mem::take(&mut self.told.lock().expect("no holder of this lock can panic"))
    }
}

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.logs.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.logs.error(error, reason);
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = Box<u64>;

    fn delivery(&self, result: &DeliveryResult<'_>, number: Box<u64>) {
        let outcome = result.as_ref().map(|_| ()).map_err(|(error, _)| error.to_string());
        self.told.lock().expect("no holder of this lock can panic").push((*number, outcome));
    }
}
