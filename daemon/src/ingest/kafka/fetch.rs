//! Messages that were read before, read once more by their positions.
//!
//! In: positions. Out: the message at each, or that there is none any more. Nothing is committed, and neither a
//! missing message nor a missing topic is an error; a broker that does not answer is.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};

use super::context::Context;
use super::watermarks::{Watermarks, watermarks};
use super::{SourceError, discovery, settings};
use crate::config::KafkaConfig;
use crate::ingest::Position;
use crate::limits;

/// Reads the messages at `wanted`, which are in order, and hands each over, `None` where it is gone: deleted by
/// retention, or its topic or partition is no more. Topic numbers index `topics`.
///
/// # Errors
/// [`SourceError::Settings`] or [`SourceError::File`] where the client refuses `kafka`,
/// [`SourceError::Unreachable`] where no broker answers in time.
pub fn fetch(
    kafka: &KafkaConfig,
    topics: &[String],
    wanted: &[Position],
    mut each: impl FnMut(Position, Option<&[u8]>),
) -> Result<(), SourceError> {
    debug_assert!(wanted.is_sorted());
    let consumer: BaseConsumer<Context> = settings::reading(kafka, 1)?
        .create_with_context(Context::default())
        .map_err(|e| settings::settings(format!("{e}; correct [kafka.properties]")))?;
    for positions in wanted.chunk_by(|a, b| (a.topic, a.partition) == (b.topic, b.partition)) {
        let topic = &topics[usize::from(positions[0].topic)];
        fetch_partition(&consumer, topic, positions, &mut each).map_err(|error| {
            SourceError::Unreachable {
                brokers: kafka.brokers.clone(),
                reason: discovery::words(&consumer, &error),
            }
        })?;
    }
    Ok(())
}

fn fetch_partition(
    consumer: &BaseConsumer<Context>,
    topic: &str,
    positions: &[Position],
    each: &mut impl FnMut(Position, Option<&[u8]>),
) -> Result<(), KafkaError> {
    let partition = positions[0].partition;
    let Watermarks { low, high } = match watermarks(consumer, topic, partition) {
        Ok(log) => log,
        Err(error) if is_missing(&error) => Watermarks { low: 0, high: 0 },
        Err(error) => return Err(error),
    };
    let mut wanted = VecDeque::new();
    for position in positions {
        match (low..high).contains(&position.offset) {
            true => wanted.push_back(*position),
            false => each(*position, None),
        }
    }
    while let Some(next) = wanted.front() {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Offset(next.offset))?;
        consumer.assign(&list)?;
        read_on(consumer, (topic, partition), &mut wanted, each)?;
    }
    consumer.unassign()
}

fn is_missing(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::UnknownTopic
                | RDKafkaErrorCode::UnknownPartition
                | RDKafkaErrorCode::UnknownTopicOrPartition
        )
    )
}

/// Reads from where the partition is assigned until nothing is wanted or what is stands too far ahead to be read to.
fn read_on(
    consumer: &BaseConsumer<Context>,
    (topic, partition): (&str, i32),
    wanted: &mut VecDeque<Position>,
    each: &mut impl FnMut(Position, Option<&[u8]>),
) -> Result<(), KafkaError> {
    let mut deadline = Instant::now() + discovery::answer_time();
    while Instant::now() < deadline {
        // It returns early after an assignment: only the deadline says that nothing comes.
        match consumer.poll(Duration::from_millis(limits::READER_SLEEP_MS)) {
            None => continue,
            Some(Err(KafkaError::PartitionEOF(ended))) if ended != partition => continue,
            Some(Err(KafkaError::PartitionEOF(_))) => {
                wanted.drain(..).for_each(|position| each(position, None));
            }
            Some(Err(error)) => return Err(error),
            Some(Ok(message)) if message.topic() != topic || message.partition() != partition => continue,
            Some(Ok(message)) => {
                while wanted.front().is_some_and(|next| next.offset < message.offset()) {
                    wanted.pop_front().into_iter().for_each(|position| each(position, None));
                }
                if wanted.front().is_some_and(|next| next.offset == message.offset()) {
                    let payload = Some(message.payload().unwrap_or_default());
                    wanted.pop_front().into_iter().for_each(|position| each(position, payload));
                }
                let reach = message.offset() + limits::FETCH_READ_THROUGH_MAX;
                if wanted.front().is_some_and(|next| next.offset > reach) {
                    return Ok(());
                }
            }
        }
        if wanted.is_empty() {
            return Ok(());
        }
        deadline = Instant::now() + discovery::answer_time();
    }
    Err(KafkaError::MessageConsumption(RDKafkaErrorCode::OperationTimedOut))
}
