//! Serving with the real store on the real sockets, asked by real clients.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use shadowprod_proto::v1::finding_service_client::FindingServiceClient;
use shadowprod_proto::v1::watch_findings_response::Event;
use shadowprod_proto::v1::{
    GetFindingRequest, ListFindingsRequest, WatchFindingsRequest, WatchFindingsResponse,
};
use tempfile::TempDir;
use tokio::sync::watch;
use tonic::transport::Channel;
use tonic::{Code, Streaming};
use tonic_types::StatusExt;

use super::*;
use crate::findings::{
    ChangeKind, Evidence, Finding, FindingChange, FindingState, Owner, Severity, Subject, Tracked,
};
use crate::store::{Commit, Store};

/// A daemon without a pipeline: tests commit what a pipeline would.
struct House {
    store: Store,
    committed: watch::Sender<u64>,
    shutdown: watch::Sender<bool>,
    health: Arc<Health>,
    metrics: Arc<Metrics>,
    serving: Serving,
    dir: TempDir,
}

type Client = FindingServiceClient<Channel>;

impl House {
    async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (store, recovered) = Store::open(dir.path()).unwrap();
        let committed = watch::Sender::new(recovered.change_seq);
        let shutdown = watch::Sender::new(false);
        let health = Arc::new(Health::new(&["pipeline"]));
        let metrics = Arc::new(Metrics::new());
        let addresses = any_port();
        let serving = start(
            dir.path(),
            &addresses,
            metrics.clone(),
            health.clone(),
            committed.subscribe(),
            shutdown.subscribe(),
        );
        let serving = serving.await.unwrap();
        Self { store, committed, shutdown, health, metrics, serving, dir }
    }

    fn commit(&mut self, changes: Vec<FindingChange>) {
        let outcome = self.store.commit(&commit_of(changes)).unwrap();
        self.committed.send_replace(outcome.change_seq);
    }

    async fn client(&self) -> Client {
        Client::new(self.channel().await)
    }

    async fn channel(&self) -> Channel {
        Channel::from_shared(format!("http://{}", self.serving.grpc)).unwrap().connect().await.unwrap()
    }

    fn http(&self, path: &str, headers: &str) -> (u16, String) {
        http(self.serving.http, path, headers)
    }
}

fn any_port() -> ServeConfig {
    ServeConfig { grpc: "127.0.0.1:0".parse().unwrap(), http: "127.0.0.1:0".parse().unwrap() }
}

fn commit_of(changes: Vec<FindingChange>) -> Commit {
    let tracked = changes
        .iter()
        .filter(|change| change.kind != ChangeKind::Withdrawn)
        .map(|change| Tracked {
            finding: change.finding.clone(),
            quiet_since: None,
            resolved_at: None,
            early: change.kind == ChangeKind::Early,
        })
        .collect();
    Commit { changes, tracked, ..Commit::default() }
}

fn http(address: SocketAddr, path: &str, headers: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nConnection: close\r\n{headers}\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    (status, answer)
}

fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").unwrap().1
}

fn finding(number: u32, severity: Severity) -> Finding {
    let time = jiff::Timestamp::from_second(1_767_600_000 + i64::from(number)).unwrap();
    Finding {
        finding_id: format!("f_{number:032x}"),
        detection: if number.is_multiple_of(2) { "shared-credential" } else { "business-dependency" }
            .to_owned(),
        detection_version: 1,
        subject: Subject { kind: "pilot".to_owned(), id: format!("pilot-{number}") },
        severity,
        score: 0.5,
        coverage: 1.0,
        state: FindingState::Open,
        owner: Owner { person: "mia".to_owned(), role: "pilot_owner".to_owned(), contact: String::new() },
        confirmed: true,
        first_seen: time,
        last_seen: time,
        episode: 1,
        reopened: 0,
        evidence: vec![Evidence::Term { name: "breadth".to_owned(), value: None }],
        title: format!("pilot-{number} is in production"),
        explanation: "x".to_owned(),
    }
}

fn change(kind: ChangeKind, finding: Finding) -> FindingChange {
    FindingChange { kind, at: finding.last_seen, finding }
}

fn opened(number: u32) -> FindingChange {
    change(ChangeKind::Opened, finding(number, Severity::High))
}

fn resolved(number: u32) -> FindingChange {
    let finding = Finding { state: FindingState::Resolved, ..finding(number, Severity::High) };
    change(ChangeKind::Resolved, finding)
}

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
async fn list_gives_every_finding_once_worst_first_across_pages() {
    let mut house = House::start().await;
    let severities = [Severity::Low, Severity::Critical, Severity::Medium, Severity::High];
    house.commit(
        (0..23).map(|n| change(ChangeKind::Opened, finding(n, severities[n as usize % 4]))).collect(),
    );
    let mut client = house.client().await;
    let mut seen = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = ListFindingsRequest { page_size: 5, page_token, ..Default::default() };
        let page = client.list_findings(request).await.unwrap().into_inner();
        assert!(page.findings.len() <= 5);
        seen.extend(page.findings.into_iter().map(|f| (f.severity, f.finding_id)));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    let order: Vec<_> = seen.iter().map(|(s, _)| Severity::parse(s).unwrap()).collect();
    assert!(order.is_sorted_by(|a, b| a >= b), "{order:?}");
    let ids: std::collections::HashSet<_> = seen.iter().map(|(_, id)| id).collect();
    assert_eq!((seen.len(), ids.len()), (23, 23));
}

#[tokio::test]
async fn list_heeds_its_filter() {
    let mut house = House::start().await;
    house.commit(vec![
        opened(1),
        opened(2),
        resolved(3),
        change(ChangeKind::Opened, finding(4, Severity::Low)),
    ]);
    let mut client = house.client().await;
    let cases = [
        (ListFindingsRequest { state: "open".into(), ..Default::default() }, 3),
        (ListFindingsRequest { state: "resolved".into(), ..Default::default() }, 1),
        (ListFindingsRequest { severity_min: "high".into(), ..Default::default() }, 3),
        (ListFindingsRequest { detection: "shared-credential".into(), ..Default::default() }, 2),
        (
            ListFindingsRequest {
                subject_kind: "pilot".into(),
                subject_id: "pilot-1".into(),
                ..Default::default()
            },
            1,
        ),
        (ListFindingsRequest { owner: "nobody else".into(), ..Default::default() }, 0),
        (ListFindingsRequest::default(), 4),
    ];
    for (request, expected) in cases {
        let page = client.list_findings(request.clone()).await.unwrap().into_inner();
        assert_eq!(page.findings.len(), expected, "{request:?}");
    }
}

#[tokio::test]
async fn page_of_large_findings_stays_below_what_clients_accept() {
    let mut house = House::start().await;
    let large = |number| Finding { explanation: "x".repeat(200_000), ..finding(number, Severity::High) };
    house.commit((0..30).map(|n| change(ChangeKind::Opened, large(n))).collect());
    let mut client = client::Client::connect(&format!("http://{}", house.serving.grpc)).await.unwrap();
    assert_eq!(client.list(&client::Wanted::default()).await.unwrap().len(), 30);
}

#[tokio::test]
async fn bad_field_is_named_in_the_error_details() {
    let house = House::start().await;
    let mut client = house.client().await;
    let cases = [
        (ListFindingsRequest { state: "ajar".into(), ..Default::default() }, "state"),
        (ListFindingsRequest { severity_min: "HIGH".into(), ..Default::default() }, "severity_min"),
        (ListFindingsRequest { page_token: "made up".into(), ..Default::default() }, "page_token"),
    ];
    for (request, field) in cases {
        let status = client.list_findings(request).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
        assert_eq!(status.get_details_bad_request().unwrap().field_violations[0].field, field);
        assert_eq!(status.get_details_error_info().unwrap().domain, "shadowprod");
    }
}

#[tokio::test]
async fn unknown_finding_is_named_as_a_resource() {
    let mut house = House::start().await;
    house.commit(vec![opened(1)]);
    let mut client = house.client().await;
    let known = GetFindingRequest { finding_id: finding(1, Severity::High).finding_id };
    let message = client.get_finding(known).await.unwrap().into_inner().finding.unwrap();
    assert_eq!(convert::finding(message), Ok(finding(1, Severity::High)));

    let status = client.get_finding(GetFindingRequest { finding_id: "f_x".into() }).await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
    assert_eq!(status.get_details_resource_info().unwrap().resource_name, "f_x");
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

#[tokio::test]
async fn grpc_health_follows_readiness() {
    use tonic_health::pb::HealthCheckRequest;
    use tonic_health::pb::health_client::HealthClient;
    let house = House::start().await;
    let mut client = HealthClient::new(house.channel().await);
    let request = HealthCheckRequest { service: "".into() };
    let mut statuses = client.watch(request).await.unwrap().into_inner();
    let not_serving = 2;
    let serving = 1;
    while statuses.message().await.unwrap().unwrap().status != not_serving {}
    house.health.set("pipeline", Ok(()));
    while statuses.message().await.unwrap().unwrap().status != serving {}
}

#[tokio::test]
async fn reflection_lists_the_service_in_both_versions() {
    use tonic_reflection::pb::{v1, v1alpha};
    let house = House::start().await;
    let mut client = v1::server_reflection_client::ServerReflectionClient::new(house.channel().await);
    let list = v1::server_reflection_request::MessageRequest::ListServices(String::new());
    let request = v1::ServerReflectionRequest { host: String::new(), message_request: Some(list) };
    let mut answers = client.server_reflection_info(tokio_stream::once(request)).await.unwrap().into_inner();
    let answer = format!("{:?}", answers.message().await.unwrap().unwrap());
    assert!(answer.contains("shadowprod.v1.FindingService") && answer.contains("grpc.health.v1.Health"));

    let mut client = v1alpha::server_reflection_client::ServerReflectionClient::new(house.channel().await);
    let list = v1alpha::server_reflection_request::MessageRequest::ListServices(String::new());
    let request = v1alpha::ServerReflectionRequest { host: String::new(), message_request: Some(list) };
    let mut answers = client.server_reflection_info(tokio_stream::once(request)).await.unwrap().into_inner();
    assert!(format!("{:?}", answers.message().await.unwrap().unwrap()).contains("FindingService"));
}

#[tokio::test(flavor = "multi_thread")]
async fn http_readiness_gives_status_and_reasons() {
    let house = House::start().await;
    let (status, answer) = house.http("/readyz", "Host: localhost\r\n");
    assert_eq!(status, 503);
    assert!(
        answer.contains(
            r#"{"ready":false,"components":{"pipeline":{"status":"not_ready","reason":"starting"}}}"#
        )
    );
    house.health.set("pipeline", Ok(()));
    assert_eq!(house.http("/readyz", "Host: 127.0.0.1:9464\r\n").0, 200);
    assert_eq!(house.http("/healthz", "Host: [::1]:9464\r\n").0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn http_findings_are_the_same_bytes_as_the_ndjson_of_findings() {
    let mut house = House::start().await;
    house.commit(vec![opened(1), opened(2)]);
    let line = |n| serde_json::to_string(&finding(n, Severity::High)).unwrap();
    let (status, answer) = house.http("/api/v1/findings?format=ndjson&state=open", "Host: localhost\r\n");
    assert_eq!((status, body(&answer)), (200, format!("{}\n{}\n", line(2), line(1)).as_str()));
    assert!(answer.contains("content-type: application/x-ndjson"), "{answer}");
    let (_, answer) = house.http("/api/v1/findings", "Host: localhost\r\n");
    assert_eq!(body(&answer), format!("[\n{},\n{}\n]\n", line(2), line(1)));

    let (_, answer) = house.http("/api/v1/findings?page_size=1", "Host: localhost\r\n");
    let link = answer.lines().find_map(|l| l.strip_prefix("link: <")).unwrap();
    let path = format!("/api/v1/findings{}&page_size=1&format=ndjson", link.split_once('>').unwrap().0);
    assert_eq!(body(&house.http(&path, "Host: localhost\r\n").1), line(1) + "\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn http_refuses_what_it_does_not_know_and_names_it() {
    let house = House::start().await;
    let cases = [
        ("/api/v1/findings?state=ajar", 400, "state"),
        ("/api/v1/findings?format=csv", 400, "format"),
        ("/api/v1/findings?sate=open", 400, "sate"),
        ("/api/v1/findings?page_token=x", 400, "page_token"),
        ("/api/v2", 404, ""),
    ];
    for (path, expected, named) in cases {
        let (status, answer) = house.http(path, "Host: localhost\r\n");
        assert!(status == expected && body(&answer).contains(named), "{path}: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn http_refuses_a_host_name_that_a_web_page_made_up() {
    let house = House::start().await;
    for host in ["evil.example", "localhost.evil.example", "10.0.0.1", "127.0.0.1.evil.example:9464"] {
        assert_eq!(house.http("/api/v1/findings", &format!("Host: {host}\r\n")).0, 403, "{host}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn http_metrics_are_in_the_format_that_was_asked_for() {
    let house = House::start().await;
    let accept = "Host: localhost\r\nAccept: application/openmetrics-text;version=1.0.0,text/plain;q=0.5\r\n";
    let (_, answer) = house.http("/metrics", accept);
    assert!(answer.contains("content-type: application/openmetrics-text; version=1.0.0"), "{answer}");
    assert!(answer.ends_with("# EOF\n"));
    let (_, answer) = house.http("/metrics", "Host: localhost\r\n");
    assert!(answer.contains("content-type: text/plain; version=0.0.4"), "{answer}");
}

#[tokio::test]
async fn address_beyond_loopback_is_refused_with_the_reason() {
    let dir = tempfile::tempdir().unwrap();
    let addresses = ServeConfig { grpc: "0.0.0.0:0".parse().unwrap(), ..any_port() };
    let serving = start(
        dir.path(),
        &addresses,
        Arc::new(Metrics::new()),
        Arc::new(Health::new(&[])),
        watch::Sender::new(0).subscribe(),
        watch::Sender::new(false).subscribe(),
    );
    let error = serving.await.unwrap_err().to_string();
    assert!(error.contains("[serve] grpc = \"0.0.0.0:0\"") && error.contains("TLS"), "{error}");
}

#[tokio::test]
async fn address_in_use_is_named() {
    let house = House::start().await;
    let addresses = ServeConfig { grpc: house.serving.grpc, ..any_port() };
    let serving = start(
        house.dir.path(),
        &addresses,
        house.metrics.clone(),
        house.health.clone(),
        house.committed.subscribe(),
        house.shutdown.subscribe(),
    );
    let error = serving.await.unwrap_err().to_string();
    assert!(error.contains(&house.serving.grpc.to_string()), "{error}");
}
