//! Which partitions the configured topics have, and where their logs begin and end.
//!
//! In: topic names, questions about single partitions. Out: [`Discovery`] values to the reading thread.
//! Its own thread and client, because every call here blocks for as long as a broker is silent.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::TopicPartitionListElem;
use rdkafka::{Offset, TopicPartitionList};

use super::context::Context;
use super::partition::{Placement, Tail, place, place_in_doubt};
use super::progress::Progress;
use super::slot::Lost;
use super::watermarks::{Watermarks, watermarks};
use super::{Shared, SourceError, Topics, settings};
use crate::config::KafkaConfig;
use crate::ingest::Checkpoint;
use crate::limits;

/// What the reading thread wants to know.
#[derive(Debug)]
pub(super) enum Question {
    /// Look at everything now: the brokers seem gone.
    Look,
    /// Where one partition's log begins and ends.
    Watermarks(u16, i32),
}

/// What was found.
#[derive(Debug)]
pub(super) enum Discovery {
    /// Every configured topic was asked for.
    Looked {
        /// Partitions not known before, or asked for.
        found: Vec<Found>,
        /// Topics that newly cannot be read, and why.
        unreadable: Vec<(u16, String)>,
        /// All topics that cannot be read.
        missing: BTreeSet<u16>,
        /// Topics with a partition that cannot be read yet: it has no leader.
        incomplete: BTreeSet<u16>,
        /// Where the logs of partitions that are read end.
        ends: BTreeMap<(u16, i32), i64>,
        /// Those of them of which nothing arrives although there is more.
        stuck: Vec<(u16, i32)>,
    },
    /// No broker answered.
    Unreachable(String),
}

/// One partition.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found {
    pub(super) topic: u16,
    pub(super) partition: i32,
    pub(super) log: Watermarks,
    /// Looked at after the reading thread asked for it.
    pub(super) asked: bool,
    /// It seems to be another log than the one that ended so.
    pub(super) doubt: Option<Tail>,
}

impl Found {
    /// Where a partition goes on that was read up to `checkpoint`. `None` where this may be older than what was read: then
    /// it must be asked for again, and nothing be read until the answer is there.
    pub(super) fn placement(&self, checkpoint: &Checkpoint, lost: Lost) -> Option<Placement> {
        match (self.doubt, lost) {
            (Some(tail), Lost::No) => Some(place_in_doubt(checkpoint, tail, self.log)),
            (None, Lost::Asked) if self.asked => Some(place(Some(checkpoint), self.log)),
            _ => None,
        }
    }
}

/// Both ends of the line to the discovering thread.
pub(super) struct Line {
    pub(super) questions: SyncSender<Question>,
    pub(super) discoveries: Receiver<Discovery>,
}

/// The thread's state.
pub(super) struct Discoverer {
    client: BaseConsumer<Context>,
    kafka: KafkaConfig,
    /// A partition gave no watermarks: the client may hold on to what it once knew of its topic.
    stale: bool,
    topics: Vec<(u16, String)>,
    known: BTreeSet<(u16, i32)>,
    unreadable: BTreeMap<u16, String>,
    asked: BTreeSet<(u16, i32)>,
    /// As of the last look.
    tails: BTreeMap<(u16, i32), Tail>,
    /// Doubts already raised: the offset that raised them.
    doubted: BTreeMap<(u16, i32), i64>,
    progress: Progress,
    shared: Arc<Shared>,
}

impl Discoverer {
    /// Starts the thread; it ends when `shared` says stop or the reading thread is gone.
    pub(super) fn start(
        kafka: &KafkaConfig,
        topics: &Topics,
        read: &[u16],
        shared: Arc<Shared>,
        done: SyncSender<()>,
    ) -> Result<Line, SourceError> {
        let client = asking_client(kafka)?;
        let topics = read.iter().map(|n| (*n, topics[usize::from(*n)].clone())).collect();
        let (questions, question_receiver) = sync_channel(limits::DISCOVERIES_IN_FLIGHT_MAX);
        let (discovery_sender, discoveries) = sync_channel(limits::DISCOVERIES_IN_FLIGHT_MAX);
        let discoverer = Self {
            client,
            kafka: kafka.clone(),
            stale: false,
            topics,
            known: BTreeSet::new(),
            unreadable: BTreeMap::new(),
            asked: BTreeSet::new(),
            tails: BTreeMap::new(),
            doubted: BTreeMap::new(),
            progress: Progress::default(),
            shared,
        };
        std::thread::Builder::new()
            .name("kafka-discover".to_owned())
            .spawn(move || {
                let _done = done;
                discoverer.run(&question_receiver, &discovery_sender);
            })
            .map_err(|e| SourceError::Ended { reason: format!("cannot start it: {e}") })?;
        Ok(Line { questions, discoveries })
    }

    fn run(mut self, questions: &Receiver<Question>, discoveries: &SyncSender<Discovery>) {
        while !self.shared.stopped() {
            let discovery = self.look();
            let wait = self.wait_after(&discovery);
            if discoveries.send(discovery).is_err() {
                return;
            }
            match questions.recv_timeout(wait) {
                Ok(question) => self.note(question),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            while let Ok(question) = questions.try_recv() {
                self.note(question);
            }
        }
    }

    fn wait_after(&self, discovery: &Discovery) -> Duration {
        let fine = matches!(discovery, Discovery::Looked { .. }) && self.unreadable.is_empty() && !self.stale;
        Duration::from_millis(if fine { limits::METADATA_INTERVAL_MS } else { limits::METADATA_RETRY_MS })
    }

    fn note(&mut self, question: Question) {
        if let Question::Watermarks(topic, partition) = question {
            self.asked.insert((topic, partition));
        }
    }

    fn look(&mut self) -> Discovery {
        if std::mem::take(&mut self.stale)
            && let Ok(client) = asking_client(&self.kafka)
        {
            self.client = client;
        }
        match self.look_at_topics() {
            Ok(discovery) => discovery,
            Err(error) => Discovery::Unreachable(words(&self.client, &error)),
        }
    }

    fn look_at_topics(&mut self) -> Result<Discovery, KafkaError> {
        let mut found = Vec::new();
        let mut unreadable = Vec::new();
        let mut incomplete = BTreeSet::new();
        for (topic, name) in self.topics.clone() {
            match partitions(&self.client, &name)? {
                Ok(partitions) => {
                    self.unreadable.remove(&topic);
                    for partition in partitions {
                        match self.find(topic, &name, partition)? {
                            Some(partition) => found.push(partition),
                            None if self.known.contains(&(topic, partition)) => {}
                            None => drop(incomplete.insert(topic)),
                        }
                    }
                }
                Err(reason) => {
                    // When it comes back it may be another log: all of it is looked at afresh.
                    self.known.retain(|(t, _)| *t != topic);
                    if self.unreadable.insert(topic, reason.clone()).as_ref() != Some(&reason) {
                        unreadable.push((topic, reason));
                    }
                }
            }
        }
        let reading = self.shared.reading();
        for doubted in self.doubts(reading.tails)? {
            let seen = |f: &Found| (f.topic, f.partition) == (doubted.topic, doubted.partition);
            if !found.iter().any(seen) {
                found.push(doubted);
            }
        }
        for partition in &found {
            self.known.insert((partition.topic, partition.partition));
            self.asked.remove(&(partition.topic, partition.partition));
        }
        let missing = self.unreadable.keys().copied().collect();
        let ends = self.ends(reading.waits_at.keys())?;
        let stuck = self.progress.look(&reading.waits_at, &ends, Instant::now());
        Ok(Discovery::Looked { found, unreadable, missing, incomplete, ends, stuck })
    }

    /// Where these logs end; without those of which it is not known right now.
    fn ends<'a>(
        &self,
        partitions: impl Iterator<Item = &'a (u16, i32)>,
    ) -> Result<BTreeMap<(u16, i32), i64>, KafkaError> {
        let answers = self.offsets(partitions.map(|key| (*key, Offset::End)))?;
        let known = answers.iter().flat_map(TopicPartitionList::elements);
        Ok(known
            .filter_map(|answer| match (self.number(answer.topic())?, answer.error(), answer.offset()) {
                (topic, Ok(()), Offset::Offset(high)) => Some(((topic, answer.partition()), high)),
                _ => None,
            })
            .collect())
    }

    /// One question for an offset of each partition, a time as an offset. `None` where there is nothing to ask, or a
    /// partition just went: its topic says so at the next look.
    fn offsets(
        &self,
        partitions: impl Iterator<Item = ((u16, i32), Offset)>,
    ) -> Result<Option<TopicPartitionList>, KafkaError> {
        let mut list = TopicPartitionList::new();
        for ((topic, partition), offset) in partitions.filter(|(key, _)| self.known.contains(key)) {
            if let Some((_, name)) = self.topics.iter().find(|(t, _)| *t == topic) {
                list.add_partition_offset(name, partition, offset)?;
            }
        }
        if list.count() == 0 {
            return Ok(None);
        }
        match self.client.offsets_for_times(list, answer_time()) {
            Err(error) if is_connection(&error) => Err(error),
            Err(_) => Ok(None),
            Ok(answers) => Ok(Some(answers)),
        }
    }

    fn number(&self, topic: &str) -> Option<u16> {
        self.topics.iter().find(|(_, name)| name == topic).map(|(number, _)| *number)
    }

    /// Partitions whose log seems to be another one. Up to the last message of a tail nothing is newer than
    /// its newest; so a log in which something newer stands before that message is another log, or times are
    /// out of order in what was read before this start: the reading thread compares the message itself.
    fn doubts(&mut self, tails: BTreeMap<(u16, i32), Tail>) -> Result<Vec<Found>, KafkaError> {
        let tails = std::mem::replace(&mut self.tails, tails);
        let newer = tails.iter().map(|(key, tail)| (*key, Offset::Offset(tail.newest_ms + 1)));
        let answers = self.offsets(newer)?;
        let mut found = Vec::new();
        for answer in answers.iter().flat_map(TopicPartitionList::elements) {
            found.extend(self.doubt(&tails, &answer)?);
        }
        Ok(found)
    }

    fn doubt(
        &mut self,
        tails: &BTreeMap<(u16, i32), Tail>,
        answer: &TopicPartitionListElem<'_>,
    ) -> Result<Option<Found>, KafkaError> {
        let (Some(topic), Offset::Offset(newer)) = (self.number(answer.topic()), answer.offset()) else {
            return Ok(None);
        };
        let (key, name) = ((topic, answer.partition()), answer.topic().to_owned());
        let Some(tail) = tails.get(&key).filter(|tail| answer.error().is_ok() && newer <= tail.last.offset)
        else {
            return Ok(None);
        };
        if self.doubted.insert(key, newer) == Some(newer) {
            return Ok(None);
        }
        let found = self.watermarks(topic, &name, answer.partition())?;
        Ok(found.map(|found| Found { doubt: Some(*tail), ..found }))
    }

    fn find(&mut self, topic: u16, name: &str, partition: i32) -> Result<Option<Found>, KafkaError> {
        let key = (topic, partition);
        if self.known.contains(&key) && !self.asked.contains(&key) {
            return Ok(None);
        }
        self.watermarks(topic, name, partition)
    }

    fn watermarks(&mut self, topic: u16, name: &str, partition: i32) -> Result<Option<Found>, KafkaError> {
        let asked = self.asked.contains(&(topic, partition));
        match watermarks(&self.client, name, partition) {
            Ok(log) => Ok(Some(Found { topic, partition, log, asked, doubt: None })),
            Err(error) if is_connection(&error) => Err(error),
            // A partition without a leader yet, or one that the client does not know: the next look finds it.
            Err(_) => {
                self.stale = true;
                Ok(None)
            }
        }
    }
}

/// A client for questions only.
pub(super) fn asking_client(kafka: &KafkaConfig) -> Result<BaseConsumer<Context>, SourceError> {
    settings::asking(kafka)?
        .create_with_context(Context::default())
        .map_err(|e| settings::settings(format!("{e}; correct [kafka.properties]")))
}

/// How long one question may take.
pub(super) fn answer_time() -> Duration {
    Duration::from_millis(limits::BROKER_ANSWER_MS)
}

/// Partitions of a topic; inside, why it cannot be read; outside, that no broker answered.
pub(super) fn partitions(
    client: &BaseConsumer<Context>,
    name: &str,
) -> Result<Result<Vec<i32>, String>, KafkaError> {
    serve(client);
    let metadata = client.fetch_metadata(Some(name), answer_time())?;
    let Some(topic) = metadata.topics().iter().find(|t| t.name() == name) else {
        return Ok(Err(missing(name)));
    };
    if let Some(error) = topic.error() {
        return Ok(Err(match RDKafkaErrorCode::from(error) {
            RDKafkaErrorCode::UnknownTopicOrPartition => missing(name),
            RDKafkaErrorCode::TopicAuthorizationFailed => {
                format!("topic {name}: the broker forbids reading it; grant Describe and Read to this client")
            }
            code => format!("topic {name}: {code}"),
        }));
    }
    let all = topic.partitions();
    if all.len() > limits::PARTITIONS_MAX as usize {
        let max = limits::PARTITIONS_MAX;
        return Ok(Err(format!("topic {name} has {} partitions; at most {max} can be read", all.len())));
    }
    Ok(Ok(all.iter().map(rdkafka::metadata::MetadataPartition::id).collect()))
}

/// Serves log and error callbacks. With a wait of nothing, `poll` would return after the first of them.
fn serve(client: &BaseConsumer<Context>) {
    while client.poll(Duration::from_millis(1)).is_some() {}
}

fn missing(name: &str) -> String {
    format!("topic {name} does not exist on this broker; create it, or correct its name in the config")
}

fn is_connection(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::BrokerTransportFailure
                | RDKafkaErrorCode::AllBrokersDown
                | RDKafkaErrorCode::OperationTimedOut
                | RDKafkaErrorCode::Resolve
                | RDKafkaErrorCode::Authentication
                | RDKafkaErrorCode::SSL
        )
    )
}

/// The client's own words about the connection where it has some, else the error.
pub(super) fn words(client: &BaseConsumer<Context>, error: &KafkaError) -> String {
    serve(client);
    client.context().last_words().unwrap_or_else(|| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ingest::{Position, Seam, SourceNotice};

    #[test]
    fn end_of_log_is_believed_only_where_nothing_was_read_since_it_was_asked_for() {
        let position = Position { topic: 0, partition: 0, offset: 20 };
        let seam = Seam { offset: 19, payload_hash: 7, timestamp_ms: None };
        let checkpoint = Checkpoint { position, seam: Some(seam) };
        let found = |asked| Found {
            topic: 0,
            partition: 0,
            log: Watermarks { low: 0, high: 15 },
            asked,
            doubt: None,
        };
        assert_eq!(found(false).placement(&checkpoint, Lost::No), None);
        assert_eq!(found(true).placement(&checkpoint, Lost::No), None);
        assert_eq!(found(true).placement(&checkpoint, Lost::Unasked), None);
        assert_eq!(found(false).placement(&checkpoint, Lost::Asked), None);
        let recreated =
            found(true).placement(&checkpoint, Lost::Asked).and_then(|placement| placement.notice);
        assert_eq!(recreated, Some(SourceNotice::TopicRecreated { position, resumed_at: 0 }));
    }
}
