//! Every column and its unit, once. Each stage's batch is a newtype whose one constructor checks the schema.
//!
//! In: columns built by a stage. Out: [`EventBatch`], [`EnrichedBatch`]. Nothing here computes.
//! Times are microseconds since 1970 in UTC. `Dict` columns repeat few values: work on them is done once a value.

use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use arrow::record_batch::RecordBatch;

/// How a column is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `Dictionary(Int32, Utf8)`: few distinct values a batch.
    Dict,
    /// `Utf8`.
    Text,
    /// `Int64`.
    Int,
    /// `Float64`.
    Float,
    /// `Boolean`.
    Bool,
    /// `Timestamp(Microsecond)` without a zone, always UTC.
    Time,
}

impl Kind {
    fn data_type(self) -> DataType {
        match self {
            Kind::Dict => DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8)),
            Kind::Text => DataType::Utf8,
            Kind::Int => DataType::Int64,
            Kind::Float => DataType::Float64,
            Kind::Bool => DataType::Boolean,
            Kind::Time => DataType::Timestamp(TimeUnit::Microsecond, None),
        }
    }
}

/// One column: its name, storage, whether it may be null, and what it means.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    /// The name that query authors write.
    pub name: &'static str,
    /// How it is stored.
    pub kind: Kind,
    /// Whether a row may lack it.
    pub nullable: bool,
    /// Meaning and unit in one line.
    pub meaning: &'static str,
}

const fn column(name: &'static str, kind: Kind, nullable: bool, meaning: &'static str) -> Column {
    Column { name, kind, nullable, meaning }
}

/// What decode fills in. The columns of [`SECRET_COLUMNS`] end at enrich: keyed hashes take their place.
pub const EVENT_COLUMNS: &[Column] = &[
    column("event_time", Kind::Time, false, "when it happened, by the source's clock"),
    column("position", Kind::Int, false, "packed topic, partition, offset: see ingest::Position::pack"),
    column("source", Kind::Dict, false, "name of the source in the config"),
    column("format", Kind::Dict, false, "closed set: decode::Format::name, and the layouts of the config"),
    column("event_id", Kind::Text, true, "the source's own id, null where it has none"),
    column(
        "action",
        Kind::Dict,
        true,
        "what was done: CloudTrail eventSource:eventName, HTTP method, Okta eventType, Entra sign-in category, Google serviceName:method, Azure operation in lower case, Kubernetes verb:resource",
    ),
    column(
        "outcome",
        Kind::Dict,
        false,
        "closed set: success, failure (the target's fault, HTTP 5xx), denied (401, 403, AccessDenied), throttled (429), rejected (other 4xx), unknown",
    ),
    column("status_code", Kind::Int, true, "HTTP status or the provider's numeric code"),
    column("error", Kind::Dict, true, "the provider's own word or code for what went wrong, null on success"),
    column(
        "principal",
        Kind::Dict,
        true,
        "who acted, as the source names it: role ARN without session, user ARN, user id, SPIFFE id, service principal id",
    ),
    column(
        "principal_kind",
        Kind::Dict,
        false,
        "closed set: human, workload, role, aws_service, root, unknown, none",
    ),
    column(
        "session_name",
        Kind::Dict,
        true,
        "AWS role session name or source identity; whom a delegation or impersonation names; else null",
    ),
    column(
        "credential_kind",
        Kind::Dict,
        true,
        "closed set: static_key, role_session, console, api_token, session, service_principal_key, service_principal, user_object, gateway_key, service_account_key, principal, vault_accessor; null drops the event from credential work",
    ),
    column("credential_secret", Kind::Dict, true, "what identifies the credential, RAW: never leaves enrich"),
    column(
        "token_secret",
        Kind::Dict,
        true,
        "id of the short-lived token or session key that was presented, RAW: links it to who issued it",
    ),
    column(
        "issued_secret",
        Kind::Dict,
        true,
        "id of the token or key that this event issued to its principal, RAW: never leaves enrich",
    ),
    column(
        "credential_attribution",
        Kind::Float,
        true,
        "1 for a static key, .2 where the session names a person, .3 where delegation does",
    ),
    column("source_ip", Kind::Dict, true, "client address without port"),
    column("user_agent", Kind::Dict, true, "as sent"),
    column(
        "flow",
        Kind::Dict,
        true,
        "space-separated facts about how it authenticated, closed words: see queries/signals",
    ),
    column("host", Kind::Dict, true, "gateway: authority asked for, lower case, without port"),
    column("route", Kind::Dict, true, "gateway: route name, else the first two path segments"),
    column("account", Kind::Dict, true, "cloud account, subscription or tenant of the target"),
    column("region", Kind::Dict, true, "cloud region"),
    column(
        "namespace",
        Kind::Dict,
        true,
        "partition inside the account: Kubernetes or Vault namespace, Kong workspace, mesh namespace",
    ),
    column("environment", Kind::Dict, true, "environment that the source itself names (stage, tag)"),
    column("target", Kind::Dict, true, "resource acted on: ARN, bucket, upstream host, application"),
    column("model", Kind::Dict, true, "AI model or inference profile asked for"),
    column("tool", Kind::Dict, true, "tool that an agent called: MCP tool, function name"),
    column("consumer", Kind::Dict, true, "gateway consumer or key id (not secret)"),
    column(
        "peer",
        Kind::Dict,
        true,
        "verified identity of the calling workload (SPIFFE id of the mTLS peer)",
    ),
    column("trace_id", Kind::Text, true, "distributed trace or request id that links retries"),
];

/// Columns of raw values that no stage after enrich sees.
pub const SECRET_COLUMNS: [&str; 3] = ["credential_secret", "token_secret", "issued_secret"];

/// What enrich adds. The enriched batch holds every event column but [`SECRET_COLUMNS`], then these.
pub const ENRICHED_COLUMNS: &[Column] = &[
    column(
        "grid_time",
        Kind::Time,
        false,
        "end of the base grid interval the event belongs to: event_time < grid_time",
    ),
    column("pilot", Kind::Text, true, "pilot id the event is attributed to, as of event time"),
    column(
        "pilot_stage",
        Kind::Text,
        true,
        "that pilot's stage as of event time: proposed, pilot, approved, production, suspended, revoked",
    ),
    column(
        "attribution",
        Kind::Text,
        true,
        "selector kind that attributed it; ambiguous where several pilots claim it and none gets it; null where nobody does",
    ),
    column("attribution_confidence", Kind::Float, true, "0..1"),
    column(
        "purpose",
        Kind::Text,
        true,
        "purpose of the pilot or service called: what callers could use instead shares it",
    ),
    column("service", Kind::Text, true, "service of the registry that was called; null where a pilot was"),
    column("p_production", Kind::Float, false, "probability that this touches production, 0..1"),
    column("synthetic", Kind::Bool, false, "load test, health check, mirrored traffic"),
    column(
        "excepted",
        Kind::Bool,
        false,
        "covered by an exception valid at event time, or inside the registry's grace before a promotion",
    ),
    column(
        "caller",
        Kind::Text,
        true,
        "who called: service id, else principal, else gateway consumer, else network",
    ),
    column("caller_team", Kind::Text, true, "team that owns the caller"),
    column("caller_production", Kind::Bool, false, "the caller is itself a production workload"),
    column("own_team", Kind::Bool, false, "the caller belongs to the pilot's own team"),
    column("credential", Kind::Text, true, "keyed hash of the credential, c_ + 32 hex digits"),
    column("token", Kind::Text, true, "keyed hash of the token presented, c_ + 32 hex digits"),
    column(
        "issued_token",
        Kind::Text,
        true,
        "keyed hash of the token issued: equals `token` where it is used",
    ),
    column(
        "credential_label",
        Kind::Text,
        true,
        "what a person may read of it: principal and session, never a secret",
    ),
    column("credential_shared", Kind::Bool, false, "the registry declares this principal shared by people"),
    column(
        "network",
        Kind::Text,
        true,
        "named network, else cloud and region, else AS number, else /24 or /48 prefix of source_ip",
    ),
    column(
        "network_kind",
        Kind::Text,
        true,
        "closed set: office, residential, vpn, cloud, datacenter, unknown",
    ),
    column(
        "cloud_provider",
        Kind::Text,
        true,
        "cloud that publishes source_ip as its own: aws, google, azure, cloudflare; null where no file says so",
    ),
    column(
        "asn",
        Kind::Int,
        true,
        "number of the autonomous system that announces source_ip, where a file tells",
    ),
    column("as_name", Kind::Text, true, "organisation that runs that autonomous system"),
    column(
        "client_family",
        Kind::Text,
        true,
        "coarse client: browser, console, aws-cli, sdk, kubectl, ... (queries/signals/client_families.toml)",
    ),
    column(
        "ai_provider",
        Kind::Text,
        true,
        "whose models were called, null where this is no AI call (queries/signals/ai_calls.toml)",
    ),
    column(
        "ai_operation",
        Kind::Text,
        true,
        "closed set: invoke, list, manage; null where this is no AI call",
    ),
    column("human_client", Kind::Float, false, "human log-odds of the client family of signals, >= 0"),
    column("workload_client", Kind::Float, false, "workload log-odds of the client family, >= 0"),
    column("human_network", Kind::Float, false, "human log-odds, network family, >= 0"),
    column("workload_network", Kind::Float, false, "workload log-odds, network family, >= 0"),
    column("human_flow", Kind::Float, false, "human log-odds, flow family, >= 0"),
    column("workload_flow", Kind::Float, false, "workload log-odds, flow family, >= 0"),
    column(
        "acting_pilot",
        Kind::Text,
        true,
        "pilot that itself acts as of event time: its identity, key or client is who called",
    ),
    column("acting_confidence", Kind::Float, true, "how sure that is, 0..1"),
    column(
        "data_store",
        Kind::Text,
        true,
        "data that the acting pilot touched, by its container: s3://bucket, bigquery://project.dataset.table, secret://name, kafka://topic, ...",
    ),
    column(
        "data_scope",
        Kind::Text,
        true,
        "how data_store stands to that pilot's data scope as of event time: inside, excepted, outside; null where the scope does not speak of such stores",
    ),
    column(
        "tool_scope",
        Kind::Text,
        true,
        "how tool stands to what that pilot may do without a person: inside, excepted, outside; null where that is not declared",
    ),
    column(
        "approval",
        Kind::Bool,
        false,
        "somebody approved an action of the pilot: see queries/signals/approvals.toml",
    ),
];

fn schema_of(columns: impl Iterator<Item = &'static Column>) -> SchemaRef {
    Arc::new(Schema::new(
        columns.map(|c| Field::new(c.name, c.kind.data_type(), c.nullable)).collect::<Vec<_>>(),
    ))
}

/// Schema of [`EventBatch`].
pub static EVENT_SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| schema_of(EVENT_COLUMNS.iter()));

/// Schema of [`EnrichedBatch`]: what the SQL table `events` looks like.
pub static ENRICHED_SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    schema_of(EVENT_COLUMNS.iter().filter(|c| !SECRET_COLUMNS.contains(&c.name)).chain(ENRICHED_COLUMNS))
});

/// A batch did not have its stage's schema: a bug, never bad input.
#[derive(Debug, thiserror::Error)]
#[error("batch has schema {found}, stage wants {expected}")]
pub struct SchemaMismatch {
    /// The stage's schema.
    pub expected: SchemaRef,
    /// What was handed in.
    pub found: SchemaRef,
}

fn checked(batch: RecordBatch, expected: &SchemaRef) -> Result<RecordBatch, SchemaMismatch> {
    if batch.schema_ref().fields() == expected.fields() {
        return Ok(batch);
    }
    Err(SchemaMismatch { expected: expected.clone(), found: batch.schema() })
}

/// Decoded events, schema [`EVENT_SCHEMA`], one row an event, in message order.
#[derive(Debug, Clone)]
pub struct EventBatch(RecordBatch);

impl EventBatch {
    /// Wraps `batch` if it has exactly [`EVENT_SCHEMA`].
    pub fn new(batch: RecordBatch) -> Result<Self, SchemaMismatch> {
        checked(batch, &EVENT_SCHEMA).map(Self)
    }

    /// The rows.
    pub fn record_batch(&self) -> &RecordBatch {
        &self.0
    }
}

/// Events with what the registry and the signals say of them, schema [`ENRICHED_SCHEMA`].
#[derive(Debug, Clone)]
pub struct EnrichedBatch(RecordBatch);

impl EnrichedBatch {
    /// Wraps `batch` if it has exactly [`ENRICHED_SCHEMA`].
    pub fn new(batch: RecordBatch) -> Result<Self, SchemaMismatch> {
        checked(batch, &ENRICHED_SCHEMA).map(Self)
    }

    /// The rows.
    pub fn record_batch(&self) -> &RecordBatch {
        &self.0
    }
}
