//! What a detection sees of one subject: each stage with its rows, each condition with both its sides.
//!
//! In: a detection, its tables, a subject, an instant. Out: an [`Observation`]. Every stage is computed once, in
//! order, into a table of its own; each condition is then asked of the subject's rows. What is asked is planned
//! under the rules of detections; the subject is bound, never written into SQL.

mod ask;
mod block;
mod measure;
mod rows;

use std::collections::BTreeMap;
use std::time::Instant;

use arrow::record_batch::RecordBatch;
use serde::Serialize;

use super::DetectionQuery;
use super::dissect::lineage::{self, Columns, Lineage};
use super::dissect::{self, StageText};
use super::plan::PlanError;
use ask::Desk;

pub use ask::rows_with;
pub use measure::{Unit, cut};

/// One question.
pub struct Asked<'a> {
    /// The detection.
    pub query: &'a DetectionQuery,
    /// Rollups and registry tables by name.
    pub tables: &'a [(String, RecordBatch)],
    /// Subject id.
    pub subject: &'a str,
    /// The instant of evaluation, microseconds.
    pub as_of: i64,
    /// Nothing more is asked after this.
    pub give_up: Instant,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ObserveError {
    /// The query itself cannot be planned or run.
    #[error(transparent)]
    Query(#[from] PlanError),
    /// It took too long.
    #[error("the time for one explanation ran out")]
    TooLate,
}

/// What a detection sees of one subject.
#[derive(Debug)]
pub struct Observation {
    /// In the order in which they are computed, the final SELECT last.
    pub stages: Vec<Stage>,
    /// Everything that the final SELECT returned.
    pub output: Vec<RecordBatch>,
    /// By table: the columns that the query reads.
    pub reads: BTreeMap<String, Vec<String>>,
    /// By table: the column that holds the subject.
    pub subject_columns: BTreeMap<String, String>,
}

/// A CTE, or the final SELECT.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Stage {
    /// Name of the CTE.
    pub name: String,
    /// Whether its rows can be told apart by subject; otherwise all of them are counted.
    pub by_subject: bool,
    /// Whether the final SELECT has no row without it: no outer join and no branch of a UNION stands between.
    pub required: bool,
    /// Rows that it returns of the subject.
    pub rows: u64,
    /// Its SELECTs: one, or one for each branch of a UNION.
    pub blocks: Vec<Block>,
}

/// One SELECT.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Block {
    /// What it reads, in order.
    pub sources: Vec<Source>,
    /// Rows of the subject before any condition.
    pub rows_in: u64,
    /// Rows of the subject for which every join condition and WHERE is true.
    pub rows_left: u64,
    /// Groups of these rows, where it groups.
    pub groups: Option<u64>,
    /// In the order in which they stand.
    pub conditions: Vec<Condition>,
}

/// A table or stage that a SELECT reads.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Source {
    /// Its name.
    pub name: String,
    /// Whether it is a stage of the query; otherwise a table.
    pub is_stage: bool,
    /// Whether a row may do without it.
    pub is_outer: bool,
    /// Whether it is joined by the subject.
    pub by_subject: bool,
    /// Rows of the subject in it; all of them where it is not joined by the subject.
    pub rows: u64,
}

/// What a condition does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// ON of an inner join: a row for which it is not true is left out.
    Join,
    /// WHERE: a row for which it is not true is left out.
    Where,
    /// HAVING: a group for which it is not true is left out.
    Having,
    /// Decides between 'fire' and 'hold'.
    Level,
    /// Decides what a column says; leaves nothing out.
    Mark,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Join, Self::Where, Self::Having, Self::Level, Self::Mark];

    /// The word it travels as.
    pub fn name(self) -> &'static str {
        match self {
            Self::Join => "join",
            Self::Where => "where",
            Self::Having => "having",
            Self::Level => "level",
            Self::Mark => "mark",
        }
    }

    /// Whether what does not fulfil it is left out.
    pub fn is_gate(self) -> bool {
        match self {
            Self::Join | Self::Where | Self::Having => true,
            Self::Level | Self::Mark => false,
        }
    }
}

/// A condition, asked of every row or group of the subject that it concerns.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Condition {
    /// What it does.
    pub role: Role,
    /// Column that is this condition.
    pub defines: Option<String>,
    /// Line of the file.
    pub line: u64,
    /// Rows or groups that were asked.
    pub asked: u64,
    /// Of these, those for which it is true.
    pub passed: u64,
    /// Of these, those for which it is neither true nor false: something is not observed.
    pub unknown: u64,
    /// For gates: rows or groups for which this and all before it are true.
    pub left: u64,
    /// The condition on the row that comes closest.
    pub node: Node,
}

/// How the parts of a condition make it true.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Join {
    /// Each part has to be true.
    All,
    /// One part has to be true.
    Any,
    /// Its part has to be false.
    Not,
    /// It is the column that its part defines in an earlier stage, or has no part.
    Itself,
}

impl Join {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::All, Self::Any, Self::Not, Self::Itself];

    /// The word it travels as.
    pub fn name(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Any => "any",
            Self::Not => "not",
            Self::Itself => "itself",
        }
    }
}

/// A condition or a part of one, on one row.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Node {
    /// As it is written.
    pub text: String,
    /// How its parts make it true.
    pub join: Join,
    /// Whether it is true; neither where something is not observed.
    pub holds: Option<bool>,
    /// Both sides, where it compares.
    pub measure: Option<Measure>,
    /// Stage that defines the column which this is.
    pub defined_in: Option<String>,
    /// What it is made of.
    pub parts: Vec<Node>,
}

/// Both sides of a comparison on one row.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Measure {
    /// Value of the first side; `None`: not observed.
    pub actual: Option<String>,
    /// `>=`, `<`, ...; empty where the condition is no comparison.
    pub compare: String,
    /// Value of the second side; `None` where there is none or it is not observed.
    pub wanted: Option<String>,
    /// How far the first side is beyond the second on the side where it holds; negative: how much it is short.
    pub margin: Option<f64>,
    /// Unit of `margin`.
    pub unit: Unit,
    /// Parameters in it, without `$`.
    pub parameters: Vec<String>,
}

impl Node {
    /// The parts that keep this from being true, and whether one of several would be enough; none where it is true.
    pub fn blamed(&self) -> Vec<(&Node, bool)> {
        if self.holds == Some(true) {
            return Vec::new();
        }
        let parts: Vec<(&Node, bool)> = match self.join {
            Join::All | Join::Any | Join::Itself => self.parts.iter().flat_map(Self::blamed).collect(),
            Join::Not => Vec::new(),
        };
        let is_choice = self.join == Join::Any;
        if parts.is_empty() {
            return vec![(self, false)];
        }
        parts.into_iter().map(|(part, one_of)| (part, one_of || is_choice)).collect()
    }
}

/// Looks at `asked` stage by stage.
pub fn observe(asked: &Asked<'_>) -> Result<Observation, ObserveError> {
    let mut desk = Desk::open(asked)?;
    let (query, reads) = desk.read()?;
    let texts = dissect::stages_of(&query);
    for text in &texts {
        desk.compute(text)?;
    }
    let lineage = lineage::of(&texts, desk.columns());
    let mut looked = Looked { texts: &texts, lineage: &lineage, stages: Vec::with_capacity(texts.len()) };
    for index in 0..texts.len() {
        let stage = looked.stage(&desk, index)?;
        looked.stages.push(stage);
    }
    let stages = looked.stages;
    let is_table = |name: &String| reads.contains_key(name);
    let subject_columns = lineage.subject.iter().filter(|(name, _)| is_table(name));
    let subject_columns = subject_columns.map(|(n, c)| (n.clone(), c.clone())).collect();
    Ok(Observation { stages, output: desk.output(), reads, subject_columns })
}

/// What has been looked at so far.
struct Looked<'a> {
    texts: &'a [StageText],
    lineage: &'a Lineage,
    stages: Vec<Stage>,
}

impl Looked<'_> {
    fn stage(&self, desk: &Desk<'_>, index: usize) -> Result<Stage, ObserveError> {
        let text = &self.texts[index];
        let mut blocks = Vec::with_capacity(text.blocks.len());
        for select in &text.blocks {
            blocks.push(block::look(desk, self, index, select)?);
        }
        let column = self.lineage.subject.get(&text.name);
        Ok(Stage {
            name: text.name.clone(),
            by_subject: column.is_some(),
            required: self.lineage.required.contains(&text.name),
            rows: desk.rows_of(&text.name, column.map(String::as_str)),
            blocks,
        })
    }

    /// Where a stage's column is defined as a condition, going through columns that only pass it on.
    fn definition(&self, columns: &Columns, stage: &str, column: &str) -> Option<(&Stage, &Condition)> {
        let index = self.texts.iter().position(|text| text.name == stage)?;
        let [select] = self.texts[index].blocks.as_slice() else { return None };
        let seen = self.stages.get(index)?;
        let is_it = |c: &&Condition| c.defines.as_deref() == Some(column);
        if let Some(condition) = seen.blocks.first()?.conditions.iter().find(is_it) {
            return Some((seen, condition));
        }
        let relations = dissect::relations_of(select)?;
        let place = columns.get(stage)?.iter().position(|c| c == column)?;
        let expr = dissect::output(select, &relations, column, place)?;
        let (alias, name) = lineage::place_of(&expr, &relations, columns)?;
        let relation = relations.iter().find(|r| r.alias == alias)?;
        if relation.name == stage { None } else { self.definition(columns, &relation.name, &name) }
    }
}

#[cfg(test)]
mod tests;
