//! LiteLLM proxy: rows of its spend log, and the standard logging payload that its callbacks send. In: one
//! record. Out: one event. `metadata` may be an object or JSON in a string. Prompts and answers are never kept.
//! `api_key` is the hash that the proxy made of a virtual key: it names the key, and is treated like one.
//!
//! <https://docs.litellm.ai/docs/proxy/logging_spec>, <https://docs.litellm.ai/docs/proxy/cost_tracking>

use std::borrow::Cow;

use serde::Deserialize;

use super::RejectReason;
use super::columns::{Credential, CredentialKind, Fields, Joined, Outcome, PrincipalKind};
use super::format::{Family, Layout, Row};
use super::json::{self, Nested, Number, Refusal, Text, first_of};
use super::time;

pub(super) const LAYOUT: Layout = Layout {
    name: "litellm",
    family: Family::Gateway,
    signatures: &[&["\"call_type\"", "\"startTime\""]],
    read,
};

#[derive(Deserialize, Default)]
#[serde(default)]
struct Call<'a> {
    #[serde(borrow, rename = "startTime")]
    start_time: Text<'a>,
    request_id: Text<'a>,
    id: Text<'a>,
    session_id: Text<'a>,
    trace_id: Text<'a>,
    call_type: Text<'a>,
    status: Text<'a>,
    model: Text<'a>,
    model_group: Text<'a>,
    api_base: Text<'a>,
    custom_llm_provider: Text<'a>,
    api_key: Text<'a>,
    user: Text<'a>,
    team_id: Text<'a>,
    agent_id: Text<'a>,
    requester_ip_address: Text<'a>,
    mcp_namespaced_tool_name: Text<'a>,
    error_information: Nested<'a, ErrorInformation<'a>>,
    metadata: Nested<'a, Metadata<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Metadata<'a> {
    #[serde(borrow)]
    user_api_key: Text<'a>,
    user_api_key_hash: Text<'a>,
    user_api_key_alias: Text<'a>,
    user_api_key_user_id: Text<'a>,
    user_api_key_team_id: Text<'a>,
    user_api_key_team_alias: Text<'a>,
    requester_ip_address: Text<'a>,
    user_agent: Text<'a>,
    status: Text<'a>,
    error_information: Nested<'a, ErrorInformation<'a>>,
    mcp_tool_call_metadata: Nested<'a, ToolCall<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct ErrorInformation<'a> {
    #[serde(borrow)]
    error_class: Text<'a>,
    error_code: Number,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct ToolCall<'a> {
    #[serde(borrow)]
    namespaced_tool_name: Text<'a>,
    name: Text<'a>,
}

fn read(text: &str, row: &mut Row<'_>) -> Result<(), Refusal> {
    let call: Call<'_> = json::parse(text)?;
    if let Nested::Written(written) = &call.metadata {
        let metadata = json::parse_written(written, "metadata: not JSON")?;
        row.append(&fields(&call, &metadata)?);
    } else {
        row.append(&fields(&call, call.metadata.object().unwrap_or(&Metadata::default()))?);
    }
    Ok(())
}

fn fields<'r>(call: &'r Call<'_>, metadata: &'r Metadata<'_>) -> Result<Fields<'r>, Refusal> {
    let error = call.error_information.object().filter(|e| e.is_said());
    let error = error.or(metadata.error_information.object());
    let user = first_of(&[call.user.get(), metadata.user_api_key_user_id.get(), call.agent_id.get()]);
    let key = first_of(&[call.api_key.get(), metadata.user_api_key_hash.get(), metadata.user_api_key.get()]);
    let team = [&call.team_id, &metadata.user_api_key_team_alias, &metadata.user_api_key_team_id];
    let team = first_of(&team.map(Text::get));
    let address = [&call.requester_ip_address, &metadata.requester_ip_address];
    let id = first_of(&[call.request_id.get(), call.id.get()]);
    Ok(Fields {
        event_time: event_time(call)?,
        event_id: id,
        action: Joined::one(call.call_type.get()),
        outcome: outcome(call, metadata, error),
        status_code: error.and_then(|e| e.error_code.value()),
        error: error.map_or("", |e| e.error_class.get()),
        principal: Cow::Borrowed(user),
        principal_kind: if user.is_empty() { PrincipalKind::None } else { PrincipalKind::Unknown },
        credential: Credential::new(CredentialKind::GatewayKey, Joined::one(key)),
        source_ip: first_of(&address.map(Text::get)),
        user_agent: metadata.user_agent.get(),
        route: call.model_group.get(),
        target: first_of(&[call.api_base.get(), call.custom_llm_provider.get()]),
        model: call.model.get(),
        tool: tool(call, metadata),
        consumer: first_of(&[metadata.user_api_key_alias.get(), team]),
        trace_id: first_of(&[call.trace_id.get(), call.session_id.get(), id]),
        ..Fields::default()
    })
}

/// Times are written without a zone, in UTC, or as epoch seconds.
fn event_time(call: &Call<'_>) -> Result<i64, Refusal> {
    if call.call_type.get().is_empty() {
        return Err(Refusal::new(RejectReason::UnknownFormat, "no call_type: not a LiteLLM log"));
    }
    let text = call.start_time.get();
    if text.is_empty() {
        return Err(Refusal::new(RejectReason::MissingField, "startTime"));
    }
    time::micros(text).ok_or_else(|| Refusal::new(RejectReason::BadField, "startTime: not a time"))
}

/// The provider's HTTP status says more than `failure`.
fn outcome(call: &Call<'_>, metadata: &Metadata<'_>, error: Option<&ErrorInformation<'_>>) -> Outcome {
    let code = error.and_then(|e| e.error_code.value());
    match (first_of(&[call.status.get(), metadata.status.get()]), code) {
        ("success", _) => Outcome::Success,
        ("failure", Some(code)) => Outcome::of_http(code),
        ("failure", None) => Outcome::Failure,
        _ => Outcome::Unknown,
    }
}

fn tool<'r>(call: &'r Call<'_>, metadata: &'r Metadata<'_>) -> &'r str {
    let told = metadata.mcp_tool_call_metadata.object();
    let told = told.map_or("", |t| first_of(&[t.namespaced_tool_name.get(), t.name.get()]));
    first_of(&[call.mcp_namespaced_tool_name.get(), told])
}

impl ErrorInformation<'_> {
    /// Calls that went well carry one of empty texts.
    fn is_said(&self) -> bool {
        self.error_code.value().is_some() || !self.error_class.get().is_empty()
    }
}
