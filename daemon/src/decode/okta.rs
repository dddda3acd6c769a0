//! Okta's System Log.
//!
//! In: one LogEvent. Out: one [`Event`]. Fields: Okta developer documentation, "System Log API", LogEvent.
//! Literal strings `null` and `unknown` are absent; the org is not in the record.

use std::borrow::Cow;

use serde::Deserialize;

use crate::decode::columns::{Event, Flow};
use crate::decode::json::{First, Object, Text};
use crate::decode::{Problem, time};

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct LogEvent<'a> {
    #[serde(borrow)]
    published: Text<'a>,
    uuid: Text<'a>,
    event_type: Text<'a>,
    actor: Object<Actor<'a>>,
    client: Object<Client<'a>>,
    outcome: Object<Outcome<'a>>,
    target: First<Target<'a>>,
    transaction: Object<Transaction<'a>>,
    authentication_context: Object<AuthenticationContext<'a>>,
    debug_context: Object<DebugContext<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Actor<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    #[serde(rename = "type")]
    kind: Text<'a>,
    alternate_id: Text<'a>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Client<'a> {
    #[serde(borrow)]
    user_agent: Object<UserAgent<'a>>,
    ip_address: Text<'a>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct UserAgent<'a> {
    #[serde(borrow)]
    raw_user_agent: Text<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Outcome<'a> {
    #[serde(borrow)]
    result: Text<'a>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Target<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    alternate_id: Text<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Transaction<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    detail: Object<TransactionDetail<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct TransactionDetail<'a> {
    #[serde(borrow)]
    request_api_token_id: Text<'a>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct AuthenticationContext<'a> {
    #[serde(borrow)]
    external_session_id: Text<'a>,
    root_session_id: Text<'a>,
    credential_type: Text<'a>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct DebugContext<'a> {
    #[serde(borrow)]
    debug_data: Object<DebugData<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct DebugData<'a> {
    #[serde(borrow)]
    dt_hash: Text<'a>,
    factor: Text<'a>,
    grant_type: Text<'a>,
    client_auth_type: Text<'a>,
    known_device: Text<'a>,
    behaviors: Text<'a>,
}

/// Factors that need a person: Okta documentation, "Authenticators".
const INTERACTIVE_FACTORS: &[&str] = &[
    "OTP",
    "SMS",
    "CALL",
    "OKTA_VERIFY_PUSH",
    "WEBAUTHN",
    "FIDO",
    "U2F",
    "SIGNED_NONCE",
    "ASSERTION",
    "EMAIL",
];

/// Reads one event.
pub(super) fn read(json: &str) -> Result<Event<'_>, Problem> {
    let event: LogEvent<'_> = serde_json::from_str(json)?;
    if event.event_type.get().is_none() {
        return Err(Problem::missing("eventType"));
    }
    let written = event.published.get().ok_or(Problem::missing("published"))?;
    let event_time = time::parse(written).ok_or(Problem::bad("published"))?;
    let is_person = event.actor.0.kind.is("User");
    let flow = flow(&event, is_person);
    let (kind, secret) = credential(&event);
    let Actor { id, alternate_id, .. } = event.actor.0;
    let result = event.outcome.0.result;
    Ok(Event {
        event_time,
        event_id: event.uuid.take(),
        action: event.event_type.take(),
        outcome: outcome(result.get()),
        principal_kind: if is_person { "human" } else { "workload" },
        principal: alternate_id.take().or_else(|| id.take()),
        credential_kind: kind,
        credential_attribution: kind.map(|_| 1.0),
        credential_secret: secret,
        source_ip: event.client.0.ip_address.take(),
        user_agent: event.client.0.user_agent.0.raw_user_agent.take(),
        flow,
        target: event.target.0.alternate_id.take().or_else(|| event.target.0.id.take()),
        trace_id: event.transaction.0.id.take(),
        ..Event::default()
    })
}

/// The API token with its actor, else the session.
fn credential<'a>(event: &LogEvent<'a>) -> (Option<&'static str>, Option<Cow<'a, str>>) {
    let actor = event.actor.0.id.get();
    let token = event.transaction.0.detail.0.request_api_token_id.get();
    if let (Some(token), Some(actor)) = (token, actor) {
        return (Some("api_token"), Some(Cow::Owned(format!("{token}\n{actor}"))));
    }
    let context = &event.authentication_context.0;
    match context.root_session_id.clone().take().or_else(|| context.external_session_id.clone().take()) {
        Some(session) => (Some("session"), Some(session)),
        None => (None, None),
    }
}

fn flow(event: &LogEvent<'_>, is_person: bool) -> Flow {
    let debug = &event.debug_context.0.debug_data.0;
    let factor = debug.factor.get().or(event.authentication_context.0.credential_type.get());
    let known = debug.known_device.is_true()
        || debug.behaviors.get().is_some_and(|b| b.contains("New Device=NEGATIVE"));
    let grant = debug.grant_type.get().unwrap_or("");
    let mut flow = Flow::default();
    flow.add_if(
        factor.is_some_and(|f| INTERACTIVE_FACTORS.iter().any(|i| f.eq_ignore_ascii_case(i))),
        "interactive_factor",
    );
    flow.add_if(known, "known_browser");
    flow.add_if(debug.dt_hash.get().is_some(), "device_fingerprint");
    flow.add_if(event.transaction.0.detail.0.request_api_token_id.get().is_some(), "api_token");
    flow.add_if(!is_person && event.actor.0.kind.get().is_some(), "non_user_actor");
    flow.add_if(grant == "client_credentials", "client_credentials");
    flow.add_if(debug.client_auth_type.is("private_key_jwt"), "private_key_jwt");
    flow.add_if(grant == "password", "ropc");
    flow
}

fn outcome(result: Option<&str>) -> &'static str {
    match result {
        Some("SUCCESS" | "ALLOW" | "CHALLENGE") => "success",
        Some("DENY" | "FAILURE") => "denied",
        Some("RATE_LIMIT") => "throttled",
        _ => "unknown",
    }
}
