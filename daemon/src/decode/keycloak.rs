//! Keycloak events, as its event listeners write them in JSON. In: one user event or one admin event. Out: one
//! event. Keycloak logs no user agent. What an admin event says of the changed object is never kept.
//!
//! <https://www.keycloak.org/docs/latest/server_admin/#configuring-auditing-to-track-events>,
//! <https://www.keycloak.org/docs-api/latest/javadocs/org/keycloak/events/Event.html>,
//! <https://www.keycloak.org/docs-api/latest/javadocs/org/keycloak/events/admin/AdminEvent.html>; EventType.java and
//! Details.java in keycloak/keycloak on GitHub

use std::borrow::Cow;

use serde::Deserialize;

use super::RejectReason;
use super::columns::{Credential, CredentialKind, Fields, Flow, FlowWord, Joined, Outcome, PrincipalKind};
use super::format::{Family, Layout, read_record};
use super::json::{Nested, Refusal, Text, first_of};
use super::time;

pub(super) const LAYOUT: Layout = Layout {
    name: "keycloak",
    family: Family::Identity,
    signatures: &[
        &["\"realmId\"", "\"ipAddress\"", "\"type\""],
        &["\"realmId\"", "\"operationType\"", "\"authDetails\""],
    ],
    read: |text, row| read_record(text, row, fields),
};

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Event<'a> {
    #[serde(borrow)]
    time: Text<'a>,
    id: Text<'a>,
    r#type: Text<'a>,
    realm_id: Text<'a>,
    realm_name: Text<'a>,
    client_id: Text<'a>,
    user_id: Text<'a>,
    session_id: Text<'a>,
    ip_address: Text<'a>,
    error: Text<'a>,
    details: Nested<'a, Details<'a>>,
    operation_type: Text<'a>,
    resource_type: Text<'a>,
    resource_path: Text<'a>,
    auth_details: Nested<'a, AuthDetails<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Details<'a> {
    #[serde(borrow)]
    username: Text<'a>,
    grant_type: Text<'a>,
    client_auth_method: Text<'a>,
    token_id: Text<'a>,
    refresh_token_id: Text<'a>,
    impersonator: Text<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct AuthDetails<'a> {
    #[serde(borrow)]
    client_id: Text<'a>,
    user_id: Text<'a>,
    ip_address: Text<'a>,
}

fn fields<'r>(event: &'r Event<'_>) -> Result<Fields<'r>, Refusal> {
    let common = Fields {
        event_time: event_time(event)?,
        event_id: event.id.get(),
        error: event.error.get(),
        account: first_of(&[event.realm_name.get(), event.realm_id.get()]),
        ..Fields::default()
    };
    Ok(match event.auth_details.object() {
        Some(auth) if !event.operation_type.get().is_empty() => admin_event(event, auth, common),
        Some(_) | None if event.r#type.get() == "IMPERSONATE" => impersonation(event, common),
        Some(_) | None => user_event(event, common),
    })
}

/// Epoch milliseconds; some listeners write seconds.
fn event_time(event: &Event<'_>) -> Result<i64, Refusal> {
    if first_of(&[event.r#type.get(), event.operation_type.get()]).is_empty() {
        return Err(Refusal::new(
            RejectReason::UnknownFormat,
            "neither type nor operationType: no Keycloak event",
        ));
    }
    let text = event.time.get();
    if text.is_empty() {
        return Err(Refusal::new(RejectReason::MissingField, "time"));
    }
    time::micros(text).ok_or_else(|| Refusal::new(RejectReason::BadField, "time: not a time"))
}

/// Who changed what. Only the console's client says that the admin is a person.
fn admin_event<'r>(event: &'r Event<'_>, auth: &'r AuthDetails<'_>, common: Fields<'r>) -> Fields<'r> {
    let failed = !event.error.get().is_empty();
    let console = auth.client_id.get() == "security-admin-console";
    let mut flow = Flow::default();
    flow.set(FlowWord::Interactive, console);
    Fields {
        action: Joined::two(event.operation_type.get(), event.resource_type.get()),
        outcome: if failed { Outcome::Rejected } else { Outcome::Success },
        principal: Cow::Borrowed(auth.user_id.get()),
        principal_kind: if console { PrincipalKind::Human } else { PrincipalKind::Unknown },
        credential: Credential::new(CredentialKind::UserObject, Joined::one(auth.user_id.get())),
        source_ip: auth.ip_address.get(),
        flow,
        target: event.resource_path.get(),
        consumer: auth.client_id.get(),
        ..common
    }
}

/// An administrator opened a session as the user whom the event is about.
fn impersonation<'r>(event: &'r Event<'_>, common: Fields<'r>) -> Fields<'r> {
    let impersonator = event.details.object().map_or("", |d| d.impersonator.get());
    Fields {
        action: Joined::one(event.r#type.get()),
        outcome: outcome(event),
        principal: Cow::Borrowed(impersonator),
        principal_kind: if impersonator.is_empty() { PrincipalKind::None } else { PrincipalKind::Human },
        session_name: event.user_id.get(),
        issued: event.session_id.get(),
        source_ip: event.ip_address.get(),
        target: event.client_id.get(),
        ..common
    }
}

fn user_event<'r>(event: &'r Event<'_>, common: Fields<'r>) -> Fields<'r> {
    let outcome = outcome(event);
    let success = outcome == Outcome::Success;
    let username = event.details.object().map_or("", |d| d.username.get());
    let service = is_client_login(event) || username.starts_with("service-account-");
    let user = first_of(&[event.user_id.get(), username]);
    let who = if service { first_of(&[event.client_id.get(), user]) } else { user };
    let (kind, principal_kind) = match service {
        true => (CredentialKind::ServicePrincipal, PrincipalKind::Workload),
        false if who.is_empty() => (CredentialKind::UserObject, PrincipalKind::None),
        false => (CredentialKind::UserObject, PrincipalKind::Human),
    };
    Fields {
        action: Joined::one(event.r#type.get()),
        outcome,
        principal: Cow::Borrowed(who),
        principal_kind,
        credential: success.then(|| Credential::new(kind, Joined::one(who))).flatten(),
        token: if success { token(event) } else { "" },
        issued: if success { issued(event) } else { "" },
        source_ip: event.ip_address.get(),
        flow: flow(event, success),
        target: event.client_id.get(),
        ..common
    }
}

/// Events of who proves who they are, with whatever grant or token.
const AUTHENTICATIONS: [&str; 13] = [
    "LOGIN",
    "CLIENT_LOGIN",
    "CODE_TO_TOKEN",
    "REFRESH_TOKEN",
    "TOKEN_EXCHANGE",
    "IDENTITY_PROVIDER_LOGIN",
    "OAUTH2_DEVICE_CODE_TO_TOKEN",
    "AUTHREQID_TO_TOKEN",
    "PERMISSION_TOKEN",
    "JWT_BEARER",
    "OAUTH2_EXTENSION_GRANT",
    "INTROSPECT_TOKEN",
    "USER_INFO_REQUEST",
];

/// A failure has a type of its own, `LOGIN_ERROR`; of an authentication it is a denial, of the rest a refusal.
fn outcome(event: &Event<'_>) -> Outcome {
    let name = event.r#type.get();
    if !name.ends_with("_ERROR") && event.error.get().is_empty() {
        return Outcome::Success;
    }
    let plain = name.strip_suffix("_ERROR").unwrap_or(name);
    if AUTHENTICATIONS.contains(&plain) { Outcome::Denied } else { Outcome::Rejected }
}

fn is_client_login(event: &Event<'_>) -> bool {
    matches!(event.r#type.get(), "CLIENT_LOGIN" | "CLIENT_LOGIN_ERROR")
}

/// A login opens its session; every other event happened in one.
fn token<'r>(event: &'r Event<'_>) -> &'r str {
    let refresh = event.details.object().map_or("", |d| d.refresh_token_id.get());
    match event.r#type.get() {
        "LOGIN" | "CLIENT_LOGIN" => "",
        "REFRESH_TOKEN" => first_of(&[refresh, event.session_id.get()]),
        _ => event.session_id.get(),
    }
}

fn issued<'r>(event: &'r Event<'_>) -> &'r str {
    let token = event.details.object().map_or("", |d| d.token_id.get());
    match event.r#type.get() {
        "LOGIN" | "CLIENT_LOGIN" => first_of(&[token, event.session_id.get()]),
        _ => token,
    }
}

/// A password that a program sent is logged as a LOGIN with the grant type `password`.
fn flow(event: &Event<'_>, success: bool) -> Flow {
    let details = event.details.object();
    let said = |fact: fn(&Details<'_>) -> bool| details.is_some_and(fact);
    let ropc = said(|d| d.grant_type.get() == "password");
    let mut flow = Flow::default();
    flow.set(FlowWord::ClientCredentials, is_client_login(event));
    flow.set(FlowWord::PrivateKeyJwt, said(|d| d.client_auth_method.get() == "client-jwt"));
    flow.set(FlowWord::Interactive, success && event.r#type.get() == "LOGIN" && !ropc);
    flow.set(FlowWord::NonInteractive, event.r#type.get() == "REFRESH_TOKEN");
    flow.set(FlowWord::Ropc, ropc);
    flow.set(FlowWord::Delegated, is_delegated(event));
    flow
}

/// A client may have got the token as itself, to act for the user. Keycloak writes `client-secret` for clients
/// without a secret, too: the word proves nothing, and counts as if it did.
fn is_delegated(event: &Event<'_>) -> bool {
    let authenticated = event.details.object().is_some_and(|d| !d.client_auth_method.get().is_empty());
    match event.r#type.get() {
        "TOKEN_EXCHANGE" => true,
        "CODE_TO_TOKEN" | "REFRESH_TOKEN" => authenticated,
        _ => false,
    }
}
