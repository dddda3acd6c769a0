//! AWS Bedrock model invocation log. In: one record. Out: one event. It tells what CloudTrail does not (which
//! model answered, for whom) and lacks what CloudTrail has (key, address, client). Prompts and answers are never
//! kept. It holds no key: the role session is the credential, and a user's is known by its ARN. CloudTrail has the
//! same calls: of one account read one of the two, or each call counts twice. Calls of `bedrock-mantle` are in
//! CloudTrail only.
//!
//! <https://docs.aws.amazon.com/bedrock/latest/userguide/model-invocation-logging.html>

use std::borrow::Cow;

use serde::Deserialize;

use super::RejectReason;
use super::arn;
use super::columns::{Credential, CredentialKind, Fields, Joined, Outcome, PrincipalKind};
use super::format::{Family, Layout, read_record};
use super::json::{Nested, Refusal, Text};
use super::time;

pub(super) const LAYOUT: Layout = Layout {
    name: "bedrock_invocation",
    family: Family::CloudAudit,
    signatures: &[&["\"ModelInvocationLog\"", "\"modelId\""]],
    read: |text, row| read_record(text, row, fields),
};

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Invocation<'a> {
    #[serde(borrow)]
    schema_type: Text<'a>,
    timestamp: Text<'a>,
    account_id: Text<'a>,
    region: Text<'a>,
    request_id: Text<'a>,
    operation: Text<'a>,
    model_id: Text<'a>,
    error_code: Text<'a>,
    identity: Nested<'a, Identity<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Identity<'a> {
    #[serde(borrow)]
    arn: Text<'a>,
}

fn fields<'r>(call: &'r Invocation<'_>) -> Result<Fields<'r>, Refusal> {
    if call.schema_type.get() != "ModelInvocationLog" {
        return Err(Refusal::new(RejectReason::UnknownFormat, "schemaType: not ModelInvocationLog"));
    }
    let arn = call.identity.object().map_or("", |identity| identity.arn.get());
    let session = arn::session_of(arn);
    let role = arn::role_arn(arn);
    Ok(Fields {
        event_time: event_time(call)?,
        event_id: call.request_id.get(),
        action: Joined::two("bedrock.amazonaws.com", call.operation.get()),
        outcome: outcome(call),
        error: call.error_code.get(),
        principal_kind: kind(arn, role.is_some()),
        session_name: session,
        credential: credential(role.clone(), arn, session),
        principal: role.unwrap_or(Cow::Borrowed(arn)),
        account: call.account_id.get(),
        region: call.region.get(),
        model: arn::bedrock_model(call.model_id.get()),
        trace_id: call.request_id.get(),
        ..Fields::default()
    })
}

fn event_time(call: &Invocation<'_>) -> Result<i64, Refusal> {
    let text = call.timestamp.get();
    if text.is_empty() {
        return Err(Refusal::new(RejectReason::MissingField, "timestamp"));
    }
    time::micros(text).ok_or_else(|| Refusal::new(RejectReason::BadField, "timestamp: not a time"))
}

/// The log is of calls that a model answered, unless it names an error.
fn outcome(call: &Invocation<'_>) -> Outcome {
    let error = call.error_code.get();
    let is = |word: &str| error.contains(word);
    match () {
        () if error.is_empty() => Outcome::Success,
        () if is("AccessDenied") || is("Unauthorized") => Outcome::Denied,
        () if is("Throttl") || is("TooManyRequests") || is("Quota") => Outcome::Throttled,
        () if is("Validation") || is("NotFound") => Outcome::Rejected,
        () => Outcome::Failure,
    }
}

fn kind(arn: &str, is_role: bool) -> PrincipalKind {
    match () {
        () if arn.is_empty() => PrincipalKind::None,
        () if arn.ends_with(":root") => PrincipalKind::Root,
        () if is_role => PrincipalKind::Role,
        () => PrincipalKind::Unknown,
    }
}

/// The same keys as CloudTrail's, so that both logs speak of one credential.
fn credential<'r>(role: Option<Cow<'r, str>>, arn: &'r str, session: &'r str) -> Option<Credential<'r>> {
    match role {
        Some(role) => Credential::new(CredentialKind::RoleSession, Joined { first: role, second: session }),
        None => Credential::new(CredentialKind::Session, Joined::one(arn)),
    }
}
