//! Apache APISIX log of its logger plugins (HTTP, Kafka, file ...), in their default layout or in the one that their
//! documentation gives as the default of `log_format`. In: one entry. Out: one event. Bodies, query strings and the
//! AI plugins' prompts are never read, nor are headers that hold keys. Other layouts: one of the config's own.
//!
//! <https://apisix.apache.org/docs/apisix/plugins/http-logger/>,
//! <https://apisix.apache.org/docs/apisix/plugins/ai-proxy/>,
//! apisix/utils/log-util.lua and apisix/plugins/ai-proxy/base.lua in apache/apisix on GitHub

use serde::Deserialize;

use super::RejectReason;
use super::columns::{Credential, CredentialKind, Fields, Joined};
use super::format::{Family, Layout, read_record};
use super::http;
use super::json::{Nested, Number, Refusal, Text, first_of};
use super::time;

pub(super) const LAYOUT: Layout = Layout {
    name: "apisix",
    family: Family::Gateway,
    signatures: &[
        &["\"apisix_latency\""],
        &["\"route_id\"", "\"upstream_latency\"", "\"client_ip\""],
        &["\"route_id\"", "\"@timestamp\"", "\"client_ip\""],
    ],
    read: |text, row| read_record(text, row, fields),
};

#[derive(Deserialize, Default)]
#[serde(default)]
struct Entry<'a> {
    #[serde(borrow)]
    start_time: Text<'a>,
    /// Of the `log_format`, and so is `host`.
    #[serde(rename = "@timestamp")]
    logged_at: Text<'a>,
    host: Text<'a>,
    client_ip: Text<'a>,
    route_id: Text<'a>,
    service_id: Text<'a>,
    upstream: Text<'a>,
    request: Nested<'a, Request<'a>>,
    response: Nested<'a, Response>,
    consumer: Nested<'a, Consumer<'a>>,
    llm_summary: Nested<'a, LlmSummary<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Request<'a> {
    #[serde(borrow)]
    method: Text<'a>,
    uri: Text<'a>,
    url: Text<'a>,
    headers: Nested<'a, Headers<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "kebab-case")]
struct Headers<'a> {
    #[serde(borrow)]
    host: Text<'a>,
    user_agent: Text<'a>,
    x_forwarded_for: Text<'a>,
    x_request_id: Text<'a>,
    traceparent: Text<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Response {
    status: Number,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Consumer<'a> {
    #[serde(borrow)]
    username: Text<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct LlmSummary<'a> {
    #[serde(borrow)]
    request_model: Text<'a>,
    model: Text<'a>,
}

fn fields<'r>(entry: &'r Entry<'_>) -> Result<Fields<'r>, Refusal> {
    let request = entry.request.object();
    let headers = request.and_then(|r| r.headers.object());
    let (authority, _) = http::url_parts(request.map_or("", |r| r.url.get()));
    let path = request.map_or("", |r| http::first_segments(r.uri.get()));
    let status = entry.response.object().map(|r| r.status).unwrap_or_default();
    let consumer = entry.consumer.object().map_or("", |c| c.username.get());
    let request_id = headers.map_or("", |h| h.x_request_id.get());
    let traceparent = headers.map_or("", |h| h.traceparent.get());
    Ok(Fields {
        event_time: event_time(entry)?,
        event_id: request_id,
        action: Joined::one(request.map_or("", |r| r.method.get())),
        outcome: http::outcome(status, "response.status: not a number")?,
        status_code: status.value(),
        credential: Credential::new(CredentialKind::GatewayKey, Joined::one(consumer)),
        source_ip: http::client(headers.map_or("", |h| h.x_forwarded_for.get()), entry.client_ip.get()),
        user_agent: headers.map_or("", |h| h.user_agent.get()),
        host: http::host(first_of(&[headers.map_or("", |h| h.host.get()), authority, entry.host.get()])),
        route: first_of(&[entry.route_id.get(), path]),
        target: target(entry),
        model: entry.llm_summary.object().map_or("", |l| first_of(&[l.request_model.get(), l.model.get()])),
        consumer,
        trace_id: first_of(&[http::traceparent_id(traceparent), request_id]),
        ..Fields::default()
    })
}

fn event_time(entry: &Entry<'_>) -> Result<i64, Refusal> {
    let is_custom = !entry.logged_at.get().is_empty() && !entry.route_id.get().is_empty();
    if !is_custom && entry.request.object().is_none() && entry.response.object().is_none() {
        return Err(Refusal::new(
            RejectReason::UnknownFormat,
            "no request and no response: not an APISIX log",
        ));
    }
    let text = first_of(&[entry.start_time.get(), entry.logged_at.get()]);
    if text.is_empty() {
        return Err(Refusal::new(RejectReason::MissingField, "start_time"));
    }
    time::micros(text).ok_or_else(|| Refusal::new(RejectReason::BadField, "start_time: not a time"))
}

/// Where no route was found, APISIX writes the host asked for as the service's id: that is no target.
fn target<'r>(entry: &'r Entry<'_>) -> &'r str {
    let service = if entry.route_id.get().is_empty() { "" } else { entry.service_id.get() };
    first_of(&[http::last_tried(entry.upstream.get()), service])
}
