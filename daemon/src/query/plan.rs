//! Planning once, running often.
//!
//! In: query texts and the registry's tables. Out: planned rollups and detections that turn batches into
//! batches. A plan never runs twice at once and is reset before each run. Plans see registered tables only.

mod errors;
mod reads;
mod scans;

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{AsArray, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use datafusion::common::{ParamValues, ScalarValue};
use datafusion::error::DataFusionError;
use datafusion::execution::TaskContext;
use datafusion::execution::context::SQLOptions;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::execution_plan::reset_plan_states;
use datafusion::physical_plan::{ExecutionPlan, collect};
use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{Query, Statement as Parsed};

use crate::limits::QUERY_MEMORY_BYTES_MAX;
use crate::losses::{self, Losses};
use crate::query::functions::{self, AsOf};
use crate::query::parts::{Desk, Parts, Read, Step, Worked, follows_links};
use crate::query::shape::{
    check_functions, check_named_columns, check_nodes, check_timeless, merges_of, plain_schema, shape_of,
    with_grid,
};
use crate::query::slot::Slot;
use crate::query::{DetectionQuery, QueryText, QueryTexts, RollupQuery};
use crate::schema::ENRICHED_SCHEMA;

pub use errors::PlanError;
pub(super) use errors::failed;
use reads::{check_retention, driven_by, reads_losses, reads_of};
use scans::scans_of;
pub(super) use scans::{Scan, tables_of};

/// Name of the column that every rollup carries besides its own: the end of the base grid interval.
pub const GRID_COLUMN: &str = "grid_time";

/// How two partial values of one column become one: derived from the query's aggregates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Merge {
    /// Part of the key.
    Key,
    /// count, sum.
    Sum,
    /// min.
    Min,
    /// max.
    Max,
    /// bool_or, bit_or.
    Or,
    /// hll_sketch: bytes of crate::sketch.
    Sketch,
}

/// A rollup ready to run.
pub struct PlannedRollup {
    /// Its query.
    pub query: RollupQuery,
    /// Output columns in order, `grid_time` last, dictionary and view types made plain.
    pub schema: SchemaRef,
    /// How each column of `schema` merges.
    pub merges: Vec<Merge>,
    plan: Runnable,
    events: Slot,
}

/// A detection ready to run.
pub struct PlannedDetection {
    /// Its query.
    pub query: Arc<DetectionQuery>,
    /// Rollups it reads, as indices into [`QuerySet::rollups`].
    pub reads: Vec<usize>,
    /// Those of them whose new rows make subjects due: all but the query's `background`.
    pub driven_by: Vec<usize>,
    /// Whether it reads tables of the registry: then a fact that starts or ends may change any answer.
    pub reads_registry: bool,
    /// Whether it reads which evidence was lost.
    pub reads_losses: bool,
    /// Whether it reads who issued a token and who presents it: then what it says of a subject depends on the
    /// subject's family.
    pub follows_links: bool,
    /// Columns it returns.
    pub output: SchemaRef,
    /// Whom it may say anything of at all, where its query names parts that tell: each is asked of those whom the one
    /// before named.
    pub candidates: Vec<Candidates>,
    /// Columns that it reads of each of `reads`.
    pub columns: Vec<Read>,
    last: Step,
}

/// A part of a detection that names everybody of whom the detection may say anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidates {
    /// What the part reads of rollups.
    pub columns: Vec<Read>,
    /// As [`PlannedDetection::follows_links`], of the part.
    pub follows_links: bool,
    part: usize,
}

/// Everything in force, planned. Not `Sync`: one thread runs it.
pub struct QuerySet {
    /// In id order.
    pub rollups: Vec<PlannedRollup>,
    /// In id order.
    pub detections: Vec<PlannedDetection>,
    engine: Engine,
    registry: Vec<(String, Slot)>,
    losses: Slot,
    /// Rollups as detections read them.
    tables: Vec<Slot>,
    parts: Parts,
}

impl QuerySet {
    /// Plans every query; all errors at once.
    pub fn plan(
        texts: &QueryTexts,
        registry: &[(&'static str, RecordBatch)],
    ) -> Result<Self, Vec<PlanError>> {
        let engine = Engine::new().map_err(|e| vec![e])?;
        let mut errors = Vec::new();
        let mut keep = |r: Result<_, PlanError>| r.map_err(|e| errors.push(e)).ok();
        let rollups: Vec<PlannedRollup> =
            texts.rollups.iter().filter_map(|q| keep(engine.plan_rollup(q))).collect();
        let registry: Vec<(String, Slot)> =
            registry.iter().map(|(n, b)| ((*n).to_owned(), Slot::holding(b))).collect();
        if !errors.is_empty() {
            return Err(errors);
        }
        let tables: Vec<Slot> = rollups.iter().map(|r| Slot::empty(table_schema(&r.schema))).collect();
        let losses = Slot::holding(&Losses::default().table());
        let known = Tables { rollups: &rollups, slots: &tables, registry: &registry, losses: &losses };
        let (mut detections, mut parts) = (Vec::new(), Parts::default());
        for query in &texts.detections {
            match engine.plan_detection(query, &known, &mut parts) {
                Ok(planned) => detections.push(planned),
                Err(e) => errors.push(e),
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        Ok(Self { rollups, detections, engine, registry, losses, tables, parts })
    }

    /// Puts new registry tables in place of the old; the same names and schemas.
    pub fn replace_registry(&self, tables: &[(&'static str, RecordBatch)]) {
        for (name, batch) in tables {
            if let Some((_, slot)) = self.registry.iter().find(|(n, _)| n == name) {
                slot.put(vec![batch.clone()]);
            }
        }
    }

    /// Puts the table of losses in place of the former.
    pub fn replace_losses(&self, losses: &Losses) {
        self.losses.put(vec![losses.table()]);
    }

    /// The tables beside the rollups as detections see them: those of the registry, and which evidence was lost.
    pub fn other_tables(&self) -> Vec<(String, RecordBatch)> {
        let held = |(name, slot): (&str, &Slot)| Some((name.to_owned(), slot.get().first()?.clone()));
        let registry = self.registry.iter().map(|(name, slot)| (name.as_str(), slot));
        registry.chain([(losses::TABLE, &self.losses)]).filter_map(held).collect()
    }

    /// Partial rows of one rollup over a batch of enriched events.
    pub fn run_rollup(&self, index: usize, events: &RecordBatch) -> Result<Vec<RecordBatch>, PlanError> {
        let rollup = &self.rollups[index];
        rollup.events.put(vec![events.clone()]);
        let rows = self.engine.run(&rollup.query.text.id, &rollup.plan)?;
        rows.iter()
            .map(|b| plain(b, &rollup.schema).map_err(|e| failed(&rollup.query.text.id, e.into())))
            .collect()
    }

    /// Lets each detection look at points of the base grid only, at the next after its own where they differ: between
    /// them it would see rows that are not there yet as if they never came.
    pub fn look_on(&mut self, base_grid_seconds: u32) {
        let base = i64::from(base_grid_seconds.max(1));
        for detection in &mut self.detections {
            let query = Arc::make_mut(&mut detection.query);
            query.grid_seconds = (query.grid_seconds + base - 1) / base * base;
        }
    }

    /// Rows of one detection as of an instant. `worked` holds a view of each of [`PlannedDetection::columns`]; what other
    /// detections left there is not worked out again.
    pub fn run_detection(
        &self,
        index: usize,
        as_of_micros: i64,
        worked: &mut Worked,
    ) -> Result<Vec<RecordBatch>, PlanError> {
        let detection = &self.detections[index];
        self.engine.as_of.set(as_of_micros);
        self.parts.run(&self.engine, &detection.query.text.id, &detection.last, &self.tables, worked)
    }

    /// Names of those of whom a detection may say anything as of an instant. `worked` holds a view of each of
    /// [`Candidates::columns`].
    pub fn run_candidates(
        &self,
        index: usize,
        candidates: &Candidates,
        as_of_micros: i64,
        worked: &mut Worked,
    ) -> Result<Vec<StringArray>, PlanError> {
        let query = &self.detections[index].query;
        self.engine.as_of.set(as_of_micros);
        let rows = self.parts.rows(&self.engine, &query.text.id, candidates.part, &self.tables, worked)?;
        let names = |rows: &RecordBatch| {
            let column = rows.column_by_name(&query.subject_kind).expect("planning checked that it is there");
            cast(column, &DataType::Utf8).map(|names| names.as_string::<i32>().clone())
        };
        rows.iter().map(|rows| names(rows).map_err(|e| failed(&query.text.id, e.into()))).collect()
    }
}

/// A physical plan and the context it runs in.
pub(super) struct Runnable {
    plan: Arc<dyn ExecutionPlan>,
    context: Arc<TaskContext>,
}

impl Runnable {
    /// The columns that it returns.
    pub(super) fn schema(&self) -> SchemaRef {
        self.plan.schema()
    }
}

pub(super) struct Engine {
    runtime: tokio::runtime::Runtime,
    /// Memory that a running query may hold, and no disk.
    resources: Arc<RuntimeEnv>,
    pub(super) as_of: AsOf,
}

impl Engine {
    pub(super) fn new() -> Result<Self, PlanError> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().map_err(PlanError::Engine)?;
        let no_disk = DiskManagerBuilder::default().with_mode(DiskManagerMode::Disabled);
        let resources = RuntimeEnvBuilder::new()
            .with_memory_limit(QUERY_MEMORY_BYTES_MAX, 1.0)
            .with_disk_manager_builder(no_disk)
            .build_arc()
            .map_err(|e| PlanError::Engine(std::io::Error::other(e)))?;
        Ok(Self { runtime, resources, as_of: AsOf::default() })
    }

    /// A context with our functions and no tables. One partition: two are slower for micro-batches.
    /// Dynamic filters are off because a reset does not cover them.
    pub(super) fn session(&self) -> SessionContext {
        let config = SessionConfig::new()
            .with_target_partitions(1)
            .with_information_schema(false)
            .set_bool("datafusion.optimizer.enable_dynamic_filter_pushdown", false)
            .set_bool("datafusion.sql_parser.map_string_types_to_utf8view", false)
            .set_bool("datafusion.sql_parser.collect_spans", true);
        let context = SessionContext::new_with_config_rt(config, self.resources.clone());
        for function in functions::all(&self.as_of) {
            context.register_udf(function);
        }
        for function in functions::aggregates() {
            context.register_udaf(function);
        }
        context
    }

    pub(super) fn run(&self, id: &str, runnable: &Runnable) -> Result<Vec<RecordBatch>, PlanError> {
        let plan = reset_plan_states(runnable.plan.clone()).map_err(|e| failed(id, e))?;
        self.runtime.block_on(collect(plan, runnable.context.clone())).map_err(|e| failed(id, e))
    }

    fn logical(&self, context: &SessionContext, text: &QueryText) -> Result<LogicalPlan, PlanError> {
        let statement = self.parse(context, text)?;
        self.checked(context, text, statement, None)
    }

    /// What `text` says, not yet checked.
    pub(super) fn parse(&self, context: &SessionContext, text: &QueryText) -> Result<Statement, PlanError> {
        let state = context.state();
        let dialect = state.config_options().sql_parser.dialect;
        let refused = |e: DataFusionError| PlanError::refused_by_engine(text, &e);
        state.sql_to_statement(&text.sql, &dialect).map_err(refused)
    }

    /// A statement made of `text`, planned under its rules; `more` is bound beside its parameters.
    pub(super) fn checked(
        &self,
        context: &SessionContext,
        text: &QueryText,
        statement: Statement,
        more: Option<(&str, &str)>,
    ) -> Result<LogicalPlan, PlanError> {
        let refused = |e: DataFusionError| PlanError::refused_by_engine(text, &e);
        let plan = self.runtime.block_on(context.state().statement_to_plan(statement)).map_err(refused)?;
        let options =
            SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
        options.verify_plan(&plan).map_err(refused)?;
        check_nodes(text, &plan, |table| context.table_exist(table).unwrap_or(false))?;
        let mut values: HashMap<String, ScalarValue> =
            text.parameters.iter().map(|(k, v)| (k.clone(), ScalarValue::Float64(Some(*v)))).collect();
        values.extend(more.map(|(name, value)| (name.to_owned(), ScalarValue::from(value))));
        let plan = plan.with_param_values(ParamValues::from(values)).map_err(refused)?;
        check_functions(text, &plan)?;
        Ok(plan)
    }

    /// A plan to run, and which columns of which tables it scans.
    pub(super) fn physical(
        &self,
        context: &SessionContext,
        text: &QueryText,
        plan: &LogicalPlan,
    ) -> Result<(Runnable, Vec<Scan>), PlanError> {
        let refused = |e: DataFusionError| PlanError::refused_by_engine(text, &e);
        let state = context.state();
        let plan = state.optimize(plan).map_err(refused)?;
        let scans = scans_of(&plan);
        let plan = state.query_planner().create_physical_plan(&plan, &state);
        let plan = self.runtime.block_on(plan).map_err(refused)?;
        Ok((Runnable { plan, context: context.task_ctx() }, scans))
    }

    fn plan_rollup(&self, query: &RollupQuery) -> Result<PlannedRollup, PlanError> {
        let text = &query.text;
        let context = self.session();
        let events = Slot::empty(ENRICHED_SCHEMA.clone());
        register(&context, text, "events", &events)?;
        let plan = self.logical(&context, text)?;
        check_timeless(text, &plan)?;
        let (projection, aggregate) = shape_of(text, &plan)?;
        let merges = merges_of(text, projection, aggregate)?;
        let plan = with_grid(projection, aggregate).map_err(|e| PlanError::refused_by_engine(text, &e))?;
        let schema = plain_schema(text, plan.schema().as_arrow(), &merges)?;
        check_named_columns(query, &schema, &merges)?;
        let (plan, _) = self.physical(&context, text, &plan)?;
        Ok(PlannedRollup { query: query.clone(), schema, merges, plan, events })
    }

    fn plan_detection(
        &self,
        query: &DetectionQuery,
        known: &Tables<'_>,
        parts: &mut Parts,
    ) -> Result<PlannedDetection, PlanError> {
        let text = &query.text;
        let rollups = known.rollups;
        let context = self.session();
        for (name, slot) in known.registry {
            register(&context, text, name, slot)?;
        }
        register(&context, text, losses::TABLE, known.losses)?;
        for (rollup, slot) in rollups.iter().zip(known.slots) {
            register(&context, text, &rollup.query.text.table(), slot)?;
        }
        let statement = self.parse(&context, text)?;
        let plan = self.checked(&context, text, statement.clone(), None)?;
        let names = tables_of(&plan);
        let reads = reads_of(&names, rollups);
        let reads_registry = known.registry.iter().any(|(name, _)| names.contains(name));
        let reads_losses = reads_losses(query, &names)?;
        check_retention(query, &reads, rollups)?;
        let driven_by = driven_by(query, &reads, rollups)?;
        let follows_links = follows_links(&query.subject_kind, &reads, rollups);
        let output = plan.schema().inner().clone();
        let rollup_of = |name: &str| rollups.iter().position(|r| r.query.text.table() == name);
        let desk = Desk { engine: self, context: &context, text, rollup_of: &rollup_of };
        let taken = parts.take(&desk, query_of(text, &statement)?)?;
        let candidates = candidates(query, &taken.named, parts, rollups)?;
        let query = Arc::new(query.clone());
        let columns = parts.reads_of(&taken.last);
        let last = taken.last;
        Ok(PlannedDetection {
            query,
            reads,
            driven_by,
            reads_registry,
            reads_losses,
            follows_links,
            output,
            candidates,
            columns,
            last,
        })
    }
}

/// What detections may read.
struct Tables<'a> {
    rollups: &'a [PlannedRollup],
    slots: &'a [Slot],
    registry: &'a [(String, Slot)],
    losses: &'a Slot,
}

fn query_of<'a>(text: &QueryText, statement: &'a Statement) -> Result<&'a Query, PlanError> {
    if let Statement::Statement(parsed) = statement
        && let Parsed::Query(query) = parsed.as_ref()
    {
        return Ok(query);
    }
    Err(PlanError::refused(text, "a detection is one SELECT"))
}

/// The parts that the front matter names; refuses one that is not there or does not name subjects.
fn candidates(
    query: &DetectionQuery,
    named: &[(String, usize)],
    parts: &Parts,
    rollups: &[PlannedRollup],
) -> Result<Vec<Candidates>, PlanError> {
    let kind = &query.subject_kind;
    let names_subjects = |part: usize| {
        let column = parts.schema(part).field_with_name(kind);
        column.is_ok_and(|c| *c.data_type() == DataType::Utf8)
    };
    let part_of = |name: &String| {
        let Some((_, part)) = named.iter().find(|(n, _)| n == name) else {
            let message = format!(
                "front matter names candidates `{name}`, but the query has no WITH part of that name"
            );
            return Err(PlanError::refused(&query.text, message));
        };
        if !names_subjects(*part) {
            let message = format!("candidates `{name}` has no text column `{kind}`: select it there");
            return Err(PlanError::refused(&query.text, message));
        }
        let columns = parts.reads(*part);
        let reads: Vec<usize> = columns.iter().map(|read| read.rollup).collect();
        Ok(Candidates { follows_links: follows_links(kind, &reads, rollups), columns, part: *part })
    };
    query.candidates.iter().map(part_of).collect()
}

pub(super) fn register(
    context: &SessionContext,
    text: &QueryText,
    name: &str,
    slot: &Slot,
) -> Result<(), PlanError> {
    let table = slot.table().map_err(|e| PlanError::refused(text, e))?;
    context.register_table(name, table).map_err(|e| PlanError::refused(text, e))?;
    Ok(())
}

/// What detections see of a rollup: everything but the grid column.
fn table_schema(schema: &SchemaRef) -> SchemaRef {
    let fields: Vec<_> = schema.fields().iter().filter(|f| f.name() != GRID_COLUMN).cloned().collect();
    Arc::new(Schema::new(fields))
}

fn plain(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, arrow::error::ArrowError> {
    let columns = batch.columns().iter().zip(schema.fields()).map(|(c, f)| cast(c, f.data_type()));
    RecordBatch::try_new(schema.clone(), columns.collect::<Result<Vec<_>, _>>()?)
}
