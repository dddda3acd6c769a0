//! What must hold of a state after whatever was done to its daemon.
//!
//! In: a state folder that nobody has open, what a client heard, what an undisturbed run finds. Out: violations.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use arrow::record_batch::RecordBatch;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};
use shadowprod::config::{Config, KafkaConfig};
use shadowprod::findings::{ChangeKind, Finding, FindingChange};
use shadowprod::ingest::{Checkpoint, kafka};
use shadowprod::store::verify::verify;
use shadowprod::store::{QuarantineQuery, Reader, Store, StoreError, StoredSegment};
use shadowprod_benches::Failure;

use super::incarnation::Incarnation;
use super::stand::{Expected, Stand};
use super::watcher::{Heard, confirmed};

/// Findings, history, counts, checksums, and whether a client saw anything that is not there.
pub fn state(stand: &Stand, dir: &Path, heard: &Heard) -> Result<Vec<String>, Failure> {
    let mut violations = Vec::new();
    let verified = verify(dir)?;
    let damage = verified.parts.iter().flat_map(|part| &part.damage);
    violations.extend(damage.map(|damage| format!("verify: {damage}")));
    let (store, recovered) = Store::open(dir)?;
    let expected = &stand.expected;
    let findings: Vec<&Finding> = recovered.tracked.iter().map(|t| &t.finding).collect();
    violations.extend(unlike(&expected.findings, &findings));
    if findings.len() > expected.findings.len() {
        violations.push(format!("{} findings, expected {}", findings.len(), expected.findings.len()));
    }
    let history: Vec<FindingChange> = store.history()?.into_iter().map(|r| r.change).collect();
    if sorted(&history) != sorted(&expected.history) {
        violations.push(format!(
            "history of {} revisions, expected {}",
            history.len(),
            expected.history.len()
        ));
    }
    violations.extend(rows(stand, &store.segments()?)?);
    let read = messages(&recovered.checkpoints);
    if read != expected.messages {
        violations.push(format!("offsets say {read} messages, sent were {}", expected.messages));
    }
    let rejects: u64 = store.reject_totals()?.into_iter().map(|(_, count)| count).sum();
    if rejects != expected.rejects {
        violations.push(format!("{rejects} rejects counted, expected {}", expected.rejects));
    }
    violations.extend(client(heard, &history));
    Ok(violations)
}

/// Messages before these offsets.
fn messages(checkpoints: &[Checkpoint]) -> i64 {
    checkpoints.iter().map(|c| c.position.offset).sum()
}

/// Messages of which a state knows that they are read.
pub fn messages_read(dir: &Path) -> Result<i64, StoreError> {
    Ok(messages(&Reader::open(dir)?.checkpoints()?))
}

/// Whether a daemon, once it answers, tells all that is expected, and its state in `dir` has read everything.
pub fn has_all(expected: &Expected, daemon: &Incarnation, dir: &Path) -> Result<bool, Failure> {
    let Some(address) = daemon.grpc() else { return Ok(false) };
    Ok(confirmed(&address)?.is_some_and(|findings| findings == expected.findings)
        && messages_read(dir)? == expected.messages)
}

/// Rollups with other rows than the undisturbed run: a row too few or too many may change a finding only later.
fn rows(stand: &Stand, stored: &[StoredSegment]) -> Result<Vec<String>, Failure> {
    let found = stand.rows_of(stored)?;
    let differ = stand.expected.rows.iter().filter(|(rollup, rows)| found.get(*rollup) != Some(rows));
    let say = |(rollup, expected): (&String, &RecordBatch)| {
        let found = found.get(rollup).map_or(0, RecordBatch::num_rows);
        format!("{rollup}: other rows than expected: {found}, of {}", expected.num_rows())
    };
    Ok(differ.map(say).collect())
}

/// Findings that are expected and are not there, or have another body.
pub fn unlike<'a>(expected: impl IntoIterator<Item = &'a Finding>, found: &[&Finding]) -> Vec<String> {
    let judge = |wanted: &Finding| match found.iter().find(|found| found.finding_id == wanted.finding_id) {
        None => Some(format!("lost: {} {}", wanted.detection, wanted.finding_id)),
        Some(found) if *found != wanted => Some(difference(found, wanted)),
        Some(_) => None,
    };
    expected.into_iter().filter_map(judge).collect()
}

/// Which fields of a finding are others than expected.
fn difference(found: &Finding, expected: &Finding) -> String {
    let fields = |finding: &Finding| serde_json::to_value(finding).unwrap_or_default();
    let (found, wanted) = (fields(found), fields(expected));
    let names = wanted.as_object().into_iter().flat_map(|fields| fields.keys());
    let others = names.filter(|name| found[*name] != wanted[*name]);
    let others: Vec<String> =
        others.map(|name| format!("{name} {} for {}", found[name], wanted[name])).collect();
    format!("another body: {} {}: {}", expected.detection, expected.finding_id, others.join(", "))
}

/// As texts, in an order that no partition's speed changes.
fn sorted(history: &[FindingChange]) -> Vec<String> {
    let mut lines: Vec<String> = history.iter().map(|change| format!("{change:?}")).collect();
    lines.sort_unstable();
    lines
}

/// What a client heard is in the history, in its order, without a hole to its end; nothing that it saw is gone.
fn client(heard: &Heard, history: &[FindingChange]) -> Vec<String> {
    let mut violations: Vec<String> =
        heard.refusals.iter().map(|r| format!("a client was refused: {r}")).collect();
    let told: Vec<&FindingChange> = heard.changes.iter().filter(|c| c.kind.is_history()).collect();
    let since = history.len().saturating_sub(told.len());
    if told.len() > history.len() || !history[since..].iter().eq(told.iter().copied()) {
        violations.push(format!(
            "a client heard {} revisions, which are not the last of {} in the history",
            told.len(),
            history.len()
        ));
    }
    if heard.current.is_empty() && told.len() != history.len() {
        violations.push(format!("a client heard {} of {} revisions", told.len(), history.len()));
    }
    let ends = |id: &str| {
        history.iter().any(|c| c.finding.finding_id == id)
            || heard.changes.iter().any(|c| c.kind == ChangeKind::Withdrawn && c.finding.finding_id == id)
    };
    let seen = heard.current.iter().chain(heard.changes.iter().map(|c| &c.finding));
    let gone: BTreeSet<&str> = seen.map(|f| f.finding_id.as_str()).filter(|id| !ends(id)).collect();
    violations.extend(gone.into_iter().map(|id| format!("a client saw {id}, which is gone")));
    violations
}

/// Every reject is at the broker, or waits to be sent.
pub fn dead_letters(stand: &Stand, topic: &str, dir: &Path) -> Result<Vec<String>, Failure> {
    let (store, _) = Store::open(dir)?;
    let reader = store.reader()?;
    let kept = reader.quarantined(&QuarantineQuery::default())?.0;
    let mut there: BTreeSet<String> = keys_of(&stand.brokers, topic)?;
    there.extend(reader.dead_letters(0, usize::MAX >> 1)?.into_iter().map(|(_, letter)| letter.id));
    let missing = kept.iter().filter(|rejected| !there.contains(&rejected.id())).count();
    let mut violations = Vec::new();
    if missing > 0 {
        violations.push(format!("{missing} of {} dead letters never arrived", kept.len()));
    }
    if there.len() as u64 > stand.expected.rejects {
        violations.push(format!("{} dead letters of {} rejects", there.len(), stand.expected.rejects));
    }
    Ok(violations)
}

/// Partitions of which the broker has more than a daemon told it that is durable: where, how far, of how much.
pub fn behind(config: &Path) -> Result<Vec<String>, Failure> {
    let config = Config::load(config)?;
    let topics: Vec<String> = config.sources.iter().map(|source| source.topic.clone()).collect();
    let asking: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &config.kafka.brokers)
        .set("group.id", &config.kafka.group)
        .create()?;
    let patience = Duration::from_secs(5);
    let mut behind = Vec::new();
    for topic in kafka::probe(&config.kafka, &topics, patience)? {
        let mut list = TopicPartitionList::new();
        for log in &topic.partitions {
            list.add_partition(&topic.topic, log.partition);
        }
        let committed = asking.committed_offsets(list, patience)?;
        for log in &topic.partitions {
            let next = committed.find_partition(&topic.topic, log.partition).map(|found| found.offset());
            let next = next.and_then(|next| next.to_raw()).filter(|next| *next >= 0).unwrap_or(log.low);
            if next < log.high {
                behind.push(format!("{}/{} {next} of {}", topic.topic, log.partition, log.high));
            }
        }
    }
    Ok(behind)
}

/// Keys of all messages of a topic with one partition.
fn keys_of(brokers: &str, topic: &str) -> Result<BTreeSet<String>, Failure> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", "faults-judge")
        .set("enable.auto.commit", "false")
        .create()?;
    let kafka = KafkaConfig { brokers: brokers.to_owned(), ..KafkaConfig::default() };
    let asked = kafka::probe(&kafka, &[topic.to_owned()], Duration::from_secs(20))?;
    let end = asked.iter().flat_map(|topic| &topic.partitions).map(|log| log.high).max();
    let end = end.ok_or_else(|| format!("the broker does not know {topic}"))?;
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, 0, Offset::Beginning)?;
    consumer.assign(&list)?;
    let (mut keys, mut next) = (BTreeSet::new(), 0);
    let patience = Instant::now() + Duration::from_secs(60);
    while next < end && Instant::now() < patience {
        let Some(message) = consumer.poll(Duration::from_millis(200)).transpose()? else { continue };
        next = message.offset() + 1;
        keys.extend(message.key().map(|key| String::from_utf8_lossy(key).into_owned()));
    }
    Ok(keys)
}
