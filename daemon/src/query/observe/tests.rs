//! Every shape of condition, asked of rows whose answers are plain.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, StringArray, TimestampMicrosecondArray,
};

use super::*;
use crate::query::QueryTexts;

const HOUR: i64 = 3_600_000_000;
const NOON: i64 = 1_000 * 24 * HOUR + 12 * HOUR;

/// Pilot, calls, rate, quiet, hour.
fn calls() -> RecordBatch {
    let columns: [(&str, ArrayRef); 5] = [
        ("pilot", Arc::new(StringArray::from(vec!["p", "p", "p", "q"]))),
        ("calls", Arc::new(Int64Array::from(vec![3, 8, 9, 100]))),
        ("rate", Arc::new(Float64Array::from(vec![None, Some(0.25), Some(0.5), Some(1.0)]))),
        ("quiet", Arc::new(BooleanArray::from(vec![false, true, false, false]))),
        (
            "seen",
            Arc::new(TimestampMicrosecondArray::from(vec![
                NOON - 3 * HOUR,
                NOON - HOUR,
                NOON - 2 * HOUR,
                NOON,
            ])),
        ),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.map(|(n, c)| (n, c, true))).unwrap()
}

/// Pilot, stage, from how many calls on.
fn stages() -> RecordBatch {
    let columns: [(&str, ArrayRef); 3] = [
        ("pilot", Arc::new(StringArray::from(vec!["p", "q"]))),
        ("stage", Arc::new(StringArray::from(vec!["pilot", "production"]))),
        ("calls_from", Arc::new(Int64Array::from(vec![20, 20]))),
    ];
    RecordBatch::try_from_iter(columns).unwrap()
}

fn look_at(subject: &str, sql: &str) -> Observation {
    let mut query = QueryTexts::builtin().detections.remove(0);
    query.text.sql = sql.to_owned();
    query.text.sql_line = 1;
    query.text.parameters = [("min".to_owned(), 10.0), ("low".to_owned(), 4.0)].into();
    let tables = [("calls".to_owned(), calls()), ("stages".to_owned(), stages())];
    let give_up = Instant::now() + Duration::from_secs(60);
    observe(&Asked { query: &query, tables: &tables, subject, as_of: NOON, give_up }).unwrap()
}

/// Role, asked, passed, unknown, left, and the leaves of the closest row.
fn written(condition: &Condition) -> String {
    let Condition { role, asked, passed, unknown, left, node, .. } = condition;
    let left = if role.is_gate() { format!(" left {left}") } else { String::new() };
    let column = condition.defines.as_ref().map(|c| format!(" {c}")).unwrap_or_default();
    format!("{}{column} {passed}/{asked} ?{unknown}{left} {}", role.name(), node_written(node))
}

fn node_written(node: &Node) -> String {
    let holds = node.holds.map_or("?", |holds| if holds { "+" } else { "-" });
    let parts: Vec<String> = node.parts.iter().map(node_written).collect();
    let defined = node.defined_in.as_ref().map(|stage| format!(" in {stage}")).unwrap_or_default();
    if !parts.is_empty() {
        return format!("{holds}{}{defined}({})", node.join.name(), parts.join(" "));
    }
    let Some(measure) = &node.measure else { return format!("{holds}[{}]", node.text) };
    let side = |side: &Option<String>| side.clone().unwrap_or_else(|| "null".to_owned());
    let wanted = if measure.compare.is_empty() { String::new() } else { side(&measure.wanted) };
    let margin = measure.margin.map(|m| format!(" by {m}")).unwrap_or_default();
    format!("{holds}[{} {}{wanted}{margin}]", side(&measure.actual), measure.compare)
}

/// What is found of pilot `p` in the last stage, condition by condition.
fn check(sql: &str, expected: &[&str]) {
    check_stage(sql, dissect::RESULT, expected);
}

fn check_stage(sql: &str, stage: &str, expected: &[&str]) {
    let seen = look_at("p", sql);
    let stage = seen.stages.iter().find(|s| s.name == stage).unwrap();
    let conditions = stage.blocks.iter().flat_map(|block| &block.conditions);
    assert_eq!(conditions.map(written).collect::<Vec<_>>(), expected, "{sql}");
}

#[test]
fn conditions_of_where_are_asked_one_by_one_and_the_closest_row_is_shown() {
    check(
        "SELECT pilot AS subject FROM calls WHERE calls >= $low AND calls > $min",
        &["where 2/3 ?0 left 2 +[9 >=4 by 5]", "where 0/3 ?0 left 0 -[9 >10 by -1]"],
    );
    check(
        "SELECT pilot AS subject FROM calls WHERE NOT quiet AND rate < 0.3",
        &["where 2/3 ?0 left 2 +[false ]", "where 1/3 ?1 left 0 -[0.5 <0.3 by -0.2]"],
    );
    check(
        "SELECT pilot AS subject FROM calls WHERE ((calls >= $min) OR (quiet AND rate > 1.0))",
        &["where 0/3 ?0 left 0 -any(-[9 >=10 by -1] -all(-[false ] -[0.5 >1 by -0.5]))"],
    );
}

#[test]
fn threshold_may_stand_on_either_side_and_sides_may_be_computed() {
    check(
        "SELECT pilot AS subject FROM calls WHERE $min <= calls * 2 AND $low - 1 < calls",
        &["where 2/3 ?0 left 2 +[16 >=10 by 6]", "where 2/3 ?0 left 2 +[8 >3 by 5]"],
    );
    check(
        "SELECT pilot AS subject FROM calls WHERE calls BETWEEN $low AND $min",
        &["where 2/3 ?0 left 2 +[8 within4 to 10 by 2]"],
    );
    check(
        "SELECT pilot AS subject FROM calls WHERE calls NOT BETWEEN 1 AND $min",
        &["where 0/3 ?0 left 0 -[3 ]"],
    );
    check(
        "SELECT pilot AS subject FROM calls WHERE seen >= as_of() - INTERVAL '30 minutes'",
        &["where 0/3 ?0 left 0 -[1972-09-27T11:00:00Z >=1972-09-27T11:30:00Z by -1800]"],
    );
}

#[test]
fn what_is_null_is_not_observed_and_never_zero() {
    check(
        "SELECT pilot AS subject FROM calls WHERE calls < $low AND rate >= 0.1",
        &["where 1/3 ?0 left 1 +[3 <4 by 1]", "where 2/3 ?1 left 0 ?[null >=0.1]"],
    );
    check(
        "SELECT pilot AS subject FROM calls WHERE calls < $low AND coalesce(rate, 0.0) >= 0.1",
        &["where 1/3 ?0 left 1 +[3 <4 by 1]", "where 2/3 ?0 left 0 -[0 >=0.1 by -0.1]"],
    );
    check(
        "SELECT pilot AS subject FROM calls WHERE rate IS NULL AND NOT (calls < $low AND NOT quiet)",
        &["where 1/3 ?0 left 1 +[null ]", "where 2/3 ?0 left 0 -not(+all(+[3 <4 by 1] +[false ]))"],
    );
}

#[test]
fn groups_are_asked_for_having_under_any_name_of_theirs() {
    for (by, having) in [("pilot", "sum(calls) > 2 * $min"), ("1", "total > 2 * $min")] {
        let sql = format!(
            "SELECT pilot AS subject, sum(calls) AS total FROM calls WHERE NOT quiet GROUP BY {by} HAVING {having}"
        );
        check(&sql, &["where 2/3 ?0 left 2 +[false ]", "having 0/1 ?0 left 0 -[12 >20 by -8]"]);
    }
}

#[test]
fn thresholds_inside_aggregates_are_asked_of_rows_and_outside_of_groups() {
    check(
        "SELECT pilot AS subject, count(*) FILTER (WHERE calls >= $low AND NOT quiet) AS busy,
            CASE WHEN max(calls) >= $min THEN 1 ELSE 0 END AS peak
         FROM calls WHERE calls > 5 GROUP BY pilot",
        &[
            "where 2/3 ?0 left 2 +[8 >5 by 3]",
            "mark 1/2 ?0 +all(+[9 >=4 by 5] +[false ])",
            "mark 0/1 ?0 -[9 >=10 by -1]",
        ],
    );
}

#[test]
fn level_is_read_as_it_is_written() {
    let totals = "WITH totals AS (SELECT pilot, sum(calls) AS calls FROM calls GROUP BY pilot)";
    for (level, expected) in [
        ("CASE WHEN calls >= $min THEN 'fire' ELSE 'hold' END", "level 1/1 ?0 +[20 >=10 by 10]"),
        ("CASE WHEN calls < $min THEN 'hold' ELSE 'fire' END", "level 1/1 ?0 +[20 >=10 by 10]"),
        (
            "CASE WHEN calls > 50 THEN 'fire' WHEN calls > $min THEN 'hold' ELSE 'hold' END",
            "level 0/1 ?0 -[20 >50 by -30]",
        ),
    ] {
        let sql = format!("{totals} SELECT pilot AS subject, {level} AS level FROM totals");
        let seen = look_at("p", &sql);
        let level = &seen.stages[1].blocks[0].conditions[0];
        assert_eq!(level.role, Role::Level);
        assert_eq!(written(level), expected, "{sql}");
    }
}

#[test]
fn column_that_is_a_condition_is_followed_to_where_it_is_defined() {
    let sql = "
        WITH totals AS (SELECT pilot, sum(calls) AS calls FROM calls GROUP BY pilot),
        judged AS (SELECT *, calls > 2 * $min AND pilot <> 'q' AS fires FROM totals),
        passed_on AS (SELECT j.* FROM judged j)
        SELECT pilot AS subject, CASE WHEN fires THEN 'fire' ELSE 'hold' END AS level FROM passed_on";
    check(sql, &["level 0/1 ?0 -itself in judged(-all(-[20 >20 by 0] +[p ]))"]);
    check_stage(sql, "judged", &["mark fires 0/1 ?0 -all(-[20 >20 by 0] +[p ])"]);
}

#[test]
fn join_conditions_are_asked_like_where() {
    check(
        "SELECT c.pilot AS subject FROM calls c
         JOIN stages s ON s.pilot = c.pilot AND s.stage IN ('pilot') AND c.calls >= s.calls_from",
        &["join 3/3 ?0 left 3 +[pilot ]", "join 0/3 ?0 left 0 -[9 >=20 by -11]"],
    );
}

#[test]
fn join_without_a_match_names_the_condition_that_has_none() {
    check(
        "SELECT c.pilot AS subject FROM calls c JOIN stages s ON s.pilot = c.pilot AND s.calls_from = c.calls",
        &["join 0/3 ?0 left 0 -[20 =9 by -11]"],
    );
    let seen = look_at(
        "p",
        "SELECT c.pilot AS subject FROM calls c LEFT JOIN stages s ON s.pilot = c.pilot AND s.stage = 'x'
         WHERE s.pilot IS NOT NULL",
    );
    let block = &seen.stages[0].blocks[0];
    assert_eq!((block.rows_in, block.rows_left), (3, 0));
    assert!(block.sources[1].is_outer);
}

#[test]
fn query_within_a_condition_is_asked_in_where() {
    check(
        "WITH quiet AS (SELECT calls FROM calls WHERE quiet)
         SELECT pilot AS subject FROM calls WHERE calls IN (SELECT calls FROM quiet) AND calls >= $min",
        &["where 1/3 ?0 left 1 +[calls IN (SELECT calls FROM quiet)]", "where 0/1 ?0 left 0 -[8 >=10 by -2]"],
    );
}

#[test]
fn one_condition_that_cannot_be_asked_of_every_row_leaves_the_others() {
    check(
        "SELECT pilot AS subject, CASE WHEN 12 / (calls - 3) >= $low THEN 1 ELSE 0 END AS x
         FROM calls WHERE calls <> 3",
        &["where 2/3 ?0 left 2 +[8 ]", "mark 0/2 ?0 -[2 >=4 by -2]"],
    );
}

#[test]
fn branches_queries_in_from_and_names_of_tables_are_stages_of_their_own() {
    let sql = "
        WITH calls AS (SELECT * FROM calls WHERE calls > $low),
        both AS (
            SELECT pilot AS holder, calls FROM calls
            UNION ALL
            SELECT x.pilot, 0 FROM (SELECT pilot FROM stages WHERE stage = 'production') AS x
        )
        SELECT holder AS subject FROM both WHERE calls > 8";
    let seen = look_at("p", sql);
    let rows: Vec<(&str, u64, bool)> =
        seen.stages.iter().map(|s| (s.name.as_str(), s.rows, s.by_subject)).collect();
    let expected =
        [("calls", 2, true), ("both part 1", 0, true), ("both", 2, true), (dissect::RESULT, 1, true)];
    assert_eq!(rows, expected);
    assert_eq!(seen.stages[2].blocks.len(), 2);
    assert!(!seen.stages[1].required && seen.stages[2].required);
    check(sql, &["where 1/2 ?0 left 1 +[9 >8 by 1]"]);
}

#[test]
fn subject_is_a_value_and_never_sql() {
    for subject in ["p' OR '1' = '1", "$min", "\"", "p; DROP TABLE calls"] {
        let seen = look_at(subject, "SELECT pilot AS subject FROM calls WHERE calls > $low");
        assert_eq!(seen.stages[0].rows, 0, "{subject}");
        assert_eq!(seen.stages[0].blocks[0].rows_in, 0, "{subject}");
    }
}

#[test]
fn columns_that_are_read_and_the_one_that_holds_the_subject_are_named() {
    let seen = look_at("p", "SELECT s.pilot AS subject FROM calls c JOIN stages s ON s.pilot = c.pilot");
    assert_eq!(seen.reads["calls"], ["pilot"]);
    assert_eq!(seen.subject_columns["calls"], "pilot");
    assert_eq!(seen.subject_columns["stages"], "pilot");
}

#[test]
fn time_that_ran_out_is_said() {
    let mut query = QueryTexts::builtin().detections.remove(0);
    query.text.sql = "SELECT pilot AS subject FROM calls WHERE calls > 1".to_owned();
    let tables = [("calls".to_owned(), calls())];
    let asked = Asked { query: &query, tables: &tables, subject: "p", as_of: NOON, give_up: Instant::now() };
    assert!(matches!(observe(&asked), Err(ObserveError::TooLate)));
}
