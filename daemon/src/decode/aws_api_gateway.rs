//! Amazon API Gateway access log of REST, HTTP and WebSocket APIs. In: one entry. Out: one event. The keys are the
//! operator's own: read are the names of the `$context` variables, however they are spelt, and the short names of AWS's
//! examples (`ip`, `user`, `caller`). Other keys: a layout. A raw API key becomes nothing but a keyed hash.
//!
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-logging.html>,
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-variables-for-access-logging.html>,
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-logging.html>,
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-logging-variables.html>,
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/websocket-api-logging.html>

use std::borrow::Cow;
use std::cell::RefCell;
use std::thread::LocalKey;

use super::RejectReason;
use super::arn;
use super::columns::{Credential, CredentialKind, Fields, Joined, PrincipalKind};
use super::format::{Family, Layout, read_record};
use super::http;
use super::json::{Number, Refusal, first_of};
use super::loose::{Fact, Loose, Names};
use super::time;

pub(super) const LAYOUT: Layout = Layout {
    name: "aws_api_gateway",
    family: Family::Gateway,
    // Every layout has to have one of the two ids.
    signatures: &[
        &["\"requestId\"", "\"requestTime\""],
        &["\"requestId\"", "\"requestTimeEpoch\""],
        &["\"requestId\"", "\"httpMethod\"", "\"status\""],
        &["\"requestId\"", "\"routeKey\"", "\"status\""],
        &["\"extendedRequestId\"", "\"status\""],
    ],
    read: |text, row| read_record(text, row, fields),
};

/// The session names a person: as in CloudTrail the finding is worth a fifth.
const ATTRIBUTION_NAMED: f64 = 0.2;

thread_local! {
    static NAMES: RefCell<Names> = RefCell::default();
}

#[derive(Clone, Copy)]
enum Said {
    Time,
    RequestId,
    ExtendedRequestId,
    XrayTraceId,
    Method,
    RouteKey,
    ResourcePath,
    Path,
    EventType,
    Status,
    ErrorType,
    Stage,
    DomainName,
    ApiId,
    AccountId,
    SourceIp,
    UserAgent,
    User,
    Caller,
    UserArn,
    AccessKey,
    ApiKey,
    ApiKeyId,
    Certificate,
    AuthorizerPrincipal,
    Subject,
    ClientId,
    TokenId,
}

impl Fact for Said {
    const COUNT: usize = Self::TokenId as usize + 1;
    const NOTHING: &'static str = "";

    fn of(name: &str) -> Option<(Self, u8)> {
        request(name).or_else(|| caller(name))
    }

    fn is_group(name: &str) -> bool {
        let groups = ["identity", "identityclientcert", "authorizer", "claims", "jwt", "error"];
        groups.contains(&name) || matches!(name, "authorizerclaims" | "authorizerjwt" | "authorizerjwtclaims")
    }

    fn index(self) -> usize {
        self as usize
    }

    fn names() -> &'static LocalKey<RefCell<Names>> {
        &NAMES
    }
}

/// Names of what was asked for and answered.
fn request(name: &str) -> Option<(Said, u8)> {
    Some(match name {
        "requesttimeepoch" => (Said::Time, 0),
        "requesttime" => (Said::Time, 1),
        "timestamp" => (Said::Time, 2),
        "time" => (Said::Time, 3),
        "requestid" => (Said::RequestId, 0),
        "extendedrequestid" => (Said::ExtendedRequestId, 0),
        "xraytraceid" => (Said::XrayTraceId, 0),
        "traceid" => (Said::XrayTraceId, 1),
        "httpmethod" => (Said::Method, 0),
        "method" => (Said::Method, 1),
        "routekey" => (Said::RouteKey, 0),
        "resourcepath" => (Said::ResourcePath, 0),
        "path" => (Said::Path, 0),
        "uri" => (Said::Path, 1),
        "eventtype" => (Said::EventType, 0),
        "status" => (Said::Status, 0),
        "responsestatus" => (Said::Status, 1),
        "statuscode" => (Said::Status, 2),
        "errorresponsetype" => (Said::ErrorType, 0),
        "errortype" => (Said::ErrorType, 1),
        "stage" => (Said::Stage, 0),
        "domainname" => (Said::DomainName, 0),
        "apiid" => (Said::ApiId, 0),
        "accountid" => (Said::AccountId, 0),
        _ => return None,
    })
}

/// Names of who asked.
fn caller(name: &str) -> Option<(Said, u8)> {
    Some(match name {
        "identitysourceip" => (Said::SourceIp, 0),
        "sourceip" => (Said::SourceIp, 1),
        "identityip" => (Said::SourceIp, 2),
        "ip" => (Said::SourceIp, 3),
        "identityuseragent" => (Said::UserAgent, 0),
        "useragent" => (Said::UserAgent, 1),
        "identityuser" => (Said::User, 0),
        "user" => (Said::User, 1),
        "identitycaller" => (Said::Caller, 0),
        "caller" => (Said::Caller, 1),
        "identityuserarn" => (Said::UserArn, 0),
        "userarn" => (Said::UserArn, 1),
        "identityaccesskey" => (Said::AccessKey, 0),
        "accesskey" => (Said::AccessKey, 1),
        "identityapikey" => (Said::ApiKey, 0),
        "apikey" => (Said::ApiKey, 1),
        "identityapikeyid" => (Said::ApiKeyId, 0),
        "apikeyid" => (Said::ApiKeyId, 1),
        "keyid" => (Said::ApiKeyId, 2),
        "identityclientcertsubjectdn" => (Said::Certificate, 0),
        "clientcertsubjectdn" => (Said::Certificate, 1),
        "authorizerprincipalid" => (Said::AuthorizerPrincipal, 0),
        "principalid" => (Said::AuthorizerPrincipal, 1),
        "authorizerclaimssub" => (Said::Subject, 0),
        "authorizerjwtclaimssub" => (Said::Subject, 1),
        "claimssub" => (Said::Subject, 2),
        "jwtsub" => (Said::Subject, 3),
        "sub" => (Said::Subject, 4),
        "authorizerclaimsclientid" => (Said::ClientId, 0),
        "authorizerjwtclaimsclientid" => (Said::ClientId, 1),
        "claimsclientid" => (Said::ClientId, 2),
        "jwtclientid" => (Said::ClientId, 3),
        "clientid" => (Said::ClientId, 4),
        // Entra's own log repeats this one, not `jti`.
        "authorizerclaimsuti" => (Said::TokenId, 0),
        "authorizerclaimsjti" => (Said::TokenId, 1),
        "authorizerjwtclaimsjti" => (Said::TokenId, 2),
        "claimsjti" => (Said::TokenId, 3),
        "jwtjti" => (Said::TokenId, 4),
        "jti" => (Said::TokenId, 5),
        _ => return None,
    })
}

type Entry<'a> = Loose<'a, Said>;

fn fields<'r>(entry: &'r Entry<'_>) -> Result<Fields<'r>, Refusal> {
    let status = entry.number(Said::Status);
    let role = arn::role_arn(entry.get(Said::UserArn));
    let principal = principal(entry, role.clone());
    let (method, _) = route_key(entry);
    let request_id = entry.get(Said::RequestId);
    let subject = first_of(&[entry.get(Said::AuthorizerPrincipal), entry.get(Said::Subject)]);
    Ok(Fields {
        event_time: event_time(entry)?,
        // Clients may choose the other id.
        event_id: first_of(&[entry.get(Said::ExtendedRequestId), request_id]),
        action: Joined::one(first_of(&[entry.get(Said::Method), method, entry.get(Said::EventType)])),
        outcome: http::outcome(status, "status: not a number")?,
        status_code: status.value(),
        error: entry.get(Said::ErrorType),
        principal_kind: principal_kind(entry, &principal, role.is_some()),
        principal,
        session_name: arn::session_of(entry.get(Said::UserArn)),
        credential: credential(entry, role),
        token: token(entry),
        source_ip: http::client("", entry.get(Said::SourceIp)),
        user_agent: entry.get(Said::UserAgent),
        host: http::host(entry.get(Said::DomainName)),
        route: route(entry),
        account: entry.get(Said::AccountId),
        region: region(entry.get(Said::DomainName)),
        environment: entry.get(Said::Stage),
        target: entry.get(Said::ApiId),
        consumer: first_of(&[entry.get(Said::ApiKeyId), entry.get(Said::ClientId), subject]),
        peer: entry.get(Said::Certificate),
        trace_id: first_of(&[entry.get(Said::XrayTraceId), request_id]),
        ..Fields::default()
    })
}

fn event_time(entry: &Entry<'_>) -> Result<i64, Refusal> {
    let said = [Said::Method, Said::RouteKey, Said::ResourcePath].map(|fact| entry.get(fact));
    if first_of(&said).is_empty() && entry.number(Said::Status) == Number::Absent {
        return Err(Refusal::new(RejectReason::UnknownFormat, "no field of an API Gateway access log"));
    }
    let text = entry.get(Said::Time);
    if text.is_empty() {
        return Err(Refusal::new(RejectReason::MissingField, "requestTimeEpoch and requestTime"));
    }
    time::micros(text).ok_or_else(|| Refusal::new(RejectReason::BadField, "requestTimeEpoch: not a time"))
}

/// Method and path of an HTTP API's `POST /v1/chat`; `$default` and a WebSocket API's keys have no method.
fn route_key<'r>(entry: &'r Entry<'_>) -> (&'r str, &'r str) {
    let key = entry.get(Said::RouteKey);
    key.split_once(' ').unwrap_or(("", key))
}

/// The resource or the route; else the path, which starts with the stage where the API has no domain of its own.
fn route<'r>(entry: &'r Entry<'_>) -> &'r str {
    let (_, key) = route_key(entry);
    let path = entry.get(Said::Path);
    let staged = path.strip_prefix('/').and_then(|rest| rest.strip_prefix(entry.get(Said::Stage)));
    let path = staged.filter(|rest| rest.starts_with('/')).unwrap_or(path);
    first_of(&[entry.get(Said::ResourcePath), key, http::first_segments(path)])
}

/// `<api>.execute-api.<region>.amazonaws.com`; a domain of the operator's own names none.
fn region(domain: &str) -> &str {
    let mut labels = domain.split('.').skip_while(|label| *label != "execute-api");
    labels.nth(1).unwrap_or_default()
}

/// The IAM identity, of a session its role; else whom the authoriser knew.
fn principal<'r>(entry: &'r Entry<'_>, role: Option<Cow<'r, str>>) -> Cow<'r, str> {
    role.unwrap_or_else(|| {
        let others = [Said::AuthorizerPrincipal, Said::Subject, Said::User, Said::Caller];
        let other = first_of(&others.map(|fact| entry.get(fact)));
        Cow::Borrowed(first_of(&[entry.get(Said::UserArn), other]))
    })
}

/// A token whose subject is the client itself was given to a program, not to a person.
fn principal_kind(entry: &Entry<'_>, principal: &str, is_role: bool) -> PrincipalKind {
    let subject = entry.get(Said::Subject);
    match principal {
        "" => PrincipalKind::None,
        _ if is_role => PrincipalKind::Role,
        _ if entry.get(Said::UserArn).ends_with(":root") => PrincipalKind::Root,
        principal if principal == subject && subject == entry.get(Said::ClientId) => PrincipalKind::Workload,
        _ => PrincipalKind::Unknown,
    }
}

/// What the caller proved itself with: an IAM key or session, named as CloudTrail names them; else a key of a usage
/// plan, by its id if that is logged; else the subject of a token.
fn credential<'r>(entry: &'r Entry<'_>, role: Option<Cow<'r, str>>) -> Option<Credential<'r>> {
    let (user_arn, access_key) = (entry.get(Said::UserArn), entry.get(Said::AccessKey));
    if access_key.starts_with("AKIA") {
        return Credential::new(CredentialKind::StaticKey, Joined::one(access_key));
    }
    if let Some(role) = role {
        let is_sso = role.contains("/AWSReservedSSO_");
        let secret = Joined { first: role, second: arn::session_of(user_arn) };
        let mut credential = Credential::new(CredentialKind::RoleSession, secret)?;
        credential.attribution = if is_sso { ATTRIBUTION_NAMED } else { 1.0 };
        return Some(credential);
    }
    let known = [Said::ApiKeyId, Said::ApiKey, Said::AuthorizerPrincipal, Said::Subject];
    let known = Joined::one(first_of(&known.map(|fact| entry.get(fact))));
    Credential::new(CredentialKind::Principal, Joined::one(user_arn))
        .or_else(|| Credential::new(CredentialKind::GatewayKey, known))
}

/// The session's key, as CloudTrail has it, else the id of the token that the authoriser verified.
fn token<'r>(entry: &'r Entry<'_>) -> &'r str {
    let access_key = entry.get(Said::AccessKey);
    let session_key = if access_key.starts_with("ASIA") { access_key } else { "" };
    first_of(&[session_key, entry.get(Said::TokenId)])
}
