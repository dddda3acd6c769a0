//! Kong Gateway log, as its log plugins (HTTP, file, TCP, Kafka ...) serialise it. In: one entry. Out: one event.
//! AI plugins add `ai.<plugin>.meta`, whatever the plugin is called; bodies and payloads are never read.
//!
//! <https://developer.konghq.com/plugins/http-log/>,
//! <https://developer.konghq.com/ai-gateway/ai-audit-log-reference/>

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::RejectReason;
use super::columns::{Credential, CredentialKind, Fields, Joined, PrincipalKind};
use super::format::{Family, Layout, read_record};
use super::http;
use super::json::{Nested, Number, Refusal, Text, first_of};
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
    request: Nested<'a, Request<'a>>,
    response: Nested<'a, Response>,
    route: Nested<'a, Named<'a>>,
    service: Nested<'a, Named<'a>>,
    consumer: Nested<'a, Consumer<'a>>,
    authenticated_entity: Nested<'a, Named<'a>>,
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

/// `meta` of the plugins that call models; `rpc` of the one that serves tools.
#[derive(Deserialize, Default)]
#[serde(default)]
struct AiPlugin<'a> {
    #[serde(borrow)]
    meta: Nested<'a, AiMeta<'a>>,
    rpc: FirstTool<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct AiMeta<'a> {
    #[serde(borrow)]
    request_model: Text<'a>,
    response_model: Text<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Rpc<'a> {
    #[serde(borrow)]
    tool_name: Text<'a>,
}

/// The first tool that the calls of one MCP request name: one that opens the session names none.
#[derive(Default)]
struct FirstTool<'a>(Text<'a>);

impl<'de: 'a, 'a> Deserialize<'de> for FirstTool<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&RawValue>::deserialize(deserializer)?;
        // What is no array of calls names no tool.
        let calls: Vec<Nested<'de, Rpc<'de>>> = serde_json::from_str(raw.get()).unwrap_or_default();
        let named = calls.into_iter().find_map(|call| match call {
            Nested::Object(call) if !call.tool_name.get().is_empty() => Some(call.tool_name),
            Nested::Object(_) | Nested::Absent | Nested::Written(_) => None,
        });
        Ok(Self(named.unwrap_or_default()))
    }
}

fn fields<'r>(entry: &'r Entry<'_>) -> Result<Fields<'r>, Refusal> {
    let (request, consumer) = (entry.request.object(), entry.consumer.object());
    let headers = request.and_then(|r| r.headers.object());
    let status = entry.response.object().map(|r| r.status).unwrap_or_default();
    let id = request.map_or("", |r| r.id.get());
    let consumer_name = consumer.map_or("", |c| first_of(&[c.username.get(), c.custom_id.get(), c.id.get()]));
    let entity = entry.authenticated_entity.object().map_or("", |e| e.id.get());
    let secret = first_of(&[entity, consumer.map_or("", |c| c.id.get()), consumer_name]);
    let service = entry.service.object();
    let traceparent = headers.map_or("", |h| h.traceparent.get());
    Ok(Fields {
        event_time: event_time(entry)?,
        event_id: id,
        action: Joined::one(request.map_or("", |r| r.method.get())),
        outcome: http::outcome(status, "response.status: not a number")?,
        status_code: status.value(),
        principal: Cow::Borrowed(""),
        principal_kind: PrincipalKind::None,
        credential: Credential::new(CredentialKind::GatewayKey, Joined::one(secret)),
        source_ip: http::client(headers.map_or("", |h| h.x_forwarded_for.get()), entry.client_ip.get()),
        user_agent: headers.map_or("", |h| h.user_agent.get()),
        host: host(request, headers),
        route: route(entry, request),
        namespace: first_of(&[entry.workspace_name.get(), entry.workspace.get()]),
        target: service.map_or("", |s| first_of(&[s.host.get(), s.name.get(), s.id.get()])),
        model: model(entry),
        tool: ai_plugins(entry).map(|plugin| plugin.rpc.0.get()).find(|t| !t.is_empty()).unwrap_or_default(),
        consumer: consumer_name,
        trace_id: first_of(&[http::traceparent_id(traceparent), id]),
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

fn host<'r>(request: Option<&'r Request<'_>>, headers: Option<&'r Headers<'_>>) -> Cow<'r, str> {
    let (authority, _) = http::url_parts(request.map_or("", |r| r.url.get()));
    http::host(first_of(&[headers.map_or("", |h| h.host.get()), authority]))
}

fn route<'r>(entry: &'r Entry<'_>, request: Option<&'r Request<'_>>) -> &'r str {
    let name = entry.route.object().map_or("", |r| r.name.get());
    first_of(&[name, http::first_segments(request.map_or("", |r| r.uri.get()))])
}

fn ai_plugins<'r, 'a>(entry: &'r Entry<'a>) -> impl Iterator<Item = &'r AiPlugin<'a>> {
    entry.ai.object().into_iter().flat_map(|plugins| plugins.values().filter_map(Nested::object))
}

/// The model asked for, else the one that answered.
fn model<'r>(entry: &'r Entry<'_>) -> &'r str {
    let metas = || ai_plugins(entry).filter_map(|plugin| plugin.meta.object());
    let asked = metas().map(|meta| meta.request_model.get()).find(|model| !model.is_empty());
    let answered = || metas().map(|meta| meta.response_model.get()).find(|model| !model.is_empty());
    asked.or_else(answered).unwrap_or_default()
}
