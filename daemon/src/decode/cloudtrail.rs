//! AWS CloudTrail: management, data and network activity events. In: one record. Out: one event. What an AWS
//! service does by itself or on behalf of somebody gets no credential: it is not the credential's user.
//!
//! <https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference-record-contents.html>,
//! <https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference-user-identity.html>,
//! <https://docs.aws.amazon.com/awscloudtrail/latest/APIReference/API_Event.html>,
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/cloudtrail-integration.html>,
//! <https://docs.aws.amazon.com/bedrock/latest/userguide/logging-cloudtrail-mantle.html>,
//! <https://docs.aws.amazon.com/bedrock-agentcore/latest/devguide/understanding-gateway-cloudtrail-log-entries.html>

mod identity;
mod record;

use super::RejectReason;
use super::arn;
use super::columns::{Fields, Joined, Outcome};
use super::format::{Family, Layout, read_record};
use super::json::{Nested, Refusal, first_of};
use super::time;
use record::{Record, RequestParameters, ResponseElements};

pub(super) const LAYOUT: Layout = Layout {
    name: "cloudtrail",
    family: Family::CloudAudit,
    signatures: &[&["\"eventSource\"", "\"eventName\""]],
    read: |text, row| read_record(text, row, fields),
};

/// The facts of one record.
fn fields<'r>(record: &'r Record<'_>) -> Result<Fields<'r>, Refusal> {
    let source = record.event_source.get();
    if source.is_empty() && record.event_name.get().is_empty() {
        return Err(Refusal::new(RejectReason::UnknownFormat, "neither eventSource nor eventName"));
    }
    let mut fields = Fields {
        event_time: event_time(record)?,
        event_id: record.event_id.get(),
        action: Joined::two(source, action_name(source, record.event_name.get())),
        outcome: outcome(record),
        status_code: record.response_elements.object().and_then(|r| gateway_status(record, r)),
        error: record.error_code.get(),
        issued: record.response_elements.object().map_or("", ResponseElements::issued_key),
        user_agent: user_agent(record.user_agent.get()),
        region: record.aws_region.get(),
        target: target(record),
        model: model(record),
        tool: record.request_parameters.object().map_or("", RequestParameters::tool),
        trace_id: record.request_id.get(),
        ..Fields::default()
    };
    identity::fill(record, &mut fields);
    Ok(fields)
}

fn event_time(record: &Record<'_>) -> Result<i64, Refusal> {
    let text = first_of(&[record.event_time.get(), record.logged_at.get()]);
    if text.is_empty() {
        return Err(Refusal::new(RejectReason::MissingField, "eventTime"));
    }
    time::micros(text).ok_or_else(|| Refusal::new(RejectReason::BadField, "eventTime: not a time"))
}

/// S3 puts brackets around what the client sent.
fn user_agent(written: &str) -> &str {
    written.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(written)
}

/// Lambda writes its API version behind the name: `AddPermission20150331v2` is AddPermission.
fn action_name<'r>(source: &str, name: &'r str) -> &'r str {
    if source != "lambda.amazonaws.com" {
        return name;
    }
    let unversioned = match name.rsplit_once('v') {
        Some((head, revision)) if revision.len() == 1 && revision.as_bytes()[0].is_ascii_digit() => head,
        Some(_) | None => name,
    };
    let trimmed = unversioned.trim_end_matches(|c: char| c.is_ascii_digit());
    if unversioned.len() - trimmed.len() == 8 { trimmed } else { name }
}

fn outcome(record: &Record<'_>) -> Outcome {
    let response = record.response_elements.object();
    let sign_in = response.map_or("", |r| r.console_login.get());
    match record.error_code.get() {
        "" if sign_in.eq_ignore_ascii_case("failure") => Outcome::Denied,
        "" => response.and_then(|r| gateway_status(record, r)).map_or(Outcome::Success, Outcome::of_http),
        code => outcome_of(record.event_source.get(), code),
    }
}

/// What an AgentCore gateway answered. Elsewhere a `statusCode` may be what the caller configured.
fn gateway_status(record: &Record<'_>, response: &ResponseElements<'_>) -> Option<i64> {
    response.status_code.value().filter(|_| record.event_source.get() == "bedrock-agentcore.amazonaws.com")
}

const DENIED: [&str; 9] = [
    "AccessDenied",
    "Unauthorized",
    "NotAuthorized",
    "AuthFailure",
    "Forbidden",
    "InvalidClientTokenId",
    "SignatureDoesNotMatch",
    "ExpiredToken",
    "UnrecognizedClient",
];
const THROTTLED: [&str; 6] =
    ["Throttl", "TooManyRequests", "RequestLimitExceeded", "SlowDown", "ThroughputExceeded", "RateExceeded"];
const FAILED: [&str; 6] =
    ["Internal", "ServiceUnavailable", "ServiceFailure", "ModelError", "ModelTimeout", "ModelNotReady"];

/// S3 answers NoSuch... where a bucket simply has no such configuration: nothing went wrong.
fn outcome_of(source: &str, code: &str) -> Outcome {
    let is = |words: &[&str]| words.iter().any(|word| code.contains(word));
    let benign = code.starts_with("NoSuch") || code.ends_with("NotFoundError");
    match () {
        () if source == "s3.amazonaws.com" && benign => Outcome::Success,
        () if is(&DENIED) => Outcome::Denied,
        () if is(&THROTTLED) => Outcome::Throttled,
        () if is(&FAILED) => Outcome::Failure,
        () => Outcome::Rejected,
    }
}

fn target<'r>(record: &'r Record<'_>) -> &'r str {
    let asked = record.request_parameters.object().map_or("", RequestParameters::target);
    let Some(resource) = record.resources.0.as_ref().and_then(Nested::object) else { return asked };
    first_of(&[asked, resource.arn.get(), resource.arn_prefix.get()])
}

fn model<'r>(record: &'r Record<'_>) -> &'r str {
    if !record.event_source.get().starts_with("bedrock") {
        return "";
    }
    let model = record.request_parameters.object().map_or("", RequestParameters::model);
    arn::bedrock_model(model)
}
