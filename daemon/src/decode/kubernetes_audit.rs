//! Kubernetes audit log. In: one Event of audit.k8s.io. Out: one event. A request has up to three stages, each a
//! record: its id is auditID and stage. Only the last (ResponseComplete, Panic) has an outcome, so that a request
//! counts once; ResponseStarted of a long one shows that its credential is in use, RequestReceived shows nothing.
//! The record never names its cluster: that comes from the source's config. Bodies are never kept.
//!
//! <https://kubernetes.io/docs/reference/config-api/apiserver-audit.v1/>, pkg/apis/audit/v1/types.go,
//! pkg/endpoints/filters and pkg/authentication in kubernetes/apiserver on GitHub,
//! <https://kubernetes.io/docs/reference/access-authn-authz/authentication/>,
//! <https://docs.aws.amazon.com/eks/latest/userguide/logging-monitoring.html>

use std::borrow::Cow;

use serde::Deserialize;

use super::RejectReason;
use super::arn;
use super::columns::{Credential, CredentialKind, Fields, Flow, FlowWord, Joined, Outcome, PrincipalKind};
use super::format::{Family, Layout, Row};
use super::json::{self, First, Nested, Number, Refusal, Text, first_of};
use super::time;

pub(super) const LAYOUT: Layout = Layout {
    name: "kubernetes_audit",
    family: Family::CloudAudit,
    signatures: &[
        &["\"auditID\"", "\"verb\""],
        &["\"objectRef\"", "\"verb\""],
        &["\"requestURI\"", "\"verb\""],
    ],
    read,
};

/// The person for whom a workload acts is known.
const ATTRIBUTION_IMPERSONATED: f64 = 0.3;

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Event<'a> {
    #[serde(borrow)]
    kind: Text<'a>,
    #[serde(rename = "auditID")]
    audit_id: Text<'a>,
    stage: Text<'a>,
    request_received_timestamp: Text<'a>,
    stage_timestamp: Text<'a>,
    verb: Text<'a>,
    #[serde(rename = "requestURI")]
    request_uri: Text<'a>,
    user: Nested<'a, User<'a>>,
    impersonated_user: Nested<'a, User<'a>>,
    /// What X-Forwarded-For and X-Real-Ip claim, then who was connected.
    #[serde(rename = "sourceIPs")]
    source_ips: First<Text<'a>>,
    user_agent: Text<'a>,
    object_ref: Nested<'a, ObjectRef<'a>>,
    response_status: Nested<'a, ResponseStatus<'a>>,
    annotations: Nested<'a, Annotations<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct User<'a> {
    #[serde(borrow)]
    username: Text<'a>,
    extra: Nested<'a, Extra<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Extra<'a> {
    #[serde(borrow)]
    access_key_id: First<Text<'a>>,
    arn: First<Text<'a>>,
    session_name: First<Text<'a>>,
    #[serde(rename = "authentication.kubernetes.io/credential-id")]
    credential_id: First<Text<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct ObjectRef<'a> {
    #[serde(borrow)]
    resource: Text<'a>,
    subresource: Text<'a>,
    namespace: Text<'a>,
    name: Text<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct ResponseStatus<'a> {
    code: Number,
    #[serde(borrow)]
    reason: Text<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Annotations<'a> {
    #[serde(borrow, rename = "authorization.k8s.io/decision")]
    decision: Text<'a>,
    #[serde(rename = "authentication.kubernetes.io/issued-credential-id")]
    issued_credential_id: Text<'a>,
}

/// Reads the record; its id is made of two fields.
fn read(text: &str, row: &mut Row<'_>) -> Result<(), Refusal> {
    let event: Event<'_> = json::parse(text)?;
    let (audit_id, stage) = (event.audit_id.get(), event.stage.get());
    let id = match (audit_id, stage) {
        ("", _) => String::new(),
        (id, "") => id.to_owned(),
        (id, stage) => format!("{id}:{stage}"),
    };
    let account = row.place.account;
    row.append(&fields(&event, &id, account)?);
    Ok(())
}

/// The facts of one record, whose id is `id`, of the cluster that the source's account names.
fn fields<'r>(event: &'r Event<'_>, id: &'r str, cluster: &'r str) -> Result<Fields<'r>, Refusal> {
    if event.verb.get().is_empty() || !matches!(event.kind.get(), "" | "Event") {
        return Err(Refusal::new(RejectReason::UnknownFormat, "not an Event of audit.k8s.io"));
    }
    let object = event.object_ref.object();
    let user = event.user.object();
    let outcome = outcome(event);
    let failed = !matches!(outcome, Outcome::Success | Outcome::Unknown);
    let status = event.response_status.object();
    Ok(Fields {
        event_time: event_time(event)?,
        event_id: id,
        action: Joined { first: Cow::Owned(action(event)), second: "" },
        outcome,
        status_code: status.and_then(|s| s.code.value()),
        error: status.filter(|_| failed).map_or("", |s| s.reason.get()),
        principal: Cow::Borrowed(user.map_or("", |u| u.username.get())),
        principal_kind: user.map_or(PrincipalKind::None, kind),
        session_name: session_name(event),
        credential: user.and_then(|u| credential(event, u, cluster)),
        token: user.map_or("", token),
        issued: event.annotations.object().map_or("", |a| a.issued_credential_id.get()),
        source_ip: event.source_ips.0.as_ref().map_or("", Text::get),
        user_agent: event.user_agent.get(),
        flow: flow(event),
        namespace: object.map_or("", |o| o.namespace.get()),
        target: object.map_or("", |o| o.name.get()),
        trace_id: event.audit_id.get(),
        ..Fields::default()
    })
}

/// When the request came in: all of its stages belong to that moment.
fn event_time(event: &Event<'_>) -> Result<i64, Refusal> {
    let text = first_of(&[event.request_received_timestamp.get(), event.stage_timestamp.get()]);
    if text.is_empty() {
        return Err(Refusal::new(RejectReason::MissingField, "requestReceivedTimestamp"));
    }
    time::micros(text)
        .ok_or_else(|| Refusal::new(RejectReason::BadField, "requestReceivedTimestamp: not a time"))
}

/// `create:pods/exec`; for paths that are no resource, `get:/version`.
fn action(event: &Event<'_>) -> String {
    let verb = event.verb.get();
    let object = event.object_ref.object();
    let (resource, subresource) = object.map_or(("", ""), |o| (o.resource.get(), o.subresource.get()));
    let path = event.request_uri.get().split('?').next().unwrap_or_default();
    match (resource, subresource) {
        ("", _) if path.is_empty() => verb.to_owned(),
        ("", _) => format!("{verb}:{path}"),
        (resource, "") => format!("{verb}:{resource}"),
        (resource, subresource) => format!("{verb}:{resource}/{subresource}"),
    }
}

/// Who could not authenticate has no last stage: the API server writes ResponseStarted with a 401 and nothing else.
fn outcome(event: &Event<'_>) -> Outcome {
    let forbidden = event.annotations.object().is_some_and(|a| a.decision.get() == "forbid");
    let code = event.response_status.object().and_then(|s| s.code.value());
    let nobody = event.user.object().is_none_or(|user| user.username.get().is_empty());
    match event.stage.get() {
        "ResponseStarted" if nobody && code == Some(401) => Outcome::Denied,
        "RequestReceived" | "ResponseStarted" => Outcome::Unknown,
        "Panic" => Outcome::Failure,
        _ if forbidden => Outcome::Denied,
        _ => code.map_or(Outcome::Unknown, Outcome::of_http),
    }
}

/// The cluster's own users begin with `system:`; a person is certain only where the name is an email address.
fn kind(user: &User<'_>) -> PrincipalKind {
    let name = user.username.get();
    let role = extra(user).is_some_and(|e| arn::role_arn(first(&e.arn)).is_some());
    match () {
        () if name.is_empty() || name == "system:anonymous" => PrincipalKind::None,
        () if name.starts_with("system:") => PrincipalKind::Workload,
        () if role => PrincipalKind::Role,
        () if name.contains('@') => PrincipalKind::Human,
        () => PrincipalKind::Unknown,
    }
}

fn extra<'r>(user: &'r User<'_>) -> Option<&'r Extra<'r>> {
    user.extra.object()
}

fn first<'r>(values: &'r First<Text<'_>>) -> &'r str {
    values.0.as_ref().map_or("", Text::get)
}

/// The AWS session on EKS, else whom the user acts for.
fn session_name<'r>(event: &'r Event<'_>) -> &'r str {
    let session = event
        .user
        .object()
        .and_then(extra)
        .map_or("", |e| first_of(&[arn::session_of(first(&e.arn)), first(&e.session_name)]));
    first_of(&[session, event.impersonated_user.object().map_or("", |u| u.username.get())])
}

/// EKS names the AWS identity: its key is then the same as CloudTrail's. Elsewhere the user is the key. Who
/// could not authenticate (401, anonymous) used nobody's credential.
fn credential<'r>(event: &'r Event<'_>, user: &'r User<'_>, cluster: &'r str) -> Option<Credential<'r>> {
    let unauthenticated = event.response_status.object().is_some_and(|s| s.code == Number::Value(401));
    let counts = matches!(event.stage.get(), "" | "ResponseStarted" | "ResponseComplete");
    let name = user.username.get();
    if unauthenticated || !counts || name == "system:anonymous" {
        return None;
    }
    let key = extra(user).map_or("", |e| first(&e.access_key_id));
    let arn = extra(user).map_or("", |e| first(&e.arn));
    let mut credential = match arn::role_arn(arn) {
        _ if key.starts_with("AKIA") => Credential::new(CredentialKind::StaticKey, Joined::one(key))?,
        Some(role) => {
            let secret = Joined { first: role, second: arn::session_of(arn) };
            Credential::new(CredentialKind::RoleSession, secret)?
        }
        None => Credential::new(CredentialKind::Principal, user_key(name, cluster))?,
    };
    if event.impersonated_user.object().is_some_and(|u| kind(u) == PrincipalKind::Human) {
        credential.attribution = ATTRIBUTION_IMPERSONATED;
    }
    Some(credential)
}

/// A cluster signs for its own users: `kubernetes-admin` of another one is somebody else. An email address is a
/// person of the identity provider, the same everywhere.
fn user_key<'r>(name: &'r str, cluster: &'r str) -> Joined<'r> {
    match cluster {
        "" => Joined::one(name),
        _ if name.is_empty() || name.contains('@') => Joined::one(name),
        cluster => Joined::two(cluster, name),
    }
}

/// The session's key on EKS, as CloudTrail has it; else the id of the token or certificate.
fn token<'r>(user: &'r User<'_>) -> &'r str {
    let Some(extra) = extra(user) else { return "" };
    let key = first(&extra.access_key_id);
    first_of(&[if key.starts_with("ASIA") { key } else { "" }, first(&extra.credential_id)])
}

/// Controllers renew their lease by updating it; a person who lists leases elects nobody.
fn flow(event: &Event<'_>) -> Flow {
    let object = event.object_ref.object();
    let (resource, subresource) = object.map_or(("", ""), |o| (o.resource.get(), o.subresource.get()));
    let renews = resource == "leases" && matches!(event.verb.get(), "update" | "patch");
    let mut flow = Flow::default();
    flow.set(FlowWord::InteractiveExec, matches!(subresource, "exec" | "attach" | "portforward"));
    flow.set(FlowWord::LeaderElection, renews || event.user_agent.get().ends_with("leader-election"));
    flow
}
