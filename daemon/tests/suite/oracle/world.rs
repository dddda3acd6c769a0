//! What the oracle's pipelines run with, and the incremental side.
//!
//! In: an [`Arrival`]. Out: the history and findings of the real pipeline, and of its journal the one line that
//! the batch side is told: when a reload took effect.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::AsArray;
use arrow::datatypes::TimestampMicrosecondType;
use arrow::record_batch::RecordBatch;
use shadowprod::config::layout::LayoutConfig;
use shadowprod::config::{Clock, TimeConfig};
use shadowprod::crash_points::CrashPoints;
use shadowprod::decode::{Decoder, Format, OwnLayout, SourceFormat, SourceSpec};
use shadowprod::enrich::{CredentialKey, Signals};
use shadowprod::findings::{Finding, FindingChange};
use shadowprod::ingest::{Position, RawBatch, SourceNotice};
use shadowprod::losses::Loss;
use shadowprod::metrics::Metrics;
use shadowprod::pipeline::{Parts, Pipeline, Rhythm};
use shadowprod::query::QueryTexts;
use shadowprod::query::plan::QuerySet;
use shadowprod::registry::Registry;
use shadowprod::store::Store;

use super::streams::{ANY_FORMAT, Arrival, Reload};

pub(super) const MINUTE: i64 = 60_000_000;
/// 2026-03-02, a Monday.
pub(super) const START: i64 = 1_772_409_600_000_000;
pub(super) const DAYS: i64 = 17;
/// The registry's first fact: 2026-03-01.
pub(super) const REGISTRY_START: i64 = START - 24 * 60 * MINUTE;
pub(super) const LATENESS_SECONDS: u32 = 1_800;
pub(super) const GRID_SECONDS: u32 = 3_600;
pub(super) const PARTITIONS: i32 = 3;
/// Versions of registry and queries that a world has; a reload goes from one to another.
pub(super) const VERSIONS: usize = 4;

const REGISTRY: &str = include_str!("../oracle_registry.toml");

/// The registry as another would say it: facts of the past and of the future, an owner.
const OTHER_FACTS: &[(&str, &str)] = &[
    ("expires_at = \"2026-03-04T12:00:00Z\"", "expires_at = \"2026-03-08T12:00:00Z\""),
    ("expires_at = \"2026-03-17T00:00:00Z\"", "expires_at = \"2026-03-11T00:00:00Z\""),
    (
        "stage = \"revoked\", from = \"2026-03-06T06:30:00Z\"",
        "stage = \"revoked\", from = \"2026-03-04T06:30:00Z\"",
    ),
    (
        "stage = \"production\", from = \"2026-03-10T00:00:00Z\"",
        "stage = \"production\", from = \"2026-03-06T00:00:00Z\"",
    ),
    (
        "value = \"s3://b-1\", from = \"2026-03-08T12:00:00Z\"",
        "value = \"s3://b-1\", from = \"2026-03-12T12:00:00Z\"",
    ),
    (
        "value = \"tool-1\", to = \"2026-03-09T00:00:00Z\"",
        "value = \"tool-1\", to = \"2026-03-13T00:00:00Z\"",
    ),
    (
        "purpose = \"drafts\"\nteam = \"lab\"\nowner = \"ada\"",
        "purpose = \"drafts\"\nteam = \"lab\"\nowner = \"ben\"",
    ),
    ("id = \"caller-1\"\nteam = \"billing\"", "id = \"caller-1\"\nteam = \"lab\""),
    ("disabled_at = \"2026-03-13T09:00:00Z\"", "disabled_at = \"2026-03-09T09:00:00Z\""),
];

/// The layout of the log of approvals.
const APPROVALS: &str = r#"
principal_kind = "human"
[fields]
event_time = "time"
event_id = "id"
action = "what"
principal = "who"
consumer = "agent"
tool = "tool"
success = "ok"
"#;

/// What is in force at a time.
pub(super) struct Version {
    pub(super) registry: Arc<Registry>,
    pub(super) texts: QueryTexts,
}

impl Version {
    pub(super) fn plan(&self) -> QuerySet {
        QuerySet::plan(&self.texts, &self.registry.tables()).expect("built-in queries plan")
    }
}

pub(super) struct World {
    pub(super) versions: Vec<Version>,
    pub(super) signals: Arc<Signals>,
    pub(super) detection_grid_seconds: i64,
    /// Plans that no pipeline has at the moment, by version: planning costs more than a short stream does.
    planned: RefCell<BTreeMap<usize, QuerySet>>,
}

/// What the journal says of a reload: events of later batches are attributed by the new version, and grid points
/// after the settled one are evaluated by it.
#[derive(Debug, Clone)]
pub(super) struct Journal {
    pub(super) after: usize,
    pub(super) settled: i64,
}

impl World {
    /// All detections together.
    pub(super) fn of_all(detection_grid_seconds: i64) -> Self {
        let texts = builtin(detection_grid_seconds);
        let versions = vec![Version { registry: registry(&[]), texts }];
        Self { versions, signals: signals(), detection_grid_seconds, planned: RefCell::default() }
    }

    /// One detection with the rollups that it reads: as it is, under another registry, with another threshold,
    /// with a companion.
    pub(super) fn of_one(
        id: &str,
        companion: &str,
        reads: &BTreeMap<String, Vec<String>>,
        detection_grid_seconds: i64,
    ) -> Self {
        let mut texts = builtin(detection_grid_seconds);
        let read: Vec<&String> = [id, companion].iter().flat_map(|id| &reads[*id]).collect();
        texts.rollups.retain(|r| read.contains(&&r.text.id));
        let both = |t: &QueryTexts| {
            let mut t = t.clone();
            t.detections.retain(|d| d.text.id == id || d.text.id == companion);
            t
        };
        let with_companion = both(&texts);
        texts.detections.retain(|d| d.text.id == id);
        let mut other = texts.clone();
        let lowered = LOW_THRESHOLDS.iter().find(|(detection, _, _)| *detection == id);
        for detection in &mut other.detections {
            detection.text.sha256.push_str("-other");
            if let Some(known) = lowered.and_then(|(_, name, _)| detection.text.parameters.get_mut(*name)) {
                *known *= 2.0;
            }
        }
        let (old, new) = (registry(&[]), registry(OTHER_FACTS));
        let versions = vec![
            Version { registry: old.clone(), texts: texts.clone() },
            Version { registry: new, texts },
            Version { registry: old.clone(), texts: other },
            Version { registry: old, texts: with_companion },
        ];
        Self { versions, signals: signals(), detection_grid_seconds, planned: RefCell::default() }
    }

    pub(super) fn sources() -> Vec<(String, SourceSpec)> {
        let known = |name: &str| SourceFormat::Known(Format::parse(name).expect("a format"));
        let spec = |name: &str, format, dedupe| {
            (name.to_owned(), SourceSpec { name: name.to_owned(), format, account: None, dedupe })
        };
        let layout: LayoutConfig = toml::from_str(APPROVALS).expect("the layout is valid");
        let approvals = SourceFormat::Own(Arc::new(OwnLayout::new("approvals", &layout)));
        // The store numbers topics by name: the order here is that one.
        vec![
            spec("aws", known("cloudtrail"), true),
            spec("gateway", known("envoy"), false),
            spec("okta", known("okta"), true),
            spec("stages", known("aws_api_gateway"), false),
            spec("tickets", approvals, false),
            spec("various", SourceFormat::Auto, false),
        ]
    }

    pub(super) fn key() -> CredentialKey {
        CredentialKey::from_bytes([7; 32])
    }

    fn open(&self, dir: &Path, early: bool, version: usize, metrics: &Arc<Metrics>) -> Pipeline {
        let (store, recovered) = Store::open(dir).expect("the state opens");
        let Version { registry, texts } = &self.versions[version];
        let planned = self.planned.borrow_mut().remove(&version);
        let planned = planned.unwrap_or_else(|| self.versions[version].plan());
        let parts = Parts {
            sources: Self::sources(),
            time: TimeConfig {
                clock: Clock::Log,
                grid_seconds: GRID_SECONDS,
                lateness_seconds: LATENESS_SECONDS,
                idle_after_ms: 0,
            },
            rhythm: Rhythm {
                early_every: early.then_some(0),
                early_rest: 0,
                commit_every: 0,
                // A grid point a step, in every other stream.
                settle_for: early.then_some(Duration::ZERO),
            },
            texts: texts.clone(),
            registry: registry.clone(),
            signals: self.signals.clone(),
            key: Self::key(),
            metrics: metrics.clone(),
            memory_bytes: usize::MAX,
            crash: CrashPoints::default(),
            store,
            recovered,
        };
        Pipeline::open_planned(parts, planned).expect("the pipeline opens")
    }

    /// Ends a pipeline as a crash after its commit would; only its plans are kept, which hold no state.
    fn close(&self, pipeline: Pipeline, version: usize) {
        self.planned.borrow_mut().insert(version, pipeline.into_queries());
    }

    fn replace(&self, pipeline: &mut Pipeline, from: usize, to: usize, now: i64) {
        let (from, to) = (&self.versions[from], &self.versions[to]);
        if from.registry.version() != to.registry.version() {
            pipeline.replace_registry(to.registry.clone(), now);
        }
        let hashes =
            |t: &QueryTexts| -> Vec<String> { t.detections.iter().map(|d| d.text.sha256.clone()).collect() };
        if hashes(&from.texts) != hashes(&to.texts) {
            let planned = pipeline.replace_queries(&to.texts, now).expect("rollups are kept");
            planned.expect("the queries plan");
        }
    }
}

fn builtin(detection_grid_seconds: i64) -> QueryTexts {
    let mut texts = QueryTexts::builtin();
    for detection in &mut texts.detections {
        detection.grid_seconds = detection_grid_seconds;
    }
    // Thresholds low enough that few events reach them.
    for (detection, parameter, value) in LOW_THRESHOLDS {
        let found =
            texts.detections.iter_mut().find(|d| d.text.id == *detection).expect("a built-in detection");
        let known = found.text.parameters.get_mut(*parameter);
        *known.unwrap_or_else(|| panic!("{detection} has no parameter {parameter}")) = *value;
    }
    texts
}

fn registry(facts: &[(&str, &str)]) -> Arc<Registry> {
    let mut text = REGISTRY.to_owned();
    for (old, new) in facts {
        assert!(text.contains(old), "the registry no longer says: {old}");
        text = text.replace(old, new);
    }
    let dir = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(dir.path().join("oracle.toml"), text).expect("written");
    Arc::new(Registry::load(dir.path()).expect("the oracle's registry is valid"))
}

fn signals() -> Arc<Signals> {
    Arc::new(Signals::load(None).expect("built-in signals are valid"))
}

/// Every partition of every topic.
fn partitions() -> Vec<Position> {
    let of_topic = |topic| (0..PARTITIONS).map(move |partition| Position { topic, partition, offset: 0 });
    (0..=ANY_FORMAT).flat_map(of_topic).collect()
}

/// The messages of an arrival, cut into batches. A partition is at its end of log from its last message on.
pub(super) fn batches(arrival: &Arrival) -> Vec<RawBatch> {
    let mut left: BTreeMap<(u16, i32), i64> = BTreeMap::new();
    for (partition, event) in &arrival.events {
        *left.entry((event.topic, *partition)).or_default() += 1;
    }
    let lengths = left.clone();
    let mut batches = vec![RawBatch { assigned: Some(partitions()), ..RawBatch::default() }];
    let mut cuts = arrival.cuts.iter().copied().cycle();
    let mut room = cuts.next().unwrap_or(1);
    let at_end = |left: &BTreeMap<(u16, i32), i64>| -> Vec<Position> {
        let ended = |p: &Position| left.get(&(p.topic, p.partition)).is_none_or(|n| *n == 0);
        let next = |p: Position| Position {
            offset: lengths.get(&(p.topic, p.partition)).copied().unwrap_or_default(),
            ..p
        };
        partitions().into_iter().filter(ended).map(next).collect()
    };
    for (partition, event) in &arrival.events {
        if room == 0 {
            batches.last_mut().expect("never empty").ends = at_end(&left);
            batches.push(RawBatch::default());
            room = cuts.next().unwrap_or(1);
        }
        let place = (event.topic, *partition);
        let remaining = left.get_mut(&place).expect("counted above");
        let position =
            Position { topic: event.topic, partition: *partition, offset: lengths[&place] - *remaining };
        *remaining -= 1;
        room -= 1;
        batches.last_mut().expect("never empty").push(position, None, event.payload.as_bytes());
    }
    batches.push(RawBatch { ends: at_end(&left), ..RawBatch::default() });
    // Before the first batch no event says what time it is. A step of its own each, after which it is seen what was
    // noticed: a batch that ends in another week forgets it again.
    let count = batches.len() - 1;
    for loss in &arrival.losses {
        let position = Position { topic: loss.topic, partition: loss.partition, offset: 7 };
        let resumed_at = position.offset + loss.lost.unwrap_or(0);
        let notice = match loss.lost {
            Some(lost) => SourceNotice::RetentionGap { position, resumed_at, lost },
            None => SourceNotice::TopicRecreated { position, resumed_at },
        };
        let alone = RawBatch { notices: vec![notice], ..RawBatch::default() };
        batches.insert(1 + loss.after % count, alone);
    }
    batches
}

/// What the real pipeline came to, and what of its journal the batch side is told.
pub(super) struct Incremental {
    pub(super) history: Vec<FindingChange>,
    pub(super) findings: Vec<Finding>,
    pub(super) journal: Option<Journal>,
    /// With the instant at which each was noticed.
    pub(super) losses: Vec<Loss>,
}

/// History and final findings of the real pipeline, restarted and reloaded where the arrival says so.
pub(super) fn incremental(world: &World, arrival: &Arrival) -> Incremental {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let metrics = Arc::new(Metrics::new());
    let batches = batches(arrival);
    let mut version = arrival.reload.as_ref().map_or(0, |reload| reload.from);
    let (mut journal, mut losses) = (None, BTreeMap::new());
    let mut pipeline = world.open(dir.path(), arrival.early, version, &metrics);
    for (index, batch) in batches.iter().enumerate() {
        pipeline.step(batch, index as i64).expect("a step never fails on input");
        while index + 1 == batches.len() && pipeline.is_behind() {
            pipeline.step(&RawBatch::default(), index as i64).expect("a step never fails on input");
        }
        losses.extend(pipeline.losses().map(|loss| (loss.key.clone(), loss.clone())));
        // Durable while the next batch is taken in.
        pipeline.begin_commit(|| 0).expect("the commit before it succeeds");
        let mut in_force = version;
        let mut restarts = arrival.restarts[index % arrival.restarts.len()];
        let due = |reload: &&Reload| reload.after % batches.len() == index;
        if let Some(reload) = arrival.reload.as_ref().filter(due) {
            journal = Some(Journal { after: index, settled: settled(&metrics) });
            version = reload.to;
            if reload.by_restart {
                restarts = true;
            } else {
                world.replace(&mut pipeline, reload.from, reload.to, index as i64);
                in_force = reload.to;
            }
        }
        if restarts {
            world.close(pipeline, in_force);
            pipeline = world.open(dir.path(), arrival.early, version, &metrics);
            let assigned = RawBatch { assigned: Some(partitions()), ..RawBatch::default() };
            pipeline.step(&assigned, index as i64).expect("a step never fails on input");
        }
    }
    pipeline.commit(|| 0).expect("the last commit succeeds");
    let findings = pipeline.findings().expect("findings are readable");
    let history = pipeline.history().expect("revisions are readable");
    world.close(pipeline, version);
    Incremental { history, findings, journal, losses: losses.into_values().collect() }
}

/// The grid point up to which everything is evaluated.
fn settled(metrics: &Metrics) -> i64 {
    let grid = i64::from(GRID_SECONDS);
    (metrics.rollup_watermark_seconds.get() as i64).div_euclid(grid) * grid * 1_000_000
}

/// Event times of one record, or none where anything of it is rejected.
pub(super) fn times_of(topic: u16, record: &str) -> Option<Vec<i64>> {
    let specs = World::sources().into_iter().map(|(_, s)| Some(s)).collect();
    let mut raw = RawBatch::default();
    raw.push(Position { topic, partition: 0, offset: 0 }, None, record.as_bytes());
    let decoded = Decoder::new(specs).decode(&raw);
    decoded.rejects.is_empty().then(|| times(decoded.events.record_batch()))
}

pub(super) fn times(batch: &RecordBatch) -> Vec<i64> {
    let column = batch.column_by_name("event_time").expect("a column of the schema");
    column.as_primitive::<TimestampMicrosecondType>().values().to_vec()
}

const LOW_THRESHOLDS: &[(&str, &str, f64)] = &[
    ("unpromoted-production-traffic", "requests_min", 4.0),
    ("unpromoted-production-traffic", "hold_requests_min", 2.0),
    ("business-dependency", "open_at", 0.2),
    ("business-dependency", "hold_at", 0.1),
    ("llmjacking", "habit_days_min", 1.0),
    ("llmjacking", "actions_share_above", 0.1),
    ("llmjacking", "probes_min", 1.0),
    ("sensor-silence", "intervals_min", 0.5),
    ("sensor-silence", "events_min", 1.0),
    ("business-dependency", "business_days_min", 2.0),
    ("business-dependency", "outages_min", 1.0),
    ("business-dependency", "calm_minutes_min", 1.0),
    ("business-dependency", "lift_z", 0.0),
    ("business-dependency", "growth_days_min", 2.0),
    ("business-dependency", "forecast_days_min", 2.0),
    ("shared-credential", "human_at", 1.0),
    ("shared-credential", "workload_at", 1.0),
    ("shared-credential", "days_full", 1.0),
    ("shared-credential", "sessions_scale", 1.0),
    ("revoked-still-called", "denied_min", 2.0),
    ("stale-exception-in-use", "calls_min", 2.0),
    ("unregistered-ai-workload", "calls_min", 3.0),
    ("action-without-oversight", "calls_min", 1.0),
    ("data-outside-scope", "touches_min", 2.0),
    ("contradictory-environment", "calls_min", 2.0),
    ("contradictory-environment", "hold_calls_min", 1.0),
];
