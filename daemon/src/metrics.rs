//! Everything the daemon says of itself, as one written contract. Labels come from closed sets or from the
//! registry, never from event data or error text; the number of series is bounded.
//!
//! In: counts from every stage. Out: the Prometheus exposition text. Names are
//! `shadowprod_<stage>_<noun>_<unit>`; counters get `_total` in the exposition.

mod exposition;

use std::sync::Mutex;
use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use exposition::Latency;

/// What a source can tell of its logs and brokers.
const NOTICES: [&str; 7] = [
    "retention_gap",
    "topic_recreated",
    "topic_unreadable",
    "partition_added",
    "partition_stuck",
    "broker_down",
    "broker_up",
];

/// A gauge of seconds, ratios or scores.
pub type FloatGauge = Gauge<f64, AtomicU64>;

/// One topic of the config.
#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct TopicLabel {
    /// Topic name.
    pub topic: String,
}

/// A member of a closed set: format, reject reason, selector kind, change kind, outcome.
#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct KindLabel {
    /// The member's name.
    pub kind: &'static str,
}

/// A detection or rollup by id.
#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct QueryLabel {
    /// Id in the front matter.
    pub query: String,
}

/// A rollup by id.
#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct RollupLabel {
    /// Id in the front matter.
    pub rollup: String,
}

/// A detection and what became of it.
#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct DetectionKindLabel {
    /// Detection id.
    pub detection: String,
    /// Closed set: trigger or change kind.
    pub kind: &'static str,
}

/// Open findings by what routes them.
#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct OpenLabel {
    /// Detection id.
    pub detection: String,
    /// low, medium, high, critical.
    pub severity: &'static str,
    /// Person id of the registry, `nobody`, or `other` beyond OWNER_SERIES_MAX.
    pub owner: String,
}

/// One open finding, at most FINDING_SERIES_MAX of them.
#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct FindingLabel {
    /// Its id.
    pub finding_id: String,
    /// Detection id.
    pub detection: String,
    /// pilot or credential.
    pub subject_kind: String,
    /// Registry id or keyed hash.
    pub subject: String,
    /// low, medium, high, critical.
    pub severity: &'static str,
    /// Person id of the registry or `nobody`.
    pub owner: String,
    /// true or false.
    pub confirmed: &'static str,
}

/// One pilot's traffic against promotion, at most PILOT_SERIES_MAX pilots.
#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct PilotLabel {
    /// Pilot id of the registry, or `other`.
    pub pilot: String,
    /// Stage as of event time.
    pub stage: String,
    /// production or other: p_production against .8.
    pub environment: &'static str,
}

/// The metrics, shared by reference; every field is cheap to update from any thread.
pub struct Metrics {
    registry: Mutex<Registry>,
    latency: Mutex<Latency>,
    /// Messages read.
    pub ingest_messages: Family<TopicLabel, Counter>,
    /// Payload bytes read.
    pub ingest_bytes: Family<TopicLabel, Counter>,
    /// Messages between the next offset and the end of log.
    pub ingest_lag_messages: Family<TopicLabel, Gauge>,
    /// 1 while partitions are paused for back-pressure.
    pub ingest_paused: Gauge,
    /// 1 while the broker answers.
    pub ingest_broker_up: Gauge,
    /// Notices of the source, by name.
    pub ingest_notices: Family<KindLabel, Counter>,
    /// Messages lost to retention before they were read.
    pub ingest_lost_messages: Counter,
    /// Events decoded, by format.
    pub decode_events: Family<KindLabel, Counter>,
    /// Rejects, by reason.
    pub decode_rejects: Family<KindLabel, Counter>,
    /// Text fields cut at FIELD_BYTES_MAX.
    pub decode_cut_fields: Counter,
    /// Events dropped as duplicates.
    pub decode_duplicates: Counter,
    /// Event ids forgotten for want of room before their events were settled.
    pub decode_forgotten_ids: Counter,
    /// Same id, other content: kept.
    pub decode_conflicts: Counter,
    /// Attributed events by selector kind; `none` and `ambiguous` among them.
    pub enrich_attributed: Family<KindLabel, Counter>,
    /// Requests of pilots.
    pub pilot_requests: Family<PilotLabel, Counter>,
    /// Events rolled up.
    pub rollup_events: Counter,
    /// Events behind the watermark: counted, not rolled up.
    pub rollup_late_events: Counter,
    /// Events too far ahead of all others: counted, not rolled up.
    pub rollup_future_events: Counter,
    /// Rows kept.
    pub rollup_rows: Family<QueryLabel, Gauge>,
    /// Bytes that the rows of all rollups take.
    pub rollup_memory_bytes: Gauge,
    /// Bytes that they may take.
    pub rollup_memory_bytes_max: Gauge,
    /// Groups not kept because a bound was reached.
    pub rollup_overflow: Family<QueryLabel, Counter>,
    /// Event time until which a rollup's rows do not go back as far as detections look, seconds since 1970; 0 when warm.
    pub rollup_warming_until_seconds: Family<RollupLabel, FloatGauge>,
    /// Watermark, seconds since 1970.
    pub rollup_watermark_seconds: FloatGauge,
    /// Evaluations by detection and trigger (early, grid).
    pub detect_evaluations: Family<DetectionKindLabel, Counter>,
    /// What those took, seconds.
    pub detect_evaluation_seconds: Family<DetectionKindLabel, Counter<f64, AtomicU64>>,
    /// Failed evaluations.
    pub detect_errors: Family<QueryLabel, Counter>,
    /// Subjects that a detection could not judge for want of a log, of those that look at all subjects at once.
    pub detect_not_observable: Family<QueryLabel, Gauge>,
    /// One tick of all detections.
    pub detect_tick_seconds: Histogram,
    /// Changes by detection and kind.
    pub findings_changes: Family<DetectionKindLabel, Counter>,
    /// Early findings by what the grid said: confirmed, withdrawn.
    pub findings_early: Family<KindLabel, Counter>,
    /// Open findings by detection, severity and owner.
    pub findings_open: Family<OpenLabel, Gauge>,
    /// Open findings that have gone quiet and do not resolve, because a source of theirs is silent.
    pub findings_held: Gauge,
    /// Score of each open finding, the worst FINDING_SERIES_MAX of them.
    pub findings_score: Family<FindingLabel, FloatGauge>,
    /// One durable commit, on its own thread.
    pub store_commit_seconds: Histogram,
    /// How long the pipeline takes nothing in because of a commit.
    pub pipeline_commit_pause_seconds: Histogram,
    /// Size of the state on disk.
    pub store_size_bytes: Gauge,
    /// Registry reloads: applied, refused.
    pub registry_reloads: Family<KindLabel, Counter>,
    /// 1 while the registry on disk is the one in force.
    pub registry_current: Gauge,
    /// Query reloads: applied, refused.
    pub query_reloads: Family<KindLabel, Counter>,
    /// 1 while the queries on disk are the ones in force.
    pub query_current: Gauge,
    /// Posts to receivers: delivered, failed.
    pub notify_posts: Family<KindLabel, Counter>,
    /// Open findings that page nobody, because worse ones are more than an Alertmanager is told of.
    pub notify_untold: Gauge,
    /// Dead letters: delivered, failed (kept and sent again), dropped (no room, lost).
    pub notify_dead_letters: Family<KindLabel, Counter>,
    /// Dead letters not yet known to be delivered.
    pub notify_dead_letters_waiting: Gauge,
    /// Steps of the pipeline: progress, not life.
    pub pipeline_steps: Counter,
    /// End of the last step, seconds since 1970.
    pub pipeline_last_step_seconds: FloatGauge,
    /// Watchers connected.
    pub serve_watchers: Gauge,
    /// Explanations asked for: answered, refused.
    pub serve_explanations: Family<KindLabel, Counter>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// All metrics at zero.
    pub fn new() -> Self {
        let metrics = Self::unregistered();
        metrics.register_ingest();
        metrics.register_flow();
        metrics.register_findings();
        metrics.register_house();
        metrics.start_at_zero();
        metrics
    }

    /// Event time to durable finding.
    pub fn record_latency(&self, micros: u64) {
        if let Ok(mut latency) = self.latency.lock() {
            latency.record(micros);
        }
    }

    /// The exposition in OpenMetrics 1.0.
    pub fn encode(&self) -> String {
        let mut text = String::new();
        if let (Ok(registry), Ok(latency)) = (self.registry.lock(), self.latency.lock()) {
            exposition::encode(&mut text, &registry, &latency).expect("writing to a String cannot fail");
        }
        text
    }

    /// The same in Prometheus' text format 0.0.4, for readers that do not ask for OpenMetrics.
    pub fn encode_classic(&self) -> String {
        exposition::classic(&self.encode())
    }

    fn unregistered() -> Self {
        Self {
            registry: Mutex::new(Registry::default()),
            latency: Mutex::new(Latency::new()),
            ingest_messages: Family::default(),
            ingest_bytes: Family::default(),
            ingest_lag_messages: Family::default(),
            ingest_paused: Gauge::default(),
            ingest_broker_up: Gauge::default(),
            ingest_notices: Family::default(),
            ingest_lost_messages: Counter::default(),
            decode_events: Family::default(),
            decode_rejects: Family::default(),
            decode_cut_fields: Counter::default(),
            decode_duplicates: Counter::default(),
            decode_forgotten_ids: Counter::default(),
            decode_conflicts: Counter::default(),
            enrich_attributed: Family::default(),
            pilot_requests: Family::default(),
            rollup_events: Counter::default(),
            rollup_late_events: Counter::default(),
            rollup_future_events: Counter::default(),
            rollup_rows: Family::default(),
            rollup_memory_bytes: Gauge::default(),
            rollup_memory_bytes_max: Gauge::default(),
            rollup_overflow: Family::default(),
            rollup_warming_until_seconds: Family::default(),
            rollup_watermark_seconds: FloatGauge::default(),
            detect_evaluations: Family::default(),
            detect_evaluation_seconds: Family::default(),
            detect_errors: Family::default(),
            detect_not_observable: Family::default(),
            detect_tick_seconds: Histogram::new(exponential_buckets(0.000_25, 2.0, 14)),
            findings_changes: Family::default(),
            findings_early: Family::default(),
            findings_open: Family::default(),
            findings_held: Gauge::default(),
            findings_score: Family::default(),
            store_commit_seconds: Histogram::new(exponential_buckets(0.000_25, 2.0, 14)),
            pipeline_commit_pause_seconds: Histogram::new(exponential_buckets(0.000_25, 2.0, 14)),
            store_size_bytes: Gauge::default(),
            registry_reloads: Family::default(),
            registry_current: Gauge::default(),
            query_reloads: Family::default(),
            query_current: Gauge::default(),
            notify_posts: Family::default(),
            notify_untold: Gauge::default(),
            notify_dead_letters: Family::default(),
            notify_dead_letters_waiting: Gauge::default(),
            pipeline_steps: Counter::default(),
            pipeline_last_step_seconds: FloatGauge::default(),
            serve_watchers: Gauge::default(),
            serve_explanations: Family::default(),
        }
    }

    /// A series that first appears at 1 has no rate: closed sets known here are there from the start.
    fn start_at_zero(&self) {
        let sets: [(&Family<KindLabel, Counter>, &[&'static str]); 6] = [
            (&self.ingest_notices, &NOTICES),
            (&self.findings_early, &["confirmed", "withdrawn"]),
            (&self.registry_reloads, &["applied", "refused"]),
            (&self.query_reloads, &["applied", "refused"]),
            (&self.notify_posts, &["delivered", "failed"]),
            (&self.notify_dead_letters, &["delivered", "failed", "dropped"]),
        ];
        for (family, kinds) in sets {
            for kind in kinds {
                family.get_or_create(&KindLabel { kind }).inc_by(0);
            }
        }
    }

    fn register_ingest(&self) {
        let mut registry = self.registry.lock().expect("nobody panics while registering");
        let r = registry.sub_registry_with_prefix("shadowprod");
        r.register("ingest_messages", "Messages read", self.ingest_messages.clone());
        r.register_with_unit("ingest", "Payload bytes read", Unit::Bytes, self.ingest_bytes.clone());
        r.register("ingest_lag_messages", "Messages not yet read", self.ingest_lag_messages.clone());
        r.register(
            "ingest_paused",
            "1 while partitions are paused for back-pressure",
            self.ingest_paused.clone(),
        );
        r.register("ingest_broker_up", "1 while the broker answers", self.ingest_broker_up.clone());
        r.register("ingest_notices", "What the source noticed about the log", self.ingest_notices.clone());
        r.register(
            "ingest_lost_messages",
            "Messages deleted by retention before they were read",
            self.ingest_lost_messages.clone(),
        );
    }

    fn register_flow(&self) {
        let mut registry = self.registry.lock().expect("nobody panics while registering");
        let r = registry.sub_registry_with_prefix("shadowprod");
        r.register("decode_events", "Events decoded by format", self.decode_events.clone());
        r.register("decode_rejects", "Rejects by reason", self.decode_rejects.clone());
        r.register("decode_cut_fields", "Text fields cut at their bound", self.decode_cut_fields.clone());
        r.register("decode_duplicates", "Events dropped as duplicates", self.decode_duplicates.clone());
        let help =
            "Event ids forgotten for want of room before their events were settled: a repeat would count";
        r.register("decode_forgotten_ids", help, self.decode_forgotten_ids.clone());
        r.register(
            "decode_conflicts",
            "Events with a known id and other content, kept",
            self.decode_conflicts.clone(),
        );
        r.register(
            "enrich_attributed_events",
            "Events by the kind of selector that attributed them",
            self.enrich_attributed.clone(),
        );
        r.register(
            "pilot_requests",
            "Requests attributed to pilots, by stage as of event time",
            self.pilot_requests.clone(),
        );
        r.register("rollup_events", "Events rolled up", self.rollup_events.clone());
        r.register(
            "rollup_late_events",
            "Events behind the watermark, counted and not rolled up",
            self.rollup_late_events.clone(),
        );
        r.register(
            "rollup_future_events",
            "Events more than a day ahead of all others, counted and not rolled up",
            self.rollup_future_events.clone(),
        );
        r.register("rollup_rows", "Rows kept by rollup", self.rollup_rows.clone());
        let help = "Bytes that the rows of all rollups take in memory";
        r.register("rollup_memory_bytes", help, self.rollup_memory_bytes.clone());
        let help = "Bytes that they may take: new subjects up to four fifths of it";
        r.register("rollup_memory_bytes_max", help, self.rollup_memory_bytes_max.clone());
        r.register(
            "rollup_overflow",
            "Groups not kept because a bound was reached",
            self.rollup_overflow.clone(),
        );
        r.register_with_unit(
            "rollup_warming_until",
            "Event time until which a rollup's rows do not go back far enough, since 1970; 0 when they do",
            Unit::Seconds,
            self.rollup_warming_until_seconds.clone(),
        );
        r.register_with_unit(
            "rollup_watermark",
            "Watermark since 1970",
            Unit::Seconds,
            self.rollup_watermark_seconds.clone(),
        );
    }

    fn register_findings(&self) {
        let mut registry = self.registry.lock().expect("nobody panics while registering");
        let r = registry.sub_registry_with_prefix("shadowprod");
        r.register(
            "detect_evaluations",
            "Evaluations by detection and trigger",
            self.detect_evaluations.clone(),
        );
        r.register_with_unit(
            "detect_evaluation",
            "What evaluations took, by detection and trigger",
            Unit::Seconds,
            self.detect_evaluation_seconds.clone(),
        );
        r.register("detect_errors", "Failed evaluations", self.detect_errors.clone());
        r.register(
            "detect_not_observable_subjects",
            "Subjects that a detection could not judge for want of a log",
            self.detect_not_observable.clone(),
        );
        r.register_with_unit(
            "detect_tick",
            "One tick of all detections",
            Unit::Seconds,
            self.detect_tick_seconds.clone(),
        );
        r.register(
            "findings_changes",
            "Finding changes by detection and kind",
            self.findings_changes.clone(),
        );
        r.register("findings_early", "Early findings by what the grid said", self.findings_early.clone());
        r.register("findings_open", "Open findings", self.findings_open.clone());
        r.register(
            "findings_held",
            "Quiet findings that stay open because a source of theirs is silent",
            self.findings_held.clone(),
        );
        r.register("findings_score", "Score of each open finding", self.findings_score.clone());
    }

    fn register_house(&self) {
        let mut registry = self.registry.lock().expect("nobody panics while registering");
        let r = registry.sub_registry_with_prefix("shadowprod");
        r.register_with_unit(
            "store_commit",
            "One durable commit",
            Unit::Seconds,
            self.store_commit_seconds.clone(),
        );
        r.register_with_unit(
            "pipeline_commit_pause",
            "Time that the pipeline takes nothing in because of a commit",
            Unit::Seconds,
            self.pipeline_commit_pause_seconds.clone(),
        );
        r.register_with_unit("store_size", "State on disk", Unit::Bytes, self.store_size_bytes.clone());
        r.register("registry_reloads", "Registry reloads by outcome", self.registry_reloads.clone());
        r.register(
            "registry_current",
            "1 while the registry on disk is in force",
            self.registry_current.clone(),
        );
        r.register("query_reloads", "Query reloads by outcome", self.query_reloads.clone());
        r.register("query_current", "1 while the queries on disk are in force", self.query_current.clone());
        r.register("notify_posts", "Posts to receivers by outcome", self.notify_posts.clone());
        let help = "Open findings beyond the worst that an Alertmanager is told of";
        r.register("notify_untold", help, self.notify_untold.clone());
        r.register("notify_dead_letters", "Dead letters by outcome", self.notify_dead_letters.clone());
        r.register(
            "notify_dead_letters_waiting",
            "Dead letters not yet known to be delivered",
            self.notify_dead_letters_waiting.clone(),
        );
        r.register("pipeline_steps", "Steps of the pipeline", self.pipeline_steps.clone());
        r.register_with_unit(
            "pipeline_last_step",
            "End of the last step since 1970",
            Unit::Seconds,
            self.pipeline_last_step_seconds.clone(),
        );
        r.register("serve_watchers", "Watchers connected", self.serve_watchers.clone());
        let explanations = self.serve_explanations.clone();
        r.register("serve_explanations", "Explanations asked for: answered, refused", explanations);
    }
}
