//! Every bound in the product: a name, a unit, a reason. Nothing that grows lacks one.
//!
//! In: nothing. Out: constants. Nothing here is read from the environment.

/// Bytes of one Kafka message or one line of a replayed file. Larger ones are rejected, not truncated:
/// brokers allow 1 MiB by default, CloudTrail objects in an envelope reach several MiB.
pub const MESSAGE_BYTES_MAX: usize = 8 << 20;
/// Events in one envelope such as `{"Records": [...]}`; a delivered CloudTrail object holds a few thousand.
pub const ENVELOPE_EVENTS_MAX: usize = 65_536;
/// Envelopes inside envelopes: an array of lookup-events items, each with a record in a string, has two.
pub const ENVELOPE_LEVELS_MAX: usize = 3;
/// Nesting of one JSON value. serde_json stops at 128 by itself; real records stay under 20.
pub const JSON_DEPTH_MAX: usize = 64;
/// Bytes of one text field that is kept in an event; longer ones are cut at a character boundary and
/// counted, so that an attacker cannot grow state through a user agent.
pub const FIELD_BYTES_MAX: usize = 1_024;

/// Messages in one micro-batch: 8,192 rows keep DataFusion's group-by in cache.
pub const BATCH_MESSAGES_MAX: usize = 8_192;
/// Payload bytes in one micro-batch: bounds what a step holds when messages are large.
pub const BATCH_BYTES_MAX: usize = 16 << 20;
/// Batches that wait between the Kafka thread and the pipeline before partitions are paused.
pub const BATCHES_IN_FLIGHT_MAX: usize = 4;

/// Topics of one daemon: ten bits of a packed position.
pub const TOPICS_MAX: u16 = 1 << 10;
/// Partitions of one topic: thirteen bits of a packed position.
pub const PARTITIONS_MAX: i32 = 1 << 13;
/// Offsets of one partition: forty bits of a packed position (a trillion messages).
pub const OFFSET_MAX: i64 = 1 << 40;

/// Groups (rows) kept by one rollup; beyond it new groups are counted as overflow and not kept.
pub const ROLLUP_GROUPS_MAX: usize = 20_000_000;
/// Bytes of one text value in a rollup key.
pub const ROLLUP_KEY_BYTES_MAX: usize = 256;

/// Event ids remembered per source that removes duplicates.
pub const DEDUPE_IDS_MAX: usize = 1_000_000;
/// Seconds for which an event id is remembered: audit logs are redelivered within minutes.
pub const DEDUPE_WINDOW_SECONDS: i64 = 3_600;
/// An event this far ahead of the broker's time does not move the watermark.
pub const FUTURE_SKEW_SECONDS_MAX: i64 = 300;

/// Rejected payloads kept in the store; beyond it the oldest give way, counts stay exact.
pub const QUARANTINE_ROWS_MAX: usize = 10_000;
/// Bytes kept of one rejected payload.
pub const QUARANTINE_PAYLOAD_BYTES_MAX: usize = 4_096;

/// Pilots, services, people, teams, promotions, exceptions and selectors in one registry, each.
pub const REGISTRY_ENTRIES_MAX: usize = 50_000;
/// Bytes of one registry, query or config file.
pub const TEXT_FILE_BYTES_MAX: u64 = 4 << 20;
/// Bytes of one SQL file.
pub const QUERY_BYTES_MAX: usize = 64 << 10;
/// Nesting of parentheses in one SQL file: deeper input could overflow the planner's stack.
pub const QUERY_DEPTH_MAX: usize = 64;
/// Queries of one kind (rollups, detections).
pub const QUERIES_MAX: usize = 1_000;

/// Findings in one page of `ListFindings`.
pub const PAGE_SIZE_MAX: u32 = 1_000;
/// Watchers served at the same time.
pub const WATCHERS_MAX: usize = 256;
/// Finding changes kept for watchers that resume; an older token gets OUT_OF_RANGE.
pub const CHANGES_KEPT_MAX: u64 = 1_000_000;
/// Findings exposed one by one as a metric; beyond it only the counts grow.
pub const FINDING_SERIES_MAX: usize = 500;
/// Pilots exposed one by one as a metric; the rest share the label `other`.
pub const PILOT_SERIES_MAX: usize = 300;
/// Owners exposed one by one as a metric label; the rest share the label `other`.
pub const OWNER_SERIES_MAX: usize = 100;
