//! Facts about the dead-letter topic: every reject gets there, whoever is killed meanwhile.
//!
//! In: the broker of [`crate::kafka`]. Out: what stands in the topic, in the metrics and in the store's outbox.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use serde_json::{Value, json};
use shadowprod::config::Config;
use shadowprod::daemon;
use shadowprod::ingest::{Position, RawBatch};
use shadowprod::metrics::Metrics;
use shadowprod::pipeline::Pipeline;

use crate::kafka::{Admin, alone, new_producer, produce, shared, unique, until};
use crate::process::Daemon;

/// Partitions of every dead-letter topic here.
pub const PARTITIONS: i32 = 2;

/// A daemon's folder: one source, and a dead-letter topic of its own.
struct Place {
    dir: tempfile::TempDir,
    source: String,
    letters: String,
    address: String,
}

impl Place {
    fn new(address: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let place =
            Self { dir, source: unique("audit"), letters: unique("rejects"), address: address.to_owned() };
        let registry = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/registry");
        let Self { source, letters, .. } = &place;
        let text = format!(
            "[kafka]\nbrokers = {address:?}\ngroup = {source:?}\n[[source]]\nname = \"cloud\"\ntopic = {source:?}\n\
             format = \"cloudtrail\"\n[dead_letter]\ntopic = {letters:?}\n[registry]\npath = {registry:?}\n\
             [state]\npath = \"state\"\n[time]\nclock = \"log\"\n\
             [serve]\ngrpc = \"127.0.0.1:0\"\nhttp = \"127.0.0.1:0\"\n"
        );
        std::fs::write(place.config(), text).unwrap();
        place
    }

    fn config(&self) -> PathBuf {
        self.dir.path().join("shadowprod.toml")
    }

    fn create_topics(&self) {
        let admin = Admin::new(&self.address);
        admin.create(&self.source, 1);
        admin.create(&self.letters, PARTITIONS);
    }

    fn produce(&self, messages: impl IntoIterator<Item = String>) {
        produce(&new_producer(&self.address), &self.source, 0, messages);
    }

    /// Letters that are durable in the store and not known to be delivered.
    fn waiting(&self) -> i64 {
        let store = rusqlite::Connection::open(self.dir.path().join("state/shadowprod.db")).unwrap();
        store.query_row("SELECT count(*) FROM dead_letter", [], |row| row.get(0)).unwrap()
    }
}

/// A message of the dead-letter topic.
#[derive(Debug, Clone)]
struct Letter {
    key: String,
    reason: String,
    body: Value,
}

/// Everything in `topic` from its beginning on, once there are `count` different keys.
fn letters(address: &str, topic: &str, count: usize) -> Vec<Letter> {
    let mut found = Vec::new();
    each_letter(address, topic, count, |message| found.push(letter(message)));
    found
}

/// Hands over every message of `topic` until there were `count` different keys.
pub fn each_letter(address: &str, topic: &str, count: usize, mut each: impl FnMut(&BorrowedMessage<'_>)) {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", address)
        .set("group.id", unique("letters"))
        .create()
        .unwrap();
    let mut list = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        list.add_partition_offset(topic, partition, Offset::Beginning).unwrap();
    }
    consumer.assign(&list).unwrap();
    let mut keys = BTreeSet::new();
    until("every dead letter arrives", || {
        if let Some(Ok(message)) = consumer.poll(Duration::from_millis(20)) {
            keys.insert(message.key().unwrap().to_vec());
            each(&message);
        }
        (keys.len() >= count).then_some(())
    });
}

fn letter(message: &impl Message) -> Letter {
    let header = message.headers().unwrap().get(0);
    assert_eq!(header.key, "shadowprod.reason");
    Letter {
        key: String::from_utf8(message.key().unwrap().to_vec()).unwrap(),
        reason: String::from_utf8(header.value.unwrap().to_vec()).unwrap(),
        body: serde_json::from_slice(message.payload().unwrap()).unwrap(),
    }
}

fn bad(number: usize) -> String {
    format!(
        r#"{{"eventSource":"s3.amazonaws.com","eventName":"Get","number":{number},"password":"hunter2"}}"#
    )
}

#[test]
fn every_reject_is_sent_once_and_leaves_the_store() {
    let Some((address, _shared)) = shared() else { return };
    let place = Place::new(&address);
    place.create_topics();
    place.produce((0..2_500).map(bad).chain(["{\"cut".to_owned()]));
    let daemon = Daemon::start(&place.config());
    let found = letters(&address, &place.letters, 2_501);
    until("all count as delivered", || {
        (daemon.metric("shadowprod_notify_dead_letters_total") == 2_501.0).then_some(())
    });
    assert_eq!(found.len(), 2_501, "nothing is sent twice while nobody is killed");
    let first = found.iter().find(|letter| letter.key == format!("{}/0/7/0", place.source)).unwrap();
    let mut body = first.body.clone();
    assert!(body["ingested_at"].as_str().unwrap().starts_with("20"), "{body}");
    body["ingested_at"] = Value::Null;
    let expected = json!({
        "id": first.key, "reason": "missing_field", "detail": "eventTime", "source": "cloud",
        "topic": place.source, "partition": 0, "offset": 7, "index": 0, "ingested_at": null,
        "format": "cloudtrail",
        "payload": bad(7).replace("hunter2", "[masked]"),
    });
    assert_eq!((first.reason.as_str(), body), ("missing_field", expected));
    let cut = found.iter().find(|letter| letter.reason == "not_json").unwrap();
    assert_eq!(cut.body["offset"], 2_500);
    until("the store forgets what is delivered", || (place.waiting() == 0).then_some(()));
    until("the gauge says so", || {
        (daemon.metric("shadowprod_notify_dead_letters_waiting") == 0.0).then_some(())
    });
}

#[test]
fn daemon_killed_on_the_way_sends_every_reject_at_least_once() {
    let Some((address, _shared)) = shared() else { return };
    let place = Place::new(&address);
    place.create_topics();
    for round in 0..4 {
        place.produce((round * 1_000..(round + 1) * 1_000).map(bad));
        let daemon = Daemon::start(&place.config());
        until("the daemon rejects", || {
            (daemon.metric("shadowprod_decode_rejects_total") > 0.0).then_some(())
        });
        daemon.kill();
    }
    let _daemon = Daemon::start(&place.config());
    let found = letters(&address, &place.letters, 4_000);
    let mut bodies: BTreeMap<&str, &Value> = BTreeMap::new();
    for letter in &found {
        let body = bodies.entry(&letter.key).or_insert(&letter.body);
        assert_eq!(body["payload"], letter.body["payload"], "the same key is the same reject");
    }
    assert_eq!(bodies.len(), 4_000);
}

#[test]
fn letters_wait_for_a_broker_that_is_away_and_the_daemon_works_on() {
    let Some((address, control, _alone)) = alone() else { return };
    let place = Place::new(&address);
    place.create_topics();
    let config = Config::load(&place.config()).unwrap();
    let parts = daemon::parts(&config, Arc::new(Metrics::new()), Some(&config.state.path)).unwrap();
    let mut pipeline = Pipeline::open(parts).unwrap();
    pipeline.keep_dead_letters();
    let mut batch = RawBatch::default();
    for offset in 0..300 {
        batch.push(Position { topic: 0, partition: 0, offset }, None, bad(offset as usize).as_bytes());
    }
    pipeline.step(&batch, daemon::wall_clock()).unwrap();
    pipeline.commit(daemon::wall_clock).unwrap();
    drop(pipeline);
    assert_eq!(place.waiting(), 300);
    control.run("kill");
    let daemon = Daemon::start(&place.config());
    until("what waits is told", || {
        (daemon.metric("shadowprod_notify_dead_letters_waiting") == 300.0).then_some(())
    });
    let steps = daemon.metric("shadowprod_pipeline_steps_total");
    until("the pipeline goes on", || {
        (daemon.metric("shadowprod_pipeline_steps_total") > steps + 5.0).then_some(())
    });
    assert_eq!(daemon.metric("shadowprod_notify_dead_letters_total"), 0.0);
    assert_eq!(place.waiting(), 300);
    control.run("restart");
    assert_eq!(letters(&address, &place.letters, 300).len(), 300);
    until("the store forgets what is delivered", || (place.waiting() == 0).then_some(()));
}
