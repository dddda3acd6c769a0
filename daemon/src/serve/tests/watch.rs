//! Watching: beginning, going on, filters, tokens, bounds, the end.

use shadowprod_proto::v1::watch_findings_response::Event;
use shadowprod_proto::v1::{GetFindingRequest, WatchFindingsRequest, WatchFindingsResponse};
use tonic::Streaming;

use super::*;

async fn watch_from(client: &mut Client, token: &str) -> Streaming<WatchFindingsResponse> {
    let request = WatchFindingsRequest { resume_token: token.to_owned(), ..Default::default() };
    client.watch_findings(request).await.unwrap().into_inner()
}

/// Kind and subject of the next response, and its token.
async fn next(stream: &mut Streaming<WatchFindingsResponse>) -> (String, String) {
    let response = stream.message().await.unwrap().unwrap();
    let what = match response.event.unwrap() {
        Event::Current(finding) => format!("current {}", finding.subject.unwrap().id),
        Event::Change(change) => format!("{} {}", change.kind, change.finding.unwrap().subject.unwrap().id),
        Event::Bookmark(_) => "bookmark".to_owned(),
    };
    (what, response.resume_token)
}

/// Everything up to the next bookmark, without it, and the bookmark's token.
async fn until_bookmark(stream: &mut Streaming<WatchFindingsResponse>) -> (Vec<String>, String) {
    let mut told = Vec::new();
    loop {
        match next(stream).await {
            (what, token) if what == "bookmark" => return (told, token),
            (what, _) => told.push(what),
        }
    }
}

#[tokio::test]
async fn watch_begins_with_the_open_findings_and_goes_on_with_changes() {
    let mut house = House::start().await;
    house.commit(vec![opened(1), opened(2), resolved(3)]);
    let mut client = house.client().await;
    let mut stream = watch_from(&mut client, "").await;
    let (mut current, _) = until_bookmark(&mut stream).await;
    current.sort();
    assert_eq!(current, ["current pilot-1", "current pilot-2"]);
    house.commit(vec![resolved(1)]);
    assert_eq!(next(&mut stream).await.0, "resolved pilot-1");
    assert_eq!(house.metrics.serve_watchers.get(), 1);
}

#[tokio::test]
async fn watcher_that_resumes_hears_every_change_exactly_once() {
    let mut house = House::start().await;
    let mut client = house.client().await;
    let mut stream = watch_from(&mut client, "").await;
    let (_, mut token) = until_bookmark(&mut stream).await;
    let mut heard = Vec::new();
    for round in 0..10_u32 {
        house.commit((0..50).map(|n| opened(1_000 * round + n)).collect());
        // The connection breaks after some of them: what was on its way is not counted as heard.
        for _ in 0..round * 7 {
            let (what, newer) = next(&mut stream).await;
            if what != "bookmark" {
                heard.push(what);
            }
            token = newer;
        }
        drop(stream);
        stream = watch_from(&mut client, &token).await;
    }
    heard.extend(until_bookmark(&mut stream).await.0);
    let expected: Vec<String> = (0..10_u32)
        .flat_map(|round| (0..50).map(move |n| format!("opened pilot-{}", 1_000 * round + n)))
        .collect();
    assert_eq!(heard, expected);
}

#[tokio::test]
async fn watch_of_one_detection_hears_of_no_other() {
    let mut house = House::start().await;
    house.commit(vec![opened(1), opened(2)]);
    let mut client = house.client().await;
    let request = WatchFindingsRequest { detection: "shared-credential".into(), ..Default::default() };
    let mut stream = client.watch_findings(request).await.unwrap().into_inner();
    assert_eq!(until_bookmark(&mut stream).await.0, ["current pilot-2"]);
    house.commit(vec![resolved(1), resolved(2)]);
    assert_eq!(next(&mut stream).await.0, "resolved pilot-2");
}

#[tokio::test]
async fn token_of_another_state_folder_is_refused() {
    let here = House::start().await;
    let there = House::start().await;
    let (_, token) = until_bookmark(&mut watch_from(&mut there.client().await, "").await).await;
    let request = WatchFindingsRequest { resume_token: token, ..Default::default() };
    let mut client = here.client().await;
    let status = client.watch_findings(request).await.unwrap_err();
    assert_eq!(status.code(), Code::OutOfRange);
    assert_eq!(status.get_details_error_info().unwrap().reason, "RESUME_TOKEN_EXPIRED");

    let request = WatchFindingsRequest { resume_token: "made up".into(), ..Default::default() };
    let status = client.watch_findings(request).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
}

#[tokio::test]
async fn token_ahead_of_the_store_is_refused() {
    let house = House::start().await;
    let instance = crate::store::Reader::open(house.dir.path()).unwrap().instance().unwrap();
    let token = token::encode(&instance, token::Resume::After(1_000));
    let mut client = house.client().await;
    let mut stream = watch_from(&mut client, &token).await;
    assert_eq!(stream.message().await.unwrap_err().code(), Code::OutOfRange);
}

#[tokio::test]
async fn token_older_than_the_changes_kept_is_refused() {
    let mut house = House::start().await;
    let mut client = house.client().await;
    let (_, token) = until_bookmark(&mut watch_from(&mut client, "").await).await;
    house.commit(vec![opened(1), opened(2)]);
    // What the store itself does once CHANGES_KEPT_MAX are kept.
    let database = rusqlite::Connection::open(house.dir.path().join("shadowprod.db")).unwrap();
    database.execute("DELETE FROM change WHERE seq = 1", []).unwrap();
    let status = watch_from(&mut client, &token).await.message().await.unwrap_err();
    assert_eq!(status.code(), Code::OutOfRange);
    assert!(status.message().contains("watch again without a token"), "{status:?}");
}

#[tokio::test]
async fn withdrawn_finding_is_told_and_gone() {
    let mut house = House::start().await;
    let early = Finding { confirmed: false, ..finding(1, Severity::High) };
    house.commit(vec![change(ChangeKind::Early, early.clone())]);
    let mut client = house.client().await;
    let mut stream = watch_from(&mut client, "").await;
    assert_eq!(until_bookmark(&mut stream).await.0, ["current pilot-1"]);
    house.commit(vec![change(ChangeKind::Withdrawn, early.clone())]);
    assert_eq!(next(&mut stream).await.0, "withdrawn pilot-1");
    let status = client.get_finding(GetFindingRequest { finding_id: early.finding_id }).await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
}

#[tokio::test]
async fn one_watcher_too_many_is_told_so_and_a_freed_place_is_given_again() {
    let house = House::start().await;
    let mut client = house.client().await;
    let mut streams = Vec::new();
    for _ in 0..crate::limits::WATCHERS_MAX {
        streams.push(watch_from(&mut client, "").await);
    }
    let status = client.watch_findings(WatchFindingsRequest::default()).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert!(status.get_details_quota_failure().is_some() && status.get_details_retry_info().is_some());
    drop(streams);
    while house.metrics.serve_watchers.get() > 0 {
        tokio::task::yield_now().await;
    }
    watch_from(&mut client, "").await;
}

#[tokio::test]
async fn shutdown_tells_watchers_and_ends_both_servers() {
    let house = House::start().await;
    let mut stream = watch_from(&mut house.client().await, "").await;
    until_bookmark(&mut stream).await;
    house.shutdown.send_replace(true);
    assert_eq!(stream.message().await.unwrap_err().code(), Code::Unavailable);
    let (grpc, http) = (house.serving.grpc, house.serving.http);
    house.serving.ended(Duration::from_secs(10)).await;
    assert!(TcpStream::connect(grpc).is_err() && TcpStream::connect(http).is_err());
}
