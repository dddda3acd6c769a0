//! AWS CloudTrail records.
//!
//! In: one record. Out: one [`Event`]. Fields: CloudTrail user guide, "CloudTrail record contents" and
//! "CloudTrail userIdentity element"; console sign-ins: "AWS Management Console sign-in events". The
//! rotating ASIA key is never a credential: the session's issuer and name are.

use std::borrow::Cow;

use serde::Deserialize;

use crate::decode::columns::{Event, Flow};
use crate::decode::json::{First, Object, Text};
use crate::decode::{Problem, time};

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Record<'a> {
    #[serde(borrow)]
    event_time: Text<'a>,
    #[serde(rename = "@timestamp")]
    at_timestamp: Text<'a>,
    #[serde(rename = "eventID")]
    event_id: Text<'a>,
    event_source: Text<'a>,
    event_name: Text<'a>,
    event_version: Text<'a>,
    error_code: Text<'a>,
    aws_region: Text<'a>,
    recipient_account_id: Text<'a>,
    #[serde(rename = "sourceIPAddress")]
    source_ip_address: Text<'a>,
    user_agent: Text<'a>,
    #[serde(rename = "requestID")]
    request_id: Text<'a>,
    session_credential_from_console: Text<'a>,
    user_identity: Object<Identity<'a>>,
    request_parameters: Object<RequestParameters<'a>>,
    response_elements: Object<ResponseElements<'a>>,
    additional_event_data: Object<AdditionalData<'a>>,
    resources: First<Resource<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Identity<'a> {
    #[serde(rename = "type", borrow)]
    kind: Text<'a>,
    principal_id: Text<'a>,
    arn: Text<'a>,
    account_id: Text<'a>,
    access_key_id: Text<'a>,
    user_name: Text<'a>,
    invoked_by: Text<'a>,
    session_context: Object<SessionContext<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct SessionContext<'a> {
    #[serde(borrow)]
    session_issuer: Object<Issuer<'a>>,
    attributes: Object<Attributes<'a>>,
    web_id_federation_data: Object<Federation<'a>>,
    source_identity: Text<'a>,
    ec2_role_delivery: Text<'a>,
    session_credential_from_console: Text<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Issuer<'a> {
    #[serde(borrow)]
    arn: Text<'a>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Attributes<'a> {
    #[serde(borrow)]
    mfa_authenticated: Text<'a>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Federation<'a> {
    #[serde(borrow)]
    federated_provider: Text<'a>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct RequestParameters<'a> {
    #[serde(borrow)]
    model_id: Text<'a>,
    role_arn: Text<'a>,
    bucket_name: Text<'a>,
    function_name: Text<'a>,
    table_name: Text<'a>,
    secret_id: Text<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct ResponseElements<'a> {
    #[serde(rename = "ConsoleLogin", borrow)]
    console_login: Text<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct AdditionalData<'a> {
    #[serde(rename = "MFAUsed", borrow)]
    mfa_used: Text<'a>,
    #[serde(rename = "callWithBearerToken")]
    bearer_token: Text<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Resource<'a> {
    #[serde(rename = "ARN", alias = "arn", borrow)]
    arn: Text<'a>,
}

/// Who acted, in the words of the event schema.
struct Actor<'a> {
    principal: Option<Cow<'a, str>>,
    kind: &'static str,
    session_name: Option<Cow<'a, str>>,
}

/// Reads one record.
pub(super) fn read(json: &str) -> Result<Event<'_>, Problem> {
    let record: Record<'_> = serde_json::from_str(json)?;
    if record.event_source.get().is_none() || record.event_name.get().is_none() {
        return Err(Problem::missing("eventSource or eventName"));
    }
    let written =
        record.event_time.get().or(record.at_timestamp.get()).ok_or(Problem::missing("eventTime"))?;
    let event_time = time::parse(written).ok_or(Problem::bad("eventTime"))?;
    let actor = actor(&record);
    let flow = flow(&record, &actor);
    let mut event = Event { event_time, outcome: outcome(&record), flow, ..Event::default() };
    add_credential(&mut event, &record, &actor);
    event.principal_kind = actor.kind;
    event.principal = actor.principal;
    event.session_name = actor.session_name;
    add_target(&mut event, record);
    Ok(event)
}

fn owned<'a>(text: &Text<'a>) -> Option<Cow<'a, str>> {
    text.clone().take()
}

/// An AWS service acts on somebody's behalf: not a person's nor a workload's use of a credential.
fn is_aws_service(record: &Record<'_>) -> bool {
    let identity = &record.user_identity.0;
    let from_service = record
        .source_ip_address
        .get()
        .is_some_and(|ip| ip.ends_with(".amazonaws.com") || ip == "AWS Internal");
    let linked = [&identity.arn, &identity.session_context.0.session_issuer.0.arn];
    let linked = linked.iter().any(|arn| {
        arn.get().is_some_and(|a| a.contains("/aws-service-role/") || a.contains("AWSServiceRoleFor"))
    });
    identity.kind.is("AWSService") || identity.invoked_by.get().is_some() || from_service || linked
}

fn actor<'a>(record: &Record<'a>) -> Actor<'a> {
    let identity = &record.user_identity.0;
    let session = &identity.session_context.0;
    let issuer = owned(&session.session_issuer.0.arn);
    let own =
        owned(&identity.arn).or_else(|| owned(&identity.principal_id)).or_else(|| owned(&identity.user_name));
    let own = own.or_else(|| owned(&identity.invoked_by));
    if is_aws_service(record) {
        return Actor { principal: issuer.or(own), kind: "aws_service", session_name: None };
    }
    let assumed = identity.kind.is("AssumedRole") || identity.kind.is("FederatedUser");
    let named =
        owned(&session.source_identity).or_else(|| if assumed { session_name(identity) } else { None });
    let kind = match identity.kind.get() {
        Some("Root") => "root",
        Some("AssumedRole") => "role",
        Some("WebIdentityUser") => "workload",
        Some("SAMLUser") => "human",
        _ => "unknown",
    };
    let principal = if assumed { issuer.or_else(|| own.map(role_of_session)) } else { own };
    Actor { principal, kind, session_name: named }
}

/// The part after `:` in the principal id, else the last part of the ARN.
fn session_name<'a>(identity: &Identity<'a>) -> Option<Cow<'a, str>> {
    let from_id =
        owned(&identity.principal_id).and_then(|id| id.split_once(':').map(|(_, name)| name.to_owned()));
    let from_arn =
        || owned(&identity.arn).and_then(|arn| arn.rsplit_once('/').map(|(_, name)| name.to_owned()));
    from_id.or_else(from_arn).map(Cow::Owned)
}

/// `arn:aws:sts::1:assumed-role/NAME/SESSION` without its session.
fn role_of_session(arn: Cow<'_, str>) -> Cow<'_, str> {
    match arn.rsplit_once('/') {
        Some((role, _)) if arn.contains(":assumed-role/") => Cow::Owned(role.to_owned()),
        _ => arn,
    }
}

fn is_instance_session(name: Option<&str>) -> bool {
    name.and_then(|n| n.strip_prefix("i-"))
        .is_some_and(|id| id.len() >= 8 && id.bytes().all(|b| b.is_ascii_hexdigit()))
}

fn flow(record: &Record<'_>, actor: &Actor<'_>) -> Flow {
    let session = &record.user_identity.0.session_context.0;
    let agent = record.user_agent.get().unwrap_or("");
    let console =
        record.session_credential_from_console.is_true() || session.session_credential_from_console.is_true();
    let sso = actor.principal.as_deref().is_some_and(|p| p.contains("AWSReservedSSO_"));
    let mut flow = Flow::default();
    flow.add_if(record.event_name.is("ConsoleLogin"), "console_login");
    flow.add_if(console, "console_session");
    flow.add_if(
        session.attributes.0.mfa_authenticated.is_true() || record.additional_event_data.0.mfa_used.is_true(),
        "mfa",
    );
    flow.add_if(agent.contains("exec-env/CloudShell"), "cloudshell");
    flow.add_if(session.ec2_role_delivery.get().is_some(), "ec2_role_delivery");
    flow.add_if(is_instance_session(actor.session_name.as_deref()), "instance_session");
    let federated = session.web_id_federation_data.0.federated_provider.get().is_some();
    flow.add_if(federated || record.user_identity.0.kind.is("WebIdentityUser"), "web_identity");
    flow.add_if(agent.contains("exec-env/AWS_Lambda"), "lambda_exec_env");
    flow.add_if(agent.contains("exec-env/AWS_ECS"), "ecs_exec_env");
    flow.add_if(sso, "sso_session");
    flow.add_if(session.source_identity.get().is_some(), "source_identity");
    flow.add_if(record.additional_event_data.0.bearer_token.is_true(), "bearer_token");
    flow
}

fn outcome(record: &Record<'_>) -> &'static str {
    if let Some(login) = record.response_elements.0.console_login.get() {
        return if login == "Success" { "success" } else { "denied" };
    }
    match record.error_code.get() {
        None => "success",
        Some(code)
            if code.contains("AccessDenied")
                || code.contains("Unauthorized")
                || code.contains("UnauthenticatedException") =>
        {
            "denied"
        }
        Some(code)
            if code.contains("Throttl")
                || code.contains("TooManyRequests")
                || code.contains("LimitExceeded") =>
        {
            "throttled"
        }
        Some(code) if code.contains("Internal") || code.contains("ServiceUnavailable") => "failure",
        // S3's NoSuchKey and its like answer a question: nothing failed and nothing was refused.
        Some(code) if code.starts_with("NoSuch") => "success",
        Some(_) => "rejected",
    }
}

fn add_credential<'a>(event: &mut Event<'a>, record: &Record<'a>, actor: &Actor<'a>) {
    let identity = &record.user_identity.0;
    if actor.kind == "aws_service" {
        return;
    }
    let key = owned(&identity.access_key_id);
    if key.as_deref().is_some_and(|k| k.starts_with("AKIA")) {
        event.credential_kind = Some("static_key");
        event.credential_secret = key;
        event.credential_attribution = Some(1.0);
    } else if let (Some(principal), Some(session)) = (&actor.principal, &actor.session_name) {
        let named = identity.session_context.0.source_identity.get().is_some()
            || principal.contains("AWSReservedSSO_");
        event.credential_kind = Some("role_session");
        event.credential_secret = Some(Cow::Owned(format!("{principal}\n{session}")));
        event.credential_attribution = Some(if named { 0.2 } else { 1.0 });
    } else if record.event_name.is("ConsoleLogin") && actor.principal.is_some() {
        event.credential_kind = Some("console");
        event.credential_secret.clone_from(&actor.principal);
        event.credential_attribution = Some(1.0);
    }
}

fn add_target<'a>(event: &mut Event<'a>, record: Record<'a>) {
    let Record { event_source, event_name, request_parameters, .. } = record;
    let (service, name) = (event_source.take().unwrap_or_default(), event_name.take().unwrap_or_default());
    event.action = Some(Cow::Owned(format!("{service}:{name}")));
    let parameters = request_parameters.0;
    let named = [
        parameters.role_arn,
        parameters.bucket_name,
        parameters.function_name,
        parameters.table_name,
        parameters.secret_id,
    ];
    event.model = parameters.model_id.take();
    event.target = record
        .resources
        .0
        .arn
        .take()
        .or_else(|| named.into_iter().find_map(Text::take))
        .or_else(|| event.model.clone());
    event.account = record.recipient_account_id.take().or_else(|| record.user_identity.0.account_id.take());
    event.region = record.aws_region.take();
    event.event_id = record.event_id.take();
    event.source_ip = record.source_ip_address.take();
    event.user_agent = record.user_agent.take();
    event.trace_id = record.request_id.take();
    debug_assert!(record.event_version.get().is_none_or(|v| !v.is_empty()), "empty text is absent");
}
