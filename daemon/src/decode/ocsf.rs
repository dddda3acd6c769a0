//! Open Cybersecurity Schema Framework, 1.1 to 1.8: classes 6003 API Activity, 3002 Authentication and 4002 HTTP
//! Activity. In: one event. Out: one event. Events of other classes are refused as unknown. `unmapped` and
//! `raw_data` are never read.
//!
//! <https://schema.ocsf.io/classes/api_activity>, <https://schema.ocsf.io/classes/authentication>,
//! <https://schema.ocsf.io/classes/http_activity>, <https://schema.ocsf.io/objects/user>,
//! <https://schema.ocsf.io/profiles/ai_operation>; what changed between versions: ocsf/ocsf-schema on GitHub

use std::borrow::Cow;

use serde::Deserialize;

use super::RejectReason;
use super::columns::{Credential, CredentialKind, Fields, Flow, FlowWord, Joined, Outcome, PrincipalKind};
use super::format::{Family, Layout, read_record};
use super::json::{First, Flag, Nested, Number, Refusal, Text, first_of};
use super::{arn, http, time};

pub(super) const LAYOUT: Layout = Layout {
    name: "ocsf",
    family: Family::Normalised,
    signatures: &[&["\"class_uid\"", "\"metadata\""]],
    read: |text, row| read_record(text, row, fields),
};

#[derive(Deserialize, Default)]
#[serde(default)]
struct Event<'a> {
    #[serde(borrow)]
    class_uid: Text<'a>,
    time: Text<'a>,
    metadata: Nested<'a, Metadata<'a>>,
    activity_id: Text<'a>,
    activity_name: Text<'a>,
    actor: Nested<'a, Actor<'a>>,
    user: Nested<'a, User<'a>>,
    session: Nested<'a, Session<'a>>,
    api: Nested<'a, Api<'a>>,
    http_request: Nested<'a, HttpRequest<'a>>,
    http_response: Nested<'a, HttpResponse>,
    src_endpoint: Nested<'a, Endpoint<'a>>,
    dst_endpoint: Nested<'a, Endpoint<'a>>,
    service: Nested<'a, Named<'a>>,
    resources: First<Nested<'a, Named<'a>>>,
    cloud: Nested<'a, Cloud<'a>>,
    status: Text<'a>,
    status_id: Number,
    status_code: Text<'a>,
    is_mfa: Flag,
    /// Of the AI operation profile, since 1.8.
    ai_model: Nested<'a, Named<'a>>,
    /// Of the trace profile, since 1.4.
    trace: Nested<'a, Named<'a>>,
    /// In place of the response's code, before 1.1.
    http_status: Number,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Metadata<'a> {
    #[serde(borrow)]
    uid: Text<'a>,
    correlation_uid: Text<'a>,
    tenant_uid: Text<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Actor<'a> {
    #[serde(borrow)]
    user: Nested<'a, User<'a>>,
    session: Nested<'a, Session<'a>>,
    invoked_by: Text<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct User<'a> {
    #[serde(borrow)]
    uid: Text<'a>,
    uid_alt: Text<'a>,
    name: Text<'a>,
    email_addr: Text<'a>,
    r#type: Text<'a>,
    type_id: Number,
    /// Until 1.6; since then `programmatic_credentials`.
    credential_uid: Text<'a>,
    programmatic_credentials: First<Nested<'a, Named<'a>>>,
    account: Nested<'a, Named<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Session<'a> {
    #[serde(borrow)]
    uid: Text<'a>,
    issuer: Text<'a>,
    credential_uid: Text<'a>,
    is_mfa: Flag,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Api<'a> {
    #[serde(borrow)]
    operation: Text<'a>,
    service: Nested<'a, Named<'a>>,
    request: Nested<'a, Named<'a>>,
    response: Nested<'a, ApiResponse<'a>>,
    /// The API token or key that was presented, since 1.8.
    token: Nested<'a, Named<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct ApiResponse<'a> {
    #[serde(borrow)]
    error: Text<'a>,
    code: Number,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct HttpRequest<'a> {
    #[serde(borrow)]
    uid: Text<'a>,
    http_method: Text<'a>,
    user_agent: Text<'a>,
    url: Nested<'a, Url<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Url<'a> {
    #[serde(borrow)]
    hostname: Text<'a>,
    path: Text<'a>,
    url_string: Text<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct HttpResponse {
    code: Number,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Endpoint<'a> {
    #[serde(borrow)]
    ip: Text<'a>,
    hostname: Text<'a>,
}

/// Whatever has a uid or a name.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Named<'a> {
    #[serde(borrow)]
    uid: Text<'a>,
    name: Text<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Cloud<'a> {
    #[serde(borrow)]
    account: Nested<'a, Named<'a>>,
    region: Text<'a>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    ApiActivity,
    Authentication,
    HttpActivity,
}

impl Class {
    fn parse(uid: &str) -> Option<Self> {
        Some(match uid {
            "6003" => Self::ApiActivity,
            "3002" => Self::Authentication,
            "4002" => Self::HttpActivity,
            _ => return None,
        })
    }
}

fn fields<'r>(event: &'r Event<'_>) -> Result<Fields<'r>, Refusal> {
    let Some(class) = Class::parse(event.class_uid.get()) else {
        return Err(Refusal::new(RejectReason::UnknownFormat, "class_uid: not one that is read"));
    };
    let event_time = event_time(event)?;
    let subject = subject(event, class);
    let outcome = outcome(event, class);
    let who =
        subject.map_or("", |u| first_of(&[u.uid.get(), u.uid_alt.get(), u.email_addr.get(), u.name.get()]));
    let role = subject.and_then(|u| arn::role_arn(u.uid.get()));
    let request = event.http_request.object();
    let url = request.and_then(|r| r.url.object());
    Ok(Fields {
        event_time,
        event_id: event.metadata.object().map_or("", |m| m.uid.get()),
        action: action(event, class),
        outcome,
        status_code: status_code(event),
        error: error(event, outcome),
        principal: role.map_or(Cow::Borrowed(who), |role| issuer(event, role)),
        session_name: subject.map_or("", |u| arn::session_of(u.uid.get())),
        principal_kind: if who.is_empty() { PrincipalKind::None } else { principal_kind(event, subject) },
        credential: credential(event, subject),
        token: token(event, subject, class),
        issued: issued(event, class, outcome),
        source_ip: event.src_endpoint.object().map_or("", |e| e.ip.get()),
        user_agent: request.map_or("", |r| r.user_agent.get()),
        flow: flow(event),
        host: url.map_or(Cow::Borrowed(""), |u| http::host(first_of(&[u.hostname.get(), u.written().0]))),
        route: url.map_or("", |u| http::first_segments(first_of(&[u.path.get(), u.written().1]))),
        account: account(event, subject),
        region: event.cloud.object().map_or("", |c| c.region.get()),
        target: target(event, class),
        model: event.ai_model.object().map_or("", |m| first_of(&[m.name.get(), m.uid.get()])),
        trace_id: trace_id(event),
        ..Fields::default()
    })
}

impl Url<'_> {
    /// Authority and path of the URL where it stands whole: `https://api.example.com/v1?x=1`.
    fn written(&self) -> (&str, &str) {
        let (_, rest) = self.url_string.get().split_once("://").unwrap_or_default();
        rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()))
    }
}

/// The session's issuer, which has the role's path, else the role that the session's ARN names.
fn issuer<'r>(event: &'r Event<'_>, role: Cow<'r, str>) -> Cow<'r, str> {
    let told = session(event).map_or("", |s| s.issuer.get());
    if told.contains(":role/") { Cow::Borrowed(told) } else { role }
}

/// Epoch milliseconds; at least one producer writes seconds.
fn event_time(event: &Event<'_>) -> Result<i64, Refusal> {
    let text = event.time.get();
    if text.is_empty() {
        return Err(Refusal::new(RejectReason::MissingField, "time"));
    }
    time::micros(text).ok_or_else(|| Refusal::new(RejectReason::BadField, "time: not a time"))
}

/// Who did it. An authentication is about `user`; its actor, if there is one, only asked for it.
fn subject<'r, 'a>(event: &'r Event<'a>, class: Class) -> Option<&'r User<'a>> {
    let actor = event.actor.object().and_then(|a| a.user.object());
    match class {
        Class::Authentication => event.user.object().or(actor),
        Class::ApiActivity | Class::HttpActivity => actor.or(event.user.object()),
    }
}

fn action<'r>(event: &'r Event<'_>, class: Class) -> Joined<'r> {
    let activity = first_of(&[event.activity_name.get(), event.activity_id.get()]);
    match (class, event.api.object(), event.http_request.object()) {
        (Class::ApiActivity, Some(api), _) => {
            let operation = first_of(&[api.operation.get(), activity]);
            match api.service.object().map_or("", |s| first_of(&[s.name.get(), s.uid.get()])) {
                "" => Joined::one(operation),
                service => Joined::two(service, operation),
            }
        }
        (Class::HttpActivity, _, Some(request)) => {
            Joined::one(first_of(&[request.http_method.get(), activity]))
        }
        (Class::Authentication, _, _) => Joined::two("Authentication", activity),
        (Class::ApiActivity, None, _) | (Class::HttpActivity, _, None) => Joined::one(activity),
    }
}

fn status_code(event: &Event<'_>) -> Option<i64> {
    let http = event.http_response.object().and_then(|r| r.code.value());
    let api = event.api.object().and_then(|a| a.response.object()).and_then(|r| r.code.value());
    http.or(event.http_status.value()).or(api).or_else(|| event.status_code.get().parse().ok())
}

/// The status id decides; an HTTP status, or the error's name, says what kind of failure it was.
fn outcome(event: &Event<'_>, class: Class) -> Outcome {
    let by_http = status_code(event).map_or(Outcome::Unknown, Outcome::of_http);
    let success = match event.status_id.value() {
        Some(1) => true,
        Some(2) => false,
        Some(_) | None if event.status.get().eq_ignore_ascii_case("success") => true,
        Some(_) | None if event.status.get().eq_ignore_ascii_case("failure") => false,
        Some(_) | None => return by_http,
    };
    if success && (class != Class::HttpActivity || by_http == Outcome::Unknown) {
        return Outcome::Success;
    }
    match by_http {
        Outcome::Unknown | Outcome::Success if class == Class::Authentication => Outcome::Denied,
        Outcome::Unknown | Outcome::Success if !success => of_error(complaint(event)),
        Outcome::Success
        | Outcome::Unknown
        | Outcome::Failure
        | Outcome::Denied
        | Outcome::Throttled
        | Outcome::Rejected => by_http,
    }
}

fn of_error(error: &str) -> Outcome {
    let error = error.to_ascii_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| error.contains(word));
    if says(&["denied", "unauthorized", "forbidden", "authentication"]) {
        return Outcome::Denied;
    }
    if says(&["throttl", "toomanyrequests", "rateexceeded"]) { Outcome::Throttled } else { Outcome::Rejected }
}

fn error<'r>(event: &'r Event<'_>, outcome: Outcome) -> &'r str {
    match outcome {
        Outcome::Success | Outcome::Unknown => "",
        Outcome::Failure | Outcome::Denied | Outcome::Throttled | Outcome::Rejected => complaint(event),
    }
}

/// Some producers write the word None where there is no code.
fn complaint<'r>(event: &'r Event<'_>) -> &'r str {
    let api = event.api.object().and_then(|a| a.response.object()).map_or("", |r| r.error.get());
    let code = event.status_code.get();
    first_of(&[api, if code == "None" { "" } else { code }])
}

/// CloudTrail's `userIdentity.type` where that was mapped; else the schema's own number, else its word.
fn principal_kind(event: &Event<'_>, subject: Option<&User<'_>>) -> PrincipalKind {
    if is_invoked_by_service(event) {
        return PrincipalKind::AwsService;
    }
    match (subject.map_or("", |u| u.r#type.get()), subject.and_then(|u| u.type_id.value())) {
        ("Root", _) => PrincipalKind::Root,
        ("AssumedRole" | "Role", _) => PrincipalKind::Role,
        ("AWSService", _) => PrincipalKind::AwsService,
        ("IAMUser" | "FederatedUser" | "AWSAccount" | "Directory", _) => PrincipalKind::Unknown,
        (_, Some(1 | 2)) | ("User" | "Admin", _) => PrincipalKind::Human,
        (_, Some(3 | 4)) | ("System" | "Service", _) => PrincipalKind::Workload,
        _ => PrincipalKind::Unknown,
    }
}

fn is_invoked_by_service(event: &Event<'_>) -> bool {
    event.actor.object().is_some_and(|a| a.invoked_by.get().ends_with(".amazonaws.com"))
}

fn session<'r, 'a>(event: &'r Event<'a>) -> Option<&'r Session<'a>> {
    event.actor.object().and_then(|a| a.session.object()).or(event.session.object())
}

/// Id of the key that the subject used.
fn key<'r>(event: &'r Event<'_>, subject: Option<&'r User<'_>>) -> &'r str {
    let of_user = subject.map_or("", |user| {
        let programmatic = user.programmatic_credentials.0.as_ref().and_then(Nested::object);
        first_of(&[user.credential_uid.get(), programmatic.map_or("", |p| p.uid.get())])
    });
    first_of(&[of_user, session(event).map_or("", |s| s.credential_uid.get())])
}

fn api_token<'r>(event: &'r Event<'_>) -> &'r str {
    event.api.object().and_then(|a| a.token.object()).map_or("", |t| t.uid.get())
}

/// The key; else the API token; else the session. Temporary AWS keys (ASIA...) rotate: the session that they
/// belong to stays, keyed as in CloudTrail. What a cloud's service does for itself uses no credential of ours.
fn credential<'r>(event: &'r Event<'_>, subject: Option<&'r User<'_>>) -> Option<Credential<'r>> {
    if is_invoked_by_service(event) {
        return None;
    }
    let session_uid = session(event).map_or("", |s| s.uid.get());
    match (key(event, subject), api_token(event)) {
        ("", "") => Credential::new(CredentialKind::Session, Joined::one(session_uid)),
        ("", token) => Credential::new(CredentialKind::ApiToken, Joined::one(token)),
        (key, _) if key.starts_with("ASIA") => {
            let uid = subject.map_or("", |u| u.uid.get());
            let secret = match arn::role_arn(uid) {
                Some(role) => Joined { first: issuer(event, role), second: arn::session_of(uid) },
                None => Joined::one(uid),
            };
            Credential::new(CredentialKind::RoleSession, secret)
        }
        (key, _) => Credential::new(CredentialKind::StaticKey, Joined::one(key)),
    }
}

fn token<'r>(event: &'r Event<'_>, subject: Option<&'r User<'_>>, class: Class) -> &'r str {
    let key = key(event, subject);
    if key.starts_with("ASIA") {
        return key;
    }
    let session_uid = session(event).map_or("", |s| s.uid.get());
    match class {
        Class::Authentication => "",
        Class::ApiActivity | Class::HttpActivity => first_of(&[api_token(event), session_uid]),
    }
}

/// A logon opens its session.
fn issued<'r>(event: &'r Event<'_>, class: Class, outcome: Outcome) -> &'r str {
    if class != Class::Authentication || outcome != Outcome::Success {
        return "";
    }
    event.session.object().map_or("", |s| s.uid.get())
}

fn account<'r>(event: &'r Event<'_>, subject: Option<&'r User<'_>>) -> &'r str {
    let cloud = event.cloud.object().and_then(|c| c.account.object()).map_or("", |a| a.uid.get());
    let user = subject.and_then(|u| u.account.object()).map_or("", |a| a.uid.get());
    first_of(&[cloud, user, event.metadata.object().map_or("", |m| m.tenant_uid.get())])
}

fn target<'r>(event: &'r Event<'_>, class: Class) -> &'r str {
    let named = |named: &'r Named<'_>| first_of(&[named.uid.get(), named.name.get()]);
    let resource = event.resources.0.as_ref().and_then(Nested::object).map_or("", named);
    let service = event.service.object().map_or("", |s| first_of(&[s.name.get(), s.uid.get()]));
    let endpoint = event.dst_endpoint.object().map_or("", |e| first_of(&[e.hostname.get(), e.ip.get()]));
    match class {
        Class::ApiActivity => resource,
        Class::Authentication => first_of(&[service, endpoint, resource]),
        Class::HttpActivity => first_of(&[endpoint, resource]),
    }
}

fn trace_id<'r>(event: &'r Event<'_>) -> &'r str {
    let api = event.api.object().and_then(|a| a.request.object()).map_or("", |r| r.uid.get());
    let http = event.http_request.object().map_or("", |r| r.uid.get());
    let trace = event.trace.object().map_or("", |t| t.uid.get());
    first_of(&[trace, api, http, event.metadata.object().map_or("", |m| m.correlation_uid.get())])
}

fn flow(event: &Event<'_>) -> Flow {
    let mut flow = Flow::default();
    flow.set(FlowWord::Mfa, event.is_mfa.is_set() || session(event).is_some_and(|s| s.is_mfa.is_set()));
    flow
}
