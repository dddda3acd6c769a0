//! What the page says, and that nothing of a log reaches the terminal as it is.

use super::page;
use super::stages::Paint;
use crate::explain::{End, Explanation, SeenTable, Short, Verdict};
use crate::findings::Subject;
use crate::query::observe::{Block, Condition, Join, Measure, Node, Role, Source, Stage, Unit};

fn short_node() -> Node {
    let measure = Measure {
        actual: Some("19".to_owned()),
        compare: ">=".to_owned(),
        wanted: Some("20".to_owned()),
        margin: Some(-1.0),
        unit: Unit::Number,
        parameters: vec!["calls_min".to_owned()],
    };
    Node {
        text: "calls >= $calls_min".to_owned(),
        join: Join::Itself,
        holds: Some(false),
        measure: Some(measure),
        defined_in: None,
        parts: Vec::new(),
    }
}

fn near_miss(subject: &str) -> Explanation {
    let node = short_node();
    let condition = Condition {
        role: Role::Where,
        defines: None,
        line: 33,
        asked: 1,
        passed: 0,
        unknown: 0,
        left: 0,
        node: node.clone(),
    };
    let source =
        Source { name: "calls".to_owned(), is_stage: false, is_outer: false, by_subject: true, rows: 1 };
    let block =
        Block { sources: vec![source], rows_in: 1, rows_left: 0, groups: None, conditions: vec![condition] };
    Explanation {
        detection: "too-many-calls".to_owned(),
        version: 2,
        sha256: "ab".repeat(32),
        file: "builtin:x.sql".to_owned(),
        sql: "SELECT 1".to_owned(),
        sql_line: 30,
        parameters: Vec::new(),
        subject: Subject { kind: "pilot".to_owned(), id: subject.to_owned() },
        as_of: "2026-03-10T18:04:00Z".parse().unwrap(),
        verdict: Verdict::Silent,
        outcome: None,
        short: vec![Short {
            stage: "totals".to_owned(),
            role: Role::Where,
            line: 33,
            asked: 1,
            is_alternative: false,
            node,
        }],
        ends: vec![End { stage: "other".to_owned(), why: format!("table x has no row of {subject}") }],
        notes: vec!["It has moved on.".to_owned()],
        finding: None,
        stages: vec![Stage {
            name: "totals".to_owned(),
            by_subject: true,
            required: true,
            rows: 0,
            blocks: vec![block],
        }],
        tables: vec![seen(subject)],
    }
}

fn seen(subject: &str) -> SeenTable {
    let row = |day: &str, calls: &str| {
        [Some(day), Some(subject), Some(calls), None].map(|cell| cell.map(str::to_owned)).to_vec()
    };
    SeenTable {
        name: "calls".to_owned(),
        subject_column: Some("pilot".to_owned()),
        columns: ["day", "pilot", "calls", "until"].map(str::to_owned).to_vec(),
        rows: vec![row("2026-03-10T00:00:00Z", "9"), row("2026-03-11T12:30:00Z", "10")],
        subject_rows: 23,
        all_rows: 1_000,
    }
}

fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn near_miss_is_said_first_with_both_sides_and_the_distance() {
    let text = words(&page::text(&near_miss("claims"), Paint { on: false }));
    for part in [
        "too-many-calls does not fire on claims.",
        "✗ calls >= $calls_min 19 >= 20 1 totals, line 33",
        "in other: table x has no row of claims",
        "note It has moved on.",
        "totals 1 → 0 rows from calls (1) ✗ 33 calls >= $calls_min 19, needs >= 20: short by 1",
        "calls: 23 of 1000 rows in every row: pilot claims, until –",
        "2026-03-10 9",
        "2026-03-11 12:30:00Z 10",
        "21 more",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    assert!(!text.contains("SELECT 1"), "SQL is for findings:\n{text}");
}

#[test]
fn control_characters_of_a_log_never_reach_the_terminal() {
    let text = page::text(&near_miss("a\u{1b}[2Jb\u{202e}c"), Paint { on: false });
    assert!(!text.contains('\u{1b}') && !text.contains('\u{202e}'), "{text:?}");
}
