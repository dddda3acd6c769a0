//! Envoy JSON access log. In: one entry. Out: one event. The layout is the operator's own: read are the
//! keys of Envoy Gateway's default, of Envoy AI Gateway's, of Istio's, and the names that operators commonly give
//! to further command operators: `jwt_sub`, `jwt_jti`, `jwt_uti` for claims that the JWT filter verified. A status
//! that cannot be read rejects the entry; no key but the time is required.
//!
//! <https://www.envoyproxy.io/docs/envoy/latest/configuration/observability/access_log/usage>,
//! <https://www.envoyproxy.io/docs/envoy/latest/configuration/http/http_filters/jwt_authn_filter>,
//! <https://gateway.envoyproxy.io/docs/tasks/observability/proxy-accesslog/>, <https://aigateway.envoyproxy.io/docs/capabilities/observability/accesslogs>,
//! <https://istio.io/latest/docs/tasks/observability/logs/access-log/>,
//! <https://www.envoyproxy.io/docs/envoy/latest/configuration/http/http_conn_man/headers#x-forwarded-client-cert>

use std::borrow::Cow;

use serde::Deserialize;

use super::RejectReason;
use super::columns::{Credential, CredentialKind, Fields, Joined, PrincipalKind};
use super::format::{Family, Layout, read_record};
use super::http;
use super::json::{Number, Refusal, Text, first_of};
use super::time;

pub(super) const LAYOUT: Layout = Layout {
    name: "envoy",
    family: Family::Gateway,
    signatures: &[&["\"start_time\"", "\"response_code\""]],
    read: |text, row| read_record(text, row, fields),
};

#[derive(Deserialize, Default)]
#[serde(default)]
struct Entry<'a> {
    #[serde(borrow)]
    start_time: Text<'a>,
    method: Text<'a>,
    #[serde(rename = ":authority")]
    authority_header: Text<'a>,
    authority: Text<'a>,
    host: Text<'a>,
    #[serde(rename = "x-envoy-origin-path")]
    origin_path: Text<'a>,
    #[serde(rename = "x-envoy-original-path")]
    original_path: Text<'a>,
    path: Text<'a>,
    response_code: Number,
    response_flags: Text<'a>,
    #[serde(rename = "x-forwarded-for")]
    forwarded_for_header: Text<'a>,
    x_forwarded_for: Text<'a>,
    downstream_remote_address: Text<'a>,
    #[serde(rename = "user-agent")]
    user_agent_header: Text<'a>,
    user_agent: Text<'a>,
    #[serde(rename = "x-request-id")]
    request_id_header: Text<'a>,
    request_id: Text<'a>,
    trace_id: Text<'a>,
    traceparent: Text<'a>,
    route_name: Text<'a>,
    upstream_host: Text<'a>,
    upstream_cluster: Text<'a>,
    downstream_peer_uri_san: Text<'a>,
    #[serde(rename = "x-forwarded-client-cert")]
    client_cert_header: Text<'a>,
    x_forwarded_client_cert: Text<'a>,
    consumer: Text<'a>,
    api_key_id: Text<'a>,
    jwt_sub: Text<'a>,
    jwt_jti: Text<'a>,
    jwt_uti: Text<'a>,
    #[serde(rename = "gen_ai.request.model")]
    model: Text<'a>,
    #[serde(rename = "gen_ai.response.model")]
    answering_model: Text<'a>,
    #[serde(rename = "gen_ai.provider.name")]
    model_backend: Text<'a>,
    #[serde(rename = "mcp.tool.name")]
    tool: Text<'a>,
    #[serde(rename = "mcp.provider.name")]
    tool_backend: Text<'a>,
}

/// A workload with an identity of its own presents somebody's token: whom it acts for is known.
const ATTRIBUTION_DELEGATED: f64 = 0.3;

/// The facts of one entry.
fn fields<'r>(entry: &'r Entry<'_>) -> Result<Fields<'r>, Refusal> {
    let request_id = first_of(&[entry.request_id_header.get(), entry.request_id.get()]);
    let consumer = first_of(&[entry.consumer.get(), entry.api_key_id.get(), entry.jwt_sub.get()]);
    let peer = peer(entry);
    Ok(Fields {
        event_time: event_time(entry)?,
        event_id: request_id,
        action: Joined::one(entry.method.get()),
        outcome: http::outcome(entry.response_code, "response_code: not a number")?,
        status_code: entry.response_code.value(),
        principal: Cow::Borrowed(peer),
        principal_kind: if peer.is_empty() { PrincipalKind::None } else { PrincipalKind::Workload },
        credential: credential(entry, peer),
        token: token(entry),
        source_ip: source_ip(entry),
        user_agent: first_of(&[entry.user_agent_header.get(), entry.user_agent.get()]),
        host: http::host(first_of(&[entry.authority_header.get(), entry.authority.get(), entry.host.get()])),
        route: route(entry),
        target: target(entry),
        model: first_of(&[entry.model.get(), entry.answering_model.get()]),
        tool: entry.tool.get(),
        consumer,
        peer,
        trace_id: first_of(&[
            entry.trace_id.get(),
            http::traceparent_id(entry.traceparent.get()),
            request_id,
        ]),
        ..Fields::default()
    })
}

/// The key, else the consumer that it belongs to, else the subject of a verified token.
fn credential<'r>(entry: &'r Entry<'_>, peer: &str) -> Option<Credential<'r>> {
    let key = first_of(&[entry.api_key_id.get(), entry.consumer.get()]);
    let secret = Joined::one(first_of(&[key, entry.jwt_sub.get()]));
    let mut credential = Credential::new(CredentialKind::GatewayKey, secret)?;
    if key.is_empty() && !peer.is_empty() {
        credential.attribution = ATTRIBUTION_DELEGATED;
    }
    Some(credential)
}

/// Id of the token that the gateway verified, as its issuer's log has it: Entra's own tokens name theirs `uti`, which
/// that log repeats, and have a `jti` in some versions, which it does not.
fn token<'r>(entry: &'r Entry<'_>) -> &'r str {
    first_of(&[entry.jwt_uti.get(), entry.jwt_jti.get()])
}

fn event_time(entry: &Entry<'_>) -> Result<i64, Refusal> {
    let text = entry.start_time.get();
    if !text.is_empty() {
        return time::micros(text)
            .ok_or_else(|| Refusal::new(RejectReason::BadField, "start_time: not a time"));
    }
    if entry.response_code == Number::Absent && entry.response_flags.get().is_empty() {
        return Err(Refusal::new(RejectReason::UnknownFormat, "no field of an Envoy access log"));
    }
    Err(Refusal::new(RejectReason::MissingField, "start_time"))
}

fn source_ip<'r>(entry: &'r Entry<'_>) -> &'r str {
    let forwarded = first_of(&[entry.forwarded_for_header.get(), entry.x_forwarded_for.get()]);
    http::client(forwarded, entry.downstream_remote_address.get())
}

fn route<'r>(entry: &'r Entry<'_>) -> &'r str {
    let path = first_of(&[entry.origin_path.get(), entry.original_path.get(), entry.path.get()]);
    first_of(&[entry.route_name.get(), http::first_segments(path)])
}

/// The host that answered; where none was reached, whom Envoy AI Gateway or Envoy itself wanted to reach.
fn target<'r>(entry: &'r Entry<'_>) -> &'r str {
    first_of(&[
        entry.upstream_host.get(),
        entry.tool_backend.get(),
        entry.model_backend.get(),
        entry.upstream_cluster.get(),
    ])
}

fn peer<'r>(entry: &'r Entry<'_>) -> &'r str {
    let san = entry.downstream_peer_uri_san.get().split(',').next().unwrap_or_default().trim();
    let header = first_of(&[entry.client_cert_header.get(), entry.x_forwarded_client_cert.get()]);
    first_of(&[san, last_uri(header)])
}

/// `URI=` of the last element of an `x-forwarded-client-cert` header: the peer that the last proxy
/// verified itself; elements before it were merely forwarded. Quoted parts (a Subject) are skipped.
fn last_uri(header: &str) -> &str {
    let (mut uri, mut start, mut quoted) = ("", 0, false);
    for (at, byte) in header.bytes().chain([b',']).enumerate() {
        match byte {
            b'"' => quoted = !quoted,
            b',' | b';' if !quoted || at == header.len() => {
                let pair = header[start..at].trim();
                uri = pair.strip_prefix("URI=").map_or(uri, |value| value.trim_matches('"'));
                start = at + 1;
            }
            _ => {}
        }
    }
    uri
}
