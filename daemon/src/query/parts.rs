//! WITH parts of detections, each planned by itself and worked out once an instant, however many name it.
//!
//! In: a detection's statement. Out: plans of its WITH parts, shared by detections that say the same with the same
//! parameters, and of its final SELECT. The engine alone would work a part out anew wherever it is named.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::SessionContext;
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{Cte, Query, Statement as Parsed};

use super::QueryText;
use super::dissect::folded;
use super::plan::{Engine, PlanError, PlannedRollup, Runnable, Scan, failed, register, tables_of};
use super::slot::Slot;

/// What a plan reads besides the registry.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(super) struct Inputs {
    /// Rollups, as indices into the query set's.
    pub rollups: Vec<usize>,
    /// Parts, as indices into [`Parts::planned`]; all of them smaller than the reader's own.
    pub parts: Vec<usize>,
}

/// A plan and what it reads.
pub(super) struct Step {
    pub plan: Runnable,
    pub inputs: Inputs,
    /// Of the rollups among its inputs.
    pub columns: Vec<Read>,
}

/// Columns of a rollup that a query reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Read {
    /// Index into [`QuerySet::rollups`](super::plan::QuerySet::rollups).
    pub rollup: usize,
    /// Indices, in order.
    pub columns: Vec<usize>,
}

/// A WITH part ready to run.
struct Part {
    step: Step,
    output: Slot,
    schema: SchemaRef,
}

/// What makes two parts the same: their SQL, the parameters in it, what they read.
#[derive(PartialEq, Eq, Hash)]
struct Meaning {
    sql: String,
    columns: Vec<String>,
    parameters: Vec<(String, u64)>,
    inputs: Inputs,
}

/// The WITH parts of all detections.
#[derive(Default)]
pub(super) struct Parts {
    planned: Vec<Part>,
    known: HashMap<Meaning, usize>,
}

/// What was worked out for one set of subjects at one instant: it holds while no rollup row changes.
#[derive(Default)]
pub struct Worked {
    /// Rows of rollups by index.
    pub(crate) views: HashMap<usize, RecordBatch>,
    parts: HashMap<usize, Vec<RecordBatch>>,
}

/// A detection's parts by name, and its final SELECT.
pub(super) struct Taken {
    pub named: Vec<(String, usize)>,
    pub last: Step,
}

/// Where a detection is planned.
pub(super) struct Desk<'a> {
    pub engine: &'a Engine,
    /// With every table registered; parts join them as they are planned.
    pub context: &'a SessionContext,
    pub text: &'a QueryText,
    /// Index of the rollup that a table is.
    pub rollup_of: &'a dyn Fn(&str) -> Option<usize>,
}

impl Parts {
    /// Plans each WITH part of `query` that is not known, and the final SELECT.
    pub fn take(&mut self, desk: &Desk<'_>, query: &Query) -> Result<Taken, PlanError> {
        let mut named: Vec<(String, usize)> = Vec::new();
        let ctes = query.with.iter().flat_map(|with| &with.cte_tables);
        // A part that hides a table or another part is left to the engine, with all that follow it.
        let split = ctes.clone().take_while(|cte| !desk.knows(&folded(&cte.alias.name))).count();
        for cte in ctes.take(split) {
            let name = folded(&cte.alias.name);
            let index = self.part(desk, cte, &named)?;
            register(desk.context, desk.text, &format!("\"{name}\""), &self.planned[index].output)?;
            named.push((name, index));
        }
        let with = query.with.clone().filter(|with| split < with.cte_tables.len()).map(|mut with| {
            with.cte_tables.drain(..split);
            with
        });
        let last = desk.step(&Query { with, ..query.clone() }, &named)?;
        Ok(Taken { named, last })
    }

    fn part(&mut self, desk: &Desk<'_>, cte: &Cte, named: &[(String, usize)]) -> Result<usize, PlanError> {
        let logical = desk.logical(&cte.query)?;
        let sql = cte.query.to_string();
        let used = desk.text.parameters.iter().filter(|(name, _)| sql.contains(&format!("${name}")));
        let columns: Vec<String> = cte.alias.columns.iter().map(|column| folded(&column.name)).collect();
        let meaning = Meaning {
            parameters: used.map(|(name, value)| (name.clone(), value.to_bits())).collect(),
            inputs: desk.inputs(&logical, named),
            columns: columns.clone(),
            sql,
        };
        if let Some(index) = self.known.get(&meaning) {
            return Ok(*index);
        }
        let step = desk.planned(&logical, meaning.inputs.clone())?;
        let schema = nullable(&step.plan.schema(), &columns);
        self.planned.push(Part { step, output: Slot::empty(schema.clone()), schema });
        self.known.insert(meaning, self.planned.len() - 1);
        Ok(self.planned.len() - 1)
    }

    /// Rows of one part, worked out with all that it reads unless that was done; `rollups` are the tables of rollups.
    pub fn rows(
        &self,
        engine: &Engine,
        id: &str,
        index: usize,
        rollups: &[Slot],
        worked: &mut Worked,
    ) -> Result<Vec<RecordBatch>, PlanError> {
        if let Some(rows) = worked.parts.get(&index) {
            return Ok(rows.clone());
        }
        let part = &self.planned[index];
        let rows = self.run(engine, id, &part.step, rollups, worked)?;
        let rows = rows.iter().map(|rows| rows.columns().to_vec());
        let rows = rows.map(|columns| RecordBatch::try_new(part.schema.clone(), columns));
        let rows = rows.collect::<Result<Vec<_>, _>>().map_err(|e| failed(id, e.into()))?;
        worked.parts.insert(index, rows.clone());
        Ok(rows)
    }

    /// Runs a plan over what is worked out, after working out what is not.
    pub fn run(
        &self,
        engine: &Engine,
        id: &str,
        step: &Step,
        rollups: &[Slot],
        worked: &mut Worked,
    ) -> Result<Vec<RecordBatch>, PlanError> {
        for part in &step.inputs.parts {
            self.rows(engine, id, *part, rollups, worked)?;
        }
        let tables = step
            .inputs
            .rollups
            .iter()
            .map(|i| (&rollups[*i], worked.views.get(i).cloned().into_iter().collect()));
        let parts = step.inputs.parts.iter().map(|i| (&self.planned[*i].output, worked.parts[i].clone()));
        let inputs: Vec<(&Slot, Vec<RecordBatch>)> = tables.chain(parts).collect();
        inputs.iter().for_each(|(slot, rows)| slot.put(rows.clone()));
        let rows = engine.run(id, &step.plan);
        inputs.iter().for_each(|(slot, _)| slot.put(Vec::new()));
        rows
    }

    /// The columns of a part.
    pub fn schema(&self, index: usize) -> &SchemaRef {
        &self.planned[index].schema
    }

    /// What a part reads of rollups, by way of other parts too.
    pub fn reads(&self, index: usize) -> Vec<Read> {
        self.reads_of(&self.planned[index].step)
    }

    /// What a plan reads of rollups, by way of parts too: one for each rollup.
    pub fn reads_of(&self, step: &Step) -> Vec<Read> {
        let deeper = step.inputs.parts.iter().flat_map(|part| self.reads(*part));
        let mut reads: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
        for read in step.columns.iter().cloned().chain(deeper) {
            reads.entry(read.rollup).or_default().extend(read.columns);
        }
        let read = |(rollup, columns): (usize, BTreeSet<usize>)| Read {
            rollup,
            columns: columns.into_iter().collect(),
        };
        reads.into_iter().map(read).collect()
    }
}

impl Desk<'_> {
    fn knows(&self, table: &str) -> bool {
        self.context.table_exist(format!("\"{table}\"")).unwrap_or(true)
    }

    fn logical(&self, query: &Query) -> Result<LogicalPlan, PlanError> {
        let statement = Statement::Statement(Box::new(Parsed::Query(Box::new(query.clone()))));
        self.engine.checked(self.context, self.text, statement, None)
    }

    fn step(&self, query: &Query, named: &[(String, usize)]) -> Result<Step, PlanError> {
        let logical = self.logical(query)?;
        self.planned(&logical, self.inputs(&logical, named))
    }

    fn planned(&self, logical: &LogicalPlan, inputs: Inputs) -> Result<Step, PlanError> {
        let (plan, scans) = self.engine.physical(self.context, self.text, logical)?;
        let read = |scan: Scan| {
            let rollup = (self.rollup_of)(&scan.table).filter(|rollup| inputs.rollups.contains(rollup))?;
            Some(Read { rollup, columns: scan.columns })
        };
        let columns = scans.into_iter().filter_map(read).collect();
        Ok(Step { plan, inputs, columns })
    }

    fn inputs(&self, plan: &LogicalPlan, named: &[(String, usize)]) -> Inputs {
        let names = tables_of(plan);
        let part = |name: &String| named.iter().find(|(n, _)| n == name).map(|(_, index)| *index);
        let mut inputs = Inputs {
            rollups: names.iter().filter(|n| part(n).is_none()).filter_map(|n| (self.rollup_of)(n)).collect(),
            parts: names.iter().filter_map(part).collect(),
        };
        for indices in [&mut inputs.rollups, &mut inputs.parts] {
            indices.sort_unstable();
            indices.dedup();
        }
        inputs
    }
}

/// Whether `reads` tell who issued a token and who presents it.
pub(super) fn follows_links(subject_kind: &str, reads: &[usize], rollups: &[PlannedRollup]) -> bool {
    let mut own = reads.iter().map(|i| &rollups[*i].query).filter(|read| read.subject == subject_kind);
    own.clone().any(|read| read.issues.is_some()) && own.any(|read| read.presents.is_some())
}

/// Every column may be null: what the engine says of that differs from what it computes, here and there.
fn nullable(schema: &Schema, names: &[String]) -> SchemaRef {
    let fields = schema.fields().iter().enumerate().map(|(index, field)| {
        let name = names.get(index).unwrap_or_else(|| field.name());
        Field::new(name, field.data_type().clone(), true)
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}
