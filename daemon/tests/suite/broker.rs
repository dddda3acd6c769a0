//! Facts about reading from a real Apache Kafka broker.
//!
//! In: the broker of [`crate::kafka`]. Every test has topics of its own; tests that stop the broker run alone.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, Producer};
use shadowprod::config::KafkaConfig;
use shadowprod::ingest::kafka::{KafkaSource, probe};
use shadowprod::ingest::{Checkpoint, Position, RawBatch, Source, SourceError, SourceNotice, Topics};

use crate::kafka::{Admin, DEADLINE, alone, kafka, new_producer, payloads, produce, shared, unique, until};

/// Enough that asking where each begins and ends takes a while.
const PARTITIONS: i32 = 60;

/// Ends another thread's work, also when a test fails.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// A source and everything that it has given.
struct Reading {
    source: KafkaSource,
    read: BTreeMap<(u16, i32), Vec<(i64, String)>>,
    checkpoints: BTreeMap<(u16, i32), Checkpoint>,
    ends: BTreeMap<(u16, i32), i64>,
    notices: Vec<SourceNotice>,
    assigned: Vec<Position>,
    awaited: Vec<u16>,
}

impl Reading {
    fn start(kafka: &KafkaConfig, topics: &[&str], checkpoints: Vec<Checkpoint>) -> Self {
        let names: Topics = topics.iter().map(|t| (*t).to_owned()).collect();
        let read: Vec<u16> = (0..topics.len() as u16).collect();
        Self {
            source: KafkaSource::start(kafka, names, &read, checkpoints.clone()).unwrap(),
            read: BTreeMap::new(),
            checkpoints: checkpoints
                .into_iter()
                .map(|c| ((c.position.topic, c.position.partition), c))
                .collect(),
            ends: BTreeMap::new(),
            notices: Vec::new(),
            assigned: Vec::new(),
            awaited: Vec::new(),
        }
    }

    fn step(&mut self) {
        let batch = self.source.next_batch(Duration::from_millis(50)).unwrap().expect("Kafka has no end");
        self.absorb(&batch);
    }

    fn absorb(&mut self, batch: &RawBatch) {
        for message in &batch.messages {
            let Position { topic, partition, offset } = message.position;
            let text = String::from_utf8(batch.payload(message).to_vec()).unwrap();
            self.read.entry((topic, partition)).or_default().push((offset, text));
        }
        for checkpoint in batch.checkpoints() {
            let position = checkpoint.position;
            self.checkpoints.insert((position.topic, position.partition), checkpoint);
        }
        self.ends = batch.ends.iter().map(|p| ((p.topic, p.partition), p.offset)).collect();
        self.notices.extend(batch.notices.iter().cloned());
        if let Some(assigned) = &batch.assigned {
            self.assigned.clone_from(assigned);
        }
        if let Some(awaited) = &batch.awaited {
            self.awaited.clone_from(awaited);
        }
    }

    fn until(&mut self, what: &str, mut condition: impl FnMut(&Self) -> bool) {
        let end = Instant::now() + DEADLINE;
        while !condition(self) {
            let (count, notices) = (self.count(), &self.notices);
            assert!(Instant::now() < end, "not within {DEADLINE:?}: {what}; {count} read, {notices:?}");
            self.step();
        }
    }

    fn count(&self) -> usize {
        self.read.values().map(Vec::len).sum()
    }

    fn offsets(&self, topic: u16, partition: i32) -> Vec<i64> {
        self.read.get(&(topic, partition)).map(|m| m.iter().map(|(o, _)| *o).collect()).unwrap_or_default()
    }

    /// Ends it as a crash of the daemon does for the source: what was not stored is forgotten.
    fn checkpoints(self) -> Vec<Checkpoint> {
        Box::new(self.source).close(Duration::from_secs(20));
        self.checkpoints.into_values().collect()
    }
}

#[test]
fn acknowledged_write_survives_kill_of_the_broker() {
    let Some((address, control, _alone)) = alone() else { return };
    let admin = Admin::new(&address);
    let topic = unique("survives");
    admin.create(&topic, 1);
    produce(&new_producer(&address), &topic, 0, payloads(0..1_000));
    control.run("kill");
    control.run("restart");
    let mut reading = Reading::start(&kafka(&address), &[&topic], vec![]);
    reading.until("all acknowledged messages are there", |r| r.count() == 1_000);
    assert_eq!(reading.offsets(0, 0), (0..1_000).collect::<Vec<_>>());
}

#[test]
fn several_topics_and_partitions_are_read_in_offset_order_and_their_ends_are_told() {
    let Some((address, _shared)) = shared() else { return };
    let (admin, producer) = (Admin::new(&address), new_producer(&address));
    let topics = [unique("first"), unique("second"), unique("empty")];
    for topic in &topics {
        admin.create(topic, 3);
    }
    for partition in 0..3 {
        produce(&producer, &topics[0], partition, payloads(0..i64::from(partition) * 4_000));
        produce(&producer, &topics[1], partition, payloads(0..100));
    }
    let mut reading = Reading::start(&kafka(&address), &[&topics[0], &topics[1], &topics[2]], vec![]);
    reading.until("every partition is at its end", |r| r.ends.len() == 9 && r.count() == 12_300);
    assert_eq!(reading.assigned.len(), 9);
    for partition in 0..3 {
        let expect = i64::from(partition) * 4_000;
        assert_eq!(reading.offsets(0, partition), (0..expect).collect::<Vec<_>>());
        assert_eq!(reading.offsets(1, partition), (0..100).collect::<Vec<_>>());
        assert_eq!(reading.ends[&(0, partition)], expect);
        assert_eq!(reading.ends[&(2, partition)], 0);
    }
    assert_eq!(reading.notices, []);
    reading.until("no lag is left", |r| {
        let lag = r.source.standing().lag;
        lag.len() == 3 && lag.iter().all(|(_, messages)| *messages == 0)
    });
}

#[test]
fn restart_at_checkpoints_reads_each_message_exactly_once() {
    let Some((address, _shared)) = shared() else { return };
    let (admin, producer) = (Admin::new(&address), new_producer(&address));
    let topic = unique("restart");
    admin.create(&topic, 2);
    let kafka = kafka(&address);
    let mut checkpoints = Vec::new();
    let mut seen: BTreeMap<i32, Vec<i64>> = BTreeMap::new();
    for round in 0..4 {
        for partition in 0..2 {
            produce(&producer, &topic, partition, payloads(round * 5_000..(round + 1) * 5_000));
        }
        let mut reading = Reading::start(&kafka, &[&topic], checkpoints);
        let before: usize = seen.values().map(Vec::len).sum();
        // Not always to the end: the rest belongs to the next start.
        let stop_at = if round == 3 { 40_000 } else { before + 6_000 };
        reading.until("enough is read", |r| before + r.count() >= stop_at);
        assert_eq!(reading.notices, []);
        for partition in 0..2 {
            seen.entry(partition).or_default().extend(reading.offsets(0, partition));
        }
        checkpoints = reading.checkpoints();
    }
    for partition in 0..2 {
        assert_eq!(seen[&partition], (0..20_000).collect::<Vec<_>>());
    }
}

#[test]
fn new_partition_is_noticed_and_read_from_its_beginning() {
    let Some((address, _shared)) = shared() else { return };
    let (admin, producer) = (Admin::new(&address), new_producer(&address));
    let topic = unique("grows");
    admin.create(&topic, 1);
    produce(&producer, &topic, 0, payloads(0..10));
    let mut reading = Reading::start(&kafka(&address), &[&topic], vec![]);
    reading.until("the first partition is read", |r| r.count() == 10);
    admin.grow(&topic, 2);
    produce(&new_producer(&address), &topic, 1, payloads(0..10));
    reading.until("the new partition is read", |r| r.count() == 20);
    assert_eq!(reading.offsets(0, 1), (0..10).collect::<Vec<_>>());
    let added = SourceNotice::PartitionAdded { position: Position { topic: 0, partition: 1, offset: 0 } };
    assert_eq!(reading.notices, [added]);
    assert_eq!(reading.assigned.len(), 2);
    produce(&producer, &topic, 0, payloads(10..20));
    reading.until("the first partition goes on", |r| r.count() == 30);
}

#[test]
fn retention_gap_is_an_exact_count_and_reading_goes_on() {
    let Some((address, _shared)) = shared() else { return };
    let (admin, producer) = (Admin::new(&address), new_producer(&address));
    let topic = unique("gap");
    admin.create(&topic, 1);
    produce(&producer, &topic, 0, payloads(0..100));
    let kafka = kafka(&address);
    let mut reading = Reading::start(&kafka, &[&topic], vec![]);
    reading.until("all is read", |r| r.count() == 100);
    let checkpoints = reading.checkpoints();
    produce(&producer, &topic, 0, payloads(100..200));
    admin.delete_before(&topic, 0, 142);
    let mut reading = Reading::start(&kafka, &[&topic], checkpoints);
    reading.until("the rest is read", |r| r.count() == 58);
    assert_eq!(reading.offsets(0, 0), (142..200).collect::<Vec<_>>());
    let position = Position { topic: 0, partition: 0, offset: 100 };
    assert_eq!(reading.notices, [SourceNotice::RetentionGap { position, resumed_at: 142, lost: 42 }]);
}

#[test]
fn gap_is_counted_once_also_where_nothing_was_read_before_or_is_left_to_read() {
    let Some((address, _shared)) = shared() else { return };
    let (admin, producer) = (Admin::new(&address), new_producer(&address));
    let topic = unique("emptied");
    admin.create(&topic, 1);
    let kafka = kafka(&address);
    let mut reading = Reading::start(&kafka, &[&topic], vec![]);
    reading.until("the empty log is at its end", |r| !r.ends.is_empty());
    let checkpoints = reading.checkpoints();
    produce(&producer, &topic, 0, payloads(0..100));
    admin.delete_before(&topic, 0, 100);
    let mut reading = Reading::start(&kafka, &[&topic], checkpoints);
    reading.until("the emptied log is at its end", |r| !r.ends.is_empty());
    let position = Position { topic: 0, partition: 0, offset: 0 };
    assert_eq!(reading.notices, [SourceNotice::RetentionGap { position, resumed_at: 100, lost: 100 }]);
    let checkpoints = reading.checkpoints();
    let mut reading = Reading::start(&kafka, &[&topic], checkpoints);
    reading.until("it is at its end again", |r| !r.ends.is_empty());
    assert_eq!(reading.notices, [], "it was noticed before");
}

#[test]
fn retention_that_overtakes_a_stalled_reader_is_an_exact_count() {
    let Some((address, _shared)) = shared() else { return };
    let (admin, producer) = (Admin::new(&address), new_producer(&address));
    let topic = unique("overtaken");
    admin.create(&topic, 1);
    let mut reading = Reading::start(&kafka(&address), &[&topic], vec![]);
    reading.until("the empty log is at its end", |r| !r.ends.is_empty());
    // More than hand-over and prefetch hold, so that the reader is behind when its log is cut.
    let filler = "x".repeat(60_000);
    produce(&producer, &topic, 0, (0..2_500).map(|i| format!("{i} {filler}")));
    until("the reader is paused", || reading.source.standing().paused.then_some(()));
    admin.delete_before(&topic, 0, 2_400);
    reading.until("the last message is read", |r| r.offsets(0, 0).last() == Some(&2_499));
    let offsets = reading.offsets(0, 0);
    let lost = 2_500 - offsets.len() as i64;
    let next = 2_400 - lost;
    let position = Position { topic: 0, partition: 0, offset: next };
    assert_eq!(reading.notices, [SourceNotice::RetentionGap { position, resumed_at: 2_400, lost }]);
    assert!(lost > 0, "the log was cut behind the reader");
    assert_eq!(offsets, (0..next).chain(2_400..2_500).collect::<Vec<_>>());
}

#[test]
fn recreated_topic_is_noticed_and_read_from_its_beginning() {
    let Some((address, _shared)) = shared() else { return };
    let (admin, producer) = (Admin::new(&address), new_producer(&address));
    // Shorter, as long, and longer than what was read before.
    for messages in [40, 100, 300] {
        let topic = unique("recreated");
        admin.create(&topic, 1);
        produce(&producer, &topic, 0, payloads(0..100));
        let kafka = kafka(&address);
        let mut reading = Reading::start(&kafka, &[&topic], vec![]);
        reading.until("all is read", |r| r.count() == 100);
        let checkpoints = reading.checkpoints();
        admin.delete(&topic);
        admin.create(&topic, 1);
        produce(&producer, &topic, 0, payloads(1_000..1_000 + messages));
        let mut reading = Reading::start(&kafka, &[&topic], checkpoints);
        reading.until("the new log is read", |r| r.count() == messages as usize);
        assert_eq!(reading.offsets(0, 0), (0..messages).collect::<Vec<_>>());
        let position = Position { topic: 0, partition: 0, offset: 100 };
        assert_eq!(reading.notices, [SourceNotice::TopicRecreated { position, resumed_at: 0 }]);
    }
}

#[test]
fn topic_recreated_under_a_running_reader_is_noticed() {
    let Some((address, _shared)) = shared() else { return };
    let (admin, first) = (Admin::new(&address), new_producer(&address));
    for messages in [40, 300] {
        let topic = unique("replaced");
        admin.create(&topic, 1);
        produce(&first, &topic, 0, payloads(0..100));
        let mut reading = Reading::start(&kafka(&address), &[&topic], vec![]);
        reading.until("all is read", |r| r.count() == 100 && !r.ends.is_empty());
        admin.delete(&topic);
        admin.create(&topic, 1);
        produce(&new_producer(&address), &topic, 0, payloads(1_000..1_000 + messages));
        // What of the new log was taken for the old one before the difference was seen is read again.
        reading.until("the new log is read from its beginning", |r| {
            r.offsets(0, 0).ends_with(&(0..messages).collect::<Vec<_>>())
        });
        let recreated = |n: &SourceNotice| matches!(n, SourceNotice::TopicRecreated { resumed_at: 0, .. });
        assert_eq!(reading.notices.iter().filter(|n| recreated(n)).count(), 1, "{:?}", reading.notices);
    }
}

#[test]
fn reading_goes_on_after_kill_and_restart_of_the_broker_and_both_are_told() {
    let Some((address, control, _alone)) = alone() else { return };
    let admin = Admin::new(&address);
    let topic = unique("outage");
    admin.create(&topic, 2);
    produce(&new_producer(&address), &topic, 0, payloads(0..1_000));
    let mut reading = Reading::start(&kafka(&address), &[&topic], vec![]);
    reading.until("all is read", |r| r.count() == 1_000);
    control.run("kill");
    reading.until("the loss is told", |r| {
        r.notices.iter().any(|n| matches!(n, SourceNotice::BrokerDown { .. }))
            && !r.source.standing().broker_up
    });
    assert!(reading.ends.is_empty(), "nobody knows whether the logs go on");
    control.run("restart");
    reading.until("the return is told", |r| r.notices.contains(&SourceNotice::BrokerUp));
    reading.until("the ends are told again", |r| r.ends.len() == 2);
    let producer = new_producer(&address);
    produce(&producer, &topic, 0, payloads(1_000..2_000));
    produce(&producer, &topic, 1, payloads(0..500));
    reading.until("reading goes on", |r| r.count() == 2_500);
    assert_eq!(reading.offsets(0, 0), (0..2_000).collect::<Vec<_>>());
    assert_eq!(reading.notices.len(), 2, "{:?}", reading.notices);
    let SourceNotice::BrokerDown { reason } = &reading.notices[0] else {
        panic!("first the loss: {:?}", reading.notices)
    };
    assert!(reason.contains(&address), "the address is named: {reason}");
}

/// Where a log ends is asked partition after partition while it grows: an answer is older than what was read since.
#[test]
fn log_that_is_written_to_while_the_broker_comes_back_is_not_read_twice() {
    let Some((address, control, _alone)) = alone() else { return };
    let topic = unique("written");
    Admin::new(&address).create(&topic, PARTITIONS);
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writing = scope.spawn(|| {
            let producer = new_producer(&address);
            let mut written = 0;
            while !is_over.load(Ordering::Acquire) {
                produce(&producer, &topic, 0, payloads(written..written + 100));
                written += 100;
            }
            written
        });
        let end = End(&is_over);
        let mut reading = Reading::start(&kafka(&address), &[&topic], vec![]);
        reading.until("reading begins", |r| r.count() > 1_000);
        for outage in 1..=2 {
            // Connections outlive it: messages come at once, before anybody has asked where the logs end.
            control.run("pause");
            reading.until("the loss is told", |r| !r.source.standing().broker_up);
            control.run("resume");
            let is_up = |r: &Reading| r.notices.iter().filter(|n| **n == SourceNotice::BrokerUp).count();
            reading.until("the return is told", |r| is_up(r) == outage);
            reading.until("other logs' ends are told again", |r| r.ends.len() + 1 >= PARTITIONS as usize);
        }
        drop(end);
        let written = writing.join().unwrap();
        reading.until("all is read", |r| r.count() as i64 >= written && r.ends.len() == PARTITIONS as usize);
        assert_eq!(reading.notices.len(), 4, "{:?}", reading.notices);
        assert_eq!(reading.offsets(0, 0), (0..written).collect::<Vec<_>>());
    });
}

#[test]
fn stalled_pipeline_pauses_the_reader_and_nothing_is_lost_or_doubled() {
    let Some((address, _shared)) = shared() else { return };
    let (admin, producer) = (Admin::new(&address), new_producer(&address));
    let topics = [unique("stalled"), unique("beside")];
    for topic in &topics {
        admin.create(topic, 2);
        for partition in 0..2 {
            produce(&producer, topic, partition, payloads(0..50_000));
        }
    }
    let empty = unique("empty");
    admin.create(&empty, 1);
    let mut reading = Reading::start(&kafka(&address), &[&topics[0], &topics[1], &empty], vec![]);
    for _ in 0..3 {
        until("the reader is paused", || reading.source.standing().paused.then_some(()));
        let before = reading.count();
        reading.until("a few more batches are read", |r| r.count() > before + 30_000 || r.count() == 200_000);
    }
    reading.until("everything is read", |r| r.count() == 200_000);
    for (topic, partition) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        assert_eq!(reading.offsets(topic, partition), (0..50_000).collect::<Vec<_>>());
    }
    assert!(!reading.source.standing().paused);
    reading.until("every log is at its end again", |r| r.ends.len() == 5);
}

#[test]
fn broker_is_told_what_is_durable_and_nothing_else() {
    let Some((address, _shared)) = shared() else { return };
    let (admin, producer) = (Admin::new(&address), new_producer(&address));
    let topic = unique("told");
    admin.create(&topic, 1);
    produce(&producer, &topic, 0, payloads(0..100));
    let kafka = kafka(&address);
    let mut reading = Reading::start(&kafka, &[&topic], vec![]);
    reading.until("all is read", |r| r.count() == 100);
    assert_eq!(admin.group_position(&kafka.group, &topic, 0), None);
    reading.source.committed(&[Position { topic: 0, partition: 0, offset: 70 }]);
    until("the broker shows it", || {
        (admin.group_position(&kafka.group, &topic, 0) == Some(70)).then_some(())
    });
}

#[test]
fn aborted_transactions_are_not_read_and_markers_count_as_read() {
    let Some((address, _shared)) = shared() else { return };
    let admin = Admin::new(&address);
    let topic = unique("transactions");
    admin.create(&topic, 1);
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", &address)
        .set("transactional.id", unique("writer"))
        .create()
        .unwrap();
    producer.init_transactions(DEADLINE).unwrap();
    for (abort, range) in [(false, 0..10), (true, 10..20), (false, 20..30)] {
        producer.begin_transaction().unwrap();
        produce(&producer, &topic, 0, payloads(range));
        if abort {
            producer.abort_transaction(DEADLINE).unwrap();
        } else {
            producer.commit_transaction(DEADLINE).unwrap();
        }
    }
    let kafka = kafka(&address);
    let mut reading = Reading::start(&kafka, &[&topic], vec![]);
    // 30 messages and three markers.
    reading.until("reading stands behind the last marker", |r| r.ends.get(&(0, 0)) == Some(&33));
    assert_eq!(reading.offsets(0, 0), (0..10).chain(22..32).collect::<Vec<_>>());
    let checkpoints = reading.checkpoints();
    assert_eq!(checkpoints[0].position.offset, 33);
    assert_eq!(checkpoints[0].seam.map(|seam| seam.offset), Some(31));
    let mut reading = Reading::start(&kafka, &[&topic], checkpoints.clone());
    reading.until("the end is reached", |r| !r.ends.is_empty());
    assert_eq!((reading.count(), reading.notices.len()), (0, 0));
    // Before the markers stands the message by which the log is known again: also this is another one.
    admin.delete(&topic);
    admin.create(&topic, 1);
    produce(&new_producer(&address), &topic, 0, payloads(1_000..1_040));
    let position = checkpoints[0].position;
    let mut reading = Reading::start(&kafka, &[&topic], checkpoints);
    reading.until("the new log is read", |r| r.count() == 40);
    assert_eq!(reading.notices, [SourceNotice::TopicRecreated { position, resumed_at: 0 }]);
}

#[test]
fn topic_that_does_not_exist_is_told_and_read_once_it_does() {
    let Some((address, _shared)) = shared() else { return };
    let (admin, producer) = (Admin::new(&address), new_producer(&address));
    let topics = [unique("there"), unique("not-yet")];
    admin.create(&topics[0], 1);
    produce(&producer, &topics[0], 0, payloads(0..10));
    let mut reading = Reading::start(&kafka(&address), &[&topics[0], &topics[1]], vec![]);
    reading.until("the other topic is read", |r| r.count() == 10);
    assert_eq!(reading.awaited, [1]);
    let told = |n: &SourceNotice| matches!(n, SourceNotice::TopicUnreadable { topic: 1, reason } if reason.contains("does not exist"));
    assert_eq!(reading.notices.iter().filter(|n| told(n)).count(), 1, "{:?}", reading.notices);
    admin.create(&topics[1], 1);
    produce(&producer, &topics[1], 0, payloads(0..5));
    reading.until("the new topic is read", |r| r.count() == 15);
    assert!(reading.awaited.is_empty() && reading.assigned.len() == 2);
}

#[test]
fn probe_says_what_is_there_and_what_is_missing() {
    let Some((address, _shared)) = shared() else { return };
    let (admin, producer) = (Admin::new(&address), new_producer(&address));
    let topics = [unique("probed"), unique("absent")];
    admin.create(&topics[0], 2);
    produce(&producer, &topics[0], 1, payloads(0..7));
    let states = probe(&kafka(&address), &topics, DEADLINE).unwrap();
    assert_eq!(states[0].problem, None);
    let highs: Vec<i64> = states[0].partitions.iter().map(|p| p.high).collect();
    assert_eq!(highs, [0, 7]);
    assert!(states[1].problem.as_ref().unwrap().contains(&topics[1]));
}

#[test]
fn tls_and_sasl_work_and_a_wrong_password_is_said() {
    let Some((address, _shared)) = shared() else { return };
    let Ok(control) = std::env::var("SHADOWPROD_TEST_KAFKA_CONTROL") else { return };
    let dir = control.split_once(' ').unwrap().1.to_owned();
    let (host, port) = address.rsplit_once(':').unwrap();
    let (admin, producer) = (Admin::new(&address), new_producer(&address));
    let topic = unique("secured");
    admin.create(&topic, 1);
    produce(&producer, &topic, 0, payloads(0..10));
    let mut secured = kafka(&format!("{host}:{}", port.parse::<u16>().unwrap() + 2));
    for (key, value) in [
        ("security.protocol", "sasl_ssl"),
        ("sasl.mechanism", "PLAIN"),
        ("sasl.username", "shadowprod"),
        ("ssl.ca.location", &format!("{dir}/ca.pem")),
    ] {
        secured.properties.insert(key.to_owned(), value.to_owned());
    }
    let mut wrong = secured.clone();
    secured.properties_file.insert("sasl.password".into(), format!("{dir}/password").into());
    let mut reading = Reading::start(&secured, &[&topic], vec![]);
    reading.until("all is read", |r| r.count() == 10);
    wrong.properties.insert("sasl.password".into(), "wrong".into());
    let error = probe(&wrong, &[topic], Duration::from_secs(5)).unwrap_err().to_string();
    assert!(error.contains("uthentication failed"), "{error}");
}

#[test]
fn unreachable_broker_is_a_notice_and_names_the_address() {
    // A port that was free a moment ago: nobody listens there.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let address = format!("127.0.0.1:{port}");
    let error = probe(&kafka(&address), &["t".to_owned()], Duration::from_secs(2)).unwrap_err();
    assert!(matches!(error, SourceError::Unreachable { .. }));
    let text = error.to_string();
    assert!(
        text.contains(&address) && text.contains("Connection refused") && text.contains("fix:"),
        "{text}"
    );
    let mut reading = Reading::start(&kafka(&address), &["t"], vec![]);
    reading.until("the loss is told", |r| matches!(r.notices[..], [SourceNotice::BrokerDown { .. }]));
    assert!(!reading.source.standing().broker_up);
    assert_eq!(reading.checkpoints(), []);
}
