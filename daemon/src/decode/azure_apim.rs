//! Azure API Management resource logs: of the gateway, and of the language models and the MCP servers behind it.
//! In: one record. Out: one event. The three are written for one call and share its correlation id, which becomes the
//! trace id: only the first says how the call ended, only the second names a model (in as many entries as its messages
//! need), only the third a tool. Messages, tool arguments and session ids are never read.
//!
//! <https://learn.microsoft.com/en-us/azure/api-management/gateway-log-schema-reference>,
//! <https://learn.microsoft.com/en-us/azure/api-management/api-management-howto-llm-logs>,
//! <https://learn.microsoft.com/en-us/azure/azure-monitor/reference/tables/apimanagementgatewayllmlog>,
//! <https://learn.microsoft.com/en-us/azure/azure-monitor/reference/tables/apimanagementgatewaymcplog>

use std::borrow::Cow;

use serde::Deserialize;

use super::RejectReason;
use super::columns::{Credential, CredentialKind, Fields, Joined, PrincipalKind};
use super::format::{Family, Layout, Row};
use super::http;
use super::json::{self, First, Nested, Number, Refusal, Text, first_of};
use super::time;

pub(super) const LAYOUT: Layout = Layout {
    name: "azure_apim",
    family: Family::Gateway,
    signatures: &[
        &["\"GatewayLogs\"", "\"correlationId\""],
        &["\"GatewayLlmLogs\"", "\"correlationId\""],
        &["\"GatewayMCPLogs\"", "\"correlationId\""],
    ],
    read,
};

const CATEGORIES: [&str; 3] = ["GatewayLogs", "GatewayLlmLogs", "GatewayMCPLogs"];

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

/// Of all three logs: none has a field that means something else in another. Written in camel case; the documentation
/// and older entries have them in Pascal case.
#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Properties<'a> {
    #[serde(borrow, alias = "Method")]
    method: Text<'a>,
    #[serde(alias = "Url")]
    url: Text<'a>,
    #[serde(alias = "BackendUrl")]
    backend_url: Text<'a>,
    #[serde(alias = "ResponseCode")]
    response_code: Number,
    #[serde(alias = "ApiId")]
    api_id: Text<'a>,
    #[serde(alias = "ApimSubscriptionId", alias = "SubscriptionId")]
    apim_subscription_id: Text<'a>,
    #[serde(alias = "ProductId")]
    product_id: Text<'a>,
    #[serde(alias = "UserId")]
    user_id: Text<'a>,
    #[serde(alias = "RequestHeaders")]
    request_headers: Nested<'a, Headers<'a>>,
    last_error: Nested<'a, LastError<'a>>,
    #[serde(alias = "LastErrorReason")]
    last_error_reason: Text<'a>,
    #[serde(alias = "Errors")]
    errors: First<Nested<'a, LastError<'a>>>,
    #[serde(alias = "ModelName")]
    model_name: Text<'a>,
    #[serde(alias = "DeploymentName")]
    deployment_name: Text<'a>,
    #[serde(alias = "RequestId")]
    request_id: Text<'a>,
    #[serde(alias = "ToolName")]
    tool_name: Text<'a>,
    #[serde(alias = "ServerName")]
    server_name: Text<'a>,
    #[serde(alias = "McpServerEndpoint")]
    mcp_server_endpoint: Text<'a>,
    #[serde(alias = "ErrorType")]
    error_type: Text<'a>,
}

/// Those that the operator chose to log, named as the client sent them.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Headers<'a> {
    #[serde(borrow, rename = "User-Agent", alias = "user-agent")]
    user_agent: Text<'a>,
    #[serde(rename = "X-Forwarded-For", alias = "x-forwarded-for")]
    forwarded_for: Text<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct LastError<'a> {
    #[serde(borrow)]
    reason: Text<'a>,
}

/// `properties` may be an object or JSON in a string; ids of resources are written in any case.
fn read(text: &str, row: &mut Row<'_>) -> Result<(), Refusal> {
    let record: Record<'_> = json::parse(text)?;
    let resource = record.resource_id.get().to_ascii_lowercase();
    let around = Around { event_time: event_time(&record)?, account: account(&resource) };
    match &record.properties {
        Nested::Object(properties) => row.append(&fields(&record, properties, around)?),
        Nested::Written(written) => {
            let properties: Properties<'_> = json::parse_written(written, "properties: not JSON")?;
            row.append(&fields(&record, &properties, around)?);
        }
        Nested::Absent => return Err(Refusal::new(RejectReason::MissingField, "properties")),
    }
    Ok(())
}

/// What is read before the properties are looked at.
#[derive(Clone, Copy)]
struct Around<'r> {
    event_time: i64,
    account: &'r str,
}

fn fields<'r>(
    record: &'r Record<'_>,
    properties: &'r Properties<'_>,
    around: Around<'r>,
) -> Result<Fields<'r>, Refusal> {
    let (authority, path) = http::url_parts(properties.url.get());
    let headers = properties.request_headers.object();
    let user = properties.user_id.get();
    let subscription = properties.apim_subscription_id.get();
    Ok(Fields {
        event_time: around.event_time,
        event_id: first_of(&[properties.request_id.get(), record.correlation_id.get()]),
        action: Joined::one(first_of(&[properties.method.get(), record.operation_name.get()])),
        outcome: http::outcome(properties.response_code, "responseCode: not a number")?,
        status_code: properties.response_code.value(),
        error: error(properties),
        principal: Cow::Borrowed(user),
        principal_kind: if user.is_empty() { PrincipalKind::None } else { PrincipalKind::Unknown },
        // A product is no credential: many subscriptions share it.
        credential: Credential::new(CredentialKind::GatewayKey, Joined::one(subscription)),
        source_ip: http::client(
            headers.map_or("", |h| h.forwarded_for.get()),
            record.caller_ip_address.get(),
        ),
        user_agent: headers.map_or("", |h| h.user_agent.get()),
        host: http::host(authority),
        route: first_of(&[properties.api_id.get(), http::first_segments(path)]),
        account: around.account,
        region: record.location.get(),
        target: target(properties),
        model: first_of(&[properties.model_name.get(), properties.deployment_name.get()]),
        tool: properties.tool_name.get(),
        consumer: first_of(&[subscription, properties.product_id.get()]),
        trace_id: record.correlation_id.get(),
        ..Fields::default()
    })
}

fn event_time(record: &Record<'_>) -> Result<i64, Refusal> {
    if !CATEGORIES.contains(&record.category.get()) {
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
    first_of(&[last, properties.last_error_reason.get(), first, properties.error_type.get()])
}

/// The host behind the gateway, or the MCP server.
fn target<'r>(properties: &'r Properties<'_>) -> &'r str {
    let (backend, _) = http::url_parts(properties.backend_url.get());
    let (server, _) = http::url_parts(properties.mcp_server_endpoint.get());
    first_of(&[backend, server, properties.server_name.get()])
}

/// `/subscriptions/<id>/resourcegroups/...` gives the id.
fn account(resource: &str) -> &str {
    resource.strip_prefix("/subscriptions/").and_then(|rest| rest.split('/').next()).unwrap_or_default()
}
