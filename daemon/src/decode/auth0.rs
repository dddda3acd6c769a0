//! Auth0 tenant logs. In: one log event, `{log_id, data}` of a log stream or flat from the Management API; its
//! `details` may be an object, JSON in a string, or any text. Out: one event. Whether it failed is in its type's
//! code. Bodies of requests and answers are never kept.
//!
//! <https://auth0.com/docs/deploy-monitor/logs/log-event-type-codes>,
//! <https://auth0.com/docs/deploy-monitor/logs/prompt-details-in-tenant-logs>,
//! <https://auth0.com/docs/customize/log-streams>; a JSON schema of every type: auth0/auth0-log-schemas on GitHub

use std::borrow::Cow;

use serde::Deserialize;

use super::RejectReason;
use super::columns::{Credential, CredentialKind, Fields, Flow, FlowWord, Joined, Outcome, PrincipalKind};
use super::format::{Family, Layout, Row};
use super::json::{self, Many, Nested, Number, Refusal, Text, first_of};
use super::time;

pub(super) const LAYOUT: Layout = Layout {
    name: "auth0",
    family: Family::Identity,
    signatures: &[&["\"log_id\"", "\"type\"", "\"date\""]],
    read,
};

#[derive(Deserialize, Default)]
#[serde(default)]
struct Record<'a> {
    #[serde(borrow)]
    data: Nested<'a, Log<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Log<'a> {
    #[serde(borrow)]
    date: Text<'a>,
    log_id: Text<'a>,
    r#type: Text<'a>,
    user_id: Text<'a>,
    user_name: Text<'a>,
    client_id: Text<'a>,
    client_name: Text<'a>,
    audience: Text<'a>,
    ip: Text<'a>,
    user_agent: Text<'a>,
    tenant: Text<'a>,
    #[serde(alias = "tenantName")]
    tenant_name: Text<'a>,
    hostname: Text<'a>,
    session_id: Text<'a>,
    references: Nested<'a, References<'a>>,
    details: Nested<'a, Details<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct References<'a> {
    #[serde(borrow)]
    trace_id: Text<'a>,
    correlation_id: Text<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Details<'a> {
    #[serde(borrow)]
    request: Nested<'a, Request<'a>>,
    response: Nested<'a, Response>,
    error: Nested<'a, Failure<'a>>,
    session_id: Text<'a>,
    /// Id of the access token that an exchange gave out.
    access_token_jti: Text<'a>,
    prompts: Many<Nested<'a, Prompt<'a>>>,
}

/// A step of an interactive login.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Prompt<'a> {
    #[serde(borrow)]
    flow: Text<'a>,
    performed_amr: Many<Text<'a>>,
}

impl Prompt<'_> {
    fn is_factor(&self) -> bool {
        matches!(self.flow.get(), "mfa" | "universal-mfa")
            || self.performed_amr.0.iter().any(|method| method.get() == "mfa")
    }
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Request<'a> {
    #[serde(borrow)]
    method: Text<'a>,
    path: Text<'a>,
    auth: Nested<'a, Auth<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Auth<'a> {
    #[serde(borrow)]
    credentials: Nested<'a, Token<'a>>,
    user: Nested<'a, User<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Token<'a> {
    #[serde(borrow)]
    jti: Text<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct User<'a> {
    #[serde(borrow)]
    user_id: Text<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Response {
    status_code: Number,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Failure<'a> {
    #[serde(borrow)]
    oauth_error: Text<'a>,
    r#type: Text<'a>,
    code: Text<'a>,
}

fn read(text: &str, row: &mut Row<'_>) -> Result<(), Refusal> {
    let record: Record<'_> = json::parse(text)?;
    match &record.data {
        Nested::Object(log) => append(log, row),
        Nested::Absent | Nested::Written(_) => append(&json::parse(text)?, row),
    }
}

/// Text that is no JSON says nothing that a column holds.
fn append(log: &Log<'_>, row: &mut Row<'_>) -> Result<(), Refusal> {
    if let Nested::Written(written) = &log.details
        && written.trim_start().starts_with('{')
    {
        let details = json::parse_written(written, "details: not JSON")?;
        row.append(&fields(log, &details)?);
    } else {
        row.append(&fields(log, log.details.object().unwrap_or(&Details::default()))?);
    }
    Ok(())
}

fn fields<'r>(log: &'r Log<'_>, details: &'r Details<'_>) -> Result<Fields<'r>, Refusal> {
    let request = details.request.object();
    let code = log.r#type.get();
    let event_time = event_time(log)?;
    let status_code = details.response.object().and_then(|r| r.status_code.value());
    let outcome = outcome(code, status_code);
    let success = outcome == Outcome::Success;
    let (who, principal_kind) = principal(log, request);
    let path = request.map_or("", |r| r.path.get());
    let target = [path, log.audience.get(), log.client_name.get(), log.client_id.get()];
    Ok(Fields {
        event_time,
        event_id: log.log_id.get(),
        action: Joined::two(code, request.map_or("", |r| r.method.get())),
        outcome,
        status_code,
        error: error(log, details, outcome),
        principal: Cow::Borrowed(who),
        principal_kind,
        credential: success.then(|| credential(who, principal_kind)).flatten(),
        token: if success { token(log, details) } else { "" },
        issued: if success { issued(log, details) } else { "" },
        source_ip: log.ip.get(),
        user_agent: log.user_agent.get(),
        flow: flow(code, details),
        account: first_of(&[log.tenant.get(), log.tenant_name.get(), log.hostname.get()]),
        target: first_of(&target),
        consumer: log.client_id.get(),
        trace_id: log
            .references
            .object()
            .map_or("", |r| first_of(&[r.trace_id.get(), r.correlation_id.get()])),
        ..Fields::default()
    })
}

fn event_time(log: &Log<'_>) -> Result<i64, Refusal> {
    if log.r#type.get().is_empty() {
        return Err(Refusal::new(RejectReason::UnknownFormat, "no type: not an Auth0 log"));
    }
    let text = log.date.get();
    if text.is_empty() {
        return Err(Refusal::new(RejectReason::MissingField, "date"));
    }
    time::micros(text).ok_or_else(|| Refusal::new(RejectReason::BadField, "date: not a time"))
}

/// Calls of the Management API carry a status. Of the other codes the short ones begin with f for a failure and
/// with s for a success, the long ones say it in words; limits and leaked passwords have names of their own.
fn outcome(code: &str, status_code: Option<i64>) -> Outcome {
    let ends = |words: &[&str]| words.iter().any(|word| code.ends_with(word));
    match (code, status_code) {
        ("sapi" | "fapi" | "mgmt_api_read", Some(status)) => Outcome::of_http(status),
        ("fapi", None) => Outcome::Rejected,
        ("mgmt_api_read", None) => Outcome::Success,
        ("api_limit_warning" | "ss_sso_info", _) => Outcome::Unknown,
        _ if is_denied(code) => Outcome::Denied,
        _ if code.contains("limit") => Outcome::Throttled,
        _ if ends(&["_failed", "_failure"]) => Outcome::Rejected,
        _ if ends(&["_succeeded", "_succeed", "_success", "_completed"]) => Outcome::Success,
        _ if code.starts_with('f') => Outcome::Rejected,
        _ if code.starts_with('s') => Outcome::Success,
        _ => Outcome::Unknown,
    }
}

/// Somebody could not prove who they are: logins, factors, leaked passwords, and exchanges of anything for a token,
/// which are `fe...` or named in words.
fn is_denied(code: &str) -> bool {
    let exchange = code.starts_with("fe") && !code.contains('_')
        || code.contains("exchange") && (code.starts_with("failed_") || code.ends_with("_failed"));
    exchange
        || matches!(code, "f" | "fp" | "fu" | "fcoa" | "fsa" | "fdeleacft")
        || matches!(
            code,
            "gd_auth_failed" | "gd_auth_rejected" | "gd_recovery_failed" | "passkey_challenge_failed"
        )
        || matches!(code, "pwd_leak" | "signup_pwd_leak" | "reset_pwd_leak")
}

/// Descriptions are sentences with people's addresses in them: where no error has a name, the type is its code.
fn error<'r>(log: &'r Log<'_>, details: &'r Details<'_>, outcome: Outcome) -> &'r str {
    match outcome {
        Outcome::Success | Outcome::Unknown => "",
        Outcome::Failure | Outcome::Denied | Outcome::Throttled | Outcome::Rejected => {
            let told = details.error.object();
            let told = told.map_or("", |e| first_of(&[e.oauth_error.get(), e.r#type.get(), e.code.get()]));
            first_of(&[told, log.r#type.get()])
        }
    }
}

/// A client that acts for itself has no user, or one named after it. Elsewhere the client is only the
/// application at which somebody signed in.
fn principal<'r>(log: &'r Log<'_>, request: Option<&'r Request<'_>>) -> (&'r str, PrincipalKind) {
    let caller = request.and_then(|r| r.auth.object()).and_then(|a| a.user.object());
    let user = first_of(&[log.user_id.get(), caller.map_or("", |u| u.user_id.get())]);
    let alone = matches!(log.r#type.get(), "seccft" | "feccft" | "sapi" | "fapi" | "mgmt_api_read");
    if let Some(client) = user.strip_suffix("@clients") {
        return (client, PrincipalKind::Workload);
    }
    match first_of(&[user, if alone { log.client_id.get() } else { log.user_name.get() }]) {
        "" => ("", PrincipalKind::None),
        client if user.is_empty() && alone => (client, PrincipalKind::Workload),
        user => (user, PrincipalKind::Human),
    }
}

fn credential(who: &str, kind: PrincipalKind) -> Option<Credential<'_>> {
    match kind {
        PrincipalKind::Workload => Credential::new(CredentialKind::ServicePrincipal, Joined::one(who)),
        PrincipalKind::Human
        | PrincipalKind::Role
        | PrincipalKind::AwsService
        | PrincipalKind::Root
        | PrincipalKind::Unknown
        | PrincipalKind::None => Credential::new(CredentialKind::UserObject, Joined::one(who)),
    }
}

fn jti<'r>(details: &'r Details<'_>) -> &'r str {
    let auth = details.request.object().and_then(|r| r.auth.object());
    auth.and_then(|a| a.credentials.object()).map_or("", |token| token.jti.get())
}

/// Whether `code` is that of a login, or of an exchange of something for a token.
fn issues(code: &str) -> bool {
    code == "s" || code.starts_with("se") || code.contains("exchange")
}

/// The token that a call of the Management API presented, else the session.
fn token<'r>(log: &'r Log<'_>, details: &'r Details<'_>) -> &'r str {
    if issues(log.r#type.get()) {
        return "";
    }
    first_of(&[jti(details), log.session_id.get(), details.session_id.get()])
}

fn issued<'r>(log: &'r Log<'_>, details: &'r Details<'_>) -> &'r str {
    if !issues(log.r#type.get()) {
        return "";
    }
    first_of(&[details.access_token_jti.get(), log.session_id.get(), details.session_id.get()])
}

/// Exchanges that followed a factor: a one-time password, a code out of band, a recovery code, a passkey.
const FACTOR_EXCHANGES: [&str; 6] = ["seotpft", "seoobft", "sercft", "sepkotpft", "sepkoobft", "sepkrcft"];

/// The log does not say whether a client that exchanged a code, a refresh token or another's token proved an identity
/// of its own: it counts as if it had.
fn flow(code: &str, details: &Details<'_>) -> Flow {
    let by_code =
        matches!(code, "gd_auth_succeed" | "gd_recovery_succeed") || FACTOR_EXCHANGES.contains(&code);
    let prompted = code == "s" && details.prompts.0.iter().filter_map(Nested::object).any(Prompt::is_factor);
    let mut flow = Flow::default();
    flow.set(FlowWord::InteractiveFactor, by_code || prompted);
    flow.set(FlowWord::ClientCredentials, matches!(code, "seccft" | "feccft"));
    flow.set(FlowWord::Interactive, matches!(code, "s" | "scoa"));
    flow.set(FlowWord::NonInteractive, matches!(code, "ssa" | "sertft"));
    flow.set(FlowWord::Ropc, matches!(code, "sepft" | "fepft"));
    flow.set(FlowWord::Delegated, matches!(code, "seacft" | "sertft" | "secte"));
    flow
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_code_says_its_outcome() {
        for (outcome_expected, codes) in [
            (Outcome::Success, "s sapi sscim seta scoa success_on_behalf_of_token_exchange gd_auth_succeed"),
            (
                Outcome::Success,
                "flows_execution_completed forms_submission_succeeded kms_key_management_success",
            ),
            (
                Outcome::Denied,
                "f fp fu feccft ferrt feta fcoa fsa pwd_leak reset_pwd_leak gd_recovery_failed",
            ),
            (
                Outcome::Denied,
                "failed_on_behalf_of_token_exchange jwt_bearer_exchange_failed ciba_exchange_failed",
            ),
            (
                Outcome::Rejected,
                "fs fcp fdu flo federated_logout_failed ss_sso_failure actions_execution_failed",
            ),
            (Outcome::Throttled, "api_limit limit_wc limit_mu gd_otp_rate_limit_exceed"),
            (Outcome::Unknown, "w depnote api_limit_warning ss_sso_info mfar gd_start_auth pla"),
        ] {
            for code in codes.split(' ') {
                assert_eq!(outcome(code, None), outcome_expected, "{code}");
            }
        }
    }
}
