//! Facts about evidence that nobody saw: it is a finding, and one that a restart does not forget.
//!
//! In: batches as a source makes them, a state with hardly any room; the broker of [`crate::kafka`]. Out: what is found.

use shadowprod::config::Config;
use shadowprod::findings::{Finding, FindingState};
use shadowprod::ingest::{Position, RawBatch, SourceNotice};
use shadowprod::pipeline::{Parts, Pipeline};

use crate::house;
use crate::kafka::{Admin, shared, until};
use crate::process::{Daemon, Scenario};

/// 2026-03-02, a Monday, seconds.
pub const START: i64 = 1_772_409_600;
pub const HOUR: i64 = 3_600;

/// A folder with a config and the state of a pipeline.
pub struct House {
    dir: tempfile::TempDir,
    next_offset: i64,
}

impl House {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        house::write_config(dir.path(), "cloudtrail");
        Self { dir, next_offset: 0 }
    }

    /// A pipeline that goes on where the last one stopped.
    fn open(&self, memory_bytes: Option<usize>) -> Pipeline {
        self.open_with(|parts| parts.memory_bytes = memory_bytes.unwrap_or(parts.memory_bytes))
    }

    /// One of which some parts are others.
    pub fn open_with(&self, change: impl FnOnce(&mut Parts)) -> Pipeline {
        let mut parts = house::parts(&Config::load(&self.dir.path().join("shadowprod.toml")).unwrap());
        change(&mut parts);
        let mut pipeline = Pipeline::open(parts).unwrap();
        let assigned = vec![self.position()];
        pipeline.step(&RawBatch { assigned: Some(assigned), ..RawBatch::default() }, 0).unwrap();
        pipeline
    }

    fn position(&self) -> Position {
        Position { topic: 0, partition: 0, offset: self.next_offset }
    }

    /// One call that a function makes, so many hours after the start.
    pub fn call(&mut self, pipeline: &mut Pipeline, hours: i64) {
        self.call_in(pipeline, hours, None, 0);
    }

    /// The same in a message with a time, read at `now`.
    pub fn call_in(&mut self, pipeline: &mut Pipeline, hours: i64, message_ms: Option<i64>, now: i64) {
        let time = jiff::Timestamp::from_second(START + hours * HOUR).unwrap();
        let record = record(time, hours);
        let mut batch = RawBatch::default();
        batch.push(self.position(), message_ms, record.as_bytes());
        self.next_offset += 1;
        pipeline.step(&batch, now).unwrap();
    }

    /// The log has no more for now.
    pub fn ends(&self, pipeline: &mut Pipeline, now: i64) {
        pipeline.step(&RawBatch { ends: vec![self.position()], ..RawBatch::default() }, now).unwrap();
    }

    /// Retention deleted so many messages before they were read.
    pub fn lose(&mut self, pipeline: &mut Pipeline, lost: i64) {
        let position = self.position();
        self.next_offset += lost;
        let notice = SourceNotice::RetentionGap { position, resumed_at: self.next_offset, lost };
        let mut batch = RawBatch::default();
        batch.notice(notice);
        pipeline.step(&batch, 0).unwrap();
    }
}

/// A CloudTrail record of a call with a key of its own.
pub fn record(time: jiff::Timestamp, number: i64) -> String {
    format!(
        r#"{{"eventVersion":"1.09","eventTime":"{time}","eventID":"e-{number}","eventSource":"s3.amazonaws.com","eventName":"GetObject","awsRegion":"eu-west-1","sourceIPAddress":"10.9.0.4","userAgent":"Boto3/1.34.1","recipientAccountId":"111122223333","userIdentity":{{"type":"IAMUser","principalId":"AIDAEXAMPLE","arn":"arn:aws:iam::111122223333:user/u","accountId":"111122223333","accessKeyId":"AKIAEXAMPLE{number:09}","userName":"u"}}}}"#
    )
}

pub fn findings(pipeline: &mut Pipeline, detection: &str) -> Vec<Finding> {
    pipeline.commit(|| 0).unwrap();
    let all = pipeline.findings().unwrap();
    all.into_iter().filter(|finding| finding.detection == detection).collect()
}

#[test]
fn messages_that_were_gone_are_a_finding_which_a_restart_does_not_forget() {
    let mut house = House::new();
    let mut pipeline = house.open(None);
    house.call(&mut pipeline, 0);
    house.call(&mut pipeline, 2);
    house.lose(&mut pipeline, 100);
    house.lose(&mut pipeline, 20);
    assert_eq!(findings(&mut pipeline, "evidence-lost"), [], "no grid point has passed");
    drop(pipeline);
    let mut pipeline = house.open(None);
    house.call(&mut pipeline, 3);
    let found = findings(&mut pipeline, "evidence-lost");
    let [finding] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!((finding.subject.id.as_str(), finding.severity.name()), ("cloud", "high"));
    assert!(finding.confirmed && finding.explanation.contains("120 messages"), "{}", finding.explanation);
    drop(pipeline);
    let mut pipeline = house.open(None);
    house.call(&mut pipeline, 20);
    assert_eq!(findings(&mut pipeline, "evidence-lost")[0].state, FindingState::Open);
    drop(pipeline);
    let mut pipeline = house.open(None);
    house.call(&mut pipeline, 30);
    assert_eq!(findings(&mut pipeline, "evidence-lost")[0].state, FindingState::Resolved, "a day has passed");
    assert_eq!(pipeline.losses().count(), 1);
    house.call(&mut pipeline, 10 * 24);
    assert_eq!(pipeline.losses().count(), 0, "no detection looks back so far");
}

#[test]
fn rows_without_room_are_a_finding() {
    let mut house = House::new();
    let mut pipeline = house.open(Some(1));
    house.call(&mut pipeline, 0);
    house.call(&mut pipeline, 2);
    pipeline.commit(|| 0).unwrap();
    house.call(&mut pipeline, 3);
    let found = findings(&mut pipeline, "state-full");
    let [finding] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!((finding.subject.kind.as_str(), finding.severity.name()), ("state", "high"));
    assert!(finding.explanation.contains("rows were not kept"), "{}", finding.explanation);
}

#[test]
fn daemon_tells_how_many_messages_retention_took_from_it() {
    let Some((address, _shared)) = shared() else { return };
    let scenario = Scenario::new("unpromoted-production-traffic", &address);
    scenario.create_topics(&address);
    let admin = Admin::new(&address);
    let end = || admin.watermarks(scenario.topic(), 0).expect("the broker answers").1;
    scenario.produce(&address, 0.0, 0.3);
    let daemon = Daemon::start(&scenario.config());
    until("all is read", || {
        let read = daemon.metric("shadowprod_ingest_messages_total") as usize;
        (read == scenario.messages_until(0.3)).then_some(())
    });
    daemon.stop();
    let before = end();
    scenario.produce(&address, 0.3, 0.6);
    let lost = end() - before;
    admin.delete_before(scenario.topic(), 0, end());
    // Nothing is there yet that could be read behind what is gone.
    let daemon = Daemon::start(&scenario.config());
    until("it is noticed", || {
        (daemon.metric("shadowprod_ingest_lost_messages_total") as i64 == lost).then_some(())
    });
    daemon.stop();
    scenario.produce(&address, 0.6, 1.0);
    let daemon = Daemon::start(&scenario.config());
    let told = until("it is told", || {
        daemon.confirmed().into_iter().find(|finding| finding.contains("\"evidence-lost\""))
    });
    assert!(lost > 0 && told.contains(&format!("{lost} messages of")), "{lost}: {told}");
    let again = daemon.metric("shadowprod_ingest_lost_messages_total");
    assert_eq!(again as i64, 0, "the start before has told of it");
    daemon.stop();
}
