//! Conditions of small queries and of a cheap built-in one, taken out in turn.

use std::fs;

use super::*;

const ROLLUP: &str = r#"-- ---
-- id = "calls"
-- version = 1
-- title = "Calls by pilot and caller"
-- bucket = "hour"
-- bucket_seconds = 3600
-- subject = "pilot"
-- retention_days = 8
-- ---
SELECT
    date_bin(INTERVAL '1 hour', event_time) AS hour,
    pilot,
    caller,
    count(*) AS calls,
    min(event_time) AS first_seen,
    max(event_time) AS last_seen,
    min(position) AS sample_first,
    max(position) AS sample_last
FROM events
WHERE pilot IS NOT NULL
GROUP BY 1, 2, 3
"#;

const DETECTION: &str = r#"-- ---
-- id = "called"
-- version = 1
-- title = "A pilot is called by others"
-- subject_kind = "pilot"
-- window_days = 7
-- grid_seconds = 21600
-- close_after_hours = 24
-- reopen_within_hours = 168
-- owner_role = "pilot_owner"
-- mode = "active"
-- frameworks = []
--
-- [parameters]
-- calls_min = 3
-- ---
SELECT
    pilot AS subject,
    'fire' AS level,
    1.0 AS score,
    1.0 AS coverage,
    'low' AS severity,
    min(first_seen) AS first_seen,
    max(last_seen) AS last_seen,
    CASE WHEN sum(calls) > 9 THEN 'Often' ELSE 'Seldom' END AS title,
    'Others call it.' AS explanation,
    min(sample_first) AS sample_first,
    max(sample_last) AS sample_last,
    pilot AS owner_pilot,
    CAST(NULL AS VARCHAR) AS owner_team
FROM calls
WHERE caller <> 'owner'
GROUP BY pilot
HAVING sum(calls) >= $calls_min
"#;

const CASES: &str = r#"
[set]
format = "envoy"
pilot = "answers"
caller = "portal"

[[case]]
name = "three_calls"
kind = "firing"
as_of = "2026-03-11T12:00:00Z"
expects = [{ subject = "answers" }]
[[case.events]]
from = "2026-03-11T08:00:00Z"
count = 3

[[case]]
name = "two_calls"
kind = "quiet"
as_of = "2026-03-11T12:00:00Z"
[[case.events]]
from = "2026-03-11T08:00:00Z"
count = 2

[[case]]
name = "owner_calls"
kind = "quiet"
as_of = "2026-03-11T12:00:00Z"
[[case.events]]
from = "2026-03-11T08:00:00Z"
count = 3
set = { caller = "owner" }
"#;

/// The detection `called` with `condition` in place of its WHERE, and what is not decided by a case.
fn check(condition: &str, expected: &[(usize, &str, Outcome)]) {
    let folder = tempfile::tempdir().expect("there is a folder for temporary files");
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().expect("it lies in a folder")).expect("the folder is ours");
        fs::write(path, text).expect("the folder is ours");
    };
    write("rollups/calls.sql", ROLLUP);
    write("detections/called.sql", &DETECTION.replace("caller <> 'owner'", condition));
    write("detections/called.cases.toml", CASES);
    let texts = QueryTexts::load(folder.path()).unwrap_or_else(|e| panic!("{e}"));
    let mut told = 0;
    let verdicts = verdicts(&texts, &texts.detections[0], |_| told += 1).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(told, verdicts.len(), "{condition}");
    let open = verdicts.iter().filter(|v| v.outcome != Outcome::Decided);
    let open: Vec<_> = open.map(|v| (v.line, v.condition.as_str(), v.outcome)).collect();
    assert_eq!(open, expected, "{condition}");
}

#[test]
fn condition_that_no_case_misses_is_undecided_until_it_is_declared() {
    check("caller <> 'owner'", &[]);
    check("caller <> 'owner'\n  AND calls > 0", &[(33, "calls > 0", Outcome::Undecided)]);
    check(
        "caller <> 'owner'\n  AND calls > 0 -- no case: a row stands for a call",
        &[(33, "calls > 0", Outcome::Declared)],
    );
}

#[test]
fn declaration_on_a_decided_condition_is_stale() {
    let line = "WHERE caller <> 'owner' -- no case: nobody tried";
    check(line.trim_start_matches("WHERE "), &[(32, line, Outcome::Stale)]);
}

#[test]
fn cases_that_do_not_hold_are_said_before_anything_is_taken_out() {
    let mut texts = QueryTexts::builtin();
    texts.detections.retain(|d| d.text.id == "contradictory-environment");
    let last = "WHERE q.calls >= $hold_calls_min";
    let sql = &mut texts.detections[0].text.sql;
    *sql = sql.replace(last, "WHERE q.calls < 0");
    let error = verdicts(&texts, &texts.detections[0], |_| {}).expect_err("no case can fire");
    assert!(error.contains("run `shadowprod test contradictory-environment`"), "{error}");
}

#[test]
fn cases_decide_each_condition_of_a_cheap_built_in_detection() {
    let texts = QueryTexts::builtin();
    let detection = texts.detections.iter().find(|d| d.text.id == "contradictory-environment");
    let verdicts = verdicts(&texts, detection.expect("it is built in"), |_| {}).expect("its cases hold");
    let open: Vec<_> = verdicts.iter().filter(|v| v.outcome != Outcome::Decided).collect();
    assert!(!verdicts.is_empty() && open.is_empty(), "{open:?}");
}
