//! Serving with the real store on the real sockets, asked by real clients.

mod explain;
mod http;
mod watch;

use std::net::TcpStream;
use std::sync::Arc;
use std::sync::mpsc::{Receiver as Waiting, sync_channel};

use shadowprod_proto::v1::finding_service_client::FindingServiceClient;
use shadowprod_proto::v1::{GetFindingRequest, ListFindingsRequest};
use tempfile::TempDir;
use tokio::sync::watch::Sender;
use tonic::Code;
use tonic::transport::Channel;
use tonic_types::StatusExt;

use super::*;
use crate::findings::{
    ChangeKind, Evidence, Finding, FindingChange, FindingState, Owner, Severity, Subject, Tracked,
};
use crate::limits::EXPLAIN_WAITING_MAX;
use crate::store::{Commit, Store};

/// A daemon without a pipeline: tests commit what a pipeline would.
struct House {
    store: Store,
    committed: Sender<u64>,
    shutdown: Sender<bool>,
    health: Arc<Health>,
    metrics: Arc<Metrics>,
    serving: Serving,
    questions: Waiting<Question>,
    dir: TempDir,
}

type Client = FindingServiceClient<Channel>;

impl House {
    async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (store, recovered) = Store::open(dir.path()).unwrap();
        let committed = Sender::new(recovered.change_seq);
        let shutdown = Sender::new(false);
        let health = Arc::new(Health::new(&["pipeline"]));
        let metrics = Arc::new(Metrics::new());
        let addresses = any_port();
        let (asking, questions) = sync_channel(EXPLAIN_WAITING_MAX);
        let serving = start(
            dir.path(),
            &addresses,
            metrics.clone(),
            health.clone(),
            committed.subscribe(),
            shutdown.subscribe(),
            asking,
        );
        let serving = serving.await.unwrap();
        Self { store, committed, shutdown, health, metrics, serving, questions, dir }
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
            early_at: (change.kind == ChangeKind::Early).then_some(change.at),
        })
        .collect();
    Commit { changes, tracked, ..Commit::default() }
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

#[tokio::test]
async fn address_beyond_loopback_is_refused_with_the_reason() {
    let dir = tempfile::tempdir().unwrap();
    let addresses = ServeConfig { grpc: "0.0.0.0:0".parse().unwrap(), ..any_port() };
    let serving = start(
        dir.path(),
        &addresses,
        Arc::new(Metrics::new()),
        Arc::new(Health::new(&[])),
        Sender::new(0).subscribe(),
        Sender::new(false).subscribe(),
        sync_channel(EXPLAIN_WAITING_MAX).0,
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
        sync_channel(EXPLAIN_WAITING_MAX).0,
    );
    let error = serving.await.unwrap_err().to_string();
    assert!(error.contains(&house.serving.grpc.to_string()), "{error}");
}

#[tokio::test]
async fn client_without_a_daemon_says_how_to_start_one() {
    let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let error = client::Client::connect(&format!("http://{free}")).await.unwrap_err().to_string();
    assert!(error.contains(&free.to_string()) && error.contains("shadowprod run"), "{error}");
    for wrong in ["", "127.0.0.1:50551", "localhost", "/x"] {
        let error = client::Client::connect(wrong).await.unwrap_err().to_string();
        assert!(error.contains("http://127.0.0.1:50551"), "{wrong}: {error}");
    }
}
