//! Amazon API Gateway access log of REST, HTTP and WebSocket APIs. In: one entry. Out: one event. The keys are the
//! operator's own: read are the names of the `$context` variables, nested, with dots, or as AWS's own examples
//! shorten them (`ip`, `user`, `caller`). A raw API key is kept as its keyed hash only. Other keys: a layout.
//!
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-logging.html>,
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-variables-for-access-logging.html>,
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-logging-variables.html>

use std::borrow::Cow;

use serde::Deserialize;

use super::RejectReason;
use super::arn;
use super::columns::{Credential, CredentialKind, Fields, Joined, PrincipalKind};
use super::format::{Family, Layout, read_record};
use super::http;
use super::json::{Nested, Number, Refusal, Text, first_of};
use super::time;

pub(super) const LAYOUT: Layout = Layout {
    name: "aws_api_gateway",
    family: Family::Gateway,
    signatures: &[
        &["\"requestTime\"", "\"httpMethod\""],
        &["\"requestTimeEpoch\"", "\"status\""],
        &["\"requestTime\"", "\"routeKey\""],
    ],
    read: |text, row| read_record(text, row, fields),
};

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Entry<'a> {
    #[serde(borrow)]
    request_time_epoch: Text<'a>,
    request_time: Text<'a>,
    request_id: Text<'a>,
    http_method: Text<'a>,
    route_key: Text<'a>,
    resource_path: Text<'a>,
    path: Text<'a>,
    status: Number,
    stage: Text<'a>,
    domain_name: Text<'a>,
    api_id: Text<'a>,
    account_id: Text<'a>,
    xray_trace_id: Text<'a>,
    ip: Text<'a>,
    source_ip: Text<'a>,
    user_agent: Text<'a>,
    user: Text<'a>,
    caller: Text<'a>,
    user_arn: Text<'a>,
    api_key: Text<'a>,
    api_key_id: Text<'a>,
    access_key: Text<'a>,
    principal_id: Text<'a>,
    identity: Nested<'a, Identity<'a>>,
    authorizer: Nested<'a, Authorizer<'a>>,
    error: Nested<'a, Failure<'a>>,
    #[serde(rename = "identity.sourceIp")]
    identity_source_ip: Text<'a>,
    #[serde(rename = "identity.userAgent")]
    identity_user_agent: Text<'a>,
    #[serde(rename = "identity.user")]
    identity_user: Text<'a>,
    #[serde(rename = "identity.caller")]
    identity_caller: Text<'a>,
    #[serde(rename = "identity.userArn")]
    identity_user_arn: Text<'a>,
    #[serde(rename = "identity.apiKey")]
    identity_api_key: Text<'a>,
    #[serde(rename = "identity.apiKeyId")]
    identity_api_key_id: Text<'a>,
    #[serde(rename = "identity.accessKey")]
    identity_access_key: Text<'a>,
    #[serde(rename = "authorizer.principalId")]
    authorizer_principal_id: Text<'a>,
    #[serde(rename = "authorizer.claims.sub")]
    claims_sub: Text<'a>,
    #[serde(rename = "authorizer.claims.jti")]
    claims_jti: Text<'a>,
    #[serde(rename = "error.responseType")]
    error_response_type: Text<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Identity<'a> {
    #[serde(borrow)]
    source_ip: Text<'a>,
    user_agent: Text<'a>,
    user: Text<'a>,
    caller: Text<'a>,
    user_arn: Text<'a>,
    api_key: Text<'a>,
    api_key_id: Text<'a>,
    access_key: Text<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Authorizer<'a> {
    #[serde(borrow)]
    principal_id: Text<'a>,
    claims: Nested<'a, Claims<'a>>,
    jwt: Nested<'a, Jwt<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Jwt<'a> {
    #[serde(borrow)]
    claims: Nested<'a, Claims<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Claims<'a> {
    #[serde(borrow)]
    sub: Text<'a>,
    jti: Text<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Failure<'a> {
    #[serde(borrow)]
    response_type: Text<'a>,
}

impl Entry<'_> {
    /// Of the three ways in which operators write a fact of `$context.identity`.
    fn identity<'r>(&'r self, flat: [&'r str; 2], nested: fn(&'r Identity<'_>) -> &'r str) -> &'r str {
        first_of(&[self.identity.object().map_or("", nested), flat[0], flat[1]])
    }

    fn claims(&self) -> Option<&Claims<'_>> {
        let authorizer = self.authorizer.object()?;
        authorizer.claims.object().or_else(|| authorizer.jwt.object()?.claims.object())
    }

    fn user_arn(&self) -> &str {
        self.identity([self.user_arn.get(), self.identity_user_arn.get()], |identity| identity.user_arn.get())
    }

    fn access_key(&self) -> &str {
        self.identity([self.access_key.get(), self.identity_access_key.get()], |i| i.access_key.get())
    }

    fn api_key_id(&self) -> &str {
        self.identity([self.api_key_id.get(), self.identity_api_key_id.get()], |i| i.api_key_id.get())
    }

    /// Whom an authoriser of the operator's knew: `principalId` of a function, the subject of a JWT.
    fn subject(&self) -> &str {
        first_of(&[
            self.authorizer.object().map_or("", |a| a.principal_id.get()),
            self.authorizer_principal_id.get(),
            self.principal_id.get(),
            self.claims().map_or("", |claims| claims.sub.get()),
            self.claims_sub.get(),
        ])
    }
}

fn fields<'r>(entry: &'r Entry<'_>) -> Result<Fields<'r>, Refusal> {
    let (method, route) = http_route(entry.route_key.get());
    let path = http::first_segments(entry.path.get());
    let request_id = entry.request_id.get();
    let failure = entry.error.object().map_or("", |failure| failure.response_type.get());
    Ok(Fields {
        event_time: event_time(entry)?,
        event_id: request_id,
        action: Joined::one(first_of(&[entry.http_method.get(), method])),
        outcome: http::outcome(entry.status, "status: not a number")?,
        status_code: entry.status.value(),
        error: first_of(&[failure, entry.error_response_type.get()]),
        principal: principal(entry),
        principal_kind: principal_kind(entry),
        session_name: arn::session_of(entry.user_arn()),
        credential: credential(entry),
        token: token(entry),
        source_ip: source_ip(entry),
        user_agent: entry
            .identity([entry.user_agent.get(), entry.identity_user_agent.get()], |i| i.user_agent.get()),
        host: http::host(entry.domain_name.get()),
        route: first_of(&[entry.resource_path.get(), route, path]),
        account: entry.account_id.get(),
        region: region(entry.domain_name.get()),
        environment: entry.stage.get(),
        target: entry.api_id.get(),
        consumer: first_of(&[entry.api_key_id(), entry.subject()]),
        trace_id: first_of(&[entry.xray_trace_id.get(), request_id]),
        ..Fields::default()
    })
}

fn event_time(entry: &Entry<'_>) -> Result<i64, Refusal> {
    let nothing = entry.http_method.get().is_empty() && entry.route_key.get().is_empty();
    if nothing && entry.status == Number::Absent {
        return Err(Refusal::new(RejectReason::UnknownFormat, "no field of an API Gateway access log"));
    }
    let text = first_of(&[entry.request_time_epoch.get(), entry.request_time.get()]);
    if text.is_empty() {
        return Err(Refusal::new(RejectReason::MissingField, "requestTimeEpoch and requestTime"));
    }
    time::micros(text).ok_or_else(|| Refusal::new(RejectReason::BadField, "requestTimeEpoch: not a time"))
}

/// Method and path of an HTTP API's `POST /v1/chat`; `$default` and a WebSocket API's keys have neither.
fn http_route(route_key: &str) -> (&str, &str) {
    route_key.split_once(' ').unwrap_or_default()
}

fn principal<'r>(entry: &'r Entry<'_>) -> Cow<'r, str> {
    let user_arn = entry.user_arn();
    if let Some(role) = arn::role_arn(user_arn) {
        return role;
    }
    let user = entry.identity([entry.user.get(), entry.identity_user.get()], |i| i.user.get());
    let caller = entry.identity([entry.caller.get(), entry.identity_caller.get()], |i| i.caller.get());
    Cow::Borrowed(first_of(&[user_arn, entry.subject(), user, caller]))
}

fn principal_kind(entry: &Entry<'_>) -> PrincipalKind {
    match principal(entry).as_ref() {
        "" => PrincipalKind::None,
        arn if arn.contains(":role/") => PrincipalKind::Role,
        _ => PrincipalKind::Unknown,
    }
}

/// What the caller proved itself with: a key of a usage plan, an IAM key, or a token of whom the authoriser knew.
fn credential<'r>(entry: &'r Entry<'_>) -> Option<Credential<'r>> {
    let api_key = entry.identity([entry.api_key.get(), entry.identity_api_key.get()], |i| i.api_key.get());
    let api_key = first_of(&[entry.api_key_id(), api_key]);
    let access_key = entry.access_key();
    if access_key.starts_with("AKIA") {
        return Credential::new(CredentialKind::StaticKey, Joined::one(access_key));
    }
    if let Some(role) = arn::role_arn(entry.user_arn()) {
        let secret = Joined { first: role, second: arn::session_of(entry.user_arn()) };
        return Credential::new(CredentialKind::RoleSession, secret);
    }
    Credential::new(CredentialKind::GatewayKey, Joined::one(api_key))
        .or_else(|| Credential::new(CredentialKind::Principal, Joined::one(entry.subject())))
}

/// The session key, or the id of the JWT.
fn token<'r>(entry: &'r Entry<'_>) -> &'r str {
    let access_key = entry.access_key();
    let session_key = if access_key.starts_with("ASIA") { access_key } else { "" };
    let jti = entry.claims().map_or("", |claims| claims.jti.get());
    first_of(&[session_key, jti, entry.claims_jti.get()])
}

fn source_ip<'r>(entry: &'r Entry<'_>) -> &'r str {
    let short = first_of(&[entry.source_ip.get(), entry.ip.get()]);
    entry.identity([entry.identity_source_ip.get(), short], |i| i.source_ip.get())
}

/// `<api>.execute-api.<region>.amazonaws.com`; a domain of the operator's own names none.
fn region(domain: &str) -> &str {
    let after = domain.split_once(".execute-api.").map_or("", |(_, after)| after);
    after.split_once('.').map_or("", |(region, _)| region)
}
