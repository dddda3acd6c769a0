//! Where one partition's log begins and ends, as its leader says it.
//!
//! In: a client, topic and partition. Out: [`Watermarks`], or why they are not known. Blocks until the broker answers.

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};

use super::context::Context;
use super::discovery;

/// Lowest offset that can be read, and the one after the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Watermarks {
    pub(super) low: i64,
    pub(super) high: i64,
}

/// Asks the leader. Each end is a question of its own: librdkafka's `query_watermark_offsets` asks for both at once, and
/// where one answer is an error and the other, which is none, arrives in the same moment, it takes the end that it knows
/// for both (2.12.1: the second answer overwrites the first one's error). A log that is full would look empty.
///
/// # Errors
/// The broker's error for either end; [`RDKafkaErrorCode::OffsetNotAvailable`] where it names no offset, or an end before
/// the beginning: the log changed in between.
pub(super) fn watermarks(
    client: &BaseConsumer<Context>,
    topic: &str,
    partition: i32,
) -> KafkaResult<Watermarks> {
    let low = offset(client, topic, partition, Offset::Beginning)?;
    let high = offset(client, topic, partition, Offset::End)?;
    if high < low { Err(not_available()) } else { Ok(Watermarks { low, high }) }
}

fn offset(client: &BaseConsumer<Context>, topic: &str, partition: i32, end: Offset) -> KafkaResult<i64> {
    let mut list = TopicPartitionList::new();
    // A request for a time's offset takes the logical ones too: -2 is the earliest, -1 the latest (ListOffsets, KIP-79).
    list.add_partition_offset(topic, partition, end)?;
    let answers = client.offsets_for_times(list, discovery::answer_time())?;
    let answer = answers.find_partition(topic, partition).ok_or_else(not_available)?;
    answer.error()?;
    match answer.offset() {
        Offset::Offset(offset) => Ok(offset),
        _ => Err(not_available()),
    }
}

fn not_available() -> KafkaError {
    KafkaError::MetadataFetch(RDKafkaErrorCode::OffsetNotAvailable)
}

#[cfg(test)]
mod tests {
    use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

    use super::super::mock::{Mock, TOPIC};
    use super::*;

    const MESSAGES: i64 = 5;
    /// So often: which answer comes first, and whether both are there at once, is chance.
    const TIMES: usize = 200;

    fn asked() -> (Mock, BaseConsumer<Context>) {
        let mock = Mock::start();
        mock.produce(MESSAGES);
        let client = discovery::asking_client(&mock.kafka).expect("a client");
        (mock, client)
    }

    #[test]
    fn log_is_known_from_its_beginning_to_its_end() {
        let (_mock, client) = asked();
        assert_eq!(watermarks(&client, TOPIC, 0), Ok(Watermarks { low: 0, high: MESSAGES }));
        let missing = watermarks(&client, TOPIC, 1).expect_err("no such partition");
        assert_eq!(missing.rdkafka_error_code(), Some(RDKafkaErrorCode::UnknownPartition));
    }

    #[test]
    fn full_log_never_looks_empty_where_one_answer_is_an_error() {
        let (Mock { cluster, .. }, client) = asked();
        let errors = [
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR,
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_NETWORK_EXCEPTION,
        ];
        let mut failed = 0;
        for time in 0..TIMES {
            cluster.request_errors(RDKafkaApiKey::ListOffsets, &errors[..1 + time % errors.len()]);
            match watermarks(&client, TOPIC, 0) {
                Ok(log) => assert_eq!(log, Watermarks { low: 0, high: MESSAGES }),
                Err(_) => failed += 1,
            }
            cluster.clear_request_errors(RDKafkaApiKey::ListOffsets);
        }
        assert!(failed > 0, "no error was met");
    }
}
