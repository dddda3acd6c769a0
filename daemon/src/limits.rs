//! Every bound in the product: a name, a unit, a reason. Nothing that grows lacks one.
//!
//! In: nothing. Out: constants. Nothing here is read from the environment.

/// Bytes of one Kafka message or one line of a replayed file. Larger ones are rejected, not truncated:
/// brokers allow 1 MiB by default, CloudTrail objects in an envelope reach several MiB.
pub const MESSAGE_BYTES_MAX: usize = 8 << 20;
/// Bytes that one message compressed by its sender may inflate to: a CloudTrail or Firehose object of 1 MiB,
/// which brokers allow by default, has some 20 MiB. A bomb is stopped here and rejected.
pub const INFLATED_BYTES_MAX: usize = 32 << 20;
/// Events and rejects of one message, envelopes in envelopes included; a delivered CloudTrail object holds a few
/// thousand.
pub const ENVELOPE_EVENTS_MAX: usize = 65_536;
/// Envelopes inside envelopes: an array of lookup-events items, each with a record in a string, has two; a log line
/// of a shipper around a CloudWatch subscription around a record has three.
pub const ENVELOPE_LEVELS_MAX: usize = 3;
/// Nesting of one JSON value. serde_json stops at 128 by itself; real records stay under 20.
pub const JSON_DEPTH_MAX: usize = 64;
/// Elements of an array inside one event that are looked through (targets, permissions): no provider lists more.
pub const NESTED_ELEMENTS_MAX: usize = 64;
/// Bytes of one text field that is kept in an event; longer ones are cut at a character boundary and
/// counted, so that an attacker cannot grow state through a user agent.
pub const FIELD_BYTES_MAX: usize = 1_024;

/// Layouts of the user's own in one config: as many as a large company has gateways of its own making.
pub const LAYOUTS_MAX: usize = 256;
/// Places that one such layout names: each is looked for in every record.
pub const LAYOUT_PLACES_MAX: usize = 256;

/// Messages in one micro-batch: 8,192 rows keep DataFusion's group-by in cache.
pub const BATCH_MESSAGES_MAX: usize = 8_192;
/// Payload bytes in one micro-batch: bounds what a step holds when messages are large.
pub const BATCH_BYTES_MAX: usize = 16 << 20;
/// Events and rejects that go through the pipeline at a time, but for those of the last message: an event may be
/// written in two bytes of an envelope and takes a hundred times that in memory.
pub const BATCH_OUTCOMES_MAX: usize = ENVELOPE_EVENTS_MAX;
/// Batches that wait between the Kafka thread and the pipeline before partitions are paused.
pub const BATCHES_IN_FLIGHT_MAX: usize = 4;
/// Milliseconds for which a batch waits for company after its first message: live findings come within a
/// second, and a burst still makes large batches.
pub const BATCH_LINGER_MS: u64 = 20;
/// Messages taken from one partition before the next one has its turn.
pub const PARTITION_TURN_MESSAGES_MAX: usize = 512;
/// Milliseconds of a full hand-over before partitions are paused: pausing throws away what is prefetched.
pub const STALL_BEFORE_PAUSE_MS: u64 = 1_000;
/// Milliseconds that the reading thread sleeps at most when nothing arrives; a new message wakes it earlier.
pub const READER_SLEEP_MS: u64 = 20;
/// Kilobytes prefetched in all partitions together.
pub const PREFETCH_KBYTES_MAX: usize = 8_192;
/// Kilobytes prefetched in one partition at least, however many there are.
pub const PREFETCH_PARTITION_KBYTES_MIN: usize = 64;
/// Milliseconds between two looks at a topic's partitions.
pub const METADATA_INTERVAL_MS: u64 = 5_000;
/// Milliseconds between two looks while a broker or a topic is missing.
pub const METADATA_RETRY_MS: u64 = 500;
/// Milliseconds for which a topic that the broker does not give, or not whole, holds event time back: a broker that
/// starts gives its topics one by one within seconds. A topic that is not there at all holds nothing beyond it.
pub const TOPIC_GRACE_MS: i64 = 60_000;
/// Milliseconds for which a client may give nothing of a partition that has more before another takes its place.
pub const STUCK_AFTER_MS: u64 = 10_000;
/// Milliseconds until that is tried again, at most: the time doubles while it does not help.
pub const STUCK_AGAIN_AFTER_MS_MAX: u64 = 600_000;
/// Milliseconds for which one question to a broker may stay unanswered.
pub const BROKER_ANSWER_MS: u64 = 5_000;
/// Messages that are read through to get to the next one wanted; beyond it reading starts there anew, which costs a
/// round trip.
pub const FETCH_READ_THROUGH_MAX: i64 = 1_000;
/// Milliseconds between two offset commits to the broker, which only display lag.
pub const BROKER_COMMIT_INTERVAL_MS: u64 = 1_000;
/// Unread bytes of one partition in the embedded broker: it keeps 5 MiB and drops the rest in silence.
pub const EMBEDDED_UNREAD_BYTES_MAX: usize = 2 << 20;
/// Unread messages of one partition in the embedded broker: it keeps 100,000.
pub const EMBEDDED_UNREAD_MESSAGES_MAX: usize = 40_000;
/// Questions and answers that wait between the reading thread and the one that asks for partitions.
pub const DISCOVERIES_IN_FLIGHT_MAX: usize = 64;

/// Topics of one daemon: ten bits of a packed position.
pub const TOPICS_MAX: u16 = 1 << 10;
/// Partitions of one topic: thirteen bits of a packed position.
pub const PARTITIONS_MAX: i32 = 1 << 13;
/// Offsets of one partition: forty bits of a packed position (a trillion messages).
pub const OFFSET_MAX: i64 = 1 << 40;

/// Groups (rows) kept by one rollup; beyond it new groups are counted as overflow and not kept.
pub const ROLLUP_GROUPS_MAX: usize = 20_000_000;
/// Bytes of a stored segment of rollup rows; a larger one is cut. Eight are merged at once, which takes some six times as
/// much memory for a moment: 96 MiB. A power of eight, as size classes are.
pub const SEGMENT_BYTES_MAX: usize = 2 << 20;
/// MiB that the rows of all rollups take together at most, unless the config says otherwise: three million credentials
/// with what is kept of each. New subjects are not kept beyond four fifths of it, known ones not beyond all of it; both
/// are counted as overflow.
pub const STATE_MEMORY_MIB_DEFAULT: usize = 4_096;
/// Below it not even a small company has room.
pub const STATE_MEMORY_MIB_MIN: usize = 16;
/// Registers of a sketch of distinct values, as a power of two: 2,048 bytes, and a standard error of 2.3 % where there
/// are more than SKETCH_EXACT_MAX values. Thresholds on such counts are round numbers.
pub const SKETCH_LG_REGISTERS: u8 = 11;
/// Values up to which a sketch of that size keeps one coupon of 4 bytes each and counts exactly.
pub const SKETCH_EXACT_MAX: u32 = 192;
/// Bytes of sketches in one table of a rollup: 250,000 of the largest, or 10 million with ten values each. Beyond it a
/// sketch grows no more and no new group is kept, which is counted as overflow.
pub const ROLLUP_SKETCH_BYTES_MAX: usize = 512 << 20;

/// Rows of one stored segment that a rebuild writes: a rollup of ROLLUP_GROUPS_MAX becomes twenty of some 100 MB, a
/// tenth of what SQLite takes in one value.
pub const REBUILT_SEGMENT_ROWS_MAX: usize = 1_000_000;

/// Tokens remembered with their issuers, and with those who present them, each: 4 million at some 60 bytes. Beyond it
/// a new token links nobody, which is counted as overflow.
pub const LINKS_MAX: usize = 4_000_000;
/// Times that one credential may stand for another, in a row: role chaining beyond four is not seen in practice, and
/// shared-credential.sql follows as many.
pub const LINK_LEVELS_MAX: usize = 4;
/// Subjects that one early look reads because tokens tie them to those that changed; a larger family waits for the
/// grid, which reads it whole.
pub const EARLY_FAMILY_MAX: usize = 10_000;

/// Event ids remembered of all sources that remove duplicates, at some 80 bytes: those of events that are not settled,
/// which is half an hour of 500 a second. Beyond it the oldest are forgotten, which is counted.
pub const DEDUPE_IDS_MAX: usize = 1_000_000;
/// An event this far ahead of the broker's time, or of ours, does not move the watermark.
pub const FUTURE_SKEW_SECONDS_MAX: i64 = 300;
/// Seconds that an event may be ahead of the newest one that moved the watermark: a clock without its zone is less. What
/// is beyond it is counted and not rolled up, for each of its minutes would be kept until it comes.
pub const FUTURE_KEPT_SECONDS_MAX: i64 = 86_400;
/// Milliseconds for which a partition that brings only what tells no time holds event time back for all: its format is
/// not the one that the config says, or its clock is wrong.
pub const UNUSABLE_GRACE_MS: i64 = 60_000;
/// Milliseconds without a turn after which a process takes it that it was stopped, and its machine asleep: what it knows
/// of ends of logs may be hours old.
pub const LEAP_MS: i64 = 10_000;
/// Milliseconds after such a leap in which nobody believes that a log has ended: what was said before it may wait yet.
pub const LEAP_DOUBT_MS: i64 = 5_000;
/// Milliseconds after which partitions at their end of log are told again to who may have forgotten it.
pub const ENDS_TOLD_EVERY_MS: u64 = 1_000;
/// Milliseconds of grid points in one step while the daemon runs: days of them may have waited for one source. Commits,
/// the watchdog, an end and new messages come between steps, and of those BATCHES_IN_FLIGHT_MAX batches stand in line.
pub const SETTLE_STEP_MS: u64 = 100;
/// Times as much where more grid points wait than at the step before: what is read brings more of them than a step walks.
pub const SETTLE_STEP_BEHIND: u32 = 10;
/// Seconds of event time that the grid may be behind what was read. Beyond it nothing is read until the grid has come
/// nearer: rows of each grid interval in between stand in memory on their own.
pub const GRID_BEHIND_SECONDS_MAX: i64 = 86_400;
/// Milliseconds from one early look to the next at most, however long the one took: it may have been stopped on its way.
pub const EARLY_REST_MS_MAX: i64 = 5_000;

/// Rejected payloads of one topic and reason kept in the store, a sample where there are more: enough to see what is
/// wrong with one producer and to try a fix. Counts stay exact.
pub const QUARANTINE_KIND_ROWS_MAX: usize = 500;
/// Rejected payloads kept in the store in all, at QUARANTINE_PAYLOAD_BYTES_MAX each some 40 MiB.
pub const QUARANTINE_ROWS_MAX: usize = 10_000;
/// Bytes kept of one rejected payload.
pub const QUARANTINE_PAYLOAD_BYTES_MAX: usize = 4_096;
/// Dead letters that wait in the store for the broker, at most some 100 MiB; those beyond it are dropped and counted.
/// What one second of a flood brings, or hours of a few bad messages while the broker is away.
pub const DEAD_LETTERS_WAITING_MAX: usize = 10_000;
/// Milliseconds for which a client may deliver none of the dead letters that it has before another takes its place.
pub const DEAD_LETTERS_STUCK_MS: u64 = 120_000;
/// Dead letters handed to the client and not yet acknowledged.
pub const DEAD_LETTERS_IN_FLIGHT_MAX: usize = 1_024;
/// Decisions kept that did not come from the logs (idle partitions, reloads): months of them at one a minute.
pub const CONTROL_ROWS_MAX: usize = 1_000_000;
/// Losses of evidence remembered one by one: of twenty rollups without room for a week one an hour, and as many again.
/// The oldest go, which were told.
pub const LOSSES_MAX: usize = 10_000;
/// Seconds for which losses are remembered: detections that tell them look back less far.
pub const LOSSES_KEPT_SECONDS: i64 = 8 * 86_400;
/// Former places of findings in the list, kept so that page tokens walk the list as it was; a token older
/// than these is refused.
pub const PAGE_WALK_KEYS_MAX: usize = 200_000;

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
/// Events of one entry in a query's cases: a case is to be read by a person.
pub const CASE_EVENTS_MAX: usize = 100_000;

/// Rows that one explanation reads of all tables together: as a tick does of a detection that sees every subject. The
/// copies of a larger state would hold up the pipeline.
pub const EXPLAIN_INPUT_ROWS_MAX: usize = 1_000_000;
/// Pairs of rows that are looked at to say which condition of a join has no match; beyond it the join is named whole.
pub const EXPLAIN_PAIRS_MAX: u64 = 1_000_000;
/// Rows of a subject that are compared for the one that comes closest to a finding.
pub const EXPLAIN_CLOSEST_MAX: usize = 10_000;

/// Rows of one table that an explanation shows: a screen; of the others it says how many there are.
pub const EXPLAIN_ROWS_SHOWN_MAX: usize = 20;
/// Characters of one cell or value that an explanation shows: names are shorter, lists in texts are cut.
pub const EXPLAIN_CELL_CHARS_MAX: usize = 200;
/// Seconds for one explanation: a query author waits no longer, and only one is worked on at a time.
pub const EXPLAIN_SECONDS_MAX: u64 = 20;
/// Questions that wait for the pipeline to copy rows between two batches: one is worked on at a time.
pub const EXPLAIN_WAITING_MAX: usize = 1;

/// Findings in one page of `ListFindings`.
pub const PAGE_SIZE_MAX: u32 = 1_000;
/// Bytes of one `ListFindings` response: gRPC clients refuse messages over 4 MiB unless told otherwise.
pub const PAGE_BYTES_MAX: usize = 3 << 20;
/// Questions that the store answers at the same time, each on a read-only connection and a blocking thread.
pub const READERS_MAX: usize = 4;
/// Watchers served at the same time.
pub const WATCHERS_MAX: usize = 256;
/// Findings or changes that one watcher reads from the store at a time.
pub const WATCH_READ_MAX: u32 = 128;
/// Responses that wait for one watcher's connection; the watcher reads on when there is room.
pub const WATCH_QUEUE_MAX: usize = 16;
/// Finding changes kept for watchers that resume; an older token gets OUT_OF_RANGE.
pub const CHANGES_KEPT_MAX: u64 = 1_000_000;
/// Alerts in one post to an Alertmanager; more are sent in several posts.
pub const ALERTS_PER_POST_MAX: usize = 256;
/// Alerts that one Alertmanager is told of, worst first: nobody reads more pages, and the rest is served, counted and
/// alerted.
pub const ALERTS_MAX: usize = 4_096;
/// Findings exposed one by one as a metric; beyond it only the counts grow.
pub const FINDING_SERIES_MAX: usize = 500;
/// Pilots exposed one by one as a metric; the rest share the label `other`.
pub const PILOT_SERIES_MAX: usize = 300;
/// Owners exposed one by one as a metric label; the rest share the label `other`.
pub const OWNER_SERIES_MAX: usize = 100;
/// Files of one registry: a folder that was named by mistake is refused soon.
pub const REGISTRY_FILES_MAX: usize = 10_000;
/// Folders within folders of one registry.
pub const REGISTRY_DEPTH_MAX: usize = 16;
/// Mistakes reported of one load; more are counted: nobody reads further.
pub const REGISTRY_ERRORS_MAX: usize = 1_000;
/// Bytes of one id: ids become metric labels, table keys and parts of finding ids.
pub const REGISTRY_ID_BYTES_MAX: usize = 128;
/// Bytes of one text in a registry or signal file; as long as the event fields it is compared with.
pub const REGISTRY_TEXT_BYTES_MAX: usize = FIELD_BYTES_MAX;
/// Selectors, stages or members of one entry, each.
pub const REGISTRY_LIST_MAX: usize = 10_000;
/// Nodes of one YAML file with its aliases written out: a file of TEXT_FILE_BYTES_MAX full of users has 400,000.
/// An alias is shared, not copied; the bound is for those that would stand for billions.
pub const YAML_NODES_MAX: usize = 500_000;
/// Documents of one YAML file: a file of TEXT_FILE_BYTES_MAX full of users has 14,000.
pub const YAML_DOCUMENTS_MAX: usize = 20_000;
/// Nesting of one YAML document, aliases written out: catalog entities need 6 levels, embedded API definitions more.
pub const YAML_DEPTH_MAX: usize = 64;
/// Files of other people's networks that one registry names: four clouds and a few databases.
pub const NETWORK_FILES_MAX: usize = 16;
/// Bytes of one file of cloud ranges: Azure's, the largest, has 4 MiB.
pub const RANGES_FILE_BYTES_MAX: u64 = 32 << 20;
/// Ranges in all such files together, at 50 bytes each: Azure lists 100,000, most of them several times.
pub const CLOUD_RANGES_MAX: usize = 1_000_000;
/// Bytes of one database of autonomous systems, which is held in memory, during a reload twice: GeoLite2-ASN has
/// 10 MiB, IPinfo's larger ones 100.
pub const AS_DATABASE_BYTES_MAX: u64 = 256 << 20;
/// Records of such a database that are looked at to see whether it tells autonomous systems at all.
pub const AS_DATABASE_PROBES_MAX: usize = 10_000;
/// Milliseconds without a change before a folder is read again: editors and syncs write in bursts.
pub const RELOAD_QUIET_MS: u64 = 300;
/// Milliseconds of changes without such a pause after which it is read all the same.
pub const RELOAD_BURST_MS_MAX: u64 = 5_000;

/// Longest grid of a detection, microseconds: a day. So long rows are kept beyond their rollup's retention.
pub const DETECTION_GRID_MICROS_MAX: i64 = 86_400_000_000;

/// Operators in a row, or joins and unions, before a comma, a bracket or a clause's keyword: each may be one more level
/// of the tree that the planner walks, and no query of ours has a quarter of it.
pub const QUERY_CHAIN_MAX: usize = 200;
/// Memory that a running query may hold for sorts, joins and groups: one that wants more, as a product of tables does,
/// fails and is counted, and the daemon goes on.
pub const QUERY_MEMORY_BYTES_MAX: usize = 2 << 30;

/// Texts in the signal tables: each is compared with every new combination of values.
pub const SIGNALS_MAX: usize = 2_000;
/// Distinct texts whose meaning enrich remembers between batches; at FIELD_BYTES_MAX each that is 64 MiB,
/// usually a tenth. Beyond it everything is forgotten and worked out again.
pub const ENRICH_TEXTS_MAX: usize = 65_536;
/// Combinations of values whose outcome enrich remembers between batches, of each kind.
pub const ENRICH_TUPLES_MAX: usize = 131_072;
/// Damaged places of one part of a state that `verify` lists; it counts the others.
pub const VERIFY_DAMAGE_MAX: usize = 20;
/// How far behind the end of its generated history a demo's last event may lie, seconds.
pub const DEMO_END_SLACK_SECONDS: f64 = 1_800.0;
/// Seconds that a daemon which was asked to stop has for its last commit and for closing its clients, which have some
/// twenty together; then the process ends as it is. A unit's TimeoutStopSec is longer.
pub const STOP_SECONDS_MAX: u64 = 30;
