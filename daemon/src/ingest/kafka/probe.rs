//! One look at brokers and topics for `check --connect`: can this config read, and what is there?
//!
//! In: `[kafka]`, topic names, a deadline. Out: a [`TopicState`] for each topic. No message is read.

use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;

use super::context::Context;
use super::watermarks::{Watermarks, watermarks};
use super::{SourceError, discovery};
use crate::config::KafkaConfig;

/// What a broker says of one topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicState {
    /// Its name.
    pub topic: String,
    /// Its partitions, by number; empty where `problem` says why.
    pub partitions: Vec<PartitionState>,
    /// Why it cannot be read, and the fix.
    pub problem: Option<String>,
}

/// What a broker says of one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartitionState {
    /// Its number.
    pub partition: i32,
    /// First offset that can be read.
    pub low: i64,
    /// Offset after the last message that can be read.
    pub high: i64,
}

/// Asks the brokers for `topics`, for at most `deadline`.
///
/// # Errors
/// [`SourceError::Settings`] or [`SourceError::File`] where the client refuses `kafka`,
/// [`SourceError::Unreachable`] where no broker answers in time.
pub fn probe(
    kafka: &KafkaConfig,
    topics: &[String],
    deadline: Duration,
) -> Result<Vec<TopicState>, SourceError> {
    let client = discovery::asking_client(kafka)?;
    reach(&client, topics.first().map(String::as_str), deadline).map_err(|error| {
        SourceError::Unreachable { brokers: kafka.brokers.clone(), reason: discovery::words(&client, &error) }
    })?;
    topics
        .iter()
        .map(|topic| {
            ask(&client, topic).map_err(|error| SourceError::Unreachable {
                brokers: kafka.brokers.clone(),
                reason: discovery::words(&client, &error),
            })
        })
        .collect()
}

/// Waits for the first answer; a broker that refuses connections is asked again until the deadline.
fn reach(client: &BaseConsumer<Context>, topic: Option<&str>, deadline: Duration) -> Result<(), KafkaError> {
    let end = Instant::now() + deadline;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        match client.fetch_metadata(topic, left.max(Duration::from_millis(1))) {
            Ok(_) => return Ok(()),
            Err(error) if left.is_zero() => return Err(error),
            Err(_) => {}
        }
    }
}

fn ask(client: &BaseConsumer<Context>, topic: &str) -> Result<TopicState, KafkaError> {
    let mut state = TopicState { topic: topic.to_owned(), partitions: Vec::new(), problem: None };
    match discovery::partitions(client, topic)? {
        Err(problem) => state.problem = Some(problem),
        Ok(partitions) => {
            for partition in partitions {
                let Watermarks { low, high } = watermarks(client, topic, partition)?;
                state.partitions.push(PartitionState { partition, low, high });
            }
            state.partitions.sort_by_key(|p| p.partition);
        }
    }
    Ok(state)
}
