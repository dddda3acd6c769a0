//! Google Cloud audit logs. In: one LogEntry whose protoPayload is an AuditLog. Out: one event. Payloads of other
//! types are refused as unknown. Requests and answers are never kept, but for the name of a key that was made.
//! What Google's own systems do has no credential. The two entries of a stream share `operation.id`.
//!
//! <https://cloud.google.com/logging/docs/reference/v2/rest/v2/LogEntry>,
//! <https://cloud.google.com/logging/docs/reference/audit/auditlog/rest/Shared.Types/AuditLog>,
//! <https://cloud.google.com/vertex-ai/docs/general/audit-logging>, and in googleapis/googleapis on GitHub
//! google/cloud/audit/audit_log.proto, google/logging/v2/log_entry.proto, google/rpc/code.proto

use std::borrow::Cow;

use serde::Deserialize;

use super::RejectReason;
use super::columns::{Credential, CredentialKind, Fields, Flow, FlowWord, Joined, Outcome, PrincipalKind};
use super::format::{Family, Layout, read_record};
use super::json::{First, Flag, Many, Nested, Number, Refusal, Text, first_of};
use super::time;

pub(super) const LAYOUT: Layout = Layout {
    name: "gcp_audit",
    family: Family::CloudAudit,
    signatures: &[&["\"protoPayload\""]],
    read: |text, row| read_record(text, row, fields),
};

/// A delegation names a person.
const ATTRIBUTION_DELEGATED: f64 = 0.3;
/// Google's front end writes it behind what the client sent, once for each pass.
const FRONT_END_SUFFIX: &str = ",gzip(gfe)";
/// Ends of the calls that name a model or an endpoint: `StreamRawPredict`, `BidiGenerateContent`.
const MODEL_CALLS: [&str; 5] =
    ["Predict", "GenerateContent", "CountTokens", "EmbedContent", "ChatCompletions"];
/// Written where there is no address.
const NO_ADDRESS: [&str; 2] = ["private", "gce-internal-ip"];

/// Exporters that go through a table lower-case some of the names.
#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct LogEntry<'a> {
    #[serde(borrow)]
    timestamp: Text<'a>,
    #[serde(alias = "receivetimestamp")]
    receive_timestamp: Text<'a>,
    #[serde(alias = "insertid")]
    insert_id: Text<'a>,
    #[serde(alias = "logname")]
    log_name: Text<'a>,
    trace: Text<'a>,
    resource: Nested<'a, Resource<'a>>,
    operation: Nested<'a, Operation<'a>>,
    proto_payload: Nested<'a, AuditLog<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Resource<'a> {
    #[serde(borrow)]
    labels: Nested<'a, Labels<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Labels<'a> {
    #[serde(borrow)]
    project_id: Text<'a>,
    cluster_name: Text<'a>,
    location: Text<'a>,
    region: Text<'a>,
    zone: Text<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Operation<'a> {
    #[serde(borrow)]
    id: Text<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct AuditLog<'a> {
    #[serde(borrow, rename = "@type")]
    r#type: Text<'a>,
    service_name: Text<'a>,
    method_name: Text<'a>,
    resource_name: Text<'a>,
    status: Nested<'a, Status>,
    authentication_info: Nested<'a, AuthenticationInfo<'a>>,
    authorization_info: Many<Nested<'a, Permission>>,
    resource_location: Nested<'a, ResourceLocation<'a>>,
    request_metadata: Nested<'a, RequestMetadata<'a>>,
    response: Nested<'a, Answer<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Status {
    code: Number,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct ResourceLocation<'a> {
    #[serde(borrow)]
    current_locations: First<Text<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Permission {
    granted: Flag,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct AuthenticationInfo<'a> {
    #[serde(borrow)]
    principal_email: Text<'a>,
    principal_subject: Text<'a>,
    service_account_key_name: Text<'a>,
    service_account_delegation_info: First<Nested<'a, Delegation<'a>>>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Delegation<'a> {
    #[serde(borrow)]
    first_party_principal: Nested<'a, FirstPartyPrincipal<'a>>,
    /// Third parties have nothing else, beside the claims of their token.
    principal_subject: Text<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct FirstPartyPrincipal<'a> {
    #[serde(borrow)]
    principal_email: Text<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct RequestMetadata<'a> {
    #[serde(borrow)]
    caller_ip: Text<'a>,
    /// As some exporters write it, also beside the other.
    #[serde(rename = "callerIP")]
    caller_ip_exported: Text<'a>,
    caller_supplied_user_agent: Text<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Answer<'a> {
    #[serde(borrow)]
    name: Text<'a>,
}

/// The facts of one entry.
fn fields<'r>(entry: &'r LogEntry<'_>) -> Result<Fields<'r>, Refusal> {
    let log = audit_log(entry)?;
    let identity = log.authentication_info.object();
    let request = log.request_metadata.object();
    let user_agent = request.map_or("", |r| r.caller_supplied_user_agent.get());
    let principal = identity.map_or("", principal);
    let method = short_method(log.method_name.get());
    let outcome = outcome(log);
    Ok(Fields {
        event_time: event_time(entry)?,
        event_id: entry.insert_id.get(),
        action: action(log.service_name.get(), method),
        outcome,
        status_code: log.status.object().and_then(|s| s.code.value()),
        error: if outcome == Outcome::Success { "" } else { error(log) },
        principal: Cow::Borrowed(principal),
        principal_kind: identity.map_or(PrincipalKind::None, kind),
        session_name: identity.map_or("", delegate),
        credential: identity.and_then(|i| credential(entry, log, i)),
        issued: issued(log, method),
        source_ip: request.map_or("", address),
        user_agent: user_agent.trim_end_matches(FRONT_END_SUFFIX),
        flow: flow(log, method, user_agent),
        account: account(entry),
        region: region(entry, log),
        namespace: namespace(log),
        target: log.resource_name.get(),
        model: model(log, method),
        trace_id: first_of(&[trace(entry), entry.operation.object().map_or("", |o| o.id.get())]),
        ..Fields::default()
    })
}

/// Only entries of an audit log: App Engine's request logs have a protoPayload too.
fn audit_log<'r>(entry: &'r LogEntry<'_>) -> Result<&'r AuditLog<'r>, Refusal> {
    let log = entry.proto_payload.object().filter(|log| {
        let kind = log.r#type.get();
        kind.is_empty() || kind.ends_with("google.cloud.audit.AuditLog")
    });
    log.ok_or_else(|| Refusal::new(RejectReason::UnknownFormat, "protoPayload: not an AuditLog"))
}

fn event_time(entry: &LogEntry<'_>) -> Result<i64, Refusal> {
    let text = first_of(&[entry.timestamp.get(), entry.receive_timestamp.get()]);
    if text.is_empty() {
        return Err(Refusal::new(RejectReason::MissingField, "timestamp"));
    }
    time::micros(text)
        .ok_or_else(|| Refusal::new(RejectReason::BadField, "timestamp or receiveTimestamp: not a time"))
}

fn action<'r>(service: &'r str, method: &'r str) -> Joined<'r> {
    if service.is_empty() { Joined::one(method) } else { Joined::two(service, method) }
}

/// What follows the API's version, which changes while the call stays the same; the whole where none is named.
fn short_method(method: &str) -> &str {
    let mut at = 0;
    for part in method.split('.') {
        at += part.len() + 1;
        if is_version(part) && at < method.len() {
            return &method[at..];
        }
    }
    method
}

/// `v1`, `v2beta1`, `v1alpha`.
fn is_version(part: &str) -> bool {
    let Some(rest) = part.strip_prefix('v') else { return false };
    let rest = rest.trim_start_matches(|c: char| c.is_ascii_digit());
    let stage = rest.trim_end_matches(|c: char| c.is_ascii_digit());
    part.as_bytes().get(1).is_some_and(u8::is_ascii_digit) && matches!(stage, "" | "alpha" | "beta" | "p")
}

/// A status without a code is OK: the code 0 is not written. No status is no statement: then it counts whether the
/// permission asked for was granted, and an entry that says neither is of a call that went well. A status that is
/// text says nothing.
fn outcome(log: &AuditLog<'_>) -> Outcome {
    let code = match &log.status {
        Nested::Absent if is_refused(log) => return Outcome::Denied,
        Nested::Absent => Number::Absent,
        Nested::Object(status) => status.code,
        Nested::Written(_) => Number::Unreadable,
    };
    match code {
        Number::Absent | Number::Value(0) => Outcome::Success,
        Number::Value(7 | 16) => Outcome::Denied,
        Number::Value(8) => Outcome::Throttled,
        Number::Value(3 | 5 | 6 | 9 | 11) => Outcome::Rejected,
        Number::Value(_) => Outcome::Failure,
        Number::Unreadable => Outcome::Unknown,
    }
}

/// Some permission was refused, and none granted that might have done instead.
fn is_refused(log: &AuditLog<'_>) -> bool {
    let granted = || {
        log.authorization_info
            .0
            .iter()
            .filter_map(Nested::object)
            .filter_map(|permission| permission.granted.0)
    };
    granted().next().is_some() && !granted().any(|granted| granted)
}

/// The status code's name: its message holds names of people and resources.
fn error(log: &AuditLog<'_>) -> &'static str {
    const NAMES: [&str; 17] = [
        "",
        "CANCELLED",
        "UNKNOWN",
        "INVALID_ARGUMENT",
        "DEADLINE_EXCEEDED",
        "NOT_FOUND",
        "ALREADY_EXISTS",
        "PERMISSION_DENIED",
        "RESOURCE_EXHAUSTED",
        "FAILED_PRECONDITION",
        "ABORTED",
        "OUT_OF_RANGE",
        "UNIMPLEMENTED",
        "INTERNAL",
        "UNAVAILABLE",
        "DATA_LOSS",
        "UNAUTHENTICATED",
    ];
    let code = log.status.object().and_then(|s| s.code.value());
    code.and_then(|code| NAMES.get(usize::try_from(code).ok()?)).copied().unwrap_or_default()
}

/// The email; else the subject, which federated identities have instead, without the `user:` before it.
fn principal<'r>(identity: &'r AuthenticationInfo<'_>) -> &'r str {
    let subject = identity.principal_subject.get();
    let bare = ["user:", "serviceAccount:"].iter().find_map(|prefix| subject.strip_prefix(prefix));
    first_of(&[identity.principal_email.get(), bare.unwrap_or(subject)])
}

fn kind(identity: &AuthenticationInfo<'_>) -> PrincipalKind {
    let principal = principal(identity);
    let by_subject = identity.principal_subject.get().starts_with("serviceAccount:");
    match () {
        () if principal.is_empty() => PrincipalKind::None,
        () if by_subject || is_workload(principal) => PrincipalKind::Workload,
        () => PrincipalKind::Human,
    }
}

/// Service accounts, federated workloads, Google's own account, and who calls GKE from inside the cluster.
fn is_workload(principal: &str) -> bool {
    principal.ends_with("gserviceaccount.com")
        || principal.contains("/workloadIdentityPools/")
        || principal.starts_with("system:")
        || principal == "system@google.com"
}

/// The person for whom a service account acts: the first of the history is where it began. People of a third
/// party come from a workforce pool; its workloads come from a workload identity pool.
fn delegate<'r>(identity: &'r AuthenticationInfo<'_>) -> &'r str {
    let first = identity.service_account_delegation_info.0.as_ref().and_then(Nested::object);
    let Some(first) = first else { return "" };
    let email = first.first_party_principal.object().map_or("", |principal| principal.principal_email.get());
    let subject = first.principal_subject.get();
    let user = subject.strip_prefix("user:").unwrap_or_default();
    let workforce = if subject.contains("/workforcePools/") { subject } else { "" };
    let origin = first_of(&[email, user, workforce]);
    if is_workload(origin) { "" } else { origin }
}

/// The service account's key, else the principal. Who could not authenticate used neither.
fn credential<'r>(
    entry: &LogEntry<'_>,
    log: &AuditLog<'_>,
    identity: &'r AuthenticationInfo<'_>,
) -> Option<Credential<'r>> {
    let by_google = entry.log_name.get().ends_with("system_event");
    let unauthenticated = log.status.object().is_some_and(|s| s.code == Number::Value(16));
    let who = principal(identity);
    if by_google || unauthenticated || matches!(who, "system@google.com" | "system:anonymous") {
        return None;
    }
    let key = identity.service_account_key_name.get().rsplit('/').next().unwrap_or_default();
    let mut credential = if key.is_empty() {
        Credential::new(CredentialKind::Principal, principal_key(entry, who))?
    } else {
        Credential::new(CredentialKind::ServiceAccountKey, Joined::one(key))?
    };
    if !delegate(identity).is_empty() {
        credential.attribution = ATTRIBUTION_DELEGATED;
    }
    Some(credential)
}

/// GKE's own users exist once in each cluster, which project, place and name tell apart; everybody else is known to
/// all of Google.
fn principal_key<'r>(entry: &LogEntry<'_>, who: &'r str) -> Joined<'r> {
    let cluster = labels(entry).map_or("", |labels| labels.cluster_name.get());
    if cluster.is_empty() || !who.starts_with("system:") {
        return Joined::one(who);
    }
    let cluster = format!("{}/{}/{cluster}", account(entry), place(entry));
    Joined { first: Cow::Owned(cluster), second: who }
}

/// Id of the service account key that the call made.
fn issued<'r>(log: &'r AuditLog<'_>, method: &str) -> &'r str {
    if method != "CreateServiceAccountKey" {
        return "";
    }
    let name = log.response.object().map_or("", |answer| answer.name.get());
    name.split_once("/keys/").map_or("", |(_, key)| key)
}

fn address<'r>(request: &'r RequestMetadata<'_>) -> &'r str {
    let written = first_of(&[request.caller_ip.get(), request.caller_ip_exported.get()]);
    if NO_ADDRESS.contains(&written) { "" } else { written }
}

fn flow(log: &AuditLog<'_>, method: &str, user_agent: &str) -> Flow {
    let cluster = log.service_name.get() == "k8s.io";
    let exec = ["pods.exec.", "pods.attach.", "pods.portforward."];
    let mut flow = Flow::default();
    flow.set(FlowWord::GcloudInteractive, user_agent.contains("interactive/True from-script/False"));
    flow.set(FlowWord::GoogleCloudShell, user_agent.contains("environment/devshell"));
    flow.set(FlowWord::InteractiveExec, cluster && exec.iter().any(|part| method.contains(part)));
    flow.set(FlowWord::LeaderElection, cluster && matches!(method, "leases.update" | "leases.patch"));
    flow
}

/// `projects/<project>/traces/<trace>`.
fn trace<'r>(entry: &'r LogEntry<'_>) -> &'r str {
    entry.trace.get().rsplit('/').next().unwrap_or_default()
}

/// The project acted on; else the project, folder or organisation that holds the log.
fn account<'r>(entry: &'r LogEntry<'_>) -> &'r str {
    let named = labels(entry).map_or("", |labels| labels.project_id.get());
    first_of(&[named, entry.log_name.get().split('/').nth(1).unwrap_or_default()])
}

fn region<'r>(entry: &'r LogEntry<'_>, log: &'r AuditLog<'_>) -> &'r str {
    let located = log.resource_location.object().and_then(|location| location.current_locations.0.as_ref());
    without_zone(first_of(&[place(entry), located.map_or("", Text::get)]))
}

/// Region or zone of the resource.
fn place<'r>(entry: &'r LogEntry<'_>) -> &'r str {
    labels(entry).map_or("", |l| first_of(&[l.location.get(), l.region.get(), l.zone.get()]))
}

/// A zone is its region and a letter: `europe-west4-a`.
fn without_zone(location: &str) -> &str {
    match location.rsplit_once('-') {
        Some((region, zone)) if zone.len() == 1 && zone.as_bytes()[0].is_ascii_lowercase() => region,
        Some(_) | None => location,
    }
}

fn labels<'r>(entry: &'r LogEntry<'_>) -> Option<&'r Labels<'r>> {
    entry.resource.object()?.labels.object()
}

/// GKE writes `core/v1/namespaces/<namespace>/pods/<pod>`.
fn namespace<'r>(log: &'r AuditLog<'_>) -> &'r str {
    if log.service_name.get() != "k8s.io" {
        return "";
    }
    let rest = log.resource_name.get().split_once("/namespaces/").map_or("", |(_, rest)| rest);
    rest.split('/').next().unwrap_or_default()
}

/// The model or endpoint that Vertex AI was asked for.
fn model<'r>(log: &'r AuditLog<'_>, method: &str) -> &'r str {
    let call = method.rsplit('.').next().unwrap_or_default();
    let asks = MODEL_CALLS.iter().any(|word| call.ends_with(word));
    if log.service_name.get() != "aiplatform.googleapis.com" || !asks {
        return "";
    }
    log.resource_name.get().rsplit('/').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn method_is_named_without_its_version() {
        for (method, expect) in [
            (
                "google.cloud.aiplatform.v1beta1.PredictionService.GenerateContent",
                "PredictionService.GenerateContent",
            ),
            ("google.iam.admin.v1.CreateServiceAccountKey", "CreateServiceAccountKey"),
            ("v1.compute.instances.insert", "compute.instances.insert"),
            ("io.k8s.core.v1.pods.exec.create", "pods.exec.create"),
            ("google.cloud.vision.v1p1.Annotate", "Annotate"),
            ("storage.objects.get", "storage.objects.get"),
            ("SetIamPolicy", "SetIamPolicy"),
            ("vms.v", "vms.v"),
            ("a.v1", "a.v1"),
            ("", ""),
        ] {
            assert_eq!(short_method(method), expect, "{method}");
        }
    }
}
