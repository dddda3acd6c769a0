//! Microsoft Entra sign-in logs, the four categories. In: one record of the Azure Monitor export. Out: one
//! event. Top-level keys may be lower-cased, and `properties` may be a JSON string. A record of another
//! category is refused as unknown.
//!
//! <https://learn.microsoft.com/en-us/entra/identity/monitoring-health/reference-azure-monitor-sign-ins-log-schema>,
//! <https://learn.microsoft.com/en-us/graph/api/resources/signin>,
//! <https://learn.microsoft.com/en-us/azure/azure-monitor/reference/tables/aadserviceprincipalsigninlogs>,
//! <https://learn.microsoft.com/en-us/entra/identity-platform/reference-error-codes>

use std::borrow::Cow;

use serde::Deserialize;

use super::RejectReason;
use super::columns::{Credential, CredentialKind, Fields, Flow, FlowWord, Joined, Outcome, PrincipalKind};
use super::format::{Family, Layout, Row};
use super::json::{self, Flag, Nested, Refusal, Text, first_of};
use super::time;

pub(super) const LAYOUT: Layout =
    Layout { name: "entra_signin", family: Family::Identity, signatures: &[&["SignInLogs\""]], read };

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct SignIn<'a> {
    #[serde(borrow)]
    time: Text<'a>,
    category: Text<'a>,
    #[serde(alias = "tenantid")]
    tenant_id: Text<'a>,
    #[serde(alias = "calleripaddress")]
    caller_ip_address: Text<'a>,
    #[serde(alias = "correlationid")]
    correlation_id: Text<'a>,
    #[serde(alias = "resulttype")]
    result_type: Text<'a>,
    properties: Nested<'a, Properties<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Properties<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    created_date_time: Text<'a>,
    user_id: Text<'a>,
    user_principal_name: Text<'a>,
    service_principal_id: Text<'a>,
    service_principal_name: Text<'a>,
    service_principal_credential_key_id: Text<'a>,
    service_principal_credential_thumbprint: Text<'a>,
    federated_credential_id: Text<'a>,
    client_credential_type: Text<'a>,
    user_agent: Text<'a>,
    ip_address: Text<'a>,
    resource_display_name: Text<'a>,
    resource_id: Text<'a>,
    correlation_id: Text<'a>,
    status: Nested<'a, Status<'a>>,
    unique_token_identifier: Text<'a>,
    is_interactive: Flag,
    authentication_requirement: Text<'a>,
    authentication_protocol: Text<'a>,
    device_detail: Nested<'a, Device<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Status<'a> {
    #[serde(borrow)]
    error_code: Text<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Device<'a> {
    #[serde(borrow)]
    device_id: Text<'a>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Category {
    Interactive,
    NonInteractive,
    ServicePrincipal,
    ManagedIdentity,
}

impl Category {
    fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "SignInLogs" => Self::Interactive,
            "NonInteractiveUserSignInLogs" => Self::NonInteractive,
            "ServicePrincipalSignInLogs" => Self::ServicePrincipal,
            "ManagedIdentitySignInLogs" => Self::ManagedIdentity,
            _ => return None,
        })
    }

    fn is_user(self) -> bool {
        matches!(self, Self::Interactive | Self::NonInteractive)
    }
}

/// Reads the record, and its properties where they were written as a string.
fn read(text: &str, row: &mut Row<'_>) -> Result<(), Refusal> {
    let record: SignIn<'_> = json::parse(text)?;
    if let Nested::Written(written) = &record.properties {
        let properties = json::parse_written(written, "properties: not JSON")?;
        row.append(&fields(&record, Some(&properties))?);
    } else {
        row.append(&fields(&record, record.properties.object())?);
    }
    Ok(())
}

/// The facts of one record; `properties` is handed in because it may have been written as a string.
fn fields<'r>(record: &'r SignIn<'_>, properties: Option<&'r Properties<'_>>) -> Result<Fields<'r>, Refusal> {
    let Some(category) = Category::parse(record.category.get()) else {
        return Err(Refusal::new(RejectReason::UnknownFormat, "category: not a sign-in log"));
    };
    let Some(properties) = properties else {
        return Err(Refusal::new(RejectReason::MissingField, "properties"));
    };
    let outcome = outcome(record, properties);
    Ok(Fields {
        event_time: event_time(record, properties)?,
        event_id: properties.id.get(),
        action: Joined::one(record.category.get()),
        outcome,
        status_code: error_code(record, properties),
        error: if outcome == Outcome::Success { "" } else { error(record, properties) },
        issued: if outcome == Outcome::Success { properties.unique_token_identifier.get() } else { "" },
        principal: Cow::Borrowed(principal(properties, category)),
        principal_kind: if category.is_user() { PrincipalKind::Human } else { PrincipalKind::Workload },
        credential: (outcome == Outcome::Success).then(|| credential(properties, category)).flatten(),
        source_ip: first_of(&[properties.ip_address.get(), record.caller_ip_address.get()]),
        user_agent: properties.user_agent.get(),
        flow: flow(properties, category, outcome),
        account: record.tenant_id.get(),
        target: first_of(&[properties.resource_display_name.get(), properties.resource_id.get()]),
        trace_id: first_of(&[properties.correlation_id.get(), record.correlation_id.get()]),
        ..Fields::default()
    })
}

/// When the sign-in happened, else when the record was written.
fn event_time(record: &SignIn<'_>, properties: &Properties<'_>) -> Result<i64, Refusal> {
    let text = first_of(&[properties.created_date_time.get(), record.time.get()]);
    if text.is_empty() {
        return Err(Refusal::new(RejectReason::MissingField, "properties.createdDateTime and time"));
    }
    time::micros(text)
        .ok_or_else(|| Refusal::new(RejectReason::BadField, "properties.createdDateTime or time: not a time"))
}

fn principal<'r>(properties: &'r Properties<'_>, category: Category) -> &'r str {
    if category.is_user() {
        first_of(&[properties.user_id.get(), properties.user_principal_name.get()])
    } else {
        first_of(&[properties.service_principal_id.get(), properties.service_principal_name.get()])
    }
}

/// `resultType` repeats the status's error code; where it is a word, or missing, the status has the code.
fn error<'r>(record: &'r SignIn<'_>, properties: &'r Properties<'_>) -> &'r str {
    let code = properties.status.object().map_or("", |s| s.error_code.get());
    first_of(&[code, record.result_type.get()])
}

fn error_code(record: &SignIn<'_>, properties: &Properties<'_>) -> Option<i64> {
    let status = properties.status.object().and_then(|s| s.error_code.get().parse().ok());
    status.or_else(|| record.result_type.get().parse().ok())
}

fn outcome(record: &SignIn<'_>, properties: &Properties<'_>) -> Outcome {
    match (error_code(record, properties), record.result_type.get()) {
        (Some(code), _) => outcome_of(code),
        (None, word) if word.eq_ignore_ascii_case("success") => Outcome::Success,
        (None, word) if word.eq_ignore_ascii_case("failure") => Outcome::Denied,
        (None, _) => Outcome::Unknown,
    }
}

/// AADSTS codes: the directory's own failures, its throttling, steps of a sign-in that goes on (nobody is signed in
/// yet, an enrolment, a registration, "keep me signed in"), and everything else a refusal.
fn outcome_of(code: i64) -> Outcome {
    match code {
        0 => Outcome::Success,
        50_058 | 50_072 | 50_125 | 50_140 => Outcome::Unknown,
        50_000 | 50_033 | 50_087 | 90_006 | 90_012 | 90_024 | 90_033 => Outcome::Failure,
        50_196 | 90_055 => Outcome::Throttled,
        _ => Outcome::Denied,
    }
}

/// Only a successful sign-in used a credential. Managed identities have keys that Azure rotates: the identity itself is their credential.
fn credential<'r>(properties: &'r Properties<'_>, category: Category) -> Option<Credential<'r>> {
    if category.is_user() {
        return Credential::new(CredentialKind::UserObject, Joined::one(properties.user_id.get()));
    }
    let key = first_of(&[
        properties.service_principal_credential_key_id.get(),
        properties.service_principal_credential_thumbprint.get(),
        properties.federated_credential_id.get(),
    ]);
    if category == Category::ManagedIdentity || key.is_empty() || is_nil(key) {
        let identity = Joined::one(properties.service_principal_id.get());
        return Credential::new(CredentialKind::ServicePrincipal, identity);
    }
    Credential::new(CredentialKind::ServicePrincipalKey, Joined::one(key))
}

/// The nil GUID, written where there is no id.
fn is_nil(id: &str) -> bool {
    id.bytes().all(|b| b == b'0' || b == b'-')
}

/// A non-interactive sign-in may say MFA because its token once saw it: only an interactive one counts.
fn flow(properties: &Properties<'_>, category: Category, outcome: Outcome) -> Flow {
    let user = category.is_user();
    let ropc = is_ropc(properties);
    let interactive = properties.is_interactive.0.unwrap_or(category == Category::Interactive);
    let (interactive, person) = (user && interactive && !ropc, user && !ropc);
    let required_mfa = properties.authentication_requirement.get() == "multiFactorAuthentication";
    let device = properties.device_detail.object().map_or("", |d| d.device_id.get());
    let federated = properties.federated_credential_id.get();
    let by_federation = properties.client_credential_type.get() == "federatedIdentityCredential";
    let mut flow = Flow::default();
    flow.set(FlowWord::Interactive, interactive);
    flow.set(FlowWord::NonInteractive, person && !interactive);
    flow.set(FlowWord::Mfa, interactive && required_mfa && outcome == Outcome::Success);
    flow.set(FlowWord::DeviceId, user && !device.is_empty() && !is_nil(device));
    flow.set(FlowWord::ServicePrincipal, category == Category::ServicePrincipal);
    flow.set(FlowWord::ManagedIdentity, category == Category::ManagedIdentity);
    flow.set(FlowWord::FederatedCredential, by_federation || !federated.is_empty() && !is_nil(federated));
    flow.set(FlowWord::Ropc, ropc);
    flow.set(FlowWord::Delegated, user && is_confidential(properties));
    flow
}

/// The application proved an identity of its own: what it got for the user, it holds as itself. Programs on a
/// person's own device cannot.
fn is_confidential(properties: &Properties<'_>) -> bool {
    !matches!(properties.client_credential_type.get(), "" | "none")
}

/// A password that a program sent is logged as an interactive sign-in; mail services that do it for old
/// clients call themselves BAV2ROPC.
fn is_ropc(properties: &Properties<'_>) -> bool {
    properties.authentication_protocol.get().eq_ignore_ascii_case("ropc")
        || properties.user_agent.get() == "BAV2ROPC"
}
