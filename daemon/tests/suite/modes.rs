//! Facts about detections that are taken away, put into shadow mode, or fail, while there are findings of them.
//!
//! In: a pipeline with a state, other queries by a reload and by a restart. Out: what becomes of findings.

use shadowprod::findings::{ChangeKind, FindingState};
use shadowprod::pipeline::Pipeline;
use shadowprod::query::{Mode, QueryTexts};

use crate::losses::{House, findings};

const DETECTION: &str = "evidence-lost";

/// The built-in queries, in which this detection is as `change` leaves it.
fn texts(change: impl FnOnce(&mut QueryTexts, usize)) -> QueryTexts {
    let mut texts = QueryTexts::builtin();
    let index = texts.detections.iter().position(|d| d.text.id == DETECTION).unwrap();
    texts.detections[index].text.sha256.push_str("-changed");
    change(&mut texts, index);
    texts
}

fn in_shadow_mode() -> QueryTexts {
    texts(|texts, index| texts.detections[index].mode = Mode::Shadow)
}

fn without() -> QueryTexts {
    texts(|texts, index| drop(texts.detections.remove(index)))
}

fn history(pipeline: &Pipeline) -> Vec<ChangeKind> {
    let history = pipeline.history().unwrap().into_iter();
    history.filter(|change| change.finding.detection == DETECTION).map(|change| change.kind).collect()
}

/// A pipeline with one open finding, an hour ago.
fn with_a_finding(house: &mut House) -> Pipeline {
    let mut pipeline = house.open_with(|_| ());
    house.call(&mut pipeline, 0);
    house.call(&mut pipeline, 2);
    house.lose(&mut pipeline, 100);
    house.call(&mut pipeline, 3);
    assert_eq!(findings(&mut pipeline, DETECTION)[0].state, FindingState::Open);
    pipeline
}

#[test]
fn findings_end_when_nobody_looks_at_them_any_more_and_are_open_again_with_their_detection() {
    for (other, by_restart) in
        [(in_shadow_mode(), false), (in_shadow_mode(), true), (without(), false), (without(), true)]
    {
        let mut house = House::new();
        let mut pipeline = with_a_finding(&mut house);
        let replace = |house: &House, mut pipeline: Pipeline, texts: &QueryTexts| match by_restart {
            false => {
                pipeline.replace_queries(texts, 0).unwrap().unwrap();
                pipeline
            }
            true => {
                pipeline.commit(|| 0).unwrap();
                drop(pipeline);
                house.open_with(|parts| parts.texts = texts.clone())
            }
        };
        pipeline = replace(&house, pipeline, &other);
        // In shadow mode it fires before the end of the finding is durable.
        house.call(&mut pipeline, 4);
        let found = findings(&mut pipeline, DETECTION);
        assert_eq!(found.iter().map(|f| f.state).collect::<Vec<_>>(), [FindingState::Resolved]);
        assert_eq!(history(&pipeline), [ChangeKind::Opened, ChangeKind::Resolved]);
        pipeline = replace(&house, pipeline, &QueryTexts::builtin());
        house.call(&mut pipeline, 5);
        let found = findings(&mut pipeline, DETECTION);
        assert_eq!(found.iter().map(|f| f.state).collect::<Vec<_>>(), [FindingState::Open]);
        assert_eq!(history(&pipeline), [ChangeKind::Opened, ChangeKind::Resolved, ChangeKind::Reopened]);
    }
}

#[test]
fn findings_in_shadow_mode_are_in_no_gauge() {
    let mut house = House::new();
    let mut pipeline = with_a_finding(&mut house);
    let series = |metrics: &shadowprod::metrics::Metrics| {
        let text = metrics.encode();
        let is_meant =
            |line: &&str| line.starts_with("shadowprod_findings_open{") && line.contains(DETECTION);
        text.lines().filter(is_meant).count()
    };
    pipeline.commit(|| 0).unwrap();
    drop(pipeline);
    for (texts, shown, hours) in
        [(in_shadow_mode(), 0, 6), (QueryTexts::builtin(), 1, 8), (in_shadow_mode(), 0, 10)]
    {
        let mut metrics = None;
        let mut pipeline = house.open_with(|parts| {
            parts.texts = texts;
            metrics = Some(parts.metrics.clone());
        });
        house.lose(&mut pipeline, 1);
        house.call(&mut pipeline, hours);
        pipeline.commit(|| 0).unwrap();
        house.call(&mut pipeline, hours + 1);
        pipeline.commit(|| 0).unwrap();
        assert_eq!(series(&metrics.unwrap()), shown);
    }
}

#[test]
fn subject_whose_evaluation_failed_is_evaluated_at_the_next_grid_point() {
    let mut house = House::new();
    let failing = texts(|texts, index| {
        let sql = &mut texts.detections[index].text.sql;
        let until_four =
            "CASE WHEN as_of() < TIMESTAMP '2026-03-02T04:00:00Z' THEN 2.0 ELSE 1.0 END AS score";
        assert!(sql.contains("1.0 AS score"));
        *sql = sql.replacen("1.0 AS score", until_four, 1);
    });
    let mut pipeline = house.open_with(|parts| parts.texts = failing.clone());
    house.call(&mut pipeline, 0);
    house.call(&mut pipeline, 2);
    house.lose(&mut pipeline, 100);
    house.call(&mut pipeline, 3);
    assert_eq!(findings(&mut pipeline, DETECTION), [], "a score of 2 is refused");
    drop(pipeline);
    let mut pipeline = house.open_with(|parts| parts.texts = failing);
    house.call(&mut pipeline, 5);
    assert_eq!(findings(&mut pipeline, DETECTION).len(), 1);
}
