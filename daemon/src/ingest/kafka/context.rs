//! What librdkafka says outside of messages: logs, connection errors, statistics.
//!
//! In: the client's callbacks. Out: the last words about the connection, newest statistics. Nothing blocks here.

use std::sync::Mutex;

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::statistics::Statistics;

/// Callbacks only write here; the thread that polls reads.
#[derive(Default)]
pub(super) struct Context {
    heard: Mutex<Heard>,
}

#[derive(Default)]
struct Heard {
    last_words: Option<String>,
    all_down: bool,
    statistics: Option<Box<Statistics>>,
}

impl Context {
    /// The client's last words about a connection, if it complained since it was last asked.
    pub(super) fn last_words(&self) -> Option<String> {
        self.lock().last_words.clone()
    }

    /// Whether all brokers went down since the last call.
    pub(super) fn take_all_down(&self) -> bool {
        std::mem::take(&mut self.lock().all_down)
    }

    /// The newest statistics not yet taken.
    pub(super) fn take_statistics(&self) -> Option<Box<Statistics>> {
        self.lock().statistics.take()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Heard> {
        self.heard.lock().expect("no holder of this lock can panic")
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        // Connection failures repeat; the source gives one notice for them, so the log keeps them for debugging.
        match level {
            RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
                tracing::error!(target: "librdkafka", facility, "{message}");
            }
            RDKafkaLogLevel::Error | RDKafkaLogLevel::Warning if facility != "FAIL" => {
                tracing::warn!(target: "librdkafka", facility, "{message}");
            }
            _ => tracing::debug!(target: "librdkafka", facility, "{message}"),
        }
    }

    fn stats(&self, statistics: Statistics) {
        self.lock().statistics = Some(Box::new(statistics));
    }

    fn error(&self, error: KafkaError, reason: &str) {
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::AllBrokersDown) => self.lock().all_down = true,
            // Partition events also pass here; they are handled where their partition is known.
            Some(
                RDKafkaErrorCode::BrokerTransportFailure
                | RDKafkaErrorCode::Resolve
                | RDKafkaErrorCode::SSL
                | RDKafkaErrorCode::Authentication
                | RDKafkaErrorCode::SaslAuthenticationFailed
                | RDKafkaErrorCode::OperationTimedOut,
            ) => self.lock().last_words = Some(reason.to_owned()),
            _ => {}
        }
    }
}

impl ConsumerContext for Context {}
