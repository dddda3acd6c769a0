//! Azure Activity Log. In: one record of the Azure Monitor export, of the REST API (`eventTimestamp`), or of the
//! SDKs, which write snake_case. Out: one event. Records of other categories (sign-ins, resource logs) are refused
//! as unknown. Azure writes names of resources and operations in any case: they are lower-cased here. Only
//! management calls show a credential: alerts and policy results repeat the caller of what they are about. An
//! exported record's `location` is where it was processed, not where the resource is: it is not read.
//!
//! <https://learn.microsoft.com/en-us/azure/azure-monitor/platform/activity-log-schema>,
//! <https://learn.microsoft.com/en-us/rest/api/monitor/activity-logs/list>,
//! <https://learn.microsoft.com/en-us/entra/identity-platform/access-token-claims-reference>

use std::borrow::Cow;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use super::RejectReason;
use super::columns::{Credential, CredentialKind, Fields, Flow, FlowWord, Joined, Outcome, PrincipalKind};
use super::format::{Family, Layout, Row};
use super::json::{self, Nested, Raw, Refusal, Text, first_of};
use super::time;

pub(super) const LAYOUT: Layout = Layout {
    name: "azure_activity",
    family: Family::CloudAudit,
    signatures: &[&["\"operationName\"", "\"resourceId\""], &["\"operation_name\"", "\"resource_id\""]],
    read,
};

/// Categories of management calls; the last three are what older exports write for Administrative.
const CALLS: [&str; 4] = ["Administrative", "Write", "Delete", "Action"];
/// Categories of what Azure itself says.
const NOTICES: [&str; 7] =
    ["Security", "ServiceHealth", "Alert", "Recommendation", "Policy", "Autoscale", "ResourceHealth"];

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Activity<'a> {
    #[serde(borrow)]
    time: Text<'a>,
    #[serde(alias = "event_timestamp")]
    event_timestamp: Text<'a>,
    #[serde(alias = "event_data_id")]
    event_data_id: Text<'a>,
    #[serde(alias = "correlation_id")]
    correlation_id: Text<'a>,
    category: Word<'a>,
    #[serde(alias = "operation_name")]
    operation_name: Word<'a>,
    #[serde(alias = "resource_id")]
    resource_id: Text<'a>,
    #[serde(alias = "subscription_id")]
    subscription_id: Text<'a>,
    #[serde(alias = "tenant_id")]
    tenant_id: Text<'a>,
    #[serde(alias = "result_type")]
    result_type: Word<'a>,
    #[serde(alias = "result_signature")]
    result_signature: Word<'a>,
    status: Word<'a>,
    #[serde(alias = "sub_status")]
    sub_status: Word<'a>,
    caller: Text<'a>,
    #[serde(alias = "caller_ip_address")]
    caller_ip_address: Text<'a>,
    #[serde(alias = "http_request")]
    http_request: Nested<'a, HttpRequest<'a>>,
    identity: Nested<'a, Identity<'a>>,
    claims: Nested<'a, Claims<'a>>,
    properties: Nested<'a, Properties<'a>>,
}

/// A word or a number; or an object of the word and its translation.
#[derive(Default)]
struct Word<'a>(Text<'a>);

impl<'de: 'a, 'a> Deserialize<'de> for Word<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let written = Raw::deserialize(deserializer)?.0;
        let word = if written.starts_with('{') {
            serde_json::from_str(written).map(|localised: Localised<'_>| localised.value)
        } else {
            serde_json::from_str(written)
        };
        word.map(Self).map_err(D::Error::custom)
    }
}

impl Word<'_> {
    fn get(&self) -> &str {
        self.0.get()
    }
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Localised<'a> {
    #[serde(borrow)]
    value: Text<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct HttpRequest<'a> {
    #[serde(borrow, alias = "client_ip_address")]
    client_ip_address: Text<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Identity<'a> {
    #[serde(borrow)]
    claims: Nested<'a, Claims<'a>>,
    authorization: Nested<'a, Authorization<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Authorization<'a> {
    #[serde(borrow)]
    evidence: Nested<'a, Evidence<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Evidence<'a> {
    #[serde(borrow)]
    principal_id: Text<'a>,
    principal_type: Text<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Claims<'a> {
    #[serde(borrow)]
    appid: Text<'a>,
    idtyp: Text<'a>,
    name: Text<'a>,
    ipaddr: Text<'a>,
    uti: Text<'a>,
    xms_mirid: Text<'a>,
    #[serde(rename = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/upn")]
    upn: Text<'a>,
    #[serde(rename = "http://schemas.microsoft.com/identity/claims/objectidentifier")]
    object_id: Text<'a>,
    /// Only tokens of people have one.
    #[serde(rename = "http://schemas.microsoft.com/identity/claims/scope")]
    scope: Text<'a>,
}

/// The export puts the REST API's properties into `eventProperties`, or leaves them where they were.
#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Properties<'a> {
    #[serde(borrow)]
    event_data_id: Text<'a>,
    /// The category, where the record's own says Administrative of everything.
    event_category: Text<'a>,
    status_code: Text<'a>,
    event_properties: Nested<'a, EventProperties<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct EventProperties<'a> {
    #[serde(borrow)]
    status_code: Text<'a>,
}

impl Properties<'_> {
    fn status_code(&self) -> &str {
        let inner = self.event_properties.object().map_or("", |p| p.status_code.get());
        first_of(&[self.status_code.get(), inner])
    }
}

/// Reads the record, its identity and properties where they were written as strings, and lower-cases names.
fn read(text: &str, row: &mut Row<'_>) -> Result<(), Refusal> {
    let record: Activity<'_> = json::parse(text)?;
    let category = record.category.get();
    if !CALLS.contains(&category) && !NOTICES.contains(&category) {
        return Err(Refusal::new(RejectReason::UnknownFormat, "category: not of the activity log"));
    }
    let identity: Option<Identity<'_>> = written(&record.identity, "identity: not JSON")?;
    let properties: Option<Properties<'_>> = written(&record.properties, "properties: not JSON")?;
    let parts = Parts {
        resource: record.resource_id.get().to_ascii_lowercase(),
        operation: record.operation_name.get().to_ascii_lowercase(),
        identity: identity.as_ref().or(record.identity.object()),
        properties: properties.as_ref().or(record.properties.object()),
    };
    row.append(&fields(&record, &parts)?);
    Ok(())
}

/// What the record says in more than one form.
struct Parts<'r> {
    resource: String,
    operation: String,
    identity: Option<&'r Identity<'r>>,
    properties: Option<&'r Properties<'r>>,
}

/// The object that a string holds; a string that begins otherwise is a name.
fn written<'r, T: Deserialize<'r>>(
    field: &'r Nested<'_, T>,
    otherwise: &'static str,
) -> Result<Option<T>, Refusal> {
    match field {
        Nested::Written(text) if text.starts_with('{') => json::parse_written(text, otherwise).map(Some),
        Nested::Written(_) | Nested::Object(_) | Nested::Absent => Ok(None),
    }
}

/// The facts of one record.
fn fields<'r>(record: &'r Activity<'_>, parts: &'r Parts<'_>) -> Result<Fields<'r>, Refusal> {
    if parts.operation.is_empty() {
        return Err(Refusal::new(RejectReason::MissingField, "operationName"));
    }
    let caller = Caller::of(record, parts);
    let code = status_code(record, parts);
    let outcome = outcome(record, code);
    let failed = !matches!(outcome, Outcome::Success | Outcome::Unknown);
    let exported = parts.properties.map_or("", |p| p.event_category.get());
    let call = CALLS.contains(&first_of(&[exported, record.category.get()]));
    let event_id = parts.properties.map_or("", |p| p.event_data_id.get());
    let address = record.http_request.object().map_or("", |r| r.client_ip_address.get());
    let claimed = caller.claims.map_or("", |c| c.ipaddr.get());
    Ok(Fields {
        event_time: event_time(record)?,
        event_id: first_of(&[event_id, record.event_data_id.get()]),
        action: Joined::one(&parts.operation),
        outcome,
        status_code: code,
        error: if failed { signature(record) } else { "" },
        principal: caller.principal(),
        principal_kind: caller.kind(),
        credential: if call { caller.credential() } else { None },
        token: caller.claims.filter(|_| call).map_or("", |c| c.uti.get()),
        source_ip: first_of(&[record.caller_ip_address.get(), address, claimed]),
        flow: caller.flow(),
        account: account(record, &parts.resource),
        target: &parts.resource,
        trace_id: record.correlation_id.get(),
        ..Fields::default()
    })
}

fn event_time(record: &Activity<'_>) -> Result<i64, Refusal> {
    let text = first_of(&[record.time.get(), record.event_timestamp.get()]);
    if text.is_empty() {
        return Err(Refusal::new(RejectReason::MissingField, "time"));
    }
    time::micros(text).ok_or_else(|| Refusal::new(RejectReason::BadField, "time: not a time"))
}

/// HTTP status: a number, or its name behind the result (`Failed.Forbidden`) or alone.
fn signature<'r>(record: &'r Activity<'_>) -> &'r str {
    first_of(&[record.result_signature.get(), record.sub_status.get()])
}

fn status_code(record: &Activity<'_>, parts: &Parts<'_>) -> Option<i64> {
    let named = parts.properties.map_or("", Properties::status_code);
    [signature(record), named].into_iter().find_map(code_of)
}

fn code_of(written: &str) -> Option<i64> {
    let name = written.rsplit('.').next().unwrap_or_default();
    Some(match name {
        "OK" => 200,
        "Created" => 201,
        "Accepted" => 202,
        "NoContent" => 204,
        "BadRequest" => 400,
        "Unauthorized" => 401,
        "Forbidden" => 403,
        "NotFound" => 404,
        "Conflict" => 409,
        "TooManyRequests" => 429,
        "InternalServerError" => 500,
        "ServiceUnavailable" => 503,
        "GatewayTimeout" => 504,
        number => return number.parse().ok().filter(|code| (100..600).contains(code)),
    })
}

/// A call has a record when it starts and one when it ends: only the end has an outcome.
fn outcome(record: &Activity<'_>, code: Option<i64>) -> Outcome {
    let result = first_of(&[record.result_type.get(), record.status.get()]);
    let is = |words: &[&str]| words.iter().any(|word| result.eq_ignore_ascii_case(word));
    match code.map_or(Outcome::Unknown, Outcome::of_http) {
        _ if is(&["success", "succeeded"]) => Outcome::Success,
        Outcome::Success | Outcome::Unknown if is(&["failed", "failure"]) => Outcome::Failure,
        by_code if is(&["failed", "failure"]) => by_code,
        by_code if result.is_empty() => by_code,
        _ => Outcome::Unknown,
    }
}

/// `/subscriptions/<id>/...`; else the directory, for what belongs to no subscription.
fn account<'r>(record: &'r Activity<'_>, resource: &'r str) -> &'r str {
    let rest = resource.strip_prefix("/subscriptions/").unwrap_or_default();
    let subscription = rest.split('/').next().unwrap_or_default();
    first_of(&[subscription, record.subscription_id.get(), record.tenant_id.get()])
}

/// Who called, by whatever the record has of it.
struct Caller<'r> {
    claims: Option<&'r Claims<'r>>,
    evidence: Option<&'r Evidence<'r>>,
    /// A name in place of the identity, or the REST API's `caller`.
    named: &'r str,
}

impl<'r> Caller<'r> {
    fn of(record: &'r Activity<'_>, parts: &'r Parts<'_>) -> Self {
        let named = match &record.identity {
            Nested::Written(name) if !name.starts_with('{') => name,
            Nested::Written(_) | Nested::Object(_) | Nested::Absent => "",
        };
        let authorization = parts.identity.and_then(|i| i.authorization.object());
        Self {
            claims: parts.identity.and_then(|i| i.claims.object()).or(record.claims.object()),
            evidence: authorization.and_then(|a| a.evidence.object()),
            named: first_of(&[record.caller.get(), named]),
        }
    }

    /// Of the token; else of the role assignment that allowed the call, unless a group holds that. There it stands
    /// without hyphens.
    fn object_id(&self) -> Cow<'r, str> {
        let held = self.evidence.filter(|e| matches!(e.principal_type.get(), "User" | "ServicePrincipal"));
        match self.claims.map_or("", |c| c.object_id.get()) {
            "" => hyphenated(held.map_or("", |e| e.principal_id.get())),
            id => Cow::Borrowed(id),
        }
    }

    /// A managed identity's token names its resource.
    fn is_managed(&self) -> bool {
        self.claims.is_some_and(|c| !c.xms_mirid.get().is_empty())
    }

    fn kind(&self) -> PrincipalKind {
        let (idtyp, upn, name) =
            self.claims.map_or(("", "", ""), |c| (c.idtyp.get(), c.upn.get(), c.name.get()));
        let held_by = self.evidence.map_or("", |e| e.principal_type.get());
        match (idtyp, held_by) {
            ("app", _) => PrincipalKind::Workload,
            _ if self.is_managed() => PrincipalKind::Workload,
            ("user", _) => PrincipalKind::Human,
            _ if !upn.is_empty() || self.named.contains('@') || name.contains('@') => PrincipalKind::Human,
            ("", "ServicePrincipal") => PrincipalKind::Workload,
            ("", "User") => PrincipalKind::Human,
            _ if self.is_token_of_app() => PrincipalKind::Workload,
            _ if self.principal().is_empty() => PrincipalKind::None,
            _ => PrincipalKind::Unknown,
        }
    }

    /// An application's own token, before there was `idtyp`, is known by having neither a scope nor a name.
    fn is_token_of_app(&self) -> bool {
        self.claims.is_some_and(|c| {
            let absent = [&c.scope, &c.upn, &c.name].iter().all(|claim| claim.get().is_empty());
            absent && !c.appid.get().is_empty() && !c.object_id.get().is_empty()
        })
    }

    fn principal(&self) -> Cow<'r, str> {
        let (upn, name, app) =
            self.claims.map_or(("", "", ""), |c| (c.upn.get(), c.name.get(), c.appid.get()));
        let id = self.object_id();
        if id.is_empty() { Cow::Borrowed(first_of(&[upn, self.named, name, app])) } else { id }
    }

    /// The object id, for people and for service principals: the same as in Entra's sign-in logs. The
    /// application id stands in for it where a program's token has none; a person's is the client's id.
    fn credential(&self) -> Option<Credential<'r>> {
        let app = self.claims.map_or("", |c| c.appid.get());
        let id = Joined { first: self.object_id(), second: "" };
        match self.kind() {
            PrincipalKind::Human => Credential::new(CredentialKind::UserObject, id),
            PrincipalKind::Workload if id.first.is_empty() => {
                Credential::new(CredentialKind::ServicePrincipal, Joined::one(app))
            }
            PrincipalKind::Workload => Credential::new(CredentialKind::ServicePrincipal, id),
            PrincipalKind::Role
            | PrincipalKind::AwsService
            | PrincipalKind::Root
            | PrincipalKind::Unknown
            | PrincipalKind::None => None,
        }
    }

    fn flow(&self) -> Flow {
        let workload = self.kind() == PrincipalKind::Workload;
        let mut flow = Flow::default();
        flow.set(FlowWord::ServicePrincipal, workload && !self.is_managed());
        flow.set(FlowWord::ManagedIdentity, self.is_managed());
        flow
    }
}

/// A GUID with its hyphens: `8-4-4-4-12` hex digits.
fn hyphenated(id: &str) -> Cow<'_, str> {
    if id.len() != 32 || !id.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Cow::Borrowed(id);
    }
    let parts = [&id[..8], &id[8..12], &id[12..16], &id[16..20], &id[20..]];
    Cow::Owned(parts.join("-"))
}
