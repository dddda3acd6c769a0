//! The batch side: the same SQL over the same events, from nothing at every grid point.
//!
//! In: an [`Arrival`], and of the journal when a reload took effect and losses were noticed. Out: history and
//! findings. No incremental state is shared with the pipeline.

use std::collections::{BTreeMap, HashSet};

use arrow::array::BooleanArray;
use arrow::compute::filter_record_batch;
use jiff::Timestamp;
use shadowprod::decode::Decoder;
use shadowprod::detect::{self, Context};
use shadowprod::enrich::Enricher;
use shadowprod::findings::lifecycle::{Evaluated, Lifecycle};
use shadowprod::findings::silence::Silence;
use shadowprod::findings::{Finding, FindingChange};
use shadowprod::ingest::RawBatch;
use shadowprod::losses::{Loss, Losses};
use shadowprod::metrics::Metrics;
use shadowprod::query::QueryTexts;
use shadowprod::query::plan::QuerySet;
use shadowprod::rollup::{Rollups, View};
use shadowprod::schema::EnrichedBatch;

use super::streams::Arrival;
use super::world::{self, GRID_SECONDS, Journal, REGISTRY_START, START, World};

/// A world with the queries of each of its versions planned once.
pub(super) struct Batch<'a> {
    world: &'a World,
    planned: Vec<QuerySet>,
    topics: Vec<String>,
}

impl<'a> Batch<'a> {
    pub(super) fn new(world: &'a World) -> Self {
        let planned = world.versions.iter().map(world::Version::plan).collect();
        Self { world, planned, topics: World::sources().into_iter().map(|(t, _)| t).collect() }
    }

    /// Every grid point of the detections, from the registry's first fact to the end of the log.
    pub(super) fn run(
        &self,
        arrival: &Arrival,
        journal: Option<&Journal>,
        lost: &[Loss],
    ) -> (Vec<FindingChange>, Vec<Finding>) {
        let losses: Losses = lost.iter().cloned().collect();
        self.planned.iter().for_each(|queries| queries.replace_losses(&losses));
        let parts = self.enriched(arrival, journal);
        let newest = parts.iter().flat_map(|p| world::times(p.events.record_batch())).max().unwrap_or(START);
        let close = (newest.div_euclid(HOUR) + 1) * HOUR;
        let grid = self.world.detection_grid_seconds * 1_000_000;
        let mut lifecycle = Lifecycle::default();
        let mut all = Vec::new();
        let mut in_force = version_at(arrival, false);
        let mut at = (REGISTRY_START + grid - 1).div_euclid(grid) * grid;
        while at <= close {
            let version = version_at(arrival, journal.is_some_and(|j| at > j.settled));
            if version != in_force {
                all.extend(self.ended(version, journal, &mut lifecycle));
                in_force = version;
            }
            all.extend(self.changes_at(at, version, &parts, &mut lifecycle));
            at += grid;
        }
        let version = version_at(arrival, journal.is_some());
        if version != in_force {
            all.extend(self.ended(version, journal, &mut lifecycle));
        }
        let mut findings = BTreeMap::new();
        for change in &all {
            findings.insert(change.finding.finding_id.clone(), change.finding.clone());
        }
        let history = all.into_iter().filter(|change| change.kind.is_history()).collect();
        (history, findings.into_values().collect())
    }

    /// What ends with detections that a reload took away, as of the instant that was settled then.
    fn ended(
        &self,
        version: usize,
        journal: Option<&Journal>,
        lifecycle: &mut Lifecycle,
    ) -> Vec<FindingChange> {
        let settled = journal.map_or(0, |journal| journal.settled);
        let at = Timestamp::from_microsecond(settled).expect("within range");
        let texts = &self.world.versions[version].texts;
        lifecycle.end_inactive(at, |id| texts.detections.iter().any(|d| d.text.id == id))
    }

    fn changes_at(
        &self,
        at: i64,
        version: usize,
        parts: &[Part],
        lifecycle: &mut Lifecycle,
    ) -> Vec<FindingChange> {
        let (queries, in_force) = (&self.planned[version], &self.world.versions[version]);
        let mut rollups = Rollups::new(queries);
        for Part { events, copies } in parts {
            rollups.absorb(queries, &before(events, at)).expect("rollups absorb");
            rollups.absorb_copies(queries, &before(copies, at)).expect("rollups absorb");
        }
        let mut schedules = rollups.schedules(queries);
        rollups.settle(at, queries, &mut schedules).expect("rollups settle");
        let tells = |index: &usize| queries.detections[*index].query.tells_silence;
        let (first, others): (Vec<usize>, Vec<usize>) = (0..queries.detections.len()).partition(tells);
        let mut changes = Vec::new();
        for index in first.into_iter().chain(others) {
            let context = Context { registry: &in_force.registry, topics: &self.topics };
            let hits = detect::evaluate(queries, index, &rollups, None, View::Settled, at, context)
                .expect("detections run");
            let query = &queries.detections[index].query;
            let instant = Timestamp::from_microsecond(at).expect("within range");
            let silence = match query.tells_silence {
                true => Silence::default(),
                false => silence_as_of(&in_force.texts, at, lifecycle),
            };
            let outcome = lifecycle.apply_grid(&query.rule(), instant, Evaluated::All, hits, &silence);
            changes.extend(outcome.changes);
        }
        changes
    }

    /// Everything in the order of arrival, attributed by the registry in force: cut at the reload, and after batches
    /// with copies of events that came before.
    fn enriched(&self, arrival: &Arrival, journal: Option<&Journal>) -> Vec<Part> {
        let sources = World::sources();
        let (mut parts, mut events, mut seen) = (Vec::new(), RawBatch::default(), HashSet::new());
        let batches = world::batches(arrival);
        for (index, raw) in batches.iter().enumerate() {
            let mut copies = RawBatch::default();
            for message in &raw.messages {
                let payload = raw.payload(message);
                let dedupes = sources[usize::from(message.position.topic)].1.dedupe;
                let is_copy = dedupes && !seen.insert(payload.to_vec());
                let part = if is_copy { &mut copies } else { &mut events };
                part.push(message.position, None, payload);
            }
            let is_last = index + 1 == batches.len() || journal.is_some_and(|j| index == j.after);
            if is_last || !copies.messages.is_empty() {
                let version = version_at(arrival, journal.is_some_and(|j| index > j.after));
                let events = std::mem::take(&mut events);
                let [events, copies] = [&events, &copies].map(|part| self.enrich(part, version));
                parts.push(Part { events, copies });
            }
        }
        parts
    }

    fn enrich(&self, part: &RawBatch, version: usize) -> EnrichedBatch {
        let registry = self.world.versions[version].registry.clone();
        let specs = World::sources().into_iter().map(|(_, s)| Some(s)).collect();
        let decoded = Decoder::new(specs).decode(part);
        assert!(decoded.rejects.is_empty(), "the oracle sends only good events: {:?}", decoded.rejects);
        let mut enricher = Enricher::new(registry, self.world.signals.clone(), World::key(), GRID_SECONDS);
        enricher.enrich(decoded.events, &Metrics::new()).expect("enrichment never fails on input")
    }
}

/// Events, and after them copies of events that came before.
struct Part {
    events: EnrichedBatch,
    copies: EnrichedBatch,
}

const HOUR: i64 = GRID_SECONDS as i64 * 1_000_000;

fn version_at(arrival: &Arrival, reloaded: bool) -> usize {
    arrival.reload.as_ref().map_or(0, |reload| if reloaded { reload.to } else { reload.from })
}

fn silence_as_of(texts: &QueryTexts, at: i64, lifecycle: &Lifecycle) -> Silence {
    let detections = texts.detections.iter().filter(|d| d.tells_silence);
    let sources = World::sources();
    let topics = sources.iter().map(|(topic, source)| (topic.as_str(), source.name.as_str()));
    Silence::as_of(at, lifecycle, detections.map(|d| d.text.id.as_str()), topics)
}

fn before(events: &EnrichedBatch, at: i64) -> EnrichedBatch {
    let keep: BooleanArray = world::times(events.record_batch()).into_iter().map(|t| Some(t < at)).collect();
    EnrichedBatch::new(filter_record_batch(events.record_batch(), &keep).expect("filtering works"))
        .expect("same schema")
}
