//! Microsoft Entra sign-in logs: SignInLogs, NonInteractiveUserSignInLogs, ServicePrincipalSignInLogs,
//! ManagedIdentitySignInLogs.
//!
//! In: one record of a diagnostic setting. Out: one [`Event`]. Fields: Microsoft Learn, "signIn resource type"
//! and "Sign-in log schema in Azure Monitor". Top-level keys may be lower-cased, `properties` may be text.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::decode::columns::{Event, Flow};
use crate::decode::json::{First, Object, Text};
use crate::decode::{Problem, time};

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Record<'a> {
    #[serde(borrow)]
    time: Text<'a>,
    #[serde(alias = "Category")]
    category: Text<'a>,
    #[serde(alias = "tenantid", alias = "TenantId")]
    tenant_id: Text<'a>,
    #[serde(alias = "calleripaddress", alias = "CallerIpAddress")]
    caller_ip_address: Text<'a>,
    #[serde(alias = "resulttype", alias = "ResultType")]
    result_type: Text<'a>,
    #[serde(alias = "correlationid", alias = "CorrelationId")]
    correlation_id: Text<'a>,
    properties: Option<&'a RawValue>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Properties<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    created_date_time: Text<'a>,
    user_id: Text<'a>,
    user_principal_name: Text<'a>,
    service_principal_id: Text<'a>,
    service_principal_name: Text<'a>,
    service_principal_credential_key_id: Text<'a>,
    federated_credential_id: Text<'a>,
    app_id: Text<'a>,
    app_display_name: Text<'a>,
    client_credential_type: Text<'a>,
    user_agent: Text<'a>,
    ip_address: Text<'a>,
    resource_display_name: Text<'a>,
    resource_id: Text<'a>,
    status: Object<Status<'a>>,
    is_interactive: Text<'a>,
    authentication_requirement: Text<'a>,
    authentication_details: First<AuthenticationDetail<'a>>,
    authentication_protocol: Text<'a>,
    device_detail: Object<Device<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Status<'a> {
    #[serde(borrow)]
    error_code: Text<'a>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct AuthenticationDetail<'a> {
    #[serde(borrow)]
    authentication_method: Text<'a>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Device<'a> {
    #[serde(borrow)]
    device_id: Text<'a>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Category {
    Interactive,
    NonInteractive,
    ServicePrincipal,
    ManagedIdentity,
}

impl Category {
    fn of(text: &Text<'_>) -> Option<Self> {
        let known = [
            ("SignInLogs", Self::Interactive),
            ("NonInteractiveUserSignInLogs", Self::NonInteractive),
            ("ServicePrincipalSignInLogs", Self::ServicePrincipal),
            ("ManagedIdentitySignInLogs", Self::ManagedIdentity),
        ];
        known.into_iter().find(|(name, _)| text.is(name)).map(|(_, category)| category)
    }

    fn is_person(self) -> bool {
        matches!(self, Self::Interactive | Self::NonInteractive)
    }
}

/// Reads one record.
pub(super) fn read(json: &str) -> Result<Event<'_>, Problem> {
    let record: Record<'_> = serde_json::from_str(json)?;
    let category = Category::of(&record.category).ok_or(Problem::missing("category"))?;
    let raw = record.properties.map_or("{}", RawValue::get);
    if raw.starts_with('"') {
        let text: String = serde_json::from_str(raw)?;
        let properties: Properties<'_> = serde_json::from_str(&text)?;
        return event(record, category, properties).map(into_owned);
    }
    let properties: Object<Properties<'_>> = serde_json::from_str(raw)?;
    event(record, category, properties.0)
}

fn event<'a, 'p>(record: Record<'a>, category: Category, p: Properties<'p>) -> Result<Event<'p>, Problem>
where
    'a: 'p,
{
    let written =
        p.created_date_time.get().and_then(time::parse).or_else(|| record.time.get().and_then(time::parse));
    let nothing_written = record.time.get().is_none() && p.created_date_time.get().is_none();
    let problem = if nothing_written { Problem::missing("time") } else { Problem::bad("time") };
    let event_time = written.ok_or(problem)?;
    let status = p.status.0.error_code.number().or_else(|| record.result_type.number());
    let flow = flow(category, &p);
    let (kind, secret) = credential(category, &p);
    let principal = if category.is_person() {
        p.user_principal_name.take().or_else(|| p.user_id.take())
    } else {
        p.service_principal_id
            .take()
            .or_else(|| p.service_principal_name.take())
            .or_else(|| p.app_id.clone().take())
    };
    Ok(Event {
        event_time,
        event_id: p.id.take(),
        action: record.category.take(),
        outcome: outcome(status, record.result_type.get()),
        status_code: status,
        principal,
        principal_kind: if category.is_person() { "human" } else { "workload" },
        credential_kind: kind,
        credential_attribution: kind.map(|_| 1.0),
        credential_secret: secret,
        source_ip: record.caller_ip_address.take().or_else(|| p.ip_address.take()),
        user_agent: p.user_agent.take(),
        flow,
        account: record.tenant_id.take(),
        target: p
            .resource_display_name
            .take()
            .or_else(|| p.resource_id.take())
            .or_else(|| p.app_display_name.take()),
        trace_id: record.correlation_id.take(),
        ..Event::default()
    })
}

/// The service principal's key id, else its own id; a user's object id.
fn credential<'a>(category: Category, p: &Properties<'a>) -> (Option<&'static str>, Option<Cow<'a, str>>) {
    let (kind, secret) = if category.is_person() {
        ("user_object", p.user_id.clone().take())
    } else if let Some(key) = p.service_principal_credential_key_id.clone().take() {
        ("service_principal_key", Some(key))
    } else {
        ("service_principal", p.service_principal_id.clone().take())
    };
    (secret.as_ref().map(|_| kind), secret)
}

fn flow(category: Category, p: &Properties<'_>) -> Flow {
    let mfa = p.authentication_requirement.is("multiFactorAuthentication");
    let detailed = p.authentication_details.0.authentication_method.get().is_some();
    let interactive =
        category == Category::Interactive && (p.is_interactive.get().is_none() || p.is_interactive.is_true());
    let mut flow = Flow::default();
    flow.add_if(interactive, "interactive");
    flow.add_if(category == Category::NonInteractive, "non_interactive");
    flow.add_if(mfa && (detailed || interactive), "mfa");
    flow.add_if(p.device_detail.0.device_id.get().is_some(), "device_id");
    flow.add_if(category == Category::ServicePrincipal, "service_principal");
    flow.add_if(category == Category::ManagedIdentity, "managed_identity");
    let federated = p.federated_credential_id.get().is_some()
        || p.client_credential_type.is("federatedIdentityCredential");
    flow.add_if(federated, "federated_credential");
    flow.add_if(p.authentication_protocol.is("ropc"), "ropc");
    flow
}

/// 0 is success; anything else was refused (Microsoft Learn, "Microsoft Entra authentication error codes").
fn outcome(status: Option<i64>, result: Option<&str>) -> &'static str {
    match (status, result) {
        (Some(0), _) | (None, Some("Success" | "success")) => "success",
        (Some(_), _) | (None, Some("Failure" | "failure")) => "denied",
        (None, _) => "unknown",
    }
}

/// Nothing borrowed: the text it came from ends here.
fn into_owned(event: Event<'_>) -> Event<'static> {
    let own = |text: Option<Cow<'_, str>>| text.map(|t| Cow::Owned(t.into_owned()));
    Event {
        event_time: event.event_time,
        event_id: own(event.event_id),
        action: own(event.action),
        outcome: event.outcome,
        status_code: event.status_code,
        principal: own(event.principal),
        principal_kind: event.principal_kind,
        credential_kind: event.credential_kind,
        credential_attribution: event.credential_attribution,
        credential_secret: own(event.credential_secret),
        source_ip: own(event.source_ip),
        user_agent: own(event.user_agent),
        flow: event.flow,
        account: own(event.account),
        target: own(event.target),
        trace_id: own(event.trace_id),
        ..Event::default()
    }
}
