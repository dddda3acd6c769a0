//! The oracle: incremental equals batch. Random streams, cut into random batches, spread over partitions,
//! out of order within the lateness, with duplicates, restarts and reloads, give the same history, id for id
//! and body for body, as one batch run of the same SQL over the same events on the same grid.
//!
//! Long streams of all kinds, for all detections together; and many short ones, each for one detection.
//! SHADOWPROD_ORACLE_CASES sets the number of short ones (28; from 2,000 on, what they showed is asserted too) and
//! with every 700 of them one long one, three at least; SHADOWPROD_ORACLE_SEED sets the seed of both, and
//! SHADOWPROD_ORACLE_DETECTION names the one detection that all short ones are for.

#[path = "oracle/batch.rs"]
mod batch;
#[path = "oracle/streams.rs"]
mod streams;
#[path = "oracle/world.rs"]
mod world;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};
use shadowprod::findings::{ChangeKind, Evidence, Finding, FindingChange};

use batch::Batch;
use streams::{Arrival, Kind};
use world::{Incremental, World};

/// Long streams are evaluated this often, so that the batch side stays affordable.
const LONG_GRID_SECONDS: i64 = 21_600;
const LONG_CASES: u32 = 3;
/// Short cases where nothing else is asked for: a few of each detection.
const CASES: u32 = 28;
/// From so many on, what the cases showed is asserted too.
const CASES_FULL: u32 = 2_000;
/// Two cores are what CI has; a planned query set stays on its thread.
const THREADS: usize = 2;

/// What fits into memory is no function of the events.
const NOT_TOLD_BY_EVENTS: &str = "state-full";

/// How one detection is tried on short streams.
struct Trial {
    detection: &'static str,
    /// What drives it, and how often each is drawn.
    kinds: &'static [(u32, Kind)],
    days: i64,
    grid_hours: i64,
    length: Range<usize>,
    /// Another detection that a reload adds or takes away.
    companion: &'static str,
    /// Of all cases, how large a part: what takes longer is tried less often.
    share: u32,
}

const fn trial(
    detection: &'static str,
    kinds: &'static [(u32, Kind)],
    days: i64,
    grid_hours: i64,
    length: Range<usize>,
) -> Trial {
    Trial { detection, kinds, days, grid_hours, length, companion: "sensor-silence", share: 3 }
}

/// Whose plan is large: each evaluation costs several times what others cost.
const fn costly(trial: Trial) -> Trial {
    Trial { share: 1, ..trial }
}

const TRIALS: &[Trial] = &[
    costly(trial(
        "business-dependency",
        &[(4, Kind::Envoy), (4, Kind::Outage), (1, Kind::Served)],
        12,
        48,
        40..90,
    )),
    costly(trial(
        "shared-credential",
        // A credential's first week is learning: what counts comes after it.
        &[(4, Kind::CloudTrail), (3, Kind::Issue), (1, Kind::Okta), (2, Kind::Token)],
        12,
        48,
        60..110,
    )),
    costly(trial("llmjacking", &[(5, Kind::Bedrock), (1, Kind::Issue), (1, Kind::AiCall)], 3, 24, 15..50)),
    trial("unpromoted-production-traffic", &[(1, Kind::Envoy)], 5, 24, 15..60),
    trial("revoked-still-called", &[(1, Kind::Envoy)], 6, 24, 15..60),
    trial("stale-exception-in-use", &[(1, Kind::Envoy)], 4, 24, 15..60),
    trial("promotion-criteria-missing", &[(1, Kind::Envoy)], 5, 24, 8..40),
    trial("unregistered-ai-workload", &[(1, Kind::AiCall)], 5, 24, 10..50),
    trial("action-without-oversight", &[(4, Kind::ToolCall), (1, Kind::Approval)], 3, 24, 8..40),
    trial("data-outside-scope", &[(1, Kind::DataAccess)], 4, 24, 8..40),
    trial("contradictory-environment", &[(1, Kind::Staged)], 4, 24, 8..40),
    trial("duties-not-separated", &[(1, Kind::Envoy)], 5, 24, 8..20),
    trial("promotion-without-control-owner", &[(1, Kind::Envoy)], 5, 24, 8..20),
    trial("evidence-lost", &[(1, Kind::Envoy), (1, Kind::CloudTrail)], 5, 12, 15..60),
    Trial {
        companion: "unpromoted-production-traffic",
        ..trial("sensor-silence", &[(1, Kind::Envoy), (1, Kind::AiCall)], 4, 24, 15..60)
    },
];

/// What short streams showed.
#[derive(Default)]
struct Tally {
    cases: usize,
    opened: BTreeSet<String>,
    with_history: usize,
    reloaded: usize,
    changed_after_reload: usize,
    incremental: Duration,
    batch: Duration,
}

#[test]
fn incremental_equals_batch() {
    let world = World::of_all(LONG_GRID_SECONDS);
    let batch = Batch::new(&world);
    let (opened, linked) = (RefCell::new(BTreeSet::new()), Cell::new(0_usize));
    let observed = RefCell::new(BTreeSet::new());
    let outcome = runner((cases() / 700).max(LONG_CASES), 0).run(&streams::long_arrival(), |arrival| {
        let Incremental { history, findings, losses, .. } = world::incremental(&world, &arrival);
        let (expected_history, expected) = batch.run(&arrival, None, &losses);
        linked.set(linked.get() + expected.iter().filter(|f| is_linked(f)).count());
        observed.borrow_mut().extend(expected_history.iter().flat_map(|c| terms(&c.finding)));
        opened.borrow_mut().extend(newly_opened(&expected_history));
        prop_assert_eq!(confirmed(findings), confirmed(expected));
        prop_assert_eq!(lines(history), lines(expected_history));
        Ok(())
    });
    outcome.unwrap_or_else(|failure| panic!("{failure}"));
    let all: BTreeSet<String> = TRIALS.iter().map(|t| t.detection.to_owned()).collect();
    assert_eq!(opened.into_inner(), all, "a detection that never fires is not compared");
    for term in ["failure_behaviour", "lift", "people_within_two_hops", "callers_a_week"] {
        assert!(observed.borrow().contains(term), "`{term}` is never observed, so it is not compared");
    }
    assert!(linked.get() > 0, "streams without a finding that follows a token prove too little");
}

#[test]
fn incremental_equals_batch_for_each_detection() {
    let reads = reads();
    assert!(reads.keys().eq(TRIALS.iter().map(|t| t.detection).collect::<BTreeSet<_>>()), "all are tried");
    let (next, tally) = (AtomicUsize::new(0), Mutex::new(Tally::default()));
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while let Some((index, trial)) = next_trial(&next) {
                    let seen = try_detection(trial, index, &reads);
                    tally.lock().expect("no thread panicked").add(seen);
                }
            });
        }
    });
    let tally = tally.into_inner().expect("no thread panicked");
    println!(
        "{} cases, {} with a history, {} reloaded, {} of them changed history afterwards; {:?} incremental, {:?} batch",
        tally.cases,
        tally.with_history,
        tally.reloaded,
        tally.changed_after_reload,
        tally.incremental,
        tally.batch
    );
    if cases() >= CASES_FULL && only().is_none() {
        let all: BTreeSet<String> = reads.keys().cloned().collect();
        assert_eq!(tally.opened, all, "a detection that never fires is not compared");
        assert!(tally.with_history * 3 > tally.cases, "streams in which nothing happens prove nothing");
        assert!(tally.reloaded * 4 > tally.cases, "too few cases reload anything");
        assert!(
            tally.changed_after_reload * 4 > tally.reloaded,
            "reloads after which nothing happens prove nothing"
        );
    }
}

fn next_trial(next: &AtomicUsize) -> Option<(usize, &'static Trial)> {
    let index = next.fetch_add(1, Ordering::Relaxed);
    let trial = TRIALS.get(index)?;
    if is_meant(trial) { Some((index, trial)) } else { next_trial(next) }
}

fn is_meant(trial: &Trial) -> bool {
    only().is_none_or(|detection| detection == trial.detection)
}

/// The one detection that short streams are for, if not all.
fn only() -> Option<String> {
    std::env::var("SHADOWPROD_ORACLE_DETECTION").ok()
}

/// The share of short streams that one detection has.
fn try_detection(trial: &Trial, index: usize, reads: &BTreeMap<String, Vec<String>>) -> Tally {
    let world = World::of_one(trial.detection, trial.companion, reads, trial.grid_hours * 3_600);
    let batch = Batch::new(&world);
    let tally = RefCell::new(Tally::default());
    let arrivals = streams::short_arrival(trial.kinds, trial.days, trial.length.clone());
    let started = Instant::now();
    let shares: u32 = TRIALS.iter().filter(|trial| is_meant(trial)).map(|trial| trial.share).sum();
    let count = (cases() * trial.share).div_ceil(shares);
    let outcome =
        runner(count, index as u64 + 1).run(&arrivals, |arrival| compare(&world, &batch, &arrival, &tally));
    outcome.unwrap_or_else(|failure| panic!("{}: {failure}", trial.detection));
    let tally = tally.into_inner();
    println!(
        "{}: {} cases, {} with a history, {:?} incremental, {:?} batch, {:?} in all",
        trial.detection,
        tally.cases,
        tally.with_history,
        tally.incremental,
        tally.batch,
        started.elapsed()
    );
    tally
}

fn compare(
    world: &World,
    batch: &Batch<'_>,
    arrival: &Arrival,
    tally: &RefCell<Tally>,
) -> Result<(), TestCaseError> {
    let started = Instant::now();
    let Incremental { history, findings, journal, losses } = world::incremental(world, arrival);
    let between = Instant::now();
    let (expected_history, expected) = batch.run(arrival, journal.as_ref(), &losses);
    let settled = journal.map(|journal| journal.settled);
    let is_after = |c: &FindingChange| settled.is_some_and(|s| c.at.as_microsecond() > s);
    tally.borrow_mut().add(Tally {
        cases: 1,
        opened: newly_opened(&expected_history).collect(),
        with_history: usize::from(!expected_history.is_empty()),
        reloaded: usize::from(settled.is_some()),
        changed_after_reload: usize::from(expected_history.iter().any(is_after)),
        incremental: between - started,
        batch: between.elapsed(),
    });
    prop_assert_eq!(confirmed(findings), confirmed(expected));
    prop_assert_eq!(lines(history), lines(expected_history));
    Ok(())
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.cases += other.cases;
        self.opened.extend(other.opened);
        self.with_history += other.with_history;
        self.reloaded += other.reloaded;
        self.changed_after_reload += other.changed_after_reload;
        self.incremental += other.incremental;
        self.batch += other.batch;
    }
}

/// The rollups that each detection reads, by id.
fn reads() -> BTreeMap<String, Vec<String>> {
    let world = World::of_all(LONG_GRID_SECONDS);
    let queries = world.versions[0].plan();
    let rollup = |index: &usize| queries.rollups[*index].query.text.id.clone();
    let read = |d: &shadowprod::query::plan::PlannedDetection| {
        (d.query.text.id.clone(), d.reads.iter().map(rollup).collect())
    };
    let told = queries.detections.iter().filter(|d| d.query.text.id != NOT_TOLD_BY_EVENTS);
    told.map(read).collect()
}

fn newly_opened(history: &[FindingChange]) -> impl Iterator<Item = String> + '_ {
    history.iter().filter(|c| c.kind == ChangeKind::Opened).map(|c| c.finding.detection.clone())
}

/// A finding that only an early look has seen is no part of the history; the end of the log confirms or
/// withdraws all but those after the last grid point.
fn confirmed(findings: Vec<Finding>) -> Vec<String> {
    let mut lines: Vec<String> = findings
        .iter()
        .filter(|f| f.confirmed)
        .map(|f| serde_json::to_string(f).expect("serialisable"))
        .collect();
    lines.sort_unstable();
    lines
}

fn lines(history: Vec<FindingChange>) -> Vec<String> {
    let mut lines: Vec<String> =
        history.iter().map(|c| serde_json::to_string(c).expect("serialisable")).collect();
    lines.sort_unstable();
    lines
}

/// Names of the terms that were observed.
fn terms(finding: &Finding) -> impl Iterator<Item = String> + '_ {
    finding.evidence.iter().filter_map(|e| match e {
        Evidence::Term { name, value: Some(_) } => Some(name.clone()),
        _ => None,
    })
}

/// Whether what one credential gave out to another is in the evidence.
fn is_linked(finding: &Finding) -> bool {
    finding.evidence.iter().any(|e| matches!(e, Evidence::Fact { name, .. } if name == "chain"))
}

/// Runs so many cases from the seed that is printed.
fn runner(cases: u32, stream: u64) -> TestRunner {
    let config = ProptestConfig {
        cases,
        failure_persistence: None,
        max_shrink_iters: 500,
        ..ProptestConfig::default()
    };
    let seed = seed();
    println!("seed {seed}; SHADOWPROD_ORACLE_SEED sets another");
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    bytes[8..16].copy_from_slice(&stream.to_le_bytes());
    TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes))
}

/// Short cases of one run.
fn cases() -> u32 {
    std::env::var("SHADOWPROD_ORACLE_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(CASES)
}

fn seed() -> u64 {
    std::env::var("SHADOWPROD_ORACLE_SEED").ok().and_then(|n| n.parse().ok()).unwrap_or(1)
}
