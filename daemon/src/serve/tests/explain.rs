//! Explanations over the real socket: the tests answer what a pipeline would.

use shadowprod_proto::v1::{ExplainFindingRequest, ExplainSubjectRequest};

use super::*;
use crate::explain::{Ask, ExplainError, Snapshot, Verdict, When};
use crate::query::QueryTexts;
use crate::query::plan::QuerySet;
use crate::registry::Registry;
use crate::rollup::Rollups;

/// The question that waits for the pipeline.
async fn question(house: &House) -> Question {
    loop {
        match house.questions.try_recv() {
            Ok(question) => return question,
            Err(_) => tokio::task::yield_now().await,
        }
    }
}

/// What a pipeline answers that has settled an hour of nothing; made before it is asked for, as planning takes its time.
async fn empty_state(detection: &str, subject: &str) -> Result<Snapshot, ExplainError> {
    let ask = Ask { detection: detection.to_owned(), subject: subject.to_owned(), when: When::Now };
    tokio::task::spawn_blocking(move || empty_state_of(&ask)).await.unwrap()
}

fn empty_state_of(ask: &Ask) -> Result<Snapshot, ExplainError> {
    let registry = Arc::new(Registry::from_texts(Vec::new()).unwrap());
    let mut texts = QueryTexts::builtin();
    texts
        .detections
        .retain(|d| ["llmjacking", "unpromoted-production-traffic"].contains(&d.text.id.as_str()));
    let queries = QuerySet::plan(&texts, &registry.tables()).unwrap_or_else(|e| panic!("{e:?}"));
    let mut rollups = Rollups::new(&queries);
    rollups.restore_settled(1_767_603_600_000_000);
    crate::explain::take(&queries, &rollups, &registry, ask)
}

#[tokio::test]
async fn subject_that_nobody_saw_is_explained_by_the_table_that_lacks_it() {
    let house = House::start().await;
    let server = format!("http://{}", house.serving.grpc);
    let state = empty_state("unpromoted-production-traffic", "nobody").await;
    let asked = tokio::spawn(async move {
        let mut client = client::Client::connect(&server).await.unwrap();
        client.why_not("unpromoted-production-traffic", "nobody").await.unwrap()
    });
    let question = question(&house).await;
    assert_eq!(question.ask.when, When::Now);
    assert!(question.reply.send(state).is_ok(), "somebody waits for it");
    let explanation = asked.await.unwrap();
    assert_eq!((explanation.verdict, explanation.subject.id.as_str()), (Verdict::Silent, "nobody"));
    let ends: Vec<_> = explanation.ends.iter().map(|e| (e.stage.as_str(), e.why.as_str())).collect();
    let expected = [
        ("qualified", "table pilot_caller_day has no row of nobody"),
        ("judged", "table pilots has no row of nobody"),
    ];
    assert_eq!(ends, expected);
    assert!(explanation.notes[0].contains("No event that was read names the pilot nobody"));
}

#[tokio::test]
async fn unknown_detection_is_refused_with_the_nearest_name() {
    let house = House::start().await;
    let mut client = house.client().await;
    let request = ExplainSubjectRequest { detection: "lmjacking".into(), subject_id: "c_1".into() };
    let state = empty_state("lmjacking", "c_1").await;
    let asked = tokio::spawn(async move { client.explain_subject(request).await.unwrap_err() });
    let question = question(&house).await;
    assert!(question.reply.send(state).is_ok(), "somebody waits for it");
    let status = asked.await.unwrap();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().contains("did you mean `llmjacking`?"), "{}", status.message());
}

#[tokio::test]
async fn second_explanation_is_refused_while_one_is_worked_on() {
    let house = House::start().await;
    let request = || ExplainSubjectRequest { detection: "llmjacking".into(), subject_id: "c_1".into() };
    let mut client = house.client().await;
    let first = tokio::spawn(async move { client.explain_subject(request()).await });
    let question = question(&house).await;
    let status = house.client().await.explain_subject(request()).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert_eq!(status.get_details_error_info().unwrap().reason, "EXPLAINING_ANOTHER");
    drop(question);
    assert_eq!(first.await.unwrap().unwrap_err().code(), Code::Unavailable);
    let exposed = house.metrics.encode();
    assert!(exposed.contains("shadowprod_serve_explanations_total{kind=\"refused\"} 2"), "{exposed}");
}

#[tokio::test]
async fn finding_is_explained_as_of_the_grid_point_that_made_it() {
    let mut house = House::start().await;
    let made = Finding {
        evidence: vec![Evidence::Range {
            from: jiff::Timestamp::from_second(1_767_600_000).unwrap(),
            to: jiff::Timestamp::from_second(1_767_603_600).unwrap(),
        }],
        ..finding(2, Severity::High)
    };
    let early = Finding { finding_id: format!("f_{}", "e".repeat(32)), confirmed: false, ..made.clone() };
    let ids = [made.finding_id.clone(), early.finding_id.clone()];
    house.commit(vec![change(ChangeKind::Opened, made), change(ChangeKind::Early, early)]);
    for (id, when) in ids.into_iter().zip([When::Grid, When::Early]) {
        let mut client = house.client().await;
        let asked =
            tokio::spawn(
                async move { client.explain_finding(ExplainFindingRequest { finding_id: id }).await },
            );
        let question = question(&house).await;
        assert_eq!(question.ask.when, when(1_767_603_600_000_000));
        assert_eq!(question.ask.subject, "pilot-2");
        drop(question);
        assert_eq!(asked.await.unwrap().unwrap_err().code(), Code::Unavailable);
    }
    let request = ExplainFindingRequest { finding_id: "f_none".into() };
    let status = house.client().await.explain_finding(request).await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
}
