//! Okta System Log. In: one LogEvent. Out: one event. The record does not name its org: that comes from the
//! source's config.
//!
//! <https://developer.okta.com/docs/api/openapi/okta-management/management/tag/SystemLog/>,
//! <https://developer.okta.com/docs/reference/api/event-types/>, <https://developer.okta.com/docs/concepts/event-hooks/>

use std::borrow::Cow;

use serde::Deserialize;

use super::RejectReason;
use super::columns::{Credential, CredentialKind, Fields, Flow, FlowWord, Joined, Outcome, PrincipalKind};
use super::format::{Family, Layout, read_record};
use super::json::{First, Many, Nested, Refusal, Text, first_of};
use super::time;

pub(super) const LAYOUT: Layout = Layout {
    name: "okta",
    family: Family::Identity,
    signatures: &[&["\"published\"", "\"eventType\"", "\"actor\""]],
    read: |text, row| read_record(text, row, fields),
};

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct LogEvent<'a> {
    #[serde(borrow)]
    published: Text<'a>,
    uuid: Text<'a>,
    event_type: Text<'a>,
    actor: Nested<'a, Actor<'a>>,
    client: Nested<'a, Client<'a>>,
    debug_context: Nested<'a, DebugContext<'a>>,
    outcome: Nested<'a, Verdict<'a>>,
    request: Nested<'a, Request<'a>>,
    /// In no order that means anything: targets are told by their type.
    target: Many<Nested<'a, Target<'a>>>,
    transaction: Nested<'a, Transaction<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Actor<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    r#type: Text<'a>,
    #[serde(rename = "alternateId")]
    alternate_id: Text<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Client<'a> {
    #[serde(borrow)]
    user_agent: Nested<'a, UserAgent<'a>>,
    ip_address: Text<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct UserAgent<'a> {
    #[serde(borrow)]
    raw_user_agent: Text<'a>,
    browser: Text<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct DebugContext<'a> {
    #[serde(borrow)]
    debug_data: Nested<'a, DebugData<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct DebugData<'a> {
    #[serde(borrow)]
    device_fingerprint: Text<'a>,
    factor: Text<'a>,
    grant_type: Text<'a>,
    client_auth_type: Text<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Verdict<'a> {
    #[serde(borrow)]
    result: Text<'a>,
    reason: Text<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Request<'a> {
    #[serde(borrow)]
    ip_chain: First<Nested<'a, Hop<'a>>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Hop<'a> {
    #[serde(borrow)]
    ip: Text<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Target<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    r#type: Text<'a>,
    display_name: Text<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Transaction<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    detail: Nested<'a, TransactionDetail<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct TransactionDetail<'a> {
    #[serde(borrow)]
    request_api_token_id: Text<'a>,
}

impl LogEvent<'_> {
    fn debug(&self) -> Option<&DebugData<'_>> {
        self.debug_context.object()?.debug_data.object()
    }

    fn api_token(&self) -> &str {
        self.transaction
            .object()
            .and_then(|t| t.detail.object())
            .map_or("", |detail| detail.request_api_token_id.get())
    }

    fn targets(&self) -> impl Iterator<Item = &Target<'_>> {
        self.target.0.iter().filter_map(Nested::object)
    }

    fn target_of(&self, kind: &str) -> &str {
        self.targets().find(|t| t.r#type.get() == kind).map_or("", |t| t.id.get())
    }

    /// The user who holds the token that the event grants: of a client that could prove no identity of its own, a
    /// program in the user's hands. A client with one holds what it gets for a user itself.
    fn holder(&self) -> &str {
        let public = self.debug().is_some_and(|d| d.client_auth_type.get() == "none");
        if public && self.event_type.get().contains(".token.grant") { self.target_of("User") } else { "" }
    }
}

/// The facts of one LogEvent.
fn fields<'r>(event: &'r LogEvent<'_>) -> Result<Fields<'r>, Refusal> {
    let Some(actor) = event.actor.object() else {
        return Err(missing(event, "actor"));
    };
    let event_type = event.event_type.get();
    if event_type.is_empty() {
        return Err(missing(event, "eventType"));
    }
    let client = event.client.object();
    let agent = client.and_then(|c| c.user_agent.object());
    Ok(Fields {
        event_time: event_time(event)?,
        event_id: event.uuid.get(),
        action: Joined::one(event_type),
        outcome: outcome(event),
        error: error(event),
        issued: issued(event),
        principal: Cow::Borrowed(first_of(&[event.holder(), actor.id.get(), actor.alternate_id.get()])),
        principal_kind: principal_kind(event, actor),
        credential: credential(event, actor),
        token: event.api_token(),
        source_ip: source_ip(event),
        user_agent: agent.map_or("", |a| a.raw_user_agent.get()),
        flow: flow(event, actor),
        target: target(event),
        trace_id: event.transaction.object().map_or("", |t| t.id.get()),
        ..Fields::default()
    })
}

fn missing(event: &LogEvent<'_>, field: &'static str) -> Refusal {
    if event.published.get().is_empty() || event.event_type.get().is_empty() {
        return Refusal::new(RejectReason::UnknownFormat, "not an Okta System Log event");
    }
    Refusal::new(RejectReason::MissingField, field)
}

fn event_time(event: &LogEvent<'_>) -> Result<i64, Refusal> {
    let text = event.published.get();
    if text.is_empty() {
        return Err(Refusal::new(RejectReason::MissingField, "published"));
    }
    time::micros(text).ok_or_else(|| Refusal::new(RejectReason::BadField, "published: not a time"))
}

/// FAILURE of an authentication is a denial; of anything else a refused request.
fn outcome(event: &LogEvent<'_>) -> Outcome {
    let event_type = event.event_type.get();
    if event_type.contains("rate_limit") || event_type.contains("limit.violation") {
        return Outcome::Throttled;
    }
    match event.outcome.object().map_or("", |o| o.result.get()) {
        "SUCCESS" | "ALLOW" => Outcome::Success,
        "DENY" => Outcome::Denied,
        "RATE_LIMIT" => Outcome::Throttled,
        "FAILURE" if is_authentication(event_type) => Outcome::Denied,
        "FAILURE" => Outcome::Rejected,
        _ => Outcome::Unknown,
    }
}

/// Okta gives reasons for what went well, too.
fn error<'r>(event: &'r LogEvent<'_>) -> &'r str {
    match outcome(event) {
        Outcome::Success | Outcome::Unknown => "",
        Outcome::Failure | Outcome::Denied | Outcome::Throttled | Outcome::Rejected => {
            event.outcome.object().map_or("", |o| o.reason.get())
        }
    }
}

/// The API token that the event made, or the access token that it granted: a JWT has the latter's id as `jti`.
fn issued<'r>(event: &'r LogEvent<'_>) -> &'r str {
    match event.event_type.get() {
        "system.api_token.create" => event.target_of("Token"),
        name if name.contains(".token.grant") && outcome(event) == Outcome::Success => {
            event.target_of("access_token")
        }
        _ => "",
    }
}

fn is_authentication(event_type: &str) -> bool {
    ["user.session.", "user.authentication.", "app.oauth2.", "policy."]
        .iter()
        .any(|prefix| event_type.starts_with(prefix))
}

/// A user's API token may be anybody's: its kind is unknown.
fn principal_kind(event: &LogEvent<'_>, actor: &Actor<'_>) -> PrincipalKind {
    match actor.r#type.get() {
        _ if !event.holder().is_empty() => PrincipalKind::Human,
        "User" if event.api_token().is_empty() => PrincipalKind::Human,
        "User" | "" => PrincipalKind::Unknown,
        _ => PrincipalKind::Workload,
    }
}

/// API token and its actor; else the user who is there, whatever the session; else the OAuth client. A failed
/// sign-in used nobody's password, and what Okta itself does (SystemPrincipal) uses no credential of ours.
fn credential<'r>(event: &'r LogEvent<'_>, actor: &'r Actor<'_>) -> Option<Credential<'r>> {
    let token = event.api_token();
    if !token.is_empty() {
        return Credential::new(CredentialKind::ApiToken, Joined::two(token, actor.id.get()));
    }
    let holder = event.holder();
    match actor.r#type.get() {
        _ if !holder.is_empty() => Credential::new(CredentialKind::UserObject, Joined::one(holder)),
        "User" | "" if outcome(event) == Outcome::Success => {
            Credential::new(CredentialKind::UserObject, Joined::one(actor.id.get()))
        }
        "User" | "" | "SystemPrincipal" => None,
        _ => Credential::new(CredentialKind::ServicePrincipal, Joined::one(actor.id.get())),
    }
}

fn source_ip<'r>(event: &'r LogEvent<'_>) -> &'r str {
    let client = event.client.object().map_or("", |c| c.ip_address.get());
    let hop = event.request.object().and_then(|r| r.ip_chain.0.as_ref()).and_then(Nested::object);
    first_of(&[client, hop.map_or("", |h| h.ip.get())])
}

/// The application, if one is named, else whatever is named first.
fn target<'r>(event: &'r LogEvent<'_>) -> &'r str {
    if let Some(application) = event.targets().find(|t| t.r#type.get() == "AppInstance") {
        return first_of(&[application.display_name.get(), application.id.get()]);
    }
    event.targets().next().map_or("", |t| first_of(&[t.id.get(), t.display_name.get()]))
}

fn flow(event: &LogEvent<'_>, actor: &Actor<'_>) -> Flow {
    let agent = event.client.object().and_then(|c| c.user_agent.object());
    let debug = event.debug();
    let said = |fact: fn(&DebugData<'_>) -> bool| debug.is_some_and(fact);
    let mut flow = Flow::default();
    flow.set(FlowWord::KnownBrowser, agent.is_some_and(|a| !a.browser.get().is_empty()));
    flow.set(FlowWord::InteractiveFactor, is_factor(event, debug));
    flow.set(FlowWord::DeviceFingerprint, said(|d| !d.device_fingerprint.get().is_empty()));
    flow.set(FlowWord::ApiToken, !event.api_token().is_empty());
    let user = matches!(actor.r#type.get(), "User" | "") || !event.holder().is_empty();
    flow.set(FlowWord::NonUserActor, !user);
    flow.set(FlowWord::ClientCredentials, said(|d| d.grant_type.get() == "client_credentials"));
    flow.set(FlowWord::PrivateKeyJwt, said(|d| d.client_auth_type.get() == "private_key_jwt"));
    flow
}

fn is_factor(event: &LogEvent<'_>, debug: Option<&DebugData<'_>>) -> bool {
    let factor = debug.map_or("", |d| d.factor.get());
    let by_event =
        ["user.authentication.auth_via_mfa", "user.authentication.verify"].contains(&event.event_type.get());
    let by_factor = !factor.is_empty() && !factor.contains("PASSWORD");
    outcome(event) == Outcome::Success && (by_event || by_factor)
}
