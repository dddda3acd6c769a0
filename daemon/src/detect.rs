//! Evaluating detections: rows of rollups in, hits out.
//!
//! In: views of rollups, subjects, an instant. Out: [`Hit`]s, at most one a subject, in subject order.
//! Nothing here remembers; what a hit becomes is for `findings`.

use std::collections::HashMap;

use arrow::array::{ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type, TimeUnit, TimestampMicrosecondType};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use jiff::Timestamp;

use crate::findings::{Evidence, Hit, Level, Owner, Parameter, Severity};
use crate::ingest::Position;
use crate::limits::EARLY_FAMILY_MAX;
use crate::query::plan::{Candidates, PlanError, QuerySet};
use crate::query::{DetectionQuery, Read, Worked};
use crate::registry::Registry;
use crate::rollup::{RollupError, Rollups, Selection, SubjectId, View};

/// What turns ids into names and names into people.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// Resolves owners.
    pub registry: &'a Registry,
    /// Topic names by number.
    pub topics: &'a [String],
}

/// Why a detection could not be evaluated.
#[derive(Debug, thiserror::Error)]
pub enum DetectError {
    /// The query failed.
    #[error(transparent)]
    Query(#[from] PlanError),
    /// Its input could not be built.
    #[error(transparent)]
    Rollup(#[from] RollupError),
    /// A required output column is missing or of another type.
    #[error("detection `{detection}`: {message}")]
    Output {
        /// The detection.
        detection: String,
        /// Which column, what is expected.
        message: String,
    },
}

/// Evaluates detection `index` as of `as_of` (microseconds) for `subjects`, in order of number, or for all; its
/// candidates are not asked for.
pub fn evaluate(
    queries: &QuerySet,
    index: usize,
    rollups: &Rollups,
    subjects: Option<&[SubjectId]>,
    view: View,
    as_of: i64,
    context: Context<'_>,
) -> Result<Vec<Hit>, DetectError> {
    let subjects = subjects.filter(|_| !queries.detections[index].query.all_subjects);
    Round::new(view, as_of).whole(queries, index, rollups, subjects, context)
}

/// Evaluations as of one instant, while no rollup row changes: what one detection worked out serves the next.
pub struct Round {
    view: View,
    as_of: i64,
    scopes: Vec<Scope>,
}

/// What was worked out for one set of subjects.
struct Scope {
    kind: String,
    subjects: Option<Vec<SubjectId>>,
    /// By rollup.
    rows: HashMap<usize, Selection>,
    worked: Worked,
}

impl Round {
    /// As of `as_of`, microseconds.
    pub fn new(view: View, as_of: i64) -> Self {
        Self { view, as_of, scopes: Vec::new() }
    }

    /// Evaluates detection `index` for `subjects`, in order of number, or for all: those of its candidates among them.
    pub fn evaluate(
        &mut self,
        queries: &QuerySet,
        index: usize,
        rollups: &Rollups,
        subjects: Option<&[SubjectId]>,
        context: Context<'_>,
    ) -> Result<Vec<Hit>, DetectError> {
        let detection = &queries.detections[index];
        let subjects = subjects.filter(|_| !detection.query.all_subjects);
        let mut few: Option<Vec<SubjectId>> = None;
        for candidates in &detection.candidates {
            let named = self.candidates(queries, index, rollups, few.as_deref().or(subjects), candidates)?;
            if named.is_empty() {
                return Ok(Vec::new());
            }
            few = Some(named);
        }
        self.whole(queries, index, rollups, few.as_deref().or(subjects), context)
    }

    /// Those of `subjects`, or of all, of whom the detection may say anything, in order of number.
    fn candidates(
        &mut self,
        queries: &QuerySet,
        index: usize,
        rollups: &Rollups,
        subjects: Option<&[SubjectId]>,
        candidates: &Candidates,
    ) -> Result<Vec<SubjectId>, DetectError> {
        let kind = &queries.detections[index].query.subject_kind;
        let family = subjects.filter(|_| candidates.follows_links);
        let family = family.map(|s| rollups.family(kind, s, largest(self.view)));
        let as_of = self.as_of;
        let worked = self.worked(rollups, kind, family.as_deref().or(subjects), &candidates.columns)?;
        let names = queries.run_candidates(index, candidates, as_of, worked)?;
        let known = rollups.subjects(kind);
        let ids = names.iter().flatten().flatten().filter_map(|name| known?.find(name));
        let mut ids: Vec<SubjectId> =
            ids.filter(|id| subjects.is_none_or(|asked| asked.binary_search(id).is_ok())).collect();
        ids.sort_unstable();
        ids.dedup();
        Ok(ids)
    }

    fn whole(
        &mut self,
        queries: &QuerySet,
        index: usize,
        rollups: &Rollups,
        subjects: Option<&[SubjectId]>,
        context: Context<'_>,
    ) -> Result<Vec<Hit>, DetectError> {
        let detection = &queries.detections[index];
        let kind = &detection.query.subject_kind;
        let family = subjects.filter(|_| detection.follows_links);
        let family = family.map(|s| rollups.family(kind, s, largest(self.view)));
        let as_of = self.as_of;
        let worked = self.worked(rollups, kind, family.as_deref().or(subjects), &detection.columns)?;
        let rows = queries.run_detection(index, as_of, worked)?;
        let mut hits = hits_of(&rows, &detection.query, context)?;
        if let Some(subjects) = subjects {
            // Of the others only a part was seen: a family's members, or what the registry alone says of them.
            let number = |name: &str| rollups.subjects(kind).and_then(|s| s.find(name));
            hits.retain(|hit| number(&hit.subject).is_some_and(|id| subjects.binary_search(&id).is_ok()));
        }
        hits.sort_by(|a, b| a.subject.cmp(&b.subject));
        if let Some(pair) = hits.windows(2).find(|w| w[0].subject == w[1].subject) {
            let message = format!("two rows for subject `{}`: group by the subject", pair[0].subject);
            return Err(DetectError::Output { detection: detection.query.text.id.clone(), message });
        }
        Ok(hits)
    }

    /// What was worked out for `subjects`, with the columns that are read of rollups.
    fn worked(
        &mut self,
        rollups: &Rollups,
        kind: &str,
        subjects: Option<&[SubjectId]>,
        reads: &[Read],
    ) -> Result<&mut Worked, RollupError> {
        let same = |scope: &Scope| scope.subjects.as_deref() == subjects && scope.kind == kind;
        let found = self.scopes.iter().position(same).unwrap_or_else(|| {
            let subjects = subjects.map(<[SubjectId]>::to_vec);
            let (rows, worked) = Default::default();
            self.scopes.push(Scope { kind: kind.to_owned(), subjects, rows, worked });
            self.scopes.len() - 1
        });
        let Scope { rows, worked, .. } = &mut self.scopes[found];
        for Read { rollup, columns } in reads {
            if !rows.contains_key(rollup) {
                rows.insert(*rollup, rollups.select(*rollup, kind, subjects, self.view, self.as_of)?);
            }
            let rows = rows.get_mut(rollup).expect("put there above");
            if rows.lacks(columns) || !worked.views.contains_key(rollup) {
                worked.views.insert(*rollup, rollups.read(*rollup, rows, columns)?);
            }
        }
        Ok(worked)
    }
}

/// What a detection's rows say.
pub fn hits_of(
    rows: &[RecordBatch],
    query: &DetectionQuery,
    context: Context<'_>,
) -> Result<Vec<Hit>, DetectError> {
    let mut hits = Vec::new();
    for batch in rows {
        let output = |message| DetectError::Output { detection: query.text.id.clone(), message };
        let rows = rows_of(batch).map_err(output)?;
        hits.extend(rows.into_iter().map(|row| describe(row, query, context)));
    }
    Ok(hits)
}

/// The subjects whose answers may differ when something is new of `changed`, in order of number: what `evaluate` is to
/// be asked for. The same subjects are then the same question to every detection.
pub fn concerned(
    queries: &QuerySet,
    index: usize,
    rollups: &Rollups,
    changed: Vec<SubjectId>,
    view: View,
) -> Vec<SubjectId> {
    let detection = &queries.detections[index];
    let mut subjects = changed;
    if detection.follows_links {
        subjects = rollups.family(&detection.query.subject_kind, &subjects, largest(view));
    }
    subjects.sort_unstable();
    subjects
}

/// Subjects of the largest family that is read: an early look answers soon or not at all.
fn largest(view: View) -> usize {
    match view {
        View::Settled => usize::MAX,
        View::Everything => EARLY_FAMILY_MAX,
    }
}

/// Checks the output columns of a detection without running it on anything.
pub fn check_output(schema: &arrow::datatypes::Schema) -> Result<(), String> {
    rows_of(&RecordBatch::new_empty(schema.clone().into())).map(drop)
}

/// Columns of one output batch, cast to what hits need.
struct Columns<'a>(&'a RecordBatch);

impl Columns<'_> {
    fn get(&self, name: &str, data_type: &DataType) -> Result<ArrayRef, String> {
        let column = self.0.column_by_name(name).ok_or_else(|| {
            format!("the query returns no column `{name}` ({data_type}); see the contract in query/load.rs")
        })?;
        let wrong = |e: ArrowError| format!("column `{name}` should be {data_type}: {e}");
        cast(column, data_type).map_err(wrong)
    }

    fn text(&self, name: &str) -> Result<Vec<Option<String>>, String> {
        let column = self.get(name, &DataType::Utf8)?;
        Ok(column.as_string::<i32>().iter().map(|v| v.map(str::to_owned)).collect())
    }

    fn text_if_any(&self, name: &str) -> Result<Option<Vec<Option<String>>>, String> {
        self.0.column_by_name(name).map(|_| self.text(name)).transpose()
    }

    fn float(&self, name: &str) -> Result<Vec<Option<f64>>, String> {
        let column = self.get(name, &DataType::Float64)?;
        Ok(column.as_primitive::<Float64Type>().iter().collect())
    }

    fn int(&self, name: &str) -> Result<Vec<Option<i64>>, String> {
        let column = self.get(name, &DataType::Int64)?;
        Ok(column.as_primitive::<Int64Type>().iter().collect())
    }

    fn time(&self, name: &str) -> Result<Vec<Option<i64>>, String> {
        let column = self.get(name, &DataType::Timestamp(TimeUnit::Microsecond, None))?;
        Ok(column.as_primitive::<TimestampMicrosecondType>().iter().collect())
    }

    fn named(&self, prefix: &str) -> Vec<String> {
        let fields = self.0.schema_ref().fields();
        fields.iter().map(|f| f.name().clone()).filter(|n| n.starts_with(prefix)).collect()
    }
}

/// One output row, before positions, owners and parameters are resolved.
struct Row {
    hit: Hit,
    samples: Vec<i64>,
    owner_pilot: Option<String>,
    owner_team: Option<String>,
    /// Where the query itself knows who holds the role: a person or group. The column may be absent.
    owner_person: Option<String>,
}

fn rows_of(batch: &RecordBatch) -> Result<Vec<Row>, String> {
    let columns = Columns(batch);
    let (subject, level, severity) =
        (columns.text("subject")?, columns.text("level")?, columns.text("severity")?);
    let (score, coverage) = (columns.float("score")?, columns.float("coverage")?);
    let (first, last) = (columns.time("first_seen")?, columns.time("last_seen")?);
    let (title, explanation) = (columns.text("title")?, columns.text("explanation")?);
    let samples = [columns.int("sample_first")?, columns.int("sample_last")?];
    let (pilot, team) = (columns.text("owner_pilot")?, columns.text("owner_team")?);
    let person = columns.text_if_any("owner_person")?;
    let mut rows = Vec::with_capacity(batch.num_rows());
    for row in 0..batch.num_rows() {
        let hit = Hit {
            subject: subject[row].clone().ok_or("column `subject` is null")?,
            level: level_of(level[row].as_deref())?,
            score: share("score", score[row])?,
            coverage: share("coverage", coverage[row])?,
            severity: severity_of(severity[row].as_deref())?,
            owner: Owner::default(),
            first_seen: timestamp("first_seen", first[row])?,
            last_seen: timestamp("last_seen", last[row])?,
            title: title[row].clone().ok_or("column `title` is null")?,
            explanation: explanation[row].clone().ok_or("column `explanation` is null")?,
            evidence: Vec::new(),
        };
        let samples = distinct(samples.iter().filter_map(|s| s[row]));
        let owner_person = person.as_ref().and_then(|person| person[row].clone());
        let (owner_pilot, owner_team) = (pilot[row].clone(), team[row].clone());
        rows.push(Row { hit, samples, owner_pilot, owner_team, owner_person });
    }
    add_evidence(&columns, &mut rows)?;
    Ok(rows)
}

fn add_evidence(columns: &Columns<'_>, rows: &mut [Row]) -> Result<(), String> {
    for column in columns.named("term_") {
        for (row, value) in rows.iter_mut().zip(columns.float(&column)?) {
            let name = column["term_".len()..].to_owned();
            row.hit.evidence.push(Evidence::Term { name, value: value.filter(|v| v.is_finite()) });
        }
    }
    for column in columns.named("fact_") {
        for (row, value) in rows.iter_mut().zip(columns.text(&column)?) {
            let name = column["fact_".len()..].to_owned();
            row.hit.evidence.extend(value.map(|value| Evidence::Fact { name, value }));
        }
    }
    Ok(())
}

/// Adds what the query itself does not know: who owns it, which query said so, where the samples stand.
fn describe(row: Row, query: &DetectionQuery, context: Context<'_>) -> Hit {
    let Row { mut hit, samples, owner_pilot, owner_team, owner_person } = row;
    let (pilot, team) = (owner_pilot.as_deref(), owner_team.as_deref());
    let held = owner_person.and_then(|id| context.registry.holder(&query.owner_role, &id, hit.severity));
    hit.owner = held.unwrap_or_else(|| context.registry.owner(&query.owner_role, pilot, team, hit.severity));
    hit.evidence.push(Evidence::Query {
        id: query.text.id.clone(),
        version: query.text.version,
        sha256: query.text.sha256.clone(),
        parameters: query
            .text
            .parameters
            .iter()
            .map(|(n, v)| Parameter { name: n.clone(), value: *v })
            .collect(),
    });
    hit.evidence.extend(samples.into_iter().map(|packed| {
        let Position { topic, partition, offset } = Position::unpack(packed);
        let topic = context.topics.get(usize::from(topic)).cloned().unwrap_or_default();
        Evidence::Sample { topic, partition, offset }
    }));
    hit
}

fn distinct(values: impl Iterator<Item = i64>) -> Vec<i64> {
    let mut values: Vec<i64> = values.collect();
    values.sort_unstable();
    values.dedup();
    values
}

fn level_of(word: Option<&str>) -> Result<Level, String> {
    match word {
        Some("fire") => Ok(Level::Fire),
        Some("hold") => Ok(Level::Hold),
        other => Err(format!("column `level` is {other:?}; it must be 'fire' or 'hold'")),
    }
}

fn severity_of(word: Option<&str>) -> Result<Severity, String> {
    let severity = word.and_then(Severity::parse);
    severity.ok_or_else(|| format!("column `severity` is {word:?}; it must be low, medium, high or critical"))
}

fn share(name: &str, value: Option<f64>) -> Result<f64, String> {
    let value = value.ok_or_else(|| format!("column `{name}` is null"))?;
    if (0.0..=1.0).contains(&value) {
        Ok(value)
    } else {
        Err(format!("column `{name}` is {value}; it must be within 0..1"))
    }
}

fn timestamp(name: &str, micros: Option<i64>) -> Result<Timestamp, String> {
    let micros = micros.ok_or_else(|| format!("column `{name}` is null"))?;
    Timestamp::from_microsecond(micros).map_err(|e| format!("column `{name}`: {e}"))
}
