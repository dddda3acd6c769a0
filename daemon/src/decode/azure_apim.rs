//! Azure API Management resource logs: the gateway's and its language model log. In: one record. Out: one event.
//! The two are written for the same call and share the correlation id, which becomes the trace id; only the
//! second names a model. Messages to and from models are never read.
//!
//! <https://learn.microsoft.com/en-us/azure/api-management/gateway-log-schema-reference>,
//! <https://learn.microsoft.com/en-us/azure/azure-monitor/reference/tables/apimanagementgatewayllmlog>

use std::borrow::Cow;

use serde::Deserialize;

use super::RejectReason;
use super::columns::{Credential, CredentialKind, Fields, Joined, PrincipalKind};
use super::format::{Family, Layout, read_record};
use super::http;
use super::json::{First, Nested, Number, Refusal, Text, first_of};
use super::time;

pub(super) const LAYOUT: Layout = Layout {
    name: "azure_apim",
    family: Family::Gateway,
    signatures: &[&["\"GatewayLogs\"", "\"correlationId\""], &["\"GatewayLlmLogs\"", "\"correlationId\""]],
    read: |text, row| read_record(text, row, fields),
};

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Record<'a> {
    #[serde(borrow)]
    time: Text<'a>,
    category: Text<'a>,
    operation_name: Text<'a>,
    caller_ip_address: Text<'a>,
    correlation_id: Text<'a>,
    location: Text<'a>,
    resource_id: Text<'a>,
    properties: Nested<'a, Properties<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Properties<'a> {
    #[serde(borrow)]
    method: Text<'a>,
    url: Text<'a>,
    backend_url: Text<'a>,
    response_code: Number,
    api_id: Text<'a>,
    apim_subscription_id: Text<'a>,
    product_id: Text<'a>,
    user_id: Text<'a>,
    last_error: Nested<'a, LastError<'a>>,
    errors: First<Nested<'a, LastError<'a>>>,
    #[serde(alias = "ModelName")]
    model_name: Text<'a>,
    #[serde(alias = "DeploymentName")]
    deployment_name: Text<'a>,
    #[serde(alias = "RequestId")]
    request_id: Text<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct LastError<'a> {
    #[serde(borrow)]
    reason: Text<'a>,
}

fn fields<'r>(record: &'r Record<'_>) -> Result<Fields<'r>, Refusal> {
    let event_time = event_time(record)?;
    let Some(properties) = record.properties.object() else {
        return Err(Refusal::new(RejectReason::MissingField, "properties"));
    };
    let (authority, path) = http::url_parts(properties.url.get());
    let (backend, _) = http::url_parts(properties.backend_url.get());
    let user = properties.user_id.get();
    let consumer = first_of(&[properties.apim_subscription_id.get(), properties.product_id.get()]);
    let correlation_id = record.correlation_id.get();
    Ok(Fields {
        event_time,
        event_id: first_of(&[properties.request_id.get(), correlation_id]),
        action: Joined::one(first_of(&[properties.method.get(), record.operation_name.get()])),
        outcome: http::outcome(properties.response_code, "responseCode: not a number")?,
        status_code: properties.response_code.value(),
        error: error(properties),
        principal: Cow::Borrowed(user),
        principal_kind: if user.is_empty() { PrincipalKind::None } else { PrincipalKind::Unknown },
        // A product is no credential: many subscriptions share it.
        credential: Credential::new(
            CredentialKind::GatewayKey,
            Joined::one(properties.apim_subscription_id.get()),
        ),
        source_ip: http::client("", record.caller_ip_address.get()),
        host: http::host(authority),
        route: first_of(&[properties.api_id.get(), http::first_segments(path)]),
        account: subscription(record.resource_id.get()),
        region: record.location.get(),
        target: backend,
        model: first_of(&[properties.model_name.get(), properties.deployment_name.get()]),
        consumer,
        trace_id: correlation_id,
        ..Fields::default()
    })
}

fn event_time(record: &Record<'_>) -> Result<i64, Refusal> {
    if !matches!(record.category.get(), "GatewayLogs" | "GatewayLlmLogs") {
        return Err(Refusal::new(RejectReason::UnknownFormat, "category: of no API Management gateway log"));
    }
    let text = record.time.get();
    if text.is_empty() {
        return Err(Refusal::new(RejectReason::MissingField, "time"));
    }
    time::micros(text).ok_or_else(|| Refusal::new(RejectReason::BadField, "time: not a time"))
}

fn error<'r>(properties: &'r Properties<'_>) -> &'r str {
    let last = properties.last_error.object().map_or("", |error| error.reason.get());
    let first = properties.errors.0.as_ref().and_then(Nested::object).map_or("", |error| error.reason.get());
    first_of(&[last, first])
}

/// `/SUBSCRIPTIONS/<id>/RESOURCEGROUPS/...` gives the id, in whichever case Azure wrote it.
fn subscription(resource_id: &str) -> &str {
    let mut parts = resource_id.split('/').filter(|part| !part.is_empty());
    match parts.next() {
        Some(first) if first.eq_ignore_ascii_case("subscriptions") => parts.next().unwrap_or_default(),
        Some(_) | None => "",
    }
}
