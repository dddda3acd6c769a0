//! Adds to events what the registry and the signal tables say of them.
//!
//! In: an [`EventBatch`], a registry, signal tables, a key. Out: an [`EnrichedBatch`] of the same rows in the
//! same order. Raw credentials end here. How events are split into batches never changes a column, and
//! everything is as of event time: nothing here reads a clock.

mod attribution;
mod caller;
mod credential;
mod memory;
mod network;
mod production;
mod signals;
mod texts;
mod touched;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BooleanArray, Float64Array, Int64Array, StringArray, TimestampMicrosecondArray,
};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;

pub use credential::{CredentialKey, KeyError};
pub use signals::{SignalErrors, Signals};

use crate::limits::PILOT_SERIES_MAX;
use crate::metrics::{KindLabel, Metrics, PilotLabel};
use crate::registry::Registry;
use crate::registry::facts::{Pilot, Stage};
use crate::registry::scope::Within;
use crate::registry::selectors::SelectorKind;
use crate::schema::{ENRICHED_SCHEMA, EnrichedBatch, EventBatch, SECRET_COLUMNS, SchemaMismatch};
use attribution::Attribution;
use memory::{Inputs, Memory, Outcomes};

/// From this probability on, an event counts as production in the metrics.
const PRODUCTION_FROM: f64 = 0.8;

/// A bug: the columns that were built are not those of the schema.
#[derive(Debug, thiserror::Error)]
pub enum EnrichError {
    /// Columns of different lengths or types.
    #[error("enriched columns do not fit together: {0}")]
    Columns(#[source] ArrowError),
    /// Not the schema of the stage.
    #[error(transparent)]
    Schema(#[from] SchemaMismatch),
}

/// Enriches batches, one after the other.
pub struct Enricher {
    registry: Arc<Registry>,
    signals: Arc<Signals>,
    key: CredentialKey,
    grid_micros: i64,
    memory: Memory,
    /// Pilots with a metric of their own.
    exposed: HashSet<String>,
}

impl Enricher {
    /// `grid_seconds`: width of the base grid, at least 1.
    pub fn new(
        registry: Arc<Registry>,
        signals: Arc<Signals>,
        key: CredentialKey,
        grid_seconds: u32,
    ) -> Self {
        let grid_micros = i64::from(grid_seconds.max(1)) * 1_000_000;
        Self { registry, signals, key, grid_micros, memory: Memory::default(), exposed: HashSet::new() }
    }

    /// From the next batch on, this registry is in force.
    pub fn replace_registry(&mut self, registry: Arc<Registry>) {
        self.registry = registry;
        self.memory.clear();
    }

    /// From the next batch on, these signals are in force.
    pub fn replace_signals(&mut self, signals: Arc<Signals>) {
        self.signals = signals;
        self.memory.clear();
    }

    /// The registry in force.
    pub fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    /// Adds [`crate::schema::ENRICHED_COLUMNS`] and drops [`SECRET_COLUMNS`]. Errors are bugs.
    pub fn enrich(&mut self, events: EventBatch, metrics: &Metrics) -> Result<EnrichedBatch, EnrichError> {
        let (enriched, outcomes) = self.enriched(events)?;
        self.count(&outcomes, metrics);
        Ok(enriched)
    }

    /// As [`Enricher::enrich`], of events that were counted when they came first.
    pub fn enrich_copies(&mut self, events: EventBatch) -> Result<EnrichedBatch, EnrichError> {
        Ok(self.enriched(events)?.0)
    }

    fn enriched(&mut self, events: EventBatch) -> Result<(EnrichedBatch, Outcomes), EnrichError> {
        let batch = events.record_batch();
        let (inputs, outcomes) = self.memory.look_up(batch, &self.registry, &self.signals);
        let credentials = Credentials::read(batch, &self.key);
        let kept = batch.schema_ref().fields().iter().zip(batch.columns());
        let kept = kept.filter(|(field, _)| !SECRET_COLUMNS.contains(&field.name().as_str()));
        let mut columns: Vec<ArrayRef> = kept.map(|(_, column)| column.clone()).collect();
        let tokens = ["token_secret", "issued_secret"].map(|name| token_column(batch, name, &self.key));
        columns.extend(self.columns(&inputs, &outcomes, &credentials, tokens));
        let enriched =
            RecordBatch::try_new(ENRICHED_SCHEMA.clone(), columns).map_err(EnrichError::Columns)?;
        Ok((EnrichedBatch::new(enriched)?, outcomes))
    }

    /// In the order of ENRICHED_COLUMNS.
    fn columns(
        &self,
        inputs: &Inputs,
        outcomes: &Outcomes,
        credentials: &Credentials,
        tokens: [ArrayRef; 2],
    ) -> Vec<ArrayRef> {
        let mut columns = vec![self.grid_times(inputs)];
        columns.extend(self.pilot_columns(outcomes));
        columns.extend(self.caller_columns(outcomes));
        let ids = credentials.rows.iter().map(|c| Some(credentials.distinct[(*c)?].id.as_str()));
        columns.push(text_column(ids));
        columns.extend(tokens);
        columns.extend([
            text_column(credentials.rows.iter().map(|c| Some(credentials.distinct[(*c)?].label.as_str()))),
            flag_column(outcomes.shared.iter().map(|n| self.memory.is_shared(*n))),
        ]);
        columns.extend(self.signal_columns(outcomes));
        columns.extend(self.acting_columns(outcomes));
        columns
    }

    fn grid_times(&self, inputs: &Inputs) -> ArrayRef {
        let end =
            |at: &i64| (at.div_euclid(self.grid_micros)).saturating_add(1).saturating_mul(self.grid_micros);
        Arc::new(TimestampMicrosecondArray::from_iter_values(inputs.times.iter().map(end)))
    }

    fn pilot(&self, attribution: &Attribution) -> Option<&Pilot> {
        attribution.pilot.map(|number| &self.registry.pilots()[number])
    }

    /// From `pilot` to `excepted`.
    fn pilot_columns(&self, outcomes: &Outcomes) -> [ArrayRef; 9] {
        let each = || outcomes.attribution.iter().map(|n| self.memory.attribution(*n));
        let production = outcomes.production.iter().map(|n| self.memory.p_production(*n));
        [
            text_column(each().map(|a| self.pilot(a).map(|p| p.id.as_str()))),
            text_column(each().map(|a| a.stage.map(Stage::name))),
            text_column(each().map(|a| a.kind.map(SelectorKind::name).or_else(|| a.ambiguous()))),
            Arc::new(Float64Array::from_iter(each().map(|a| a.confidence))),
            text_column(each().map(|a| a.purpose.as_deref())),
            text_column(each().map(|a| a.service.as_deref())),
            Arc::new(Float64Array::from_iter_values(production)),
            flag_column(outcomes.synthetic.iter().map(|n| self.memory.is_synthetic(*n))),
            flag_column(each().map(|a| a.excepted)),
        ]
    }

    /// From `caller` to `own_team`.
    fn caller_columns(&self, outcomes: &Outcomes) -> [ArrayRef; 4] {
        let each = || outcomes.caller.iter().map(|n| self.memory.caller(*n));
        let teams = || {
            let pilots = outcomes.attribution.iter().map(|n| self.pilot(self.memory.attribution(*n)));
            let of_pilot = pilots.map(|pilot| pilot.map(|p| p.team.as_str()));
            each().zip(of_pilot).map(|(caller, of_pilot)| (caller.team(of_pilot), of_pilot))
        };
        [
            text_column(each().map(|c| c.name.as_deref())),
            text_column(teams().map(|(team, _)| team)),
            flag_column(each().map(|c| c.is_production)),
            flag_column(teams().map(|(team, of_pilot)| team.is_some() && team == of_pilot)),
        ]
    }

    /// From `network` to `workload_flow`.
    fn signal_columns(&self, outcomes: &Outcomes) -> [ArrayRef; 14] {
        let networks = || outcomes.network.iter().map(|n| self.memory.network(*n));
        let ai_calls = || outcomes.ai_call.iter().map(|n| self.memory.ai_call(*n));
        let each = || outcomes.weights.iter().map(|n| self.memory.weights(*n));
        let human =
            |i: usize| -> ArrayRef { Arc::new(Float64Array::from_iter_values(each().map(|w| w.human[i]))) };
        let workload = |i: usize| -> ArrayRef {
            Arc::new(Float64Array::from_iter_values(each().map(|w| w.workload[i])))
        };
        [
            text_column(networks().map(|n| n.name.as_deref())),
            text_column(networks().map(|n| n.kind)),
            text_column(networks().map(|n| n.cloud_provider)),
            Arc::new(Int64Array::from_iter(networks().map(|n| n.asn.map(i64::from)))),
            text_column(networks().map(|n| n.as_name.as_deref())),
            text_column(outcomes.client_family.iter().map(|n| self.memory.client_family(*n))),
            text_column(ai_calls().map(|call| Some(call?.provider.as_str()))),
            text_column(ai_calls().map(|call| Some(call?.operation))),
            human(0),
            workload(0),
            human(1),
            workload(1),
            human(2),
            workload(2),
        ]
    }

    /// From `acting_pilot` to `approval`.
    fn acting_columns(&self, outcomes: &Outcomes) -> [ArrayRef; 6] {
        let acting = || outcomes.caller.iter().map(|n| self.memory.caller(*n).acting);
        let touched = || outcomes.touched.iter().map(|n| self.memory.touched(*n));
        let approvals = outcomes.approval.iter().map(|n| self.memory.is_approval(*n));
        [
            text_column(acting().map(|a| a.map(|(pilot, _)| self.registry.pilots()[pilot].id.as_str()))),
            Arc::new(Float64Array::from_iter(acting().map(|a| a.map(|(_, confidence)| confidence)))),
            text_column(touched().map(|t| t.store.as_deref())),
            text_column(touched().map(|t| t.data.map(Within::name))),
            text_column(touched().map(|t| t.tool.map(Within::name))),
            flag_column(approvals),
        ]
    }

    fn count(&mut self, outcomes: &Outcomes, metrics: &Metrics) {
        let mut counts = vec![[0_u64; 2]; self.memory.attribution_count()];
        for (attribution, production) in outcomes.attribution.iter().zip(&outcomes.production) {
            let in_production = self.memory.p_production(*production) >= PRODUCTION_FROM;
            counts[*attribution][usize::from(in_production)] += 1;
        }
        for (number, count) in counts.iter().enumerate().filter(|(_, count)| **count != [0, 0]) {
            let attribution = self.memory.attribution(number);
            let kind = KindLabel { kind: attribution.label };
            metrics.enrich_attributed.get_or_create(&kind).inc_by(count.iter().sum());
            let Some(pilot) = self.pilot(attribution).map(|p| p.id.clone()) else { continue };
            let stage = attribution.stage.map_or("none", Stage::name);
            let pilot = self.series_of(pilot);
            for (environment, count) in ["other", "production"].into_iter().zip(count) {
                let label = PilotLabel { pilot: pilot.clone(), stage: stage.to_owned(), environment };
                if *count > 0 {
                    metrics.pilot_requests.get_or_create(&label).inc_by(*count);
                }
            }
        }
    }

    /// The pilot's own label while there is room, else `other`.
    fn series_of(&mut self, pilot: String) -> String {
        if self.exposed.contains(&pilot) {
            return pilot;
        }
        if self.exposed.len() >= PILOT_SERIES_MAX {
            return "other".to_owned();
        }
        self.exposed.insert(pilot.clone());
        pilot
    }
}

fn text_column<'a>(values: impl Iterator<Item = Option<&'a str>>) -> ArrayRef {
    Arc::new(StringArray::from_iter(values))
}

fn flag_column(values: impl Iterator<Item = bool>) -> ArrayRef {
    Arc::new(BooleanArray::from_iter(values.map(Some)))
}

/// The ids of the tokens in a raw column. Whoever issued a token and whoever presents it give the same id.
fn token_column(batch: &RecordBatch, name: &str, key: &CredentialKey) -> ArrayRef {
    let column = texts::dictionary(batch, name);
    let values = texts::texts_of(column);
    let ids: Vec<String> = values.iter().map(|v| key.id("token", v.unwrap_or_default())).collect();
    text_column(texts::codes(column).map(|code| ids.get(code?).map(String::as_str)))
}

/// The credentials of one batch; nothing of it outlives the batch.
struct Credentials {
    /// Per row, its place in `distinct`.
    rows: Vec<Option<usize>>,
    distinct: Vec<Credential>,
}

struct Credential {
    id: String,
    label: String,
}

impl Credentials {
    /// A row has a credential where it has both a kind and a raw value.
    fn read(batch: &RecordBatch, key: &CredentialKey) -> Self {
        let columns = ["credential_kind", "credential_secret", "principal", "consumer", "session_name"];
        let columns = columns.map(|name| texts::dictionary(batch, name));
        let values = columns.map(texts::texts_of);
        let mut codes = columns.map(texts::codes);
        let mut numbers: HashMap<[Option<usize>; 5], usize, ahash::RandomState> = HashMap::default();
        let mut ids: HashMap<[usize; 2], String, ahash::RandomState> = HashMap::default();
        let mut credentials = Self { rows: Vec::with_capacity(batch.num_rows()), distinct: Vec::new() };
        for _ in 0..batch.num_rows() {
            let tuple = codes.each_mut().map(|column| column.next().flatten());
            let text = |i: usize| tuple[i].filter(|c| values[i].is_valid(*c)).map(|c| values[i].value(c));
            let (Some(kind), Some(secret), [Some(kind_code), Some(secret_code), ..]) =
                (text(0), text(1), tuple)
            else {
                credentials.rows.push(None);
                continue;
            };
            let number = *numbers.entry(tuple).or_insert_with(|| {
                let id = ids.entry([kind_code, secret_code]).or_insert_with(|| key.id(kind, secret)).clone();
                let label = credential::label(kind, secret, text(2), text(3), text(4));
                credentials.distinct.push(Credential { id, label });
                credentials.distinct.len() - 1
            });
            credentials.rows.push(Some(number));
        }
        credentials
    }
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use arrow::array::{ArrayRef, AsArray, StringDictionaryBuilder};
    use arrow::compute::concat_batches;
    use arrow::datatypes::{Float64Type, Int32Type, TimestampMicrosecondType};
    use arrow::util::display::array_value_to_string;
    use proptest::prelude::*;

    use super::*;
    use crate::schema::{EVENT_COLUMNS, EVENT_SCHEMA, Kind};

    /// Column and value; columns not named are null, or a default where they must not be.
    pub(super) type Row<'a> = Vec<(&'a str, &'a str)>;

    const REGISTRY: &str = include_str!("enrich/cases.toml");

    fn micros(time: &str) -> i64 {
        time.parse::<jiff::Timestamp>().unwrap().as_microsecond()
    }

    fn value<'a>(row: &Row<'a>, column: &str) -> Option<&'a str> {
        let default = match column {
            "event_time" => Some("2026-03-02T10:00:00Z"),
            "source" | "format" => Some("test"),
            "outcome" => Some("success"),
            "principal_kind" => Some("none"),
            _ => None,
        };
        row.iter().find(|(name, _)| *name == column).map(|(_, value)| *value).or(default)
    }

    fn column(kind: Kind, name: &str, rows: &[Row<'_>]) -> ArrayRef {
        let values = rows.iter().map(|row| value(row, name));
        match kind {
            Kind::Dict => {
                let mut builder = StringDictionaryBuilder::<Int32Type>::new();
                values.for_each(|value| builder.append_option(value));
                Arc::new(builder.finish())
            }
            Kind::Text => Arc::new(StringArray::from_iter(values)),
            Kind::Time => Arc::new(TimestampMicrosecondArray::from_iter(values.map(|v| v.map(micros)))),
            Kind::Int if name == "position" => {
                Arc::new(arrow::array::Int64Array::from_iter_values(0..rows.len() as i64))
            }
            Kind::Int => Arc::new(arrow::array::Int64Array::new_null(rows.len())),
            Kind::Float => Arc::new(Float64Array::new_null(rows.len())),
            Kind::Bool => Arc::new(BooleanArray::new_null(rows.len())),
        }
    }

    pub(super) fn events(rows: &[Row<'_>]) -> EventBatch {
        let columns = EVENT_COLUMNS.iter().map(|c| column(c.kind, c.name, rows)).collect();
        EventBatch::new(RecordBatch::try_new(EVENT_SCHEMA.clone(), columns).unwrap()).unwrap()
    }

    static LOADED: LazyLock<(Arc<Registry>, Arc<Signals>)> = LazyLock::new(|| {
        let texts = vec![("cases.toml".to_owned(), REGISTRY.to_owned())];
        let registry = Registry::from_texts(texts).unwrap_or_else(|errors| panic!("{errors}"));
        let signals = Signals::load(None).unwrap_or_else(|errors| panic!("{errors}"));
        (Arc::new(registry), Arc::new(signals))
    });

    fn enricher() -> Enricher {
        let (registry, signals) = LOADED.clone();
        Enricher::new(registry, signals, CredentialKey::from_bytes([7; 32]), 60)
    }

    /// One event with `row` has these values in the enriched columns; `null` stands for null.
    fn check(row: Row<'_>, expected: &[(&str, &str)]) {
        let enriched = enricher().enrich(events(std::slice::from_ref(&row)), &Metrics::new()).unwrap();
        for (column, expected) in expected {
            let array = enriched.record_batch().column_by_name(column).unwrap();
            let found =
                if array.is_null(0) { "null".to_owned() } else { array_value_to_string(array, 0).unwrap() };
            assert_eq!(found, *expected, "{column} of {row:?}");
        }
    }

    #[test]
    fn strongest_selector_attributes() {
        let envoy = |extra: &[(&'static str, &'static str)]| [&[("host", "shared.example")], extra].concat();
        for (row, pilot, kind, confidence) in [
            (vec![("principal", "arn:role/alpha")], "alpha", "role", "0.99"),
            (vec![("principal", "arn:role/alphabet")], "null", "null", "null"),
            (vec![("principal", "spiffe://prod.a.example/ns/x/sa/beta-7")], "beta", "spiffe", "0.99"),
            (envoy(&[("target", "spiffe://prod.a.example/ns/x/sa/beta")]), "beta", "spiffe", "0.99"),
            (envoy(&[("peer", "spiffe://prod.a.example/ns/x/sa/beta")]), "null", "null", "null"),
            (envoy(&[("principal", "arn:role/alpha")]), "null", "null", "null"),
            (envoy(&[("consumer", "alpha-key")]), "alpha", "consumer", "0.95"),
            (envoy(&[("consumer", "alpha-key"), ("route", "/v1/beta")]), "alpha", "consumer", "0.95"),
            (envoy(&[("route", "/v1/beta")]), "beta", "route", "0.85"),
            (vec![("host", "alpha.example")], "alpha", "host", "0.8"),
            (vec![("host", "alpha.example"), ("route", "/v1/beta")], "null", "ambiguous", "null"),
            (vec![("host", "alpha.example"), ("route", "/v1/alpha")], "alpha", "route", "0.85"),
            (
                vec![("host", "alpha.example"), ("target", "spiffe://prod.a.example/ns/x/sa/beta")],
                "beta",
                "spiffe",
                "0.99",
            ),
            (envoy(&[("target", "alpha.example")]), "alpha", "host", "0.8"),
            (vec![("model", "arn:profile/alpha-1")], "alpha", "inference_profile", "0.9"),
            (vec![("model", "shared-model")], "beta", "model", "0.3"),
            (vec![("model", "shared-model"), ("user_agent", "alpha-bot/2")], "alpha", "header", "0.4"),
            (envoy(&[("tool", "alpha.search")]), "alpha", "tool", "0.8"),
            (envoy(&[("tool", "alpha.search"), ("route", "/v1/beta")]), "null", "ambiguous", "null"),
            (vec![("account", "222233334444"), ("model", "shared-model")], "alpha", "account", "0.9"),
            (vec![("namespace", "beta-7"), ("model", "shared-model")], "beta", "namespace", "0.5"),
            (vec![("principal", "twin")], "null", "ambiguous", "null"),
            (vec![], "null", "null", "null"),
        ] {
            check(row, &[("pilot", pilot), ("attribution", kind), ("attribution_confidence", confidence)]);
        }
    }

    #[test]
    fn pilot_is_seen_as_of_event_time() {
        for (time, pilot, stage, excepted) in [
            ("2025-12-31T23:59:59.999999Z", "alpha", "null", "false"),
            ("2026-01-01T00:00:00Z", "alpha", "pilot", "false"),
            ("2026-01-31T23:29:59.999999Z", "alpha", "pilot", "false"),
            ("2026-01-31T23:30:00Z", "alpha", "pilot", "true"),
            ("2026-02-01T00:00:00Z", "alpha", "production", "false"),
            ("2026-05-31T23:59:59.999999Z", "alpha", "production", "false"),
            ("2026-06-01T00:00:00Z", "alpha", "suspended", "false"),
        ] {
            check(
                vec![("host", "alpha.example"), ("event_time", time)],
                &[("pilot", pilot), ("pilot_stage", stage), ("excepted", excepted)],
            );
        }
        for (time, pilot, excepted) in [
            ("2026-01-31T23:59:59.999999Z", "beta", "false"),
            ("2026-03-01T00:00:00Z", "beta", "true"),
            ("2026-03-10T00:00:00Z", "beta", "false"),
            ("2026-04-01T00:00:00Z", "null", "false"),
        ] {
            check(
                vec![("host", "beta-old.example"), ("event_time", time)],
                &[("pilot", pilot), ("excepted", excepted)],
            );
        }
    }

    #[test]
    fn pilot_acts_where_it_calls_not_where_it_is_called() {
        let beta = "spiffe://prod.a.example/ns/x/sa/beta";
        for (row, acting, confidence) in [
            (vec![("principal", "arn:role/alpha")], "alpha", "0.99"),
            (vec![("principal", "arn:role/alpha"), ("host", "shared.example")], "alpha", "0.99"),
            (vec![("peer", beta), ("host", "alpha.example")], "beta", "0.99"),
            (vec![("target", beta), ("host", "shared.example")], "null", "null"),
            (vec![("host", "alpha.example")], "null", "null"),
            (vec![("consumer", "alpha-key"), ("host", "shared.example")], "alpha", "0.95"),
            (vec![("consumer", "alpha-key"), ("peer", beta)], "beta", "0.99"),
            (vec![("principal", "twin")], "null", "null"),
            (vec![("account", "222233334444")], "null", "null"),
            (vec![("tool", "alpha.search")], "null", "null"),
        ] {
            check(row, &[("acting_pilot", acting), ("acting_confidence", confidence)]);
        }
    }

    #[test]
    fn data_of_a_pilot_that_acts_is_judged_as_of_event_time() {
        let s3 = |bucket| ("s3.amazonaws.com:GetObject", bucket);
        let gcs = ("storage.googleapis.com:storage.objects.get", "projects/_/buckets/alpha/objects/a");
        for (principal, (action, target), time, store, scope) in [
            ("arn:role/alpha", s3("alpha"), "2026-03-02T10:00:00Z", "s3://alpha", "inside"),
            ("arn:role/alpha", s3("beta"), "2026-03-04T23:59:59.999999Z", "s3://beta", "outside"),
            ("arn:role/alpha", s3("beta"), "2026-03-05T00:00:00Z", "s3://beta", "excepted"),
            ("arn:role/alpha", s3("beta"), "2026-03-06T00:00:00Z", "s3://beta", "outside"),
            ("arn:role/alpha", s3("beta"), "2026-03-07T00:00:00Z", "s3://beta", "outside"),
            ("arn:role/alpha", gcs, "2026-02-28T23:59:59.999999Z", "gs://alpha", "outside"),
            ("arn:role/alpha", gcs, "2026-03-01T00:00:00Z", "gs://alpha", "inside"),
            ("arn:role/alpha", gcs, "2026-04-01T00:00:00Z", "gs://alpha", "outside"),
            ("arn:role/alpha", ("", "kafka://orders"), "2026-03-02T10:00:00Z", "kafka://orders", "null"),
            ("arn:role/shop", s3("beta"), "2026-03-02T10:00:00Z", "null", "null"),
        ] {
            let row =
                vec![("principal", principal), ("action", action), ("target", target), ("event_time", time)];
            check(row, &[("data_store", store), ("data_scope", scope)]);
        }
        let beta = vec![
            ("principal", "spiffe://prod.a.example/ns/x/sa/beta"),
            ("action", "s3.amazonaws.com:GetObject"),
            ("target", "alpha"),
        ];
        check(beta, &[("acting_pilot", "beta"), ("data_store", "s3://alpha"), ("data_scope", "null")]);
    }

    #[test]
    fn tool_of_a_pilot_that_acts_is_judged_as_of_event_time() {
        for (consumer, tool, time, scope) in [
            ("alpha-key", "tickets.read", "2026-03-02T10:00:00Z", "inside"),
            ("alpha-key", "tickets.close", "2026-03-05T10:00:00Z", "outside"),
            ("alpha-key", "tickets.close", "2026-03-07T00:00:00Z", "excepted"),
            ("alpha-key", "tickets.close", "2026-03-08T00:00:00Z", "outside"),
            ("shop-key", "tickets.close", "2026-03-02T10:00:00Z", "null"),
        ] {
            let row =
                vec![("host", "mcp.example"), ("consumer", consumer), ("tool", tool), ("event_time", time)];
            check(row, &[("tool_scope", scope)]);
        }
    }

    #[test]
    fn approval_is_what_the_tables_say() {
        for (row, expected) in [
            (vec![("action", "Approval.Granted")], "true"),
            (vec![("action", "approval.granted.later")], "false"),
            (vec![("action", "approval.requested")], "false"),
            (vec![], "false"),
        ] {
            check(row, &[("approval", expected)]);
        }
    }

    #[test]
    fn ai_calls_are_recognised_without_a_selector() {
        for (row, provider, operation) in [
            (vec![("action", "bedrock.amazonaws.com:InvokeModel")], "aws-bedrock", "invoke"),
            (vec![("action", "bedrock-runtime.amazonaws.com:ConverseStream")], "aws-bedrock", "invoke"),
            (vec![("action", "bedrock-mantle.amazonaws.com:InvokeModel")], "aws-bedrock", "invoke"),
            (vec![("action", "bedrock.amazonaws.com:ListFoundationModels")], "aws-bedrock", "list"),
            (
                vec![("action", "bedrock.amazonaws.com:DeleteModelInvocationLoggingConfiguration")],
                "aws-bedrock",
                "manage",
            ),
            (vec![("action", "lambda.amazonaws.com:Invoke")], "null", "null"),
            (vec![("host", "acme.openai.azure.com")], "azure-openai", "invoke"),
            (vec![("host", "API.OpenAI.com"), ("route", "/v1/chat")], "openai", "invoke"),
            (vec![("host", "api.openai.com.evil.example")], "null", "null"),
            (
                vec![("route", "/v1/messages"), ("user_agent", "AsyncAnthropic/Python 0.40.0")],
                "anthropic-compatible",
                "invoke",
            ),
            (vec![("route", "/v1/messages"), ("user_agent", "okhttp/4.12.0")], "null", "null"),
            (vec![("route", "llm"), ("model", "gpt-4o")], "ai-gateway", "invoke"),
            (vec![("host", "api.openai.com"), ("action", "GET")], "openai", "list"),
            (vec![("host", "shop.example"), ("route", "/v1/cart")], "null", "null"),
        ] {
            check(row, &[("ai_provider", provider), ("ai_operation", operation)]);
        }
    }

    #[test]
    fn token_issued_and_token_presented_have_the_same_id() {
        let rows = [vec![("issued_secret", "ASIA1")], vec![("token_secret", "ASIA1")], vec![]];
        let enriched = enricher().enrich(events(&rows), &Metrics::new()).unwrap();
        let column = |name| enriched.record_batch().column_by_name(name).unwrap().clone();
        let (issued, presented) = (column("issued_token"), column("token"));
        assert!(issued.as_string::<i32>().value(0).starts_with("c_"));
        assert_eq!(issued.as_string::<i32>().value(0), presented.as_string::<i32>().value(1));
        assert!(presented.is_null(0) && presented.is_null(2) && issued.is_null(2));
        assert!(SECRET_COLUMNS.iter().all(|name| enriched.record_batch().column_by_name(name).is_none()));
    }

    #[test]
    fn production_evidence_combines_over_families() {
        for (row, expected) in [
            (vec![], 0.0),
            (vec![("account", "111122223333")], 0.9),
            (vec![("account", "1111222233334")], 0.0),
            (vec![("host", "alpha.example")], 0.8),
            (vec![("host", "alpha.example"), ("route", "/v1/beta")], 0.8),
            (vec![("host", "alpha.example"), ("account", "111122223333")], 0.98),
            (vec![("environment", "Production-eu")], 0.5),
            (vec![("environment", "pre-production")], 0.0),
            (vec![("peer", "spiffe://prod.a.example/ns/x/sa/unknown")], 0.8),
            (vec![("target", "spiffe://prod.a.example/ns/x/sa/unknown")], 0.8),
            (vec![("target", "spiffe://test.a.example/ns/x/sa/unknown")], 0.0),
            (vec![("host", "x.live.example")], 0.0),
            (vec![("host", "x.live.example"), ("environment", "production")], 0.6),
            (vec![("consumer", "shop-key")], 0.7),
            (vec![("consumer", "batch-key")], 0.0),
            (vec![("account", "999988887777")], 0.25),
            (vec![("account", "999988887777"), ("event_time", "2026-05-01T00:00:00Z")], 0.0),
            (vec![("account", "a-prod")], 0.9),
            (vec![("account", "0a1b-2c")], 0.9),
            (vec![("host", "x.example"), ("environment", "Live")], 0.8),
            (vec![("route", "/v1/x"), ("environment", "live")], 0.8),
            (vec![("host", "alpha.example"), ("environment", "live")], 0.8),
            (vec![("environment", "live")], 0.0),
            (vec![("host", "x.example"), ("environment", "production")], 0.5),
            (vec![("environment", "critical")], 0.5),
            (vec![("namespace", "prod-eu")], 0.8),
            (vec![("namespace", "prod-eu"), ("peer", "spiffe://prod.a.example/ns/x/sa/unknown")], 0.8),
            (vec![("namespace", "prod-eu"), ("account", "a-prod")], 0.98),
            (vec![("namespace", "prod-eu"), ("event_time", "2026-05-01T00:00:00Z")], 0.0),
            (vec![("namespace", "staging")], 0.0),
        ] {
            let enriched = enricher().enrich(events(std::slice::from_ref(&row)), &Metrics::new()).unwrap();
            let column = enriched.record_batch().column_by_name("p_production").unwrap();
            let found = column.as_primitive::<Float64Type>().value(0);
            assert!((found - expected).abs() < 1e-12, "{row:?}: {found}, expected {expected}");
        }
    }

    #[test]
    fn caller_is_named_by_the_strongest_evidence() {
        let shop = "spiffe://prod.a.example/ns/shop/sa/web";
        for (row, caller, team, production, own) in [
            (vec![("host", "alpha.example"), ("peer", shop)], "shop", "sales", "true", "false"),
            (vec![("route", "/v1/beta"), ("peer", shop)], "shop", "sales", "true", "true"),
            (vec![("consumer", "shop-key"), ("source_ip", "10.9.0.7")], "shop", "sales", "true", "false"),
            (vec![("source_ip", "10.9.0.7")], "batch", "core", "false", "false"),
            (vec![("consumer", "batch-app")], "batch", "core", "false", "false"),
            (
                vec![("host", "alpha.example"), ("source_ip", "::ffff:10.9.0.7")],
                "batch",
                "core",
                "false",
                "true",
            ),
            (vec![("peer", "spiffe://x/y"), ("principal", "u")], "spiffe://x/y", "null", "false", "false"),
            (vec![("principal", "arn:role/shop")], "shop", "sales", "true", "false"),
            (
                vec![("principal", "arn:user/joe"), ("consumer", "k")],
                "arn:user/joe",
                "null",
                "false",
                "false",
            ),
            (
                vec![("host", "alpha.example"), ("principal", "JOE@a.example")],
                "JOE@a.example",
                "core",
                "false",
                "true",
            ),
            (
                vec![("host", "alpha.example"), ("principal", "arn:sso"), ("session_name", "joe@a.example")],
                "arn:sso",
                "core",
                "false",
                "true",
            ),
            (vec![("consumer", "k"), ("source_ip", "192.0.2.7")], "k", "null", "false", "false"),
            (vec![("source_ip", "192.0.2.7")], "192.0.2.0/24", "null", "false", "false"),
            (vec![("source_ip", "203.0.113.9")], "hq", "null", "false", "false"),
            (vec![("source_ip", "AWS Internal")], "null", "null", "false", "false"),
            (
                vec![("host", "alpha.example"), ("peer", "spiffe://prod.a.example/ns/x/sa/beta")],
                "beta",
                "sales",
                "false",
                "false",
            ),
            (vec![("principal", "arn:role/alpha")], "arn:role/alpha", "null", "false", "false"),
        ] {
            let expected = [
                ("caller", caller),
                ("caller_team", team),
                ("caller_production", production),
                ("own_team", own),
            ];
            check(row, &expected);
        }
    }

    #[test]
    fn purpose_is_the_pilots_or_the_called_services() {
        let shop = "spiffe://prod.a.example/ns/shop/sa/web";
        for (row, purpose, service) in [
            (vec![("host", "alpha.example")], "answer", "null"),
            (vec![("host", "kb.example")], "answer", "knowledge-base"),
            (vec![("host", "elsewhere.example"), ("target", shop)], "null", "shop"),
            (vec![("host", "elsewhere.example"), ("peer", shop)], "null", "null"),
            (vec![("principal", "arn:role/other"), ("target", shop)], "null", "null"),
            (vec![("host", "kb.example"), ("route", "/v1/notes")], "answer", "null"),
            (vec![("host", "alpha.example"), ("route", "/v1/beta")], "null", "null"),
            (vec![("host", "elsewhere.example")], "null", "null"),
        ] {
            check(row, &[("purpose", purpose), ("service", service)]);
        }
    }

    #[test]
    fn synthetic_traffic_is_marked() {
        for (column, value, expected) in [
            ("user_agent", "kube-probe/1.29", "true"),
            ("user_agent", "ELB-HealthChecker/2.0", "true"),
            ("user_agent", "k6/0.49 (https://k6.io/)", "true"),
            ("host", "alpha.example-shadow", "true"),
            ("host", "shadow.example", "false"),
            ("route", "/rates/healthz", "true"),
            ("route", "/rates/healthz-report", "false"),
            ("user_agent", "Mozilla/5.0", "false"),
        ] {
            check(vec![(column, value)], &[("synthetic", expected)]);
        }
    }

    /// `row` has this client family and these log-odds: client, network, flow.
    fn check_signals(row: Row<'_>, family: &str, human: [f64; 3], workload: [f64; 3]) {
        let enriched = enricher().enrich(events(std::slice::from_ref(&row)), &Metrics::new()).unwrap();
        let number = |name: &str| {
            enriched.record_batch().column_by_name(name).unwrap().as_primitive::<Float64Type>().value(0)
        };
        assert_eq!(["human_client", "human_network", "human_flow"].map(number), human, "{row:?}");
        assert_eq!(["workload_client", "workload_network", "workload_flow"].map(number), workload, "{row:?}");
        check(row, &[("client_family", family)]);
    }

    #[test]
    fn flow_signals_weigh_by_family_and_cap() {
        for (row, family, human, workload) in [
            (vec![("flow", "console_login mfa")], "null", [0.0, 0.0, 4.0], [0.0; 3]),
            (vec![("flow", "mfa")], "null", [0.0, 0.0, 2.5], [0.0; 3]),
            (vec![("flow", "mfa"), ("format", "entra_sign_in")], "null", [0.0, 0.0, 4.0], [0.0; 3]),
            (vec![("flow", "mfa_not")], "null", [0.0; 3], [0.0; 3]),
            (vec![("flow", "cloudshell ec2_role_delivery")], "null", [3.0, 0.0, 0.0], [0.0, 0.0, 3.0]),
            (vec![("flow", "instance_session ec2_role_delivery")], "null", [0.0; 3], [0.0, 0.0, 4.0]),
            (vec![("flow", "lambda_exec_env")], "null", [0.0; 3], [4.0, 0.0, 0.0]),
            (
                vec![("flow", "interactive_factor known_browser device_fingerprint")],
                "null",
                [3.0, 0.0, 4.0],
                [0.0; 3],
            ),
            (vec![("flow", "api_token non_user_actor")], "null", [0.0; 3], [0.0, 0.0, 4.0]),
            (vec![("flow", "private_key_jwt")], "null", [0.0; 3], [0.0, 0.0, 3.0]),
            (vec![("flow", "interactive device_id")], "null", [4.0, 0.0, 4.0], [0.0; 3]),
            (vec![("flow", "non_interactive")], "null", [0.0; 3], [0.0; 3]),
            (vec![("flow", "service_principal federated_credential")], "null", [0.0; 3], [0.0, 0.0, 4.0]),
            (vec![("flow", "ropc")], "null", [0.0; 3], [0.0, 0.0, 2.0]),
            (vec![("flow", "sso_session source_identity bearer_token")], "null", [0.0; 3], [0.0; 3]),
        ] {
            check_signals(row, family, human, workload);
        }
    }

    #[test]
    fn client_and_network_signals_weigh_by_family() {
        let mac = "aws-cli/2.15 Python/3.11 Darwin/23.1 md/command#login";
        for (row, family, human, workload) in [
            (vec![("user_agent", mac)], "aws-cli", [3.0, 0.0, 0.0], [0.0; 3]),
            (
                vec![("user_agent", "aws-cli/2.15 Python/3.11 Windows/10")],
                "aws-cli",
                [1.5, 0.0, 0.0],
                [0.0; 3],
            ),
            (
                vec![("user_agent", "aws-cli/2.15 Python/3.11 Linux/6 md/prompt#off")],
                "aws-cli",
                [0.0; 3],
                [0.0; 3],
            ),
            (
                vec![("user_agent", "APN/1.0 HashiCorp/1.0 Terraform/1.5 aws-sdk-go/1.44 (darwin; arm64)")],
                "iac",
                [0.0; 3],
                [0.0; 3],
            ),
            (vec![("user_agent", "Boto3/1.34 md/Botocore#1.34 os/macos")], "sdk", [0.0; 3], [0.0; 3]),
            (
                vec![("user_agent", "Boto3/1.34"), ("source_ip", "198.51.100.4")],
                "sdk",
                [0.0; 3],
                [0.0, 1.5, 0.0],
            ),
            (vec![("user_agent", "curl/8"), ("source_ip", "198.51.100.4")], "curl", [0.0; 3], [0.0; 3]),
            (
                vec![
                    ("user_agent", "Mozilla/5.0 (X11; Linux x86_64; rv:136.0) Gecko/20100101 Firefox/136.0"),
                    ("source_ip", "203.0.113.4"),
                ],
                "browser",
                [3.0, 1.0, 0.0],
                [0.0; 3],
            ),
            (vec![("user_agent", "github-actions/2 aws-cli/2")], "ci", [0.0; 3], [4.0, 0.0, 0.0]),
            (vec![("user_agent", "kubectl/v1.29 (darwin/arm64)")], "kubectl", [3.0, 0.0, 0.0], [0.0; 3]),
            (vec![("user_agent", "")], "unknown", [0.0; 3], [0.0; 3]),
        ] {
            check_signals(row, family, human, workload);
        }
    }

    #[test]
    fn network_is_named_or_a_prefix() {
        for (ip, network, kind) in [
            ("203.0.113.9", "hq", "office"),
            ("198.51.100.200", "cloud", "cloud"),
            ("192.0.2.77", "192.0.2.0/24", "unknown"),
            ("2001:db8:1:2::3", "2001:db8:1::/48", "unknown"),
            ("255.18.064.253", "null", "unknown"),
            ("30.*.0.210", "null", "unknown"),
            ("ec2.amazonaws.com", "null", "unknown"),
        ] {
            check(vec![("source_ip", ip)], &[("network", network), ("network_kind", kind)]);
        }
        check(vec![], &[("network", "null"), ("network_kind", "null")]);
    }

    #[test]
    fn credential_is_a_keyed_hash_and_its_label_holds_no_secret() {
        let secret = "AKIAIOSFODNN7EXAMPLE";
        let id = CredentialKey::from_bytes([7; 32]).id("static_key", secret);
        assert_eq!((id.len(), &id[..2]), (34, "c_"));
        let key = |rest: &[(&'static str, &'static str)]| {
            [&[("credential_kind", "static_key"), ("credential_secret", secret)], rest].concat()
        };
        for (row, credential, label) in [
            (vec![], "null", "null"),
            (vec![("credential_kind", "static_key")], "null", "null"),
            (vec![("credential_secret", secret)], "null", "null"),
            (key(&[]), id.as_str(), "static_key"),
            (key(&[("principal", "arn:user/joe")]), &id, "arn:user/joe"),
            (key(&[("principal", "arn:role/x"), ("session_name", "joe")]), &id, "arn:role/x / joe"),
            (key(&[("principal", "key-AKIAIOSFODNN7EXAMPLE"), ("consumer", "web")]), &id, "web"),
            (key(&[("principal", "evil\u{1b}[2J\nname")]), &id, "evil\u{fffd}[2J\u{fffd}name"),
        ] {
            check(row, &[("credential", credential), ("credential_label", label)]);
        }
        let other_kind = CredentialKey::from_bytes([7; 32]).id("api_token", secret);
        let other_key = CredentialKey::from_bytes([8; 32]).id("static_key", secret);
        assert!(id != other_kind && id != other_key && other_kind != other_key);
        check(vec![("principal", "arn:role/break-glass")], &[("credential_shared", "true")]);
        check(vec![("principal", "arn:role/alpha")], &[("credential_shared", "false")]);
    }

    #[test]
    fn raw_secret_is_nowhere_in_the_enriched_batch() {
        let secret = "00wVerySecretToken";
        let row = vec![("credential_kind", "api_token"), ("credential_secret", secret), ("principal", "joe")];
        let enriched = enricher().enrich(events(&[row]), &Metrics::new()).unwrap();
        assert!(enriched.record_batch().column_by_name("credential_secret").is_none());
        assert!(!format!("{:?}", enriched.record_batch()).contains(secret));
    }

    #[test]
    fn grid_time_is_after_the_event() {
        for (time, expected) in [
            ("2026-03-02T10:00:00Z", "2026-03-02T10:01:00Z"),
            ("2026-03-02T10:00:59.999999Z", "2026-03-02T10:01:00Z"),
            ("1969-12-31T23:59:59Z", "1970-01-01T00:00:00Z"),
        ] {
            let enriched = enricher().enrich(events(&[vec![("event_time", time)]]), &Metrics::new()).unwrap();
            let column = enriched.record_batch().column_by_name("grid_time").unwrap();
            assert_eq!(
                column.as_primitive::<TimestampMicrosecondType>().value(0),
                micros(expected),
                "{time}"
            );
        }
    }

    #[test]
    fn attribution_and_requests_are_counted() {
        let rows = [
            vec![("host", "alpha.example")],
            vec![("host", "alpha.example")],
            vec![("principal", "arn:role/alpha")],
            vec![("principal", "twin")],
            vec![],
        ];
        let metrics = Metrics::new();
        enricher().enrich(events(&rows), &metrics).unwrap();
        let text = metrics.encode();
        for line in [
            "enrich_attributed_events_total{kind=\"host\"} 2",
            "enrich_attributed_events_total{kind=\"role\"} 1",
            "enrich_attributed_events_total{kind=\"ambiguous\"} 1",
            "enrich_attributed_events_total{kind=\"none\"} 1",
            "pilot_requests_total{pilot=\"alpha\",stage=\"production\",environment=\"production\"} 2",
            "pilot_requests_total{pilot=\"alpha\",stage=\"production\",environment=\"other\"} 1",
        ] {
            assert!(text.contains(line), "{line} in\n{text}");
        }
    }

    #[test]
    fn new_registry_is_in_force_from_the_next_batch_on() {
        let mut enricher = enricher();
        let event = || events(&[vec![("host", "alpha.example")]]);
        let pilot = |enriched: &EnrichedBatch| {
            let column = enriched.record_batch().column_by_name("pilot").unwrap().clone();
            column.as_string::<i32>().iter().next().flatten().map(str::to_owned)
        };
        let metrics = Metrics::new();
        assert_eq!(pilot(&enricher.enrich(event(), &metrics).unwrap()).as_deref(), Some("alpha"));
        let renamed = REGISTRY.replace("Alpha.example", "moved.example");
        let texts = vec![("registry.toml".to_owned(), renamed)];
        enricher.replace_registry(Arc::new(Registry::from_texts(texts).unwrap()));
        assert_eq!(pilot(&enricher.enrich(event(), &metrics).unwrap()), None);
    }

    #[test]
    fn empty_batch_is_fine() {
        let enriched = enricher().enrich(events(&[]), &Metrics::new()).unwrap();
        assert_eq!(enriched.record_batch().num_rows(), 0);
    }

    /// Values that meet each other in interesting ways, and hostile ones.
    fn any_row() -> impl Strategy<Value = Row<'static>> {
        let column = |name: &'static str, values: &'static [&'static str]| {
            proptest::option::of(proptest::sample::select(values)).prop_map(move |v| v.map(|v| (name, v)))
        };
        const HOSTILE: &str = "\u{0}\u{202e}é*'\"; DROP\n";
        let time = column(
            "event_time",
            &[
                "2025-12-31T23:59:59Z",
                "2026-01-31T23:45:00Z",
                "2026-02-01T00:00:00Z",
                "2026-03-05T00:00:00Z",
                "2026-07-01T00:00:00Z",
            ],
        );
        let called = (
            column(
                "host",
                &[
                    "alpha.example",
                    "beta-old.example",
                    "kb.example",
                    "x.live.example",
                    "alpha.example-shadow",
                    HOSTILE,
                ],
            ),
            column("route", &["/v1/alpha", "/v1/beta", HOSTILE]),
            column(
                "target",
                &[
                    "spiffe://prod.a.example/ns/x/sa/beta",
                    "alpha.example",
                    "spiffe://",
                    "alpha",
                    "gs://alpha",
                ],
            ),
            column("model", &["shared-model", "arn:profile/alpha-1"]),
            column("account", &["111122223333", "999988887777", "222233334444"]),
            column("tool", &["alpha.search", "tickets.read", HOSTILE]),
            column("action", &["s3.amazonaws.com:GetObject", "approval.granted", HOSTILE]),
            column("namespace", &["beta-7", "prod-eu"]),
        );
        let calling = (
            column(
                "principal",
                &["arn:role/alpha", "twin", "joe@a.example", "arn:role/break-glass", HOSTILE],
            ),
            column("consumer", &["alpha-key", "shop-key", "batch-key"]),
            column("peer", &["spiffe://prod.a.example/ns/shop/sa/web", HOSTILE]),
            column("source_ip", &["10.9.0.7", "203.0.113.9", "2001:db8::1", "AWS Internal"]),
            column("session_name", &["joe@a.example", "i-0abc", HOSTILE]),
        );
        let means = (
            column("user_agent", &["Boto3/1.34", "Mozilla/5.0", "kube-probe/1", "alpha-bot/1", HOSTILE]),
            column("flow", &["console_login mfa", "api_token", ""]),
            column("credential_kind", &["static_key", "api_token"]),
            column("credential_secret", &["AKIA1", "AKIA2", ""]),
        );
        (time, called, calling, means).prop_map(|(time, a, b, c)| {
            let fields =
                [time, a.0, a.1, a.2, a.3, a.4, a.5, a.6, b.0, b.1, b.2, b.3, b.4, c.0, c.1, c.2, c.3];
            fields.into_iter().flatten().collect()
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn splitting_into_batches_changes_nothing(
            rows in proptest::collection::vec(any_row(), 1..60),
            cuts in proptest::collection::vec(0_usize..60, 0..6),
        ) {
            let metrics = Metrics::new();
            let whole = enricher().enrich(events(&rows), &metrics).unwrap();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|c| c.min(rows.len())).collect();
            cuts.extend([0, rows.len()]);
            cuts.sort_unstable();
            let mut enricher = enricher();
            let parts: Vec<RecordBatch> = cuts
                .windows(2)
                .map(|pair| enricher.enrich(events(&rows[pair[0]..pair[1]]), &metrics).unwrap())
                .map(|part| part.record_batch().clone())
                .collect();
            let joined = concat_batches(&ENRICHED_SCHEMA, &parts).unwrap();
            for (i, field) in ENRICHED_SCHEMA.fields().iter().enumerate().filter(|(_, f)| f.name() != "position") {
                for row in 0..rows.len() {
                    let text = |batch: &RecordBatch| array_value_to_string(batch.column(i), row).unwrap();
                    prop_assert_eq!(text(whole.record_batch()), text(&joined), "{} of row {}", field.name(), row);
                }
            }
        }
    }
}
