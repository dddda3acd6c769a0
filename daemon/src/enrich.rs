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

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, Float64Array, StringArray, TimestampMicrosecondArray};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;

pub use credential::{CredentialKey, KeyError};
pub use signals::{SignalErrors, Signals};

use crate::limits::PILOT_SERIES_MAX;
use crate::metrics::{KindLabel, Metrics, PilotLabel};
use crate::registry::Registry;
use crate::registry::facts::{Pilot, Stage};
use crate::registry::selectors::SelectorKind;
use crate::schema::{ENRICHED_SCHEMA, EnrichedBatch, EventBatch, SchemaMismatch};
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

    /// Adds [`crate::schema::ENRICHED_COLUMNS`] and drops `credential_secret`. Errors are bugs.
    pub fn enrich(&mut self, events: EventBatch, metrics: &Metrics) -> Result<EnrichedBatch, EnrichError> {
        let batch = events.record_batch();
        let (inputs, outcomes) = self.memory.look_up(batch, &self.registry, &self.signals);
        let credentials = Credentials::read(batch, &self.key);
        let kept = batch.schema_ref().fields().iter().zip(batch.columns());
        let kept = kept.filter(|(field, _)| field.name() != "credential_secret");
        let mut columns: Vec<ArrayRef> = kept.map(|(_, column)| column.clone()).collect();
        columns.extend(self.columns(&inputs, &outcomes, &credentials));
        self.count(&outcomes, metrics);
        let enriched =
            RecordBatch::try_new(ENRICHED_SCHEMA.clone(), columns).map_err(EnrichError::Columns)?;
        Ok(EnrichedBatch::new(enriched)?)
    }

    /// In the order of ENRICHED_COLUMNS.
    fn columns(&self, inputs: &Inputs, outcomes: &Outcomes, credentials: &Credentials) -> Vec<ArrayRef> {
        let mut columns = vec![self.grid_times(inputs)];
        columns.extend(self.pilot_columns(outcomes));
        columns.extend(self.caller_columns(outcomes));
        columns.extend([
            text_column(credentials.rows.iter().map(|c| Some(credentials.distinct[(*c)?].id.as_str()))),
            text_column(credentials.rows.iter().map(|c| Some(credentials.distinct[(*c)?].label.as_str()))),
            flag_column(outcomes.shared.iter().map(|n| self.memory.is_shared(*n))),
        ]);
        columns.extend(self.signal_columns(outcomes));
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
    fn pilot_columns(&self, outcomes: &Outcomes) -> [ArrayRef; 8] {
        let each = || outcomes.attribution.iter().map(|n| self.memory.attribution(*n));
        let production = outcomes.production.iter().map(|n| self.memory.p_production(*n));
        [
            text_column(each().map(|a| self.pilot(a).map(|p| p.id.as_str()))),
            text_column(each().map(|a| a.stage.map(Stage::name))),
            text_column(each().map(|a| a.kind.map(SelectorKind::name))),
            Arc::new(Float64Array::from_iter(each().map(|a| a.confidence))),
            text_column(each().map(|a| a.purpose.as_deref())),
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
    fn signal_columns(&self, outcomes: &Outcomes) -> [ArrayRef; 9] {
        let networks = || outcomes.network.iter().map(|n| self.memory.network(*n));
        let each = || outcomes.weights.iter().map(|n| self.memory.weights(*n));
        let human =
            |i: usize| -> ArrayRef { Arc::new(Float64Array::from_iter_values(each().map(|w| w.human[i]))) };
        let workload = |i: usize| -> ArrayRef {
            Arc::new(Float64Array::from_iter_values(each().map(|w| w.workload[i])))
        };
        [
            text_column(networks().map(|n| n.name.as_deref())),
            text_column(networks().map(|n| n.kind)),
            text_column(outcomes.client_family.iter().map(|n| self.memory.client_family(*n))),
            human(0),
            workload(0),
            human(1),
            workload(1),
            human(2),
            workload(2),
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
