//! Apigee. Proxies of APIs export analytics (cloud.google.com, "Export data from Analytics"), which know no host, only
//! organisation and environment; those in front of models write entries of Cloud Logging with a MessageLogging policy,
//! whose keys are the flow variables ("Flow variables reference"). Callers are the apps of developers. Apigee numbers
//! every request itself: what is tried again shares the trace that the client sent, where that is logged.

use serde_json::{Value, json};

use super::{Request, upstream};
use crate::company::{GCP_PRODUCTION, GCP_STAGING};
use crate::dice::Dice;
use crate::template::{Alphabet, Form, blank};

/// The record of a request that was answered so.
pub(super) fn record(request: &Request, status: u16) -> Value {
    if request.target.model.is_some() { logged(request, status) } else { exported(request, status) }
}

/// Organisation and environment.
fn place(request: &Request) -> (&'static str, &'static str) {
    if request.target.is_staging() { (GCP_STAGING, "stage") } else { (GCP_PRODUCTION, "prod") }
}

/// An app's key.
fn key(consumer: &str) -> String {
    Dice::of(40, consumer, 0).id("", Alphabet::Mixed, 48)
}

fn fault(status: u16) -> &'static str {
    match status {
        403 => "steps.raisefault.RaiseFault",
        429 => "policies.ratelimit.SpikeArrestViolation",
        503 => "messaging.adaptors.http.flow.ServiceUnavailable",
        504 => "messaging.adaptors.http.flow.GatewayTimeout",
        _ => "(not set)",
    }
}

fn exported(request: &Request, status: u16) -> Value {
    let Request { caller, target, method, .. } = request;
    let (organization, environment) = place(request);
    let consumer = caller.consumer.as_deref();
    let host = format!("{}.internal.halden.example", target.route);
    json!({
        "organization": organization,
        "environment": environment,
        "apiproxy": target.route,
        "apiproxy_revision": "7",
        "proxy": "default",
        "proxy_basepath": format!("/{}", target.route),
        "request_uri": target.path,
        "request_path": target.path,
        "request_verb": method,
        "response_status_code": status,
        "target": "default",
        "target_host": host,
        "target_url": format!("https://{host}{}", target.path),
        "target_response_code": if status == 403 { json!(null) } else { json!(status) },
        "client_received_start_timestamp": blank::time(Form::EpochMillis),
        "total_response_time": blank::integer(4, target.slowest()),
        "gateway_flow_id": format!("rt-{}-{}-1", blank::number(1_000, 9_999), blank::number(10_000, 9_999_999)),
        "client_id": consumer.map_or_else(|| "(not set)".to_owned(), key),
        "developer_app": consumer.unwrap_or("(not set)"),
        "api_product": "internal",
        "ax_resolved_client_ip": blank::address(),
        "proxy_client_ip": blank::address(),
        "useragent": caller.user_agent,
        "ax_dn_region": "europe-west3",
        "ax_edge_execution_fault_code": fault(status),
        "is_error": u8::from(status >= 400),
        "virtual_host": "default",
    })
}

fn logged(request: &Request, status: u16) -> Value {
    let Request { caller, target, method, .. } = request;
    let (organization, environment) = place(request);
    let consumer = caller.consumer.as_deref();
    json!({
        "insertId": blank::letters(Alphabet::Mixed, 16),
        "jsonPayload": {
            "organization.name": organization,
            "environment.name": environment,
            "apiproxy.name": target.route,
            "apiproxy.revision": "3",
            "messageid": format!("rrt-{}-b-gew4-{}", blank::letters(Alphabet::Hex, 19), blank::number(1_000, 99_999)),
            "request.verb": method,
            "request.uri": target.path,
            "request.header.host": target.host,
            "request.header.user-agent": caller.user_agent,
            "request.header.traceparent": request.traceparent(),
            "response.status.code": status.to_string(),
            "fault.name": if status == 200 { "" } else { fault(status) },
            "system.timestamp": blank::time(Form::EpochMillis),
            "system.region.name": "europe-west3",
            "client.resolved.ip": blank::address(),
            "client_id": consumer.map(key).unwrap_or_default(),
            "developer.app.name": consumer.unwrap_or_default(),
            "target.url": format!("http://{}{}", upstream(), target.path),
        },
        "logName": format!("projects/{organization}/logs/apigee"),
        "resource": { "type": "global", "labels": { "project_id": organization } },
        "severity": "INFO",
        "timestamp": blank::time(Form::Nanos),
    })
}
