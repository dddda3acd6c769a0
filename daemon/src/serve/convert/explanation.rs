//! Between explanations and `shadowprod.v1`: every field of one is a field of the other.
//!
//! In: an explanation or its message. Out: the other. A message may come from a newer server and then fails with
//! the field that cannot be read.

use shadowprod_proto::v1;
use shadowprod_proto::v1::explanation as proto;

use super::{
    ConvertError, finding, finding_message, parameter, parameter_message, subject, time, time_message, word,
};
use crate::explain::{End, Explanation, Outcome, SeenTable, Short, Term, Verdict};
use crate::findings::Severity;
use crate::query::observe::{Block, Condition, Join, Measure, Node, Role, Source, Stage, Unit};

/// The message of an explanation.
pub fn explanation_message(explanation: &Explanation) -> v1::Explanation {
    let Explanation { subject, .. } = explanation;
    v1::Explanation {
        detection: explanation.detection.clone(),
        version: explanation.version,
        sha256: explanation.sha256.clone(),
        file: explanation.file.clone(),
        sql: explanation.sql.clone(),
        sql_line: explanation.sql_line,
        parameters: explanation.parameters.iter().cloned().map(parameter_message).collect(),
        subject: Some(v1::Subject { kind: subject.kind.clone(), id: subject.id.clone() }),
        as_of: Some(time_message(explanation.as_of)),
        verdict: explanation.verdict.name().to_owned(),
        outcome: explanation.outcome.as_ref().map(outcome_message),
        short: explanation.short.iter().map(short_message).collect(),
        ends: explanation.ends.iter().map(end_message).collect(),
        notes: explanation.notes.clone(),
        finding: explanation.finding.as_ref().map(finding_message),
        stages: explanation.stages.iter().map(stage_message).collect(),
        tables: explanation.tables.iter().map(table_message).collect(),
    }
}

/// The explanation of a message.
pub fn explanation(message: v1::Explanation) -> Result<Explanation, ConvertError> {
    Ok(Explanation {
        detection: message.detection,
        version: message.version,
        sha256: message.sha256,
        file: message.file,
        sql: message.sql,
        sql_line: message.sql_line,
        parameters: message.parameters.into_iter().map(parameter).collect(),
        subject: subject(message.subject)?,
        as_of: time("as_of", message.as_of)?,
        verdict: among("verdict", &message.verdict, &Verdict::ALL, Verdict::name)?,
        outcome: message.outcome.map(outcome).transpose()?,
        short: message.short.into_iter().map(short).collect::<Result<_, _>>()?,
        ends: message.ends.into_iter().map(|e| End { stage: e.stage, why: e.why }).collect(),
        notes: message.notes,
        finding: message.finding.map(finding).transpose()?,
        stages: message.stages.into_iter().map(stage).collect::<Result<_, _>>()?,
        tables: message.tables.into_iter().map(table).collect(),
    })
}

fn among<T: Copy>(
    field: &'static str,
    value: &str,
    all: &[T],
    name: fn(T) -> &'static str,
) -> Result<T, ConvertError> {
    let found = all.iter().copied().find(|one| name(*one) == value);
    found.ok_or_else(|| ConvertError::Unknown { field, value: value.to_owned() })
}

fn some(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

fn outcome_message(outcome: &Outcome) -> proto::Outcome {
    let term = |term: &Term| v1::evidence::Term { name: term.name.clone(), value: term.value };
    proto::Outcome {
        score: outcome.score,
        coverage: outcome.coverage,
        severity: outcome.severity.name().to_owned(),
        terms: outcome.terms.iter().map(term).collect(),
    }
}

fn outcome(message: proto::Outcome) -> Result<Outcome, ConvertError> {
    Ok(Outcome {
        score: message.score,
        coverage: message.coverage,
        severity: word("severity", &message.severity, Severity::parse)?,
        terms: message.terms.into_iter().map(|t| Term { name: t.name, value: t.value }).collect(),
    })
}

fn short_message(short: &Short) -> proto::Short {
    proto::Short {
        stage: short.stage.clone(),
        role: short.role.name().to_owned(),
        line: short.line,
        asked: short.asked,
        is_alternative: short.is_alternative,
        node: Some(node_message(&short.node)),
    }
}

fn short(message: proto::Short) -> Result<Short, ConvertError> {
    Ok(Short {
        stage: message.stage,
        role: among("role", &message.role, &Role::ALL, Role::name)?,
        line: message.line,
        asked: message.asked,
        is_alternative: message.is_alternative,
        node: node(message.node.ok_or(ConvertError::Missing { field: "short.node" })?)?,
    })
}

fn end_message(end: &End) -> proto::End {
    proto::End { stage: end.stage.clone(), why: end.why.clone() }
}

fn stage_message(stage: &Stage) -> proto::Stage {
    proto::Stage {
        name: stage.name.clone(),
        by_subject: stage.by_subject,
        required: stage.required,
        rows: stage.rows,
        blocks: stage.blocks.iter().map(block_message).collect(),
    }
}

fn stage(message: proto::Stage) -> Result<Stage, ConvertError> {
    Ok(Stage {
        name: message.name,
        by_subject: message.by_subject,
        required: message.required,
        rows: message.rows,
        blocks: message.blocks.into_iter().map(block).collect::<Result<_, _>>()?,
    })
}

fn block_message(block: &Block) -> proto::Block {
    proto::Block {
        sources: block.sources.iter().map(source_message).collect(),
        rows_in: block.rows_in,
        rows_left: block.rows_left,
        groups: block.groups,
        conditions: block.conditions.iter().map(condition_message).collect(),
    }
}

fn block(message: proto::Block) -> Result<Block, ConvertError> {
    Ok(Block {
        sources: message.sources.into_iter().map(source).collect(),
        rows_in: message.rows_in,
        rows_left: message.rows_left,
        groups: message.groups,
        conditions: message.conditions.into_iter().map(condition).collect::<Result<_, _>>()?,
    })
}

fn source_message(source: &Source) -> proto::Source {
    let Source { name, is_stage, is_outer, by_subject, rows } = source.clone();
    proto::Source { name, is_stage, is_outer, by_subject, rows }
}

fn source(message: proto::Source) -> Source {
    let proto::Source { name, is_stage, is_outer, by_subject, rows } = message;
    Source { name, is_stage, is_outer, by_subject, rows }
}

fn condition_message(condition: &Condition) -> proto::Condition {
    proto::Condition {
        role: condition.role.name().to_owned(),
        defines: condition.defines.clone().unwrap_or_default(),
        line: condition.line,
        asked: condition.asked,
        passed: condition.passed,
        unknown: condition.unknown,
        left: condition.left,
        node: Some(node_message(&condition.node)),
    }
}

fn condition(message: proto::Condition) -> Result<Condition, ConvertError> {
    Ok(Condition {
        role: among("role", &message.role, &Role::ALL, Role::name)?,
        defines: some(message.defines),
        line: message.line,
        asked: message.asked,
        passed: message.passed,
        unknown: message.unknown,
        left: message.left,
        node: node(message.node.ok_or(ConvertError::Missing { field: "condition.node" })?)?,
    })
}

fn node_message(node: &Node) -> proto::Node {
    proto::Node {
        text: node.text.clone(),
        join: node.join.name().to_owned(),
        holds: node.holds,
        measure: node.measure.as_ref().map(measure_message),
        defined_in: node.defined_in.clone().unwrap_or_default(),
        parts: node.parts.iter().map(node_message).collect(),
    }
}

fn node(message: proto::Node) -> Result<Node, ConvertError> {
    Ok(Node {
        text: message.text,
        join: among("join", &message.join, &Join::ALL, Join::name)?,
        holds: message.holds,
        measure: message.measure.map(measure).transpose()?,
        defined_in: some(message.defined_in),
        parts: message.parts.into_iter().map(node).collect::<Result<_, _>>()?,
    })
}

fn measure_message(measure: &Measure) -> proto::Measure {
    let Measure { actual, compare, wanted, margin, unit, parameters } = measure.clone();
    proto::Measure { actual, compare, wanted, margin, unit: unit.name().to_owned(), parameters }
}

fn measure(message: proto::Measure) -> Result<Measure, ConvertError> {
    let proto::Measure { actual, compare, wanted, margin, unit, parameters } = message;
    let unit = among("unit", &unit, &Unit::ALL, Unit::name)?;
    Ok(Measure { actual, compare, wanted, margin, unit, parameters })
}

fn table_message(table: &SeenTable) -> proto::SeenTable {
    let cell = |text: &Option<String>| proto::Cell { text: text.clone() };
    let row = |row: &Vec<Option<String>>| proto::Row { cells: row.iter().map(cell).collect() };
    proto::SeenTable {
        name: table.name.clone(),
        subject_column: table.subject_column.clone().unwrap_or_default(),
        columns: table.columns.clone(),
        rows: table.rows.iter().map(row).collect(),
        subject_rows: table.subject_rows,
        all_rows: table.all_rows,
    }
}

fn table(message: proto::SeenTable) -> SeenTable {
    let row = |row: proto::Row| row.cells.into_iter().map(|cell| cell.text).collect();
    SeenTable {
        name: message.name,
        subject_column: some(message.subject_column),
        columns: message.columns,
        rows: message.rows.into_iter().map(row).collect(),
        subject_rows: message.subject_rows,
        all_rows: message.all_rows,
    }
}
