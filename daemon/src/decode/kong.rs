//! Kong Gateway log, as its log plugins (HTTP, file, TCP, Kafka ...) serialise it. In: one entry. Out: one event.
//! AI plugins add `ai.<plugin>.meta`, whatever the plugin is called, and `ai.mcp`; bodies and payloads are never read.
//! The credential is the id that Kong gave to it: keys and tokens stand in headers, which are not read either.
//!
//! <https://developer.konghq.com/plugins/http-log/>,
//! <https://developer.konghq.com/gateway/pdk/reference/kong.log/#konglogserialize>,
//! <https://developer.konghq.com/ai-gateway/ai-audit-log-reference/>

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;

use super::RejectReason;
use super::columns::{Credential, CredentialKind, Fields, Joined, Outcome};
use super::format::{Family, Layout, read_record};
use super::http;
use super::json::{Many, Nested, Number, Refusal, Text, first_of};
use super::time;

pub(super) const LAYOUT: Layout = Layout {
    name: "kong",
    family: Family::Gateway,
    signatures: &[
        &["\"latencies\"", "\"started_at\""],
        &["\"latencies\"", "\"client_ip\"", "\"upstream_uri\""],
    ],
    read: |text, row| read_record(text, row, fields),
};

#[derive(Deserialize, Default)]
#[serde(default)]
struct Entry<'a> {
    #[serde(borrow)]
    started_at: Text<'a>,
    client_ip: Text<'a>,
    workspace: Text<'a>,
    workspace_name: Text<'a>,
    upstream_status: Text<'a>,
    request: Nested<'a, Request<'a>>,
    response: Nested<'a, Response>,
    route: Nested<'a, Named<'a>>,
    service: Nested<'a, Named<'a>>,
    consumer: Nested<'a, Consumer<'a>>,
    authenticated_entity: Nested<'a, Named<'a>>,
    /// Written where a tracing plugin ran.
    trace_id: Nested<'a, TraceId<'a>>,
    /// Keyed by the plugin's name.
    ai: Nested<'a, BTreeMap<String, Nested<'a, AiPlugin<'a>>>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Request<'a> {
    #[serde(borrow)]
    id: Text<'a>,
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
    traceparent: Text<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Response {
    status: Number,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Named<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    name: Text<'a>,
    host: Text<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Consumer<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    username: Text<'a>,
    custom_id: Text<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct TraceId<'a> {
    #[serde(borrow)]
    w3c: Text<'a>,
}

/// `meta` of the plugins that call models; `rpc` and `audit` of the one that serves tools.
#[derive(Deserialize, Default)]
#[serde(default)]
struct AiPlugin<'a> {
    #[serde(borrow)]
    meta: Nested<'a, AiMeta<'a>>,
    rpc: Many<Nested<'a, Rpc<'a>>>,
    audit: Many<Nested<'a, Decision<'a>>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct AiMeta<'a> {
    #[serde(borrow)]
    provider_name: Text<'a>,
    request_model: Text<'a>,
    response_model: Text<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Rpc<'a> {
    #[serde(borrow)]
    tool_name: Text<'a>,
}

/// What the access control of the MCP plugin decided about a tool, a resource or a prompt.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Decision<'a> {
    #[serde(borrow)]
    primitive: Text<'a>,
    primitive_name: Text<'a>,
    action: Text<'a>,
}

fn fields<'r>(entry: &'r Entry<'_>) -> Result<Fields<'r>, Refusal> {
    let (request, consumer) = (entry.request.object(), entry.consumer.object());
    let headers = request.and_then(|r| r.headers.object());
    let status = status(entry);
    let id = request.map_or("", |r| r.id.get());
    let consumer_id = consumer.map_or("", |c| c.id.get());
    let consumer = consumer.map_or("", |c| first_of(&[c.username.get(), c.custom_id.get(), c.id.get()]));
    let entity = entry.authenticated_entity.object().map_or("", |e| e.id.get());
    let secret = Joined::one(first_of(&[entity, consumer_id, consumer]));
    let tool = Tool::of(entry);
    let outcome = http::outcome(status, "response.status: not a number")?;
    Ok(Fields {
        event_time: event_time(entry)?,
        event_id: id,
        action: Joined::one(request.map_or("", |r| r.method.get())),
        outcome: if tool.is_refused { Outcome::Denied } else { outcome },
        status_code: status.value(),
        credential: Credential::new(CredentialKind::GatewayKey, secret),
        source_ip: http::client(headers.map_or("", |h| h.x_forwarded_for.get()), entry.client_ip.get()),
        user_agent: headers.map_or("", |h| h.user_agent.get()),
        host: host(request, headers),
        route: route(entry, request),
        namespace: first_of(&[entry.workspace_name.get(), entry.workspace.get()]),
        target: target(entry),
        model: model(entry),
        tool: tool.name,
        consumer,
        trace_id: trace_id(entry, headers, id),
        ..Fields::default()
    })
}

fn event_time(entry: &Entry<'_>) -> Result<i64, Refusal> {
    if entry.request.object().is_none() && entry.response.object().is_none() {
        return Err(Refusal::new(RejectReason::UnknownFormat, "no request and no response: not a Kong log"));
    }
    let text = entry.started_at.get();
    if text.is_empty() {
        return Err(Refusal::new(RejectReason::MissingField, "started_at"));
    }
    time::micros(text).ok_or_else(|| Refusal::new(RejectReason::BadField, "started_at: not a time"))
}

/// What the client got; else what the last service tried said, which Kong writes as NGINX does: `502, 200`.
fn status(entry: &Entry<'_>) -> Number {
    match entry.response.object().map(|r| r.status).unwrap_or_default() {
        Number::Absent => Number::of(http::last_tried(entry.upstream_status.get())),
        status => status,
    }
}

fn host<'r>(request: Option<&'r Request<'_>>, headers: Option<&'r Headers<'_>>) -> Cow<'r, str> {
    let (authority, _) = http::url_parts(request.map_or("", |r| r.url.get()));
    http::host(first_of(&[headers.map_or("", |h| h.host.get()), authority]))
}

fn route<'r>(entry: &'r Entry<'_>, request: Option<&'r Request<'_>>) -> &'r str {
    let name = entry.route.object().map_or("", |r| r.name.get());
    first_of(&[name, http::first_segments(request.map_or("", |r| r.uri.get()))])
}

fn trace_id<'r>(entry: &'r Entry<'_>, headers: Option<&'r Headers<'_>>, request_id: &'r str) -> &'r str {
    let propagated = entry.trace_id.object().map_or("", |trace| trace.w3c.get());
    let received = http::traceparent_id(headers.map_or("", |h| h.traceparent.get()));
    first_of(&[propagated, received, request_id])
}

/// The AI proxy sends to its provider whatever the service's host is; it is often a placeholder then.
fn target<'r>(entry: &'r Entry<'_>) -> &'r str {
    let provider = first_meta(entry, |meta| &meta.provider_name);
    let service = entry.service.object();
    first_of(&[
        provider,
        service.map_or("", |s| s.host.get()),
        service.map_or("", |s| s.name.get()),
        service.map_or("", |s| s.id.get()),
    ])
}

/// The model asked for, else the one that answered.
fn model<'r>(entry: &'r Entry<'_>) -> &'r str {
    first_of(&[first_meta(entry, |meta| &meta.request_model), first_meta(entry, |meta| &meta.response_model)])
}

fn ai_plugins<'r, 'a>(entry: &'r Entry<'a>) -> impl Iterator<Item = &'r AiPlugin<'a>> {
    entry.ai.object().into_iter().flat_map(|plugins| plugins.values().filter_map(Nested::object))
}

fn first_meta<'r, 'a>(entry: &'r Entry<'a>, field: fn(&'r AiMeta<'a>) -> &'r Text<'a>) -> &'r str {
    let values = ai_plugins(entry).filter_map(|plugin| plugin.meta.object()).map(|meta| field(meta).get());
    first_said(values)
}

/// The tool that an MCP request called or wanted to call.
struct Tool<'r> {
    name: &'r str,
    is_refused: bool,
}

impl<'r> Tool<'r> {
    /// A request that opens the session or lists the tools names none. One that access control refused is answered
    /// all the same, and may stand among its decisions only.
    fn of(entry: &'r Entry<'_>) -> Self {
        let calls = || ai_plugins(entry).flat_map(|plugin| &plugin.rpc.0).filter_map(Nested::object);
        let decisions = ai_plugins(entry).flat_map(|plugin| &plugin.audit.0).filter_map(Nested::object);
        let mut refused = decisions
            .filter(|decision| decision.action.get() == "deny" && decision.primitive.get() == "tool")
            .map(|decision| decision.primitive_name.get());
        let called = first_said(calls().map(|call| call.tool_name.get()));
        if called.is_empty() && calls().next().is_none() {
            let name = first_said(refused);
            return Self { name, is_refused: !name.is_empty() };
        }
        Self { name: called, is_refused: !called.is_empty() && refused.any(|name| name == called) }
    }
}

fn first_said<'r>(mut values: impl Iterator<Item = &'r str>) -> &'r str {
    values.find(|value| !value.is_empty()).unwrap_or_default()
}
