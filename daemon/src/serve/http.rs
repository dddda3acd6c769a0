//! HTTP: metrics, health, and findings as JSON for curl and Grafana.
//!
//! In: GET requests. Out: text and JSON. Read-only; a request whose Host is not a loopback name is refused, so
//! that no web page in a browser on this machine can read findings through a name that it made up.

use std::sync::Arc;

use axum::Router;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, Request, State};
use axum::http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, HOST, LINK};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Deserialize;
use tonic::Code;

use super::health::Health;
use super::page;
use super::reads::Reads;
use crate::config::ServeConfig;
use crate::findings::Finding;
use crate::limits::PAGE_SIZE_MAX;
use crate::metrics::Metrics;
use crate::store::ListQuery;

/// What Prometheus 2.5 and later asks for and reads.
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// What everybody else reads.
const CLASSIC: &str = "text/plain; version=0.0.4; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";
const NDJSON: &str = "application/x-ndjson";

/// What the pages show.
pub(super) struct Pages {
    /// Findings.
    pub(super) reads: Arc<Reads>,
    /// `/metrics`.
    pub(super) metrics: Arc<Metrics>,
    /// `/readyz`.
    pub(super) health: Arc<Health>,
    /// Named on the index page.
    pub(super) addresses: ServeConfig,
}

/// Query of `/api/v1/findings`: the words of `ListFindingsRequest`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct FindingsQuery {
    format: String,
    page_size: u32,
    page_token: String,
    detection: String,
    subject_kind: String,
    subject_id: String,
    state: String,
    severity_min: String,
    owner: String,
}

/// All pages.
pub(super) fn router(pages: Pages) -> Router {
    Router::new()
        .route("/", get(index))
        .route("/metrics", get(metrics))
        .route("/healthz", get(|| async { typed(TEXT, "ok\n") }))
        .route("/readyz", get(ready))
        .route("/api/v1/findings", get(findings))
        .layer(from_fn(loopback_names_only))
        .with_state(Arc::new(pages))
}

async fn loopback_names_only(request: Request, next: Next) -> Response {
    if request.headers().get(HOST).is_none_or(names_loopback) {
        return next.run(request).await;
    }
    let problem = "this host name is not a loopback one; ask for 127.0.0.1, [::1] or localhost";
    refused(StatusCode::FORBIDDEN, "Host", problem)
}

fn names_loopback(host: &HeaderValue) -> bool {
    let Some(authority) = host.to_str().ok().and_then(|h| h.parse::<axum::http::uri::Authority>().ok())
    else {
        return false;
    };
    let name = authority.host().trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

async fn index(State(pages): State<Arc<Pages>>) -> Response {
    let ServeConfig { grpc, http } = &pages.addresses;
    let lines = [
        (format!("http://{http}/api/v1/findings"), "findings, JSON; ?state=open&severity_min=high and more"),
        (format!("http://{http}/api/v1/findings?format=ndjson"), "findings, one a line"),
        (format!("http://{http}/metrics"), "for Prometheus"),
        (format!("http://{http}/readyz"), "what works and what does not, with reasons"),
        (format!("http://{http}/healthz"), "whether the process answers"),
        (grpc.to_string(), "gRPC: shadowprod.v1.FindingService, health, reflection"),
    ];
    let lines: String = lines.iter().map(|(address, what)| format!("{address:<54}{what}\n")).collect();
    typed(TEXT, format!("shadowprod {}\n\n{lines}", env!("CARGO_PKG_VERSION")))
}

async fn metrics(State(pages): State<Arc<Pages>>, headers: HeaderMap) -> Response {
    let accepts = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    if accepts.contains("application/openmetrics-text") {
        typed(OPENMETRICS, pages.metrics.encode())
    } else {
        typed(CLASSIC, pages.metrics.encode_classic())
    }
}

async fn ready(State(pages): State<Arc<Pages>>) -> Response {
    let status = if pages.health.ready() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, typed(JSON, pages.health.to_json() + "\n")).into_response()
}

async fn findings(
    State(pages): State<Arc<Pages>>,
    query: Result<Query<FindingsQuery>, QueryRejection>,
) -> Response {
    let query = match query {
        Ok(Query(query)) => query,
        Err(rejection) => return refused(StatusCode::BAD_REQUEST, "query", &rejection.body_text()),
    };
    let content_type = match query.format.as_str() {
        "" | "json" => JSON,
        "ndjson" => NDJSON,
        _ => return refused(StatusCode::BAD_REQUEST, "format", "none of json, ndjson"),
    };
    let list = match list_query(&query) {
        Ok(list) => list,
        Err(bad) => return refused(StatusCode::BAD_REQUEST, bad.field, &bad.problem),
    };
    match page::read(&pages.reads, list).await {
        Ok(page) => {
            let body = if content_type == JSON { json(&page.findings) } else { ndjson(&page.findings) };
            (next_link(page.next_page_token), typed(content_type, body)).into_response()
        }
        Err(status) if status.code() == Code::InvalidArgument => {
            refused(StatusCode::BAD_REQUEST, "page_token", status.message())
        }
        Err(status) => refused(StatusCode::INTERNAL_SERVER_ERROR, "store", status.message()),
    }
}

fn list_query(query: &FindingsQuery) -> Result<ListQuery, page::BadField> {
    let size = if query.page_size == 0 { PAGE_SIZE_MAX } else { page::size(query.page_size) };
    Ok(ListQuery {
        severity_min: page::severity(&query.severity_min)?,
        state: page::state(&query.state)?,
        detection: page::wanted(query.detection.clone()),
        subject_kind: page::wanted(query.subject_kind.clone()),
        subject_id: page::wanted(query.subject_id.clone()),
        owner: page::wanted(query.owner.clone()),
        page_size: size,
        page_token: page::wanted(query.page_token.clone()),
    })
}

/// One finding a line, each the JSON mapping of its message.
fn ndjson(findings: &[Finding]) -> String {
    findings.iter().map(|f| line(f) + "\n").collect()
}

/// An array of the same bytes.
fn json(findings: &[Finding]) -> String {
    let lines: Vec<String> = findings.iter().map(line).collect();
    if lines.is_empty() { "[]\n".to_owned() } else { format!("[\n{}\n]\n", lines.join(",\n")) }
}

fn line(finding: &Finding) -> String {
    serde_json::to_string(finding).expect("a finding has text keys and finite numbers only")
}

/// RFC 8288: where the next page is. Relative, so that it holds behind a proxy.
fn next_link(page_token: Option<String>) -> HeaderMap {
    let link = page_token.map(|token| format!("<?page_token={token}>; rel=\"next\""));
    let link = link.and_then(|link| HeaderValue::try_from(link).ok());
    link.into_iter().map(|link| (LINK, link)).collect()
}

fn typed(content_type: &'static str, body: impl Into<String>) -> Response {
    let headers = [(CONTENT_TYPE, content_type), (CACHE_CONTROL, "no-store")];
    (headers, body.into()).into_response()
}

fn refused(status: StatusCode, field: &str, problem: &str) -> Response {
    let body = serde_json::json!({ "error": { "field": field, "problem": problem } });
    (status, typed(JSON, format!("{body}\n"))).into_response()
}
