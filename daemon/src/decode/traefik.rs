//! Traefik access log, JSON. In: one entry. Out: one event. Which headers it holds is the operator's choice:
//! those that are kept stand as `request_<Name>`.
//!
//! <https://doc.traefik.io/traefik/reference/install-configuration/observability/logs-and-accesslogs/>,
//! pkg/middlewares/accesslog/logdata.go and logger.go in traefik/traefik on GitHub

use std::borrow::Cow;

use serde::Deserialize;

use super::RejectReason;
use super::columns::{Credential, CredentialKind, Fields, Joined, PrincipalKind};
use super::format::{Family, Layout, read_record};
use super::http;
use super::json::{Number, Refusal, Text, first_of};
use super::time;

pub(super) const LAYOUT: Layout = Layout {
    name: "traefik",
    family: Family::Gateway,
    signatures: &[&["\"DownstreamStatus\"", "\"RequestMethod\""]],
    read: |text, row| read_record(text, row, fields),
};

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "PascalCase")]
struct Entry<'a> {
    #[serde(borrow, rename = "StartUTC")]
    start_utc: Text<'a>,
    #[serde(rename = "time")]
    logged_at: Text<'a>,
    request_method: Text<'a>,
    request_host: Text<'a>,
    request_addr: Text<'a>,
    request_path: Text<'a>,
    router_name: Text<'a>,
    service_name: Text<'a>,
    service_addr: Text<'a>,
    downstream_status: Number,
    /// The whole of X-Forwarded-For where the request had it.
    client_host: Text<'a>,
    client_addr: Text<'a>,
    client_username: Text<'a>,
    #[serde(rename = "TraceId")]
    trace_id: Text<'a>,
    /// The same under the name that OpenTelemetry gives it; newer versions write both.
    #[serde(rename = "trace_id")]
    otel_trace_id: Text<'a>,
    #[serde(rename = "request_User-Agent")]
    user_agent: Text<'a>,
    #[serde(rename = "request_X-Forwarded-For")]
    forwarded_for: Text<'a>,
    #[serde(rename = "request_X-Request-Id")]
    request_id: Text<'a>,
    #[serde(rename = "request_Traceparent")]
    traceparent: Text<'a>,
}

fn fields<'r>(entry: &'r Entry<'_>) -> Result<Fields<'r>, Refusal> {
    let consumer = entry.client_username.get();
    let forwarded = first_of(&[kept(&entry.forwarded_for), entry.client_host.get()]);
    let path = http::first_segments(entry.request_path.get());
    Ok(Fields {
        event_time: event_time(entry)?,
        event_id: kept(&entry.request_id),
        action: Joined::one(entry.request_method.get()),
        outcome: http::outcome(entry.downstream_status, "DownstreamStatus: not a number")?,
        status_code: entry.downstream_status.value(),
        principal: Cow::Borrowed(""),
        principal_kind: PrincipalKind::None,
        credential: Credential::new(CredentialKind::GatewayKey, Joined::one(consumer)),
        source_ip: http::client(forwarded, entry.client_addr.get()),
        user_agent: kept(&entry.user_agent),
        host: http::host(first_of(&[entry.request_host.get(), entry.request_addr.get()])),
        route: first_of(&[entry.router_name.get(), path]),
        target: first_of(&[entry.service_addr.get(), entry.service_name.get()]),
        consumer,
        trace_id: first_of(&[
            http::traceparent_id(entry.traceparent.get()),
            entry.trace_id.get(),
            entry.otel_trace_id.get(),
            kept(&entry.request_id),
        ]),
        ..Fields::default()
    })
}

/// A header's value, unless the operator chose to hide it.
fn kept<'r>(header: &'r Text<'_>) -> &'r str {
    if header.get() == "REDACTED" { "" } else { header.get() }
}

/// When the request began; `time` is when its line was written.
fn event_time(entry: &Entry<'_>) -> Result<i64, Refusal> {
    if entry.downstream_status == Number::Absent && entry.request_method.get().is_empty() {
        return Err(Refusal::new(RejectReason::UnknownFormat, "no field of a Traefik access log"));
    }
    let text = first_of(&[entry.start_utc.get(), entry.logged_at.get()]);
    if text.is_empty() {
        return Err(Refusal::new(RejectReason::MissingField, "StartUTC"));
    }
    time::micros(text).ok_or_else(|| Refusal::new(RejectReason::BadField, "StartUTC: not a time"))
}
