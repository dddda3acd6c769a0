//! Envoy's JSON access log.
//!
//! In: one log line. Out: one [`Event`]. Keys: Envoy documentation, "Access logging", default JSON format,
//! and Envoy Gateway's default; `downstream_peer_uri_san`, `x-forwarded-client-cert`, `consumer`,
//! `api_key_id` and `jwt_sub` are read where an operator adds them. A key's value is never a credential
//! unless its name says that it is an id.

use std::borrow::Cow;

use serde::Deserialize;

use crate::decode::columns::{Event, outcome_of_status};
use crate::decode::json::Text;
use crate::decode::{Problem, time};

#[derive(Deserialize, Default)]
#[serde(default)]
struct Line<'a> {
    #[serde(borrow)]
    start_time: Text<'a>,
    #[serde(rename = ":authority", alias = "authority")]
    authority: Text<'a>,
    method: Text<'a>,
    #[serde(rename = "x-envoy-origin-path")]
    origin_path: Text<'a>,
    path: Text<'a>,
    route_name: Text<'a>,
    response_code: Text<'a>,
    upstream_host: Text<'a>,
    upstream_peer_uri_san: Text<'a>,
    #[serde(rename = "x-request-id", alias = "request_id")]
    request_id: Text<'a>,
    trace_id: Text<'a>,
    traceparent: Text<'a>,
    #[serde(rename = "user-agent", alias = "user_agent")]
    user_agent: Text<'a>,
    #[serde(rename = "x-forwarded-for", alias = "x_forwarded_for")]
    forwarded_for: Text<'a>,
    downstream_remote_address: Text<'a>,
    downstream_peer_uri_san: Text<'a>,
    #[serde(rename = "x-forwarded-client-cert")]
    client_cert: Text<'a>,
    consumer: Text<'a>,
    api_key_id: Text<'a>,
    jwt_sub: Text<'a>,
    #[serde(rename = "gen_ai.request.model")]
    model: Text<'a>,
}

/// Reads one line.
pub(super) fn read(json: &str) -> Result<Event<'_>, Problem> {
    let line: Line<'_> = serde_json::from_str(json)?;
    let written = line.start_time.get().ok_or(Problem::missing("start_time"))?;
    let event_time = time::parse(written).ok_or(Problem::bad("start_time"))?;
    let status = line.response_code.number();
    if line.response_code.get().is_some() && status.is_none() {
        return Err(Problem::bad("response_code"));
    }
    let peer =
        line.downstream_peer_uri_san.take().or_else(|| line.client_cert.get().and_then(uri_of_client_cert));
    let consumer = line.consumer.take().or_else(|| line.api_key_id.take()).or_else(|| line.jwt_sub.take());
    let path = line.origin_path.take().or_else(|| line.path.take());
    let trace = line.traceparent.get().and_then(trace_of_parent).map(|t| Cow::Owned(t.to_owned()));
    let request_id = line.request_id.take();
    Ok(Event {
        event_time,
        outcome: status.map_or("unknown", outcome_of_status),
        status_code: status.filter(|s| *s != 0),
        action: line.method.take(),
        principal_kind: if peer.is_some() { "workload" } else { "none" },
        principal: peer.clone(),
        peer,
        credential_kind: consumer.as_ref().map(|_| "gateway_key"),
        credential_attribution: consumer.as_ref().map(|_| 1.0),
        credential_secret: consumer.clone(),
        consumer,
        source_ip: client_address(line.forwarded_for, line.downstream_remote_address),
        user_agent: line.user_agent.take(),
        host: line.authority.take().map(host_of),
        route: line.route_name.take().or_else(|| path.map(first_segments)),
        target: line.upstream_peer_uri_san.take().or_else(|| line.upstream_host.take()),
        model: line.model.take(),
        trace_id: line.trace_id.take().or(trace).or_else(|| request_id.clone()),
        event_id: request_id,
        ..Event::default()
    })
}

/// Lower case, without port; an IPv6 literal keeps its brackets.
fn host_of(authority: Cow<'_, str>) -> Cow<'_, str> {
    let end = match (authority.rfind(':'), authority.rfind(']')) {
        (Some(colon), Some(bracket)) if colon < bracket => authority.len(),
        (Some(colon), _) => colon,
        (None, _) => authority.len(),
    };
    match authority {
        Cow::Borrowed(a) if !a.bytes().any(|b| b.is_ascii_uppercase()) => Cow::Borrowed(&a[..end]),
        other => Cow::Owned(other[..end].to_ascii_lowercase()),
    }
}

/// `/v1/run/7?x=y` is `/v1/run`.
fn first_segments(path: Cow<'_, str>) -> Cow<'_, str> {
    let bare = path.find(['?', '#']).unwrap_or(path.len());
    let end = path[..bare].match_indices('/').nth(2).map_or(bare, |(at, _)| at);
    match path {
        Cow::Borrowed(p) => Cow::Borrowed(&p[..end]),
        Cow::Owned(p) => Cow::Owned(p[..end].to_owned()),
    }
}

fn client_address<'a>(forwarded_for: Text<'a>, remote: Text<'a>) -> Option<Cow<'a, str>> {
    let cut = |text: Cow<'a, str>, end: usize| match text {
        Cow::Borrowed(t) => Cow::Borrowed(t[..end].trim()),
        Cow::Owned(t) => Cow::Owned(t[..end].trim().to_owned()),
    };
    let forwarded = forwarded_for.take().map(|f| {
        let end = f.find(',').unwrap_or(f.len());
        cut(f, end)
    });
    forwarded.or_else(|| {
        remote.take().map(|r| {
            let end = r.rfind(':').unwrap_or(r.len());
            cut(r, end)
        })
    })
}

/// The `URI=` part of the last element: Envoy documentation, "x-forwarded-client-cert".
fn uri_of_client_cert<'a>(header: &str) -> Option<Cow<'a, str>> {
    let element = header.rsplit(',').next()?;
    let uri = element.split(';').find_map(|part| part.trim().strip_prefix("URI="))?;
    Some(Cow::Owned(uri.trim_matches('"').to_owned()))
}

/// W3C Trace Context: version, trace id, parent id, flags.
fn trace_of_parent(parent: &str) -> Option<&str> {
    parent.split('-').nth(1).filter(|id| id.len() == 32)
}
