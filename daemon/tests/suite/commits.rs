//! Facts about commits that take long: the pipeline goes on meanwhile, and tells nothing too early.
//!
//! In: a file of messages, and a disk that is as slow as the test wants. Out: what the pipeline says is durable.

use std::time::{Duration, Instant};

use rusqlite::Connection;
use shadowprod::config::Config;
use shadowprod::ingest::Source;
use shadowprod::ingest::files::FileSource;
use shadowprod::pipeline::{Committed, Pipeline};
use shadowprod::store::Store;

use crate::house;

/// Longer than any commit takes that nobody holds up.
const PATIENCE: Duration = Duration::from_secs(30);

/// More than the time between two commits, microseconds.
const LATER: i64 = 10_000_000;

/// A pipeline over a log of messages that none can decode, one a batch.
struct House {
    dir: tempfile::TempDir,
    pipeline: Pipeline,
    source: FileSource,
}

impl House {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("audit.jsonl"), "one\ntwo\nthree\n").unwrap();
        let config = Config::load(&house::write_config(dir.path(), "cloudtrail")).unwrap();
        let pipeline = Pipeline::open(house::parts(&config)).unwrap();
        let source = house::log(dir.path(), &config, &pipeline, 1);
        Self { dir, pipeline, source }
    }

    fn step(&mut self) {
        let batch = self.source.next_batch(Duration::ZERO).unwrap().expect("a message");
        assert_eq!(batch.messages.len(), 1);
        self.pipeline.step(&batch, 0).unwrap();
    }

    fn committed_at(&mut self, now: i64) -> Option<Committed> {
        self.pipeline.committed(|| now).unwrap()
    }
}

/// NEXT offsets that are durable.
fn offsets(committed: &Committed) -> Vec<i64> {
    committed.positions.iter().map(|position| position.offset).collect()
}

#[test]
fn a_commit_holds_up_the_next_one_and_the_pipeline_only_when_it_takes_long() {
    let mut house = House::new();
    let disk = Connection::open(house.dir.path().join("state/shadowprod.db")).unwrap();
    house.step();
    // Whoever has SQLite's one write lock makes all others wait, as a disk does that takes its time.
    disk.execute_batch("BEGIN IMMEDIATE").unwrap();
    house.pipeline.begin_commit(|| 0).unwrap();
    assert!(house.pipeline.is_committing());
    assert_eq!(house.committed_at(0), None);
    house.step();
    assert!(!house.pipeline.commit_is_due(LATER), "it waits for the one on its way");
    assert_eq!(house.committed_at(0), None);
    let clock = || {
        // The first time that it is looked at the disk has done; the second time there is nothing to roll back.
        let _ = disk.execute_batch("ROLLBACK");
        LATER
    };
    let first =
        house.pipeline.committed(clock).unwrap().expect("the pipeline stood still until it was durable");
    assert_eq!(offsets(&first), [1], "what came while it was on its way is not of it");
    assert!(!house.pipeline.is_committing());
    assert!(!house.pipeline.commit_is_due(LATER), "the rhythm runs from when it was first asked");
    assert!(house.pipeline.commit_is_due(2 * LATER));
    let second = house.pipeline.commit(|| 0).unwrap();
    assert_eq!(offsets(&second), [2]);
}

#[test]
fn a_commit_is_told_as_soon_as_it_is_durable() {
    let mut house = House::new();
    house.step();
    house.pipeline.begin_commit(|| 0).unwrap();
    let began = Instant::now();
    let committed = loop {
        assert!(began.elapsed() < PATIENCE, "a commit never became durable");
        if let Some(committed) = house.committed_at(0) {
            break committed;
        }
    };
    assert_eq!(offsets(&committed), [1]);
    assert_eq!(house.committed_at(0), None, "it is told once");
}

#[test]
fn commits_that_nobody_asked_after_are_told_together() {
    let mut house = House::new();
    house.step();
    house.pipeline.begin_commit(|| 0).unwrap();
    house.step();
    let both = house.pipeline.commit(|| 0).unwrap();
    assert_eq!(offsets(&both), [1, 2]);
}

#[test]
fn a_pipeline_that_ends_leaves_its_commit_whole_and_its_state_free() {
    let mut house = House::new();
    house.step();
    house.pipeline.begin_commit(|| 0).unwrap();
    drop(house.pipeline);
    let (_store, recovered) = Store::open(&house.dir.path().join("state")).expect("nobody holds it");
    let next: Vec<i64> = recovered.checkpoints.iter().map(|c| c.position.offset).collect();
    assert_eq!(next, [1]);
}
