//! Queries that somebody hostile or hasty might drop into the folder: each is refused before it runs, with words that say
//! what is wrong.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray, new_null_array};
use arrow::datatypes::{DataType, FieldRef, Schema};

use super::plan::{PlanError, QuerySet};
use super::{QueryTexts, Worked};
use crate::limits::{QUERY_BYTES_MAX, QUERY_DEPTH_MAX};
use crate::registry::Registry;

const DETECTION: &str = r#"-- ---
-- id = "hostile"
-- version = 1
-- title = "Hostile"
-- subject_kind = "pilot"
-- window_days = 7
-- grid_seconds = 60
-- close_after_hours = 1
-- reopen_within_hours = 1
-- owner_role = "pilot_owner"
-- ---
"#;

const ROLLUP: &str = r#"-- ---
-- id = "hostile"
-- version = 1
-- title = "Hostile"
-- bucket = "day"
-- bucket_seconds = 86400
-- subject = "pilot"
-- retention_days = 30
-- ---
"#;

/// What the loader or the planner says of `sql`, with the built-in queries beside it.
fn refusal(folder: &str, head: &str, sql: &str) -> Option<String> {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let rollup = Path::new(env!("CARGO_MANIFEST_DIR")).join("../queries/rollups/pilot-caller-day.sql");
    for folder in ["rollups", "detections"] {
        fs::create_dir(dir.path().join(folder)).expect("created");
    }
    fs::copy(rollup, dir.path().join("rollups/pilot-caller-day.sql")).expect("copied");
    fs::write(dir.path().join(folder).join("hostile.sql"), format!("{head}{sql}")).expect("written");
    let texts = match QueryTexts::load(dir.path()) {
        Ok(texts) => texts,
        Err(errors) => return Some(errors.to_string()),
    };
    let registry = Registry::from_texts(Vec::new()).expect("an empty registry");
    let refused = QuerySet::plan(&texts, &registry.tables()).err()?;
    Some(refused.iter().map(PlanError::to_string).collect::<Vec<_>>().join("\n"))
}

fn check(folder: &str, head: &str, hostile: &[(&str, &str)]) {
    let mut wrong = Vec::new();
    for (sql, expected) in hostile {
        let said = refusal(folder, head, sql).unwrap_or_else(|| "accepted".to_owned());
        if !said.contains(expected) || !said.contains("hostile.sql") {
            wrong.push(format!("{}\n  said:     {said}\n  expected: {expected}", &sql[..sql.len().min(200)]));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn detections_that_reach_beyond_the_registered_tables_are_refused() {
    check(
        "detections",
        DETECTION,
        &[
            // Statements that are no SELECT.
            ("DROP TABLE pilot_caller_day", "DDL not supported"),
            ("CREATE TABLE t AS SELECT 1", "DDL"),
            ("CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '/etc/passwd'", "DDL"),
            ("CREATE VIEW v AS SELECT * FROM pilots", "DDL"),
            ("CREATE FUNCTION f(DOUBLE) RETURNS DOUBLE RETURN $1", "`$1` is not declared"),
            ("CREATE SCHEMA s", "DDL"),
            ("INSERT INTO pilots SELECT * FROM pilots", "DML"),
            ("UPDATE pilots SET team = 'x'", "DML"),
            ("DELETE FROM pilots", "DML"),
            ("TRUNCATE TABLE pilots", "DML"),
            ("COPY (SELECT * FROM pilots) TO '/tmp/stolen.csv'", "DML"),
            ("COPY pilots TO 's3://bucket/stolen.parquet'", "no registered file format"),
            ("SET datafusion.execution.batch_size = 1", "Statement not supported"),
            ("SHOW ALL", "not supported"),
            ("SHOW TABLES", "not supported"),
            ("DESCRIBE pilots", "one SELECT"),
            ("EXPLAIN ANALYZE SELECT * FROM pilots", "one SELECT"),
            ("PREPARE p AS SELECT 1", "Statement not supported"),
            ("EXECUTE p", "Statement not supported"),
            ("BEGIN", "Unsupported SQL statement"),
            ("SELECT 1 AS subject; DROP TABLE pilots", "single SQL statement"),
            ("SELECT 1 AS subject; SELECT 2", "single SQL statement"),
            // Files, addresses, other catalogs.
            ("SELECT * FROM '/etc/passwd'", "not found"),
            ("SELECT * FROM 'http://169.254.169.254/latest/meta-data'", "not found"),
            ("SELECT * FROM read_csv('/etc/passwd')", "not found"),
            ("SELECT * FROM information_schema.tables", "not found"),
            ("SELECT * FROM datafusion.information_schema.df_settings", "not found"),
            ("SELECT * FROM other.public.pilots", "not found"),
            ("SELECT * FROM events", "not found"),
        ],
    );
}

#[test]
fn detections_without_end_or_of_chance_or_too_deep_are_refused() {
    let deep = format!("SELECT {}1{}", "(".repeat(QUERY_DEPTH_MAX + 1), ")".repeat(QUERY_DEPTH_MAX + 1));
    let long = format!("SELECT '{}' AS subject", "x".repeat(QUERY_BYTES_MAX));
    let not = format!("SELECT true WHERE {} true", "NOT ".repeat(4_000));
    let minus = format!("SELECT {}1", "- ".repeat(8_000));
    let union = vec!["SELECT 1"; 3_000].join(" UNION ALL ");
    let sum = format!("SELECT {}", vec!["1"; 8_000].join("+"));
    check(
        "detections",
        DETECTION,
        &[
            // Without end, or too much to hold.
            (
                "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r) SELECT * FROM r",
                "recursive queries are refused",
            ),
            ("SELECT * FROM generate_series(1, 1000000000000)", "is no table"),
            ("SELECT * FROM range(1, 1000000000000)", "is no table"),
            ("SELECT unnest(range(1, 1000000000)) AS subject", "one SELECT"),
            ("SELECT repeat('x', 1000000000) AS subject", "`repeat` is not allowed"),
            ("SELECT lpad('x', 1000000000) AS subject", "`lpad` is not allowed"),
            // Clocks, chance, the engine's own state.
            ("SELECT now() AS subject", "use as_of()"),
            ("SELECT cast(current_timestamp AS varchar) AS subject", "use as_of()"),
            ("SELECT random() AS score, 'x' AS subject", "same events"),
            ("SELECT uuid() AS subject", "same events"),
            ("SELECT version() AS subject", "`version` is not allowed"),
            ("SELECT arrow_typeof(pilot) AS subject FROM pilots", "`arrow_typeof` is not allowed"),
            ("SELECT md5(pilot) AS subject FROM pilots", "Invalid function 'md5'"),
            ("SELECT (SELECT version()) AS subject", "`version` is not allowed"),
            (
                "SELECT pilot AS subject FROM pilots WHERE pilot IN (SELECT version())",
                "`version` is not allowed",
            ),
            ("SELECT pilot AS subject FROM pilots ORDER BY random()", "same events"),
            // What overflows a parser's or a planner's stack.
            (deep.as_str(), "nest deeper"),
            (long.as_str(), "more than 65536 bytes"),
            (not.as_str(), "in a row"),
            (minus.as_str(), "in a row"),
            (union.as_str(), "in a row"),
            (sum.as_str(), "in a row"),
            ("SELECT '", "Unterminated"),
            ("\0", "there is no SQL"),
        ],
    );
}

#[test]
fn rollups_that_do_not_merge_are_refused() {
    let select = |what: &str, rest: &str| {
        format!("SELECT date_bin(INTERVAL '1 day', event_time) AS day, pilot{what} FROM events {rest}")
    };
    let hostile = [
        (select(", avg(status_code) AS mean", "GROUP BY 1, 2"), "`avg` does not merge"),
        (select(", count(DISTINCT caller) AS callers", "GROUP BY 1, 2"), "DISTINCT does not merge"),
        (select(", hll_sketch(p_production) AS p", "GROUP BY 1, 2"), "takes text or BIGINT"),
        (select(", hll_sketch(DISTINCT caller) AS callers", "GROUP BY 1, 2"), "DISTINCT does not merge"),
        (select(", hll_merge(caller) AS callers", "GROUP BY 1, 2"), "takes sketches"),
        (
            select(", hll_estimate(hll_sketch(caller)) AS callers", "GROUP BY 1, 2"),
            "computation on aggregates",
        ),
        (select(", min(CAST(caller AS BYTEA)) AS caller", "GROUP BY 1, 2"), "has type Binary"),
        (select(", array_agg(caller) AS callers", "GROUP BY 1, 2"), "`array_agg` does not merge"),
        (select(", first_value(caller) AS caller", "GROUP BY 1, 2"), "`first_value` does not merge"),
        (select(", sum(p_production) AS p", "GROUP BY 1, 2"), "sums floating-point"),
        (select(", count(*) AS n", "GROUP BY 1, 2 HAVING count(*) > 1"), "no HAVING"),
        (select(", count(*) AS n", "GROUP BY 1, 2 LIMIT 10"), "no HAVING"),
        (select(", count(*) AS n", "GROUP BY ROLLUP (1, 2)"), "must appear in the GROUP BY"),
        (select(", row_number() OVER () AS n", ""), "no HAVING"),
        (select("", "JOIN pilots USING (pilot) GROUP BY 1, 2"), "pilots' not found"),
        ("SELECT now() AS day, pilot, count(*) AS n FROM events GROUP BY 1, 2".to_owned(), "use as_of()"),
        ("SELECT day, pilot FROM pilot_caller_day".to_owned(), "not found"),
        (
            "SELECT as_of() AS day, pilot, count(*) AS n FROM events GROUP BY 1, 2".to_owned(),
            "not allowed in a rollup",
        ),
    ];
    let hostile: Vec<(&str, &str)> = hostile.iter().map(|(sql, said)| (sql.as_str(), *said)).collect();
    check("rollups", ROLLUP, &hostile);
}

#[test]
fn query_that_wants_more_memory_than_there_is_fails_and_the_next_one_runs() {
    let product = "SELECT a.caller AS subject FROM pilot_caller_day a CROSS JOIN pilot_caller_day b CROSS JOIN \
        pilot_caller_day c ORDER BY concat(a.caller, b.caller, c.caller)";
    let mut texts = QueryTexts::builtin();
    texts.detections.truncate(1);
    texts.detections[0].text.sql = product.to_owned();
    texts.detections[0].text.parameters.clear();
    let registry = Registry::from_texts(Vec::new()).expect("an empty registry");
    let queries = QuerySet::plan(&texts, &registry.tables()).expect("a product is legal SQL");
    let rollup = queries.detections[0].reads[0];
    let schema = &queries.rollups[rollup].schema;
    let visible = Schema::new(schema.fields()[..schema.fields().len() - 1].to_vec());
    let rows = |count: usize| {
        let column = |field: &FieldRef| match field.data_type() {
            DataType::Utf8 => Arc::new(StringArray::from(vec!["x".repeat(50_000); count])) as ArrayRef,
            other => new_null_array(other, count),
        };
        let fields = visible.fields().iter().map(|f| f.as_ref().clone().with_nullable(true));
        let columns = visible.fields().iter().map(column).collect();
        RecordBatch::try_new(Arc::new(Schema::new(fields.collect::<Vec<_>>())), columns)
            .expect("of one length")
    };
    let seen = |count: usize| {
        let mut worked = Worked::default();
        worked.views.insert(rollup, rows(count));
        worked
    };
    let error = queries.run_detection(0, 0, &mut seen(100)).expect_err("a million rows of 150 KB");
    assert!(error.to_string().contains("esources exhausted"), "{error}");
    let few = queries.run_detection(0, 0, &mut seen(2)).expect("8 rows fit");
    assert_eq!(few.iter().map(RecordBatch::num_rows).sum::<usize>(), 8);
}
