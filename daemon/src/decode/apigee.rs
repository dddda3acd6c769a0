//! Apigee. In: a record of the analytics export, or what a MessageLogging policy wrote, alone or as the `jsonPayload`
//! of a Cloud Logging entry. Out: one event. The policy's keys are the operator's own: read are the names of flow
//! variables, and those of Google's published sample. Bodies are never read.
//!
//! <https://cloud.google.com/apigee/docs/api-platform/analytics/export-data>,
//! <https://cloud.google.com/apigee/docs/api-platform/analytics/analytics-reference>,
//! <https://cloud.google.com/apigee/docs/api-platform/reference/variables-reference>,
//! cloud-logging/apiproxy/policies/ML-CloudLogging.xml in GoogleCloudPlatform/apigee-samples on GitHub

use serde::Deserialize;

use super::RejectReason;
use super::columns::{Credential, CredentialKind, Fields, Joined};
use super::format::{Family, Layout, Row};
use super::http;
use super::json::{self, Nested, Number, Refusal, Text, first_of};
use super::time;

pub(super) const LAYOUT: Layout = Layout {
    name: "apigee",
    family: Family::Gateway,
    signatures: &[
        &["\"client_received_start_timestamp\"", "\"apiproxy\""],
        &["\"apiproxy.name\""],
        &["\"organization\"", "\"environment\"", "\"proxy\"", "\"verb\""],
    ],
    read,
};

/// An entry of Cloud Logging.
#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct LogEntry<'a> {
    #[serde(borrow)]
    json_payload: Nested<'a, Record<'a>>,
    timestamp: Text<'a>,
    insert_id: Text<'a>,
}

/// Each fact under its analytics dimension, its flow variable, and the sample's short name where it has one.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Record<'a> {
    #[serde(borrow)]
    client_received_start_timestamp: Text<'a>,
    #[serde(rename = "client.received.start.timestamp")]
    client_received: Text<'a>,
    #[serde(rename = "system.timestamp")]
    system_timestamp: Text<'a>,
    timestamp: Text<'a>,
    gateway_flow_id: Text<'a>,
    messageid: Text<'a>,
    organization: Text<'a>,
    #[serde(rename = "organization.name")]
    organization_name: Text<'a>,
    environment: Text<'a>,
    #[serde(rename = "environment.name")]
    environment_name: Text<'a>,
    apiproxy: Text<'a>,
    #[serde(rename = "apiproxy.name")]
    apiproxy_name: Text<'a>,
    proxy: Text<'a>,
    request_verb: Text<'a>,
    #[serde(rename = "request.verb")]
    verb_variable: Text<'a>,
    verb: Text<'a>,
    response_status_code: Number,
    #[serde(rename = "response.status.code")]
    status_variable: Number,
    #[serde(rename = "response.code")]
    status_short: Number,
    ax_edge_execution_fault_code: Text<'a>,
    #[serde(rename = "fault.name")]
    fault_name: Text<'a>,
    client_id: Text<'a>,
    access_token: Text<'a>,
    developer_app: Text<'a>,
    #[serde(rename = "developer.app.name")]
    developer_app_name: Text<'a>,
    x_forwarded_for_ip: Text<'a>,
    #[serde(rename = "request.header.x-forwarded-for")]
    forwarded_for: Text<'a>,
    ax_resolved_client_ip: Text<'a>,
    proxy_client_ip: Text<'a>,
    #[serde(rename = "proxy.client.ip")]
    proxy_client: Text<'a>,
    #[serde(rename = "client.ip")]
    client: Text<'a>,
    useragent: Text<'a>,
    #[serde(rename = "request.header.user-agent")]
    user_agent: Text<'a>,
    #[serde(rename = "request.header.host")]
    host: Text<'a>,
    request_uri: Text<'a>,
    #[serde(rename = "request.uri")]
    uri: Text<'a>,
    target_host: Text<'a>,
    #[serde(rename = "target.host")]
    target: Text<'a>,
}

/// What the entry around a record says of it.
#[derive(Clone, Copy, Default)]
struct Around<'r> {
    timestamp: &'r str,
    insert_id: &'r str,
}

fn read(text: &str, row: &mut Row<'_>) -> Result<(), Refusal> {
    if text.contains("\"jsonPayload\"") {
        let entry: LogEntry<'_> = json::parse(text)?;
        if let Some(record) = entry.json_payload.object() {
            let around = Around { timestamp: entry.timestamp.get(), insert_id: entry.insert_id.get() };
            row.append(&fields(record, around)?);
            return Ok(());
        }
    }
    let record: Record<'_> = json::parse(text)?;
    row.append(&fields(&record, Around::default())?);
    Ok(())
}

fn fields<'r>(record: &'r Record<'_>, around: Around<'r>) -> Result<Fields<'r>, Refusal> {
    let id = first_of(&[record.gateway_flow_id.get(), record.messageid.get(), around.insert_id]);
    let status = first_number(&[record.response_status_code, record.status_variable, record.status_short]);
    let path = first_of(&[record.request_uri.get(), record.uri.get()]);
    let forwarded = first_of(&[record.x_forwarded_for_ip.get(), record.forwarded_for.get()]);
    Ok(Fields {
        event_time: event_time(record, around)?,
        event_id: id,
        action: Joined::one(first_of(&[
            record.request_verb.get(),
            record.verb_variable.get(),
            record.verb.get(),
        ])),
        outcome: http::outcome(status, "response_status_code: not a number")?,
        status_code: status.value(),
        error: first_of(&[set(&record.ax_edge_execution_fault_code), set(&record.fault_name)]),
        // The consumer key is what the application sends: a secret.
        credential: Credential::new(CredentialKind::GatewayKey, Joined::one(set(&record.client_id))),
        token: set(&record.access_token),
        source_ip: http::client(forwarded, seen_ip(record)),
        user_agent: first_of(&[set(&record.useragent), set(&record.user_agent)]),
        host: http::host(record.host.get()),
        route: first_of(&[proxy(record), http::first_segments(path)]),
        account: first_of(&[record.organization.get(), record.organization_name.get()]),
        environment: first_of(&[record.environment.get(), record.environment_name.get()]),
        target: first_of(&[set(&record.target_host), set(&record.target)]),
        consumer: first_of(&[set(&record.developer_app), set(&record.developer_app_name)]),
        trace_id: id,
        ..Fields::default()
    })
}

/// Analytics write `(not set)` for what a call did not have.
fn set<'r>(dimension: &'r Text<'_>) -> &'r str {
    if dimension.get() == "(not set)" { "" } else { dimension.get() }
}

fn proxy<'r>(record: &'r Record<'_>) -> &'r str {
    first_of(&[record.apiproxy.get(), record.apiproxy_name.get(), record.proxy.get()])
}

fn seen_ip<'r>(record: &'r Record<'_>) -> &'r str {
    first_of(&[
        record.ax_resolved_client_ip.get(),
        record.proxy_client_ip.get(),
        record.proxy_client.get(),
        record.client.get(),
    ])
}

fn event_time(record: &Record<'_>, around: Around<'_>) -> Result<i64, Refusal> {
    if proxy(record).is_empty() {
        return Err(Refusal::new(RejectReason::UnknownFormat, "names no API proxy: not an Apigee record"));
    }
    let text = first_of(&[
        record.client_received_start_timestamp.get(),
        record.client_received.get(),
        record.system_timestamp.get(),
        record.timestamp.get(),
        around.timestamp,
    ]);
    if text.is_empty() {
        return Err(Refusal::new(RejectReason::MissingField, "client_received_start_timestamp"));
    }
    let otherwise = "client_received_start_timestamp: not a time";
    time::micros(text).ok_or_else(|| Refusal::new(RejectReason::BadField, otherwise))
}

fn first_number(numbers: &[Number]) -> Number {
    numbers.iter().copied().find(|number| *number != Number::Absent).unwrap_or_default()
}
