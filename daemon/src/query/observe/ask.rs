//! Asking the engine: tables of stages, and questions about the subject's rows.
//!
//! In: parts of a detection's statement. Out: batches, or the engine's words. Each question is a SELECT made of the
//! detection's own expressions, checked as a detection is; the subject is a parameter.

use std::collections::BTreeMap;
use std::time::Instant;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::DataType;
use arrow::record_batch::RecordBatch;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::SessionContext;
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{
    Expr, Query, Select, SelectItem, SetExpr, Statement as Parsed, Value, ValueWithSpan,
};

use super::{Asked, ObserveError};
use crate::query::QueryText;
use crate::query::dissect::lineage::Columns;
use crate::query::dissect::{RESULT, StageText, quoted};
use crate::query::plan::{Engine, PlanError, register};
use crate::query::slot::Slot;

/// Name of the parameter that holds the subject; a query cannot write it, for it holds a space.
const SUBJECT: &str = " subject";

/// An engine, and the tables that stages have become.
pub(super) struct Desk<'a> {
    asked: &'a Asked<'a>,
    engine: Engine,
    /// Tables and stages, where every name means one thing in the whole query: opening a session costs more than most
    /// questions.
    shared: Option<SessionContext>,
    /// Stages computed so far, in order.
    made: Vec<(String, RecordBatch)>,
    columns: Columns,
}

impl<'a> Desk<'a> {
    pub(super) fn open(asked: &'a Asked<'a>) -> Result<Self, ObserveError> {
        let engine = Engine::new()?;
        engine.as_of.set(asked.as_of);
        let columns = asked.tables.iter().map(|(name, batch)| (name.clone(), columns_of(batch)));
        let columns = columns.collect();
        let mut desk = Self { asked, engine, shared: None, made: Vec::new(), columns };
        desk.shared = Some(desk.session(0)?);
        Ok(desk)
    }

    /// The detection's statement, and which columns of which table it reads.
    pub(super) fn read(&self) -> Result<(Query, BTreeMap<String, Vec<String>>), ObserveError> {
        let text = &self.asked.query.text;
        let context = self.session(0)?;
        let statement = self.engine.parse(&context, text)?;
        let Statement::Statement(parsed) = &statement else { return Err(not_a_query(text).into()) };
        let Parsed::Query(query) = parsed.as_ref() else { return Err(not_a_query(text).into()) };
        let query = (**query).clone();
        let plan = self.engine.checked(&context, text, statement, None)?;
        let plan = context.state().optimize(&plan).map_err(|e| PlanError::refused_by_engine(text, &e))?;
        Ok((query, reads_of(&plan)))
    }

    /// A session with the tables and the first `stages` stages.
    fn session(&self, stages: usize) -> Result<SessionContext, PlanError> {
        if let Some(shared) = &self.shared {
            return Ok(shared.clone());
        }
        let text = &self.asked.query.text;
        let context = self.engine.session();
        let mut tables: BTreeMap<&str, &RecordBatch> =
            self.asked.tables.iter().map(|(name, batch)| (name.as_str(), batch)).collect();
        tables.extend(self.made.iter().take(stages).map(|(name, batch)| (name.as_str(), batch)));
        for (name, batch) in tables {
            add(&context, text, name, batch)?;
        }
        Ok(context)
    }

    fn in_time(&self) -> Result<(), ObserveError> {
        if Instant::now() < self.asked.give_up { Ok(()) } else { Err(ObserveError::TooLate) }
    }

    /// Computes a stage from those before it.
    pub(super) fn compute(&mut self, stage: &StageText) -> Result<(), ObserveError> {
        self.in_time()?;
        let context = self.session(self.made.len())?;
        let (schema, batches) = self.run(&context, stage.query.clone())?;
        let failed = |e: arrow::error::ArrowError| PlanError::refused(&self.asked.query.text, e);
        let mut batch = concat_batches(&schema, &batches).map_err(failed)?;
        if !stage.columns.is_empty() {
            let names = stage.columns.iter().cloned().zip(batch.columns().iter().cloned());
            batch =
                RecordBatch::try_from_iter_with_nullable(names.map(|(n, c)| (n, c, true))).map_err(failed)?;
        }
        if self.columns.insert(stage.name.clone(), columns_of(&batch)).is_some() {
            self.shared = None;
        }
        if let Some(shared) = &self.shared {
            add(shared, &self.asked.query.text, &stage.name, &batch)?;
        }
        self.made.push((stage.name.clone(), batch));
        Ok(())
    }

    /// Columns of every table and of every stage computed.
    pub(super) fn columns(&self) -> &Columns {
        &self.columns
    }

    /// What the final SELECT returned.
    pub(super) fn output(self) -> Vec<RecordBatch> {
        self.made.into_iter().filter(|(name, _)| name == RESULT).map(|(_, batch)| batch).collect()
    }

    /// Rows of a stage or table in which `column` holds the subject; all rows without a column.
    pub(super) fn rows_of(&self, name: &str, column: Option<&str>) -> u64 {
        let stage = self
            .made
            .iter()
            .find(|(n, _)| n == name)
            .or_else(|| self.asked.tables.iter().find(|(n, _)| n == name));
        let Some((_, batch)) = stage else { return 0 };
        let Some(column) = column else { return batch.num_rows() as u64 };
        rows_with(batch, column, self.asked.subject).len() as u64
    }

    /// Line of the file on which the SQL starts.
    pub(super) fn sql_line(&self) -> u64 {
        self.asked.query.text.sql_line as u64
    }

    /// Whether the query itself computes this relation.
    pub(super) fn is_stage(&self, name: &str) -> bool {
        self.made.iter().any(|(n, _)| n == name)
    }

    /// The subject, as it stands in SQL.
    pub(super) fn subject() -> Expr {
        Expr::Value(ValueWithSpan::from(Value::Placeholder(format!("${SUBJECT}"))))
    }

    /// Columns with the values of `exprs` over what `select` reads, for stage number `stage`; `Err` in the
    /// engine's words.
    pub(super) fn values(
        &self,
        stage: usize,
        select: &Select,
        exprs: &[Expr],
    ) -> Result<Result<Vec<ArrayRef>, String>, ObserveError> {
        self.in_time()?;
        let item = |(n, expr): (usize, &Expr)| SelectItem::ExprWithAlias {
            expr: expr.clone(),
            alias: quoted(&format!("value {n}")),
        };
        let projection = exprs.iter().enumerate().map(item).collect();
        let select = Select { projection, distinct: None, top: None, qualify: None, ..select.clone() };
        let context = self.session(stage)?;
        let answer = self.run(&context, query_of(select));
        let together = answer
            .map_err(|e| e.to_string())
            .and_then(|(schema, batches)| concat_batches(&schema, &batches).map_err(|e| e.to_string()));
        Ok(together.map(|batch| batch.columns().to_vec()))
    }

    fn run(
        &self,
        context: &SessionContext,
        query: Query,
    ) -> Result<(arrow::datatypes::SchemaRef, Vec<RecordBatch>), PlanError> {
        let text = &self.asked.query.text;
        let statement = Statement::Statement(Box::new(Parsed::Query(Box::new(query))));
        let subject = Some((SUBJECT, self.asked.subject));
        let plan = self.engine.checked(context, text, statement, subject)?;
        let schema = plan.schema().inner().clone();
        let (runnable, _) = self.engine.physical(context, text, &plan)?;
        let batches = self.engine.run(&text.id, &runnable)?;
        let schema = batches.first().map_or(schema, RecordBatch::schema);
        Ok((schema, batches))
    }
}

fn add(context: &SessionContext, text: &QueryText, name: &str, batch: &RecordBatch) -> Result<(), PlanError> {
    register(context, text, &format!("\"{name}\""), &Slot::holding(batch))
}

fn not_a_query(text: &QueryText) -> PlanError {
    PlanError::refused(text, "a detection is one SELECT")
}

fn query_of(select: Select) -> Query {
    Query {
        with: None,
        body: Box::new(SetExpr::Select(Box::new(select))),
        order_by: None,
        limit_clause: None,
        fetch: None,
        locks: Vec::new(),
        for_clause: None,
        settings: None,
        format_clause: None,
        pipe_operators: Vec::new(),
    }
}

fn columns_of(batch: &RecordBatch) -> Vec<String> {
    batch.schema_ref().fields().iter().map(|field| field.name().clone()).collect()
}

/// Numbers of the rows in which a column says `text`.
pub fn rows_with(batch: &RecordBatch, column: &str, text: &str) -> Vec<usize> {
    let Some(column) = batch.column_by_name(column) else { return Vec::new() };
    let Ok(column) = cast(column, &DataType::Utf8) else { return Vec::new() };
    let texts = column.as_string::<i32>();
    (0..texts.len()).filter(|row| texts.is_valid(*row) && texts.value(*row) == text).collect()
}

fn reads_of(plan: &LogicalPlan) -> BTreeMap<String, Vec<String>> {
    let mut reads: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let visit = |node: &LogicalPlan| {
        if let LogicalPlan::TableScan(scan) = node {
            let columns = reads.entry(scan.table_name.table().to_owned()).or_default();
            for field in scan.projected_schema.fields() {
                if !columns.contains(field.name()) {
                    columns.push(field.name().clone());
                }
            }
        }
        Ok(TreeNodeRecursion::Continue)
    };
    plan.apply_with_subqueries(visit).expect("the visitor never fails");
    reads
}
